//! Packets that this router has taken over and the next has not.
//!
//! A relay runner keeps the baton until the next one has it in his hand. What cannot go on now waits, for its time, within
//! bounds of number and bytes and a share for each neighbour; and of each packet that came by it is remembered for a while by
//! which exits it left, so that one that comes back leaves by another. The walk of a packet through a network in which
//! routers disagree is so a depth-first search: it takes each exit once (Lamparter, Schulz and others call what the packet
//! carries of it *failure-carrying packets*: Lakshminarayanan et al., SIGCOMM 2007).

use alloc::collections::{BTreeMap, BTreeSet, BinaryHeap};
use alloc::vec::Vec;
use core::cmp::Reverse;

use bytes::Bytes;

use super::message::{Broken, Head, Hop, MOST_BROKEN, replace_head};
use super::trails::{Name, Trails};
use crate::ids::{PeerSlot, RouterId};
use crate::limits::Limits;
use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// How long a packet may wait at one router.
const LIFETIME: Duration = Duration::from_secs(10);
/// After so long without an exit all are tried again: what was broken may work by now.
const ROUND: Duration = Duration::from_millis(60);
/// What a packet takes beside its bytes.
const PACKET_OVERHEAD: usize = 256;
/// The low bits of a packet's number, and of the message with it, are its place: as many as custody of all bytes that limits can
/// say has room for.
const PLACE_BITS: u32 = 24;
/// Messages with such numbers, which are below those of bundles and gossip, carry packets; others carry records.
const OF_PACKETS: u64 = 1 << 61;
/// Places that are kept for the next packets.
const KEPT: usize = 64;

/// One packet in our hands.
#[derive(Debug)]
pub struct Packet {
    /// What relays read.
    pub head: Head,
    /// As it came, or as it was last given to somebody: the rest stands at its end. What is in front of that is a head that need not
    /// be right any more.
    message: Bytes,
    /// Where in `message` the rest begins.
    start: usize,
    /// Who brought it; `None` for our own.
    pub from: Option<PeerSlot>,
    /// To whom it was given, who has not taken it yet.
    pub sent: Option<Sent>,
    /// Whether it was given to anybody yet.
    pub given: bool,
    id: u64,
    expires: Instant,
    alarm: Instant,
}

/// A packet on its way to a neighbour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sent {
    /// The neighbour.
    pub peer: PeerSlot,
    /// Its name.
    pub router: RouterId,
    /// The message with it.
    pub tag: u64,
    /// Where the link keeps that, once it has taken it.
    pub place: Option<u32>,
}

impl Packet {
    /// What it is known by.
    #[must_use]
    pub fn name(&self) -> Name {
        self.head.name(self.message.get(self.start..).unwrap_or(&[]))
    }

    fn weight(&self) -> usize {
        PACKET_OVERHEAD + self.message.len() - self.start
    }
}

/// All packets in our hands.
#[derive(Debug)]
pub struct Custody {
    packets: Vec<Option<Packet>>,
    free: Vec<u32>,
    live: usize,
    /// The alarm of each packet, the next first, and alarms that count no more: none of these is the next.
    alarms: BinaryHeap<Reverse<(Instant, u64)>>,
    /// Those that wait for the map to change.
    parked: BTreeSet<u64>,
    next: u64,
    bytes: usize,
    /// Bytes that each neighbour brought. Who has none any more may stand here as well.
    shares: BTreeMap<PeerSlot, usize>,
    trails: Trails,
    /// How long a packet waits, where that is longer because air is scarce.
    pub slowest: Duration,
}

/// What is to be done with a packet whose alarm went off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Alarm {
    /// It has waited long enough for anybody.
    Expired,
    /// The neighbour that was given it takes its time.
    Slow(Sent),
    /// It has no exit: a new round.
    Waiting,
}

impl Custody {
    /// No packet yet.
    #[must_use]
    pub fn new(rng: &mut Rng) -> Custody {
        Custody {
            packets: Vec::new(),
            free: Vec::new(),
            live: 0,
            alarms: BinaryHeap::new(),
            parked: BTreeSet::new(),
            next: 0,
            bytes: 0,
            shares: BTreeMap::new(),
            trails: Trails::new(rng),
            slowest: Duration::ZERO,
        }
    }

    /// The packet may be handed to anybody now. Whether it might not before.
    pub fn avoid_nobody(&mut self, id: u64) -> bool {
        let packet = self.get_mut(id);
        packet.is_some_and(|packet| !core::mem::take(&mut packet.head.avoid).is_empty())
    }

