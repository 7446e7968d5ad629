//! One run, judged, as people and programs read it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use simulator::plan::Plan;
use simulator::{Outcome, Verdict};

use crate::engine::{self, How, Ran};
use crate::params::Params;
use crate::processor;
use crate::scenario::{Broken, Case, Findings, Scenario, decimal};
use crate::topology::Topology;

/// Latencies of delivered messages in milliseconds.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct LatencyMs {
    /// Half of them were faster.
    pub p50: Value,
    /// 99 of 100 were faster.
    pub p99: Value,
    /// The slowest.
    pub max: Value,
}

/// What one run came to. The JSON form of `run --json`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    /// The scenario's name, or the plan's.
    pub scenario: String,
    /// The plan's seed.
    pub seed: u64,
    /// `pass`, `safety`, `liveness`, `determinism`, `resource` or `panic`.
    pub verdict: &'static str,
    /// Which checker decided; absent for a pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checker: Option<String>,
    /// Why; absent for a pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was decided, in virtual microseconds.
    pub at_us: u64,
    /// The step at which it was decided.
    pub at_step: u64,
    /// The hash over all steps.
    pub trace_hash: String,
    /// Whether a second run elsewhere gave the same steps; absent when not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
    /// Turns of nodes.
    pub steps: u64,
    /// Nodes in the plan.
    pub nodes: u32,
    /// Length of the run.
    pub virtual_seconds: Value,
    /// What it took here.
    pub wall_seconds: f64,
    /// What the run took of one core (with `--verify`: what this process ran of it), where there is a clock for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processor_seconds: Option<f64>,
    /// Messages given to nodes.
    pub sent: u64,
    /// Messages that arrived, each once.
    pub delivered: u64,
    /// Messages that arrived again.
    pub duplicates: u64,
    /// Messages whose lifetime ended.
    pub expired: u64,
    /// Delivered of sent.
    pub delivered_ratio: Value,
    /// From sending to arrival.
    pub latency_ms: LatencyMs,
    /// Bytes that nodes put on links.
    pub bytes_on_wire: u64,
    /// The same a node and second.
    pub bytes_per_node_per_second: u64,
    /// Bytes beyond delivered payload, a node and second.
    pub control_bytes_per_node_per_second: u64,
    /// The most heap any node held at once.
    pub peak_node_bytes: u64,
    /// The exact command that repeats it.
    pub replay: String,
    /// What cannot be held against the core in one run.
    pub excusable: Vec<String>,
    /// Whether some of that may happen in one run of a thousand only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rare: bool,
    /// What was not finished at the end.
    pub pending: Vec<String>,
    /// What the scenario measured.
    pub metrics: BTreeMap<String, Value>,
    /// Sentences of the scenario for people.
    #[serde(skip)]
    pub said: Vec<String>,
    /// The exit code.
    #[serde(skip)]
    pub exit_code: u8,
}

/// Where a plan came from.
#[derive(Clone, Copy)]
pub enum Origin<'a> {
    /// A scenario with choices.
    Named(&'static Scenario, &'a Params),
    /// A file. Its scenario's judge is used when the plan bears a scenario's name.
    File(&'a str),
}

impl Origin<'_> {
    fn replay(self, how: How) -> String {
        let verify = if how.verify.is_some() { " --verify" } else { "" };
        let line = match self {
            Origin::Named(scenario, params) => {
                let zoo = if params.bug.is_some() { " --features zoo" } else { "" };
                format!("cargo run --release -p scenarios{zoo} -- run {}{}", scenario.name, params.as_args())
            }
            Origin::File(path) => {
                format!("cargo run --release -p scenarios -- replay {}", crate::params::quote_path(path))
            }
        };
        line + verify
    }

    fn scenario(self, plan: &Plan) -> Option<&'static Scenario> {
        match self {
            Origin::Named(scenario, _) => Some(scenario),
            Origin::File(_) => {
                crate::scenarios::ALL.iter().copied().find(|scenario| scenario.name == plan.name)
            }
        }
    }

    fn topology(&self) -> Option<&Topology> {
        match self {
            Origin::Named(_, params) => params.topology.as_ref().map(|(_, topology)| topology),
            Origin::File(_) => None,
        }
    }
}

