//! Ways over many hops: every router knows the whole map, and each packet takes the shortest way over it.
//!
//! Villages in the hills. Each sends out, when a bridge of its own is built or falls, a signed note: "I am I, and these are
//! my neighbours". Who gets a note that he has not seen passes it on to all his neighbours but the one who brought it; so
//! everybody draws the same map. A road counts only if both villages at its ends speak of it: nobody can draw one to a village
//! that does not know him. A carrier walks by the map, hands his letter to the next one and waits until that one has it in his
//! hand; where a bridge has just fallen he takes another and says so on the letter, for the note is slower than he.
//!
//! Machine `Routing`. Link state (McQuillan, Richer and Rosen, "The New Routing Algorithm for the ARPANET", 1980; flooding
//! and sequence numbers as in OSPF, RFC 2328, section 13) with three departures. Nothing is repeated by a clock: every message between
//! neighbours is acknowledged by the link, and two that meet compare all they have. A record is signed and comes in pages. And
//! a packet carries the broken links that it met (`custody`), so that it need not wait for the map.
//!
//! Invariants: a record is on the board only if its papers were checked and its signature is right; a link counts only if both
//! ends list it; a packet is in one pair of hands, or, while an acknowledgement is lost, in two; whoever is a neighbour gets
//! each record once in each edition, or a later one. Messages: [`message`]. Durable records: none: the map is told anew after a start, and
//! numbers go on by the count of starts. Assumed of the others: `link` delivers a message once and says so, `identity` knows
//! whom to trust. At its limits routers are refused to which nothing leads ([`database`]), and packets that find no place.

mod afar;
pub mod custody;
pub mod database;
pub mod detour;
mod flood;
mod forward;
pub mod graph;
mod landmarks;
mod large;
pub mod message;
pub mod metric;
mod neighbour;
mod own;
pub mod record;
mod size;
mod trails;
mod vicinity;
#[allow(clippy::all, missing_docs, unreachable_pub)]
#[rustfmt::skip]
mod wire;

#[cfg(test)]
pub(crate) mod tests;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;

use crate::bounded::Deadlines;
use crate::drops::Drop;
use crate::identity::{Checker, LocalIdentity};
use crate::ids::{NetworkId, NodeId, PeerSlot, RouterId};
use crate::limits::Limits;
use crate::machine::{Cx, Machine};
use crate::node::input::Class;
use crate::time::{Duration, Instant};
use crate::wake::{Reason, Wake};
use crate::zoo::{Bug, Zoo};
use custody::Custody;
use database::{Database, KEPT_UNREACHABLE, Known};
use detour::Detours;
use graph::{Graph, Tree};
use large::Large;
use metric::{Cost, Quality};
use neighbour::Neighbour;
use own::Own;
use record::SignedRecord;
use vicinity::Vicinity;

/// How often those are looked for to whom nothing leads.
const TIDY: Duration = Duration::from_secs(600);
/// A router says no more than one word in the time of so many packets on scarce air (guess: five minutes at SF9).
const PACKETS_A_WORD: u64 = 256;
/// On scarce air the pages that lead to a router come hours after its papers (guess: a day at SF9).
const PACKETS_UNTIL_FORGOTTEN: u64 = 1 << 16;
/// A packet waits for the time of so many on scarce air (guess: ten minutes at SF9).
const PACKETS_A_LIFE: u64 = 512;
/// The longest time between two measurements of a link.
const MEASURE_MOST: Duration = Duration::from_secs(30);

/// What can happen to routing.
#[derive(Debug)]
pub enum Input<'a> {
    /// A router can be reached directly: a session with it is up, over a link. Said again when that was in doubt.
    NeighbourUp {
        /// Its slot.
        peer: PeerSlot,
        /// Its name.
        router: RouterId,
    },
    /// The session is over.
    NeighbourDown {
        /// Its slot.
        peer: PeerSlot,
    },
    /// All direct ways to it stopped to work; its session goes on.
    NeighbourUnusable {
        /// Its slot.
        peer: PeerSlot,
    },
    /// The answer to `Action::Measure`.
    Measured {
        /// Its slot.
        peer: PeerSlot,
        /// How the link is.
        quality: Quality,
    },
    /// A message from a neighbour.
    Message {
        /// Its slot.
        peer: PeerSlot,
        /// The message.
        payload: Bytes,
        /// Who is trusted now.
        checker: Checker<'a>,
    },
    /// What this node has shown may be void now.
    Distrusted {
        /// Who.
        node: NodeId,
        /// Who is trusted now.
        checker: Checker<'a>,
    },
    /// What became of `Action::Send`.
    Settled {
        /// The neighbour.
        peer: PeerSlot,
        /// The number of the message.
        tag: u64,
        /// Whether the neighbour has it.
        arrived: bool,
    },
    /// A packet for a router, however far.
    Send {
        /// Which.
        to: RouterId,
        /// The landmark that keeps it, if it was looked for because it is not on the map.
        home: Option<RouterId>,
        /// How urgent it is.
        class: Class,
        /// The packet, sealed.
        payload: Bytes,
    },
}

