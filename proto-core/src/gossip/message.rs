//! What members say to each other, byte by byte.
//!
//! Kinds begin at `0x20`, so that they can share a channel with routing's. Lists run to the end of their message and are read
//! whole: a message with one bad entry says nothing. Whatever is signed is kept as it came and passed on so.

use alloc::vec::Vec;

use bytes::Bytes;

use super::signed::{Broadcast, MessageId};
use super::update::Update;
use crate::codec::{Malformed, Reader, VARINT_MAX, Writer};
use crate::ids::RouterId;

/// Bits of the byte of a question and of its answer.
mod flag {
    pub(super) const WATCHED: u8 = 1;
    pub(super) const GUARDED: u8 = 2;
}

mod kind {
    pub(super) const JOIN: u8 = 0x20;
    pub(super) const FORWARD_JOIN: u8 = 0x21;
    pub(super) const NEIGHBOUR: u8 = 0x22;
    pub(super) const ANSWER: u8 = 0x23;
    pub(super) const DISCONNECT: u8 = 0x24;
    pub(super) const SHUFFLE: u8 = 0x25;
    pub(super) const SHUFFLE_REPLY: u8 = 0x26;
    pub(super) const BROADCAST: u8 = 0x28;
    pub(super) const IHAVE: u8 = 0x29;
    pub(super) const GRAFT: u8 = 0x2a;
    pub(super) const PRUNE: u8 = 0x2b;
    pub(super) const DIGEST: u8 = 0x2c;
    pub(super) const SUMMARY: u8 = 0x2d;
    pub(super) const WANT: u8 = 0x2e;
    pub(super) const UPDATES: u8 = 0x2f;
    pub(super) const PING: u8 = 0x30;
    pub(super) const ACK: u8 = 0x31;
    pub(super) const PING_REQUEST: u8 = 0x32;
    pub(super) const NACK: u8 = 0x33;
    pub(super) const SKIPPABLE: u8 = 0x80;
}

/// Entries of one list.
const MOST_ENTRIES: usize = 1_024;
/// Parts into which the table of members is cut to be compared.
pub const BUCKETS: usize = 16;
/// How a member stands, in a summary.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Stand {
    /// It takes part.
    Present,
    /// It was found dead.
    Dead,
    /// It has left.
    Left,
}

impl Stand {
    const ALL: [Stand; 3] = [Stand::Present, Stand::Dead, Stand::Left];
}

/// What somebody knows of a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Who.
    pub member: RouterId,
    /// Its latest word.
    pub incarnation: u64,
    /// How it stands.
    pub stand: Stand,
}

/// Numbers of one origin's broadcasts, one after another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The first.
    pub first: MessageId,
    /// How many, at most 1,024.
    pub count: u16,
}

/// One message between members.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// Let me in.
    Join,
    /// Somebody wants in: pass it on so often.
    ForwardJoin {
        /// Who.
        joined: RouterId,
        /// How many more hops.
        hops: u8,
    },
    /// Be my neighbour in the overlay.
    Neighbour {
        /// I have nobody else.
        urgent: bool,
    },
    /// The answer to that, or to JOIN.
    Answer {
        /// Whether the sender now counts the receiver among its neighbours.
        accepted: bool,
    },
    /// I am not your neighbour.
    Disconnect,
    /// Some members that I know; the one at the end of the walk answers to `origin`.
    Shuffle {
        /// Who began.
        origin: RouterId,
        /// How many more hops.
        hops: u8,
        /// Members.
        members: Vec<RouterId>,
    },
    /// Some members in return.
    ShuffleReply {
        /// Members.
        members: Vec<RouterId>,
    },
    /// Something said to all.
    Broadcast(Broadcast),
    /// Broadcasts that the sender has, with the hops that they took.
    IHave(Vec<(MessageId, u8)>),
    /// Broadcasts that the sender needs.
    Graft {
        /// The receiver shall send what is new at once from now on.
        eager: bool,
        /// Which.
        ids: Vec<MessageId>,
    },
    /// Only say what you have from now on.
    Prune,
    /// What the sender has, in short.
    Digest {
        /// It is the answer to one.
        reply: bool,
        /// A sum over the members present in each sixteenth of the names.
        buckets: [u32; BUCKETS],
        /// Broadcasts.
        runs: Vec<Run>,
    },
    /// All members in one sixteenth of the names, in part if it is too long.
    Summary {
        /// Which sixteenth.
        bucket: u8,
        /// All of it is there.
        complete: bool,
        /// Who.
        entries: Vec<Entry>,
    },
    /// Members of whom the sender needs to know.
    Want(Vec<RouterId>),
    /// News of members.
    Updates(Vec<Update>),
    /// Are you there?
    Ping {
        /// Comes back.
        nonce: u32,
        /// The sender has the receiver in its active view.
        watched: bool,
        /// The sender has direct neighbours enough in its view.
        guarded: bool,
        /// News.
        updates: Vec<Update>,
    },
    /// I am here; or the one is whom you asked me to ask.
    Ack {
        /// From the question.
        nonce: u32,
        /// The sender has direct neighbours enough in its view.
        guarded: bool,
        /// News.
        updates: Vec<Update>,
    },
    /// Ask somebody for me.
    PingRequest {
        /// Comes back.
        nonce: u32,
        /// Whom.
        target: RouterId,
        /// News.
        updates: Vec<Update>,
    },
    /// I am here, but the one is silent whom you asked me to ask.
    Nack {
        /// From the question.
        nonce: u32,
    },
    /// A kind that this version does not know and may ignore.
    Skipped,
}

