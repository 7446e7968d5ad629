//! One turn of one node: an input, its outputs, and the next deadline.

use proto_core::ids::{LinkId, Ticket};
use proto_core::node::{
    Command, Event as Said, GossipEvent, Input, LinkInfo, LinkState, Medium, Output, Refused, Transmit,
    UsedNonce,
};
use proto_core::store::record::Record;
use proto_core::time::{Duration, Instant};
use proto_core::wake::Wake;

use super::host::{NEVER, SOCKET_PACKETS};
use super::radio::air_of;
use super::{Event, World};
use crate::check::{Sight, Violation};
use crate::disk::{Synced, Taken};
use crate::net::address::{address_of, host_of, number_of};
use crate::net::{Arrival, Outbox};
use crate::subject::{Start, Subject};
use crate::trace::Digest;

/// Up to this length a packet is an acknowledgement, a question, an echo: one ACK frame of a few ranges.
const SMALL_PACKET: usize = 48;

/// Outputs of one turn after which the world no longer believes that there is an end.
const MOST_OUTPUTS: u32 = 1 << 18;

impl<S: Subject> World<S> {
    /// Gives a node an input and does all it asks for. `None` when the host is off.
    pub(super) fn turn(&mut self, host: u32, input: Input<'_>) -> Option<Result<(), Refused>> {
        let at = host as usize;
        let now = self.hosts[at].clock.at(self.now_us);
        let mut subject = self.hosts[at].subject.take()?;
        let woken = matches!(input, Input::Wake);
        let seen = digest_input(&input);
        if self.trace.wants_words() {
            self.trace.say(format_args!("{}", words_of_input(&input)));
        }
        self.enter(host);
        let result = subject.handle(now, input);
        self.leave(host);
        let mut done = Digest::default();
        done.word(u64::from(result.is_err()));
        let (outputs, bytes) = self.drain(host, now, &mut subject, &mut done);
        self.watch_packets(host, &subject);
        if self.is_checked_now() {
            subject.check();
        }
        let wake = subject.next_wake();
        self.hosts[at].report.turns += 1;
        // A power cut in the middle of the turn has taken the process with it.
        done.word(digest_wake(wake));
        self.trace.step(self.now_us, host, seen, done);
        if outputs != u32::MAX {
            self.hosts[at].subject = Some(subject);
            self.arrange_wake(host, now, wake);
            let sight = Sight::Turn { host, now_us: now.as_micros(), woken, outputs, bytes, wake };
            let complaint = self.registry.show(self.now_us, &sight);
            self.complain(complaint);
            self.watch_next_hops(host);
            let known = &mut self.hosts[at];
            if known.turn_us > 0 {
                known.busy_until_us = self.now_us + known.turn_us;
            }
        } else {
            let down_us = self.hosts[at].cut_on_store.map_or(0, |(_, down_us)| down_us);
            self.bury(host, subject);
            self.power_cut(host, Some(down_us));
        }
        Some(result)
    }

    /// Takes all outputs of a node. `u32::MAX` outputs mean that its power failed on the way.
    fn drain(&mut self, host: u32, now: Instant, subject: &mut S, done: &mut Digest) -> (u32, u64) {
        let (mut outputs, mut bytes) = (0, 0);
        let mut buf = std::mem::take(&mut self.buf);
        loop {
            self.enter(host);
            let output = subject.poll(now, &mut buf);
            self.leave(host);
            let Some(output) = output else { break };
            outputs += 1;
            match output {
                Output::Transmit(transmit) => {
                    bytes += self.transmit(host, &transmit, &buf, subject.last_nonce(), done);
                }
                Output::Store { ticket, record } => {
                    if self.store(host, ticket, &record, done) {
                        outputs = u32::MAX;
                        break;
                    }
                }
                Output::Load { ticket, .. } => done.word(ticket.0),
                Output::Event(event) => self.said(host, event, done),
            }
            if outputs > MOST_OUTPUTS {
                let reason = format!("node {host} does not stop: {outputs} things in one turn");
                self.complain(Some(Violation::resource("resources", reason)));
                break;
            }
        }
        self.buf = buf;
        (outputs, bytes)
    }

