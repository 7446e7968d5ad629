//! A toy's packets: greetings, and data under a cipher that is none.

use bytes::Bytes;
use proto_core::ids::{Addr, DeviceId, LinkId, NodeId, Ticket};
use proto_core::node::{Delivery, Event, Outcome, Output, Transmit};
use proto_core::time::Instant;

use super::{Fault, Peer, Toy};
use crate::draw::{Purpose, draw};
use crate::trace::Digest;

/// The first byte of a greeting; one of the three below is added.
const HELLO: u8 = 0x70;
pub(super) const ASK: u8 = 0;
const ANSWER: u8 = 1;
const CONFIRM: u8 = 2;

impl Toy {
    pub(super) fn hello(&mut self, peer: usize, kind: u8) {
        let mut bytes = vec![HELLO | kind];
        bytes.extend_from_slice(&self.id.0);
        bytes.extend_from_slice(&self.life.to_le_bytes());
        let segment = bytes.len();
        self.transmit(peer, bytes, segment, Ticket(1));
    }

    fn transmit(&mut self, peer: usize, bytes: Vec<u8>, segment: usize, after: Ticket) {
        let Some((link, to)) = self.peers[peer].at.filter(|(link, _)| self.links.contains_key(link)) else {
            return;
        };
        if self.durable < 1 {
            return;
        }
        let len = bytes.len();
        self.out.push_back((Output::Transmit(Transmit { link, to, len, segment, after }), bytes));
    }

    /// A data packet: 0x80, the receiver's index, a packet number of one byte, then the "sealed" rest.
    pub(super) fn packet(
        &mut self,
        to: usize,
        kind: u8,
        seq: u64,
        stream: u16,
        payload: &[u8],
        after: Ticket,
    ) {
        let peer = &mut self.peers[to];
        let Some(life) = peer.life else { return };
        if self.fault == Fault::NonceReset && peer.packets == 40 {
            peer.packets = 0;
        }
        let batch = if self.fault == Fault::OneNumber { 2 } else { 1 };
        peer.packets += batch;
        let number = peer.packets - 1;
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
        let segment = bytes.len();
        if batch > 1 {
            bytes.extend_from_within(..);
        }
        self.transmit(to, bytes, segment, after);
    }

    pub(super) fn datagram(&mut self, now: Instant, link: LinkId, from: Addr, bytes: &[u8]) {
        match bytes.first() {
            Some(first) if first & 0x80 != 0 => self.data(now, link, from, bytes),
            Some(first) if first & 0xf0 == HELLO && bytes.len() == 37 => {
                self.greeted(now, link, from, first & 0x0f, bytes);
            }
            Some(_) | None => {}
        }
    }

    pub(super) fn slot(&mut self, now: Instant, node: NodeId, link: LinkId, from: Addr) -> usize {
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

    pub(super) fn greeted(&mut self, now: Instant, link: LinkId, from: Addr, kind: u8, bytes: &[u8]) {
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

    pub(super) fn data(&mut self, now: Instant, link: LinkId, from: Addr, bytes: &[u8]) {
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
}

fn mask(bytes: &mut [u8], number: u64) {
    for (byte, n) in bytes.iter_mut().zip(0_u64..) {
        *byte ^= draw(number, Purpose::Payload, 0xdead, n / 8).to_le_bytes()[(n % 8) as usize];
    }
}
