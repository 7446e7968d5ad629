//! Who we are, and who the other side of a handshake is.

use bytes::Bytes;

use super::certificate::{DeviceCertificate, Roots, Validity};
use super::endorsed::Membership;
use super::error::IdentityError;
use super::network::Network;
use super::revocations::{Revocations, Source};
use super::root::DeviceSecrets;
use crate::crypto::sign::Verifier;
use crate::ids::{DeviceId, NodeId};
use crate::time::WallTime;

/// The most bytes that a device's certificate and its node's membership have together: what is left in a
/// handshake packet, and some for what later versions add. A certificate with all its rotations (2,477 bytes)
/// fits beside 18 signatures of authorities, and all 32 of these (2,290 bytes) beside nine rotations.
pub const MAX_PAPERS_BYTES: usize = 3_840;

/// Our own identity: this device's keys and what proves that they are ours.
#[derive(Clone, Debug)]
pub struct LocalIdentity {
    secrets: DeviceSecrets,
    certificate: DeviceCertificate,
    certificate_bytes: Bytes,
    membership: Option<Bytes>,
    membership_source: Source,
}

impl LocalIdentity {
    /// The device with these secrets, certified by `certificate`.
    ///
    /// # Errors
    /// When the certificate does not verify, is about other keys ([`IdentityError::WrongNode`]), or is too
    /// long to be shown ([`IdentityError::PapersTooLong`]).
    pub fn new(secrets: DeviceSecrets, certificate: Bytes) -> Result<LocalIdentity, IdentityError> {
        let verified = DeviceCertificate::verify(&certificate)?;
        if verified.sign_key != secrets.sign.public() || verified.dh_key != secrets.dh.public() {
            return Err(IdentityError::WrongNode);
        }
        check_len(&certificate, &[])?;
        Ok(LocalIdentity {
            secrets,
            certificate: verified,
            certificate_bytes: certificate,
            membership: None,
            membership_source: None,
        })
    }

    /// Adds the membership certificate of a closed network.
    ///
    /// # Errors
    /// When it does not verify, is another node's, or is too long to be shown beside the certificate
    /// ([`IdentityError::PapersTooLong`]).
    pub fn with_membership(
        mut self,
        membership: Bytes,
        network: &Network,
    ) -> Result<LocalIdentity, IdentityError> {
        let verified = Membership::verify(&membership, &network.id(), network.genesis())?;
        if verified.node != self.certificate.node {
            return Err(IdentityError::WrongNode);
        }
        check_len(&self.certificate_bytes, &membership)?;
        self.membership = Some(membership);
        Ok(self)
    }

    /// Our node.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.certificate.node
    }

    /// This device.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        self.certificate.device
    }

    /// This device's secret keys.
    #[must_use]
    pub fn secrets(&self) -> &DeviceSecrets {
        &self.secrets
    }

    /// What the certificate says.
    #[must_use]
    pub fn certificate(&self) -> &DeviceCertificate {
        &self.certificate
    }

    /// The certificate as it is shown to others.
    #[must_use]
    pub fn certificate_bytes(&self) -> &Bytes {
        &self.certificate_bytes
    }

    /// The membership certificate as it is shown to others.
    #[must_use]
    pub fn membership(&self) -> Option<&Bytes> {
        self.membership.as_ref()
    }

    pub(super) fn set_membership(
        &mut self,
        membership: Bytes,
        source: [u8; 32],
    ) -> Result<Source, IdentityError> {
        check_len(&self.certificate_bytes, &membership)?;
        self.membership = Some(membership);
        Ok(self.membership_source.replace(source))
    }
}

/// Whoever showed longer papers would be one whom nobody hears.
fn check_len(certificate: &[u8], membership: &[u8]) -> Result<(), IdentityError> {
    let bytes = certificate.len() + membership.len();
    if bytes > MAX_PAPERS_BYTES {
        let limit = MAX_PAPERS_BYTES as u32;
        return Err(IdentityError::PapersTooLong { bytes: u32::try_from(bytes).unwrap_or(u32::MAX), limit });
    }
    Ok(())
}