/// What routing wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Give this message to a neighbour, once, and answer `Input::Settled`.
    Send {
        /// The neighbour.
        peer: PeerSlot,
        /// The number of the message.
        tag: u64,
        /// How urgent it is.
        class: Class,
        /// The message.
        payload: Bytes,
    },
    /// A message need not be sent any more, if the neighbour does not have it yet.
    Withdraw {
        /// The neighbour.
        peer: PeerSlot,
        /// The number of the message.
        tag: u64,
        /// What [`Routing::placed`] was told of it.
        place: Option<u32>,
    },
    /// Say how the link to a neighbour is.
    Measure {
        /// The neighbour.
        peer: PeerSlot,
    },
    /// A packet for this router has come.
    Deliver {
        /// From whom, as it says.
        from: RouterId,
        /// The landmark to which an answer goes, as it says, if that router is not on the map.
        home: Option<RouterId>,
        /// The packet.
        payload: Bytes,
    },
    /// A node that was looked for is there.
    Found {
        /// Which.
        node: NodeId,
        /// Its device.
        router: RouterId,
        /// The landmark that keeps it.
        home: RouterId,
        /// Its X25519 key.
        key: [u8; 32],
    },
    /// A node is looked for and was not found yet: [`Routing::stop_seeking`] ends it.
    InVain {
        /// Which.
        node: NodeId,
    },
    /// The landmark of a router says that it does not keep it. Anybody can say so.
    Astray {
        /// Which router.
        router: RouterId,
    },
    /// A router that was not on the map is there now. Said only where gossip wants to know.
    Appeared {
        /// Which.
        router: RouterId,
    },
}

/// A step of a packet: given to a neighbour, or delivered. For simulators and operators; nothing depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moved {
    /// Its source.
    pub from: RouterId,
    /// Its destination.
    pub to: RouterId,
    /// What relays know it by: [`message::Head::name`].
    pub name: u64,
    /// Hops that it has made.
    pub hops: u8,
    /// This router has not given it to anybody before, since it came here.
    pub first: bool,
    /// The neighbour that it was given to; `None` when this is its destination.
    pub next: Option<RouterId>,
}

/// The map, and the packets on their way over it.
#[derive(Debug)]
pub struct Routing {
    own: Own,
    network: NetworkId,
    database: Database,
    neighbours: BTreeMap<PeerSlot, Neighbour>,
    by_router: BTreeMap<RouterId, PeerSlot>,
    deadlines: Deadlines,
    custody: Custody,
    /// The map as it was when it was last looked at; `None` when it has changed since.
    map: Option<(Graph, Tree)>,
    vicinity: Vicinity,
    large: Large,
    detours: Detours,
    /// Takes what others are to get, and passes nothing on.
    swallows: bool,
    /// How often the map has changed since the start.
    map_changes: u64,
    zoo: Zoo,
    next_tag: u64,
    next_id: u32,
    checks: u64,
    tidy_at: Instant,
    actions: VecDeque<Action>,
    moved: Vec<Moved>,
}

impl Machine for Routing {
    type Input<'a> = Input<'a>;
    type Action = Action;

