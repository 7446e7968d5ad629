//! A node that comes back from a restart: what it reads is on its disk already.

use std::vec::Vec;

use bytes::Bytes;

use super::bench::network_of;
use crate::crypto::secret::Secret;
use crate::crypto::sign::{SigningKey, Verifier};
use crate::identity::{
    DeviceSecrets, Endorsement, Genesis, IdentityError, LocalIdentity, Network, RevocationList, RootKey,
    Validity,
};
use crate::limits::Limits;
use crate::node::*;
use crate::store::record::{Key, Record};
use crate::time::Instant;
use crate::zoo::Zoo;

/// A statement of a node that has revoked so often.
fn statement(sequence: u64) -> Record {
    let root = RootKey::new(&Secret::new([9; 32]));
    let list = RevocationList { sequence, below_serial: sequence, devices: Vec::new(), retired: false };
    Record::Statement { bytes: root.revoke(&list) }
}

/// What a node that starts with these records wants written, but for its start count.
fn written(records: Vec<Record>) -> Vec<Record> {
    let (network, mut identities) = network_of(1, 5);
    stores(&mut start(identities.remove(0), network, records).unwrap())
}

fn start(identity: LocalIdentity, network: Network, records: Vec<Record>) -> Result<Node, BootError> {
    let boot = Boot {
        identity,
        network,
        records,
        versions: VERSIONS,
        zoo: Zoo::none(),
        verifier: Verifier::default(),
    };
    Node::new(boot, [1; 32], Limits::TINY, Instant::ZERO)
}

fn stores(node: &mut Node) -> Vec<Record> {
    let mut written = Vec::new();
    let mut buf = [0; 1_500];
    while let Some(output) = node.poll(Instant::ZERO, &mut buf) {
        match output {
            Output::Store { record: Record::Boot { .. }, .. } => {}
            Output::Store { record, .. } => written.push(record),
            other => panic!("{other:?}"),
        }
    }
    written
}

#[test]
fn a_statement_from_the_disk_is_not_written_again() {
    assert_eq!(written(std::vec![statement(3)]), []);
}

/// The power went after a statement was written and before the one that it replaces was erased.
#[test]
fn a_statement_that_another_one_on_the_disk_replaces_is_erased() {
    let (old, new) = (statement(3), statement(4));
    let erased = Record::Erased { key: old.key() };
    assert!(matches!(old.key(), Key::Statement(_)));
    assert_eq!(written(std::vec![old, new]), [erased]);
}

/// The root key of the one member of a closed network, after so many rotations.
fn root(rotations: u8) -> RootKey {
    let first = RootKey::new(&Secret::new([1; 32]));
    (0..rotations).fold(first, |root, nth| root.rotate(&Secret::new([20 + nth; 32])).unwrap())
}

fn member(rotations: u8) -> LocalIdentity {
    let secrets = DeviceSecrets::new(&Secret::new([2; 32]), &Secret::new([3; 32]));
    let certificate =
        root(rotations).certify(secrets.sign.public(), secrets.dh.public(), 1, Validity::ALWAYS);
    LocalIdentity::new(secrets, certificate).unwrap()
}

fn authority(place: u32) -> SigningKey {
    SigningKey::from_secret(&Secret::new([0x80 | place as u8; 32]))
}

/// A closed network with 32 authorities, one of whom is enough, or all of whom must sign.
fn closed(threshold: u32) -> Network {
    let genesis = Genesis {
        name: "closed".into(),
        authorities: (0..32).map(|place| authority(place).public()).collect(),
        threshold,
        closed: true,
        parameters: Vec::new(),
        salt: [0; 16],
    };
    Network::closed(genesis.encode().unwrap(), 1, Secret::new([1; 32])).unwrap()
}

fn signed(mut endorsement: Endorsement, by: u32) -> Bytes {
    (0..by).for_each(|place| endorsement.sign(place, &authority(place)));
    endorsement.statement()
}

fn network_key(epoch: u32, retire_below: u32) -> Record {
    let key = Secret::new([epoch as u8; 32]);
    let endorsement = Endorsement::network_key(closed(1).id(), epoch, &key, retire_below);
    Record::Statement { bytes: signed(endorsement, 1) }
}

/// Whoever finds the disk must not find keys that were retired because somebody had found another.
#[test]
fn retired_network_keys_leave_the_disk() {
    let mut node = start(member(0), closed(1), Vec::new()).unwrap();
    let (second, third) = (network_key(2, 0), network_key(3, 3));
    for record in [&second, &third] {
        let Record::Statement { bytes } = record else { panic!("{record:?}") };
        node.handle(Instant::ZERO, Input::Command(Command::Install(bytes.clone()))).unwrap();
    }
    let erased = Record::Erased { key: second.key() };
    assert_eq!(stores(&mut node), [second.clone(), third.clone(), erased.clone()]);
    // The power went before it was erased: in whatever order the disk gives them.
    for records in [std::vec![second.clone(), third.clone()], std::vec![third, second]] {
        let mut node = start(member(0), closed(1), records).unwrap();
        assert_eq!(stores(&mut node), std::slice::from_ref(&erased));
    }
}

/// It may have come from a later configuration that is mistaken: what is on the disk stays there.
#[test]
fn a_network_key_that_differs_from_the_one_held_stays_on_the_disk() {
    let other = Endorsement::network_key(closed(1).id(), 1, &Secret::new([9; 32]), 0);
    let other = Record::Statement { bytes: signed(other, 1) };
    assert_eq!(stores(&mut start(member(0), closed(1), std::vec![other]).unwrap()), []);
}

/// The membership fitted beside the certificate of its day. Since then the root key was replaced.
#[test]
fn a_node_that_cannot_show_its_papers_does_not_start() {
    let network = closed(32);
    let paper = |serial| Endorsement::membership(network.id(), root(0).node(), serial, Validity::ALWAYS);
    let stored = std::vec![Record::Statement { bytes: signed(paper(1), 32) }];
    assert!(start(member(9), network.clone(), stored.clone()).is_ok());
    let refused = start(member(10), network.clone(), stored).unwrap_err();
    assert!(matches!(refused, BootError::Membership(IdentityError::PapersTooLong { .. })), "{refused:?}");
    // What helps: in a network where one signature is enough, a later membership with only that one.
    let network = closed(1);
    let paper = |serial| Endorsement::membership(network.id(), root(0).node(), serial, Validity::ALWAYS);
    let stored = std::vec![Record::Statement { bytes: signed(paper(1), 32) }];
    let mut shorter = paper(2);
    shorter.sign(0, &authority(0));
    let member = member(10).with_membership(shorter.certificate(), &network).unwrap();
    assert!(start(member, network.clone(), stored).is_ok());
}
