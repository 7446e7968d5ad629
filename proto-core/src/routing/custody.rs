//! Packets that this router has taken over and the next has not.
//!
//! A relay runner keeps the baton until the next one has it in his hand. What cannot go on now waits, for its time, within
//! bounds of number and bytes and a share for each neighbour; and of each packet that came by it is remembered for a while by
//! which exits it left, so that one that comes back leaves by another. The walk of a packet through a network in which
//! routers disagree is so a depth-first search: it takes each exit once (Lamparter, Schulz and others call what the packet
//! carries of it *failure-carrying packets*: Lakshminarayanan et al., SIGCOMM 2007).

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;

use super::message::{Broken, Head, MOST_BROKEN};
use crate::ids::{PeerSlot, RouterId};
use crate::limits::Limits;
use crate::time::{Duration, Instant};

/// How long a packet may wait at one router.
const LIFETIME: Duration = Duration::from_secs(10);
/// After so long without an exit all are tried again: what was broken may work by now.
const ROUND: Duration = Duration::from_millis(60);
/// How long it is remembered by which exits a packet left.
const TRAIL: Duration = Duration::from_secs(2);
/// What a packet takes beside its bytes.
const PACKET_OVERHEAD: usize = 256;

/// A packet as its source names it. Not authenticated: who is on its way can spoil its walk, and could drop it as well.
type Name = (RouterId, u32);

/// One packet in our hands.
#[derive(Debug)]
pub struct Packet {
    /// What relays read.
    pub head: Head,
    /// The rest.
    pub payload: Bytes,
    /// Who brought it; `None` for our own.
    pub from: Option<PeerSlot>,
    /// To whom it was given, who has not taken it yet.
    pub sent: Option<Sent>,
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
}

impl Packet {
    fn name(&self) -> Name {
        (self.head.from, self.head.id)
    }

    fn weight(&self) -> usize {
        PACKET_OVERHEAD + self.payload.len()
    }
}

/// All packets in our hands.
#[derive(Debug, Default)]
pub struct Custody {
    packets: BTreeMap<u64, Packet>,
    alarms: BTreeSet<(Instant, u64)>,
    /// Those that wait for the map to change.
    parked: BTreeSet<u64>,
    next: u64,
    bytes: usize,
    shares: BTreeMap<PeerSlot, usize>,
    trails: BTreeMap<Name, Vec<RouterId>>,
    /// When each trail was last followed, oldest first; a name stands here once.
    followed: VecDeque<(Instant, Name)>,
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
    /// Takes a packet over, if there is room.
    pub fn take(
        &mut self,
        now: Instant,
        limits: &Limits,
        head: Head,
        payload: Bytes,
        from: Option<PeerSlot>,
    ) -> Option<u64> {
        let expires = now + LIFETIME;
        let packet = Packet { head, payload, from, sent: None, expires, alarm: expires };
        let weight = packet.weight();
        let most = limits.custody_bytes as usize;
        let share = from.map_or(0, |peer| self.shares.get(&peer).copied().unwrap_or(0));
        if self.bytes + weight > most || from.is_some() && share + weight > most / 2 {
            return None;
        }
        let id = self.next;
        self.next += 1;
        self.bytes += weight;
        if let Some(peer) = from {
            self.shares.insert(peer, share + weight);
        }
        self.alarms.insert((packet.alarm, id));
        self.packets.insert(id, packet);
        Some(id)
    }

    /// The packet with this number.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<&Packet> {
        self.packets.get(&id)
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Those that were given to this neighbour and that it has not taken.
    #[must_use]
    pub fn given_to(&self, peer: PeerSlot) -> Vec<u64> {
        let is_there = |packet: &Packet| packet.sent.is_some_and(|sent| sent.peer == peer);
        self.packets.iter().filter(|(_, packet)| is_there(packet)).map(|(&id, _)| id).collect()
    }

    /// By which exits a packet has left.
    #[must_use]
    pub fn tried(&self, id: u64) -> &[RouterId] {
        let name = self.packets.get(&id).map(Packet::name);
        name.and_then(|name| self.trails.get(&name)).map_or(&[], Vec::as_slice)
    }

