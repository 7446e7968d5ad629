use std::boxed::Box;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::vec::Vec;

use super::dh::{DhSecret, SmallOrder};
use super::password::{Cost, StretchError, stretch};
use super::secret::Secret;
use super::sign::{
    BadSignature, InvalidKey, PUBLIC_LEN, SIGNATURE_LEN, SigningKey, VerifiedMemory, Verifier, check_key,
    verify,
};
use super::{dh, hash};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}

fn hex32(text: &str) -> [u8; 32] {
    hex(text).try_into().unwrap()
}

/// RFC 8032, section 7.1: secret, public, message, signature of tests 1, 2, 3 and "SHA(abc)".
const RFC_8032: [[&str; 4]; 4] = [
    [
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ],
    [
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ],
    [
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ],
    [
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ],
];

#[test]
fn signatures_match_rfc_8032() {
    for [secret, public, message, signature] in RFC_8032 {
        let key = SigningKey::from_secret(&Secret::new(hex32(secret)));
        assert_eq!(key.public(), hex32(public));
        let made = key.sign(&hex(message));
        assert_eq!(made.as_slice(), hex(signature));
        assert_eq!(verify(&key.public(), &hex(message), &made), Ok(()));
        assert_eq!(key.secret(), Secret::new(hex32(secret)));
    }
}

#[test]
fn a_changed_bit_anywhere_breaks_the_signature() {
    let key = SigningKey::from_secret(&Secret::new([7; 32]));
    let message = *b"the bytes that were signed";
    let signature = key.sign(&message);
    for bit in 0..message.len() * 8 {
        let mut changed = message;
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(verify(&key.public(), &changed, &signature), Err(BadSignature));
    }
    for bit in 0..signature.len() * 8 {
        let mut changed = signature;
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(verify(&key.public(), &message, &changed), Err(BadSignature));
    }
}

/// The same signature with the group order added to its second half verifies under loose rules.
#[test]
fn a_second_form_of_a_signature_is_refused() {
    let key = SigningKey::from_secret(&Secret::new([7; 32]));
    let mut signature = key.sign(b"message");
    let order = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut carry = 0u16;
    for (byte, add) in signature[32..].iter_mut().zip(order) {
        carry += u16::from(*byte) + u16::from(add);
        *byte = carry as u8;
        carry >>= 8;
    }
    assert_eq!(verify(&key.public(), b"message", &signature), Err(BadSignature));
}

#[test]
fn small_order_and_off_curve_keys_are_refused() {
    let mut identity = [0; 32];
    identity[0] = 1;
    let off_curve = hex32("0200000000000000000000000000000000000000000000000000000000000000");
    for bad in [identity, [0; 32], off_curve] {
        assert_eq!(check_key(&bad), Err(InvalidKey));
    }
    // With the identity as key, R = identity and s = 0 "sign" every message under loose rules.
    let mut forged = [0; 64];
    forged[0] = 1;
    assert_eq!(verify(&identity, b"anything", &forged), Err(BadSignature));
}

/// Remembers for ever, and what it was asked for.
#[derive(Clone, Debug, Default)]
struct Notebook {
    known: Arc<Mutex<BTreeSet<[u8; 32]>>>,
    asked: Arc<Mutex<Vec<[u8; 32]>>>,
}

impl Notebook {
    /// How many are known, and how often one was asked for that was.
    fn counts(&self) -> (usize, usize) {
        let (known, asked) = (self.known.lock().unwrap(), self.asked.lock().unwrap());
        (known.len(), asked.len() - asked.iter().collect::<BTreeSet<_>>().len())
    }
}

impl VerifiedMemory for Notebook {
    fn is_known(&self, digest: &[u8; 32]) -> bool {
        self.asked.lock().unwrap().push(*digest);
        self.known.lock().unwrap().contains(digest)
    }
    fn remember(&self, digest: [u8; 32]) {
        self.known.lock().unwrap().insert(digest);
    }
    fn share(&self) -> Box<dyn VerifiedMemory> {
        Box::new(self.clone())
    }
}

