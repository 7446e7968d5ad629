//! Whom a router keeps of a network that is larger than its map.

use std::collections::{BTreeMap, BTreeSet};
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::bench::{CABLE, World, identity};
use super::records::{page, papers, tell};
use crate::drops::Drop;
use crate::ids::RouterId;
use crate::limits::Limits;
use crate::routing::metric::Quality;
use crate::time::Duration;

const KEPT: usize = 24;

fn limits() -> Limits {
    // Without landmarks: their words are for another file.
    Limits { routers: KEPT as u32, landmarks: 0, ..Limits::SMALL }
}

/// Distances from a router over the links that both ends have said, at the costs that they have said.
fn distances(world: &World, from: usize) -> BTreeMap<RouterId, u64> {
    let said = |at: usize| world.sides[at].routing.database.links(world.router(at)).collect::<Vec<_>>();
    let links: Vec<Vec<_>> = (0..world.sides.len()).map(said).collect();
    let number: BTreeMap<RouterId, usize> = (0..world.sides.len()).map(|at| (world.router(at), at)).collect();
    let mut distance = vec![u64::MAX; world.sides.len()];
    let mut open = BTreeSet::from([(0, from)]);
    distance[from] = 0;
    while let Some((so_far, at)) = open.pop_first() {
        for link in &links[at] {
            let to = number[&link.to];
            let mutual = links[to].iter().any(|back| back.to == world.router(at));
            let through = so_far + link.cost.eighths();
            if mutual && through < distance[to] {
                distance[to] = through;
                open.insert((through, to));
            }
        }
    }
    let reached = (0..world.sides.len()).filter(|&at| distance[at] < u64::MAX);
    reached.map(|at| (world.router(at), distance[at])).collect()
}

/// The routers nearest to one, itself included.
fn nearest_of(world: &World, from: usize, count: usize) -> BTreeSet<RouterId> {
    let mut all: Vec<(u64, RouterId)> =
        distances(world, from).into_iter().map(|(router, distance)| (distance, router)).collect();
    all.sort_unstable();
    all.into_iter().take(count).map(|(_, router)| router).collect()
}

fn nearest(world: &World, from: usize) -> BTreeSet<RouterId> {
    nearest_of(world, from, KEPT)
}

fn kept(world: &World, at: usize) -> BTreeSet<RouterId> {
    world.sides[at].routing.database.routers().collect()
}

/// Who has not exactly the nearest on its map: how many it lacks, and how many are too many.
fn wrong(world: &World) -> Vec<(usize, usize, usize)> {
    let difference = |at: usize| {
        let (wanted, kept) = (nearest(world, at), kept(world, at));
        (at, wanted.difference(&kept).count(), kept.difference(&wanted).count())
    };
    (0..world.sides.len()).map(difference).filter(|&(_, lacks, more)| (lacks, more) != (0, 0)).collect()
}

/// Every router that is kept is reached over routers that all keep it, each nearer to it than the one before.
fn assert_ways_lead_on(world: &mut World) {
    let number: BTreeMap<RouterId, usize> = (0..world.sides.len()).map(|at| (world.router(at), at)).collect();
    let far: Vec<BTreeMap<RouterId, u64>> = (0..world.sides.len()).map(|at| distances(world, at)).collect();
    for from in 0..world.sides.len() {
        for to in kept(world, from) {
            let mut at = from;
            while world.router(at) != to {
                let now = world.now;
                let next = world.sides[at].routing.next_hop(now, to);
                let next = number[&next.unwrap_or_else(|| panic!("{from} keeps {to}; {at} has no way"))];
                assert!(far[next][&to] < far[at][&to], "from {at} to {next} the way to {to} is no shorter");
                at = next;
            }
        }
    }
}

fn cable(ms: u64) -> Quality {
    Quality { srtt: Duration::from_millis(ms), ..CABLE }
}

/// A grid whose links all cost something else: no two ways are alike.
fn uneven(side: usize, limits: Limits) -> World {
    let mut world = World::with_limits((side * side) as u16, limits);
    for number in 0..side * side {
        if number % side > 0 {
            world.connect(number - 1, number, cable(1 + (number as u64 * 7) % 13));
        }
        if number >= side {
            world.connect(number - side, number, cable(1 + (number as u64 * 5) % 11));
        }
    }
    world
}

#[test]
fn everybody_keeps_the_nearest() {
    for mut world in [World::grid_with(9, limits()), uneven(9, limits())] {
        world.run(3_000);
        assert_eq!(wrong(&world), []);
        assert_ways_lead_on(&mut world);
    }
}

#[test]
fn bytes_bound_what_is_kept_as_numbers_do() {
    let all = {
        let mut world = World::grid(9);
        world.run(3_000);
        world.sides[40].routing.size().1
    };
    let limits = Limits { routers: 2_048, routing_bytes: all as u32 / 3, landmarks: 0, ..Limits::SMALL };
    let mut world = World::grid_with(9, limits.clone());
    world.run(3_000);
    let said = world.messages;
    world.run(60_000);
    assert_eq!(world.messages, said, "a little room is no reason to go on talking");
    for at in 0..81 {
        let (routers, bytes) = world.sides[at].routing.size();
        assert!(bytes <= limits.routing_bytes as usize);
        assert!((20..=28).contains(&routers), "{at} keeps {routers}");
        let far = distances(&world, at);
        let kept = kept(&world, at);
        let farthest = kept.iter().map(|router| far[router]).max().unwrap();
        let hop = far.values().copied().filter(|&distance| distance > 0).min().unwrap();
        let nearer =
            far.iter().filter(|(router, distance)| **distance + hop < farthest && !kept.contains(router));
        let nearer: Vec<RouterId> = nearer.map(|(router, _)| *router).collect();
        assert_eq!(nearer, [], "{at} lacks one that is more than a hop nearer than one that it keeps");
    }
}

