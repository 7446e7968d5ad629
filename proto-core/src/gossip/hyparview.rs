//! With whom gossip is exchanged: a few members, each of whom counts this one among his few, and some more names in reserve.
//!
//! At a market everybody stands in a small ring of people and talks to those only; who walks off is replaced by a name from a list in
//! one's pocket, and now and then two exchange parts of their lists. However big the market, each has five to talk to, and
//! word gets round.
//!
//! HyParView (Leitão, Pereira and Rodrigues, DSN 2007): the ring is the *active* view, symmetric; the list the *passive* view. Numbers
//! from section 5.1: walks of 6 and 3 hops, shuffles of 3 and 4 names. Departures: direct neighbours (*near*) are
//! preferred, since a payload then crosses each link once; at least two seats stay for others (*far*), for a view of neighbours only
//! may fall into parts that a random graph of two links each does not. Where the map names candidates nothing is shuffled. And a request
//! is answered also when it is accepted, since there is no connection whose being open says so.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::message::Message;
use super::out::Out;
use super::swim::GUARDS;
use crate::ids::{LinkId, RouterId};
use crate::limits::Limits;
use crate::machine::Cx;
use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// Active random walk length.
const ACTIVE_WALK: u8 = 6;
/// Passive random walk length.
const PASSIVE_WALK: u8 = 3;
/// Members of the active and of the passive view in a shuffle.
const SHUFFLE_ACTIVE: usize = 3;
const SHUFFLE_PASSIVE: usize = 4;
/// Between two shuffles; a guess, as iroh-gossip's 60 s.
const SHUFFLE_EVERY: Duration = Duration::from_secs(30);
/// So long after the map named somebody nothing is shuffled.
const MAP_IS_FRESH: Duration = Duration::from_secs(600);
/// Between two looks for more, while some are lacking.
const FILL_EVERY: Duration = Duration::from_millis(500);
/// An answer that takes longer does not come.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Who declined is not asked again for so long, then for twice as long each time (a guess: a seat is often free again when others have found
/// theirs),
const DECLINED_FIRST: Duration = Duration::from_secs(1);
/// and at most for so long. So is who could not be reached, and so long after that the refusals are forgotten.
const DECLINED: Duration = Duration::from_secs(30);
/// Who has nobody to ask looks among all members this often.
const STARVED: Duration = Duration::from_secs(5);
/// So many are remembered who declined.
const MOST_DECLINED: usize = 256;
/// Far members beside near ones.
const FAR_LEAST: usize = 2;
/// Far members where there are no near ones: log10(n) + 1 for 10,000 nodes, section 5.1.
const FAR_ALONE: usize = 5;
/// Names in reserve for each seat: 30 for 5, section 5.1.
const PASSIVE_PER_SEAT: usize = 6;

/// One of the active view.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Seat {
    /// A direct neighbour.
    pub(super) near: bool,
    /// The shared medium over which it is reached, if there is one.
    pub(super) medium: Option<LinkId>,
}

/// Somebody who has not let this node in, or was asked to go.
#[derive(Clone, Copy, Debug)]
struct Declined {
    until: Instant,
    pause: Duration,
}

impl Declined {
    /// Nobody was asked again for as long as the longest pause.
    fn is_forgotten(&self, now: Instant) -> bool {
        self.until + DECLINED <= now
    }
}

/// What has changed in the active view.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Up(RouterId, Seat),
    Down(RouterId),
}

/// The two views.
#[derive(Debug)]
pub(super) struct Views {
    own: RouterId,
    seats: usize,
    neighbours: BTreeMap<RouterId, Option<LinkId>>,
    active: BTreeMap<RouterId, Seat>,
    passive: BTreeSet<RouterId>,
    asked: BTreeMap<RouterId, (Instant, u64)>,
    declined: BTreeMap<RouterId, Declined>,
    shuffled: Vec<RouterId>,
    fill_at: Option<Instant>,
    shuffle_at: Instant,
    map_at: Option<Instant>,
    pub(super) changes: Vec<Change>,
    /// Somebody is lacking, and nobody in reserve may be asked.
    pub(super) starving: bool,
}

