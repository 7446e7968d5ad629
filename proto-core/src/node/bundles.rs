//! Bundles: where they can go, what is in them for us, and which of our messages they are to carry.
//!
//! The innkeeper (`bundle`) asks at the post office where a guest may be found: on the map, or else at the inn where he was last seen. What is in a
//! letter for this house goes where all letters go (`link`), which knows whether it came before.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::bundle::{self, Bundles, Place, SEND_LIFETIME, Signer, World};
use crate::identity::{Checker, LocalIdentity};
use crate::ids::{NodeId, PeerSlot, RouterId};
use crate::link::OF_BUNDLES;
use crate::machine::Machine;
use crate::node::gate::Waiter;
use crate::node::input::Class;
use crate::node::{Event, Node};
use crate::rng::Rng;
use crate::routing::Routing;
use crate::session::Sessions;
use crate::time::{Duration, Instant};
use crate::wake::Wake;

/// The machine, and what goes with it.
#[derive(Debug)]
pub(super) struct Keeping {
    machine: Bundles,
    rng: Rng,
}

impl Keeping {
    pub(super) fn new(machine: Bundles, rng: Rng) -> Keeping {
        Keeping { machine, rng }
    }

    pub(super) fn machine(&self) -> &Bundles {
        &self.machine
    }
}

/// Whom to believe, and our own keys.
#[derive(Debug)]
struct Papers<'a> {
    now: Instant,
    sessions: &'a Sessions,
    routing: Option<&'a Routing>,
}

impl World for Papers<'_> {
    fn signer(&self, router: RouterId) -> Option<Signer> {
        let known = self.routing?.known(router)?;
        let (node, device, sign_key, dh_key) = (known.node, known.device, known.sign_key, known.dh_key);
        Some(Signer { node, device, sign_key, dh_key })
    }

    fn checker(&self) -> Checker<'_> {
        self.sessions.checker(self.now)
    }

    fn identity(&self) -> &LocalIdentity {
        self.sessions.identity()
    }
}

impl Node {
    /// Bundles that are kept, for operators and checkers; `None` for a node that takes no part in routing.
    #[must_use]
    pub fn bundles(&self) -> Option<&Bundles> {
        self.bundles.as_deref().map(Keeping::machine)
    }

    /// Tells the machine of something that needs nothing of the others.
    pub(super) fn bundles_handle(&mut self, now: Instant, input: bundle::Input<'_>) {
        if let Some(Keeping { machine, rng, .. }) = self.bundles.as_deref_mut() {
            machine.handle(&mut super::cx(now, rng, &self.limits, &mut self.drops, self.zoo), input);
        }
    }

