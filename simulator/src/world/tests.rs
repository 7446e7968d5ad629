use super::*;
use crate::outcome::Verdict;
use crate::plan::{FlowPlan, Kind, LinkKind, LinkPlan, NodePlan, What};
use crate::run::{Finished, run_subject};
use crate::toy::{Fault, Toy, breaking};
use crate::verify::verify_subject;

const SECOND: u64 = 1_000_000;

/// Two toys on a plain link; `count` messages of `kind` each way, one each 20 ms.
fn pair(fault: Fault, kind: Kind, count: u64) -> Plan {
    let mut plan = Plan::new("toys", 3, 20 * SECOND);
    plan.calm_us = 60 * SECOND;
    plan.add_node(NodePlan { count: 2, versions: breaking(fault), ..NodePlan::default() });
    plan.add_link(LinkPlan::new(LinkKind::Plain, &[0, 1]));
    plan.add_peer(0, 1);
    for (from, to) in [(0, 1), (1, 0)] {
        let mut flow = FlowPlan::new(from, to, count, 100);
        flow.delivery = kind;
        flow.start_us = SECOND;
        flow.every_us = 20_000;
        plan.flows.push(flow);
    }
    plan
}

fn run(plan: &Plan) -> Outcome {
    run_subject::<Toy>(plan, Options { check_nodes: true, ..Options::default() }).outcome
}

fn lossy(mut plan: Plan) -> Plan {
    plan.links[0].loss_there_ppm = 300_000;
    plan.links[0].loss_back_ppm = 300_000;
    plan
}

#[test]
fn honest_nodes_pass_on_a_clean_link() {
    for kind in [Kind::Datagram, Kind::Message, Kind::Stream, Kind::Durable] {
        let outcome = run(&pair(Fault::None, kind, 100));
        assert_eq!(outcome.verdict, Verdict::Pass, "{kind:?}: {}", outcome.sentence());
        assert_eq!((outcome.sent, outcome.delivered, outcome.duplicates), (200, 200, 0));
        assert!(outcome.latency.quantile(500) >= 1_000, "no faster than the link");
        assert!(outcome.session_up_us[0].is_some_and(|us| us < 10_000));
        assert!(outcome.excusable.is_empty(), "{:?}", outcome.excusable);
    }
}

#[test]
fn honest_nodes_pass_with_every_size_from_nothing_on() {
    let mut plan = pair(Fault::None, Kind::Message, 120);
    plan.flows[0].sizes = (0..60).collect();
    plan.flows[1].sizes = vec![0, 0, 1, 1, 2];
    let outcome = run(&lossy(plan));
    assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.sentence());
    assert_eq!(outcome.delivered, 240);
}

#[test]
fn honest_nodes_pass_at_ninety_percent_loss_given_time() {
    let mut plan = pair(Fault::None, Kind::Message, 50);
    plan.links[0].loss_there_ppm = 900_000;
    plan.links[0].loss_back_ppm = 900_000;
    plan.calm_us = 600 * SECOND;
    let outcome = run(&plan);
    assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.sentence());
    assert_eq!(outcome.delivered, 100);
}

/// Every promise has a guard, and it is the right one that cries out.
#[test]
fn the_right_checker_finds_each_broken_promise() {
    let cases = [
        (Fault::AckBeforeStore, Kind::Durable, Verdict::Safety, "gate"),
        (Fault::NoDedupe, Kind::Message, Verdict::Safety, "link"),
        (Fault::Plaintext, Kind::Message, Verdict::Safety, "session"),
        (Fault::NonceReset, Kind::Message, Verdict::Safety, "session"),
        (Fault::OneNumber, Kind::Message, Verdict::Safety, "session"),
        (Fault::LyingReceipt, Kind::Message, Verdict::Safety, "link"),
        (Fault::Refuses, Kind::Message, Verdict::Safety, "link"),
        (Fault::Refuses, Kind::Durable, Verdict::Safety, "link"),
        (Fault::NoOrder, Kind::Stream, Verdict::Safety, "link"),
        (Fault::Amplifies, Kind::Message, Verdict::Safety, "amplification"),
        (Fault::Spins, Kind::Message, Verdict::Resource, "resources"),
        (Fault::Panics, Kind::Message, Verdict::Panic, "panic"),
        (Fault::ForgetsLost, Kind::Message, Verdict::Liveness, "calm"),
    ];
    for (fault, kind, verdict, checker) in cases {
        let outcome = run(&lossy(pair(fault, kind, 100)));
        assert_eq!(
            (outcome.verdict, outcome.checker.as_str()),
            (verdict, checker),
            "{fault:?}: {}",
            outcome.sentence()
        );
        assert!(outcome.step > 0 && !outcome.reason.is_empty());
        assert!(outcome.replay().contains("--seed 3"));
    }
}

