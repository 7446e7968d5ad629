//! Somebody on the network wants a single-board computer to give up.
//!
//! A hundred thousand packets a second of junk, of old packets played again, of cut and of oversize
//! ones, and ten thousand handshakes a second from addresses that do not exist, most of them whole:
//! overheard first packets that name the network and the node, and only their sender is a lie. Each
//! looks at first sight like work to do: a table entry here, a key agreement there, an answer that is
//! larger than its question and hits a third party. It matters because anyone in radio range or on the
//! internet can do this to anyone.
//!
//! What must hold: nothing is stored and no key is computed for those who have not proved that they
//! receive; honest peers keep their share.
//!
//! Promised: against a `SMALL` node with 8 honest peers, under an attack that lasts for the whole storm:
//! of what the honest peers and the node planned to tell each other in it, at least 99 % arrived within a
//! second of the planned time (what the node never took has not arrived); memory within
//! `Limits::worst_case_bytes`, and in the last quarter of the attack no higher than in the first but for
//! what the honest peers may have under way; no amplification: what goes to addresses that never proved
//! themselves is never more than what came from them.

use simulator::Verdict;
use simulator::outcome::share_ppm;
use simulator::plan::{Flood, FlowPlan, LinkKind, LinkPlan, NodePlan, Plan, What};

use super::{SECOND, cannot_judge, planned_in_storm};
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
/// The shortest attack: memory is measured by the second, and half of the attack begins after one.
const SHORTEST_US: u64 = 4 * SECOND;
/// What arrives this long after its planned time has arrived under attack. A handshake that was lost is
/// tried again well within it, and a quarter of the shortest storm is not longer.
const IN_TIME_US: u64 = SECOND;

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
    quick: |params| Params { duration_us: params.duration_us.or(Some(SHORTEST_US)), ..params },
};

fn plan(params: &Params) -> Result<Plan, Usage> {
    let packets = params.number(&PACKETS, 0..=1_000_000)?;
    let handshakes = params.number(&HANDSHAKES, 0..=1_000_000)?;
    if packets.max(handshakes) < u64::from(HONEST) * 4 {
        return Err(Usage::new(
            "there is no attack to withstand",
            "--set packets_per_s and --set handshakes_per_s",
            "give 32 or more for one of them",
        ));
    }
    let duration_us = params.duration_us.unwrap_or(10 * SECOND);
    if duration_us < SHORTEST_US {
        return Err(Usage::new(
            "a shorter attack has no first and last quarter whose memory could be compared",
            "--duration",
            "give 4s or more",
        ));
    }
    let mut plan = Plan::new(SCENARIO.name, params.seed, duration_us);
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
            // Three in four are whole and ask for an answer; the others are of every kind, most of them spoilt.
            (Flood::Calls, handshakes - handshakes / 4, 1_000_000),
            (Flood::Handshakes, handshakes / 4, 1_000_000),
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
    if let Some(why) = other_than_attacked(case.plan) {
        cannot_judge(findings, why);
        return;
    }
    judge_delivery(case, findings);
    let forged: u64 = outcome.link_reports.iter().map(|link| link.forged).sum();
    let nowhere: u64 = outcome.link_reports.iter().map(|link| link.nowhere).sum();
    findings.count("forged_packets", forged);
    findings.count("answers_to_nobody", nowhere);
    // Packets that went where nobody is are answers to forged addresses; each is at most as long as
    // its question (the simulator holds every one of them to that), so their number is bounded too.
    findings.demand(nowhere <= forged, Verdict::Resource, || {
        format!("{nowhere} packets were sent to addresses that never existed, for {forged} forged ones")
    });
    judge_memory(case, findings);
}

/// Why a plan is not this scenario's: what is judged is the time under attack, so it must be all of it.
fn other_than_attacked(plan: &Plan) -> Option<String> {
    let floods = || plan.faults.iter().filter(|fault| matches!(fault.what, What::Flood { .. }));
    let (Some(first_us), Some(last_us)) =
        (floods().map(|flood| flood.start_us).min(), floods().map(|flood| flood.end_us).max())
    else {
        return Some("it has no flood".to_owned());
    };
    if first_us > 0 || last_us < plan.duration_us {
        return Some("its floods do not last from the beginning to the end of the storm".to_owned());
    }
    (planned_in_storm(plan) == 0).then(|| "no honest message is planned in the storm".to_owned())
}

fn judge_delivery(case: &Case<'_>, findings: &mut Findings) {
    let planned = planned_in_storm(case.plan);
    // A latency counts from the planned time, whenever the node took the message.
    let flows = case.outcome.flow_reports.iter();
    let in_time: u64 = flows.map(|flow| flow.latency.count_up_to(IN_TIME_US)).sum();
    findings.count("planned_under_attack", planned);
    findings.count("in_time_under_attack", in_time);
    findings.demand(share_ppm(in_time, planned) >= 990_000, Verdict::Liveness, || {
        format!(
            "{in_time} of {planned} honest messages planned under attack arrived within a second; 99 % was promised"
        )
    });
}

