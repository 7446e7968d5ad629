//! Forty radios in a valley of five kilometres, which hear a part of it each and share one channel.
//!
//! LoRa at SF9 carries 220 bytes a second for all who hear each other, and the law lets each radio speak for a tenth of an hour.
//! Villages and trees stand between them (`SHADOW_MDB`). Who is beyond the next bend is hidden: two that do not hear each
//! other speak at once, and who stands between them hears neither. Sessions form a tree (`sessions`), as when each radio that joins
//! calls the best of those that it hears. Every node writes to one other, anywhere in the valley: once while the network
//! settles, and then 50 bytes every ten minutes.
//!
//! All radios are switched on at once and know nobody. Until everybody has a session with its neighbours and all records of the map, some 7,000
//! seconds of air are spent, of which a radio in the middle of the tree has 360 an hour: hence `SETTLE_US`, once in the life of a
//! network. Who writes to somebody for the first time needs a handshake over the mesh, ten seconds of air; with `spoken=no` these fall into
//! the time that is judged.
//!
//! Promised: 99 of 100 messages arrive within ten minutes, each once; no radio ever exceeds its share, and no driver ever has to
//! throw a packet away for that. At 1 %, and with `spoken=no`, the same is measured, and of the time nothing promised.

use core::cmp::Reverse;
use std::collections::BTreeMap;

use simulator::draw::{Lot, Purpose};
use simulator::plan::radio::{Access, Duty, RadioPlan, Region};
use simulator::plan::{FlowPlan, LinkKind, LinkPlan, Plan};
use simulator::{Outcome, Verdict};

use super::{HOUR, MINUTE, cannot_judge, mesh};
use crate::fail::Usage;
use crate::params::{Key, Params};
use crate::scenario::{Case, Findings, Scenario};

const DUTY: Key =
    Key { name: "duty", default: "10", help: "per cent of an hour that a radio may send, 1 or 10" };
const SETTLE: Key = Key {
    name: "settle",
    default: "auto",
    help: "how long all, switched on at once, may find each other and fill their maps, at most 30d; auto is 6h, with duty=1 ten times as long",
};
const TALK: Key = Key {
    name: "talk",
    default: "auto",
    help: "how long messages are sent then, at most 7d; auto is a third of settle",
};
const SPOKEN: Key = Key {
    name: "spoken",
    default: "yes",
    help: "whether each has written to its other once while the network settled, in its last third; else the first message waits for a handshake, and nothing is promised of the time",
};

/// Radios, unless somebody says otherwise; there is one for every so many metres of the valley.
const NODES: u32 = 40;
const METRES_A_NODE: u32 = 125;
/// How wide the valley is.
const WIDTH_M: u64 = 800;
/// What stands between two differs so much: the standard deviation, in thousandths of a dB (guess: villages and trees).
const SHADOW_MDB: i32 = 4_000;
/// Who is heard so much above the least, in thousandths of a dB, is a neighbour to rely on.
const MARGIN_MDB: i32 = 4_500;
/// A node has room for so many sessions, if others have it too: what spreads to all goes once over each.
const MOST_SESSIONS: u32 = 8;
/// The power that the band with 10 % allows, in thousandths of a dBm. With 1 % it is the same, so that the valley is.
const POWER_MDBM: i32 = 27_000;
/// Every node writes so many bytes so often, and they have so long to arrive.
const BYTES: u32 = 50;
const EVERY_US: u64 = 10 * MINUTE;
const LATE_US: u64 = 10 * MINUTE;
const PROMISED_PPM: u64 = 990_000;
/// The network has so long to find itself, at 10 %: until all know the map, and then to write a first time. Five hours are enough for seeds 1 to
/// 40 (decision 0010).
const SETTLE_US: u64 = 6 * HOUR;
const MONTH_US: u64 = 30 * 24 * HOUR;

/// See the module.
pub const SCENARIO: Scenario = Scenario {
    name: "lora-valley",
    shows: "40 LoRa radios in a valley of 5 km with a duty cycle: a message of each every ten minutes, over relays",
    keys: &[DUTY, SETTLE, TALK, SPOKEN],
    takes_nodes: true,
    takes_duration: false,
    takes_topology: false,
    plan,
    judge,
    quick: |params| Params { nodes: Some(6), ..params }.with("settle", "90min"),
};

