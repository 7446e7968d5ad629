//! Ten nodes are left alone over a long weekend.
//!
//! Nothing dramatic happens: every fifth packet is lost, neighbours talk, keys are renewed every
//! hour. What kills such networks is what grows: a table that is never emptied, a counter that
//! wraps, a queue that is a little longer every hour. It matters because it is easily
//! promised and seldom run.
//!
//! What must hold: everything is delivered, once; memory after three days is what it was after one.
//!
//! Promised: ring plus chords of 10 nodes, 100 messages a second in all between neighbours, 20 %
//! loss, 72 virtual hours; the highest memory of any node in the last day within 2 % of its highest
//! in the first; at most 10 minutes of one core (the command's `processor_seconds`).
//!
//! A shorter run compares its thirds and prints what it finds, and so does one with other nodes or another rate. Neither is
//! held to the 2 %: the highest of a few hours, or of an hour with few messages, is chance (seed 4: 4.5 % more in the last four
//! of 12 hours than in the first four, and no trend in between).

use simulator::Verdict;
use simulator::plan::{FlowPlan, LinkKind, LinkPlan, NodePlan, Plan};

use super::{HOUR, SECOND, cannot_judge, planned_in_storm};
use crate::fail::Usage;
use crate::params::{Key, Params};
use crate::scenario::{Case, Findings, Scenario};

const LOSS: Key = Key { name: "loss", default: "20%", help: "loss each way, 0 to 90%" };
const RATE: Key =
    Key { name: "messages_per_s", default: "100", help: "messages a second in all, 1 to 100000" };

/// How much higher memory may peak at the end than at the beginning.
const GROWTH_PPM: u64 = 20_000;
/// The promised length, nodes and messages a second.
const HOURS: u64 = 72;
const NODES: u32 = 10;
const PER_S: u64 = 100;
/// What is measured of the memory of a shorter run says nothing: queues and tables are still being filled.
const MEASURED_FROM_US: u64 = 12 * HOUR;

/// See the module.
pub const SCENARIO: Scenario = Scenario {
    name: "soak-72h",
    shows: "10 nodes, 20 % loss, 72 hours: everything delivered once, memory flat (--duration shortens it)",
    keys: &[LOSS, RATE],
    takes_nodes: true,
    takes_duration: true,
    takes_topology: false,
    plan,
    judge,
    quick: |params| Params { duration_us: params.duration_us.or(Some(10 * super::MINUTE)), ..params },
};

fn plan(params: &Params) -> Result<Plan, Usage> {
    let nodes = params.nodes.unwrap_or(NODES);
    if !(3..=1_000).contains(&nodes) {
        return Err(Usage::new(format!("{nodes} nodes make no ring"), "--nodes", "give 3 to 1000"));
    }
    let loss_ppm = params.share_ppm(&LOSS, 900_000)?;
    let per_s = params.number(&RATE, 1..=100_000)?;
    let duration_us = params.duration_us.unwrap_or(HOURS * HOUR);
    let mut plan = Plan::new(SCENARIO.name, params.seed, duration_us);
    plan.add_node(NodePlan { count: nodes, ..NodePlan::default() });
    // Neighbours on the ring, and every second node with the one opposite.
    let mut pairs: Vec<(u32, u32)> = (0..nodes).map(|node| (node, (node + 1) % nodes)).collect();
    if nodes >= 6 {
        pairs.extend((0..nodes / 2).map(|node| (node, node + nodes / 2)));
    }
    for &(a, b) in &pairs {
        let mut link = LinkPlan::new(LinkKind::Wifi, &[a, b]);
        (link.loss_there_ppm, link.loss_back_ppm) = (loss_ppm, loss_ppm);
        plan.add_link(link);
        plan.add_peer(a, b);
    }
    let flows = pairs.len() as u64 * 2;
    let every_us = SECOND * flows / per_s;
    let count = duration_us.saturating_sub(10 * SECOND) / every_us.max(1);
    for (a, b) in pairs {
        for (from, to) in [(a, b), (b, a)] {
            let flow = FlowPlan::new(from, to, count.max(1), 0);
            plan.flows.push(FlowPlan { size: (20, 200), every_us, random_pace: true, ..flow });
        }
    }
    Ok(plan)
}