    /// A packet was given to a neighbour.
    pub fn give(&mut self, now: Instant, limits: &Limits, id: u64, sent: Sent, patience: Duration) {
        let Some(packet) = self.packets.get_mut(&id) else { return };
        packet.sent = Some(sent);
        let (name, alarm) = (packet.name(), (now + patience).min(packet.expires));
        self.set_alarm(id, alarm);
        self.follow(now, limits, name, sent.router);
    }

    fn follow(&mut self, now: Instant, limits: &Limits, name: Name, exit: RouterId) {
        while let Some(&(at, oldest)) = self.followed.front() {
            if at + TRAIL > now && self.followed.len() < limits.trails() {
                break;
            }
            self.followed.pop_front();
            self.trails.remove(&oldest);
        }
        if let Some(trail) = self.trails.get_mut(&name) {
            if !trail.contains(&exit) {
                trail.push(exit);
            }
            return;
        }
        self.trails.insert(name, alloc::vec![exit]);
        self.followed.push_back((now, name));
    }

    /// Nobody can be given a packet now.
    pub fn wait(&mut self, now: Instant, id: u64) {
        if let Some(packet) = self.packets.get_mut(&id) {
            packet.sent = None;
            let alarm = (now + ROUND).min(packet.expires);
            self.set_alarm(id, alarm);
        }
    }

    /// No way leads where a packet goes: it waits for the map to change.
    pub fn park(&mut self, id: u64) {
        if let Some(packet) = self.packets.get_mut(&id) {
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
        if let Some(packet) = self.packets.get(&id) {
            self.set_alarm(id, (now + patience).min(packet.expires));
        }
    }

    fn set_alarm(&mut self, id: u64, at: Instant) {
        if let Some(packet) = self.packets.get_mut(&id) {
            self.alarms.remove(&(packet.alarm, id));
            packet.alarm = at;
            self.alarms.insert((at, id));
        }
    }

    /// The link to this neighbour did not take a packet: the next routers are to know.
    pub fn mark_broken(&mut self, own: RouterId, id: u64, next: RouterId) {
        let Some(packet) = self.packets.get_mut(&id) else { return };
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
        let Some(packet) = self.packets.get_mut(&id) else { return };
        packet.head.broken.clear();
        if let Some(trail) = self.trails.get_mut(&packet.name()) {
            trail.clear();
        }
    }

    /// The next packet whose alarm has gone off.
    #[must_use]
    pub fn due(&self, now: Instant) -> Option<(u64, Alarm)> {
        let &(at, id) = self.alarms.first()?;
        let packet = self.packets.get(&id).filter(|_| at <= now)?;
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
        self.alarms.first().map(|&(at, _)| at)
    }

    /// A packet is in other hands, or nobody's.
    pub fn drop(&mut self, id: u64) -> Option<Packet> {
        let packet = self.packets.remove(&id)?;
        self.alarms.remove(&(packet.alarm, id));
        self.parked.remove(&id);
        self.bytes -= packet.weight();
        if let Some(peer) = packet.from
            && let Some(share) = self.shares.get_mut(&peer)
        {
            *share = share.saturating_sub(packet.weight());
            if *share == 0 {
                self.shares.remove(&peer);
            }
        }
        Some(packet)
    }

    /// Panics when an invariant does not hold.
    pub fn check(&self, limits: &Limits) {
        assert_eq!(self.alarms.len(), self.packets.len(), "an alarm for each packet");
        assert!(self.parked.iter().all(|id| self.packets.contains_key(id)), "nothing waits for the map");
        assert_eq!(self.bytes, self.packets.values().map(Packet::weight).sum::<usize>(), "bytes miscounted");
        assert!(self.bytes <= limits.custody_bytes as usize, "more than may wait");
        assert_eq!(self.trails.len(), self.followed.len(), "a trail for each name");
        for (&peer, &share) in &self.shares {
            let of_it = self.packets.values().filter(|packet| packet.from == Some(peer));
            assert_eq!(of_it.map(Packet::weight).sum::<usize>(), share, "share of {peer:?} miscounted");
        }
    }
}
