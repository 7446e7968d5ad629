use std::vec;
use std::vec::Vec;

use super::bench::*;
use crate::ids::{Addr, LinkId};
use crate::limits::Limits;
use crate::node::*;
use crate::time::Duration;

const LONG: Duration = Duration::from_secs(60);

fn small() -> [Limits; 2] {
    [Limits::SMALL, Limits::SMALL]
}

#[test]
fn two_nodes_meet_and_exchange_one_message() {
    let mut pair = Pair::new(small(), 1_400, 1);
    pair.connect();
    assert!(pair.run_until(Duration::from_secs(2), Pair::both_up), "{:?}", pair.events);
    pair.send(0, 7, Delivery::Message, b"hello").unwrap();
    assert!(pair.run_until(Duration::from_secs(2), |pair| pair.receipts(0) == [7]), "{:?}", pair.events);
    assert_eq!(pair.delivered(1), [&b"hello"[..]]);
}

/// Memory that grew to the largest packet that ever came would be more after days than after one.
#[test]
fn a_buffer_has_the_size_of_its_link_from_the_first_packet_on() {
    let mut pair = Pair::new(small(), 1_400, 1);
    pair.connect();
    assert!(pair.run_until(Duration::from_secs(2), Pair::both_up), "{:?}", pair.events);
    let room = |pair: &Pair| pair.nodes[1].scratch.capacity();
    assert_eq!(room(&pair), 1_400);
    pair.send(0, 7, Delivery::Message, &[1; 100_000]).unwrap();
    assert!(pair.run_until(Duration::from_secs(2), |pair| pair.receipts(0) == [7]), "{:?}", pair.events);
    assert_eq!(room(&pair), 1_400);
    let mut tiny = Pair::new([Limits::SMALL, Limits { packet_bytes: 600, ..Limits::TINY }], 1_400, 1);
    tiny.connect();
    assert!(tiny.run_until(Duration::from_secs(2), Pair::both_up), "{:?}", tiny.events);
    assert_eq!(room(&tiny), 600, "not more than it takes, whatever the link does");
}

/// The responder may not speak before it has heard the initiator, who therefore does not wait for
/// something to say.
#[test]
fn a_session_is_up_on_both_sides_though_nobody_has_anything_to_send() {
    let mut pair = Pair::new(small(), 1_400, 1);
    pair.delay = Duration::from_millis(10);
    pair.connect();
    assert!(pair.run_until(Duration::from_millis(100), Pair::both_up), "{:?}", pair.events);
}

#[test]
fn a_message_queued_before_the_session_arrives() {
    let mut pair = Pair::new(small(), 1_400, 2);
    pair.connect();
    // The peer is named, so its slot exists before any handshake.
    pair.send(0, 1, Delivery::Message, b"early").unwrap();
    assert!(pair.run_until(Duration::from_secs(2), |pair| pair.receipts(0) == [1]), "{:?}", pair.events);
    assert_eq!(pair.delivered(1), [&b"early"[..]]);
}

/// Sends every size that is a border somewhere, and `large`.
fn every_size_arrives(limits: [Limits; 2], mtu: u16, loss_ppm: u64, large: usize) {
    let mut pair = Pair::new(limits, mtu, 3);
    pair.loss_ppm = loss_ppm;
    pair.connect();
    assert!(pair.run_until(Duration::from_secs(60), Pair::both_up), "mtu {mtu}");
    let sizes = [0, 1, 20, 38, 63, 64, 500, 1_399, 20_000, 65_400, 65_507, 65_508, large];
    for (tag, &size) in sizes.iter().enumerate() {
        let payload: Vec<u8> = (0..size).map(|at| (at * 31 + tag) as u8).collect();
        pair.send(0, tag as u64, Delivery::Message, &payload).unwrap();
    }
    let done = pair.run_until(Duration::from_secs(120), |pair| pair.receipts(0).len() == sizes.len());
    assert!(done, "mtu {mtu}: {:?}", pair.receipts(0));
    let mut lengths: Vec<usize> = pair.delivered(1).iter().map(bytes::Bytes::len).collect();
    lengths.sort_unstable();
    assert_eq!(lengths, sizes, "mtu {mtu}");
    if loss_ppm == 0 {
        let packet = pair.nodes[0].status().peers[0].paths[0].packet_bytes;
        assert_eq!(packet, u32::from(mtu), "the link was used as it is");
    }
}

