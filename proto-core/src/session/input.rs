//! What can happen to the sessions.

use crate::ids::{Addr, LinkId, NodeId, PeerSlot};
use crate::node::input::{LinkInfo, PeerSpec};
use crate::time::WallTime;

/// What can happen to the sessions.
pub enum Input<'a> {
    /// A link works, or has changed.
    LinkUp {
        /// Which.
        link: LinkId,
        /// What it can do.
        info: LinkInfo,
    },
    /// A link does not work.
    LinkDown {
        /// Which.
        link: LinkId,
    },
    /// Keep a session with this peer. Places beyond what [`Sessions::admit`](super::Sessions::admit) allows are left out.
    Connect {
        /// Who and where.
        spec: PeerSpec,
    },
    /// Whether something leads to a place has changed, as the map of its link says.
    Away {
        /// The link.
        link: LinkId,
        /// The address on it.
        addr: Addr,
        /// Nothing leads there now.
        away: bool,
    },
    /// Send a beacon to all who hear a link.
    Beacon {
        /// Which.
        link: LinkId,
        /// The next one comes within `2^span` milliseconds.
        span: u8,
    },
    /// Somebody is at a place: have a session, if there is none.
    Meet {
        /// The link.
        link: LinkId,
        /// The address on it.
        addr: Addr,
        /// Until now nobody was heard there: a call that is under way is made at once, and others follow it as at first.
        new: bool,
    },
    /// Nobody is heard at a place any more: who has no session and could be found only there is forgotten, unless the application gave it.
    Part {
        /// The link.
        link: LinkId,
        /// The address on it.
        addr: Addr,
    },
    /// Have a session with this node for as long as it is used.
    Visit {
        /// Who.
        node: NodeId,
        /// Its device's X25519 key.
        key: [u8; 32],
        /// The link by which it is reached.
        link: LinkId,
        /// Its address there.
        addr: Addr,
    },
    /// Have a place in the table for this node, of which it is not known yet where it is: it is visited when that is found.
    Await {
        /// Who.
        node: NodeId,
    },
    /// Call no more at a place that was given; a peer of which nothing but that was known is forgotten.
    Disconnect {
        /// Over which link.
        link: LinkId,
        /// The address.
        addr: Addr,
    },
    /// End the session with this peer and forget it; the slot may be used for another.
    Forget {
        /// Which.
        peer: PeerSlot,
        /// Nobody asked for it: what waits for it and is durable goes on waiting.
        evicted: bool,
    },
    /// A packet of the handshake family arrived.
    Packet {
        /// Over which link.
        link: LinkId,
        /// From where, unproved.
        from: Addr,
        /// The packet.
        bytes: &'a [u8],
    },
    /// Nothing has been heard of the peer on any path although it should have answered.
    Silent {
        /// Which.
        peer: PeerSlot,
    },
    /// A signed statement to take over. See also [`Sessions::install`](super::Sessions::install).
    Install {
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// The calendar time at this moment; from here it is counted on.
    WallClock(WallTime),
}
