//! Papers with dates: the shell says what time it is once, and time passes.

use super::super::*;
use super::bench::*;
use crate::node::output::DownReason;
use crate::time::WallTime;
use crate::time::{Duration, Instant};
use std::vec;

/// Seconds since 1970 when the tests begin.
const BEGIN_S: u64 = 1_000_000;

fn tell(side: &mut Side, now: Instant, unix_s: u64, error_us: u64) {
    let unix_us = i64::try_from(unix_s * 1_000_000).unwrap();
    side.handle(now, Input::WallClock(WallTime { unix_us, error_us }));
}

/// A host that has been told the time, and a guest who calls it.
fn visit(guest: &Make, error_us: u64) -> World {
    let host = Make::new(1);
    let mut world = World::new(1, vec![host.start(Instant::ZERO), guest.start(Instant::ZERO)]);
    tell(&mut world.sides[0], Instant::ZERO, BEGIN_S, error_us);
    world.sides[1].connect(Instant::ZERO, &host, true);
    world
}

fn revoked(world: &World) -> usize {
    let down = |event: &&Action| matches!(event, Action::Closed { reason: DownReason::Revoked, .. });
    world.sides[0].events.iter().filter(down).count()
}

#[test]
fn a_session_ends_when_its_papers_do_though_nothing_is_said_of_the_time() {
    let guest = Make::new(2).within(0, BEGIN_S + 59);
    let mut world = visit(&guest, 1_000_000);
    // The last second to its end, the error, and what the own clock may have drifted meanwhile.
    let end = Instant::from_micros(61_000_000 + 61_000_000 / 999);
    world.run(end, |_| false);
    assert!(world.sides[0].is_up(&guest), "{}", world.sides[0].describe());
    world.run_for(Duration::from_millis(1));
    assert!(!world.sides[0].is_up(&guest));
    assert_eq!(revoked(&world), 1);
    // Nor does it come back with them.
    let now = world.now;
    world.sides[1] = guest.start(now);
    world.sides[1].connect(now, &Make::new(1), true);
    world.run_for(Duration::from_secs(10));
    assert!(!world.sides[0].is_up(&guest));
    assert!(world.sides[0].drops.get(Drop::CertificateInvalid) > 0);
}

#[test]
fn a_session_that_began_before_the_time_was_known_ends_as_well() {
    let (host, guest) = (Make::new(1), Make::new(2).within(0, BEGIN_S + 59));
    let mut world = World::new(1, vec![host.start(Instant::ZERO), guest.start(Instant::ZERO)]);
    world.sides[1].connect(Instant::ZERO, &host, true);
    world.run_for(Duration::from_secs(30));
    assert!(world.sides[0].is_up(&guest));
    let now = world.now;
    tell(&mut world.sides[0], now, BEGIN_S, 0);
    world.run_for(Duration::from_secs(59));
    assert!(world.sides[0].is_up(&guest));
    world.run_for(Duration::from_secs(2));
    assert!(!world.sides[0].is_up(&guest));
}

/// A clock that was set back: the deadline of the first word comes, and nothing ends.
#[test]
fn what_the_shell_said_last_counts() {
    let guest = Make::new(2).within(0, BEGIN_S + 59);
    let mut world = visit(&guest, 0);
    world.run_for(Duration::from_secs(30));
    let now = world.now;
    tell(&mut world.sides[0], now, BEGIN_S - 10, 0);
    world.run_for(Duration::from_secs(60));
    assert!(world.sides[0].is_up(&guest), "twenty seconds before the end by the second word");
    world.run_for(Duration::from_secs(12));
    assert!(!world.sides[0].is_up(&guest));
}

#[test]
fn papers_that_were_too_early_hold_when_their_time_comes() {
    let guest = Make::new(2).within(BEGIN_S + 20, 0);
    let mut world = visit(&guest, 0);
    world.run_for(Duration::from_secs(15));
    assert!(!world.sides[0].is_up(&guest));
    assert!(world.sides[0].drops.get(Drop::CertificateInvalid) > 0);
    world.run_for(Duration::from_secs(10));
    assert!(world.sides[0].is_up(&guest), "{}", world.sides[0].describe());
}

/// Who shows papers without an end is not looked at for their sake.
#[test]
fn without_dates_no_deadline_is_set() {
    let guest = Make::new(2);
    let mut world = visit(&guest, 0);
    world.run_for(Duration::from_secs(5));
    let now = world.now;
    let before = world.sides[0].sessions.next_wake();
    tell(&mut world.sides[0], now, BEGIN_S, 0);
    assert_eq!(world.sides[0].sessions.next_wake(), before);
    assert!(world.sides[0].is_up(&guest));
}
