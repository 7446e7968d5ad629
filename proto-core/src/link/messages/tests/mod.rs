//! Two ends and whatever happens between them.

macro_rules! cx {
    ($end:expr) => {
        &mut Cx {
            now: $end.now,
            rng: &mut $end.rng,
            limits: &$end.limits,
            drops: &mut $end.drops,
            zoo: $end.zoo,
        }
    };
}

mod carried;
mod crash;
mod devices;
mod figures;
mod lives;
mod once;
mod routing;
mod streams;

mod room;
mod turns;

use std::collections::VecDeque;
use std::vec;
use std::vec::Vec;

use bytes::Bytes;

use super::*;
use crate::carried::{Carried, Owed};
use crate::codec::Writer;
use crate::drops::Drops;
use crate::ids::{DeviceId, NodeId};
use crate::link::frame::{Frame, Frames};
use crate::link::path::{Fate, Piece};
use crate::machine::Cx;
use crate::node::input::{Class, Send};
use crate::node::output::Refused;
use crate::params::PeerParams;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use crate::zoo::Zoo;

pub(super) fn ms(ms: u64) -> Instant {
    Instant::from_micros(ms * 1_000)
}

pub(super) fn clean(room: usize) -> PathInfo {
    PathInfo { loss_ppm: 0, srtt: Duration::from_millis(50), room, spare: false }
}

pub(super) fn params(limits: &Limits, fountain: bool) -> PeerParams {
    PeerParams {
        message_bytes: limits.message_bytes,
        receive_bytes: limits.receive_promise(),
        packet_bytes: limits.packet_bytes,
        message_window: limits.message_window,
        fountain,
        routing: true,
        gossip: true,
    }
}

/// A payload that says which message it is, whatever its size.
pub(super) fn payload(tag: u64, len: usize) -> Bytes {
    let word = tag.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    let mut bytes: Vec<u8> = (0..len).map(|at| word[at % 8] ^ (at / 8) as u8).collect();
    let tag = tag.to_le_bytes();
    let head = len.min(8);
    bytes[..head].copy_from_slice(&tag[..head]);
    Bytes::from(bytes)
}

pub(super) fn tag_of(payload: &[u8]) -> u64 {
    u64::from_le_bytes(payload[..8].try_into().unwrap())
}

/// A packet under way: its frames, and what its sender remembers of it.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) bytes: Vec<u8>,
    pub(super) pieces: Vec<Piece>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Half {
    Out,
    In,
}

/// One node's two halves with a disk and an application.
pub(super) struct End {
    pub(super) limits: Limits,
    pub(super) peer: NodeId,
    pub(super) device: DeviceId,
    pub(super) outbox: Outbox,
    pub(super) inbox: Inbox,
    pub(super) sending: Budget,
    pub(super) receiving: Budget,
    pub(super) drops: Drops,
    pub(super) rng: Rng,
    pub(super) now: Instant,
    pub(super) zoo: Zoo,
    /// Everything written, oldest first; the first `durable` records are confirmed.
    pub(super) disk: Vec<Record>,
    pub(super) durable: usize,
    pub(super) slots: VecDeque<(Half, u64)>,
    /// Writes are confirmed at once.
    pub(super) quick_disk: bool,
    pub(super) delivered: Vec<(Delivery, u64, bool, Bytes)>,
    pub(super) receipts: Vec<(u64, Outcome)>,
    pub(super) settled: Vec<(u64, bool)>,
    pub(super) waits: Vec<u64>,
    pub(super) ended: Vec<u64>,
    pub(super) for_routing: Vec<Bytes>,
}

/// The device that the other end is, unless a test says otherwise.
pub(super) const DEVICE: DeviceId = DeviceId([7; 32]);

impl End {
    pub(super) fn new(limits: Limits, peer: u8) -> End {
        let peer = NodeId([peer; 32]);
        let mut receiving = Budget::for_receiving(&limits);
        let mut inbox = Inbox::new(peer);
        inbox.connected(&mut receiving, DEVICE);
        End {
            outbox: Outbox::new(peer),
            inbox,
            device: DEVICE,
            sending: Budget::for_sending(&limits),
            receiving,
            drops: Drops::default(),
            rng: Rng::fork(&[peer.0[0]; 32], "end"),
            now: ms(1_000),
            zoo: Zoo::none(),
            disk: vec![],
            durable: 0,
            slots: VecDeque::new(),
            quick_disk: true,
            delivered: vec![],
            receipts: vec![],
            settled: vec![],
            waits: vec![],
            ended: vec![],
            for_routing: vec![],
            limits,
            peer,
        }
    }

    pub(super) fn push(
        &mut self,
        tag: u64,
        delivery: Delivery,
        class: Class,
        len: usize,
    ) -> Result<(), Refused> {
        self.push_for(tag, delivery, class, len, None)
    }

    pub(super) fn push_for(
        &mut self,
        tag: u64,
        delivery: Delivery,
        class: Class,
        len: usize,
        lifetime: Option<Duration>,
    ) -> Result<(), Refused> {
        let send = Send { to: self.peer, tag, delivery, class, lifetime, payload: payload(tag, len) };
        let result = self.outbox.push(cx!(self), &mut self.sending, send, 1_300);
        self.settle();
        result
    }