/// Runs a plan and judges it. A panic, of whatever is around the nodes or of the judge, is a failed run as one
/// of a node is: in a sweep the others still count.
#[must_use]
pub fn run(plan: &Plan, origin: Origin<'_>, how: How) -> Report {
    let (start, processor) = (Instant::now(), processor::Start::now());
    let ran = catching(|| engine::run(plan, how));
    let processor_seconds = processor.seconds();
    let Ran { outcome, memory, difference } = match ran {
        Ok(ran) => ran,
        Err(message) => return failed(plan, &message, origin, how),
    };
    let mut findings = Findings::default();
    if let Some(scenario) = origin.scenario(plan) {
        let case = Case { plan, outcome: &outcome, memory: &memory, topology: origin.topology() };
        if let Err(message) = catching(|| (scenario.judge)(&case, &mut findings)) {
            let reason = format!("the judge of {} panicked: {message}", scenario.name);
            findings.broken.push(Broken { verdict: Verdict::Panic, reason });
        }
    }
    // What is promised is promised of a build that people use.
    if !cfg!(debug_assertions) {
        findings.demand_processor_seconds(processor_seconds);
    }
    findings.said.extend(difference.map(|difference| difference.to_string()));
    let taken = Taken { wall_seconds: start.elapsed().as_secs_f64(), processor_seconds };
    report(&outcome, findings, origin.replay(how), taken, how)
}

/// What there is to say when no plan could be made for a seed, or not be run.
fn failed(plan: &Plan, message: &str, origin: Origin<'_>, how: How) -> Report {
    // A plan of no length is never run, so this is an outcome in which nothing happened.
    let mut outcome = simulator::run(&Plan::new(&plan.name, plan.seed, 0));
    outcome.verdict = Verdict::Panic;
    outcome.checker = "panic".to_owned();
    outcome.reason = message.to_owned();
    let mut report = report(&outcome, Findings::default(), origin.replay(how), Taken::default(), how);
    report.verified = None;
    report
}

/// Makes the plan of a scenario for these choices, runs it and judges it. Choices that were good for another seed
/// and are refused for this one are a failed run.
#[must_use]
pub fn make_and_run(scenario: &'static Scenario, params: &Params, how: How) -> Report {
    let origin = Origin::Named(scenario, params);
    let message = match catching(|| scenario.make(params)) {
        Ok(Ok(plan)) => return run(&plan, origin, how),
        Ok(Err(usage)) => format!("the plan was refused: {usage}"),
        Err(message) => format!("the plan could not be made: {message}"),
    };
    failed(&Plan::new(scenario.name, params.seed, 0), &message, origin, how)
}

/// Runs `what`; a panic in it becomes its message. Its place is printed by the usual hook.
fn catching<T>(what: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(what)).map_err(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
    })
}

/// What a run took, in seconds.
#[derive(Clone, Copy, Default)]
struct Taken {
    wall_seconds: f64,
    processor_seconds: Option<f64>,
}

