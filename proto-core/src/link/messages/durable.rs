//! Durable messages at their sender: in the safe before anybody is told of them.
//!
//! A number is never used twice, whatever crashes: numbers are taken from a range that a `Sequence`
//! record has reserved, and after a restart from the end of that range. The records of one message go
//! to the disk in this order: the reservation, the message (`Outgoing`), and once it is receipted its
//! erasure. The message is first sent when `Outgoing` is confirmed, which confirms the reservation
//! too, since a crash only loses a suffix of what was not confirmed.

use alloc::collections::{BTreeMap, BTreeSet};

use super::outbox::Outbox;
use super::queue::{Entry, Kind, ListId, Manner, UNNUMBERED};
use super::receipts::Floor;
use super::{Budget, OutboxAction, Usage};
use crate::ids::NodeId;
use crate::link::frame::ReceiptFrame;
use crate::machine::Cx;
use crate::node::output::Outcome;
use crate::store::record::Record;
use crate::time::Duration;
use crate::zoo::Bug;

/// Numbers that one `Sequence` record reserves (guess: one more write for a thousand messages).
pub(super) const RESERVED: u64 = 1_024;

/// The durable messages towards one peer.
#[derive(Debug, Default)]
pub(super) struct Durable {
    next: u64,
    reserved: u64,
    /// Unfinished numbers.
    pub(super) live: BTreeMap<u64, u32>,
    /// `Outgoing` records on their way to the disk.
    storing: BTreeMap<u64, (u32, u32)>,
    /// Numbers given up whose records the disk may still hold, and the erasures under way.
    unerased: BTreeSet<u64>,
    erasing: BTreeMap<u64, u64>,
    slots: u64,
    /// The disk has failed; nothing durable is accepted any more.
    pub(super) failed: bool,
    /// The floor of durable numbers.
    pub(super) floor: Floor,
}

impl Durable {
    pub(super) fn is_used(&self) -> bool {
        self.next > 0
    }

    /// The oldest number that is unfinished, or that a restart may find on the disk and send again. The
    /// peer takes every number below the floor, or out of its window, for one that it has had.
    pub(super) fn base(&self) -> u64 {
        let live = self.first_live();
        self.unerased.first().map_or(live, |&seq| live.min(seq))
    }

    /// The oldest unfinished number.
    pub(super) fn first_live(&self) -> u64 {
        self.live.first_key_value().map_or(self.next, |(&seq, _)| seq)
    }

    /// Whether the peer remembers far enough for `seq` to be sent.
    pub(super) fn within(&self, seq: u64, window: u64) -> bool {
        seq.saturating_sub(self.base()) < window
    }

    pub(super) fn find(&self, seq: u64) -> Option<u32> {
        self.live.get(&seq).copied()
    }

    pub(super) fn next_slot(&mut self) -> u64 {
        self.slots += 1;
        self.slots
    }
}

impl Outbox {
    /// Gives a new durable message its number and has it written.
    pub(super) fn reserve_and_store(&mut self, index: u32, lifetime: Duration) {
        let peer = self.peer;
        let durable = self.durable.get_or_insert_default();
        if durable.next >= durable.reserved {
            durable.reserved = durable.next + RESERVED;
            let record = Record::Sequence { peer, reserved: durable.reserved };
            let slot = durable.next_slot();
            self.actions.push_back(OutboxAction::Store { slot, record });
        }
        let seq = durable.next;
        durable.next += 1;
        durable.live.insert(seq, index);
        let slot = durable.next_slot();
        let Some(entry) = self.queue.get_mut(index) else { return };
        entry.seq = seq;
        durable.storing.insert(slot, (index, entry.generation));
        let record = Record::Outgoing {
            peer,
            seq,
            tag: entry.tag,
            class: entry.class,
            lifetime_us: lifetime.as_micros(),
            payload: entry.payload.clone(),
        };
        self.actions.push_back(OutboxAction::Store { slot, record });
    }

    /// The write `slot` is on disk.
    pub fn on_stored(&mut self, slot: u64) {
        let Some(durable) = &mut self.durable else { return };
        if let Some(seq) = durable.erasing.remove(&slot) {
            durable.unerased.remove(&seq);
            return durable.floor.update(durable.base());
        }
        let Some((index, generation)) = durable.storing.remove(&slot) else { return };
        let Some(entry) = self.queue.get(index).filter(|entry| entry.generation == generation) else {
            return;
        };
        let (tag, seq, class) = (entry.tag, entry.seq, entry.class);
        let list = ListId::of(Kind::Durable, class);
        self.queue.push_back(list, index);
        self.receipt(tag, Outcome::Accepted);
        self.actions.push_back(OutboxAction::Waits { seq, class });
    }

    /// The disk has failed. What was not confirmed ends, its fate unknown: it may be on disk and be
    /// sent after a restart. What was sent goes on.
    pub fn on_store_failed(&mut self, budget: &mut Budget) {
        let durable = self.durable.get_or_insert_default();
        durable.failed = true;
        durable.erasing.clear();
        let storing = core::mem::take(&mut durable.storing);
        for (index, generation) in storing.into_values() {
            if self.queue.get(index).is_some_and(|entry| entry.generation == generation) {
                self.finish(budget, index, Outcome::Uncertain);
            }
        }
    }

