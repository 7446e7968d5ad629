//! A node has a cable and a slow radio to the same neighbour, and somebody trips over the cable.
//!
//! The cable's plug stays in: no interface goes down, packets just stop arriving. Until someone
//! notices, everything sent into the cable is gone. It matters because this is what several links
//! are for, and because half of the failures are silent.
//!
//! What must hold: the traffic moves to the radio by itself, and back when the cable is mended; no
//! message is lost; while both live, both are used.
//!
//! The seed draws the loss of both links (up to 2 % each way), their jitter, the radio's rate, and when
//! the cable dies: in half of the seeds while bulk is under way in both directions, else long after.
//!
//! Promised, in both directions: failover within max(3 round trips, 300 ms) under traffic: no message is
//! later than that plus what the radio alone takes; every message once; with both links up, bulk goes
//! over both. Promised up to a loss of 10 %: beyond, what the cable lost is lost again by the radio too often
//! (1 of 150 seeds at 20 % is 385 ms late).

use simulator::outcome::FlowReport;
use simulator::plan::{FlowPlan, LinkKind, LinkPlan, NodePlan, Plan, Urgency, What};
use simulator::{Outcome, Verdict};

use super::{MINUTE, SECOND, cannot_judge, draw};
use crate::fail::Usage;
use crate::params::{Key, Params};
use crate::scenario::{Case, Findings, Scenario};

const BULK: Key = Key { name: "bulk", default: "64", help: "bulk messages of 16 KiB each way, 0 to 10000" };

const LOSS: Key =
    Key { name: "loss", default: "2%", help: "highest loss that is drawn, each way and link, 0 to 10%" };

const CABLE: usize = 0;
const RADIO: usize = 1;
/// The flows of small messages whose lateness is measured, there and back.
const SMALL_FLOWS: [usize; 2] = [0, 1];
/// When the bulk begins.
const BULK_US: u64 = 6 * SECOND;
/// The promise where three round trips are shorter.
const FAILOVER_US: u64 = 300_000;

/// See the module.
pub const SCENARIO: Scenario = Scenario {
    name: "two-links-one-dies",
    shows: "Ethernet and a slow radio, the cable goes silent: failover within max(3 round trips, 300 ms), nothing lost, both used",
    keys: &[BULK, LOSS],
    takes_nodes: false,
    takes_duration: false,
    takes_topology: false,
    plan,
    judge,
    quick: |params| params,
};

fn plan(params: &Params) -> Result<Plan, Usage> {
    let bulk = params.number(&BULK, 0..=10_000)?;
    let most_loss_ppm = u64::from(params.share_ppm(&LOSS, 100_000)?);
    let seed = params.seed;
    let mut plan = Plan::new(SCENARIO.name, seed, MINUTE);
    plan.calm_us = 30 * MINUTE;
    plan.add_node(NodePlan { count: 2, ..NodePlan::default() });
    let mut cable = LinkPlan::new(LinkKind::Ethernet, &[0, 1]);
    cable.jitter_us = Some(draw(seed, 1, 0, 2_000));
    let mut radio = LinkPlan::new(LinkKind::Ieee802154, &[0, 1]);
    radio.cost = 1;
    radio.jitter_us = Some(draw(seed, 2, 0, 5_000));
    // From an IEEE 802.15.4 radio to a Bluetooth Low Energy one.
    radio.rate_bps = Some(draw(seed, 3, 250_000, 1_000_000));
    for (link, n) in [(&mut cable, 4), (&mut radio, 6)] {
        let loss = |n| draw(seed, n, 0, most_loss_ppm) as u32;
        (link.loss_there_ppm, link.loss_back_ppm) = (loss(n), loss(n + 1));
    }
    plan.add_link(cable);
    plan.add_link(radio);
    plan.add_peer(0, 1);
    // 50 messages a second of 60 bytes: 24 kbit/s, which the radio's 250 kbit/s carry alone.
    let every_us = 20_000;
    for (from, to) in [(0, 1), (1, 0)] {
        plan.flows.push(FlowPlan { start_us: 5 * SECOND, every_us, ..FlowPlan::new(from, to, 2_500, 60) });
    }
    for (from, to) in [(0, 1), (1, 0)] {
        let class = Urgency::Background;
        let flow = FlowPlan { start_us: BULK_US, class, ..FlowPlan::new(from, to, bulk, 16_384) };
        plan.flows.extend((bulk > 0).then_some(flow));
    }
    // A megabyte takes the cable 84 ms and more.
    let under_way = bulk > 0 && draw(seed, 8, 0, 1) == 0;
    let start_us = if under_way {
        draw(seed, 0, BULK_US, BULK_US + 80_000)
    } else {
        draw(seed, 0, 20 * SECOND, 25 * SECOND)
    };
    plan.add_fault(
        start_us,
        start_us + 20 * SECOND,
        What::Cut { links: vec![CABLE as u32], there: true, back: true },
    );
    Ok(plan)
}

