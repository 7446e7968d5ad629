//! What a board has to offer to keep records.

use alloc::collections::BTreeMap;

use proto_core::store::record::{Key, Record};

/// A place for records, written while the caller waits. Flash takes milliseconds: the turn that writes
/// lasts that much longer, and no datagram is answered meanwhile.
pub trait Records {
    /// What can go wrong.
    type Error;

    /// Makes one record durable. [`Record::Erased`] removes what its key names.
    ///
    /// # Errors
    /// Whatever the memory said. The node stops using it for good.
    fn write(&mut self, record: &Record) -> Result<(), Self::Error>;

    /// The record with this key.
    fn read(&mut self, key: &Key) -> Option<Record>;
}

/// Records that last until the power goes: for nodes that send nothing durable, and for tests.
#[derive(Clone, Debug, Default)]
pub struct VolatileRecords(BTreeMap<Key, Record>);

impl VolatileRecords {
    /// Every record that counts.
    pub fn iter(&self) -> impl Iterator<Item = &Record> {
        self.0.values()
    }
}

impl Records for VolatileRecords {
    type Error = core::convert::Infallible;

    fn write(&mut self, record: &Record) -> Result<(), Self::Error> {
        match record {
            Record::Erased { key } => self.0.remove(key),
            live => self.0.insert(live.key(), live.clone()),
        };
        Ok(())
    }

    fn read(&mut self, key: &Key) -> Option<Record> {
        self.0.get(key).cloned()
    }
}
