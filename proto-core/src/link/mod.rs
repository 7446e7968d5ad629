//! Delivery over bad links: whatever one node has for a direct peer gets there once, over however
//! many links there are, and whatever they lose.
//!
//! A removal firm between two houses. The outbox knows what has to be moved and what was signed for;
//! each path is one driver who knows his road, how often things fall off, and how fast he may go; the
//! inbox joins the pieces and signs. Nobody packs a crate before a driver asks for one: a packet is
//! built at the moment it leaves, from what is missing then, so that a bad hour leaves no pile of
//! stale crates behind (RFC 9002 calls it retransmission of information, not of packets).
//!
//! Machine `Links`: all peers of a node. Invariants: a message reaches the application once; nothing
//! is acknowledged that was not taken care of; durable messages are signed for after they are on
//! disk, and their numbers outlive the slot of the peer (`kept`). Messages: the frames of `frame`. Records: `Outgoing`, `Incoming`, `Sequence`, `Window`.
//! It assumes of the session that packets are authentic and each is opened once. At its limits it
//! refuses to send, and does not acknowledge what it cannot keep.

mod air;
mod carried;
pub mod frame;
mod kept;
pub mod messages;
pub mod path;
mod paths;
mod peer;
mod places;
mod receive;
mod schedule;
mod send;
mod transmit;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;

use crate::bounded::Deadlines;
use crate::ids::{Addr, DeviceId, LinkId, NodeId, PathId, PeerSlot};
use crate::limits::Limits;
use crate::link::kept::Asker;
use crate::link::messages::Budget;
use crate::link::path::Piece;
use crate::link::peer::{Peer, Said};
use crate::machine::{Cx, Machine};
use crate::node::input::{Class, Delivery, LinkInfo};
use crate::node::output::Outcome;
use crate::node::output::PeerStatus;
use crate::params::PeerParams;
use crate::store::record::Record;
use crate::time::Instant;
use crate::wake::Wake;

pub use air::is_possible;
pub use send::{OF_BUNDLES, OF_GOSSIP, WayQuality};
pub use transmit::{Built, Intent};

/// What can happen to the links.
#[derive(Debug)]
pub enum Input<'a> {
    /// A link came up or changed.
    LinkUp {
        /// Which.
        link: LinkId,
        /// What it can do.
        info: LinkInfo,
    },
    /// A link went down.
    LinkDown {
        /// Which.
        link: LinkId,
    },
    /// The durable messages to and from this node were on disk. Before any peer has a slot.
    Recovered {
        /// The other node.
        node: NodeId,
        /// Its records, in any order.
        records: Vec<Record>,
    },
    /// A peer's slot now belongs to this node.
    Attach {
        /// The slot.
        peer: PeerSlot,
        /// Who has it.
        node: NodeId,
        /// It was asked for by its name.
        wanted: bool,
    },
    /// A session is established, or its keys were replaced.
    PeerUp {
        /// The slot.
        peer: PeerSlot,
        /// Who.
        node: NodeId,
        /// With which of its devices.
        device: DeviceId,
        /// The peer's sizes.
        params: PeerParams,
        /// Its memory is new.
        restarted: bool,
    },
    /// A handshake showed that the peer is there.
    Proved {
        /// The slot.
        peer: PeerSlot,
        /// The link the handshake used.
        link: LinkId,
        /// The address the handshake used.
        addr: Addr,
    },
    /// The peer can only speak once it has heard us: say something at once.
    Speak {
        /// The slot.
        peer: PeerSlot,
        /// The link the handshake used.
        link: LinkId,
        /// The address the handshake used.
        addr: Addr,
    },
    /// The session has ended; what waits is kept.
    PeerDown {
        /// The slot.
        peer: PeerSlot,
    },
    /// The peer is forgotten with all that waits for it. The numbers of durable messages are kept.
    PeerRemoved {
        /// The slot.
        peer: PeerSlot,
        /// It only made room for another: durable messages wait for it, as after a restart.
        evicted: bool,
    },
    /// Another way to the peer may exist.
    AddPath {
        /// The slot.
        peer: PeerSlot,
        /// The link.
        link: LinkId,
        /// The address on it.
        addr: Addr,
    },
    /// Whether something leads to the peer over a link has changed, as the map of that link says.
    Reach {
        /// The slot.
        peer: PeerSlot,
        /// The link.
        link: LinkId,
        /// Whether something does.
        there: bool,
    },
    /// The application says that the peer is there now: if that place did not answer, it is asked again at once.
    LookThere {
        /// Who.
        peer: PeerSlot,
        /// The link.
        link: LinkId,
        /// The address.
        addr: Addr,
    },
    /// The driver of a radio has sent what it was given.
    AirFree {
        /// Which link.
        link: LinkId,
    },
    /// An authenticated packet.
    Received {
        /// Who sent it.
        peer: PeerSlot,
        /// By which path.
        path: PathId,
        /// Its number on that path.
        packet_number: u64,
        /// The link it came in by.
        link: LinkId,
        /// The address it came from.
        from: Addr,
        /// Its length, headers included.
        packet_bytes: usize,
        /// Its frames.
        payload: &'a [u8],
    },
    /// The record asked for with this number is durable.
    Stored {
        /// The number of `Action::Store`.
        slot: u64,
    },
    /// No record will be durable any more.
    StoreFailed,
}

