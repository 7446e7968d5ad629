use proptest::prelude::*;

use super::*;

#[test]
fn a_network_is_named_by_its_charter() {
    let bytes = genesis(false).encode().unwrap();
    assert_eq!(Genesis::decode(&bytes), Ok(genesis(false)));
    assert_eq!(open_network().id(), NetworkId::of_genesis(&bytes));
    for bit in 0..bytes.len() * 8 {
        assert_ne!(NetworkId::of_genesis(&flip(&bytes, bit)), open_network().id());
    }
    // The hash covers what we skip: a later version's field makes another network.
    let longer = Bytes::from([&bytes[..], &[0x7a, 1, 0]].concat());
    assert_eq!(Genesis::decode(&longer), Ok(genesis(false)));
    assert_ne!(Network::open(longer).unwrap().id(), open_network().id());
    assert_eq!(genesis(false).parameter("hops"), Some(15));
    assert_eq!(genesis(false).parameter("hop"), None);
}

#[test]
fn a_charter_keeps_its_rules() {
    let parameter = |name: &str| (String::from(name), 1);
    let good = genesis(true);
    let many = |count: u8| (0..count).map(|number| root(number + 1).public()).collect::<Vec<_>>();
    let broken = [
        Genesis { name: String::new(), ..good.clone() },
        Genesis { name: "x".repeat(65), ..good.clone() },
        Genesis { threshold: 0, ..good.clone() },
        Genesis { threshold: 6, ..good.clone() },
        Genesis { authorities: vec![], threshold: 0, ..good.clone() },
        Genesis { authorities: many(33), ..good.clone() },
        Genesis { authorities: vec![[0; 32]], threshold: 1, ..good.clone() },
        Genesis { parameters: vec![parameter("b"), parameter("a")], ..good.clone() },
        Genesis { parameters: vec![parameter("a"), parameter("a")], ..good.clone() },
        Genesis { parameters: vec![parameter("")], ..good.clone() },
        Genesis { parameters: (0..33).map(|i| (std::format!("{i:02}"), 1)).collect(), ..good.clone() },
    ];
    for genesis in broken {
        assert!(matches!(genesis.encode(), Err(IdentityError::Malformed(_))), "{genesis:?}");
    }
    let anarchy = Genesis { authorities: vec![], threshold: 0, closed: false, ..good.clone() };
    assert!(anarchy.encode().is_ok());
    let full = Genesis { authorities: many(32), threshold: 32, ..good };
    assert!(Genesis::decode(&full.encode().unwrap()).is_ok());
}

#[test]
fn open_and_closed_are_not_confused() {
    let (open, closed) = (genesis(false).encode().unwrap(), genesis(true).encode().unwrap());
    assert_eq!(Network::open(closed), Err(IdentityError::NetworkKeyMissing));
    assert_eq!(Network::closed(open, 1, secret(1)), Err(IdentityError::OpenNetwork));
    let mut home = Home::new(open_network());
    let id = home.network.id();
    let key = endorse(Endorsement::network_key(id, 1, &secret(1), 0), &[0, 1, 2]).statement();
    assert_eq!(home.install(&key), Err(IdentityError::OpenNetwork));
    let member = membership(&home.network, home.local.node(), 1).statement();
    assert_eq!(home.install(&member), Err(IdentityError::OpenNetwork));
}

/// Different networks, epochs and keys give different session secrets, and the two uses differ.
#[test]
fn session_secrets_depend_on_network_epoch_and_key() {
    let id = |byte| NetworkId([byte; 32]);
    let base = NetworkKeys::new(id(1), 1, secret(1));
    let psk = *base.psk(1).unwrap();
    assert_ne!(psk, *base.hello_key(1).unwrap());
    assert_ne!(psk, *NetworkKeys::new(id(2), 1, secret(1)).psk(1).unwrap());
    assert_ne!(psk, *NetworkKeys::new(id(1), 2, secret(1)).psk(2).unwrap());
    assert_ne!(psk, *NetworkKeys::new(id(1), 1, secret(2)).psk(1).unwrap());
    assert_eq!(base.psk(2), None);
    assert_eq!(base.hello_key(0), None);
    let open = open_network();
    assert_eq!(open.acceptable_epochs().collect::<Vec<_>>(), [0]);
    assert_eq!(open.prologue(), &open.id().0);
    assert!(open.psk(0).is_some());
}

fn epochs(keys: &NetworkKeys) -> (Vec<u32>, u32) {
    (keys.acceptable_epochs().collect(), keys.sending_epoch())
}

#[test]
fn epochs_overlap_while_they_change() {
    let mut keys = NetworkKeys::new(NetworkId([1; 32]), 1, secret(1));
    assert_eq!(keys.install(2, secret(2), 0), Ok(true));
    assert_eq!(epochs(&keys), (vec![2, 1], 1), "accepted at once, used later");
    assert!(!keys.heard(1) && !keys.heard(9));
    assert_eq!(keys.sending_epoch(), 1);
    assert!(keys.heard(2), "somebody uses it: so do we");
    assert_eq!(epochs(&keys), (vec![2, 1], 2));
    assert_eq!(keys.install(3, secret(3), 0), Ok(true));
    assert_eq!(epochs(&keys), (vec![3, 2, 1], 2));
    assert_eq!(keys.install(4, secret(4), 0), Ok(true));
    assert_eq!(epochs(&keys), (vec![4, 3, 2], 3), "never older than the second newest");
    assert_eq!(keys.install(1, secret(1), 0), Err(IdentityError::Stale));
    assert_eq!(keys.install(4, secret(9), 0), Err(IdentityError::Stale), "one epoch, one key");
    assert_eq!(keys.install(4, secret(4), 0), Ok(false));
    keys.promote();
    assert_eq!(keys.sending_epoch(), 4);
}

