//! Handshakes that cross each other, peers that restart, forget, or exist twice.

use super::super::*;
use super::bench::*;
use crate::ids::PathId;
use crate::limits::Limits;
use crate::node::input::PeerSpec;
use crate::node::output::DownReason;
use crate::store::record::Record;
use crate::time::{Duration, Instant};
use std::collections::BTreeSet;
use std::vec;
use std::vec::Vec;

fn pair() -> (Make, Make) {
    (Make::new(1), Make::new(2))
}

fn agree(a: &Side, b: &Side) -> bool {
    let (to_b, to_a) = (b.make.clone(), a.make.clone());
    a.is_up(&to_b) && b.is_up(&to_a) && a.sending(&to_b) == b.sending(&to_a)
}

/// Delivers the packets of two sides in every order that `choice` can spell: at each step one bit picks
/// the side whose oldest packet is delivered, and another whether it is delivered or lost.
fn interleave(a: &Make, b: &Make, keys: (bool, bool), mut choice: u32) {
    let whole = choice;
    let mut sides = [a.start(Instant::ZERO), b.start(Instant::ZERO)];
    let mut now = Instant::ZERO;
    sides[0].connect(now, b, keys.0);
    sides[1].connect(now, a, keys.1);
    let mut queues: [std::collections::VecDeque<Bytes>; 2] = Default::default();
    for _ in 0..10 {
        for (side, queue) in sides.iter_mut().zip(&mut queues) {
            queue.extend(side.out.drain(..).map(|(_, packet)| packet));
            let owed: Vec<PeerSlot> = side.outbox.keys().copied().collect();
            for peer in owed {
                side.outbox.remove(&peer);
                queue.extend(side.ping(now, peer).map(Bytes::from));
            }
        }
        let from = (choice & 1) as usize;
        let lost = choice & 6 == 6;
        choice >>= 3;
        let from = if queues[from].is_empty() { 1 - from } else { from };
        if let Some(packet) = queues[from].pop_front()
            && !lost
        {
            let address = sides[from].make.address;
            sides[1 - from].receive(now, address, &packet);
        }
        now += Duration::from_millis(1);
    }
    // From here on the weather is good.
    let [a_side, b_side] = sides;
    let mut world = World::new(u64::from(choice), vec![a_side, b_side]);
    world.now = now;
    for (nth, queue) in queues.into_iter().enumerate() {
        let to = world.sides[1 - nth].make.address;
        world.sides[nth].out.splice(0..0, queue.into_iter().map(|packet| (to, packet)));
    }
    for side in &mut world.sides {
        for other in [a, b] {
            if let Some(peer) = side.peer(other).filter(|&peer| side.sessions.is_up(peer)) {
                side.outbox.insert(peer, now);
            }
        }
    }
    world.run_for(Duration::from_secs(2));
    let resets = (world.sides[0].established().1, world.sides[1].established().1);
    assert!(
        agree(&world.sides[0], &world.sides[1]),
        "keys {keys:?}, choice {whole:#x}: no agreement: {:#?}",
        world.sides.iter().map(|side| side.describe()).collect::<Vec<_>>()
    );
    assert_eq!(resets, (0, 0), "keys {keys:?}, choice {whole:#x}: nobody has restarted");
    assert_eq!((world.sides[0].clones(), world.sides[1].clones()), (0, 0));
}

fn every_order(choices: u32) {
    for (a, b) in [pair(), (Make::new(2), Make::new(1))] {
        for keys in [(true, true), (false, false), (true, false), (false, true)] {
            for choice in 0..choices {
                // First every order of six steps without loss, then orders and losses at random.
                let bits = if choice < 64 { spell(choice) } else { choice.wrapping_mul(0x9E37_79B9) };
                interleave(&a, &b, keys, bits);
            }
        }
    }
}

#[test]
fn two_simultaneous_handshakes_settle_on_one_session_whatever_the_order() {
    every_order(90);
}

#[test]
#[ignore = "a minute: cargo test --release -p proto-core many_orders -- --ignored"]
fn two_simultaneous_handshakes_in_many_orders() {
    every_order(3000);
}

/// Six choices of side, nothing lost.
fn spell(choice: u32) -> u32 {
    (0..6).map(|step| (choice >> step & 1) << (3 * step)).sum()
}

