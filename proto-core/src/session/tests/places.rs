//! Where peers are: places that the application gives and takes back, and those learned from handshakes.

use super::super::*;
use super::bench::*;
use crate::node::input::PeerSpec;
use crate::time::{Duration, Instant};
use std::vec;
use std::vec::Vec;

fn connected(a: &Make, b: &Make) -> World {
    let mut world = World::new(1, vec![a.start(Instant::ZERO), b.start(Instant::ZERO)]);
    world.sides[0].connect(Instant::ZERO, b, true);
    let both = |world: &World| world.sides[0].is_up(b) && world.sides[1].is_up(a);
    assert!(world.run(Instant::from_micros(1_000_000), both));
    world.run_for(Duration::from_secs(1));
    world
}

fn places(side: &Side, peer: PeerSlot) -> Vec<u32> {
    side.sessions.endpoints(peer).map(|(_, addr)| addr.to_u32().unwrap()).collect()
}

fn ask_for(side: &mut Side, now: Instant, node: NodeId, places: &[u32]) {
    let endpoints = places.iter().map(|&place| (LINK, Addr::from_u32(place))).collect();
    side.handle(now, Input::Connect { spec: PeerSpec { node: Some(node), key: None, endpoints } });
}

fn take_back(side: &mut Side, now: Instant, place: u32) {
    side.handle(now, Input::Disconnect { link: LINK, addr: Addr::from_u32(place) });
}

/// A peer has moved, and the application says where to: what was learned of it is worth less, also while
/// it is being called.
#[test]
fn a_place_that_is_given_replaces_one_that_was_learned() {
    let (a, mut b) = (Make::new(1), Make::new(2));
    b.limits.paths_per_peer = 1;
    for calling in [false, true] {
        let mut world = connected(&a, &b);
        let slot = world.sides[1].peer(&a).unwrap();
        assert_eq!(places(&world.sides[1], slot), [1]);
        world.sides[0] = Make { address: 9, boot: 2, seed: 77, ..a.clone() }.start(world.now);
        ask_for(&mut world.sides[1], world.now, a.node(), &[]);
        if calling {
            let now = world.now;
            world.sides[1].handle(now, Input::Silent { peer: slot });
            world.run_for(Duration::from_secs(1));
            assert_eq!(world.sides[1].sessions.dials.len(), 1);
        }
        ask_for(&mut world.sides[1], world.now, a.node(), &[9]);
        assert_eq!(places(&world.sides[1], slot), [9]);
        // A second one does not replace what was given.
        ask_for(&mut world.sides[1], world.now, a.node(), &[7]);
        assert_eq!(places(&world.sides[1], slot), [9]);
        let until = world.now + b.limits.session_idle + Duration::from_secs(10);
        assert!(world.run(until, |world| world.sides[0].is_up(&b)), "{}", world.sides[1].describe());
    }
}

/// Nobody is at a mistyped address: taken back, it is called no more and its slot is free.
#[test]
fn a_place_that_is_taken_back_is_not_called_again() {
    let a = Make::new(1);
    let mut side = a.start(Instant::ZERO);
    side.connect(Instant::ZERO, &Make { address: 50, ..Make::new(5) }, false);
    assert!(!side.out.is_empty());
    assert!(side.sessions.was_given(LINK, Addr::from_u32(50)));
    take_back(&mut side, Instant::ZERO, 51);
    assert_eq!(side.sessions.peer_count(), 1);
    take_back(&mut side, Instant::ZERO, 50);
    assert_eq!((side.sessions.peer_count(), side.sessions.dials.len()), (0, 0));
    assert!(!side.sessions.was_given(LINK, Addr::from_u32(50)));
    assert_eq!(side.sessions.next_wake(), Wake::Idle);
}

/// A peer with a name stays, and so does its session.
#[test]
fn a_session_outlives_the_place_that_it_was_made_at() {
    let (a, b) = (Make::new(1), Make::new(2));
    let mut world = connected(&a, &b);
    let (now, slot) = (world.now, world.sides[0].peer(&b).unwrap());
    take_back(&mut world.sides[0], now, 2);
    assert!(world.sides[0].is_up(&b));
    assert_eq!(places(&world.sides[0], slot), []);
    let word = world.sides[0].ping(now, slot).unwrap();
    assert!(world.sides[1].open(now, 1, &word).is_some());
    // What its peer has learned it was not given, and cannot be taken back.
    assert!(!world.sides[1].sessions.was_given(LINK, Addr::from_u32(1)));
}
