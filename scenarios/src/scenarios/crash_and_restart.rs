//! The battery is nearly empty, and the device restarts at the worst moments.
//!
//! A message was acknowledged, and then the power failed before it was on disk: the sender has
//! forgotten it, the receiver never had it. Or a counter is read back older than it was, and one key
//! and nonce seal two different packets, which gives both away. It matters because cheap devices
//! lose power between a write and its sync, and a torn record is what they find when they wake up.
//!
//! What must hold: whatever is acknowledged is on disk first; whatever is counted is reserved first;
//! a torn record is recognised and everything before it is used.
//!
//! A message is the node's when it says `Accepted`: then it is on disk. One that was handed in and not
//! yet on disk when the power failed was never accepted, and its application knows that, since no
//! receipt said so: it is lost or arrives once, and the application sends it again if it still matters.
//!
//! Promised, through power failures aimed between store and stored, torn and lost writes: no key and
//! nonce used twice; every accepted message arrives; what was acknowledged as delivered had been; no
//! message, accepted or not, arrives twice.

use simulator::Verdict;
use simulator::outcome::FlowReport;
use simulator::plan::{DiskPlan, FlowPlan, Kind, LinkKind, LinkPlan, NodePlan, Plan, What};

use super::{MINUTE, SECOND, cannot_judge, draw};
use crate::fail::Usage;
use crate::params::{Key, Params};
use crate::scenario::{Case, Findings, Scenario};

const CRASHES: Key =
    Key { name: "crashes", default: "4", help: "power failures of each kind and node, 1 to 100" };
const LOSS: Key = Key { name: "loss", default: "10%", help: "loss each way, 0 to 90%" };

/// See the module.
pub const SCENARIO: Scenario = Scenario {
    name: "crash-and-restart",
    shows: "power fails between store and stored, writes are torn or lost: no nonce twice, no acknowledged message lost or doubled",
    keys: &[CRASHES, LOSS],
    takes_nodes: false,
    takes_duration: true,
    takes_topology: false,
    plan,
    judge,
    quick: |params| params,
};

fn plan(params: &Params) -> Result<Plan, Usage> {
    let crashes = params.number(&CRASHES, 1..=100)? as u32;
    let loss_ppm = params.share_ppm(&LOSS, 900_000)?;
    let duration_us = params.duration_us.unwrap_or(60 * SECOND);
    let mut plan = Plan::new(SCENARIO.name, params.seed, duration_us);
    plan.calm_us = 30 * MINUTE;
    // A slow flash chip: 2 to 10 ms a sync leaves room to fail in.
    let disk = DiskPlan { sync_us: 2_000, jitter_us: 8_000, torn_ppm: 500_000, ..DiskPlan::default() };
    plan.add_node(NodePlan { count: 3, disk, ..NodePlan::default() });
    for (a, b) in [(0, 1), (1, 2), (2, 0)] {
        let mut link = LinkPlan::new(LinkKind::Wifi, &[a, b]);
        (link.loss_there_ppm, link.loss_back_ppm) = (loss_ppm, loss_ppm);
        plan.add_link(link);
        plan.add_peer(a, b);
        for (from, to) in [(a, b), (b, a)] {
            let every_us = 200_000;
            let count = (duration_us * 3 / 4 / every_us).max(1);
            let flow = FlowPlan::new(from, to, count, 0);
            let durable =
                FlowPlan { size: (0, 2_000), every_us, random_pace: true, delivery: Kind::Durable, ..flow };
            plan.flows.push(FlowPlan { consume_after_us: 50_000, ..durable });
        }
    }
    add_power_failures(&mut plan, params.seed, crashes);
    Ok(plan)
}

fn add_power_failures(plan: &mut Plan, seed: u64, crashes: u32) {
    let end_us = plan.duration_us;
    for node in 0..3_u32 {
        let start_us = draw(seed, u64::from(node), 0, end_us / 4);
        let down_us = draw(seed, 10 + u64::from(node), 10_000, 2 * SECOND);
        plan.add_fault(start_us, end_us, What::CrashUnsynced { node, times: crashes, down_us });
        for crash in 0..crashes {
            let n = 100 + u64::from(node) * 1_000 + u64::from(crash) * 2;
            let start_us = draw(seed, n, 0, end_us * 3 / 4);
            let down_us = draw(seed, n + 1, 1_000, 3 * SECOND);
            plan.add_fault(start_us, end_us, What::Crash { node, down_us });
        }
    }
}

fn judge(case: &Case<'_>, findings: &mut Findings) {
    let outcome = case.outcome;
    findings.demand(outcome.duplicates == 0, Verdict::Safety, || {
        format!("{} messages were delivered more than once", outcome.duplicates)
    });
    let never_accepted = outcome.excusable.get("sender-restarted").copied().unwrap_or(0);
    let total = |of: fn(&FlowReport) -> u64| outcome.flow_reports.iter().map(of).sum::<u64>();
    let uncertain = total(|flow| flow.uncertain);
    // One that was never accepted may have arrived all the same, and stands among the delivered then.
    let lost = never_accepted.saturating_sub(total(|flow| flow.uncertain_delivered));
    findings.count("never_accepted", never_accepted);
    findings.count("never_accepted_and_lost", lost);
    findings.demand(outcome.delivered.saturating_add(lost) >= outcome.sent, Verdict::Liveness, || {
        format!(
            "{} of {} messages were delivered, and only {lost} of the others had not been accepted",
            outcome.delivered, outcome.sent
        )
    });
    let boots: u64 = case.outcome.node_reports.iter().map(|node| node.boots).sum();
    let nodes = u64::from(case.plan.node_count());
    findings.count("restarts", boots.saturating_sub(nodes));
    findings
        .count("records_written", case.outcome.node_reports.iter().map(|node| node.records_written).sum());
    findings.demand(uncertain <= never_accepted, Verdict::Safety, || {
        format!("{uncertain} durable messages were reported as uncertain, and only {never_accepted} had not been accepted")
    });
    findings.demand(boots > nodes, Verdict::Liveness, || {
        "no node ever restarted: the scenario tested nothing".to_owned()
    });
    if outcome.sent == 0 {
        cannot_judge(findings, "it has no messages");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{self, How};

    #[test]
    fn a_lost_message_is_not_made_up_for_by_one_that_arrived_without_having_been_accepted() {
        let plan = SCENARIO.make(&Params::seed(1)).unwrap();
        let mut ran = engine::run(&plan, How::default());
        let mut judged = |arrived: u64| {
            ran.outcome.flow_reports[0].uncertain_delivered += arrived;
            let case = Case { plan: &plan, outcome: &ran.outcome, memory: &ran.memory, topology: None };
            let mut findings = Findings::default();
            judge(&case, &mut findings);
            findings.broken.into_iter().map(|broken| broken.reason).collect::<Vec<_>>()
        };
        assert_eq!(judged(0), [""; 0]);
        let broken = judged(1);
        assert!(broken.len() == 1 && broken[0].contains("messages were delivered"), "{broken:?}");
    }
}
