//! Who may import whom: between the modules of proto-core, from their sources.

use crate::rules::{BASE, LAYERS, PLAIN};
use crate::source::{Finding, Source, Token};

/// Every import in `source` that its module's row does not allow.
#[must_use]
pub(crate) fn forbidden_imports(source: &Source) -> Vec<Finding> {
    let Some(module) = module_path(&source.file) else { return Vec::new() };
    let Some(own) = module.first() else { return Vec::new() };
    let finding = |line: usize, what: String| Finding { file: source.file.clone(), line, what };
    if !BASE.contains(own) && row(own).is_none() {
        return vec![finding(
            1,
            format!("module `{own}` has no layer: give it a row in tests/tests/tidy/rules.rs"),
        )];
    }
    imports(&source.tokens, &module)
        .into_iter()
        .filter(|(_, path)| !may_use(own, path))
        .map(|(line, path)| {
            let path = path.join("::");
            finding(line, format!("`{own}` may not use `{path}`: {}", remedy(own)))
        })
        .collect()
}

fn row(module: &str) -> Option<&'static [&'static str]> {
    LAYERS.iter().find(|(name, _)| *name == module).map(|(_, uses)| *uses)
}

fn remedy(own: &str) -> String {
    match row(own) {
        Some([]) | None => {
            "it may use only the base and the plain data of store/record, node/input, node/output; \
                            move what is shared down, or pass it as a plain value"
                .to_owned()
        }
        Some(uses) => format!(
            "below it are only the base and {}; let `node` carry what the other needs, as a plain value",
            uses.join(", ")
        ),
    }
}

fn may_use(own: &str, path: &[String]) -> bool {
    let Some(first) = path.first().map(String::as_str) else { return true };
    let second = path.get(1).map(String::as_str).unwrap_or("");
    first == own
        || BASE.contains(&first)
        || PLAIN.contains(&(first, second))
        || row(own).is_some_and(|uses| uses.contains(&first))
}

/// The module that a file of proto-core holds; `None` for other crates and for the crate's root.
fn module_path(file: &str) -> Option<Vec<&str>> {
    let inside = file.strip_prefix("proto-core/src/")?.strip_suffix(".rs")?;
    let mut parts: Vec<&str> = inside.split('/').collect();
    if parts.last() == Some(&"mod") {
        parts.pop();
    }
    (parts != ["lib"]).then_some(parts)
}

/// Every path from the crate's root that the tokens name, with its line: `crate::a::b`, and
/// `super::..` where it leads out to the root. Two parts of each are enough to judge it.
fn imports(tokens: &[Token], module: &[&str]) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let starts_path = index == 0 || tokens.get(index - 1).is_none_or(|before| before.text != "::");
        if !starts_path {
            continue;
        }
        if token.text == "crate" && follows(tokens, index + 1) {
            collect(tokens, index + 2, &[], &mut found);
        }
        if token.text == "super" && follows(tokens, index + 1) {
            let mut ups = 1;
            let mut next = index + 2;
            while tokens.get(next).is_some_and(|t| t.text == "super") && follows(tokens, next + 1) {
                ups += 1;
                next += 2;
            }
            let depth = module.len() + token.inline_mods;
            let Some(left) = depth.checked_sub(ups) else { continue };
            // Inside our own folder (one part or more is left) nothing can be wrong.
            if left == 0 {
                collect(tokens, next, &[], &mut found);
            }
        }
    }
    found
}

fn follows(tokens: &[Token], index: usize) -> bool {
    tokens.get(index).is_some_and(|t| t.text == "::")
}

/// Reads `a::b`, `a::{b, c::d}` or `{a, b::{c}}` from `index`, to two parts a path; returns the index
/// behind it.
fn collect(
    tokens: &[Token],
    index: usize,
    prefix: &[String],
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let Some(token) = tokens.get(index) else { return index };
    if token.text == "{" {
        let mut next = index + 1;
        while tokens.get(next).is_some_and(|t| t.text != "}") {
            next = if matches!(tokens[next].text.as_str(), ",") {
                next + 1
            } else {
                collect(tokens, next, prefix, found).max(next + 1)
            };
        }
        return next + 1;
    }
    let mut path = prefix.to_vec();
    path.push(token.text.clone());
    if follows(tokens, index + 1) {
        return collect(tokens, index + 2, &path, found);
    }
    if !matches!(token.text.as_str(), "self" | "*") || path.len() > 1 {
        found.push((token.line, path));
    }
    index + 1
}

#[cfg(test)]
fn complaints(file: &str, text: &str) -> Vec<String> {
    let source = Source::parse(file, text, false).unwrap();
    forbidden_imports(&source).iter().map(ToString::to_string).collect()
}

#[test]
fn machines_do_not_know_each_other() {
    let cases: &[(&str, &str, usize)] = &[
        ("proto-core/src/session/mod.rs", "use crate::link::Links;", 1),
        ("proto-core/src/link/mod.rs", "use crate::session::Sessions;", 1),
        ("proto-core/src/link/path/rtt.rs", "use super::super::super::session::Opened;", 1),
        ("proto-core/src/link/path/rtt.rs", "use super::super::frame::Frame; use super::loss;", 0),
        ("proto-core/src/link/path/mod.rs", "use crate::{time::Instant, session::{Opened, Sealed}};", 2),
        ("proto-core/src/link/mod.rs", "fn f() { crate::session::open() }", 1),
        ("proto-core/src/link/mod.rs", "mod tests { use super::*; use super::frame::Frame; }", 0),
        ("proto-core/src/link/mod.rs", "mod tests { use super::super::session::X; }", 1),
        ("proto-core/src/link/mod.rs", "use crate::node::Node;", 1),
        ("proto-core/src/link/mod.rs", "use crate::node::input::Class; use crate::store::record::Record;", 0),
        ("proto-core/src/link/mod.rs", "pub(crate) fn f() {} use crate::limits::Limits;", 0),
        ("proto-core/src/identity/mod.rs", "use crate::crypto::sign; use crate::bounded::Window;", 0),
        ("proto-core/src/crypto/aead.rs", "use crate::identity::NodeKeys;", 1),
        ("proto-core/src/codec/reader.rs", "use crate::crypto::hash;", 1),
        ("proto-core/src/node/wiring.rs", "use crate::{link::Links, session::Sessions};", 0),
        ("proto-core/src/gossip/mod.rs", "use crate::routing::Routing;", 1),
        ("proto-core/src/dht/mod.rs", "", 1),
        ("proto-core/src/lib.rs", "pub use crate::link::Links;", 0),
        ("simulator/src/world.rs", "use crate::session::X;", 0),
    ];
    for (file, text, expected) in cases {
        let found = complaints(file, text);
        assert_eq!(found.len(), *expected, "{file}: {text}\n{found:#?}");
    }
}

#[test]
fn the_complaint_names_the_way_out() {
    let found = complaints("proto-core/src/session/mod.rs", "//! x\nuse crate::link::Links;");
    assert!(
        found[0].starts_with("proto-core/src/session/mod.rs:2: `session` may not use `link::Links`"),
        "{}",
        found[0]
    );
    assert!(found[0].contains("let `node` carry"), "{}", found[0]);
}
