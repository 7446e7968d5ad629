//! Floods, forgeries, replays, strangers, and versions that do not fit.

use super::super::*;
use super::bench::*;
use crate::ids::PathId;
use crate::limits::Limits;
use crate::node::output::DownReason;
use crate::store::record::Record;
use crate::time::{Duration, Instant};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

fn pair() -> (Make, Make) {
    (Make::new(1), Make::new(2))
}

fn connected(a: &Make, b: &Make) -> World {
    let mut world = World::new(1, vec![a.start(Instant::ZERO), b.start(Instant::ZERO)]);
    world.log = Some(Vec::new());
    world.sides[0].connect(Instant::ZERO, b, true);
    let both = |world: &World| world.sides[0].is_up(b) && world.sides[1].is_up(a);
    assert!(world.run(Instant::from_micros(1_000_000), both));
    world.run_for(Duration::from_secs(1));
    world
}

/// Ten thousand Inits a second from made-up addresses: after the free ones each costs a few hashes and
/// a cookie no larger than the question; an honest node still gets in.
#[test]
fn a_flood_of_inits_meets_cookies_and_an_honest_node_gets_in() {
    let (a, b) = pair();
    let mut victim = b.start(Instant::ZERO);
    let mut attacker = Make::new(5).start(Instant::ZERO);
    attacker.connect(Instant::ZERO, &b, true);
    let init = attacker.out.pop().unwrap().1;
    let now = Instant::from_micros(500_000);
    let (mut asked, mut answered) = (0, 0);
    for from in 100..10_100u32 {
        victim.receive(now, from, &init);
        asked += init.len();
        for (to, packet) in victim.out.drain(..) {
            assert_eq!(to, from);
            assert!(packet.len() <= init.len());
            answered += packet.len();
        }
    }
    assert!(answered * 4 < asked, "{answered} bytes for {asked}");
    let free = u64::from(victim.make.limits.free_handshakes_per_s);
    assert_eq!(victim.drops.get(Drop::CookieDemanded), 10_000 - free);
    assert!(victim.sessions.answers.len() <= usize::from(victim.make.limits.handshakes));
    assert_eq!(victim.sessions.peers.iter().count(), 0, "nobody has been let in");

    // While the flood goes on, an honest node is asked for a cookie, brings it, and is served.
    let mut honest = a.start(now);
    honest.connect(now, &b, true);
    let question = honest.out.pop().unwrap().1;
    victim.receive(now, 1, &question);
    let demand = victim.out.pop().unwrap().1;
    assert_eq!((demand[0], demand.len()), (Kind::Cookie as u8, 49));
    honest.receive(now, 2, &demand);
    let again = honest.out.pop().unwrap().1;
    assert_eq!(again.len(), question.len());
    // The cookie is good for this address only.
    victim.receive(now, 77, &again);
    assert_eq!(victim.out.pop().unwrap().1[0], Kind::Cookie as u8);
    victim.receive(now, 1, &again);
    let response = victim.out.pop().unwrap().1;
    assert_eq!(response[0], Kind::Response as u8);
    honest.receive(now, 2, &response);
    assert!(honest.is_up(&b));
}

#[test]
fn a_cookie_lasts_two_to_four_minutes_and_an_old_one_is_replaced() {
    let (a, mut b) = pair();
    b.limits.free_handshakes_per_s = 0;
    let mut victim = b.start(Instant::ZERO);
    let mut honest = a.start(Instant::ZERO);
    honest.connect(Instant::ZERO, &b, true);
    let question = honest.out.pop().unwrap().1;
    let start = Instant::from_micros(1_000_000);
    victim.receive(start, 1, &question);
    let demand = victim.out.pop().unwrap().1;
    honest.receive(start, 2, &demand);
    let proved = honest.out.pop().unwrap().1;
    for (after_s, good) in [(100, true), (130, true), (300, false)] {
        let mut victim = b.start(Instant::ZERO);
        victim.receive(start + Duration::from_secs(after_s), 1, &proved);
        let kind = victim.out.pop().unwrap().1[0];
        assert_eq!(kind == Kind::Response as u8, good, "after {after_s} s");
    }
    // A forged demand, or one for another question, is not believed.
    let mut bad = demand.to_vec();
    bad[10] ^= 1;
    honest.receive(start, 2, &bad);
    honest.receive(start, 2, &demand);
    assert!(honest.out.is_empty());
    assert_eq!(honest.drops.get(Drop::CookieInvalid), 1);
}