/// The same with real delays, reordering, duplicates and loss: both call, both agree, nobody is reset.
#[test]
fn crossing_handshakes_in_bad_weather() {
    let (a, b) = pair();
    for seed in 0..60 {
        let mut world = World::new(seed, vec![a.start(Instant::ZERO), b.start(Instant::ZERO)]);
        (world.loss, world.jitter_us, world.duplicate) = (300 + 100 * (seed % 6), 200_000, 300);
        world.sides[0].connect(Instant::ZERO, &b, seed % 2 == 0);
        world.sides[1].connect(Instant::ZERO, &a, seed % 3 == 0);
        world.run(Instant::from_micros(60_000_000), |world| agree(&world.sides[0], &world.sides[1]));
        world.loss = 0;
        world.run_for(Duration::from_secs(3));
        assert!(agree(&world.sides[0], &world.sides[1]), "seed {seed}");
        for side in &world.sides {
            assert_eq!(side.established().1, 0, "seed {seed}: a reset: {}", side.describe());
            assert_eq!(side.clones(), 0);
        }
    }
}

/// A call by key over a road that loses nothing, up to its answer: the caller is in session.
fn call(now: Instant, asking: &mut Side, answering: &mut Side) {
    let to = answering.make.clone();
    asking.connect(now, &to, true);
    let init = asking.out.pop().unwrap().1;
    answering.receive(now, asking.make.address, &init);
    let response = answering.out.pop().unwrap().1;
    asking.receive(now, to.address, &response);
}

/// Two places of a peer are called in one moment, and the peer has room for one answer.
#[test]
fn calls_over_two_links_at_once_do_not_end_each_other() {
    let (a, b) = pair();
    let b = Make { limits: Limits { handshakes: 2, ..b.limits.clone() }, ..b };
    let mut sides = [a.start(Instant::ZERO), b.start(Instant::ZERO)];
    let mut now = Instant::ZERO;
    let endpoints = [2, 22].map(|address| (LINK, Addr::from_u32(address))).to_vec();
    sides[0].handle(
        now,
        Input::Connect { spec: PeerSpec { node: Some(b.node()), key: Some(b.key()), endpoints } },
    );
    for _ in 0..20 {
        now += Duration::from_millis(25);
        let asked: Vec<_> = sides[0].out.drain(..).collect();
        assert!(asked.len() <= 4, "no storm");
        let mut answers = Vec::new();
        for (place, packet) in asked {
            sides[1].receive(now, a.address, &packet);
            answers.extend(sides[1].out.drain(..).map(|(_, answer)| (place, answer)));
        }
        for (place, answer) in answers {
            sides[0].receive(now, place, &answer);
        }
        sides[0].wake(now);
        let peer = sides[0].peer(&b).unwrap();
        if let Some(ping) = sides[0].ping(now, peer) {
            sides[0].out.push((2, ping.into()));
        }
    }
    assert!(agree(&sides[0], &sides[1]), "{} {}", sides[0].describe(), sides[1].describe());
}

fn connected(a: &Make, b: &Make) -> World {
    let mut world = World::new(1, vec![a.start(Instant::ZERO), b.start(Instant::ZERO)]);
    world.sides[0].connect(Instant::ZERO, b, true);
    assert!(world.run(Instant::from_micros(1_000_000), |world| agree(&world.sides[0], &world.sides[1])));
    world.run_for(Duration::from_secs(1));
    world
}

#[test]
fn a_restarted_peer_is_found_by_a_hint_and_named_as_such() {
    let (a, b) = pair();
    let mut world = connected(&a, &b);
    let peer = world.sides[0].peer(&b).unwrap();
    let reborn = Make { boot: 2, seed: 77, ..b.clone() };
    let now = world.now;
    world.sides[1] = reborn.start(now);
    let ping = world.sides[0].ping(now, peer).unwrap();
    world.sides[0].out.push((2, ping.into()));
    assert!(world.run(now + Duration::from_millis(300), |world| agree(&world.sides[0], &world.sides[1])));
    assert_eq!(world.sides[0].established(), (2, 1), "the second as restarted");
    assert_eq!(world.sides[1].established(), (1, 0), "for it we are new");
    assert_eq!(world.sides[0].peer(&b), Some(peer));
}

