//! The one owner of all machines.
//!
//! A post office: the shell brings in what arrived (`handle`) and carries out what is to go
//! (`poll`). Inside, each clerk knows only its own trade. A datagram comes in by the counter for
//! sealed letters (`session`, which proves who wrote it and that it is not a copy), goes to the
//! desk that joins parts and signs for them (`link`), and what is complete is handed to the
//! application. What leaves takes the same way back. Nothing is said to anybody that has to be on
//! disk first before the disk has it (`gate`).

mod admit;
mod afar;
mod air;
mod beacons;
mod bundles;
pub mod gate;
mod gossip;
pub mod input;
mod mesh;
pub mod output;
mod recover;
mod status;
mod transmit;
mod wiring;
mod worst_case;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;

use crate::bundle;
use crate::crypto::sign::Verifier;
use crate::drops::{Drop, Drops};
use crate::identity::{IdentityError, LocalIdentity, Network, Revocations};
use crate::ids::{Addr, LinkId, NodeId, PeerSlot, RouterId, Ticket};
use crate::limits::{Limits, LimitsError};
use crate::link::{self, Links, frame};
use crate::machine::{Cx, Machine};
use crate::node::gate::{Gate, Waiter};
use crate::rng::Rng;
use crate::routing::Routing;
use crate::session::{self, Answered, Sessions};
use crate::store::record::Record;
use crate::time::Instant;
use crate::wake::Wake;
use crate::zoo::Zoo;

pub use input::{
    Air, Class, Command, Delivery, GossipCommand, Input, LinkInfo, LinkState, Medium, PeerSpec, Send,
};
pub use output::{
    DownReason, Event, Found, GossipEvent, Outcome, Output, PathStatus, PeerStatus, Refused, RejectReason,
    Transmit, Unreached, UsedNonce,
};
pub use status::Status;

/// The lowest and highest protocol version this code speaks.
pub const VERSIONS: (u8, u8) = (session::MIN_VERSION, session::VERSION);

/// What a node is started from.
#[derive(Debug)]
pub struct Boot {
    /// Who this device is.
    pub identity: LocalIdentity,
    /// The network it belongs to.
    pub network: Network,
    /// Every record that survived, in any order.
    pub records: Vec<Record>,
    /// The protocol versions it may speak, usually [`VERSIONS`].
    pub versions: (u8, u8),
    /// A planted bug; [`Zoo::none`] in every real node.
    pub zoo: Zoo,
    /// [`Verifier::default`] in every real node.
    pub verifier: Verifier,
}

/// Why a node cannot start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BootError {
    /// The limits contradict themselves.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// The versions are empty or reversed.
    #[error("versions: the lowest must not be above the highest")]
    Versions,
    /// The membership on the disk is too long to be shown beside the certificate, which may have got more
    /// rotations since.
    #[error("stored membership: {0}; add a shorter one with a higher serial to the identity")]
    Membership(IdentityError),
    /// The device has started as often as can be counted; it needs a new device key.
    #[error("the device's start counter is exhausted; certify a new device key")]
    BootCounter,
}

