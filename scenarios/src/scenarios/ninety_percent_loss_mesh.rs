//! A mesh in which nine packets of ten are lost, on every link, in both directions.
//!
//! Thirty nodes on a grid, and every link is as bad as a link can be that this protocol is made for. Messages go over one to
//! five hops. It matters because losses multiply: if each relay passed on what it gets and forgot it, one packet of a hundred
//! thousand would cross five hops; so every hop has to be made good where it is bad.
//!
//! Promised: every message arrives, once, and with three times the least at most, of time and of transmissions. A packet crosses
//! a hop with the tenth transmission on the average, and its acknowledgement likewise: that is the least for who has to
//! know that it arrived. A message and its receipt are two packets, and two that have not spoken yet need two more, of the
//! handshake. The least time is that of light: a crossing of the mesh, or three for what has to wait for a handshake.

use simulator::Verdict;
use simulator::draw::{Lot, Purpose};
use simulator::plan::{FlowPlan, Plan};

use super::mesh::DELAY_US;
use super::{HOUR, MINUTE, SECOND, cannot_judge, mesh};
use crate::fail::Usage;
use crate::params::{Key, Params};
use crate::scenario::{Case, Findings, Scenario};
use crate::topology::shapes;

const LOSS: Key =
    Key { name: "loss", default: "90%", help: "what each link loses each way, 0 to 95 per cent" };
const PAIRS: Key = Key { name: "pairs", default: "30", help: "pairs that talk, 1 to 1000" };
const TALK: Key = Key { name: "talk", default: "10", help: "messages that each pair sends, 1 to 100" };

/// A grid of so many columns.
const COLUMNS: u32 = 6;
const NODES: u32 = 30;
/// The network has so long to find itself.
const SETTLE_US: u64 = 5 * MINUTE;
/// Then pairs begin to talk for so long.
const TALK_US: u64 = 4 * MINUTE;
/// The last one may talk for so long.
const LAST_US: u64 = MINUTE;
/// Between two messages of a pair, at most.
const PAUSE_US: u64 = 2 * SECOND;
const MOST_HOPS: u32 = 5;
/// What the map takes in five minutes differs by some thousand packets from what it took in the five before: of fewer messages than
/// this nobody can tell what they took. And of few pairs the median message may be the slowest of those over one hop.
const ENOUGH: u64 = 200;
const BYTES: u32 = 100;

/// See the module.
pub const SCENARIO: Scenario = Scenario {
    name: "ninety-percent-loss-mesh",
    shows: "30 nodes, every link loses 90 % each way: messages over up to 5 hops, all once",
    keys: &[LOSS, PAIRS, TALK],
    takes_nodes: false,
    takes_duration: false,
    takes_topology: false,
    plan,
    judge,
    quick: |params| params.with("pairs", "5"),
};

fn plan(params: &Params) -> Result<Plan, Usage> {
    let loss_ppm = params.share_ppm(&LOSS, 950_000)?;
    let pairs = params.number(&PAIRS, 1..=1_000)?;
    let talk = params.number(&TALK, 1..=100)?;
    let topology = shapes::grid4(NODES, COLUMNS);
    let mut plan = Plan::new(SCENARIO.name, params.seed, SETTLE_US + TALK_US + LAST_US);
    plan.calm_us = HOUR;
    mesh::add_network(&mut plan, &topology, false, None);
    for link in &mut plan.links {
        (link.loss_there_ppm, link.loss_back_ppm) = (loss_ppm, loss_ppm);
    }
    let near = mesh::neighbours(&plan);
    let lot = Lot::new(params.seed, Purpose::Plan, 5);
    for number in 0..pairs {
        let from = lot.between(2 * number, 0, u64::from(NODES) - 1) as u32;
        let hops = mesh::hops_from(&near, from);
        let within: Vec<u32> = hops
            .into_iter()
            .filter(|(_, hops)| (1..=MOST_HOPS).contains(hops))
            .map(|(node, _)| node)
            .collect();
        let to = within[lot.between(2 * number + 1, 0, within.len() as u64 - 1) as usize];
        let start_us = SETTLE_US + number * TALK_US / pairs;
        let every_us = PAUSE_US.min(LAST_US / talk);
        plan.flows.push(FlowPlan { start_us, every_us, ..FlowPlan::new(from, to, talk, BYTES) });
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
    let least = Least::of(plan);
    findings.share("mean_hops", least.mean_hops_ppm);
    let median_us = outcome.latency.quantile(500);
    findings.share("median_latency_ms", median_us * 1_000);
    findings.share("p99_latency_ms", outcome.latency.quantile(990) * 1_000);
    findings.share("least_median_latency_ms", least.median_us * 1_000);
    // What was sent while messages were, less what the same nodes sent before.
    let packets = |quarter: usize| -> u64 {
        outcome.node_reports.iter().map(|report| report.sent_by_quarter[quarter].0).sum()
    };
    let extra = (packets(2) + packets(3)).saturating_sub(2 * packets(1));
    let taken_ppm = extra * 1_000_000 / outcome.delivered.max(1);
    findings.share("transmissions_a_delivery", taken_ppm);
    findings.share("least_transmissions_a_delivery", least.transmissions_ppm);
    mesh::note_loops(findings, outcome);
    let is_enough = outcome.delivered >= ENOUGH;
    findings.demand(!is_enough || taken_ppm <= 3 * least.transmissions_ppm, Verdict::Resource, || {
        format!("{} transmissions a delivery; three times the least is promised", taken_ppm / 1_000_000)
    });
    findings.demand(!is_enough || median_us <= 3 * least.median_us, Verdict::Liveness, || {
        format!("half of the messages took more than {median_us} us; three times the least is promised")
    });
}

/// What nobody who knows that his messages arrived can do with less of.
struct Least {
    mean_hops_ppm: u64,
    transmissions_ppm: u64,
    median_us: u64,
}

impl Least {
    fn of(plan: &Plan) -> Least {
        let near = mesh::neighbours(plan);
        let loss_ppm = plan.links.iter().map(|link| u64::from(link.loss_there_ppm)).max().unwrap_or(0);
        let (mut hops_sum, mut messages, mut crossings) = (0, 0, 0);
        let mut latencies = Vec::new();
        for flow in &plan.flows {
            let hops = u64::from(mesh::hops_from(&near, flow.from).get(&flow.to).copied().unwrap_or(0));
            hops_sum += hops * flow.count;
            messages += flow.count;
            // Neighbours have a session; others begin with a handshake.
            let handshake = if hops > 1 { 2 } else { 0 };
            crossings += hops * (2 * flow.count + handshake);
            let crossing_us = hops * DELAY_US;
            latencies.push(crossing_us * (1 + handshake));
            latencies.extend((1..flow.count).map(|_| crossing_us));
        }
        latencies.sort_unstable();
        // Each crossing of a hop is a packet and its acknowledgement.
        let each_ppm = 2_000_000 * 1_000_000 / (1_000_000 - loss_ppm).max(1);
        Least {
            mean_hops_ppm: hops_sum * 1_000_000 / u64::max(messages, 1),
            transmissions_ppm: crossings * each_ppm / u64::max(messages, 1),
            median_us: latencies.get(latencies.len() / 2).copied().unwrap_or(0),
        }
    }
}
