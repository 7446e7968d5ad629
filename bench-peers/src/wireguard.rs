//! boringtun: WireGuard between two tunnels in memory.

use std::time::Instant;

use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};

use crate::measure::Subject;

const BATCH: u64 = 64;
/// An IPv4 header and this much payload: what a tunnel carries for 1,200 bytes of somebody's datagram.
const PACKET: usize = 20 + 1_200;

fn pair() -> (Tunn, Tunn) {
    let (a, b) = (StaticSecret::from([1; 32]), StaticSecret::from([2; 32]));
    let (public_a, public_b) = (PublicKey::from(&a), PublicKey::from(&b));
    (Tunn::new(a, public_b, None, None, 1, None), Tunn::new(b, public_a, None, None, 2, None))
}

fn network(result: TunnResult<'_>) -> Vec<u8> {
    match result {
        TunnResult::WriteToNetwork(bytes) => bytes.to_vec(),
        other => panic!("a packet was expected: {other:?}"),
    }
}

fn shake_hands(a: &mut Tunn, b: &mut Tunn) {
    let mut buf = [0; 2_048];
    let init = network(a.format_handshake_initiation(&mut buf, false));
    let response = network(b.decapsulate(None, &init, &mut buf));
    let keepalive = network(a.decapsulate(None, &response, &mut buf));
    assert!(matches!(b.decapsulate(None, &keepalive, &mut buf), TunnResult::Done));
}

/// Full handshakes, both sides, with the packet that confirms them.
pub(crate) fn handshakes(name: &'static str) -> Subject {
    Subject::new(name, || {
        let mut pairs: Vec<(Tunn, Tunn)> = (0..8).map(|_| pair()).collect();
        let begun = Instant::now();
        pairs.iter_mut().for_each(|(a, b)| shake_hands(a, b));
        (8, begun.elapsed())
    })
}

/// The same, from the keys on: WireGuard computes the agreement of the two static keys when a peer is
/// configured, ours when they meet.
pub(crate) fn first_handshakes(name: &'static str) -> Subject {
    Subject::simple(name, || {
        let (mut a, mut b) = pair();
        shake_hands(&mut a, &mut b);
        1
    })
}

/// Datagrams of 1,200 bytes from one side to the other.
pub(crate) fn datagrams(name: &'static str) -> Subject {
    let (mut a, mut b) = pair();
    shake_hands(&mut a, &mut b);
    let mut packet = vec![0; PACKET];
    packet[0] = 0x45;
    packet[2..4].copy_from_slice(&(PACKET as u16).to_be_bytes());
    let (mut sealed, mut opened) = (vec![0; 2_048], vec![0; 2_048]);
    Subject::simple(name, move || {
        for _ in 0..BATCH {
            let TunnResult::WriteToNetwork(bytes) = a.encapsulate(&packet, &mut sealed) else {
                panic!("sealed")
            };
            let TunnResult::WriteToTunnelV4(..) = b.decapsulate(None, bytes, &mut opened) else {
                panic!("opened")
            };
        }
        BATCH
    })
}
