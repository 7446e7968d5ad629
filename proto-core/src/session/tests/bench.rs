//! Two and more sessions with everything between them in the test's hands.

use std::collections::BTreeMap;
use std::vec::Vec;

use bytes::Bytes;

use super::super::*;
use crate::crypto::secret::Secret;
use crate::crypto::sign::{SigningKey, Verifier};
use crate::drops::Drops;
use crate::identity::{DeviceSecrets, Endorsement, Genesis, RevocationList, RootKey, Validity};
use crate::ids::PathId;
use crate::limits::Limits;
use crate::machine::{Cx, Machine};
use crate::node::input::PeerSpec;
use crate::node::input::{Air, LinkInfo, Medium};
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::zoo::Zoo;

pub(super) const LINK: LinkId = LinkId(0);

/// What one node of a test is made from.
#[derive(Clone)]
pub(super) struct Make {
    /// Who it is.
    pub(super) who: u8,
    /// Seed of its generator and of what it is hedged with.
    pub(super) seed: u8,
    pub(super) boot: u32,
    pub(super) versions: (u8, u8),
    pub(super) address: u32,
    pub(super) mtu: u16,
    pub(super) network: &'static str,
    pub(super) limits: Limits,
    pub(super) known: Vec<(NodeId, Bytes, u32)>,
    pub(super) rate_bps: Option<u64>,
    /// The link that it has.
    pub(super) link: LinkId,
    pub(super) air: Option<Air>,
    pub(super) zoo: Zoo,
    pub(super) identity: LocalIdentity,
}

impl Make {
    pub(super) fn new(who: u8) -> Make {
        Make {
            who,
            seed: who,
            boot: 1,
            versions: (MIN_VERSION, VERSION),
            address: u32::from(who),
            mtu: 1400,
            network: "test",
            limits: Limits::SMALL,
            known: Vec::new(),
            rate_bps: None,
            link: LINK,
            air: None,
            zoo: Zoo::none(),
            identity: identity(who, who),
        }
    }

    pub(super) fn identity(&self) -> &LocalIdentity {
        &self.identity
    }

    /// Another device of the same node, elsewhere.
    pub(super) fn other_device(&self, device: u8) -> Make {
        let address = u32::from(device);
        Make { seed: device, address, identity: identity(self.who, device), ..self.clone() }
    }

    /// A device of the same node, elsewhere, certified after so many rotations of the root key.
    pub(super) fn device_after(&self, device: u8, rotations: u8) -> Make {
        self.device_by(device, rotations, 0x30)
    }

    /// The same, where the first root key was replaced by another one than in `device_after`.
    pub(super) fn device_of_fork(&self, device: u8, rotations: u8) -> Make {
        self.device_by(device, rotations, 0x40)
    }

    fn device_by(&self, device: u8, rotations: u8, keys: u8) -> Make {
        let rotate = |root: RootKey, nth: u8| root.rotate(&Secret::new([keys | nth; 32])).unwrap();
        let root = (0..rotations).fold(root(self.who), rotate);
        Make { identity: identity_of(&root, device), ..self.other_device(device) }
    }

    /// The same device of a node with nine rotations, which all 32 authorities of a network have admitted.
    pub(super) fn with_longest_papers(&self) -> Make {
        let authority = |nth: u32| SigningKey::from_secret(&Secret::new([0x80 | nth as u8; 32]));
        let genesis = Genesis {
            name: "large".into(),
            authorities: (0..32).map(|nth| authority(nth).public()).collect(),
            threshold: 32,
            closed: true,
            parameters: Vec::new(),
            salt: [0; 16],
        };
        let network = Network::closed(genesis.encode().unwrap(), 1, Secret::new([1; 32])).unwrap();
        let rotated = self.device_after(self.who, 9);
        let mut paper = Endorsement::membership(network.id(), self.node(), 1, Validity::ALWAYS);
        (0..32).for_each(|nth| paper.sign(nth, &authority(nth)));
        let identity = rotated.identity.with_membership(paper.certificate(), &network).unwrap();
        Make { identity, ..self.clone() }
    }