/// All protocol logic of one node, without a clock, a socket or a disk.
#[derive(Debug)]
pub struct Node {
    id: NodeId,
    boot: u32,
    limits: Limits,
    zoo: Zoo,
    drops: Drops,
    sessions: Sessions,
    sessions_rng: Rng,
    links: Links,
    links_rng: Rng,
    /// `None` when the limits leave no room for a map.
    routing: Option<Box<Routing>>,
    routing_rng: Rng,
    /// Which device of its node each peer in session is, of those that take part in routing.
    routers: BTreeMap<PeerSlot, RouterId>,
    /// `None` when the limits leave no room for members.
    gossip: Option<Box<gossip::Gossiping>>,
    beacons: beacons::Ringing,
    /// `None` when there is no map.
    bundles: Option<Box<bundles::Keeping>>,
    /// Peers with a place on the mesh to which nothing leads, and when to look again who they are.
    away: BTreeSet<(PeerSlot, Addr)>,
    /// How often the map had changed when that was last asked.
    map_changes: u64,
    look_at_mesh: Option<Instant>,
    /// Packets that came over others, for the sessions here.
    relayed: VecDeque<(Addr, Bytes)>,
    link_infos: BTreeMap<LinkId, LinkInfo>,
    gate: Gate,
    /// The ticket of this start's own record: nothing is sent before it is durable.
    boot_ticket: Ticket,
    may_transmit: bool,
    events: VecDeque<Event>,
    /// Bytes of messages in `events`.
    event_bytes: usize,
    /// Packets of handshakes, and goodbyes: whole already, since their keys may be gone when they leave.
    sealed_before: VecDeque<(LinkId, Addr, Bytes, UsedNonce)>,
    /// The same for radios.
    calls: air::Calls,
    /// A datagram is copied here to be opened in place. Once there is one it has room for the largest that we take of its link: what
    /// grows to the largest that ever came would take more memory after days than after one.
    scratch: Vec<u8>,
    /// See [`Node::last_nonce`].
    last_nonce: UsedNonce,
    /// Work was left over when a turn's budget ran out or the outputs were full.
    backlog: bool,
}

impl Node {
    /// A node that has just started.
    ///
    /// `seed` is its only source of randomness, keys included: a shell gives it 32 bytes of fresh
    /// entropy, a simulator gives it numbers.
    ///
    /// # Errors
    /// [`BootError`] says what has to change first; nothing was written.
    pub fn new(boot: Boot, seed: [u8; 32], limits: Limits, now: Instant) -> Result<Node, BootError> {
        limits.validate()?;
        if boot.versions.0 > boot.versions.1 {
            return Err(BootError::Versions);
        }
        let recovered = recover::sort(boot.records);
        let count = recovered.boot.checked_add(1).ok_or(BootError::BootCounter)?;
        let mut gate = Gate::new(limits.outputs as usize);
        let boot_ticket = gate.store(Record::Boot { count }, Waiter::Boot);
        let mut drops = Drops::default();
        let mut sessions_rng = Rng::fork(&seed, "session");
        let setup = session::Setup {
            identity: boot.identity,
            network: boot.network,
            revocations: Revocations::new(limits.revocations as usize),
            boot: count,
            versions: session::Versions { lowest: boot.versions.0, highest: boot.versions.1 },
            params: limits.params(),
            known: recovered.peers,
            verifier: boot.verifier,
        };
        let sessions = Sessions::new(setup, &mut cx(now, &mut sessions_rng, &limits, &mut drops, boot.zoo));
        let mut routing_rng = Rng::fork(&seed, "routing");
        let mut routing = None;
        if limits.routes() {
            let (identity, network) = (sessions.identity(), sessions.network().id());
            let cx = &mut cx(now, &mut routing_rng, &limits, &mut drops, boot.zoo);
            routing = Some(Box::new(Routing::new(cx, identity, network, count)));
        }
        let gossip = gossip::start((&seed, &sessions, count), &limits, &mut drops, (now, boot.zoo));
        let bundles = bundles::start((&seed, &sessions, count), &limits);
        let id = sessions.identity().node();
        let mut node = Node {
            id,
            boot: count,
            zoo: boot.zoo,
            drops,
            sessions,
            sessions_rng,
            links: Links::new(id, &limits),
            links_rng: Rng::fork(&seed, "link"),
            routing,
            routing_rng,
            gossip,
            beacons: beacons::Ringing::new(&seed),
            bundles,
            routers: BTreeMap::new(),
            away: BTreeSet::new(),
            map_changes: 0,
            look_at_mesh: None,
            relayed: VecDeque::new(),
            link_infos: BTreeMap::new(),
            gate,
            boot_ticket,
            may_transmit: false,
            events: VecDeque::new(),
            event_bytes: 0,
            sealed_before: VecDeque::new(),
            calls: air::Calls::default(),
            scratch: Vec::new(),
            last_nonce: UsedNonce::default(),
            backlog: false,
            limits,
        };
        node.install_recovered(now, recovered.statements, recovered.durable)?;
        node.recover_bundles(now, recovered.bundles);
        node.settle(now);
        Ok(node)
    }

