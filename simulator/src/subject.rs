//! Who is simulated: anything that has a node's verbs.
//!
//! The world does not know what it drives. The real node is one subject; the simulator's own tests
//! drive a small one whose every bug is on purpose ([`crate::toy`]).

use bytes::Bytes;
use proto_core::crypto::sign::Verifier;
use proto_core::drops::Drops;
use proto_core::ids::{NodeId, RouterId};
use proto_core::limits::Limits;
use proto_core::node::{Input, Output, Refused, UsedNonce};
use proto_core::routing::Moved;
use proto_core::store::record::Record;
use proto_core::time::Instant;
use proto_core::wake::Wake;

use crate::plan::{Lie, Plan};

/// What one start of a node is given.
pub struct Start<'a> {
    /// The node's number in the plan.
    pub node: u32,
    /// Its entropy for this start.
    pub seed: [u8; 32],
    /// Its sizes.
    pub limits: Limits,
    /// What its disk holds.
    pub records: Vec<Record>,
    /// Lowest and highest protocol version it may speak; `None` is what it can.
    pub versions: Option<(u8, u8)>,
    /// The planted bug, by its name.
    pub bug: Option<&'a str>,
    /// What its monotonic clock shows.
    pub now: Instant,
    /// When that is, in virtual microseconds of the world.
    pub at_us: u64,
    /// What it verifies the signatures of others with: all nodes of a world with the same.
    pub verifier: Verifier,
}

/// What a checker or a report may ask at any time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Glance {
    /// Sessions that are up.
    pub sessions: u32,
    /// Messages accepted and not finished.
    pub unsent_messages: u64,
    /// Bytes of messages that came in part, out of their turn, or are on their way to the disk.
    pub held_bytes: u64,
    /// Bytes that routing holds.
    pub routing_bytes: u64,
    /// What was not acted on.
    pub drops: Drops,
}

/// Something with a node's verbs.
pub trait Subject: Sized {
    /// Identities and networks of all nodes of a plan.
    type Cast;

    /// Makes the identities, from the plan's seed alone.
    ///
    /// # Errors
    /// Why these nodes cannot exist, in words.
    fn cast(plan: &Plan) -> Result<Self::Cast, String>;
    /// Who node number `node` is.
    fn node_id(cast: &Self::Cast, node: u32) -> NodeId;
    /// The key that a peer may know of it beforehand.
    fn key(cast: &Self::Cast, node: u32) -> Option<[u8; 32]>;
    /// The statement by which its root key revokes a node's device; `None` where there is no such thing.
    fn revocation(_cast: &Self::Cast, _node: u32) -> Option<Vec<u8>> {
        None
    }
    /// The name of a node's device among the members.
    fn member(_cast: &Self::Cast, _node: u32) -> Option<RouterId> {
        None
    }
    /// Starts a node.
    ///
    /// # Errors
    /// Why it cannot start, in words.
    fn boot(cast: &Self::Cast, start: Start<'_>) -> Result<Self, String>;
    /// A record as it stands on the disk.
    fn encode(record: &Record) -> Vec<u8>;
    /// The record that these bytes are; `None` when they are damaged.
    fn decode(bytes: &[u8]) -> Option<Record>;

    /// Something happened.
    ///
    /// # Errors
    /// A command or link that is not accepted.
    fn handle(&mut self, now: Instant, input: Input<'_>) -> Result<(), Refused>;
    /// The next thing to do.
    fn poll(&mut self, now: Instant, buf: &mut [u8]) -> Option<Output>;
    /// What the last data packet that `poll` gave was sealed under; of several in one, the last.
    fn last_nonce(&self) -> UsedNonce;
    /// What packets over the mesh did since `handle` was last called.
    fn moved(&self) -> &[Moved] {
        &[]
    }
    /// Its name on the map; `None` for one that takes no part in routing.
    fn router(&self) -> Option<RouterId> {
        None
    }
    /// How often its map has changed since it started.
    fn map_changes(&self) -> u64 {
        0
    }
    /// The routers that it knows a way to, each with the first hop there.
    fn next_hops(&self) -> Vec<(RouterId, RouterId)> {
        Vec::new()
    }
    /// What it says when it lies for the `n`th time; `heard` is kept from one time to the next.
    fn lies(&self, _cast: &Self::Cast, _lie: Lie, _n: u64, _heard: &mut Vec<Vec<u8>>) -> Vec<Bytes> {
        Vec::new()
    }
    /// Passes on what is for others, or says so only.
    fn swallow(&mut self, _swallows: bool) {}
    /// Says something to all its neighbours.
    fn tell_neighbours(&mut self, _now: Instant, _message: &Bytes) {}
    /// Broadcasts that came to it and were new, and that came and were not, since it started.
    fn copies(&self) -> (u64, u64) {
        (0, 0)
    }
    /// When to call `handle` with `Input::Wake`.
    fn next_wake(&self) -> Wake;
    /// How it is doing.
    fn glance(&self) -> Glance;
    /// Asserts what always holds.
    ///
    /// # Panics
    /// When an invariant is broken.
    fn check(&self);
}
