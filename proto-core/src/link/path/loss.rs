//! How many packets are lost, and what that makes of silence.
//!
//! If nine letters in ten are lost on the way, no answer to one letter says nothing. This module
//! turns the share of lost packets into such judgements: how many copies are worth sending, and after
//! how many unanswered packets silence is no longer bad luck.

/// A million: probabilities are counted in millionths.
pub(super) const ONE: u64 = 1_000_000;
/// What is assumed before anything is known: the worst that the protocol is designed for.
const PRIOR_PPM: u64 = 900_000;
/// What is assumed by who compares paths, and of a path over relays, each of which keeps a packet until the next one has it
/// (guess).
pub(super) const HOPEFUL_PPM: u64 = 50_000;
/// And of a radio channel that many share (guess: as much is lost there by collisions when it is half full).
pub(super) const CROWDED_PPM: u64 = 300_000;
/// The prior weighs as much as this many packets (guess).
const PRIOR_WEIGHT: u32 = 4;
/// The estimate remembers about this many packets (guess: two round trips at a thousand a second).
const MEMORY: u32 = 128;
/// However good a path looks, one packet in two thousand may be lost by chance.
const LEAST_PPM: u64 = 500;
/// However bad it looks, no more is taken for chance: beyond this a path is as good as dead. The estimate of one
/// that died goes to a million until its silence is judged, and stays there for whoever sends little after it.
const MOST_PPM: u64 = 950_000;
/// Silence that comes by chance less often than this is no chance: one in a million.
const IMPROBABLE_PPM: u64 = 1;

/// The share of our packets that are lost.
#[derive(Clone, Debug)]
pub(super) struct Loss {
    ppm: u32,
    /// What of the estimate is the prior, of which ever less is left.
    prior_ppm: u32,
    weight: u32,
    known: bool,
}

impl Loss {
    pub(super) const fn new() -> Loss {
        Loss::expecting(PRIOR_PPM)
    }

    /// On a path of which something is expected, in millionths lost.
    pub(super) const fn expecting(ppm: u64) -> Loss {
        let ppm = ppm as u32;
        Loss { ppm, prior_ppm: ppm, weight: PRIOR_WEIGHT, known: false }
    }

    /// So many packets more were acknowledged, so many lost.
    pub(super) fn update(&mut self, acked: u32, lost: u32) {
        let count = acked.saturating_add(lost);
        if count == 0 {
            return;
        }
        self.known = true;
        let total = u64::from(self.weight) + u64::from(count);
        let kept = |ppm: u32| u64::from(ppm) * u64::from(self.weight);
        let (ppm, prior_ppm) =
            ((kept(self.ppm) + ONE * u64::from(lost)) / total, kept(self.prior_ppm) / total);
        (self.ppm, self.prior_ppm) = (ppm as u32, prior_ppm as u32);
        self.weight = self.weight.saturating_add(count).min(MEMORY);
    }

    /// A packet counted as lost has arrived after all.
    pub(super) fn correct(&mut self) {
        self.ppm = self.ppm.saturating_sub(ONE as u32 / self.weight.max(1));
    }

    /// The share lost in millionths; 900,000 before anything is known.
    pub(super) fn ppm(&self) -> u32 {
        self.ppm
    }

    /// The share lost, in millionths, as somebody sees it who expects a good path: whoever compares paths by an estimate that
    /// expects the worst takes the one that was used most for the best.
    pub(super) fn hopeful_ppm(&self) -> u32 {
        let fear_ppm = u64::from(self.prior_ppm.min(self.ppm)) * (PRIOR_PPM - HOPEFUL_PPM) / PRIOR_PPM;
        self.ppm - fear_ppm as u32
    }

    /// Whether any packet's fate is known.
    pub(super) fn is_known(&self) -> bool {
        self.known
    }

