//! Our engine: two nodes in memory, with their own clock.

use std::time::Instant as Clock;

use bytes::Bytes;
use proto_core::crypto::secret::Secret;
use proto_core::crypto::sign::Verifier;
use proto_core::identity::{DeviceSecrets, Genesis, LocalIdentity, Network, RootKey, Validity};
use proto_core::ids::{Addr, LinkId, NodeId};
use proto_core::limits::Limits;
use proto_core::node::{
    Boot, Class, Command, Delivery, Event, Input, LinkInfo, LinkState, Medium, Node, Output, PeerSpec, Send,
    VERSIONS,
};
use proto_core::time::{Duration, Instant};
use proto_core::wake::Wake;
use proto_core::zoo::Zoo;

use crate::measure::Subject;

const LINK: LinkId = LinkId(0);
/// Datagrams handed over at once, here and to the other engines: what a shell reads from a socket in one
/// call (tokio's and quinn's shells take 32).
pub(crate) const BATCH: u64 = 128;
/// One way, in the pair's own time.
const DELAY: Duration = Duration::from_micros(500);

struct Side {
    node: Node,
    outbox: Vec<Vec<u8>>,
    /// Buffers of packets that have arrived, to be used again.
    spare: Vec<Vec<u8>>,
    up: bool,
    received: u64,
    finished: u64,
}

struct Pair {
    sides: [Side; 2],
    keys: [[u8; 32]; 2],
    now: Instant,
    buf: Vec<u8>,
}

fn identity(number: u8) -> LocalIdentity {
    let secrets = DeviceSecrets::new(&Secret::new([number | 0x40; 32]), &Secret::new([number | 0x80; 32]));
    let root = RootKey::new(&Secret::new([number; 32]));
    let certificate = root.certify(secrets.sign.public(), secrets.dh.public(), 1, Validity::ALWAYS);
    LocalIdentity::new(secrets, certificate).expect("certified")
}

fn network() -> Network {
    let genesis = Genesis {
        name: "bench".to_owned(),
        authorities: Vec::new(),
        threshold: 0,
        closed: false,
        parameters: Vec::new(),
        salt: [0; 16],
    };
    Network::open(genesis.encode().expect("a short name")).expect("our own network")
}

impl Pair {
    fn new(seed: u8) -> Pair {
        let identities = [identity(1), identity(2)];
        let keys = [0, 1].map(|index: usize| identities[index].secrets().dh.public());
        let mut number = 0;
        let sides = identities.map(|identity| {
            number += 1;
            Side::new(identity, seed, number)
        });
        Pair { sides, keys, now: Instant::ZERO, buf: vec![0; 65_536] }
    }

    fn id(&self, index: usize) -> NodeId {
        self.sides[index].node.id()
    }

    fn connect(&mut self) {
        let spec = PeerSpec {
            node: Some(self.id(1)),
            key: Some(self.keys[1]),
            endpoints: vec![(LINK, Addr::from_u32(2))],
        };
        self.sides[0].command(self.now, Command::AddPeer(spec));
        self.run_until(|pair| pair.sides.iter().all(|side| side.up));
    }

    fn run_until(&mut self, done: impl Fn(&Pair) -> bool) {
        while !done(self) {
            self.turn();
        }
    }

    /// Everything that lies on the wire arrives, and what follows is done.
    fn turn(&mut self) {
        let next = self.sides.iter().map(|side| side.node.next_wake()).min();
        let quiet = self.sides.iter().all(|side| side.outbox.is_empty());
        self.now = match next {
            Some(Wake::At(at, _)) if quiet => at.max(self.now + Duration::from_micros(1)),
            _ => self.now + DELAY,
        };
        for from in 0..2 {
            let mut packets = std::mem::take(&mut self.sides[from].outbox);
            let addr = Addr::from_u32(from as u32 + 1);
            let to = &mut self.sides[1 - from];
            for packet in &packets {
                let input = Input::Datagram { link: LINK, from: addr, bytes: packet };
                to.node.handle(self.now, input).expect("datagrams are not refused");
                to.drain(self.now, &mut self.buf);
            }
            self.sides[from].spare.append(&mut packets);
        }
        for side in &mut self.sides {
            if side.node.next_wake().is_due(self.now) {
                side.node.handle(self.now, Input::Wake).expect("a wake is not refused");
            }
            side.drain(self.now, &mut self.buf);
        }
    }

