//! Everybody has something to say, and everybody is to hear it.
//!
//! A town of a thousand houses in which ten times a second somebody, each time another, calls out something that all must hear: a
//! warning, a price, a result. Nobody hears more than the few houses around, and one word in five is lost on the way. Each tells those
//! with whom he is in exchange, most of them next door, some at the other end of the town and reached over others. It matters because agreement,
//! alarms and membership rest on it, and because the simple way (tell all whom you hear) costs each word as often as there are links.
//!
//! Promised: every node of the largest part that hangs together hears every broadcast from there once; and beside the payloads that are new no more than half as many come that are not.

use simulator::Verdict;
use simulator::draw::{Lot, Purpose};
use simulator::plan::{BroadcastPlan, Plan};

use super::{MINUTE, SECOND, cannot_judge, mesh};
use crate::fail::Usage;
use crate::params::{Key, Params};
use crate::scenario::{Case, Findings, Scenario};
use crate::topology::shapes;

const SHAPE: Key = Key {
    name: "shape",
    default: "rgg",
    help: "line, grid4, grid8, rtree or rgg, where no --topology is given",
};
const LOSS: Key =
    Key { name: "loss", default: "20%", help: "loss of every link, each way, 0 to 90 per cent" };
const RATE: Key =
    Key { name: "rate", default: "10", help: "broadcasts a second, all nodes together, 1 to 1000" };
const BYTES: Key = Key { name: "bytes", default: "200", help: "bytes of each, 24 to 4000" };

/// Nodes, unless somebody says otherwise.
const NODES: u32 = 1_000;
/// The network is left alone for so long, to draw its map and to learn who belongs to it.
const SETTLE_US: u64 = 2 * MINUTE;
/// Then there are broadcasts for so long.
const STORM_US: u64 = 30 * SECOND;
/// Payloads that come to a node for each that is new, in millionths.
const MOST_COPIES_PPM: u64 = 1_500_000;
/// What all talk about.
const TOPIC: u32 = 1;

/// See the module.
pub const SCENARIO: Scenario = Scenario {
    name: "broadcast-storm",
    shows: "1,000 nodes, ten broadcasts a second at 20 % loss: all hear all, once, and what that costs",
    keys: &[SHAPE, LOSS, RATE, BYTES],
    takes_nodes: true,
    takes_duration: true,
    takes_topology: true,
    plan,
    judge,
    quick: |params| Params { nodes: Some(40), duration_us: Some(5 * SECOND), ..params },
};

fn plan(params: &Params) -> Result<Plan, Usage> {
    let nodes = params.nodes_within(NODES, 3..=5_000)?;
    let shape = params.one_of(&SHAPE, &shapes::NAMES)?;
    let loss_ppm = params.share_ppm(&LOSS, 900_000)?;
    let rate = params.number(&RATE, 1..=1_000)?;
    let bytes = params.number(&BYTES, 24..=4_000)? as u32;
    let storm_us = params.duration_us.unwrap_or(STORM_US);
    let drawn = mesh::shape(shape, nodes, params.seed)?;
    let topology = params.topology.as_ref().map_or(&drawn, |(_, topology)| topology);
    let mut plan =
        Plan::new(SCENARIO.name, params.seed, SETTLE_US.saturating_add(storm_us).saturating_add(SECOND));
    plan.calm_us = 5 * MINUTE;
    mesh::add_network(&mut plan, topology, false, None);
    mesh::make_members(&mut plan, TOPIC);
    mesh::lose(&mut plan, loss_ppm);
    let core: Vec<u32> = mesh::core(&plan).into_iter().collect();
    let lot = Lot::new(params.seed, Purpose::Plan, 4);
    let count = rate.saturating_mul(storm_us) / SECOND;
    for number in 0..count.min(1_000_000) {
        let Some(&from) = core.get(lot.below(number, core.len() as u64) as usize) else { break };
        let start_us = SETTLE_US + number * SECOND / rate;
        let said = BroadcastPlan::new(from, 1, bytes, SECOND);
        plan.broadcasts.push(BroadcastPlan { topic: TOPIC, start_us, ..said });
    }
    Ok(plan)
}

fn judge(case: &Case<'_>, findings: &mut Findings) {
    let (plan, outcome) = (case.plan, case.outcome);
    let gossip = &outcome.gossip;
    let planned: u64 = plan.broadcasts.iter().map(|broadcast| broadcast.count).sum();
    let others = (mesh::core(plan).len() as u64).saturating_sub(1);
    if planned == 0 || others == 0 {
        return cannot_judge(findings, "broadcasts and somebody to hear them are needed");
    }
    findings.demand(gossip.said == planned, Verdict::Liveness, || {
        format!("the nodes took {} of {planned} broadcasts", gossip.said)
    });
    findings.demand(gossip.delivered == planned * others, Verdict::Liveness, || {
        format!("{} of {} deliveries were made; all were promised", gossip.delivered, planned * others)
    });
    let copies_ppm = mesh::copies_ppm(outcome);
    findings.demand(copies_ppm <= MOST_COPIES_PPM, Verdict::Resource, || {
        format!(
            "{copies_ppm} payloads came for a million that were new; {MOST_COPIES_PPM} at most were promised"
        )
    });
    findings.count("core", others + 1);
    findings.count("broadcasts", gossip.said);
    findings.share("heard_percent", gossip.delivered * 1_000_000 / (planned * others) * 100);
    findings.share("copies_a_delivery", copies_ppm);
    findings.count("median_us", gossip.latency.quantile(500));
    findings.count("latest_of_a_thousand_us", gossip.latency.quantile(999));
    findings.count("last_us", gossip.latency.max());
    findings.count("suspected_alive", gossip.suspected_alive);
    findings.count("bytes_per_node_per_s", outcome.bytes_per_node_per_second());
}
