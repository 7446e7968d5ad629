//! Networks that were never built: lines, grids, trees, and points in a square.
//!
//! A map of a village shows what happened to be there. To ask what a hop costs, or what a thousand nodes do, one needs
//! shapes: a row of houses, a town of blocks, a family tree, people on a field who hear whoever is near. Each is a function of
//! its sizes and, where there is chance in it, of a seed: the same numbers give the same network on every machine, since every
//! chance is a keyed draw and every distance a whole number of square millimetres.
//!
//! All links carry everything, both ways. Nodes are named by their numbers, counted from 0.

use std::collections::BTreeMap;

use simulator::draw::{Lot, Purpose};

use super::{NodeName, Topology, TopologyLink};

/// Where a node stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Place {
    /// East of the square's corner, in millimetres.
    pub x_mm: i64,
    /// North of it.
    pub y_mm: i64,
}

impl Place {
    /// The square of the distance to another place, in square millimetres.
    #[must_use]
    pub fn square_mm2(self, other: Place) -> u64 {
        let (dx, dy) = (self.x_mm.abs_diff(other.x_mm), self.y_mm.abs_diff(other.y_mm));
        dx * dx + dy * dy
    }

    /// In whole metres, as plans have places.
    #[must_use]
    pub fn metres(self) -> (i32, i32) {
        let metres = |mm: i64| i32::try_from(mm.div_euclid(1_000)).unwrap_or(i32::MAX);
        (metres(self.x_mm), metres(self.y_mm))
    }
}

/// What chance decides here: the third part of a draw's key.
#[repr(u64)]
enum Chance {
    Parent,
    Place,
}

fn lot(seed: u64, chance: Chance) -> Lot {
    Lot::new(seed, Purpose::Shape, chance as u64)
}

/// A network of these links, each given once.
#[must_use]
pub fn network(nodes: u32, links: impl IntoIterator<Item = (u32, u32)>) -> Topology {
    let whole = |(source, target)| TopologyLink { source, target, there_ppm: 1_000_000, back_ppm: 1_000_000 };
    Topology {
        nodes: (0..i64::from(nodes)).map(NodeName::Number).collect(),
        links: links.into_iter().map(whole).collect(),
        ..Topology::default()
    }
}

/// A row: each node hears the one before and the one behind.
#[must_use]
pub fn line(nodes: u32) -> Topology {
    network(nodes, (1..nodes).map(|node| (node - 1, node)))
}

/// One in the middle, node 0, whom all others hear, and nobody else: it has as many neighbours as there are others.
#[must_use]
pub fn star(nodes: u32) -> Topology {
    network(nodes, (1..nodes).map(|node| (0, node)))
}

/// Streets that cross at right angles: `nodes` corners, row by row, so many to a row. Each hears its next ones along
/// both streets.
#[must_use]
pub fn grid4(nodes: u32, columns: u32) -> Topology {
    grid(nodes, columns, &[(1, 0), (0, 1)])
}

/// The same, and each corner hears those across as well.
#[must_use]
pub fn grid8(nodes: u32, columns: u32) -> Topology {
    grid(nodes, columns, &[(1, 0), (0, 1), (1, 1), (-1, 1)])
}

fn grid(nodes: u32, columns: u32, steps: &[(i64, i64)]) -> Topology {
    let columns = i64::from(columns.max(1));
    let links = (0..i64::from(nodes)).flat_map(|node| {
        let (column, row) = (node % columns, node / columns);
        steps.iter().filter_map(move |&(right, down)| {
            let (column, next) = (column + right, (row + down) * columns + column + right);
            ((0..columns).contains(&column) && next < i64::from(nodes)).then_some((node as u32, next as u32))
        })
    });
    network(nodes, links)
}

/// A family tree: each node but the first hangs on one of those before it, any of them alike.
#[must_use]
pub fn rtree(nodes: u32, seed: u64) -> Topology {
    let lot = lot(seed, Chance::Parent);
    network(nodes, (1..nodes).map(|node| (lot.below(u64::from(node), u64::from(node)) as u32, node)))
}

/// People on a field: `nodes` places in a square of `side_m` metres, and a link between any two that are at most `range_m`
/// apart (a random geometric graph). It may fall into parts: [`Topology::components`] says so.
#[must_use]
pub fn rgg(nodes: u32, side_m: u32, range_m: u32, seed: u64) -> Topology {
    within(&places(nodes, side_m, seed), range_m)
}

/// Places drawn from a square of `side_m` metres.
#[must_use]
pub fn places(nodes: u32, side_m: u32, seed: u64) -> Vec<Place> {
    let lot = lot(seed, Chance::Place);
    let along = |n: u64| lot.between(n, 0, u64::from(side_m) * 1_000).cast_signed();
    (0..u64::from(nodes)).map(|node| Place { x_mm: along(2 * node), y_mm: along(2 * node + 1) }).collect()
}

