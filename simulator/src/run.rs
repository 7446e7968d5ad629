//! One plan in, one outcome out.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::outcome::{GossipReport, Outcome, Verdict};
use crate::plan::Plan;
use crate::subject::Subject;
use crate::trace::StepRecord;
use crate::world::{Options, World};

/// What [`run_subject`] gives back: the outcome, and the steps that [`Options::window`] asked for.
#[derive(Debug)]
pub struct Finished {
    /// What the run came to.
    pub outcome: Outcome,
    /// The steps of the window, in words, unless a sink took them.
    pub steps: Vec<StepRecord>,
}

/// Runs a plan with any kind of node. A plan that cannot be run gives a safety verdict of the checker
/// `plan`; use [`Plan::check`] first to tell its author where the mistake is.
pub fn run_subject<S: Subject>(plan: &Plan, options: Options) -> Finished {
    let mut world = match World::<S>::new(plan, options) {
        Ok(world) => world,
        Err(reason) => return Finished { outcome: unusable(plan, reason), steps: Vec::new() },
    };
    if let Err(message) = catching(|| world.run()) {
        world.panicked(message);
    }
    let steps = world.take_steps();
    Finished { outcome: world.outcome(), steps }
}

fn unusable(plan: &Plan, reason: String) -> Outcome {
    Outcome {
        scenario: plan.name.clone(),
        seed: plan.seed,
        verdict: Verdict::Safety,
        checker: "plan".to_owned(),
        reason,
        at_us: 0,
        step: 0,
        trace_hash: String::new(),
        checkpoints: Vec::new(),
        steps: 0,
        events: 0,
        nodes: plan.node_count(),
        virtual_us: 0,
        calm_at_us: None,
        sent: 0,
        delivered: 0,
        duplicates: 0,
        expired: 0,
        latency: crate::histogram::Histogram::default(),
        bytes_on_wire: 0,
        control_bytes: 0,
        peak_node_bytes: 0,
        excusable: std::collections::BTreeMap::new(),
        pending: Vec::new(),
        metrics: std::collections::BTreeMap::new(),
        node_reports: Vec::new(),
        link_reports: Vec::new(),
        flow_reports: Vec::new(),
        routes: crate::outcome::RouteReport::default(),
        gossip: GossipReport::default(),
        session_up_us: Vec::new(),
        notes: Vec::new(),
    }
}

/// Runs `what`; a panic in it becomes its message. Its place is printed by the usual hook.
fn catching(what: impl FnOnce()) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(what)).map_err(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
    })
}
