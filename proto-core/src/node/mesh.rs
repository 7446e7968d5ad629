//! The way over other nodes, as one more link.
//!
//! To sessions and links the whole mesh looks like one cable, [`LinkId::MESH`], on which every router has its name as address: a
//! handshake, a message in parts or a path that dies goes over it as over any other. What leaves by it is handed to routing as
//! a packet, what routing delivers comes in by it; relays see names and sealed bytes. So what is between two ends is held by the
//! same code however many hops lie between them. A peer that can be reached directly never uses it: a packet in a packet to
//! the same neighbour would have no end.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::bundle;
use crate::identity::Checker;
use crate::ids::{Addr, LinkId, NodeId, PeerSlot, RouterId};
use crate::link;
use crate::machine::Machine;
use crate::node::input::{LinkInfo, Medium};
use crate::node::{Class, Node};
use crate::routing::metric::Quality;
use crate::routing::{self, Routing};
use crate::session;
use crate::time::{Duration, Instant};
use crate::wake::{Reason, Wake};

/// The largest packet between two ends, in bytes: with a relay's head and seal it fits an Ethernet or Wi-Fi frame. Where a hop
/// takes less the link there sends it in parts.
const MESH_MTU: u16 = 1_200;
/// The first guess of how long a packet takes, until it was measured.
const MESH_DELAY: Duration = Duration::from_millis(50);
/// Changes of the map are gathered for so long before it is looked who is out of reach.
const GATHER: Duration = Duration::from_millis(20);

impl Node {
    /// The mesh can be used as soon as there is a link of its own.
    pub(super) fn mesh_up(&mut self, now: Instant) {
        let Some(routing) = &self.routing else { return };
        let radios =
            self.link_infos.values().filter(|info| info.medium != Medium::Mesh && info.air.is_some());
        let slowest = radios.max_by_key(|info| info.scarce());
        let (air, delay) = match slowest {
            Some(info) => (info.air, info.scarce().mul_ratio(link::path::TURNS_A_WAY, 1)),
            None => (None, MESH_DELAY),
        };
        let delay = delay.max(MESH_DELAY);
        if self.link_infos.get(&LinkId::MESH).is_some_and(|info| info.delay == delay) {
            return;
        }
        let info = LinkInfo {
            medium: Medium::Mesh,
            mtu: MESH_MTU,
            rate_bps: None,
            delay,
            cost: 0,
            segments: 1,
            local: address(routing.router()),
            air,
            beacons: false,
        };
        self.link_infos.insert(LinkId::MESH, info.clone());
        self.links_handle(now, link::Input::LinkUp { link: LinkId::MESH, info: info.clone() });
        self.sessions_handle(now, session::Input::LinkUp { link: LinkId::MESH, info });
    }

    pub(super) fn routing_handle(&mut self, now: Instant, input: routing::Input<'_>) {
        if let Some(routing) = &mut self.routing {
            let mut cx = super::cx(now, &mut self.routing_rng, &self.limits, &mut self.drops, self.zoo);
            routing.handle(&mut cx, input);
        }
    }

    pub(super) fn routing_poll(&mut self) -> Option<routing::Action> {
        self.routing.as_mut()?.poll()
    }

    pub(super) fn routing_wake(&mut self, now: Instant) {
        if let Some(routing) = &mut self.routing
            && routing.next_wake().is_due(now)
        {
            let mut cx = super::cx(now, &mut self.routing_rng, &self.limits, &mut self.drops, self.zoo);
            routing.wake(&mut cx);
        }
        if self.look_at_mesh.take_if(|at| *at <= now).is_some() {
            self.look_at_mesh(now);
        }
    }

    pub(super) fn routing_next_wake(&self) -> Wake {
        let look = self.look_at_mesh.map_or(Wake::Idle, |at| Wake::At(at, Reason::LinkState));
        self.routing.as_ref().map_or(Wake::Idle, |routing| routing.next_wake()).min(look)
    }

    /// The map may have changed since this was last asked: then ways may lead elsewhere.
    pub(super) fn see_map(&mut self, now: Instant) {
        let Some(routing) = &self.routing else { return };
        if core::mem::replace(&mut self.map_changes, routing.map_changes()) != routing.map_changes() {
            self.look_at_mesh.get_or_insert(now + GATHER);
            self.bundles_handle(now, bundle::Input::MapChanged);
        }
    }

