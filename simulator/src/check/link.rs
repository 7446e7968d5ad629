//! The ledger of messages: each delivered once, in order where asked, and no receipt for what did not
//! arrive.
//!
//! The applications keep it, from outside: what was handed in, what came out, what was signed for. A
//! message leaves the books when nothing more can happen to it, so a run of days needs little memory,
//! and a message that comes again after that is still recognised: its number is below the oldest open
//! one and not among those that ended without arriving.

mod identify;
mod lives;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proto_core::node::Outcome as Fate;

use super::Violation;
use crate::app::{NAMED, payload, size_of};
use crate::outcome::FlowReport;
use crate::plan::{FlowPlan, Kind, Plan};

/// One message that is not closed.
#[derive(Clone, Copy, Debug)]
struct Open {
    sent_us: u64,
    /// The receiving host and its start count when it first arrived.
    delivered_at: Option<(u32, u32)>,
    /// On the sender's disk.
    accepted: bool,
    /// No more is expected from the sender's node.
    closed: bool,
    /// Signed for without having been seen; to be shown after the receiver's restart.
    owed: bool,
    /// On disk when its sender lost its memory: it must arrive, but the receipt may have been lost
    /// with the sender's application.
    orphan: bool,
    /// It ended with an unknown fate.
    uncertain: bool,
}

/// One flow's books.
#[derive(Debug)]
struct Flow {
    plan: FlowPlan,
    /// The number of the first message in `open`.
    base: u64,
    open: VecDeque<Open>,
    /// Numbers below `base` that never arrived, and whether their fate is unknown. The first ones are
    /// forgotten beyond a bound.
    ended_unseen: BTreeMap<u64, bool>,
    /// The hosts that showed a message, of those shown by another host than the receiver's first: each twin
    /// has a disk of its own, and an application that takes from it. The first ones are forgotten beyond a
    /// bound.
    shown_by: BTreeMap<u64, BTreeSet<u32>>,
    /// The last that arrived in order, at each host that shows them: a twin has its own part of a stream.
    last_in_order: BTreeMap<u32, u64>,
    /// Not closed.
    outstanding: u64,
    /// Nothing is expected of it: the ends cannot reach each other.
    exempt: bool,
    /// The largest message that the receiver takes.
    most_bytes: u32,
    /// The receiver has a place for every node that sends it durable messages.
    has_place: bool,
    report: FlowReport,
}

/// What it means that a message was signed for which nobody has seen.
enum Unseen {
    /// It will be shown.
    Owed,
    Excused(&'static str),
    Wrong,
}

/// Messages that look alike: sender, receiver, contents.
type Alike = (u32, u32, Vec<u8>);

/// All books.
#[derive(Debug)]
pub struct Ledger {
    seed: u64,
    flows: Vec<Flow>,
    /// Small messages on their way, by sender, receiver and contents: flow and number of each.
    small: BTreeMap<Alike, VecDeque<(u32, u64)>>,
    /// How often each host has started.
    lives: BTreeMap<u32, u32>,
    /// Nodes of which there have been two.
    cloned: BTreeSet<u32>,
    outstanding: u64,
    /// What cannot be held against the core, counted by name.
    pub excusable: BTreeMap<&'static str, u64>,
    /// Nodes whose durable records rotted: what is lost with them is not held against the core.
    pub rotten: BTreeSet<u32>,
    /// Senders and receivers of which the sender's record of reserved numbers rotted, and how often the sender had
    /// started by then.
    reserves_rotted: BTreeMap<(u32, u32), u32>,
}

/// What arrived, as the receiving application sees it.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    /// The receiving host and the node it runs.
    pub host: u32,
    /// See `host`.
    pub node: u32,
    /// The node that sent it.
    pub from: u32,
    /// How it came.
    pub kind: Kind,
    /// Shown before, says the node.
    pub again: bool,
    /// The contents.
    pub bytes: &'a [u8],
}

/// Numbers of messages that ended unseen kept for one flow, and of those that a twin showed.
const MOST_UNSEEN: usize = 1 << 16;
/// Datagrams of one flow that may be under way; earlier ones are taken as lost.
const MOST_DATAGRAMS: usize = 1 << 16;

