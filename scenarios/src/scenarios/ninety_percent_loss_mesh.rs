//! A mesh in which nine packets of ten are lost, on every link, in both directions.
//!
//! Thirty nodes on a grid, and every link is as bad as a link can be that this protocol is made for. Messages go over one to
//! five hops. It matters because losses multiply: if each relay passed on what it gets and forgot it, one packet of a hundred
//! thousand would cross five hops; so every hop has to be made good where it is bad.
//!
//! Promised: every message arrives, once. What it takes is told beside the least that is possible: a packet crosses such a link
//! with the tenth transmission on the average, so nobody delivers with fewer than ten a hop, and who has to know that it
//! arrived needs as many for the answer.

use simulator::draw::{Lot, Purpose};
use simulator::plan::{FlowPlan, Plan};

use super::{HOUR, MINUTE, cannot_judge, mesh};
use crate::fail::Usage;
use crate::params::{Key, Params};
use crate::scenario::{Case, Findings, Scenario};
use crate::topology::shapes;

const LOSS: Key =
    Key { name: "loss", default: "90%", help: "what each link loses each way, 0 to 95 per cent" };
const MESSAGES: Key = Key { name: "messages", default: "300", help: "messages in all, 1 to 10000" };

/// A grid of so many columns.
const COLUMNS: u32 = 6;
const NODES: u32 = 30;
/// The network has so long to find itself.
const SETTLE_US: u64 = 5 * MINUTE;
/// Then messages are sent for so long.
const TALK_US: u64 = 5 * MINUTE;
const MOST_HOPS: u32 = 5;
const BYTES: u32 = 100;

/// See the module.
pub const SCENARIO: Scenario = Scenario {
    name: "ninety-percent-loss-mesh",
    shows: "30 nodes, every link loses 90 % each way: messages over up to 5 hops, all once",
    keys: &[LOSS, MESSAGES],
    takes_nodes: false,
    takes_duration: false,
    takes_topology: false,
    plan,
    judge,
    quick: |params| params.with("messages", "50"),
};

fn plan(params: &Params) -> Result<Plan, Usage> {
    let loss_ppm = params.share_ppm(&LOSS, 950_000)?;
    let messages = params.number(&MESSAGES, 1..=10_000)?;
    let topology = shapes::grid4(NODES, COLUMNS);
    let mut plan = Plan::new(SCENARIO.name, params.seed, SETTLE_US + TALK_US);
    plan.calm_us = HOUR;
    mesh::add_network(&mut plan, &topology, false, None);
    for link in &mut plan.links {
        (link.loss_there_ppm, link.loss_back_ppm) = (loss_ppm, loss_ppm);
    }
    let near = mesh::neighbours(&plan);
    let lot = Lot::new(params.seed, Purpose::Plan, 5);
    for number in 0..messages {
        let from = lot.between(2 * number, 0, u64::from(NODES) - 1) as u32;
        let hops = mesh::hops_from(&near, from);
        let within: Vec<u32> = hops
            .into_iter()
            .filter(|(_, hops)| (1..=MOST_HOPS).contains(hops))
            .map(|(node, _)| node)
            .collect();
        let to = within[lot.between(2 * number + 1, 0, within.len() as u64 - 1) as usize];
        let start_us = SETTLE_US + number * TALK_US / messages;
        plan.flows.push(FlowPlan { start_us, ..FlowPlan::new(from, to, 1, BYTES) });
    }
    Ok(plan)
}

fn judge(case: &Case<'_>, findings: &mut Findings) {
    let (plan, outcome) = (case.plan, case.outcome);
    findings.demand_all_taken(case);
    findings.demand_all_once(outcome);
    if plan.flows.is_empty() {
        return cannot_judge(findings, "nobody sends");
    }
    let near = mesh::neighbours(plan);
    let hops: u64 = plan
        .flows
        .iter()
        .map(|flow| u64::from(mesh::hops_from(&near, flow.from).get(&flow.to).copied().unwrap_or(0)))
        .sum();
    findings.share("mean_hops", hops * 1_000_000 / plan.flows.len() as u64);
    findings.share("median_latency_ms", outcome.latency.quantile(500) * 1_000);
    findings.share("p99_latency_ms", outcome.latency.quantile(990) * 1_000);
    // What was sent while messages were, less what the same nodes sent before.
    let packets = |quarter: usize| -> u64 {
        outcome.node_reports.iter().map(|report| report.sent_by_quarter[quarter].0).sum()
    };
    let extra = (packets(2) + packets(3)).saturating_sub(2 * packets(1));
    findings.share("transmissions_a_delivery", extra * 1_000_000 / outcome.delivered.max(1));
    let loss_ppm = plan.links.iter().map(|link| u64::from(link.loss_there_ppm)).max().unwrap_or(0);
    let least_ppm = hops * 1_000_000 / plan.flows.len() as u64 * 1_000_000 / (1_000_000 - loss_ppm).max(1);
    findings.share("least_transmissions_a_delivery", least_ppm);
    findings.count("packets_that_came_back", outcome.routes.returned);
}
