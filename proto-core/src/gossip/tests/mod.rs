//! Tests of gossip: the bench first, then what must hold, one file for each part.

mod bench;
mod spreading;
mod watching;
