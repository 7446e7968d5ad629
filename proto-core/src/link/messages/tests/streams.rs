//! Streams keep their order, whatever expires, overtakes or moves between lists.

use super::*;
use crate::link::messages::queue::{Kind, ListId};
use crate::link::messages::receipts::Floor;
use crate::link::messages::room::Room;
use std::collections::BTreeMap;

const STREAMS: u64 = 5;

fn stream(stream: u16) -> Delivery {
    Delivery::Stream { stream }
}

/// The ordinary message `seq` of the first end in a packet of its own, with its tag and the path's room.
fn sent(a: &mut End, tag: u64, delivery: Delivery, len: usize, lifetime: Option<u64>) -> Packet {
    a.push_for(tag, delivery, Class::Normal, len, lifetime.map(Duration::from_millis)).unwrap();
    a.packet(&clean(1_000)).unwrap()
}

fn drain(a: &mut End, info: &PathInfo) -> Vec<Packet> {
    core::iter::from_fn(|| a.packet(info)).collect()
}

fn tags(b: &mut End) -> Vec<u64> {
    core::mem::take(&mut b.delivered).iter().map(|(.., payload)| tag_of(payload)).collect()
}

/// What was held and expired is not shown after its successor, and the successor waits until it is known that nothing of
/// those before it comes any more: a late symbol, or a copy on a slower path.
#[test]
fn what_expires_does_not_come_after_its_successor() {
    for late in [false, true] {
        let (mut a, mut b) = pair(&Limits::SMALL, false);
        let other = sent(&mut a, 1, Delivery::Message, 30, None);
        let first = sent(&mut a, 2, stream(1), 30, Some(100));
        let second = sent(&mut a, 3, stream(1), 30, Some(50));
        b.receive(&second.bytes);
        a.fate(&second, Fate::Acked);
        a.wake(ms(1_070));
        a.wake(ms(1_200));
        assert_eq!(a.receipts, [(3, Outcome::Expired), (2, Outcome::Expired)]);
        let third = sent(&mut a, 4, stream(1), 30, None);
        b.receive(&third.bytes);
        a.fate(&third, Fate::Acked);
        assert_eq!(tags(&mut b), [], "held: nobody knows whether those before it still come");
        if late {
            b.receive(&first.bytes);
            assert_eq!(tags(&mut b), [2, 3, 4]);
        }
        // All before it are finished now, and the floor says so.
        b.receive(&other.bytes);
        a.fate(&other, Fate::Acked);
        exchange(&mut a, &mut b, &clean(1_000));
        assert_eq!(tags(&mut b), if late { vec![1] } else { vec![1, 4] });
        assert_eq!(a.receipts[2..].len(), 2);
        assert_eq!((a.sending.used(), b.receiving.used()), ((0, 0), (0, 0)));
        // The stream is forgotten, and what follows waits for nobody.
        let next = sent(&mut a, 5, stream(1), 30, None);
        b.receive(&next.bytes);
        assert_eq!(tags(&mut b), [5]);
    }
}

/// A follower of a large message goes to its own row when that begins, and when what stood between them has expired.
#[test]
fn a_follower_goes_where_it_belongs() {
    for between in [false, true] {
        let (mut a, _) = pair(&Limits::SMALL, false);
        assert!(a.packet(&clean(1_000)).is_none(), "the size of packets is known");
        a.push(1, stream(1), Class::Emergency, 4_000).unwrap();
        if between {
            let lifetime = Some(Duration::from_millis(100));
            a.push_for(2, Delivery::Message, Class::Emergency, 8_000, lifetime).unwrap();
        }
        a.push(3, stream(1), Class::Low, 900).unwrap();
        a.push(4, Delivery::Message, Class::Emergency, 2_000).unwrap();
        a.packet(&clean(1_000)).unwrap();
        a.wake(ms(1_200));
        let row = |kind, class| {
            let row = a.outbox.queue.walk(ListId::of(kind, class));
            row.filter_map(|index| a.outbox.queue.get(index)).map(|entry| entry.tag).collect::<Vec<_>>()
        };
        assert_eq!(row(Kind::Bulk, Class::Emergency), [4]);
        assert_eq!(row(Kind::Ordered, Class::Low), [3]);
    }
}