    /// Who this node is.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Something happened. Afterwards call [`Node::poll`] until it returns `None`.
    ///
    /// # Errors
    /// Only commands and links can be refused, and then nothing has changed. What a peer sends is
    /// never an error: it is acted on, or counted in [`Status::drops`].
    pub fn handle(&mut self, now: Instant, input: Input<'_>) -> Result<(), Refused> {
        if let Some(routing) = &mut self.routing {
            routing.forget_moved();
        }
        let result = match input {
            Input::Datagram { link, from, bytes } => {
                self.datagram(now, link, from, bytes);
                Ok(())
            }
            Input::LinkChanged { link, state } => self.link_changed(now, link, state),
            Input::Wake => {
                self.wake(now);
                Ok(())
            }
            Input::WallClock(wall) => {
                self.sessions_handle(now, session::Input::WallClock(wall));
                Ok(())
            }
            Input::Command(command) => self.command(now, command),
            Input::Stored { up_to } => {
                self.gate.stored(up_to);
                Ok(())
            }
            Input::StoreFailed => {
                self.store_failed(now);
                Ok(())
            }
            Input::AirFree { link } => {
                self.links_handle(now, link::Input::AirFree { link });
                Ok(())
            }
            // Nothing asks for single records yet; an answer nobody waits for is no harm.
            Input::Loaded { .. } => Ok(()),
        };
        self.settle(now);
        self.take_relayed(now);
        self.see_map(now);
        result
    }

    /// When to call `handle` with [`Input::Wake`], and why.
    #[must_use]
    pub fn next_wake(&self) -> Wake {
        if self.outputs_are_full() {
            // Nothing can be done before the shell has taken something, or the disk has spoken.
            return Wake::Idle;
        }
        if self.backlog {
            return Wake::Now;
        }
        // Before the start is on disk nothing leaves, however free the air is.
        let calls = self.calls.next_wake(|link| self.links.air_opens(link));
        let calls = if self.may_transmit { calls } else { Wake::Idle };
        let below = self.sessions.next_wake().min(self.links.next_wake()).min(calls);
        let below = below.min(self.beacons.machine.next_wake());
        below.min(self.routing_next_wake()).min(self.bundles_next_wake()).min(self.gossip_next_wake())
    }

    fn datagram(&mut self, now: Instant, link: LinkId, from: Addr, bytes: &[u8]) {
        if let Err(reason) = self.admit_datagram(link, bytes) {
            self.drops.count(reason);
            return;
        }
        if bytes.first().is_some_and(|first| first & 0x80 == 0) {
            self.sessions.show(self.papers_at(link, from));
            self.sessions_handle(now, session::Input::Packet { link, from, bytes });
            self.sessions.show(None);
            return;
        }
        let mut packet = core::mem::take(&mut self.scratch);
        packet.clear();
        if packet.capacity() < bytes.len() {
            let mtu = self.link_infos.get(&link).map_or(0, |info| usize::from(info.mtu));
            // A microcontroller on a cable takes less than the cable: no more than its peers are told.
            let most = mtu.min(usize::try_from(self.limits.packet_bytes).unwrap_or(usize::MAX));
            packet.reserve_exact(most.max(bytes.len()));
        }
        packet.extend_from_slice(bytes);
        let mut cx = cx(now, &mut self.sessions_rng, &self.limits, &mut self.drops, self.zoo);
        if let Some(opened) = self.sessions.open(&mut cx, link, from, &mut packet) {
            // The first packet under new keys confirms them: the links must hear of the new session,
            // and that the peer's memory is new, before they see what it says.
            self.settle(now);
            if self.backlog {
                self.drops.count(Drop::QueueFull);
            } else if let Some(payload) = opened.payload {
                let (peer, path) = (opened.peer, opened.path);
                let owed = self.links.owes_since(peer, path).filter(|_| link == LinkId::MESH);
                let input = link::Input::Received {
                    peer,
                    path,
                    packet_number: opened.packet_number,
                    link,
                    from,
                    packet_bytes: bytes.len(),
                    payload: packet.get(payload).unwrap_or(&[]),
                };
                self.links_handle(now, input);
                if owed.is_some() && self.links.owes_since(peer, path) != owed {
                    self.has_answered(now, self.routers.get(&peer).copied());
                }
            }
            let peer = opened.peer;
            match opened.answered {
                Answered::Known => {}
                // Path 0 will come from there, or never: the other ways do not wait for it.
                Answered::Elsewhere(link, addr) => self.open_other_ways(now, peer, link, addr),
                Answered::Reached => {
                    self.links_handle(now, link::Input::Proved { peer, link, addr: from });
                    self.open_other_ways(now, peer, link, from);
                }
            }
        }
        self.scratch = packet;
    }

