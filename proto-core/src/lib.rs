//! The Thallus protocol engine: small state machines that do not know each other, and one `Node`
//! that owns them all. No clock, no sockets, no disk, no threads, no ambient randomness: a shell
//! says what happened ([`node::Input`]) and does what it is told ([`node::Output`]).
//!
//! Layers, each of which may use only those before it; actions go down, inputs come up:
//! the base, then `crypto`, `identity`, `session`, `link`, `routing`, `bundle` (what is kept for those who are away), `gossip` (which members
//! there are, and what is said to all of them), and `node` above all.
#![no_std]
#![forbid(unsafe_code)]
// What a peer sends must not be able to end the process.
#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

// The base everyone may use.
pub mod beacon;
pub mod bounded;
pub mod carried;
pub mod codec;
pub mod drops;
pub mod ids;
pub mod limits;
pub mod machine;
pub mod params;
pub mod rng;
pub mod time;
pub mod wake;
pub mod zoo;

pub mod crypto;
pub mod identity;
pub mod session;

pub mod bundle;
pub mod gossip;
pub mod link;
pub mod routing;
pub mod store;

pub mod node;
