//! `golden`: whether this build does, step by step, what the committed hashes say.

use std::path::{Path, PathBuf};

use serde_json::json;
use simulator::Verdict;

use super::args::GoldenArgs;
use crate::fail::Usage;
use crate::golden::{
    COMMITTED, Difference, Entry, entries, first_difference, may_be_replaced, measure, read, to_commit, write,
};

/// Compares, or rewrites.
pub(super) fn golden(args: &GoldenArgs) -> Result<u8, Usage> {
    let path = args.file.clone().unwrap_or_else(|| PathBuf::from("scenarios/golden.txt"));
    if args.update {
        if args.file.is_none() && !path.is_file() {
            return Err(Usage::new(
                "the committed file is not here",
                path.display().to_string(),
                "start the command in the workspace's folder, or name the file with --file",
            ));
        }
        keeps_nothing_else(&path)?;
        let runs = measure();
        let entries = match to_commit(&runs) {
            Ok(entries) => entries,
            Err(failed) => {
                super::tell(format_args!(
                    "golden: nothing was written: {} seed {} is {}",
                    failed.scenario,
                    failed.seed,
                    failed.sentence()
                ));
                super::tell(format_args!("  replay: {}", failed.replay));
                return Ok(failed.exit_code);
            }
        };
        super::write_file(&path, &write(&entries))?;
        super::tell(format_args!("{} hashes written to {}", entries.len(), path.display()));
        if args.json {
            print_result(entries.len(), None);
        }
        return Ok(0);
    }
    let expected = expected(args)?;
    let build = entries(&measure());
    let difference = first_difference(&expected, &build);
    if args.json {
        print_result(build.len(), difference.as_ref());
    }
    match difference {
        None => {
            if !args.json {
                super::print(&format!("golden: all {} hashes are equal", build.len()));
            }
            Ok(0)
        }
        Some(Difference { name, expected, found }) => {
            let show = |hash: Option<String>| hash.unwrap_or_else(|| "nothing".to_owned());
            super::tell(format_args!(
                "golden: {name} differs first: the file has {}, this build {}",
                show(expected),
                show(found)
            ));
            super::tell(format_args!(
                "  a wanted change: run `thallus-sim golden --update` and say in the commit what changed"
            ));
            Ok(Verdict::Determinism.exit_code())
        }
    }
}

/// Refuses a file that holds something else than hashes. A device or a pipe holds nothing.
fn keeps_nothing_else(path: &Path) -> Result<(), Usage> {
    if path.metadata().is_ok_and(|kind| kind.is_file())
        && !may_be_replaced(&super::read_file(path, "file of hashes")?)
    {
        return Err(Usage::new(
            "--update would replace a file that is no file of trace hashes",
            format!("{}:1", path.display()),
            "name one that `golden --update` has written, or a new one",
        ));
    }
    Ok(())
}

fn expected(args: &GoldenArgs) -> Result<Vec<Entry>, Usage> {
    let (text, place) = match &args.file {
        Some(path) => (super::read_text(path, "file of hashes")?, path.display().to_string()),
        None => (COMMITTED.to_owned(), "scenarios/golden.txt".to_owned()),
    };
    read(&text).map_err(|line| {
        let remedy = if may_be_replaced(text.as_bytes()) {
            "write it anew with `golden --update`"
        } else {
            "name a file that `golden --update` has written"
        };
        Usage::new("this line is not `scenario seed hash`", format!("{place}:{line}"), remedy)
    })
}

fn print_result(count: usize, difference: Option<&Difference>) {
    let first = difference.map(|d| json!({ "name": d.name, "expected": d.expected, "found": d.found }));
    super::print_json(&json!({ "runs": count, "equal": difference.is_none(), "first_difference": first }));
}
