//! Handshakes over a mesh of radios, which leave out papers that both ends have on their maps.

use bytes::Bytes;
use std::vec;
use std::vec::Vec;

use super::super::*;
use super::bench::*;
use crate::drops::Drop;
use crate::node::input::Air;
use crate::time::{Duration, Instant};

/// With a relay's head and seal it fits the largest packet of a LoRa radio on each hop.
const ONE_PACKET: usize = 222;
const FORGED: u32 = 66;

/// A node that speaks by the mesh, over radios or not.
fn on_mesh(who: u8, has_radio: bool) -> Make {
    let air =
        Air { packet: Duration::from_millis(1), share_ppm: 1_000_000, window: Duration::from_secs(3_600) };
    Make { link: LinkId::MESH, air: has_radio.then_some(air), ..Make::new(who) }
}

fn papers(make: &Make) -> (Bytes, Bytes) {
    let identity = make.identity();
    (identity.certificate_bytes().clone(), identity.membership().cloned().unwrap_or_default())
}

/// Two that have each other on their maps.
fn met(a: &Make, b: &Make) -> (Side, Side) {
    let (mut first, mut second) = (a.start(Instant::ZERO), b.start(Instant::ZERO));
    first.map.insert(b.address, papers(b));
    second.map.insert(a.address, papers(a));
    (first, second)
}

/// What goes to and fro until the second side has heard the first under the new keys: lengths of the question and of the answer.
fn exchange(a: (&mut Side, &Make), b: (&mut Side, &Make)) -> (usize, usize) {
    let now = Instant::ZERO;
    let ((a_side, a), (b_side, b)) = (a, b);
    a_side.connect(now, b, true);
    let question = a_side.out.pop().unwrap().1;
    b_side.receive(now, a.address, &question);
    let answer = b_side.out.pop().unwrap().1;
    a_side.receive(now, b.address, &answer);
    let peer = a_side.peer(b).unwrap();
    let ping = a_side.ping(now, peer).unwrap();
    b_side.receive(now, a.address, &ping);
    assert!(a_side.is_up(b) && b_side.is_up(a), "{} {}", a_side.describe(), b_side.describe());
    assert_eq!(a_side.sending(b), b_side.sending(a));
    (question.len(), answer.len())
}

fn dropped(side: &Side, reason: Drop) -> u64 {
    side.drops.iter().find(|(known, _)| *known == reason).map_or(0, |(_, count)| count)
}

#[test]
fn both_fit_one_packet_of_a_radio_in_both_directions() {
    for (caller, called) in [(1, 2), (2, 1)] {
        let (a, b) = (on_mesh(caller, true), on_mesh(called, true));
        let (mut first, mut second) = met(&a, &b);
        let (question, answer) = exchange((&mut first, &a), (&mut second, &b));
        assert!(question <= ONE_PACKET && answer <= ONE_PACKET, "{question} and {answer} bytes");
        // Who the other is, is known as from papers that it has shown.
        let known = |side: &Side, of: &Make| {
            side.sessions.peers.of_node(&of.node()).and_then(|peer| peer.device)
                == Some(of.identity().device())
        };
        assert!(known(&first, &b) && known(&second, &a));
        assert_eq!((first.established().0, second.established().0), (1, 1));
    }
}

/// Only who calls over radios leaves papers out, and is answered in kind; who calls over cables shows them, and is shown them.
#[test]
fn who_has_no_radio_answers_a_short_question_and_asks_a_long_one() {
    for (radio_calls, is_short) in [(true, true), (false, false)] {
        let (a, b) = (on_mesh(1, radio_calls), on_mesh(2, !radio_calls));
        let (mut first, mut second) = met(&a, &b);
        let (question, answer) = exchange((&mut first, &a), (&mut second, &b));
        assert_eq!(
            (question <= ONE_PACKET, answer <= ONE_PACKET),
            (is_short, is_short),
            "{question}, {answer}"
        );
    }
    // And so on any other link: a neighbour may not have the map yet.
    let (a, b) = (Make { link: LINK, ..on_mesh(1, true) }, Make { link: LINK, ..on_mesh(2, true) });
    let (mut first, mut second) = met(&a, &b);
    for side in [&mut first, &mut second] {
        side.handle(Instant::ZERO, Input::LinkUp { link: LinkId::MESH, info: on_mesh(1, true).info() });
    }
    let (question, answer) = exchange((&mut first, &a), (&mut second, &b));
    assert!(question > ONE_PACKET && answer > ONE_PACKET, "{question} and {answer} bytes");
}

