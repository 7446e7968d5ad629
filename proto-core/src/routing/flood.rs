//! How the map spreads: what came from one neighbour goes to all others, each part of it once.

use alloc::vec::Vec;
use bytes::Bytes;
use core::cmp::Ordering;

use super::database::Known;
use super::message::{Entries, Hop, Keys, Message, Summary};
use super::record::{Content, Part, RecordError, RecordKey, SignedRecord};
use super::{Action, Routing};
use crate::drops::Drop;
use crate::identity::Checker;
use crate::ids::{NodeId, PeerSlot, RouterId};
use crate::machine::Cx;
use crate::node::input::Class;
use crate::time::Duration;
use crate::zoo::Bug;

/// So long after a neighbour was told something it is told more, and as much again by chance: a lone word travels as fast as
/// the links, and at a cold start one message carries what came from many.
const GATHER: Duration = Duration::from_millis(3);
/// Where air is scarce, the time of so many packets goes by before anything is told: what comes meanwhile goes along (guess).
const GATHER_PACKETS: u64 = 16;
/// So long after a message that the link did not take or gave up.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

impl Routing {
    pub(super) fn message(&mut self, cx: &mut Cx<'_>, peer: PeerSlot, payload: Bytes, checker: &Checker<'_>) {
        let Some(from) = self.neighbours.get(&peer).map(|neighbour| neighbour.router) else {
            cx.drops.count(Drop::UnknownSession);
            return;
        };
        match Message::decode(&payload, Hop { from, to: self.own.router }) {
            Ok(Message::Records(records)) => self.records(cx, peer, &payload, records, checker),
            Ok(Message::Summary(summary)) => self.summary(cx, peer, summary),
            Ok(Message::Request(keys)) => self.request(cx, peer, keys),
            Ok(Message::Data(head, start)) => self.data(cx, peer, head, (payload, start), checker),
            Ok(Message::Landmarks(entries)) => self.landmark_entries(cx, peer, &payload, entries, checker),
            Ok(Message::Skipped) => {}
            Err(_) => cx.drops.count(Drop::ProtocolViolation),
        }
    }

    fn records(
        &mut self,
        cx: &mut Cx<'_>,
        peer: PeerSlot,
        message: &Bytes,
        records: Entries<'_>,
        checker: &Checker<'_>,
    ) {
        for bytes in records {
            let record = bytes.map_err(|_| RecordError::Malformed("list of records"));
            match record.and_then(|bytes| SignedRecord::decode(message.slice_ref(bytes))) {
                Ok(record) => self.record(cx, peer, &record, checker),
                Err(RecordError::NewerVersion) => cx.drops.count(Drop::UnknownKind),
                Err(RecordError::Malformed(_)) => {
                    cx.drops.count(Drop::ProtocolViolation);
                    return;
                }
            }
        }
    }

    /// One record from a neighbour. What is known already is not checked again.
    fn record(&mut self, cx: &mut Cx<'_>, peer: PeerSlot, record: &SignedRecord, checker: &Checker<'_>) {
        let (key, sequence) = (record.key, record.sequence);
        if key.part > Part::LAST {
            cx.drops.count(Drop::ProtocolViolation);
            return;
        }
        if key.router == self.own.router {
            self.own_came_back(cx, peer, record, checker);
            return;
        }
        let neighbour = self.neighbours.get_mut(&peer);
        match self.database.compare(key, sequence) {
            Ordering::Less if cx.zoo.has(Bug::OldRecordTaken) => {}
            Ordering::Less => {
                if let Some(neighbour) = neighbour {
                    neighbour.owe(key);
                    self.flood_soon(cx, peer);
                }
                return;
            }
            Ordering::Equal => {
                if let Some(neighbour) = neighbour {
                    neighbour.has(key);
                }
                return;
            }
            Ordering::Greater => {}
        }
        let claimed = self.vicinity.claim(key.router);
        if claimed.is_none() && self.is_too_far(cx.limits, record) {
            // Seen before anything is computed: most of what a full map refuses is far away.
            cx.drops.count(Drop::RoutersFull);
            self.vicinity.is_full(cx.now);
            return;
        }
        let Some(known) = self.author(cx, peer, record, checker) else { return };
        self.checks += 1;
        let is_signed = record.is_signed_by(checker.verifier, &known.sign_key, self.network);
        if !is_signed && !cx.zoo.has(Bug::RecordUnchecked) {
            cx.drops.count(Drop::RecordInvalid);
            return;
        }
        if !self.database.fits(cx.limits, record) {
            self.vicinity.is_full(cx.now);
        }
        let is_new = self.database.known(key.router).is_none();
        self.vicinity.answered(key.router);
        let before = self.database.len();
        if !self.database.insert((cx.now, cx.limits), record, (known, claimed), self.own.router) {
            cx.drops.count(Drop::RoutersFull);
            if self.database.len() < before {
                self.map_changed(cx.now);
            }
            return;
        }
        if is_new && cx.limits.gossips() {
            self.actions.push_back(Action::Appeared { router: key.router });
        }
        self.map_changed(cx.now);
        self.owe_all(cx, key, Some(peer));
    }

