//! Gossip between two nodes: who takes part, what is heard, and what is not.

use std::vec::Vec;

use bytes::Bytes;

use super::bench::*;
use crate::gossip::signed::{Role, Topic};
use crate::gossip::{Refusal, What};
use crate::limits::Limits;
use crate::node::*;
use crate::time::Duration;

const LONG: Duration = Duration::from_secs(60);
const TOPIC: Topic = Topic(3);

fn member() -> Limits {
    Limits { gossip_members: 8, ..Limits::SMALL }
}

fn met(limits: [Limits; 2]) -> Pair {
    let mut pair = Pair::new(limits, 1_400, 5);
    pair.connect();
    assert!(pair.run_until(LONG, Pair::both_up), "{:?}", pair.events);
    pair
}

fn ask(pair: &mut Pair, index: usize, command: GossipCommand) -> Result<(), Refused> {
    pair.input(index, Input::Command(Command::Gossip(command)))
}

fn say(pair: &mut Pair, index: usize, tag: u64, payload: &[u8]) {
    let payload = Bytes::copy_from_slice(payload);
    ask(pair, index, GossipCommand::Broadcast { tag, topic: TOPIC, payload }).unwrap();
}

fn heard(pair: &Pair, index: usize) -> Vec<GossipEvent> {
    let events = pair.events[index].iter().filter_map(|event| match event {
        Event::Gossip(event) => Some(event.clone()),
        _ => None,
    });
    events.collect()
}

fn became(pair: &Pair, index: usize, wanted: What) -> bool {
    let other = pair.id(1 - index);
    let is_it = |event: &GossipEvent| matches!(event, GossipEvent::Member { node, what, .. } if *node == Some(other) && *what == wanted);
    heard(pair, index).iter().any(is_it)
}

fn delivered(pair: &Pair, index: usize) -> Vec<Bytes> {
    let events = heard(pair, index).into_iter().filter_map(|event| match event {
        GossipEvent::Delivered { id, node, topic, payload } => {
            let other = 1 - index;
            assert_eq!((node, topic), (Some(pair.id(other)), TOPIC));
            assert_eq!(id.origin, pair.nodes[other].gossip().unwrap().member());
            Some(payload)
        }
        _ => None,
    });
    events.collect()
}

