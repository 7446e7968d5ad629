//! The shortest ways over the map (Dijkstra, "A note on two problems in connexion with graphs", 1959).
//!
//! A link counts only if both its ends list it: so nobody can be drawn to a router that does not know of it. Every hop costs
//! something, and each router goes to the neighbour that is nearer by exactly the cost of the hop; with equal maps no way
//! leads in a circle.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::database::{Database, NOWHERE};
use super::detour::Avoided;
use super::message::Broken;
use super::metric::Cost;
use crate::ids::RouterId;
use crate::zoo::{Bug, Zoo};

/// No neighbour.
const NOBODY: u32 = u32::MAX;

/// A link to one of the routers, by its place.
#[derive(Clone, Copy, Debug)]
struct Edge {
    to: u32,
    cost: Cost,
}

/// All links that both ends list, and those of our own neighbours.
#[derive(Debug, Default)]
pub struct Graph {
    /// Every router on the map, in ascending order; its place is its number here.
    routers: Vec<RouterId>,
    /// Where the links of each begin in `edges`; one more at the end.
    starts: Vec<u32>,
    edges: Vec<Edge>,
    own: u32,
}

/// The shortest ways from here to everywhere.
#[derive(Debug, Default)]
pub struct Tree {
    distance: Vec<u64>,
    /// By which of our neighbours, by its place.
    first_hop: Vec<u32>,
}

impl Graph {
    /// The map of what is known. Our own neighbours are those that answer now, whatever was told of them; they count before they
    /// list us.
    #[must_use]
    pub fn new(database: &Database, own: RouterId, neighbours: &[(RouterId, Cost)], zoo: Zoo) -> Graph {
        let mut routers: Vec<RouterId> = database.routers().collect();
        if let Err(at) = routers.binary_search(&own) {
            routers.insert(at, own);
        }
        for &(neighbour, _) in neighbours {
            if let Err(at) = routers.binary_search(&neighbour) {
                routers.insert(at, neighbour);
            }
        }
        let place = |router: RouterId| routers.binary_search(&router).ok().map(|place| place as u32);
        let mut listed: Vec<(u32, Edge)> = Vec::new();
        for (from, &router) in (0..).zip(&routers) {
            let links = database.links(router);
            listed
                .extend(links.filter_map(|link| Some((from, Edge { to: place(link.to)?, cost: link.cost }))));
        }
        listed.sort_unstable_by_key(|&(from, edge)| (from, edge.to, edge.cost));
        listed.dedup_by_key(|&mut (from, edge)| (from, edge.to));
        let own = place(own).unwrap_or(NOBODY);
        let both = |from: u32, to: u32| listed.binary_search_by_key(&(to, from), |&(f, e)| (f, e.to)).is_ok();
        let near =
            neighbours.iter().filter_map(|&(router, cost)| Some((own, Edge { to: place(router)?, cost })));
        let mut kept: Vec<(u32, Edge)> = listed
            .iter()
            .filter(|(from, edge)| *from != own && (both(*from, edge.to) || zoo.has(Bug::OneEndIsEnough)))
            .copied()
            .chain(near)
            .collect();
        kept.sort_unstable_by_key(|&(from, edge)| (from, edge.to));
        let mut starts = Vec::with_capacity(routers.len() + 1);
        let mut edges = Vec::with_capacity(kept.len());
        for from in 0..=routers.len() as u32 {
            starts.push(edges.len() as u32);
            edges.extend(
                kept.iter().skip(edges.len()).take_while(|&&(f, _)| f == from).map(|&(_, edge)| edge),
            );
        }
        Graph { routers, starts, edges, own }
    }

