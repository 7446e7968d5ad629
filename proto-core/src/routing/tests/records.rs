//! Whom a router believes.

use std::vec;
use std::vec::Vec;

use bytes::Bytes;
use proptest::prelude::*;

use super::bench::{CABLE, World, identity, network};
use crate::crypto::sign::Verifier;
use crate::drops::Drop;
use crate::ids::{NetworkId, PeerSlot, RouterId};
use crate::node::input::Class;
use crate::routing::detour::{Avoided, MOST_AVOIDED};
use crate::routing::message::{
    Afar, Broken, Builder, Head, Hop, MOST_BROKEN, Message, encode_data, replace_head,
};
use crate::routing::metric::Cost;
use crate::routing::record::{Content, Link, PAGE_LINKS, Part, RecordKey, SignedRecord};

pub(super) fn router(number: u16) -> RouterId {
    RouterId::of(identity(number).device())
}

pub(super) fn page(by: u16, about: u16, network: NetworkId, sequence: u64, to: &[RouterId]) -> SignedRecord {
    let mut links: Vec<Link> = to.iter().map(|&to| Link { to, cost: Cost::from_code(50) }).collect();
    links.sort_unstable();
    let key = RecordKey { router: router(about), part: Part::page(0).unwrap() };
    SignedRecord::sign(&identity(by).secrets().sign, network, key, sequence, Content::Page(links))
}

pub(super) fn papers(of: u16, as_router: u16, sequence: u64) -> SignedRecord {
    let identity = identity(of);
    let key = RecordKey { router: router(as_router), part: Part::PAPERS };
    let certificate = identity.certificate_bytes().clone();
    let content = Content::Papers { certificate, membership: Bytes::new() };
    SignedRecord::sign(&identity.secrets().sign, network().id(), key, sequence, content)
}

pub(super) fn tell(world: &mut World, at: usize, from: usize, records: &[SignedRecord]) {
    let mut builder = Builder::records(100_000);
    for record in records {
        builder.record(&record.bytes).unwrap();
    }
    world.sides[at].message(world.now, PeerSlot(from as u16), builder.finish());
    world.run(500);
}

#[test]
fn nobody_speaks_for_another() {
    let mut world = World::line(3);
    world.run(1_000);
    let here = network().id();
    let late = 9 << 30;
    for (what, records) in [
        ("a page signed by somebody else", vec![page(0, 2, here, late, &[router(0)])]),
        ("a page for another network", vec![page(2, 2, NetworkId([7; 32]), late, &[router(0)])]),
        ("the papers of one under the name of another", vec![papers(7, 2, late)]),
        ("papers under a name of nobody", vec![papers(7, 8, late)]),
    ] {
        let before = world.sides[1].drops.get(Drop::RecordInvalid);
        let (messages, known) = (world.messages, world.sides[1].routing.size());
        tell(&mut world, 1, 0, &records);
        assert_eq!(world.sides[1].drops.get(Drop::RecordInvalid) - before, 1, "{what}");
        assert_eq!(world.messages, messages, "{what} is not passed on");
        assert_eq!(world.sides[1].routing.size(), known, "{what} is not kept");
    }
}

/// A router that is not on the way cannot draw traffic by saying that it is.
#[test]
fn a_link_counts_only_if_both_ends_list_it() {
    let mut world = World::line(4);
    world.connect(0, 3, crate::routing::metric::Quality { loss_ppm: 900_000, ..CABLE });
    world.run(1_000);
    // Router 9 is nobody's neighbour, and says that it is everybody's.
    let liar =
        [papers(9, 9, 1), page(9, 9, network().id(), 2, &[router(0), router(1), router(2), router(3)])];
    tell(&mut world, 1, 0, &liar);
    assert_eq!(world.sides[2].routing.size().0, 5, "it is known");
    for at in 0..4 {
        assert_eq!(world.sides[at].routing.next_hop(world.now, router(9)), None, "and nowhere");
    }
    assert_eq!(world.sides[0].routing.next_hop(world.now, router(3)), Some(router(1)));
}

/// A router whose own word comes back with a number that it has not reached says it anew, with a higher one.
#[test]
fn who_is_spoken_for_by_a_copy_has_the_last_word() {
    let mut world = World::line(3);
    world.run(1_000);
    let copy = page(2, 2, network().id(), 5 << 30, &[router(7)]);
    tell(&mut world, 1, 0, &[copy]);
    world.run(1_000);
    let key = RecordKey { router: router(2), part: Part::page(0).unwrap() };
    for side in &world.sides {
        assert_eq!(side.routing.database.sequence(key), Some((5 << 30) + 1));
        let links: Vec<RouterId> = side.routing.database.links(router(2)).map(|link| link.to).collect();
        assert_eq!(links, [router(1)]);
    }
}

/// A page that comes before the papers that it is checked by is asked for, with them.
#[test]
fn a_page_without_papers_is_asked_for() {
    let mut world = World::line(3);
    world.run(1_000);
    let (papers, page) = (papers(9, 9, 1), page(9, 9, network().id(), 2, &[router(0)]));
    tell(&mut world, 0, 1, core::slice::from_ref(&papers));
    world.sides[1].routing.database.remove(router(9));
    tell(&mut world, 1, 0, core::slice::from_ref(&page));
    assert_eq!(world.sides[1].routing.database.record(papers.key), Some(papers.bytes.as_ref()));
    assert_eq!(world.sides[1].routing.database.record(page.key), None, "nobody has it but in that message");
    tell(&mut world, 1, 0, core::slice::from_ref(&page));
    assert_eq!(world.sides[2].routing.database.record(page.key), Some(page.bytes.as_ref()));
}

