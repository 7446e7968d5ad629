//! Which ways packets take over the mesh: none goes round in circles, and how much longer they are than need be.
//!
//! Routers disagree for a while after each change, and a packet that meets two opinions may come back to where it was; it
//! then leaves by another exit. So it may be at one place a few times, but nothing sends it from one place to the same
//! neighbour again and again: that would be a loop that lasts.

use std::collections::{BTreeMap, VecDeque};

use proto_core::ids::RouterId;
use proto_core::routing::Moved;

use super::Violation;
use crate::outcome::RouteReport;
use crate::plan::Plan;

/// A packet that leaves one place by one exit more often than this, and was elsewhere in between, goes round in a circle.
const MOST_LEAVES: u32 = 16;
/// Packets that are remembered.
const MOST_PACKETS: usize = 1 << 16;

/// A packet as its source names it.
type Name = (RouterId, u32);

/// A packet on its way.
#[derive(Debug, Default)]
struct Walk {
    /// Places where it was, in turn.
    hosts: Vec<u32>,
    /// How often it left one place by one exit.
    leaves: BTreeMap<(u32, RouterId), u32>,
}

/// See the module's header.
#[derive(Debug)]
pub struct Routes {
    /// Who can be heard by whom, by the links of the plan.
    near: Vec<Vec<u32>>,
    /// Hops from everybody to one node, for nodes that were asked for.
    hops_to: BTreeMap<u32, Vec<u32>>,
    walks: BTreeMap<Name, Walk>,
    recent: VecDeque<Name>,
    report: RouteReport,
}

impl Routes {
    /// Nothing has moved yet.
    #[must_use]
    pub fn new(plan: &Plan) -> Routes {
        let mut near = vec![Vec::new(); plan.node_count() as usize];
        for link in &plan.links {
            for &a in &link.members {
                near[a as usize].extend(link.members.iter().copied().filter(|&b| b != a));
            }
        }
        for list in &mut near {
            list.sort_unstable();
            list.dedup();
        }
        let report = RouteReport::default();
        Routes { near, hops_to: BTreeMap::new(), walks: BTreeMap::new(), recent: VecDeque::new(), report }
    }

    /// What was found.
    #[must_use]
    pub fn report(&self) -> &RouteReport {
        &self.report
    }

    /// A packet was given to a neighbour at this host, or has come to its end there.
    pub fn moved(&mut self, host: u32, moved: &Moved) -> Option<Violation> {
        let name = (moved.from, moved.id);
        if !self.walks.contains_key(&name) {
            if self.recent.len() >= MOST_PACKETS
                && let Some(oldest) = self.recent.pop_front()
            {
                self.walks.remove(&oldest);
            }
            self.recent.push_back(name);
        }
        let walk = self.walks.entry(name).or_default();
        let came = walk.hosts.last() != Some(&host);
        if came {
            self.report.returned += u64::from(walk.hosts.contains(&host));
            walk.hosts.push(host);
        }
        let Some(next) = moved.next else {
            let from = walk.hosts[0];
            self.arrived(from, host, moved.hops);
            return None;
        };
        if !came {
            // The next router did not confirm it, and it is sent there again.
            return None;
        }
        let leaves = walk.leaves.entry((host, next)).or_default();
        *leaves += 1;
        if *leaves <= MOST_LEAVES {
            return None;
        }
        let reason = format!(
            "packet {} of {} to {} left node {host} for {next} {leaves} times",
            moved.id, moved.from, moved.to
        );
        Some(Violation::safety("routes", reason))
    }

    fn arrived(&mut self, from: u32, to: u32, hops: u8) {
        let near = &self.near;
        let hops_to = self.hops_to.entry(to).or_insert_with(|| distances(near, to));
        let shortest = hops_to.get(from as usize).copied().filter(|&hops| hops < u32::MAX);
        if let Some(shortest) = shortest {
            self.report.packets += 1;
            self.report.hops += u64::from(hops);
            self.report.shortest_hops += u64::from(shortest);
        }
    }
}

/// Hops from everybody to one node; `u32::MAX` where there is no way.
fn distances(near: &[Vec<u32>], to: u32) -> Vec<u32> {
    let mut hops = vec![u32::MAX; near.len()];
    hops[to as usize] = 0;
    let mut open = VecDeque::from([to]);
    while let Some(node) = open.pop_front() {
        for &next in &near[node as usize] {
            if hops[next as usize] == u32::MAX {
                hops[next as usize] = hops[node as usize] + 1;
                open.push_back(next);
            }
        }
    }
    hops
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{LinkKind, LinkPlan, NodePlan};

    const NAMES: [RouterId; 4] = [RouterId([0; 8]), RouterId([1; 8]), RouterId([2; 8]), RouterId([3; 8])];

    /// A square of four.
    fn routes() -> Routes {
        let mut plan = Plan::new("square", 1, 1);
        plan.nodes = vec![NodePlan::default(); 4];
        for (a, b) in [(0, 1), (1, 2), (2, 3), (3, 0)] {
            plan.links.push(LinkPlan::new(LinkKind::Ethernet, &[a, b]));
        }
        Routes::new(&plan)
    }

    fn step(hops: u8, next: Option<usize>) -> Moved {
        Moved { from: NAMES[0], to: NAMES[1], id: 7, hops, next: next.map(|next| NAMES[next]) }
    }

    #[test]
    fn a_detour_counts() {
        let mut routes = routes();
        for (host, moved) in
            [(0, step(0, Some(3))), (3, step(1, Some(2))), (2, step(2, Some(1))), (1, step(3, None))]
        {
            assert_eq!(routes.moved(host, &moved), None);
        }
        assert_eq!(*routes.report(), RouteReport { packets: 1, hops: 3, shortest_hops: 1, returned: 0 });
    }

    #[test]
    fn to_and_fro_without_end_is_a_loop() {
        let mut routes = routes();
        let mut complaint = None;
        for n in 0..2 * MOST_LEAVES + 1 {
            assert_eq!(complaint, None, "after {n}");
            let host = n % 2;
            complaint = routes.moved(host * 3, &step(n as u8, Some(if host == 0 { 3 } else { 0 })));
        }
        assert_eq!(complaint.unwrap().checker, "routes");
        assert_eq!(routes.report().returned, u64::from(2 * MOST_LEAVES - 1));
    }
}
