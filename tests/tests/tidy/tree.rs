//! The tree of dependencies: one version of each crate, known licences, one source, and the
//! workspace's own order. `deny.toml` is the list; this reads it with cargo's own answer, so that
//! it holds without cargo-deny being installed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::rules::CRATES;
use crate::source::Finding;

/// The only place that dependencies come from, as cargo writes it in `Cargo.lock`.
const REGISTRY_PREFIX: &str = "registry+";

/// One package as cargo describes it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// Its licence expression, if it states one.
    pub(crate) license: Option<String>,
    /// Where it comes from; `None` for a folder of the workspace.
    pub(crate) source: Option<String>,
    /// Name, required version and whether it is only for tests, of each dependency it states.
    pub(crate) needs: Vec<Need>,
    /// Whether it is in a build without tests.
    pub(crate) shipped: bool,
}

/// One stated dependency.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Need {
    /// Of what.
    pub(crate) name: String,
    /// Which versions will do; `*` for any.
    pub(crate) req: String,
    /// Only for tests, examples and benches.
    pub(crate) dev: bool,
    /// A folder, not a registry.
    pub(crate) is_path: bool,
}

/// What `deny.toml` allows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Policy {
    licenses: BTreeSet<String>,
    exceptions: BTreeMap<String, BTreeSet<String>>,
    /// Name and version of what may stand beside another version.
    skip: Vec<(String, String)>,
}

impl Policy {
    /// Reads `deny.toml`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Policy, String> {
        let table: toml::Table = text.parse().map_err(|e| format!("deny.toml: {e}"))?;
        let strings = |value: Option<&toml::Value>| -> BTreeSet<String> {
            let list = value.and_then(toml::Value::as_array).into_iter().flatten();
            list.filter_map(toml::Value::as_str).map(str::to_owned).collect()
        };
        let section = |name: &str| table.get(name).and_then(toml::Value::as_table);
        let licenses = section("licenses").ok_or("deny.toml: no [licenses]")?;
        let bans = section("bans").ok_or("deny.toml: no [bans]")?;
        let mut policy = Policy { licenses: strings(licenses.get("allow")), ..Policy::default() };
        for row in licenses.get("exceptions").and_then(toml::Value::as_array).into_iter().flatten() {
            let name =
                row.get("crate").and_then(toml::Value::as_str).ok_or("deny.toml: exception without crate")?;
            policy.exceptions.insert(name.to_owned(), strings(row.get("allow")));
        }
        for row in bans.get("skip").and_then(toml::Value::as_array).into_iter().flatten() {
            let named = row.get("crate").and_then(toml::Value::as_str).and_then(|text| text.split_once('@'));
            let (name, version) = named.ok_or("deny.toml: skip needs crate = \"name@version\"")?;
            if row.get("reason").and_then(toml::Value::as_str).is_none_or(str::is_empty) {
                return Err(format!("deny.toml: skip of {name} gives no reason"));
            }
            policy.skip.push((name.to_owned(), version.to_owned()));
        }
        Ok(policy)
    }
}

/// Asks cargo for every package of the workspace, all platforms and features.
///
/// # Errors
/// Cargo's own words.
pub(crate) fn packages(root: &Path) -> Result<Vec<Package>, String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--all-features", "--locked"])
        .current_dir(root)
        .output()
        .map_err(|e| format!("cargo metadata: {e}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "cargo metadata failed; with a network, run `cargo fetch --locked` once:\n{said}"
        ));
    }
    let value: Value = serde_json::from_slice(&output.stdout).map_err(|e| format!("cargo metadata: {e}"))?;
    let shipped = shipped_ids(&value);
    Ok(list(&value, "packages").map(|package| read_package(package, &shipped)).collect())
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or("").to_owned()
}

fn read_package(value: &Value, shipped: &BTreeSet<String>) -> Package {
    let optional = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let need = |need: &Value| Need {
        name: text(need, "name"),
        req: text(need, "req"),
        dev: text(need, "kind") == "dev",
        is_path: need.get("path").is_some_and(Value::is_string),
    };
    Package {
        name: text(value, "name"),
        version: text(value, "version"),
        license: optional("license"),
        source: optional("source"),
        needs: list(value, "dependencies").map(need).collect(),
        shipped: shipped.contains(&text(value, "id")),
    }
}

