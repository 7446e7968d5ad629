//! What routing takes of memory: now, and at most.

use super::detour::Detours;
use super::landmarks::Landmarks;
use super::neighbour::Neighbour;
use super::trails::Trails;
use super::{Moved, Routing, database, large, record, vicinity};
use crate::limits::Limits;

impl Routing {
    /// The most bytes that routing takes under `limits`: records, the graph made of them, packets that wait, and for each
    /// neighbour the names of what it is owed.
    #[must_use]
    pub fn worst_case_bytes(limits: &Limits) -> u64 {
        // A name in a set of names, with its share of the tree's nodes.
        const NAME: u64 = 3 * size_of::<record::RecordKey>() as u64;
        // A router in the table, its name by its node, its place in the graph and in two trees.
        const ROUTER: u64 = 2 * (size_of::<database::Known>() as u64 + 64) + 64;
        const TRAIL: u64 = Trails::bytes_each();
        // A router that is missed, in two tables.
        const MISSED: u64 = 2 * 3 * 32;
        if !limits.routes() {
            return 0;
        }
        let records = u64::from(limits.routing_bytes);
        // No record is smaller than its signature and name, and each counts with what it takes beside its bytes.
        let names = records / 192 + 1;
        let parts = [
            size_of::<Routing>() as u64 + Detours::most_bytes(),
            // While one takes another's place both are there; a link stands in the graph twice while it is made.
            records.saturating_mul(4),
            u64::from(limits.routers).saturating_mul(ROUTER),
            u64::from(limits.custody_bytes).saturating_mul(2),
            vicinity::MOST_MISSED as u64 * MISSED,
            // While one takes another's place both are there.
            u64::from(limits.place_bytes).saturating_add(large::MOST_PAPERS as u64).saturating_mul(2),
            u64::from(limits.landmarks).saturating_mul(Landmarks::most_bytes_each().saturating_add(
                u64::from(limits.peers).saturating_mul(Landmarks::bytes_each_neighbour() + 2 * NAME),
            )),
            u64::from(limits.peers).saturating_mul(256),
            (limits.trails() as u64).saturating_mul(TRAIL),
            // A vector grows to twice what is in it.
            (limits.moves() as u64).saturating_mul(2 * size_of::<Moved>() as u64),
            u64::from(limits.peers)
                .saturating_mul(names.saturating_mul(NAME) + size_of::<Neighbour>() as u64 + 1_024),
        ];
        parts.into_iter().fold(0, u64::saturating_add)
    }

    /// The bytes that routing holds now: records with their places, the graph made of them, what each neighbour is owed, and packets that
    /// wait. Sizes of structures and of what they own, with the free places that a tree of Rust's library has on the average (a third); not what an
    /// allocator adds to blocks beside those of records.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        // A neighbour in the two tables of them, and its deadline.
        const PLACES: usize = 3 * (size_of::<Neighbour>() + 64) / 2;
        let neighbours: usize =
            self.neighbours.values().map(|neighbour| PLACES + neighbour.held_bytes()).sum();
        let map = self.map.as_ref().map_or(0, |(graph, tree)| graph.held_bytes() + tree.held_bytes());
        size_of::<Routing>()
            + self.database.bytes()
            + neighbours
            + map
            + self.custody.bytes()
            + self.vicinity.held_bytes()
            + self.large.held_bytes()
            + self.detours.held_bytes()
    }
}
