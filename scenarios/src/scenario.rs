//! What a named scenario is: a story, a plan made of a few choices, and a judge of its promises.

use std::collections::BTreeMap;

use serde_json::{Number, Value};
use simulator::plan::Plan;
use simulator::{Outcome, Verdict};

use crate::fail::Usage;
use crate::memory::NodeMemory;
use crate::params::{Key, Params};
use crate::topology::Topology;

/// A named scenario.
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it shows, in one line.
    pub shows: &'static str,
    /// What `--set` knows.
    pub keys: &'static [Key],
    /// Whether `--nodes` means something to it.
    pub takes_nodes: bool,
    /// Whether `--duration` means something to it.
    pub takes_duration: bool,
    /// Whether `--topology` means something to it.
    pub takes_topology: bool,
    /// The plan for these choices.
    pub plan: fn(&Params) -> Result<Plan, Usage>,
    /// Measures, and holds the outcome to the promises that the simulator's checkers do not know.
    pub judge: fn(&Case<'_>, &mut Findings),
    /// Smaller choices, for tests that must be over in seconds.
    pub quick: fn(Params) -> Params,
}

/// What a judge looks at.
pub struct Case<'a> {
    /// What was to happen.
    pub plan: &'a Plan,
    /// What happened.
    pub outcome: &'a Outcome,
    /// What each node held.
    pub memory: &'a [NodeMemory],
    /// The real network it was made of, when it is at hand.
    pub topology: Option<&'a Topology>,
}

/// A promise that was not kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// Which kind of failure that is.
    pub verdict: Verdict,
    /// What was promised and what was seen.
    pub reason: String,
}

/// What a judge has to say.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Findings {
    /// What was measured.
    pub metrics: BTreeMap<&'static str, Value>,
    /// Promises not kept, the first one first.
    pub broken: Vec<Broken>,
    /// What cannot be held against the core in one run, with the reason; a sweep bounds how often.
    pub excusable: Vec<String>,
    /// Sentences for people.
    pub said: Vec<String>,
    /// How many seconds of one core the run may take.
    pub processor_limit_s: Option<u64>,
}

impl Findings {
    /// Notes a count, a size or a time (the unit stands last in the name).
    pub fn count(&mut self, name: &'static str, value: u64) {
        self.metrics.insert(name, Value::from(value));
    }

    /// Notes a share, given in millionths, as a decimal.
    pub fn share(&mut self, name: &'static str, ppm: u64) {
        self.metrics.insert(name, decimal(ppm));
    }

    /// Notes anything else.
    pub fn note(&mut self, name: &'static str, value: impl Into<Value>) {
        self.metrics.insert(name, value.into());
    }

    /// Holds the run to a length: at most this many seconds of one core, in a build without debug assertions.
    /// A judge asks for it when the run has the full length for which it is promised.
    pub fn allow_processor_seconds(&mut self, limit_s: u64) {
        self.processor_limit_s = Some(limit_s);
    }

    /// Compares what the run took with what it may take. That is no part of the trace: it differs from machine
    /// to machine and from run to run.
    pub(crate) fn demand_processor_seconds(&mut self, taken_s: Option<f64>) {
        if let (Some(limit_s), Some(taken_s)) = (self.processor_limit_s, taken_s) {
            self.demand(taken_s <= limit_s as f64, Verdict::Resource, || {
                format!("the run took {taken_s:.1} s of one core; at most {limit_s} s are promised")
            });
        }
    }

    /// Holds the run to a promise.
    pub fn demand(&mut self, kept: bool, verdict: Verdict, reason: impl FnOnce() -> String) {
        if !kept {
            self.broken.push(Broken { verdict, reason: reason() });
        }
    }

    /// The nodes took every message of the plan.
    pub fn demand_all_taken(&mut self, case: &Case<'_>) {
        self.demand_taken(case.outcome, case.plan.flows.iter().map(|flow| flow.count).sum());
    }

