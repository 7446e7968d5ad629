//! What is kept of nodes that have no slot: the numbers of durable messages, and those that wait.
//!
//! A shop that closes a customer's account still keeps the book of what was delivered to him and what
//! he signed for: should he come back, neither side may begin to count anew, or a parcel would be taken
//! for one that he had long ago. Both sides keep such a book for themselves, and one that was removed
//! here has not removed us; so the numbers outlive the slot, an eviction and a restart.
//!
//! The book is bounded at its beginning, not at its end: the first durable message to or from a node
//! asks for a place ([`Limits::durable_peers`]), and is refused when there is none. A place is never
//! taken away, since no moment is certain at which the other side will not come back with an old
//! message: its disk may have lost the last thing that it wrote.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::peer::{Peer, StoreToken};
use super::{Action, Links, OF_BUNDLES};
use crate::ids::{NodeId, PeerSlot};
use crate::limits::Limits;
use crate::machine::Cx;
use crate::node::output::Refused;
use crate::store::record::Record;
use crate::wake::Wake;

/// Stands for no slot where a slot is only a hint.
pub(super) const NO_SLOT: PeerSlot = PeerSlot(u16::MAX);

/// Who asked for a record to be written: the peer, where it was then, and its own number for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Asker {
    pub(super) peer: PeerSlot,
    pub(super) node: NodeId,
    pub(super) token: StoreToken,
}

/// The most bytes of memory that one node without a slot takes, messages apart.
pub(super) fn worst_case_bytes(limits: &Limits) -> u64 {
    const FIXED: u64 = (size_of::<(NodeId, Box<Peer>)>() + size_of::<Peer>()) as u64 + 1_024;
    FIXED + u64::from(limits.message_window) / 8
}

impl Links {
    /// What the disk holds of a node: what its application has not taken is shown again now, whether the
    /// node ever comes back or not, and what waits to be sent to it grows older from now on.
    pub(super) fn recovered(&mut self, cx: &mut Cx<'_>, node: NodeId, records: Vec<Record>) {
        let mut entry = Box::new(self.new_peer(cx.limits, node));
        entry.recover(cx, &mut self.sending, &mut self.receiving, records);
        self.say_rest(NO_SLOT, &mut entry);
        self.kept_wake = self.kept_wake.min(entry.outbox.next_wake());
        self.kept.insert(node, entry);
    }

    pub(super) fn wake_kept(&mut self, cx: &mut Cx<'_>) {
        let mut kept = core::mem::take(&mut self.kept);
        self.kept_wake = Wake::Idle;
        for entry in kept.values_mut() {
            entry.outbox.wake(cx, &mut self.sending);
            self.say_rest(NO_SLOT, entry);
            self.kept_wake = self.kept_wake.min(entry.outbox.next_wake());
        }
        self.kept = kept;
    }

    pub(super) fn attach(&mut self, cx: &mut Cx<'_>, peer: PeerSlot, node: NodeId, wanted: bool) {
        let is_known = self.peers.get(usize::from(peer.0)).is_some_and(Option::is_some);
        if let Some(before) = self.kept.remove(&node) {
            self.seat(peer, before);
        }
        let disk_failed = self.disk_failed;
        let Some(entry) = self.peer_entry(cx, peer, node) else { return };
        entry.inbox.wanted |= wanted;
        if !is_known
            && disk_failed
            && let Some(entry) = self.peers.get_mut(usize::from(peer.0)).and_then(Option::as_mut)
        {
            entry.store_failed(&mut self.sending, &mut self.receiving);
        }
        self.touch(cx, peer);
    }

    fn seat(&mut self, peer: PeerSlot, entry: Box<Peer>) {
        let index = usize::from(peer.0);
        if index >= self.peers.len() {
            self.peers.resize_with(index + 1, || None);
        }
        let Some(place) = self.peers.get_mut(index) else { return };
        debug_assert!(place.is_none(), "the slot was another's and is not removed");
        *place = Some(entry);
    }

    /// A peer has lost its slot. If it was `evicted`, by whoever happened to come, the durable messages to it
    /// wait here until they expire or it comes back, as they do after a restart: they stay in the bounds on
    /// what waits to be sent, and their node has had its place since the first of them was taken in.
    pub(super) fn peer_removed(&mut self, peer: PeerSlot, evicted: bool) {
        let Some(mut entry) = self.peers.get_mut(usize::from(peer.0)).and_then(Option::take) else { return };
        if evicted {
            entry.set_aside(&mut self.sending, &mut self.receiving);
        } else {
            entry.cancel(&mut self.sending, &mut self.receiving);
        }
        self.say_rest(peer, &mut entry);
        self.deadlines.clear(peer.0);
        self.ready.retain(|&slot| slot != peer);
        self.talking.retain(|&slot| slot != peer);
        if entry.has_correspondence() {
            self.kept_wake = self.kept_wake.min(entry.outbox.next_wake());
            self.kept.insert(entry.node, entry);
        }
    }

