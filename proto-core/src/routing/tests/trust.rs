//! What becomes of those whose papers are void.

use std::vec::Vec;

use super::bench::{CABLE, World, identity, revocation};
use super::records::{page, router, tell};
use crate::drops::Drop;
use crate::ids::RouterId;

/// Routers in a ring, of which all but one hear that the papers of that one are void. Their links to it stay up here, though the
/// session layer would end them.
fn ring_without(count: u16, void: usize) -> World {
    let mut world = World::line(count);
    world.connect(0, usize::from(count) - 1, CABLE);
    world.run(1_000);
    assert_eq!(world.without_way(), []);
    for at in (0..usize::from(count)).filter(|&at| at != void) {
        world.distrust(at, void as u16);
    }
    world
}

#[test]
fn a_revoked_router_leaves_the_map_and_is_no_next_hop() {
    let mut world = ring_without(6, 1);
    let (void, node) = (router(1), identity(1).node());
    for at in 2..6 {
        let side = &mut world.sides[at].routing;
        assert_eq!(side.devices(node).count(), 0, "at {at}");
        assert!(side.known(void).is_none());
        if at != 2 {
            assert_eq!(side.next_hop(world.now, void), None, "at {at}, though its neighbours still list it");
        }
    }
    // Who is not beside it goes round.
    assert_eq!(world.sides[5].routing.next_hop(world.now, router(2)), Some(router(4)));
    assert_eq!(world.sides[3].routing.next_hop(world.now, router(0)), Some(router(4)));
    for at in [0, 2] {
        world.disconnect(at, 1);
    }
    world.run(1_000);
    assert_eq!(world.sides[0].routing.next_hop(world.now, router(2)), Some(router(5)));
    world.send(0, 2, b"round");
    world.run(100);
    assert_eq!(world.delivered.len(), 1);
}

/// What it says afterwards, or what others who have not heard tell of it, brings it back to nobody.
#[test]
fn nobody_brings_a_revoked_router_back() {
    let mut world = ring_without(6, 1);
    let later: Vec<RouterId> = [2, 3].map(router).into();
    let page = page(1, 1, super::bench::network().id(), 9 << 30, &later);
    let papers = super::records::papers(1, 1, 9 << 30 | 1);
    for at in [0, 4] {
        let before = world.sides[at].routing.size();
        let refused = world.sides[at].drops.get(Drop::CertificateInvalid);
        let from = (at + 1) % 6;
        tell(&mut world, at, from, core::slice::from_ref(&page));
        tell(&mut world, at, from, core::slice::from_ref(&papers));
        tell(&mut world, at, from, core::slice::from_ref(&page));
        assert_eq!(world.sides[at].routing.size(), before, "at {at}");
        // Once it was told, and once the one who has it was asked.
        let asked = u64::from(from == 1);
        assert_eq!(world.sides[at].drops.get(Drop::CertificateInvalid), refused + 1 + asked, "at {at}");
    }
}

/// Nobody takes himself off his own map, and a list that voids others of his devices leaves him there.
#[test]
fn who_holds_stays() {
    let mut world = ring_without(4, 2);
    world.distrust(2, 2);
    assert!(world.sides[2].routing.known(router(2)).is_some());
    let before = world.sides[0].routing.size();
    let bytes = revocation(3, 0);
    world.distrust_by(0, 3, &bytes);
    assert_eq!(world.sides[0].routing.size(), before);
    assert_eq!(world.sides[0].drops.get(Drop::Revoked), 1, "only the one before");
}
