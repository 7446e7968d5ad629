//! What became of what was sent: fates, receipts, refusals, lifetimes, and a peer that lost its memory.

use alloc::vec::Vec;
use core::cmp::Reverse;

use super::fragment::{Symbol, next_cut};
use super::outbox::Outbox;
use super::packer::handle;
use super::queue::{Entry, Kind, ListId, Manner, NONE, UNNUMBERED};
use super::receipts::Floor;
use super::{Budget, OutboxAction};
use crate::drops::Drop;
use crate::link::frame::{DURABLE, ORDINARY, ReceiptFrame};
use crate::link::path::{Fate, Piece};
use crate::machine::Cx;
use crate::node::output::Outcome;
use crate::store::record::{Key, Record};
use crate::time::{Duration, Instant};
use crate::zoo::Bug;

/// A message that was acknowledged and has no receipt is asked after at first after two round trips
/// but at least this long, then twice as long each time (RFC 9002, section 6.2.1, backs off alike).
const ASK_LEAST: Duration = Duration::from_millis(200);
/// The longest pause between two questions.
const ASK_MOST: Duration = Duration::from_secs(60);
/// After so many questions without an answer a message in symbols is sent anew: the receiver may
/// have had to give up what it had.
pub(super) const ASK_THEN_ANEW: u8 = 4;
/// So many messages that found no room are sent anew when there may be some.
const ASK_AT_ONCE: usize = 2;
/// They are looked for among so many of the oldest that are not finished.
const LOOK_AT: usize = 64;

impl Outbox {
    /// A packet that carried `piece` arrived or was lost.
    pub fn on_fate(&mut self, cx: &mut Cx<'_>, budget: &mut Budget, piece: Piece, fate: Fate) {
        match piece {
            Piece::Message { handle, cut, symbol } => {
                self.on_message_fate(cx, budget, handle, (cut, symbol), fate);
            }
            Piece::Floor { space: DURABLE, version } => {
                if let Some(durable) = &mut self.durable {
                    durable.floor.on_fate(version, fate);
                }
            }
            Piece::Floor { space: _, version } => {
                if self.floor.on_fate(version, fate) {
                    self.finish_orphans(budget);
                }
            }
            Piece::Datagram { .. }
            | Piece::Receipt { .. }
            | Piece::Ack { .. }
            | Piece::Challenge
            | Piece::Response
            | Piece::Ping => {}
        }
    }

    fn on_message_fate(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
        name: u32,
        (cut, symbol): (u16, u32),
        fate: Fate,
    ) {
        if fate == Fate::Lost && cx.zoo.has(Bug::LossForgotten) {
            return;
        }
        let index = name >> 12;
        let Some(entry) = self.queue.get_mut(index) else { return };
        if handle(index, entry.generation) != name {
            return;
        }
        if entry.fragments.is_some() {
            return self.on_symbol_fate(index, Symbol::unpack(cut, symbol), fate);
        }
        if symbol != entry.generation || entry.acked {
            return;
        }
        if fate != Fate::Late {
            entry.copies = entry.copies.saturating_sub(1);
        }
        match fate {
            Fate::Acked | Fate::Late => self.on_whole_acked(cx.now, budget, index),
            Fate::Lost => {
                if entry.copies == 0 {
                    let list = ListId::of(Kind::Lost, entry.class);
                    self.queue.push_back(list, index);
                }
            }
        }
    }

    fn on_symbol_fate(&mut self, index: u32, symbol: Symbol, fate: Fate) {
        let Some(entry) = self.queue.get_mut(index) else { return };
        let is_parked = entry.list() == ListId::of(Kind::Parked, entry.class);
        let Some(fragments) = &mut entry.fragments else { return };
        fragments.on_fate(symbol, fate);
        if is_parked && fragments.has_need(self.path.loss_ppm) {
            self.activate(index);
        }
    }

