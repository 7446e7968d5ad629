//! Records and keys as bytes.
//!
//! A record is a version byte, eight bytes of checksum, and a Protocol Buffers body
//! (`proto/record.proto`). Disks return torn and rotten bytes, and Protocol Buffers accept much of
//! what is rotten; the checksum does not. It covers the version too, so that a flipped bit there is
//! damage and not a "newer version"; therefore every later version keeps these nine bytes as they are.
//!
//! A key is one byte of kind and its fields at full length, numbers big-endian: keys sort as bytes in
//! the order of the enum, so that a store can list all messages for one peer by prefix.

use alloc::vec::Vec;
use prost::Message as _;

use super::record::{Key, Record};
use super::wire::{self, record::Kind};
use crate::codec::{Malformed, Reader};
use crate::crypto::hash;
use crate::ids::{DeviceId, NodeId};
use crate::node::input::Class;
use crate::node::output::RejectReason;

/// The version that is written, and the highest that is read.
const VERSION: u8 = 1;
const CHECKSUM_LEN: usize = 8;

fn checksum(version: u8, body: &[u8]) -> [u8; CHECKSUM_LEN] {
    let sum = hash::derive("thallus record checksum v1", &[&[version], body]);
    sum.first_chunk().copied().unwrap_or_default()
}

impl Record {
    /// The record's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let record = wire::Record { kind: Some(self.to_wire()) };
        let mut bytes = Vec::with_capacity(1 + CHECKSUM_LEN + record.encoded_len());
        bytes.resize(1 + CHECKSUM_LEN, 0);
        // A vector grows as needed: this cannot fail.
        let _ = record.encode(&mut bytes);
        if let Some((head, body)) = bytes.split_first_chunk_mut::<{ 1 + CHECKSUM_LEN }>() {
            let sum = checksum(VERSION, body);
            head[0] = VERSION;
            head[1..].copy_from_slice(&sum);
        }
        bytes
    }

    /// Reads a record back.
    ///
    /// # Errors
    /// [`RejectReason::Corrupt`] when a bit is wrong, something is missing, or the fields make no
    /// sense together; [`RejectReason::NewerVersion`] when it is intact and of a later version.
    pub fn decode(bytes: &[u8]) -> Result<Record, RejectReason> {
        let corrupt = |Malformed| RejectReason::Corrupt;
        let mut reader = Reader::new(bytes);
        let version = reader.u8().map_err(corrupt)?;
        let sum = reader.array::<CHECKSUM_LEN>().map_err(corrupt)?;
        let body = reader.take_rest();
        if !hash::equal(&checksum(version, body), &sum) {
            return Err(RejectReason::Corrupt);
        }
        match version {
            VERSION => {}
            0 => return Err(RejectReason::Corrupt),
            _ => return Err(RejectReason::NewerVersion),
        }
        let record = wire::Record::decode(body).map_err(|_| RejectReason::Corrupt)?;
        // A kind that this version does not know is skipped like any unknown field, and reads as none.
        Record::from_wire(record.kind.ok_or(RejectReason::NewerVersion)?)
    }

    fn to_wire(&self) -> Kind {
        let bytes = |node: &NodeId| bytes::Bytes::copy_from_slice(&node.0);
        match self {
            Record::Boot { count } => Kind::Boot(wire::Boot { count: *count }),
            Record::Sequence { peer, reserved } => {
                Kind::Sequence(wire::Sequence { peer: bytes(peer), reserved: *reserved })
            }
            Record::Outgoing { peer, seq, tag, class, lifetime_us, payload } => {
                Kind::Outgoing(wire::Outgoing {
                    peer: bytes(peer),
                    seq: *seq,
                    tag: *tag,
                    class: *class as u32,
                    lifetime_us: *lifetime_us,
                    payload: payload.clone(),
                })
            }
            Record::Incoming { peer, device, seq, payload } => Kind::Incoming(wire::Incoming {
                peer: bytes(peer),
                seq: *seq,
                payload: payload.clone(),
                device: bytes::Bytes::copy_from_slice(&device.0),
            }),
            Record::Window { peer, device, floor, ranges } => {
                let ranges = ranges.iter().map(|&(first, last)| wire::Range { first, last }).collect();
                let device = bytes::Bytes::copy_from_slice(&device.0);
                Kind::Window(wire::Window { peer: bytes(peer), floor: *floor, ranges, device })
            }
            Record::Peer { node, certificate, boot } => {
                Kind::Peer(wire::Peer { node: bytes(node), certificate: certificate.clone(), boot: *boot })
            }
            Record::Statement { bytes } => Kind::Statement(wire::Statement { bytes: bytes.clone() }),
            Record::Bundle { id, lifetime_s, handovers, bytes } => Kind::Bundle(wire::Bundle {
                id: bytes::Bytes::copy_from_slice(id),
                lifetime_s: *lifetime_s,
                handovers: u32::from(*handovers),
                bundle: bytes.clone(),
            }),
            Record::Erased { key } => Kind::Erased(wire::Erased { key: key.encode().into() }),
        }
    }

    fn from_wire(kind: Kind) -> Result<Record, RejectReason> {
        Ok(match kind {
            Kind::Boot(wire::Boot { count }) => Record::Boot { count },
            Kind::Sequence(wire::Sequence { peer, reserved }) => {
                Record::Sequence { peer: node(&peer)?, reserved }
            }
            Kind::Outgoing(wire::Outgoing { peer, seq, tag, class, lifetime_us, payload }) => {
                Record::Outgoing {
                    peer: node(&peer)?,
                    seq,
                    tag,
                    class: self::class(class)?,
                    lifetime_us,
                    payload,
                }
            }
            Kind::Incoming(wire::Incoming { peer, seq, payload, device }) => {
                Record::Incoming { peer: node(&peer)?, device: self::device(&device)?, seq, payload }
            }
            Kind::Window(wire::Window { peer, floor, ranges, device }) => Record::Window {
                peer: node(&peer)?,
                device: self::device(&device)?,
                floor,
                ranges: self::ranges(floor, &ranges)?,
            },
            Kind::Peer(wire::Peer { node, certificate, boot }) => {
                Record::Peer { node: self::node(&node)?, certificate, boot }
            }
            Kind::Statement(wire::Statement { bytes }) => Record::Statement { bytes },
            Kind::Bundle(wire::Bundle { id, lifetime_s, handovers, bundle }) => Record::Bundle {
                id: id.as_ref().try_into().map_err(|_| RejectReason::Corrupt)?,
                lifetime_s,
                handovers: u8::try_from(handovers).map_err(|_| RejectReason::Corrupt)?,
                bytes: bundle,
            },
            Kind::Erased(wire::Erased { key }) => {
                Record::Erased { key: Key::decode(&key).ok_or(RejectReason::Corrupt)? }
            }
        })
    }
}

