//! What the application asks for: peers to keep a session with, and where they are.
//!
//! An address book with so many lines for each friend. What was written in with ink, by its owner, stays
//! until he strikes it out; what was noted in pencil, because somebody called from there, is wiped for it. A
//! line for nobody knows whom is torn out when its last address is struck.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::pace::SHORTEST_GAP;
use super::peers::{Peer, Place};
use super::{Action, Sessions};
use crate::drops::Drop;
use crate::ids::{Addr, LinkId, NodeId, PeerSlot};
use crate::limits::Limits;
use crate::machine::Cx;
use crate::node::input::PeerSpec;
use crate::node::output::{Found, Refused};
use crate::time::Duration;

/// A node that is called in vain is called eagerly again after so long, if it is needed then (guess).
const EAGER_AGAIN: Duration = Duration::from_secs(600);

impl Sessions {
    /// Whether [`Input::Connect`](super::Input::Connect) can do all that this asks for.
    ///
    /// # Errors
    /// [`Refused::NoEndpoint`] for nobody nowhere, [`Refused::PeersFull`], and [`Refused::EndpointsFull`]
    /// when the peer would have more places that the application gave than `limits.paths_per_peer`.
    pub fn admit(&self, limits: &Limits, spec: &PeerSpec) -> Result<(), Refused> {
        if spec.node.is_none() && spec.endpoints.is_empty() {
            return Err(Refused::NoEndpoint);
        }
        let known = self.asked_for(spec).and_then(|slot| self.peers.get(slot));
        if known.is_none() && !self.peers.has_room(limits.peers, true) {
            return Err(Refused::PeersFull { limit: u64::from(limits.peers) });
        }
        let before = known.map_or(&[][..], |peer| &peer.endpoints);
        let before = before.iter().filter(|endpoint| endpoint.configured).map(|endpoint| endpoint.place);
        let asked = spec.endpoints.iter().map(|&(link, addr)| Place { link, addr });
        let places: BTreeSet<Place> = before.chain(asked).collect();
        if places.len() > usize::from(limits.paths_per_peer) {
            return Err(Refused::EndpointsFull { limit: u64::from(limits.paths_per_peer) });
        }
        Ok(())
    }

    /// The slot of the peer that this means: by its name, or without one by a place.
    fn asked_for(&self, spec: &PeerSpec) -> Option<PeerSlot> {
        if let Some(node) = spec.node {
            return self.peers.slot_of(&node);
        }
        let is_same = |peer: &Peer| {
            let mut places = peer.endpoints.iter().map(|known| (known.place.link, known.place.addr));
            places.any(|place| spec.endpoints.contains(&place))
        };
        self.peers.iter().find(|(_, peer)| peer.wanted && is_same(peer)).map(|(slot, _)| slot)
    }

    pub(super) fn connect(&mut self, cx: &mut Cx<'_>, spec: PeerSpec) {
        let slot = match (self.asked_for(&spec), spec.node) {
            (Some(slot), _) => slot,
            (None, Some(node)) => match self.slot_for(cx, node, true) {
                Ok(slot) => slot,
                Err(reason) => return cx.drops.count(reason),
            },
            (None, None) => {
                match self.stranger_to_go(cx.limits.peers, true) {
                    Ok(Some(stranger)) => self.forget(cx, stranger, true),
                    Ok(None) => {}
                    Err(reason) => return cx.drops.count(reason),
                }
                let peer = Peer::new(cx.now, None);
                match self.peers.insert(peer, cx.limits.peers) {
                    Some(slot) => slot,
                    None => return cx.drops.count(Drop::PeersFull),
                }
            }
        };
        if let Some(node) = spec.node {
            self.push(Action::Named { peer: slot, node });
        }
        let Some(peer) = self.peers.get_mut(slot) else { return };
        peer.wanted = true;
        peer.found = Found::Given;
        peer.named |= spec.node.is_some();
        peer.key = peer.key.or(spec.key);
        let limit = usize::from(cx.limits.paths_per_peer);
        for (link, addr) in spec.endpoints {
            let Some(peer) = self.peers.get_mut(slot) else { return };
            let ended = peer.add_endpoint(cx.now, Place { link, addr }, true, limit);
            self.drop_dial(slot, ended);
        }
        self.keep_roots(cx, slot);
        self.encourage(cx, slot, None);
    }