    /// Looks who of those that have a place on the mesh is out of reach, or there again. To whom nothing leads nothing is sent: it would
    /// wait on the way, and be asked after in vain.
    fn look_at_mesh(&mut self, now: Instant) {
        let places = |peer: PeerSlot| {
            let on_mesh = self.sessions.endpoints(peer).filter(|(link, _)| *link == LinkId::MESH);
            on_mesh.map(move |(_, addr)| (peer, addr))
        };
        let mut all: BTreeSet<(PeerSlot, Addr)> = self.sessions.slots().flat_map(places).collect();
        all.extend(self.routers.iter().map(|(&peer, &router)| (peer, address(router))));
        all.retain(|&(_, addr)| router_at(addr).is_some());
        for &(peer, addr) in &all {
            let there = self.leads_there(now, addr);
            let key = (peer, addr);
            let changed = if there { self.away.remove(&key) } else { self.away.insert(key) };
            if changed {
                // A peer may have been somewhere else before, or be on the map by now.
                let others = all.range((peer, Addr::ANY)..).take_while(|(other, _)| *other == peer);
                let somewhere = there || others.into_iter().any(|other| !self.away.contains(other));
                let link = LinkId::MESH;
                self.links_handle(now, link::Input::Reach { peer, link, there: somewhere });
                self.sessions_handle(now, session::Input::Away { link, addr, away: !there });
            }
        }
        self.forget_away(now, &all);
        let peers: BTreeSet<PeerSlot> = self.away.iter().map(|&(peer, _)| peer).collect();
        for peer in peers {
            let mut places = all.range((peer, Addr::ANY)..).take_while(|(other, _)| *other == peer);
            if places.all(|place| self.away.contains(place)) {
                self.seek_peer(now, peer);
            }
        }
    }

    /// A peer that is gone, or was elsewhere, is out of reach no more: its ways would never be asked after again, should it
    /// come back.
    fn forget_away(&mut self, now: Instant, all: &BTreeSet<(PeerSlot, Addr)>) {
        let gone: Vec<(PeerSlot, Addr)> = self.away.extract_if(.., |key| !all.contains(key)).collect();
        for (peer, _) in gone {
            if self.away.range((peer, Addr::ANY)..).next().is_none_or(|(other, _)| *other != peer) {
                self.links_handle(now, link::Input::Reach { peer, link: LinkId::MESH, there: true });
            }
        }
    }

    /// A message for routing has come from a peer.
    pub(super) fn for_routing(&mut self, now: Instant, peer: PeerSlot, payload: Bytes) {
        let Some(routing) = &mut self.routing else { return };
        let mut cx = super::cx(now, &mut self.routing_rng, &self.limits, &mut self.drops, self.zoo);
        let checker: Checker<'_> = self.sessions.checker(now);
        routing.handle(&mut cx, routing::Input::Message { peer, payload, checker });
    }

    /// What a node has shown may be void now.
    pub(super) fn recheck_routers(&mut self, now: Instant, node: NodeId) {
        let Some(routing) = &mut self.routing else { return };
        let mut cx = super::cx(now, &mut self.routing_rng, &self.limits, &mut self.drops, self.zoo);
        let checker: Checker<'_> = self.sessions.checker(now);
        routing.handle(&mut cx, routing::Input::Distrusted { node, checker });
    }

    pub(super) fn route_routing(&mut self, now: Instant, action: routing::Action) {
        match action {
            routing::Action::Send { peer, tag, class, payload } => {
                let mut cx = super::cx(now, &mut self.links_rng, &self.limits, &mut self.drops, self.zoo);
                let message = (tag, class, class.lifetime(), payload);
                match (self.links.send_routing(&mut cx, peer, message), &mut self.routing) {
                    (Ok(place), Some(routing)) => routing.placed(tag, place),
                    (Ok(_), None) => {}
                    (Err(_), _) => {
                        self.routing_handle(now, routing::Input::Settled { peer, tag, arrived: false });
                    }
                }
            }
            routing::Action::Withdraw { peer, tag, place } => {
                let cx = &mut super::cx(now, &mut self.links_rng, &self.limits, &mut self.drops, self.zoo);
                self.links.withdraw(cx, peer, (tag, place));
            }
            routing::Action::Measure { peer } => {
                if let Some(link::WayQuality { srtt, loss_ppm, rate_bps, scarce }) = self.links.quality(peer)
                {
                    let quality = Quality { srtt, loss_ppm, rate_bps, scarce };
                    self.routing_handle(now, routing::Input::Measured { peer, quality });
                }
            }
            routing::Action::Deliver { from, home, payload } => {
                self.relayed.push_back((address_of(from, home), payload));
            }
            routing::Action::Found { node, router, home, key } => {
                self.found_afar(now, node, (address_of(router, Some(home)), key));
            }
            routing::Action::InVain { node } => self.sought_in_vain(node),
            routing::Action::Astray { router } => self.is_astray(now, router),
            routing::Action::Appeared { router } => self.router_appeared(now, router),
        }
    }