fn plan(params: &Params) -> Result<Plan, Usage> {
    let nodes = params.nodes_within(NODES, 3..=200)?;
    let duty = params.one_of(&DUTY, &["1", "10"])?;
    let settle_us = match params.set.get(SETTLE.name).map(String::as_str) {
        None | Some("auto") => SETTLE_US * if duty == "1" { 10 } else { 1 },
        Some(_) => params.span_us(&SETTLE, MONTH_US)?,
    };
    let talk_us = match params.set.get(TALK.name).map(String::as_str) {
        None | Some("auto") => settle_us / 3,
        Some(_) => params.span_us(&TALK, 7 * 24 * HOUR)?,
    };
    let spoken = params.one_of(&SPOKEN, &["yes", "no"])? == "yes";
    let mut plan = Plan::new(SCENARIO.name, params.seed, settle_us + talk_us.max(EVERY_US));
    plan.calm_us = HOUR;
    plan.expect.survivable = duty == "10" && spoken;
    plan.expect.sessions = false;
    for _ in 0..nodes {
        plan.nodes.push(device(u64::from(nodes)));
    }
    let lot = Lot::new(params.seed, Purpose::Plan, 6);
    let place = |node: u32| {
        let along =
            u64::from(node * METRES_A_NODE) + lot.between(u64::from(2 * node), 0, u64::from(METRES_A_NODE));
        (along as i32, lot.between(u64::from(2 * node + 1), 0, WIDTH_M) as i32)
    };
    let members: Vec<u32> = (0..nodes).collect();
    let mut link = LinkPlan::new(LinkKind::LoraSf9, &members);
    link.radio = Some(RadioPlan {
        places: members.iter().map(|&node| place(node)).collect(),
        power_mdbm: Some(POWER_MDBM),
        shadow_mdb: Some(SHADOW_MDB),
        region: Some(if duty == "1" { Region::Eu868G1 } else { Region::Eu868G3 }),
        duty: Duty::Refuse,
        access: Some(Access::Csma),
        ..RadioPlan::default()
    });
    let sessions = sessions(&link, params.seed, nodes).ok_or_else(|| {
        Usage::new("some of these radios hear nobody", format!("--seed {}", params.seed), "take another seed")
    })?;
    plan.add_link(link);
    for (node, to) in sessions {
        plan.add_peer(node, to);
    }
    for node in 0..nodes {
        let n = u64::from(node);
        let other = lot.between(1_000 + 2 * n, 1, u64::from(nodes) - 1) as u32;
        let start_us = settle_us + lot.between(1_001 + 2 * n, 0, EVERY_US - 1);
        let count = (talk_us / EVERY_US).max(1);
        let to = (node + other) % nodes;
        plan.flows.push(FlowPlan { start_us, every_us: EVERY_US, ..FlowPlan::new(node, to, count, BYTES) });
        if spoken {
            let start_us = settle_us - lot.between(2_000 + n, 0, settle_us / 3);
            plan.flows.push(FlowPlan { start_us, ..FlowPlan::new(node, to, 1, BYTES) });
        }
    }
    Ok(plan)
}

/// A router that keeps its sessions: what makes one on such a radio costs seconds of air, and to ask every few seconds whether a neighbour is
/// still there would take all of it.
fn device(routers: u64) -> simulator::plan::NodePlan {
    let mut node = mesh::router(0, routers);
    for (limit, value) in [
        ("keepalive_us", 2 * HOUR),
        ("session_idle_us", MONTH_US),
        ("rekey_after_us", 12 * MONTH_US),
        ("handshakes", 16),
    ] {
        node.limits.insert(limit.to_owned(), value);
    }
    node
}

/// Who hears whom well.
fn heard(link: &LinkPlan, seed: u64, nodes: u32) -> Option<Vec<Vec<Option<i32>>>> {
    let (spec, radio) = (link.radio_spec()?, link.radio.as_ref()?);
    let level = |a: u32, b: u32| {
        let level = spec.between(seed, 0, &radio.places, (a as usize, b as usize));
        (a != b && level >= spec.sensitivity_mdbm + MARGIN_MDB).then_some(level)
    };
    Some((0..nodes).map(|a| (0..nodes).map(|b| level(a, b)).collect()).collect())
}

/// Who keeps a session with whom: a tree, since all that everybody is told goes once over each session. Whoever joins takes, of those that it hears
/// well, one with room that is nearest to the middle, and of several the one that it hears best. `None` when somebody hears nobody.
fn sessions(link: &LinkPlan, seed: u64, nodes: u32) -> Option<Vec<(u32, u32)>> {
    let heard = heard(link, seed, nodes)?;
    let level = |a: u32, b: u32| heard[a as usize][b as usize];
    let pairs = (0..nodes).flat_map(|a| (0..nodes).map(move |b| (a, b)));
    let near = mesh::neighbours_by(pairs.filter(|&(a, b)| level(a, b).is_some()));
    let farthest = |node: u32| mesh::hops_from(&near, node).into_values().max().unwrap_or(0);
    let middle = (0..nodes).min_by_key(|&node| (farthest(node), node))?;
    let hops = mesh::hops_from(&near, middle);
    if hops.len() as u32 != nodes {
        return None;
    }
    let mut order: Vec<u32> = hops.keys().copied().filter(|&node| node != middle).collect();
    order.sort_by_key(|node| (hops[node], *node));
    let mut depth = BTreeMap::from([(middle, 0_u32)]);
    let mut held: BTreeMap<u32, u32> = BTreeMap::new();
    let mut sessions = Vec::new();
    for node in order {
        let members = near[&node].iter().copied().filter(|other| depth.contains_key(other));
        let is_full = |other: &u32| held.get(other).is_some_and(|&count| count >= MOST_SESSIONS);
        let parent = members
            .min_by_key(|other| (is_full(other), depth[other], Reverse(level(node, *other)), *other))?;
        depth.insert(node, depth[&parent] + 1);
        for end in [node, parent] {
            *held.entry(end).or_default() += 1;
        }
        sessions.push((node, parent));
    }
    Some(sessions)
}

