//! The map where air is scarce: few words, together, and patience with packets.

use std::vec;
use std::vec::Vec;

use super::bench::{CABLE, World};
use crate::limits::Limits;
use crate::routing::metric::Quality;
use crate::routing::record::{Part, RecordKey};
use crate::time::{Duration, Instant};

/// A turn of LoRa at SF9: a packet of 240 bytes.
const TURN: Duration = Duration::from_millis(1_200);
const RADIO: Quality =
    Quality { srtt: Duration::from_secs(5), loss_ppm: 0, rate_bps: Some(1_757), scarce: TURN };

fn turns(count: u64) -> Duration {
    TURN.mul_ratio(count, 1)
}

fn sequence(world: &World, at: usize, of: usize) -> u64 {
    let key = RecordKey { router: world.router(of), part: Part::page(0).unwrap() };
    world.sides[at].routing.database.sequence(key).unwrap_or(0)
}

/// When a router spoke of its links in so many seconds, while the world is changed in each.
fn words(world: &mut World, seconds: u64, mut change: impl FnMut(&mut World, u64)) -> Vec<Instant> {
    let mut words = vec![];
    for second in 0..seconds {
        change(world, second);
        let before = sequence(world, 0, 0);
        world.run(1_000);
        if sequence(world, 0, 0) != before {
            words.push(world.now);
        }
    }
    words
}

/// A neighbour comes each minute, and one goes: on cables each is said, on radios what has gathered in 256 turns.
#[test]
fn a_router_says_one_word_in_256_turns() {
    for (quality, least, most) in [(CABLE, 50, 60), (RADIO, 10, 12)] {
        let mut world = World::new(8);
        world.connect(0, 1, quality);
        world.run(1_000_000);
        let words = words(&mut world, 3_600, |world, second| {
            // Six come, then six go.
            let (minute, other) = (second / 60, 2 + (second / 60 % 6) as usize);
            match (second % 60, minute / 6 % 2) {
                (0, 0) => world.connect(0, other, quality),
                (0, _) => world.disconnect(0, other),
                _ => {}
            }
        });
        assert!((least..=most).contains(&words.len()), "{} words", words.len());
        let gaps = words.iter().zip(words.iter().skip(1)).map(|(first, second)| second.since(*first));
        let shortest = gaps.min().unwrap();
        assert!(quality == CABLE || shortest + Duration::from_secs(1) >= turns(256), "{shortest:?}");
        // What was said last is how it is.
        world.run(600_000);
        assert_eq!(sequence(&world, 1, 0), sequence(&world, 0, 0));
    }
}

/// Costs are a reason to speak once an hour, and not when they have merely doubled.
#[test]
fn costs_are_said_once_an_hour_when_they_are_four_times_as_high() {
    let mut world = World::new(2);
    world.connect(0, 1, RADIO);
    world.run(4_000_000);
    let cost = |world: &mut World, times: u64| {
        let quality = Quality { srtt: RADIO.srtt.mul_ratio(times, 1), rate_bps: None, ..RADIO };
        world.links.insert((0, 1), quality);
    };
    // Airtime of 1,200 bytes and a round trip are some 10 s.
    let said = words(&mut world, 7_200, |world, _| cost(world, 4));
    assert_eq!(said.len(), 0, "twice as much");
    let said = words(&mut world, 4 * 3_600, |world, second| {
        cost(world, if second / 1_200 % 2 == 0 { 16 } else { 1 })
    });
    assert!((3..=5).contains(&said.len()), "{} words in four hours", said.len());
    let gaps = said.iter().zip(said.iter().skip(1)).map(|(first, second)| second.since(*first));
    assert!(gaps.min() >= Some(Duration::from_secs(3_599)), "{said:?}");
}