/// With room for all of them nothing is other than without a bound.
#[test]
fn a_map_with_room_for_all_is_the_whole_map() {
    let run = |routers: u32| {
        let mut world = World::grid_with(6, Limits { routers, ..Limits::SMALL });
        world.run(2_000);
        world.disconnect(0, 1);
        world.run(2_000);
        world.restart(20);
        world.run(2_000);
        (world.messages, world.bytes, world.without_way())
    };
    assert_eq!(run(36), run(2_048));
}

#[test]
fn a_settled_network_larger_than_its_maps_says_nothing() {
    let mut world = uneven(8, limits());
    world.run(200_000);
    let (messages, bytes) = (world.messages, world.bytes);
    world.run(3_600_000);
    assert_eq!((world.messages - messages, world.bytes - bytes), (0, 0));
}

/// What changes in one corner is heard of where somebody keeps it, and next to that; not in the other corner.
#[test]
fn a_change_is_not_heard_of_far_away() {
    let mut world = World::grid_with(10, limits());
    world.run(3_000);
    let checks: Vec<u64> = world.sides.iter().map(|side| side.routing.checks()).collect();
    let messages = world.messages;
    world.disconnect(0, 1);
    world.run(3_000);
    assert_eq!(wrong(&world), []);
    let heard = (0..100).filter(|&at| world.sides[at].routing.checks() > checks[at]).count();
    assert!((8..40).contains(&heard), "{heard} of 100 checked something");
    let said = world.messages - messages;
    assert!(said < 800, "{said} messages");
}

/// Whoever is lost makes room for the next ones, who are asked for; and takes it back.
#[test]
fn a_gap_is_filled_and_the_near_come_back() {
    let mut world = World::grid_with(9, limits());
    world.run(3_000);
    for other in [31, 39, 41, 49] {
        world.disconnect(40, other);
    }
    world.run(3_000);
    assert!(!kept(&world, 30).contains(&world.router(40)), "nothing leads to it");
    for at in (0..81).filter(|&at| at != 40) {
        assert_eq!(kept(&world, at), nearest(&world, at), "{at}");
    }
    for other in [31, 39, 41, 49] {
        world.connect(40, other, CABLE);
    }
    world.run(3_000);
    assert_eq!(wrong(&world), []);
    assert_ways_lead_on(&mut world);
}

/// A made-up router that nobody lists finds no room on a full map, whatever it says of itself; and drives nobody out.
#[test]
fn nobody_is_driven_out_by_one_whom_nobody_lists() {
    let mut world = World::grid_with(8, limits());
    world.run(3_000);
    let before = kept(&world, 0);
    let neighbours: Vec<RouterId> = before.iter().copied().take(10).collect();
    for liar in 200..220 {
        let network = super::bench::network().id();
        let lies = [papers(liar, liar, 1), page(liar, liar, network, 2, &neighbours)];
        tell(&mut world, 0, 1, &lies);
        assert!(!kept(&world, 0).contains(&RouterId::of(identity(liar).device())));
    }
    assert_eq!(kept(&world, 0), before);
    assert!(world.sides[0].drops.get(Drop::RoutersFull) >= 20);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// Whatever links come and go, at whatever cost: once it is quiet everybody keeps the nearest, and ways lead on.
    #[test]
    fn the_nearest_are_kept_when_it_is_quiet(
        steps in proptest::collection::vec((0usize..49, 0usize..49, 0u8..4, 1u64..40, 0u64..200), 1..40),
    ) {
        let limits = Limits { routers: 12, ..Limits::SMALL };
        let mut world = World::grid_with(7, limits);
        world.run(100);
        for (a, b, what, ms, pause) in steps {
            let linked = world.links.contains_key(&(a.min(b), a.max(b)));
            match what {
                _ if a == b => {}
                0 if !linked => world.connect(a, b, cable(ms)),
                1 | 2 => {
                    let links: Vec<(usize, usize)> = world.links.keys().copied().collect();
                    let (a, b) = links[(a * 49 + b) % links.len()];
                    world.disconnect(a, b);
                    if what == 2 {
                        world.connect(a, b, cable(ms));
                    }
                }
                3 => world.restart(a),
                _ => {}
            }
            world.run(pause);
        }
        // Lost neighbours are said within the second, and what is measured anew some seconds later.
        world.run(10_000);
        for at in 0..49 {
            let (wanted, kept) = (nearest_of(&world, at, 12), kept(&world, at));
            let lacks: Vec<_> = wanted.difference(&kept).collect();
            prop_assert!(lacks.is_empty(), "{at} lacks {lacks:?}");
        }
    }
}