/// Whoever shows papers is judged by these: the map may have those of the device before.
#[test]
fn shown_papers_come_before_those_on_the_map() {
    let (a, b) = (on_mesh(1, false), on_mesh(2, false));
    let (mut first, mut second) = met(&a, &b);
    second.map.insert(a.address, papers(&a.other_device(7)));
    let (question, _) = exchange((&mut first, &a), (&mut second, &b));
    assert!(question > ONE_PACKET);
}

/// Who does not have the caller on its map, as when its map is full, is shown the papers by a later call.
#[test]
fn who_lacks_the_papers_of_the_other_is_shown_them() {
    for lacks in [0, 1] {
        let (a, b) = (on_mesh(1, true), on_mesh(2, true));
        let (first, second) = met(&a, &b);
        let mut world = World::new(1, vec![first, second]);
        world.sides[lacks].map.clear();
        world.sides[0].connect(Instant::ZERO, &b, true);
        let until = Instant::ZERO + Duration::from_secs(900);
        let up = world.run(until, |world| world.sides[0].is_up(&b) && world.sides[1].is_up(&a));
        assert!(up, "{lacks}: {}", world.sides[0].describe());
        assert!(
            dropped(&world.sides[lacks], Drop::CertificateInvalid) >= 1,
            "{lacks} had no papers to check"
        );
    }
}

/// The source of a packet over the mesh is not signed: a relay that has papers of its own calls as if it were another. The key that it
/// proves is not that of the papers on the map.
#[test]
fn papers_on_the_map_belong_to_the_key_that_is_proved() {
    let (a, b) = (on_mesh(1, true), on_mesh(2, true));
    let (_, mut second) = met(&a, &b);
    let mallory = Make { address: a.address, ..on_mesh(3, true) };
    let mut liar = mallory.start(Instant::ZERO);
    liar.connect(Instant::ZERO, &b, true);
    let question = liar.out.pop().unwrap().1;
    assert!(question.len() <= ONE_PACKET);
    second.receive(Instant::ZERO, a.address, &question);
    assert!(second.out.is_empty(), "no answer");
    assert_eq!(dropped(&second, Drop::CertificateInvalid), 1);
    assert!(second.peer(&a).is_none() && second.peer(&mallory).is_none());
    assert_eq!(second.sessions.answers.len(), 0);
}

/// They are checked as if they had been shown: what is revoked meanwhile does not count, though the map has it still.
#[test]
fn papers_on_the_map_that_are_void_do_not_count() {
    let (a, b) = (on_mesh(1, true), on_mesh(2, true));
    let (mut first, mut second) = met(&a, &b);
    let installed = second.with(Instant::ZERO, |sessions, cx| sessions.install(cx, &a.revocation()));
    assert!(installed.is_ok());
    first.connect(Instant::ZERO, &b, true);
    let question = first.out.pop().unwrap().1;
    second.receive(Instant::ZERO, a.address, &question);
    assert!(second.out.is_empty(), "no answer");
    assert_eq!(dropped(&second, Drop::Revoked), 1);
}

