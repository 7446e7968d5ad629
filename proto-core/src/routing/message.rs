//! What neighbours say to each other about the map, and the packets that they carry for others.
//!
//! Each is one message of the link between them, which delivers it once and says whether it arrived. Two routers that meet
//! compare what they know as two librarians compare catalogues: "of the shelves from A to F I have these editions"; whatever
//! the other has in a later edition, or at all, he sends.

use alloc::vec::Vec;

use bytes::{Buf as _, Bytes};

pub use super::afar::notice::{Address, Notice};
use super::detour::{Avoided, MOST_AVOIDED};
pub use super::landmarks::entry::Entry;
use super::record::{Part, RecordKey};
use crate::codec::{Malformed, NoRoom, Reader, Writer, varint_len};
use crate::ids::RouterId;
use crate::node::input::Class;

mod kind {
    pub(super) const RECORDS: u8 = 0x01;
    pub(super) const SUMMARY: u8 = 0x02;
    pub(super) const REQUEST: u8 = 0x03;
    /// Its low bits say which ends are not named: [`super::IS_LAST`], [`super::IS_FIRST`].
    pub(super) const DATA: u8 = 0x04;
    pub(super) const DATA_LAST: u8 = 0x07;
    /// The same, for ways that are longer than the map: [`super::Afar`] follows the ends.
    pub(super) const DATA_AFAR: u8 = 0x08;
    pub(super) const DATA_AFAR_LAST: u8 = 0x0b;
    pub(super) const LANDMARKS: u8 = 0x0c;
    pub(super) const SKIPPABLE: u8 = 0x80;
}

/// The destination is not named: it is the one to whom the message is sent.
const IS_LAST: u8 = 1;
/// Nor is the source, who sends the message.
const IS_FIRST: u8 = 2;
/// The destination's home is named.
const TO_HOME: u8 = 1;
/// The source's home is named.
const FROM_HOME: u8 = 2;
/// It is for the router itself.
const NOTICE: u8 = 4;
/// An id follows, in the byte of class and number of broken links.
const HAS_ID: u8 = 0x80;
/// So does a list of routers to avoid, in the same byte.
const HAS_AVOIDED: u8 = 0x08;
/// Broken links that a packet can name.
pub const MOST_BROKEN: usize = 4;
/// Bytes of a record's key.
const KEY_BYTES: usize = 9;
/// The longest head of a relayed packet.
pub const MAX_HEAD: usize = 1 + 8 + 8 + 1 + 8 + 8 + 4 + 1 + 1 + MOST_BROKEN * 8 + 1 + MOST_AVOIDED * 4;

/// One message between neighbours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message<'a> {
    /// Records, each as it was signed.
    Records(Entries<'a>),
    /// All that the sender has between two keys.
    Summary(Summary<'a>),
    /// Records that the sender needs.
    Request(Keys<'a>),
    /// A packet on its way to another router: its head, and where in the message the rest begins.
    Data(Head, usize),
    /// How far landmarks are, and how far is asked for.
    Landmarks(Landmarks<'a>),
    /// A kind that this version does not know and may ignore.
    Skipped,
}

/// Who sends a message, and to whom: what the session between them says need not be said in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hop {
    /// Who sends it.
    pub from: RouterId,
    /// To whom.
    pub to: RouterId,
}

/// What a relay reads of a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Head {
    /// Where it goes.
    pub to: RouterId,
    /// Where it came from, as it says.
    pub from: RouterId,
    /// What tells it from another of the same bytes: see [`Head::name`].
    pub id: Option<u32>,
    /// How many more hops it may take.
    pub hops: u8,
    /// How urgent it is.
    pub class: Class,
    /// Links that are broken though the map may still show them, on its way so far.
    pub broken: Vec<Broken>,
    /// Relays that it is not to be handed to, as its source says.
    pub avoid: Vec<Avoided>,
    /// What else is needed where the way is longer than the map.
    pub afar: Afar,
}

/// What a packet says beside its ends where they need not be on the maps of the routers between them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Afar {
    /// The landmark that keeps the destination. Not said on the last hop.
    pub to: Option<RouterId>,
    /// The landmark that keeps the source: where an answer is to go.
    pub from: Option<RouterId>,
    /// It is for the router itself, not for a session behind it.
    pub is_notice: bool,
}

impl Afar {
    fn flags(self) -> u8 {
        let flag = |there: bool, flag: u8| if there { flag } else { 0 };
        flag(self.to.is_some(), TO_HOME) | flag(self.from.is_some(), FROM_HOME) | flag(self.is_notice, NOTICE)
    }
}

