use super::*;
use crate::crypto::hash;
use crate::crypto::password::Cost;
use crate::identity::keyfile::{CostLimit, ENTROPY_LEN, KeyFileError, Secrets, open, seal};

pub(super) const CHEAP: Cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };
pub(super) const ENTROPY: [u8; ENTROPY_LEN] = [0x5a; ENTROPY_LEN];

pub(super) fn everything() -> Secrets {
    let root = root(1).rotate(&secret(2)).unwrap();
    Secrets {
        certificate: certificate(&root),
        root: Some(root),
        device: Some(device(10)),
        network_keys: vec![(NetworkId([7; 32]), 3, secret(50))],
    }
}

fn sealed() -> Vec<u8> {
    seal(&everything(), b"passphrase", &ENTROPY, CHEAP).unwrap()
}

fn resum(mut file: Vec<u8>) -> Vec<u8> {
    let end = file.len() - 8;
    let sum = hash::derive("thallus key file checksum v1", &[&file[..end]]);
    file[end..].copy_from_slice(&sum[..8]);
    file
}

/// Saving and loading must agree, or the identity is lost at the next start.
#[test]
fn what_was_saved_is_loaded() {
    let loaded = open(&sealed(), b"passphrase", CostLimit::TINY).unwrap();
    let saved = everything();
    let (root, original) = (loaded.root.as_ref().unwrap(), saved.root.as_ref().unwrap());
    assert_eq!(root.secret(), original.secret());
    assert_eq!(root.node(), original.node());
    assert_eq!(root.rotations(), original.rotations());
    let identity = loaded.identity().unwrap();
    assert_eq!((identity.node(), identity.device()), (original.node(), device(10).id()));
    assert_eq!(identity.secrets().dh.secret(), device(10).dh.secret());
    assert_eq!(loaded.certificate, saved.certificate);
    assert_eq!(loaded.network_keys, saved.network_keys);
    // Saving what was loaded gives the same bytes.
    assert_eq!(seal(&loaded, b"passphrase", &ENTROPY, CHEAP).unwrap(), sealed());
}

#[test]
fn a_file_may_hold_the_root_alone_or_the_device_alone() {
    let root_only = Secrets { root: Some(root(1)), ..Secrets::default() };
    let loaded = open(&seal(&root_only, b"", &ENTROPY, CHEAP).unwrap(), b"", CostLimit::TINY).unwrap();
    assert_eq!(loaded.root.as_ref().map(RootKey::node), Some(root(1).node()));
    assert!(loaded.device.is_none() && loaded.identity().is_err());
    let device_only = Secrets { root: None, ..everything() };
    let loaded = open(&seal(&device_only, b"x", &ENTROPY, CHEAP).unwrap(), b"x", CostLimit::TINY).unwrap();
    assert!(loaded.root.is_none() && loaded.identity().is_ok());
}

#[test]
fn a_wrong_passphrase_is_told_from_damage() {
    for wrong in [&b""[..], b"Passphrase", b"passphrase "] {
        assert_eq!(open(&sealed(), wrong, CostLimit::TINY).unwrap_err(), KeyFileError::WrongPassphrase);
    }
    let good = sealed();
    for bit in 0..good.len() * 8 {
        let error = open(&flip(&good, bit), b"passphrase", CostLimit::TINY).unwrap_err();
        match error {
            KeyFileError::NotAKeyFile => assert!(bit < 64, "bit {bit}"),
            KeyFileError::Corrupt(_) => assert!(bit >= 64, "bit {bit}"),
            other => panic!("bit {bit}: {other}"),
        }
    }
    for cut in 0..good.len() {
        let error = open(&good[..cut], b"passphrase", CostLimit::TINY).unwrap_err();
        assert!(
            matches!(error, KeyFileError::NotAKeyFile | KeyFileError::Corrupt(_)),
            "cut at {cut}: {error}"
        );
    }
}