impl Views {
    pub(super) fn new(cx: &mut Cx<'_>, own: RouterId) -> Views {
        Views {
            own,
            seats: usize::from(cx.limits.gossip_view).max(2 * FAR_LEAST),
            neighbours: BTreeMap::new(),
            active: BTreeMap::new(),
            passive: BTreeSet::new(),
            asked: BTreeMap::new(),
            declined: BTreeMap::new(),
            shuffled: Vec::new(),
            fill_at: None,
            shuffle_at: cx.now + jittered(cx.rng, SHUFFLE_EVERY),
            map_at: None,
            changes: Vec::new(),
            starving: false,
        }
    }

    pub(super) fn active(&self) -> &BTreeMap<RouterId, Seat> {
        &self.active
    }

    /// Whether there are direct neighbours, in the view or not.
    pub(super) fn has_neighbours(&self) -> bool {
        !self.neighbours.is_empty()
    }

    /// Whether there are direct neighbours enough in the view who would notice that this node is silent.
    pub(super) fn is_guarded(&self) -> bool {
        self.near() >= GUARDS
    }

    /// Direct neighbours that a transmission on a medium reaches.
    pub(super) fn listeners(&self) -> BTreeMap<LinkId, u64> {
        let mut listeners = BTreeMap::new();
        for medium in self.neighbours.values().filter_map(|medium| *medium) {
            *listeners.entry(medium).or_insert(0) += 1;
        }
        listeners
    }

    /// Whether somebody may take this node for his neighbour in the overlay.
    pub(super) fn counts_on(&self, id: RouterId) -> bool {
        self.active.contains_key(&id) || self.asked.contains_key(&id)
    }

    #[cfg(test)]
    pub(super) fn passive(&self) -> &BTreeSet<RouterId> {
        &self.passive
    }

    pub(super) fn next_wake(&self) -> Instant {
        self.fill_at.map_or(self.shuffle_at, |at| at.min(self.shuffle_at))
    }

    fn near(&self) -> usize {
        self.active.values().filter(|seat| seat.near).count()
    }

    fn far(&self) -> usize {
        self.active.len() - self.near()
    }

    fn has_room(&self, near: bool) -> bool {
        if near {
            self.near() < self.seats - FAR_LEAST
        } else {
            self.far() < (self.seats - self.near()).max(FAR_LEAST)
        }
    }

    fn is_wanted(&self, near: bool) -> bool {
        let asked_near = self.asked.keys().any(|id| self.neighbours.contains_key(id));
        let far_wanted = if self.near() == 0 && !asked_near { FAR_ALONE.min(self.seats) } else { FAR_LEAST };
        self.has_room(near) && (near || self.far() < far_wanted)
    }

    /// A session with a direct neighbour is up.
    pub(super) fn neighbour_up(&mut self, cx: &mut Cx<'_>, id: RouterId, medium: Option<LinkId>) {
        if id == self.own || self.neighbours.len() >= usize::from(cx.limits.peers) {
            return;
        }
        self.neighbours.insert(id, medium);
        self.declined.remove(&id);
        // Of the two that see each other the one with the smaller name asks; the other only if nothing comes of it.
        let wait = if self.own < id { Duration::ZERO } else { FILL_EVERY };
        self.fill_soon(cx.now + wait);
        if let Some(seat) = self.active.get_mut(&id) {
            let now = Seat { near: true, medium };
            if core::mem::replace(seat, now) != now {
                self.changes.push(Change::Down(id));
                self.changes.push(Change::Up(id, now));
            }
        }
    }

    /// It is no direct neighbour any more. Whether it was one of the active view.
    pub(super) fn neighbour_down(&mut self, cx: &mut Cx<'_>, id: RouterId) -> bool {
        self.neighbours.remove(&id);
        let was_active = self.lose(cx.now, id);
        if was_active {
            self.reserve(cx.rng, id);
        }
        was_active
    }

