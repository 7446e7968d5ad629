//! Many seeds on all cores, and what they came to together.
//!
//! One run a core: a run is one thread by design, and seeds do not know each other. A sweep can be cut
//! into shards that run on different machines; their line files merge into the same summary.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::Serialize;

use crate::engine::{Elsewhere, How};
use crate::fail::Usage;
use crate::params::Params;
use crate::report::{self, Line, Report};
use crate::scenario::Scenario;
use crate::shards::{Header, Part, verdict};

/// Of this many runs of one scenario, one may need a rare excuse (99.9 % is promised).
const RUNS_PER_EXCUSE: u64 = 1_000;

/// What to sweep.
pub struct Sweep<'a> {
    /// The scenarios.
    pub scenarios: Vec<&'static Scenario>,
    /// Seeds, the last one not included.
    pub seeds: Range<u64>,
    /// This machine's part: shard number and how many shards there are.
    pub shard: (u64, u64),
    /// How many runs at once.
    pub jobs: usize,
    /// Choices for every run.
    pub params: &'a Params,
    /// Where every run is run a second time.
    pub verify: Option<Elsewhere>,
}

/// A run that failed.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Failed {
    /// The scenario.
    pub scenario: String,
    /// The seed; absent when a promise over many seeds failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The verdict's word.
    pub verdict: String,
    /// Why.
    pub reason: String,
    /// The command that repeats it.
    pub replay: String,
}

/// A run that passed with an excuse.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Excused {
    /// The scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// What is excused.
    pub reason: String,
    /// The command that repeats it.
    pub replay: String,
}

/// What a sweep came to.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Summary {
    /// Runs that were made.
    pub runs: u64,
    /// Runs that passed.
    pub passed: u64,
    /// What failed.
    pub failed: Vec<Failed>,
    /// What passed with an excuse.
    pub excusable: Vec<Excused>,
    /// What it took.
    pub wall_seconds: f64,
    /// The exit code of the first failure; 0 when there is none.
    #[serde(skip)]
    pub exit_code: u8,
}

impl Sweep<'_> {
    fn part(&self) -> Part {
        Part { scenarios: self.scenarios.len() as u64, seeds: self.seeds.clone(), shard: self.shard }
    }

    /// The first line of this shard's file of lines.
    #[must_use]
    pub fn header(&self) -> Header {
        Header {
            scenarios: self.scenarios.iter().map(|scenario| scenario.name.to_owned()).collect(),
            seeds: (self.seeds.start, self.seeds.end),
            shard: self.shard,
            choices: self.params.choices_as_args().trim_start().to_owned(),
            verify: self.verify.is_some(),
        }
    }

    /// How many runs this shard has.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.part().len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether every scenario can use the choices.
    ///
    /// # Errors
    /// The first choice that one of them cannot use.
    pub fn check(&self) -> Result<(), Usage> {
        self.scenarios
            .iter()
            .try_for_each(|scenario| scenario.make(&self.params.with_seed(self.seeds.start)).map(|_| ()))
    }

    /// Runs everything; `done` is told after each run, from whichever thread made it. When it answers
    /// `false`, no further run is begun.
    ///
    /// # Errors
    /// A choice that a scenario cannot use. Nothing has run then.
    pub fn run(&self, done: impl Fn(&Report) -> bool + Sync) -> Result<Vec<Line>, Usage> {
        self.check()?;
        let (next, go_on) = (AtomicU64::new(0), AtomicBool::new(true));
        let lines: Mutex<Vec<(u64, Line)>> = Mutex::new(Vec::new());
        let part = self.part();
        std::thread::scope(|threads| {
            for _ in 0..self.jobs.max(1) {
                threads.spawn(|| {
                    while go_on.load(Ordering::Relaxed) {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        let Some((at, seed)) = part.run(n) else { break };
                        let Some(scenario) = usize::try_from(at).ok().and_then(|at| self.scenarios.get(at))
                        else {
                            break;
                        };
                        let report = self.one(scenario, seed);
                        if !done(&report) {
                            go_on.store(false, Ordering::Relaxed);
                        }
                        // The lock is held for a push; a thread that panicked in `done` loses nothing.
                        lines
                            .lock()
                            .unwrap_or_else(std::sync::PoisonError::into_inner)
                            .push((n, report.line()));
                    }
                });
            }
        });
        let mut lines = lines.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        lines.sort_by_key(|(n, _)| *n);
        Ok(lines.into_iter().map(|(_, line)| line).collect())
    }

    fn one(&self, scenario: &'static Scenario, seed: u64) -> Report {
        report::make_and_run(scenario, &self.params.with_seed(seed), How { verify: self.verify })
    }
}