/// A small MTU at the responder: its answer needs fragments, and their headers make it longer than the
/// question that came whole. Whoever did not prove the address gets a cookie, also when asking again.
#[test]
fn an_answer_in_fragments_is_not_longer_than_a_question_that_came_whole() {
    let (a, mut b) = pair();
    b.mtu = 64;
    for with_key in [true, false] {
        let question = |mtu: u16| {
            let mut side = Make { mtu, ..a.clone() }.start(Instant::ZERO);
            side.connect(Instant::ZERO, &b, with_key);
            side.out.into_iter().map(|(_, packet)| packet).collect::<Vec<_>>()
        };
        let (whole, pieces) = (question(1400).remove(0), question(64));
        assert!(pieces.len() > 1);
        let mut victim = b.start(Instant::ZERO);
        let mut answer_to = |packets: &[Bytes]| {
            for packet in packets {
                victim.receive(Instant::ZERO, 1, packet);
            }
            let packets: Vec<Bytes> = victim.out.drain(..).map(|(_, packet)| packet).collect();
            (packets.iter().map(Bytes::len).sum::<usize>(), packets[0][0])
        };
        let (len, kind) = answer_to(core::slice::from_ref(&whole));
        assert!(len <= whole.len(), "{len} bytes for {}", whole.len());
        assert_eq!(kind, Kind::Cookie as u8);
        // The same question in fragments of its own is answered.
        let (len, kind) = answer_to(&pieces);
        assert!(len <= pieces.iter().map(Bytes::len).sum());
        assert_eq!(kind, Kind::Fragment as u8);
        let (len, kind) = answer_to(core::slice::from_ref(&whole));
        assert!(len <= whole.len(), "{len} bytes for a copy of {}", whole.len());
        assert_eq!(kind, Kind::Cookie as u8);
        // Nobody is kept out.
        let mut world = World::new(3, vec![a.start(Instant::ZERO), b.start(Instant::ZERO)]);
        world.sides[0].connect(Instant::ZERO, &b, with_key);
        let both = |world: &World| world.sides[0].is_up(&b) && world.sides[1].is_up(&a);
        assert!(world.run(Instant::from_micros(2_000_000), both), "with the key: {with_key}");
    }
}

#[test]
fn with_no_free_handshakes_everything_still_works() {
    let (mut a, mut b) = pair();
    a.limits.free_handshakes_per_s = 0;
    b.limits.free_handshakes_per_s = 0;
    for with_key in [true, false] {
        let mut world = World::new(2, vec![a.start(Instant::ZERO), b.start(Instant::ZERO)]);
        world.loss = 500;
        world.sides[0].connect(Instant::ZERO, &b, with_key);
        let both = |world: &World| world.sides[0].is_up(&b) && world.sides[1].is_up(&a);
        assert!(world.run(Instant::from_micros(30_000_000), both));
    }
}