    fn transmit(
        &mut self,
        host: u32,
        transmit: &Transmit,
        buf: &[u8],
        last: UsedNonce,
        done: &mut Digest,
    ) -> u64 {
        let Transmit { link, to, len, segment, after } = *transmit;
        let Some(all) = buf.get(..len).filter(|all| !all.is_empty() && segment > 0) else {
            let reason =
                format!("node {host} transmits {len} bytes in segments of {segment}, which is no datagram");
            self.complain(Some(Violation::safety("shell", reason)));
            return 0;
        };
        let Some(&at) = self.hosts[host as usize].interfaces.get(usize::from(link.0)) else {
            let reason = format!("node {host} transmits on {link:?}, which it does not have");
            self.complain(Some(Violation::safety("shell", reason)));
            return 0;
        };
        done.word(u64::from(link.0) | u64::from(host_of(&to).unwrap_or(u32::MAX)) << 16);
        if host_of(&to).is_none() {
            done.word(number_of(&to).unwrap_or(u64::MAX));
        }
        done.word(after.0);
        let packets = all.chunks(segment);
        let numbers = (0..packets.len() as u64).rev().map(|behind| last.number.wrapping_sub(behind));
        for (bytes, number) in packets.zip(numbers) {
            let nonce = UsedNonce { number, ..last };
            let mut contents = Digest::default();
            contents.bytes(bytes);
            let digest = contents.get();
            done.word(digest);
            // A larger packet carries something: it is no mere answer.
            let cause = self.pool.chain;
            let chain = if bytes.len() <= SMALL_PACKET { cause } else { 0 };
            let sight = Sight::Transmit { host, link: at, to, after, bytes, nonce, digest, chain };
            let complaint = self.registry.show(self.now_us, &sight);
            self.complain(complaint);
            let report = &mut self.hosts[host as usize].report;
            report.packets_sent += 1;
            report.bytes_sent += bytes.len() as u64;
            let (packets, sent) = &mut report.sent_by_quarter[self.quarter];
            (*packets, *sent) = (*packets + 1, *sent + bytes.len() as u64);
            self.pool.chain = chain;
            let mut out = Outbox { pool: &mut self.pool, agenda: &mut self.agenda, wrap: Event::Arrive };
            self.net.send(self.now_us, at, host, to, bytes, &mut out);
            self.watch_air();
            self.pool.chain = cause;
        }
        if self.idle_since_us.is_some() {
            self.hosts[host as usize].idle_bytes += len as u64;
        }
        if self.trace.wants_words() {
            self.trace.say(format_args!("send {len} B on {} to {to:?} after {}", link.0, after.0));
        }
        len as u64
    }

    /// A record is written. True when the power fails right after.
    fn store(&mut self, host: u32, ticket: Ticket, record: &Record, done: &mut Digest) -> bool {
        let at = host as usize;
        let key = record.key();
        let bytes = match record {
            Record::Erased { .. } => None,
            Record::Boot { .. }
            | Record::Sequence { .. }
            | Record::Outgoing { .. }
            | Record::Incoming { .. }
            | Record::Window { .. }
            | Record::Peer { .. }
            | Record::Statement { .. }
            | Record::Bundle { .. } => Some(S::encode(record)),
        };
        done.word(ticket.0);
        done.bytes(bytes.as_deref().unwrap_or(b"erased"));
        if self.trace.wants_words() {
            self.trace.say(format_args!("store {} {key:?}", ticket.0));
        }
        let complaint = self.registry.show(self.now_us, &Sight::Store { host, ticket, key: &key });
        self.complain(complaint);
        let known = &mut self.hosts[at];
        known.report.records_written += 1;
        if let Taken::Begin(after_us) = known.disk.write(ticket, key, bytes) {
            let life = known.life;
            self.agenda.push(self.now_us + after_us, Event::Synced { host, life });
        }
        // The very first record of a start is not a moment that a crash has to be aimed at.
        match &mut known.cut_on_store {
            Some((left, _)) if *left > 0 && ticket.0 > 1 => {
                *left -= 1;
                true
            }
            Some(_) | None => false,
        }
    }

    fn arrange_wake(&mut self, host: u32, now: Instant, wake: Wake) {
        let known = &mut self.hosts[host as usize];
        let wanted_us = match wake {
            Wake::Now => self.now_us,
            Wake::At(at, _) if at <= now => self.now_us,
            Wake::At(at, _) => known.clock.world_time_of(at, self.now_us),
            Wake::Idle => NEVER,
        };
        known.wanted_us = wanted_us;
        if wanted_us < known.wake_at_us {
            known.wake_at_us = wanted_us;
            self.agenda.push(wanted_us, Event::Wake { host });
        }
    }

