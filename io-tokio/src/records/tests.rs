use super::*;
use bytes::Bytes;
use proto_core::ids::{DeviceId, NodeId};

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("thallus-records-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("records")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

const PEER: NodeId = NodeId([7; 32]);

fn incoming(seq: u64, len: usize) -> Record {
    Record::Incoming { peer: PEER, device: DeviceId(PEER.0), seq, payload: Bytes::from(vec![seq as u8; len]) }
}

fn three_writes(path: &Path) -> Vec<Record> {
    let mut records = FileRecords::open(path).unwrap();
    records.append(&[Record::Boot { count: 1 }, incoming(1, 10)]).unwrap();
    records.append(&[incoming(2, 20), Record::Erased { key: Key::Incoming(PEER, 1) }]).unwrap();
    records.append(&[Record::Boot { count: 2 }]).unwrap();
    records.all()
}

#[test]
fn what_was_appended_is_there_after_opening_again() {
    let folder = Folder::new("again");
    let written = three_writes(&folder.file());
    assert_eq!(written, vec![Record::Boot { count: 2 }, incoming(2, 20)]);
    let records = FileRecords::open(&folder.file()).unwrap();
    assert_eq!(records.all(), written);
    assert_eq!(records.get(&Key::Incoming(PEER, 1)), None);
    assert_eq!(records.get(&Key::Incoming(PEER, 2)), Some(incoming(2, 20)));
}

/// Cut anywhere, the file holds a prefix of its writes, each of them whole, and can be written on.
#[test]
fn a_torn_write_is_no_write() {
    let folder = Folder::new("torn");
    three_writes(&folder.file());
    let whole = std::fs::read(folder.file()).unwrap();
    for cut in (0..whole.len()).rev().step_by(3) {
        std::fs::write(folder.file(), &whole[..cut]).unwrap();
        let mut records = FileRecords::open(&folder.file()).unwrap();
        let before = records.all();
        let boots = before.iter().filter(|record| matches!(record, Record::Boot { .. })).count();
        assert_eq!(before.len(), 2 * boots, "cut at {cut}: {before:?}");
        records.append(&[Record::Boot { count: 9 }]).unwrap();
        let after = records.all();
        drop(records);
        assert_eq!(FileRecords::open(&folder.file()).unwrap().all(), after, "cut at {cut}");
    }
}

#[test]
fn damage_before_the_end_is_refused_and_nothing_is_changed() {
    let folder = Folder::new("damage");
    three_writes(&folder.file());
    let whole = std::fs::read(folder.file()).unwrap();
    let Split::Whole(_, second) = split_batch(&whole) else { panic!("no first write") };
    let second_at = whole.len() - second.len();
    for byte in 0..second_at {
        let mut damaged = whole.clone();
        damaged[byte] ^= 0x10;
        std::fs::write(folder.file(), &damaged).unwrap();
        let error = FileRecords::open(&folder.file()).unwrap_err();
        assert!(matches!(error, RecordsError::Corrupt { offset: 0, .. }), "byte {byte}: {error}");
        assert_eq!(std::fs::read(folder.file()).unwrap(), damaged);
    }
}

#[test]
fn a_second_process_is_refused() {
    let folder = Folder::new("lock");
    let first = FileRecords::open(&folder.file()).unwrap();
    assert!(matches!(FileRecords::open(&folder.file()), Err(RecordsError::InUse { .. })));
    drop(first);
    FileRecords::open(&folder.file()).unwrap();
}

#[test]
fn a_long_file_of_little_is_copied() {
    let folder = Folder::new("compact");
    let mut records = FileRecords::open(&folder.file()).unwrap();
    records.append(&[Record::Boot { count: 3 }]).unwrap();
    for seq in 0..40 {
        let erased = Record::Erased { key: Key::Incoming(PEER, seq) };
        records.append(&[incoming(seq, 60_000), erased]).unwrap();
    }
    let len = std::fs::metadata(folder.file()).unwrap().len();
    assert!(len < SLACK_BYTES + 200_000, "{len} bytes for one record");
    assert!(matches!(FileRecords::open(&folder.file()), Err(RecordsError::InUse { .. })));
    drop(records);
    assert_eq!(FileRecords::open(&folder.file()).unwrap().all(), vec![Record::Boot { count: 3 }]);
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("mode");
    FileRecords::open(&folder.file()).unwrap();
    assert_eq!(std::fs::metadata(folder.file()).unwrap().permissions().mode() & 0o777, 0o600);
}
