//! What a router says of itself, signed, so that whoever gets it from a third party can check it.
//!
//! A router's word comes in parts, each with its own sequence number and signature: its papers, which name the key that
//! signs, and pages of its list of neighbours. A hub with 300 neighbours that loses one sends one page anew, not twenty.

use alloc::vec::Vec;

use bytes::Bytes;
use prost::Message as _;

use super::metric::Cost;
use super::wire;
use crate::crypto::sign::{self, SigningKey, Verifier};
use crate::identity::signed_bytes;
use crate::ids::{NetworkId, RouterId};

/// What the signature of a record is for.
const CONTEXT: &str = "thallus routing record v1";
/// The version of bodies that this code writes and acts on.
const VERSION: u32 = 1;
/// Neighbours on one page. Sixteen make 250 bytes with the signature: two pages and some fit a packet of 576 bytes.
pub const PAGE_LINKS: usize = 16;
/// Pages of one router, so neighbours of one: 1,008.
pub const MOST_PAGES: usize = 63;
/// The largest record: papers, and what stands around them.
pub const MAX_RECORD_BYTES: usize = crate::identity::MAX_PAPERS_BYTES + 128;
/// Bytes of one neighbour on a page.
const LINK_BYTES: usize = 9;
/// Sequence numbers are below this, so that they fit a varint of eight bytes.
const SEQUENCE_END: u64 = 1 << 62;

/// A part of what a router says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Part(u8);

impl Part {
    /// Who it is. First in order: without it no other part can be checked.
    pub const PAPERS: Part = Part(0);
    /// The last there can be.
    pub const LAST: Part = Part(MOST_PAGES as u8);

    /// That it is a landmark. Never among records.
    pub const LANDMARK: Part = Part(MOST_PAGES as u8 + 1);
    /// Which landmark keeps it. Never among records.
    pub const HOME: Part = Part(MOST_PAGES as u8 + 2);

    /// The page with this number.
    #[must_use]
    pub fn page(number: u32) -> Option<Part> {
        let part = u8::try_from(number).ok()?.checked_add(1)?;
        Part::from_u8(part)
    }

    /// The part with this number on the wire: 0 for the papers, then the pages.
    #[must_use]
    pub fn from_u8(part: u8) -> Option<Part> {
        (part <= Part::LAST.0).then_some(Part(part))
    }

    /// Its number on the wire.
    #[must_use]
    pub const fn as_u8(self) -> u8 {
        self.0
    }
}

/// Which part of what whom says. In order of routers, papers first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RecordKey {
    /// Who says it.
    pub router: RouterId,
    /// Which part.
    pub part: Part,
}

/// One neighbour, as a router lists it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Link {
    /// Whom it hears, and is heard by, as it says.
    pub to: RouterId,
    /// What it costs to send there.
    pub cost: Cost,
}

/// What a record says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// Who the router is.
    Papers {
        /// An encoded certificate.
        certificate: Bytes,
        /// An encoded membership; empty in an open network.
        membership: Bytes,
    },
    /// Some of its neighbours, in ascending order.
    Page(Vec<Link>),
    /// It is a landmark.
    Landmark {
        /// It keeps every router that is nearer than this, in eighths of a microsecond.
        reach: u64,
    },
    /// It is kept by a landmark.
    Home {
        /// By which.
        landmark: RouterId,
    },
}

/// One record as it was received; its signature is not checked yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedRecord {
    /// What it is about.
    pub key: RecordKey,
    /// The higher counts.
    pub sequence: u64,
    /// What it says.
    pub content: Content,
    /// All of it, to be passed on.
    pub bytes: Bytes,
    body: Bytes,
    signature: [u8; sign::SIGNATURE_LEN],
}

/// Why a record cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordError {
    /// Its structure is wrong.
    #[error("malformed routing record: {0}")]
    Malformed(&'static str),
    /// A later version of this software wrote it.
    #[error("routing record of a newer version")]
    NewerVersion,
}

