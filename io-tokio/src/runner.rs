//! The loop that owns a `Node` and lets it meet the world.
//!
//! One task, one node, no locks. It waits for whichever comes first: a datagram, a command, a finished
//! write, or the moment the node named; hands it in; and carries out everything the node then asks for.
//!
//! - Writes are grouped: while one sync is under way (on a blocking thread), further records collect
//!   and go into the next one. The node itself holds back what depends on them.
//! - An application that does not take its events stops the node from being asked for more; the node
//!   then drops datagrams at its door, as a full socket would. What waits is bounded, in number and in bytes.
//! - A link that fails is announced as down and left out; it never stops the others.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use proto_core::crypto::sign::Verifier;
use proto_core::identity::{LocalIdentity, Network};
use proto_core::ids::{Addr, LinkId, NodeId, Ticket};
use proto_core::limits::Limits;
use proto_core::node::{
    Boot, BootError, Command, Event, Input, LinkState, Node, Output, Refused, Status, Transmit, VERSIONS,
};
use proto_core::store::record::{Key, Record};
use proto_core::time::{Instant, WallTime};
use proto_core::wake::Wake;
use proto_core::zoo::Zoo;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Duration, Instant as Clock};

use crate::events::{Events, Outlet};
use crate::link::{Link, LinkReport};
use crate::records::Records;
use crate::udp::UdpLink;

/// Datagrams handed to the node before its outputs are looked at again: enough that a full socket
/// buffer is answered by few acknowledgements, few enough that answers are not late.
const BATCH: usize = 64;

/// Commands that wait for the node.
const COMMANDS: usize = 256;

/// What helps when the thread that wrote the records died.
const REMEDY: &str = "start the node again: what was confirmed is safe";

/// How often the calendar time is told again, in case somebody has set the clock.
const WALL_CLOCK_EVERY: Duration = Duration::from_secs(600);

/// What a node is started from.
#[derive(Debug)]
pub struct Setup {
    /// Who this device is.
    pub identity: LocalIdentity,
    /// The network it belongs to.
    pub network: Network,
    /// Its sizes.
    pub limits: Limits,
    /// How wrong this machine's calendar may be. A day is a safe guess without time service.
    pub wall_error: Duration,
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The system gives no random numbers, so no key would be secret.
    #[error("no entropy from the system: {0}")]
    Entropy(getrandom::Error),
    /// The node refused its settings.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The node refused a link.
    #[error("link {id}: {refused}")]
    Link {
        /// The link's number.
        id: u16,
        /// Why.
        refused: Refused,
    },
}

/// Why a running node does not do what was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommandError {
    /// The node said no.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The node has been stopped.
    #[error("the node is not running")]
    Stopped,
}

/// Why nothing is stored any more: what the place of the records said, with place and remedy.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct StorageError(String);

/// How a node, its links and its records are doing.
#[derive(Clone, Debug)]
pub struct Report {
    /// The node.
    pub status: Status,
    /// Its links; those that are out of use come last, as they were at their end.
    pub links: Vec<LinkReport>,
    /// Why nothing is stored any more; `None` while all is well. It was told as
    /// [`Event::StorageFailed`], and only a new start mends it.
    pub storage: Option<StorageError>,
}

enum Request {
    Command(Command, oneshot::Sender<Result<(), Refused>>),
    Status(oneshot::Sender<Report>),
    Shutdown,
}

/// The way to a running node. When the last one is dropped, the node stops.
#[derive(Clone, Debug)]
pub struct Handle {
    node: NodeId,
    requests: mpsc::Sender<Request>,
}

impl Handle {
    /// Who the node is.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Asks the node to do something; waits until it was taken or refused.
    ///
    /// # Errors
    /// [`CommandError::Refused`] means that nothing has changed.
    pub async fn command(&self, command: Command) -> Result<(), CommandError> {
        let (answer, result) = oneshot::channel();
        let request = Request::Command(command, answer);
        self.requests.send(request).await.map_err(|_| CommandError::Stopped)?;
        Ok(result.await.map_err(|_| CommandError::Stopped)??)
    }

