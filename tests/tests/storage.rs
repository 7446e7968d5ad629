//! A server's node whose records cannot be written: it says so, says why, and stops whatever needs them.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc as blocking};
use std::time::Duration;

use bytes::Bytes;
use io_tokio::{Events, Handle, MemoryRecords, Records, Runner, Setup, StorageError, UdpLink};
use proto_core::ids::LinkId;
use proto_core::limits::Limits;
use proto_core::node::{Class, Command, Delivery, Event, PeerSpec, Refused, Send};
use proto_core::store::record::{Key, Record};
use tests::cast::cast;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Far longer than any of these takes: a test that hangs fails, and a busy machine does not matter.
const LONG: Duration = Duration::from_secs(120);

const WHY: &str = "cannot write the clay tablet: it is full; bake another one";

/// How a write goes wrong.
#[derive(Clone, Copy)]
enum Trouble {
    Error,
    Panic,
}

/// Records that take the first write, in which a node counts its start, and none after it. The second
/// waits for the end of `told` before it fails.
struct Tablet {
    records: MemoryRecords,
    writes: Arc<AtomicU64>,
    trouble: Trouble,
    told: blocking::Receiver<()>,
}

impl Records for Tablet {
    fn all(&self) -> Vec<Record> {
        self.records.all()
    }

    fn get(&self, key: &Key) -> Option<Record> {
        self.records.get(key)
    }

    fn append(&mut self, records: &[Record]) -> io::Result<()> {
        if self.writes.fetch_add(1, Ordering::SeqCst) == 0 {
            return self.records.append(records);
        }
        // Nothing is ever told; it ends.
        let _ = self.told.recv();
        match self.trouble {
            Trouble::Error => Err(io::Error::other(WHY)),
            Trouble::Panic => panic!("the tablet broke"),
        }
    }
}

struct Party {
    handle: Handle,
    events: Events,
    writes: Arc<AtomicU64>,
    tell: Option<blocking::Sender<()>>,
    task: JoinHandle<Result<Tablet, StorageError>>,
}

fn start(trouble: Trouble) -> Party {
    let link = UdpLink::bind(LinkId(0), "127.0.0.1:0".parse().unwrap()).unwrap();
    let setup = Setup {
        identity: cast().alice.clone(),
        network: cast().network(),
        limits: Limits::SMALL,
        wall_error: Duration::from_secs(86_400),
    };
    let writes = Arc::new(AtomicU64::new(0));
    let (tell, told) = blocking::channel();
    let records = Tablet { records: MemoryRecords::default(), writes: writes.clone(), trouble, told };
    let (runner, handle, events) = Runner::new(setup, vec![link], records).unwrap();
    Party { handle, events, writes, tell: Some(tell), task: tokio::spawn(runner.run()) }
}

impl Party {
    /// Asks for something that has to be written down first.
    async fn send_durably(&self, tag: u64) -> Result<(), io_tokio::runner::CommandError> {
        let to = cast().bob.node();
        let (delivery, class) = (Delivery::Durable, Class::Normal);
        let send = Send { to, tag, delivery, class, lifetime: None, payload: Bytes::from_static(b"clay") };
        self.handle.command(Command::Send(send)).await
    }

    /// Lets a write fail while records collect for the next, and gives what the status then says.
    async fn fail(&mut self) -> StorageError {
        let spec = PeerSpec { node: Some(cast().bob.node()), key: None, endpoints: Vec::new() };
        self.handle.command(Command::AddPeer(spec)).await.unwrap();
        while self.writes.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(self.handle.status().await.unwrap().storage, None);
        self.send_durably(1).await.unwrap();
        self.send_durably(2).await.unwrap();
        // Asked after the command, it has done by now what the command made it do.
        assert_eq!(self.handle.status().await.unwrap().storage, None);
        self.tell = None;
        while self.events.recv().await.expect("the node runs") != Event::StorageFailed {}
        self.handle.status().await.unwrap().storage.expect("a reason")
    }

    async fn stop(self) -> Result<Tablet, StorageError> {
        self.handle.shutdown().await;
        self.task.await.unwrap()
    }
}

#[tokio::test]
async fn a_failed_write_is_told_with_its_reason_and_nothing_is_written_after_it() {
    timeout(LONG, async {
        let mut party = start(Trouble::Error);
        assert_eq!(party.fail().await.to_string(), WHY);
        let refused = party.send_durably(3).await.unwrap_err();
        assert_eq!(refused, Refused::NoStorage.into());
        let writes = party.writes.clone();
        let error = party.stop().await.err().expect("not all was written");
        assert_eq!(error.to_string(), WHY);
        assert_eq!(writes.load(Ordering::SeqCst), 2);
    })
    .await
    .expect("in time");
}

#[tokio::test]
async fn a_write_that_panics_is_told_with_its_reason() {
    timeout(LONG, async {
        let mut party = start(Trouble::Panic);
        let text = party.fail().await.to_string();
        for part in
            ["cannot write the records: ", "the tablet broke", "; start the node again: what was confirmed"]
        {
            assert!(text.contains(part), "no `{part}` in `{text}`");
        }
        assert_eq!(party.stop().await.err().map(|error| error.to_string()), Some(text));
    })
    .await
    .expect("in time");
}
