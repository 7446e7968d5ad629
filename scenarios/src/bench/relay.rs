//! What a relay makes of a core: packets for others, opened, looked up and sealed again.

use bytes::Bytes;
use proto_core::crypto::aead::Key;
use proto_core::node::Delivery;
use simulator::Real;

use super::measure::{Measured, timed};
use super::packets::seal_and_open;
use super::pair::Star;
use super::{Bench, Target};

pub(super) const BENCHES: [Bench; 1] = [Bench {
    name: "forwarding_1200B",
    unit: "packets/s",
    reference: "raw open + seal",
    target: Target::RatioAtLeast(0.70),
    target_text: ">=0.70",
    measure: forwarding,
}];

/// Packets of one round.
const PACKETS: u64 = 5_000;
/// Packets that the source is given between two turns: what a shell reads from a socket at once.
const BATCH: u64 = 16;
/// Bytes of a datagram of which the relay opens and seals 1,200, all but a few: the packet from end to end, its head and its frame.
const PAYLOAD: usize = 1_160;

/// Node 1 talks to node 2 by node 0, and only what node 0 does counts: taking what comes from both, opening, routing, sealing,
/// acknowledging. Beside it the cipher alone, with packets of 1,200 bytes.
fn forwarding() -> Measured {
    let Some(mut star) = Star::<Real>::routers(2, 1) else { return Measured::once(0.0, 0.0) };
    if !star.connect() || !star.find(1, 2) {
        return Measured::once(0.0, 0.0);
    }
    let payload = Bytes::from(vec![7; PAYLOAD]);
    let key = Key::new(&[9; 32]);
    let mut packet = vec![7; 1_200 + 16];
    timed(
        || {
            let before = star.arrived;
            let mut seconds = 0.0;
            for _ in 0..PACKETS / BATCH * 4 {
                for _ in 0..BATCH {
                    let _ = star.send_to(1, 2, Delivery::Datagram, &payload);
                }
                seconds += star.pass(200);
                if star.arrived - before >= PACKETS {
                    break;
                }
            }
            (star.arrived - before, seconds)
        },
        || seal_and_open(&key, &mut packet, PACKETS),
    )
}