    /// How the node, its links and its records are doing.
    ///
    /// # Errors
    /// Only when it is not running.
    pub async fn status(&self) -> Result<Report, CommandError> {
        let (answer, result) = oneshot::channel();
        self.requests.send(Request::Status(answer)).await.map_err(|_| CommandError::Stopped)?;
        result.await.map_err(|_| CommandError::Stopped)
    }

    /// Asks the node to stop: what is to be written will be written, then [`Runner::run`] returns.
    pub async fn shutdown(&self) {
        // An error means that it has stopped already, which is what was asked for.
        let _ = self.requests.send(Request::Shutdown).await;
    }
}

/// What a write gives back.
#[derive(Debug)]
struct Written<R> {
    records: R,
    /// Everything up to this ticket is durable, or why not.
    result: std::io::Result<Ticket>,
    read: Vec<(Ticket, Option<Record>)>,
}

/// A write under way on a blocking thread.
type Writing<R> = JoinHandle<Written<R>>;

/// A node with its links and records. All its links are of one kind; an enum of kinds is a kind too.
#[derive(Debug)]
pub struct Runner<R, L = UdpLink> {
    node: Node,
    begun: Clock,
    wall_error: Duration,
    links: Vec<L>,
    /// Which link is asked first, so that a busy one does not starve the others.
    turn: usize,
    requests: mpsc::Receiver<Request>,
    events: Outlet,
    /// The event that the application has no room for yet. Until it has, the node is asked for nothing.
    held: Option<Event>,
    /// `None` while a write is under way.
    records: Option<R>,
    writing: Option<Writing<R>>,
    to_write: Vec<Record>,
    to_read: Vec<(Ticket, Key)>,
    /// The ticket of the last record in `to_write`.
    last_ticket: Ticket,
    /// Why nothing is written any more.
    storage: Option<StorageError>,
    /// The node was not asked to the end.
    more: bool,
    /// The last reports of links that are out of use.
    broken: Vec<LinkReport>,
    buf: Vec<u8>,
}

