//! Three years later: some nodes were updated, some were not, and one was left in a drawer.
//!
//! The old one speaks version 1, the new one only what comes after the next, and one in the middle
//! speaks both ends' neighbours. It matters because in a mesh nobody updates everybody on one day;
//! a node that cannot be understood must be told so in plain words, not by silence, and nobody may
//! talk two nodes into an older version than both speak.
//!
//! What must hold: pairs with a version in common work, at the highest one; pairs without say so, both
//! of them, and never exchange a message.
//!
//! Promised: every message between compatible nodes once, and both sides run each such session at the
//! highest version that both speak; on both sides of every incompatible pair an `Incompatible` report that
//! names the link, the other's address and both ranges; no session there.

use proto_core::ids::{LinkId, NodeId};
use proto_core::node::Event;
use simulator::net::address::address_of;
use simulator::plan::{FlowPlan, LinkKind, LinkPlan, NodePlan, Plan};
use simulator::subject::Subject;
use simulator::{Real, Verdict};

use super::{MINUTE, SECOND, cannot_judge};
use crate::fail::Usage;
use crate::params::{Key, Params};
use crate::scenario::{Case, Findings, Scenario};

const LOSS: Key = Key { name: "loss", default: "10%", help: "loss each way, 0 to 90%" };

/// Old, middle, new, newest, and one that speaks with all but the newest: lowest and highest version of
/// each. The last has two versions in common with the middle one and with the new one.
const VERSIONS: [(u8, u8); 5] = [(1, 1), (1, 2), (2, 3), (4, 5), (1, 3)];

/// See the module.
pub const SCENARIO: Scenario = Scenario {
    name: "incompatible-versions",
    shows: "old and new nodes work together where they can and say plainly where they cannot",
    keys: &[LOSS],
    takes_nodes: false,
    takes_duration: false,
    takes_topology: false,
    plan,
    judge,
    quick: |params| params,
};

/// The highest version that both speak.
fn common(a: (u8, u8), b: (u8, u8)) -> Option<u8> {
    let highest = a.1.min(b.1);
    (highest >= a.0.max(b.0)).then_some(highest)
}

fn plan(params: &Params) -> Result<Plan, Usage> {
    let loss_ppm = params.share_ppm(&LOSS, 900_000)?;
    let mut plan = Plan::new(SCENARIO.name, params.seed, MINUTE);
    plan.calm_us = 30 * MINUTE;
    // The incompatible pairs are planned peers as well and must not get a session.
    plan.expect.sessions = false;
    for versions in VERSIONS {
        plan.add_node(NodePlan { versions: Some(versions), ..NodePlan::default() });
    }
    for a in 0..VERSIONS.len() as u32 {
        for b in a + 1..VERSIONS.len() as u32 {
            let mut link = LinkPlan::new(LinkKind::Wifi, &[a, b]);
            (link.loss_there_ppm, link.loss_back_ppm) = (loss_ppm, loss_ppm);
            plan.add_link(link);
            plan.add_peer(a, b);
            if common(VERSIONS[a as usize], VERSIONS[b as usize]).is_some() {
                for (from, to) in [(a, b), (b, a)] {
                    let flow =
                        FlowPlan { start_us: SECOND, every_us: 100_000, ..FlowPlan::new(from, to, 100, 100) };
                    plan.flows.push(flow);
                }
            }
        }
    }
    Ok(plan)
}

fn judge(case: &Case<'_>, findings: &mut Findings) {
    findings.demand_all_taken(case);
    findings.demand_all_once(case.outcome);
    let pairs = pairs(case.plan);
    let apart = pairs.iter().filter(|pair| pair.common.is_none()).count();
    findings.count("pairs_together", (pairs.len() - apart) as u64);
    findings.count("pairs_apart", apart as u64);
    if apart == 0 || apart == pairs.len() {
        return cannot_judge(findings, "it needs a pair with a version in common and a pair without");
    }
    let cast = match Real::cast(case.plan) {
        Ok(cast) => cast,
        Err(why) => return cannot_judge(findings, why),
    };
    for pair in pairs {
        let (a, b) = (pair.ends[0].node, pair.ends[1].node);
        if !case.plan.peers.iter().any(|peer| [(a, b), (b, a)].contains(&(peer.node, peer.to))) {
            cannot_judge(findings, format!("nodes {a} and {b} share a link and neither calls the other"));
            continue;
        }
        for [here, there] in [pair.ends, [pair.ends[1], pair.ends[0]]] {
            let peer = Real::node_id(&cast, there.node);
            match pair.common {
                Some(version) => judge_together(case, findings, (here.node, there.node), peer, version),
                None => judge_apart(case, findings, here, there, peer),
            }
        }
    }
}

/// One side of a pair.
#[derive(Clone, Copy)]
struct End {
    node: u32,
    versions: (u8, u8),
    /// The node's own number of the link that both are on.
    link: LinkId,
}

struct Pair {
    ends: [End; 2],
    common: Option<u8>,
}

/// Every two nodes that share a link.
fn pairs(plan: &Plan) -> Vec<Pair> {
    let mut interfaces = vec![0; plan.node_count() as usize];
    let mut pairs = Vec::new();
    for link in &plan.links {
        let mut ends: Vec<End> = Vec::new();
        for &node in &link.members {
            let Some(number) = interfaces.get_mut(node as usize) else { continue };
            let own = plan.node(node).and_then(|planned| planned.versions);
            let versions = own.unwrap_or(proto_core::node::VERSIONS);
            ends.push(End { node, versions, link: LinkId(*number) });
            *number += 1;
        }
        for (at, &here) in ends.iter().enumerate() {
            for &there in &ends[at + 1..] {
                pairs.push(Pair { ends: [here, there], common: common(here.versions, there.versions) });
            }
        }
    }
    pairs
}

