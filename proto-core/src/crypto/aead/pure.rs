//! The pure-Rust backend.

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};

use super::{KEY_LEN, NONCE_LEN, TAG_LEN};

pub(super) struct Key(ChaCha20Poly1305);

impl Key {
    pub(super) fn new(bytes: &[u8; KEY_LEN]) -> Key {
        Key(ChaCha20Poly1305::new(bytes.into()))
    }

    #[inline]
    pub(super) fn seal(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], text: &mut [u8]) -> Option<[u8; TAG_LEN]> {
        self.0.encrypt_inout_detached(nonce.into(), aad, InOutBuf::from(text)).ok().map(Into::into)
    }

    #[inline]
    pub(super) fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> bool {
        self.0.decrypt_inout_detached(nonce.into(), aad, InOutBuf::from(text), tag.into()).is_ok()
    }
}

/// The crate's own `zeroize` feature would also wipe the cipher state of every packet, which costs
/// time on the path that matters. Overwriting with another key, and hiding that from the optimiser,
/// erases what has to be erased.
impl Drop for Key {
    fn drop(&mut self) {
        self.0 = ChaCha20Poly1305::new(&[0; KEY_LEN].into());
        core::hint::black_box(&self.0);
    }
}