    /// Takes a packet over, if there is room: the end of `message`, from `start` on. It has no alarm before it is given to somebody,
    /// waits or is parked.
    pub fn take(
        &mut self,
        now: Instant,
        limits: &Limits,
        head: Head,
        (message, start): (Bytes, usize),
        from: Option<PeerSlot>,
    ) -> Option<u64> {
        let expires = now + LIFETIME.max(self.slowest);
        let start = start.min(message.len());
        let (sent, given, id, alarm) = (None, false, 0, expires);
        let mut packet = Packet { head, message, start, from, sent, given, id, expires, alarm };
        let weight = packet.weight();
        let most = limits.custody_bytes as usize;
        if self.bytes + weight > most {
            return None;
        }
        if let Some(peer) = from {
            let share = self.shares.entry(peer).or_default();
            if *share + weight > most / 2 {
                return None;
            }
            *share += weight;
        }
        let place = self.free.pop().unwrap_or(self.packets.len() as u32);
        packet.id = self.next << PLACE_BITS | u64::from(place);
        let id = packet.id;
        match self.packets.get_mut(place as usize) {
            Some(free) => *free = Some(packet),
            None => self.packets.push(Some(packet)),
        }
        self.next += 1;
        self.bytes += weight;
        self.live += 1;
        Some(id)
    }

    fn place(id: u64) -> usize {
        (id & ((1 << PLACE_BITS) - 1)) as usize
    }

