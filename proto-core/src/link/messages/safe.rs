//! Durable messages at their receiver: in the safe before anybody is told of them.
//!
//! A message that has come is written (`Incoming`); when that is confirmed it is shown to the
//! application and receipted to its sender. When the application has taken it for good, `Window`
//! first says that its number is done with, and only when that is confirmed the message is erased:
//! between the two a crash finds both, and the window wins. However many messages are taken
//! meanwhile, one `Window` covers them all, since only one is on its way to the disk at a time.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use bytes::Bytes;

use super::inbox::{Inbox, Space};
use super::receipts::runs;
use super::{Budget, InboxAction, Usage};
use crate::bounded::Seen;
use crate::ids::{DeviceId, NodeId};
use crate::limits::Limits;
use crate::link::frame::DURABLE;
use crate::machine::Cx;
use crate::node::input::Delivery;
use crate::store::record::{Key, Record};
use crate::zoo::Bug;

/// The durable messages from one peer that are not done with.
#[derive(Debug, Default)]
pub(super) struct Safe {
    /// Writes of messages on their way, by slot, and their numbers.
    pub(super) storing: BTreeMap<u64, (u64, Bytes)>,
    numbers: BTreeSet<u64>,
    /// On disk and shown, not taken by the application: numbers and lengths, here and below.
    shown: BTreeMap<u64, u32>,
    /// Taken, and in no window yet.
    taken: Vec<(u64, u32)>,
    /// The window on its way to the disk, and what may be erased after it.
    closing: Option<(u64, Vec<(u64, u32)>)>,
    slots: u64,
    /// The disk has failed; nothing durable is accepted any more.
    pub(super) failed: bool,
    /// The oldest number that was on its way to it then.
    forgotten: Option<u64>,
}

impl Safe {
    pub(super) fn is_storing(&self, seq: u64) -> bool {
        self.numbers.contains(&seq)
    }

    /// The oldest number on its way to the disk, or that would be if that had not failed.
    pub(super) fn first_storing(&self) -> Option<u64> {
        self.forgotten.or(self.numbers.first().copied())
    }

    /// Whether a record of this number is on the disk, or on its way there or away.
    pub(super) fn is_kept(&self, seq: u64) -> bool {
        let mut leaving = self.taken.iter().chain(self.closing.iter().flat_map(|(_, seqs)| seqs));
        self.shown.contains_key(&seq) || self.is_storing(seq) || leaving.any(|&(left, _)| left == seq)
    }

    /// Payload bytes on the disk or on their way there.
    pub(super) fn disk_bytes(&self) -> u64 {
        let closing = self.closing.iter().flat_map(|(_, seqs)| seqs);
        let leaving = self.taken.iter().chain(closing).map(|&(_, len)| u64::from(len));
        let shown = self.shown.values().map(|&len| u64::from(len));
        let storing = self.storing.values().map(|(_, payload)| payload.len() as u64);
        shown.chain(leaving).chain(storing).sum()
    }

    fn next_slot(&mut self) -> u64 {
        self.slots += 1;
        self.slots
    }

    /// What is held, counted afresh.
    pub(super) fn usage(&self) -> Usage {
        let closing = self.closing.as_ref().map_or(0, |(_, seqs)| seqs.len());
        let on_disk = (self.shown.len() + self.taken.len() + closing) as u32;
        let writing = self.storing.len() as u32;
        let bytes = self.storing.values().map(|(_, payload)| payload.len() as u64).sum();
        Usage { bytes, messages: on_disk + writing, durable: on_disk + writing }
    }
}

impl Inbox {
    /// Has a durable message written; it is shown and receipted when that is done.
    pub(super) fn keep_safe(&mut self, cx: &Cx<'_>, budget: &mut Budget, seq: u64, payload: Bytes) {
        let peer = self.peer;
        // Without a session no message comes, and each session says whose it is.
        let Some(device) = self.device else { return };
        if !core::mem::replace(&mut self.correspondent, true) {
            budget.add_correspondent();
        }
        budget.force_disk(&mut self.disk_bytes, payload.len());
        let safe = self.safe.get_or_insert_default();
        let slot = safe.next_slot();
        let record = Record::Incoming { peer, device, seq, payload: payload.clone() };
        safe.numbers.insert(seq);
        safe.storing.insert(slot, (seq, payload));
        self.actions.push_back(InboxAction::Store { slot, record });
        if cx.zoo.has(Bug::AckBeforeStore) {
            self.durable.mark(cx.limits.message_window, seq);
            self.durable.notice.touch();
        }
    }