impl SignedRecord {
    /// Reads a record without checking its signature.
    ///
    /// # Errors
    /// When it is not one that a router of this version writes.
    pub fn decode(bytes: Bytes) -> Result<SignedRecord, RecordError> {
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(RecordError::Malformed("too long"));
        }
        let signed = wire::Signed::decode(bytes.clone()).map_err(|_| RecordError::Malformed("record"))?;
        let signature = signed.signature.as_ref().try_into();
        let signature = signature.map_err(|_| RecordError::Malformed("signature is not 64 bytes"))?;
        let body = wire::Body::decode(signed.body.clone()).map_err(|_| RecordError::Malformed("body"))?;
        match body.version {
            0 => return Err(RecordError::Malformed("no version")),
            VERSION => {}
            _ => return Err(RecordError::NewerVersion),
        }
        let router = body.router.as_ref().try_into().map(RouterId);
        let router = router.map_err(|_| RecordError::Malformed("router is not 8 bytes"))?;
        if body.sequence >= SEQUENCE_END {
            return Err(RecordError::Malformed("sequence out of range"));
        }
        let (part, content) = match body.kind {
            Some(wire::body::Kind::Papers(wire::Papers { certificate, membership })) => {
                (Part::PAPERS, Content::Papers { certificate, membership })
            }
            Some(wire::body::Kind::Page(page)) => {
                let part = Part::page(page.number).ok_or(RecordError::Malformed("page number"))?;
                (part, Content::Page(decode_links(router, &page.neighbours)?))
            }
            Some(wire::body::Kind::Landmark(wire::Landmark { reach })) => {
                (Part::LANDMARK, Content::Landmark { reach })
            }
            Some(wire::body::Kind::Home(wire::Home { landmark })) => {
                let landmark = landmark.as_ref().try_into().map(RouterId);
                let landmark = landmark.map_err(|_| RecordError::Malformed("landmark is not 8 bytes"))?;
                (Part::HOME, Content::Home { landmark })
            }
            None => return Err(RecordError::Malformed("no content")),
        };
        let key = RecordKey { router, part };
        Ok(SignedRecord { key, sequence: body.sequence, content, bytes, body: signed.body, signature })
    }

    /// Signs what this router says.
    #[must_use]
    pub fn sign(
        key: &SigningKey,
        network: NetworkId,
        about: RecordKey,
        sequence: u64,
        content: Content,
    ) -> SignedRecord {
        let kind = match &content {
            Content::Papers { certificate, membership } => {
                let (certificate, membership) = (certificate.clone(), membership.clone());
                wire::body::Kind::Papers(wire::Papers { certificate, membership })
            }
            Content::Page(links) => {
                let number = u32::from(about.part.0.saturating_sub(1));
                wire::body::Kind::Page(wire::Page { number, neighbours: encode_links(links) })
            }
            &Content::Landmark { reach } => wire::body::Kind::Landmark(wire::Landmark { reach }),
            Content::Home { landmark } => {
                wire::body::Kind::Home(wire::Home { landmark: Bytes::copy_from_slice(&landmark.0) })
            }
        };
        let router = Bytes::copy_from_slice(&about.router.0);
        let body = wire::Body { version: VERSION, router, sequence, kind: Some(kind) };
        let body = Bytes::from(body.encode_to_vec());
        let signature = key.sign(&signed_bytes(CONTEXT, &network.0, &body));
        let signed = wire::Signed { body: body.clone(), signature: Bytes::copy_from_slice(&signature) };
        let bytes = Bytes::from(signed.encode_to_vec());
        SignedRecord { key: about, sequence, content, bytes, body, signature }
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
}

/// Neighbours as they stand on a page.
pub(super) fn encode_links(links: &[Link]) -> Bytes {
    let bytes = links.iter().flat_map(|link| link.to.0.into_iter().chain([link.cost.code()]));
    Bytes::from(bytes.collect::<Vec<u8>>())
}

/// The neighbours in what stands on a page.
pub(super) fn links_in(bytes: &[u8]) -> impl Iterator<Item = Link> + '_ {
    bytes.chunks_exact(LINK_BYTES).filter_map(|entry| {
        let [a, b, c, d, e, f, g, h, code] = *entry else { return None };
        Some(Link { to: RouterId([a, b, c, d, e, f, g, h]), cost: Cost::from_code(code) })
    })
}

fn decode_links(own: RouterId, bytes: &[u8]) -> Result<Vec<Link>, RecordError> {
    if !bytes.len().is_multiple_of(LINK_BYTES) || bytes.len() > PAGE_LINKS * LINK_BYTES {
        return Err(RecordError::Malformed("neighbours"));
    }
    let mut links: Vec<Link> = Vec::with_capacity(bytes.len() / LINK_BYTES);
    for link in links_in(bytes) {
        if link.to == own || links.last().is_some_and(|last| last.to >= link.to) {
            return Err(RecordError::Malformed("neighbours are not in order"));
        }
        links.push(link);
    }
    Ok(links)
}
