//! Leaves that run on a battery, and hear something for one second of a minute.
//!
//! A sensor at the end of a field or a tag on a cow cannot listen all day. Each has one relay in its neighbourhood, wakes up now and then without asking
//! anybody whether that suits, and sleeps again. Two leaves may never be awake together, so whatever one writes to the other has to wait with
//! somebody. It matters because most devices of a mesh will live like this, and because relays are switched off as well: what they
//! have signed for must lie on their disk.
//!
//! Promised: every message arrives, once, within three times the period of sleep; those between leaves go through the custody of relays, and
//! survive that a relay's power fails.

use simulator::Verdict;
use simulator::draw::{Lot, Purpose};
use simulator::plan::{Fault, FlowPlan, Kind, LinkKind, LinkPlan, Plan, What};

use super::{HOUR, MINUTE, SECOND, cannot_judge, mesh, planned_in_storm};
use crate::fail::Usage;
use crate::params::{Key, Params};
use crate::scenario::{Case, Findings, Scenario};
use crate::topology::shapes;

const LEAVES: Key = Key { name: "leaves", default: "24", help: "leaves, 2 to 1000" };
const PERIOD: Key = Key {
    name: "period_seconds",
    default: "60",
    help: "from one waking to the next, 5 to 3600; awake for 1 s",
};
const MESSAGES: Key = Key { name: "messages", default: "600", help: "messages in an hour, 1 to 10000" };
const CRASHES: Key =
    Key { name: "crashes", default: "yes", help: "each relay's power fails once for 10 s: `yes` or `no`" };

/// Relays, in a grid of so many columns.
const RELAYS: u32 = 9;
const COLUMNS: u32 = 3;
const AWAKE_US: u64 = SECOND;
const DOWN_US: u64 = 10 * SECOND;
/// Everybody is awake for so long, so that the network finds itself.
const SETTLE_US: u64 = MINUTE;
/// Of the period: the writer's relay, the reader's, and one more for a waking that is missed.
const PROMISED_PERIODS: u64 = 3;
const BYTES: u32 = 100;

/// See the module.
pub const SCENARIO: Scenario = Scenario {
    name: "leaf-sleeps",
    shows: "battery leaves awake 1 s in 60: messages wait in custody at their relay and arrive, once",
    keys: &[LEAVES, PERIOD, MESSAGES, CRASHES],
    takes_nodes: false,
    takes_duration: false,
    takes_topology: false,
    plan,
    judge,
    quick: |params| params.with("leaves", "6").with("messages", "40").with("period_seconds", "20"),
};

/// Bits of a fault's number that are left for the node: sleeping leaves, and relays that fail.
const CRASH_IDS: u32 = 10_000;

