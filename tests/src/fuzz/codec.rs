//! Parsers that need no state: what they accept, they must be able to say again.

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use proto_core::codec::{NoRoom, Writer};
use proto_core::ids::{DeviceId, NodeId, PathId};
use proto_core::link::frame::{self, Channel, Frame, Frames};
use proto_core::node::{Class, RejectReason};
use proto_core::store::record::{Key, Record};

use crate::fuzz::spoil::spoil;

/// The frames of a packet's plaintext. Reading ends, ranges are in order, and what was read can be
/// written so that it reads the same.
///
/// # Panics
/// When one of these does not hold.
pub fn frames(bytes: &[u8]) {
    let mut read = 0;
    let mut said = Vec::new();
    let mut again = vec![0; bytes.len() + 16];
    let mut writer = Writer::new(&mut again);
    let mut whole = true;
    for item in Frames::new(bytes) {
        read += 1;
        match item {
            Ok(frame) => {
                said.push(meaning(&frame));
                whole &= write(&mut writer, &frame).is_ok();
            }
            Err(_) => whole = false,
        }
    }
    assert!(read <= bytes.len(), "{read} frames in {} bytes", bytes.len());
    if whole {
        let written: Vec<String> = Frames::new(writer.written())
            .map(|item| meaning(&item.expect("what we wrote can be read")))
            .collect();
        assert_eq!(written, said);
    }
}

/// What a frame says, whichever of the allowed encodings it used.
fn meaning(frame: &Frame<'_>) -> String {
    match frame {
        Frame::Ack(ack) => {
            let ranges: Vec<(u64, u64)> = ack.ranges().collect();
            assert!(ranges.iter().all(|(first, last)| first <= last), "{ranges:?}");
            assert!(ranges.windows(2).all(|pair| pair[1].1 + 1 < pair[0].0), "{ranges:?}");
            assert_eq!(ranges.first().map(|range| range.1), Some(ack.largest));
            // The wire has steps of 8 us, and reading saturates.
            format!("ack {:?} {} {ranges:?}", ack.path, ack.delay_us / 8)
        }
        Frame::Receipt(receipt) => {
            let ranges: Vec<(u64, u64)> = receipt.ranges().collect();
            assert!(ranges.iter().all(|(first, last)| receipt.floor < *first && first <= last), "{ranges:?}");
            assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{ranges:?}");
            format!("receipt {} {} {ranges:?}", receipt.space, receipt.floor)
        }
        Frame::Skipped { kind } => format!("skipped {kind}"),
        Frame::Padding(_)
        | Frame::Ping
        | Frame::Datagram(_)
        | Frame::RoutingDatagram(_)
        | Frame::Floor { .. }
        | Frame::Challenge(_)
        | Frame::Response(_)
        | Frame::Close { .. }
        | Frame::Refused { .. }
        | Frame::Message { .. } => format!("{frame:?}"),
    }
}

fn write(writer: &mut Writer<'_>, frame: &Frame<'_>) -> std::result::Result<(), NoRoom> {
    match frame {
        Frame::Padding(len) => {
            frame::write_padding(writer, *len);
            Ok(())
        }
        Frame::Ping => frame::write_ping(writer),
        Frame::Ack(ack) => {
            frame::write_ack(writer, PathId(ack.path.0), ack.delay_us, ack.ranges()).map(|_| ())
        }
        Frame::Datagram(payload) => frame::write_datagram(writer, Channel::Application, false, payload),
        Frame::RoutingDatagram(payload) => frame::write_datagram(writer, Channel::Routing, false, payload),
        Frame::Receipt(receipt) => {
            frame::write_receipt(writer, receipt.space, receipt.floor, receipt.ranges()).map(|_| ())
        }
        Frame::Floor { space, floor } => frame::write_floor(writer, *space, *floor),
        Frame::Challenge(bytes) => frame::write_challenge(writer, *bytes),
        Frame::Response(bytes) => frame::write_response(writer, *bytes),
        Frame::Close { reason } => frame::write_close(writer, *reason),
        Frame::Refused { space, seq } => frame::write_refused(writer, *space, *seq),
        Frame::Message { header, data } => frame::write_message(writer, header, false, data),
        Frame::Skipped { kind } => {
            writer.u8(*kind)?;
            writer.varint(0)
        }
    }
}

/// Records of a disk: any bytes, and records that were spoiled. What is read can be written and reads the
/// same; damage is never taken for a newer version, nor for another record.
///
/// # Panics
/// When one of these does not hold.
pub fn record(bytes: &[u8]) {
    read_record(bytes);
    let _ = Key::decode(bytes).map(|key| assert_eq!(Key::decode(&key.encode()), Some(key)));
    let _ = spoiled_record(&mut Unstructured::new(bytes));
}

fn read_record(bytes: &[u8]) {
    if let Ok(record) = Record::decode(bytes) {
        assert_eq!(Record::decode(&record.encode()), Ok(record));
    }
}

fn spoiled_record(u: &mut Unstructured<'_>) -> Result<()> {
    let whole = any_record(u)?;
    let encoded = whole.encode();
    assert_eq!(Record::decode(&encoded), Ok(whole.clone()));
    assert_eq!(Key::decode(&whole.key().encode()), Some(whole.key()));
    let mut spoiled = encoded.clone();
    spoil(u, &mut spoiled)?;
    if spoiled != encoded {
        assert_eq!(Record::decode(&spoiled), Err(RejectReason::Corrupt));
    }
    Ok(())
}

fn any_record(u: &mut Unstructured<'_>) -> Result<Record> {
    let peer = NodeId(u.arbitrary()?);
    let bytes = |u: &mut Unstructured<'_>| Ok(Bytes::from(u.arbitrary::<Vec<u8>>()?));
    Ok(match u.int_in_range(0..=8)? {
        0 => Record::Boot { count: u.arbitrary()? },
        1 => Record::Sequence { peer, reserved: u.arbitrary()? },
        2 => Record::Outgoing {
            peer,
            seq: u.arbitrary()?,
            tag: u.arbitrary()?,
            class: *u.choose(&Class::ALL)?,
            lifetime_us: u.arbitrary()?,
            payload: bytes(u)?,
        },
        3 => Record::Incoming {
            peer,
            device: DeviceId(u.arbitrary()?),
            seq: u.arbitrary()?,
            payload: bytes(u)?,
        },
        4 => Record::Window {
            peer,
            device: DeviceId(u.arbitrary()?),
            floor: u.arbitrary::<u32>()?.into(),
            ranges: any_ranges(u)?,
        },
        5 => Record::Peer { node: peer, certificate: bytes(u)?, boot: u.arbitrary()? },
        6 => Record::Statement { bytes: bytes(u)? },
        7 => Record::Bundle {
            id: u.arbitrary()?,
            lifetime_s: u.arbitrary()?,
            handovers: u.arbitrary()?,
            bytes: bytes(u)?,
        },
        _ => Record::Erased { key: Key::Incoming(peer, u.arbitrary()?) },
    })
}

/// Runs above any 32-bit floor, ascending, with gaps between.
fn any_ranges(u: &mut Unstructured<'_>) -> Result<Vec<(u64, u64)>> {
    let mut ranges = Vec::new();
    let mut end = u64::from(u32::MAX);
    for (gap, len) in u.arbitrary::<Vec<(u16, u16)>>()? {
        let first = end + 2 + u64::from(gap);
        end = first + u64::from(len);
        ranges.push((first, end));
    }
    Ok(ranges)
}
