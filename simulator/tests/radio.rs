//! Real nodes over a modelled radio: they find each other, what they say arrives, and the law is kept.

use simulator::plan::radio::{Access, Duty, Move, Region};
use simulator::plan::{FlowPlan, Kind, LinkKind, LinkPlan, NodePlan, Plan, RadioPlan, What};
use simulator::{Outcome, Verdict};

const SECOND: u64 = 1_000_000;

/// Nodes in a row, `metres` apart, each in session with the next; each sends five messages to the next.
fn row(kind: LinkKind, nodes: u32, metres: i32, radio: RadioPlan) -> Plan {
    let mut plan = Plan::new("row", 3, 600 * SECOND);
    plan.calm_us = 3_600 * SECOND;
    plan.add_node(NodePlan { count: nodes, ..NodePlan::default() });
    let members: Vec<u32> = (0..nodes).collect();
    let places = (0..nodes as i32).map(|node| (node * metres, 0)).collect();
    plan.add_link(LinkPlan { radio: Some(RadioPlan { places, ..radio }), ..LinkPlan::new(kind, &members) });
    for node in 1..nodes {
        plan.add_peer(node - 1, node);
        let mut flow = FlowPlan::new(node - 1, node, 5, 40);
        (flow.start_us, flow.every_us) = (60 * SECOND, 60 * SECOND);
        plan.flows.push(flow);
    }
    plan
}

fn run(plan: &Plan) -> Outcome {
    let (outcome, difference) = simulator::verify(plan);
    assert_eq!(difference, None, "the same run twice");
    outcome
}

#[test]
fn neighbours_talk_over_lora_and_keep_to_a_tenth_of_the_hour() {
    let radio = RadioPlan { region: Some(Region::Eu868G3), ..RadioPlan::default() };
    let outcome = run(&row(LinkKind::LoraSf7, 3, 400, radio));
    assert_eq!((outcome.verdict, outcome.delivered), (Verdict::Pass, 10), "{}", outcome.sentence());
    let report = &outcome.link_reports[0];
    assert!(report.airtime_us > 0 && report.weak == 0, "{report:?}");
    let sum: u64 = outcome.node_reports.iter().map(|node| node.airtime_us).sum();
    assert_eq!(sum, report.airtime_us);
}

#[test]
fn a_hall_of_sensors_shares_a_channel_of_802154() {
    let outcome = run(&row(LinkKind::Ieee802154, 8, 5, RadioPlan::default()));
    assert_eq!((outcome.verdict, outcome.delivered), (Verdict::Pass, 35), "{}", outcome.sentence());
    assert!(outcome.latency.max() < 2 * SECOND, "{} us", outcome.latency.max());
}

/// Who is out of range is not expected to be reached; on both sides of somebody in the middle they are hidden.
#[test]
fn nothing_is_expected_of_those_who_cannot_hear_each_other() {
    let mut plan = row(LinkKind::Ieee802154, 3, 45, RadioPlan::default());
    plan.add_peer(0, 2);
    plan.flows.push(FlowPlan::new(0, 2, 1, 10));
    let outcome = run(&plan);
    assert_eq!((outcome.verdict, outcome.delivered), (Verdict::Pass, 10), "{}", outcome.sentence());
    assert_eq!(outcome.excusable.get("flow-exempt"), Some(&1));
    assert!(outcome.link_reports[0].weak > 0);
}

/// Whatever the driver does with what is too much, the referee sees nothing wrong: one percent, and much to say.
#[test]
fn no_node_breaks_the_law_however_much_it_has_to_say() {
    for (duty, access) in
        [(Duty::Pace, Access::Aloha), (Duty::Wait, Access::Csma), (Duty::Refuse, Access::Aloha)]
    {
        let radio = RadioPlan { duty, access: Some(access), ..RadioPlan::default() };
        let mut plan = row(LinkKind::LoraSf9, 2, 50, radio);
        plan.duration_us = 7_200 * SECOND;
        plan.calm_us = SECOND;
        plan.flows[0] = FlowPlan { every_us: SECOND, ..FlowPlan::new(0, 1, 7_000, 100) };
        plan.expect.survivable = false;
        let outcome = run(&plan);
        assert_eq!(outcome.verdict, Verdict::Pass, "{duty:?}: {}", outcome.sentence());
        let most = outcome.node_reports.iter().map(|node| node.airtime_us).max().unwrap_or(0);
        // Two hours of one percent, all but what a packet is longer than what is left; and in the second after them the share is free
        // again that was used in the second hour's first second.
        assert!((55 * SECOND..=73 * SECOND).contains(&most), "{duty:?}: {most}");
    }
}

/// A tenth of a percent leaves packets of a node that knows nothing of its air waiting for minutes; a crash takes them with it.
#[test]
fn what_waits_in_a_radio_goes_with_the_power() {
    let radio = RadioPlan { region: Some(Region::Eu868G2), duty: Duty::Pace, ..RadioPlan::default() };
    let mut plan = row(LinkKind::LoraSf7, 2, 50, radio);
    plan.links[0].rate_known = Some(false);
    plan.add_fault(30 * SECOND, 31 * SECOND, What::Crash { node: 0, down_us: SECOND });
    plan.expect.survivable = false;
    let outcome = run(&plan);
    assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.sentence());
    assert!(outcome.link_reports[0].cut_off > 0, "{:?}", outcome.link_reports[0]);
}

/// Two stand side by side, walk apart for five minutes, and meet again.
#[test]
fn who_walks_out_of_range_is_not_heard_until_it_is_back() {
    let mut plan = row(LinkKind::Ieee802154, 2, 10, RadioPlan::default());
    let step = |at_s: u64, metres| Move { at_us: at_s * SECOND, places: vec![(0, 0), (metres, 0)] };
    plan.links[0].radio.as_mut().unwrap().moves = vec![step(100, 500), step(400, 20)];
    plan.flows = (0..550)
        .map(|n| FlowPlan {
            start_us: (10 + n) * SECOND,
            delivery: Kind::Datagram,
            ..FlowPlan::new(0, 1, 1, 20)
        })
        .collect();
    let outcome = run(&plan);
    assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.sentence());
    for (flow, report) in plan.flows.iter().zip(&outcome.flow_reports) {
        let in_time = report.first_delivered_us.is_some_and(|us| us < flow.start_us + SECOND);
        let at_s = flow.start_us / SECOND;
        // Half a minute to find each other again.
        let near = !(100..430).contains(&at_s);
        assert!(in_time == near || (400..430).contains(&at_s), "at {at_s} s: {in_time}");
    }
}