#[test]
fn nodes_check_themselves_at_every_checkpoint_and_at_the_end_whatever_the_options() {
    let run = |count| {
        let plan = pair(Fault::Unsound, Kind::Message, count);
        let outcome = run_subject::<Toy>(&plan, Options::default()).outcome;
        assert_eq!(outcome.verdict, Verdict::Panic, "{}", outcome.sentence());
        assert!(outcome.reason.contains("it is unsound"), "{}", outcome.reason);
        outcome
    };
    let short = run(10);
    assert!(short.steps < 1_000 && short.calm_at_us.is_some(), "{} steps", short.steps);
    let long = run(1_000);
    assert!((1_000..1_010).contains(&long.steps) && long.calm_at_us.is_none(), "{} steps", long.steps);
}

#[test]
fn a_refusal_is_counted_where_the_receivers_limits_allow_it() {
    let refused = |kind, field: &str, value: u64| {
        let mut plan = pair(Fault::Refuses, kind, 100);
        plan.nodes[0].limits.insert(field.to_owned(), value);
        let outcome = run(&plan);
        (outcome.verdict, outcome.excusable.get("refused-by-the-receiver").copied())
    };
    assert_eq!(refused(Kind::Message, "message_bytes", 99), (Verdict::Pass, Some(200)));
    assert_eq!(refused(Kind::Message, "message_bytes", 100), (Verdict::Safety, None));
    assert_eq!(refused(Kind::Durable, "durable_peers", 1), (Verdict::Pass, Some(200)));
    assert_eq!(refused(Kind::Durable, "durable_peers", 2), (Verdict::Safety, None));
}

#[test]
fn two_runs_are_equal_and_a_node_that_looks_around_is_found_out() {
    let (outcome, difference) = verify_subject::<Toy>(&lossy(pair(Fault::None, Kind::Message, 100)));
    assert_eq!((outcome.verdict, difference), (Verdict::Pass, None));
    let (outcome, difference) = verify_subject::<Toy>(&lossy(pair(Fault::Ambient, Kind::Message, 100)));
    assert_eq!((outcome.verdict, outcome.checker.as_str()), (Verdict::Determinism, "verify"));
    let difference = difference.unwrap();
    let (first, second) = (difference.first.unwrap(), difference.second.unwrap());
    assert_eq!((first.step, second.step), (outcome.step, outcome.step));
    assert_ne!(first, second);
}

#[test]
fn another_seed_is_another_run_and_watching_changes_nothing() {
    let plan = lossy(pair(Fault::None, Kind::Message, 100));
    let plain = run(&plan);
    let Finished { outcome: watched, steps } =
        run_subject::<Toy>(&plan, Options { window: 1..u64::MAX, ..Options::default() });
    assert_eq!(plain, watched);
    assert_eq!(steps.len() as u64, plain.steps);
    assert!(steps.iter().any(|step| step.text.contains("message")), "{}", steps[9]);
    let mut other = plan.clone();
    other.seed = 4;
    assert_ne!(run(&other).trace_hash, plain.trace_hash);
}

fn with_fault(kind: Kind, start_us: u64, end_us: u64, what: What) -> Outcome {
    let mut plan = lossy(pair(Fault::None, kind, 200));
    plan.add_fault(start_us, end_us, what);
    run(&plan)
}

#[test]
fn a_crash_loses_memory_and_what_was_durable_still_arrives_once() {
    for node in [0, 1] {
        let what = What::Crash { node, down_us: SECOND / 2 };
        let outcome = with_fault(Kind::Durable, 3 * SECOND, 3 * SECOND, what.clone());
        assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.sentence());
        assert_eq!(outcome.node_reports[node as usize].boots, 2);
        let lost = outcome.excusable.get("sender-restarted").copied().unwrap_or(0);
        assert!(outcome.delivered + lost >= 400, "{} delivered, {lost} lost", outcome.delivered);
        let outcome = with_fault(Kind::Message, 3 * SECOND, 3 * SECOND, what);
        assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.sentence());
        assert!(outcome.excusable.contains_key("sender-restarted"));
    }
}

