//! A sliding window of bits over an endless sequence of numbers.
//!
//! Think of a doorman with a strip of paper: he remembers exactly who of the last `width` guests has
//! come in, and turns away whoever is older than his strip. Used for replayed packets and for
//! messages that arrive twice. Nothing is forgotten by chance: unlike a Bloom filter it never
//! turns away a fresh guest that is still on the strip.

use alloc::boxed::Box;
use alloc::vec;

/// Which numbers below `end` have been seen; exact for the last `width`, "seen" for all older ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    bits: Box<[u64]>,
    end: u64,
    /// Which word holds the bit of the highest number seen. All others are found relative to it: every
    /// packet asks three times, and a division each time would cost as much as the rest of the window.
    head: usize,
}

/// What a window knows of a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// Never seen.
    Fresh,
    /// Seen before.
    Duplicate,
    /// Older than the window reaches.
    TooOld,
}

impl Window {
    /// An empty window `width` numbers wide; rounded up to a multiple of 64, at least 64.
    #[must_use]
    pub fn new(width: u16) -> Self {
        // One word more than the width: the word at the head is recycled whole when the head enters
        // it, and what it held before must already be too old.
        let words = usize::from(width).div_ceil(64).max(1) + 1;
        Window { bits: vec![0; words].into_boxed_slice(), end: 0, head: 0 }
    }

    /// How many numbers back it remembers.
    #[must_use]
    pub fn width(&self) -> u64 {
        (self.bits.len() as u64 - 1) * 64
    }

    /// One more than the highest number seen; 0 when none was.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// What is known of `number`. Nothing changes: ask before authentication, [`Window::mark`] after.
    #[must_use]
    pub fn check(&self, number: u64) -> Seen {
        if number >= self.end {
            return Seen::Fresh;
        }
        if self.end - number > self.width() {
            return Seen::TooOld;
        }
        let (word, bit) = self.position(number);
        match self.bits.get(word) {
            Some(bits) if bits & bit == 0 => Seen::Fresh,
            _ => Seen::Duplicate,
        }
    }

    /// Marks `number` as seen, moving the window forward if it is ahead. Too old numbers are ignored.
    pub fn mark(&mut self, number: u64) {
        if number >= self.end {
            self.advance(number);
        } else if self.end - number > self.width() {
            return;
        }
        let (word, bit) = self.position(number);
        if let Some(bits) = self.bits.get_mut(word) {
            *bits |= bit;
        }
    }

    /// The first number from `from` on that was not seen; numbers that are too old count as seen.
    #[must_use]
    pub fn next_clear(&self, from: u64) -> u64 {
        let oldest = self.end.saturating_sub(self.width());
        self.scan(from.max(oldest), false).unwrap_or(from.max(self.end))
    }

    /// The first number from `from` on that was seen and is not too old.
    #[must_use]
    pub fn next_set(&self, from: u64) -> Option<u64> {
        let oldest = self.end.saturating_sub(self.width());
        self.scan(from.max(oldest), true)
    }

    /// The first number in `from..end` whose bit equals `wanted`, a word at a time.
    fn scan(&self, from: u64, wanted: bool) -> Option<u64> {
        let mut at = from;
        while at < self.end {
            let (word, _) = self.position(at);
            let bits = self.bits.get(word).copied().unwrap_or(0);
            let bits = (if wanted { bits } else { !bits }) & (u64::MAX << (at % 64));
            if bits != 0 {
                let found = (at & !63) + u64::from(bits.trailing_zeros());
                return (found < self.end).then_some(found);
            }
            at = (at & !63) + 64;
        }
        None
    }

    /// Clears the bits between the old end and `number`, and makes `number` the last one covered.
    fn advance(&mut self, number: u64) {
        let words = self.bits.len();
        let steps = number / 64 - self.last_word();
        if steps >= words as u64 {
            self.bits.fill(0);
        } else {
            for _ in 0..steps {
                self.head = if self.head + 1 == words { 0 } else { self.head + 1 };
                if let Some(bits) = self.bits.get_mut(self.head) {
                    *bits = 0;
                }
            }
        }
        self.end = number + 1;
    }

    /// The highest number seen, in words.
    fn last_word(&self) -> u64 {
        self.end.saturating_sub(1) / 64
    }

    /// Word and bit of a number that is below the end and not too old.
    fn position(&self, number: u64) -> (usize, u64) {
        let back = self.last_word().saturating_sub(number / 64) as usize;
        let word = if back <= self.head { self.head - back } else { self.head + self.bits.len() - back };
        (word, 1 << (number % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        /// Against a set that forgets nothing: a number is fresh exactly when it is within the width
        /// and was never marked.
        #[test]
        fn agrees_with_a_set(
            width in prop::sample::select(vec![64u16, 128, 192]),
            steps in prop::collection::vec((0u64..90, prop::bool::ANY), 1..400),
        ) {
            let mut window = Window::new(width);
            let mut marked = BTreeSet::new();
            let mut head = 0u64;
            for (step, forward) in steps {
                let number = if forward { head + step * step / 40 } else { head.saturating_sub(step * 3) };
                let expected = if number + u64::from(width) < window.end() {
                    Seen::TooOld
                } else if marked.contains(&number) {
                    Seen::Duplicate
                } else {
                    Seen::Fresh
                };
                prop_assert_eq!(window.check(number), expected, "number {} end {}", number, window.end());
                if expected == Seen::Fresh {
                    window.mark(number);
                    marked.insert(number);
                    prop_assert_eq!(window.check(number), Seen::Duplicate);
                }
                let seen = |n: &u64| window.check(*n) != Seen::Fresh;
                let oldest = window.end().saturating_sub(window.width());
                let from = number.saturating_sub(step);
                let clear = (from.max(oldest)..window.end()).find(|n| !seen(n)).unwrap_or(from.max(window.end()));
                prop_assert_eq!(window.next_clear(from), clear);
                prop_assert_eq!(window.next_set(from), (from.max(oldest)..window.end()).find(seen));
                head = head.max(number);
            }
        }
    }
}
