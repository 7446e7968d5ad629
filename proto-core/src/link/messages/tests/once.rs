//! Exactly once, in order, whatever the network does.

use super::*;
use crate::rng::Rng;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
struct World {
    loss_ppm: u64,
    room: usize,
    narrower: usize,
    fountain: bool,
    window: u16,
    spare: bool,
    seed: [u8; 32],
    sends: Vec<(Delivery, Class, usize)>,
}

fn sends() -> impl Strategy<Value = Vec<(Delivery, Class, usize)>> {
    let delivery = prop_oneof![
        Just(Delivery::Message),
        (0u16..3).prop_map(|stream| Delivery::Stream { stream }),
        Just(Delivery::Durable),
    ];
    let len = prop_oneof![8usize..100, 8usize..1_500, 8usize..8_000];
    prop::collection::vec((delivery, prop::sample::select(Class::ALL.to_vec()), len), 1..60)
}

prop_compose! {
    fn worlds()(
        loss_ppm in prop::sample::select(vec![0u64, 50_000, 300_000, 700_000]),
        room in prop::sample::select(vec![42usize, 100, 600, 1_300]),
        narrower in 0usize..2,
        fountain: bool,
        window in prop::sample::select(vec![64u16, 128]),
        spare: bool,
        seed: [u8; 32],
        sends in sends(),
    ) -> World {
        World { loss_ppm, room, narrower: if narrower == 0 { room } else { 42 }, fountain, window, spare, seed, sends }
    }
}

/// One direction of the network: packets under way, and what will be said of each.
struct Wire {
    flying: Vec<(Packet, bool)>,
    told: Vec<(Packet, Fate)>,
}

fn step(from: &mut End, to: &mut End, wire: &mut Wire, rng: &mut Rng, world: &World, info: &PathInfo) {
    let lost = |rng: &mut Rng| rng.below(1_000_000) < world.loss_ppm;
    for _ in 0..rng.below(4) {
        let Some(packet) = from.packet(info) else { break };
        wire.flying.push((packet, true));
    }
    // Any of those under way arrives, out of order, perhaps twice.
    for _ in 0..rng.below(6) {
        if wire.flying.is_empty() {
            break;
        }
        let (packet, first) = wire.flying.swap_remove(rng.below(wire.flying.len() as u64) as usize);
        let arrived = !lost(rng) && to.receive(&packet.bytes);
        if arrived && rng.below(10) == 0 {
            wire.flying.push((packet.clone(), false));
        }
        if first {
            let heard = arrived && !lost(rng);
            if !heard && rng.below(5) == 0 && arrived {
                // Called lost first, then the acknowledgement comes after all.
                wire.told.push((packet.clone(), Fate::Lost));
                wire.told.push((packet, Fate::Late));
            } else {
                wire.told.push((packet, if heard { Fate::Acked } else { Fate::Lost }));
            }
        }
    }
    let news = rng.below(4).min(wire.told.len() as u64) as usize;
    for (packet, fate) in wire.told.drain(..news) {
        from.fate(&packet, fate);
    }
}

fn run(world: &World) {
    let limits =
        Limits { message_window: world.window, durable_messages: 1_000, peer_share: 1, ..Limits::SMALL };
    let (mut a, mut b) = pair(&limits, world.fountain);
    let mut rng = Rng::fork(&world.seed, "world");
    for (tag, &(delivery, class, len)) in world.sends.iter().enumerate() {
        a.push(tag as u64, delivery, class, len).unwrap();
    }
    let (mut there, mut back) =
        (Wire { flying: vec![], told: vec![] }, Wire { flying: vec![], told: vec![] });
    let mut info = PathInfo {
        loss_ppm: world.loss_ppm as u32,
        srtt: Duration::from_millis(20),
        room: world.room,
        spare: world.spare,
    };
    let done = |a: &End| a.receipts.iter().filter(|(_, outcome)| *outcome == Outcome::Delivered).count();
    for turn in 0..400_000u64 {
        let now = ms(1_000 + turn * 2);
        a.wake(now);
        b.wake(now);
        if turn == 40 {
            info.room = world.narrower;
        }
        step(&mut a, &mut b, &mut there, &mut rng, world, &info);
        step(&mut b, &mut a, &mut back, &mut rng, world, &info);
        if done(&a) == world.sends.len() && there.flying.is_empty() && there.told.is_empty() {
            break;
        }
    }
    let mut got = BTreeMap::new();
    for (_, _, again, bytes) in &b.delivered {
        let tag = tag_of(bytes);
        assert!(!again);
        assert_eq!(*bytes, payload(tag, world.sends[tag as usize].2), "message {tag} is damaged");
        assert!(got.insert(tag, ()).is_none(), "message {tag} came twice");
    }
    let missing: Vec<_> = (0..world.sends.len() as u64)
        .filter(|tag| !got.contains_key(tag))
        .map(|tag| (tag, world.sends[tag as usize]))
        .collect();
    assert!(missing.is_empty(), "never came: {missing:?}; sender {:?}", a.outbox);
    for stream in 0..3 {
        let tags = |wanted: Delivery| move |(_, send): &(usize, &(Delivery, Class, usize))| send.0 == wanted;
        let sent: Vec<u64> = world
            .sends
            .iter()
            .enumerate()
            .filter(tags(Delivery::Stream { stream }))
            .map(|(tag, _)| tag as u64)
            .collect();
        let came: Vec<u64> = b
            .delivered
            .iter()
            .map(|delivered| tag_of(&delivered.3))
            .filter(|tag| sent.contains(tag))
            .collect();
        assert_eq!(came, sent, "order of stream {stream}");
    }
    assert_eq!(done(&a), world.sends.len(), "each has one receipt: {:?}", a.receipts);
    assert_eq!(a.sending.used(), (0, 0));
    let durable: Vec<u64> = b.delivered.iter().filter(|d| d.0 == Delivery::Durable).map(|d| d.1).collect();
    durable.into_iter().for_each(|seq| b.consume(seq));
    assert_eq!(b.receiving.used(), (0, 0));
    assert!(a.disk.len() as u64 <= 2 * world.sends.len() as u64 + 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]
    #[test]
    fn exactly_once_and_in_order(world in worlds()) {
        run(&world);
    }
}

