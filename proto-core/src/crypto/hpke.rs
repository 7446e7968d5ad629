//! Sealing to a public key when its owner is away: HPKE (RFC 9180), base mode, DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and
//! ChaCha20Poly1305, one message for each key that is agreed.
//!
//! It hides and protects bytes, and says nothing of who sealed them: whoever needs that signs what was sealed. And who steals
//! the receiver's key opens everything that was ever sealed to it: forward secrecy needs an answer, thus a session.

use alloc::vec::Vec;

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};

use super::dh::{DhSecret, PUBLIC_LEN, SmallOrder};
use crate::rng::Rng;

/// Bytes that sealing adds: the encapsulated key and the tag.
pub const OVERHEAD: usize = ENCAPSULATED_LEN + super::aead::TAG_LEN;
const ENCAPSULATED_LEN: usize = 32;

/// The bytes were not sealed to this key in this context, or were changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("what was sealed does not open")]
pub struct NotOpened;

/// Seals `plain` to the owner of `public`: the encapsulated key, then the ciphertext with its tag. Who opens it has to give the same
/// `info`, which names the purpose, and the same `aad`.
///
/// # Errors
/// [`SmallOrder`]: what is sealed to such a key could be read by everybody.
pub fn seal(
    rng: &mut Rng,
    public: &[u8; PUBLIC_LEN],
    info: &[u8],
    aad: &[u8],
    plain: &[u8],
) -> Result<Vec<u8>, SmallOrder> {
    let public = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(public).map_err(|_| SmallOrder)?;
    let (encapsulated, sealed) = hpke::single_shot_seal_with_rng::<
        ChaCha20Poly1305,
        HkdfSha256,
        X25519HkdfSha256,
    >(&OpModeS::Base, &public, info, plain, aad, rng.generator())
    .map_err(|_| SmallOrder)?;
    let mut bytes = Vec::with_capacity(ENCAPSULATED_LEN + sealed.len());
    bytes.extend_from_slice(&encapsulated.to_bytes());
    bytes.extend_from_slice(&sealed);
    Ok(bytes)
}

/// Opens what [`seal`] made.
///
/// # Errors
/// [`NotOpened`], whatever is wrong with it.
pub fn open(secret: &DhSecret, info: &[u8], aad: &[u8], bytes: &[u8]) -> Result<Vec<u8>, NotOpened> {
    let (encapsulated, sealed) = bytes.split_at_checked(ENCAPSULATED_LEN).ok_or(NotOpened)?;
    let encapsulated =
        <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(encapsulated).map_err(|_| NotOpened)?;
    let key =
        <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(secret.secret().expose()).map_err(|_| NotOpened)?;
    hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &key,
        &encapsulated,
        info,
        sealed,
        aad,
    )
    .map_err(|_| NotOpened)
}

#[cfg(test)]
mod tests;
