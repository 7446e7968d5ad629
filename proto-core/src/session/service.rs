//! What happens by the passing of time alone: calls, rekeying, erasing old keys, noticing silence.

use super::Sessions;
use super::keys::INDEX_BITS;
use super::peers::Peer;
use crate::ids::PeerSlot;
use crate::limits::Limits;
use crate::machine::Cx;
use crate::node::output::DownReason;
use crate::time::{Duration, Instant};
use crate::wake::{Reason, Wake};

impl Sessions {
    /// Does everything that is due.
    pub(super) fn service(&mut self, cx: &mut Cx<'_>) {
        while let Some(slot) = self.answer_timers.pop_due(cx.now) {
            self.expire_answer(cx, slot);
        }
        while let Some(slot) = self.peer_timers.pop_due(cx.now) {
            self.service_peer(cx, PeerSlot(slot));
        }
    }

    fn service_peer(&mut self, cx: &mut Cx<'_>, slot: PeerSlot) {
        self.erase_old_keys(cx, slot);
        let Some(peer) = self.peers.get(slot) else { return };
        if let Some(association) = peer.association.as_deref().filter(|association| association.up) {
            if peer.papers.as_ref().is_some_and(|papers| self.trust.has_expired(cx.now, papers)) {
                self.end_papers(cx, slot);
            } else if cx.now.since(association.heard) >= cx.limits.session_idle {
                self.close(cx, slot, DownReason::Silent);
            } else if peer.dialing.is_none() && self.rekey_at(cx.limits, peer).is_some_and(|at| at <= cx.now)
            {
                self.redial(cx, slot);
            }
        }
        self.pump(cx, slot);
    }

    fn erase_old_keys(&mut self, cx: &Cx<'_>, slot: PeerSlot) {
        let Some(association) = self.peers.get_mut(slot).and_then(|peer| peer.association.as_deref_mut())
        else {
            return;
        };
        for index in &mut association.keys {
            let until = self.table.keys(*index).and_then(|keys| keys.until);
            if until.is_some_and(|until| until <= cx.now) {
                self.table.release(*index);
                *index = 0;
            }
        }
    }

    /// When new keys are due. The side that made the present ones is first; the other waits an eighth
    /// longer, so that usually one of them does it. Either is earlier by chance, by up to half of that eighth: nodes
    /// that were switched on together would else exchange keys with all their peers at once, every time. The chance is the
    /// one that drew our own index for the present keys: no peer chooses it.
    pub(super) fn rekey_at(&self, limits: &Limits, peer: &Peer) -> Option<Instant> {
        let index = peer.association.as_ref()?.sending;
        let keys = self.table.keys(index)?;
        if keys.sent >= limits.rekey_packets {
            return Some(Instant::ZERO);
        }
        let eighth = limits.rekey_after.mul_ratio(1, 8);
        let grace = if keys.ours { Duration::ZERO } else { eighth };
        let early = eighth.mul_ratio(u64::from(index), 2 << INDEX_BITS);
        Some(keys.born + limits.rekey_after + grace - early)
    }

    /// States when the papers of peers in session end, after the calendar time was heard. Nothing
    /// else of a peer depends on it, and who shows papers without an end has nothing to be woken for.
    pub(super) fn arm_expiries(&mut self) {
        for (slot, peer) in self.peers.iter().filter(|(_, peer)| peer.is_up()) {
            if let Some(expiry) = peer.papers.as_ref().and_then(|papers| self.trust.expiry(papers)) {
                self.peer_timers.set(slot.0, Wake::At(expiry, Reason::PapersExpiry));
            }
        }
    }

    /// States when this peer needs attention next.
    pub(super) fn arm(&mut self, cx: &Cx<'_>, slot: PeerSlot) {
        let Some(peer) = self.peers.get(slot) else { return };
        let mut wake = Wake::Idle;
        let mut at =
            |instant: Instant, reason: Reason| wake = wake.min(Wake::At(instant.max(cx.now), reason));
        for endpoint in &peer.endpoints {
            let may_go = !endpoint.away && self.called_since(peer, endpoint).is_some();
            if may_go && self.links.contains_key(&endpoint.place.link) {
                at(endpoint.next, Reason::HandshakeRetry);
            }
        }
        if let Some(association) = peer.association.as_deref().filter(|association| association.up) {
            at(association.heard + cx.limits.session_idle, Reason::SessionIdle);
            if peer.dialing.is_none()
                && let Some(due) = self.rekey_at(cx.limits, peer)
            {
                at(due, Reason::Rekey);
            }
            for until in association.keys.iter().filter_map(|&index| self.table.keys(index)?.until) {
                at(until, Reason::Rekey);
            }
            if let Some(expiry) = peer.papers.as_ref().and_then(|papers| self.trust.expiry(papers)) {
                at(expiry, Reason::PapersExpiry);
            }
        }
        self.peer_timers.set(slot.0, wake);
    }
}
