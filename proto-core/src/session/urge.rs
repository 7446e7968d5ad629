//! Whom we call, and how eagerly.
//!
//! A wanted peer without a session is called; one with a session only when its keys are old or nothing is
//! heard of it. Whoever has refused us is called rarely, and whoever calls us too is called often.

use super::Sessions;
use super::pace::LONGEST_GAP;
use super::peers::{Peer, Place};
use crate::ids::{LinkId, PeerSlot};
use crate::machine::Cx;
use crate::time::Instant;

/// Calls of a peer that make us call eagerly before one succeeds. A loss of 99.9 % each way explains this
/// many; when there are more, it is not the road that keeps us apart.
const MOST_CALLS_HEARD: u16 = 1_000;

impl Sessions {
    /// Tries to reach a wanted peer that has no session; with `link`, which has come up, at once on that link, and there one that is called for
    /// new keys as well.
    pub(super) fn encourage(&mut self, cx: &mut Cx<'_>, slot: PeerSlot, link: Option<LinkId>) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let is_called = peer.dialing.is_some();
        if peer.is_up() && !(is_called && link.is_some()) || !(peer.wanted || is_called) {
            return;
        }
        let fresh = peer.dialing.is_none() || link.is_some();
        if fresh {
            peer.dialing = Some(cx.now);
        }
        for endpoint in &mut peer.endpoints {
            if link.map_or(endpoint.dial.is_none(), |link| link == endpoint.place.link) {
                endpoint.next = endpoint.next.min(cx.now);
                endpoint.sent = 0;
                endpoint.slow = false;
            }
        }
        self.pump(cx, slot);
    }

    /// A call has come from a place that we call ourselves: somebody is there, however little gets
    /// through. Where one packet in 125 arrives (Freifunk Berlin has such a link), two that call rarely need
    /// a day, two that call eagerly while they hear each other minutes. Who replays an old call makes us
    /// repeat ours, to an address that we were told to call, no faster than we call at first.
    pub(super) fn call_eagerly(&mut self, now: Instant, place: Place) {
        let calling = |peer: &Peer| {
            let mut endpoints = peer.endpoints.iter();
            peer.wanted && endpoints.any(|endpoint| endpoint.place == place && !endpoint.slow)
        };
        let Some(slot) = self.peers.iter().find(|(_, peer)| calling(peer)).map(|(slot, _)| slot) else {
            return;
        };
        if let Some(peer) = self.peers.get_mut(slot)
            && let Some(since) = &mut peer.dialing
            && peer.calls_heard < MOST_CALLS_HEARD
        {
            peer.calls_heard += 1;
            *since = now;
        }
    }

    /// Somebody where a peer should be does not know us any more: it is called, and if it is called already, at once.
    pub(super) fn call_now(&mut self, cx: &mut Cx<'_>, slot: PeerSlot) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if peer.dialing.is_none() {
            return self.redial(cx, slot);
        }
        peer.dialing = Some(cx.now);
        for endpoint in peer.endpoints.iter_mut().filter(|endpoint| !endpoint.slow) {
            endpoint.next = endpoint.next.min(cx.now);
            endpoint.sent = 0;
        }
        self.pump(cx, slot);
    }

    /// Starts a new handshake with a peer, session or not, unless one is under way.
    pub(super) fn redial(&mut self, cx: &mut Cx<'_>, slot: PeerSlot) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if peer.dialing.is_some() {
            return;
        }
        peer.dialing = Some(cx.now);
        for endpoint in &mut peer.endpoints {
            endpoint.next = cx.now;
            endpoint.sent = 0;
            endpoint.turns = 0;
        }
        self.pump(cx, slot);
    }

    /// After a refusal: knock again, but rarely, and not at all where nobody wants us to.
    pub(super) fn rest(&mut self, cx: &mut Cx<'_>, slot: PeerSlot) {
        let Some(peer) = self.peers.get(slot) else { return };
        let (wanted, sending) = (peer.wanted, peer.association.as_deref().map(|held| held.sending));
        if !wanted {
            self.drop_dials(slot, sending);
        }
        let Some(peer) = self.peers.get_mut(slot) else { return };
        peer.dialing = wanted.then_some(cx.now);
        for endpoint in &mut peer.endpoints {
            endpoint.slow = true;
            endpoint.next = cx.now + LONGEST_GAP;
        }
        self.arm(cx, slot);
    }
}
