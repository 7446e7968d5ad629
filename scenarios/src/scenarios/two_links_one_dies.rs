//! A node has a cable and a slow radio to the same neighbour, and somebody trips over the cable.
//!
//! The cable's plug stays in: no interface goes down, packets just stop arriving. Until someone
//! notices, everything sent into the cable is gone. It matters because this is what several links
//! are for, and because half of the failures are silent.
//!
//! What must hold: the traffic moves to the radio by itself, and back when the cable is mended; no
//! message is lost; while both live, both are used.
//!
//! Promised: failover within max(3 round trips, 300 ms) under traffic: no message sent around the
//! failure is later than that plus what the radio itself takes; every message once; with both links
//! up, bulk goes over both.

use simulator::Verdict;
use simulator::plan::{FlowPlan, LinkKind, LinkPlan, NodePlan, Plan, Urgency, What};

use super::{MINUTE, SECOND, draw};
use crate::fail::Usage;
use crate::params::{Key, Params};
use crate::scenario::{Case, Findings, Scenario};

const BULK: Key =
    Key { name: "bulk", default: "64", help: "bulk messages of 16 KiB before the cable dies, 0 to 10000" };

const CABLE: usize = 0;
const RADIO: usize = 1;
/// The flow of small messages whose lateness is measured.
const SMALL_FLOW: usize = 0;
/// The promise where three round trips are shorter.
const FAILOVER_US: u64 = 300_000;

/// See the module.
pub const SCENARIO: Scenario = Scenario {
    name: "two-links-one-dies",
    shows: "Ethernet and a slow radio, the cable goes silent: failover within max(3 round trips, 300 ms), nothing lost, both used",
    keys: &[BULK],
    takes_nodes: false,
    takes_duration: false,
    takes_topology: false,
    plan,
    judge,
    quick: |params| params,
};

fn plan(params: &Params) -> Result<Plan, Usage> {
    let bulk = params.number(&BULK, 0..=10_000)?;
    let mut plan = Plan::new(SCENARIO.name, params.seed, MINUTE);
    plan.calm_us = 30 * MINUTE;
    plan.add_node(NodePlan { count: 2, ..NodePlan::default() });
    plan.add_link(LinkPlan::new(LinkKind::Ethernet, &[0, 1]));
    let mut radio = LinkPlan::new(LinkKind::Ieee802154, &[0, 1]);
    radio.cost = 1;
    plan.add_link(radio);
    plan.add_peer(0, 1);
    // 50 messages a second of 60 bytes: 24 kbit/s, which the radio's 250 kbit/s carry alone.
    let every_us = 20_000;
    for (from, to) in [(0, 1), (1, 0)] {
        plan.flows.push(FlowPlan { start_us: 5 * SECOND, every_us, ..FlowPlan::new(from, to, 2_500, 60) });
    }
    if bulk > 0 {
        let flow = FlowPlan {
            start_us: 6 * SECOND,
            class: Urgency::Background,
            ..FlowPlan::new(0, 1, bulk, 16_384)
        };
        plan.flows.push(flow);
    }
    let start_us = draw(params.seed, 0, 20 * SECOND, 25 * SECOND);
    plan.add_fault(
        start_us,
        start_us + 20 * SECOND,
        What::Cut { links: vec![CABLE as u32], there: true, back: true },
    );
    Ok(plan)
}

fn judge(case: &Case<'_>, findings: &mut Findings) {
    let outcome = case.outcome;
    findings.demand_all_once(outcome);
    let (Some(small), Some(radio)) = (outcome.flow_reports.get(SMALL_FLOW), case.plan.links.get(RADIO))
    else {
        return;
    };
    if !outcome.passed() {
        return;
    }
    // The same plan without the failure shows what each link carries, and what the bulk alone costs.
    let mut calm = case.plan.clone();
    calm.faults.clear();
    let undisturbed = simulator::run(&calm);
    let usual_us = undisturbed.flow_reports.get(SMALL_FLOW).map_or(0, |flow| flow.latency.max());
    findings.count("slowest_without_failure_ms", usual_us / 1_000);
    let spec = radio.spec();
    // One packet of the radio's size on the air, each way, and its propagation.
    let airtime_us = u64::from(spec.mtu) * 8 * SECOND / spec.rate_bps.max(1);
    let radio_us = spec.delay_us + airtime_us;
    let allowed = FAILOVER_US.max(3 * 2 * radio_us);
    let slowest_us = small.latency.max();
    let late_us = if slowest_us > usual_us { slowest_us.saturating_sub(radio_us) } else { 0 };
    let failover_us = late_us.max(small.longest_gap_us.saturating_sub(radio_us));
    findings.count("failover_ms", failover_us / 1_000);
    findings.count("longest_silence_ms", small.longest_gap_us / 1_000);
    findings.count("promised_ms", allowed / 1_000);
    findings.demand(failover_us <= allowed, Verdict::Liveness, || {
        format!(
            "a message was {} ms later than the radio takes; at most {} ms was promised",
            failover_us / 1_000,
            allowed / 1_000
        )
    });
    if case.plan.flows.len() < 3 {
        return;
    }
    let bytes = |link: usize| undisturbed.link_reports.get(link).map_or(0, |report| report.bytes[0]);
    findings.count("cable_bytes_with_both_up", bytes(CABLE));
    findings.count("radio_bytes_with_both_up", bytes(RADIO));
    // Probes and keep-alives alone are a few hundred bytes a minute.
    for (link, name) in [(CABLE, "cable"), (RADIO, "radio")] {
        findings.demand(bytes(link) >= 4_096, Verdict::Liveness, || {
            format!("with both links up the {name} carried {} bytes; both should be used", bytes(link))
        });
    }
}
