//! What all limits together can cost, in bytes of memory.
//!
//! A sum over everything that can grow: sizes of structures from the compiler, and for what they
//! allocate the bounds of [`Limits`]. A counting allocator is held against it in every run of the
//! scenarios. Their test `limits` fills, one by one, what waits to be sent, what is put together, the
//! decoding of symbols, durable messages, handshakes, peers and the map, and holds what each takes to a share of
//! what is granted for it. Nothing fills outputs that nobody takes, books of nodes without a slot,
//! revocations, custody, landmarks, and several paths to a peer: these are counted from sizes alone.

use crate::beacon::Beacons;
use crate::bundle::Bundles;
use crate::identity::Revocations;
use crate::limits::Limits;
use crate::link::Links;
use crate::node::air::Calls;
use crate::node::gossip::Gossiping;
use crate::node::{Event, Node};
use crate::routing::Routing;
use crate::session::Sessions;
use crate::store::record::Record;

/// What an allocator adds to a block at most, and growth of vectors to the next power of two.
const ALLOCATION: u64 = 32;

impl Limits {
    /// The most bytes that a node with these limits takes, whatever its peers and its application do;
    /// `u64::MAX` when that is more than a `u64` can say. The same on every target but for the size of a
    /// pointer: the sum may be more than a target can address, and then says so.
    #[must_use]
    pub fn worst_case_bytes(&self) -> u64 {
        let outputs = u64::from(self.outputs) + 8;
        let event = size_of::<Event>() as u64 + ALLOCATION;
        let store = (size_of::<Record>() + 3 * size_of::<u64>()) as u64 + ALLOCATION;
        // A message that waits as an event has left the receive bounds. Those of one peer's share may wait
        // when a turn begins (`outputs_are_full`); it begins with one packet, and delivers what was kept at most.
        let waiting = u64::from(self.receive_share().max(1));
        let delivered = waiting + u64::from(self.receive_bytes) + u64::from(self.packet_bytes);
        let fixed = size_of::<Node>() as u64 + 2 * u64::from(self.packet_bytes);
        let parts = [
            Sessions::worst_case_bytes(self),
            Links::worst_case_bytes(self),
            outputs.saturating_mul(2 * event),
            outputs.saturating_mul(2 * store),
            delivered,
            fixed,
            Calls::worst_case_bytes(self),
            Revocations::worst_case_bytes(self.revocations),
            Routing::worst_case_bytes(self),
            Bundles::worst_case_bytes(self),
            Gossiping::worst_case_bytes(self),
            Beacons::worst_case_bytes(self),
        ];
        parts.into_iter().fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the application sets, and on every target: the sum is at the end of the numbers, or right.
    #[test]
    fn no_limits_overflow_the_sum() {
        let most = Limits {
            links: u16::MAX,
            peers: u16::MAX,
            handshakes: u16::MAX,
            paths_per_peer: u8::MAX,
            packet_bytes: u32::MAX,
            message_bytes: u32::MAX,
            send_bytes: u32::MAX,
            send_messages: u32::MAX,
            receive_bytes: u32::MAX,
            receive_messages: u32::MAX,
            in_flight: u16::MAX,
            ack_ranges: u16::MAX,
            replay_window: u16::MAX,
            message_window: u16::MAX,
            outputs: u32::MAX,
            durable_messages: u32::MAX,
            durable_peers: u32::MAX,
            revocations: u32::MAX,
            routers: u32::MAX,
            routing_bytes: u32::MAX,
            landmarks: u32::MAX,
            place_bytes: u32::MAX,
            custody_bytes: u32::MAX,
            bundle_bytes: u32::MAX,
            gossip_members: u32::MAX,
            gossip_view: u8::MAX,
            gossip_bytes: u32::MAX,
            gossip_rate: u32::MAX,
            ..Limits::SERVER
        };
        let one = |field: fn(&mut Limits)| {
            let mut limits = Limits::SERVER;
            field(&mut limits);
            limits.worst_case_bytes()
        };
        let server = Limits::SERVER.worst_case_bytes();
        assert!(server > u64::from(u32::MAX), "more than 32 bits can say: {server}");
        assert!(one(|limits| limits.send_messages = u32::MAX) > server + u64::from(u32::MAX));
        assert!(one(|limits| limits.durable_peers = u32::MAX) > server + u64::from(u32::MAX));
        assert!(most.worst_case_bytes() > server);
    }
}
