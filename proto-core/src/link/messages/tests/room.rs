//! What the peer has promised to keep, and who gets it.

use super::*;
use crate::drops::Drop;

const TAG: u64 = 9_999;

fn drain(a: &mut End, info: &PathInfo) -> Vec<Packet> {
    core::iter::from_fn(|| a.packet(info)).collect()
}

/// A sender without bounds of its own, and a receiver with these.
fn towards(limits: &Limits) -> (End, End) {
    let (mut a, mut b) = (End::new(Limits::SERVER, 1), End::new(limits.clone(), 2));
    a.outbox.connected(params(limits, false));
    b.outbox.connected(params(&a.limits, false));
    (a, b)
}

/// Messages that wait for one before them are no more than the receiver has places for: it would leave what it
/// cannot take unacknowledged, and all of it would be repeated every round trip until the missing one comes.
#[test]
fn no_more_messages_are_under_way_than_the_peer_has_places_for() {
    for (limits, room, len) in [(Limits::TINY, 60, 20), (Limits::TINY, 60, 100), (Limits::SMALL, 1_000, 20)] {
        let (mut a, mut b) = towards(&limits);
        // As many durable ones as may wait for the disk have their places too.
        b.quick_disk = false;
        let stored = u64::from(limits.durable_messages / 2 / limits.peer_share);
        for tag in 0..stored {
            a.push(tag, Delivery::Durable, Class::Normal, 4).unwrap();
        }
        for packet in drain(&mut a, &clean(room)) {
            assert!(b.receive(&packet.bytes));
            a.fate(&packet, Fate::Acked);
        }
        for tag in 0..3_000 {
            a.push(10_000 + tag, Delivery::Stream { stream: 1 }, Class::Normal, len).unwrap();
        }
        let packets = drain(&mut a, &clean(room));
        for packet in &packets[1..] {
            assert!(b.receive(&packet.bytes), "{len} bytes: one without a place");
            a.fate(packet, Fate::Acked);
        }
        assert!(b.delivered.is_empty() && packets.len() >= 5, "{len} bytes: {} packets", packets.len());
        a.fate(&packets[0], Fate::Lost);
        b.quick_disk = true;
        b.settle();
        exchange(&mut a, &mut b, &clean(room));
        assert_eq!(b.delivered.len() as u64, stored + 3_000, "{len} bytes");
        assert_eq!((b.drops.get(Drop::QueueFull), b.drops.get(Drop::ReassemblyFull)), (0, 0));
    }
}

/// A packet of a flow that never pauses every 5 ms, over a round trip of 150 ms, to a receiver that takes no durable
/// message for good. After 300 ms one more message is sent. Gives the milliseconds until it comes.
fn beside_a_flow(a: &mut End, b: &mut End, flow: (Delivery, Class, usize), wanted: (Delivery, usize)) -> u64 {
    let (delivery, class, len) = flow;
    let begin = a.now + Duration::from_millis(300);
    let mut under_way = VecDeque::new();
    for tag in 0.. {
        while a.outbox.usage.bytes < 20_000 && a.push(tag, delivery, class, len).is_ok() {}
        if a.now == begin {
            a.push(TAG, wanted.0, Class::Emergency, wanted.1).unwrap();
        }
        if let Some(packet) = a.packet(&clean(1_000)) {
            under_way.push_back((a.now + Duration::from_millis(150), packet));
        }
        while under_way.front().is_some_and(|(at, _)| *at <= a.now) {
            let (_, packet) = under_way.pop_front().unwrap();
            assert!(b.receive(&packet.bytes));
            a.fate(&packet, Fate::Acked);
            if let Some(back) = b.packet(&clean(1_000)) {
                a.receive(&back.bytes);
                b.fate(&back, Fate::Acked);
            }
        }
        let took = a.now.since(begin).as_micros() / 1_000;
        if b.delivered.iter().any(|(.., payload)| tag_of(payload) == TAG) {
            return took;
        }
        assert!(took < 30_000, "not in 30 s: {wanted:?} beside {flow:?}");
        b.delivered.clear();
        let now = a.now + Duration::from_millis(5);
        a.wake(now);
        b.wake(now);
    }
    unreachable!("the flow has no end");
}

