//! What a completed handshake means for what was there before.
//!
//! Two pen friends number their letters. Numbers go on for years, through new envelopes and new post
//! offices (keys and links), until one of them burns the drawer with the other's letters: then both have
//! to begin at one again. The one who burned it writes so in the next letter. But letters overtake each
//! other, so "I have nothing from you" proves nothing: it may have been written before the first letter
//! came, or long after. What both can compare, in any order of arrival, is a count: each keeps how many
//! drawers it has burned since it was born, its *life*, and says in every handshake what this life is
//! and in which life it last burned the receiver's.
//!
//! | the other side is | and | then |
//! |---|---|---|
//! | nobody we share anything with | | `New` |
//! | the instance we know | has not forgotten us since the highest life that it has told us | `Continue`: one more set of keys, numbers go on |
//! | the instance we know | has | `Reset`: begin anew |
//! | the instance we know | made this handshake before one of us forgot the other | `Stale`: nothing |
//! | a later start of the device | | `Reset` |
//! | another device of the node | | `Takeover`: the first is forgotten and the handshake ends; the next finds nothing shared |
//! | another instance of the same or an earlier start | | `Refuse`: a clone, or a disk from a backup |
//!
//! So both sides decide alike without knowing which handshakes the other has completed: nothing is
//! named after a handshake. Several may complete at once, and each gives a set of keys. Both sides
//! receive with any, and send with those of highest [`Rank`](super::keys::Rank): it depends only on what
//! both know. Keys that only we hold, because the answer that made them was dropped at the other side,
//! are found by a hint or by silence, and the next handshake outranks them.

use alloc::boxed::Box;
use bytes::Bytes;

use super::answer::LIFE;
use super::keys::{Holder, Keys, Rank};
use super::message::{Builder, Kind, Versions};
use super::payload::Payload;
use super::peers::{Association, Peer, Place, Unproved};
use super::trust::Papers;
use super::{Action, Known, Sessions};
use crate::crypto::aead;
use crate::crypto::noise::Split;
use crate::drops::Drop;
use crate::ids::{NodeId, PeerSlot};
use crate::machine::Cx;
use crate::node::output::DownReason;
use crate::params::PeerParams;
use crate::store::record::{Key, Record};
use crate::time::{Duration, Instant};

/// How long replaced keys still receive (three times the longest path delay that is at all usual).
pub(super) const KEEP_OLD: Duration = Duration::from_secs(60);

/// Who the other side of a handshake is, proved, and what it says.
pub(super) struct Claim {
    pub(super) papers: Papers,
    pub(super) boot: u32,
    pub(super) instance: u64,
    /// How often it has forgotten a peer, and the life in which it last forgot us.
    pub(super) life: u32,
    pub(super) forgot: u32,
    pub(super) round: u32,
    pub(super) version: u8,
    pub(super) params: PeerParams,
    /// It shows no papers, and knows ours.
    pub(super) is_short: bool,
}

/// See the table above.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    New,
    Continue,
    Reset,
    Takeover,
    Stale,
    Refuse,
}

/// The reason byte in a [`Kind::Refusal`]: another instance of your identity is in session with us.
const REFUSED_AS_CLONE: u8 = 1;

impl Sessions {
    /// Judges a handshake in which we said that our life is `life`.
    pub(super) fn fate(&self, claim: &Claim, life: u32) -> Fate {
        let node = &claim.papers.node;
        if life < self.forgot(node) {
            return Fate::Stale;
        }
        let device = Some(claim.papers.device);
        let Some(peer) = self.peers.of_node(node) else {
            let earlier = |known: &Known| known.device == device && claim.boot < known.boot;
            return if self.known.get(node).is_some_and(earlier) { Fate::Refuse } else { Fate::New };
        };
        // Another device of the node counts its own starts; the later comer takes over.
        if peer.device.is_some() && peer.device != device {
            return if peer.association.is_some() { Fate::Takeover } else { Fate::New };
        }
        match peer.instance {
            Some(instance) if instance == claim.instance => {}
            Some(_) if claim.boot <= peer.boot => return Fate::Refuse,
            None if claim.boot < peer.boot => return Fate::Refuse,
            Some(_) | None => return if peer.association.is_some() { Fate::Reset } else { Fate::New },
        }
        match &peer.association {
            None => Fate::New,
            Some(association) if claim.life < association.forgot => Fate::Stale,
            Some(association) if claim.forgot > association.life => Fate::Reset,
            Some(_) => Fate::Continue,
        }
    }

    /// Our life when we last forgot this node.
    pub(super) fn forgot(&self, node: &NodeId) -> u32 {
        let peer = self.peers.of_node(node).map(|peer| peer.forgot);
        peer.or_else(|| Some(self.known.get(node)?.forgot)).unwrap_or(self.forgot_others)
    }

