//! The air between the nodes: who hears a packet, when, and in what state.
//!
//! A packet waits for the link (its rate and queue), travels, and meets its fate. Every fate is a keyed
//! draw from the link, the direction and the number of the packet in that direction, so a packet's
//! luck depends on nothing that happens to others.

pub mod address;
mod air;
mod apart;
mod fate;
mod nat;
mod radio;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use proto_core::ids::Addr;

use crate::agenda::Agenda;
use crate::check::wire;
use crate::draw::{Lot, Purpose, pair};
use crate::outcome::LinkReport;
use crate::plan::{LinkSpec, Plan, What, lora_airtime_us};
use crate::pool::{PacketRef, Pool};

pub use air::{OnAir, Tick};

use address::{address_of, host_of, owner_of};
use air::Medium;
use apart::Apart;
use nat::Nat;

/// A packet on its way to a host: the link's number and the member it goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// The link, by its number in the plan.
    pub link: u32,
    /// The receiving host.
    pub host: u32,
    /// The packet.
    pub packet: PacketRef,
}

/// One way from one member of a link to another.
#[derive(Debug)]
struct Way {
    /// Packets offered on it so far: the number in every draw about them.
    counter: u64,
    own_loss: Lot,
    own_jitter: Lot,
    loss_ppm: u32,
    /// Own jitter keeps packets in order.
    last_arrival_us: u64,
    /// The last packets and whom they came from, kept while something may send them again.
    old: VecDeque<(Addr, Vec<u8>)>,
}

/// A fault that is on now, on one link.
#[derive(Debug)]
struct Active {
    id: u32,
    what: What,
    /// Which ways of the link are in a burst.
    bad: Vec<bool>,
    /// For a flapping link: whether it is down at the moment.
    down_now: bool,
}

/// One link.
#[derive(Debug)]
struct Link {
    spec: LinkSpec,
    /// Hosts on it, in the order of the plan, clones last.
    hosts: Vec<u32>,
    /// How many members the original plan has: the "there" way begins at the first.
    width: usize,
    ways: Vec<Way>,
    /// When each sender (or, shared, the whole medium) is free again, in nanoseconds.
    free_at_ns: Vec<u64>,
    /// When each sender may send again under its duty cycle.
    duty_free_at_ns: Vec<u64>,
    faults: Vec<Active>,
    /// How many reasons there are for the interface to be down.
    down: u32,
    /// Handshake packets and others seen, for attackers.
    heard: VecDeque<Vec<u8>>,
    /// Those of them that open a handshake, which a storm of answers would push out there.
    calls: VecDeque<Vec<u8>>,
    listening: bool,
    report: LinkReport,
    /// The channel, of those that have one.
    air: Option<Box<Medium>>,
}

/// All links.
#[derive(Debug)]
pub struct Net {
    seed: u64,
    links: Vec<Link>,
    apart: Apart,
    /// Translators that stand now. Of several at one place the newest counts.
    nats: Vec<Nat>,
    /// The node that each host runs: a clone stands on its original's side of a partition.
    node_of: Vec<u32>,
    /// What radios have arranged, and their transmissions, until the world takes them.
    arranged: Vec<(u64, Tick)>,
    began: Vec<OnAir>,
    /// Hosts and links whose radio has sent all that it was given, or has thrown it away.
    idle: Vec<(u32, u32)>,
}

/// How many old packets a replay can choose from.
const REMEMBERED: usize = 64;

/// What an attacker may look for among the packets that passed on a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// Any of the last.
    Any,
    /// One of the handshake family.
    Handshake,
    /// One that opens a handshake.
    Call,
}

/// Whether a packet is of the handshake family.
fn is_handshake(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first & 0x80 == 0)
}

/// Whether a packet opens a handshake.
fn is_call(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(&(wire::INIT_IK | wire::INIT_XX)))
}

