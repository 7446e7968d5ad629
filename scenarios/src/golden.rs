//! The committed trace hashes: what every scenario's short run comes to, step by step.
//!
//! A refactoring changes none of them. A change of behaviour changes some, and stands in the diff as
//! one line a scenario, for its author to explain. Debug and release builds, both cryptographic
//! backends and every processor give the same.

use std::fmt::Write as _;

use crate::engine::How;
use crate::params::Params;
use crate::report::{self, Report};
use crate::scenarios::ALL;

/// The seeds of the fixed set.
pub const SEEDS: [u64; 2] = [1, 2];

/// The committed file.
pub const COMMITTED: &str = include_str!("../golden.txt");

const HEADER: &str = "\
# Trace hashes of the short runs of every scenario, as `thallus-sim golden --update` writes them.
# A changed line is a changed behaviour: say which in the commit that changes it.
";

/// One run's hash.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The hash over all steps.
    pub hash: String,
}

/// What differs first between two sets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// The scenario and seed.
    pub name: String,
    /// The hash in the file; `None` when it has no such line.
    pub expected: Option<String>,
    /// The hash of this build; `None` when there is no such run any more.
    pub found: Option<String>,
}

/// Runs the fixed set.
#[must_use]
pub fn measure() -> Vec<Report> {
    let runs =
        ALL.iter().flat_map(|scenario| SEEDS.map(|seed| (*scenario, (scenario.quick)(Params::seed(seed)))));
    runs.map(|(scenario, params)| report::make_and_run(scenario, &params, How::default())).collect()
}

/// The runs' hashes.
#[must_use]
pub fn entries(runs: &[Report]) -> Vec<Entry> {
    let entry =
        |run: &Report| Entry { scenario: run.scenario.clone(), seed: run.seed, hash: run.trace_hash.clone() };
    runs.iter().map(entry).collect()
}

/// The hashes to commit.
///
/// # Errors
/// The first run that failed: its steps are not what is to be kept.
pub fn to_commit(runs: &[Report]) -> Result<Vec<Entry>, &Report> {
    runs.iter().find(|run| !run.passed()).map_or_else(|| Ok(entries(runs)), Err)
}

/// The set as the file holds it.
#[must_use]
pub fn write(entries: &[Entry]) -> String {
    let mut text = HEADER.to_owned();
    for Entry { scenario, seed, hash } in entries {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{scenario} {seed} {hash}");
    }
    text
}

/// Whether a file that begins like this may be written anew: its first line is that of a file of hashes, or
/// there is nothing in it. A line further down may be broken, as after a merge.
#[must_use]
pub fn may_be_replaced(beginning: &[u8]) -> bool {
    beginning.is_empty() || first_line(beginning) == first_line(HEADER.as_bytes())
}

fn first_line(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end()
}

/// Reads a file of hashes.
///
/// # Errors
/// The first line, counted from 1, that is none.
pub fn read(text: &str) -> Result<Vec<Entry>, usize> {
    let lines =
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|(at, line)| {
            let mut words = line.split_whitespace();
            let (scenario, seed, hash) = (words.next(), words.next(), words.next());
            let seed = seed.and_then(|seed| seed.parse().ok());
            match (scenario, seed, hash, words.next()) {
                (Some(scenario), Some(seed), Some(hash), None) => {
                    Ok(Entry { scenario: scenario.to_owned(), seed, hash: hash.to_owned() })
                }
                _ => Err(at + 1),
            }
        })
        .collect()
}

/// The first difference, in the order of the file.
#[must_use]
pub fn first_difference(file: &[Entry], build: &[Entry]) -> Option<Difference> {
    let same = |a: &Entry, b: &Entry| (&a.scenario, a.seed) == (&b.scenario, b.seed);
    let name = |entry: &Entry| format!("{} seed {}", entry.scenario, entry.seed);
    for expected in file {
        let found = build.iter().find(|entry| same(entry, expected)).map(|entry| entry.hash.clone());
        if found.as_ref() != Some(&expected.hash) {
            return Some(Difference { name: name(expected), expected: Some(expected.hash.clone()), found });
        }
    }
    let unknown = build.iter().find(|entry| !file.iter().any(|known| same(known, entry)))?;
    Some(Difference { name: name(unknown), expected: None, found: Some(unknown.hash.clone()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(scenario: &str, seed: u64, hash: &str) -> Entry {
        Entry { scenario: scenario.to_owned(), seed, hash: hash.to_owned() }
    }

    #[test]
    fn the_file_is_read_as_it_is_written() {
        let entries = vec![entry("a", 1, "ff"), entry("b", 2, "00")];
        assert_eq!(read(&write(&entries)), Ok(entries));
        assert_eq!(read("# x\n\na 1 ff\nb two ff\n"), Err(4));
        assert_eq!(read("a 1\n"), Err(1));
    }

    #[test]
    fn the_hash_of_a_failed_run_is_not_committed() {
        let quick = Params::seed(1).with("messages", "1");
        let mut runs = vec![report::make_and_run(ALL[0], &quick, How::default()); 2];
        assert_eq!(to_commit(&runs), Ok(entries(&runs)));
        let refused = quick.with("messages", "none");
        runs[1] = report::make_and_run(ALL[0], &refused, How::default());
        assert_eq!(to_commit(&runs), Err(&runs[1]));
    }

    #[test]
    fn only_a_file_of_hashes_may_be_replaced() {
        let written = write(&[entry("a", 1, "ff")]);
        let conflict = written.replace("a 1 ff", "<<<<<<< ours\na 1 ff\n=======\na 1 00\n>>>>>>> theirs");
        for ours in [&written, "", HEADER, COMMITTED, &conflict, &written.replace('\n', "\r\n")] {
            assert!(may_be_replaced(ours.as_bytes()), "{ours}");
        }
        for other in
            ["\n", "name = \"x\"\n", "# Trace hashes\n", "a 1 ff\n", &format!("\n{written}"), &written[1..]]
        {
            assert!(!may_be_replaced(other.as_bytes()), "{other}");
        }
        assert!(!may_be_replaced(b"\xff\xfe"));
    }

    #[test]
    fn the_first_difference_is_named() {
        let file = vec![entry("a", 1, "ff"), entry("b", 1, "00")];
        assert_eq!(first_difference(&file, &file), None);
        let changed = first_difference(&file, &[entry("a", 1, "ff"), entry("b", 1, "11")]).unwrap();
        assert_eq!((changed.name.as_str(), changed.found.as_deref()), ("b seed 1", Some("11")));
        let gone = first_difference(&file, &[entry("b", 1, "00")]).unwrap();
        assert_eq!((gone.name.as_str(), gone.found), ("a seed 1", None));
        let new = first_difference(&file[..1], &file).unwrap();
        assert_eq!((new.name.as_str(), new.expected), ("b seed 1", None));
    }

    #[test]
    fn the_committed_file_can_be_read() {
        assert!(read(COMMITTED).is_ok());
    }
}
