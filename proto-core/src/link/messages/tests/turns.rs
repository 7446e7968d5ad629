//! Who waits for room at the peer, and how long.

use super::*;

const TAG: u64 = 9_999_999;
const NORMAL: Class = Class::Normal;

fn stream(stream: u16) -> Delivery {
    Delivery::Stream { stream }
}

/// A packet each 5 ms from a large node to another, mostly a `TINY` one, over a round trip of 150 ms.
struct Line {
    a: End,
    b: End,
    room: usize,
    ms: u64,
    way: VecDeque<(Instant, Packet)>,
    /// Packets that found no room.
    refused: u64,
}

impl Line {
    fn new(room: usize) -> Line {
        Line::to(Limits::TINY, room)
    }

    fn to(limits: Limits, room: usize) -> Line {
        let promised = params(&limits, false);
        let (mut a, mut b) = (End::new(Limits::SERVER, 1), End::new(limits, 2));
        a.outbox.connected(promised);
        b.outbox.connected(params(&Limits::SERVER, false));
        assert!(a.packet(&clean(room)).is_none(), "the size of packets is known");
        Line { a, b, room, ms: 0, way: VecDeque::new(), refused: 0 }
    }

    fn push(&mut self, tag: u64, delivery: Delivery, class: Class, len: usize) {
        self.a.push(tag, delivery, class, len).unwrap();
    }

    /// 5 ms; what came of them.
    fn tick(&mut self) -> Vec<(Delivery, u64, u64)> {
        let (a, b) = (&mut self.a, &mut self.b);
        if let Some(packet) = a.packet(&clean(self.room)) {
            self.way.push_back((a.now + Duration::from_millis(150), packet));
        }
        while let Some((_, packet)) = self.way.pop_front_if(|(at, _)| *at <= a.now) {
            let taken = b.receive(&packet.bytes);
            self.refused += u64::from(!taken);
            a.fate(&packet, if taken { Fate::Acked } else { Fate::Lost });
            if let Some(back) = b.packet(&clean(1_000)) {
                a.receive(&back.bytes);
                b.fate(&back, Fate::Acked);
            }
        }
        let now = a.now + Duration::from_millis(5);
        self.ms += 5;
        a.wake(now);
        b.wake(now);
        core::mem::take(&mut b.delivered)
            .into_iter()
            .map(|(delivery, seq, _, payload)| (delivery, seq, tag_of(&payload)))
            .collect()
    }
}

/// What is given besides a flow that never pauses comes, whatever it is and whatever flows: each takes the room that
/// comes free at once, and more of it than the other.
#[test]
fn nobody_waits_for_ever_for_room() {
    use Class::{Background, Emergency, High, Low};
    let large = Delivery::Message;
    type Given = (Delivery, Class, usize);
    let cases: &[(usize, Given, &[Given])] = &[
        (60, (stream(2), Low, 30), &[(large, NORMAL, 2_000)]),
        (60, (stream(2), NORMAL, 30), &[(large, Low, 8_000)]),
        (60, (stream(2), Low, 30), &[(stream(1), NORMAL, 30), (stream(1), NORMAL, 8_000)]),
        (60, (stream(2), Emergency, 30), &[(large, Emergency, 8_000)]),
        (1_000, (stream(2), Emergency, 20), &[(large, Emergency, 4_096)]),
        (1_000, (large, Low, 2_000), &[(large, Emergency, 4_096)]),
        (1_000, (large, Low, 2_000), &[(large, NORMAL, 8_000)]),
        (1_000, (large, NORMAL, 8_000), &[(stream(1), NORMAL, 20)]),
        (1_000, (large, NORMAL, 8_000), &[(stream(1), Low, 20)]),
        (1_000, (large, NORMAL, 8_000), &[(stream(1), Low, 1_500), (stream(1), Low, 20)]),
        (1_000, (large, High, 8_000), &[(stream(1), NORMAL, 990)]),
        (1_000, (large, High, 8_000), &[(Delivery::Durable, Background, 20)]),
        (1_000, (stream(2), Low, 20), &[(large, Background, 8_000), (stream(1), Emergency, 20)]),
    ];
    for (room, flow, given) in cases {
        let mut line = Line::new(*room);
        let (last, before) = given.split_last().unwrap();
        loop {
            while line.a.outbox.usage.bytes < 40_000 && line.a.push(1, flow.0, flow.1, flow.2).is_ok() {}
            if line.ms == 300 {
                for one in before {
                    line.push(2, one.0, one.1, one.2);
                }
                line.push(TAG, last.0, last.1, last.2);
            }
            if line.tick().iter().any(|(.., tag)| *tag == TAG) {
                break;
            }
            assert!(line.ms < 3_300, "{given:?} beside {flow:?}, {room} bytes: not in 3 s");
        }
    }
}

