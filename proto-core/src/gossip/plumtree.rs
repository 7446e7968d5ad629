//! How a broadcast gets to all: over the branches of a tree at once, and everywhere else only the word that it is here.
//!
//! News in a village goes from door to door. He who hears it a second time says "I have it from Anna already, do not come any
//! more, just tell me in the evening what you know". Soon each house is told once. When Anna is ill, the evening's talk shows that
//! something was missed; he asks for it, and from then on the one whom he asked comes to him at once.
//!
//! Plumtree (Leitão, Pereira and Rodrigues, SRDS 2007): *eager* branches get payloads, *lazy* ones IHAVE. A payload that comes a
//! second time prunes (section 3.4); a word about what has not come after a while grafts (3.5); a much shorter way takes the
//! place of a long one (3.8, with its threshold of 7 hops). Departures: a branch is owed ids, not bytes, so that what waits at
//! a slow link does not grow; who said that he has a payload is not sent it; far members begin lazy where there are near ones, and are told a second's news at
//! once where they are guarded (`swim`); and on
//! a shared medium one transmission stands for all branches there (`medium`).
//!
//! Messages go over links that repeat what is lost, so grafts are for members and links that fail, not for packets. What is
//! waited for before a graft is therefore measured: what it takes a neighbour to confirm. (How late payloads come by themselves was tried
//! instead: repairs count as late ones, so it waits ever longer; at 120 members and 20 % loss 2.0 s for 99.9 % in place of 1.1 s.)

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::hyparview::Seat;
use super::message::Message;
use super::seen::Store;
use super::signed::{Broadcast, MessageId};
use super::{Gossip, Keys};
use crate::bounded::Seen;
use crate::drops::Drop;
use crate::ids::{LinkId, RouterId};
use crate::limits::Limits;
use crate::machine::Cx;
use crate::time::{Duration, Instant};

/// Words that a payload is here are gathered for so long.
const LAZY_AFTER: Duration = Duration::from_millis(100);
/// Those for a far member who is guarded: over many hops each costs as many packets, and its neighbours speak first.
const LAZY_AFTER_FAR: Duration = Duration::from_secs(1);
/// From the first word about a payload to asking for it, at least.
const GRAFT_AFTER: Duration = Duration::from_millis(400);
/// And at most, however slow the links are.
const GRAFT_AFTER_MOST: Duration = Duration::from_secs(20);
/// So many hops less make a lazy branch eager, section 3.8 and its evaluation.
const OPTIMIZE: u8 = 7;
/// Messages under way to one member.
const MOST_UNDER_WAY: usize = 16;
/// Ids in one message.
const MOST_IDS: usize = 60;
/// Payloads that are waited for, and how many of them one member alone may have spoken of.
const MOST_MISSING: usize = 1_024;
const MOST_MISSING_OF_ONE: u16 = 256;
/// Who is remembered to have a payload that is waited for.
const MOST_SOURCES: usize = 8;
/// How often a payload may have been passed on.
const MOST_HOPS: u8 = 250;

/// What a message to a member carries.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Carried {
    Payload(MessageId),
    Ids(Vec<MessageId>),
    Word,
}

/// One member of the active view, as the tree sees it.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) eager: bool,
    near: bool,
    pub(super) medium: Option<LinkId>,
    owed: BTreeSet<MessageId>,
    lazy: BTreeSet<MessageId>,
    lazy_at: Option<Instant>,
    guarded: bool,
    prune: bool,
    graft: BTreeSet<MessageId>,
    graft_eager: bool,
    /// What it was asked for, and whether as a branch.
    asked: BTreeMap<MessageId, bool>,
    under_way: BTreeMap<u64, (Instant, Carried)>,
    blocked_until: Instant,
    spoke_first_of: u16,
    /// Smoothed time to a confirmation, and its deviation.
    settle: Option<(Duration, Duration)>,
}

impl Branch {
    fn new(seat: Seat, eager: bool) -> Branch {
        Branch {
            eager,
            near: seat.near,
            medium: seat.medium,
            owed: BTreeSet::new(),
            lazy: BTreeSet::new(),
            lazy_at: None,
            guarded: false,
            prune: false,
            graft: BTreeSet::new(),
            graft_eager: false,
            asked: BTreeMap::new(),
            under_way: BTreeMap::new(),
            blocked_until: Instant::ZERO,
            spoke_first_of: 0,
            settle: None,
        }
    }

