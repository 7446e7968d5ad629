//! Who is found dead, and who is not.

use std::vec;
use std::vec::Vec;

use super::bench::World;
use crate::gossip::message::Message;
use crate::gossip::update::Update;
use crate::gossip::{Suspicion, What};
use crate::ids::RouterId;
use crate::limits::Limits;
use crate::time::{Duration, Instant};

/// The design's figures: first suspicion within 3 s, removal known to all within 10 s, nobody else removed.
fn the_dead_are_found(count: usize, killed: &[usize], minutes: u64) {
    let mut world = World::joined(count);
    world.loss_ppm = 10_000;
    world.run(minutes * 60_000);
    assert!(!world.events.iter().any(|event| event.3 == What::Died), "the living were removed");
    let suspected = world.events.iter().filter(|event| event.3 == What::Suspected).count();
    std::println!("{count} members, {minutes} minutes: suspected {suspected} times, as each member heard it");
    world.events.clear();
    let when = world.now;
    killed.iter().for_each(|&number| world.kill(number));
    world.run(15_000);
    world.check();
    let survivors = count - killed.len();
    let (mut first, mut last) = (0, 0);
    for &number in killed {
        let name = world.name(number);
        let of = |what| {
            let events = world.events.iter().filter(move |event| event.2 == name && event.3 == what);
            events.map(|event| event.0.since(when).as_millis()).collect::<Vec<u64>>()
        };
        let (suspected, died) = (of(What::Suspected), of(What::Died));
        assert_eq!(died.len(), survivors, "{number}");
        first = first.max(suspected[0]);
        last = last.max(died[survivors - 1]);
    }
    std::println!("each suspected within {first} ms, removed by all within {last} ms");
    assert!(first <= 3_000 && last <= 10_000);
    let removed = world.events.iter().filter(|event| event.3 == What::Died).count();
    assert_eq!(removed, survivors * killed.len(), "somebody else was removed");
}

#[test]
fn the_dead_are_found_and_the_living_are_not() {
    the_dead_are_found(120, &[3, 50, 99, 100], 3);
}

#[test]
#[ignore = "minutes: cargo test --release -p proto-core the_dead_of_a_thousand -- --ignored --nocapture"]
fn the_dead_of_a_thousand() {
    the_dead_are_found(1_000, &[3, 50, 99, 100, 333, 400, 500, 777, 800, 999], 60);
}

/// Where a fifth is lost nobody is removed either.
#[test]
fn loss_is_not_taken_for_death() {
    let mut world = World::joined(60);
    world.loss_ppm = 200_000;
    world.run(300_000);
    let of = |what| world.events.iter().filter(|event| event.3 == what).count();
    std::println!("a fifth lost, five minutes: suspected {} times, as each heard it", of(What::Suspected));
    assert_eq!(of(What::Died), 0);
}

/// What it costs when nothing happens.
#[test]
fn a_quiet_network_costs_little() {
    let mut world = World::joined(60);
    world.run(60_000);
    let before: u64 = world.sides.iter().map(|side| side.gossip.bytes_sent()).sum();
    world.run(100_000);
    let after: u64 = world.sides.iter().map(|side| side.gossip.bytes_sent()).sum();
    let rate = (after - before) / 60 / 100;
    std::println!("{rate} bytes a second each, headers of 32 bytes included");
    assert!(rate <= 250, "{rate} bytes a second");
}

/// Lifeguard, section IV-B: the time begins at its most and is shortened by each accuser by log(c + 1) / log(k + 1).
#[test]
fn a_suspicion_shrinks_with_each_accuser() {
    let name = |number: u8| RouterId([number; 8]);
    let (since, least, most) = (Instant::from_micros(5), Duration::from_secs(3), Duration::from_secs(6));
    let ends = |accusers: u8| {
        let suspicion = Suspicion::new((0..accusers).map(name).collect(), since, least, most);
        suspicion.ends_at().since(since).as_millis()
    };
    assert_eq!([1, 2, 3, 4].map(ends), [6_000, 4_500, 3_624, 3_000]);
}