    /// Whose record it is, if that is somebody whom we may believe.
    fn author(
        &mut self,
        cx: &mut Cx<'_>,
        peer: PeerSlot,
        record: &SignedRecord,
        checker: &Checker<'_>,
    ) -> Option<Known> {
        let before = self.database.known(record.key.router).copied();
        let Content::Papers { certificate, membership } = &record.content else {
            if before.is_none() {
                self.ask_for(cx, peer, record.key);
            }
            return before;
        };
        let known = self.holder(cx, record.key.router, (certificate, membership), checker)?;
        if before.is_some_and(|before| before.sign_key != known.sign_key) {
            cx.drops.count(Drop::RecordInvalid);
            return None;
        }
        Some(known)
    }

    /// Who shows these papers, if they hold and are this router's.
    pub(super) fn holder(
        &mut self,
        cx: &mut Cx<'_>,
        router: RouterId,
        (certificate, membership): (&Bytes, &Bytes),
        checker: &Checker<'_>,
    ) -> Option<Known> {
        self.checks += 1;
        let shown = checker.verify(certificate, (!membership.is_empty()).then_some(membership.as_ref()));
        let Ok(identity) = shown else {
            cx.drops.count(Drop::CertificateInvalid);
            return None;
        };
        if RouterId::of(identity.device) != router {
            cx.drops.count(Drop::RecordInvalid);
            return None;
        }
        let (node, device) = (identity.node, identity.device);
        Some(Known { node, device, sign_key: identity.sign_key, dh_key: identity.dh_key })
    }

    /// Of the devices of this node those leave the map whose papers do not hold any more. What others still tell of them is
    /// asked for with papers, and refused.
    pub(super) fn distrusted(&mut self, cx: &mut Cx<'_>, node: NodeId, checker: &Checker<'_>) {
        for router in self.database.devices(node).collect::<Vec<RouterId>>() {
            let papers = self.database.record(RecordKey { router, part: Part::PAPERS });
            let holds = papers.is_some_and(|papers| self.papers_hold(papers, checker));
            if !holds && router != self.own.router {
                self.database.remove(router);
                self.map_changed(cx.now);
                cx.drops.count(Drop::Revoked);
            }
        }
        self.distrust_afar(cx, node, checker);
    }

    pub(super) fn papers_hold(&self, record: &[u8], checker: &Checker<'_>) -> bool {
        let Ok(SignedRecord { content, .. }) = SignedRecord::decode(Bytes::copy_from_slice(record)) else {
            return false;
        };
        let Content::Papers { certificate, membership } = content else { return false };
        checker.verify(&certificate, (!membership.is_empty()).then_some(membership.as_ref())).is_ok()
    }

    /// A page came without papers to check it by: both are asked for, in this order.
    fn ask_for(&mut self, cx: &mut Cx<'_>, peer: PeerSlot, key: RecordKey) {
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
        neighbour.want_once(cx.now, RecordKey { part: Part::PAPERS, ..key });
        neighbour.want_once(cx.now, key);
        self.flood_soon(cx, peer);
    }

    /// What carries our own name: ours, or the word of an earlier start, or of another instance of this identity.
    fn own_came_back(
        &mut self,
        cx: &mut Cx<'_>,
        peer: PeerSlot,
        record: &SignedRecord,
        checker: &Checker<'_>,
    ) {
        if self.database.sequence(record.key) == Some(record.sequence) {
            if let Some(neighbour) = self.neighbours.get_mut(&peer) {
                neighbour.has(record.key);
            }
            return;
        }
        self.checks += 1;
        if !record.is_signed_by(checker.verifier, &self.own.known.sign_key, self.network) {
            cx.drops.count(Drop::RecordInvalid);
            return;
        }
        if self.database.compare(record.key, record.sequence) == Ordering::Greater {
            self.own.contradicted(cx.now, record.key.part, record.sequence);
        } else if let Some(neighbour) = self.neighbours.get_mut(&peer) {
            neighbour.owe(record.key);
            self.flood_soon(cx, peer);
        }
    }