    /// Has everything done that a peer without a slot still wants done.
    pub(super) fn say_rest(&mut self, peer: PeerSlot, entry: &mut Peer) {
        while let Some(said) = entry.poll() {
            match self.action_of(peer, entry.node, said) {
                Action::Path { .. }
                | Action::Silent { .. }
                | Action::ClosedByPeer { .. }
                | Action::ForRouting { .. } => {}
                Action::Settled { tag, .. } if tag < OF_BUNDLES => {}
                action @ (Action::Deliver { .. }
                | Action::Receipt { .. }
                | Action::Settled { .. }
                | Action::Waits { .. }
                | Action::Ended { .. }
                | Action::Store { .. }) => {
                    self.actions.push_back(action);
                }
            }
        }
    }

    pub(super) fn stored(&mut self, cx: &mut Cx<'_>, slot: u64) {
        let Some(at) = self.stores.iter().position(|&(waiting, ..)| waiting == slot) else { return };
        let Some((_, Asker { peer, node, token })) = self.stores.remove(at) else { return };
        if let Some(mut entry) = self.kept.remove(&node) {
            entry.stored(cx, &mut self.receiving, token);
            self.say_rest(peer, &mut entry);
            self.kept.insert(node, entry);
            return;
        }
        let Some(peer) = self.place_of(peer, node) else { return };
        let Some(entry) = self.peers.get_mut(usize::from(peer.0)).and_then(Option::as_mut) else { return };
        entry.stored(cx, &mut self.receiving, token);
        self.touch(cx, peer);
        // One sync may serve many records: their peers take turns in the order of the records,
        // whether or not this one alone gave its peer something to say.
        self.enlist(peer, true);
    }

    /// Where a node is that was once in slot `before`.
    fn place_of(&self, before: PeerSlot, node: NodeId) -> Option<PeerSlot> {
        let is_at =
            |index: usize| self.peers.get(index).and_then(Option::as_ref).is_some_and(|p| p.node == node);
        if is_at(usize::from(before.0)) {
            return Some(before);
        }
        let index = (0..self.peers.len()).find(|&index| is_at(index))?;
        u16::try_from(index).ok().map(PeerSlot)
    }

    pub(super) fn store_failed(&mut self, cx: &mut Cx<'_>) {
        self.disk_failed = true;
        self.stores.clear();
        for index in 0..self.peers.len() {
            let Ok(slot) = u16::try_from(index).map(PeerSlot) else { return };
            if let Some(entry) = self.peers.get_mut(index).and_then(Option::as_mut) {
                entry.store_failed(&mut self.sending, &mut self.receiving);
                self.touch(cx, slot);
            }
        }
        let mut kept = core::mem::take(&mut self.kept);
        for entry in kept.values_mut() {
            entry.store_failed(&mut self.sending, &mut self.receiving);
            self.say_rest(NO_SLOT, entry);
        }
        self.kept = kept;
    }

    /// The application has taken the durable message `seq` of `from` for good; `peer` is the slot of
    /// `from`, if it has one.
    ///
    /// # Errors
    /// [`Refused::UnknownPeer`] when nothing is kept of this node.
    pub fn consumed(
        &mut self,
        cx: &mut Cx<'_>,
        peer: Option<PeerSlot>,
        from: NodeId,
        seq: u64,
    ) -> Result<(), Refused> {
        if let Some(peer) = peer {
            if let Some(entry) = self.peer_mut(peer) {
                entry.inbox.consumed(seq);
                self.touch(cx, peer);
            }
            return Ok(());
        }
        let mut entry = self.kept.remove(&from).ok_or(Refused::UnknownPeer)?;
        entry.inbox.consumed(seq);
        self.say_rest(NO_SLOT, &mut entry);
        self.kept.insert(from, entry);
        Ok(())
    }

    pub(super) fn check_kept(&self, limits: &Limits) {
        for (node, entry) in &self.kept {
            assert!(entry.node == *node && !entry.up && !entry.has_actions());
            entry.check(limits);
        }
        for entry in self.peers.iter().flatten() {
            assert!(!self.kept.contains_key(&entry.node), "a node is kept apart and has a slot");
        }
    }
}
