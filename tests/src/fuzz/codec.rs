//! Parsers that need no state: what they accept, they must be able to say again.

use proto_core::codec::{NoRoom, Writer};
use proto_core::ids::PathId;
use proto_core::link::frame::{self, Frame, Frames};

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
        | Frame::Floor { .. }
        | Frame::Challenge(_)
        | Frame::Response(_)
        | Frame::Close { .. }
        | Frame::Refused { .. }
        | Frame::Message { .. } => format!("{frame:?}"),
    }
}

fn write(writer: &mut Writer<'_>, frame: &Frame<'_>) -> Result<(), NoRoom> {
    match frame {
        Frame::Padding(len) => {
            frame::write_padding(writer, *len);
            Ok(())
        }
        Frame::Ping => frame::write_ping(writer),
        Frame::Ack(ack) => {
            frame::write_ack(writer, PathId(ack.path.0), ack.delay_us, ack.ranges()).map(|_| ())
        }
        Frame::Datagram(payload) => frame::write_datagram(writer, false, payload),
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