impl<R: Records, L: Link> Runner<R, L> {
    /// A node that is ready to run, the way to it, and its events.
    ///
    /// # Errors
    /// See [`StartError`]. Must be called within a tokio runtime.
    pub fn new(setup: Setup, links: Vec<L>, records: R) -> Result<(Self, Handle, Events), StartError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(StartError::Entropy)?;
        let boot = Boot {
            identity: setup.identity,
            network: setup.network,
            records: records.all(),
            versions: VERSIONS,
            zoo: Zoo::none(),
            verifier: Verifier::default(),
        };
        let mut node = Node::new(boot, seed, setup.limits.clone(), Instant::ZERO)?;
        for link in &links {
            let state = LinkState::Up(link.info());
            node.handle(Instant::ZERO, Input::LinkChanged { link: link.id(), state })
                .map_err(|refused| StartError::Link { id: link.id().0, refused })?;
        }
        let (to_node, requests) = mpsc::channel(COMMANDS);
        let (events, to_application) = Outlet::new(&setup.limits);
        let handle = Handle { node: node.id(), requests: to_node };
        let runner = Runner {
            node,
            begun: Clock::now(),
            wall_error: setup.wall_error,
            links,
            turn: 0,
            requests,
            events,
            held: None,
            records: Some(records),
            writing: None,
            to_write: Vec::new(),
            to_read: Vec::new(),
            last_ticket: Ticket::default(),
            storage: None,
            more: false,
            broken: Vec::new(),
            buf: vec![0; 65_536],
        };
        Ok((runner, handle, to_application))
    }

    /// Runs until it is told to stop, or nobody is left to tell it or to take its events. Then its peers
    /// are told, and it gives the records back when all that was to be written is.
    ///
    /// # Errors
    /// Something could not be written, during the run or at its end.
    pub async fn run(mut self) -> Result<R, StorageError> {
        let mut wall_clock = tokio::time::interval(WALL_CLOCK_EVERY);
        loop {
            self.carry_out();
            let due = self.due();
            tokio::select! {
                received = poll_fn(|cx| poll_links(&mut self.links, &mut self.turn, &mut self.buf, cx)) => {
                    self.received(received);
                }
                request = self.requests.recv() => match request {
                    Some(Request::Shutdown) | None => break,
                    Some(request) => self.answer(request),
                },
                () = self.events.closed() => break,
                () = self.events.hand_over(&mut self.held) => {}
                written = finished(&mut self.writing) => self.written(written),
                () = tokio::time::sleep_until(due.unwrap_or_else(Clock::now)), if due.is_some() => {
                    self.input(Input::Wake);
                }
                _ = wall_clock.tick() => self.tell_wall_clock(),
            }
        }
        self.input(Input::Command(Command::Shutdown));
        self.finish().await
    }

    fn now(&self) -> Instant {
        Instant::from_micros(u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// When the node wants to be woken; `None` for not at all. It has to wait for the application while
    /// an event is held: woken earlier, it would ask for the same moment again.
    fn due(&self) -> Option<Clock> {
        match self.node.next_wake() {
            _ if self.held.is_some() => None,
            _ if self.more => Some(Clock::now()),
            Wake::Now => Some(Clock::now()),
            Wake::At(at, _) => self.begun.checked_add(Duration::from_micros(at.as_micros())),
            Wake::Idle => None,
        }
    }

    fn input(&mut self, input: Input<'_>) {
        // Only commands and links are refused; a command has its own way (`answer`), and a link that
        // goes down was announced before.
        let _ = self.node.handle(self.now(), input);
    }

    /// Hands in a datagram and those that arrived behind it.
    fn received(&mut self, first: Received) {
        self.hand_in(first);
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 1..BATCH {
            match poll_links(&mut self.links, &mut self.turn, &mut self.buf, &mut cx) {
                Poll::Ready(next) => self.hand_in(next),
                Poll::Pending => return,
            }
        }
    }

    fn hand_in(&mut self, received: Received) {
        match received {
            Received::Datagram { link, len, from } => {
                let now = self.now();
                let bytes = self.buf.get(..len).unwrap_or_default();
                // A datagram is never refused: it is acted on, or counted in the status.
                let _ = self.node.handle(now, Input::Datagram { link, from, bytes });
            }
            Received::Broken { link } => {
                if let Some(index) = self.links.iter().position(|known| known.id() == link) {
                    self.broken.push(self.links.remove(index).report());
                }
                self.input(Input::LinkChanged { link, state: LinkState::Down });
            }
        }
    }

    fn answer(&mut self, request: Request) {
        // Whoever asked may have gone meanwhile; then nobody misses the answer.
        match request {
            Request::Command(command, answer) => {
                let result = self.node.handle(self.now(), Input::Command(command));
                let _ = answer.send(result);
            }
            Request::Status(answer) => {
                let working = self.links.iter().map(L::report);
                let links = working.chain(self.broken.iter().cloned()).collect();
                let (status, storage) = (self.node.status(), self.storage.clone());
                let _ = answer.send(Report { status, links, storage });
            }
            Request::Shutdown => {}
        }
    }

    fn tell_wall_clock(&mut self) {
        let error_us = u64::try_from(self.wall_error.as_micros()).unwrap_or(u64::MAX);
        if let Some(unix_us) = unix_micros() {
            self.input(Input::WallClock(WallTime { unix_us, error_us }));
        }
    }

    /// Does what the node asks for, until it asks for nothing, the application has no room, or it is
    /// time to look at the sockets again.
    fn carry_out(&mut self) {
        self.more = false;
        for turn in 0.. {
            if self.held.is_some() {
                break;
            }
            if turn == BATCH {
                self.more = true;
                break;
            }
            match self.node.poll(self.now(), &mut self.buf) {
                Some(Output::Transmit(transmit)) => self.transmit(&transmit),
                Some(Output::Store { ticket, record }) => {
                    self.last_ticket = ticket;
                    self.to_write.push(record);
                }
                Some(Output::Load { ticket, key }) => self.to_read.push((ticket, key)),
                Some(Output::Event(event)) => {
                    self.held = self.events.try_send(event).err();
                }
                None => break,
            }
        }
        self.start_writing();
    }

    fn transmit(&mut self, transmit: &Transmit) {
        let Some(link) = self.links.iter_mut().find(|link| link.id() == transmit.link) else { return };
        let bytes = self.buf.get(..transmit.len).unwrap_or_default();
        for datagram in bytes.chunks(transmit.segment.max(1)) {
            link.send(&transmit.to, datagram);
        }
    }

    /// Starts one write of everything that waits, unless one is under way.
    fn start_writing(&mut self) {
        if self.to_write.is_empty() && self.to_read.is_empty() {
            return;
        }
        let Some(mut records) = self.records.take() else { return };
        let to_write = std::mem::take(&mut self.to_write);
        let to_read = std::mem::take(&mut self.to_read);
        let up_to = self.last_ticket;
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let result = if to_write.is_empty() { Ok(()) } else { records.append(&to_write) };
            let read = to_read.into_iter().map(|(ticket, key)| (ticket, records.get(&key))).collect();
            Written { records, result: result.map(|()| up_to), read }
        }));
    }

    fn written(&mut self, written: Result<Written<R>, JoinError>) {
        self.writing = None;
        let written = match written {
            Ok(written) => written,
            // The records are gone with the thread: nothing can be written any more.
            Err(error) => return self.storage_failed(format!("cannot write the records: {error}; {REMEDY}")),
        };
        self.records = Some(written.records);
        match written.result {
            Ok(up_to) => self.input(Input::Stored { up_to }),
            Err(error) => self.storage_failed(error.to_string()),
        }
        for (ticket, record) in written.read {
            self.input(Input::Loaded { ticket, record });
        }
    }

    /// The first failure is the one that counts: what has collected meanwhile is not written behind a gap.
    fn storage_failed(&mut self, why: String) {
        self.to_write.clear();
        self.storage.get_or_insert(StorageError(why));
        self.input(Input::StoreFailed);
    }

    /// Writes what is left and sends what that allows. Events that nobody took are dropped.
    async fn finish(mut self) -> Result<R, StorageError> {
        self.requests.close();
        self.events = Outlet::nowhere();
        loop {
            self.held = None;
            self.carry_out();
            if self.more {
                continue;
            }
            if self.writing.is_none() {
                return match self.storage {
                    Some(why) => Err(why),
                    // Without a write under way they are here; they are only lost with a reason.
                    None => self.records.ok_or_else(|| StorageError(format!("no records; {REMEDY}"))),
                };
            }
            let written = finished(&mut self.writing).await;
            self.written(written);
        }
    }
}

