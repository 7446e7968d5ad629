//! One neighbour: what it is owed of the map, what is under way to it, and what the link to it costs.
//!
//! Nothing waits as bytes. What a neighbour is owed is a set of names; the records are taken from the board when a message to
//! it is made, in the edition that hangs there then. However often a router far away changes its word while a link is bad,
//! what that link has to carry does not grow.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bytes::Bytes;

use super::database::Database;
use super::landmarks::Landmarks;
use super::message::{Builder, Entry};
use super::metric::{Cost, Quality};
use super::record::{MAX_RECORD_BYTES, Part, RecordKey};
use crate::ids::{PeerSlot, RouterId};
use crate::limits::Limits;
use crate::time::{Duration, Instant};

/// Messages about the map that may be under way to one neighbour: enough to fill a link of 10 Mbit/s and 5 ms.
const MOST_UNDER_WAY: usize = 8;
/// Where air is scarce: what is begun ends before the next begins, so that nobody gives it up half received.
const MOST_UNDER_WAY_SCARCE: usize = 2;
/// Bytes of one such message: with the packet's header it fits the smallest path of IPv6.
const MESSAGE_BYTES: usize = 1_100;
/// Bytes of the largest: one record that is as long as can be.
const LARGEST_MESSAGE: usize = MAX_RECORD_BYTES + 8;
/// Whoever takes part in routing takes such a message, and any packet with its head.
const _: () = assert!(LARGEST_MESSAGE <= Limits::LEAST_ROUTING_MESSAGE as usize);
/// Keys that may be asked for at once.
const MOST_WANTED: usize = 256;
/// So long a neighbour is not asked for the same record again.
const ASKED: Duration = Duration::from_secs(10);
/// Measurements from which the price of a link is made (guess): three of 30 s, and a link that has become slow for good costs
/// more after a minute and a half.
const MEASURED_LATELY: usize = 3;
/// Stands for a message of which nothing is owed again when it is lost.
const NOTHING: RecordKey = RecordKey { router: RouterId([0; 8]), part: Part::LANDMARK };
/// The first key of all, and the last.
const FIRST: RecordKey = RecordKey { router: RouterId([0; 8]), part: Part::PAPERS };
const LAST: RecordKey = RecordKey { router: RouterId([u8::MAX; 8]), part: Part::LAST };

/// What a neighbour is asked for of a landmark.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    /// A way under this word or a newer one.
    pub(super) sequence: u64,
    /// How many more routers may pass that on.
    pub(super) hops: u8,
    /// We lack its papers, or its word.
    pub(super) lacks: bool,
}

/// A router that we have a session with.
#[derive(Debug)]
pub(super) struct Neighbour {
    /// Its name.
    pub(super) router: RouterId,
    /// Some way to it works.
    pub(super) usable: bool,
    /// How the link was the last times that it was measured, the latest last.
    lately: Vec<Quality>,
    /// The last of these was measured on a way that is gone: the next takes its place.
    guessed: bool,
    /// When to measure next, and how long after that.
    pub(super) measure: (Instant, Duration),
    /// When to tell it what it is owed; `None` when nothing is.
    pub(super) flood_at: Option<Instant>,
    /// When it was last told something.
    pub(super) flooded_at: Option<Instant>,
    owed: BTreeSet<RecordKey>,
    wanted: BTreeSet<RecordKey>,
    /// What it was asked for, and when.
    asked: BTreeMap<RecordKey, Instant>,
    /// Landmarks of which it is to be told.
    owed_landmarks: BTreeSet<RouterId>,
    /// Landmarks to which it is asked for a way.
    asks: BTreeMap<RouterId, Ask>,
    /// From which key on it has not been told what we have.
    summary_from: Option<RecordKey>,
    under_way: BTreeMap<u64, Vec<RecordKey>>,
}

impl Neighbour {
    /// One that has just come: it is told all that we have, so that it can say what that lacks.
    #[must_use]
    pub(super) fn new(router: RouterId, now: Instant) -> Neighbour {
        Neighbour {
            router,
            usable: true,
            lately: Vec::new(),
            guessed: false,
            measure: (now, Duration::from_secs(1)),
            flood_at: None,
            flooded_at: None,
            owed: BTreeSet::new(),
            wanted: BTreeSet::new(),
            asked: BTreeMap::new(),
            owed_landmarks: BTreeSet::new(),
            asks: BTreeMap::new(),
            summary_from: Some(FIRST),
            under_way: BTreeMap::new(),
        }
    }

