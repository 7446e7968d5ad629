//! What neighbours say to each other of landmarks, as it stands in a message.

use alloc::vec::Vec;

use crate::codec::{Malformed, NoRoom, Reader, Writer};
use crate::ids::RouterId;

/// A word follows.
const WORD: u8 = 1;
/// Papers follow.
const PAPERS: u8 = 2;
/// There is no way.
const NO_WAY: u8 = 4;
/// It asks.
const ASKS: u8 = 8;
/// Whoever asks lacks a word.
const LACKS: u8 = 16;
/// Sequence numbers and distances are below this.
const END: u64 = 1 << 62;

/// One thing that is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry<'a> {
    /// How far a landmark is from the sender.
    Way {
        /// Which.
        router: RouterId,
        /// Under which word.
        sequence: u64,
        /// How far, in eighths of a microsecond, less than 2^62; `None` when there is no way.
        distance: Option<u64>,
        /// The newest word of it, signed, if the neighbour may lack it.
        word: Option<&'a [u8]>,
        /// The record of its papers, if the neighbour may lack it.
        papers: Option<&'a [u8]>,
    },
    /// A way is asked for under this word or a newer one.
    Ask {
        /// To which landmark.
        router: RouterId,
        /// Which word.
        sequence: u64,
        /// How many more routers may pass this on.
        hops: u8,
        /// The sender lacks the papers or the word.
        lacks: bool,
    },
}

impl<'a> Entry<'a> {
    /// Reads one.
    ///
    /// # Errors
    /// When it is cut short, contradicts itself, or a number is too large.
    pub fn read(reader: &mut Reader<'a>) -> Result<Entry<'a>, Malformed> {
        let flags = reader.u8()?;
        let router = RouterId(reader.array()?);
        let sequence = reader.varint_up_to(END - 1)?;
        if flags & ASKS != 0 {
            if flags & !(ASKS | LACKS) != 0 {
                return Err(Malformed);
            }
            let hops = reader.u8()?;
            return Ok(Entry::Ask { router, sequence, hops, lacks: flags & LACKS != 0 });
        }
        if flags & !(WORD | PAPERS | NO_WAY) != 0 {
            return Err(Malformed);
        }
        let distance = if flags & NO_WAY == 0 { Some(reader.varint_up_to(END - 1)?) } else { None };
        let word = if flags & WORD != 0 { Some(reader.prefixed()?) } else { None };
        let papers = if flags & PAPERS != 0 { Some(reader.prefixed()?) } else { None };
        Ok(Entry::Way { router, sequence, distance, word, papers })
    }

    /// Writes it.
    ///
    /// # Errors
    /// When there is no room for it.
    pub fn write(&self, writer: &mut Writer<'_>) -> Result<(), NoRoom> {
        match *self {
            Entry::Way { router, sequence, distance, word, papers } => {
                let flag = |there: bool, flag: u8| if there { flag } else { 0 };
                let flags = flag(word.is_some(), WORD)
                    | flag(papers.is_some(), PAPERS)
                    | flag(distance.is_none(), NO_WAY);
                writer.u8(flags)?;
                writer.put(&router.0)?;
                writer.varint(sequence)?;
                if let Some(distance) = distance {
                    writer.varint(distance.min(END - 1))?;
                }
                word.map_or(Ok(()), |word| writer.prefixed(word))?;
                papers.map_or(Ok(()), |papers| writer.prefixed(papers))
            }
            Entry::Ask { router, sequence, hops, lacks } => {
                writer.u8(ASKS | if lacks { LACKS } else { 0 })?;
                writer.put(&router.0)?;
                writer.varint(sequence)?;
                writer.u8(hops)
            }
        }
    }

    /// Its bytes. Room is made for the longest that there can be.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        const FIXED: usize = 1 + 8 + 8 + 8 + 4 + 4;
        let longest = match self {
            Entry::Way { word, papers, .. } => {
                FIXED + word.map_or(0, <[u8]>::len) + papers.map_or(0, <[u8]>::len)
            }
            Entry::Ask { .. } => FIXED,
        };
        let mut buf = alloc::vec![0; longest];
        let mut writer = Writer::new(&mut buf);
        // There is room.
        let _ = self.write(&mut writer);
        let len = writer.len();
        buf.truncate(len);
        buf
    }
}
