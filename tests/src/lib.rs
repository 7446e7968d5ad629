//! Tests across crates, and what several of them share.
#![forbid(unsafe_code)]

pub mod cast;
pub mod fuzz;

use std::path::PathBuf;

/// The folder that holds the workspace's `Cargo.toml`.
///
/// Cargo says where the package is when it runs a test; the place at compile time may be that of
/// another checkout that shares the build folder.
#[must_use]
pub fn workspace_root() -> PathBuf {
    let told = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    let mut root = PathBuf::from(told);
    root.pop();
    root
}