/// The other side of a handshake, once its papers are in order. That it holds the keys named here is
/// for the handshake to prove.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerIdentity {
    /// Who.
    pub node: NodeId,
    /// With which device.
    pub device: DeviceId,
    /// The device's Ed25519 key.
    pub sign_key: [u8; 32],
    /// The device's X25519 key: the static key that the handshake must have used.
    pub dh_key: [u8; 32],
    /// The certificate's serial.
    pub serial: u64,
    /// The serial of its membership; `None` in an open network.
    pub membership_serial: Option<u64>,
    /// Whether all dates were checked: false when there are some and the clock is unknown.
    pub dates_checked: bool,
    /// When the first of its papers ends, in seconds since 1970-01-01 UTC; 0 means never.
    pub not_after_s: u64,
    /// The root keys that its certificate shows.
    pub roots: Roots,
    /// Rotations that we did not know, as a statement to [`install`](super::install) and to store.
    pub news: Option<Bytes>,
}

/// What it takes to check the papers of others, as of now.
#[derive(Clone, Copy, Debug)]
pub struct Checker<'a> {
    /// The network they must belong to.
    pub network: &'a Network,
    /// Who is not trusted any more.
    pub revocations: &'a Revocations,
    /// The calendar time, if it is known.
    pub wall: Option<WallTime>,
    /// Verifies their signatures.
    pub verifier: &'a Verifier,
}

impl Checker<'_> {
    /// Checks everything a peer shows: certificate, chain of root keys, revocations, dates, and in a
    /// closed network its membership. In an open network a membership is not looked at.
    ///
    /// # Errors
    /// The first thing found wrong; what costs nothing is checked before signatures of the next part.
    pub fn verify(
        &self,
        certificate: &[u8],
        membership: Option<&[u8]>,
    ) -> Result<PeerIdentity, IdentityError> {
        let Checker { network, revocations, wall, verifier } = *self;
        let verified = DeviceCertificate::verify_with(verifier, certificate)?;
        revocations.check(&verified)?;
        let mut dates_checked = verified.validity.check(wall)?;
        let mut not_after_s = verified.validity.not_after_s;
        let mut membership_serial = None;
        if network.is_closed() {
            let bytes = membership.ok_or(IdentityError::MembershipMissing)?;
            let shown = Membership::verify_with(verifier, bytes, &network.id(), network.genesis())?;
            if shown.node != verified.node {
                return Err(IdentityError::WrongNode);
            }
            revocations.check_membership(&shown)?;
            dates_checked &= shown.validity.check(wall)?;
            not_after_s = earlier_end(not_after_s, shown.validity);
            membership_serial = Some(shown.serial);
        }
        let roots = Roots::of(&verified.chain);
        let is_news = revocations.is_news(&verified.node, &roots);
        let news = if is_news { verified.rotation_statement() } else { None };
        Ok(PeerIdentity {
            node: verified.node,
            device: verified.device,
            sign_key: verified.sign_key,
            dh_key: verified.dh_key,
            serial: verified.serial,
            membership_serial,
            dates_checked,
            not_after_s,
            roots,
            news: news.map(Bytes::from),
        })
    }
}

/// [`Checker::verify`], with the verifier of real nodes.
///
/// # Errors
/// The first thing found wrong.
pub fn verify_peer(
    certificate: &[u8],
    membership: Option<&[u8]>,
    network: &Network,
    revocations: &Revocations,
    wall: Option<WallTime>,
) -> Result<PeerIdentity, IdentityError> {
    let verifier = &Verifier::default();
    Checker { network, revocations, wall, verifier }.verify(certificate, membership)
}

fn earlier_end(end_s: u64, other: Validity) -> u64 {
    match (end_s, other.not_after_s) {
        (0, end) | (end, 0) => end,
        (a, b) => a.min(b),
    }
}
