//! The applications' part of the world: sending, taking, confirming, and keeping sessions.

use std::collections::BTreeMap;

use proto_core::ids::NodeId;
use proto_core::node::{Command, Delivery, Event as Said, Input, PeerSpec, Refused, Send};
use proto_core::time::Duration;

use super::host::NEVER;
use super::{Event, World};
use crate::app::{class_of, delivery_of, pause_after, payload, size_of};
use crate::check::link::Arrived;
use crate::check::{Sight, Violation};
use crate::draw::{Lot, Purpose};
use crate::net::address::address_of;
use crate::outcome::Note;
use crate::plan::{FlowPlan, Kind, PeerPlan, Plan};
use crate::subject::Subject;

/// One flow's sender.
#[derive(Clone, Debug)]
struct Sender {
    /// Messages that the node has taken (or refused for good).
    given: u64,
    /// Messages that it may give: for answers, as many as questions have come.
    allowed: u64,
    /// When the next one is due.
    due_us: u64,
    /// When the next attempt is arranged; attempts arranged for another time are void.
    arranged_us: u64,
    /// The node had no room.
    blocked: bool,
}

/// A durable message that an application thinks about.
#[derive(Clone, Copy, Debug)]
struct Thinking {
    host: u32,
    life: u32,
    from: NodeId,
    seq: u64,
}

/// What the applications are up to.
#[derive(Debug)]
pub(super) struct Work {
    senders: Vec<Sender>,
    /// Flows of each node.
    flows_of: Vec<Vec<u32>>,
    /// By which flow the messages of a flow are answered.
    answered_by: BTreeMap<u32, u32>,
    /// Planned peers by both ends.
    peers_of: BTreeMap<(u32, u32), Vec<u32>>,
    thinking: Vec<Option<Thinking>>,
    free: Vec<u32>,
    confirmed: u64,
}

/// A node without room is asked again after this, if no receipt comes before.
const RETRY_FULL_US: u64 = 1_000_000;
/// A node that does not know the receiver is asked again after this.
const RETRY_UNKNOWN_US: u64 = 100_000;
/// Messages given in one go, so that other things may happen in between.
const BATCH: u32 = 64;
/// Notes kept in an outcome.
const MOST_NOTES: usize = 1_000;

impl Work {
    pub(super) fn new(plan: &Plan) -> Work {
        let mut flows_of = vec![Vec::new(); plan.node_count() as usize];
        for (flow, number) in plan.flows.iter().zip(0..) {
            flows_of[flow.from as usize].push(number);
        }
        let mut peers_of: BTreeMap<(u32, u32), Vec<u32>> = BTreeMap::new();
        for (peer, number) in plan.peers.iter().zip(0..) {
            peers_of.entry((peer.node.min(peer.to), peer.node.max(peer.to))).or_default().push(number);
        }
        let answers = plan.flows.iter().zip(0..).filter_map(|(flow, number)| Some((flow.answers?, number)));
        let sender = |flow: &FlowPlan| Sender {
            given: 0,
            allowed: if flow.answers.is_some() { 0 } else { u64::MAX },
            due_us: if flow.answers.is_some() { 0 } else { flow.start_us },
            arranged_us: flow.start_us,
            blocked: false,
        };
        Work {
            senders: plan.flows.iter().map(sender).collect(),
            flows_of,
            answered_by: answers.collect(),
            peers_of,
            thinking: Vec::new(),
            free: Vec::new(),
            confirmed: 0,
        }
    }

    /// Messages that the plan asks for and no node has taken yet. After the storm only those of
    /// flows that do not keep time count: the others have stopped.
    pub(super) fn not_given(&self, plan: &Plan, flow: u32, storm_over: bool) -> u64 {
        let planned = &plan.flows[flow as usize];
        if storm_over && planned.every_us > 0 {
            return 0;
        }
        let sender = &self.senders[flow as usize];
        planned.count.min(sender.allowed) - sender.given
    }
}

impl<S: Subject> World<S> {
    fn arrange_send(&mut self, flow: u32, at_us: u64) {
        self.work.senders[flow as usize].arranged_us = at_us;
        self.agenda.push(at_us, Event::Send { flow });
    }

