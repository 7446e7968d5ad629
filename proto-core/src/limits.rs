//! Every size in one value.
//!
//! Whatever a peer or an application can make grow is bounded by a field here, and
//! [`Limits::worst_case_bytes`] says what all of it together can cost.

use crate::params::PeerParams;
use crate::time::Duration;

/// The sizes of one node. Start from a profile, change fields, then [`Limits::validate`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Links at once, 1 to 4,096.
    pub links: u16,
    /// Peers in session or being connected, 1 to 16,384.
    pub peers: u16,
    /// Paths to one peer, 1 to 8.
    pub paths_per_peer: u8,
    /// Handshakes under way at once, ours and others' together.
    pub handshakes: u16,
    /// Handshakes a second that are answered before addresses have to be proved by cookies.
    pub free_handshakes_per_s: u16,
    /// Largest packet sent or accepted, in bytes, 64 to 65,507. A link's MTU may be smaller.
    pub packet_bytes: u32,
    /// Largest message, in bytes, up to 16 MiB.
    pub message_bytes: u32,
    /// Payload bytes that wait to be sent or acknowledged, all peers together.
    pub send_bytes: u32,
    /// Messages that wait to be sent or acknowledged, all peers together.
    pub send_messages: u32,
    /// Bytes of messages being reassembled or held for order, all peers together.
    pub receive_bytes: u32,
    /// Messages being reassembled or held for order, all peers together.
    pub receive_messages: u32,
    /// No peer may use more than one part in this many of the shared bounds on bytes and messages, unless the
    /// part is smaller than one largest message to send, or two to receive.
    pub peer_share: u32,
    /// Packets in flight on one path whose fate is remembered.
    pub in_flight: u16,
    /// Ranges of received packet numbers remembered for acknowledgement, per path.
    pub ack_ranges: u16,
    /// Width of a replay window in packet numbers, a multiple of 64; per path, 64 to 4,096.
    pub replay_window: u16,
    /// Messages beyond the oldest missing one whose arrival is remembered, a multiple of 64; per peer.
    pub message_window: u16,
    /// Events and stores waiting for the shell to take them.
    pub outputs: u32,
    /// Durable messages kept on disk, in both directions and for all peers together.
    pub durable_messages: u32,
    /// Bytes of durable messages that came and that the application has not taken, all peers together.
    pub durable_bytes: u32,
    /// Nodes to which durable messages are sent, and as many from which they are taken. Their numbers are
    /// kept for good, so a node beyond this bound is refused.
    pub durable_peers: u32,
    /// Nodes of which revoked devices, roots or memberships are remembered.
    pub revocations: u32,
    /// Routers on the map, this one included: of a larger network the nearest. 0, as in all profiles, for a node that takes no part in routing. Nor does one whose messages are shorter
    /// than [`Limits::LEAST_ROUTING_MESSAGE`].
    pub routers: u32,
    /// Bytes that the records of all of them may take.
    pub routing_bytes: u32,
    /// Landmarks that are known, the nearest, where the network is larger than the map; 0 for a node that is none and knows none: it reaches no further
    /// than its map, and is no way for others.
    pub landmarks: u32,
    /// Bytes of addresses that a landmark keeps for others.
    pub place_bytes: u32,
    /// Bytes of packets for others, and of our own, that wait for their next hop. No neighbour may use more than half.
    pub custody_bytes: u32,
    /// Bytes of bundles that are kept for those who are away: others' on memory and disk, our own on their way. Nobody who brings them may use more than half, no source
    /// and no destination more than a quarter. Counts only where `routers` is not 0; 0 for a node that takes what is for itself and keeps nothing.
    pub bundle_bytes: u32,
    /// Members of the network that are remembered, this one included; 0, as in all profiles, for a node that takes no part in gossip. Nor does one whose
    /// messages are shorter than [`Limits::LEAST_ROUTING_MESSAGE`].
    pub gossip_members: u32,
    /// Members with whom gossip is exchanged directly, 4 to 64.
    pub gossip_view: u8,
    /// Bytes of broadcasts that are kept for those who missed them, at least 4,096. No origin may use more than a quarter.
    pub gossip_bytes: u32,
    /// Bytes a second that gossip may send, on average, at least 50.
    pub gossip_rate: u32,
    /// New keys are negotiated after this many packets, 16 to 2^32. An exchange of keys needs a few
    /// packets itself; with fewer than those, each would make the next one due.
    pub rekey_packets: u64,
    /// New keys are negotiated after this time or, by chance, up to a sixteenth of it earlier. At least 1 s: an exchange takes
    /// a round trip or two.
    pub rekey_after: Duration,
    /// A path without traffic is probed this often, at least 1 s.
    pub keepalive: Duration,
    /// A session in which nothing was heard for this long is closed; longer than `keepalive`.
    pub session_idle: Duration,
}

