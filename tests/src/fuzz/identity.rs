//! Signed papers: whoever made them, reading them ends in a verdict.

use std::sync::OnceLock;

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use proto_core::crypto::password::Cost;
use proto_core::crypto::secret::Secret;
use proto_core::crypto::sign::Verifier;
use proto_core::identity::keyfile::{self, CostLimit, Secrets};
use proto_core::identity::text;
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
    if install(&mut local, &mut network, &mut revocations, &Verifier::default(), paper).is_ok() {
        let before = revocations.clone();
        let again = install(&mut local, &mut network, &mut revocations, &Verifier::default(), paper)
            .expect("it was good before");
        assert_eq!(again.taken, Taken::Known);
        assert_eq!(revocations, before);
    }
}

/// Key files and their text form: any bytes, and a key file that was spoiled. Nothing but the file itself
/// opens, and what opens can be sealed again.
///
/// # Panics
/// When a spoiled file opens as something else.
pub fn key_file(bytes: &[u8]) {
    let _ = keyfile::open(bytes, b"any", CHEAP);
    let _ = std::str::from_utf8(bytes).map(text::import);
    let _ = spoiled_key_file(&mut Unstructured::new(bytes));
}

/// No file may cost more than a few microseconds here.
const CHEAP: CostLimit = CostLimit { memory_kib: 8, work_kib: 8 };

fn spoiled_key_file(u: &mut Unstructured<'_>) -> Result<()> {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        let secrets = Secrets {
            root: Some(cast().roots[0].clone()),
            device: Some(cast().alice.secrets().clone()),
            certificate: cast().alice.certificate_bytes().clone(),
            network_keys: vec![(NetworkId([5; 32]), 1, Secret::new([6; 32]))],
        };
        let cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };
        keyfile::seal(&secrets, b"secret", &[3; keyfile::ENTROPY_LEN], cost).expect("it can be sealed")
    });
    let mut spoiled = file.clone();
    spoil(u, &mut spoiled)?;
    let opened = keyfile::open(&spoiled, b"secret", CHEAP);
    assert_eq!(opened.is_ok(), spoiled == *file, "{:?}", opened.err());
    Ok(())
}
