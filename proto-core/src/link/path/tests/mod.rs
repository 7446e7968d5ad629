//! Paths in a small deterministic world. Each test prints what it measured.

mod bulk;
mod faults;
mod scarce;
mod unit;
mod world;
