//! Every record and message of routing has committed bytes. A change of one is a change of the format: it needs a new
//! version and a note in the changelog. The failing test prints what the file would have to become.

use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use bytes::Bytes;

use super::bench::{identity, network};
use super::records::{page, papers, router};
use crate::crypto::sign::Verifier;
use crate::ids::RouterId;
use crate::node::input::Class;
use crate::routing::message::{
    Address, Afar, Broken, Builder, Entry, Head, Hop, Message, Notice, encode_data,
};
use crate::routing::record::{Content, Part, RecordKey, SignedRecord};

const GOLDEN: &str = include_str!("golden.txt");

fn key(of: u16, part: u8) -> RecordKey {
    RecordKey { router: router(of), part: Part::from_u8(part).unwrap() }
}

const HOP: Hop = Hop { from: RouterId([0x33; 8]), to: RouterId([0x44; 8]) };

/// Packets on a way between two relays, on their first hop, on their last, and on the only one; one with an id, and one that met broken
/// links.
fn packets() -> [(&'static str, Head); 9] {
    let (last, first) = (Head { to: HOP.to, ..head(0) }, Head { from: HOP.from, ..head(0) });
    [
        ("message-data", head(0)),
        ("message-data-first", first.clone()),
        ("message-data-last", last),
        ("message-data-only", Head { to: HOP.to, ..first }),
        ("message-data-id", Head { id: Some(0x0403_0201), ..head(0) }),
        ("message-data-broken", Head { id: Some(0x0403_0201), ..head(4) }),
        ("message-data-afar", Head { afar: afar(true), ..head(0) }),
        ("message-data-afar-last", Head { afar: Afar { to: None, ..afar(true) }, to: HOP.to, ..head(0) }),
        ("message-data-notice", Head { afar: Afar { from: None, ..afar(false) }, id: Some(1), ..head(1) }),
    ]
}

/// A word of a landmark, and who keeps a router.
fn afar_records() -> (SignedRecord, SignedRecord) {
    let sign = |part: Part, content: Content| {
        let about = RecordKey { router: router(1), part };
        SignedRecord::sign(&identity(1).secrets().sign, network().id(), about, 1 << 30 | 3, content)
    };
    let word = sign(Part::LANDMARK, Content::Landmark { reach: 600_000 });
    (word, sign(Part::HOME, Content::Home { landmark: router(2) }))
}

/// All that can be said of landmarks between neighbours.
fn entries<'a>(word: &'a [u8], papers: &'a [u8]) -> [Entry<'a>; 5] {
    let way = |distance, word, papers| Entry::Way {
        router: router(1),
        sequence: 1 << 30 | 3,
        distance,
        word,
        papers,
    };
    let ask = |hops, lacks| Entry::Ask { router: router(2), sequence: 1 << 30 | 4, hops, lacks };
    [
        way(Some(24_000), Some(word), Some(papers)),
        way(Some(0), None, None),
        way(None, Some(word), None),
        ask(255, false),
        ask(0, true),
    ]
}

fn notices<'a>(papers: &'a [u8], home: &'a [u8]) -> [(&'static str, Notice<'a>); 6] {
    let (address, nonce) = (Address { papers, home }, 0x0807_0605_0403_0201);
    [
        ("notice-publish", Notice::Publish(address)),
        ("notice-kept", Notice::Kept { sequence: 1 << 30 | 3 }),
        ("notice-query", Notice::Query { nonce, node: identity(1).node() }),
        ("notice-answer", Notice::Answer { nonce, address: Some(address) }),
        ("notice-unknown", Notice::Answer { nonce, address: None }),
        ("notice-astray", Notice::Astray { to: router(1) }),
    ]
}

fn afar(is_packet: bool) -> Afar {
    let (to, from) = (Some(RouterId([0x55; 8])), Some(RouterId([0x66; 8])));
    Afar { to, from, is_notice: !is_packet }
}

fn head(broken: usize) -> Head {
    let links = (0..broken as u8).map(|n| Broken::between(RouterId([n; 8]), RouterId([n + 1; 8])));
    let (to, from) = (RouterId([0x11; 8]), RouterId([0x22; 8]));
    Head {
        to,
        from,
        id: None,
        hops: 254,
        class: Class::Normal,
        broken: links.collect(),
        avoid: Vec::new(),
        afar: Afar::default(),
    }
}