/// Adds up the lines of a sweep, or of several shards of one.
#[must_use]
pub fn summary(lines: &[Line], wall_seconds: f64) -> Summary {
    let mut summary = Summary {
        runs: lines.len() as u64,
        passed: 0,
        failed: Vec::new(),
        excusable: Vec::new(),
        wall_seconds,
        exit_code: 0,
    };
    let mut runs: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for line in lines {
        let (count, excused) = runs.entry(&line.scenario).or_default();
        *count += 1;
        if line.verdict != "pass" {
            summary.failed.push(Failed {
                scenario: line.scenario.clone(),
                seed: Some(line.seed),
                verdict: line.verdict.clone(),
                reason: line.reason.clone().unwrap_or_default(),
                replay: line.replay.clone(),
            });
            continue;
        }
        summary.passed += 1;
        *excused += u64::from(line.rare);
        summary.excusable.extend(line.excusable.iter().map(|reason| Excused {
            scenario: line.scenario.clone(),
            seed: line.seed,
            reason: reason.clone(),
            replay: line.replay.clone(),
        }));
    }
    for (scenario, (count, excused)) in runs {
        if excused > count.div_ceil(RUNS_PER_EXCUSE) {
            let first = summary.excusable.iter().find(|run| run.scenario == scenario);
            summary.failed.push(Failed {
                scenario: scenario.to_owned(),
                seed: None,
                verdict: "liveness".to_owned(),
                reason: format!(
                    "{excused} of {count} runs needed an excuse; one in {RUNS_PER_EXCUSE} is allowed"
                ),
                replay: first.map(|run| run.replay.clone()).unwrap_or_default(),
            });
        }
    }
    summary.exit_code = summary.failed.first().map_or(0, |failed| exit_code(&failed.verdict));
    summary
}

/// The exit code that belongs to a failure's word. What nobody knows cannot be called harmless.
fn exit_code(word: &str) -> u8 {
    use simulator::Verdict;
    verdict(word).filter(|verdict| *verdict != Verdict::Pass).unwrap_or(Verdict::Safety).exit_code()
}

#[cfg(test)]
mod tests {
    use super::*;
    use simulator::plan::Plan;

    fn line(seed: u64, verdict: &str, excusable: &[&str]) -> Line {
        Line {
            scenario: "s".to_owned(),
            seed,
            verdict: verdict.to_owned(),
            checker: None,
            reason: (verdict != "pass").then(|| "because".to_owned()),
            trace_hash: String::new(),
            wall_seconds: 0.0,
            excusable: excusable.iter().map(|text| (*text).to_owned()).collect(),
            rare: !excusable.is_empty(),
            replay: format!("replay {seed}"),
        }
    }

    #[test]
    fn one_excuse_in_a_thousand_is_allowed() {
        let mut lines: Vec<Line> = (0..1_000).map(|seed| line(seed, "pass", &[])).collect();
        lines[7] = line(7, "pass", &["late"]);
        assert_eq!(summary(&lines, 1.0).exit_code, 0);
        lines[8] = line(8, "pass", &["late"]);
        let twice = summary(&lines, 1.0);
        assert_eq!((twice.exit_code, twice.passed, twice.excusable.len()), (11, 1_000, 2));
    }

    #[test]
    fn the_first_failure_decides_the_exit_code() {
        let all = summary(&[line(1, "pass", &[]), line(2, "resource", &[]), line(3, "safety", &[])], 1.0);
        assert_eq!((all.runs, all.passed, all.failed.len(), all.exit_code), (3, 1, 2, 13));
        assert_eq!(all.failed[0].replay, "replay 2");
        assert_eq!(summary(&[line(1, "fine", &[])], 1.0).exit_code, 10, "an unknown word is no pass");
    }

    /// Two nodes that have nothing to say to each other.
    fn quiet(params: &Params) -> Result<Plan, Usage> {
        let text = "name = \"odd\"\nduration = \"1s\"\n[[node]]\ncount = 2\n[[link]]\nmembers = [0, 1]\n";
        let plan = Plan::from_toml(text).map_err(|error| Usage::new(error.message, "the test", "mend it"))?;
        Ok(Plan { seed: params.seed, ..plan })
    }

    /// For odd seeds one of the three who serve a run is broken.
    static ODD: [Scenario; 3] = [
        Scenario {
            judge: |case, _| assert_eq!(case.plan.seed % 2, 0, "an odd seed"),
            ..scenario("odd-judge", quiet)
        },
        scenario("odd-plan", |params| {
            assert_eq!(params.seed % 2, 0, "an odd seed");
            quiet(params)
        }),
        scenario("odd-choice", |params| match params.seed % 2 {
            0 => quiet(params),
            _ => Err(Usage::new("an odd seed", "--seed", "give an even one")),
        }),
    ];

    const fn scenario(name: &'static str, plan: fn(&Params) -> Result<Plan, Usage>) -> Scenario {
        Scenario {
            name,
            shows: "",
            keys: &[],
            takes_nodes: false,
            takes_duration: false,
            takes_topology: false,
            plan,
            judge: |_, _| {},
            quick: |params| params,
        }
    }

    #[test]
    fn a_panic_around_the_nodes_is_one_failed_run() {
        for (odd, verdict, said) in [
            (&ODD[0], "panic", "the judge of odd-judge panicked: "),
            (&ODD[1], "panic", "the plan could not be made: "),
            (&ODD[2], "panic", "the plan was refused: "),
        ] {
            let params = Params::default();
            let scenarios = vec![odd];
            let sweep =
                Sweep { scenarios, seeds: 0..4, shard: (0, 1), jobs: 2, params: &params, verify: None };
            let lines = sweep.run(|_| true).unwrap();
            let seen: Vec<(u64, &str)> =
                lines.iter().map(|line| (line.seed, line.verdict.as_str())).collect();
            assert_eq!(seen, [(0, "pass"), (1, verdict), (2, "pass"), (3, verdict)], "{}", odd.name);
            let all = summary(&lines, 1.0);
            assert_eq!((all.runs, all.passed, all.exit_code), (4, 2, 101));
            assert!(all.failed[0].reason.starts_with(said), "{}", all.failed[0].reason);
            assert!(all.failed[0].reason.contains("an odd seed"), "{}", all.failed[0].reason);
            assert!(all.failed[0].replay.ends_with(&format!("-- run {} --seed 1", odd.name)));
        }
    }
}
