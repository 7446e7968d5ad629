//! When a machine wants to be woken, and why.

use crate::time::Instant;

/// The next moment at which a machine has something to do without new input.
///
/// The derived order makes `min` right: `Now < At(early) < At(late) < Idle`. An `Option<Instant>`
/// would put "never" first, and deadlines would be lost.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Wake {
    /// There is work left; call again at once.
    Now,
    /// Call `wake` at this instant.
    At(Instant, Reason),
    /// Nothing to do until an input arrives.
    #[default]
    Idle,
}

impl Wake {
    /// The earlier of two.
    #[must_use]
    pub fn min(self, other: Wake) -> Wake {
        Ord::min(self, other)
    }

    /// Whether the moment has come.
    #[must_use]
    pub fn is_due(self, now: Instant) -> bool {
        match self {
            Wake::Now => true,
            Wake::At(at, _) => at <= now,
            Wake::Idle => false,
        }
    }
}

/// Why a deadline was set. Shown in status and traces; part of the trace, so the order is fixed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Reason {
    /// Send a handshake message again.
    HandshakeRetry,
    /// Give up on, or forget, a handshake.
    HandshakeExpiry,
    /// Replace the session's keys.
    Rekey,
    /// A session has been silent for too long.
    SessionIdle,
    /// Rotate the cookie secret.
    CookieRotation,
    /// Send an acknowledgement that was held back.
    AckDelay,
    /// Decide whether packets in flight were lost.
    LossDetection,
    /// The pacer allows the next packet.
    Pacing,
    /// Check that a path still carries packets.
    PathProbe,
    /// Keep an idle path known to the other side and to address translators.
    KeepAlive,
    /// A message's lifetime ends.
    MessageExpiry,
    /// A half-received message is given up.
    ReassemblyExpiry,
    /// Work was left over from a bounded turn.
    Backlog,
    /// The papers that a peer has shown end.
    PapersExpiry,
    /// A router says which its neighbours are.
    LinkState,
    /// A neighbour is to be told what it lacks of the map.
    Flood,
    /// A packet of others waits for its next hop.
    Custody,
    /// The quality of a link is to be looked at.
    Measure,
    /// Routers are to be forgotten to which nothing leads.
    Forget,
    /// The partial view is to be filled or mixed.
    Shuffle,
    /// Broadcasts, or words that they are here, are to be sent.
    Spread,
    /// A broadcast of which others spoke has not come.
    Graft,
    /// A member has been silent.
    Probe,
    /// Nobody has spoken up for a suspected member.
    Suspicion,
    /// What two members have is to be compared.
    Digest,
    /// A beacon is to be sent, or somebody was not heard for long.
    Beacon,
}