#[test]
fn the_power_fails_between_a_write_and_its_sync() {
    let what = What::CrashUnsynced { node: 1, times: 5, down_us: 200_000 };
    let outcome = with_fault(Kind::Durable, 2 * SECOND, 15 * SECOND, what);
    assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.sentence());
    assert_eq!(outcome.node_reports[1].boots, 6);
    let what = What::RebootLoop { node: 0, period_us: 2 * SECOND, down_us: SECOND };
    let outcome = with_fault(Kind::Durable, 2 * SECOND, 9 * SECOND, what);
    assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.sentence());
    assert_eq!(outcome.node_reports[0].boots, 1 + 4);
}

#[test]
fn a_paused_node_goes_on_where_it_was_and_a_slow_one_keeps_up_late() {
    let paused = with_fault(Kind::Message, 2 * SECOND, 6 * SECOND, What::Pause { node: 1 });
    assert_eq!(paused.verdict, Verdict::Pass, "{}", paused.sentence());
    assert_eq!(paused.node_reports[1].boots, 1);
    assert!(paused.latency.max() >= 3 * SECOND, "{}", paused.latency.max());
    let slow = with_fault(Kind::Message, 0, 20 * SECOND, What::Slow { node: 1, turn_us: 5_000 });
    assert_eq!(slow.verdict, Verdict::Pass, "{}", slow.sentence());
    let normal = with_fault(Kind::Message, 0, 20 * SECOND, What::Slow { node: 1, turn_us: 0 });
    assert!(slow.latency.quantile(500) > normal.latency.quantile(500) + 3_000);
}

#[test]
fn a_clone_wakes_with_the_disk_and_goes_away() {
    let outcome = with_fault(Kind::Durable, 3 * SECOND, 8 * SECOND, What::Clone { node: 1 });
    assert_eq!(outcome.node_reports.len(), 3);
    assert_eq!(outcome.node_reports[2].boots, 1);
    assert!(
        outcome.node_reports[2].packets_sent == 0 || outcome.verdict != Verdict::Panic,
        "{}",
        outcome.sentence()
    );
}

#[test]
fn a_failed_disk_stops_the_node_and_a_restart_heals_it() {
    for what in [What::DiskFail { node: 1 }, What::DiskFull { node: 1 }] {
        let outcome = with_fault(Kind::Durable, 3 * SECOND, 6 * SECOND, what);
        assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.sentence());
        assert_eq!(outcome.excusable.get("storage-failed"), Some(&1));
        assert_eq!(outcome.node_reports[1].boots, 2, "restarted on a new disk in the calm");
    }
    let slow = with_fault(Kind::Durable, 0, 20 * SECOND, What::DiskSlow { node: 1, sync_us: 300_000 });
    assert_eq!(slow.verdict, Verdict::Pass, "{}", slow.sentence());
    assert!(slow.latency.quantile(500) > 100_000);
}

#[test]
fn what_rots_is_counted_and_not_held_against_anybody() {
    let mut plan = pair(Fault::None, Kind::Durable, 200);
    plan.add_fault(3 * SECOND, 3 * SECOND, What::Rot { node: 1, records: 3 });
    plan.add_fault(4 * SECOND, 4 * SECOND, What::Crash { node: 1, down_us: SECOND });
    let outcome = run(&plan);
    assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.sentence());
    assert!(outcome.excusable["damaged-record"] >= 1, "{:?}", outcome.excusable);
    assert_eq!(outcome.excusable["flow-exempt"], 2);
}

#[test]
fn clocks_may_run_wild() {
    let mut plan = lossy(pair(Fault::None, Kind::Durable, 200));
    plan.nodes[0].drift_ppm = 500;
    plan.nodes[0].wall_offset_us = -20 * 365 * 86_400 * SECOND as i64;
    plan.nodes[0].clock_us = 1 << 50;
    plan.add_fault(SECOND, 9 * SECOND, What::Drift { node: 1, ppm: -100_000 });
    plan.add_fault(2 * SECOND, 3 * SECOND, What::WallStep { node: 1, by_us: -3_600_000_000 });
    plan.add_fault(4 * SECOND, 4 * SECOND, What::Leap { node: 0 });
    plan.add_fault(5 * SECOND, 5 * SECOND, What::Jump { node: 0, by_us: 3_600_000_000 });
    let outcome = run(&plan);
    assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.sentence());
    assert_eq!(outcome.delivered, 400);
}

#[test]
fn a_storm_of_packets_is_found_where_the_plan_bounds_them() {
    let mut plan = pair(Fault::None, Kind::Message, 100);
    plan.expect.packets_per_s = 1_000;
    assert_eq!(run(&plan).verdict, Verdict::Pass);
    plan.expect.packets_per_s = 20;
    let outcome = run(&plan);
    assert_eq!((outcome.verdict, outcome.checker.as_str()), (Verdict::Resource, "resources"));
}

