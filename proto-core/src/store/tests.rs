use bytes::Bytes;
use proptest::prelude::*;
use std::string::String;
use std::vec;
use std::vec::Vec;

use super::record::{Key, Record};
use crate::crypto::hash;
use crate::ids::{DeviceId, NodeId};
use crate::node::input::Class;
use crate::node::output::RejectReason;

const NODE: NodeId = NodeId([0x11; 32]);
const DEVICE: DeviceId = DeviceId([0x22; 32]);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| std::format!("{byte:02x}")).collect()
}

/// One record of each variant with its bytes. A change here is a change of the format: it needs a
/// new version byte and a note in the changelog.
fn golden() -> Vec<(Record, &'static str)> {
    let payload = Bytes::from_static(b"payload");
    vec![
        (Record::Boot { count: 7 }, "01beb00e0279d059250a020807"),
        (
            Record::Sequence { peer: NODE, reserved: 1_000_000 },
            "01102e69bd5f30f55012260a20111111111111111111111111111111111111111111111111111111111111111110c0843d",
        ),
        (
            Record::Outgoing {
                peer: NODE,
                seq: 300,
                tag: u64::MAX,
                class: Class::Low,
                lifetime_us: 86_400_000_000,
                payload: payload.clone(),
            },
            "0189d13fce1a3a72431a420a20111111111111111111111111111111111111111111111111111111111111111110ac0218ffffffffffffffffff0120032880c0ddeec10232077061796c6f6164",
        ),
        (
            Record::Incoming { peer: NODE, device: DEVICE, seq: 300, payload },
            "0124b5708bcf1a8faa22500a20111111111111111111111111111111111111111111111111111111111111111110ac021a077061796c6f616422202222222222222222222222222222222222222222222222222222222222222222",
        ),
        (
            Record::Window { peer: NODE, device: DEVICE, floor: 5, ranges: vec![(7, 9), (11, 11)] },
            "016e21f9d8b4c795292a520a20111111111111111111111111111111111111111111111111111111111111111110051a04080710091a04080b100b22202222222222222222222222222222222222222222222222222222222222222222",
        ),
        (
            Record::Peer { node: NODE, certificate: Bytes::from_static(b"cert"), boot: 2 },
            "0124f211ffad51bdf7322a0a2011111111111111111111111111111111111111111111111111111111111111111204636572741802",
        ),
        (
            Record::Statement { bytes: Bytes::from_static(b"statement") },
            "013731b9c2a84714d33a0b0a0973746174656d656e74",
        ),
        (
            Record::Bundle {
                id: [0x33; 16],
                lifetime_s: 3_600,
                handovers: 16,
                bytes: Bytes::from_static(b"bundle"),
            },
            "017218d69eddc107b04a1f0a103333333333333333333333333333333310901c1810220662756e646c65",
        ),
        (
            Record::Erased { key: Key::Outgoing(NODE, 300) },
            "016c441aee9fc7c340422b0a29021111111111111111111111111111111111111111111111111111111111111111000000000000012c",
        ),
    ]
}

#[test]
fn records_have_these_bytes() {
    for (record, bytes) in golden() {
        assert_eq!(hex(&record.encode()), bytes, "{record:?}");
        assert_eq!(Record::decode(&record.encode()), Ok(record));
    }
}

#[test]
fn every_truncation_and_every_flipped_bit_is_an_error() {
    for (record, _) in golden() {
        let good = record.encode();
        for cut in 0..good.len() {
            assert_eq!(Record::decode(&good[..cut]), Err(RejectReason::Corrupt));
        }
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Record::decode(&bad), Err(RejectReason::Corrupt), "bit {bit} of {record:?}");
        }
        let mut longer = good;
        longer.push(0);
        assert_eq!(Record::decode(&longer), Err(RejectReason::Corrupt));
    }
}

fn sealed(version: u8, body: &[u8]) -> Vec<u8> {
    let sum = hash::derive("thallus record checksum v1", &[&[version], body]);
    [&[version], &sum[..8], body].concat()
}

#[test]
fn an_intact_record_of_a_later_version_is_told_from_damage() {
    assert_eq!(Record::decode(&sealed(2, b"whatever it may be")), Err(RejectReason::NewerVersion));
    assert_eq!(Record::decode(&sealed(0, b"")), Err(RejectReason::Corrupt));
    // Field 99 of the record itself: a kind that came later.
    assert_eq!(Record::decode(&sealed(1, &[0x9a, 0x06, 0x00])), Err(RejectReason::NewerVersion));
}

/// With a good checksum the fields are still checked: somebody else's software may have written them.
#[test]
fn fields_that_make_no_sense_are_refused() {
    let window = |floor: u8, ranges: &[(u8, u8)], device: &[u8]| {
        let mut body = vec![0x0a, 32];
        body.extend_from_slice(&NODE.0);
        body.extend_from_slice(&[0x10, floor]);
        for (first, last) in ranges {
            body.extend_from_slice(&[0x1a, 4, 0x08, *first, 0x10, *last]);
        }
        body.extend_from_slice(&[0x22, u8::try_from(device.len()).unwrap()]);
        body.extend_from_slice(device);
        let mut record = vec![0x2a, u8::try_from(body.len()).unwrap()];
        record.extend_from_slice(&body);
        Record::decode(&sealed(1, &record))
    };
    assert!(window(5, &[(7, 9), (11, 11)], &DEVICE.0).is_ok());
    assert_eq!(window(5, &[(7, 9)], &DEVICE.0[..31]), Err(RejectReason::Corrupt));
    for bad in [&[(4, 6)][..], &[(9, 7)], &[(7, 9), (9, 11)], &[(7, 9), (8, 12)], &[(11, 11), (7, 9)]] {
        assert_eq!(window(5, bad, &DEVICE.0), Err(RejectReason::Corrupt), "{bad:?}");
    }
    // Boot with a peer of 31 bytes where 32 belong; a class that does not exist.
    assert_eq!(Record::decode(&sealed(1, &[0x12, 2, 0x0a, 0])), Err(RejectReason::Corrupt));
    let mut outgoing = vec![0x1a, 36, 0x0a, 32];
    outgoing.extend_from_slice(&NODE.0);
    outgoing.extend_from_slice(&[0x20, 5]);
    assert_eq!(Record::decode(&sealed(1, &outgoing)), Err(RejectReason::Corrupt));
    *outgoing.last_mut().unwrap() = 4;
    assert!(Record::decode(&sealed(1, &outgoing)).is_ok());
}

