//! What is known of all routers: the latest record of each part of what each says.
//!
//! A notice board with one place for each part of each router's word; a new notice covers the old one. A notice is pinned up
//! only under papers that were checked. When the board is full, those go first of whom nothing has led to for longest: whoever
//! is on the map is linked to it from both sides, which a made-up router can have from its makers only.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cmp::Ordering;

use bytes::Bytes;

use super::record::{Content, Link, Part, RecordKey, SignedRecord};
use crate::ids::{DeviceId, NodeId, RouterId};
use crate::limits::Limits;
use crate::time::{Duration, Instant};

/// What a record takes beside its bytes: its place in the table and its list of neighbours. Measured on 64-bit systems.
const RECORD_OVERHEAD: usize = 112;
/// How long the word of a router is kept to which nothing leads. Its neighbours may have lost it for a while only.
pub const KEPT_UNREACHABLE: Duration = Duration::from_secs(3600);

/// Who a router is, from its papers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// Whose device it is.
    pub node: NodeId,
    /// Which.
    pub device: DeviceId,
    /// Its Ed25519 key.
    pub sign_key: [u8; 32],
    /// Its X25519 key.
    pub dh_key: [u8; 32],
}

#[derive(Debug)]
struct Router {
    known: Known,
    parts: BTreeMap<Part, Stored>,
    /// Since when nothing leads to it.
    lost_at: Option<Instant>,
}

#[derive(Debug)]
struct Stored {
    sequence: u64,
    bytes: Bytes,
    links: Vec<Link>,
}

impl Stored {
    fn weight(&self) -> usize {
        RECORD_OVERHEAD + self.bytes.len() + self.links.len() * size_of::<Link>()
    }
}

/// The records of all routers, our own among them.
#[derive(Debug, Default)]
pub struct Database {
    routers: BTreeMap<RouterId, Router>,
    by_node: BTreeSet<(NodeId, RouterId)>,
    bytes: usize,
    /// Records taken in and routers forgotten since the start.
    changes: u64,
}

impl Database {
    /// How a sequence number compares with that of the record that is here; newer than none.
    #[must_use]
    pub fn compare(&self, key: RecordKey, sequence: u64) -> Ordering {
        self.sequence(key).map_or(Ordering::Greater, |have| sequence.cmp(&have))
    }

    /// The sequence number of the record that is here.
    #[must_use]
    pub fn sequence(&self, key: RecordKey) -> Option<u64> {
        self.routers.get(&key.router)?.parts.get(&key.part).map(|stored| stored.sequence)
    }

    /// A record's bytes, as they were signed.
    #[must_use]
    pub fn record(&self, key: RecordKey) -> Option<&Bytes> {
        self.routers.get(&key.router)?.parts.get(&key.part).map(|stored| &stored.bytes)
    }

    /// Who a router is.
    #[must_use]
    pub fn known(&self, router: RouterId) -> Option<&Known> {
        self.routers.get(&router).map(|router| &router.known)
    }

