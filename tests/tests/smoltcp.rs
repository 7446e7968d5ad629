//! Two nodes of the embedded shell over a smoltcp stack whose device is a loop.

use std::collections::BTreeSet;

use bytes::Bytes;
use io_embedded::records::VolatileRecords;
use io_embedded::{Runner, UdpLink, address};
use proto_core::crypto::sign::Verifier;
use proto_core::identity::LocalIdentity;
use proto_core::ids::{LinkId, NodeId};
use proto_core::limits::Limits;
use proto_core::node::{Boot, Class, Command, Delivery, Event, Node, Outcome, PeerSpec, Send, VERSIONS};
use proto_core::time::{Duration, Instant};
use proto_core::wake::Wake;
use proto_core::zoo::Zoo;
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{Loopback, Medium};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, IpEndpoint};
use tests::cast::cast;

const LINK: LinkId = LinkId(0);
const HERE: IpAddress = IpAddress::v4(127, 0, 0, 1);

/// The firmware's side: one interface, one device, one set of sockets, and a clock.
struct Board {
    interface: Interface,
    device: Loopback,
    sockets: SocketSet<'static>,
    now: Instant,
}

impl Board {
    fn new() -> Board {
        let mut device = Loopback::new(Medium::Ip);
        let config = Config::new(HardwareAddress::Ip);
        let mut interface = Interface::new(config, &mut device, smoltcp::time::Instant::ZERO);
        interface.update_ip_addrs(|addresses| addresses.push(IpCidr::new(HERE, 8)).unwrap());
        Board { interface, device, sockets: SocketSet::new(Vec::new()), now: Instant::from_micros(1) }
    }

    fn poll(&mut self) {
        let now = smoltcp::time::Instant::from_micros(i64::try_from(self.now.as_micros()).unwrap());
        self.interface.poll(now, &mut self.device, &mut self.sockets);
    }
}

/// A node on the board, what it keeps, and what it has said.
struct Party {
    runner: Runner,
    records: VolatileRecords,
    events: Vec<Event>,
    wake: Wake,
}

impl Party {
    fn start(board: &mut Board, identity: &LocalIdentity, seed: u8, port: u16) -> Party {
        let boot = Boot {
            identity: identity.clone(),
            network: cast().network(),
            records: Vec::new(),
            versions: VERSIONS,
            zoo: Zoo::none(),
            verifier: Verifier::default(),
        };
        let node = Node::new(boot, [seed; 32], Limits::TINY, board.now).unwrap();
        let mut runner = Runner::new(node);
        let local = IpEndpoint::new(HERE, port);
        let link = UdpLink::add(&mut board.sockets, LINK, local, 512, 16).unwrap();
        runner.add_link(board.now, link).unwrap();
        Party { runner, records: VolatileRecords::default(), events: Vec::new(), wake: Wake::Now }
    }

    fn turn(&mut self, board: &mut Board) {
        let events = &mut self.events;
        self.wake = self
            .runner
            .turn(board.now, &mut board.sockets, &mut self.records, &mut |event| events.push(event));
    }

    fn messages(&self) -> BTreeSet<Bytes> {
        let payloads = self.events.iter().filter_map(|event| match event {
            Event::Message { payload, .. } => Some(payload.clone()),
            _ => None,
        });
        payloads.collect()
    }

    fn delivered(&self) -> usize {
        let is_delivery =
            |event: &&Event| matches!(event, Event::Receipt { outcome: Outcome::Delivered, .. });
        self.events.iter().filter(is_delivery).count()
    }

    fn is_up(&self) -> bool {
        self.events.iter().any(|event| matches!(event, Event::PeerUp { .. }))
    }
}

/// Runs the board until `done`, which must be within a minute of its own time. Nothing waits: the
/// clock jumps to the next deadline.
fn run(board: &mut Board, parties: &mut [Party; 2], done: impl Fn(&[Party; 2]) -> bool) {
    let end = board.now + Duration::from_secs(60);
    while !done(parties) {
        board.poll();
        parties.iter_mut().for_each(|party| party.turn(board));
        board.poll();
        board.now = match parties[0].wake.min(parties[1].wake) {
            // Datagrams may be waiting in the sockets: half a millisecond is one time round the loop.
            Wake::Now | Wake::Idle => board.now + Duration::from_micros(500),
            Wake::At(at, _) => {
                at.min(board.now + Duration::from_micros(500)).max(board.now + Duration::from_micros(1))
            }
        };
        assert!(board.now < end, "not done within a minute");
    }
}

fn message(to: NodeId, tag: u64, len: usize) -> Command {
    let payload = Bytes::from(vec![tag as u8; len]);
    Command::Send(Send {
        to,
        tag,
        delivery: Delivery::Message,
        class: Class::Normal,
        lifetime: None,
        payload,
    })
}

#[test]
fn two_boards_exchange_messages_of_every_size() {
    let mut board = Board::new();
    let alice = Party::start(&mut board, &cast().alice, 1, 7001);
    let bob = Party::start(&mut board, &cast().bob, 2, 7002);
    let (to_alice, to_bob) = (alice.runner.node(), bob.runner.node());
    let mut parties = [alice, bob];
    let endpoints = vec![(LINK, address::to_addr(IpEndpoint::new(HERE, 7002)))];
    let spec = PeerSpec { node: Some(to_bob), key: None, endpoints };
    parties[0].runner.command(board.now, Command::AddPeer(spec)).unwrap();
    run(&mut board, &mut parties, |parties| parties.iter().all(Party::is_up));

    // More than fits a datagram, up to the largest that this profile takes.
    let sizes = [0, 1, 100, 400, 513, 2_000, 8 * 1024];
    for (index, size) in sizes.into_iter().enumerate() {
        let tag = 1 + index as u64;
        parties[0].runner.command(board.now, message(to_bob, tag, size)).unwrap();
        parties[1].runner.command(board.now, message(to_alice, tag, size)).unwrap();
        run(&mut board, &mut parties, |parties| parties.iter().all(|party| party.delivered() == index + 1));
    }
    for party in &parties {
        let lens: BTreeSet<usize> = party.messages().iter().map(Bytes::len).collect();
        assert_eq!(lens, BTreeSet::from(sizes));
        assert_eq!(party.runner.links()[0].unsent(), 0);
        assert_eq!(party.runner.status().peers.len(), 1);
    }
}
