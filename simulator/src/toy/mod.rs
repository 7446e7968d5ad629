//! A small node to test the simulator with: honest by default, and wrong in one chosen way on demand.
//!
//! It greets, numbers, repeats until acknowledged, drops what it has seen, and writes durable messages
//! down, in a few hundred lines and with a cipher that is none. Each [`Fault`] breaks one promise that a
//! checker guards, which is how the checkers are tested.

mod fault;
mod messages;
mod wire;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use proto_core::drops::Drops;
use proto_core::ids::{Addr, DeviceId, LinkId, NodeId, Ticket};
use proto_core::node::{Class, Command, Delivery, Event, Input, LinkState, Output, Refused, Send, UsedNonce};
use proto_core::store::record::Record;
use proto_core::time::{Duration, Instant};
use proto_core::wake::{Reason, Wake};

use crate::draw::{Purpose, draw};
use crate::plan::Plan;
use crate::subject::{Glance, Start, Subject};
use crate::trace::Digest;

use fault::FAULTS;
pub use fault::{Fault, breaking};
use wire::ASK;

const RETRY: Duration = Duration::from_millis(200);

#[derive(Debug)]
struct Peer {
    node: NodeId,
    at: Option<(LinkId, Addr)>,
    ours: bool,
    /// The start count that it last showed.
    life: Option<u32>,
    next_try: Instant,
    packets: u64,
}

#[derive(Debug)]
struct Waiting {
    send: Send,
    seq: u64,
    next_try: Instant,
    /// The durable record it waits for.
    after: Ticket,
    accepted: bool,
    tried: bool,
}

/// See the module's header.
#[derive(Debug)]
pub struct Toy {
    id: NodeId,
    life: u32,
    fault: Fault,
    links: BTreeMap<LinkId, Addr>,
    peers: Vec<Peer>,
    waiting: Vec<Waiting>,
    seen: BTreeMap<NodeId, BTreeSet<u64>>,
    /// Durable messages on their way to the disk, by ticket.
    storing: BTreeMap<u64, (usize, u64, Bytes)>,
    held: BTreeMap<(NodeId, u16), BTreeMap<u64, Bytes>>,
    next_in_stream: BTreeMap<(NodeId, u16), u64>,
    stream_out: BTreeMap<(NodeId, u16), u64>,
    next_seq: u64,
    ticket: u64,
    durable: u64,
    out: VecDeque<(Output, Vec<u8>)>,
    heard: u64,
    last_nonce: UsedNonce,
}

impl Subject for Toy {
    type Cast = u64;

    fn cast(plan: &Plan) -> Result<u64, String> {
        Ok(plan.seed)
    }

    fn node_id(cast: &u64, node: u32) -> NodeId {
        let mut id = [0; 32];
        for (word, n) in id.chunks_mut(8).zip(0..) {
            word.copy_from_slice(&draw(*cast, Purpose::Identity, u64::from(node), n).to_le_bytes());
        }
        NodeId(id)
    }

    fn key(_cast: &u64, _node: u32) -> Option<[u8; 32]> {
        None
    }

    fn boot(cast: &u64, start: Start<'_>) -> Result<Toy, String> {
        let mut toy = Toy {
            id: Self::node_id(cast, start.node),
            life: 1,
            fault: FAULTS[usize::from(start.versions.map_or(0, |(_, fault)| fault)) % FAULTS.len()],
            links: BTreeMap::new(),
            peers: Vec::new(),
            waiting: Vec::new(),
            seen: BTreeMap::new(),
            storing: BTreeMap::new(),
            held: BTreeMap::new(),
            next_in_stream: BTreeMap::new(),
            stream_out: BTreeMap::new(),
            next_seq: 0,
            ticket: 0,
            durable: 0,
            out: VecDeque::new(),
            heard: 0,
            last_nonce: UsedNonce::default(),
        };
        for record in start.records {
            toy.recover(record, start.now);
        }
        // Numbers are never used again: each start has its own range.
        toy.next_seq = u64::from(toy.life) << 32;
        toy.store(Record::Boot { count: toy.life });
        Ok(toy)
    }