proptest! {
    #[test]
    fn records_come_back_and_no_bit_may_change(count in 0usize..=PAGE_LINKS, sequence in 0u64..1 << 62, bit in any::<prop::sample::Index>()) {
        let to: Vec<RouterId> = (20..20 + count as u16).map(router).collect();
        let record = page(1, 1, network().id(), sequence, &to);
        let key = identity(1).certificate().sign_key;
        let is_signed = |record: &SignedRecord| record.is_signed_by(&Verifier::default(), &key, network().id());
        let again = SignedRecord::decode(record.bytes.clone()).unwrap();
        prop_assert_eq!(&again, &record);
        prop_assert!(is_signed(&again));
        let mut bytes = record.bytes.to_vec();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(changed) = SignedRecord::decode(Bytes::from(bytes)) {
            prop_assert!(!is_signed(&changed) || changed.content == record.content);
        }
        for len in 0..record.bytes.len() {
            if let Ok(short) = SignedRecord::decode(record.bytes.slice(..len)) {
                prop_assert!(!is_signed(&short));
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut world = World::line(2);
        world.sides[0].message(world.now, PeerSlot(1), Bytes::from(bytes.clone()));
        world.run(10);
        let _ = SignedRecord::decode(Bytes::from(bytes));
    }

    /// Whatever a head says, and whichever of its ends the hop says already; and so does one that takes another's place.
    #[test]
    fn heads_come_back(
        (to, from) in (0_u8..3, 0_u8..3),
        id in any::<Option<u32>>(),
        hops in any::<u8>(),
        len in 0_usize..100,
        (broken, before) in (0_usize..=MOST_BROKEN, 0_usize..=MOST_BROKEN),
        (is_shared, avoid) in (any::<bool>(), 0_usize..=MOST_AVOIDED),
        (to_home, from_home, is_notice) in any::<(Option<u8>, Option<u8>, bool)>(),
    ) {
        let hop = Hop { from: RouterId([0; 8]), to: RouterId([1; 8]) };
        let (to, from) = (RouterId([to; 8]), RouterId([from; 8]));
        let home = |name: Option<u8>| name.map(|name| RouterId([name; 8]));
        // On the last hop nobody needs to know who keeps the destination.
        let to_home = home(to_home).filter(|_| to != hop.to);
        let afar = Afar { to: to_home, from: home(from_home), is_notice };
        let avoided = |count: usize| (0..count as u8).map(|n| Avoided::router(RouterId([n; 8]))).collect();
        let links = |count: usize| (0..count as u8).map(|n| Broken::between(RouterId([n; 8]), to)).collect();
        let head = Head { to, from, id, hops, class: Class::Low, broken: links(broken), avoid: avoided(avoid), afar };
        let packet = vec![9; len];
        let bytes = encode_data(&head, hop, &packet);
        let Ok(Message::Data(again, start)) = Message::decode(&bytes, hop) else { panic!("not data") };
        prop_assert_eq!(&again, &head);
        prop_assert_eq!(&bytes[start..], &packet);
        // Nothing is read of one that is cut short.
        for len in 0..start {
            prop_assert!(Message::decode(&bytes[..len], hop).is_err());
        }
        let last = Hop { from: RouterId([5; 8]), to: RouterId([6; 8]) };
        let other = encode_data(&Head { broken: links(before), id: None, ..head.clone() }, last, &packet);
        let start = other.len() - len;
        let shared = is_shared.then(|| other.clone());
        let (replaced, start) = replace_head(other, start, &head, hop);
        prop_assert_eq!((&replaced, replaced.len() - start), (&bytes, len));
        prop_assert!(shared.is_none_or(|shared| shared[shared.len() - len..] == packet[..]));
    }
}

/// A packet has one form on each hop: what names an end that the session says already is refused.
#[test]
fn an_end_that_need_not_be_named_is_not() {
    let (a, b, c, d) = (RouterId([1; 8]), RouterId([2; 8]), RouterId([3; 8]), RouterId([4; 8]));
    let head = |from, to| Head {
        to,
        from,
        id: None,
        hops: 9,
        class: Class::Normal,
        broken: Vec::new(),
        avoid: Vec::new(),
        afar: Afar::default(),
    };
    let hop = Hop { from: a, to: b };
    for (from, to, len) in [(c, d, 19), (a, d, 11), (c, b, 11), (a, b, 3)] {
        let bytes = encode_data(&head(from, to), hop, b"");
        assert_eq!(bytes.len(), len);
        assert_eq!(Message::decode(&bytes, hop), Ok(Message::Data(head(from, to), len)));
        // Written for another hop, of which only the ends are others.
        let elsewhere =
            encode_data(&head(from, to), Hop { from: RouterId([8; 8]), to: RouterId([9; 8]) }, b"");
        assert_eq!(Message::decode(&elsewhere, hop).is_ok(), len == 19);
    }
}

/// What relays know a packet by. Two that are sealed differ in their tags; a handshake that is repeated differs in nothing else than its
/// number.
#[test]
fn packets_are_known_by_their_ends() {
    let (to, from) = (RouterId([1; 8]), RouterId([2; 8]));
    let head = |id| Head {
        to,
        from,
        id,
        hops: 9,
        class: Class::Normal,
        broken: Vec::new(),
        avoid: Vec::new(),
        afar: Afar::default(),
    };
    assert_eq!(head(None).name(b"sealed and so on, tag: 12345678"), u64::from_le_bytes(*b"12345678"));
    assert_ne!(head(Some(1)).name(b"handshake"), head(Some(2)).name(b"handshake"));
    assert_eq!(head(Some(7)).name(b"short"), 7);
    for (packet, needs) in [(&b""[..], true), (b"\x7fhandshake", true), (b"\x80sealed", false)] {
        assert_eq!(Head::needs_id(packet), needs);
    }
}
