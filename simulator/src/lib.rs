//! The seeded world: time, links, disks, clocks, faults, checkers and trace around real nodes.
//!
//! [`plan::Plan`] says everything that will happen, [`run`] lets it happen, [`outcome::Outcome`] says what
//! came of it. The same plan is to give the same run on any machine: nothing here reads a clock, an
//! environment or a generator, and every chance is a keyed [`draw`](draw::draw).
//!
//! | module | does |
//! |---|---|
//! | [`plan`] | what happens in a run, and its text form |
//! | [`draw`], [`fixed`] | chance as a function of four numbers; logarithms in integers |
//! | [`clock`], [`agenda`], [`pool`] | a node's time; what happens next; packets under way |
//! | [`net`], [`disk`] | links and disks with everything that goes wrong with them |
//! | [`app`] | what the applications send |
//! | `world` | the loop |
//! | [`check`] | the watchmen |
//! | [`signatures`] | what has verified already |
//! | [`trace`], [`mod@verify`] | the record of a run, and its comparison with another |
//! | [`subject`], [`node`], [`toy`] | what is simulated: the real node, or a small one to test the simulator with |
#![forbid(unsafe_code)]

pub mod agenda;
pub mod app;
pub mod bench;
pub mod check;
pub mod clock;
pub mod disk;
pub mod draw;
pub mod fixed;
pub mod histogram;
pub mod net;
pub mod node;
pub mod outcome;
pub mod plan;
pub mod pool;
mod run;
pub mod signatures;
pub mod subject;
pub mod toy;
pub mod trace;
pub mod verify;
mod world;

pub use outcome::{NodeReport, Outcome, Verdict};
pub use plan::Plan;
pub use run::{Finished, run_subject};
pub use verify::Difference;
pub use world::{Meter, Options, Sink};

/// What [`run`] simulates.
pub type Real = proto_core::node::Node;

/// Runs a plan.
#[must_use]
pub fn run(plan: &Plan) -> Outcome {
    run_with(plan, Options::default()).outcome
}

/// Runs a plan and watches it.
#[must_use]
pub fn run_with(plan: &Plan, options: Options) -> Finished {
    run_subject::<Real>(plan, options)
}

/// Runs a plan twice and compares; see [`verify`](mod@verify).
#[must_use]
pub fn verify(plan: &Plan) -> (Outcome, Option<Difference>) {
    verify::verify_subject::<Real>(plan)
}
