//! A network that is larger than its maps: landmarks, ways to them, and those who are looked for.

use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

use bytes::Bytes;

use super::bench::{CABLE, World, identity, network};
use super::records::papers;
use crate::drops::Drop;
use crate::ids::{NodeId, PeerSlot, RouterId};
use crate::limits::Limits;
use crate::routing::message::{Builder, Entry};
use crate::routing::metric::Quality;
use crate::routing::record::{Content, Part, RecordKey, SignedRecord};
use crate::routing::{Action, Input};
use crate::time::Duration;

const SIDE: usize = 10;

/// A square of routers each of which knows a fifth of it, when it has settled.
fn settled() -> World {
    let mut world = World::grid_with(SIDE as u16, Limits { routers: 20, ..Limits::SMALL });
    world.run(60_000);
    world
}

fn numbers(world: &World) -> BTreeMap<RouterId, usize> {
    (0..world.sides.len()).map(|at| (world.router(at), at)).collect()
}

fn landmarks_at(world: &World, at: usize) -> BTreeSet<RouterId> {
    world.sides[at].routing.landmarks().map(|(router, _)| router).collect()
}

/// Those who say that they are landmarks.
fn landmarks(world: &World) -> BTreeSet<RouterId> {
    let all = (0..world.sides.len()).map(|at| (world.router(at), world.sides[at].routing.home()));
    all.filter(|&(router, home)| home == Some(router)).map(|(router, _)| router).collect()
}

/// Everybody but these is kept by a landmark, which has it on its map.
fn assert_all_are_kept(world: &World, but: &[usize]) {
    let number = numbers(world);
    for at in (0..world.sides.len()).filter(|at| !but.contains(at)) {
        let home = world.sides[at].routing.home();
        let home = home.unwrap_or_else(|| panic!("nobody keeps {at}"));
        let keeper = &world.sides[number[&home]].routing;
        assert_eq!(keeper.home(), Some(home), "{home}, which keeps {at}, is a landmark");
        assert!(keeper.database.leads_to(world.router(at)), "{home} keeps {at}, and does not know it");
    }
}

/// From everywhere the ways to all landmarks end there, each hop nearer than the one before: the pair of word and least distance falls.
fn assert_ways_end(world: &World, but: &[usize]) {
    let number = numbers(world);
    for from in (0..world.sides.len()).filter(|at| !but.contains(at)) {
        for landmark in landmarks_at(world, from) {
            let (mut at, mut hops) = (from, 0);
            while world.router(at) != landmark {
                let way = world.sides[at].routing.large.landmarks.way(landmark);
                let way = way.unwrap_or_else(|| panic!("{at} on the way from {from} has none to {landmark}"));
                at = usize::from(way.peer.unwrap().0);
                hops += 1;
                assert!(hops <= world.sides.len(), "a circle from {from} to {}", number[&landmark]);
            }
        }
    }
}

#[test]
fn everybody_is_kept_by_a_landmark_and_knows_the_way_to_all() {
    let world = settled();
    assert_all_are_kept(&world, &[]);
    let all = landmarks(&world);
    assert!((5..=25).contains(&all.len()), "{} landmarks", all.len());
    for at in 0..world.sides.len() {
        assert_eq!(landmarks_at(&world, at), all, "{at} knows others");
    }
    assert_ways_end(&world, &[]);
}

