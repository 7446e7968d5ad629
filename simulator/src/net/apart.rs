//! Who cannot hear whom, whatever the links do: sides of partitions, and nodes whose radio sleeps.

use std::collections::BTreeMap;

use crate::plan::What;

/// Partitions and sleepers of now. Nodes are counted as in the plan.
#[derive(Debug, Default)]
pub(super) struct Apart {
    /// By the fault's id: the side of each node.
    partitions: Vec<(u32, Vec<Option<u32>>)>,
    /// How many faults let a node sleep now.
    asleep: BTreeMap<u32, u32>,
}

impl Apart {
    /// A partition of so many nodes begins.
    pub(super) fn part(&mut self, id: u32, sides: &[Vec<u32>], nodes: usize) {
        let mut side_of = vec![None; nodes];
        for (side, members) in sides.iter().enumerate() {
            for node in members {
                side_of[*node as usize] = Some(side as u32);
            }
        }
        self.partitions.push((id, side_of));
    }

    /// A fault ends, if it is a partition.
    pub(super) fn join(&mut self, id: u32) {
        self.partitions.retain(|(other, _)| *other != id);
    }

    /// A node falls asleep or wakes up, by one fault.
    pub(super) fn sleep(&mut self, what: &What, asleep: bool) {
        let What::Sleep { node, .. } = what else { return };
        let faults = self.asleep.entry(*node).or_default();
        *faults = if asleep { *faults + 1 } else { faults.saturating_sub(1) };
        if *faults == 0 {
            self.asleep.remove(node);
        }
    }

    pub(super) fn is_asleep(&self, node: u32) -> bool {
        self.asleep.contains_key(&node)
    }

    /// Whether nothing passes between two nodes.
    pub(super) fn keeps(&self, a: u32, b: u32) -> bool {
        let by_side = self.partitions.iter().any(
            |(_, side_of)| matches!((side_of[a as usize], side_of[b as usize]), (Some(a), Some(b)) if a != b),
        );
        by_side || self.is_asleep(a) || self.is_asleep(b)
    }
}