/// What the links want done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Give this to the application.
    Deliver {
        /// Who sent it; it may have no slot any more.
        from: NodeId,
        /// How.
        delivery: Delivery,
        /// The sender's number.
        seq: u64,
        /// It was given before a restart.
        again: bool,
        /// The bytes.
        payload: Bytes,
    },
    /// Tell the application what became of something.
    Receipt {
        /// To whom it went; the slot may be another's by now.
        to: NodeId,
        /// The application's number.
        tag: u64,
        /// Its fate.
        outcome: Outcome,
    },
    /// A durable message is on disk and not finished.
    Waits {
        /// For whom it is.
        node: NodeId,
        /// Its number.
        seq: u64,
        /// Its class.
        class: Class,
    },
    /// A durable message is finished.
    Ended {
        /// For whom it was.
        node: NodeId,
        /// Its number.
        seq: u64,
    },
    /// Give this message of a peer to routing, to bundles or to gossip, by its first byte.
    ForRouting {
        /// Who sent it.
        peer: PeerSlot,
        /// The bytes.
        payload: Bytes,
    },
    /// What became of a message for the routing, bundles or gossip of a peer.
    Settled {
        /// To whom it went.
        peer: PeerSlot,
        /// Its number.
        tag: u64,
        /// Whether it arrived.
        arrived: bool,
    },
    /// Make this durable and answer `Input::Stored`.
    Store {
        /// The number of this request.
        slot: u64,
        /// What to write.
        record: Record,
    },
    /// A path works or has stopped to work.
    Path {
        /// To whom.
        peer: PeerSlot,
        /// Over which link.
        link: LinkId,
        /// Whether it works.
        up: bool,
    },
    /// Nothing was heard from the peer for long, on any path.
    Silent {
        /// Who.
        peer: PeerSlot,
    },
    /// The peer ended the session.
    ClosedByPeer {
        /// Who.
        peer: PeerSlot,
    },
}

/// One local link.
#[derive(Debug)]
struct LinkEntry {
    info: LinkInfo,
    /// When everything handed to the link will have left it, at its known rate: peers on one radio
    /// share its air, however many there are.
    free_at: Instant,
    /// For a radio: what is left of its share.
    air: Option<air::Budget>,
}

/// What is new with a session.
#[derive(Clone, Copy, Debug)]
struct Up {
    device: DeviceId,
    params: PeerParams,
    restarted: bool,
}

/// Delivery to all peers.
#[derive(Debug)]
pub struct Links {
    local: NodeId,
    links: BTreeMap<LinkId, LinkEntry>,
    peers: Vec<Option<Box<Peer>>>,
    /// Nodes without a slot, see [`kept`].
    kept: BTreeMap<NodeId, Box<Peer>>,
    /// When a message to one of those expires.
    kept_wake: Wake,
    deadlines: Deadlines,
    /// Kept empty between turns, for its memory.
    due: Vec<PeerSlot>,
    /// Peers that may have something to send, each at most once.
    ready: VecDeque<PeerSlot>,
    /// Peers that may have actions to take, each at most once.
    talking: VecDeque<PeerSlot>,
    actions: VecDeque<Action>,
    sending: Budget,
    receiving: Budget,
    /// Who asked for a record: slot of the request, and whose it is.
    stores: VecDeque<(u64, Asker)>,
    next_store: u64,
    disk_failed: bool,
    /// The pieces of the packet being built.
    pieces: Vec<Piece>,
}

