//! Two or more nodes in memory, without any world: what one packs, the other unpacks.

use bytes::Bytes;
use proto_core::crypto::sign::Verifier;
use proto_core::ids::{Addr, LinkId, NodeId};
use proto_core::node::{
    Class, Command, Delivery, Event, Input, LinkInfo, LinkState, Medium, Outcome, Output, PeerSpec, Refused,
    Send,
};
use proto_core::time::{Duration, Instant};
use proto_core::wake::Wake;
use simulator::Real;
use simulator::plan::{NodePlan, Plan, Profile};
use simulator::subject::{Start, Subject};

use super::measure::Start as Clock;
use crate::memory::Metered;

/// Node 0 with a link to each of the others.
pub(crate) struct Star<S = Real> {
    hosts: Vec<S>,
    ids: Vec<NodeId>,
    keys: Vec<Option<[u8; 32]>>,
    now_us: u64,
    buf: Vec<u8>,
    /// What is on its way to node 0, and from it, where only that is measured.
    parcels: (Parcel, Parcel),
    /// Messages that arrived at anybody.
    pub(crate) arrived: u64,
    /// Messages that anybody was told have arrived.
    pub(crate) receipted: u64,
    /// Sessions that were reported as established, by both sides together.
    pub(crate) established: u64,
}

/// Packets on their way, one after the other in one buffer, into which the nodes write them.
#[derive(Default)]
struct Parcel {
    bytes: Vec<u8>,
    /// Of each: its link, who sent it, and where it ends.
    ends: Vec<(u16, u32, usize)>,
}

impl Parcel {
    fn clear(&mut self) {
        self.ends.clear();
    }

    fn end(&self) -> usize {
        self.ends.last().map_or(0, |&(_, _, end)| end)
    }

    /// Where the next packet may be written: room for as many segments as a link takes at once.
    fn room(&mut self) -> &mut [u8] {
        let end = self.end();
        if self.bytes.len() < end + ROOM {
            self.bytes.resize(end + 2 * ROOM, 0);
        }
        &mut self.bytes[end..end + ROOM]
    }

    fn put(&mut self, link: u16, from: u32, len: usize) {
        let end = self.end() + len;
        self.ends.push((link, from, end));
    }

    fn iter(&self) -> impl Iterator<Item = (u16, u32, &[u8])> {
        let starts = core::iter::once(0).chain(self.ends.iter().map(|&(_, _, end)| end));
        starts.zip(&self.ends).map(|(start, &(link, from, end))| (link, from, &self.bytes[start..end]))
    }
}

/// Wakes after which a session that is not up will not come up: a few are enough for a handshake.
const TURNS_TO_CONNECT: u32 = 10_000;
/// The largest packet of the links.
const MTU: u16 = 1_400;
/// Room for what a node writes at once.
const ROOM: usize = 65_536;

impl<S: Subject> Star<S> {
    /// Nodes of one profile that have just started, with their links up. `None` when one cannot start.
    pub(crate) fn new(profile: Profile, leaves: u32, seed: u64) -> Option<Star<S>> {
        Star::of(NodePlan { count: leaves + 1, profile, ..NodePlan::default() }, seed)
    }

    /// Nodes that pass on for each other.
    pub(crate) fn routers(leaves: u32, seed: u64) -> Option<Star<S>> {
        let mut node = NodePlan { count: leaves + 1, profile: Profile::Server, ..NodePlan::default() };
        node.limits.insert("routers".to_owned(), 16);
        Star::of(node, seed)
    }

    fn of(node: NodePlan, seed: u64) -> Option<Star<S>> {
        let leaves = node.count - 1;
        let mut plan = Plan::new("bench", seed, 1);
        plan.add_node(node);
        let cast = S::cast(&plan).ok()?;
        let mut limits = plan.limits(0);
        limits.links = limits.links.max(leaves as u16);
        let now = Instant::from_micros(1);
        let start = |node: u32| Start {
            node,
            seed: [node as u8 + 1; 32],
            limits: limits.clone(),
            records: Vec::new(),
            versions: None,
            bug: None,
            now,
            at_us: 1,
            // What a node costs is measured as it is alone.
            verifier: Verifier::default(),
        };
        let mut star = Star {
            hosts: (0..=leaves).map(|node| S::boot(&cast, start(node)).ok()).collect::<Option<_>>()?,
            ids: (0..=leaves).map(|node| S::node_id(&cast, node)).collect(),
            keys: (0..=leaves).map(|node| S::key(&cast, node)).collect(),
            now_us: 1,
            buf: vec![0; ROOM],
            parcels: <(Parcel, Parcel)>::default(),
            arrived: 0,
            receipted: 0,
            established: 0,
        };
        for leaf in 1..=leaves {
            star.link_up(0, leaf);
            star.link_up(leaf, leaf);
        }
        star.run(1_000);
        Some(star)
    }