#[test]
fn a_flood_is_as_large_as_planned_and_honest_traffic_survives_it() {
    use crate::plan::Flood;
    let mut plan = pair(Fault::None, Kind::Message, 100);
    let what =
        What::Flood { link: 0, target: 1, kind: Flood::Mixed, per_s: 5_000, size: (1, 1_400), sources: 100 };
    plan.add_fault(SECOND, 3 * SECOND, what);
    let outcome = run(&plan);
    assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.sentence());
    assert!((9_990..=10_001).contains(&outcome.link_reports[0].forged), "{}", outcome.link_reports[0].forged);
    assert_eq!(outcome.delivered, 200);
}

#[test]
fn a_link_that_goes_down_for_good_is_pending_and_a_plan_may_excuse_it() {
    let mut plan = pair(Fault::ForgetsLost, Kind::Message, 100);
    plan.add_fault(2 * SECOND, 4 * SECOND, What::Down { links: vec![0] });
    let outcome = run(&plan);
    assert_eq!(outcome.verdict, Verdict::Liveness);
    assert!(outcome.pending.iter().any(|reason| reason.contains("not delivered")), "{:?}", outcome.pending);
    plan.expect.survivable = false;
    let outcome = run(&plan);
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert!(outcome.excusable["beyond-survivable"] > 0);
}

#[test]
fn nodes_outside_the_core_are_frozen_and_nothing_is_expected_of_them() {
    let mut plan = pair(Fault::None, Kind::Message, 50);
    let third = plan.add_node(NodePlan::default());
    plan.add_link(LinkPlan::new(LinkKind::Plain, &[0, third]));
    plan.add_peer(0, third);
    let mut flow = FlowPlan::new(0, third, 50, 100);
    flow.start_us = 15 * SECOND;
    plan.flows.push(flow);
    plan.add_fault(14 * SECOND, 20 * SECOND, What::Cut { links: vec![1], there: true, back: true });
    plan.expect.core = vec![0, 1];
    let outcome = run(&plan);
    assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.sentence());
    assert_eq!(outcome.flow_reports[2].delivered, 0);
    assert_eq!(outcome.excusable["flow-exempt"], 1);
}

#[test]
fn a_thousand_idle_nodes_cost_nothing() {
    let mut plan = Plan::new("idle", 1, 3_600 * SECOND);
    plan.add_node(NodePlan { count: 1_000, ..NodePlan::default() });
    for node in 1..1_000 {
        plan.add_link(LinkPlan::new(LinkKind::Plain, &[node - 1, node]));
        plan.add_peer(node - 1, node);
    }
    let outcome = run(&plan);
    assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.sentence());
    assert!(outcome.events < 20_000, "{} events in an hour", outcome.events);
}

/// Routers in a ring: each verifies what all others say, over its neighbours.
#[test]
fn nodes_share_what_has_verified_and_no_run_depends_on_it() {
    const NODES: u32 = 6;
    let mut plan = Plan::new("ring", 5, 20 * SECOND);
    let mut node = NodePlan { count: NODES, ..NodePlan::default() };
    node.limits.insert("routers".to_owned(), NODES.into());
    node.limits.insert("routing_bytes".to_owned(), 65_536);
    plan.add_node(node);
    for node in 0..NODES {
        let next = (node + 1) % NODES;
        plan.add_link(LinkPlan::new(LinkKind::Plain, &[node, next]));
        plan.add_peer(node, next);
    }
    plan.flows.push(FlowPlan { start_us: 10 * SECOND, ..FlowPlan::new(0, 3, 10, 100) });
    let run = |signatures: Option<Signatures>| {
        let mut world = World::<crate::Real>::new(&plan, Options::default()).unwrap();
        world.signatures = signatures.unwrap_or(world.signatures);
        world.run();
        let outcome = world.outcome();
        assert_eq!((outcome.verdict, outcome.delivered), (Verdict::Pass, 10), "{}", outcome.sentence());
        (outcome.trace_hash, world.signatures)
    };
    let (hash, verified) = run(None);
    let count = verified.count();
    assert!(count >= 3 * NODES as usize, "of each node a certificate, its papers and its links: {count}");
    let (again, known) = run(Some(verified));
    assert_eq!((again, known.count()), (hash.clone(), count), "all of it was known already");
    let (without_room, few) = run(Some(Signatures::new(0)));
    assert_eq!(without_room, hash, "{few:?} forgets nearly all");
}
