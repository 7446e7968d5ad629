//! Sessions: who is at the other end, and keys that only the two of us hold.
//!
//! Two ships meet in fog. They cannot see each other, most shouts are lost in the wind, and there are
//! pirates who repeat what they overheard. So each ship calls the same words over and over, in the
//! cipher of the fleet; who is not of the fleet hears noise and gets no answer. The other ship
//! answers every call with the same words, so it does not matter which call got through. With one call
//! and one answer heard, both hold the same fresh key, and the logbook that each keeps of the other
//! says whether this is the ship it spoke with yesterday, the same ship after a night in port
//! (a restart), or a second ship painted like the first (a clone), which is told to go away.
//!
//! Sources: Noise Protocol Framework revision 34 (IKpsk0 and XXpsk0); WireGuard (Donenfeld 2017) for
//! silence towards strangers, cookies, indices and rekeying; RFC 9000 for packet numbers. Departures:
//! no timestamp in the first message (a device may have no clock): nothing changes for a peer before
//! the other side has proved with a packet under the new keys that it is there now, so a replayed
//! first message costs a slot and nothing else.
//!
//! Invariants, checked by [`Sessions::check`] and the tests:
//! - A key and nonce seal one plaintext: packet numbers of a path only rise within an association;
//!   keys are fresh for each handshake; ephemerals differ even between clones of one generator state.
//! - The responder sends nothing under new keys before the initiator has.
//! - An answer to an address that has not proved itself is never larger than the question, headers of
//!   fragments included.
//! - A packet number is accepted once.
//! - Nothing is stored for whoever has not shown the network's key, beyond one reassembly slot a link.
//!
//! Messages: the kinds of `message`. Durable: [`Record::Peer`](crate::store::record::Record::Peer). At its
//! limits: a handshake beyond `limits.handshakes` replaces one that is confirmed or had time for it, a peer
//! beyond `limits.peers` an idle stranger, and one that the application asks for any stranger. It assumes that
//! `Setup::boot` rises durably, and that `None` of [`Sessions::seal`] is final.

mod action;
mod answer;
mod audit;
mod beacon;
mod cookie;
mod dial;
mod fragment;
mod input;
mod keys;
mod message;
mod pace;
mod payload;
mod peers;
mod service;
mod settle;
mod statements;
mod transport;
mod trust;
mod unite;
mod urge;
mod view;
mod wishes;

#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;

use crate::bounded::Deadlines;
use crate::crypto::hash;
use crate::crypto::secret::Secret;
use crate::crypto::sign::Verifier;
use crate::drops::Drop;
use crate::identity::{Checker, DeviceCertificate, LocalIdentity, Network, Revocations};
use crate::ids::{Addr, DeviceId, LinkId, NodeId, PeerSlot};
use crate::machine::{Cx, Machine};
use crate::node::input::LinkInfo;
use crate::params::PeerParams;
use crate::time::Instant;
use crate::wake::Wake;
use crate::zoo::Bug;

pub use action::Action;
use answer::Answer;
use cookie::{Bucket, Jar};
use dial::Dial;
pub use input::Input;
use keys::Table;
use message::{Body, Builder, INCOMPATIBLE_LEN, Kind, Packet, Unchecked};
pub use message::{MAX_HANDSHAKE_BYTES, Versions, is_call};
use peers::{Peer, Peers, Place, Slots};
pub use transport::{Answered, Opened, Sealed};
use trust::Trust;

/// The lowest protocol version this software speaks.
pub const MIN_VERSION: u8 = 1;
/// The highest protocol version this software speaks.
pub const VERSION: u8 = 1;

/// Answers a second to packets of unproved senders that are neither Init nor demand a cookie: hints and
/// notes of incompatibility. A guess; one a second for each of 16 peers.
const ANSWERS_PER_S: u16 = 16;

