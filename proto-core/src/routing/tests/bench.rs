//! A landscape of routers without anything between them: messages arrive after a delay, or not at all.

use std::collections::BTreeMap;
use std::vec::Vec;

use bytes::Bytes;

use crate::crypto::sign::Verifier;
use crate::drops::Drops;
pub(crate) use crate::identity::cast::{devices, identity, network, revocation};
use crate::identity::{Checker, LocalIdentity, Network, Revocations, install};
use crate::ids::{NodeId, PeerSlot, RouterId};
use crate::limits::Limits;
use crate::machine::{Cx, Machine};
use crate::node::input::Class;
use crate::rng::Rng;
use crate::routing::database::Known;
use crate::routing::metric::Quality;
use crate::routing::record::{Content, Part, RecordKey, SignedRecord};
use crate::routing::{Action, Input, Routing};
use crate::time::{Duration, Instant};
use crate::zoo::Zoo;

pub(super) struct Side {
    pub(super) routing: Routing,
    pub(super) limits: Limits,
    pub(super) drops: Drops,
    rng: Rng,
    network: Network,
    revocations: Revocations,
    boot: u32,
}

impl Side {
    fn new(number: u16, boot: u32, limits: Limits, now: Instant) -> Side {
        let (mut drops, mut rng) = (Drops::default(), Rng::fork(&[number as u8; 32], "routing"));
        let cx = &mut Cx { now, rng: &mut rng, limits: &limits, drops: &mut drops, zoo: Zoo::none() };
        let network = network();
        let routing = Routing::new(cx, &identity(number), network.id(), boot);
        Side { routing, limits, drops, rng, network, revocations: Revocations::new(8), boot }
    }

    pub(super) fn message(&mut self, now: Instant, peer: PeerSlot, payload: Bytes) {
        let Side { routing, limits, drops, rng, network, revocations, .. } = self;
        let cx = &mut Cx { now, rng, limits, drops, zoo: Zoo::none() };
        let checker = Checker { network, revocations, wall: None, verifier: &Verifier::default() };
        routing.handle(cx, Input::Message { peer, payload, checker });
    }

    pub(super) fn handle(&mut self, now: Instant, input: Input<'_>) {
        let Side { routing, limits, drops, rng, .. } = self;
        routing.handle(&mut Cx { now, rng, limits, drops, zoo: Zoo::none() }, input);
    }

    /// Learns a statement about a node, and looks at who is on the map again.
    fn distrust(&mut self, now: Instant, node: NodeId, statement: &[u8]) {
        let Side { routing, limits, drops, rng, network, revocations, .. } = self;
        install(&mut identity(0), network, revocations, &Verifier::default(), statement).unwrap();
        let cx = &mut Cx { now, rng, limits, drops, zoo: Zoo::none() };
        let checker = Checker { network, revocations, wall: None, verifier: &Verifier::default() };
        routing.handle(cx, Input::Distrusted { node, checker });
    }

    fn wake(&mut self, now: Instant) {
        let Side { routing, limits, drops, rng, .. } = self;
        routing.wake(&mut Cx { now, rng, limits, drops, zoo: Zoo::none() });
    }
}

enum Happens {
    Arrives { at: usize, from: usize, payload: Bytes },
    Settles { at: usize, peer: usize, tag: u64 },
}

/// A packet that reached its router.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Delivered {
    pub(super) when: Instant,
    pub(super) at: usize,
    pub(super) from: RouterId,
    pub(super) home: Option<RouterId>,
    pub(super) payload: Bytes,
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) sides: Vec<Side>,
    /// Which links there are, smaller number first, and their quality.
    pub(super) links: BTreeMap<(usize, usize), Quality>,
    agenda: BTreeMap<(Instant, u64), Happens>,
    serial: u64,
    pub(super) delivered: Vec<Delivered>,
    /// Links cost three times as much towards the higher number.
    pub(super) is_steep: bool,
    /// What routers said to their nodes of those who are not on their maps.
    pub(super) said: Vec<(usize, Action)>,
    /// Messages handed to links, and their bytes.
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

pub(super) const CABLE: Quality =
    Quality { srtt: Duration::from_millis(2), loss_ppm: 0, rate_bps: None, scarce: Duration::ZERO };

impl World {
    pub(super) fn new(count: u16) -> World {
        World::with_limits(count, Limits { routers: 2_048, ..Limits::SMALL })
    }

