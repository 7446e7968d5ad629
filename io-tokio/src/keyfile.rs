//! The key file on disk: readable by its owner alone, replaced as a whole or not at all.
//!
//! Whoever writes a fresh identity over one that cannot be read has lost it. Here nothing that exists is
//! ever replaced unless the caller says so, loading never writes, and a save that fails half way (a
//! full disk, a power cut) leaves the old file as it was: the new bytes go to a second file in the
//! same folder, are forced to disk, and only then take the name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use proto_core::crypto::password::Cost;
use proto_core::identity::keyfile::{
    CostLimit, ENTROPY_LEN, KeyFileError, MAX_KEYFILE_BYTES, Secrets, open, seal,
};

use crate::remedy::remedy;

/// What to do when the file exists already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Existing {
    /// Fail, and leave it as it is.
    Keep,
    /// Replace it. For a changed passphrase or a new certificate, never for an unreadable file.
    Replace,
}

/// Why a key file was not saved or loaded. The file on disk is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Saving would replace a file.
    #[error("{} exists; choose another name, or move it away if you are sure", .0.display())]
    Exists(PathBuf),
    /// There is no such file.
    #[error("{} does not exist; check the name, or create an identity first", .0.display())]
    Missing(PathBuf),
    /// Others can read or write it.
    #[error("{} can be read by others (mode {mode:o}); run: chmod 600 {}", path.display(), path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The contents cannot be used.
    #[error("{}: {error}", path.display())]
    Contents {
        /// Which file.
        path: PathBuf,
        /// Why, with the remedy.
        error: KeyFileError,
    },
    /// The disk or the system refused.
    #[error("{}: cannot {action}: {error}; {}", path.display(), remedy(error))]
    System {
        /// Which file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        error: io::Error,
    },
}

impl FileError {
    fn system(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> FileError {
        move |error| FileError::System { path: path.to_owned(), action, error }
    }

    fn contents(path: &Path) -> impl FnOnce(KeyFileError) -> FileError {
        move |error| FileError::Contents { path: path.to_owned(), error }
    }
}

/// Seals `secrets` and puts them under `path` with mode 600. A missing folder is made with mode 700.
/// `entropy` is fresh random bytes from the system. Blocks for as long as `cost` says.
///
/// # Errors
/// [`FileError`]; what was there before is unchanged.
pub fn save(
    path: &Path,
    secrets: &Secrets,
    passphrase: &[u8],
    entropy: &[u8; ENTROPY_LEN],
    cost: Cost,
    existing: Existing,
) -> Result<(), FileError> {
    if existing == Existing::Keep && path.symlink_metadata().is_ok() {
        return Err(FileError::Exists(path.to_owned()));
    }
    let bytes = seal(secrets, passphrase, entropy, cost).map_err(FileError::contents(path))?;
    write_whole(path, existing, |file| file.write_all(&bytes))
}

/// Loads what [`save`] has written. Never writes.
///
/// # Errors
/// [`FileError`], which names the file and what to do.
pub fn load(path: &Path, passphrase: &[u8], limit: CostLimit) -> Result<Secrets, FileError> {
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => FileError::Missing(path.to_owned()),
        _ => FileError::system(path, "open it")(error),
    })?;
    let mode =
        file.metadata().map_err(FileError::system(path, "read its mode"))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(FileError::Exposed { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    // One byte more than any key file has: enough to see that it is too long.
    let most = MAX_KEYFILE_BYTES as u64 + 1;
    file.take(most).read_to_end(&mut bytes).map_err(FileError::system(path, "read it"))?;
    open(&bytes, passphrase, limit).map_err(FileError::contents(path))
}

/// Writes a file beside `path`, forces it to disk, and gives it the name.
fn write_whole(
    path: &Path,
    existing: Existing,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), FileError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(FileError::system(folder, "make this folder"))?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let beside = folder.join(name);
    let outcome = write_beside(&beside, write).and_then(|()| publish(&beside, path, existing));
    if outcome.is_err() || existing == Existing::Keep {
        // After an error it is of no use; after linking it is a second name. Either way only the
        // remains of this call are removed, and failing to do so harms nobody.
        let _ = fs::remove_file(&beside);
    }
    outcome?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(FileError::system(folder, "force it to disk"))
}

fn write_beside(beside: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), FileError> {
    // Left over from an earlier process with our number that died: it was never given the name.
    let _ = fs::remove_file(beside);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(beside)
        .map_err(FileError::system(beside, "create it"))?;
    write(&mut file).map_err(FileError::system(beside, "write it"))?;
    file.sync_all().map_err(FileError::system(beside, "force it to disk"))
}

/// A rename replaces whatever has the name; a link fails if something has it by now.
fn publish(beside: &Path, path: &Path, existing: Existing) -> Result<(), FileError> {
    match existing {
        Existing::Replace => fs::rename(beside, path).map_err(FileError::system(path, "replace it")),
        Existing::Keep => fs::hard_link(beside, path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => FileError::Exists(path.to_owned()),
            _ => FileError::system(path, "give the new file this name")(error),
        }),
    }
}

#[cfg(test)]
mod tests;
