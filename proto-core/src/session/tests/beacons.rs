//! Beacons: who is believed, who is called, and who is given up.

use super::super::*;
use super::bench::*;
use crate::limits::Limits;
use crate::node::output::{Found, Unreached};
use crate::time::{Duration, Instant};
use std::vec;
use std::vec::Vec;

fn place(addr: u32) -> (LinkId, Addr) {
    (LINK, Addr::from_u32(addr))
}

/// The beacon of a node.
fn beacon(side: &mut Side) -> Bytes {
    side.handle(Instant::ZERO, Input::Beacon { link: LINK, span: 12 });
    let (to, packet) = side.out.pop().unwrap();
    // `beacon::BEACON_BYTES`.
    assert_eq!((to, packet.len()), (0, 27));
    packet
}

/// Who is heard, and whether it is the hearer's to call.
fn heard(side: &mut Side, from: u32, packet: &[u8]) -> Option<(Addr, u8, bool)> {
    side.events.clear();
    side.receive(Instant::ZERO, from, packet);
    assert!(side.out.is_empty(), "nothing is answered");
    match side.events.pop() {
        Some(Action::Heard { link: LINK, from, span, first }) => Some((from, span, first)),
        other => {
            assert_eq!(other, None);
            None
        }
    }
}

fn meet(side: &mut Side, now: Instant, addr: u32, new: bool) {
    let (link, addr) = place(addr);
    side.handle(now, Input::Meet { link, addr, new });
}

fn part(side: &mut Side, now: Instant, addr: u32) {
    let (link, addr) = place(addr);
    side.handle(now, Input::Part { link, addr });
}

#[test]
fn a_member_is_heard_where_it_is_and_one_of_two_calls() {
    let (mut a, mut b) = (Make::new(1).start(Instant::ZERO), Make::new(2).start(Instant::ZERO));
    let (of_a, of_b) = (beacon(&mut a), beacon(&mut b));
    let (from, span, b_first) = heard(&mut b, 1, &of_a).unwrap();
    assert_eq!((from, span), (Addr::from_u32(1), 12));
    let (_, _, a_first) = heard(&mut a, 2, &of_b).unwrap();
    assert_ne!(a_first, b_first);
    // A medium that gives back what is sent to all.
    assert_eq!(heard(&mut a, 1, &of_a), None);
    assert!(a.drops.iter().all(|(_, count)| count == 0));
}

/// One device with two links on one LAN hears itself.
#[test]
fn a_node_does_not_meet_itself() {
    let mut a = Make::new(1).start(Instant::ZERO);
    let of_a = beacon(&mut a);
    let other = LinkId(1);
    let info = LinkInfo { local: Addr::from_u32(11), ..a.make.info() };
    a.handle(Instant::ZERO, Input::LinkUp { link: other, info });
    a.handle(Instant::ZERO, Input::Packet { link: other, from: Addr::from_u32(1), bytes: &of_a });
    assert!(a.events.is_empty(), "{:?}", a.events);
    assert!(a.drops.iter().all(|(_, count)| count == 0));
}

#[test]
fn copies_from_elsewhere_and_the_beacons_of_strangers_are_not_believed() {
    let mut b = Make::new(2).start(Instant::ZERO);
    let of_a = beacon(&mut Make::new(1).start(Instant::ZERO));
    assert_eq!(heard(&mut b, 9, &of_a), None);
    assert_eq!(b.drops.get(Drop::Misplaced), 1);
    let nobody = Addr::ANY;
    b.handle(Instant::ZERO, Input::Packet { link: LINK, from: nobody, bytes: &of_a });
    assert_eq!((b.drops.get(Drop::Misplaced), b.events.len()), (2, 0));
    let foreign = Make { network: "another", ..Make::new(1) };
    assert_eq!(heard(&mut b, 1, &beacon(&mut foreign.start(Instant::ZERO))), None);
    assert_eq!(b.drops.get(Drop::ForeignNetwork), 1);
    for at in 0..of_a.len() {
        let mut spoiled = of_a.to_vec();
        spoiled[at] ^= 1;
        assert_eq!(heard(&mut b, 1, &spoiled), None, "byte {at}");
    }
    let short = of_a.slice(..of_a.len() - 1);
    assert_eq!(heard(&mut b, 1, &short), None);
}

