//! The door: what may come in at all.
//!
//! An input that may need room for an output is taken only when there is room. Otherwise a datagram
//! is dropped and counted, as a full socket buffer would have done, and a command is refused with
//! the reason, so that nothing is half done.

use crate::drops::Drop;
use crate::ids::{Addr, LinkId, PeerSlot};
use crate::node::Node;
use crate::node::input::{Delivery, LinkInfo, Medium, PeerSpec, Send};
use crate::node::output::Refused;
use crate::time::Instant;

/// Events that one action can add after the last look at the room: the few that are pushed directly.
pub(super) const OUTPUTS_PER_TURN: usize = 4;

impl Node {
    /// A command acts on what earlier ones have led to, so those have to be carried out first: a slot
    /// may be another peer's by then.
    pub(super) fn admit_command(&mut self, now: Instant) -> Result<(), Refused> {
        if self.backlog {
            self.settle(now);
        }
        if self.backlog || self.outputs_are_full() {
            return Err(Refused::QueueFull);
        }
        Ok(())
    }

    pub(super) fn admit_datagram(&self, link: LinkId, bytes: &[u8]) -> Result<(), Drop> {
        if !self.link_infos.contains_key(&link) {
            return Err(Drop::UnknownLink);
        }
        if bytes.len() > self.limits.packet_bytes as usize {
            return Err(Drop::Oversize);
        }
        if self.backlog || self.outputs_are_full() {
            return Err(Drop::QueueFull);
        }
        Ok(())
    }

    pub(super) fn admit_link(&self, link: LinkId, info: &LinkInfo) -> Result<(), Refused> {
        if !(64..=65_507).contains(&info.mtu) {
            return Err(Refused::Link("mtu must be 64 to 65,507 bytes"));
        }
        if info.rate_bps == Some(0) {
            return Err(Refused::Link("rate_bps must be above zero"));
        }
        if info.segments == 0 {
            return Err(Refused::Link("segments must be at least 1"));
        }
        if info.air.is_some() && (info.rate_bps.is_none() || info.segments != 1) {
            return Err(Refused::Link("with air, rate_bps is needed and segments must be 1"));
        }
        if info.air.is_some_and(|air| !(1..=1_000_000).contains(&air.share_ppm))
            || !crate::link::is_possible(info)
        {
            return Err(Refused::Link("air: no packet of mtu bytes fits the share of its window"));
        }
        if info.beacons && (!matches!(info.medium, Medium::Shared { .. }) || info.local == Addr::ANY) {
            return Err(Refused::Link("beacons need a shared medium and our own address on it"));
        }
        if link == LinkId::MESH || info.medium == Medium::Mesh {
            return Err(Refused::Link(
                "the mesh is no link of a shell: number 65,535 and its medium are taken",
            ));
        }
        let known = self.link_infos.contains_key(&link);
        let others = self.link_infos.keys().filter(|&&other| other != LinkId::MESH).count();
        if !known && others >= usize::from(self.limits.links) {
            return Err(Refused::Link("as many links as limits.links allows are up"));
        }
        Ok(())
    }

    pub(super) fn admit_peer(&self, spec: &PeerSpec) -> Result<(), Refused> {
        if spec.node == Some(self.id) {
            return Err(Refused::UnknownPeer);
        }
        self.sessions.admit(&self.limits, spec)
    }

    pub(super) fn admit_send(&mut self, now: Instant, send: &Send) -> Result<PeerSlot, Refused> {
        if send.payload.len() > self.limits.message_bytes as usize {
            return Err(Refused::Oversize { limit: u64::from(self.limits.message_bytes) });
        }
        if send.delivery == Delivery::Durable && self.gate.has_failed() {
            return Err(Refused::NoStorage);
        }
        self.reach(now, send.to).ok_or(Refused::UnknownPeer)
    }

    /// Whether events or stores have to be taken by the shell before more may be caused.
    pub(super) fn outputs_are_full(&self) -> bool {
        let limit = self.limits.outputs as usize;
        self.events.len() >= limit
            || self.event_bytes > 0 && self.event_bytes >= self.limits.receive_share() as usize
            || (!self.gate.has_failed() && self.gate.room() <= OUTPUTS_PER_TURN)
            || (self.may_transmit && self.sealed_before.len() >= limit)
    }
}
