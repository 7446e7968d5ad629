//! Who belongs to the network, how each stands, and which news of it is still to be told.
//!
//! The list on the inn's wall. A name is written there in its bearer's own hand (a signed announcement); others may write
//! "silent?" beside it, and, when he has not spoken up in time, strike it out. He alone can write it anew, with a higher number, and then
//! what stood there before counts no more. Each change is told on, so many times as the list is long, by its logarithm.
//!
//! A suspicion begins with its longest time and is cut short by each further accuser (Dadgar, Phillips and Currey, "Lifeguard", 2018,
//! section IV-B): one slow accuser cannot strike a name out quickly.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::message::{BUCKETS, Entry, Stand};
use super::signed::Announcement;
use super::update::{self, LEAST_UPDATE, MOST_ACCUSERS, Update};
use crate::crypto::hash::derive;
use crate::ids::RouterId;
use crate::limits::Limits;
use crate::time::{Duration, Instant};

/// How long those are remembered who are gone.
pub(super) const GONE_KEPT: Duration = Duration::from_secs(6 * 3600);
/// Retransmissions of news, times the logarithm of the number of members to the base 10 (foca and memberlist: 4).
const LAMBDA: u32 = 4;
/// News that is too long for a probe is passed over so many times before the search for shorter news ends: after a cold start there is news
/// of everybody, and all of it is as long.
const MOST_MISFITS: usize = 16;
/// What of the way from the longest to the shortest time is gone with 0, 1, 2, 3 more accusers, in thousandths:
/// log(c + 1) / log(4), Lifeguard, section IV-B, with its K = 3.
const SHORTENED: [u64; MOST_ACCUSERS] = [0, 500, 792, 1_000];

/// Why a suspicion ends when it does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Suspicion {
    accusers: Vec<RouterId>,
    since: Instant,
    least: Duration,
    most: Duration,
}

impl Suspicion {
    pub(super) fn new(accusers: Vec<RouterId>, since: Instant, least: Duration, most: Duration) -> Suspicion {
        Suspicion { accusers, since, least, most: most.max(least) }
    }

    /// When the member is taken for dead.
    #[must_use]
    pub fn ends_at(&self) -> Instant {
        let more = self.accusers.len().saturating_sub(1).min(MOST_ACCUSERS - 1);
        let part = SHORTENED.get(more).copied().unwrap_or(0);
        let span = self.most.saturating_sub(self.least).mul_ratio(1_000 - part, 1_000);
        self.since + self.least + span
    }

    /// Those who found it silent.
    #[must_use]
    pub fn accusers(&self) -> &[RouterId] {
        &self.accusers
    }
}

/// How a member stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Nobody has found it silent.
    Alive,
    /// Somebody has.
    Suspect(Suspicion),
    /// It has not spoken up.
    Dead,
    /// It has said that it goes.
    Left,
}

/// One member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its latest word.
    pub announcement: Announcement,
    /// How it stands.
    pub standing: Standing,
    /// Since when.
    pub since: Instant,
}

impl Member {
    /// Whether it takes part: alive, or only suspected.
    #[must_use]
    pub fn is_present(&self) -> bool {
        matches!(self.standing, Standing::Alive | Standing::Suspect(_))
    }

    fn stand(&self) -> Stand {
        match self.standing {
            Standing::Alive | Standing::Suspect(_) => Stand::Present,
            Standing::Dead => Stand::Dead,
            Standing::Left => Stand::Left,
        }
    }
}

/// News that is still told on.
#[derive(Clone, Copy, Debug)]
struct News {
    /// How often more.
    left: u32,
    /// Whom it came from, who need not be told.
    from: Option<RouterId>,
}

/// All members that are known, this one among them.
#[derive(Debug)]
pub(super) struct Members {
    own: RouterId,
    table: BTreeMap<RouterId, Member>,
    present: usize,
    news: BTreeMap<RouterId, News>,
    /// The same, by how often more each is told.
    by_left: BTreeSet<(u32, RouterId)>,
    /// Those of the news of whom all neighbours are to be told at once.
    floods: BTreeSet<RouterId>,
    suspicions: BTreeSet<(Instant, RouterId)>,
    buckets: [u32; BUCKETS],
    /// Entries put in or taken out since the start.
    changes: u64,
}

