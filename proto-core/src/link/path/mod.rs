//! One path to a peer: which packets arrived, how long they take, how fast they may be sent.

mod piece;

pub use piece::{Fate, Piece};
