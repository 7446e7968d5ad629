//! A node with a radio whose driver says when the air is free.

use std::vec;
use std::vec::Vec;

use super::bench::{LINK, info, network_of};
use crate::crypto::sign::Verifier;
use crate::ids::{Addr, Ticket};
use crate::limits::Limits;
use crate::node::*;
use crate::time::{Duration, Instant};
use crate::zoo::Zoo;

const HOUR: Duration = Duration::from_secs(3_600);

fn radio(share_ppm: u32) -> LinkInfo {
    let air = Some(Air { packet: Duration::from_millis(108), share_ppm, window: HOUR });
    LinkInfo {
        medium: Medium::Shared { half_duplex: true },
        rate_bps: Some(1_757),
        delay: Duration::ZERO,
        air,
        ..info(240, 0)
    }
}

struct Bench {
    node: Node,
    now: Instant,
    sent: Vec<Vec<u8>>,
}

impl Bench {
    /// A node that calls so many others, none of which is there.
    fn calling(count: u8, share_ppm: u32) -> Bench {
        let (network, mut identities) = network_of(count + 1, 5);
        let boot = Boot {
            identity: identities.remove(0),
            network,
            records: Vec::new(),
            versions: VERSIONS,
            zoo: Zoo::none(),
            verifier: Verifier::default(),
        };
        let node = Node::new(boot, [9; 32], Limits::SMALL, Instant::ZERO).unwrap();
        let mut bench = Bench { node, now: Instant::ZERO, sent: Vec::new() };
        bench.input(Input::LinkChanged { link: LINK, state: LinkState::Up(radio(share_ppm)) });
        for (other, number) in identities.iter().zip(1..) {
            let certificate = other.certificate();
            let spec = PeerSpec {
                node: Some(certificate.node),
                key: Some(certificate.dh_key),
                endpoints: vec![(LINK, Addr::from_u32(number))],
            };
            bench.input(Input::Command(Command::AddPeer(spec)));
        }
        bench
    }

    fn input(&mut self, input: Input<'_>) {
        self.node.handle(self.now, input).unwrap();
        self.drain();
    }

    fn drain(&mut self) {
        let mut buf = [0; 2_048];
        while let Some(output) = self.node.poll(self.now, &mut buf) {
            match output {
                Output::Transmit(transmit) => self.sent.push(buf[..transmit.len].to_vec()),
                Output::Store { ticket, .. } => {
                    self.node.handle(self.now, Input::Stored { up_to: Ticket(ticket.0) }).unwrap();
                }
                Output::Load { .. } | Output::Event(_) => {}
            }
        }
        self.node.check();
    }

    /// Wakes it whenever it wants, for so long.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        for _ in 0..100_000 {
            match self.node.next_wake() {
                Wake::At(at, _) if at <= end => self.now = self.now.max(at),
                Wake::Now => {}
                Wake::At(..) | Wake::Idle => {
                    self.now = end;
                    return;
                }
            }
            self.input(Input::Wake);
        }
        panic!("it does not come to rest before {end:?}");
    }
}

#[test]
fn the_radio_is_given_one_packet_and_the_next_when_that_is_gone() {
    let mut bench = Bench::calling(3, 100_000);
    bench.pass(HOUR);
    assert_eq!(bench.sent.len(), 1, "the driver has not said that it is gone");
    bench.input(Input::AirFree { link: LINK });
    assert_eq!(bench.sent.len(), 2);
    bench.pass(HOUR);
    assert_eq!(bench.sent.len(), 2);
}

/// However long the air was taken: of the calls that were due meanwhile each waits once.
#[test]
fn calls_do_not_pile_up_before_a_radio() {
    let mut bench = Bench::calling(3, 1_000_000);
    bench.pass(HOUR);
    let before = bench.sent.len();
    for _ in 0..50 {
        bench.input(Input::AirFree { link: LINK });
        bench.pass(Duration::from_millis(100));
    }
    // Three handshakes in parts; in five seconds no copy is due.
    assert!((5..=18).contains(&(bench.sent.len() - before)), "{} packets", bench.sent.len() - before);
    let mut waited: Vec<Vec<u8>> = bench.sent.split_off(before);
    let count = waited.len();
    waited.sort();
    waited.dedup();
    assert_eq!(waited.len(), count, "no packet twice");
}

/// A start begins with an empty bucket; then no more than its share is sent, whoever is called.
#[test]
fn no_hour_holds_more_than_the_share() {
    let mut bench = Bench::calling(6, 1_000);
    let mut air = Duration::ZERO;
    bench.pass(Duration::from_secs(600));
    assert!(bench.sent.len() <= 1, "an empty bucket");
    for _ in 0..7_200 {
        bench.input(Input::AirFree { link: LINK });
        bench.pass(Duration::from_secs(1));
    }
    for packet in &bench.sent {
        air = air + radio(1_000).airtime(packet.len());
    }
    assert!(bench.sent.len() >= 2, "{} packets", bench.sent.len());
    assert!(air <= Duration::from_micros(2 * 3_600_000), "{air:?}");
}

#[test]
fn a_radio_without_a_rate_or_a_share_is_refused() {
    let mut bench = Bench::calling(1, 100_000);
    let mut up = |info| {
        bench.node.handle(Instant::ZERO, Input::LinkChanged { link: LINK, state: LinkState::Up(info) })
    };
    for wrong in [
        LinkInfo { rate_bps: None, ..radio(100_000) },
        LinkInfo { segments: 2, ..radio(100_000) },
        radio(0),
        radio(1_000_001),
        radio(300),
    ] {
        assert!(matches!(up(wrong), Err(Refused::Link(_))));
    }
    assert_eq!(up(radio(1_000_000)), Ok(()));
}
