//! What a node says of itself when asked: plain values, for operators and for the simulator's checkers.

use alloc::vec::Vec;

use crate::drops::Drops;
use crate::ids::{NodeId, PeerSlot};
use crate::node::Node;
use crate::node::output::PeerStatus;

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
        status.found = self.sessions.found(peer);
        status.unreached = self.sessions.unreached(peer);
        status
    }
}