/// A message that takes all room waits for others, and emergencies never leave it alone: neither those nor others
/// are held up by its claim, and it begins.
#[test]
fn emergencies_neither_wait_for_a_claim_nor_keep_it_from_being_met() {
    for (delivery, every) in [(stream(9), 100), (Delivery::Durable, 2_000)] {
        let mut line = Line::new(1_000);
        let (mut others, mut large, mut urgent, mut worst) = (0, None, VecDeque::new(), 0);
        while line.ms < 60_000 {
            if line.ms.is_multiple_of(every) {
                line.push(5, delivery, Class::Emergency, 20);
                urgent.push_back(line.ms);
            }
            if line.ms == 10_000 {
                line.push(TAG, Delivery::Message, Class::Background, 8_000);
            }
            if line.ms.is_multiple_of(50) {
                line.push(7, stream(1), Class::High, 20);
            }
            for (.., tag) in line.tick() {
                others += u32::from(tag == 7);
                if tag == 5 {
                    worst = worst.max(line.ms - urgent.pop_front().unwrap());
                }
                large = large.or((tag == TAG).then_some(line.ms));
            }
        }
        // Of 1,200 the last three are under way.
        assert_eq!(others, 1_197, "{delivery:?}");
        // One round trip, and a wait for the one before, since beside the large one there is room for one.
        assert!(worst <= 210, "{delivery:?}: {worst} ms");
        assert!(large.is_some_and(|ms| ms < 15_000), "{delivery:?}: {large:?}");
    }
}

/// Small messages that come now and then, and of which always one is under way, do not hold a large one out for as many
/// as there are bytes in the promise.
#[test]
fn few_bytes_pass_as_places_do() {
    for (limits, delivery, len, large, within) in [
        (Limits::TINY, Delivery::Durable, 8, 8_000, 6_000),
        (Limits::TINY, Delivery::Durable, 500, 8_000, 6_000),
        (Limits::SMALL, stream(1), 20, 1_000_000, 120_000),
        (Limits::SMALL, Delivery::Durable, 20, 1_000_000, 120_000),
    ] {
        let mut line = Line::to(limits, 1_000);
        loop {
            if line.ms.is_multiple_of(100) {
                line.push(1, delivery, NORMAL, len);
            }
            if line.ms == 1_000 {
                line.push(TAG, Delivery::Message, NORMAL, large);
            }
            let mut came = false;
            for (delivery, seq, tag) in line.tick() {
                came |= tag == TAG;
                if delivery == Delivery::Durable {
                    line.b.consume(seq);
                }
            }
            if came {
                break;
            }
            assert!(line.ms < within, "{large} beside {len} bytes, {delivery:?}: not in {within} ms");
        }
    }
}

/// Durable emergencies that the receiver's application passes over, beside as many durable messages as it has promised to
/// keep, leave the part of the others free.
#[test]
fn an_emergency_does_not_wait_for_durable_ones() {
    let mut line = Line::new(1_000);
    for tag in 0..3 {
        line.push(tag, Delivery::Durable, NORMAL, 8_000);
    }
    let mut begun = VecDeque::new();
    while line.ms < 120_000 {
        if line.ms > 10_000 && line.ms.is_multiple_of(1_000) {
            line.push(5, Delivery::Durable, Class::Emergency, 20);
        }
        if line.ms > 20_000 && line.ms.is_multiple_of(10_000) {
            line.push(TAG, stream(1), Class::Emergency, 20);
            begun.push_back(line.ms);
        }
        for (.., tag) in line.tick() {
            if tag == TAG {
                let ms = line.ms - begun.pop_front().unwrap();
                assert!(ms <= 160, "{ms} ms at {}", line.ms);
            }
        }
    }
    assert!(begun.is_empty());
}

