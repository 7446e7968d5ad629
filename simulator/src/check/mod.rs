//! The watchmen. They see what a node is given and what it does, never its private fields.
//!
//! Each checker says which sights it wants, and says nothing until something happened that must not.
//! Whether messages arrive once and in order is checked by [`link`], which the applications keep, which ways packets take
//! over the mesh by [`routes`], which they would take by [`next_hops`], and what all members hear and say of each other by
//! [`gossip`].

mod airtime;
mod amplification;
mod gate;
pub mod gossip;
pub mod link;
pub mod next_hops;
mod resources;
pub mod routes;
mod session;

use proto_core::ids::{Addr, Ticket};
use proto_core::node::{Event, UsedNonce};
use proto_core::store::record::Key;
use proto_core::wake::Wake;

use crate::net::OnAir;
use crate::outcome::Verdict;
use crate::plan::Plan;

pub use airtime::Airtime;
pub use amplification::Amplification;
pub use gate::Gate;
pub use resources::Resources;
pub use session::Session;
pub(crate) use session::wire;

/// Something that a checker may see. Links are numbered as in the plan, hosts as nodes with clones last.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "each variant's sentence names its fields")]
pub enum Sight<'a> {
    /// A host was switched on; it runs this node.
    Boot { host: u32, node: u32 },
    /// Its power failed, or it was switched off.
    Off { host: u32 },
    /// A node was told to keep a session with this address.
    Endpoint { host: u32, link: u32, to: Addr },
    /// A datagram is given to a node. `to` is the address that it was sent to, which a translator in front
    /// of the host may have changed on the way.
    Packet { host: u32, link: u32, from: Addr, to: Addr, bytes: &'a [u8] },
    /// A node sends a datagram that depends on what has the ticket `after`. A data packet was sealed
    /// under `nonce`; for others that says nothing. `digest` is of its bytes, and `chain` counts
    /// the small packets in a row that were each sent because of the one before alone.
    Transmit {
        host: u32,
        link: u32,
        to: Addr,
        after: Ticket,
        bytes: &'a [u8],
        nonce: UsedNonce,
        digest: u64,
        chain: u32,
    },
    /// A node writes a record.
    Store { host: u32, ticket: Ticket, key: &'a Key },
    /// A node is told that all up to this ticket is durable.
    Durable { host: u32, up_to: Ticket },
    /// A node says something.
    Event { host: u32, event: &'a Event },
    /// A turn is over. `now_us` is the node's own time, `woken` whether it was given `Input::Wake`.
    Turn { host: u32, now_us: u64, woken: bool, outputs: u32, bytes: u64, wake: Wake },
    /// A host's radio begins to send.
    Air(OnAir),
}

/// The kinds of sight, for the mask that a checker gives.
pub mod want {
    #![allow(missing_docs, reason = "the names of the sights")]
    pub const BOOT: u16 = 1;
    pub const OFF: u16 = 2;
    pub const ENDPOINT: u16 = 4;
    pub const PACKET: u16 = 8;
    pub const TRANSMIT: u16 = 16;
    pub const STORE: u16 = 32;
    pub const DURABLE: u16 = 64;
    pub const EVENT: u16 = 128;
    pub const TURN: u16 = 256;
    pub const AIR: u16 = 512;
    /// How many there are.
    pub const KINDS: usize = 10;
}

impl Sight<'_> {
    #[inline]
    fn kind(&self) -> usize {
        match self {
            Sight::Boot { .. } => 0,
            Sight::Off { .. } => 1,
            Sight::Endpoint { .. } => 2,
            Sight::Packet { .. } => 3,
            Sight::Transmit { .. } => 4,
            Sight::Store { .. } => 5,
            Sight::Durable { .. } => 6,
            Sight::Event { .. } => 7,
            Sight::Turn { .. } => 8,
            Sight::Air(_) => 9,
        }
    }
}

/// What must not have happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Which kind of failure it is.
    pub verdict: Verdict,
    /// Who noticed.
    pub checker: &'static str,
    /// What happened, in one sentence.
    pub reason: String,
}

impl Violation {
    /// Something happened that must never happen.
    #[must_use]
    pub fn safety(checker: &'static str, reason: String) -> Violation {
        Violation { verdict: Verdict::Safety, checker, reason }
    }

    /// More was used than is allowed.
    #[must_use]
    pub fn resource(checker: &'static str, reason: String) -> Violation {
        Violation { verdict: Verdict::Resource, checker, reason }
    }
}

/// One watchman.
pub trait Checker {
    /// Its name in reports.
    fn name(&self) -> &'static str;
    /// What it wants to see: a sum of [`want`].
    fn wants(&self) -> u16;
    /// It sees something, and says what was wrong with it.
    fn see(&mut self, at_us: u64, sight: &Sight<'_>) -> Option<Violation>;
}

/// All watchmen on duty, each called only for what it wants to see.
pub struct Registry {
    checkers: Vec<Box<dyn Checker>>,
    by_kind: [Vec<u8>; want::KINDS],
}

impl Registry {
    /// The checkers that every run has.
    #[must_use]
    pub fn standard(plan: &Plan) -> Registry {
        let mut registry = Registry { checkers: Vec::new(), by_kind: Default::default() };
        registry.add(Box::new(Gate::default()));
        registry.add(Box::new(Session::new(plan)));
        registry.add(Box::new(Amplification::new(plan)));
        registry.add(Box::new(Resources::new(plan)));
        registry.add(Box::new(Airtime::new(plan)));
        registry
    }

    /// One more.
    pub fn add(&mut self, checker: Box<dyn Checker>) {
        let wants = checker.wants();
        for (kind, list) in self.by_kind.iter_mut().enumerate() {
            if wants >> kind & 1 == 1 {
                list.push(self.checkers.len() as u8);
            }
        }
        self.checkers.push(checker);
    }

    /// Shows something to those who want to see it. The first complaint counts.
    #[inline]
    pub fn show(&mut self, at_us: u64, sight: &Sight<'_>) -> Option<Violation> {
        let Registry { checkers, by_kind } = self;
        let mut complaint = None;
        for &at in &by_kind[sight.kind()] {
            let said = checkers[usize::from(at)].see(at_us, sight);
            complaint = complaint.or(said);
        }
        complaint
    }
}
