use super::*;
use std::vec::Vec;

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// RFC 8439, section 2.8.2.
#[test]
fn rfc_8439_section_2_8_2() {
    let key: [u8; 32] = core::array::from_fn(|i| 0x80 + i as u8);
    let nonce: [u8; 12] = unhex("070000004041424344454647").try_into().unwrap();
    let aad = unhex("50515253c0c1c2c3c4c5c6c7");
    let text: &[u8] = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
    let expected = unhex(
        "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b
         1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc
         3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691",
    );
    let mut buf = text.to_vec();
    buf.resize(text.len() + TAG_LEN, 0);
    Key::new(&key).seal_in_place(&nonce, &aad, &mut buf).unwrap();
    assert_eq!(buf, expected);
    assert_eq!(Key::new(&key).open_in_place(&nonce, &aad, &mut buf).unwrap(), text);
}

/// RFC 8439, appendix A.5: decryption.
#[test]
fn rfc_8439_appendix_a_5() {
    let key: [u8; 32] =
        unhex("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0").try_into().unwrap();
    let nonce: [u8; 12] = unhex("000000000102030405060708").try_into().unwrap();
    let aad = unhex("f33388860000000000004e91");
    let mut buf = unhex(
        "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d26b0
         bdb7b73c321b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c855
         9797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c767b804d46a59b5216cde7a4e9
         9040c5a40433225ee282a1b0a06c523eaf4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a
         0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a1049e617d91d361094fa68f0ff77987130
         305beaba2eda04df997b714d6c6f2c29a6ad5cb4022b02709beead9d67890cbb22392336fea1851f38",
    );
    let text = Key::new(&key).open_in_place(&nonce, &aad, &mut buf).unwrap();
    assert!(text.starts_with(b"Internet-Drafts are draft documents valid for a maximum of six months"));
}

#[test]
fn every_flipped_bit_and_every_truncation_is_refused() {
    let key = Key::new(&[7; 32]);
    let mut sealed = [5u8; 40];
    key.seal_in_place(&[1; 12], b"header", &mut sealed).unwrap();
    for bit in 0..sealed.len() * 8 {
        let mut bad = sealed;
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(key.open_in_place(&[1; 12], b"header", &mut bad).err(), Some(Forged), "bit {bit}");
    }
    for len in 0..sealed.len() {
        assert!(key.open_in_place(&[1; 12], b"header", &mut sealed.to_vec()[..len]).is_err(), "length {len}");
    }
    assert!(key.open_in_place(&[1; 12], b"heades", &mut sealed.clone()).is_err());
    assert!(key.open_in_place(&[2; 12], b"header", &mut sealed.clone()).is_err());
    assert!(key.open_in_place(&[1; 12], b"header", &mut sealed).is_ok());
    assert!(key.seal_in_place(&[1; 12], b"", &mut [0; TAG_LEN - 1]).is_err());
}

/// Both backends, on random keys, nonces, associated data and texts of every length to 300 and some above.
#[cfg(feature = "ring")]
#[test]
fn both_backends_give_the_same_bytes() {
    let mut rng = crate::rng::Rng::fork(&[9; 32], "aead differential");
    for len in (0..300).chain([1_200, 1_400, 9_000, 65_507]) {
        let (mut key, mut nonce, mut aad) = ([0; 32], [0; 12], std::vec![0; rng.below(40) as usize]);
        rng.fill(&mut key);
        rng.fill(&mut nonce);
        rng.fill(&mut aad);
        let mut text = std::vec![0; len];
        rng.fill(&mut text);
        let (mut by_pure, mut by_ring) = (text.clone(), text.clone());
        let pure_tag = pure::Key::new(&key).seal(&nonce, &aad, &mut by_pure).unwrap();
        let ring_tag = ring::Key::new(&key).seal(&nonce, &aad, &mut by_ring).unwrap();
        assert_eq!((&by_pure, pure_tag), (&by_ring, ring_tag), "length {len}");
        assert!(pure::Key::new(&key).open(&nonce, &aad, &mut by_ring, &ring_tag));
        assert!(ring::Key::new(&key).open(&nonce, &aad, &mut by_pure, &pure_tag));
        assert_eq!((&by_pure, &by_ring), (&text, &text));
        let mut wrong = pure_tag;
        wrong[len % 16] ^= 1;
        assert!(!pure::Key::new(&key).open(&nonce, &aad, &mut by_pure, &wrong));
        assert!(!ring::Key::new(&key).open(&nonce, &aad, &mut by_ring, &wrong));
    }
}
