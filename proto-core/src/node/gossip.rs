//! Gossip among the members: how its messages find their way, and whom it hears of.
//!
//! The parish newsletter. The editor (`gossip`) knows with whom he exchanges it and writes names on envelopes; the post office finds the
//! house: a neighbour's by the session with him, that of somebody far away by the map, where a session over others is made on
//! the spot. It hands him each name that appears on the map, and says when somebody moves in next door or out.
//!
//! A member is a peer that announced capability 4. Whose word is to be believed, the papers say: those on the map, and those that were shown in a
//! session. What is called out on a shared medium would need a seal that all of the network can open and that shows who wrote it;
//! there is none yet, so no neighbour is said to share a medium, and gossip calls nothing out.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use bytes::Bytes;

use crate::gossip::{self, Gossip, Keys, What};
use crate::ids::{NodeId, PeerSlot, RouterId};
use crate::limits::Limits;
use crate::link::OF_GOSSIP;
use crate::machine::Machine;
use crate::node::Node;
use crate::node::input::{Class, GossipCommand};
use crate::node::output::{Event, GossipEvent, Refused};
use crate::rng::Rng;
use crate::routing::Routing;
use crate::session::{self, Sessions};
use crate::time::{Duration, Instant};
use crate::wake::Wake;

/// A message for a member that is not confirmed by then is not sent any more, and gossip is told so. As long as its broadcasts are kept, about:
/// what comes later is of no use.
const LIFETIME: Duration = Duration::from_secs(60);
/// The same for a datagram: its answer is not waited for any longer.
const DATAGRAM_LIFETIME: Duration = Duration::from_secs(2);

/// Messages with such a number are nobody's business any more: gossip numbers its own from 1 on.
const UNASKED: u64 = OF_GOSSIP | 1 << 62;

/// The machine, and who is who.
#[derive(Debug)]
pub(super) struct Gossiping {
    machine: Gossip,
    rng: Rng,
    /// Which member each peer in session is.
    names: BTreeMap<PeerSlot, Name>,
    slots: BTreeMap<RouterId, PeerSlot>,
    /// To whom each message goes that is not settled, by its number.
    under_way: BTreeMap<u64, RouterId>,
    /// Number of the last message of which gossip does not wait to hear what became.
    next_unasked: u64,
}

#[derive(Clone, Copy, Debug)]
struct Name {
    member: RouterId,
    /// It is said to be reached directly.
    near: bool,
}

/// Whose word is believed, and by which key.
#[derive(Debug)]
struct Papers<'a> {
    sessions: &'a Sessions,
    routing: Option<&'a Routing>,
    slots: &'a BTreeMap<RouterId, PeerSlot>,
}

impl Papers<'_> {
    fn node(&self, member: RouterId) -> Option<NodeId> {
        let known = self.routing.and_then(|routing| routing.known(member)).map(|known| known.node);
        known.or_else(|| self.sessions.node_of(*self.slots.get(&member)?))
    }
}

impl Keys for Papers<'_> {
    fn sign_key(&self, member: RouterId) -> Option<[u8; 32]> {
        let identity = self.sessions.identity();
        if RouterId::of(identity.device()) == member {
            return Some(identity.certificate().sign_key);
        }
        let known = self.routing.and_then(|routing| routing.known(member)).map(|known| known.sign_key);
        known.or_else(|| self.sessions.sign_key(*self.slots.get(&member)?))
    }

    fn is_signed(&self, key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
        self.sessions.verifier().verify(key, message, signature).is_ok()
    }
}

impl Gossiping {
    pub(super) fn new(machine: Gossip, rng: Rng) -> Gossiping {
        let (names, slots, under_way) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Gossiping { machine, rng, names, slots, under_way, next_unasked: 0 }
    }

    pub(super) fn machine(&self) -> &Gossip {
        &self.machine
    }