/// Why a set of limits cannot work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("limits.{field}: {why}")]
pub struct LimitsError {
    /// The field at fault.
    pub field: &'static str,
    /// What it must be.
    pub why: &'static str,
}

impl Limits {
    /// The most that [`Limits::message_window`] may be.
    pub const MOST_MESSAGE_WINDOW: u16 = 16_384;

    /// A microcontroller: 8 peers, messages to 8 KiB.
    pub const TINY: Limits = Limits {
        links: 2,
        peers: 8,
        paths_per_peer: 2,
        handshakes: 2,
        free_handshakes_per_s: 2,
        packet_bytes: 1_500,
        message_bytes: 8 * 1024,
        send_bytes: 16 * 1024,
        send_messages: 32,
        receive_bytes: 24 * 1024,
        receive_messages: 32,
        peer_share: 2,
        in_flight: 32,
        ack_ranges: 16,
        replay_window: 128,
        message_window: 128,
        outputs: 32,
        durable_messages: 16,
        durable_bytes: 32 * 1024,
        durable_peers: 16,
        revocations: 64,
        routers: 0,
        routing_bytes: 24 * 1024,
        landmarks: 32,
        place_bytes: 16 * 1024,
        custody_bytes: 8 * 1024,
        bundle_bytes: 16 * 1024,
        gossip_members: 0,
        gossip_view: 5,
        gossip_bytes: 16 * 1024,
        gossip_rate: 2_000,
        rekey_packets: 1 << 24,
        rekey_after: Duration::from_secs(6 * 3600),
        keepalive: Duration::from_secs(60),
        session_idle: Duration::from_secs(600),
    };

    /// A single-board computer: 64 peers, messages to 1 MiB.
    pub const SMALL: Limits = Limits {
        links: 8,
        peers: 64,
        paths_per_peer: 4,
        handshakes: 32,
        free_handshakes_per_s: 16,
        packet_bytes: 9_000,
        message_bytes: 1024 * 1024,
        send_bytes: 8 * 1024 * 1024,
        send_messages: 8_192,
        receive_bytes: 8 * 1024 * 1024,
        receive_messages: 8_192,
        peer_share: 4,
        in_flight: 1_024,
        ack_ranges: 128,
        replay_window: 1_024,
        message_window: 4_096,
        outputs: 2_048,
        durable_messages: 4_096,
        durable_bytes: 16 * 1024 * 1024,
        durable_peers: 256,
        revocations: 1024,
        routers: 0,
        routing_bytes: 2 * 1024 * 1024,
        landmarks: 256,
        place_bytes: 256 * 1024,
        custody_bytes: 1024 * 1024,
        bundle_bytes: 4 * 1024 * 1024,
        gossip_members: 0,
        gossip_view: 8,
        gossip_bytes: 1024 * 1024,
        gossip_rate: 64_000,
        rekey_packets: 1 << 30,
        rekey_after: Duration::from_secs(3600),
        keepalive: Duration::from_secs(25),
        session_idle: Duration::from_secs(180),
    };

    /// A server: 2,048 peers, messages to 16 MiB.
    pub const SERVER: Limits = Limits {
        links: 64,
        peers: 2_048,
        paths_per_peer: 8,
        handshakes: 512,
        free_handshakes_per_s: 64,
        packet_bytes: 65_507,
        message_bytes: 16 * 1024 * 1024,
        send_bytes: 256 * 1024 * 1024,
        send_messages: 65_536,
        receive_bytes: 256 * 1024 * 1024,
        receive_messages: 65_536,
        peer_share: 8,
        in_flight: 4_096,
        ack_ranges: 256,
        replay_window: 2_048,
        message_window: 4_096,
        outputs: 8_192,
        durable_messages: 65_536,
        durable_bytes: 256 * 1024 * 1024,
        durable_peers: 8_192,
        revocations: 65536,
        routers: 0,
        routing_bytes: 32 * 1024 * 1024,
        landmarks: 1024,
        place_bytes: 4 * 1024 * 1024,
        custody_bytes: 16 * 1024 * 1024,
        bundle_bytes: 64 * 1024 * 1024,
        gossip_members: 0,
        gossip_view: 10,
        gossip_bytes: 16 * 1024 * 1024,
        gossip_rate: 1_000_000,
        rekey_packets: 1 << 30,
        rekey_after: Duration::from_secs(3600),
        keepalive: Duration::from_secs(25),
        session_idle: Duration::from_secs(180),
    };

