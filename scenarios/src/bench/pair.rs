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

use crate::memory::Metered;

/// Node 0 with a link to each of the others.
pub(crate) struct Star<S = Real> {
    hosts: Vec<S>,
    ids: Vec<NodeId>,
    keys: Vec<Option<[u8; 32]>>,
    now_us: u64,
    buf: Vec<u8>,
    /// Messages that arrived at anybody.
    pub(crate) arrived: u64,
    /// Messages that anybody was told have arrived.
    pub(crate) receipted: u64,
    /// Sessions that were reported as established, by both sides together.
    pub(crate) established: u64,
}

/// Wakes after which a session that is not up will not come up: a few are enough for a handshake.
const TURNS_TO_CONNECT: u32 = 10_000;
/// The largest packet of the links.
const MTU: u16 = 1_400;

impl<S: Subject> Star<S> {
    /// Nodes of one profile that have just started, with their links up. `None` when one cannot start.
    pub(crate) fn new(profile: Profile, leaves: u32, seed: u64) -> Option<Star<S>> {
        let mut plan = Plan::new("bench", seed, 1);
        plan.add_node(NodePlan { count: leaves + 1, profile, ..NodePlan::default() });
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
            // What a node costs is measured as it is alone.
            verifier: Verifier::default(),
        };
        let mut star = Star {
            hosts: (0..=leaves).map(|node| S::boot(&cast, start(node)).ok()).collect::<Option<_>>()?,
            ids: (0..=leaves).map(|node| S::node_id(&cast, node)).collect(),
            keys: (0..=leaves).map(|node| S::key(&cast, node)).collect(),
            now_us: 1,
            buf: vec![0; 65_536],
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
