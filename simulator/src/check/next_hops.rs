//! To whom each router would hand a packet, for each destination: no circle that lasts, and nobody whose packets lead nowhere.
//!
//! A town where every crossing has signs. Whoever follows them arrives, or goes round in a circle, or stands before a wall.
//! While signs are being changed a circle may come up for a moment; one that stands is wrong. Packets need not come by for
//! that to be seen: the signs are read, after every step in which one of them has changed. In networks of more than 64
//! routers that would cost more than the network itself, and they are read now and then.
//!
//! Signs that are changed all the time, so that nobody knows why, are wrong as well: an old word that drives a new one round the
//! town, and is driven by it.
//!
//! A circle counts as long as all its links carry something. A router whose packets lead nowhere counts when links that nothing
//! has happened to for a while, and that lose little, connect it with the destination. Radio links are left out: what they carry
//! depends on who else speaks. So is what becomes of packets at a router that swallows them.

use std::collections::{BTreeMap, BTreeSet};

use proto_core::ids::RouterId;

use super::Violation;

/// A circle may stand so long: until all have heard of what has changed. Seen: 30 ms on links that lose nothing. On those that
/// lose nine packets of ten a word needs seconds for a hop.
pub const MOST_CIRCLE_US: u64 = 10_000_000;
/// Packets of one router for another may lead nowhere so long, once its links have been well for [`SETTLED_US`].
pub const MOST_NOWHERE_US: u64 = 10_000_000;
/// And so long where they come to a link that carries nothing: one that nobody uses a router asks after `Limits::keepalive`, 25 s in the profiles of
/// routers, and that it has died meanwhile is seen a second later. (Who has a packet sees it at once.)
pub const MOST_UNNOTICED_US: u64 = 27_000_000;
/// A link has settled when it has been well for so long.
pub const SETTLED_US: u64 = 15_000_000;
/// With no more routers than this every change is looked at.
const FEW: usize = 64;
/// Otherwise so much time lies between two looks for each router, and at least so much between two for who leads nowhere.
const PAUSE_US: u64 = 20_000;
const LEAST_PAUSE_US: u64 = 5_000_000;
/// As long as somebody leads nowhere it is looked more often: what is mended and breaks again must not look like one long fault.
const ANXIOUS_PAUSE_US: u64 = 500_000;
/// A map may change so often within a second: all say something at a cold start (the most seen is eight times for each router), and
/// nobody says anything within 200 ms of the last time.
const MOST_CHANGES: (u64, u64) = (1_000, 32);
const SECOND_US: u64 = 1_000_000;
/// Of more routers some are destinations.
const MOST_DESTINATIONS: usize = 1_024;
/// No next hop.
const NOBODY: u16 = u16::MAX;

/// See the module's header.
#[derive(Debug)]
pub struct NextHops {
    names: BTreeMap<RouterId, u16>,
    /// Each so-manieth router is a destination.
    stride: usize,
    /// For each router, its next hop to each destination.
    rows: Vec<Vec<u16>>,
    /// How often each router's map had changed when its row was read.
    read: Vec<u64>,
    /// Which second it is for each router, and how often its map had changed when that began.
    seconds: Vec<(u64, u64)>,
    changed: BTreeSet<u32>,
    /// Destinations whose rows are not what they were.
    fresh: Vec<bool>,
    /// A circle by its destination and least member, and since when it stands.
    circles: BTreeMap<(usize, u16), u64>,
    /// Who leads nowhere, by destination.
    nowhere: BTreeMap<(usize, u16), Nowhere>,
    /// Routers that nobody may send anything to, or by.
    revoked: BTreeSet<u16>,
    /// Routers that pass nothing on: what becomes of packets at them is not seen in their signs.
    swallowers: BTreeSet<u16>,
    next_circles_us: u64,
    next_nowhere_us: u64,
    longest_circle_us: u64,
    looks: u64,
}

