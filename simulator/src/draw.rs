//! Keyed draws: chance as a function, not as a sequence.
//!
//! Two dice players share one cup: when the first leaves the table, every throw of the second
//! changes, because it now gets numbers that would have gone to the other. That is what a shared
//! generator does to a simulation: take one fault out of a plan and the fate of thousands of
//! unrelated packets changes, and shrinking a failure becomes luck. Here nobody shares a cup. Every
//! decision is `draw(seed, purpose, who, n)`, a hash of four numbers: what happens to packet 17 of a
//! direction depends on the seed, the fault, the direction and 17, and on nothing else.
//!
//! The hash is SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014)
//! used by index instead of by step: its finaliser passes the usual batteries when fed a counter
//! times the golden ratio, which is what `n` is.

/// What a draw decides. Part of the key, so that no two kinds of decision see the same number.
/// Append only: the numbers are in every trace hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u64)]
pub enum Purpose {
    /// Whether a packet is lost by the link's own loss.
    LinkLoss = 1,
    /// The link's own jitter.
    LinkJitter = 2,
    /// Whether a packet is lost by a fault.
    Loss = 3,
    /// The state of a two-state burst.
    BurstState = 4,
    /// Whether a packet is lost in a burst.
    BurstLoss = 5,
    /// Extra delay of a fault.
    Delay = 6,
    /// Whether a packet arrives twice, and when again.
    Duplicate = 7,
    /// Whether a packet is held back, and how long.
    Reorder = 8,
    /// Which bits flip.
    Flip = 9,
    /// Whether and where a packet is cut off.
    Truncate = 10,
    /// Whether an old packet is sent again, and which.
    Replay = 11,
    /// An attacker's packets.
    Attack = 12,
    /// How long a sync takes.
    DiskLatency = 13,
    /// How much of the unsynced writes survives a crash.
    DiskCrash = 14,
    /// Which stored bits rot.
    DiskRot = 15,
    /// When and what an application sends.
    Flow = 16,
    /// The bytes of a message.
    Payload = 17,
    /// A node's entropy.
    Entropy = 18,
    /// A random plan.
    Plan = 19,
    /// The marker that must never be seen on a wire.
    Marker = 20,
    /// When an application confirms a durable message.
    Consume = 21,
    /// Keys and names of the nodes.
    Identity = 22,
    /// By which port a translator shows a node.
    NatPort = 23,
    /// A drawn network: who hangs on whom, who stands where.
    Shape = 24,
    /// How long a node stays, and how long it is away.
    Churn = 25,
    /// How long a radio waits before it listens again.
    Backoff = 26,
    /// What stands between two radios.
    Shadow = 27,
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline]
const fn finalise(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One decision: a hash of four numbers, the same on every machine.
#[inline]
#[must_use]
pub const fn draw(seed: u64, purpose: Purpose, who: u64, n: u64) -> u64 {
    Lot::new(seed, purpose, who).at(n)
}

/// All decisions of one purpose and one actor: the first three numbers of the key, hashed once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lot(u64);

impl Lot {
    /// The decisions of `who` about `purpose`.
    #[inline]
    #[must_use]
    pub const fn new(seed: u64, purpose: Purpose, who: u64) -> Lot {
        let a = finalise(seed.wrapping_add(GOLDEN));
        let b = finalise(a ^ (purpose as u64).wrapping_mul(0xd6e8_feb8_6659_fd93));
        Lot(finalise(b.wrapping_add(who.wrapping_mul(0xa076_1d64_78bd_642f))))
    }

    /// The decision numbered `n`.
    #[inline]
    #[must_use]
    pub const fn at(self, n: u64) -> u64 {
        finalise(self.0.wrapping_add(n.wrapping_add(1).wrapping_mul(GOLDEN)))
    }

    /// Whether decision `n` falls within `ppm` millionths: never at 0, always at 1,000,000.
    #[inline]
    #[must_use]
    pub const fn hits(self, n: u64, ppm: u32) -> bool {
        ppm != 0 && scale(self.at(n), 1_000_000) < ppm as u64
    }

    /// Decision `n` as a number in `0..bound`; 0 when `bound` is 0.
    #[inline]
    #[must_use]
    pub const fn below(self, n: u64, bound: u64) -> u64 {
        scale(self.at(n), bound)
    }

    /// Decision `n` as a number in `low..=high`; `low` when the range is empty.
    #[inline]
    #[must_use]
    pub const fn between(self, n: u64, low: u64, high: u64) -> u64 {
        if high <= low {
            return low;
        }
        match (high - low).checked_add(1) {
            Some(span) => low + scale(self.at(n), span),
            None => self.at(n),
        }
    }
}

/// Scales 64 random bits to `0..bound` by multiplication (Lemire 2019, section 3).
#[inline]
#[must_use]
pub const fn scale(bits: u64, bound: u64) -> u64 {
    ((bits as u128 * bound as u128) >> 64) as u64
}

/// One key out of two small numbers, for actors that are pairs.
#[inline]
#[must_use]
pub const fn pair(high: u32, low: u32) -> u64 {
    ((high as u64) << 32) | low as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_pinned() {
        let pinned =
            [draw(1, Purpose::LinkLoss, 2, 3), draw(u64::MAX, Purpose::Identity, u64::MAX, u64::MAX)];
        assert_eq!(pinned, PINNED, "every golden trace hash depends on these");
    }

    /// Flipping any one input bit flips each output bit about half the time.
    #[test]
    fn every_input_bit_reaches_every_output_bit() {
        const TRIALS: u32 = 512;
        for which in 0..3 {
            for bit in 0..64 {
                let mut flips = [0_u32; 64];
                for trial in 0..u64::from(TRIALS) {
                    let mut key = [trial * 3, trial, trial * 7];
                    let before = draw(key[0], Purpose::Loss, key[1], key[2]);
                    key[which] ^= 1 << bit;
                    let changed = before ^ draw(key[0], Purpose::Loss, key[1], key[2]);
                    for (out, count) in flips.iter_mut().enumerate() {
                        *count += (changed >> out) as u32 & 1;
                    }
                }
                for count in flips {
                    // Six standard deviations of a fair coin thrown 512 times are 68.
                    assert!(count.abs_diff(TRIALS / 2) < 80, "input {which} bit {bit}: {count} of {TRIALS}");
                }
            }
        }
    }

    /// Chi-square over 256 cells for counters, for actors and for seeds: 255 degrees of freedom,
    /// below 377 in all but one in a million.
    #[test]
    fn small_neighbouring_keys_spread_evenly() {
        let sources: [fn(u64) -> u64; 3] = [
            |n| draw(7, Purpose::Loss, 3, n),
            |n| draw(7, Purpose::Loss, n, 3),
            |n| draw(n, Purpose::Loss, 3, 7),
        ];
        for source in sources {
            for shift in [0, 28, 56] {
                let mut cells = [0_u64; 256];
                for n in 0..65_536 {
                    cells[((source(n) >> shift) & 255) as usize] += 1;
                }
                let chi: u64 = cells.iter().map(|&c| c.abs_diff(256).pow(2)).sum::<u64>() / 256;
                assert!((150..377).contains(&chi), "chi-square {chi} at shift {shift}");
            }
        }
    }

    #[test]
    fn chances_at_the_ends_are_certain() {
        let lot = Lot::new(1, Purpose::Loss, 1);
        assert!((0..10_000).all(|n| !lot.hits(n, 0)));
        assert!((0..10_000).all(|n| lot.hits(n, 1_000_000)));
        let hits = (0..100_000).filter(|&n| lot.hits(n, 900_000)).count();
        assert!((89_500..90_500).contains(&hits), "{hits}");
    }

    #[test]
    fn ranges_are_reached_at_both_ends_and_not_left() {
        let lot = Lot::new(1, Purpose::Delay, 1);
        let seen: std::collections::BTreeSet<u64> = (0..1_000).map(|n| lot.between(n, 5, 9)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [5, 6, 7, 8, 9]);
        assert_eq!(lot.between(0, 9, 5), 9);
        assert_eq!(lot.below(0, 0), 0);
        assert_eq!(lot.between(4, 0, u64::MAX), lot.at(4));
    }

    /// Computed by an independent program from the description above.
    const PINNED: [u64; 2] = [0xf31a_6667_7a8a_9188, 0x64fe_da10_3983_f1c8];
}