    /// Takes all actions; with a quick disk, until nothing follows from them.
    pub(super) fn settle(&mut self) {
        loop {
            while let Some(action) = self.outbox.poll() {
                match action {
                    OutboxAction::Receipt { tag, outcome } => self.receipts.push((tag, outcome)),
                    OutboxAction::Settled { tag, arrived } => self.settled.push((tag, arrived)),
                    OutboxAction::Waits { seq, .. } => self.waits.push(seq),
                    OutboxAction::Ended { seq } => self.ended.push(seq),
                    OutboxAction::Store { slot, record } => {
                        self.disk.push(record);
                        self.slots.push_back((Half::Out, slot));
                    }
                }
            }
            while let Some(action) = self.inbox.poll() {
                match action {
                    InboxAction::Deliver { delivery, seq, again, payload } => {
                        self.delivered.push((delivery, seq, again, payload));
                    }
                    InboxAction::ForRouting { payload } => self.for_routing.push(payload),
                    InboxAction::Store { slot, record } => {
                        self.disk.push(record);
                        self.slots.push_back((Half::In, slot));
                    }
                }
            }
            if !self.quick_disk || !self.confirm() {
                break;
            }
        }
        self.outbox.check();
        self.inbox.check();
    }

    /// Confirms the oldest write.
    pub(super) fn confirm(&mut self) -> bool {
        let Some((half, slot)) = self.slots.pop_front() else { return false };
        self.durable += 1;
        match half {
            Half::Out => self.outbox.on_stored(slot),
            Half::In => self.inbox.on_stored(cx!(self), &mut self.receiving, slot),
        }
        true
    }

    pub(super) fn packet(&mut self, info: &PathInfo) -> Option<Packet> {
        let mut buf = vec![0; info.room];
        let mut pieces = vec![];
        let mut w = Writer::new(&mut buf);
        let repeat = !self.outbox.has_bulk();
        let mut wrote = self.inbox.fill(&mut w, info, repeat, &mut |piece| pieces.push(piece));
        let filled =
            self.outbox.fill(cx!(self), &mut self.sending, &mut w, info, &mut |piece| pieces.push(piece));
        wrote |= filled.wrote;
        let len = w.len();
        assert_eq!(wrote, len > 0);
        buf.truncate(len);
        self.settle();
        wrote.then_some(Packet { bytes: buf, pieces })
    }

    /// Reads a packet; false when it must not be acknowledged.
    pub(super) fn receive(&mut self, packet: &[u8]) -> bool {
        let mut taken = true;
        for frame in Frames::new(packet) {
            match frame.expect("our own frames") {
                Frame::Message { header, data } => {
                    taken &= self.inbox.on_message(cx!(self), &mut self.receiving, &header, data);
                }
                Frame::Datagram(data) => self.inbox.on_datagram(cx!(self), data),
                Frame::Receipt(receipt) => self.outbox.on_receipt(self.now, &mut self.sending, &receipt),
                Frame::Floor { space, floor } => {
                    self.inbox.on_floor(cx!(self), &mut self.receiving, space, floor);
                }
                Frame::Refused { space, seq } => self.outbox.on_refused(&mut self.sending, space, seq),
                other => panic!("{other:?}"),
            }
        }
        self.settle();
        taken
    }

    pub(super) fn fate(&mut self, packet: &Packet, fate: Fate) {
        for &piece in &packet.pieces {
            self.inbox.on_fate(piece, fate);
            self.outbox.on_fate(cx!(self), &mut self.sending, piece, fate);
        }
        self.settle();
    }

    pub(super) fn wake(&mut self, now: Instant) {
        self.now = now;
        self.outbox.wake(cx!(self), &mut self.sending);
        self.inbox.wake(cx!(self), &mut self.receiving);
        self.settle();
    }

    pub(super) fn peer_restarted(&mut self) {
        self.outbox.peer_restarted(&mut self.sending);
        self.inbox.peer_restarted(&mut self.receiving);
        self.settle();
    }

    /// Loses everything in memory and the last `lost` unconfirmed writes, and starts again.
    pub(super) fn crash(&mut self, lost: usize) {
        let keep = self.disk.len() - lost.min(self.disk.len() - self.durable);
        self.disk.truncate(keep);
        self.durable = keep;
        self.slots.clear();
        let mut store = std::collections::BTreeMap::new();
        for record in &self.disk {
            match record {
                Record::Erased { key } => store.remove(key),
                other => store.insert(other.key(), other.clone()),
            };
        }
        self.waits.clear();
        self.sending = Budget::for_sending(&self.limits);
        self.receiving = Budget::for_receiving(&self.limits);
        self.outbox = Outbox::recover(cx!(self), &mut self.sending, self.peer, store.values().cloned());
        self.inbox = Inbox::recover(&self.limits, &mut self.receiving, self.peer, store.values().cloned());
        self.connected(self.device);
    }

    /// The peer's device in session is this one.
    pub(super) fn connected(&mut self, device: DeviceId) {
        self.device = device;
        self.inbox.connected(&mut self.receiving, device);
        self.settle();
    }

    pub(super) fn consume(&mut self, seq: u64) {
        self.inbox.consumed(seq);
        self.settle();
    }
}

pub(super) fn pair(limits: &Limits, fountain: bool) -> (End, End) {
    let (mut a, mut b) = (End::new(limits.clone(), 1), End::new(limits.clone(), 2));
    let params = params(limits, fountain);
    a.outbox.connected(params);
    b.outbox.connected(params);
    (a, b)
}

/// Exchanges packets without loss until both have nothing left to say; time passes when needed.
pub(super) fn exchange(a: &mut End, b: &mut End, info: &PathInfo) {
    for _ in 0..200_000 {
        let mut quiet = true;
        while let Some(packet) = a.packet(info) {
            quiet = false;
            let fate = if b.receive(&packet.bytes) { Fate::Acked } else { Fate::Lost };
            a.fate(&packet, fate);
        }
        while let Some(packet) = b.packet(info) {
            quiet = false;
            let fate = if a.receive(&packet.bytes) { Fate::Acked } else { Fate::Lost };
            b.fate(&packet, fate);
        }
        if quiet {
            return;
        }
    }
    panic!("never quiet");
}
