//! One body, one key, one signature; and the names that follow from keys.

use alloc::vec::Vec;

use super::error::IdentityError;
use super::wire;
use crate::crypto::hash::derive;
use crate::crypto::sign::{SigningKey, Verifier};
use crate::ids::{DeviceId, NetworkId, NodeId};

/// What a signature is for. Two purposes never share a context.
pub(super) mod context {
    pub(in crate::identity) const DEVICE: &str = "thallus device certificate v1";
    pub(in crate::identity) const ROTATION: &str = "thallus root rotation v1";
    pub(in crate::identity) const REVOCATION: &str = "thallus revocation v1";
    pub(in crate::identity) const MEMBERSHIP: &str = "thallus membership v1";
    pub(in crate::identity) const EXCLUSION: &str = "thallus exclusion v1";
    pub(in crate::identity) const NETWORK_KEY: &str = "thallus network key v1";
}

impl NodeId {
    /// The name of the node whose first root key is `root`.
    #[must_use]
    pub fn of_root(root: &[u8; 32]) -> NodeId {
        NodeId(derive("thallus node id v1", &[root]))
    }
}

impl DeviceId {
    /// The name of the device with this Ed25519 key. Unique within its node: nothing stops another
    /// node from certifying a key that it does not hold.
    #[must_use]
    pub fn of_key(sign_key: &[u8; 32]) -> DeviceId {
        DeviceId(derive("thallus device id v1", &[sign_key]))
    }
}

impl NetworkId {
    /// The name of the network with these genesis bytes, exactly as received.
    #[must_use]
    pub fn of_genesis(bytes: &[u8]) -> NetworkId {
        NetworkId(derive("thallus network id v1", &[bytes]))
    }
}

/// The bytes under a signature: context, a zero byte, the subject, the body as received.
///
/// The subject (a node's or network's id) is not sent again: whoever verifies knows it. A statement
/// moved to another node or network therefore fails without costing a byte on the radio.
#[must_use]
pub fn signed_bytes(context: &str, subject: &[u8; 32], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(context.len() + 33 + body.len());
    bytes.extend_from_slice(context.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(subject);
    bytes.extend_from_slice(body);
    bytes
}

pub(super) fn sign(key: &SigningKey, context: &str, subject: &NodeId, body: Vec<u8>) -> wire::Signed {
    let signature = key.sign(&signed_bytes(context, &subject.0, &body));
    wire::Signed { signer: key.public().to_vec(), signature: signature.to_vec(), body }
}

/// Checks that `signer` signed; the caller checks who that is.
pub(super) fn verify(
    verifier: &Verifier,
    signed: &wire::Signed,
    context: &'static str,
    subject: &NodeId,
    what: &'static str,
) -> Result<(), IdentityError> {
    let signer = bytes32(&signed.signer, "signer is not 32 bytes")?;
    let signature = signed
        .signature
        .as_slice()
        .try_into()
        .map_err(|_| IdentityError::Malformed("signature is not 64 bytes"))?;
    let message = signed_bytes(context, &subject.0, &signed.body);
    verifier.verify(&signer, &message, signature).map_err(|_| IdentityError::BadSignature(what))
}

pub(super) fn bytes32(bytes: &[u8], what: &'static str) -> Result<[u8; 32], IdentityError> {
    bytes.try_into().map_err(|_| IdentityError::Malformed(what))
}

/// Bodies of version 1 are understood. Zero is what a missing field reads as.
pub(super) fn check_version(version: u32, what: &'static str) -> Result<(), IdentityError> {
    match version {
        0 => Err(IdentityError::Malformed("no version")),
        1 => Ok(()),
        _ => Err(IdentityError::NewerVersion(what)),
    }
}

pub(super) fn decode<M: prost::Message + Default>(
    bytes: &[u8],
    what: &'static str,
) -> Result<M, IdentityError> {
    M::decode(bytes).map_err(|_| IdentityError::Malformed(what))
}
