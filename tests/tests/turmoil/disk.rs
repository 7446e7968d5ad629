//! A disk that outlives the host it is in, and the host's power, which can fail in the middle of a write.
//!
//! A write cannot be left half done by stopping its thread: turmoil stops a host between two steps, when
//! no write is under way. So the write ends with an error, and the host is silent from that moment on:
//! its link carries nothing, and its application writes nothing down.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use io_tokio::{MemoryRecords, Records};
use proto_core::store::record::{Key, Record};

/// Every clone is the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<(Mutex<Platter>, Condvar)>);

#[derive(Debug, Default)]
struct Platter {
    /// Writes wait.
    held: bool,
    records: MemoryRecords,
    writes: u64,
    failure: Option<Failure>,
}

/// When the power fails, and what becomes of the write of that moment.
#[derive(Clone, Copy, Debug)]
struct Failure {
    at_write: u64,
    kept: bool,
}

/// As long as this lives, writes wait. No virtual time passes while one does.
#[derive(Debug)]
pub(crate) struct Held(Disk);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.platter().held = false;
        self.0.0.1.notify_all();
    }
}

impl Disk {
    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn hold(&self) -> Held {
        self.platter().held = true;
        Held(self.clone())
    }

    /// The power fails in the `count`-th write from now. That write is on the disk or not, as `kept` says;
    /// whoever wrote it does not learn which. Until [`Disk::power_on`] nothing more is written, and nothing
    /// leaves the host.
    pub(crate) fn fail_in_write(&self, count: u64, kept: bool) {
        let mut platter = self.platter();
        platter.failure = Some(Failure { at_write: platter.writes + count, kept });
    }

    pub(crate) fn is_off(&self) -> bool {
        let platter = self.platter();
        platter.failure.is_some_and(|failure| platter.writes >= failure.at_write)
    }

    pub(crate) fn power_on(&self) {
        self.platter().failure = None;
    }
}

impl Records for Disk {
    fn all(&self) -> Vec<Record> {
        self.platter().records.all()
    }

    fn get(&self, key: &Key) -> Option<Record> {
        self.platter().records.get(key)
    }

    fn append(&mut self, records: &[Record]) -> io::Result<()> {
        let waiting = self.0.1.wait_while(self.platter(), |platter| platter.held);
        let mut platter = waiting.unwrap_or_else(PoisonError::into_inner);
        platter.writes += 1;
        let Some(failure) = platter.failure.filter(|failure| platter.writes >= failure.at_write) else {
            return platter.records.append(records);
        };
        if failure.kept && platter.writes == failure.at_write {
            platter.records.append(records)?;
        }
        Err(io::Error::other("the power has failed"))
    }
}
