//! A town that grows: what does a house pay for it?
//!
//! Several towns of one kind stand side by side, each with a quarter of the houses of the one before, and none knows of the others.
//! All nodes start at once. For a quarter of the time they find each other; for a quarter nobody says anything, and what they
//! send then is what the town costs; in the second half as many pings as there are nodes go between random pairs that are two
//! hops or more apart, and count when the answer is back within a second, and 10 ms for each hop across a square of so many
//! nodes, there and back. Bytes count with 62 for the lower headers of each packet, as the published figures have it; state
//! is what the map and its neighbours take in a node's memory. From all sizes together follows how both grow: as the number
//! of nodes to the power of an exponent, fitted by least squares over the logarithms.
//!
//! Promised: 99.9 % are answered, and at most 300 B/s a node are sent while nobody says anything. Beyond 2,000 nodes: at most
//! 64 KiB of state at every node. Records are still too large for that: see decision 0009.

use std::collections::BTreeSet;
use std::ops::Range;

use serde_json::json;
use simulator::draw::{Lot, Purpose};
use simulator::plan::Plan;
use simulator::{Outcome, Verdict};

use super::{MINUTE, SECOND, cannot_judge, mesh};
use crate::fail::Usage;
use crate::params::{Key, Params};
use crate::scenario::{Case, Findings, Scenario};
use crate::topology::shapes;

const SHAPE: Key = Key { name: "shape", default: "rgg", help: "grid4 or rgg" };
const SIZES: Key =
    Key { name: "sizes", default: "4", help: "how many towns, each a quarter of the one before, 1 to 6" };
const ROUTERS: Key = Key {
    name: "routers",
    default: "0",
    help: "room for so many routers on the map of each node, 0 to 65535; 0: for all of its town",
};

/// Nodes of the largest town, unless somebody says otherwise.
const NODES: u32 = 1_000;
/// No town is smaller.
const LEAST: u32 = 16;
/// A quarter of the run.
const QUARTER_US: u64 = 100 * SECOND;
/// A ping is answered in time within so long for each hop of the longest way, there and back, and a second more.
const HOP_US: u64 = SECOND / 100;
/// So many of a million are answered.
const PROMISED_PPM: u64 = 999_000;
/// Bytes a second of a node when nobody speaks.
const MOST_BYTES_PER_S: u64 = 300;
/// Up to so many nodes each may know all others.
const ALL_KNOWN: u32 = 2_000;
/// Bytes of state beyond that.
const MOST_STATE: u64 = 64 * 1_024;

/// See the module.
pub const SCENARIO: Scenario = Scenario {
    name: "scale",
    shows: "networks of one shape and falling sizes: bytes and state a node, and the exponents by which they grow",
    keys: &[SHAPE, SIZES, ROUTERS],
    takes_nodes: true,
    takes_duration: false,
    takes_topology: false,
    plan,
    judge,
    quick: |params| Params { nodes: Some(64), ..params },
};

/// A town's nodes.
type Town = Range<u32>;

fn towns(largest: u32, sizes: u64) -> Vec<Town> {
    let mut towns: Vec<Town> = Vec::new();
    let mut size = largest;
    while (towns.len() as u64) < sizes && (size >= LEAST || towns.is_empty()) {
        let first = towns.last().map_or(0, |town| town.end);
        towns.push(first..first + size);
        size /= 4;
    }
    towns
}

/// The towns of a plan: its parts that hang together by their numbers, which is how they were made.
fn towns_of(plan: &Plan) -> Vec<Town> {
    let count = plan.node_count();
    let mut starts: BTreeSet<u32> = (0..count).collect();
    // No town ends between the ends of a link.
    let mut last: Vec<u32> = (0..count).collect();
    for peer in &plan.peers {
        let (low, high) = (peer.node.min(peer.to), peer.node.max(peer.to));
        last[low as usize] = last[low as usize].max(high);
    }
    let mut reaches = 0;
    for node in 0..count {
        if node > 0 && node <= reaches {
            starts.remove(&node);
        }
        reaches = reaches.max(last[node as usize]);
    }
    let starts: Vec<u32> = starts.into_iter().collect();
    let ends = starts.iter().copied().skip(1).chain([count]);
    starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect()
}

fn plan(params: &Params) -> Result<Plan, Usage> {
    let shape = params.one_of(&SHAPE, &["grid4", "rgg"])?;
    let largest = params.nodes_within(NODES, LEAST..=10_000)?;
    let sizes = params.number(&SIZES, 1..=6)?;
    let room = params.number(&ROUTERS, 0..=65_535)?;
    let towns = towns(largest, sizes);
    let mut plan = Plan::new(SCENARIO.name, params.seed, 4 * QUARTER_US);
    plan.calm_us = MINUTE;
    let mut links = Vec::new();
    for town in &towns {
        let network = mesh::shape(shape, town.end - town.start, params.seed)?;
        links.extend(network.links.iter().map(|link| (link.source + town.start, link.target + town.start)));
    }
    let count = towns.last().map_or(0, |town| town.end);
    mesh::add_network(&mut plan, &shapes::network(count, links), false, None);
    for town in &towns {
        let size = u64::from(town.end - town.start);
        for node in &mut plan.nodes[town.start as usize..town.end as usize] {
            let routers = if room == 0 { size } else { room };
            node.limits.insert("routers".to_owned(), routers);
            node.limits.insert("routing_bytes".to_owned(), 2_048 * routers);
        }
    }
    add_pings(&mut plan, &towns);
    Ok(plan)
}

