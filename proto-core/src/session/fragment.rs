//! Handshake packets that are larger than a link's MTU.
//!
//! A radio may carry 64 bytes where a handshake packet has 500. Such a packet is cut into fragments, each
//! with a short network tag of its own, and put together again in the one slot that every link has:
//! nothing else may be stored for somebody who has not been authenticated. The whole carries its own
//! tag, so a wrong piece cannot do more than spoil one attempt. A packet is always sent again with
//! identical bytes, so whatever was lost is filled by any later copy.
//!
//! The slot is given to another packet when nothing new came for a while, or when it was held for long:
//! whoever occupies it on purpose delays others but does not stop them.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use super::message::{Builder, FRAGMENT_OVERHEAD, Kind, MAX_HANDSHAKE_BYTES, Versions, tag_of};
use crate::ids::Addr;
use crate::time::{Duration, Instant};

/// Fragments start at multiples of this, so that one bit can stand for this many bytes.
const UNIT: usize = 8;
const UNITS: usize = MAX_HANDSHAKE_BYTES / UNIT;

/// Bytes of data in a fragment that is not the last.
fn room_of(mtu: usize) -> usize {
    mtu.saturating_sub(FRAGMENT_OVERHEAD) / UNIT * UNIT
}

/// Bytes that a packet of `len` bytes takes on a link, with the headers of the fragments that it needs there.
pub(super) fn wire_len(len: usize, mtu: usize) -> usize {
    let fragments = if len <= mtu { 0 } else { len.div_ceil(room_of(mtu).max(UNIT)) };
    len + fragments * FRAGMENT_OVERHEAD
}

/// The fragments of `packet`, none larger than `mtu`. Empty when the MTU is too small for any.
pub(super) fn split(
    packet: &[u8],
    mtu: usize,
    versions: Versions,
    sender: u32,
    hello: &[u8; 32],
) -> Vec<Vec<u8>> {
    let room = room_of(mtu);
    let (Ok(total), Some(id)) = (u16::try_from(packet.len()), tag_of(packet).first_chunk().copied()) else {
        return Vec::new();
    };
    if room == 0 {
        return Vec::new();
    }
    packet
        .chunks(room)
        .zip((0u16..).step_by(room))
        .map(|(data, offset)| {
            Builder::new(Kind::Fragment, versions, sender)
                .put(&u32::from_le_bytes(id).to_le_bytes())
                .put(&total.to_le_bytes())
                .put(&offset.to_le_bytes())
                .put(data)
                .seal_fragment(hello)
        })
        .collect()
}

/// One fragment as received.
pub(super) struct Piece<'a> {
    pub(super) from: Addr,
    pub(super) id: u32,
    pub(super) total: u16,
    pub(super) offset: u16,
    pub(super) data: &'a [u8],
}

/// The one packet of a link that is being put together.
#[derive(Default)]
pub(super) struct Slot(Option<Box<Partial>>);

struct Partial {
    from: Addr,
    id: u32,
    bytes: Vec<u8>,
    have: [u64; UNITS / 64],
    missing: usize,
    /// Bytes of all its fragments that came, headers included.
    received: usize,
    begun: Instant,
    moved: Instant,
}

/// A packet that is complete.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Whole {
    pub(super) bytes: Vec<u8>,
    /// Bytes of all its fragments that came, headers included.
    pub(super) received: usize,
}

/// The piece does not fit its packet, or the slot is taken.
pub(super) enum Rejected {
    Malformed,
    Busy,
}

impl Slot {
    /// Adds a piece. Gives the packet when it is complete; the slot is free again then.
    ///
    /// `patience` is how long a packet may rest before another may take its place, and how long it may keep it however busy it is.
    pub(super) fn add(
        &mut self,
        now: Instant,
        (patience, longest): (Duration, Duration),
        piece: &Piece<'_>,
    ) -> Result<Option<Whole>, Rejected> {
        let (total, offset) = (usize::from(piece.total), usize::from(piece.offset));
        let end = offset.saturating_add(piece.data.len());
        let whole_units = piece.data.len().is_multiple_of(UNIT) || end == total;
        if piece.data.is_empty()
            || total > MAX_HANDSHAKE_BYTES
            || end > total
            || !offset.is_multiple_of(UNIT)
            || !whole_units
        {
            return Err(Rejected::Malformed);
        }
        let fits = |p: &Partial| p.from == piece.from && p.id == piece.id && p.bytes.len() == total;
        let busy = |p: &Partial| now.since(p.moved) < patience && now.since(p.begun) < longest;
        match &self.0 {
            Some(partial) if fits(partial) => {}
            Some(partial) if busy(partial) => return Err(Rejected::Busy),
            Some(_) | None => self.0 = Some(Box::new(Partial::new(now, piece, total))),
        }
        let Some(partial) = &mut self.0 else { return Ok(None) };
        partial.fill(now, offset, piece.data);
        partial.received = partial.received.saturating_add(FRAGMENT_OVERHEAD + piece.data.len());
        if partial.missing > 0 {
            return Ok(None);
        }
        Ok(self.0.take().map(|partial| Whole { bytes: partial.bytes, received: partial.received }))
    }
}

impl Partial {
    fn new(now: Instant, piece: &Piece<'_>, total: usize) -> Partial {
        Partial {
            from: piece.from,
            id: piece.id,
            bytes: vec![0; total],
            have: [0; UNITS / 64],
            missing: total.div_ceil(UNIT),
            received: 0,
            begun: now,
            moved: now,
        }
    }

    fn fill(&mut self, now: Instant, offset: usize, data: &[u8]) {
        for (unit, bytes) in (offset / UNIT..).zip(data.chunks(UNIT)) {
            let bit = 1u64 << (unit % 64);
            let start = unit * UNIT;
            let (Some(have), Some(room)) =
                (self.have.get_mut(unit / 64), self.bytes.get_mut(start..start + bytes.len()))
            else {
                continue;
            };
            // What is there already stays: a later copy is either the same or somebody's mischief.
            if *have & bit == 0 {
                *have |= bit;
                self.missing = self.missing.saturating_sub(1);
                self.moved = now;
                room.copy_from_slice(bytes);
            }
        }
    }
}
