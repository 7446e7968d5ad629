//! Our own papers and the checking of others': the session's view of `identity`.

use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;

use super::message::{Packet, Unchecked, Versions};
use super::payload::Payload;
use crate::crypto::hash;
use crate::crypto::noise::{self, Handshake, NoiseError, Pattern};
use crate::crypto::secret::Secret;
use crate::crypto::sign::Verifier;
use crate::drops::Drop;
use crate::identity::{self, Checker, IdentityError, Installed, LocalIdentity, Network, Revocations, Roots};
use crate::ids::{DeviceId, NodeId};
use crate::time::{Instant, WallTime};

/// What is needed to prove who we are and to check who others are.
pub(super) struct Trust {
    pub(super) identity: LocalIdentity,
    pub(super) network: Network,
    pub(super) revocations: Revocations,
    verifier: Verifier,
    /// What the shell said of the calendar time, and when.
    wall: Option<(WallTime, Instant)>,
    dh_public: [u8; 32],
}

/// Papers that have been verified, kept so that they need not be verified again.
#[derive(Clone)]
pub(super) struct Papers {
    pub(super) node: NodeId,
    pub(super) device: DeviceId,
    pub(super) sign_key: [u8; 32],
    pub(super) dh_key: [u8; 32],
    /// The root keys that led to the certificate.
    pub(super) roots: Roots,
    /// Certificate and membership, by hash.
    hash: [u8; 32],
    pub(super) certificate: Bytes,
    membership: Bytes,
    /// Seconds since 1970, 0 for never.
    not_after_s: u64,
}

impl Trust {
    pub(super) fn new(
        identity: LocalIdentity,
        network: Network,
        revocations: Revocations,
        verifier: Verifier,
    ) -> Trust {
        let dh_public = identity.certificate().dh_key;
        Trust { identity, network, revocations, verifier, wall: None, dh_public }
    }

    /// Takes over what the shell says of the calendar time.
    pub(super) fn set_wall(&mut self, now: Instant, wall: WallTime) {
        self.wall = Some((wall, now));
    }

    fn wall_at(&self, now: Instant) -> Option<WallTime> {
        self.wall.map(|(wall, told)| wall.after(now.since(told)))
    }