/// What a node said, as the run keeps it.
fn said<'a>(case: &'a Case<'_>, node: u32) -> impl Iterator<Item = &'a str> {
    case.outcome.notes.iter().filter(move |note| note.host == node).map(|note| note.what.as_str())
}

/// The reports of a session with `peer`.
fn ups<'a>(case: &'a Case<'_>, node: u32, peer: NodeId) -> Vec<&'a str> {
    let begin = format!("PeerUp {{ node: {peer:?},");
    said(case, node).filter(|what| what.starts_with(&begin)).collect()
}

fn judge_together(
    case: &Case<'_>,
    findings: &mut Findings,
    (node, other): (u32, u32),
    peer: NodeId,
    version: u8,
) {
    let ups = ups(case, node, peer);
    findings.demand(!ups.is_empty(), Verdict::Liveness, || {
        format!("nodes {node} and {other} both speak version {version}, and {node} had no session")
    });
    let end = format!(" version: {version} }}");
    let wrong = ups.iter().find(|what| !what.ends_with(&end));
    findings.demand(wrong.is_none(), Verdict::Safety, || {
        format!(
            "nodes {node} and {other} both speak version {version}, and {node} said {}",
            wrong.copied().unwrap_or_default()
        )
    });
}

fn judge_apart(case: &Case<'_>, findings: &mut Findings, here: End, there: End, peer: NodeId) {
    let (node, other) = (here.node, there.node);
    findings.demand(ups(case, node, peer).is_empty(), Verdict::Safety, || {
        format!("nodes {node} and {other} have no version in common, and {node} had a session")
    });
    let expected = Event::Incompatible {
        link: here.link,
        from: address_of(other),
        theirs: there.versions,
        ours: here.versions,
    };
    let expected = format!("{expected:?}");
    findings.demand(said(case, node).any(|what| what == expected), Verdict::Liveness, || {
        format!("node {node} met node {other}, cannot understand it, and never said {expected}")
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{self, How, Ran};

    /// What the judge says of a run of seed 1 after `change`.
    fn judged(change: impl FnOnce(&mut Plan, &mut Ran)) -> Vec<String> {
        let mut plan = SCENARIO.make(&Params::seed(1)).unwrap();
        let mut ran = engine::run(&plan, How::default());
        change(&mut plan, &mut ran);
        let case = Case { plan: &plan, outcome: &ran.outcome, memory: &ran.memory, topology: None };
        let mut findings = Findings::default();
        judge(&case, &mut findings);
        findings.broken.into_iter().map(|broken| broken.reason).collect()
    }

    #[test]
    fn every_side_of_every_pair_is_asked() {
        assert_eq!(judged(|_, _| {}), [""; 0]);
        for node in 0..VERSIONS.len() as u32 {
            let strangers =
                VERSIONS.iter().filter(|other| common(**other, VERSIONS[node as usize]).is_none());
            let mute = judged(|_, ran| {
                ran.outcome.notes.retain(|note| note.host != node || !note.what.starts_with("Incompatible"));
            });
            assert_eq!(mute.len(), strangers.count(), "{mute:?}");
            // Who says it about one stranger has not said it about the others.
            let once = judged(|_, ran| {
                let mut first = true;
                ran.outcome.notes.retain(|note| {
                    let says = note.host == node && note.what.starts_with("Incompatible");
                    !says || std::mem::take(&mut first)
                });
            });
            assert_eq!(once.len(), mute.len().saturating_sub(1), "{once:?}");
        }
    }

    #[test]
    fn a_lower_version_than_both_speak_is_a_downgrade() {
        let downgraded = judged(|_, ran| {
            let mut notes = ran.outcome.notes.iter_mut().filter(|note| note.what.ends_with("version: 3 }"));
            let note = notes.next().unwrap();
            note.what = note.what.replace("version: 3 }", "version: 2 }");
        });
        assert!(downgraded.len() == 1 && downgraded[0].contains("both speak version 3"), "{downgraded:?}");
    }

    #[test]
    fn edited_plans_are_judged_or_refused_in_words() {
        let silent = judged(|plan, _| plan.peers.truncate(9));
        assert!(silent.len() == 1 && silent[0].contains("neither calls the other"), "{silent:?}");
        let alike = judged(|plan, _| plan.nodes.iter_mut().for_each(|node| node.versions = None));
        assert!(alike.len() == 1 && alike[0].contains("a pair without"), "{alike:?}");
        let more = judged(|plan, _| {
            plan.add_node(NodePlan::default());
            plan.add_link(LinkPlan::new(LinkKind::Wifi, &[0, 5]));
        });
        assert!(more.len() == 1 && more[0].contains("neither calls the other"), "{more:?}");
    }

    #[test]
    fn the_highest_common_version_wins() {
        assert_eq!(super::common((1, 1), (1, 2)), Some(1));
        assert_eq!(super::common((1, 2), (2, 3)), Some(2));
        assert_eq!(super::common((1, 1), (2, 3)), None);
        assert_eq!(super::common((4, 5), (2, 3)), None);
        assert_eq!(super::common((1, 3), (2, 3)), Some(3));
    }
}