fn judge_memory(case: &Case<'_>, findings: &mut Findings) {
    let (Some(target), Some(memory)) = (case.outcome.node_reports.first(), case.memory.first()) else {
        return cannot_judge(findings, "nobody measured the memory of the node under attack");
    };
    findings.count("cookies_demanded", target.drops.get("CookieDemanded").copied().unwrap_or(0));
    for (reason, count) in &target.drops {
        findings.said.push(format!("dropped {count} as {reason}"));
    }
    // Every node of every run is held to the first of these by the engine.
    findings.count("worst_case_bytes", case.plan.limits(TARGET).worst_case_bytes());
    findings.count("peak_bytes", memory.peak_bytes);
    let Some((first, last)) = quarters(&memory.by_second, case.plan.duration_us) else {
        return cannot_judge(findings, "there is no measure of memory in the first and the last quarter");
    };
    let most = first + under_way_bytes(case.plan);
    findings.count("peak_first_quarter_bytes", first);
    findings.count("peak_last_quarter_bytes", last);
    findings.demand(last <= most, Verdict::Resource, || {
        format!(
            "the node held up to {first} bytes in the first quarter of the attack and {last} in the last; \
             at most {most} was promised"
        )
    });
}

/// What the node may hold more of at one time than at another: each honest flow from or to it may have
/// one packet's worth under way. It does not grow with what the attacker sends.
fn under_way_bytes(plan: &Plan) -> u64 {
    let mtu = plan.links.iter().map(|link| u64::from(link.spec().mtu)).max().unwrap_or(0);
    plan.flows.iter().filter(|flow| flow.from == TARGET || flow.to == TARGET).count() as u64 * mtu
}

/// The highest memory in the first and in the last quarter of the storm, to the second: what is in both
/// counts for the first.
fn quarters(by_second: &[u64], duration_us: u64) -> Option<(u64, u64)> {
    let at = |us: u64| usize::try_from(us.div_ceil(SECOND)).ok();
    let highest = |seconds: &[u64]| seconds.iter().copied().max().filter(|&peak| peak > 0);
    let first = highest(by_second.get(..at(duration_us / 4)?)?)?;
    let last = highest(by_second.get(at(duration_us / 4 * 3)?..at(duration_us)?.min(by_second.len()))?)?;
    Some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{self, How, Ran};

    /// A thin attack, over in a moment, and what its judge says of it after `change`.
    fn judged(change: impl FnOnce(&mut Plan, &mut Ran)) -> Vec<String> {
        let params = (SCENARIO.quick)(Params::seed(1).with("packets_per_s", "800"));
        let mut plan = SCENARIO.make(&params.with("handshakes_per_s", "80")).unwrap();
        let mut ran = engine::run(&plan, How::default());
        assert!(ran.outcome.passed());
        change(&mut plan, &mut ran);
        let case = Case { plan: &plan, outcome: &ran.outcome, memory: &ran.memory, topology: None };
        let mut findings = Findings::default();
        judge(&case, &mut findings);
        findings.broken.into_iter().map(|broken| broken.reason).collect()
    }

    fn says(broken: &[String], words: &str) {
        assert!(broken.len() == 1 && broken[0].contains(words), "{broken:?}");
    }

    #[test]
    fn an_undisturbed_judge_is_content() {
        assert_eq!(judged(|_, _| {}), [""; 0]);
    }

    #[test]
    fn one_byte_kept_of_every_spoofed_handshake_is_too_much() {
        // 10,000 a second: what the attack itself would leave behind second by second.
        let leak = |_: &mut Plan, ran: &mut Ran| {
            for (second, peak) in (0..).zip(&mut ran.memory[TARGET as usize].by_second) {
                *peak += 10_000 * second;
            }
        };
        says(&judged(leak), "in the first quarter of the attack");
    }

    #[test]
    fn memory_that_nobody_measured_is_no_pass() {
        says(&judged(|_, ran| ran.memory.clear()), "nobody measured");
        says(&judged(|_, ran| ran.memory[0].by_second.truncate(3)), "no measure of memory");
        says(&judged(|plan, _| plan.faults.clear()), "it has no flood");
        says(&judged(|plan, _| plan.faults.iter_mut().for_each(|fault| fault.end_us -= 1)), "do not last");
    }

    /// An attack that the first look at a packet ends would not show what whole handshakes cost.
    #[test]
    fn spoofed_handshakes_come_to_where_cookies_are_demanded() {
        let params = (SCENARIO.quick)(Params::seed(1)).with("packets_per_s", "800");
        let plan = SCENARIO.make(&params.with("handshakes_per_s", "4000")).unwrap();
        let Ran { outcome, memory, .. } = engine::run(&plan, How::default());
        let mut findings = Findings::default();
        judge(&Case { plan: &plan, outcome: &outcome, memory: &memory, topology: None }, &mut findings);
        assert_eq!(findings.broken, []);
        // 3,000 whole ones a second, for four seconds on half of the links and for three on the others.
        let demanded = findings.metrics["cookies_demanded"].as_u64();
        assert!((9_500..=10_500).contains(&demanded.unwrap()), "{demanded:?}");
    }

    #[test]
    fn what_was_never_taken_or_came_late_was_not_delivered_under_attack() {
        let lost = |_: &mut Plan, ran: &mut Ran| ran.outcome.flow_reports[0] = Default::default();
        says(&judged(lost), "planned under attack arrived within a second");
    }

    #[test]
    fn quarters_are_whole_seconds() {
        assert_eq!(quarters(&[5, 4, 3, 2], 4 * SECOND), Some((5, 2)));
        assert_eq!(quarters(&[5, 6, 9, 2, 1, 7, 4, 3, 2, 8], 10 * SECOND), Some((9, 8)));
        assert_eq!(quarters(&[5, 4, 3], 4 * SECOND), None);
        assert_eq!(quarters(&[], 4 * SECOND), None);
    }
}
