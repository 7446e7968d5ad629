//! Somebody on the network wants a single-board computer to give up.
//!
//! A hundred thousand packets a second of junk, of old packets played again, of cut and of oversize
//! ones, and ten thousand handshakes a second from addresses that do not exist. Each looks at first
//! sight like work to do: a table entry here, a key agreement there, an answer that is larger than
//! its question and hits a third party. It matters because anyone in radio range or on the internet
//! can do this to anyone.
//!
//! What must hold: nothing is stored and no key is computed for those who have not proved that they
//! receive; honest peers keep their share.
//!
//! Promised: against a `SMALL` node with 8 honest peers: memory within `Limits::worst_case_bytes`, at
//! least 99 % of the honest messages delivered within the run, and no amplification: what goes to
//! addresses that never proved themselves is never more than what came from them.

use simulator::Verdict;
use simulator::plan::{Flood, FlowPlan, LinkKind, LinkPlan, NodePlan, Plan, What};

use super::SECOND;
use proto_core::limits::Limits;

use crate::fail::Usage;
use crate::params::{Key, Params};
use crate::scenario::{Case, Findings, Scenario};

const PACKETS: Key =
    Key { name: "packets_per_s", default: "100000", help: "hostile packets a second, 0 to 1000000" };
const HANDSHAKES: Key =
    Key { name: "handshakes_per_s", default: "10000", help: "spoofed handshakes a second, 0 to 1000000" };

/// The node under attack.
const TARGET: u32 = 0;
const HONEST: u32 = 8;

/// See the module.
pub const SCENARIO: Scenario = Scenario {
    name: "flood-and-forgery",
    shows: "110,000 hostile packets a second: memory within worst_case_bytes, 99 % honest delivery, no amplification",
    keys: &[PACKETS, HANDSHAKES],
    takes_nodes: false,
    takes_duration: true,
    takes_topology: false,
    plan,
    judge,
    quick: |params| Params { duration_us: params.duration_us.or(Some(4 * SECOND)), ..params },
};

fn plan(params: &Params) -> Result<Plan, Usage> {
    let packets = params.number(&PACKETS, 0..=1_000_000)?;
    let handshakes = params.number(&HANDSHAKES, 0..=1_000_000)?;
    let duration_us = params.duration_us.unwrap_or(10 * SECOND);
    let mut plan = Plan::new(SCENARIO.name, params.seed, duration_us.max(2 * SECOND));
    plan.add_node(NodePlan { count: 1 + HONEST, ..NodePlan::default() });
    for peer in 1..=HONEST {
        let mut link = LinkPlan::new(LinkKind::Ethernet, &[TARGET, peer]);
        // The attacker's packets must reach the node, not a full queue before it.
        link.rate_bps = Some(1_000_000_000);
        let link = plan.add_link(link);
        plan.add_peer(peer, TARGET);
        let every_us = 20_000;
        let count = ((plan.duration_us - SECOND) / every_us).max(1);
        for (from, to) in [(peer, TARGET), (TARGET, peer)] {
            plan.flows.push(FlowPlan { every_us, random_pace: true, ..FlowPlan::new(from, to, count, 100) });
        }
        // Half of the attack is there before the honest peers are, on every second link.
        let start_us = if peer % 2 == 0 { 0 } else { SECOND };
        let end_us = plan.duration_us;
        for (kind, per_s, sources) in [
            (Flood::Junk, packets / 4, 0),
            (Flood::Replayed, packets / 4, 0),
            (Flood::Truncated, packets / 4, 1_000),
            (Flood::Oversize, packets - packets / 4 * 3, 1_000),
            (Flood::Handshakes, handshakes, 1_000_000),
        ] {
            let per_s = per_s / u64::from(HONEST);
            if per_s > 0 {
                plan.add_fault(
                    start_us,
                    end_us,
                    What::Flood { link, target: TARGET, kind, per_s, size: (1, 1_400), sources },
                );
            }
        }
    }
    Ok(plan)
}

fn judge(case: &Case<'_>, findings: &mut Findings) {
    let outcome = case.outcome;
    findings.demand(outcome.duplicates == 0, Verdict::Safety, || {
        format!("{} honest messages were delivered more than once", outcome.duplicates)
    });
    findings.demand(outcome.delivered_ppm() >= 990_000, Verdict::Liveness, || {
        format!("{} of {} honest messages were delivered; 99 % was promised", outcome.delivered, outcome.sent)
    });
    let forged: u64 = outcome.link_reports.iter().map(|link| link.forged).sum();
    let nowhere: u64 = outcome.link_reports.iter().map(|link| link.nowhere).sum();
    findings.count("forged_packets", forged);
    findings.count("answers_to_nobody", nowhere);
    // Packets that went where nobody is are answers to forged addresses; each is at most as long as
    // its question (the simulator holds every one of them to that), so their number is bounded too.
    findings.demand(nowhere <= forged, Verdict::Resource, || {
        format!("{nowhere} packets were sent to addresses that never existed, for {forged} forged ones")
    });
    let Some(target) = outcome.node_reports.first() else { return };
    let worst = Limits::SMALL.worst_case_bytes();
    findings.count("worst_case_bytes", worst);
    let peak = case.memory.first().map_or(0, |memory| memory.peak_bytes);
    findings.count("peak_bytes", peak);
    for (reason, count) in &target.drops {
        findings.said.push(format!("dropped {count} as {reason}"));
    }
    findings.demand(peak <= worst, Verdict::Resource, || {
        format!("the node held {} bytes; worst_case_bytes is {worst}", peak)
    });
}
