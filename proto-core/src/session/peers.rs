//! What is remembered of each peer.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::trust::Papers;
use crate::bounded::Window;
use crate::identity::Roots;
use crate::ids::{Addr, DeviceId, LinkId, NodeId, PathId, PeerSlot};
use crate::node::output::Found;
use crate::params::PeerParams;
use crate::time::Instant;

/// A link and an address on it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place {
    pub(super) link: LinkId,
    pub(super) addr: Addr,
}

/// Somewhere a peer may be found.
pub(super) struct Endpoint {
    pub(super) place: Place,
    /// Given by the application; otherwise learned from a handshake of the peer's own.
    pub(super) configured: bool,
    /// The handshake under way there.
    pub(super) dial: Option<u16>,
    /// When to send next.
    pub(super) next: Instant,
    /// Packets sent since this round of attempts began.
    pub(super) sent: u32,
    /// Handshakes begun there; every other one is XX even when the peer's key is known.
    pub(super) turns: u32,
    /// It told us that it cannot or will not speak with us: try rarely.
    pub(super) slow: bool,
    /// Nothing leads there now, as the map says: nothing is sent until something does.
    pub(super) away: bool,
}

/// Packet numbers of one path, both directions.
#[derive(Default)]
pub(super) struct PathNumbers {
    /// The next number to send.
    pub(super) next: u64,
    /// One above the highest of ours that is known to have arrived, on whatever way the path then went.
    pub(super) acked_end: u64,
    /// What was received; allocated by the first packet.
    pub(super) window: Option<Window>,
}

/// What two instances of two nodes share from their first handshake until one of them restarts or
/// forgets the other: packet numbers go on in it whatever happens to keys, links and silence.
pub(super) struct Association {
    /// The peer's life, the highest that it has told in a handshake.
    pub(super) life: u32,
    /// Its life when it last forgot us, the highest that it has told.
    pub(super) forgot: u32,
    /// The highest round of keys.
    pub(super) round: u32,
    pub(super) version: u8,
    pub(super) params: PeerParams,
    /// Whether there are keys to send with. Otherwise it rests, after long silence.
    pub(super) up: bool,
    pub(super) heard: Instant,
    /// Indices of all keys, 0 for none.
    pub(super) keys: [u32; 4],
    /// Index of the keys to send with.
    pub(super) sending: u32,
    /// Where the answer went that made our keys, when they were confirmed from elsewhere.
    pub(super) unproved: Option<Box<Unproved>>,
    pub(super) paths: [PathNumbers; PathId::COUNT],
}

/// A place to which a handshake was answered, and from which nothing has come under its keys.
#[derive(Debug)]
pub(super) struct Unproved {
    pub(super) place: Place,
    /// Of the keys.
    pub(super) index: u32,
    /// Whoever is there later may be another.
    pub(super) until: Instant,
}

impl Association {
    /// An association without keys.
    pub(super) fn new(params: PeerParams) -> Association {
        Association {
            life: 0,
            forgot: 0,
            round: 0,
            version: 0,
            params,
            up: false,
            heard: Instant::ZERO,
            keys: [0; 4],
            sending: 0,
            unproved: None,
            paths: Default::default(),
        }
    }
}

/// One peer.
pub(super) struct Peer {
    /// Who it must be, or has proved to be.
    pub(super) node: Option<NodeId>,
    /// The application wants a session with it.
    pub(super) wanted: bool,
    /// How it was found.
    pub(super) found: Found,
    /// The application named its node: what is known of its root keys is kept for good.
    pub(super) named: bool,
    /// The root keys that it has shown since it has its slot, whichever device did.
    pub(super) roots: Roots,
    /// Its X25519 key, once known.
    pub(super) key: Option<[u8; 32]>,
    pub(super) papers: Option<Papers>,
    /// The device last spoken with, and the highest start count that it has proved.
    pub(super) device: Option<DeviceId>,
    pub(super) boot: u32,
    /// Our life when we last forgot it; 0 when we never did.
    pub(super) forgot: u32,
    /// What was shared with another device of it is void, and the next session has to say so.
    pub(super) parted: bool,
    /// The instance last spoken with.
    pub(super) instance: Option<u64>,
    pub(super) endpoints: Vec<Endpoint>,
    /// Since when we try to reach it.
    pub(super) dialing: Option<Instant>,
    /// Calls of its own that came while we were trying.
    pub(super) calls_heard: u16,
    pub(super) association: Option<Box<Association>>,
    /// Hints from it are not heeded before.
    pub(super) hints_from: Instant,
    /// The other instance that was last reported.
    pub(super) clone_reported: Option<u64>,
    /// When it came into the table or was last up: the oldest idle stranger makes room.
    pub(super) since: Instant,
}

