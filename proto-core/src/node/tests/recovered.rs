//! A node that comes back from a restart: what it reads is on its disk already.

use std::vec::Vec;

use super::bench::network_of;
use crate::crypto::secret::Secret;
use crate::identity::{RevocationList, RootKey};
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
    let identity = identities.remove(0);
    let boot = Boot { identity, network, records, versions: VERSIONS, zoo: Zoo::none() };
    let mut node = Node::new(boot, [1; 32], Limits::TINY, Instant::ZERO).unwrap();
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