#[test]
fn what_one_says_the_other_hears_once_if_it_asked_for_it() {
    let mut pair = met([member(), member()]);
    assert!(pair.run_until(LONG, |pair| became(pair, 0, What::Joined) && became(pair, 1, What::Joined)));
    ask(&mut pair, 1, GossipCommand::Subscribe { topic: TOPIC }).unwrap();
    say(&mut pair, 0, 7, b"hello");
    say(&mut pair, 1, 8, b"not asked for");
    let spread = |pair: &Pair, index, tag| heard(pair, index).contains(&GossipEvent::Spread { tag });
    assert!(pair.run_until(LONG, |pair| spread(pair, 0, 7) && spread(pair, 1, 8)), "{:?}", pair.events);
    pair.run_until(LONG, |_| false);
    assert_eq!(delivered(&pair, 1), [&b"hello"[..]]);
    assert_eq!(delivered(&pair, 0), [&b""[..]; 0]);
    ask(&mut pair, 1, GossipCommand::Unsubscribe { topic: TOPIC }).unwrap();
    say(&mut pair, 0, 9, b"too late");
    pair.run_until(LONG, |_| false);
    assert_eq!(delivered(&pair, 1).len(), 1);
    assert_eq!(pair.nodes.iter().map(|node| node.gossip().unwrap().present()).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn loss_costs_time_only() {
    let mut pair = met([member(), member()]);
    ask(&mut pair, 1, GossipCommand::Subscribe { topic: TOPIC }).unwrap();
    pair.loss_ppm = 300_000;
    for number in 0..50 {
        say(&mut pair, 0, u64::from(number), &[number; 200]);
        pair.run_until(Duration::from_millis(100), |_| false);
    }
    assert!(pair.run_until(LONG, |pair| delivered(pair, 1).len() == 50));
    pair.run_until(LONG, |_| false);
    let mut all = delivered(&pair, 1);
    all.sort();
    assert_eq!(all, (0..50u8).map(|number| Bytes::from(alloc::vec![number; 200])).collect::<Vec<_>>());
    for index in 0..2 {
        assert!(!became(&pair, index, What::Died), "{:?}", pair.events[index]);
    }
}

#[test]
fn who_takes_no_part_is_left_alone() {
    for limits in [Limits::SMALL, Limits { message_bytes: 2_000, ..member() }] {
        let mut pair = met([member(), limits]);
        assert_eq!(ask(&mut pair, 1, GossipCommand::Leave), Err(Refused::NoGossip));
        let contact = pair.id(1);
        assert_eq!(ask(&mut pair, 0, GossipCommand::Join { contact }), Err(Refused::UnknownPeer));
        say(&mut pair, 0, 7, b"is anybody there?");
        let nobody = GossipEvent::Refused { tag: 7, why: Refusal::NobodyHeard };
        assert!(pair.run_until(LONG.mul_ratio(2, 1), |pair| heard(pair, 0).contains(&nobody)));
        assert_eq!(pair.nodes[0].gossip().unwrap().present(), 1);
        assert_eq!(pair.nodes[1].status().drops.iter().filter(|(_, count)| *count > 0).count(), 0);
        assert!(pair.nodes[1].gossip().is_none());
    }
}

#[test]
fn what_a_member_can_do_and_that_it_goes_is_heard() {
    let mut pair = met([member(), member()]);
    assert!(pair.run_until(LONG, |pair| became(pair, 0, What::Joined)));
    ask(&mut pair, 1, GossipCommand::Announce { role: Role::Leaf, capabilities: 5 }).unwrap();
    assert!(pair.run_until(LONG, |pair| became(pair, 0, What::Announced)), "{:?}", pair.events);
    let other = pair.nodes[1].gossip().unwrap().member();
    let word = |pair: &Pair| {
        let members = pair.nodes[0].gossip().unwrap().members().find(|(member, _)| *member == other);
        members.map(|(_, member)| (member.announcement.role, member.announcement.capabilities)).unwrap()
    };
    assert_eq!(word(&pair), (Role::Leaf, 5));
    ask(&mut pair, 1, GossipCommand::Leave).unwrap();
    assert!(pair.run_until(LONG, |pair| became(pair, 0, What::Left)), "{:?}", pair.events);
    say(&mut pair, 1, 7, b"still here?");
    assert!(heard(&pair, 1).contains(&GossipEvent::Refused { tag: 7, why: Refusal::Left }));
    assert!(!became(&pair, 0, What::Died));
}

/// There is no other way to it, and nobody else to be heard: who is left doubts himself first, and waits longer for that (Lifeguard, section IV-A).
#[test]
fn who_falls_silent_is_found_dead_and_joins_again() {
    let mut pair = met([member(), member()]);
    assert!(pair.run_until(LONG, |pair| became(pair, 0, What::Joined)));
    pair.loss_ppm = 1_000_000;
    assert!(pair.run_until(LONG, |pair| became(pair, 0, What::Died)), "{:?}", pair.events);
    pair.events.iter_mut().for_each(Vec::clear);
    pair.loss_ppm = 0;
    assert!(pair.run_until(LONG.mul_ratio(10, 1), |pair| became(pair, 0, What::Joined)), "{:?}", pair.events);
    assert_eq!(pair.nodes[0].gossip().unwrap().present(), 2);
}

#[test]
fn a_broadcast_that_is_too_long_is_refused() {
    let mut pair = met([member(), member()]);
    say(&mut pair, 0, 7, &[0; 256 * 1024]);
    assert!(heard(&pair, 0).contains(&GossipEvent::Refused { tag: 7, why: Refusal::TooLong }));
}

/// Links whose packets hold a probe, but not the news that ride on it.
#[test]
fn short_packets_are_no_reason_to_take_anybody_for_dead() {
    let mut pair = Pair::new([member(), member()], 100, 5);
    pair.connect();
    assert!(pair.run_until(LONG, Pair::both_up), "{:?}", pair.events);
    assert!(pair.run_until(LONG, |pair| became(pair, 0, What::Joined) && became(pair, 1, What::Joined)));
    // Such a word is 90 bytes and more, and rides on what is said next.
    for capabilities in 1..20 {
        ask(&mut pair, 1, GossipCommand::Announce { role: Role::Leaf, capabilities }).unwrap();
        pair.run_until(Duration::from_secs(5), |_| false);
    }
    for index in 0..2 {
        assert!(!became(&pair, index, What::Suspected), "{:?}", pair.events[index]);
    }
}
