//! Asking the clerks where a node is.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::ids::{NodeId, RouterId};
use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// A clerk that does not answer is not waited for longer, the first time; then twice as long each time.
const PATIENCE: Duration = Duration::from_secs(1);
/// A node that nobody knows is asked for again after so long at most.
const MOST_PATIENCE: Duration = Duration::from_secs(600);
/// A node that was found is not looked for again sooner (guess): whoever is told that it is elsewhere need not be right.
const FOUND_GAP: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Search {
    nonce: u64,
    /// How often somebody was asked.
    asked: u32,
    next: Instant,
    /// It was found, and `next` is when it may be looked for again.
    found: bool,
}

/// All nodes that are looked for.
#[derive(Debug, Default)]
pub(in super::super) struct Seeking {
    all: BTreeMap<NodeId, Search>,
}

impl Seeking {
    /// Looks for a node, if that is not done already and there is room.
    pub(in super::super) fn seek(&mut self, now: Instant, rng: &mut Rng, node: NodeId, most: usize) {
        if let Some(search) = self.all.get(&node)
            && (!search.found || search.next > now)
        {
            return;
        }
        if self.all.len() >= most && !self.all.contains_key(&node) {
            self.all.retain(|_, search| !search.found);
        }
        if self.all.len() < most || self.all.contains_key(&node) {
            self.all.insert(node, Search { nonce: rng.next_u64(), asked: 0, next: now, found: false });
        }
    }

    /// Nobody needs it any more.
    pub(in super::super) fn stop(&mut self, node: NodeId) {
        self.all.remove(&node);
    }

    /// Which node was asked for under this number.
    pub(in super::super) fn asked_for(&self, nonce: u64) -> Option<NodeId> {
        let mut all = self.all.iter().filter(|(_, search)| !search.found && search.asked > 0);
        all.find(|(_, search)| search.nonce == nonce).map(|(&node, _)| node)
    }

    /// It was found.
    pub(in super::super) fn found(&mut self, now: Instant, node: NodeId) {
        if let Some(search) = self.all.get_mut(&node) {
            (search.found, search.next) = (true, now + FOUND_GAP);
        }
    }

    /// A clerk does not know it: the next is asked at once, but each only once a round.
    pub(in super::super) fn unknown(&mut self, now: Instant, node: NodeId) {
        if let Some(search) = self.all.get_mut(&node)
            && search.asked == 1
        {
            search.next = now;
        }
    }

    /// When somebody is to be asked.
    pub(in super::super) fn next(&self) -> Option<Instant> {
        self.all.values().filter(|search| !search.found).map(|search| search.next).min()
    }

    /// Whom to ask now: the node, the number, and how often it was asked for before.
    pub(in super::super) fn due(&mut self, now: Instant, slowest: Duration) -> Vec<(NodeId, u64, u32)> {
        let mut due = Vec::new();
        for (&node, search) in &mut self.all {
            if !search.found && search.next <= now {
                due.push((node, search.nonce, search.asked));
                let patience = (PATIENCE + slowest).mul_ratio(1 << search.asked.min(16), 1);
                search.next = now + patience.min(MOST_PATIENCE.max(slowest));
                search.asked = search.asked.saturating_add(1);
            }
        }
        due
    }

    /// The clerk that is asked for the time of this number.
    pub(in super::super) fn clerk(clerks: &[RouterId], asked: u32) -> Option<RouterId> {
        clerks.get(asked as usize % clerks.len().max(1)).copied()
    }

    /// Bytes that they take.
    pub(in super::super) fn held_bytes(&self) -> usize {
        3 * self.all.len() * size_of::<(NodeId, Search)>() / 2
    }

    /// Panics when an invariant does not hold.
    pub(in super::super) fn check(&self, most: usize) {
        assert!(self.all.len() <= most, "more nodes are looked for than may be");
    }
}
