//! The one place where the simulator is called.

use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use simulator::plan::Plan;
use simulator::trace::StepRecord;
use simulator::verify::{self, Difference};
use simulator::{Options, Outcome, Real};

use crate::memory::{self, Metered, NodeMemory};
use crate::witness;

/// How to run a plan, beyond the plan itself. Nothing here changes what happens in the run.
#[derive(Clone, Copy, Debug, Default)]
pub struct How {
    /// Run it a second time, and compare step by step.
    pub verify: Option<Elsewhere>,
}

/// Where a second run takes place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Elsewhere {
    /// In another thread of this process.
    Thread,
    /// In another thread of another process, with other environment variables. Only the `thallus-sim`
    /// program can start itself again.
    Process,
}

/// A run with everything that was measured around it.
#[derive(Debug)]
pub struct Ran {
    /// What it came to.
    pub outcome: Outcome,
    /// What each node held.
    pub memory: Vec<NodeMemory>,
    /// Where a second run parted from it.
    pub difference: Option<Difference>,
}

/// Runs a plan.
#[must_use]
pub fn run(plan: &Plan, how: How) -> Ran {
    memory::take();
    let (mut outcome, difference) = match how.verify {
        None => (simulator::run_subject::<Metered<Real>>(plan, options()).outcome, None),
        Some(Elsewhere::Thread) => verify::verify_subject::<Metered<Real>>(plan),
        Some(Elsewhere::Process) => {
            let mut asked = witness::Asked::new(plan);
            verify::verify_with::<Metered<Real>>(plan, |window| asked.run(window))
        }
    };
    let memory = memory::take();
    outcome.peak_node_bytes = memory.iter().map(|node| node.peak_bytes).max().unwrap_or(0);
    Ran { outcome, memory, difference }
}

fn options() -> Options {
    Options { check_nodes: cfg!(debug_assertions), ..Options::default() }
}

/// Runs a plan again and writes the steps of `window`, one line each.
///
/// # Errors
/// The first write that failed.
pub fn trace(plan: &Plan, window: Range<u64>, out: impl Write + 'static) -> io::Result<()> {
    let state = Arc::new(Mutex::new((BufWriter::new(out), Ok(()))));
    let sink = {
        let state = Arc::clone(&state);
        move |step: &StepRecord| {
            let (out, result) = &mut *state.lock().unwrap_or_else(PoisonError::into_inner);
            if result.is_ok() {
                *result = writeln!(out, "{step}");
            }
        }
    };
    let options = Options { window, sink: Some(Box::new(sink)), ..Options::default() };
    // What is left in the window when the run ends has not been through the sink.
    let finished = simulator::run_subject::<Metered<Real>>(plan, options);
    memory::take();
    let (out, result) = &mut *state.lock().unwrap_or_else(PoisonError::into_inner);
    for step in &finished.steps {
        writeln!(out, "{step}")?;
    }
    std::mem::replace(result, Ok(()))?;
    out.flush()
}
