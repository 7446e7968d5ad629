//! Messages over packets that get lost: each exactly once, in order where asked, any size.
//!
//! Think of two offices that exchange letters through a street where nine of ten couriers vanish. The
//! sending office ([`Outbox`]) keeps every letter until it knows what became of it, and never keeps a
//! packed courier's bag: when a courier may leave, it packs whatever is most needed at that moment.
//! The receiving office ([`Inbox`]) keeps a strip of paper with the numbers it has had, so a letter
//! that comes twice is taken once, and puts letters that came too early aside. Large letters are cut
//! into symbols, durable ones go through a safe on both sides before anybody is told about them.
//!
//! Neither knows sessions or paths. [`Outbox::fill`] writes frames into whatever packet a path may
//! send now, so one message's symbols spread over all paths by themselves; what became of a packet
//! comes back as the fate of each [`Piece`](super::path::Piece) in it.
//!
//! When a message is finished: a whole ordinary message when a packet with it is acknowledged, and
//! for an ordered one when its predecessor is finished too; a message in symbols and a durable one
//! only by RECEIPT. What an acknowledged packet carried is therefore never needed again, except where
//! the receiver says so by keeping silent for long, see [`Outbox::wake`].
//!
//! Numbers are given when a message is first sent, so an urgent one overtakes and one that expires in
//! the queue leaves no gap. Durable ones have theirs from the start, since the record on disk is
//! found by it. The sender never has numbers under way further apart than the receiver's strip is
//! long, so the strip is exact.
//!
//! Durable records: `Sequence`, `Outgoing` here; `Incoming`, `Window` there; `Erased` on both sides.
//! Assumed of the disk: what is lost in a crash is a suffix of what was not confirmed.
//!
//! Planted bugs here: `LossForgotten`, `SequenceReused`, `DedupeOff`, `OrderIgnored`,
//! `ReassemblyLeak`, `AckBeforeStore`.

mod carried;
mod durable;
mod flight;
mod fountain;
mod fragment;
mod inbox;
mod outbox;
mod packer;
mod queue;
mod reassembly;
mod receipts;
mod room;
mod safe;
mod streams;

use bytes::Bytes;

pub use inbox::Inbox;
pub use outbox::Outbox;
pub use room::ROOM_BYTES;

use crate::limits::Limits;
use crate::node::input::{Class, Delivery};
use crate::node::output::Outcome;
use crate::store::record::Record;
use crate::time::Duration;

/// What the path says that wants to send a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PathInfo {
    /// Packets lost of a million sent, as estimated.
    pub loss_ppm: u32,
    /// The smoothed round trip.
    pub srtt: Duration,
    /// Bytes for frames in an empty packet, the least of all paths in use. Messages are cut to it.
    pub room: usize,
    /// The path could carry more than it is given: what is under way may be sent again at once.
    pub spare: bool,
}

/// What was written into a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Filled {
    /// Something was.
    pub wrote: bool,
    /// The last frame runs to the end of the packet: nothing may follow it.
    pub closed: bool,
}

/// What the sending half wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OutboxAction {
    /// Tell the application what became of the message it numbered `tag`.
    Receipt {
        /// The application's number.
        tag: u64,
        /// Its fate.
        outcome: Outcome,
    },
    /// What became of a message for the peer's routing.
    Settled {
        /// Its number.
        tag: u64,
        /// Whether it arrived.
        arrived: bool,
    },
    /// A durable message is on disk and not finished.
    Waits {
        /// Its number.
        seq: u64,
        /// Its class.
        class: Class,
    },
    /// A durable message is finished.
    Ended {
        /// Its number.
        seq: u64,
    },
    /// Make this durable, then call [`Outbox::on_stored`] with `slot`. Order matters.
    Store {
        /// This half's number for the write.
        slot: u64,
        /// What to write.
        record: Record,
    },
}

/// What the receiving half wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum InboxAction {
    /// Give this to the application.
    Deliver {
        /// How it came; a stream's number is not sent and reads 0.
        delivery: Delivery,
        /// The sender's number; 0 for a datagram.
        seq: u64,
        /// It was shown before a restart and never confirmed.
        again: bool,
        /// The bytes.
        payload: Bytes,
    },
    /// Give this to routing.
    ForRouting {
        /// The bytes.
        payload: Bytes,
    },
    /// Make this durable, then call [`Inbox::on_stored`] with `slot`. Order matters.
    Store {
        /// This half's number for the write.
        slot: u64,
        /// What to write.
        record: Record,
    },
}

/// Bytes and messages that all peers together may hold in one direction, with a share for each.
#[derive(Clone, Debug)]
pub struct Budget {
    used: Usage,
    most: Usage,
    share: Usage,
    /// What is kept free for whoever's turn it is.
    reserve: Usage,
    /// Nodes with which durable messages were ever exchanged, and how many there may be.
    correspondents: (u32, u32),
    /// Bytes of durable messages that have come and are not taken by the application.
    disk: Disk,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Disk {
    used: u64,
    most: u64,
    share: u64,
}

/// What one peer holds of a [`Budget`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    bytes: u64,
    messages: u32,
    durable: u32,
}

