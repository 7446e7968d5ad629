//! The real node as a subject: real keys, real certificates, real records on the simulated disk.

use std::collections::BTreeMap;

use proto_core::crypto::secret::Secret;
use proto_core::identity::{DeviceSecrets, Genesis, LocalIdentity, Network, RootKey, Validity};
use proto_core::ids::NodeId;
use proto_core::node::{Boot, Input, Node, Output, Refused, VERSIONS};
use proto_core::store::record::Record;
use proto_core::time::Instant;
use proto_core::wake::Wake;
use proto_core::zoo::Zoo;

use crate::draw::{Lot, Purpose, pair};
use crate::plan::Plan;
use crate::subject::{Glance, Start, Subject};

/// Identities and networks of all nodes of a plan.
pub struct Cast {
    identities: Vec<LocalIdentity>,
    networks: BTreeMap<u32, Network>,
    network_of: Vec<u32>,
}

/// 32 bytes that are secret `which` of node `node`.
fn secret(seed: u64, node: u32, which: u32) -> Secret {
    let lot = Lot::new(seed, Purpose::Identity, pair(which, node));
    let mut bytes = [0; 32];
    for (chunk, n) in bytes.chunks_exact_mut(8).zip(0..) {
        chunk.copy_from_slice(&lot.at(n).to_le_bytes());
    }
    Secret::new(bytes)
}

fn identity(seed: u64, node: u32) -> Result<LocalIdentity, String> {
    let root = RootKey::new(&secret(seed, node, 0));
    let device = DeviceSecrets::new(&secret(seed, node, 1), &secret(seed, node, 2));
    // Wall clocks of plans are wrong by decades; what that does to validity is another test's matter.
    let certificate = root.certify(device.sign.public(), device.dh.public(), 1, Validity::default());
    LocalIdentity::new(device, certificate).map_err(|error| format!("node {node}: {error}"))
}

fn network(seed: u64, number: u32) -> Result<Network, String> {
    let mut salt = [0; 16];
    let lot = Lot::new(seed, Purpose::Identity, pair(u32::MAX, number));
    for (chunk, n) in salt.chunks_exact_mut(8).zip(0..) {
        chunk.copy_from_slice(&lot.at(n).to_le_bytes());
    }
    let genesis = Genesis {
        name: format!("network {number}"),
        authorities: Vec::new(),
        threshold: 0,
        closed: false,
        parameters: Vec::new(),
        salt,
    };
    let network = genesis.encode().and_then(Network::open);
    network.map_err(|error| format!("network {number}: {error}"))
}

impl Subject for Node {
    type Cast = Cast;

    fn cast(plan: &Plan) -> Result<Cast, String> {
        let count = plan.node_count();
        let network_of: Vec<u32> = (0..count).map(|node| plan.node(node).map_or(0, |entry| entry.network)).collect();
        let mut networks = BTreeMap::new();
        for &number in &network_of {
            if let std::collections::btree_map::Entry::Vacant(free) = networks.entry(number) {
                free.insert(network(plan.seed, number)?);
            }
        }
        let identities = (0..count).map(|node| identity(plan.seed, node)).collect::<Result<_, _>>()?;
        Ok(Cast { identities, networks, network_of })
    }

    fn node_id(cast: &Cast, node: u32) -> NodeId {
        cast.identities[node as usize].node()
    }

    fn key(cast: &Cast, node: u32) -> Option<[u8; 32]> {
        Some(cast.identities[node as usize].secrets().dh.public())
    }

    fn boot(cast: &Cast, start: Start<'_>) -> Result<Node, String> {
        let at = start.node as usize;
        let network = cast.networks.get(&cast.network_of[at]).ok_or("it has no network")?;
        let boot = Boot {
            identity: cast.identities[at].clone(),
            network: network.clone(),
            records: start.records,
            versions: start.versions.unwrap_or(VERSIONS),
            zoo: zoo(start.bug)?,
        };
        Node::new(boot, start.seed, start.limits, start.now).map_err(|error| error.to_string())
    }

    fn encode(record: &Record) -> Vec<u8> {
        record.encode()
    }

    fn decode(bytes: &[u8]) -> Option<Record> {
        Record::decode(bytes).ok()
    }

    fn handle(&mut self, now: Instant, input: Input<'_>) -> Result<(), Refused> {
        Node::handle(self, now, input)
    }

    fn poll(&mut self, now: Instant, buf: &mut [u8]) -> Option<Output> {
        Node::poll(self, now, buf)
    }

    fn next_wake(&self) -> Wake {
        Node::next_wake(self)
    }

    fn glance(&self) -> Glance {
        let status = self.status();
        Glance {
            sessions: status.peers.iter().filter(|peer| peer.up).count() as u32,
            unsent_messages: status.peers.iter().map(|peer| u64::from(peer.unsent_messages)).sum(),
            drops: status.drops,
        }
    }

    fn check(&self) {
        Node::check(self);
    }
}

#[cfg(feature = "zoo")]
fn zoo(bug: Option<&str>) -> Result<Zoo, String> {
    use proto_core::zoo::Bug;
    let Some(name) = bug else { return Ok(Zoo::none()) };
    let bug = Bug::ALL.iter().find(|(_, known)| *known == name).map(|(bug, _)| *bug);
    bug.map(Zoo::with).ok_or_else(|| format!("there is no planted bug `{name}`"))
}

#[cfg(not(feature = "zoo"))]
fn zoo(bug: Option<&str>) -> Result<Zoo, String> {
    match bug {
        None => Ok(Zoo::none()),
        Some(name) => Err(format!("bug `{name}` is not compiled in; build with --features zoo")),
    }
}
