//! Where records go.
//!
//! A shopkeeper's ledger: every change is a new line at the end, the last line about a thing is the
//! one that counts, and from time to time the ledger is copied with only the lines that count. What a
//! power cut leaves half written at the end is no line at all (its checksum or length says so) and is
//! cut off; damage anywhere else is never repaired by guessing: the start is refused and says where.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use proto_core::node::RejectReason;
use proto_core::store::record::{Key, Record};

use crate::remedy::remedy;

/// A place for records. Calls may block; the runner makes them outside its own task.
pub trait Records: Send + 'static {
    /// Every record that counts, in any order.
    fn all(&self) -> Vec<Record>;
    /// The record with this key.
    fn get(&self, key: &Key) -> Option<Record>;
    /// Makes these durable, all or an error. After an error nothing more is written: it is not called again.
    ///
    /// # Errors
    /// Whatever the disk said, with place and remedy: it is what the operator will read.
    fn append(&mut self, records: &[Record]) -> io::Result<()>;
}

/// Records that last as long as this value: for tests, and for nodes that send nothing durable.
#[derive(Clone, Debug, Default)]
pub struct MemoryRecords(BTreeMap<Key, Record>);

impl MemoryRecords {
    fn apply(&mut self, record: &Record) {
        match record {
            Record::Erased { key } => self.0.remove(key),
            live => self.0.insert(live.key(), live.clone()),
        };
    }
}

impl Records for MemoryRecords {
    fn all(&self) -> Vec<Record> {
        self.0.values().cloned().collect()
    }

    fn get(&self, key: &Key) -> Option<Record> {
        self.0.get(key).cloned()
    }

    fn append(&mut self, records: &[Record]) -> io::Result<()> {
        records.iter().for_each(|record| self.apply(record));
        Ok(())
    }
}

/// Why a file of records cannot be used. What was reported durable is in it still.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// The system refused to open or read it.
    #[error("cannot open {path}: {source}; {}", remedy(source))]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system refused to write it, or its copy.
    #[error("cannot write {path}: {source}; {} and start the node again: {SAFE}", remedy(source))]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// More than 4 GiB of records in one write, or in all.
    #[error("cannot write {path}: more than 4 GiB at once; start the node again with smaller limits: {SAFE}")]
    TooMuch {
        /// Which file.
        path: PathBuf,
    },
    /// A write has failed before, and what of it is on the disk is unknown until the file is read again.
    #[error("cannot write {path}: an earlier write failed; start the node again: {SAFE}")]
    Stopped {
        /// Which file.
        path: PathBuf,
    },
    /// Another process has it open: two nodes with one memory would answer for each other.
    #[error("{path}: in use by another process; stop that one first")]
    InUse {
        /// Which file.
        path: PathBuf,
    },
    /// Its name is one that copies of files of records bear: such a file would be overwritten.
    #[error("{path}: names that end in .new are for copies of records; choose another name")]
    NameOfCopy {
        /// Which file.
        path: PathBuf,
    },
    /// Damaged before its end, so not by a power cut.
    #[error("{path}: damaged at byte {offset}; restore it from a copy, or move it away to start anew")]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// Where the first bad record begins.
        offset: u64,
    },
    /// Written by a later version of this software.
    #[error("{path}: record at byte {offset} was written by a newer version; run that version")]
    NewerVersion {
        /// Which file.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
    },
}

/// What a failed write does not touch.
const SAFE: &str = "what was confirmed is safe";

/// Records in one append-only file, one sync for each call of `append`. What counts is in memory too.
#[derive(Debug)]
pub struct FileRecords {
    path: PathBuf,
    file: File,
    len: u64,
    live: MemoryRecords,
    broken: bool,
}

/// A ledger is copied once it is this many bytes longer than four times what counts in it.
const SLACK_BYTES: u64 = 1 << 20;

/// What the name of a ledger's copy has more than the ledger's, until it takes the ledger's place.
const COPY_SUFFIX: &str = ".new";

/// Before each write: its length and the length's complement.
const HEADER_BYTES: usize = 8;

impl FileRecords {
    /// Opens the file, or makes an empty one that only its owner may read. Now and then it is copied to a
    /// file of the same name with `.new` behind it, which then takes its place; whatever a power cut left
    /// under that name is written over, so no file of records can be called that.
    ///
    /// # Errors
    /// See [`RecordsError`]; the file was not changed. A half-written last record is no error: it was never reported durable.
    pub fn open(path: &Path) -> Result<FileRecords, RecordsError> {
        if path.as_os_str().as_encoded_bytes().ends_with(COPY_SUFFIX.as_bytes()) {
            return Err(RecordsError::NameOfCopy { path: path.to_owned() });
        }
        let io = |source| RecordsError::Open { path: path.to_owned(), source };
        let mut file = open_private(path).map_err(io)?;
        if file.try_lock().is_err() {
            return Err(RecordsError::InUse { path: path.to_owned() });
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let mut live = MemoryRecords::default();
        let len = read_all(path, &bytes, &mut live)?;
        if len < bytes.len() as u64 {
            file.set_len(len).and_then(|()| file.sync_all()).map_err(io)?;
        }
        file.seek(SeekFrom::Start(len)).map_err(io)?;
        sync_folder(path).map_err(io)?;
        Ok(FileRecords { path: path.to_owned(), file, len, live, broken: false })
    }

    fn write(&mut self, records: &[Record]) -> Result<(), RecordsError> {
        let Some(bytes) = batch(records.iter()) else {
            return Err(RecordsError::TooMuch { path: self.path.clone() });
        };
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_data());
        written.map_err(|source| RecordsError::Write { path: self.path.clone(), source })?;
        self.len = self.len.saturating_add(bytes.len() as u64);
        records.iter().for_each(|record| self.live.apply(record));
        if self.len > SLACK_BYTES { self.compact() } else { Ok(()) }
    }