    /// An application sends what is due.
    pub(super) fn send(&mut self, number: u32) {
        let sender = &mut self.work.senders[number as usize];
        if sender.arranged_us != self.now_us {
            return;
        }
        sender.arranged_us = NEVER;
        sender.blocked = false;
        for _ in 0..BATCH {
            let flow = &self.plan.flows[number as usize];
            let (host, every_us) = (flow.from, flow.every_us);
            let sender = &mut self.work.senders[number as usize];
            if sender.given >= flow.count.min(sender.allowed) || (self.storm_over && every_us > 0) {
                return;
            }
            if sender.due_us > self.now_us {
                let at_us = sender.due_us;
                return self.arrange_send(number, at_us);
            }
            let known = &self.hosts[host as usize];
            if known.frozen {
                return;
            }
            if known.subject.is_none() {
                sender.blocked = true;
                return;
            }
            if known.is_busy(self.now_us) {
                let at_us = known.busy_until_us.max(self.now_us + 1_000);
                return self.arrange_send(number, at_us);
            }
            let (given, due_us) = (sender.given, sender.due_us);
            if !self.give_message(number, due_us) {
                return;
            }
            let flow = &self.plan.flows[number as usize];
            let due_us =
                due_us.max(self.now_us.min(due_us)) + pause_after(self.plan.seed, number, flow, given);
            let sender = &mut self.work.senders[number as usize];
            sender.given += 1;
            sender.due_us = if every_us == 0 { self.now_us } else { due_us };
        }
        self.arrange_send(number, self.now_us);
    }

    /// Gives the next message of a flow to its node. False when the node has no room.
    fn give_message(&mut self, number: u32, due_us: u64) -> bool {
        let flow = &self.plan.flows[number as usize];
        let (host, to, seed) = (flow.from, flow.to, self.plan.seed);
        let (delivery, class) = (delivery_of(flow), class_of(flow));
        let lifetime = flow.lifetime_us.map(Duration::from_micros);
        let index = self.ledger.sent(number, self.now_us, due_us);
        self.busy_or_idle();
        let flow = &self.plan.flows[number as usize];
        let payload = payload(seed, number, index, size_of(seed, number, flow, index));
        let tag = u64::from(number) << 40 | index;
        let send = Send { to: self.ids[to as usize], tag, delivery, class, lifetime, payload };
        let result = self.turn(host, Input::Command(Command::Send(send)));
        match result {
            Some(Ok(())) => true,
            None | Some(Err(Refused::QueueFull)) => self.try_again(number, RETRY_FULL_US),
            Some(Err(Refused::UnknownPeer)) => self.try_again(number, RETRY_UNKNOWN_US),
            Some(Err(
                Refused::Oversize { .. }
                | Refused::PeersFull { .. }
                | Refused::EndpointsFull { .. }
                | Refused::NoEndpoint
                | Refused::UnknownLink
                | Refused::NoStorage
                | Refused::NoGossip
                | Refused::Statement(_)
                | Refused::Link(_),
            )) => {
                self.ledger.refused_at_the_door(number, index);
                self.ledger.excuse("refused-at-the-door", 1);
                self.busy_or_idle();
                true
            }
        }
    }

    fn try_again(&mut self, number: u32, after_us: u64) -> bool {
        self.ledger.pushed_back(number);
        self.busy_or_idle();
        self.work.senders[number as usize].blocked = true;
        self.arrange_send(number, self.now_us + after_us);
        false
    }

    /// A node has room again, or is back: whoever waits for it tries at once.
    pub(super) fn wake_flows(&mut self, node: u32) {
        for at in 0..self.work.flows_of.get(node as usize).map_or(0, Vec::len) {
            let flow = self.work.flows_of[node as usize][at];
            let sender = &mut self.work.senders[flow as usize];
            if sender.blocked {
                sender.blocked = false;
                self.arrange_send(flow, self.now_us);
            }
        }
    }

    /// A node is told to keep a session that the plan asks for.
    pub(super) fn connect(&mut self, peer: u32) {
        let &PeerPlan { node, to, .. } = &self.plan.peers[peer as usize];
        if self.plan.peers[peer as usize].told {
            self.connect_host(node, peer);
        }
        // Of one that comes back the session may never have ended.
        self.session_is_up(node, to);
    }

