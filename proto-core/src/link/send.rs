//! What the links are given to send: by the application, by gossip, and by routing, which also asks how a neighbour is reached.

use bytes::Bytes;

use crate::ids::{LinkId, PeerSlot};
use crate::link::Links;
use crate::machine::Cx;
use crate::node::input::{Class, Send};
use crate::node::output::Refused;
use crate::time::Duration;

/// Messages with this tag or a greater one are of bundles, those below of routing.
pub const OF_BUNDLES: u64 = 1 << 62;
/// Messages with this tag or a greater one are of gossip.
pub const OF_GOSSIP: u64 = 1 << 63;

/// How a peer is reached now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WayQuality {
    /// The smoothed round trip, or the link's word where nothing was measured.
    pub srtt: Duration,
    /// Packets lost on the way there, of a million.
    pub loss_ppm: u32,
    /// The link's rate in bits a second, where the hardware fixes it.
    pub rate_bps: Option<u64>,
    /// How long the largest packet is on air, where air is scarce; else zero.
    pub scarce: Duration,
}

impl Links {
    /// Takes something to send.
    ///
    /// # Errors
    /// [`Refused`] says why not; nothing was kept then.
    pub fn send(&mut self, cx: &mut Cx<'_>, peer: PeerSlot, send: Send) -> Result<(), Refused> {
        let room = self.room(cx.limits, peer);
        let Some(entry) = self.peers.get_mut(usize::from(peer.0)).and_then(Option::as_mut) else {
            return Err(Refused::UnknownPeer);
        };
        entry.outbox.push(cx, &mut self.sending, send, room)?;
        self.has_more_to_send(cx, peer);
        Ok(())
    }

    fn has_more_to_send(&mut self, cx: &Cx<'_>, peer: PeerSlot) {
        let Some(entry) = self.peers.get_mut(usize::from(peer.0)).and_then(Option::as_mut) else { return };
        if entry.queued {
            // It is to be asked for a packet already, and states all its deadlines then. Until then only
            // the outbox's can have come nearer.
            let wake = entry.outbox.next_wake();
            if !wake.is_due(cx.now) {
                self.deadlines.set(peer.0, wake);
            }
            self.enlist(peer, true);
        } else {
            self.touch(cx, peer);
        }
    }

    /// Takes a message for the routing or the bundles of a peer that takes part in routing, for so long. [`Action::Settled`](super::Action::Settled) says what became of it.
    /// Where it is until then, for [`Links::withdraw`].
    ///
    /// # Errors
    /// [`Refused`] says why not; nothing was kept then.
    pub fn send_routing(
        &mut self,
        cx: &mut Cx<'_>,
        peer: PeerSlot,
        message: (u64, Class, Duration, Bytes),
    ) -> Result<u32, Refused> {
        let entry = self.peers.get_mut(usize::from(peer.0)).and_then(Option::as_mut);
        let Some(entry) = entry.filter(|entry| entry.params.routing) else {
            return Err(Refused::UnknownPeer);
        };
        let place = entry.outbox.push_routing(cx, &mut self.sending, message)?;
        self.has_more_to_send(cx, peer);
        Ok(place)
    }

    /// Takes a message for the gossip of a peer that takes part in it, or that nothing is known of yet, for so long. Its tag is
    /// [`OF_GOSSIP`] or greater. [`Action::Settled`](super::Action::Settled) says what became of it.
    ///
    /// # Errors
    /// [`Refused`] says why not; nothing was kept then.
    pub fn send_gossip(
        &mut self,
        cx: &mut Cx<'_>,
        peer: PeerSlot,
        message: (u64, Class, Duration, Bytes),
    ) -> Result<(), Refused> {
        let entry = self.peers.get_mut(usize::from(peer.0)).and_then(Option::as_mut);
        let Some(entry) = entry.filter(|entry| entry.params.gossip) else {
            return Err(Refused::UnknownPeer);
        };
        entry.outbox.push_routing(cx, &mut self.sending, message)?;
        self.has_more_to_send(cx, peer);
        Ok(())
    }

    /// Takes a datagram for the gossip of a peer, likewise.
    ///
    /// # Errors
    /// [`Refused`] says why not; nothing was kept then.
    pub fn send_gossip_datagram(
        &mut self,
        cx: &mut Cx<'_>,
        peer: PeerSlot,
        message: (Class, Duration, Bytes),
    ) -> Result<(), Refused> {
        let room = self.room(cx.limits, peer);
        let entry = self.peers.get_mut(usize::from(peer.0)).and_then(Option::as_mut);
        let Some(entry) = entry.filter(|entry| entry.params.gossip) else {
            return Err(Refused::UnknownPeer);
        };
        entry.outbox.push_routing_datagram(cx, &mut self.sending, message, room)?;
        self.has_more_to_send(cx, peer);
        Ok(())
    }

    /// Gives up all messages for the gossip of a peer.
    pub fn withdraw_gossip(&mut self, cx: &mut Cx<'_>, peer: PeerSlot) {
        if let Some(entry) = self.peers.get_mut(usize::from(peer.0)).and_then(Option::as_mut) {
            entry.outbox.withdraw_from(&mut self.sending, OF_GOSSIP);
            self.touch(cx, peer);
        }
    }

    /// Gives up a message for the routing of a peer, if it is not finished. Where its place is not known it is looked for among all.
    pub fn withdraw(&mut self, cx: &mut Cx<'_>, peer: PeerSlot, (tag, place): (u64, Option<u32>)) {
        if let Some(entry) = self.peers.get_mut(usize::from(peer.0)).and_then(Option::as_mut) {
            entry.outbox.withdraw(&mut self.sending, tag, place);
            self.touch(cx, peer);
        }
    }

    /// How a peer is reached directly: by the fastest way that works, and nothing when none does.
    #[must_use]
    pub fn quality(&self, peer: PeerSlot) -> Option<WayQuality> {
        let entry = self.peers.get(usize::from(peer.0))?.as_ref().filter(|entry| entry.up)?;
        let direct = entry.ways.iter().filter(|way| way.is_usable() && way.link != LinkId::MESH);
        let way = direct.min_by_key(|way| way.path.rtt())?;
        let info = &self.links.get(&way.link)?.info;
        let (srtt, loss_ppm) = (way.path.rtt(), way.path.hopeful_loss_ppm());
        Some(WayQuality { srtt, loss_ppm, rate_bps: info.rate_bps, scarce: info.scarce() })
    }
}
