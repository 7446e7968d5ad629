//! Which broadcasts were here, and those that are kept for whoever missed them.
//!
//! A postman's two books. In the first he ticks off, for each sender, the numbers of the letters that he has had in his hand;
//! a letter is ticked only after its seal was found right, for else anybody could spoil a letter by sending a false one
//! before it. In the second he keeps copies for a minute, for neighbours who say that theirs got lost.
//!
//! Exact: a fresh number within the window is never taken for an old one, as it is with a Bloom filter. What is older than the
//! window counts as seen, and so does all before the window's end once an origin was silent for [`SEEN_KEPT`].

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::message::Run;
use super::signed::{Broadcast, MessageId};
use crate::bounded::{Seen, Window};
use crate::ids::RouterId;
use crate::limits::Limits;
use crate::time::{Duration, Instant};

/// How long a broadcast is kept. Longer than two digests are apart.
pub(super) const KEPT: Duration = Duration::from_secs(75);
/// How long numbers are remembered one by one of an origin that is silent.
pub(super) const SEEN_KEPT: Duration = Duration::from_secs(3600);
/// How many numbers of an origin are remembered one by one: a hundred seconds of ten a second.
const WIDTH: u16 = 1_024;
/// What a kept broadcast takes beside its bytes. A guess on the safe side.
const KEPT_OVERHEAD: usize = 256;

#[derive(Debug)]
struct Origin {
    window: Option<Window>,
    /// All below counts as seen.
    floor: u64,
    last: Instant,
}

/// Of each origin, which of its broadcasts were here.
#[derive(Debug, Default)]
pub(super) struct Origins {
    table: BTreeMap<RouterId, Origin>,
}

impl Origins {
    /// What is known of a number. Nothing changes: ask before the signature is checked, [`Origins::mark`] after.
    pub(super) fn check(&self, id: MessageId) -> Seen {
        let Some(origin) = self.table.get(&id.origin) else { return Seen::Fresh };
        if id.sequence < origin.floor {
            return Seen::TooOld;
        }
        origin.window.as_ref().map_or(Seen::Fresh, |window| window.check(id.sequence))
    }

    /// The broadcast was here, and is its origin's. When there are too many origins, the one goes that was silent for longest.
    pub(super) fn mark(&mut self, limits: &Limits, now: Instant, id: MessageId) {
        if !self.table.contains_key(&id.origin) && self.table.len() >= limits.gossip_members as usize {
            let oldest = self.table.iter().min_by_key(|(_, origin)| origin.last).map(|(&id, _)| id);
            oldest.map(|oldest| self.table.remove(&oldest));
        }
        let origin = self.table.entry(id.origin).or_insert(Origin { window: None, floor: 0, last: now });
        origin.window.get_or_insert_with(|| Window::new(WIDTH)).mark(id.sequence);
        origin.last = now;
    }

    /// Of those that were silent for long only the end is remembered.
    pub(super) fn tidy(&mut self, now: Instant) {
        for origin in self.table.values_mut() {
            if origin.last + SEEN_KEPT <= now
                && let Some(window) = origin.window.take()
            {
                origin.floor = origin.floor.max(window.end());
            }
        }
    }

    /// How many origins are remembered.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn worst_case_bytes(limits: &Limits) -> u64 {
        u64::from(limits.gossip_members)
            * (2 * size_of::<(RouterId, Origin)>() as u64 + u64::from(WIDTH) / 8 + 40)
    }
}

#[derive(Debug)]
struct Kept {
    broadcast: Broadcast,
    at: Instant,
}

impl Kept {
    fn weight(&self) -> usize {
        KEPT_OVERHEAD + self.broadcast.len()
    }
}

/// Broadcasts that are kept for others.
#[derive(Debug, Default)]
pub(super) struct Store {
    kept: BTreeMap<MessageId, Kept>,
    order: BTreeSet<(Instant, MessageId)>,
    bytes: usize,
    of_origin: BTreeMap<RouterId, usize>,
    /// Broadcasts taken in and let go since the start.
    changes: u64,
}