    /// It cannot be reached, or is gone: it is in neither view.
    pub(super) fn forget(&mut self, now: Instant, id: RouterId) -> bool {
        self.passive.remove(&id);
        self.asked.remove(&id);
        self.decline(now, id, DECLINED);
        self.lose(now, id)
    }

    /// Is not asked again for a while: `first`, if it has not declined before.
    fn decline(&mut self, now: Instant, id: RouterId, first: Duration) {
        let before = self.declined.get(&id);
        if before.is_some() || self.declined.len() < MOST_DECLINED {
            let pause = before.map_or(first, |before| before.pause.mul_ratio(2, 1).max(first).min(DECLINED));
            self.declined.insert(id, Declined { until: now + pause, pause });
        }
    }

    fn may_ask(&self, now: Instant, id: &RouterId) -> bool {
        self.declined.get(id).is_none_or(|declined| declined.until <= now)
    }

    /// Any member, since there is nobody else to ask. One who may not be asked now changes nothing.
    pub(super) fn offer(&mut self, cx: &mut Cx<'_>, id: RouterId) {
        if self.is_free(cx.now, &id) && !self.neighbours.contains_key(&id) {
            self.reserve(cx.rng, id);
            self.fill_soon(cx.now + Duration::from_millis(1));
        }
    }

    /// Whether somebody may be asked now.
    fn is_free(&self, now: Instant, id: &RouterId) -> bool {
        !self.active.contains_key(id) && !self.asked.contains_key(id) && self.may_ask(now, id)
    }

    /// Somebody who may be asked, as the map says.
    pub(super) fn candidate(&mut self, cx: &mut Cx<'_>, id: RouterId) {
        self.map_at = Some(cx.now);
        self.reserve(cx.rng, id);
        self.fill_soon(cx.now + FILL_EVERY);
    }

    /// Asks somebody to let us in.
    pub(super) fn join(&mut self, cx: &mut Cx<'_>, out: &mut Out, contact: RouterId) {
        if contact != self.own && !self.active.contains_key(&contact) {
            let tag = out.send(cx.now, cx.limits, contact, &Message::Join);
            self.asked.insert(contact, (cx.now + ANSWER_WITHIN, tag));
            self.fill_soon(cx.now + ANSWER_WITHIN);
        }
    }

    fn fill_soon(&mut self, at: Instant) {
        self.fill_at = Some(self.fill_at.map_or(at, |before| before.min(at)));
    }

    /// It leaves the view; another is looked for then.
    fn lose(&mut self, look_at: Instant, id: RouterId) -> bool {
        if self.active.remove(&id).is_none() {
            return false;
        }
        self.changes.push(Change::Down(id));
        self.fill_soon(look_at);
        true
    }

    fn gain(&mut self, cx: &mut Cx<'_>, out: &mut Out, id: RouterId) {
        self.passive.remove(&id);
        self.asked.remove(&id);
        self.declined.remove(&id);
        let neighbour = self.neighbours.get(&id);
        let seat = Seat { near: neighbour.is_some(), medium: neighbour.copied().flatten() };
        if self.active.insert(id, seat) == Some(seat) {
            return;
        }
        self.changes.push(Change::Up(id, seat));
        self.make_room(cx, out, id);
    }

    /// Too many sit here: somebody goes who has not just come. A far one if there are more than must be, else any of the same kind.
    fn make_room(&mut self, cx: &mut Cx<'_>, out: &mut Out, newcomer: RouterId) {
        while self.active.len() > self.seats {
            let near = self.far() <= FAR_LEAST;
            let others = self.active.iter().filter(|(id, seat)| seat.near == near && **id != newcomer);
            let others: Vec<RouterId> = others.map(|(&id, _)| id).collect();
            let Some(&victim) = pick(cx.rng, &others) else { return };
            self.dismiss(cx, out, victim);
        }
    }

