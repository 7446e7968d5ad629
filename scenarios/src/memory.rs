//! How much heap each node holds.
//!
//! A household with one electricity meter knows what it uses, not who. Here every node's code runs
//! behind a meter of its own: whatever it allocates or frees while it runs is its own account. What
//! crosses the border is copied there, so that a message which the application made, and the node
//! frees, is no gain to the node, and one that the node made, and the application frees, is no leak.
//!
//! The counting allocator is the `allocation-counter` crate's: the system's allocator with counters a
//! thread, so runs on other threads do not disturb each other.

use std::cell::RefCell;

use bytes::Bytes;
use proto_core::ids::{NodeId, RouterId};
use proto_core::node::{Command, Event, GossipCommand, GossipEvent, Input, Output, Refused, Send, UsedNonce};
use proto_core::routing::Moved;
use proto_core::store::record::Record;
use proto_core::time::Instant;
use proto_core::wake::Wake;
use simulator::plan::{Lie, Plan};
use simulator::subject::{Glance, Start, Subject};
use simulator::{Outcome, Verdict};

/// One hour on a node's own clock, in microseconds.
const HOUR_US: u64 = 3_600_000_000;
/// Hours that are told apart; what comes later is added to the last one.
const MOST_HOURS: usize = 1_000;
/// One second on a node's own clock, in microseconds.
const SECOND_US: u64 = 1_000_000;
/// Seconds that are told apart, for short runs; what comes later is in the hours only.
const MOST_SECONDS: usize = 3_600;

/// What one node held.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeMemory {
    /// The most bytes at once, over all its starts.
    pub peak_bytes: u64,
    /// The most bytes at once in each hour of the run in which it ran.
    pub by_hour: Vec<u64>,
    /// The same of each second of the first hour.
    pub by_second: Vec<u64>,
    /// Bytes that were still held after its last end: 0 unless something leaks.
    pub left_bytes: i64,
}

thread_local! {
    static NODES: RefCell<Vec<NodeMemory>> = const { RefCell::new(Vec::new()) };
}

/// Takes what the nodes of the runs since the last call held, by number.
pub(crate) fn take() -> Vec<NodeMemory> {
    NODES.with_borrow_mut(std::mem::take)
}

/// Holds each node to [`worst_case_bytes`](proto_core::limits::Limits::worst_case_bytes) of its own limits. A run
/// that failed in another way keeps that verdict.
pub(crate) fn hold_to_limits(plan: &Plan, memory: &[NodeMemory], outcome: &mut Outcome) {
    let too_much = (0..).zip(memory).find_map(|(node, held)| {
        let bound = plan.limits(node).worst_case_bytes();
        (held.peak_bytes > bound).then_some((node, held.peak_bytes, bound))
    });
    if let (Some((node, held, bound)), true) = (too_much, outcome.passed()) {
        outcome.verdict = Verdict::Resource;
        outcome.checker = "memory".to_owned();
        outcome.reason = format!("node {node} held {held} bytes; worst_case_bytes of its limits is {bound}");
    }
}

fn note(node: u32, change: impl FnOnce(&mut NodeMemory)) {
    NODES.with_borrow_mut(|nodes| {
        let at = node as usize;
        if nodes.len() <= at {
            nodes.resize(at + 1, NodeMemory::default());
        }
        change(&mut nodes[at]);
    });
}

/// A node behind its meter.
pub(crate) struct Metered<S> {
    /// `None` only while it is being dropped.
    inner: Option<S>,
    node: u32,
    live: i64,
    /// What the world's clock showed beyond its own when it started, in microseconds.
    ahead_us: i128,
    /// The highest of the current second, and which second of the run that is.
    peak: u64,
    second: u64,
}

impl<S> Metered<S> {
    /// Bytes held now.
    pub(crate) fn live(&self) -> i64 {
        self.live
    }

    /// Runs `work` on the node's account.
    fn run<R>(&mut self, now: Instant, work: impl FnOnce(&mut S) -> R) -> Option<R> {
        let inner = self.inner.as_mut()?;
        let mut result = None;
        let used = allocation_counter::measure(|| result = Some(work(inner)));
        self.account(now, &used);
        result
    }

    fn account(&mut self, now: Instant, used: &allocation_counter::AllocationInfo) {
        let highest = self.live.saturating_add_unsigned(used.bytes_max).max(0).unsigned_abs();
        self.live += used.bytes_current;
        let at_us = (i128::from(now.as_micros()) + self.ahead_us).max(0);
        let second = u64::try_from(at_us).unwrap_or(u64::MAX) / SECOND_US;
        if second != self.second {
            self.write_down();
            self.second = second;
            self.peak = 0;
        }
        self.peak = self.peak.max(highest);
    }