/// Every length around the borders of packets and blocks, over the smallest and larger packets.
#[test]
fn every_size_arrives() {
    for room in [42, 100, 1_376] {
        let (mut a, mut b) = pair(&Limits::SMALL, false);
        let mut lens: Vec<usize> = (0..200).collect();
        lens.extend([
            1_000,
            1_360,
            1_375,
            1_376,
            1_377,
            2_000,
            29 * 1_024,
            29 * 1_024 + 1,
            65_535,
            65_536,
            300_000,
        ]);
        for (tag, &len) in lens.iter().enumerate() {
            a.push(tag as u64, Delivery::Stream { stream: 1 }, Class::Normal, len).unwrap();
            exchange(&mut a, &mut b, &clean(room));
        }
        assert_eq!(b.delivered.len(), lens.len(), "room {room}");
        for (tag, (len, delivered)) in lens.iter().zip(&b.delivered).enumerate() {
            assert_eq!(delivered.3, payload(tag as u64, *len), "room {room} length {len}");
        }
        assert_eq!(b.receiving.used(), (0, 0));
    }
}

#[test]
fn sixteen_mebibytes_arrive() {
    let (mut a, mut b) = pair(&Limits::SERVER, true);
    a.push(3, Delivery::Message, Class::Normal, 16 << 20).unwrap();
    let info = clean(1_376);
    while let Some(packet) = a.packet(&info) {
        b.receive(&packet.bytes);
        a.fate(&packet, Fate::Acked);
    }
    assert_eq!(b.delivered.len(), 1);
    assert_eq!(b.delivered[0].3, payload(3, 16 << 20));
}

/// Any mixture of source and repair symbols that decodes gives the bytes that were sent.
#[test]
fn repair_symbols_replace_what_is_lost() {
    let limits = Limits::SMALL;
    for lose in [1, 5, 20, 60] {
        let (mut a, mut b) = pair(&limits, true);
        a.push(9, Delivery::Message, Class::Normal, 60_000).unwrap();
        let info = PathInfo { loss_ppm: 300_000, ..clean(1_000) };
        let mut sent = 0;
        while b.delivered.is_empty() {
            let packet = a.packet(&info).expect("it goes on until there is a receipt");
            sent += 1;
            if sent <= lose {
                a.fate(&packet, Fate::Lost);
            } else {
                b.receive(&packet.bytes);
                a.fate(&packet, Fate::Acked);
            }
        }
        assert!(sent <= lose.min(61) + 61 + 2, "{sent} sent, {lose} lost");
        assert_eq!(b.delivered[0].3, payload(9, 60_000));
    }
}

#[test]
fn on_a_clean_path_nothing_is_sent_twice() {
    for fountain in [false, true] {
        let (mut a, mut b) = pair(&Limits::SMALL, fountain);
        a.push(1, Delivery::Message, Class::Normal, 100_000).unwrap();
        let info = PathInfo { spare: true, ..clean(1_000) };
        let mut packets = vec![];
        while let Some(packet) = a.packet(&info) {
            packets.push(packet);
        }
        let bytes: usize = packets.iter().map(|packet| packet.bytes.len()).sum();
        assert!(bytes < 100_000 + packets.len() * 14, "{bytes} in {} packets", packets.len());
        for packet in &packets {
            b.receive(&packet.bytes);
            a.fate(packet, Fate::Acked);
        }
        assert!(a.packet(&info).is_none());
        exchange(&mut a, &mut b, &info);
        assert_eq!(a.receipts, [(1, Outcome::Delivered)]);
    }
}

