//! Messages for the receiver's routing: beside those of the application, and taken back.

use super::*;

fn give(end: &mut End, tag: u64, len: usize) -> Result<u32, Refused> {
    let message = (tag, Class::High, Class::High.lifetime(), payload(tag, len));
    let given = end.outbox.push_routing(cx!(end), &mut end.sending, message);
    end.settle();
    given
}

#[test]
fn they_come_to_routing_whole_or_in_parts() {
    let (mut a, mut b) = pair(&Limits::SMALL, true);
    for (tag, len) in [(1, 0), (2, 100), (3, 40_000)] {
        give(&mut a, tag, len).unwrap();
        a.push(tag, Delivery::Message, Class::High, len.max(8)).unwrap();
    }
    exchange(&mut a, &mut b, &clean(1_300));
    let mut lens: Vec<usize> = b.for_routing.iter().map(Bytes::len).collect();
    lens.sort_unstable();
    assert_eq!(lens, [0, 100, 40_000]);
    assert_eq!(b.delivered.len(), 3, "the application gets its own");
    a.settled.sort_unstable();
    assert_eq!(a.settled, [(1, true), (2, true), (3, true)]);
    assert_eq!(a.receipts.len(), 3);
}

#[test]
fn what_is_taken_back_is_not_sent_and_holds_up_nothing() {
    let (mut a, mut b) = pair(&Limits::SMALL, true);
    let places = [1, 2, 3].map(|tag| give(&mut a, tag, 100).unwrap());
    // The first has left and is lost; it, and the second, are taken back.
    let lost = a.packet(&clean(130)).unwrap();
    // The third stands where the last of these is thought to be.
    for (tag, place) in [(1, Some(places[0])), (2, None), (9, Some(places[2])), (9, None)] {
        a.outbox.withdraw(&mut a.sending, tag, place);
    }
    a.fate(&lost, Fate::Lost);
    exchange(&mut a, &mut b, &clean(1_300));
    assert_eq!(a.settled, [(1, false), (2, false), (3, true)]);
    assert_eq!(b.for_routing, [payload(3, 100)]);
    assert_eq!(a.outbox.held(), (0, 0));
}

#[test]
fn they_are_bounded_like_all_others() {
    let (mut a, _) = pair(&Limits::TINY, false);
    assert_eq!(give(&mut a, 1, 8 * 1024 + 1), Err(Refused::Oversize { limit: 8 * 1024 }));
    let taken = (0..100).take_while(|&tag| give(&mut a, tag, 1_000).is_ok()).count();
    assert!(taken < 17, "{taken} kilobytes of 16");
    assert!(a.drops.get(crate::drops::Drop::QueueFull) > 0);
}

/// The application was never given them: it hears nothing of them, and routing that they may not have arrived.
#[test]
fn those_on_their_way_to_one_that_restarts_are_settled() {
    let (mut a, _) = pair(&Limits::SMALL, true);
    give(&mut a, 1, 100).unwrap();
    a.push(2, Delivery::Message, Class::High, 100).unwrap();
    a.packet(&clean(1_300)).unwrap();
    give(&mut a, 3, 100).unwrap();
    a.outbox.peer_restarted(&mut a.sending);
    a.settle();
    assert_eq!(a.settled, [(1, false)]);
    assert_eq!(a.receipts, [(2, Outcome::Uncertain)]);
    a.outbox.check();
}
