//! What the peer has promised to keep for us, and who may use it.
//!
//! A cloakroom that has promised so many hooks. Whoever goes straight in needs none: an unordered message of one
//! packet is delivered where it arrives. All others may have to wait there, for their other symbols, for those before
//! them, or for the disk, and each takes its bytes but at least one hook ([`PeerParams::PLACE_BYTES`]): what finds
//! none is left unacknowledged and would be carried there again every round trip. A part is kept from those who are
//! in no hurry, and another from those who come with much.
//!
//! People with few coats find hooks at once, and could do so for ever while a family waits for ten: so who is first in
//! a row and was passed by often enough has a claim, and until it is met nobody else takes hooks. Only those who are
//! in a hurry with one coat pass even then, and only coats that move are waited for.

use alloc::boxed::Box;

use super::flight::ASK_THEN_ANEW;
use super::outbox::{Outbox, SMALL_HEADER};
use super::queue::{Entry, ListId, Manner, UNNUMBERED};
use crate::node::input::Class;
use crate::params::PeerParams;

/// One part in so many of the promise is kept for messages of one packet (guess).
const SMALL_PART: u64 = 8;
/// One part in so many, and one place at least, is kept for emergencies of one packet (guess).
const EMERGENCY_PART: u64 = 16;
/// Who was passed by with so many times the promise has a claim: in places of a `TINY` peer 42 messages, where the
/// least urgent class has its share in every 20.
const PASSED_BY: u64 = 4;
/// Each message passes with at least one part in so many of the promise, so that a thousand give a claim towards
/// the largest peer (guess): a megabyte waited nine minutes for ten small messages a second to `SMALL`, and would have waited
/// six hours for four a second to `SERVER`.
const PASSING_PART: u64 = 256;

/// Bytes that an outbox takes beyond its own size while messages wait for room, or were given up.
pub const ROOM_BYTES: u64 = size_of::<Rare>() as u64;

/// Among whom a message under way counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    /// Most.
    Common,
    /// Emergencies of one packet.
    Urgent,
    /// Of those, durable ones. They may count for seconds while the receiver's application takes nothing, in places that
    /// are none of the others'.
    UrgentDurable,
    /// Durable messages in symbols that were asked after again and again: the receiver's application is waited for.
    Stuck,
}

/// What is under way, and who waits.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// What messages sent in part and not finished count as.
    pub(super) outstanding: u64,
    /// The parts of that.
    urgent: u32,
    urgent_durable: u32,
    stuck: u32,
    /// While any wait that were not sent, or the peer may keep what was given up.
    rare: Option<Box<Rare>>,
}

/// What most outboxes need not know most of the time.
#[derive(Debug, Default)]
struct Rare {
    passed: Passed,
    given_up: GivenUp,
}

/// What was given up and still counts, since the peer keeps it until it hears of a floor beyond it. What comes while
/// it waits for that is counted apart: else a flow that never pauses would put it off for ever.
#[derive(PartialEq, Eq, Debug, Default)]
struct GivenUp {
    /// The highest number, and what all count as.
    first: (u64, u32),
    then: (u64, u32),
}

/// Who was passed by, and with how much.
#[derive(Debug, Default)]
struct Passed {
    /// All that was taken, modulo 2^32.
    taken: u32,
    /// By list: `taken` when its first message came to be the first.
    since: [u32; ListId::UNSENT],
    /// The list whose first message has a claim.
    claim: Option<ListId>,
}

impl Room {
    fn part(&mut self, part: Part) -> Option<&mut u32> {
        match part {
            Part::Common => None,
            Part::Urgent => Some(&mut self.urgent),
            Part::UrgentDurable => Some(&mut self.urgent_durable),
            Part::Stuck => Some(&mut self.stuck),
        }
    }

    pub(super) fn count(&mut self, charge: u32, part: Part) {
        self.outstanding += u64::from(charge);
        if let Some(part) = self.part(part) {
            *part += charge;
        }
    }

    pub(super) fn uncount(&mut self, charge: u32, part: Part) {
        self.outstanding -= u64::from(charge);
        if let Some(part) = self.part(part) {
            *part -= charge;
        }
    }

    /// The message `seq` was given up.
    pub(super) fn give_up(&mut self, seq: u64, charge: u32) {
        if charge == 0 {
            return;
        }
        self.count(charge, Part::Common);
        let GivenUp { first, then } = &mut self.rare.get_or_insert_default().given_up;
        let part = if first.1 == 0 || seq <= first.0 { first } else { then };
        *part = (part.0.max(seq), part.1 + charge);
    }