    fn has_it(&mut self, id: MessageId) {
        self.owed.remove(&id);
        self.lazy.remove(&id);
    }

    pub(super) fn owe_word(&mut self, now: Instant, id: MessageId) {
        self.lazy.insert(id);
        let after = if self.guarded && !self.near { LAZY_AFTER_FAR } else { LAZY_AFTER };
        self.lazy_at.get_or_insert(now + after);
    }

    fn due_at(&self) -> Option<Instant> {
        if self.under_way.len() >= MOST_UNDER_WAY {
            return None;
        }
        let at_once = self.prune || !self.graft.is_empty() || self.graft_eager || !self.owed.is_empty();
        let at = if at_once { Some(Instant::ZERO) } else { self.lazy_at };
        at.map(|at| at.max(self.blocked_until))
    }

    /// As RFC 6298, section 2, with its constants.
    fn measured(&mut self, took: Duration) {
        self.settle = Some(match self.settle {
            None => (took, took.mul_ratio(1, 2)),
            Some((mean, deviation)) => {
                let off = mean.saturating_sub(took).max(took.saturating_sub(mean));
                let deviation = deviation.mul_ratio(3, 4) + off.mul_ratio(1, 4);
                (mean.mul_ratio(7, 8) + took.mul_ratio(1, 8), deviation)
            }
        });
    }
}

#[derive(Debug)]
struct Missing {
    sources: Vec<(RouterId, u8)>,
    first: RouterId,
    at: Instant,
}

/// Branches, and payloads that are waited for.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) branches: BTreeMap<RouterId, Branch>,
    missing: BTreeMap<MessageId, Missing>,
    missing_at: BTreeSet<(Instant, MessageId)>,
}

impl Tree {
    pub(super) fn up(&mut self, id: RouterId, seat: Seat, eager: bool) {
        self.branches.insert(id, Branch::new(seat, eager));
    }

    /// A member says whether it is guarded.
    pub(super) fn is_guarded(&mut self, id: RouterId, guarded: bool) {
        if let Some(branch) = self.branches.get_mut(&id) {
            branch.guarded = guarded;
        }
    }

    pub(super) fn down(&mut self, id: RouterId) {
        self.branches.remove(&id);
    }

