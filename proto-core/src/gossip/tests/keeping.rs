//! What is remembered of broadcasts, and for how long.

use std::vec::Vec;

use super::bench::{NETWORK, TOPIC, World, identity};
use crate::bounded::Seen;
use crate::gossip::message::{Message, Run};
use crate::gossip::seen::{KEPT, Origins, SEEN_KEPT, Store};
use crate::gossip::signed::{Broadcast, MessageId};
use crate::ids::RouterId;
use crate::limits::Limits;
use crate::time::{Duration, Instant};

fn id(origin: u8, sequence: u64) -> MessageId {
    MessageId { origin: RouterId([origin; 8]), sequence }
}

fn limits() -> Limits {
    Limits { gossip_members: 4, gossip_bytes: 64 * 1024, ..Limits::SMALL }
}

fn broadcast(id: MessageId, bytes: usize) -> Broadcast {
    Broadcast::sign(&identity(1).secrets().sign, NETWORK, id, TOPIC, &std::vec![7; bytes])
}

/// Exact: no fresh number of the window counts as seen, whatever came before it, as a Bloom filter would have it.
#[test]
fn every_fresh_number_of_the_window_is_fresh() {
    let (mut origins, limits, now) = (Origins::default(), limits(), Instant::from_micros(1));
    for sequence in (0..2_000).step_by(2) {
        assert_eq!(origins.check(id(1, sequence)), Seen::Fresh);
        origins.mark(&limits, now, id(1, sequence));
    }
    for sequence in 1_100..2_000 {
        let expected = if sequence % 2 == 0 { Seen::Duplicate } else { Seen::Fresh };
        assert_eq!(origins.check(id(1, sequence)), expected, "{sequence}");
    }
    assert_eq!(origins.check(id(1, 900)), Seen::TooOld);
    assert_eq!(origins.check(id(2, 900)), Seen::Fresh, "of another origin");
}

/// When the window of a silent origin is let go its end stays: what was seen is never taken for new.
#[test]
fn what_was_seen_long_ago_is_not_taken_for_new() {
    let (mut origins, limits, now) = (Origins::default(), limits(), Instant::from_micros(1));
    origins.mark(&limits, now, id(1, 50));
    origins.tidy(now + SEEN_KEPT);
    assert_eq!(origins.check(id(1, 50)), Seen::TooOld);
    assert_eq!(origins.check(id(1, 51)), Seen::Fresh);
    origins.mark(&limits, now + SEEN_KEPT, id(1, 51));
    assert_eq!(origins.check(id(1, 50)), Seen::TooOld);
    for other in 2..9 {
        origins.mark(&limits, now + SEEN_KEPT + Duration::from_secs(u64::from(other)), id(other, 1));
        assert!(origins.len() <= 4);
    }
}

#[test]
fn one_origin_fills_its_quarter_and_no_more() {
    let (mut store, limits, now) = (Store::default(), limits(), Instant::from_micros(1));
    for sequence in 0..10 {
        assert_eq!(store.keep(&limits, now, &broadcast(id(2, sequence), 1_000)), []);
    }
    let mut gone = Vec::new();
    for sequence in 0..100 {
        gone.extend(store.keep(&limits, now, &broadcast(id(1, sequence), 1_000)));
        store.check(&limits);
    }
    assert!(gone.iter().all(|id| id.origin == RouterId([1; 8])), "those of others stay");
    assert!(gone.windows(2).all(|pair| pair[0] < pair[1]), "the oldest goes first");
    assert!(store.get(id(1, 99)).is_some() && store.get(id(2, 0)).is_some());
    let large = broadcast(id(3, 1), 17_000);
    assert_eq!(store.keep(&limits, now, &large), []);
    assert!(store.get(id(3, 1)).is_none(), "more than a quarter");
}

#[test]
fn what_is_kept_is_let_go_in_time_and_told_in_runs() {
    let (mut store, limits, now) = (Store::default(), limits(), Instant::from_micros(1));
    for sequence in [5, 6, 7, 9] {
        store.keep(&limits, now, &broadcast(id(1, sequence), 10));
    }
    store.keep(&limits, now + Duration::from_secs(1), &broadcast(id(2, 1), 10));
    let run = |origin, first, count| Run { first: id(origin, first), count };
    assert_eq!(store.runs(9), [run(1, 5, 3), run(1, 9, 1), run(2, 1, 1)]);
    assert_eq!(store.runs(1), [run(2, 1, 1)], "the latest first");
    assert_eq!(store.next_over(), Some(now + KEPT));
    let over: Vec<MessageId> = std::iter::from_fn(|| store.pop_over(now + KEPT)).collect();
    assert_eq!(over, [id(1, 5), id(1, 6), id(1, 7), id(1, 9)]);
    assert_eq!(store.len(), 1);
}

/// A broadcast that a neighbour says again after an hour is not delivered again.
#[test]
fn a_replay_is_not_delivered() {
    let mut world = World::joined(4);
    let said = world.say(1, b"once");
    world.run(2_000);
    let again = world.sides[0].gossip.store.get(said).unwrap().clone();
    world.run(SEEN_KEPT.as_millis() + 1_300_000);
    world.message(0, 2, &Message::Broadcast(again));
    world.run(2_000);
    assert_eq!(world.missed(1, said), []);
}

/// Questions are short and answers long: who asks without end is not answered without end.
#[test]
fn whoever_asks_for_all_again_and_again_is_not_answered() {
    let limits = Limits { gossip_rate: 5_000, ..World::limits() };
    let mut world = World::joined_with(50, limits);
    let before = world.sides[0].gossip.bytes_sent();
    let names: Vec<RouterId> = world.book.0.keys().copied().collect();
    for _ in 0..200 {
        world.message(0, 1, &Message::Want(names.clone()));
    }
    let sent = world.sides[0].gossip.bytes_sent() - before;
    assert!(sent <= 7 * 5_000, "{sent} bytes at once");
}