fn vectors() -> Vec<(&'static str, Bytes)> {
    let here = network().id();
    let neighbours: Vec<RouterId> = (2..18).map(router).collect();
    let papers = papers(1, 1, 1 << 30 | 1);
    let full = page(1, 1, here, 1 << 30 | 2, &neighbours);
    let empty = page(1, 1, here, (1 << 62) - 1, &[]);
    let mut records = Builder::records(2_000);
    let mut summary = Builder::summary(1_000, key(0, 0));
    let mut request = Builder::request(1_000);
    for record in [&papers, &empty] {
        records.record(&record.bytes).unwrap();
        summary.version(record.key, record.sequence).unwrap();
        request.key(record.key).unwrap();
    }
    summary.end_summary(key(1, 63));
    let mut vectors = vec![
        ("router-id", Bytes::copy_from_slice(&router(1).0)),
        ("record-papers", papers.bytes.clone()),
        ("record-page-full", full.bytes),
        ("record-page-empty", empty.bytes.clone()),
        ("message-records", records.finish()),
        ("message-summary", summary.finish()),
        ("message-request", request.finish()),
    ];
    let (word, home) = afar_records();
    vectors.extend([("record-landmark", word.bytes.clone()), ("record-home", home.bytes.clone())]);
    let mut landmarks = Builder::landmarks(1_000);
    entries(&word.bytes, &papers.bytes).iter().for_each(|entry| landmarks.entry(entry).unwrap());
    vectors.push(("message-landmarks", landmarks.finish()));
    let said = notices(&papers.bytes, &home.bytes);
    vectors.extend(said.map(|(name, notice)| (name, notice.to_bytes())));
    vectors.extend(packets().map(|(name, head)| (name, encode_data(&head, HOP, b"sealed"))));
    vectors
}

#[test]
fn golden_vectors_have_not_changed() {
    let mut present = String::new();
    for (name, bytes) in vectors() {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        present.push_str(&format!("{name} {digits}\n"));
    }
    assert!(present == GOLDEN, "golden.txt would have to become:\n{present}");
}

fn committed(name: &str) -> Bytes {
    let line = GOLDEN.lines().find(|line| line.split(' ').next() == Some(name)).unwrap();
    let digits: Vec<u32> = line[name.len()..].chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect::<Vec<u8>>().into()
}

/// The committed bytes are still read, whatever the present code writes.
#[test]
fn golden_vectors_are_still_understood() {
    let sign_key = identity(1).certificate().sign_key;
    for (name, part, sequence, links) in [
        ("record-papers", 0, 1 << 30 | 1, None),
        ("record-page-full", 1, 1 << 30 | 2, Some(16)),
        ("record-page-empty", 1, (1 << 62) - 1, Some(0)),
    ] {
        let record = SignedRecord::decode(committed(name)).unwrap();
        assert_eq!((record.key, record.sequence), (key(1, part), sequence), "{name}");
        assert!(record.is_signed_by(&Verifier::default(), &sign_key, network().id()), "{name}");
        match (record.content, links) {
            (Content::Papers { certificate, membership }, None) => {
                assert_eq!(&certificate, identity(1).certificate_bytes());
                assert_eq!(membership, Bytes::new());
            }
            (Content::Page(found), Some(links)) => {
                assert_eq!(found.len(), links, "{name}");
                assert!(found.iter().all(|link| link.cost.code() == 50), "{name}");
            }
            (content, _) => panic!("{name}: {content:?}"),
        }
    }
    let keys = [key(1, 0), key(1, 1)];
    let bytes = committed("message-records");
    let Ok(Message::Records(records)) = Message::decode(&bytes, HOP) else { panic!("no records") };
    let found = records.map(|bytes| SignedRecord::decode(bytes.unwrap().to_vec().into()).unwrap().key);
    assert_eq!(found.collect::<Vec<_>>(), keys);
    let bytes = committed("message-summary");
    let Ok(Message::Summary(summary)) = Message::decode(&bytes, HOP) else { panic!("no summary") };
    assert_eq!((summary.from, summary.to), (key(0, 0), key(1, 63)));
    assert_eq!(
        summary.collect::<Result<Vec<_>, _>>().unwrap(),
        [(keys[0], 1 << 30 | 1), (keys[1], (1 << 62) - 1)]
    );
    let bytes = committed("message-request");
    let Ok(Message::Request(request)) = Message::decode(&bytes, HOP) else { panic!("no request") };
    assert_eq!(request.collect::<Result<Vec<_>, _>>().unwrap(), keys);
    let (word, home) = (committed("record-landmark"), committed("record-home"));
    for (bytes, record) in [(&word, afar_records().0), (&home, afar_records().1)] {
        let found = SignedRecord::decode(bytes.clone()).unwrap();
        assert!(found.is_signed_by(&Verifier::default(), &sign_key, network().id()));
        assert_eq!((found.key, found.sequence, found.content), (record.key, record.sequence, record.content));
    }
    let (bytes, papers) = (committed("message-landmarks"), committed("record-papers"));
    let Ok(Message::Landmarks(found)) = Message::decode(&bytes, HOP) else { panic!("no landmarks") };
    assert_eq!(found.collect::<Result<Vec<_>, _>>().unwrap(), entries(&word, &papers));
    for (name, notice) in notices(&papers, &home) {
        let bytes = committed(name);
        assert_eq!(Notice::decode(&bytes), Ok(notice), "{name}");
        for len in 0..bytes.len() {
            // Cut short it is refused, or an answer that knows nothing.
            let cut = Notice::decode(&bytes[..len]);
            assert!(cut.is_err() || matches!(cut, Ok(Notice::Answer { address: None, .. })), "{name} {len}");
        }
    }
    for (name, head) in packets() {
        let bytes = committed(name);
        let Ok(Message::Data(found, start)) = Message::decode(&bytes, HOP) else { panic!("no data") };
        assert_eq!((found, &bytes[start..]), (head, &b"sealed"[..]), "{name}");
    }
}