/// Something that came in by a link.
enum Received {
    Datagram { link: LinkId, len: usize, from: Addr },
    Broken { link: LinkId },
}

/// The next datagram of any link, each link in turn.
fn poll_links<L: Link>(
    links: &mut [L],
    turn: &mut usize,
    buf: &mut [u8],
    cx: &mut Context<'_>,
) -> Poll<Received> {
    let count = links.len();
    for step in 0..count {
        let index = turn.wrapping_add(step) % count;
        let Some(link) = links.get_mut(index) else { continue };
        if let Poll::Ready(received) = link.poll_receive(cx, buf) {
            *turn = index + 1;
            return Poll::Ready(match received {
                Ok((len, from)) => Received::Datagram { link: link.id(), len, from },
                Err(_) => Received::Broken { link: link.id() },
            });
        }
    }
    Poll::Pending
}

/// The end of the write under way; never, when there is none.
async fn finished<R>(writing: &mut Option<Writing<R>>) -> Result<Written<R>, JoinError> {
    match writing {
        Some(writing) => writing.await,
        None => std::future::pending().await,
    }
}

/// The one place where this shell reads the calendar. `None` for a clock beyond the year 292,000.
#[expect(clippy::disallowed_methods, reason = "the shell's one reading, handed in with its error bound")]
fn unix_micros() -> Option<i64> {
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).ok(),
        Err(before) => i64::try_from(before.duration().as_micros()).ok().map(|us| -us),
    }
}