    /// The same device, certified from one second to another.
    pub(super) fn within(&self, not_before_s: u64, not_after_s: u64) -> Make {
        let validity = Validity { not_before_s, not_after_s };
        Make { identity: identity_within(&root(self.who), self.who, validity), ..self.clone() }
    }

    /// The node's own word that its first devices are void.
    pub(super) fn revocation(&self) -> Bytes {
        let list =
            RevocationList { sequence: 1, below_serial: 2, devices: Default::default(), retired: false };
        root(self.who).revoke(&list)
    }

    /// A list that revokes this device, and no other of its node.
    pub(super) fn revocation_of_device(&self) -> Bytes {
        let device = (self.identity().device(), u64::MAX);
        let list = RevocationList { sequence: 1, below_serial: 0, devices: [device].into(), retired: false };
        root(self.who).revoke(&list)
    }

    pub(super) fn node(&self) -> NodeId {
        self.identity().node()
    }

    pub(super) fn key(&self) -> [u8; 32] {
        self.identity().certificate().dh_key
    }

    pub(super) fn info(&self) -> LinkInfo {
        LinkInfo {
            medium: if self.link == LinkId::MESH { Medium::Mesh } else { Medium::PointToPoint },
            mtu: self.mtu,
            rate_bps: self.rate_bps,
            delay: Duration::from_millis(25),
            cost: 0,
            segments: 1,
            local: Addr::from_u32(self.address),
            air: self.air,
            beacons: false,
        }
    }

    pub(super) fn start(&self, now: Instant) -> Side {
        let genesis = Genesis {
            name: self.network.into(),
            authorities: Vec::new(),
            threshold: 0,
            closed: false,
            parameters: Vec::new(),
            salt: [0; 16],
        };
        let mut rng = Rng::fork(&[self.seed; 32], "session");
        let mut drops = Drops::default();
        let mut cx = Cx { now, rng: &mut rng, limits: &self.limits, drops: &mut drops, zoo: self.zoo };
        let setup = Setup {
            identity: self.identity.clone(),
            network: Network::open(genesis.encode().unwrap()).unwrap(),
            revocations: Revocations::new(16),
            boot: self.boot,
            versions: Versions { lowest: self.versions.0, highest: self.versions.1 },
            params: PeerParams {
                message_bytes: 1000,
                receive_bytes: 2000,
                packet_bytes: 1400,
                message_window: 64,
                fountain: true,
                routing: false,
                gossip: false,
            },
            known: self.known.clone(),
            verifier: Verifier::default(),
        };
        let sessions = Sessions::new(setup, &mut cx);
        let mut side = Side {
            sessions,
            rng,
            drops,
            make: self.clone(),
            out: Vec::new(),
            events: Vec::new(),
            outbox: BTreeMap::new(),
            shared: BTreeMap::new(),
            begun: u64::from(self.boot) << 32,
            partners: BTreeMap::new(),
            map: BTreeMap::new(),
        };
        side.handle(now, Input::LinkUp { link: self.link, info: self.info() });
        side
    }
}

pub(super) fn root(who: u8) -> RootKey {
    RootKey::new(&Secret::new([who ^ 0xaa; 32]))
}

fn identity(who: u8, device: u8) -> LocalIdentity {
    identity_of(&root(who), device)
}

fn identity_of(root: &RootKey, device: u8) -> LocalIdentity {
    identity_within(root, device, Validity::ALWAYS)
}

fn identity_within(root: &RootKey, device: u8, validity: Validity) -> LocalIdentity {
    let secrets = DeviceSecrets::new(&Secret::new([device; 32]), &Secret::new([device ^ 0x55; 32]));
    let certificate = root.certify(secrets.sign.public(), secrets.dh.public(), 1, validity);
    LocalIdentity::new(secrets, certificate).unwrap()
}

