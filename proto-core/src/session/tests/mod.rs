//! Tests of the sessions: the bench first, then what must hold, one file for each question.

mod bench;
mod crossing;
mod handshake;
