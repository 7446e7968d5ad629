//! Two nodes and a wire between them, driven by hand.

mod bench;
mod full;
mod kept;
mod pair;
mod recovered;
