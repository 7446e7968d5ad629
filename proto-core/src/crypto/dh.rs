//! X25519 Diffie-Hellman (RFC 7748).

use core::fmt;

use super::secret::Secret;

/// Length in bytes of a public key.
pub const PUBLIC_LEN: usize = 32;

/// The other side's key has small order: the shared secret would be known to everybody.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("X25519 public key of small order")]
pub struct SmallOrder;

/// A secret key. Erased when dropped.
#[derive(Clone)]
pub struct DhSecret(x25519_dalek::StaticSecret);

impl DhSecret {
    /// The key made from 32 secret random bytes, clamped as RFC 7748 asks when it is used.
    #[must_use]
    pub fn from_secret(secret: &Secret) -> DhSecret {
        DhSecret(x25519_dalek::StaticSecret::from(*secret.expose()))
    }

    /// The 32 secret bytes it was made from.
    #[must_use]
    pub fn secret(&self) -> Secret {
        Secret::new(*self.0.as_bytes())
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> [u8; PUBLIC_LEN] {
        x25519_dalek::PublicKey::from(&self.0).to_bytes()
    }

    /// The secret shared with the owner of `public`.
    ///
    /// # Errors
    /// [`SmallOrder`] when the result would be zero whatever our key is (RFC 7748, section 6.1).
    pub fn agree(&self, public: &[u8; PUBLIC_LEN]) -> Result<Secret, SmallOrder> {
        let shared = self.0.diffie_hellman(&x25519_dalek::PublicKey::from(*public));
        if shared.was_contributory() { Ok(Secret::new(*shared.as_bytes())) } else { Err(SmallOrder) }
    }
}

impl fmt::Debug for DhSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DhSecret(..)")
    }
}
