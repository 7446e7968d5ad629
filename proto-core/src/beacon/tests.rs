use std::vec::Vec;

use super::*;
use crate::drops::Drops;
use crate::node::input::{Air, Medium as Kind};
use crate::rng::Rng;
use crate::zoo::Zoo;

const LINK: LinkId = LinkId(3);

fn lan() -> LinkInfo {
    LinkInfo {
        medium: Kind::Shared { half_duplex: false },
        mtu: 1_400,
        rate_bps: None,
        delay: Duration::from_millis(1),
        cost: 0,
        segments: 1,
        local: Addr::from_u32(1),
        air: None,
        beacons: true,
    }
}

/// 27 bytes take 0.25 s.
fn radio() -> LinkInfo {
    let air =
        Air { packet: Duration::from_millis(34), share_ppm: 100_000, window: Duration::from_secs(3_600) };
    LinkInfo { medium: Kind::Shared { half_duplex: true }, rate_bps: Some(1_000), air: Some(air), ..lan() }
}

struct World {
    beacons: Beacons,
    now: Instant,
    rng: Rng,
    drops: Drops,
    limits: Limits,
}

impl World {
    fn new(info: LinkInfo) -> World {
        let mut world = World {
            beacons: Beacons::default(),
            now: Instant::from_micros(5_000_000),
            rng: Rng::fork(&[7; 32], "beacon"),
            drops: Drops::default(),
            limits: Limits::SMALL,
        };
        world.handle(Input::LinkUp { link: LINK, info });
        world
    }

    fn handle(&mut self, input: Input) {
        let World { beacons, now, rng, drops, limits } = self;
        beacons.handle(&mut Cx { now: *now, rng, limits, drops, zoo: Zoo::none() }, input);
        beacons.check(limits);
    }

    fn heard(&mut self, from: u32, span: u8, first: bool) -> Vec<Action> {
        self.handle(Input::Heard { link: LINK, from: Addr::from_u32(from), span, first });
        core::iter::from_fn(|| self.beacons.poll()).collect()
    }

    /// What is done in so long, and when.
    fn run(&mut self, span: Duration) -> Vec<(Instant, Action)> {
        let end = self.now + span;
        let mut done = Vec::new();
        while let Wake::At(at, reason) = self.beacons.next_wake()
            && at <= end
        {
            assert_eq!(reason, Reason::Beacon);
            self.now = at;
            let World { beacons, now, rng, drops, limits } = self;
            beacons.wake(&mut Cx { now: *now, rng, limits, drops, zoo: Zoo::none() });
            beacons.check(limits);
            done.extend(core::iter::from_fn(|| self.beacons.poll()).map(|action| (at, action)));
        }
        self.now = end;
        done
    }

    /// Moments at which a beacon is sent in so long.
    fn said(&mut self, span: Duration) -> Vec<Instant> {
        let done = self.run(span);
        done.iter().filter(|(_, action)| matches!(action, Action::Say { .. })).map(|&(at, _)| at).collect()
    }
}

fn meet(addr: u32, new: bool) -> Action {
    Action::Meet { link: LINK, addr: Addr::from_u32(addr), new }
}

#[test]
fn beacons_get_rarer_and_often_again_when_somebody_new_is_heard() {
    let mut world = World::new(lan());
    let first = world.said(Duration::from_secs(1));
    assert!(first.len() >= 2, "{first:?}");
    assert!(first[0].since(Instant::from_micros(5_000_000)) < SHORTEST);
    let late = world.said(Duration::from_secs(1_000));
    let rare = late.windows(2).skip(late.len() - 50);
    for two in rare {
        let gap = two[1].since(two[0]);
        assert!((LONGEST.mul_ratio(1, 2)..=LONGEST.mul_ratio(3, 2)).contains(&gap), "{gap:?}");
    }
    assert_eq!(world.heard(9, 14, true), [meet(9, true)]);
    assert!(world.said(Duration::from_secs(1)).len() >= 2);
    // The same once more is nothing new.
    world.run(Duration::from_secs(60));
    world.heard(9, 14, true);
    assert!(world.said(Duration::from_secs(1)).len() <= 1);
}

#[test]
fn each_beacon_tells_no_less_than_the_time_to_the_next() {
    let mut world = World::new(lan());
    let done = world.run(Duration::from_secs(300));
    let said = |&(at, action): &(Instant, Action)| match action {
        Action::Say { span, .. } => Some((at, UNIT.mul_ratio(1 << span, 1))),
        Action::Meet { .. } | Action::Part { .. } => None,
    };
    let said: Vec<(Instant, Duration)> = done.iter().filter_map(said).collect();
    assert!(said.len() > 30);
    for two in said.windows(2) {
        let gap = two[1].0.since(two[0].0);
        assert!(gap <= two[0].1, "{gap:?} and not {:?}", two[0].1);
        assert!(two[0].1 <= LONGEST.mul_ratio(4, 1));
    }
}

