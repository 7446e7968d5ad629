//! Where every action goes. One match for each machine: whoever has read this page has seen how the
//! parts hang together.
//!
//! Actions of the session machine go down to the links (a peer is up, a peer is gone) or out (a
//! handshake packet, an event); actions of the link machine go up to the application or to the disk.

use alloc::vec::Vec;

use crate::beacon;
use crate::bundle;
use crate::ids::{Addr, LinkId, PeerSlot, RouterId};
use crate::limits::Limits;
use crate::link;
use crate::machine::Machine;
use crate::node::Node;
use crate::node::gate::Waiter;
use crate::node::output::Event;
use crate::params::PeerParams;
use crate::routing;
use crate::session;
use crate::time::Instant;

/// How many actions one input may set off before the shell gets its turn again. Far above what one
/// datagram can cause (a packet of 65,507 bytes holds that many frames only if they are empty), so
/// it bounds a turn, not a use.
const WORK_BUDGET: usize = 4_096;

impl Node {
    /// Takes actions from the machines and routes them until none is left, the outputs are full, or
    /// the budget of one turn is spent.
    pub(super) fn settle(&mut self, now: Instant) {
        self.backlog = false;
        for _ in 0..WORK_BUDGET {
            // First: what the disk has confirmed makes room, and adds no output by itself.
            if let Some(waiter) = self.gate.release() {
                self.release(now, waiter);
            } else if self.outputs_are_full() {
                self.backlog = true;
                return;
            } else if let Some(action) = self.sessions_poll() {
                self.route_session(now, action);
            } else if let Some(action) = self.beacons.machine.poll() {
                self.route_beacons(now, action);
            } else if let Some(action) = self.links_poll() {
                self.route_link(now, action);
            } else if let Some(action) = self.routing_poll() {
                self.route_routing(now, action);
            } else if let Some(action) = self.bundles_poll() {
                self.route_bundles(now, action);
            } else if let Some(action) = self.gossip_poll() {
                self.route_gossip(now, action);
            } else {
                return;
            }
        }
        self.backlog = true;
    }

    /// Whether [`Node::settle`] would get on: it was stopped, and no longer for want of room.
    pub(super) fn can_settle(&self) -> bool {
        self.backlog && !self.outputs_are_full()
    }

    pub(super) fn route_session(&mut self, now: Instant, action: session::Action) {
        match action {
            session::Action::Transmit { link: LinkId::MESH, to, packet } => self.ask_by_mesh(now, to, packet),
            session::Action::Transmit { link, to, packet } => self.queue_handshake(link, to, packet),
            session::Action::Established {
                peer,
                node,
                device,
                restarted,
                rekey,
                ours,
                version,
                params,
                link,
                addr,
                proved,
            } => {
                if proved && link == LinkId::MESH {
                    self.has_answered(now, Some(RouterId::of(device)));
                }
                // Copies of what made this session are of no use any more.
                self.calls.forget(|at, to| (at, to) == (link, addr));
                self.links_handle(now, link::Input::Attach { peer, node, wanted: false });
                let up = link::Input::PeerUp { peer, node, device, params, restarted };
                self.links_handle(now, up);
                if proved {
                    self.links_handle(now, link::Input::Proved { peer, link, addr });
                }
                if ours {
                    self.links_handle(now, link::Input::Speak { peer, link, addr });
                }
                if proved {
                    self.open_other_ways(now, peer, link, addr);
                }
                if !rekey {
                    self.is_router(now, peer, can_route(&params).then(|| RouterId::of(device)));
                    self.is_member(now, peer, can_gossip(&params).then(|| RouterId::of(device)));
                    self.events.push_back(Event::PeerUp { node, device, restarted, version });
                }
            }
            session::Action::Closed { peer, node, reason } => {
                self.links_handle(now, link::Input::PeerDown { peer });
                self.is_no_router(now, peer);
                self.is_no_member(now, peer);
                self.events.push_back(Event::PeerDown { node, reason });
            }
            session::Action::Named { peer, node } => {
                self.links_handle(now, link::Input::Attach { peer, node, wanted: true });
            }
            session::Action::Forgotten { peer, evicted } => {
                self.links_handle(now, link::Input::PeerRemoved { peer, evicted });
                self.is_no_router(now, peer);
                self.is_no_member(now, peer);
            }
            session::Action::Heard { link, from, span, first } => {
                self.beacons_handle(now, beacon::Input::Heard { link, from, span, first });
            }
            session::Action::Incompatible { link, from, theirs, ours } => {
                let (theirs, ours) = ((theirs.lowest, theirs.highest), (ours.lowest, ours.highest));
                self.events.push_back(Event::Incompatible { link, from, theirs, ours });
            }
            session::Action::CloneDetected { node, device } => {
                self.events.push_back(Event::CloneDetected { node, device });
            }
            session::Action::Distrusted { node } => self.recheck_routers(now, node),
            session::Action::Store(record) => {
                self.gate.store(record, Waiter::Nobody);
            }
        }
    }

