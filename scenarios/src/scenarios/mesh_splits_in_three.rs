//! A mesh that falls into three parts, and grows together again.
//!
//! The links between the parts carry nothing for an hour, as when two towers of a valley lose their power. Meanwhile people
//! write to each other, within their part and across. It matters because that is when a mesh is needed: whoever writes must not
//! have to try again, and when the towers are back nobody wants to be told everything twice.
//!
//! Promised: within a part messages go on at once; what was sent across is kept, and within a minute after the healing all of it
//! has arrived, once.

use simulator::Verdict;
use simulator::draw::{Lot, Purpose};
use simulator::plan::{Fault, FlowPlan, Plan, What};

use super::{HOUR, MINUTE, SECOND, cannot_judge, mesh};
use crate::fail::Usage;
use crate::params::{Key, Params};
use crate::scenario::{Case, Findings, Scenario};
use crate::topology::shapes;

const SPLIT: Key = Key { name: "split_seconds", default: "3600", help: "how long it is apart, 60 to 86400" };
const MESSAGES: Key =
    Key { name: "messages", default: "300", help: "messages across, and as many within, 1 to 10000" };

/// A grid of so many columns, and two of them to a part.
const COLUMNS: u32 = 6;
const NODES: u32 = 36;
const SIDES: u32 = 3;
/// The network has so long to find itself.
const SETTLE_US: u64 = 2 * MINUTE;
/// After the healing all has arrived within this.
const PROMISED_US: u64 = MINUTE;
/// Within a part, a message takes no longer; those of the moment in which nobody knows yet that it is one do.
const WITHIN_US: u64 = SECOND;
const NOTICED_US: u64 = 5 * SECOND;
const BYTES: u32 = 200;

/// See the module.
pub const SCENARIO: Scenario = Scenario {
    name: "mesh-splits-in-three",
    shows: "three parts for an hour: what was sent across arrives within a minute after the healing, once",
    keys: &[SPLIT, MESSAGES],
    takes_nodes: false,
    takes_duration: false,
    takes_topology: false,
    plan,
    judge,
    quick: |params| params.with("split_seconds", "300").with("messages", "30"),
};

fn side_of(node: u32) -> u32 {
    node % COLUMNS * SIDES / COLUMNS
}

fn plan(params: &Params) -> Result<Plan, Usage> {
    let split_us = params.number(&SPLIT, 60..=86_400)? * SECOND;
    let messages = params.number(&MESSAGES, 1..=10_000)?;
    let healed_us = SETTLE_US + split_us;
    let mut plan = Plan::new(SCENARIO.name, params.seed, healed_us + 2 * PROMISED_US);
    plan.calm_us = HOUR;
    mesh::add_network(&mut plan, &shapes::grid4(NODES, COLUMNS), false, None);
    let side = |side| (0..NODES).filter(|&node| side_of(node) == side).collect();
    let what = What::Partition { sides: (0..SIDES).map(side).collect() };
    plan.faults.push(Fault { id: 1, start_us: SETTLE_US, end_us: healed_us, what });
    let lot = Lot::new(params.seed, Purpose::Plan, 6);
    let pick = |draw: u64, nodes: &[u32]| nodes[lot.between(draw, 0, nodes.len() as u64 - 1) as usize];
    let all: Vec<u32> = (0..NODES).collect();
    for number in 0..2 * messages {
        let from = pick(2 * number, &all);
        let across = number % 2 == 0;
        let others = all.iter().copied().filter(|&to| to != from && (side_of(to) != side_of(from)) == across);
        let to = pick(2 * number + 1, &others.collect::<Vec<u32>>());
        let start_us = SETTLE_US + number * split_us / (2 * messages);
        plan.flows.push(FlowPlan { start_us, ..FlowPlan::new(from, to, 1, BYTES) });
    }
    Ok(plan)
}

fn judge(case: &Case<'_>, findings: &mut Findings) {
    let (plan, outcome) = (case.plan, case.outcome);
    findings.demand_all_taken(case);
    findings.demand_all_once(outcome);
    let Some(split) = plan.faults.first().filter(|_| !plan.flows.is_empty()) else {
        return cannot_judge(findings, "a partition and messages are needed");
    };
    let (mut within_us, mut across_us, mut early) = (0, 0, 0);
    for (flow, report) in plan.flows.iter().zip(&outcome.flow_reports) {
        let Some(at_us) = report.first_delivered_us else { continue };
        if side_of(flow.from) != side_of(flow.to) {
            across_us = u64::max(across_us, at_us.saturating_sub(split.end_us));
            early += u64::from(at_us < split.end_us);
        } else if flow.start_us >= split.start_us + NOTICED_US {
            within_us = u64::max(within_us, at_us.saturating_sub(flow.start_us));
        }
    }
    findings.share("longest_within_ms", within_us * 1_000);
    findings.share("last_after_healing_s", across_us);
    mesh::note_loops(findings, outcome);
    findings.demand(early == 0, Verdict::Resource, || format!("{early} messages crossed a partition"));
    findings.demand(within_us <= WITHIN_US, Verdict::Liveness, || {
        format!("a message within a part took {within_us} us; {WITHIN_US} us were promised")
    });
    findings.demand(across_us <= PROMISED_US, Verdict::Liveness, || {
        format!("the last message came {across_us} us after the healing; {PROMISED_US} us were promised")
    });
}
