//! By which exits the packets of the last while left.
//!
//! A doorkeeper's book: one line for each packet, in the order in which they first left, and the oldest lines are crossed out. To
//! find a packet's line among 65,536 each line names the one before it with the same sum of letters; the newest of each sum
//! hangs on a board. Lines of one sum get older along the way, so where one is crossed out the search ends, and nothing has to
//! be taken off the board.
//!
//! Names are whatever a source says. Which share a sum depends on numbers that nobody else knows (Thorup, "High Speed Hashing
//! for Integers and Strings", 2015, section 3.4: vector multiply-shift), so nobody can choose names that all have the same.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::ids::RouterId;
use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// How long it is remembered by which exits a packet left.
const TRAIL: Duration = Duration::from_secs(2);
/// The least number of sums, a power of two.
const LEAST_CHAINS: usize = 16;

/// A packet as its bytes name it: [`super::message::Head::name`]. Not authenticated: who is on its way can spoil its walk, and could
/// drop it as well.
pub(super) type Name = u64;

/// One packet that left.
#[derive(Debug)]
struct Trail {
    name: Name,
    since: Instant,
    /// The number of the one before it with the same sum.
    before: u32,
    exit: Option<RouterId>,
    /// Its exits but the first. Nearly always none.
    more: Vec<RouterId>,
}

/// No trail: the number before the first.
const NONE: u32 = u32::MAX;

/// All of them.
#[derive(Debug)]
pub(super) struct Trails {
    secret: [u64; 3],
    /// The number of the newest of each sum; perhaps of one that is forgotten.
    newest: Vec<u32>,
    /// Those that are remembered, oldest first.
    trails: VecDeque<Trail>,
    /// The number of the first of these. Numbers wrap.
    first: u32,
}

impl Trails {
    /// None yet.
    pub(super) fn new(rng: &mut Rng) -> Trails {
        let secret = [(); 3].map(|()| rng.next_u64());
        Trails { secret, newest: Vec::new(), trails: VecDeque::new(), first: 0 }
    }

    fn sum(&self, name: Name) -> u64 {
        let [start, low, high] = self.secret;
        let (first, second) = (low.wrapping_mul(name & 0xffff_ffff), high.wrapping_mul(name >> 32));
        start.wrapping_add(first).wrapping_add(second)
    }

    /// The place of a sum on the board, by its upper half.
    fn chain(&self, sum: u64) -> usize {
        (sum >> 32) as usize & self.newest.len().wrapping_sub(1)
    }

    fn find(&self, name: Name) -> Option<usize> {
        let sum = self.sum(name);
        let mut number = *self.newest.get(self.chain(sum))?;
        let mut bound = self.trails.len();
        loop {
            let place = number.wrapping_sub(self.first) as usize;
            // Else it is forgotten, or would go in a circle: a number that was given 2^32 packets ago may be another's now.
            let trail = self.trails.get(place).filter(|_| place < bound)?;
            if trail.name == name {
                return Some(place);
            }
            (number, bound) = (trail.before, place);
        }
    }

    /// Hangs a trail on the board, and says which hung there.
    fn hang(&mut self, name: Name, place: usize) -> u32 {
        let (sum, number) = (self.sum(name), self.first.wrapping_add(place as u32));
        let chain = self.chain(sum);
        self.newest.get_mut(chain).map_or(NONE, |newest| core::mem::replace(newest, number))
    }

    /// By which exits a packet has left.
    pub(super) fn exits(&self, name: Name) -> Vec<RouterId> {
        let trail = self.find(name).and_then(|place| self.trails.get(place));
        let Some(trail) = trail.filter(|trail| trail.exit.is_some()) else { return Vec::new() };
        trail.exit.iter().chain(&trail.more).copied().collect()
    }

    /// A packet has left by this exit. No more than `most` are remembered.
    pub(super) fn follow(&mut self, now: Instant, most: usize, name: Name, exit: RouterId) {
        while self.trails.front().is_some_and(|old| old.since + TRAIL <= now || self.trails.len() >= most) {
            self.trails.pop_front();
            self.first = self.first.wrapping_add(1);
        }
        if let Some(trail) = self.find(name).and_then(|place| self.trails.get_mut(place)) {
            if trail.exit.is_none() {
                trail.exit = Some(exit);
            } else if trail.exit != Some(exit) && !trail.more.contains(&exit) {
                trail.more.push(exit);
            }
            return;
        }
        self.fit();
        let before = self.hang(name, self.trails.len());
        self.trails.push_back(Trail { name, since: now, before, exit: Some(exit), more: Vec::new() });
    }

    /// A packet may leave by every exit again.
    pub(super) fn clear(&mut self, name: Name) {
        if let Some(trail) = self.find(name).and_then(|place| self.trails.get_mut(place)) {
            (trail.exit, trail.more) = (None, Vec::new());
        }
    }

