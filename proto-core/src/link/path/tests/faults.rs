//! Outages, slow radios, idle paths.

use std::println;

use super::world::{Channel, World, link};
use crate::limits::Limits;
use crate::time::Instant;
use crate::wake::Wake;

const MBIT: u64 = 1_000_000;

#[test]
fn an_outage_ends_the_path_in_time_and_it_resumes() {
    for (percent, known) in [(0, true), (0, false), (20, true), (90, true)] {
        let channel = Channel::new(10 * MBIT, 65_536, 25, percent);
        let mut world = World::new(channel.clone(), channel, 13);
        world.add(&link(known.then_some(10 * MBIT), 1_200, 25), &Limits::SERVER, 1_200);
        world.run(10_000);
        for channel in &mut world.channels {
            channel.cut = true;
        }
        let mut found = None;
        for ms in 10_000..20_000 {
            world.run(ms);
            if world.flows[0][0].path.is_dead() && found.is_none() {
                found = Some(ms - 10_000);
            }
        }
        for channel in &mut world.channels {
            channel.cut = false;
        }
        let mut back = None;
        for ms in 20_000..30_000 {
            world.run(ms);
            if !world.flows[0][0].path.is_dead() && back.is_none() {
                back = Some(ms - 20_000);
            }
        }
        let measured = world.measure(40_000);
        println!(
            "outage, {percent} % loss, known {known}: dead after {found:?} ms, back after {back:?} ms, then {measured:?}"
        );
        let (found, back) = (found.unwrap(), back.unwrap());
        // The last answers of what was under way come up to a round trip after the cut.
        assert!(found <= if percent < 90 { 300 + 60 } else { 5_000 }, "{found}");
        assert!(back <= if percent < 90 { 1_200 } else { 2_500 }, "{back}");
        assert!(measured.permille > 900);
        assert_eq!(world.flows[0][0].died, 1);
    }
}

#[test]
fn a_radio_of_a_kilobit_works() {
    for percent in [0, 20, 50] {
        let forth = Channel::new(1_000, 2_000, 300, percent);
        let mut world = World::new(forth.clone(), forth, 17);
        world.add(&link(Some(1_000), 240, 300), &Limits::TINY, 240);
        world.run(60_000);
        let measured = world.measure(660_000);
        let [there, back] = &world.flows[0];
        println!(
            "radio 1 kbit/s, {percent} % loss: {measured:?}, {} data B, {} ack B in {} packets, late {}, died {}, rtt {:?}",
            there.data_bytes,
            back.other_bytes,
            back.other_packets,
            there.late,
            there.died,
            there.path.rtt()
        );
        assert_eq!(there.died + back.died, 0, "declared dead without cause");
        assert!(measured.permille >= 950);
        assert!(measured.wait_99_us < 2_500_000, "more than one packet waits in the radio");
        assert!(back.other_bytes * 4 < there.data_bytes, "acknowledgements cost too much");
    }
}

#[test]
fn an_idle_path_is_kept_alive_and_little_is_sent() {
    let channel = Channel::new(10 * MBIT, 65_536, 25, 0);
    let mut world = World::new(channel.clone(), channel, 19);
    world.add(&link(None, 1_200, 25), &Limits::SERVER, 0);
    world.run(3_600_000);
    let [a, b] = &world.flows[0];
    let packets = a.other_packets + b.other_packets;
    println!("idle for an hour: {packets} packets");
    assert!((250..=600).contains(&packets), "{packets}");
    assert_eq!(a.died + b.died, 0);
}

#[test]
fn one_message_at_ninety_percent_loss_is_soon_settled() {
    let channel = Channel::new(10 * MBIT, 65_536, 25, 90);
    let mut total = 0;
    for seed in 0..20 {
        let mut world = World::new(channel.clone(), channel.clone(), seed);
        let flow = world.add(&link(None, 1_200, 25), &Limits::SERVER, 100);
        world.flows[flow][0].left = 1;
        // The owner sends again what is lost, and a copy each quarter round trip where there is room.
        let mut copied = 0;
        let mut ms = 0;
        while world.flows[0][0].acked + world.flows[0][0].late == 0 {
            ms += 1;
            world.run(ms);
            let end = &mut world.flows[0][0];
            let now = Instant::from_micros(ms * 1_000);
            let due = end.path.in_flight_bytes() == 0 || (ms >= copied + 12 && end.path.spare(now));
            if end.left == 0 && due {
                end.left = 1;
                copied = ms;
            }
            assert!(ms < 60_000, "seed {seed}: never settled");
        }
        total += ms;
    }
    println!("one message at 90 %: settled after {} ms on average", total / 20);
    assert!(total / 20 < 6_000);
}

#[test]
fn a_quiet_path_asks_for_nothing() {
    let channel = Channel::new(10 * MBIT, 65_536, 25, 0);
    let mut world = World::new(channel.clone(), channel, 23);
    let flow = world.add(&link(None, 1_200, 25), &Limits::SERVER, 1_200);
    world.flows[flow][0].left = 1_000;
    world.run(5_000);
    let end = &mut world.flows[0][0];
    assert_eq!((end.acked, end.lost, end.path.in_flight_bytes()), (1_000, 0, 0));
    end.path.trim();
    assert!(matches!(end.path.next_wake(), Wake::At(_, crate::wake::Reason::KeepAlive)));
}
