//! What is said to all, and what becomes known of members.
//!
//! A broadcast is held to its promise for everybody who could hear it: nodes that ask for its topic, that ran when it was said and have run
//! since, and that the plan joins to its origin. Each of them gets it once, unchanged, and gets it in the end; whoever starts again
//! may be told again what is still kept. And nobody is removed who is there: it ran for a minute without a pause, nothing has cut
//! anybody off meanwhile, and links of which none loses more than three in ten join it to the one who removed it. Nor is it said of anybody that it has
//! left who never said so.

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use crate::app::{name_of, payload};
use crate::outcome::{GossipReport, MemberReport};

/// Broadcasts are numbered as flows are, from here on.
const FIRST: u32 = 1 << 31;

/// Hosts, one bit each.
#[derive(Debug)]
struct Hosts(Vec<u64>);

impl Hosts {
    fn none(count: u32) -> Hosts {
        Hosts(vec![0; count.div_ceil(64) as usize])
    }

    fn has(&self, host: u32) -> bool {
        self.0.get(host as usize / 64).is_some_and(|word| word >> (host % 64) & 1 == 1)
    }

    /// Puts one in or takes it out; whether that changes anything.
    fn set(&mut self, host: u32, to: bool) -> bool {
        let before = self.has(host);
        if let Some(word) = self.0.get_mut(host as usize / 64).filter(|_| before != to) {
            *word ^= 1 << (host % 64);
        }
        before != to
    }

    fn count(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}

#[derive(Debug)]
struct Said {
    at_us: u64,
    bytes: u32,
    /// Those who still have to hear it, and those who did since they last started.
    waiting: Hosts,
    heard: Hosts,
}

/// All books.
#[derive(Debug)]
pub struct Gossip {
    seed: u64,
    hosts: u32,
    said: BTreeMap<(u32, u64), Said>,
    waiting: u64,
    report: GossipReport,
    /// Since when each host that was switched off is, for those that are.
    off_us: BTreeMap<u32, u64>,
    /// Hosts that have left and not started again, and all that ever have.
    left: BTreeSet<u32>,
    ever_left: BTreeSet<u32>,
}

impl Gossip {
    /// Nothing was said yet.
    #[must_use]
    pub fn new(seed: u64, hosts: u32) -> Gossip {
        Gossip {
            seed,
            hosts,
            said: BTreeMap::new(),
            waiting: 0,
            report: GossipReport::default(),
            off_us: BTreeMap::new(),
            left: BTreeSet::new(),
            ever_left: BTreeSet::new(),
        }
    }

    /// What was found.
    #[must_use]
    pub fn report(&self) -> &GossipReport {
        &self.report
    }

    /// The bytes of a broadcast.
    #[must_use]
    pub fn words(&self, number: u32, index: u64, size: u32) -> bytes::Bytes {
        payload(self.seed, FIRST + number, index, size)
    }

    /// A node has taken a broadcast, which these are to hear.
    pub fn said(&mut self, now_us: u64, (number, index, bytes): (u32, u64, u32), hearers: &[u32]) {
        let mut waiting = Hosts::none(self.hosts);
        for &host in hearers {
            waiting.set(host, true);
        }
        self.waiting += waiting.count();
        self.report.said += 1;
        self.report.owed += waiting.count();
        let heard = Hosts::none(self.hosts);
        self.said.insert((number, index), Said { at_us: now_us, bytes, waiting, heard });
    }

