//! Tests of identity. Keys are made from small numbers: `root(1)` is always the same key.

mod certificates;
mod golden;
mod hostile;
mod keyfiles;
mod memberships;
mod networks;
mod revocation;

use std::string::String;
use std::vec;
use std::vec::Vec;

use bytes::Bytes;

use super::*;
use crate::crypto::secret::Secret;
use crate::crypto::sign::{SigningKey, Verifier};
use crate::ids::{DeviceId, NetworkId, NodeId};
use crate::time::WallTime;

pub(super) fn secret(number: u8) -> Secret {
    Secret::new([number; 32])
}

pub(super) fn root(number: u8) -> RootKey {
    RootKey::new(&secret(number))
}

pub(super) fn device(number: u8) -> DeviceSecrets {
    DeviceSecrets::new(&secret(number), &secret(number ^ 0x80))
}

pub(super) fn certify(root: &RootKey, device: &DeviceSecrets, serial: u64, validity: Validity) -> Bytes {
    root.certify(device.sign.public(), device.dh.public(), serial, validity)
}

/// The usual certificate: device 10 of this root key, serial 5, for ever.
pub(super) fn certificate(root: &RootKey) -> Bytes {
    certify(root, &device(10), 5, Validity::ALWAYS)
}

pub(super) fn authority(number: u8) -> SigningKey {
    SigningKey::from_secret(&secret(100 + number))
}

/// Five authorities, three of which must sign.
pub(super) fn genesis(closed: bool) -> Genesis {
    Genesis {
        name: String::from("test"),
        authorities: (0..5).map(|number| authority(number).public()).collect(),
        threshold: 3,
        closed,
        parameters: vec![(String::from("hops"), 15), (String::from("keepalive_s"), 25)],
        salt: [9; 16],
    }
}

pub(super) fn open_network() -> Network {
    Network::open(genesis(false).encode().unwrap()).unwrap()
}

pub(super) fn closed_network() -> Network {
    Network::closed(genesis(true).encode().unwrap(), 1, secret(50)).unwrap()
}

pub(super) fn endorse(mut endorsement: Endorsement, places: &[u8]) -> Endorsement {
    for place in places {
        endorsement.sign(u32::from(*place), &authority(*place));
    }
    endorsement
}

pub(super) fn membership(network: &Network, node: NodeId, serial: u64) -> Endorsement {
    endorse(Endorsement::membership(network.id(), node, serial, Validity::ALWAYS), &[0, 1, 2])
}

pub(super) fn at(unix_s: i64, error_s: u64) -> Option<WallTime> {
    Some(WallTime { unix_us: unix_s * 1_000_000, error_us: error_s * 1_000_000 })
}

/// Everything one node knows, for installing statements.
#[derive(Clone)]
pub(super) struct Home {
    pub(super) local: LocalIdentity,
    pub(super) network: Network,
    pub(super) revocations: Revocations,
}

impl Home {
    pub(super) fn new(network: Network) -> Home {
        let local =
            LocalIdentity::new(device(20), certify(&root(2), &device(20), 1, Validity::ALWAYS)).unwrap();
        Home { local, network, revocations: Revocations::new(4) }
    }

    pub(super) fn install(&mut self, statement: &[u8]) -> Result<Installed, IdentityError> {
        install(&mut self.local, &mut self.network, &mut self.revocations, &Verifier::default(), statement)
    }

    pub(super) fn verify(&self, certificate: &[u8]) -> Result<PeerIdentity, IdentityError> {
        verify_peer(certificate, None, &self.network, &self.revocations, None)
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| std::format!("{byte:02x}")).collect()
}

pub(super) fn flip(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[bit / 8] ^= 1 << (bit % 8);
    changed
}

pub(super) fn ids() -> (NodeId, DeviceId, NetworkId) {
    (root(1).node(), device(10).id(), open_network().id())
}
