//! The frames inside a data packet: what one node says to another once both know each other.
//!
//! A packet is an envelope, frames are the slips of paper in it: "I have your packets 4 to 9", "here
//! is a message", "are you there?". Whoever opens the envelope reads the slips one after another and
//! copies nothing: a message stays where it lies, and a list of ranges is read again from the packet
//! whenever somebody walks it. Lengths are checked before anything is believed.
//!
//! The acknowledgement is that of RFC 9000, section 19.3, with the path it speaks of in front. Frame
//! kinds of 0x80 and above carry a length, so an old node skips what a newer one added; an unknown
//! kind below that is a violation, and the rest of its packet is not read.

use crate::codec::{Malformed, Reader, varint_len};
use crate::ids::PathId;

/// First byte of each frame.
mod kind {
    pub(super) const PADDING: u8 = 0x00;
    pub(super) const PING: u8 = 0x01;
    pub(super) const ACK: u8 = 0x02;
    pub(super) const DATAGRAM: u8 = 0x03;
    pub(super) const DATAGRAM_LEN: u8 = 0x04;
    pub(super) const RECEIPT: u8 = 0x05;
    pub(super) const FLOOR: u8 = 0x06;
    pub(super) const CHALLENGE: u8 = 0x07;
    pub(super) const RESPONSE: u8 = 0x08;
    pub(super) const CLOSE: u8 = 0x09;
    pub(super) const REFUSED: u8 = 0x0a;
    pub(super) const ROUTING_DATAGRAM: u8 = 0x0b;
    pub(super) const ROUTING_DATAGRAM_LEN: u8 = 0x0c;
    pub(super) const MESSAGE: u8 = 0x10;
    pub(super) const MESSAGE_LAST: u8 = 0x1f;
    pub(super) const ROUTING: u8 = 0x20;
    pub(super) const ROUTING_LAST: u8 = 0x2f;
    pub(super) const SKIPPABLE: u8 = 0x80;
    pub(super) const LEN: u8 = 1;
    pub(super) const DURABLE: u8 = 2;
    pub(super) const ORDERED: u8 = 4;
    pub(super) const FRAGMENT: u8 = 8;
}

/// The message space that numbers from zero in each association.
pub const ORDINARY: u8 = 0;
/// The message space whose numbers are never used again.
pub const DURABLE: u8 = 1;

/// Reason of a CLOSE: the application has removed the peer.
pub const CLOSE_REMOVED: u8 = 0;
/// Reason of a CLOSE: the device is being switched off.
pub const CLOSE_SHUTDOWN: u8 = 1;

/// Why a packet's frames cannot be read to the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    /// A field runs past the end or holds a value outside its range.
    #[error("malformed frame")]
    Malformed,
    /// A frame kind below 0x80 that this version does not know.
    #[error("unknown frame kind {0:#04x}")]
    UnknownKind(u8),
}

impl From<Malformed> for FrameError {
    fn from(_: Malformed) -> FrameError {
        FrameError::Malformed
    }
}

