//! Power comes back in a village, and everybody picks up the telephone at once.
//!
//! Fifty nodes start in the same moment and know nobody but who is beside them; from that moment on a hundred pings a second go
//! between random pairs. How long until nearly all are answered? The procedure is that of meshnet-lab's `convergence1`: of
//! 200 pings sent in the two seconds after a moment those count whose answer is back within a second. It matters because a
//! network that needs minutes to find itself is never found by people who move.
//!
//! Promised: from two seconds after the start on, 99 of 100 are answered, on a line, on a grid and on a random tree.

use simulator::Verdict;
use simulator::plan::Plan;

use super::{MINUTE, SECOND, cannot_judge, mesh};
use crate::fail::Usage;
use crate::params::{Key, Params};
use crate::scenario::{Case, Findings, Scenario};
use crate::topology::shapes;

const SHAPE: Key = Key { name: "shape", default: "grid4", help: "line, star, grid4, grid8, rtree or rgg" };

/// Nodes, unless somebody says otherwise.
const NODES: u32 = 50;
/// Pings are sent for so long, and so often.
const TALK_US: u64 = 12 * SECOND;
const EVERY_US: u64 = SECOND / 100;
/// Those of so long count together.
const WINDOW_US: u64 = 2 * SECOND;
/// So often a window begins.
const STEP_US: u64 = SECOND / 10;
/// So many of a million are nearly all.
const NEARLY_ALL_PPM: u64 = 990_000;
/// By then nearly all are answered.
const PROMISED_US: u64 = 2 * SECOND;

/// See the module.
pub const SCENARIO: Scenario = Scenario {
    name: "convergence",
    shows: "50 nodes start at once and ping from the first moment on: how soon 99 of 100 are answered",
    keys: &[SHAPE, mesh::FOUND],
    takes_nodes: true,
    takes_duration: false,
    takes_topology: false,
    plan,
    judge,
    quick: |params| params,
};

fn plan(params: &Params) -> Result<Plan, Usage> {
    let shape = params.one_of(&SHAPE, &shapes::NAMES)?;
    let nodes = params.nodes_within(NODES, 3..=2_000)?;
    let topology = mesh::shape(shape, nodes, params.seed)?;
    let mut plan = Plan::new(SCENARIO.name, params.seed, TALK_US + WINDOW_US);
    plan.calm_us = MINUTE;
    mesh::add_network(&mut plan, &topology, false, None);
    mesh::find_each_other(&mut plan, params)?;
    let pings = TALK_US / EVERY_US;
    let pairs = mesh::pairs(&mesh::neighbours(&plan), params.seed, pings);
    for (number, &pair) in (0..).zip(&pairs) {
        mesh::add_ping(&mut plan, pair, number * EVERY_US);
    }
    Ok(plan)
}

fn judge(case: &Case<'_>, findings: &mut Findings) {
    let (plan, outcome) = (case.plan, case.outcome);
    findings.demand_all_once(outcome);
    let pings: Vec<mesh::Ping> = mesh::pings(plan, outcome).collect();
    let window = |start_us: u64| {
        let within = pings.iter().filter(|ping| (start_us..start_us + WINDOW_US).contains(&ping.sent_us));
        mesh::answered_ppm(within, mesh::LATE_US)
    };
    let Some(last_us) = pings.last().and_then(|ping| ping.sent_us.checked_sub(WINDOW_US)) else {
        return cannot_judge(findings, "pings of two seconds are needed");
    };
    // After the last window that was not enough.
    let bad = (0..=last_us / STEP_US).rev().find(|&step| window(step * STEP_US) < NEARLY_ALL_PPM);
    let converged_us = bad.map_or(0, |step| (step + 1) * STEP_US);
    findings.share("seconds_to_99", converged_us);
    findings.share("delivered_percent_at_once", window(0) * 100);
    findings.demand(converged_us <= PROMISED_US, Verdict::Liveness, || {
        format!("99 of 100 pings were answered from {converged_us} us on; {PROMISED_US} us were promised")
    });
    mesh::note_ways(findings, plan, outcome);
    let sent: u64 = outcome.node_reports.iter().map(|report| report.bytes_sent).sum();
    findings.count("sent_bytes_per_node", sent / u64::from(outcome.nodes).max(1));
}