    /// When something may be sent, not counting the purse.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.branches.values().filter_map(Branch::due_at).min()
    }

    pub(super) fn next_graft(&self) -> Option<Instant> {
        self.missing_at.first().map(|&(at, _)| at)
    }

    /// What is waited for before asking for a payload: time for it to come over links that repeat what is lost.
    pub(super) fn patience(&self) -> Duration {
        let slowest = self.branches.values().filter(|branch| branch.eager).filter_map(|branch| {
            let (mean, deviation) = branch.settle?;
            Some(mean.mul_ratio(2, 1) + deviation.mul_ratio(8, 1))
        });
        (GRAFT_AFTER + slowest.max().unwrap_or(Duration::ZERO)).min(GRAFT_AFTER_MOST)
    }

    fn found(&mut self, id: MessageId) -> Vec<(RouterId, u8)> {
        let Some(missing) = self.missing.remove(&id) else { return Vec::new() };
        self.missing_at.remove(&(missing.at, id));
        if let Some(branch) = self.branches.get_mut(&missing.first) {
            branch.spoke_first_of = branch.spoke_first_of.saturating_sub(1);
        }
        missing.sources
    }

    fn missed(&mut self, now: Instant, patience: Duration, from: RouterId, id: MessageId, hops: u8) {
        if let Some(missing) = self.missing.get_mut(&id) {
            let known = missing.sources.iter().any(|&(source, _)| source == from);
            if !known && missing.sources.len() < MOST_SOURCES {
                missing.sources.push((from, hops));
            }
            return;
        }
        let Some(branch) = self.branches.get_mut(&from) else { return };
        if self.missing.len() >= MOST_MISSING || branch.spoke_first_of >= MOST_MISSING_OF_ONE {
            return;
        }
        branch.spoke_first_of += 1;
        let at = now + patience;
        self.missing.insert(id, Missing { sources: alloc::vec![(from, hops)], first: from, at });
        self.missing_at.insert((at, id));
    }

    /// Asks the next who has it; when nobody is left, the digests must help.
    fn graft(&mut self, now: Instant, patience: Duration, id: MessageId) {
        let Some(missing) = self.missing.get_mut(&id) else { return };
        self.missing_at.remove(&(missing.at, id));
        let mut asked = false;
        while !missing.sources.is_empty() && !asked {
            // A near one before a far one, and of each kind the one that spoke first.
            let is_near = |id: &RouterId| self.branches.get(id).is_some_and(|branch| branch.near);
            let near = missing.sources.iter().position(|(source, _)| is_near(source));
            let (source, _) = missing.sources.remove(near.unwrap_or(0));
            if let Some(branch) = self.branches.get_mut(&source) {
                branch.eager = true;
                branch.prune = false;
                branch.graft_eager = true;
                branch.graft.insert(id);
                asked = true;
            }
        }
        if asked {
            missing.at = now + patience;
            self.missing_at.insert((missing.at, id));
        } else {
            self.found(id);
        }
    }

    /// Asks a member for payloads, which does not make it a branch.
    pub(super) fn pull(&mut self, from: RouterId, ids: impl Iterator<Item = MessageId>) {
        let Some(branch) = self.branches.get_mut(&from) else { return };
        for id in ids.take(MOST_MISSING) {
            let known = self.missing.contains_key(&id) || branch.asked.contains_key(&id);
            if !known && branch.graft.len() < MOST_MISSING {
                branch.graft.insert(id);
            }
        }
    }

    /// Owes a payload to all branches but the one that it came from; those on a medium where it is called out are owed the word only.
    fn spread(&mut self, now: Instant, id: MessageId, but: Option<RouterId>, shouted: &[LinkId]) {
        for (&peer, branch) in &mut self.branches {
            let hears = branch.medium.is_some_and(|medium| shouted.contains(&medium));
            if but == Some(peer) {
                branch.has_it(id);
            } else if branch.eager && !hears {
                branch.owed.insert(id);
            } else {
                branch.owe_word(now, id);
            }
        }
    }

    /// Nothing more can be said of it: it is not kept any more.
    pub(super) fn let_go(&mut self, id: MessageId) {
        for branch in self.branches.values_mut() {
            branch.has_it(id);
            branch.asked.remove(&id);
        }
    }

    #[cfg(test)]
    pub(super) fn missing_count(&self) -> usize {
        self.missing.len()
    }

    pub(super) fn worst_case_bytes(limits: &Limits) -> u64 {
        let id = 3 * size_of::<MessageId>() as u64;
        // Kept broadcasts are at least as large as their overhead in the store; a branch may be owed each, as payload and as word.
        let kept = u64::from(limits.gossip_bytes) / 256 + 1;
        let branch = size_of::<Branch>() as u64 + (2 * kept + 2 * MOST_MISSING as u64) * id;
        let under_way = MOST_UNDER_WAY as u64 * (MOST_IDS as u64 * id + 64);
        let missing = MOST_MISSING as u64 * (2 * id + 64 + MOST_SOURCES as u64 * 16);
        u64::from(limits.gossip_view).max(4).saturating_mul(branch + under_way) + missing
    }

    pub(super) fn check(&self, store: &Store) {
        assert_eq!(self.missing.len(), self.missing_at.len());
        assert!(self.missing.len() <= MOST_MISSING);
        for branch in self.branches.values() {
            assert!(branch.under_way.len() <= MOST_UNDER_WAY);
            assert!(branch.owed.iter().all(|&id| store.get(id).is_some()), "owed and not kept");
            assert!(branch.lazy.iter().all(|&id| store.get(id).is_some()), "spoken of and not kept");
            assert!(branch.lazy.is_empty() || branch.lazy_at.is_some());
        }
    }
}

