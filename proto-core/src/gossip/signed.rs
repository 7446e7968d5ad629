//! What a member says to all, signed, so that whoever gets it from a third party can check it.
//!
//! Two things are signed: a broadcast, and what a member says of itself. The signature covers neither the number of hops nor
//! anything else that a relay changes, and the bytes are passed on as they came.

use alloc::vec::Vec;

use bytes::Bytes;

use super::Keys;
use super::message::{put_varint, read_id, read_router};
use crate::codec::{Malformed, Reader, VARINT_MAX};
use crate::crypto::sign::{self, SigningKey};
use crate::identity::signed_bytes;
use crate::ids::{NetworkId, RouterId};

/// What the signature of a broadcast is for.
const BROADCAST_CONTEXT: &str = "thallus gossip broadcast v1";
/// What the signature of an announcement is for.
const ANNOUNCEMENT_CONTEXT: &str = "thallus gossip member v1";
/// Bytes of a broadcast beside its payload, at most.
pub const BROADCAST_OVERHEAD: usize = 2 + sign::SIGNATURE_LEN + 8 + 8 + 8;

/// Which broadcast: whose, and its number among that member's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct MessageId {
    /// Who said it.
    pub origin: RouterId,
    /// The start count of the device times 2^30, plus a counter.
    pub sequence: u64,
}

/// What a broadcast is about. Every member passes on every topic; it is told of those that it asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Topic(pub u32);

/// Something said to all, as it came. Its signature is not checked yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broadcast {
    /// How often it was passed on. Not signed, since relays change it.
    pub hops: u8,
    /// Which.
    pub id: MessageId,
    /// What it is about.
    pub topic: Topic,
    /// What is said.
    pub payload: Bytes,
    /// Signature and body, to be passed on.
    pub(super) signed: Bytes,
}

impl Broadcast {
    /// Says something to all.
    #[must_use]
    pub fn sign(
        key: &SigningKey,
        network: NetworkId,
        id: MessageId,
        topic: Topic,
        payload: &[u8],
    ) -> Broadcast {
        let mut body = Vec::with_capacity(24 + payload.len());
        body.extend_from_slice(&id.origin.0);
        put_varint(&mut body, id.sequence);
        put_varint(&mut body, u64::from(topic.0));
        let start = sign::SIGNATURE_LEN + body.len();
        body.extend_from_slice(payload);
        let mut signed = key.sign(&signed_bytes(BROADCAST_CONTEXT, &network.0, &body)).to_vec();
        signed.extend_from_slice(&body);
        let signed = Bytes::from(signed);
        Broadcast { hops: 0, id, topic, payload: signed.slice(start..), signed }
    }

    /// Whether the holder of this key said it in this network.
    #[must_use]
    pub fn is_signed_by(&self, keys: &dyn Keys, key: &[u8; sign::PUBLIC_LEN], network: NetworkId) -> bool {
        is_signed(keys, BROADCAST_CONTEXT, &self.signed, (key, network))
    }

    /// The same in memory of its own, which keeps no more than itself.
    #[must_use]
    pub fn detached(&self) -> Broadcast {
        let signed = Bytes::copy_from_slice(&self.signed);
        let payload = signed.slice(signed.len() - self.payload.len()..);
        Broadcast { signed, payload, ..*self }
    }

    /// Bytes that it takes as a message.
    #[must_use]
    pub fn len(&self) -> usize {
        2 + self.signed.len()
    }

    /// Never: it is signed at least.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    pub(super) fn read(hops: u8, signed: Bytes) -> Result<Broadcast, Malformed> {
        let mut reader = Reader::new(&signed);
        reader.take(sign::SIGNATURE_LEN)?;
        let id = read_id(&mut reader)?;
        let topic = Topic(reader.varint_up_to(u32::MAX.into())? as u32);
        let payload = signed.slice_ref(reader.rest());
        Ok(Broadcast { hops, id, topic, payload, signed })
    }
}

fn is_signed(
    keys: &dyn Keys,
    context: &str,
    signed: &[u8],
    (key, network): (&[u8; sign::PUBLIC_LEN], NetworkId),
) -> bool {
    let Some((signature, body)) = signed.split_first_chunk() else { return false };
    keys.is_signed(key, &signed_bytes(context, &network.0, body), signature)
}

/// What a device does for its network. It is announced, and says nothing of trust.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Role {
    /// Always on; votes, stores.
    Full,
    /// Passes on for others.
    Relay,
    /// Uses what others offer, and may sleep.
    Leaf,
}

impl Role {
    /// Every role, by its number on the wire.
    pub const ALL: [Role; 3] = [Role::Full, Role::Relay, Role::Leaf];
}

/// What a member says of itself. Its signature is not checked yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Announcement {
    /// Who.
    pub member: RouterId,
    /// The higher counts: the start count of the device times 2^16, plus a counter.
    pub incarnation: u64,
    /// What it does.
    pub role: Role,
    /// It is going.
    pub leaving: bool,
    /// What it can do, a bit for each thing.
    pub capabilities: u64,
    /// Signature and body, to be passed on.
    pub signed: Bytes,
}

/// The bit that says that a member is going.
const LEAVING: u8 = 0x80;

impl Announcement {
    /// Signs what a member says of itself.
    #[must_use]
    pub fn sign(
        key: &SigningKey,
        network: NetworkId,
        member: RouterId,
        incarnation: u64,
        (role, leaving, capabilities): (Role, bool, u64),
    ) -> Announcement {
        let capabilities = capabilities.min(VARINT_MAX);
        let mut body = Vec::with_capacity(32);
        body.extend_from_slice(&member.0);
        put_varint(&mut body, incarnation);
        body.push(role as u8 | if leaving { LEAVING } else { 0 });
        put_varint(&mut body, capabilities);
        let mut signed = key.sign(&signed_bytes(ANNOUNCEMENT_CONTEXT, &network.0, &body)).to_vec();
        signed.extend_from_slice(&body);
        Announcement { member, incarnation, role, leaving, capabilities, signed: Bytes::from(signed) }
    }

    /// Whether the holder of this key said it in this network.
    #[must_use]
    pub fn is_signed_by(&self, keys: &dyn Keys, key: &[u8; sign::PUBLIC_LEN], network: NetworkId) -> bool {
        is_signed(keys, ANNOUNCEMENT_CONTEXT, &self.signed, (key, network))
    }

    pub(super) fn read(signed: Bytes) -> Result<Announcement, Malformed> {
        let mut reader = Reader::new(&signed);
        reader.take(sign::SIGNATURE_LEN)?;
        let (member, incarnation, flags) = (read_router(&mut reader)?, reader.varint()?, reader.u8()?);
        let role = Role::ALL.get(usize::from(flags & !LEAVING)).copied().ok_or(Malformed)?;
        let capabilities = reader.varint()?;
        if !reader.is_empty() {
            return Err(Malformed);
        }
        let leaving = flags & LEAVING != 0;
        Ok(Announcement { member, incarnation, role, leaving, capabilities, signed })
    }
}