#[test]
fn a_hint_of_a_stranger_does_nothing_and_the_old_session_stays() {
    let (a, b) = pair();
    let mut world = connected(&a, &b);
    let now = world.now;
    let peer = world.sides[0].peer(&b).unwrap();
    let ping = world.sides[0].ping(now, peer).unwrap();
    // A third node of the network overhears the index and hints from its own address.
    let mut third = Make::new(3).start(now);
    third.open(now, 1, &ping);
    let (_, hint) = third.out.pop().expect("a hint");
    assert!(hint.len() <= ping.len(), "not larger than the question");
    world.sides[0].receive(now, 3, &hint);
    assert!(world.sides[0].out.is_empty());
    // Even from the right address it only makes us ask.
    world.sides[0].receive(now, 2, &hint);
    assert_eq!(world.sides[0].out.len(), 1);
    world.sides[0].receive(now, 2, &hint);
    assert_eq!(world.sides[0].out.len(), 1, "once a second");
    assert!(world.sides[0].is_up(&b));
    world.run_for(Duration::from_secs(1));
    assert!(agree(&world.sides[0], &world.sides[1]));
    assert_eq!(world.sides[0].established().1, 0, "a rekey, not a restart");
}

#[test]
fn a_peer_that_forgot_us_begins_anew_on_both_sides() {
    let (a, b) = pair();
    let mut world = connected(&a, &b);
    let now = world.now;
    let peer = world.sides[1].peer(&a).unwrap();
    world.sides[1].handle(now, Input::Forget { peer, evicted: false });
    let removed = |event: &Action| matches!(event, Action::Closed { reason: DownReason::Removed, .. });
    assert!(world.sides[1].events.iter().any(removed));
    let peer = world.sides[0].peer(&b).unwrap();
    world.sides[0].handle(now, Input::Silent { peer });
    world.run_for(Duration::from_secs(1));
    assert!(agree(&world.sides[0], &world.sides[1]));
    assert_eq!(world.sides[0].established(), (2, 1));
    assert!(world.sides[0].sessions.next_packet_number(peer, PathId(0)).unwrap() < 4, "from zero");
}

/// The larger node calls and is not heard; the smaller one's founding is all that it knows. Whoever
/// answers the next call holds another founding than the one who calls.
#[test]
fn foundings_that_only_one_side_knows_are_one_association() {
    let (a, b) = pair();
    for (a, b) in [(a.clone(), b.clone()), (b, a)] {
        let mut sides = [a.start(Instant::ZERO), b.start(Instant::ZERO)];
        let mut now = Instant::ZERO;
        // A completes a handshake of which B hears no more.
        let [asking, answering] = &mut sides;
        call(now, asking, answering);
        sides[0].out.clear();
        // B completes one of its own, and A hears of it.
        let [answering, asking] = &mut sides;
        call(now, asking, answering);
        let peer = sides[1].peer(&a).unwrap();
        let ping = sides[1].ping(now, peer).unwrap();
        sides[0].receive(now, b.address, &ping);
        sides[0].out.clear();
        // A's packets are lost, so it calls again.
        now += Duration::from_secs(2);
        let peer = sides[0].peer(&b).unwrap();
        sides[0].handle(now, Input::Silent { peer });
        let [a_side, b_side] = sides;
        let mut world = World::new(1, vec![a_side, b_side]);
        world.now = now;
        world.sides[0].outbox.insert(peer, now);
        world.run_for(Duration::from_secs(2));
        assert!(agree(&world.sides[0], &world.sides[1]));
        let resets = (world.sides[0].established().1, world.sides[1].established().1);
        assert_eq!(resets, (0, 0), "nobody has forgotten anything");
    }
}

/// Two devices of one node take turns. Whoever comes takes over, and what was shared with the other is
/// void on both sides.
#[test]
fn devices_of_one_node_take_over_from_each_other() {
    let (a, first) = pair();
    // The first has started often, the second is new.
    let first = Make { boot: 50, ..first };
    let second = Make { boot: 1, ..first.other_device(3) };
    let makes = [&a, &first, &second];
    let mut world = World::new(1, makes.iter().map(|make| make.start(Instant::ZERO)).collect());
    world.jitter_us = 20_000;
    for turn in 0..6 {
        let device = 1 + turn % 2;
        let now = world.now;
        world.sides[device].connect(now, &a, turn % 3 != 0);
        if let Some(peer) = world.sides[device].peer(&a).filter(|_| turn > 1) {
            world.sides[device].handle(now, Input::Silent { peer });
            world.sides[device].outbox.insert(peer, now);
        }
        world.run_for(Duration::from_secs(5));
        assert!(world.sides[0].is_up(&first), "turn {turn}: {}", world.sides[0].describe());
        let sending = world.sides[0].sending(&first);
        assert_eq!(sending, world.sides[device].sending(&a), "turn {turn}: with the device that came last");
    }
    assert_eq!(world.sides[0].clones(), 0);
}

