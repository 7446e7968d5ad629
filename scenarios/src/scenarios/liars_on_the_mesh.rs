//! One neighbour in ten does not tell the truth, and keeps what he should pass on.
//!
//! Fifty nodes, of which five lie to whoever hears them, each second, in words that are sealed and delivered like all others: that
//! the others have no neighbours, in their names; that they themselves are everybody's neighbour, at no cost; and what was true
//! before links broke. And what is given to them for others they take, and throw away. It matters because a mesh is made of whoever
//! comes, and one who is believed about others can take the whole of it away from everybody.
//!
//! Promised: of the pings between honest nodes that are connected by honest ones 99 of 100 are answered within a second, and no
//! next hop of anybody leads in a circle or nowhere, but by way of one who throws packets away.

use std::collections::{BTreeMap, BTreeSet};

use simulator::Verdict;
use simulator::draw::{Lot, Purpose};
use simulator::plan::{Fault, Lie, Plan, What};

use super::{MINUTE, SECOND, cannot_judge, mesh};
use crate::fail::Usage;
use crate::params::{Key, Params};
use crate::scenario::{Case, Findings, Scenario};

const LIES: Key = Key { name: "lies", default: "all", help: "forge, links, replay, swallow, or all of them" };
const SHARE: Key =
    Key { name: "share", default: "10%", help: "the share of nodes that lie, 1 to 50 per cent" };

/// Nodes, unless somebody says otherwise.
const NODES: u32 = 50;
/// They lie from then on, and so often.
const LIE_US: u64 = 10 * SECOND;
const EVERY_US: u64 = SECOND;
/// One link in so many breaks then, in silence: what was true is not true any more.
const CUT_US: u64 = 20 * SECOND;
const CUT_EACH: usize = 20;
/// Pings begin then, and are sent for so long.
const TALK_US: u64 = 30 * SECOND;
const TALK_FOR_US: u64 = 30 * SECOND;
const PINGS: u64 = 300;
const PROMISED_PPM: u64 = 990_000;

/// See the module.
pub const SCENARIO: Scenario = Scenario {
    name: "liars-on-the-mesh",
    shows: "one node in ten lies about the map each second: pings between honest nodes",
    keys: &[LIES, SHARE],
    takes_nodes: true,
    takes_duration: false,
    takes_topology: false,
    plan,
    judge,
    quick: |params| Params { nodes: params.nodes.or(Some(20)), ..params },
};

type Near = BTreeMap<u32, BTreeSet<u32>>;

/// The network without some of its nodes.
fn without(near: &Near, gone: &BTreeSet<u32>) -> Near {
    let stays = |node: &u32| !gone.contains(node);
    let rest = near.iter().filter(|(node, _)| stays(node));
    rest.map(|(&node, others)| (node, others.iter().copied().filter(stays).collect())).collect()
}

/// So many nodes, of which the others can do without.
fn liars(near: &Near, seed: u64, wanted: usize) -> BTreeSet<u32> {
    let lot = Lot::new(seed, Purpose::Plan, 6);
    let mut nodes: Vec<u32> = near.keys().copied().collect();
    nodes.sort_by_key(|&node| lot.at(u64::from(node)));
    let mut liars = BTreeSet::new();
    for node in nodes {
        if liars.len() == wanted {
            break;
        }
        liars.insert(node);
        let honest = without(near, &liars);
        let first = honest.keys().next();
        if first.is_none_or(|&first| mesh::hops_from(&honest, first).len() < honest.len()) {
            liars.remove(&node);
        }
    }
    liars
}

fn plan(params: &Params) -> Result<Plan, Usage> {
    let nodes = params.nodes_within(NODES, 10..=500)?;
    let share_ppm = params.share_ppm(&SHARE, 500_000)?;
    let kinds: &[Lie] = match params.one_of(&LIES, &["forge", "links", "replay", "swallow", "all"])? {
        "forge" => &[Lie::Forge],
        "links" => &[Lie::Links],
        "replay" => &[Lie::Replay],
        "swallow" => &[Lie::Swallow],
        _ => &Lie::ALL,
    };
    let topology = mesh::shape("rgg", nodes, params.seed)?;
    let mut plan = Plan::new(SCENARIO.name, params.seed, TALK_US + TALK_FOR_US + SECOND);
    plan.calm_us = MINUTE;
    mesh::add_network(&mut plan, &topology, false, None);
    let whole = mesh::neighbours(&plan);
    let wanted = (u64::from(nodes) * u64::from(share_ppm)).div_ceil(1_000_000) as usize;
    let liars = liars(&whole, params.seed, wanted);
    let mut id = 0;
    for &node in &liars {
        for &lie in kinds {
            id += 1;
            let what = What::Lie { node, lie, every_us: EVERY_US };
            plan.faults.push(Fault { id, start_us: LIE_US, end_us: plan.duration_us, what });
        }
    }
    let links: Vec<u32> = (0..plan.links.len() as u32).step_by(CUT_EACH).collect();
    let mut honest = without(&whole, &liars);
    for &link in &links {
        let [a, b] = plan.links[link as usize].members[..] else { continue };
        for (a, b) in [(a, b), (b, a)] {
            honest.entry(a).and_modify(|others| {
                others.remove(&b);
            });
        }
    }
    let what = What::Cut { links, there: true, back: true };
    plan.faults.push(Fault { id: id + 1, start_us: CUT_US, end_us: plan.duration_us, what });
    let pairs = mesh::pairs(&honest, params.seed, PINGS);
    if pairs.is_empty() || liars.is_empty() {
        return Err(Usage::new("nobody lies, or nobody is left to talk", "--nodes", "give a larger network"));
    }
    for (number, &pair) in (0..).zip(&pairs) {
        mesh::add_ping(&mut plan, pair, TALK_US + number * TALK_FOR_US / PINGS);
    }
    Ok(plan)
}

fn judge(case: &Case<'_>, findings: &mut Findings) {
    let (plan, outcome) = (case.plan, case.outcome);
    findings.demand_all_once(outcome);
    let pings: Vec<mesh::Ping> = mesh::pings(plan, outcome).collect();
    if pings.is_empty() || !plan.faults.iter().any(|fault| matches!(fault.what, What::Lie { .. })) {
        return cannot_judge(findings, "liars and pings are needed");
    }
    let answered_ppm = mesh::answered_ppm(&pings, mesh::LATE_US);
    findings.share("delivered_percent", answered_ppm * 100);
    findings.demand(answered_ppm >= PROMISED_PPM, Verdict::Liveness, || {
        format!("{answered_ppm} ppm of the pings were answered; {PROMISED_PPM} ppm were promised")
    });
    mesh::note_ways(findings, plan, outcome);
}
