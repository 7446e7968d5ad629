//! The command line's grammar.

use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};
use simulator::plan::units::parse_span;

use crate::fail::Usage;
use crate::params::Params;
use crate::scenario::Scenario;
use crate::topology::Topology;

/// Named chaos scenarios for Thallus nodes, each one line that can be repeated.
#[derive(Parser)]
#[command(name = "thallus-sim", version, subcommand_required = true)]
#[command(
    after_help = "Exit codes: 0 pass, 2 usage, 10 safety, 11 liveness, 12 determinism, 13 resource, 101 panic.\n\
Example: thallus-sim run two-nodes-ninety-percent-loss --seed 42"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// The scenarios, one line each: name and what it shows.
    #[command(after_help = "Example: thallus-sim list --json")]
    List(ListArgs),
    /// One run of a scenario.
    #[command(after_help = "Example: thallus-sim run bulk-over-bad-links --seed 7 --set loss=90")]
    Run(RunArgs),
    /// Many seeds on all cores.
    #[command(after_help = "Example: thallus-sim sweep crash-and-restart --seeds 0..1000")]
    Sweep(SweepArgs),
    /// Adds up the line files of a sweep's shards.
    #[command(after_help = "Example: thallus-sim merge shard-0.jsonl shard-1.jsonl")]
    Merge(MergeArgs),
    /// Runs a saved plan or regression again.
    #[command(after_help = "Example: thallus-sim replay scenarios/regressions/late-answers.toml")]
    Replay(ReplayArgs),
    /// Says whether a plan is valid, with line and column when it is not.
    #[command(after_help = "Example: thallus-sim check plan.toml")]
    Check(CheckArgs),
    /// Compares the committed trace hashes with those of this build.
    #[command(after_help = "Example: thallus-sim golden --update")]
    Golden(GoldenArgs),
    /// The table of figures, as ratios to limits measured in the same run (memory: to another engine's, measured once).
    #[command(after_help = "Example: thallus-sim bench --json")]
    Bench(BenchArgs),
    /// Our figures beside those that other mesh protocols reached in published runs.
    #[command(
        name = "compare-peers",
        after_help = "Example: thallus-sim compare-peers --data DIR convergence"
    )]
    ComparePeers(CompareArgs),
    /// The second process of `--verify`: plans on standard input, what they came to on standard output.
    #[command(hide = true)]
    Witness,
    /// Every planted bug must be found, by the right checker, within its number of seeds.
    #[cfg(feature = "zoo")]
    #[command(after_help = "Example: cargo run --release -p scenarios --features zoo -- zoo")]
    Zoo(ZooArgs),
    /// What there is to say of it in a build that has no planted bugs.
    #[cfg(not(feature = "zoo"))]
    #[command(hide = true)]
    Zoo(NoZooArgs),
}

/// Whatever is given to a command that is not in this build.
#[cfg(not(feature = "zoo"))]
#[derive(Args)]
pub(crate) struct NoZooArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _given: Vec<String>,
}

#[derive(Args)]
pub(crate) struct ListArgs {
    /// One JSON document on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Choices that make a plan.
#[derive(Args)]
pub(crate) struct ChoiceArgs {
    /// A value for one of the scenario's keys; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// The graph of a real network, as JSON with `links` and perhaps `nodes`.
    #[arg(long, value_name = "FILE")]
    topology: Option<PathBuf>,
    /// How many nodes, where the scenario lets one choose.
    #[arg(long, value_name = "N", value_parser = nodes, allow_hyphen_values = true)]
    nodes: Option<u32>,
    /// How long the storm lasts in virtual time, where the scenario lets one choose: 72h, 90min, 30s.
    #[arg(long, value_name = "SPAN", value_parser = parse_span, allow_hyphen_values = true)]
    duration: Option<u64>,
    /// Makes one planted bug live in every node.
    #[cfg(feature = "zoo")]
    #[arg(long, value_name = "NAME", value_parser = bug)]
    bug: Option<String>,
}

#[derive(Args)]
pub(crate) struct RunArgs {
    /// The scenario; `thallus-sim list` shows them.
    pub(crate) name: String,
    /// What every draw is keyed with. Without it one is drawn and printed first.
    #[arg(long, value_name = "N", value_parser = seed, allow_hyphen_values = true)]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) choices: ChoiceArgs,
    /// Run twice, the second time in another process with other environment variables, and compare step by step.
    #[arg(long)]
    pub(crate) verify: bool,
    /// Write the trace, one line a step, to this file, in place of what it holds.
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// Write the plan to this file before the run, in place of what it holds.
    #[arg(long, value_name = "FILE")]
    pub(crate) save_plan: Option<PathBuf>,
    /// One JSON document on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct SweepArgs {
    /// The scenarios to sweep.
    #[arg(conflicts_with = "all")]
    pub(crate) names: Vec<String>,
    /// All scenarios.
    #[arg(long)]
    pub(crate) all: bool,
    /// The seeds A to B-1.
    #[arg(long, value_name = "A..B", value_parser = seeds, allow_hyphen_values = true)]
    pub(crate) seeds: Range<u64>,
    /// How many runs at once; by default as many as there are cores.
    #[arg(long, value_name = "J", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
    /// Only part i of n, counted from 0: the parts may run on different machines.
    #[arg(long, value_name = "i/n", value_parser = shard, default_value = "0/1")]
    pub(crate) shard: (u64, u64),
    /// Write one line of JSON a run to this file, for `merge`, in place of the lines of an earlier sweep.
    #[arg(long, value_name = "FILE")]
    pub(crate) json_lines: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) choices: ChoiceArgs,
    /// Run every seed twice and compare step by step.
    #[arg(long)]
    pub(crate) verify: bool,
    /// One JSON document on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct MergeArgs {
    /// Files that `sweep --json-lines` wrote.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// One JSON document on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct ReplayArgs {
    /// A plan as TOML.
    pub(crate) file: PathBuf,
    /// Run twice and compare step by step.
    #[arg(long)]
    pub(crate) verify: bool,
    /// Write the trace, one line a step, to this file, in place of what it holds.
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// One JSON document on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct CheckArgs {
    /// A plan as TOML.
    pub(crate) file: PathBuf,
    /// One JSON document on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct GoldenArgs {
    /// Rewrite the file with this build's hashes.
    #[arg(long)]
    pub(crate) update: bool,
    /// The file of hashes; by default the committed one.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// One JSON document on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct BenchArgs {
    /// Only figures whose name contains this.
    pub(crate) name: Option<String>,
    /// One JSON document on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct CompareArgs {
    /// Only procedures whose name contains this: freifunk1, convergence1, mobility1.
    pub(crate) name: Option<String>,
    /// The folder with `peers/*.csv` and `topologies/*.json`.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// What every draw is keyed with.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// One JSON document on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(feature = "zoo")]
#[derive(Args)]
pub(crate) struct ZooArgs {
    /// Only this bug.
    #[arg(value_parser = bug)]
    pub(crate) name: Option<String>,
    /// One JSON document on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

impl ChoiceArgs {
    /// The file of the topology.
    pub(crate) fn topology(&self) -> Option<&Path> {
        self.topology.as_deref()
    }