    /// The devices of a node that are on the map.
    pub fn devices(&self, node: NodeId) -> impl Iterator<Item = RouterId> + '_ {
        let (first, last) = ((node, RouterId([0; 8])), (node, RouterId([u8::MAX; 8])));
        self.by_node.range(first..=last).map(|&(_, router)| router)
    }

    /// Whether something leads to a router, as far as that was looked at.
    #[must_use]
    pub fn leads_to(&self, router: RouterId) -> bool {
        self.routers.get(&router).is_some_and(|entry| entry.lost_at.is_none())
    }

    /// Every router, in ascending order.
    pub fn routers(&self) -> impl Iterator<Item = RouterId> + '_ {
        self.routers.keys().copied()
    }

    /// How many routers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.routers.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.routers.is_empty()
    }

    /// Bytes that the records take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What a router lists, page by page.
    pub fn links(&self, router: RouterId) -> impl Iterator<Item = &Link> + '_ {
        let parts = self.routers.get(&router).into_iter().flat_map(|router| router.parts.values());
        parts.flat_map(|stored| stored.links.iter())
    }

    /// Every record from one key on, with its sequence number.
    pub fn from(&self, first: RecordKey) -> impl Iterator<Item = (RecordKey, u64)> + '_ {
        let parts = self.routers.range(first.router..).flat_map(|(&router, entry)| {
            entry.parts.iter().map(move |(&part, stored)| (RecordKey { router, part }, stored.sequence))
        });
        parts.skip_while(move |&(key, _)| key < first)
    }

    /// Takes in a record that was checked. Its papers are here, or `known` is from them. `false` when there is no room, and
    /// nobody to whom nothing leads to make it of; nothing has changed then. Our own always finds room.
    pub fn insert(&mut self, limits: &Limits, record: &SignedRecord, known: Known, own: RouterId) -> bool {
        let RecordKey { router, part } = record.key;
        let links = match &record.content {
            Content::Page(links) => links.clone(),
            Content::Papers { .. } => Vec::new(),
        };
        // Copied, since a slice would keep the whole message that it came in.
        let bytes = Bytes::copy_from_slice(&record.bytes);
        let stored = Stored { sequence: record.sequence, bytes, links };
        let before = self.routers.get(&router).and_then(|entry| entry.parts.get(&part));
        let (adds, frees) = (stored.weight(), before.map_or(0, Stored::weight));
        if router != own && !self.make_room(limits, router, own, adds.saturating_sub(frees)) {
            return false;
        }
        let entry = self.routers.entry(router).or_insert_with(|| Router {
            known,
            parts: BTreeMap::new(),
            lost_at: (router != own).then_some(Instant::ZERO),
        });
        self.by_node.remove(&(entry.known.node, router));
        self.by_node.insert((known.node, router));
        entry.known = known;
        entry.parts.insert(part, stored);
        self.bytes = self.bytes + adds - frees;
        self.changes += 1;
        true
    }

    /// Whether a record of this router finds room without anybody's being forgotten.
    #[must_use]
    pub fn fits(&self, limits: &Limits, record: &SignedRecord) -> bool {
        self.has_room(limits, record.key.router, RECORD_OVERHEAD + 2 * record.bytes.len())
    }

    fn has_room(&self, limits: &Limits, router: RouterId, bytes: usize) -> bool {
        let new = usize::from(!self.routers.contains_key(&router));
        self.bytes + bytes <= limits.routing_bytes as usize
            && self.routers.len() + new <= limits.routers as usize
    }

    /// Room for so many bytes more of this router. Of those to which nothing leads the first goes that was lost first.
    fn make_room(&mut self, limits: &Limits, router: RouterId, own: RouterId, bytes: usize) -> bool {
        loop {
            if self.has_room(limits, router, bytes) {
                return true;
            }
            let lost = self.routers.iter().filter(|(id, _)| **id != router && **id != own);
            let lost = lost.filter_map(|(&id, entry)| Some((entry.lost_at?, id)));
            let Some((_, victim)) = lost.min() else { return false };
            self.remove(victim);
        }
    }

    /// Forgets a router.
    pub fn remove(&mut self, router: RouterId) {
        if let Some(entry) = self.routers.remove(&router) {
            self.by_node.remove(&(entry.known.node, router));
            self.changes += 1;
            self.bytes -= entry.parts.values().map(Stored::weight).sum::<usize>();
        }
    }

    /// Notes whether something leads to a router now.
    pub fn note_reachable(&mut self, now: Instant, router: RouterId, reachable: bool) {
        let Some(entry) = self.routers.get_mut(&router) else { return };
        match (reachable, entry.lost_at) {
            (true, _) => entry.lost_at = None,
            (false, None | Some(Instant::ZERO)) => entry.lost_at = Some(now),
            (false, Some(_)) => {}
        }
    }

    /// Forgets those to which nothing has led for long.
    pub fn forget_lost(&mut self, now: Instant) {
        let is_over = |entry: &Router| entry.lost_at.is_some_and(|at| at + KEPT_UNREACHABLE <= now);
        let over = self.routers.iter().filter(|(_, entry)| is_over(entry)).map(|(&router, _)| router);
        for router in over.collect::<Vec<RouterId>>() {
            self.remove(router);
        }
    }

    /// Panics when an invariant does not hold. After most changes only what costs nothing is looked at: this runs after every
    /// step of a simulation, and a walk over the whole map each time was a fifth of all its work.
    pub fn check(&self) {
        assert_eq!(self.by_node.len(), self.routers.len(), "a name of nobody");
        if self.changes.is_multiple_of(64) {
            self.check_all();
        }
    }

    /// The same, looking at everything.
    pub fn check_all(&self) {
        let mut bytes = 0;
        for (router, entry) in &self.routers {
            assert!(entry.parts.contains_key(&Part::PAPERS), "{router} has pages and no papers");
            assert!(self.by_node.contains(&(entry.known.node, *router)), "{router} is not found by its node");
            bytes += entry.parts.values().map(Stored::weight).sum::<usize>();
        }
        assert_eq!(self.bytes, bytes, "bytes of records miscounted");
    }
}