#[test]
fn every_size_arrives_over_every_mtu() {
    for mtu in [64, 100, 576, 1_400, 9_000] {
        every_size_arrives(small(), mtu, 0, 100_000);
    }
    every_size_arrives([Limits::SERVER, Limits::SERVER], 65_507, 0, 1_000_000);
}

/// The largest message is of three blocks or more wherever a block is less than a message may be.
#[test]
fn every_size_arrives_over_every_mtu_though_one_packet_in_twenty_is_lost() {
    for (mtu, large) in [(64, 100_000), (100, 200_000), (576, 1_000_000)] {
        every_size_arrives(small(), mtu, 50_000, large);
    }
    for (mtu, large) in [(1_400, 3_000_000), (9_000, 1_000_000), (65_507, 1_000_000)] {
        every_size_arrives([Limits::SERVER, Limits::SERVER], mtu, 50_000, large);
    }
}

#[test]
fn ninety_percent_loss_each_way_loses_and_doubles_nothing() {
    for seed in 0..4 {
        let mut pair = Pair::new(small(), 1_400, seed);
        pair.loss_ppm = 900_000;
        pair.delay = Duration::from_millis(25);
        pair.connect();
        assert!(pair.run_until(Duration::from_secs(60), Pair::both_up), "seed {seed}");
        for tag in 0..200u64 {
            pair.send(0, tag, Delivery::Message, &[tag as u8; 100]).unwrap();
            pair.send(1, tag, Delivery::Message, &[tag as u8; 100]).unwrap();
        }
        let done = pair.run_until(Duration::from_secs(600), |pair| {
            pair.receipts(0).len() == 200 && pair.receipts(1).len() == 200
        });
        assert!(done, "seed {seed}: {} and {}", pair.receipts(0).len(), pair.receipts(1).len());
        for index in 0..2 {
            let mut got: Vec<u8> = pair.delivered(index).iter().map(|payload| payload[0]).collect();
            got.sort_unstable();
            assert_eq!(got, (0..200).map(|tag| tag as u8).collect::<Vec<_>>(), "seed {seed}");
        }
    }
}

#[test]
fn a_stream_keeps_its_order_at_half_loss() {
    let mut pair = Pair::new(small(), 1_400, 9);
    pair.loss_ppm = 500_000;
    pair.delay = Duration::from_millis(5);
    pair.connect();
    assert!(pair.run_until(Duration::from_secs(30), Pair::both_up));
    for tag in 0..300u64 {
        pair.send(0, tag, Delivery::Stream { stream: (tag % 3) as u16 }, &tag.to_le_bytes()).unwrap();
    }
    assert!(pair.run_until(Duration::from_secs(120), |pair| pair.delivered(1).len() == 300));
    let mut last = [None; 3];
    for payload in pair.delivered(1) {
        let tag = u64::from_le_bytes(payload[..].try_into().unwrap());
        let last = &mut last[(tag % 3) as usize];
        assert!(last.is_none_or(|last| last < tag), "{tag} after {last:?}");
        *last = Some(tag);
    }
}

#[test]
fn durable_messages_are_on_both_disks_before_anybody_says_so() {
    let mut pair = Pair::new(small(), 1_400, 11);
    pair.connect();
    assert!(pair.run_until(Duration::from_secs(2), Pair::both_up));
    pair.send(0, 5, Delivery::Durable, b"keep me").unwrap();
    assert!(pair.run_until(Duration::from_secs(2), |pair| pair.receipts(0) == [5]), "{:?}", pair.events);
    let held = pair.disks[1]
        .values()
        .filter(|record| matches!(record, crate::store::record::Record::Incoming { .. }));
    assert_eq!(held.count(), 1, "kept until the application confirms");
}