    /// The peer has heard that nothing below `floor` comes any more.
    pub(super) fn heard(&mut self, floor: u64) {
        while let Some(rare) = &mut self.rare {
            let (highest, charge) = rare.given_up.first;
            if charge == 0 || highest >= floor {
                return;
            }
            rare.given_up.first = core::mem::take(&mut rare.given_up.then);
            self.uncount(charge, Part::Common);
        }
    }

    /// Nobody waits for room.
    fn forget_passed(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.passed = Passed::default();
        }
        self.rare.take_if(|rare| rare.given_up == GivenUp::default());
    }

    /// What was given up and still counts.
    pub(super) fn given_up(&self) -> u32 {
        self.rare.as_ref().map_or(0, |rare| rare.given_up.first.1 + rare.given_up.then.1)
    }

    /// What is under way in all, and its parts.
    pub(super) fn sums(&self) -> (u64, u32, u32, u32) {
        (self.outstanding, self.urgent, self.urgent_durable, self.stuck)
    }

    /// What emergencies of one packet count as; for one that is not durable, only those like it.
    fn urgent(&self, durable: bool) -> u64 {
        u64::from(self.urgent) + if durable { u64::from(self.urgent_durable) } else { 0 }
    }

    /// Whether a message may begin though it does not fit, since nothing else makes room soon: its receiver keeps room
    /// for one beyond its promise. But what may be stuck itself counts among the stuck.
    fn is_alone(&self, entry: &Entry, whole: bool) -> bool {
        let others = if may_stick(entry, whole) { 0 } else { self.stuck };
        self.outstanding == self.urgent(true) + u64::from(others)
    }
}

/// What a message counts as among those under way. A durable one has a place of its own kind; one of a packet that is
/// asked after for the fourth time was most likely passed over, and takes nothing.
fn charge_of(entry: &Entry, whole: bool) -> u32 {
    let len = entry.payload.len() as u32;
    match entry.manner {
        Manner::Datagram(_) => 0,
        Manner::Plain | Manner::Routing if whole => 0,
        Manner::Durable if whole && entry.probes >= ASK_THEN_ANEW => 0,
        Manner::Durable => len,
        Manner::Plain | Manner::Routing | Manner::Ordered(_) => len.max(PeerParams::PLACE_BYTES),
    }
}

/// Whether it may be that only the application at the receiver makes room for it.
fn may_stick(entry: &Entry, whole: bool) -> bool {
    entry.manner == Manner::Durable && !whole
}

impl Outbox {
    /// Whether the room that the peer has promised allows the first message of this list to be started: any that needs
    /// none, or one beside those that do not move.
    pub(super) fn has_room(&self, list: ListId, entry: &Entry) -> bool {
        let whole = self.is_whole(entry);
        let charge = u64::from(charge_of(entry, whole));
        if charge == 0 {
            return true;
        }
        let hurries = whole && self.hurries(entry);
        let waits_for = |first: &Entry| !hurries || first.class == Class::Emergency;
        if self.claimant().is_some_and(|(claimed, first)| claimed != list && waits_for(first)) {
            return false;
        }
        let promised = self.promised();
        let for_emergencies = (promised / EMERGENCY_PART).max(u64::from(PeerParams::PLACE_BYTES));
        let after = self.room.outstanding + charge;
        if hurries {
            let urgent = self.room.urgent(entry.manner == Manner::Durable);
            urgent == 0 || after <= promised || urgent + charge <= for_emergencies
        } else {
            let kept = if whole { for_emergencies } else { promised / SMALL_PART };
            self.room.is_alone(entry, whole) || after <= promised.saturating_sub(kept)
        }
    }

    /// Whether a message of one packet may begin beyond what others leave: an emergency that does not have to wait at its
    /// receiver for one that is in no hurry, or was given up. For that there is no room beyond what is promised.
    fn hurries(&self, entry: &Entry) -> bool {
        let (Manner::Ordered(stream), Class::Emergency) = (entry.manner, entry.class) else {
            return entry.class == Class::Emergency;
        };
        if entry.sent {
            return entry.part == Part::Urgent;
        }
        let before = self.streams.as_ref().map_or(UNNUMBERED, |streams| streams.last(stream));
        let hurried = |index| self.queue.get(index).is_some_and(|before| before.part == Part::Urgent);
        before == UNNUMBERED || self.numbers.find(before).is_some_and(hurried)
    }

