//! What must always hold, and what it can cost at most.

use super::answer::Answer;
use super::dial::Dial;
use super::keys::{Holder, Keys};
use super::message::MAX_HANDSHAKE_BYTES;
use super::peers::{Association, Endpoint, PathNumbers, Peer};
use super::{Action, Known, Link, Sessions};
use crate::identity::MAX_ROTATIONS;
use crate::limits::Limits;

impl Sessions {
    /// Verifies what must always hold.
    ///
    /// # Panics
    /// When it does not.
    pub fn check(&self) {
        self.check_dials();
        for (slot, peer) in self.peers.iter() {
            if let Some(node) = peer.node {
                assert_eq!(self.peers.slot_of(&node), Some(slot), "node index");
            }
            let Some(association) = &peer.association else { continue };
            assert!(
                !association.up || association.keys.contains(&association.sending),
                "sending key is held"
            );
            assert_eq!(association.up, association.sending != 0, "up means sending");
            for &index in association.keys.iter().filter(|&&index| index != 0) {
                assert_eq!(self.table.holder(index), Some(Holder::Peer(slot)), "key's holder");
            }
            let sending = self.table.keys(association.sending);
            assert!(sending.is_none_or(|keys| keys.ours || keys.heard), "confirmed before sending");
        }
        for (index, holder) in self.table.iter() {
            match holder {
                Holder::Dial(dial) => {
                    assert!(self.dials.get(dial).is_some_and(|d| d.index == index), "dial index")
                }
                Holder::Answer(answer) => {
                    assert!(self.answers.get(answer).is_some_and(|a| a.index == index), "answer index");
                }
                Holder::Peer(slot) => {
                    let association = self.peers.get(slot).and_then(|peer| peer.association.as_ref());
                    assert!(association.is_some_and(|a| a.keys.contains(&index)), "peer index");
                }
            }
        }
    }

    /// The most bytes that all sessions together take under `limits`, apart from revocations.
    #[must_use]
    pub fn worst_case_bytes(limits: &Limits) -> u64 {
        const HANDSHAKE: u64 = MAX_HANDSHAKE_BYTES as u64;
        const PAPERS: u64 = crate::identity::MAX_CERTIFICATE_BYTES as u64;
        // Those of the papers, and those of the slot.
        const ROOTS: u64 = 32 * (MAX_ROTATIONS as u64 + 1);
        let window = u64::from(limits.replay_window).div_ceil(64) * 8 + 8;
        let peer = size::<Peer>()
            + size::<Association>()
            + u64::from(limits.paths_per_peer) * size::<Endpoint>()
            + PathNumbers::SENDERS as u64 * window
            + PAPERS.min(HANDSHAKE)
            + 2 * ROOTS
            + 4 * (size::<Keys>() + 32)
            + 256;
        let handshake = size::<Dial>().max(size::<Answer>()) + 2 * HANDSHAKE + 4096;
        let link = size::<Link>() + HANDSHAKE + 256;
        let parts = [
            u64::from(limits.peers).saturating_mul(peer + 2 * (size::<Known>() + 96)),
            u64::from(limits.handshakes).saturating_mul(handshake),
            (limits.links_and_mesh() as u64).saturating_mul(link),
            u64::from(limits.outputs).saturating_mul(size::<Action>() + 128),
            4096,
        ];
        parts.into_iter().fold(0, u64::saturating_add)
    }
}

const fn size<T>() -> u64 {
    size_of::<T>() as u64
}