    /// The packet with this number. Numbers rise with every packet that is taken over.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<&Packet> {
        self.packets.get(Custody::place(id))?.as_ref().filter(|packet| packet.id == id)
    }

    fn get_mut(&mut self, id: u64) -> Option<&mut Packet> {
        self.packets.get_mut(Custody::place(id))?.as_mut().filter(|packet| packet.id == id)
    }

    /// The number of a message with this packet, from a count of all messages: unlike that of any other that is under way.
    #[must_use]
    pub fn tag_of(id: u64, count: u64) -> u64 {
        OF_PACKETS | (count << PLACE_BITS | Custody::place(id) as u64) & (OF_PACKETS - 1)
    }

    /// The packet that the message with this number carries, if it is still waited for.
    #[must_use]
    pub fn carried_by(&self, tag: u64) -> Option<u64> {
        let packet = self.packets.get(Custody::place(tag))?.as_ref()?;
        packet.sent.is_some_and(|sent| sent.tag == tag).then_some(packet.id)
    }

    /// The link keeps a message in this place; if it carries a packet, that is to know.
    pub fn placed(&mut self, tag: u64, place: u32) {
        if tag & OF_PACKETS != 0
            && let Some(sent) = self.carried_by(tag).and_then(|id| self.get_mut(id)?.sent.as_mut())
        {
            sent.place = Some(place);
        }
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Those that were given to this neighbour and that it has not taken.
    #[must_use]
    pub fn given_to(&self, peer: PeerSlot) -> Vec<u64> {
        let is_there = |packet: &&Packet| packet.sent.is_some_and(|sent| sent.peer == peer);
        let mut ids: Vec<u64> =
            self.packets.iter().flatten().filter(is_there).map(|packet| packet.id).collect();
        ids.sort_unstable();
        ids
    }

    /// By which exits a packet has left.
    #[must_use]
    pub fn tried(&self, id: u64) -> Vec<RouterId> {
        self.get(id).map_or(Vec::new(), |packet| self.trails.exits(packet.name()))
    }

    /// A packet is given to a neighbour of this router: the message with it.
    pub fn give(
        &mut self,
        (now, limits): (Instant, &Limits),
        own: RouterId,
        id: u64,
        sent: Sent,
        patience: Duration,
    ) -> Option<Bytes> {
        let packet = self.get_mut(id)?;
        (packet.sent, packet.given) = (Some(sent), true);
        let message = core::mem::take(&mut packet.message);
        (packet.message, packet.start) =
            replace_head(message, packet.start, &packet.head, Hop { from: own, to: sent.router });
        let (name, alarm, message) =
            (packet.name(), (now + patience).min(packet.expires), packet.message.clone());
        let is_last = sent.router == packet.head.to;
        self.set_alarm(id, alarm);
        // From its destination no packet comes back.
        if !is_last {
            self.trails.follow(now, limits.trails(), name, sent.router);
        }
        Some(message)
    }

    /// The neighbour that a packet was given to has not taken it, in time or at all: it leaves by another exit, even if that one was
    /// its destination.
    pub fn shun(&mut self, now: Instant, limits: &Limits, id: u64, router: RouterId) {
        if let Some(name) = self.get(id).map(Packet::name) {
            self.trails.follow(now, limits.trails(), name, router);
        }
    }

    /// Nobody can be given a packet now.
    pub fn wait(&mut self, now: Instant, id: u64) {
        if let Some(packet) = self.get_mut(id) {
            packet.sent = None;
            let alarm = (now + ROUND).min(packet.expires);
            self.set_alarm(id, alarm);
        }
    }

    /// No way leads where a packet goes: it waits for the map to change.
    pub fn park(&mut self, id: u64) {
        if let Some(packet) = self.get_mut(id) {
            packet.sent = None;
            let alarm = packet.expires;
            self.set_alarm(id, alarm);
            self.parked.insert(id);
        }
    }

    /// The map has changed: those that wait for that are looked at again.
    pub fn map_changed(&mut self, now: Instant) {
        for id in core::mem::take(&mut self.parked) {
            self.wait(now, id);
        }
    }

    /// The neighbour that was given a packet is waited for a little longer.
    pub fn be_patient(&mut self, now: Instant, id: u64, patience: Duration) {
        if let Some(packet) = self.get(id) {
            self.set_alarm(id, (now + patience).min(packet.expires));
        }
    }

    fn set_alarm(&mut self, id: u64, at: Instant) {
        if let Some(packet) = self.get_mut(id) {
            packet.alarm = at;
            self.alarms.push(Reverse((at, id)));
            if self.alarms.len() > 4 * self.live + 64 {
                let mut alarms = core::mem::take(&mut self.alarms);
                alarms.retain(|&Reverse(alarm)| self.counts(alarm));
                self.alarms = alarms;
            }
            self.next_alarm_counts();
        }
    }

    fn counts(&self, (at, id): (Instant, u64)) -> bool {
        self.get(id).is_some_and(|packet| packet.alarm == at)
    }

    fn next_alarm_counts(&mut self) {
        while self.alarms.peek().is_some_and(|&Reverse(alarm)| !self.counts(alarm)) {
            self.alarms.pop();
        }
    }

    /// The link to this neighbour did not take a packet: the next routers are to know.
    pub fn mark_broken(&mut self, own: RouterId, id: u64, next: RouterId) {
        let Some(packet) = self.get_mut(id) else { return };
        let broken = Broken::between(own, next);
        if !packet.head.broken.contains(&broken) {
            if packet.head.broken.len() >= MOST_BROKEN {
                packet.head.broken.remove(0);
            }
            packet.head.broken.push(broken);
        }
        packet.sent = None;
    }

    /// Every exit may be tried again.
    pub fn new_round(&mut self, id: u64) {
        let Some(packet) = self.get_mut(id) else { return };
        packet.head.broken.clear();
        let name = packet.name();
        self.trails.clear(name);
    }

    /// The next packet whose alarm has gone off.
    #[must_use]
    pub fn due(&self, now: Instant) -> Option<(u64, Alarm)> {
        let &Reverse((at, id)) = self.alarms.peek()?;
        let packet = self.get(id).filter(|_| at <= now)?;
        let alarm = match packet.sent {
            _ if packet.expires <= now => Alarm::Expired,
            Some(sent) => Alarm::Slow(sent),
            None => Alarm::Waiting,
        };
        Some((id, alarm))
    }

    /// When the next alarm goes off.
    #[must_use]
    pub fn next_alarm(&self) -> Option<Instant> {
        self.alarms.peek().map(|&Reverse((at, _))| at)
    }

    /// A packet is in other hands, or nobody's.
    pub fn drop(&mut self, id: u64) {
        if self.get(id).is_none() {
            return;
        }
        let place = Custody::place(id);
        let Some(packet) = self.packets.get_mut(place).and_then(Option::take) else { return };
        if !self.parked.is_empty() {
            self.parked.remove(&id);
        }
        self.bytes -= packet.weight();
        self.live -= 1;
        if let Some(share) = packet.from.and_then(|peer| self.shares.get_mut(&peer)) {
            *share = share.saturating_sub(packet.weight());
        }
        if self.live == 0 && self.packets.len() > KEPT {
            (self.packets, self.free) = (Vec::new(), Vec::new());
            self.alarms = BinaryHeap::new();
        } else {
            self.free.push(place as u32);
            self.next_alarm_counts();
        }
    }

    /// Panics when an invariant does not hold.
    pub fn check(&self, limits: &Limits) {
        let packets = || self.packets.iter().flatten();
        assert_eq!(packets().count(), self.live, "packets miscounted");
        assert_eq!(self.live + self.free.len(), self.packets.len(), "a place is free, or has a packet");
        let next = packets().map(|packet| packet.alarm).min();
        assert_eq!(self.next_alarm(), next, "the next alarm counts, and there is none before it");
        let counting = self.alarms.iter().filter(|&&Reverse(alarm)| self.counts(alarm));
        let with_alarm: BTreeSet<u64> = counting.map(|&Reverse((_, id))| id).collect();
        assert_eq!(with_alarm.len(), self.live, "an alarm for each packet");
        for packet in packets() {
            assert!(self.get(packet.id).is_some(), "a packet stands in its place");
            let carried = packet.sent.map(|sent| self.carried_by(sent.tag));
            assert!(carried.is_none_or(|by| by == Some(packet.id)), "a message knows its packet");
        }
        assert!(self.parked.iter().all(|&id| self.get(id).is_some()), "nothing waits for the map");
        assert_eq!(self.bytes, packets().map(Packet::weight).sum::<usize>(), "bytes miscounted");
        assert!(self.bytes <= limits.custody_bytes as usize, "more than may wait");
        for (&peer, &share) in &self.shares {
            let of_it = packets().filter(|packet| packet.from == Some(peer));
            assert_eq!(of_it.map(Packet::weight).sum::<usize>(), share, "share of {peer:?} miscounted");
        }
        self.trails.check(limits.trails());
    }
}