/// A flipped bit anywhere in any packet of a handshake, and every truncation: dropped, and the
/// handshake goes on as if nothing had come.
#[test]
fn no_changed_bit_and_no_truncation_is_accepted() {
    let (a, b) = pair();
    for with_key in [true, false] {
        let mut world = World::new(1, vec![a.start(Instant::ZERO), b.start(Instant::ZERO)]);
        world.log = Some(Vec::new());
        world.sides[0].connect(Instant::ZERO, &b, with_key);
        world.run_for(Duration::from_millis(200));
        let log = world.log.take().unwrap();
        let mut sides = [a.start(Instant::ZERO), b.start(Instant::ZERO)];
        sides[0].connect(Instant::ZERO, &b, with_key);
        sides[0].out.clear();
        for (from, _, packet) in log.iter().filter(|(_, _, packet)| packet[0] & 0x80 == 0).take(3) {
            let to = usize::from(*from == 1);
            // Bit 7 makes it a data packet, which is another test's.
            for bit in (0..packet.len() * 8).filter(|&bit| bit != 7) {
                let mut bad = packet.to_vec();
                bad[bit / 8] ^= 1 << (bit % 8);
                sides[to].receive(Instant::ZERO, *from, &bad);
                assert!(sides[to].out.is_empty(), "bit {bit} of kind {}", packet[0]);
            }
            for len in 0..packet.len() {
                sides[to].receive(Instant::ZERO, *from, &packet[..len]);
                assert!(sides[to].out.is_empty(), "{len} bytes of kind {}", packet[0]);
            }
            sides[to].receive(Instant::from_micros(25_000), *from, packet);
            sides[to].out.clear();
        }
        assert!(sides[0].is_up(&b), "the true packets were still taken");
    }
}

#[test]
fn data_packets_are_accepted_once_and_only_unchanged() {
    let (a, b) = pair();
    let mut world = connected(&a, &b);
    let now = world.now;
    let peer = world.sides[0].peer(&b).unwrap();
    let packets: Vec<Vec<u8>> =
        (0..40u8).map(|n| world.sides[0].seal(now, peer, &[3, n, n]).unwrap()).collect();
    let b_side = &mut world.sides[1];
    for bit in 0..packets[0].len() * 8 {
        let mut bad = packets[0].clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(b_side.open(now, 1, &bad), None, "bit {bit}");
    }
    for len in 0..packets[0].len() {
        assert_eq!(b_side.open(now, 1, &packets[0][..len]), None);
    }
    // In another order, from other addresses: each once.
    for nth in [5usize, 3, 39, 0, 1, 2, 4] {
        assert_eq!(b_side.open(now, 1 + nth as u32, &packets[nth]), Some(vec![3, nth as u8, nth as u8]));
    }
    let replayed = b_side.drops.get(Drop::Replayed);
    for nth in [5usize, 3, 39, 0, 1, 2, 4] {
        assert_eq!(b_side.open(now, 1, &packets[nth]), None);
    }
    assert_eq!(b_side.drops.get(Drop::Replayed), replayed + 7);
    // Numbers older than the window are refused even if never seen.
    let far: Vec<Vec<u8>> = (0..1200).map(|_| world.sides[0].seal(now, peer, &[3]).unwrap()).collect();
    let b_side = &mut world.sides[1];
    assert!(b_side.open(now, 1, &far[1199]).is_some());
    assert_eq!(b_side.open(now, 1, &packets[6]), None);
}

/// One session, several paths: numbers and windows of their own, one key.
#[test]
fn paths_count_apart() {
    let (a, b) = pair();
    let mut world = connected(&a, &b);
    let now = world.now;
    let peer = world.sides[0].peer(&b).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for path in 0..8u8 {
        for _ in 0..3 {
            let mut buf = [0; 64];
            let sealed = world.sides[0].with(now, |sessions, cx| {
                let header = sessions.header_len(peer, PathId(path), None);
                buf[header] = path;
                sessions.seal(cx, peer, PathId(path), None, &mut buf, 1)
            });
            let sealed = sealed.unwrap();
            let mut packet = buf[..sealed.len].to_vec();
            let opened = world.sides[1]
                .with(now, |sessions, cx| sessions.open(cx, LINK, Addr::from_u32(50), &mut packet))
                .unwrap();
            assert_eq!((opened.path, opened.packet_number), (PathId(path), sealed.packet_number));
            assert_eq!(packet[opened.payload.unwrap()], [path]);
            assert!(seen.insert((path, sealed.packet_number)));
        }
    }
    let buf = &mut [0; 64];
    let none = world.sides[0].with(now, |sessions, cx| sessions.seal(cx, peer, PathId(8), None, buf, 1));
    assert_eq!(none, None, "there is no path 8");
}

