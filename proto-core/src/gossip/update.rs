//! News of a member: its own signed word, or what others say of it.
//!
//! Each update has its length before it, so that one of a kind yet unknown is passed over.

use alloc::vec::Vec;

use bytes::Bytes;

use super::message::{list, put_varint, read_router};
use super::signed::Announcement;
use crate::codec::{Malformed, Reader, varint_len};
use crate::ids::RouterId;

mod tag {
    pub(super) const ANNOUNCEMENT: u8 = 1;
    pub(super) const SUSPECT: u8 = 2;
    pub(super) const DEAD: u8 = 3;
}

/// Accusers that one suspicion names.
pub const MOST_ACCUSERS: usize = 4;

/// Bytes of the shortest update of a kind that is known: of one who is dead, since a word with the number 0.
pub(super) const LEAST_UPDATE: usize = 11;

/// Bytes of a member's own word as an update.
pub(super) fn announcement_len(announcement: &Announcement) -> usize {
    with_head(announcement.signed.len())
}

/// Bytes of an update that names so many accusers.
pub(super) fn suspect_len(incarnation: u64, accusers: usize) -> usize {
    with_head(8 + varint_len(incarnation) + 1 + 8 * accusers)
}

/// Bytes of an update that says that somebody is dead.
pub(super) fn dead_len(incarnation: u64) -> usize {
    with_head(8 + varint_len(incarnation))
}

fn with_head(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

/// What is passed on about a member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Update {
    /// Its own word.
    Announcement(Announcement),
    /// It does not answer, others say.
    Suspect {
        /// Who.
        member: RouterId,
        /// Since which word of its own.
        incarnation: u64,
        /// The shortest time that it must be given to speak up, in seconds.
        patience_s: u8,
        /// Who found it silent.
        accusers: Vec<RouterId>,
    },
    /// It has not spoken up.
    Dead {
        /// Who.
        member: RouterId,
        /// Since which word of its own.
        incarnation: u64,
    },
}

impl Update {
    /// Whom it is about.
    #[must_use]
    pub fn member(&self) -> RouterId {
        match self {
            Update::Announcement(announcement) => announcement.member,
            Update::Suspect { member, .. } | Update::Dead { member, .. } => *member,
        }
    }

    /// Bytes that it takes in a message.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Update::Announcement(announcement) => announcement_len(announcement),
            Update::Suspect { incarnation, accusers, .. } => suspect_len(*incarnation, accusers.len()),
            Update::Dead { incarnation, .. } => dead_len(*incarnation),
        }
    }

    /// Never.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    pub(super) fn write(&self, to: &mut Vec<u8>) {
        let mut body = Vec::new();
        let tag = match self {
            Update::Announcement(announcement) => {
                body.extend_from_slice(&announcement.signed);
                tag::ANNOUNCEMENT
            }
            Update::Suspect { member, incarnation, patience_s, accusers } => {
                body.extend_from_slice(&member.0);
                put_varint(&mut body, *incarnation);
                body.push(*patience_s);
                for accuser in accusers.iter().take(MOST_ACCUSERS) {
                    body.extend_from_slice(&accuser.0);
                }
                tag::SUSPECT
            }
            Update::Dead { member, incarnation } => {
                body.extend_from_slice(&member.0);
                put_varint(&mut body, *incarnation);
                tag::DEAD
            }
        };
        to.push(tag);
        put_varint(to, body.len() as u64);
        to.extend_from_slice(&body);
    }

    /// The next update; `None` for one of a kind that this version does not know.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Option<Update>, Malformed> {
        let (kind, body) = (reader.u8()?, reader.prefixed()?);
        let mut reader = Reader::new(body);
        Ok(Some(match kind {
            tag::ANNOUNCEMENT => {
                // Copied: it is kept, and a slice would keep all that it came with.
                Update::Announcement(Announcement::read(Bytes::copy_from_slice(body))?)
            }
            tag::SUSPECT => {
                let (member, incarnation) = (read_router(&mut reader)?, reader.varint()?);
                let patience_s = reader.u8()?;
                let accusers = list(&mut reader, read_router)?;
                if accusers.is_empty() || accusers.len() > MOST_ACCUSERS {
                    return Err(Malformed);
                }
                Update::Suspect { member, incarnation, patience_s, accusers }
            }
            tag::DEAD => {
                let dead = Update::Dead { member: read_router(&mut reader)?, incarnation: reader.varint()? };
                if !reader.is_empty() {
                    return Err(Malformed);
                }
                dead
            }
            _ => return Ok(None),
        }))
    }
}