fn plan(params: &Params) -> Result<Plan, Usage> {
    let leaves = params.number(&LEAVES, 2..=1_000)? as u32;
    let period_us = params.number(&PERIOD, 5..=3_600)? * SECOND;
    let messages = params.number(&MESSAGES, 1..=10_000)?;
    let talk_us = HOUR.max(10 * period_us);
    let end_us = SETTLE_US + talk_us + (PROMISED_PERIODS + 1) * period_us;
    let mut plan = Plan::new(SCENARIO.name, params.seed, end_us);
    plan.calm_us = HOUR;
    mesh::add_network(&mut plan, &shapes::grid4(RELAYS, COLUMNS), false, None);
    let lot = Lot::new(params.seed, Purpose::Plan, 8);
    let count = RELAYS + leaves;
    for leaf in RELAYS..count {
        let relay = lot.between(u64::from(leaf), 0, u64::from(RELAYS) - 1) as u32;
        let mut link = LinkPlan::new(LinkKind::Wifi, &[leaf, relay]);
        link.delay_us = Some(mesh::DELAY_US);
        plan.nodes.push(mesh::router(1, u64::from(count)));
        plan.add_link(link);
        plan.add_peer(leaf, relay);
        // Each wakes when it likes.
        let phase_us = lot.between(10_000 + u64::from(leaf), 0, period_us - 1);
        let what = What::Sleep { node: leaf, period_us, awake_us: AWAKE_US };
        plan.faults.push(Fault { id: leaf, start_us: SETTLE_US + phase_us, end_us, what });
    }
    for node in &mut plan.nodes {
        let most = u64::from(leaves + RELAYS);
        node.limits.insert("routers".to_owned(), most);
        node.limits.insert("routing_bytes".to_owned(), 2_048 * most);
        node.limits.insert("peers".to_owned(), most.max(64));
        node.limits.insert("links".to_owned(), most.max(8));
    }
    if params.one_of(&CRASHES, &["yes", "no"])? == "yes" {
        for relay in 0..RELAYS {
            let start_us = SETTLE_US + lot.between(20_000 + u64::from(relay), 0, talk_us - DOWN_US);
            let what = What::Crash { node: relay, down_us: DOWN_US };
            plan.faults.push(Fault { id: CRASH_IDS + relay, start_us, end_us, what });
        }
    }
    for number in 0..messages {
        let draw =
            |which: u64, most: u32| lot.between(30_000 + 4 * number + which, 0, u64::from(most) - 1) as u32;
        // Half of them between leaves, a quarter from relays, a quarter from leaves to relays.
        let to = if number % 4 == 3 { draw(0, RELAYS) } else { RELAYS + draw(0, leaves) };
        let mut from = if number % 4 == 2 { draw(1, RELAYS) } else { RELAYS + draw(1, leaves) };
        if from == to {
            from = RELAYS + (from - RELAYS + 1) % leaves;
        }
        let start_us = SETTLE_US + number * talk_us / messages;
        let flow = FlowPlan { start_us, delivery: Kind::Durable, ..FlowPlan::new(from, to, 1, BYTES) };
        plan.flows.push(flow);
    }
    Ok(plan)
}

fn judge(case: &Case<'_>, findings: &mut Findings) {
    let (plan, outcome) = (case.plan, case.outcome);
    findings.demand_taken(outcome, planned_in_storm(plan));
    findings.demand_all_once(outcome);
    let sleeps = plan.faults.iter().find_map(|fault| match fault.what {
        What::Sleep { period_us, .. } => Some(period_us),
        _ => None,
    });
    let Some(period_us) = sleeps.filter(|_| !plan.flows.is_empty()) else {
        return cannot_judge(findings, "leaves that sleep, and messages are needed");
    };
    let is_leaf = |node: u32| node >= RELAYS;
    let (mut longest, mut sum_us, mut arrived) = ((0, String::new()), 0, 0);
    let (mut in_custody, mut between) = (0, 0);
    for (number, (flow, report)) in plan.flows.iter().zip(&outcome.flow_reports).enumerate() {
        if is_leaf(flow.from) && is_leaf(flow.to) {
            between += 1;
            in_custody += u64::from(report.entrusted > 0);
        }
        let Some(at_us) = report.first_delivered_us else { continue };
        let took_us = at_us.saturating_sub(flow.start_us);
        (sum_us, arrived) = (sum_us + took_us, arrived + 1);
        if took_us > longest.0 {
            longest = (took_us, format!("that of flow {number}, from {} to {},", flow.from, flow.to));
        }
    }
    let (longest_us, which) = longest;
    findings.share("longest_s", longest_us);
    findings.share("mean_s", sum_us / u64::max(arrived, 1));
    findings.share("through_custody_percent", in_custody * 100_000_000 / u64::max(between, 1));
    mesh::note_loops(findings, outcome);
    findings.demand(longest_us <= PROMISED_PERIODS * period_us, Verdict::Liveness, || {
        format!("a message, {which} took {longest_us} us; {PROMISED_PERIODS} periods of {period_us} us were promised")
    });
    // Two leaves are awake together by chance, but seldom.
    findings.demand(2 * in_custody >= between, Verdict::Liveness, || {
        format!("of {between} messages between leaves {in_custody} were in custody; half were expected")
    });
}
