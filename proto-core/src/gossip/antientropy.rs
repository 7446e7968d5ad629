//! Two members compare what they have, when they meet and then rarely.
//!
//! Two innkeepers who meet read each other the sums at the foot of their lists, sixteen of them; where a sum differs one reads out that
//! part of his list name by name, and each tells the other what he lacks. Of the letters that they keep they read out the numbers.
//!
//! After Demers et al., "Epidemic Algorithms for Replicated Database Maintenance", PODC 1987, section 1.3 (check sums before lists).
//! It repairs what no tree and no news repaired: members who were cut off, and a joiner who knows nobody.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::hyparview::jittered;
use super::members::Standing;
use super::message::{BUCKETS, Entry, Message, Run, Stand};
use super::signed::MessageId;
use super::update::Update;
use super::{Gossip, Keys};
use crate::bounded::Seen;
use crate::drops::Drop;
use crate::ids::RouterId;
use crate::machine::Cx;
use crate::time::Duration;

/// Between two comparisons with somebody of the view, about; broadcasts are kept for twice as long and more.
pub(super) const EVERY: Duration = Duration::from_secs(30);
/// Members in one summary.
const MOST_ENTRIES: usize = 200;
/// Runs of numbers in one digest: 700 bytes.
const MOST_RUNS: usize = 64;
/// Bytes of updates in one message.
const UPDATES_BYTES: usize = 1_100;
/// Members who are asked for at once, and in all at a time.
const MOST_WANTED: usize = 64;
pub(super) const MOST_WANTING: usize = 256;
/// Before a member is asked for again because of a claim.
const WANT_AGAIN: Duration = Duration::from_secs(5);

impl Gossip {
    pub(super) fn digest_to(&mut self, cx: &mut Cx<'_>, to: RouterId, reply: bool) {
        let message =
            Message::Digest { reply, buckets: self.members.buckets(), runs: self.store.runs(MOST_RUNS) };
        self.out.send(cx.now, cx.limits, to, &message);
    }

    /// Compares with one of the view.
    pub(super) fn digest_wake(&mut self, cx: &mut Cx<'_>) {
        self.digest_at = cx.now + jittered(cx.rng, EVERY);
        let active: Vec<RouterId> = self.views.active().keys().copied().collect();
        if let Some(&to) = active.get(cx.rng.below(active.len() as u64) as usize) {
            self.digest_to(cx, to, false);
        }
    }

    pub(super) fn digest(
        &mut self,
        cx: &mut Cx<'_>,
        from: RouterId,
        (reply, buckets, runs): (bool, [u32; BUCKETS], &[Run]),
    ) {
        let mut lacking = Vec::new();
        for run in runs {
            let ids = (run.first.sequence..).take(usize::from(run.count));
            let ids = ids.map(|sequence| MessageId { sequence, ..run.first });
            lacking.extend(
                ids.filter(|&id| id.origin != self.own.router && self.origins.check(id) == Seen::Fresh),
            );
            if lacking.len() > 4_096 {
                break;
            }
        }
        self.tree.pull(from, lacking.into_iter());
        if reply || self.out.is_overdrawn(cx.now) {
            return;
        }
        let ours = self.members.buckets();
        let differs = buckets != ours;
        for (number, _) in buckets.iter().zip(&ours).enumerate().filter(|(_, (a, b))| a != b) {
            self.summary_to(cx, from, number as u8);
        }
        if differs || !self.store.is_empty() {
            self.digest_to(cx, from, true);
        }
    }

    fn summary_to(&mut self, cx: &mut Cx<'_>, to: RouterId, bucket: u8) {
        let entries: Vec<Entry> = self.members.bucket(bucket).collect();
        let complete = entries.len() <= MOST_ENTRIES;
        if entries.is_empty() {
            let message = Message::Summary { bucket, complete, entries };
            self.out.send(cx.now, cx.limits, to, &message);
            return;
        }
        for part in entries.chunks(MOST_ENTRIES) {
            let message = Message::Summary { bucket, complete, entries: part.to_vec() };
            self.out.send(cx.now, cx.limits, to, &message);
        }
    }