fn flipped<const N: usize>(bytes: &[u8; N], bit: usize) -> [u8; N] {
    let mut changed = *bytes;
    changed[bit / 8] ^= 1 << (bit % 8);
    changed
}

#[test]
fn a_verified_signature_is_remembered_for_all_clones_of_the_verifier() {
    let (key, notebook) = (SigningKey::from_secret(&Secret::new([7; 32])), Notebook::default());
    let signature = key.sign(b"message");
    let verifier = Verifier::remembering(notebook.share());
    assert_eq!(verifier.verify(&key.public(), b"message", &signature), Ok(()));
    assert_eq!(notebook.counts(), (1, 0));
    assert_eq!(verifier.clone().verify(&key.public(), b"message", &signature), Ok(()));
    assert_eq!(notebook.counts(), (1, 1));
    assert_eq!(Verifier::default().verify(&key.public(), b"message", &signature), Ok(()));
    assert_eq!(notebook.counts(), (1, 1), "the default asks nobody");
}

#[test]
fn a_bad_signature_is_never_remembered_and_fails_each_time() {
    let (key, notebook) = (SigningKey::from_secret(&Secret::new([7; 32])), Notebook::default());
    let verifier = Verifier::remembering(notebook.share());
    let bad = SigningKey::from_secret(&Secret::new([8; 32])).sign(b"message");
    for _ in 0..3 {
        assert_eq!(verifier.verify(&key.public(), b"message", &bad), Err(BadSignature));
        assert_eq!(Verifier::default().verify(&key.public(), b"message", &bad), Err(BadSignature));
    }
    assert_eq!(notebook.counts(), (0, 2));
}

#[test]
fn the_memory_answers_only_for_the_same_key_message_and_signature() {
    let (key, notebook) = (SigningKey::from_secret(&Secret::new([7; 32])), Notebook::default());
    let verifier = Verifier::remembering(notebook.share());
    let (public, message) = (key.public(), *b"the bytes that were signed");
    let signature = key.sign(&message);
    assert_eq!(verifier.verify(&public, &message, &signature), Ok(()));
    let other = SigningKey::from_secret(&Secret::new([8; 32]));
    assert_eq!(verifier.verify(&other.public(), &message, &signature), Err(BadSignature));
    for bit in 0..PUBLIC_LEN * 8 {
        assert_eq!(verifier.verify(&flipped(&public, bit), &message, &signature), Err(BadSignature));
    }
    for bit in 0..message.len() * 8 {
        assert_eq!(verifier.verify(&public, &flipped(&message, bit), &signature), Err(BadSignature));
    }
    for bit in 0..SIGNATURE_LEN * 8 {
        assert_eq!(verifier.verify(&public, &message, &flipped(&signature, bit)), Err(BadSignature));
    }
    assert_eq!(verifier.verify(&public, &message[1..], &signature), Err(BadSignature));
    assert_eq!(notebook.counts(), (1, 0), "each was asked for under a digest of its own");
    assert_eq!(verifier.verify(&public, &message, &signature), Ok(()), "the good one is good still");
    assert_eq!(notebook.counts(), (1, 1));
}

/// RFC 7748, section 6.1: secret and public key of both, and what they share.
#[test]
fn diffie_hellman_matches_rfc_7748() {
    let alice = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
    let bob = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
    let alice = DhSecret::from_secret(&Secret::new(hex32(alice)));
    let bob = DhSecret::from_secret(&Secret::new(hex32(bob)));
    let alice_public = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
    let bob_public = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
    assert_eq!(alice.public(), hex32(alice_public));
    assert_eq!(bob.public(), hex32(bob_public));
    let shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
    assert_eq!(alice.agree(&bob.public()), Ok(Secret::new(hex32(shared))));
    assert_eq!(bob.agree(&alice.public()), Ok(Secret::new(hex32(shared))));
}

