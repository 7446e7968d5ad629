//! The one on the hill, over whom everybody talked, falls silent in the middle of a word.
//!
//! Ten conversations go over the best relay of the network, a hundred messages a second each way; then it loses its power. Nobody
//! is told. It matters because the best relay is the one that is used most, and what is used most wears out first. With
//! `end=revoked` it does not stop: it was stolen, its owner revokes it, and nobody may send anything by it any more.
//!
//! Promised: traffic flows again within a second on links of 5 ms, and nothing that was sent is lost or comes twice.

use simulator::Verdict;
use simulator::draw::{Lot, Purpose};
use simulator::plan::{Fault, FlowPlan, Plan, What};

use super::{HOUR, MINUTE, SECOND, cannot_judge, mesh, planned_in_storm};
use crate::fail::Usage;
use crate::params::{Key, Params};
use crate::scenario::{Case, Findings, Scenario};

const SHAPE: Key = Key {
    name: "shape",
    default: "rgg",
    help: "grid4, grid8 or rgg: one that hangs together without any of its nodes",
};

const END: Key = Key {
    name: "end",
    default: "power",
    help: "power: the relay stops without a word; revoked: its papers are revoked and all are told, itself excepted",
};

/// Nodes, unless somebody says otherwise.
const NODES: u32 = 30;
/// Each link, one way.
const DELAY_US: u64 = 5_000;
/// The relay dies then.
const DEATH_US: u64 = MINUTE;
/// Conversations begin so long before, and go on so long after.
const TALK_US: u64 = 5 * SECOND;
/// Conversations, and the time between two messages of one.
const FLOWS: usize = 10;
const EVERY_US: u64 = SECOND / 100;
const BYTES: u32 = 100;
/// Traffic flows again by then.
const PROMISED_US: u64 = SECOND;

/// See the module.
pub const SCENARIO: Scenario = Scenario {
    name: "node-dies-under-traffic",
    shows: "the relay that most talk over stops without a word: how long until traffic flows again",
    keys: &[SHAPE, END],
    takes_nodes: true,
    takes_duration: false,
    takes_topology: false,
    plan,
    judge,
    quick: |params| params,
};

fn plan(params: &Params) -> Result<Plan, Usage> {
    let nodes = params.nodes_within(NODES, 5..=1_000)?;
    let shape = params.one_of(&SHAPE, &["grid4", "grid8", "rgg"])?;
    let topology = mesh::shape(shape, nodes, params.seed)?;
    let mut plan = Plan::new(SCENARIO.name, params.seed, DEATH_US + TALK_US);
    plan.calm_us = MINUTE;
    mesh::add_network(&mut plan, &topology, false, Some(DELAY_US));
    let near = mesh::neighbours(&plan);
    let Some((relay, pairs)) = mesh::best_relay(&near, nodes) else {
        let why = "no relay can be spared in this network";
        return Err(Usage::new(why, "--nodes", "give a larger network, or another seed"));
    };
    let lot = Lot::new(params.seed, Purpose::Plan, 4);
    for number in 0..FLOWS as u64 {
        let (from, to) = pairs[lot.between(number, 0, pairs.len() as u64 - 1) as usize];
        let count = 2 * TALK_US / EVERY_US;
        let flow = FlowPlan {
            start_us: DEATH_US - TALK_US,
            every_us: EVERY_US,
            ..FlowPlan::new(from, to, count, BYTES)
        };
        plan.flows.push(flow);
    }
    // Nothing is expected of it afterwards.
    plan.expect.core = (0..nodes).filter(|&node| node != relay).collect();
    let what = match params.one_of(&END, &["power", "revoked"])? {
        "revoked" => What::Revoke { node: relay },
        _ => What::Crash { node: relay, down_us: HOUR },
    };
    plan.faults.push(Fault { id: 1, start_us: DEATH_US, end_us: plan.duration_us, what });
    Ok(plan)
}

fn judge(case: &Case<'_>, findings: &mut Findings) {
    let outcome = case.outcome;
    findings.demand_taken(outcome, planned_in_storm(case.plan));
    findings.demand_all_once(outcome);
    let gap_us = outcome.flow_reports.iter().map(|flow| flow.longest_gap_us).max();
    let Some(gap_us) = gap_us.filter(|_| !case.plan.faults.is_empty()) else {
        return cannot_judge(findings, "flows and a death are needed");
    };
    findings.share("longest_gap_ms", gap_us * 1_000);
    findings.demand(gap_us <= PROMISED_US, Verdict::Liveness, || {
        format!("traffic stood still for {gap_us} us; at most {PROMISED_US} us were promised")
    });
    mesh::note_loops(findings, outcome);
}