    fn route_link(&mut self, now: Instant, action: link::Action) {
        match action {
            link::Action::Deliver { from, delivery, seq, again, payload } => {
                self.event_bytes += payload.len();
                let event = Event::Message { from, delivery, seq, again, payload };
                self.note_delivered(now, &event);
                self.events.push_back(event);
            }
            link::Action::Receipt { to, tag, outcome } => {
                self.events.push_back(Event::Receipt { to, tag, outcome });
            }
            link::Action::Store { slot, record } => {
                self.gate.store(record, Waiter::Link(slot));
            }
            link::Action::Waits { node, seq: number, class } => {
                self.bundles_handle(now, bundle::Input::Waits { node, number, class });
            }
            link::Action::Ended { node, seq: number } => {
                self.bundles_handle(now, bundle::Input::Ended { node, number });
            }
            link::Action::ForRouting { peer, payload } => match payload.first() {
                // Kinds of bundles, and of gossip; those that may be skipped are routing's to skip.
                Some(0x10..0x20) => self.for_bundles(now, peer, payload),
                Some(0x20..0x80) => self.for_gossip(now, peer, payload),
                Some(_) | None => self.for_routing(now, peer, payload),
            },
            link::Action::Settled { tag, arrived, .. } if tag >= link::OF_GOSSIP => {
                self.gossip_settled(now, tag, arrived);
            }
            link::Action::Settled { tag, arrived, .. } if tag >= link::OF_BUNDLES => {
                self.bundles_settled(now, tag, arrived);
            }
            link::Action::Settled { peer, tag, arrived } => {
                self.routing_handle(now, routing::Input::Settled { peer, tag, arrived });
            }
            link::Action::Path { peer, link, up } => {
                self.note_nearness(now, peer);
                self.note_near_member(now, peer);
                if let Some(node) = self.sessions.node_of(peer) {
                    self.events.push_back(Event::Path { node, link, up });
                }
            }
            link::Action::Silent { peer } if self.is_visit_over(peer) => {}
            link::Action::Silent { peer } if self.is_out_of_earshot(peer) => {
                self.sessions_handle(now, session::Input::Forget { peer, evicted: true });
            }
            link::Action::Silent { peer } => self.sessions_handle(now, session::Input::Silent { peer }),
            link::Action::ClosedByPeer { peer } => {
                let mut cx = super::cx(now, &mut self.sessions_rng, &self.limits, &mut self.drops, self.zoo);
                self.sessions.closed_by_peer(&mut cx, peer);
            }
        }
    }

    /// A record is on disk: tell whoever waited for it.
    fn release(&mut self, now: Instant, waiter: Waiter) {
        match waiter {
            Waiter::Nobody => {}
            Waiter::Boot => self.may_transmit = true,
            Waiter::Link(slot) => self.links_handle(now, link::Input::Stored { slot }),
            Waiter::Bundles(slot) => self.bundles_handle(now, bundle::Input::Stored { slot }),
        }
    }

    /// Tries the peer's other known addresses, so that a second way exists before the first one dies. The one where the
    /// handshake went is not ours to open.
    pub(super) fn open_other_ways(&mut self, now: Instant, peer: PeerSlot, link: LinkId, addr: Addr) {
        let others: Vec<(LinkId, Addr)> = self.sessions.endpoints(peer).collect();
        for (other_link, other_addr) in others {
            if (other_link, other_addr) != (link, addr) {
                self.links_handle(now, link::Input::AddPath { peer, link: other_link, addr: other_addr });
            }
        }
    }
}

/// Whether a peer takes part in gossip, and what is said there.
fn can_gossip(params: &PeerParams) -> bool {
    params.gossip && params.message_bytes >= Limits::LEAST_ROUTING_MESSAGE
}

/// Whether a peer takes part in routing, and what is said there.
fn can_route(params: &PeerParams) -> bool {
    params.routing && params.message_bytes >= Limits::LEAST_ROUTING_MESSAGE
}
