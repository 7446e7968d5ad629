//! Peers that are too far away to be on the map: looked for, and written to at the landmark that keeps them.
//!
//! Their address on the mesh has two names: their own and the landmark's. It comes from the answer to a look-up, or with their packets; sessions and links
//! treat it like any other address, so whoever is kept by another landmark from now on has only moved, and a place that somebody made up is left like any place
//! at which nobody answers.

use crate::ids::{Addr, LinkId, NodeId, PeerSlot, RouterId};
use crate::link;
use crate::node::Node;
use crate::node::mesh::router_at;
use crate::session;
use crate::time::Instant;

impl Node {
    /// Whether a packet to this address on the mesh would leave.
    pub(super) fn leads_there(&mut self, now: Instant, addr: Addr) -> bool {
        let (Some(routing), Some((router, home))) = (&mut self.routing, router_at(addr)) else {
            return false;
        };
        routing.next_hop(now, router).is_some() || home.is_some_and(|home| routing.leads_afar(now, home))
    }

    /// The slot of a node that is not on the map: it is looked for, and what is for it waits. Where no landmark is known nobody is looked for.
    pub(super) fn reach_afar(
        &mut self,
        now: Instant,
        node: NodeId,
        known: Option<PeerSlot>,
    ) -> Option<PeerSlot> {
        if node == self.id || !self.routing.as_ref().is_some_and(|routing| routing.knows_landmarks()) {
            return known;
        }
        if known.is_none() {
            self.sessions_handle(now, session::Input::Await { node });
            self.settle(now);
        }
        let peer = self.sessions.slot_of(&node)?;
        self.seek(now, node);
        self.settle(now);
        Some(peer)
    }

    fn seek(&mut self, now: Instant, node: NodeId) {
        if let Some(routing) = &mut self.routing {
            let mut cx = super::cx(now, &mut self.routing_rng, &self.limits, &mut self.drops, self.zoo);
            routing.seek(&mut cx, node);
        }
    }

    /// Looks for a peer to which nothing leads any more.
    pub(super) fn seek_peer(&mut self, now: Instant, peer: PeerSlot) {
        if let Some(node) = self.sessions.node_of(peer)
            && self.is_needed(peer)
        {
            self.seek(now, node);
        }
    }

    /// Whether there is something for a peer, or somebody wants to keep a session with it.
    fn is_needed(&self, peer: PeerSlot) -> bool {
        let has_work = self.links.status(peer).is_some_and(|status| status.unsent_messages > 0);
        has_work || self.sessions.is_wanted(peer)
    }

    /// A node that was looked for is there.
    pub(super) fn found_afar(&mut self, now: Instant, node: NodeId, (addr, key): (Addr, [u8; 32])) {
        let link = LinkId::MESH;
        match self.sessions.slot_of(&node) {
            Some(peer) if self.sessions.is_up(peer) => {
                self.links_handle(now, link::Input::AddPath { peer, link, addr });
            }
            Some(_) => self.sessions_handle(now, session::Input::Visit { node, key, link, addr }),
            None => {}
        }
    }

    /// Nobody knows where a node is: it is looked for on only if there is something for it.
    pub(super) fn sought_in_vain(&mut self, node: NodeId) {
        let needed = self.sessions.slot_of(&node).is_some_and(|peer| self.is_needed(peer));
        if let Some(routing) = self.routing.as_mut().filter(|_| !needed) {
            routing.stop_seeking(node);
        }
    }

    /// A landmark says that it does not keep a router. Whoever has something for it looks for it anew.
    pub(super) fn is_astray(&mut self, now: Instant, router: RouterId) {
        let is_there = |peer: PeerSlot| {
            let mut places = self.sessions.endpoints(peer).filter(|(link, _)| *link == LinkId::MESH);
            places.any(|(_, addr)| router_at(addr).is_some_and(|(there, _)| there == router))
                || self.routers.get(&peer) == Some(&router)
        };
        let peers: alloc::vec::Vec<PeerSlot> = self.sessions.slots().filter(|&peer| is_there(peer)).collect();
        for peer in peers {
            self.seek_peer(now, peer);
        }
    }
}
