//! One deadline for each thing that has one, in one order.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::time::Instant;

/// Deadlines by what they are for.
#[derive(Debug)]
pub(super) struct Alarms<K> {
    by_time: BTreeSet<(Instant, K)>,
    by_key: BTreeMap<K, Instant>,
}

impl<K: Copy + Ord> Alarms<K> {
    pub(super) const fn new() -> Self {
        Alarms { by_time: BTreeSet::new(), by_key: BTreeMap::new() }
    }

    /// Sets the deadline of `key`, whatever it was.
    pub(super) fn set(&mut self, key: K, at: Instant) {
        self.clear(key);
        self.by_key.insert(key, at);
        self.by_time.insert((at, key));
    }

    /// As [`Alarms::set`], but a deadline that comes first stays.
    pub(super) fn set_at_latest(&mut self, key: K, at: Instant) {
        if self.by_key.get(&key).is_none_or(|&before| before > at) {
            self.set(key, at);
        }
    }

    pub(super) fn clear(&mut self, key: K) {
        if let Some(at) = self.by_key.remove(&key) {
            self.by_time.remove(&(at, key));
        }
    }

    /// Takes out one that is due.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<K> {
        let &(at, key) = self.by_time.first()?;
        if at > now {
            return None;
        }
        self.clear(key);
        Some(key)
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|&(at, _)| at)
    }

    pub(super) fn has(&self, key: K) -> bool {
        self.by_key.contains_key(&key)
    }

    pub(super) fn len(&self) -> usize {
        debug_assert_eq!(self.by_key.len(), self.by_time.len());
        self.by_time.len()
    }
}
