//! The secrets: a node's root key and a device's two keys, and what only they can write.

use alloc::vec::Vec;
use bytes::Bytes;
use prost::Message as _;

use super::certificate::{Chain, MAX_ROTATIONS, Validity};
use super::error::IdentityError;
use super::revocations::RevocationList;
use super::signed::{context, decode, sign};
use super::wire::{self, statement::Kind};
use crate::crypto::dh::DhSecret;
use crate::crypto::secret::Secret;
use crate::crypto::sign::{SigningKey, Verifier};
use crate::ids::{DeviceId, NodeId};

/// A device's two key pairs. Erased when dropped.
#[derive(Clone, Debug)]
pub struct DeviceSecrets {
    /// Signs for the device.
    pub sign: SigningKey,
    /// Agrees on session keys.
    pub dh: DhSecret,
}

impl DeviceSecrets {
    /// The device made from two independent secrets of 32 random bytes each.
    #[must_use]
    pub fn new(sign: &Secret, dh: &Secret) -> DeviceSecrets {
        DeviceSecrets { sign: SigningKey::from_secret(sign), dh: DhSecret::from_secret(dh) }
    }

    /// The device's name.
    #[must_use]
    pub fn id(&self) -> DeviceId {
        DeviceId::of_key(&self.sign.public())
    }
}

/// A node's root key with the rotations that led to it. May be kept offline: it is needed only to
/// certify, to revoke and to rotate.
#[derive(Clone, Debug)]
pub struct RootKey {
    key: SigningKey,
    node: NodeId,
    rotations: Vec<wire::Signed>,
}

impl RootKey {
    /// The first root key of a new node, made from 32 random bytes.
    #[must_use]
    pub fn new(secret: &Secret) -> RootKey {
        let key = SigningKey::from_secret(secret);
        let node = NodeId::of_root(&key.public());
        RootKey { key, node, rotations: Vec::new() }
    }

    /// The root key with this secret that `rotations` (as [`RootKey::rotations`] gives them) lead to.
    ///
    /// # Errors
    /// When they do not lead to it.
    pub fn with_rotations(secret: &Secret, rotations: &[u8]) -> Result<RootKey, IdentityError> {
        let key = SigningKey::from_secret(secret);
        let rotations = decode::<wire::Rotations>(rotations, "rotations")?.rotations;
        let node = Chain::follow(&Verifier::default(), &rotations, &key.public())?.node;
        Ok(RootKey { key, node, rotations })
    }

    /// Whose root key this is.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.key.public()
    }

    /// The secret it was made from.
    #[must_use]
    pub fn secret(&self) -> Secret {
        self.key.secret()
    }

    /// The rotations that led to it, encoded; empty when there were none.
    #[must_use]
    pub fn rotations(&self) -> Vec<u8> {
        wire::Rotations { rotations: self.rotations.clone() }.encode_to_vec()
    }

    /// A certificate for the device with these public keys. `serial` must be higher than any that
    /// this node has issued.
    #[must_use]
    pub fn certify(&self, sign_key: [u8; 32], dh_key: [u8; 32], serial: u64, validity: Validity) -> Bytes {
        let body = wire::DeviceBody {
            version: 1,
            sign_key: sign_key.to_vec(),
            dh_key: dh_key.to_vec(),
            serial,
            not_before_s: validity.not_before_s,
            not_after_s: validity.not_after_s,
        };
        let device = sign(&self.key, context::DEVICE, &self.node, body.encode_to_vec());
        let certificate = wire::Certificate { device: Some(device), rotations: self.rotations.clone() };
        certificate.encode_to_vec().into()
    }

    /// Replaces this root key by the one made from `next`. The node keeps its name. Everything that
    /// the old key signed is void for whoever has seen the rotation: devices have to be certified again.
    ///
    /// # Errors
    /// [`IdentityError::ChainTooLong`] after [`MAX_ROTATIONS`], [`IdentityError::ChainBroken`] when
    /// `next` was a root key of this node before. The old key is still in use then.
    pub fn rotate(&self, next: &Secret) -> Result<RootKey, IdentityError> {
        if self.rotations.len() >= MAX_ROTATIONS {
            return Err(IdentityError::ChainTooLong);
        }
        let key = SigningKey::from_secret(next);
        let index = u32::try_from(self.rotations.len() + 1).map_err(|_| IdentityError::ChainTooLong)?;
        let body = wire::RotationBody { version: 1, next_root: key.public().to_vec(), index };
        let mut rotations = self.rotations.clone();
        rotations.push(sign(&self.key, context::ROTATION, &self.node, body.encode_to_vec()));
        Chain::follow(&Verifier::default(), &rotations, &key.public())?;
        Ok(RootKey { key, node: self.node, rotations })
    }

    /// The rotations as a statement for others; `None` when there were none.
    #[must_use]
    pub fn rotation_statement(&self) -> Option<Bytes> {
        if self.rotations.is_empty() {
            return None;
        }
        let rotations = wire::Rotations { rotations: self.rotations.clone() };
        Some(encode(Kind::Rotations(rotations)))
    }

    /// A statement that revokes what `list` names.
    #[must_use]
    pub fn revoke(&self, list: &RevocationList) -> Bytes {
        let list = sign(&self.key, context::REVOCATION, &self.node, list.encode());
        encode(Kind::Revocation(wire::Revocation { list: Some(list), rotations: self.rotations.clone() }))
    }
}

pub(super) fn encode(kind: Kind) -> Bytes {
    wire::Statement { kind: Some(kind) }.encode_to_vec().into()
}