/// One node.
pub(super) struct Side {
    pub(super) sessions: Sessions,
    pub(super) rng: Rng,
    pub(super) drops: Drops,
    pub(super) make: Make,
    /// Packets it wants sent: to whom, and what.
    pub(super) out: Vec<(u32, Bytes)>,
    /// Everything else it said.
    pub(super) events: Vec<Action>,
    /// Peers to which a PING is owed until something is heard under present keys.
    pub(super) outbox: BTreeMap<PeerSlot, Instant>,
    /// What a link layer would share with each peer, by a number that no other gets.
    shared: BTreeMap<PeerSlot, u64>,
    begun: u64,
    /// Which state of the other side each of ours has heard from, and of which node.
    partners: BTreeMap<u64, (NodeId, u64)>,
    /// Certificate and membership that it knows of whoever sends from an address, as from the map of a mesh.
    pub(super) map: BTreeMap<u32, (Bytes, Bytes)>,
}

impl Side {
    pub(super) fn with<T>(&mut self, now: Instant, run: impl FnOnce(&mut Sessions, &mut Cx<'_>) -> T) -> T {
        let mut cx = Cx {
            now,
            rng: &mut self.rng,
            limits: &self.make.limits,
            drops: &mut self.drops,
            zoo: self.make.zoo,
        };
        let result = run(&mut self.sessions, &mut cx);
        self.sessions.check();
        self.collect(now);
        result
    }

    pub(super) fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.with(now, |sessions, cx| sessions.handle(cx, input));
    }

    pub(super) fn wake(&mut self, now: Instant) {
        self.with(now, |sessions, cx| sessions.wake(cx));
    }

    fn collect(&mut self, now: Instant) {
        while let Some(action) = self.sessions.poll() {
            match action {
                Action::Transmit { link, to, packet } => {
                    assert_eq!(link, self.make.link);
                    assert!(packet.len() <= usize::from(self.make.mtu), "larger than the MTU");
                    // Everybody is number 0.
                    self.out.push((to.to_u32().unwrap_or(0), packet));
                }
                Action::Established { peer, restarted, .. } => {
                    self.outbox.insert(peer, now);
                    if restarted {
                        self.shared.remove(&peer);
                    }
                    self.begun += 1;
                    self.shared.entry(peer).or_insert(self.begun);
                    self.events.push(action);
                }
                Action::Forgotten { peer, .. } => {
                    self.shared.remove(&peer);
                }
                other => self.events.push(other),
            }
        }
    }

    pub(super) fn connect(&mut self, now: Instant, to: &Make, with_key: bool) {
        let spec = PeerSpec {
            node: with_key.then(|| to.node()),
            key: with_key.then(|| to.key()),
            endpoints: std::vec![(self.make.link, Addr::from_u32(to.address))],
        };
        self.handle(now, Input::Connect { spec });
    }

    /// A sealed PING for a peer: says which of our states it comes from.
    pub(super) fn ping(&mut self, now: Instant, peer: PeerSlot) -> Option<Vec<u8>> {
        self.seal(now, peer, &self.word(1, peer))
    }

    fn word(&self, kind: u8, peer: PeerSlot) -> [u8; 9] {
        let mut word = [kind; 9];
        word[1..].copy_from_slice(&self.shared.get(&peer).copied().unwrap_or(0).to_le_bytes());
        word
    }

    /// What is sent from one state arrives in one state: else a link layer would deliver what it had
    /// delivered before, or wait for what will never come.
    fn pair(&mut self, peer: PeerSlot, word: &[u8]) {
        let Some(theirs) = word.get(1..).and_then(|bytes| bytes.try_into().ok()) else { return };
        let theirs = (self.sessions.node_of(peer).unwrap(), u64::from_le_bytes(theirs));
        let ours = self.shared[&peer];
        let known = *self.partners.entry(ours).or_insert(theirs);
        assert_eq!(known, theirs, "two states of the other side speak to one of ours");
        let same = self.partners.values().filter(|&&partner| partner == theirs).count();
        assert_eq!(same, 1, "one state of the other side speaks to two of ours");
    }