    /// The most bytes that gossip takes in a node with these limits.
    pub(super) fn worst_case_bytes(limits: &Limits) -> u64 {
        if !limits.gossips() {
            return 0;
        }
        // A name, its slot, and a message under way, each with its share of a tree's nodes. No more messages are under way than wait to be sent.
        let names = u64::from(limits.peers)
            .saturating_mul(2 * (size_of::<(PeerSlot, Name)>() + size_of::<(RouterId, PeerSlot)>()) as u64);
        let under_way =
            u64::from(limits.send_messages).saturating_mul(2 * size_of::<(u64, RouterId)>() as u64);
        let own = size_of::<Gossiping>() as u64;
        Gossip::worst_case_bytes(limits).saturating_add(names).saturating_add(under_way).saturating_add(own)
    }

    pub(super) fn check(&self, limits: &Limits) {
        self.machine.check(limits);
        assert_eq!(self.names.len(), self.slots.len(), "a slot for each name");
        for (member, peer) in &self.slots {
            assert!(self.names.get(peer).is_some_and(|name| name.member == *member));
        }
    }
}

impl Node {
    /// Views, members and broadcasts, for operators and checkers; `None` for a node that takes no part in gossip.
    #[must_use]
    pub fn gossip(&self) -> Option<&Gossip> {
        self.gossip.as_deref().map(Gossiping::machine)
    }

    /// Whose device a member is, as far as its papers are known.
    #[must_use]
    pub fn node_of_member(&self, member: RouterId) -> Option<NodeId> {
        let slots = &self.gossip.as_ref()?.slots;
        Papers { sessions: &self.sessions, routing: self.routing.as_deref(), slots }.node(member)
    }

    fn gossip_handle(&mut self, now: Instant, input: gossip::Input<'_>) {
        if let Some(Gossiping { machine, rng, .. }) = self.gossip.as_deref_mut() {
            machine.handle(&mut super::cx(now, rng, &self.limits, &mut self.drops, self.zoo), input);
        }
    }

    pub(super) fn gossip_poll(&mut self) -> Option<gossip::Action> {
        self.gossip.as_mut()?.machine.poll()
    }

    pub(super) fn gossip_wake(&mut self, now: Instant) {
        if let Some(Gossiping { machine, rng, .. }) = self.gossip.as_deref_mut()
            && machine.next_wake().is_due(now)
        {
            machine.wake(&mut super::cx(now, rng, &self.limits, &mut self.drops, self.zoo));
        }
    }

    pub(super) fn gossip_next_wake(&self) -> Wake {
        self.gossip.as_ref().map_or(Wake::Idle, |gossip| gossip.machine.next_wake())
    }

    /// A message for gossip has come from a peer.
    pub(super) fn for_gossip(&mut self, now: Instant, peer: PeerSlot, payload: Bytes) {
        let Some(Gossiping { machine, rng, names, slots, .. }) = self.gossip.as_deref_mut() else { return };
        let Some(&Name { member: from, .. }) = names.get(&peer) else { return };
        let keys = &Papers { sessions: &self.sessions, routing: self.routing.as_deref(), slots };
        let mut cx = super::cx(now, rng, &self.limits, &mut self.drops, self.zoo);
        machine.handle(&mut cx, gossip::Input::Message { from, payload, keys });
    }

    /// What became of a message of gossip. Whoever could not be told anything for so long, and has no session, is out of reach.
    pub(super) fn gossip_settled(&mut self, now: Instant, tag: u64, arrived: bool) {
        let tag = tag & !OF_GOSSIP;
        let Some(gossip) = &mut self.gossip else { return };
        let Some(to) = gossip.under_way.remove(&tag) else { return };
        let unreachable = !arrived && !gossip.slots.contains_key(&to);
        self.gossip_handle(now, gossip::Input::Settled { to, tag, arrived });
        if unreachable {
            self.gossip_handle(now, gossip::Input::Unreachable { member: to });
        }
    }