    /// A message in symbols has some to send again: before younger ones, and behind an older one that is at
    /// it, since nothing is numbered far beyond the oldest message that is not finished.
    fn activate(&mut self, index: u32) {
        let Some(entry) = self.queue.get(index) else { return };
        let (list, seq) = (ListId::of(Kind::Active, entry.class), entry.seq);
        let first = self.queue.front(list).and_then(|first| self.queue.get(first));
        if first.is_some_and(|first| first.seq < seq) {
            self.queue.push_back(list, index);
        } else {
            self.queue.push_front(list, index);
        }
    }

    /// A whole message has arrived. An ordinary one is finished then, unless it is ordered and its
    /// predecessor is not: the receiver may be holding it.
    fn on_whole_acked(&mut self, now: Instant, budget: &mut Budget, index: u32) {
        self.queue.unlink(index);
        let floor_heard = self.floor.heard();
        let Some(entry) = self.queue.get_mut(index) else { return };
        entry.acked = true;
        entry.sent_at = now;
        let (before, orphan) = (entry.before, entry.orphan);
        match entry.manner {
            Manner::Durable => self.ask_later(now, index),
            Manner::Datagram(_) | Manner::Plain | Manner::Routing | Manner::Ordered(_) => {
                if before == UNNUMBERED || orphan && before < floor_heard {
                    self.finish(budget, index, Outcome::Delivered);
                } else if orphan {
                    self.streams.get_or_insert_default().orphans.insert((before, index));
                }
            }
        }
    }

    /// Finishes the acknowledged messages whose predecessors are below the floor that was heard.
    fn finish_orphans(&mut self, budget: &mut Budget) {
        if let Some(streams) = &mut self.streams {
            streams.heard(self.floor.heard());
        }
        self.room.heard(self.floor.heard());
        while let Some(&(before, index)) = self.streams.as_ref().and_then(|streams| streams.orphans.first()) {
            if before >= self.floor.heard() {
                return;
            }
            if let Some(streams) = &mut self.streams {
                streams.orphans.remove(&(before, index));
            }
            self.finish(budget, index, Outcome::Delivered);
        }
        self.streams.take_if(|streams| streams.is_empty());
    }

    /// The peer says which messages of a space it has for good.
    pub fn on_receipt(&mut self, now: Instant, budget: &mut Budget, receipt: &ReceiptFrame<'_>) {
        if receipt.space == DURABLE {
            self.on_durable_receipt(budget, receipt);
            return self.ask_soon(now);
        }
        let next = self.numbers.next();
        let first = self.numbers.base();
        self.finish_run(budget, first, receipt.floor.min(next));
        for (first, last) in receipt.ranges() {
            if first >= next {
                break;
            }
            self.finish_run(budget, first.max(self.numbers.base()), (last + 1).min(next));
        }
    }

    fn finish_run(&mut self, budget: &mut Budget, first: u64, end: u64) {
        for seq in first..end {
            if let Some(index) = self.numbers.find(seq) {
                self.finish(budget, index, Outcome::Delivered);
            }
        }
    }

    /// The peer will never take this message.
    pub fn on_refused(&mut self, budget: &mut Budget, space: u8, seq: u64) {
        let index = match (space, &self.durable) {
            (ORDINARY, _) => self.numbers.find(seq),
            (_, Some(durable)) => durable.find(seq),
            (_, None) => None,
        };
        if let Some(index) = index
            && self.queue.get(index).is_some_and(|entry| entry.sent)
        {
            self.finish(budget, index, Outcome::Refused);
        }
    }

    /// Takes a message out of the table and gives its bytes back.
    fn release(&mut self, budget: &mut Budget, index: u32) -> Option<Entry> {
        let entry = self.queue.remove(index)?;
        let len = entry.payload.len();
        budget.give(&mut self.usage, len, entry.manner == Manner::Durable);
        self.room.uncount(entry.charge, entry.part);
        if entry.orphan
            && entry.acked
            && let Some(streams) = &mut self.streams
        {
            streams.orphans.remove(&(entry.before, index));
        }
        Some(entry)
    }