/// A link between any two places that are at most `range_m` metres apart.
#[must_use]
pub fn within(places: &[Place], range_m: u32) -> Topology {
    let mut pairs = near(places, u64::from(range_m) * 1_000);
    pairs.sort_unstable_by_key(|&(_, a, b)| (a, b));
    network(places.len() as u32, pairs.into_iter().map(|(_, a, b)| (a, b)))
}

/// The `links` shortest links that these places can have; of two of one length the one between smaller numbers. All of
/// them when there are no more.
#[must_use]
pub fn shortest(places: &[Place], links: u32) -> Topology {
    let nodes = places.len() as u64;
    let wanted = u64::from(links).min(nodes * nodes.saturating_sub(1) / 2) as usize;
    let width = |of: fn(&Place) -> i64| {
        let least = places.iter().map(of).min().unwrap_or(0);
        places.iter().map(of).max().unwrap_or(0).abs_diff(least).max(1)
    };
    // A range in which about as many pairs lie if the places are spread evenly (Penrose, Random Geometric Graphs, 2003:
    // nodes^2 / 2 * pi * range^2 / area); wider as long as there are too few.
    let (wide, high) = (width(|place| place.x_mm), width(|place| place.y_mm));
    let area = u128::from(wide) * u128::from(high).max(u128::from(wide) / 1_000);
    let square = area * u128::from(wanted as u64) / u128::from((nodes * nodes).max(1));
    let mut range_mm = u64::try_from(square.isqrt()).unwrap_or(u64::MAX).max(1);
    let mut pairs = near(places, range_mm);
    while pairs.len() < wanted {
        range_mm = range_mm.saturating_mul(2);
        pairs = near(places, range_mm);
    }
    pairs.sort_unstable();
    pairs.truncate(wanted);
    pairs.sort_unstable_by_key(|&(_, a, b)| (a, b));
    network(places.len() as u32, pairs.into_iter().map(|(_, a, b)| (a, b)))
}

/// All pairs at most `range_mm` apart, with the squares of their distances. Only neighbouring squares of that size are
/// looked into, so ten thousand places do not make fifty million pairs.
fn near(places: &[Place], range_mm: u64) -> Vec<(u64, u32, u32)> {
    let size = i64::try_from(range_mm.max(1)).unwrap_or(i64::MAX);
    let cell = |place: &Place| (place.x_mm.div_euclid(size), place.y_mm.div_euclid(size));
    let mut cells: BTreeMap<(i64, i64), Vec<u32>> = BTreeMap::new();
    for (place, node) in places.iter().zip(0..) {
        cells.entry(cell(place)).or_default().push(node);
    }
    let limit = range_mm.saturating_mul(range_mm);
    let mut pairs = Vec::new();
    for (place, node) in places.iter().zip(0_u32..) {
        let (column, row) = cell(place);
        for row in row.saturating_sub(1)..=row.saturating_add(1) {
            for column in column.saturating_sub(1)..=column.saturating_add(1) {
                let others = cells.get(&(column, row)).into_iter().flatten();
                let later = others.copied().filter(|&other| other > node);
                let measured = later.map(|other| (place.square_mm2(places[other as usize]), node, other));
                pairs.extend(measured.filter(|&(square, _, _)| square <= limit));
            }
        }
    }
    pairs
}

/// The shapes that [`named`] knows.
pub const NAMES: [&str; 6] = ["line", "star", "grid4", "grid8", "rtree", "rgg"];

/// Links of a node on average in the `rgg` of [`named`]: twice the logarithm of a thousand, at which such a graph is nearly
/// always in one piece (Gupta and Kumar, Critical power for asymptotic connectivity, 1998).
const RGG_DEGREE: u32 = 14;

/// A shape by its name, for a `--set shape=NAME` beside `--nodes`. Grids are as nearly square as they can be; `rgg` has the
/// shortest links that give each node 14 on average.
///
/// # Errors
/// When there is no such shape: which there are.
pub fn named(name: &str, nodes: u32, seed: u64) -> Result<Topology, String> {
    let columns = nodes.isqrt() + u32::from(nodes.isqrt().pow(2) < nodes);
    match name {
        "line" => Ok(line(nodes)),
        "star" => Ok(star(nodes)),
        "grid4" => Ok(grid4(nodes, columns)),
        "grid8" => Ok(grid8(nodes, columns)),
        "rtree" => Ok(rtree(nodes, seed)),
        "rgg" => Ok(shortest(&places(nodes, 1_000, seed), nodes.saturating_mul(RGG_DEGREE) / 2)),
        _ => Err(format!("there is no shape `{name}`; there are {}", NAMES.join(", "))),
    }
}

#[cfg(test)]
mod tests;
