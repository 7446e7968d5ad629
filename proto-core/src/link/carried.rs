//! Durable messages that go and come by other hands: which peer's halves they belong to.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;

use super::Links;
use super::kept::NO_SLOT;
use super::peer::Peer;
use crate::carried::{Carried, Owed};
use crate::ids::{DeviceId, NodeId, PeerSlot};
use crate::machine::Cx;

impl Links {
    /// Does something with what is known of a node, in its slot or without one; `None` when nothing is.
    fn with_peer<T>(
        &mut self,
        cx: &mut Cx<'_>,
        slot: Option<PeerSlot>,
        node: NodeId,
        act: impl FnOnce(&mut Cx<'_>, &mut Links, &mut Peer) -> T,
    ) -> Option<T> {
        if let Some(mut entry) = self.kept.remove(&node) {
            let done = act(cx, self, &mut entry);
            self.say_rest(NO_SLOT, &mut entry);
            self.kept_wake = self.kept_wake.min(entry.outbox.next_wake());
            self.kept.insert(node, entry);
            return Some(done);
        }
        let peer = slot?;
        let mut entry = self.peers.get_mut(usize::from(peer.0))?.take()?;
        let done = (entry.node == node).then(|| act(cx, self, &mut entry));
        if let Some(place) = self.peers.get_mut(usize::from(peer.0)) {
            *place = Some(entry);
        }
        self.touch(cx, peer);
        done
    }

    /// Gives out a durable message to go by other hands as well.
    pub fn owed(&mut self, cx: &mut Cx<'_>, slot: Option<PeerSlot>, node: NodeId, seq: u64) -> Owed {
        let owed = self.with_peer(cx, slot, node, |cx, _, entry| entry.outbox.owed(cx.now, seq));
        owed.unwrap_or(Owed::Gone)
    }

    /// Somebody has a durable message for a node in his hands.
    pub fn is_entrusted(
        &mut self,
        cx: &mut Cx<'_>,
        slot: Option<PeerSlot>,
        node: NodeId,
        (seq, stored): (u64, bool),
    ) {
        self.with_peer(cx, slot, node, |_, _, entry| entry.outbox.is_entrusted(seq, stored));
    }

    /// A node says that it has these durable messages on disk: runs of numbers, each by its first and last.
    pub fn receipted(&mut self, cx: &mut Cx<'_>, slot: Option<PeerSlot>, node: NodeId, runs: &[(u64, u64)]) {
        self.with_peer(cx, slot, node, |_, links, entry| {
            entry.outbox.on_distant_receipt(&mut links.sending, runs);
        });
    }

    /// Which durable messages of a node are done with: runs of numbers, each by its first and last.
    pub fn durable_runs(
        &mut self,
        cx: &mut Cx<'_>,
        slot: Option<PeerSlot>,
        (node, device): (NodeId, DeviceId),
    ) -> Vec<(u64, u64)> {
        self.with_peer(cx, slot, node, |_, _, entry| entry.inbox.durable_runs(device)).unwrap_or_default()
    }

    /// A durable message of a node has come by other hands. A node of which nothing is known gets its place when there is room.
    pub fn carried(
        &mut self,
        cx: &mut Cx<'_>,
        slot: Option<PeerSlot>,
        (node, device): (NodeId, DeviceId),
        message: (u64, Bytes),
    ) -> Carried {
        let is_known = self.kept.contains_key(&node) || slot.is_some();
        if !is_known {
            let mut entry = Box::new(self.new_peer(cx.limits, node));
            if self.disk_failed {
                entry.store_failed(&mut self.sending, &mut self.receiving);
            }
            self.kept.insert(node, entry);
        }
        let taken = self.with_peer(cx, slot, node, |cx, links, entry| {
            entry.inbox.on_carried(cx, &mut links.receiving, device, message)
        });
        if self.kept.get(&node).is_some_and(|entry| !entry.has_correspondence()) {
            self.kept.remove(&node);
        }
        taken.unwrap_or(Carried::Full)
    }
}