    /// What routing has delivered comes in by the mesh.
    pub(super) fn take_relayed(&mut self, now: Instant) {
        while !self.backlog && !self.outputs_are_full() {
            let Some((from, payload)) = self.relayed.pop_front() else { return };
            self.datagram(now, LinkId::MESH, from, &payload);
            self.settle(now);
        }
    }

    /// A packet of a handshake leaves by the mesh. It is to be answered, if only with data.
    pub(super) fn ask_by_mesh(&mut self, now: Instant, to: Addr, packet: Bytes) {
        self.is_unanswered(now, to, None, session::is_call(&packet));
        self.send_by_mesh(now, to, packet);
    }

    /// A packet is sent over the mesh to somebody who may not have answered another: a question of ours, or an answer that comes again.
    pub(super) fn is_unanswered(&mut self, now: Instant, to: Addr, since: Option<Instant>, is_ours: bool) {
        if let (Some((to, None)), Some(routing)) = (router_at(to), &mut self.routing) {
            routing.asked(now, to, since, is_ours);
        }
    }

    /// What was sent to a router over the mesh has been answered, by nobody else.
    pub(super) fn has_answered(&mut self, now: Instant, router: Option<RouterId>) {
        if let (Some(router), Some(routing)) = (router, &mut self.routing) {
            routing.has_answered(now, router);
        }
    }

    /// A packet leaves by the mesh.
    pub(super) fn send_by_mesh(&mut self, now: Instant, to: Addr, packet: Bytes) {
        if let Some((to, home)) = router_at(to) {
            let class = Class::Normal;
            self.routing_handle(now, routing::Input::Send { to, home, class, payload: packet });
        }
    }

    /// Whether a peer can be reached directly may have changed: then it is a neighbour, or not any more. Who was reached
    /// directly and is not is looked for over others.
    pub(super) fn note_nearness(&mut self, now: Instant, peer: PeerSlot) {
        let Some(&router) = self.routers.get(&peer) else { return };
        if self.links.quality(peer).is_some() {
            self.routing_handle(now, routing::Input::NeighbourUp { peer, router });
        } else {
            self.routing_handle(now, routing::Input::NeighbourUnusable { peer });
            self.links_handle(now, link::Input::AddPath { peer, link: LinkId::MESH, addr: address(router) });
        }
    }

    /// The application says where a peer is. With one that is in session, over others perhaps, no call goes there.
    pub(super) fn look_there(&mut self, now: Instant, peer: PeerSlot, places: &[(LinkId, Addr)]) {
        if self.links.status(peer).is_some_and(|status| status.up) {
            for &(link, addr) in places {
                self.links_handle(now, link::Input::LookThere { peer, link, addr });
            }
        }
    }

    /// A peer's session is new.
    pub(super) fn is_router(&mut self, now: Instant, peer: PeerSlot, router: Option<RouterId>) {
        self.is_no_router(now, peer);
        if let Some(router) = router.filter(|_| self.routing.is_some()) {
            self.routers.insert(peer, router);
            if self.links.quality(peer).is_some() {
                self.routing_handle(now, routing::Input::NeighbourUp { peer, router });
            }
        }
    }

    /// A peer's session is over.
    pub(super) fn is_no_router(&mut self, now: Instant, peer: PeerSlot) {
        if self.routers.remove(&peer).is_some() {
            self.routing_handle(now, routing::Input::NeighbourDown { peer });
        }
    }

    /// Whether a peer is reached over others and there is nothing for it: its session may end in silence.
    pub(super) fn is_visit_over(&self, peer: PeerSlot) -> bool {
        self.routing.is_some()
            && !self.sessions.is_wanted(peer)
            && self.links.quality(peer).is_none()
            && self.links.status(peer).is_none_or(|status| status.unsent_messages == 0)
    }

    /// The slot of a node to which something is to be sent. One without a session is visited if it is on the map, though it may be
    /// called where it was last: it need not be there any more.
    pub(super) fn reach(&mut self, now: Instant, node: NodeId) -> Option<PeerSlot> {
        let known = self.sessions.slot_of(&node);
        if known.is_some_and(|peer| self.sessions.is_up(peer)) {
            return known;
        }
        let Some((router, key)) = self.address_of(node) else { return self.reach_afar(now, node, known) };
        self.sessions_handle(
            now,
            session::Input::Visit { node, key, link: LinkId::MESH, addr: address(router) },
        );
        self.look_at_mesh.get_or_insert(now + GATHER);
        self.settle(now);
        self.sessions.slot_of(&node)
    }

