//! How messages come to those who are away.

use super::*;

/// 0 writes, 2 is away and was a neighbour of 1.
fn away() -> World {
    let mut world = World::new(4, &limits());
    world.relays.insert(2, std::vec![1]);
    world.sleeps(2, true);
    world
}

#[test]
fn a_message_waits_at_the_last_neighbour_and_its_receipt_comes_back() {
    let mut world = away();
    world.write(0, 2, 7, Class::Normal, b"hello");
    world.pass(Duration::from_secs(1));
    let node = world.sides[2].node();
    assert_eq!(world.sides[0].entrusted, [(node, 7, true)], "the sender learns that it is stored");
    assert_eq!((world.kept(0), world.kept(1)), (0, 1));
    assert_eq!(world.sides[1].disk.len(), 1);
    world.sleeps(2, false);
    let source = world.sides[0].node();
    assert_eq!(world.sides[2].arrived, [(source, 7, Bytes::from_static(b"hello"))]);
    assert!(world.sides[0].owed.is_empty(), "the receipt came back");
    assert_eq!((world.kept(1), world.sides[1].disk.len()), (0, 0), "what is delivered is not kept");
    assert_eq!(world.kept(2), 0);
}

/// The writer sleeps when the reader wakes: its receipt waits like any message.
#[test]
fn a_receipt_waits_for_a_writer_who_sleeps() {
    let mut world = away();
    world.relays.insert(0, std::vec![3]);
    world.write(0, 2, 1, Class::Normal, b"x");
    world.pass(Duration::from_secs(1));
    world.sleeps(0, true);
    world.sleeps(2, false);
    assert_eq!(world.sides[2].arrived.len(), 1);
    assert_eq!(world.sides[0].owed.len(), 1);
    assert_eq!(world.kept(3), 1, "the receipt is where the writer will be");
    world.sleeps(2, true);
    world.sleeps(0, false);
    assert!(world.sides[0].owed.is_empty());
    assert_eq!(world.kept(3), 0);
}

/// As long as something leads to the receiver it is the session's business.
#[test]
fn who_can_be_reached_gets_nothing_by_custody() {
    let mut world = World::new(3, &limits());
    world.write(0, 2, 1, Class::Normal, b"x");
    world.pass(Duration::from_secs(600));
    assert_eq!(world.sent, 0, "no neighbour of it is known");
    world.relays.insert(2, std::vec![1]);
    world.sleeps(2, true);
    assert_eq!(world.kept(1), 1, "until nothing does");
}

/// A way leads there, and still no session brings it for long: the neighbour may do better.
#[test]
fn what_no_session_brings_is_entrusted_to_the_neighbour() {
    let mut world = World::new(3, &limits());
    world.relays.insert(2, std::vec![1]);
    world.write(0, 2, 1, Class::Normal, b"x");
    world.pass(Duration::from_secs(9));
    assert_eq!(world.sent, 0);
    world.pass(Duration::from_secs(60));
    assert_eq!(world.sides[2].arrived.len(), 1);
    assert!(world.sides[0].owed.is_empty());
}

/// While the writer itself is cut off nothing is given to anybody, and nobody is avoided for that.
#[test]
fn who_is_cut_off_waits_and_goes_on_at_once() {
    let mut world = away();
    world.sleeps(0, true);
    world.write(0, 2, 1, Class::Normal, b"x");
    world.pass(Duration::from_secs(300));
    assert_eq!(world.sent, 0);
    world.sleeps(0, false);
    assert_eq!((world.kept(1), world.sides[0].entrusted.len()), (1, 1));
    // What was on its way when the writer fell asleep is lost, and goes again when it wakes up.
    world.write(0, 2, 2, Class::Normal, b"y");
    world.away.insert(0);
    world.pass(Duration::from_secs(30));
    assert_eq!((world.kept(1), world.kept(0)), (1, 0));
    world.sleeps(0, false);
    assert_eq!(world.kept(1), 2);
}

