//! Who gets a seat, and which names are kept in reserve: HyParView step by step, at one member with hand-made messages.

use std::vec::Vec;

use super::bench::World;
use crate::gossip::Input;
use crate::gossip::message::Message;
use crate::ids::RouterId;
use crate::limits::Limits;

/// A name that nobody bears.
fn stranger(number: u8) -> RouterId {
    RouterId([number, 7, 0xee, 0, 0, 0, 0, 1])
}

/// What member 0 sent, to whom, in turn.
fn sent_by_first(world: &mut World) -> Vec<(usize, Message)> {
    let log = world.log.take().unwrap_or_default();
    world.log = Some(Vec::new());
    log.into_iter().filter(|entry| entry.1 == 0).map(|(_, _, to, message)| (to, message)).collect()
}

/// Section 4.2: a walk of six hops leaves the name in one reserve, at its third hop, and asks where it ends.
#[test]
fn a_walk_leaves_a_name_where_three_hops_are_left() {
    let mut world = World::joined(12);
    let reserve = |world: &World| world.sides[0].gossip.views.passive().clone();
    for (hops, kept) in [(6, false), (5, false), (4, false), (3, true), (2, false), (1, false)] {
        let joined = stranger(hops);
        world.message(0, 1, &Message::ForwardJoin { joined, hops });
        assert_eq!(reserve(&world).contains(&joined), kept, "with {hops} hops left");
    }
}

/// Section 4.4: names that were sent to somebody else make room first. Else what few know would be lost for what many know.
#[test]
fn names_that_were_passed_on_make_room_first() {
    let mut world = World::joined(12);
    let room = usize::from(World::limits().gossip_view) * 6;
    let names: Vec<RouterId> = (0..room as u8).map(stranger).collect();
    for part in names.chunks(7) {
        world.message(0, 1, &Message::ShuffleReply { members: part.to_vec() });
    }
    // Seven come, by a walk that ends here; as many of ours go in return, and are the ones that make room.
    world.log = Some(Vec::new());
    let newcomers: Vec<RouterId> = (100..107).map(stranger).collect();
    let before = world.sides[0].gossip.views.passive().clone();
    assert_eq!(before.len(), room);
    let origin = world.name(11);
    world.message(0, 1, &Message::Shuffle { origin, hops: 1, members: newcomers.clone() });
    world.run(100);
    let reply = sent_by_first(&mut world).into_iter().find_map(|(_, message)| match message {
        Message::ShuffleReply { members } => Some(members),
        _ => None,
    });
    let passed_on = reply.unwrap();
    let after = world.sides[0].gossip.views.passive();
    let gone: Vec<&RouterId> = before.difference(after).collect();
    assert!(newcomers.iter().all(|name| after.contains(name)));
    assert!(gone.len() >= 7 && gone.iter().filter(|name| passed_on.contains(name)).count() == 7, "{gone:?}");
}

/// Section 4.3: who has nobody else may not be declined, and somebody makes room; anybody else may be.
#[test]
fn only_the_urgent_are_seated_where_all_seats_are_taken() {
    let limits = Limits { gossip_view: 4, ..World::limits() };
    let mut world = World::with_limits(8, limits);
    world.plant();
    for number in 1..5 {
        world.join(number, 0);
        world.run(100);
    }
    let view = |world: &World| -> Vec<usize> {
        let mut view: Vec<usize> = world.sides[0].gossip.view().map(|name| world.number(name)).collect();
        view.sort_unstable();
        view
    };
    let before = view(&world);
    assert_eq!(before.len(), 4);
    world.log = Some(Vec::new());
    world.message(0, 6, &Message::Neighbour { urgent: false });
    world.run(50);
    assert_eq!(view(&world), before);
    assert!(sent_by_first(&mut world).contains(&(6, Message::Answer { accepted: false })));
    world.message(0, 7, &Message::Neighbour { urgent: true });
    world.run(50);
    let after = view(&world);
    assert!(after.len() == 4 && after.contains(&7), "{after:?}");
    let sent = sent_by_first(&mut world);
    let left: Vec<usize> = before.into_iter().filter(|other| !after.contains(other)).collect();
    assert!(sent.contains(&(7, Message::Answer { accepted: true })));
    assert!(left.len() == 1 && sent.contains(&(left[0], Message::Disconnect)), "{left:?} {sent:?}");
}

