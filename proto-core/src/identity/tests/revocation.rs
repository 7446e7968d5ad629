use super::*;

fn list(sequence: u64) -> RevocationList {
    RevocationList { sequence, ..RevocationList::default() }
}

#[test]
fn a_revoked_device_stays_revoked_whatever_its_serial() {
    let mut home = Home::new(open_network());
    let revoked = RevocationList { devices: vec![(device(10).id(), 5)], ..list(1) };
    assert_eq!(home.install(&root(1).revoke(&revoked)).unwrap().taken, Taken::Revoked(root(1).node()));
    assert_eq!(home.verify(&certificate(&root(1))), Err(IdentityError::Revoked));
    let renewed = certify(&root(1), &device(10), 6, Validity::ALWAYS);
    assert_eq!(home.verify(&renewed), Err(IdentityError::Revoked));
    let sibling = certify(&root(1), &device(11), 1, Validity::ALWAYS);
    assert!(home.verify(&sibling).is_ok());
    let same_device_of_another_node = certificate(&root(3));
    assert!(home.verify(&same_device_of_another_node).is_ok());
}

#[test]
fn a_raised_serial_voids_everything_older() {
    let mut home = Home::new(open_network());
    home.install(&root(1).revoke(&RevocationList { below_serial: 6, ..list(1) })).unwrap();
    assert_eq!(home.verify(&certificate(&root(1))), Err(IdentityError::Revoked));
    assert!(home.verify(&certify(&root(1), &device(10), 6, Validity::ALWAYS)).is_ok());
}

#[test]
fn lists_only_grow() {
    let mut home = Home::new(open_network());
    let first = RevocationList { devices: vec![(device(10).id(), 5), (device(11).id(), 9)], ..list(3) };
    let bytes = root(1).revoke(&first);
    home.install(&bytes).unwrap();
    let taken_back = [
        RevocationList { devices: vec![(device(11).id(), 9)], ..list(4) },
        // Serial 5 is below 6, but device 11 was certified up to 9.
        RevocationList { below_serial: 6, ..list(4) },
    ];
    for back in taken_back {
        assert_eq!(home.install(&root(1).revoke(&back)), Err(IdentityError::NotMonotone));
    }
    let older = RevocationList { retired: true, ..list(2) };
    assert_eq!(home.install(&root(1).revoke(&older)), Err(IdentityError::Stale));
    let same_number = RevocationList { retired: true, ..list(3) };
    assert_eq!(home.install(&root(1).revoke(&same_number)), Err(IdentityError::Stale));
    assert_eq!(home.install(&bytes).unwrap().taken, Taken::Known);
    // Folded into the serial, as the issuer does when the list is full.
    let folded = home.install(&root(1).revoke(&RevocationList { below_serial: 10, ..list(4) })).unwrap();
    assert_eq!(folded.replaces, [statement_hash(&bytes)]);
    assert_eq!(home.verify(&certificate(&root(1))), Err(IdentityError::Revoked));
    let lowered = RevocationList { below_serial: 9, ..list(5) };
    assert_eq!(home.install(&root(1).revoke(&lowered)), Err(IdentityError::NotMonotone));
}

#[test]
fn a_retired_node_never_comes_back() {
    let mut home = Home::new(open_network());
    home.install(&root(1).revoke(&RevocationList { retired: true, ..list(1) })).unwrap();
    let second = root(1).rotate(&secret(2)).unwrap();
    for key in [root(1), second.clone()] {
        let newest = certify(&key, &device(12), u64::MAX, Validity::ALWAYS);
        assert_eq!(home.verify(&newest), Err(IdentityError::Revoked));
    }
    let alive = second.revoke(&list(2));
    assert_eq!(home.install(&alive), Err(IdentityError::NotMonotone));
}

/// A thief of a key rotates it away; the owner still has the old key and ends the identity. The order
/// in which others hear of it makes no difference, nor does a restart.
#[test]
fn every_former_root_key_can_revoke_and_order_does_not_matter() {
    let thief = root(1).rotate(&secret(66)).unwrap();
    let rotation = thief.rotation_statement().unwrap();
    let retirement = root(1).revoke(&RevocationList { retired: true, ..list(1) });
    for order in [[&rotation, &retirement], [&retirement, &rotation]] {
        let mut home = Home::new(open_network());
        for statement in order {
            home.install(statement).unwrap();
        }
        assert_eq!(home.verify(&certificate(&root(1))), Err(IdentityError::Superseded));
        assert_eq!(home.verify(&certificate(&thief)), Err(IdentityError::Revoked));
    }
}

#[test]
fn a_list_signed_by_somebody_else_is_nothing() {
    let mut home = Home::new(open_network());
    let all = RevocationList { retired: true, ..list(1) };
    home.install(&root(3).revoke(&all)).unwrap();
    assert!(home.verify(&certificate(&root(1))).is_ok(), "node 3 has retired itself, not node 1");
}

#[test]
fn a_list_has_room_for_eight_devices() {
    let mut home = Home::new(open_network());
    let devices: Vec<_> = (0..9).map(|number| (device(number).id(), 1)).collect();
    let eight = RevocationList { devices: devices[..8].to_vec(), ..list(1) };
    home.install(&root(1).revoke(&eight)).unwrap();
    let nine = RevocationList { devices, ..list(2) };
    assert!(matches!(home.install(&root(1).revoke(&nine)), Err(IdentityError::Malformed(_))));
}

#[test]
fn a_full_table_refuses_strangers_and_keeps_what_it_knows() {
    let mut home = Home::new(open_network());
    for number in 30..34 {
        home.install(&root(number).revoke(&RevocationList { retired: true, ..list(1) })).unwrap();
    }
    let stranger = root(40).revoke(&RevocationList { retired: true, ..list(1) });
    assert_eq!(home.install(&stranger), Err(IdentityError::TableFull));
    let rotation = root(41).rotate(&secret(42)).unwrap().rotation_statement().unwrap();
    assert_eq!(home.install(&rotation), Err(IdentityError::TableFull));
    assert!(home.install(&root(30).revoke(&RevocationList { retired: true, ..list(2) })).is_ok());
    assert_eq!(home.verify(&certificate(&root(30))), Err(IdentityError::Revoked));
    assert_eq!(home.revocations.len(), 4);
}
