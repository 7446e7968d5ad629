//! The limits: what the ciphers and the curve reach with nothing around them.

use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::measure::Subject;

const BATCH: u64 = 200;

/// Sealing and opening `len` bytes in place with ring, associated data of a header included.
pub(crate) fn ring_aead(name: &'static str, len: usize) -> Subject {
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &[7; 32]).expect("32 bytes"));
    let mut buf = vec![0; len + 16];
    let mut counter = 0u64;
    Subject::simple(name, move || {
        for _ in 0..BATCH {
            counter += 1;
            let mut nonce = [0; 12];
            nonce[4..].copy_from_slice(&counter.to_le_bytes());
            let (text, tag_place) = buf.split_at_mut(len);
            let sealed =
                key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from([1; 6]), text);
            tag_place.copy_from_slice(sealed.expect("a short text").as_ref());
            key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from([1; 6]), &mut buf)
                .expect("authentic");
        }
        BATCH
    })
}

/// The same with the pure-Rust crate.
pub(crate) fn pure_aead(name: &'static str, len: usize) -> Subject {
    let key = ChaCha20Poly1305::new(&[7; 32].into());
    let mut text = vec![0; len];
    let mut counter = 0u64;
    Subject::simple(name, move || {
        for _ in 0..BATCH {
            counter += 1;
            let mut nonce = [0; 12];
            nonce[4..].copy_from_slice(&counter.to_le_bytes());
            let nonce = (&nonce).into();
            let tag =
                key.encrypt_inout_detached(nonce, &[1; 6], text.as_mut_slice().into()).expect("a short text");
            key.decrypt_inout_detached(nonce, &[1; 6], text.as_mut_slice().into(), &tag).expect("authentic");
        }
        BATCH
    })
}

/// The curve operations of one Noise IK handshake, both sides: two new keys and eight agreements.
pub(crate) fn curve(name: &'static str) -> Subject {
    let secret = StaticSecret::from([5; 32]);
    let public = PublicKey::from(&StaticSecret::from([6; 32]));
    Subject::simple(name, move || {
        for byte in 0..2 {
            std::hint::black_box(PublicKey::from(&StaticSecret::from([byte; 32])));
        }
        for _ in 0..8 {
            std::hint::black_box(secret.diffie_hellman(&public));
        }
        1
    })
}