    fn encode(record: &Record) -> Vec<u8> {
        let mut bytes = match record {
            Record::Boot { count } => [vec![0], count.to_le_bytes().to_vec()].concat(),
            Record::Outgoing { peer, seq, tag, payload, .. } => {
                [&[1][..], &peer.0, &seq.to_le_bytes(), &tag.to_le_bytes(), payload].concat()
            }
            Record::Incoming { peer, seq, payload, .. } => {
                [&[2][..], &peer.0, &seq.to_le_bytes(), payload].concat()
            }
            other => unreachable!("the toy writes no {other:?}"),
        };
        let mut sum = Digest::default();
        sum.bytes(&bytes);
        bytes.extend_from_slice(&sum.get().to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Record> {
        let (body, sum) = bytes.split_last_chunk::<8>()?;
        let mut expected = Digest::default();
        expected.bytes(body);
        if expected.get() != u64::from_le_bytes(*sum) {
            return None;
        }
        let (kind, rest) = body.split_first()?;
        if *kind == 0 {
            return Some(Record::Boot { count: u32::from_le_bytes(rest.try_into().ok()?) });
        }
        let (peer, rest) = rest.split_first_chunk::<32>()?;
        let (seq, rest) = rest.split_first_chunk::<8>()?;
        let (peer, seq) = (NodeId(*peer), u64::from_le_bytes(*seq));
        if *kind == 2 {
            let payload = Bytes::copy_from_slice(rest);
            return Some(Record::Incoming { peer, device: DeviceId(peer.0), seq, payload });
        }
        let (tag, rest) = rest.split_first_chunk::<8>()?;
        let (tag, payload) = (u64::from_le_bytes(*tag), Bytes::copy_from_slice(rest));
        Some(Record::Outgoing { peer, seq, tag, class: Class::Normal, lifetime_us: 0, payload })
    }

    fn handle(&mut self, now: Instant, input: Input<'_>) -> Result<(), Refused> {
        match input {
            Input::Datagram { link, from, bytes } => self.datagram(now, link, from, bytes),
            Input::LinkChanged { link, state: LinkState::Up(info) } => {
                self.links.insert(link, info.local);
            }
            Input::LinkChanged { link, state: LinkState::Down } => {
                self.links.retain(|known, _| *known != link)
            }
            Input::Command(Command::AddPeer(spec)) => {
                let Some(node) = spec.node else { return Err(Refused::UnknownPeer) };
                let at = spec.endpoints.first().copied();
                self.peers.push(Peer { node, at, ours: true, life: None, next_try: now, packets: 0 });
            }
            Input::Command(Command::Send(send)) => return self.send(now, send),
            Input::Command(
                Command::Consumed { .. }
                | Command::RemovePeer(_)
                | Command::RemoveEndpoint { .. }
                | Command::Shutdown
                | Command::Gossip(_)
                | Command::Install(_),
            ) => {}
            Input::Stored { up_to } => self.stored(now, up_to),
            Input::StoreFailed => self.event(Event::StorageFailed),
            Input::Wake | Input::WallClock(_) | Input::AirFree { .. } | Input::Loaded { .. } => {}
        }
        self.work(now);
        Ok(())
    }

    fn poll(&mut self, _now: Instant, buf: &mut [u8]) -> Option<Output> {
        let (output, bytes) = self.out.pop_front()?;
        buf[..bytes.len()].copy_from_slice(&bytes);
        if let (Output::Transmit(transmit), Some(number)) =
            (&output, bytes.get(5..13).and_then(<[u8]>::first_chunk))
        {
            // A toy's key is what the two say of their lives, and who they are.
            let mut name = Digest::default();
            name.bytes(&bytes[1..4]);
            name.bytes(transmit.to.as_bytes());
            self.last_nonce = UsedNonce { key_name: name.get(), number: u64::from_le_bytes(*number) };
        }
        Some(output)
    }

    fn last_nonce(&self) -> UsedNonce {
        self.last_nonce
    }

    fn next_wake(&self) -> Wake {
        if self.fault == Fault::Spins && self.heard > 3 {
            return Wake::Now;
        }
        let hello = |peer: &&Peer| peer.ours && peer.life.is_none();
        let tries = self.peers.iter().filter(hello).map(|peer| peer.next_try);
        let sends = self
            .waiting
            .iter()
            .filter(|w| w.after.0 <= self.durable && self.knows(w.send.to))
            .map(|w| w.next_try);
        tries.chain(sends).min().map_or(Wake::Idle, |at| Wake::At(at, Reason::LossDetection))
    }

    fn glance(&self) -> Glance {
        Glance {
            sessions: self.peers.iter().filter(|peer| peer.life.is_some()).count() as u32,
            unsent_messages: self.waiting.len() as u64,
            held_bytes: self.held.values().flat_map(BTreeMap::values).map(|held| held.len() as u64).sum(),
            routing_bytes: 0,
            drops: Drops::default(),
        }
    }

    fn check(&self) {
        assert!(self.durable <= self.ticket, "what is durable was written");
        assert!(self.fault != Fault::Unsound || self.heard < 10, "it is unsound");
    }
}

impl Toy {
    fn knows(&self, node: NodeId) -> bool {
        self.peers.iter().any(|peer| peer.node == node && peer.life.is_some())
    }

    fn event(&mut self, event: Event) {
        self.out.push_back((Output::Event(event), Vec::new()));
    }

    fn store(&mut self, record: Record) -> Ticket {
        self.ticket += 1;
        let ticket = Ticket(self.ticket);
        self.out.push_back((Output::Store { ticket, record }, Vec::new()));
        ticket
    }

    /// How long to wait before the next try.
    fn retry(&self) -> Duration {
        if self.fault != Fault::Ambient {
            return RETRY;
        }
        // A thread's name is no input of the run.
        let name = std::thread::current().name().map_or(0, str::len);
        Duration::from_micros(RETRY.as_micros() + name as u64)
    }

    /// Sends whatever is due.
    fn work(&mut self, now: Instant) {
        let retry = self.retry();
        for at in 0..self.peers.len() {
            let peer = &mut self.peers[at];
            if peer.ours && peer.life.is_none() && peer.next_try <= now {
                peer.next_try = now + retry;
                self.hello(at, ASK);
            }
        }
        for at in 0..self.waiting.len() {
            let (to, due) = (self.waiting[at].send.to, self.waiting[at].next_try <= now);
            let ready = self.waiting[at].after.0 <= self.durable;
            let Some(peer) = self.peers.iter().position(|peer| peer.node == to && peer.life.is_some()) else {
                continue;
            };
            if !due || !ready || (self.fault == Fault::ForgetsLost && self.waiting[at].tried) {
                if due {
                    self.waiting[at].next_try = now + retry;
                }
                continue;
            }
            let waiting = &mut self.waiting[at];
            waiting.next_try = now + retry;
            waiting.tried = true;
            let (kind, stream) = match waiting.send.delivery {
                Delivery::Datagram => (0, 0),
                Delivery::Message => (1, 0),
                Delivery::Stream { stream } => (4, stream),
                Delivery::Durable => (2, 0),
            };
            let (seq, payload, after) = (waiting.seq, waiting.send.payload.clone(), waiting.after);
            self.packet(peer, kind, seq, stream, &payload, after);
        }
        self.waiting.retain(|w| w.send.delivery != Delivery::Datagram || !w.tried);
    }
}