    pub(super) fn with_limits(count: u16, limits: Limits) -> World {
        let now = Instant::from_micros(1);
        World {
            now,
            sides: (0..count).map(|number| Side::new(number, 1, limits.clone(), now)).collect(),
            links: BTreeMap::new(),
            agenda: BTreeMap::new(),
            serial: 0,
            delivered: Vec::new(),
            is_steep: false,
            said: Vec::new(),
            messages: 0,
            bytes: 0,
        }
    }

    /// Routers in a row.
    pub(super) fn line(count: u16) -> World {
        let mut world = World::new(count);
        for number in 1..usize::from(count) {
            world.connect(number - 1, number, CABLE);
        }
        world
    }

    /// Routers in a square.
    pub(super) fn grid(side: u16) -> World {
        World::grid_with(side, Limits { routers: 2_048, ..Limits::SMALL })
    }

    /// The same, with these limits.
    pub(super) fn grid_with(side: u16, limits: Limits) -> World {
        let mut world = World::with_limits(side * side, limits);
        let side = usize::from(side);
        for number in 0..side * side {
            if number % side > 0 {
                world.connect(number - 1, number, CABLE);
            }
            if number >= side {
                world.connect(number - side, number, CABLE);
            }
        }
        world
    }

    pub(super) fn router(&self, side: usize) -> RouterId {
        self.sides[side].routing.router()
    }

    pub(super) fn connect(&mut self, a: usize, b: usize, quality: Quality) {
        let (a, b) = (a.min(b), a.max(b));
        self.links.insert((a, b), quality);
        for (at, other) in [(a, b), (b, a)] {
            let (peer, router) = (PeerSlot(other as u16), self.router(other));
            self.sides[at].handle(self.now, Input::NeighbourUp { peer, router });
            self.act(at);
        }
    }

    /// The link carries nothing any more; neither side knows.
    pub(super) fn cut(&mut self, a: usize, b: usize) {
        self.links.remove(&(a.min(b), a.max(b)));
    }

    /// The link carries nothing any more, and both sides know.
    pub(super) fn disconnect(&mut self, a: usize, b: usize) {
        self.cut(a, b);
        for (at, other) in [(a, b), (b, a)] {
            self.sides[at].handle(self.now, Input::NeighbourDown { peer: PeerSlot(other as u16) });
            self.act(at);
        }
    }

    /// One router hears that the papers of another are void.
    pub(super) fn distrust(&mut self, at: usize, void: u16) {
        self.distrust_by(at, void, &revocation(void, 2));
    }

    /// One router hears a statement about another.
    pub(super) fn distrust_by(&mut self, at: usize, whom: u16, statement: &[u8]) {
        self.sides[at].distrust(self.now, identity(whom).node(), statement);
        self.act(at);
    }

    /// A router forgets all and starts again; its neighbours notice.
    pub(super) fn restart(&mut self, side: usize) {
        let (boot, limits) = (self.sides[side].boot + 1, self.sides[side].limits.clone());
        let neighbours: Vec<(usize, Quality)> = self
            .links
            .iter()
            .filter_map(|(&(a, b), &quality)| match (a == side, b == side) {
                (true, _) => Some((b, quality)),
                (_, true) => Some((a, quality)),
                _ => None,
            })
            .collect();
        for &(other, _) in &neighbours {
            self.disconnect(side, other);
        }
        self.sides[side] = Side::new(side as u16, boot, limits, self.now);
        for (other, quality) in neighbours {
            self.connect(side, other, quality);
        }
    }

    pub(super) fn send(&mut self, from: usize, to: usize, payload: &[u8]) {
        let to = self.router(to);
        let payload = Bytes::copy_from_slice(payload);
        self.sides[from].handle(self.now, Input::Send { to, home: None, class: Class::Normal, payload });
        self.act(from);
    }

    /// A packet to a router that need not be on the map, by the landmark that keeps it.
    pub(super) fn send_afar(&mut self, from: usize, to: usize, home: RouterId, payload: &[u8]) {
        let (to, home, class) = (self.router(to), Some(home), Class::Normal);
        let payload = Bytes::copy_from_slice(payload);
        self.sides[from].handle(self.now, Input::Send { to, home, class, payload });
        self.act(from);
    }

    /// One router looks for a node.
    pub(super) fn seek(&mut self, at: usize, node: NodeId) {
        let Side { routing, limits, drops, rng, .. } = &mut self.sides[at];
        routing.seek(&mut Cx { now: self.now, rng, limits, drops, zoo: Zoo::none() }, node);
        self.act(at);
    }

