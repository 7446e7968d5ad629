//! How a rate is measured: many short rounds of both sides in turn, and the middle of their ratios.
//!
//! A machine slows down and speeds up while one measures it. When the thing and its limit take turns,
//! both meet the same weather, and the ratio of one round holds still when neither of them does. The
//! middle one of many such ratios is not moved by a round in which somebody else wanted the processor.
//!
//! Time is what this thread had of a processor, where there is such a clock (POSIX): a figure is of one core,
//! and not of what others left of it. Elsewhere it is the clock on the wall. The clock has to be asked: what
//! Linux writes into `schedstat` moves only with the tick of the scheduler, 4 ms, which is half a round.

use std::time::Instant;

use crate::processor;

/// Rounds of each side; odd, so that there is a middle one.
const ROUNDS: usize = 21;

/// What came out for one figure.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Measured {
    /// The figure itself: the middle one of all rounds.
    pub(crate) value: f64,
    /// What it stands beside: the middle one of all rounds.
    pub(crate) reference: f64,
    /// The middle one of the ratios of each round.
    pub(crate) ratio: f64,
}

impl Measured {
    /// A figure that was not measured in rounds.
    pub(crate) fn once(value: f64, reference: f64) -> Measured {
        let ratio = if reference > 0.0 { value / reference } else { 0.0 };
        Measured { value, reference, ratio }
    }
}

/// A moment to measure from.
pub(crate) struct Start {
    ran: processor::Start,
    wall: Instant,
}

impl Start {
    pub(crate) fn now() -> Start {
        Start { ran: processor::Start::now(), wall: Instant::now() }
    }

    /// Seconds since then.
    pub(crate) fn seconds(&self) -> f64 {
        self.ran.seconds().unwrap_or_else(|| self.wall.elapsed().as_secs_f64())
    }
}

/// Units a second of one call, which returns how many units it did.
pub(crate) fn rate(work: &mut impl FnMut() -> u64) -> f64 {
    let start = Start::now();
    let units = work();
    let seconds = start.seconds();
    if seconds > 0.0 { units as f64 / seconds } else { 0.0 }
}

/// Both sides' rates, measured in turn. One round of each warms up first.
pub(crate) fn side_by_side(mut value: impl FnMut() -> u64, reference: impl FnMut() -> u64) -> Measured {
    prepared(|| (), |()| value(), reference)
}

/// As [`side_by_side`], with something to get ready before each round that is not measured.
pub(crate) fn prepared<T>(
    mut prepare: impl FnMut() -> T,
    mut value: impl FnMut(T) -> u64,
    reference: impl FnMut() -> u64,
) -> Measured {
    let round = || {
        let ready = prepare();
        let start = Start::now();
        let units = value(ready);
        (units, start.seconds())
    };
    timed(round, reference)
}

/// As [`side_by_side`], where the one side measures itself: units, and seconds for them.
pub(crate) fn timed(mut value: impl FnMut() -> (u64, f64), mut reference: impl FnMut() -> u64) -> Measured {
    let mut round = || match value() {
        (units, seconds) if seconds > 0.0 => units as f64 / seconds,
        _ => 0.0,
    };
    round();
    rate(&mut reference);
    let (mut values, mut references, mut ratios) = ([0.0; ROUNDS], [0.0; ROUNDS], [0.0; ROUNDS]);
    for at in 0..ROUNDS {
        values[at] = round();
        references[at] = rate(&mut reference);
        ratios[at] = if references[at] > 0.0 { values[at] / references[at] } else { 0.0 };
    }
    Measured { value: middle(values), reference: middle(references), ratio: middle(ratios) }
}

fn middle(mut of: [f64; ROUNDS]) -> f64 {
    of.sort_by(f64::total_cmp);
    of[ROUNDS / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that moves with the tick of the scheduler shows nothing for most of these.
    #[test]
    fn the_clock_sees_a_hundred_thousand_additions() {
        for _ in 0..20 {
            let start = Start::now();
            let sum = (0..100_000_u64).fold(0, |sum, number| sum ^ std::hint::black_box(number));
            std::hint::black_box(sum);
            assert!(start.seconds() > 0.0);
        }
    }

    #[test]
    fn slow_rounds_do_not_decide() {
        let mut of = [4.0; ROUNDS];
        of[..ROUNDS / 2].fill(1_000.0);
        assert_eq!(middle(of), 4.0);
        of[..ROUNDS / 2].fill(0.1);
        assert_eq!(middle(of), 4.0);
    }
}