/// The device of a node is lost, its successor has never been started before, and we have restarted. The
/// count on our disk is that of the device in the certificate beside it; when that cannot be read, of nobody.
#[test]
fn a_new_device_is_no_clone_of_one_known_from_the_disk() {
    let (a, lost) = pair();
    let new = Make { boot: 1, ..lost.other_device(3) };
    let certificate = lost.identity().certificate_bytes().clone();
    for (certificate, named) in [(certificate, false), (Bytes::from_static(b"of a later version"), true)] {
        let a = Make { boot: 2, known: vec![(lost.node(), certificate, 50)], ..a.clone() };
        let mut world = World::new(1, vec![a.start(Instant::ZERO), new.start(Instant::ZERO)]);
        world.sides[usize::from(!named)].connect(Instant::ZERO, if named { &new } else { &a }, true);
        world.run_for(Duration::from_secs(5));
        assert!(agree(&world.sides[0], &world.sides[1]), "{}", world.sides[0].describe());
        assert_eq!(world.sides[0].clones(), 0);
    }
}

/// A revocation that comes while a handshake is open ends it.
#[test]
fn who_is_revoked_during_the_handshake_does_not_get_in() {
    let (a, b) = pair();
    let mut sides = [a.start(Instant::ZERO), b.start(Instant::ZERO)];
    let now = Instant::ZERO;
    let [asking, answering] = &mut sides;
    call(now, asking, answering);
    let peer = sides[0].peer(&b).unwrap();
    let ping = sides[0].ping(now, peer).unwrap();
    let statement = a.revocation();
    sides[1].handle(now, Input::Install { bytes: &statement });
    sides[1].receive(now, a.address, &ping);
    assert!(!sides[1].is_up(&a));
    assert_eq!(sides[1].drops.get(Drop::Revoked), 1);
}

/// Nor does it end the session of the device that came in its place.
#[test]
fn a_device_that_is_revoked_during_the_handshake_takes_nothing_over() {
    let (host, lost) = pair();
    let new = lost.other_device(3);
    let now = Instant::ZERO;
    let [mut answering, mut held, mut revoked] = [&host, &new, &lost].map(|make| make.start(now));
    for (asking, make) in [(&mut held, &new), (&mut revoked, &lost)] {
        call(now, asking, &mut answering);
        let peer = asking.peer(&host).unwrap();
        let ping = asking.ping(now, peer).unwrap();
        if make.address == lost.address {
            answering.handle(now, Input::Install { bytes: &lost.revocation_of_device() });
        }
        answering.receive(now, make.address, &ping);
    }
    assert!(answering.is_up(&new), "{}", answering.describe());
    assert_eq!(answering.drops.get(Drop::Revoked), 1);
}

/// A full table forgets an idle stranger for a new peer, and tells the new one nothing else for it.
#[test]
fn making_room_changes_nothing_for_the_one_who_comes() {
    let host = Make::new(1);
    let host = Make { limits: Limits { peers: 2, ..host.limits.clone() }, ..host };
    let guests: Vec<Make> = (2..8).map(Make::new).collect();
    let mut sides = vec![host.start(Instant::ZERO)];
    sides.extend(guests.iter().map(|guest| guest.start(Instant::ZERO)));
    let mut world = World::new(1, sides);
    for round in 0..3 {
        for (nth, _) in guests.iter().enumerate() {
            let now = world.now;
            world.sides[1 + nth].connect(now, &host, true);
            if let Some(peer) = world.sides[1 + nth].peer(&host) {
                world.sides[1 + nth].handle(now, Input::Silent { peer });
                world.sides[1 + nth].outbox.insert(peer, now);
            }
            world.run_for(Duration::from_secs(2));
            // What the next handshake says agrees with the last.
            let (now, peer) = (world.now, world.sides[1 + nth].peer(&host).unwrap());
            world.sides[1 + nth].handle(now, Input::Silent { peer });
            world.run_for(Duration::from_secs(2));
            // The others are cut off and rest: each guest finds the table full of idle strangers.
            world.loss = 1000;
            world.run_for(Duration::from_secs(400));
            world.loss = 0;
        }
        assert!(world.sides[0].sessions.peers.iter().count() <= 2, "round {round}");
        assert!(records_of_peers(&world.sides[0]) <= 4, "round {round}: two in slots and two remembered");
    }
}

