//! Asking others to ask.
//!
//! The watchman who gets no answer from the next post calls to two or three others: "do you hear him?" They call in their turn, and say so when they hear
//! nothing either. From that he learns whether the next post is silent or his own ears are bad.
//!
//! SWIM, section 3.1, and Lifeguard, section IV-A; see [`super::swim`] for the rest of both.

use alloc::vec::Vec;

use super::Gossip;
use super::hyparview::Seat;
use super::message::Message;
use super::swim::{ANSWER_WITHIN, NEWS_BYTES};
use crate::drops::Drop;
use crate::ids::RouterId;
use crate::machine::Cx;
use crate::time::Instant;

/// Members that are asked to probe for us: k of SWIM, section 3.1.
const RELAYS: usize = 3;
/// Probes for others, and those for one of them.
pub(super) const MOST_ERRANDS: usize = 64;
const MOST_ERRANDS_OF_ONE: usize = 16;

/// A probe for somebody else.
#[derive(Debug)]
pub(super) struct Errand {
    pub(super) from: RouterId,
    pub(super) nonce: u32,
    pub(super) target: RouterId,
    pub(super) until: Instant,
}

impl Gossip {
    pub(super) fn ask_relays(&mut self, cx: &mut Cx<'_>, target: RouterId, nonce: u32) {
        // Those next door first: over many hops a question costs as many packets, and may find a way broken. Who is being asked himself
        // may be as silent.
        let rank = |(id, seat): (&RouterId, &Seat)| (self.swim.is_silent(*id), !seat.near);
        let others = self.views.active().iter().filter(|(id, _)| **id != target);
        let mut others: Vec<((bool, bool), RouterId)> =
            others.map(|(id, seat)| (rank((id, seat)), *id)).collect();
        let mut relays = Vec::new();
        while relays.len() < RELAYS {
            let Some(best) = others.iter().map(|(rank, _)| *rank).min() else { break };
            let alike: Vec<RouterId> =
                others.iter().filter(|(rank, _)| *rank == best).map(|(_, id)| *id).collect();
            let Some(&to) = alike.get(cx.rng.below(alike.len() as u64) as usize) else { break };
            others.retain(|(_, id)| *id != to);
            let updates = self.members.piggyback(to, NEWS_BYTES);
            self.out.datagram(cx.now, cx.limits, to, &Message::PingRequest { nonce, target, updates });
            relays.push((to, false));
        }
        if let Some(probe) = self.swim.watched.get_mut(&target).and_then(|watch| watch.probe.as_mut()) {
            probe.relays = relays;
        }
    }

    /// Lifeguard, section IV-A: who does not even hear those who were asked has a trouble of his own. Where most of those whom we watch were heard
    /// since, it is theirs who were not.
    pub(super) fn missed(&self, (target, since): (RouterId, Instant), relays: &[(RouterId, bool)]) -> u64 {
        if relays.is_empty() {
            return 1;
        }
        let hears = self.swim.hears_most(target, since);
        let missed = |id: RouterId| !hears || self.swim.was_heard(id, since);
        relays.iter().filter(|&&(id, nacked)| !nacked && missed(id)).count() as u64
    }

    pub(super) fn nacked(&mut self, from: RouterId, nonce: u32) {
        let probes = self.swim.watched.values_mut().filter_map(|watch| watch.probe.as_mut());
        for probe in probes.filter(|probe| probe.nonce == nonce) {
            for (_, nacked) in probe.relays.iter_mut().filter(|(relay, _)| *relay == from) {
                *nacked = true;
            }
        }
    }

    /// Somebody wants us to probe for him.
    pub(super) fn ping_requested(&mut self, cx: &mut Cx<'_>, from: RouterId, nonce: u32, target: RouterId) {
        let of_one = self.swim.errands.values().filter(|errand| errand.from == from).count();
        if target == self.own.router || self.members.get(target).is_none() {
            return;
        }
        if self.swim.errands.len() >= MOST_ERRANDS || of_one >= MOST_ERRANDS_OF_ONE {
            cx.drops.count(Drop::QueueFull);
            return;
        }
        let own = self.swim.nonce();
        let until = cx.now + ANSWER_WITHIN.mul_ratio(4, 5);
        self.swim.errands.insert(own, Errand { from, nonce, target, until });
        self.ping(cx, target, own);
    }
}
