//! Real nodes that pass on for each other.

use crate::outcome::{Outcome, Verdict};
use crate::plan::{FlowPlan, LinkKind, LinkPlan, NodePlan, Plan};
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
