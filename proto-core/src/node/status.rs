//! What a node says of itself when asked: plain values, for operators and for the simulator's checkers.

use alloc::vec::Vec;

use crate::drops::Drops;
use crate::ids::{Addr, LinkId, NodeId, PeerSlot};
use crate::node::Node;
use crate::time::Duration;

/// How a node is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// Who it is.
    pub node: NodeId,
    /// How often its device has started.
    pub boot: u32,
    /// Whether a write has failed: durable messages are refused from then on.
    pub storage_failed: bool,
    /// Records handed to the shell that are not durable yet.
    pub stores_pending: usize,
    /// Its peers, by slot.
    pub peers: Vec<PeerStatus>,
    /// What was not acted on, by reason.
    pub drops: Drops,
}

/// How one peer is doing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PeerStatus {
    /// Who it is; `None` until a first handshake has shown it.
    pub node: Option<NodeId>,
    /// Whether a session is established.
    pub up: bool,
    /// Messages accepted from the application and not finished.
    pub unsent_messages: u32,
    /// Their payload bytes.
    pub unsent_bytes: u64,
    /// Bytes held for reassembly, order, or a slow disk.
    pub held_bytes: u64,
    /// Its paths.
    pub paths: Vec<PathStatus>,
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
    /// Bytes sent over it, headers of this protocol included.
    pub sent_bytes: u64,
    /// Bytes received over it.
    pub received_bytes: u64,
}

impl Node {
    /// How this node is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        let peers = self.sessions.slots().map(|peer| self.peer_status(peer)).collect();
        Status {
            node: self.id,
            boot: self.boot,
            storage_failed: self.gate.has_failed(),
            stores_pending: self.gate.pending(),
            peers,
            drops: self.drops.clone(),
        }
    }

    fn peer_status(&self, peer: PeerSlot) -> PeerStatus {
        let mut status = self.links.status(peer).unwrap_or_default();
        status.node = self.sessions.node_of(peer);
        status.up = self.sessions.is_up(peer);
        status
    }
}
