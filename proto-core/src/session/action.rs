//! What the sessions want done.

use bytes::Bytes;

use crate::ids::{Addr, DeviceId, LinkId, NodeId, PeerSlot};
use crate::node::output::DownReason;
use crate::params::PeerParams;
use crate::session::Versions;
use crate::store::record::Record;

/// What the sessions want done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Send this packet.
    Transmit {
        /// Over which link.
        link: LinkId,
        /// To whom.
        to: Addr,
        /// What.
        packet: Bytes,
    },
    /// A handshake has been completed: there is a session, or there are new keys for one.
    Established {
        /// With whom.
        peer: PeerSlot,
        /// Its node.
        node: NodeId,
        /// Its device.
        device: DeviceId,
        /// The other side begins anew: what was shared with it is void, packet numbers start from zero.
        restarted: bool,
        /// The session was up already; only keys were exchanged, or a place was proved.
        rekey: bool,
        /// We started the handshake: the other side is in session only when it hears us under the new keys.
        ours: bool,
        /// The protocol version.
        version: u8,
        /// What it can do.
        params: PeerParams,
        /// The link over which the handshake went.
        link: LinkId,
        /// Its address there.
        addr: Addr,
        /// That address has shown that it is the peer's.
        proved: bool,
    },
    /// There is no session any more.
    Closed {
        /// With whom.
        peer: PeerSlot,
        /// Its node.
        node: NodeId,
        /// Why.
        reason: DownReason,
    },
    /// A slot now belongs to this node, which somebody asked for by its name.
    Named {
        /// The slot.
        peer: PeerSlot,
        /// Who.
        node: NodeId,
    },
    /// A peer is forgotten, and its slot free for another: whatever was kept under it is void.
    Forgotten {
        /// The slot.
        peer: PeerSlot,
        /// It made room for another; otherwise the application removed it.
        evicted: bool,
    },
    /// A member of our network is at this place.
    Heard {
        /// The link it was heard on.
        link: LinkId,
        /// Its address there.
        from: Addr,
        /// Its next beacon comes within `2^span` milliseconds.
        span: u8,
        /// Of the two of us it is ours to call: our place comes first in an order that both see alike.
        first: bool,
    },
    /// A node of our network speaks only versions that we do not.
    Incompatible {
        /// The link it was heard on.
        link: LinkId,
        /// Its address there.
        from: Addr,
        /// What it speaks.
        theirs: Versions,
        /// What we speak.
        ours: Versions,
    },
    /// A second running instance of an identity was met; our own when we are it.
    CloneDetected {
        /// Whose identity.
        node: NodeId,
        /// Which device.
        device: DeviceId,
    },
    /// What this node has shown may be void now: a revocation, an exclusion or a rotation was taken over.
    Distrusted {
        /// Who.
        node: NodeId,
    },
    /// Keep this for the next start. Nothing waits for it.
    Store(Record),
}
