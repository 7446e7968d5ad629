//! Which ways packets take over the mesh: none goes round in circles, and how much longer they are than need be.
//!
//! Routers disagree for a while after each change, and a packet that meets two opinions may come back to where it was; it
//! then leaves by another exit. So it may be at one place a few times, but nothing sends it from one place to the same
//! neighbour again and again: that would be a loop that lasts. And whoever gets a packet gets it with one hop more on it than the
//! one had who gave it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proto_core::ids::RouterId;
use proto_core::routing::Moved;

use super::Violation;
use crate::outcome::RouteReport;

/// A packet that leaves one place by one exit more often than this, and was elsewhere in between, goes round in a circle.
const MOST_LEAVES: u32 = 16;
/// Packets that are remembered.
const MOST_PACKETS: usize = 1 << 16;
/// Bytes of hops that are remembered: those to 1,600 nodes of a network of 10,000.
const MOST_HOPS_BYTES: usize = 1 << 24;
/// No way, or one of more hops than a packet can make.
const NO_WAY: u8 = u8::MAX;

/// A packet as its source names it.
type Name = (RouterId, u64);

/// A packet on its way.
#[derive(Debug, Default)]
struct Walk {
    /// It was seen at its source.
    whole: bool,
    /// Places where it was, in turn.
    hosts: Vec<u32>,
    /// To whom it was given, and how many hops it had made by then.
    given: BTreeSet<(RouterId, u8)>,
    /// How often it left one place by one exit.
    leaves: BTreeMap<(u32, RouterId), u32>,
}

/// See the module's header.
#[derive(Debug, Default)]
pub struct Routes {
    /// Who can be heard by whom now; `None` when that may have changed.
    near: Option<Vec<Vec<u32>>>,
    /// Hops from everybody to one node, for nodes that were asked for.
    hops_to: BTreeMap<u32, Vec<u8>>,
    walks: BTreeMap<Name, Walk>,
    recent: VecDeque<Name>,
    report: RouteReport,
}

impl Routes {
    /// What was found.
    #[must_use]
    pub fn report(&self) -> &RouteReport {
        &self.report
    }

    /// Who can be heard by whom may have changed.
    pub fn links_changed(&mut self) {
        self.near = None;
    }

    /// A packet was given to a neighbour at this host, whose name is `own`, or has come to its end there. `near` says who can be
    /// heard by whom.
    pub fn moved(
        &mut self,
        host: u32,
        own: RouterId,
        moved: &Moved,
        near: impl FnOnce() -> Vec<Vec<u32>>,
    ) -> Option<Violation> {
        let name = (moved.from, moved.name);
        if !self.walks.contains_key(&name) {
            if self.recent.len() >= MOST_PACKETS
                && let Some(oldest) = self.recent.pop_front()
            {
                self.walks.remove(&oldest);
            }
            self.recent.push_back(name);
            // One that its source gives away again may have been here before, and was forgotten.
            let whole = moved.from == own && moved.hops == 0 && moved.first;
            self.walks.insert(name, Walk { whole, ..Walk::default() });
        }
        let walk = self.walks.entry(name).or_default();
        let came = walk.hosts.last() != Some(&host);
        if came {
            self.report.returned += u64::from(walk.hosts.contains(&host));
            walk.hosts.push(host);
        }
        let begins = moved.from == own && moved.hops == 0;
        let was_given = || moved.hops.checked_sub(1).is_some_and(|hops| walk.given.contains(&(own, hops)));
        if walk.whole && !begins && !was_given() {
            let reason = format!(
                "packet {:016x} of {} to {} is at node {host} after {} hops by its count, and nobody gave it so",
                moved.name, moved.from, moved.to, moved.hops
            );
            return Some(Violation::safety("routes", reason));
        }
        let Some(next) = moved.next else {
            let from = walk.hosts[0];
            self.arrived(from, host, moved.hops, near);
            return None;
        };
        walk.given.insert((next, moved.hops));
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
            "packet {:016x} of {} to {} left node {host} for {next} {leaves} times",
            moved.name, moved.from, moved.to
        );
        Some(Violation::safety("routes", reason))
    }

    fn arrived(&mut self, from: u32, to: u32, hops: u8, near: impl FnOnce() -> Vec<Vec<u32>>) {
        if self.near.is_none() {
            self.hops_to.clear();
        }
        let near = self.near.get_or_insert_with(near);
        if self.hops_to.len() * near.len() >= MOST_HOPS_BYTES && !self.hops_to.contains_key(&to) {
            self.hops_to.clear();
        }
        let hops_to = self.hops_to.entry(to).or_insert_with(|| distances(near, to));
        let shortest = hops_to.get(from as usize).copied().filter(|&hops| hops < NO_WAY);
        if let Some(shortest) = shortest {
            self.report.packets += 1;
            self.report.hops += u64::from(hops);
            self.report.shortest_hops += u64::from(shortest);
        }
    }
}