impl Net {
    /// The links of a plan, all up and without faults. Hosts are the plan's nodes; `clones` more may join.
    #[must_use]
    pub fn new(plan: &Plan) -> Net {
        let clones = plan.faults.iter().filter(|fault| matches!(fault.what, What::Clone { .. })).count();
        let links = plan.links.iter().zip(0..).map(|(link, number)| {
            let width = link.members.len();
            let most = width + clones;
            let ways = (0..most * most).map(|way| {
                let from = way / most;
                let key = way_key(number, from, way % most);
                Way {
                    counter: 0,
                    own_loss: Lot::new(plan.seed, Purpose::LinkLoss, key),
                    own_jitter: Lot::new(plan.seed, Purpose::LinkJitter, key),
                    loss_ppm: if from == 0 || link.spec().shared {
                        link.loss_there_ppm
                    } else {
                        link.loss_back_ppm
                    },
                    last_arrival_us: 0,
                    old: VecDeque::new(),
                }
            });
            Link {
                spec: link.spec(),
                hosts: link.members.clone(),
                width: most,
                ways: ways.collect(),
                free_at_ns: vec![0; most],
                duty_free_at_ns: vec![0; most],
                faults: Vec::new(),
                down: 0,
                heard: VecDeque::new(),
                calls: VecDeque::new(),
                listening: false,
                report: LinkReport::default(),
                air: radio::medium(plan.seed, number, link),
            }
        });
        let node_of = (0..plan.node_count()).collect();
        Net {
            seed: plan.seed,
            links: links.collect(),
            apart: Apart::default(),
            nats: Vec::new(),
            node_of,
            arranged: Vec::new(),
            began: Vec::new(),
            idle: Vec::new(),
        }
    }

    /// A clone of the host `like` joins every link that one is on.
    pub fn join_like(&mut self, host: u32, like: u32) {
        self.node_of.push(self.node_of[like as usize]);
        for link in &mut self.links {
            let Some(model) = link.hosts.iter().position(|&member| member == like) else { continue };
            let (joined, width) = (link.hosts.len(), link.width);
            for other in 0..width {
                link.ways[joined * width + other].loss_ppm = link.ways[model * width + other].loss_ppm;
                link.ways[other * width + joined].loss_ppm = link.ways[other * width + model].loss_ppm;
            }
            link.hosts.push(host);
            if let Some(air) = &mut link.air {
                air.join(model);
            }
        }
    }

    /// Sends what `host` has put on `link`: one packet, to one host or to everybody.
    pub fn send<E: Copy>(
        &mut self,
        now_us: u64,
        number: u32,
        host: u32,
        to: Addr,
        bytes: &[u8],
        out: &mut Outbox<'_, E>,
    ) {
        let Some(link) = self.links.get_mut(number as usize) else { return };
        let Some(from) = link.hosts.iter().position(|&member| member == host) else { return };
        let side = usize::from(from != 0);
        link.report.packets[side] += 1;
        link.report.bytes[side] += bytes.len() as u64;
        if link.listening {
            link.hear(bytes);
        }
        let departs_us = link.let_out(now_us, from, bytes.len());
        let nat = self.nats.iter_mut().rev().find(|nat| nat.stands_at(number, host));
        let source = match (nat, departs_us) {
            (None, _) => Some(address_of(host)),
            (Some(nat), Some(_)) if to != Addr::ANY => Some(nat.outwards(now_us, number, &to)),
            // A translator passes nothing that is meant for everybody.
            (Some(_), _) => None,
        };
        let (members, mut reached) = (link.hosts.len(), false);
        let mut receivers = Vec::new();
        for receiver in 0..members {
            let other = link.hosts[receiver];
            if receiver == from || to != Addr::ANY && owner_of(&to) != Some(other) {
                continue;
            }
            // Counted whether it gets anywhere or not, so that what befalls others does not depend on it.
            let n = link.next_number(from, receiver);
            let Some((departs_us, source)) = departs_us.zip(source) else { continue };
            let heard = match self.nats.iter().rev().find(|nat| nat.stands_at(number, other)) {
                None => to == Addr::ANY || host_of(&to) == Some(other),
                Some(nat) => nat.lets_in(now_us, number, &to, &source),
            };
            if !heard {
                continue;
            }
            reached = true;
            if link.air.is_some() {
                receivers.push((receiver, n));
                continue;
            }
            let apart = self.apart.keeps(self.node_of[host as usize], self.node_of[other as usize]);
            let trip =
                Trip { seed: self.seed, link: number, from, receiver, n, source, to, departs_us, apart };
            link.travel(&trip, bytes, out);
        }
        if departs_us.is_some() && !reached {
            link.report.nowhere += 1;
        }
        if let Some(source) = source.filter(|_| link.air.is_some() && departs_us.is_some()) {
            let frame = air::Frame { bytes: bytes.to_vec(), source, to, receivers, chain: out.pool.chain };
            self.offer(now_us, number, from, frame, out);
        } else {
            self.note_idle(number, from);
        }
    }

