//! Durable messages that go, and come, by other hands than a session with their receiver.
//!
//! Numbers and windows are the same whichever way a message takes, so it may take both: who has it already says so, and nobody
//! is shown it twice.

use bytes::Bytes;

use super::Budget;
use super::inbox::Inbox;
use super::outbox::Outbox;
use super::receipts::{RECEIPT_RUNS, runs};
use crate::carried::{Carried, Owed};
use crate::drops::Drop;
use crate::ids::DeviceId;
use crate::link::frame::DURABLE;
use crate::machine::Cx;
use crate::node::output::Outcome;
use crate::time::Instant;

/// How far apart unfinished numbers may be that go by other hands: the narrowest window that there is. That of the last session may have been another device's, or
/// be another since the receiver started again.
const NARROWEST_WINDOW: u64 = 64;

impl Outbox {
    /// Gives out a durable message to go by other hands as well. Its receiver takes numbers that are too far beyond the oldest unfinished one for a
    /// sign that all below are done with; so those wait.
    pub fn owed(&mut self, now: Instant, seq: u64) -> Owed {
        let Some(durable) = &self.durable else { return Owed::Gone };
        let Some(index) = durable.find(seq) else { return Owed::Gone };
        if !durable.within(seq, NARROWEST_WINDOW) {
            return Owed::Later;
        }
        let Some(entry) = self.queue.get_mut(index) else { return Owed::Gone };
        if entry.expires <= now {
            return Owed::Gone;
        }
        entry.entrusted = true;
        let lifetime = entry.expires.since(now);
        Owed::Message { class: entry.class, lifetime, payload: entry.payload.clone() }
    }

    /// Somebody has a durable message in his hands: the application is told.
    pub fn is_entrusted(&mut self, seq: u64, stored: bool) {
        let index = self.durable.as_ref().and_then(|durable| durable.find(seq));
        if let Some(tag) = index.and_then(|index| self.queue.get(index)).map(|entry| entry.tag) {
            self.receipt(tag, if stored { Outcome::Stored } else { Outcome::Relayed });
        }
    }

    /// The peer has said, in whatever way but surely itself, that it has these durable messages on disk.
    pub fn on_distant_receipt(&mut self, budget: &mut Budget, runs: &[(u64, u64)]) {
        for &(first, last) in runs {
            self.finish_durable(budget, first, last.saturating_add(1));
        }
    }
}

impl Inbox {
    /// A whole durable message that `device` of the peer has written, by other hands.
    pub fn on_carried(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
        device: DeviceId,
        (seq, payload): (u64, Bytes),
    ) -> Carried {
        if self.device.is_some_and(|known| known != device) {
            // Which of two devices is the present one only a session shows.
            return Carried::Refused;
        }
        if self.durable.is_done(seq) {
            return Carried::Known;
        }
        if self.safe.as_ref().is_some_and(|safe| safe.is_storing(seq)) {
            return Carried::Writing;
        }
        if payload.len() as u64 > u64::from(cx.limits.message_bytes) {
            cx.drops.count(Drop::Oversize);
            return Carried::Refused;
        }
        if !self.correspondent && !budget.has_place(self.wanted) {
            cx.drops.count(Drop::QueueFull);
            return Carried::Refused;
        }
        let has_failed = self.safe.as_ref().is_some_and(|safe| safe.failed);
        if has_failed || !self.has_disk_for(cx, budget, seq, payload.len() as u64) {
            cx.drops.count(Drop::QueueFull);
            return Carried::Full;
        }
        // What had come of it in symbols is not needed.
        if let Some(part) = self.parts.remove(&(DURABLE, seq)) {
            budget.give(&mut self.usage, part.total(), true);
        }
        if !budget.take(&mut self.usage, payload.len(), true) {
            cx.drops.count(Drop::QueueFull);
            return Carried::Full;
        }
        self.device = Some(device);
        self.keep_safe(cx, budget, seq, payload);
        Carried::Writing
    }

    /// Runs of durable numbers of this device that are done with, the highest if there are too many, each by its first and last.
    #[must_use]
    pub fn durable_runs(&self, device: DeviceId) -> alloc::vec::Vec<(u64, u64)> {
        if self.device != Some(device) {
            return alloc::vec::Vec::new();
        }
        let space = &self.durable;
        let first_clear = space.done.as_ref().map_or(space.floor, |done| done.next_clear(space.floor));
        // As in a RECEIPT: nothing below the floor is promised that is still on its way to the disk.
        let storing = self.safe.as_ref().and_then(|safe| safe.first_storing()).unwrap_or(u64::MAX);
        let first_open = first_clear.min(storing);
        let below = first_open.checked_sub(1).map(|last| (0, last));
        let above = space.done.iter().flat_map(|done| runs(done, first_open));
        let mut all: alloc::vec::Vec<(u64, u64)> = below.into_iter().chain(above).collect();
        let surplus = all.len().saturating_sub(RECEIPT_RUNS);
        all.drain(..surplus);
        all
    }
}