/// Hops from everybody to one node.
fn distances(near: &[Vec<u32>], to: u32) -> Vec<u8> {
    let mut hops = vec![NO_WAY; near.len()];
    hops[to as usize] = 0;
    let mut open = VecDeque::from([to]);
    while let Some(node) = open.pop_front() {
        let further = hops[node as usize].saturating_add(1);
        for &next in &near[node as usize] {
            if hops[next as usize] > further {
                hops[next as usize] = further;
                open.push_back(next);
            }
        }
    }
    hops
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [RouterId; 4] = [RouterId([0; 8]), RouterId([1; 8]), RouterId([2; 8]), RouterId([3; 8])];

    /// A square of four.
    fn square() -> Vec<Vec<u32>> {
        vec![vec![1, 3], vec![0, 2], vec![1, 3], vec![0, 2]]
    }

    fn step(hops: u8, next: Option<usize>) -> Moved {
        Moved { from: NAMES[0], to: NAMES[1], name: 7, hops, first: true, next: next.map(|next| NAMES[next]) }
    }

    fn go(routes: &mut Routes, host: u32, moved: &Moved) -> Option<Violation> {
        routes.moved(host, NAMES[host as usize], moved, square)
    }

    const DETOUR: [(u32, u8, Option<usize>); 4] =
        [(0, 0, Some(3)), (3, 1, Some(2)), (2, 2, Some(1)), (1, 3, None)];

    #[test]
    fn a_detour_counts() {
        let mut routes = Routes::default();
        for (host, hops, next) in DETOUR {
            assert_eq!(go(&mut routes, host, &step(hops, next)), None);
        }
        let report = RouteReport { packets: 1, hops: 3, shortest_hops: 1, ..RouteReport::default() };
        assert_eq!(*routes.report(), report);
    }

    #[test]
    fn over_links_that_carry_nothing_no_way_is_short() {
        let mut routes = Routes::default();
        for (host, hops, next) in DETOUR {
            go(&mut routes, host, &step(hops, next));
        }
        routes.links_changed();
        let without_first = || vec![vec![3], vec![2], vec![1, 3], vec![0, 2]];
        let again = Moved { name: 8, ..step(3, None) };
        assert_eq!(routes.moved(1, NAMES[1], &again, without_first), None);
        // Where it came from nobody saw.
        assert_eq!((routes.report().packets, routes.report().shortest_hops), (2, 1));
        for (host, hops, next) in DETOUR {
            routes.moved(host, NAMES[host as usize], &Moved { name: 9, ..step(hops, next) }, without_first);
        }
        assert_eq!((routes.report().packets, routes.report().shortest_hops), (3, 4));
    }

    #[test]
    fn to_and_fro_without_end_is_a_loop() {
        let mut routes = Routes::default();
        let mut complaint = None;
        for n in 0..2 * MOST_LEAVES + 1 {
            assert_eq!(complaint, None, "after {n}");
            let host = n % 2;
            complaint = go(&mut routes, host * 3, &step(n as u8, Some(if host == 0 { 3 } else { 0 })));
        }
        assert_eq!(complaint.unwrap().checker, "routes");
        assert_eq!(routes.report().returned, u64::from(2 * MOST_LEAVES - 1));
    }

    /// A packet that waited at its source until nobody knew of it any more: where it was before cannot be said.
    #[test]
    fn what_was_forgotten_begins_nowhere() {
        for (first, is_seen) in [(true, true), (false, false)] {
            let mut routes = Routes::default();
            assert_eq!(go(&mut routes, 0, &Moved { first, ..step(0, Some(3)) }), None);
            let complaint = go(&mut routes, 2, &step(2, Some(1)));
            assert_eq!(complaint.is_some(), is_seen, "{complaint:?}");
        }
    }

    /// A full link, or one that loses much: the packet stands where it is, and is offered to the next router again and again.
    #[test]
    fn a_packet_that_waits_is_no_loop() {
        let mut routes = Routes::default();
        for _ in 0..10 * MOST_LEAVES {
            assert_eq!(go(&mut routes, 0, &step(0, Some(3))), None);
        }
        assert_eq!(go(&mut routes, 3, &step(1, Some(2))), None);
        assert_eq!(routes.report().returned, 0);
    }

    #[test]
    fn a_hop_that_was_not_counted_is_seen() {
        for wrong in [0, 1, 3] {
            let mut routes = Routes::default();
            assert_eq!(go(&mut routes, 0, &step(0, Some(3))), None);
            assert_eq!(go(&mut routes, 3, &step(1, Some(2))), None);
            let complaint = go(&mut routes, 2, &step(wrong, Some(1))).unwrap();
            assert!(complaint.reason.contains("nobody gave it so"), "{complaint:?}");
        }
    }
}