fn judge(case: &Case<'_>, findings: &mut Findings) {
    // A random pace ends a little before or after the storm; what is due after it nobody sends.
    findings.demand_taken(case.outcome, planned_in_storm(case.plan));
    findings.demand_all_once(case.outcome);
    if case.outcome.sent == 0 {
        cannot_judge(findings, "it has no messages");
    }
    findings.share("messages_per_s", per_second_ppm(case.outcome.delivered, case.plan.duration_us));
    let hours = (case.plan.duration_us / HOUR) as usize;
    // What is promised of 72 hours is promised of this many nodes and messages.
    let promised_length = case.plan.duration_us >= HOURS * HOUR && case.plan.node_count() <= NODES;
    let per_s = planned_per_s(case.plan);
    if promised_length && per_s <= PER_S {
        findings.allow_processor_seconds(600);
    }
    let window = hours.div_ceil(3).clamp(1, 24);
    let most_held = case.memory.iter().max_by_key(|node| node.peak_bytes);
    let by_hour = most_held.map_or(Vec::new(), |node| node.by_hour.clone());
    findings.note("peak_bytes_by_hour", by_hour);
    let growths: Vec<_> =
        case.memory.iter().filter_map(|node| growth(&node.by_hour, hours, window)).collect();
    let (measured, worst) = (growths.len() as u64, growths.iter().max().copied());
    let long_enough = case.plan.duration_us >= MEASURED_FROM_US;
    if long_enough && measured < u64::from(case.plan.node_count()) {
        findings.demand(false, Verdict::Resource, || {
            format!(
                "the memory of {measured} of {} nodes was measured in the first and the last {window} hours; \
                 all were promised",
                case.plan.node_count()
            )
        });
    }
    let Some((ratio_ppm, first, last)) = worst else { return };
    findings.share("memory_last_to_first", ratio_ppm);
    findings.count("peak_first_bytes", first);
    findings.count("peak_last_bytes", last);
    let kept = !promised_length || per_s != PER_S || ratio_ppm <= 1_000_000 + GROWTH_PPM;
    findings.demand(kept, Verdict::Resource, || {
        format!("a node's memory peaked at {first} bytes in the first {window} hours and at {last} in the last; 2 % more was allowed")
    });
}

/// Messages a second that the flows plan, to the nearest whole number.
fn planned_per_s(plan: &Plan) -> u64 {
    let planned: u128 = plan.flows.iter().map(|flow| u128::from(flow.count)).sum();
    let duration_us = u128::from(plan.duration_us.max(1));
    u64::try_from((planned * u128::from(SECOND) + duration_us / 2) / duration_us).unwrap_or(u64::MAX)
}

/// A node's highest memory in the last `window` hours over that in the first, in millionths, and both.
/// Only the hours of the storm count, and each of them must have been measured.
fn growth(by_hour: &[u64], hours: usize, window: usize) -> Option<(u64, u64, u64)> {
    let storm = by_hour.get(..hours)?;
    let first = storm.iter().take(window).max().copied().filter(|&first| first > 0)?;
    let last = storm.iter().rev().take(window).max().copied().filter(|&last| last > 0)?;
    Some((simulator::outcome::share_ppm(last, first), first, last))
}

fn per_second_ppm(count: u64, us: u64) -> u64 {
    u64::try_from(u128::from(count) * 1_000_000 * 1_000_000 / u128::from(us.max(1))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{self, How};
    use crate::memory::NodeMemory;

    /// Whether the judge finds that memory grew by `growth_percent` from the first to the last third.
    fn finds_growth(params: &Params, growth_percent: u64) -> bool {
        let plan = SCENARIO.make(params).unwrap();
        // What was sent is not looked at here: nobody needs three days of it.
        let ran = engine::run(&Plan { duration_us: 1, flows: Vec::new(), ..plan.clone() }, How::default());
        let third = (plan.duration_us / HOUR / 3) as usize;
        let by_hour = [vec![35_000; 2 * third], vec![350 * (100 + growth_percent); third]].concat();
        let memory = vec![NodeMemory { by_hour, ..NodeMemory::default() }; NODES as usize];
        let mut findings = Findings::default();
        judge(&Case { plan: &plan, outcome: &ran.outcome, memory: &memory, topology: None }, &mut findings);
        assert_eq!(findings.metrics["memory_last_to_first"], 1.0 + growth_percent as f64 / 100.0);
        findings.broken.iter().any(|broken| broken.reason.contains("2 % more was allowed"))
    }

    #[test]
    fn growth_is_held_to_the_promise_where_it_is_made() {
        let full = Params::seed(4);
        let half_a_day = Params { duration_us: Some(12 * HOUR), ..full.clone() };
        let longer = Params { duration_us: Some(96 * HOUR), ..full.clone() };
        for (promised, params) in [
            (true, &full),
            (true, &longer),
            (false, &half_a_day),
            (false, &full.clone().with("messages_per_s", "5")),
        ] {
            assert_eq!(finds_growth(params, 3), promised, "{}", params.as_args());
            assert!(!finds_growth(params, 2));
        }
    }

    #[test]
    fn growth_compares_the_last_hours_with_the_first() {
        assert_eq!(super::growth(&[100, 90, 80, 102, 500], 4, 2), Some((1_020_000, 100, 102)));
        assert_eq!(super::growth(&[], 4, 2), None);
        assert_eq!(super::growth(&[0, 0], 2, 1), None);
        assert_eq!(super::growth(&[100, 90, 80], 4, 2), None);
        assert_eq!(super::growth(&[100, 90, 0, 0], 4, 2), None);
    }
}
