use super::write::whole;
use super::*;
use crate::codec::{NoRoom, Writer};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

/// Everything a frame can say, owned, so that proptest can draw it.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Said {
    Padding(usize),
    Ping,
    Ack { path: u8, delay_us: u64, ranges: Vec<(u64, u64)> },
    Datagram(Vec<u8>),
    RoutingDatagram(Vec<u8>),
    Receipt { space: u8, floor: u64, ranges: Vec<(u64, u64)> },
    Floor(u8, u64),
    Challenge([u8; 8]),
    Response([u8; 8]),
    Close(u8),
    Refused(u8, u64),
    Message(MessageHeader, Vec<u8>),
    Skipped(u8),
}

impl Said {
    fn of(frame: &Frame<'_>) -> Said {
        match frame {
            Frame::Padding(len) => Said::Padding(*len),
            Frame::Ping => Said::Ping,
            Frame::Ack(ack) => {
                Said::Ack { path: ack.path.0, delay_us: ack.delay_us, ranges: ack.ranges().collect() }
            }
            Frame::Datagram(payload) => Said::Datagram(payload.to_vec()),
            Frame::RoutingDatagram(payload) => Said::RoutingDatagram(payload.to_vec()),
            Frame::Receipt(receipt) => Said::Receipt {
                space: receipt.space,
                floor: receipt.floor,
                ranges: receipt.ranges().collect(),
            },
            Frame::Floor { space, floor } => Said::Floor(*space, *floor),
            Frame::Challenge(bytes) => Said::Challenge(*bytes),
            Frame::Response(bytes) => Said::Response(*bytes),
            Frame::Close { reason } => Said::Close(*reason),
            Frame::Refused { space, seq } => Said::Refused(*space, *seq),
            Frame::Message { header, data } => Said::Message(*header, data.to_vec()),
            Frame::Skipped { kind } => Said::Skipped(*kind),
        }
    }

    fn write(&self, w: &mut Writer<'_>, last: bool) -> Result<(), NoRoom> {
        match self {
            Said::Padding(len) => {
                write_padding(w, *len);
                Ok(())
            }
            Said::Ping => write_ping(w),
            Said::Ack { path, delay_us, ranges } => {
                write_ack(w, PathId(*path), *delay_us, ranges.iter().copied()).map(|_| ())
            }
            Said::Datagram(payload) => write_datagram(w, Channel::Application, last, payload),
            Said::RoutingDatagram(payload) => write_datagram(w, Channel::Routing, last, payload),
            Said::Receipt { space, floor, ranges } => {
                write_receipt(w, *space, *floor, ranges.iter().copied()).map(|_| ())
            }
            Said::Floor(space, floor) => write_floor(w, *space, *floor),
            Said::Challenge(bytes) => write_challenge(w, *bytes),
            Said::Response(bytes) => write_response(w, *bytes),
            Said::Close(reason) => write_close(w, *reason),
            Said::Refused(space, seq) => write_refused(w, *space, *seq),
            Said::Message(header, data) => write_message(w, header, last, data),
            Said::Skipped(kind) => whole(w, |w| {
                w.u8(*kind)?;
                w.prefixed(b"later")
            }),
        }
    }
}

fn encode(frames: &[Said]) -> Vec<u8> {
    let mut buf = vec![0; 65_536];
    let mut writer = Writer::new(&mut buf);
    for (index, frame) in frames.iter().enumerate() {
        frame.write(&mut writer, index + 1 == frames.len()).unwrap();
    }
    writer.written().to_vec()
}

fn decode(bytes: &[u8]) -> Result<Vec<Said>, FrameError> {
    Frames::new(bytes).map(|frame| frame.map(|frame| Said::of(&frame))).collect()
}

fn hex(bytes: &[u8]) -> std::string::String {
    bytes.iter().map(|byte| std::format!("{byte:02x}")).collect()
}

