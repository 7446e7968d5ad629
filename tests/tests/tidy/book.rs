//! The book and the other pages: that every link leads somewhere and no page is forgotten. This
//! needs no mdBook, so it runs with the tests.

use std::collections::BTreeSet;

use crate::source::Finding;

/// A link or include on a page.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Link {
    line: usize,
    target: String,
}

/// Reads a page; the tests hand in pages from memory.
pub(crate) type Read<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Every link of the page `file` that leads nowhere. `exists` knows the project's files and folders.
#[must_use]
pub(crate) fn dead_links(
    file: &str,
    text: &str,
    exists: &dyn Fn(&str) -> bool,
    read: Read<'_>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for link in links(text) {
        let outside = link.target.contains("://") || link.target.starts_with("mailto:");
        if outside || link.target.is_empty() {
            continue;
        }
        let (path, anchor) = link.target.split_once('#').unwrap_or((&link.target, ""));
        let target = if path.is_empty() { file.to_owned() } else { resolve(file, path) };
        let what = if !exists(&target) {
            Some(format!("link to `{}`: there is no `{target}`", link.target))
        } else if !anchor.is_empty() && target.ends_with(".md") && !has_anchor(&target, anchor, read) {
            Some(format!("link to `{}`: `{target}` has no heading `#{anchor}`", link.target))
        } else {
            None
        };
        found.extend(what.map(|what| Finding { file: file.to_owned(), line: link.line, what }));
    }
    found
}

/// Pages of the book that its summary does not name, and decisions that no page of it includes.
#[must_use]
pub(crate) fn forgotten_pages(files: &[String], read: Read<'_>) -> Vec<Finding> {
    const SUMMARY: &str = "docs/src/SUMMARY.md";
    let named = |page: &str| -> BTreeSet<String> {
        let text = read(page).unwrap_or_default();
        links(&text).into_iter().map(|link| resolve(page, &link.target)).collect()
    };
    let in_summary = named(SUMMARY);
    let in_decisions = named("docs/src/decisions.md");
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.ends_with(".md")) {
        let page = file.starts_with("docs/src/") && file != SUMMARY;
        let decision = file.starts_with("docs/decisions/") && !file.ends_with("README.md");
        if page && !in_summary.contains(file) {
            let what = format!("not in {SUMMARY}, so no reader finds it: add it there");
            found.push(Finding { file: file.clone(), line: 1, what });
        }
        if decision && !in_decisions.contains(file) {
            let what = "not included in docs/src/decisions.md: add it there".to_owned();
            found.push(Finding { file: file.clone(), line: 1, what });
        }
    }
    found
}

/// Targets of `[text](target)`, `[text]: target` and `{{#include target}}`, code left out.
fn links(text: &str) -> Vec<Link> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
            continue;
        }
        if in_code {
            continue;
        }
        let line_targets = targets(&without_code_spans(line));
        found.extend(line_targets.into_iter().map(|target| Link { line: index + 1, target }));
    }
    found
}

fn without_code_spans(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

fn targets(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let between = |rest: &str, end: char| rest.split(end).next().unwrap_or("").trim().to_owned();
    for (at, mark) in line.match_indices("](") {
        let target = between(&line[at + mark.len()..], ')');
        found.push(target.split(' ').next().unwrap_or("").to_owned());
    }
    for (at, mark) in line.match_indices("{{#include ") {
        found.push(between(&line[at + mark.len()..], '}'));
    }
    if line.starts_with('[')
        && let Some((_, target)) = line.split_once("]: ")
    {
        found.push(target.trim().to_owned());
    }
    found
}

/// `path` as seen from the page `file`, without `.` and `..`.
fn resolve(file: &str, path: &str) -> String {
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Whether the page has a heading that renders with this anchor.
fn has_anchor(page: &str, anchor: &str, read: Read<'_>) -> bool {
    let text = read(page).unwrap_or_default();
    text.lines().filter(|line| line.starts_with('#')).any(|line| slug(line) == anchor)
}

fn slug(heading: &str) -> String {
    let title = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The commands in the README's code blocks, comments left out.
#[must_use]
pub(crate) fn code_lines(text: &str) -> Vec<String> {
    let mut in_code = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if in_code && !line.trim().is_empty() {
            found.push(line.split(" #").next().unwrap_or("").trim().to_owned());
        }
    }
    found
}

#[test]
fn dead_links_are_seen() {
    let exists = |path: &str| ["docs/src/a.md", "docs/src/spec/wire.md", "README.md"].contains(&path);
    let read =
        |path: &str| (path == "docs/src/spec/wire.md").then(|| "# Wire\n## Data packet: 24 B\n".to_owned());
    let cases = [
        ("[x](spec/wire.md)", 0),
        ("[x](spec/wires.md)", 1),
        ("[x](../../README.md \"title\") and [y](gone.md)", 1),
        ("[x](spec/wire.md#data-packet-24-b)", 0),
        ("[x](spec/wire.md#data-packet)", 1),
        ("[x](https://example.org/gone)", 0),
        ("`[x](gone.md)`", 0),
        ("```\n[x](gone.md)\n```\n[y]: gone.md", 1),
        ("{{#include ../../README.md}} {{#include ../gone.md}}", 1),
    ];
    for (text, expected) in cases {
        let found = dead_links("docs/src/a.md", text, &exists, &read);
        assert_eq!(found.len(), expected, "{text}: {found:?}");
    }
    let found = dead_links("docs/src/a.md", "one\n[x](gone.md)", &exists, &read);
    assert_eq!(found[0].to_string(), "docs/src/a.md:2: link to `gone.md`: there is no `docs/src/gone.md`");
}

#[test]
fn forgotten_pages_are_seen() {
    let files: Vec<String> =
        ["docs/src/SUMMARY.md", "docs/src/a.md", "docs/src/b.md", "docs/decisions/0001-x.md"]
            .map(str::to_owned)
            .to_vec();
    let read = |path: &str| match path {
        "docs/src/SUMMARY.md" => Some("- [A](a.md)".to_owned()),
        _ => None,
    };
    let found: Vec<String> = forgotten_pages(&files, &read).into_iter().map(|f| f.file).collect();
    assert_eq!(found, ["docs/src/b.md", "docs/decisions/0001-x.md"]);
}