/// SWIM, section 3.1: where only the link between two fails, others are asked, and nobody is suspected.
#[test]
fn others_are_asked_before_anybody_is_suspected() {
    let mut world = World::joined(20);
    let other = world.sides[0].gossip.view().next().unwrap();
    let other = world.number(other);
    world.cut(0, other);
    world.run(60_000);
    assert!(world.messages[&0x32] > 0, "others were asked");
    assert!(!world.events.iter().any(|event| event.3 == What::Suspected));
}

fn suspect(world: &World, member: usize, accuser: usize) -> Message {
    let (member, accusers) = (world.name(member), vec![world.name(accuser)]);
    Message::Updates(vec![Update::Suspect { member, incarnation: 1 << 16, patience_s: 3, accusers }])
}

/// SWIM, section 4.2: who is suspected raises his incarnation, and that overrides the suspicion.
#[test]
fn who_is_suspected_speaks_up() {
    let mut world = World::joined(50);
    world.events.clear();
    let claim = suspect(&world, 7, 3);
    world.message(20, 3, &claim);
    world.run(2_000);
    let name = world.name(7);
    for (at, side) in world.sides.iter().enumerate() {
        let member = side.gossip.members.get(name).unwrap();
        assert_eq!(member.announcement.incarnation, (1 << 16) + 1, "as {at} knows it");
        assert!(member.standing == crate::gossip::Standing::Alive);
    }
    let of = |what| world.events.iter().filter(|event| event.2 == name && event.3 == what).count();
    assert!(of(What::Cleared) > 0 && of(What::Cleared) == of(What::Suspected));
    assert_eq!(of(What::Died), 0);
}

/// Nobody else raises an incarnation: a claim about one that its member has not said is not believed.
#[test]
fn a_claim_about_what_was_never_said_is_not_believed() {
    let mut world = World::joined(10);
    let member = world.name(7);
    let ahead = Update::Dead { member, incarnation: (1 << 16) + 9 };
    let behind = Update::Dead { member, incarnation: 1 };
    world.message(2, 3, &Message::Updates(vec![ahead.clone(), behind.clone()]));
    world.message(7, 3, &Message::Updates(vec![ahead, behind]));
    world.run(5_000);
    for side in &world.sides {
        assert_eq!(side.gossip.members.get(member).unwrap().announcement.incarnation, 1 << 16);
        assert_eq!(side.gossip.present(), 10);
    }
}

/// Lifeguard, section IV-A: who hears nobody suspects himself, waits longer, and recovers.
#[test]
fn who_hears_nobody_doubts_himself() {
    let mut world = World::joined(30);
    for other in 1..30 {
        world.cut(0, other);
    }
    world.run(4_000);
    let health = world.sides[0].gossip.swim.health();
    assert!(health >= 3, "{health}");
    let suspects = world.events.iter().filter(|event| event.1 == 0 && event.3 == What::Suspected).count();
    assert!(suspects > 0);
    world.cut.clear();
    world.run(60_000);
    let health = world.sides[0].gossip.swim.health();
    assert!(health <= 1, "{health}");
    assert!(!world.events.iter().any(|event| event.1 == 0 && event.3 == What::Died));
}

/// Lifeguard, section IV-A: who is asked to probe and hears nothing says at least that, so that the one who asked does not doubt himself.
#[test]
fn who_was_asked_says_that_he_heard_nothing() {
    let mut world = World::joined(30);
    world.run(5_000);
    let dead = world.sides[0].gossip.view().next().unwrap();
    let dead = world.number(dead);
    world.kill(dead);
    world.run(8_000);
    assert!(world.messages[&0x33] > 0);
    for number in world.alive() {
        assert!(world.sides[number].gossip.swim.health() <= 1, "{number}");
    }
}

/// Where every fourth dies at once many are asked to probe who are dead themselves. Who asked them does not doubt his ears for that: the others
/// answer him.
#[test]
fn many_who_die_at_once_are_found_as_soon() {
    the_dead_are_found(40, &[3, 7, 11, 15, 19, 23, 27, 31, 35, 39], 1);
}

