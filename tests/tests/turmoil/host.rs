//! A host of the simulated network: a node in the server shell, and the application that uses it.
//!
//! What an application has to remember for itself is in its [`Journal`], which outlives the host, as
//! what is on its disk does: what it gave away, and what it took. It keeps the documented manners:
//! a durable message counts as given away from the first receipt on; one that is shown `again` and
//! stands in the journal already is confirmed and not taken twice.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use io_tokio::runner::CommandError;
use io_tokio::{Events, Handle, Runner, Setup, address};
use proto_core::identity::LocalIdentity;
use proto_core::ids::NodeId;
use proto_core::limits::Limits;
use proto_core::node::{Class, Command, Delivery, DownReason, Event, Outcome, PeerSpec, Refused, Send};
use tests::cast::cast;
use tokio::sync::{Notify, mpsc};
use turmoil::net::UdpSocket;

use crate::disk::Disk;
use crate::link::{self, LINK, SimulatedLink};

/// Durable messages that the application takes before it confirms them.
const CONFIRMED_TOGETHER: usize = 8;

/// What the bytes of a message are after its number.
const BODY_BYTES: usize = 92;

/// What a host sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    pub(crate) delivery: Delivery,
    pub(crate) count: u64,
    /// So many at once...
    pub(crate) burst: u64,
    /// ... and then a pause.
    pub(crate) pause: Duration,
}

/// What the application knows, across crashes.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// Messages that were handed to the node, or may have been.
    pub(crate) begun: u64,
    /// Those that the node signed for.
    pub(crate) accepted: BTreeSet<u64>,
    /// Those that the other side signed for.
    pub(crate) delivered: BTreeSet<u64>,
    /// Those of `delivered` that the node has told of since its last start. After a start it may tell of
    /// one again: it had told before it had written down that it had.
    receipts: BTreeSet<u64>,
    /// The messages that were taken, with the sender's numbers.
    pub(crate) taken: BTreeMap<u64, u64>,
    /// Messages that were shown though they had been taken before.
    pub(crate) shown_again: u64,
    /// Messages that were taken and not confirmed.
    pub(crate) unconfirmed: usize,
    /// The peer's sessions: how often one began, and why each ended.
    pub(crate) ups: u64,
    pub(crate) downs: Vec<DownReason>,
}

/// One host, across its restarts.
pub(crate) struct Host {
    pub(crate) name: &'static str,
    identity: LocalIdentity,
    peer: NodeId,
    /// Where it binds its socket when it starts.
    pub(crate) port: Cell<u16>,
    /// Where it dials its peer; `None` for one that waits to be dialled.
    dials: Option<(&'static str, u16)>,
    traffic: Traffic,
    /// After so many messages the application takes no event for so long.
    pause: Option<(usize, Duration)>,
    /// Room for events.
    outputs: u32,
    pub(crate) disk: Disk,
    pub(crate) journal: RefCell<Journal>,
    /// Told, the application ends, and the node with it.
    pub(crate) stop: Notify,
    /// It ends without telling the node, which finds that nobody takes its events.
    pub(crate) walks_away: Cell<bool>,
    /// Told, it goes on behind another port.
    pub(crate) change_port: Notify,
}

impl Host {
    pub(crate) fn alice(traffic: Traffic) -> Host {
        Host::new("alice", &cast().alice, &cast().bob, Some(("bob", 7_002)), traffic)
    }

    pub(crate) fn bob(traffic: Traffic) -> Host {
        Host::new("bob", &cast().bob, &cast().alice, Some(("alice", 7_001)), traffic)
    }