/// A path that is opened anew has heard of no acknowledgement; what is known of its numbers keeps them short, for packets have
/// room for three bytes.
#[test]
fn numbers_stay_short_when_a_path_is_opened_anew() {
    let (a, b) = pair();
    let mut world = connected(&a, &b);
    let now = world.now;
    let peer = world.sides[0].peer(&b).unwrap();
    world.sides[0].with(now, |sessions, cx| {
        let path = PathId(3);
        let len = |sessions: &Sessions, acked| sessions.header_len(peer, path, acked) - 4;
        let mut seal = |sessions: &mut Sessions, acked| sessions.seal(cx, peer, path, acked, &mut [0; 64], 1);
        for _ in 0..200 {
            seal(sessions, None).unwrap();
        }
        assert_eq!((len(sessions, None), len(sessions, Some(198))), (2, 1));
        seal(sessions, Some(198)).unwrap();
        assert_eq!((len(sessions, None), len(sessions, Some(100))), (1, 1));
    });
}

/// An attacker who hears what goes to an address asks from there with somebody's question, and carries the answer to him: that
/// shows that he has read it, and not that he is there.
#[test]
fn where_an_answer_went_is_proved_by_a_packet_from_there() {
    const FORGED: u32 = 77;
    for first in [1, FORGED] {
        let (a, b) = pair();
        let now = Instant::from_micros(1_000);
        let (mut asks, mut answers) = (a.start(now), b.start(now));
        asks.connect(now, &b, true);
        answers.receive(now, FORGED, &asks.out.pop().unwrap().1);
        let (to, answer) = answers.out.pop().unwrap();
        assert_eq!(to, FORGED);
        asks.receive(now, b.address, &answer);
        let peer = asks.peer(&b).unwrap();
        let mut proved = Vec::new();
        for from in [first, 1, FORGED, FORGED] {
            let ping = asks.ping(now, peer).unwrap();
            answers.events.clear();
            let mut packet = ping.to_vec();
            let opened = answers
                .with(now, |sessions, cx| sessions.open(cx, LINK, Addr::from_u32(from), &mut packet))
                .unwrap();
            let of = |event: &Action| match event {
                Action::Established { proved, .. } => Some(*proved),
                _ => None,
            };
            proved.push((answers.events.iter().find_map(of), opened.answered));
        }
        let elsewhere = Answered::Elsewhere(LINK, Addr::from_u32(FORGED));
        let nothing = (None, Answered::Known);
        let expected = if first == FORGED {
            [(Some(true), Answered::Known), nothing, nothing, nothing]
        } else {
            [(Some(false), elsewhere), nothing, (None, Answered::Reached), nothing]
        };
        assert_eq!(proved, expected, "first from {first}");
        let peer = answers.peer(&a).unwrap();
        assert_eq!(answers.sessions.endpoints(peer).count(), 1);
    }
}

