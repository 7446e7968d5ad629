//! One peer, one slot: what was found at an address turns out to be somebody we know.

use super::Sessions;
use super::settle::Claim;
use crate::ids::PeerSlot;
use crate::machine::Cx;

impl Sessions {
    /// The slot that a proved peer has: its own, or that of the address it was found at.
    pub(super) fn unite(&mut self, cx: &mut Cx<'_>, slot: PeerSlot, claim: &Claim) -> PeerSlot {
        let node = claim.papers.node;
        let Some(known) = self.peers.slot_of(&node) else {
            self.peers.name(slot, node);
            let boot = self.known.remove(&node).map_or(0, |known| known.boot);
            if let Some(peer) = self.peers.get_mut(slot) {
                peer.boot = boot;
            }
            return slot;
        };
        if known == slot {
            return slot;
        }
        // The nameless entry was this peer all along.
        self.peer_timers.clear(slot.0);
        let Some(nameless) = self.peers.remove(slot) else { return known };
        for number in nameless.endpoints.iter().filter_map(|endpoint| endpoint.dial) {
            if let Some(dial) = self.dials.get_mut(number) {
                dial.peer = known;
            }
        }
        let limit = usize::from(cx.limits.paths_per_peer);
        if let Some(peer) = self.peers.get_mut(known) {
            peer.wanted |= nameless.wanted;
            for endpoint in nameless.endpoints {
                peer.add_endpoint(cx.now, endpoint.place, endpoint.configured, limit);
                if let Some(same) = peer.endpoints.iter_mut().find(|same| same.place == endpoint.place) {
                    same.dial = same.dial.or(endpoint.dial);
                }
            }
        }
        known
    }
}
