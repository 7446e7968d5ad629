//! A real village that talks across itself: every node speaks to somebody whom it does not hear.
//!
//! The same untidy map as in `freifunk-neighbours`, and now the nodes pass on for each other. Nobody is told who is where:
//! each node knows its neighbours, and what these say. The procedure is that of meshnet-lab's `freifunk1`, by which eight
//! protocols were measured on these maps: all nodes start at once; for 300 s nobody says anything; then, within 300 s, as many
//! messages as there are nodes go between random pairs that are connected and two hops or more apart, and count when they
//! arrive within a second. Why it matters: this is what a mesh is for, and on the larger of these maps most protocols fail.
//!
//! Promised: on links that lose nothing every message arrives, on every connected network of up to 2,000 nodes. What a node
//! sends in the second half is told with 62 bytes for the lower headers of each packet, as the published figures have it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proto_core::limits::Limits;
use simulator::Verdict;
use simulator::draw::{Lot, Purpose};
use simulator::plan::{FlowPlan, LinkKind, LinkPlan, NodePlan, Plan, Profile};

use super::{MINUTE, SECOND};
use crate::fail::Usage;
use crate::params::{Key, Params};
use crate::scenario::{Case, Findings, Scenario};
use crate::topology::{Topology, TopologyLink};

const MEASURED: Key = Key {
    name: "measured",
    default: "0",
    help: "1: each direction loses what the file says; 0: nothing is lost",
};
const PINGS: Key =
    Key { name: "pings", default: "0", help: "messages in all, 1 to 100000; 0: one for each node" };

/// Nobody speaks for so long; then everybody within as long again.
const SETTLE_US: u64 = 5 * MINUTE;
/// A message that takes longer does not count.
const LATE_US: u64 = SECOND;
/// Bytes of a message: those of an echo request.
const BYTES: u32 = 56;
/// Ethernet, IPv6 and UDP.
const LOWER_HEADERS: u64 = 62;
const NEVER_PPM: u32 = 1_000_000;

/// See the module.
pub const SCENARIO: Scenario = Scenario {
    name: "freifunk",
    shows: "a real network's graph (--topology FILE): messages over many hops between random pairs, and what routing costs",
    keys: &[MEASURED, PINGS],
    takes_nodes: false,
    takes_duration: false,
    takes_topology: true,
    plan,
    judge,
    quick: |params| params,
};

/// A small village to use when no file is given: a ring with a tail.
fn village() -> Topology {
    let link = |source, target| TopologyLink { source, target, there_ppm: NEVER_PPM, back_ppm: NEVER_PPM };
    let mut links: Vec<TopologyLink> = (0..11).map(|node| link(node, node + 1)).collect();
    links.push(link(0, 8));
    let nodes = (0..12).map(crate::topology::NodeName::Number).collect();
    Topology { nodes, links, ..Topology::default() }
}

fn plan(params: &Params) -> Result<Plan, Usage> {
    let measured = params.number(&MEASURED, 0..=1)? == 1;
    let fallback = village();
    let topology = params.topology.as_ref().map_or(&fallback, |(_, topology)| topology);
    let mut plan = Plan::new(SCENARIO.name, params.seed, 2 * SETTLE_US);
    plan.calm_us = MINUTE;
    let count = topology.nodes.len() as u64;
    for degree in topology.degrees() {
        plan.nodes.push(device(degree, count));
    }
    for edge in &topology.links {
        let mut link = LinkPlan::new(LinkKind::Wifi, &[edge.source, edge.target]);
        link.delay_us = Some(SECOND / 1_000);
        if measured {
            (link.loss_there_ppm, link.loss_back_ppm) =
                (NEVER_PPM - edge.there_ppm, NEVER_PPM - edge.back_ppm);
        }
        plan.add_link(link);
        if !measured || edge.there_ppm > 0 && edge.back_ppm > 0 {
            plan.add_peer(edge.source, edge.target);
        }
    }
    let pings = match params.number(&PINGS, 0..=100_000)? {
        0 => count,
        given => given,
    };
    let pairs = pairs(&plan, params.seed, pings);
    if pairs.is_empty() {
        let place = params.topology.as_ref().map_or("the village", |(path, _)| path);
        return Err(Usage::new("no two nodes are two hops apart", place, "give a larger network"));
    }
    for (number, &(from, to)) in (0..).zip(&pairs) {
        let start_us = SETTLE_US + number * SETTLE_US / pings;
        plan.flows.push(FlowPlan { start_us, ..FlowPlan::new(from, to, 1, BYTES) });
    }
    Ok(plan)
}

