//! Ed25519 signatures (RFC 8032), verified strictly: no small-order keys, no second form of a signature.

use core::fmt;
use ed25519_dalek::Signer as _;

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

fn parse(public: &[u8; PUBLIC_LEN]) -> Result<ed25519_dalek::VerifyingKey, InvalidKey> {
    let key = ed25519_dalek::VerifyingKey::from_bytes(public).map_err(|_| InvalidKey)?;
    if key.is_weak() { Err(InvalidKey) } else { Ok(key) }
}
