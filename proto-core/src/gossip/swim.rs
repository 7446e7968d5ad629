//! Who has fallen silent, and whether he is to be struck from the list.
//!
//! Night watchmen at neighbouring posts. Who has not heard of the next one for a while calls out to him; if no answer comes he calls again and
//! asks two or three others to call from where they stand; and only then says to all: "he is silent". The silent one, if he hears of it, says "I am
//! here", and that settles it. A watchman to whom nobody answers suspects his own ears first and waits longer.
//!
//! SWIM (Das, Gupta and Motivala, DSN 2002) with Lifeguard (Dadgar, Phillips and Currey, DSN-W 2018). Departures:
//! - Members are watched by those in whose active view they are, not by all in turn. A probe of a random member costs a handshake over many
//!   hops here; these sessions are there. A view is symmetric and has two members or more, so everybody is watched by several.
//!   That all watchers of one die with him is looked after by one probe a minute of a random member.
//! - Somebody far away is asked ten times more rarely when he says that he is guarded: that he has direct neighbours enough in his view. A
//!   question over many hops costs as many packets, and they would notice first.
//! - Who was heard is not probed: any message counts, so under traffic nothing is spent, and of two that watch each other one asks.
//! - News is told to the view at once (`Gossip::flood_news`), then rides on probes (section 4.1). So suspicion reaches everybody,
//!   the suspect first of all, within a few hops, and its time can be short.
//! - Who was asked to probe and says nothing does not make us doubt our ears, as long as most of the view are heard and he is not: where many
//!   die at once, some of them are asked after others.
//! - A claim names how long the suspect must be given, since only those near it know how slow its links are.
//!
//! Kept: indirect probes by k = 3 (3.1), suspicion before death and refutation by incarnation (4.2), piggybacking by count (4.1);
//! Lifeguard's local health with NACKs (IV-A), shrinking suspicion (IV-B), buddy system (IV-C).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::hyparview::jittered;
use super::members::{Standing, Suspicion};
use super::message::{Entry, Message, Stand};
use super::relays::{Errand, MOST_ERRANDS};
use super::update::MOST_ACCUSERS;
use super::{Action, Gossip, What};
use crate::ids::RouterId;
use crate::limits::Limits;
use crate::machine::Cx;
use crate::time::{Duration, Instant};

/// Silence of a watched member before it is probed, where the purse allows.
const SILENCE: Duration = Duration::from_millis(1_500);
/// Somebody far away who is guarded is borne so many times as long.
const FAR_SILENCES: u64 = 10;
/// Direct neighbours in its view by which a member counts as guarded: few enough that most have them, so many that hardly all die at
/// once. A guess.
pub(super) const GUARDS: usize = 4;
/// An answer comes within this, on fast links.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// Times that a member is asked before it is suspected; SWIM asks once, on networks that lose little.
const PINGS: u32 = 4;
/// The most of Lifeguard's local health multiplier, section IV-A.
const MOST_HEALTH: u64 = 8;
/// A suspicion lasts at least two silences, at most four.
const LEAST_SILENCES: u64 = 2;
const MOST_SILENCES: u64 = 4;
/// One random member is probed this often.
const FAR_EVERY: Duration = Duration::from_secs(60);
/// A wake that comes so late was held up here, not out there.
const HELD_UP: Duration = Duration::from_millis(400);
/// Bytes that a probe, its answer and what is below them cost; for the purse.
const PROBE_BYTES: u64 = 200;
/// Bytes of news that ride on a probe.
pub(super) const NEWS_BYTES: usize = 400;
/// Members that are probed once although they are not in the view.
const MOST_ONCE: usize = 16;

/// A question that is not answered yet.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) nonce: u32,
    sent: Instant,
    deadline: Instant,
    /// How often it was sent.
    pings: u32,
    /// Who was asked to probe, and whether he said at least that he heard nothing.
    pub(super) relays: Vec<(RouterId, bool)>,
}