/// Somebody is faster than the peer with a copy of each of its packets: what comes second from where the answer went is not
/// believed twice, and shows that the peer is there. A minute later another may be.
#[test]
fn a_packet_that_is_outrun_by_its_copy_shows_where_it_came_from() {
    const COPIED: u32 = 77;
    for (after, shows) in [(Duration::from_secs(59), true), (Duration::from_secs(60), false)] {
        let (a, b) = pair();
        let mut now = Instant::from_micros(1_000);
        let (mut asks, mut answers) = (a.start(now), b.start(now));
        asks.connect(now, &b, true);
        answers.receive(now, 1, &asks.out.pop().unwrap().1);
        asks.receive(now, b.address, &answers.out.pop().unwrap().1);
        let peer = asks.peer(&b).unwrap();
        let mut open = |now, from, packet: &[u8]| {
            let mut packet = packet.to_vec();
            let opened =
                answers.with(now, |sessions, cx| sessions.open(cx, LINK, Addr::from_u32(from), &mut packet));
            opened.map(|opened| (opened.payload.is_some(), opened.answered))
        };
        let first = asks.ping(now, peer).unwrap();
        let elsewhere = Answered::Elsewhere(LINK, Addr::from_u32(1));
        assert_eq!(open(now, COPIED, &first), Some((true, elsewhere)));
        now += after;
        let second = asks.ping(now, peer).unwrap();
        assert_eq!(open(now, COPIED, &second), Some((true, Answered::Known)));
        let mut forged = second.to_vec();
        *forged.last_mut().unwrap() ^= 1;
        assert_eq!(open(now, 1, &forged), None);
        assert_eq!(open(now, 1, &second), shows.then_some((false, Answered::Reached)));
        assert_eq!(open(now, 1, &second), None);
        assert_eq!(answers.drops.get(Drop::Replayed), if shows { 2 } else { 3 });
        let peer = answers.peer(&a).unwrap();
        assert_eq!(answers.sessions.endpoints(peer).count(), usize::from(shows));
    }
}

#[test]
fn reserved_bits_and_junk_are_counted() {
    let (a, b) = pair();
    let mut world = connected(&a, &b);
    let now = world.now;
    let peer = world.sides[0].peer(&b).unwrap();
    let mut packet = world.sides[0].ping(now, peer).unwrap();
    packet[0] |= 0x20;
    assert_eq!(world.sides[1].open(now, 1, &packet), None);
    assert_eq!(world.sides[1].drops.get(Drop::ReservedBits), 1);
    assert_eq!(world.sides[1].open(now, 1, &[]), None);
    assert_eq!(world.sides[1].open(now, 1, &[0x80]), None);
    assert_eq!(world.sides[1].drops.get(Drop::Malformed), 2);
}

#[test]
fn versions_that_overlap_use_the_highest_common_one() {
    let (mut a, mut b) = pair();
    (a.versions, b.versions) = ((1, 3), (2, 10));
    let world = connected(&a, &b);
    for side in &world.sides {
        let version = side.events.iter().find_map(|event| match event {
            Action::Established { version, .. } => Some(*version),
            _ => None,
        });
        assert_eq!(version, Some(3), "3, and 10 is more than 9");
    }
}

#[test]
fn versions_that_do_not_are_told_so_on_both_sides() {
    let (mut a, mut b) = pair();
    (a.versions, b.versions) = ((1, 2), (3, 4));
    let (old, new) = (Versions { lowest: 1, highest: 2 }, Versions { lowest: 3, highest: 4 });
    let mut world = World::new(1, vec![a.start(Instant::ZERO), b.start(Instant::ZERO)]);
    world.log = Some(Vec::new());
    world.sides[0].connect(Instant::ZERO, &b, true);
    world.run_for(Duration::from_secs(3));
    let said = |side: &Side| -> Vec<(Versions, Versions)> {
        let of = |event: &Action| match event {
            Action::Incompatible { theirs, ours, .. } => Some((*theirs, *ours)),
            _ => None,
        };
        side.events.iter().filter_map(of).collect()
    };
    assert_eq!(said(&world.sides[0]), [(new, old)]);
    assert_eq!(said(&world.sides[1]), [(old, new)]);
    let log = world.log.take().unwrap();
    assert!(log[1].2.len() <= log[0].2.len());
    assert!(log.len() <= 4, "and then there is quiet");
    // A flood of incompatible questions is answered at a bounded rate.
    let init = log[0].2.clone();
    let now = world.now + Duration::from_secs(5);
    for from in 100..1100u32 {
        world.sides[1].receive(now, from, &init);
    }
    assert!(world.sides[1].out.len() <= usize::from(ANSWERS_PER_S));
}