/// Whoever sends knows nothing but the landmark; the packet goes by it only as far as it has to.
#[test]
fn a_packet_reaches_whoever_is_not_on_the_map() {
    let mut world = settled();
    let number = numbers(&world);
    let (mut hops, mut least) = (0, 0);
    let mut sent = 0;
    for from in 0..world.sides.len() {
        let to = (from * 37 + 55) % world.sides.len();
        if world.sides[from].routing.database.leads_to(world.router(to)) || from == to {
            continue;
        }
        let home = world.sides[to].routing.home().unwrap();
        let before = world.now;
        world.send_afar(from, to, home, b"far");
        world.run(1_000);
        sent += 1;
        assert_eq!(world.delivered.len(), sent, "from {from} to {to} by {}", number[&home]);
        let delivered = &world.delivered[sent - 1];
        assert_eq!((delivered.at, delivered.from), (to, world.router(from)));
        let back = world.sides[from].routing.home();
        let is_known = world.sides[to].routing.database.leads_to(world.router(from));
        assert_eq!(delivered.home, back.filter(|_| !is_known), "where an answer goes");
        hops += delivered.when.since(before).as_millis();
        least += (from % SIDE).abs_diff(to % SIDE) + (from / SIDE).abs_diff(to / SIDE);
    }
    assert!(sent > 60, "{sent}");
    let percent = hops * 100 / least as u64;
    assert!((100..125).contains(&percent), "ways are {percent} % of the shortest");
}

#[test]
fn whoever_is_looked_for_is_found() {
    let mut world = settled();
    for at in 0..world.sides.len() {
        assert_eq!(world.sides[at].routing.places_kept(), 2, "the address of {at} is kept by two");
    }
    for from in (0..100).step_by(7) {
        let to = 99 - from;
        world.said.clear();
        world.seek(from, identity(to as u16).node());
        world.run(1_000);
        let (router, home) = (world.router(to), world.sides[to].routing.home().unwrap());
        let certificate = identity(to as u16);
        let (node, key) = (certificate.node(), certificate.certificate().dh_key);
        assert_eq!(world.said, [(from, Action::Found { node, router, home, key })], "{from} looks for {to}");
    }
}

#[test]
fn whom_nobody_knows_is_looked_for_ever_more_rarely() {
    let mut world = settled();
    world.seek(0, NodeId([9; 32]));
    world.run(100_000);
    let in_vain = world.said.len();
    assert!((3..=8).contains(&in_vain), "{in_vain}");
    assert!(world.said.iter().all(|said| *said == (0, Action::InVain { node: NodeId([9; 32]) })));
    world.sides[0].routing.stop_seeking(NodeId([9; 32]));
    world.run(1_000_000);
    assert_eq!(world.said.len(), in_vain);
}

/// A landmark that does not keep somebody says so to whoever sends there.
#[test]
fn a_packet_for_somebody_who_is_kept_elsewhere_is_turned_away() {
    let mut world = settled();
    let number = numbers(&world);
    let keeps = |world: &World, home: &RouterId, at: usize| {
        world.sides[number[home]].routing.database.known(world.router(at)).is_some()
    };
    let wrong =
        landmarks(&world).into_iter().find(|home| !keeps(&world, home, 0) && !keeps(&world, home, 99));
    let wrong = wrong.expect("a landmark that keeps neither");
    world.send_afar(0, 99, wrong, b"lost");
    world.run(1_000);
    assert_eq!(world.delivered, []);
    assert_eq!(world.said, [(0, Action::Astray { router: world.router(99) })]);
    assert_eq!(world.sides[number[&wrong]].drops.get(Drop::Astray), 1);
}

/// A landmark that is cut off is nobody's any more, and ways to it lead nowhere rather than in circles; when it is back all is as before.
#[test]
fn a_landmark_that_is_gone_is_replaced() {
    let mut world = settled();
    let number = numbers(&world);
    let is_inside = |at: usize| (1..SIDE - 1).contains(&(at % SIDE)) && (1..SIDE - 1).contains(&(at / SIDE));
    let gone = landmarks(&world).into_iter().map(|router| number[&router]).find(|&at| is_inside(at)).unwrap();
    let others = [gone - 1, gone + 1, gone - SIDE, gone + SIDE];
    for other in others {
        world.disconnect(gone, other);
    }
    world.run(200);
    assert_ways_end(&world, &[gone]);
    world.run(30_000);
    assert_all_are_kept(&world, &[gone]);
    assert_ways_end(&world, &[gone]);
    for at in (0..world.sides.len()).filter(|&at| at != gone) {
        assert!(!landmarks_at(&world, at).contains(&world.router(gone)), "{at} has a way to it");
    }
    for other in others {
        world.connect(gone, other, CABLE);
    }
    world.run(30_000);
    assert_all_are_kept(&world, &[]);
    assert_ways_end(&world, &[]);
    let all = landmarks(&world);
    assert!((0..world.sides.len()).all(|at| landmarks_at(&world, at) == all));
}

