//! Two nodes of the server shell over real sockets.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use io_tokio::{Events, Handle, MemoryRecords, Report, Runner, Setup, StorageError, UdpLink, address};
use proto_core::identity::LocalIdentity;
use proto_core::ids::{LinkId, NodeId};
use proto_core::limits::Limits;
use proto_core::node::{Class, Command, Delivery, Event, Outcome, PeerSpec, Send};
use proto_core::store::record::Record;
use tests::cast::cast;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const LINK: LinkId = LinkId(0);
const COUNT: u64 = 1_000;

/// Far longer than any of these takes: a test that hangs fails, and a busy machine does not matter.
const LONG: Duration = Duration::from_secs(120);

/// One running node.
struct Party {
    handle: Handle,
    events: Events,
    address: SocketAddr,
    task: JoinHandle<Result<MemoryRecords, StorageError>>,
}

fn start(identity: &LocalIdentity, records: MemoryRecords) -> Party {
    let link = UdpLink::bind(LINK, "127.0.0.1:0".parse().unwrap()).unwrap();
    let address = link.local();
    let setup = Setup {
        identity: identity.clone(),
        network: cast().network(),
        limits: Limits::SMALL,
        wall_error: Duration::from_secs(86_400),
    };
    let (runner, handle, events) = Runner::new(setup, vec![link], records).unwrap();
    Party { handle, events, address, task: tokio::spawn(runner.run()) }
}

impl Party {
    async fn connect(&self, to: NodeId, at: SocketAddr) {
        let endpoints = vec![(LINK, address::to_addr(at))];
        let spec = PeerSpec { node: Some(to), key: None, endpoints };
        self.handle.command(Command::AddPeer(spec)).await.unwrap();
    }

    async fn until_up(&mut self, expected: NodeId) {
        loop {
            if let Event::PeerUp { node, .. } = self.events.recv().await.expect("the node runs") {
                assert_eq!(node, expected);
                return;
            }
        }
    }

    /// Sends [`COUNT`] messages to `to`, and returns when they are all delivered and as many came from it.
    async fn exchange(&mut self, to: NodeId) {
        let send_all = async {
            for tag in 0..COUNT {
                let payload = Bytes::from([&tag.to_le_bytes()[..], &[tag as u8; 92]].concat());
                let send = Send {
                    to,
                    tag,
                    delivery: Delivery::Message,
                    class: Class::Normal,
                    lifetime: None,
                    payload,
                };
                self.handle.command(Command::Send(send)).await.unwrap();
            }
        };
        let receive_all = async {
            let (mut received, mut delivered) = (BTreeSet::new(), BTreeSet::new());
            while received.len() < COUNT as usize || delivered.len() < COUNT as usize {
                match self.events.recv().await.expect("the node runs") {
                    Event::Message { from, payload, .. } => {
                        let (tag, rest) = payload.split_first_chunk::<8>().unwrap();
                        let tag = u64::from_le_bytes(*tag);
                        assert_eq!((from, rest), (to, &[tag as u8; 92][..]));
                        assert!(received.insert(tag), "message {tag} came twice");
                    }
                    Event::Receipt { tag, outcome, .. } => {
                        assert_eq!(outcome, Outcome::Delivered, "message {tag}");
                        assert!(delivered.insert(tag), "two receipts for message {tag}");
                    }
                    Event::PeerUp { .. } | Event::Path { .. } => {}
                    other => panic!("not expected: {other:?}"),
                }
            }
        };
        tokio::join!(send_all, receive_all);
    }

    async fn stop(self) -> MemoryRecords {
        self.handle.shutdown().await;
        self.task.await.unwrap().expect("the records come back")
    }
}

/// Passes datagrams between `alice`, who is met at `facing_alice`, and `bob`, and loses one in `one_in` of
/// them each way.
async fn lossy_proxy(facing_alice: UdpSocket, bob: SocketAddr, one_in: u64) {
    let facing_bob = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (mut from_alice, mut from_bob) = ([0; 2_048], [0; 2_048]);
    let (mut alice, mut state) = (None, 1u64);
    loop {
        tokio::select! {
            Ok((len, from)) = facing_alice.recv_from(&mut from_alice) => {
                alice = Some(from);
                if !lose(&mut state, one_in) {
                    facing_bob.send_to(&from_alice[..len], bob).await.unwrap();
                }
            }
            Ok((len, _)) = facing_bob.recv_from(&mut from_bob) => {
                if let Some(alice) = alice && !lose(&mut state, one_in) {
                    facing_alice.send_to(&from_bob[..len], alice).await.unwrap();
                }
            }
        }
    }
}

/// Knuth's linear congruential generator (MMIX): good enough to lose datagrams.
fn lose(state: &mut u64, one_in: u64) -> bool {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33).is_multiple_of(one_in)
}

async fn exchange_both(alice: &mut Party, bob: &mut Party) {
    let (to_alice, to_bob) = (alice.handle.node(), bob.handle.node());
    tokio::join!(alice.until_up(to_bob), bob.until_up(to_alice));
    tokio::join!(alice.exchange(to_bob), bob.exchange(to_alice));
}

#[tokio::test]
async fn a_thousand_messages_each_way() {
    let mut alice = start(&cast().alice, MemoryRecords::default());
    let mut bob = start(&cast().bob, MemoryRecords::default());
    alice.connect(bob.handle.node(), bob.address).await;
    timeout(LONG, exchange_both(&mut alice, &mut bob)).await.expect("in time");
    let Report { status, links, storage } = alice.handle.status().await.unwrap();
    assert_eq!(storage, None);
    assert_eq!(status.peers.iter().filter(|peer| peer.up).count(), 1);
    assert_eq!((links.len(), links[0].unsent, links[0].last_error.as_deref()), (1, 0, None));
    timeout(LONG, async { tokio::join!(alice.stop(), bob.stop()) }).await.expect("both stop");
}

#[tokio::test]
async fn a_thousand_messages_each_way_when_every_fifth_datagram_is_lost() {
    let mut alice = start(&cast().alice, MemoryRecords::default());
    let mut bob = start(&cast().bob, MemoryRecords::default());
    let facing_alice = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let met_at = facing_alice.local_addr().unwrap();
    let proxy = tokio::spawn(lossy_proxy(facing_alice, bob.address, 5));
    alice.connect(bob.handle.node(), met_at).await;
    timeout(LONG, exchange_both(&mut alice, &mut bob)).await.expect("in time");
    proxy.abort();
    timeout(LONG, async { tokio::join!(alice.stop(), bob.stop()) }).await.expect("both stop");
}

#[tokio::test]
async fn a_node_counts_its_starts_in_its_records() {
    let mut records = MemoryRecords::default();
    for start_count in 1..=3 {
        let party = start(&cast().alice, records);
        assert_eq!(party.handle.status().await.unwrap().status.boot, start_count);
        records = timeout(LONG, party.stop()).await.expect("it stops");
        let boots = io_tokio::Records::all(&records);
        assert!(boots.contains(&Record::Boot { count: start_count }), "{boots:?}");
    }
}

#[tokio::test]
async fn what_the_node_refuses_is_told_and_a_stopped_node_says_so() {
    let party = start(&cast().alice, MemoryRecords::default());
    let handle = party.handle.clone();
    let unknown = Command::RemovePeer(NodeId([3; 32]));
    let error = handle.command(unknown.clone()).await.unwrap_err();
    assert_eq!(error.to_string(), "unknown peer; add it first");
    timeout(LONG, party.stop()).await.expect("it stops");
    assert_eq!(handle.command(unknown).await.unwrap_err().to_string(), "the node is not running");
}