    fn put(&mut self, after: Duration, what: Happens) {
        self.serial += 1;
        self.agenda.insert((self.now + after, self.serial), what);
    }

    fn act(&mut self, at: usize) {
        while let Some(action) = self.sides[at].routing.poll() {
            match action {
                Action::Send { peer, tag, payload, .. } => {
                    let other = usize::from(peer.0);
                    self.messages += 1;
                    self.bytes += payload.len() as u64;
                    if let Some(quality) = self.links.get(&(at.min(other), at.max(other))) {
                        let round_trip = quality.srtt;
                        let arrives = Happens::Arrives { at: other, from: at, payload };
                        self.put(round_trip.mul_ratio(1, 2), arrives);
                        self.put(round_trip, Happens::Settles { at, peer: other, tag });
                    }
                }
                Action::Withdraw { .. } | Action::Appeared { .. } => {}
                Action::Found { .. } | Action::InVain { .. } | Action::Astray { .. } => {
                    self.said.push((at, action));
                }
                Action::Measure { peer } => {
                    let other = usize::from(peer.0);
                    if let Some(&quality) = self.links.get(&(at.min(other), at.max(other))) {
                        let times = if self.is_steep && at < other { 3 } else { 1 };
                        let quality = Quality { srtt: quality.srtt.mul_ratio(times, 1), ..quality };
                        self.sides[at].handle(self.now, Input::Measured { peer, quality });
                    }
                }
                Action::Deliver { from, home, payload } => {
                    self.delivered.push(Delivered { when: self.now, at, from, home, payload });
                }
            }
        }
        self.sides[at].routing.check(&self.sides[at].limits);
    }

    /// Lets so many milliseconds pass.
    pub(super) fn run(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        loop {
            let wakes = self.sides.iter().enumerate().map(|(at, side)| (side.routing.next_wake(), at));
            let (wake, sleeper) = wakes.min().unwrap();
            let next = self.agenda.first_key_value().map(|(&(at, _), _)| at);
            if let Some(when) = next
                && !wake.is_due(when)
            {
                if when > end {
                    break;
                }
                self.now = when;
                let (_, what) = self.agenda.pop_first().unwrap();
                self.happen(what);
                continue;
            }
            if !wake.is_due(end) {
                break;
            }
            if let crate::wake::Wake::At(at, _) = wake {
                self.now = self.now.max(at);
            }
            self.sides[sleeper].wake(self.now);
            self.act(sleeper);
        }
        self.now = end;
    }

    fn happen(&mut self, what: Happens) {
        match what {
            Happens::Arrives { at, from, payload } => {
                if self.links.contains_key(&(at.min(from), at.max(from))) {
                    self.sides[at].message(self.now, PeerSlot(from as u16), payload);
                    self.act(at);
                }
            }
            Happens::Settles { at, peer, tag } => {
                if self.links.contains_key(&(at.min(peer), at.max(peer))) {
                    let input = Input::Settled { peer: PeerSlot(peer as u16), tag, arrived: true };
                    self.sides[at].handle(self.now, input);
                    self.act(at);
                }
            }
        }
    }

    /// Pairs of routers of which the first has no way to the second.
    pub(super) fn without_way(&mut self) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        for from in 0..self.sides.len() {
            for to in 0..self.sides.len() {
                let router = self.router(to);
                if from != to && self.sides[from].routing.next_hop(self.now, router).is_none() {
                    pairs.push((from, to));
                }
            }
        }
        pairs
    }
}

/// Puts a device on a map, and says whether something leads to it.
pub(crate) fn pin(routing: &mut Routing, limits: &Limits, identity: &LocalIdentity, leads: bool) -> RouterId {
    let certificate = identity.certificate();
    let (node, device) = (certificate.node, certificate.device);
    let known = Known { node, device, sign_key: certificate.sign_key, dh_key: certificate.dh_key };
    let key = RecordKey { router: RouterId::of(device), part: Part::PAPERS };
    let (certificate, membership) = (identity.certificate_bytes().clone(), Bytes::new());
    let content = Content::Papers { certificate, membership };
    let record = SignedRecord::sign(&identity.secrets().sign, network().id(), key, 1, content);
    let own = routing.router();
    assert!(routing.database.insert((Instant::ZERO, limits), &record, (known, None), own));
    routing.database.note_distance(Instant::ZERO + Duration::from_secs(1), key.router, leads.then_some(1));
    key.router
}