fn wrong(reason: String) -> Violation {
    Violation::safety("link", reason)
}

/// Nodes that send durable messages to this one. A node gives those that it was not told to keep a session
/// with half of its places.
fn senders_to(plan: &Plan, node: u32) -> u32 {
    let durable = plan.flows.iter().filter(|flow| flow.to == node && flow.delivery == Kind::Durable);
    durable.map(|flow| flow.from).collect::<BTreeSet<_>>().len() as u32
}

impl Ledger {
    /// Empty books for the flows of a plan.
    #[must_use]
    pub fn new(plan: &Plan) -> Ledger {
        let flow = |flow: &FlowPlan| Flow {
            plan: flow.clone(),
            base: 0,
            open: VecDeque::new(),
            ended_unseen: BTreeMap::new(),
            shown_by: BTreeMap::new(),
            last_in_order: BTreeMap::new(),
            outstanding: 0,
            exempt: false,
            most_bytes: plan.limits(flow.to).message_bytes,
            has_place: senders_to(plan, flow.to) <= plan.limits(flow.to).durable_peers / 2,
            report: FlowReport::default(),
        };
        Ledger {
            seed: plan.seed,
            flows: plan.flows.iter().map(flow).collect(),
            small: BTreeMap::new(),
            lives: BTreeMap::new(),
            cloned: BTreeSet::new(),
            outstanding: 0,
            excusable: BTreeMap::new(),
            rotten: BTreeSet::new(),
            reserves_rotted: BTreeMap::new(),
        }
    }

    /// Messages of which more is expected.
    #[must_use]
    pub fn outstanding(&self) -> u64 {
        self.outstanding
    }

