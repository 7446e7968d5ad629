//! How a sweep is cut into parts, and what the parts say when they come back.
//!
//! Four machines sweep through the night, and one of them runs out of disk at three. Added up, three and a
//! half files of lines look like a green sweep: no line says that another is missing. So each file begins
//! with a [`Header`] that says what the whole sweep was and which part of it this is, and [`merge`] adds
//! nothing up before every run of every part is there, once.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};
use simulator::Verdict;

use crate::fail::Usage;
use crate::report::Line;
use crate::topology::strip_place;

/// One part of the runs of a sweep: its runs are those whose number, counted scenario after scenario within
/// each seed, leaves the part's number when it is divided by the number of parts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Part {
    /// How many scenarios.
    pub(crate) scenarios: u64,
    /// Seeds, the last one not included.
    pub(crate) seeds: Range<u64>,
    /// Which part, counted from 0, and of how many.
    pub(crate) shard: (u64, u64),
}

impl Part {
    /// How many runs it has.
    pub(crate) fn len(&self) -> u64 {
        let total = u128::from(self.seeds.end.saturating_sub(self.seeds.start)) * u128::from(self.scenarios);
        let mine = total.saturating_sub(u128::from(self.shard.0)).div_ceil(u128::from(self.shard.1.max(1)));
        u64::try_from(mine).unwrap_or(u64::MAX)
    }

    /// Its run number `n`, counted from 0: the position of the scenario, and the seed.
    pub(crate) fn run(&self, n: u64) -> Option<(u64, u64)> {
        if n >= self.len() {
            return None;
        }
        let at = u128::from(n) * u128::from(self.shard.1) + u128::from(self.shard.0);
        let count = u128::from(self.scenarios);
        let seed = u64::try_from(at / count).ok()?.checked_add(self.seeds.start)?;
        Some((u64::try_from(at % count).ok()?, seed))
    }

    /// Whether this run, of the whole sweep, is one of the part's.
    fn has(&self, scenario: u64, seed: u64) -> bool {
        let at = u128::from(seed.wrapping_sub(self.seeds.start)) * u128::from(self.scenarios)
            + u128::from(scenario);
        self.seeds.contains(&seed)
            && scenario < self.scenarios
            && at % u128::from(self.shard.1.max(1)) == u128::from(self.shard.0)
    }
}

/// The first line of a file of lines: what the sweep is, and which part of it follows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The scenarios of the whole sweep.
    pub scenarios: Vec<String>,
    /// Its seeds: the first, and the one after the last.
    pub seeds: (u64, u64),
    /// Which part this is, counted from 0, and of how many.
    pub shard: (u64, u64),
    /// The choices for every run, as they are given on a command line.
    pub choices: String,
    /// Whether every run was run a second time.
    pub verify: bool,
}

impl Header {
    fn part(&self) -> Part {
        Part { scenarios: self.scenarios.len() as u64, seeds: self.seeds.0..self.seeds.1, shard: self.shard }
    }

    fn makes_sense(&self) -> bool {
        !self.scenarios.is_empty() && self.seeds.0 < self.seeds.1 && self.shard.0 < self.shard.1
    }

    /// Whether both are parts of one sweep.
    fn is_beside(&self, other: &Header) -> bool {
        Header { shard: self.shard, ..other.clone() } == *self && self.shard.1 == other.shard.1
    }

    fn shown(&self) -> String {
        format!("shard {}/{}", self.shard.0, self.shard.1)
    }
}

/// Reads the files of all parts of a sweep, each with the name it is spoken of by.
///
/// # Errors
/// A line that is none, a verdict that is none, a part or a run that is missing or there twice, parts of
/// different sweeps.
pub fn merge(files: &[(String, String)]) -> Result<Vec<Line>, Usage> {
    let mut headers: Vec<(&str, Header)> = Vec::new();
    let mut lines = Vec::new();
    for (name, text) in files {
        let (header, of_part) = read(name, text)?;
        if let Some((first, other)) = headers.first().filter(|(_, first)| !header.is_beside(first)) {
            return Err(Usage::new(
                format!(
                    "these are parts of different sweeps: {} and {}",
                    described(other),
                    described(&header)
                ),
                format!("{first} and {name}"),
                "give the files of one sweep: the same scenarios, seeds, number of shards and choices",
            ));
        }
        if let Some((earlier, _)) = headers.iter().find(|(_, known)| known.shard == header.shard) {
            return Err(Usage::new(
                format!("{} is there twice", header.shown()),
                format!("{earlier} and {name}"),
                "give each shard once",
            ));
        }
        headers.push((name, header));
        lines.extend(of_part);
    }
    let Some((_, first)) = headers.first() else {
        return Err(Usage::new("there is no run to add up", "the line files", "give at least one file"));
    };
    let there: BTreeSet<u64> = headers.iter().map(|(_, header)| header.shard.0).collect();
    let missing = first.shard.1 - there.len() as u64;
    if let Some(at) = (0..first.shard.1).find(|at| !there.contains(at)) {
        return Err(Usage::new(
            format!("{missing} of {} shards are missing, the first is {at}/{}", first.shard.1, first.shard.1),
            "the line files",
            "give the file of every shard",
        ));
    }
    lines.sort_by(|a: &Line, b: &Line| (&a.scenario, a.seed).cmp(&(&b.scenario, b.seed)));
    Ok(lines)
}

