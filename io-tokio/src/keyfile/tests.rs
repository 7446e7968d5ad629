use super::*;
use proto_core::crypto::secret::Secret;
use proto_core::identity::{DeviceSecrets, RootKey, Validity};

const CHEAP: Cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };
const ENTROPY: [u8; ENTROPY_LEN] = [3; ENTROPY_LEN];

/// A folder of its own for each test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("thallus-keyfile-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Folder(path)
    }

    fn key(&self) -> PathBuf {
        self.0.join("keys/node.key")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.join("keys")).expect("the folder");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn secrets(number: u8) -> Secrets {
    let root = RootKey::new(&Secret::new([number; 32]));
    let device = DeviceSecrets::new(&Secret::new([number + 1; 32]), &Secret::new([number + 2; 32]));
    let certificate = root.certify(device.sign.public(), device.dh.public(), 1, Validity::ALWAYS);
    Secrets { root: Some(root), device: Some(device), certificate, network_keys: Vec::new() }
}

fn put(path: &Path, number: u8, existing: Existing) -> Result<(), FileError> {
    save(path, &secrets(number), b"passphrase", &ENTROPY, CHEAP, existing)
}

fn get(path: &Path, passphrase: &[u8]) -> Result<Secrets, FileError> {
    load(path, passphrase, CostLimit::TINY)
}

#[test]
fn what_was_saved_is_loaded_and_nobody_else_can_read_it() {
    let folder = Folder::new("round-trip");
    put(&folder.key(), 1, Existing::Keep).expect("saved");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder.key()), 0o600);
    assert_eq!(mode(folder.key().parent().expect("a folder")), 0o700);
    let node = |secrets: &Secrets| secrets.identity().expect("an identity").node();
    assert_eq!(node(&get(&folder.key(), b"passphrase").expect("loaded")), node(&secrets(1)));
    assert_eq!(folder.names(), ["node.key"], "nothing is left beside it");
}

#[test]
fn an_existing_file_is_kept_unless_asked() {
    let folder = Folder::new("existing");
    put(&folder.key(), 1, Existing::Keep).expect("saved");
    let before = fs::read(folder.key()).expect("there");
    assert!(matches!(put(&folder.key(), 2, Existing::Keep), Err(FileError::Exists(_))));
    assert_eq!(fs::read(folder.key()).expect("there"), before);
    // The same when it appears while the new one is being written.
    let late = write_whole(&folder.key(), Existing::Keep, |file| file.write_all(b"late"));
    assert!(matches!(late, Err(FileError::Exists(_))));
    assert_eq!(fs::read(folder.key()).expect("there"), before);
    put(&folder.key(), 2, Existing::Replace).expect("replaced");
    assert_ne!(fs::read(folder.key()).expect("there"), before);
    assert_eq!(folder.names(), ["node.key"]);
}

/// An identity that cannot be read must not be replaced by a new one.
#[test]
fn a_file_that_cannot_be_opened_stays_as_it_is() {
    let folder = Folder::new("unreadable");
    put(&folder.key(), 1, Existing::Keep).expect("saved");
    let good = fs::read(folder.key()).expect("there");
    let error = get(&folder.key(), b"wrong").expect_err("wrong passphrase");
    assert!(matches!(error, FileError::Contents { error: KeyFileError::WrongPassphrase, .. }));
    assert_eq!(fs::read(folder.key()).expect("there"), good);

    let mut damaged = good.clone();
    damaged[100] ^= 1;
    fs::write(folder.key(), &damaged).expect("damaged");
    let error = get(&folder.key(), b"passphrase").expect_err("damaged");
    assert!(error.to_string().contains("restore it from a backup"), "{error}");
    assert!(error.to_string().contains("node.key"), "{error}");
    assert!(matches!(put(&folder.key(), 2, Existing::Keep), Err(FileError::Exists(_))));
    assert_eq!(fs::read(folder.key()).expect("there"), damaged);

    fs::write(folder.key(), b"something else").expect("foreign");
    let error = get(&folder.key(), b"passphrase").expect_err("foreign");
    assert!(matches!(error, FileError::Contents { error: KeyFileError::NotAKeyFile, .. }));
    fs::write(folder.key(), vec![0; MAX_KEYFILE_BYTES * 2]).expect("long");
    assert!(get(&folder.key(), b"passphrase").is_err());
}

