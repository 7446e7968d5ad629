//! Durable messages between nodes that remove each other and meet again.

use std::vec::Vec;

use super::bench::*;
use crate::limits::Limits;
use crate::node::*;
use crate::store::record::{Key, Record};
use crate::time::Duration;

const LONG: Duration = Duration::from_secs(60);

fn pair(limits: [Limits; 2]) -> Pair {
    let mut pair = Pair::new(limits, 1_400, 31);
    pair.reconnect();
    pair
}

impl Pair {
    fn remove(&mut self, index: usize) {
        let other = self.id(1 - index);
        self.input(index, Input::Command(Command::RemovePeer(other))).unwrap();
    }

    fn reconnect(&mut self) {
        self.connect();
        assert!(self.run_until(LONG, Pair::both_up), "{:?}", self.events);
    }

    /// Each sends a durable message with this tag; both arrive and are receipted.
    fn exchange(&mut self, tag: u64) {
        let before = [0, 1].map(|index| self.delivered(index).len());
        for index in 0..2 {
            self.send(index, tag, Delivery::Durable, &tag.to_le_bytes()).unwrap();
        }
        let done = |pair: &Pair| (0..2).all(|index| pair.receipts(index).contains(&tag));
        assert!(self.run_until(LONG, done), "tag {tag}: {:?}", self.events);
        for index in 0..2 {
            let now = self.delivered(index);
            assert_eq!(now[before[index]..], [&tag.to_le_bytes()[..]], "tag {tag} at node {index}");
        }
    }

    fn consume(&mut self, index: usize, seq: u64) -> Result<(), Refused> {
        let from = self.id(1 - index);
        self.input(index, Input::Command(Command::Consumed { from, seq }))
    }

    fn on_disk(&self, index: usize, wanted: impl Fn(&Record) -> bool) -> usize {
        self.disks[index].values().filter(|record| wanted(record)).count()
    }

    /// The numbers of the messages delivered at `index`.
    fn numbers(&self, index: usize) -> Vec<u64> {
        let numbers = self.events[index].iter().filter_map(|event| match event {
            Event::Message { seq, .. } => Some(*seq),
            _ => None,
        });
        numbers.collect()
    }
}

fn incoming(record: &Record) -> bool {
    matches!(record, Record::Incoming { .. })
}

/// The other side still signs for the numbers of before: they must not be used for new messages.
#[test]
fn durable_numbers_go_on_after_a_peer_was_removed_and_added_again() {
    for removing in 0..2 {
        let mut pair = pair([Limits::SMALL, Limits::SMALL]);
        for tag in 0..20 {
            pair.exchange(tag);
            if tag % 3 == 0 {
                pair.remove(removing);
                pair.reconnect();
            }
        }
        for index in 0..2 {
            let mut numbers = pair.numbers(index);
            numbers.dedup();
            assert_eq!(numbers.len(), 20, "every message has a number of its own");
        }
    }
}

/// What the other side sent and was not told about is sent again, and taken once: every other time the
/// receipts are lost.
#[test]
fn what_was_on_its_way_when_a_peer_was_removed_arrives_once() {
    for wait in 0..60 {
        let mut pair = pair([Limits::SMALL, Limits::SMALL]);
        pair.exchange(0);
        for tag in 1..9 {
            pair.send(1, tag, Delivery::Durable, &tag.to_le_bytes()).unwrap();
        }
        pair.loss_ppm = 1_000_000 * (wait % 2);
        pair.run_until(Duration::from_micros(100 * wait), |_| false);
        pair.remove(0);
        pair.run_until(Duration::from_millis(wait), |_| false);
        pair.loss_ppm = 0;
        pair.reconnect();
        let done = pair.run_until(LONG, |pair| (1..9).all(|tag| pair.receipts(1).contains(&tag)));
        assert!(done, "after {wait}: {:?}", pair.events[1]);
        let mut tags: Vec<u64> =
            pair.delivered(0).iter().map(|tag| u64::from_le_bytes(tag[..].try_into().unwrap())).collect();
        tags.sort_unstable();
        assert_eq!(tags, (0..9).collect::<Vec<_>>(), "after {wait}");
    }
}

/// The application may confirm what it was shown of a peer that is gone, and the disk forgets it.
#[test]
fn a_message_of_a_removed_peer_can_be_confirmed() {
    let mut pair = pair([Limits::SMALL, Limits::SMALL]);
    pair.exchange(0);
    pair.exchange(1);
    pair.remove(1);
    assert_eq!(pair.on_disk(1, incoming), 2);
    assert_eq!(pair.consume(1, 0), Ok(()));
    assert_eq!(pair.on_disk(1, incoming), 1);
    let window = &pair.disks[1][&Key::Window(pair.id(0))];
    assert!(matches!(window, Record::Window { floor: 1, ranges, .. } if ranges.is_empty()), "{window:?}");
    pair.reconnect();
    pair.exchange(2);
    for seq in 1..3 {
        assert_eq!(pair.consume(1, seq), Ok(()));
    }
    assert_eq!(pair.on_disk(1, incoming), 0);
}

