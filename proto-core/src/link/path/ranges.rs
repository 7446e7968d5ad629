//! A bounded set of packet numbers, kept as ranges.

use alloc::collections::VecDeque;

/// Packet numbers as inclusive ranges, lowest first, never touching each other. When there are more
/// ranges than allowed, the lowest is forgotten.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranges {
    ranges: VecDeque<(u64, u64)>,
}

impl Ranges {
    pub(super) const fn new() -> Ranges {
        Ranges { ranges: VecDeque::new() }
    }

    /// Adds `number`; at once when it follows the highest one. Returns whether it was new.
    pub(super) fn insert(&mut self, number: u64, most: usize) -> bool {
        // Where the range would stand: almost always at the end, so search from there.
        let mut index = self.ranges.len();
        while let Some(below) = index.checked_sub(1)
            && self.ranges.get(below).is_some_and(|range| range.0 > number)
        {
            index = below;
        }
        let joins_above = self.ranges.get(index).is_some_and(|range| number + 1 == range.0);
        let below = index.checked_sub(1).and_then(|below| self.ranges.get_mut(below));
        let joins_below = match below {
            Some(range) if number <= range.1 => return false,
            Some(range) if number == range.1 + 1 => {
                range.1 = number;
                true
            }
            Some(_) | None => false,
        };
        match (joins_below, joins_above) {
            (true, true) => {
                if let Some((_, last)) = self.ranges.remove(index)
                    && let Some(range) = self.ranges.get_mut(index - 1)
                {
                    range.1 = last;
                }
            }
            (true, false) => {}
            (false, true) => {
                if let Some(range) = self.ranges.get_mut(index) {
                    range.0 = number;
                }
            }
            (false, false) => {
                self.ranges.insert(index, (number, number));
                if self.ranges.len() > most.max(1) {
                    self.ranges.pop_front();
                }
            }
        }
        true
    }

    /// Forgets everything below `number`.
    pub(super) fn forget_below(&mut self, number: u64) {
        while let Some(range) = self.ranges.front_mut() {
            if range.1 >= number {
                range.0 = range.0.max(number);
                return;
            }
            self.ranges.pop_front();
        }
    }

    /// Forgets all but so many of the highest ranges.
    pub(super) fn keep_highest(&mut self, most: usize) {
        self.ranges.drain(..self.ranges.len().saturating_sub(most));
    }

    /// Inclusive ranges `(first, last)`, highest first.
    pub(super) fn descending(&self) -> impl Iterator<Item = (u64, u64)> + Clone + '_ {
        self.ranges.iter().rev().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.ranges.len()
    }

    pub(super) fn shrink(&mut self) {
        self.ranges.shrink_to(2);
    }

    pub(super) fn check(&self, most: usize) {
        assert!(self.ranges.len() <= most.max(1), "too many ranges");
        let mut above = None;
        for &(first, last) in &self.ranges {
            assert!(first <= last, "empty range");
            assert!(above.is_none_or(|above| first > above), "ranges touch");
            above = Some(last + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    proptest! {
        /// Against a plain set; only what the bound pushed out or what was forgotten may be missing.
        #[test]
        fn agrees_with_a_set(
            steps in prop::collection::vec((0u64..60, 0u8..20), 1..200),
            most in 1usize..8,
        ) {
            let mut ranges = Ranges::new();
            let mut model = BTreeSet::new();
            for (number, action) in steps {
                if action == 0 {
                    ranges.forget_below(number);
                    model.retain(|&n| n >= number);
                } else {
                    prop_assert_eq!(ranges.insert(number, most), model.insert(number));
                    let lowest = ranges.descending().last().map_or(0, |range| range.0);
                    model.retain(|&n| n >= lowest);
                }
                ranges.check(most);
                let flat: Vec<u64> = ranges.descending().flat_map(|(a, b)| (a..=b).rev()).collect();
                prop_assert!(flat.iter().eq(model.iter().rev()));
            }
        }
    }
}
