//! Round relays that take packets and do not pass them on.
//!
//! Whoever hands a letter to a postman who throws it away gets a receipt all the same; that it did not arrive is known at its two ends only.
//! So the ends judge: who asks and is not answered blames all who stood on the way, and names in his packets, four bytes each, whom
//! others are not to hand them to. Every relay on the way reckons with the same map without those, so ways do not circle. If an answer
//! comes by the new way those who stood on the old one alone were to blame, and are avoided by this router's other packets as well, until
//! one arrives by them; if none comes by any way nobody is blamed. An answer avoids whom the question avoided.
//!
//! Weights that grow with each failure and bound what is lost to a number of liars: Awerbuch et al., "An on-demand secure
//! routing protocol resilient to Byzantine failures" (WiSe 2002), section 4.3; their search for the one link needs
//! words from the relays, which a source that names whom to avoid does not.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::Routing;
use super::graph::Graph;
use super::message::short;
use crate::ids::RouterId;
use crate::time::{Duration, Instant};

/// Relays that a packet can name.
pub const MOST_AVOIDED: usize = 16;
/// Destinations for which something is remembered, relays under suspicion, and those who are to blame for one destination.
const MOST_TALKS: usize = 32;
const MOST_SUSPECTS: usize = 64;
const MOST_BLAMED: usize = 24;
/// An answer is waited for as long as four round trips should take by the costs of the map, and at least so long: a packet that meets a link
/// that has just broken goes round it within that.
const WAYS: u64 = 4;
const LEAST_WAIT: Duration = Duration::from_millis(45);
/// A question that was asked longer ago has nothing to do with the next.
const ONE_QUESTION: Duration = Duration::from_secs(3);
/// Who failed longer before the answer than this may have been cut off as everybody was.
const TOGETHER: Duration = Duration::from_secs(2);
/// What is known of a destination is kept for so long after it was used, and a suspicion after it was last confirmed.
const KEPT: Duration = Duration::from_secs(60);
const SUSPECTED: Duration = Duration::from_secs(600);

/// A relay that a packet is not to be handed to, by the first four bytes of its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Avoided(pub(super) [u8; 4]);

impl Avoided {
    /// This router.
    #[must_use]
    pub fn router(router: RouterId) -> Avoided {
        Avoided(short(router))
    }
}

/// How packets go to one destination.
#[derive(Clone, Debug, Default)]
struct Talk {
    /// This router asked there of its own, so that nobody made it up.
    is_ours: bool,
    /// Whom packets avoid, and the map and the suspicions for which they were chosen.
    avoid: Vec<Avoided>,
    chosen_for: Option<(u64, u64)>,
    /// The way round them has brought an answer: it is left only for want of the next, or for another map.
    is_proved: bool,
    /// Whom the other end avoids.
    theirs: Vec<Avoided>,
    /// The first question that was not answered.
    asked_at: Option<Instant>,
    /// Who stood on ways that brought no answer, and how often; since when, and whether all were ways of our questions.
    blamed: BTreeMap<RouterId, u32>,
    blamed_since: Option<Instant>,
    is_sure: bool,
    used_at: Instant,
}

/// A relay that may not pass on what it is given.
#[derive(Clone, Copy, Debug)]
struct Suspicion {
    weight: u32,
    until: Instant,
}

/// What this router knows of relays that do not pass on.
#[derive(Debug, Default)]
pub(super) struct Detours {
    talks: BTreeMap<RouterId, Talk>,
    suspects: BTreeMap<RouterId, Suspicion>,
    /// How often the suspicions have changed.
    changes: u64,
}

impl Detours {
    pub(super) const fn most_bytes() -> u64 {
        let blamed = MOST_BLAMED * 3 * (size_of::<RouterId>() + 4);
        let talk = 3 * size_of::<Talk>() + 2 * MOST_AVOIDED * 4 + blamed;
        (MOST_TALKS * talk + MOST_SUSPECTS * 3 * (size_of::<Suspicion>() + 8)) as u64
    }

    pub(super) fn held_bytes(&self) -> usize {
        let talk = |talk: &Talk| {
            let names = talk.avoid.capacity() + talk.theirs.capacity();
            3 * size_of::<Talk>() / 2 + names * 4 + talk.blamed.len() * 24
        };
        self.talks.values().map(talk).sum::<usize>() + self.suspects.len() * 3 * size_of::<Suspicion>() / 2
    }

