//! A path over air that many share: nothing is asked again before it must be.

use std::vec;
use std::vec::Vec;

use super::unit::{acked, at, send};
use super::world::link;
use crate::codec::Writer;
use crate::ids::PathId;
use crate::limits::Limits;
use crate::link::path::{Path, scarce};
use crate::node::input::{Air, LinkInfo, Medium};
use crate::time::{Duration, Instant};
use crate::wake::Wake;

/// LoRa at SF9: 240 bytes take 1.2 s.
fn radio(share_ppm: u32) -> LinkInfo {
    let air = Air { packet: Duration::from_millis(108), share_ppm, window: Duration::from_secs(3_600) };
    LinkInfo { medium: Medium::Shared { half_duplex: true }, air: Some(air), ..link(Some(1_757), 240, 0) }
}

/// The mesh of a node with such a radio, as `node/mesh.rs` makes it.
fn mesh(share_ppm: u32) -> LinkInfo {
    let radio = radio(share_ppm);
    let delay = radio.scarce().mul_ratio(scarce::TURNS_A_WAY, 1);
    LinkInfo { medium: Medium::Mesh, delay, rate_bps: None, mtu: 1_200, ..radio }
}

fn path(info: &LinkInfo) -> Path {
    Path::new(info, &Limits::SERVER, at(0))
}

/// Turns from one time to another, rounded down.
fn turns(path: &Path, from: Instant, to: Instant) -> u64 {
    to.since(from).as_micros() / path.scarce().as_micros()
}

fn next(wake: Wake) -> Instant {
    let Wake::At(at, _) = wake else { panic!("{wake:?}") };
    at
}

#[test]
fn a_turn_is_the_largest_packet_and_the_silence_of_a_small_share() {
    let turn = |info: &LinkInfo| path(info).scarce().as_micros() / 100_000;
    assert_eq!([turn(&radio(1_000_000)), turn(&radio(100_000)), turn(&radio(10_000))], [12, 12, 120]);
    assert_eq!([turn(&mesh(100_000)), turn(&mesh(10_000))], [12, 120], "that of the radio");
    let cable = path(&link(Some(1_757), 240, 0));
    assert!(!cable.is_scarce() && cable.scarce() == Duration::ZERO && cable.least_pause() == Duration::ZERO);
}

/// It waits for a packet to travel in: 12 turns, at the end of a way over the mesh two, since it is a packet more on each hop there anyway. Eight
/// packets wait no longer, and nothing repeats it.
#[test]
fn an_acknowledgement_waits_for_a_packet_and_is_not_repeated() {
    for (info, waits) in [(radio(100_000), 12), (radio(10_000), 12), (mesh(100_000), 2)] {
        let mut path = path(&info);
        path.on_received(at(1_000_000), 0, true);
        let due = next(path.next_settling());
        assert_eq!(due, at(1_000_000) + path.scarce().mul_ratio(waits, 1));
        assert!(path.ack_pending() && !path.ack_due(at(2_000_000)));
        for number in 1..8 {
            assert_eq!(next(path.next_settling()), due, "packet {number} does not put it off");
            path.on_received(at(1_000_000), number, true);
        }
        assert!(path.received.due().is_some_and(|at| at < due), "eight do not wait");
        // Most of what comes is lost, and still it is said once.
        (4..40).for_each(|number| path.on_received(at(3_000_000), 6 * number, true));
        let mut buf = vec![0; 200];
        path.write_ack(at(4_000_000), PathId(0), &mut Writer::new(&mut buf)).unwrap();
        assert_eq!(path.received.due(), None, "said, and not again before anybody asks");
    }
}

/// What is not acknowledged is sent again after the usual time and 12 turns, then after twice as long, up to six round trips. Over the mesh it is no sooner
/// than two of the delays that are assumed of it, 512 turns.
#[test]
fn what_is_not_acknowledged_is_sent_again_ever_later() {
    for (info, least, most) in [(radio(100_000), 12, 60), (mesh(100_000), 512, 4_000)] {
        let mut path = path(&info);
        let begun = if path.is_relayed() { 0 } else { 20 };
        for number in 0..begun {
            send_small(&mut path, at(number * 100_000_000), number);
            acked(&mut path, number * 100_000_000 + 10_000_000, &[(number, number)]);
        }
        let (mut sent, mut waited) = (at(begun * 100_000_000), Vec::new());
        for number in begun..begun + 6 {
            send_small(&mut path, sent, number);
            let due = next(path.settle_wake());
            waited.push(due.since(sent));
            let mut count = 0;
            path.on_timeout(due - Duration::from_micros(1), &mut |_, _| count += 1);
            assert_eq!(count, 0);
            path.on_timeout(due, &mut |_, _| count += 1);
            assert_eq!(count, 1, "its contents are to be sent again");
            sent = due;
        }
        assert!(turns(&path, at(0), at(0) + waited[0]) >= least, "{waited:?}");
        assert!(waited.is_sorted() && waited[1] > waited[0], "{waited:?}");
        let longest = path.rtt().mul_ratio(6, 1);
        assert_eq!(*waited.last().unwrap(), longest, "{waited:?}");
        assert!(turns(&path, at(0), at(0) + waited[1]) <= most, "{waited:?}");
    }
}

