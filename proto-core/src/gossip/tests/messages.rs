//! Every encoding has committed bytes. A change of one is a change of the format: it needs a new version and a note in the changelog.

use std::string::String;
use std::vec;
use std::vec::Vec;

use bytes::Bytes;
use proptest::prelude::*;

use super::bench::{Book, NETWORK, identity};
use crate::codec::Malformed;
use crate::gossip::message::{BUCKETS, Entry, Message, Run, Stand};
use crate::gossip::signed::{Announcement, Broadcast, MessageId, Role, Topic};
use crate::gossip::update::Update;
use crate::ids::{NetworkId, RouterId};

const GOLDEN: &str = include_str!("golden.txt");

fn name(number: u8) -> RouterId {
    RouterId([number; 8])
}

fn id(number: u8, sequence: u64) -> MessageId {
    MessageId { origin: name(number), sequence }
}

fn announcement(leaving: bool) -> Announcement {
    let identity = identity(1);
    let key = &identity.secrets().sign;
    Announcement::sign(key, NETWORK, name(1), 65_537, (Role::Leaf, leaving, 300))
}

pub(super) fn broadcast() -> Broadcast {
    let identity = identity(1);
    let key = &identity.secrets().sign;
    Broadcast { hops: 3, ..Broadcast::sign(key, NETWORK, id(1, 1 << 30), Topic(7), b"hello") }
}

fn updates() -> Vec<Update> {
    let suspect =
        Update::Suspect { member: name(2), incarnation: 5, patience_s: 3, accusers: vec![name(3), name(4)] };
    vec![Update::Announcement(announcement(true)), suspect, Update::Dead { member: name(5), incarnation: 70 }]
}

/// One of each kind.
fn all() -> Vec<(&'static str, Message)> {
    let mut buckets = [0; BUCKETS];
    buckets[1] = 0x0102_0304;
    let runs = vec![Run { first: id(1, 9), count: 3 }, Run { first: id(2, 1 << 31), count: 1_024 }];
    let entry = |number, stand| Entry { member: name(number), incarnation: 1 << 17, stand };
    let entries = vec![entry(0x31, Stand::Present), entry(0x32, Stand::Dead), entry(0x33, Stand::Left)];
    let members = vec![name(6), name(7)];
    vec![
        ("join", Message::Join),
        ("forward-join", Message::ForwardJoin { joined: name(1), hops: 6 }),
        ("neighbour", Message::Neighbour { urgent: true }),
        ("answer", Message::Answer { accepted: true }),
        ("disconnect", Message::Disconnect),
        ("shuffle", Message::Shuffle { origin: name(1), hops: 6, members: members.clone() }),
        ("shuffle-reply", Message::ShuffleReply { members: members.clone() }),
        ("broadcast", Message::Broadcast(broadcast())),
        ("ihave", Message::IHave(vec![(id(1, 9), 2), (id(2, 1 << 31), 255)])),
        ("graft", Message::Graft { eager: true, ids: vec![id(1, 9), id(2, 70)] }),
        ("prune", Message::Prune),
        ("digest", Message::Digest { reply: true, buckets, runs }),
        ("summary", Message::Summary { bucket: 3, complete: true, entries }),
        ("want", Message::Want(members)),
        ("updates", Message::Updates(updates())),
        ("ping", Message::Ping { nonce: 0x0102_0304, watched: true, guarded: true, updates: Vec::new() }),
        ("ack", Message::Ack { nonce: 5, guarded: true, updates: updates() }),
        ("ping-request", Message::PingRequest { nonce: 6, target: name(8), updates: Vec::new() }),
        ("nack", Message::Nack { nonce: 7 }),
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| std::format!("{byte:02x}")).collect()
}

#[test]
fn golden_vectors_have_not_changed() {
    let mut present = String::new();
    for (name, message) in all() {
        present.push_str(&std::format!("{name} {}\n", hex(&message.encode())));
    }
    assert_eq!(present, GOLDEN, "golden.txt would have to become:\n{present}");
}

#[test]
fn what_is_written_reads_the_same() {
    for (name, message) in all() {
        assert_eq!(Message::decode(&message.encode()), Ok(message), "{name}");
    }
}

