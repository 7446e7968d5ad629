//! The bodies of the fuzz targets: each takes any bytes and panics when something is wrong.
//!
//! They live here and not with the fuzzer, so that `cargo test` runs them too, over every committed
//! seed and every input that ever failed (`tests/corpus.rs`). The fuzzer only finds new inputs.
//!
//! Bytes at random never pass a checksum, a network tag or a cipher. So most targets read their input as
//! a script: which valid thing to take, and how to spoil it.

mod bundle;
mod codec;
mod gossip;
mod handshake;
mod identity;
mod node;
mod plan;
mod routing;
mod spoil;

pub use bundle::bundle;
pub use codec::{frames, record};
pub use gossip::gossip;
pub use handshake::{handshake_initiator, handshake_responder, packet};
pub use identity::{key_file, statement};
pub use node::node;
pub use plan::plan;
pub use routing::routing;

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target by name, as in `fuzz/fuzz_targets` and `fuzz/corpus`.
pub const TARGETS: &[(&str, Target)] = &[
    ("bundle", bundle),
    ("frames", frames),
    ("gossip", gossip),
    ("handshake_initiator", handshake_initiator),
    ("handshake_responder", handshake_responder),
    ("key_file", key_file),
    ("node", node),
    ("packet", packet),
    ("plan", plan),
    ("record", record),
    ("routing", routing),
    ("statement", statement),
];