    /// The nodes took as many messages as the applications had: what nobody took is neither lost nor late.
    pub fn demand_taken(&mut self, outcome: &Outcome, expected: u64) {
        self.demand(outcome.sent == expected, Verdict::Liveness, || {
            format!("the nodes took {} of {expected} messages", outcome.sent)
        });
    }

    /// Every message that was sent arrived, and arrived once.
    pub fn demand_all_once(&mut self, outcome: &Outcome) {
        self.demand(outcome.duplicates == 0, Verdict::Safety, || {
            format!("{} messages were delivered more than once", outcome.duplicates)
        });
        self.demand(outcome.delivered == outcome.sent, Verdict::Liveness, || {
            format!("{} of {} messages were delivered; all were promised", outcome.delivered, outcome.sent)
        });
    }
}

/// Millionths as a decimal number with six places.
#[must_use]
pub fn decimal(ppm: u64) -> Value {
    let text = format!("{}.{:06}", ppm / 1_000_000, ppm % 1_000_000);
    text.parse::<f64>().ok().and_then(Number::from_f64).map_or(Value::Null, Value::Number)
}

impl Scenario {
    /// Checks the choices against what this scenario knows, and makes the plan.
    ///
    /// # Errors
    /// Names the first choice it cannot use, and what it knows instead.
    pub fn make(&self, params: &Params) -> Result<Plan, Usage> {
        for given in params.set.keys() {
            if !self.keys.iter().any(|key| key.name == given) {
                return Err(self.unknown_key(given));
            }
        }
        let unused = [
            (params.nodes.is_some() && !self.takes_nodes, "--nodes"),
            (params.duration_us.is_some() && !self.takes_duration, "--duration"),
            (params.topology.is_some() && !self.takes_topology, "--topology"),
        ];
        if let Some((_, option)) = unused.iter().find(|(unused, _)| *unused) {
            return Err(Usage::new(
                format!("scenario {} has no use for it", self.name),
                *option,
                "leave it out; `thallus-sim list --json` shows what each scenario takes",
            ));
        }
        let mut plan = (self.plan)(params)?;
        if let Some(bug) = &params.bug {
            for node in &mut plan.nodes {
                node.bug = Some(bug.clone());
            }
        }
        plan.check().map_err(|(place, message)| match &params.topology {
            // The length is not the file's.
            Some((path, _)) if place.to_string() != "duration" => {
                Usage::new(message, path, "correct the file")
            }
            _ => Usage::new(
                message,
                format!("plan of {} at {place}", self.name),
                "choose other values for --set, --nodes or --duration",
            ),
        })?;
        Ok(plan)
    }

    fn unknown_key(&self, given: &str) -> Usage {
        let known: Vec<&str> = self.keys.iter().map(|key| key.name).collect();
        let remedy = match (crate::fail::nearest(given, known.iter().copied()), known.is_empty()) {
            (Some(near), _) => format!("did you mean `{near}`? known keys: {}", known.join(", ")),
            (None, false) => format!("known keys: {}", known.join(", ")),
            (None, true) => "this scenario has no keys; leave --set out".to_owned(),
        };
        Usage::new(format!("scenario {} has no key `{given}`", self.name), format!("--set {given}"), remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_takes_longer_than_promised_is_a_failure_of_resources() {
        let taken = |limit_s: Option<u64>, taken_s: Option<f64>| {
            let mut findings = Findings { processor_limit_s: limit_s, ..Findings::default() };
            findings.demand_processor_seconds(taken_s);
            findings.broken
        };
        for kept in [(Some(600), Some(600.0)), (Some(600), None), (None, Some(9e9)), (None, None)] {
            assert_eq!(taken(kept.0, kept.1), [], "{kept:?}");
        }
        let broken = taken(Some(600), Some(600.25));
        assert_eq!(broken.len(), 1);
        assert_eq!(broken[0].verdict, Verdict::Resource);
        assert_eq!(broken[0].reason, "the run took 600.2 s of one core; at most 600 s are promised");
    }
}
