//! ChaCha20-Poly1305 (RFC 8439): the one way in which anything is encrypted here.
//!
//! Two backends give the same bytes. The pure-Rust one builds everywhere and is the default; feature
//! `ring` takes ring's assembly, which is two to three times faster on servers. Nothing above this
//! module can tell which one runs, and the differential test below holds them to it.
//!
//! Sealing and opening happen in place and allocate nothing: a packet is encrypted in the buffer
//! that it is sent from.

#[cfg(any(test, not(feature = "ring")))]
mod pure;
#[cfg(feature = "ring")]
mod ring;

#[cfg(not(feature = "ring"))]
use pure as backend;
#[cfg(feature = "ring")]
use ring as backend;

/// Length in bytes of the authentication tag.
pub const TAG_LEN: usize = 16;
/// Length in bytes of a key.
pub const KEY_LEN: usize = 32;
/// Length in bytes of a nonce.
pub const NONCE_LEN: usize = 12;

/// What was opened is not what was sealed under this key, nonce and associated data, or the buffer
/// is shorter than a tag. The buffer's content is then meaningless.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("does not authenticate")]
pub struct Forged;

/// A key, ready for use. Erased when dropped.
pub struct Key(backend::Key);

impl Key {
    /// Prepares a key.
    #[must_use]
    pub fn new(bytes: &[u8; KEY_LEN]) -> Key {
        Key(backend::Key::new(bytes))
    }

    /// Encrypts all of `buf` but its last [`TAG_LEN`] bytes, where it puts the tag over `aad` and the
    /// ciphertext. A nonce must never be used twice under one key.
    ///
    /// # Errors
    /// [`Forged`] when `buf` has no room for the tag; it is unchanged then.
    #[inline]
    pub fn seal_in_place(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], buf: &mut [u8]) -> Result<(), Forged> {
        let len = buf.len().checked_sub(TAG_LEN).ok_or(Forged)?;
        let (text, tag) = buf.split_at_mut_checked(len).ok_or(Forged)?;
        let tag: &mut [u8; TAG_LEN] = tag.try_into().map_err(|_| Forged)?;
        *tag = self.0.seal(nonce, aad, text).ok_or(Forged)?;
        Ok(())
    }

    /// Checks and decrypts `buf`, ciphertext and tag, and gives the plaintext at its start.
    ///
    /// # Errors
    /// [`Forged`] when anything differs from what was sealed.
    #[inline]
    pub fn open_in_place<'b>(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        buf: &'b mut [u8],
    ) -> Result<&'b mut [u8], Forged> {
        let len = buf.len().checked_sub(TAG_LEN).ok_or(Forged)?;
        let (text, tag) = buf.split_at_mut_checked(len).ok_or(Forged)?;
        let tag: &[u8; TAG_LEN] = (&*tag).try_into().map_err(|_| Forged)?;
        if self.0.open(nonce, aad, text, tag) { Ok(text) } else { Err(Forged) }
    }

    /// As [`Key::open_in_place`], with the tag apart from the ciphertext.
    ///
    /// # Errors
    /// [`Forged`] when anything differs from what was sealed.
    #[inline]
    pub fn open_detached(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), Forged> {
        if self.0.open(nonce, aad, text, tag) { Ok(()) } else { Err(Forged) }
    }
}

impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests;
