//! Who is who: nodes, their devices, and the networks they belong to.
//!
//! A node is like a family with a seal. The seal (the root key) lies in a safe and is taken out to
//! write letters of introduction: "the bearer of this key acts for us" (a device certificate). When
//! the seal is worn, the old one stamps the new one, and whoever kept the first letter can follow the
//! stamps (rotation); the family's name, [`NodeId`](crate::ids::NodeId), stays that of the first seal.
//! A letter that fell into wrong hands is struck off a list that only ever grows (revocation).
//! A network is a club with a founding charter; its name is the charter's hash, so nobody can change
//! the charter and keep the name. A closed club has members, each admitted by enough different
//! officers (membership), and a word at the door (network key) that changes without locking out
//! those who have only heard the last one.
//!
//! Sources: docs/src/spec/identity.md. Certification of separate X25519 keys instead of conversion follows
//! the advice in RFC 7748, section 7. Strict verification: RFC 8032, section 5.1.7, cofactorless.
//!
//! Invariants:
//! - A signature covers context, subject and the body's bytes as received ([`signed_bytes`]).
//! - What is revoked stays revoked: lists grow, floors rise, roots move forward only.
//! - A threshold counts different authorities, each once.
//! - Everything is bounded: [`MAX_CERTIFICATE_BYTES`], [`MAX_PAPERS_BYTES`], [`MAX_STATEMENT_BYTES`],
//!   [`MAX_ROTATIONS`], [`MAX_AUTHORITIES`], [`MAX_REVOKED_DEVICES`], [`NetworkKeys`] holds three, [`Revocations`] has a capacity.
//!
//! Calendar time: a device may not know it, or know it wrongly. The rule is one-sided: a certificate
//! is refused for its dates only when the clock, with the error it admits to, shows that they cannot
//! hold. Without a clock dates are not checked, and [`PeerIdentity::dates_checked`] says so. What must
//! be void at once is therefore revoked, never left to expire.

#[cfg(test)]
pub(crate) mod cast;
mod certificate;
mod endorsed;
mod error;
mod genesis;
pub mod keyfile;
mod network;
mod network_keys;
mod peer;
mod revocations;
mod root;
mod signed;
mod statement;
pub mod text;
#[allow(clippy::all, missing_docs, unreachable_pub)]
#[rustfmt::skip]
mod wire;

#[cfg(test)]
mod tests;

pub use certificate::{DeviceCertificate, MAX_CERTIFICATE_BYTES, MAX_ROTATIONS, Roots, Validity};
pub use endorsed::{Endorsement, Exclusion, MAX_AUTHORITIES, Membership};
pub use error::IdentityError;
pub use genesis::{Genesis, MAX_NAME_BYTES, MAX_PARAMETERS};
pub use network::Network;
pub use network_keys::NetworkKeys;
pub use peer::{Checker, LocalIdentity, MAX_PAPERS_BYTES, PeerIdentity, verify_peer};
pub use revocations::{MAX_REVOKED_DEVICES, RevocationList, Revocations};
pub use root::{DeviceSecrets, RootKey};
pub use signed::signed_bytes;
pub use statement::{Installed, MAX_STATEMENT_BYTES, Taken, install, is_past_key, statement_hash};
