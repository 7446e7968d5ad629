//! Tests across crates: what several of them share.

pub mod cast;
pub mod fuzz;
