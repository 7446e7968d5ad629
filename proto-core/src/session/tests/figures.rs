//! What a session costs: memory always, time on demand.

use super::super::*;
use super::bench::*;
use crate::crypto::aead;
use crate::ids::PathId;
use crate::limits::Limits;
use crate::time::Instant;
use std::hint::black_box;
use std::vec;
use std::vec::Vec;

/// Bytes of one established session with one path, without its papers.
fn session_bytes(limits: &Limits) -> usize {
    let window = usize::from(limits.replay_window) / 8 + 8;
    size_of::<Peer>()
        + size_of::<peers::Association>()
        + size_of::<keys::Keys>()
        + size_of::<peers::Endpoint>()
        + window
}

#[test]
fn an_idle_session_is_small() {
    let (tiny, server) = (session_bytes(&Limits::TINY), session_bytes(&Limits::SERVER));
    std::eprintln!("idle session: {tiny} bytes TINY, {server} bytes SERVER, without papers (about 200)");
    assert!(tiny < 3 * 1024 && server < 3 * 1024, "{tiny} {server}");
}

/// The best of several runs, in nanoseconds a packet: on a shared machine the least disturbed one counts.
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
fn best_ns(mut run: impl FnMut()) -> u64 {
    (0..30)
        .map(|_| {
            let start = std::time::Instant::now();
            (0..2_000).for_each(|_| run());
            start.elapsed().as_nanos() as u64 / 2_000
        })
        .min()
        .unwrap_or(0)
}

/// Run with `cargo test --release -- --ignored --nocapture figures`.
#[test]
#[ignore = "measures time; needs release and a quiet machine"]
fn figures_of_seal_and_open() {
    let (a, b) = (Make::new(1), Make::new(2));
    let mut world = World::new(1, vec![a.start(Instant::ZERO), b.start(Instant::ZERO)]);
    world.sides[0].connect(Instant::ZERO, &b, true);
    world.run(Instant::from_micros(1_000_000), |world| world.sides[1].is_up(&a));
    let peer = world.sides[0].peer(&b).unwrap();
    for len in [64usize, 1_200] {
        let key = aead::Key::new(&[1; 32]);
        let mut buf: Vec<u8> = vec![0; len + 16];
        let mut nonce = [0u8; 12];
        let raw = best_ns(|| {
            nonce[0] = nonce[0].wrapping_add(1);
            key.seal_in_place(&nonce, &[0; 8], &mut buf).unwrap();
            black_box(key.open_in_place(&nonce, &[0; 8], &mut buf).unwrap());
        });
        let mut buf = vec![0; len + 64];
        let [a_side, b_side] = &mut world.sides[..] else { return };
        let mut acked = None;
        let whole = best_ns(|| {
            let mut cx = Cx {
                now: Instant::ZERO,
                rng: &mut a_side.rng,
                limits: &a_side.make.limits,
                drops: &mut a_side.drops,
                zoo: a_side.make.zoo,
            };
            let sealed = a_side.sessions.seal(&mut cx, peer, PathId(0), acked, &mut buf, len).unwrap();
            acked = Some(sealed.packet_number);
            let mut cx = Cx {
                now: Instant::ZERO,
                rng: &mut b_side.rng,
                limits: &b_side.make.limits,
                drops: &mut b_side.drops,
                zoo: b_side.make.zoo,
            };
            let opened = b_side.sessions.open(&mut cx, LINK, Addr::ANY, &mut buf[..sealed.len]);
            black_box(opened.unwrap());
        });
        std::eprintln!(
            "{len} B seal + open: raw {raw} ns, session {whole} ns, overhead {} ns",
            whole as i64 - raw as i64
        );
    }
}

/// Run with `cargo test --release -- --ignored --nocapture figures`.
#[test]
#[ignore = "measures time; needs release and a quiet machine"]
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
fn figures_of_handshakes() {
    let (a, b) = (Make::new(1), Make::new(2));
    for with_key in [true, false] {
        let mut best = u128::MAX;
        for _ in 0..200 {
            let mut world = World::new(1, vec![a.start(Instant::ZERO), b.start(Instant::ZERO)]);
            let start = std::time::Instant::now();
            world.sides[0].connect(Instant::ZERO, &b, with_key);
            world.run(Instant::from_micros(1_000_000), |world| {
                world.sides[0].is_up(&b) && world.sides[1].is_up(&a)
            });
            best = best.min(start.elapsed().as_micros());
        }
        std::eprintln!("handshake, both sides, first contact: key known {with_key}: {best} us");
    }
    let pattern = crate::crypto::noise::Pattern::Ik;
    let (alice, bob) = (a.start(Instant::ZERO), b.start(Instant::ZERO));
    let versions = Versions { lowest: 1, highest: 1 };
    let bob_key = b.key();
    let ns = best_ns(|| {
        let secret = |n| crate::crypto::secret::Secret::new([n; 32]);
        let role = trust::Role::Initiator(Some(&bob_key));
        let mut i = alice.sessions.trust.noise(pattern, role, 0, versions, secret(3)).unwrap();
        let mut r =
            bob.sessions.trust.noise(pattern, trust::Role::Responder, 0, versions, secret(4)).unwrap();
        let (mut one, mut two, mut out) = ([0; 600], [0; 600], [0; 600]);
        let len = i.write(&[0; 250], &mut one).unwrap();
        r.read(&one[..len], &mut out).unwrap();
        let len = r.write(&[0; 250], &mut two).unwrap();
        i.read(&two[..len], &mut out).unwrap();
        black_box((i.split(), r.split()));
    });
    std::eprintln!("Noise IKpsk0 alone, both sides: {} us", ns / 1000);
}
