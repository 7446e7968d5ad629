//! A toy's messages: taken, repeated until acknowledged, written down, delivered.

use bytes::Bytes;
use proto_core::ids::{DeviceId, NodeId, Ticket};
use proto_core::node::{Class, Delivery, Event, Outcome, Refused, Send};
use proto_core::store::record::{Key, Record};
use proto_core::time::Instant;

use super::{Fault, Toy, Waiting};

impl Toy {
    pub(super) fn recover(&mut self, record: Record, now: Instant) {
        match record {
            Record::Boot { count } => self.life = count + 1,
            Record::Incoming { peer, seq, payload, .. } => {
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

    pub(super) fn send(&mut self, now: Instant, send: Send) -> Result<(), Refused> {
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

    pub(super) fn stored(&mut self, now: Instant, up_to: Ticket) {
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

    pub(super) fn acknowledged(&mut self, node: NodeId, seq: u64, stream: u16) {
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
        let outcome = if self.fault == Fault::Refuses { Outcome::Refused } else { Outcome::Delivered };
        self.event(Event::Receipt { to: node, tag: done.send.tag, outcome });
    }

    pub(super) fn message(
        &mut self,
        _now: Instant,
        at: usize,
        (kind, stream, seq): (u8, u16, u64),
        payload: Bytes,
    ) {
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
            let device = DeviceId(from.0);
            let record = Record::Incoming { peer: from, device, seq, payload: payload.clone() };
            let ticket = self.store(record);
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

    pub(super) fn stream(&mut self, at: usize, stream: u16, seq: u64, payload: Bytes) {
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
