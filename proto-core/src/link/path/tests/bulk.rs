//! How well the rate controller uses and shares a bottleneck.

use std::println;

use super::world::{Channel, Measured, World, link};
use crate::limits::Limits;

const MBIT: u64 = 1_000_000;

fn lossy(percent: u64, seed: u64) -> World {
    World::new(
        Channel::new(10 * MBIT, 65_536, 25, percent),
        Channel::new(10 * MBIT, 65_536, 25, percent),
        seed,
    )
}

fn show(name: &str, world: &World, measured: Measured) {
    let end = &world.flows[0][0];
    let back = &world.flows[0][1];
    println!(
        "{name:28} {:>3}.{} % used, queue mean {:>6} us, 99 % {:>6} us, dropped {:>4}, late {:>5} of {:>6}, acks {:>5} ({} B), loss {:>6} ppm, rate {:>9} bit/s, rtt {:?}",
        measured.permille / 10,
        measured.permille % 10,
        measured.wait_mean_us,
        measured.wait_99_us,
        measured.dropped,
        end.late,
        end.acked + end.lost,
        back.other_packets,
        back.other_bytes / back.other_packets.max(1),
        end.path.loss_ppm(),
        end.path.rate_bps(),
        end.path.rtt(),
    );
}

#[test]
fn a_known_rate_is_used_whatever_the_loss() {
    for percent in [0, 20, 50, 90] {
        for seed in 1..4 {
            let mut world = lossy(percent, seed);
            world.add(&link(Some(10 * MBIT), 1_200, 25), &Limits::SERVER, 1_200);
            world.run(1_000);
            let measured = world.measure(11_000);
            show(&std::format!("known, {percent} % loss"), &world, measured);
            assert!(measured.permille >= 980);
            assert!(measured.wait_99_us < 5_000, "a queue of more than a few milliseconds");
            assert_eq!(world.flows[0][0].died, 0);
        }
    }
}

#[test]
fn an_unknown_rate_is_found_within_three_seconds() {
    for percent in [0, 20, 50, 90] {
        for seed in 1..6 {
            let mut world = lossy(percent, seed);
            world.add(&link(None, 1_200, 25), &Limits::SERVER, 1_200);
            world.run(3_000);
            let measured = world.measure(13_000);
            show(&std::format!("unknown, {percent} % loss"), &world, measured);
            assert!(measured.permille >= 900);
            assert!(measured.wait_mean_us < 25_000, "the queue is not to double the round trip");
            assert_eq!(world.flows[0][0].died, 0);
        }
    }
}

/// A first transfer of a mebibyte on a link of unknown rate is over before many round trips are: what
/// ten packets that leave together show has to do. Where their answers are lost, the rate is found by
/// doubling, so the middle one of five worlds counts.
#[test]
fn a_first_transfer_soon_knows_the_rate() {
    for percent in [0, 20] {
        let mut shares = [1, 2, 3, 4, 5].map(|seed| {
            let mut world = lossy(percent, seed);
            let flow = world.add(&link(None, 1_200, 25), &Limits::SERVER, 1_200);
            world.flows[flow][0].left = 0;
            world.run(1_000);
            let packets = (1 << 20) / 1_200 * 100 / (100 - percent);
            world.flows[flow][0].left = packets;
            let mut ms = 1_000;
            while world.flows[flow][0].left > 0 {
                ms += 1;
                world.run(ms);
            }
            // What the queue has dropped has not used the link.
            let ideal_ms = (packets - world.channels[0].dropped) * 1_200 * 8 * 1_000 / (10 * MBIT);
            ideal_ms * 1_000 / (ms - 1_000)
        });
        shares.sort_unstable();
        println!("first mebibyte, {percent} % loss: {shares:?} permille of the link");
        assert!(shares[2] >= 920);
    }
}