impl Machine for Links {
    type Input<'a> = Input<'a>;
    type Action = Action;

    fn handle(&mut self, cx: &mut Cx<'_>, input: Input<'_>) {
        match input {
            Input::LinkUp { link, info } => self.link_up(cx, link, info),
            Input::LinkDown { link } => self.link_down(cx, link),
            Input::Recovered { node, records } => self.recovered(cx, node, records),
            Input::Attach { peer, node, wanted } => self.attach(cx, peer, node, wanted),
            Input::PeerUp { peer, node, device, params, restarted } => {
                self.peer_up(cx, peer, node, Up { device, params, restarted });
            }
            Input::Proved { peer, link, addr } => self.proved(cx, peer, link, addr),
            Input::Speak { peer, link, addr } => self.speak(cx, peer, (link, addr)),
            Input::PeerDown { peer } => self.peer_down(cx, peer),
            Input::PeerRemoved { peer, evicted } => self.peer_removed(peer, evicted),
            Input::AddPath { peer, link, addr } => self.add_path(cx, peer, link, addr),
            Input::Reach { peer, link, there } => self.reach_changed(cx, peer, link, there),
            Input::LookThere { peer, link, addr } => {
                self.add_path(cx, peer, link, addr);
                self.look_there(cx, peer, (link, addr));
            }
            Input::Received { peer, path, packet_number, link, from, packet_bytes, payload } => {
                let packet = receive::Packet { path, packet_number, link, from, packet_bytes, payload };
                self.received(cx, peer, &packet);
            }
            Input::AirFree { link } => self.air_free(cx, link),
            Input::Stored { slot } => self.stored(cx, slot),
            Input::StoreFailed => self.store_failed(cx),
        }
    }

    fn wake(&mut self, cx: &mut Cx<'_>) {
        // Each peer at most once: whoever is due again at once is on the list of peers to be asked
        // for a packet.
        let mut due = core::mem::take(&mut self.due);
        while let Some(slot) = self.deadlines.pop_due(cx.now) {
            due.push(PeerSlot(slot));
        }
        for peer in due.drain(..) {
            self.peer_wake(cx, peer);
        }
        self.due = due;
        if self.kept_wake.is_due(cx.now) {
            self.wake_kept(cx);
        }
    }

    fn next_wake(&self) -> Wake {
        self.deadlines.next().min(self.kept_wake)
    }

    fn poll(&mut self) -> Option<Action> {
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        while let Some(&peer) = self.talking.front() {
            if let Some(action) = self.peer_action(peer) {
                return Some(action);
            }
            self.talking.pop_front();
            if let Some(entry) = self.peer_mut(peer) {
                entry.talking = false;
            }
        }
        None
    }
}

impl Links {
    /// No links and no peers yet, for the node with this name.
    #[must_use]
    pub fn new(local: NodeId, limits: &Limits) -> Self {
        Links {
            local,
            links: BTreeMap::new(),
            peers: Vec::new(),
            kept: BTreeMap::new(),
            kept_wake: Wake::Idle,
            deadlines: Deadlines::new(),
            due: Vec::new(),
            ready: VecDeque::new(),
            talking: VecDeque::new(),
            actions: VecDeque::new(),
            sending: Budget::for_sending(limits),
            receiving: Budget::for_receiving(limits),
            stores: VecDeque::new(),
            next_store: 0,
            disk_failed: false,
            pieces: Vec::new(),
        }
    }

    fn peer_mut(&mut self, peer: PeerSlot) -> Option<&mut Peer> {
        self.peers.get_mut(usize::from(peer.0))?.as_deref_mut()
    }

