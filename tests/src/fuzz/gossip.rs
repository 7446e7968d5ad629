//! Messages of gossip: what is read can be written and reads the same; and no message harms the machine.

use bytes::Bytes;
use proto_core::drops::Drops;
use proto_core::gossip::message::Message;
use proto_core::gossip::{Gossip, Input, Keys};
use proto_core::ids::{NetworkId, RouterId};
use proto_core::limits::Limits;
use proto_core::machine::{Cx, Machine};
use proto_core::rng::Rng;
use proto_core::time::{Duration, Instant};
use proto_core::wake::Wake;
use proto_core::zoo::Zoo;

use crate::cast::cast;

/// Everybody has the same key, so that some words are believed.
#[derive(Debug)]
struct OneKey([u8; 32]);

impl Keys for OneKey {
    fn sign_key(&self, _: RouterId) -> Option<[u8; 32]> {
        Some(self.0)
    }
}

/// The input in pieces, each with its length before it: a message from a member whose name is the length's. Between two of them
/// the machine does what is due. Its invariants hold after each.
///
/// # Panics
/// When one does not, or a message that was read cannot be written so that it reads the same.
pub fn gossip(bytes: &[u8]) {
    let identity = &cast().alice;
    let keys = OneKey(identity.certificate().sign_key);
    let limits = Limits { gossip_members: 6, ..Limits::TINY };
    let (mut drops, mut rng) = (Drops::default(), Rng::fork(&[1; 32], "gossip"));
    let mut now = Instant::from_micros(10_000_000);
    let mut cx = Cx { now, rng: &mut rng, limits: &limits, drops: &mut drops, zoo: Zoo::none() };
    let mut gossip = Gossip::new(&mut cx, identity, NetworkId([5; 32]), 1);
    let mut rest = bytes;
    while let Some((&len, after)) = rest.split_first() {
        let (piece, after) = after.split_at(usize::from(len).min(after.len()));
        rest = after;
        let payload = Bytes::copy_from_slice(piece);
        if let Ok(message) = Message::decode(&payload) {
            let again = message.encode();
            assert_eq!(Message::decode(&again), Ok(message));
        }
        let from = RouterId([len % 5; 8]);
        let input = match len % 7 {
            0 => Input::NeighbourUp { member: from, medium: None },
            _ => Input::Message { from, payload, keys: &keys },
        };
        gossip.handle(&mut cx, input);
        now += Duration::from_millis(u64::from(len) * 20);
        cx.now = now;
        for _ in 0..64 {
            let due = gossip.next_wake().is_due(now);
            if due {
                gossip.wake(&mut cx);
            }
            while gossip.poll().is_some() {}
            gossip.check(&limits);
            if !due {
                break;
            }
        }
        assert!(
            !gossip.next_wake().is_due(now) || matches!(gossip.next_wake(), Wake::Now),
            "it does not get done"
        );
    }
}
