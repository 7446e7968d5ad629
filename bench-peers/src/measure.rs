//! Fair measurement: everything in turn, for a short while each, many times over; then the middle value.
//! What slows the machine for a while slows all of them alike.

use std::time::{Duration, Instant};

/// Something to be measured: does some of it and says how much, and how long that took.
pub(crate) struct Subject {
    /// What it is called in the table.
    pub(crate) name: &'static str,
    batch: Box<dyn FnMut() -> (u64, Duration)>,
}

impl Subject {
    /// `batch` does some work, and says how many operations it was and what they took without preparation.
    pub(crate) fn new(name: &'static str, batch: impl FnMut() -> (u64, Duration) + 'static) -> Subject {
        Subject { name, batch: Box::new(batch) }
    }

    /// As [`Subject::new`] for work that needs no preparation.
    pub(crate) fn simple(name: &'static str, mut batch: impl FnMut() -> u64 + 'static) -> Subject {
        Subject::new(name, move || {
            let begun = Instant::now();
            let done = batch();
            (done, begun.elapsed())
        })
    }

    /// Operations a second, measured over at least `time`.
    pub(crate) fn rate(&mut self, time: Duration) -> f64 {
        let (mut done, mut taken) = (0, Duration::ZERO);
        while taken < time {
            let (more, longer) = (self.batch)();
            done += more;
            taken += longer;
        }
        done as f64 / taken.as_secs_f64()
    }
}

/// The middle of some values; 0 of none.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