    /// A broadcast is given to an application.
    ///
    /// # Errors
    /// It was given to it before, or nobody said it.
    pub fn heard(&mut self, now_us: u64, host: u32, bytes: &[u8]) -> Result<(), Violation> {
        let name = name_of(self.seed, bytes).filter(|(number, _)| *number >= FIRST);
        let name = name.map(|(number, index)| (number - FIRST, index));
        let Some((name, said)) = name.and_then(|name| Some((name, self.said.get_mut(&name)?))) else {
            let reason = format!("node {host} was told something of {} bytes that nobody said", bytes.len());
            return Err(Violation::safety("gossip", reason));
        };
        let (number, index) = name;
        if bytes != payload(self.seed, FIRST + number, index, said.bytes) {
            let reason = format!("broadcast {index} of entry {number} was changed on its way to node {host}");
            return Err(Violation::safety("gossip", reason));
        }
        if !said.heard.set(host, true) {
            self.report.again += 1;
            let reason = format!("node {host} was told broadcast {index} of entry {number} again");
            return Err(Violation::safety("gossip", reason));
        }
        if said.waiting.set(host, false) {
            self.waiting -= 1;
            self.report.delivered += 1;
            self.report.latency.add(now_us - said.at_us);
        }
        Ok(())
    }

    /// A host is switched off or stands still for good: nothing is owed to it any more, and it forgets what it heard.
    pub fn gone(&mut self, now_us: u64, host: u32) {
        for said in self.said.values_mut() {
            said.heard.set(host, false);
            if said.waiting.set(host, false) {
                self.waiting -= 1;
                self.report.owed -= 1;
                self.report.excused += 1;
            }
        }
        self.off_us.insert(host, now_us);
        let member = self.report.members.entry(host).or_default();
        *member = MemberReport { off_us: Some(now_us), ..MemberReport::default() };
    }

    /// A host is switched on.
    pub fn booted(&mut self, host: u32) {
        self.off_us.remove(&host);
        self.left.remove(&host);
    }

    /// A host says that it goes. It is owed nothing any more.
    pub fn left(&mut self, now_us: u64, host: u32) {
        self.gone(now_us, host);
        self.left.insert(host);
        self.ever_left.insert(host);
    }

    /// Whether it has left and not started again.
    #[must_use]
    pub fn has_left(&self, host: u32) -> bool {
        self.left.contains(&host)
    }

    /// Somebody is told that a member has left.
    ///
    /// # Errors
    /// It never did.
    pub fn heard_leave(&mut self, now_us: u64, by: u32, member: u32) -> Result<(), Violation> {
        if !self.ever_left.contains(&member) {
            let reason = format!("node {by} was told that node {member} has left, which it has not");
            return Err(Violation::safety("gossip", reason));
        }
        if self.left.contains(&member) {
            let known = self.report.members.entry(member).or_default();
            known.left_by += 1;
            known.last_left_us = Some(now_us);
        }
        Ok(())
    }

    /// Somebody is told that a member says something else of what it is.
    pub fn heard_announced(&mut self, member: u32) {
        *self.report.announced.entry(member).or_default() += 1;
    }

    /// A member was suspected by somebody, or removed. `true` when it was removed and is there.
    pub fn judged(&mut self, now_us: u64, member: u32, removed: bool) -> bool {
        let is_off = self.off_us.contains_key(&member);
        let known = self.report.members.entry(member).or_default();
        match (is_off, removed) {
            (false, false) => self.report.suspected_alive += 1,
            (false, true) => return true,
            (true, false) => {
                known.first_suspected_us.get_or_insert(now_us);
            }
            (true, true) => {
                known.removed_by += 1;
                known.last_removed_us = Some(now_us);
            }
        }
        false
    }

    /// Somebody was removed who is there, for a reason that counts or not.
    pub fn removed_alive(&mut self, excused: bool) {
        let count = if excused { &mut self.report.removed_excused } else { &mut self.report.removed_alive };
        *count += 1;
    }

    /// Payloads that came to a node and were new, and that were not, since it started.
    pub fn add_copies(&mut self, (new, old): (u64, u64)) {
        self.report.copies.0 += new;
        self.report.copies.1 += old;
    }

    /// Whether somebody still has to hear something.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.waiting > 0
    }

