use std::collections::BTreeSet;

use super::*;

fn pairs(topology: &Topology) -> Vec<(u32, u32)> {
    topology.links.iter().map(|link| (link.source, link.target)).collect()
}

fn degrees(topology: &Topology) -> Vec<u32> {
    let mut degrees = topology.degrees();
    degrees.sort_unstable();
    degrees
}

#[test]
fn a_line_has_two_ends() {
    assert_eq!(pairs(&line(4)), [(0, 1), (1, 2), (2, 3)]);
    assert_eq!(degrees(&line(5)), [1, 1, 2, 2, 2]);
    assert_eq!((line(0).nodes.len(), line(1).links.len()), (0, 0));
    assert_eq!(line(3).nodes, [0, 1, 2].map(NodeName::Number));
}

#[test]
fn grids_have_the_neighbours_of_their_corners() {
    // 0 1 2
    // 3 4 5
    // 6
    let four = [(0, 1), (0, 3), (1, 2), (1, 4), (2, 5), (3, 4), (3, 6), (4, 5)];
    assert_eq!(pairs(&grid4(7, 3)), four);
    let eight: BTreeSet<(u32, u32)> = pairs(&grid8(7, 3)).into_iter().collect();
    let across = [(0, 4), (1, 3), (1, 5), (2, 4), (4, 6)];
    assert_eq!(eight, four.into_iter().chain(across).collect());
    let large = grid4(49, 7);
    assert_eq!((large.links.len(), large.components()), (2 * 7 * 6, 1));
    assert_eq!(grid8(49, 7).links.len(), 2 * 7 * 6 + 2 * 6 * 6);
    assert_eq!(grid8(49, 7).degrees()[24], 8, "in the middle");
}

#[test]
fn a_random_tree_is_one_piece_without_a_ring_and_hangs_anywhere() {
    let mut depths = BTreeSet::new();
    for seed in 0..20 {
        let tree = rtree(50, seed);
        assert_eq!((tree.links.len(), tree.components()), (49, 1));
        let mut depth = [0_u32; 50];
        tree.links.iter().for_each(|link| depth[link.target as usize] = depth[link.source as usize] + 1);
        depths.insert(depth.into_iter().max());
    }
    assert!(depths.len() > 3, "seeds differ: {depths:?}");
    assert_eq!(rtree(50, 7), rtree(50, 7));
}

/// What a slow program would do, for every pair.
fn by_hand(places: &[Place]) -> Vec<(u64, u32, u32)> {
    let mut all = Vec::new();
    for a in 0..places.len() {
        for b in a + 1..places.len() {
            all.push((places[a].square_mm2(places[b]), a as u32, b as u32));
        }
    }
    all.sort_unstable();
    all
}

#[test]
fn a_geometric_graph_links_whoever_is_near_and_nobody_else() {
    for (seed, range_m) in [(1, 50), (2, 200), (3, 2_000)] {
        let places = places(120, 1_000, seed);
        let limit = u64::from(range_m) * 1_000;
        let all = by_hand(&places);
        let expected: BTreeSet<(u32, u32)> =
            all.iter().filter(|pair| pair.0 <= limit * limit).map(|&(_, a, b)| (a, b)).collect();
        let found = pairs(&rgg(120, 1_000, range_m, seed));
        assert!(found.windows(2).all(|two| two[0] < two[1]), "each once, in order");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected, "{range_m} m");
    }
}

#[test]
fn the_shortest_links_are_the_shortest() {
    for (seed, links) in [(1, 0), (2, 1), (3, 150), (4, 700), (5, 1_225), (6, 5_000)] {
        let places = places(50, 1_000, seed);
        let all = by_hand(&places);
        let mut expected: Vec<(u32, u32)> =
            all.iter().take(links as usize).map(|&(_, a, b)| (a, b)).collect();
        expected.sort_unstable();
        assert_eq!(pairs(&shortest(&places, links)), expected, "{links} links");
    }
    // Not spread evenly: all in a row, and all in one spot.
    let row: Vec<Place> = (0..10).map(|n| Place { x_mm: n * n * 1_000_000, y_mm: 5 }).collect();
    assert_eq!(pairs(&shortest(&row, 4)), [(0, 1), (0, 2), (1, 2), (2, 3)]);
    assert_eq!(pairs(&shortest(&[Place::default(); 4], 2)), [(0, 1), (0, 2)]);
    assert!(shortest(&[], 10).links.is_empty());
}

#[test]
fn places_fill_their_square() {
    let places = places(10_000, 10, 3);
    let quarter = |east: bool, north: bool| {
        places.iter().filter(|place| (place.x_mm > 5_000) == east && (place.y_mm > 5_000) == north).count()
    };
    for (east, north) in [(false, false), (false, true), (true, false), (true, true)] {
        let count = quarter(east, north);
        assert!((2_300..2_700).contains(&count), "{count}");
    }
    assert!(
        places.iter().all(|place| (0..=10_000).contains(&place.x_mm) && (0..=10_000).contains(&place.y_mm))
    );
    assert_eq!(Place { x_mm: 1_999, y_mm: -1 }.metres(), (1, -1));
}

#[test]
fn shapes_have_names() {
    for name in NAMES {
        let shape = named(name, 100, 1).unwrap();
        assert_eq!((shape.nodes.len(), shape.components()), (100, 1), "{name}");
        assert_eq!(named(name, 100, 1), Ok(shape));
    }
    assert_eq!(named("grid4", 10, 1).unwrap().degrees()[5], 4, "four columns");
    let wrong = named("ring", 3, 1).unwrap_err();
    assert!(wrong.contains("`ring`") && wrong.contains("grid8"), "{wrong}");
    let large = named("rgg", 10_000, 1).unwrap();
    assert_eq!(large.links.len(), 70_000);
}

/// Computed once: what is drawn stays drawn, or every plan made of it changes.
#[test]
fn drawn_shapes_are_pinned() {
    assert_eq!(places(2, 1_000, 1), PINNED);
}

const PINNED: [Place; 2] = [Place { x_mm: 436_617, y_mm: 331_133 }, Place { x_mm: 158_962, y_mm: 798_440 }];