    /// What the link to it costs.
    #[must_use]
    pub(super) fn cost(&self) -> Cost {
        Quality::steady_cost(&self.lately).unwrap_or(Cost::MOST)
    }

    /// The link to it was measured.
    pub(super) fn measured(&mut self, quality: Quality) {
        if core::mem::take(&mut self.guessed) {
            self.lately.clear();
        }
        if self.lately.len() >= MEASURED_LATELY {
            self.lately.remove(0);
        }
        self.lately.push(quality);
    }

    /// It is reached by a way that was not measured yet. Until it is, the last that is known of the one before is a guess.
    pub(super) fn forget_measurements(&mut self) {
        if let Some(last) = self.lately.pop() {
            self.lately.clear();
            self.lately.push(last);
            self.guessed = true;
        }
    }

    /// How the link to it is.
    #[must_use]
    pub(super) fn quality(&self) -> Option<Quality> {
        self.lately.last().copied()
    }

    /// How long the largest packet to it is on air, where that is scarce; else zero.
    #[must_use]
    pub(super) fn scarce(&self) -> Duration {
        self.quality().map_or(Duration::ZERO, |quality| quality.scarce)
    }

    fn most_under_way(&self) -> usize {
        if self.scarce() > Duration::ZERO { MOST_UNDER_WAY_SCARCE } else { MOST_UNDER_WAY }
    }

    /// It needs this record, as it is when the next message is made.
    pub(super) fn owe(&mut self, key: RecordKey) {
        self.owed.insert(key);
    }

    /// It has this record as we do.
    pub(super) fn has(&mut self, key: RecordKey) {
        self.owed.remove(&key);
    }

    /// We need this record of it.
    pub(super) fn want(&mut self, key: RecordKey) {
        if self.wanted.len() < MOST_WANTED {
            self.wanted.insert(key);
        }
    }

    /// We need this record of it, which it did not show with another. It is not asked twice within a short time: whoever shows us a
    /// page of a router that we do not trust shows it with every answer, and each answer would be a reason to ask again.
    pub(super) fn want_once(&mut self, now: Instant, key: RecordKey) {
        if self.asked.len() >= MOST_WANTED {
            self.asked.retain(|_, at| *at + ASKED > now);
        }
        let was_asked = self.asked.get(&key).is_some_and(|&at| at + ASKED > now);
        if !was_asked && self.asked.len() < MOST_WANTED {
            self.asked.insert(key, now);
            self.want(key);
        }
    }

    /// Whether there is something that may be sent now.
    #[must_use]
    pub(super) fn has_work(&self) -> bool {
        self.usable
            && self.under_way.len() < self.most_under_way()
            && (self.summary_from.is_some()
                || !self.wanted.is_empty()
                || !self.owed.is_empty()
                || !self.owed_landmarks.is_empty()
                || !self.asks.is_empty())
    }

    /// It is to be told of a landmark, as that is when the next message is made.
    pub(super) fn owe_landmark(&mut self, router: RouterId) {
        self.owed_landmarks.insert(router);
    }

    /// It is asked for a way to a landmark.
    pub(super) fn ask_landmark(&mut self, router: RouterId, ask: Ask) {
        if self.asks.len() < MOST_WANTED || self.asks.contains_key(&router) {
            let before = self.asks.get(&router).copied().unwrap_or(ask);
            let (sequence, hops) = (ask.sequence.max(before.sequence), ask.hops.max(before.hops));
            self.asks.insert(router, Ask { sequence, hops, lacks: ask.lacks || before.lacks });
        }
    }

    /// The next message to it: what we have, what we need, then what it needs.
    pub(super) fn next_message(
        &mut self,
        database: &Database,
        (landmarks, peer): (&mut Landmarks, PeerSlot),
        tag: u64,
    ) -> Option<Bytes> {
        if !self.usable || self.under_way.len() >= self.most_under_way() {
            return None;
        }
        if let Some(from) = self.summary_from {
            self.under_way.insert(tag, Vec::new());
            return Some(self.summary(database, from, MESSAGE_BYTES));
        }
        if !self.wanted.is_empty() {
            let mut builder = Builder::request(MESSAGE_BYTES);
            while let Some(&key) = self.wanted.first() {
                if builder.key(key).is_err() {
                    break;
                }
                self.wanted.remove(&key);
            }
            self.under_way.insert(tag, Vec::new());
            return Some(builder.finish());
        }
        self.records(database, tag).or_else(|| self.landmarks(landmarks, peer, tag))
    }