/// A larger message in a more urgent class than the row leaves it too, for that of large ones.
#[test]
fn a_larger_follower_leaves_the_small_ones() {
    let (mut a, _) = pair(&Limits::SMALL, false);
    assert!(a.packet(&clean(1_000)).is_none(), "the size of packets is known");
    a.push(1, stream(1), Class::Low, 900).unwrap();
    a.push(2, stream(1), Class::Normal, 8_000).unwrap();
    a.push(3, stream(2), Class::Low, 900).unwrap();
    a.packet(&clean(1_000)).unwrap();
    let front = a.outbox.queue.front(ListId::of(Kind::Ordered, Class::Low));
    assert_eq!(front.and_then(|index| a.outbox.queue.get(index)).map(|entry| entry.tag), Some(3));
}

/// A receiver whose places are full of messages of a stream that have expired, and a sender whose repeats of the one they wait
/// for share a packet with their successors: room is not given out twice, and what has come in such a packet is said.
#[test]
fn what_was_given_up_takes_room_until_the_receiver_has_heard_so() {
    for (limits, held, len, successors, large) in [
        (Limits::TINY, 14, 30, 10, 30),
        (Limits::TINY, 14, 800, 1, 800),
        (Limits::TINY, 1, 6_000, 1, 7_000),
        (Limits::SMALL, 1, 900_000, 1, 900_000),
    ] {
        let (mut a, mut b) = (End::new(Limits::SERVER, 1), End::new(limits.clone(), 2));
        a.outbox.connected(params(&limits, false));
        b.outbox.connected(params(&Limits::SERVER, false));
        let short = Some(Duration::from_millis(150));
        a.push(1, Delivery::Message, Class::Normal, 30).unwrap();
        a.push_for(2, stream(1), Class::Normal, 30, short).unwrap();
        let lost = a.packet(&clean(1_000)).unwrap();
        for tag in 0..held {
            a.push_for(3 + tag, stream(1), Class::Normal, len, short).unwrap();
        }
        while let Some(packet) = a.packet(&clean(1_000)) {
            let fate = if b.receive(&packet.bytes) { Fate::Acked } else { Fate::Lost };
            a.fate(&packet, fate);
        }
        a.wake(ms(1_200));
        a.fate(&lost, Fate::Lost);
        for tag in 0..successors {
            a.push(100 + tag, stream(1), Class::Normal, large).unwrap();
        }
        let (mut other, mut refused) = (1_000, 0);
        for round in 0..400 {
            if round % 4 == 0 && round < 300 {
                other += 1;
                a.push(other, Delivery::Message, Class::Normal, 40).unwrap();
            }
            for _ in 0..4 {
                let Some(packet) = a.packet(&clean(1_000)) else { break };
                let taken = b.receive(&packet.bytes);
                refused += u32::from(!taken);
                a.fate(&packet, if taken { Fate::Acked } else { Fate::Lost });
            }
            while let Some(packet) = b.packet(&clean(1_000)) {
                a.receive(&packet.bytes);
                b.fate(&packet, Fate::Acked);
            }
            let now = a.now + Duration::from_millis(50);
            a.wake(now);
            b.wake(now);
        }
        assert_eq!(refused, 0, "{held} of {len} bytes");
        assert_eq!((a.sending.used(), b.receiving.used()), ((0, 0), (0, 0)), "{held} of {len} bytes");
    }
}

