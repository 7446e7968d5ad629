//! Ed25519 signatures (RFC 8032), verified strictly: no small-order keys, no second form of a signature.

use alloc::boxed::Box;
use core::fmt;
use ed25519_dalek::Signer as _;

use super::hash;
use super::secret::Secret;

/// Length in bytes of a public key.
pub const PUBLIC_LEN: usize = 32;
/// Length in bytes of a signature.
pub const SIGNATURE_LEN: usize = 64;

/// The bytes are not a usable public key: no point of the curve, or one of small order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a usable Ed25519 public key")]
pub struct InvalidKey;

/// The signature was not made by this key over these bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

/// A signing key. Erased when dropped.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key made from 32 secret random bytes (RFC 8032 calls them the private key).
    #[must_use]
    pub fn from_secret(secret: &Secret) -> SigningKey {
        SigningKey(ed25519_dalek::SigningKey::from_bytes(secret.expose()))
    }

    /// The 32 secret bytes it was made from.
    #[must_use]
    pub fn secret(&self) -> Secret {
        Secret::new(*self.0.as_bytes())
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> [u8; PUBLIC_LEN] {
        self.0.verifying_key().to_bytes()
    }

    /// Signs `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// Whether `public` is a point of the curve and not of small order.
///
/// # Errors
/// [`InvalidKey`] when it is not.
pub fn check_key(public: &[u8; PUBLIC_LEN]) -> Result<(), InvalidKey> {
    parse(public).map(|_| ())
}

/// Verifies a signature over `message`.
///
/// # Errors
/// [`BadSignature`] when it was not made by `public` over exactly these bytes, or when `public` is no
/// usable key.
pub fn verify(
    public: &[u8; PUBLIC_LEN],
    message: &[u8],
    signature: &[u8; SIGNATURE_LEN],
) -> Result<(), BadSignature> {
    let key = parse(public).map_err(|InvalidKey| BadSignature)?;
    let signature = ed25519_dalek::Signature::from_bytes(signature);
    key.verify_strict(message, &signature).map_err(|_| BadSignature)
}

/// How signatures of others are verified: by [`verify`], each time, unless it was given a memory.
///
/// In a village of eight hundred each reads every letter's seal for himself, at his own expense: that is the
/// point of seals, and real shells leave this at [`Verifier::default`]. In the simulator one processor reads for
/// all eight hundred, and the same seal on the same letter is the same every time. There what was verified for
/// one node need not be verified again for the others. What a node does never depends on it: the answer is the
/// one that verifying would have given, found faster.
///
/// Only what has verified is remembered, under BLAKE3 of key, signature and message, so an answer from
/// memory is about exactly these bytes. A bad signature is verified, and refused, each time.
///
/// Refused design: a fake signature scheme for simulations. It hides real faults.
#[derive(Debug, Default)]
pub struct Verifier {
    memory: Option<Box<dyn VerifiedMemory>>,
}

/// Digests of signatures that have verified. It may forget any of them at any time.
pub trait VerifiedMemory: Send + Sync + fmt::Debug {
    /// Whether this digest was remembered, and has not been forgotten since.
    fn is_known(&self, digest: &[u8; 32]) -> bool;
    /// Remembers a digest.
    fn remember(&self, digest: [u8; 32]);
    /// Another handle of the same memory. Refused design: an `Arc` around the trait object, which does not
    /// exist on processors without compare-and-swap; whoever has a memory counts its handles himself.
    fn share(&self) -> Box<dyn VerifiedMemory>;
}

impl Verifier {
    /// A verifier that asks this memory first.
    #[must_use]
    pub fn remembering(memory: Box<dyn VerifiedMemory>) -> Verifier {
        Verifier { memory: Some(memory) }
    }

    /// [`verify`], or the memory of it.
    ///
    /// # Errors
    /// As [`verify`].
    pub fn verify(
        &self,
        public: &[u8; PUBLIC_LEN],
        message: &[u8],
        signature: &[u8; SIGNATURE_LEN],
    ) -> Result<(), BadSignature> {
        let Some(memory) = &self.memory else { return verify(public, message, signature) };
        let digest = hash::derive("thallus verified signature v1", &[public, signature, message]);
        if !memory.is_known(&digest) {
            verify(public, message, signature)?;
            memory.remember(digest);
        }
        Ok(())
    }
}

impl Clone for Verifier {
    fn clone(&self) -> Verifier {
        Verifier { memory: self.memory.as_ref().map(|memory| memory.share()) }
    }
}

fn parse(public: &[u8; PUBLIC_LEN]) -> Result<ed25519_dalek::VerifyingKey, InvalidKey> {
    let key = ed25519_dalek::VerifyingKey::from_bytes(public).map_err(|_| InvalidKey)?;
    if key.is_weak() { Err(InvalidKey) } else { Ok(key) }
}