    /// The slot of a router with whom there is no session and to whom the map leads: it is visited.
    pub(super) fn visit_router(&mut self, now: Instant, router: RouterId) -> Option<PeerSlot> {
        let routing = self.routing.as_mut()?;
        let known = *routing.known(router)?;
        routing.next_hop(now, router)?;
        // With another device of that node: this one is not there.
        if self.sessions.slot_of(&known.node).is_some_and(|peer| self.sessions.is_up(peer)) {
            return None;
        }
        let (node, key, addr) = (known.node, known.dh_key, address(router));
        self.sessions_handle(now, session::Input::Visit { node, key, link: LinkId::MESH, addr });
        // Its slot is known to the links when they have been told. One visit says little.
        while let Some(action) = self.sessions_poll() {
            self.route_session(now, action);
        }
        self.sessions.slot_of(&node)
    }

    /// What the map shows of whoever sends by the mesh from there.
    pub(super) fn papers_at(&self, link: LinkId, from: Addr) -> Option<(Bytes, Bytes)> {
        let routing = self.routing.as_ref().filter(|_| link == LinkId::MESH)?;
        routing.papers(router_at(from)?.0)
    }

    /// Where on the map a node is, with its key.
    pub(super) fn address_of(&self, node: NodeId) -> Option<(RouterId, [u8; 32])> {
        let routing = self.routing.as_ref()?;
        let others = || routing.devices(node).filter(|&router| router != routing.router());
        // The node may have another device by now, while the map still shows the one before.
        let router = others().find(|&router| routing.leads_to(router)).or_else(|| others().next())?;
        Some((router, routing.known(router)?.dh_key))
    }

    /// Gives every neighbour this message of the routing channel, whatever it says. For simulators of nodes that do not keep to the
    /// protocol; who is honest has no use for it.
    pub fn tell_neighbours(&mut self, now: Instant, message: &Bytes) {
        if let Some(routing) = &mut self.routing {
            routing.tell_neighbours(message);
            self.settle(now);
        }
    }

    /// Takes what is for others and passes nothing on. For simulators of nodes that do not keep to the protocol; who is honest has no use
    /// for it.
    pub fn swallow(&mut self, swallows: bool) {
        if let Some(routing) = &mut self.routing {
            routing.swallow(swallows);
        }
    }

    /// The map, for operators and checkers; `None` for a node that takes no part in routing.
    #[must_use]
    pub fn routing(&self) -> Option<&Routing> {
        self.routing.as_deref()
    }
}

/// A router's address on the mesh.
pub(super) fn address(router: RouterId) -> Addr {
    address_of(router, None)
}

/// The address of a router that need not be on the map: its name, and that of the landmark that keeps it.
fn address_of(router: RouterId, home: Option<RouterId>) -> Addr {
    let home = home.as_ref().map_or(&[][..], |home| &home.0);
    Addr::new(&[&router.0, home].concat()).unwrap_or(Addr::ANY)
}

/// The router at an address on the mesh, and the landmark that keeps it.
pub(super) fn router_at(addr: Addr) -> Option<(RouterId, Option<RouterId>)> {
    let (router, home) = addr.as_bytes().split_first_chunk()?;
    let home = if home.is_empty() { None } else { Some(RouterId(home.try_into().ok()?)) };
    Some((RouterId(*router), home))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::node::{Boot, VERSIONS};
    use crate::routing::tests::bench::{devices, identity, network, pin};

    /// A node has a new device, and the map shows the one before still: the one counts to which something leads. Where nothing leads to
    /// either, one of them is better than none.
    #[test]
    fn of_two_devices_the_one_is_visited_to_which_something_leads() {
        for leads in [[true, false], [false, true], [false, false]] {
            let limits = Limits { routers: 8, ..Limits::SMALL };
            let boot = Boot {
                identity: identity(1),
                network: network(),
                records: alloc::vec::Vec::new(),
                versions: VERSIONS,
                zoo: crate::zoo::Zoo::none(),
                verifier: crate::crypto::sign::Verifier::default(),
            };
            let mut node = Node::new(boot, [7; 32], limits.clone(), Instant::ZERO).unwrap();
            let both = devices(2);
            let routing = node.routing.as_mut().unwrap();
            let routers = [0, 1].map(|nth| pin(routing, &limits, &both[nth], leads[nth]));
            let (router, key) = node.address_of(both[0].node()).unwrap();
            let nth = routers.iter().position(|&known| known == router).unwrap();
            assert_eq!(key, both[nth].certificate().dh_key);
            assert!(leads[nth] || leads == [false, false], "{leads:?}");
        }
    }
}