/// The encoding of every frame, byte for byte. A change here is a change of the protocol.
#[test]
fn golden_vectors() {
    let part = Fragment { total_len: 1_048_576, symbol_size: 1_150, block: 2, symbol: 1_030 };
    let plain =
        MessageHeader { channel: Channel::Application, space: ORDINARY, seq: 5, back: None, fragment: None };
    let cases: [(Said, &str); 19] = [
        (Said::Padding(3), "000000"),
        (Said::Ping, "01"),
        (Said::Ack { path: 3, delay_us: 8_000, ranges: vec![(100, 107)] }, "0203406b43e80007"),
        (
            Said::Ack { path: 0, delay_us: 0, ranges: vec![(20_000, 20_000), (90, 95), (7, 7)] },
            "0200 80004e20 00 02 00 80004dbf05 405100",
        ),
        (Said::Datagram(vec![0xaa, 0xbb]), "0402aabb"),
        (Said::RoutingDatagram(vec![0xaa, 0xbb]), "0c02aabb"),
        (Said::Receipt { space: 0, floor: 9, ranges: vec![] }, "05000900"),
        (Said::Receipt { space: 1, floor: 70, ranges: vec![(71, 71), (75, 80)] }, "050140460200000205"),
        (Said::Floor(1, 300), "0601412c"),
        (Said::Challenge(*b"12345678"), "073132333435363738"),
        (Said::Response(*b"87654321"), "083837363534333231"),
        (Said::Close(2), "0902"),
        (Said::Refused(0, 64), "0a004040"),
        (Said::Message(plain, b"hi".to_vec()), "1105026869"),
        (Said::Message(MessageHeader { channel: Channel::Routing, ..plain }, b"hi".to_vec()), "2105026869"),
        (
            Said::Message(
                MessageHeader { channel: Channel::Routing, fragment: Some(part), ..plain },
                vec![1],
            ),
            "2905801000 00447e02 4406 0101",
        ),
        (
            Said::Message(
                MessageHeader { channel: Channel::Application, space: DURABLE, back: Some(0), ..plain },
                vec![],
            ),
            "17050000",
        ),
        (
            Said::Message(MessageHeader { back: Some(3), fragment: Some(part), ..plain }, vec![1]),
            "1d0503 80100000 447e 02 4406 0101",
        ),
        (Said::Skipped(0x90), "90056c61746572"),
    ];
    for (frame, golden) in &cases {
        let bytes = encode(&[frame.clone(), Said::Ping]);
        let found = hex(&bytes[..bytes.len() - 1]);
        assert_eq!(decode(&bytes), Ok(vec![frame.clone(), Said::Ping]));
        assert_eq!(found, golden.replace(' ', ""), "{frame:?}");
    }
    assert_eq!(hex(&encode(&[Said::Datagram(vec![7])])), "0307", "the last frame needs no length");
    assert_eq!(hex(&encode(&[Said::RoutingDatagram(vec![7])])), "0b07", "nor this");
    assert_eq!(hex(&encode(&[Said::Message(plain, vec![7])])), "100507");
}

#[test]
fn unknown_and_out_of_range_are_refused() {
    use FrameError::{Malformed, UnknownKind};
    let cases: [(&[u8], FrameError, &str); 14] = [
        (&[0x0d], UnknownKind(0x0d), "no such kind"),
        (&[0x22, 1], UnknownKind(0x22), "routing has no durable messages"),
        (&[0x24, 1, 0], UnknownKind(0x24), "nor ordered ones"),
        (&[0x30], UnknownKind(0x30), "no such kind"),
        (&[0x7f], UnknownKind(0x7f), "the last that cannot be skipped"),
        (&[0x80, 2, 0], Malformed, "a skippable frame longer than the packet"),
        (&[0x02, 8, 0, 0, 0, 0], Malformed, "no such path"),
        (&[0x02, 0, 5, 0, 0, 6], Malformed, "first range below zero"),
        (&[0x02, 0, 5, 0, 1, 2, 2, 0], Malformed, "second range below zero"),
        (&[0x05, 2, 0, 0], Malformed, "no such space"),
        (&[0x06, 9, 0], Malformed, "no such space"),
        (&[0x14, 3, 4], Malformed, "further back than the first message"),
        (&[0x18, 3, 9, 0, 0, 0], Malformed, "symbols of no bytes"),
        (&[0x18, 3, 9, 1, 0x80, 1, 0, 0, 0], Malformed, "a block beyond 65,535"),
    ];
    for (bytes, error, why) in cases {
        assert_eq!(Frames::new(bytes).last(), Some(Err(error)), "{why}");
        assert_eq!(Frames::new(bytes).count(), 1, "the walk ends at the first error");
    }
}

#[test]
fn an_ack_takes_as_many_ranges_as_fit() {
    let ranges: Vec<(u64, u64)> = (0..500u64).rev().map(|n| (3 * n, 3 * n)).collect();
    for room in 0..1_100 {
        let mut buf = vec![0; room];
        let mut writer = Writer::new(&mut buf);
        let Ok(count) = write_ack(&mut writer, PathId(0), 0, ranges.iter().copied()) else {
            assert!(room < 7 && writer.is_empty(), "room {room}");
            continue;
        };
        let len = writer.len();
        assert!(room - len < 4 || count == 500, "room {room} left unused: {}", room - len);
        let Some(Ok(Frame::Ack(ack))) = Frames::new(&buf[..len]).next() else { panic!() };
        assert!(ack.ranges().eq(ranges.iter().copied().take(count as usize)));
    }
}

fn number() -> impl Strategy<Value = u64> {
    (0u32..62).prop_flat_map(|bits| 0..=(1u64 << bits))
}

/// Inclusive ranges from low to high, above `floor`, with gaps between.
fn ranges_above(floor: u64, steps: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut missing = floor;
    let mut ranges = vec![];
    for &(gap, len) in steps {
        ranges.push((missing + 1 + gap, missing + 1 + gap + len));
        missing += gap + len + 2;
    }
    ranges
}

