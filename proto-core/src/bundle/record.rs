//! A bundle as it is signed: what carriers read, what only the destination reads, and the papers of whoever wrote it.
//!
//! Written by hand to its end: the signature covers the bytes as they came. Sealing comes first and the signature covers what is sealed; so
//! that nobody can put his name under a sealed text of another's, the source stands in what the seal protects.

use alloc::vec::Vec;

use bytes::Bytes;
use prost::Message as _;

use super::wire;
use crate::codec::{Reader, VARINT_MAX, Writer, varint_len};
use crate::crypto::dh::{DhSecret, SmallOrder};
use crate::crypto::sign::{self, Verifier};
use crate::crypto::{hash, hpke};
use crate::identity::{LocalIdentity, signed_bytes};
use crate::ids::{NetworkId, RouterId};
use crate::node::input::Class;
use crate::rng::Rng;

/// The version that is written and read.
const VERSION: u32 = 1;
const CONTEXT: &str = "thallus bundle v1";
/// Runs of numbers in one receipt.
pub const RECEIPT_RUNS: usize = 64;

/// What a bundle is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Kind {
    /// A durable message.
    Message,
    /// Which durable messages the source of this has on its disk.
    Receipt,
}

/// The name of a bundle: the first half of a hash of all that its source signed, so that nobody can make another one of the same name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct BundleId(pub [u8; 16]);

/// What carriers read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// Who wrote it.
    pub from: RouterId,
    /// For whom it is.
    pub to: RouterId,
    /// What it is.
    pub kind: Kind,
    /// Its number at the source: of messages the durable number, of receipts one that rises.
    pub number: u64,
    /// How urgent it is.
    pub class: Class,
}

impl Head {
    fn associated_data(&self, network: NetworkId) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(58);
        bytes.extend_from_slice(&network.0);
        bytes.extend_from_slice(&self.from.0);
        bytes.extend_from_slice(&self.to.0);
        bytes.push(self.kind as u8);
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.push(self.class as u8);
        bytes
    }
}

/// One bundle. Its signature was not checked by reading it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bundle {
    /// What carriers read.
    pub head: Head,
    /// Its name.
    pub id: BundleId,
    /// The source's certificate, encoded.
    pub certificate: Bytes,
    /// Its membership, encoded; empty in an open network.
    pub membership: Bytes,
    /// All of it, to be passed on.
    pub bytes: Bytes,
    sealed: Bytes,
    body: Bytes,
    signature: [u8; sign::SIGNATURE_LEN],
}

/// Why a bundle cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BundleError {
    /// Its structure is wrong.
    #[error("malformed bundle: {0}")]
    Malformed(&'static str),
    /// A later version of this software wrote it.
    #[error("bundle of a newer version")]
    NewerVersion,
}

impl Bundle {
    /// Reads a bundle without checking its signature.
    ///
    /// # Errors
    /// When it is not one that a node of this version writes.
    pub fn decode(bytes: Bytes) -> Result<Bundle, BundleError> {
        let signed = wire::Signed::decode(bytes.clone()).map_err(|_| BundleError::Malformed("bundle"))?;
        let signature = signed.signature.as_ref().try_into();
        let signature = signature.map_err(|_| BundleError::Malformed("signature is not 64 bytes"))?;
        let body = wire::Body::decode(signed.body.clone()).map_err(|_| BundleError::Malformed("body"))?;
        match body.version {
            0 => return Err(BundleError::Malformed("no version")),
            VERSION => {}
            _ => return Err(BundleError::NewerVersion),
        }
        let kind = match body.kind {
            0 => Kind::Message,
            1 => Kind::Receipt,
            _ => return Err(BundleError::Malformed("kind")),
        };
        let class = Class::ALL.into_iter().find(|class| *class as u32 == body.class);
        let class = class.ok_or(BundleError::Malformed("class"))?;
        if body.number > VARINT_MAX {
            return Err(BundleError::Malformed("number out of range"));
        }
        if body.sealed.len() < hpke::OVERHEAD {
            return Err(BundleError::Malformed("sealed text is too short"));
        }
        let head =
            Head { from: router(&body.from)?, to: router(&body.to)?, kind, number: body.number, class };
        let wire::Signed { body: signed_body, certificate, membership, .. } = signed;
        let id = id_of(&signed_body);
        let sealed = body.sealed;
        Ok(Bundle { head, id, certificate, membership, bytes, sealed, body: signed_body, signature })
    }

