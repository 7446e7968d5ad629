//! Messages between carriers of bundles: whatever one says, what is kept stays whole and within its limits, and nothing is kept or shown that
//! nobody has signed.

use bytes::Bytes;
use proto_core::bundle::message::{Answer, Message};
use proto_core::bundle::record::{Bundle, Head, Kind, decode_runs, encode_runs};
use proto_core::bundle::{Action, Bundles, Input, Place, Signer, World};
use proto_core::carried::{Carried, Owed};
use proto_core::crypto::sign::Verifier;
use proto_core::drops::Drops;
use proto_core::identity::{Checker, LocalIdentity, Revocations};
use proto_core::ids::RouterId;
use proto_core::limits::Limits;
use proto_core::machine::{Cx, Machine};
use proto_core::node::Class;
use proto_core::rng::Rng;
use proto_core::time::{Duration, Instant};
use proto_core::wake::Wake;
use proto_core::zoo::Zoo;

use crate::cast::{Cast, cast};

#[derive(Debug)]
struct Outside<'a> {
    cast: &'a Cast,
    revocations: &'a Revocations,
    verifier: &'a Verifier,
}

impl World for Outside<'_> {
    /// Nobody's papers are on a map: each bundle shows them.
    fn signer(&self, _: RouterId) -> Option<Signer> {
        None
    }

    fn checker(&self) -> Checker<'_> {
        let Outside { cast, revocations, verifier } = *self;
        Checker { network: &cast.network, revocations, wall: None, verifier }
    }

    fn identity(&self) -> &LocalIdentity {
        &self.cast.alice
    }
}

fn router_of(identity: &LocalIdentity) -> RouterId {
    RouterId::of(identity.device())
}

/// The input in pieces, each with two bytes before it, which say what happens and how long it is: bytes from another carrier, a bundle that Bob has
/// signed and that may be spoiled, a message of our own, an answer, a change of the map, the end of the disk.
///
/// # Panics
/// When an invariant does not hold, when something is kept or shown that was spoiled, or when a message or receipt that was read cannot be written so
/// that it reads the same.
pub fn bundle(bytes: &[u8]) {
    let cast = cast();
    let (revocations, verifier) = (Revocations::new(4), Verifier::default());
    let outside = Outside { cast, revocations: &revocations, verifier: &verifier };
    let limits = Limits { routers: 4, bundle_bytes: 8_192, durable_messages: 8, ..Limits::SMALL };
    let (mut drops, mut rng) = (Drops::default(), Rng::fork(&[1; 32], "bundle"));
    let now = Instant::from_micros(10_000_000);
    let mut cx = Cx { now, rng: &mut rng, limits: &limits, drops: &mut drops, zoo: Zoo::none() };
    let mut bundles = Bundles::new(&cast.alice, cast.network.id(), 1);
    let mut rest = bytes;
    while let Some((&head, after)) = rest.split_first() {
        let Some((&len, after)) = after.split_first() else { break };
        let (piece, after) = after.split_at(usize::from(len).min(after.len()));
        rest = after;
        let from = RouterId([head >> 6; 8]);
        let payload = Bytes::copy_from_slice(piece);
        whole(&payload);
        let node = cast.bob.node();
        let mut spoiled = false;
        let input = match head % 8 {
            0 => Input::MapChanged,
            1 if len > 0x7f => Input::Ended { node, number: u64::from(len % 8) },
            1 => Input::Waits { node, number: u64::from(len % 8), class: Class::ALL[usize::from(len) % 5] },
            2 if len == 0xff => Input::StoreFailed,
            2 => Input::Stored { slot: u64::from(len) },
            3 => {
                let bundle = word_of_bob(piece).0;
                Input::Recovered { bundle, lifetime: Duration::from_secs(u64::from(len)), handovers: head }
            }
            4 | 5 => {
                let (bundle, was_spoiled) = word_of_bob(piece);
                spoiled = was_spoiled;
                let lifetime = Duration::from_secs(u64::from(len));
                let payload = Message::Take { lifetime, handovers: head / 8, bundle }.encode();
                Input::Message { from, payload, world: &outside }
            }
            _ => Input::Message { from, payload, world: &outside },
        };
        let before = bundles.kept().0;
        bundles.handle(&mut cx, input);
        assert!(!spoiled || bundles.kept().0 <= before, "what is spoiled is kept");
        cx.now += Duration::from_millis(u64::from(len) * 64);
        run(&mut bundles, &mut cx, head, spoiled, &outside);
    }
}