    fn promised(&self) -> u64 {
        self.params.map_or(0, |params| u64::from(params.receive_bytes))
    }

    /// The message for which all others wait, and its list.
    fn claimant(&self) -> Option<(ListId, &Entry)> {
        let list = self.room.rare.as_ref()?.passed.claim?;
        self.waits(list).filter(|entry| self.may_number(list, entry)).map(|entry| (list, entry))
    }

    /// Whether the last ordinary number in reach is kept from this list, for the message with a claim.
    pub(super) fn keeps_number_from(&self, list: ListId) -> bool {
        let claim = self.room.rare.as_ref().and_then(|rare| rare.passed.claim);
        claim.is_some_and(|claim| claim != list && !claim.is_durable() && self.waits(claim).is_some())
    }

    /// The first of a list, if it waits for room, and that will come.
    fn waits(&self, list: ListId) -> Option<&Entry> {
        let entry = self.queue.front(list).and_then(|index| self.queue.get(index))?;
        let whole = self.is_whole(entry);
        let comes = self.room.stuck == 0 || !may_stick(entry, whole);
        (comes && charge_of(entry, whole) > 0).then_some(entry)
    }

    /// Whether it fits one packet. Where a message stands says only whether it might have when it came.
    fn is_whole(&self, entry: &Entry) -> bool {
        let len = entry.payload.len();
        len + SMALL_HEADER <= self.path.room
            || self.header_of(entry).encoded_len(None) + len <= self.path.room
    }

    /// Counts a message of this list that is being started, sent again, or turned into symbols.
    pub(super) fn charge(&mut self, list: ListId, index: u32, whole: bool) {
        let hurries = whole && self.queue.get(index).is_some_and(|entry| self.hurries(entry));
        let Some(entry) = self.queue.get_mut(index) else { return };
        let charge = charge_of(entry, whole).max(entry.charge);
        if charge == 0 {
            return;
        }
        let more = charge - entry.charge;
        let part = if hurries {
            if entry.manner == Manner::Durable { Part::UrgentDurable } else { Part::Urgent }
        } else if may_stick(entry, whole) && entry.probes >= ASK_THEN_ANEW {
            Part::Stuck
        } else {
            Part::Common
        };
        self.room.uncount(entry.charge, entry.part);
        (entry.charge, entry.part) = (charge, part);
        self.room.count(charge, part);
        if more > 0 {
            self.pass(list, more);
        }
    }

    /// The first of `list` has taken so much room: who was passed by, and who has a claim now?
    fn pass(&mut self, list: ListId, taken: u32) {
        if ListId::unsent().all(|other| !self.queue.has(other)) {
            self.room.forget_passed();
            return;
        }
        let promised = self.promised();
        // Half of what can be counted: a claim must be reached before the count comes round.
        let enough = (PASSED_BY * promised).min(u64::from(u32::MAX / 2)) as u32;
        let least = (promised / PASSING_PART).max(u64::from(PeerParams::PLACE_BYTES)) as u32;
        let mut rare = self.room.rare.take().unwrap_or_default();
        let passed = &mut rare.passed;
        passed.taken = passed.taken.wrapping_add(taken.max(least));
        passed.claim = None;
        let mut most = enough.max(1) - 1;
        for (waiting, since) in ListId::unsent().zip(&mut passed.since) {
            if waiting == list || !self.queue.has(waiting) {
                *since = passed.taken;
            }
            // A claim that waits long must not be lost when the count comes round.
            let by = passed.taken.wrapping_sub(*since).min(u32::MAX / 2);
            *since = passed.taken.wrapping_sub(by);
            if by > most && self.waits(waiting).is_some() {
                (most, passed.claim) = (by, Some(waiting));
            }
        }
        self.room.rare = Some(rare);
    }

    /// Asks after a message again. A durable one that was asked after so often was most likely passed over, and will be
    /// until the application there takes others. One of a packet takes no room by that; one in symbols takes all of
    /// its own there with whichever symbol comes when there is some.
    pub(super) fn asked_again(&mut self, index: u32) {
        let Some(entry) = self.queue.get_mut(index) else { return };
        if entry.manner != Manner::Durable || entry.probes < ASK_THEN_ANEW {
            return;
        }
        self.room.uncount(entry.charge, entry.part);
        if entry.fragments.is_none() {
            entry.charge = 0;
        }
        entry.part = Part::Stuck;
        self.room.count(entry.charge, entry.part);
    }
}
