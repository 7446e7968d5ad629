//! What is known of all routers: the latest record of each part of what each says.
//!
//! A notice board with one place for each part of each router's word; a new notice covers the old one. A notice is pinned up
//! only under papers that were checked. When the board is full, the farthest goes first, and before it those to whom nothing leads: whoever
//! is on the map is linked to it from both sides, which a made-up router can have from its makers only.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::record::{Content, Link, Part, RecordKey, SignedRecord, encode_links, links_in};
use crate::ids::{DeviceId, NodeId, RouterId};
use crate::limits::Limits;
use crate::time::{Duration, Instant};

/// What a record takes beside its bytes: its place with its router, and what an allocator adds to two blocks. On 64-bit systems.
const RECORD_OVERHEAD: usize = size_of::<Stored>() + 32;
/// What the records of a router with a few neighbours take, as a guess of one that is not here.
const USUAL_BYTES: usize = 1_024;
/// What a router takes beside its records: its place in the table and in the index, both with the free places of a tree, and a
/// block of its own.
const ROUTER_OVERHEAD: usize =
    size_of::<Router>() + 16 + 2 * (size_of::<RouterId>() + size_of::<usize>()) + 32;
/// The distance of a router to which nothing leads.
pub const NOWHERE: u64 = u64::MAX;
/// So long a router that is new counts as being as far as others say: its own pages may come a little later than its papers.
const YOUNG: Duration = Duration::from_secs(2);

/// How far a router is, in eighths of a microsecond, and its name: so no two are equally far.
pub type Distance = (u64, RouterId);

/// How long the word of a router is kept to which nothing leads. Its neighbours may have lost it for a while only.
pub const KEPT_UNREACHABLE: Duration = Duration::from_secs(3600);

fn first_bytes(node: NodeId) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = node.0;
    [a, b, c, d, e, f, g, h]
}

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
    /// In order. A tree would keep room for eleven, and nearly all routers have two.
    parts: Vec<Stored>,
    /// Since when nothing leads to it.
    lost_at: Option<Instant>,
    /// How far it was when the map was last looked at.
    distance: u64,
    /// Until then it is as far as others say.
    young_until: Instant,
}

impl Router {
    fn part(&self, part: Part) -> Option<&Stored> {
        let at = self.parts.binary_search_by_key(&part, |stored| stored.part).ok()?;
        self.parts.get(at)
    }

    /// Puts a record in the place of the one before.
    fn put(&mut self, stored: Stored) {
        match self.parts.binary_search_by_key(&stored.part, |before| before.part) {
            Ok(at) => {
                if let Some(place) = self.parts.get_mut(at) {
                    *place = stored;
                }
            }
            Err(at) => {
                self.parts.reserve_exact(1);
                self.parts.insert(at, stored);
            }
        }
    }

    fn weight(&self) -> usize {
        ROUTER_OVERHEAD + self.parts.iter().map(Stored::weight).sum::<usize>()
    }
}

#[derive(Debug)]
struct Stored {
    part: Part,
    /// Where in the bytes its neighbours stand.
    links: (u16, u16),
    sequence: u64,
    bytes: Box<[u8]>,
}

impl Stored {
    fn new(record: &SignedRecord) -> Stored {
        let bytes: Box<[u8]> = record.bytes.as_ref().into();
        let links = match &record.content {
            Content::Page(links) => place_of(&bytes, &encode_links(links)),
            Content::Papers { .. } | Content::Landmark { .. } | Content::Home { .. } => (0, 0),
        };
        Stored { part: record.key.part, links, sequence: record.sequence, bytes }
    }

    fn weight(&self) -> usize {
        RECORD_OVERHEAD + self.bytes.len()
    }

    fn links(&self) -> impl Iterator<Item = Link> + '_ {
        let (start, end) = (usize::from(self.links.0), usize::from(self.links.1));
        links_in(self.bytes.get(start..end).unwrap_or(&[]))
    }
}