    /// What somebody knows of some members: each is told what he lacks.
    pub(super) fn summary(
        &mut self,
        cx: &mut Cx<'_>,
        from: RouterId,
        (bucket, complete, entries): (u8, bool, &[Entry]),
    ) {
        let (mut tell, mut want) = (Vec::new(), Vec::new());
        let theirs: BTreeMap<RouterId, Entry> = entries.iter().map(|entry| (entry.member, *entry)).collect();
        for entry in theirs.values() {
            let Some(member) = self.members.get(entry.member) else {
                if entry.stand == Stand::Present {
                    want.push(entry.member);
                }
                continue;
            };
            let ours = (member.announcement.incarnation, member.standing == Standing::Dead);
            let theirs = (entry.incarnation, entry.stand == Stand::Dead);
            if entry.member == self.own.router {
                self.spoken_of(cx, *entry);
                tell.push(entry.member);
            } else if ours < theirs {
                want.push(entry.member);
            } else if theirs < ours {
                tell.push(entry.member);
            }
        }
        if complete {
            let lacks = self.members.bucket(bucket).filter(|entry| entry.stand == Stand::Present);
            tell.extend(lacks.map(|entry| entry.member).filter(|member| !theirs.contains_key(member)));
        }
        self.tell(cx, from, &tell);
        for want in want.chunks(MOST_WANTED) {
            self.out.send(cx.now, cx.limits, from, &Message::Want(want.to_vec()));
        }
    }

    /// Tells somebody all that is known of some members, for certain.
    pub(super) fn tell(&mut self, cx: &mut Cx<'_>, to: RouterId, members: &[RouterId]) {
        let mut updates: Vec<Update> = Vec::new();
        let mut bytes = 0;
        if self.out.is_overdrawn(cx.now) {
            cx.drops.count(Drop::AnswerLimited);
            return;
        }
        for update in members.iter().take(1_024).flat_map(|&member| self.members.all_about(member)) {
            if bytes + update.len() > UPDATES_BYTES && !updates.is_empty() {
                self.out.send(cx.now, cx.limits, to, &Message::Updates(core::mem::take(&mut updates)));
                bytes = 0;
                if self.out.is_overdrawn(cx.now) {
                    return;
                }
            }
            bytes += update.len();
            updates.push(update);
        }
        if !updates.is_empty() {
            self.out.send(cx.now, cx.limits, to, &Message::Updates(updates));
        }
    }

    pub(super) fn updates(&mut self, cx: &mut Cx<'_>, from: RouterId, updates: Vec<Update>, keys: &dyn Keys) {
        let mut want = Vec::new();
        for update in updates {
            match update {
                Update::Announcement(announcement) => self.announced(cx, Some(from), announcement, keys),
                Update::Suspect { member, incarnation, patience_s, accusers } => {
                    let patience = Duration::from_secs(u64::from(patience_s));
                    if self.accused(cx, Some(from), (member, incarnation), (patience, &accusers)) {
                        want.push(member);
                    }
                }
                Update::Dead { member, incarnation } => {
                    if self.buried(cx, Some(from), member, incarnation) {
                        want.push(member);
                    }
                }
            }
        }
        self.want(cx, from, want);
    }

    /// Asks for members of whom something later is known than we know. Not again soon: the answer may be of no use to us, and would then
    /// be asked for without end.
    fn want(&mut self, cx: &mut Cx<'_>, from: RouterId, mut want: Vec<RouterId>) {
        self.wanted.retain(|_, at| *at + WANT_AGAIN > cx.now);
        want.retain(|member| !self.wanted.contains_key(member));
        want.truncate(MOST_WANTED.min(MOST_WANTING.saturating_sub(self.wanted.len())));
        if !want.is_empty() {
            self.wanted.extend(want.iter().map(|&member| (member, cx.now)));
            self.out.send(cx.now, cx.limits, from, &Message::Want(want));
        }
    }
}
