//! What the reader of an error of the system can do about it.
//!
//! "Permission denied" is where a phone call begins. A message that ends in the next step saves the
//! call; which step that is follows from the kind of the error alone.

use std::io::{Error, ErrorKind};

/// What to do about `error`, met while a file was made, read or written; without a full stop.
pub(crate) fn remedy(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "free some room",
        ErrorKind::FileTooLarge => "raise the limit on the size of files (ulimit -f)",
        ErrorKind::PermissionDenied => "give this user leave to read and write it and its folder",
        ErrorKind::ReadOnlyFilesystem => "choose a place that can be written, or mount it for writing",
        ErrorKind::NotFound => "make the folder first, or correct the path",
        ErrorKind::AlreadyExists
        | ErrorKind::IsADirectory
        | ErrorKind::NotADirectory
        | ErrorKind::InvalidInput => "correct the path: it must name a file in a folder",
        ErrorKind::ResourceBusy => "stop the process that uses it",
        // Whatever else the system says of a file is about the disk or what lies between.
        _ => "check the disk and the system's log",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the system numbers them on Linux and macOS.
    #[test]
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    fn what_the_system_says_often_has_a_step_of_its_own() {
        let (no_room, too_large, denied, read_only, missing) = (28, 27, 13, 30, 2);
        let remedies = [no_room, too_large, denied, read_only, missing]
            .map(|number| remedy(&Error::from_raw_os_error(number)));
        for (remedy, part) in remedies.iter().zip(["room", "ulimit", "leave", "mount", "folder first"]) {
            assert!(remedy.contains(part), "no `{part}` in `{remedy}`");
        }
        let input_output = 5;
        assert!(remedy(&Error::from_raw_os_error(input_output)).contains("check the disk"));
    }
}
