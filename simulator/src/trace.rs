//! The canonical record of a run, and its hash.
//!
//! One record a step: when, who, a digest of what it was given and of what it did. The records are
//! folded into 64 bits by a multiplication each (a hash against accidents, not against enemies: it costs
//! a nanosecond a word), the state is kept every 1,000 steps, and BLAKE3 over those states gives the
//! hash that people compare. Everything folded is an integer of fixed size, in little-endian order.

use std::fmt::Write as _;
use std::ops::Range;

/// Steps between two checkpoints.
pub const CHECKPOINT: u64 = 1_000;

/// A running 64-bit digest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digest(u64);

const K0: u64 = 0x9e37_79b9_7f4a_7c15;
const K1: u64 = 0xe703_7ed1_a0b4_28db;

#[inline]
const fn multiply(a: u64, b: u64) -> u64 {
    let wide = a as u128 * b as u128;
    wide as u64 ^ (wide >> 64) as u64
}

impl Default for Digest {
    fn default() -> Self {
        Digest(K0)
    }
}

impl Digest {
    /// Folds in a number.
    #[inline]
    pub fn word(&mut self, word: u64) {
        // The rotation keeps a word that cancels the state from erasing the history.
        self.0 = multiply(self.0 ^ word, K1) ^ self.0.rotate_left(29);
    }

    /// Folds in bytes and their number.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        let mut chunks = bytes.chunks_exact(16);
        for chunk in &mut chunks {
            let (low, high) = chunk.split_at(8);
            let (low, high) = (little_endian(low), little_endian(high));
            self.0 = multiply(self.0 ^ low, high ^ K1) ^ self.0.rotate_left(29) ^ high;
        }
        for rest in chunks.remainder().chunks(8) {
            self.word(little_endian(rest));
        }
    }

    /// The digest so far.
    #[inline]
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

/// Up to eight bytes as a number.
#[inline]
fn little_endian(bytes: &[u8]) -> u64 {
    match <[u8; 8]>::try_from(bytes) {
        Ok(eight) => u64::from_le_bytes(eight),
        Err(_) => bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)),
    }
}

/// One step in words, kept for the part of a run that somebody wants to look at.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct StepRecord {
    /// Its number, counted from 1.
    pub step: u64,
    /// When, in virtual microseconds.
    pub at_us: u64,
    /// Who.
    pub host: u32,
    /// Digest of what it was given.
    pub input: u64,
    /// Digest of what it did.
    pub outputs: u64,
    /// The same in words.
    pub text: String,
}

impl std::fmt::Display for StepRecord {
    /// One line of fixed columns.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (seconds, micros) = (self.at_us / 1_000_000, self.at_us % 1_000_000);
        write!(
            f,
            "{:>10} {seconds:>8}.{micros:06} n{:<4} {:016x} {:016x} {}",
            self.step, self.host, self.input, self.outputs, self.text
        )
    }
}

/// The trace of a run.
#[derive(Default)]
pub struct Trace {
    state: Digest,
    steps: u64,
    checkpoints: Vec<(u64, u64)>,
    /// Which steps are kept in words.
    window: Range<u64>,
    kept: Vec<StepRecord>,
    text: String,
}

impl Trace {
    /// A trace that keeps the steps of `window` in words.
    #[must_use]
    pub fn new(window: Range<u64>) -> Trace {
        Trace { window, ..Trace::default() }
    }

    /// How many steps there were.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Whether the step that is being taken is kept in words.
    #[inline]
    #[must_use]
    pub fn wants_words(&self) -> bool {
        self.window.contains(&(self.steps + 1))
    }

    /// Adds words to the step that is being taken.
    pub fn say(&mut self, words: std::fmt::Arguments<'_>) {
        if !self.text.is_empty() {
            self.text.push_str(" | ");
        }
        // Writing to a String cannot fail.
        let _ = self.text.write_fmt(words);
    }

