//! Relays that take packets and do not pass them on.

use super::bench::{CABLE, World};
use crate::ids::RouterId;
use crate::routing::detour::Avoided;
use crate::routing::metric::Quality;
use crate::time::Duration;

const FAST: usize = 1;
const SLOW: usize = 2;

/// From 0 to 3 two ways, by 1 and by 2 with a delay; 4 lies behind 3.
fn two_ways() -> World {
    let mut world = World::new(6);
    let slow = Quality { srtt: Duration::from_millis(20), ..CABLE };
    for (a, b, quality) in
        [(0, FAST, CABLE), (FAST, 3, CABLE), (0, SLOW, slow), (SLOW, 3, slow), (3, 4, CABLE)]
    {
        world.connect(a, b, quality);
    }
    world.run(1_000);
    world
}

/// One asks another until it is answered, as handshakes do; so many questions were sent.
fn ask(world: &mut World, from: usize, to: usize) -> usize {
    let (mut asked, before, name) = (0, world.delivered.len(), world.router(to));
    while world.delivered.len() == before && asked < 20 {
        let now = world.now;
        world.sides[from].routing.asked(now, name, None, true);
        world.send(from, to, b"ask");
        asked += 1;
        world.run(75);
    }
    asked
}

fn answered(world: &mut World, at: usize, from: usize) {
    let (now, name) = (world.now, world.router(from));
    world.sides[at].routing.has_answered(now, name);
}

/// Whether a packet arrives, at once, and how long it took.
fn goes(world: &mut World, from: usize, to: usize) -> Option<Duration> {
    let (before, sent) = (world.delivered.len(), world.now);
    world.send(from, to, b"goes");
    world.run(75);
    world.delivered.get(before).map(|delivered| delivered.when.since(sent))
}

/// The second question goes another way; the answer comes back by it, though the end that answers knows of nothing.
#[test]
fn a_question_goes_round_who_swallows_it_and_so_does_its_answer() {
    let mut world = two_ways();
    world.sides[FAST].routing.swallow(true);
    assert_eq!(goes(&mut world, 0, 3), None);
    assert_eq!(ask(&mut world, 0, 3), 2);
    assert_eq!(goes(&mut world, 3, 0), Some(Duration::from_millis(20)));
}

/// An answer shows who was to blame: packets to others avoid him as well, until one asked by him is answered.
#[test]
fn who_swallows_is_avoided_on_the_way_to_others() {
    let mut world = two_ways();
    world.sides[FAST].routing.swallow(true);
    ask(&mut world, 0, 3);
    assert_eq!(goes(&mut world, 0, 4), None, "blamed only when an answer has come");
    answered(&mut world, 0, 3);
    assert_eq!(goes(&mut world, 0, 4), Some(Duration::from_millis(21)));
    // He passes on again, and the other does not any more.
    world.sides[FAST].routing.swallow(false);
    world.sides[SLOW].routing.swallow(true);
    assert_eq!(ask(&mut world, 0, 4), 2);
    answered(&mut world, 0, 4);
    // What was answered by the other before goes on that way until it is missed.
    assert_eq!(ask(&mut world, 0, 3), 2);
    assert_eq!(goes(&mut world, 0, 3), Some(Duration::from_millis(2)));
}

/// An answer that has to be given again takes another way, and nobody is suspected: anybody can repeat a question.
#[test]
fn an_answer_that_comes_again_goes_another_way_and_blames_nobody() {
    let mut world = two_ways();
    world.sides[FAST].routing.swallow(true);
    let name = world.router(0);
    for (nth, arrives) in [(0, None), (1, Some(Duration::from_millis(20)))] {
        let now = world.now;
        world.sides[3].routing.asked(now, name, None, false);
        assert_eq!(goes(&mut world, 3, 0), arrives, "answer {nth}");
    }
    answered(&mut world, 3, 0);
    assert_eq!(goes(&mut world, 4, 0), None, "it has told nobody");
    world.sides[FAST].routing.swallow(false);
    world.connect(0, 5, CABLE);
    world.run(500);
    assert_eq!(goes(&mut world, 3, 5), Some(Duration::from_millis(3)), "by the short way");
}

/// Who stands on a way that was answered is not suspected any more.
#[test]
fn an_answer_clears_those_who_passed_it_on() {
    let mut world = two_ways();
    world.sides[FAST].routing.swallow(true);
    ask(&mut world, 0, 3);
    answered(&mut world, 0, 3);
    assert_eq!(goes(&mut world, 0, 4), Some(Duration::from_millis(21)));
    // There is one way only to this one.
    world.sides[FAST].routing.swallow(false);
    world.connect(FAST, 5, CABLE);
    world.run(500);
    assert_eq!(ask(&mut world, 0, 5), 1);
    assert_eq!(goes(&mut world, 0, 4), Some(Duration::from_millis(21)), "only an answer says so");
    answered(&mut world, 0, 5);
    assert_eq!(goes(&mut world, 0, 4), Some(Duration::from_millis(3)));
}