    /// An attacker on `link` sends `bytes` to `target`, pretending to be `from`. It does not use the
    /// link's rate: what a flood does to the air is not what the protocol is tested for.
    pub fn inject<E: Copy>(
        &mut self,
        now_us: u64,
        number: u32,
        target: u32,
        from: Addr,
        bytes: &[u8],
        out: &mut Outbox<'_, E>,
    ) {
        let Some(link) = self.links.get_mut(number as usize) else { return };
        link.report.forged += 1;
        if link.down > 0 {
            link.report.blocked += 1;
            return;
        }
        // Nobody has reached the target with it, whatever address it bears.
        let packet = out.pool.put(from, Addr::ANY, bytes);
        let arrival = Arrival { link: number, host: target, packet };
        out.agenda.push(now_us + link.spec.delay_us, (out.wrap)(arrival));
    }

    /// Whether a host's interface is up, and the largest packet its driver states.
    #[must_use]
    pub fn interface(&self, number: u32, host: u32) -> Option<(LinkSpec, u16)> {
        let link = self.links.get(number as usize)?;
        let asleep = self.node_of.get(host as usize).is_some_and(|&node| self.apart.is_asleep(node));
        (link.down == 0 && !asleep).then_some((link.spec, link.told_mtu()))
    }

    /// Whether a wire carries packets from one host to another and back now, and loses at most so many of a million each way.
    #[must_use]
    pub fn carries(&self, number: u32, a: u32, b: u32, most_loss_ppm: u32) -> bool {
        let Some(link) = self.links.get(number as usize) else { return false };
        let place = |host: u32| link.hosts.iter().position(|&member| member == host);
        let (Some(from), Some(to)) = (place(a), place(b)) else { return false };
        let passes = |from: usize, to: usize| {
            let there = from == 0 || link.spec.shared;
            let own_ppm = link.ways[from * link.width + to].loss_ppm;
            own_ppm <= most_loss_ppm && link.faults.iter().all(|fault| fault.lets_by(there, most_loss_ppm))
        };
        link.air.is_none()
            && link.down == 0
            && !self.apart.keeps(self.node_of[a as usize], self.node_of[b as usize])
            && passes(from, to)
            && passes(to, from)
    }

    /// The link's properties.
    #[must_use]
    pub fn spec(&self, number: u32) -> LinkSpec {
        self.links[number as usize].spec
    }

    /// The hosts on a link.
    #[must_use]
    pub fn hosts(&self, number: u32) -> &[u32] {
        &self.links[number as usize].hosts
    }

    /// How many links there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// Whether there is no link.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// From now on attackers remember what passes on this link.
    pub fn listen(&mut self, number: u32) {
        if let Some(link) = self.links.get_mut(number as usize) {
            link.listening = true;
        }
    }

    /// A packet of this sort that passed before, chosen by `lot`.
    #[must_use]
    pub fn heard(&self, number: u32, which: Heard, lot: u64) -> Option<&[u8]> {
        let link = self.links.get(number as usize)?;
        let among = if which == Heard::Call { &link.calls } else { &link.heard };
        let fits = |bytes: &&Vec<u8>| which != Heard::Handshake || is_handshake(bytes);
        let count = among.iter().filter(fits).count();
        let at = crate::draw::scale(lot, count as u64) as usize;
        among.iter().filter(fits).nth(at).map(Vec::as_slice)
    }