    fn write_down(&mut self) {
        let place = |at: u64, most: usize| usize::try_from(at).unwrap_or(usize::MAX).min(most);
        let hour = place(self.second / (HOUR_US / SECOND_US), MOST_HOURS);
        let (second, peak) = (place(self.second, MOST_SECONDS), self.peak);
        note(self.node, |memory| {
            memory.peak_bytes = memory.peak_bytes.max(peak);
            raise(&mut memory.by_hour, hour, peak);
            if second < MOST_SECONDS {
                raise(&mut memory.by_second, second, peak);
            }
        });
    }
}

fn raise(peaks: &mut Vec<u64>, at: usize, peak: u64) {
    if peaks.len() <= at {
        peaks.resize(at + 1, 0);
    }
    peaks[at] = peaks[at].max(peak);
}

impl<S> Drop for Metered<S> {
    fn drop(&mut self) {
        self.write_down();
        let inner = self.inner.take();
        let used = allocation_counter::measure(|| drop(inner));
        let left_bytes = self.live + used.bytes_current;
        note(self.node, |memory| memory.left_bytes = left_bytes);
    }
}

fn copy(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// The same command, sharing nothing with the original.
fn own_command(command: &Command) -> Command {
    match command {
        // Cloning the payload would put a part of the original on the node's account.
        Command::Send(Send { to, tag, delivery, class, lifetime, payload }) => Command::Send(Send {
            to: *to,
            tag: *tag,
            delivery: *delivery,
            class: *class,
            lifetime: *lifetime,
            payload: copy(payload),
        }),
        Command::Install(bytes) => Command::Install(copy(bytes)),
        Command::Gossip(GossipCommand::Broadcast { tag, topic, payload }) => {
            Command::Gossip(GossipCommand::Broadcast { tag: *tag, topic: *topic, payload: copy(payload) })
        }
        Command::AddPeer(_)
        | Command::RemovePeer(_)
        | Command::RemoveEndpoint { .. }
        | Command::Shutdown
        | Command::Gossip(_)
        | Command::Consumed { .. } => command.clone(),
    }
}

impl<S: Subject> Subject for Metered<S> {
    type Cast = S::Cast;

    fn cast(plan: &Plan) -> Result<S::Cast, String> {
        S::cast(plan)
    }

    fn node_id(cast: &S::Cast, node: u32) -> NodeId {
        S::node_id(cast, node)
    }

    fn key(cast: &S::Cast, node: u32) -> Option<[u8; 32]> {
        S::key(cast, node)
    }

    fn revocation(cast: &S::Cast, node: u32) -> Option<Vec<u8>> {
        S::revocation(cast, node)
    }

    fn member(cast: &S::Cast, node: u32) -> Option<RouterId> {
        S::member(cast, node)
    }

    fn boot(cast: &S::Cast, start: Start<'_>) -> Result<Self, String> {
        let (node, now) = (start.node, start.now);
        let ahead_us = i128::from(start.at_us) - i128::from(now.as_micros());
        let (outside, verifier) = (start.records, start.verifier);
        let mut booted = None;
        let used = allocation_counter::measure(|| {
            let records = outside.iter().map(own_record::<S>).collect();
            booted = Some(S::boot(cast, Start { records, verifier: verifier.clone(), ..start }));
        });
        let inner = booted.transpose()?;
        let mut metered = Metered { inner, node, live: 0, ahead_us, peak: 0, second: 0 };
        metered.account(now, &used);
        Ok(metered)
    }

    fn encode(record: &Record) -> Vec<u8> {
        S::encode(record)
    }

    fn decode(bytes: &[u8]) -> Option<Record> {
        S::decode(bytes)
    }

    fn handle(&mut self, now: Instant, input: Input<'_>) -> Result<(), Refused> {
        let handled = match input {
            Input::Command(command) => {
                self.run(now, |inner| inner.handle(now, Input::Command(own_command(&command))))
            }
            Input::Datagram { .. }
            | Input::LinkChanged { .. }
            | Input::AirFree { .. }
            | Input::Wake
            | Input::WallClock(_)
            | Input::Stored { .. }
            | Input::StoreFailed
            | Input::Loaded { .. } => self.run(now, |inner| inner.handle(now, input)),
        };
        handled.unwrap_or(Ok(()))
    }

    fn poll(&mut self, now: Instant, buf: &mut [u8]) -> Option<Output> {
        let output = self.run(now, |inner| inner.poll(now, buf)).flatten()?;
        let outside = match &output {
            Output::Transmit(_) | Output::Load { .. } => return Some(output),
            Output::Store { ticket, record } => {
                Output::Store { ticket: *ticket, record: own_record::<S>(record) }
            }
            Output::Event(Event::Message { from, delivery, seq, again, payload }) => {
                let payload = copy(payload);
                Output::Event(Event::Message {
                    from: *from,
                    delivery: *delivery,
                    seq: *seq,
                    again: *again,
                    payload,
                })
            }
            Output::Event(Event::Gossip(GossipEvent::Delivered { id, node, topic, payload })) => {
                let (id, node, topic, payload) = (*id, *node, *topic, copy(payload));
                Output::Event(Event::Gossip(GossipEvent::Delivered { id, node, topic, payload }))
            }
            Output::Event(_) => output.clone(),
        };
        self.run(now, |_| drop(output));
        Some(outside)
    }

    fn last_nonce(&self) -> UsedNonce {
        self.inner.as_ref().map(S::last_nonce).unwrap_or_default()
    }

    fn moved(&self) -> &[Moved] {
        self.inner.as_ref().map_or(&[], S::moved)
    }

    fn router(&self) -> Option<RouterId> {
        self.inner.as_ref().and_then(S::router)
    }

    fn map_changes(&self) -> u64 {
        self.inner.as_ref().map_or(0, S::map_changes)
    }

    fn next_hops(&self) -> Vec<(RouterId, RouterId)> {
        self.inner.as_ref().map_or_else(Vec::new, S::next_hops)
    }

    fn lies(&self, cast: &S::Cast, lie: Lie, n: u64, heard: &mut Vec<Vec<u8>>) -> Vec<Bytes> {
        self.inner.as_ref().map_or_else(Vec::new, |inner| inner.lies(cast, lie, n, heard))
    }

    fn swallow(&mut self, swallows: bool) {
        if let Some(inner) = &mut self.inner {
            inner.swallow(swallows);
        }
    }

    fn tell_neighbours(&mut self, now: Instant, message: &Bytes) {
        self.run(now, |inner| inner.tell_neighbours(now, &copy(message)));
    }

    fn copies(&self) -> (u64, u64) {
        self.inner.as_ref().map(S::copies).unwrap_or_default()
    }

    fn next_wake(&self) -> Wake {
        self.inner.as_ref().map_or(Wake::Idle, S::next_wake)
    }

    fn glance(&self) -> Glance {
        self.inner.as_ref().map(S::glance).unwrap_or_default()
    }

    fn check(&self) {
        if let Some(inner) = &self.inner {
            inner.check();
        }
    }
}

/// The same record, sharing nothing with the original.
fn own_record<S: Subject>(record: &Record) -> Record {
    S::decode(&S::encode(record)).unwrap_or_else(|| record.clone())
}

#[cfg(test)]
mod tests {
    use simulator::plan::{FlowPlan, LinkKind, LinkPlan, NodePlan};
    use simulator::toy::Toy;

    use super::*;

    fn plan() -> Plan {
        let mut plan = Plan::new("metered", 7, 20_000_000);
        plan.add_node(NodePlan { count: 2, ..NodePlan::default() });
        plan.add_link(LinkPlan::new(LinkKind::Wifi, &[0, 1]));
        plan.add_peer(0, 1);
        plan.flows.push(FlowPlan { every_us: 50_000, ..FlowPlan::new(0, 1, 200, 1_000) });
        plan
    }

    #[test]
    fn the_meter_changes_no_step_and_ends_at_zero() {
        let plain = simulator::run_subject::<Toy>(&plan(), simulator::Options::default()).outcome;
        take();
        let metered = simulator::run_subject::<Metered<Toy>>(&plan(), simulator::Options::default()).outcome;
        assert_eq!(plain.trace_hash, metered.trace_hash);
        let memory = take();
        assert_eq!(memory.len(), 2);
        for node in memory {
            // A message of 1,000 bytes waited in it, and not all 200 at once.
            assert!((1_000..200_000).contains(&node.peak_bytes), "{node:?}");
            assert_eq!(node.left_bytes, 0, "{node:?}");
            assert_eq!(node.by_second.iter().max(), Some(&node.peak_bytes), "{node:?}");
            assert_eq!(node.by_hour, [node.peak_bytes], "{node:?}");
            assert!((10..=20).contains(&node.by_second.len()), "{node:?}");
        }
    }
}