#[test]
fn whoever_is_met_comes_into_session_and_the_status_says_how() {
    let (a, b) = (Make::new(1), Make::new(2));
    let mut world = World::new(1, vec![a.start(Instant::ZERO), b.start(Instant::ZERO)]);
    meet(&mut world.sides[0], Instant::ZERO, 2, true);
    let called = world.sides[0].sessions.slots().next().unwrap();
    assert_eq!(world.sides[0].sessions.found(called), Found::Beacon);
    assert_eq!(world.sides[0].sessions.unreached(called), Some(Unreached::NoAnswer { calls: 1 }));
    assert!(world.run(Instant::ZERO + Duration::from_secs(2), |world| {
        world.sides[0].is_up(&b) && world.sides[1].is_up(&a)
    }));
    let peer = world.sides[0].peer(&b).unwrap();
    assert_eq!(world.sides[0].sessions.unreached(peer), None);
    assert!(!world.sides[0].sessions.is_wanted(peer), "nobody asked for it");
    let peer = world.sides[1].peer(&a).unwrap();
    assert_eq!(world.sides[1].sessions.found(peer), Found::Called);
    // Met again, and parted from for want of beacons: a session is a session.
    let now = world.now;
    world.sides[0].out.clear();
    meet(&mut world.sides[0], now, 2, true);
    part(&mut world.sides[0], now, 2);
    assert!(world.sides[0].out.is_empty() && world.sides[0].is_up(&b));
    assert_eq!(world.sides[0].sessions.peer_count(), 1);
}

/// Both call, for want of a beacon that was lost: one peer is left at either end, and nobody is called any more.
#[test]
fn two_that_meet_at_once_have_one_session() {
    for seed in 0..20 {
        let (a, b) = (Make::new(1), Make::new(2));
        let mut world = World::new(seed, vec![a.start(Instant::ZERO), b.start(Instant::ZERO)]);
        world.loss = 300;
        meet(&mut world.sides[0], Instant::ZERO, 2, true);
        meet(&mut world.sides[1], Instant::ZERO, 1, true);
        world.run_for(Duration::from_secs(20));
        for (nth, other) in [(0, &b), (1, &a)] {
            let side = &world.sides[nth];
            assert!(side.is_up(other), "seed {seed}: {}", side.describe());
            assert_eq!(side.sessions.peer_count(), 1, "seed {seed}: {}", side.describe());
        }
    }
}

#[test]
fn who_is_not_there_is_called_until_nobody_is_heard() {
    let mut side = Make::new(1).start(Instant::ZERO);
    meet(&mut side, Instant::ZERO, 7, true);
    assert_eq!(side.out.len(), 1);
    // Heard again it is called when its turn comes, and at once only if it had gone.
    meet(&mut side, Instant::ZERO, 7, false);
    assert_eq!(side.out.len(), 1);
    meet(&mut side, Instant::ZERO, 7, true);
    assert_eq!(side.out.len(), 2);
    part(&mut side, Instant::ZERO, 8);
    assert_eq!(side.sessions.peer_count(), 1);
    part(&mut side, Instant::ZERO, 7);
    assert_eq!((side.sessions.peer_count(), side.sessions.next_wake()), (0, Wake::Idle));
    // What the application gave stays.
    side.connect(Instant::ZERO, &Make::new(7), false);
    part(&mut side, Instant::ZERO, 7);
    assert_eq!(side.sessions.peer_count(), 1);
}

/// A member that makes places up costs as many handshakes as may be under way, and nobody his place.
#[test]
fn made_up_places_are_bounded() {
    let limits = Limits { handshakes: 6, peers: 20, ..Limits::SMALL };
    let mut side = Make { limits, ..Make::new(1) }.start(Instant::ZERO);
    side.connect(Instant::ZERO, &Make::new(7), true);
    for addr in 100..200 {
        meet(&mut side, Instant::ZERO, addr, true);
    }
    assert_eq!(side.sessions.peer_count(), 7);
    assert_eq!(side.drops.get(Drop::HandshakeFull), 94);
    assert!(side.peer(&Make::new(7)).is_some());
    let found: Vec<Found> = side.sessions.slots().map(|peer| side.sessions.found(peer)).collect();
    assert_eq!(found.iter().filter(|found| **found == Found::Given).count(), 1);
}

/// Our own calls do not get through, but theirs do: with the session nothing is left of ours.
#[test]
fn who_calls_us_meanwhile_is_called_no_longer() {
    let (a, b) = (Make::new(1), Make::new(2));
    let mut sides = [a.start(Instant::ZERO), b.start(Instant::ZERO)];
    meet(&mut sides[0], Instant::ZERO, 2, true);
    meet(&mut sides[1], Instant::ZERO, 1, true);
    for round in 1..10 {
        let now = Instant::ZERO + Duration::from_millis(5 * round);
        for nth in 0..2 {
            let owed: Vec<PeerSlot> = sides[nth].outbox.keys().copied().collect();
            for peer in owed {
                let ping = sides[nth].ping(now, peer).map(Bytes::from);
                sides[nth].out.extend(ping.map(|packet| (2 - nth as u32, packet)));
            }
            let from = sides[nth].make.address;
            for (_, packet) in std::mem::take(&mut sides[nth].out) {
                // InitXx.
                if (nth, packet[0]) != (0, 2) {
                    sides[1 - nth].receive(now, from, &packet);
                }
            }
        }
    }
    for (side, other) in [(&sides[0], &b), (&sides[1], &a)] {
        assert!(side.is_up(other), "{}", side.describe());
        assert_eq!(side.sessions.peer_count(), 1, "{}", side.describe());
    }
}