    /// The write `slot` is on disk.
    pub fn on_stored(&mut self, cx: &mut Cx<'_>, budget: &mut Budget, slot: u64) {
        let Some(safe) = &mut self.safe else { return };
        if let Some((seq, payload)) = safe.storing.remove(&slot) {
            safe.numbers.remove(&seq);
            safe.shown.insert(seq, payload.len() as u32);
            budget.shrink(&mut self.usage, payload.len());
            self.durable.mark(cx.limits.message_window, seq);
            self.durable.notice.touch();
            self.actions.push_back(InboxAction::Deliver {
                delivery: Delivery::Durable,
                seq,
                again: false,
                payload,
            });
            return;
        }
        let Some((_, seqs)) = safe.closing.take_if(|(closing, _)| *closing == slot) else { return };
        for (seq, len) in seqs {
            budget.give(&mut self.usage, 0, true);
            budget.give_disk(&mut self.disk_bytes, len as usize);
            self.erase(seq);
        }
        if core::mem::take(&mut self.turned_away) {
            self.durable.notice.touch();
        }
        self.close_window();
    }

    /// The disk has failed: what was not confirmed is forgotten and will be refused.
    pub fn on_store_failed(&mut self, budget: &mut Budget) {
        let forgotten = self.drop_storing(budget).first().copied();
        let safe = self.safe.get_or_insert_default();
        (safe.failed, safe.forgotten) = (true, safe.forgotten.or(forgotten));
    }

    /// The last write that the durable receipts speak of and that was not confirmed: there is none,
    /// unless a planted bug promises too early. The node states it with the packet, so that a
    /// simulator can hold it to its word.
    #[must_use]
    pub fn unstored_promise(&self) -> Option<u64> {
        let safe = self.safe.as_ref()?;
        let Space { told, done, .. } = &self.durable;
        let marked = |seq| done.as_ref().is_some_and(|done| done.check(seq) == Seen::Duplicate);
        let promised = safe.storing.iter().filter(|(_, (seq, _))| seq < told || marked(*seq));
        promised.map(|(&slot, _)| slot).max()
    }

    /// Forgets what is on its way to the disk; says which numbers that was.
    pub(super) fn drop_storing(&mut self, budget: &mut Budget) -> BTreeSet<u64> {
        let Some(safe) = &mut self.safe else { return BTreeSet::new() };
        for (_, payload) in core::mem::take(&mut safe.storing).into_values() {
            budget.give(&mut self.usage, payload.len(), true);
            budget.give_disk(&mut self.disk_bytes, payload.len());
        }
        core::mem::take(&mut safe.numbers)
    }

    /// The application has taken the durable message `seq` for good.
    pub fn consumed(&mut self, seq: u64) {
        let Some(safe) = &mut self.safe else { return };
        if safe.failed {
            return;
        }
        if let Some(len) = safe.shown.remove(&seq) {
            safe.taken.push((seq, len));
            self.close_window();
        }
    }

    /// Has one window written for all that was taken, unless one is on its way.
    fn close_window(&mut self) {
        let (Some(safe), Some(device)) = (&mut self.safe, self.device) else { return };
        if safe.closing.is_some() || safe.taken.is_empty() {
            return;
        }
        let seqs = core::mem::take(&mut safe.taken);
        let slot = safe.next_slot();
        let not_taken = safe.shown.keys().chain(&safe.numbers).copied().collect();
        let record = window_record(self.peer, device, &self.durable, &not_taken);
        safe.closing = Some((slot, seqs));
        self.actions.push_back(InboxAction::Store { slot, record });
    }

    /// Each device of a node counts for itself. One that was replaced left numbers that mean nothing to its
    /// successor: what was not whole is dropped, what the application has not taken stays.
    pub(super) fn begin_anew(&mut self, budget: &mut Budget, device: DeviceId) {
        let parts = core::mem::take(&mut self.parts);
        for ((space, seq), part) in parts {
            if space == DURABLE {
                budget.give(&mut self.usage, part.total(), true);
            } else {
                self.parts.insert((space, seq), part);
            }
        }
        for seq in self.drop_storing(budget) {
            self.erase(seq);
        }
        self.durable = Space::default();
        let safe = self.safe.get_or_insert_default();
        let slot = safe.next_slot();
        let record = Record::Window { peer: self.peer, device, floor: 0, ranges: Vec::new() };
        // Before any message of the new device: after a crash nobody takes one's numbers for the other's.
        self.actions.push_back(InboxAction::Store { slot, record });
    }

    pub(super) fn erase(&mut self, seq: u64) {
        let key = Key::Incoming(self.peer, seq);
        if let Some(safe) = &mut self.safe {
            let slot = safe.next_slot();
            self.actions.push_back(InboxAction::Store { slot, record: Record::Erased { key } });
        }
    }