#[test]
fn retired_epochs_end_at_once() {
    let mut keys = NetworkKeys::new(NetworkId([1; 32]), 1, secret(1));
    keys.install(2, secret(2), 0).unwrap();
    keys.install(3, secret(3), 3).unwrap();
    assert_eq!(epochs(&keys), (vec![3], 3));
    assert_eq!(keys.install(2, secret(2), 0), Err(IdentityError::Stale));
    keys.install(4, secret(4), u32::MAX).unwrap();
    assert_eq!(epochs(&keys), (vec![4], 4), "the key that came with it stays");
    assert_eq!(keys.psk(3), None);
}

#[test]
fn keys_come_from_the_authorities() {
    let mut home = Home::new(closed_network());
    let id = home.network.id();
    let announce = |epoch, below, places: &[u8]| {
        endorse(Endorsement::network_key(id, epoch, &secret(60), below), places).statement()
    };
    assert!(matches!(home.install(&announce(2, 0, &[0, 1])), Err(IdentityError::ThresholdNotMet { .. })));
    let second = announce(2, 0, &[0, 1, 2]);
    assert_eq!(home.install(&second).unwrap(), Installed { taken: Taken::NetworkKey(2), replaces: vec![] });
    assert_eq!(home.install(&second).unwrap().taken, Taken::Known);
    home.install(&announce(3, 0, &[0, 1, 2])).unwrap();
    home.install(&announce(4, 0, &[0, 1, 2])).unwrap();
    let fifth = home.install(&announce(5, 0, &[0, 1, 2])).unwrap();
    assert_eq!(fifth.replaces, [statement_hash(&second)], "the dropped key's record can go too");
    assert!(matches!(home.install(&announce(6, 7, &[0, 1, 2])), Err(IdentityError::Malformed(_))));
    let exported: Vec<_> = home.network.keys().export().map(|(epoch, _)| epoch).collect();
    assert_eq!(exported, [5, 4, 3]);
}

/// Whoever finds the disk learns what was secret when it was written: retired keys must not stay there.
#[test]
fn every_key_that_is_dropped_gives_up_its_record() {
    let mut home = Home::new(closed_network());
    let id = home.network.id();
    let announce = |epoch, below| {
        endorse(Endorsement::network_key(id, epoch, &secret(60), below), &[0, 1, 2]).statement()
    };
    let hashes = |statements: &[&Bytes]| -> Vec<_> {
        statements.iter().map(|statement| statement_hash(statement)).collect()
    };
    let (second, third) = (announce(2, 0), announce(3, 0));
    assert_eq!(home.install(&second).unwrap().replaces, hashes(&[]));
    assert_eq!(home.install(&third).unwrap().replaces, hashes(&[]));
    let fourth = announce(4, 4);
    assert_eq!(home.install(&fourth).unwrap().replaces, hashes(&[&second, &third]));
    // The same key again, in a statement that retires: its first one goes, and what it retires.
    let (fifth, sixth) = (announce(5, 0), announce(6, 0));
    home.install(&fifth).unwrap();
    home.install(&sixth).unwrap();
    let again = announce(6, 6);
    assert_eq!(home.install(&again).unwrap().replaces, hashes(&[&sixth, &fourth, &fifth]));
    for past in [&second, &fifth] {
        assert_eq!(home.install(past), Err(IdentityError::Stale));
        assert!(is_past_key(&home.network, past));
    }
    let other = endorse(Endorsement::network_key(id, 6, &secret(61), 0), &[0, 1, 2]).statement();
    assert_eq!(home.install(&other), Err(IdentityError::Stale), "one epoch, one key");
    assert!(!is_past_key(&home.network, &other));
    let forged = endorse(Endorsement::network_key(id, 2, &secret(60), 0), &[0, 1]).statement();
    assert!(!is_past_key(&home.network, &forged));
}

proptest! {
    /// After a restart statements are loaded in any order: the same keys are held.
    #[test]
    fn keys_do_not_depend_on_their_order(mut order in Just(vec![2u32, 3, 4, 5]).prop_shuffle(), floor in 0u32..6) {
        let build = |order: &[u32]| {
            let mut keys = NetworkKeys::new(NetworkId([1; 32]), 1, secret(1));
            for epoch in order {
                let below = if *epoch == 5 { floor } else { 0 };
                let _ = keys.install(*epoch, secret(*epoch as u8), below);
            }
            epochs(&keys).0
        };
        let shuffled = build(&order);
        order.sort_unstable();
        prop_assert_eq!(shuffled, build(&order));
    }

    #[test]
    fn at_most_three_keys_and_one_of_them_is_used(steps in prop::collection::vec((0u32..20, 0u32..20, any::<bool>()), 0..40)) {
        let mut keys = NetworkKeys::new(NetworkId([1; 32]), 1, secret(1));
        let mut sending = 1;
        for (epoch, below, heard) in steps {
            if heard {
                keys.heard(epoch);
            } else {
                let _ = keys.install(epoch, secret(epoch as u8), below);
            }
            let held: Vec<_> = keys.acceptable_epochs().collect();
            prop_assert!((1..=3).contains(&held.len()));
            prop_assert!(held.is_sorted_by(|a, b| a > b));
            prop_assert!(held.contains(&keys.sending_epoch()));
            prop_assert!(keys.sending_epoch() >= sending, "never back to an older key");
            sending = keys.sending_epoch();
        }
    }
}