fn header() -> impl Strategy<Value = MessageHeader> {
    let fragment = (any::<u32>(), 1..=u16::MAX, any::<u16>(), any::<u16>()).prop_map(
        |(total_len, symbol_size, block, symbol)| Fragment { total_len, symbol_size, block, symbol },
    );
    (0..=2u8, number(), prop::option::of(any::<u64>()), prop::option::of(fragment)).prop_map(
        |(space, seq, back, fragment)| MessageHeader {
            channel: if space == 2 { Channel::Routing } else { Channel::Application },
            space: space % 2,
            seq,
            back: back.filter(|_| space < 2).map(|back| back % (seq + 1)),
            fragment,
        },
    )
}

fn said() -> impl Strategy<Value = Said> {
    let steps = || prop::collection::vec((0u64..300, 0u64..300), 0..20);
    let ack = (0..8u8, 0u64..1 << 40, 0u64..1 << 40, 0u64..300, steps()).prop_map(
        |(path, delay, low, len, steps)| {
            let mut ranges = ranges_above(low, &steps);
            if ranges.is_empty() {
                ranges.push((low, low + len));
            }
            ranges.reverse();
            Said::Ack { path, delay_us: delay / 8 * 8, ranges }
        },
    );
    let receipt = (0..=1u8, 0u64..1 << 50, steps()).prop_map(|(space, floor, steps)| Said::Receipt {
        space,
        floor,
        ranges: ranges_above(floor, &steps),
    });
    prop_oneof![
        Just(Said::Ping),
        ack,
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Said::Datagram),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Said::RoutingDatagram),
        receipt,
        (0..=1u8, number()).prop_map(|(space, floor)| Said::Floor(space, floor)),
        any::<[u8; 8]>().prop_map(Said::Challenge),
        any::<[u8; 8]>().prop_map(Said::Response),
        any::<u8>().prop_map(Said::Close),
        (0..=1u8, number()).prop_map(|(space, seq)| Said::Refused(space, seq)),
        (header(), prop::collection::vec(any::<u8>(), 0..300))
            .prop_map(|(header, data)| Said::Message(header, data)),
        (0x80..=0xffu8).prop_map(Said::Skipped),
    ]
}

/// Walks everything a parsed packet offers, as a receiver would.
fn walk(bytes: &[u8]) {
    let mut seen = 0;
    for frame in Frames::new(bytes) {
        seen += 1;
        match frame {
            Ok(Frame::Ack(ack)) => {
                let mut above = None;
                for (first, last) in ack.ranges() {
                    assert!(first <= last && above.is_none_or(|above| last + 1 < above));
                    above = Some(first);
                }
            }
            Ok(Frame::Receipt(receipt)) => {
                let mut missing = receipt.floor;
                for (first, last) in receipt.ranges() {
                    assert!(missing < first && first <= last);
                    missing = last + 1;
                }
            }
            Ok(_) | Err(_) => {}
        }
    }
    assert!(seen <= bytes.len());
}

proptest! {
    #[test]
    fn frames_round_trip_and_headers_know_their_length(
        frames in prop::collection::vec(said(), 0..8),
    ) {
        let bytes = encode(&frames);
        prop_assert_eq!(decode(&bytes), Ok(frames.clone()));
        for frame in &frames {
            if let Said::Message(header, data) = frame {
                let len = encode(&[frame.clone(), Said::Ping]).len() - 1;
                prop_assert_eq!(len, header.encoded_len(Some(data.len())) + data.len());
            }
        }
    }

    /// A cut packet is refused, or says a shorter version of the same: never anything else.
    #[test]
    fn every_truncation_is_harmless(frames in prop::collection::vec(said(), 1..4)) {
        let bytes = encode(&frames);
        for cut in 0..bytes.len() {
            walk(&bytes[..cut]);
            if let Ok(mut read) = decode(&bytes[..cut]) {
                let last = read.pop();
                prop_assert_eq!(&read[..], &frames[..read.len()]);
                let rest_of_packet = matches!(last, Some(
                    Said::Datagram(_) | Said::RoutingDatagram(_) | Said::Message(..)
                ));
                prop_assert!(last.as_ref() == frames.get(read.len()) || rest_of_packet || last.is_none());
            }
        }
    }

    #[test]
    fn every_bit_flip_is_harmless(frames in prop::collection::vec(said(), 1..4)) {
        let bytes = encode(&frames);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            walk(&flipped);
        }
    }

    #[test]
    fn noise_is_harmless(bytes: Vec<u8>) {
        walk(&bytes);
    }

    /// A writer that does not fit leaves the packet as it was.
    #[test]
    fn no_room_writes_nothing(frame in said(), room in 0usize..64) {
        let mut buf = vec![0; room];
        let mut writer = Writer::new(&mut buf);
        if frame.write(&mut writer, false).is_err() {
            prop_assert!(writer.is_empty());
        } else {
            let len = writer.len();
            prop_assert!(decode(&buf[..len]).is_ok());
        }
    }
}
