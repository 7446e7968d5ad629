//! Signed papers: whoever made them, reading them ends in a verdict.

use std::sync::OnceLock;

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use proto_core::crypto::secret::Secret;
use proto_core::identity::{
    DeviceCertificate, Genesis, Membership, Network, RevocationList, Revocations, Taken, install,
};
use proto_core::ids::NetworkId;

use crate::cast::{Cast, cast};
use crate::fuzz::spoil::spoil;

/// Statements, certificates and founding records: any bytes, and valid ones that were spoiled. What was
/// installed once is known the second time.
///
/// # Panics
/// When it is not.
pub fn statement(bytes: &[u8]) {
    let mut u = Unstructured::new(bytes);
    let paper = match script(&mut u) {
        Ok(paper) => paper,
        Err(_) => bytes.to_vec(),
    };
    read(&paper);
}

fn script(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    static PAPERS: OnceLock<[Bytes; 5]> = OnceLock::new();
    let papers = PAPERS.get_or_init(|| papers(cast()));
    let mut paper = u.choose(papers)?.to_vec();
    spoil(u, &mut paper)?;
    Ok(paper)
}

/// One paper of each kind that an open network knows.
fn papers(cast: &Cast) -> [Bytes; 5] {
    let [alice, bob] = &cast.roots;
    let next = alice.rotate(&Secret::new([9; 32])).expect("the first rotation");
    let devices = vec![(cast.bob.device(), 1)];
    [
        cast.genesis.clone(),
        cast.alice.certificate_bytes().clone(),
        next.rotation_statement().expect("it has been rotated"),
        bob.revoke(&RevocationList { sequence: 1, below_serial: 1, devices, retired: false }),
        Bytes::new(),
    ]
}

fn read(paper: &[u8]) {
    let cast = cast();
    if let Ok(genesis) = Genesis::decode(paper) {
        let encoded = genesis.encode().expect("what was read can be written");
        assert_eq!(Genesis::decode(&encoded), Ok(genesis));
        let _ = Network::open(encoded);
    }
    let genesis = Genesis::decode(&cast.genesis).expect("our own network");
    let _ = DeviceCertificate::verify(paper);
    let _ = Membership::verify(paper, &NetworkId::of_genesis(&cast.genesis), &genesis);

    let (mut local, mut network, mut revocations) = (cast.alice.clone(), cast.network(), Revocations::new(4));
    if install(&mut local, &mut network, &mut revocations, paper).is_ok() {
        let before = revocations.clone();
        let again = install(&mut local, &mut network, &mut revocations, paper).expect("it was good before");
        assert_eq!(again.taken, Taken::Known);
        assert_eq!(revocations, before);
    }
}
