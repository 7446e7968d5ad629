//! The backend on ring.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};

use super::{KEY_LEN, NONCE_LEN, TAG_LEN};

/// `None` cannot happen: a key of the right length is always accepted. It is kept so that nothing
/// here can panic.
pub(super) struct Key(Option<LessSafeKey>);

impl Key {
    pub(super) fn new(bytes: &[u8; KEY_LEN]) -> Key {
        Key(UnboundKey::new(&CHACHA20_POLY1305, bytes).ok().map(LessSafeKey::new))
    }

    #[inline]
    pub(super) fn seal(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], text: &mut [u8]) -> Option<[u8; TAG_LEN]> {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let tag = self.0.as_ref()?.seal_in_place_separate_tag(nonce, Aad::from(aad), text).ok()?;
        tag.as_ref().try_into().ok()
    }

    #[inline]
    pub(super) fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> bool {
        let Some(key) = &self.0 else { return false };
        let nonce = Nonce::assume_unique_for_key(*nonce);
        key.open_in_place_separate_tag(nonce, Aad::from(aad), Tag::from(*tag), text, 0..).is_ok()
    }
}

/// ring does not erase its keys. Overwriting with another key, and hiding that from the optimiser, does.
impl Drop for Key {
    fn drop(&mut self) {
        self.0 = Key::zero();
        core::hint::black_box(&self.0);
    }
}

impl Key {
    fn zero() -> Option<LessSafeKey> {
        UnboundKey::new(&CHACHA20_POLY1305, &[0; KEY_LEN]).ok().map(LessSafeKey::new)
    }
}