    fn handle(&mut self, cx: &mut Cx<'_>, input: Input<'_>) {
        match input {
            Input::NeighbourUp { peer, router } => self.neighbour_up(cx, peer, router),
            Input::NeighbourDown { peer } => self.neighbour_down(cx, peer),
            Input::NeighbourUnusable { .. } if cx.zoo.has(Bug::DeadNextHop) => {}
            Input::NeighbourUnusable { peer } => self.neighbour_usable(cx, peer, false),
            Input::Measured { peer, quality } => self.measured(cx, peer, quality),
            Input::Message { peer, payload, checker } => self.message(cx, peer, payload, &checker),
            Input::Distrusted { .. } if cx.zoo.has(Bug::RevokedStays) => {}
            Input::Distrusted { node, checker } => self.distrusted(cx, node, &checker),
            Input::Settled { peer, tag, arrived } => self.settled(cx, peer, tag, arrived),
            Input::Send { to, home, class, payload } => self.send(cx, (to, home), class, payload),
        }
    }

    fn wake(&mut self, cx: &mut Cx<'_>) {
        while let Some(slot) = self.deadlines.pop_due(cx.now) {
            self.neighbour_wake(cx, PeerSlot(slot));
        }
        if self.own.say_at().is_some_and(|at| at <= cx.now) {
            self.say(cx);
        }
        self.custody_wake(cx);
        self.vicinity_wake(cx);
        self.large_wake(cx);
        if self.tidy_at <= cx.now {
            self.tidy_at = cx.now + TIDY;
            self.look_at_map(cx.now);
            let kept = self.scarce().mul_ratio(PACKETS_UNTIL_FORGOTTEN, 1).max(KEPT_UNREACHABLE);
            self.database.forget_lost(cx.now, kept);
            self.large.landmarks.forget_lost(cx.now);
            self.large.places.forget_old(cx.now);
            self.detours.forget_old(cx.now);
            self.map_changed(cx.now);
        }
    }

    fn next_wake(&self) -> Wake {
        let at = |at: Option<Instant>, reason| at.map_or(Wake::Idle, |at| Wake::At(at, reason));
        self.deadlines
            .next()
            .min(at(self.own.say_at(), Reason::LinkState))
            .min(at(self.custody.next_alarm(), Reason::Custody))
            .min(at(self.vicinity.look_at(), Reason::LinkState))
            .min(at(self.large.next(), Reason::LinkState))
            .min(Wake::At(self.tidy_at, Reason::Forget))
    }

    fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }
}

impl Routing {
    /// Nobody is known yet but this device, which has started so often.
    #[must_use]
    pub fn new(cx: &mut Cx<'_>, identity: &LocalIdentity, network: NetworkId, boot: u32) -> Routing {
        let mut routing = Routing {
            own: Own::new(identity, network, boot, cx.now),
            network,
            database: Database::default(),
            neighbours: BTreeMap::new(),
            by_router: BTreeMap::new(),
            deadlines: Deadlines::new(),
            custody: Custody::new(&mut cx.rng.branch("trails")),
            map: None,
            vicinity: Vicinity::default(),
            large: Large::default(),
            detours: Detours::default(),
            swallows: false,
            map_changes: 0,
            zoo: cx.zoo,
            next_tag: 0,
            next_id: cx.rng.next_u32(),
            checks: 0,
            tidy_at: cx.now + TIDY,
            actions: VecDeque::new(),
            moved: Vec::new(),
        };
        routing.say(cx);
        routing
    }

    /// This device's name on the map.
    #[must_use]
    pub fn router(&self) -> RouterId {
        self.own.router
    }

    /// Who a router is.
    #[must_use]
    pub fn known(&self, router: RouterId) -> Option<&Known> {
        self.database.known(router)
    }

    /// The certificate of a router and its membership, empty where it has none, as they are on the map.
    #[must_use]
    pub fn papers(&self, router: RouterId) -> Option<(Bytes, Bytes)> {
        let record = self.database.record(record::RecordKey { router, part: record::Part::PAPERS })?;
        match SignedRecord::decode(Bytes::copy_from_slice(record)).ok()?.content {
            record::Content::Papers { certificate, membership } => Some((certificate, membership)),
            record::Content::Page(_) | record::Content::Landmark { .. } | record::Content::Home { .. } => {
                None
            }
        }
    }