/// Since when somebody's packets lead nowhere.
#[derive(Clone, Copy, Debug)]
struct Nowhere {
    /// At all,
    since_us: u64,
    /// and not because of a link that carries nothing.
    wrong_us: u64,
}

impl Nowhere {
    fn is_too_long(self, now_us: u64) -> bool {
        now_us - self.wrong_us > MOST_NOWHERE_US || now_us - self.since_us > MOST_UNNOTICED_US
    }
}

/// Where packets come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Arrives,
    /// To a link that carries nothing.
    Stuck,
    /// To nobody, or round in a circle.
    Lost,
}

impl NextHops {
    /// Nobody has a next hop yet. For fewer than two routers, or more than 65,534, there is nothing to see.
    #[must_use]
    pub fn new(hosts: u32) -> NextHops {
        let hosts = if (2..u32::from(NOBODY)).contains(&hosts) { hosts as usize } else { 0 };
        let stride = hosts.div_ceil(MOST_DESTINATIONS).max(1);
        let destinations = hosts.div_ceil(stride);
        NextHops {
            names: BTreeMap::new(),
            stride,
            rows: vec![vec![NOBODY; destinations]; hosts],
            read: vec![0; hosts],
            seconds: vec![(0, 0); hosts],
            changed: BTreeSet::new(),
            fresh: vec![false; destinations],
            circles: BTreeMap::new(),
            nowhere: BTreeMap::new(),
            revoked: BTreeSet::new(),
            swallowers: BTreeSet::new(),
            next_circles_us: 0,
            next_nowhere_us: LEAST_PAUSE_US,
            longest_circle_us: 0,
            looks: 0,
        }
    }

    /// The longest time for which a circle was seen to stand.
    #[must_use]
    pub fn longest_circle_us(&self) -> u64 {
        self.longest_circle_us
    }

    /// A router starts, or is off: it sends nobody anywhere.
    pub fn starts(&mut self, host: u32, name: Option<RouterId>) {
        let Some(row) = self.rows.get_mut(host as usize) else { return };
        for (next, fresh) in row.iter_mut().zip(&mut self.fresh) {
            *fresh |= *next != NOBODY;
            *next = NOBODY;
        }
        self.read[host as usize] = 0;
        self.seconds[host as usize] = (0, 0);
        self.changed.remove(&host);
        if let Some(name) = name {
            self.names.insert(name, host as u16);
        }
    }

    /// A router had a turn; its map has changed so often since its start.
    #[inline]
    pub fn turned(&mut self, now_us: u64, host: u32, changes: u64) -> Option<Violation> {
        if self.read.get(host as usize).is_none_or(|&read| read == changes) {
            return None;
        }
        self.changed.insert(host);
        let (second, before) = &mut self.seconds[host as usize];
        if *second != now_us / SECOND_US {
            (*second, *before) = (now_us / SECOND_US, changes);
        }
        let most = MOST_CHANGES.0 + MOST_CHANGES.1 * self.rows.len() as u64;
        if changes - *before <= most {
            return None;
        }
        let reason = format!("the map of node {host} has changed more than {most} times within a second");
        Some(Violation::resource("next-hops", reason))
    }

    /// The papers of a router were revoked, and everybody else has been told, or is told at this moment.
    pub fn revoked(&mut self, host: u32) {
        self.revoked.insert(host as u16);
    }

    /// A router swallows from now on what it is given for others: no packet goes round by way of it. That others send less by it is not for
    /// the signs to show.
    pub fn swallows(&mut self, host: u32) {
        self.swallowers.insert(host as u16);
    }

    /// It passes on again.
    pub fn passes_on(&mut self, host: u32) {
        self.swallowers.remove(&(host as u16));
        self.fresh.fill(true);
    }

    /// Links carry something that did not, or the other way round.
    pub fn links_changed(&mut self) {
        self.fresh.fill(true);
    }