impl Peer {
    pub(super) fn new(now: Instant, node: Option<NodeId>) -> Peer {
        Peer {
            node,
            wanted: false,
            found: Found::Called,
            named: false,
            roots: Roots::default(),
            key: None,
            papers: None,
            device: None,
            boot: 0,
            forgot: 0,
            parted: false,
            instance: None,
            endpoints: Vec::new(),
            dialing: None,
            calls_heard: 0,
            association: None,
            hints_from: Instant::ZERO,
            clone_reported: None,
            since: now,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.association.as_ref().is_some_and(|association| association.up)
    }

    /// Where in the list a place is that the application gave.
    pub(super) fn configured(&self, place: Place) -> Option<usize> {
        self.endpoints.iter().position(|known| known.configured && known.place == place)
    }

    /// Adds a place, or finds it. The list is bounded; a learned place makes room for another, and for one
    /// that the application gives even while it is being called. Gives back the handshake that was under way
    /// at the place that made room.
    pub(super) fn add_endpoint(
        &mut self,
        now: Instant,
        place: Place,
        configured: bool,
        limit: usize,
    ) -> Option<u16> {
        if let Some(known) = self.endpoints.iter_mut().find(|known| known.place == place) {
            known.configured |= configured;
            return None;
        }
        let mut ended = None;
        if self.endpoints.len() >= limit {
            let learned = |also_called: bool| {
                let goes = |known: &Endpoint| !known.configured && (also_called || known.dial.is_none());
                self.endpoints.iter().position(goes)
            };
            let goes = learned(false).or_else(|| if configured { learned(true) } else { None })?;
            ended = self.endpoints.remove(goes).dial;
        }
        // Most peers have one, and nobody has many.
        self.endpoints.reserve_exact(1);
        self.endpoints.push(Endpoint {
            place,
            configured,
            dial: None,
            next: now,
            sent: 0,
            turns: 0,
            slow: false,
            away: false,
        });
        ended
    }
}

impl Peer {
    /// Takes over a place with the handshake that is under way there: it has just found out who it is.
    /// Gives back the handshake that it takes the place of.
    pub(super) fn take_endpoint(&mut self, endpoint: Endpoint, limit: usize) -> Option<u16> {
        if let Some(same) = self.endpoints.iter_mut().find(|known| known.place == endpoint.place) {
            same.configured |= endpoint.configured;
            let taken = endpoint.dial.is_some();
            return if taken { core::mem::replace(&mut same.dial, endpoint.dial) } else { None };
        }
        if self.endpoints.len() < limit {
            self.endpoints.push(endpoint);
            return None;
        }
        let learned = self.endpoints.iter().position(|known| !known.configured);
        let last = endpoint.dial.and(self.endpoints.len().checked_sub(1));
        match learned.or(last).and_then(|nth| self.endpoints.get_mut(nth)) {
            Some(known) => core::mem::replace(known, endpoint).dial,
            None => None,
        }
    }
}

/// All peers.
pub(super) struct Peers {
    slots: Vec<Option<Box<Peer>>>,
    by_node: BTreeMap<NodeId, PeerSlot>,
}

impl Peers {
    pub(super) const fn new() -> Peers {
        Peers { slots: Vec::new(), by_node: BTreeMap::new() }
    }

    #[inline]
    pub(super) fn get(&self, slot: PeerSlot) -> Option<&Peer> {
        self.slots.get(usize::from(slot.0))?.as_deref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, slot: PeerSlot) -> Option<&mut Peer> {
        self.slots.get_mut(usize::from(slot.0))?.as_deref_mut()
    }

    pub(super) fn slot_of(&self, node: &NodeId) -> Option<PeerSlot> {
        self.by_node.get(node).copied()
    }

