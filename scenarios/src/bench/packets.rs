//! What the core makes of a core: datagrams, messages, handshakes, and what a session costs in memory.

use bytes::Bytes;
use proto_core::crypto::aead::Key;
use proto_core::crypto::dh::DhSecret;
use proto_core::crypto::secret::Secret;
use proto_core::node::Delivery;
use simulator::Real;
use simulator::plan::Profile;

use super::measure::{Measured, prepared, side_by_side};
use super::pair::Star;
use super::{Bench, Target};
use crate::memory::Metered;

pub(super) const BENCHES: [Bench; 5] = [
    Bench {
        name: "datagrams_1200B",
        unit: "packets/s",
        reference: "raw seal + open",
        target: Target::RatioAtLeast(0.70),
        target_text: ">=0.70",
        measure: || datagrams(1_200),
    },
    Bench {
        name: "messages_64B",
        unit: "messages/s",
        reference: "raw seal + open",
        target: Target::RatioAtLeast(0.40),
        target_text: ">=0.40",
        measure: || messages(64),
    },
    Bench {
        name: "handshakes",
        unit: "/s",
        reference: "raw Diffie-Hellman",
        target: Target::RatioAtLeast(0.70),
        target_text: ">=0.70",
        measure: handshakes,
    },
    Bench {
        name: "idle_session_server",
        unit: "B",
        reference: "boringtun, measured once",
        target: Target::ValueAtMost(12.0 * 1_024.0),
        target_text: "<=12 KiB",
        measure: || Measured::once(session_bytes(Profile::Server), 11.0 * 1_024.0),
    },
    Bench {
        name: "idle_session_tiny",
        unit: "B",
        reference: "boringtun, measured once",
        target: Target::ValueAtMost(4.0 * 1_024.0),
        target_text: "<=4 KiB",
        measure: || Measured::once(session_bytes(Profile::Tiny), 11.0 * 1_024.0),
    },
];

/// Packets of one round.
const PACKETS: u64 = 10_000;
/// Packets given to the node between two turns of the pair: what a shell reads from a socket at once.
const BATCH: u64 = 16;

/// Two nodes in session.
fn connected() -> Option<Star> {
    let mut star = Star::new(Profile::Server, 1, 1)?;
    star.connect().then_some(star)
}

/// Datagrams of `size` bytes sealed, built, parsed, opened and delivered, beside the cipher alone.
fn datagrams(size: usize) -> Measured {
    carried(Delivery::Datagram, size, |star| star.arrived)
}

/// Messages of `size` bytes given to one node, shown by the other and receipted, sixteen given at a time, beside
/// the cipher alone with a packet for each. The engine puts several into a packet.
fn messages(size: usize) -> Measured {
    carried(Delivery::Message, size, |star| star.receipted)
}

/// What node 1 sends to node 0, counted by `done`, beside the cipher alone.
fn carried(delivery: Delivery, size: usize, done: fn(&Star) -> u64) -> Measured {
    let Some(mut star) = connected() else { return Measured::once(0.0, 0.0) };
    let payload = Bytes::from(vec![7; size]);
    let key = Key::new(&[9; 32]);
    let mut packet = vec![7; size + 16];
    side_by_side(
        || {
            let before = done(&star);
            // A full controller or queue makes the node wait; time passes until it does not.
            for _ in 0..PACKETS / BATCH * 4 {
                for _ in 0..BATCH {
                    let _ = star.send(delivery, &payload);
                }
                star.run(200);
                if done(&star) - before >= PACKETS {
                    break;
                }
            }
            done(&star) - before
        },
        || seal_and_open(&key, &mut packet, PACKETS),
    )
}

/// The cipher alone: seals and opens `packet`, tag included, so many times.
pub(super) fn seal_and_open(key: &Key, packet: &mut [u8], times: u64) -> u64 {
    let mut nonce = [0; 12];
    for n in 0..times {
        nonce[..8].copy_from_slice(&n.to_le_bytes());
        let sealed = key.seal_in_place(&nonce, &[1; 8], packet);
        let opened = key.open_in_place(&nonce, &[1; 8], packet);
        std::hint::black_box((sealed.is_ok(), opened.is_ok()));
    }
    times
}

/// Whole handshakes of two nodes, beside the eight agreements and two key generations in one.
fn handshakes() -> Measured {
    const ROUND: u64 = 20;
    let mut seed = 0;
    let secret = DhSecret::from_secret(&Secret::new([5; 32]));
    let public = secret.public();
    prepared(
        || {
            seed += ROUND;
            (0..ROUND).filter_map(|n| Star::new(Profile::Server, 1, seed + n)).collect::<Vec<Star>>()
        },
        |mut stars| stars.iter_mut().map(|star| u64::from(star.connect())).sum(),
        || {
            for _ in 0..ROUND {
                for _ in 0..8 {
                    std::hint::black_box(secret.agree(&public).is_ok());
                }
                for _ in 0..2 {
                    std::hint::black_box(secret.public());
                }
            }
            ROUND
        },
    )
}

/// Bytes that one more established idle session costs node 0.
fn session_bytes(profile: Profile) -> f64 {
    const FEW: u32 = 2;
    const MANY: u32 = 8;
    let held = |leaves| {
        let mut star: Star<Metered<Real>> = Star::new(profile, leaves, 3)?;
        if !star.connect() {
            return None;
        }
        // Handshake state, which is forgotten after a while, is not the session's.
        for _ in 0..120 {
            star.run(1_000_000);
        }
        Some(star.held_by_first())
    };
    match (held(FEW), held(MANY)) {
        (Some(few), Some(many)) => (many - few) as f64 / f64::from(MANY - FEW),
        (_, _) => f64::NAN,
    }
}
