//! A real village: the map that a community network drew of itself, with what each direction loses.
//!
//! Nobody designed this graph. One node is on the church tower and has three hundred neighbours, one
//! hears its only neighbour in one packet of a hundred, some links carry one direction only, some
//! none, and parts of the village are connected to nobody. It matters because this is the real
//! input: a mesh that works on rings and grids works nowhere.
//!
//! What must hold: each direction loses what the file says; every node keeps a session with every
//! neighbour that it can reach in both directions, and at the end all of them are up.
//!
//! Promised: with every such neighbour, 100 messages each way, every one exactly once. The report says
//! which links carry one direction only (`one_way_links`) and which none (`dead_links`).

use std::collections::BTreeSet;

use simulator::Verdict;
use simulator::plan::units::{LONGEST_SPAN_US, show_span};
use simulator::plan::{FlowPlan, LinkKind, LinkPlan, Plan};

use super::{HOUR, MINUTE, SECOND, mesh};
use crate::fail::Usage;
use crate::params::{Key, Params};
use crate::scenario::{Case, Findings, Scenario};
use crate::topology::{Topology, TopologyLink};

const MESSAGES: Key =
    Key { name: "messages", default: "100", help: "messages each way over each link, 1 to 100000" };
const BYTES: Key = Key { name: "bytes", default: "100", help: "bytes of each message, 0 to 65536" };

/// When the first message is due, and how long after it the next may be (a random pace takes up to twice its mean).
const START_US: u64 = SECOND;
const LONGEST_PAUSE_US: u64 = 2 * SECOND;
/// Eager calls are this far apart, jitter included (`session/pace.rs`), and a round of them has so many.
const CALL_US: u64 = 54_000;
const CALLS_OF_A_ROUND: u64 = MINUTE / CALL_US;
/// What a message of class normal is given anyhow: three days (`docs/src/spec/messages.md`).
const LIFETIME_US: u64 = 72 * HOUR;
/// No packet arrives.
const NEVER_PPM: u32 = 1_000_000;

/// See the module.
pub const SCENARIO: Scenario = Scenario {
    name: "freifunk-neighbours",
    shows: "a real network's graph and losses (--topology FILE): sessions and 100 messages with every neighbour, all once",
    keys: &[MESSAGES, BYTES],
    takes_nodes: false,
    takes_duration: true,
    takes_topology: true,
    plan,
    judge,
    quick: |params| params.with("messages", "20"),
};

/// A small village to use when no file is given: every kind of link that real files have, and a part
/// that is connected to nobody else.
fn village() -> Topology {
    let link = |source, target, there_ppm, back_ppm| TopologyLink { source, target, there_ppm, back_ppm };
    Topology {
        nodes: (0..9).map(crate::topology::NodeName::Number).collect(),
        links: vec![
            link(0, 1, 1_000_000, 1_000_000),
            link(0, 2, 894_000, 894_000),
            link(0, 3, 117_647, 149_020),
            link(1, 2, 376_000, 55_000),
            link(2, 3, 1_000_000, 250_000),
            link(3, 4, 600_000, 0),
            link(4, 5, 996_078, 800_000),
            link(5, 6, 0, 0),
            link(6, 7, 47_000, 43_000),
        ],
        ..Topology::default()
    }
}

fn plan(params: &Params) -> Result<Plan, Usage> {
    let count = params.number(&MESSAGES, 1..=100_000)?;
    let bytes = params.number(&BYTES, 0..=65_536)? as u32;
    let duration_us = params.duration_us.unwrap_or(5 * MINUTE);
    let needed_us = START_US + (count - 1) * LONGEST_PAUSE_US;
    if duration_us <= needed_us {
        return Err(Usage::new(
            format!(
                "{count} messages, each up to 2 s after the one before, do not fit into {}",
                show_span(duration_us)
            ),
            "--duration and --set messages",
            format!("give --duration {} or more, or fewer messages", show_span(needed_us + SECOND)),
        ));
    }
    let fallback = village();
    let topology = params.topology.as_ref().map_or(&fallback, |(_, topology)| topology);
    if let (Some((path, _)), true) = (&params.topology, topology.links.is_empty()) {
        return Err(Usage::new("no link connects two nodes", path, "give at least one link in `links`"));
    }
    let mut plan = Plan::new(SCENARIO.name, params.seed, duration_us);
    plan.expect.stop_early = true;
    for ((node, name), degree) in (0..).zip(&topology.nodes).zip(topology.degrees()) {
        let device = mesh::device(degree, degree);
        let as_usual = device.limits.is_empty();
        plan.nodes.push(device);
        if !as_usual && plan.limits(node).validate().is_err() {
            return Err(Usage::new(
                format!("node {name} has {degree} links, more than a node can have"),
                params.topology.as_ref().map_or("the village", |(path, _)| path),
                "leave some of them out",
            ));
        }
    }
    for edge in &topology.links {
        let mut link = LinkPlan::new(LinkKind::Wifi, &[edge.source, edge.target]);
        (link.loss_there_ppm, link.loss_back_ppm) = (NEVER_PPM - edge.there_ppm, NEVER_PPM - edge.back_ppm);
        plan.add_link(link);
        if edge.there_ppm == 0 || edge.back_ppm == 0 {
            continue;
        }
        let patience_us = patience_us(edge);
        plan.calm_us = plan.calm_us.max(patience_us);
        for (from, to) in [(edge.source, edge.target), (edge.target, edge.source)] {
            plan.add_peer(from, to);
            let flow = FlowPlan {
                start_us: START_US,
                every_us: LONGEST_PAUSE_US / 2,
                random_pace: true,
                // What waits for the session must not expire before there can be one.
                lifetime_us: Some(LONGEST_SPAN_US.min(plan.duration_us + patience_us.max(LIFETIME_US))),
                ..FlowPlan::new(from, to, count, bytes)
            };
            plan.flows.push(flow);
        }
    }
    Ok(plan)
}

