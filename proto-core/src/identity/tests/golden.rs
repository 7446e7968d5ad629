//! Every encoding has committed bytes. A change of one is a change of the format: it needs a new
//! version and a note in the changelog. The failing test prints what the file would have to become.

use super::keyfiles::{CHEAP, ENTROPY, everything};
use super::*;
use crate::identity::keyfile::{CostLimit, open, seal};

const GOLDEN: &str = include_str!("golden.txt");

fn vectors() -> Vec<(&'static str, Vec<u8>)> {
    let (node, device_id, network_id) = ids();
    let network = closed_network();
    let dated = Validity { not_before_s: 1_700_000_000, not_after_s: 1_900_000_000 };
    let second = root(1).rotate(&secret(2)).unwrap();
    let list =
        RevocationList { sequence: 2, below_serial: 3, devices: vec![(device(10).id(), 5)], retired: true };
    let key = Endorsement::network_key(network.id(), 2, &secret(60), 1);
    vec![
        ("node-id", node.0.to_vec()),
        ("device-id", device_id.0.to_vec()),
        ("open-network-id", network_id.0.to_vec()),
        ("certificate", certificate(&root(1)).to_vec()),
        ("certificate-dated", certify(&root(1), &device(10), 5, dated).to_vec()),
        ("certificate-rotated", certificate(&second).to_vec()),
        ("rotation", second.rotation_statement().unwrap().to_vec()),
        ("revocation", second.revoke(&list).to_vec()),
        ("genesis-open", genesis(false).encode().unwrap().to_vec()),
        ("genesis-closed", genesis(true).encode().unwrap().to_vec()),
        ("membership", membership(&network, node, 3).certificate().to_vec()),
        ("membership-statement", membership(&network, node, 3).statement().to_vec()),
        (
            "exclusion",
            endorse(Endorsement::exclusion(network.id(), node, 3), &[0, 1, 2]).statement().to_vec(),
        ),
        ("network-key", endorse(key, &[0, 1, 2]).statement().to_vec()),
        ("session-psk", network.psk(1).unwrap().to_vec()),
        ("hello-key", network.hello_key(1).unwrap().to_vec()),
        ("key-file", seal(&everything(), b"passphrase", &ENTROPY, CHEAP).unwrap()),
    ]
}

#[test]
fn golden_vectors_have_not_changed() {
    let mut present = String::new();
    for (name, bytes) in vectors() {
        present.push_str(&std::format!("{name} {}\n", hex(&bytes)));
    }
    for (line, committed) in present.lines().zip(GOLDEN.lines()) {
        assert_eq!(line, committed, "golden.txt would have to become:\n{present}");
    }
    assert_eq!(
        present.lines().count(),
        GOLDEN.lines().count(),
        "golden.txt would have to become:\n{present}"
    );
}

/// The committed bytes are still read, whatever the present code writes.
#[test]
fn golden_vectors_are_still_understood() {
    let bytes = |name: &str| {
        let line = GOLDEN.lines().find(|line| line.split(' ').next() == Some(name)).unwrap();
        let digits: Vec<u32> = line[name.len()..].chars().filter_map(|c| c.to_digit(16)).collect();
        digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect::<Vec<u8>>()
    };
    let mut home = Home::new(Network::closed(bytes("genesis-closed").into(), 1, secret(50)).unwrap());
    for name in ["certificate", "certificate-dated", "certificate-rotated"] {
        assert_eq!(DeviceCertificate::verify(&bytes(name)).unwrap().node.0.to_vec(), bytes("node-id"));
    }
    for name in ["rotation", "revocation", "exclusion", "network-key"] {
        assert_ne!(home.install(&bytes(name)).unwrap().taken, Taken::Known, "{name}");
    }
    assert!(Membership::verify(&bytes("membership"), &home.network.id(), home.network.genesis()).is_ok());
    assert_eq!(
        Network::open(bytes("genesis-open").into()).unwrap().id().0.to_vec(),
        bytes("open-network-id")
    );
    assert!(open(&bytes("key-file"), b"passphrase", CostLimit::TINY).is_ok());
}
