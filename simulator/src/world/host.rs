//! One machine that runs a node: its clock, its disk, its power.

use std::collections::VecDeque;

use proto_core::ids::LinkId;

use crate::clock::Clock;
use crate::disk::Disk;
use crate::draw::{Lot, Purpose, pair};
use crate::outcome::NodeReport;
use crate::pool::PacketRef;

/// Packets that wait for a process that is busy: a socket buffer of usual size.
pub(super) const SOCKET_PACKETS: usize = 1_024;

/// Nothing is scheduled.
pub(super) const NEVER: u64 = u64::MAX;

/// A machine.
pub(super) struct Host<S> {
    /// The node it runs; a clone runs its original's.
    pub(super) node: u32,
    /// The running process. In a box, since every turn takes it out and puts it back.
    pub(super) subject: Option<Box<S>>,
    pub(super) clock: Clock,
    /// What the plan says the clock shows at a start.
    pub(super) clock_us: u64,
    pub(super) planned_drift_ppm: i32,
    pub(super) disk: Disk,
    /// How often it was started; what was arranged for an earlier life is void.
    pub(super) life: u32,
    /// When it was switched on last.
    pub(super) up_us: u64,
    /// The number of the start whose entropy this one gets: its own, but for a clone's first start.
    pub(super) entropy: (u32, u32),
    /// When its earliest arranged wake is.
    pub(super) wake_at_us: u64,
    /// When the node wants to be woken.
    pub(super) wanted_us: u64,
    /// The process does not run before this.
    pub(super) busy_until_us: u64,
    /// Packets that wait for it, by global link number.
    pub(super) socket: VecDeque<(u32, PacketRef)>,
    pub(super) resume_arranged: bool,
    /// How long each turn takes.
    pub(super) turn_us: u64,
    /// Reasons for the process to stand still.
    pub(super) paused: u32,
    /// Outside the core in the calm: nothing happens here any more.
    pub(super) frozen: bool,
    /// Power cuts between a write and its sync that are still to come, and how long each lasts.
    pub(super) cut_on_store: Option<(u32, u64)>,
    /// The global number of each interface, in order of the node's link numbers.
    pub(super) interfaces: Vec<u32>,
    /// Whether the node was told that each is up, and with which largest packet.
    pub(super) told: Vec<Option<u16>>,
    /// Durable messages that the application is still thinking about.
    pub(super) report: NodeReport,
    /// What it tells again when it lies.
    pub(super) heard: Vec<Vec<u8>>,
    /// Bytes sent while no message was outstanding.
    pub(super) idle_bytes: u64,
}

impl<S> Host<S> {
    /// The 32 bytes that this start's randomness comes from.
    pub(super) fn seed(&self, plan_seed: u64) -> [u8; 32] {
        let lot = Lot::new(plan_seed, Purpose::Entropy, pair(self.entropy.0, self.entropy.1));
        let mut seed = [0; 32];
        for (word, n) in seed.chunks_mut(8).zip(0..) {
            word.copy_from_slice(&lot.at(n).to_le_bytes());
        }
        seed
    }

    /// The node's own number of a link.
    pub(super) fn local(&self, link: u32) -> Option<LinkId> {
        let at = self.interfaces.iter().position(|&number| number == link)?;
        u16::try_from(at).ok().map(LinkId)
    }

    /// Whether the process cannot take a turn now.
    pub(super) fn is_busy(&self, now_us: u64) -> bool {
        self.paused > 0 || self.busy_until_us > now_us
    }
}
