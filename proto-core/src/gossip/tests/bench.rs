//! A country of members: messages arrive after a while, datagrams perhaps, and whoever is dead says nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

use bytes::Bytes;

use crate::crypto::secret::Secret;
use crate::drops::Drops;
use crate::gossip::message::Message;
use crate::gossip::signed::{MessageId, Topic};
use crate::gossip::{Action, Gossip, Input, Keys, What};
use crate::identity::{DeviceSecrets, LocalIdentity, RootKey, Validity};
use crate::ids::{LinkId, NetworkId, RouterId};
use crate::limits::Limits;
use crate::machine::{Cx, Machine};
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::wake::Wake;
use crate::zoo::Zoo;

pub(super) const NETWORK: NetworkId = NetworkId([9; 32]);
pub(super) const TOPIC: Topic = Topic(7);

pub(super) fn identity(number: usize) -> LocalIdentity {
    let secret = |purpose: u8| {
        let mut bytes = [purpose; 32];
        bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
        Secret::new(bytes)
    };
    let (root, device) = (RootKey::new(&secret(1)), DeviceSecrets::new(&secret(2), &secret(3)));
    let certificate = root.certify(device.sign.public(), device.dh.public(), 1, Validity::ALWAYS);
    LocalIdentity::new(device, certificate).unwrap()
}

/// The papers of all who were ever made.
#[derive(Debug, Default)]
pub(super) struct Book(pub(super) BTreeMap<RouterId, [u8; 32]>);

impl Keys for Book {
    fn sign_key(&self, member: RouterId) -> Option<[u8; 32]> {
        self.0.get(&member).copied()
    }
}

pub(super) struct Side {
    pub(super) gossip: Gossip,
    pub(super) drops: Drops,
    rng: Rng,
    wake: Wake,
    pub(super) dead: bool,
    paused: bool,
    identity: LocalIdentity,
    boot: u32,
}

enum Happens {
    Arrives { at: usize, from: usize, payload: Bytes },
    Heard { at: usize, medium: LinkId, payload: Bytes },
    Settles { at: usize, to: usize, tag: u64 },
    Fails { at: usize, to: usize, tag: u64 },
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) limits: Limits,
    pub(super) sides: Vec<Side>,
    pub(super) book: Book,
    by_name: BTreeMap<RouterId, usize>,
    wakes: BTreeSet<(Instant, usize)>,
    agenda: BTreeMap<(Instant, u64), Happens>,
    serial: u64,
    rng: Rng,
    pub(super) loss_ppm: u64,
    pub(super) delay: Duration,
    /// Who hears whom on which medium.
    pub(super) media: BTreeMap<LinkId, Vec<usize>>,
    /// Nothing passes between these.
    pub(super) cut: BTreeSet<(usize, usize)>,
    /// When whom what reached: by member and broadcast.
    pub(super) delivered: BTreeMap<(usize, MessageId), Vec<Instant>>,
    /// What became known of whom, to whom, and when.
    pub(super) events: Vec<(Instant, usize, RouterId, What)>,
    pub(super) answers: Vec<(usize, Action)>,
    /// Messages by first byte.
    pub(super) messages: BTreeMap<u8, u64>,
    pub(super) shouts: u64,
    pub(super) woken: u64,
    /// Somebody has started again, and may be told again.
    pub(super) restarted: bool,
    /// Kept when a message is looked for.
    pub(super) log: Option<Vec<(Instant, usize, usize, Message)>>,
}

impl World {
    pub(super) fn limits() -> Limits {
        Limits { gossip_members: 2_048, ..Limits::SMALL }
    }

    pub(super) fn new(count: usize) -> World {
        World::with_limits(count, World::limits())
    }

    pub(super) fn with_limits(count: usize, limits: Limits) -> World {
        let mut world = World {
            now: Instant::from_micros(5_000_000),
            limits,
            sides: Vec::new(),
            book: Book::default(),
            by_name: BTreeMap::new(),
            wakes: BTreeSet::new(),
            agenda: BTreeMap::new(),
            serial: 0,
            rng: Rng::fork(&[7; 32], "gossip bench"),
            loss_ppm: 0,
            delay: Duration::from_millis(10),
            media: BTreeMap::new(),
            cut: BTreeSet::new(),
            delivered: BTreeMap::new(),
            events: Vec::new(),
            answers: Vec::new(),
            messages: BTreeMap::new(),
            shouts: 0,
            woken: 0,
            restarted: false,
            log: None,
        };
        for _ in 0..count {
            world.add();
        }
        world
    }