impl Message {
    /// Reads one message.
    ///
    /// # Errors
    /// When it is cut short, holds an entry that cannot be, or is of an unknown kind that may not be skipped.
    pub fn decode(bytes: &Bytes) -> Result<Message, Malformed> {
        let mut reader = Reader::new(bytes);
        let r = &mut reader;
        let message = match r.u8()? {
            kind::JOIN => Message::Join,
            kind::FORWARD_JOIN => Message::ForwardJoin { joined: read_router(r)?, hops: r.u8()? },
            kind::NEIGHBOUR => Message::Neighbour { urgent: r.u8()? & 1 != 0 },
            kind::ANSWER => Message::Answer { accepted: r.u8()? & 1 != 0 },
            kind::DISCONNECT => Message::Disconnect,
            kind::SHUFFLE => {
                Message::Shuffle { origin: read_router(r)?, hops: r.u8()?, members: list(r, read_router)? }
            }
            kind::SHUFFLE_REPLY => Message::ShuffleReply { members: list(r, read_router)? },
            kind::BROADCAST => {
                let hops = r.u8()?;
                Message::Broadcast(Broadcast::read(hops, bytes.slice_ref(r.take_rest()))?)
            }
            kind::IHAVE => Message::IHave(list(r, |r| Ok((read_id(r)?, r.u8()?)))?),
            kind::GRAFT => Message::Graft { eager: r.u8()? & 1 != 0, ids: list(r, read_id)? },
            kind::PRUNE => Message::Prune,
            kind::DIGEST => read_digest(r)?,
            kind::SUMMARY => {
                let flags = r.u8()?;
                let (bucket, complete) = (flags & 0x0f, flags & 0x80 != 0);
                Message::Summary { bucket, complete, entries: list(r, read_entry)? }
            }
            kind::WANT => Message::Want(list(r, read_router)?),
            kind::UPDATES => Message::Updates(read_updates(r)?),
            kind::PING => {
                let (nonce, flags, updates) = (r.u32()?, r.u8()?, read_updates(r)?);
                let (watched, guarded) = (flags & flag::WATCHED != 0, flags & flag::GUARDED != 0);
                Message::Ping { nonce, watched, guarded, updates }
            }
            kind::ACK => {
                let (nonce, flags, updates) = (r.u32()?, r.u8()?, read_updates(r)?);
                Message::Ack { nonce, guarded: flags & flag::GUARDED != 0, updates }
            }
            kind::PING_REQUEST => {
                Message::PingRequest { nonce: r.u32()?, target: read_router(r)?, updates: read_updates(r)? }
            }
            kind::NACK => Message::Nack { nonce: r.u32()? },
            kind::SKIPPABLE.. => {
                r.take_rest();
                Message::Skipped
            }
            _ => return Err(Malformed),
        };
        if reader.is_empty() { Ok(message) } else { Err(Malformed) }
    }

