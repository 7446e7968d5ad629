//! How broadcasts get to all.

use std::vec::Vec;

use super::bench::World;
use crate::gossip::signed::MessageId;

/// Ten broadcasts a second by random members; returns them, and with what they must be found.
pub(super) fn storm(world: &mut World, seconds: u64, bytes: usize) -> Vec<(usize, MessageId)> {
    let mut said = Vec::new();
    for number in 0..seconds * 10 {
        let alive = world.alive();
        let from = alive[(number as usize * 7_919) % alive.len()];
        let mut payload = std::vec![0; bytes.max(8)];
        payload[..8].copy_from_slice(&number.to_le_bytes());
        said.push((from, world.say(from, &payload)));
        world.run(100);
    }
    said
}

/// The design: every node gets every broadcast once, and payload copies a delivery are at most 1.5, at 20 % loss.
#[test]
fn a_storm_reaches_all_once() {
    let mut world = World::joined(150);
    world.loss_ppm = 200_000;
    let said = storm(&mut world, 10, 300);
    world.run(10_000);
    world.check();
    std::println!(
        "copies {} parts {:?} messages {:?}",
        world.copies_permille(),
        world.parts(),
        world.messages
    );
    for (from, id) in said {
        assert_eq!(world.missed(from, id), [], "{id:?}");
    }
    assert!(world.copies_permille() <= 1_500, "{} copies a thousand deliveries", world.copies_permille());
}
