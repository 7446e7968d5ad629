//! Calls to those whom somebody needs now and then: eager once, then rare, however often they are needed.

use super::super::*;
use super::bench::*;
use crate::time::{Duration, Instant};
use std::vec;
use std::vec::Vec;

fn visit(side: &mut Side, now: Instant, whom: &Make) {
    let (node, key, addr) = (whom.node(), whom.key(), Addr::from_u32(whom.address));
    side.handle(now, Input::Visit { node, key, link: LINK, addr });
}

/// How many packets a world sends in so many seconds.
fn packets(world: &mut World, seconds: u64) -> usize {
    world.log = Some(Vec::new());
    world.run_for(Duration::from_secs(seconds));
    world.log.take().map_or(0, |log| log.len())
}

/// Somebody sends to a node of which the map says where it is, and it is not there, each second for a quarter of an hour.
#[test]
fn who_is_needed_often_is_called_eagerly_once_in_ten_minutes() {
    let (a, b) = (Make::new(1), Make::new(2));
    let mut world = World::new(1, vec![a.start(Instant::ZERO)]);
    let mut by_minute = Vec::new();
    for _ in 0..15 {
        let mut sent = 0;
        for _ in 0..60 {
            let now = world.now;
            visit(&mut world.sides[0], now, &b);
            sent += packets(&mut world, 1);
        }
        by_minute.push(sent);
    }
    let eager = |sent: usize| sent > 500;
    let rounds: Vec<usize> = (0..15).filter(|&minute| eager(by_minute[minute])).collect();
    assert_eq!(rounds, [0, 10], "{by_minute:?}");
    let rare: usize = (2..10).map(|minute| by_minute[minute]).max().unwrap();
    assert!(rare <= 10, "at least ten seconds lie between two calls then: {by_minute:?}");
}

/// It is needed elsewhere: that is a new place, and called eagerly whatever was called before.
#[test]
fn a_new_place_is_called_at_once() {
    let (a, b) = (Make::new(1), Make::new(2));
    let mut world = World::new(2, vec![a.start(Instant::ZERO)]);
    let now = world.now;
    visit(&mut world.sides[0], now, &b);
    packets(&mut world, 120);
    let b = Make { address: 77, ..b };
    world.sides.push(b.start(world.now));
    let now = world.now;
    visit(&mut world.sides[0], now, &b);
    world.run_for(Duration::from_secs(1));
    assert!(world.sides[0].is_up(&b), "{}", world.sides[0].describe());
}

/// A twin of whom the other knows already is refused. Needed again and again, it calls no more often than once in ten seconds.
#[test]
fn who_refuses_us_is_called_rarely() {
    let (a, b) = (Make::new(1), Make::new(2));
    let mut world = World::new(3, vec![a.start(Instant::ZERO), b.start(Instant::ZERO)]);
    world.sides[0].connect(Instant::ZERO, &b, true);
    world.run_for(Duration::from_secs(2));
    let twin = Make { address: 9, ..a.clone() };
    world.sides.push(twin.start(world.now));
    let now = world.now;
    visit(&mut world.sides[2], now, &b);
    world.run_for(Duration::from_secs(2));
    assert_eq!(world.sides[2].clones(), 1, "it was refused");
    world.log = Some(Vec::new());
    for _ in 0..60 {
        let now = world.now;
        visit(&mut world.sides[2], now, &b);
        world.run_for(Duration::from_secs(1));
    }
    let calls = world.log.take().unwrap().iter().filter(|(from, _, _)| *from == twin.address).count();
    assert!((1..=6 * 4).contains(&calls), "{calls} packets in a minute");
    assert!(!world.sides[2].is_up(&b));
}
