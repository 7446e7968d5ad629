//! Ten of a thousand fall silent in the same moment, and all the others are to know it soon, and nothing wrong.
//!
//! A town in which each house looks after a few others. A thousand houses are quiet for a while, one word in a hundred is lost, and in all
//! that time nobody may be taken for dead who is there. Then ten go dark at once. Those who look after them ask, and ask others to ask;
//! then the word goes round, and whoever is wrongly named has time to speak up. It matters because leaders, storage and routes are chosen among
//! those who are there: a dead one on the list costs time, a living one struck off costs trust.
//!
//! Promised: each of the ten is suspected by somebody within 3 s, and removed by everybody within 10 s; nobody else is ever removed.

use std::collections::BTreeSet;

use simulator::Verdict;
use simulator::draw::{Lot, Purpose};
use simulator::plan::{Fault, Plan, What};

use super::{HOUR, MINUTE, SECOND, cannot_judge, mesh};
use crate::fail::Usage;
use crate::params::{Key, Params};
use crate::scenario::{Case, Findings, Scenario};
use crate::topology::shapes;

const SHAPE: Key = Key {
    name: "shape",
    default: "rgg",
    help: "line, grid4, grid8, rtree or rgg, where no --topology is given",
};
const LOSS: Key = Key { name: "loss", default: "1%", help: "loss of every link, each way, 0 to 30 per cent" };
const KILLED: Key = Key { name: "killed", default: "10", help: "nodes that fall silent at once, 1 to 100" };
const QUIET: Key = Key {
    name: "quiet",
    default: "2min",
    help: "how long all are there before, once everybody knows everybody; up to 24h, which is promised",
};

/// Nodes, unless somebody says otherwise.
const NODES: u32 = 1_000;
/// The network is left alone for so long, to draw its map and to learn who belongs to it.
const SETTLE_US: u64 = 2 * MINUTE;
/// What is known this long after is what counts.
const AFTER_US: u64 = 30 * SECOND;
const SUSPECTED_US: u64 = 3 * SECOND;
const REMOVED_US: u64 = 10 * SECOND;

/// See the module.
pub const SCENARIO: Scenario = Scenario {
    name: "failure-detection",
    shows: "1,000 members, 1 % loss, 10 fall silent at once: first suspicion, removal by all, and nobody removed who is there",
    keys: &[SHAPE, LOSS, KILLED, QUIET],
    takes_nodes: true,
    takes_duration: false,
    takes_topology: true,
    plan,
    judge,
    quick: |params| Params { nodes: Some(40), ..params }.with("killed", "3").with("quiet", "10s"),
};

fn plan(params: &Params) -> Result<Plan, Usage> {
    let nodes = params.nodes_within(NODES, 5..=5_000)?;
    let shape = params.one_of(&SHAPE, &shapes::NAMES)?;
    let loss_ppm = params.share_ppm(&LOSS, 300_000)?;
    let killed = params.number(&KILLED, 1..=100)?;
    let quiet_us = params.span_us(&QUIET, 24 * HOUR)?;
    let drawn = mesh::shape(shape, nodes, params.seed)?;
    let topology = params.topology.as_ref().map_or(&drawn, |(_, topology)| topology);
    let silent_us = SETTLE_US + quiet_us;
    let mut plan = Plan::new(SCENARIO.name, params.seed, silent_us + AFTER_US);
    plan.calm_us = MINUTE;
    mesh::add_network(&mut plan, topology, false, None);
    mesh::make_members(&mut plan, 0);
    mesh::lose(&mut plan, loss_ppm);
    let gone = victims(&plan, killed);
    if (gone.len() as u64) < killed {
        return Err(Usage::new(
            format!("the network falls apart without {killed} nodes"),
            format!("--set killed={killed}"),
            "give a smaller number, or a network with more links",
        ));
    }
    for (&node, id) in gone.iter().zip(1..) {
        // It does not come back: who is outside the core stands still when the storm is over.
        let what = What::Crash { node, down_us: HOUR };
        plan.faults.push(Fault { id, start_us: silent_us, end_us: plan.duration_us, what });
    }
    plan.expect.core = (0..plan.node_count()).filter(|node| !gone.contains(node)).collect();
    Ok(plan)
}

/// Random nodes without which the others still hang together.
fn victims(plan: &Plan, count: u64) -> BTreeSet<u32> {
    let lot = Lot::new(plan.seed, Purpose::Plan, 5);
    let mut order: Vec<u32> = (0..plan.node_count()).collect();
    order.sort_by_key(|&node| lot.at(u64::from(node)));
    let core = mesh::core(plan);
    let mut near = mesh::neighbours(plan);
    near.retain(|node, _| core.contains(node));
    let mut gone = BTreeSet::new();
    for node in order.into_iter().filter(|node| core.contains(node)) {
        if gone.len() as u64 == count {
            break;
        }
        let mut rest = near.clone();
        rest.remove(&node);
        rest.values_mut().for_each(|others| {
            others.remove(&node);
        });
        let connected =
            rest.keys().next().is_some_and(|&first| mesh::hops_from(&rest, first).len() == rest.len());
        if connected && rest.len() > 1 {
            near = rest;
            gone.insert(node);
        }
    }
    gone
}

fn judge(case: &Case<'_>, findings: &mut Findings) {
    let (plan, outcome) = (case.plan, case.outcome);
    let gossip = &outcome.gossip;
    let gone: BTreeSet<u32> = plan.faults.iter().filter_map(|fault| fault.what.node()).collect();
    if gone.is_empty() {
        return cannot_judge(findings, "somebody has to fall silent");
    }
    let survivors = (mesh::core(plan).len() as u64).saturating_sub(gone.len() as u64);
    let (mut suspected_us, mut removed_us, mut known_to_all) = (0, 0, 0);
    for node in &gone {
        let found = gossip.members.get(node).copied().unwrap_or_default();
        let after = |us: Option<u64>| Some(us?.saturating_sub(found.off_us?));
        let (suspected, removed) = (after(found.first_suspected_us), after(found.last_removed_us));
        findings.demand(suspected.is_some_and(|us| us <= SUSPECTED_US), Verdict::Liveness, || {
            format!("node {node} was suspected after {suspected:?} us; {SUSPECTED_US} us were promised")
        });
        let by_all = found.removed_by == survivors;
        findings.demand(by_all && removed.is_some_and(|us| us <= REMOVED_US), Verdict::Liveness, || {
            let by = found.removed_by;
            format!("node {node} was removed by {by} of {survivors}, the last after {removed:?} us; {REMOVED_US} us were promised")
        });
        suspected_us = suspected_us.max(suspected.unwrap_or(u64::MAX));
        removed_us = removed_us.max(removed.unwrap_or(u64::MAX));
        known_to_all += u64::from(by_all);
    }
    let wrong = gossip.removed_alive + gossip.removed_excused;
    findings
        .demand(wrong == 0, Verdict::Safety, || format!("{wrong} times a member was removed that was there"));
    findings.count("core", survivors + gone.len() as u64);
    findings.count("killed", gone.len() as u64);
    findings.count("removed_by_all", known_to_all);
    findings.count("last_first_suspicion_us", suspected_us);
    findings.count("last_removal_us", removed_us);
    findings.count("suspected_alive", gossip.suspected_alive);
    findings.count("removed_alive", wrong);
    findings.count("bytes_per_node_per_s", outcome.bytes_per_node_per_second());
}