/// How many records about peers the disk of this side holds.
fn records_of_peers(side: &Side) -> usize {
    let mut disk = BTreeSet::new();
    for event in &side.events {
        match event {
            Action::Store(record @ Record::Peer { .. }) => disk.insert(record.key()),
            Action::Store(Record::Erased { key }) => disk.remove(key),
            _ => false,
        };
    }
    disk.len()
}

/// What was sent before its sender forgot us arrives after the next handshake.
#[test]
fn data_from_before_a_peer_forgot_us_comes_too_late() {
    let (a, b) = pair();
    let mut sides = [a.start(Instant::ZERO), b.start(Instant::ZERO)];
    let now = Instant::ZERO;
    let mut early = None;
    for _ in 0..2 {
        let [asking, answering] = &mut sides;
        call(now, asking, answering);
        let peer = sides[0].peer(&b).unwrap();
        let ping = sides[0].ping(now, peer).unwrap();
        if early.is_none() {
            early = Some(ping);
            sides[0].handle(now, Input::Forget { peer, evicted: false });
        } else {
            sides[1].receive(now, a.address, &ping);
        }
    }
    assert_eq!(sides[1].established(), (1, 0));
    sides[1].receive(now, a.address, &early.unwrap());
    assert_eq!(sides[1].established(), (1, 0));
    assert_eq!(sides[1].drops.get(Drop::UnknownSession), 1);
}

/// Calls, silence, forgetting, third parties and bad weather in any order. `World` checks that what one
/// state sends arrives in one state; in the end all agree.
#[test]
fn whatever_is_forgotten_and_lost_states_stay_in_pairs() {
    pairs_of_states(40);
}

#[test]
#[ignore = "a minute: cargo test --release -p proto-core states_stay_in_pairs_for_long -- --ignored"]
fn states_stay_in_pairs_for_long() {
    pairs_of_states(4000);
}

fn pairs_of_states(seeds: u64) {
    let makes = [Make::new(1), Make::new(2), Make::new(3)];
    for seed in 0..seeds {
        let mut rng = crate::rng::Rng::fork(&[seed as u8; 32], &std::format!("pairs {seed}"));
        let mut world = World::new(seed, makes.iter().map(|make| make.start(Instant::ZERO)).collect());
        (world.loss, world.jitter_us, world.duplicate) = (100 * (seed % 8), 400_000, 200);
        for _ in 0..40 {
            let (from, to) = (rng.below(3) as usize, rng.below(3) as usize);
            let (now, other) = (world.now, &makes[to]);
            let peer = world.sides[from].peer(other);
            match (rng.below(10), peer) {
                (0..4, _) if from != to => world.sides[from].connect(now, other, rng.below(2) == 0),
                (4..7, Some(peer)) => world.sides[from].handle(now, Input::Silent { peer }),
                (7, Some(peer)) => world.sides[from].handle(now, Input::Forget { peer, evicted: false }),
                (_, Some(peer)) if world.sides[from].sessions.is_up(peer) => {
                    world.sides[from].outbox.insert(peer, now);
                }
                _ => {}
            }
            world.run_for(Duration::from_millis(rng.below(400)));
        }
        world.loss = 0;
        for from in 0..3 {
            for to in (0..3).filter(|&to| to != from) {
                let now = world.now;
                world.sides[from].connect(now, &makes[to], true);
                if let Some(peer) = world.sides[from].peer(&makes[to]) {
                    world.sides[from].outbox.insert(peer, now);
                }
            }
        }
        world.run_for(Duration::from_secs(20));
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            assert!(
                agree(&world.sides[one], &world.sides[other]),
                "seed {seed}: {:#?}",
                world.sides.iter().map(|side| side.describe()).collect::<Vec<_>>()
            );
        }
    }
}