    /// A datagram was sent, or could not be: nobody is told.
    pub(super) fn discard(&mut self, budget: &mut Budget, index: u32) {
        self.release(budget, index);
    }

    /// Ends a message and whatever ends with it, and says so.
    pub(super) fn finish(&mut self, budget: &mut Budget, index: u32, outcome: Outcome) {
        let mut next = Some(index);
        while let Some(index) = next.take() {
            let list = self.queue.get(index).map_or(ListId::OUT, Entry::list);
            let Some(entry) = self.release(budget, index) else { return };
            self.say_end(&entry, outcome);
            match entry.manner {
                Manner::Datagram(_) => {}
                Manner::Durable => self.end_durable(&entry, outcome),
                Manner::Plain | Manner::Routing | Manner::Ordered(_) if entry.seq == UNNUMBERED => {
                    if let (Manner::Ordered(stream), Some(streams)) = (entry.manner, &mut self.streams) {
                        streams.unqueued(stream);
                    }
                    self.sort_in(list);
                }
                Manner::Plain | Manner::Routing => self.end_number(&entry, outcome),
                Manner::Ordered(stream) => {
                    self.end_number(&entry, outcome);
                    next =
                        self.end_ordered(stream, &entry, outcome).filter(|_| outcome == Outcome::Delivered);
                }
            }
        }
        self.streams.take_if(|streams| streams.is_empty());
    }

    fn say_end(&mut self, entry: &Entry, outcome: Outcome) {
        match entry.manner {
            Manner::Datagram(_) => {}
            Manner::Plain | Manner::Ordered(_) | Manner::Durable => self.receipt(entry.tag, outcome),
            Manner::Routing => {
                let (tag, arrived) = (entry.tag, outcome == Outcome::Delivered);
                self.actions.push_back(OutboxAction::Settled { tag, arrived });
            }
        }
    }

    /// An ordinary number is done with. If it may not have arrived, the peer must not wait for it, and keeps what it has of
    /// it until it has heard so.
    fn end_number(&mut self, entry: &Entry, outcome: Outcome) {
        self.numbers.finish(entry.seq);
        if outcome != Outcome::Delivered {
            self.floor.give_up(entry.seq + 1);
            self.room.give_up(entry.seq, entry.charge);
        }
        self.floor.update(self.numbers.base());
    }

    /// Mends the chain of a stream around a message that has ended. Returns its successor when that
    /// is acknowledged and waited for nothing else.
    fn end_ordered(&mut self, stream: u16, entry: &Entry, outcome: Outcome) -> Option<u32> {
        let delivered = outcome == Outcome::Delivered;
        if delivered && let Some(streams) = &mut self.streams {
            streams.delivered(stream, entry.seq);
        }
        let after = entry.after;
        let next = self.queue.get_mut(after).filter(|next| next.before == entry.seq && after != NONE)?;
        if delivered {
            next.before = UNNUMBERED;
            return next.acked.then_some(after);
        }
        next.orphan = true;
        if next.acked {
            self.streams.get_or_insert_default().orphans.insert((entry.seq, after));
        }
        None
    }

    /// Sets a timer to ask after a message that the peer has acknowledged but not receipted.
    pub(super) fn ask_later(&mut self, now: Instant, index: u32) {
        let pause = self.path.srtt.mul_ratio(2, 1).max(ASK_LEAST);
        let Some(entry) = self.queue.get_mut(index) else { return };
        if entry.asking {
            return;
        }
        entry.asking = true;
        let pause = pause.mul_ratio(1 << entry.probes.min(10), 1).min(ASK_MOST);
        self.set_timer(index, now + pause);
    }

