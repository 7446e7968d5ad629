//! What clerks and those who ask them do with each other's notices.

use alloc::vec::Vec;

use bytes::Bytes;

use super::super::database::Known;
use super::super::record::{Content, Part, RecordKey, SignedRecord};
use super::super::{Action, Routing};
use super::clerks;
use super::notice::{Address, Notice};
use super::seek::Seeking;
use crate::drops::Drop;
use crate::identity::Checker;
use crate::ids::{NodeId, RouterId};
use crate::machine::Cx;
use crate::time::{Duration, Instant};

/// Signatures of strangers' notices that are checked within a second: three of each address.
const CHECKS_PER_S: u32 = 192;

impl Routing {
    /// Looks for a node that is not on the map, until it is found ([`Action::Found`]) or that is stopped. Nothing is done where no landmark is known.
    pub fn seek(&mut self, cx: &mut Cx<'_>, node: NodeId) {
        if self.knows_landmarks() {
            self.large.seeking.seek(cx.now, cx.rng, node, usize::from(cx.limits.peers));
        }
    }

    /// A node need not be looked for any more.
    pub fn stop_seeking(&mut self, node: NodeId) {
        self.large.seeking.stop(node);
    }

    fn clerks_of(&self, node: NodeId) -> Vec<RouterId> {
        clerks(node, self.large.landmarks.ways().map(|(router, ..)| router))
    }

    /// Leaves our address where it is to be.
    pub(in super::super) fn publish(&mut self, cx: &mut Cx<'_>) {
        let (now, slowest) = (cx.now, self.slowest());
        let home = self.home().filter(|_| self.is_large());
        if let Some(home) = self.large.publishing.unsigned(now, home) {
            let record = self.own.record(Part::HOME, Content::Home { landmark: home });
            self.large.publishing.signed(now, home, record);
        }
        let clerks = if home.is_some() { self.clerks_of(self.own.known.node) } else { Vec::new() };
        let (due, record) = self.large.publishing.due(now, &clerks, slowest);
        let Some(record) = record.filter(|_| !due.is_empty()).cloned() else { return };
        let own = self.own.router;
        let papers = self.database.record(RecordKey { router: own, part: Part::PAPERS }).unwrap_or(&[]);
        let papers = Bytes::copy_from_slice(papers);
        if papers.len() > super::super::large::MOST_PAPERS {
            return;
        }
        let address = Address { papers: &papers, home: &record.bytes };
        for clerk in due {
            if clerk == own {
                self.keep(cx, (self.own.known, &papers), &record);
            } else {
                self.send_notice(cx, (clerk, Some(clerk)), Notice::Publish(address).to_bytes());
            }
        }
    }

    /// Asks whoever is to be asked next for the nodes that are looked for.
    pub(in super::super) fn ask_clerks(&mut self, cx: &mut Cx<'_>) {
        let slowest = self.slowest();
        for (node, nonce, asked) in self.large.seeking.due(cx.now, slowest) {
            if asked > 1 {
                self.actions.push_back(Action::InVain { node });
            }
            let Some(clerk) = Seeking::clerk(&self.clerks_of(node), asked) else { continue };
            if clerk != self.own.router {
                self.send_notice(cx, (clerk, Some(clerk)), Notice::Query { nonce, node }.to_bytes());
                continue;
            }
            // What we keep ourselves was checked when it came.
            match self.large.places.place_of(cx.now, node) {
                Some((router, home, key)) => self.found(cx, node, router, (home, key)),
                None => self.large.seeking.unknown(cx.now, node),
            }
        }
    }