    /// A fault about links begins.
    pub fn begin(&mut self, id: u32, what: &What) {
        if let What::Partition { sides } = what {
            return self.apart.part(id, sides, self.node_of.len());
        }
        if let What::Nat { node, mapping, filtering, expire_us, .. } = *what {
            let kind = nat::Kind { mapping, filtering, expire_us };
            self.nats.push(Nat::new(self.seed, id, node, self.touched(what), kind));
            return;
        }
        for number in self.touched(what) {
            let link = &mut self.links[number as usize];
            if matches!(what, What::Down { .. }) {
                link.down += 1;
            }
            let bad = vec![false; link.ways.len()];
            link.faults.push(Active { id, what: what.clone(), bad, down_now: false });
        }
    }

    /// It ends.
    pub fn end(&mut self, id: u32, what: &What) {
        self.apart.join(id);
        self.nats.retain(|nat| nat.id != id);
        for number in self.touched(what) {
            let link = &mut self.links[number as usize];
            if let Some(at) = link.faults.iter().position(|fault| fault.id == id) {
                let fault = link.faults.remove(at);
                let told = matches!(fault.what, What::Flap { told: true, .. });
                link.down -= u32::from(matches!(fault.what, What::Down { .. }) || (told && fault.down_now));
            }
            if matches!(what, What::Replay { .. }) {
                link.ways.iter_mut().for_each(|way| way.old.clear());
            }
        }
    }

    /// A flapping link goes down or comes up.
    pub fn flap(&mut self, id: u32, what: &What, down: bool) {
        for number in self.touched(what) {
            let link = &mut self.links[number as usize];
            let Some(fault) = link.faults.iter_mut().find(|fault| fault.id == id) else { continue };
            let changed = fault.down_now != down;
            fault.down_now = down;
            if changed && matches!(fault.what, What::Flap { told: true, .. }) {
                link.down = if down { link.down + 1 } else { link.down - 1 };
            }
        }
    }

    /// A node's radio goes off or on.
    pub fn sleep(&mut self, what: &What, asleep: bool) {
        self.apart.sleep(what, asleep);
    }

    /// The links a fault is about.
    #[must_use]
    pub fn touched(&self, what: &What) -> Vec<u32> {
        match what.links() {
            Some([]) => (0..self.links.len() as u32).collect(),
            Some(some) => some.to_vec(),
            None => Vec::new(),
        }
    }

    /// What each link carried.
    #[must_use]
    pub fn reports(&self) -> Vec<LinkReport> {
        self.links.iter().map(|link| link.report.clone()).collect()
    }
}

/// One way's part in the key of a draw: the link and both members, which do not depend on how many
/// clones a plan foresees.
fn way_key(link: u32, from: usize, to: usize) -> u64 {
    pair(link, (from as u32) << 16 | to as u32)
}

/// Where travelling packets are put, and how the world calls their arrival.
pub struct Outbox<'a, E> {
    /// The packets.
    pub pool: &'a mut Pool,
    /// The diary.
    pub agenda: &'a mut Agenda<E>,
    /// Makes an event of an arrival.
    pub wrap: fn(Arrival) -> E,
}

/// One packet's journey from one member to another.
struct Trip {
    seed: u64,
    link: u32,
    from: usize,
    receiver: usize,
    /// Which packet it is of those that were ever offered on this way.
    n: u64,
    /// Who the receiver thinks sent it, and where it was sent to.
    source: Addr,
    to: Addr,
    departs_us: u64,
    apart: bool,
}

impl Link {
    /// The largest packet that passes.
    fn mtu(&self) -> u16 {
        self.faults.iter().fold(self.spec.mtu, |least, fault| match fault.what {
            What::Mtu { mtu, .. } => least.min(mtu),
            _ => least,
        })
    }

