//! Statements about others: whose are kept, and what those that are not kept still do.

use super::super::*;
use super::bench::*;
use crate::identity::{RevocationList, Taken};
use crate::limits::Limits;
use crate::store::record::Record;
use crate::time::{Duration, Instant};
use std::vec;
use std::vec::Vec;

/// How many rotations this side has asked to store.
fn stored(side: &Side) -> usize {
    let statement = |event: &&Action| matches!(event, Action::Store(Record::Statement { .. }));
    side.events.iter().filter(statement).count()
}

/// A host and somebody who calls it, in session when it calls back.
fn called_by(host: &Make, guest: &Make) -> World {
    let mut world = World::new(1, vec![host.start(Instant::ZERO), guest.start(Instant::ZERO)]);
    world.sides[1].connect(Instant::ZERO, host, true);
    world.run_for(Duration::from_secs(2));
    assert!(world.sides[0].is_up(guest), "{}", world.sides[0].describe());
    world
}

/// In place of the other, who is gone, somebody else calls the host.
fn then_calls(world: &mut World, host: &Make, guest: &Make) -> bool {
    let now = world.now;
    let clock = guest.start(now);
    world.sides[1] = clock;
    world.sides[1].connect(now, host, true);
    world.run_for(Duration::from_secs(3));
    let (to_host, to_guest) = (world.sides[0].sending(guest), world.sides[1].sending(host));
    to_guest.is_some() && to_host == to_guest
}

/// Anybody can invent nodes whose root key was replaced, in an open network as many as he likes.
#[test]
fn the_rotations_of_strangers_fill_nothing() {
    let host = Make::new(1);
    let host = Make { limits: Limits { peers: 4, ..host.limits.clone() }, ..host };
    let mut world = World::new(1, vec![host.start(Instant::ZERO)]);
    for who in 10..50 {
        let stranger = Make::new(who).device_after(who, 1);
        let now = world.now;
        world.sides.truncate(1);
        world.sides.push(stranger.start(now));
        world.sides[1].connect(now, &host, true);
        world.run_for(Duration::from_secs(2));
        assert!(world.sides[0].is_up(&stranger), "{who}");
        // It is not heard of any more.
        world.sides.truncate(1);
        world.run_for(host.limits.session_idle + Duration::from_secs(1));
    }
    assert_eq!(stored(&world.sides[0]), 0);
    let (now, statement) = (world.now, Make::new(2).revocation());
    let installed = world.sides[0].with(now, |sessions, cx| sessions.install(cx, &statement));
    assert!(matches!(installed.map(|installed| installed.taken), Ok(Taken::Revoked(_))), "there is room");
}

/// The rotation of a peer that the application named is kept, whoever of the two called.
#[test]
fn the_rotation_of_a_named_peer_outlives_its_slot() {
    let (host, peer) = (Make::new(1), Make::new(2).device_after(2, 1));
    let thief = Make::new(2).device_after(3, 0);
    let mut world = World::new(1, vec![host.start(Instant::ZERO), peer.start(Instant::ZERO)]);
    world.sides[0].connect(Instant::ZERO, &peer, true);
    world.run_for(Duration::from_secs(2));
    assert_eq!(stored(&world.sides[0]), 1);
    let (now, slot) = (world.now, world.sides[0].peer(&peer).unwrap());
    world.sides[0].handle(now, Input::Forget { peer: slot, evicted: false });
    assert!(!then_calls(&mut world, &host, &thief));
    assert!(world.sides[0].drops.get(Drop::CertificateInvalid) > 0);
}

/// Who called as a stranger is named later: what it has shown is kept from then on.
#[test]
fn the_rotation_of_a_stranger_is_kept_when_it_is_named() {
    let (host, guest) = (Make::new(1), Make::new(2).device_after(2, 2));
    for with_key in [true, false] {
        let mut world = called_by(&host, &guest);
        assert_eq!(stored(&world.sides[0]), 0);
        let now = world.now;
        world.sides[0].connect(now, &guest, with_key);
        world.run_for(Duration::from_secs(2));
        let named = usize::from(with_key);
        assert_eq!(stored(&world.sides[0]), named, "an address is no name");
    }
}

/// A stranger of whom something is known already has its place in the table.
#[test]
fn the_rotation_of_a_stranger_that_has_revoked_is_kept() {
    let (host, guest) = (Make::new(1), Make::new(2).device_after(2, 1));
    let list = RevocationList { sequence: 1, below_serial: 1, devices: Vec::new(), retired: false };
    let mut world = World::new(1, vec![host.start(Instant::ZERO), guest.start(Instant::ZERO)]);
    world.sides[0].handle(Instant::ZERO, Input::Install { bytes: &root(2).revoke(&list) });
    assert_eq!(stored(&world.sides[0]), 1);
    world.sides[1].connect(Instant::ZERO, &host, true);
    world.run_for(Duration::from_secs(2));
    assert!(world.sides[0].is_up(&guest));
    assert_eq!(stored(&world.sides[0]), 2);
}

/// While a stranger has its slot, the root keys that it has shown are as good as kept: who holds an
/// earlier one, or another successor of the first, does not take its place. One who goes on from there does.
#[test]
fn a_stranger_with_a_slot_is_not_taken_over_by_an_old_root_key() {
    let (host, guest) = (Make::new(1), Make::new(2).device_after(2, 2));
    let mut world = called_by(&host, &guest);
    for rotations in [0, 1] {
        assert!(!then_calls(&mut world, &host, &Make::new(2).device_after(3, rotations)), "{rotations}");
    }
    assert!(!then_calls(&mut world, &host, &Make::new(2).device_of_fork(4, 3)));
    assert!(world.sides[0].drops.get(Drop::CertificateInvalid) > 0);
    assert!(then_calls(&mut world, &host, &Make::new(2).device_after(5, 3)));
    assert!(!then_calls(&mut world, &host, &guest), "its root key has been replaced as well");
    assert_eq!(stored(&world.sides[0]), 0);
}
