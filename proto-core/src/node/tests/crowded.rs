//! Nodes with fewer slots than peers.

use std::vec;

use super::bench::*;
use crate::ids::NodeId;
use crate::limits::Limits;
use crate::node::*;
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
