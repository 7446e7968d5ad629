//! A disk that lies only in the ways disks lie.
//!
//! Records are appended in the order of their tickets and become durable in groups, one sync after
//! another: what is written while a sync runs waits for the next. When the power fails, some prefix of
//! the unsynced records is there all the same (never with a hole), and the first one that is not may
//! have left half a record behind. What is durable stays, unless its bits rot.

use std::collections::{BTreeMap, VecDeque};

use proto_core::ids::Ticket;
use proto_core::store::record::Key;

use crate::draw::{Lot, Purpose};
use crate::plan::DiskPlan;

/// One record on its way to the platter. No bytes means that the key is erased.
#[derive(Clone, Debug)]
struct Write {
    ticket: Ticket,
    key: Key,
    bytes: Option<Vec<u8>>,
}

impl Write {
    fn len(&self) -> u64 {
        self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)
    }
}

/// How a write was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It will be durable after this many microseconds: begin a sync.
    Begin(u64),
    /// A sync is running; it will be in the next.
    Queued,
}

/// How a sync ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Synced {
    /// All up to this ticket is durable. More waits: begin another sync of this many microseconds.
    UpTo(Ticket, Option<u64>),
    /// The write failed; nothing of it is durable, and nothing more will be.
    Failed,
}

/// One node's disk.
#[derive(Clone, Debug)]
pub struct Disk {
    plan: DiskPlan,
    latency: Lot,
    syncs: u64,
    crashes: u64,
    durable: BTreeMap<Key, Vec<u8>>,
    durable_bytes: u64,
    waiting: VecDeque<Write>,
    /// The last ticket of the sync that is running.
    running: Option<Ticket>,
    /// Half a record that a power cut left.
    torn: Option<Vec<u8>>,
    /// Faults that are on.
    slow_us: Option<u64>,
    full: bool,
    failing: bool,
    torn_ppm: u32,
    failed: bool,
    lot: (u64, u64),
}

impl Disk {
    /// The empty disk of node `who`.
    #[must_use]
    pub fn new(plan: &DiskPlan, seed: u64, who: u64) -> Disk {
        Disk {
            plan: plan.clone(),
            latency: Lot::new(seed, Purpose::DiskLatency, who),
            syncs: 0,
            crashes: 0,
            durable: BTreeMap::new(),
            durable_bytes: 0,
            waiting: VecDeque::new(),
            running: None,
            torn: None,
            slow_us: None,
            full: false,
            failing: false,
            torn_ppm: plan.torn_ppm,
            failed: false,
            lot: (seed, who),
        }
    }

    fn sync_time(&mut self) -> u64 {
        self.syncs += 1;
        self.running = self.waiting.back().map(|write| write.ticket);
        self.slow_us.unwrap_or(self.plan.sync_us) + self.latency.between(self.syncs, 0, self.plan.jitter_us)
    }

    /// Takes a record, or (without bytes) erases its key.
    pub fn write(&mut self, ticket: Ticket, key: Key, bytes: Option<Vec<u8>>) -> Taken {
        self.waiting.push_back(Write { ticket, key, bytes });
        if self.running.is_some() || self.failed {
            return Taken::Queued;
        }
        Taken::Begin(self.sync_time())
    }

    /// The running sync ends. `None` when none was running.
    pub fn synced(&mut self) -> Option<Synced> {
        let up_to = self.running.take()?;
        let written: u64 =
            self.waiting.iter().take_while(|write| write.ticket <= up_to).map(Write::len).sum();
        let room = self.durable_bytes.saturating_add(written) <= self.plan.capacity_bytes;
        if self.full || self.failing || self.failed || !room {
            self.failed = true;
            self.waiting.clear();
            return Some(Synced::Failed);
        }
        while self.waiting.front().is_some_and(|write| write.ticket <= up_to) {
            if let Some(write) = self.waiting.pop_front() {
                self.apply(write);
            }
        }
        let next = (!self.waiting.is_empty()).then(|| self.sync_time());
        Some(Synced::UpTo(up_to, next))
    }