/// What a node's sessions start from.
pub struct Setup {
    /// Who we are.
    pub identity: LocalIdentity,
    /// Our network.
    pub network: Network,
    /// What is revoked.
    pub revocations: Revocations,
    /// How often this device has started, this time included; durable before anything is sent.
    pub boot: u32,
    /// The protocol versions to speak; [`MIN_VERSION`] and [`VERSION`] unless a test wants others.
    pub versions: Versions,
    /// What we can do.
    pub params: PeerParams,
    /// Peers known from disk: node, device certificate, highest start count proved. As many as a node
    /// leaves there are used: those of its slots, and as many that lost theirs.
    pub known: Vec<(NodeId, Bytes, u32)>,
    /// Verifies the signatures of others.
    pub verifier: Verifier,
}

/// How long a handshake packet is.
#[derive(Clone, Copy)]
struct Size {
    /// The packet itself.
    len: usize,
    /// What of it came over the link: with the headers of its fragments, where it came in fragments.
    wire: usize,
}

/// A link as far as handshakes need it.
struct Link {
    info: LinkInfo,
    slot: fragment::Slot,
}

/// A peer that is not in the table: known from disk, or forgotten.
struct Known {
    /// The device that has started so often.
    device: Option<DeviceId>,
    boot: u32,
    /// Our life when we forgot it.
    forgot: u32,
    dh_key: Option<[u8; 32]>,
}

/// All sessions of a node.
pub struct Sessions {
    trust: Trust,
    boot: u32,
    versions: Versions,
    params: PeerParams,
    /// Our instance, drawn when the first link comes up.
    instance: Option<u64>,
    instance_seed: [u8; 32],
    links: BTreeMap<LinkId, Link>,
    known: BTreeMap<NodeId, Known>,
    peers: Peers,
    table: Table,
    dials: Slots<Dial>,
    answers: Slots<Answer>,
    peer_timers: Deadlines,
    answer_timers: Deadlines,
    actions: VecDeque<Action>,
    /// How often we have forgotten a peer; see `settle`.
    life: u32,
    /// What [`Known::forgot`] is for nodes that we know nothing of.
    forgot_others: u32,
    jar: Jar,
    free: Bucket,
    hints: Bucket,
    complaints: Bucket,
    reported_self: bool,
    /// See [`Sessions::show`].
    shown: Option<(Bytes, Bytes)>,
}

impl Sessions {
    /// Sessions of a node that has just started.
    #[must_use]
    pub fn new(setup: Setup, cx: &mut Cx<'_>) -> Sessions {
        let mut instance_seed = [0; 32];
        let mut cookie_secret = [0; 32];
        cx.rng.fill(&mut instance_seed);
        cx.rng.fill(&mut cookie_secret);
        let known = setup.known.into_iter().take(2 * usize::from(cx.limits.peers));
        let known = known
            .map(|(node, certificate, boot)| {
                let verified = DeviceCertificate::verify_with(&setup.verifier, &certificate);
                let verified = verified.ok().filter(|verified| verified.node == node);
                let device = verified.as_ref().map(|verified| verified.device);
                // Without the device whose starts they are, so many starts say nothing.
                let boot = if device.is_some() { boot } else { 0 };
                (node, Known { device, boot, forgot: 0, dh_key: verified.map(|verified| verified.dh_key) })
            })
            .collect();
        let indices = usize::from(cx.limits.peers) * 4 + usize::from(cx.limits.handshakes) * 2;
        Sessions {
            trust: Trust::new(setup.identity, setup.network, setup.revocations, setup.verifier),
            boot: setup.boot,
            versions: setup.versions,
            params: setup.params,
            instance: None,
            instance_seed,
            links: BTreeMap::new(),
            known,
            peers: Peers::new(),
            table: Table::new(indices),
            dials: Slots::new(),
            answers: Slots::new(),
            peer_timers: Deadlines::new(),
            answer_timers: Deadlines::new(),
            actions: VecDeque::new(),
            life: 0,
            forgot_others: 0,
            jar: Jar::new(cookie_secret),
            free: Bucket::new(cx.now, cx.limits.free_handshakes_per_s),
            hints: Bucket::new(cx.now, ANSWERS_PER_S),
            complaints: Bucket::new(cx.now, ANSWERS_PER_S),
            reported_self: false,
            shown: None,
        }
    }