impl Budget {
    /// The bounds on what waits to be sent. Half of the durable messages may be outgoing.
    #[must_use]
    pub fn for_sending(limits: &Limits) -> Budget {
        Budget::new(limits, limits.send_bytes, limits.send_messages)
    }

    /// The bounds on what is being reassembled, held for order, or waits for the disk.
    #[must_use]
    pub fn for_receiving(limits: &Limits) -> Budget {
        let mut budget = Budget::new(limits, limits.receive_bytes, limits.receive_messages);
        budget.share.bytes = u64::from(limits.receive_share());
        budget.reserve = Usage { bytes: u64::from(limits.message_bytes), messages: 1, durable: 0 };
        budget
    }

    fn new(limits: &Limits, bytes: u32, messages: u32) -> Budget {
        let durable = (limits.durable_messages / 2).max(1);
        Budget {
            used: Usage::default(),
            most: Usage { bytes: u64::from(bytes), messages, durable },
            share: Usage {
                bytes: u64::from(limits.share(bytes, limits.message_bytes)),
                messages: limits.share(messages, 1),
                durable: limits.share(durable, 1),
            },
            reserve: Usage::default(),
            correspondents: (0, limits.durable_peers),
            disk: Disk {
                used: 0,
                most: u64::from(limits.durable_bytes),
                share: u64::from(limits.share(limits.durable_bytes, limits.message_bytes)),
            },
        }
    }

    /// Whether one more node may begin to exchange durable messages. Those that nobody asked for get half
    /// of the places: they may be made up.
    fn has_place(&self, wanted: bool) -> bool {
        let (taken, most) = self.correspondents;
        taken < if wanted { most } else { most / 2 }
    }

    /// Whether a durable message of so many bytes may come from a peer that has `of` on the disk. Parts that
    /// are under way are not counted: they are bounded by what may be put together at once.
    fn has_disk(&self, of: u64, bytes: u64) -> bool {
        self.disk.used + bytes <= self.disk.most && of + bytes <= self.disk.share
    }

    fn force_disk(&mut self, of: &mut u64, bytes: usize) {
        self.disk.used += bytes as u64;
        *of += bytes as u64;
    }

    fn give_disk(&mut self, of: &mut u64, bytes: usize) {
        self.disk.used = self.disk.used.saturating_sub(bytes as u64);
        *of = of.saturating_sub(bytes as u64);
    }

    /// One more node exchanges durable messages. Its place is never given back.
    pub fn add_correspondent(&mut self) {
        self.correspondents.0 = self.correspondents.0.saturating_add(1);
    }

    /// Bytes and messages held by all peers together.
    #[must_use]
    pub fn used(&self) -> (u64, u32) {
        (self.used.bytes, self.used.messages)
    }

    fn take(&mut self, of: &mut Usage, bytes: usize, durable: bool) -> bool {
        let add = Usage { bytes: bytes as u64, messages: 1, durable: u32::from(durable) };
        if !self.used.plus(add).within(self.most) || !of.plus(add).within(self.share) {
            return false;
        }
        self.force(of, add);
        true
    }

    /// As [`Budget::take`], for a message that has to wait for others before it: what waits must never
    /// take the room that these need to come in.
    fn take_ahead(&mut self, of: &mut Usage, bytes: usize) -> bool {
        let with_reserve = Usage { bytes: bytes as u64, messages: 1, durable: 0 }.plus(self.reserve);
        self.used.plus(with_reserve).within(self.most)
            && of.plus(with_reserve).within(self.share)
            && self.take(of, bytes, false)
    }

    fn force(&mut self, of: &mut Usage, add: Usage) {
        self.used = self.used.plus(add);
        *of = of.plus(add);
    }

    /// The bytes of a message are gone while the message still counts.
    fn shrink(&mut self, of: &mut Usage, bytes: usize) {
        let less = Usage { bytes: bytes as u64, ..Usage::default() };
        self.used = self.used.minus(less);
        *of = of.minus(less);
    }

    fn give(&mut self, of: &mut Usage, bytes: usize, durable: bool) {
        let less = Usage { bytes: bytes as u64, messages: 1, durable: u32::from(durable) };
        self.used = self.used.minus(less);
        *of = of.minus(less);
    }
}

impl Usage {
    fn plus(self, add: Usage) -> Usage {
        Usage {
            bytes: self.bytes.saturating_add(add.bytes),
            messages: self.messages.saturating_add(add.messages),
            durable: self.durable.saturating_add(add.durable),
        }
    }

    fn minus(self, less: Usage) -> Usage {
        Usage {
            bytes: self.bytes.saturating_sub(less.bytes),
            messages: self.messages.saturating_sub(less.messages),
            durable: self.durable.saturating_sub(less.durable),
        }
    }

    fn within(self, most: Usage) -> bool {
        self.bytes <= most.bytes && self.messages <= most.messages && self.durable <= most.durable
    }
}

#[cfg(test)]
mod tests;
