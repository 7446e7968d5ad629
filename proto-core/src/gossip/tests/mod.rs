//! Tests of gossip: the bench first, then what must hold, one file for each part.

mod bench;
mod keeping;
mod meeting;
mod messages;
mod seats;
mod spreading;
mod views;
mod watching;