    /// What has not been heard, each with the first who lacks it.
    #[must_use]
    pub fn pending(&self) -> Vec<String> {
        let open = self.said.iter().filter(|(_, said)| said.waiting.count() > 0);
        open.map(|((number, index), said)| {
            let first = (0..self.hosts).find(|&host| said.waiting.has(host)).unwrap_or(0);
            let count = said.waiting.count();
            format!("broadcast {index} of entry {number}: not heard by {count} nodes, node {first} first")
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Verdict;

    fn books() -> Gossip {
        let mut gossip = Gossip::new(7, 70);
        gossip.said(5, (1, 3, 100), &[2, 69]);
        gossip
    }

    #[test]
    fn each_hears_it_once_and_in_the_end() {
        let mut gossip = books();
        let words = gossip.words(1, 3, 100);
        assert_eq!(gossip.heard(10, 2, &words), Ok(()));
        assert_eq!(gossip.pending(), ["broadcast 3 of entry 1: not heard by 1 nodes, node 69 first"]);
        assert_eq!(gossip.heard(12, 69, &words), Ok(()));
        assert!(!gossip.is_waiting() && gossip.pending().is_empty());
        let report = gossip.report();
        assert_eq!((report.said, report.owed, report.delivered, report.latency.max()), (1, 2, 2, 7));
        let again = gossip.heard(13, 2, &words).unwrap_err();
        assert_eq!((again.verdict, again.checker), (Verdict::Safety, "gossip"));
        // Who was not there need not hear it, but once at most.
        assert_eq!(gossip.heard(13, 5, &words), Ok(()));
        assert!(gossip.heard(13, 5, &words).is_err());
    }

    #[test]
    fn who_starts_again_is_owed_nothing_and_may_hear_it_again() {
        let mut gossip = books();
        let words = gossip.words(1, 3, 100);
        assert_eq!(gossip.heard(10, 2, &words), Ok(()));
        gossip.gone(11, 2);
        gossip.gone(11, 69);
        assert!(!gossip.is_waiting());
        gossip.booted(2);
        assert_eq!(gossip.heard(20, 2, &words), Ok(()));
        assert_eq!(gossip.report().excused, 1);
    }

    #[test]
    fn what_nobody_said_or_said_otherwise_is_a_violation() {
        let mut gossip = books();
        let mut changed = gossip.words(1, 3, 100).to_vec();
        changed[60] ^= 1;
        for bytes in [&changed[..], b"hello", &gossip.words(1, 4, 100), &payload(7, 1, 3, 100)] {
            assert!(gossip.heard(10, 2, bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn the_dead_are_told_from_the_living() {
        let mut gossip = books();
        assert!(!gossip.judged(1, 4, false) && gossip.judged(2, 4, true));
        gossip.gone(10, 4);
        assert!(!gossip.judged(12, 4, false) && !gossip.judged(13, 4, false));
        assert!(!gossip.judged(15, 4, true) && !gossip.judged(19, 4, true));
        let report = gossip.report();
        assert_eq!(report.suspected_alive, 1);
        let expected = MemberReport {
            off_us: Some(10),
            first_suspected_us: Some(12),
            removed_by: 2,
            last_removed_us: Some(19),
            ..MemberReport::default()
        };
        assert_eq!(report.members[&4], expected);
        gossip.booted(4);
        assert!(gossip.judged(30, 4, true));
    }

    #[test]
    fn who_never_left_is_not_said_to_have() {
        let mut gossip = books();
        assert_eq!(gossip.heard_leave(7, 1, 2).unwrap_err().checker, "gossip");
        gossip.left(8, 2);
        assert!(gossip.has_left(2) && !gossip.has_left(69));
        assert_eq!(gossip.report().excused, 1, "it is owed nothing any more");
        assert_eq!(gossip.heard_leave(9, 1, 2), Ok(()));
        assert!(!gossip.judged(9, 2, true), "who missed its word may remove it");
        let known = gossip.report().members[&2];
        assert_eq!(
            (known.off_us, known.left_by, known.last_left_us, known.removed_by),
            (Some(8), 1, Some(9), 1)
        );
        // It starts again, and an old word reaches somebody.
        gossip.booted(2);
        assert_eq!(gossip.heard_leave(10, 1, 2), Ok(()));
        assert_eq!((gossip.has_left(2), gossip.report().members[&2].left_by), (false, 1));
    }
}
