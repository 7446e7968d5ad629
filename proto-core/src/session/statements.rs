//! Signed statements: taking them over, and ending what they void.
//!
//! Whoever shows a certificate shows the rotations of its root key with it, and a rotation that has been
//! seen once must hold for ever, or a thief of the old key could pose as the node the next day. But
//! memory for ever is bounded, and in an open network anybody invents nodes with a rotated root key for
//! nothing. So a landlord copies into his book the papers of tenants whom he expects by name, and of those
//! who stand in the book already; of a passing guest he holds the papers while the guest has a room
//! ([`Peer::roots`](super::peers::Peer)), which is as long as anybody could take the guest's place.

use alloc::vec::Vec;
use bytes::Bytes;

use super::peers::Peer;
use super::{Action, Sessions};
use crate::identity::{self, IdentityError, Installed, Taken};
use crate::ids::{NodeId, PeerSlot};
use crate::machine::Cx;
use crate::node::output::DownReason;
use crate::store::record::{Key, Record};

impl Sessions {
    /// Verifies a signed statement, takes it over, asks to store it, and ends sessions that it voids.
    ///
    /// # Errors
    /// Why it was refused; nothing has changed then.
    pub fn install(&mut self, cx: &mut Cx<'_>, bytes: &[u8]) -> Result<Installed, IdentityError> {
        let installed = self.take_over_statement(cx, bytes)?;
        if installed.taken != Taken::Known {
            self.push(Action::Store(Record::Statement { bytes: Bytes::copy_from_slice(bytes) }));
            self.erase_replaced(&installed);
        }
        Ok(installed)
    }

    /// Like [`Sessions::install`] for a statement that was read from disk, where it stays. One that it
    /// replaces is erased: a crash may have come between writing the one and erasing the other. So is one
    /// with a network key that is past.
    ///
    /// # Errors
    /// Why it was refused; nothing that is held has changed then.
    pub fn recover(&mut self, cx: &mut Cx<'_>, bytes: &[u8]) -> Result<Installed, IdentityError> {
        let taken = self.take_over_statement(cx, bytes);
        match &taken {
            Ok(installed) => self.erase_replaced(installed),
            Err(IdentityError::Stale) if identity::is_past_key(&self.trust.network, bytes) => {
                self.erase_statement(identity::statement_hash(bytes));
            }
            Err(_) => {}
        }
        taken
    }

    fn take_over_statement(&mut self, cx: &mut Cx<'_>, bytes: &[u8]) -> Result<Installed, IdentityError> {
        let installed = self.trust.install(bytes)?;
        match installed.taken {
            Taken::Rotated(node) | Taken::Revoked(node) | Taken::Excluded(node) => {
                self.recheck(cx, Some(node));
                self.push(Action::Distrusted { node });
            }
            Taken::Known | Taken::Membership | Taken::NetworkKey(_) => {}
        }
        Ok(installed)
    }

    fn erase_replaced(&mut self, installed: &Installed) {
        for &old in &installed.replaces {
            self.erase_statement(old);
        }
    }

    fn erase_statement(&mut self, hash: [u8; 32]) {
        self.push(Action::Store(Record::Erased { key: Key::Statement(hash) }));
    }

    /// Keeps for good which root keys a peer has shown, if we have to do with it: the application named
    /// its node, or something is known of it already.
    pub(super) fn keep_roots(&mut self, cx: &mut Cx<'_>, slot: PeerSlot) {
        let Some(peer) = self.peers.get(slot) else { return };
        let Some(papers) = &peer.papers else { return };
        if !peer.named && !self.trust.revocations.knows(&papers.node) {
            return;
        }
        if let Some(news) = self.trust.news(cx.now, papers) {
            // Verified with the certificate; taking it over can only fail for want of room.
            let _ = self.install(cx, &news);
        }
    }

    /// Ends sessions whose papers no longer hold: those of one node, or all that may have expired.
    pub(super) fn recheck(&mut self, cx: &mut Cx<'_>, node: Option<NodeId>) {
        let bad = |peer: &Peer| {
            peer.papers.as_ref().is_some_and(|papers| match node {
                Some(node) => papers.node == node && !self.trust.still_valid(cx.now, papers),
                None => self.trust.has_expired(cx.now, papers),
            })
        };
        let void: Vec<PeerSlot> =
            self.peers.iter().filter(|(_, peer)| bad(peer)).map(|(slot, _)| slot).collect();
        for slot in void {
            self.end_papers(cx, slot);
        }
    }

    /// Ends the session with a peer whose papers no longer hold.
    pub(super) fn end_papers(&mut self, cx: &mut Cx<'_>, slot: PeerSlot) {
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.papers = None;
        }
        self.close(cx, slot, DownReason::Revoked);
    }
}