    /// Tells it of something for which it has to know the world.
    fn bundles_handle_with(
        &mut self,
        now: Instant,
        input: impl for<'w> FnOnce(&'w dyn World) -> bundle::Input<'w>,
    ) {
        let Some(Keeping { machine, rng, .. }) = self.bundles.as_deref_mut() else { return };
        let papers = Papers { now, sessions: &self.sessions, routing: self.routing.as_deref() };
        let mut cx = super::cx(now, rng, &self.limits, &mut self.drops, self.zoo);
        machine.handle(&mut cx, input(&papers));
    }

    pub(super) fn bundles_poll(&mut self) -> Option<bundle::Action> {
        self.bundles.as_mut()?.machine.poll()
    }

    pub(super) fn bundles_wake(&mut self, now: Instant) {
        if let Some(Keeping { machine, rng, .. }) = self.bundles.as_deref_mut()
            && machine.next_wake().is_due(now)
        {
            machine.wake(&mut super::cx(now, rng, &self.limits, &mut self.drops, self.zoo));
        }
    }

    pub(super) fn bundles_next_wake(&self) -> Wake {
        self.bundles.as_ref().map_or(Wake::Idle, |bundles| bundles.machine.next_wake())
    }

    /// A message about bundles has come from a peer.
    pub(super) fn for_bundles(&mut self, now: Instant, peer: PeerSlot, payload: Bytes) {
        let Some(&from) = self.routers.get(&peer) else { return };
        self.bundles_handle_with(now, |world| bundle::Input::Message { from, payload, world });
    }

    pub(super) fn route_bundles(&mut self, now: Instant, action: bundle::Action) {
        match action {
            bundle::Action::Find { node, avoid } => self.find_device(now, node, &avoid),
            bundle::Action::Locate { to, avoid } => {
                let place = self.place_of(now, to, &avoid);
                self.bundles_handle(now, bundle::Input::Located { to, place });
            }
            bundle::Action::Fetch { node, number } => {
                let slot = self.sessions.slot_of(&node);
                let mut cx = super::cx(now, &mut self.links_rng, &self.limits, &mut self.drops, self.zoo);
                let owed = self.links.owed(&mut cx, slot, node, number);
                self.bundles_handle_with(now, |world| bundle::Input::Fetched { node, number, owed, world });
            }
            bundle::Action::Send { to, tag, class, payload } => {
                self.send_bundle(now, to, (tag, class, payload));
            }
            bundle::Action::Arrived { node, device, number, payload } => {
                let slot = self.sessions.slot_of(&node);
                let mut cx = super::cx(now, &mut self.links_rng, &self.limits, &mut self.drops, self.zoo);
                let carried = self.links.carried(&mut cx, slot, (node, device), (number, payload));
                self.bundles_handle(now, bundle::Input::Arrived { node, number, carried });
            }
            bundle::Action::Receipt { node, device } => {
                let slot = self.sessions.slot_of(&node);
                let mut cx = super::cx(now, &mut self.links_rng, &self.limits, &mut self.drops, self.zoo);
                let runs = self.links.durable_runs(&mut cx, slot, (node, device));
                self.bundles_handle_with(now, |world| bundle::Input::Receipt { node, runs, world });
            }
            bundle::Action::Receipted { node, runs } => {
                let slot = self.sessions.slot_of(&node);
                let mut cx = super::cx(now, &mut self.links_rng, &self.limits, &mut self.drops, self.zoo);
                self.links.receipted(&mut cx, slot, node, &runs);
            }
            bundle::Action::Entrusted { node, number, stored } => {
                let slot = self.sessions.slot_of(&node);
                let mut cx = super::cx(now, &mut self.links_rng, &self.limits, &mut self.drops, self.zoo);
                self.links.is_entrusted(&mut cx, slot, node, (number, stored));
            }
            bundle::Action::Store { slot, record } => {
                self.gate.store(record, Waiter::Bundles(slot));
            }
        }
    }

    /// Where a node's device is, and where something for it is to go.
    fn find_device(&mut self, now: Instant, node: NodeId, avoid: &[RouterId]) {
        let slot = self.sessions.slot_of(&node);
        let device = self.address_of(node);
        let is_near = slot.is_some_and(|peer| self.links.quality(peer).is_some());
        let place = match device {
            _ if is_near => Place::There(None),
            Some((router, _)) => self.place_of(now, router, avoid),
            None => Place::Here,
        };
        self.bundles_handle(now, bundle::Input::Found { node, device, place });
    }

    /// Where something for a device is to go: to it, if a way leads there; else to whom it had for a neighbour when it was last heard of. Of those
    /// the one with the cheapest link to it is chosen, so that all choose the same.
    fn place_of(&mut self, now: Instant, to: RouterId, avoid: &[RouterId]) -> Place {
        let is_near =
            |(peer, router): (&PeerSlot, &RouterId)| *router == to && self.links.quality(*peer).is_some();
        if self.routers.iter().any(is_near) {
            return Place::There(None);
        }
        let Some(routing) = &mut self.routing else { return Place::Here };
        let is_there = routing.next_hop(now, to).is_some();
        let mut listed: Vec<_> = routing.listed_by(to).map(|link| (link.cost, link.to)).collect();
        listed.sort_unstable();
        if listed.iter().any(|&(_, router)| router == routing.router()) {
            return if is_there { Place::There(None) } else { Place::Here };
        }
        let candidates =
            listed.into_iter().map(|(_, router)| router).filter(|router| !avoid.contains(router));
        let by = candidates.into_iter().find(|&router| routing.next_hop(now, router).is_some());
        if is_there { Place::There(by) } else { by.map_or(Place::Here, Place::By) }
    }

    fn send_bundle(&mut self, now: Instant, to: RouterId, (tag, class, payload): (u64, Class, Bytes)) {
        let message = (OF_BUNDLES | tag, class, SEND_LIFETIME, payload);
        let sent = self.slot_of_router(now, to).is_some_and(|peer| {
            let mut cx = super::cx(now, &mut self.links_rng, &self.limits, &mut self.drops, self.zoo);
            self.links.send_routing(&mut cx, peer, message).is_ok()
        });
        if !sent {
            self.bundles_handle(now, bundle::Input::Settled { tag, arrived: false });
        }
    }

    /// The slot of a router: of one in session, or of one to which the map leads, who is visited.
    fn slot_of_router(&mut self, now: Instant, router: RouterId) -> Option<PeerSlot> {
        let in_session = self.routers.iter().find(|(_, known)| **known == router).map(|(&peer, _)| peer);
        if in_session.is_some() { in_session } else { self.visit_router(now, router) }
    }

    /// What became of a message about bundles.
    pub(super) fn bundles_settled(&mut self, now: Instant, tag: u64, arrived: bool) {
        let tag = tag & !OF_BUNDLES;
        self.bundles_handle(now, bundle::Input::Settled { tag, arrived });
    }

    /// A durable message is on the disk and goes to the application.
    pub(super) fn note_delivered(&mut self, now: Instant, event: &Event) {
        if let Event::Message { from: node, delivery: crate::node::Delivery::Durable, seq: number, .. } =
            *event
        {
            self.bundles_handle(now, bundle::Input::Delivered { node, number });
        }
    }

    /// Takes over bundles that were on the disk: the bytes of each, how many seconds it may wait, and how often it may be handed over.
    pub(super) fn recover_bundles(&mut self, now: Instant, bundles: Vec<(Bytes, u64, u8)>) {
        for (bundle, lifetime_s, handovers) in bundles {
            let lifetime = Duration::from_secs(lifetime_s);
            self.bundles_handle(now, bundle::Input::Recovered { bundle, lifetime, handovers });
        }
    }
}

/// The part of a node that keeps bundles, where the limits leave room for a map.
pub(super) fn start(
    (seed, sessions, boot): (&[u8; 32], &Sessions, u32),
    limits: &crate::limits::Limits,
) -> Option<Box<Keeping>> {
    let (identity, network) = (sessions.identity(), sessions.network().id());
    limits
        .routes()
        .then(|| Box::new(Keeping::new(Bundles::new(identity, network, boot), Rng::fork(seed, "bundle"))))
}