/// Where a way becomes longer so that nobody left is feasible, a newer word is asked for, and comes.
#[test]
fn who_has_no_feasible_way_gets_a_newer_word() {
    let mut world = settled();
    // A wall across the square, with a gate at its end.
    for column in 1..SIDE {
        world.disconnect(4 * SIDE + column, 5 * SIDE + column);
    }
    world.run(60_000);
    let all = landmarks(&world);
    for at in 0..world.sides.len() {
        assert_eq!(landmarks_at(&world, at), all, "{at} has no way to some");
    }
    assert_ways_end(&world, &[]);
}

#[test]
fn links_that_cost_more_one_way_are_reckoned_from_the_landmark() {
    let limits = Limits { routers: 16, ..Limits::SMALL };
    let mut world = World::with_limits(64, limits);
    world.is_steep = true;
    for number in 0..64_usize {
        let quality = |ms: usize| Quality { srtt: Duration::from_millis(ms as u64), ..CABLE };
        if number % 8 > 0 {
            world.connect(number - 1, number, quality(1 + number * 7 % 40));
        }
        if number >= 8 {
            world.connect(number - 8, number, quality(1 + number * 5 % 40));
        }
    }
    world.run(60_000);
    assert_all_are_kept(&world, &[]);
    assert_ways_end(&world, &[]);
}

/// While nothing happens a landmark says a word in a quarter of an hour, everybody leaves his address twice an hour, and that is all.
#[test]
fn a_settled_network_says_little() {
    let mut world = settled();
    world.run(240_000);
    let before = world.bytes;
    world.run(1_800_000);
    let per_s = (world.bytes - before) / 100 / 1_800;
    assert!((1..30).contains(&per_s), "{per_s} B/s a router");
}

#[test]
fn where_all_are_on_the_map_nobody_speaks_of_landmarks() {
    let mut world = World::grid_with(6, Limits { routers: 36, ..Limits::SMALL });
    world.run(60_000);
    world.seek(0, identity(35).node());
    world.run(10_000);
    for side in &world.sides {
        assert_eq!((side.routing.landmarks().count(), side.routing.home()), (0, None));
        assert!(!side.routing.is_large() && !side.routing.knows_landmarks());
    }
    assert_eq!(world.said, []);
}

fn word(name: u16, signer: u16, sequence: u64) -> SignedRecord {
    let key = RecordKey { router: RouterId::of(identity(name).device()), part: Part::LANDMARK };
    let content = Content::Landmark { reach: 1 << 40 };
    SignedRecord::sign(&identity(signer).secrets().sign, network().id(), key, sequence, content)
}

fn tell(world: &mut World, entry: &Entry<'_>) {
    let mut builder = Builder::landmarks(4_096);
    builder.entry(entry).unwrap();
    let now = world.now;
    world.sides[0].message(now, PeerSlot(1), builder.finish());
    world.run(1);
}

