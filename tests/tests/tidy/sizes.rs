//! How long files and functions may be, and how files begin.

use std::collections::BTreeSet;

use crate::rules::{LARGER, Larger, SIZES, Sizes};
use crate::source::{Finding, Source};

/// Every file or function that is longer than its limit.
#[must_use]
pub(crate) fn too_long(source: &Source) -> Vec<Finding> {
    over(source, &SIZES, LARGER)
}

fn over(source: &Source, sizes: &Sizes, larger: &[Larger]) -> Vec<Finding> {
    let allowed = |function: &str, usual: usize| {
        let row = larger.iter().find(|(file, name, _, _)| *file == source.file && *name == function);
        row.map_or(usual, |(_, _, lines, _)| *lines)
    };
    let finding = |line: usize, what: String| Finding { file: source.file.clone(), line, what };
    let test_file = source.tokens.iter().all(|token| token.test);
    let limit = allowed("", if test_file { sizes.test_file } else { sizes.file });
    let lines = source.text.lines().count();
    let mut found = Vec::new();
    if lines > limit {
        found.push(finding(
            1,
            format!("{lines} lines, at most {limit}: split the file by idea, one folder if need be"),
        ));
    }
    for function in &source.functions {
        let limit = allowed(&function.name, if function.test { sizes.test_function } else { sizes.function });
        if function.lines > limit {
            let what = format!(
                "`fn {}` has {} lines, at most {limit}: name its parts and move them below it",
                function.name, function.lines
            );
            found.push(finding(function.line, what));
        }
    }
    found
}

/// A file of live code that does not begin by saying what it is for.
#[must_use]
pub(crate) fn missing_header(source: &Source) -> Option<Finding> {
    let live = source.tokens.iter().any(|token| !token.test);
    let generated = source.text.starts_with("// @generated");
    (live && !generated && !source.text.starts_with("//! ")).then(|| Finding {
        file: source.file.clone(),
        line: 1,
        what: "no `//!` header: say in the first line what problem this file solves".to_owned(),
    })
}

/// Every folder of proto-core without a `mod.rs`, or, below a machine's folder, a file of its name.
#[must_use]
pub(crate) fn folders_without_mod(files: &[String]) -> Vec<Finding> {
    let folders: BTreeSet<&str> = files
        .iter()
        .filter(|file| file.starts_with("proto-core/src/") && file.ends_with(".rs"))
        .filter_map(|file| file.rsplit_once('/').map(|(folder, _)| folder))
        .filter(|folder| *folder != "proto-core/src")
        .collect();
    folders
        .into_iter()
        .map(|folder| format!("{folder}/mod.rs"))
        .filter(|file| !files.contains(file) && !has_named_file(file, files))
        .map(|file| {
            let what = "missing: every folder has a mod.rs whose header tells its story".to_owned();
            Finding { file, line: 1, what }
        })
        .collect()
}

/// `link/frame.rs` speaks for `link/frame/`; a machine's own folder has its `mod.rs` inside.
fn has_named_file(mod_file: &str, files: &[String]) -> bool {
    let folder = mod_file.trim_end_matches("/mod.rs");
    folder.matches('/').count() > 2 && files.contains(&format!("{folder}.rs"))
}

#[cfg(test)]
const SMALL: Sizes = Sizes { file: 6, test_file: 8, function: 3, test_function: 4 };

#[cfg(test)]
fn source(text: &str, test: bool) -> Source {
    Source::parse("proto-core/src/a.rs", text, test).unwrap()
}

#[test]
fn long_files_and_functions_are_seen() {
    let four = "fn f() {\n    a();\n    b();\n}\n";
    assert_eq!(over(&source(four, false), &SMALL, &[]).len(), 1);
    assert_eq!(over(&source(four, true), &SMALL, &[]).len(), 0);
    assert_eq!(over(&source(four, false), &SMALL, &[("proto-core/src/a.rs", "f", 4, "a table")]).len(), 0);
    let seven = "const A: u8 = 0;\n".repeat(7);
    assert_eq!(over(&source(&seven, false), &SMALL, &[]).len(), 1);
    assert_eq!(over(&source(&seven, true), &SMALL, &[]).len(), 0);
    let method = "impl A {\n    fn g(\n        &self,\n    ) -> u8 {\n        1\n    }\n}\n";
    let found = over(&source(method, false), &SMALL, &[]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!((found[1].line, found[1].what.starts_with("`fn g` has 5 lines, at most 3")), (2, true));
}

#[test]
fn headers_and_mod_files_are_wanted() {
    assert!(missing_header(&source("use a::b;", false)).is_some());
    assert!(missing_header(&source("//! Story.\nuse a::b;", false)).is_none());
    assert!(missing_header(&source("use a::b;", true)).is_none());
    let files = ["proto-core/src/link/path/rtt.rs", "proto-core/src/link/mod.rs"].map(str::to_owned);
    let found = folders_without_mod(&files);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].file, "proto-core/src/link/path/mod.rs");
    let named = ["link/mod.rs", "link/frame.rs", "link/frame/tests.rs", "dht.rs", "dht/tests.rs"];
    let found = folders_without_mod(&named.map(|file| format!("proto-core/src/{file}")));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].file, "proto-core/src/dht/mod.rs");
}
