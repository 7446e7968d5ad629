//! What the node asks of the sessions besides packets: who there is, and that a peer said goodbye.

use core::fmt;

use super::Sessions;
use crate::crypto::sign::Verifier;
use crate::ids::PeerSlot;
use crate::machine::Cx;
use crate::node::output::{DownReason, Found, Unreached};

impl Sessions {
    /// How many peers have a slot.
    #[must_use]
    pub fn peer_count(&self) -> usize {
        self.peers.iter().count()
    }

    /// The slots in use, ascending.
    pub fn slots(&self) -> impl Iterator<Item = PeerSlot> + '_ {
        self.peers.iter().map(|(slot, _)| slot)
    }

    /// The Ed25519 key of the device that a peer is in session with.
    #[must_use]
    pub fn sign_key(&self, peer: PeerSlot) -> Option<[u8; 32]> {
        let peer = self.peers.get(peer).filter(|peer| peer.is_up())?;
        peer.papers.as_ref().map(|papers| papers.sign_key)
    }

    /// What signatures of others are verified with.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        self.trust.verifier()
    }

    /// How a peer was found.
    #[must_use]
    pub fn found(&self, peer: PeerSlot) -> Found {
        self.peers.get(peer).map_or(Found::Called, |peer| peer.found)
    }

    /// Why there is no session with a peer; `None` when there is one, or no such peer.
    #[must_use]
    pub fn unreached(&self, peer: PeerSlot) -> Option<Unreached> {
        let peer = self.peers.get(peer).filter(|peer| !peer.is_up())?;
        let mut open = peer.endpoints.iter().filter(|endpoint| self.links.contains_key(&endpoint.place.link));
        let has_link = open.clone().next().is_some();
        Some(match peer.dialing {
            _ if peer.endpoints.is_empty() => Unreached::NoPlace,
            _ if !has_link => Unreached::LinkDown,
            _ if open.clone().all(|endpoint| endpoint.away) => Unreached::NoWay,
            _ if open.all(|endpoint| endpoint.slow || endpoint.away) => Unreached::Refused,
            None => Unreached::Resting,
            Some(_) => {
                let calls = peer.endpoints.iter().map(|endpoint| endpoint.sent);
                Unreached::NoAnswer { calls: calls.fold(0, u32::saturating_add) }
            }
        })
    }

    /// The peer has ended the session, in an authenticated packet.
    pub fn closed_by_peer(&mut self, cx: &mut Cx<'_>, peer: PeerSlot) {
        self.close(cx, peer, DownReason::Closed);
    }
}

/// Keys and secrets stay out of every log.
impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("peers", &self.peer_count()).finish_non_exhaustive()
    }
}