/// Somebody who repairs the checksum after changing header or contents is stopped by the cipher.
#[test]
fn header_and_contents_are_authenticated() {
    let good = sealed();
    let passes_at = 8 + 1 + 1 + 4;
    let mut weaker = good.clone();
    weaker[passes_at] = 2;
    let error = open(&resum(weaker), b"passphrase", CostLimit::TINY).unwrap_err();
    assert_eq!(error, KeyFileError::WrongPassphrase);
    let changed = flip(&good, (good.len() - 30) * 8);
    assert_eq!(
        open(&resum(changed), b"passphrase", CostLimit::TINY).unwrap_err(),
        KeyFileError::WrongPassphrase
    );
}

#[test]
fn a_newer_version_and_a_foreign_file_say_so() {
    let mut newer = sealed();
    newer[8] = 2;
    let error = open(&resum(newer), b"passphrase", CostLimit::TINY).unwrap_err();
    assert_eq!(error, KeyFileError::NewerVersion { found: 2, known: 1 });
    for foreign in [&b""[..], b"THALLUS", b"-----BEGIN OPENSSH PRIVATE KEY-----"] {
        assert_eq!(open(foreign, b"", CostLimit::TINY).unwrap_err(), KeyFileError::NotAKeyFile);
    }
    let longest = [sealed(), vec![0; 70_000]].concat();
    assert!(matches!(open(&longest, b"", CostLimit::TINY).unwrap_err(), KeyFileError::Corrupt(_)));
}

/// A hostile file may ask for 4 TiB of memory; it is refused before any is taken.
#[test]
fn a_hostile_file_cannot_take_all_memory_or_time() {
    let ask = |memory_kib: u32, passes: u32, lanes: u8| {
        let mut file = sealed();
        file[10..14].copy_from_slice(&memory_kib.to_le_bytes());
        file[14..18].copy_from_slice(&passes.to_le_bytes());
        file[18] = lanes;
        open(&resum(file), b"passphrase", CostLimit::SERVER).unwrap_err()
    };
    let (memory_kib, passes) = (u32::MAX, 1);
    assert_eq!(ask(memory_kib, passes, 1), KeyFileError::TooCostly { memory_kib, passes });
    let (memory_kib, passes) = (8, u32::MAX);
    assert_eq!(ask(memory_kib, passes, 1), KeyFileError::TooCostly { memory_kib, passes });
    for (memory_kib, passes, lanes) in [(0, 1, 1), (8, 0, 1), (8, 1, 0), (8, 1, 255)] {
        assert!(matches!(ask(memory_kib, passes, lanes), KeyFileError::Corrupt(_)));
    }
    assert!(matches!(
        seal(&everything(), b"", &ENTROPY, Cost { passes: 0, ..CHEAP }),
        Err(KeyFileError::OutOfRange(_))
    ));
}

#[test]
fn too_much_does_not_fit() {
    let keys = |count: usize| vec![(NetworkId([7; 32]), 3, secret(50)); count];
    let fits = Secrets { network_keys: keys(64), ..everything() };
    let file = seal(&fits, b"", &ENTROPY, CHEAP).unwrap();
    assert_eq!(open(&file, b"", CostLimit::TINY).unwrap().network_keys.len(), 64);
    let too_many = Secrets { network_keys: keys(65), ..everything() };
    assert!(matches!(seal(&too_many, b"", &ENTROPY, CHEAP), Err(KeyFileError::OutOfRange(_))));
    let too_long = Secrets { certificate: Bytes::from(vec![0; 65_536]), ..everything() };
    assert!(matches!(seal(&too_long, b"", &ENTROPY, CHEAP), Err(KeyFileError::OutOfRange(_))));
}

/// Nothing secret stands in the file or in what is printed.
#[test]
fn secrets_are_neither_printed_nor_stored_in_clear() {
    let file = sealed();
    assert!(!file.windows(16).any(|window| window == [10; 16] || window == [2; 16] || window == [50; 16]));
    let printed = std::format!("{:?}", everything());
    assert!(!printed.contains("10, 10, 10") && !printed.contains("50, 50, 50"), "{printed}");
}