fn described(header: &Header) -> String {
    let (from, to) = header.seeds;
    let verify = if header.verify { " --verify" } else { "" };
    let choices = if header.choices.is_empty() { String::new() } else { format!(" {}", header.choices) };
    format!("`{} --seeds {from}..{to}{choices}{verify}` in {}", header.scenarios.join(" "), header.shard.1)
}

const WRITTEN_BY: &str = "give files that `sweep --json-lines` wrote";

/// One file: its header, and every run of its part once.
fn read(name: &str, text: &str) -> Result<(Header, Vec<Line>), Usage> {
    let mut texts = text.lines().enumerate().map(|(at, text)| (at + 1, text));
    let Some((_, first)) = texts.next() else {
        return Err(Usage::new("this file is empty", name, WRITTEN_BY));
    };
    let header: Header = serde_json::from_str(first).map_err(|error| {
        let what = format!("this is not the first line of a sweep: {}", strip_place(&error.to_string()));
        Usage::new(what, format!("{name}:1:{}", error.column()), WRITTEN_BY)
    })?;
    if !header.makes_sense() {
        return Err(Usage::new("this first line describes no sweep", format!("{name}:1:1"), WRITTEN_BY));
    }
    let part = header.part();
    let (mut seen, mut lines) = (BTreeSet::new(), Vec::new());
    for (at, text) in texts {
        let line: Line = serde_json::from_str(text).map_err(|error| {
            let what = format!("this is not a line of a sweep: {}", strip_place(&error.to_string()));
            let remedy =
                if error.is_eof() { "the file was cut off: sweep this shard again" } else { WRITTEN_BY };
            Usage::new(what, format!("{name}:{at}:{}", error.column()), remedy)
        })?;
        let wrong = |what: String| Usage::new(what, format!("{name}:{at}:1"), WRITTEN_BY);
        if verdict(&line.verdict).is_none() {
            return Err(wrong(format!("there is no verdict `{}`", line.verdict)));
        }
        if line.wall_seconds < 0.0 {
            return Err(wrong(format!("no run takes {} s", line.wall_seconds)));
        }
        let scenario = header.scenarios.iter().position(|known| *known == line.scenario).map(|at| at as u64);
        let Some(scenario) = scenario.filter(|&scenario| part.has(scenario, line.seed)) else {
            let what = format!("{} seed {} is no run of {}", line.scenario, line.seed, header.shown());
            return Err(wrong(what));
        };
        if !seen.insert((scenario, line.seed)) {
            return Err(wrong(format!("{} seed {} is there twice", line.scenario, line.seed)));
        }
        lines.push(line);
    }
    let missing = part.len() - lines.len() as u64;
    let absent = (0..part.len()).map_while(|n| part.run(n)).find(|run| !seen.contains(run));
    let scenario = |at: u64| usize::try_from(at).ok().and_then(|at| header.scenarios.get(at));
    if let Some((scenario, seed)) = absent.and_then(|(at, seed)| Some((scenario(at)?, seed))) {
        return Err(Usage::new(
            format!(
                "{missing} of {} runs of {} are missing, the first is {scenario} seed {seed}",
                part.len(),
                header.shown()
            ),
            name,
            "sweep this shard again",
        ));
    }
    Ok((header, lines))
}

/// Whether a file with this beginning holds lines of a sweep, or nothing yet.
pub(crate) fn may_be_replaced(text: &str) -> bool {
    text.lines().next().is_none_or(|first| serde_json::from_str::<Header>(first).is_ok())
}

/// The verdict that has this word.
pub(crate) fn verdict(word: &str) -> Option<Verdict> {
    use Verdict::{Determinism, Liveness, Panic, Pass, Resource, Safety};
    [Pass, Safety, Liveness, Determinism, Resource, Panic].into_iter().find(|verdict| verdict.word() == word)
}

#[cfg(test)]
mod tests;
