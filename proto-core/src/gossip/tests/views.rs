//! Who talks to whom.

use std::vec::Vec;

use proptest::prelude::*;

use super::bench::World;
use crate::gossip::message::Message;
use crate::ids::RouterId;
use crate::limits::Limits;

/// HyParView, section 4.1: the active view is symmetric; and 5.3: the overlay is connected.
#[test]
fn views_are_symmetric_small_and_connected() {
    let mut world = World::joined(200);
    world.run(60_000);
    world.check();
    assert_eq!(world.parts(), (1, 0));
    let sizes: Vec<usize> = world.sides.iter().map(|side| side.gossip.view().count()).collect();
    assert!(sizes.iter().all(|size| (2..=8).contains(size)), "{sizes:?}");
    let full = sizes.iter().filter(|&&size| size >= 5).count();
    assert!(full >= 190, "{full} have five");
}

/// HyParView, section 4.3, and 5.4 with its figure of many that fail at once: the passive view makes good what the active one loses.
#[test]
fn views_heal_when_half_of_all_die() {
    let mut world = World::joined(150);
    world.run(60_000);
    for number in (0..150).step_by(2) {
        world.kill(number);
    }
    world.run(60_000);
    world.check();
    assert_eq!(world.parts().0, 1);
    let id = world.say(1, b"who is left?");
    world.run(3_000);
    assert_eq!(world.missed(1, id), []);
}

/// HyParView, section 4.4: shuffles mix the passive views, which know many more than they met when they joined.
#[test]
fn shuffles_fill_the_passive_view() {
    let mut world = World::joined(100);
    let reserve =
        |world: &World| -> usize { world.sides.iter().map(|side| side.gossip.views.passive().len()).sum() };
    let before = reserve(&world);
    world.run(600_000);
    let after = reserve(&world);
    assert!(after > 2 * before && after > 100 * 15, "{before} names, then {after}");
}

/// A grid of cables: a payload crosses each link about once, since it goes to neighbours.
#[test]
fn neighbours_are_preferred() {
    let mut world = World::new(49);
    world.plant();
    for number in 0..49 {
        if number % 7 > 0 {
            world.connect(number - 1, number, None);
        }
        if number >= 7 {
            world.connect(number - 7, number, None);
        }
    }
    for a in 0..49 {
        for b in 0..49 {
            let member = world.name(b);
            world.input(a, crate::gossip::Input::Candidate { member });
        }
    }
    world.run(20_000);
    world.check();
    assert_eq!(world.parts(), (1, 0));
    for number in 0..20u8 {
        world.say(usize::from(number), &[number; 100]);
        world.run(500);
    }
    let (mut near, mut far) = (0, 0);
    for side in &world.sides {
        for (id, seat) in side.gossip.views.active() {
            let eager = side.gossip.tree.branches[id].eager;
            near += usize::from(seat.near && eager);
            far += usize::from(!seat.near && eager);
        }
        let seats = side.gossip.views.active().values();
        assert!(seats.filter(|seat| !seat.near).count() >= 1, "and some others");
    }
    assert!(far * 10 <= near, "{near} eager branches to neighbours, {far} to others");
}

/// Two villages joined by one road, each too large for all to talk to all: others far away hold them together.
#[test]
fn a_bridge_that_finds_no_seat_does_not_part_the_network() {
    let mut world = World::new(40);
    world.plant();
    for village in [0, 20] {
        for a in village..village + 20 {
            for b in village..a {
                world.connect(a, b, None);
            }
        }
    }
    world.run(3_000);
    world.connect(0, 20, None);
    for a in 0..40 {
        for b in 0..40 {
            let member = world.name(b);
            world.input(a, crate::gossip::Input::Candidate { member });
        }
    }
    world.run(20_000);
    world.check();
    assert_eq!(world.parts(), (1, 0));
    let id = world.say(3, b"hello");
    world.run(3_000);
    assert_eq!(world.missed(3, id), []);
}