    /// Link number `leaf` is the one between node 0 and that leaf.
    fn link_up(&mut self, host: u32, leaf: u32) {
        let info = LinkInfo {
            medium: Medium::PointToPoint,
            mtu: MTU,
            rate_bps: None,
            delay: Duration::from_micros(100),
            cost: 0,
            segments: 1,
            local: Addr::from_u32(host),
            air: None,
            beacons: false,
        };
        let up = Input::LinkChanged { link: LinkId(leaf as u16), state: LinkState::Up(info) };
        let _ = self.hosts[host as usize].handle(Instant::from_micros(self.now_us), up);
    }

    /// Has every leaf keep a session with node 0, and waits until all are up.
    pub(crate) fn connect(&mut self) -> bool {
        let wanted = 2 * (self.hosts.len() as u64 - 1);
        for leaf in 1..self.hosts.len() {
            let spec = PeerSpec {
                node: Some(self.ids[0]),
                key: self.keys[0],
                endpoints: vec![(LinkId(leaf as u16), Addr::from_u32(0))],
            };
            let now = Instant::from_micros(self.now_us);
            let _ = self.hosts[leaf].handle(now, Input::Command(Command::AddPeer(spec)));
        }
        for _ in 0..TURNS_TO_CONNECT {
            if self.established >= wanted {
                return true;
            }
            self.run_to_next_wake();
        }
        self.established >= wanted
    }

    /// Lets time pass until somebody wants to be woken. An answered handshake is only confirmed by the
    /// first packet under its keys, and that may be a keep-alive: nothing is gained by looking every
    /// millisecond until then.
    fn run_to_next_wake(&mut self) {
        let next = self.hosts.iter().map(S::next_wake).min();
        let us = match next {
            Some(Wake::At(at, _)) => at.as_micros().saturating_sub(self.now_us),
            Some(Wake::Now | Wake::Idle) | None => 0,
        };
        self.run(us.max(1));
    }

    /// Node 1 gives a message for node 0 to its node.
    pub(crate) fn send(&mut self, delivery: Delivery, payload: &Bytes) -> Result<(), Refused> {
        let send = Send {
            to: self.ids[0],
            tag: 0,
            delivery,
            class: Class::Normal,
            lifetime: None,
            payload: payload.clone(),
        };
        self.hosts[1].handle(Instant::from_micros(self.now_us), Input::Command(Command::Send(send)))
    }

    /// One node gives a message for another to its node.
    pub(crate) fn send_to(
        &mut self,
        from: usize,
        to: usize,
        delivery: Delivery,
        payload: &Bytes,
    ) -> Result<(), Refused> {
        let (tag, class, lifetime) = (0, Class::Normal, None);
        let send = Send { to: self.ids[to], tag, delivery, class, lifetime, payload: payload.clone() };
        self.hosts[from].handle(Instant::from_micros(self.now_us), Input::Command(Command::Send(send)))
    }

    /// Waits until one has a session with another over node 0. Whether that comes about.
    pub(crate) fn find(&mut self, from: usize, to: usize) -> bool {
        let before = self.arrived;
        for _ in 0..TURNS_TO_CONNECT {
            let _ = self.send_to(from, to, Delivery::Message, &Bytes::from_static(b"who"));
            self.run(10_000);
            if self.arrived > before {
                // What else was sent by then arrives, and everybody knows how long a packet takes.
                (0..1_000).for_each(|_| self.run(1_000));
                return true;
            }
        }
        false
    }

    /// As [`Star::run`], and says how many seconds node 0 took of it.
    pub(crate) fn pass(&mut self, us: u64) -> f64 {
        self.now_us += us;
        let now = Instant::from_micros(self.now_us);
        let mut seconds = 0.0;
        let (mut to_first, mut from_first) = std::mem::take(&mut self.parcels);
        loop {
            to_first.clear();
            for host in 1..self.hosts.len() {
                if self.hosts[host].next_wake().is_due(now) {
                    let _ = self.hosts[host].handle(now, Input::Wake);
                }
                self.take(host, &mut to_first);
            }
            from_first.clear();
            let clock = Clock::now();
            self.turn_of_first(&to_first, &mut from_first);
            seconds += clock.seconds();
            if to_first.ends.is_empty() && from_first.ends.is_empty() {
                self.parcels = (to_first, from_first);
                return seconds;
            }
            for (link, _, bytes) in from_first.iter() {
                let from = Addr::from_u32(0);
                let input = Input::Datagram { link: LinkId(link), from, bytes };
                let _ = self.hosts[usize::from(link)].handle(now, input);
            }
        }
    }