/// What comes within 16 turns goes on in one message.
#[test]
fn news_are_passed_on_together() {
    let mut world = World::new(6);
    world.connect(0, 1, RADIO);
    world.run(1_000_000);
    for other in 2..6 {
        world.connect(0, other, RADIO);
    }
    let (mut heard, begun) = (vec![], world.now);
    for _ in 0..3_000 {
        let before = (world.sides[0].routing.size().0, world.sides[1].routing.size().0);
        world.run(100);
        let after = (world.sides[0].routing.size().0, world.sides[1].routing.size().0);
        heard.push((before.0 != after.0, before.1 != after.1));
    }
    let times = |which: fn(&(bool, bool)) -> bool| heard.iter().filter(|news| which(news)).count();
    assert!(times(|news| news.0) >= 1 && times(|news| news.1) == 1, "four routers in one message");
    let at = |which: fn(&(bool, bool)) -> bool| heard.iter().position(which).unwrap() as u64 * 100;
    let waited = Duration::from_millis(at(|news| news.1) - at(|news| news.0));
    assert!(waited >= turns(16), "{waited:?} after {:?}", world.now.since(begun));
}

/// However much there is to tell: two messages are under way to one neighbour.
#[test]
fn two_messages_at_a_time() {
    for (quality, most) in [(CABLE, 8), (RADIO, 2)] {
        let mut world = World::new(34);
        for other in 1..33 {
            world.connect(0, other, CABLE);
        }
        world.run(10_000);
        (1..33).for_each(|other| world.disconnect(0, other));
        world.run(10_000);
        let quality = Quality { srtt: Duration::from_secs(10_000), ..quality };
        world.connect(0, 33, quality);
        let before = world.messages;
        // What it lacks, asked for from the other side by hand: nothing comes back in this time.
        let peer = crate::ids::PeerSlot(33);
        let routers: Vec<RecordKey> = (1..33)
            .flat_map(|of| [Part::PAPERS, Part::page(0).unwrap()].map(|part| (of, part)))
            .map(|(of, part)| RecordKey { router: world.router(of), part })
            .collect();
        let neighbour = world.sides[0].routing.neighbours.get_mut(&peer).unwrap();
        routers.into_iter().for_each(|key| neighbour.owe(key));
        world.run(2_000_000);
        let under_way = world.messages - before;
        // One side has all of it to tell, the other a summary and its own records.
        assert!(under_way > most && under_way <= 2 * most, "{under_way} messages");
    }
}

/// A packet waits 512 turns for a way, not ten seconds; and the neighbour that has it is given 256 to confirm it.
#[test]
fn a_packet_waits_for_minutes() {
    for (quality, waits) in [(CABLE, Duration::from_secs(10)), (RADIO, turns(512))] {
        let mut world = World::new(3);
        world.connect(0, 1, quality);
        world.connect(1, 2, quality);
        world.run(4_000_000);
        world.disconnect(1, 2);
        world.run(1_000_000);
        world.send(1, 2, b"wait");
        let begun = world.now;
        while world.sides[1].routing.custody.bytes() > 0 {
            world.run(1_000);
            assert!(world.now.since(begun) < Duration::from_secs(3_600), "it is never let go");
        }
        let waited = world.now.since(begun);
        assert!(waited >= waits && waited <= waits + Duration::from_secs(2), "{waited:?}");
    }
    let more = RADIO.patience().saturating_sub(Quality { scarce: Duration::ZERO, ..RADIO }.patience());
    assert_eq!(more, turns(256));
}

/// A router to which nothing leads stays on the map for 2^16 turns, a day, where an hour is not enough to tell the pages that lead to it.
#[test]
fn who_is_lost_is_remembered_for_a_day() {
    for (quality, hours) in [(CABLE, 1), (RADIO, 22)] {
        let limits = Limits { routers: 8, ..Limits::SMALL };
        let mut world = World::with_limits(3, limits);
        world.connect(0, 1, quality);
        world.connect(1, 2, quality);
        world.run(4_000_000);
        assert_eq!(world.sides[0].routing.size().0, 3);
        world.disconnect(1, 2);
        world.run((hours * 3_600 - 1_200) * 1_000);
        assert_eq!(world.sides[0].routing.size().0, 3, "{hours} hours are not over");
        world.run(2 * 3_600 * 1_000);
        assert_eq!(world.sides[0].routing.size().0, 2);
    }
}