/// A cable and a slow radio to the same peer, whichever was there first: the cable carries the load.
#[test]
fn the_faster_of_two_links_carries_the_load() {
    for (slow_first, key_known) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut pair = Pair::new(small(), 1_400, 21);
        let slow = LinkId(1);
        for index in 0..2 {
            let info = LinkInfo { rate_bps: Some(250_000), ..info(102, index as u32 + 10) };
            pair.input(index, Input::LinkChanged { link: slow, state: LinkState::Up(info) }).unwrap();
        }
        let mut endpoints = vec![(LINK, Addr::from_u32(1)), (slow, Addr::from_u32(1))];
        if slow_first {
            endpoints.reverse();
        }
        let key = key_known.then(|| pair.keys[1]);
        let spec = PeerSpec { node: Some(pair.id(1)), key, endpoints };
        pair.input(0, Input::Command(Command::AddPeer(spec))).unwrap();
        assert!(pair.run_until(Duration::from_secs(5), Pair::both_up));
        pair.run_until(Duration::from_secs(2), |_| false);
        let before = pair.crossed;
        for tag in 0..50u64 {
            pair.send(0, tag, Delivery::Message, &[7; 1_000]).unwrap();
            pair.send(1, tag, Delivery::Message, &[7; 60]).unwrap();
            pair.run_until(Duration::from_millis(20), |_| false);
        }
        assert!(pair.run_until(Duration::from_secs(20), |pair| pair.receipts(0).len() == 50));
        let [fast, slow] = [0, 1].map(|link| pair.crossed[link] - before[link]);
        let paths = pair.nodes[0].status().peers[0].paths.clone();
        assert!(
            fast > 10 * slow,
            "slow first {slow_first}, key known {key_known}: {fast} and {slow} bytes; {paths:#?}"
        );
    }
}

/// A metered link is for the time when the free one is gone, however fast it is: a message rather waits a
/// minute than costs anything.
#[test]
fn a_link_that_costs_more_carries_messages_only_when_the_other_is_gone() {
    let mut pair = Pair::new(small(), 1_400, 22);
    pair.delay = Duration::from_millis(40);
    pair.slow_delay = Duration::from_millis(2);
    let metered = LinkId(1);
    for index in 0..2 {
        let info = LinkInfo { cost: 60_000, ..info(1_400, index as u32 + 10) };
        pair.input(index, Input::LinkChanged { link: metered, state: LinkState::Up(info) }).unwrap();
    }
    let endpoints = vec![(metered, Addr::from_u32(1)), (LINK, Addr::from_u32(1))];
    let spec = PeerSpec { node: Some(pair.id(1)), key: None, endpoints };
    pair.input(0, Input::Command(Command::AddPeer(spec))).unwrap();
    assert!(pair.run_until(Duration::from_secs(5), Pair::both_up));
    pair.run_until(Duration::from_secs(2), |_| false);
    for gone in [false, true] {
        if gone {
            pair.input(0, Input::LinkChanged { link: LINK, state: LinkState::Down }).unwrap();
            pair.input(1, Input::LinkChanged { link: LINK, state: LinkState::Down }).unwrap();
        }
        let before = pair.crossed;
        for tag in 0..100u64 {
            pair.send(0, tag, Delivery::Message, &[7; 1_000]).unwrap();
            pair.run_until(Duration::from_millis(20), |_| false);
        }
        let all = if gone { 200 } else { 100 };
        assert!(pair.run_until(Duration::from_secs(20), |pair| pair.receipts(0).len() == all));
        let [free, metered] = [0, 1].map(|link| pair.crossed[link] - before[link]);
        if gone {
            assert_eq!(free, 0);
            assert!(metered > 100_000);
        } else {
            assert!(free > 100_000 && metered < 2_000, "{free} and {metered} bytes");
        }
    }
}

