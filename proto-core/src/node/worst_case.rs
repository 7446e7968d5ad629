//! What all limits together can cost, in bytes of memory.
//!
//! A sum over everything that can grow: sizes of structures from the compiler, and for what they
//! allocate the bounds of [`Limits`]. Every term is filled by some attack in the tests and the
//! simulator, which hold a counting allocator against it.

use crate::limits::Limits;
use crate::link::Links;
use crate::node::{Event, Node};
use crate::session::Sessions;
use crate::store::record::Record;

/// What an allocator adds to a block at most, and growth of vectors to the next power of two.
const ALLOCATION: usize = 32;

impl Limits {
    /// The most bytes that a node with these limits takes, whatever its peers and its application do.
    #[must_use]
    pub fn worst_case_bytes(&self) -> u64 {
        let outputs = self.outputs as usize + 8;
        let events = outputs * (size_of::<Event>() + ALLOCATION);
        let stores = outputs * (size_of::<Record>() + 3 * size_of::<u64>() + ALLOCATION);
        // A message that waits as an event has left the receive bounds; those events are at most one
        // turn's, and a turn begins with one packet.
        let delivered = self.receive_bytes as usize + self.packet_bytes as usize;
        let fixed = size_of::<Node>() + 2 * self.packet_bytes as usize;
        let revocations = self.revocations as usize * 512;
        let parts = [
            Sessions::worst_case_bytes(self),
            Links::worst_case_bytes(self),
            2 * events,
            2 * stores,
            delivered,
            fixed,
            revocations,
        ];
        parts.iter().fold(0_u64, |sum, &part| sum.saturating_add(part as u64))
    }
}