/// Whether a handshake is short stands under its seal. Somebody on the way who knows the network, and so can make a new tag, changes any bit
/// of question or answer, or cuts and appends: that is dropped, and the true packet still does its work.
#[test]
fn nobody_on_the_way_sets_or_strips_the_flag() {
    let (a, b) = (on_mesh(1, true), on_mesh(2, true));
    for is_answer in [false, true] {
        for nth in 0.. {
            let (mut first, mut second) = met(&a, &b);
            let now = Instant::ZERO;
            first.connect(now, &b, true);
            let question = first.out.pop().unwrap().1;
            second.receive(now, 1, &question);
            let answer = second.out.pop().unwrap().1;
            let (packet, from) = if is_answer { (&answer, b.address) } else { (&question, a.address) };
            // Behind the index: Noise's message, whose last bytes seal flag and numbers. The cookie field is nobody's word.
            let inner = 6..packet.len() - message::TAG_LEN - 16;
            let Some(at) = inner.clone().nth(nth / 8) else { break };
            let hello = first.sessions.trust.hello(0);
            let forged = retagged(packet, at, 1 << (nth % 8), &hello);
            let (mut target, other) = if is_answer { (first, &b) } else { (met(&a, &b).1, &a) };
            let (events, out) = (target.events.len(), target.out.len());
            target.receive(now, from, &forged);
            assert!(!target.is_up(other) || is_answer, "bit {nth}");
            assert_eq!((target.events.len(), target.out.len()), (events, out), "bit {nth} is believed");
            target.receive(now, from, packet);
            if is_answer {
                assert!(target.is_up(&b), "bit {nth} spoils the true answer: {}", target.describe());
            } else {
                assert_eq!(target.out.len(), 1, "bit {nth} spoils the true question");
            }
        }
    }
}

/// The packet with a bit changed and a tag that is right again.
fn retagged(packet: &[u8], at: usize, bit: u8, hello: &[u8; 32]) -> Vec<u8> {
    let mut bytes = packet[..packet.len() - message::TAG_LEN].to_vec();
    bytes[at] ^= bit;
    message::Builder::from_written(&bytes).seal(hello)
}

/// A question that is played again makes no session and changes none, wherever it is played from and whatever has come since: papers are looked
/// up for the address that it comes from, and nothing is confirmed without the key.
#[test]
fn a_short_question_played_again_has_no_effect() {
    let (a, b) = (on_mesh(1, true), on_mesh(2, true));
    let (mut first, mut second) = met(&a, &b);
    let now = Instant::ZERO;
    first.connect(now, &b, true);
    let question = first.out.pop().unwrap().1;
    second.receive(now, a.address, &question);
    let answer = second.out.pop().unwrap().1;
    first.receive(now, b.address, &answer);
    let peer = first.peer(&b).unwrap();
    let ping = first.ping(now, peer).unwrap();
    second.receive(now, a.address, &ping);
    second.out.clear();
    let (keys, established) = (second.sending(&a), second.established());
    // At once, from elsewhere, when the answer is forgotten, and by a node that has started anew.
    second.receive(now, a.address, &question);
    second.receive(now, FORGED, &question);
    assert_eq!(dropped(&second, Drop::CertificateInvalid), 1, "who sends from there is not on the map");
    let later = now + Duration::from_secs(90);
    second.wake(later);
    second.receive(later, a.address, &question);
    assert_eq!((second.sending(&a), second.established()), (keys, established));
    let mut anew = Make { boot: 2, seed: 9, ..b.clone() }.start(now);
    anew.map.insert(a.address, papers(&a));
    anew.receive(now, a.address, &question);
    assert_eq!(anew.out.len(), 1, "it is answered, since it may be new");
    assert!(anew.peer(&a).is_none() && anew.established() == (0, 0), "and nothing else");
    // The old ping is not of these keys.
    anew.receive(now, a.address, &ping);
    assert!(!anew.is_up(&a));
}

/// Of two calls by key the second shows papers, and of those by name none is short.
#[test]
fn every_other_call_by_key_shows_papers() {
    let (a, b) = (on_mesh(1, true), on_mesh(2, true));
    let mut world = World::new(1, vec![a.start(Instant::ZERO)]);
    world.log = Some(Vec::new());
    world.sides[0].connect(Instant::ZERO, &b, true);
    world.run_for(Duration::from_secs(7_200));
    let mut calls: Vec<(u8, usize)> = Vec::new();
    for (_, _, packet) in world.log.take().unwrap() {
        if calls.last() != Some(&(packet[0], packet.len())) {
            calls.push((packet[0], packet.len()));
        }
    }
    let is_short = |&(kind, len): &(u8, usize)| (kind == Kind::InitIk as u8, len <= ONE_PACKET);
    let calls: Vec<(bool, bool)> = calls.iter().map(is_short).collect();
    assert!(calls.len() >= 6, "{calls:?}");
    for (nth, call) in calls.iter().enumerate() {
        let is_ik = nth % 2 == 0;
        assert_eq!(*call, (is_ik, nth % 4 == 0), "call {nth} of {calls:?}");
    }
}