    pub(super) fn seal(&mut self, now: Instant, peer: PeerSlot, payload: &[u8]) -> Option<Vec<u8>> {
        let path = PathId(0);
        self.with(now, |sessions, cx| {
            let mut buf = [0; 256];
            let header = sessions.header_len(peer, path, None);
            buf[header..header + payload.len()].copy_from_slice(payload);
            let sealed = sessions.seal(cx, peer, path, None, &mut buf, payload.len())?;
            Some(buf[..sealed.len].to_vec())
        })
    }

    pub(super) fn open(&mut self, now: Instant, from: u32, packet: &[u8]) -> Option<Vec<u8>> {
        let mut packet = packet.to_vec();
        let opened =
            self.with(now, |sessions, cx| sessions.open(cx, LINK, Addr::from_u32(from), &mut packet))?;
        Some(packet[opened.payload?].to_vec())
    }

    /// Takes in whatever kind of packet it is, as a node does. Data is answered, so that the other
    /// side hears something.
    pub(super) fn receive(&mut self, now: Instant, from: u32, packet: &[u8]) {
        if packet.first().is_some_and(|first| first & 0x80 != 0) {
            let mut copy = packet.to_vec();
            let link = self.make.link;
            let opened =
                self.with(now, |sessions, cx| sessions.open(cx, link, Addr::from_u32(from), &mut copy));
            let Some(opened) = opened else { return };
            let Some(payload) = opened.payload else { return };
            let said = copy[payload].to_vec();
            self.pair(opened.peer, &said);
            if said[0] == 1
                && let Some(answer) = self.seal(now, opened.peer, &self.word(2, opened.peer))
            {
                self.out.push((from, answer.into()));
            }
            self.outbox.remove(&opened.peer);
        } else {
            let (link, from_addr) = (self.make.link, Addr::from_u32(from));
            self.sessions.show(self.map.get(&from).cloned());
            self.handle(now, Input::Packet { link, from: from_addr, bytes: packet });
            self.sessions.show(None);
        }
    }

    pub(super) fn peer(&self, other: &Make) -> Option<PeerSlot> {
        self.sessions.slot_of(&other.node())
    }

    pub(super) fn is_up(&self, other: &Make) -> bool {
        self.peer(other).is_some_and(|peer| self.sessions.is_up(peer))
    }

    /// How often it said that a session was established, and how often as restarted.
    pub(super) fn established(&self) -> (usize, usize) {
        let restarted = |action: &Action| match action {
            Action::Established { restarted, .. } => Some(*restarted),
            _ => None,
        };
        let all: Vec<bool> = self.events.iter().filter_map(restarted).collect();
        (all.len(), all.iter().filter(|&&restarted| restarted).count())
    }

    pub(super) fn clones(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Action::CloneDetected { .. })).count()
    }

    /// The index of the keys that it sends with, as the receiver numbers it, and their hash.
    pub(super) fn sending(&self, other: &Make) -> Option<u64> {
        let peer = self.sessions.peers.get(self.peer(other)?)?;
        let association = peer.association.as_ref()?;
        Some(self.sessions.table.keys(association.sending)?.rank.hash)
    }

    /// Keys, handshakes and drops in one text, for a failing test.
    pub(super) fn describe(&self) -> std::string::String {
        let mut text = std::string::String::new();
        for (slot, peer) in self.sessions.peers.iter() {
            text += &std::format!("{slot:?} dialing {:?};", peer.dialing);
            for endpoint in &peer.endpoints {
                text += &std::format!(" at {:?} dial {:?};", endpoint.place.addr, endpoint.dial);
            }
            let Some(association) = &peer.association else { continue };
            text += &std::format!(
                " association life {} forgot {} sending {:x};",
                association.life,
                association.forgot,
                association.sending
            );
            for &index in &association.keys {
                if let Some(keys) = self.sessions.table.keys(index) {
                    text += &std::format!(
                        " keys {index:x} remote {:x} ours {} heard {} sent {} {:x?};",
                        keys.remote,
                        keys.ours,
                        keys.heard,
                        keys.sent,
                        keys.rank
                    );
                }
            }
        }
        let drops: Vec<_> = self.drops.iter().filter(|(_, count)| *count > 0).collect();
        text + &std::format!(" {drops:?} answers {}", self.sessions.answers.len())
    }
}

