//! Wire form of the handshake family: every packet whose first bit is 0.
//!
//! ```text
//! prelude   kind u8 | lowest version u8 | highest version u8 | sender's index u24        all packets, all versions
//! body      depends on kind and version
//! cookie    16 bytes, zero when unused                                                   InitIk, InitXx, Response, Finish
//! tag       16 bytes (8 in Fragment): BLAKE3 keyed with the network's hello key          all packets, all versions
//! ```
//!
//! Prelude and tag never change, so any two versions can tell each other that they do not fit. The
//! tag is the first and cheapest test: who is not of the network costs one hash and hears nothing.
//! All numbers are little-endian. Golden vectors: `tests/golden.rs`.

use alloc::vec::Vec;

use crate::codec::{Malformed, Reader};
use crate::crypto::hash;
use crate::crypto::noise::Pattern;
use crate::drops::Drop;

/// Length of the network tag.
pub(super) const TAG_LEN: usize = 16;
/// Length of the network tag of a fragment.
pub(super) const FRAGMENT_TAG_LEN: usize = 8;
/// Length of what names the place that a beacon is sent from.
pub(super) const PLACE_LEN: usize = 4;
/// Length of a cookie.
pub(super) const COOKIE_LEN: usize = 16;
/// Length of what starts every packet.
pub(super) const PRELUDE_LEN: usize = 6;
/// Length of an Init beyond its Noise message.
pub(super) const INIT_OVERHEAD: usize = PRELUDE_LEN + COOKIE_LEN + TAG_LEN;
/// Length of a Response beyond its Noise message.
pub(super) const RESPONSE_OVERHEAD: usize = PRELUDE_LEN + 3 + 8 + COOKIE_LEN + TAG_LEN;
/// Length of a hint: exactly that of the shortest data packet that is ever sent (one-byte PING).
pub(super) const UNKNOWN_LEN: usize = PRELUDE_LEN + TAG_LEN;
/// Length of a note that no version fits.
pub(super) const INCOMPATIBLE_LEN: usize = PRELUDE_LEN + 3 + 8 + TAG_LEN;
/// Bytes of a fragment beyond its data.
pub(super) const FRAGMENT_OVERHEAD: usize = PRELUDE_LEN + 4 + 2 + 2 + FRAGMENT_TAG_LEN;
/// The longest handshake packet. What is longer is not taken, and is not sent: one with papers of
/// [`MAX_PAPERS_BYTES`](crate::identity::MAX_PAPERS_BYTES) fits, and nobody's own are longer.
pub const MAX_HANDSHAKE_BYTES: usize = 4096;

/// The lowest and highest protocol version that a node speaks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Versions {
    /// The oldest.
    pub lowest: u8,
    /// The newest.
    pub highest: u8,
}

impl Versions {
    /// The highest version that both speak. Numbers, compared as numbers.
    #[must_use]
    pub fn common(self, other: Versions) -> Option<u8> {
        let best = self.highest.min(other.highest);
        (best >= self.lowest.max(other.lowest)).then_some(best)
    }
}

/// What a packet is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Kind {
    InitIk = 1,
    InitXx = 2,
    Response = 3,
    Finish = 4,
    Cookie = 5,
    Incompatible = 6,
    Fragment = 7,
    UnknownSession = 8,
    Refusal = 9,
    Beacon = 10,
}

/// Whether a packet of a handshake is to be answered by whoever gets it, and is sent again until it is.
#[must_use]
pub fn is_call(packet: &[u8]) -> bool {
    let kind = packet.first().copied().and_then(Kind::of);
    matches!(kind, Some(Kind::InitIk | Kind::InitXx | Kind::Finish))
}

impl Kind {
    fn of(byte: u8) -> Option<Kind> {
        Some(match byte {
            1 => Kind::InitIk,
            2 => Kind::InitXx,
            3 => Kind::Response,
            4 => Kind::Finish,
            5 => Kind::Cookie,
            6 => Kind::Incompatible,
            7 => Kind::Fragment,
            8 => Kind::UnknownSession,
            9 => Kind::Refusal,
            10 => Kind::Beacon,
            _ => return None,
        })
    }

