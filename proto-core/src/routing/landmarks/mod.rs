//! The ways to landmarks, which are known however far they are.
//!
//! Whoever does not know a far village knows the church towers: for each of them he has been told by every neighbour how far it is from there, and
//! goes by the one from whom it is nearest. A tower that was pulled down must not be walked to in a circle, each neighbour pointing at the other: so
//! nobody goes by one who is not nearer to the tower than he himself has ever claimed to be, until the tower has rung again.
//!
//! A distance vector of landmarks alone, loop-free by the feasibility condition of Babel (RFC 8966, section 3.5): for each landmark it is remembered
//! which distance was the least that this router has reckoned with, under the landmark's newest word; it goes by neighbours only that said
//! less, or that have a newer word. So along every way the pair (word, least distance) falls, whatever is lost or late. Where nobody is left by whom to go
//! a newer word is asked for, which travels towards the landmark (section 3.8.2). Departures: words are signed by the landmark, so nobody else can say a
//! newer one; nothing is repeated by a clock, since links between neighbours deliver; and a change of distance of less than an eighth is not told.
//!
//! Invariants: a landmark stands here only if its papers were checked and its word is signed by it; a way is the best of the feasible ones. At
//! its limits ([`Limits::landmarks`](crate::limits::Limits::landmarks)) the farthest make room, those to which nothing leads first.

pub(super) mod entry;
pub(super) mod standing;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::database::{Known, NOWHERE};
use crate::ids::{NodeId, PeerSlot, RouterId};
use crate::time::{Duration, Instant};

/// A landmark to which nothing has led for so long is forgotten (guess: a broken bridge is mended by then, or not soon).
const KEPT_LOST: Duration = Duration::from_secs(600);
/// A newer word of the same landmark is asked for again after so long.
const ASK_GAP: Duration = Duration::from_secs(2);

/// What a neighbour has said of a landmark.
#[derive(Clone, Copy, Debug)]
struct Heard {
    peer: PeerSlot,
    /// The newest word that it has for certain, or that is under way to it; 0 when not even papers are.
    has: u64,
    /// Under which word it said its distance.
    sequence: u64,
    /// How far the landmark is from it; [`NOWHERE`] when it has no way.
    distance: u64,
}

/// The way to a landmark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Way {
    /// By which neighbour; `None` for ourselves.
    pub(super) peer: Option<PeerSlot>,
    /// Under which word.
    pub(super) sequence: u64,
    /// How far it is, in eighths of a microsecond.
    pub(super) distance: u64,
}

/// One landmark.
#[derive(Debug)]
pub(super) struct Landmark {
    /// Who it is.
    pub(super) known: Known,
    /// How far its map reaches, in eighths of a microsecond.
    pub(super) reach: u64,
    /// The number of its newest word.
    pub(super) sequence: u64,
    word: Box<[u8]>,
    papers: Box<[u8]>,
    heard: Vec<Heard>,
    way: Option<Way>,
    /// The least distance that was reckoned with, and under which word.
    least: (u64, u64),
    /// What neighbours were told last.
    told: Option<Way>,
    /// When its newest word came.
    pub(super) taken_at: Instant,
    /// Who has a newer word that came too soon.
    early: Option<PeerSlot>,
    asked_at: Option<Instant>,
    lost_at: Option<Instant>,
}

/// A landmark's word that was checked.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) known: Known,
    pub(super) reach: u64,
    pub(super) sequence: u64,
    /// As it was signed.
    pub(super) word: Box<[u8]>,
    /// The record of its papers.
    pub(super) papers: Box<[u8]>,
}

impl Landmark {
    fn heard_from(&mut self, peer: PeerSlot) -> Option<&mut Heard> {
        if !self.heard.iter().any(|heard| heard.peer == peer) {
            self.heard.reserve_exact(1);
            self.heard.push(Heard { peer, has: 0, sequence: 0, distance: NOWHERE });
        }
        self.heard.iter_mut().find(|heard| heard.peer == peer)
    }

    fn is_feasible(&self, heard: &Heard) -> bool {
        let (sequence, distance) = self.least;
        heard.distance != NOWHERE
            && heard.sequence <= self.sequence
            && (heard.sequence > sequence || heard.sequence == sequence && heard.distance < distance)
    }