/// What shares a packet with a message that finds no place is said to have come, though the packet is not acknowledged.
#[test]
fn what_came_beside_what_found_no_place_is_said() {
    for (len, in_symbols) in [(30, false), (4_000, true)] {
        let (mut a, mut b) = (End::new(Limits::SERVER, 1), End::new(Limits::TINY, 2));
        // The sender believes in more room than there is.
        a.outbox.connected(params(&Limits::SMALL, false));
        b.outbox.connected(params(&Limits::SERVER, false));
        sent(&mut a, 1, stream(1), 30, None);
        let mut tag = 2;
        while b.receive(&sent(&mut a, tag, stream(1), 30, None).bytes) {
            tag += 1;
        }
        drain(&mut b, &clean(1_000));
        a.push(1_000, stream(1), Class::Normal, len).unwrap();
        if in_symbols {
            // They are cut for a narrow path, and many fit a packet of a wide one.
            a.packet(&clean(100)).unwrap();
        }
        a.push(1_001, Delivery::Message, Class::Normal, 30).unwrap();
        let mut lost = Vec::new();
        while b.delivered.is_empty() {
            let packet = a.packet(&clean(1_000)).unwrap();
            assert!(!b.receive(&packet.bytes), "{len} bytes: each has one without a place");
            lost.push(packet);
        }
        for packet in &lost {
            a.fate(packet, Fate::Lost);
        }
        for back in drain(&mut b, &clean(1_000)) {
            a.receive(&back.bytes);
        }
        assert_eq!(a.receipts, [(1_001, Outcome::Delivered)], "{len} bytes");
    }
}

/// What is held in symbols until the floor moves is not sent again and again.
#[test]
fn what_waits_for_the_floor_is_not_sent_anew() {
    let (mut a, mut b) = pair(&Limits::SMALL, false);
    sent(&mut a, 1, Delivery::Message, 30, None);
    sent(&mut a, 2, stream(1), 30, Some(100));
    a.wake(ms(1_200));
    a.push(3, stream(1), Class::Normal, 4_000).unwrap();
    for packet in drain(&mut a, &clean(1_000)) {
        assert!(b.receive(&packet.bytes));
        a.fate(&packet, Fate::Acked);
    }
    assert_eq!(b.receiving.used(), (4_000, 1), "held");
    let mut packets = 0;
    for second in 2..300 {
        a.wake(ms(second * 1_000));
        for packet in drain(&mut a, &clean(1_000)) {
            packets += 1;
            b.receive(&packet.bytes);
            a.fate(&packet, Fate::Acked);
        }
    }
    assert_eq!(packets, 0);
}

/// Room for what is given up later is counted apart, or it would never come back while messages expire without a pause.
#[test]
fn room_comes_back_while_others_are_given_up() {
    let mut room = Room::default();
    room.give_up(5, 100);
    room.give_up(7, 50);
    room.give_up(4, 10);
    room.heard(5);
    assert_eq!(room.given_up(), 160, "5 itself may still be waited for");
    room.heard(6);
    assert_eq!((room.given_up(), room.sums().0), (50, 50));
    room.give_up(9, 30);
    room.heard(8);
    assert_eq!((room.given_up(), room.sums().0), (30, 30));
    room.heard(10);
    assert_eq!((room.given_up(), room.sums().0), (0, 0));
}

/// Messages that expire more often than once in a round trip raise the floor before it is known that the one before was heard;
/// that it was heard counts all the same, and room comes back.
#[test]
fn a_floor_that_rises_all_the_time_is_heard() {
    for every in [100, 200, 400] {
        let (mut a, mut b) = (End::new(Limits::SERVER, 1), End::new(Limits::TINY, 2));
        a.outbox.connected(params(&Limits::TINY, false));
        b.outbox.connected(params(&Limits::SERVER, false));
        let mut way: VecDeque<(u64, Packet, bool)> = VecDeque::new();
        let mut fates: VecDeque<(u64, Packet, Fate)> = VecDeque::new();
        let short = Some(Duration::from_millis(200));
        for at in (0..10_000).step_by(10) {
            a.wake(ms(1_000 + at));
            b.wake(ms(1_000 + at));
            if at.is_multiple_of(every) {
                a.push_for(1_000 + at, Delivery::Message, Class::Normal, 30, short).unwrap();
            }
            match at {
                1_000 => a.push_for(1, stream(1), Class::Normal, 6_000, short).unwrap(),
                1_500 => a.push(2, stream(2), Class::Normal, 7_000).unwrap(),
                _ => {}
            }
            // The symbols of the first large one are lost.
            let lost = (1_000..1_200).contains(&at);
            way.extend(drain(&mut a, &clean(1_000)).into_iter().map(|sent| {
                let lost = lost && sent.bytes.len() > 500;
                (at + 150, sent, lost)
            }));
            while let Some((_, packet, lost)) = way.pop_front_if(|(then, ..)| *then <= at) {
                let fate = if !lost && b.receive(&packet.bytes) { Fate::Acked } else { Fate::Lost };
                fates.push_back((at + 150, packet, fate));
            }
            while let Some((_, packet, fate)) = fates.pop_front_if(|(then, ..)| *then <= at) {
                a.fate(&packet, fate);
            }
            for back in drain(&mut b, &clean(1_000)) {
                a.receive(&back.bytes);
                b.fate(&back, Fate::Acked);
            }
            if tags(&mut b).contains(&2) {
                break;
            }
            assert!(
                at < 3_000,
                "every {every} ms: not in 1.5 s, {} bytes given up",
                a.outbox.room.given_up()
            );
        }
    }
}