/// Whoever is left is told at once, and need not wait for the silence.
#[test]
fn a_peer_that_is_left_hears_of_it() {
    let removed = |pair: &Pair| Command::RemovePeer(pair.id(0));
    for command in [removed, |_: &Pair| Command::Shutdown] {
        let mut pair = Pair::new(small(), 64, 4);
        pair.connect();
        assert!(pair.run_until(Duration::from_secs(2), Pair::both_up), "{:?}", pair.events);
        let node = pair.id(1);
        let told =
            |pair: &Pair| pair.events[0].contains(&Event::PeerDown { node, reason: DownReason::Closed });
        assert!(!told(&pair));
        let (before, command) = (pair.transmitted[1], command(&pair));
        pair.input(1, Input::Command(command)).unwrap();
        assert!((22..=26).contains(&(pair.transmitted[1] - before)), "one packet that says no more");
        assert!(pair.run_until(Duration::from_millis(10), told), "{:?}", pair.events);
    }
}

/// A tunnel on the way takes less than the link, and tells nobody (RFC 8899): small packets pass, large ones never
/// do. The larger messages arrive all the same, and little is sent in vain.
#[test]
fn messages_pass_a_wire_that_takes_less_than_it_says() {
    for (passes, loss_ppm) in [(1_300, 0), (600, 10_000), (150, 0), (64, 0), (600, 300_000)] {
        let mut pair = Pair::new(small(), 1_400, 31);
        pair.connect();
        assert!(pair.run_until(Duration::from_secs(2), Pair::both_up), "{:?}", pair.events);
        (pair.passes, pair.loss_ppm) = (passes, loss_ppm);
        let before = pair.transmitted[0];
        let sizes = [1_370, 30, 200_000, 600, 5_000, 40, 1_000];
        for (tag, &size) in sizes.iter().enumerate() {
            pair.send(0, tag as u64, Delivery::Message, &vec![tag as u8; size]).unwrap();
        }
        let size = |pair: &Pair| pair.nodes[0].status().peers[0].paths[0].packet_bytes;
        let noticed = pair.run_until(Duration::from_millis(500), |pair| size(pair) < 1_400);
        assert!(noticed, "{passes} B at {loss_ppm}: it goes on with full packets");
        let arrived = pair.run_until(LONG, |pair| pair.receipts(0).len() == sizes.len());
        assert!(arrived, "{passes} B at {loss_ppm}: {:?} of {} messages", pair.receipts(0), sizes.len());
        let (sent, needed) = (pair.transmitted[0] - before, sizes.iter().sum::<usize>() as u64);
        let most = 5 * needed * 1_000_000 / (1_000_000 - loss_ppm);
        assert!(sent < most, "{passes} B at {loss_ppm}: {sent} B for {needed} B");
        assert!(size(&pair) as usize <= passes, "{passes} B at {loss_ppm}: {} B", size(&pair));
        // The tunnel is gone: soon full packets leave again.
        pair.passes = usize::MAX;
        for tag in 100..140 {
            pair.send(0, tag, Delivery::Message, &[1; 3_000]).unwrap();
            pair.run_until(Duration::from_secs(1), |_| false);
        }
        assert_eq!(size(&pair), 1_400, "{passes} B at {loss_ppm}");
    }
}

/// The answer to a handshake went to one link, and what the other link brought first has confirmed it. The next packet
/// on the first shows that the peer is there: that path is proved at once, and there is one to each address.
#[test]
fn a_path_is_proved_by_the_first_packet_from_where_the_answer_went() {
    for (paths, known) in [(4, false), (2, false), (2, true)] {
        let limits = [Limits::SMALL, Limits { paths_per_peer: paths, ..Limits::SMALL }];
        let mut pair = Pair::new(limits, 1_400, 33);
        let other = LinkId(1);
        for index in 0..2 {
            let state = LinkState::Up(info(1_400, index as u32));
            pair.input(index, Input::LinkChanged { link: other, state }).unwrap();
        }
        // What goes over the first link takes as long as it takes for the other to be there first.
        pair.delay = Duration::from_millis(20);
        pair.slow_delay = Duration::from_millis(1);
        let endpoints = |node| [LINK, other].map(|link| (link, Addr::from_u32(node))).to_vec();
        let (to, key) = (Some(pair.id(1)), Some(pair.keys[1]));
        let first = PeerSpec { node: to, key, endpoints: vec![(LINK, Addr::from_u32(1))] };
        pair.input(0, Input::Command(Command::AddPeer(first))).unwrap();
        // The answer is nearly there.
        pair.run_until(Duration::from_millis(39), |_| false);
        let spec = PeerSpec { node: to, key, endpoints: endpoints(1) };
        pair.input(0, Input::Command(Command::AddPeer(spec))).unwrap();
        if known {
            let spec = PeerSpec { node: Some(pair.id(0)), key: None, endpoints: endpoints(0) };
            pair.input(1, Input::Command(Command::AddPeer(spec))).unwrap();
        }
        assert!(pair.run_until(Duration::from_secs(2), Pair::both_up));
        pair.run_until(Duration::from_secs(1), |_| false);
        let mut paths: Vec<_> = pair.nodes[1].status().peers[0].paths.clone();
        paths.sort_by_key(|path| path.link);
        let seen: Vec<_> = paths.iter().map(|path| (path.link, path.up)).collect();
        assert_eq!(seen, [(LINK, true), (other, true)], "known {known}");
    }
}