    /// The slot of a peer with this node id.
    #[must_use]
    pub fn slot_of(&self, node: &NodeId) -> Option<PeerSlot> {
        self.peers.slot_of(node)
    }

    /// Whether the application asked to keep a session with whoever has this slot.
    #[must_use]
    pub fn is_wanted(&self, peer: PeerSlot) -> bool {
        self.peers.get(peer).is_some_and(|peer| peer.wanted)
    }

    /// The node in a slot, once it is known.
    #[must_use]
    pub fn node_of(&self, peer: PeerSlot) -> Option<NodeId> {
        self.peers.get(peer)?.node
    }

    /// Whether packets can be sealed for this peer.
    #[must_use]
    pub fn is_up(&self, peer: PeerSlot) -> bool {
        self.peers.get(peer).is_some_and(Peer::is_up)
    }

    /// Where this peer may be reached: what the application gave, and where it was met.
    pub fn endpoints(&self, peer: PeerSlot) -> impl Iterator<Item = (LinkId, Addr)> + '_ {
        let endpoints = self.peers.get(peer).map_or(&[][..], |peer| &peer.endpoints);
        endpoints.iter().map(|endpoint| (endpoint.place.link, endpoint.place.addr))
    }

    /// Our own identity.
    #[must_use]
    pub fn identity(&self) -> &LocalIdentity {
        &self.trust.identity
    }

    /// What it takes to check the papers of others, as of now.
    #[must_use]
    pub fn checker(&self, now: Instant) -> Checker<'_> {
        self.trust.checker(now)
    }

    /// Our network.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.trust.network
    }

    /// Certificate and membership, empty for none, that are known of whoever sends the next packet, if it shows none itself. They are
    /// checked as if it had.
    pub fn show(&mut self, papers: Option<(Bytes, Bytes)>) {
        self.shown = papers;
    }

    fn link_up(&mut self, cx: &mut Cx<'_>, link: LinkId, info: LinkInfo) {
        if self.instance.is_none() {
            // Hedged like the ephemerals: clones with one generator state are still two instances.
            let local = padded(&info.local);
            let hash = hash::derive(
                "thallus session instance v1",
                &[&self.instance_seed, &cx.now.as_micros().to_le_bytes(), &link.0.to_le_bytes(), &local],
            );
            self.instance = hash.first_chunk().map(|bytes| u64::from_le_bytes(*bytes) | 1);
        }
        let room = self.links.len() < cx.limits.links_and_mesh();
        match self.links.get_mut(&link) {
            Some(known) => known.info = info,
            None if room => {
                self.links.insert(link, Link { info, slot: fragment::Slot::default() });
            }
            None => return,
        }
        let slots: Vec<PeerSlot> = self.peers.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            self.encourage(cx, slot, Some(link));
        }
    }

    fn packet(&mut self, cx: &mut Cx<'_>, link: LinkId, from: Addr, bytes: &[u8]) -> Result<(), Drop> {
        if !self.links.contains_key(&link) {
            return Err(Drop::UnknownLink);
        }
        let place = Place { link, addr: from };
        let (epoch, packet) = self.trust.admit(&Unchecked::parse(bytes)?).ok_or(Drop::ForeignNetwork)?;
        if packet.kind != Kind::Fragment {
            return self.whole(cx, place, epoch, &packet, Size { len: bytes.len(), wire: bytes.len() });
        }
        let Some(whole) = self.reassemble(cx, place, &packet)? else { return Ok(()) };
        let size = Size { len: whole.bytes.len(), wire: whole.received };
        let (epoch, packet) =
            self.trust.admit(&Unchecked::parse(&whole.bytes)?).ok_or(Drop::ForeignNetwork)?;
        if packet.kind == Kind::Fragment {
            return Err(Drop::Malformed);
        }
        self.whole(cx, place, epoch, &packet, size)
    }

    fn reassemble(
        &mut self,
        cx: &Cx<'_>,
        place: Place,
        packet: &Packet<'_>,
    ) -> Result<Option<fragment::Whole>, Drop> {
        let Ok(Body::Fragment { id, total, offset, data }) = packet.body() else {
            return Err(Drop::Malformed);
        };
        let link = self.links.get_mut(&place.link).ok_or(Drop::UnknownLink)?;
        let patience = (pace::patience(&link.info), pace::longest(&link.info));
        let piece = fragment::Piece { from: place.addr, id, total, offset, data };
        link.slot.add(cx.now, patience, &piece).map_err(|rejected| match rejected {
            fragment::Rejected::Malformed => Drop::Malformed,
            fragment::Rejected::Busy => Drop::ReassemblyFull,
        })
    }

    fn whole(
        &mut self,
        cx: &mut Cx<'_>,
        place: Place,
        epoch: u32,
        packet: &Packet<'_>,
        size: Size,
    ) -> Result<(), Drop> {
        if packet.kind != Kind::Incompatible && self.versions.common(packet.versions).is_none() {
            self.complain(cx, place, epoch, packet, size.len);
            return Err(Drop::Incompatible);
        }
        match packet.body().map_err(|_| Drop::Malformed)? {
            Body::Init { pattern, noise, cookie, question } => {
                let init = answer::Init { pattern, noise, cookie, question, size, epoch };
                self.on_init(cx, place, packet, &init)
            }
            Body::Response { receiver, echo, noise } => {
                self.on_response(cx, place, packet, (receiver, echo), noise, epoch)
            }
            Body::Finish { receiver, noise } => self.on_finish(cx, place, packet, receiver, noise),
            Body::Cookie { receiver, echo, cookie } => {
                self.on_cookie(cx, place, receiver, echo, cookie, epoch)
            }
            Body::Incompatible { receiver, echo } => self.on_incompatible(cx, place, packet, receiver, echo),
            Body::Refusal { receiver, sealed, aad } => self.on_refusal(cx, receiver, &sealed, aad),
            Body::Beacon { span, place: said } => self.on_beacon(place, epoch, span, said),
            Body::UnknownSession => self.on_hint(cx, place, packet.sender),
            Body::Fragment { .. } => Err(Drop::Malformed),
        }
    }

    /// Tells a node of our network that we have no version in common: 33 bytes, less than any Init.
    fn complain(&mut self, cx: &mut Cx<'_>, place: Place, epoch: u32, packet: &Packet<'_>, len: usize) {
        let question = matches!(packet.kind, Kind::InitIk | Kind::InitXx);
        // A shorter one is no Init of any version, and the answer would be larger than the question.
        if !question || len < INCOMPATIBLE_LEN || !self.complaints.take(cx.now, ANSWERS_PER_S) {
            return;
        }
        let answer = Builder::new(Kind::Incompatible, self.versions, 0)
            .index(packet.sender)
            .put(&packet.echo())
            .seal(&self.trust.hello(epoch));
        self.send(cx, place, answer.into(), epoch);
        self.push(Action::Incompatible {
            link: place.link,
            from: place.addr,
            theirs: packet.versions,
            ours: self.versions,
        });
    }

    /// The secret of an ephemeral key: the generator's word, and everything that sets this moment
    /// apart from any other. Two clones that woke with one generator state have different addresses,
    /// or meet different ones, or answer different messages.
    fn ephemeral(&self, cx: &mut Cx<'_>, place: Place, answering: &[u8; 16]) -> Secret {
        let mut drawn = zeroize::Zeroizing::new([0; 32]);
        cx.rng.fill(&mut *drawn);
        if cx.zoo.has(Bug::EphemeralUnhedged) {
            return Secret::new(*drawn);
        }
        let local =
            self.links.get(&place.link).map_or([0; 1 + Addr::MAX_LEN], |link| padded(&link.info.local));
        Secret::new(hash::derive(
            "thallus session ephemeral v1",
            &[
                &*drawn,
                &cx.now.as_micros().to_le_bytes(),
                &place.link.0.to_le_bytes(),
                &local,
                &padded(&place.addr),
                answering,
            ],
        ))
    }

    fn mtu(&self, cx: &Cx<'_>, link: LinkId) -> Option<usize> {
        let mtu = self.links.get(&link)?.info.mtu;
        Some(usize::from(mtu).min(cx.limits.packet_bytes as usize))
    }

    /// Bytes that a packet of `len` bytes takes when it is sent over this link.
    fn wire_len(&self, cx: &Cx<'_>, link: LinkId, len: usize) -> usize {
        self.mtu(cx, link).map_or(len, |mtu| fragment::wire_len(len, mtu))
    }

    /// Sends a packet, in fragments where the link asks for it.
    fn send(&mut self, cx: &Cx<'_>, place: Place, packet: Bytes, epoch: u32) {
        let Some(mtu) = self.mtu(cx, place.link) else { return };
        let (to, link) = (place.addr, place.link);
        if packet.len() <= mtu {
            self.transmit(cx, Action::Transmit { link, to, packet });
            return;
        }
        let hello = self.trust.hello(epoch);
        for fragment in fragment::split(&packet, mtu, self.versions, 0, &hello) {
            self.transmit(cx, Action::Transmit { link, to, packet: fragment.into() });
        }
    }

    /// A packet that finds no room is as good as lost on the way: whatever matters is sent again.
    fn transmit(&mut self, cx: &Cx<'_>, action: Action) {
        if self.actions.len() < cx.limits.outputs as usize {
            self.actions.push_back(action);
        }
    }

    fn push(&mut self, action: Action) {
        self.actions.push_back(action);
    }
}

