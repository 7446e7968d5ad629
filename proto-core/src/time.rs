//! Time as the core sees it: microseconds since this node booted, given with every input.
//!
//! There is no `now()`. Whoever drives the core says what time it is, so a run can be repeated.
//! Wall time is something else: an input that may be wrong, with the error its giver admits to.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};

/// A point on the node's own monotonic clock, in microseconds since boot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

/// A span of monotonic time in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(u64);

impl Instant {
    /// The moment of boot.
    pub const ZERO: Instant = Instant(0);

    /// The instant `us` microseconds after boot.
    #[must_use]
    pub const fn from_micros(us: u64) -> Self {
        Instant(us)
    }

    /// Microseconds since boot.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Instant) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }
}

impl Duration {
    /// No time at all.
    pub const ZERO: Duration = Duration(0);
    /// Longer than any run.
    pub const MAX: Duration = Duration(u64::MAX);

    /// A span of `us` microseconds.
    #[must_use]
    pub const fn from_micros(us: u64) -> Self {
        Duration(us)
    }

    /// A span of `ms` milliseconds.
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Duration(ms.saturating_mul(1_000))
    }

    /// A span of `s` seconds.
    #[must_use]
    pub const fn from_secs(s: u64) -> Self {
        Duration(s.saturating_mul(1_000_000))
    }

    /// The span in microseconds.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The span in whole milliseconds, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000
    }

    /// `self * num / den` without overflow on the way; saturates. A `den` of zero gives [`Duration::MAX`].
    #[must_use]
    pub const fn mul_ratio(self, num: u64, den: u64) -> Duration {
        if den == 0 {
            return Duration::MAX;
        }
        // Nearly always: a division of 128 bits is a function of its own.
        if let Some(product) = self.0.checked_mul(num) {
            return Duration(product / den);
        }
        let wide = (self.0 as u128 * num as u128) / den as u128;
        if wide > u64::MAX as u128 { Duration::MAX } else { Duration(wide as u64) }
    }

    /// The difference, or zero.
    #[must_use]
    pub const fn saturating_sub(self, other: Duration) -> Duration {
        Duration(self.0.saturating_sub(other.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;
    fn add(self, span: Duration) -> Instant {
        Instant(self.0.saturating_add(span.0))
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;
    fn sub(self, span: Duration) -> Instant {
        Instant(self.0.saturating_sub(span.0))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl Add for Duration {
    type Output = Duration;
    fn add(self, other: Duration) -> Duration {
        Duration(self.0.saturating_add(other.0))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}us", self.0)
    }
}

/// What a shell believes the calendar time is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WallTime {
    /// Microseconds since 1970-01-01 UTC, leap seconds not counted.
    pub unix_us: i64,
    /// The shell's own bound on how wrong that may be, in microseconds.
    pub error_us: u64,
}

/// How much the node's own clock may drift, as one part in so many: 1,000 ppm, a guess. It is twice what
/// nodes are tried with (scenario `clock-runs-wild`), and ten times what a common crystal does.
const DRIFT_PART: u64 = 1_000;

impl WallTime {
    /// The calendar time when `elapsed` has passed on the node's own clock. That clock drifts, so the
    /// error grows by a thousandth of the span.
    #[must_use]
    pub fn after(self, elapsed: Duration) -> WallTime {
        WallTime {
            unix_us: self.unix_us.saturating_add_unsigned(elapsed.0),
            error_us: self.error_us.saturating_add(elapsed.0 / DRIFT_PART),
        }
    }

    /// How long from now, on the node's own clock, until it is certain that the calendar shows `unix_us`
    /// microseconds since 1970 or more; zero when it is certain already.
    #[must_use]
    pub fn until_surely(self, unix_us: u128) -> Duration {
        let earliest_us = i128::from(self.unix_us) - i128::from(self.error_us);
        let lacking = i128::try_from(unix_us).unwrap_or(i128::MAX).saturating_sub(earliest_us);
        let lacking = u64::try_from(lacking.max(0)).unwrap_or(u64::MAX);
        // What passes until then is 1000/999 of what is lacking: the error takes a thousandth of it.
        Duration(lacking.saturating_add(lacking / (DRIFT_PART - 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The deadline is the first moment, to the microsecond, at which the interval lies past the end.
        #[test]
        fn what_is_waited_for_is_certain_then_and_not_before(
            unix_us in -1i64 << 60..1 << 60,
            error_us in 0u64..1 << 50,
            end_us in 0u64..1 << 60,
        ) {
            let wall = WallTime { unix_us, error_us };
            let certain = |elapsed| {
                let then = wall.after(elapsed);
                i128::from(then.unix_us) - i128::from(then.error_us) >= i128::from(end_us)
            };
            let wait = wall.until_surely(u128::from(end_us));
            prop_assert!(certain(wait));
            let before = wait.saturating_sub(Duration::from_micros(2));
            prop_assert!(wait == Duration::ZERO || !certain(before) || before == Duration::ZERO);
        }
    }

    #[test]
    fn dates_beyond_all_reckoning_do_not_overflow() {
        let wall = WallTime { unix_us: i64::MIN, error_us: u64::MAX };
        assert_eq!(wall.until_surely(u128::MAX), Duration::MAX);
        let wall = WallTime { unix_us: i64::MAX, error_us: 0 };
        assert_eq!(wall.after(Duration::MAX).unix_us, i64::MAX);
        assert_eq!(wall.until_surely(0), Duration::ZERO);
    }
}
