//! What two that carry bundles say to each other: "take this", and what became of it.

use alloc::vec::Vec;

use bytes::Bytes;

use super::record::BundleId;
use crate::codec::{Malformed, Reader, Writer, varint_len};
use crate::time::Duration;

mod kind {
    pub(super) const TAKE: u8 = 0x10;
    pub(super) const TAKEN: u8 = 0x11;
}

/// What became of a bundle that somebody was asked to take.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Answer {
    /// It is kept, in memory.
    Kept,
    /// It is kept, on disk.
    Stored,
    /// Its destination has it, here or before.
    Delivered,
    /// There is no room for it now.
    Full,
    /// It will never be taken here.
    Refused,
}

impl Answer {
    const ALL: [Answer; 5] = [Answer::Kept, Answer::Stored, Answer::Delivered, Answer::Full, Answer::Refused];
}

/// One message between carriers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// Take this into custody, or for yourself.
    Take {
        /// How much longer it may wait, in whole seconds.
        lifetime: Duration,
        /// How often it may still be handed over.
        handovers: u8,
        /// The bundle.
        bundle: Bytes,
    },
    /// What became of one.
    Taken {
        /// Which.
        id: BundleId,
        /// What.
        answer: Answer,
    },
}

impl Message {
    /// Reads one message.
    ///
    /// # Errors
    /// When it is cut short or of an unknown kind.
    pub fn decode(bytes: &Bytes) -> Result<Message, Malformed> {
        let mut reader = Reader::new(bytes);
        match reader.u8()? {
            kind::TAKE => {
                let lifetime = Duration::from_secs(reader.varint_up_to(u64::from(u32::MAX))?);
                let handovers = reader.u8()?;
                let start = bytes.len() - reader.take_rest().len();
                Ok(Message::Take { lifetime, handovers, bundle: bytes.slice(start..) })
            }
            kind::TAKEN => {
                let id = BundleId(reader.array()?);
                let answer = Answer::ALL.get(usize::from(reader.u8()?)).copied().ok_or(Malformed)?;
                Ok(Message::Taken { id, answer })
            }
            _ => Err(Malformed),
        }
    }

    /// The message's bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        Bytes::from(match self {
            Message::Take { lifetime, handovers, bundle } => {
                let seconds = (lifetime.as_micros() / 1_000_000).min(u64::from(u32::MAX));
                let head = 1 + varint_len(seconds) + 1;
                let mut bytes = alloc::vec![0; head + bundle.len()];
                let mut writer = Writer::new(&mut bytes);
                // There is room for all of it: it was counted.
                let _ = writer.u8(kind::TAKE);
                let _ = writer.varint(seconds);
                let _ = writer.u8(*handovers);
                let _ = writer.put(bundle);
                bytes
            }
            Message::Taken { id, answer } => {
                let mut bytes = Vec::with_capacity(18);
                bytes.push(kind::TAKEN);
                bytes.extend_from_slice(&id.0);
                bytes.push(*answer as u8);
                bytes
            }
        })
    }
}
