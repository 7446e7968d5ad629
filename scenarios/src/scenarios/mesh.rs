//! What the scenarios of the mesh have in common: routers on a graph, pings between random pairs, and how they are counted.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proto_core::limits::Limits;
use simulator::Outcome;
use simulator::draw::{Lot, Purpose};
use simulator::plan::{FlowPlan, LinkKind, LinkPlan, NodePlan, Plan, Profile};

use super::SECOND;
use crate::fail::Usage;
use crate::params::{Key, Params};
use crate::scenario::Findings;
use crate::topology::{Topology, shapes};

/// A ping whose answer takes longer does not count.
pub(super) const LATE_US: u64 = SECOND;
/// Bytes of a ping and of its answer: those of an echo request.
const PING_BYTES: u32 = 56;
/// Ethernet, IPv6 and UDP.
pub(super) const LOWER_HEADERS: u64 = 62;
const NEVER_PPM: u32 = 1_000_000;
/// Each link, one way, unless a scenario says otherwise: about a millisecond, as in the published runs.
pub(super) const DELAY_US: u64 = SECOND / 1_000;

/// A shape by its name.
pub(super) fn shape(name: &str, nodes: u32, seed: u64) -> Result<Topology, Usage> {
    shapes::named(name, nodes, seed)
        .map_err(|why| Usage::new(why, format!("--set shape={name}"), "choose one of these"))
}

/// The node over which most of the shortest ways lead and that the others can do without, and the pairs of these ways; each
/// pair has one way, the first that is found. `None` when there is no such node.
pub(super) fn best_relay(near: &BTreeMap<u32, BTreeSet<u32>>, nodes: u32) -> Option<(u32, Vec<(u32, u32)>)> {
    let mut over: BTreeMap<u32, Vec<(u32, u32)>> = BTreeMap::new();
    for from in 0..nodes {
        let mut parent = BTreeMap::from([(from, from)]);
        let mut open = VecDeque::from([from]);
        while let Some(node) = open.pop_front() {
            let mut at = parent[&node];
            while at != from {
                over.entry(at).or_default().push((from, node));
                at = parent[&at];
            }
            for &next in near.get(&node).into_iter().flatten() {
                if let Entry::Vacant(place) = parent.entry(next) {
                    place.insert(node);
                    open.push_back(next);
                }
            }
        }
    }
    let can_be_spared = |relay: u32| {
        let mut rest = near.clone();
        rest.remove(&relay);
        rest.values_mut().for_each(|others| {
            others.remove(&relay);
        });
        rest.keys().next().is_some_and(|&node| hops_from(&rest, node).len() as u32 == nodes - 1)
    };
    let mut relays: Vec<(u32, Vec<(u32, u32)>)> = over.into_iter().collect();
    relays.sort_by_key(|(relay, pairs)| (core::cmp::Reverse(pairs.len()), *relay));
    relays.into_iter().find(|&(relay, _)| can_be_spared(relay))
}

/// Adds the nodes of a network, each with room for all others, and links that take `delay_us` and a tenth of it more. With
/// `measured` each direction loses what the network says, and who hears one side only is no neighbour.
pub(super) fn add_network(plan: &mut Plan, topology: &Topology, measured: bool, delay_us: Option<u64>) {
    let delay_us = delay_us.unwrap_or(DELAY_US);
    let count = topology.nodes.len() as u64;
    for degree in topology.degrees() {
        plan.nodes.push(router(degree, count));
    }
    for edge in &topology.links {
        let mut link = LinkPlan::new(LinkKind::Wifi, &[edge.source, edge.target]);
        link.delay_us = Some(delay_us);
        link.jitter_us = Some(delay_us / 10);
        if measured {
            (link.loss_there_ppm, link.loss_back_ppm) =
                (NEVER_PPM - edge.there_ppm, NEVER_PPM - edge.back_ppm);
        }
        plan.add_link(link);
        if !measured || edge.there_ppm > 0 && edge.back_ppm > 0 {
            plan.add_peer(edge.source, edge.target);
        }
    }
}

/// How neighbours come to know of each other.
pub(super) const FOUND: Key = Key {
    name: "found",
    default: "given",
    help: "how neighbours know of each other: `given` to each by its operator, or `beacon`, by none but their own",
};

/// Has neighbours find each other as the choice of [`FOUND`] says.
pub(super) fn find_each_other(plan: &mut Plan, params: &Params) -> Result<(), Usage> {
    if params.one_of(&FOUND, &["given", "beacon"])? == "beacon" {
        plan.nodes.iter_mut().for_each(|node| node.beacons = true);
        plan.peers.iter_mut().for_each(|peer| peer.told = false);
        // What is said to nobody in particular is heard by all.
        plan.links.iter_mut().for_each(|link| link.shared = Some(true));
    }
    Ok(())
}

