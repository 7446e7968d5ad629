//! Determinism is checked, not hoped for.
//!
//! A run is repeated elsewhere, and every checkpoint is compared. When one differs, the thousand steps
//! before it are run again with words, and the first step that differs is shown with both sides.
//! Elsewhere is another thread, with another name, another stack and so other addresses
//! ([`verify_subject`]), or whatever the caller has to offer ([`verify_with`]): the `thallus-sim`
//! command asks a process that was started with other environment variables.

use std::ops::Range;

use crate::outcome::{Outcome, Verdict};
use crate::plan::Plan;
use crate::run::{Finished, run_subject};
use crate::subject::Subject;
use crate::trace::{CHECKPOINT, StepRecord, first_difference};
use crate::world::Options;

/// Where two runs of one plan part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// The step of the first run; `None` when it was over.
    pub first: Option<StepRecord>,
    /// The step of the second run.
    pub second: Option<StepRecord>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let side = |step: &Option<StepRecord>| step.as_ref().map_or("(over)".to_owned(), ToString::to_string);
        write!(f, "first  run: {}\nsecond run: {}", side(&self.first), side(&self.second))
    }
}

/// What a second run is compared by.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Trail {
    /// The hash over all steps.
    pub trace_hash: String,
    /// How many there were.
    pub steps: u64,
    /// Step and digest, every thousand steps.
    pub checkpoints: Vec<(u64, u64)>,
    /// The steps that were asked for, in words.
    pub window: Vec<StepRecord>,
}

impl From<Finished> for Trail {
    fn from(Finished { outcome, steps }: Finished) -> Trail {
        Trail {
            trace_hash: outcome.trace_hash,
            steps: outcome.steps,
            checkpoints: outcome.checkpoints,
            window: steps,
        }
    }
}

/// The steps among which two runs part; `None` when they do not.
fn differing_window(a: &Outcome, b: &Trail) -> Option<Range<u64>> {
    if a.trace_hash == b.trace_hash && a.steps == b.steps {
        return None;
    }
    let same = a.checkpoints.iter().zip(&b.checkpoints).take_while(|(a, b)| a == b).count() as u64;
    Some(same * CHECKPOINT + 1..(same + 1) * CHECKPOINT + 1)
}

/// Runs a plan twice, the second time in another thread. The outcome of the first run, with the
/// verdict [`Verdict::Determinism`] and the place when the second differs.
pub fn verify_subject<S: Subject>(plan: &Plan) -> (Outcome, Option<Difference>) {
    verify_with::<S>(plan, |window| elsewhere::<S>(plan, window).into())
}

/// As [`verify_subject`], the second time by `second`, which is asked for the steps of a window (an
/// empty one at first).
pub fn verify_with<S: Subject>(
    plan: &Plan,
    mut second: impl FnMut(Range<u64>) -> Trail,
) -> (Outcome, Option<Difference>) {
    let mut outcome = run_subject::<S>(plan, Options::default()).outcome;
    let Some(window) = differing_window(&outcome, &second(0..0)) else { return (outcome, None) };
    let options = Options { window: window.clone(), ..Options::default() };
    let (left, right) = (run_subject::<S>(plan, options).steps, second(window.clone()).window);
    let (first, second) = first_difference(&left, &right).unwrap_or_default();
    outcome.verdict = Verdict::Determinism;
    outcome.checker = "verify".to_owned();
    let differs = first.as_ref().or(second.as_ref());
    outcome.step = differs.map_or(window.start, |step| step.step);
    outcome.at_us = differs.map_or(0, |step| step.at_us);
    outcome.reason = format!("two runs of this plan part at step {}", outcome.step);
    (outcome, Some(Difference { first, second }))
}

/// Runs a plan in another thread.
pub fn elsewhere<S: Subject>(plan: &Plan, window: Range<u64>) -> Finished {
    let run = || run_subject::<S>(plan, Options { window, ..Options::default() });
    std::thread::scope(|scope| {
        let builder =
            std::thread::Builder::new().name("second run of a plan".to_owned()).stack_size(16 << 20);
        match builder.spawn_scoped(scope, run) {
            Ok(handle) => handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            // Without a second thread there is nothing to compare with: say so loudly.
            Err(error) => panic!("no thread for the second run: {error}"),
        }
    })
}