    /// Bytes of each flow that were sent and not delivered, whatever became of them.
    pub fn undelivered_bytes(&self) -> impl Iterator<Item = u64> + '_ {
        self.flows.iter().map(|flow| flow.report.bytes_sent.saturating_sub(flow.report.bytes_delivered))
    }

    /// Nothing is expected of this flow.
    pub fn exempt(&mut self, flow: u32) {
        let flow = &mut self.flows[flow as usize];
        if !flow.exempt {
            flow.exempt = true;
            self.outstanding -= flow.outstanding;
        }
    }

    /// Counts something that cannot be held against the core.
    pub fn excuse(&mut self, name: &'static str, count: u64) {
        if count > 0 {
            *self.excusable.entry(name).or_default() += count;
        }
    }

    /// The next message of a flow was given to a node, which took it (or is about to say what became
    /// of it). Returns its number.
    pub fn sent(&mut self, number: u32, now_us: u64, first_try_us: u64) -> u64 {
        let flow = &mut self.flows[number as usize];
        let index = flow.base + flow.open.len() as u64;
        let size = size_of(self.seed, number, &flow.plan, index);
        flow.open.push_back(Open {
            sent_us: first_try_us,
            delivered_at: None,
            accepted: false,
            closed: false,
            owed: false,
            orphan: false,
            uncertain: false,
        });
        flow.report.sent += 1;
        flow.report.bytes_sent += u64::from(size);
        flow.report.first_sent_us.get_or_insert(now_us);
        if size < NAMED {
            let bytes = payload(self.seed, number, index, size).to_vec();
            let key = (flow.plan.from, flow.plan.to, bytes);
            self.small.entry(key).or_default().push_back((number, index));
            self.forget_small();
        }
        let flow = &mut self.flows[number as usize];
        if flow.plan.delivery == Kind::Datagram {
            if flow.open.len() > MOST_DATAGRAMS {
                flow.close_first();
            }
        } else {
            flow.outstanding += 1;
            self.outstanding += u64::from(!flow.exempt);
        }
        index
    }

    /// The node had no room for the message given last: it was not sent after all.
    pub fn pushed_back(&mut self, number: u32) {
        let flow = &mut self.flows[number as usize];
        flow.report.pushed_back += 1;
        if flow.open.pop_back().is_none() {
            return;
        }
        let index = flow.base + flow.open.len() as u64;
        flow.report.sent -= 1;
        flow.report.bytes_sent -= u64::from(size_of(self.seed, number, &flow.plan, index));
        if flow.report.sent == 0 {
            flow.report.first_sent_us = None;
        }
        if flow.plan.delivery != Kind::Datagram {
            flow.outstanding -= 1;
            self.outstanding -= u64::from(!flow.exempt);
        }
        self.unlist_small(number, index);
    }

    /// The last message given was refused for good; nothing more is expected of it.
    pub fn refused_at_the_door(&mut self, number: u32, index: u64) {
        self.flows[number as usize].report.refused += 1;
        self.unlist_small(number, index);
        self.close(number, index);
    }

    /// What a node says became of a message. An unknown tag is a violation.
    pub fn receipt(&mut self, node: u32, tag: u64, fate: Fate) -> Option<Violation> {
        let (number, index) = ((tag >> 40) as u32, tag & 0xff_ffff_ffff);
        let Some(flow) = self.flows.get_mut(number as usize).filter(|flow| flow.plan.from == node) else {
            return Some(wrong(format!(
                "node {node} gave a receipt for tag {tag}, which it was never given"
            )));
        };
        if index >= flow.base + flow.open.len() as u64 {
            return Some(wrong(format!(
                "node {node} gave a receipt for message {index} of flow {number}, not sent yet"
            )));
        }
        let Some(open) = index.checked_sub(flow.base).and_then(|at| flow.open.get_mut(at as usize)) else {
            // Closed and forgotten: after a restart a node may repeat what it said.
            return None;
        };
        if open.closed {
            return None;
        }
        if fate == Fate::Delivered && open.delivered_at.is_none() {
            self.swap_with_twin(number, index);
        }
        let flow = &mut self.flows[number as usize];
        let open = flow.open.get_mut((index - flow.base) as usize)?;
        let (delivered_at, base, to) = (open.delivered_at, flow.base, flow.plan.to);
        match fate {
            Fate::Accepted => {
                open.accepted = true;
                return None;
            }
            Fate::Relayed | Fate::Stored => {
                flow.report.entrusted += 1;
                return None;
            }
            Fate::Delivered => {
                flow.report.receipts += 1;
                if delivered_at.is_none() && flow.plan.delivery != Kind::Datagram {
                    match self.unseen(number) {
                        Unseen::Owed => {
                            // The power may have failed between the receipt and the application.
                            self.flows[number as usize].open[(index - base) as usize].owed = true;
                            return None;
                        }
                        Unseen::Excused(name) => self.excuse(name, 1),
                        Unseen::Wrong => {
                            return Some(wrong(format!(
                                "message {index} of flow {number} ({node} to {to}) was signed for but never delivered"
                            )));
                        }
                    }
                }
            }
            Fate::Expired => {
                flow.report.expired += 1;
                self.excuse("expired", 1);
            }
            Fate::Refused => {
                if let Some(violation) = self.refused(number, index) {
                    return Some(violation);
                }
            }
            Fate::Uncertain | Fate::Cancelled => {
                flow.ends_uncertain(index);
                let name = if fate == Fate::Cancelled { "peer-removed" } else { "receiver-restarted" };
                self.excuse(name, 1);
            }
        }
        self.close(number, index);
        None
    }

    /// Whether a node has started without the record that said which numbers it had used towards another.
    fn uses_numbers_again(&self, node: u32, peer: u32) -> bool {
        let lives = self.lives.get(&node).copied().unwrap_or(0);
        self.reserves_rotted.get(&(node, peer)).is_some_and(|before| lives > *before)
    }

    /// A message of this flow was signed for, and nobody has seen it.
    fn unseen(&self, number: u32) -> Unseen {
        let FlowPlan { from, to, delivery, .. } = self.flows[number as usize].plan;
        let either = |nodes: &BTreeSet<u32>| nodes.contains(&to) || nodes.contains(&from);
        let restarted = self.lives.get(&to).copied().unwrap_or(0) > 1;
        if either(&self.cloned) {
            Unseen::Excused("signed-for-beside-a-clone")
        } else if delivery == Kind::Durable && self.uses_numbers_again(from, to) {
            Unseen::Excused("record-rotted")
        } else if !restarted {
            Unseen::Wrong
        } else if delivery == Kind::Durable {
            Unseen::Owed
        } else {
            Unseen::Excused("receiver-restarted")
        }
    }

    /// The receiver refused a message, as it says or as the sender's node has it. It may when the message is
    /// larger than it takes, or durable and of one sender more than it has places for.
    fn refused(&mut self, number: u32, index: u64) -> Option<Violation> {
        let flow = &mut self.flows[number as usize];
        flow.report.refused += 1;
        let size = size_of(self.seed, number, &flow.plan, index);
        if size <= flow.most_bytes && (flow.has_place || flow.plan.delivery != Kind::Durable) {
            return Some(wrong(format!(
                "message {index} of flow {number} ({} to {}), {size} bytes, was refused, and the receiver takes up to {}",
                flow.plan.from, flow.plan.to, flow.most_bytes
            )));
        }
        self.excuse("refused-by-the-receiver", 1);
        None
    }

    /// Something came out at the other end. Gives the flow it belongs to.
    pub fn arrived(&mut self, now_us: u64, arrived: &Arrived<'_>) -> Result<u32, Violation> {
        let (number, index) = self.identify(arrived)?;
        // A clone's first start finds a disk that was used before.
        let is_clone = u32::from(arrived.host != arrived.node);
        let life = self.lives.get(&arrived.host).copied().unwrap_or(0) + is_clone;
        let flow = &mut self.flows[number as usize];
        if index >= flow.base + flow.open.len() as u64 {
            return Err(wrong(format!("{} was delivered before it was sent", flow.name(number, index))));
        }
        let at = index.checked_sub(flow.base);
        let open = at.and_then(|at| flow.open.get_mut(at as usize));
        let (mut sent_us, mut done) = (None, false);
        let uncertain = match open {
            Some(open) => match open.delivered_at {
                Some((host, earlier_life)) => {
                    let restarted = life > if host == arrived.host { earlier_life } else { 1 };
                    return self.came_again(number, index, arrived, restarted);
                }
                None => {
                    open.delivered_at = Some((arrived.host, life));
                    (sent_us, done) = (Some(open.sent_us), open.owed || open.orphan);
                    open.uncertain
                }
            },
            None => match flow.ended_unseen.remove(&index) {
                Some(uncertain) => uncertain,
                None => return self.came_again(number, index, arrived, life > 1),
            },
        };
        flow.report.uncertain_delivered += u64::from(uncertain);
        if is_clone > 0 {
            flow.shown_by.insert(index, BTreeSet::from([arrived.host]));
        }
        flow.keeps_order(number, index, arrived.host)?;
        flow.count_arrival(now_us, sent_us, arrived.bytes.len());
        if done || flow.plan.delivery == Kind::Datagram {
            self.close(number, index);
        }
        Ok(number)
    }

    /// A message that was delivered before came out once more: rightly when the node says so and its host has
    /// `restarted` since, or when it is another of two twins.
    fn came_again(
        &mut self,
        number: u32,
        index: u64,
        arrived: &Arrived<'_>,
        restarted: bool,
    ) -> Result<u32, Violation> {
        let flow = &mut self.flows[number as usize];
        if flow.is_new_on(index, arrived.host) {
            self.excuse("delivered-to-a-clone", 1);
            return Ok(number);
        }
        if arrived.again && restarted {
            return Ok(number);
        }
        flow.report.duplicates += 1;
        Err(wrong(format!("{} was delivered again", flow.name(number, index))))
    }

    fn close(&mut self, number: u32, index: u64) {
        let flow = &mut self.flows[number as usize];
        let Some(open) = index.checked_sub(flow.base).and_then(|at| flow.open.get_mut(at as usize)) else {
            return;
        };
        if !open.closed {
            open.closed = true;
            if flow.plan.delivery != Kind::Datagram {
                flow.outstanding -= 1;
                self.outstanding -= u64::from(!flow.exempt);
            }
        }
        while flow.open.front().is_some_and(|open| open.closed) {
            flow.close_first();
        }
    }

    /// What is not finished, in words, with nodes outside `core` left out; and how much it is.
    #[must_use]
    pub fn pending(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        for (flow, number) in self.flows.iter().zip(0..).filter(|(flow, _): &(&Flow, u32)| !flow.exempt) {
            let open = flow.open.iter().filter(|open| !open.closed && flow.plan.delivery != Kind::Datagram);
            let (mut undelivered, mut unsigned) = (0_u64, 0_u64);
            for message in open {
                if message.delivered_at.is_none() { undelivered += 1 } else { unsigned += 1 }
            }
            let ends = format!("flow {number} ({} to {})", flow.plan.from, flow.plan.to);
            if undelivered > 0 {
                reasons.push(format!("{ends}: {undelivered} messages not delivered"));
            }
            if unsigned > 0 {
                reasons.push(format!("{ends}: {unsigned} messages delivered without a receipt"));
            }
        }
        reasons
    }

    /// Durable messages that were signed for and have never been shown.
    #[must_use]
    pub fn owed(&self) -> u64 {
        let owed =
            |flow: &Flow| flow.open.iter().filter(|open| open.owed && open.delivered_at.is_none()).count();
        let is_known = |flow: &&Flow| {
            !flow.exempt && !self.cloned.contains(&flow.plan.from) && !self.cloned.contains(&flow.plan.to)
        };
        self.flows.iter().filter(is_known).map(|flow| owed(flow) as u64).sum()
    }

    /// The flows' parts of the outcome.
    #[must_use]
    pub fn reports(&self) -> Vec<FlowReport> {
        self.flows.iter().map(|flow| flow.report.clone()).collect()
    }
}

