//! How a rate is measured: several short rounds of both sides in turn, the median of each.
//!
//! A machine slows down and speeds up while one measures it. When the thing and its limit take turns,
//! both meet the same weather, and their ratio holds still when neither of them does.

use std::time::Instant;

/// Rounds of each side; odd, so that there is a median.
const ROUNDS: usize = 5;

/// Units a second of one call, which returns how many units it did.
pub(crate) fn rate(work: &mut impl FnMut() -> u64) -> f64 {
    let start = Instant::now();
    let units = work();
    let seconds = start.elapsed().as_secs_f64();
    if seconds > 0.0 { units as f64 / seconds } else { 0.0 }
}

/// The medians of both sides' rates, measured in turn. One round of each warms up first.
pub(crate) fn side_by_side(mut value: impl FnMut() -> u64, reference: impl FnMut() -> u64) -> (f64, f64) {
    prepared(|| (), |()| value(), reference)
}

/// As [`side_by_side`], with something to get ready before each round that is not measured.
pub(crate) fn prepared<T>(
    mut prepare: impl FnMut() -> T,
    mut value: impl FnMut(T) -> u64,
    mut reference: impl FnMut() -> u64,
) -> (f64, f64) {
    let mut round = || {
        // `rate` wants something that can be called again; each thing prepared is used once.
        let mut ready = Some(prepare());
        rate(&mut || ready.take().map_or(0, &mut value))
    };
    round();
    rate(&mut reference);
    let (mut values, mut references) = ([0.0; ROUNDS], [0.0; ROUNDS]);
    for at in 0..ROUNDS {
        values[at] = round();
        references[at] = rate(&mut reference);
    }
    (median(values), median(references))
}

fn median(mut of: [f64; ROUNDS]) -> f64 {
    of.sort_by(f64::total_cmp);
    of[ROUNDS / 2]
}

#[cfg(test)]
mod tests {
    #[test]
    fn one_slow_round_does_not_decide() {
        assert_eq!(super::median([5.0, 1.0, 4.0, 1_000.0, 3.0]), 4.0);
    }
}