    /// Unanswered packets after which silence is improbable: the least `n` with
    /// `(1 - (1 - forth)(1 - back))^n` below one in a million. `back_ppm` is the loss of the peer's
    /// packets, where known. The own estimate is taken one third of its variance to the worse.
    pub(super) fn packets_to_be_sure(&self, back_ppm: Option<u32>) -> u32 {
        let ppm = u64::from(self.ppm);
        let forth = (ppm + ppm * (ONE - ppm.min(ONE)) / ONE / 3).clamp(LEAST_PPM, MOST_PPM);
        let back = u64::from(back_ppm.unwrap_or(0)).clamp(forth, MOST_PPM);
        let arrives = (ONE - forth) * (ONE - back) / ONE;
        tries_until(ONE - arrives, IMPROBABLE_PPM)
    }
}

/// How many copies it takes until all are lost with at most the chance `target_ppm`, when each is
/// lost with the chance `loss_ppm`; 1 to 65,535.
#[must_use]
pub fn copies(loss_ppm: u32, target_ppm: u32) -> u32 {
    tries_until(u64::from(loss_ppm).min(ONE), u64::from(target_ppm)).max(1)
}

/// The least `n` with `fail_ppm^n <= target_ppm`, at most 65,535. By doubling, then by halves, in 32
/// binary places.
fn tries_until(fail_ppm: u64, target_ppm: u64) -> u32 {
    const UNIT: u64 = 1 << 32;
    let target = target_ppm * UNIT / ONE;
    let mut powers = [0u64; 16];
    let mut power = fail_ppm.min(ONE) * UNIT / ONE;
    for slot in &mut powers {
        *slot = power;
        power = ((u128::from(power) * u128::from(power)) >> 32) as u64;
    }
    // The largest n whose power is still above the target, bit by bit from the top.
    let mut above = UNIT;
    let mut n = 0u32;
    for (bit, &power) in powers.iter().enumerate().rev() {
        let next = ((u128::from(above) * u128::from(power)) >> 32) as u64;
        if next > target {
            above = next;
            n += 1 << bit;
        }
    }
    (n + 1).min(65_535)
}

/// The integer square root, rounded down.
pub(super) fn isqrt(value: u64) -> u64 {
    value.isqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The logarithm of the target over that of the loss, rounded up.
    #[test]
    fn copies_match_the_logarithm() {
        let cases = [
            (1, 1, 1),
            (10_000, 2, 3),
            (200_000, 100_000, 2),
            (500_000, 500_000, 1),
            (500_000, 1_000, 10),
            (900_000, 500_000, 7),
            (900_000, 1, 132),
            (990_000, 1, 1_375),
            (999_000, 500_000, 693),
        ];
        for (loss, target, expected) in cases {
            assert_eq!(copies(loss, target), expected, "{loss} {target}");
        }
        assert_eq!(copies(0, 1), 1);
        assert_eq!(copies(1_000_000, 1), 65_535);
    }

    #[test]
    fn paths_are_compared_without_the_fear_of_the_worst() {
        let after = |acked, lost| {
            let mut loss = Loss::new();
            for _ in 0..acked {
                loss.update(1, 0);
            }
            loss.update(0, lost);
            loss.hopeful_ppm()
        };
        assert_eq!(after(0, 0), 50_000);
        assert!((30_000..40_000).contains(&after(2, 0)), "{}", after(2, 0));
        assert!(after(16, 0) < 10_100 && after(1_000, 0) < 100, "{}", after(16, 0));
        assert!((850_000..900_000).contains(&after(10, 90)), "{}", after(10, 90));
        assert!(after(0, 100) > 960_000);
    }

    #[test]
    fn the_estimate_forgets_the_prior_and_follows() {
        let mut loss = Loss::new();
        assert!(!loss.is_known() && loss.ppm() == 900_000);
        loss.update(96, 0);
        assert!(loss.ppm() < 40_000);
        for _ in 0..100 {
            loss.update(10, 0);
        }
        assert!(loss.ppm() < 1_000);
        assert_eq!(loss.packets_to_be_sure(None), 2, "a good path is judged at once");
        for _ in 0..100 {
            loss.update(1, 9);
        }
        assert!((880_000..920_000).contains(&loss.ppm()));
        let sure = loss.packets_to_be_sure(None);
        assert!((1_400..4_000).contains(&sure), "{sure}");
        loss.update(0, 100_000);
        assert_eq!(loss.packets_to_be_sure(Some(1_000_000)), 5_520, "more than 19 in 20 are no bad luck");
    }
}
