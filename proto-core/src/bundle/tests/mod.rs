//! Bundles in a landscape without links: messages between carriers arrive at once, and where something can go is what the test says.

mod bounds;
mod forms;
mod ways;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::vec::Vec;

use bytes::Bytes;

use super::message::Message;
use super::record::{Bundle, Head, Kind};
use super::{Action, Bundles, Input, Place, Signer, World as Outside};
use crate::carried::{Carried, Owed};
use crate::crypto::sign::Verifier;
use crate::drops::Drops;
use crate::identity::cast::{self, network};
use crate::identity::{Checker, LocalIdentity, Network, Revocations};
use crate::ids::{NodeId, RouterId};
use crate::limits::Limits;
use crate::machine::{Cx, Machine};
use crate::node::input::Class;
use crate::rng::Rng;
use crate::store::record::Record;
use crate::time::{Duration, Instant};
use crate::zoo::Zoo;

/// Who has this number. Numbers that differ in three bits only would have one X25519 key (RFC 7748, section 5: they are cleared).
fn identity(number: u16) -> LocalIdentity {
    cast::identity(number * 8)
}

const LIFETIME: Duration = Duration::from_secs(3_600);

/// What a carrier knows of the world.
#[derive(Debug)]
struct Known {
    identity: LocalIdentity,
    network: Network,
    revocations: Revocations,
    verifier: Verifier,
    signers: BTreeMap<RouterId, Signer>,
}

impl Outside for Known {
    fn signer(&self, router: RouterId) -> Option<Signer> {
        self.signers.get(&router).copied()
    }

    fn checker(&self) -> Checker<'_> {
        Checker {
            network: &self.network,
            revocations: &self.revocations,
            wall: None,
            verifier: &self.verifier,
        }
    }

    fn identity(&self) -> &LocalIdentity {
        &self.identity
    }
}

/// One carrier: what it was given to send, what came, and what lies on its disk.
struct Side {
    bundles: Bundles,
    limits: Limits,
    drops: Drops,
    rng: Rng,
    known: Known,
    /// Durable messages of ours that are not finished.
    owed: BTreeMap<(NodeId, u64), (Class, Bytes)>,
    arrived: Vec<(NodeId, u64, Bytes)>,
    taken: BTreeSet<(NodeId, u64)>,
    /// What the application is told of messages in other hands.
    entrusted: Vec<(NodeId, u64, bool)>,
    disk: BTreeMap<[u8; 16], (u64, u8, Bytes)>,
    /// Requests to the disk that it has not carried out.
    writes: VecDeque<u64>,
    has_room: bool,
}

impl Side {
    fn new(number: u16, boot: u32, limits: Limits) -> Side {
        let (identity, network) = (identity(number), network());
        let bundles = Bundles::new(&identity, network.id(), boot);
        let (revocations, verifier) = (Revocations::new(8), Verifier::default());
        let known = Known { identity, network, revocations, verifier, signers: BTreeMap::new() };
        Side {
            bundles,
            limits,
            drops: Drops::default(),
            rng: Rng::fork(&[number as u8; 32], "bundle"),
            known,
            owed: BTreeMap::new(),
            arrived: Vec::new(),
            taken: BTreeSet::new(),
            entrusted: Vec::new(),
            disk: BTreeMap::new(),
            writes: VecDeque::new(),
            has_room: true,
        }
    }

    fn router(&self) -> RouterId {
        RouterId::of(self.known.identity.device())
    }

    fn node(&self) -> NodeId {
        self.known.identity.node()
    }

    fn handle(&mut self, now: Instant, input: impl for<'w> FnOnce(&'w dyn Outside) -> Input<'w>) {
        let Side { bundles, limits, drops, rng, known, .. } = self;
        bundles.handle(&mut Cx { now, rng, limits, drops, zoo: Zoo::none() }, input(known));
        bundles.check(&self.limits);
    }

    fn wake(&mut self, now: Instant) {
        let Side { bundles, limits, drops, rng, .. } = self;
        bundles.wake(&mut Cx { now, rng, limits, drops, zoo: Zoo::none() });
        bundles.check(&self.limits);
    }
}

/// Several carriers. Numbers of sides are those of their identities.
struct World {
    now: Instant,
    sides: Vec<Side>,
    /// Who cannot be reached now, by anybody.
    away: BTreeSet<usize>,
    /// Whose neighbour each was when last heard of.
    relays: BTreeMap<usize, Vec<usize>>,
    /// Records go to the disk at once.
    disk_works: bool,
    /// Messages of this kind vanish.
    lose: Option<fn(&Message) -> bool>,
    sent: u64,
}

