//! Which routers are kept where the network is larger than the map: the nearest.
//!
//! A villager knows every house of his village and of the next ones, and of a far town nothing but the road. Whom he knows is a matter of
//! the way there, and that makes it safe to ask on the road: whoever lies on my shortest way to a house has it nearer than I
//! have, and so has fewer that are nearer still; with as good a memory he knows it too.
//!
//! With the nearest `k` by distance, ties by name, a router that I keep is kept by every router on my shortest way to it (S4: Mao et al., NSDI 2007,
//! section 3; compact routing: Thorup and Zwick, SPAA 2001): so the next router knows where to go on, and whoever keeps a
//! record tells its neighbours, of whom those who need it hear it from the one on their way. Distance is that by which packets go: with another one the
//! next router might not know.
//!
//! A map that is not full takes whatever comes, as before. A full one takes only whom a router on it lists, at a smaller distance
//! than that of the farthest; which makes room. Nobody can so fill it with routers that nobody lists. What came too early
//! and was refused is asked for when the map shows it: from the neighbour on the way, who keeps it if anybody does.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::Routing;
use super::database::{Database, Distance};
use super::graph::{Graph, Tree};
use super::record::{Part, RecordKey, SignedRecord};
use crate::ids::{PeerSlot, RouterId};
use crate::limits::Limits;
use crate::machine::Cx;
use crate::time::{Duration, Instant};

/// From a change of a full map to a look at who is near now: what changes at once is looked at once.
const GATHER: Duration = Duration::from_millis(20);
/// Routers that are missed at once, the nearest of them. Those around a village are found in a few looks.
pub(super) const MOST_MISSED: usize = 256;

/// Which routers are missed, and whom we have asked.
#[derive(Debug, Default)]
pub(super) struct Vicinity {
    /// The map has been full: it is not everybody's.
    is_partial: bool,
    /// Those that are listed and not on the map, and nearer than the farthest on it: their distance by what is said, and the neighbour on the way.
    missed: BTreeMap<RouterId, (u64, RouterId)>,
    /// Who was asked for each of them.
    asked: BTreeMap<RouterId, RouterId>,
    look_at: Option<Instant>,
}

impl Vicinity {
    /// The map is full.
    pub(super) fn is_full(&mut self, now: Instant) {
        if !core::mem::replace(&mut self.is_partial, true) {
            self.changed(now);
        }
    }

    /// The network is larger than the map.
    #[must_use]
    pub(super) fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// Something on the map has changed.
    pub(super) fn changed(&mut self, now: Instant) {
        if self.is_partial {
            let at = now + GATHER;
            self.look_at = Some(self.look_at.map_or(at, |before| before.min(at)));
        }
    }

    /// When to look who is near.
    #[must_use]
    pub(super) fn look_at(&self) -> Option<Instant> {
        self.look_at
    }

    /// How far a router is that is not on the map, if it is missed.
    #[must_use]
    pub(super) fn claim(&self, router: RouterId) -> Option<u64> {
        self.missed.get(&router).map(|&(distance, _)| distance)
    }

    /// A router was told of: if it finds no room now, it is asked for again when the map has changed and shows that it is missed.
    pub(super) fn answered(&mut self, router: RouterId) {
        self.asked.remove(&router);
    }

    /// A neighbour is new, or has lost its memory: what it was asked for it is asked again.
    pub(super) fn forget_asked(&mut self, neighbour: RouterId) {
        self.asked.retain(|_, asked| *asked != neighbour);
    }

    /// Bytes that it takes beside its own size.
    #[must_use]
    pub(super) fn held_bytes(&self) -> usize {
        3 * (self.missed.len() * size_of::<(RouterId, (u64, RouterId))>()
            + self.asked.len() * size_of::<(RouterId, RouterId)>())
            / 2
    }

    /// Who is missed, by the map as it is now.
    fn miss(&mut self, database: &Database, limits: &Limits, own: RouterId, (graph, tree): (&Graph, &Tree)) {
        let mut nearest: BTreeMap<RouterId, (u64, RouterId)> = BTreeMap::new();
        let mut claim = |router: RouterId, distance: u64, via: RouterId| {
            let place = nearest.entry(router).or_insert((distance, via));
            *place = (*place).min((distance, via));
        };
        for (router, reached) in graph.reached(tree) {
            let Some((distance, via)) = reached else { continue };
            if router != own && database.known(router).is_none() {
                claim(router, distance, via.unwrap_or(router));
            }
            for link in database.links(router).filter(|link| database.known(link.to).is_none()) {
                claim(link.to, distance.saturating_add(link.cost.eighths()), via.unwrap_or(link.to));
            }
        }
        let reach = database.reach(limits, own);
        let mut missed: Vec<(Distance, RouterId)> = nearest
            .into_iter()
            .map(|(router, (distance, via))| ((distance, router), via))
            .filter(|&(distance, _)| distance < reach)
            .collect();
        missed.sort_unstable();
        missed.truncate(MOST_MISSED);
        self.missed = missed.into_iter().map(|((distance, router), via)| (router, (distance, via))).collect();
        let missed = &self.missed;
        self.asked.retain(|router, _| missed.contains_key(router));
    }
}

impl Routing {
    /// The map is not what it was: packets to which nothing led, and who is missed, are looked at again.
    pub(super) fn map_changed(&mut self, now: Instant) {
        self.map = None;
        self.map_changes += 1;
        self.vicinity.changed(now);
        self.custody.map_changed(now);
    }

    /// Whether a record is of a router that is not on a full map. On one that was full once room that comes free is for whom the map
    /// shows: who took whatever comes would pass it on as well, to others with some room, and it would be under way for ever.
    pub(super) fn is_too_far(&self, limits: &Limits, record: &SignedRecord) -> bool {
        self.database.known(record.key.router).is_none()
            && (self.vicinity.is_partial || !self.database.fits(limits, record))
    }

    /// Looks who is near, and asks for whom is missed.
    pub(super) fn vicinity_wake(&mut self, cx: &mut Cx<'_>) {
        if self.vicinity.look_at.is_none_or(|at| at > cx.now) {
            return;
        }
        self.large.standing.changed(cx.now);
        // Also those whose youth is over count anew.
        self.map = None;
        self.look_at_map(cx.now);
        self.vicinity.look_at = self.database.grown_up_at(cx.now);
        let Some((graph, tree)) = &self.map else { return };
        self.vicinity.miss(&self.database, cx.limits, self.own.router, (graph, tree));
        let missed = self.vicinity.missed.iter().map(|(&router, &(_, via))| (router, via));
        let asked = &self.vicinity.asked;
        let new: Vec<(RouterId, RouterId)> =
            missed.filter(|(router, via)| asked.get(router) != Some(via)).collect();
        for (router, via) in new {
            let Some(&peer) = self.by_router.get(&via) else { continue };
            self.vicinity.asked.insert(router, via);
            self.ask(cx, peer, router);
        }
    }

    /// Asks a neighbour for all that it has of a router.
    fn ask(&mut self, cx: &mut Cx<'_>, peer: PeerSlot, router: RouterId) {
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
        neighbour.want(RecordKey { router, part: Part::PAPERS });
        self.flood_soon(cx, peer);
    }
}