    /// A wake that was arranged. The node may have changed its mind since.
    pub(super) fn wake(&mut self, host: u32) {
        let known = &mut self.hosts[host as usize];
        if known.wake_at_us > self.now_us {
            return;
        }
        known.wake_at_us = NEVER;
        if known.subject.is_none() || known.frozen || known.wanted_us == NEVER {
            return;
        }
        if known.is_busy(self.now_us) {
            return self.resume_later(host);
        }
        if known.wanted_us > self.now_us {
            known.wake_at_us = known.wanted_us;
            let at_us = known.wanted_us;
            return self.agenda.push(at_us, Event::Wake { host });
        }
        self.turn(host, Input::Wake);
    }

    /// The node's clock was bent: its deadline lies elsewhere in world time.
    pub(super) fn rearrange_wake(&mut self, host: u32) {
        let known = &self.hosts[host as usize];
        let now = known.clock.at(self.now_us);
        if let Some(wake) = known.subject.as_deref().map(Subject::next_wake) {
            self.arrange_wake(host, now, wake);
        }
    }

    /// A packet reaches a host.
    pub(super) fn arrive(&mut self, arrival: Arrival) {
        let Arrival { link, host, packet } = arrival;
        let now_us = self.now_us;
        let known = &mut self.hosts[host as usize];
        if known.subject.is_none() || known.frozen {
            return self.pool.discard(packet);
        }
        if known.is_busy(now_us) || !known.socket.is_empty() {
            if known.socket.len() >= SOCKET_PACKETS {
                known.report.packets_refused += 1;
                return self.pool.discard(packet);
            }
            known.socket.push_back((link, packet));
            return self.resume_later(host);
        }
        self.give(host, link, packet);
    }

    fn give(&mut self, host: u32, number: u32, packet: crate::pool::PacketRef) {
        let (from, bytes) = self.pool.take(packet);
        let report = &mut self.hosts[host as usize].report;
        report.packets_received += 1;
        report.bytes_received += bytes.len() as u64;
        let to = self.pool.target_of(packet);
        let complaint =
            self.registry.show(self.now_us, &Sight::Packet { host, link: number, from, to, bytes: &bytes });
        self.complain(complaint);
        let link = self.local(host, number);
        self.pool.chain = self.pool.chain_of(packet) + 1;
        self.turn(host, Input::Datagram { link, from, bytes: &bytes });
        self.pool.chain = 0;
        self.pool.give_back(packet, bytes);
    }

    pub(super) fn resume_later(&mut self, host: u32) {
        let known = &mut self.hosts[host as usize];
        // A paused process is resumed by the end of its pause.
        if !known.resume_arranged && known.paused == 0 {
            known.resume_arranged = true;
            let at_us = known.busy_until_us.max(self.now_us);
            self.agenda.push(at_us, Event::Resume { host });
        }
    }

    /// A process has time again: one waiting packet, or a wake.
    pub(super) fn resume(&mut self, host: u32) {
        let known = &mut self.hosts[host as usize];
        known.resume_arranged = false;
        if known.subject.is_none() || known.frozen || known.paused > 0 {
            return;
        }
        if known.busy_until_us > self.now_us {
            return self.resume_later(host);
        }
        if let Some((link, packet)) = known.socket.pop_front() {
            self.give(host, link, packet);
        } else if known.wanted_us <= self.now_us {
            self.turn(host, Input::Wake);
        }
        let known = &self.hosts[host as usize];
        if !known.socket.is_empty() {
            self.resume_later(host);
        }
    }

    /// A sync ends.
    pub(super) fn synced(&mut self, host: u32, life: u32) {
        let known = &mut self.hosts[host as usize];
        if known.life != life || known.subject.is_none() || known.frozen {
            return;
        }
        if known.is_busy(self.now_us) {
            let at_us = known.busy_until_us.max(self.now_us + 1_000);
            return self.agenda.push(at_us, Event::Synced { host, life });
        }
        match known.disk.synced() {
            None => {}
            Some(Synced::Failed) => {
                self.turn(host, Input::StoreFailed);
            }
            Some(Synced::UpTo(up_to, next)) => {
                if let Some(after_us) = next {
                    self.agenda.push(self.now_us + after_us, Event::Synced { host, life });
                }
                let complaint = self.registry.show(self.now_us, &Sight::Durable { host, up_to });
                self.complain(complaint);
                self.turn(host, Input::Stored { up_to });
            }
        }
    }

