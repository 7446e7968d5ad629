//! One generator for each machine, forked by label from the node's seed.
//!
//! A new draw in one machine must not change another, so there is no shared stream: `fork` makes an
//! independent ChaCha generator from a BLAKE3 derivation of the parent's seed and a label.

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng as _, SeedableRng};

/// A deterministic generator. Two with the same seed and label give the same numbers everywhere.
#[derive(Clone)]
pub struct Rng(ChaCha12Rng);

impl Rng {
    /// A generator for the machine named `label`, from the node's `seed`.
    #[must_use]
    pub fn fork(seed: &[u8; 32], label: &str) -> Rng {
        let mut hasher = blake3::Hasher::new_derive_key("thallus 2026 generator fork v1");
        hasher.update(seed);
        hasher.update(label.as_bytes());
        Rng(ChaCha12Rng::from_seed(*hasher.finalize().as_bytes()))
    }

    /// A generator for a part of this machine, which takes no draw from this one.
    #[must_use]
    pub fn branch(&self, label: &str) -> Rng {
        let mut seed = [0; 32];
        self.clone().fill(&mut seed);
        Rng::fork(&seed, label)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// The next 32 bits.
    pub fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// A number in `0..bound`; zero when `bound` is zero.
    ///
    /// By multiplication and shift (Lemire 2019, section 3, without the rejection step): the bias is
    /// below `bound / 2^64`, which no use of jitter can notice.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// The same, for a library that asks for a generator.
    pub(crate) fn generator(&mut self) -> &mut impl rand_core::CryptoRng {
        &mut self.0
    }

    /// Fills `out` with random bytes.
    pub fn fill(&mut self, out: &mut [u8]) {
        self.0.fill_bytes(out);
    }
}

impl core::fmt::Debug for Rng {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Rng(..)")
    }
}
