use proto_core::ids::NodeId;
use proto_core::node::Outcome as Fate;
use proto_core::store::record::Key;

use super::*;
use crate::plan::NodePlan;

/// Host 1 is the receiver, host 2 its twin.
const TWIN: u32 = 2;

/// How long each message lives.
const LIFETIME: u64 = 9_000_000;

/// The books of one flow of 100-byte messages from node 0 to node 1, `count` of them sent.
struct Books {
    ledger: Ledger,
    plan: Plan,
}

impl Books {
    fn new(kind: Kind, count: u64) -> Books {
        let mut plan = Plan::new("books", 1, 1_000_000);
        plan.add_node(NodePlan { count: 2, ..NodePlan::default() });
        plan.flows.push(FlowPlan {
            delivery: kind,
            lifetime_us: Some(LIFETIME),
            ..FlowPlan::new(0, 1, count, 100)
        });
        let mut ledger = Ledger::new(&plan);
        for host in 0..2 {
            ledger.booted(host);
        }
        for index in 0..count {
            assert_eq!(ledger.sent(0, index, index), index);
        }
        Books { ledger, plan }
    }

    fn arrives(&mut self, host: u32, index: u64, again: bool) -> Result<(), String> {
        let bytes = payload(self.plan.seed, 0, index, 100);
        let kind = self.plan.flows[0].delivery;
        let arrived = Arrived { host, node: 1, from: 0, kind, again, bytes: &bytes };
        self.ledger.arrived(1_000, &arrived).map(drop).map_err(|violation| violation.reason)
    }

    fn ends(&mut self, index: u64, fate: Fate) {
        assert_eq!(self.ledger.receipt(0, index, fate), None);
    }

    fn excused(&self) -> u64 {
        self.ledger.excusable.get("delivered-to-a-clone").copied().unwrap_or(0)
    }
}

#[test]
fn a_message_of_a_stream_that_has_expired_may_come_late_and_not_out_of_its_turn() {
    let mut books = Books::new(Kind::Stream, 4);
    for index in 0..3 {
        books.ends(index, Fate::Expired);
    }
    assert_eq!(books.arrives(1, 1, false), Ok(()));
    assert!(books.arrives(1, 0, false).unwrap_err().contains("message 0"), "after one that was late as well");
    assert_eq!(books.arrives(1, 3, false), Ok(()));
    assert!(books.arrives(1, 2, false).unwrap_err().contains("after message 3 of the same stream"));
}

/// The power fails when a durable message has expired: its record may be gone, and the word of it was not heard. Before that it
/// must come.
#[test]
fn what_had_expired_when_its_sender_lost_its_memory_is_not_waited_for() {
    for (at_us, waited_for) in [(LIFETIME / 2, 1), (LIFETIME, 0)] {
        let mut books = Books::new(Kind::Durable, 1);
        books.ends(0, Fate::Accepted);
        books.ledger.lost_memory(0, at_us);
        assert_eq!(
            (books.ledger.outstanding(), books.ledger.pending().len()),
            (waited_for, waited_for as usize)
        );
        // It may be on the way all the same, and on the disk.
        assert_eq!(books.arrives(1, 0, false), Ok(()));
        assert!(books.arrives(1, 0, false).is_err());
        books.ends(0, Fate::Expired);
        assert_eq!(books.ledger.outstanding(), 0);
    }
}

/// A record that reserved numbers is damaged, and its node uses them again once it has started without it: their
/// receiver takes the message for one that it has.
#[test]
fn a_receipt_for_nothing_is_counted_where_reserved_numbers_rotted() {
    let ids = [NodeId([0; 32]), NodeId([1; 32]), NodeId([2; 32])];
    let (reserve, other) = (Key::Sequence(ids[1]), Key::Window(ids[1]));
    for (kind, node, key, booted, counted) in [
        (Kind::Durable, 0, reserve, true, true),
        (Kind::Durable, 0, reserve, false, false),
        (Kind::Durable, 0, other, true, false),
        (Kind::Durable, 0, Key::Sequence(ids[2]), true, false),
        (Kind::Durable, 1, reserve, false, false),
        (Kind::Message, 0, reserve, true, false),
    ] {
        let mut books = Books::new(kind, 2);
        books.ledger.rotted(node, &[key], &ids);
        if booted {
            books.ledger.booted(node);
        }
        let complaint = books.ledger.receipt(0, 0, Fate::Delivered);
        let excused: u64 = books.ledger.excusable.get("record-rotted").copied().unwrap_or(0);
        assert_eq!(
            (complaint.is_none(), excused == 1),
            (counted, counted),
            "{kind:?} {node} {key:?} {booted}"
        );
    }
}

/// What one twin has seen of a stream says nothing of what the other may still see.
#[test]
fn each_of_two_twins_keeps_the_order_of_a_stream() {
    let mut books = Books::new(Kind::Stream, 5);
    books.ledger.cloned(1);
    books.ledger.booted(TWIN);
    for (host, index) in [(TWIN, 2), (1, 0), (TWIN, 3), (1, 1)] {
        assert_eq!(books.arrives(host, index, false), Ok(()), "{index} at {host}");
    }
    assert_eq!(books.arrives(1, 4, false), Ok(()));
    let mut books = Books::new(Kind::Stream, 5);
    books.ledger.cloned(1);
    assert_eq!((books.arrives(1, 1, false), books.arrives(TWIN, 3, false)), (Ok(()), Ok(())));
    assert!(books.arrives(TWIN, 2, false).unwrap_err().contains("after message 3"));
    assert!(books.arrives(1, 0, false).unwrap_err().contains("after message 1"));
}

#[test]
fn each_of_two_twins_shows_a_message_once() {
    // With the message still open, and with it closed and forgotten.
    for closed in [false, true] {
        for (first, other) in [(1, TWIN), (TWIN, 1)] {
            let mut books = Books::new(Kind::Durable, 1);
            books.ledger.cloned(1);
            books.ledger.booted(TWIN);
            assert_eq!(books.arrives(first, 0, false), Ok(()));
            if closed {
                books.ends(0, Fate::Delivered);
            }
            assert_eq!((books.arrives(other, 0, false), books.excused()), (Ok(()), 1));
            for host in [first, other] {
                assert!(books.arrives(host, 0, false).unwrap_err().contains("again"), "{closed} {host}");
                books.ledger.booted(host);
                assert_eq!(books.arrives(host, 0, true), Ok(()), "{closed} {host}");
            }
            assert_eq!(books.excused(), 1);
        }
    }
}

#[test]
fn a_message_that_came_before_its_receiver_was_cloned_comes_once_to_each() {
    let mut books = Books::new(Kind::Durable, 1);
    assert_eq!(books.arrives(1, 0, false), Ok(()));
    books.ends(0, Fate::Delivered);
    books.ledger.cloned(1);
    books.ledger.booted(TWIN);
    assert!(books.arrives(1, 0, false).is_err());
    assert_eq!(books.arrives(TWIN, 0, true), Ok(()));
    assert!(books.arrives(TWIN, 0, false).is_err());
}

#[test]
fn what_arrives_though_its_sender_had_not_accepted_it_is_told_apart_from_what_is_lost() {
    let mut books = Books::new(Kind::Durable, 3);
    assert_eq!(books.arrives(1, 0, false), Ok(()));
    books.ledger.lost_memory(0, 1_000);
    assert_eq!(books.arrives(1, 2, false), Ok(()));
    let report = &books.ledger.reports()[0];
    assert_eq!((report.sent, report.delivered), (3, 2));
    assert_eq!((report.uncertain, report.uncertain_delivered), (3, 2));
}