    /// What is known of a node that is about to get a slot.
    pub(super) fn recall(&mut self, node: &NodeId) -> Known {
        let stranger = Known { device: None, boot: 0, forgot: self.forgot_others, dh_key: None };
        self.known.remove(node).unwrap_or(stranger)
    }

    /// Reads what the other side says of itself, and proves it.
    pub(super) fn claim(
        &self,
        now: Instant,
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
        let shown = payload.is_short.then_some(()).and(self.shown.as_ref());
        let with_papers =
            shown.map(|(certificate, membership)| Payload { certificate, membership, ..*payload });
        if payload.is_short && with_papers.is_none() {
            return Err(Drop::CertificateInvalid);
        }
        let papers = self.trust.verify(now, with_papers.as_ref().unwrap_or(payload), static_key, cached)?;
        if !self.is_latest(&papers) {
            return Err(Drop::CertificateInvalid);
        }
        Ok(Claim {
            papers,
            boot: payload.boot,
            instance: payload.instance,
            life: payload.life,
            forgot: payload.forgot,
            round: payload.round,
            version,
            params: payload.params,
            is_short: payload.is_short,
        })
    }

    /// Whether papers go on from the root keys that their node has shown since it has its slot.
    pub(super) fn is_latest(&self, papers: &Papers) -> bool {
        self.peers.of_node(&papers.node).is_none_or(|peer| peer.roots.check_latest(&papers.roots).is_ok())
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

    /// What we say of ourselves, to a known `node` also whether we have forgotten it.
    pub(super) fn payload(
        &self,
        node: Option<&NodeId>,
        round: u32,
        refused: bool,
        is_short: bool,
    ) -> alloc::vec::Vec<u8> {
        Payload {
            refused,
            versions: self.versions,
            boot: self.boot,
            instance: self.instance.unwrap_or(0),
            life: self.life,
            forgot: node.map_or(0, |node| self.forgot(node)),
            round,
            params: self.params,
            is_short,
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
                round: claim.round,
                smaller_started: we_are_smaller == ours,
                hash: split.hash.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)),
            },
            heard: false,
            doubtful: false,
            until: None,
        }
    }

    /// Who has to make room for one more peer, `wanted` or not, if anybody must.
    pub(super) fn stranger_to_go(&self, limit: u16, wanted: bool) -> Result<Option<PeerSlot>, Drop> {
        if self.peers.iter().count() < usize::from(limit) {
            return Ok(None);
        }
        self.peers.stranger_for(wanted).map(Some).ok_or(Drop::PeersFull)
    }

    /// The slot for a peer that is `wanted`, or has proved who it is; a stranger makes room for it.
    pub(super) fn slot_for(&mut self, cx: &mut Cx<'_>, node: NodeId, wanted: bool) -> Result<PeerSlot, Drop> {
        if let Some(slot) = self.peers.slot_of(&node) {
            return Ok(slot);
        }
        let limit = cx.limits.peers;
        let stranger = self.stranger_to_go(limit, wanted)?;
        // Before another is forgotten: that must not change what this node is told.
        let known = self.recall(&node);
        if let Some(stranger) = stranger {
            self.forget(cx, stranger, true);
        }
        let mut peer = Peer::new(cx.now, Some(node));
        (peer.device, peer.boot) = (known.device, known.boot);
        (peer.forgot, peer.key) = (known.forgot, known.dh_key);
        self.peers.insert(peer, limit).ok_or(Drop::PeersFull)
    }

    /// Takes over the keys at `index`: the handshake is complete for us. With the place that it went to, whether that is
    /// `proved`.
    pub(super) fn adopt(
        &mut self,
        cx: &mut Cx<'_>,
        slot: PeerSlot,
        (place, proved): (Place, bool),
        index: u32,
        claim: Claim,
        fate: Fate,
    ) {
        let was_up = self.peers.get(slot).is_some_and(Peer::is_up);
        if matches!(fate, Fate::New | Fate::Reset) {
            self.release_keys(slot);
        }
        let Some((rank, ours)) = self.table.keys(index).map(|keys| (keys.rank, keys.ours)) else { return };
        let Some(peer) = self.peers.get_mut(slot) else { return };
        if matches!(fate, Fate::New | Fate::Reset) {
            peer.association = None;
        }
        let restarted = core::mem::take(&mut peer.parted) || fate == Fate::Reset;
        let association = peer.association.get_or_insert_with(|| Box::new(Association::new(claim.params)));
        association.life = association.life.max(claim.life);
        association.forgot = association.forgot.max(claim.forgot);
        association.version = claim.version;
        association.params = claim.params;
        association.round = association.round.max(rank.round);
        association.heard = cx.now;
        association.up = true;
        let until = cx.now + LIFE;
        association.unproved = (!proved).then(|| Box::new(Unproved { place, index, until }));
        if proved {
            peer.add_endpoint(cx.now, place, false, usize::from(cx.limits.paths_per_peer));
        }
        let news_for_disk = peer.remember(cx.now, place, &claim, fate);
        let (node, device) = (claim.papers.node, claim.papers.device);
        self.table.set_holder(index, Holder::Peer(slot));
        self.hold(slot, index);
        self.choose(cx, slot);
        let sending = self.peers.get(slot).and_then(|peer| Some(peer.association.as_ref()?.sending));
        self.drop_dials(slot, sending);
        if let Some(record) = news_for_disk {
            self.push(Action::Store(record));
        }
        self.push(Action::Established {
            peer: slot,
            node,
            device,
            restarted,
            rekey: was_up && !restarted,
            ours,
            version: claim.version,
            params: claim.params,
            link: place.link,
            addr: place.addr,
            proved,
        });
        self.keep_roots(cx, slot);
        if proved {
            self.met(cx, place);
        }
        self.arm(cx, slot);
    }

    /// A packet came from where the answer went: the peer is there.
    pub(super) fn prove(&mut self, cx: &mut Cx<'_>, slot: PeerSlot, place: Place) {
        if let Some(peer) = self.peers.get_mut(slot) {
            peer.add_endpoint(cx.now, place, false, usize::from(cx.limits.paths_per_peer));
        }
        self.met(cx, place);
        self.arm(cx, slot);
    }

    /// Adds keys to an association; the least of four make room.
    fn hold(&mut self, slot: PeerSlot, index: u32) {
        let table = &mut self.table;
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let Some(association) = peer.association.as_deref_mut() else { return };
        if association.keys.contains(&index) {
            return;
        }
        // A free place has no worth and is the least.
        let least = association.keys.iter_mut().min_by_key(|held| table.keys(**held).map(Keys::worth));
        if let Some(least) = least {
            table.release(*least);
            *least = index;
        }
    }

    /// Sends with the best keys from now on; the others only receive, for a while.
    pub(super) fn choose(&mut self, cx: &Cx<'_>, slot: PeerSlot) {
        let table = &mut self.table;
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let Some(association) = peer.association.as_deref_mut() else { return };
        let held = association.keys.iter().copied().filter(|&held| held != 0);
        association.sending = held.max_by_key(|&held| table.keys(held).map(Keys::worth)).unwrap_or(0);
        for &held in &association.keys {
            let sending = association.sending;
            if let Some(keys) = table.keys_mut(held) {
                keys.until = if held == sending { None } else { keys.until.or(Some(cx.now + KEEP_OLD)) };
            }
        }
    }

    /// The other side has just made its first keys with us: it holds none of those that we made alone.
    pub(super) fn doubt(&mut self, slot: PeerSlot) {
        let Some(association) = self.peers.get(slot).and_then(|peer| peer.association.as_deref()) else {
            return;
        };
        for &held in &association.keys {
            if let Some(keys) = self.table.keys_mut(held) {
                keys.doubtful = !keys.heard;
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

    /// Another device of the peer's node is there: what is shared with the first is void, and so is every
    /// handshake in which we have not said so.
    pub(super) fn take_over(&mut self, cx: &mut Cx<'_>, slot: PeerSlot) {
        self.close(cx, slot, DownReason::Restarted);
        self.life = self.life.saturating_add(1);
        let life = self.life;
        let Some(peer) = self.peers.get_mut(slot) else { return };
        peer.forgot = life;
        peer.parted |= peer.association.take().is_some();
        // A start count is that of a device: the next one begins its own.
        (peer.device, peer.boot, peer.instance, peer.papers) = (None, 0, None, None);
    }

    /// Gives a peer's slot free: it was removed, or is `evicted` to make room for another.
    pub(super) fn forget(&mut self, cx: &mut Cx<'_>, slot: PeerSlot, evicted: bool) {
        self.close(cx, slot, DownReason::Removed);
        self.drop_dials(slot, None);
        self.peer_timers.clear(slot.0);
        let Some(peer) = self.peers.remove(slot) else { return };
        self.push(Action::Forgotten { peer: slot, evicted });
        let Some(node) = peer.node else { return };
        self.life = self.life.saturating_add(1);
        // An earlier start of it is still refused, as far as there is room to remember.
        if self.known.len() < usize::from(cx.limits.peers) {
            let (device, boot, dh_key) = (peer.device, peer.boot, peer.key);
            self.known.insert(node, Known { device, boot, forgot: self.life, dh_key });
        } else {
            self.forgot_others = self.life;
            // Nor does the disk remember it: made-up nodes would fill it.
            self.push(Action::Store(Record::Erased { key: Key::Peer(node) }));
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
            Fate::Continue => self.boot.max(claim.boot),
            Fate::New | Fate::Reset | Fate::Takeover | Fate::Stale | Fate::Refuse => claim.boot,
        };
        self.instance = Some(claim.instance);
        self.device = Some(claim.papers.device);
        self.key = Some(claim.papers.dh_key);
        self.roots.clone_from(&claim.papers.roots);
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
