//! Named chaos scenarios, saved regressions, the loader of real networks, and `thallus-sim`.
//!
//! A scenario is a story with a promise at its end: [`scenarios`] has them, one file each. Each makes
//! a [`Plan`](simulator::Plan), the simulator runs it, the simulator's checkers watch, and the
//! scenario's judge measures what it promised. Every run is one line that can be given to somebody
//! else: `thallus-sim run NAME --seed N`.
#![forbid(unsafe_code)]

/// What this build was made from: `commit` and a short name, with `-dirty` behind it when the sources
/// differed from that commit; `unknown commit` without git. It stands beside the seed of every failure.
pub const COMMIT: &str = env!("THALLUS_SIM_COMMIT");

pub mod bench;
pub mod cli;
pub mod engine;
pub mod fail;
pub mod golden;
pub mod memory;
pub mod params;
pub mod peers;
mod processor;
pub mod report;
pub mod scenario;
pub mod scenarios;
pub mod shards;
pub mod sweep;
pub mod topology;
mod witness;
#[cfg(feature = "zoo")]
pub mod zoo;