    /// Whether it is time for [`NextHops::look`].
    #[must_use]
    #[inline]
    pub fn is_due(&self, now_us: u64) -> bool {
        let something = !self.changed.is_empty() || !self.circles.is_empty();
        something && now_us >= self.next_circles_us || now_us >= self.next_nowhere_us && !self.rows.is_empty()
    }

    /// Whether [`NextHops::look`] will ask for the links that have settled.
    #[must_use]
    pub fn asks_for_ways(&self, now_us: u64) -> bool {
        now_us >= self.next_nowhere_us
    }

    /// Reads the signs of those whose map has changed, and follows them. `row` gives a router's next hops and how often its map
    /// has changed, `carries` says whether something comes over from one to another, `settled` are each router's
    /// neighbours over links that have settled, when they were asked for.
    pub fn look(
        &mut self,
        now_us: u64,
        mut row: impl FnMut(u32) -> Option<(u64, Vec<(RouterId, RouterId)>)>,
        mut carries: impl FnMut(u32, u32) -> bool,
        settled: Option<&[Vec<u32>]>,
    ) -> Option<Violation> {
        self.looks += 1;
        for host in std::mem::take(&mut self.changed) {
            if let Some((changes, next_hops)) = row(host) {
                self.read(host, changes, &next_hops);
            }
        }
        let pause_us = if self.rows.len() <= FEW { 0 } else { PAUSE_US * self.rows.len() as u64 };
        self.next_circles_us = now_us + pause_us;
        let complaint = self.look_for_circles(now_us, &mut carries).or_else(|| self.look_for_revoked());
        let Some(settled) = settled else { return complaint };
        let complaint = complaint.or_else(|| self.look_for_nowhere(now_us, settled, &mut carries));
        let least_us = if self.nowhere.is_empty() { LEAST_PAUSE_US } else { ANXIOUS_PAUSE_US };
        self.next_nowhere_us = now_us + pause_us.max(least_us);
        complaint
    }

    fn read(&mut self, host: u32, changes: u64, next_hops: &[(RouterId, RouterId)]) {
        let mut new = vec![NOBODY; self.fresh.len()];
        for (to, next) in next_hops {
            let (Some(&to), Some(&next)) = (self.names.get(to), self.names.get(next)) else { continue };
            let to = usize::from(to);
            if to.is_multiple_of(self.stride) {
                new[to / self.stride] = next;
            }
        }
        let old = &mut self.rows[host as usize];
        for ((old, new), fresh) in old.iter().zip(&new).zip(&mut self.fresh) {
            *fresh |= old != new;
        }
        *old = new;
        self.read[host as usize] = changes;
    }

    fn look_for_circles(
        &mut self,
        now_us: u64,
        carries: &mut impl FnMut(u32, u32) -> bool,
    ) -> Option<Violation> {
        let known: BTreeSet<usize> = self.circles.keys().map(|&(to, _)| to).collect();
        let mut complaint = None;
        for to in 0..self.fresh.len() {
            if !std::mem::take(&mut self.fresh[to]) && !known.contains(&to) {
                continue;
            }
            let found = self.circles_to(to, carries);
            let before: Vec<u16> =
                self.circles.range((to, 0)..=(to, u16::MAX)).map(|(&(_, least), _)| least).collect();
            for least in before.iter().filter(|least| !found.contains_key(least)) {
                self.circles.remove(&(to, *least));
            }
            for (least, circle) in found {
                let since_us = *self.circles.entry((to, least)).or_insert(now_us);
                let stood_us = now_us - since_us;
                self.longest_circle_us = self.longest_circle_us.max(stood_us);
                if stood_us > MOST_CIRCLE_US && complaint.is_none() {
                    let reason = format!(
                        "packets to node {} have gone round between nodes {circle:?} for {stood_us} us",
                        to * self.stride
                    );
                    complaint = Some(Violation::safety("next-hops", reason));
                }
            }
        }
        complaint
    }