/// The packages that are reached from the workspace's members without a dependency for tests only.
fn shipped_ids(metadata: &Value) -> BTreeSet<String> {
    let nodes: BTreeMap<String, Vec<String>> = metadata
        .get("resolve")
        .map(|resolve| list(resolve, "nodes").map(|node| (text(node, "id"), shipped_deps(node))).collect())
        .unwrap_or_default();
    let members = list(metadata, "workspace_members").filter_map(Value::as_str).map(str::to_owned);
    let mut open: Vec<String> = members.collect();
    let mut reached = BTreeSet::new();
    while let Some(id) = open.pop() {
        if reached.insert(id.clone()) {
            open.extend(nodes.get(&id).cloned().unwrap_or_default());
        }
    }
    reached
}

fn shipped_deps(node: &Value) -> Vec<String> {
    let ships = |dep: &&Value| list(dep, "dep_kinds").any(|kind| text(kind, "kind") != "dev");
    list(node, "deps").filter(ships).map(|dep| text(dep, "pkg")).collect()
}

/// Everything in `packages` that `policy` or the workspace's order does not allow.
#[must_use]
pub(crate) fn complaints(packages: &[Package], policy: &Policy) -> Vec<Finding> {
    let mut found = versions(packages, policy);
    for package in packages {
        if package.source.is_none() {
            found.extend(own_needs(package));
            continue;
        }
        found.extend(license(package, policy));
        if !package.source.as_deref().unwrap_or("").starts_with(REGISTRY_PREFIX) {
            let what = format!("`{}` comes from outside the registry: use a published version", package.name);
            found.push(Finding { file: "Cargo.lock".to_owned(), line: 1, what });
        }
    }
    found
}

fn license(package: &Package, policy: &Policy) -> Option<Finding> {
    let none = BTreeSet::new();
    let extra = policy.exceptions.get(&package.name).unwrap_or(&none);
    let fine = |name: &str| policy.licenses.contains(name) || extra.contains(name);
    let stated = package.license.as_deref().unwrap_or("");
    let allowed = spdx::Expression::parse_mode(stated, spdx::ParseMode::LAX)
        .is_ok_and(|expression| expression.evaluate(|wanted| fine(&wanted.to_string())));
    (!allowed).then(|| Finding {
        file: "deny.toml".to_owned(),
        line: 1,
        what: format!(
            "`{}` is under `{stated}`, which [licenses] does not allow: use another crate",
            package.name
        ),
    })
}

/// Two versions of one crate in a build that ships, unless all but one stand in `skip`; and rows of
/// `skip` that nothing needs any more.
fn versions(packages: &[Package], policy: &Policy) -> Vec<Finding> {
    let finding = |what: String| Finding { file: "deny.toml".to_owned(), line: 1, what };
    let mut by_name: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages.iter().filter(|package| package.shipped) {
        by_name.entry(&package.name).or_default().insert(&package.version);
    }
    let mut found = Vec::new();
    for (name, versions) in &by_name {
        let kept =
            versions.iter().filter(|version| !policy.skip.iter().any(|row| covers(row, name, version)));
        if versions.len() > 1 && kept.count() > 1 {
            found.push(finding(format!(
                "`{name}` is built in several versions ({}): bring them together, or name all but one in [bans] skip",
                versions.iter().copied().collect::<Vec<_>>().join(", ")
            )));
        }
    }
    for row in &policy.skip {
        let several = by_name.get(row.0.as_str()).filter(|versions| versions.len() > 1);
        if !several.is_some_and(|versions| versions.iter().any(|version| covers(row, &row.0, version))) {
            found.push(finding(format!("skip of `{}@{}` is not needed any more: remove it", row.0, row.1)));
        }
    }
    found
}

/// `2` covers `2.0.119` and not `20.1`.
fn covers((name, version): &(String, String), of: &str, actual: &str) -> bool {
    name == of && (actual == version || actual.starts_with(&format!("{version}.")))
}

