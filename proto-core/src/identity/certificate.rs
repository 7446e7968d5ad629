//! Device certificates, and the chain of root keys that leads to their signer.

use alloc::vec::Vec;
use prost::Message as _;

use super::error::IdentityError;
use super::signed::{bytes32, check_version, context, decode, verify};
use super::wire;
use crate::crypto::sign::{Verifier, check_key};
use crate::ids::{DeviceId, NodeId};
use crate::time::WallTime;

/// Rotations of a root key that are followed. A node that rotates every year lasts 16 years; then it
/// starts anew under another name.
pub const MAX_ROTATIONS: usize = 16;

/// The largest certificate, with all rotations (about 145 bytes each); without any it has about 190.
pub const MAX_CERTIFICATE_BYTES: usize = 4096;

/// From when to when, in seconds since 1970-01-01 UTC. Zero means no bound on that side.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Validity {
    /// The first second.
    pub not_before_s: u64,
    /// The last second.
    pub not_after_s: u64,
}

impl Validity {
    /// For ever.
    pub const ALWAYS: Validity = Validity { not_before_s: 0, not_after_s: 0 };

    /// Whether it has bounds and the clock was there to check them.
    ///
    /// # Errors
    /// [`IdentityError::NotYetValid`] or [`IdentityError::Expired`], only when the whole interval
    /// that the clock admits to lies outside.
    pub fn check(&self, wall: Option<WallTime>) -> Result<bool, IdentityError> {
        if *self == Validity::ALWAYS {
            return Ok(true);
        }
        let Some(wall) = wall else { return Ok(false) };
        let earliest_us = i128::from(wall.unix_us) - i128::from(wall.error_us);
        let latest_us = i128::from(wall.unix_us) + i128::from(wall.error_us);
        if self.not_before_s != 0 && latest_us < i128::from(self.not_before_s) * 1_000_000 {
            return Err(IdentityError::NotYetValid);
        }
        // The last second is valid to its end.
        if self.not_after_s != 0 && earliest_us >= (i128::from(self.not_after_s) + 1) * 1_000_000 {
            return Err(IdentityError::Expired);
        }
        Ok(true)
    }

    pub(super) fn well_formed(self) -> Result<Validity, IdentityError> {
        if self.not_after_s != 0 && self.not_after_s < self.not_before_s {
            return Err(IdentityError::Malformed("ends before it begins"));
        }
        Ok(self)
    }
}

/// The root keys of a node, from the first to the present one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Chain {
    pub(super) node: NodeId,
    /// At least one.
    pub(super) roots: Vec<[u8; 32]>,
}

impl Chain {
    /// How many rotations led to the present root key.
    pub(super) fn index(&self) -> usize {
        self.roots.len().saturating_sub(1)
    }

    pub(super) fn head(&self) -> Option<&[u8; 32]> {
        self.roots.last()
    }

    /// Verifies the rotations one after another. With none, `signer` is the first root key.
    pub(super) fn follow(
        verifier: &Verifier,
        rotations: &[wire::Signed],
        signer: &[u8],
    ) -> Result<Chain, IdentityError> {
        if rotations.len() > MAX_ROTATIONS {
            return Err(IdentityError::ChainTooLong);
        }
        let first = rotations.first().map_or(signer, |rotation| rotation.signer.as_slice());
        let mut root = bytes32(first, "root key is not 32 bytes")?;
        let node = NodeId::of_root(&root);
        let mut roots = Vec::with_capacity(rotations.len() + 1);
        roots.push(root);
        for (place, rotation) in rotations.iter().enumerate() {
            let body: wire::RotationBody = decode(&rotation.body, "rotation")?;
            check_version(body.version, "rotation")?;
            let next = bytes32(&body.next_root, "root key is not 32 bytes")?;
            let index = u32::try_from(place + 1).map_err(|_| IdentityError::ChainTooLong)?;
            if rotation.signer != root || body.index != index || roots.contains(&next) {
                return Err(IdentityError::ChainBroken);
            }
            verify(verifier, rotation, context::ROTATION, &node, "rotation")?;
            root = next;
            roots.push(root);
        }
        if signer == root { Ok(Chain { node, roots }) } else { Err(IdentityError::ChainBroken) }
    }

    /// Verifies rotations that stand alone: at least one.
    pub(super) fn of_rotations(
        verifier: &Verifier,
        rotations: &[wire::Signed],
    ) -> Result<Chain, IdentityError> {
        let last = rotations.last().ok_or(IdentityError::Malformed("no rotation"))?;
        let body: wire::RotationBody = decode(&last.body, "rotation")?;
        Chain::follow(verifier, rotations, &body.next_root)
    }
}

