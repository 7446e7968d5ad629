//! When keys are replaced.

use super::bench::{Make, Side, World};
use crate::time::{Duration, Instant};
use std::vec;
use std::vec::Vec;

const HOUR: Duration = Duration::from_secs(3_600);

/// Keeps a hub in session with `others`, all called at once, until each has other keys, and gives the time each took.
fn times_of_rekeys(hub: &Make, others: &[Make]) -> Vec<Duration> {
    let sides = core::iter::once(hub).chain(others).map(|make| make.start(Instant::ZERO));
    let mut world = World::new(1, sides.collect());
    for other in others {
        world.sides[0].connect(Instant::ZERO, other, true);
    }
    let all_up = |world: &World| others.iter().all(|other| world.sides[0].is_up(other));
    assert!(world.run(Instant::from_micros(1_000_000), all_up));
    world.run_for(Duration::from_secs(1));
    let keys =
        |world: &World| -> Vec<_> { others.iter().map(|other| world.sides[0].sending(other)).collect() };
    let (before, since) = (keys(&world), world.now);
    let mut times = vec![None; others.len()];
    while times.contains(&None) {
        assert!(world.now.since(since) < HOUR.mul_ratio(2, 1), "no rekey: {times:?}");
        let (now, hub) = (world.now, &mut world.sides[0]);
        for other in others {
            let peer = hub.peer(other).unwrap();
            let ping = hub.ping(now, peer).unwrap();
            hub.out.push((other.address, ping.into()));
        }
        world.run_for(Duration::from_secs(5));
        let passed = world.now.since(since);
        for ((time, before), now) in times.iter_mut().zip(&before).zip(keys(&world)) {
            if *before != now {
                time.get_or_insert(passed);
            }
        }
    }
    times.into_iter().flatten().collect()
}

/// All of them were switched on at one moment. Their keys end at moments of their own, within a sixteenth of the hour before
/// it, and not half of them within the same half minute.
#[test]
fn peers_that_met_at_once_are_not_rekeyed_at_once() {
    let others: Vec<_> = (2..10).map(Make::new).collect();
    let times = times_of_rekeys(&Make::new(1), &others);
    let most_early = HOUR.mul_ratio(1, 16);
    for time in &times {
        assert!(
            (HOUR.saturating_sub(most_early)..=HOUR + Duration::from_secs(5)).contains(time),
            "{times:?}"
        );
        let close = times.iter().filter(|other| other.saturating_sub(*time) < Duration::from_secs(30));
        let ahead = close.filter(|other| *other >= time).count();
        assert!(ahead <= times.len() / 2, "{ahead} within half a minute: {times:?}");
    }
}

/// Whoever made the keys is first, and a sixteenth of the time before the other at least. Each side draws for itself.
#[test]
fn the_side_that_made_the_keys_replaces_them() {
    let (hub, others) = (Make::new(1), (2..10).map(Make::new).collect::<Vec<_>>());
    let sides = core::iter::once(&hub).chain(&others).map(|make| make.start(Instant::ZERO));
    let mut world = World::new(1, sides.collect());
    for other in &others {
        world.sides[0].connect(Instant::ZERO, other, true);
    }
    let up = |side: &Side, other: &Make| side.is_up(other);
    let all_up = |world: &World| {
        let theirs = world.sides.iter().skip(1).all(|side| up(side, &hub));
        theirs && others.iter().all(|other| up(&world.sides[0], other))
    };
    assert!(world.run(Instant::from_micros(1_000_000), all_up));
    let due = |side: &Side, other: &Make| {
        let peer = side.sessions.peers.get(side.peer(other).unwrap()).unwrap();
        let index = peer.association.as_ref().unwrap().sending;
        let born = side.sessions.table.keys(index).unwrap().born;
        let early = HOUR.mul_ratio(1, 8).mul_ratio(u64::from(index), 1 << 25);
        let due = side.sessions.rekey_at(&side.make.limits, peer).unwrap().since(born);
        assert!([HOUR, HOUR + HOUR.mul_ratio(1, 8)].contains(&(due + early)), "drawn with its own index");
        due
    };
    let sixteenth = HOUR.mul_ratio(1, 16);
    for (other, side) in others.iter().zip(world.sides.iter().skip(1)) {
        let (ours, theirs) = (due(&world.sides[0], other), due(side, &hub));
        assert!(HOUR.saturating_sub(sixteenth) < ours && ours <= HOUR, "{ours:?}");
        assert!(HOUR + sixteenth < theirs && theirs <= HOUR + sixteenth + sixteenth, "{theirs:?}");
    }
}