    fn new(
        name: &'static str,
        identity: &LocalIdentity,
        peer: &LocalIdentity,
        dials: Option<(&'static str, u16)>,
        traffic: Traffic,
    ) -> Host {
        Host {
            name,
            identity: identity.clone(),
            peer: peer.node(),
            port: Cell::new(if name == "alice" { 7_001 } else { 7_002 }),
            dials,
            traffic,
            pause: None,
            outputs: Limits::SMALL.outputs,
            disk: Disk::default(),
            journal: RefCell::default(),
            stop: Notify::new(),
            walks_away: Cell::new(false),
            change_port: Notify::new(),
        }
    }

    /// The same host, waiting to be dialled.
    pub(crate) fn waiting(self) -> Host {
        Host { dials: None, ..self }
    }

    /// The same host, with room for few events, and an application that takes none for `length` after it
    /// has taken `count` messages.
    pub(crate) fn pausing(self, count: usize, length: Duration) -> Host {
        Host { pause: Some((count, length)), outputs: 16, ..self }
    }

    /// What runs on the host, from a start to a stop or a crash.
    pub(crate) async fn run(self: Rc<Self>) -> turmoil::Result {
        let (link, replacements) = SimulatedLink::bind(self.port.get(), self.disk.clone()).await?;
        let setup = Setup {
            identity: self.identity.clone(),
            network: cast().network(),
            limits: Limits { outputs: self.outputs, ..Limits::SMALL },
            wall_error: Duration::from_secs(86_400),
        };
        let (runner, handle, events) = Runner::new(setup, vec![link], self.disk.clone())?;
        let mut running = tokio::task::spawn_local(runner.run());
        if let Some((name, port)) = self.dials {
            let at = SocketAddr::new(turmoil::lookup(name), port);
            let endpoints = vec![(LINK, address::to_addr(at))];
            let spec = PeerSpec { node: Some(self.peer), key: None, endpoints };
            handle.command(Command::AddPeer(spec)).await?;
        }
        tokio::select! {
            () = self.send_all(&handle) => unreachable!("it waits in the end"),
            () = self.take_all(&handle, events) => unreachable!("it waits in the end"),
            () = self.change_ports(replacements) => unreachable!("it waits in the end"),
            ended = &mut running => panic!("{}: the runner has stopped: {ended:?}", self.name),
            () = self.stop.notified() => {}
        }
        // Nobody takes its events any more by now.
        if !self.walks_away.get() {
            handle.shutdown().await;
        }
        running.await?.expect("the records come back");
        Ok(())
    }

    /// The disk waits while a burst is handed over: of its records, all but the first collect for one write.
    async fn send_all(&self, handle: &Handle) {
        while self.journal.borrow().begun < self.traffic.count {
            tokio::time::sleep(self.traffic.pause).await;
            let mut held = Some(self.disk.hold());
            for _ in 0..self.traffic.burst {
                let tag = self.journal.borrow().begun;
                self.journal.borrow_mut().begun += 1;
                while let Err(error) = handle.command(Command::Send(self.message(tag))).await {
                    held = None;
                    if self.disk.is_off() {
                        return std::future::pending().await;
                    }
                    let passes =
                        matches!(error, CommandError::Refused(Refused::QueueFull | Refused::UnknownPeer));
                    assert!(passes, "{}: message {tag}: {error}", self.name);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            drop(held);
        }
        std::future::pending().await
    }

    fn message(&self, tag: u64) -> Send {
        Send {
            to: self.peer,
            tag,
            delivery: self.traffic.delivery,
            class: Class::Normal,
            lifetime: None,
            payload: Bytes::from([&tag.to_le_bytes()[..], &[tag as u8; BODY_BYTES]].concat()),
        }
    }

    async fn take_all(&self, handle: &Handle, mut events: Events) {
        let mut unconfirmed = Vec::new();
        let mut pause = self.pause;
        self.journal.borrow_mut().begin_life();
        loop {
            let event = events.recv().await.expect("the node runs");
            if self.disk.is_off() {
                return std::future::pending().await;
            }
            let durable = self.journal.borrow_mut().note(self.name, event);
            unconfirmed.extend(durable);
            self.journal.borrow_mut().unconfirmed = unconfirmed.len();
            if unconfirmed.len() == CONFIRMED_TOGETHER {
                for (from, seq) in unconfirmed.drain(..) {
                    let confirmed = handle.command(Command::Consumed { from, seq }).await;
                    assert!(confirmed.is_ok() || self.disk.is_off(), "{}: {confirmed:?}", self.name);
                }
            }
            if let Some((count, length)) = pause
                && self.journal.borrow().taken.len() >= count
            {
                pause = None;
                tokio::time::sleep(length).await;
            }
        }
    }

    async fn change_ports(&self, replacements: mpsc::UnboundedSender<UdpSocket>) {
        loop {
            self.change_port.notified().await;
            let socket = link::bind(self.port.get()).await.expect("a free port");
            replacements.send(socket).expect("the link lives as long as its host");
        }
    }

    /// Whether it has sent everything, and taken everything that `other` has given away.
    pub(crate) fn is_done_with(&self, other: &Host) -> bool {
        let (ours, theirs) = (self.journal.borrow(), other.journal.borrow());
        ours.begun == self.traffic.count && theirs.accepted.iter().all(|tag| ours.taken.contains_key(tag))
    }

    /// Whether everything it sent was delivered and signed for.
    pub(crate) fn all_delivered(&self) -> bool {
        self.journal.borrow().delivered.len() as u64 == self.traffic.count
    }
}

impl Journal {
    /// The application was started: what it had in memory is gone.
    fn begin_life(&mut self) {
        self.unconfirmed = 0;
        self.receipts.clear();
    }

    /// Writes down an event. Gives who sent a durable message and its number: it wants to be confirmed.
    fn note(&mut self, name: &str, event: Event) -> Option<(NodeId, u64)> {
        match event {
            Event::PeerUp { .. } => self.ups += 1,
            Event::PeerDown { reason, .. } => self.downs.push(reason),
            Event::Path { .. } => {}
            Event::Message { from, delivery, seq, again, payload } => {
                let (tag, body) = payload.split_first_chunk::<8>().expect("a number");
                let tag = u64::from_le_bytes(*tag);
                assert_eq!(body, [tag as u8; BODY_BYTES], "{name}: message {tag}");
                if let Some(earlier) = self.taken.insert(tag, seq) {
                    assert!(again && earlier == seq, "{name}: message {tag} came twice: {earlier}, {seq}");
                    self.shown_again += 1;
                }
                return (delivery == Delivery::Durable).then_some((from, seq));
            }
            Event::Receipt { tag, outcome, .. } => match outcome {
                Outcome::Accepted => {
                    self.accepted.insert(tag);
                }
                Outcome::Delivered => {
                    self.accepted.insert(tag);
                    self.delivered.insert(tag);
                    assert!(self.receipts.insert(tag), "{name}: two receipts for message {tag}");
                }
                other => panic!("{name}: message {tag}: {other:?}"),
            },
            other => panic!("{name}: not expected: {other:?}"),
        }
        None
    }
}
