//! Coming back from a restart: which record belongs to whom.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::identity::IdentityError;
use crate::ids::NodeId;
use crate::link;
use crate::node::{BootError, Node};
use crate::store::record::Record;
use crate::time::Instant;

/// The records of a store, sorted by who needs them.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    /// How often the device had started.
    pub(super) boot: u32,
    /// Node, certificate and start count of each known peer.
    pub(super) peers: Vec<(NodeId, Bytes, u32)>,
    /// Durable messages and their bookkeeping, by the other node.
    pub(super) durable: BTreeMap<NodeId, Vec<Record>>,
    /// Bundles: the bytes, seconds that each may wait, and how often it may be handed over.
    pub(super) bundles: Vec<(Bytes, u64, u8)>,
    /// Statements about identities.
    pub(super) statements: Vec<Bytes>,
}

/// Sorts the records of a store. What was erased is expected to be gone already.
pub(super) fn sort(records: Vec<Record>) -> Recovered {
    let mut recovered = Recovered::default();
    for record in records {
        match record {
            Record::Boot { count } => recovered.boot = recovered.boot.max(count),
            Record::Peer { node, certificate, boot } => recovered.peers.push((node, certificate, boot)),
            Record::Sequence { peer, .. }
            | Record::Outgoing { peer, .. }
            | Record::Incoming { peer, .. }
            | Record::Window { peer, .. } => recovered.durable.entry(peer).or_default().push(record),
            Record::Statement { bytes } => recovered.statements.push(bytes),
            Record::Bundle { id: _, lifetime_s, handovers, bytes } => {
                recovered.bundles.push((bytes, lifetime_s, handovers));
            }
            Record::Erased { .. } => {}
        }
    }
    recovered
}

impl Node {
    /// Takes over stored statements and durable messages; what is on disk is not written again. A
    /// statement that no longer verifies is left out: it was checked when it was installed, and its
    /// network may have been replaced since.
    ///
    /// # Errors
    /// When our membership cannot be shown beside our certificate: we would be one whom nobody hears.
    pub(super) fn install_recovered(
        &mut self,
        now: Instant,
        statements: Vec<Bytes>,
        durable: BTreeMap<NodeId, Vec<Record>>,
    ) -> Result<(), BootError> {
        for (node, records) in durable {
            self.links_handle(now, link::Input::Recovered { node, records });
        }
        for bytes in statements {
            let mut cx = super::cx(now, &mut self.sessions_rng, &self.limits, &mut self.drops, self.zoo);
            match self.sessions.recover(&mut cx, &bytes) {
                Ok(_) => {}
                Err(error @ IdentityError::PapersTooLong { .. }) => return Err(BootError::Membership(error)),
                Err(_) => self.drops.count(crate::drops::Drop::CertificateInvalid),
            }
        }
        Ok(())
    }
}
