//! Every handshake packet, byte for byte. A change here is a change of the protocol.

use super::super::*;
use super::bench::*;
use crate::limits::Limits;
use crate::time::{Duration, Instant};
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn run(a: &Make, b: &Make, with_key: bool, span: Duration) -> Vec<(u32, u32, Bytes)> {
    let mut world = World::new(1, vec![a.start(Instant::ZERO), b.start(Instant::ZERO)]);
    world.log = Some(Vec::new());
    world.sides[0].connect(Instant::ZERO, b, with_key);
    world.run_for(span);
    world.log.unwrap()
}

/// The first packet of each kind in a run of fixed seeds.
fn vectors() -> Vec<(&'static str, Bytes)> {
    let (a, b) = (Make::new(1), Make::new(2));
    let span = Duration::from_millis(200);
    let ik = run(&a, &b, true, span);
    let xx = run(&a, &b, false, span);
    let busy = Make { limits: Limits { free_handshakes_per_s: 0, ..Limits::SMALL }, ..b.clone() };
    let cookie = run(&a, &busy, true, span);
    let newer = run(&a, &Make { versions: (3, 4), ..b.clone() }, true, span);
    let radio = run(&Make { mtu: 64, ..a.clone() }, &b, true, span);
    let known = vec![(a.node(), a.identity().certificate_bytes().clone(), 5)];
    let refusing = run(&a, &Make { known, ..b.clone() }, true, span);
    let ping = {
        let (mut asking, mut answering) = (a.start(Instant::ZERO), b.start(Instant::ZERO));
        asking.connect(Instant::ZERO, &b, true);
        answering.receive(Instant::from_micros(25_000), a.address, &ik[0].2);
        let now = Instant::from_micros(50_000);
        asking.receive(now, b.address, &ik[1].2);
        let peer = asking.peer(&b).unwrap();
        Bytes::from(asking.seal(now, peer, &[1]).unwrap())
    };
    let hint = {
        let mut side = b.start(Instant::ZERO);
        side.open(Instant::ZERO, 1, &ik[2].2);
        side.out[0].1.clone()
    };
    vec![
        ("init-ik", ik[0].2.clone()),
        ("response-ik", ik[1].2.clone()),
        ("data-ping", ping),
        ("init-xx", xx[0].2.clone()),
        ("response-xx", xx[1].2.clone()),
        ("finish", xx[2].2.clone()),
        ("cookie", cookie[1].2.clone()),
        ("init-ik-with-cookie", cookie[2].2.clone()),
        ("incompatible", newer[1].2.clone()),
        ("fragment-first", radio[0].2.clone()),
        ("refused-response", refusing[1].2.clone()),
        ("refusal", refusing[2].2.clone()),
        ("unknown-session", hint),
    ]
}

#[test]
fn packets_are_as_published() {
    let text: String = vectors().iter().map(|(name, packet)| format!("{name} = {}\n", hex(packet))).collect();
    assert_eq!(
        text,
        include_str!("golden.txt"),
        "the encoding has changed; if on purpose, it needs a new version"
    );
}

#[test]
fn each_kind_is_what_it_says() {
    let kinds: Vec<u8> = vectors().iter().map(|(_, packet)| packet[0]).collect();
    assert_eq!(kinds, [1, 3, 0x80, 2, 3, 4, 5, 1, 6, 7, 3, 9, 8]);
}
