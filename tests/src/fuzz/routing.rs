//! Messages between routers: whatever a neighbour says, the map and the packets in our hands stay whole and within their limits.

use bytes::Bytes;
use proto_core::crypto::sign::Verifier;
use proto_core::drops::Drops;
use proto_core::identity::{Checker, LocalIdentity, Revocations};
use proto_core::ids::{PeerSlot, RouterId};
use proto_core::limits::Limits;
use proto_core::machine::{Cx, Machine};
use proto_core::node::Class;
use proto_core::rng::Rng;
use proto_core::routing::message::{
    Address, Afar, Builder, Entry, Head, Hop, Message, Notice, encode_data, replace_head,
};
use proto_core::routing::metric::{Cost, Quality};
use proto_core::routing::record::{Content, Link, PAGE_LINKS, Part, RecordKey, SignedRecord};
use proto_core::routing::{Action, Input, Routing};
use proto_core::time::{Duration, Instant};
use proto_core::wake::Wake;
use proto_core::zoo::Zoo;

use crate::cast::cast;

/// Neighbours, of which one has papers.
const NEIGHBOURS: u16 = 4;

fn router_of(identity: &LocalIdentity) -> RouterId {
    RouterId::of(identity.device())
}

/// The input in pieces, each with a byte before it that says from whom it comes and how long it is: a message from a neighbour.
/// Between two of them the machine does what is due, and neighbours come, go, and confirm what they were sent or do not. Its
/// invariants hold after each.
///
/// # Panics
/// When one does not, or a packet that was read cannot be written so that it reads the same.
pub fn routing(bytes: &[u8]) {
    let cast = cast();
    let revocations = Revocations::new(16);
    let verifier = Verifier::default();
    let checker =
        Checker { network: &cast.network, revocations: &revocations, wall: None, verifier: &verifier };
    let limits = Limits {
        routers: 4,
        routing_bytes: 8_192,
        landmarks: 2,
        place_bytes: 1_024,
        custody_bytes: 8_192,
        ..Limits::SMALL
    };
    let (mut drops, mut rng) = (Drops::default(), Rng::fork(&[1; 32], "routing"));
    let mut now = Instant::from_micros(10_000_000);
    let mut cx = Cx { now, rng: &mut rng, limits: &limits, drops: &mut drops, zoo: Zoo::none() };
    let mut routing = Routing::new(&mut cx, &cast.alice, cast.network.id(), 1);
    let name = |slot: u16| if slot == 0 { router_of(&cast.bob) } else { RouterId([slot as u8; 8]) };
    let mut rest = bytes;
    while let Some((&head, after)) = rest.split_first() {
        let (peer, what) = (PeerSlot(u16::from(head) % NEIGHBOURS), head / 4 % 8);
        let Some((&len, after)) = after.split_first() else { break };
        let (piece, after) = after.split_at((usize::from(len) * 4).min(after.len()));
        rest = after;
        let payload = Bytes::copy_from_slice(piece);
        whole(&payload, Hop { from: name(peer.0), to: router_of(&cast.alice) });
        let input = match what {
            0 => Input::NeighbourDown { peer },
            1 => Input::NeighbourUnusable { peer },
            2 => {
                let home = (len & 8 != 0).then(|| name(u16::from(len / 16) % 4));
                Input::Send { to: name(u16::from(len) % 8), home, class: Class::Normal, payload }
            }
            3 => Input::NeighbourUp { peer, router: name(peer.0) },
            4 => Input::Message { peer, payload: word_of_bob(piece, router_of(&cast.alice)), checker },
            _ => Input::Message { peer, payload, checker },
        };
        if what > 3 {
            routing.handle(&mut cx, Input::NeighbourUp { peer, router: name(peer.0) });
        }
        routing.handle(&mut cx, input);
        now += Duration::from_millis(u64::from(len));
        cx.now = now;
        run(&mut routing, &mut cx, head);
    }
}

/// Does what is due; messages are confirmed, given up or left under way, as the byte says.
fn run(routing: &mut Routing, cx: &mut Cx<'_>, fate: u8) {
    for _ in 0..64 {
        let due = routing.next_wake().is_due(cx.now);
        if due {
            routing.wake(cx);
        }
        while let Some(action) = routing.poll() {
            match action {
                Action::Send { peer, tag, .. } if fate & 0x40 == 0 => {
                    routing.handle(cx, Input::Settled { peer, tag, arrived: fate & 0x80 == 0 });
                }
                Action::Measure { peer } => {
                    let quality = Quality {
                        srtt: Duration::from_millis(5),
                        loss_ppm: u32::from(fate) * 3_000,
                        rate_bps: None,
                        scarce: Duration::ZERO,
                    };
                    routing.handle(cx, Input::Measured { peer, quality });
                }
                Action::Send { .. }
                | Action::Withdraw { .. }
                | Action::Deliver { .. }
                | Action::Appeared { .. }
                | Action::Found { .. }
                | Action::InVain { .. }
                | Action::Astray { .. } => {}
            }
        }
        routing.check(cx.limits);
        if !due {
            break;
        }
    }
    let wake = routing.next_wake();
    assert!(!wake.is_due(cx.now) || matches!(wake, Wake::Now), "it does not get done");
}

