//! Every durable record, in one enum.
//!
//! What is not here does not survive a restart. The encoding is Protocol Buffers, published in
//! `proto/record.proto`, with a version and a checksum in front.

use bytes::Bytes;

use crate::ids::{DeviceId, NodeId};
use crate::node::input::Class;

/// What a record is found by. A later record with the same key replaces an earlier one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Key {
    /// How often this device has started.
    Boot,
    /// Durable message numbers in use towards a peer.
    Sequence(NodeId),
    /// A durable message on its way to a peer.
    Outgoing(NodeId, u64),
    /// A durable message from a peer that the application has not confirmed.
    Incoming(NodeId, u64),
    /// Which durable messages of a peer have been received.
    Window(NodeId),
    /// What is known of a peer's device.
    Peer(NodeId),
    /// A signed statement about identities, by the hash of its bytes.
    Statement([u8; 32]),
    /// A bundle that is kept for somebody, by its name.
    Bundle([u8; 16]),
}

/// One durable record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// This device has started `count` times. Written before anything is sent.
    Boot {
        /// Starts so far, this one included.
        count: u32,
    },
    /// Durable message numbers below `reserved` may have been used towards `peer`.
    Sequence {
        /// The receiver.
        peer: NodeId,
        /// The first number that was certainly never used.
        reserved: u64,
    },
    /// A durable message that was accepted and is not yet delivered.
    Outgoing {
        /// The receiver.
        peer: NodeId,
        /// Its number.
        seq: u64,
        /// The application's number for it.
        tag: u64,
        /// Its class.
        class: Class,
        /// How long it may still wait, in microseconds, counted from the restart.
        lifetime_us: u64,
        /// The bytes.
        payload: Bytes,
    },
    /// A durable message received and not yet confirmed by the application.
    Incoming {
        /// The sender.
        peer: NodeId,
        /// The sender's device, which counts for itself.
        device: DeviceId,
        /// Its number.
        seq: u64,
        /// The bytes.
        payload: Bytes,
    },
    /// Every durable message of `device` below `floor` is done with, and those in `ranges` too.
    Window {
        /// The sender.
        peer: NodeId,
        /// The sender's device: what other devices of that node sent is not covered.
        device: DeviceId,
        /// The first number that is not done with.
        floor: u64,
        /// First and last number of each run above the floor that is done with, ascending.
        ranges: alloc::vec::Vec<(u64, u64)>,
    },
    /// What is known of a peer's device.
    Peer {
        /// Who.
        node: NodeId,
        /// Its device certificate, as received.
        certificate: Bytes,
        /// The highest start count it has proved.
        boot: u32,
    },
    /// A signed statement about identities, as received.
    Statement {
        /// Its bytes.
        bytes: Bytes,
    },
    /// A bundle that is kept for somebody.
    Bundle {
        /// Its name.
        id: [u8; 16],
        /// How long it may still wait, in seconds, counted from the restart.
        lifetime_s: u64,
        /// How often it may still be handed over.
        handovers: u8,
        /// The bundle.
        bytes: Bytes,
    },
    /// The record with this key is gone.
    Erased {
        /// Which.
        key: Key,
    },
}

impl Record {
    /// What this record is found by. For `Erased`, the key that it erases.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Record::Boot { .. } => Key::Boot,
            Record::Sequence { peer, .. } => Key::Sequence(*peer),
            Record::Outgoing { peer, seq, .. } => Key::Outgoing(*peer, *seq),
            Record::Incoming { peer, seq, .. } => Key::Incoming(*peer, *seq),
            Record::Window { peer, .. } => Key::Window(*peer),
            Record::Peer { node, .. } => Key::Peer(*node),
            Record::Statement { bytes } => Key::Statement(*blake3::hash(bytes).as_bytes()),
            Record::Bundle { id, .. } => Key::Bundle(*id),
            Record::Erased { key } => *key,
        }
    }
}
