//! The bench: two nodes, a wire with delay and loss, disks that confirm at once, and a clock that
//! jumps to whatever comes next.

use alloc::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

use bytes::Bytes;

use crate::crypto::secret::Secret;
use crate::crypto::sign::Verifier;
use crate::identity::{DeviceSecrets, Genesis, LocalIdentity, Network, RootKey, Validity};
use crate::ids::{Addr, LinkId, NodeId};
use crate::limits::Limits;
use crate::node::*;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::wake::Wake;
use crate::zoo::Zoo;

pub(super) const LINK: LinkId = LinkId(0);

/// One packet on the wire.
struct Flying {
    to: usize,
    link: LinkId,
    bytes: Vec<u8>,
}

pub(super) struct Pair {
    seed: u8,
    limits: [Limits; 2],
    pub(super) now: Instant,
    pub(super) nodes: Vec<Node>,
    /// Their X25519 keys.
    pub(super) keys: Vec<[u8; 32]>,
    pub(super) events: Vec<Vec<Event>>,
    /// Records by node and key.
    pub(super) disks: Vec<BTreeMap<crate::store::record::Key, crate::store::record::Record>>,
    /// Writes of node 0 or 1 that are not confirmed until [`Pair::confirm`].
    pub(super) slow_disk: [bool; 2],
    unconfirmed: [Option<crate::ids::Ticket>; 2],
    wire: BTreeMap<(Instant, u64), Flying>,
    sequence: u64,
    pub(super) steps: u64,
    spin: u64,
    pub(super) loss_ppm: u64,
    /// What the wire passes, whatever the links say.
    pub(super) passes: usize,
    /// Nothing is taken from this node: its application sleeps.
    pub(super) asleep: Option<usize>,
    pub(super) delay: Duration,
    pub(super) transmitted: [u64; 2],
    /// Bytes over the first link and over the second.
    pub(super) crossed: [u64; 2],
    pub(super) slow_delay: Duration,
    rng: Rng,
    /// What the nodes are polled with.
    pub(super) buf: Vec<u8>,
}

/// An open network and so many members, made from one number.
pub(super) fn network_of(count: u8, seed: u8) -> (Network, Vec<LocalIdentity>) {
    let genesis = Genesis {
        name: "bench".into(),
        authorities: Vec::new(),
        threshold: 0,
        closed: false,
        parameters: Vec::new(),
        salt: [seed; 16],
    };
    let network = Network::open(genesis.encode().unwrap()).unwrap();
    let member = |index: u8| {
        let secret = |purpose: u8| Secret::from_slice(&[seed, index, purpose, 7].repeat(8)).unwrap();
        let secrets = DeviceSecrets::new(&secret(1), &secret(2));
        let root = RootKey::new(&secret(0));
        let certificate = root.certify(secrets.sign.public(), secrets.dh.public(), 1, Validity::default());
        LocalIdentity::new(secrets, certificate).unwrap()
    };
    (network, (0..count).map(member).collect())
}

pub(super) fn info(mtu: u16, local: u32) -> LinkInfo {
    LinkInfo {
        medium: Medium::PointToPoint,
        mtu,
        rate_bps: None,
        delay: Duration::from_millis(1),
        cost: 0,
        segments: 1,
        local: Addr::from_u32(local),
        air: None,
        beacons: false,
    }
}

impl Pair {
    pub(super) fn new(limits: [Limits; 2], mtu: u16, seed: u8) -> Pair {
        let (network, mut identities) = network_of(2, seed);
        let keys = identities.iter().map(|identity| identity.certificate().dh_key).collect();
        let mut nodes = Vec::new();
        let saved = limits.clone();
        for (index, limits) in limits.into_iter().enumerate() {
            let boot = Boot {
                identity: identities.remove(0),
                network: network.clone(),
                records: Vec::new(),
                versions: VERSIONS,
                zoo: Zoo::none(),
                verifier: Verifier::default(),
            };
            let node = Node::new(boot, [seed ^ (index as u8 + 1); 32], limits, Instant::ZERO).unwrap();
            nodes.push(node);
        }
        let mut pair = Pair {
            seed,
            limits: saved,
            now: Instant::ZERO,
            nodes,
            keys,
            events: vec![Vec::new(), Vec::new()],
            disks: vec![BTreeMap::new(), BTreeMap::new()],
            slow_disk: [false; 2],
            unconfirmed: [None; 2],
            wire: BTreeMap::new(),
            sequence: 0,
            steps: 0,
            spin: 0,
            loss_ppm: 0,
            passes: usize::MAX,
            asleep: None,
            delay: Duration::from_millis(1),
            transmitted: [0; 2],
            crossed: [0; 2],
            slow_delay: Duration::from_millis(20),
            rng: Rng::fork(&[seed; 32], "wire"),
            buf: vec![0; 65_535],
        };
        for index in 0..2 {
            let state = LinkState::Up(info(mtu, index as u32));
            pair.input(index, Input::LinkChanged { link: LINK, state }).unwrap();
        }
        pair
    }

    pub(super) fn id(&self, index: usize) -> NodeId {
        self.nodes[index].id()
    }

    /// Node 0 is told where node 1 is.
    pub(super) fn connect(&mut self) {
        let spec = PeerSpec { node: Some(self.id(1)), key: None, endpoints: vec![(LINK, Addr::from_u32(1))] };
        self.input(0, Input::Command(Command::AddPeer(spec))).unwrap();
    }