/// In the second half, in each town as many pings between random pairs as it has nodes.
fn add_pings(plan: &mut Plan, towns: &[Town]) {
    let near = mesh::neighbours(plan);
    let connected = mesh::connected(plan, |_| true);
    let mut pings = Vec::new();
    for (town, number) in towns.iter().zip(3..) {
        let size = u64::from(town.end - town.start);
        let lot = Lot::new(plan.seed, Purpose::Plan, number);
        let at = |n: u64| town.start + lot.below(n, size) as u32;
        let drawn = (0..size * 8).map(|n| (at(2 * n), at(2 * n + 1)));
        let apart = drawn.filter(|&(from, to)| {
            from != to && connected(from, to) && !near.get(&from).is_some_and(|others| others.contains(&to))
        });
        let pairs = apart.take(size as usize).zip(0..);
        pings.extend(pairs.map(|(pair, n)| (pair, 2 * QUARTER_US + n * 2 * QUARTER_US / size)));
    }
    drop(connected);
    for (pair, start_us) in pings {
        mesh::add_ping(plan, pair, start_us);
    }
}

/// What a town came to.
#[derive(Clone, Copy, Debug)]
struct Cost {
    nodes: u64,
    /// Bytes a second and node when nobody speaks, in millionths.
    quiet_ppm: u64,
    /// The same while there are pings, these included.
    busy_ppm: u64,
    /// Bytes of a node until all know each other.
    start_bytes: u64,
    state_mean: u64,
    state_max: u64,
    delivered_ppm: u64,
}

fn cost(plan: &Plan, outcome: &Outcome, town: &Town, pings: &[mesh::Ping]) -> Cost {
    let nodes = u64::from(town.end - town.start).max(1);
    let reports = outcome.node_reports.get(town.start as usize..town.end as usize).unwrap_or(&[]);
    let sent = |quarters: Range<usize>| {
        let of_node = |report: &simulator::NodeReport| {
            let quarters = report.sent_by_quarter[quarters.clone()].iter();
            quarters.map(|&(packets, bytes)| bytes + mesh::LOWER_HEADERS * packets).sum::<u64>()
        };
        reports.iter().map(of_node).sum::<u64>()
    };
    let quarter_s = (plan.duration_us / 4 / SECOND).max(1);
    let states = || reports.iter().map(|report| report.routing_bytes);
    let here: Vec<mesh::Ping> = pings.iter().filter(|ping| town.contains(&ping.from)).copied().collect();
    Cost {
        nodes,
        quiet_ppm: sent(1..2) * 1_000 / nodes / quarter_s * 1_000,
        busy_ppm: sent(2..4) * 1_000 / nodes / (2 * quarter_s) * 1_000,
        start_bytes: sent(0..1) / nodes,
        state_mean: states().sum::<u64>() / nodes,
        state_max: states().max().unwrap_or(0),
        delivered_ppm: mesh::answered_ppm(&here, within_us(nodes)),
    }
}

/// How long an answer may take in a town of so many nodes: the way across a square of them, there and back, and what the first
/// message takes beside it.
fn within_us(nodes: u64) -> u64 {
    SECOND + 2 * nodes.isqrt() * HOP_US
}

/// The power of the number of nodes by which a quantity grows: the slope of its logarithm over theirs, by least squares.
/// `None` for less than two sizes, or where there is nothing.
fn exponent(points: &[(u64, u64)]) -> Option<f64> {
    if points.len() < 2 || points.iter().any(|&(nodes, value)| nodes == 0 || value == 0) {
        return None;
    }
    let logs: Vec<(f64, f64)> = points.iter().map(|&(x, y)| ((x as f64).ln(), (y as f64).ln())).collect();
    let count = logs.len() as f64;
    let (x_mean, y_mean) =
        logs.iter().fold((0.0, 0.0), |(x_sum, y_sum), (x, y)| (x_sum + x / count, y_sum + y / count));
    let (over, under) = logs.iter().fold((0.0, 0.0), |(over, under), (x, y)| {
        (over + (x - x_mean) * (y - y_mean), under + (x - x_mean).powi(2))
    });
    // To three places: logarithms differ in their last bit from machine to machine.
    (under > 0.0).then(|| (over / under * 1_000.0).round() / 1_000.0)
}

