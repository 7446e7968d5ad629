//! Durable messages by other hands: the same numbers, the same window, the same bounds. `crash` mixes both ways with failures.

use super::*;
use crate::drops::Drop;

fn carried(end: &mut End, seq: u64, payload: Bytes) -> Carried {
    let device = end.device;
    let taken = end.inbox.on_carried(cx!(end), &mut end.receiving, device, (seq, payload));
    end.settle();
    taken
}

fn owed(end: &mut End, seq: u64) -> Owed {
    end.outbox.owed(end.now, seq)
}

fn given(end: &mut End, seq: u64) -> Bytes {
    match owed(end, seq) {
        Owed::Message { payload, .. } => payload,
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_is_said_to_wait_once_it_is_on_the_disk() {
    let mut a = End::new(Limits::SMALL, 1);
    a.quick_disk = false;
    a.push(1, Delivery::Durable, Class::High, 20).unwrap();
    assert_eq!(a.waits, []);
    while a.confirm() {
        a.settle();
    }
    a.settle();
    assert_eq!(a.waits, [0]);
    a.crash(0);
    a.settle();
    assert_eq!(a.waits, [0], "and again after a restart");
    let lifetime = Class::High.lifetime();
    assert_eq!(owed(&mut a, 0), Owed::Message { class: Class::High, lifetime, payload: payload(1, 20) });
}

/// By both ways, whichever is first: shown once, and finished by either receipt.
#[test]
fn both_ways_at_once_deliver_once() {
    for session_first in [false, true] {
        let (mut a, mut b) = pair(&Limits::SMALL, false);
        a.push(5, Delivery::Durable, Class::Normal, 20).unwrap();
        let copy = given(&mut a, 0);
        if session_first {
            exchange(&mut a, &mut b, &clean(1_000));
            assert_eq!(carried(&mut b, 0, copy), Carried::Known);
        } else {
            assert_eq!(carried(&mut b, 0, copy.clone()), Carried::Writing);
            assert_eq!(carried(&mut b, 0, copy), Carried::Known);
            exchange(&mut a, &mut b, &clean(1_000));
        }
        assert_eq!(b.delivered, [(Delivery::Durable, 0, false, payload(5, 20))]);
        assert_eq!(a.receipts, [(5, Outcome::Accepted), (5, Outcome::Delivered)]);
        assert_eq!(owed(&mut a, 0), Owed::Gone);
    }
}

/// Only what was sent, or given to somebody, is finished by a receipt, and only by runs that have it.
#[test]
fn a_distant_receipt_finishes_what_it_names() {
    let mut a = End::new(Limits::SMALL, 1);
    for tag in 0..4 {
        a.push(tag, Delivery::Durable, Class::Normal, 20).unwrap();
    }
    for seq in [0, 1, 3] {
        given(&mut a, seq);
    }
    a.outbox.is_entrusted(1, true);
    a.outbox.is_entrusted(3, false);
    a.outbox.on_distant_receipt(&mut a.sending, &[(1, 2), (7, u64::MAX)]);
    a.settle();
    let told: Vec<(u64, Outcome)> = a.receipts.iter().copied().filter(|r| r.1 != Outcome::Accepted).collect();
    assert_eq!(told, [(1, Outcome::Stored), (3, Outcome::Relayed), (1, Outcome::Delivered)]);
    assert_eq!(a.ended, [1]);
    a.outbox.on_distant_receipt(&mut a.sending, &[(0, 0)]);
    a.settle();
    assert_eq!(a.ended, [1, 0]);
}

/// A receiver takes numbers that are a window below the highest for done: so those wait until the oldest is finished.
#[test]
fn numbers_do_not_run_ahead_of_the_narrowest_window() {
    let mut a = End::new(Limits::SMALL, 1);
    for tag in 0..70 {
        a.push(tag, Delivery::Durable, Class::Normal, 20).unwrap();
    }
    assert!(matches!(owed(&mut a, 63), Owed::Message { .. }));
    assert_eq!(owed(&mut a, 64), Owed::Later);
    given(&mut a, 0);
    a.outbox.on_distant_receipt(&mut a.sending, &[(0, 0)]);
    assert!(matches!(owed(&mut a, 64), Owed::Message { .. }));
    assert_eq!(owed(&mut a, 65), Owed::Later);
    a.outbox.connected(params(&Limits::SMALL, false));
    assert_eq!(owed(&mut a, 65), Owed::Later, "the session's device need not be the one that it goes to");
}

/// The receipt of what was given out before a restart finishes it after that.
#[test]
fn a_distant_receipt_outlives_a_restart() {
    let mut a = End::new(Limits::SMALL, 1);
    a.push(1, Delivery::Durable, Class::Normal, 20).unwrap();
    given(&mut a, 0);
    a.crash(0);
    a.outbox.on_distant_receipt(&mut a.sending, &[(0, 0)]);
    a.settle();
    assert_eq!(a.receipts.last(), Some(&(1, Outcome::Delivered)));
}

#[test]
fn what_finds_no_room_is_not_taken_and_comes_again() {
    let limits = Limits { durable_messages: 4, peer_share: 1, ..Limits::SMALL };
    let mut b = End::new(limits, 2);
    assert_eq!(carried(&mut b, 0, payload(0, 20)), Carried::Writing);
    assert_eq!(carried(&mut b, 1, payload(1, 20)), Carried::Writing);
    assert_eq!(carried(&mut b, 2, payload(2, 20)), Carried::Full);
    b.consume(0);
    assert_eq!(carried(&mut b, 2, payload(2, 20)), Carried::Writing);
    assert_eq!(b.delivered.len(), 3);
    let large = payload(3, b.limits.message_bytes as usize + 1);
    assert_eq!(carried(&mut b, 3, large), Carried::Refused);
    assert_eq!(b.drops.get(Drop::Oversize), 1);
    b.inbox.on_store_failed(&mut b.receiving);
    assert_eq!(carried(&mut b, 4, payload(4, 20)), Carried::Full, "the next start may have a disk");
}

/// A source of which nothing is known needs a place, as by a session.
#[test]
fn without_a_place_it_is_refused() {
    let mut b = End::new(Limits { durable_peers: 1, ..Limits::SMALL }, 2);
    assert_eq!(carried(&mut b, 0, payload(0, 20)), Carried::Refused);
    b.inbox.wanted = true;
    assert_eq!(carried(&mut b, 0, payload(0, 20)), Carried::Writing);
}

/// Numbers of two devices mean nothing to each other; which one is the present one only a session shows.
#[test]
fn another_device_of_the_source_is_refused() {
    let mut b = End::new(Limits::SMALL, 2);
    let other = DeviceId([9; 32]);
    b.inbox = Inbox::new(b.peer);
    assert_eq!(carried(&mut b, 0, payload(0, 20)), Carried::Writing);
    let taken = b.inbox.on_carried(cx!(b), &mut b.receiving, other, (1, payload(1, 20)));
    assert_eq!(taken, Carried::Refused);
    b.crash(0);
    let taken = b.inbox.on_carried(cx!(b), &mut b.receiving, other, (1, payload(1, 20)));
    assert_eq!(taken, Carried::Refused, "also after a restart");
    assert_eq!(carried(&mut b, 1, payload(1, 20)), Carried::Writing);
    assert_eq!(b.inbox.durable_runs(other), [], "nor does it hear of the numbers of this one");
    // A session has shown which is the present one, though nothing durable has come from it yet.
    let mut b = End::new(Limits::SMALL, 2);
    let taken = b.inbox.on_carried(cx!(b), &mut b.receiving, other, (5_000, payload(1, 20)));
    assert_eq!(taken, Carried::Refused);
    assert_eq!(carried(&mut b, 0, payload(0, 20)), Carried::Writing);
}

/// A receipt says nothing of what is still on its way to the disk.
#[test]
fn runs_are_of_what_is_on_the_disk() {
    let mut b = End::new(Limits::SMALL, 2);
    for seq in [0, 1, 4] {
        carried(&mut b, seq, payload(seq, 20));
    }
    b.quick_disk = false;
    carried(&mut b, 2, payload(2, 20));
    assert_eq!(b.inbox.durable_runs(DEVICE), [(0, 1), (4, 4)]);
    b.inbox.on_floor(cx!(b), &mut b.receiving, crate::link::frame::DURABLE, 4);
    assert_eq!(b.inbox.durable_runs(DEVICE), [(0, 1), (4, 4)], "though its sender has given it up");
    b.confirm();
    b.settle();
    assert_eq!(b.inbox.durable_runs(DEVICE), [(0, 4)]);
    for seq in 0..100 {
        carried(&mut b, 10 + 2 * seq, payload(seq, 20));
        b.confirm();
        b.settle();
    }
    let runs = b.inbox.durable_runs(DEVICE);
    assert_eq!((runs.len(), runs[63]), (64, (208, 208)), "the highest");
}
