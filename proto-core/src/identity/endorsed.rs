//! What several authorities of a network sign together: memberships, exclusions, network keys.
//!
//! Refused design: counting signatures. One authority that signs three times would pass a threshold
//! of three; so places in the genesis list are counted, each once, and the list holds each key once.

use alloc::vec::Vec;
use bytes::Bytes;
use prost::Message as _;

use super::certificate::Validity;
use super::error::IdentityError;
use super::genesis::Genesis;
use super::root::encode;
use super::signed::{bytes32, check_version, context, decode, signed_bytes};
use super::wire::{self, statement::Kind};
use crate::crypto::secret::Secret;
use crate::crypto::sign::{SigningKey, Verifier};
use crate::ids::{NetworkId, NodeId};

/// The most authorities of a network, and so the most signatures that are checked on one statement.
pub const MAX_AUTHORITIES: usize = 32;

/// The largest membership certificate: 32 signatures of 70 bytes and the body.
pub(super) const MAX_MEMBERSHIP_BYTES: usize = 4096;

/// A statement of authorities while signatures are being collected. Every authority signs the same
/// body, wherever it is; signatures are then put together.
#[derive(Clone, PartialEq, Debug)]
pub struct Endorsement {
    context: &'static str,
    network: NetworkId,
    endorsed: wire::Endorsed,
}

impl Endorsement {
    /// Admits `node` as a member. `serial` must be higher than any issued to it before.
    #[must_use]
    pub fn membership(network: NetworkId, node: NodeId, serial: u64, validity: Validity) -> Endorsement {
        let body = wire::MembershipBody {
            version: 1,
            node: node.0.to_vec(),
            serial,
            not_before_s: validity.not_before_s,
            not_after_s: validity.not_after_s,
        };
        Endorsement::new(context::MEMBERSHIP, network, body.encode_to_vec())
    }

    /// Ends the memberships of `node` with this serial and lower ones, for good.
    #[must_use]
    pub fn exclusion(network: NetworkId, node: NodeId, up_to_serial: u64) -> Endorsement {
        let body = wire::ExclusionBody { version: 1, node: node.0.to_vec(), up_to_serial };
        Endorsement::new(context::EXCLUSION, network, body.encode_to_vec())
    }

    /// Announces the network's key of `epoch`; keys of epochs below `retire_below` end at once. The
    /// result is secret: it is shown to members only.
    #[must_use]
    pub fn network_key(network: NetworkId, epoch: u32, key: &Secret, retire_below: u32) -> Endorsement {
        let body = wire::NetworkKeyBody { version: 1, epoch, key: key.expose().to_vec(), retire_below };
        Endorsement::new(context::NETWORK_KEY, network, body.encode_to_vec())
    }

    fn new(context: &'static str, network: NetworkId, body: Vec<u8>) -> Endorsement {
        Endorsement { context, network, endorsed: wire::Endorsed { body, signatures: Vec::new() } }
    }

    /// Adds the signature of the authority at `place` in the genesis record; its earlier one is replaced.
    pub fn sign(&mut self, place: u32, key: &SigningKey) {
        let signature = key.sign(&signed_bytes(self.context, &self.network.0, &self.endorsed.body));
        let signatures = &mut self.endorsed.signatures;
        signatures.retain(|known| known.authority != place);
        signatures.push(wire::AuthoritySignature { authority: place, signature: signature.to_vec() });
        signatures.sort_by_key(|known| known.authority);
    }

    /// The bare certificate, as a member shows it in a handshake.
    #[must_use]
    pub fn certificate(&self) -> Bytes {
        self.endorsed.encode_to_vec().into()
    }

    /// The same as a statement to install.
    #[must_use]
    pub fn statement(&self) -> Bytes {
        let endorsed = self.endorsed.clone();
        encode(match self.context {
            context::MEMBERSHIP => Kind::Membership(endorsed),
            context::EXCLUSION => Kind::Exclusion(endorsed),
            _ => Kind::NetworkKey(endorsed),
        })
    }
}