#[test]
fn unknown_fields_are_skipped() {
    let body = [0x0a, 5, 0x08, 7, 0x7a, 1, 0xff];
    assert_eq!(Record::decode(&sealed(1, &body)), Ok(Record::Boot { count: 7 }));
}

#[test]
fn keys_have_these_bytes() {
    let node = "11".repeat(32);
    let cases = [
        (Key::Boot, String::from("00")),
        (Key::Sequence(NODE), std::format!("01{node}")),
        (Key::Outgoing(NODE, 0x0102), std::format!("02{node}0000000000000102")),
        (Key::Incoming(NODE, 1), std::format!("03{node}0000000000000001")),
        (Key::Window(NODE), std::format!("04{node}")),
        (Key::Peer(NODE), std::format!("05{node}")),
        (Key::Statement([0x22; 32]), std::format!("06{}", "22".repeat(32))),
    ];
    for (key, bytes) in cases {
        assert_eq!(hex(&key.encode()), bytes);
        let mut encoded = key.encode();
        for cut in 0..encoded.len() {
            assert_eq!(Key::decode(&encoded[..cut]), None);
        }
        encoded.push(0);
        assert_eq!(Key::decode(&encoded), None);
    }
    assert_eq!(Key::decode(&[7; 33]), None);
}

fn any_node() -> impl Strategy<Value = NodeId> {
    any::<[u8; 32]>().prop_map(NodeId)
}

fn any_key() -> impl Strategy<Value = Key> {
    prop_oneof![
        Just(Key::Boot),
        any_node().prop_map(Key::Sequence),
        (any_node(), any::<u64>()).prop_map(|(node, seq)| Key::Outgoing(node, seq)),
        (any_node(), any::<u64>()).prop_map(|(node, seq)| Key::Incoming(node, seq)),
        any_node().prop_map(Key::Window),
        any_node().prop_map(Key::Peer),
        any::<[u8; 32]>().prop_map(Key::Statement),
        any::<[u8; 16]>().prop_map(Key::Bundle),
    ]
}

fn any_bytes() -> impl Strategy<Value = Bytes> {
    any::<Vec<u8>>().prop_map(Bytes::from)
}

fn any_ranges() -> impl Strategy<Value = (u64, Vec<(u64, u64)>)> {
    (any::<u32>(), prop::collection::vec((1..1_000u64, 0..1_000u64), 0..20)).prop_map(|(floor, steps)| {
        let mut at = u64::from(floor);
        let ranges = steps.into_iter().map(|(gap, len)| {
            let run = (at + gap, at + gap + len);
            at = run.1 + 1;
            run
        });
        (u64::from(floor), ranges.collect())
    })
}

fn any_record() -> impl Strategy<Value = Record> {
    prop_oneof![
        any::<u32>().prop_map(|count| Record::Boot { count }),
        (any_node(), any::<u64>()).prop_map(|(peer, reserved)| Record::Sequence { peer, reserved }),
        (any_node(), any::<u64>(), any::<u64>(), 0..5usize, any::<u64>(), any_bytes()).prop_map(
            |(peer, seq, tag, class, lifetime_us, payload)| {
                Record::Outgoing { peer, seq, tag, class: Class::ALL[class], lifetime_us, payload }
            }
        ),
        (any_node(), any_node(), any::<u64>(), any_bytes()).prop_map(|(peer, device, seq, payload)| {
            Record::Incoming { peer, device: DeviceId(device.0), seq, payload }
        }),
        (any_node(), any_node(), any_ranges()).prop_map(|(peer, device, (floor, ranges))| {
            Record::Window { peer, device: DeviceId(device.0), floor, ranges }
        }),
        (any_node(), any_bytes(), any::<u32>()).prop_map(|(node, certificate, boot)| Record::Peer {
            node,
            certificate,
            boot
        }),
        any_bytes().prop_map(|bytes| Record::Statement { bytes }),
        (any::<[u8; 16]>(), any::<u64>(), any::<u8>(), any_bytes()).prop_map(
            |(id, lifetime_s, handovers, bytes)| Record::Bundle { id, lifetime_s, handovers, bytes }
        ),
        any_key().prop_map(|key| Record::Erased { key }),
    ]
}

proptest! {
    #[test]
    fn records_round_trip(record in any_record()) {
        prop_assert_eq!(Record::decode(&record.encode()), Ok(record));
    }

    #[test]
    fn keys_round_trip_and_sort_as_their_bytes(a in any_key(), b in any_key()) {
        prop_assert_eq!(Key::decode(&a.encode()), Some(a));
        prop_assert_eq!(a.cmp(&b), a.encode().cmp(&b.encode()));
    }

    #[test]
    fn any_bytes_are_an_answer_not_a_panic(bytes: Vec<u8>) {
        let _ = Record::decode(&bytes);
        let _ = Record::decode(&sealed(1, &bytes));
        let _ = Key::decode(&bytes);
    }
}