/// A question over many hops is dear. Who has neighbours enough to watch him is asked ten times more rarely by those who are far away.
#[test]
fn those_far_away_who_are_guarded_are_asked_rarely() {
    let mut world = World::towns(10);
    world.log = Some(Vec::new());
    world.run(60_000);
    let asked = |world: &World, far: bool| {
        let log = world.log.as_ref().unwrap();
        let pings = log.iter().filter(|(_, from, to, message)| {
            matches!(message, Message::Ping { .. }) && (from / 10 != to / 10) == far
        });
        pings.count()
    };
    let seats = |far: bool| {
        let pairs = (0..20).flat_map(|at| {
            world.sides[at].gossip.view().map(|id| (at, world.number(id))).collect::<Vec<_>>()
        });
        pairs.filter(|(at, other)| (at / 10 != other / 10) == far).count()
    };
    // Of two who watch each other one asks.
    let (near, far) = (seats(false) / 2, seats(true) / 2);
    assert!(near >= 40 && far >= 10, "{near} {far}");
    let (asked_near, asked_far) = (asked(&world, false), asked(&world, true));
    assert!((30 * near..=50 * near).contains(&asked_near), "{asked_near} of {near} pairs");
    assert!((3 * far..=6 * far).contains(&asked_far), "{asked_far} of {far} pairs");
}

/// Who has one neighbour only says so, and those far away look after him as closely: both die at once.
#[test]
fn who_is_not_guarded_is_watched_from_afar() {
    let mut world = World::towns(10);
    let hermit = world.add();
    world.plant();
    world.connect(0, hermit, None);
    for other in 1..20 {
        let member = world.name(other);
        world.input(hermit, crate::gossip::Input::Candidate { member });
    }
    world.run(60_000);
    let far = world.sides[hermit].gossip.view().filter(|&id| id != world.name(0)).count();
    assert!(far >= 1, "{far}");
    world.events.clear();
    let (killed, name) = (world.now, world.name(hermit));
    world.kill(0);
    world.kill(hermit);
    world.run(4_000);
    let suspected = world.events.iter().find(|event| event.2 == name && event.3 == What::Suspected);
    let after = suspected.map(|event| event.0.since(killed));
    assert!(after.is_some_and(|after| after <= Duration::from_millis(3_250)), "{after:?}");
}

/// SWIM, section 4.1: what was told least often goes first, and each as often as it is to be told.
#[test]
fn news_is_told_as_often_as_is_due() {
    let mut world = World::joined(12);
    world.run(120_000);
    let names: Vec<RouterId> = (1..5).map(|number| world.name(number)).collect();
    let members = &mut world.sides[0].gossip.members;
    let mut told = std::collections::BTreeMap::new();
    assert_eq!(members.piggyback(RouterId([9; 8]), 1_000), [], "nothing is left to tell");
    for (number, &name) in names.iter().enumerate() {
        members.tell(name, None);
        // Room for one announcement.
        for _ in 0..number {
            for update in members.piggyback(RouterId([9; 8]), 120) {
                *told.entry(update.member()).or_insert(0) += 1;
            }
        }
    }
    assert!(told.values().all(|&times| times <= 3), "{told:?}");
    loop {
        let updates = members.piggyback(RouterId([9; 8]), 120);
        if updates.is_empty() {
            break;
        }
        assert_eq!(updates.len(), 1);
        *told.entry(updates[0].member()).or_insert(0) += 1;
        let (least, most) = (told.values().min().unwrap(), told.values().max().unwrap());
        assert!(told.len() < 4 || most - least <= 3, "{told:?}");
        members.check(&World::limits());
    }
    // Four times the decimal digits of thirteen.
    assert_eq!(told, names.iter().map(|&name| (name, 8)).collect());
}

/// Lifeguard, section IV-C: the one who is suspected is told so by the next probe, whatever else there is to tell.
#[test]
fn the_suspected_one_is_told_first() {
    let mut world = World::joined(20);
    let accuser = world.sides[7].gossip.view().next().unwrap();
    let accuser = world.number(accuser);
    let name = world.name(7);
    let claim = suspect(&world, 7, 3);
    world.log = Some(Vec::new());
    world.message(accuser, 3, &claim);
    world.run(200);
    let told = world.log.take().unwrap().into_iter().any(|(_, from, to, message)| {
        let Message::Ping { updates, .. } = message else { return false };
        from == accuser && to == 7 && updates.iter().any(|update| update.member() == name)
    });
    assert!(told);
}