    fn dismiss(&mut self, cx: &mut Cx<'_>, out: &mut Out, id: RouterId) {
        out.send(cx.now, cx.limits, id, &Message::Disconnect);
        self.lose(cx.now, id);
        self.decline(cx.now, id, DECLINED_FIRST);
        self.reserve(cx.rng, id);
    }

    /// Adds a name to the passive view; a random one makes room.
    fn reserve(&mut self, rng: &mut Rng, id: RouterId) {
        if id == self.own || self.active.contains_key(&id) || self.passive.contains(&id) {
            return;
        }
        if self.passive.len() >= self.seats * PASSIVE_PER_SEAT {
            // Names that were sent to somebody else are the least loss, section 4.4.
            let sent = self.shuffled.iter().find(|id| self.passive.contains(id)).copied();
            let all: Vec<RouterId> = self.passive.iter().copied().collect();
            if let Some(victim) = sent.or_else(|| pick(rng, &all).copied()) {
                self.passive.remove(&victim);
            }
        }
        self.passive.insert(id);
    }

    /// Somebody asks to be let in: he is, and some far from here are told of him, section 4.2.
    pub(super) fn on_join(&mut self, cx: &mut Cx<'_>, out: &mut Out, from: RouterId) {
        let others: Vec<RouterId> = self.active.keys().copied().filter(|&id| id != from).collect();
        self.gain(cx, out, from);
        out.send(cx.now, cx.limits, from, &Message::Answer { accepted: true });
        for id in others {
            let message = Message::ForwardJoin { joined: from, hops: ACTIVE_WALK };
            out.send(cx.now, cx.limits, id, &message);
        }
    }

    pub(super) fn on_forward_join(
        &mut self,
        cx: &mut Cx<'_>,
        out: &mut Out,
        from: RouterId,
        joined: RouterId,
        hops: u8,
    ) {
        if joined == self.own {
            return;
        }
        let hops = hops.min(ACTIVE_WALK);
        let others = self.active.keys().copied().filter(|&id| id != from && id != joined);
        let others: Vec<RouterId> = others.collect();
        if hops == PASSIVE_WALK {
            self.reserve(cx.rng, joined);
        }
        match pick(cx.rng, &others) {
            Some(&next) if hops > 0 => {
                let message = Message::ForwardJoin { joined, hops: hops - 1 };
                out.send(cx.now, cx.limits, next, &message);
            }
            _ => {
                self.reserve(cx.rng, joined);
                if self.has_room(self.neighbours.contains_key(&joined)) {
                    self.ask(cx, out, joined);
                }
            }
        }
    }

    pub(super) fn on_neighbour(&mut self, cx: &mut Cx<'_>, out: &mut Out, from: RouterId, urgent: bool) {
        let near = self.neighbours.contains_key(&from);
        let accepted = urgent || self.active.contains_key(&from) || self.has_room(near);
        out.send(cx.now, cx.limits, from, &Message::Answer { accepted });
        if accepted {
            self.gain(cx, out, from);
        } else {
            self.reserve(cx.rng, from);
        }
    }

    pub(super) fn on_answer(&mut self, cx: &mut Cx<'_>, out: &mut Out, from: RouterId, accepted: bool) {
        if self.asked.remove(&from).is_none() {
            return;
        }
        if !accepted {
            self.lose(cx.now, from);
            self.decline(cx.now, from, DECLINED_FIRST);
            self.fill_soon(cx.now);
        } else if self.active.contains_key(&from) || self.has_room(self.neighbours.contains_key(&from)) {
            self.gain(cx, out, from);
        } else {
            out.send(cx.now, cx.limits, from, &Message::Disconnect);
            self.decline(cx.now, from, DECLINED_FIRST);
        }
    }

    pub(super) fn on_disconnect(&mut self, cx: &mut Cx<'_>, from: RouterId) {
        // It may have overtaken an answer that it takes back.
        self.asked.remove(&from);
        if self.active.contains_key(&from) {
            // Who took leave had too many, and so may others have now.
            self.lose(cx.now + jittered(cx.rng, FILL_EVERY), from);
            self.decline(cx.now, from, DECLINED_FIRST);
            self.reserve(cx.rng, from);
        }
    }