/// The root keys that a node has been seen to have, to hold what it shows later against them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Roots {
    /// Every one so far when there were rotations; else empty, since the name tells the first.
    keys: Vec<[u8; 32]>,
}

impl Roots {
    pub(super) fn of(chain: &Chain) -> Roots {
        Roots { keys: if chain.index() == 0 { Vec::new() } else { chain.roots.clone() } }
    }

    /// How many rotations are known.
    pub(super) fn index(&self) -> usize {
        self.keys.len().saturating_sub(1)
    }

    /// As far as both go, the known keys and those shown later must be the same. Then the longer chain is
    /// the truth.
    pub(super) fn check_fork(&self, shown: &Roots) -> Result<(), IdentityError> {
        let same = self.keys.iter().zip(&shown.keys).all(|(known, shown)| known == shown);
        if same { Ok(()) } else { Err(IdentityError::Forked) }
    }

    /// Whether the last of the keys `shown` for the same node may certify for it still.
    ///
    /// # Errors
    /// [`IdentityError::Superseded`] when a later one is known, [`IdentityError::Forked`] when another one.
    pub fn check_latest(&self, shown: &Roots) -> Result<(), IdentityError> {
        self.check_fork(shown)?;
        if shown.index() < self.index() { Err(IdentityError::Superseded) } else { Ok(()) }
    }

    /// Goes on to the keys `shown`, which have been checked, if there are more of them.
    pub(super) fn advance(&mut self, shown: &Roots) {
        if shown.index() > self.index() {
            self.keys.clone_from(&shown.keys);
        }
    }
}

/// A verified certificate: this device acts for this node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceCertificate {
    /// Whose device.
    pub node: NodeId,
    /// Which.
    pub device: DeviceId,
    /// Its Ed25519 key.
    pub sign_key: [u8; 32],
    /// Its X25519 key.
    pub dh_key: [u8; 32],
    /// Rises with every certificate that the root issues.
    pub serial: u64,
    /// When it holds.
    pub validity: Validity,
    pub(super) chain: Chain,
    pub(super) rotations: Vec<wire::Signed>,
}

impl DeviceCertificate {
    /// Decodes a certificate and verifies every signature in it. Dates and revocations are checked
    /// apart, since they change while the bytes do not.
    ///
    /// # Errors
    /// What is wrong with it. The work is bounded: one signature for the device and one for each of
    /// at most [`MAX_ROTATIONS`] rotations.
    pub fn verify(bytes: &[u8]) -> Result<DeviceCertificate, IdentityError> {
        DeviceCertificate::verify_with(&Verifier::default(), bytes)
    }

    /// The same, with this verifier.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn verify_with(verifier: &Verifier, bytes: &[u8]) -> Result<DeviceCertificate, IdentityError> {
        if bytes.len() > MAX_CERTIFICATE_BYTES {
            return Err(IdentityError::Malformed("certificate too long"));
        }
        let certificate: wire::Certificate = decode(bytes, "certificate")?;
        let signed = certificate.device.ok_or(IdentityError::Malformed("certificate without device"))?;
        let body: wire::DeviceBody = decode(&signed.body, "device")?;
        check_version(body.version, "device certificate")?;
        let sign_key = bytes32(&body.sign_key, "device key is not 32 bytes")?;
        let dh_key = bytes32(&body.dh_key, "device key is not 32 bytes")?;
        let validity =
            Validity { not_before_s: body.not_before_s, not_after_s: body.not_after_s }.well_formed()?;
        let chain = Chain::follow(verifier, &certificate.rotations, &signed.signer)?;
        verify(verifier, &signed, context::DEVICE, &chain.node, "device certificate")?;
        check_key(&sign_key).map_err(|_| IdentityError::Malformed("device key is not usable"))?;
        Ok(DeviceCertificate {
            node: chain.node,
            device: DeviceId::of_key(&sign_key),
            sign_key,
            dh_key,
            serial: body.serial,
            validity,
            chain,
            rotations: certificate.rotations,
        })
    }

    /// The root key that signed it.
    #[must_use]
    pub fn root(&self) -> [u8; 32] {
        self.chain.head().copied().unwrap_or_default()
    }

    /// The rotations in it as a statement of their own, for others to learn; `None` when the node
    /// never rotated.
    pub(super) fn rotation_statement(&self) -> Option<Vec<u8>> {
        if self.rotations.is_empty() {
            return None;
        }
        let rotations = wire::Rotations { rotations: self.rotations.clone() };
        Some(wire::Statement { kind: Some(wire::statement::Kind::Rotations(rotations)) }.encode_to_vec())
    }
}
