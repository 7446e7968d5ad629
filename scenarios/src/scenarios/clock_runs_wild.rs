//! Four devices whose clocks agree about nothing.
//!
//! One was built with the cheapest crystal and gains 43 seconds a day, its neighbour loses as much.
//! One believes that it is 1996, one that it is 2054; an operator sets the time back by an hour, a
//! leap second repeats one, a laptop wakes from its sleep. It matters because replay windows,
//! timeouts and key lifetimes are made of time, and a protocol that believes a clock can be made to
//! forget or to accept twice by lying to it.
//!
//! What must hold: nothing is lost and nothing is accepted twice, while old packets are played again
//! all the time and keys are renewed every ten minutes.
//!
//! Promised: drift of 500 ppm either way, wall clocks decades apart, steps backwards, a leap second:
//! every message delivered exactly once, and no datagram twice.

use simulator::Verdict;
use simulator::plan::{FlowPlan, Kind, LinkKind, LinkPlan, NodePlan, Plan, What};

use super::{HOUR, MINUTE, SECOND, cannot_judge, draw, planned_in_storm};
use crate::fail::Usage;
use crate::params::{Key, Params};
use crate::scenario::{Case, Findings, Scenario};

const DRIFT: Key =
    Key { name: "drift_ppm", default: "500", help: "drift either way in millionths, 0 to 50000" };

const YEAR_US: i64 = 365 * 24 * 3_600 * SECOND as i64;

/// See the module.
pub const SCENARIO: Scenario = Scenario {
    name: "clock-runs-wild",
    shows: "drift of 500 ppm, wall clocks decades apart, steps backwards, a leap second: nothing lost, nothing twice",
    keys: &[DRIFT],
    takes_nodes: false,
    takes_duration: true,
    takes_topology: false,
    plan,
    judge,
    quick: |params| Params { duration_us: params.duration_us.or(Some(5 * MINUTE)), ..params },
};

fn plan(params: &Params) -> Result<Plan, Usage> {
    let drift = params.number(&DRIFT, 0..=50_000)? as i32;
    let duration_us = params.duration_us.unwrap_or(30 * MINUTE);
    let mut plan = Plan::new(SCENARIO.name, params.seed, duration_us);
    for (drift_ppm, years, clock_us) in
        [(drift, -30, 0), (-drift, 0, 400 * 24 * HOUR), (drift, 28, SECOND), (-drift, -1, HOUR)]
    {
        plan.add_node(NodePlan {
            drift_ppm,
            wall_offset_us: years * YEAR_US,
            clock_us,
            limits: [("rekey_after_us".to_owned(), 10 * MINUTE)].into(),
            ..NodePlan::default()
        });
    }
    for (a, b) in [(0, 1), (1, 2), (2, 3), (3, 0)] {
        let mut link = LinkPlan::new(LinkKind::Wifi, &[a, b]);
        (link.loss_there_ppm, link.loss_back_ppm) = (100_000, 100_000);
        plan.add_link(link);
        plan.add_peer(a, b);
        // Datagrams have no number of their own: only the replay window keeps them from coming twice.
        for (from, to, delivery) in
            [(a, b, Kind::Message), (b, a, Kind::Stream), (b, a, Kind::Durable), (a, b, Kind::Datagram)]
        {
            let every_us = 500_000;
            let count = (duration_us / every_us).saturating_sub(10).max(1);
            let flow = FlowPlan::new(from, to, count, 0);
            plan.flows.push(FlowPlan { size: (0, 300), every_us, random_pace: true, delivery, ..flow });
        }
    }
    plan.add_fault(
        0,
        duration_us,
        What::Replay { links: Vec::new(), share_ppm: 100_000, within_us: 30 * SECOND },
    );
    plan.add_fault(0, duration_us, What::Reorder { links: Vec::new(), share_ppm: 20_000, by_us: SECOND });
    add_clock_faults(&mut plan, params.seed);
    Ok(plan)
}

fn add_clock_faults(plan: &mut Plan, seed: u64) {
    let duration_us = plan.duration_us;
    for n in 0..12 {
        let node = draw(seed, 4 * n, 0, 3) as u32;
        let start_us = draw(seed, 4 * n + 1, 0, duration_us * 9 / 10);
        let end_us = (start_us + draw(seed, 4 * n + 2, SECOND, duration_us / 4)).min(duration_us);
        let amount = draw(seed, 4 * n + 3, 1, 3_600);
        let what = match n % 4 {
            0 | 1 => What::WallStep { node, by_us: -((amount * SECOND) as i64) },
            2 => What::Leap { node },
            // A suspended laptop: shorter than a session may be silent.
            _ => What::Jump { node, by_us: amount % 60 * SECOND + SECOND },
        };
        plan.add_fault(start_us, end_us.max(start_us + 1), what);
    }
}

fn judge(case: &Case<'_>, findings: &mut Findings) {
    let outcome = case.outcome;
    findings.demand(outcome.duplicates == 0, Verdict::Safety, || {
        format!("{} messages were delivered more than once", outcome.duplicates)
    });
    // A random pace ends a little before or after the storm; what is due after it nobody sends.
    findings.demand_taken(outcome, planned_in_storm(case.plan));
    let (mut sent, mut delivered) = (0, 0);
    for (flow, report) in case.plan.flows.iter().zip(&outcome.flow_reports) {
        if flow.delivery != Kind::Datagram {
            sent += report.sent;
            delivered += report.delivered;
        }
    }
    findings.demand(sent == delivered, Verdict::Liveness, || {
        format!("{delivered} of {sent} messages were delivered; all were promised")
    });
    let replayed: u64 = case.outcome.link_reports.iter().map(|link| link.tampered).sum();
    findings.count("packets_played_again_or_held_back", replayed);
    let of_clocks =
        |what: &What| matches!(what, What::WallStep { .. } | What::Leap { .. } | What::Jump { .. });
    let clock_faults = case.plan.faults.iter().filter(|fault| of_clocks(&fault.what)).count();
    findings.count("clock_faults", clock_faults as u64);
    if clock_faults == 0 || sent == 0 {
        cannot_judge(findings, "it needs a fault of a clock, and messages that must arrive");
    }
}
