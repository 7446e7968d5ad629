//! Every committed input of every fuzz target, run without a fuzzer: the seeds of `fuzz/corpus` and, in
//! `fuzz/regressions`, whatever once failed.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use tests::fuzz::{TARGETS, Target};

fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

/// The names in a folder, sorted; none when it does not exist.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

/// Runs every file of a folder and says which ones failed.
fn failures(folder: &Path, target: Target) -> Vec<String> {
    let runs = names(folder).into_iter().filter(|name| {
        let bytes = fs::read(folder.join(name)).unwrap();
        catch_unwind(|| target(&bytes)).is_err()
    });
    runs.map(|name| folder.join(name).display().to_string()).collect()
}

#[test]
fn nothing_that_was_ever_tried_fails() {
    let mut failed = Vec::new();
    for (name, target) in TARGETS {
        failed.extend(failures(&fuzz_folder().join("corpus").join(name), *target));
        failed.extend(failures(&fuzz_folder().join("regressions").join(name), *target));
        assert!(catch_unwind(|| target(&[])).is_ok(), "{name} fails on no bytes at all");
    }
    assert!(failed.is_empty(), "failing inputs: {failed:#?}");
}

#[test]
fn every_target_has_a_fuzzer_and_seeds_and_there_are_no_others() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let fuzzers = names(&fuzz_folder().join("fuzz_targets"));
    let fuzzers: BTreeSet<String> =
        fuzzers.iter().filter_map(|name| Some(name.strip_suffix(".rs")?.to_owned())).collect();
    assert_eq!(fuzzers, targets, "fuzz/fuzz_targets");
    assert_eq!(names(&fuzz_folder().join("corpus")), targets, "fuzz/corpus");
    for target in &targets {
        assert!(
            !names(&fuzz_folder().join("corpus").join(target)).is_empty(),
            "fuzz/corpus/{target} has no seeds"
        );
    }
    assert!(names(&fuzz_folder().join("regressions")).is_subset(&targets), "fuzz/regressions");
}