    fn tag_len(self) -> usize {
        match self {
            Kind::Fragment => FRAGMENT_TAG_LEN,
            Kind::InitIk
            | Kind::InitXx
            | Kind::Response
            | Kind::Finish
            | Kind::Cookie
            | Kind::Incompatible
            | Kind::UnknownSession
            | Kind::Refusal
            | Kind::Beacon => TAG_LEN,
        }
    }
}

/// A packet whose tag has not been checked.
pub(super) struct Unchecked<'a> {
    kind: Kind,
    versions: Versions,
    sender: u32,
    covered: &'a [u8],
    tag: &'a [u8],
}

/// A packet made by somebody who knows the hello key. Its body has not been read.
pub(super) struct Packet<'a> {
    pub(super) kind: Kind,
    pub(super) versions: Versions,
    /// The sender's index; in a hint, the index that is unknown there.
    pub(super) sender: u32,
    /// Everything before the tag.
    covered: &'a [u8],
    /// The whole tag; the first eight bytes of it in a fragment, then zeros.
    pub(super) tag: [u8; TAG_LEN],
}

impl<'a> Unchecked<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Unchecked<'a>, Drop> {
        let mut reader = Reader::new(bytes);
        let mut prelude =
            || Ok::<_, Malformed>((reader.u8()?, reader.u8()?, reader.u8()?, u24(&mut reader)?));
        let (kind, lowest, highest, sender) = prelude().map_err(|_| Drop::Malformed)?;
        let kind = Kind::of(kind).ok_or(Drop::UnknownKind)?;
        if lowest > highest || bytes.len() < PRELUDE_LEN + kind.tag_len() {
            return Err(Drop::Malformed);
        }
        let (covered, tag) = bytes.split_at_checked(bytes.len() - kind.tag_len()).ok_or(Drop::Malformed)?;
        Ok(Unchecked { kind, versions: Versions { lowest, highest }, sender, covered, tag })
    }

    /// Checks the tag under one hello key.
    pub(super) fn check(&self, hello: &[u8; 32]) -> Option<Packet<'a>> {
        let expected = hash::mac(hello, &[self.covered]);
        if !hash::equal(expected.get(..self.tag.len())?, self.tag) {
            return None;
        }
        let mut tag = [0; TAG_LEN];
        tag.get_mut(..self.tag.len())?.copy_from_slice(self.tag);
        Some(Packet {
            kind: self.kind,
            versions: self.versions,
            sender: self.sender,
            covered: self.covered,
            tag,
        })
    }
}

/// What a packet says.
pub(super) enum Body<'a> {
    Init {
        pattern: Pattern,
        noise: &'a [u8],
        cookie: [u8; COOKIE_LEN],
        /// Everything before the cookie: what makes two packets the same question.
        question: &'a [u8],
    },
    Response {
        receiver: u32,
        /// The start of the question's tag: only who has seen the question can answer it.
        echo: [u8; 8],
        noise: &'a [u8],
    },
    Finish {
        receiver: u32,
        noise: &'a [u8],
    },
    Cookie {
        receiver: u32,
        echo: [u8; 8],
        /// Masked with the question's tag.
        cookie: [u8; COOKIE_LEN],
    },
    Incompatible {
        receiver: u32,
        echo: [u8; 8],
    },
    Fragment {
        id: u32,
        total: u16,
        offset: u16,
        data: &'a [u8],
    },
    UnknownSession,
    Refusal {
        receiver: u32,
        sealed: [u8; 17],
        /// What the seal covers besides the reason.
        aad: &'a [u8],
    },
    Beacon {
        /// The next one comes within `2^span` milliseconds.
        span: u8,
        /// The place that it was sent from, under the hello key.
        place: [u8; PLACE_LEN],
    },
}