/// Verifies that enough different authorities signed, and that no signature is wrong.
fn verify(
    verifier: &Verifier,
    endorsed: &wire::Endorsed,
    context: &'static str,
    network: &NetworkId,
    genesis: &Genesis,
) -> Result<(), IdentityError> {
    let need = genesis.threshold;
    if need == 0 {
        return Err(IdentityError::OpenNetwork);
    }
    let message = signed_bytes(context, &network.0, &endorsed.body);
    let mut have = 0;
    let mut next_place = 0;
    for signature in &endorsed.signatures {
        // Ascending places make every authority count once without a set.
        if signature.authority < next_place {
            return Err(IdentityError::Malformed("authorities must ascend, each once"));
        }
        let place = usize::try_from(signature.authority).unwrap_or(usize::MAX);
        let key = genesis.authorities.get(place).ok_or(IdentityError::Malformed("no such authority"))?;
        let bytes = signature.signature.as_slice();
        let bytes = bytes.try_into().map_err(|_| IdentityError::Malformed("signature is not 64 bytes"))?;
        verifier
            .verify(key, &message, bytes)
            .map_err(|_| IdentityError::BadSignature("authorities' statement"))?;
        have += 1;
        next_place = signature.authority.saturating_add(1);
    }
    if have < need { Err(IdentityError::ThresholdNotMet { have, need }) } else { Ok(()) }
}

/// A verified membership: this node belongs to the network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Membership {
    /// Who.
    pub node: NodeId,
    /// Rises with every certificate issued to the node.
    pub serial: u64,
    /// When it holds.
    pub validity: Validity,
}

impl Membership {
    /// Decodes a bare certificate and verifies its signatures. Dates and exclusions are checked apart.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify(bytes: &[u8], network: &NetworkId, genesis: &Genesis) -> Result<Membership, IdentityError> {
        Membership::verify_with(&Verifier::default(), bytes, network, genesis)
    }

    /// The same, with this verifier.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify_with(
        verifier: &Verifier,
        bytes: &[u8],
        network: &NetworkId,
        genesis: &Genesis,
    ) -> Result<Membership, IdentityError> {
        if bytes.len() > MAX_MEMBERSHIP_BYTES {
            return Err(IdentityError::Malformed("membership too long"));
        }
        Membership::from_wire(verifier, &decode(bytes, "membership")?, network, genesis)
    }

    pub(super) fn from_wire(
        verifier: &Verifier,
        endorsed: &wire::Endorsed,
        network: &NetworkId,
        genesis: &Genesis,
    ) -> Result<Membership, IdentityError> {
        let body: wire::MembershipBody = decode(&endorsed.body, "membership")?;
        check_version(body.version, "membership")?;
        let node = NodeId(bytes32(&body.node, "node id is not 32 bytes")?);
        let validity =
            Validity { not_before_s: body.not_before_s, not_after_s: body.not_after_s }.well_formed()?;
        verify(verifier, endorsed, context::MEMBERSHIP, network, genesis)?;
        Ok(Membership { node, serial: body.serial, validity })
    }
}

/// A verified exclusion: memberships of this node up to this serial are void.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exclusion {
    /// Who.
    pub node: NodeId,
    /// The last serial that is void.
    pub up_to_serial: u64,
}

impl Exclusion {
    pub(super) fn from_wire(
        verifier: &Verifier,
        endorsed: &wire::Endorsed,
        network: &NetworkId,
        genesis: &Genesis,
    ) -> Result<Exclusion, IdentityError> {
        let body: wire::ExclusionBody = decode(&endorsed.body, "exclusion")?;
        check_version(body.version, "exclusion")?;
        let node = NodeId(bytes32(&body.node, "node id is not 32 bytes")?);
        verify(verifier, endorsed, context::EXCLUSION, network, genesis)?;
        Ok(Exclusion { node, up_to_serial: body.up_to_serial })
    }
}

/// A verified announcement of a network key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct KeyAnnouncement {
    pub(super) epoch: u32,
    pub(super) key: Secret,
    pub(super) retire_below: u32,
}

impl KeyAnnouncement {
    pub(super) fn from_wire(
        verifier: &Verifier,
        endorsed: &wire::Endorsed,
        network: &NetworkId,
        genesis: &Genesis,
    ) -> Result<KeyAnnouncement, IdentityError> {
        let body: wire::NetworkKeyBody = decode(&endorsed.body, "network key")?;
        check_version(body.version, "network key")?;
        let key =
            Secret::from_slice(&body.key).ok_or(IdentityError::Malformed("network key is not 32 bytes"))?;
        if body.retire_below > body.epoch {
            return Err(IdentityError::Malformed("network key retires itself"));
        }
        verify(verifier, endorsed, context::NETWORK_KEY, network, genesis)?;
        Ok(KeyAnnouncement { epoch: body.epoch, key, retire_below: body.retire_below })
    }
}
