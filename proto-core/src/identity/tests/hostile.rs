//! Bytes from an enemy: every decoder answers, none panics, and nothing is believed.

use proptest::prelude::*;
use std::sync::LazyLock;

use super::keyfiles::{CHEAP, ENTROPY, everything};
use super::*;
use crate::identity::keyfile::{CostLimit, open, seal};

fn samples() -> Vec<Bytes> {
    let network = closed_network();
    let second = root(1).rotate(&secret(2)).unwrap();
    let list =
        RevocationList { sequence: 1, devices: vec![(device(10).id(), 5)], ..RevocationList::default() };
    vec![
        certificate(&second),
        second.rotation_statement().unwrap(),
        second.revoke(&list),
        membership(&network, root(2).node(), 3).certificate(),
        membership(&network, root(2).node(), 3).statement(),
        endorse(Endorsement::exclusion(network.id(), root(1).node(), 1), &[0, 1, 2]).statement(),
        endorse(Endorsement::network_key(network.id(), 2, &secret(60), 0), &[0, 1, 2]).statement(),
        genesis(true).encode().unwrap(),
    ]
}

/// Made once: making keys and signatures would take most of the time of these tests.
static SAMPLES: LazyLock<Vec<Bytes>> = LazyLock::new(samples);
static HOME: LazyLock<Home> = LazyLock::new(|| Home::new(closed_network()));

fn feed(bytes: &[u8]) -> bool {
    let mut home = HOME.clone();
    let before = (home.network.clone(), home.revocations.clone());
    let certificate = DeviceCertificate::verify(bytes).is_ok();
    let member = Membership::verify(bytes, &home.network.id(), home.network.genesis()).is_ok();
    let _ = Genesis::decode(bytes);
    let installed = home.install(bytes).is_ok();
    if !installed {
        assert!(before == (home.network, home.revocations), "an error changes nothing");
    }
    certificate || member || installed
}

#[test]
fn every_flipped_bit_of_a_statement_is_an_error() {
    let installs = |bytes: &[u8]| HOME.clone().install(bytes).is_ok();
    let statements: Vec<_> = SAMPLES.iter().filter(|bytes| installs(bytes)).collect();
    assert_eq!(statements.len(), 5);
    for good in statements {
        for bit in 0..good.len() * 8 {
            assert!(!installs(&flip(good, bit)), "bit {bit} of {}", hex(good));
        }
        for cut in 0..good.len() {
            assert!(!installs(&good[..cut]), "cut at {cut} of {}", hex(good));
        }
    }
}

proptest! {
    #[test]
    fn noise_is_refused(bytes: Vec<u8>) {
        prop_assert!(!feed(&bytes));
        prop_assert!(open(&bytes, b"", CostLimit::TINY).is_err());
    }

    #[test]
    fn spliced_samples_do_not_panic(
        which in 0usize..8, other in 0usize..8, at: prop::sample::Index, from: prop::sample::Index, len in 0usize..80,
    ) {
        let mut bytes = SAMPLES[which].to_vec();
        let donor = &SAMPLES[other];
        let from = from.index(donor.len());
        let piece = &donor[from..donor.len().min(from + len)];
        let at = at.index(bytes.len());
        let end = bytes.len().min(at + len);
        bytes.splice(at..end, piece.iter().copied());
        let _ = feed(&bytes);
    }

    #[test]
    fn too_long_is_refused_early(extra in 4_097usize..20_000) {
        let bytes = vec![0x0a; extra];
        prop_assert!(!feed(&bytes));
    }

    #[test]
    fn key_files_round_trip(passphrase: Vec<u8>, entropy: [u8; 28], wrong: Vec<u8>) {
        let file = seal(&everything(), &passphrase, &entropy, CHEAP).unwrap();
        prop_assert!(open(&file, &passphrase, CostLimit::TINY).is_ok());
        prop_assert_eq!(open(&file, &wrong, CostLimit::TINY).is_ok(), wrong == passphrase);
        prop_assert_ne!(file, seal(&everything(), &passphrase, &ENTROPY, CHEAP).unwrap());
    }
}
