//! Who plays in the tests of other machines: a network, and as many nodes as are wanted.

use alloc::vec::Vec;

use bytes::Bytes;

use super::{DeviceSecrets, Genesis, LocalIdentity, Network, RevocationList, RootKey, Validity};
use crate::crypto::secret::Secret;

pub(crate) fn network() -> Network {
    let genesis = Genesis {
        name: "routing".into(),
        authorities: Vec::new(),
        threshold: 0,
        closed: false,
        parameters: Vec::new(),
        salt: [1; 16],
    };
    Network::open(genesis.encode().unwrap()).unwrap()
}

fn secret(number: u16, purpose: u8) -> Secret {
    let mut bytes = [purpose; 32];
    bytes[..2].copy_from_slice(&number.to_le_bytes());
    Secret::new(bytes)
}

/// The word of a router's owner that its devices with serials below this are void; they have 1.
pub(crate) fn revocation(number: u16, below_serial: u64) -> Bytes {
    let list = RevocationList { sequence: 1, below_serial, devices: Vec::new(), retired: false };
    RootKey::new(&secret(number, 1)).revoke(&list)
}

pub(crate) fn identity(number: u16) -> LocalIdentity {
    let secret = |purpose: u8| secret(number, purpose);
    let (root, device) = (RootKey::new(&secret(1)), DeviceSecrets::new(&secret(2), &secret(3)));
    let certificate = root.certify(device.sign.public(), device.dh.public(), 1, Validity::ALWAYS);
    LocalIdentity::new(device, certificate).unwrap()
}

/// Two devices of one node.
pub(crate) fn devices(number: u16) -> [LocalIdentity; 2] {
    let root = RootKey::new(&secret(number, 1));
    [2, 4].map(|purpose| {
        let device = DeviceSecrets::new(&secret(number, purpose), &secret(number, purpose + 1));
        let certificate = root.certify(device.sign.public(), device.dh.public(), 1, Validity::ALWAYS);
        LocalIdentity::new(device, certificate).unwrap()
    })
}
