//! The server shell's loop over a network that loses, delays, splits, and whose hosts crash.
//!
//! Two hosts of a network that exists only in memory (turmoil), each with the shell as it is: its loop,
//! its timers, its writes on another thread, its full event queue. Only the socket is another one. Time is
//! virtual: a minute without a network costs a moment, and none passes while a write is under way.
//!
//! What turmoil calls a fail rate is the chance, at every datagram, that the network between the two breaks:
//! that datagram and everything under way is lost, both ways, and the next datagram finds it mended. So
//! 20 % is bursts of loss, and much more than one datagram in five. A socket holds 64 datagrams.
//!
//! A seed gives the same network, not the same run: the shell takes its keys from the system's entropy, and
//! tokio's `select!` picks its first branch at random unless the whole workspace is built with
//! `--cfg tokio_unstable`, which no user of the shell does. What is asserted here holds in every run. A run
//! that can be repeated to the bit is what the simulator is for; this one has the real loop instead.

mod disk;
mod host;
mod link;

use std::rc::Rc;
use std::time::Duration;

use proto_core::node::{Delivery, DownReason};
use turmoil::{Builder, Sim};

use crate::host::{Host, Traffic};

const MESSAGES: Traffic =
    Traffic { delivery: Delivery::Message, count: 200, burst: 1, pause: Duration::from_millis(50) };

/// In bursts, so that records collect while a write is under way.
const DURABLE: Traffic =
    Traffic { delivery: Delivery::Durable, count: 400, burst: 10, pause: Duration::from_millis(500) };

/// Virtual time in which everything here is over by far.
const LONG: Duration = Duration::from_secs(1_800);

/// Time in which a message that is sent too often would come a second time.
const LATER: Duration = Duration::from_secs(60);

/// A network of 10 to 100 ms one way.
fn network(seed: u64, fail_rate: f64) -> Sim<'static> {
    Builder::new()
        .rng_seed(seed)
        .min_message_latency(Duration::from_millis(10))
        .max_message_latency(Duration::from_millis(100))
        .fail_rate(fail_rate)
        .build()
}

/// Puts the hosts into the network. They start with the next step.
fn start(sim: &mut Sim<'static>, hosts: [Host; 2]) -> [Rc<Host>; 2] {
    let hosts = hosts.map(Rc::new);
    for host in &hosts {
        let host = Rc::clone(host);
        sim.host(host.name, move || Rc::clone(&host).run());
    }
    hosts
}

/// Lets time pass until `done`.
fn run_until(sim: &mut Sim<'_>, what: &str, done: impl Fn() -> bool) {
    let end = sim.elapsed() + LONG;
    while !done() {
        assert!(sim.elapsed() < end, "not within {LONG:?}: {what}");
        sim.step().unwrap();
    }
}

fn run_for(sim: &mut Sim<'_>, length: Duration) {
    let end = sim.elapsed() + length;
    while sim.elapsed() < end {
        sim.step().unwrap();
    }
}

/// The host dies, is away for five seconds, and starts from what is on its disk.
fn crash_and_restart(sim: &mut Sim<'_>, host: &Host) {
    sim.crash(host.name);
    run_for(sim, Duration::from_secs(5));
    host.disk.power_on();
    sim.bounce(host.name);
}

fn taken(host: &Host) -> usize {
    host.journal.borrow().taken.len()
}

fn all_once(alice: &Host, bob: &Host) -> bool {
    alice.all_delivered() && bob.all_delivered() && taken(alice) == 200 && taken(bob) == 200
}

#[test]
fn messages_both_ways_over_a_network_that_keeps_breaking() {
    for seed in 0..8 {
        let mut sim = network(seed, 0.2);
        let [alice, bob] = start(&mut sim, [Host::alice(MESSAGES), Host::bob(MESSAGES).waiting()]);
        run_until(&mut sim, "all delivered", || all_once(&alice, &bob));
        run_for(&mut sim, LATER);
        assert!(all_once(&alice, &bob), "seed {seed}");
    }
}

/// The event queue fills, an event is held, the node closes its door, and nothing is lost by that.
#[test]
fn an_application_that_takes_no_events_for_half_a_minute() {
    for seed in 0..4 {
        let mut sim = network(seed, 0.02);
        let alice = Host::alice(MESSAGES).pausing(40, Duration::from_secs(30));
        let [alice, bob] = start(&mut sim, [alice, Host::bob(MESSAGES).waiting()]);
        run_until(&mut sim, "the pause begins", || taken(&alice) >= 40);
        run_for(&mut sim, Duration::from_secs(29));
        assert!(taken(&alice) < 50, "seed {seed}: no pause");
        run_until(&mut sim, "all delivered", || all_once(&alice, &bob));
    }
}