#[test]
fn more_peers_than_slots_and_more_calls_than_places() {
    let mut b = Make::new(2);
    b.limits = Limits::TINY;
    let others: Vec<Make> = (10..22).map(Make::new).collect();
    let mut sides = vec![b.start(Instant::ZERO)];
    sides.extend(others.iter().map(|make| make.start(Instant::ZERO)));
    let mut world = World::new(1, sides);
    for (nth, other) in others.iter().enumerate().take(7) {
        world.sides[0].connect(Instant::ZERO, other, nth % 2 == 0);
    }
    for side in &mut world.sides[8..] {
        side.connect(Instant::ZERO, &b, true);
    }
    world.run_for(Duration::from_secs(30));
    let up = world.sides[0].sessions.peers.iter().filter(|(_, peer)| peer.is_up()).count();
    assert_eq!(up, usize::from(Limits::TINY.peers), "as many as there are slots");
    let wanted = others.iter().take(7).filter(|other| world.sides[0].is_up(other)).count();
    assert_eq!(wanted, 7, "two places for handshakes serve seven calls in turn");
    assert!(world.sides[0].drops.get(Drop::PeersFull) > 0);
}

#[test]
fn a_revoked_peer_is_cut_off_and_does_not_come_back() {
    let (a, b) = pair();
    let mut world = connected(&a, &b);
    let statement = a.revocation();
    let now = world.now;
    world.sides[1].handle(now, Input::Install { bytes: &statement });
    assert!(!world.sides[1].is_up(&a));
    let closed = |event: &Action| matches!(event, Action::Closed { reason: DownReason::Revoked, .. });
    assert!(world.sides[1].events.iter().any(closed));
    assert!(world.sides[1].events.iter().any(|e| matches!(e, Action::Store(Record::Statement { .. }))));
    let peer = world.sides[0].peer(&b).unwrap();
    world.sides[0].handle(now, Input::Silent { peer });
    world.run_for(Duration::from_secs(5));
    assert!(!world.sides[1].is_up(&a));
    assert!(world.sides[1].drops.get(Drop::Revoked) > 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Any bytes, authentic tag or not, in either family: nothing panics, nothing is stored.
    #[test]
    fn junk_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200), tagged: bool, kind in 0u8..12) {
        let b = Make::new(2);
        let mut side = b.start(Instant::ZERO);
        let mut packet = bytes;
        if tagged {
            // As a member of the network would: right tag, wrong everything else.
            if let Some(first) = packet.first_mut() { *first = kind; }
            if packet.len() > 2 { packet[1] = 1; packet[2] = 1; }
            let hello = side.sessions.trust.hello(0);
            let tag = crate::crypto::hash::mac(&hello, &[&packet]);
            packet.extend_from_slice(if kind == 7 { &tag[..8] } else { &tag });
        }
        side.receive(Instant::ZERO, 1, &packet);
        prop_assert_eq!(side.sessions.peers.iter().count(), 0);
        let total: usize = side.out.iter().map(|(_, packet)| packet.len()).sum();
        prop_assert!(total <= packet.len(), "{} bytes in answer to {}", total, packet.len());
    }

    /// A payload is read back as it was written; cut anywhere it is refused.
    #[test]
    fn payloads_round_trip(
        certificate in proptest::collection::vec(any::<u8>(), 0..300),
        membership in proptest::collection::vec(any::<u8>(), 0..300),
        numbers: (u32, u64, u32, u32, u32), refused: bool, fountain: bool,
    ) {
        let payload = payload::Payload {
            refused,
            versions: Versions { lowest: 1, highest: 7 },
            boot: numbers.0,
            instance: numbers.1,
            life: numbers.2,
            forgot: numbers.3,
            round: numbers.4,
            params: PeerParams { message_bytes: 1, receive_bytes: 2, packet_bytes: 64, message_window: 64, fountain, routing: false, gossip: false },
            is_short: false,
            certificate: &certificate,
            membership: &membership,
        };
        let bytes = payload.encode();
        prop_assert_eq!(bytes.len(), payload.len());
        prop_assert_eq!(payload::Payload::decode(&bytes), Ok(payload));
        for len in 0..bytes.len() {
            prop_assert!(payload::Payload::decode(&bytes[..len]).is_err());
        }
    }

    /// Fragments in any order, some twice, some of another packet in between: the packet or nothing.
    #[test]
    fn fragments_make_the_packet_or_nothing(
        len in 30usize..2000, mtu in 64usize..300,
        order in proptest::collection::vec((any::<u16>(), any::<bool>()), 0..200),
    ) {
        let hello = [3; 32];
        let packet: Vec<u8> = (0..len).map(|n| (n * 7) as u8).collect();
        let versions = Versions { lowest: 1, highest: 1 };
        let pieces = fragment::split(&packet, mtu, versions, 5, &hello);
        prop_assert!(pieces.iter().all(|piece| piece.len() <= mtu));
        let mut slot = fragment::Slot::default();
        let mut add = |from: u32, bytes: &[u8]| {
            let packet = Unchecked::parse(bytes).unwrap().check(&hello).unwrap();
            let Ok(Body::Fragment { id, total, offset, data }) = packet.body() else { panic!("no fragment") };
            let piece = fragment::Piece { from: Addr::from_u32(from), id, total, offset, data };
            slot.add(Instant::ZERO, (Duration::from_secs(1), Duration::from_secs(30)), &piece).ok().flatten()
        };
        let mut complete = None;
        add(1, &pieces[0]).into_iter().for_each(|whole| complete = Some(whole));
        for (nth, other) in order {
            let piece = &pieces[usize::from(nth) % pieces.len()];
            if complete.is_some() {
                break;
            }
            if other {
                prop_assert_eq!(add(2, piece), None, "somebody else's piece");
            } else {
                complete = add(1, piece);
            }
        }
        for piece in &pieces {
            complete = complete.or_else(|| add(1, piece));
        }
        prop_assert_eq!(complete.map(|whole| whole.bytes), Some(packet));
    }
}