/// A member who is watched.
#[derive(Debug)]
pub(super) struct Watch {
    heard: Instant,
    jitter: Duration,
    round_trip: Option<Duration>,
    pub(super) probe: Option<Probe>,
    /// Only until it is known whether it answers.
    once: bool,
    /// It did not answer, and `heard` is when that was known.
    gave_up: bool,
    /// It is no direct neighbour.
    far: bool,
    /// It said last that it is guarded.
    guarded: bool,
}

/// Whom this node watches.
#[derive(Debug)]
pub(super) struct Swim {
    pub(super) watched: BTreeMap<RouterId, Watch>,
    pub(super) errands: BTreeMap<u32, Errand>,
    health: u64,
    next_nonce: u32,
    far_at: Instant,
    /// When this node last found that it hears well.
    eased_at: Instant,
    /// Bytes a second that gossip may send.
    rate: u64,
}

impl Swim {
    pub(super) fn new(cx: &mut Cx<'_>) -> Swim {
        Swim {
            watched: BTreeMap::new(),
            errands: BTreeMap::new(),
            health: 0,
            next_nonce: cx.rng.next_u32(),
            far_at: cx.now + jittered(cx.rng, FAR_EVERY),
            eased_at: cx.now,
            rate: u64::from(cx.limits.gossip_rate.max(1)),
        }
    }

    pub(super) fn nonce(&mut self) -> u32 {
        self.next_nonce = self.next_nonce.wrapping_add(1);
        self.next_nonce
    }

    /// Silence that is borne by who is well: longer where the purse is small.
    fn least_silence(&self) -> Duration {
        let cost = Duration::from_secs(4 * PROBE_BYTES * self.watched.len() as u64);
        SILENCE.max(cost.mul_ratio(1, self.rate))
    }

    /// Silence that is borne: longer where this node is unwell.
    fn silence(&self) -> Duration {
        self.least_silence().mul_ratio(1 + self.health, 1)
    }

    fn answer_within(&self, watch: &Watch) -> Duration {
        let slow = watch.round_trip.map_or(Duration::ZERO, |round_trip| round_trip.mul_ratio(3, 1));
        ANSWER_WITHIN.max(slow).mul_ratio(1 + self.health, 1)
    }

    fn due_at(&self, watch: &Watch) -> Instant {
        match &watch.probe {
            Some(probe) => probe.deadline,
            None if watch.far && watch.guarded => {
                watch.heard + self.silence().mul_ratio(FAR_SILENCES, 1) + watch.jitter
            }
            None => watch.heard + self.silence() + watch.jitter,
        }
    }

    pub(super) fn next_wake(&self) -> Instant {
        let watched = self.watched.values().map(|watch| self.due_at(watch));
        let errands = self.errands.values().map(|errand| errand.until);
        watched.chain(errands).fold(self.far_at, Instant::min)
    }

    fn healthier(&mut self) {
        self.health = self.health.saturating_sub(1);
    }

    fn unhealthier(&mut self, by: u64) {
        self.health = (self.health + by).min(MOST_HEALTH);
    }

    /// Watches a member from now on; `once`: only until it has answered, or not.
    pub(super) fn watch(&mut self, cx: &mut Cx<'_>, member: RouterId, once: bool) {
        let once_only = self.watched.values().filter(|watch| watch.once).count();
        if let Some(watch) = self.watched.get_mut(&member) {
            watch.once &= once;
            return;
        }
        if once && once_only >= MOST_ONCE {
            return;
        }
        let silence = self.silence();
        let jitter = Duration::from_micros(cx.rng.below(silence.as_micros() / 8 + 1));
        let heard = if once { Instant::ZERO } else { cx.now };
        let (round_trip, probe) = (None, None);
        let watch =
            Watch { heard, jitter, round_trip, probe, once, gave_up: false, far: false, guarded: false };
        self.watched.insert(member, watch);
    }