    fn wake(&mut self, now: Instant) {
        if self.backlog || self.outputs_are_full() {
            // What was asked for is not carried out yet. Asked for more, the machines would pile it up.
            return;
        }
        if self.sessions.next_wake().is_due(now) {
            let mut cx = cx(now, &mut self.sessions_rng, &self.limits, &mut self.drops, self.zoo);
            self.sessions.wake(&mut cx);
        }
        if self.links.next_wake().is_due(now) {
            let mut cx = cx(now, &mut self.links_rng, &self.limits, &mut self.drops, self.zoo);
            self.links.wake(&mut cx);
        }
        self.beacons_wake(now);
        self.routing_wake(now);
        self.bundles_wake(now);
        self.gossip_wake(now);
    }

    fn link_changed(&mut self, now: Instant, link: LinkId, state: LinkState) -> Result<(), Refused> {
        match state {
            LinkState::Up(info) => {
                self.admit_link(link, &info)?;
                self.link_infos.insert(link, info.clone());
                self.link_for_beacons(now, link, LinkState::Up(info.clone()));
                self.links_handle(now, link::Input::LinkUp { link, info: info.clone() });
                self.sessions_handle(now, session::Input::LinkUp { link, info });
                self.mesh_up(now);
            }
            LinkState::Down => {
                if self.link_infos.remove(&link).is_none() {
                    return Err(Refused::UnknownLink);
                }
                self.calls.forget(|at, _| at == link);
                self.link_for_beacons(now, link, LinkState::Down);
                self.links_handle(now, link::Input::LinkDown { link });
                self.sessions_handle(now, session::Input::LinkDown { link });
            }
        }
        Ok(())
    }

