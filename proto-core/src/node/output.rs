//! Everything a node asks its shell to do. One enum, the counterpart of `Input`.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::gossip::signed::{MessageId, Topic};
use crate::gossip::{Refusal, What};
use crate::identity::IdentityError;
use crate::ids::{Addr, DeviceId, LinkId, NodeId, RouterId, Ticket};
use crate::node::input::Delivery;
use crate::store::record::{Key, Record};
use crate::time::Duration;

/// One thing to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Send the first `len` bytes of the buffer given to `poll`.
    Transmit(Transmit),
    /// Make this durable, in the order of tickets, then answer `Input::Stored`.
    Store {
        /// Its place in the order.
        ticket: Ticket,
        /// What to write.
        record: Record,
    },
    /// Read this and answer `Input::Loaded`.
    Load {
        /// The question's number.
        ticket: Ticket,
        /// What to read.
        key: Key,
    },
    /// Something the application or operator wants to know.
    Event(Event),
}

/// A datagram, or several of equal size, in the buffer given to `poll`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transmit {
    /// The interface to use.
    pub link: LinkId,
    /// Whom to send to.
    pub to: Addr,
    /// Bytes in the buffer.
    pub len: usize,
    /// Size of each datagram but the last, which may be shorter. Equal to `len` for a single one.
    pub segment: usize,
    /// The highest ticket that anything in it depends on; it is durable already. Stated so that a
    /// simulator can hold the node to its word.
    pub after: Ticket,
}

/// Something worth knowing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A session with this node is established.
    PeerUp {
        /// Who.
        node: NodeId,
        /// With which of its devices.
        device: DeviceId,
        /// It has restarted since we last spoke: what it held in memory is gone.
        restarted: bool,
        /// The protocol version both speak.
        version: u8,
    },
    /// The session has ended; it is being rebuilt unless the peer was removed.
    PeerDown {
        /// Who.
        node: NodeId,
        /// Why.
        reason: DownReason,
    },
    /// A path to a peer started to work or stopped.
    Path {
        /// To whom.
        node: NodeId,
        /// Over which link.
        link: LinkId,
        /// Whether it carries packets now.
        up: bool,
    },
    /// Something arrived for the application.
    Message {
        /// Who sent it.
        from: NodeId,
        /// How it was delivered; for a stream the sender's number of it is not sent and reads 0.
        delivery: Delivery,
        /// The sender's number. Unique for ever among the durable messages of one sender, among the
        /// others until either side restarts; 0 for datagrams.
        seq: u64,
        /// It was shown before a restart and never confirmed by `Command::Consumed`.
        again: bool,
        /// The bytes.
        payload: Bytes,
    },
    /// What became of something sent.
    Receipt {
        /// To whom it went.
        to: NodeId,
        /// The caller's number.
        tag: u64,
        /// Its fate.
        outcome: Outcome,
    },
    /// A node speaks versions of the protocol that we do not.
    Incompatible {
        /// The link it was heard on.
        link: LinkId,
        /// Its address there.
        from: Addr,
        /// Lowest and highest version it speaks.
        theirs: (u8, u8),
        /// Lowest and highest version we speak.
        ours: (u8, u8),
    },
    /// Two running instances claim one identity.
    CloneDetected {
        /// Whose identity.
        node: NodeId,
        /// Which device of it; our own when the peer told us that we are the second.
        device: DeviceId,
    },
    /// The disk failed: what needs it has stopped.
    StorageFailed,
    /// Something of all members of the network.
    Gossip(GossipEvent),
}

/// What is heard among the members of the network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GossipEvent {
    /// Somebody has said something about a topic that was asked for. Once, while this node does not restart.
    Delivered {
        /// Which device said it, and its number.
        id: MessageId,
        /// Whose device that is.
        node: Option<NodeId>,
        /// What it is about.
        topic: Topic,
        /// What is said.
        payload: Bytes,
    },
    /// At least one other member has a broadcast of ours, or knows where to ask for it.
    Spread {
        /// The caller's number.
        tag: u64,
    },
    /// A broadcast goes to nobody.
    Refused {
        /// The caller's number.
        tag: u64,
        /// Why.
        why: Refusal,
    },
    /// Something has become known of a member.
    Member {
        /// Which device.
        member: RouterId,
        /// Whose that is, as far as its papers are known.
        node: Option<NodeId>,
        /// What.
        what: What,
    },
}

impl Event {
    /// Bytes of the message in it; a shell that keeps events for a slow application bounds these.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        match self {
            Event::Message { payload, .. } | Event::Gossip(GossipEvent::Delivered { payload, .. }) => {
                payload.len()
            }
            Event::PeerUp { .. }
            | Event::PeerDown { .. }
            | Event::Path { .. }
            | Event::Receipt { .. }
            | Event::Incompatible { .. }
            | Event::CloneDetected { .. }
            | Event::StorageFailed
            | Event::Gossip(
                GossipEvent::Spread { .. } | GossipEvent::Refused { .. } | GossipEvent::Member { .. },
            ) => 0,
        }
    }
}

/// Why a stored record cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RejectReason {
    /// Its checksum or structure is wrong.
    Corrupt,
    /// A later version of this software wrote it.
    NewerVersion,
}

