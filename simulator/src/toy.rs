//! A small node to test the simulator with: honest by default, and wrong in one chosen way on demand.
//!
//! It greets, numbers, repeats until acknowledged, drops what it has seen, and writes durable messages
//! down, in a hundred lines and with a cipher that is none. Each [`Fault`] breaks one promise that a
//! checker guards, which is how the checkers are tested.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use proto_core::drops::Drops;
use proto_core::ids::{Addr, DeviceId, LinkId, NodeId, Ticket};
use proto_core::node::{
    Class, Command, Delivery, Event, Input, LinkState, Outcome, Output, Refused, Send, Transmit,
};
use proto_core::store::record::{Key, Record};
use proto_core::time::{Duration, Instant};
use proto_core::wake::{Reason, Wake};

use crate::draw::{Purpose, draw};
use crate::plan::Plan;
use crate::subject::{Glance, Start, Subject};
use crate::trace::Digest;

/// One promise broken on purpose. Chosen by the version range of a plan's node, since the toy has no
/// other use for it: versions `[200, n]` break promise `n`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Fault {
    /// Keeps every promise.
    None,
    /// Acknowledges durable messages before they are on disk.
    AckBeforeStore,
    /// Delivers what arrives again.
    NoDedupe,
    /// Sends the text as it is.
    Plaintext,
    /// Counts packets from zero after a thousandth of a second's pause.
    NonceReset,
    /// Signs for messages that it throws away.
    LyingReceipt,
    /// Delivers streams as they come.
    NoOrder,
    /// Answers every greeting ten times.
    Amplifies,
    /// Asks to be woken at once, for ever.
    Spins,
    /// Panics at the tenth message.
    Panics,
    /// Forgets messages instead of repeating them.
    ForgetsLost,
    /// Waits for as long as its thread's name makes it.
    Ambient,
}

const FAULTS: [Fault; 12] = [
    Fault::None,
    Fault::AckBeforeStore,
    Fault::NoDedupe,
    Fault::Plaintext,
    Fault::NonceReset,
    Fault::LyingReceipt,
    Fault::NoOrder,
    Fault::Amplifies,
    Fault::Spins,
    Fault::Panics,
    Fault::ForgetsLost,
    Fault::Ambient,
];

/// The versions that make a toy break `fault`.
#[must_use]
pub fn breaking(fault: Fault) -> Option<(u8, u8)> {
    Some((0, fault as u8))
}