fn report(outcome: &Outcome, mut findings: Findings, replay: String, taken: Taken, how: How) -> Report {
    let (mut verdict, mut checker, mut reason) =
        (outcome.verdict, outcome.checker.clone(), outcome.reason.clone());
    if let (true, Some(first)) = (outcome.passed(), findings.broken.first()) {
        (verdict, checker, reason) = (first.verdict, "promise".to_owned(), first.reason.clone());
    }
    let passed = verdict == Verdict::Pass;
    let mut metrics: BTreeMap<String, Value> =
        outcome.metrics.iter().map(|(name, value)| (name.clone(), Value::from(*value))).collect();
    metrics.extend(findings.metrics.into_iter().map(|(name, value)| (name.to_owned(), value)));
    let rare = !findings.excusable.is_empty();
    let counted = outcome.excusable.iter().filter(|(_, count)| **count > 0);
    findings.excusable.extend(counted.map(|(why, count)| format!("{why}: {count}")));
    let ms = |us: u64| decimal(us.saturating_mul(1_000));
    Report {
        scenario: outcome.scenario.clone(),
        seed: outcome.seed,
        verdict: verdict.word(),
        checker: (!passed).then_some(checker),
        reason: (!passed).then_some(reason),
        at_us: outcome.at_us,
        at_step: outcome.step,
        trace_hash: outcome.trace_hash.clone(),
        verified: how.verify.is_some().then_some(outcome.verdict != Verdict::Determinism),
        steps: outcome.steps,
        nodes: outcome.nodes,
        virtual_seconds: decimal(outcome.virtual_us),
        wall_seconds: taken.wall_seconds,
        processor_seconds: taken.processor_seconds,
        sent: outcome.sent,
        delivered: outcome.delivered,
        duplicates: outcome.duplicates,
        expired: outcome.expired,
        delivered_ratio: decimal(outcome.delivered_ppm()),
        latency_ms: LatencyMs {
            p50: ms(outcome.latency.quantile(500)),
            p99: ms(outcome.latency.quantile(990)),
            max: ms(outcome.latency.max()),
        },
        bytes_on_wire: outcome.bytes_on_wire,
        bytes_per_node_per_second: outcome.bytes_per_node_per_second(),
        control_bytes_per_node_per_second: outcome.control_bytes_per_node_per_second(),
        peak_node_bytes: outcome.peak_node_bytes,
        replay,
        excusable: findings.excusable,
        rare,
        pending: outcome.pending.clone(),
        metrics,
        said: findings.said,
        exit_code: verdict.exit_code(),
    }
}

impl Report {
    /// Whether everything held.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.exit_code == 0
    }

    /// The verdict in one sentence, with checker, virtual time and step.
    #[must_use]
    pub fn sentence(&self) -> String {
        let (seconds, micros) = (self.at_us / 1_000_000, self.at_us % 1_000_000);
        match (&self.checker, &self.reason) {
            (Some(checker), Some(reason)) => format!(
                "{} ({checker}) at {seconds}.{micros:06} s, step {}: {reason}",
                self.verdict, self.at_step
            ),
            (_, _) => format!(
                "pass: {} of {} messages delivered once{}; {} s of virtual time, {} steps{}, {:.2} s here",
                self.delivered,
                self.sent,
                self.may_be_lost(),
                self.virtual_seconds,
                self.steps,
                if self.verified == Some(true) { ", the same in a second process" } else { "" },
                self.wall_seconds
            ),
        }
    }

    /// What a run that passed says of the messages that did not arrive.
    fn may_be_lost(&self) -> String {
        match self.sent.saturating_sub(self.delivered) {
            0 => String::new(),
            lost => format!(" ({lost} were not, and need not be)"),
        }
    }

    /// One line of a sweep.
    #[must_use]
    pub fn line(&self) -> Line {
        Line {
            scenario: self.scenario.clone(),
            seed: self.seed,
            verdict: self.verdict.to_owned(),
            checker: self.checker.clone(),
            reason: self.reason.clone(),
            trace_hash: self.trace_hash.clone(),
            wall_seconds: self.wall_seconds,
            excusable: self.excusable.clone(),
            rare: self.rare,
            replay: self.replay.clone(),
        }
    }
}

/// One run of a sweep, as a line of `--json-lines` holds it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The verdict's word.
    pub verdict: String,
    /// Which checker decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checker: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The hash over all steps.
    pub trace_hash: String,
    /// What it took.
    pub wall_seconds: f64,
    /// What cannot be held against the core in one run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excusable: Vec<String>,
    /// Whether some of that may happen in one run of a thousand only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rare: bool,
    /// The command that repeats it.
    pub replay: String,
}