    /// Bytes that it takes beside its own size.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.routers.capacity() * size_of::<RouterId>()
            + self.starts.capacity() * size_of::<u32>()
            + self.edges.capacity() * size_of::<Edge>()
    }

    fn place(&self, router: RouterId) -> Option<usize> {
        self.routers.binary_search(&router).ok()
    }

    fn edges(&self, from: u32) -> &[Edge] {
        let bound = |place: usize| self.starts.get(place).map_or(0, |&start| start as usize);
        self.edges.get(bound(from as usize)..bound(from as usize + 1)).unwrap_or(&[])
    }

    fn router(&self, place: u32) -> RouterId {
        self.routers.get(place as usize).copied().unwrap_or(RouterId([0; 8]))
    }

    /// The shortest ways, without some links that are broken, and without some of our own neighbours.
    #[must_use]
    pub fn tree(&self, broken: &[Broken], without: &[RouterId]) -> Tree {
        self.tree_round(broken, without, |_| false)
    }

    /// The same, without some routers.
    #[must_use]
    pub fn tree_round(
        &self,
        broken: &[Broken],
        without: &[RouterId],
        is_avoided: impl Fn(RouterId) -> bool,
    ) -> Tree {
        let mut tree = Tree {
            distance: alloc::vec![NOWHERE; self.routers.len()],
            first_hop: alloc::vec![NOBODY; self.routers.len()],
        };
        let mut open = BinaryHeap::new();
        tree.reach(&mut open, self.own, 0, NOBODY);
        while let Some(Reverse((distance, place))) = open.pop() {
            if tree.distance.get(place as usize) != Some(&distance) {
                continue;
            }
            let here = self.router(place);
            let by = tree.first_hop.get(place as usize).copied().unwrap_or(NOBODY);
            for edge in self.edges(place) {
                let there = self.router(edge.to);
                let excluded = place == self.own && without.contains(&there)
                    || !broken.is_empty() && broken.contains(&Broken::between(here, there))
                    || is_avoided(there);
                if !excluded {
                    let first = if place == self.own { edge.to } else { by };
                    tree.reach(&mut open, edge.to, distance + edge.cost.eighths(), first);
                }
            }
        }
        tree
    }

    /// The routers between here and another, the last first, on the way on which they have the least weight together, and of those with the
    /// same weight on the shortest; none where there is no way. Nobody is on it who is avoided.
    #[must_use]
    pub fn way(&self, to: RouterId, avoid: &[Avoided], weight: impl Fn(RouterId) -> u64) -> Vec<RouterId> {
        let mut best = alloc::vec![(u64::MAX, NOWHERE, NOBODY); self.routers.len()];
        let mut open = BinaryHeap::from([Reverse((0, 0, self.own, NOBODY))]);
        while let Some(Reverse((heavy, far, place, before))) = open.pop() {
            let here = self.router(place);
            let Some(known) = best.get_mut(place as usize).filter(|known| (heavy, far) < (known.0, known.1))
            else {
                continue;
            };
            *known = (heavy, far, before);
            if here == to {
                break;
            }
            for edge in self.edges(place) {
                let there = self.router(edge.to);
                if there == to || !avoid.contains(&Avoided::router(there)) {
                    let more = if there == to { 0 } else { weight(there) };
                    let way = (heavy.saturating_add(more), far + edge.cost.eighths(), edge.to, place);
                    open.push(Reverse(way));
                }
            }
        }
        let before = |place: u32| best.get(place as usize).map_or(NOBODY, |known| known.2);
        let mut place = self.place(to).map_or(NOBODY, |place| before(place as u32));
        let mut way = Vec::new();
        while place != NOBODY && place != self.own {
            way.push(self.router(place));
            place = before(place);
        }
        way
    }

    /// Every router with how far it is and by which of our neighbours, if the tree reaches it; ourselves by none.
    pub fn reached<'a>(
        &'a self,
        tree: &'a Tree,
    ) -> impl Iterator<Item = (RouterId, Option<(u64, Option<RouterId>)>)> + 'a {
        let ways = tree.distance.iter().zip(&tree.first_hop);
        self.routers.iter().copied().zip(ways).map(|(router, (&distance, &first))| {
            let via = (first != NOBODY).then(|| self.router(first));
            (router, (distance != NOWHERE).then_some((distance, via)))
        })
    }

    /// How far this router is from every other: the shortest ways hither, which cost something else where the two directions of a link do.
    #[must_use]
    pub fn distances_hither(&self) -> Vec<(RouterId, u64)> {
        let mut into: Vec<(u32, Edge)> = Vec::with_capacity(self.edges.len());
        for from in 0..self.routers.len() as u32 {
            into.extend(self.edges(from).iter().map(|edge| (edge.to, Edge { to: from, cost: edge.cost })));
        }
        into.sort_unstable_by_key(|&(to, edge)| (to, edge.to));
        let mut distance = alloc::vec![NOWHERE; self.routers.len()];
        let mut open = BinaryHeap::from([Reverse((0, self.own))]);
        while let Some(Reverse((so_far, place))) = open.pop() {
            let Some(known) = distance.get_mut(place as usize).filter(|known| so_far < **known) else {
                continue;
            };
            *known = so_far;
            let first = into.partition_point(|&(to, _)| to < place);
            for &(_, edge) in into.iter().skip(first).take_while(|&&(to, _)| to == place) {
                open.push(Reverse((so_far + edge.cost.eighths(), edge.to)));
            }
        }
        let all = self.routers.iter().copied().zip(distance);
        all.filter(|&(_, distance)| distance != NOWHERE).collect()
    }

    /// Which of our neighbours is the first on the way to a router.
    #[must_use]
    pub fn first_hop(&self, tree: &Tree, to: RouterId) -> Option<RouterId> {
        let first = *tree.first_hop.get(self.place(to)?)?;
        (first != NOBODY).then(|| self.router(first))
    }

    /// Every router that the tree reaches but our own, with the first hop there.
    pub fn first_hops<'a>(&'a self, tree: &'a Tree) -> impl Iterator<Item = (RouterId, RouterId)> + 'a {
        let all = self.routers.iter().copied().zip(tree.first_hop.iter().copied());
        all.filter(|&(_, first)| first != NOBODY).map(|(router, first)| (router, self.router(first)))
    }

    /// How far a router is, in eighths of a microsecond.
    #[must_use]
    pub fn distance(&self, tree: &Tree, to: RouterId) -> Option<u64> {
        tree.distance.get(self.place(to)?).copied().filter(|&distance| distance != NOWHERE)
    }
}

impl Tree {
    /// Bytes that it takes beside its own size.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.distance.capacity() * size_of::<u64>() + self.first_hop.capacity() * size_of::<u32>()
    }

    /// A way to `place` of this length. Of two that are equally long the one by the first neighbour counts.
    fn reach(&mut self, open: &mut BinaryHeap<Reverse<(u64, u32)>>, place: u32, distance: u64, first: u32) {
        let at = place as usize;
        let (Some(known), Some(by)) = (self.distance.get_mut(at), self.first_hop.get_mut(at)) else { return };
        if distance < *known {
            *known = distance;
            *by = first;
            open.push(Reverse((distance, place)));
        } else if distance == *known && first < *by {
            *by = first;
            open.push(Reverse((distance, place)));
        }
    }
}