    /// As many sums as trails, about: more when one more would not fit, fewer long after a rush.
    fn fit(&mut self) {
        let (trails, chains) = (self.trails.len(), self.newest.len());
        if trails < chains && (chains <= LEAST_CHAINS || chains / 16 < trails.max(1)) {
            return;
        }
        let wanted = (2 * trails).max(LEAST_CHAINS).next_power_of_two();
        self.trails.shrink_to(wanted);
        self.newest = alloc::vec![NONE; wanted];
        for place in 0..self.trails.len() {
            let Some(name) = self.trails.get(place).map(|trail| trail.name) else { return };
            let before = self.hang(name, place);
            if let Some(trail) = self.trails.get_mut(place) {
                trail.before = before;
            }
        }
    }

    /// Bytes of one at most: a ring of twice as many places as are used, and up to four sums for each.
    pub(super) const fn bytes_each() -> u64 {
        2 * size_of::<Trail>() as u64 + 4 * size_of::<u32>() as u64
    }

    /// Panics when an invariant does not hold.
    pub(super) fn check(&self, most: usize) {
        assert!(self.trails.len() <= most, "more trails than may be remembered");
        assert!(self.newest.is_empty() || self.newest.len().is_power_of_two(), "sums are cut by a mask");
        #[cfg(test)]
        for (place, trail) in self.trails.iter().enumerate() {
            assert_eq!(self.find(trail.name), Some(place), "a trail is found, and stands there once");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, VecDeque as Queue};
    use std::vec;

    fn trails() -> Trails {
        Trails::new(&mut Rng::fork(&[7; 32], "test"))
    }

    fn name(number: u32) -> Name {
        u64::from(number % 3) << 32 | u64::from(number / 3)
    }

    proptest! {
        /// Against a table that is searched from end to end: whatever comes, in whatever order, and when numbers wrap as well.
        #[test]
        fn trails_are_those_of_a_table(
            most in 1_usize..40,
            first in prop::sample::select(vec![0, u32::MAX - 20]),
            steps in prop::collection::vec((0_u32..90, 0_u8..4, 0_u64..90, prop::bool::weighted(0.1)), 1..400),
        ) {
            let mut trails = Trails { first, ..trails() };
            let (mut now, mut model) = (Instant::ZERO, BTreeMap::<Name, Vec<RouterId>>::new());
            let mut order = Queue::<(Instant, Name)>::new();
            for (number, exit, later, clears) in steps {
                let (name, exit) = (name(number), RouterId([exit; 8]));
                now += Duration::from_millis(later);
                if clears {
                    trails.clear(name);
                    model.entry(name).and_modify(Vec::clear);
                } else {
                    trails.follow(now, most, name, exit);
                    while order.front().is_some_and(|&(at, _)| at + TRAIL <= now || order.len() >= most) {
                        model.remove(&order.pop_front().unwrap().1);
                    }
                    let exits = model.entry(name).or_insert_with(|| {
                        order.push_back((now, name));
                        Vec::new()
                    });
                    if !exits.contains(&exit) {
                        exits.push(exit);
                    }
                }
                trails.check(most);
                for number in 0..90 {
                    let known = model.get(&self::name(number)).cloned().unwrap_or_default();
                    prop_assert_eq!(trails.exits(self::name(number)), known);
                }
            }
        }
    }

    /// A rush is not paid for ever after.
    #[test]
    fn the_board_grows_and_shrinks_with_the_book() {
        let mut trails = trails();
        for number in 0..10_000 {
            trails.follow(Instant::ZERO, 4_096, name(number), RouterId([1; 8]));
        }
        assert_eq!(trails.trails.len(), 4_096);
        assert!((4_096..=16_384).contains(&trails.newest.len()));
        let held = |trails: &Trails| {
            (trails.trails.capacity() * size_of::<Trail>() + trails.newest.capacity() * size_of::<u32>())
                as u64
        };
        assert!(held(&trails) <= 4_096 * Trails::bytes_each(), "{} bytes", held(&trails));
        trails.check(4_096);
        trails.follow(Instant::ZERO + TRAIL, 4_096, name(1), RouterId([1; 8]));
        assert_eq!(trails.newest.len(), LEAST_CHAINS);
        assert!(trails.trails.capacity() <= 2 * LEAST_CHAINS);
    }

    /// Names in a row, and names that differ in their high bytes only, share no more sums than drawn ones would.
    #[test]
    fn names_spread_over_the_board() {
        for shift in [0, 32] {
            let mut trails = trails();
            for number in 0..20_000_u64 {
                trails.follow(Instant::ZERO, 4_096, number << shift, RouterId([1; 8]));
            }
            let used = trails.newest.iter().filter(|newest| **newest != NONE).count();
            // 20,000 drawn from 8,192 hit 91 %.
            let percent = 100 * used / trails.newest.len();
            assert!(percent >= 80, "{percent} % of {}", trails.newest.len());
        }
    }
}
