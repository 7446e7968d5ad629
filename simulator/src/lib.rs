//! The seeded world.
pub mod draw;
pub mod plan;
pub use plan::Plan;
pub fn run() {}
