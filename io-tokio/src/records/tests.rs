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

/// One write as it stands in a file, of records that were encoded elsewhere.
fn write_of(records: &[&[u8]]) -> Vec<u8> {
    let framed = |record: &&[u8]| [&(record.len() as u32).to_le_bytes(), *record].concat();
    let body: Vec<u8> = records.iter().flat_map(framed).collect();
    let len = body.len() as u32;
    [&len.to_le_bytes()[..], &(!len).to_le_bytes(), &body].concat()
}

/// A record as a later version may write it: version 2, its own checksum, contents that nobody here knows.
fn of_version_two() -> Vec<u8> {
    let body = b"whatever it may be";
    let sum = proto_core::crypto::hash::derive("thallus record checksum v1", &[&[2], body]);
    [&[2], &sum[..8], body].concat()
}

/// A node that was put back to an earlier version must not take the end of its file for a torn write and
/// cut it off.
#[test]
fn a_record_of_a_newer_version_is_refused_with_its_place_and_nothing_is_changed() {
    let folder = Folder::new("newer");
    three_writes(&folder.file());
    let known = std::fs::read(folder.file()).unwrap();
    let boot = Record::Boot { count: 3 }.encode();
    let newer = write_of(&[&boot, &of_version_two()]);
    let more = write_of(&[&boot]);
    let cases = [
        (0, newer.clone()),
        (known.len(), [&known[..], &newer].concat()),
        (known.len(), [&known[..], &newer, &more].concat()),
    ];
    for (place, bytes) in cases {
        std::fs::write(folder.file(), &bytes).unwrap();
        let error = FileRecords::open(&folder.file()).unwrap_err();
        let RecordsError::NewerVersion { offset, .. } = &error else { panic!("{error}") };
        assert_eq!(*offset, place as u64);
        let text = error.to_string();
        assert!(text.starts_with(&folder.file().display().to_string()), "{text}");
        assert!(
            text.contains(&format!("at byte {place} ")) && text.ends_with("; run that version"),
            "{text}"
        );
        assert_eq!(std::fs::read(folder.file()).unwrap(), bytes);
    }
    // The same frame around known records is read: what was refused is the version alone.
    std::fs::write(folder.file(), [known, more].concat()).unwrap();
    assert!(FileRecords::open(&folder.file()).unwrap().all().contains(&Record::Boot { count: 3 }));
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

/// Writes until the file would be copied, and says how the last write went.
fn write_until_copied(records: &mut FileRecords) -> io::Result<()> {
    (0..40).try_for_each(|seq| {
        let erased = Record::Erased { key: Key::Incoming(PEER, seq) };
        records.append(&[incoming(seq, 60_000), erased])
    })
}

#[test]
fn no_two_ledgers_share_the_name_of_a_copy() {
    let folder = Folder::new("copies");
    let (alice, bob) = (folder.0.join("records.alice"), folder.0.join("records.bob"));
    // What a power cut left of one's copy is nothing to the other.
    std::fs::write(folder.0.join("records.new"), b"not ours").unwrap();
    for path in [&alice, &bob] {
        let mut records = FileRecords::open(path).unwrap();
        records.append(&[Record::Boot { count: 3 }]).unwrap();
        write_until_copied(&mut records).unwrap();
        assert!(std::fs::metadata(path).unwrap().len() < SLACK_BYTES + 200_000);
    }
    assert_eq!(std::fs::read(folder.0.join("records.new")).unwrap(), b"not ours");
    assert_ne!(copy_path(&alice), copy_path(&bob));
}

#[test]
fn a_ledger_cannot_have_the_name_of_a_copy() {
    let folder = Folder::new("named");
    let path = folder.0.join("records.new");
    assert!(matches!(FileRecords::open(&path), Err(RecordsError::NameOfCopy { .. })));
    assert!(!path.exists());
    FileRecords::open(&folder.0.join("new")).unwrap();
}

#[test]
fn a_copy_that_somebody_has_open_is_left_as_it_is() {
    let folder = Folder::new("taken");
    let copy = copy_path(&folder.file());
    std::fs::write(&copy, b"somebody writes here").unwrap();
    let theirs = File::open(&copy).unwrap();
    theirs.lock().unwrap();
    let mut records = FileRecords::open(&folder.file()).unwrap();
    let error = write_until_copied(&mut records).unwrap_err();
    assert!(error.to_string().contains("in use by another process"), "{error}");
    assert_eq!(std::fs::read(&copy).unwrap(), b"somebody writes here");
    drop(theirs);
    // Nothing that was reported durable is lost, and the next start copies.
    drop(records);
    let mut records = FileRecords::open(&folder.file()).unwrap();
    write_until_copied(&mut records).unwrap();
    assert!(!copy.exists());
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("mode");
    FileRecords::open(&folder.file()).unwrap();
    assert_eq!(std::fs::metadata(folder.file()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn errors_name_the_file_and_the_remedy() {
    let path = || PathBuf::from("/var/node/records");
    let source = || io::Error::from(io::ErrorKind::StorageFull);
    let all = [
        (RecordsError::Open { path: path(), source: source() }, "free some room"),
        (RecordsError::Write { path: path(), source: source() }, "free some room and start the node again"),
        (RecordsError::TooMuch { path: path() }, "smaller limits"),
        (RecordsError::Stopped { path: path() }, "start the node again"),
        (RecordsError::InUse { path: path() }, "stop that one first"),
        (RecordsError::NameOfCopy { path: path() }, "choose another name"),
        (RecordsError::Corrupt { path: path(), offset: 7 }, "restore it from a copy"),
        (RecordsError::NewerVersion { path: path(), offset: 7 }, "run that version"),
    ];
    for (error, remedy) in all {
        let text = error.to_string();
        assert!(text.contains("/var/node/records"), "{text}");
        assert!(text.contains(remedy), "no `{remedy}` in `{text}`");
    }
    let folder = Folder::new("place");
    let error = FileRecords::open(&folder.0.join("missing/records")).unwrap_err().to_string();
    assert!(error.contains("missing/records: ") && error.contains("make the folder first"), "{error}");
    let error = FileRecords::open(&folder.0).unwrap_err().to_string();
    assert!(error.contains("must name a file"), "{error}");
}

/// Set for the part of the next test that runs under a limit.
#[cfg(unix)]
const LIMITED: &str = "THALLUS_TEST_LIMITED_RECORDS";

/// A file that may not grow is the full disk that needs no disk: `ulimit -f` in a process of its own.
/// The limit counts for all that process writes, so it runs this one test again and nothing else.
#[test]
#[cfg(unix)]
fn a_full_disk_is_said_with_place_and_remedy_and_costs_nothing_that_was_confirmed() {
    const NAME: &str =
        "records::tests::a_full_disk_is_said_with_place_and_remedy_and_costs_nothing_that_was_confirmed";
    if let Some(path) = std::env::var_os(LIMITED) {
        return fill_the_disk(Path::new(&path));
    }
    let folder = Folder::new("full");
    FileRecords::open(&folder.file()).unwrap().append(&[Record::Boot { count: 1 }]).unwrap();
    // Ignored, the signal becomes an error of the write.
    let script = "trap '' XFSZ; ulimit -f 64; exec \"$0\" --exact \"$1\" --nocapture";
    let output = std::process::Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(NAME)
        .env(LIMITED, folder.file())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let confirmed = text.lines().find_map(|line| line.strip_prefix("confirmed ")?.parse::<u64>().ok());
    let confirmed = confirmed.unwrap_or_else(|| panic!("it ran: {text}"));
    assert!(confirmed > 0);
    // The next start finds what was confirmed, no more, and goes on.
    let mut records = FileRecords::open(&folder.file()).unwrap();
    for seq in 0..confirmed {
        assert_eq!(records.get(&Key::Incoming(PEER, seq)), Some(incoming(seq, 3_000)));
    }
    assert_eq!(records.all().len() as u64, confirmed + 1);
    records.append(&[Record::Boot { count: 2 }]).unwrap();
}

#[cfg(unix)]
fn fill_the_disk(path: &Path) {
    let mut records = FileRecords::open(path).unwrap();
    let mut confirmed = 0;
    let error = loop {
        match records.append(&[incoming(confirmed, 3_000)]) {
            Ok(()) => confirmed += 1,
            Err(error) => break error.to_string(),
        }
        assert!(confirmed < 1_000, "there is no limit");
    };
    println!("\nconfirmed {confirmed}");
    let place = format!("cannot write {}: ", path.display());
    assert!(error.starts_with(&place) && error.contains("os error 27"), "{error}");
    assert!(
        error.contains("; raise the limit") && error.contains("start the node again: what was"),
        "{error}"
    );
    let again = records.append(&[Record::Boot { count: 9 }]).unwrap_err().to_string();
    assert!(again.starts_with(&place) && again.contains("an earlier write failed; start"), "{again}");
}