    /// Copies what counts into a new file and puts it in the old one's place, when that is worth it.
    fn compact(&mut self) -> Result<(), RecordsError> {
        let Some(bytes) = batch(self.live.0.values()) else {
            return Err(RecordsError::TooMuch { path: self.path.clone() });
        };
        if self.len <= SLACK_BYTES + 4 * bytes.len() as u64 {
            return Ok(());
        }
        let fresh = copy_path(&self.path);
        let copied = write_copy(&fresh, &bytes).and_then(|file| {
            std::fs::rename(&fresh, &self.path)?;
            sync_folder(&self.path)?;
            Ok(file)
        });
        self.file = copied.map_err(|source| RecordsError::Write { path: fresh, source })?;
        self.len = bytes.len() as u64;
        Ok(())
    }
}

impl Records for FileRecords {
    fn all(&self) -> Vec<Record> {
        self.live.all()
    }

    fn get(&self, key: &Key) -> Option<Record> {
        self.live.get(key)
    }

    fn append(&mut self, records: &[Record]) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other(RecordsError::Stopped { path: self.path.clone() }));
        }
        let result = self.write(records);
        self.broken = result.is_err();
        result.map_err(io::Error::other)
    }
}

/// Makes the copy and forces it to disk.
fn write_copy(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = open_private(path)?;
    // What somebody else has open is not ours to empty.
    if file.try_lock().is_err() {
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, "in use by another process"));
    }
    file.set_len(0)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(file)
}

/// One write as it stands in the file: its length, the length's complement, then each record after its
/// own length. Torn, it is torn as a whole. `None` for more than 4 GiB.
fn batch(records: impl Iterator<Item = impl std::borrow::Borrow<Record>>) -> Option<Vec<u8>> {
    let mut bytes = vec![0; HEADER_BYTES];
    for record in records {
        let encoded = record.borrow().encode();
        bytes.extend_from_slice(&u32::try_from(encoded.len()).ok()?.to_le_bytes());
        bytes.extend_from_slice(&encoded);
    }
    let len = u32::try_from(bytes.len() - HEADER_BYTES).ok()?;
    bytes[..4].copy_from_slice(&len.to_le_bytes());
    bytes[4..HEADER_BYTES].copy_from_slice(&(!len).to_le_bytes());
    Some(bytes)
}

/// Reads every whole write into `live` and says how far the file is good.
fn read_all(path: &Path, bytes: &[u8], live: &mut MemoryRecords) -> Result<u64, RecordsError> {
    let path = || path.to_owned();
    let mut rest = bytes;
    while !rest.is_empty() {
        let offset = (bytes.len() - rest.len()) as u64;
        let (records, after) = match split_batch(rest) {
            Split::Whole(records, after) => (records, after),
            Split::Torn => return Ok(offset),
            Split::Damaged => return Err(RecordsError::Corrupt { path: path(), offset }),
        };
        match decode_all(records) {
            Ok(records) => records.iter().for_each(|record| live.apply(record)),
            Err(RejectReason::Corrupt) if after.is_empty() => return Ok(offset),
            Err(RejectReason::Corrupt) => return Err(RecordsError::Corrupt { path: path(), offset }),
            Err(RejectReason::NewerVersion) => {
                return Err(RecordsError::NewerVersion { path: path(), offset });
            }
        }
        rest = after;
    }
    Ok(bytes.len() as u64)
}

enum Split<'a> {
    Whole(&'a [u8], &'a [u8]),
    Torn,
    Damaged,
}

/// Splits the first write from the rest. A file that ends too early, or in zeros that a file system put
/// in the place of what it had not written yet, is torn; a length that contradicts itself is damage.
fn split_batch(bytes: &[u8]) -> Split<'_> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return Split::Torn };
    let [a, b, c, d, e, f, g, h] = *header;
    let len = u32::from_le_bytes([a, b, c, d]);
    if u32::from_le_bytes([e, f, g, h]) != !len {
        return if bytes.iter().all(|byte| *byte == 0) { Split::Torn } else { Split::Damaged };
    }
    match usize::try_from(len).ok().and_then(|len| rest.split_at_checked(len)) {
        Some((records, after)) => Split::Whole(records, after),
        None => Split::Torn,
    }
}

fn decode_all(mut bytes: &[u8]) -> Result<Vec<Record>, RejectReason> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let (len, rest) = bytes.split_first_chunk::<4>().ok_or(RejectReason::Corrupt)?;
        let len = usize::try_from(u32::from_le_bytes(*len)).map_err(|_| RejectReason::Corrupt)?;
        let (record, rest) = rest.split_at_checked(len).ok_or(RejectReason::Corrupt)?;
        records.push(Record::decode(record)?);
        bytes = rest;
    }
    Ok(records)
}

fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// The copy's name: all of the ledger's, so that no two ledgers of a folder share it.
fn copy_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(COPY_SUFFIX);
    PathBuf::from(name)
}

/// A new name is durable once its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    #[cfg(unix)]
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

#[cfg(test)]
mod tests;
