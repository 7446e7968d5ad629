//! Thirty nodes of a mesh are left alone over a long weekend, and are switched off and on again.
//!
//! Everybody writes to everybody, over as many hops as it takes; every fifth packet is lost on every hop; and each node is
//! now and then away, for minutes or for an hour, without a word. What is written to it meanwhile waits with its neighbours. It
//! matters because this is daily life: the rare case of each hour has come a hundred times after three days, and whatever is not given back
//! then (a place in a table, a bundle that nobody fetches) is missing in the end.
//!
//! How long nodes stay and are away: Weibull with shape 0.59 as measured by Stutzbach and Rejaie (2006), and exponential.
//!
//! Promised: 30 nodes, 100 durable messages a second, 20 % loss on every hop, 72 virtual hours: at least 99.99 % are delivered, each once;
//! of the others the sender is told that they have expired; and the memory of nodes on the third day is within 2 % of that of the first, by the mean over
//! all nodes and hours of the most that each held in each hour. (The highest of all hours is that of the longest absence, and says nothing.)

use simulator::Verdict;
use simulator::outcome::{FlowReport, share_ppm};
use simulator::plan::{FlowPlan, Kind, Lasting, Plan, Spread};

use super::{HOUR, MINUTE, SECOND, cannot_judge, mesh};
use crate::fail::Usage;
use crate::memory::NodeMemory;
use crate::params::{Key, Params};
use crate::scenario::{Case, Findings, Scenario};
use crate::topology::shapes;

const SHAPE: Key = Key { name: "shape", default: "rgg", help: "line, grid4, grid8, rtree or rgg" };
const LOSS: Key = Key { name: "loss", default: "20%", help: "loss of every link, each way, 0 to 90%" };
const RATE: Key =
    Key { name: "messages_per_s", default: "100", help: "messages a second in all, 1 to 100000" };
const STAY: Key = Key {
    name: "stay_minutes",
    default: "60",
    help: "how long a node stays, the median, 1 to 100000; 0: nobody leaves",
};
const AWAY: Key =
    Key { name: "away_seconds", default: "120", help: "how long it is away then, the median, 1 to 86400" };

const NODES: u32 = 30;
const HOURS: u64 = 72;
/// The network has so long to find itself.
const SETTLE_US: u64 = 10 * SECOND;
const BYTES: (u32, u32) = (24, 200);
/// Of a million messages so many arrive.
const PROMISED_PPM: u64 = 999_900;
/// How much more memory the nodes may hold at the end than at the beginning.
const GROWTH_PPM: u64 = 20_000;
/// Stays are spread as measured.
const STAY_SHAPE_PPM: u32 = 590_000;

/// See the module.
pub const SCENARIO: Scenario = Scenario {
    name: "soak-72h-mesh",
    shows: "30 nodes of a mesh that come and go, 20 % loss a hop, 72 hours: messages end to end arrive once, memory flat",
    keys: &[SHAPE, LOSS, RATE, STAY, AWAY],
    takes_nodes: true,
    takes_duration: true,
    takes_topology: false,
    plan,
    judge,
    quick: |params| {
        let params = params.with("stay_minutes", "2").with("away_seconds", "10").with("messages_per_s", "20");
        Params { nodes: Some(12), duration_us: Some(5 * MINUTE), ..params }
    },
};

fn plan(params: &Params) -> Result<Plan, Usage> {
    let nodes = params.nodes_within(NODES, 3..=1_000)?;
    let shape = params.one_of(&SHAPE, &shapes::NAMES)?;
    let loss_ppm = params.share_ppm(&LOSS, 900_000)?;
    let per_s = params.number(&RATE, 1..=100_000)?;
    let stay_us = params.number(&STAY, 0..=100_000)? * MINUTE;
    let away_us = params.number(&AWAY, 1..=86_400)? * SECOND;
    let duration_us = params.duration_us.unwrap_or(HOURS * HOUR);
    let mut plan = Plan::new(SCENARIO.name, params.seed, duration_us);
    // What the last who is away is owed takes an hour at most to be offered again.
    plan.calm_us = 2 * HOUR;
    mesh::add_network(&mut plan, &mesh::shape(shape, nodes, params.seed)?, false, None);
    mesh::lose(&mut plan, loss_ppm);
    for node in &mut plan.nodes {
        // Those that nobody asked for get half of the places.
        node.limits.insert("durable_peers".to_owned(), 2 * u64::from(nodes));
    }
    let core: Vec<u32> = mesh::core(&plan).into_iter().collect();
    let pairs: Vec<(u32, u32)> =
        core.iter().flat_map(|&a| core.iter().map(move |&b| (a, b))).filter(|(a, b)| a != b).collect();
    let every_us = SECOND * pairs.len() as u64 / per_s;
    let count = duration_us.saturating_sub(2 * SETTLE_US) / every_us.max(1);
    for (from, to) in pairs {
        let flow = FlowPlan::new(from, to, count.max(1), 0);
        let durable = FlowPlan { size: BYTES, random_pace: true, delivery: Kind::Durable, ..flow };
        plan.flows.push(FlowPlan { start_us: SETTLE_US, every_us, ..durable });
    }
    if stay_us > 0 {
        let stay = Lasting { median_us: stay_us, spread: Spread::Weibull { shape_ppm: STAY_SHAPE_PPM } };
        plan.add_churn(&core, &stay, &Lasting { median_us: away_us, spread: Spread::Exponential });
    }
    Ok(plan)
}

