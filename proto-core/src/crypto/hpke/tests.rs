use super::*;
use crate::crypto::secret::Secret;
use std::vec;
use std::vec::Vec;

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn secret(text: &str) -> DhSecret {
    DhSecret::from_secret(&Secret::new(unhex(text).try_into().unwrap()))
}

/// RFC 9180, appendix A.2.1: base setup and encryption number 0.
#[test]
fn rfc_9180_appendix_a_2_1() {
    let secret = secret("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb");
    assert_eq!(
        secret.public().to_vec(),
        unhex("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a")
    );
    let info = unhex("4f6465206f6e2061204772656369616e2055726e");
    let bytes = unhex(
        "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a
         1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28",
    );
    let plain = open(&secret, &info, b"Count-0", &bytes).unwrap();
    assert_eq!(plain, b"Beauty is truth, truth beauty");
}

#[test]
fn what_is_sealed_opens_for_its_owner_in_its_context_only() {
    let mut rng = Rng::fork(&[7; 32], "test");
    let owner = secret("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb");
    let other = secret("f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600");
    for len in [0, 1, 1_000, 70_000] {
        let plain = vec![0xa5; len];
        let sealed = seal(&mut rng, &owner.public(), b"info", b"aad", &plain).unwrap();
        assert_eq!(sealed.len(), len + OVERHEAD);
        assert_eq!(open(&owner, b"info", b"aad", &sealed), Ok(plain));
        assert_eq!(open(&other, b"info", b"aad", &sealed), Err(NotOpened));
        assert_eq!(open(&owner, b"inf", b"aad", &sealed), Err(NotOpened));
        assert_eq!(open(&owner, b"info", b"aae", &sealed), Err(NotOpened));
    }
    let twice = [(); 2].map(|()| seal(&mut rng, &owner.public(), b"", b"", b"same").unwrap());
    assert_ne!(twice[0], twice[1]);
}

#[test]
fn whatever_is_changed_or_missing_does_not_open() {
    let mut rng = Rng::fork(&[8; 32], "test");
    let owner = secret("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb");
    let sealed = seal(&mut rng, &owner.public(), b"", b"", b"a letter").unwrap();
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert_eq!(open(&owner, b"", b"", &changed), Err(NotOpened), "byte {at}");
        assert_eq!(open(&owner, b"", b"", &sealed[..at]), Err(NotOpened), "{at} bytes");
    }
}

#[test]
fn nothing_is_sealed_to_a_key_of_small_order() {
    let mut rng = Rng::fork(&[9; 32], "test");
    for first in [0, 1] {
        let mut public = [0; 32];
        public[0] = first;
        assert_eq!(seal(&mut rng, &public, b"", b"", b"for everybody"), Err(SmallOrder));
    }
}