fn judge(case: &Case<'_>, findings: &mut Findings) {
    let (plan, outcome) = (case.plan, case.outcome);
    findings.demand_all_taken(case);
    findings.demand(outcome.duplicates == 0, Verdict::Safety, || {
        format!("{} messages were delivered more than once", outcome.duplicates)
    });
    let pings: Vec<mesh::Ping> = mesh::pings(plan, outcome).collect();
    if pings.is_empty() {
        return cannot_judge(findings, "nobody pings");
    }
    let mut costs: Vec<Cost> = Vec::new();
    for town in towns_of(plan) {
        costs.push(cost(plan, outcome, &town, &pings));
    }
    costs.sort_unstable_by_key(|cost| core::cmp::Reverse(cost.nodes));
    // Of a geometric town some houses may stand apart.
    costs.retain(|cost| cost.nodes >= u64::from(LEAST));
    for cost in &costs {
        demand(findings, cost);
        findings.said.push(sentence(cost));
    }
    let Some(largest) = costs.first() else { return cannot_judge(findings, "there is no town") };
    findings.count("nodes", largest.nodes);
    findings.share("delivered_percent", largest.delivered_ppm * 100);
    findings.share("quiet_bytes_per_node_per_s", largest.quiet_ppm);
    findings.share("tx_bytes_per_node_per_s", largest.busy_ppm);
    findings.count("start_bytes_per_node", largest.start_bytes);
    findings.count("state_bytes_mean", largest.state_mean);
    findings.count("state_bytes_max", largest.state_max);
    let grown =
        |of: fn(&Cost) -> u64| exponent(&costs.iter().map(|cost| (cost.nodes, of(cost))).collect::<Vec<_>>());
    findings.note("state_exponent", grown(|cost| cost.state_mean));
    findings.note("quiet_bytes_exponent", grown(|cost| cost.quiet_ppm));
    findings.note("start_bytes_exponent", grown(|cost| cost.start_bytes));
    findings.note("by_size", costs.iter().map(as_json).collect::<Vec<_>>());
    mesh::note_ways(findings, plan, outcome);
}

fn demand(findings: &mut Findings, cost: &Cost) {
    let nodes = cost.nodes;
    findings.demand(cost.delivered_ppm >= PROMISED_PPM, Verdict::Liveness, || {
        let answered = cost.delivered_ppm;
        format!(
            "of {nodes} nodes {answered} ppm of the pings were answered in time; {PROMISED_PPM} were promised"
        )
    });
    findings.demand(cost.quiet_ppm <= MOST_BYTES_PER_S * 1_000_000, Verdict::Resource, || {
        let sent = cost.quiet_ppm / 1_000_000;
        format!("each of {nodes} quiet nodes sends {sent} B/s; at most {MOST_BYTES_PER_S} were promised")
    });
    let most = if nodes > u64::from(ALL_KNOWN) { MOST_STATE } else { u64::MAX };
    findings.demand(cost.state_max <= most, Verdict::Resource, || {
        let state = cost.state_max;
        format!("one of {nodes} nodes holds {state} bytes of its map; at most {most} were promised")
    });
}

fn sentence(cost: &Cost) -> String {
    format!(
        "{} nodes: {}.{:02} B/s a node while quiet, {} bytes of state (at most {}), {}.{:04} % answered",
        cost.nodes,
        cost.quiet_ppm / 1_000_000,
        cost.quiet_ppm % 1_000_000 / 10_000,
        cost.state_mean,
        cost.state_max,
        cost.delivered_ppm / 10_000,
        cost.delivered_ppm % 10_000,
    )
}

fn as_json(cost: &Cost) -> serde_json::Value {
    json!({
        "nodes": cost.nodes,
        "quiet_bytes_per_node_per_s": crate::scenario::decimal(cost.quiet_ppm),
        "tx_bytes_per_node_per_s": crate::scenario::decimal(cost.busy_ppm),
        "start_bytes_per_node": cost.start_bytes,
        "state_bytes_mean": cost.state_mean,
        "state_bytes_max": cost.state_max,
        "delivered_percent": crate::scenario::decimal(cost.delivered_ppm * 100),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exponent_is_that_of_the_law() {
        let law =
            |power: u32| (1..5).map(|n| (4_u64.pow(n), 7 * 4_u64.pow(n).pow(power))).collect::<Vec<_>>();
        assert_eq!(exponent(&law(1)), Some(1.0));
        assert_eq!(exponent(&law(2)), Some(2.0));
        assert_eq!(exponent(&law(0)), Some(0.0));
        assert_eq!(exponent(&[(100, 50), (10_000, 500)]), Some(0.5));
        assert_eq!(exponent(&[(100, 50)]), None);
        assert_eq!(exponent(&[(100, 50), (400, 0)]), None);
    }

    #[test]
    fn towns_are_found_again_in_the_plan() {
        let params = Params { nodes: Some(300), ..Params::seed(3) }.with("shape", "grid4");
        let plan = SCENARIO.make(&params).unwrap();
        assert_eq!(towns_of(&plan), [0..300, 300..375, 375..393]);
        assert_eq!(plan.flows.len(), 2 * 393);
        for flow in &plan.flows {
            let town = towns_of(&plan).into_iter().find(|town| town.contains(&flow.from)).unwrap();
            assert!(town.contains(&flow.to), "{} and {} are in one town", flow.from, flow.to);
        }
    }
}