/// Does what is due; what is asked is answered as the byte says.
fn run(bundles: &mut Bundles, cx: &mut Cx<'_>, fate: u8, spoiled: bool, outside: &Outside<'_>) {
    let place = || match fate & 3 {
        0 => Place::Here,
        1 => Place::There(None),
        2 => Place::There(Some(RouterId([1; 8]))),
        _ => Place::By(RouterId([fate >> 6; 8])),
    };
    for _ in 0..64 {
        let due = bundles.next_wake().is_due(cx.now);
        if due {
            bundles.wake(cx);
        }
        while let Some(action) = bundles.poll() {
            match action {
                Action::Find { node, .. } => {
                    let bob = &outside.cast.bob;
                    let device = Some((router_of(bob), bob.certificate().dh_key)).filter(|_| fate & 4 == 0);
                    bundles.handle(cx, Input::Found { node, device, place: place() });
                }
                Action::Locate { to, .. } => bundles.handle(cx, Input::Located { to, place: place() }),
                Action::Fetch { node, number } => {
                    let owed = match fate & 0x18 {
                        0 => Owed::Gone,
                        8 => Owed::Later,
                        _ => Owed::Message {
                            class: Class::Normal,
                            lifetime: Duration::from_secs(30),
                            payload: Bytes::from_static(b"owed"),
                        },
                    };
                    bundles.handle(cx, Input::Fetched { node, number, owed, world: outside });
                }
                Action::Send { to, tag, payload, .. } => {
                    answer(bundles, cx, to, &payload, (fate, outside));
                    bundles.handle(cx, Input::Settled { tag, arrived: fate & 0x40 == 0 });
                }
                Action::Arrived { node, number, .. } => {
                    assert!(!spoiled, "what is spoiled is shown");
                    let carried = [Carried::Writing, Carried::Known, Carried::Full, Carried::Refused];
                    let carried = carried[usize::from(fate & 3)];
                    bundles.handle(cx, Input::Arrived { node, number, carried });
                    if fate & 0x20 == 0 {
                        bundles.handle(cx, Input::Delivered { node, number });
                    }
                }
                Action::Receipt { node, .. } => {
                    let runs = std::vec![(0, u64::from(fate))];
                    bundles.handle(cx, Input::Receipt { node, runs, world: outside });
                }
                Action::Receipted { .. } => assert!(!spoiled, "a spoiled receipt is believed"),
                Action::Entrusted { .. } => {}
                Action::Store { slot, .. } if fate & 0x80 == 0 => bundles.handle(cx, Input::Stored { slot }),
                Action::Store { .. } => {}
            }
        }
        bundles.check(cx.limits);
        if !due {
            break;
        }
    }
    let wake = bundles.next_wake();
    assert!(!wake.is_due(cx.now) || matches!(wake, Wake::Now), "it does not get done");
}

/// Whoever is asked to take something says what became of it, perhaps.
fn answer(
    bundles: &mut Bundles,
    cx: &mut Cx<'_>,
    from: RouterId,
    payload: &Bytes,
    (fate, outside): (u8, &Outside<'_>),
) {
    let Ok(Message::Take { bundle, .. }) = Message::decode(payload) else { return };
    let Ok(bundle) = Bundle::decode(bundle) else { panic!("we sent what cannot be read") };
    let all = [Answer::Kept, Answer::Stored, Answer::Delivered, Answer::Full, Answer::Refused];
    if let Some(&answer) = all.get(usize::from(fate >> 3 & 7)) {
        let payload = Message::Taken { id: bundle.id, answer }.encode();
        bundles.handle(cx, Input::Message { from, payload, world: outside });
    }
}

/// A bundle that Bob has signed, for us or for somebody else; one byte of what he signed, or of the signature, may be spoiled.
fn word_of_bob(piece: &[u8]) -> (Bytes, bool) {
    let (cast, bob) = (cast(), &cast().bob);
    let [kind, number, class, spoiled, ref text @ ..] = *piece else { return (Bytes::new(), true) };
    let to = if kind & 2 == 0 { router_of(&cast.alice) } else { RouterId([kind; 8]) };
    let head = Head {
        from: router_of(bob),
        to,
        kind: if kind & 1 == 0 { Kind::Message } else { Kind::Receipt },
        number: u64::from(number),
        class: Class::ALL[usize::from(class) % 5],
    };
    let key = cast.alice.certificate().dh_key;
    let rng = &mut Rng::fork(&[number; 32], "bob");
    let Ok(bundle) = Bundle::seal(rng, bob, cast.network.id(), (head, &key), text) else {
        return (Bytes::new(), true);
    };
    let mut bytes = bundle.bytes.to_vec();
    // The body stands first, behind a tag and a length of one or two bytes; then the signature. The papers may be older ones as well.
    let signed = bytes.len() - bundle.certificate.len() - bundle.membership.len() - 6;
    let at = 4 + usize::from(spoiled) % (signed - 4);
    if spoiled > 0 {
        bytes[at] ^= 1;
    }
    (Bytes::from(bytes), spoiled > 0)
}

/// What is read is written alike.
fn whole(payload: &Bytes) {
    if let Ok(message) = Message::decode(payload) {
        assert_eq!(Message::decode(&message.encode()), Ok(message));
    }
    if let Some(runs) = decode_runs(payload) {
        assert_eq!(decode_runs(&encode_runs(&runs)), Some(runs));
    }
}