    /// The peer in this slot, made if there is none.
    fn peer_entry(&mut self, cx: &Cx<'_>, peer: PeerSlot, node: NodeId) -> Option<&mut Peer> {
        let index = usize::from(peer.0);
        if index >= self.peers.len() {
            self.peers.resize_with(index + 1, || None);
        }
        let fresh = self.new_peer(cx.limits, node);
        let place = self.peers.get_mut(index)?;
        Some(place.get_or_insert_with(|| Box::new(fresh)))
    }

    fn new_peer(&self, limits: &Limits, node: NodeId) -> Peer {
        // Both sides number paths in one space: the smaller name opens even ones, the other odd ones.
        Peer::new(limits, node, u8::from(node < self.local))
    }

    fn peer_up(&mut self, cx: &mut Cx<'_>, peer: PeerSlot, node: NodeId, up: Up) {
        let Up { device, params, restarted } = up;
        let Some(entry) = self.peer_entry(cx, peer, node) else { return };
        debug_assert!(entry.node == node, "the slot was another's and is not removed");
        let Some(entry) = self.peers.get_mut(usize::from(peer.0)).and_then(Option::as_mut) else { return };
        if restarted {
            entry.restarted(&mut self.sending, &mut self.receiving);
        }
        entry.established(cx, &mut self.receiving, device, params);
        self.touch(cx, peer);
    }

    fn peer_down(&mut self, cx: &mut Cx<'_>, peer: PeerSlot) {
        if let Some(entry) = self.peers.get_mut(usize::from(peer.0)).and_then(Option::as_mut) {
            entry.up = false;
            entry.lose_everything_in_flight(cx, &mut self.sending);
            self.touch(cx, peer);
        }
    }

    fn peer_wake(&mut self, cx: &mut Cx<'_>, peer: PeerSlot) {
        if let Some(entry) = self.peers.get_mut(usize::from(peer.0)).and_then(Option::as_mut) {
            entry.wake(cx, &mut self.sending, &mut self.receiving);
            self.touch(cx, peer);
        }
    }

    /// The next thing the peer's halves want done, with store requests numbered.
    fn peer_action(&mut self, peer: PeerSlot) -> Option<Action> {
        let entry = self.peers.get_mut(usize::from(peer.0))?.as_mut()?;
        let (node, said) = (entry.node, entry.poll()?);
        Some(self.action_of(peer, node, said))
    }

    fn action_of(&mut self, peer: PeerSlot, node: NodeId, said: Said) -> Action {
        match said {
            Said::Deliver { delivery, seq, again, payload } => {
                Action::Deliver { from: node, delivery, seq, again, payload }
            }
            Said::Receipt { tag, outcome } => Action::Receipt { to: node, tag, outcome },
            Said::ForRouting { payload } => Action::ForRouting { peer, payload },
            Said::Settled { tag, arrived } => Action::Settled { peer, tag, arrived },
            Said::Waits { seq, class } => Action::Waits { node, seq, class },
            Said::Ended { seq } => Action::Ended { node, seq },
            Said::Store { record, token } => {
                self.next_store += 1;
                self.stores.push_back((self.next_store, Asker { peer, node, token }));
                Action::Store { slot: self.next_store, record }
            }
            Said::Path { link, up } => Action::Path { peer, link, up },
            Said::Silent => Action::Silent { peer },
            Said::Closed => Action::ClosedByPeer { peer },
        }
    }

    /// Something about the peer has changed: it may have something to send or to say, and its next
    /// deadline may be another.
    fn touch(&mut self, cx: &Cx<'_>, peer: PeerSlot) {
        let Some(entry) = self.peers.get_mut(usize::from(peer.0)).and_then(Option::as_mut) else { return };
        // What is due already waits for nothing but its turn to send; `next_packet` states the next
        // deadline when that turn is over.
        let wake = entry.next_wake(cx);
        let due = wake.is_due(cx.now);
        if !due || !entry.up {
            self.deadlines.set(peer.0, wake);
        }
        let asks = due || entry.has_something_to_send(cx);
        self.enlist(peer, asks);
    }

    /// Puts the peer on the list of those with actions if it has any, and if it `asks` for a packet, on
    /// the list of those that may send.
    fn enlist(&mut self, peer: PeerSlot, asks: bool) {
        let Some(entry) = self.peers.get_mut(usize::from(peer.0)).and_then(Option::as_mut) else { return };
        if !entry.talking && entry.has_actions() {
            entry.talking = true;
            self.talking.push_back(peer);
        }
        if asks && entry.up && !entry.queued {
            entry.queued = true;
            self.ready.push_back(peer);
        }
    }

