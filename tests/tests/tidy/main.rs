//! Reads the project's own files and holds them to the rules of the house: who may import whom,
//! which names stay out, how long things may be, which dependencies there are, and that no link is
//! dead. The rules are the tables in `rules.rs`; every complaint says where and what to do instead.
//!
//! Each module also carries tests that feed it bad snippets: a rule that cannot fail is no rule.

mod book;
mod layers;
mod names;
mod rules;
mod sizes;
mod source;
mod tree;

use std::path::PathBuf;

use source::Finding;

fn root() -> PathBuf {
    tests::workspace_root()
}

/// Fails with one line for each finding.
fn none_of(mut findings: Vec<Finding>) {
    findings.sort();
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} found:\n{}\n", lines.len(), lines.join("\n"));
}

fn read(file: &str) -> Option<String> {
    std::fs::read_to_string(root().join(file)).ok()
}

/// Text that people wrote: code, pages, settings, scripts.
fn is_text(file: &str) -> bool {
    const ENDINGS: [&str; 8] = [".rs", ".toml", ".md", ".sh", ".yml", ".proto", "justfile", ".ci/run"];
    ENDINGS.iter().any(|ending| file.ends_with(ending))
}

#[test]
fn no_banned_names() {
    let sources = source::rust_sources(&root());
    assert!(sources.len() > 20, "the sources were found");
    none_of(sources.iter().flat_map(names::banned_names).collect());
}

#[test]
fn places_that_the_rules_name_are_there() {
    let places = rules::BANNED.iter().flat_map(|rule| rule.within.iter().chain(rule.except));
    let longer = rules::LARGER.iter().map(|row| &row.0);
    let exists = |place: &str| root().join(place).exists();
    none_of(names::gone(places.chain(longer).copied(), &exists));
}

#[test]
fn no_banned_words() {
    let files = source::project_files(&root());
    let texts = files.iter().filter(|file| is_text(file)).filter_map(|file| Some((file, read(file)?)));
    none_of(texts.flat_map(|(file, text)| names::banned_words(file, &text)).collect());
}

#[test]
fn imports_follow_the_layers() {
    none_of(source::rust_sources(&root()).iter().flat_map(layers::forbidden_imports).collect());
}

#[test]
fn files_and_functions_are_short_and_say_what_they_are_for() {
    let sources = source::rust_sources(&root());
    let mut findings: Vec<Finding> = sources.iter().flat_map(sizes::too_long).collect();
    findings.extend(sources.iter().filter_map(sizes::missing_header));
    findings.extend(sizes::folders_without_mod(&source::project_files(&root())));
    none_of(findings);
}

#[test]
fn dependencies_follow_deny_toml() {
    let policy = tree::Policy::parse(&read("deny.toml").expect("deny.toml")).unwrap();
    let packages = tree::packages(&root()).unwrap();
    assert!(packages.iter().any(|package| package.name == "blake3" && package.shipped));
    none_of(tree::complaints(&packages, &policy));
}

#[test]
fn every_crate_takes_the_workspaces_lints() {
    let missing = rules::CRATES.iter().map(|(name, _)| format!("{name}/Cargo.toml")).filter(|file| {
        let manifest: toml::Table = read(file).unwrap_or_default().parse().unwrap_or_default();
        let lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
        lints.and_then(toml::Value::as_bool) != Some(true)
    });
    let what = "add `[lints]` with `workspace = true`".to_owned();
    none_of(missing.map(|file| Finding { file, line: 1, what: what.clone() }).collect());
}

/// The workspace's lints forbid it too. Here whoever reads a crate sees it, and those outside the workspace
/// are held to it.
#[test]
fn the_root_of_every_crate_forbids_unsafe_code() {
    const FORBIDDEN: &str = "#![forbid(unsafe_code)]";
    let is_root = |file: &&String| {
        file.ends_with("/src/lib.rs")
            || file.ends_with("/src/main.rs")
            || file.starts_with("fuzz/fuzz_targets/")
    };
    let files = source::project_files(&root());
    let roots: Vec<&String> = files.iter().filter(is_root).collect();
    assert!(roots.len() > rules::CRATES.len(), "the roots were found");
    let without = roots
        .into_iter()
        .filter(|file| !read(file).unwrap_or_default().lines().any(|line| line == FORBIDDEN));
    let what = format!("add `{FORBIDDEN}`");
    none_of(without.map(|file| Finding { file: file.clone(), line: 1, what: what.clone() }).collect());
}

#[test]
fn links_lead_somewhere_and_no_page_is_forgotten() {
    let files = source::project_files(&root());
    let exists = |path: &str| root().join(path).exists();
    let pages = files.iter().filter(|file| file.ends_with(".md"));
    let mut findings: Vec<Finding> = pages
        .flat_map(|file| book::dead_links(file, &read(file).unwrap_or_default(), &exists, &read))
        .collect();
    findings.extend(book::forgotten_pages(&files, &read));
    none_of(findings);
}

/// What the README promises is what is checked: its two commands stand in `.ci/run` as they are.
#[test]
fn the_readmes_commands_are_run_by_ci() {
    let readme = book::code_lines(&read("README.md").expect("README.md"));
    let script = read(".ci/run").expect(".ci/run");
    let commands: Vec<&String> = readme.iter().filter(|line| line.starts_with("cargo ")).collect();
    assert!(commands.len() >= 2, "the README shows its two commands");
    for command in commands.iter().take(2) {
        assert!(script.contains(command.as_str()), ".ci/run does not run `{command}`");
    }
}
