//! Nodes with fewer slots than peers.

use std::vec;
use std::vec::Vec;

use super::bench::*;
use crate::ids::NodeId;
use crate::limits::Limits;
use crate::node::*;
use crate::store::record::Record;
use crate::time::Duration;

const LONG: Duration = Duration::from_secs(60);

/// Somebody who is not there.
const OTHER: NodeId = NodeId([9; 32]);

fn add(node: NodeId) -> Command {
    Command::AddPeer(PeerSpec { node: Some(node), key: None, endpoints: vec![] })
}

/// Node 0 has called node 1, which has one slot and asked for nobody.
fn visited(seed: u8) -> Pair {
    let one = Limits { peers: 1, ..Limits::SMALL };
    let mut pair = Pair::new([Limits::SMALL, one], 1_400, seed);
    pair.connect();
    assert!(pair.run_until(LONG, Pair::both_up), "{:?}", pair.events);
    pair
}

/// A stranger that keeps its session alive does not keep out whom the operator asks for.
#[test]
fn a_peer_that_is_asked_for_gets_the_place_of_a_stranger_in_session() {
    let mut pair = visited(61);
    let stranger = pair.id(0);
    assert_eq!(pair.input(1, Input::Command(add(OTHER))), Ok(()));
    let gone = Event::PeerDown { node: stranger, reason: DownReason::Removed };
    assert!(pair.events[1].contains(&gone), "{:?}", pair.events[1]);
    assert!(pair.nodes[1].slot_of(&OTHER).is_some());
    // Whom the operator asked for makes room for nobody.
    let full = Err(Refused::PeersFull { limit: 1 });
    assert_eq!(pair.input(1, Input::Command(add(NodeId([8; 32])))), full);
    pair.run_until(Duration::from_secs(600), |_| false);
    assert!(!pair.is_up(1), "the stranger came back");
    // What was asked for and taken back is free for anybody.
    assert_eq!(pair.input(1, Input::Command(Command::RemovePeer(OTHER))), Ok(()));
    assert!(pair.run_until(LONG, Pair::both_up), "{:?}", pair.events);
}

fn outgoing(pair: &Pair) -> usize {
    pair.disks[1].values().filter(|record| matches!(record, Record::Outgoing { .. })).count()
}

fn outcomes(pair: &Pair, tag: u64) -> Vec<Outcome> {
    let of_tag = |event: &Event| match event {
        Event::Receipt { tag: known, outcome, .. } if *known == tag => Some(*outcome),
        _ => None,
    };
    pair.events[1].iter().filter_map(of_tag).collect()
}

/// Who loses a slot to another is treated no worse than by a restart: durable messages wait. In session
/// when it happens, or silent for long; written by then, or not yet.
#[test]
fn durable_messages_wait_for_a_peer_that_lost_its_slot() {
    for (silent, slow) in [(false, false), (true, false), (false, true)] {
        let mut pair = visited(62);
        pair.loss_ppm = 1_000_000;
        pair.slow_disk[1] = slow;
        for tag in 0..3 {
            pair.send(1, tag, Delivery::Durable, &[tag as u8; 3_000]).unwrap();
        }
        pair.send(1, 9, Delivery::Message, b"cannot wait").unwrap();
        let idle = Limits::SMALL.session_idle + LONG;
        pair.run_until(if silent { idle } else { Duration::from_secs(1) }, |_| false);
        assert_eq!(pair.is_up(1), !silent);
        assert_eq!(pair.input(1, Input::Command(add(OTHER))), Ok(()));
        pair.confirm(1);
        pair.slow_disk[1] = false;
        pair.run_until(LONG, |_| false);
        assert_eq!(outcomes(&pair, 9), [Outcome::Cancelled]);
        assert_eq!(outcomes(&pair, 0), [Outcome::Accepted]);
        assert_eq!(outgoing(&pair), 3);
        // No slot, no session: nothing can be added for it either.
        assert_eq!(pair.send(1, 5, Delivery::Durable, b"no"), Err(Refused::UnknownPeer));
        assert_eq!(pair.input(1, Input::Command(Command::RemovePeer(OTHER))), Ok(()));
        pair.loss_ppm = 0;
        let done = pair.run_until(LONG, |pair| (0..3).all(|tag| pair.receipts(1).contains(&tag)));
        assert!(done, "silent {silent} slow {slow}: {:?}", pair.events[1]);
        assert_eq!(pair.delivered(0).len(), 3, "each once");
        assert_eq!(outgoing(&pair), 0);
    }
}

/// They take their room until they expire, and give it back then; who is removed takes none.
#[test]
fn what_waits_for_a_peer_without_a_slot_expires_or_is_given_up() {
    let few = Limits { durable_messages: 8, peers: 1, peer_share: 1, ..Limits::SMALL };
    for removed in [false, true] {
        let mut pair = Pair::new([Limits::SMALL, few.clone()], 1_400, 63);
        pair.connect();
        assert!(pair.run_until(LONG, Pair::both_up), "{:?}", pair.events);
        pair.loss_ppm = 1_000_000;
        let mut taken = 0;
        while pair.send(1, taken, Delivery::Durable, b"kept") == Ok(()) {
            taken += 1;
        }
        assert_eq!(taken, 4);
        assert_eq!(pair.input(1, Input::Command(add(OTHER))), Ok(()));
        let full = |pair: &mut Pair, tag: u64| {
            let send = Send {
                to: OTHER,
                tag,
                delivery: Delivery::Durable,
                class: Class::Normal,
                lifetime: None,
                payload: bytes::Bytes::new(),
            };
            pair.input(1, Input::Command(Command::Send(send)))
        };
        assert_eq!(full(&mut pair, 20), Err(Refused::QueueFull), "what waits is within the bounds");
        let (stranger, ended) = (pair.id(0), if removed { Outcome::Cancelled } else { Outcome::Expired });
        if removed {
            assert_eq!(pair.input(1, Input::Command(Command::RemovePeer(OTHER))), Ok(()));
            assert_eq!(pair.input(1, Input::Command(add(stranger))), Ok(()));
            assert_eq!(pair.input(1, Input::Command(Command::RemovePeer(stranger))), Ok(()));
            assert_eq!(pair.input(1, Input::Command(add(OTHER))), Ok(()));
        } else {
            pair.run_until(Class::Normal.lifetime() + LONG, |_| false);
        }
        assert_eq!(outcomes(&pair, 0), [Outcome::Accepted, ended]);
        assert_eq!(outgoing(&pair), 0);
        assert_eq!(full(&mut pair, 21), Ok(()));
    }
}