#[test]
fn silence_closes_the_session_and_what_was_shared_goes_on_afterwards() {
    let (a, b) = pair();
    let mut world = connected(&a, &b);
    let peer = world.sides[0].peer(&b).unwrap();
    for _ in 0..10 {
        world.sides[0].ping(world.now, peer).unwrap();
    }
    world.loss = 1000;
    world.run_for(Duration::from_secs(200));
    assert!(!world.sides[0].is_up(&b) && !world.sides[1].is_up(&a));
    let silent = |event: &Action| matches!(event, Action::Closed { reason: DownReason::Silent, .. });
    assert!(world.sides.iter().all(|side| side.events.iter().any(silent)));
    assert!(world.sides[0].ping(world.now, peer).is_none(), "no keys, no packets");
    world.loss = 0;
    assert!(world.run(world.now + Duration::from_secs(15), |world| agree(&world.sides[0], &world.sides[1])));
    assert_eq!(world.sides[0].established().1 + world.sides[1].established().1, 0);
    assert!(world.sides[0].sessions.next_packet_number(peer, PathId(0)).unwrap() > 10, "numbers go on");
}

#[test]
fn keys_are_replaced_by_time_and_old_ones_receive_for_a_while() {
    let (a, b) = pair();
    let mut world = connected(&a, &b);
    let (now, peer) = (world.now, world.sides[0].peer(&b).unwrap());
    let old_keys = world.sides[0].sending(&b);
    let number = world.sides[0].sessions.next_packet_number(peer, PathId(0)).unwrap();
    let (mut late, mut too_late) = (Vec::new(), Vec::new());
    let mut step = now;
    while world.sides[0].sending(&b) == old_keys {
        step += Duration::from_secs(20);
        assert!(step < now + Duration::from_secs(3700), "no rekey after an hour");
        late = world.sides[0].ping(world.now, peer).unwrap();
        too_late = world.sides[0].ping(world.now, peer).unwrap();
        let ping = world.sides[0].ping(world.now, peer).unwrap();
        world.sides[0].out.push((2, ping.into()));
        world.run(step, |_| false);
    }
    world.run_for(Duration::from_secs(1));
    assert!(agree(&world.sides[0], &world.sides[1]));
    assert_eq!(world.sides[0].established(), (2, 0), "one side started, once");
    let numbers = world.sides[0].sessions.next_packet_number(peer, PathId(0)).unwrap();
    assert!(numbers > number + 2, "numbers go on over a rekey");
    let now = world.now;
    assert_eq!(
        world.sides[1].open(now, 1, &late).map(|said| said[0]),
        Some(1),
        "a packet under the old keys"
    );
    world.run_for(Duration::from_secs(61));
    let now = world.now;
    assert_eq!(world.sides[1].open(now, 1, &too_late), None, "the old keys are gone");
    assert_eq!(world.sides[1].drops.get(Drop::UnknownSession), 1);
}

#[test]
fn keys_are_replaced_by_packets_and_refuse_when_used_up() {
    let (mut a, b) = pair();
    a.limits.rekey_packets = 100;
    let mut world = connected(&a, &b);
    let (now, peer) = (world.now, world.sides[0].peer(&b).unwrap());
    let before = world.sides[0].sending(&b);
    let mut sealed = 0;
    while world.sides[0].ping(now, peer).is_some() {
        sealed += 1;
    }
    assert!((190..200).contains(&sealed), "twice the limit, then no more: {sealed}");
    world.run_for(Duration::from_secs(1));
    assert_ne!(world.sides[0].sending(&b), before);
    assert!(agree(&world.sides[0], &world.sides[1]));
    assert!(world.sides[0].ping(world.now, peer).is_some());
}

/// Two devices with one disk and one generator state. The one that is in session stays; the other is
/// told; both sides of the refusal say so.
#[test]
fn a_clone_is_refused_and_both_learn_of_it() {
    let (a, b) = pair();
    for with_key in [true, false] {
        let mut world = connected(&a, &b);
        let now = world.now;
        let twin = Make { address: 9, ..a.clone() };
        world.sides.push(twin.start(now));
        world.sides[2].connect(now, &b, with_key);
        world.run_for(Duration::from_secs(5));
        assert_eq!(world.sides[1].clones(), 1, "the peer says it, once");
        assert_eq!(world.sides[2].clones(), 1, "the second says it of itself");
        assert_eq!(world.sides[0].clones(), 0);
        assert!(!world.sides[2].is_up(&b), "no session for the second");
        assert!(agree(&world.sides[0], &world.sides[1]), "the first is not disturbed");
        assert_eq!(world.sides[1].established(), (1, 0));
    }
}

