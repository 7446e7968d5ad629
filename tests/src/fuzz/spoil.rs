//! Spoiling something valid, as noise, bad memory and enemies do.

use arbitrary::{Arbitrary, Result, Unstructured};

/// One change to some bytes. Positions wrap around, so that every change hits.
#[derive(Clone, Debug, Arbitrary)]
enum Change {
    Flip { at: u16, mask: u8 },
    Set { at: u16, to: u8 },
    Truncate { at: u16 },
    Insert { at: u16, byte: u8 },
    Remove { at: u16 },
    Append { bytes: Vec<u8> },
}

/// `bytes` with up to eight changes, which `u` decides. Often none: what is valid has to get through.
///
/// # Errors
/// When `u` has no more bytes to decide with.
pub(crate) fn spoil(u: &mut Unstructured<'_>, bytes: &mut Vec<u8>) -> Result<()> {
    for _ in 0..u.int_in_range(0..=8)? {
        let place = |at: u16, len: usize| usize::from(at) % len.max(1);
        let len = bytes.len();
        match u.arbitrary()? {
            Change::Flip { at, mask } => {
                if let Some(byte) = bytes.get_mut(place(at, len)) {
                    *byte ^= mask;
                }
            }
            Change::Set { at, to } => {
                if let Some(byte) = bytes.get_mut(place(at, len)) {
                    *byte = to;
                }
            }
            Change::Truncate { at } => bytes.truncate(usize::from(at) % (len + 1)),
            Change::Insert { at, byte } => bytes.insert(usize::from(at) % (len + 1), byte),
            Change::Remove { at } => {
                if len > 0 {
                    bytes.remove(place(at, len));
                }
            }
            Change::Append { bytes: more } => bytes.extend_from_slice(&more),
        }
    }
    Ok(())
}
