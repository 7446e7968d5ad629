//! Round-trip time (RFC 9002, section 5).

use crate::time::{Duration, Instant};

/// Timers are no finer than this (RFC 9002, section 6.1.2).
pub(super) const GRANULARITY: Duration = Duration::from_millis(1);

/// One `n`th of a span. A plain division: these run for every packet.
pub(super) const fn part(span: Duration, n: u64) -> Duration {
    Duration::from_micros(span.as_micros() / n)
}

/// `n` times a span, saturating.
pub(super) const fn times(span: Duration, n: u64) -> Duration {
    Duration::from_micros(span.as_micros().saturating_mul(n))
}

/// The smallest value of the last window: of the running half window and of the one before it, so a
/// minimum is kept for half to one window.
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowedMin {
    current: Duration,
    previous: Duration,
    since: Instant,
}

impl WindowedMin {
    pub(super) const fn new() -> WindowedMin {
        WindowedMin { current: Duration::MAX, previous: Duration::MAX, since: Instant::ZERO }
    }

    pub(super) fn update(&mut self, now: Instant, value: Duration, window: Duration) {
        let age = now.since(self.since);
        if self.current == Duration::MAX || age >= part(window, 2) {
            self.previous = if age >= window { Duration::MAX } else { self.current };
            self.current = value;
            self.since = now;
        } else {
            self.current = self.current.min(value);
        }
    }

    /// `None` before the first value.
    pub(super) fn get(&self) -> Option<Duration> {
        let least = self.current.min(self.previous);
        if least == Duration::MAX { None } else { Some(least) }
    }
}

/// How long an acknowledgement may be held back: a quarter round trip, from 1 ms (timers are no
/// finer) to 25 ms (RFC 9000's default), or a sixteenth round trip where that is longer (a radio).
pub(super) fn max_ack_delay(srtt: Duration) -> Duration {
    let most = Duration::from_millis(25).max(part(srtt, 16));
    part(srtt, 4).min(most).max(Duration::from_millis(1))
}

/// Smoothed round-trip time and its variation.
#[derive(Clone, Debug)]
pub(super) struct Rtt {
    smoothed: Duration,
    var: Duration,
    latest: Duration,
    /// How long the peer holds acknowledgements back: the longest lately, fading.
    held: Duration,
    min: WindowedMin,
}

impl Rtt {
    /// Before the first sample `initial` is assumed, with half of it as variation.
    pub(super) fn new(initial: Duration) -> Rtt {
        let initial = initial.max(GRANULARITY);
        Rtt {
            smoothed: initial,
            var: part(initial, 2),
            latest: initial,
            held: Duration::ZERO,
            min: WindowedMin::new(),
        }
    }

    /// Takes a sample and returns it without the time the peer held the acknowledgement back.
    pub(super) fn update(&mut self, now: Instant, sample: Duration, ack_delay: Duration) -> Duration {
        let first = self.min.get().is_none();
        // Ten seconds as in BBR; longer where that is only a few round trips.
        let window = Duration::from_secs(10).max(times(self.smoothed, 16));
        self.min.update(now, sample, window);
        self.latest = sample;
        self.held = self.held.saturating_sub(part(self.held, 16)).max(ack_delay.min(sample));
        let least = self.min();
        // Never below the minimum, whatever the peer says (section 5.3).
        let adjusted = sample.saturating_sub(ack_delay).max(least);
        if first {
            self.smoothed = adjusted;
            self.var = part(adjusted, 2);
        } else {
            let off = adjusted.saturating_sub(self.smoothed) + self.smoothed.saturating_sub(adjusted);
            self.var = part(times(self.var, 3) + off, 4);
            self.smoothed = part(times(self.smoothed, 7) + adjusted, 8);
        }
        adjusted
    }

    pub(super) fn smoothed(&self) -> Duration {
        self.smoothed
    }

    pub(super) fn has_sample(&self) -> bool {
        self.min.get().is_some()
    }

    /// The smallest of about ten seconds, or what is assumed.
    pub(super) fn min(&self) -> Duration {
        self.min.get().unwrap_or(self.smoothed)
    }

    /// After this time a packet overtaken by an acknowledged one is lost (RFC 9002, section 6.1.2).
    pub(super) fn loss_delay(&self) -> Duration {
        part(times(self.smoothed.max(self.latest), 9), 8).max(GRANULARITY)
    }

    /// After this time an acknowledgement has to have come (RFC 9002, section 6.2.1).
    pub(super) fn patience(&self) -> Duration {
        let held = max_ack_delay(self.smoothed).max(self.held);
        self.smoothed + times(self.var, 4).max(GRANULARITY) + held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn follows_rfc_9002_section_5_3() {
        let mut rtt = Rtt::new(ms(333));
        assert_eq!(rtt.update(Instant::ZERO, ms(80), Duration::ZERO), ms(80));
        assert_eq!((rtt.smoothed(), rtt.var), (ms(80), ms(40)));
        // 100 ms of which the peer held back 12: 88. var = 3/4 * 40 + 1/4 * 8, smoothed = 7/8 * 80 + 11.
        assert_eq!(rtt.update(Instant::ZERO, ms(100), ms(12)), ms(88));
        assert_eq!((rtt.smoothed(), rtt.var), (ms(81), ms(32)));
        assert_eq!(rtt.min(), ms(80));
        // A delay that would push the sample below the minimum is not believed beyond it.
        assert_eq!(rtt.update(Instant::ZERO, ms(85), ms(50)), ms(80));
    }

    #[test]
    fn the_minimum_is_forgotten_after_a_window() {
        let mut least = WindowedMin::new();
        least.update(Instant::from_micros(0), ms(10), ms(1_000));
        least.update(Instant::from_micros(400_000), ms(20), ms(1_000));
        assert_eq!(least.get(), Some(ms(10)));
        least.update(Instant::from_micros(600_000), ms(30), ms(1_000));
        assert_eq!(least.get(), Some(ms(10)), "still in the half window before");
        least.update(Instant::from_micros(1_200_000), ms(40), ms(1_000));
        assert_eq!(least.get(), Some(ms(30)));
        least.update(Instant::from_micros(9_000_000), ms(50), ms(1_000));
        assert_eq!(least.get(), Some(ms(50)));
    }
}