    pub(super) fn check(&self) {
        assert!(self.talks.len() <= MOST_TALKS && self.suspects.len() <= MOST_SUSPECTS);
        assert!(self.talks.values().all(|talk| {
            let names = [&talk.avoid, &talk.theirs];
            names.iter().all(|names| names.len() <= MOST_AVOIDED) && talk.blamed.len() <= MOST_BLAMED
        }));
    }

    pub(super) fn forget_old(&mut self, now: Instant) {
        self.talks.retain(|_, talk| talk.used_at + KEPT > now);
        self.suspects.retain(|_, suspicion| suspicion.until > now);
    }

    /// What is known of a destination; the one that was used longest ago makes room. Whom this router has not asked of its own
    /// (`is_ours`) may be made up by whoever sends packets in many names, and takes no place of those it has.
    fn talk(&mut self, now: Instant, to: RouterId, is_ours: bool) -> Option<&mut Talk> {
        if !self.talks.contains_key(&to) && self.talks.len() >= MOST_TALKS {
            let may_go = self.talks.iter().filter(|(_, talk)| is_ours || !talk.is_ours);
            let (&oldest, _) = may_go.min_by_key(|(_, talk)| (talk.is_ours, talk.used_at))?;
            self.talks.remove(&oldest);
        }
        let talk = self.talks.entry(to).or_default();
        talk.used_at = now;
        talk.is_ours |= is_ours;
        Some(talk)
    }

    fn weight(&self, talk: Option<&Talk>, router: RouterId) -> u64 {
        let blamed = talk.and_then(|talk| talk.blamed.get(&router)).copied().unwrap_or(0);
        let known = self.suspects.get(&router).map_or(0, |suspicion| suspicion.weight);
        let theirs = talk.is_some_and(|talk| talk.theirs.contains(&Avoided::router(router)));
        u64::from(blamed.saturating_add(known).saturating_add(u32::from(theirs)))
    }

    fn suspect(&mut self, now: Instant, router: RouterId) {
        if self.suspects.len() >= MOST_SUSPECTS && !self.suspects.contains_key(&router) {
            return;
        }
        let suspicion = self.suspects.entry(router).or_insert(Suspicion { weight: 0, until: now });
        suspicion.weight = suspicion.weight.saturating_add(1);
        suspicion.until = now + SUSPECTED;
        self.changes += 1;
    }

    fn clear(&mut self, router: RouterId) {
        if self.suspects.remove(&router).is_some() {
            self.changes += 1;
        }
    }

    /// Whom packets to a destination have to name so that they take the way with the least suspicion on it.
    fn choose(&self, graph: &Graph, to: RouterId) -> Vec<Avoided> {
        let talk = self.talks.get(&to);
        let weight = |router: RouterId| self.weight(talk, router);
        let best = graph.way(to, &[], weight);
        let mut avoid: Vec<Avoided> = Vec::new();
        // One at a time: without the worst of them the others need not be on the way.
        while avoid.len() < MOST_AVOIDED {
            let taken = graph.way(to, &avoid, |_| 0).into_iter();
            let bad = taken.filter(|router| weight(*router) > 0 && !best.contains(router));
            let Some(worst) = bad.max_by_key(|&router| weight(router)) else { break };
            avoid.push(Avoided::router(worst));
        }
        avoid
    }
}