/// Where the map names members nothing is shuffled, until it has been silent about them for ten minutes.
#[test]
fn nothing_is_shuffled_where_the_map_names_members() {
    let mut world = World::joined(10);
    let shuffles = |world: &World| world.messages.get(&0x25).copied().unwrap_or(0);
    world.run(100_000);
    let before = shuffles(&world);
    assert!(before > 0);
    for at in 0..10 {
        let member = world.name((at + 5) % 10);
        world.input(at, Input::Candidate { member });
    }
    world.run(1_000);
    let named = shuffles(&world);
    world.run(590_000);
    assert_eq!(shuffles(&world), named);
    world.run(120_000);
    assert!(shuffles(&world) > named);
}

/// Who declined is left alone for a second, then for twice as long each time, up to half a minute.
#[test]
fn who_declined_is_asked_ever_more_rarely() {
    let mut world = World::new(2);
    let member = world.name(1);
    world.cut.insert((0, 1));
    world.input(0, Input::NeighbourUp { member, medium: None });
    let mut asked: Vec<u64> = Vec::new();
    for at_ms in (0..160_000).step_by(5) {
        world.run(5);
        if world.messages.get(&0x22).copied().unwrap_or(0) > asked.len() as u64 {
            asked.push(at_ms);
            world.message(0, 1, &Message::Answer { accepted: false });
        }
    }
    let pauses: Vec<u64> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let wanted = [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000, 30_000];
    assert_eq!(pauses.len(), wanted.len(), "{pauses:?}");
    // A look for more is due every half second or so.
    for (pause, wanted) in pauses.iter().zip(wanted) {
        assert!((wanted..wanted + 700).contains(pause), "{pauses:?}");
    }
}

/// No more neighbours are asked than are lacking: who asks more has to take leave of some, who have sent others away for it.
#[test]
fn no_more_neighbours_are_asked_than_are_lacking() {
    let limits = Limits { gossip_view: 5, ..World::limits() };
    let mut world = World::with_limits(9, limits);
    world.log = Some(Vec::new());
    for number in 1..9 {
        let member = world.name(number);
        world.input(0, Input::NeighbourUp { member, medium: None });
    }
    world.run(600);
    let asked = sent_by_first(&mut world);
    let asked = asked.iter().filter(|(_, message)| matches!(message, Message::Neighbour { .. }));
    assert_eq!(asked.count(), 3, "of five seats two are for others");
}

/// Somebody says yes when the last seat has just been taken: he is taken leave of, and not asked again at once though the seat is free
/// again. Without this a crowd ran in circles for half a minute, asking three thousand times a second.
#[test]
fn who_was_taken_leave_of_is_not_asked_again_at_once() {
    let limits = Limits { gossip_view: 4, ..World::limits() };
    let mut world = World::with_limits(5, limits);
    let name = |world: &World, number| world.name(number);
    for number in 1..5 {
        world.cut.insert((0, number));
        let member = name(&world, number);
        world.input(0, Input::NeighbourUp { member, medium: None });
    }
    world.run(600);
    let asks = |world: &World| world.messages.get(&0x22).copied().unwrap_or(0);
    assert_eq!(asks(&world), 2, "two seats of four are for others");
    let asked: Vec<usize> =
        (1..5).filter(|&number| world.sides[0].gossip.views.counts_on(name(&world, number))).collect();
    let others: Vec<usize> = (1..5).filter(|number| !asked.contains(number)).collect();
    for &number in &others {
        world.message(0, number, &Message::Neighbour { urgent: false });
    }
    for &number in &asked {
        world.message(0, number, &Message::Answer { accepted: true });
    }
    let view: Vec<RouterId> = world.sides[0].gossip.view().collect();
    assert!(view.len() == 2 && others.iter().all(|&number| view.contains(&name(&world, number))));
    for &number in &others {
        world.message(0, number, &Message::Disconnect);
    }
    world.run(300);
    assert_eq!(asks(&world), 2);
    world.run(2_000);
    assert!(asks(&world) >= 4);
}

