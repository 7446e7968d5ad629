//! What two learn of each other's members when they meet.

use std::vec::Vec;

use super::bench::World;
use crate::drops::Drop;
use crate::gossip::message::Message;
use crate::gossip::signed::Role;
use crate::gossip::{Input, Standing, What};
use crate::limits::Limits;

fn know_all(world: &World) -> Vec<usize> {
    world.sides.iter().map(|side| side.gossip.present()).collect()
}

/// One after another joins; everybody learns of everybody.
#[test]
fn who_joins_is_known_to_all_and_learns_of_all() {
    let mut world = World::new(40);
    for number in 1..40 {
        world.join(number, number / 2);
        world.run(50);
    }
    world.run(2_000);
    assert_eq!(know_all(&world), [40; 40]);
    let late = world.add();
    world.join(late, 7);
    world.run(1_000);
    assert_eq!(know_all(&world), [41; 41]);
    world.check();
}

/// Two groups that know nothing of each other meet at one link.
#[test]
fn two_parts_that_meet_learn_of_each_other() {
    let mut world = World::new(30);
    world.loss_ppm = 100_000;
    for number in (1..30).filter(|number| *number != 15) {
        world.connect(number - 1, number, None);
    }
    world.run(20_000);
    assert_eq!(know_all(&world), [15; 30]);
    world.connect(14, 15, None);
    world.run(5_000);
    assert_eq!(know_all(&world), [30; 30]);
    // Those who agree do not read out lists.
    let summaries = world.messages[&0x2d];
    world.run(120_000);
    assert_eq!(world.messages[&0x2d], summaries);
}

#[test]
fn what_a_member_says_of_itself_is_known_to_all_soon() {
    let mut world = World::joined(100);
    world.events.clear();
    let said = world.now;
    world.input(5, Input::Announce { role: Role::Full, capabilities: 6 });
    world.run(2_000);
    let name = world.name(5);
    let heard = world.events.iter().filter(|event| event.2 == name && event.3 == What::Announced);
    let times: Vec<u64> = heard.map(|event| event.0.since(said).as_millis()).collect();
    assert_eq!(times.len(), 99);
    assert!(times[98] <= 500, "known to all after {} ms", times[98]);
    let word = &world.sides[60].gossip.members.get(name).unwrap().announcement;
    assert_eq!((word.role, word.capabilities), (Role::Full, 6));
}

/// SWIM, section 3.2: who leaves says so; nobody suspects him.
#[test]
fn who_leaves_is_not_taken_for_dead() {
    let mut world = World::joined(60);
    world.events.clear();
    world.input(5, Input::Leave);
    world.run(20_000);
    let name = world.name(5);
    let of = |what| world.events.iter().filter(|event| event.2 == name && event.3 == what).count();
    assert_eq!((of(What::Left), of(What::Suspected), of(What::Died)), (59, 0, 0));
    assert!(
        world.sides.iter().enumerate().all(|(at, side)| at == 5 || !side.gossip.view().any(|id| id == name))
    );
}

/// A start with a higher count counts more than what was said of the one before.
#[test]
fn who_was_found_dead_comes_back() {
    let mut world = World::joined(40);
    let name = world.name(5);
    world.kill(5);
    world.run(15_000);
    assert!(world.sides[6].gossip.members.get(name).unwrap().standing == Standing::Dead);
    world.restart(5);
    world.join(5, 6);
    world.run(3_000);
    assert_eq!(know_all(&world), [40; 40]);
}

/// Who was cut off for so long that all took him for dead, and he them, is there again when the cut is over.
#[test]
fn who_was_cut_off_speaks_up() {
    let mut world = World::joined(30);
    for other in (0..30).filter(|&other| other != 5) {
        world.cut(5, other);
    }
    world.run(30_000);
    assert!(world.sides[6].gossip.present() == 29, "{}", world.sides[6].gossip.present());
    world.cut.clear();
    world.join(5, 6);
    // It has learned to wait, as long as nothing was heard.
    world.run(40_000);
    assert_eq!(know_all(&world), [30; 30]);
}

#[test]
fn a_full_list_takes_no_more_and_forgets_the_gone_first() {
    let limits = Limits { gossip_members: 10, ..World::limits() };
    let mut world = World::with_limits(14, limits);
    for number in 1..10 {
        world.join(number, 0);
        world.run(100);
    }
    world.run(1_000);
    world.join(10, 0);
    world.run(3_000);
    world.check();
    assert_eq!(world.sides[0].gossip.present(), 10);
    assert!(world.sides[0].drops.get(Drop::MembersFull) > 0);
    world.kill(3);
    world.run(15_000);
    world.join(11, 0);
    world.run(3_000);
    world.check();
    let name = world.name(3);
    assert!(world.sides[0].gossip.members.get(name).is_none(), "who is gone made room");
    assert_eq!(world.sides[0].gossip.present(), 10);
}

/// Somebody's word that nobody can check is not asked for again and again.
#[test]
fn a_claim_that_leads_nowhere_is_not_followed_without_end() {
    let mut world = World::joined(5);
    let ahead = crate::gossip::update::Update::Dead { member: world.name(2), incarnation: 1 << 40 };
    for _ in 0..100 {
        world.message(0, 1, &Message::Updates([ahead.clone()].into()));
    }
    world.run(4_000);
    assert_eq!(world.messages[&0x2e], 1);
    assert_eq!(world.sides[0].gossip.present(), 5);
}

/// Two who meet learn of each other's later words, whoever began.
#[test]
fn the_later_word_counts_on_both_sides() {
    let mut world = World::new(4);
    world.plant();
    for (number, holder) in [(2, 0), (3, 1)] {
        world.input(number, Input::Announce { role: Role::Full, capabilities: 1 });
        let name = world.name(number);
        let word = world.sides[number].gossip.members.get(name).unwrap().announcement.clone();
        world.kill(number);
        world.sides[holder].gossip.members.plant(world.now, word);
    }
    world.connect(0, 1, None);
    world.run(1_000);
    for at in [0, 1] {
        for number in [2, 3] {
            let member = world.sides[at].gossip.members.get(world.name(number)).unwrap();
            assert_eq!(member.announcement.incarnation, (1 << 16) + 1, "of {number}, as {at} knows it");
        }
    }
}

/// The word of another instance of this device, or of a start that it has forgotten, is overridden.
#[test]
fn who_is_spoken_for_by_a_copy_has_the_last_word() {
    let mut world = World::joined(10);
    let identity = super::bench::identity(2);
    let key = &identity.secrets().sign;
    let what = (Role::Leaf, true, 0);
    let copy = crate::gossip::signed::Announcement::sign(
        key,
        super::bench::NETWORK,
        world.name(2),
        (1 << 16) + 5,
        what,
    );
    world.message(0, 1, &Message::Updates([crate::gossip::update::Update::Announcement(copy)].into()));
    world.run(2_000);
    assert_eq!(know_all(&world), [10; 10]);
    let name = world.name(2);
    for side in &world.sides {
        assert_eq!(side.gossip.members.get(name).unwrap().announcement.incarnation, (1 << 16) + 6);
    }
}