impl Routing {
    /// A packet is sent to a router that ought to answer, and may not have answered the one before; `since` says since when, if that is known.
    /// If it is long enough its way is to blame, and this packet takes another. Unless it is a question of ours (`is_ours`) nobody is
    /// suspected for it: it is answered again because it came again, which anybody can bring about.
    pub fn asked(&mut self, now: Instant, to: RouterId, since: Option<Instant>, is_ours: bool) {
        if since.is_some_and(|since| since + LEAST_WAIT > now) {
            return;
        }
        self.look_at_map(now);
        let Some((graph, tree)) = &self.map else { return };
        let Some(distance) = graph.distance(tree, to) else { return };
        let wait = Duration::from_micros(distance / 8).mul_ratio(WAYS, 1).max(LEAST_WAIT);
        let Some(talk) = self.detours.talk(now, to, is_ours) else { return };
        let asked = *talk.asked_at.get_or_insert(since.unwrap_or(now));
        if asked + wait > now {
            return;
        }
        talk.asked_at = Some(now);
        if asked + ONE_QUESTION <= now {
            return;
        }
        if talk.blamed_since.is_none_or(|since| since + TOGETHER <= now) {
            talk.blamed.clear();
            (talk.blamed_since, talk.is_sure) = (Some(now), true);
        }
        talk.is_sure &= is_ours;
        for router in graph.way(to, &talk.avoid, |_| 0) {
            if talk.blamed.len() < MOST_BLAMED || talk.blamed.contains_key(&router) {
                let times = talk.blamed.entry(router).or_insert(0);
                *times = times.saturating_add(1);
            }
        }
        (talk.chosen_for, talk.is_proved) = (None, false);
    }

    /// A router has answered what was sent to it over the mesh: the way there passes packets on. Whoever says this knows that the answer is
    /// authentic, and that it is one: that something comes from there says nothing of the way thither.
    pub fn has_answered(&mut self, now: Instant, from: RouterId) {
        let made_of = (self.map_changes, self.detours.changes);
        let Some(talk) = self.detours.talks.get_mut(&from).filter(|talk| talk.asked_at.is_some()) else {
            return;
        };
        (talk.asked_at, talk.is_proved, talk.chosen_for) = (None, true, Some(made_of));
        let (blamed, since) = (core::mem::take(&mut talk.blamed), talk.blamed_since.take());
        if blamed.is_empty() && self.detours.suspects.is_empty() {
            return;
        }
        let (avoid, is_sure) = (talk.avoid.clone(), talk.is_sure);
        self.look_at_map(now);
        let Some((graph, _)) = &self.map else { return };
        let way = graph.way(from, &avoid, |_| 0);
        if is_sure && since.is_some_and(|since| since + TOGETHER > now) {
            for router in blamed.into_keys().filter(|router| !way.contains(router)) {
                self.detours.suspect(now, router);
            }
        }
        for router in way {
            self.detours.clear(router);
        }
    }

    /// From now on nothing is passed on that is for others, though its neighbours are told that it was taken. For simulators of nodes that
    /// do not keep to the protocol; who is honest has no use for it.
    pub fn swallow(&mut self, swallows: bool) {
        self.swallows = swallows;
    }

    /// The other end names whom it avoids: an answer avoids them as well, unless there is more reason to avoid others. Anybody can say so in
    /// its name; the worst is a longer way.
    pub(super) fn other_end_avoids(&mut self, now: Instant, from: RouterId, avoid: &[Avoided]) {
        if avoid.is_empty() {
            return;
        }
        if let Some(talk) = self.detours.talk(now, from, false).filter(|talk| talk.theirs != avoid) {
            talk.theirs = avoid.iter().copied().take(MOST_AVOIDED).collect();
            (talk.chosen_for, talk.is_proved) = (None, false);
        }
    }

    /// Whom a packet to a router is to name.
    pub(super) fn avoided(&mut self, now: Instant, to: RouterId) -> Vec<Avoided> {
        let known = self.detours.talks.get(&to);
        let is_blameless = known
            .is_none_or(|talk| talk.avoid.is_empty() && talk.blamed.is_empty() && talk.theirs.is_empty());
        if is_blameless && self.detours.suspects.is_empty() {
            return Vec::new();
        }
        let chosen = known.and_then(|talk| Some((talk.chosen_for?, talk.is_proved)));
        self.look_at_map(now);
        let (map, suspicions) = (self.map_changes, self.detours.changes);
        let is_current = chosen
            .is_some_and(|(made_of, is_proved)| made_of.0 == map && (is_proved || made_of.1 == suspicions));
        let fresh =
            self.map.as_ref().filter(|_| !is_current).map(|(graph, _)| self.detours.choose(graph, to));
        let Some(talk) = self.detours.talk(now, to, false) else { return fresh.unwrap_or_default() };
        if let Some(fresh) = fresh {
            (talk.avoid, talk.chosen_for, talk.is_proved) = (fresh, Some((map, suspicions)), false);
        }
        talk.avoid.clone()
    }
}
