//! A real village that talks across itself: every node speaks to somebody whom it does not hear.
//!
//! The same untidy map as in `freifunk-neighbours`, and now the nodes pass on for each other. Nobody is told who is where:
//! each node knows its neighbours, and what these say. The procedure is that of meshnet-lab's `freifunk1`, by which eight
//! protocols were measured on these maps: all nodes start at once; for 300 s nobody says anything; then, within 300 s, as many
//! pings as there are nodes go between random pairs that are connected and two hops or more apart, and count when the answer
//! is back within a second. Why it matters: this is what a mesh is for, and on the larger of these maps most protocols fail.
//!
//! Promised: on links that lose nothing every ping is answered in time, on every connected network of up to 2,000 nodes. On links
//! that lose what was measured every ping is answered, and within 5 s 99.9 % of those that have a usable path: one of links that
//! bring a tenth of the packets or more, each way. Some bring one of a hundred; their ends need an hour to find each other.
//! What a node sends in the second half is told with 62 bytes for the lower headers of each packet, as the published figures
//! have it.

use simulator::Verdict;
use simulator::plan::Plan;

use super::{HOUR, MINUTE, SECOND, cannot_judge, mesh};
use crate::fail::Usage;
use crate::params::{Key, Params};
use crate::scenario::{Case, Findings, Scenario};
use crate::topology::{Topology, TopologyLink};

const QUALITY: Key = Key {
    name: "quality",
    default: "perfect",
    help: "perfect: nothing is lost; measured: each direction loses what the file says",
};
const PINGS: Key =
    Key { name: "pings", default: "0", help: "pings in all, 1 to 100000; 0: one for each node" };

/// Nobody speaks for so long; then everybody within as long again.
const SETTLE_US: u64 = 5 * MINUTE;
/// On links that lose, so many of a million are answered within so long.
const MEASURED: (u64, u64) = (999_000, 5 * SECOND);
/// A link that loses more is not counted on.
const USABLE_PPM: u32 = 900_000;
/// After the storm everything ends at last; two ends that hear one packet of 125 find each other within a quarter of an hour on
/// the average.
const CALM_US: u64 = 12 * HOUR;

/// See the module.
pub const SCENARIO: Scenario = Scenario {
    name: "freifunk",
    shows: "a real network's graph (--topology FILE): pings over many hops between random pairs, and what routing costs",
    keys: &[QUALITY, PINGS],
    takes_nodes: false,
    takes_duration: false,
    takes_topology: true,
    plan,
    judge,
    quick: |params| params,
};

/// A small village to use when no file is given: a ring with a tail.
fn village() -> Topology {
    let link = |source, target| TopologyLink { source, target, there_ppm: 1_000_000, back_ppm: 1_000_000 };
    let mut links: Vec<TopologyLink> = (0..11).map(|node| link(node, node + 1)).collect();
    links.push(link(0, 8));
    let nodes = (0..12).map(crate::topology::NodeName::Number).collect();
    Topology { nodes, links, ..Topology::default() }
}

fn plan(params: &Params) -> Result<Plan, Usage> {
    let measured = params.one_of(&QUALITY, &["perfect", "measured"])? == "measured";
    let fallback = village();
    let topology = params.topology.as_ref().map_or(&fallback, |(_, topology)| topology);
    let mut plan = Plan::new(SCENARIO.name, params.seed, 2 * SETTLE_US);
    (plan.calm_us, plan.expect.sessions) = if measured { (CALM_US, false) } else { (MINUTE, true) };
    mesh::add_network(&mut plan, topology, measured, None);
    let count = match params.number(&PINGS, 0..=100_000)? {
        0 => topology.nodes.len() as u64,
        given => given,
    };
    let pairs = mesh::pairs(&mesh::neighbours(&plan), params.seed, count);
    if pairs.is_empty() {
        let place = params.topology.as_ref().map_or("the village", |(path, _)| path);
        return Err(Usage::new("no two nodes are two hops apart", place, "give a larger network"));
    }
    for (number, &pair) in (0..).zip(&pairs) {
        mesh::add_ping(&mut plan, pair, SETTLE_US + number * SETTLE_US / count);
    }
    Ok(plan)
}

fn judge(case: &Case<'_>, findings: &mut Findings) {
    let (plan, outcome) = (case.plan, case.outcome);
    findings.demand_all_taken(case);
    findings.demand_all_once(outcome);
    let all: Vec<mesh::Ping> = mesh::pings(plan, outcome).collect();
    if all.is_empty() {
        return cannot_judge(findings, "nobody pings");
    }
    let has_usable_path =
        mesh::connected(plan, |link| link.loss_there_ppm <= USABLE_PPM && link.loss_back_ppm <= USABLE_PPM);
    let usable: Vec<mesh::Ping> =
        all.iter().copied().filter(|ping| has_usable_path(ping.from, ping.to)).collect();
    let lossless = plan.links.iter().all(|link| link.loss_there_ppm == 0 && link.loss_back_ppm == 0);
    let (needed_ppm, within_us) = if lossless { (1_000_000, mesh::LATE_US) } else { MEASURED };
    let answered_ppm = mesh::answered_ppm(&usable, within_us);
    findings.demand(answered_ppm >= needed_ppm, Verdict::Liveness, || {
        format!(
            "{answered_ppm} ppm of {} pings were answered within {within_us} us; {needed_ppm} were promised",
            usable.len()
        )
    });
    findings.count("pings", all.len() as u64);
    findings.count("pings_without_usable_path", (all.len() - usable.len()) as u64);
    findings.share("delivered_percent", mesh::answered_ppm(&all, mesh::LATE_US) * 100);
    findings.share("answered_within_5_s_percent", mesh::answered_ppm(&usable, 5 * SECOND) * 100);
    mesh::note_ways(findings, plan, outcome);
    mesh::note_sent(findings, plan, outcome);
}
