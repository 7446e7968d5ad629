//! How fast the bare world is: the ceiling for everything that runs in it.

use proto_core::ids::{Addr, LinkId, NodeId, Ticket};
use proto_core::node::{Input, Output, Refused, Transmit, UsedNonce};
use proto_core::store::record::Record;
use proto_core::time::Instant;
use proto_core::wake::Wake;

use crate::plan::{LinkKind, LinkPlan, NodePlan, Plan};
use crate::subject::{Glance, Start, Subject};
use crate::world::Options;

/// A node that sends every packet back, 64 bytes each time.
struct Echo {
    node: u32,
    answer: Option<(LinkId, Addr)>,
    left: u64,
    number: u64,
}

impl Subject for Echo {
    type Cast = u64;
    fn cast(plan: &Plan) -> Result<u64, String> {
        // The number of packets travels in the seed: it is all that an echo has to know.
        Ok(plan.seed)
    }
    fn node_id(_cast: &u64, node: u32) -> NodeId {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&node.to_le_bytes());
        NodeId(id)
    }
    fn key(_cast: &u64, _node: u32) -> Option<[u8; 32]> {
        None
    }
    fn boot(cast: &u64, start: Start<'_>) -> Result<Echo, String> {
        Ok(Echo { node: start.node, answer: None, left: cast / 2, number: 0 })
    }
    fn encode(_record: &Record) -> Vec<u8> {
        Vec::new()
    }
    fn decode(_bytes: &[u8]) -> Option<Record> {
        None
    }
    fn handle(&mut self, _now: Instant, input: Input<'_>) -> Result<(), Refused> {
        match input {
            Input::Datagram { link, from, .. } => self.answer = Some((link, from)),
            Input::Command(_) if self.node == 0 => {
                self.answer = Some((LinkId(0), crate::net::address::address_of(1)))
            }
            _ => {}
        }
        Ok(())
    }
    fn poll(&mut self, _now: Instant, buf: &mut [u8]) -> Option<Output> {
        let (link, to) = self.answer.take()?;
        self.left = self.left.checked_sub(1)?;
        self.number += 1;
        let packet = buf.get_mut(..64)?;
        packet[0] = 0x80;
        packet[4] = self.number as u8;
        packet[8..16].copy_from_slice(&self.number.to_le_bytes());
        Some(Output::Transmit(Transmit { link, to, len: 64, segment: 64, after: Ticket(0) }))
    }
    fn last_nonce(&self) -> UsedNonce {
        UsedNonce { key_name: 0, number: self.number }
    }
    fn next_wake(&self) -> Wake {
        Wake::Idle
    }
    fn glance(&self) -> Glance {
        Glance::default()
    }
    fn check(&self) {}
}

/// Two nodes send a 64-byte packet to and fro until `packets` have been delivered, with all checkers
/// and the trace on. Returns the events of the world; the caller measures the time.
#[must_use]
pub fn bare_ping_pong(packets: u64) -> u64 {
    let mut plan = Plan::new("bare-ping-pong", packets, packets.saturating_mul(1_000).max(1));
    plan.add_node(NodePlan { count: 2, ..NodePlan::default() });
    plan.add_link(LinkPlan::new(LinkKind::Plain, &[0, 1]));
    plan.add_peer(0, 1);
    plan.expect.sessions = false;
    plan.expect.stop_early = false;
    let outcome = crate::run_subject::<Echo>(&plan, Options::default()).outcome;
    outcome.events
}

#[cfg(test)]
mod tests {
    #[test]
    fn ping_pong_delivers_what_it_is_asked_to() {
        let events = super::bare_ping_pong(1_000);
        assert!((1_000..1_100).contains(&events), "{events}");
    }
}
