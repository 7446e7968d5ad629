//! The nodes that tests are played with: a network and its members, always the same ones.

use std::sync::OnceLock;

use bytes::Bytes;
use proto_core::crypto::secret::Secret;
use proto_core::identity::{DeviceSecrets, Genesis, LocalIdentity, Network, RootKey, Validity};
use proto_core::ids::Addr;
use proto_core::node::{LinkInfo, Medium};
use proto_core::time::Duration;

/// A network and two of its nodes.
#[derive(Debug)]
pub struct Cast {
    /// The network's founding record.
    pub genesis: Bytes,
    /// The network, with nothing known of it but that record.
    pub network: Network,
    /// One node.
    pub alice: LocalIdentity,
    /// Another.
    pub bob: LocalIdentity,
    /// The root keys of both.
    pub roots: [RootKey; 2],
}

/// The cast; its keys are made once.
///
/// # Panics
/// When the identity module does not accept what it made itself.
#[must_use]
pub fn cast() -> &'static Cast {
    static CAST: OnceLock<Cast> = OnceLock::new();
    CAST.get_or_init(|| {
        let genesis = genesis("cast");
        let network = Network::open(genesis.clone()).expect("a network of our own making");
        let roots = [root(1), root(2)];
        let alice = device(&roots[0], 1);
        let bob = device(&roots[1], 2);
        Cast { genesis, network, alice, bob, roots }
    })
}

impl Cast {
    /// The network, as each node opens it for itself.
    #[must_use]
    pub fn network(&self) -> Network {
        self.network.clone()
    }
}

/// The founding record of an open network called `name`.
///
/// # Panics
/// When the name is too long.
#[must_use]
pub fn genesis(name: &str) -> Bytes {
    let genesis = Genesis {
        name: name.to_owned(),
        authorities: Vec::new(),
        threshold: 0,
        closed: false,
        parameters: Vec::new(),
        salt: [0; 16],
    };
    genesis.encode().expect("a short name")
}

/// A root key, by number.
#[must_use]
pub fn root(number: u8) -> RootKey {
    RootKey::new(&Secret::new([number; 32]))
}

/// A device of `root`, by number.
///
/// # Panics
/// When its own certificate does not verify.
#[must_use]
pub fn device(root: &RootKey, number: u8) -> LocalIdentity {
    let secrets = DeviceSecrets::new(&Secret::new([number | 0x40; 32]), &Secret::new([number | 0x80; 32]));
    let certificate = root.certify(secrets.sign.public(), secrets.dh.public(), 1, Validity::ALWAYS);
    LocalIdentity::new(secrets, certificate).expect("a device certified by its root")
}

/// A cable of which nothing special is known, with our own address `local` on it.
#[must_use]
pub fn link_info(mtu: u16, local: Addr) -> LinkInfo {
    LinkInfo {
        medium: Medium::PointToPoint,
        mtu,
        rate_bps: None,
        delay: Duration::from_millis(1),
        cost: 0,
        segments: 1,
        local,
        air: None,
        beacons: false,
    }
}