    /// The largest packet that the driver states.
    fn told_mtu(&self) -> u16 {
        self.faults.iter().fold(self.spec.mtu, |least, fault| match fault.what {
            What::Mtu { mtu, told: true, .. } => least.min(mtu),
            _ => least,
        })
    }

    /// Whether a packet gets onto the link, and when its last bit leaves.
    fn let_out(&mut self, now_us: u64, from: usize, bytes: usize) -> Option<u64> {
        if self.down > 0 {
            self.report.blocked += 1;
            return None;
        }
        if bytes > usize::from(self.mtu()) {
            self.report.oversize += 1;
            return None;
        }
        let departs_us = self.depart(now_us, from, bytes as u64);
        self.report.queue_full += u64::from(departs_us.is_none());
        departs_us
    }

    fn next_number(&mut self, from: usize, receiver: usize) -> u64 {
        let way = &mut self.ways[from * self.width + receiver];
        way.counter += 1;
        way.counter - 1
    }

    /// Remembers a packet for attackers: half of the places are kept for handshakes, which are rare.
    fn hear(&mut self, bytes: &[u8]) {
        let kind = is_handshake(bytes);
        if self.heard.iter().filter(|other| is_handshake(other) == kind).count() >= REMEMBERED / 2
            && let Some(at) = self.heard.iter().position(|other| is_handshake(other) == kind)
        {
            self.heard.remove(at);
        }
        self.heard.push_back(bytes.to_vec());
        if is_call(bytes) {
            if self.calls.len() >= REMEMBERED / 2 {
                self.calls.pop_front();
            }
            self.calls.push_back(bytes.to_vec());
        }
    }

    /// When the last bit of a packet leaves, in world microseconds; `None` when the queue is full.
    fn depart(&mut self, now_us: u64, from: usize, bytes: u64) -> Option<u64> {
        if let Some(air) = &self.air {
            // When, the radio decides.
            return air.has_room(from, bytes, self.spec.queue_bytes).then_some(now_us);
        }
        let (mut rate_bps, mut queue_bytes) = (self.spec.rate_bps, self.spec.queue_bytes);
        for fault in &self.faults {
            if let What::Rate { rate_bps: slower, queue_bytes: shorter, .. } = fault.what {
                (rate_bps, queue_bytes) = (slower, shorter);
            }
        }
        if rate_bps == 0 {
            return Some(now_us);
        }
        let now_ns = now_us.saturating_mul(1_000);
        let slot = if self.spec.shared { 0 } else { from };
        let free_ns = self.free_at_ns[slot].max(self.duty_free_at_ns[from]).max(now_ns);
        let queued = free_ns > now_ns;
        let waiting_bytes = if queued { scaled(free_ns - now_ns, rate_bps, 8_000_000_000) } else { 0 };
        if waiting_bytes.saturating_add(bytes) > queue_bytes {
            return None;
        }
        let airtime_ns = match self.spec.spreading {
            0 => scaled(bytes, 8_000_000_000, rate_bps),
            spreading => lora_airtime_us(spreading, bytes) * 1_000,
        };
        let end_ns = free_ns.saturating_add(airtime_ns);
        self.free_at_ns[slot] = end_ns;
        if self.spec.duty_ppm < 1_000_000 {
            // The silence after a packet that brings its share of time down to the duty cycle.
            let cycle_ns = scaled(airtime_ns, 1_000_000, u64::from(self.spec.duty_ppm.max(1)));
            self.duty_free_at_ns[from] = free_ns.saturating_add(cycle_ns);
        }
        Some(end_ns.div_ceil(1_000))
    }
}

/// `value * by / per`, in 64 bits where that is enough. Saturates.
#[inline]
fn scaled(value: u64, by: u64, per: u64) -> u64 {
    match value.checked_mul(by) {
        Some(product) => product / per,
        None => u64::try_from(u128::from(value) * u128::from(by) / u128::from(per)).unwrap_or(u64::MAX),
    }
}
