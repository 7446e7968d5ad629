//! The way out: what the shell is to do next, and datagrams built and sealed where they leave.

use bytes::Bytes;

use crate::codec::Writer;
use crate::crypto::aead::TAG_LEN;
use crate::drops::Drop;
use crate::ids::{Addr, LinkId, PeerSlot, Ticket};
use crate::link::{Intent, frame};
use crate::node::Node;
use crate::node::air::Call;
use crate::node::output::{Output, Transmit, UsedNonce};
use crate::time::Instant;

/// Less than the smallest MTU of any link holds no packet.
const MIN_BUFFER: usize = 64;

impl Node {
    /// The next thing for the shell to do. Datagrams are written to `buf`, which must hold the largest
    /// MTU of any link, or `limits.packet_bytes` where that is less. Packets of a handshake that are larger
    /// are dropped and counted ([`Drop::BufferTooSmall`]), so that no session may begin; all others are
    /// made to fit, and nothing is sent from fewer than 64 bytes.
    ///
    /// Stores come first, then events, then datagrams. `None` means: nothing before the next input
    /// or [`Node::next_wake`].
    pub fn poll(&mut self, now: Instant, buf: &mut [u8]) -> Option<Output> {
        loop {
            if let Some((ticket, record)) = self.gate.poll() {
                return Some(Output::Store { ticket, record });
            }
            if let Some(event) = self.events.pop_front() {
                self.event_bytes -= event.payload_bytes();
                return Some(Output::Event(event));
            }
            if self.backlog {
                self.settle(now);
                self.take_relayed(now);
                if self.has_output() || self.can_settle() {
                    continue;
                }
            }
            if !self.may_transmit {
                return None;
            }
            if let Some(transmit) = self.finished_packet(now, buf) {
                return Some(Output::Transmit(transmit));
            }
            match self.call_or_packet(now, buf) {
                Some(transmit) => return Some(Output::Transmit(transmit)),
                None if self.has_output() || self.can_settle() => {}
                None => return None,
            }
        }
    }

    /// Something for the shell, datagrams apart.
    fn has_output(&self) -> bool {
        !self.events.is_empty() || self.gate.has_outgoing()
    }

    /// Tells a peer in session that it ends, once and unacknowledged: who does not hear it finds out by
    /// the silence, or by the answer to its next packet.
    pub(super) fn say_goodbye(&mut self, now: Instant, peer: PeerSlot, reason: u8) {
        let mut cx = super::cx(now, &mut self.links_rng, &self.limits, &mut self.drops, self.zoo);
        let Some(intent) = self.links.farewell(&cx, peer) else { return };
        if self.sealed_before.len() >= self.limits.outputs as usize {
            return;
        }
        let mut buf = [0; MIN_BUFFER];
        let (path, acked) = (intent.path, intent.largest_acked);
        let header = self.sessions.header_len(peer, path, acked);
        let Some(payload) = buf.get_mut(header..MIN_BUFFER - TAG_LEN) else { return };
        let mut writer = Writer::new(payload);
        if frame::write_close(&mut writer, reason).is_err() {
            return;
        }
        let len = writer.len();
        cx = super::cx(now, &mut self.sessions_rng, &self.limits, &mut self.drops, self.zoo);
        if let Some(sealed) = self.sessions.seal(&mut cx, peer, path, acked, &mut buf, len)
            && let Some(packet) = buf.get(..sealed.len)
        {
            let nonce = UsedNonce { key_name: sealed.key_name, number: sealed.packet_number };
            self.queue((intent.link, intent.addr, Bytes::copy_from_slice(packet), nonce));
        }
    }

    /// A packet of the handshake or a goodbye.
    fn finished_packet(&mut self, now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        loop {
            let (link, to, packet, nonce) = self.sealed_before.pop_front()?;
            if link == LinkId::MESH {
                self.last_nonce = nonce;
                self.send_by_mesh(now, to, packet);
                self.settle(now);
                continue;
            }
            if let Some(place) = buf.get_mut(..packet.len()) {
                place.copy_from_slice(&packet);
                let len = packet.len();
                self.last_nonce = nonce;
                return Some(Transmit { link, to, len, segment: len, after: self.boot_ticket });
            }
            self.drops.count(Drop::BufferTooSmall);
        }
    }

    /// On radios handshakes and data take turns.
    fn call_or_packet(&mut self, now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        if core::mem::take(&mut self.calls.had_turn)
            && let Some(transmit) = self.sealed_packet(now, buf)
        {
            return Some(transmit);
        }
        if self.has_output() || self.backlog {
            return None;
        }
        self.call(now, buf).or_else(|| self.sealed_packet(now, buf))
    }