    /// Whether a member of the view is a direct neighbour.
    pub(super) fn sits(&mut self, member: RouterId, near: bool) {
        if let Some(watch) = self.watched.get_mut(&member) {
            watch.far = !near;
        }
    }

    /// A member says whether it is guarded.
    pub(super) fn is_guarded(&mut self, member: RouterId, guarded: bool) {
        if let Some(watch) = self.watched.get_mut(&member) {
            watch.guarded = guarded;
        }
    }

    /// Whether something came from a member who is watched.
    pub(super) fn was_heard(&self, member: RouterId, since: Instant) -> bool {
        self.watched.get(&member).is_some_and(|watch| !watch.gave_up && watch.heard > since)
    }

    /// Whether something came from half or more of those of the view of whom something was to come, this one apart.
    pub(super) fn hears_most(&self, but: RouterId, since: Instant) -> bool {
        let is_due = |watch: &Watch| !(watch.once || watch.far && watch.guarded);
        let due = self.watched.iter().filter(|&(&id, watch)| id != but && is_due(watch));
        let (mut heard, mut silent) = (0, 0);
        for (&id, _) in due {
            *(if self.was_heard(id, since) { &mut heard } else { &mut silent }) += 1;
        }
        heard > 0 && heard >= silent
    }

    /// Whether somebody was asked and has not answered yet.
    pub(super) fn is_silent(&self, member: RouterId) -> bool {
        self.watched.get(&member).is_some_and(|watch| watch.probe.is_some())
    }

    pub(super) fn unwatch(&mut self, member: RouterId) {
        self.watched.remove(&member);
    }

    /// Stops watching a member; what is known of it is for [`Swim::look_after`].
    pub(super) fn take(&mut self, member: RouterId) -> Option<Watch> {
        self.watched.remove(&member)
    }

    /// A member that is not in the view any more is asked until it is known whether it answers. If it is being asked already that goes on: what
    /// took it out of the view may well be its silence.
    pub(super) fn look_after(&mut self, cx: &mut Cx<'_>, member: RouterId, before: Option<Watch>) {
        let once_only = self.watched.values().filter(|watch| watch.once).count();
        match before {
            Some(watch) if watch.probe.is_some() && once_only < MOST_ONCE => {
                self.watched.insert(member, Watch { once: true, ..watch });
            }
            Some(_) | None => self.watch(cx, member, true),
        }
    }

    /// Something came from a member: it is there.
    pub(super) fn heard(&mut self, now: Instant, member: RouterId) {
        let Some(watch) = self.watched.get_mut(&member) else { return };
        (watch.heard, watch.gave_up) = (now, false);
        if watch.probe.take().is_some() {
            if watch.once {
                self.watched.remove(&member);
            }
            self.healthier();
            self.eased_at = now;
        } else if self.eased_at + SILENCE <= now {
            // Who probes rarely because it is unwell is probed by others, and hears so that it is well again.
            self.healthier();
            self.eased_at = now;
        }
    }

    /// How long it takes a member to confirm something.
    pub(super) fn measured(&mut self, member: RouterId, took: Duration) {
        if let Some(watch) = self.watched.get_mut(&member) {
            let before = watch.round_trip.unwrap_or(took);
            watch.round_trip = Some(before.mul_ratio(7, 8) + took.mul_ratio(1, 8));
        }
    }

    /// Who watches is asked about: it is probed at once, so that one accuser is soon joined by others, or is not.
    fn look_now(&mut self, member: RouterId) {
        if let Some(watch) = self.watched.get_mut(&member)
            && watch.probe.is_none()
        {
            watch.heard = Instant::ZERO;
        }
    }

    pub(super) fn worst_case_bytes(limits: &Limits) -> u64 {
        let watched = u64::from(limits.gossip_view).max(4) + MOST_ONCE as u64;
        let relays = 4 * size_of::<(RouterId, bool)>() as u64;
        let watch = 3 * size_of::<(RouterId, Watch)>() as u64 + relays;
        watched * watch + MOST_ERRANDS as u64 * 3 * size_of::<(u32, Errand)>() as u64
    }