/// A minute is less than the silence after which a session ends (180 s), five minutes are more.
#[test]
fn a_partition_in_the_middle_of_traffic() {
    for (seed, length, ended) in [(0, 60, 0), (1, 60, 0), (2, 60, 0), (3, 300, 1), (4, 300, 1)] {
        let mut sim = network(seed, 0.01);
        let [alice, bob] = start(&mut sim, [Host::alice(MESSAGES), Host::bob(MESSAGES).waiting()]);
        run_until(&mut sim, "half is there", || taken(&alice) >= 100 && taken(&bob) >= 100);
        sim.partition("alice", "bob");
        let before = (taken(&alice), taken(&bob));
        run_for(&mut sim, Duration::from_secs(length));
        assert_eq!((taken(&alice), taken(&bob)), before, "seed {seed}: a partition that lets through");
        sim.repair("alice", "bob");
        run_until(&mut sim, "all delivered", || all_once(&alice, &bob));
        let downs = alice.journal.borrow().downs.clone();
        assert_eq!(downs, vec![DownReason::Silent; ended], "seed {seed}");
    }
}

/// Four crashes in one run: of a receiver between two writes, with messages taken and not confirmed; of a
/// sender that nobody can hear, with messages that are nowhere but on its disk; and of each side in the
/// middle of a write, which is on the disk in one half of the seeds and not in the other.
#[test]
fn hosts_that_crash_and_start_from_their_disks() {
    for seed in 0..6 {
        let mut sim = network(seed, 0.02);
        let [alice, bob] = start(&mut sim, [Host::alice(DURABLE), Host::bob(DURABLE)]);

        let unconfirmed = || bob.journal.borrow().unconfirmed;
        run_until(&mut sim, "some are not confirmed", || taken(&bob) >= 20 && unconfirmed() == 4);
        crash_and_restart(&mut sim, &bob);

        sim.partition("alice", "bob");
        let waiting = || {
            let journal = alice.journal.borrow();
            journal.accepted.len() - journal.delivered.len()
        };
        run_until(&mut sim, "some wait", || waiting() >= 30);
        crash_and_restart(&mut sim, &alice);
        sim.repair("alice", "bob");

        for (host, kept) in [(&alice, seed % 2 == 0), (&bob, seed % 2 == 1)] {
            let far = taken(host) + 15;
            run_until(&mut sim, "some more", || taken(host) >= far);
            host.disk.fail_in_write(3 + seed, kept);
            run_until(&mut sim, "the power fails", || host.disk.is_off());
            crash_and_restart(&mut sim, host);
        }

        run_until(&mut sim, "all is where it belongs", || {
            alice.is_done_with(&bob) && bob.is_done_with(&alice)
        });
        run_for(&mut sim, LATER);
        assert!(bob.journal.borrow().shown_again >= 4, "seed {seed}: what was not confirmed is shown again");
        let signed_for = (alice.journal.borrow().accepted.len(), bob.journal.borrow().accepted.len());
        assert!(signed_for.0 > 300 && signed_for.1 > 300, "seed {seed}: {signed_for:?}");
    }
}

/// What a router does: the same node is behind another port from now on, and nobody has told it.
#[test]
fn a_session_goes_on_behind_another_port() {
    for seed in 0..4 {
        let mut sim = network(seed, 0.02);
        let [alice, bob] = start(&mut sim, [Host::alice(MESSAGES), Host::bob(MESSAGES).waiting()]);
        for port in [7_012, 7_022] {
            let far = taken(&alice) + 50;
            run_until(&mut sim, "some are there", || taken(&alice) >= far);
            bob.port.set(port);
            bob.change_port.notify_one();
        }
        run_until(&mut sim, "all delivered", || all_once(&alice, &bob));
        let sessions = (alice.journal.borrow().ups, bob.journal.borrow().ups);
        assert_eq!(sessions, (1, 1), "seed {seed}: the session began anew");
    }
}

/// Bob's application ends, once with a word to its node and once without. The node says goodbye each time,
/// and comes back at another port, of which alice knows nothing: it dials her.
#[test]
fn a_host_that_comes_back_at_another_port() {
    for seed in 0..4 {
        let lossless = seed < 2;
        let mut sim = network(seed, if lossless { 0.0 } else { 0.02 });
        let [alice, bob] = start(&mut sim, [Host::alice(DURABLE), Host::bob(DURABLE)]);
        for port in [7_012, 7_022] {
            let far = taken(&alice) + 30;
            run_until(&mut sim, "some are there", || taken(&alice) >= far);
            bob.walks_away.set(port == 7_022);
            bob.stop.notify_one();
            while sim.is_host_running("bob") {
                sim.step().unwrap();
            }
            run_for(&mut sim, Duration::from_secs(5));
            bob.port.set(port);
            sim.bounce("bob");
        }
        run_until(&mut sim, "all is where it belongs", || {
            alice.is_done_with(&bob) && bob.is_done_with(&alice)
        });
        let downs = alice.journal.borrow().downs.clone();
        assert!(!lossless || downs == [DownReason::Closed; 2], "seed {seed}: {downs:?} and no goodbyes");
        assert!(alice.journal.borrow().ups >= 3, "seed {seed}: a session after each restart");
    }
}