fn own_needs(package: &Package) -> Vec<Finding> {
    let finding = |what: String| Finding { file: format!("{}/Cargo.toml", package.name), line: 1, what };
    let Some((_, allowed)) = CRATES.iter().find(|(name, _)| *name == package.name) else {
        return vec![finding(
            "no row in CRATES (tests/tests/tidy/rules.rs): say what it may depend on".to_owned(),
        )];
    };
    let mut found = Vec::new();
    for need in &package.needs {
        if need.is_path && !need.dev && !allowed.contains(&need.name.as_str()) {
            found.push(finding(format!(
                "may not depend on `{}`: the workspace's order is in CRATES",
                need.name
            )));
        }
        if !need.is_path && need.req == "*" {
            found.push(finding(format!("`{}` in any version: state the version", need.name)));
        }
    }
    found
}

#[cfg(test)]
fn package(name: &str, version: &str, license: &str) -> Package {
    Package {
        name: name.to_owned(),
        version: version.to_owned(),
        license: Some(license.to_owned()),
        source: Some("registry+x".to_owned()),
        needs: Vec::new(),
        shipped: true,
    }
}

#[cfg(test)]
const POLICY: &str = r#"
[licenses]
allow = ["MIT", "Apache-2.0"]
exceptions = [{ crate = "odd", allow = ["MPL-2.0"] }]
[bans]
skip = [{ crate = "syn@2", reason = "macros of two generations" }]
"#;

#[cfg(test)]
fn count(packages: &[Package]) -> usize {
    let pair = [package("syn", "2.0.1", "MIT"), package("syn", "3.0.0", "MIT")];
    let policy = Policy::parse(POLICY).unwrap();
    complaints(&[packages, &pair].concat(), &policy).len()
}

#[test]
fn licences_are_read_as_expressions() {
    let cases = [
        ("MIT OR GPL-3.0-only", 0),
        ("MIT/Apache-2.0", 0),
        ("MIT AND GPL-3.0-only", 1),
        ("(MIT OR Apache-2.0) AND Apache-2.0", 0),
        ("Apache-2.0 WITH LLVM-exception", 1),
        ("MPL-2.0", 1),
        ("", 1),
    ];
    for (license, expected) in cases {
        assert_eq!(count(&[package("a", "1.0.0", license)]), expected, "{license}");
    }
    assert_eq!(count(&[package("odd", "1.0.0", "MPL-2.0")]), 0);
}

#[test]
fn two_versions_are_seen_unless_skipped_or_only_in_tests() {
    assert_eq!(count(&[]), 0, "syn 2 is skipped");
    assert_eq!(count(&[package("a", "1.0.0", "MIT"), package("a", "2.0.0", "MIT")]), 1);
    let in_tests = Package { shipped: false, ..package("a", "2.0.0", "MIT") };
    assert_eq!(count(&[package("a", "1.0.0", "MIT"), in_tests]), 0);
    let policy = Policy::parse(POLICY).unwrap();
    assert_eq!(complaints(&[package("syn", "2.0.1", "MIT")], &policy).len(), 1, "skip without need");
    assert!(Policy::parse("[licenses]\n[bans]\nskip = [{ crate = \"syn@2\" }]").is_err(), "no reason given");
}

#[test]
fn sources_and_the_workspaces_order_are_held() {
    let git = Package { source: Some("git+x".to_owned()), ..package("a", "1.0.0", "MIT") };
    assert_eq!(count(&[git]), 1);
    let need = |name: &str, req: &str, dev: bool, is_path: bool| Need {
        name: name.to_owned(),
        req: req.to_owned(),
        dev,
        is_path,
    };
    let own = |needs: Vec<Need>| Package { source: None, needs, ..package("simulator", "0.1.0", "MIT") };
    assert_eq!(
        count(&[own(vec![need("proto-core", "*", false, true), need("toml", "^1", false, false)])]),
        0
    );
    assert_eq!(count(&[own(vec![need("scenarios", "*", false, true)])]), 1);
    assert_eq!(count(&[own(vec![need("scenarios", "*", true, true)])]), 0);
    assert_eq!(count(&[own(vec![need("toml", "*", false, false)])]), 1);
    assert_eq!(count(&[Package { source: None, ..package("newcomer", "0.1.0", "MIT") }]), 1);
}