fn judge(case: &Case<'_>, findings: &mut Findings) {
    findings.demand_all_taken(case);
    findings.demand_all_once(case.outcome);
    if let Some(why) = other_than_two_links(case.plan) {
        return cannot_judge(findings, why);
    }
    if !case.outcome.passed() {
        return;
    }
    // The same plan without the failure shows what each link carries, and what the bulk alone costs.
    let mut calm = case.plan.clone();
    calm.faults.clear();
    let undisturbed = simulator::run(&calm);
    judge_failover(case, findings, &undisturbed);
    judge_both_used(case, findings, &undisturbed);
}

/// Why a plan is not this scenario's.
fn other_than_two_links(plan: &Plan) -> Option<&'static str> {
    if plan.links.len() != 2 || plan.links.iter().any(|link| link.members != [0, 1]) {
        return Some("it needs two links, a cable and a radio, from node 0 to node 1");
    }
    let ways: Vec<_> = plan.flows.iter().take(2).map(|flow| (flow.from, flow.to, flow.count > 0)).collect();
    if ways != [(0, 1, true), (1, 0, true)] {
        return Some("its first two flows must be the small messages, from node 0 to node 1 and back");
    }
    let dies = |what: &What| *what == What::Cut { links: vec![CABLE as u32], there: true, back: true };
    if plan.faults.len() != 1 || !plan.faults.iter().all(|fault| dies(&fault.what)) {
        return Some("its one fault must be a cut of the cable, both ways");
    }
    None
}

/// The slowest message of each direction.
fn slowest_us(outcome: &Outcome) -> [u64; 2] {
    SMALL_FLOWS.map(|flow| outcome.flow_reports.get(flow).map_or(0, |flow| flow.latency.max()))
}

/// What the radio takes for the small messages: one packet of its size on the air and its propagation. If
/// bulk was under way when the cable died, what they take when there has never been a cable.
fn radio_takes_us(plan: &Plan, undisturbed: &Outcome, packet_us: u64) -> [u64; 2] {
    let cut_us = plan.faults.first().map_or(0, |fault| fault.start_us);
    let done = |flow: &FlowReport| flow.last_delivered_us.is_some_and(|us| us < cut_us);
    if undisturbed.flow_reports.iter().skip(SMALL_FLOWS.len()).all(done) {
        return [packet_us; 2];
    }
    let mut alone = plan.clone();
    for fault in &mut alone.faults {
        (fault.start_us, fault.end_us) = (0, plan.duration_us);
    }
    slowest_us(&simulator::run(&alone)).map(|us| us.max(packet_us))
}

fn judge_failover(case: &Case<'_>, findings: &mut Findings, undisturbed: &Outcome) {
    let spec = case.plan.links[RADIO].spec();
    let airtime_us = (u64::from(spec.mtu) * 8 * SECOND).checked_div(spec.rate_bps).unwrap_or(0);
    let packet_us = spec.delay_us.saturating_add(spec.jitter_us).saturating_add(airtime_us);
    let allowed_us = FAILOVER_US.max(packet_us.saturating_mul(3 * 2));
    let (slowest, usual) = (slowest_us(case.outcome), slowest_us(undisturbed));
    let radio = radio_takes_us(case.plan, undisturbed, packet_us);
    let gaps = SMALL_FLOWS.map(|flow| case.outcome.flow_reports[flow].longest_gap_us);
    findings.note("slowest_ms", slowest.map(|us| us / 1_000).to_vec());
    findings.note("slowest_without_failure_ms", usual.map(|us| us / 1_000).to_vec());
    findings.note("radio_takes_ms", radio.map(|us| us / 1_000).to_vec());
    findings.note("longest_silence_ms", gaps.map(|us| us / 1_000).to_vec());
    findings.count("promised_ms", allowed_us / 1_000);
    for way in 0..2 {
        let late_us = if slowest[way] > usual[way] { slowest[way].saturating_sub(radio[way]) } else { 0 };
        let failover_us = late_us.max(gaps[way].saturating_sub(radio[way]));
        findings.demand(failover_us <= allowed_us, Verdict::Liveness, || {
            format!(
                "a message from node {way} was {} ms later than the radio takes; at most {} ms was promised",
                failover_us / 1_000,
                allowed_us / 1_000
            )
        });
    }
}

fn judge_both_used(case: &Case<'_>, findings: &mut Findings, undisturbed: &Outcome) {
    if case.plan.flows.len() < 3 {
        return;
    }
    let bytes = |link: usize| undisturbed.link_reports.get(link).map_or([0; 2], |report| report.bytes);
    for (link, name, metric) in
        [(CABLE, "cable", "cable_bytes_with_both_up"), (RADIO, "radio", "radio_bytes_with_both_up")]
    {
        findings.note(metric, bytes(link).to_vec());
        // Probes and keep-alives alone are a few hundred bytes a minute.
        for (from, bytes) in bytes(link).into_iter().enumerate() {
            findings.demand(bytes >= 4_096, Verdict::Liveness, || {
                format!("with both links up the {name} carried {bytes} bytes from node {from}; both should be used")
            });
        }
    }
}
