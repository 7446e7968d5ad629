//! Tests of the sessions: the bench first, then what must hold, one file for each question.

mod attack;
mod beacons;
mod bench;
mod calendar;
mod crossing;
mod figures;
mod golden;
mod handshake;
mod places;
mod rekey;
mod short;
mod statements;
mod visits;