/// From where to where one stands in the other. No record is longer than a `u16` can say.
fn place_of(bytes: &[u8], part: &[u8]) -> (u16, u16) {
    let start =
        if part.is_empty() { None } else { bytes.windows(part.len()).position(|found| found == part) };
    let place =
        start.and_then(|start| Some((u16::try_from(start).ok()?, u16::try_from(start + part.len()).ok()?)));
    place.unwrap_or((0, 0))
}

/// The records of all routers, our own among them.
#[derive(Debug, Default)]
pub struct Database {
    routers: BTreeMap<RouterId, Box<Router>>,
    /// Which routers may be a node's: by the first bytes of its name.
    by_node: BTreeSet<([u8; 8], RouterId)>,
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
        self.routers.get(&key.router)?.part(key.part).map(|stored| stored.sequence)
    }

    /// A record's bytes, as they were signed.
    #[must_use]
    pub fn record(&self, key: RecordKey) -> Option<&[u8]> {
        self.routers.get(&key.router)?.part(key.part).map(|stored| stored.bytes.as_ref())
    }

    /// Who a router is.
    #[must_use]
    pub fn known(&self, router: RouterId) -> Option<&Known> {
        self.routers.get(&router).map(|router| &router.known)
    }

    /// The devices of a node that are on the map.
    pub fn devices(&self, node: NodeId) -> impl Iterator<Item = RouterId> + '_ {
        let name = first_bytes(node);
        let (first, last) = ((name, RouterId([0; 8])), (name, RouterId([u8::MAX; 8])));
        let named = self.by_node.range(first..=last).map(|&(_, router)| router);
        named.filter(move |router| self.known(*router).is_some_and(|known| known.node == node))
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

    /// Bytes that the records take, and their routers beside them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What a router lists, page by page.
    pub fn links(&self, router: RouterId) -> impl Iterator<Item = Link> + '_ {
        self.routers.get(&router).into_iter().flat_map(|router| &router.parts).flat_map(Stored::links)
    }

    /// The records of a router.
    pub fn parts(&self, router: RouterId) -> impl Iterator<Item = RecordKey> + '_ {
        let parts = self.routers.get(&router).into_iter().flat_map(|entry| &entry.parts);
        parts.map(move |stored| RecordKey { router, part: stored.part })
    }

    /// Every record from one key on, with its sequence number.
    pub fn from(&self, first: RecordKey) -> impl Iterator<Item = (RecordKey, u64)> + '_ {
        let parts = self.routers.range(first.router..).flat_map(|(&router, entry)| {
            entry.parts.iter().map(move |stored| (RecordKey { router, part: stored.part }, stored.sequence))
        });
        parts.skip_while(move |&(key, _)| key < first)
    }

    /// Takes in a record that was checked. Its papers are here, or `known` is from them. `false` when there is no room, and
    /// nobody farther to make it of: one that is not here counts as being at the distance `claimed`. A router of which a later
    /// record finds no room is forgotten; else nothing has changed then. Our own always finds room.
    pub fn insert(
        &mut self,
        (now, limits): (Instant, &Limits),
        record: &SignedRecord,
        (known, claimed): (Known, Option<u64>),
        own: RouterId,
    ) -> bool {
        let RecordKey { router, part } = record.key;
        let stored = Stored::new(record);
        let entry = self.routers.get(&router);
        let frees = entry.and_then(|entry| entry.part(part)).map_or(0, Stored::weight);
        let adds = stored.weight() + if entry.is_some() { 0 } else { ROUTER_OVERHEAD };
        let claimed = claimed.unwrap_or(NOWHERE);
        let distance = (entry.map_or(claimed, |entry| entry.distance), router);
        if router != own && !self.make_room(limits, distance, own, adds.saturating_sub(frees)) {
            self.remove(router);
            return false;
        }
        let entry = self.routers.entry(router).or_insert_with(|| {
            let lost_at = (router != own).then_some(Instant::ZERO);
            let distance = if router == own { 0 } else { claimed };
            Box::new(Router { known, parts: Vec::new(), lost_at, distance, young_until: now + YOUNG })
        });
        self.by_node.remove(&(first_bytes(entry.known.node), router));
        self.by_node.insert((first_bytes(known.node), router));
        entry.known = known;
        entry.put(stored);
        self.bytes = self.bytes + adds - frees;
        self.changes += 1;
        true
    }

    /// Whether a record of this router finds room without anybody's being forgotten.
    #[must_use]
    pub fn fits(&self, limits: &Limits, record: &SignedRecord) -> bool {
        let new = if self.routers.contains_key(&record.key.router) { 0 } else { ROUTER_OVERHEAD };
        self.has_room(limits, record.key.router, new + RECORD_OVERHEAD + record.bytes.len())
    }

    /// A router that is nearer than this finds room, or takes that of one that is farther.
    #[must_use]
    pub fn reach(&self, limits: &Limits, own: RouterId) -> Distance {
        let has_room = self.routers.len() < limits.routers as usize
            && self.bytes + USUAL_BYTES <= limits.routing_bytes as usize;
        let farthest = if has_room { None } else { self.farthest(own) };
        farthest.unwrap_or((NOWHERE, RouterId([u8::MAX; 8])))
    }

    fn has_room(&self, limits: &Limits, router: RouterId, bytes: usize) -> bool {
        let new = usize::from(!self.routers.contains_key(&router));
        self.bytes + bytes <= limits.routing_bytes as usize
            && self.routers.len() + new <= limits.routers as usize
    }

    /// The farthest of all but ourselves; those to which nothing leads are farther than any other.
    #[must_use]
    pub fn farthest(&self, own: RouterId) -> Option<Distance> {
        let others = self.routers.iter().filter(|(router, _)| **router != own);
        others.map(|(&router, entry)| (entry.distance, router)).max()
    }

    /// Room for so many bytes more of a router at this distance: the farthest make it, as long as they are farther.
    fn make_room(&mut self, limits: &Limits, distance: Distance, own: RouterId, bytes: usize) -> bool {
        loop {
            if self.has_room(limits, distance.1, bytes) {
                return true;
            }
            match self.farthest(own).filter(|&farthest| farthest > distance) {
                Some((_, victim)) => self.remove(victim),
                None => return false,
            }
        }
    }

    /// Forgets a router.
    pub fn remove(&mut self, router: RouterId) {
        if let Some(entry) = self.routers.remove(&router) {
            self.by_node.remove(&(first_bytes(entry.known.node), router));
            self.changes += 1;
            self.bytes -= entry.weight();
        }
    }

    /// Notes how far a router is now; `None` when nothing leads to it.
    pub fn note_distance(&mut self, now: Instant, router: RouterId, distance: Option<u64>) {
        let Some(entry) = self.routers.get_mut(&router) else { return };
        match (distance, entry.lost_at) {
            (Some(_), _) => entry.lost_at = None,
            (None, None | Some(Instant::ZERO)) => entry.lost_at = Some(now),
            (None, Some(_)) => {}
        }
        if distance.is_some() || entry.young_until <= now {
            entry.distance = distance.unwrap_or(NOWHERE);
        }
    }

    /// When the next router to which nothing leads does not count any more as being as far as others say.
    #[must_use]
    pub fn grown_up_at(&self, now: Instant) -> Option<Instant> {
        let unreached = self.routers.values().filter(|entry| entry.lost_at.is_some());
        let young = unreached.filter(|entry| entry.distance != NOWHERE).map(|entry| entry.young_until);
        young.filter(|&until| until > now).min()
    }

    /// Forgets those to which nothing has led for so long.
    pub fn forget_lost(&mut self, now: Instant, kept: Duration) {
        let is_over = |entry: &Router| entry.lost_at.is_some_and(|at| at + kept <= now);
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
            assert!(entry.part(Part::PAPERS).is_some(), "{router} has pages and no papers");
            assert!(
                self.by_node.contains(&(first_bytes(entry.known.node), *router)),
                "{router} is not found by its node"
            );
            assert!(entry.parts.is_sorted_by_key(|stored| stored.part), "parts of {router} out of order");
            bytes += entry.weight();
        }
        assert_eq!(self.bytes, bytes, "bytes of records miscounted");
    }
}