    /// A request that did not arrive, as a connection that cannot be opened, section 4.3.
    pub(super) fn settled(&mut self, now: Instant, to: RouterId, tag: u64, arrived: bool) {
        if !arrived && self.asked.get(&to).is_some_and(|&(_, asked)| asked == tag) {
            self.asked.remove(&to);
            self.passive.remove(&to);
            self.decline(now, to, DECLINED);
            self.fill_soon(now);
        }
    }

    pub(super) fn on_shuffle(
        &mut self,
        cx: &mut Cx<'_>,
        out: &mut Out,
        from: RouterId,
        (origin, hops, members): (RouterId, u8, &[RouterId]),
    ) {
        let hops = hops.min(ACTIVE_WALK).saturating_sub(1);
        let members = members.get(..SHUFFLE_ACTIVE + SHUFFLE_PASSIVE).unwrap_or(members);
        let others = self.active.keys().copied().filter(|&id| id != from && id != origin);
        let others: Vec<RouterId> = others.collect();
        if let Some(&next) = pick(cx.rng, &others)
            && hops > 0
        {
            let message = Message::Shuffle { origin, hops, members: members.to_vec() };
            out.send(cx.now, cx.limits, next, &message);
            return;
        }
        if origin != self.own {
            let mine = sample(cx.rng, self.passive.iter().copied(), members.len());
            let reply = Message::ShuffleReply { members: mine.clone() };
            out.datagram(cx.now, cx.limits, origin, &reply);
            self.shuffled = mine;
            self.reserve(cx.rng, origin);
            self.on_shuffle_reply(cx, members);
        }
    }

    pub(super) fn on_shuffle_reply(&mut self, cx: &mut Cx<'_>, members: &[RouterId]) {
        for &id in members.iter().take(SHUFFLE_ACTIVE + SHUFFLE_PASSIVE) {
            self.reserve(cx.rng, id);
        }
        self.fill_soon(cx.now + FILL_EVERY);
    }

    pub(super) fn wake(&mut self, cx: &mut Cx<'_>, out: &mut Out) {
        if self.shuffle_at <= cx.now {
            self.shuffle_at = cx.now + jittered(cx.rng, SHUFFLE_EVERY);
            self.shuffle(cx, out);
        }
        if self.fill_at.is_some_and(|at| at <= cx.now) {
            self.fill_at = None;
            self.fill(cx, out);
        }
    }

    fn shuffle(&mut self, cx: &mut Cx<'_>, out: &mut Out) {
        let fed = self.map_at.is_some_and(|at| at + MAP_IS_FRESH > cx.now);
        let active: Vec<RouterId> = self.active.keys().copied().collect();
        let Some(&to) = pick(cx.rng, &active) else { return };
        if fed || out.free_at() > cx.now {
            return;
        }
        let mut members = sample(cx.rng, active.into_iter().filter(|&id| id != to), SHUFFLE_ACTIVE);
        self.shuffled = sample(cx.rng, self.passive.iter().copied(), SHUFFLE_PASSIVE);
        members.extend(&self.shuffled);
        let message = Message::Shuffle { origin: self.own, hops: ACTIVE_WALK, members };
        out.send(cx.now, cx.limits, to, &message);
    }

    fn ask(&mut self, cx: &mut Cx<'_>, out: &mut Out, id: RouterId) {
        if self.active.contains_key(&id) || self.asked.contains_key(&id) {
            return;
        }
        let urgent = self.active.is_empty() || self.is_left_over(&id);
        let tag = out.send(cx.now, cx.limits, id, &Message::Neighbour { urgent });
        self.asked.insert(id, (cx.now + ANSWER_WITHIN, tag));
    }