const RETRY: Duration = Duration::from_millis(200);
/// The first byte of a greeting; one of the three below is added.
const HELLO: u8 = 0x70;
const ASK: u8 = 0;
const ANSWER: u8 = 1;
const CONFIRM: u8 = 2;

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
    last_packet_number: u64,
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
            last_packet_number: 0,
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
            Record::Incoming { peer, seq, payload } => {
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
            return Some(Record::Incoming { peer, seq, payload: Bytes::copy_from_slice(rest) });
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
                Command::Consumed { .. } | Command::RemovePeer(_) | Command::Shutdown | Command::Install(_),
            ) => {}
            Input::Stored { up_to } => self.stored(now, up_to),
            Input::StoreFailed => self.event(Event::StorageFailed),
            Input::Wake | Input::WallClock(_) | Input::Loaded { .. } => {}
        }
        self.work(now);
        Ok(())
    }

    fn poll(&mut self, _now: Instant, buf: &mut [u8]) -> Option<Output> {
        let (output, bytes) = self.out.pop_front()?;
        buf[..bytes.len()].copy_from_slice(&bytes);
        if let Some(number) = bytes.get(5..13).and_then(<[u8]>::first_chunk) {
            self.last_packet_number = u64::from_le_bytes(*number);
        }
        Some(output)
    }

    fn last_packet_number(&self) -> u64 {
        self.last_packet_number
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
            drops: Drops::default(),
        }
    }

    fn check(&self) {
        assert!(self.durable <= self.ticket, "what is durable was written");
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

    fn recover(&mut self, record: Record, now: Instant) {
        match record {
            Record::Boot { count } => self.life = count + 1,
            Record::Incoming { peer, seq, payload } => {
                self.seen.entry(peer).or_default().insert(seq);
                let delivery = Delivery::Durable;
                self.event(Event::Message { from: peer, delivery, seq, again: true, payload });
            }
            Record::Outgoing { peer, seq, tag, payload, .. } => self.waiting.push(Waiting {
                send: Send {
                    to: peer,
                    tag,
                    delivery: Delivery::Durable,
                    class: Class::Normal,
                    lifetime: None,
                    payload,
                },
                seq,
                next_try: now,
                after: Ticket(0),
                accepted: true,
                tried: false,
            }),
            other => unreachable!("the toy wrote no {other:?}"),
        }
    }

    fn send(&mut self, now: Instant, send: Send) -> Result<(), Refused> {
        if self.waiting.len() >= 64 {
            return Err(Refused::QueueFull);
        }
        if send.payload.len() > 1_200 {
            return Err(Refused::Oversize { limit: 1_200 });
        }
        if !self.peers.iter().any(|peer| peer.node == send.to) {
            return Err(Refused::UnknownPeer);
        }
        let mut after = Ticket(0);
        let seq = match send.delivery {
            Delivery::Stream { stream } => {
                let next = self.stream_out.entry((send.to, stream)).or_default();
                *next += 1;
                *next - 1
            }
            Delivery::Datagram | Delivery::Message | Delivery::Durable => {
                self.next_seq += 1;
                self.next_seq
            }
        };
        if send.delivery == Delivery::Durable {
            let (peer, tag, payload) = (send.to, send.tag, send.payload.clone());
            let record = Record::Outgoing { peer, seq, tag, class: send.class, lifetime_us: 0, payload };
            after = self.store(record);
        }
        self.waiting.push(Waiting { send, seq, next_try: now, after, accepted: false, tried: false });
        self.work(now);
        Ok(())
    }

    fn stored(&mut self, now: Instant, up_to: Ticket) {
        self.durable = up_to.0;
        for peer in self.peers.iter_mut().filter(|peer| peer.life.is_none()) {
            peer.next_try = now;
        }
        let accepted: Vec<(NodeId, u64)> = self
            .waiting
            .iter_mut()
            .filter(|w| w.send.delivery == Delivery::Durable && !w.accepted && w.after <= up_to)
            .map(|w| {
                w.accepted = true;
                w.next_try = now;
                (w.send.to, w.send.tag)
            })
            .collect();
        for (to, tag) in accepted {
            self.event(Event::Receipt { to, tag, outcome: Outcome::Accepted });
        }
        let done: Vec<u64> = self.storing.range(..=up_to.0).map(|(ticket, _)| *ticket).collect();
        for ticket in done {
            if let Some((peer, seq, payload)) = self.storing.remove(&ticket) {
                let from = self.peers[peer].node;
                self.event(Event::Message { from, delivery: Delivery::Durable, seq, again: false, payload });
                self.packet(peer, 3, seq, 0, &[], Ticket(ticket));
            }
        }
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

    fn hello(&mut self, peer: usize, kind: u8) {
        let mut bytes = vec![HELLO | kind];
        bytes.extend_from_slice(&self.id.0);
        bytes.extend_from_slice(&self.life.to_le_bytes());
        self.transmit(peer, bytes, Ticket(1));
    }

    fn transmit(&mut self, peer: usize, bytes: Vec<u8>, after: Ticket) {
        let Some((link, to)) = self.peers[peer].at.filter(|(link, _)| self.links.contains_key(link)) else {
            return;
        };
        if self.durable < 1 {
            return;
        }
        let (len, segment) = (bytes.len(), bytes.len());
        self.out.push_back((Output::Transmit(Transmit { link, to, len, segment, after }), bytes));
    }

    /// A data packet: 0x80, the receiver's index, a packet number of one byte, then the "sealed" rest.
    fn packet(&mut self, to: usize, kind: u8, seq: u64, stream: u16, payload: &[u8], after: Ticket) {
        let peer = &mut self.peers[to];
        let Some(life) = peer.life else { return };
        if self.fault == Fault::NonceReset && peer.packets == 40 {
            peer.packets = 0;
        }
        let number = peer.packets;
        peer.packets += 1;
        let mut bytes = vec![0x80, life as u8, self.life as u8, 0, number as u8];
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(&self.id.0);
        bytes.extend_from_slice(&self.life.to_le_bytes());
        bytes.extend_from_slice(&life.to_le_bytes());
        let body = bytes.len();
        bytes.push(kind);
        bytes.extend_from_slice(&stream.to_le_bytes());
        bytes.extend_from_slice(&seq.to_le_bytes());
        bytes.extend_from_slice(payload);
        if self.fault != Fault::Plaintext {
            mask(&mut bytes[body..], number);
        }
        let mut sum = Digest::default();
        sum.bytes(&bytes);
        bytes.extend_from_slice(&sum.get().to_le_bytes());
        self.transmit(to, bytes, after);
    }

    fn datagram(&mut self, now: Instant, link: LinkId, from: Addr, bytes: &[u8]) {
        match bytes.first() {
            Some(first) if first & 0x80 != 0 => self.data(now, link, from, bytes),
            Some(first) if first & 0xf0 == HELLO && bytes.len() == 37 => {
                self.greeted(now, link, from, first & 0x0f, bytes);
            }
            Some(_) | None => {}
        }
    }

    fn slot(&mut self, now: Instant, node: NodeId, link: LinkId, from: Addr) -> usize {
        match self.peers.iter().position(|peer| peer.node == node) {
            Some(at) => at,
            None => {
                self.peers.push(Peer {
                    node,
                    at: Some((link, from)),
                    ours: false,
                    life: None,
                    next_try: now,
                    packets: 0,
                });
                self.peers.len() - 1
            }
        }
    }

    fn greeted(&mut self, now: Instant, link: LinkId, from: Addr, kind: u8, bytes: &[u8]) {
        let Some((id, life)) = bytes[1..].split_first_chunk::<32>() else { return };
        let Ok(life) = life.try_into().map(u32::from_le_bytes) else { return };
        let node = NodeId(*id);
        if node == self.id {
            return;
        }
        let at = self.slot(now, node, link, from);
        let peer = &mut self.peers[at];
        if peer.life.is_some_and(|known| known > life) {
            return;
        }
        if *peer.at.get_or_insert((link, from)) != (link, from) {
            return;
        }
        if kind == ASK {
            // Nothing is believed before the address has shown that it receives.
            for _ in 0..if self.fault == Fault::Amplifies { 10 } else { 1 } {
                self.hello(at, ANSWER);
            }
            return;
        }
        let restarted = peer.life.is_some_and(|known| known < life);
        let new = peer.life != Some(life);
        peer.life = Some(life);
        if new {
            self.event(Event::PeerUp { node, device: DeviceId([0; 32]), restarted, version: 1 });
        }
        if restarted {
            // What was under way to the memory that is gone has an unknown fate.
            let lost: Vec<u64> = self
                .waiting
                .iter()
                .filter(|w| w.send.to == node && w.tried)
                .filter(|w| w.send.delivery != Delivery::Durable)
                .map(|w| w.send.tag)
                .collect();
            self.waiting.retain(|w| !lost.contains(&w.send.tag));
            for tag in lost {
                self.event(Event::Receipt { to: node, tag, outcome: Outcome::Uncertain });
            }
            self.stream_out.retain(|(to, _), _| *to != node);
            self.next_in_stream.retain(|(from, _), _| *from != node);
            self.held.retain(|(from, _), _| *from != node);
        }
        if kind == ANSWER {
            self.hello(at, CONFIRM);
        }
    }

    fn data(&mut self, now: Instant, link: LinkId, from: Addr, bytes: &[u8]) {
        let Some((sealed, sum)) = bytes.split_last_chunk::<8>() else { return };
        let mut expected = Digest::default();
        expected.bytes(sealed);
        if expected.get() != u64::from_le_bytes(*sum) || sealed.len() < 64 {
            return;
        }
        let number = u64::from_le_bytes(sealed[5..13].try_into().unwrap_or_default());
        let node = NodeId(sealed[13..45].try_into().unwrap_or_default());
        let their = u32::from_le_bytes(sealed[45..49].try_into().unwrap_or_default());
        let mine = u32::from_le_bytes(sealed[49..53].try_into().unwrap_or_default());
        if node == self.id {
            return;
        }
        let at = self.slot(now, node, link, from);
        if mine != self.life || self.peers[at].life != Some(their) {
            return self.hello(at, ASK);
        }
        let mut body = sealed[53..].to_vec();
        if self.fault != Fault::Plaintext {
            mask(&mut body, number);
        }
        let stream = u16::from_le_bytes([body[1], body[2]]);
        let seq = u64::from_le_bytes(body[3..11].try_into().unwrap_or_default());
        let payload = Bytes::copy_from_slice(&body[11..]);
        self.heard += 1;
        assert!(self.fault != Fault::Panics || self.heard < 10, "the tenth message");
        match body[0] {
            3 => self.acknowledged(node, seq, stream),
            kind => self.message(now, at, (kind, stream, seq), payload),
        }
    }

    fn acknowledged(&mut self, node: NodeId, seq: u64, stream: u16) {
        let fits = |w: &Waiting| {
            let same = match w.send.delivery {
                Delivery::Stream { stream: mine } => mine + 1 == stream,
                Delivery::Datagram | Delivery::Message | Delivery::Durable => stream == 0,
            };
            w.send.to == node && w.seq == seq && same
        };
        let Some(at) = self.waiting.iter().position(fits) else { return };
        let done = self.waiting.remove(at);
        if done.send.delivery == Delivery::Durable {
            self.store(Record::Erased { key: Key::Outgoing(node, seq) });
        }
        self.event(Event::Receipt { to: node, tag: done.send.tag, outcome: Outcome::Delivered });
    }

    fn message(&mut self, _now: Instant, at: usize, (kind, stream, seq): (u8, u16, u64), payload: Bytes) {
        let from = self.peers[at].node;
        if kind == 4 {
            return self.stream(at, stream, seq, payload);
        }
        let delivery = match kind {
            0 => Delivery::Datagram,
            1 => Delivery::Message,
            _ => Delivery::Durable,
        };
        if self.storing.values().any(|(peer, other, _)| (*peer, *other) == (at, seq)) {
            return;
        }
        let fresh = self.seen.entry(from).or_default().insert(seq) || self.fault == Fault::NoDedupe;
        if fresh && kind == 2 {
            let ticket = self.store(Record::Incoming { peer: from, seq, payload: payload.clone() });
            self.storing.insert(ticket.0, (at, seq, payload));
            if self.fault == Fault::AckBeforeStore {
                self.packet(at, 3, seq, 0, &[], ticket);
            }
            return;
        }
        if fresh && self.fault != Fault::LyingReceipt {
            self.event(Event::Message { from, delivery, seq, again: false, payload });
        }
        if kind != 0 {
            self.packet(at, 3, seq, 0, &[], Ticket(1));
        }
    }

    fn stream(&mut self, at: usize, stream: u16, seq: u64, payload: Bytes) {
        let from = self.peers[at].node;
        let key = (from, stream);
        let next = self.next_in_stream.entry(key).or_default();
        let mut ready = Vec::new();
        if seq >= *next {
            self.held.entry(key).or_default().insert(seq, payload);
        }
        if let Some(held) = self.held.get_mut(&key) {
            while let Some((&first, _)) = held.first_key_value() {
                if first != *next && self.fault != Fault::NoOrder {
                    break;
                }
                *next = (*next).max(first + 1);
                ready.extend(held.pop_first());
            }
        }
        for (seq, payload) in ready {
            self.event(Event::Message {
                from,
                delivery: Delivery::Stream { stream },
                seq,
                again: false,
                payload,
            });
        }
        // Acknowledged as stream + 1, to tell it from messages.
        if self.next_in_stream.get(&key).is_some_and(|next| seq < *next) {
            self.packet(at, 3, seq, stream + 1, &[], Ticket(1));
        }
    }
}

fn mask(bytes: &mut [u8], number: u64) {
    for (byte, n) in bytes.iter_mut().zip(0_u64..) {
        *byte ^= draw(number, Purpose::Payload, 0xdead, n / 8).to_le_bytes()[(n % 8) as usize];
    }
}