impl Head {
    /// What relays know a packet by when it comes by again: its last eight bytes, and where it has one its id. What ends in an
    /// authentication tag of its own needs none: of two such packets the tags differ, but in one of 2^64 cases. A packet of a handshake
    /// is sent again with the same bytes, and has a number by its source. Whoever is to know the name of a packet before it comes
    /// must have had it in his hands.
    #[must_use]
    pub fn name(&self, packet: &[u8]) -> u64 {
        let tail = packet.last_chunk().map_or(0, |&tail| u64::from_le_bytes(tail));
        tail ^ u64::from(self.id.unwrap_or(0))
    }

    /// Whether a packet needs an id: what is no data packet may have been sent before.
    #[must_use]
    pub fn needs_id(packet: &[u8]) -> bool {
        packet.first().is_none_or(|first| first & 0x80 == 0)
    }
}

/// A link that does not work in this direction now, by the first four bytes of both names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Broken {
    from: [u8; 4],
    to: [u8; 4],
}

impl Broken {
    /// The link from one router to another.
    #[must_use]
    pub fn between(from: RouterId, to: RouterId) -> Broken {
        Broken { from: short(from), to: short(to) }
    }
}

/// The first four bytes of a name.
pub(super) fn short(router: RouterId) -> [u8; 4] {
    let [a, b, c, d, ..] = router.0;
    [a, b, c, d]
}

impl<'a> Message<'a> {
    /// Reads one message that came by this hop. Lists in it are checked as they are read.
    ///
    /// # Errors
    /// When it is cut short, of an unknown kind that may not be skipped, or names an end that need not be named.
    pub fn decode(bytes: &'a [u8], hop: Hop) -> Result<Message<'a>, Malformed> {
        let mut reader = Reader::new(bytes);
        Ok(match reader.u8()? {
            kind::RECORDS => Message::Records(Entries { reader }),
            kind::SUMMARY => {
                let (from, to) = (read_key(&mut reader)?, read_key(&mut reader)?);
                Message::Summary(Summary { from, to, reader })
            }
            kind::REQUEST => Message::Request(Keys { reader }),
            kind @ (kind::DATA..=kind::DATA_LAST | kind::DATA_AFAR..=kind::DATA_AFAR_LAST) => {
                let head = read_head(&mut reader, kind, hop)?;
                Message::Data(head, bytes.len() - reader.rest().len())
            }
            kind::LANDMARKS => Message::Landmarks(Landmarks { reader }),
            kind::SKIPPABLE.. => Message::Skipped,
            _ => return Err(Malformed),
        })
    }
}

/// The records in a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entries<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<&'a [u8], Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        next_of(&mut self.reader, Reader::prefixed)
    }
}

/// What is said of landmarks in a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Landmarks<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Landmarks<'a> {
    type Item = Result<Entry<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        next_of(&mut self.reader, Entry::read)
    }
}

/// What a neighbour has of the records from one key to another, both included; of one that is not named it has none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary<'a> {
    /// The first key that it speaks of.
    pub from: RecordKey,
    /// The last.
    pub to: RecordKey,
    reader: Reader<'a>,
}

impl Iterator for Summary<'_> {
    type Item = Result<(RecordKey, u64), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        next_of(&mut self.reader, |reader| Ok((read_key(reader)?, reader.varint()?)))
    }
}

/// Keys of records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keys<'a> {
    reader: Reader<'a>,
}

impl Iterator for Keys<'_> {
    type Item = Result<RecordKey, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        next_of(&mut self.reader, read_key)
    }
}

/// The next entry of a list that runs to the end of the message; nothing after an error.
fn next_of<'a, T>(
    reader: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Option<Result<T, Malformed>> {
    if reader.is_empty() {
        return None;
    }
    let entry = read(reader);
    if entry.is_err() {
        reader.take_rest();
    }
    Some(entry)
}

fn read_router(reader: &mut Reader<'_>) -> Result<RouterId, Malformed> {
    Ok(RouterId(reader.array()?))
}

fn read_key(reader: &mut Reader<'_>) -> Result<RecordKey, Malformed> {
    let router = read_router(reader)?;
    let part = Part::from_u8(reader.u8()?).ok_or(Malformed)?;
    Ok(RecordKey { router, part })
}

/// An end of a packet: one of the hop if it is not named.
fn read_end(reader: &mut Reader<'_>, is_near: bool, near: RouterId) -> Result<RouterId, Malformed> {
    if is_near {
        return Ok(near);
    }
    let router = read_router(reader)?;
    if router == near { Err(Malformed) } else { Ok(router) }
}