    pub(super) fn checker(&self, now: Instant) -> Checker<'_> {
        let Trust { network, revocations, verifier, .. } = self;
        Checker { network, revocations, wall: self.wall_at(now), verifier }
    }

    pub(super) fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    pub(super) fn membership(&self) -> &[u8] {
        self.identity.membership().map_or(&[], |bytes| bytes)
    }

    /// The hello key under which we speak.
    pub(super) fn hello(&self, epoch: u32) -> [u8; 32] {
        self.network.hello_key(epoch).copied().unwrap_or_default()
    }

    /// Finds the epoch under which a packet's tag is right.
    pub(super) fn admit<'a>(&self, packet: &Unchecked<'a>) -> Option<(u32, Packet<'a>)> {
        self.network.acceptable_epochs().find_map(|epoch| {
            let packet = packet.check(self.network.hello_key(epoch)?)?;
            Some((epoch, packet))
        })
    }

    /// Starts a Noise handshake under the keys of `epoch`. The prologue binds pattern, network and the
    /// initiator's version range, which is not encrypted on the wire.
    pub(super) fn noise(
        &self,
        pattern: Pattern,
        role: Role<'_>,
        epoch: u32,
        versions: Versions,
        ephemeral: Secret,
    ) -> Result<Box<Handshake>, NoiseError> {
        let mut prologue = Vec::with_capacity(64);
        prologue.extend_from_slice(b"thallus session v1");
        prologue.extend_from_slice(self.network.prologue());
        prologue.push(match pattern {
            Pattern::Ik => 1,
            Pattern::Xx => 2,
        });
        prologue.extend_from_slice(&[versions.lowest, versions.highest]);
        let parts = noise::Parts {
            local: &self.identity.secrets().dh,
            local_public: &self.dh_public,
            remote_public: match role {
                Role::Initiator(remote) => remote,
                Role::Responder => None,
            },
            psk: self.network.psk(epoch).ok_or(NoiseError)?,
            prologue: &prologue,
            ephemeral,
        };
        match role {
            Role::Initiator(_) => Handshake::initiator(pattern, parts),
            Role::Responder => Handshake::responder(pattern, parts),
        }
        .map(Box::new)
    }

    /// Checks the papers in a payload, and that the handshake was made with the key they name. Papers
    /// equal to `known` cost a hash instead of signatures.
    pub(super) fn verify(
        &self,
        now: Instant,
        payload: &Payload<'_>,
        static_key: Option<[u8; 32]>,
        known: impl Fn(&[u8; 32]) -> Option<Papers>,
    ) -> Result<Papers, Drop> {
        let hash = papers_hash(payload.certificate, payload.membership);
        if let Some(papers) = known(&hash)
            && static_key == Some(papers.dh_key)
            && !self.has_expired(now, &papers)
        {
            return Ok(papers);
        }
        let verified =
            self.verify_bytes(now, payload.certificate, payload.membership).map_err(|error| match error {
                IdentityError::Revoked => Drop::Revoked,
                _ => Drop::CertificateInvalid,
            })?;
        if static_key != Some(verified.dh_key) {
            return Err(Drop::CertificateInvalid);
        }
        Ok(Papers {
            node: verified.node,
            device: verified.device,
            sign_key: verified.sign_key,
            dh_key: verified.dh_key,
            roots: verified.roots,
            hash,
            certificate: Bytes::copy_from_slice(payload.certificate),
            membership: Bytes::copy_from_slice(payload.membership),
            not_after_s: verified.not_after_s,
        })
    }

    fn verify_bytes(
        &self,
        now: Instant,
        certificate: &[u8],
        membership: &[u8],
    ) -> Result<identity::PeerIdentity, IdentityError> {
        let membership = (!membership.is_empty()).then_some(membership);
        self.checker(now).verify(certificate, membership)
    }

    /// Whether papers that were in order still are.
    pub(super) fn still_valid(&self, now: Instant, papers: &Papers) -> bool {
        self.verify_bytes(now, &papers.certificate, &papers.membership).is_ok()
    }

    /// The rotations in papers as a statement, when they are news. It costs the signatures once more.
    pub(super) fn news(&self, now: Instant, papers: &Papers) -> Option<Bytes> {
        if !self.revocations.is_news(&papers.node, &papers.roots) {
            return None;
        }
        self.verify_bytes(now, &papers.certificate, &papers.membership).ok()?.news
    }

    /// Whether the clock shows that they have ended.
    pub(super) fn has_expired(&self, now: Instant, papers: &Papers) -> bool {
        self.expiry(papers).is_some_and(|at| at <= now)
    }

    /// When the clock will show that they have ended, or has; `None` when they do not end, or the time
    /// is not known.
    pub(super) fn expiry(&self, papers: &Papers) -> Option<Instant> {
        let (wall, told) = self.wall?;
        if papers.not_after_s == 0 {
            return None;
        }
        Some(told + wall.until_surely((u128::from(papers.not_after_s) + 1) * 1_000_000))
    }

    pub(super) fn install(&mut self, bytes: &[u8]) -> Result<Installed, IdentityError> {
        let Trust { identity, network, revocations, verifier, .. } = self;
        identity::install(identity, network, revocations, verifier, bytes)
    }
}

impl Papers {
    pub(super) fn hash(&self) -> &[u8; 32] {
        &self.hash
    }
}

/// Which side of a handshake we are, and as initiator with whose key.
pub(super) enum Role<'a> {
    Initiator(Option<&'a [u8; 32]>),
    Responder,
}

fn papers_hash(certificate: &[u8], membership: &[u8]) -> [u8; 32] {
    let len = (certificate.len() as u64).to_le_bytes();
    hash::derive("thallus papers v1", &[&len, certificate, membership])
}