fn judge(case: &Case<'_>, findings: &mut Findings) {
    let (plan, outcome) = (case.plan, case.outcome);
    if outcome.sent == 0 {
        return cannot_judge(findings, "it has no messages");
    }
    let total = |of: fn(&FlowReport) -> u64| outcome.flow_reports.iter().map(of).sum::<u64>();
    let boots: u64 = outcome.node_reports.iter().map(|node| node.boots).sum();
    findings.count("restarts", boots.saturating_sub(u64::from(plan.node_count())));
    findings.count("entrusted", total(|flow| flow.entrusted));
    findings.share("delivered_percent", share_ppm(outcome.delivered, outcome.sent) * 100);
    judge_messages(case, findings, total(|flow| flow.expired));
    judge_memory(case, findings);
    mesh::note_loops(findings, outcome);
    mesh::note_sent(findings, plan, outcome);
}

fn judge_messages(case: &Case<'_>, findings: &mut Findings, expired: u64) {
    let outcome = case.outcome;
    findings.demand(outcome.duplicates == 0, Verdict::Safety, || {
        format!("{} messages were delivered more than once", outcome.duplicates)
    });
    // What its node had not accepted when its power failed, the application knows to be lost.
    let never_accepted = outcome.excusable.get("sender-restarted").copied().unwrap_or(0);
    let arrived: u64 = outcome.flow_reports.iter().map(|flow| flow.uncertain_delivered).sum();
    let never_accepted = never_accepted.saturating_sub(arrived);
    findings.count("never_accepted", never_accepted);
    findings.count("expired", expired);
    let owed = outcome.sent.saturating_sub(never_accepted);
    findings.demand(share_ppm(outcome.delivered, owed) >= PROMISED_PPM, Verdict::Liveness, || {
        format!(
            "{} of {owed} messages were delivered; {PROMISED_PPM} of a million were promised",
            outcome.delivered
        )
    });
    let missing = owed.saturating_sub(outcome.delivered);
    findings.demand(expired >= missing, Verdict::Liveness, || {
        format!("{missing} messages did not arrive, and of {expired} their senders were told so")
    });
}

fn judge_memory(case: &Case<'_>, findings: &mut Findings) {
    let hours = (case.plan.duration_us / HOUR) as usize;
    let window = (hours / 3).min(24);
    let promised = case.plan.duration_us >= HOURS * HOUR && case.plan.node_count() <= NODES;
    let Some((first, last)) = means(case.memory, hours, window) else {
        findings.demand(!promised, Verdict::Resource, || "the memory of no node was measured".to_owned());
        return;
    };
    findings.count("memory_first_bytes", first);
    findings.count("memory_last_bytes", last);
    findings.share("memory_last_to_first", share_ppm(last, first));
    findings.demand(!promised || share_ppm(last, first) <= 1_000_000 + GROWTH_PPM, Verdict::Resource, || {
        format!("nodes held {first} bytes on the first day and {last} on the last, in the mean; 2 % more was allowed")
    });
}

/// The mean over nodes and hours of the most that was held in an hour, of the first and of the last `window` of so many hours. Hours in which a
/// node was off do not count. `None` when there are none.
fn means(memory: &[NodeMemory], hours: usize, window: usize) -> Option<(u64, u64)> {
    let mean = |from: usize, to: usize| {
        let held = memory.iter().filter_map(|node| node.by_hour.get(from..to.min(node.by_hour.len())));
        let (sum, count) = held
            .flatten()
            .filter(|bytes| **bytes > 0)
            .fold((0, 0), |(sum, count), bytes| (sum + bytes, count + 1));
        u64::checked_div(sum, count)
    };
    Some((mean(0, window)?, mean(hours.checked_sub(window)?, hours)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_leave_out_hours_in_which_a_node_was_off() {
        let node = |by_hour: &[u64]| NodeMemory { by_hour: by_hour.to_vec(), ..NodeMemory::default() };
        let memory = [node(&[10, 30, 0, 0, 60, 80]), node(&[50, 0, 0, 9, 0, 70])];
        assert_eq!(means(&memory, 6, 2), Some((30, 70)));
        assert_eq!(means(&[node(&[1])], 6, 2), None);
        assert_eq!(means(&memory, 6, 0), None);
    }
}
