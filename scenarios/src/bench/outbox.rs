//! What one small message costs the sending half alone: taken in, packed, acknowledged, receipted.
//!
//! Everything else that a message meets on its way (session, path, cipher) is left out, so that a
//! change to the tables of waiting messages shows here before it drowns in the whole.

use bytes::Bytes;
use proto_core::codec::Writer;
use proto_core::crypto::aead::Key;
use proto_core::drops::Drops;
use proto_core::ids::NodeId;
use proto_core::limits::Limits;
use proto_core::link::messages::{Budget, Outbox, OutboxAction, PathInfo};
use proto_core::link::path::{Fate, Piece};
use proto_core::machine::Cx;
use proto_core::node::{Class, Delivery, Send};
use proto_core::rng::Rng;
use proto_core::time::{Duration, Instant};
use proto_core::zoo::Zoo;

use super::measure::{Measured, side_by_side};
use super::packets::seal_and_open;
use super::{Bench, Target};

/// The design gives a small message 150 ns beside 740 ns for the cipher of the pure-Rust crates, 390 ns
/// with ring (the table of figures): so many times the cipher's rate.
const TARGET: f64 = if cfg!(feature = "ring") { 2.6 } else { 4.9 };
const TARGET_TEXT: &str = if cfg!(feature = "ring") { ">=2.6" } else { ">=4.9" };

pub(super) const BENCHES: [Bench; 1] = [Bench {
    name: "outbox_message_64B",
    unit: "messages/s",
    reference: "raw seal + open",
    target: Target::RatioAtLeast(TARGET),
    target_text: TARGET_TEXT,
    measure: messages,
}];

/// Messages of one round.
const MESSAGES: u64 = 20_000;
/// Messages under way at once.
const BATCH: u64 = 64;
/// Bytes for frames in a packet of 1,400.
const ROOM: usize = 1_377;

fn messages() -> Measured {
    let limits = Limits::SERVER;
    let mut rng = Rng::fork(&[1; 32], "bench");
    let mut drops = Drops::default();
    let mut budget = Budget::for_sending(&limits);
    let mut outbox = Outbox::new(NodeId([1; 32]));
    outbox.connected(limits.params());
    let payload = Bytes::from_static(&[7; 64]);
    let info = PathInfo { loss_ppm: 0, srtt: Duration::from_millis(10), room: ROOM, spare: false };
    let mut pieces = Vec::new();
    let mut packet = [0; ROOM];
    let mut now = Instant::ZERO;
    let key = Key::new(&[9; 32]);
    let mut sealed = vec![7; 64 + 16];
    let round = || {
        let mut done = 0;
        while done < MESSAGES {
            now += Duration::from_millis(10);
            let mut cx = Cx { now, rng: &mut rng, limits: &limits, drops: &mut drops, zoo: Zoo::none() };
            for tag in 0..BATCH {
                let send = Send {
                    to: NodeId([1; 32]),
                    tag,
                    delivery: Delivery::Message,
                    class: Class::Normal,
                    lifetime: None,
                    payload: payload.clone(),
                };
                let _ = outbox.push(&mut cx, &mut budget, send, ROOM);
            }
            pieces.clear();
            while outbox.has_work() {
                let mut writer = Writer::new(&mut packet);
                let mut sink = |piece: Piece| pieces.push(piece);
                if !outbox.fill(&mut cx, &mut budget, &mut writer, &info, &mut sink).wrote {
                    break;
                }
            }
            for &piece in &pieces {
                outbox.on_fate(&mut cx, &mut budget, piece, Fate::Acked);
            }
            let mut receipts = 0;
            while let Some(action) = outbox.poll() {
                receipts += u64::from(matches!(action, OutboxAction::Receipt { .. }));
            }
            if receipts == 0 {
                return done;
            }
            done += receipts;
        }
        done
    };
    side_by_side(round, || seal_and_open(&key, &mut sealed, MESSAGES))
}