#[test]
fn who_comes_first_calls_and_the_other_only_when_nothing_happens() {
    let mut world = World::new(lan());
    assert_eq!(world.heard(9, 8, false), []);
    assert_eq!(world.heard(9, 8, false), [meet(9, false)]);
    assert_eq!(world.heard(8, 8, true), [meet(8, true)]);
}

#[test]
fn who_is_not_heard_for_long_is_parted_from() {
    let mut world = World::new(lan());
    // 2^10 ms.
    world.heard(9, 10, true);
    let (link, addr) = (LINK, Addr::from_u32(9));
    assert!(!world.beacons.misses(link, addr));
    let part = Action::Part { link, addr };
    world.run(Duration::from_secs(8));
    assert!(!world.beacons.misses(link, addr), "eight intervals of 1.024 s");
    let done = world.run(Duration::from_secs(1));
    assert!(done.iter().any(|&(_, action)| action == part), "{done:?}");
    assert!(world.beacons.misses(link, addr));
    assert!(!world.beacons.misses(LinkId(0), addr), "nothing is known of other links");
}

/// Of the air of a radio all beacons together take a hundredth, and a tenth while something is new.
#[test]
fn more_nodes_send_fewer_beacons_each() {
    let airtime = radio().airtime(BEACON_BYTES);
    assert_eq!(airtime, Duration::from_millis(250));
    for others in [0, 9, 39] {
        let mut world = World::new(radio());
        let all = u64::from(others) + 1;
        let (turns, turn) = (50, Duration::from_secs(300 * all));
        let mut said = 0;
        for round in 0..turns + 2 {
            for other in 0..others {
                world.heard(other + 10, MOST_SPAN, true);
            }
            let count = world.said(turn).len() as u64;
            said += if round < 2 { 0 } else { count };
        }
        let span = turn.mul_ratio(turns, 1);
        let used = airtime.mul_ratio(said * all, 1);
        // Doubling leaves it between a half and all of what it may.
        assert!(used <= span.mul_ratio(3, 200) && used >= span.mul_ratio(1, 200), "{others}: {used:?}");
    }
}

/// A member that says that it beacons each millisecond, or once in a day.
#[test]
fn what_a_beacon_tells_of_the_next_is_believed_within_bounds() {
    let mut world = World::new(lan());
    let (link, addr) = (LINK, Addr::from_u32(9));
    world.heard(9, 0, true);
    world.run(SHORTEST.mul_ratio(MISSED - 1, 1));
    assert_eq!(world.heard(9, 0, true), [meet(9, false)], "not new each time");
    world.heard(9, MOST_SPAN, true);
    world.run(LONGEST.mul_ratio(4 * MISSED + 1, 1));
    assert!(world.beacons.misses(link, addr));
}

#[test]
fn with_the_link_all_who_were_heard_are_gone() {
    let mut world = World::new(lan());
    world.heard(9, 10, true);
    world.handle(Input::LinkDown { link: LINK });
    let part = Action::Part { link: LINK, addr: Addr::from_u32(9) };
    assert_eq!(world.beacons.poll(), Some(part));
    assert_eq!(world.beacons.poll(), None);
}

#[test]
fn no_more_places_are_remembered_than_there_may_be_peers() {
    let mut world = World::new(lan());
    world.limits.peers = 3;
    for other in 0..10 {
        world.heard(other, 10, true);
    }
    assert_eq!(world.beacons.places(), 3);
    assert_eq!(world.heard(9, 10, true), [], "there is no room");
    assert_eq!(world.heard(1, 10, true), [meet(1, false)]);
}

#[test]
fn nothing_is_sent_where_nobody_asked_for_beacons() {
    let mut world = World::new(LinkInfo { beacons: false, ..lan() });
    assert_eq!(world.beacons.next_wake(), Wake::Idle);
    assert_eq!(world.heard(9, 10, true), []);
    world.handle(Input::LinkUp { link: LINK, info: lan() });
    assert!(!world.said(Duration::from_secs(1)).is_empty());
    world.handle(Input::LinkDown { link: LINK });
    assert_eq!(world.beacons.next_wake(), Wake::Idle);
}

#[test]
fn spans_are_rounded_up() {
    for (ms, span) in [(1, 0), (2, 1), (3, 2), (250, 8), (256, 8), (257, 9), (10_000, 14)] {
        assert_eq!(span_of(Duration::from_millis(ms)), span, "{ms}");
    }
    assert_eq!(span_of(Duration::from_micros(0)), 0);
    assert_eq!(span_of(Duration::from_micros(u64::MAX)), MOST_SPAN);
}