/// Now and then chance makes jitter look like a queue for a while, so the middle one of eleven worlds
/// counts.
#[test]
fn jitter_and_reordering_are_no_congestion() {
    for percent in [0, 20] {
        let mut shares = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map(|seed| {
            let mut world = lossy(percent, seed);
            world.channels[0].jitter_us = 10_000;
            world.channels[1].jitter_us = 10_000;
            world.add(&link(None, 1_200, 25), &Limits::SERVER, 1_200);
            world.run(3_000);
            world.measure(13_000).permille
        });
        shares.sort_unstable();
        println!("jitter 10 ms, {percent} % loss: {shares:?} permille of the link");
        assert!(shares[5] >= 900 && shares[0] >= 700);
    }
}

#[test]
fn a_short_queue_is_seen_by_its_loss() {
    // One queueing loss in ten without other loss; it is harder to tell among random ones.
    for (percent, part) in [(0, 8), (20, 4)] {
        let mut world = lossy(percent, 3);
        world.channels[0].queue_bytes = 4_800;
        world.add(&link(None, 1_200, 25), &Limits::SERVER, 1_200);
        world.run(4_000);
        let sent = world.flows[0][0].data_bytes;
        let measured = world.measure(14_000);
        show(&std::format!("queue of 4 packets, {percent} %"), &world, measured);
        assert!(measured.permille >= 900);
        let packets = (world.flows[0][0].data_bytes - sent) / 1_200;
        assert!(measured.dropped * part < packets, "{} of {packets} overflowed", measured.dropped);
    }
}

#[test]
fn two_flows_share() {
    for (known, percent, start_ms) in [
        (false, 0, 0),
        (false, 0, 5_000),
        (true, 0, 0),
        (true, 0, 5_000),
        (false, 50, 5_000),
        (true, 50, 5_000),
    ] {
        let mut world = lossy(percent, 5);
        let info = link(known.then_some(10 * MBIT), 1_200, 25);
        world.add(&info, &Limits::SERVER, 1_200);
        world.run(start_ms.max(1));
        world.add(&info, &Limits::SERVER, 1_200);
        world.run(start_ms + 10_000);
        let before = [0, 1].map(|flow: usize| world.flows[flow][0].data_bytes);
        let measured = world.measure(start_ms + 30_000);
        let after = [0, 1].map(|flow: usize| world.flows[flow][0].data_bytes - before[flow]);
        show(&std::format!("two flows, {percent} %, +{start_ms} ms"), &world, measured);
        println!("  known {known}: {after:?}");
        assert!(measured.permille >= 900);
        assert!(after[0] < 2 * after[1] && after[1] < 2 * after[0], "{after:?}");
        assert!(measured.wait_mean_us < 40_000);
    }
}

#[test]
fn a_slower_link_is_noticed() {
    for percent in [0, 50] {
        let mut world = lossy(percent, 9);
        world.add(&link(None, 1_200, 25), &Limits::SERVER, 1_200);
        world.run(5_000);
        world.channels[0].rate = MBIT / 8;
        world.run(10_000);
        let measured = world.measure(20_000);
        show(&std::format!("10 to 1 Mbit/s, {percent} %"), &world, measured);
        assert!(measured.permille >= 850);
        assert!(measured.wait_mean_us < 80_000, "a queue that stands");
        world.channels[0].rate = 10 * MBIT / 8;
        world.run(24_000);
        let measured = world.measure(34_000);
        show(&std::format!("and back, {percent} %"), &world, measured);
        assert!(measured.permille >= 900);
    }
}

#[test]
fn sudden_random_loss_does_not_slow_down() {
    let mut world = lossy(0, 11);
    world.add(&link(Some(10 * MBIT), 1_200, 25), &Limits::SERVER, 1_200);
    world.run(3_000);
    for (until, percent) in [(13_000, 50), (23_000, 90), (33_000, 20)] {
        world.channels[0].loss_ppm = percent * 10_000;
        world.channels[1].loss_ppm = percent * 10_000;
        let measured = world.measure(until);
        show(&std::format!("suddenly {percent} %"), &world, measured);
        assert!(measured.permille >= 850);
    }
    assert_eq!(world.flows[0][0].died, 0);
}