/// Nobody is a landmark who did not say so, with papers that hold.
#[test]
fn a_word_that_is_not_signed_by_its_landmark_is_refused() {
    // The neighbour says nothing but what is told here.
    let mut world = World::new(1);
    let up = Input::NeighbourUp { peer: PeerSlot(1), router: RouterId([1; 8]) };
    world.sides[0].handle(world.now, up);
    world.run(1_000);
    let (good, bad) = (papers(90, 90, 5), papers(90, 91, 5));
    let router = RouterId::of(identity(90).device());
    let entry = |word: &'static [u8], papers: Option<&'static [u8]>| Entry::Way {
        router,
        sequence: 7,
        distance: Some(10),
        word: Some(word),
        papers,
    };
    let leak = |bytes: &Bytes| -> &'static [u8] { std::vec::Vec::leak(bytes.to_vec()) };
    let (signed, forged) = (leak(&word(90, 90, 7).bytes), leak(&word(90, 91, 7).bytes));
    let (good, bad) = (leak(&good.bytes), leak(&bad.bytes));
    for refused in [entry(signed, None), entry(signed, Some(bad)), entry(forged, Some(good))] {
        tell(&mut world, &refused);
        assert_eq!(world.sides[0].routing.landmarks().count(), 0, "{refused:?}");
    }
    tell(&mut world, &entry(signed, Some(good)));
    assert_eq!(world.sides[0].routing.landmarks().map(|(router, _)| router).collect::<Vec<_>>(), [router]);
    let way = |world: &World| world.sides[0].routing.large.landmarks.way(router);
    let before = way(&world);
    assert_eq!(before.map(|way| way.sequence), Some(7));
    // A distance under a word that nobody has seen counts for nothing, and a forged newer word for nothing either.
    world.run(9_000);
    assert_eq!(way(&world), before);
    let newer = leak(&word(90, 91, 9).bytes);
    for word in [None, Some(newer)] {
        let refused = Entry::Way { router, sequence: 9, distance: Some(1), word, papers: None };
        tell(&mut world, &refused);
        assert_eq!(way(&world), before, "{refused:?}");
    }
    assert_eq!(world.sides[0].drops.get(Drop::RecordInvalid), 3);
    let good = leak(&word(90, 90, 9).bytes);
    tell(&mut world, &Entry::Way { router, sequence: 9, distance: Some(20), word: Some(good), papers: None });
    assert_eq!(way(&world).map(|way| way.sequence), Some(9));
}

/// With room for two the nearer ones are kept, whatever the farther ones say.
#[test]
fn the_nearest_landmarks_are_kept() {
    let mut world = World::with_limits(2, Limits { routers: 64, landmarks: 2, ..Limits::SMALL });
    world.connect(0, 1, CABLE);
    world.run(1_000);
    let leak = |bytes: &Bytes| -> &'static [u8] { std::vec::Vec::leak(bytes.to_vec()) };
    let names: Vec<RouterId> = (90..94).map(|name| RouterId::of(identity(name).device())).collect();
    for (name, distance) in [(90, 500), (91, 300), (92, 400), (93, 900)] {
        let (word, papers) = (leak(&word(name, name, 7).bytes), leak(&papers(name, name, 5).bytes));
        let (router, word, papers) = (names[usize::from(name) - 90], Some(word), Some(papers));
        tell(&mut world, &Entry::Way { router, sequence: 7, distance: Some(distance * 1_000), word, papers });
    }
    let kept: BTreeSet<RouterId> = landmarks_at(&world, 0);
    assert_eq!(kept, BTreeSet::from([names[1], names[2]]));
    assert_eq!(world.sides[0].drops.get(Drop::LandmarksFull), 1, "the farthest was not even checked");
}

/// Who rings all the time is heard once in eight seconds.
#[test]
fn words_that_come_too_soon_are_not_passed_on() {
    let mut world = World::line(3);
    world.run(1_000);
    let leak = |bytes: &Bytes| -> &'static [u8] { std::vec::Vec::leak(bytes.to_vec()) };
    let router = RouterId::of(identity(90).device());
    let good = leak(&papers(90, 90, 5).bytes);
    let before = world.messages;
    for sequence in 1..=400 {
        let word = leak(&word(90, 90, sequence).bytes);
        let papers = (sequence == 1).then_some(good);
        tell(&mut world, &Entry::Way { router, sequence, distance: Some(10), word: Some(word), papers });
        world.run(100);
    }
    let said = world.messages - before;
    assert!((8..100).contains(&said), "{said} messages of 400 words in 40 s");
}