    /// A node is told that a peer is gone: places at which no other entry of the plan has it are taken back.
    pub(super) fn part(&mut self, peer: u32) {
        let planned = &self.plan.peers[peer as usize];
        let (host, node, to) = (planned.node, planned.node, planned.to);
        let known = &self.hosts[host as usize];
        if known.subject.is_none() || known.frozen || !planned.told {
            return;
        }
        let told = |link: &u32| {
            let entries = self.work.peers_of.get(&(node.min(to), node.max(to)));
            entries.into_iter().flatten().map(|number| &self.plan.peers[*number as usize]).any(|other| {
                other.node == node && other.is_told(self.now_us) && self.links_of(other).contains(link)
            })
        };
        let gone: Vec<u32> = self.links_of(planned).into_iter().filter(|link| !told(link)).collect();
        for link in gone {
            let command = Command::RemoveEndpoint { link: self.local(host, link), addr: address_of(to) };
            if let Some(Err(refused)) = self.turn(host, Input::Command(command)) {
                self.note(host, format!("peer {to} not taken back: {refused}"));
            }
        }
    }

    /// The links over which a peer of the plan is called.
    fn links_of(&self, planned: &PeerPlan) -> Vec<u32> {
        let common = |number: &u32| self.plan.links[*number as usize].members.contains(&planned.to);
        if planned.links.is_empty() {
            self.hosts[planned.node as usize].interfaces.iter().copied().filter(common).collect()
        } else {
            planned.links.clone()
        }
    }

    /// Whether some entry of the plan still has one of two nodes keep a session with the other, or none ever had.
    pub(super) fn is_kept(&self, a: u32, b: u32) -> bool {
        let entries = self.work.peers_of.get(&(a.min(b), a.max(b)));
        entries.is_none_or(|numbers| {
            numbers
                .iter()
                .any(|number| self.plan.peers[*number as usize].until_us.is_none_or(|us| us > self.now_us))
        })
    }

    pub(super) fn connect_host(&mut self, host: u32, peer: u32) {
        if self.hosts[host as usize].subject.is_none() || self.hosts[host as usize].frozen {
            return;
        }
        let planned = self.plan.peers[peer as usize].clone();
        let links = self.links_of(&planned);
        let to = address_of(planned.to);
        for &link in &links {
            let complaint = self.registry.show(self.now_us, &Sight::Endpoint { host, link, to });
            self.complain(complaint);
        }
        let most = usize::from(self.plan.limits(self.hosts[host as usize].node).paths_per_peer);
        let spec = PeerSpec {
            node: Some(self.ids[planned.to as usize]),
            key: if planned.key_known { S::key(&self.cast, planned.to) } else { None },
            // A node is given no more places of one peer than it takes.
            endpoints: links.iter().take(most).map(|link| (self.local(host, *link), to)).collect(),
        };
        if let Some(Err(refused)) = self.turn(host, Input::Command(Command::AddPeer(spec))) {
            self.note(host, format!("peer {} refused: {refused}", planned.to));
        }
        let node = self.hosts[host as usize].node;
        self.wake_flows(node);
    }

    /// A node says something.
    pub(super) fn heard(&mut self, host: u32, event: Said) {
        let node = self.hosts[host as usize].node;
        match event {
            Said::Message { from, delivery, seq, again, payload } => {
                let kind = match delivery {
                    Delivery::Datagram => Kind::Datagram,
                    Delivery::Message => Kind::Message,
                    Delivery::Stream { .. } => Kind::Stream,
                    Delivery::Durable => Kind::Durable,
                };
                let Some(&sender) = self.numbers.get(&from) else {
                    let reason = format!("node {host} was given a message from {from}, who is nobody");
                    return self.complain(Some(Violation::safety("link", reason)));
                };
                let arrived = Arrived { host, node, from: sender, kind, again, bytes: &payload };
                match self.ledger.arrived(self.now_us, &arrived) {
                    Ok(flow) => {
                        if kind == Kind::Durable {
                            self.think(host, flow, from, seq);
                        }
                        self.answer(flow);
                    }
                    Err(_)
                        if kind == Kind::Durable
                            && (self.ledger.rotten.contains(&node)
                                || self.ledger.rotten.contains(&sender)) =>
                    {
                        self.ledger.excuse("record-rotted", 1);
                    }
                    Err(violation) => self.complain(Some(violation)),
                }
            }
            Said::Receipt { to: _, tag, outcome } => {
                let complaint = self.ledger.receipt(node, tag, outcome);
                self.complain(complaint);
                self.wake_flows(node);
            }
            Said::PeerUp { node: peer, .. } => {
                if let Some(&peer) = self.numbers.get(&peer) {
                    self.sessions.insert((host, peer));
                    self.session_is_up(node, peer);
                }
                self.note(host, format!("{event:?}"));
            }
            Said::PeerDown { node: peer, .. } => {
                if let Some(&peer) = self.numbers.get(&peer) {
                    self.sessions.remove(&(host, peer));
                }
                self.note(host, format!("{event:?}"));
            }
            Said::Gossip(event) => self.heard_of_gossip(host, event),
            Said::StorageFailed => {
                self.ledger.excuse("storage-failed", 1);
                self.note(host, format!("{event:?}"));
            }
            Said::Path { .. } | Said::Incompatible { .. } | Said::CloneDetected { .. } => {
                self.note(host, format!("{event:?}"));
            }
        }
        self.busy_or_idle();
    }