    /// A packet of a handshake, or a goodbye, for a radio.
    fn call(&mut self, now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        loop {
            let links = &self.links;
            let (link, to, packet, nonce) = self.calls.pop(|link| links.air_opens(link).is_due(now))?;
            // The parts of one go together.
            self.calls.had_turn = !self.calls.goes_on(link, to);
            if let Some(place) = buf.get_mut(..packet.len()) {
                place.copy_from_slice(&packet);
                let len = packet.len();
                self.links.spend_air(now, link, len);
                self.last_nonce = nonce;
                return Some(Transmit { link, to, len, segment: len, after: self.boot_ticket });
            }
            self.drops.count(Drop::BufferTooSmall);
        }
    }

    /// A packet of a handshake waits for its turn. Before the start is on disk nothing leaves. Handshakes are repeated: the newest count.
    pub(super) fn queue_handshake(&mut self, link: LinkId, to: Addr, packet: Bytes) {
        if !self.may_transmit && self.sealed_before.len() >= self.limits.outputs as usize {
            self.sealed_before.pop_front();
        }
        self.queue((link, to, packet, UsedNonce::default()));
    }

    /// A finished packet waits for its turn.
    pub(super) fn queue(&mut self, packet: Call) {
        if self.link_infos.get(&packet.0).is_some_and(|info| info.air.is_some() && packet.0 != LinkId::MESH) {
            self.calls.push(&self.limits, packet);
        } else {
            self.sealed_before.push_back(packet);
        }
    }

    /// Builds and seals the next datagram, and as many of the same size behind it as the link takes
    /// in one call.
    fn sealed_packet(&mut self, now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        if buf.len() < MIN_BUFFER {
            return None;
        }
        loop {
            let mut cx = super::cx(now, &mut self.links_rng, &self.limits, &mut self.drops, self.zoo);
            let intent = self.links.next_packet(&mut cx)?;
            let Some((len, after)) = self.build_and_seal(now, &intent, buf) else { continue };
            if intent.link == LinkId::MESH {
                if let Some(since) = self.links.owes_since(intent.peer, intent.path) {
                    self.is_unanswered(now, intent.addr, Some(since), true);
                }
                let packet = Bytes::copy_from_slice(buf.get(..len).unwrap_or(&[]));
                self.send_by_mesh(now, intent.addr, packet);
                self.settle(now);
                if self.has_output() || self.backlog {
                    return None;
                }
                continue;
            }
            let mut transmit = Transmit {
                link: intent.link,
                to: intent.addr,
                len,
                segment: len,
                after: self.boot_ticket.max(after),
            };
            self.add_segments(now, &intent, &mut transmit, buf);
            return Some(transmit);
        }
    }

    fn add_segments(&mut self, now: Instant, first: &Intent, transmit: &mut Transmit, buf: &mut [u8]) {
        for _ in 1..first.segments {
            let Some(rest) = buf.get_mut(transmit.len..) else { return };
            if rest.len() < transmit.segment || transmit.len + transmit.segment > usize::from(u16::MAX) {
                return;
            }
            let mut cx = super::cx(now, &mut self.links_rng, &self.limits, &mut self.drops, self.zoo);
            let Some(mut intent) = self.links.next_packet_like(&mut cx, first) else { return };
            intent.max_len = intent.max_len.min(transmit.segment);
            let Some((len, after)) = self.build_and_seal(now, &intent, rest) else { return };
            transmit.len += len;
            transmit.after = transmit.after.max(after);
            if len < transmit.segment {
                return;
            }
        }
    }

    /// One packet into `buf`: its length, and what it depends on. `None` when there was nothing to
    /// say after all.
    fn build_and_seal(&mut self, now: Instant, intent: &Intent, buf: &mut [u8]) -> Option<(usize, Ticket)> {
        let acked = intent.largest_acked;
        let header = self.sessions.header_len(intent.peer, intent.path, acked);
        let end = intent.max_len.min(buf.len()).saturating_sub(TAG_LEN);
        let mut cx = super::cx(now, &mut self.links_rng, &self.limits, &mut self.drops, self.zoo);
        let Some(payload) = buf.get_mut(header..end) else {
            self.links.no_room(&cx, intent.peer);
            return None;
        };
        let built = self.links.build(&mut cx, intent, payload);
        if built.len == 0 {
            self.links.nothing_to_say(&cx, intent.peer);
            return None;
        }
        let mut cx = super::cx(now, &mut self.sessions_rng, &self.limits, &mut self.drops, self.zoo);
        let sealed = self.sessions.seal(&mut cx, intent.peer, intent.path, acked, buf, built.len);
        let mut cx = super::cx(now, &mut self.links_rng, &self.limits, &mut self.drops, self.zoo);
        match sealed {
            Some(sealed) => {
                self.last_nonce = UsedNonce { key_name: sealed.key_name, number: sealed.packet_number };
                self.links.sent(&mut cx, intent, sealed.packet_number, sealed.len);
                let after = built.after_slot.map_or(Ticket(0), |slot| self.gate.ticket_of(slot));
                Some((sealed.len, after))
            }
            None => {
                self.links.not_sent(&mut cx, intent);
                None
            }
        }
    }
}
