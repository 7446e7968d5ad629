//! Tests of routing: the bench first, then what must hold, one file for each question.

mod bench;
mod flooding;
mod packets;
mod records;
mod vicinity;