fn judge(case: &Case<'_>, findings: &mut Findings) {
    let (plan, outcome) = (case.plan, case.outcome);
    let Some(report) = outcome.link_reports.first() else {
        return cannot_judge(findings, "there is no radio");
    };
    if plan.flows.is_empty() {
        return cannot_judge(findings, "nobody sends");
    }
    findings.demand(outcome.duplicates == 0, Verdict::Safety, || {
        format!("{} messages were delivered more than once", outcome.duplicates)
    });
    let judged = || {
        plan.flows
            .iter()
            .zip(&outcome.flow_reports)
            .filter(|(flow, _)| flow.every_us > 0)
            .map(|(_, report)| report)
    };
    let in_time: u64 = judged().map(|flow| flow.latency.count_up_to(LATE_US)).sum();
    // What a node does not take, since nobody of that name is on its map, is not in time either.
    let planned: u64 = plan.flows.iter().filter(|flow| flow.every_us > 0).map(|flow| flow.count).sum();
    let in_time_ppm = simulator::outcome::share_ppm(in_time, planned);
    findings.count("messages_planned", planned);
    findings.count("messages_taken", judged().map(|flow| flow.sent).sum());
    findings.count("messages_arrived", judged().map(|flow| flow.delivered).sum());
    findings.share("in_time_percent", in_time_ppm * 100);
    findings.share("delivered_percent", outcome.delivered_ppm() * 100);
    findings.share("median_latency_s", outcome.latency.quantile(500));
    findings.share("p99_latency_s", outcome.latency.quantile(990));
    note_air(findings, plan, outcome);
    let begins_us = plan.flows.iter().filter(|flow| flow.every_us > 0).map(|flow| flow.start_us).min();
    if begins_us.is_some_and(|us| us >= plan.duration_us / 4 * 3) {
        let talking_us: u64 = outcome.node_reports.iter().map(|node| node.airtime_by_quarter_us[3]).sum();
        let delivered: u64 = judged().map(|flow| flow.delivered).sum();
        findings.share("airtime_a_delivery_s", talking_us / delivered.max(1));
    }
    let promised = plan.expect.survivable;
    if promised {
        findings.demand_all_taken(case);
    }
    findings.demand(!promised || in_time_ppm >= PROMISED_PPM, Verdict::Liveness, || {
        format!("{in_time_ppm} ppm of the messages came within ten minutes; {PROMISED_PPM} ppm were promised")
    });
    findings.demand(report.unlawful == 0, Verdict::Resource, || {
        format!("the drivers threw {} packets away that the law did not allow", report.unlawful)
    });
}

fn note_air(findings: &mut Findings, plan: &Plan, outcome: &Outcome) {
    let Some(report) = outcome.link_reports.first() else { return };
    findings.share("airtime_s", report.airtime_us);
    let airtime: Vec<u64> = outcome.node_reports.iter().map(|node| node.airtime_us).collect();
    findings.share("most_airtime_of_a_node_s", airtime.iter().copied().max().unwrap_or(0));
    let names = ["airtime_quarter_1_s", "airtime_quarter_2_s", "airtime_quarter_3_s", "airtime_quarter_4_s"];
    for (quarter, name) in names.into_iter().enumerate() {
        findings
            .share(name, outcome.node_reports.iter().map(|node| node.airtime_by_quarter_us[quarter]).sum());
    }
    findings.count("packets", report.packets.iter().sum());
    findings.count("collided", report.collided);
    findings.count("deaf", report.deaf);
    findings.count("no_access", report.no_access);
    findings.count("unlawful", report.unlawful);
    let up = outcome.session_up_us.iter().flatten().copied();
    findings.count("sessions_planned", plan.peers.len() as u64);
    findings.count("sessions_up", outcome.session_up_us.iter().flatten().count() as u64);
    findings.share("last_session_up_s", up.max().unwrap_or(0));
}