#[test]
fn a_clone_that_is_called_is_refused_too() {
    let (a, b) = pair();
    let mut world = connected(&a, &b);
    let now = world.now;
    let twin = Make { address: 9, ..a.clone() };
    world.sides.push(twin.start(now));
    world.sides[1].connect(now, &twin, true);
    let peer = world.sides[1].peer(&a).unwrap();
    // The first cannot be reached any more; only the second answers.
    world.sides[0].make.address = 1000;
    world.sides[1].handle(now, Input::Silent { peer });
    world.log = Some(Vec::new());
    world.run_for(Duration::from_secs(3));
    let log: Vec<_> = world.log.take().unwrap().iter().map(|(f, t, p)| (*f, *t, p[0], p.len())).collect();
    assert_eq!((world.sides[1].clones(), world.sides[2].clones()), (1, 1), "{log:?}");
    assert!(world.sides[1].is_up(&a), "the session with the first is kept");
}

#[test]
fn a_disk_from_a_backup_is_refused_even_after_our_own_restart() {
    let (a, b) = pair();
    let known = (a.node(), a.identity().certificate_bytes().clone(), 5);
    let b = Make { known: vec![known], ..b };
    for (boot, accepted) in [(4, false), (5, true), (6, true)] {
        let a = Make { boot, ..a.clone() };
        let mut world = World::new(1, vec![a.start(Instant::ZERO), b.start(Instant::ZERO)]);
        world.sides[0].connect(Instant::ZERO, &b, true);
        world.run_for(Duration::from_secs(2));
        assert_eq!(world.sides[1].is_up(&a), accepted, "start {boot}");
        assert_eq!(world.sides[0].clones(), usize::from(!accepted));
    }
}

/// Clones with one generator state make different ephemeral keys and different instances.
#[test]
fn ephemerals_of_clones_differ() {
    let (a, b) = pair();
    let twin = Make { address: 9, ..a.clone() };
    let ephemeral = |make: &Make| {
        let mut side = make.start(Instant::ZERO);
        side.connect(Instant::ZERO, &b, true);
        let packet = side.out.pop().unwrap().1;
        (packet.slice(6..38), side.sessions.instance)
    };
    let (first, second) = (ephemeral(&a), ephemeral(&twin));
    assert_eq!(ephemeral(&a), first, "a run can be repeated");
    assert_ne!(first.0, second.0);
    assert_ne!(first.1, second.1);
}

/// A replayed first message of long ago costs a slot and changes nothing.
#[test]
fn a_replayed_init_changes_nothing() {
    let (a, b) = pair();
    let mut world = World::new(1, vec![a.start(Instant::ZERO), b.start(Instant::ZERO)]);
    world.log = Some(Vec::new());
    world.sides[0].connect(Instant::ZERO, &b, true);
    world.run_for(Duration::from_secs(1));
    let init = world.log.take().unwrap()[0].2.clone();
    // The initiator restarts, and is in session again.
    let reborn = Make { boot: 2, seed: 9, ..a.clone() };
    world.sides[0] = reborn.start(world.now);
    let now = world.now;
    world.sides[0].connect(now, &b, true);
    world.run_for(Duration::from_secs(100));
    assert!(agree(&world.sides[0], &world.sides[1]));
    let events = world.sides[1].events.len();
    for from in [1, 3] {
        let now = world.now;
        world.sides[1].receive(now, from, &init);
        world.sides[1].out.clear();
    }
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.sides[1].events.len(), events, "no restart, no clone, nothing");
    assert!(agree(&world.sides[0], &world.sides[1]));
}

#[test]
fn a_peer_known_by_address_only_is_united_with_itself() {
    let (a, b) = pair();
    let mut world = connected(&a, &b);
    let now = world.now;
    // The application names the same peer again, by another address, without knowing who it is.
    let mut moved = b.clone();
    moved.address = 2;
    world.sides[0].connect(now, &moved, false);
    world.run_for(Duration::from_secs(1));
    let slots = world.sides[0].sessions.peers.iter().count();
    assert_eq!(slots, 1, "one peer, one slot");
    assert!(agree(&world.sides[0], &world.sides[1]));
    assert_eq!(world.sides[0].established().1, 0);
}
