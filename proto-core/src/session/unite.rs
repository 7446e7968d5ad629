//! One peer, one slot: what was found at an address turns out to be somebody we know.

use super::Sessions;
use super::settle::Claim;
use crate::ids::PeerSlot;
use crate::machine::Cx;
use crate::node::output::Found;

impl Sessions {
    /// The slot that a proved peer has: its own, or that of the address it was found at.
    pub(super) fn unite(&mut self, cx: &mut Cx<'_>, slot: PeerSlot, claim: &Claim) -> PeerSlot {
        let node = claim.papers.node;
        let Some(known) = self.peers.slot_of(&node) else {
            let known = self.recall(&node);
            self.peers.name(slot, node);
            if let Some(peer) = self.peers.get_mut(slot) {
                (peer.device, peer.boot, peer.forgot) = (known.device, known.boot, known.forgot);
            }
            return slot;
        };
        if known == slot {
            return slot;
        }
        // The nameless entry was this peer all along.
        self.peer_timers.clear(slot.0);
        let Some(nameless) = self.peers.remove(slot) else { return known };
        let limit = usize::from(cx.limits.paths_per_peer);
        for endpoint in nameless.endpoints {
            if let Some(dial) = endpoint.dial.and_then(|number| self.dials.get_mut(number)) {
                dial.peer = known;
            }
            let Some(peer) = self.peers.get_mut(known) else { continue };
            peer.wanted |= nameless.wanted;
            if peer.found == Found::Called {
                peer.found = nameless.found;
            }
            let ended = peer.take_endpoint(endpoint, limit);
            self.drop_dial(known, ended);
        }
        known
    }
}