/// An address at a fixed length, as hashes want it.
fn padded(addr: &Addr) -> [u8; 1 + Addr::MAX_LEN] {
    let mut bytes = [0; 1 + Addr::MAX_LEN];
    for (to, from) in
        bytes.iter_mut().zip(core::iter::once(&(addr.as_bytes().len() as u8)).chain(addr.as_bytes()))
    {
        *to = *from;
    }
    bytes
}

impl Machine for Sessions {
    type Input<'a> = Input<'a>;
    type Action = Action;

    fn handle(&mut self, cx: &mut Cx<'_>, input: Input<'_>) {
        match input {
            Input::LinkUp { link, info } => self.link_up(cx, link, info),
            Input::LinkDown { link } => {
                self.links.remove(&link);
            }
            Input::Connect { spec } => self.connect(cx, spec),
            Input::Await { node } => self.await_node(cx, node),
            Input::Visit { node, key, link, addr } => self.visit(cx, node, key, Place { link, addr }),
            Input::Beacon { link, span } => self.say_here(cx, link, span),
            Input::Meet { link, addr, new } => self.meet(cx, Place { link, addr }, new),
            Input::Part { link, addr } => self.part(cx, Place { link, addr }),
            Input::Away { link, addr, away } => self.away(cx, Place { link, addr }, away),
            Input::Disconnect { link, addr } => self.disconnect(cx, Place { link, addr }),
            Input::Forget { peer, evicted } => self.forget(cx, peer, evicted),
            Input::Packet { link, from, bytes } => {
                if let Err(reason) = self.packet(cx, link, from, bytes) {
                    cx.drops.count(reason);
                }
            }
            Input::Silent { peer } => self.redial(cx, peer),
            Input::Install { bytes } => {
                if self.install(cx, bytes).is_err() {
                    cx.drops.count(Drop::CertificateInvalid);
                }
            }
            Input::WallClock(wall) => {
                self.trust.set_wall(cx.now, wall);
                self.recheck(cx, None);
                self.arm_expiries();
            }
        }
    }

    fn wake(&mut self, cx: &mut Cx<'_>) {
        self.service(cx);
    }

    fn next_wake(&self) -> Wake {
        self.peer_timers.next().min(self.answer_timers.next())
    }

    fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }
}