/// A word of the neighbour that has papers, properly signed: its papers, or a page with links that the bytes name; one byte of the
/// message may be spoiled.
fn word_of_bob(piece: &[u8], to: RouterId) -> Bytes {
    let (cast, bob) = (cast(), &cast().bob);
    let [kind, sequence, spoiled, ref names @ ..] = *piece else { return Bytes::new() };
    if kind % 8 == 7 {
        return afar_of_bob(kind, u64::from(sequence), spoiled, to);
    }
    let (part, content) = match Part::page(u32::from(kind % 3)) {
        Some(part) if kind % 4 != 0 => {
            let mut links: Vec<Link> = names
                .iter()
                .take(PAGE_LINKS)
                .map(|&name| Link { to: named(name), cost: Cost::from_code(name.wrapping_mul(7)) })
                .filter(|link| link.to != router_of(bob))
                .collect();
            links.sort_unstable();
            links.dedup_by_key(|link| link.to);
            (part, Content::Page(links))
        }
        _ => {
            let certificate = bob.certificate_bytes().clone();
            (Part::PAPERS, Content::Papers { certificate, membership: Bytes::new() })
        }
    };
    let about = RecordKey { router: router_of(bob), part };
    let key = &bob.secrets().sign;
    let record = SignedRecord::sign(key, cast.network.id(), about, 1 << 30 | u64::from(sequence), content);
    let mut builder = Builder::records(2_048);
    let _ = builder.record(&record.bytes);
    let mut bytes = builder.finish().to_vec();
    if spoiled > 0 {
        let at = usize::from(spoiled) % bytes.len();
        bytes[at] ^= 1;
    }
    Bytes::from(bytes)
}

/// What that neighbour says of itself as a landmark, or leaves with us as its address, properly signed; one byte may be spoiled.
fn afar_of_bob(kind: u8, sequence: u64, spoiled: u8, to: RouterId) -> Bytes {
    let (cast, bob) = (cast(), &cast().bob);
    let router = router_of(bob);
    let sign = |part: Part, content: Content| {
        let about = RecordKey { router, part };
        SignedRecord::sign(&bob.secrets().sign, cast.network.id(), about, 1 << 30 | sequence, content).bytes
    };
    let certificate = bob.certificate_bytes().clone();
    let papers = sign(Part::PAPERS, Content::Papers { certificate, membership: Bytes::new() });
    let bytes = if kind & 8 == 0 {
        let word = sign(Part::LANDMARK, Content::Landmark { reach: u64::from(spoiled) << 16 });
        let (word, papers) = (Some(word.as_ref()), (kind & 16 == 0).then_some(papers.as_ref()));
        let distance = (kind & 32 == 0).then_some(sequence << (kind >> 2));
        let mut builder = Builder::landmarks(4_096);
        let sequence = 1 << 30 | sequence;
        let _ = builder.entry(&Entry::Way { router, sequence, distance, word, papers });
        builder.finish()
    } else {
        let home = sign(Part::HOME, Content::Home { landmark: to });
        let notice = Notice::Publish(Address { papers: &papers, home: &home }).to_bytes();
        let afar = Afar { to: None, from: Some(to), is_notice: true };
        let head = Head {
            to,
            from: router,
            id: Some(1),
            hops: 9,
            class: Class::High,
            broken: Vec::new(),
            avoid: Vec::new(),
            afar,
        };
        encode_data(&head, Hop { from: router, to }, &notice)
    };
    let mut bytes = bytes.to_vec();
    if spoiled > 128 {
        let at = usize::from(spoiled) * 5 % bytes.len();
        bytes[at] ^= 1;
    }
    Bytes::from(bytes)
}

/// Somebody on the map: ourselves, a neighbour, or anybody.
fn named(name: u8) -> RouterId {
    match name % 8 {
        0 => router_of(&cast().alice),
        7 => router_of(&cast().bob),
        other => RouterId([other; 8]),
    }
}

/// Reads a message to its end.
fn whole(payload: &Bytes, hop: Hop) {
    match Message::decode(payload, hop) {
        Ok(Message::Records(records)) => {
            for bytes in records.flatten() {
                let _ = SignedRecord::decode(payload.slice_ref(bytes));
            }
        }
        Ok(Message::Summary(summary)) => summary.for_each(drop),
        Ok(Message::Request(keys)) => keys.for_each(drop),
        Ok(Message::Data(head, start)) => {
            let again = encode_data(&head, hop, &payload[start..]);
            assert_eq!(again, *payload, "a packet is written as it was read");
            // And for the next hop as one that was written for it at once.
            let next = Hop { from: hop.to, to: head.to };
            let (passed_on, _) = replace_head(again, start, &head, next);
            assert_eq!(passed_on, encode_data(&head, next, &payload[start..]));
        }
        Ok(Message::Landmarks(entries)) => {
            let entries: Result<Vec<Entry<'_>>, _> = entries.collect();
            if let Ok(entries) = entries {
                let mut again = Builder::landmarks(payload.len());
                for entry in &entries {
                    assert!(again.entry(entry).is_ok(), "an entry is written no longer than it was read");
                }
            }
        }
        Ok(Message::Skipped) | Err(_) => {}
    }
}