    /// The choices for a scenario, with the topology read from its file.
    pub(crate) fn params(&self, seed: u64) -> Result<Params, Usage> {
        let mut params = Params { seed, nodes: self.nodes, duration_us: self.duration, ..Params::default() };
        for (key, value) in &self.set {
            if params.set.insert(key.clone(), value.clone()).is_some() {
                return Err(Usage::new(
                    format!("key `{key}` is set twice"),
                    format!("--set {key}={value}"),
                    "give each key once",
                ));
            }
        }
        if let Some(path) = &self.topology {
            let bytes = super::read_file(path, "topology")?;
            let topology = Topology::from_json(&bytes).map_err(|error| {
                let place = format!("{}:{}:{}", path.display(), error.line, error.column);
                Usage::new(error.message, place, "correct the file")
            })?;
            params.topology = Some((path.display().to_string(), topology));
        }
        #[cfg(feature = "zoo")]
        {
            params.bug = self.bug.clone();
        }
        Ok(params)
    }
}

/// The scenarios that were named, each once.
pub(crate) fn scenarios(names: &[String], all: bool) -> Result<Vec<&'static Scenario>, Usage> {
    if all {
        return Ok(crate::scenarios::ALL.to_vec());
    }
    if names.is_empty() {
        return Err(Usage::new("no scenario is named", "[NAMES]", "name some, or give --all"));
    }
    let mut found: Vec<&'static Scenario> = Vec::new();
    for name in names {
        let scenario = crate::scenarios::find(name)?;
        if !found.iter().any(|known| known.name == scenario.name) {
            found.push(scenario);
        }
    }
    Ok(found)
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("give it as KEY=VALUE, for example loss=90".to_owned()),
    }
}

fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "a seed is a whole number from 0 to 18446744073709551615".to_owned())
}

fn nodes(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "give a whole number; each scenario says how many it takes".to_owned())
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let help = "give the seeds as A..B with A below B, for example 0..1000";
    let (from, to) = text.split_once("..").ok_or(help)?;
    let range = seed(from)?..seed(to)?;
    if range.is_empty() { Err(help.to_owned()) } else { Ok(range) }
}

fn shard(text: &str) -> Result<(u64, u64), String> {
    let help = "give it as i/n with i from 0 to n-1, for example 0/4";
    let (at, of) = text.split_once('/').ok_or(help)?;
    match (at.parse(), of.parse()) {
        (Ok(at), Ok(of)) if at < of && of <= 1 << 20 => Ok((at, of)),
        _ => Err(help.to_owned()),
    }
}

#[cfg(feature = "zoo")]
fn bug(text: &str) -> Result<String, String> {
    let names = || proto_core::zoo::Bug::ALL.iter().map(|(_, name)| *name);
    if names().any(|name| name == text) {
        return Ok(text.to_owned());
    }
    Err(match crate::fail::nearest(text, names()) {
        Some(near) => format!("there is no such bug; did you mean `{near}`?"),
        None => format!("there is no such bug; known: {}", names().collect::<Vec<_>>().join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn ranges_and_shards_read_as_they_are_shown() {
        assert_eq!(seeds("0..1000"), Ok(0..1000));
        for bad in ["5", "5..5", "9..2", "a..b", "..", "0..=3", "-1..2"] {
            assert!(seeds(bad).is_err(), "{bad}");
        }
        assert_eq!(shard("2/3"), Ok((2, 3)));
        for bad in ["3/3", "0/0", "1", "-1/2", "a/b"] {
            assert!(shard(bad).is_err(), "{bad}");
        }
    }
}