    fn send(&mut self, delivery: Delivery, payload: &Bytes, count: u64) {
        let to = self.id(1);
        for tag in 0..count {
            let payload = payload.clone();
            let send = Send { to, tag, delivery, class: Class::Normal, lifetime: None, payload };
            self.sides[0].command(self.now, Command::Send(send));
        }
        self.sides[0].drain(self.now, &mut self.buf);
    }
}

impl Side {
    fn new(identity: LocalIdentity, seed: u8, number: u8) -> Side {
        let boot =
            Boot { identity, network: network(), records: Vec::new(), versions: VERSIONS, zoo: Zoo::none(), verifier: Verifier::default() };
        let mut node =
            Node::new(boot, [seed ^ number; 32], Limits::SERVER, Instant::ZERO).expect("valid limits");
        let info = LinkInfo {
            medium: Medium::PointToPoint,
            mtu: 1_400,
            rate_bps: None,
            delay: DELAY,
            cost: 0,
            segments: 1,
            local: Addr::from_u32(u32::from(number)),
            air: None, beacons: false };
        let up = Input::LinkChanged { link: LINK, state: LinkState::Up(info) };
        node.handle(Instant::ZERO, up).expect("a fine link");
        let mut side =
            Side { node, outbox: Vec::new(), spare: Vec::new(), up: false, received: 0, finished: 0 };
        side.drain(Instant::ZERO, &mut [0; 2_048]);
        side
    }

    fn command(&mut self, now: Instant, command: Command) {
        self.node.handle(now, Input::Command(command)).expect("there is room");
    }

    fn drain(&mut self, now: Instant, buf: &mut [u8]) {
        while let Some(output) = self.node.poll(now, buf) {
            match output {
                Output::Transmit(transmit) => {
                    for datagram in buf[..transmit.len].chunks(transmit.segment) {
                        let mut packet = self.spare.pop().unwrap_or_default();
                        packet.clear();
                        packet.extend_from_slice(datagram);
                        self.outbox.push(packet);
                    }
                }
                Output::Store { ticket, .. } => {
                    self.node.handle(now, Input::Stored { up_to: ticket }).expect("never refused");
                }
                Output::Event(Event::PeerUp { .. }) => self.up = true,
                Output::Event(Event::Message { .. }) => self.received += 1,
                Output::Event(Event::Receipt { .. }) => self.finished += 1,
                Output::Event(_) | Output::Load { .. } => {}
            }
        }
    }
}

/// Datagrams of 1,200 bytes from one side to the other, acknowledgements included.
pub(crate) fn datagrams(name: &'static str) -> Subject {
    let mut pair = Pair::new(1);
    pair.connect();
    let payload = Bytes::from(vec![7; 1_200]);
    Subject::simple(name, move || {
        let before = pair.sides[1].received;
        pair.send(Delivery::Datagram, &payload, BATCH);
        // A datagram that waits too long is dropped: a rate that counts only arrivals is honest.
        let limit = pair.now + Duration::from_millis(200);
        while pair.sides[1].received < before + BATCH && pair.now < limit {
            pair.turn();
        }
        pair.sides[1].received - before
    })
}

/// Messages of 64 bytes, each until its receipt is back.
pub(crate) fn messages(name: &'static str) -> Subject {
    let mut pair = Pair::new(2);
    pair.connect();
    let payload = Bytes::from(vec![7; 64]);
    Subject::simple(name, move || {
        let goal = pair.sides[0].finished + 1_000;
        pair.send(Delivery::Message, &payload, 1_000);
        pair.run_until(|pair| pair.sides[0].finished >= goal);
        1_000
    })
}

/// Full handshakes, both sides, from the command to the events, certificates verified.
pub(crate) fn handshakes(name: &'static str) -> Subject {
    let mut seed = 0u8;
    Subject::new(name, move || {
        let mut pairs: Vec<Pair> = (0..8)
            .map(|_| {
                seed = seed.wrapping_add(4);
                Pair::new(seed)
            })
            .collect();
        let begun = Clock::now();
        pairs.iter_mut().for_each(Pair::connect);
        (8, begun.elapsed())
    })
}
