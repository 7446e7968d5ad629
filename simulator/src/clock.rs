//! What a node's clocks show.
//!
//! Its monotonic clock is a straight line that bends when a fault changes its drift and jumps ahead
//! when it was suspended, but never runs backwards. A deadline in the node's own time is turned into
//! the first world microsecond at which its clock shows at least that much, so nobody is woken before
//! the time by his own watch. The calendar clock is a separate thing, and may do anything.

use proto_core::time::{Instant, WallTime};

const MILLION: i128 = 1_000_000;

/// One node's clocks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Clock {
    /// World time at which the present straight line begins.
    since_us: u64,
    /// What the node's clock shows there, in millionths of a microsecond, so that bends lose nothing.
    shown: i128,
    /// How much faster than the world.
    drift_ppm: i32,
    /// How far the calendar clock is off.
    wall_offset_us: i64,
}

/// What every run begins with on a right calendar clock: 2026-01-01 00:00 UTC.
pub const WALL_START_US: i64 = 1_767_225_600 * 1_000_000;

impl Clock {
    /// A clock that shows `offset_us` at world time 0.
    #[must_use]
    pub fn new(offset_us: u64, drift_ppm: i32, wall_offset_us: i64) -> Clock {
        Clock {
            since_us: 0,
            shown: i128::from(offset_us) * MILLION,
            drift_ppm: drift_ppm.max(-999_999),
            wall_offset_us,
        }
    }

    fn rate(&self) -> i128 {
        MILLION + i128::from(self.drift_ppm)
    }

    /// What the monotonic clock shows at world time `at_us`, which must not go back before a bend.
    #[inline]
    #[must_use]
    pub fn at(&self, at_us: u64) -> Instant {
        let elapsed = at_us.saturating_sub(self.since_us);
        if self.drift_ppm == 0 && self.shown % MILLION == 0 {
            return Instant::from_micros((self.shown / MILLION) as u64 + elapsed);
        }
        let shown = self.shown + i128::from(elapsed) * self.rate();
        Instant::from_micros(u64::try_from(shown / MILLION).unwrap_or(u64::MAX))
    }

    /// The first world microsecond, not before `now_us`, at which the clock shows at least `deadline`.
    #[inline]
    #[must_use]
    pub fn world_time_of(&self, deadline: Instant, now_us: u64) -> u64 {
        let wanted = i128::from(deadline.as_micros()) * MILLION - self.shown;
        if wanted <= 0 {
            return now_us;
        }
        let elapsed = if self.drift_ppm == 0 {
            (wanted as u128).div_ceil(MILLION as u128)
        } else {
            (wanted as u128).div_ceil(self.rate() as u128)
        };
        u64::try_from(elapsed).unwrap_or(u64::MAX).saturating_add(self.since_us).max(now_us)
    }

    /// From `at_us` on the clock runs at another rate.
    pub fn bend(&mut self, at_us: u64, drift_ppm: i32) {
        self.shown += i128::from(at_us.saturating_sub(self.since_us)) * self.rate();
        self.since_us = at_us;
        self.drift_ppm = drift_ppm.max(-999_999);
    }

    /// At `at_us` the clock jumps ahead by `by_us`.
    pub fn jump(&mut self, at_us: u64, by_us: u64) {
        self.bend(at_us, self.drift_ppm);
        self.shown += i128::from(by_us) * MILLION;
    }

    /// The clock of the same board after a reboot: it starts again from `shown_us`.
    pub fn reboot(&mut self, at_us: u64, shown_us: u64) {
        self.bend(at_us, self.drift_ppm);
        self.shown = i128::from(shown_us) * MILLION;
    }

    /// The drift at present.
    #[must_use]
    pub fn drift_ppm(&self) -> i32 {
        self.drift_ppm
    }

    /// What the calendar clock shows at world time `at_us`. It claims to be right to half a second,
    /// which it need not be.
    #[must_use]
    pub fn wall(&self, at_us: u64) -> WallTime {
        let at_us = i64::try_from(at_us).unwrap_or(i64::MAX);
        let unix_us = WALL_START_US.saturating_add(at_us).saturating_add(self.wall_offset_us);
        WallTime { unix_us, error_us: 500_000 }
    }

    /// The calendar clock steps.
    pub fn step_wall(&mut self, by_us: i64) {
        self.wall_offset_us = self.wall_offset_us.saturating_add(by_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_fast_clock_gains_half_a_millisecond_a_second_at_500_ppm() {
        let clock = Clock::new(7, 500, 0);
        assert_eq!(clock.at(0).as_micros(), 7);
        assert_eq!(clock.at(1_000_000).as_micros(), 1_000_507);
        assert_eq!(Clock::new(0, -500, 0).at(1_000_000).as_micros(), 999_500);
    }

    #[test]
    fn the_calendar_does_what_it_likes_and_the_monotonic_clock_does_not_mind() {
        let mut clock = Clock::new(0, 0, 0);
        assert_eq!(clock.wall(5).unix_us, WALL_START_US + 5);
        clock.step_wall(-3_600_000_000);
        assert_eq!(clock.wall(5).unix_us, WALL_START_US + 5 - 3_600_000_000);
        assert_eq!(clock.at(5).as_micros(), 5);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Bend(i32),
        Jump(u64),
    }

    proptest! {
        /// Whatever bends it, the clock never runs backwards, a node is never woken before its own
        /// clock shows the deadline, and never a microsecond later than it must be.
        #[test]
        fn monotone_and_never_early(
            offset in 0..1_u64 << 50,
            drift in -500_000..500_000_i32,
            ops in proptest::collection::vec((1..10_000_000_u64, prop_oneof![
                (-500_000..500_000_i32).prop_map(Op::Bend),
                (0..1_000_000_000_u64).prop_map(Op::Jump),
            ]), 0..8),
            ahead in 0..100_000_000_u64,
        ) {
            let mut clock = Clock::new(offset, drift, 0);
            let (mut now, mut last) = (0, clock.at(0));
            for (wait, op) in ops {
                now += wait;
                prop_assert!(clock.at(now) >= last);
                last = clock.at(now);
                match op {
                    Op::Bend(ppm) => clock.bend(now, ppm),
                    Op::Jump(by) => clock.jump(now, by),
                }
                prop_assert!(clock.at(now) >= last, "a bend or jump goes forwards");
                last = clock.at(now);
                let deadline = Instant::from_micros(last.as_micros() + ahead);
                let due = clock.world_time_of(deadline, now);
                prop_assert!(clock.at(due) >= deadline, "woken early");
                prop_assert!(due == now || clock.at(due - 1) < deadline, "woken late");
            }
        }
    }
}