    /// A message of a flow has come: if it is a question it is answered.
    fn answer(&mut self, question: u32) {
        let Some(&answer) = self.work.answered_by.get(&question) else { return };
        self.work.senders[answer as usize].allowed += 1;
        self.arrange_send(answer, self.now_us);
    }

    fn session_is_up(&mut self, node: u32, peer: u32) {
        if !self.sessions.contains(&(node, peer)) || !self.sessions.contains(&(peer, node)) {
            return;
        }
        for number in self.work.peers_of.get(&(node.min(peer), node.max(peer))).into_iter().flatten() {
            if self.plan.peers[*number as usize].at_us <= self.now_us {
                let up_us = &mut self.session_up_us[*number as usize];
                self.sessions_to_come -= usize::from(up_us.is_none());
                up_us.get_or_insert(self.now_us);
            }
        }
    }

    /// An application takes a durable message and thinks before it confirms.
    fn think(&mut self, host: u32, flow: u32, from: NodeId, seq: u64) {
        let most_us = self.plan.flows[flow as usize].consume_after_us;
        let lot = Lot::new(self.plan.seed, Purpose::Consume, u64::from(host));
        self.work.confirmed += 1;
        let after_us = lot.between(self.work.confirmed, 0, most_us);
        let life = self.hosts[host as usize].life;
        let thinking = Some(Thinking { host, life, from, seq });
        let slot = match self.work.free.pop() {
            Some(slot) => {
                self.work.thinking[slot as usize] = thinking;
                slot
            }
            None => {
                self.work.thinking.push(thinking);
                self.work.thinking.len() as u32 - 1
            }
        };
        self.agenda.push(self.now_us + after_us, Event::Consume { slot });
    }

    /// It confirms.
    pub(super) fn consume(&mut self, slot: u32) {
        let Some(thinking) = self.work.thinking[slot as usize] else { return };
        let known = &self.hosts[thinking.host as usize];
        if known.subject.is_some()
            && known.life == thinking.life
            && known.is_busy(self.now_us)
            && !known.frozen
        {
            let at_us = known.busy_until_us.max(self.now_us + 1_000);
            return self.agenda.push(at_us, Event::Consume { slot });
        }
        self.work.thinking[slot as usize] = None;
        self.work.free.push(slot);
        if known.life == thinking.life && !known.frozen {
            let command = Command::Consumed { from: thinking.from, seq: thinking.seq };
            if let Some(Err(refused)) = self.turn(thinking.host, Input::Command(command)) {
                self.note(thinking.host, format!("confirmation refused: {refused}"));
            }
        }
    }

    /// Keeps count of the time in which no message is outstanding, once every session has been up.
    pub(super) fn busy_or_idle(&mut self) {
        match (self.ledger.outstanding(), self.idle_since_us) {
            (0, None) if self.sessions_to_come == 0 => self.idle_since_us = Some(self.now_us),
            (1.., Some(since_us)) => {
                self.idle_us += self.now_us - since_us;
                self.idle_since_us = None;
            }
            (0, None | Some(_)) | (1.., None) => {}
        }
    }

    pub(super) fn note(&mut self, host: u32, what: String) {
        if self.notes.len() < MOST_NOTES {
            self.notes.push(Note { at_us: self.now_us, host, what });
        }
    }
}