    /// In a crowd where all others have found each other somebody may be left over, with free seats and nobody free to take one: who
    /// lets him in sends another away, and both have a seat for that one.
    fn is_left_over(&self, id: &RouterId) -> bool {
        let choice = self.neighbours.len() > self.seats - FAR_LEAST;
        choice && !self.is_guarded() && self.neighbours.contains_key(id) && self.declined.contains_key(id)
    }

    /// Asks as many as are lacking, one far one at a time.
    fn fill(&mut self, cx: &mut Cx<'_>, out: &mut Out) {
        let silent = self.asked.iter().filter(|(_, (until, _))| *until <= cx.now);
        for id in silent.map(|(&id, _)| id).collect::<Vec<RouterId>>() {
            self.asked.remove(&id);
            self.passive.remove(&id);
            self.decline(cx.now, id, DECLINED);
        }
        self.declined.retain(|_, declined| !declined.is_forgotten(cx.now));
        for id in self.neighbours.keys().copied().collect::<Vec<RouterId>>() {
            let asked = self.asked.keys().filter(|id| self.neighbours.contains_key(id)).count();
            if self.near() + asked >= self.seats - FAR_LEAST {
                break;
            }
            if self.is_free(cx.now, &id) {
                self.ask(cx, out, id);
            }
        }
        let waits_for_near = self.near() == 0 && self.asked.keys().any(|id| self.neighbours.contains_key(id));
        if self.is_wanted(false) && !waits_for_near {
            let free = self
                .passive
                .iter()
                .filter(|id| self.is_free(cx.now, id) && !self.neighbours.contains_key(id));
            let free: Vec<RouterId> = free.copied().collect();
            if let Some(&id) = pick(cx.rng, &free) {
                self.ask(cx, out, id);
            } else {
                self.starving = true;
                self.fill_soon(cx.now + jittered(cx.rng, STARVED));
            }
        }
        let lacks_near =
            self.is_wanted(true) && self.neighbours.keys().any(|id| !self.active.contains_key(id));
        if lacks_near || (self.is_wanted(false) && !self.starving) {
            self.fill_soon(cx.now + jittered(cx.rng, FILL_EVERY));
        }
        if let Some(until) = self.asked.values().map(|&(until, _)| until).min() {
            self.fill_soon(until);
        }
    }

    pub(super) fn worst_case_bytes(limits: &Limits) -> u64 {
        let (seats, name) = (u64::from(limits.gossip_view).max(4), 3 * size_of::<RouterId>() as u64);
        let reserve = seats * PASSIVE_PER_SEAT as u64;
        let asked = (reserve + u64::from(limits.peers) + MOST_DECLINED as u64) * (name + 56);
        reserve * name + seats * (name + 32) + u64::from(limits.peers) * (name + 16) + asked
    }

    pub(super) fn check(&self) {
        assert!(self.active.len() <= self.seats, "{} in {} seats", self.active.len(), self.seats);
        assert!(self.passive.len() <= self.seats * PASSIVE_PER_SEAT);
        assert!(!self.active.contains_key(&self.own) && !self.passive.contains(&self.own));
        assert!(self.passive.iter().all(|id| !self.active.contains_key(id)), "a name in both views");
        for (id, seat) in &self.active {
            assert_eq!(seat.near, self.neighbours.contains_key(id), "{id} is near and is not");
        }
    }
}

fn pick<'a, T>(rng: &mut Rng, of: &'a [T]) -> Option<&'a T> {
    of.get(rng.below(of.len() as u64) as usize)
}

/// Some of many, each as likely as any other.
fn sample(rng: &mut Rng, of: impl Iterator<Item = RouterId>, most: usize) -> Vec<RouterId> {
    let mut left: Vec<RouterId> = of.collect();
    let mut taken = Vec::new();
    while taken.len() < most && !left.is_empty() {
        taken.push(left.swap_remove(rng.below(left.len() as u64) as usize));
    }
    taken
}

/// Three quarters of a span to five quarters of it.
pub(super) fn jittered(rng: &mut Rng, span: Duration) -> Duration {
    span.mul_ratio(3, 4) + Duration::from_micros(rng.below(span.as_micros() / 2 + 1))
}