/// What is sent anew to a peer that has restarted is asked after anew: the last question to the one before may have been put off
/// for a minute, and until four were asked it takes room from others.
#[test]
fn a_restart_does_not_wait_for_the_questions_of_before() {
    let mut line = Line::new(1_000);
    for tag in 0..60 {
        line.push(tag, Delivery::Durable, NORMAL, 900);
    }
    while line.ms < 200_000 {
        line.tick();
    }
    line.a.outbox.peer_restarted(&mut line.a.sending);
    line.b.inbox.peer_restarted(&mut line.b.receiving);
    line.way.clear();
    line.push(TAG, stream(1), NORMAL, 20);
    while !line.tick().iter().any(|(.., tag)| *tag == TAG) {
        assert!(line.ms < 220_000, "not in 20 s");
    }
}

/// What follows an emergency in its stream, less urgent or larger, does not keep the emergencies of other streams waiting,
/// nor go at their share; and the stream keeps its order.
#[test]
fn an_emergency_waits_for_no_follower_of_another() {
    use Class::{Background, Emergency, Low};
    for (room, followers) in [
        (1_000, &[(Low, 900); 40][..]),
        (1_000, &[(Emergency, 8_000)]),
        (
            1_000,
            &[(NORMAL, 900), (Emergency, 20), (Low, 900), (Background, 8_000), (Emergency, 8_000), (Low, 20)],
        ),
        (60, &[(Emergency, 2_000), (Low, 30)]),
    ] {
        let mut line = Line::new(room);
        let (mut first, mut came, mut order) = (0, 0, Vec::new());
        while came == 0 || order.len() <= followers.len() {
            while line.a.outbox.usage.bytes < 40_000 && line.a.push(1, stream(3), NORMAL, 30).is_ok() {}
            if line.ms == 300 {
                line.push(10, stream(1), Emergency, 20);
                for (tag, &(class, len)) in followers.iter().enumerate() {
                    line.push(11 + tag as u64, stream(1), class, len);
                }
                line.push(TAG, stream(2), Emergency, 20);
            }
            for (.., tag) in line.tick() {
                match tag {
                    1 => continue,
                    TAG => came = line.ms,
                    _ => order.push(tag),
                }
                first = if tag == 10 { line.ms } else { first };
            }
            assert!(line.ms < 60_000, "{followers:?}: {came} ms, {} came", order.len());
        }
        assert!(order.is_sorted(), "{followers:?}: {order:?}");
        // Beside what takes all room one emergency begins at a time.
        assert!(first > 300 && came - first <= 310, "{followers:?}: at {came}, the first at {first}");
        line.a.outbox.check();
    }
}

/// Nor does it wait for the follower of one that expired before it was sent.
#[test]
fn an_emergency_waits_for_no_follower_of_one_that_expired() {
    let mut line = Line::new(1_000);
    let lifetime = Some(Duration::from_millis(1));
    line.a.push_for(10, stream(1), Class::Emergency, 20, lifetime).unwrap();
    line.push(11, stream(1), Class::Low, 900);
    line.push(12, stream(2), Class::Emergency, 20);
    let later = line.a.now + Duration::from_millis(1);
    line.a.wake(later);
    let mut came = Vec::new();
    while line.ms < 1_000 {
        came.extend(line.tick().into_iter().map(|(.., tag)| tag));
    }
    assert_eq!(came, [12, 11]);
}

/// Large durable messages whose receiver takes one in ten seconds wait, and nothing else does; nor is anything sent that
/// finds no room.
#[test]
fn only_durable_messages_wait_for_the_application() {
    for len in [100, 2_000, 4_000, 8_000] {
        let mut line = Line::new(1_000);
        for tag in 0..100 {
            line.push(tag, Delivery::Durable, Class::Low, len);
        }
        let (mut shown, mut sent, mut worst) = (VecDeque::new(), VecDeque::new(), 0);
        while line.ms < 200_000 {
            if line.ms.is_multiple_of(10_000)
                && let Some(seq) = shown.pop_front()
            {
                line.b.consume(seq);
            }
            if line.ms.is_multiple_of(1_000) {
                line.push(TAG, Delivery::Message, NORMAL, 4_000);
                sent.push_back(line.ms);
            }
            for (delivery, seq, _) in line.tick() {
                if delivery == Delivery::Durable {
                    shown.push_back(seq);
                } else {
                    worst = worst.max(line.ms - sent.pop_front().unwrap());
                }
            }
        }
        assert!(sent.len() <= 5 && worst <= 5_000, "{len} bytes: {} open, {worst} ms", sent.len());
        assert_eq!(line.refused, 0, "{len} bytes");
    }
}