    pub(super) fn route_gossip(&mut self, now: Instant, action: gossip::Action) {
        match action {
            gossip::Action::Send { to, tag, class, payload } => {
                self.send_to_member(now, to, (tag, class, payload));
            }
            gossip::Action::Datagram { to, payload } => self.tell_member(now, to, payload),
            // Nobody shares a medium, as far as gossip was told.
            gossip::Action::Shout { .. } => {}
            gossip::Action::Deliver { id, topic, payload } => {
                self.event_bytes += payload.len();
                let node = self.node_of_member(id.origin);
                self.say_of_gossip(GossipEvent::Delivered { id, node, topic, payload });
            }
            gossip::Action::Spread { tag } => self.say_of_gossip(GossipEvent::Spread { tag }),
            gossip::Action::Refused { tag, why } => self.say_of_gossip(GossipEvent::Refused { tag, why }),
            gossip::Action::Member { member, what } => {
                let node = self.node_of_member(member);
                if matches!(what, What::Died | What::Left) {
                    self.end_visit(now, member, node);
                }
                self.say_of_gossip(GossipEvent::Member { member, node, what });
            }
        }
    }

    fn say_of_gossip(&mut self, event: GossipEvent) {
        self.events.push_back(Event::Gossip(event));
    }

    fn send_to_member(&mut self, now: Instant, to: RouterId, (tag, class, payload): (u64, Class, Bytes)) {
        let Some(peer) = self.slot_of_member(now, to) else {
            self.gossip_handle(now, gossip::Input::Settled { to, tag, arrived: false });
            self.gossip_handle(now, gossip::Input::Unreachable { member: to });
            return;
        };
        let mut cx = super::cx(now, &mut self.links_rng, &self.limits, &mut self.drops, self.zoo);
        let message = (OF_GOSSIP | tag, class, LIFETIME, payload);
        if self.links.send_gossip(&mut cx, peer, message).is_err() {
            self.gossip_handle(now, gossip::Input::Settled { to, tag, arrived: false });
        } else if let Some(gossip) = &mut self.gossip {
            gossip.under_way.insert(tag, to);
        }
    }

    /// A datagram for a member. Where packets are too short for it, it goes in parts, as a message that nobody waits for.
    fn tell_member(&mut self, now: Instant, to: RouterId, payload: Bytes) {
        let Some(peer) = self.slot_of_member(now, to) else { return };
        let mut cx = super::cx(now, &mut self.links_rng, &self.limits, &mut self.drops, self.zoo);
        let message = (Class::High, DATAGRAM_LIFETIME, payload.clone());
        if let Err(Refused::Oversize { .. }) = self.links.send_gossip_datagram(&mut cx, peer, message) {
            let Some(gossip) = &mut self.gossip else { return };
            gossip.next_unasked += 1;
            let message = (UNASKED | gossip.next_unasked, Class::High, DATAGRAM_LIFETIME, payload);
            // It may be lost, and is here: `links` has counted why.
            let _ = self.links.send_gossip(&mut cx, peer, message);
        }
    }

    /// A member is gone. If it was called for gossip only, and has not answered, it is called no more.
    fn end_visit(&mut self, now: Instant, member: RouterId, node: Option<NodeId>) {
        let in_session = self.gossip.as_ref().is_none_or(|gossip| gossip.slots.contains_key(&member));
        let slot = node.filter(|_| !in_session).and_then(|node| self.sessions.slot_of(&node));
        let Some(peer) = slot.filter(|&peer| !self.sessions.is_up(peer) && !self.sessions.is_wanted(peer))
        else {
            return;
        };
        let mut cx = super::cx(now, &mut self.links_rng, &self.limits, &mut self.drops, self.zoo);
        self.links.withdraw_gossip(&mut cx, peer);
        if self.links.status(peer).is_none_or(|status| status.unsent_messages == 0) {
            self.sessions_handle(now, session::Input::Forget { peer, evicted: false });
        }
    }

    /// The slot of a member to whom something is to be sent: of one in session, or of one that the map leads to, who is visited.
    fn slot_of_member(&mut self, now: Instant, member: RouterId) -> Option<PeerSlot> {
        if let Some(&peer) = self.gossip.as_ref()?.slots.get(&member) {
            return Some(peer);
        }
        self.visit_router(now, member)
    }

