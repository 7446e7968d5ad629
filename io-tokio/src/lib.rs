//! The server shell: what the engine needs from the world, on tokio.
//!
//! The engine is a clerk in a room without windows. This crate is the messenger at the door: it tells
//! the time, brings in letters from the street and carries out what the clerk hands over, puts into the
//! safe what must not be lost, and never opens a letter itself. There is no protocol here.
//!
//! - [`udp`]: a socket as a link. [`address`]: socket addresses as the engine's opaque addresses.

pub mod address;
pub mod udp;

pub use udp::UdpLink;