impl Gossip {
    /// A payload from a member, or, without one, heard on a medium.
    pub(super) fn payload(
        &mut self,
        cx: &mut Cx<'_>,
        (from, heard_on): (Option<RouterId>, Option<LinkId>),
        broadcast: Broadcast,
        keys: &dyn Keys,
    ) {
        let id = broadcast.id;
        let branch = from.and_then(|from| self.tree.branches.get_mut(&from));
        let asked = branch.and_then(|branch| {
            branch.has_it(id);
            branch.asked.remove(&id)
        });
        if id.origin == self.own.router || self.origins.check(id) != Seen::Fresh {
            cx.drops.count(Drop::DuplicateMessage);
            self.copies.1 += 1;
            if let Some(from) = from {
                self.prune(from, asked);
            }
            return;
        }
        if !self.is_genuine(cx, &broadcast, keys) {
            return;
        }
        self.copies.0 += 1;
        self.origins.mark(cx.limits, cx.now, id);
        let sources = self.tree.found(id);
        self.keep(cx, &broadcast, from, heard_on);
        if let Some(from) = from {
            self.came_from(from, asked, broadcast.hops, &sources);
        }
        for (source, _) in sources {
            if let Some(branch) = self.tree.branches.get_mut(&source) {
                branch.has_it(id);
            }
        }
        self.deliver(&broadcast);
    }

    /// A second copy came: this branch is not needed. Unless we asked for it, and it was only late.
    fn prune(&mut self, from: RouterId, asked: Option<bool>) {
        let Some(branch) = self.tree.branches.get_mut(&from) else { return };
        if asked.is_none() {
            branch.eager = false;
            branch.prune = true;
            // What it was owed as payload it is now owed as word.
            let owed = core::mem::take(&mut branch.owed);
            if !owed.is_empty() {
                branch.lazy.extend(owed);
                branch.lazy_at.get_or_insert(Instant::ZERO);
            }
        }
    }

    /// Whoever brought a payload first is a branch; unless one who spoke of it is much nearer to its origin.
    fn came_from(&mut self, from: RouterId, asked: Option<bool>, hops: u8, sources: &[(RouterId, u8)]) {
        // The hops of a far branch are many on the ground, and not counted.
        let is_near = |id| self.tree.branches.get(&id).is_some_and(|branch| branch.near);
        let shorter = sources.iter().find(|&&(source, theirs)| {
            let no_farther = is_near(source) || !is_near(from);
            source != from && no_farther && theirs.saturating_add(1 + OPTIMIZE) <= hops
        });
        if let Some(&(source, _)) = shorter
            && asked.is_none()
            && let Some(branch) = self.tree.branches.get_mut(&source)
        {
            branch.eager = true;
            branch.graft_eager = true;
            self.prune(from, None);
            return;
        }
        if let Some(branch) = self.tree.branches.get_mut(&from)
            && asked != Some(false)
        {
            branch.eager = true;
            branch.prune = false;
        }
    }

    /// Keeps a broadcast and owes it to all, as far as there is room to keep it.
    pub(super) fn keep(
        &mut self,
        cx: &mut Cx<'_>,
        broadcast: &Broadcast,
        from: Option<RouterId>,
        heard_on: Option<LinkId>,
    ) {
        let id = broadcast.id;
        let onward = Broadcast { hops: broadcast.hops.saturating_add(1), ..broadcast.clone() };
        for gone in self.store.keep(cx.limits, cx.now, &onward) {
            self.over(gone);
        }
        if self.store.get(id).is_none() || broadcast.hops >= MOST_HOPS {
            cx.drops.count(Drop::QueueFull);
            return;
        }
        let shouted = self.call_out(cx, id, heard_on);
        self.tree.spread(cx.now, id, from, &shouted);
    }

    pub(super) fn ihave(&mut self, cx: &mut Cx<'_>, from: RouterId, ids: &[(MessageId, u8)]) {
        let patience = self.tree.patience();
        for &(id, hops) in ids {
            if let Some(branch) = self.tree.branches.get_mut(&from) {
                branch.has_it(id);
            }
            let is_ours = id.origin == self.own.router;
            if !is_ours && self.members.get(id.origin).is_some() && self.origins.check(id) == Seen::Fresh {
                self.tree.missed(cx.now, patience, from, id, hops);
            }
        }
    }