    pub(super) fn check(&self) {
        assert!(self.health <= MOST_HEALTH && self.errands.len() <= MOST_ERRANDS);
        assert!(self.watched.values().filter(|watch| watch.once).count() <= MOST_ONCE);
    }

    /// Lifeguard's local health multiplier less one.
    #[cfg(test)]
    pub(super) fn health(&self) -> u64 {
        self.health
    }
}

impl Gossip {
    pub(super) fn swim_wake(&mut self, cx: &mut Cx<'_>) {
        let errands = self.swim.errands.iter().filter(|(_, errand)| errand.until <= cx.now);
        for own in errands.map(|(&own, _)| own).collect::<Vec<u32>>() {
            if let Some(errand) = self.swim.errands.remove(&own) {
                self.out.datagram(cx.now, cx.limits, errand.from, &Message::Nack { nonce: errand.nonce });
            }
        }
        if self.swim.far_at <= cx.now {
            let every = FAR_EVERY.max(self.swim.silence().mul_ratio(8, 1));
            self.swim.far_at = cx.now + jittered(cx.rng, every);
            if let Some(member) = self.random_member(cx)
                && !self.swim.watched.contains_key(&member)
            {
                self.swim.watch(cx, member, true);
            }
        }
        let due = self.swim.watched.iter().filter(|(_, watch)| self.swim.due_at(watch) <= cx.now);
        for member in due.map(|(&member, _)| member).collect::<Vec<RouterId>>() {
            self.probe_due(cx, member);
        }
        self.suspicions_due(cx);
    }

    fn probe_due(&mut self, cx: &mut Cx<'_>, member: RouterId) {
        let nonce = self.swim.nonce();
        let Some(watch) = self.swim.watched.get(&member) else { return };
        let within = self.swim.answer_within(watch);
        let Some(watch) = self.swim.watched.get_mut(&member) else { return };
        // Sent at 0, 1/2, 1 and 2 of the time that an answer takes at most, given up at 3. Others are asked at 1.
        let (sent, deadline) = (cx.now, cx.now + within.mul_ratio(1, 2));
        match &mut watch.probe {
            None => {
                watch.probe = Some(Probe { nonce, sent, deadline, pings: 1, relays: Vec::new() });
                self.ping(cx, member, nonce);
            }
            Some(probe) if cx.now.since(probe.deadline) > HELD_UP => {
                // What has come meanwhile is not read yet.
                (probe.sent, probe.deadline) = (sent, deadline);
                let nonce = probe.nonce;
                self.swim.unhealthier(1);
                self.ping(cx, member, nonce);
            }
            Some(probe) if probe.pings < PINGS => {
                let nonce = probe.nonce;
                probe.pings += 1;
                let indirect = probe.pings == 3;
                if probe.pings >= 3 {
                    probe.deadline = cx.now + within;
                } else {
                    probe.deadline = deadline;
                }
                if indirect {
                    self.ask_relays(cx, member, nonce);
                }
                self.ping(cx, member, nonce);
            }
            Some(probe) => {
                let (relays, sent) = (core::mem::take(&mut probe.relays), probe.sent);
                let slow = watch.round_trip.map_or(Duration::ZERO, |round_trip| round_trip.mul_ratio(6, 1));
                watch.probe = None;
                (watch.heard, watch.gave_up) = (cx.now, true);
                if watch.once {
                    self.swim.unwatch(member);
                }
                let missed = self.missed((member, sent), &relays);
                self.swim.unhealthier(missed);
                self.accuse(cx, member, slow);
            }
        }
    }