    fn apply(&mut self, write: Write) {
        let old = match write.bytes {
            Some(bytes) => {
                self.durable_bytes += bytes.len() as u64;
                self.durable.insert(write.key, bytes)
            }
            None => self.durable.remove(&write.key),
        };
        self.durable_bytes -= old.map_or(0, |bytes| bytes.len() as u64);
    }

    /// The power fails.
    pub fn power_cut(&mut self) {
        let lot = Lot::new(self.lot.0, Purpose::DiskCrash, self.lot.1);
        let n = self.crashes * 4;
        self.crashes += 1;
        self.running = None;
        let keep = if self.failed { 0 } else { lot.between(n, 0, self.waiting.len() as u64) };
        for _ in 0..keep {
            if let Some(write) = self.waiting.pop_front() {
                self.apply(write);
            }
        }
        let half = self.waiting.pop_front().and_then(|write| write.bytes);
        self.waiting.clear();
        self.torn =
            half.filter(|bytes| bytes.len() > 1 && lot.hits(n + 1, self.torn_ppm)).map(|mut bytes| {
                bytes.truncate(lot.between(n + 2, 1, bytes.len() as u64 - 1) as usize);
                bytes
            });
    }

    /// What a start finds: every durable record, then the half one if there is one. A disk that
    /// failed has been replaced by then, with what was durable on it.
    pub fn read(&mut self) -> Vec<Vec<u8>> {
        self.failed = false;
        self.running = None;
        self.waiting.clear();
        self.durable.values().cloned().chain(self.torn.take()).collect()
    }

    /// Flips one bit in each of `count` records, chosen by the fault's number. Returns their keys.
    pub fn rot(&mut self, fault: u32, count: u32) -> Vec<Key> {
        let lot = Lot::new(self.lot.0, Purpose::DiskRot, self.lot.1 << 32 | u64::from(fault));
        let mut keys = Vec::new();
        for n in 0..u64::from(count) {
            let at = lot.below(2 * n, self.durable.len() as u64) as usize;
            let Some((key, bytes)) = self.durable.iter_mut().nth(at) else { break };
            let bit = lot.below(2 * n + 1, bytes.len() as u64 * 8);
            if let Some(byte) = bytes.get_mut((bit / 8) as usize) {
                *byte ^= 1 << (bit % 8);
                keys.push(*key);
            }
        }
        keys
    }

    /// Syncs take this long, or as planned.
    pub fn set_slow(&mut self, sync_us: Option<u64>) {
        self.slow_us = sync_us;
    }

    /// Whether there is no room left.
    pub fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    /// Whether the next sync fails.
    pub fn set_failing(&mut self, failing: bool) {
        self.failing = failing;
    }

    /// How often a power cut leaves half a record; `None` is as planned.
    pub fn set_torn(&mut self, ppm: Option<u32>) {
        self.torn_ppm = ppm.unwrap_or(self.plan.torn_ppm);
    }