    /// Everything that the store holds of messages from `peer`, after a restart: what was not taken is
    /// shown again. `records` in any order; those of other kinds and peers are ignored.
    #[must_use]
    pub fn recover(
        limits: &Limits,
        budget: &mut Budget,
        peer: NodeId,
        records: impl IntoIterator<Item = Record>,
    ) -> Inbox {
        let mut inbox = Inbox::new(peer);
        let mut incoming = BTreeMap::new();
        let mut window = None;
        for record in records {
            match record {
                Record::Incoming { peer: from, device, seq, payload } if from == peer => {
                    incoming.insert(seq, (device, payload));
                }
                Record::Window { peer: from, device, floor, ranges } if from == peer => {
                    window = Some((device, floor, ranges));
                }
                Record::Incoming { .. }
                | Record::Window { .. }
                | Record::Boot { .. }
                | Record::Sequence { .. }
                | Record::Outgoing { .. }
                | Record::Peer { .. }
                | Record::Statement { .. }
                | Record::Bundle { .. }
                | Record::Erased { .. } => {}
            }
        }
        // Without a window no device was ever replaced: all messages are of one.
        let first = incoming.values().next().map(|&(device, _)| (device, 0, Vec::new()));
        let Some((device, floor, ranges)) = window.or(first) else { return inbox };
        inbox.device = Some(device);
        budget.add_correspondent();
        inbox.safe = Some(Box::default());
        inbox.correspondent = true;
        inbox.durable.notice.touch();
        inbox.durable.floor = floor;
        let ours = incoming.iter().filter(|(_, (sender, _))| *sender == device).map(|(&seq, _)| seq);
        let last = ours.chain(ranges.iter().map(|&(_, last)| last)).max().unwrap_or(0);
        let width = recovered_width(limits, floor, last);
        for &(first, end) in &ranges {
            // What is older than the window reaches counts as done anyway.
            for seq in first.max(last.saturating_sub(u64::from(width) + 64))..=end {
                inbox.durable.mark(width, seq);
            }
        }
        for (seq, (sender, payload)) in incoming {
            let done = seq < floor || ranges.iter().any(|&(first, last)| (first..=last).contains(&seq));
            if sender == device && done {
                inbox.erase(seq);
                continue;
            }
            if sender == device {
                inbox.durable.mark(width, seq);
            }
            budget.force(&mut inbox.usage, Usage { bytes: 0, messages: 1, durable: 1 });
            budget.force_disk(&mut inbox.disk_bytes, payload.len());
            if let Some(safe) = &mut inbox.safe {
                safe.shown.insert(seq, payload.len() as u32);
            }
            inbox.actions.push_back(InboxAction::Deliver {
                delivery: Delivery::Durable,
                seq,
                again: true,
                payload,
            });
        }
        inbox
    }
}

/// How many numbers back a recovered window has to remember. It may have been written under limits with a
/// wider one: a number that falls out of it counts as done, so all that were not have to stay in.
fn recovered_width(limits: &Limits, floor: u64, last: u64) -> u16 {
    let span = (last + 1).saturating_sub(floor).min(u64::from(Limits::MOST_MESSAGE_WINDOW));
    limits.message_window.max(span as u16)
}

/// Which numbers are done with for good: all that are marked or will not come, but those in `not_taken`.
fn window_record(peer: NodeId, device: DeviceId, space: &Space, not_taken: &BTreeSet<u64>) -> Record {
    let done = space.done.as_ref();
    let first_clear = done.map_or(space.floor, |done| done.next_clear(space.floor));
    let mut marked = Vec::new();
    if first_clear > 0 {
        marked.push((0, first_clear - 1));
    }
    marked.extend(done.into_iter().flat_map(|done| runs(done, first_clear)));
    let mut floor = 0;
    let mut ranges = Vec::new();
    for (first, last) in marked {
        let mut from = first;
        for &seq in not_taken.range(first..=last) {
            push_run(&mut floor, &mut ranges, from, seq);
            from = seq + 1;
        }
        push_run(&mut floor, &mut ranges, from, last + 1);
    }
    Record::Window { peer, device, floor, ranges }
}

/// Adds the run `from..end`, which becomes the floor when it starts at zero.
fn push_run(floor: &mut u64, ranges: &mut Vec<(u64, u64)>, from: u64, end: u64) {
    if from >= end {
        return;
    }
    if from == 0 {
        *floor = end;
    } else {
        ranges.push((from, end - 1));
    }
}