fn read_head(reader: &mut Reader<'_>, kind: u8, hop: Hop) -> Result<Head, Malformed> {
    let to = read_end(reader, kind & IS_LAST != 0, hop.to)?;
    let from = read_end(reader, kind & IS_FIRST != 0, hop.from)?;
    let afar = if kind >= kind::DATA_AFAR { read_afar(reader, kind)? } else { Afar::default() };
    let (hops, counts) = (reader.u8()?, reader.u8()?);
    let id = if counts & HAS_ID != 0 { Some(reader.u32()?) } else { None };
    let class = Class::ALL.get(usize::from(counts >> 4 & 7)).copied().ok_or(Malformed)?;
    let count = usize::from(counts & 0x07);
    if count > MOST_BROKEN {
        return Err(Malformed);
    }
    let mut broken = Vec::with_capacity(count);
    for _ in 0..count {
        broken.push(Broken { from: reader.array()?, to: reader.array()? });
    }
    let avoid = if counts & HAS_AVOIDED != 0 { read_avoided(reader)? } else { Vec::new() };
    Ok(Head { to, from, id, hops, class, broken, avoid, afar })
}

fn read_avoided(reader: &mut Reader<'_>) -> Result<Vec<Avoided>, Malformed> {
    let count = usize::from(reader.u8()?);
    if count == 0 || count > MOST_AVOIDED {
        return Err(Malformed);
    }
    (0..count).map(|_| Ok(Avoided(reader.array()?))).collect()
}

fn read_afar(reader: &mut Reader<'_>, kind: u8) -> Result<Afar, Malformed> {
    let flags = reader.u8()?;
    let last_with_home = kind & IS_LAST != 0 && flags & TO_HOME != 0;
    if flags == 0 || flags > (TO_HOME | FROM_HOME | NOTICE) || last_with_home {
        return Err(Malformed);
    }
    let mut home = |flag: u8| if flags & flag != 0 { read_router(reader).map(Some) } else { Ok(None) };
    let (to, from) = (home(TO_HOME)?, home(FROM_HOME)?);
    Ok(Afar { to, from, is_notice: flags & NOTICE != 0 })
}

/// A message being written, up to a number of bytes.
#[derive(Debug)]
pub struct Builder {
    bytes: Vec<u8>,
    most: usize,
    empty_len: usize,
}

impl Builder {
    fn new(kind: u8, most: usize) -> Builder {
        Builder { bytes: alloc::vec![kind], most, empty_len: 1 }
    }

    /// A message of records.
    #[must_use]
    pub fn records(most: usize) -> Builder {
        Builder::new(kind::RECORDS, most)
    }

    /// A message that asks for records.
    #[must_use]
    pub fn request(most: usize) -> Builder {
        Builder::new(kind::REQUEST, most)
    }

    /// A summary that begins with this key; [`Builder::end_summary`] says where it ends.
    #[must_use]
    pub fn summary(most: usize, from: RecordKey) -> Builder {
        let mut builder = Builder::new(kind::SUMMARY, most);
        builder.push_key(from);
        builder.push_key(from);
        builder.empty_len = builder.bytes.len();
        builder
    }

    /// Says up to which key a summary speaks.
    pub fn end_summary(&mut self, to: RecordKey) {
        let at = 1 + KEY_BYTES;
        if let Some(place) = self.bytes.get_mut(at..at + KEY_BYTES) {
            let (router, part) = place.split_at_mut(KEY_BYTES - 1);
            router.copy_from_slice(&to.router.0);
            part.fill(to.part.as_u8());
        }
    }

