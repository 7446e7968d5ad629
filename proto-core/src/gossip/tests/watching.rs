//! Who is found dead, and who is not.

use super::bench::World;
use crate::gossip::What;

#[test]
fn the_dead_are_found_and_the_living_are_not() {
    let mut world = World::joined(150);
    world.loss_ppm = 10_000;
    world.run(20_000);
    world.events.clear();
    let killed = world.now;
    for number in [3, 50, 99] {
        world.kill(number);
    }
    world.run(15_000);
    world.check();
    for number in [3, 50, 99] {
        let name = world.name(number);
        let of = |what| {
            let events = world.events.iter().filter(move |event| event.2 == name && event.3 == what);
            events.map(|event| event.0.since(killed).as_millis()).collect::<std::vec::Vec<u64>>()
        };
        let (suspected, died) = (of(What::Suspected), of(What::Died));
        std::println!(
            "{number}: suspected {:?}, dead {:?} to {:?}",
            suspected.first(),
            died.first(),
            died.last()
        );
        assert_eq!(died.len(), 147);
        assert!(suspected[0] <= 3_000, "first suspected after {} ms", suspected[0]);
        assert!(died[146] <= 10_000, "known to all after {} ms", died[146]);
    }
    assert_eq!(world.events.iter().filter(|event| event.3 == What::Died).count(), 3 * 147);
}