/// A device with room for this many neighbours and routers.
fn device(degree: u32, routers: u64) -> NodePlan {
    let mut node = NodePlan { profile: Profile::Small, ..NodePlan::default() };
    node.limits.insert("routers".to_owned(), routers.max(1));
    node.limits.insert("routing_bytes".to_owned(), 2_048 * routers);
    let needed = u64::from(degree);
    if needed > u64::from(Limits::SMALL.links) {
        node.limits.insert("links".to_owned(), needed);
    }
    if needed > u64::from(Limits::SMALL.peers) / 2 {
        node.profile = Profile::Server;
    }
    node
}

/// Random pairs that are connected and at least two hops apart, by the sessions of the plan.
fn pairs(plan: &Plan, seed: u64, wanted: u64) -> Vec<(u32, u32)> {
    let mut near: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for peer in &plan.peers {
        near.entry(peer.node).or_default().insert(peer.to);
        near.entry(peer.to).or_default().insert(peer.node);
    }
    let sources: Vec<u32> = near.keys().copied().collect();
    let lot = Lot::new(seed, Purpose::Plan, 2);
    let mut pairs = Vec::new();
    for n in 0..4 * wanted {
        if pairs.len() as u64 == wanted || sources.is_empty() {
            break;
        }
        let from = sources[lot.between(2 * n, 0, sources.len() as u64 - 1) as usize];
        let far = far_from(&near, from);
        if !far.is_empty() {
            pairs.push((from, far[lot.between(2 * n + 1, 0, far.len() as u64 - 1) as usize]));
        }
    }
    pairs
}

/// Whoever is connected to a node and two hops or more away.
fn far_from(near: &BTreeMap<u32, BTreeSet<u32>>, from: u32) -> Vec<u32> {
    let mut hops = BTreeMap::from([(from, 0u32)]);
    let mut open = VecDeque::from([from]);
    while let Some(node) = open.pop_front() {
        for &next in &near[&node] {
            if !hops.contains_key(&next) {
                hops.insert(next, hops[&node] + 1);
                open.push_back(next);
            }
        }
    }
    hops.into_iter().filter(|&(_, hops)| hops >= 2).map(|(node, _)| node).collect()
}

fn judge(case: &Case<'_>, findings: &mut Findings) {
    let outcome = case.outcome;
    findings.demand_all_taken(case);
    findings.demand_all_once(outcome);
    let in_time = |at: usize| {
        let report = &outcome.flow_reports[at];
        let start_us = case.plan.flows[at].start_us;
        report.first_delivered_us.is_some_and(|us| us.saturating_sub(start_us) <= LATE_US)
    };
    let count = outcome.flow_reports.len();
    let punctual = (0..count).filter(|&at| in_time(at)).count() as u64;
    let delivered_ppm = punctual * 1_000_000 / (count as u64).max(1);
    let lossless = case.plan.links.iter().all(|link| link.loss_there_ppm == 0 && link.loss_back_ppm == 0);
    findings.demand(!lossless || delivered_ppm == 1_000_000, Verdict::Liveness, || {
        format!("{punctual} of {count} messages arrived within a second; all were promised")
    });
    let (packets, bytes) = outcome.node_reports.iter().fold((0, 0), |(packets, bytes), report| {
        let [_, _, third, last] = report.sent_by_quarter;
        (packets + third.0 + last.0, bytes + third.1 + last.1)
    });
    let seconds = SETTLE_US / SECOND;
    let per_node = |total: u64| total * 1_000 / u64::from(outcome.nodes).max(1) / seconds * 1_000;
    findings.share("delivered_percent", delivered_ppm * 100);
    findings.share("tx_bytes_per_node_per_s", per_node(bytes + LOWER_HEADERS * packets));
    findings.share("packets_per_node_per_s", per_node(packets));
    findings.count("messages", count as u64);
}