impl World {
    fn new(count: u16, limits: &Limits) -> World {
        let sides = (0..count).map(|number| Side::new(number, 1, limits.clone())).collect();
        World {
            now: Instant::from_micros(1),
            sides,
            away: BTreeSet::new(),
            relays: BTreeMap::new(),
            disk_works: true,
            lose: None,
            sent: 0,
        }
    }

    fn of_router(&self, router: RouterId) -> Option<usize> {
        self.sides.iter().position(|side| side.router() == router)
    }

    fn of_node(&self, node: NodeId) -> usize {
        self.sides.iter().position(|side| side.node() == node).unwrap()
    }

    /// Where something for `to` goes from `at`.
    fn place(&self, at: usize, to: usize, avoid: &[RouterId]) -> Place {
        let is_there = !self.away.contains(&to) && !self.away.contains(&at);
        let relays = self.relays.get(&to).map_or(&[][..], Vec::as_slice);
        if relays.contains(&at) {
            return if is_there { Place::There(None) } else { Place::Here };
        }
        let reachable = relays.iter().map(|&relay| (relay, self.sides[relay].router()));
        let mut free =
            reachable.filter(|(relay, router)| !self.away.contains(relay) && !avoid.contains(router));
        let by = free.next().map(|(_, router)| router).filter(|_| !self.away.contains(&at));
        if is_there { Place::There(by) } else { by.map_or(Place::Here, Place::By) }
    }

    /// The application sends a durable message that is on the disk already.
    fn write(&mut self, from: usize, to: usize, number: u64, class: Class, payload: &[u8]) {
        let node = self.sides[to].node();
        let payload = Bytes::copy_from_slice(payload);
        self.sides[from].owed.insert((node, number), (class, payload));
        self.sides[from].handle(self.now, |_| Input::Waits { node, number, class });
        self.run();
    }

    /// Does all that is due now.
    fn run(&mut self) {
        for _ in 0..10_000 {
            let now = self.now;
            let due = |side: &Side| side.bundles.next_wake().is_due(now);
            if let Some(at) = (0..self.sides.len()).find(|&at| due(&self.sides[at])) {
                self.sides[at].wake(self.now);
            }
            let mut idle = true;
            for at in 0..self.sides.len() {
                while let Some(action) = self.sides[at].bundles.poll() {
                    idle = false;
                    self.act(at, action);
                }
            }
            if idle && !self.sides.iter().any(due) {
                return;
            }
        }
        panic!("it does not end");
    }

