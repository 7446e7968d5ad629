//! What is void: revoked devices, replaced root keys, excluded members.
//!
//! Only a node's latest root key certifies; every root key it ever had can revoke, for ever. So the
//! order in which a rotation and a revocation arrive does not matter, and a thief of an old key can
//! end an identity but never take it over or bring back what was revoked.
//!
//! One entry for each node that something is known of; each field of it moves one way only. The
//! number of nodes is bounded. When the table is full, news about a node that is in it always finds
//! room, and news about another node is refused ([`IdentityError::TableFull`]): nothing is ever
//! forgotten to make room, since that would bring back what was revoked. Because anybody can invent
//! node names, the caller installs statements only about nodes it has to do with: what the operator
//! hands it, and rotations of peers that the application named or that are in the table already
//! (`session::statements`).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use prost::Message as _;

use super::certificate::{Chain, DeviceCertificate, MAX_ROTATIONS, Roots};
use super::endorsed::{Exclusion, Membership};
use super::error::IdentityError;
use super::signed::{bytes32, check_version, context, decode, verify};
use super::wire;
use crate::crypto::sign::Verifier;
use crate::ids::{DeviceId, NodeId};

/// The most devices one list names. Whoever needs more raises `below_serial` and certifies the
/// remaining devices again, so no revocation is ever dropped for lack of room.
pub const MAX_REVOKED_DEVICES: usize = 8;

/// Everything that a node has revoked so far.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RevocationList {
    /// Rises with every list.
    pub sequence: u64,
    /// Certificates with a lower serial are void.
    pub below_serial: u64,
    /// Devices that are void whatever their serial, with the highest serial ever issued to each; at
    /// most [`MAX_REVOKED_DEVICES`].
    pub devices: Vec<(DeviceId, u64)>,
    /// The node is gone for good.
    pub retired: bool,
}

impl RevocationList {
    pub(super) fn encode(&self) -> Vec<u8> {
        let device = |(device, serial): &(DeviceId, u64)| wire::RevokedDevice {
            device: device.0.to_vec(),
            serial: *serial,
        };
        let body = wire::RevocationBody {
            version: 1,
            sequence: self.sequence,
            below_serial: self.below_serial,
            devices: self.devices.iter().map(device).collect(),
            retired: self.retired,
        };
        body.encode_to_vec()
    }

    fn decode(bytes: &[u8]) -> Result<RevocationList, IdentityError> {
        let body: wire::RevocationBody = decode(bytes, "revocation")?;
        check_version(body.version, "revocation")?;
        if body.devices.len() > MAX_REVOKED_DEVICES {
            return Err(IdentityError::Malformed("more than 8 revoked devices; raise below_serial"));
        }
        let device = |device: &wire::RevokedDevice| {
            Ok((DeviceId(bytes32(&device.device, "device id is not 32 bytes")?), device.serial))
        };
        Ok(RevocationList {
            sequence: body.sequence,
            below_serial: body.below_serial,
            devices: body.devices.iter().map(device).collect::<Result<_, IdentityError>>()?,
            retired: body.retired,
        })
    }

    /// Whether everything that `earlier` revokes is revoked by this list too.
    fn covers(&self, earlier: &RevocationList) -> bool {
        let still = |(device, serial): &(DeviceId, u64)| {
            *serial < self.below_serial || self.devices.iter().any(|(listed, _)| listed == device)
        };
        self.below_serial >= earlier.below_serial
            && (self.retired || !earlier.retired)
            && (self.retired || earlier.devices.iter().all(still))
    }

    fn revokes(&self, device: &DeviceId, serial: u64) -> bool {
        self.retired || serial < self.below_serial || self.devices.iter().any(|(listed, _)| listed == device)
    }
}

/// A list whose signature and chain were verified.
pub(super) struct VerifiedList {
    pub(super) chain: Chain,
    pub(super) list: RevocationList,
}

impl VerifiedList {
    pub(super) fn from_wire(
        verifier: &Verifier,
        revocation: &wire::Revocation,
    ) -> Result<VerifiedList, IdentityError> {
        let signed = revocation.list.as_ref().ok_or(IdentityError::Malformed("revocation without list"))?;
        let list = RevocationList::decode(&signed.body)?;
        let chain = Chain::follow(verifier, &revocation.rotations, &signed.signer)?;
        verify(verifier, signed, context::REVOCATION, &chain.node, "revocation")?;
        Ok(VerifiedList { chain, list })
    }
}

/// Hash of the statement that a part of an entry came from, so that it can be erased when replaced.
pub(super) type Source = Option<[u8; 32]>;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Entry {
    roots: Roots,
    rotation_source: Source,
    list: Option<RevocationList>,
    list_source: Source,
    /// One more than the last serial of memberships that are void.
    member_floor: u64,
    exclusion_source: Source,
}