#[test]
fn an_announcement_costs_what_it_brings() {
    let (_, mut b) = pair(&Limits::SERVER, true);
    let mut buf = vec![0; 1_400];
    let mut w = Writer::new(&mut buf);
    let fragment =
        crate::link::frame::Fragment { total_len: 16 << 20, symbol_size: 1_000, block: 0, symbol: 5 };
    let header = crate::link::frame::MessageHeader {
        channel: Default::default(),
        space: 0,
        seq: 0,
        back: None,
        fragment: Some(fragment),
    };
    crate::link::frame::write_message(&mut w, &header, true, &[7; 1_000]).unwrap();
    let len = w.len();
    b.receive(&buf[..len]);
    assert_eq!(b.receiving.used(), (16 << 20, 1), "the accounts are charged for all of it");
    assert!(b.inbox.kept_bytes() < 4_096, "memory is not: {}", b.inbox.kept_bytes());
}

#[test]
fn contradictions_and_nonsense_are_counted() {
    use crate::drops::Drop;
    use crate::link::frame::{Fragment, MessageHeader};
    let (_, mut b) = pair(&Limits::SMALL, true);
    let good = Fragment { total_len: 5_000, symbol_size: 1_000, block: 0, symbol: 0 };
    let cases = [
        Fragment { symbol_size: 15, ..good },
        Fragment { total_len: 0, ..good },
        good,
        Fragment { total_len: 5_001, ..good },
        Fragment { block: 1, ..good },
        Fragment { symbol: 20_000, ..good },
        Fragment { symbol: 4, total_len: 5_000, symbol_size: 999, block: 0 },
    ];
    let mut violations = vec![];
    for fragment in cases {
        let header = MessageHeader {
            channel: Default::default(),
            space: 0,
            seq: 3,
            back: None,
            fragment: Some(fragment),
        };
        assert!(b.inbox.on_message(cx!(b), &mut b.receiving, &header, &[1; 1_000]));
        b.settle();
        violations.push(b.drops.get(Drop::ProtocolViolation));
    }
    assert_eq!(violations, [1, 2, 2, 3, 4, 5, 6]);
    assert!(b.delivered.is_empty());
}

/// One packet holds hundreds of empty messages: no more become actions than the outputs have room for.
#[test]
fn a_packet_of_empty_messages_does_not_fill_the_memory() {
    let limits = Limits { outputs: 16, ..Limits::SMALL };
    let mut b = End::new(limits, 2);
    assert!(b.receive(&[4, 0].repeat(700)), "datagrams may be lost");
    assert_eq!(b.delivered.len(), 16);
    let mut packet = vec![0; 9_000];
    let mut w = Writer::new(&mut packet);
    for seq in 0..700 {
        let header = crate::link::frame::MessageHeader {
            channel: Default::default(),
            space: crate::link::frame::ORDINARY,
            seq,
            back: None,
            fragment: None,
        };
        crate::link::frame::write_message(&mut w, &header, false, &[]).unwrap();
    }
    let len = w.len();
    for taken in 1..=3 {
        assert!(!b.receive(&packet[..len]), "messages are sent again");
        assert_eq!(b.delivered.len(), 16 + 16 * taken);
    }
}

/// A node that announced no fountain code holds no block twice to decode it: a repair symbol is a
/// violation, however many of them would make the message.
#[test]
fn repair_symbols_are_nothing_to_a_node_without_fountain_code() {
    use crate::drops::Drop;
    use crate::link::frame::{Fragment, MessageHeader};
    let data: Vec<u8> = (0..2_000).map(|at| (at % 251) as u8).collect();
    let repair = super::super::fountain::Encoder::new(&data, 2, 1_000).repair(2);
    for (limits, delivered, violations) in [(Limits::SMALL, 1, 0), (Limits::TINY, 0, 1)] {
        assert_eq!(limits.params().fountain, delivered == 1);
        let (_, mut b) = pair(&limits, true);
        let mut symbol = |symbol: u16, data: &[u8]| {
            let fragment = Fragment { total_len: 2_000, symbol_size: 1_000, block: 0, symbol };
            let header = MessageHeader {
                channel: Default::default(),
                space: 0,
                seq: 3,
                back: None,
                fragment: Some(fragment),
            };
            assert!(b.inbox.on_message(cx!(b), &mut b.receiving, &header, data));
            b.settle();
            (b.delivered.len(), b.drops.get(Drop::ProtocolViolation))
        };
        symbol(1, &data[1_000..]);
        assert_eq!(symbol(2, &repair), (delivered, violations));
        assert_eq!(symbol(0, &data[..1_000]), (1, violations), "the source symbols make it whole");
    }
}
