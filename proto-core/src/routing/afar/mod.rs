//! Where a router is that is too far away to be on the map.
//!
//! Whoever moves into a town leaves his address with two clerks, whom the letters of his name choose; whoever looks for him asks the same two.
//! The clerks are the landmarks, whom everybody knows; the address is the landmark that keeps him, and the papers with it say who he is. Nobody has to
//! believe a clerk: what he hands out is signed by whom it is about.

mod dealings;
pub(super) mod notice;
pub(super) mod places;
pub(super) mod publish;
pub(super) mod seek;

use alloc::vec::Vec;

use crate::crypto::hash;
use crate::ids::{NodeId, RouterId};

/// Landmarks with whom a router leaves its address.
pub(super) const CLERKS: usize = 2;

/// The landmarks with whom the addresses of a node are left, the first to be asked first: those that weigh most for it (Thaler and Ravishankar, "Using
/// Name-Based Mappings to Increase Hit Rates", 1998: highest random weight), so that one that comes or goes moves only what is its own.
pub(super) fn clerks(node: NodeId, landmarks: impl Iterator<Item = RouterId>) -> Vec<RouterId> {
    let weight = |router: RouterId| hash::derive("thallus routing clerk v1", &[&node.0, &router.0]);
    let mut all: Vec<([u8; 32], RouterId)> = landmarks.map(|router| (weight(router), router)).collect();
    all.sort_unstable_by(|a, b| b.cmp(a));
    all.into_iter().take(CLERKS).map(|(_, router)| router).collect()
}