    fn push_key(&mut self, key: RecordKey) {
        self.bytes.extend_from_slice(&key.router.0);
        self.bytes.push(key.part.as_u8());
    }

    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it says nothing yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == self.empty_len
    }

    fn has_room(&self, len: usize) -> bool {
        self.bytes.len() + len <= self.most
    }

    /// Adds a record to a message of records.
    ///
    /// # Errors
    /// When there is no room left; nothing has changed then.
    pub fn record(&mut self, record: &[u8]) -> Result<(), NoRoom> {
        let len = varint_len(record.len() as u64) + record.len();
        if !self.has_room(len) {
            return Err(NoRoom);
        }
        let start = self.bytes.len();
        self.bytes.resize(start + len, 0);
        Writer::new(self.bytes.get_mut(start..).unwrap_or(&mut [])).prefixed(record)
    }

    /// Adds a key to a message that asks.
    ///
    /// # Errors
    /// When there is no room left; nothing has changed then.
    pub fn key(&mut self, key: RecordKey) -> Result<(), NoRoom> {
        if !self.has_room(KEY_BYTES) {
            return Err(NoRoom);
        }
        self.push_key(key);
        Ok(())
    }

    /// A message about landmarks.
    #[must_use]
    pub fn landmarks(most: usize) -> Builder {
        Builder::new(kind::LANDMARKS, most)
    }

    /// Adds to a message about landmarks what is said of one.
    ///
    /// # Errors
    /// When there is no room left; nothing has changed then.
    pub fn entry(&mut self, entry: &Entry<'_>) -> Result<(), NoRoom> {
        let bytes = entry.to_bytes();
        if !self.has_room(bytes.len()) {
            return Err(NoRoom);
        }
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    /// Adds to a summary what its sender has.
    ///
    /// # Errors
    /// When there is no room left; nothing has changed then.
    pub fn version(&mut self, key: RecordKey, sequence: u64) -> Result<(), NoRoom> {
        let len = KEY_BYTES + varint_len(sequence);
        if !self.has_room(len) {
            return Err(NoRoom);
        }
        self.push_key(key);
        let start = self.bytes.len();
        self.bytes.resize(start + varint_len(sequence), 0);
        Writer::new(self.bytes.get_mut(start..).unwrap_or(&mut [])).varint(sequence)
    }

    /// The message.
    #[must_use]
    pub fn finish(self) -> Bytes {
        Bytes::from(self.bytes)
    }
}

/// A packet to be relayed, as a message for this hop.
#[must_use]
pub fn encode_data(head: &Head, hop: Hop, packet: &[u8]) -> Bytes {
    let mut buf = [0; MAX_HEAD];
    joined(write_head(head, hop, &mut buf), packet)
}

fn joined(head: &[u8], packet: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(head.len() + packet.len());
    bytes.extend_from_slice(head);
    bytes.extend_from_slice(packet);
    Bytes::from(bytes)
}

/// Puts this head, for this hop, before the packet that begins at `start`, in the place of what is there: in the same memory if nobody
/// else has it and there is room. The message, and where in it the packet begins.
#[must_use]
pub fn replace_head(message: Bytes, start: usize, head: &Head, hop: Hop) -> (Bytes, usize) {
    let mut buf = [0; MAX_HEAD];
    let new = write_head(head, hop, &mut buf);
    let first = start.checked_sub(new.len());
    let message = match message.try_into_mut() {
        Ok(mut message) => {
            if let Some(first) = first
                && let Some(place) = message.get_mut(first..start)
            {
                place.copy_from_slice(new);
                let mut message = message.freeze();
                message.advance(first);
                return (message, new.len());
            }
            message.freeze()
        }
        Err(shared) => shared,
    };
    (joined(new, message.get(start..).unwrap_or(&[])), new.len())
}

fn write_head<'a>(head: &Head, hop: Hop, buf: &'a mut [u8; MAX_HEAD]) -> &'a [u8] {
    let mut writer = Writer::new(buf);
    // There is room for the longest.
    let _ = put_head(head, hop, &mut writer);
    let len = writer.len();
    buf.get(..len).unwrap_or(&[])
}

fn put_head(head: &Head, hop: Hop, writer: &mut Writer<'_>) -> Result<(), NoRoom> {
    let (is_last, is_first) = (head.to == hop.to, head.from == hop.from);
    let (last, first) = (if is_last { IS_LAST } else { 0 }, if is_first { IS_FIRST } else { 0 });
    let afar = Afar { to: head.afar.to.filter(|_| !is_last), ..head.afar };
    writer.u8(if afar.flags() == 0 { kind::DATA } else { kind::DATA_AFAR } | last | first)?;
    if !is_last {
        writer.put(&head.to.0)?;
    }
    if !is_first {
        writer.put(&head.from.0)?;
    }
    if afar.flags() != 0 {
        writer.u8(afar.flags())?;
        for home in [afar.to, afar.from].into_iter().flatten() {
            writer.put(&home.0)?;
        }
    }
    let broken = head.broken.get(..MOST_BROKEN).unwrap_or(&head.broken);
    let has_id = if head.id.is_some() { HAS_ID } else { 0 };
    writer.u8(head.hops)?;
    let avoid = head.avoid.get(..MOST_AVOIDED).unwrap_or(&head.avoid);
    let has_avoided = if avoid.is_empty() { 0 } else { HAS_AVOIDED };
    writer.u8(has_id | (head.class as u8) << 4 | has_avoided | broken.len() as u8)?;
    if let Some(id) = head.id {
        writer.u32(id)?;
    }
    for link in broken {
        writer.put(&link.from)?;
        writer.put(&link.to)?;
    }
    if !avoid.is_empty() {
        writer.u8(avoid.len() as u8)?;
        for router in avoid {
            writer.put(&router.0)?;
        }
    }
    Ok(())
}