impl Flow {
    fn close_first(&mut self) {
        if let Some(open) = self.open.pop_front() {
            if open.delivered_at.is_none() {
                self.ended_unseen.insert(self.base, open.uncertain);
                if self.ended_unseen.len() > MOST_UNSEEN {
                    self.ended_unseen.pop_first();
                }
            }
            self.base += 1;
        }
    }

    /// A message in words. Written only for a violation: nearly every packet comes by here.
    fn name(&self, number: u32, index: u64) -> String {
        format!("message {index} of flow {number} ({} to {})", self.plan.from, self.plan.to)
    }

    /// An open message ends, and whether it arrives nobody will say.
    fn ends_uncertain(&mut self, index: u64) {
        let open = index.checked_sub(self.base).and_then(|at| self.open.get_mut(at as usize));
        let Some(open) = open else { return };
        open.uncertain = true;
        self.report.uncertain += 1;
        self.report.uncertain_delivered += u64::from(open.delivered_at.is_some());
    }

    /// Whether a message that came before was never shown by this host, which is noted.
    fn is_new_on(&mut self, index: u64, host: u32) -> bool {
        let first = self.plan.to;
        if host == first && !self.shown_by.contains_key(&index) {
            return false;
        }
        let is_new = self.shown_by.entry(index).or_insert_with(|| BTreeSet::from([first])).insert(host);
        if self.shown_by.len() > MOST_UNSEEN {
            self.shown_by.pop_first();
        }
        is_new
    }

    /// Of a stream nothing comes after what was sent later.
    fn keeps_order(&mut self, number: u32, index: u64, host: u32) -> Result<(), Violation> {
        if self.plan.delivery != Kind::Stream {
            return Ok(());
        }
        if let Some(last) = self.last_in_order.get(&host).filter(|last| index < **last) {
            let name = self.name(number, index);
            return Err(wrong(format!("{name} was delivered after message {last} of the same stream")));
        }
        self.last_in_order.insert(host, index);
        Ok(())
    }

    fn count_arrival(&mut self, now_us: u64, sent_us: Option<u64>, bytes: usize) {
        self.report.delivered += 1;
        self.report.bytes_delivered += bytes as u64;
        let since = self.report.last_delivered_us.or(self.report.first_sent_us).unwrap_or(now_us);
        // A gap is only one while something was waiting to arrive.
        let begun = since.max(sent_us.unwrap_or(now_us));
        let waited = now_us.saturating_sub(begun);
        self.report.longest_gap_us = self.report.longest_gap_us.max(waited);
        self.report.first_delivered_us.get_or_insert(now_us);
        self.report.last_delivered_us = Some(now_us);
        if let Some(sent_us) = sent_us {
            self.report.latency.add(now_us - sent_us);
        }
    }
}