    /// Bytes that it takes, its place in the table with the free places of a tree included.
    fn weight(&self) -> usize {
        3 * (size_of::<Landmark>() + size_of::<RouterId>()) / 2
            + self.word.len()
            + self.papers.len()
            + self.heard.capacity() * size_of::<Heard>()
            + 3 * 16
    }

    /// Whether neighbours are to be told what is new.
    fn is_worth_telling(&self) -> bool {
        match (self.told, self.way) {
            (None, None) => false,
            (Some(told), Some(way)) => {
                told.sequence != way.sequence || told.distance.abs_diff(way.distance) > told.distance / 8
            }
            (None, Some(_)) | (Some(_), None) => true,
        }
    }
}

/// All landmarks that are known, this router among them if it is one.
#[derive(Debug, Default)]
pub(super) struct Landmarks {
    all: BTreeMap<RouterId, Landmark>,
}

/// What a change has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Change {
    /// Neighbours are to be told.
    pub(super) tell: bool,
    /// There is a way where there was none, or none where there was one, or it begins with another neighbour.
    pub(super) moved: bool,
    /// Nobody is left by whom to go, though some say that they have a way.
    pub(super) starved: bool,
}

impl Landmarks {
    /// Bytes of one at most, but what neighbours say of it: twice, for while its word changes both are there.
    pub(super) const fn most_bytes_each() -> u64 {
        2 * (size_of::<Landmark>()
            + size_of::<RouterId>()
            + super::large::MOST_PAPERS
            + super::large::MOST_WORD) as u64
    }