    /// Whether something written is not durable yet.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.running.is_some()
    }

    /// Whether a write has failed since the last start.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// A copy as a thief or a backup would take it: what is durable, and nothing that is under way.
    #[must_use]
    pub fn copy(&self) -> Disk {
        let mut copy = self.clone();
        copy.running = None;
        copy.waiting.clear();
        copy.torn = None;
        copy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(torn_ppm: u32, seed: u64) -> Disk {
        Disk::new(&DiskPlan { sync_us: 100, jitter_us: 0, torn_ppm, ..DiskPlan::default() }, seed, 1)
    }

    fn key(n: u8) -> Key {
        Key::Statement([n; 32])
    }

    #[test]
    fn writes_during_a_sync_share_the_next_one() {
        let mut disk = disk(0, 1);
        assert_eq!(disk.write(Ticket(1), key(1), Some(vec![1])), Taken::Begin(100));
        assert_eq!(disk.write(Ticket(2), key(2), Some(vec![2])), Taken::Queued);
        assert_eq!(disk.write(Ticket(3), key(1), None), Taken::Queued);
        assert_eq!(disk.synced(), Some(Synced::UpTo(Ticket(1), Some(100))));
        assert_eq!(disk.synced(), Some(Synced::UpTo(Ticket(3), None)));
        assert_eq!(disk.synced(), None);
        assert_eq!(disk.read(), vec![vec![2]]);
    }

    #[test]
    fn a_power_cut_keeps_what_is_durable_and_a_prefix_of_the_rest() {
        let mut kept = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let mut disk = disk(0, seed);
            disk.write(Ticket(1), key(0), Some(vec![0]));
            disk.synced();
            for n in 1..=4 {
                disk.write(Ticket(u64::from(n) + 1), key(n), Some(vec![n]));
            }
            disk.power_cut();
            let found = disk.read();
            assert_eq!(found, (0..found.len() as u8).map(|n| vec![n]).collect::<Vec<_>>());
            kept.insert(found.len());
        }
        assert_eq!(kept.into_iter().collect::<Vec<_>>(), [1, 2, 3, 4, 5], "every prefix occurs");
    }

    #[test]
    fn a_torn_record_is_found_once_and_never_a_whole_one() {
        let mut torn = 0;
        for seed in 0..100 {
            let mut disk = disk(1_000_000, seed);
            disk.write(Ticket(1), key(1), Some(vec![9; 10]));
            disk.power_cut();
            let found = disk.read();
            torn += usize::from(found[0].len() < 10);
            assert_eq!(found.len(), 1);
            assert!(disk.read().len() <= 1);
        }
        assert!((20..80).contains(&torn), "{torn}");
    }

    #[test]
    fn a_failed_sync_makes_nothing_durable_and_a_start_replaces_the_disk() {
        let mut disk = disk(0, 1);
        disk.write(Ticket(1), key(1), Some(vec![1]));
        disk.set_failing(true);
        assert_eq!(disk.synced(), Some(Synced::Failed));
        disk.set_failing(false);
        assert!(disk.has_failed());
        assert_eq!(disk.write(Ticket(2), key(2), Some(vec![2])), Taken::Queued);
        assert_eq!(disk.synced(), None);
        assert!(disk.read().is_empty());
        assert!(!disk.has_failed());
    }

    #[test]
    fn a_full_disk_fails_and_erasing_makes_room() {
        let plan = DiskPlan { capacity_bytes: 10, sync_us: 1, jitter_us: 0, torn_ppm: 0 };
        let mut disk = Disk::new(&plan, 1, 1);
        disk.write(Ticket(1), key(1), Some(vec![0; 10]));
        assert_eq!(disk.synced(), Some(Synced::UpTo(Ticket(1), None)));
        disk.write(Ticket(2), key(1), None);
        disk.synced();
        disk.write(Ticket(3), key(2), Some(vec![0; 9]));
        assert_eq!(disk.synced(), Some(Synced::UpTo(Ticket(3), None)));
        disk.write(Ticket(4), key(3), Some(vec![0; 2]));
        assert_eq!(disk.synced(), Some(Synced::Failed));
    }

    #[test]
    fn rot_changes_one_bit_of_as_many_records_as_asked() {
        let mut disk = disk(0, 3);
        disk.write(Ticket(1), key(1), Some(vec![0; 100]));
        disk.synced();
        assert_eq!(disk.rot(7, 1), vec![key(1)]);
        let ones: u32 = disk.read()[0].iter().map(|byte| byte.count_ones()).sum();
        assert_eq!(ones, 1);
    }

    #[test]
    fn a_slow_disk_is_slow_and_a_copy_forgets_what_was_under_way() {
        let mut disk = disk(0, 3);
        disk.set_slow(Some(5_000));
        assert_eq!(disk.write(Ticket(1), key(1), Some(vec![1])), Taken::Begin(5_000));
        assert!(disk.is_busy());
        let mut copy = disk.copy();
        assert!(!copy.is_busy());
        assert!(copy.read().is_empty());
    }
}