    fn command(&mut self, now: Instant, command: Command) -> Result<(), Refused> {
        match command {
            Command::AddPeer(spec) => {
                self.admit_command(now)?;
                self.admit_peer(&spec)?;
                let (node, places) = (spec.node, spec.endpoints.clone());
                self.sessions_handle(now, session::Input::Connect { spec });
                if let Some(peer) = node.and_then(|node| self.sessions.slot_of(&node)) {
                    self.look_there(now, peer, &places);
                }
                Ok(())
            }
            Command::RemoveEndpoint { link, addr } => {
                self.admit_command(now)?;
                if !self.sessions.was_given(link, addr) {
                    return Err(Refused::UnknownPeer);
                }
                self.sessions_handle(now, session::Input::Disconnect { link, addr });
                Ok(())
            }
            Command::RemovePeer(node) => {
                self.admit_command(now)?;
                let peer = self.sessions.slot_of(&node).ok_or(Refused::UnknownPeer)?;
                self.say_goodbye(now, peer, frame::CLOSE_REMOVED);
                self.sessions_handle(now, session::Input::Forget { peer, evicted: false });
                Ok(())
            }
            Command::Send(send) => {
                self.admit_command(now)?;
                let peer = self.admit_send(now, &send)?;
                let mut cx = cx(now, &mut self.links_rng, &self.limits, &mut self.drops, self.zoo);
                self.links.send(&mut cx, peer, send)
            }
            Command::Consumed { from, seq } => {
                self.admit_command(now)?;
                let peer = self.sessions.slot_of(&from);
                let mut cx = cx(now, &mut self.links_rng, &self.limits, &mut self.drops, self.zoo);
                self.links.consumed(&mut cx, peer, from, seq)
            }
            Command::Gossip(command) => {
                self.admit_command(now)?;
                self.gossip_command(now, command)
            }
            Command::Shutdown => {
                let peers = u16::try_from(self.links.peer_slots()).unwrap_or(u16::MAX);
                for peer in (0..peers).map(PeerSlot) {
                    self.say_goodbye(now, peer, frame::CLOSE_SHUTDOWN);
                }
                Ok(())
            }
            Command::Install(bytes) => {
                if self.gate.has_failed() {
                    return Err(Refused::NoStorage);
                }
                self.admit_command(now)?;
                let mut cx = cx(now, &mut self.sessions_rng, &self.limits, &mut self.drops, self.zoo);
                self.sessions.install(&mut cx, &bytes).map(drop).map_err(Refused::Statement)
            }
        }
    }

    fn store_failed(&mut self, now: Instant) {
        if self.gate.has_failed() {
            return;
        }
        self.gate.fail();
        self.links_handle(now, link::Input::StoreFailed);
        self.bundles_handle(now, bundle::Input::StoreFailed);
        self.events.push_back(Event::StorageFailed);
    }

    fn sessions_handle(&mut self, now: Instant, input: session::Input<'_>) {
        let mut cx = cx(now, &mut self.sessions_rng, &self.limits, &mut self.drops, self.zoo);
        self.sessions.handle(&mut cx, input);
    }

    fn sessions_poll(&mut self) -> Option<session::Action> {
        self.sessions.poll()
    }

    fn links_handle(&mut self, now: Instant, input: link::Input<'_>) {
        let mut cx = cx(now, &mut self.links_rng, &self.limits, &mut self.drops, self.zoo);
        self.links.handle(&mut cx, input);
    }

    fn links_poll(&mut self) -> Option<link::Action> {
        self.links.poll()
    }

    /// Which peer has this slot, for tests and checkers.
    #[must_use]
    pub fn slot_of(&self, node: &NodeId) -> Option<PeerSlot> {
        self.sessions.slot_of(node)
    }

    /// What the last packet was sealed under. The wire shows the low bytes of the number only, and nothing of
    /// the key; a simulator that is to see a nonce used twice needs the whole.
    #[must_use]
    pub fn last_nonce(&self) -> UsedNonce {
        self.last_nonce
    }

    /// Asserts what always holds, in every machine.
    ///
    /// # Panics
    /// When an invariant is broken: that is a bug, never something a peer can cause.
    pub fn check(&self) {
        self.gate.check();
        self.sessions.check();
        self.links.check(&self.limits);
        self.calls.check(&self.limits);
        self.beacons.machine.check(&self.limits);
        if let Some(routing) = &self.routing {
            routing.check(&self.limits);
        }
        if let Some(gossip) = &self.gossip {
            gossip.check(&self.limits);
        }
        if let Some(bundles) = &self.bundles {
            bundles.machine().check(&self.limits);
        }
        assert!(self.events.len() <= self.limits.outputs as usize + admit::OUTPUTS_PER_TURN);
        let bytes: usize = self.events.iter().map(Event::payload_bytes).sum();
        assert!(self.event_bytes == bytes, "bytes of events miscounted");
    }
}

fn cx<'a>(now: Instant, rng: &'a mut Rng, limits: &'a Limits, drops: &'a mut Drops, zoo: Zoo) -> Cx<'a> {
    Cx { now, rng, limits, drops, zoo }
}

#[cfg(test)]
mod tests;