/// What a receiver has lost with its memory is told again, and again when that is lost too.
#[test]
fn a_floor_that_was_forgotten_is_told_until_it_is_heard() {
    let mut floor = Floor::default();
    floor.give_up(5);
    floor.update(5);
    let first = floor.tell();
    assert!(floor.on_fate(first, Fate::Acked) && !floor.is_due());
    floor.forgotten();
    for _ in 0..3 {
        assert!(floor.is_due());
        let again = floor.tell();
        assert!(!floor.is_due() && !floor.on_fate(again, Fate::Lost));
    }
    let last = floor.tell();
    floor.give_up(9);
    floor.update(8);
    let newer = floor.tell();
    assert!(
        floor.on_fate(last, Fate::Acked) && floor.heard() == 5 && !floor.is_due(),
        "an older one says what it said"
    );
    floor.on_fate(newer, Fate::Lost);
    assert!(floor.is_due());
    assert!(floor.on_fate(newer, Fate::Late) && !floor.is_due(), "it was late, not lost");
    assert!(!floor.on_fate(last, Fate::Acked) && floor.heard() == 8);
}

/// A random life of two ends, and how far each stream came.
struct Life {
    a: End,
    b: End,
    way: Vec<Packet>,
    stream_of: BTreeMap<u64, u16>,
    last: BTreeMap<u16, u64>,
    /// Given and not yet ended.
    open: std::collections::BTreeSet<u64>,
    /// What was shown at the other end.
    came: std::collections::BTreeSet<u64>,
    random: u64,
    tag: u64,
    /// All packets have one size and nothing is sent ahead: what was lost together goes together again.
    steady: bool,
    calm: bool,
}

impl Life {
    fn new(seed: u64, steady: bool) -> Life {
        let limits = if seed.is_multiple_of(2) { Limits::TINY } else { Limits::SMALL };
        let (mut a, mut b) = (End::new(Limits::SERVER, 1), End::new(limits.clone(), 2));
        a.outbox.connected(params(&limits, false));
        b.outbox.connected(params(&Limits::SERVER, false));
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let (stream_of, last, open, came) = Default::default();
        Life { a, b, way: vec![], stream_of, last, open, came, random, tag: 0, steady, calm: false }
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % below
    }

    fn give(&mut self) {
        self.tag += 1;
        let class = Class::ALL[self.draw(5) as usize];
        let len = [8, 30, 300, 900, 2_000, 8_000][self.draw(6) as usize];
        let delivery = match self.draw(8) {
            0 => Delivery::Message,
            1 => Delivery::Durable,
            _ => stream(self.draw(STREAMS) as u16),
        };
        let lifetime = (self.draw(4) == 0).then(|| Duration::from_millis(self.draw(1_000)));
        if self.a.push_for(self.tag, delivery, class, len, lifetime).is_ok() {
            self.open.insert(self.tag);
            if let Delivery::Stream { stream } = delivery {
                self.stream_of.insert(self.tag, stream);
            }
        }
    }

