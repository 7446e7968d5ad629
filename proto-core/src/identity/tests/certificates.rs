use prost::Message as _;

use super::*;
use crate::identity::wire;

#[test]
fn a_peer_is_who_its_certificate_says() {
    let home = Home::new(open_network());
    let peer = home.verify(&certificate(&root(1))).unwrap();
    assert_eq!(peer.node, root(1).node());
    assert_eq!(peer.device, device(10).id());
    assert_eq!(peer.sign_key, device(10).sign.public());
    assert_eq!(peer.dh_key, device(10).dh.public());
    assert_eq!((peer.serial, peer.membership_serial, peer.not_after_s), (5, None, 0));
    assert!(peer.dates_checked);
    assert_eq!(peer.news, None);
}

/// The budget: radios carry this in a handshake.
#[test]
fn a_certificate_has_at_most_200_bytes() {
    let validity = Validity { not_before_s: 1_700_000_000, not_after_s: 1_900_000_000 };
    let longest = certify(&root(1), &device(10), u64::from(u32::MAX), validity);
    assert!(longest.len() <= 200, "{}", longest.len());
    assert!(certificate(&root(1)).len() <= 180);
}

#[test]
fn every_truncation_and_every_flipped_bit_is_an_error() {
    let rotated = root(1).rotate(&secret(2)).unwrap();
    for good in [certificate(&root(1)), certificate(&rotated)] {
        assert!(DeviceCertificate::verify(&good).is_ok());
        for cut in 0..good.len() {
            // A cut exactly between two fields of the outer message leaves a valid certificate of
            // another node: the one that the later root key would have begun.
            if let Ok(other) = DeviceCertificate::verify(&good[..cut]) {
                assert_ne!(other.node, root(1).node(), "cut at {cut}");
            }
        }
        for bit in 0..good.len() * 8 {
            assert!(DeviceCertificate::verify(&flip(&good, bit)).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn dates_refuse_only_what_the_clock_can_prove() {
    let validity = Validity { not_before_s: 1_000, not_after_s: 2_000 };
    let check = |wall| validity.check(wall);
    assert_eq!(check(at(1_500, 0)), Ok(true));
    assert_eq!(check(at(999, 0)), Err(IdentityError::NotYetValid));
    assert_eq!(check(at(1_000, 0)), Ok(true));
    assert_eq!(check(at(2_000, 0)), Ok(true), "the last second is valid to its end");
    assert_eq!(check(at(2_001, 0)), Err(IdentityError::Expired));
    // A clock that admits to an error of 600 s proves nothing within that.
    assert_eq!(check(at(400, 600)), Ok(true));
    assert_eq!(check(at(399, 600)), Err(IdentityError::NotYetValid));
    assert_eq!(check(at(2_600, 600)), Ok(true));
    assert_eq!(check(at(2_601, 600)), Err(IdentityError::Expired));
    // No clock: not checked, and said so.
    assert_eq!(check(None), Ok(false));
    assert_eq!(Validity::ALWAYS.check(None), Ok(true));
    // The ends of every range.
    let never = Validity { not_before_s: u64::MAX, not_after_s: u64::MAX };
    let past = Validity { not_before_s: 0, not_after_s: 1 };
    for unix_us in [i64::MIN, -1, 0, i64::MAX] {
        for error_us in [0, u64::MAX] {
            let wall = Some(WallTime { unix_us, error_us });
            assert_eq!(never.check(wall), Err(IdentityError::NotYetValid));
            assert_eq!(past.check(wall).is_err(), unix_us == i64::MAX && error_us == 0);
        }
    }
}

#[test]
fn dates_reach_the_caller() {
    let home = Home::new(open_network());
    let validity = Validity { not_before_s: 1_000, not_after_s: 2_000 };
    let bytes = certify(&root(1), &device(10), 5, validity);
    let verify = |wall| verify_peer(&bytes, None, &home.network, &home.revocations, wall);
    assert_eq!(verify(at(3_000, 0)), Err(IdentityError::Expired));
    let unknown = verify(None).unwrap();
    assert_eq!((unknown.dates_checked, unknown.not_after_s), (false, 2_000));
    let backwards = certify(&root(1), &device(10), 5, Validity { not_before_s: 2, not_after_s: 1 });
    assert_eq!(home.verify(&backwards), Err(IdentityError::Malformed("ends before it begins")));
}

#[test]
fn rotation_keeps_the_name() {
    let second = root(1).rotate(&secret(2)).unwrap();
    let third = second.rotate(&secret(3)).unwrap();
    assert_eq!(third.node(), root(1).node());
    assert_ne!(third.public(), root(1).public());
    let peer = Home::new(open_network()).verify(&certificate(&third)).unwrap();
    assert_eq!(peer.node, root(1).node());
    assert!(peer.news.is_some(), "the rotations are news to somebody who knew none");
    let again = RootKey::with_rotations(&third.secret(), &third.rotations()).unwrap();
    assert_eq!(certificate(&again), certificate(&third));
    assert!(RootKey::with_rotations(&secret(9), &third.rotations()).is_err());
}

#[test]
fn after_a_rotation_the_old_key_certifies_nothing() {
    let mut home = Home::new(open_network());
    let second = root(1).rotate(&secret(2)).unwrap();
    let news = home.verify(&certificate(&second)).unwrap().news.unwrap();
    assert_eq!(home.install(&news).unwrap().taken, Taken::Rotated(root(1).node()));
    assert_eq!(home.install(&news).unwrap().taken, Taken::Known);
    assert_eq!(home.verify(&certificate(&root(1))), Err(IdentityError::Superseded));
    assert_eq!(home.verify(&certificate(&second)).unwrap().news, None);
    // A longer chain replaces the statement before it; the shorter one changes nothing any more.
    let third = second.rotate(&secret(3)).unwrap();
    let installed = home.install(&third.rotation_statement().unwrap()).unwrap();
    assert_eq!(installed.replaces, [statement_hash(&news)]);
    assert_eq!(home.install(&news).unwrap().taken, Taken::Known);
    assert_eq!(home.verify(&certificate(&second)), Err(IdentityError::Superseded));
}

#[test]
fn a_second_successor_of_one_key_is_refused() {
    let mut home = Home::new(open_network());
    let honest = root(1).rotate(&secret(2)).unwrap();
    let thief = root(1).rotate(&secret(3)).unwrap();
    home.install(&honest.rotation_statement().unwrap()).unwrap();
    assert_eq!(home.install(&thief.rotation_statement().unwrap()), Err(IdentityError::Forked));
    assert_eq!(home.verify(&certificate(&thief)), Err(IdentityError::Forked));
    let longer = thief.rotate(&secret(4)).unwrap();
    assert_eq!(home.verify(&certificate(&longer)), Err(IdentityError::Forked));
}

#[test]
fn chains_are_bounded_and_do_not_loop() {
    let mut key = root(1);
    for number in 0..16 {
        key = key.rotate(&secret(40 + number)).unwrap();
    }
    let bytes = certificate(&key);
    assert!(bytes.len() <= MAX_CERTIFICATE_BYTES, "{}", bytes.len());
    assert!(DeviceCertificate::verify(&bytes).is_ok());
    assert!(key.rotation_statement().unwrap().len() <= MAX_STATEMENT_BYTES);
    assert_eq!(key.rotate(&secret(90)).unwrap_err(), IdentityError::ChainTooLong);
    let second = root(1).rotate(&secret(2)).unwrap();
    assert_eq!(second.rotate(&secret(1)).unwrap_err(), IdentityError::ChainBroken);
    // Seventeen written by hand.
    let mut long = wire::Certificate::decode(bytes).unwrap();
    long.rotations.push(long.rotations[15].clone());
    assert_eq!(DeviceCertificate::verify(&long.encode_to_vec()), Err(IdentityError::ChainTooLong));
}

/// Nobody can put his own chain before somebody else's certificate: the signature covers the name.
#[test]
fn a_certificate_cannot_be_moved_to_another_node() {
    let victim = wire::Certificate::decode(certificate(&root(7))).unwrap();
    let thief = root(1).rotate(&secret(7)).unwrap();
    let chain = wire::Certificate::decode(certificate(&thief)).unwrap();
    let moved = wire::Certificate { device: victim.device, rotations: chain.rotations };
    let outcome = DeviceCertificate::verify(&moved.encode_to_vec());
    assert_eq!(outcome, Err(IdentityError::BadSignature("device certificate")));
}

#[test]
fn links_of_a_chain_cannot_be_dropped_or_swapped() {
    let third = root(1).rotate(&secret(2)).unwrap().rotate(&secret(3)).unwrap();
    let whole = wire::Certificate::decode(certificate(&third)).unwrap();
    let with = |rotations| wire::Certificate { rotations, ..whole.clone() }.encode_to_vec();
    let [first, second] = [whole.rotations[0].clone(), whole.rotations[1].clone()];
    for broken in [vec![], vec![first.clone()], vec![second.clone()], vec![second, first]] {
        assert!(DeviceCertificate::verify(&with(broken)).is_err());
    }
}

#[test]
fn versions_are_told_apart() {
    let mut signed = wire::Certificate::decode(certificate(&root(1))).unwrap();
    let key = SigningKey::from_secret(&secret(1));
    let mut body = wire::DeviceBody::decode(signed.device.as_ref().unwrap().body.as_slice()).unwrap();
    for (version, expected) in
        [(2, IdentityError::NewerVersion("device certificate")), (0, IdentityError::Malformed("no version"))]
    {
        body.version = version;
        let bytes = body.encode_to_vec();
        signed.device = Some(signed::sign(&key, signed::context::DEVICE, &root(1).node(), bytes));
        assert_eq!(DeviceCertificate::verify(&signed.encode_to_vec()), Err(expected));
    }
}

/// A later version may add fields; the signature covers them, and we skip them.
#[test]
fn unknown_fields_are_skipped_and_still_signed() {
    let key = SigningKey::from_secret(&secret(1));
    let mut signed = wire::Certificate::decode(certificate(&root(1))).unwrap();
    let mut body = signed.device.unwrap().body;
    body.extend_from_slice(&[0x7a, 2, 1, 2]);
    let device = signed::sign(&key, signed::context::DEVICE, &root(1).node(), body);
    signed.device = Some(device.clone());
    assert!(DeviceCertificate::verify(&signed.encode_to_vec()).is_ok());
    let mut changed = device;
    *changed.body.last_mut().unwrap() = 3;
    signed.device = Some(changed);
    let outcome = DeviceCertificate::verify(&signed.encode_to_vec());
    assert_eq!(outcome, Err(IdentityError::BadSignature("device certificate")));
}

#[test]
fn our_own_certificate_must_be_about_our_own_keys() {
    let other = certify(&root(1), &device(11), 1, Validity::ALWAYS);
    assert_eq!(LocalIdentity::new(device(10), other).unwrap_err(), IdentityError::WrongNode);
    let local = LocalIdentity::new(device(10), certificate(&root(1))).unwrap();
    assert_eq!((local.node(), local.device()), (root(1).node(), device(10).id()));
    assert_eq!(local.certificate().root(), root(1).public());
}
