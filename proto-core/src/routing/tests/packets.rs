//! How packets go over the map.

use std::vec;
use std::vec::Vec;

use super::bench::{CABLE, World};
use crate::drops::Drop;
use crate::ids::PeerSlot;
use crate::routing::Input;
use crate::routing::metric::Quality;
use crate::time::Duration;

#[test]
fn a_packet_takes_the_shortest_way() {
    let mut world = World::line(6);
    world.connect(0, 4, Quality { srtt: Duration::from_millis(200), ..CABLE });
    world.run(1_000);
    world.send(0, 5, b"hello");
    let sent = world.now;
    world.run(100);
    assert_eq!(world.delivered.len(), 1);
    let delivered = &world.delivered[0];
    assert_eq!((delivered.at, delivered.from), (5, world.router(0)));
    assert_eq!(delivered.payload.as_ref(), b"hello");
    assert_eq!(delivered.when.since(sent), Duration::from_millis(5), "five hops of a millisecond");
}

/// A link that breaks unnoticed costs what its neighbours wait for an answer, not what it takes to notice.
#[test]
fn a_packet_goes_round_a_link_that_has_just_broken() {
    let mut world = World::grid(4);
    world.run(1_000);
    world.cut(0, 1);
    world.cut(5, 6);
    let sent = world.now;
    for number in 0..20 {
        world.send(0, 15, &[number]);
    }
    world.run(300);
    let mut payloads: Vec<u8> = world.delivered.iter().map(|delivered| delivered.payload[0]).collect();
    payloads.sort_unstable();
    assert_eq!(payloads, (0..20).collect::<Vec<u8>>());
    let last = world.delivered.iter().map(|delivered| delivered.when.since(sent)).max().unwrap();
    assert!(last < Duration::from_millis(200), "{last:?}");
}

#[test]
fn a_packet_that_has_no_way_waits_for_one() {
    let mut world = World::line(3);
    world.run(1_000);
    world.disconnect(1, 2);
    world.send(0, 2, b"wait");
    world.run(2_000);
    assert_eq!(world.delivered, []);
    world.connect(1, 2, CABLE);
    world.run(500);
    assert_eq!(world.delivered.len(), 1);
}

#[test]
fn nobody_works_for_a_packet_without_a_way_until_the_map_changes() {
    let mut world = World::line(3);
    world.run(1_000);
    world.disconnect(1, 2);
    world.run(2_000);
    world.send(0, 2, b"wait");
    world.run(1_000);
    let alarm = world.sides[0].routing.custody.next_alarm().unwrap();
    assert!(alarm > world.now + Duration::from_secs(8), "looked at again {:?} later", alarm.since(world.now));
    world.connect(0, 2, CABLE);
    world.run(500);
    assert_eq!(world.delivered.len(), 1);
}

#[test]
fn a_packet_that_has_waited_too_long_is_dropped() {
    let mut world = World::line(3);
    world.run(1_000);
    world.disconnect(1, 2);
    world.send(0, 2, b"late");
    world.run(11_000);
    world.connect(1, 2, CABLE);
    world.run(1_000);
    assert_eq!(world.delivered, []);
    let expired: u64 = world.sides.iter().map(|side| side.drops.get(Drop::Expired)).sum();
    assert_eq!(expired, 1);
}

/// While two maps differ a packet may come back; it leaves by another exit then, and never goes in a circle.
#[test]
fn a_packet_does_not_go_in_a_circle() {
    let mut world = World::grid(3);
    world.run(1_000);
    // The corner 8 is cut off without anybody's knowledge: every exit is tried, once.
    world.cut(5, 8);
    world.cut(7, 8);
    let before = world.messages;
    world.send(0, 8, b"nowhere");
    world.run(1_000);
    assert_eq!(world.delivered, []);
    let messages = world.messages - before;
    assert!(messages < 24 * 20, "{messages} messages for a packet that cannot arrive");
}

#[test]
fn one_neighbour_cannot_take_all_room() {
    let mut world = World::line(4);
    world.run(1_000);
    world.disconnect(2, 3);
    let big = vec![7; 60_000];
    for _ in 0..40 {
        world.send(0, 3, &big);
    }
    world.run(100);
    let held = world.sides[1].routing.custody.bytes();
    assert!(held <= world.sides[1].limits.custody_bytes as usize / 2, "{held} bytes");
    assert!(world.sides[2].drops.get(Drop::CustodyFull) + world.sides[1].drops.get(Drop::CustodyFull) > 0);
}

/// A cable and then a radio to the same neighbour: what was measured of the cable says nothing of the radio.
#[test]
fn a_neighbour_that_comes_back_is_measured_anew() {
    let mut world = World::line(2);
    world.run(100_000);
    let (peer, router) = (PeerSlot(1), world.router(1));
    let cost = |world: &World| world.sides[0].routing.neighbours[&peer].cost();
    let cable = cost(&world);
    assert_eq!(cable, CABLE.cost());
    let radio = Quality { srtt: Duration::from_millis(80), ..CABLE };
    world.sides[0].handle(world.now, Input::NeighbourUnusable { peer });
    world.sides[0].handle(world.now, Input::NeighbourUp { peer, router });
    assert_eq!(cost(&world), cable, "nothing better is known yet");
    world.sides[0].handle(world.now, Input::Measured { peer, quality: radio });
    assert_eq!(cost(&world), radio.cost());
    // On one and the same way the shortest of the last three counts.
    world.sides[0].handle(world.now, Input::Measured { peer, quality: CABLE });
    world.sides[0].handle(world.now, Input::Measured { peer, quality: radio });
    assert_eq!(cost(&world), cable);
}
