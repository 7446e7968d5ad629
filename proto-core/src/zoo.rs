//! Deliberately planted bugs, which the simulator must find.
//!
//! A green run proves little until a red one has been seen. Each bug stands behind
//! `cx.zoo.has(Bug::X)` at the spot where a tired programmer might have written it. Without feature
//! `zoo` the answer is the constant `false` and the branch is not compiled into the binary.

/// One planted bug.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Bug {
    /// The replay window accepts every packet number.
    ReplayWindowOff,
    /// A session starts counting packets from zero again when its keys did not change.
    NonceReset,
    /// A durable message is acknowledged before its record is on disk.
    AckBeforeStore,
    /// A message that arrives twice is delivered twice.
    DedupeOff,
    /// The fragments of finished messages are never freed.
    ReassemblyLeak,
    /// Ordered messages are delivered as they come.
    OrderIgnored,
    /// Handshakes are answered at full length whoever asks, cookies or not.
    CookieOff,
    /// A packet that is lost is forgotten instead of sent again.
    LossForgotten,
    /// Message numbers start from the stored value instead of the reserved one after a restart.
    SequenceReused,
    /// With a packet, the one before it is acknowledged, whether or not it came.
    AckGap,
    /// Ephemeral keys come from the generator alone, so two clones make the same.
    EphemeralUnhedged,
    /// The largest message that is taken is read in the wrong unit: what is larger than a 1,024th is refused.
    LimitMisread,
    /// A relay does not count its hop.
    HopUncounted,
    /// A link counts though only one of its ends lists it.
    OneEndIsEnough,
    /// An older edition of a record takes the place of a newer one.
    OldRecordTaken,
    /// Whatever signature a record bears, it is believed.
    RecordUnchecked,
    /// Nobody remembers by which exits a packet has left.
    TrailLost,
    /// A neighbour that cannot be reached any more stays the next hop.
    DeadNextHop,
    /// Nobody sends what the summary of a neighbour shows that it lacks.
    SummaryIgnored,
    /// Of its list of neighbours a router says only the first page.
    PagesLost,
    /// A router reckons with costs that it has not told anybody.
    CostUnsaid,
    /// Whose papers were revoked stays on the map.
    RevokedStays,
}

impl Bug {
    /// Every bug with the name used in plans and on the command line.
    pub const ALL: [(Bug, &'static str); 22] = [
        (Bug::ReplayWindowOff, "replay-window-off"),
        (Bug::NonceReset, "nonce-reset"),
        (Bug::AckBeforeStore, "ack-before-store"),
        (Bug::DedupeOff, "dedupe-off"),
        (Bug::ReassemblyLeak, "reassembly-leak"),
        (Bug::OrderIgnored, "order-ignored"),
        (Bug::CookieOff, "cookie-off"),
        (Bug::LossForgotten, "loss-forgotten"),
        (Bug::SequenceReused, "sequence-reused"),
        (Bug::AckGap, "ack-gap"),
        (Bug::EphemeralUnhedged, "ephemeral-unhedged"),
        (Bug::LimitMisread, "limit-misread"),
        (Bug::HopUncounted, "hop-uncounted"),
        (Bug::OneEndIsEnough, "one-end-is-enough"),
        (Bug::OldRecordTaken, "old-record-taken"),
        (Bug::RecordUnchecked, "record-unchecked"),
        (Bug::TrailLost, "trail-lost"),
        (Bug::DeadNextHop, "dead-next-hop"),
        (Bug::SummaryIgnored, "summary-ignored"),
        (Bug::PagesLost, "pages-lost"),
        (Bug::CostUnsaid, "cost-unsaid"),
        (Bug::RevokedStays, "revoked-stays"),
    ];
}

/// Which planted bug is live in this node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Zoo {
    #[cfg(feature = "zoo")]
    bug: Option<Bug>,
}

impl Zoo {
    /// No bug.
    #[must_use]
    pub const fn none() -> Zoo {
        Zoo {
            #[cfg(feature = "zoo")]
            bug: None,
        }
    }

    /// A node with one planted bug.
    #[cfg(feature = "zoo")]
    #[must_use]
    pub const fn with(bug: Bug) -> Zoo {
        Zoo { bug: Some(bug) }
    }

    /// Whether `bug` is live.
    #[must_use]
    #[inline(always)]
    pub fn has(self, bug: Bug) -> bool {
        #[cfg(feature = "zoo")]
        {
            self.bug == Some(bug)
        }
        #[cfg(not(feature = "zoo"))]
        {
            let _ = bug;
            false
        }
    }
}

/// A node with one planted bug, for tests; `None` where bugs are not compiled in.
#[cfg(test)]
pub(crate) fn planted(bug: Bug) -> Option<Zoo> {
    #[cfg(feature = "zoo")]
    {
        Some(Zoo::with(bug))
    }
    #[cfg(not(feature = "zoo"))]
    {
        let _ = bug;
        None
    }
}