impl Store {
    /// The broadcast, if it is still here.
    pub(super) fn get(&self, id: MessageId) -> Option<&Broadcast> {
        self.kept.get(&id).map(|kept| &kept.broadcast)
    }

    /// Keeps one. The oldest of its origin make room for what goes beyond that origin's share, the oldest of all for the rest;
    /// they are returned.
    pub(super) fn keep(&mut self, limits: &Limits, now: Instant, broadcast: &Broadcast) -> Vec<MessageId> {
        let (id, all) = (broadcast.id, limits.gossip_bytes as usize);
        let kept = Kept { broadcast: broadcast.detached(), at: now };
        let weight = kept.weight();
        let mut gone = Vec::new();
        if weight > all / 4 || self.kept.contains_key(&id) {
            return gone;
        }
        while self.of_origin.get(&id.origin).copied().unwrap_or(0) + weight > all / 4 {
            let first = MessageId { sequence: 0, ..id };
            let Some((&oldest, _)) = self.kept.range(first..).next() else { break };
            self.remove(oldest);
            gone.push(oldest);
        }
        while self.bytes + weight > all {
            let Some(&(_, oldest)) = self.order.first() else { break };
            self.remove(oldest);
            gone.push(oldest);
        }
        self.bytes += weight;
        self.changes += 1;
        *self.of_origin.entry(id.origin).or_insert(0) += weight;
        self.order.insert((now, id));
        self.kept.insert(id, kept);
        gone
    }

    fn remove(&mut self, id: MessageId) {
        let Some(kept) = self.kept.remove(&id) else { return };
        self.order.remove(&(kept.at, id));
        self.bytes -= kept.weight();
        self.changes += 1;
        if let Some(bytes) = self.of_origin.get_mut(&id.origin) {
            *bytes -= kept.weight();
            if *bytes == 0 {
                self.of_origin.remove(&id.origin);
            }
        }
    }

    /// Lets go of one whose time is over.
    pub(super) fn pop_over(&mut self, now: Instant) -> Option<MessageId> {
        let &(at, id) = self.order.first()?;
        if at + KEPT > now {
            return None;
        }
        self.remove(id);
        Some(id)
    }

    /// When the time of the first is over.
    pub(super) fn next_over(&self) -> Option<Instant> {
        self.order.first().map(|&(at, _)| at + KEPT)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// What is here, the latest first as far as `most` runs reach, in runs of numbers without gaps.
    pub(super) fn runs(&self, most: usize) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for &id in self.kept.keys() {
            match runs.last_mut() {
                Some(run)
                    if run.first.origin == id.origin
                        && run.first.sequence + u64::from(run.count) == id.sequence
                        && run.count < 1_024 =>
                {
                    run.count += 1;
                }
                _ => runs.push(Run { first: id, count: 1 }),
            }
        }
        if runs.len() > most {
            let latest = |run: &Run| {
                let last = run.first.sequence + u64::from(run.count) - 1;
                self.kept.get(&MessageId { sequence: last, ..run.first }).map(|kept| kept.at)
            };
            runs.sort_by_key(|run| core::cmp::Reverse(latest(run)));
            runs.truncate(most);
        }
        runs
    }

    pub(super) fn check(&self, limits: &Limits) {
        assert!(self.bytes <= limits.gossip_bytes as usize);
        // As in `Members::check`.
        if !cfg!(test) && !self.changes.is_multiple_of(64) {
            return;
        }
        let weights: usize = self.kept.values().map(Kept::weight).sum();
        assert_eq!(self.bytes, weights, "bytes of broadcasts miscounted");
        assert_eq!(self.order.len(), self.kept.len());
        assert_eq!(self.of_origin.values().sum::<usize>(), weights);
        assert!(self.of_origin.values().all(|&bytes| bytes <= limits.gossip_bytes as usize / 4));
    }
}