    /// The largest message between neighbours about the map, in bytes; who takes no message so long takes no part in routing.
    pub const LEAST_ROUTING_MESSAGE: u32 = 4_096;

    /// Whether a node with these limits takes part in routing.
    #[must_use]
    pub fn routes(&self) -> bool {
        self.routers > 0 && self.message_bytes >= Limits::LEAST_ROUTING_MESSAGE
    }

    /// Whether a node with these limits takes part in gossip.
    #[must_use]
    pub fn gossips(&self) -> bool {
        self.gossip_members > 0 && self.message_bytes >= Limits::LEAST_ROUTING_MESSAGE
    }

    /// Links of the shell, and the mesh where there is a map.
    #[must_use]
    pub fn links_and_mesh(&self) -> usize {
        usize::from(self.links) + usize::from(self.routes())
    }

    /// Of how many packets that came by it is remembered where they went.
    #[must_use]
    pub fn trails(&self) -> usize {
        (self.custody_bytes as usize / 256).max(16)
    }

    /// Of how many steps of packets it is remembered in one turn what they were: each packet that waits may be given to somebody, and
    /// again when the neighbours that had them are lost.
    #[must_use]
    pub fn moves(&self) -> usize {
        self.trails().saturating_mul(4)
    }

    /// What a node with these limits tells its peers.
    #[must_use]
    pub fn params(&self) -> PeerParams {
        PeerParams {
            message_bytes: self.message_bytes,
            receive_bytes: self.receive_promise(),
            packet_bytes: self.packet_bytes,
            message_window: self.message_window,
            // Decoding holds a block and its matrix at once (RFC 6330, section 5.4): worth it only
            // where messages may be long anyway.
            fountain: self.message_bytes >= 64 * 1024,
            routing: self.routes(),
            gossip: self.gossips(),
        }
    }

    /// One peer's part of a shared bound, but at least `least`.
    #[must_use]
    pub fn share(&self, total: u32, least: u32) -> u32 {
        (total / self.peer_share.max(1)).max(least).min(total)
    }

    /// Bytes that one peer's messages may take while they are put together or wait: its part, but at
    /// least twice the largest message, so that one comes in while others wait for it; and never so much
    /// that the other peers together have no room for a largest message, if there is room for two.
    #[must_use]
    pub fn receive_share(&self) -> u32 {
        let others = self.receive_bytes.saturating_sub(self.message_bytes).max(self.message_bytes);
        self.share(self.receive_bytes, self.message_bytes.saturating_mul(2)).min(others)
    }

    /// What a peer is told that it may have on its way: its share less the room that is kept for whoever's
    /// turn it is, and at least one largest message; but no more than there are places for, where those are fewer
    /// than the numbers that may be under way. One message alone may be larger.
    #[must_use]
    pub fn receive_promise(&self) -> u32 {
        let bytes = self.receive_share().saturating_sub(self.message_bytes).max(self.message_bytes);
        let durable = self.share((self.durable_messages / 2).max(1), 1);
        let places = self.share(self.receive_messages, 1).saturating_sub(durable);
        if places >= u32::from(self.message_window) {
            return bytes;
        }
        bytes.min(places.max(1).saturating_mul(PeerParams::PLACE_BYTES))
    }