    /// A step is finished.
    #[inline]
    pub fn step(&mut self, at_us: u64, host: u32, input: Digest, outputs: Digest) {
        self.steps += 1;
        self.state.word(at_us);
        self.state.word(u64::from(host));
        self.state.word(input.get());
        self.state.word(outputs.get());
        if self.window.contains(&self.steps) {
            self.kept.push(StepRecord {
                step: self.steps,
                at_us,
                host,
                input: input.get(),
                outputs: outputs.get(),
                text: std::mem::take(&mut self.text),
            });
        }
        if self.steps.is_multiple_of(CHECKPOINT) {
            self.checkpoints.push((self.steps, self.state.get()));
        }
    }

    /// The hash over all steps.
    #[must_use]
    pub fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new_derive_key("thallus 2026 simulator trace v1");
        for (step, state) in &self.checkpoints {
            hasher.update(&step.to_le_bytes());
            hasher.update(&state.to_le_bytes());
        }
        hasher.update(&self.steps.to_le_bytes());
        hasher.update(&self.state.get().to_le_bytes());
        hasher.finalize().to_hex().to_string()
    }

    /// The state of the hash every 1,000 steps.
    #[must_use]
    pub fn checkpoints(&self) -> &[(u64, u64)] {
        &self.checkpoints
    }

    /// The steps kept in words, so far; they are handed over.
    pub fn take_kept(&mut self) -> Vec<StepRecord> {
        std::mem::take(&mut self.kept)
    }
}

/// The first step in which two runs differ, with both sides. A side is `None` when its run was over.
pub fn first_difference(
    a: &[StepRecord],
    b: &[StepRecord],
) -> Option<(Option<StepRecord>, Option<StepRecord>)> {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    (same < a.len().max(b.len())).then(|| (a.get(same).cloned(), b.get(same).cloned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(bytes: &[u8]) -> Digest {
        let mut digest = Digest::default();
        digest.bytes(bytes);
        digest
    }

    fn trace(changed: Option<u64>) -> Trace {
        let mut trace = Trace::new(0..10_000);
        for step in 0..2_500 {
            let seen = if Some(step) == changed { digest(b"other") } else { digest(b"same") };
            trace.step(step * 10, 1, seen, digest(b"out"));
        }
        trace
    }

    #[test]
    fn equal_runs_have_equal_traces_and_one_changed_byte_shows() {
        let (a, b) = (trace(None), trace(None));
        assert_eq!(a.hash(), b.hash());
        assert_eq!(a.checkpoints().len(), 2);
        let mut c = trace(Some(1_700));
        assert_ne!(a.hash(), c.hash());
        assert_eq!(a.checkpoints()[0], c.checkpoints()[0]);
        assert_ne!(a.checkpoints()[1], c.checkpoints()[1]);
        let mut a = a;
        let (left, right) = first_difference(&a.take_kept(), &c.take_kept()).unwrap();
        assert_eq!((left.unwrap().step, right.unwrap().step), (1_701, 1_701));
    }

    #[test]
    fn a_run_that_stops_early_differs_at_its_end() {
        let (mut a, mut b) = (trace(None), trace(None));
        let (a, mut b) = (a.take_kept(), b.take_kept());
        assert_eq!(first_difference(&a, &b), None);
        b.pop();
        let (left, right) = first_difference(&a, &b).unwrap();
        assert_eq!(left.map(|step| step.step), Some(2_500));
        assert_eq!(right, None);
    }

    #[test]
    fn a_digest_depends_on_every_byte_its_place_and_the_length() {
        let mut seen = std::collections::BTreeSet::new();
        for len in 0..70 {
            let mut bytes = vec![0; len];
            assert!(seen.insert(digest(&bytes).get()));
            for at in 0..len {
                for bit in 0..8 {
                    bytes[at] ^= 1 << bit;
                    assert!(seen.insert(digest(&bytes).get()), "{len} {at} {bit}");
                    bytes[at] ^= 1 << bit;
                }
            }
        }
    }
}