/// One frame; whatever has a length borrows from the packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame<'a> {
    /// So many zero bytes in a row.
    Padding(usize),
    /// Asks for an acknowledgement and says nothing else.
    Ping,
    /// Which packets of ours the peer has authenticated.
    Ack(AckFrame<'a>),
    /// A message that may be lost.
    Datagram(&'a [u8]),
    /// The same, for the receiver's routing or gossip.
    RoutingDatagram(&'a [u8]),
    /// Which messages of ours the peer has for good.
    Receipt(ReceiptFrame<'a>),
    /// The peer sends no message of this space with a number below `floor` any more.
    Floor {
        /// [`ORDINARY`] or [`DURABLE`].
        space: u8,
        /// The lowest number still to come.
        floor: u64,
    },
    /// To be sent back, over the path it came by.
    Challenge([u8; 8]),
    /// The answer to a challenge.
    Response([u8; 8]),
    /// The peer ends the session.
    Close {
        /// Why, by the number of the reason.
        reason: u8,
    },
    /// The peer will never accept this message of ours.
    Refused {
        /// [`ORDINARY`] or [`DURABLE`].
        space: u8,
        /// Its number.
        seq: u64,
    },
    /// A message or one symbol of it.
    Message {
        /// Which message and which part of it.
        header: MessageHeader,
        /// The bytes.
        data: &'a [u8],
    },
    /// A kind that this version does not know and may ignore.
    Skipped {
        /// Its first byte, 0x80 to 0xff.
        kind: u8,
    },
}

impl Frame<'_> {
    /// Whether a packet with this frame has to be acknowledged.
    #[must_use]
    pub const fn is_eliciting(&self) -> bool {
        !matches!(self, Frame::Padding(_) | Frame::Ack(_) | Frame::Close { .. })
    }
}

/// An acknowledgement. The ranges were checked when it was parsed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AckFrame<'a> {
    /// Whose packets: the path as the receiver of this frame numbers it.
    pub path: PathId,
    /// The highest packet number the peer has authenticated.
    pub largest: u64,
    /// How long the peer held this back after `largest` arrived, in microseconds.
    pub delay_us: u64,
    first_len: u64,
    count: u64,
    rest: &'a [u8],
}

impl<'a> AckFrame<'a> {
    /// The acknowledged packet numbers as inclusive ranges `(first, last)`, highest first.
    #[must_use]
    pub fn ranges(&self) -> AckRanges<'a> {
        AckRanges {
            next: Some((self.largest.saturating_sub(self.first_len), self.largest)),
            left: self.count,
            reader: Reader::new(self.rest),
        }
    }
}

/// Walks the ranges of an acknowledgement, highest first.
#[derive(Clone, Debug)]
pub struct AckRanges<'a> {
    next: Option<(u64, u64)>,
    left: u64,
    reader: Reader<'a>,
}

impl AckRanges<'_> {
    /// The range after the one that starts at `first` (RFC 9000, section 19.3.1).
    fn step(&mut self, first: u64) -> Result<(u64, u64), Malformed> {
        let gap = self.reader.varint()?;
        let len = self.reader.varint()?;
        let last = first.checked_sub(gap).and_then(|n| n.checked_sub(2)).ok_or(Malformed)?;
        Ok((last.checked_sub(len).ok_or(Malformed)?, last))
    }
}

impl Iterator for AckRanges<'_> {
    type Item = (u64, u64);

    fn next(&mut self) -> Option<(u64, u64)> {
        let current = self.next.take()?;
        if self.left > 0 {
            self.left -= 1;
            self.next = self.step(current.0).ok();
        }
        Some(current)
    }
}

/// Which messages of one space arrived for good. The ranges were checked when it was parsed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReceiptFrame<'a> {
    /// [`ORDINARY`] or [`DURABLE`].
    pub space: u8,
    /// Every message below this one arrived.
    pub floor: u64,
    count: u64,
    rest: &'a [u8],
}

impl<'a> ReceiptFrame<'a> {
    /// The messages above the floor that arrived, as inclusive ranges `(first, last)`, lowest first.
    #[must_use]
    pub fn ranges(&self) -> ReceiptRanges<'a> {
        ReceiptRanges { missing: self.floor, left: self.count, reader: Reader::new(self.rest) }
    }
}

/// Walks the ranges of a receipt, lowest first.
#[derive(Clone, Debug)]
pub struct ReceiptRanges<'a> {
    /// A number known to be missing: the next range starts above it.
    missing: u64,
    left: u64,
    reader: Reader<'a>,
}