/// A star whose middle has fewer seats than there are leaves.
#[test]
fn leaves_that_find_no_seat_find_each_other() {
    let mut world = World::new(30);
    world.plant();
    for leaf in 1..30 {
        world.connect(0, leaf, None);
    }
    for a in 0..30 {
        for b in 0..30 {
            let member = world.name(b);
            world.input(a, crate::gossip::Input::Candidate { member });
        }
    }
    world.run(60_000);
    world.check();
    assert_eq!(world.parts().0, 1);
    let id = world.say(9, b"hello");
    world.run(3_000);
    assert_eq!(world.missed(9, id), []);
}

/// Names that do not exist, from a liar, fill nothing but the reserve, and are given up.
#[test]
fn made_up_names_do_not_fill_the_view() {
    let mut world = World::joined(20);
    let before: Vec<RouterId> = world.sides[0].gossip.view().collect();
    for number in 0..200u8 {
        let members = (0..7).map(|other| RouterId([number, other, 0xee, 0, 0, 0, 0, 1])).collect();
        world.message(0, 1, &Message::ShuffleReply { members });
        let joined = RouterId([number, 9, 0xee, 0, 0, 0, 0, 1]);
        world.message(0, 1, &Message::ForwardJoin { joined, hops: 0 });
    }
    world.check();
    world.run(60_000);
    world.check();
    let still = world.sides[0].gossip.view().filter(|id| before.contains(id)).count();
    assert!(still * 2 >= before.len());
    let id = world.say(0, b"hello");
    world.run(3_000);
    assert_eq!(world.missed(0, id), []);
}

#[derive(Clone, Debug)]
enum Step {
    Connect(usize, usize),
    Disconnect(usize, usize),
    Join(usize, usize),
    Candidate(usize, usize),
    Say(usize),
    Restart(usize),
    Garbage(usize, usize, Vec<u8>),
    Pause(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let side = 0usize..7;
    prop_oneof![
        (side.clone(), side.clone()).prop_map(|(a, b)| Step::Connect(a, b)),
        (side.clone(), side.clone()).prop_map(|(a, b)| Step::Disconnect(a, b)),
        (side.clone(), side.clone()).prop_map(|(a, b)| Step::Join(a, b)),
        (side.clone(), side.clone()).prop_map(|(a, b)| Step::Candidate(a, b)),
        side.clone().prop_map(Step::Say),
        side.clone().prop_map(Step::Restart),
        (side.clone(), side, 0x20u8..0x34, proptest::collection::vec(any::<u8>(), 0..60)).prop_map(
            |(a, b, kind, mut bytes)| {
                bytes.insert(0, kind);
                Step::Garbage(a, b, bytes)
            }
        ),
        (1u64..3_000).prop_map(Step::Pause),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Whatever comes, in whatever order: the invariants hold, nothing is delivered twice, and what waits comes to an end.
    #[test]
    fn invariants_hold_whatever_comes(steps in proptest::collection::vec(step(), 1..60), tiny: bool) {
        let limits = if tiny { Limits { gossip_members: 5, ..Limits::TINY } } else { World::limits() };
        let mut world = World::with_limits(7, limits);
        world.loss_ppm = 100_000;
        for step in steps {
            match step {
                Step::Connect(a, b) if a != b => world.connect(a, b, None),
                Step::Disconnect(a, b) => {
                    for (at, other) in [(a, b), (b, a)] {
                        let member = world.name(other);
                        world.input(at, crate::gossip::Input::NeighbourDown { member });
                    }
                }
                Step::Join(a, b) if a != b => world.join(a, b),
                Step::Candidate(a, b) => {
                    let member = world.name(b);
                    world.input(a, crate::gossip::Input::Candidate { member });
                }
                Step::Say(a) => drop(world.say(a, b"hello")),
                Step::Restart(a) => world.restart(a),
                Step::Garbage(a, b, bytes) => world.raw(a, b, bytes.into()),
                Step::Pause(ms) => world.run(ms),
                Step::Connect(..) | Step::Join(..) => {}
            }
            world.check();
        }
        world.run(100_000);
        world.check();
        prop_assert!(world.delivered.iter().all(|((_, _), times)| times.len() == 1 || world.restarted));
    }
}