    pub(super) fn of_node(&self, node: &NodeId) -> Option<&Peer> {
        self.get(self.slot_of(node)?)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (PeerSlot, &Peer)> {
        self.slots.iter().zip(0u16..).filter_map(|(peer, slot)| Some((PeerSlot(slot), peer.as_deref()?)))
    }

    /// Puts a peer into a free slot; `None` when `limit` are in use.
    pub(super) fn insert(&mut self, peer: Peer, limit: u16) -> Option<PeerSlot> {
        let free = self.slots.iter().position(Option::is_none);
        let place = match free {
            Some(place) => place,
            None if self.slots.len() < usize::from(limit) => {
                self.slots.push(None);
                self.slots.len() - 1
            }
            None => return None,
        };
        let slot = PeerSlot(u16::try_from(place).ok()?);
        if let Some(node) = peer.node {
            self.by_node.insert(node, slot);
        }
        *self.slots.get_mut(place)? = Some(Box::new(peer));
        Some(slot)
    }

    /// Gives a peer that was only an address its name.
    pub(super) fn name(&mut self, slot: PeerSlot, node: NodeId) {
        if let Some(peer) = self.get_mut(slot) {
            peer.node = Some(node);
            self.by_node.insert(node, slot);
        }
    }

    pub(super) fn remove(&mut self, slot: PeerSlot) -> Option<Box<Peer>> {
        let peer = self.slots.get_mut(usize::from(slot.0))?.take()?;
        if let Some(node) = peer.node {
            self.by_node.remove(&node);
        }
        Some(peer)
    }

    /// Whether there is room for one more peer, be it that of a stranger.
    pub(super) fn has_room(&self, limit: u16, wanted: bool) -> bool {
        self.slots.len() < usize::from(limit)
            || self.slots.iter().any(Option::is_none)
            || self.stranger_for(wanted).is_some()
    }

    /// The stranger that makes room for one more peer: the one without a session that has been idle for
    /// longest. A `wanted` peer may also have the place of one in session, the one of which nothing was heard
    /// for longest: names cost nothing, and whoever makes many up would lock the operator's peers out.
    pub(super) fn stranger_for(&self, wanted: bool) -> Option<PeerSlot> {
        let strangers = || self.iter().filter(|(_, peer)| !peer.wanted);
        let idle = strangers().filter(|(_, peer)| !peer.is_up());
        let idle = idle.min_by_key(|(slot, peer)| (peer.since, *slot));
        let heard = |peer: &Peer| peer.association.as_ref().map(|association| association.heard);
        let any = || strangers().min_by_key(|(slot, peer)| (heard(peer), *slot));
        idle.or_else(|| if wanted { any() } else { None }).map(|(slot, _)| slot)
    }
}

/// A short list of handshakes, found by place.
pub(super) struct Slots<T> {
    items: Vec<Option<T>>,
}

impl<T> Slots<T> {
    pub(super) const fn new() -> Slots<T> {
        Slots { items: Vec::new() }
    }

    /// Puts `item` into a free place; gives it back when `limit` are in use.
    pub(super) fn insert(&mut self, item: T, limit: usize) -> Result<u16, T> {
        let place = match self.items.iter().position(Option::is_none) {
            Some(place) => place,
            None if self.items.len() < limit => {
                self.items.push(None);
                self.items.len() - 1
            }
            None => return Err(item),
        };
        match (u16::try_from(place), self.items.get_mut(place)) {
            (Ok(slot), Some(room)) => {
                *room = Some(item);
                Ok(slot)
            }
            _ => Err(item),
        }
    }

    pub(super) fn get(&self, slot: u16) -> Option<&T> {
        self.items.get(usize::from(slot))?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: u16) -> Option<&mut T> {
        self.items.get_mut(usize::from(slot))?.as_mut()
    }

    pub(super) fn remove(&mut self, slot: u16) -> Option<T> {
        self.items.get_mut(usize::from(slot))?.take()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u16, &T)> {
        self.items.iter().zip(0u16..).filter_map(|(item, slot)| Some((slot, item.as_ref()?)))
    }

    pub(super) fn len(&self) -> usize {
        self.iter().count()
    }
}
