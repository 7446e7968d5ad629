//! A storm takes one line in twenty, all in the same second.
//!
//! A network that has been quiet for a minute loses a random twentieth of its links at once; nobody is told, the packets just do
//! not arrive. In that moment 200 pings are under way or about to be sent. Then the network has twenty seconds, and 200
//! more are sent. It matters because links die together: with the power of a quarter, or with the mast that carried them.
//!
//! Promised, between pairs that are still connected: of the pings of the first two seconds 99 of 100 are answered within a second,
//! after twenty seconds all.

use std::collections::BTreeSet;

use simulator::Verdict;
use simulator::draw::{Lot, Purpose};
use simulator::plan::{Fault, Plan, What};

use super::{MINUTE, SECOND, cannot_judge, mesh};
use crate::fail::Usage;
use crate::params::{Key, Params};
use crate::scenario::{Case, Findings, Scenario};
use crate::topology::shapes;

const SHAPE: Key = Key {
    name: "shape",
    default: "rgg",
    help: "line, star, grid4, grid8, rtree or rgg, where no --topology is given",
};
const SHARE: Key =
    Key { name: "share", default: "5%", help: "the share of links that are cut, 0 to 50 per cent" };

/// Nodes, unless somebody says otherwise.
const NODES: u32 = 200;
/// The network is left alone for so long.
const CUT_US: u64 = MINUTE;
/// After so long all is well again.
const HEALED_US: u64 = 20 * SECOND;
/// Pings are sent for so long each time, and so many.
const TALK_US: u64 = 2 * SECOND;
const PINGS: u64 = 200;
/// So many of a million are answered at once, and later.
const PROMISED_PPM: [u64; 2] = [990_000, 1_000_000];

/// See the module.
pub const SCENARIO: Scenario = Scenario {
    name: "links-cut",
    shows: "a settled network loses 5 % of its links at once, in silence: pings of that moment, and of 20 s later",
    keys: &[SHAPE, SHARE],
    takes_nodes: true,
    takes_duration: false,
    takes_topology: true,
    plan,
    judge,
    quick: |params| Params { nodes: Some(60), ..params },
};

fn plan(params: &Params) -> Result<Plan, Usage> {
    let nodes = params.nodes_within(NODES, 3..=2_000)?;
    let shape = params.one_of(&SHAPE, &shapes::NAMES)?;
    let share_ppm = params.share_ppm(&SHARE, 500_000)?;
    let drawn = mesh::shape(shape, nodes, params.seed)?;
    let topology = params.topology.as_ref().map_or(&drawn, |(_, topology)| topology);
    let mut plan = Plan::new(SCENARIO.name, params.seed, CUT_US + HEALED_US + TALK_US + SECOND);
    plan.calm_us = MINUTE;
    mesh::add_network(&mut plan, topology, false, None);
    let count = plan.links.len() as u64;
    let lot = Lot::new(params.seed, Purpose::Plan, 3);
    let mut links: Vec<u32> = (0..count as u32).collect();
    links.sort_by_key(|&link| lot.at(u64::from(link)));
    links.truncate((count * u64::from(share_ppm) / 1_000_000) as usize);
    let gone: BTreeSet<Vec<u32>> =
        links.iter().map(|&link| plan.links[link as usize].members.clone()).collect();
    let mut near = mesh::neighbours(&plan);
    for pair in &gone {
        near.entry(pair[0]).or_default().remove(&pair[1]);
        near.entry(pair[1]).or_default().remove(&pair[0]);
    }
    if links.is_empty() {
        let share =
            format!("--set share={}", params.set.get(SHARE.name).map_or(SHARE.default, String::as_str));
        return Err(Usage::new(
            "no link would be cut",
            share,
            "give a larger share, or a network with more links",
        ));
    }
    let what = What::Cut { links, there: true, back: true };
    plan.faults.push(Fault { id: 1, start_us: CUT_US, end_us: plan.duration_us, what });
    let pairs = mesh::pairs(&near, params.seed, 2 * PINGS);
    if (pairs.len() as u64) < 2 * PINGS {
        return Err(Usage::new("no two nodes are two hops apart", "--nodes", "give a larger network"));
    }
    for (number, &pair) in (0..).zip(&pairs) {
        let start_us = CUT_US + if number < PINGS { 0 } else { HEALED_US };
        mesh::add_ping(&mut plan, pair, start_us + number % PINGS * TALK_US / PINGS);
    }
    Ok(plan)
}

fn judge(case: &Case<'_>, findings: &mut Findings) {
    let (plan, outcome) = (case.plan, case.outcome);
    findings.demand_all_once(outcome);
    let pings: Vec<mesh::Ping> = mesh::pings(plan, outcome).collect();
    let Some(cut) = plan.faults.first().map(|fault| fault.start_us).filter(|_| !pings.is_empty()) else {
        return cannot_judge(findings, "a fault and pings are needed");
    };
    let shares = [0, HEALED_US].map(|after_us| {
        let sent =
            pings.iter().filter(|ping| (cut + after_us..cut + after_us + TALK_US).contains(&ping.sent_us));
        mesh::answered_ppm(sent, mesh::LATE_US)
    });
    let names = ["answered_at_once_percent", "answered_after_20_s_percent"];
    for ((name, share), promised) in names.into_iter().zip(shares).zip(PROMISED_PPM) {
        findings.share(name, share * 100);
        findings.demand(share >= promised, Verdict::Liveness, || {
            format!("{name}: {share} ppm of the pings; {promised} ppm were promised")
        });
    }
    mesh::note_loops(findings, outcome);
}
