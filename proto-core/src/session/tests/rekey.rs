//! When keys are replaced.

use super::bench::{Make, World};
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

/// All of them were switched on at one moment. Their keys end at moments of their own, within an eighth of the hour before
/// it, and not half of them within the same minute.
#[test]
fn peers_that_met_at_once_are_not_rekeyed_at_once() {
    let others: Vec<_> = (2..10).map(Make::new).collect();
    let times = times_of_rekeys(&Make::new(1), &others);
    let eighth = HOUR.mul_ratio(1, 8);
    for time in &times {
        assert!((HOUR.saturating_sub(eighth)..=HOUR + Duration::from_secs(5)).contains(time), "{times:?}");
        let close = times.iter().filter(|other| other.saturating_sub(*time) < Duration::from_secs(60));
        let ahead = close.filter(|other| *other >= time).count();
        assert!(ahead <= times.len() / 2, "{ahead} within a minute: {times:?}");
    }
}