/// Why a session ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum DownReason {
    /// The application removed the peer; or asked for another when all slots were taken, and this one, for
    /// which it had not asked, made room.
    Removed,
    /// The peer said goodbye.
    Closed,
    /// Nothing was heard for longer than the idle limit.
    Silent,
    /// It came back with a new memory.
    Restarted,
    /// Its keys or membership are no longer valid.
    Revoked,
    /// It is a second instance of a running identity.
    Cloned,
}

/// What became of something sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Outcome {
    /// On disk here; it will be sent until it is delivered or expires.
    Accepted,
    /// The receiver has it, durably if that was asked for. Said again of a durable message when this node
    /// restarts before its record is erased.
    Delivered,
    /// Its lifetime ended first. It may have arrived all the same.
    Expired,
    /// The receiver's limits do not allow it.
    Refused,
    /// The receiver restarted while it was under way, or the disk failed while a durable one was being
    /// written; whether it arrived, or will after a restart, is unknown.
    Uncertain,
    /// The peer was removed first; or it lost its slot to another, and this was no durable message.
    Cancelled,
    /// Another node has it in custody, in its memory, and brings it nearer. More is said when it is delivered, or expires.
    Relayed,
    /// Another node has it in custody, on its disk.
    Stored,
}

/// Why a command or datagram was not accepted. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// The node has no room for it now; try again after the next receipt.
    #[error("queue full; wait for a receipt and try again")]
    QueueFull,
    /// Larger than this delivery kind allows.
    #[error("too large: at most {limit} bytes")]
    Oversize {
        /// The most that is possible.
        limit: u64,
    },
    /// No such peer, or none that was added with this endpoint.
    #[error("unknown peer; add it first")]
    UnknownPeer,
    /// No room for another peer: the application has asked for as many as there may be.
    #[error("peer table full: at most {limit}")]
    PeersFull {
        /// The most that is possible.
        limit: u64,
    },
    /// All endpoints that one peer may have were given before, or more are given at once.
    #[error("too many endpoints: at most {limit} for a peer; take one back first")]
    EndpointsFull {
        /// The most that is possible.
        limit: u64,
    },
    /// A peer without a node and without an endpoint.
    #[error("nobody to call: give a node id or at least one endpoint")]
    NoEndpoint,
    /// No such link.
    #[error("unknown link; announce it first")]
    UnknownLink,
    /// The disk has failed, or this node has none.
    #[error("no working storage for durable messages")]
    NoStorage,
    /// The statement to install does not verify or is not for this node.
    #[error("statement refused: {0}")]
    Statement(IdentityError),
    /// This node takes no part in gossip.
    #[error("no gossip: set limits.gossip_members to the number of members")]
    NoGossip,
    /// A link's properties are out of range.
    #[error("link refused: {0}")]
    Link(&'static str),
}

/// How one peer is doing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PeerStatus {
    /// Who it is; `None` until a first handshake has shown it.
    pub node: Option<NodeId>,
    /// Whether a session is established.
    pub up: bool,
    /// How it was found.
    pub found: Found,
    /// Why there is no session; `None` when there is one.
    pub unreached: Option<Unreached>,
    /// Messages accepted from the application and not finished.
    pub unsent_messages: u32,
    /// Their payload bytes.
    pub unsent_bytes: u64,
    /// Bytes held for reassembly, order, or a slow disk.
    pub held_bytes: u64,
    /// Its paths.
    pub paths: Vec<PathStatus>,
}

/// How a peer was found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Found {
    /// The application gave it.
    Given,
    /// By a beacon of its own.
    Beacon,
    /// On the map of the mesh, when something was to be sent to it.
    Map,
    /// It called us.
    #[default]
    Called,
}

/// Why there is no session with a peer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Unreached {
    /// No place is known where it could be called: it has to call, or its endpoint has to be added.
    NoPlace,
    /// None of the links that lead to it is up.
    LinkDown,
    /// The map of the mesh shows no way to it.
    NoWay,
    /// It has answered that it cannot or will not speak with us: another version, or a second instance of one identity. It is called rarely.
    Refused,
    /// It is called, and has not answered.
    NoAnswer {
        /// Calls since they began.
        calls: u32,
    },
    /// It is not called: nobody asked for a session with it.
    Resting,
}

/// How one path is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathStatus {
    /// Over which link.
    pub link: LinkId,
    /// To which address.
    pub addr: Addr,
    /// Whether it carries packets.
    pub up: bool,
    /// Smoothed round trip; `None` before the first sample.
    pub rtt: Option<Duration>,
    /// Estimated loss towards the peer, in parts per million.
    pub loss_ppm: u32,
    /// The rate the path's controller allows, in bits a second.
    pub rate_bps: u64,
    /// The largest packet that is sent over it, in bytes: what the link takes, or less where larger ones were
    /// found not to arrive.
    pub packet_bytes: u32,
    /// Bytes sent over it, headers of this protocol included.
    pub sent_bytes: u64,
    /// Bytes received over it.
    pub received_bytes: u64,
}

/// A nonce and the key that it was used with, as far as others may know.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct UsedNonce {
    /// A name of the sending key, made of the handshake's hash; both directions of a session have the same.
    pub key_name: u64,
    /// The packet number on its path.
    pub number: u64,
}