/// A device with room for this many neighbours and routers, and for visits to as many others.
pub(super) fn router(degree: u32, routers: u64) -> NodePlan {
    let mut node = device(degree, 2 * degree);
    node.limits.insert("routers".to_owned(), routers.max(1));
    node.limits.insert("routing_bytes".to_owned(), 2_048 * routers);
    node
}

/// The smallest device with room for this many links and peers.
pub(super) fn device(links: u32, peers: u32) -> NodePlan {
    let mut node = NodePlan { profile: Profile::Small, ..NodePlan::default() };
    if links > u32::from(Limits::SMALL.links) {
        node.limits.insert("links".to_owned(), u64::from(links));
    }
    if peers > u32::from(Limits::SMALL.peers) {
        node.profile = Profile::Server;
    }
    node
}

/// All nodes of a plan take part in gossip, with room for each other, and ask for what is said about a topic.
pub(super) fn make_members(plan: &mut Plan, topic: u32) {
    let count = u64::from(plan.node_count());
    for node in &mut plan.nodes {
        node.limits.insert("gossip_members".to_owned(), count.max(2));
        node.topics = vec![topic];
    }
}

/// The largest part of a network that hangs together; of two as large, the one with the smallest number in it.
pub(super) fn core(plan: &Plan) -> BTreeSet<u32> {
    let near = neighbours(plan);
    let mut best = BTreeSet::new();
    let mut seen: BTreeSet<u32> = BTreeSet::new();
    for &node in near.keys() {
        if !seen.contains(&node) {
            let part: BTreeSet<u32> = hops_from(&near, node).into_keys().collect();
            seen.extend(&part);
            if part.len() > best.len() {
                best = part;
            }
        }
    }
    best
}

/// All links lose so much, each way.
pub(super) fn lose(plan: &mut Plan, ppm: u32) {
    for link in &mut plan.links {
        (link.loss_there_ppm, link.loss_back_ppm) = (ppm, ppm);
    }
}

/// Payloads of broadcasts that came to nodes for each that was new, in millionths.
pub(super) fn copies_ppm(outcome: &Outcome) -> u64 {
    let (new, old) = outcome.gossip.copies;
    (new + old) * 1_000_000 / new.max(1)
}

/// Who is a neighbour of whom, by the sessions of a plan.
pub(super) fn neighbours(plan: &Plan) -> BTreeMap<u32, BTreeSet<u32>> {
    neighbours_by(plan.peers.iter().map(|peer| (peer.node, peer.to)))
}

/// Who is a neighbour of whom, by these links.
pub(super) fn neighbours_by(links: impl IntoIterator<Item = (u32, u32)>) -> BTreeMap<u32, BTreeSet<u32>> {
    let mut near: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for (a, b) in links {
        near.entry(a).or_default().insert(b);
        near.entry(b).or_default().insert(a);
    }
    near
}

/// Hops from one node to whoever is connected to it.
pub(super) fn hops_from(near: &BTreeMap<u32, BTreeSet<u32>>, from: u32) -> BTreeMap<u32, u32> {
    let mut hops = BTreeMap::from([(from, 0u32)]);
    let mut open = VecDeque::from([from]);
    while let Some(node) = open.pop_front() {
        for &next in near.get(&node).into_iter().flatten() {
            if !hops.contains_key(&next) {
                hops.insert(next, hops[&node] + 1);
                open.push_back(next);
            }
        }
    }
    hops
}

/// `wanted` random pairs that are connected and at least two hops apart; none when nobody is.
pub(super) fn pairs(near: &BTreeMap<u32, BTreeSet<u32>>, seed: u64, wanted: u64) -> Vec<(u32, u32)> {
    let sources: Vec<u32> = near.keys().copied().collect();
    let lot = Lot::new(seed, Purpose::Plan, 2);
    let mut far_from: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let mut pairs = Vec::new();
    for n in 0..4 * wanted {
        if pairs.len() as u64 == wanted || sources.is_empty() {
            break;
        }
        let from = sources[lot.between(2 * n, 0, sources.len() as u64 - 1) as usize];
        let far = far_from.entry(from).or_insert_with(|| {
            hops_from(near, from).into_iter().filter(|&(_, hops)| hops >= 2).map(|(node, _)| node).collect()
        });
        if !far.is_empty() {
            pairs.push((from, far[lot.between(2 * n + 1, 0, far.len() as u64 - 1) as usize]));
        }
    }
    pairs
}