    /// What is measured, in a function of its own so that a profile shows it apart.
    #[inline(never)]
    fn turn_of_first(&mut self, to_first: &Parcel, from_first: &mut Parcel) {
        let now = Instant::from_micros(self.now_us);
        if self.hosts[0].next_wake().is_due(now) {
            let _ = self.hosts[0].handle(now, Input::Wake);
        }
        for (link, from, bytes) in to_first.iter() {
            let from = Addr::from_u32(from);
            let _ = self.hosts[0].handle(now, Input::Datagram { link: LinkId(link), from, bytes });
        }
        self.take(0, from_first);
    }

    /// Takes all outputs of a host, and keeps what it transmits.
    fn take(&mut self, host: usize, parcel: &mut Parcel) {
        let now = Instant::from_micros(self.now_us);
        while let Some(output) = self.hosts[host].poll(now, parcel.room()) {
            match output {
                Output::Transmit(transmit) => {
                    let mut left = transmit.len;
                    while left > 0 {
                        let len = left.min(transmit.segment.max(1));
                        parcel.put(transmit.link.0, host as u32, len);
                        left -= len;
                    }
                }
                other => self.other(host, other),
            }
        }
    }

    /// An output that is no packet.
    fn other(&mut self, host: usize, output: Output) {
        let now = Instant::from_micros(self.now_us);
        match output {
            Output::Transmit(_) => {}
            Output::Store { ticket, .. } => {
                let _ = self.hosts[host].handle(now, Input::Stored { up_to: ticket });
            }
            Output::Load { ticket, .. } => {
                let _ = self.hosts[host].handle(now, Input::Loaded { ticket, record: None });
            }
            Output::Event(Event::PeerUp { .. }) => self.established += 1,
            Output::Event(Event::Message { .. }) => self.arrived += 1,
            Output::Event(Event::Receipt { outcome: Outcome::Delivered, .. }) => self.receipted += 1,
            Output::Event(_) => {}
        }
    }

    /// Lets time pass, and everybody do what there is to do.
    pub(crate) fn run(&mut self, us: u64) {
        self.now_us += us;
        let now = Instant::from_micros(self.now_us);
        for host in 0..self.hosts.len() {
            if self.hosts[host].next_wake().is_due(now) {
                let _ = self.hosts[host].handle(now, Input::Wake);
            }
        }
        // A packet makes others; a few rounds settle them.
        while (0..self.hosts.len()).filter(|&host| self.drain(host)).count() > 0 {}
    }

    /// Takes all outputs of a host. Whether there were any.
    fn drain(&mut self, host: usize) -> bool {
        let now = Instant::from_micros(self.now_us);
        let mut any = false;
        let mut buf = std::mem::take(&mut self.buf);
        while let Some(output) = self.hosts[host].poll(now, &mut buf) {
            any = true;
            match output {
                Output::Transmit(transmit) => {
                    let to = if host == 0 { usize::from(transmit.link.0) } else { 0 };
                    let from = Addr::from_u32(host as u32);
                    for bytes in buf[..transmit.len].chunks(transmit.segment.max(1)) {
                        let input = Input::Datagram { link: transmit.link, from, bytes };
                        let _ = self.hosts[to].handle(now, input);
                    }
                }
                other => self.other(host, other),
            }
        }
        self.buf = buf;
        any
    }
}

impl Star<Metered<Real>> {
    /// Heap bytes that node 0 holds now.
    pub(crate) fn held_by_first(&self) -> i64 {
        self.hosts[0].live()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_sends_to_another_passes_the_first() {
        let mut star: Star = Star::routers(2, 1).expect("three nodes");
        assert!(star.connect() && star.find(1, 2));
        let before = star.arrived;
        for _ in 0..4 {
            star.send_to(1, 2, Delivery::Datagram, &Bytes::from_static(&[7; 1_160])).expect("there is room");
        }
        assert!(star.pass(1_000) > 0.0);
        assert_eq!(star.arrived - before, 4);
    }

    #[test]
    fn nodes_in_memory_get_into_session_and_what_one_sends_arrives() {
        let mut star: Star = Star::new(Profile::Server, 3, 1).expect("four nodes");
        assert!(star.connect());
        let payload = Bytes::from_static(&[7; 1_200]);
        for _ in 0..4 {
            star.send(Delivery::Datagram, &payload).expect("there is room");
        }
        star.run(1_000);
        assert_eq!((star.arrived, star.receipted), (4, 0));
        star.send(Delivery::Message, &payload).expect("there is room");
        (0..100).for_each(|_| star.run(1_000));
        assert_eq!((star.arrived, star.receipted), (5, 1));
    }
}