/// Ordered messages do not wait until the application takes the durable ones that found no place.
#[test]
fn what_was_passed_over_takes_no_room() {
    for len in [100, 2_000] {
        let mut line = Line::new(1_000);
        for tag in 0..100 {
            line.push(tag, Delivery::Durable, NORMAL, len);
        }
        while line.ms < 10_000 {
            line.tick();
        }
        line.push(TAG, stream(1), NORMAL, 20);
        while !line.tick().iter().any(|(.., tag)| *tag == TAG) {
            assert!(line.ms < 15_000, "{len} bytes: not in 5 s");
        }
    }
}

/// An emergency as large as a packet, beside as many durable messages in symbols as the peer has promised to keep, begins
/// at once and holds nobody up.
#[test]
fn a_large_packet_in_a_hurry_begins_beside_what_is_stuck() {
    for len in [700, 1_000] {
        let mut line = Line::new(1_200);
        for tag in 0..30 {
            line.push(tag, Delivery::Durable, NORMAL, 8_000);
        }
        let (mut others, mut urgent) = (0, None);
        while line.ms < 60_000 {
            if line.ms == 20_000 {
                line.push(TAG, stream(1), Class::Emergency, len);
            }
            if line.ms.is_multiple_of(500) {
                line.push(7, stream(2), Class::High, 20);
            }
            for (.., tag) in line.tick() {
                others += u32::from(tag == 7);
                urgent = urgent.or((tag == TAG).then_some(line.ms));
            }
        }
        assert!(others >= 110 && urgent.is_some_and(|ms| ms < 20_500), "{len} bytes: {others}, {urgent:?}");
    }
}

/// Unordered messages that need no room, but all numbers, leave one to a large message that was passed by.
#[test]
fn numbers_are_kept_for_a_claim() {
    for len in [5_000, 8_000] {
        let mut line = Line::new(1_000);
        loop {
            while line.a.outbox.usage.bytes < 40_000 {
                line.push(1, Delivery::Message, NORMAL, 20);
            }
            if line.ms.is_multiple_of(50) {
                line.push(2, Delivery::Durable, NORMAL, 500);
            }
            if line.ms == 300 {
                line.push(TAG, Delivery::Message, Class::Low, len);
            }
            let mut came = false;
            for (delivery, seq, tag) in line.tick() {
                came |= tag == TAG;
                if delivery == Delivery::Durable {
                    line.b.consume(seq);
                }
            }
            if came {
                break;
            }
            assert!(line.ms < 10_000, "{len} bytes: not in 10 s");
        }
    }
}

/// Durable messages that were passed over whole are still stuck when a narrower path makes symbols of them.
#[test]
fn what_was_passed_over_is_stuck_in_symbols_too() {
    let mut line = Line::new(1_000);
    for tag in 0..100 {
        line.push(tag, Delivery::Durable, NORMAL, 300);
    }
    while line.ms < 300_000 {
        line.tick();
    }
    line.room = 100;
    for turn in 0..300 {
        let begun = line.ms;
        line.push(TAG, stream(1), NORMAL, 20);
        while !line.tick().iter().any(|(.., tag)| *tag == TAG) {
            assert!(line.ms < begun + 2_000, "message {turn}: not in 2 s");
        }
    }
}

/// A durable message in symbols that is not signed for is sent anew every fourth minute, however long that takes.
#[test]
fn what_is_asked_after_for_hours_is_still_sent_anew() {
    let mut line = Line::new(100);
    line.push(TAG, Delivery::Durable, NORMAL, 2_000);
    let mut of_last_hour = 0;
    for minute in 0..10 * 60 {
        while let Some(packet) = line.a.packet(&clean(100)) {
            of_last_hour += u32::from(minute >= 9 * 60);
            line.a.fate(&packet, Fate::Acked);
        }
        let now = line.a.now + Duration::from_secs(60);
        line.a.wake(now);
    }
    assert!(of_last_hour > 15 * 20, "{of_last_hour} packets, of which 60 are questions");
}