    /// One more member, whom nobody knows yet.
    pub(super) fn add(&mut self) -> usize {
        let number = self.sides.len();
        let identity = identity(number);
        let side = self.side(identity, 1);
        let name = side.gossip.member();
        self.book.0.insert(name, side.identity.certificate().sign_key);
        self.by_name.insert(name, number);
        self.sides.push(side);
        self.input(number, Input::Subscribe { topic: TOPIC });
        number
    }

    fn side(&self, identity: LocalIdentity, boot: u32) -> Side {
        let mut rng = Rng::fork(&identity.device().0, "gossip");
        let mut drops = Drops::default();
        let (now, limits, zoo) = (self.now, &self.limits, Zoo::none());
        let cx = &mut Cx { now, rng: &mut rng, limits, drops: &mut drops, zoo };
        let gossip = Gossip::new(cx, &identity, NETWORK, boot);
        Side { gossip, drops, rng, wake: Wake::Idle, dead: false, paused: false, identity, boot }
    }

    /// Members who all know each other by name, and have joined one after another by somebody who was there.
    pub(super) fn joined(count: usize) -> World {
        World::joined_with(count, World::limits())
    }

    pub(super) fn joined_with(count: usize, limits: Limits) -> World {
        let mut world = World::with_limits(count, limits);
        world.plant();
        for number in 1..count {
            let contact = world.rng.below(number as u64) as usize;
            world.join(number, contact);
            world.run(5);
        }
        world.run(5_000);
        world
    }

    /// Two towns of so many, whose people all have each other for neighbours, and a map that names those of the other town.
    pub(super) fn towns(of: usize) -> World {
        let mut world = World::new(2 * of);
        world.plant();
        for (a, b) in (0..2 * of).flat_map(|a| (0..a).map(move |b| (a, b))) {
            if a / of == b / of {
                world.connect(a, b, None);
            } else {
                for (at, other) in [(a, b), (b, a)] {
                    let member = world.name(other);
                    world.input(at, Input::Candidate { member });
                }
            }
        }
        world.run(20_000);
        world
    }

    pub(super) fn join(&mut self, number: usize, contact: usize) {
        let contact = self.name(contact);
        self.input(number, Input::Join { contact });
    }

    /// All know the words of all.
    pub(super) fn plant(&mut self) {
        let words: Vec<_> = self
            .sides
            .iter()
            .map(|side| side.gossip.members.get(side.gossip.member()).unwrap().announcement.clone())
            .collect();
        for side in &mut self.sides {
            for word in &words {
                if word.member != side.gossip.member() {
                    side.gossip.members.plant(self.now, word.clone());
                }
            }
        }
    }

    pub(super) fn name(&self, number: usize) -> RouterId {
        self.sides[number].gossip.member()
    }

    pub(super) fn number(&self, name: RouterId) -> usize {
        self.by_name[&name]
    }

    /// Something is heard on a medium, from nobody in particular.
    pub(super) fn heard(&mut self, at: usize, medium: LinkId, payload: Bytes) {
        let (now, zoo) = (self.now, Zoo::none());
        let Side { gossip, drops, rng, .. } = &mut self.sides[at];
        let cx = &mut Cx { now, rng, limits: &self.limits, drops, zoo };
        gossip.handle(cx, Input::Heard { medium, payload, keys: &self.book });
        self.act(at);
    }

    /// A session over a link is up between two.
    pub(super) fn connect(&mut self, a: usize, b: usize, medium: Option<LinkId>) {
        for (at, other) in [(a, b), (b, a)] {
            let member = self.name(other);
            self.input(at, Input::NeighbourUp { member, medium });
        }
    }

    /// Nothing passes between two any more, and nobody says so.
    pub(super) fn cut(&mut self, a: usize, b: usize) {
        self.cut.insert((a.min(b), a.max(b)));
    }

    pub(super) fn is_cut(&self, a: usize, b: usize) -> bool {
        let is_off = |side: &Side| side.dead || side.paused;
        is_off(&self.sides[a]) || is_off(&self.sides[b]) || self.cut.contains(&(a.min(b), a.max(b)))
    }

    pub(super) fn kill(&mut self, number: usize) {
        self.sides[number].dead = true;
        self.set_wake(number);
    }

    /// A member's machine is held up: it is not woken and hears nothing.
    pub(super) fn pause(&mut self, number: usize, paused: bool) {
        self.sides[number].paused = paused;
        self.set_wake(number);
    }

