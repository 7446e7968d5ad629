//! BLAKE3: derivation under a context, and a short keyed tag.
//!
//! The parts of an input are hashed one after another without separators. So that two different
//! inputs can never look alike, every part but the last must have a length fixed by the context.

use subtle::ConstantTimeEq;

/// Length in bytes of [`mac`]'s tag.
pub const MAC_LEN: usize = 16;

/// BLAKE3 in `derive_key` mode over the concatenated `parts`. `context` names the use, once for all
/// time; different contexts give unrelated outputs.
#[must_use]
pub fn derive(context: &'static str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// Keyed BLAKE3 over the concatenated `parts`, cut to 16 bytes.
#[must_use]
pub fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; MAC_LEN] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for part in parts {
        hasher.update(part);
    }
    let mut tag = [0; MAC_LEN];
    hasher.finalize_xof().fill(&mut tag);
    tag
}

/// Whether two byte strings are the same. Takes the same time wherever they differ; a difference in
/// length is no secret.
#[must_use]
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}
