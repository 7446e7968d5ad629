//! Spreads packets over time.
//!
//! A tap and a bucket: the tap fills the bucket at the set rate, a packet takes its size out. A
//! packet may leave as soon as the bucket is not in debt, and may put it into debt, so large packets
//! need no large bucket. Counted in byte-microseconds, so no fraction is ever lost and the long-run
//! rate is exact.

use crate::time::{Duration, Instant};

/// Microseconds in a second: one byte in the bucket's unit.
const BYTE: i64 = 1_000_000;
/// The highest rate in bytes a second: 100 GB/s keeps every product within 64 bits.
pub(super) const MOST_RATE: u64 = 100_000_000_000;

/// A bucket of permission to send.
#[derive(Clone, Debug)]
pub(super) struct Pacer {
    level: i64,
    filled: Instant,
    /// What has come in and was not yet set against acknowledgements.
    unshared: i64,
}

impl Pacer {
    pub(super) const fn new(now: Instant) -> Pacer {
        Pacer { level: 0, filled: now, unshared: 0 }
    }

    /// Lets the tap run until `now` at `rate` bytes a second, into a bucket of `burst` bytes.
    pub(super) fn fill(&mut self, now: Instant, rate: u64, burst: u64) {
        let us = now.since(self.filled).as_micros();
        if us == 0 {
            return;
        }
        let most = i64::try_from(burst).unwrap_or(i64::MAX).saturating_mul(BYTE);
        let gain = us.saturating_mul(rate.min(MOST_RATE)).min(i64::MAX as u64) as i64;
        self.level = self.level.saturating_add(gain).min(most);
        self.unshared = self.unshared.saturating_add(gain).min(most.saturating_mul(2));
        self.filled = now;
    }

    /// Whether a packet may leave, judged at the last [`Pacer::fill`].
    pub(super) fn is_open(&self) -> bool {
        self.level >= 0
    }

    /// How long until one may, from the last fill.
    pub(super) fn pause(&self, rate: u64) -> Duration {
        let debt = self.level.min(0).unsigned_abs();
        Duration::from_micros(debt.div_ceil(rate.clamp(1, MOST_RATE)))
    }

    /// A packet of `bytes` leaves. What was sent without asking is owed only up to `most_debt` bytes.
    pub(super) fn spend(&mut self, bytes: u64, most_debt: u64) {
        let cost = i64::try_from(bytes).unwrap_or(i64::MAX).saturating_mul(BYTE);
        let least = i64::try_from(most_debt).unwrap_or(i64::MAX).saturating_mul(-BYTE);
        self.level = self.level.saturating_sub(cost).max(least.min(self.level));
    }

    /// An acknowledgement of `bytes` leaves: it has to, whatever the rate. Together they take no more than
    /// half of what comes in, or a peer that sends much would leave us nothing for what we have to say.
    pub(super) fn spend_on_answer(&mut self, bytes: u64, most_debt: u64) {
        let cost = i64::try_from(bytes).unwrap_or(i64::MAX).saturating_mul(BYTE).min(self.unshared / 2);
        self.unshared -= cost.saturating_mul(2);
        let least = i64::try_from(most_debt).unwrap_or(i64::MAX).saturating_mul(-BYTE);
        self.level = self.level.saturating_sub(cost).max(least.min(self.level));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// However many acknowledgements leave, half of the rate is left for what we have to say.
    #[test]
    fn answers_take_no_more_than_half() {
        let (rate, mut sent) = (10_000, 0);
        let mut pacer = Pacer::new(Instant::ZERO);
        for ms in 0..10_000 {
            pacer.fill(Instant::from_micros(ms * 1_000), rate, 100);
            pacer.spend_on_answer(30, 400);
            if pacer.is_open() {
                pacer.spend(100, 400);
                sent += 100;
            }
        }
        assert!((49_000..=51_000).contains(&sent), "{sent} of 100,000");
    }

    proptest! {
        /// Sending whenever allowed, at the microsecond it is allowed, gives the set rate exactly.
        #[test]
        fn the_long_run_rate_is_exact(
            rate in prop_oneof![1u64..1_000, 1_000u64..1_000_000, 1_000_000u64..10_000_000_000],
            size in 1u64..65_508,
        ) {
            let mut pacer = Pacer::new(Instant::ZERO);
            let burst = size.max(rate / 1_000);
            let mut now = Instant::ZERO;
            let mut sent = 0u128;
            for _ in 0..2_000 {
                pacer.fill(now, rate, burst);
                if pacer.is_open() {
                    pacer.spend(size, 4 * size);
                    sent += u128::from(size);
                } else {
                    now += pacer.pause(rate);
                    pacer.fill(now, rate, burst);
                    prop_assert!(pacer.is_open(), "the stated pause is enough");
                }
            }
            let allowed = u128::from(rate) * u128::from(now.as_micros()) / 1_000_000;
            prop_assert!(sent <= allowed + u128::from(burst + size));
            prop_assert!(sent + u128::from(burst + 2 * size) >= allowed);
        }
    }
}
