//! Taking over a signed statement, from the operator, from a peer, or from disk.

use super::certificate::Chain;
use super::endorsed::{Exclusion, KeyAnnouncement, Membership};
use super::error::IdentityError;
use super::network::Network;
use super::peer::LocalIdentity;
use super::revocations::{Revocations, Source, VerifiedList};
use super::signed::decode;
use super::wire::{self, statement::Kind};
use crate::crypto::sign::Verifier;
use crate::ids::NodeId;
use alloc::vec::Vec;
use bytes::Bytes;
use prost::Message as _;

/// The longest statement: 16 rotations of about 145 bytes, or 32 signatures of 70, and a body.
pub const MAX_STATEMENT_BYTES: usize = 4096;

/// What a statement changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Installed {
    /// What it was about.
    pub taken: Taken,
    /// The statements that this one replaces, by [`statement_hash`]: their records can be erased once
    /// this one is durable. At most one, but three when a network key retires those before it. So the
    /// disk holds at most one statement of each kind for each node, and three network keys; a crash
    /// before one is erased leaves it there, and of network keys [`is_past_key`] finds it at the start.
    pub replaces: Vec<[u8; 32]>,
}

/// What a statement was about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// Nothing new: it need not be stored.
    Known,
    /// This node has another root key now.
    Rotated(NodeId),
    /// This node has revoked something: its sessions have to be checked again.
    Revoked(NodeId),
    /// Memberships of this node have ended: its sessions have to be checked again.
    Excluded(NodeId),
    /// Our own membership.
    Membership,
    /// The network's key of this epoch.
    NetworkKey(u32),
}

/// What a statement's record is found by: plain BLAKE3 of its bytes.
#[must_use]
pub fn statement_hash(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

/// Verifies a statement and takes it over. Installing the same twice, or an old one after a newer,
/// does no harm.
///
/// # Errors
/// Why not; nothing has changed then. At most 32 signatures are verified.
pub fn install(
    local: &mut LocalIdentity,
    network: &mut Network,
    revocations: &mut Revocations,
    verifier: &Verifier,
    bytes: &[u8],
) -> Result<Installed, IdentityError> {
    if bytes.len() > MAX_STATEMENT_BYTES {
        return Err(IdentityError::Malformed("statement too long"));
    }
    let statement: wire::Statement = decode(bytes, "statement")?;
    let source = statement_hash(bytes);
    match statement.kind.ok_or(IdentityError::Malformed("statement of no known kind"))? {
        Kind::Rotations(rotations) => {
            let chain = Chain::of_rotations(verifier, &rotations.rotations)?;
            Ok(installed(Taken::Rotated(chain.node), revocations.learn_rotations(&chain, source)?))
        }
        Kind::Revocation(revocation) => {
            let verified = VerifiedList::from_wire(verifier, &revocation)?;
            let node = verified.chain.node;
            Ok(installed(Taken::Revoked(node), revocations.learn_list(verified, source)?))
        }
        Kind::Membership(endorsed) => {
            install_membership(local, network, revocations, verifier, &endorsed, source)
        }
        Kind::Exclusion(endorsed) => {
            let exclusion = Exclusion::from_wire(verifier, &endorsed, &network.id(), network.genesis())?;
            Ok(installed(Taken::Excluded(exclusion.node), revocations.learn_exclusion(exclusion, source)?))
        }
        Kind::NetworkKey(endorsed) => install_network_key(network, verifier, &endorsed, source),
    }
}

fn installed(taken: Taken, change: Option<Source>) -> Installed {
    match change {
        Some(replaces) => Installed { taken, replaces: replaces.into_iter().collect() },
        None => Installed { taken: Taken::Known, replaces: Vec::new() },
    }
}

/// Whether this is a statement with a network key that is held no more and never will be: its record keeps a
/// secret for nothing. To be asked of one that [`install`] has refused as [`IdentityError::Stale`], which
/// means that it is this network's.
#[must_use]
pub fn is_past_key(network: &Network, bytes: &[u8]) -> bool {
    let statement: Result<wire::Statement, _> = decode(bytes, "statement");
    let Ok(Some(Kind::NetworkKey(endorsed))) = statement.map(|statement| statement.kind) else {
        return false;
    };
    let announced =
        KeyAnnouncement::from_wire(&Verifier::default(), &endorsed, &network.id(), network.genesis());
    announced.is_ok_and(|announced| network.keys().is_past(announced.epoch))
}

fn install_membership(
    local: &mut LocalIdentity,
    network: &Network,
    revocations: &Revocations,
    verifier: &Verifier,
    endorsed: &wire::Endorsed,
    source: [u8; 32],
) -> Result<Installed, IdentityError> {
    if !network.is_closed() {
        return Err(IdentityError::OpenNetwork);
    }
    let membership = Membership::from_wire(verifier, endorsed, &network.id(), network.genesis())?;
    if membership.node != local.node() {
        return Err(IdentityError::WrongNode);
    }
    revocations.check_membership(&membership)?;
    if let Some(known) = local.membership() {
        let known = Membership::verify_with(verifier, known, &network.id(), network.genesis())?;
        if membership.serial == known.serial {
            return Ok(installed(Taken::Known, None));
        }
        if membership.serial < known.serial {
            return Err(IdentityError::Stale);
        }
    }
    let replaces = local.set_membership(Bytes::from(endorsed.encode_to_vec()), source)?;
    Ok(installed(Taken::Membership, Some(replaces)))
}

fn install_network_key(
    network: &mut Network,
    verifier: &Verifier,
    endorsed: &wire::Endorsed,
    source: [u8; 32],
) -> Result<Installed, IdentityError> {
    if !network.is_closed() {
        return Err(IdentityError::OpenNetwork);
    }
    let KeyAnnouncement { epoch, key, retire_below } =
        KeyAnnouncement::from_wire(verifier, endorsed, &network.id(), network.genesis())?;
    Ok(match network.keys_mut().install_from(epoch, key, retire_below, Some(source))? {
        Some(replaces) => Installed { taken: Taken::NetworkKey(epoch), replaces },
        None => Installed { taken: Taken::Known, replaces: Vec::new() },
    })
}