    /// The devices of a node that are on the map.
    pub fn devices(&self, node: NodeId) -> impl Iterator<Item = RouterId> + '_ {
        self.database.devices(node)
    }

    /// The neighbours that a router had when it was last heard of, and what it costs from there to each.
    pub fn listed_by(&self, router: RouterId) -> impl Iterator<Item = record::Link> + '_ {
        self.database.links(router)
    }

    /// Whether something led to a router when the map was last looked at.
    #[must_use]
    pub fn leads_to(&self, router: RouterId) -> bool {
        self.database.leads_to(router)
    }

    /// The first hop on the way to a router, if there is a way.
    pub fn next_hop(&mut self, now: Instant, to: RouterId) -> Option<RouterId> {
        self.look_at_map(now);
        self.map.as_ref().and_then(|(graph, tree)| graph.first_hop(tree, to))
    }

    /// How often the map has changed since the start: as long as this stays, so does [`Routing::next_hops`].
    #[must_use]
    pub fn map_changes(&self) -> u64 {
        self.map_changes
    }

    /// Gives every neighbour this message, whatever it says: see `Node::tell_neighbours`.
    pub fn tell_neighbours(&mut self, message: &Bytes) {
        for peer in self.neighbours.keys().copied().collect::<Vec<PeerSlot>>() {
            let tag = self.tag();
            self.actions.push_back(Action::Send { peer, tag, class: Class::High, payload: message.clone() });
        }
    }

    /// All records on the map, as they were signed, in order of routers and parts.
    pub fn all_records(&self) -> impl Iterator<Item = &[u8]> + '_ {
        let first = record::RecordKey { router: RouterId([0; 8]), part: record::Part::PAPERS };
        self.database.from(first).filter_map(|(key, _)| self.database.record(key))
    }

    /// Every router to which there is a way, with the first hop there, in ascending order. For simulators and operators: a
    /// map that has changed is looked at anew, and not kept.
    #[must_use]
    pub fn next_hops(&self) -> Vec<(RouterId, RouterId)> {
        let new = self.map.is_none().then(|| self.reckon());
        let Some((graph, tree)) = self.map.as_ref().or(new.as_ref()) else { return Vec::new() };
        graph.first_hops(tree).collect()
    }

    /// What packets did since [`Routing::forget_moved`].
    #[must_use]
    pub fn moved(&self) -> &[Moved] {
        &self.moved
    }

    /// A new turn begins: what packets did before is forgotten.
    pub fn forget_moved(&mut self) {
        self.moved.clear();
    }

    /// How many routers are on the map, and bytes of their records.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.database.len(), self.database.bytes())
    }

    /// Signatures checked since the start.
    #[must_use]
    pub fn checks(&self) -> u64 {
        self.checks
    }

    fn neighbour_up(&mut self, cx: &mut Cx<'_>, peer: PeerSlot, router: RouterId) {
        if self.neighbours.get(&peer).is_some_and(|neighbour| neighbour.router == router) {
            self.neighbour_usable(cx, peer, true);
            return;
        }
        self.neighbour_down(cx, peer);
        if router == self.own.router || self.by_router.contains_key(&router) {
            return;
        }
        self.neighbours.insert(peer, Neighbour::new(router, cx.now));
        self.by_router.insert(router, peer);
        self.vicinity.forget_asked(router);
        self.map_changed(cx.now);
        self.own.gained(cx.now);
        self.owe_landmarks(peer);
        self.neighbour_wake(cx, peer);
        self.flood_soon(cx, peer);
    }

    fn neighbour_down(&mut self, cx: &mut Cx<'_>, peer: PeerSlot) {
        let Some(neighbour) = self.neighbours.remove(&peer) else { return };
        self.by_router.remove(&neighbour.router);
        self.map_changed(cx.now);
        self.own.lost(cx.now);
        self.forget_heard(cx, peer);
        self.take_back(cx, peer);
    }

    fn neighbour_usable(&mut self, cx: &mut Cx<'_>, peer: PeerSlot, usable: bool) {
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
        if core::mem::replace(&mut neighbour.usable, usable) == usable {
            return;
        }
        if usable {
            neighbour.forget_measurements();
        }
        self.map_changed(cx.now);
        self.choose_all(cx);
        if usable {
            self.own.gained(cx.now);
            self.flood_soon(cx, peer);
        } else {
            self.own.lost(cx.now);
            self.take_back(cx, peer);
        }
    }

    fn measured(&mut self, cx: &mut Cx<'_>, peer: PeerSlot, quality: Quality) {
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
        let before = neighbour.cost();
        neighbour.measured(quality);
        let cost = neighbour.cost();
        let scarce = self.scarce();
        self.own.unhurried = scarce.mul_ratio(PACKETS_A_WORD, 1);
        self.custody.slowest = scarce.mul_ratio(PACKETS_A_LIFE, 1);
        let Some(neighbour) = self.neighbours.get(&peer) else { return };
        if cost != before {
            self.own.cost_changed(cx.now, neighbour.router, cost);
            if self.own.said_cost(neighbour.router).is_none() || cx.zoo.has(Bug::CostUnsaid) {
                self.map_changed(cx.now);
                self.choose_all(cx);
            }
        }
    }

    /// How long the largest packet is on the slowest of our scarce airs; zero where there is none.
    fn scarce(&self) -> Duration {
        self.neighbours.values().map(Neighbour::scarce).max().unwrap_or(Duration::ZERO)
    }

    fn neighbour_wake(&mut self, cx: &mut Cx<'_>, peer: PeerSlot) {
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
        let (at, gap) = neighbour.measure;
        if at <= cx.now {
            neighbour.measure = (cx.now + gap, gap.mul_ratio(2, 1).min(MEASURE_MOST));
            self.actions.push_back(Action::Measure { peer });
        }
        if neighbour.flood_at.is_some_and(|at| at <= cx.now) {
            neighbour.flood_at = None;
            self.flood(cx, peer);
        }
        self.set_deadline(peer);
    }

    fn set_deadline(&mut self, peer: PeerSlot) {
        let Some(neighbour) = self.neighbours.get(&peer) else { return };
        let flood = neighbour.flood_at.map_or(Wake::Idle, |at| Wake::At(at, Reason::Flood));
        self.deadlines.set(peer.0, flood.min(Wake::At(neighbour.measure.0, Reason::Measure)));
    }

    /// The neighbours that answer now, and what it costs to reach them.
    fn reachable_neighbours(&self) -> Vec<(RouterId, Cost)> {
        let usable = self.neighbours.values().filter(|neighbour| neighbour.usable);
        usable.map(|neighbour| (neighbour.router, neighbour.cost())).collect()
    }

    fn look_at_map(&mut self, now: Instant) {
        if self.map.is_some() {
            return;
        }
        let (graph, tree) = self.reckon();
        for (router, reached) in graph.reached(&tree) {
            self.database.note_distance(now, router, reached.map(|(distance, _)| distance));
        }
        self.map = Some((graph, tree));
    }

    /// The map as it is now, and the shortest ways over it.
    fn reckon(&self) -> (Graph, Tree) {
        // By the costs that others know: two routers that reckon with two maps could send a packet to and fro.
        let mut neighbours = self.reachable_neighbours();
        for (router, cost) in &mut neighbours {
            let said = self.own.said_cost(*router).filter(|_| !self.zoo.has(Bug::CostUnsaid));
            *cost = said.unwrap_or(*cost);
        }
        let graph = Graph::new(&self.database, self.own.router, &neighbours, self.zoo);
        let tree = graph.tree(&[], &[]);
        (graph, tree)
    }

    fn tag(&mut self) -> u64 {
        self.next_tag += 1;
        self.next_tag
    }

    /// Says who we are and who our neighbours, as far as that has changed.
    fn say(&mut self, cx: &mut Cx<'_>) {
        for page in self.own.say(cx.now, &self.reachable_neighbours()) {
            if cx.zoo.has(Bug::PagesLost) && Some(page.key.part) > record::Part::page(0) {
                continue;
            }
            self.take_own(cx, &page);
        }
        // Costs that were said are those of ways.
        self.choose_all(cx);
    }

    fn take_own(&mut self, cx: &mut Cx<'_>, record: &SignedRecord) {
        let (known, router) = (self.own.known, self.own.router);
        if !self.database.insert((cx.now, cx.limits), record, (known, None), router) {
            cx.drops.count(Drop::RoutersFull);
        }
        self.map_changed(cx.now);
        self.owe_all(cx, record.key, None);
    }

    /// Panics when an invariant does not hold.
    pub fn check(&self, limits: &Limits) {
        self.database.check();
        #[cfg(test)]
        self.database.check_all();
        self.custody.check(limits);
        self.large.check(limits);
        self.detours.check();
        assert_eq!(self.by_router.len(), self.neighbours.len(), "a name for each neighbour");
        for (router, peer) in &self.by_router {
            assert!(self.neighbours.get(peer).is_some_and(|neighbour| neighbour.router == *router));
        }
    }
}
