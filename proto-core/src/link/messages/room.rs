//! What the peer has promised to keep for us, and who may use it.
//!
//! A cloakroom that has promised so many hooks. Whoever goes straight in needs none: an unordered message of one
//! packet is delivered where it arrives. All others may have to wait there, for their other symbols, for those before
//! them, or for the disk, and each takes its bytes but at least one hook ([`PeerParams::PLACE_BYTES`]): what finds
//! none is left unacknowledged and would be carried there again every round trip. A part is kept from those who are
//! in no hurry, and another from those who come with much. Whoever comes with much and finds too few hooks free is
//! passed by others with little until all of those together had as many hooks as there are; then the hooks that
//! come free are kept for him. After him it is their turn, before another who comes with much.

use super::flight::ASK_THEN_ANEW;
use super::outbox::{Outbox, SMALL_HEADER, classes};
use super::queue::{Entry, Kind, ListId, Manner};
use crate::node::input::Class;
use crate::params::PeerParams;

/// One part in so many of the promise is kept for messages of one packet (guess).
const SMALL_PART: u64 = 8;
/// One part in so many, and one place at least, is kept for emergencies of one packet (guess).
const EMERGENCY_PART: u64 = 16;

/// What a message counts as among those under way. A durable one has a place of its own kind; one that is asked
/// after for the fourth time was most likely passed over, and takes nothing.
fn charge_of(entry: &Entry, whole: bool) -> u32 {
    let len = entry.payload.len() as u32;
    match entry.manner {
        Manner::Datagram => 0,
        Manner::Plain if whole => 0,
        Manner::Durable if entry.probes >= ASK_THEN_ANEW => 0,
        Manner::Durable => len,
        Manner::Plain | Manner::Ordered(_) => len.max(PeerParams::PLACE_BYTES),
    }
}

impl Outbox {
    /// Whether the room that the peer has promised allows this unsent message to be started: any that needs
    /// none, or one alone.
    pub(super) fn has_room(&self, entry: &Entry) -> bool {
        let whole = self.is_whole(entry);
        let charge = u64::from(charge_of(entry, whole));
        let promised = self.promised();
        let reserved = if whole { self.reserved_from(entry.class) } else { 0 };
        if !whole && self.turn_of_small && entry.class != Class::Emergency && self.small_waits() {
            return false;
        }
        if charge == 0 || self.outstanding == 0 && reserved == 0 {
            return true;
        }
        let kept = match (entry.class, whole) {
            (Class::Emergency, true) => 0,
            (_, true) => (promised / EMERGENCY_PART).max(u64::from(PeerParams::PLACE_BYTES)),
            (_, false) => promised / SMALL_PART,
        };
        self.outstanding + charge + reserved <= promised.saturating_sub(kept)
    }

    fn promised(&self) -> u64 {
        self.params.map_or(0, |params| u64::from(params.receive_bytes))
    }

    /// What is kept for a large message that was passed by often enough, from messages of one packet of this class.
    fn reserved_from(&self, class: Class) -> u64 {
        if class == Class::Emergency || self.passed_by < self.promised().max(1) {
            return 0;
        }
        self.waits_with_much().map_or(0, |entry| u64::from(charge_of(entry, false)))
    }

    /// The most urgent large message that was not begun and may be numbered.
    fn waits_with_much(&self) -> Option<&Entry> {
        self.firsts([Kind::Bulk, Kind::Durable]).find(|entry| !self.is_whole(entry))
    }

    /// Whether a message of one packet that takes room was not begun and may be numbered.
    fn small_waits(&self) -> bool {
        self.firsts([Kind::Ordered, Kind::Durable]).any(|entry| self.is_whole(entry))
    }

    /// The first of these lists, the most urgent class before the others, that may be numbered.
    fn firsts(&self, kinds: [Kind; 2]) -> impl Iterator<Item = &Entry> {
        let lists = classes().flat_map(move |(class, _)| kinds.map(|kind| ListId::of(kind, class)));
        let entries = lists.filter_map(|list| self.queue.front(list).and_then(|index| self.queue.get(index)));
        entries.filter(|entry| self.may_number(entry))
    }

    /// Whether it fits one packet. Where a message stands says only whether it might have when it came.
    fn is_whole(&self, entry: &Entry) -> bool {
        let len = entry.payload.len();
        len + SMALL_HEADER <= self.path.room
            || self.header_of(entry).encoded_len(None) + len <= self.path.room
    }

    /// Counts a message that is being started, or turned into symbols.
    pub(super) fn charge(&mut self, index: u32, whole: bool) {
        let Some(entry) = self.queue.get_mut(index) else { return };
        let charge = charge_of(entry, whole).max(entry.charge);
        let more = u64::from(charge - entry.charge);
        entry.charge = charge;
        if more == 0 {
            return;
        }
        self.outstanding += more;
        let passes = whole && self.waits_with_much().is_some();
        self.passed_by = if passes { self.passed_by.saturating_add(more) } else { 0 };
        self.turn_of_small = !whole;
    }

    /// Its receiver has most likely passed this durable message over: it takes no room there.
    pub(super) fn uncharge_passed_over(&mut self, index: u32) {
        let Some(entry) = self.queue.get_mut(index) else { return };
        if entry.manner == Manner::Durable && entry.probes >= ASK_THEN_ANEW {
            self.outstanding -= u64::from(core::mem::take(&mut entry.charge));
        }
    }
}