fn node(bytes: &[u8]) -> Result<NodeId, RejectReason> {
    bytes.try_into().map(NodeId).map_err(|_| RejectReason::Corrupt)
}

fn device(bytes: &[u8]) -> Result<DeviceId, RejectReason> {
    bytes.try_into().map(DeviceId).map_err(|_| RejectReason::Corrupt)
}

fn class(number: u32) -> Result<Class, RejectReason> {
    Class::ALL.into_iter().find(|class| *class as u32 == number).ok_or(RejectReason::Corrupt)
}

/// Ascending, none empty, none below the floor.
fn ranges(floor: u64, ranges: &[wire::Range]) -> Result<Vec<(u64, u64)>, RejectReason> {
    let mut least = Some(floor);
    let mut checked = Vec::with_capacity(ranges.len());
    for wire::Range { first, last } in ranges {
        if last < first || least.is_none_or(|least| *first < least) {
            return Err(RejectReason::Corrupt);
        }
        least = last.checked_add(1);
        checked.push((*first, *last));
    }
    Ok(checked)
}

impl Key {
    /// The key's bytes: at most 41, in the order of the keys themselves.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(41);
        let (kind, name, number): (u8, Option<&[u8]>, Option<u64>) = match self {
            Key::Boot => (0, None, None),
            Key::Sequence(peer) => (1, Some(&peer.0), None),
            Key::Outgoing(peer, seq) => (2, Some(&peer.0), Some(*seq)),
            Key::Incoming(peer, seq) => (3, Some(&peer.0), Some(*seq)),
            Key::Window(peer) => (4, Some(&peer.0), None),
            Key::Peer(node) => (5, Some(&node.0), None),
            Key::Statement(hash) => (6, Some(hash), None),
            Key::Bundle(id) => (7, Some(id), None),
        };
        bytes.push(kind);
        if let Some(name) = name {
            bytes.extend_from_slice(name);
        }
        if let Some(number) = number {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    /// Reads a key back; `None` when these are not exactly the bytes of one.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Key> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u8().ok()?;
        if kind == 7 {
            let id = reader.array().ok()?;
            return reader.is_empty().then_some(Key::Bundle(id));
        }
        let name = if kind == 0 { [0; 32] } else { reader.array::<32>().ok()? };
        let mut number = || reader.array().ok().map(u64::from_be_bytes);
        let key = match kind {
            0 => Key::Boot,
            1 => Key::Sequence(NodeId(name)),
            2 => Key::Outgoing(NodeId(name), number()?),
            3 => Key::Incoming(NodeId(name), number()?),
            4 => Key::Window(NodeId(name)),
            5 => Key::Peer(NodeId(name)),
            6 => Key::Statement(name),
            _ => return None,
        };
        reader.is_empty().then_some(key)
    }
}