    /// A peer's session is new, or over.
    pub(super) fn is_member(&mut self, now: Instant, peer: PeerSlot, member: Option<RouterId>) {
        if self.gossip.is_none() {
            return;
        }
        self.is_no_member(now, peer);
        let Some(member) = member else {
            // It takes no part, which was not known when it was written to.
            let mut cx = super::cx(now, &mut self.links_rng, &self.limits, &mut self.drops, self.zoo);
            self.links.withdraw_gossip(&mut cx, peer);
            return;
        };
        if let Some(gossip) = &mut self.gossip {
            if let Some(before) = gossip.slots.insert(member, peer) {
                gossip.names.remove(&before);
            }
            gossip.names.insert(peer, Name { member, near: false });
        }
        self.note_near_member(now, peer);
    }

    /// A peer's session is over.
    pub(super) fn is_no_member(&mut self, now: Instant, peer: PeerSlot) {
        let Some(gossip) = &mut self.gossip else { return };
        let Some(Name { member, near }) = gossip.names.remove(&peer) else { return };
        gossip.slots.remove(&member);
        if near {
            self.gossip_handle(now, gossip::Input::NeighbourDown { member });
        }
    }

    /// Whether a member can be reached directly may have changed.
    pub(super) fn note_near_member(&mut self, now: Instant, peer: PeerSlot) {
        let is_near = self.links.quality(peer).is_some();
        let Some(name) = self.gossip.as_mut().and_then(|gossip| gossip.names.get_mut(&peer)) else { return };
        if core::mem::replace(&mut name.near, is_near) == is_near {
            return;
        }
        let member = name.member;
        let input = if is_near {
            gossip::Input::NeighbourUp { member, medium: None }
        } else {
            gossip::Input::NeighbourDown { member }
        };
        self.gossip_handle(now, input);
    }

    /// A router that was not on the map is there now.
    pub(super) fn router_appeared(&mut self, now: Instant, router: RouterId) {
        self.gossip_handle(now, gossip::Input::Candidate { member: router });
    }

    /// What the application asks of gossip.
    pub(super) fn gossip_command(&mut self, now: Instant, command: GossipCommand) -> Result<(), Refused> {
        if self.gossip.is_none() {
            return Err(Refused::NoGossip);
        }
        let input = match command {
            GossipCommand::Broadcast { tag, topic, payload } => {
                gossip::Input::Broadcast { tag, topic, payload }
            }
            GossipCommand::Subscribe { topic } => gossip::Input::Subscribe { topic },
            GossipCommand::Unsubscribe { topic } => gossip::Input::Unsubscribe { topic },
            GossipCommand::Announce { role, capabilities } => gossip::Input::Announce { role, capabilities },
            GossipCommand::Join { contact } => {
                let contact = self.member_of(contact).ok_or(Refused::UnknownPeer)?;
                gossip::Input::Join { contact }
            }
            GossipCommand::Leave => gossip::Input::Leave,
        };
        self.gossip_handle(now, input);
        Ok(())
    }

    /// The name of a node's device: of the one in session, or of one on the map.
    fn member_of(&self, node: NodeId) -> Option<RouterId> {
        let in_session = self.sessions.slot_of(&node).and_then(|peer| self.gossip.as_ref()?.names.get(&peer));
        let on_map = || self.routing.as_ref().and_then(|routing| routing.devices(node).next());
        in_session.map(|name| name.member).or_else(on_map)
    }
}

/// The part of a node that gossips, where the limits leave room for it.
pub(super) fn start(
    (seed, sessions, boot): (&[u8; 32], &Sessions, u32),
    limits: &Limits,
    drops: &mut crate::drops::Drops,
    (now, zoo): (Instant, crate::zoo::Zoo),
) -> Option<Box<Gossiping>> {
    if !limits.gossips() {
        return None;
    }
    let mut rng = Rng::fork(seed, "gossip");
    let (identity, network) = (sessions.identity(), sessions.network().id());
    let machine = Gossip::new(&mut super::cx(now, &mut rng, limits, drops, zoo), identity, network, boot);
    Some(Box::new(Gossiping::new(machine, rng)))
}
