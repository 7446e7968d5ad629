//! What is done where the network is larger than the map: landmarks are told of, and this router is one if it has to be.
//!
//! Nothing here does anything, and no message has a byte more, as long as the map has room for all and nobody speaks of a landmark.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;

use super::afar::places::Places;
use super::afar::publish::Publishing;
use super::afar::seek::Seeking;
use super::database::Known;
use super::landmarks::entry::Entry;
use super::landmarks::standing::{Keeper, Standing, Verdict, WORD_AGAIN, WORD_GAP};
use super::landmarks::{Change, Landmarks, Word};
use super::message;
use super::neighbour::Ask;
use super::record::{Content, Part, RecordKey, SignedRecord};
use super::{PACKETS_A_WORD, Routing};
use crate::drops::Drop;
use crate::identity::Checker;
use crate::ids::{NodeId, PeerSlot, RouterId};
use crate::limits::Limits;
use crate::machine::Cx;
use crate::time::{Duration, Instant};

/// So many routers pass on that a newer word is wanted: those on the longest way.
const ASK_HOPS: u8 = 255;
/// Whose papers are longer, as a record, is no landmark and has no address that is kept: with a word beside them they fit a message.
pub(super) const MOST_PAPERS: usize = Limits::LEAST_ROUTING_MESSAGE as usize - MOST_WORD;
/// And the longest word of a landmark.
pub(super) const MOST_WORD: usize = 512;
/// The reach of a map that has room for all.
const MOST_REACH: u64 = 1 << 62;
/// A word comes no sooner after the one before: the gap of the landmark, and what differs on the way.
const WORD_GAP_HERE: Duration = Duration::from_secs(8);

/// All that is kept because the network is larger than the map.
#[derive(Debug, Default)]
pub(super) struct Large {
    pub(super) landmarks: Landmarks,
    pub(super) standing: Standing,
    pub(super) publishing: Publishing,
    pub(super) places: Places,
    pub(super) seeking: Seeking,
    /// Checks for strangers in the second that began then.
    pub(super) checks: (Instant, u32),
    /// When our own word was said, and how far our map reached.
    said: Option<(Instant, u64)>,
    /// When it is to be said anew.
    say_at: Option<Instant>,
}

impl Large {
    /// When there is something to do.
    pub(super) fn next(&self) -> Option<Instant> {
        let early = self.landmarks.next_early(WORD_GAP_HERE);
        let own = [self.standing.look_at(), self.say_at, self.publishing.next(), self.seeking.next(), early];
        own.into_iter().flatten().min()
    }

    /// Bytes that all of it takes beside its own size.
    pub(super) fn held_bytes(&self) -> usize {
        self.landmarks.held_bytes() + self.places.bytes() + self.seeking.held_bytes()
    }

    /// Panics when an invariant does not hold.
    pub(super) fn check(&self, limits: &Limits) {
        self.landmarks.check(limits.landmarks as usize);
        self.places.check(limits.place_bytes as usize);
        self.seeking.check(usize::from(limits.peers));
    }
}

impl Routing {
    /// Whether the network is larger than our map, or than somebody's.
    pub(super) fn is_large(&self) -> bool {
        self.vicinity.is_partial() || self.knows_landmarks()
    }

    /// Whether any landmark is known: then nodes that are not on the map can be looked for.
    #[must_use]
    pub fn knows_landmarks(&self) -> bool {
        !self.large.landmarks.is_empty()
    }

    /// The landmark that keeps this router: where what is for it is to go.
    #[must_use]
    pub fn home(&self) -> Option<RouterId> {
        self.large.standing.home()
    }