    /// A notice for this router has come, from whom it says; `home` is where an answer goes.
    pub(in super::super) fn noticed(
        &mut self,
        cx: &mut Cx<'_>,
        (from, home): (RouterId, Option<RouterId>),
        message: &Bytes,
        checker: &Checker<'_>,
    ) {
        match Notice::decode(message) {
            Ok(Notice::Publish(Address { papers, home: record })) => {
                let (papers, record) = (message.slice_ref(papers), message.slice_ref(record));
                if let Some(sequence) = self.keep_for(cx, from, (papers, record), checker) {
                    self.send_notice(cx, (from, home), Notice::Kept { sequence }.to_bytes());
                }
            }
            Ok(Notice::Kept { sequence }) => self.large.publishing.kept(from, sequence),
            Ok(Notice::Query { nonce, node }) if self.large.standing.is_landmark() => {
                let address = self.large.places.of(cx.now, node);
                let answer = Notice::Answer { nonce, address }.to_bytes();
                self.send_notice(cx, (from, home), answer);
            }
            Ok(Notice::Query { .. } | Notice::Skipped) => {}
            Ok(Notice::Answer { nonce, address }) => {
                let Some(node) = self.large.seeking.asked_for(nonce) else { return };
                match address {
                    Some(Address { papers, home }) => {
                        let (papers, home) = (message.slice_ref(papers), message.slice_ref(home));
                        self.answered(cx, node, (papers, home), checker);
                    }
                    None => self.large.seeking.unknown(cx.now, node),
                }
            }
            Ok(Notice::Astray { to }) => self.actions.push_back(Action::Astray { router: to }),
            Err(_) => cx.drops.count(Drop::ProtocolViolation),
        }
    }

    /// Keeps the address of a router, if it is signed; the number of what is kept then.
    fn keep_for(
        &mut self,
        cx: &mut Cx<'_>,
        from: RouterId,
        (papers, record): (Bytes, Bytes),
        checker: &Checker<'_>,
    ) -> Option<u64> {
        if !self.large.standing.is_landmark() {
            return None;
        }
        let home = SignedRecord::decode(record).ok()?;
        if home.key != (RecordKey { router: from, part: Part::HOME }) {
            cx.drops.count(Drop::RecordInvalid);
            return None;
        }
        match self.large.places.sequence(from) {
            Some(have) if have == home.sequence => return Some(have),
            Some(have) if have > home.sequence => return None,
            Some(_) | None => {}
        }
        if !self.may_check(cx.now) {
            cx.drops.count(Drop::AnswerLimited);
            return None;
        }
        let known = self.shown_by(cx, from, &papers, checker)?;
        self.checks += 1;
        if !home.is_signed_by(checker.verifier, &known.sign_key, self.network) {
            cx.drops.count(Drop::RecordInvalid);
            return None;
        }
        self.keep(cx, (known, &papers), &home).then_some(home.sequence)
    }

    fn keep(&mut self, cx: &mut Cx<'_>, (known, papers): (Known, &Bytes), home: &SignedRecord) -> bool {
        let most = cx.limits.place_bytes as usize;
        let kept = self.large.places.keep((cx.now, most), (known, papers), home);
        if !kept {
            cx.drops.count(Drop::LandmarksFull);
        } else if home.key.router == self.own.router {
            self.large.publishing.kept(self.own.router, home.sequence);
        }
        kept
    }

    /// A clerk has answered where a node is.
    fn answered(
        &mut self,
        cx: &mut Cx<'_>,
        node: NodeId,
        (papers, record): (Bytes, Bytes),
        checker: &Checker<'_>,
    ) {
        let Some(record) = SignedRecord::decode(record).ok().filter(|record| record.key.part == Part::HOME)
        else {
            cx.drops.count(Drop::RecordInvalid);
            return;
        };
        let (router, Content::Home { landmark: home }) = (record.key.router, &record.content) else { return };
        let Some(known) = self.shown_by(cx, router, &papers, checker) else { return };
        self.checks += 1;
        if known.node != node || !record.is_signed_by(checker.verifier, &known.sign_key, self.network) {
            cx.drops.count(Drop::RecordInvalid);
            return;
        }
        self.found(cx, node, router, (*home, known.dh_key));
    }

    fn found(&mut self, cx: &mut Cx<'_>, node: NodeId, router: RouterId, (home, key): (RouterId, [u8; 32])) {
        self.large.seeking.found(cx.now, node);
        self.actions.push_back(Action::Found { node, router, home, key });
    }

    /// Whether the signatures of one more stranger may be checked in this second.
    fn may_check(&mut self, now: Instant) -> bool {
        let (since, count) = &mut self.large.checks;
        if *since + Duration::from_secs(1) <= now {
            (*since, *count) = (now, 0);
        }
        *count += 3;
        *count <= CHECKS_PER_S
    }
}