impl ReceiptRanges<'_> {
    fn step(&mut self) -> Result<(u64, u64), Malformed> {
        let gap = self.reader.varint()?;
        let len = self.reader.varint()?;
        let first = self.missing.checked_add(1).and_then(|n| n.checked_add(gap)).ok_or(Malformed)?;
        let last = first.checked_add(len).ok_or(Malformed)?;
        self.missing = last.checked_add(1).ok_or(Malformed)?;
        Ok((first, last))
    }
}

impl Iterator for ReceiptRanges<'_> {
    type Item = (u64, u64);

    fn next(&mut self) -> Option<(u64, u64)> {
        self.left = self.left.checked_sub(1)?;
        self.step().ok()
    }
}

/// Which part of the receiver a message is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Channel {
    /// The application.
    #[default]
    Application,
    /// Its routing or its gossip, by the first byte: neither durable nor in order.
    Routing,
}

/// Which message a frame carries, and which part of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessageHeader {
    /// Whom it is for.
    pub channel: Channel,
    /// [`ORDINARY`] or [`DURABLE`].
    pub space: u8,
    /// The message's number in its space.
    pub seq: u64,
    /// For an ordered message: how far back the previous message of its stream is, 0 for the first.
    pub back: Option<u64>,
    /// For a part of a message: which part.
    pub fragment: Option<Fragment>,
}

/// One symbol of a message that does not fit one packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fragment {
    /// Bytes of the whole message.
    pub total_len: u32,
    /// Bytes of each symbol but possibly the last, at least 1.
    pub symbol_size: u16,
    /// The block of at most 1,024 source symbols.
    pub block: u16,
    /// The symbol in its block; those beyond the source symbols are repair symbols (RFC 6330).
    pub symbol: u16,
}

impl MessageHeader {
    /// Bytes of the header in front of `len` bytes of data; `len` is `None` when the data runs to
    /// the end of the packet.
    #[must_use]
    pub fn encoded_len(&self, len: Option<usize>) -> usize {
        let fragment = self.fragment.map_or(0, |f| {
            varint_len(u64::from(f.total_len))
                + varint_len(u64::from(f.symbol_size))
                + varint_len(u64::from(f.block))
                + varint_len(u64::from(f.symbol))
        });
        1 + varint_len(self.seq)
            + self.back.map_or(0, varint_len)
            + fragment
            + len.map_or(0, |len| varint_len(len as u64))
    }
}

/// Reads the frames of one packet, first to last. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    reader: Reader<'a>,
    failed: bool,
}

impl<'a> Frames<'a> {
    /// The frames in the decrypted `payload` of a packet.
    #[must_use]
    pub const fn new(payload: &'a [u8]) -> Self {
        Frames { reader: Reader::new(payload), failed: false }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.reader.is_empty() {
            return None;
        }
        let frame = parse(&mut self.reader);
        self.failed = frame.is_err();
        Some(frame)
    }
}

fn parse<'a>(reader: &mut Reader<'a>) -> Result<Frame<'a>, FrameError> {
    let first = reader.u8()?;
    Ok(match first {
        kind::PADDING => {
            let zeros = reader.rest().iter().take_while(|&&byte| byte == kind::PADDING).count();
            reader.take(zeros)?;
            Frame::Padding(zeros + 1)
        }
        kind::PING => Frame::Ping,
        kind::ACK => Frame::Ack(parse_ack(reader)?),
        kind::DATAGRAM => Frame::Datagram(reader.take_rest()),
        kind::DATAGRAM_LEN => Frame::Datagram(reader.prefixed()?),
        kind::ROUTING_DATAGRAM => Frame::RoutingDatagram(reader.take_rest()),
        kind::ROUTING_DATAGRAM_LEN => Frame::RoutingDatagram(reader.prefixed()?),
        kind::RECEIPT => Frame::Receipt(parse_receipt(reader)?),
        kind::FLOOR => Frame::Floor { space: parse_space(reader)?, floor: reader.varint()? },
        kind::CHALLENGE => Frame::Challenge(reader.array()?),
        kind::RESPONSE => Frame::Response(reader.array()?),
        kind::CLOSE => Frame::Close { reason: reader.u8()? },
        kind::REFUSED => Frame::Refused { space: parse_space(reader)?, seq: reader.varint()? },
        kind::MESSAGE..=kind::MESSAGE_LAST => parse_message(Channel::Application, first, reader)?,
        kind::ROUTING..=kind::ROUTING_LAST if first & (kind::DURABLE | kind::ORDERED) == 0 => {
            parse_message(Channel::Routing, first, reader)?
        }
        kind::SKIPPABLE.. => {
            reader.prefixed()?;
            Frame::Skipped { kind: first }
        }
        unknown => return Err(FrameError::UnknownKind(unknown)),
    })
}