    /// Power on: the disk is read, the process starts, the interfaces come up.
    pub(super) fn boot(&mut self, host: u32, life: u32) {
        let (at, now_us) = (host as usize, self.now_us);
        let known = &mut self.hosts[at];
        if known.subject.is_some() || known.life != life || known.frozen {
            return;
        }
        known.life += 1;
        if known.life > 1 || now_us > 0 {
            known.clock.reboot(now_us, known.clock_us);
        }
        let mut damaged = 0;
        let mut records = Vec::new();
        for bytes in known.disk.read() {
            match S::decode(&bytes) {
                Some(record) => records.push(record),
                None => damaged += 1,
            }
        }
        let node = known.node;
        if known.life > 1 || known.entropy.0 == host {
            known.entropy = (host, known.life);
        }
        let (seed, now) = (known.seed(self.plan.seed), known.clock.at(now_us));
        known.report.boots += 1;
        known.up_us = now_us;
        known.wake_at_us = NEVER;
        known.wanted_us = NEVER;
        known.told.fill(None);
        self.ledger.excuse("damaged-record", damaged);
        self.ledger.booted(host);
        self.gossip.booted(host);
        let complaint = self.registry.show(now_us, &Sight::Boot { host, node });
        self.complain(complaint);
        self.enter(host);
        let entry = self.plan.node(node);
        let subject = S::boot(
            &self.cast,
            Start {
                node,
                seed,
                limits: self.plan.limits(node),
                records,
                versions: entry.and_then(|entry| entry.versions),
                bug: entry.and_then(|entry| entry.bug.as_deref()),
                now,
                at_us: self.now_us,
                verifier: self.signatures.verifier(),
            },
        );
        self.leave(host);
        match subject {
            Ok(subject) => self.starts(host, subject),
            Err(reason) => {
                let reason = format!("node {host} does not start: {reason}");
                return self.complain(Some(Violation::safety("boot", reason)));
            }
        }
        let wall = self.hosts[at].clock.wall(now_us);
        self.turn(host, Input::WallClock(wall));
        self.tell_revoked(host);
        self.tell_links(host);
        self.subscribe(host);
        for peer in 0..self.plan.peers.len() as u32 {
            let planned = &self.plan.peers[peer as usize];
            if planned.node == node && planned.is_told(now_us) {
                self.connect_host(host, peer);
            }
        }
        self.wake_flows(node);
    }

    fn starts(&mut self, host: u32, subject: S) {
        self.links_changed();
        self.watch.next_hops.starts(host, subject.router());
        self.hosts[host as usize].subject = Some(Box::new(subject));
    }

    /// Tells a node which of its interfaces have changed.
    pub(super) fn tell_links(&mut self, host: u32) {
        for at in 0..self.hosts[host as usize].interfaces.len() {
            let known = &self.hosts[host as usize];
            let number = known.interfaces[at];
            let state = self.net.interface(number, host);
            let (told, now) = (known.told[at], state.map(|(_, mtu)| mtu));
            if known.subject.is_none() || told == now {
                continue;
            }
            self.hosts[host as usize].told[at] = now;
            let planned = &self.plan.links[number as usize];
            let air = planned.radio_spec().filter(|_| planned.spec().rate_known).map(|radio| air_of(&radio));
            let state = match state {
                None => LinkState::Down,
                Some((spec, mtu)) => LinkState::Up(LinkInfo {
                    medium: if spec.shared {
                        Medium::Shared { half_duplex: spec.half_duplex }
                    } else {
                        Medium::PointToPoint
                    },
                    mtu,
                    rate_bps: match air {
                        Some((rate_bps, _)) => Some(rate_bps),
                        None => (spec.rate_known && spec.rate_bps > 0)
                            .then(|| spec.rate_bps * u64::from(spec.duty_ppm) / 1_000_000),
                    },
                    delay: Duration::from_micros(spec.delay_us),
                    cost: planned.cost,
                    segments: planned.segments,
                    local: address_of(host),
                    air: air.map(|(_, air)| air),
                    beacons: spec.shared && self.plan.node(host).is_some_and(|node| node.beacons),
                }),
            };
            let link = LinkId(at as u16);
            if let Some(Err(refused)) = self.turn(host, Input::LinkChanged { link, state }) {
                self.note(host, format!("link {number} refused: {refused}"));
            }
        }
    }