    /// Seals a text to the owner of `key` and signs it.
    ///
    /// # Errors
    /// [`SmallOrder`]: what is sealed to such a key could be read by everybody.
    pub fn seal(
        rng: &mut Rng,
        identity: &LocalIdentity,
        network: NetworkId,
        (head, key): (Head, &[u8; 32]),
        text: &[u8],
    ) -> Result<Bundle, SmallOrder> {
        let sealed = hpke::seal(rng, key, CONTEXT.as_bytes(), &head.associated_data(network), text)?;
        let body = wire::Body {
            version: VERSION,
            from: Bytes::copy_from_slice(&head.from.0),
            to: Bytes::copy_from_slice(&head.to.0),
            kind: head.kind as u32,
            number: head.number,
            class: head.class as u32,
            sealed: Bytes::from(sealed),
        };
        let body = Bytes::from(body.encode_to_vec());
        let signature = identity.secrets().sign.sign(&signed_bytes(CONTEXT, &network.0, &body));
        let signed = wire::Signed {
            body,
            signature: Bytes::copy_from_slice(&signature),
            certificate: identity.certificate_bytes().clone(),
            membership: identity.membership().cloned().unwrap_or_default(),
        };
        // Read back, so that all parts lie in one buffer, as those of a bundle that came.
        Bundle::decode(Bytes::from(signed.encode_to_vec())).map_err(|_| SmallOrder)
    }

    /// Whether the holder of this key signed it for this network.
    #[must_use]
    pub fn is_signed_by(
        &self,
        verifier: &Verifier,
        key: &[u8; sign::PUBLIC_LEN],
        network: NetworkId,
    ) -> bool {
        verifier.verify(key, &signed_bytes(CONTEXT, &network.0, &self.body), &self.signature).is_ok()
    }

    /// What is sealed.
    ///
    /// # Errors
    /// [`hpke::NotOpened`] when it was sealed to another key, or by somebody else than whose name it bears.
    pub fn open(&self, secret: &DhSecret, network: NetworkId) -> Result<Vec<u8>, hpke::NotOpened> {
        hpke::open(secret, CONTEXT.as_bytes(), &self.head.associated_data(network), &self.sealed)
    }
}

fn id_of(body: &[u8]) -> BundleId {
    let hash = hash::derive("thallus bundle id v1", &[body]);
    BundleId(hash.first_chunk().copied().unwrap_or_default())
}

fn router(bytes: &[u8]) -> Result<RouterId, BundleError> {
    bytes.try_into().map(RouterId).map_err(|_| BundleError::Malformed("router is not 8 bytes"))
}

/// Runs of numbers, each by its first and last, as the text of a receipt.
#[must_use]
pub fn encode_runs(runs: &[(u64, u64)]) -> Vec<u8> {
    let runs = runs.get(..RECEIPT_RUNS).unwrap_or(runs);
    let numbers = || runs.iter().flat_map(|&(first, last)| [first, last]);
    let mut bytes = alloc::vec![0; numbers().map(varint_len).sum()];
    let mut writer = Writer::new(&mut bytes);
    for number in numbers() {
        // There is room for each: it was counted.
        let _ = writer.varint(number);
    }
    bytes
}

/// Reads the text of a receipt: runs in ascending order.
#[must_use]
pub fn decode_runs(text: &[u8]) -> Option<Vec<(u64, u64)>> {
    let mut reader = Reader::new(text);
    let mut runs = Vec::new();
    let mut least = 0;
    while !reader.is_empty() {
        let (first, last) = (reader.varint().ok()?, reader.varint().ok()?);
        if first < least || last < first || runs.len() >= RECEIPT_RUNS {
            return None;
        }
        least = last + 1;
        runs.push((first, last));
    }
    Some(runs)
}
