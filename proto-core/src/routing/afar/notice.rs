//! What routers that are far from each other say to each other: packets for the router itself, not for a session behind it.
//!
//! Any relay, and whoever claims to be one, can write such a packet. So nothing in it counts but what is signed, and what was asked for under
//! a number that only who carries the answer can know.

use alloc::vec::Vec;

use bytes::Bytes;

use crate::codec::{Malformed, Reader, Writer};
use crate::ids::{NodeId, RouterId};

mod kind {
    pub(super) const PUBLISH: u8 = 0x01;
    pub(super) const KEPT: u8 = 0x02;
    pub(super) const QUERY: u8 = 0x03;
    pub(super) const ANSWER: u8 = 0x04;
    pub(super) const ASTRAY: u8 = 0x05;
    pub(super) const SKIPPABLE: u8 = 0x40;
}

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notice<'a> {
    /// Keep this address: two records.
    Publish(Address<'a>),
    /// The address of this number is kept.
    Kept {
        /// The number of its record.
        sequence: u64,
    },
    /// Where is this node?
    Query {
        /// Comes back with the answer.
        nonce: u64,
        /// Which.
        node: NodeId,
    },
    /// Where it is; `None` when that is not known.
    Answer {
        /// From the question.
        nonce: u64,
        /// The address.
        address: Option<Address<'a>>,
    },
    /// A packet for this router came to the landmark that it named, and that does not know it.
    Astray {
        /// Which router.
        to: RouterId,
    },
    /// Something of a later version.
    Skipped,
}

/// Where a router is: its papers, and its word of who keeps it, both as they were signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Address<'a> {
    /// The record of its papers.
    pub papers: &'a [u8],
    /// The record of its home.
    pub home: &'a [u8],
}

impl<'a> Address<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Address<'a>, Malformed> {
        Ok(Address { papers: reader.prefixed()?, home: reader.prefixed()? })
    }
}

impl<'a> Notice<'a> {
    /// Reads one.
    ///
    /// # Errors
    /// When it is cut short or of an unknown kind that may not be skipped.
    pub fn decode(bytes: &'a [u8]) -> Result<Notice<'a>, Malformed> {
        let mut reader = Reader::new(bytes);
        Ok(match reader.u8()? {
            kind::PUBLISH => Notice::Publish(Address::read(&mut reader)?),
            kind::KEPT => Notice::Kept { sequence: reader.varint()? },
            kind::QUERY => Notice::Query { nonce: reader.u64()?, node: NodeId(reader.array()?) },
            kind::ANSWER => {
                let nonce = reader.u64()?;
                let address = if reader.is_empty() { None } else { Some(Address::read(&mut reader)?) };
                Notice::Answer { nonce, address }
            }
            kind::ASTRAY => Notice::Astray { to: RouterId(reader.array()?) },
            // Below 0x80, so that it has an id like every packet that may be sent twice.
            kind::SKIPPABLE..0x80 => Notice::Skipped,
            _ => return Err(Malformed),
        })
    }

    /// Its bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        const FIXED: usize = 1 + 8 + 32 + 8;
        let most = match self {
            Notice::Publish(address) | Notice::Answer { address: Some(address), .. } => {
                FIXED + address.papers.len() + address.home.len()
            }
            Notice::Kept { .. }
            | Notice::Query { .. }
            | Notice::Answer { address: None, .. }
            | Notice::Astray { .. }
            | Notice::Skipped => FIXED,
        };
        let mut buf: Vec<u8> = alloc::vec![0; most];
        let mut writer = Writer::new(&mut buf);
        // There is room.
        let _ = self.write(&mut writer);
        let len = writer.len();
        buf.truncate(len);
        Bytes::from(buf)
    }

    fn write(&self, writer: &mut Writer<'_>) -> Result<(), crate::codec::NoRoom> {
        let put = |writer: &mut Writer<'_>, address: &Address<'_>| {
            writer.prefixed(address.papers)?;
            writer.prefixed(address.home)
        };
        match self {
            Notice::Publish(address) => {
                writer.u8(kind::PUBLISH)?;
                put(writer, address)
            }
            Notice::Kept { sequence } => {
                writer.u8(kind::KEPT)?;
                writer.varint(*sequence)
            }
            Notice::Query { nonce, node } => {
                writer.u8(kind::QUERY)?;
                writer.u64(*nonce)?;
                writer.put(&node.0)
            }
            Notice::Answer { nonce, address } => {
                writer.u8(kind::ANSWER)?;
                writer.u64(*nonce)?;
                address.as_ref().map_or(Ok(()), |address| put(writer, address))
            }
            Notice::Astray { to } => {
                writer.u8(kind::ASTRAY)?;
                writer.put(&to.0)
            }
            Notice::Skipped => writer.u8(kind::SKIPPABLE),
        }
    }
}