/// Messages that need no room at the peer take none from those that do.
#[test]
fn a_flow_that_needs_no_room_keeps_nobody_out() {
    let (message, stream) = (Delivery::Message, Delivery::Stream { stream: 1 });
    for (wanted, len) in [(stream, 20), (Delivery::Durable, 20), (message, 8_000)] {
        let (mut a, mut b) = towards(&Limits::TINY);
        let took = beside_a_flow(&mut a, &mut b, (message, Class::Low, 400), (wanted, len));
        assert!(took <= 500, "{wanted:?} of {len} bytes: {took} ms");
    }
    let (mut a, mut b) = towards(&Limits::TINY);
    let other = Delivery::Stream { stream: 2 };
    let took = beside_a_flow(&mut a, &mut b, (stream, Class::Low, 20), (other, 20));
    assert!(took <= 500, "beside a stream: {took} ms");
}

/// Whoever needs no room does not wait behind a stream of his class that does.
#[test]
fn who_needs_no_room_passes_who_does() {
    for class in Class::ALL {
        let (mut a, mut b) = towards(&Limits::TINY);
        for tag in 0..100 {
            a.push(tag, Delivery::Stream { stream: 1 }, class, 20).unwrap();
        }
        let hanging = drain(&mut a, &clean(100));
        for packet in &hanging[1..] {
            b.receive(&packet.bytes);
            a.fate(packet, Fate::Acked);
        }
        for delivery in [Delivery::Message, Delivery::Datagram] {
            b.delivered.clear();
            a.push(TAG, delivery, class, 20).unwrap();
            let packet = a.packet(&clean(100)).expect("it needs no room");
            b.receive(&packet.bytes);
            assert_eq!(tag_of(&b.delivered[0].3), TAG);
        }
    }
}

/// An emergency finds room although a stream of less importance hangs with all that its class may use.
#[test]
fn a_part_is_kept_for_emergencies() {
    for limits in [Limits::TINY, Limits::SMALL] {
        let (mut a, mut b) = towards(&limits);
        for tag in 0..3_000 {
            a.push(tag, Delivery::Stream { stream: 1 }, Class::High, 20).unwrap();
        }
        let hanging = drain(&mut a, &clean(100));
        for packet in &hanging[1..] {
            b.receive(&packet.bytes);
            a.fate(packet, Fate::Acked);
        }
        assert!(a.packet(&clean(100)).is_none() && b.delivered.is_empty());
        a.push(TAG, Delivery::Stream { stream: 2 }, Class::Emergency, 20).unwrap();
        let packet = a.packet(&clean(100)).expect("room for it");
        b.receive(&packet.bytes);
        assert_eq!(tag_of(&b.delivered[0].3), TAG);
    }
}

/// What is turned into symbols because the path has become narrow needs a place from then on.
#[test]
fn what_no_longer_fits_a_packet_takes_a_place() {
    let (mut a, _) = towards(&Limits::TINY);
    for tag in 0..100 {
        a.push(tag, Delivery::Message, Class::Normal, 300).unwrap();
    }
    let lost: Vec<Packet> = (0..8).filter_map(|_| a.packet(&clean(1_000))).collect();
    assert_eq!(a.outbox.room.outstanding, 0);
    drain(&mut a, &clean(100));
    assert!(
        (6_400..=7_424).contains(&a.outbox.room.outstanding),
        "never sent whole: {}",
        a.outbox.room.outstanding
    );
    let before = a.outbox.room.outstanding;
    for packet in &lost {
        a.fate(packet, Fate::Lost);
    }
    drain(&mut a, &clean(100));
    let pieces: usize = lost.iter().map(|packet| packet.pieces.len()).sum();
    assert_eq!((pieces, a.outbox.room.outstanding - before), (24, 24 * 768));
    a.outbox.cancel(&mut a.sending);
    a.settle();
    assert_eq!(a.outbox.room.outstanding, 0);
}
