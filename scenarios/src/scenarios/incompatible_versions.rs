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
//! Promised: every message between compatible nodes once; an `Incompatible` report on both sides of
//! every incompatible pair; no session there.

use simulator::Verdict;
use simulator::plan::{FlowPlan, LinkKind, LinkPlan, NodePlan, Plan};

use super::{MINUTE, SECOND};
use crate::fail::Usage;
use crate::params::{Key, Params};
use crate::scenario::{Case, Findings, Scenario};

const LOSS: Key = Key { name: "loss", default: "10%", help: "loss each way, 0 to 90%" };

/// Old, middle, new, newest: lowest and highest version of each.
const VERSIONS: [(u8, u8); 4] = [(1, 1), (1, 2), (2, 3), (4, 5)];

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
    let outcome = case.outcome;
    findings.demand_all_once(outcome);
    let (mut together, mut apart) = (0, 0);
    for (at, peer) in case.plan.peers.iter().enumerate() {
        let (a, b) = (peer.node as usize, peer.to as usize);
        let up = outcome.session_up_us.get(at).copied().flatten().is_some();
        if let Some(version) = common(VERSIONS[a], VERSIONS[b]) {
            together += 1;
            findings.demand(up, Verdict::Liveness, || {
                format!("nodes {a} and {b} both speak version {version} and had no session")
            });
            continue;
        }
        apart += 1;
        findings.demand(!up, Verdict::Safety, || {
            format!("nodes {a} and {b} have no version in common and had a session")
        });
    }
    for (node, versions) in VERSIONS.iter().enumerate() {
        let strangers = VERSIONS.iter().filter(|other| common(*versions, **other).is_none()).count();
        let said = outcome
            .notes
            .iter()
            .filter(|note| note.host == node as u32 && note.what.contains("Incompatible"))
            .count();
        findings.demand(strangers == 0 || said > 0, Verdict::Liveness, || {
            format!("node {node} met {strangers} nodes that it cannot understand and never said so")
        });
    }
    findings.count("pairs_together", together);
    findings.count("pairs_apart", apart);
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_highest_common_version_wins() {
        assert_eq!(super::common((1, 1), (1, 2)), Some(1));
        assert_eq!(super::common((1, 2), (2, 3)), Some(2));
        assert_eq!(super::common((1, 1), (2, 3)), None);
        assert_eq!(super::common((4, 5), (2, 3)), None);
    }
}