/// Any number of nodes on a network with loss and delay.
pub(super) struct World {
    pub(super) now: Instant,
    pub(super) sides: Vec<Side>,
    /// What is under way: arrival, order, from, to, bytes.
    wire: BTreeMap<(Instant, u64), (u32, u32, Bytes)>,
    sent: u64,
    rng: Rng,
    /// Of 1,000 packets so many are lost.
    pub(super) loss: u64,
    pub(super) delay: Duration,
    /// Extra delay drawn for each packet, in microseconds; reorders.
    pub(super) jitter_us: u64,
    /// Of 1,000 packets so many arrive twice.
    pub(super) duplicate: u64,
    /// Everything that was sent: from, to, bytes.
    pub(super) log: Option<Vec<(u32, u32, Bytes)>>,
}

impl World {
    pub(super) fn new(seed: u64, sides: Vec<Side>) -> World {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        World {
            now: Instant::ZERO,
            sides,
            wire: BTreeMap::new(),
            sent: 0,
            rng: Rng::fork(&bytes, "world"),
            loss: 0,
            delay: Duration::from_millis(25),
            jitter_us: 0,
            duplicate: 0,
            log: None,
        }
    }

    /// Puts what the nodes want sent on the wire.
    pub(super) fn carry(&mut self) {
        for nth in 0..self.sides.len() {
            let from = self.sides[nth].make.address;
            for (to, packet) in std::mem::take(&mut self.sides[nth].out) {
                if let Some(log) = &mut self.log {
                    log.push((from, to, packet.clone()));
                }
                let copies = 1 + u64::from(self.rng.below(1000) < self.duplicate);
                for _ in 0..copies {
                    self.sent += 1;
                    if self.rng.below(1000) >= self.loss {
                        let extra = Duration::from_micros(self.rng.below(self.jitter_us + 1));
                        let at = self.now + self.delay + extra;
                        self.wire.insert((at, self.sent), (from, to, packet.clone()));
                    }
                }
            }
        }
    }

    /// Runs until `until`, or until `done`.
    pub(super) fn run(&mut self, until: Instant, mut done: impl FnMut(&World) -> bool) -> bool {
        loop {
            self.carry();
            if done(self) {
                return true;
            }
            let mut next = self.wire.first_key_value().map_or(until, |(&(at, _), _)| at);
            for side in &self.sides {
                if let Wake::At(at, _) = side.sessions.next_wake() {
                    next = next.min(at.max(self.now));
                }
                if let Some(&at) = side.outbox.values().min() {
                    next = next.min(at);
                }
            }
            if next >= until {
                self.now = until;
                return false;
            }
            self.now = next;
            while let Some((&(at, order), _)) = self.wire.first_key_value()
                && at <= self.now
            {
                let Some((from, to, packet)) = self.wire.remove(&(at, order)) else { break };
                for side in self.sides.iter_mut().filter(|side| side.make.address == to) {
                    side.receive(self.now, from, &packet);
                }
            }
            for side in &mut self.sides {
                if side.sessions.next_wake().is_due(self.now) {
                    side.wake(self.now);
                }
                let due: Vec<PeerSlot> =
                    side.outbox.iter().filter(|(_, at)| **at <= self.now).map(|(peer, _)| *peer).collect();
                for peer in due {
                    // What the link layer does: ask until something comes back.
                    side.outbox.insert(peer, self.now + Duration::from_millis(50));
                    let places: Vec<_> = side.sessions.endpoints(peer).collect();
                    match side.ping(self.now, peer) {
                        Some(packet) => {
                            for (_, addr) in places {
                                side.out.push((addr.to_u32().unwrap(), packet.clone().into()));
                            }
                        }
                        None => {
                            side.outbox.remove(&peer);
                        }
                    }
                }
            }
        }
    }

    pub(super) fn run_for(&mut self, span: Duration) {
        let until = self.now + span;
        self.run(until, |_| false);
    }
}