/// What is void, for a bounded number of nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revocations {
    nodes: BTreeMap<NodeId, Entry>,
    capacity: usize,
}

impl Revocations {
    /// Knows nothing; has room for `capacity` nodes.
    #[must_use]
    pub fn new(capacity: usize) -> Revocations {
        Revocations { nodes: BTreeMap::new(), capacity }
    }

    /// The most bytes that a table for `capacity` nodes can take: an entry, counted twice because a
    /// B-tree's nodes may be half empty, a full list of devices, and the longest chain of root keys.
    #[must_use]
    pub const fn worst_case_bytes(capacity: u32) -> u64 {
        let entry = size_of::<NodeId>() + size_of::<Entry>();
        let devices = MAX_REVOKED_DEVICES * size_of::<(DeviceId, u64)>();
        let roots = (MAX_ROTATIONS + 1) * 32;
        (capacity as u64).saturating_mul((entry * 2 + devices + roots) as u64)
    }

    /// How many nodes something is known of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether nothing is known of anybody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Whether a verified certificate still counts.
    ///
    /// # Errors
    /// [`IdentityError::Superseded`], [`IdentityError::Forked`] or [`IdentityError::Revoked`].
    pub fn check(&self, certificate: &DeviceCertificate) -> Result<(), IdentityError> {
        let Some(entry) = self.nodes.get(&certificate.node) else { return Ok(()) };
        entry.roots.check_latest(&Roots::of(&certificate.chain))?;
        match &entry.list {
            Some(list) if list.revokes(&certificate.device, certificate.serial) => {
                Err(IdentityError::Revoked)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether a verified membership still counts.
    ///
    /// # Errors
    /// [`IdentityError::Revoked`].
    pub fn check_membership(&self, membership: &Membership) -> Result<(), IdentityError> {
        match self.nodes.get(&membership.node) {
            Some(entry) if membership.serial < entry.member_floor => Err(IdentityError::Revoked),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether anything is known of this node, so that there is room for more.
    #[must_use]
    pub fn knows(&self, node: &NodeId) -> bool {
        self.nodes.contains_key(node)
    }

    /// Whether this node's root keys show rotations that are not known here yet.
    #[must_use]
    pub fn is_news(&self, node: &NodeId, roots: &Roots) -> bool {
        roots.index() > self.nodes.get(node).map_or(0, |entry| entry.roots.index())
    }

    /// Learns the rotations of a node. `Ok(None)` when they were known; else the source replaced.
    pub(super) fn learn_rotations(
        &mut self,
        chain: &Chain,
        source: [u8; 32],
    ) -> Result<Option<Source>, IdentityError> {
        let roots = Roots::of(chain);
        if let Some(entry) = self.nodes.get(&chain.node) {
            entry.roots.check_fork(&roots)?;
            if roots.index() <= entry.roots.index() {
                return Ok(None);
            }
        }
        let entry = self.entry(chain.node)?;
        entry.roots.advance(&roots);
        Ok(Some(entry.rotation_source.replace(source)))
    }

    /// Takes over a list. `Ok(None)` when it was known; else the source replaced.
    pub(super) fn learn_list(
        &mut self,
        verified: VerifiedList,
        source: [u8; 32],
    ) -> Result<Option<Source>, IdentityError> {
        let VerifiedList { chain, list } = verified;
        let roots = Roots::of(&chain);
        if let Some(entry) = self.nodes.get(&chain.node) {
            entry.roots.check_fork(&roots)?;
            if let Some(known) = &entry.list {
                if list == *known {
                    return Ok(None);
                }
                if list.sequence <= known.sequence {
                    return Err(IdentityError::Stale);
                }
                if !list.covers(known) {
                    return Err(IdentityError::NotMonotone);
                }
            }
        }
        let entry = self.entry(chain.node)?;
        entry.roots.advance(&roots);
        entry.list = Some(list);
        Ok(Some(entry.list_source.replace(source)))
    }

    /// Takes over an exclusion. `Ok(None)` when it was known; else the source replaced.
    pub(super) fn learn_exclusion(
        &mut self,
        exclusion: Exclusion,
        source: [u8; 32],
    ) -> Result<Option<Source>, IdentityError> {
        let floor = exclusion.up_to_serial.saturating_add(1);
        if self.nodes.get(&exclusion.node).is_some_and(|entry| floor <= entry.member_floor) {
            return Ok(None);
        }
        let entry = self.entry(exclusion.node)?;
        entry.member_floor = floor;
        Ok(Some(entry.exclusion_source.replace(source)))
    }

    fn entry(&mut self, node: NodeId) -> Result<&mut Entry, IdentityError> {
        if self.nodes.len() >= self.capacity && !self.nodes.contains_key(&node) {
            return Err(IdentityError::TableFull);
        }
        Ok(self.nodes.entry(node).or_default())
    }
}
