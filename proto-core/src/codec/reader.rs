//! Reading: each field is checked against what is left before it is taken.

use super::Malformed;

/// Takes fields off the front of a byte slice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// What has not been read yet.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything was read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`Malformed`] when fewer are left; nothing is consumed then. The same holds for every reader.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(Malformed)?;
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// [`Malformed`] when fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*head)
    }

    /// Everything that is left.
    pub fn take_rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`Malformed`] at the end.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    /// Two bytes, little-endian.
    ///
    /// # Errors
    /// [`Malformed`] when fewer are left.
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Four bytes, little-endian.
    ///
    /// # Errors
    /// [`Malformed`] when fewer are left.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight bytes, little-endian.
    ///
    /// # Errors
    /// [`Malformed`] when fewer are left.
    pub fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A variable-length integer (RFC 9000, section 16): the two high bits of the first byte give
    /// the length, the rest is big-endian. Longer forms than needed are accepted, as there.
    ///
    /// # Errors
    /// [`Malformed`] when it is cut short.
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        let first = *self.rest.first().ok_or(Malformed)?;
        let bytes = self.take(1 << (first >> 6))?;
        let head = u64::from(first & 0x3f);
        Ok(bytes.iter().skip(1).fold(head, |value, &byte| value << 8 | u64::from(byte)))
    }

    /// A variable-length integer as a length or count within memory.
    ///
    /// # Errors
    /// [`Malformed`] when it is cut short or above `max`.
    pub fn varint_up_to(&mut self, max: u64) -> Result<u64, Malformed> {
        let mut ahead = self.clone();
        let value = ahead.varint()?;
        if value > max {
            return Err(Malformed);
        }
        *self = ahead;
        Ok(value)
    }

    /// A variable-length length, then that many bytes.
    ///
    /// # Errors
    /// [`Malformed`] when either is cut short.
    pub fn prefixed(&mut self) -> Result<&'a [u8], Malformed> {
        let mut ahead = self.clone();
        let len = usize::try_from(ahead.varint()?).map_err(|_| Malformed)?;
        let bytes = ahead.take(len)?;
        *self = ahead;
        Ok(bytes)
    }
}