    fn send(&mut self) {
        let room = [60, 100, 400, 1_000, 1_000, 1_200][self.draw(6) as usize];
        let loss_ppm = [0, 0, 600_000][self.draw(3) as usize];
        let spare = self.draw(4) == 0;
        let info = if self.steady { clean(1_000) } else { PathInfo { loss_ppm, spare, ..clean(room) } };
        self.way.extend(self.a.packet(&info));
    }

    /// The oldest packet, or at times any: it overtakes.
    fn arrive(&mut self) {
        if self.way.is_empty() {
            return;
        }
        let at = if self.draw(3) == 0 { self.draw(self.way.len() as u64) as usize } else { 0 };
        let packet = self.way.remove(at);
        let lost = self.draw(5) == 0 && !self.calm;
        let fate = if !lost && self.b.receive(&packet.bytes) { Fate::Acked } else { Fate::Lost };
        self.a.fate(&packet, fate);
        if let Some(back) = self.b.packet(&clean(1_000)) {
            self.a.receive(&back.bytes);
            self.b.fate(&back, Fate::Acked);
        }
    }

    fn restart(&mut self) {
        self.way.clear();
        if self.draw(2) == 0 {
            self.a.outbox.set_aside(&mut self.a.sending);
        } else {
            self.a.outbox.peer_restarted(&mut self.a.sending);
        }
        self.a.settle();
        self.b.inbox.peer_restarted(&mut self.b.receiving);
        self.b.settle();
    }

    fn step(&mut self) {
        match self.draw(20) {
            0..=8 => self.give(),
            9..=14 => self.send(),
            15..=17 => self.arrive(),
            18 => self.pass(300),
            _ if self.draw(30) == 0 => self.restart(),
            _ => {}
        }
    }

    fn pass(&mut self, most_ms: u64) {
        let now = self.a.now + Duration::from_millis(self.draw(most_ms));
        self.a.wake(now);
        self.b.wake(now);
    }

    fn look(&mut self, seed: u64) {
        for (delivery, seq, _, payload) in core::mem::take(&mut self.b.delivered) {
            if delivery == Delivery::Durable {
                self.b.consume(seq);
            }
            let tag = tag_of(&payload);
            self.came.insert(tag);
            if let Some(&stream) = self.stream_of.get(&tag) {
                let last = self.last.entry(stream).or_insert(0);
                assert!(*last < tag, "seed {seed}: {tag} of stream {stream} came after {last}");
                *last = tag;
            }
        }
        for (tag, outcome) in core::mem::take(&mut self.a.receipts) {
            let ended = outcome != Outcome::Accepted;
            let lost = outcome == Outcome::Delivered && !self.came.contains(&tag);
            assert!(!lost, "seed {seed}: {tag} was signed for and not shown");
            assert!(!ended || self.open.remove(&tag), "seed {seed}: {tag} ended twice, or was never given");
        }
    }
}

/// Two ends between which packets are lost and overtake each other, with messages that expire and peers that restart: each
/// stream keeps its order, each message ends once, none is signed for that was not shown, and in the end all have.
fn lives(seeds: core::ops::Range<u64>, steady: bool) {
    for seed in seeds {
        let mut life = Life::new(seed, steady);
        for _ in 0..1_500 {
            life.step();
            life.look(seed);
        }
        life.calm = steady;
        for _ in 0..60_000 {
            life.send();
            life.arrive();
            life.pass(100);
            life.look(seed);
            if life.open.is_empty() {
                break;
            }
        }
        assert!(life.open.is_empty(), "seed {seed}: {:?} never ended", life.open);
        assert_eq!(life.a.sending.used(), (0, 0), "seed {seed}");
    }
}

/// On paths of all sizes.
#[test]
fn streams_keep_their_order_whatever_expires() {
    lives(0..60, false);
}

#[test]
fn streams_keep_their_order_on_a_steady_path() {
    lives(0..60, true);
}

#[test]
#[ignore = "minutes: cargo test --release -p proto-core order_for_long -- --ignored"]
fn streams_keep_their_order_for_long() {
    lives(0..10_000, false);
}

#[test]
#[ignore = "minutes: cargo test --release -p proto-core order_for_long -- --ignored"]
fn steady_streams_keep_their_order_for_long() {
    lives(0..10_000, true);
}