    /// A node is needed of which it is not known where it is. It makes room for others like one that is visited.
    pub(super) fn await_node(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        match self.slot_for(cx, node, true) {
            Ok(peer) => self.push(Action::Named { peer, node }),
            Err(reason) => cx.drops.count(reason),
        }
    }

    /// Calls a node that is needed now; nobody has asked to keep a session with it, and it makes room for others. However often it
    /// is needed, it is called eagerly once in ten minutes, and where it has refused us rarely.
    pub(super) fn visit(&mut self, cx: &mut Cx<'_>, node: NodeId, key: [u8; 32], place: Place) {
        let slot = match self.slot_for(cx, node, true) {
            Ok(slot) => slot,
            Err(reason) => return cx.drops.count(reason),
        };
        self.push(Action::Named { peer: slot, node });
        let Some(peer) = self.peers.get_mut(slot) else { return };
        peer.key = peer.key.or(Some(key));
        if peer.endpoints.is_empty() {
            peer.found = Found::Map;
        }
        let known = peer.endpoints.iter().find(|endpoint| endpoint.place == place);
        if known.is_some_and(|endpoint| endpoint.slow && endpoint.next > cx.now) {
            return;
        }
        let is_new = known.is_none();
        let limit = usize::from(cx.limits.paths_per_peer);
        let ended = peer.add_endpoint(cx.now, place, false, limit);
        let called_since = peer.dialing;
        self.drop_dial(slot, ended);
        match called_since {
            None => self.redial(cx, slot),
            // Elsewhere perhaps, where nobody has answered for long.
            Some(since) if is_new || cx.now.since(since) >= EAGER_AGAIN => {
                let Some(peer) = self.peers.get_mut(slot) else { return };
                peer.dialing = Some(cx.now);
                for endpoint in peer.endpoints.iter_mut().filter(|endpoint| endpoint.place == place) {
                    endpoint.next = endpoint.next.min(cx.now + SHORTEST_GAP);
                }
                self.pump(cx, slot);
            }
            Some(_) => {}
        }
    }

    /// Whether something leads to a place has changed. Whoever waits for an answer from there is called at once when something does, and not before.
    pub(super) fn away(&mut self, cx: &mut Cx<'_>, place: Place, away: bool) {
        let has_it = |peer: &Peer| peer.endpoints.iter().any(|endpoint| endpoint.place == place);
        let slots: Vec<PeerSlot> =
            self.peers.iter().filter(|(_, peer)| has_it(peer)).map(|(slot, _)| slot).collect();
        for slot in slots {
            let Some(peer) = self.peers.get_mut(slot) else { continue };
            peer.dialing = peer.dialing.map(|since| if away { since } else { cx.now });
            for endpoint in peer.endpoints.iter_mut().filter(|endpoint| endpoint.place == place) {
                endpoint.away = away;
                (endpoint.next, endpoint.sent) =
                    if away { (endpoint.next, endpoint.sent) } else { (cx.now, 0) };
            }
            self.pump(cx, slot);
        }
    }

    /// Whether the application gave this place, to whatever peer.
    #[must_use]
    pub fn was_given(&self, link: LinkId, addr: Addr) -> bool {
        self.peers.iter().any(|(_, peer)| peer.configured(Place { link, addr }).is_some())
    }

    /// Takes back a place that the application gave. A peer that is still nobody is gone with its last one.
    pub(super) fn disconnect(&mut self, cx: &mut Cx<'_>, place: Place) {
        let slots: Vec<PeerSlot> = self.peers.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            let Some(peer) = self.peers.get_mut(slot) else { continue };
            let Some(at) = peer.configured(place) else { continue };
            let ended = peer.endpoints.remove(at).dial;
            let is_gone = peer.node.is_none() && peer.endpoints.is_empty();
            self.drop_dial(slot, ended);
            if is_gone {
                self.forget(cx, slot, false);
            } else {
                self.arm(cx, slot);
            }
        }
    }
}