/// What is cut short is malformed, or a shorter list.
#[test]
fn nothing_reads_past_its_end() {
    for (name, message) in all() {
        let bytes = message.encode();
        for len in 0..bytes.len() {
            if let Ok(shorter) = Message::decode(&bytes.slice(..len)) {
                assert_ne!(shorter, message, "{name} cut to {len}");
                assert_eq!(shorter.encode(), bytes.slice(..len), "{name} cut to {len}");
            }
        }
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let decode = |bytes: &[u8]| Message::decode(&Bytes::copy_from_slice(bytes));
    let with = |head: &[u8], body: &[u8]| [head, body].concat();
    assert_eq!(decode(&[]), Err(Malformed));
    assert_eq!(decode(&[0x27]), Err(Malformed), "an unknown kind");
    assert_eq!(decode(&[0x80, 1, 2]), Ok(Message::Skipped), "an unknown kind that may be skipped");
    assert_eq!(decode(&[0x20, 0]), Err(Malformed), "more than there should be");
    assert_eq!(decode(&with(&[0x2e], &[1; 8 * 1_025])), Err(Malformed), "1,025 members");
    assert!(decode(&with(&[0x2e], &[1; 8 * 1_024])).is_ok());
    let suspect = |accusers: usize| with(&[0x2f, 2, 10 + 8 * accusers as u8], &vec![1; 10 + 8 * accusers]);
    assert_eq!(decode(&suspect(0)), Err(Malformed), "nobody's suspicion");
    assert!(decode(&suspect(4)).is_ok());
    assert!(decode(&with(&[0x2f, 2, 0x40, 50], &[1; 50])).is_err(), "five accusers");
    assert_eq!(decode(&[0x2f, 9, 2, 1, 1]), Ok(Message::Updates(Vec::new())), "news of an unknown kind");
    assert_eq!(
        decode(&with(&[0x2d, 0x83], &[1, 1, 1, 1, 1, 1, 1, 1, 1, 3])),
        Err(Malformed),
        "a fourth stand"
    );
    let digest = |count: &[u8]| with(&with(&[0x2c, 0], &[0; 64]), &with(&[1; 9], count));
    assert_eq!(decode(&digest(&[0])), Err(Malformed), "a run of none");
    assert!(decode(&digest(&[0x44, 0x00])).is_ok(), "a run of 1,024");
    assert_eq!(decode(&digest(&[0x44, 0x01])), Err(Malformed), "a run of 1,025");
}

#[test]
fn signatures_are_for_one_network_and_one_use() {
    let (key, other) = (identity(1).certificate().sign_key, identity(2).certificate().sign_key);
    let elsewhere = NetworkId([8; 32]);
    let broadcast = broadcast();
    assert!(broadcast.is_signed_by(&Book::default(), &key, NETWORK));
    assert!(
        !broadcast.is_signed_by(&Book::default(), &other, NETWORK)
            && !broadcast.is_signed_by(&Book::default(), &key, elsewhere)
    );
    let later = Broadcast { hops: 200, ..broadcast.clone() };
    assert!(later.is_signed_by(&Book::default(), &key, NETWORK), "relays count hops");
    assert_eq!(broadcast.detached(), broadcast);
    let word = announcement(false);
    assert!(word.is_signed_by(&Book::default(), &key, NETWORK));
    assert!(
        !word.is_signed_by(&Book::default(), &other, NETWORK)
            && !word.is_signed_by(&Book::default(), &key, elsewhere)
    );
    // The body of an announcement is no broadcast, though it could be read as one.
    let Message::Updates(said) = Message::Updates(vec![Update::Announcement(word.clone())]) else { return };
    assert_eq!(said.len(), 1);
    let as_broadcast = Bytes::from([&[0x28, 0][..], &word.signed[..]].concat());
    if let Ok(Message::Broadcast(forged)) = Message::decode(&as_broadcast) {
        assert!(!forged.is_signed_by(&Book::default(), &key, NETWORK), "one signature, two uses");
    }
}

proptest! {
    #[test]
    fn any_bytes_read_to_what_can_be_written(kind in 0x20u8..0x34, bytes: Vec<u8>) {
        let bytes = Bytes::from([&[kind][..], &bytes[..]].concat());
        if let Ok(message) = Message::decode(&bytes) {
            prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
        }
    }
}