/// One that was only heard of makes room for one that is asked, and gets none where all places are of such.
#[test]
fn made_up_sources_take_no_place_of_those_that_were_asked() {
    let mut world = World::grid(6);
    world.run(3_000);
    let ask_once = |world: &mut World, to: usize| {
        world.now += Duration::from_millis(150);
        let (now, name) = (world.now, world.router(to));
        world.sides[0].routing.asked(now, name, None, true);
    };
    let avoid = [Avoided::router(world.router(1))];
    let hear = |world: &mut World| {
        for number in 0..40 {
            let (now, name) = (world.now, RouterId([number, 1, 2, 3, 4, 5, 6, 7]));
            world.sides[0].routing.other_end_avoids(now, name, &avoid);
        }
        let limits = world.sides[0].limits.clone();
        world.sides[0].routing.check(&limits);
    };
    // Twice, so that there is somebody to blame; the last place of 32 is left.
    [35, 35].into_iter().chain(4..34).for_each(|to| ask_once(&mut world, to));
    hear(&mut world);
    ask_once(&mut world, 34);
    hear(&mut world);
    let (now, name) = (world.now, world.router(35));
    assert!(!world.sides[0].routing.avoided(now, name).is_empty(), "forgotten");
}

/// One that is gone does not answer by any way: nobody is to blame for it.
#[test]
fn nobody_is_blamed_where_nobody_answers() {
    let mut world = two_ways();
    world.cut(3, 4);
    assert_eq!(ask(&mut world, 0, 4), 20);
    assert_eq!(goes(&mut world, 0, 3), Some(Duration::from_millis(2)));
    // It is back when it has been asked in vain for longer than a moment.
    world.connect(3, 4, CABLE);
    world.run(3_000);
    answered(&mut world, 0, 4);
    assert_eq!(goes(&mut world, 0, 3), Some(Duration::from_millis(2)));
}

/// A way that has brought an answer is kept though a shorter one is not suspected: that may be of another who swallows.
#[test]
fn a_way_that_was_answered_is_kept() {
    let mut world = two_ways();
    for side in [FAST, SLOW] {
        world.sides[side].routing.swallow(true);
    }
    // A third way, longer than the other two.
    let late = Quality { srtt: Duration::from_millis(40), ..CABLE };
    world.connect(0, 5, late);
    world.connect(5, 3, late);
    world.run(1_000);
    assert_eq!(ask(&mut world, 0, 3), 3);
    answered(&mut world, 0, 3);
    // What is known of the others is forgotten before the way is.
    world.sides[SLOW].routing.swallow(false);
    assert_eq!(ask(&mut world, 0, SLOW), 1);
    for _ in 0..3 {
        assert_eq!(goes(&mut world, 0, 3), Some(Duration::from_millis(40)));
    }
}

/// Where there is one way only it is taken.
#[test]
fn who_is_avoided_is_better_than_nobody() {
    let mut world = two_ways();
    world.sides[FAST].routing.swallow(true);
    ask(&mut world, 0, 3);
    answered(&mut world, 0, 3);
    world.sides[FAST].routing.swallow(false);
    world.disconnect(0, SLOW);
    world.run(500);
    assert_eq!(goes(&mut world, 0, 3), Some(Duration::from_millis(2)));
    // An answer, too, though the question avoided them all.
    let mut world = two_ways();
    let (now, name) = (world.now, world.router(0));
    let avoid = [FAST, SLOW].map(|side| Avoided::router(world.router(side)));
    world.sides[3].routing.other_end_avoids(now, name, &avoid);
    assert_eq!(goes(&mut world, 3, 0), Some(Duration::from_millis(2)));
}

/// A relay that has no other exit than one that the packet names takes it, rather than keep the packet.
#[test]
fn a_relay_without_another_exit_avoids_nobody() {
    let mut world = two_ways();
    world.sides[FAST].routing.swallow(true);
    ask(&mut world, 0, 3);
    world.sides[FAST].routing.swallow(false);
    // The packet is in the hands of the other when the rest of its way breaks.
    let before = world.delivered.len();
    world.send(0, 3, b"goes");
    world.cut(SLOW, 3);
    world.run(60);
    world.disconnect(SLOW, 3);
    world.run(5_000);
    assert_eq!(world.delivered.len(), before + 1);
}

/// Of those on one way the worst is named, and no other: round him they need not be on the way.
#[test]
fn no_more_are_named_than_lead_round() {
    let (mut world, from, to) = (World::new(5), 0, 3);
    let slow = Quality { srtt: Duration::from_millis(20), ..CABLE };
    for (a, b, quality) in [(from, 1, CABLE), (1, 2, CABLE), (2, to, CABLE), (from, 4, slow), (4, to, slow)] {
        world.connect(a, b, quality);
    }
    world.run(1_000);
    let named = |world: &mut World| {
        let (now, to) = (world.now, world.router(to));
        world.sides[from].routing.avoided(now, to)
    };
    assert_eq!(named(&mut world), []);
    world.sides[1].routing.swallow(true);
    assert_eq!(ask(&mut world, from, to), 2);
    assert_eq!(named(&mut world).len(), 1, "both are to blame");
    // The other end has something against one of them.
    for worse in [1, 2] {
        let (now, name, worst) = (world.now, world.router(to), Avoided::router(world.router(worse)));
        world.sides[from].routing.other_end_avoids(now, name, &[worst]);
        assert_eq!(named(&mut world), [worst]);
    }
}

/// Many liars, questions and destinations take no more room than there is.
#[test]
fn what_is_remembered_of_detours_has_bounds() {
    let mut world = World::grid(9);
    world.run(3_000);
    for side in 0..81 {
        world.sides[side].routing.swallow(side % 3 == 1);
    }
    for to in 20..81 {
        let name = world.router(to);
        for _ in 0..12 {
            world.now += Duration::from_millis(150);
            let now = world.now;
            world.sides[0].routing.asked(now, name, None, true);
            let _ = world.sides[0].routing.avoided(now, name);
            let limits = world.sides[0].limits.clone();
            world.sides[0].routing.check(&limits);
        }
        answered(&mut world, 0, to);
    }
}
