//! Nodes whose outputs are full, and disks that are slow or fail.

use super::bench::*;
use crate::drops::Drop;
use crate::limits::Limits;
use crate::node::*;
use crate::time::Duration;
use crate::wake::Wake;

const LONG: Duration = Duration::from_secs(60);

fn few_outputs() -> Limits {
    Limits { outputs: 16, ..Limits::SMALL }
}

/// More records than the gate holds wait for one sync: the node says that it is full and rests, and goes
/// on when the disk has spoken.
#[test]
fn a_slow_disk_makes_a_node_wait_and_not_spin() {
    let mut pair = Pair::new([few_outputs(), few_outputs()], 1_400, 41);
    pair.connect();
    assert!(pair.run_until(LONG, Pair::both_up));
    pair.slow_disk = [true, true];
    let mut accepted = 0;
    while pair.send(0, accepted, Delivery::Durable, b"wait") == Ok(()) {
        accepted += 1;
    }
    assert!((8..16).contains(&accepted), "{accepted}");
    assert_eq!(pair.nodes[0].next_wake(), Wake::Idle);
    // A minute in which neither disk says anything.
    pair.run_until(LONG, |_| false);
    for _ in 0..40 {
        pair.confirm(0);
        pair.confirm(1);
        pair.run_until(Duration::from_secs(1), |_| false);
    }
    assert_eq!(pair.receipts(0).len() as u64, accepted, "{:?}", pair.events[0]);
    assert_eq!(pair.delivered(1).len() as u64, accepted);
}

/// Two small nodes, of which the first has just started and its disk has not said anything yet.
fn starting_on_a_slow_disk(seed: u8) -> Pair {
    let limits = Limits { outputs: 16, ..Limits::TINY };
    let mut pair = Pair::new([limits.clone(), limits], 64, seed);
    pair.slow_disk = [true, false];
    pair.restart(0);
    let up = Input::LinkChanged { link: LINK, state: LinkState::Up(info(64, 0)) };
    pair.input(0, up).unwrap();
    pair
}

/// Nothing may leave before the start is on disk. A node whose disk fails then stays silent, and awake.
#[test]
fn a_disk_that_fails_at_the_start_leaves_a_silent_node() {
    let mut pair = starting_on_a_slow_disk(42);
    let before = pair.transmitted[0];
    pair.connect();
    pair.run_until(Duration::from_secs(600), |_| false);
    pair.input(0, Input::StoreFailed).unwrap();
    pair.run_until(Duration::from_secs(600), |_| false);
    assert!(pair.events[0].contains(&Event::StorageFailed));
    assert_eq!(pair.transmitted[0], before);
    assert_eq!(pair.send(0, 1, Delivery::Durable, b"no"), Err(Refused::NoStorage));
}

/// A disk that is slow at the start delays the first handshake and nothing else.
#[test]
fn a_disk_that_is_slow_at_the_start_delays_the_session() {
    let mut pair = starting_on_a_slow_disk(43);
    pair.connect();
    assert!(!pair.run_until(Duration::from_secs(300), Pair::both_up));
    pair.slow_disk[0] = false;
    pair.confirm(0);
    assert!(pair.run_until(Duration::from_secs(20), Pair::both_up), "{:?}", pair.events);
}

/// A command acts on what earlier ones have led to: while that is not carried out, it is refused.
#[test]
fn a_command_is_refused_while_earlier_ones_wait_for_room() {
    let mut pair = Pair::new([few_outputs(), few_outputs()], 1_400, 44);
    pair.connect();
    assert!(pair.run_until(LONG, Pair::both_up));
    pair.slow_disk[0] = true;
    let mut tag = 0;
    while pair.send(0, tag, Delivery::Durable, b"fill") == Ok(()) {
        tag += 1;
    }
    let node = pair.id(1);
    assert_eq!(pair.input(0, Input::Command(Command::RemovePeer(node))), Err(Refused::QueueFull));
    let spec = PeerSpec { node: Some(node), key: None, endpoints: [].into() };
    assert_eq!(pair.input(0, Input::Command(Command::AddPeer(spec.clone()))), Err(Refused::QueueFull));
    pair.slow_disk[0] = false;
    pair.confirm(0);
    assert_eq!(pair.input(0, Input::Command(Command::RemovePeer(node))), Ok(()));
    assert_eq!(pair.input(0, Input::Command(Command::AddPeer(spec))), Ok(()));
}

/// A statement that cannot be kept is not taken: after a restart nobody would know of it.
#[test]
fn a_statement_is_refused_when_the_disk_has_failed() {
    let mut pair = Pair::new([Limits::SMALL, Limits::SMALL], 1_400, 45);
    pair.input(0, Input::StoreFailed).unwrap();
    let install = Command::Install(bytes::Bytes::from_static(b"whatever it is"));
    assert_eq!(pair.input(0, Input::Command(install)), Err(Refused::NoStorage));
}

/// An application that sleeps: what its node holds for it is bounded in bytes, not only in number.
#[test]
fn messages_that_nobody_takes_are_bounded_in_bytes() {
    const LEN: usize = 8_000;
    let limits = Limits { message_bytes: 9_000, receive_bytes: 64 * 1024, ..Limits::SMALL };
    let share = limits.receive_share() as usize;
    let mut pair = Pair::new([Limits::SMALL, limits], 9_000, 46);
    pair.connect();
    assert!(pair.run_until(LONG, Pair::both_up));
    pair.asleep = Some(1);
    for tag in 0..20 {
        pair.send(0, tag, Delivery::Datagram, &[tag as u8; LEN]).unwrap();
    }
    let full = |pair: &Pair| pair.nodes[1].status().drops.get(Drop::QueueFull) > 0;
    assert!(pair.run_until(LONG, full), "the door is never closed");
    pair.asleep = None;
    pair.drain(1);
    let held: usize = pair.delivered(1).iter().map(bytes::Bytes::len).sum();
    assert!((share..share + LEN).contains(&held), "{held} bytes held, a share is {share}");
    // And opens again.
    let before = pair.delivered(1).len();
    pair.send(0, 20, Delivery::Message, &[20; 1_000]).unwrap();
    assert!(pair.run_until(LONG, |pair| pair.receipts(0) == [20]));
    assert!(pair.delivered(1).len() > before);
}

/// Without the count nobody would know why no session begins.
#[test]
fn handshake_packets_that_the_shell_has_no_room_for_are_counted() {
    let mut pair = Pair::new([Limits::SMALL, Limits::SMALL], 1_400, 45);
    pair.buf.truncate(256);
    pair.connect();
    assert!(!pair.run_until(LONG, Pair::both_up));
    assert_eq!(pair.transmitted, [0, 0]);
    assert!(pair.nodes[0].status().drops.get(Drop::BufferTooSmall) > 0);
    pair.buf.resize(1_400, 0);
    assert!(pair.run_until(LONG, Pair::both_up));
}