#[test]
fn urgent_ones_go_first_and_no_more_than_a_window_at_once() {
    let mut world = away();
    for (number, class) in (0..).zip([Class::Low; 12].into_iter().chain([Class::Emergency, Class::Normal])) {
        world.write(0, 2, number, class, b"x");
    }
    world.pass(Duration::from_secs(2));
    assert_eq!(world.kept(1), 14);
    world.sleeps(2, false);
    let numbers: Vec<u64> = world.sides[2].arrived.iter().map(|(_, number, _)| *number).collect();
    let expected: Vec<u64> = [12, 13].into_iter().chain(0..12).collect();
    assert_eq!(numbers, expected);
}

/// The writer was cut off for long: what is urgent leaves first, within what may run ahead.
#[test]
fn urgent_ones_leave_their_source_first() {
    let mut world = away();
    world.sleeps(0, true);
    for number in 0..80 {
        let class = if number == 50 || number == 70 { Class::Emergency } else { Class::Background };
        world.write(0, 2, number, class, b"x");
    }
    world.sleeps(0, false);
    world.pass(Duration::from_secs(1));
    let first: Vec<u64> = world.sides[0].entrusted.iter().map(|&(_, number, _)| number).take(3).collect();
    assert_eq!(first, [50, 0, 1], "70 is too far ahead");
    assert_eq!(world.sides[0].entrusted.len(), 64);
}

#[test]
fn custody_outlives_a_restart_and_is_told_of_once_it_does() {
    let mut world = away();
    world.disk_works = false;
    world.write(0, 2, 1, Class::Normal, b"x");
    world.pass(Duration::from_secs(1));
    assert_eq!(world.sides[0].entrusted, [], "not before it is on the disk");
    let slot = world.sides[1].writes.pop_front().unwrap();
    world.sides[1].handle(world.now, |_| Input::Stored { slot });
    world.run();
    assert_eq!(world.sides[0].entrusted.len(), 1);
    world.disk_works = true;
    world.restart(1);
    assert_eq!(world.kept(1), 1);
    world.sleeps(2, false);
    assert_eq!(world.sides[2].arrived.len(), 1);
    assert!(world.sides[0].owed.is_empty());
}

/// A record that is on its way to the disk when its bundle leaves says nothing of a later one of the same name.
#[test]
fn what_left_before_it_was_written_is_not_said_to_be_stored() {
    let mut world = away();
    world.disk_works = false;
    world.write(0, 2, 1, Class::Normal, b"x");
    world.pass(Duration::from_secs(1));
    let id = world.sides[1].bundles.shelf.ids().next().unwrap();
    let bundle = world.sides[1].bundles.shelf.get(id).unwrap().bundle.bytes.clone();
    world.sides[1].bundles.let_go(id);
    world.run();
    let node = world.sides[2].node();
    assert_eq!(world.sides[0].entrusted, [(node, 1, false)], "its bringer does not wait for the disk");
    let (now, from) = (world.now, world.sides[0].router());
    let payload = Message::Take { lifetime: LIFETIME, handovers: 3, bundle }.encode();
    world.sides[1].handle(now, |world| Input::Message { from, payload, world });
    world.run();
    let first = world.sides[1].writes.pop_front().unwrap();
    world.sides[1].handle(now, |_| Input::Stored { slot: first });
    let stored = world.sides[1].bundles.shelf.get(id).unwrap().disk;
    assert!(matches!(stored, super::super::shelf::Disk::Writing(_)), "{stored:?}");
}

#[test]
fn without_a_disk_it_is_kept_in_memory_and_said_so() {
    for late in [false, true] {
        let mut world = away();
        world.disk_works = false;
        if !late {
            world.sides[1].handle(world.now, |_| Input::StoreFailed);
        }
        world.write(0, 2, 1, Class::Normal, b"x");
        world.pass(Duration::from_secs(1));
        if late {
            assert_eq!(world.sides[0].entrusted, []);
            world.sides[1].handle(world.now, |_| Input::StoreFailed);
            world.run();
        }
        let node = world.sides[2].node();
        assert_eq!(world.sides[0].entrusted, [(node, 1, false)], "{late}");
        world.sleeps(2, false);
        assert_eq!(world.sides[2].arrived.len(), 1);
    }
}

