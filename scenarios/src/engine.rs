//! The one place where the simulator is called.

use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use simulator::plan::Plan;
use simulator::subject::Subject;
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

/// Runs a plan. Every run is held to the memory that the limits of its nodes allow.
#[must_use]
pub fn run(plan: &Plan, how: How) -> Ran {
    run_subject::<Real>(plan, how)
}

fn run_subject<S: Subject>(plan: &Plan, how: How) -> Ran {
    memory::take();
    let (mut outcome, difference) = match how.verify {
        None => (simulator::run_subject::<Metered<S>>(plan, options()).outcome, None),
        Some(Elsewhere::Thread) => verify::verify_subject::<Metered<S>>(plan),
        Some(Elsewhere::Process) => {
            let mut asked = witness::Asked::new(plan);
            verify::verify_with::<Metered<S>>(plan, |window| asked.run(window))
        }
    };
    let memory = memory::take();
    outcome.peak_node_bytes = memory.iter().map(|node| node.peak_bytes).max().unwrap_or(0);
    memory::hold_to_limits(plan, &memory, &mut outcome);
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

#[cfg(test)]
mod tests {
    use simulator::Verdict;
    use simulator::plan::{FlowPlan, LinkKind, LinkPlan, NodePlan, Profile};
    use simulator::toy::Toy;

    use super::*;

    /// The toy knows no limits: it takes a message that is larger than all of a microcontroller.
    #[test]
    fn a_node_that_holds_more_than_its_limits_can_cost_fails_the_run() {
        let mut plan = Plan::new("hoarder", 1, 20_000_000);
        plan.add_node(NodePlan { profile: Profile::Tiny, ..NodePlan::default() });
        plan.add_node(NodePlan::default());
        plan.add_link(LinkPlan::new(LinkKind::Ethernet, &[1, 0]));
        plan.add_peer(1, 0);
        plan.flows.push(FlowPlan { start_us: 1_000_000, ..FlowPlan::new(0, 1, 1, 1_000) });
        let bound = plan.limits(0).worst_case_bytes();
        let passes = run_subject::<Toy>(&plan, How::default()).outcome;
        assert_eq!(passes.verdict, Verdict::Pass, "{}", passes.sentence());
        plan.flows[0].size = (2_000_000, 2_000_000);
        for verify in [None, Some(Elsewhere::Thread)] {
            let ran = run_subject::<Toy>(&plan, How { verify });
            let held = ran.memory[0].peak_bytes;
            assert!((2_000_000..3_000_000).contains(&held), "{held}");
            let outcome = ran.outcome;
            assert_eq!((outcome.verdict, outcome.checker.as_str()), (Verdict::Resource, "memory"));
            let reason = format!("node 0 held {held} bytes; worst_case_bytes of its limits is {bound}");
            assert_eq!(outcome.reason, reason);
        }
    }
}
