//! How the map spreads.

use proptest::prelude::*;
use std::vec::Vec;

use super::bench::{CABLE, World};
use crate::drops::Drop;
use crate::limits::Limits;

/// The design's figure for a cold start of 50 nodes is 0.4 s on links of a millisecond.
#[test]
fn a_cold_start_takes_less_than_half_a_second() {
    for mut world in [World::line(50), World::grid(7)] {
        world.run(400);
        assert_eq!(world.without_way(), []);
    }
}

/// Each record once: its papers cost two signatures, its page one.
#[test]
fn nothing_is_checked_twice() {
    let mut world = World::grid(6);
    world.run(5_000);
    for side in &world.sides {
        let (routers, _) = side.routing.size();
        assert_eq!(routers, 36);
        // Pages are said once at the start, and once more by those whose neighbours' costs came later.
        assert!(side.routing.checks() <= 35 * 4, "{} checks", side.routing.checks());
    }
}

#[test]
fn a_settled_network_says_nothing() {
    let mut world = World::grid(5);
    world.run(200_000);
    let (messages, bytes) = (world.messages, world.bytes);
    world.run(3_600_000);
    assert_eq!((world.messages - messages, world.bytes - bytes), (0, 0));
}

#[test]
fn two_parts_that_meet_tell_each_other_all() {
    let mut world = World::new(10);
    for (a, b) in [(0, 1), (1, 2), (2, 3), (3, 4), (5, 6), (6, 7), (7, 8), (8, 9)] {
        world.connect(a, b, CABLE);
    }
    world.run(1_000);
    assert_eq!(world.without_way().len(), 50);
    world.connect(4, 5, CABLE);
    world.run(400);
    assert_eq!(world.without_way(), []);
}

/// A start of a router with fewer pages than the one before takes the others back.
#[test]
fn a_restart_takes_back_what_the_last_start_said() {
    let mut world = World::new(22);
    for other in 1..21 {
        world.connect(0, other, CABLE);
    }
    world.connect(20, 21, CABLE);
    world.run(1_000);
    assert_eq!(world.without_way(), []);
    // Two pages with twenty neighbours; then one neighbour only.
    for other in 1..20 {
        world.disconnect(0, other);
    }
    world.restart(0);
    world.run(2_000);
    let hub = world.router(0);
    assert_eq!(world.sides[21].routing.database.links(hub).count(), 1);
    for other in 1..20 {
        let router = world.router(other);
        assert_eq!(world.sides[21].routing.next_hop(world.now, router), None, "{other} is cut off");
    }
}

#[test]
fn a_full_map_takes_no_more_routers() {
    let limits = Limits { routers: 10, ..Limits::SMALL };
    let mut world = World::with_limits(16, limits);
    for number in 1..16 {
        world.connect(number - 1, number, CABLE);
    }
    world.run(3_000);
    for side in &world.sides {
        assert!(side.routing.size().0 <= 10);
    }
    assert!(world.sides.iter().any(|side| side.drops.get(Drop::RoutersFull) > 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever links come and go: once it is quiet every router knows the same map, and has a way to exactly those that
    /// are connected.
    #[test]
    fn maps_agree_when_it_is_quiet(
        steps in proptest::collection::vec((0usize..9, 0usize..9, 0u8..4, 0u64..300), 1..60),
    ) {
        let mut world = World::new(9);
        for (a, b, what, pause) in steps {
            let linked = world.links.contains_key(&(a.min(b), a.max(b)));
            match what {
                _ if a == b => {}
                0 | 1 if !linked => world.connect(a, b, CABLE),
                2 if linked => world.disconnect(a, b),
                3 => world.restart(a),
                _ => {}
            }
            world.run(pause);
        }
        world.run(3_000);
        let mut part: Vec<usize> = (0..9).collect();
        for _ in 0..9 {
            for &(a, b) in world.links.keys() {
                let least = part[a].min(part[b]);
                (part[a], part[b]) = (least, least);
            }
        }
        let apart: Vec<(usize, usize)> = (0..9)
            .flat_map(|a| (0..9).map(move |b| (a, b)))
            .filter(|&(a, b)| a != b && part[a] != part[b])
            .collect();
        prop_assert_eq!(world.without_way(), apart);
    }
}
