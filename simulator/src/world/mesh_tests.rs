//! Real nodes that pass on for each other.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use crate::check::{Checker, Sight, Violation, want};
use crate::outcome::{Outcome, Verdict};
use crate::plan::{Fault, FlowPlan, LinkKind, LinkPlan, NodePlan, Plan, What};
use crate::world::Options;

const SECOND: u64 = 1_000_000;

/// Five routers in a row.
fn row() -> Plan {
    let mut plan = Plan::new("row", 5, 60 * SECOND);
    let mut node = NodePlan { count: 5, ..NodePlan::default() };
    node.limits.insert("routers".to_owned(), 10);
    plan.add_node(node);
    for node in 0..4 {
        plan.add_link(LinkPlan::new(LinkKind::Ethernet, &[node, node + 1]));
        plan.add_peer(node, node + 1);
    }
    plan
}

fn run(plan: &Plan) -> Outcome {
    let outcome = crate::run_with(plan, Options { check_nodes: true, ..Options::default() }).outcome;
    assert_eq!(outcome.verdict, Verdict::Pass, "{} {:?}", outcome.sentence(), outcome.notes);
    outcome
}

#[test]
fn each_question_is_answered() {
    let mut plan = row();
    let question = FlowPlan { start_us: SECOND, every_us: SECOND, ..FlowPlan::new(0, 4, 7, 100) };
    plan.flows = vec![question.answer(1, 50), question];
    let outcome = run(&plan);
    let [answers, questions] = &outcome.flow_reports[..] else { panic!("two flows") };
    assert_eq!((questions.delivered, answers.delivered), (7, 7));
    assert!(answers.first_sent_us >= questions.first_delivered_us);
    let ways = outcome.routes;
    assert_eq!((ways.hops, ways.shortest_hops, ways.returned), (4 * ways.packets, 4 * ways.packets, 0));
}

/// A node over the hills is visited for one message. Nothing keeps that session up, its end sets off no call, and the next
/// message finds its way again.
#[test]
fn a_visit_ends_in_silence() {
    let mut plan = row();
    plan.duration_us = 1_000 * SECOND;
    plan.flows =
        vec![FlowPlan { start_us: 10 * SECOND, every_us: 600 * SECOND, ..FlowPlan::new(0, 4, 2, 100) }];
    let outcome = run(&plan);
    assert_eq!(outcome.delivered, 2);
    let visits = |what: &str, host: u32| {
        let is_one = |note: &&crate::outcome::Note| note.host == host && note.what.starts_with(what);
        outcome.notes.iter().filter(is_one).count()
    };
    for host in [0, 4] {
        // One neighbour, and two visits.
        assert_eq!(visits("PeerUp", host), 3, "{:?}", outcome.notes);
        assert_eq!(visits("PeerDown", host), 2, "{:?}", outcome.notes);
    }
}

/// Two neighbours lose sight of each other and their session dies; one of them is still called where it was. A message finds it
/// over the third.
#[test]
fn who_was_a_neighbour_is_found_over_others() {
    for until_us in [None, Some(20 * SECOND)] {
        let mut plan = row();
        plan.duration_us = 600 * SECOND;
        plan.expect.sessions = false;
        plan.add_link(LinkPlan::new(LinkKind::Ethernet, &[0, 4]));
        plan.add_peer(0, 4);
        if let Some(peer) = plan.peers.last_mut() {
            peer.until_us = until_us;
        }
        let what = What::Cut { links: vec![4], there: true, back: true };
        plan.faults.push(Fault { id: 1, start_us: 10 * SECOND, end_us: plan.duration_us, what });
        plan.flows = vec![FlowPlan { start_us: 400 * SECOND, ..FlowPlan::new(0, 4, 1, 100) }];
        let outcome = run(&plan);
        assert!(outcome.latency.max() < SECOND, "{until_us:?}: {} us", outcome.latency.max());
    }
}

/// Notes how much longer packets are than a message that they carry, by link.
struct Overhead {
    payload: usize,
    from_us: u64,
    seen: Rc<RefCell<BTreeSet<(u32, usize)>>>,
}

impl Checker for Overhead {
    fn name(&self) -> &'static str {
        "overhead"
    }

    fn wants(&self) -> u16 {
        want::PACKET
    }

    fn see(&mut self, at_us: u64, sight: &Sight<'_>) -> Option<Violation> {
        if let Sight::Packet { link, bytes, .. } = sight
            && at_us >= self.from_us
            && bytes.len() >= self.payload
        {
            self.seen.borrow_mut().insert((*link, bytes.len() - self.payload));
        }
        None
    }
}

/// The table of the specification (routing, "What a hop costs"), for a way that is known: the packet of the link 21 bytes, its frame 2
/// or 3, the head 23, the packet from end to end 21, its frame 2 or 3; a packet number or a length takes one more now and then.
#[test]
fn a_small_message_costs_little_on_each_hop() {
    let mut plan = row();
    plan.flows = vec![
        FlowPlan { start_us: SECOND, ..FlowPlan::new(0, 3, 1, 40) },
        FlowPlan { start_us: 20 * SECOND, every_us: SECOND / 10, ..FlowPlan::new(0, 3, 50, 100) },
    ];
    let seen = Rc::default();
    let overhead = Overhead { payload: 100, from_us: 20 * SECOND, seen: Rc::clone(&seen) };
    let checkers: Vec<Box<dyn Checker>> = vec![Box::new(overhead)];
    let outcome = crate::run_with(&plan, Options { checkers, ..Options::default() }).outcome;
    assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.sentence());
    for link in 0..3 {
        let bytes: Vec<usize> =
            seen.borrow().range((link, 0)..(link + 1, 0)).map(|&(_, overhead)| overhead).collect();
        assert_eq!(bytes.first(), Some(&69), "link {link}: {bytes:?}");
        assert!(bytes.last().is_some_and(|&most| most <= 76), "link {link}: {bytes:?}");
    }
}

/// What is revoked under traffic is sent nothing any more, and the others talk on.
#[test]
fn a_revoked_router_is_no_next_hop_any_more() {
    let mut plan = row();
    plan.add_link(LinkPlan::new(LinkKind::Ethernet, &[4, 0]));
    plan.add_peer(4, 0);
    plan.add_fault(20 * SECOND, 20 * SECOND, What::Revoke { node: 1 });
    plan.flows = vec![FlowPlan { start_us: 10 * SECOND, every_us: SECOND, ..FlowPlan::new(0, 2, 20, 100) }];
    let outcome = run(&plan);
    assert_eq!(outcome.delivered, 20);
    assert!(outcome.latency.max() < SECOND, "{} us", outcome.latency.max());
    let ended = outcome.notes.iter().filter(|note| note.what.contains("Revoked")).count();
    assert_eq!(ended, 2, "both neighbours ended their sessions: {:?}", outcome.notes);
}
