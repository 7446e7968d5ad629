//! Bytes on the wire: a reader and a writer that cannot run past their ends.

mod reader;
mod writer;

pub use reader::Reader;
pub use writer::Writer;

/// The input ended early or a length points outside it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("malformed: a field runs past the end")]
pub struct Malformed;

/// The output buffer is full. What was written before the failed call is untouched.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no room left in the buffer")]
pub struct NoRoom;

/// The largest number a variable-length integer holds (RFC 9000, section 16).
pub const VARINT_MAX: u64 = (1 << 62) - 1;

/// How many bytes `value` takes as a variable-length integer: 1, 2, 4 or 8.
#[must_use]
pub const fn varint_len(value: u64) -> usize {
    if value < 1 << 6 {
        1
    } else if value < 1 << 14 {
        2
    } else if value < 1 << 30 {
        4
    } else {
        8
    }
}

#[cfg(test)]
mod tests;