    /// A durable message has ended: its record goes, and then its number if the peer may wait for it. A disk
    /// that has failed keeps what it has.
    pub(super) fn end_durable(&mut self, entry: &Entry, outcome: Outcome) {
        let Some(durable) = &mut self.durable else { return };
        durable.live.remove(&entry.seq);
        self.actions.push_back(OutboxAction::Ended { seq: entry.seq });
        let failed = durable.failed;
        let given_up = outcome != Outcome::Delivered;
        if given_up {
            durable.floor.give_up(entry.seq + 1);
            durable.unerased.insert(entry.seq);
        }
        durable.floor.update(durable.base());
        if failed {
            return;
        }
        let erasure = self.erase(entry.seq);
        if given_up && let (Some(slot), Some(durable)) = (erasure, &mut self.durable) {
            durable.erasing.insert(slot, entry.seq);
        }
    }

    /// The peer has these durable messages on disk.
    pub(super) fn on_durable_receipt(&mut self, budget: &mut Budget, receipt: &ReceiptFrame<'_>) {
        self.finish_durable(budget, 0, receipt.floor);
        for (first, last) in receipt.ranges() {
            if self.durable.as_ref().is_none_or(|durable| first >= durable.next) {
                return;
            }
            self.finish_durable(budget, first, last + 1);
        }
    }

    /// Finishes those of `first..end` that were sent, or given to others to bring.
    pub(super) fn finish_durable(&mut self, budget: &mut Budget, first: u64, end: u64) {
        let mut from = first;
        while from < end {
            let Some(durable) = &self.durable else { return };
            let Some((&seq, &index)) = durable.live.range(from..end).next() else { return };
            if self.queue.get(index).is_some_and(|entry| entry.sent || entry.entrusted) {
                self.finish(budget, index, Outcome::Delivered);
            }
            from = seq + 1;
        }
    }

    /// Sends every durable message that is on disk anew, in the order of numbers.
    pub(super) fn resend_durable(&mut self) {
        let Some(durable) = &mut self.durable else { return };
        durable.floor.forgotten();
        let storing: BTreeSet<u32> = durable.storing.values().map(|&(index, _)| index).collect();
        for &index in durable.live.values() {
            let Some(entry) = self.queue.get_mut(index) else { continue };
            self.room.uncount(core::mem::take(&mut entry.charge), entry.part);
            (entry.sent, entry.acked, entry.copies, entry.burst, entry.probes) = (false, false, 0, 0, 0);
            // The next question of the time before may be a minute off, and room comes back with the fourth.
            entry.asking = false;
            entry.fragments = None;
            if storing.contains(&index) {
                continue;
            }
            let list = ListId::of(Kind::Durable, entry.class);
            self.queue.push_back(list, index);
        }
    }

    /// Everything that the store holds of our messages to `peer`, after a restart. `records` in any
    /// order; those of other kinds and peers are ignored.
    #[must_use]
    pub fn recover(
        cx: &mut Cx<'_>,
        budget: &mut Budget,
        peer: NodeId,
        records: impl IntoIterator<Item = Record>,
    ) -> Outbox {
        let mut outbox = Outbox::new(peer);
        let mut reserved = 0;
        let mut outgoing = BTreeMap::new();
        for record in records {
            match record {
                Record::Sequence { peer: to, reserved: end } if to == peer => reserved = end,
                Record::Outgoing { peer: to, seq, tag, class, lifetime_us, payload } if to == peer => {
                    let expires = cx.now + Duration::from_micros(lifetime_us);
                    let mut entry = Entry::new(payload, tag, Manner::Durable, class, expires);
                    entry.seq = seq;
                    outgoing.insert(seq, entry);
                }
                Record::Sequence { .. }
                | Record::Outgoing { .. }
                | Record::Boot { .. }
                | Record::Incoming { .. }
                | Record::Window { .. }
                | Record::Peer { .. }
                | Record::Statement { .. }
                | Record::Bundle { .. }
                | Record::Erased { .. } => {}
            }
        }
        if reserved == 0 && outgoing.is_empty() {
            return outbox;
        }
        let after_last = outgoing.last_key_value().map_or(0, |(&seq, _)| seq + 1);
        let mut next = reserved.max(after_last);
        if cx.zoo.has(Bug::SequenceReused) {
            next = reserved.saturating_sub(RESERVED);
        }
        let mut durable = Durable { next, reserved: next, ..Durable::default() };
        budget.add_correspondent();
        // The receiver has to learn that the rest of the old range will never be used.
        durable.floor.give_up(next);
        outbox.durable = Some(alloc::boxed::Box::new(durable));
        for (seq, entry) in outgoing {
            outbox.restore(budget, seq, entry);
        }
        if let Some(durable) = &mut outbox.durable {
            durable.floor.update(durable.base());
        }
        outbox
    }

    fn restore(&mut self, budget: &mut Budget, seq: u64, entry: Entry) {
        let (class, expires) = (entry.class, entry.expires);
        let add = Usage { bytes: entry.payload.len() as u64, messages: 1, durable: 1 };
        budget.force(&mut self.usage, add);
        debug_assert_ne!(seq, UNNUMBERED);
        // It may have been given to others before, and a receipt for it be under way.
        let index = self.queue.insert(entry);
        if let Some(entry) = self.queue.get_mut(index) {
            entry.entrusted = true;
        }
        if let Some(durable) = &mut self.durable {
            durable.live.insert(seq, index);
        }
        self.set_timer(index, expires);
        self.queue.push_back(ListId::of(Kind::Durable, class), index);
        self.actions.push_back(OutboxAction::Waits { seq, class });
    }
}