    /// The landmarks that are known, each with its distance in eighths of a microsecond, in ascending order; without those to which there is no way.
    pub fn landmarks(&self) -> impl Iterator<Item = (RouterId, u64)> + '_ {
        self.large.landmarks.ways().map(|(router, _, way)| (router, way.distance))
    }

    /// Landmarks that have said that they keep the address of this router.
    #[must_use]
    pub fn places_kept(&self) -> usize {
        self.large.publishing.keepers()
    }

    /// Whether a packet for a router that is kept by this landmark would leave.
    pub fn leads_afar(&mut self, now: Instant, home: RouterId) -> bool {
        self.next_hop(now, home).is_some() || self.large.landmarks.way(home).is_some()
    }

    /// What a hop to a neighbour costs, if it can be reached now.
    pub(super) fn cost_to(&self, peer: PeerSlot) -> Option<u64> {
        let neighbour = self.neighbours.get(&peer).filter(|neighbour| neighbour.usable)?;
        let cost = self.own.said_cost(neighbour.router).unwrap_or_else(|| neighbour.cost());
        Some(cost.eighths())
    }

    /// How much longer all takes where air is scarce.
    pub(super) fn slowest(&self) -> Duration {
        self.scarce().mul_ratio(PACKETS_A_WORD, 1)
    }

    /// A neighbour is to be told of all landmarks.
    pub(super) fn owe_landmarks(&mut self, peer: PeerSlot) {
        for router in self.large.landmarks.names() {
            if let Some(neighbour) = self.neighbours.get_mut(&peer) {
                neighbour.owe_landmark(router);
            }
        }
    }

    fn owe_landmark(&mut self, cx: &mut Cx<'_>, router: RouterId) {
        for peer in self.neighbours.keys().copied().collect::<Vec<PeerSlot>>() {
            if let Some(neighbour) = self.neighbours.get_mut(&peer) {
                neighbour.owe_landmark(router);
                self.flood_soon(cx, peer);
            }
        }
    }

    /// Neighbours, or what it costs to reach them, have changed.
    pub(super) fn choose_all(&mut self, cx: &mut Cx<'_>) {
        for router in self.large.landmarks.names() {
            self.choose(cx, router);
        }
    }

    /// A neighbour is gone, with what it said of landmarks.
    pub(super) fn forget_heard(&mut self, cx: &mut Cx<'_>, peer: PeerSlot) {
        self.large.landmarks.forget_peer(peer);
        self.choose_all(cx);
    }

    fn choose(&mut self, cx: &mut Cx<'_>, router: RouterId) {
        let mut landmarks = core::mem::take(&mut self.large.landmarks);
        let Change { tell, moved, starved } = landmarks.choose(cx.now, router, |peer| self.cost_to(peer));
        self.large.landmarks = landmarks;
        if tell {
            self.owe_landmark(cx, router);
        }
        if moved {
            self.landmarks_changed(cx.now);
        }
        if starved {
            self.ask_for_word(cx, router, (None, ASK_HOPS), None);
        }
    }

    /// Ways to landmarks lead elsewhere: what waits for one is looked at, and who keeps us.
    fn landmarks_changed(&mut self, now: Instant) {
        self.map_changes += 1;
        self.custody.map_changed(now);
        self.large.standing.changed(now);
        self.large.publishing.changed(now);
    }

    /// Asks for a way to a landmark under a newer word, or under this one.
    fn ask_for_word(
        &mut self,
        cx: &mut Cx<'_>,
        router: RouterId,
        (wanted, hops): (Option<u64>, u8),
        but: Option<PeerSlot>,
    ) {
        let Some(sequence) = self.large.landmarks.may_ask(cx.now, router, wanted) else { return };
        for peer in self.large.landmarks.whom_to_ask(router, but) {
            self.ask_peer(cx, peer, router, Ask { sequence, hops, lacks: false });
        }
    }

    fn ask_peer(&mut self, cx: &mut Cx<'_>, peer: PeerSlot, router: RouterId, ask: Ask) {
        if let Some(neighbour) = self.neighbours.get_mut(&peer) {
            neighbour.ask_landmark(router, ask);
            self.flood_soon(cx, peer);
        }
    }

    pub(super) fn landmark_entries(
        &mut self,
        cx: &mut Cx<'_>,
        peer: PeerSlot,
        message: &Bytes,
        entries: message::Landmarks<'_>,
        checker: &Checker<'_>,
    ) {
        if message.len() > Limits::LEAST_ROUTING_MESSAGE as usize {
            // Nobody writes longer ones; one of the length of a message would be work for seconds.
            cx.drops.count(Drop::ProtocolViolation);
            return;
        }
        for entry in entries {
            match entry {
                Ok(Entry::Way { router, sequence, distance, word, papers }) => {
                    let slice = |bytes: &[u8]| message.slice_ref(bytes);
                    let shown = word.map(|word| (slice(word), papers.map(slice)));
                    self.landmark_way(cx, peer, (router, sequence, distance), shown, checker);
                }
                Ok(Entry::Ask { router, sequence, hops, lacks }) => {
                    self.landmark_asked(cx, peer, router, Ask { sequence, hops, lacks });
                }
                Err(_) => {
                    cx.drops.count(Drop::ProtocolViolation);
                    return;
                }
            }
        }
    }

    /// A neighbour says how far a landmark is from it.
    fn landmark_way(
        &mut self,
        cx: &mut Cx<'_>,
        peer: PeerSlot,
        (router, sequence, distance): (RouterId, u64, Option<u64>),
        shown: Option<(Bytes, Option<Bytes>)>,
        checker: &Checker<'_>,
    ) {
        if router == self.own.router {
            return;
        }
        if let Some((word, papers)) = shown {
            self.landmark_word(cx, peer, (router, distance), (word, papers), checker);
        }
        let Some(landmark) = self.large.landmarks.get(router) else {
            // Of one for which there is room, and of which too little was shown.
            let there_is = self.large.landmarks.len() < cx.limits.landmarks as usize;
            if distance.is_some() && there_is {
                self.ask_peer(cx, peer, router, Ask { sequence, hops: 0, lacks: true });
            }
            return;
        };
        if sequence > landmark.sequence {
            if self.large.landmarks.may_change(cx.now, router, WORD_GAP_HERE) {
                self.ask_peer(cx, peer, router, Ask { sequence, hops: 0, lacks: true });
            } else {
                self.large.landmarks.is_early(router, peer);
            }
            return;
        }
        self.large.landmarks.said(router, peer, (sequence, distance));
        self.choose(cx, router);
    }

    /// A word of a landmark, with its papers if it was not known. What is not newer, has no room or comes too soon is not checked.
    fn landmark_word(
        &mut self,
        cx: &mut Cx<'_>,
        peer: PeerSlot,
        (router, distance): (RouterId, Option<u64>),
        (word, papers): (Bytes, Option<Bytes>),
        checker: &Checker<'_>,
    ) {
        let key = RecordKey { router, part: Part::LANDMARK };
        let decoded = SignedRecord::decode(word).ok();
        // What somebody has put beside the signed part would go through the whole network.
        let decoded = decoded.filter(|record| record.key == key && record.bytes.len() <= MOST_WORD);
        let (Some(record), most) = (decoded, cx.limits.landmarks) else {
            cx.drops.count(Drop::RecordInvalid);
            return;
        };
        let Content::Landmark { reach } = record.content else { return };
        let (known, papers) = if let Some(before) = self.large.landmarks.get(router) {
            if before.sequence >= record.sequence {
                return;
            }
            if !self.large.landmarks.may_change(cx.now, router, WORD_GAP_HERE) {
                // Whoever rings all the time is not passed on each time. The newest is asked for then.
                cx.drops.count(Drop::AnswerLimited);
                self.large.landmarks.is_early(router, peer);
                return;
            }
            (before.known, Bytes::new())
        } else {
            let Some(papers) = papers else { return };
            let far = distance.and_then(|distance| Some(distance.saturating_add(self.cost_to(peer)?)));
            if !far.is_some_and(|far| self.large.landmarks.has_room(most, far)) {
                cx.drops.count(Drop::LandmarksFull);
                return;
            }
            let Some(known) = self.shown_by(cx, router, &papers, checker) else { return };
            (known, papers)
        };
        self.checks += 1;
        if !record.is_signed_by(checker.verifier, &known.sign_key, self.network) {
            cx.drops.count(Drop::RecordInvalid);
            return;
        }
        self.large.landmarks.make_room(most, router);
        let (word, papers) = (Box::from(record.bytes.as_ref()), Box::from(papers.as_ref()));
        let word = Word { known, reach, sequence: record.sequence, word, papers };
        self.large.landmarks.take(cx.now, router, word);
        self.landmarks_changed(cx.now);
    }

    /// Who a router is, by the record of its papers.
    pub(super) fn shown_by(
        &mut self,
        cx: &mut Cx<'_>,
        router: RouterId,
        papers: &Bytes,
        checker: &Checker<'_>,
    ) -> Option<Known> {
        let key = RecordKey { router, part: Part::PAPERS };
        let record = SignedRecord::decode(papers.clone()).ok();
        let record = record.filter(|record| record.key == key && papers.len() <= MOST_PAPERS);
        let Some(SignedRecord { content: Content::Papers { certificate, membership }, .. }) = &record else {
            cx.drops.count(Drop::RecordInvalid);
            return None;
        };
        let known = self.holder(cx, router, (certificate, membership), checker)?;
        self.checks += 1;
        if !record?.is_signed_by(checker.verifier, &known.sign_key, self.network) {
            cx.drops.count(Drop::RecordInvalid);
            return None;
        }
        Some(known)
    }

    /// A neighbour wants a way to a landmark under this word or a newer one.
    fn landmark_asked(&mut self, cx: &mut Cx<'_>, peer: PeerSlot, router: RouterId, ask: Ask) {
        if ask.lacks && self.large.landmarks.get(router).is_none() {
            // We have said nothing of it: names are not to be made up.
            return;
        }
        if ask.lacks {
            self.large.landmarks.lacks(router, peer);
        }
        let way = self.large.landmarks.way(router);
        if ask.lacks || way.is_some_and(|way| way.sequence >= ask.sequence) {
            if let Some(neighbour) = self.neighbours.get_mut(&peer) {
                neighbour.owe_landmark(router);
                self.flood_soon(cx, peer);
            }
        } else if router == self.own.router {
            // A number that we have not come to yet is somebody's joke.
            let is_next =
                self.large.landmarks.get(router).is_some_and(|own| ask.sequence == own.sequence + 1);
            if self.large.standing.is_landmark() && is_next {
                self.say_word_soon(cx.now);
            }
        } else if let Some(hops) = ask.hops.checked_sub(1) {
            self.ask_for_word(cx, router, (Some(ask.sequence), hops), Some(peer));
        }
    }

    fn say_word_soon(&mut self, now: Instant) {
        let at = self.large.said.map_or(now, |(at, _)| (at + WORD_GAP).max(now));
        self.large.say_at = Some(self.large.say_at.map_or(at, |before| before.min(at)));
    }

    /// What is due of all this.
    pub(super) fn large_wake(&mut self, cx: &mut Cx<'_>) {
        if self.large.standing.look_at().is_some_and(|at| at <= cx.now) {
            self.look_who_keeps_us(cx);
        }
        if self.large.say_at.is_some_and(|at| at <= cx.now) {
            self.say_word(cx);
        }
        for (router, peer) in self.large.landmarks.early(cx.now, WORD_GAP_HERE) {
            let sequence = self.large.landmarks.get(router).map_or(0, |landmark| landmark.sequence + 1);
            self.ask_peer(cx, peer, router, Ask { sequence, hops: 0, lacks: true });
        }
        if self.large.publishing.next().is_some_and(|at| at <= cx.now) {
            self.publish(cx);
        }
        if self.large.seeking.next().is_some_and(|at| at <= cx.now) {
            self.ask_clerks(cx);
        }
    }

    fn look_who_keeps_us(&mut self, cx: &mut Cx<'_>) {
        if !self.is_large() || cx.limits.landmarks == 0 {
            self.large.standing = Standing::default();
            return;
        }
        self.look_at_map(cx.now);
        let Some((graph, _)) = &self.map else { return };
        let hither = graph.distances_hither();
        let own = self.own.router;
        let mut keepers = Vec::new();
        for (router, landmark, _) in self.large.landmarks.ways().filter(|&(router, ..)| router != own) {
            let Ok(at) = hither.binary_search_by_key(&router, |&(router, _)| router) else { continue };
            let Some(&(_, distance)) = hither.get(at) else { continue };
            if distance < landmark.reach && self.database.known(router).is_some() {
                keepers.push(Keeper { distance, router, reach: landmark.reach });
            }
        }
        let slowest = self.slowest();
        let before = self.home();
        let verdict = self.large.standing.look((cx.now, cx.rng), own, &keepers, slowest);
        match verdict {
            Verdict::Stay => {}
            Verdict::StepForward => self.large.say_at = Some(cx.now),
            Verdict::StepBack => {
                (self.large.say_at, self.large.said) = (None, None);
                self.large.landmarks.is_gone(cx.now, own);
                self.owe_landmark(cx, own);
                self.landmarks_changed(cx.now);
            }
        }
        if self.home() != before {
            self.large.publishing.changed(cx.now);
        }
        self.note_reach(cx.now);
    }

    /// Our map reaches less far than we said, or much farther.
    fn note_reach(&mut self, now: Instant) {
        let (Some((_, said)), farthest) = (self.large.said, self.farthest()) else { return };
        if farthest < said || farthest / 2 > said {
            self.say_word_soon(now);
        }
    }

    /// How far the farthest is on our map, which has everybody who is nearer.
    fn farthest(&self) -> u64 {
        let Some((graph, tree)) = self.map.as_ref().filter(|_| self.vicinity.is_partial()) else {
            return MOST_REACH;
        };
        let kept = graph.reached(tree).filter(|(router, _)| self.database.known(*router).is_some());
        kept.filter_map(|(_, reached)| Some(reached?.0)).max().unwrap_or(0)
    }

    /// How far our map reaches for certain: a little less than the farthest on it, for that one changes.
    fn reach(&self) -> u64 {
        let farthest = self.farthest();
        farthest - farthest / 16
    }

    /// Says that we are a landmark, and how far our map reaches.
    fn say_word(&mut self, cx: &mut Cx<'_>) {
        self.look_at_map(cx.now);
        let (own, reach) = (self.own.router, self.reach());
        let papers = self.database.record(RecordKey { router: own, part: Part::PAPERS }).unwrap_or(&[]);
        let papers: Box<[u8]> = if papers.len() <= MOST_PAPERS { papers.into() } else { Box::default() };
        self.large.say_at = None;
        if !self.large.standing.is_landmark() || papers.is_empty() {
            return;
        }
        self.large.say_at = Some(cx.now + WORD_AGAIN);
        let record = self.own.record(Part::LANDMARK, Content::Landmark { reach });
        let (word, sequence) = (record.bytes.as_ref().into(), record.sequence);
        self.large.landmarks.make_room(cx.limits.landmarks, own);
        self.large.landmarks.take(cx.now, own, Word { known: self.own.known, reach, sequence, word, papers });
        self.large.landmarks.is_here(own);
        self.large.said = Some((cx.now, reach));
        self.owe_landmark(cx, own);
        self.landmarks_changed(cx.now);
    }

    /// What a node has shown may be void: its landmarks and addresses are not believed any more.
    pub(super) fn distrust_afar(&mut self, cx: &mut Cx<'_>, node: NodeId, checker: &Checker<'_>) {
        let mut places = core::mem::take(&mut self.large.places);
        places.distrust(node, |papers| self.papers_hold(papers, checker));
        self.large.places = places;
        for router in self.large.landmarks.of(node) {
            let holds =
                self.large.landmarks.papers(router).is_some_and(|papers| self.papers_hold(papers, checker));
            if !holds && router != self.own.router {
                self.large.landmarks.remove(router);
                self.landmarks_changed(cx.now);
                cx.drops.count(Drop::Revoked);
            }
        }
    }
}