    pub(super) fn ping(&mut self, cx: &mut Cx<'_>, to: RouterId, nonce: u32) {
        let updates = self.members.piggyback(to, NEWS_BYTES);
        let watched = self.views.active().contains_key(&to);
        let guarded = self.views.is_guarded();
        self.out.datagram(cx.now, cx.limits, to, &Message::Ping { nonce, watched, guarded, updates });
    }

    pub(super) fn pinged(&mut self, cx: &mut Cx<'_>, from: RouterId, nonce: u32) {
        let updates = self.members.piggyback(from, NEWS_BYTES);
        let guarded = self.views.is_guarded();
        self.out.datagram(cx.now, cx.limits, from, &Message::Ack { nonce, guarded, updates });
    }

    pub(super) fn acked(&mut self, cx: &mut Cx<'_>, from: RouterId, nonce: u32) {
        if let Some(errand) = self.swim.errands.remove(&nonce) {
            if errand.target == from {
                let guarded = self.views.is_guarded();
                let message = Message::Ack { nonce: errand.nonce, guarded, updates: Vec::new() };
                self.out.datagram(cx.now, cx.limits, errand.from, &message);
            }
            return;
        }
        // Whoever it came from: one who was asked says so for the one whom he asked.
        let probed = self
            .swim
            .watched
            .iter()
            .find(|(_, watch)| watch.probe.as_ref().is_some_and(|probe| probe.nonce == nonce));
        let Some((&member, watch)) = probed else { return };
        let took = watch.probe.as_ref().map(|probe| cx.now.since(probe.sent));
        if let Some(took) = took.filter(|_| member == from) {
            self.swim.measured(member, took);
        }
        self.swim.heard(cx.now, member);
    }

    /// The shortest and the longest time of a suspicion, as seen from here. Who is unwell waits longer himself, until others agree with him, and does
    /// not make them wait (in Lifeguard nobody waits longer).
    fn patience(&self) -> (Duration, Duration) {
        let least = self.swim.least_silence().mul_ratio(LEAST_SILENCES, 1);
        (least, self.swim.silence().mul_ratio(MOST_SILENCES, 1))
    }

    /// A member does not answer us. It is to be given so much time at least, since its links are slow.
    fn accuse(&mut self, cx: &mut Cx<'_>, member: RouterId, slow: Duration) {
        let Some(known) = self.members.get(member) else {
            // Nobody whom we could accuse, and nobody to talk to.
            self.views.forget(cx.now, member);
            self.settle_views(cx);
            return;
        };
        let incarnation = known.announcement.incarnation;
        let (least, _) = self.patience();
        let accuser = self.own.router;
        self.accused(cx, None, (member, incarnation), (least.max(slow), &[accuser]));
    }

    /// Others say that a member is silent, or we do. `true` when we must learn first what it said last.
    pub(super) fn accused(
        &mut self,
        cx: &mut Cx<'_>,
        from: Option<RouterId>,
        (member, incarnation): (RouterId, u64),
        (patience, accusers): (Duration, &[RouterId]),
    ) -> bool {
        if member == self.own.router {
            self.spoken_of(cx, Entry { member, incarnation, stand: Stand::Dead });
            return false;
        }
        let Some(known) = self.members.get(member) else { return false };
        let last = known.announcement.incarnation;
        if incarnation != last {
            self.answer_stale(cx, from, member, incarnation < last);
            return incarnation > last;
        }
        match &known.standing {
            Standing::Alive => {
                let (least, most) = self.patience();
                let least = least.max(patience);
                let most = most.max(least.mul_ratio(MOST_SILENCES, LEAST_SILENCES));
                let accusers = accusers.iter().take(MOST_ACCUSERS).copied().collect();
                let suspicion = Suspicion::new(accusers, cx.now, least, most);
                self.members.set(cx.now, member, Standing::Suspect(suspicion));
                self.members.tell(member, from);
                if from.is_some() {
                    self.swim.look_now(member);
                }
                self.out.push(Action::Member { member, what: What::Suspected });
            }
            Standing::Suspect(_) => {
                let mut is_news = false;
                for &accuser in accusers {
                    is_news |= self.members.confirm(member, accuser, patience);
                }
                if is_news {
                    self.members.tell(member, from);
                }
            }
            Standing::Dead | Standing::Left => {}
        }
        false
    }

