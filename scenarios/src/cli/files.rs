//! The files that a command reads and writes.
//!
//! A slip of the hand, `replay plan.toml --trace plan.toml`, must not cost the plan. No file is emptied
//! before everything that can be refused has been looked at, and no file is both read and written, or
//! written twice, under whatever spelling.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::fail::Usage;

/// A file with the part it plays: `--trace`, `the plan` and so on.
pub(super) type Part<'a> = (&'static str, &'a Path);

/// Refuses a file to be written that is read, or written for something else, by the same command.
///
/// # Errors
/// Names both parts.
pub(super) fn apart(read: &[Part<'_>], written: &[Part<'_>]) -> Result<(), Usage> {
    for (at, (part, path)) in written.iter().enumerate() {
        let others = || read.iter().chain(&written[..at]);
        if let Some((other, _)) = others().find(|(_, other)| same_file(path, other)) {
            return Err(Usage::new(
                format!("{part} would write over {other}"),
                path.display().to_string(),
                "choose another file",
            ));
        }
        if is_standard_output(path) {
            return Err(Usage::new(
                format!("{part} and standard output are one file"),
                path.display().to_string(),
                "choose another file",
            ));
        }
    }
    Ok(())
}

/// Whether both paths lead to one file, there already or not. Devices and pipes keep nothing that could be
/// written over.
pub(super) fn same_file(a: &Path, b: &Path) -> bool {
    match (a.metadata(), b.metadata()) {
        (Ok(one), Ok(two)) => one.is_file() && two.is_file() && (same_place(a, b) || same_inode(&one, &two)),
        _ => same_place(a, b),
    }
}

fn same_place(a: &Path, b: &Path) -> bool {
    matches!((place(a), place(b)), (Some(one), Some(two)) if one == two)
}

/// The one path among all that lead there. The file itself need not be there.
fn place(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok().or_else(|| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(folder.canonicalize().ok()?.join(path.file_name()?))
    })
}

/// Two names in a folder may be one file.
#[cfg(unix)]
fn same_inode(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn same_inode(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    false
}

#[cfg(unix)]
fn is_standard_output(path: &Path) -> bool {
    use std::os::fd::AsFd;
    let out = io::stdout().as_fd().try_clone_to_owned().and_then(|fd| File::from(fd).metadata());
    matches!((path.metadata(), out), (Ok(one), Ok(two)) if one.is_file() && same_inode(&one, &two))
}

#[cfg(not(unix))]
fn is_standard_output(_: &Path) -> bool {
    false
}

pub(super) fn read_file(path: &Path, what: &str) -> Result<Vec<u8>, Usage> {
    fs::read(path).map_err(|error| {
        Usage::new(
            format!("cannot read the {what}: {error}"),
            path.display().to_string(),
            "give a file that exists and can be read",
        )
    })
}

pub(super) fn read_text(path: &Path, what: &str) -> Result<String, Usage> {
    String::from_utf8(read_file(path, what)?).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Usage::new(
            format!("the {what} is not UTF-8 at byte {at}"),
            path.display().to_string(),
            "save it as UTF-8 text",
        )
    })
}

pub(super) fn cannot_write(path: &Path, error: &io::Error) -> Usage {
    let remedy = "choose a place that can be written and has room";
    Usage::new(format!("cannot write: {error}"), path.display().to_string(), remedy)
}

/// Opens a file to be written anew without emptying it yet: [`empty`] does that, once nothing can be refused
/// any more. That it can be written is known now, before hours of work.
pub(super) fn open_file(path: &Path) -> Result<File, Usage> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    options.open(path).map_err(|error| cannot_write(path, &error))
}

/// Empties a file that [`open_file`] opened. A pipe or a device has nothing to be emptied of.
pub(super) fn empty(path: &Path, file: &File) -> Result<(), Usage> {
    let regular = file.metadata().map(|kind| kind.is_file());
    regular
        .and_then(|regular| if regular { file.set_len(0) } else { Ok(()) })
        .map_err(|error| cannot_write(path, &error))
}

/// Writes a file that must appear whole or not at all. Nothing else is touched, whatever its name.
pub(super) fn write_file(path: &Path, text: &str) -> Result<(), Usage> {
    if path.metadata().is_ok_and(|kind| !kind.is_file()) {
        // A pipe or a device is written as it is; a folder refuses by itself.
        return fs::write(path, text).map_err(|error| cannot_write(path, &error));
    }
    let cannot = |error| cannot_write(path, &error);
    let (beside, mut file) = create_beside(path).map_err(cannot)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&beside);
        cannot(error)
    })
}

/// A new file beside `path`, with its name and this process's number in its own. A name that is taken, by
/// whatever it may be, is passed over.
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let mut taken = 0;
    loop {
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".new-{}-{taken}", std::process::id()));
        match File::create_new(&beside) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && taken < 100 => taken += 1,
            created => return created.map(|file| (PathBuf::from(beside), file)),
        }
    }
}