impl<'a> Packet<'a> {
    /// Reads the body. To be called only when the versions fit.
    pub(super) fn body(&self) -> Result<Body<'a>, Malformed> {
        let mut reader = Reader::new(self.covered);
        reader.take(PRELUDE_LEN)?;
        let body = match self.kind {
            Kind::InitIk => self.init(Pattern::Ik)?,
            Kind::InitXx => self.init(Pattern::Xx)?,
            Kind::Response => {
                let (receiver, echo) = (u24(&mut reader)?, reader.array()?);
                Body::Response { receiver, echo, noise: before_cookie(reader.rest())? }
            }
            Kind::Finish => {
                Body::Finish { receiver: u24(&mut reader)?, noise: before_cookie(reader.rest())? }
            }
            Kind::Cookie => {
                let body = Body::Cookie {
                    receiver: u24(&mut reader)?,
                    echo: reader.array()?,
                    cookie: reader.array()?,
                };
                reader.is_empty().then_some(body).ok_or(Malformed)?
            }
            Kind::Incompatible => Body::Incompatible { receiver: u24(&mut reader)?, echo: reader.array()? },
            Kind::Fragment => Body::Fragment {
                id: reader.u32()?,
                total: reader.u16()?,
                offset: reader.u16()?,
                data: reader.take_rest(),
            },
            Kind::UnknownSession => Body::UnknownSession,
            Kind::Refusal => {
                let receiver = u24(&mut reader)?;
                let sealed = reader.array()?;
                let aad = self.covered.get(..PRELUDE_LEN + 3).ok_or(Malformed)?;
                reader.is_empty().then_some(Body::Refusal { receiver, sealed, aad }).ok_or(Malformed)?
            }
            // What a later version may add behind it is not read.
            Kind::Beacon => Body::Beacon { span: reader.u8()?, place: reader.array()? },
        };
        Ok(body)
    }

    fn init(&self, pattern: Pattern) -> Result<Body<'a>, Malformed> {
        let len = self.covered.len().checked_sub(COOKIE_LEN).ok_or(Malformed)?;
        let (question, cookie) = self.covered.split_at_checked(len).ok_or(Malformed)?;
        let noise = question.get(PRELUDE_LEN..).ok_or(Malformed)?;
        Ok(Body::Init { pattern, noise, cookie: cookie.try_into().map_err(|_| Malformed)?, question })
    }

    /// The first half of the tag, by which an answer names its question.
    pub(super) fn echo(&self) -> [u8; 8] {
        self.tag.first_chunk().copied().unwrap_or_default()
    }
}

fn before_cookie(rest: &[u8]) -> Result<&[u8], Malformed> {
    let len = rest.len().checked_sub(COOKIE_LEN).ok_or(Malformed)?;
    rest.get(..len).ok_or(Malformed)
}

fn u24(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    let [a, b, c] = reader.array()?;
    Ok(u32::from_le_bytes([a, b, c, 0]))
}

/// Writes one packet, front to back. What is sent again is kept for a minute and more, so it takes no more room than it is long.
pub(super) struct Builder(Vec<u8>);

impl Builder {
    pub(super) fn new(kind: Kind, versions: Versions, sender: u32) -> Builder {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(&[kind as u8, versions.lowest, versions.highest]);
        Builder(bytes).index(sender)
    }

    pub(super) fn index(mut self, index: u32) -> Builder {
        let [a, b, c, _] = index.to_le_bytes();
        self.0.extend_from_slice(&[a, b, c]);
        self
    }

    pub(super) fn put(mut self, bytes: &[u8]) -> Builder {
        self.0.reserve_exact(bytes.len());
        self.0.extend_from_slice(bytes);
        self
    }

    /// Goes on behind what was written before.
    pub(super) fn from_written(written: &[u8]) -> Builder {
        Builder(written.to_vec())
    }

    /// What was written so far.
    pub(super) fn written(&self) -> &[u8] {
        &self.0
    }

    /// Appends the tag.
    pub(super) fn seal(self, hello: &[u8; 32]) -> Vec<u8> {
        let tag = hash::mac(hello, &[&self.0]);
        self.put(&tag).0
    }

    /// Appends a fragment's shorter tag.
    pub(super) fn seal_fragment(self, hello: &[u8; 32]) -> Vec<u8> {
        let tag = hash::mac(hello, &[&self.0]);
        self.put(tag.get(..FRAGMENT_TAG_LEN).unwrap_or(&[])).0
    }
}

/// The tag at the end of a finished packet.
pub(super) fn tag_of(packet: &[u8]) -> [u8; TAG_LEN] {
    packet.last_chunk().copied().unwrap_or_default()
}