    /// Bytes for frames in a packet that surely fits every usable way to this peer.
    fn room(&self, limits: &Limits, peer: PeerSlot) -> usize {
        let entry = self.peers.get(usize::from(peer.0)).and_then(Option::as_ref);
        entry.map_or(0, |entry| entry.room(limits, &self.links))
    }

    /// One more than the highest slot that a peer had.
    #[must_use]
    pub fn peer_slots(&self) -> usize {
        self.peers.len()
    }

    /// How each peer is doing.
    #[must_use]
    pub fn status(&self, peer: PeerSlot) -> Option<PeerStatus> {
        self.peers.get(usize::from(peer.0))?.as_ref().map(|entry| entry.status())
    }

    /// Since when a peer owes an acknowledgement over a path, whatever else came from it.
    #[must_use]
    pub fn owes_since(&self, peer: PeerSlot, path: PathId) -> Option<Instant> {
        let entry = self.peers.get(usize::from(peer.0)).and_then(Option::as_ref)?;
        entry.ways.iter().find(|way| way.id == path)?.path.owes_since()
    }

    /// The most bytes that delivery takes under `limits`.
    #[must_use]
    pub fn worst_case_bytes(limits: &Limits) -> u64 {
        // A sent packet: its record and three pieces, in rings that double (link/path/sent.rs). A
        // range: two numbers. A message: its entry, number, timer and list links (link/messages).
        const SENT: u64 = 2 * (path::RECORD_BYTES + 3 * size_of::<path::Piece>()) as u64;
        const RANGE: u64 = 2 * 16;
        const MESSAGE: u64 = 2 * (128 + 16 + 32 + 64);
        // A way, with what it takes while its packet size is in doubt.
        const PATH: u64 = size_of::<paths::Way>() as u64 + 256 + path::EXTRA_BYTES as u64;
        let path = PATH + u64::from(limits.in_flight) * SENT + u64::from(limits.ack_ranges) * RANGE;
        let windows = 4 * (u64::from(limits.message_window) / 8 + 64) + u64::from(limits.message_window) * 8;
        let peer = size_of::<Peer>() as u64
            + u64::from(limits.paths_per_peer) * path
            + windows
            + messages::ROOM_BYTES
            + 2_048;
        let messages = u64::from(limits.send_messages)
            + u64::from(limits.receive_messages)
            + u64::from(limits.durable_messages);
        // A block in decoding exists twice with its matrix.
        let block = u64::from(limits.message_bytes).min(1_024 * u64::from(limits.packet_bytes));
        // The smallest frame that sets off an action, an empty datagram, takes two bytes; what waits is
        // bounded by the outputs too. The queue doubles, and while it grows the half of it is there as well.
        let waiting = (u64::from(limits.packet_bytes) / 2).min(u64::from(limits.outputs));
        let actions = 3 * waiting * size_of::<messages::InboxAction>() as u64;
        let parts = [
            u64::from(limits.peers).saturating_mul(peer),
            u64::from(limits.durable_peers).saturating_mul(2 * kept::worst_case_bytes(limits)),
            messages.saturating_mul(MESSAGE),
            u64::from(limits.send_bytes),
            // Symbols are kept with some slack.
            2 * u64::from(limits.receive_bytes),
            8 * block,
            actions,
            // All of it is shown again after a restart.
            u64::from(limits.durable_bytes),
            limits.links_and_mesh() as u64 * 256,
        ];
        parts.into_iter().fold(0, u64::saturating_add)
    }

    /// Asserts what always holds.
    ///
    /// # Panics
    /// When an invariant is broken.
    pub fn check(&self, limits: &Limits) {
        for entry in self.peers.iter().flatten() {
            entry.check(limits);
        }
        self.check_kept(limits);
        assert!(self.ready.len() <= self.peers.len(), "a peer is ready at most once");
        assert!(self.talking.len() <= self.peers.len(), "a peer talks at most once");
    }
}