/// Of two neighbours one asks: the one with the smaller name, at once.
#[test]
fn of_two_neighbours_the_smaller_name_asks() {
    let mut world = World::new(2);
    world.plant();
    world.log = Some(Vec::new());
    world.connect(0, 1, None);
    world.run(400);
    let log = world.log.take().unwrap();
    let asked = log.iter().filter(|(_, _, _, message)| matches!(message, Message::Neighbour { .. }));
    let smaller = usize::from(world.name(1) < world.name(0));
    assert_eq!(asked.map(|entry| entry.1).collect::<Vec<_>>(), [smaller]);
    assert_eq!(world.parts(), (1, 0));
}

/// At least two seats are for others than neighbours; and of the others no more are asked for than that, where there are neighbours.
#[test]
fn two_seats_are_for_others_than_neighbours() {
    for (view, neighbours, others, seats) in [(5, 7, 6, (3, 2)), (8, 3, 9, (3, 2)), (8, 0, 9, (0, 5))] {
        let limits = Limits { gossip_view: view, ..World::limits() };
        let mut world = World::with_limits(1 + neighbours + others, limits);
        world.plant();
        for number in 1..=neighbours {
            world.connect(0, number, None);
        }
        for number in 1 + neighbours..=neighbours + others {
            let member = world.name(number);
            world.input(0, Input::Candidate { member });
        }
        // Nobody who has no candidates of his own asks before the first five seconds are over.
        world.run(4_000);
        let of = |near: bool| {
            let active = world.sides[0].gossip.views.active();
            active.values().filter(|seat| seat.near == near).count()
        };
        assert_eq!(
            (of(true), of(false)),
            seats,
            "{neighbours} neighbours and {others} others for {view} seats"
        );
        world.check();
    }
}

/// Section 4.2: whoever is asked to let somebody in sends him on walks of six hops from all of his view.
#[test]
fn who_joins_is_sent_on_walks() {
    let mut world = World::joined(12);
    let mut view: Vec<usize> = world.sides[0].gossip.view().map(|name| world.number(name)).collect();
    let newcomer = world.add();
    world.log = Some(Vec::new());
    world.message(0, newcomer, &Message::Join);
    world.run(50);
    let joined = world.name(newcomer);
    let walk = Message::ForwardJoin { joined, hops: 6 };
    let sent = sent_by_first(&mut world).into_iter().filter(|(_, message)| *message == walk);
    let mut sent: Vec<usize> = sent.map(|(to, _)| to).collect();
    sent.sort_unstable();
    view.sort_unstable();
    assert_eq!(sent, view);
}

/// A neighbour whose link is gone may still be there: his name is kept.
#[test]
fn who_is_no_neighbour_any_more_is_kept_in_reserve() {
    let mut world = World::new(2);
    world.connect(0, 1, None);
    world.run(1_000);
    let member = world.name(1);
    assert!(world.sides[0].gossip.view().any(|name| name == member));
    world.input(0, Input::NeighbourDown { member });
    assert_eq!(world.sides[0].gossip.view().count(), 0);
    assert!(world.sides[0].gossip.views.passive().contains(&member));
}

/// In a network with fewer members than seats nobody is left to ask, and nobody is woken for that more than now and then.
#[test]
fn who_has_nobody_left_to_ask_is_not_woken_for_nothing() {
    for count in [2, 4, 9] {
        let mut world = World::joined(count);
        let before = world.woken;
        world.run(100_000);
        let each = (world.woken - before) / count as u64;
        assert!(each < 100 * 12, "{count} members: each was woken {each} times in 100 s");
    }
}
