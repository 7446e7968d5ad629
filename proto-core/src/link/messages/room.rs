//! What the peer has promised to keep for us, and who may use it.
//!
//! A cloakroom that has promised so many hooks. Whoever goes straight in needs none: an unordered message of one
//! packet is delivered where it arrives. All others may have to wait there, for their other symbols, for those before
//! them, or for the disk, and each takes its bytes but at least one hook ([`PeerParams::PLACE_BYTES`]): what finds
//! none is left unacknowledged and would be carried there again every round trip. A part is kept from those who are
//! in no hurry, and another from those who come with much.

use super::outbox::{Outbox, SMALL_HEADER};
use super::queue::{Entry, Manner};
use crate::node::input::Class;
use crate::params::PeerParams;

/// One part in so many of the promise is kept for messages of one packet (guess).
const SMALL_PART: u64 = 8;
/// One part in so many, and one place at least, is kept for emergencies of one packet (guess).
const EMERGENCY_PART: u64 = 16;

/// What a message counts as among those under way. A durable one has a place of its own kind.
fn charge_of(entry: &Entry, whole: bool) -> u32 {
    let len = entry.payload.len() as u32;
    match entry.manner {
        Manner::Datagram => 0,
        Manner::Plain if whole => 0,
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
        if charge == 0 || self.outstanding == 0 {
            return true;
        }
        let promised = self.params.map_or(0, |params| u64::from(params.receive_bytes));
        let kept = match (entry.class, whole) {
            (Class::Emergency, true) => 0,
            (_, true) => (promised / EMERGENCY_PART).max(u64::from(PeerParams::PLACE_BYTES)),
            (_, false) => promised / SMALL_PART,
        };
        self.outstanding + charge <= promised.saturating_sub(kept)
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
        self.outstanding += u64::from(charge - entry.charge);
        entry.charge = charge;
    }
}
