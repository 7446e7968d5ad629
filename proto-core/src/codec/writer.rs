//! Writing into a buffer of fixed size: a field that does not fit changes nothing.

use super::{NoRoom, VARINT_MAX, varint_len};

/// Puts fields into a byte slice, one after another.
#[derive(Debug)]
pub struct Writer<'a> {
    buf: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    /// Writes from the start of `buf`.
    #[must_use]
    pub fn new(buf: &'a mut [u8]) -> Self {
        Writer { buf, len: 0 }
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that still fit.
    #[must_use]
    pub fn room(&self) -> usize {
        self.buf.len() - self.len
    }

    /// What was written.
    #[must_use]
    pub fn written(&self) -> &[u8] {
        self.buf.get(..self.len).unwrap_or(&[])
    }

    /// Takes back everything after the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Writes `bytes`.
    ///
    /// # Errors
    /// [`NoRoom`] when they do not fit; nothing is written then. The same holds for every writer.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        let end = self.len.checked_add(bytes.len()).ok_or(NoRoom)?;
        self.buf.get_mut(self.len..end).ok_or(NoRoom)?.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    /// Writes one byte.
    ///
    /// # Errors
    /// [`NoRoom`] when it does not fit.
    pub fn u8(&mut self, value: u8) -> Result<(), NoRoom> {
        self.put(&[value])
    }

    /// Writes two bytes, little-endian.
    ///
    /// # Errors
    /// [`NoRoom`] when they do not fit.
    pub fn u16(&mut self, value: u16) -> Result<(), NoRoom> {
        self.put(&value.to_le_bytes())
    }

    /// Writes four bytes, little-endian.
    ///
    /// # Errors
    /// [`NoRoom`] when they do not fit.
    pub fn u32(&mut self, value: u32) -> Result<(), NoRoom> {
        self.put(&value.to_le_bytes())
    }

    /// Writes eight bytes, little-endian.
    ///
    /// # Errors
    /// [`NoRoom`] when they do not fit.
    pub fn u64(&mut self, value: u64) -> Result<(), NoRoom> {
        self.put(&value.to_le_bytes())
    }

    /// Writes a variable-length integer in its shortest form; values above [`VARINT_MAX`] do not fit.
    ///
    /// # Errors
    /// [`NoRoom`] when it does not fit.
    pub fn varint(&mut self, value: u64) -> Result<(), NoRoom> {
        if value > VARINT_MAX {
            return Err(NoRoom);
        }
        let len = varint_len(value);
        let prefix = (len.trailing_zeros() as u64) << (8 * len - 2);
        let bytes = (value | prefix).to_be_bytes();
        self.put(bytes.get(8 - len..).unwrap_or(&[]))
    }

    /// Writes a variable-length length, then the bytes.
    ///
    /// # Errors
    /// [`NoRoom`] when both together do not fit.
    pub fn prefixed(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        if self.room() < varint_len(bytes.len() as u64) + bytes.len() {
            return Err(NoRoom);
        }
        self.varint(bytes.len() as u64)?;
        self.put(bytes)
    }
}
