//! Streams keep their order, whatever expires, overtakes or moves between lists.

use super::*;
use crate::link::messages::queue::{Kind, ListId};
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

/// A random life of two ends, and how far each stream came.
struct Life {
    a: End,
    b: End,
    way: Vec<Packet>,
    stream_of: BTreeMap<u64, u16>,
    last: BTreeMap<u16, u64>,
    /// Given and not yet ended.
    open: std::collections::BTreeSet<u64>,
    random: u64,
    tag: u64,
}

impl Life {
    fn new(seed: u64) -> Life {
        let limits = if seed.is_multiple_of(2) { Limits::TINY } else { Limits::SMALL };
        let (mut a, mut b) = (End::new(Limits::SERVER, 1), End::new(limits.clone(), 2));
        a.outbox.connected(params(&limits, false));
        b.outbox.connected(params(&Limits::SERVER, false));
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let (stream_of, last, open) = Default::default();
        Life { a, b, way: vec![], stream_of, last, open, random, tag: 0 }
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
        let info = PathInfo { loss_ppm, spare: self.draw(4) == 0, ..clean(room) };
        self.way.extend(self.a.packet(&info));
    }

    /// The oldest packet, or at times any: it overtakes.
    fn arrive(&mut self) {
        if self.way.is_empty() {
            return;
        }
        let at = if self.draw(3) == 0 { self.draw(self.way.len() as u64) as usize } else { 0 };
        let packet = self.way.remove(at);
        let lost = self.draw(5) == 0;
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
        for (tag, outcome) in core::mem::take(&mut self.a.receipts) {
            let ended = outcome != Outcome::Accepted;
            assert!(!ended || self.open.remove(&tag), "seed {seed}: {tag} ended twice, or was never given");
        }
        for (delivery, seq, _, payload) in core::mem::take(&mut self.b.delivered) {
            if delivery == Delivery::Durable {
                self.b.consume(seq);
            }
            let tag = tag_of(&payload);
            if let Some(&stream) = self.stream_of.get(&tag) {
                let last = self.last.entry(stream).or_insert(0);
                assert!(*last < tag, "seed {seed}: {tag} of stream {stream} came after {last}");
                *last = tag;
            }
        }
    }
}

/// Two ends between which packets are lost and overtake each other, on paths of all sizes, with messages that expire and peers
/// that restart: each stream keeps its order, each message ends once, and in the end all have.
fn lives(seeds: core::ops::Range<u64>) {
    for seed in seeds {
        let mut life = Life::new(seed);
        for _ in 0..1_500 {
            life.step();
            life.look(seed);
        }
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

#[test]
fn streams_keep_their_order_whatever_expires() {
    lives(0..60);
}

#[test]
#[ignore = "minutes: cargo test --release -p proto-core order_for_long -- --ignored"]
fn streams_keep_their_order_for_long() {
    lives(0..10_000);
}