    /// What a neighbour has: it is owed whatever it lacks. What it has and we lack it finds in our summary.
    fn summary(&mut self, cx: &mut Cx<'_>, peer: PeerSlot, summary: Summary<'_>) {
        let (from, to) = (summary.from, summary.to);
        let mut theirs = alloc::collections::BTreeMap::new();
        for entry in summary {
            let Ok((key, sequence)) = entry else {
                cx.drops.count(Drop::ProtocolViolation);
                return;
            };
            theirs.insert(key, sequence);
        }
        if cx.zoo.has(Bug::SummaryIgnored) {
            return;
        }
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
        for (key, ours) in self.database.from(from).take_while(|&(key, _)| key <= to) {
            match theirs.get(&key) {
                Some(&has) if has >= ours => neighbour.has(key),
                Some(_) | None => neighbour.owe(key),
            }
        }
        self.flood_soon(cx, peer);
    }

    fn request(&mut self, cx: &mut Cx<'_>, peer: PeerSlot, keys: Keys<'_>) {
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
        for key in keys {
            match key {
                // Who has no papers of a router has nothing of it.
                Ok(RecordKey { router, part: Part::PAPERS }) => {
                    self.database.parts(router).for_each(|key| neighbour.owe(key));
                }
                Ok(key) if self.database.sequence(key).is_some() => neighbour.owe(key),
                Ok(_) => {}
                Err(_) => {
                    cx.drops.count(Drop::ProtocolViolation);
                    break;
                }
            }
        }
        self.flood_soon(cx, peer);
    }

    /// A record is new: every neighbour needs it but the one that it came from.
    pub(super) fn owe_all(&mut self, cx: &mut Cx<'_>, key: RecordKey, but: Option<PeerSlot>) {
        let peers: Vec<PeerSlot> = self.neighbours.keys().copied().collect();
        for peer in peers {
            let Some(neighbour) = self.neighbours.get_mut(&peer) else { continue };
            if but == Some(peer) {
                neighbour.has(key);
            } else {
                neighbour.owe(key);
                self.flood_soon(cx, peer);
            }
        }
    }

    /// A neighbour is to be told something: when this turn is over, or a little later if it was told something just now.
    pub(super) fn flood_soon(&mut self, cx: &mut Cx<'_>, peer: PeerSlot) {
        let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
        if neighbour.flood_at.is_none() && neighbour.has_work() {
            let jitter = Duration::from_micros(cx.rng.below(GATHER.as_micros()));
            let gather = GATHER.max(neighbour.scarce().mul_ratio(GATHER_PACKETS, 1));
            let last = if neighbour.scarce() > Duration::ZERO { Some(cx.now) } else { neighbour.flooded_at };
            let gathered = last.map_or(cx.now, |at| at + gather + jitter);
            neighbour.flood_at = Some(gathered.max(cx.now));
            self.set_deadline(peer);
        }
    }

    /// Tells a neighbour as much as may be under way to it.
    pub(super) fn flood(&mut self, cx: &mut Cx<'_>, peer: PeerSlot) {
        if let Some(neighbour) = self.neighbours.get_mut(&peer) {
            neighbour.flooded_at = Some(cx.now);
        }
        loop {
            let tag = self.tag();
            let Some(neighbour) = self.neighbours.get_mut(&peer) else { return };
            let landmarks = (&mut self.large.landmarks, peer);
            let Some(payload) = neighbour.next_message(&self.database, landmarks, tag) else { return };
            self.actions.push_back(Action::Send { peer, tag, class: Class::High, payload });
        }
    }

    pub(super) fn settled(&mut self, cx: &mut Cx<'_>, peer: PeerSlot, tag: u64, arrived: bool) {
        if let Some(id) = self.custody.carried_by(tag) {
            self.carried_on(cx, id, arrived);
        } else if let Some(neighbour) = self.neighbours.get_mut(&peer)
            && let Some(lost) = neighbour.settled(tag, arrived)
            && neighbour.has_work()
        {
            for router in lost {
                self.large.landmarks.lacks(router, peer);
            }
            if arrived {
                // It has waited for this one already: what is owed goes on at once.
                neighbour.flood_at = None;
                self.flood(cx, peer);
            } else {
                neighbour.flood_at = Some(cx.now + AFTER_FAILURE);
            }
            self.set_deadline(peer);
        }
    }
}
