//! Tests of routing: the bench first, then what must hold, one file for each question.

pub(crate) mod bench;
mod detours;
mod flooding;
mod golden;
mod large;
mod packets;
mod records;
mod scarce;
mod trust;
mod vicinity;