/// An answer was lost: what was delivered is offered again, and recognised.
#[test]
fn what_is_offered_twice_is_delivered_once() {
    let mut world = away();
    world.write(0, 2, 1, Class::Normal, b"x");
    world.pass(Duration::from_secs(1));
    world.lose = Some(|message| matches!(message, Message::Taken { .. }));
    world.sleeps(2, false);
    assert_eq!((world.sides[2].arrived.len(), world.kept(1)), (1, 2), "with the receipt");
    world.lose = None;
    world.pass(Duration::from_secs(200));
    assert_eq!((world.sides[2].arrived.len(), world.kept(1)), (1, 0));
    assert!(world.sides[0].owed.is_empty());
}

/// A custodian is lost with all that it has: after a while the message is entrusted to another.
#[test]
fn a_lost_custodian_is_replaced() {
    let mut world = World::new(4, &limits());
    world.relays.insert(2, std::vec![1, 3]);
    world.sleeps(2, true);
    world.write(0, 2, 1, Class::Normal, b"x");
    world.pass(Duration::from_secs(1));
    assert_eq!(world.kept(1), 1);
    world.sleeps(1, true);
    assert_eq!(world.kept(3), 0, "what is entrusted is believed to be safe");
    world.pass(Duration::from_secs(3_700));
    assert_eq!(world.kept(3), 1);
    world.sleeps(2, false);
    assert_eq!(world.sides[2].arrived.len(), 1);
    world.sleeps(1, false);
    world.pass(Duration::from_secs(200));
    assert_eq!((world.sides[2].arrived.len(), world.kept(1)), (1, 0), "and what the first had is known");
}

/// The receiver moved: who keeps something for it hands that to its new neighbour, and it does not come back.
#[test]
fn custody_follows_a_receiver_that_moved() {
    let mut world = away();
    world.write(0, 2, 1, Class::Normal, b"x");
    world.pass(Duration::from_secs(1));
    world.relays.insert(2, std::vec![3]);
    world.map_changes();
    assert_eq!((world.kept(1), world.kept(3)), (0, 1));
    world.relays.insert(2, std::vec![1]);
    world.map_changes();
    assert_eq!((world.kept(1), world.kept(3)), (0, 1), "not to whoever brought it");
    world.sleeps(2, false);
    assert_eq!(world.sides[2].arrived.len(), 1);
}

#[test]
fn a_receiver_without_room_is_asked_later() {
    let mut world = away();
    world.sides[2].has_room = false;
    world.write(0, 2, 1, Class::Normal, b"x");
    world.pass(Duration::from_secs(2));
    world.sleeps(2, false);
    assert_eq!((world.sides[2].arrived.len(), world.kept(1)), (0, 1));
    let sent = world.sent;
    world.pass(Duration::from_secs(600));
    assert!(world.sent - sent <= 30, "asked {} times", world.sent - sent);
    world.sides[2].has_room = true;
    world.pass(Duration::from_secs(120));
    assert_eq!((world.sides[2].arrived.len(), world.kept(1)), (1, 0));
}

#[test]
fn nothing_is_kept_beyond_its_lifetime() {
    let mut world = away();
    world.write(0, 2, 1, Class::Normal, b"x");
    world.pass(Duration::from_secs(1));
    assert_eq!(world.kept(1), 1);
    world.sides[0].owed.clear();
    world.pass(LIFETIME);
    assert_eq!((world.kept(1), world.sides[1].disk.len()), (0, 0));
    world.sleeps(2, false);
    assert_eq!(world.sides[2].arrived, []);
}
