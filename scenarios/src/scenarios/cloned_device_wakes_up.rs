//! A virtual machine is copied while it runs, and both copies wake up.
//!
//! Same disk, same keys, same generator state: two devices that would make the same random choices.
//! If both make the same ephemeral key and start to count from the same number, they seal different
//! words with one key and nonce, and everything said is readable. It matters because snapshots,
//! restored backups and SD cards written from one image are everyday life.
//!
//! What must hold: never one key and nonce for two plaintexts (the simulator's session checker
//! compares every packet); the peers notice that two run as one, and somebody says so.
//!
//! Promised: detected and said (`CloneDetected`) in every seed. The twin has started once more than the
//! device, so peers that met it take the device for a restored backup and refuse it; when the twin is
//! gone and the device has been restarted past it, everything is delivered, once.

use simulator::Verdict;
use simulator::plan::{FlowPlan, LinkKind, LinkPlan, NodePlan, Plan, What};

use super::{MINUTE, SECOND, draw};
use crate::fail::Usage;
use crate::params::{Key, Params};
use crate::scenario::{Case, Findings, Scenario};

const LOSS: Key = Key { name: "loss", default: "5%", help: "loss each way, 0 to 90%" };

/// See the module.
pub const SCENARIO: Scenario = Scenario {
    name: "cloned-device-wakes-up",
    shows: "two devices with one disk and one generator: never one key and nonce twice; detected and said",
    keys: &[LOSS],
    takes_nodes: false,
    takes_duration: false,
    takes_topology: false,
    plan,
    judge,
    quick: |params| params,
};

fn plan(params: &Params) -> Result<Plan, Usage> {
    let loss_ppm = params.share_ppm(&LOSS, 900_000)?;
    let mut plan = Plan::new(SCENARIO.name, params.seed, 2 * MINUTE);
    plan.calm_us = 30 * MINUTE;
    plan.add_node(NodePlan { count: 3, ..NodePlan::default() });
    // A switch: the twin plugs in like anybody else.
    let mut switch = LinkPlan::new(LinkKind::Ethernet, &[0, 1, 2]);
    (switch.loss_there_ppm, switch.loss_back_ppm) = (loss_ppm, loss_ppm);
    plan.add_link(switch);
    plan.add_peer(0, 1);
    plan.add_peer(2, 0);
    plan.add_peer(1, 2);
    for (from, to) in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)] {
        let every_us = 200_000;
        plan.flows.push(FlowPlan { every_us, random_pace: true, ..FlowPlan::new(from, to, 500, 100) });
    }
    let start_us = draw(params.seed, 0, 5 * SECOND, 30 * SECOND);
    let end_us = start_us + draw(params.seed, 1, 40 * SECOND, 60 * SECOND);
    plan.add_fault(start_us, end_us, What::Clone { node: 0 });
    // The operator switches the device off and on: the first start has the twin's number, the second
    // one is new.
    for after_us in [2 * SECOND, 6 * SECOND] {
        plan.add_fault(end_us + after_us, plan.duration_us, What::Crash { node: 0, down_us: SECOND });
    }
    Ok(plan)
}

fn judge(case: &Case<'_>, findings: &mut Findings) {
    let woke_us = case.plan.faults.first().map_or(0, |fault| fault.start_us);
    let said: Vec<_> = case.outcome.notes.iter().filter(|note| note.what.contains("CloneDetected")).collect();
    findings.count("clone_reports", said.len() as u64);
    findings.demand(!said.is_empty(), Verdict::Safety, || {
        "two instances of one identity ran for 40 s or more and nobody reported it".to_owned()
    });
    if let Some(first) = said.first() {
        findings.count("detected_after_ms", first.at_us.saturating_sub(woke_us) / 1_000);
    }
    findings.demand(case.outcome.duplicates == 0, Verdict::Safety, || {
        format!("{} messages were delivered more than once", case.outcome.duplicates)
    });
    // Which of two twins gets an ordinary message, and what becomes of those under way when a session
    // changes hands, is not promised. That every other one arrives is the simulator's own check.
    findings.count("uncertain", case.outcome.flow_reports.iter().map(|flow| flow.uncertain).sum());
}
