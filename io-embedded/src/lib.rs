//! The embedded shell: the engine on a board with a small network stack and no operating system.
//!
//! There is no task, no lock and no queue here. The firmware's own loop owns the network interface,
//! the device and the sockets, as smoltcp wants it; a [`Runner`] owns the node and takes one turn
//! whenever the loop comes by. The turn says when it wants the next one, so the processor may sleep.
//!
//! - [`runner`]: one turn of a node. [`link`]: a smoltcp UDP socket as a link.
//! - [`address`]: endpoints as the engine's opaque addresses.
//! - [`records`]: what a board has to offer to keep records.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod address;
pub mod link;
pub mod records;
pub mod runner;

pub use link::UdpLink;
pub use records::Records;
pub use runner::Runner;