/// RFC 7748, section 5.2: both vectors of the function itself.
#[test]
fn scalar_multiplication_matches_rfc_7748() {
    let cases = [
        [
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
        ],
        [
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
        ],
    ];
    for [scalar, point, product] in cases {
        let key = DhSecret::from_secret(&Secret::new(hex32(scalar)));
        assert_eq!(key.agree(&hex32(point)), Ok(Secret::new(hex32(product))));
    }
}

#[test]
fn every_small_order_point_is_refused() {
    // The list of https://cr.yp.to/ecdh.html#validate, those below 2^255.
    let points = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    let key = DhSecret::from_secret(&Secret::new([3; 32]));
    for point in points {
        assert_eq!(key.agree(&hex32(point)), Err(SmallOrder), "{point}");
    }
}

/// The context decides, and so does every byte.
#[test]
fn derivation_separates_contexts() {
    let a = hash::derive("one context", &[b"input"]);
    assert_eq!(a, hash::derive("one context", &[b"in", b"put"]));
    assert_ne!(a, hash::derive("another context", &[b"input"]));
    assert_ne!(a, hash::derive("one context", &[b"inpuT"]));
}

#[test]
fn a_mac_is_the_start_of_keyed_blake3() {
    let full = blake3::keyed_hash(&[9; 32], b"some bytes");
    assert_eq!(hash::mac(&[9; 32], &[b"some ", b"bytes"]), full.as_bytes()[..16]);
    assert!(hash::equal(b"same", b"same"));
    assert!(!hash::equal(b"same", b"Same"));
    assert!(!hash::equal(b"same", b"same!"));
}

/// Values made with OpenSSL's Argon2id, another implementation.
#[test]
fn stretching_matches_openssl() {
    let salt: [u8; 16] = core::array::from_fn(|i| i as u8);
    let cost = Cost { memory_kib: 64, passes: 2, lanes: 2 };
    let key = "de59dad55146fdfff0a3be5022102e01dd6a6dd3fac0fb94576669ed7d71f8d6";
    assert_eq!(stretch(b"correct horse battery staple", &salt, cost), Ok(Secret::new(hex32(key))));
    let cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };
    let key = "31ed41e2d73f27fdfe4eb4bec651341e58ba43477051c6fe4adad735d82ee08a";
    assert_eq!(stretch(b"", &salt, cost), Ok(Secret::new(hex32(key))));
}

#[test]
fn stretching_depends_on_everything() {
    let cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };
    let key = stretch(b"password", &[1; 16], cost).unwrap();
    assert_eq!(key, stretch(b"password", &[1; 16], cost).unwrap());
    assert_ne!(key, stretch(b"Password", &[1; 16], cost).unwrap());
    assert_ne!(key, stretch(b"password", &[2; 16], cost).unwrap());
    assert_ne!(key, stretch(b"password", &[1; 16], Cost { passes: 2, ..cost }).unwrap());
    assert_ne!(key, stretch(b"password", &[1; 16], Cost { memory_kib: 16, ..cost }).unwrap());
    let outside = Cost { memory_kib: 7, ..cost };
    assert_eq!(stretch(b"password", &[1; 16], outside), Err(StretchError::OutOfRange));
    assert_eq!(stretch(b"", &[1; 16], Cost { passes: 0, ..cost }), Err(StretchError::OutOfRange));
}

#[test]
fn secrets_are_not_printed() {
    let secret = Secret::new([0xab; 32]);
    let texts = [
        std::format!("{secret:?}"),
        std::format!("{:?}", SigningKey::from_secret(&secret)),
        std::format!("{:?}", DhSecret::from_secret(&secret)),
    ];
    for text in texts {
        assert!(!text.contains("ab") && !text.contains("171"), "{text}");
    }
    assert_eq!(dh::PUBLIC_LEN, DhSecret::from_secret(&secret).public().len());
}