impl Members {
    pub(super) fn new(now: Instant, announcement: Announcement) -> Members {
        let mut members = Members {
            own: announcement.member,
            table: BTreeMap::new(),
            present: 0,
            news: BTreeMap::new(),
            by_left: BTreeSet::new(),
            floods: BTreeSet::new(),
            suspicions: BTreeSet::new(),
            buckets: [0; BUCKETS],
            changes: 0,
        };
        members.put(announcement.member, Member { announcement, standing: Standing::Alive, since: now });
        members
    }

    pub(super) fn get(&self, member: RouterId) -> Option<&Member> {
        self.table.get(&member)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (RouterId, &Member)> + '_ {
        self.table.iter().map(|(&id, member)| (id, member))
    }

    /// How many take part, this one included.
    pub(super) fn present(&self) -> usize {
        self.present
    }

    /// Sums over those present, by the first four bits of their names.
    pub(super) fn buckets(&self) -> [u32; BUCKETS] {
        self.buckets
    }

    /// A word of a member that is newer than what stands there. `false` when there is no room for one more: those who are gone
    /// make it first. What was said of its last word counts no more.
    pub(super) fn announce(&mut self, limits: &Limits, now: Instant, announcement: Announcement) -> bool {
        let id = announcement.member;
        if !self.table.contains_key(&id) && !self.make_room(limits) {
            return false;
        }
        let standing = if announcement.leaving { Standing::Left } else { Standing::Alive };
        self.put(id, Member { announcement, standing, since: now });
        true
    }

    fn make_room(&mut self, limits: &Limits) -> bool {
        if self.table.len() < limits.gossip_members as usize {
            return true;
        }
        let gone = self.table.iter().filter(|(id, member)| !member.is_present() && **id != self.own);
        let Some(oldest) = gone.min_by_key(|(_, member)| member.since).map(|(&id, _)| id) else {
            return false;
        };
        self.remove(oldest);
        true
    }

    /// Changes how a member stands; it must be known.
    pub(super) fn set(&mut self, now: Instant, id: RouterId, standing: Standing) {
        if let Some(member) = self.table.get(&id) {
            let member = Member { standing, since: now, ..member.clone() };
            self.put(id, member);
        }
    }

    /// One more accuser of a suspect; whether that is news.
    pub(super) fn confirm(&mut self, id: RouterId, accuser: RouterId, least: Duration) -> bool {
        let Some(member) = self.table.get_mut(&id) else { return false };
        let Standing::Suspect(suspicion) = &mut member.standing else { return false };
        if suspicion.accusers.len() >= MOST_ACCUSERS || suspicion.accusers.contains(&accuser) {
            return false;
        }
        self.suspicions.remove(&(suspicion.ends_at(), id));
        suspicion.accusers.push(accuser);
        suspicion.least = suspicion.least.max(least);
        self.suspicions.insert((suspicion.ends_at(), id));
        true
    }

    fn put(&mut self, id: RouterId, member: Member) {
        self.remove_silently(id);
        self.changes += 1;
        if member.is_present() {
            self.present += 1;
            self.toggle(id, member.announcement.incarnation);
        }
        if let Standing::Suspect(suspicion) = &member.standing {
            self.suspicions.insert((suspicion.ends_at(), id));
        }
        self.table.insert(id, member);
    }

    fn remove_silently(&mut self, id: RouterId) {
        let Some(member) = self.table.remove(&id) else { return };
        self.changes += 1;
        if member.is_present() {
            self.present -= 1;
            self.toggle(id, member.announcement.incarnation);
        }
        if let Standing::Suspect(suspicion) = &member.standing {
            self.suspicions.remove(&(suspicion.ends_at(), id));
        }
    }

    fn remove(&mut self, id: RouterId) {
        self.remove_silently(id);
        self.told_enough(id);
    }

    /// There is no news of a member any more.
    fn told_enough(&mut self, id: RouterId) {
        if let Some(news) = self.news.remove(&id) {
            self.by_left.remove(&(news.left, id));
        }
        self.floods.remove(&id);
    }