/// When places for answers are scarce, one proved address has one of them, however much it asks.
#[test]
fn one_address_does_not_hold_every_place_for_answers() {
    let (a, b) = pair();
    let b = Make { limits: Limits { handshakes: 8, free_handshakes_per_s: 0, ..b.limits.clone() }, ..b };
    let mut victim = b.start(Instant::ZERO);
    let now = Instant::from_micros(1_000_000);
    let ask = |victim: &mut Side, who: u8, seed: u8, at: u32| {
        let make = Make { seed, address: at, ..Make::new(who) };
        let mut asking = make.start(now);
        asking.connect(now, &b, true);
        let question = asking.out.pop().unwrap().1;
        victim.receive(now, at, &question);
        let Some((_, demand)) = victim.out.pop() else { return false };
        asking.receive(now, b.address, &demand);
        let again = asking.out.pop().unwrap().1;
        victim.receive(now, at, &again);
        victim.out.pop().is_some_and(|(_, answer)| answer[0] == Kind::Response as u8)
    };
    for seed in 0..40 {
        assert!(ask(&mut victim, 9, seed, 9), "its own older question makes room");
    }
    let others = (20..23).filter(|&who| ask(&mut victim, who, who, u32::from(who))).count();
    assert_eq!(others, 0, "it has filled the places before they were scarce");
    let later = now + Duration::from_secs(2);
    let mut honest = a.start(later);
    honest.connect(later, &b, true);
    let question = honest.out.pop().unwrap().1;
    victim.receive(later, 1, &question);
    let demand = victim.out.pop().unwrap().1;
    honest.receive(later, b.address, &demand);
    let again = honest.out.pop().unwrap().1;
    victim.receive(later, 1, &again);
    assert_eq!(victim.out.pop().unwrap().1[0], Kind::Response as u8, "a place is free after the patience");
}