    pub(super) fn send(
        &mut self,
        from: usize,
        tag: u64,
        delivery: Delivery,
        payload: &[u8],
    ) -> Result<(), Refused> {
        let send = Send {
            to: self.id(1 - from),
            tag,
            delivery,
            class: Class::Normal,
            lifetime: None,
            payload: Bytes::copy_from_slice(payload),
        };
        self.input(from, Input::Command(Command::Send(send)))
    }

    pub(super) fn input(&mut self, index: usize, input: Input<'_>) -> Result<(), Refused> {
        let result = self.nodes[index].handle(self.now, input);
        self.drain(index);
        result
    }

    /// Everything that this node gave to its disk is durable now.
    pub(super) fn confirm(&mut self, index: usize) {
        self.confirm_only(index);
        self.drain(index);
    }

    fn confirm_only(&mut self, index: usize) {
        if let Some(up_to) = self.unconfirmed[index].take() {
            self.nodes[index].handle(self.now, Input::Stored { up_to }).unwrap();
        }
    }

    /// The node starts anew from its disk, without links.
    pub(super) fn restart(&mut self, index: usize) {
        let (network, identities) = network_of(2, self.seed);
        let boot = Boot {
            identity: identities[index].clone(),
            network,
            records: self.disks[index].values().cloned().collect(),
            versions: VERSIONS,
            zoo: Zoo::none(),
            verifier: Verifier::default(),
        };
        self.events[index].clear();
        self.unconfirmed[index] = None;
        self.nodes[index] = Node::new(boot, [99; 32], self.limits[index].clone(), self.now).unwrap();
        self.drain(index);
    }

    pub(super) fn drain(&mut self, index: usize) {
        if self.asleep == Some(index) {
            return;
        }
        while let Some(output) = self.nodes[index].poll(self.now, &mut self.buf) {
            match output {
                Output::Transmit(transmit) => self.transmit(index, &transmit),
                Output::Store { ticket, record } => {
                    let key = record.key();
                    if let crate::store::record::Record::Erased { .. } = record {
                        self.disks[index].remove(&key);
                    } else {
                        self.disks[index].insert(key, record);
                    }
                    self.unconfirmed[index] = Some(ticket);
                    if !self.slow_disk[index] {
                        self.confirm_only(index);
                    }
                }
                Output::Load { .. } => panic!("nothing asks for loads"),
                Output::Event(event) => self.events[index].push(event),
            }
        }
        // The checks walk through everything that is held: now and then is enough for a long run.
        self.steps += 1;
        if self.steps < 200 || self.steps.is_multiple_of(101) {
            self.nodes[index].check();
        }
    }

    fn transmit(&mut self, index: usize, transmit: &Transmit) {
        self.transmitted[index] += transmit.len as u64;
        for segment in self.buf[..transmit.len].chunks(transmit.segment) {
            if self.rng.below(1_000_000) < self.loss_ppm || segment.len() > self.passes {
                continue;
            }
            self.sequence += 1;
            let flying = Flying { to: 1 - index, link: transmit.link, bytes: segment.to_vec() };
            let delay = if transmit.link == LINK { self.delay } else { self.slow_delay };
            self.crossed[usize::from(transmit.link != LINK)] += segment.len() as u64;
            self.wire.insert((self.now + delay, self.sequence), flying);
        }
    }

    /// Runs until `done` or until `limit` of virtual time has passed; says whether it was done.
    pub(super) fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&Pair) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if done(self) {
                return true;
            }
            let mut next = self.wire.keys().next().map(|&(at, _)| at);
            for (index, node) in self.nodes.iter().enumerate() {
                let at = match node.next_wake() {
                    _ if self.asleep == Some(index) => None,
                    Wake::Now => Some(self.now),
                    Wake::At(at, _) => Some(at.max(self.now)),
                    Wake::Idle => None,
                };
                next = [next, at].into_iter().flatten().min();
            }
            let Some(at) = next else { return false };
            if at > end {
                self.now = end;
                return done(self);
            }
            // A node that wants to be woken at one moment for ever would stop the world.
            self.spin = if at == self.now { self.spin + 1 } else { 0 };
            assert!(self.spin < 10_000, "no progress: {:?}", self.nodes[0].next_wake());
            self.now = at;
            while let Some((&key, _)) = self.wire.iter().next()
                && key.0 <= self.now
            {
                let Some(flying) = self.wire.remove(&key) else { break };
                let from = Addr::from_u32(1 - flying.to as u32);
                self.input(flying.to, Input::Datagram { link: flying.link, from, bytes: &flying.bytes })
                    .unwrap();
            }
            for index in 0..2 {
                if self.asleep != Some(index) && self.nodes[index].next_wake().is_due(self.now) {
                    self.input(index, Input::Wake).unwrap();
                }
            }
        }
    }

    pub(super) fn is_up(&self, index: usize) -> bool {
        let other = self.id(1 - index);
        self.nodes[index].status().peers.iter().any(|peer| peer.node == Some(other) && peer.up)
    }

    pub(super) fn both_up(&self) -> bool {
        self.is_up(0) && self.is_up(1)
    }

    /// What was delivered at `index`, in order.
    pub(super) fn delivered(&self, index: usize) -> Vec<Bytes> {
        let payloads = self.events[index].iter().filter_map(|event| match event {
            Event::Message { payload, .. } => Some(payload.clone()),
            _ => None,
        });
        payloads.collect()
    }

    /// The tags whose receipt says that they were delivered.
    pub(super) fn receipts(&self, index: usize) -> Vec<u64> {
        let tags = self.events[index].iter().filter_map(|event| match event {
            Event::Receipt { tag, outcome: Outcome::Delivered, .. } => Some(*tag),
            _ => None,
        });
        tags.collect()
    }
}
