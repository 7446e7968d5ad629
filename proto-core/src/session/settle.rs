//! What a completed handshake means for what was there before.
//!
//! Handshakes cross each other: both sides call at once, a call made long ago arrives late, a peer that
//! has restarted calls while we still call its former self. Each one alone is easy to judge; this module
//! makes all orders of arrival end the same way on both sides.
//!
//! | the other side is | it remembers our association | then |
//! |---|---|---|
//! | the instance we know | yes | `Continue`: new keys, numbers go on |
//! | the instance we know | no, and could not yet: ours was made while this handshake was under way | `Merge`: as above, one of two foundings is kept |
//! | the instance we know | no, and it never proved that it did: our founding did not get through | `Renew`: other keys and another name, numbers go on |
//! | the instance we know | no: it has forgotten us | `Reset`: begin anew |
//! | a later start of the device | | `Reset` |
//! | nobody we know | | `New` |
//! | another instance of the same or an earlier start | | `Refuse`: a clone, or a disk from a backup |
//!
//! Two sides that found at once hold two sets of keys. Both receive with either, and both send with the
//! one of higher [`Rank`](super::keys::Rank): it depends only on what both know.
//!
//! Whoever completes a handshake drops its own others to that peer. So a side that is heard under some
//! keys has no older handshake left to complete, which is what makes "while under way" decidable.

use alloc::boxed::Box;
use bytes::Bytes;

use super::keys::{Holder, Keys, Rank};
use super::message::{Builder, Kind, Versions};
use super::payload::Payload;
use super::peers::{Association, Peer, Place};
use super::trust::Papers;
use super::{Action, Known, Sessions};
use crate::crypto::aead;
use crate::crypto::noise::Split;
use crate::drops::Drop;
use crate::ids::{NodeId, PeerSlot};
use crate::machine::Cx;
use crate::node::output::DownReason;
use crate::params::PeerParams;
use crate::store::record::Record;
use crate::time::{Duration, Instant};

/// How long replaced keys still receive (three times the longest path delay that is at all usual).
pub(super) const KEEP_OLD: Duration = Duration::from_secs(60);

/// Who the other side of a handshake is, proved, and what it says.
pub(super) struct Claim {
    pub(super) papers: Papers,
    /// Rotations of its root that were news to us.
    pub(super) news: Option<Bytes>,
    pub(super) boot: u32,
    pub(super) instance: u64,
    /// The association that both sides hold, or 0.
    pub(super) agreed: u64,
    pub(super) round: u32,
    pub(super) version: u8,
    pub(super) params: PeerParams,
}

/// See the table above.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    New,
    Continue,
    Merge,
    Renew,
    Reset,
    Refuse,
}

/// The reason byte in a [`Kind::Refusal`]: another instance of your identity is in session with us.
const REFUSED_AS_CLONE: u8 = 1;

impl Sessions {
    /// Judges a handshake that began at step `begun`, ours or the other side's.
    pub(super) fn fate(&self, claim: &Claim, begun: u64, ours: bool) -> Fate {
        let node = &claim.papers.node;
        let Some(peer) = self.peers.of_node(node) else {
            return match self.known.get(node) {
                Some(known) if claim.boot < known.boot => Fate::Refuse,
                Some(_) | None => Fate::New,
            };
        };
        let anew = if peer.association.is_some() { Fate::Reset } else { Fate::New };
        // Another device of the node counts its own starts; the later comer takes over.
        if peer.papers.as_ref().is_some_and(|papers| papers.device != claim.papers.device) {
            return anew;
        }
        match peer.instance {
            Some(instance) if instance == claim.instance => {}
            Some(_) if claim.boot <= peer.boot => return Fate::Refuse,
            None if claim.boot < peer.boot => return Fate::Refuse,
            Some(_) | None => return anew,
        }
        let Some(association) = &peer.association else { return Fate::New };
        if claim.agreed != 0 && claim.agreed == association.id {
            return Fate::Continue;
        }
        match (ours, association.confirmed) {
            (true, _) if association.founded > begun => Fate::Merge,
            (true, None) => Fate::Renew,
            (false, None) => Fate::Merge,
            (false, Some(confirmed)) if begun < confirmed => Fate::Merge,
            (true, Some(_)) | (false, Some(_)) => Fate::Reset,
        }
    }