    pub(super) fn grafted(&mut self, from: RouterId, eager: bool, ids: &[MessageId]) {
        let Some(branch) = self.tree.branches.get_mut(&from) else { return };
        if eager {
            branch.eager = true;
            branch.prune = false;
        }
        for &id in ids {
            if self.store.get(id).is_some() {
                branch.lazy.remove(&id);
                branch.owed.insert(id);
            }
        }
    }

    pub(super) fn pruned(&mut self, from: RouterId) {
        if let Some(branch) = self.tree.branches.get_mut(&from) {
            branch.eager = false;
        }
    }

    /// What is due to all members of the view.
    pub(super) fn flush(&mut self, cx: &mut Cx<'_>) {
        while let Some((_, id)) = self.tree.missing_at.first().copied().filter(|&(at, _)| at <= cx.now) {
            let patience = self.tree.patience();
            self.tree.graft(cx.now, patience, id);
        }
        let peers: Vec<RouterId> = self.tree.branches.keys().copied().collect();
        for to in peers {
            while self.out.free_at() <= cx.now && self.flush_one(cx, to) {}
        }
    }

    fn flush_one(&mut self, cx: &mut Cx<'_>, to: RouterId) -> bool {
        let Some(branch) = self.tree.branches.get_mut(&to) else { return false };
        if branch.due_at().is_none_or(|at| at > cx.now) {
            return false;
        }
        let (message, carried) = if core::mem::take(&mut branch.prune) {
            (Message::Prune, Carried::Word)
        } else if !branch.graft.is_empty() || branch.graft_eager {
            let eager = core::mem::take(&mut branch.graft_eager);
            let ids: Vec<MessageId> = branch.graft.iter().take(MOST_IDS).copied().collect();
            // Who never answers is not remembered to have been asked.
            if branch.asked.len() >= MOST_MISSING {
                branch.asked.clear();
            }
            for id in &ids {
                branch.graft.remove(id);
                branch.asked.insert(*id, eager);
            }
            (Message::Graft { eager, ids }, Carried::Word)
        } else if let Some(id) = branch.owed.pop_first() {
            let Some(broadcast) = self.store.get(id) else { return true };
            (Message::Broadcast(broadcast.clone()), Carried::Payload(id))
        } else {
            let ids: Vec<MessageId> = branch.lazy.iter().take(MOST_IDS).copied().collect();
            branch.lazy.retain(|id| !ids.contains(id));
            branch.lazy_at = (!branch.lazy.is_empty()).then_some(cx.now);
            if ids.is_empty() {
                return true;
            }
            let said = ids.iter().filter_map(|&id| Some((id, self.store.get(id)?.hops)));
            (Message::IHave(said.collect()), Carried::Ids(ids))
        };
        let tag = self.out.send(cx.now, cx.limits, to, &message);
        branch.under_way.insert(tag, (cx.now, carried));
        true
    }

    /// What became of a message; whether it was one of these.
    pub(super) fn tree_settled(&mut self, cx: &mut Cx<'_>, to: RouterId, tag: u64, arrived: bool) {
        let Some(branch) = self.tree.branches.get_mut(&to) else { return };
        let Some((sent, carried)) = branch.under_way.remove(&tag) else { return };
        if arrived {
            branch.measured(cx.now.since(sent));
            match carried {
                Carried::Payload(id) => self.confirmed(id),
                Carried::Ids(ids) => ids.into_iter().for_each(|id| self.confirmed(id)),
                Carried::Word => {}
            }
            self.swim.measured(to, cx.now.since(sent));
            return;
        }
        branch.blocked_until = cx.now + LAZY_AFTER;
        match carried {
            Carried::Payload(id) if self.store.get(id).is_some() => {
                branch.owed.insert(id);
            }
            Carried::Ids(ids) => {
                for id in ids.into_iter().filter(|&id| self.store.get(id).is_some()) {
                    branch.owe_word(cx.now, id);
                }
            }
            Carried::Payload(_) | Carried::Word => {}
        }
    }
}
