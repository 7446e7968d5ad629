//! The server shell: what the engine needs from the world, on tokio.
//!
//! The engine is a clerk in a room without windows. This crate is the messenger at the door: it tells
//! the time, brings in letters from the street and carries out what the clerk hands over, puts into the
//! safe what must not be lost, and never opens a letter itself. There is no protocol here.
//!
//! - [`runner`]: owns a `Node` and moves inputs and outputs until it is told to stop.
//! - [`link`]: what it asks of a carrier of datagrams. [`udp`]: a socket as a link. [`address`]: socket
//!   addresses as the engine's opaque addresses.
//! - [`events`]: what the node has to say, until the application takes it.
//! - [`records`]: where records go: memory, or an append-only file.
#![forbid(unsafe_code)]

pub mod address;
pub mod events;
pub mod keyfile;
pub mod link;
pub mod records;
mod remedy;
pub mod runner;
pub mod udp;

pub use events::Events;
pub use link::{Link, LinkReport};
pub use records::{FileRecords, MemoryRecords, Records};
pub use runner::{Handle, Report, Runner, Setup, StorageError};
pub use udp::UdpLink;