    /// Reads what the other side says of itself, and proves it.
    pub(super) fn claim(
        &self,
        payload: &Payload<'_>,
        static_key: Option<[u8; 32]>,
        outer: Versions,
    ) -> Result<Claim, Drop> {
        if payload.versions != outer {
            return Err(Drop::HandshakeInvalid);
        }
        let version = self.versions.common(payload.versions).ok_or(Drop::Incompatible)?;
        // The papers of a peer that we speak with are found by its key.
        let cached = |hash: &[u8; 32]| {
            let mut papers = self.peers.iter().filter_map(|(_, peer)| peer.papers.as_ref());
            papers.find(|papers| papers.hash() == hash).cloned()
        };
        let (papers, news) = self.trust.verify(payload, static_key, cached)?;
        Ok(Claim {
            papers,
            news,
            boot: payload.boot,
            instance: payload.instance,
            agreed: payload.association,
            round: payload.round,
            version,
            params: payload.params,
        })
    }

    /// Whether we met ourselves: our own echo, or a second instance of this very device.
    pub(super) fn is_self(&mut self, claim: &Claim) -> bool {
        let same_node = claim.papers.node == self.trust.identity.node();
        let same_device = claim.papers.device == self.trust.identity.device();
        if same_node && same_device && Some(claim.instance) != self.instance {
            self.report_self();
        }
        same_node
    }

    /// Says, once, that we are one of several.
    pub(super) fn report_self(&mut self) {
        if !self.reported_self {
            self.reported_self = true;
            let (node, device) = (self.trust.identity.node(), self.trust.identity.device());
            self.push(Action::CloneDetected { node, device });
        }
    }

    /// Says, once for each, that a peer has a second instance.
    pub(super) fn report_clone(&mut self, claim: &Claim) {
        let (node, device) = (claim.papers.node, claim.papers.device);
        if let Some(slot) = self.peers.slot_of(&node)
            && let Some(peer) = self.peers.get_mut(slot)
        {
            if peer.clone_reported == Some(claim.instance) {
                return;
            }
            peer.clone_reported = Some(claim.instance);
        }
        self.push(Action::CloneDetected { node, device });
    }

    /// What we say of ourselves. To a known peer, with the association that we hold with it.
    pub(super) fn payload(&self, association: u64, round: u32, refused: bool) -> alloc::vec::Vec<u8> {
        Payload {
            refused,
            versions: self.versions,
            boot: self.boot,
            instance: self.instance.unwrap_or(0),
            association,
            round,
            params: self.params,
            certificate: self.trust.identity.certificate_bytes(),
            membership: self.trust.membership(),
        }
        .encode()
    }