/// However soon an answer has come over the mesh once: that was luck, and the next may take what was assumed.
#[test]
fn an_early_answer_over_the_mesh_is_no_promise() {
    let mut path = path(&mesh(100_000));
    for number in 0..20 {
        let now = number * 10_000_000;
        send_small(&mut path, at(now), number);
        acked(&mut path, now + 3_000_000, &[(number, number)]);
    }
    assert!(path.rtt() < Duration::from_secs(60));
    send_small(&mut path, at(300_000_000), 20);
    let waits = turns(&path, at(300_000_000), next(path.settle_wake()));
    assert!((512..=530).contains(&waits), "{waits} turns");
}

fn send_small(path: &mut Path, now: Instant, number: u64) {
    let pieces = [crate::link::path::Piece::Message { handle: number as u32, cut: 0, symbol: 0 }];
    path.on_sent(now, number, 100, true, &pieces);
    path.check();
}

/// Eight packets without an answer, more where more is lost, and 16 round trips and 512 turns of silence: one is not enough without the other.
#[test]
fn a_path_is_given_up_late() {
    for (packets, turns, is_dead) in [(8, 513, true), (7, 513, false), (8, 511, false)] {
        let mut path = path(&radio(100_000));
        assert!(path.pulse().sure_after > 8, "before anything is known");
        path.sure_after = 3;
        (0..packets).for_each(|number| send_small(&mut path, at(number), number));
        let end = at(0) + path.scarce().mul_ratio(turns, 1);
        path.on_timeout(end, &mut |_, _| ());
        assert_eq!(path.is_dead(), is_dead, "{packets} packets, {turns} turns");
    }
}

/// And asked at pauses that double, a quarter less by chance, while the path's idle time lets them.
#[test]
fn one_that_was_given_up_is_asked_ever_later() {
    let limits = Limits { keepalive: Duration::from_secs(24 * 3_600), ..Limits::SERVER };
    let mut path = Path::new(&radio(100_000), &limits, at(0));
    path.sure_after = 3;
    (0..8).for_each(|number| send_small(&mut path, at(0), number));
    let mut now = at(0) + path.scarce().mul_ratio(600, 1);
    path.on_timeout(now, &mut |_, _| ());
    assert!(path.is_dead() && path.wants_probe());
    let mut pauses = Vec::new();
    for number in 8..13 {
        send_small(&mut path, now, number);
        assert!(!path.wants_probe());
        let due = path.liveness.next(path.pulse()).0;
        path.on_timeout(due - Duration::from_micros(1), &mut |_, _| ());
        assert!(!path.wants_probe());
        path.on_timeout(due, &mut |_, _| ());
        assert!(path.wants_probe());
        pauses.push(turns(&path, now, due));
        now = due;
    }
    for (nth, pause) in pauses.iter().enumerate() {
        let full = 512_u64 << (nth + 1);
        assert!((full * 3 / 4 - 1..=full).contains(pause), "{pauses:?}");
    }
}

/// A cable's path would be asked after half of its silence, and be filled with copies on suspicion.
#[test]
fn nothing_is_sent_on_suspicion() {
    let mut path = path(&radio(100_000));
    assert_eq!(path.loss.ppm(), 300_000, "what is expected before anything is known");
    send(&mut path, 0, 0);
    acked(&mut path, 2_000_000, &[(0, 0)]);
    send(&mut path, 3_000_000, 1);
    assert!(!path.spare(at(60_000_000)), "no copies");
    let half = at(3_000_000) + path.scarce().mul_ratio(300, 1);
    path.on_timeout(half, &mut |_, _| ());
    assert!(!path.wants_probe(), "what was sent is sent again, and that is question enough");
}