    /// A member starts again and has forgotten all.
    pub(super) fn restart(&mut self, number: usize) {
        let (identity, boot) = (self.sides[number].identity.clone(), self.sides[number].boot + 1);
        self.restarted = true;
        self.kill(number);
        self.sides[number] = self.side(identity, boot);
        self.input(number, Input::Subscribe { topic: TOPIC });
    }

    pub(super) fn say(&mut self, from: usize, payload: &[u8]) -> MessageId {
        let payload = Bytes::copy_from_slice(payload);
        self.input(from, Input::Broadcast { tag: 1, topic: TOPIC, payload });
        let gossip = &self.sides[from].gossip;
        MessageId { origin: gossip.member(), sequence: gossip.next_sequence }
    }

    pub(super) fn input(&mut self, at: usize, input: Input<'_>) {
        let (now, zoo) = (self.now, Zoo::none());
        let Side { gossip, drops, rng, dead, .. } = &mut self.sides[at];
        if !*dead {
            gossip.handle(&mut Cx { now, rng, limits: &self.limits, drops, zoo }, input);
            self.act(at);
        }
    }

    pub(super) fn message(&mut self, at: usize, from: usize, message: &Message) {
        self.raw(at, from, message.encode());
    }

    pub(super) fn raw(&mut self, at: usize, from: usize, payload: Bytes) {
        self.arrives(at, from, payload);
        self.act(at);
    }

    fn arrives(&mut self, at: usize, from: usize, payload: Bytes) {
        let (now, zoo, from) = (self.now, Zoo::none(), self.name(from));
        if let Some(log) = &mut self.log {
            log.push((now, self.by_name[&from], at, Message::decode(&payload).unwrap()));
        }
        let Side { gossip, drops, rng, .. } = &mut self.sides[at];
        let cx = &mut Cx { now, rng, limits: &self.limits, drops, zoo };
        gossip.handle(cx, Input::Message { from, payload, keys: &self.book });
    }

    fn put(&mut self, after: Duration, what: Happens) {
        self.serial += 1;
        self.agenda.insert((self.now + after, self.serial), what);
    }

    fn is_lost(&mut self) -> bool {
        self.rng.below(1_000_000) < self.loss_ppm
    }

    fn once(&mut self) -> Duration {
        self.delay + Duration::from_micros(self.rng.below(self.delay.as_micros() / 4 + 1))
    }

    /// A link that repeats what is lost: each attempt takes three delays more.
    fn send(&mut self, at: usize, to: usize, tag: u64, payload: Bytes) {
        if self.is_cut(at, to) {
            // As long as a session bears silence.
            self.put(Duration::from_secs(180), Happens::Fails { at, to, tag });
            return;
        }
        let repeat = self.delay.mul_ratio(3, 1);
        let mut there = self.once();
        while self.is_lost() {
            there = there + repeat;
        }
        let mut back = there + self.once();
        while self.is_lost() {
            back = back + repeat;
        }
        self.put(there, Happens::Arrives { at: to, from: at, payload });
        self.put(back, Happens::Settles { at, to, tag });
    }

    fn act(&mut self, at: usize) {
        while let Some(action) = self.sides[at].gossip.poll() {
            match action {
                Action::Send { to, tag, payload, .. } => {
                    *self.messages.entry(payload[0]).or_insert(0) += 1;
                    match self.by_name.get(&to) {
                        Some(&to) => self.send(at, to, tag, payload),
                        None => self.put(Duration::ZERO, Happens::Fails { at, to: usize::MAX, tag }),
                    }
                }
                Action::Datagram { to, payload } => {
                    *self.messages.entry(payload[0]).or_insert(0) += 1;
                    if let Some(&to) = self.by_name.get(&to)
                        && !self.is_lost()
                        && !self.is_cut(at, to)
                    {
                        let after = self.once();
                        self.put(after, Happens::Arrives { at: to, from: at, payload });
                    }
                }
                Action::Shout { medium, payload } => {
                    self.shouts += 1;
                    for other in self.media.get(&medium).cloned().unwrap_or_default() {
                        if other != at && !self.is_lost() {
                            let heard = Happens::Heard { at: other, medium, payload: payload.clone() };
                            self.put(self.delay, heard);
                        }
                    }
                }
                Action::Deliver { id, .. } => {
                    self.delivered.entry((at, id)).or_default().push(self.now);
                }
                Action::Member { member, what } => self.events.push((self.now, at, member, what)),
                other @ (Action::Spread { .. } | Action::Refused { .. }) => self.answers.push((at, other)),
            }
        }
        self.set_wake(at);
    }