    /// The circles in which packets to one destination go, by their least members.
    fn circles_to(&self, to: usize, carries: &mut impl FnMut(u32, u32) -> bool) -> BTreeMap<u16, Vec<u16>> {
        let next = |host: u16| self.rows[usize::from(host)][to];
        let end = (to * self.stride) as u16;
        // By which walk each host was passed first; none is walk 0.
        let mut passed = vec![0_u32; self.rows.len()];
        let mut found = BTreeMap::new();
        for start in 0..self.rows.len() as u16 {
            let walk = u32::from(start) + 1;
            let mut at = start;
            while at != NOBODY && at != end && passed[usize::from(at)] == 0 {
                passed[usize::from(at)] = walk;
                at = next(at);
            }
            if at == NOBODY || at == end || passed[usize::from(at)] != walk {
                continue;
            }
            let mut circle = vec![at];
            while let Some(&last) = circle.last()
                && next(last) != at
            {
                circle.push(next(last));
            }
            let is_open = !circle.iter().any(|host| self.swallowers.contains(host));
            if is_open && circle.iter().all(|&host| carries(u32::from(host), u32::from(next(host)))) {
                found.insert(circle.iter().copied().min().unwrap_or(at), circle);
            }
        }
        found
    }

    fn look_for_revoked(&self) -> Option<Violation> {
        if self.revoked.is_empty() {
            return None;
        }
        let others = (0..).zip(&self.rows).filter(|(host, _)| !self.revoked.contains(host));
        for (host, row) in others {
            for (&next, to) in row.iter().zip((0..).step_by(self.stride)) {
                if next != NOBODY && (self.revoked.contains(&next) || self.revoked.contains(&to)) {
                    let reason =
                        format!("node {host} sends to node {to} by node {next}, and one of them is revoked");
                    return Some(Violation::safety("next-hops", reason));
                }
            }
        }
        None
    }

    fn look_for_nowhere(
        &mut self,
        now_us: u64,
        near: &[Vec<u32>],
        carries: &mut impl FnMut(u32, u32) -> bool,
    ) -> Option<Violation> {
        let mut nowhere = BTreeMap::new();
        for to in 0..self.fresh.len() {
            let end = to * self.stride;
            let mut connected = vec![end as u32];
            let mut is_connected = vec![false; self.rows.len()];
            is_connected[end] = true;
            let mut at = 0;
            while let Some(&host) = connected.get(at) {
                at += 1;
                for &other in &near[host as usize] {
                    if !std::mem::replace(&mut is_connected[other as usize], true) {
                        connected.push(other);
                    }
                }
            }
            for (host, fate) in self.lost_on_the_way(to, &connected, carries) {
                let new = Nowhere { since_us: now_us, wrong_us: now_us };
                let before = self.nowhere.get(&(to, host)).copied().unwrap_or(new);
                let wrong_us = if fate == Fate::Lost { before.wrong_us } else { now_us };
                nowhere.insert((to, host), Nowhere { wrong_us, ..before });
            }
        }
        self.nowhere = nowhere;
        let too_long = self.nowhere.iter().filter(|(_, nowhere)| nowhere.is_too_long(now_us));
        let (&(to, host), &Nowhere { since_us, .. }) =
            too_long.min_by_key(|(_, nowhere)| nowhere.since_us)?;
        let next = self.rows[usize::from(host)][to];
        let reason = format!(
            "packets of node {host} to node {} lead nowhere (its next hop is {}), for {} us",
            to * self.stride,
            if next == NOBODY { "none".to_owned() } else { format!("node {next}") },
            now_us - since_us
        );
        Some(Violation { verdict: crate::outcome::Verdict::Liveness, checker: "next-hops", reason })
    }

