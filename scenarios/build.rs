//! Tells the command which commit it was built from.
//!
//! A run that failed in the night is repeated in the morning, by somebody else, with another build. The
//! seed alone does not bring it back: a seed means what the code of one commit makes of it. So the name
//! of the commit is built in, and whether the sources were still those of the commit.
//!
//! Cargo is told to look again when the commit changes or one of the sources does, and not otherwise. Git
//! itself is asked where it keeps what names the commit: a second worktree keeps it elsewhere. A build
//! without git, from an archive, or inside somebody else's repository is of an unknown commit.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the command is built from, seen from the workspace's root. A page that was edited changes no run.
const SOURCES: [&str; 10] = [
    "Cargo.lock",
    "Cargo.toml",
    "proto-core/Cargo.toml",
    "proto-core/src",
    "scenarios/Cargo.toml",
    "scenarios/build.rs",
    "scenarios/golden.txt",
    "scenarios/src",
    "simulator/Cargo.toml",
    "simulator/src",
];

fn main() {
    let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let workspace = package.parent().unwrap_or(&package);
    for source in SOURCES {
        watch(&workspace.join(source));
    }
    let commit = commit(workspace).unwrap_or_else(|| "unknown commit".to_owned());
    println!("cargo::rustc-env=THALLUS_SIM_COMMIT={commit}");
}

/// `commit`, its short name, and `-dirty` when a source is not as it is there.
fn commit(workspace: &Path) -> Option<String> {
    // Sources that were unpacked inside another project's repository are not in its commits.
    git(workspace, &["ls-files", "--error-unmatch", "scenarios/build.rs"])?;
    watch_commit(workspace);
    let name = git(workspace, &["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(workspace, &[&["status", "--porcelain", "--"][..], &SOURCES].concat())?;
    Some(format!("commit {name}{}", if changed.is_empty() { "" } else { "-dirty" }))
}

/// Looks again when another commit is checked out, and when the branch gets a new one. A branch without a
/// file of its own has its commit among the packed ones, and gets the file with its next commit: until
/// then the folder is watched in which that will appear.
fn watch_commit(workspace: &Path) {
    let place = |name: &str| Some(workspace.join(git(workspace, &["rev-parse", "--git-path", name])?));
    for name in ["HEAD", "packed-refs", "reftable"] {
        place(name).as_deref().map(watch);
    }
    let branch = git(workspace, &["symbolic-ref", "--quiet", "HEAD"]).and_then(|branch| place(&branch));
    if let Some(there) = branch.iter().flat_map(|branch| branch.ancestors()).find(|path| path.exists()) {
        watch(there);
    }
}

/// Cargo takes a file that is not there for one that has changed, every time.
fn watch(path: &Path) {
    if path.exists() {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

/// What git says, trimmed; `None` when there is no git, or it knows no answer.
fn git(workspace: &Path, args: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    command.arg("--no-optional-locks").args(args).current_dir(workspace);
    // Set in a hook, they may mean another repository.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(name);
    }
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