    /// What it is to be told of landmarks, and asked.
    fn landmarks(&mut self, landmarks: &mut Landmarks, peer: PeerSlot, tag: u64) -> Option<Bytes> {
        let mut builder = Builder::landmarks(MESSAGE_BYTES);
        while let Some((&router, &Ask { sequence, hops, lacks })) = self.asks.first_key_value() {
            if builder.entry(&Entry::Ask { router, sequence, hops, lacks }).is_err() {
                break;
            }
            self.asks.remove(&router);
        }
        let mut keys = Vec::new();
        while let Some(&router) = self.owed_landmarks.first() {
            let Some(entry) = landmarks.tell(router, peer) else {
                self.owed_landmarks.remove(&router);
                continue;
            };
            if builder.is_empty() && builder.entry(&entry).is_err() {
                // Papers that are longer than a message should be go alone.
                builder = Builder::landmarks(LARGEST_MESSAGE);
                let _ = builder.entry(&entry);
            } else if builder.entry(&entry).is_err() {
                landmarks.lacks(router, peer);
                break;
            }
            self.owed_landmarks.remove(&router);
            keys.push(RecordKey { router, part: Part::LANDMARK });
        }
        if builder.is_empty() {
            return None;
        }
        // A question that is lost is asked again: nothing has to be owed for it.
        self.under_way.insert(tag, if keys.is_empty() { alloc::vec![NOTHING] } else { keys });
        Some(builder.finish())
    }

    fn summary(&mut self, database: &Database, from: RecordKey, most: usize) -> Bytes {
        let mut builder = Builder::summary(most, from);
        let mut last = from;
        self.summary_from = None;
        for (key, sequence) in database.from(from) {
            if builder.version(key, sequence).is_err() {
                self.summary_from = Some(key);
                break;
            }
            last = key;
        }
        // What lies between this message's last key and the next one's first is spoken of by neither.
        builder.end_summary(if self.summary_from.is_some() { last } else { LAST });
        builder.finish()
    }

    /// Records that it is owed, those of one router together as far as they fit: no page is of use without the papers.
    fn records(&mut self, database: &Database, tag: u64) -> Option<Bytes> {
        let mut builder = Builder::records(MESSAGE_BYTES);
        let mut keys = Vec::new();
        while let Some(&key) = self.owed.first() {
            let Some(record) = database.record(key) else {
                self.owed.remove(&key);
                continue;
            };
            if builder.record(record).is_err() {
                if !keys.is_empty() {
                    break;
                }
                // Longer than a message should be: it goes alone.
                builder = Builder::records(LARGEST_MESSAGE);
                if builder.record(record).is_ok() {
                    keys.push(key);
                }
                self.owed.remove(&key);
                break;
            }
            self.owed.remove(&key);
            keys.push(key);
        }
        if keys.is_empty() {
            return None;
        }
        self.under_way.insert(tag, keys);
        Some(builder.finish())
    }

    /// Bytes that it takes beside its own size.
    #[must_use]
    pub(super) fn held_bytes(&self) -> usize {
        const NAME: usize = 3 * size_of::<RecordKey>() / 2;
        let under_way: usize =
            self.under_way.values().map(|keys| 48 + keys.capacity() * size_of::<RecordKey>()).sum();
        (self.owed.len() + self.wanted.len() + self.owed_landmarks.len() + 3 * self.asks.len()) * NAME
            + under_way
            + self.lately.capacity() * size_of::<Quality>()
    }

    /// What became of a message to it; `None` if it was none of these. What did not arrive is owed again: landmarks of which that is so
    /// are returned, for it is not known any more what the neighbour has of them.
    pub(super) fn settled(&mut self, tag: u64, arrived: bool) -> Option<Vec<RouterId>> {
        let keys = self.under_way.remove(&tag)?;
        if arrived {
            return Some(Vec::new());
        }
        if keys.is_empty() {
            self.summary_from = Some(FIRST);
        }
        let (landmarks, records): (Vec<RecordKey>, Vec<RecordKey>) =
            keys.into_iter().filter(|&key| key != NOTHING).partition(|key| key.part == Part::LANDMARK);
        self.owed.extend(records);
        let landmarks: Vec<RouterId> = landmarks.into_iter().map(|key| key.router).collect();
        self.owed_landmarks.extend(&landmarks);
        Some(landmarks)
    }
}