    fn suspicions_due(&mut self, cx: &mut Cx<'_>) {
        if self.members.next_end().is_some_and(|at| cx.now.since(at) > HELD_UP) {
            // We were asleep, and could not hear anybody speak up.
            self.members.begin_anew(cx.now);
        }
        while let Some(member) = self.members.first_ended(cx.now) {
            self.bury(cx, None, member);
        }
    }

    /// Others say that a member is dead. `true` when we must learn first what it said last.
    pub(super) fn buried(
        &mut self,
        cx: &mut Cx<'_>,
        from: Option<RouterId>,
        member: RouterId,
        incarnation: u64,
    ) -> bool {
        if member == self.own.router {
            self.spoken_of(cx, Entry { member, incarnation, stand: Stand::Dead });
            return false;
        }
        let Some(known) = self.members.get(member) else { return false };
        let last = known.announcement.incarnation;
        if incarnation == last && known.is_present() {
            self.bury(cx, from, member);
        }
        self.answer_stale(cx, from, member, incarnation < last);
        incarnation > last
    }

    /// Who says what its member has overridden since has missed that, and is told.
    fn answer_stale(&mut self, cx: &mut Cx<'_>, to: Option<RouterId>, member: RouterId, is_stale: bool) {
        if let Some(to) = to.filter(|_| is_stale) {
            self.tell(cx, to, &[member]);
        }
    }

    fn bury(&mut self, cx: &mut Cx<'_>, from: Option<RouterId>, member: RouterId) {
        self.members.set(cx.now, member, Standing::Dead);
        self.members.tell(member, from);
        self.out.push(Action::Member { member, what: What::Died });
        // If it is there after all, it shall know.
        if self.views.active().contains_key(&member) {
            self.tell_datagram(cx, member);
        }
        self.views.forget(cx.now, member);
        self.settle_views(cx);
        self.swim.unwatch(member);
    }

    /// Tells a member how it stands.
    pub(super) fn tell_datagram(&mut self, cx: &mut Cx<'_>, member: RouterId) {
        let updates = self.members.update(member).into_iter().collect();
        self.out.datagram(cx.now, cx.limits, member, &Message::Updates(updates));
    }

    /// What is said of ourselves. Who says that we are gone is answered with a higher number (SWIM, section 4.2).
    pub(super) fn spoken_of(&mut self, cx: &mut Cx<'_>, entry: Entry) {
        if entry.stand != Stand::Present && entry.incarnation == self.own.incarnation && !self.own.leaving {
            self.swim.unhealthier(1);
            self.announce_anew(cx);
        }
    }

    /// All of the view are told the news at once, by messages that arrive: so it reaches all while views hang together, and the rest of
    /// the count rides on probes.
    pub(super) fn flood_news(&mut self, cx: &mut Cx<'_>) {
        let peers: Vec<RouterId> = self.views.active().keys().copied().collect();
        for &to in &peers {
            let news = self.members.flood_to(to);
            let updates = news.iter().filter_map(|&member| self.members.update(member));
            let updates: Vec<_> = updates.collect();
            for part in updates.chunks(12) {
                self.out.send(cx.now, cx.limits, to, &Message::Updates(part.to_vec()));
            }
        }
        if !peers.is_empty() {
            self.members.flooded(peers.len() as u32);
        }
    }

    pub(super) fn random_member(&mut self, cx: &mut Cx<'_>) -> Option<RouterId> {
        let count = (self.members.present() as u64).saturating_sub(1);
        let number = cx.rng.below(count) as usize;
        let own = self.own.router;
        let others = self.members.iter().filter(|&(id, member)| id != own && member.is_present());
        others.map(|(id, _)| id).nth(number)
    }
}