/// Adds a ping, sent at `start_us`, and its answer.
pub(super) fn add_ping(plan: &mut Plan, (from, to): (u32, u32), start_us: u64) {
    let question = FlowPlan { start_us, ..FlowPlan::new(from, to, 1, PING_BYTES) };
    let answer = question.answer(plan.flows.len() as u32, PING_BYTES);
    plan.flows.push(question);
    plan.flows.push(answer);
}

/// What became of a ping.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ping {
    pub(super) from: u32,
    pub(super) to: u32,
    /// When it was sent, in virtual microseconds.
    pub(super) sent_us: u64,
    /// How long its answer took to come; `None` when none came.
    pub(super) rtt_us: Option<u64>,
}

impl Ping {
    /// Whether its answer came within so long.
    pub(super) fn is_answered(&self, within_us: u64) -> bool {
        self.rtt_us.is_some_and(|us| us <= within_us)
    }
}

/// All pings of a plan, in its order.
pub(super) fn pings<'a>(plan: &'a Plan, outcome: &'a Outcome) -> impl Iterator<Item = Ping> + 'a {
    plan.flows.iter().zip(&outcome.flow_reports).filter_map(|(answer, report)| {
        let FlowPlan { from, to, start_us, .. } = *plan.flows.get(answer.answers? as usize)?;
        let rtt_us = report.first_delivered_us.map(|us| us.saturating_sub(start_us));
        Some(Ping { from, to, sent_us: start_us, rtt_us })
    })
}

/// The share of pings that are answered within so long, in millionths; a million when there are none.
pub(super) fn answered_ppm<'a>(pings: impl IntoIterator<Item = &'a Ping>, within_us: u64) -> u64 {
    let (mut count, mut answered_millions) = (0_u64, 0_u64);
    for ping in pings {
        count += 1;
        answered_millions += if ping.is_answered(within_us) { 1_000_000 } else { 0 };
    }
    answered_millions.checked_div(count).unwrap_or(1_000_000)
}

/// Whether two nodes are connected by links of a kind, with a session over each.
pub(super) fn connected(plan: &Plan, good: impl Fn(&LinkPlan) -> bool) -> impl Fn(u32, u32) -> bool {
    let links = plan.links.iter().filter(|link| good(link));
    let pairs: BTreeSet<(u32, u32)> = links
        .flat_map(|link| link.members.iter().flat_map(|&a| link.members.iter().map(move |&b| (a, b))))
        .collect();
    let peers = plan.peers.iter().map(|peer| (peer.node, peer.to));
    let near = neighbours_by(peers.filter(|pair| pairs.contains(pair)));
    let mut part: BTreeMap<u32, u32> = BTreeMap::new();
    for &node in near.keys() {
        if !part.contains_key(&node) {
            part.extend(hops_from(&near, node).into_keys().map(|other| (other, node)));
        }
    }
    move |a, b| part.contains_key(&a) && part.get(&a) == part.get(&b)
}

/// Notes what pings took, on the average of those whose answer counts, and how much longer the ways of packets over the
/// mesh were than need be.
pub(super) fn note_ways(findings: &mut Findings, plan: &Plan, outcome: &Outcome) {
    let (mut count, mut sum_us) = (0, 0);
    for us in pings(plan, outcome).filter(|ping| ping.is_answered(LATE_US)).filter_map(|ping| ping.rtt_us) {
        (count, sum_us) = (count + 1, sum_us + us);
    }
    findings.share("rtt_avg_ms", sum_us * 1_000 / u64::max(count, 1));
    let ways = &outcome.routes;
    findings.share("mean_stretch", ways.hops * 1_000_000 / ways.shortest_hops.max(1));
    note_loops(findings, outcome);
}

/// Notes how often packets came back, and how long next hops formed a circle.
pub(super) fn note_loops(findings: &mut Findings, outcome: &Outcome) {
    findings.count("packets_that_came_back", outcome.routes.returned);
    findings.share("longest_circle_ms", outcome.routes.longest_circle_us * 1_000);
}

/// Notes what a node sent on the average in the second half of the storm, with the lower headers that the published figures
/// count.
pub(super) fn note_sent(findings: &mut Findings, plan: &Plan, outcome: &Outcome) {
    let (packets, bytes) = outcome.node_reports.iter().fold((0, 0), |(packets, bytes), report| {
        let [_, _, third, last] = report.sent_by_quarter;
        (packets + third.0 + last.0, bytes + third.1 + last.1)
    });
    let seconds = plan.duration_us / 2 / SECOND;
    let per_node = |total: u64| total * 1_000 / u64::from(outcome.nodes).max(1) / seconds.max(1) * 1_000;
    findings.share("tx_bytes_per_node_per_s", per_node(bytes + LOWER_HEADERS * packets));
    findings.share("packets_per_node_per_s", per_node(packets));
}
