//! Paths in a small deterministic world. Each test prints what it measured.

mod bulk;
mod faults;
mod unit;
mod world;