    fn set_wake(&mut self, at: usize) {
        let side = &mut self.sides[at];
        if let Wake::At(before, _) = side.wake {
            self.wakes.remove(&(before, at));
        }
        side.wake = if side.dead || side.paused { Wake::Idle } else { side.gossip.next_wake() };
        if let Wake::At(when, _) = side.wake {
            self.wakes.insert((when, at));
        }
    }

    /// Lets so many milliseconds pass.
    pub(super) fn run(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        let (mut last, mut again) = ((Instant::ZERO, 0), 0);
        loop {
            let wake = self.wakes.first().copied();
            let event = self.agenda.first_key_value().map(|(&(at, _), _)| at);
            match (wake, event) {
                (Some((when, at)), event) if when <= end && event.is_none_or(|event| when < event) => {
                    self.now = self.now.max(when);
                    self.woken += 1;
                    let (now, zoo) = (self.now, Zoo::none());
                    let Side { gossip, drops, rng, .. } = &mut self.sides[at];
                    gossip.wake(&mut Cx { now, rng, limits: &self.limits, drops, zoo });
                    self.act(at);
                    // What it did may have made more to do, but not for ever.
                    again = if last == (self.now, at) { again + 1 } else { 0 };
                    last = (self.now, at);
                    let wake = self.sides[at].gossip.next_wake();
                    assert!(again < 8, "{at} does not get done: {wake:?}");
                }
                (_, Some(when)) if when <= end => {
                    self.now = when;
                    let (_, what) = self.agenda.pop_first().unwrap();
                    self.happen(what);
                }
                _ => break,
            }
        }
        self.now = end;
    }

    fn happen(&mut self, what: Happens) {
        match what {
            Happens::Arrives { at, from, payload } => {
                if !self.is_cut(at, from) {
                    self.arrives(at, from, payload);
                    self.act(at);
                }
            }
            Happens::Heard { at, medium, payload } => self.heard(at, medium, payload),
            Happens::Settles { at, to, tag } => {
                let to = self.name(to);
                self.input(at, Input::Settled { to, tag, arrived: true });
            }
            Happens::Fails { at, to, tag } => {
                let to = self.sides.get(to).map_or(RouterId([0xee; 8]), |side| side.gossip.member());
                self.input(at, Input::Settled { to, tag, arrived: false });
                self.input(at, Input::Unreachable { member: to });
            }
        }
    }

    pub(super) fn check(&self) {
        for side in self.sides.iter().filter(|side| !side.dead) {
            side.gossip.check(&self.limits);
        }
    }

    pub(super) fn alive(&self) -> Vec<usize> {
        (0..self.sides.len()).filter(|&number| !self.sides[number].dead).collect()
    }

    /// Payloads that came, for each that was new, in thousandths.
    pub(super) fn copies_permille(&self) -> u64 {
        let copies = self.sides.iter().map(|side| side.gossip.copies());
        let (new, old) = copies.fold((0, 0), |sum, copies| (sum.0 + copies.0, sum.1 + copies.1));
        (new + old) * 1_000 / new.max(1)
    }

    /// Those whom a broadcast did not reach, or more than once, but for its origin.
    pub(super) fn missed(&self, origin: usize, id: MessageId) -> Vec<usize> {
        let mut others = self.alive();
        others.retain(|&at| at != origin && self.delivered.get(&(at, id)).map(Vec::len) != Some(1));
        others
    }

    /// In how many parts the active views leave the living, and how many links are seen from one end only.
    pub(super) fn parts(&self) -> (usize, usize) {
        let mut part: BTreeMap<usize, usize> = self.alive().into_iter().map(|at| (at, at)).collect();
        let mut one_sided = 0;
        let mut changed = true;
        while changed {
            changed = false;
            one_sided = 0;
            for at in self.alive() {
                for other in self.sides[at].gossip.view() {
                    let other = self.by_name[&other];
                    let Some(&theirs) = part.get(&other) else { continue };
                    let name = self.name(at);
                    one_sided += usize::from(!self.sides[other].gossip.view().any(|id| id == name));
                    let least = theirs.min(part[&at]);
                    changed |= part[&at] != least || theirs != least;
                    part.insert(at, least);
                    part.insert(other, least);
                }
            }
        }
        let parts: BTreeSet<usize> = part.into_values().collect();
        (parts.len(), one_sided)
    }
}
