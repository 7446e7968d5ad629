//! What a packet carried, and what became of it.

use crate::ids::PathId;

/// One thing a sent packet carried. When the packet's fate is known, whoever put the piece in hears
/// of it: an intent is kept, never the bytes of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece {
    /// A message or a symbol of one.
    Message {
        /// The sender's own number for the message.
        handle: u32,
        /// Which cut of the message into symbols; 0 for a whole message. The same symbol of another cut is other bytes.
        cut: u16,
        /// Which symbol, as the sender of messages packs it; for a whole message its generation.
        symbol: u32,
    },
    /// The receipts of a message space.
    Receipt {
        /// Which space.
        space: u8,
        /// Which state of it.
        version: u32,
    },
    /// The floor of a message space.
    Floor {
        /// Which space.
        space: u8,
        /// Which state of it.
        version: u32,
    },
    /// An acknowledgement. When it arrived, the path it spoke of is told by
    /// [`Path::on_ack_acked`](super::Path::on_ack_acked).
    Ack {
        /// The peer's path that it spoke of.
        path: PathId,
        /// The highest packet number acknowledged.
        largest: u64,
    },
    /// A path challenge.
    Challenge,
    /// The answer to one.
    Response,
    /// A ping.
    Ping,
    /// A message that may be lost.
    Datagram {
        /// The sender's own number for it.
        handle: u32,
    },
}

impl Piece {
    /// Whether a packet that carries it tests an address, which need not be the path's own.
    #[must_use]
    pub const fn is_about_address(&self) -> bool {
        matches!(self, Piece::Challenge | Piece::Response)
    }

    /// Whether a packet that carries it has to be acknowledged.
    #[must_use]
    pub const fn is_eliciting(&self) -> bool {
        !matches!(self, Piece::Ack { .. })
    }
}

/// What became of a piece.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fate {
    /// The peer has authenticated the packet.
    Acked,
    /// The packet was lost, or waits for an acknowledgement for so long that it should be sent again.
    Lost,
    /// The peer has authenticated a packet of which `Lost` was said: whoever has sent the piece again need not do so once
    /// more, and who counts what is under way has counted this one already.
    Late,
}