    /// Checks every field that has a range; the others work with any value.
    ///
    /// # Errors
    /// Names the first field that cannot work and what it must be.
    pub fn validate(&self) -> Result<(), LimitsError> {
        const SECOND: Duration = Duration::from_secs(1);
        let gossips = self.gossip_members > 0;
        let rules: [(bool, &'static str, &'static str); 24] = [
            ((1..=4_096).contains(&self.links), "links", "must be 1 to 4,096"),
            ((1..=16_384).contains(&self.peers), "peers", "must be 1 to 16,384"),
            ((1..=8).contains(&self.paths_per_peer), "paths_per_peer", "must be 1 to 8"),
            (self.handshakes >= 1, "handshakes", "must be at least 1"),
            ((64..=65_507).contains(&self.packet_bytes), "packet_bytes", "must be 64 to 65,507"),
            (self.message_bytes <= 16 * 1024 * 1024, "message_bytes", "must be at most 16 MiB"),
            (self.send_bytes >= self.message_bytes, "send_bytes", "must hold one largest message"),
            (self.receive_bytes >= self.message_bytes, "receive_bytes", "must hold one largest message"),
            (self.durable_bytes >= self.message_bytes, "durable_bytes", "must hold one largest message"),
            (self.send_messages >= 1, "send_messages", "must be at least 1"),
            (self.receive_messages >= 1, "receive_messages", "must be at least 1"),
            (self.peer_share >= 1, "peer_share", "must be at least 1"),
            (self.in_flight >= 8, "in_flight", "must be at least 8"),
            ((4..=1_024).contains(&self.ack_ranges), "ack_ranges", "must be 4 to 1,024"),
            (
                (64..=4_096).contains(&self.replay_window) && self.replay_window.is_multiple_of(64),
                "replay_window",
                "must be a multiple of 64 from 64 to 4,096",
            ),
            (
                (64..=Limits::MOST_MESSAGE_WINDOW).contains(&self.message_window)
                    && self.message_window.is_multiple_of(64),
                "message_window",
                "must be a multiple of 64 from 64 to 16,384",
            ),
            (self.outputs >= 16, "outputs", "must be at least 16"),
            ((16..=1 << 32).contains(&self.rekey_packets), "rekey_packets", "must be 16 to 2^32"),
            (self.rekey_after >= SECOND, "rekey_after", "must be at least 1 s"),
            (self.keepalive >= SECOND, "keepalive", "must be at least 1 s"),
            (self.session_idle > self.keepalive, "session_idle", "must be longer than keepalive"),
            (
                !gossips || (4..=64).contains(&self.gossip_view),
                "gossip_view",
                "must be 4 to 64 where gossip_members is not 0",
            ),
            (
                !gossips || self.gossip_bytes >= 4 * 1_024,
                "gossip_bytes",
                "must be at least 4,096 where gossip_members is not 0",
            ),
            (
                !gossips || self.gossip_rate >= 50,
                "gossip_rate",
                "must be at least 50 where gossip_members is not 0",
            ),
        ];
        for (holds, field, why) in rules {
            if !holds {
                return Err(LimitsError { field, why });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_promised_than_there_are_places_for() {
        let limits = Limits { message_bytes: 64 * 1024, receive_messages: 4_096, ..Limits::SMALL };
        // A quarter of 4,096, of which half of a quarter of 4,096 may be durable ones.
        assert_eq!(limits.receive_promise(), 512 * 768);
        let few = Limits { receive_messages: 64, ..Limits::SMALL };
        assert_eq!(few.receive_promise(), 768, "one at a time");
        assert_eq!(Limits::TINY.receive_promise(), 8 * 1024);
        assert_eq!(Limits::SMALL.receive_promise(), 1024 * 1024);
        assert_eq!(Limits::SERVER.receive_promise(), 16 * 1024 * 1024);
    }

    #[test]
    fn the_profiles_are_in_range() {
        for profile in [Limits::TINY, Limits::SMALL, Limits::SERVER] {
            assert_eq!(profile.validate(), Ok(()));
        }
    }

    /// With such a field a node would make keys or probe paths without end, or call a live session silent.
    #[test]
    fn a_time_that_cannot_work_is_refused_by_name() {
        let refused = |change: fn(&mut Limits)| {
            let mut limits = Limits::SMALL;
            change(&mut limits);
            limits.validate().map_err(|error| error.field)
        };
        assert_eq!(refused(|limits| limits.rekey_after = Duration::ZERO), Err("rekey_after"));
        assert_eq!(refused(|limits| limits.rekey_after = Duration::from_millis(999)), Err("rekey_after"));
        assert_eq!(refused(|limits| limits.rekey_after = Duration::from_secs(1)), Ok(()));
        assert_eq!(refused(|limits| limits.keepalive = Duration::ZERO), Err("keepalive"));
        assert_eq!(refused(|limits| limits.keepalive = Duration::from_secs(1)), Ok(()));
        assert_eq!(refused(|limits| limits.keepalive = limits.session_idle), Err("session_idle"));
        assert_eq!(refused(|limits| limits.rekey_packets = 15), Err("rekey_packets"));
        assert_eq!(refused(|limits| limits.rekey_packets = 16), Ok(()));
        assert_eq!(refused(|limits| limits.rekey_packets = (1 << 32) + 1), Err("rekey_packets"));
    }
}
