//! Writers of frames. Each writes all of its frame or nothing.

use super::{Channel, DURABLE, MessageHeader, kind};
use crate::codec::{NoRoom, Writer, varint_len};
use crate::ids::PathId;

/// Runs `write`; when it runs out of room, nothing of it stays.
pub(super) fn whole<T>(
    writer: &mut Writer<'_>,
    write: impl FnOnce(&mut Writer<'_>) -> Result<T, NoRoom>,
) -> Result<T, NoRoom> {
    let start = writer.len();
    let result = write(writer);
    if result.is_err() {
        writer.truncate(start);
    }
    result
}

/// Fills the room that is left with padding, up to `len` bytes of it.
pub fn write_padding(writer: &mut Writer<'_>, len: usize) {
    for _ in 0..len {
        if writer.u8(kind::PADDING).is_err() {
            return;
        }
    }
}

/// Writes a PING.
///
/// # Errors
/// [`NoRoom`]; nothing is written then, here and in every other writer.
pub fn write_ping(writer: &mut Writer<'_>) -> Result<(), NoRoom> {
    writer.u8(kind::PING)
}

/// Writes an ACK with as many `ranges` as fit: inclusive `(first, last)`, highest first, with at
/// least one missing number between two. Returns how many ranges were written, at least one.
///
/// # Errors
/// [`NoRoom`] when not even the first range fits, or there is none.
pub fn write_ack(
    writer: &mut Writer<'_>,
    path: PathId,
    delay_us: u64,
    ranges: impl Iterator<Item = (u64, u64)> + Clone,
) -> Result<u64, NoRoom> {
    let mut walk = ranges;
    let (first, largest) = walk.next().ok_or(NoRoom)?;
    let delay = delay_us / 8;
    let head = 2 + varint_len(largest) + varint_len(delay) + varint_len(largest - first);
    let count = fitting(writer.room(), head, walk.clone().scan(first, ack_step));
    whole(writer, |w| {
        w.u8(kind::ACK)?;
        w.u8(path.0)?;
        w.varint(largest)?;
        w.varint(delay)?;
        w.varint(count)?;
        w.varint(largest - first)?;
        for (gap, len) in walk.scan(first, ack_step).take(count as usize) {
            w.varint(gap)?;
            w.varint(len)?;
        }
        Ok(count + 1)
    })
}

/// Gap and length of a range below the one that starts at `above`.
fn ack_step(above: &mut u64, (first, last): (u64, u64)) -> Option<(u64, u64)> {
    let gap = above.checked_sub(last)?.checked_sub(2)?;
    *above = first;
    Some((gap, last.checked_sub(first)?))
}

/// Gap and length of a range above the missing number `missing`.
fn receipt_step(missing: &mut u64, (first, last): (u64, u64)) -> Option<(u64, u64)> {
    let gap = first.checked_sub(*missing)?.checked_sub(1)?;
    *missing = last.checked_add(1)?;
    Some((gap, last.checked_sub(first)?))
}

/// How many `(gap, len)` pairs fit into `room` bytes after `head` bytes and their own count.
fn fitting(room: usize, head: usize, pairs: impl Iterator<Item = (u64, u64)>) -> u64 {
    let mut used = head;
    let mut count = 0;
    for (gap, len) in pairs {
        used += varint_len(gap) + varint_len(len);
        if used + varint_len(count + 1) > room {
            break;
        }
        count += 1;
    }
    count
}

/// Writes a RECEIPT with as many `ranges` above `floor` as fit: inclusive `(first, last)`, lowest
/// first, each with at least one missing number before it. Returns how many ranges were written.
///
/// # Errors
/// [`NoRoom`] when not even the floor fits.
pub fn write_receipt(
    writer: &mut Writer<'_>,
    space: u8,
    floor: u64,
    ranges: impl Iterator<Item = (u64, u64)> + Clone,
) -> Result<u64, NoRoom> {
    let pairs = ranges.scan(floor, receipt_step);
    let count = fitting(writer.room(), 2 + varint_len(floor), pairs.clone());
    whole(writer, |w| {
        w.u8(kind::RECEIPT)?;
        w.u8(space)?;
        w.varint(floor)?;
        w.varint(count)?;
        for (gap, len) in pairs.take(count as usize) {
            w.varint(gap)?;
            w.varint(len)?;
        }
        Ok(count)
    })
}

/// Writes a FLOOR.
///
/// # Errors
/// [`NoRoom`].
pub fn write_floor(writer: &mut Writer<'_>, space: u8, floor: u64) -> Result<(), NoRoom> {
    write_numbered(writer, kind::FLOOR, space, floor)
}

/// Writes a REFUSED.
///
/// # Errors
/// [`NoRoom`].
pub fn write_refused(writer: &mut Writer<'_>, space: u8, seq: u64) -> Result<(), NoRoom> {
    write_numbered(writer, kind::REFUSED, space, seq)
}

fn write_numbered(writer: &mut Writer<'_>, kind: u8, space: u8, number: u64) -> Result<(), NoRoom> {
    whole(writer, |w| {
        w.u8(kind)?;
        w.u8(space)?;
        w.varint(number)
    })
}

/// Writes a PATH_CHALLENGE.
///
/// # Errors
/// [`NoRoom`].
pub fn write_challenge(writer: &mut Writer<'_>, bytes: [u8; 8]) -> Result<(), NoRoom> {
    whole(writer, |w| {
        w.u8(kind::CHALLENGE)?;
        w.put(&bytes)
    })
}

/// Writes a PATH_RESPONSE.
///
/// # Errors
/// [`NoRoom`].
pub fn write_response(writer: &mut Writer<'_>, bytes: [u8; 8]) -> Result<(), NoRoom> {
    whole(writer, |w| {
        w.u8(kind::RESPONSE)?;
        w.put(&bytes)
    })
}

/// Writes a CLOSE.
///
/// # Errors
/// [`NoRoom`].
pub fn write_close(writer: &mut Writer<'_>, reason: u8) -> Result<(), NoRoom> {
    whole(writer, |w| {
        w.u8(kind::CLOSE)?;
        w.u8(reason)
    })
}

/// Writes a DATAGRAM; as the `last` frame of a packet it needs no length.
///
/// # Errors
/// [`NoRoom`].
pub fn write_datagram(
    writer: &mut Writer<'_>,
    channel: Channel,
    last: bool,
    payload: &[u8],
) -> Result<(), NoRoom> {
    let (bare, with_len) = match channel {
        Channel::Application => (kind::DATAGRAM, kind::DATAGRAM_LEN),
        Channel::Routing => (kind::ROUTING_DATAGRAM, kind::ROUTING_DATAGRAM_LEN),
    };
    whole(writer, |w| {
        if last {
            w.u8(bare)?;
            w.put(payload)
        } else {
            w.u8(with_len)?;
            w.prefixed(payload)
        }
    })
}

/// Writes everything of a MESSAGE but its data, which the caller puts right behind it: exactly `len`
/// bytes, or with `None` all bytes up to the end of the packet.
///
/// # Errors
/// [`NoRoom`] when the header does not fit.
pub fn write_message_header(
    writer: &mut Writer<'_>,
    header: &MessageHeader,
    len: Option<usize>,
) -> Result<(), NoRoom> {
    let bit = |set: bool, bit: u8| if set { bit } else { 0 };
    let channel = match header.channel {
        Channel::Application => kind::MESSAGE,
        Channel::Routing => kind::ROUTING,
    };
    let kind = channel
        | bit(len.is_some(), kind::LEN)
        | bit(header.space == DURABLE, kind::DURABLE)
        | bit(header.back.is_some(), kind::ORDERED)
        | bit(header.fragment.is_some(), kind::FRAGMENT);
    whole(writer, |w| {
        w.u8(kind)?;
        w.varint(header.seq)?;
        if let Some(back) = header.back {
            w.varint(back)?;
        }
        if let Some(fragment) = header.fragment {
            w.varint(u64::from(fragment.total_len))?;
            w.varint(u64::from(fragment.symbol_size))?;
            w.varint(u64::from(fragment.block))?;
            w.varint(u64::from(fragment.symbol))?;
        }
        match len {
            Some(len) => w.varint(len as u64),
            None => Ok(()),
        }
    })
}

/// Writes a MESSAGE with its data; as the `last` frame of a packet it needs no length.
///
/// # Errors
/// [`NoRoom`].
pub fn write_message(
    writer: &mut Writer<'_>,
    header: &MessageHeader,
    last: bool,
    data: &[u8],
) -> Result<(), NoRoom> {
    whole(writer, |w| {
        write_message_header(w, header, if last { None } else { Some(data.len()) })?;
        w.put(data)
    })
}