    /// Lifetimes that end, and messages to ask after.
    pub fn wake(&mut self, cx: &mut Cx<'_>, budget: &mut Budget) {
        self.queue.trim();
        while let Some(&Reverse((at, index, generation))) = self.timers.peek() {
            if at > cx.now {
                return;
            }
            self.timers.pop();
            let Some(entry) = self.queue.get_mut(index).filter(|entry| entry.generation == generation) else {
                continue;
            };
            if entry.expires <= cx.now {
                cx.drops.count(Drop::Expired);
                self.finish(budget, index, Outcome::Expired);
            } else if entry.asking {
                entry.asking = false;
                self.ask(cx.now, index);
            }
        }
    }

    /// Asks after a message by sending something of it again: the receiver answers a duplicate with
    /// its receipts.
    fn ask(&mut self, now: Instant, index: u32) {
        let pause = self.path.srtt.mul_ratio(2, 1).max(ASK_LEAST);
        let floor_heard = self.floor.heard();
        let Some(entry) = self.queue.get_mut(index) else { return };
        let waits = entry.acked || entry.list() == ListId::of(Kind::Parked, entry.class);
        let held = entry.before != UNNUMBERED && !(entry.orphan && entry.before < floor_heard);
        if !waits || entry.manner != Manner::Durable && entry.fragments.is_none() {
            return;
        }
        if held || entry.sent_at + pause > now {
            return self.ask_later(now, index);
        }
        // Every fourth question sends anew, also after the number has no more room.
        entry.probes = entry.probes.checked_add(1).unwrap_or(u8::MAX - ASK_THEN_ANEW + 1);
        self.asked_again(index);
        let Some(entry) = self.queue.get_mut(index) else { return };
        if let Some(fragments) = &mut entry.fragments {
            if entry.probes % ASK_THEN_ANEW == 0 {
                fragments.recut(fragments.size(), next_cut(&mut self.cuts));
            }
            entry.burst = 1;
            self.activate(index);
        } else {
            entry.acked = false;
            entry.copies = 0;
            let list = ListId::of(Kind::Lost, entry.class);
            self.queue.push_back(list, index);
        }
    }

    /// The peer has kept a durable message, or has room again: those that found none are sent anew, a few at a
    /// time, since each that is kept brings the next receipt.
    fn ask_soon(&mut self, now: Instant) {
        let Some(durable) = &self.durable else { return };
        let waits = |index: &u32| {
            self.queue.get(*index).is_some_and(|entry| entry.asking && entry.probes >= ASK_THEN_ANEW)
        };
        let oldest = durable.live.values().copied().take(LOOK_AT);
        let oldest: Vec<u32> = oldest.filter(waits).take(ASK_AT_ONCE).collect();
        for index in oldest {
            if let Some(entry) = self.queue.get_mut(index) {
                (entry.asking, entry.probes) = (false, ASK_THEN_ANEW - 1);
            }
            self.ask(now, index);
        }
    }

    /// The peer has restarted: what it had in memory is gone, and numbers start anew. Ordinary
    /// messages of which any part was sent end as uncertain; all others are sent in time.
    pub fn peer_restarted(&mut self, budget: &mut Budget) {
        let sent: Vec<u32> = self
            .queue
            .iter()
            .filter(|(_, entry)| entry.sent && entry.manner != Manner::Durable)
            .map(|(index, _)| index)
            .collect();
        self.numbers.restart();
        if let Some(streams) = &mut self.streams {
            streams.restart();
        }
        for index in sent {
            if let Some(entry) = self.release(budget, index) {
                self.say_end(&entry, Outcome::Uncertain);
            }
        }
        self.streams.take_if(|streams| streams.is_empty());
        self.floor = Floor::default();
        self.room.heard(UNNUMBERED);
        self.resend_durable();
    }

    /// The record of a durable message is not needed any more. The slot of its erasure.
    pub(super) fn erase(&mut self, seq: u64) -> Option<u64> {
        let slot = self.durable.as_mut()?.next_slot();
        let record = Record::Erased { key: Key::Outgoing(self.peer, seq) };
        self.actions.push_back(OutboxAction::Store { slot, record });
        Some(slot)
    }
}