    /// The message as bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(64);
        match self {
            Message::Join => out.push(kind::JOIN),
            Message::ForwardJoin { joined, hops } => {
                out.push(kind::FORWARD_JOIN);
                out.extend_from_slice(&joined.0);
                out.push(*hops);
            }
            Message::Neighbour { urgent } => out.extend([kind::NEIGHBOUR, u8::from(*urgent)]),
            Message::Answer { accepted } => out.extend([kind::ANSWER, u8::from(*accepted)]),
            Message::Disconnect => out.push(kind::DISCONNECT),
            Message::Shuffle { origin, hops, members } => {
                out.push(kind::SHUFFLE);
                out.extend_from_slice(&origin.0);
                out.push(*hops);
                put_routers(&mut out, members);
            }
            Message::ShuffleReply { members } => {
                out.push(kind::SHUFFLE_REPLY);
                put_routers(&mut out, members);
            }
            Message::Broadcast(broadcast) => {
                out.reserve(broadcast.len());
                out.extend([kind::BROADCAST, broadcast.hops]);
                out.extend_from_slice(&broadcast.signed);
            }
            Message::IHave(ids) => {
                out.push(kind::IHAVE);
                for (id, hops) in ids {
                    put_id(&mut out, *id);
                    out.push(*hops);
                }
            }
            Message::Graft { eager, ids } => {
                out.extend([kind::GRAFT, u8::from(*eager)]);
                ids.iter().for_each(|id| put_id(&mut out, *id));
            }
            Message::Prune => out.push(kind::PRUNE),
            other => other.encode_rest(&mut out),
        }
        Bytes::from(out)
    }

    /// What has to do with members and with comparing.
    fn encode_rest(&self, out: &mut Vec<u8>) {
        match self {
            Message::Digest { reply, buckets, runs } => {
                out.extend([kind::DIGEST, u8::from(*reply)]);
                buckets.iter().for_each(|sum| out.extend_from_slice(&sum.to_le_bytes()));
                for run in runs {
                    put_id(out, run.first);
                    put_varint(out, u64::from(run.count));
                }
            }
            Message::Summary { bucket, complete, entries } => {
                out.extend([kind::SUMMARY, bucket & 0x0f | if *complete { 0x80 } else { 0 }]);
                for entry in entries {
                    out.extend_from_slice(&entry.member.0);
                    put_varint(out, entry.incarnation);
                    out.push(entry.stand as u8);
                }
            }
            Message::Want(members) => {
                out.push(kind::WANT);
                put_routers(out, members);
            }
            Message::Updates(updates) => {
                out.push(kind::UPDATES);
                updates.iter().for_each(|update| update.write(out));
            }
            Message::Ping { nonce, watched, guarded, updates } => {
                let flags = (u8::from(*watched) * flag::WATCHED) | (u8::from(*guarded) * flag::GUARDED);
                put_probe(out, kind::PING, *nonce, &[flags], updates);
            }
            Message::Ack { nonce, guarded, updates } => {
                put_probe(out, kind::ACK, *nonce, &[u8::from(*guarded) * flag::GUARDED], updates);
            }
            Message::PingRequest { nonce, target, updates } => {
                put_probe(out, kind::PING_REQUEST, *nonce, &target.0, updates);
            }
            Message::Nack { nonce } => put_probe(out, kind::NACK, *nonce, &[], &[]),
            _ => out.push(kind::SKIPPABLE),
        }
    }
}

pub(super) fn read_router(reader: &mut Reader<'_>) -> Result<RouterId, Malformed> {
    Ok(RouterId(reader.array()?))
}

pub(super) fn read_id(reader: &mut Reader<'_>) -> Result<MessageId, Malformed> {
    Ok(MessageId { origin: read_router(reader)?, sequence: reader.varint()? })
}

fn read_entry(reader: &mut Reader<'_>) -> Result<Entry, Malformed> {
    let (member, incarnation, stand) = (read_router(reader)?, reader.varint()?, reader.u8()?);
    let stand = Stand::ALL.get(usize::from(stand)).copied().ok_or(Malformed)?;
    Ok(Entry { member, incarnation, stand })
}

fn read_run(reader: &mut Reader<'_>) -> Result<Run, Malformed> {
    let (first, count) = (read_id(reader)?, reader.varint_up_to(MOST_ENTRIES as u64)?);
    if count == 0 || first.sequence > VARINT_MAX - count {
        return Err(Malformed);
    }
    Ok(Run { first, count: count as u16 })
}

fn read_digest(reader: &mut Reader<'_>) -> Result<Message, Malformed> {
    let reply = reader.u8()? & 1 != 0;
    let mut buckets = [0; BUCKETS];
    for sum in &mut buckets {
        *sum = reader.u32()?;
    }
    Ok(Message::Digest { reply, buckets, runs: list(reader, read_run)? })
}

fn read_updates(reader: &mut Reader<'_>) -> Result<Vec<Update>, Malformed> {
    Ok(list(reader, Update::read)?.into_iter().flatten().collect())
}

/// Entries up to the end.
pub(super) fn list<T>(
    reader: &mut Reader<'_>,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let mut entries = Vec::new();
    while !reader.is_empty() {
        if entries.len() == MOST_ENTRIES {
            return Err(Malformed);
        }
        entries.push(read(reader)?);
    }
    Ok(entries)
}

pub(super) fn put_varint(out: &mut Vec<u8>, value: u64) {
    let mut buf = [0; 8];
    let mut writer = Writer::new(&mut buf);
    // No number in this protocol is larger; what is would read as the largest.
    if writer.varint(value.min(VARINT_MAX)).is_ok() {
        out.extend_from_slice(writer.written());
    }
}

fn put_id(out: &mut Vec<u8>, id: MessageId) {
    out.extend_from_slice(&id.origin.0);
    put_varint(out, id.sequence);
}

fn put_routers(out: &mut Vec<u8>, routers: &[RouterId]) {
    routers.iter().for_each(|router| out.extend_from_slice(&router.0));
}

fn put_probe(out: &mut Vec<u8>, kind: u8, nonce: u32, more: &[u8], updates: &[Update]) {
    out.push(kind);
    out.extend_from_slice(&nonce.to_le_bytes());
    out.extend_from_slice(more);
    updates.iter().for_each(|update| update.write(out));
}
