//! Who can hear of whom, as the plan has it.

use crate::plan::{PeerPlan, Plan};

/// Who has which links and speaks what: looked up once, since a plan of ten thousand nodes is asked of each pair.
#[derive(Debug)]
pub(super) struct Reach {
    /// The network and the versions of each node, and its links.
    nodes: Vec<(u32, (u8, u8), Vec<u32>)>,
}

impl Reach {
    /// Of a plan.
    pub(super) fn of(plan: &Plan) -> Reach {
        let entries = plan.nodes.iter().flat_map(|entry| core::iter::repeat_n(entry, entry.count as usize));
        let all = (0, u8::MAX);
        let mut nodes: Vec<(u32, (u8, u8), Vec<u32>)> =
            entries.map(|entry| (entry.network, entry.versions.unwrap_or(all), Vec::new())).collect();
        for (link, number) in plan.links.iter().zip(0..) {
            for member in &link.members {
                if let Some((_, _, links)) = nodes.get_mut(*member as usize) {
                    links.push(number);
                }
            }
        }
        Reach { nodes }
    }

    /// Whether a plan leaves two nodes a way to talk directly: one network, a common version, and a link that does
    /// not lose everything in either direction. Radios are taken where they stand in the end.
    pub(super) fn can_talk(&self, plan: &Plan, a: u32, b: u32) -> bool {
        let node = |node: u32| self.nodes.get(node as usize);
        let (Some((net, own, links)), Some((other, theirs, _))) = (node(a), node(b)) else { return false };
        net == other
            && own.0.max(theirs.0) <= own.1.min(theirs.1)
            && links.iter().any(|&number| {
                let link = &plan.links[number as usize];
                let whole =
                    link.loss_there_ppm < 1_000_000 && (link.spec().shared || link.loss_back_ppm < 1_000_000);
                whole && link.members.contains(&b) && link.hears(plan.seed, number, (a, b))
            })
    }
}

/// Which nodes can reach each other over others that take part in routing.
#[derive(Debug)]
pub(super) struct Mesh {
    /// A number for each part that hangs together; `None` for who takes no part in routing.
    parts: Vec<Option<u32>>,
}

impl Mesh {
    /// The parts of a plan: routers are joined where one is told of the other by an entry that counts, and can talk to it.
    pub(super) fn of(plan: &Plan, reach: &Reach, counts: impl Fn(&PeerPlan) -> bool) -> Mesh {
        let count = plan.node_count();
        let mut parts: Vec<Option<u32>> =
            (0..count).map(|node| (plan.limits(node).routes()).then_some(node)).collect();
        let pairs = plan.peers.iter().filter(|peer| counts(peer) && reach.can_talk(plan, peer.node, peer.to));
        let pairs: Vec<(usize, usize)> = pairs.map(|peer| (peer.node as usize, peer.to as usize)).collect();
        // The smallest number wins; so often as it takes for it to come everywhere.
        let mut changed = true;
        while core::mem::take(&mut changed) {
            for &(a, b) in &pairs {
                if let (Some(left), Some(right)) = (parts[a], parts[b])
                    && left != right
                {
                    let least = Some(left.min(right));
                    (parts[a], parts[b], changed) = (least, least, true);
                }
            }
        }
        Mesh { parts }
    }

    /// Whether two nodes are in one part.
    pub(super) fn joins(&self, a: u32, b: u32) -> bool {
        let part = |node: u32| self.parts.get(node as usize).copied().flatten();
        part(a).is_some() && part(a) == part(b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{LinkKind, LinkPlan, NodePlan};
    use std::collections::BTreeMap;

    #[test]
    fn parts_hang_together_by_those_who_route() {
        let limits = BTreeMap::from([("routers".to_owned(), 10)]);
        let routes = NodePlan { limits, ..NodePlan::default() };
        let mut plan = Plan::new("parts", 1, 1);
        plan.nodes = vec![routes.clone(), routes.clone(), routes.clone(), NodePlan::default(), routes];
        for (node, to) in [(0, 1), (1, 2), (2, 3), (3, 4)] {
            plan.links.push(LinkPlan::new(LinkKind::Ethernet, &[node, to]));
            plan.add_peer(node, to);
        }
        let reach = Reach::of(&plan);
        let mesh = Mesh::of(&plan, &reach, |_| true);
        assert!(mesh.joins(0, 2) && mesh.joins(2, 1));
        assert!(!mesh.joins(0, 3) && !mesh.joins(0, 4) && !mesh.joins(3, 3));
        let mesh = Mesh::of(&plan, &reach, |peer| peer.node != 1);
        assert!(mesh.joins(0, 1) && !mesh.joins(1, 2), "what does not count joins nobody");
    }
}
