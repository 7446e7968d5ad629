//! How much is kept, of whom.

use super::super::message::Answer;
use super::super::shelf::weight_of;
use super::*;

const PAYLOAD: usize = 200;

/// Room for so many bundles of the usual size.
fn room_for(count: usize) -> Limits {
    let bundle = bundle_of(0, 2, 1, Class::Normal, &[0; PAYLOAD]);
    Limits { bundle_bytes: (count * weight_of(bundle.bytes.len() + 8)) as u32, ..limits() }
}

struct Office {
    side: Side,
}

impl Office {
    fn with_room_for(count: usize) -> Office {
        Office { side: Side::new(1, 1, room_for(count)) }
    }

    /// `by` brings a bundle of `from` for `to`.
    fn bring(&mut self, by: u16, (from, to): (u16, u16), number: u64, class: Class) -> Answer {
        let bundle = bundle_of(from, to, number, class, &[0; PAYLOAD]).bytes;
        let payload = Message::Take { lifetime: LIFETIME, handovers: 3, bundle }.encode();
        let from = RouterId::of(identity(by).device());
        let now = Instant::from_micros(1);
        self.side.handle(now, |world| Input::Message { from, payload, world });
        let mut said = None;
        while let Some(action) = self.side.bundles.poll() {
            match action {
                Action::Store { slot, .. } => self.side.handle(now, |_| Input::Stored { slot }),
                Action::Send { payload, .. } => match Message::decode(&payload) {
                    Ok(Message::Taken { answer, .. }) => said = Some(answer),
                    other => panic!("{other:?}"),
                },
                _ => {}
            }
        }
        said.unwrap()
    }
}

#[test]
fn no_neighbour_source_or_destination_fills_the_room() {
    // One neighbour brings what many wrote for many: half.
    let mut office = Office::with_room_for(16);
    let taken = (0..16).filter(|&n| office.bring(9, (20 + n, 50 + n), 1, Class::Normal) == Answer::Stored);
    assert_eq!(taken.count(), 8);
    // One source, by many: a quarter.
    let mut office = Office::with_room_for(16);
    let taken =
        (0..16).filter(|&n| office.bring(20 + n, (0, 50 + n), u64::from(n), Class::Normal) == Answer::Stored);
    assert_eq!(taken.count(), 4);
    // One destination likewise.
    let mut office = Office::with_room_for(16);
    let taken = (0..16).filter(|&n| office.bring(20 + n, (50 + n, 2), 1, Class::Normal) == Answer::Stored);
    assert_eq!(taken.count(), 4);
}

#[test]
fn what_is_urgent_finds_room_where_something_less_urgent_lies() {
    let mut office = Office::with_room_for(8);
    for n in 0..8 {
        let class = if n < 4 { Class::Background } else { Class::Low };
        assert_eq!(office.bring(20 + n, (30 + n, 50 + n), 1, class), Answer::Stored);
    }
    assert_eq!(office.bring(40, (41, 42), 1, Class::Background), Answer::Full);
    assert_eq!(office.bring(40, (41, 42), 2, Class::Low), Answer::Stored);
    let classes = |office: &Office| {
        let shelf = &office.side.bundles.shelf;
        let mut classes: Vec<Class> =
            shelf.ids().map(|id| shelf.get(id).unwrap().bundle.head.class).collect();
        classes.sort_unstable();
        classes
    };
    let expected = [[Class::Low; 5].as_slice(), &[Class::Background; 3]].concat();
    assert_eq!(classes(&office), expected, "the least urgent went");
    for n in 0..3 {
        assert_eq!(office.bring(60 + n, (70 + n, 80 + n), 1, Class::Emergency), Answer::Stored);
    }
    let expected = [[Class::Emergency; 3].as_slice(), &[Class::Low; 5]].concat();
    assert_eq!(classes(&office), expected);
    assert_eq!(office.bring(90, (91, 92), 1, Class::Low), Answer::Full, "as urgent is not more urgent");
}

#[test]
fn who_keeps_nothing_says_so() {
    let limits = Limits { bundle_bytes: 0, ..limits() };
    let mut office = Office { side: Side::new(1, 1, limits) };
    assert_eq!(office.bring(9, (0, 2), 1, Class::Emergency), Answer::Full);
    assert_eq!(office.side.bundles.kept(), (0, 0));
}

/// A custodian without room is passed by for the next, and asked again when it may have some.
#[test]
fn who_has_no_room_is_passed_by() {
    let mut world = World::new(4, &limits());
    world.sides[1].limits.bundle_bytes = 0;
    world.relays.insert(2, std::vec![1, 3]);
    world.sleeps(2, true);
    world.write(0, 2, 1, Class::Normal, b"x");
    world.pass(Duration::from_secs(5));
    assert_eq!((world.kept(1), world.kept(3)), (0, 1));
    let sent = world.sent;
    world.pass(Duration::from_secs(600));
    assert_eq!(world.sent, sent, "it is where it should be");
}

/// After a restart with less room no more is kept than may be; the rest leaves the disk.
#[test]
fn a_smaller_room_after_a_restart() {
    let mut world = World::new(3, &limits());
    world.relays.insert(2, std::vec![1]);
    world.sleeps(2, true);
    for number in 0..8 {
        world.write(0, 2, number, Class::Normal, &[0; PAYLOAD]);
    }
    world.pass(Duration::from_secs(2));
    assert_eq!(world.sides[1].disk.len(), 8);
    world.sides[1].limits = room_for(8);
    world.restart(1);
    assert_eq!((world.kept(1), world.sides[1].disk.len()), (2, 2), "a quarter for one destination");
}