/// A node that was put back to an earlier version must not lose its identity.
#[test]
fn a_file_of_a_newer_version_is_refused_and_stays_as_it_is() {
    let folder = Folder::new("newer");
    put(&folder.key(), 1, Existing::Keep).expect("saved");
    // Magic, version and, at the end, the checksum are where every version has them.
    let mut newer = fs::read(folder.key()).expect("there");
    newer[8] = 2;
    let covered = newer.len() - 8;
    let sum = proto_core::crypto::hash::derive("thallus key file checksum v1", &[&newer[..covered]]);
    newer[covered..].copy_from_slice(&sum[..8]);
    fs::write(folder.key(), &newer).expect("written");
    let error = get(&folder.key(), b"passphrase").expect_err("newer");
    let expected = KeyFileError::NewerVersion { found: 2, known: 1 };
    assert!(matches!(&error, FileError::Contents { error, .. } if *error == expected), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("node.key: ") && text.ends_with("version 2, this software knows 1; update it"),
        "{text}"
    );
    assert!(matches!(put(&folder.key(), 2, Existing::Keep), Err(FileError::Exists(_))));
    assert_eq!(fs::read(folder.key()).expect("there"), newer);
}

#[test]
fn errors_name_the_file_and_the_remedy() {
    let folder = Folder::new("errors");
    let error = get(&folder.key(), b"").expect_err("missing");
    assert!(error.to_string().contains("node.key does not exist; check the name"), "{error}");
    put(&folder.key(), 1, Existing::Keep).expect("saved");
    fs::set_permissions(folder.key(), fs::Permissions::from_mode(0o644)).expect("opened to others");
    let error = get(&folder.key(), b"passphrase").expect_err("exposed");
    assert!(error.to_string().contains("mode 644"), "{error}");
    assert!(error.to_string().contains("chmod 600"), "{error}");
    let error = put(&folder.key(), 1, Existing::Keep).expect_err("exists");
    assert!(error.to_string().contains("node.key exists; choose another name"), "{error}");
    let error = put(&folder.key().join("below"), 1, Existing::Keep).expect_err("no folder");
    assert!(error.to_string().contains("node.key: cannot make this folder: "), "{error}");
    assert!(error.to_string().contains("; correct the path"), "{error}");
}

/// What the reader is told to do. A new variant has no entry and does not compile.
fn remedy_of(error: &KeyFileError) -> &'static str {
    match error {
        KeyFileError::NotAKeyFile => "; check the path",
        KeyFileError::NewerVersion { .. } => "; update it",
        KeyFileError::Corrupt(_) => "; restore it from a backup",
        KeyFileError::WrongPassphrase => "; try again",
        KeyFileError::TooCostly { .. } => "; open it on a larger machine",
        KeyFileError::OutOfMemory => "; free some",
        KeyFileError::OutOfRange(_) => "; put fewer keys into it",
    }
}

#[test]
fn whatever_is_wrong_with_the_contents_has_its_remedy() {
    let all = [
        KeyFileError::NotAKeyFile,
        KeyFileError::NewerVersion { found: 2, known: 1 },
        KeyFileError::Corrupt("checksum"),
        KeyFileError::WrongPassphrase,
        KeyFileError::TooCostly { memory_kib: 9, passes: 9 },
        KeyFileError::OutOfMemory,
        KeyFileError::OutOfRange("more than 64 network keys"),
    ];
    for error in all {
        let text = FileError::contents(Path::new("keys/node.key"))(error).to_string();
        assert!(text.starts_with("keys/node.key: "), "{text}");
        assert!(text.contains(remedy_of(&error)), "no `{}` in `{text}`", remedy_of(&error));
    }
}

/// A full disk in the middle of writing: the old file is whole and nothing is left beside it.
#[test]
fn a_full_disk_leaves_the_old_file() {
    let folder = Folder::new("full");
    put(&folder.key(), 1, Existing::Keep).expect("saved");
    let before = fs::read(folder.key()).expect("there");
    let full = |file: &mut File| {
        file.write_all(b"THALL")?;
        Err(io::Error::from(io::ErrorKind::StorageFull))
    };
    let error = write_whole(&folder.key(), Existing::Replace, full).expect_err("full");
    assert!(error.to_string().contains("cannot write it: "), "{error}");
    assert!(error.to_string().ends_with("; free some room"), "{error}");
    assert_eq!(fs::read(folder.key()).expect("there"), before);
    assert_eq!(folder.names(), ["node.key"]);
}