    /// News of a member was told so many times.
    fn told(&mut self, id: RouterId, times: u32) {
        let Some(news) = self.news.get_mut(&id) else { return };
        self.by_left.remove(&(news.left, id));
        news.left = news.left.saturating_sub(times);
        let left = news.left;
        if left == 0 {
            self.told_enough(id);
        } else {
            self.by_left.insert((left, id));
        }
    }

    /// Adds a member to the sum of its bucket, or takes it out.
    fn toggle(&mut self, id: RouterId, incarnation: u64) {
        let [a, b, c, d, ..] =
            derive("thallus gossip member digest v1", &[&id.0, &incarnation.to_le_bytes()]);
        if let Some(sum) = self.buckets.get_mut(usize::from(bucket_of(id))) {
            *sum ^= u32::from_le_bytes([a, b, c, d]);
        }
    }

    /// Those are forgotten who were gone for long.
    pub(super) fn tidy(&mut self, now: Instant) {
        let over = |member: &Member| !member.is_present() && member.since + GONE_KEPT <= now;
        let over = self.table.iter().filter(|(_, member)| over(member)).map(|(&id, _)| id);
        for id in over.collect::<Vec<RouterId>>() {
            self.remove(id);
        }
    }

    /// When the next suspicion ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.suspicions.first().map(|&(at, _)| at)
    }

    /// The next whose suspicion has ended; the caller changes how it stands.
    pub(super) fn first_ended(&mut self, now: Instant) -> Option<RouterId> {
        let &(at, id) = self.suspicions.first()?;
        (at <= now).then_some(id)
    }

    /// All suspicions begin anew: this node was asleep and could not hear anybody speak up.
    pub(super) fn begin_anew(&mut self, now: Instant) {
        for (_, id) in core::mem::take(&mut self.suspicions) {
            if let Some(member) = self.table.get_mut(&id)
                && let Standing::Suspect(suspicion) = &mut member.standing
            {
                suspicion.since = now;
                self.suspicions.insert((suspicion.ends_at(), id));
            }
        }
    }

    /// All in one bucket from a name on.
    pub(super) fn bucket(&self, bucket: u8) -> impl Iterator<Item = Entry> + '_ {
        let first = RouterId([bucket << 4, 0, 0, 0, 0, 0, 0, 0]);
        let members = self.table.range(first..).take_while(move |(id, _)| bucket_of(**id) == bucket);
        members.map(|(&member, state)| Entry {
            member,
            incarnation: state.announcement.incarnation,
            stand: state.stand(),
        })
    }

    /// What is said of a member now.
    pub(super) fn update(&self, id: RouterId) -> Option<Update> {
        let member = self.table.get(&id)?;
        let incarnation = member.announcement.incarnation;
        Some(match &member.standing {
            Standing::Alive | Standing::Left => Update::Announcement(member.announcement.clone()),
            Standing::Suspect(suspicion) => {
                let patience_s = u8::try_from(suspicion.least.as_millis().div_ceil(1_000)).unwrap_or(u8::MAX);
                Update::Suspect { member: id, incarnation, patience_s, accusers: suspicion.accusers.clone() }
            }
            Standing::Dead => Update::Dead { member: id, incarnation },
        })
    }

    /// Bytes that this takes in a message.
    fn update_len(&self, id: RouterId) -> Option<usize> {
        let member = self.table.get(&id)?;
        let incarnation = member.announcement.incarnation;
        Some(match &member.standing {
            Standing::Alive | Standing::Left => update::announcement_len(&member.announcement),
            Standing::Suspect(suspicion) => update::suspect_len(incarnation, suspicion.accusers.len()),
            Standing::Dead => update::dead_len(incarnation),
        })
    }

    /// A member's word, and what is said of it.
    pub(super) fn all_about(&self, id: RouterId) -> Vec<Update> {
        let Some(member) = self.table.get(&id) else { return Vec::new() };
        let mut updates = alloc::vec![Update::Announcement(member.announcement.clone())];
        if let Standing::Suspect(_) | Standing::Dead = member.standing {
            updates.extend(self.update(id));
        }
        updates
    }

    /// There is news of a member: it is told to all neighbours at once but to the one it came from, and then on other occasions, so
    /// often that everybody hears of it (Das, Gupta and Motivala, "SWIM", 2002, section 4.1).
    pub(super) fn tell(&mut self, id: RouterId, from: Option<RouterId>) {
        let digits = (self.present as u32 + 1).ilog10() + 1;
        let left = LAMBDA * digits;
        if let Some(before) = self.news.insert(id, News { left, from }) {
            self.by_left.remove(&(before.left, id));
        }
        self.by_left.insert((left, id));
        self.floods.insert(id);
    }

    /// Whether something is to be told at once.
    pub(super) fn has_flood(&self) -> bool {
        !self.floods.is_empty()
    }

    /// Of whom a neighbour is to be told at once.
    pub(super) fn flood_to(&self, to: RouterId) -> Vec<RouterId> {
        let is_told =
            |id: &RouterId| *id == to || self.news.get(id).is_some_and(|news| news.from == Some(to));
        self.floods.iter().copied().filter(|id| !is_told(id)).collect()
    }

    /// All neighbours, so many, have been told.
    pub(super) fn flooded(&mut self, neighbours: u32) {
        for id in core::mem::take(&mut self.floods) {
            self.told(id, neighbours);
        }
    }

    /// News for somebody who is written to anyhow, in so many bytes: what he himself is suspected of first (Lifeguard's buddy system,
    /// section IV-C), then what was told least often.
    pub(super) fn piggyback(&mut self, to: RouterId, room: usize) -> Vec<Update> {
        let mut updates = Vec::new();
        let mut room = room;
        let stands_ill = self.get(to).is_some_and(|member| member.standing != Standing::Alive);
        if stands_ill && let Some(update) = self.update(to) {
            room = room.saturating_sub(update.len());
            updates.push(update);
        }
        let (mut misfits, mut chosen) = (0, Vec::new());
        for &(_, id) in self.by_left.iter().rev().filter(|(_, id)| *id != to) {
            if room < LEAST_UPDATE || misfits > MOST_MISFITS {
                break;
            }
            match self.update_len(id) {
                Some(len) if len <= room => {
                    room -= len;
                    chosen.push(id);
                }
                Some(_) | None => misfits += 1,
            }
        }
        for id in chosen {
            updates.extend(self.update(id));
            self.told(id, 1);
        }
        updates
    }

    pub(super) fn worst_case_bytes(limits: &Limits) -> u64 {
        // Twice what a node of a tree holds, and the bytes of an announcement with their count.
        let member = 2 * size_of::<(RouterId, Member)>() as u64 + 160 + MOST_ACCUSERS as u64 * 8;
        let news = 2 * size_of::<(RouterId, News)>() as u64
            + 3 * size_of::<RouterId>() as u64
            + 2 * size_of::<(u32, RouterId)>() as u64
            + 2 * size_of::<(Instant, RouterId)>() as u64;
        u64::from(limits.gossip_members).saturating_mul(member + news)
    }

    pub(super) fn check(&self, limits: &Limits) {
        assert!(self.table.len() <= (limits.gossip_members as usize).max(1));
        // After most changes only what costs nothing is looked at: this runs after every step of a simulation.
        if !cfg!(test) && !self.changes.is_multiple_of(64) {
            return;
        }
        assert_eq!(self.present, self.table.values().filter(|member| member.is_present()).count());
        assert!(self.news.keys().all(|id| self.table.contains_key(id)), "news of nobody");
        assert!(self.news.iter().all(|(&id, news)| self.by_left.contains(&(news.left, id))));
        assert_eq!(self.news.len(), self.by_left.len(), "a place by how often it is told");
        assert!(self.floods.iter().all(|id| self.news.contains_key(id)), "told at once and no news");
        let suspects = self.table.values().filter(|member| matches!(member.standing, Standing::Suspect(_)));
        assert_eq!(suspects.count(), self.suspicions.len());
        assert!(self.table.contains_key(&self.own));
    }

    /// A member is there as if it had announced itself to us long ago.
    #[cfg(test)]
    pub(super) fn plant(&mut self, now: Instant, announcement: Announcement) {
        self.put(announcement.member, Member { announcement, standing: Standing::Alive, since: now });
    }
}

/// Which sixteenth of the names.
fn bucket_of(id: RouterId) -> u8 {
    let [first, ..] = id.0;
    first >> 4
}
