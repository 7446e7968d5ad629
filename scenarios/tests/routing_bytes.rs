//! That `Routing::held_bytes` is what the map takes: the figure of `scale` is an account, and here an allocator checks it.

use bytes::Bytes;
use proto_core::crypto::secret::Secret;
use proto_core::crypto::sign::Verifier;
use proto_core::drops::Drops;
use proto_core::identity::{
    Checker, DeviceSecrets, Genesis, LocalIdentity, Network, Revocations, RootKey, Validity,
};
use proto_core::ids::{PeerSlot, RouterId};
use proto_core::limits::Limits;
use proto_core::machine::{Cx, Machine};
use proto_core::rng::Rng;
use proto_core::routing::message::Builder;
use proto_core::routing::metric::Cost;
use proto_core::routing::record::{Content, Link, Part, RecordKey, SignedRecord};
use proto_core::routing::{Input, Routing};
use proto_core::time::Instant;
use proto_core::zoo::Zoo;

const ROUTERS: u16 = 300;

fn identity(number: u16) -> LocalIdentity {
    let secret = |purpose: u8| {
        let mut bytes = [purpose; 32];
        bytes[..2].copy_from_slice(&number.to_le_bytes());
        Secret::new(bytes)
    };
    let (root, device) = (RootKey::new(&secret(1)), DeviceSecrets::new(&secret(2), &secret(3)));
    let certificate = root.certify(device.sign.public(), device.dh.public(), 1, Validity::ALWAYS);
    LocalIdentity::new(device, certificate).unwrap()
}

/// What a router of a ring says, whose neighbours are the seven before it and the seven behind.
fn records(identities: &[LocalIdentity], network: &Network, number: u16) -> Vec<SignedRecord> {
    let router = |at: u16| RouterId::of(identities[usize::from(at % ROUTERS)].device());
    let own = &identities[usize::from(number)];
    let mut links: Vec<Link> = (1..=7)
        .flat_map(|step| [number + step, number + ROUTERS - step])
        .map(|at| Link { to: router(at), cost: Cost::from_code(80) })
        .collect();
    links.sort_unstable();
    let sign = |part, sequence, content| {
        let key = RecordKey { router: router(number), part };
        SignedRecord::sign(&own.secrets().sign, network.id(), key, sequence, content)
    };
    let certificate = own.certificate_bytes().clone();
    let papers = Content::Papers { certificate, membership: Bytes::new() };
    vec![sign(Part::PAPERS, 1, papers), sign(Part::page(0).unwrap(), 2, Content::Page(links))]
}

#[test]
fn what_the_map_is_said_to_hold_is_what_it_takes() {
    let genesis = Genesis {
        name: "account".into(),
        authorities: Vec::new(),
        threshold: 0,
        closed: false,
        parameters: Vec::new(),
        salt: [1; 16],
    };
    let network = Network::open(genesis.encode().unwrap()).unwrap();
    let identities: Vec<LocalIdentity> = (0..ROUTERS).map(identity).collect();
    let messages: Vec<Bytes> = (1..ROUTERS)
        .map(|number| {
            let mut builder = Builder::records(4_096);
            for record in records(&identities, &network, number) {
                builder.record(&record.bytes).unwrap();
            }
            builder.finish()
        })
        .collect();
    // Shared from now on, so that nothing of them is made or freed while it is measured.
    let shared = messages.clone();
    let limits = Limits { routers: u32::from(ROUTERS), ..Limits::SMALL };
    let (mut drops, mut rng) = (Drops::default(), Rng::fork(&[1; 32], "routing"));
    let now = Instant::from_micros(1);
    let revocations = Revocations::new(8);
    let (mut held, mut kept) = (0, None);
    let taken = allocation_counter::measure(|| {
        let cx = &mut Cx { now, rng: &mut rng, limits: &limits, drops: &mut drops, zoo: Zoo::none() };
        let mut routing = Box::new(Routing::new(cx, &identities[0], network.id(), 1));
        let router = |at: u16| RouterId::of(identities[usize::from(at)].device());
        routing.handle(cx, Input::NeighbourUp { peer: PeerSlot(0), router: router(1) });
        for payload in &messages {
            let payload = payload.clone();
            let verifier = &Verifier::default();
            let checker = Checker { network: &network, revocations: &revocations, wall: None, verifier };
            routing.handle(cx, Input::Message { peer: PeerSlot(0), payload, checker });
        }
        while routing.poll().is_some() {}
        assert_eq!(routing.size().0, usize::from(ROUTERS));
        assert!(routing.next_hop(now, router(9)).is_some());
        held = routing.held_bytes();
        // What is kept beyond the end of the measurement counts.
        kept = Some(routing);
    });
    drop((kept, shared));
    let taken = usize::try_from(taken.bytes_current).unwrap();
    let (least, most) = (taken * 85 / 100, taken * 115 / 100);
    assert!((least..=most).contains(&held), "{held} bytes by the account, {taken} by the allocator");
    let each = held / usize::from(ROUTERS);
    assert!((600..1_200).contains(&each), "{each} bytes a router with 14 neighbours");
}