#[test]
fn a_message_of_a_node_that_never_was_a_peer_cannot_be_confirmed() {
    let mut pair = Pair::new([Limits::SMALL, Limits::SMALL], 1_400, 31);
    assert_eq!(pair.consume(0, 0), Err(Refused::UnknownPeer));
}

/// What was signed for is shown again after a restart, whether its sender ever comes back or not.
#[test]
fn a_message_that_was_not_confirmed_is_shown_again_without_its_sender() {
    let mut pair = pair([Limits::SMALL, Limits::SMALL]);
    pair.exchange(0);
    pair.restart(1);
    assert!(
        matches!(pair.events[1][..], [Event::Message { seq: 0, again: true, .. }]),
        "{:?}",
        pair.events[1]
    );
    assert_eq!(pair.consume(1, 0), Ok(()));
    assert_eq!(pair.on_disk(1, incoming), 0);
    pair.restart(1);
    assert_eq!(pair.events[1], []);
}

/// A durable message grows older while nobody asks for the peer that it is for.
#[test]
fn what_waits_for_a_node_that_is_no_peer_expires() {
    let mut pair = Pair::new([Limits::SMALL, Limits::SMALL], 1_400, 31);
    pair.connect();
    pair.send(0, 7, Delivery::Durable, b"late").unwrap();
    pair.restart(0);
    let expired = |pair: &Pair| {
        pair.events[0].contains(&Event::Receipt { to: pair.id(1), tag: 7, outcome: Outcome::Expired })
    };
    assert!(!pair.run_until(Duration::from_secs(3 * 86_400 - 1), expired));
    assert!(pair.run_until(Duration::from_secs(2), expired), "{:?}", pair.events[0]);
    assert_eq!(pair.on_disk(0, |record| matches!(record, Record::Outgoing { .. })), 0);
}

/// The disk is bounded in bytes too: what the application leaves there keeps out what comes next.
#[test]
fn what_the_application_does_not_take_fills_the_disk_no_further_than_allowed() {
    let small = Limits { message_bytes: 4_096, durable_bytes: 8_192, peer_share: 1, ..Limits::SMALL };
    let mut pair = pair([Limits::SMALL, small]);
    for tag in 0..6 {
        pair.send(0, tag, Delivery::Durable, &[tag as u8; 3_000]).unwrap();
    }
    // What has no receipt is asked after once a minute in the end, and every fourth time sent anew.
    let pause = Duration::from_secs(245);
    pair.run_until(pause, |_| false);
    let sent = pair.transmitted[0];
    pair.run_until(pause, |_| false);
    assert!(pair.transmitted[0] - sent < 60_000, "{} bytes", pair.transmitted[0] - sent);
    for taken in 0..4 {
        let numbers = pair.numbers(1);
        assert_eq!(numbers.len(), taken + 2, "two fit");
        assert_eq!(pair.consume(1, numbers[taken]), Ok(()));
        pair.run_until(pause, |_| false);
    }
    assert_eq!(pair.receipts(0).len(), 6);
}

/// Numbers are kept for good, so whoever has no place for them says so.
#[test]
fn a_node_without_a_place_for_the_numbers_refuses_durable_messages() {
    let none = Limits { durable_peers: 0, ..Limits::SMALL };
    let mut pair = pair([Limits::SMALL, none]);
    assert_eq!(pair.send(1, 1, Delivery::Durable, b"no place to send"), Err(Refused::QueueFull));
    pair.send(0, 2, Delivery::Durable, b"no place to receive").unwrap();
    let refused = Event::Receipt { to: pair.id(1), tag: 2, outcome: Outcome::Refused };
    assert!(pair.run_until(LONG, |pair| pair.events[0].contains(&refused)), "{:?}", pair.events[0]);
    assert!(pair.disks[1].keys().all(|key| !matches!(key, Key::Incoming(..) | Key::Window(_))));
    assert!(pair.delivered(1).is_empty());
}

/// A place belongs to a node, however often it comes back.
#[test]
fn coming_back_takes_no_second_place() {
    // Node 0 is nobody that node 1 asked for: those get half of the places.
    let one = Limits { durable_peers: 2, ..Limits::SMALL };
    let mut pair = pair([one.clone(), one]);
    for tag in 0..5 {
        pair.exchange(tag);
        pair.remove(0);
        pair.reconnect();
    }
}