    /// Lets time pass.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            self.run();
            let at = |side: &Side| match side.bundles.next_wake() {
                crate::wake::Wake::At(at, _) => Some(at),
                crate::wake::Wake::Now | crate::wake::Wake::Idle => None,
            };
            match self.sides.iter().filter_map(at).min().filter(|&at| at <= end) {
                Some(at) => self.now = at,
                None => break,
            }
        }
        self.now = end;
        self.run();
    }

    fn map_changes(&mut self) {
        for at in 0..self.sides.len() {
            self.sides[at].handle(self.now, |_| Input::MapChanged);
        }
        self.pass(Duration::from_secs(1));
    }

    /// Somebody falls asleep or wakes up, and everybody hears of it.
    fn sleeps(&mut self, at: usize, asleep: bool) {
        if asleep {
            self.away.insert(at);
        } else {
            self.away.remove(&at);
        }
        self.map_changes();
    }

    fn act(&mut self, at: usize, action: Action) {
        let now = self.now;
        match action {
            Action::Find { node, avoid } => {
                let to = self.of_node(node);
                let identity = &self.sides[to].known.identity;
                let device = Some((RouterId::of(identity.device()), identity.certificate().dh_key));
                let place = self.place(at, to, &avoid);
                self.sides[at].handle(now, |_| Input::Found { node, device, place });
            }
            Action::Locate { to, avoid } => {
                let place = self.of_router(to).map_or(Place::Here, |to| self.place(at, to, &avoid));
                self.sides[at].handle(now, |_| Input::Located { to, place });
            }
            Action::Fetch { node, number } => {
                let owed = match self.sides[at].owed.get(&(node, number)).cloned() {
                    Some((class, payload)) => Owed::Message { class, lifetime: LIFETIME, payload },
                    None => Owed::Gone,
                };
                self.sides[at].handle(now, |world| Input::Fetched { node, number, owed, world });
            }
            Action::Send { to, tag, payload, .. } => self.carry(at, to, tag, payload),
            Action::Arrived { node, number, payload, .. } => {
                let side = &mut self.sides[at];
                let carried = if !side.taken.contains(&(node, number)) && !side.has_room {
                    Carried::Full
                } else if side.taken.insert((node, number)) {
                    side.arrived.push((node, number, payload));
                    Carried::Writing
                } else {
                    Carried::Known
                };
                side.handle(now, |_| Input::Arrived { node, number, carried });
                if carried == Carried::Writing {
                    side.handle(now, |_| Input::Delivered { node, number });
                }
            }
            Action::Receipt { node, .. } => {
                let side = &mut self.sides[at];
                let taken = side.taken.range((node, 0)..=(node, u64::MAX));
                let runs = taken.map(|&(_, number)| (number, number)).collect();
                side.handle(now, |world| Input::Receipt { node, runs, world });
            }
            Action::Receipted { node, runs } => {
                let is_in = |number: u64| runs.iter().any(|&(first, last)| (first..=last).contains(&number));
                let of_it = self.sides[at].owed.range((node, 0)..=(node, u64::MAX));
                let done: Vec<u64> =
                    of_it.map(|(&(_, number), _)| number).filter(|&number| is_in(number)).collect();
                for number in done {
                    self.sides[at].owed.remove(&(node, number));
                    self.sides[at].handle(now, |_| Input::Ended { node, number });
                }
            }
            Action::Entrusted { node, number, stored } => {
                self.sides[at].entrusted.push((node, number, stored))
            }
            Action::Store { slot, record } => {
                let side = &mut self.sides[at];
                match record {
                    Record::Bundle { id, lifetime_s, handovers, bytes } => {
                        side.disk.insert(id, (lifetime_s, handovers, bytes));
                    }
                    Record::Erased { key: crate::store::record::Key::Bundle(id) } => {
                        side.disk.remove(&id);
                    }
                    other => panic!("{other:?}"),
                }
                if self.disk_works {
                    side.handle(now, |_| Input::Stored { slot });
                } else {
                    side.writes.push_back(slot);
                }
            }
        }
    }

    fn carry(&mut self, at: usize, to: RouterId, tag: u64, payload: Bytes) {
        self.sent += 1;
        let (now, from) = (self.now, self.sides[at].router());
        let message = Message::decode(&payload).unwrap();
        assert_eq!(message.encode(), payload, "what is read is written alike");
        let to = self.of_router(to).filter(|to| !self.away.contains(to) && !self.away.contains(&at));
        let lost = self.lose.is_some_and(|lose| lose(&message));
        if let Some(to) = to.filter(|_| !lost) {
            self.sides[to].handle(now, |world| Input::Message { from, payload, world });
        }
        self.sides[at].handle(now, |_| Input::Settled { tag, arrived: to.is_some() });
    }

    /// The power of a carrier fails: what is not on the disk is gone.
    fn restart(&mut self, at: usize) {
        let side = &mut self.sides[at];
        let boot = 2;
        side.bundles = Bundles::new(&side.known.identity, side.known.network.id(), boot);
        for (lifetime_s, handovers, bundle) in side.disk.clone().into_values() {
            let lifetime = Duration::from_secs(lifetime_s);
            side.handle(self.now, |_| Input::Recovered { bundle, lifetime, handovers });
        }
        for ((node, number), (class, _)) in side.owed.clone() {
            side.handle(self.now, |_| Input::Waits { node, number, class });
        }
        self.run();
    }

    fn kept(&self, at: usize) -> usize {
        self.sides[at].bundles.kept().0
    }
}

fn limits() -> Limits {
    Limits { routers: 16, ..Limits::SMALL }
}

/// A bundle of one side for another.
fn bundle_of(from: u16, to: u16, number: u64, class: Class, text: &[u8]) -> Bundle {
    let (source, destination) = (identity(from), identity(to));
    let head = Head {
        from: RouterId::of(source.device()),
        to: RouterId::of(destination.device()),
        kind: Kind::Message,
        number,
        class,
    };
    let rng = &mut Rng::fork(&[number as u8; 32], "test");
    let key = destination.certificate().dh_key;
    Bundle::seal(rng, &source, network().id(), (head, &key), text).unwrap()
}