    /// Bytes of what one neighbour has said of one.
    pub(super) const fn bytes_each_neighbour() -> u64 {
        2 * size_of::<Heard>() as u64
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// One of them.
    pub(super) fn get(&self, router: RouterId) -> Option<&Landmark> {
        self.all.get(&router)
    }

    /// All names, in ascending order.
    pub(super) fn names(&self) -> Vec<RouterId> {
        self.all.keys().copied().collect()
    }

    /// Those to which there is a way, with it.
    pub(super) fn ways(&self) -> impl Iterator<Item = (RouterId, &Landmark, Way)> {
        self.all.iter().filter_map(|(&router, landmark)| Some((router, landmark, landmark.way?)))
    }

    /// The way to one of them.
    pub(super) fn way(&self, router: RouterId) -> Option<Way> {
        self.all.get(&router)?.way
    }

    /// The papers of one, as a record.
    pub(super) fn papers(&self, router: RouterId) -> Option<&[u8]> {
        self.all.get(&router).map(|landmark| landmark.papers.as_ref())
    }

    /// Bytes that they take.
    pub(super) fn held_bytes(&self) -> usize {
        self.all.values().map(Landmark::weight).sum()
    }

    fn farthest(&self) -> Option<(u64, RouterId)> {
        let far = |landmark: &Landmark| landmark.way.map_or(NOWHERE, |way| way.distance);
        self.all.iter().map(|(&router, landmark)| (far(landmark), router)).max()
    }

    /// Whether there is room for one more at this distance, or one that is farther.
    pub(super) fn has_room(&self, most: u32, distance: u64) -> bool {
        self.all.len() < most as usize || self.farthest().is_some_and(|(far, _)| far > distance)
    }

    /// Makes room for one that is nearer than the farthest.
    pub(super) fn make_room(&mut self, most: u32, router: RouterId) {
        if self.all.len() >= most as usize
            && !self.all.contains_key(&router)
            && let Some((_, victim)) = self.farthest()
        {
            self.all.remove(&victim);
        }
    }

    /// Takes in a word that was checked. Room was made for it.
    pub(super) fn take(&mut self, now: Instant, router: RouterId, word: Word) {
        let Word { known, reach, sequence, word, papers } = word;
        if let Some(landmark) = self.all.get_mut(&router) {
            (landmark.reach, landmark.sequence, landmark.word) = (reach, sequence, word);
            (landmark.taken_at, landmark.early) = (now, None);
            return;
        }
        let landmark = Landmark {
            known,
            reach,
            sequence,
            word,
            papers,
            heard: Vec::new(),
            way: None,
            least: (0, NOWHERE),
            told: None,
            taken_at: now,
            early: None,
            asked_at: None,
            lost_at: Some(now),
        };
        self.all.insert(router, landmark);
    }

    /// Whether a newer word than the one that is here may be taken.
    pub(super) fn may_change(&self, now: Instant, router: RouterId, gap: Duration) -> bool {
        self.all.get(&router).is_some_and(|landmark| landmark.taken_at + gap <= now)
    }

    /// A neighbour has a newer word, which came too soon after the one before.
    pub(super) fn is_early(&mut self, router: RouterId, peer: PeerSlot) {
        if let Some(landmark) = self.all.get_mut(&router) {
            landmark.early = Some(peer);
        }
    }

    /// When the next newer word that came too soon may be asked for.
    pub(super) fn next_early(&self, gap: Duration) -> Option<Instant> {
        let early = self.all.values().filter(|landmark| landmark.early.is_some());
        early.map(|landmark| landmark.taken_at + gap).min()
    }

    /// Those newer words that came too soon and may be asked for now, and of whom.
    pub(super) fn early(&mut self, now: Instant, gap: Duration) -> Vec<(RouterId, PeerSlot)> {
        let due = self.all.iter_mut().filter(|(_, landmark)| landmark.taken_at + gap <= now);
        due.filter_map(|(&router, landmark)| Some((router, landmark.early.take()?))).collect()
    }

    /// Those that are devices of this node.
    pub(super) fn of(&self, node: NodeId) -> Vec<RouterId> {
        let theirs = self.all.iter().filter(|(_, landmark)| landmark.known.node == node);
        theirs.map(|(&router, _)| router).collect()
    }

    /// This router is that landmark: it is where it is. Neighbours are to be told.
    pub(super) fn is_here(&mut self, router: RouterId) {
        if let Some(landmark) = self.all.get_mut(&router) {
            let way = Way { peer: None, sequence: landmark.sequence, distance: 0 };
            (landmark.way, landmark.told, landmark.lost_at) = (Some(way), Some(way), None);
            landmark.least = (landmark.sequence, 0);
        }
    }

    /// This router is that landmark no more: there is no way to it, as all are told.
    pub(super) fn is_gone(&mut self, now: Instant, router: RouterId) {
        if let Some(landmark) = self.all.get_mut(&router) {
            (landmark.way, landmark.told, landmark.lost_at) = (None, None, Some(now));
        }
    }

    /// A neighbour has said how far it is from a landmark that stands here.
    pub(super) fn said(
        &mut self,
        router: RouterId,
        peer: PeerSlot,
        (sequence, distance): (u64, Option<u64>),
    ) {
        let Some(heard) = self.all.get_mut(&router).and_then(|landmark| landmark.heard_from(peer)) else {
            return;
        };
        heard.has = heard.has.max(sequence);
        (heard.sequence, heard.distance) = (sequence, distance.unwrap_or(NOWHERE));
    }

    /// A neighbour lacks a word, or even the papers.
    pub(super) fn lacks(&mut self, router: RouterId, peer: PeerSlot) {
        if let Some(heard) = self.all.get_mut(&router).and_then(|landmark| landmark.heard_from(peer)) {
            heard.has = 0;
        }
    }

    /// A neighbour is gone, with all that it said.
    pub(super) fn forget_peer(&mut self, peer: PeerSlot) {
        for landmark in self.all.values_mut() {
            landmark.heard.retain(|heard| heard.peer != peer);
        }
    }

    /// Chooses the way to a landmark anew. `cost` is what a hop to a neighbour costs, `None` where it cannot be reached now.
    pub(super) fn choose(
        &mut self,
        now: Instant,
        router: RouterId,
        cost: impl Fn(PeerSlot) -> Option<u64>,
    ) -> Change {
        let Some(landmark) = self.all.get_mut(&router) else { return Change::default() };
        if landmark.way.is_some_and(|way| way.peer.is_none()) {
            return Change::default();
        }
        let before = landmark.way;
        let feasible = landmark.heard.iter().filter(|heard| landmark.is_feasible(heard));
        let ways = feasible.filter_map(|heard| {
            let distance = heard.distance.saturating_add(cost(heard.peer)?);
            Some(Way { peer: Some(heard.peer), sequence: heard.sequence, distance })
        });
        landmark.way = ways.min_by_key(|way| (way.distance, way.peer));
        if let Some(way) = landmark.way {
            let (sequence, distance) = landmark.least;
            let least = if way.sequence > sequence { way.distance } else { distance.min(way.distance) };
            landmark.least = (way.sequence, least);
            landmark.lost_at = None;
        } else {
            landmark.lost_at.get_or_insert(now);
        }
        let tell = landmark.is_worth_telling();
        if tell {
            landmark.told = landmark.way;
        }
        let moved = before.map(|way| way.peer) != landmark.way.map(|way| way.peer);
        let some = landmark.heard.iter().any(|heard| heard.distance != NOWHERE && cost(heard.peer).is_some());
        Change { tell, moved, starved: landmark.way.is_none() && some }
    }

    /// Whether a newer word of this landmark may be asked for now, and of which number.
    pub(super) fn may_ask(&mut self, now: Instant, router: RouterId, wanted: Option<u64>) -> Option<u64> {
        let landmark = self.all.get_mut(&router)?;
        if landmark.asked_at.is_some_and(|at| at + ASK_GAP > now) {
            return None;
        }
        landmark.asked_at = Some(now);
        Some(wanted.unwrap_or(landmark.least.0 + 1))
    }

    /// Whom to ask: the one on the way, or else all who say that they have one.
    pub(super) fn whom_to_ask(&self, router: RouterId, but: Option<PeerSlot>) -> Vec<PeerSlot> {
        let Some(landmark) = self.all.get(&router) else { return Vec::new() };
        if let Some(peer) = landmark.way.and_then(|way| way.peer).filter(|&peer| Some(peer) != but) {
            return alloc::vec![peer];
        }
        let others =
            landmark.heard.iter().filter(|heard| heard.distance != NOWHERE && Some(heard.peer) != but);
        others.map(|heard| heard.peer).collect()
    }

    /// By whom a packet may go to a landmark, the best first: those that are feasible, then whoever says that it has a way.
    pub(super) fn exits(&self, router: RouterId, cost: impl Fn(PeerSlot) -> Option<u64>) -> Vec<PeerSlot> {
        let Some(landmark) = self.all.get(&router) else { return Vec::new() };
        let mut exits: Vec<(bool, u64, PeerSlot)> = landmark
            .heard
            .iter()
            .filter(|heard| heard.distance != NOWHERE)
            .filter_map(|heard| {
                let distance = heard.distance.saturating_add(cost(heard.peer)?);
                Some((!landmark.is_feasible(heard), distance, heard.peer))
            })
            .collect();
        exits.sort_unstable();
        exits.into_iter().map(|(_, _, peer)| peer).collect()
    }

    /// Those to which nothing has led for long are forgotten.
    pub(super) fn forget_lost(&mut self, now: Instant) {
        self.all.retain(|_, landmark| landmark.lost_at.is_none_or(|at| at + KEPT_LOST > now));
    }

    /// One of them is not believed any more.
    pub(super) fn remove(&mut self, router: RouterId) {
        self.all.remove(&router);
    }

    /// What a neighbour is told of a landmark, with as much as it lacks; `None` of one that is not here.
    pub(super) fn tell(&mut self, router: RouterId, peer: PeerSlot) -> Option<entry::Entry<'_>> {
        let landmark = self.all.get_mut(&router)?;
        let sequence = landmark.way.map_or(landmark.sequence, |way| way.sequence);
        let newest = landmark.sequence;
        let heard = landmark.heard_from(peer)?;
        // A word that is newer than the way goes along: it is the newest that may be asked for.
        let has = heard.has;
        heard.has = has.max(newest);
        Some(entry::Entry::Way {
            router,
            sequence,
            distance: landmark.way.map(|way| way.distance),
            word: (has < newest).then_some(landmark.word.as_ref()),
            papers: (has == 0).then_some(landmark.papers.as_ref()),
        })
    }

    /// Panics when an invariant does not hold.
    pub(super) fn check(&self, most: usize) {
        assert!(self.all.len() <= most.max(1), "more landmarks than there is room for");
        for (router, landmark) in &self.all {
            let Some(Way { peer: Some(peer), sequence, distance }) = landmark.way else { continue };
            assert!(landmark.least <= (sequence, distance), "{router} is nearer than it was ever said to be");
            assert!(
                landmark.heard.iter().any(|heard| heard.peer == peer),
                "{router} by one who said nothing"
            );
        }
    }
}