    fn said(&mut self, host: u32, event: Said, done: &mut Digest) {
        if matches!(event, Said::Message { .. } | Said::Receipt { .. } | Said::Gossip(_)) {
            self.pool.chain = 0;
        }
        digest_event(&event, done);
        if self.trace.wants_words() {
            self.trace.say(format_args!("{}", words_of_event(&event)));
        }
        let complaint = self.registry.show(self.now_us, &Sight::Event { host, event: &event });
        self.complain(complaint);
        self.heard(host, event);
    }

    pub(super) fn enter(&mut self, host: u32) {
        self.running = host;
        if self.has_few() {
            self.turned.push(host);
        }
        if let Some(meter) = &mut self.options.meter {
            meter.enter(host);
        }
    }

    pub(super) fn leave(&mut self, host: u32) {
        if let Some(meter) = &mut self.options.meter {
            meter.leave(host);
        }
    }
}

fn digest_wake(wake: Wake) -> u64 {
    match wake {
        Wake::Now => 1,
        Wake::At(at, reason) => at.as_micros() << 8 | 0x80 | reason as u64,
        Wake::Idle => 2,
    }
}

fn digest_input(input: &Input<'_>) -> Digest {
    let mut digest = Digest::default();
    match input {
        Input::Datagram { link, from, bytes } => {
            digest.word(1 | u64::from(link.0) << 8);
            digest.word(number_of(from).unwrap_or(u64::MAX));
            digest.bytes(bytes);
        }
        Input::Wake => digest.word(2),
        Input::Stored { up_to } => {
            digest.word(3);
            digest.word(up_to.0);
        }
        Input::StoreFailed => digest.word(4),
        Input::AirFree { link } => digest.word(8 | u64::from(link.0) << 8),
        Input::WallClock(wall) => {
            digest.word(5);
            digest.word(wall.unix_us as u64);
        }
        Input::Command(Command::Send(send)) => {
            digest.word(7 | (send.class as u64) << 8);
            digest.bytes(&send.to.0);
            digest.word(send.tag);
            digest.bytes(&send.payload);
        }
        Input::LinkChanged { .. } | Input::Command(_) | Input::Loaded { .. } => {
            // Rare: their words are as exact as anything.
            digest.word(6);
            digest.bytes(format!("{input:?}").as_bytes());
        }
    }
    digest
}

fn digest_event(event: &Said, done: &mut Digest) {
    match event {
        Said::Message { from, seq, again, payload, .. } => {
            done.word(1 | u64::from(*again) << 8);
            done.bytes(&from.0);
            done.word(*seq);
            done.bytes(payload);
        }
        Said::Receipt { to, tag, outcome } => {
            done.word(2 | (*outcome as u64) << 8);
            done.bytes(&to.0);
            done.word(*tag);
        }
        Said::Gossip(GossipEvent::Delivered { id, payload, .. }) => {
            done.word(4);
            done.bytes(&id.origin.0);
            done.word(id.sequence);
            done.bytes(payload);
        }
        Said::Gossip(GossipEvent::Member { member, what, .. }) => {
            done.word(5 | (*what as u64) << 8);
            done.bytes(&member.0);
        }
        Said::Gossip(GossipEvent::Spread { .. } | GossipEvent::Refused { .. })
        | Said::PeerUp { .. }
        | Said::PeerDown { .. }
        | Said::Path { .. }
        | Said::Incompatible { .. }
        | Said::CloneDetected { .. }
        | Said::StorageFailed => {
            done.word(3);
            done.bytes(format!("{event:?}").as_bytes());
        }
    }
}

fn words_of_input(input: &Input<'_>) -> String {
    match input {
        Input::Datagram { link, from, bytes } => {
            format!("datagram {} B on {} from {from:?}", bytes.len(), link.0)
        }
        Input::Command(Command::Send(send)) => {
            format!("command send {} B tag {:x} to {}", send.payload.len(), send.tag, send.to)
        }
        other => format!("{other:?}"),
    }
}

fn words_of_event(event: &Said) -> String {
    match event {
        Said::Message { from, seq, again, payload, delivery } => {
            format!("message {seq} from {from} {delivery:?} {} B again {again}", payload.len())
        }
        other => format!("{other:?}"),
    }
}