fn parse_space(reader: &mut Reader<'_>) -> Result<u8, Malformed> {
    match reader.u8()? {
        space @ (ORDINARY | DURABLE) => Ok(space),
        _ => Err(Malformed),
    }
}

fn parse_ack<'a>(reader: &mut Reader<'a>) -> Result<AckFrame<'a>, Malformed> {
    let path = reader.u8()?;
    if usize::from(path) >= PathId::COUNT {
        return Err(Malformed);
    }
    let largest = reader.varint()?;
    let delay_us = reader.varint()?.saturating_mul(8);
    let count = reader.varint()?;
    let first_len = reader.varint()?;
    let start = reader.rest();
    let mut first = largest.checked_sub(first_len).ok_or(Malformed)?;
    let mut walk = AckRanges { next: None, left: 0, reader: reader.clone() };
    for _ in 0..count {
        first = walk.step(first)?.0;
    }
    let rest = reader.take(start.len() - walk.reader.rest().len())?;
    Ok(AckFrame { path: PathId(path), largest, delay_us, first_len, count, rest })
}

fn parse_receipt<'a>(reader: &mut Reader<'a>) -> Result<ReceiptFrame<'a>, Malformed> {
    let space = parse_space(reader)?;
    let floor = reader.varint()?;
    let count = reader.varint()?;
    let start = reader.rest();
    let mut walk = ReceiptRanges { missing: floor, left: 0, reader: reader.clone() };
    for _ in 0..count {
        walk.step()?;
    }
    let rest = reader.take(start.len() - walk.reader.rest().len())?;
    Ok(ReceiptFrame { space, floor, count, rest })
}

fn parse_message<'a>(channel: Channel, first: u8, reader: &mut Reader<'a>) -> Result<Frame<'a>, Malformed> {
    let space = if first & kind::DURABLE == 0 { ORDINARY } else { DURABLE };
    let seq = reader.varint()?;
    let back = if first & kind::ORDERED == 0 { None } else { Some(reader.varint_up_to(seq)?) };
    let fragment = if first & kind::FRAGMENT == 0 { None } else { Some(parse_fragment(reader)?) };
    let data = if first & kind::LEN == 0 { reader.take_rest() } else { reader.prefixed()? };
    Ok(Frame::Message { header: MessageHeader { channel, space, seq, back, fragment }, data })
}

fn parse_fragment(reader: &mut Reader<'_>) -> Result<Fragment, Malformed> {
    let total_len = u32::try_from(reader.varint()?).map_err(|_| Malformed)?;
    let symbol_size = u16::try_from(reader.varint()?).map_err(|_| Malformed)?;
    let block = u16::try_from(reader.varint()?).map_err(|_| Malformed)?;
    let symbol = u16::try_from(reader.varint()?).map_err(|_| Malformed)?;
    if symbol_size == 0 {
        return Err(Malformed);
    }
    Ok(Fragment { total_len, symbol_size, block, symbol })
}

mod write;

pub use write::{
    write_ack, write_challenge, write_close, write_datagram, write_floor, write_message,
    write_message_header, write_padding, write_ping, write_receipt, write_refused, write_response,
};

#[cfg(test)]
mod tests;