/// Both have room for one path, and its link is gone for good: the session goes on over another.
#[test]
fn the_only_path_moves_to_another_link() {
    let limits = Limits { paths_per_peer: 1, ..Limits::SMALL };
    let mut pair = Pair::new([limits.clone(), limits], 1_400, 35);
    pair.connect();
    assert!(pair.run_until(Duration::from_secs(2), Pair::both_up));
    let other = LinkId(1);
    for index in 0..2 {
        pair.input(index, Input::LinkChanged { link: LINK, state: LinkState::Down }).unwrap();
        let state = LinkState::Up(info(1_400, index as u32));
        pair.input(index, Input::LinkChanged { link: other, state }).unwrap();
    }
    let endpoints = vec![(other, Addr::from_u32(0))];
    let spec = PeerSpec { node: Some(pair.id(0)), key: None, endpoints };
    pair.input(1, Input::Command(Command::AddPeer(spec))).unwrap();
    pair.send(0, 7, Delivery::Message, b"over there").unwrap();
    pair.send(1, 8, Delivery::Message, b"and back").unwrap();
    let both = |pair: &Pair| (pair.receipts(0), pair.receipts(1)) == (vec![7], vec![8]);
    assert!(pair.run_until(Duration::from_secs(600), both));
}

/// Nothing comes any more from where the answer to a handshake went. The peer's other places are tried all the same.
#[test]
fn other_places_are_tried_though_the_answered_one_is_silent() {
    let mut pair = Pair::new([Limits::SMALL, Limits::SMALL], 1_400, 34);
    let (other, third) = (LinkId(1), LinkId(2));
    for index in 0..2 {
        for link in [other, third] {
            let state = LinkState::Up(info(1_400, index as u32));
            pair.input(index, Input::LinkChanged { link, state }).unwrap();
        }
    }
    pair.delay = Duration::from_millis(20);
    let tell = |pair: &mut Pair, index: usize, links: &[LinkId]| {
        let endpoints = links.iter().map(|&link| (link, Addr::from_u32(1 - index as u32))).collect();
        let spec = PeerSpec { node: Some(pair.id(1 - index)), key: Some(pair.keys[1 - index]), endpoints };
        pair.input(index, Input::Command(Command::AddPeer(spec))).unwrap();
    };
    tell(&mut pair, 0, &[LINK]);
    // The answer is nearly there, and the last to go over this link.
    pair.run_until(Duration::from_millis(39), |_| false);
    pair.delay = Duration::from_secs(86_400);
    tell(&mut pair, 0, &[LINK, other]);
    tell(&mut pair, 1, &[third]);
    assert!(pair.run_until(Duration::from_secs(2), Pair::both_up));
    pair.run_until(Duration::from_secs(1), |_| false);
    let mut up: Vec<_> = pair.nodes[1].status().peers[0].paths.clone();
    up.retain(|path| path.up);
    up.sort_by_key(|path| path.link);
    assert_eq!(up.iter().map(|path| path.link).collect::<Vec<_>>(), [other, third]);
}
