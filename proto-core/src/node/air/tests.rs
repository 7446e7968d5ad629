use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

fn call(link: u16, to: u32, bytes: Vec<u8>) -> Call {
    (LinkId(link), Addr::from_u32(to), Bytes::from(bytes), UsedNonce::default())
}

/// What an allocator would be asked for.
fn taken(calls: &Calls) -> u64 {
    let row = calls.waiting.capacity() * size_of::<Call>();
    let packets: usize = calls.waiting.iter().map(|call| call.2.len() + 32).sum();
    (row + packets) as u64
}

proptest! {
    /// Whatever is called, answered, sent and forgotten, in whatever sizes: what waits takes no more than is counted for it.
    #[test]
    fn what_waits_takes_no_more_than_its_bound(
        handshakes in 0_u16..200,
        packets in prop::collection::vec((0_u16..4, 0_u32..60, 1_usize..=4_096, 0_u8..20), 1..400),
    ) {
        let limits = Limits { handshakes, ..Limits::SMALL };
        let mut calls = Calls::default();
        for (nth, (link, to, len, chance)) in packets.into_iter().enumerate() {
            calls.push(&limits, call(link, to, vec![nth as u8; if chance < 15 { len / 16 } else { len }]));
            match chance {
                0 => drop(calls.pop(|open| open.0 == link)),
                1 => calls.forget(|at, _| at.0 == link),
                _ => {}
            }
            calls.check(&limits);
            let (taken, bound) = (taken(&calls), Calls::worst_case_bytes(&limits));
            prop_assert!(taken <= bound, "{} bytes of {}", taken, bound);
        }
    }
}

/// The bound means something: it can be filled.
#[test]
fn the_room_is_used() {
    let limits = Limits::SMALL;
    let mut calls = Calls::default();
    for nth in 0..200 {
        calls.push(&limits, call(0, nth, vec![nth as u8; 240]));
    }
    let (taken, bound) = (taken(&calls), Calls::worst_case_bytes(&limits));
    assert!(taken >= bound / 2, "{taken} bytes of {bound}");
    // What came first is sent first, and a whole call of the longest papers finds room in the smallest limits.
    assert_eq!(calls.pop(|_| true).unwrap().1, Addr::from_u32(0));
    let limits = Limits::TINY;
    let mut calls = Calls::default();
    for part in 0..18 {
        calls.push(&limits, call(0, 1, vec![part; 240]));
    }
    assert_eq!(calls.waiting.len(), 18);
}

/// One radio that may seldom send, and for which many wait, does not take the room of another. And who finds none loses whole calls:
/// parts of one would be sent in vain.
#[test]
fn a_radio_that_seldom_sends_leaves_room_for_another() {
    let limits = Limits::SMALL;
    let mut calls = Calls::default();
    for to in 0..200 {
        calls.push(&limits, call(0, to, vec![1; 240]));
        calls.push(&limits, call(0, to, vec![2; 150]));
    }
    let parts = |calls: &Calls, link: u16, to: u32| {
        calls.waiting.iter().filter(|call| (call.0, call.1) == (LinkId(link), Addr::from_u32(to))).count()
    };
    assert!((0..200).any(|to| parts(&calls, 0, to) == 2));
    let halves = (0..200).filter(|&to| parts(&calls, 0, to) == 1).count();
    assert!(halves <= 1, "{halves} calls in half");
    for to in 0..4 {
        calls.push(&limits, call(1, to, vec![3; 240]));
        assert_eq!(parts(&calls, 1, to), 1, "call {to}");
    }
    assert!(calls.pop(|link| link == LinkId(1)).is_some());
}

/// Data has its turn when all parts of a call are gone, not between them: who puts them together waits only so long.
#[test]
fn the_parts_of_a_call_go_together() {
    let mut calls = Calls::default();
    for part in [1, 2] {
        for to in [1, 2] {
            calls.push(&Limits::SMALL, call(0, to, vec![part; 100]));
        }
    }
    let mut order = Vec::new();
    while let Some(call) = calls.pop(|_| true) {
        order.push((call.1.to_u32().unwrap(), calls.goes_on(call.0, call.1)));
    }
    assert_eq!(order, [(1, true), (1, false), (2, true), (2, false)]);
}
