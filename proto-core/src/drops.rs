//! Why a packet, frame or request was not acted on. Counted, never logged and never an error.

/// One reason for dropping something. The order is part of the trace and of status: append only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Drop {
    /// Shorter than its header, or a length field pointing outside.
    Malformed,
    /// A kind this version does not know and that is not marked skippable.
    UnknownKind,
    /// Reserved bits were set.
    ReservedBits,
    /// The link is down or was never announced.
    UnknownLink,
    /// A handshake packet without a valid network tag: another network, or noise.
    ForeignNetwork,
    /// Handshake of an incompatible protocol version.
    Incompatible,
    /// Too many handshakes a second; the sender must prove its address first.
    CookieDemanded,
    /// The cookie was wrong or too old.
    CookieInvalid,
    /// A handshake message that does not decrypt or fits no handshake of ours.
    HandshakeInvalid,
    /// No room for one more handshake.
    HandshakeFull,
    /// The certificate or membership of the peer does not verify.
    CertificateInvalid,
    /// The peer's key was revoked.
    Revoked,
    /// No session has this index.
    UnknownSession,
    /// The packet does not authenticate.
    AuthFailed,
    /// The packet number was seen before or is too old.
    Replayed,
    /// An authenticated peer sent frames that break the protocol.
    ProtocolViolation,
    /// No room for one more peer.
    PeersFull,
    /// A bounded queue or table was full.
    QueueFull,
    /// The message was received before.
    DuplicateMessage,
    /// Larger than this node's limits allow.
    Oversize,
    /// A fragment belongs to nothing we are willing to reassemble.
    ReassemblyFull,
    /// It waited longer than its lifetime.
    Expired,
    /// A rate limit of answers to unproved addresses was reached.
    AnswerLimited,
    /// The peer is another instance of an identity already in session.
    Cloned,
    /// A handshake from before one side forgot the other.
    HandshakeStale,
    /// A durable message, and the disk has failed.
    NoStorage,
    /// One of our own handshake packets is larger than the buffer that the shell polls with.
    BufferTooSmall,
    /// A routing record whose signature or author is wrong.
    RecordInvalid,
    /// A router or a record of one for which the map has no room.
    RoutersFull,
    /// A packet that has been over as many hops as it may.
    HopLimit,
    /// A packet for somebody else that found no place to wait.
    CustodyFull,
    /// The word of a member of whom we have no papers.
    UnknownMember,
    /// A member for whom there is no room.
    MembersFull,
    /// A beacon from another place than it names: a copy, or a link that does not know its own address.
    Misplaced,
    /// A packet for a router that the landmark which it names does not keep.
    Astray,
    /// A landmark, or an address that is to be kept, for which there is no room.
    LandmarksFull,
}

impl Drop {
    /// Every reason, in order.
    pub const ALL: [Drop; 36] = [
        Drop::Malformed,
        Drop::UnknownKind,
        Drop::ReservedBits,
        Drop::UnknownLink,
        Drop::ForeignNetwork,
        Drop::Incompatible,
        Drop::CookieDemanded,
        Drop::CookieInvalid,
        Drop::HandshakeInvalid,
        Drop::HandshakeFull,
        Drop::CertificateInvalid,
        Drop::Revoked,
        Drop::UnknownSession,
        Drop::AuthFailed,
        Drop::Replayed,
        Drop::ProtocolViolation,
        Drop::PeersFull,
        Drop::QueueFull,
        Drop::DuplicateMessage,
        Drop::Oversize,
        Drop::ReassemblyFull,
        Drop::Expired,
        Drop::AnswerLimited,
        Drop::Cloned,
        Drop::HandshakeStale,
        Drop::NoStorage,
        Drop::BufferTooSmall,
        Drop::RecordInvalid,
        Drop::RoutersFull,
        Drop::HopLimit,
        Drop::CustodyFull,
        Drop::UnknownMember,
        Drop::MembersFull,
        Drop::Misplaced,
        Drop::Astray,
        Drop::LandmarksFull,
    ];
}

/// How often each reason occurred.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Drops([u64; Drop::ALL.len()]);

// By hand: the standard library has it for arrays of up to 32 only.
impl Default for Drops {
    fn default() -> Drops {
        Drops([0; Drop::ALL.len()])
    }
}

impl Drops {
    /// Counts one.
    pub fn count(&mut self, reason: Drop) {
        if let Some(slot) = self.0.get_mut(reason as usize) {
            *slot += 1;
        }
    }

    /// How often `reason` was counted.
    #[must_use]
    pub fn get(&self, reason: Drop) -> u64 {
        self.0.get(reason as usize).copied().unwrap_or(0)
    }

    /// All counts with their reasons, zeros included.
    pub fn iter(&self) -> impl Iterator<Item = (Drop, u64)> + '_ {
        Drop::ALL.iter().map(|&reason| (reason, self.get(reason)))
    }
}