/// A machine that was not woken in time takes nobody for dead for that.
#[test]
fn who_was_asleep_does_not_bury_the_living() {
    let mut world = World::joined(20);
    world.run(10_000);
    world.pause(4, true);
    world.run(4_000);
    world.pause(4, false);
    world.run(20_000);
    assert!(!world.events.iter().any(|event| event.3 == What::Died && event.1 == 4), "{:?}", world.events);
}

/// Nor for a suspicion that ran out meanwhile: it could not hear that its member spoke up, and asks around first.
#[test]
fn who_was_asleep_hears_first_what_was_said() {
    let mut world = World::joined(20);
    let claim = suspect(&world, 7, 3);
    world.message(4, 3, &claim);
    world.message(9, 3, &claim);
    world.pause(4, true);
    world.run(7_000);
    world.pause(4, false);
    world.run(20_000);
    assert!(!world.events.iter().any(|event| event.3 == What::Died && event.1 == 4));
    let seven = world.name(7);
    assert!(world.sides[4].gossip.members.get(seven).unwrap().standing == crate::gossip::Standing::Alive);
}

/// A link that is said to be down is no death, but a reason to ask; for its member is in the view of nobody else here.
#[test]
fn who_is_lost_from_sight_is_asked_after() {
    let mut world = World::new(3);
    world.connect(0, 1, None);
    world.connect(1, 2, None);
    world.run(400);
    world.kill(2);
    let member = world.name(2);
    world.input(1, crate::gossip::Input::NeighbourDown { member });
    world.run(15_000);
    assert!(!world.sides[1].gossip.members.get(member).unwrap().is_present());
}

/// He was being asked already when the link was said to be down: he is suspected no later for that.
#[test]
fn who_is_lost_from_sight_while_he_is_asked_is_suspected_in_time() {
    let mut world = World::new(3);
    world.connect(0, 1, None);
    world.connect(1, 2, None);
    world.run(400);
    world.kill(2);
    let (member, killed) = (world.name(2), world.now);
    world.run(2_200);
    assert!(!world.events.iter().any(|event| event.3 == What::Suspected));
    world.input(1, crate::gossip::Input::NeighbourDown { member });
    world.run(2_000);
    let suspected =
        world.events.iter().find(|event| event.2 == member && event.3 == What::Suspected).unwrap();
    // A silence of 1.5 s and an eighth, and six half answers of 500 ms.
    assert!(suspected.0.since(killed) <= Duration::from_millis(1_688 + 1_500), "{:?}", suspected.0);
}

/// All who watch one die with him: a probe from far away finds him.
#[test]
fn who_is_watched_by_nobody_is_found_later() {
    let mut world = World::joined(40);
    world.run(10_000);
    let watchers: Vec<usize> = world.sides[7].gossip.view().map(|id| world.number(id)).collect();
    watchers.iter().for_each(|&number| world.kill(number));
    world.kill(7);
    world.run(400_000);
    let left = 40 - 1 - watchers.len();
    for number in world.alive() {
        assert_eq!(world.sides[number].gossip.present(), left, "as {number} knows it");
    }
}

/// Where the purse is small members are probed more rarely, and still found.
#[test]
fn a_small_purse_makes_patient() {
    let limits = Limits { gossip_rate: 200, ..World::limits() };
    let mut world = World::joined_with(10, limits);
    world.run(300_000);
    let before: u64 = world.sides.iter().map(|side| side.gossip.bytes_sent()).sum();
    world.run(100_000);
    let after: u64 = world.sides.iter().map(|side| side.gossip.bytes_sent()).sum();
    let rate = (after - before) / 10 / 100;
    assert!(rate <= 100, "{rate} bytes a second");
    world.kill(3);
    world.run(300_000);
    assert!(world.alive().into_iter().all(|number| world.sides[number].gossip.present() == 9));
}