/// What two neighbours may need, from the qualities of their link: twenty times the mean of what has to
/// happen by chance, which one run in 5 * 10^8 exceeds, and an hour for all that follows.
///
/// They call each other every 10 s until one call is heard. Then both call every 50 ms as long as they
/// hear each other, until a call and its answer both arrive, which is the product of the two qualities.
/// Where that ends before, because less than a call in 300 is heard, it begins again and again. No plan is
/// longer than [`LONGEST_SPAN_US`], which is too short for qualities below some 270 millionths.
fn patience_us(edge: &TopologyLink) -> u64 {
    let worse_ppm = u128::from(edge.there_ppm.min(edge.back_ppm));
    let heard_us = u128::from(10 * SECOND) * 1_000_000 / worse_ppm;
    let calls = 1_000_000_000_000 / (u128::from(edge.there_ppm) * u128::from(edge.back_ppm));
    let rounds = if worse_ppm > 1_000_000 / 300 { 1 } else { calls / u128::from(CALLS_OF_A_ROUND) + 1 };
    let needed_us = u128::from(HOUR) + 20 * (rounds * heard_us + calls * u128::from(CALL_US));
    u64::try_from(needed_us).map_or(LONGEST_SPAN_US, |us| us.min(LONGEST_SPAN_US))
}

fn judge(case: &Case<'_>, findings: &mut Findings) {
    let outcome = case.outcome;
    findings.demand_all_taken(case);
    findings.demand_all_once(outcome);
    for (at, peer) in case.plan.peers.iter().enumerate() {
        let up = outcome.session_up_us.get(at).copied().flatten().is_some();
        findings.demand(up, Verdict::Liveness, || {
            format!(
                "nodes {} and {} can reach each other and never had a session",
                name(case, peer.node),
                name(case, peer.to)
            )
        });
    }
    let (mut one_way, mut dead) = (Vec::new(), Vec::new());
    for link in &case.plan.links {
        let &[source, target] = link.members.as_slice() else { continue };
        let (there, back) = (link.loss_there_ppm < NEVER_PPM, link.loss_back_ppm < NEVER_PPM);
        let (source, target) = (name(case, source), name(case, target));
        match (there, back) {
            (true, true) => {}
            (true, false) => one_way.push(format!("{source} -> {target}")),
            (false, true) => one_way.push(format!("{target} -> {source}")),
            (false, false) => dead.push(format!("{source} -- {target}")),
        }
    }
    for link in &one_way {
        findings.said.push(format!("one-way link: {link}"));
    }
    for link in &dead {
        findings.said.push(format!("dead link: {link}"));
    }
    findings.count("links", case.plan.links.len() as u64);
    // Each pair is in the plan from both sides.
    let pairs: BTreeSet<_> =
        case.plan.peers.iter().map(|peer| (peer.node.min(peer.to), peer.node.max(peer.to))).collect();
    findings.count("neighbours", pairs.len() as u64);
    findings.note("one_way_links", one_way);
    findings.note("dead_links", dead);
    if let Some(topology) = case.topology {
        findings.count("components", topology.components() as u64);
        findings.count("self_links_left_out", u64::from(topology.self_links));
        findings.count("parallel_links_merged", u64::from(topology.merged_links));
        if topology.nodes_counted_from_zero {
            let said =
                "`nodes` counts from 0 and the links from 1: the links' numbers are taken for the nodes'";
            findings.said.push(said.to_owned());
        }
        if topology.nodes_ambiguous {
            findings.said.push("`nodes` names ids twice: the links alone say who there is".to_owned());
        }
    }
}

/// The node's name in the file, or its number.
fn name(case: &Case<'_>, node: u32) -> String {
    case.topology
        .and_then(|topology| topology.nodes.get(node as usize))
        .map_or_else(|| node.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_carry_next_to_nothing_make_a_plan() {
        for (there_ppm, back_ppm) in [(1, 1), (1, 1_000_000), (5, 4)] {
            let mut topology = village();
            topology.links[0] = TopologyLink { there_ppm, back_ppm, ..topology.links[0].clone() };
            let params = Params { topology: Some(("net.json".to_owned(), topology)), ..Params::seed(1) };
            let plan =
                SCENARIO.make(&params).unwrap_or_else(|usage| panic!("{there_ppm}, {back_ppm}: {usage}"));
            assert_eq!(Plan::from_toml(&plan.to_toml()).as_ref(), Ok(&plan));
            assert!(plan.calm_us >= 20 * 10 * SECOND * 1_000_000 / u64::from(there_ppm.min(back_ppm)));
        }
    }
}