    /// Keys out of a finished handshake.
    pub(super) fn make_keys(
        &self,
        cx: &Cx<'_>,
        split: &Split,
        remote: u32,
        ours: bool,
        claim: &Claim,
    ) -> Keys {
        let (send, receive) =
            if ours { (&split.initiator, &split.responder) } else { (&split.responder, &split.initiator) };
        let we_are_smaller = self.trust.identity.node() < claim.papers.node;
        Keys {
            send: aead::Key::new(send.expose()),
            receive: aead::Key::new(receive.expose()),
            remote,
            sent: 0,
            forged: 0,
            born: cx.now,
            ours,
            rank: Rank {
                round: if claim.agreed == 0 { 0 } else { claim.round },
                smaller_started: we_are_smaller == ours,
                hash: split.hash.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)),
            },
            heard: false,
            until: None,
        }
    }

    /// The slot for a peer that has proved who it is; an idle stranger makes room for it.
    pub(super) fn slot_for(&mut self, cx: &mut Cx<'_>, node: NodeId) -> Result<PeerSlot, Drop> {
        if let Some(slot) = self.peers.slot_of(&node) {
            return Ok(slot);
        }
        let limit = cx.limits.peers;
        let mut peer = Peer::new(cx.now, Some(node));
        if let Some(known) = self.known.remove(&node) {
            peer.boot = known.boot;
            peer.key = known.dh_key;
        }
        let full = self.peers.iter().count() >= usize::from(limit);
        if full && let Some(stranger) = self.peers.idle_stranger() {
            self.forget(cx, stranger);
        }
        self.peers.insert(peer, limit).ok_or(Drop::PeersFull)
    }

    /// Takes over the keys at `index`: the handshake is complete for us.
    pub(super) fn adopt(
        &mut self,
        cx: &mut Cx<'_>,
        slot: PeerSlot,
        place: Place,
        index: u32,
        claim: Claim,
        fate: Fate,
    ) {
        let was_up = self.peers.get(slot).is_some_and(Peer::is_up);
        if matches!(fate, Fate::New | Fate::Renew | Fate::Reset) {
            self.release_keys(slot);
        }
        let Some((rank, heard)) = self.table.keys(index).map(|keys| (keys.rank, keys.heard)) else {
            return;
        };
        let confirmed = heard.then_some(self.step);
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if matches!(fate, Fate::New | Fate::Reset) {
            peer.association = None;
        }
        let step = self.step;
        let fresh = || Box::new(Association::new(rank.hash, step, claim.params));
        let association = peer.association.get_or_insert_with(fresh);
        if fate == Fate::Renew {
            (association.id, association.round) = (rank.hash, 0);
        }
        association.version = claim.version;
        association.params = claim.params;
        association.round = association.round.max(rank.round);
        association.confirmed = association.confirmed.or(confirmed);
        association.heard = cx.now;
        association.up = true;
        peer.add_endpoint(cx.now, place, false, usize::from(cx.limits.paths_per_peer));
        let news_for_disk = peer.remember(cx.now, place, &claim, fate);
        let (node, device) = (claim.papers.node, claim.papers.device);
        self.table.set_holder(index, Holder::Peer(slot));
        self.choose(cx, slot, index, fate);
        let sending = self.peers.get(slot).and_then(|peer| Some(peer.association.as_ref()?.sending));
        self.drop_dials(slot, sending);
        if let Some(record) = news_for_disk {
            self.push(Action::Store(record));
        }
        self.push(Action::Established {
            peer: slot,
            node,
            device,
            restarted: fate == Fate::Reset,
            rekey: was_up && fate != Fate::Reset,
            version: claim.version,
            params: claim.params,
            link: place.link,
            addr: place.addr,
        });
        if let Some(news) = claim.news {
            // Verified with the certificate; taking it over can only fail for want of room.
            let _ = self.install(cx, &news);
        }
        self.arm(cx, slot);
    }

    /// Adds keys to an association and sends with the best from now on; the others only receive, for a
    /// while. With two foundings of one association, the name is that of the better.
    fn choose(&mut self, cx: &Cx<'_>, slot: PeerSlot, index: u32, fate: Fate) {
        let table = &mut self.table;
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let Some(association) = peer.association.as_deref_mut() else { return };
        let rank_of = |table: &super::Table, index: u32| table.keys(index).map(|keys| keys.rank);
        if !association.keys.contains(&index) {
            // A free place has no rank and is the least; else the worst keys make room.
            let worst = association.keys.iter_mut().min_by_key(|held| rank_of(table, **held));
            if let Some(worst) = worst {
                table.release(*worst);
                *worst = index;
            }
        }
        let best = association
            .keys
            .iter()
            .copied()
            .filter(|&held| held != 0)
            .max_by_key(|&held| rank_of(table, held));
        association.sending = best.unwrap_or(index);
        if fate == Fate::Merge && association.sending == index {
            association.id = rank_of(table, index).map_or(association.id, |rank| rank.hash);
        }
        for &held in &association.keys {
            let sending = association.sending;
            if let Some(keys) = table.keys_mut(held) {
                keys.until = if held == sending { None } else { keys.until.or(Some(cx.now + KEEP_OLD)) };
            }
        }
    }

    /// Erases all keys of a peer. The association rests.
    pub(super) fn release_keys(&mut self, slot: PeerSlot) {
        let Some(association) = self.peers.get_mut(slot).and_then(|peer| peer.association.as_deref_mut())
        else {
            return;
        };
        association.up = false;
        association.sending = 0;
        for index in core::mem::take(&mut association.keys) {
            self.table.release(index);
        }
    }

    /// Ends a session. What is shared with the peer is kept, for it may come back.
    pub(super) fn close(&mut self, cx: &mut Cx<'_>, slot: PeerSlot, reason: DownReason) {
        let Some(peer) = self.peers.get(slot) else { return };
        let (was_up, node) = (peer.is_up(), peer.node);
        self.drop_dials(slot, None);
        self.release_keys(slot);
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.since = cx.now;
        }
        if let (true, Some(node)) = (was_up, node) {
            self.push(Action::Closed { peer: slot, node, reason });
        }
        match reason {
            DownReason::Silent | DownReason::Closed | DownReason::Restarted => self.encourage(cx, slot, None),
            DownReason::Removed | DownReason::Revoked | DownReason::Cloned => {}
        }
    }

    pub(super) fn forget(&mut self, cx: &mut Cx<'_>, slot: PeerSlot) {
        self.close(cx, slot, DownReason::Removed);
        self.drop_dials(slot, None);
        self.peer_timers.clear(slot.0);
        let Some(peer) = self.peers.remove(slot) else { return };
        // An earlier start of it is still refused, as far as there is room to remember.
        if let Some(node) = peer.node
            && self.known.len() < usize::from(cx.limits.peers)
        {
            self.known.insert(node, Known { boot: peer.boot, dh_key: peer.key });
        }
    }

    /// Tells the other side of the keys at `index`, so that only it can have been told by us, that it
    /// is a second instance.
    pub(super) fn refusal(&self, index: u32, hello: &[u8; 32]) -> Option<Bytes> {
        let keys = self.table.keys(index)?;
        let packet = Builder::new(Kind::Refusal, self.versions, index).index(keys.remote);
        let mut sealed = [0; 1 + aead::TAG_LEN];
        sealed[0] = REFUSED_AS_CLONE;
        keys.send.seal_in_place(&REFUSAL_NONCE, packet.written(), &mut sealed).ok()?;
        Some(packet.put(&sealed).seal(hello).into())
    }

    /// The other side says under fresh keys that one of the two of us is a second instance.
    pub(super) fn on_refusal(
        &mut self,
        cx: &mut Cx<'_>,
        receiver: u32,
        sealed: &[u8; 17],
        aad: &[u8],
    ) -> Result<(), Drop> {
        let (holder, keys) = self.table.find_mut(receiver).ok_or(Drop::HandshakeInvalid)?;
        let mut sealed = *sealed;
        let reason =
            keys.receive.open_in_place(&REFUSAL_NONCE, aad, &mut sealed).map_err(|_| Drop::AuthFailed)?;
        if reason != [REFUSED_AS_CLONE] {
            return Err(Drop::ProtocolViolation);
        }
        match holder {
            Holder::Peer(slot) => {
                self.report_self();
                self.close(cx, slot, DownReason::Cloned);
                self.rest(cx, slot);
            }
            Holder::Answer(answer) => self.refusal_answered(cx, answer),
            Holder::Dial(_) => {}
        }
        Ok(())
    }
}

impl Peer {
    /// Takes over who the peer has proved to be; gives the record of it if that is news.
    fn remember(&mut self, now: Instant, place: Place, claim: &Claim, fate: Fate) -> Option<Record> {
        let known = self.boot == claim.boot
            && self.papers.as_ref().is_some_and(|papers| papers.hash() == claim.papers.hash());
        // Another device counts its own starts, so the count may go down when all begins anew.
        self.boot = match fate {
            Fate::Continue | Fate::Merge | Fate::Renew => self.boot.max(claim.boot),
            Fate::New | Fate::Reset | Fate::Refuse => claim.boot,
        };
        self.instance = Some(claim.instance);
        self.key = Some(claim.papers.dh_key);
        self.papers = Some(claim.papers.clone());
        self.since = now;
        for endpoint in self.endpoints.iter_mut().filter(|endpoint| endpoint.place == place) {
            endpoint.slow = false;
        }
        let certificate = claim.papers.certificate.clone();
        (!known).then_some(Record::Peer { node: claim.papers.node, certificate, boot: self.boot })
    }
}

/// No data packet has path 2^32 - 1.
const REFUSAL_NONCE: [u8; aead::NONCE_LEN] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0];