    /// Of these hosts, those whose signs do not lead to the destination.
    fn lost_on_the_way(
        &self,
        to: usize,
        hosts: &[u32],
        carries: &mut impl FnMut(u32, u32) -> bool,
    ) -> Vec<(u16, Fate)> {
        let end = to * self.stride;
        let mut arrives: Vec<Option<Fate>> = vec![None; self.rows.len()];
        arrives[end] = Some(Fate::Arrives);
        for &host in &self.swallowers {
            arrives[usize::from(host)] = Some(Fate::Arrives);
        }
        let mut lost = Vec::new();
        for &host in hosts {
            let (mut walk, mut at) = (Vec::new(), host as usize);
            let fate = loop {
                if let Some(fate) = arrives[at] {
                    break fate;
                }
                // Whoever comes by here again has gone in a circle.
                arrives[at] = Some(Fate::Lost);
                walk.push(at);
                let next = self.rows[at][to];
                if next == NOBODY {
                    break Fate::Lost;
                }
                if !carries(at as u32, u32::from(next)) {
                    break Fate::Stuck;
                }
                at = usize::from(next);
            };
            for passed in walk {
                arrives[passed] = Some(fate);
            }
            if fate != Fate::Arrives {
                lost.push((host as u16, fate));
            }
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(host: u8) -> RouterId {
        RouterId([host; 8])
    }

    /// Four routers, of which each sends packets to node 0 to the one that is given.
    fn four(next: [Option<u8>; 4]) -> NextHops {
        let mut hops = NextHops::new(4);
        for host in 0..4 {
            hops.starts(host, Some(name(host as u8)));
        }
        change(&mut hops, next, 0);
        hops
    }

    fn change(hops: &mut NextHops, next: [Option<u8>; 4], now_us: u64) -> Option<Violation> {
        let changes = hops.looks + 1;
        for (host, _) in (0..).zip(next) {
            assert_eq!(hops.turned(now_us, host, changes), None);
        }
        let row = |host: u32| {
            let to_first = next[host as usize].map(|next| (name(0), name(next)));
            Some((changes, to_first.into_iter().collect()))
        };
        hops.look(now_us, row, |_, _| true, None)
    }

    const CIRCLE: [Option<u8>; 4] = [None, Some(2), Some(3), Some(1)];
    const LINE: [Option<u8>; 4] = [None, Some(0), Some(1), Some(2)];

    #[test]
    fn a_circle_that_stands_is_seen() {
        let mut hops = four(CIRCLE);
        assert!(hops.is_due(MOST_CIRCLE_US), "without any further change");
        assert_eq!(hops.look(MOST_CIRCLE_US, |_| None, |_, _| true, None), None);
        let complaint = hops.look(MOST_CIRCLE_US + 1, |_| None, |_, _| true, None).unwrap();
        assert_eq!(complaint.checker, "next-hops");
        assert!(complaint.reason.contains("node 0 have gone round between nodes [1, 2, 3]"), "{complaint:?}");
    }

    #[test]
    fn a_circle_that_passes_is_measured() {
        let mut hops = four(CIRCLE);
        assert_eq!(change(&mut hops, CIRCLE, 500_000), None);
        assert_eq!(change(&mut hops, LINE, 600_000), None);
        // Another one begins anew.
        assert_eq!(change(&mut hops, CIRCLE, MOST_CIRCLE_US), None);
        assert_eq!(change(&mut hops, CIRCLE, MOST_CIRCLE_US + 400_000), None);
        assert_eq!(hops.longest_circle_us(), 500_000);
    }

    #[test]
    fn a_circle_over_a_link_that_carries_nothing_is_none() {
        let mut hops = four(LINE);
        for now_us in [1, 2 * MOST_CIRCLE_US] {
            let changes = hops.looks + 1;
            assert_eq!(hops.turned(now_us, 2, changes), None);
            let row = |_| Some((changes, vec![(name(0), name(3))]));
            assert_eq!(hops.look(now_us, row, |from, to| (from, to) != (3, 2), None), None);
        }
        assert!(hops.circles.is_empty());
    }

    /// A row of four, all of whose links have settled.
    const NEAR: [&[u32]; 4] = [&[1], &[0, 2], &[1, 3], &[2]];

    fn nowhere(next: [Option<u8>; 4], near: [&[u32]; 4], carries: fn(u32, u32) -> bool) -> Option<Violation> {
        let mut hops = four(next);
        let near = near.map(<[u32]>::to_vec);
        // Nothing is known of the ways to the others: they are no destinations.
        hops.fresh.truncate(1);
        assert_eq!(hops.look(0, |_| None, carries, Some(&near)), None, "not at once");
        hops.look(MOST_NOWHERE_US + 1, |_| None, carries, Some(&near))
            .or_else(|| hops.look(MOST_UNNOTICED_US + 1, |_| None, carries, Some(&near)))
    }

    #[test]
    fn who_leads_nowhere_is_seen() {
        assert_eq!(nowhere(LINE, NEAR, |_, _| true), None);
        let says = |found: Option<Violation>, words: &str| {
            let reason = found.expect(words).reason;
            assert!(reason.contains(words), "{reason}");
        };
        says(nowhere([None, Some(0), None, Some(2)], NEAR, |_, _| true), "node 2 to node 0 lead nowhere");
        says(
            nowhere(LINE, NEAR, |from, _| from != 1),
            "node 1 to node 0 lead nowhere (its next hop is node 0)",
        );
        says(nowhere([None, Some(0), Some(3), Some(2)], NEAR, |_, _| true), "round between nodes [2, 3]");
        // A link that has died and that nobody uses is not noticed at once; a sign to nowhere is.
        let line: [Option<u8>; 4] = LINE;
        let mut hops = four(line);
        hops.fresh.truncate(1);
        let near = NEAR.map(<[u32]>::to_vec);
        for now_us in [0, MOST_NOWHERE_US + 1, MOST_UNNOTICED_US] {
            assert_eq!(hops.look(now_us, |_| None, |from, _| from != 1, Some(&near)), None);
        }
        let mut hops = four([None, Some(0), None, Some(2)]);
        hops.fresh.truncate(1);
        assert_eq!(hops.look(0, |_| None, |_, _| true, Some(&near)), None);
        assert!(hops.look(MOST_NOWHERE_US + 1, |_| None, |_, _| true, Some(&near)).is_some());
        // Nobody can be expected to find a way where there is none.
        assert_eq!(nowhere([None, Some(0), None, Some(2)], [&[1], &[0], &[3], &[2]], |_, _| true), None);
    }

    #[test]
    fn a_map_that_changes_without_end_is_seen() {
        let mut hops = NextHops::new(2);
        let most = MOST_CHANGES.0 + 2 * MOST_CHANGES.1;
        for now_us in [10, 900_000, 1_000_000] {
            assert_eq!(hops.turned(now_us, 1, most), None);
        }
        assert_eq!(hops.turned(1_500_000, 1, 2 * most), None, "in another second");
        let complaint = hops.turned(1_900_000, 1, 2 * most + 1).unwrap();
        assert_eq!(complaint.verdict, crate::outcome::Verdict::Resource);
    }

    #[test]
    fn who_is_off_sends_nobody_anywhere() {
        let mut hops = four(CIRCLE);
        hops.starts(2, None);
        assert_eq!(hops.look(2 * MOST_CIRCLE_US, |_| None, |_, _| true, None), None);
        assert!(hops.circles.is_empty());
    }

    #[test]
    fn of_many_routers_some_are_destinations() {
        let hops = NextHops::new(10_000);
        let bytes: usize = hops.rows.iter().map(|row| row.len() * size_of::<u16>()).sum();
        assert!(bytes <= 10_000 * 1_024 * 2, "{bytes}");
        assert_eq!(hops.rows[0].len() * hops.stride, 10_000);
    }
}
