//! What is said on standard output.
//!
//! A result that went into a full disk looks like one that was delivered, unless somebody says so. Lines are
//! printed from many places, also from within a sweep's threads, where nobody can return an error; so the
//! first failure is kept here, and the command asks for it once before it ends.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use crate::fail::Usage;

/// The first write to standard output that failed.
static FAILED: Mutex<Option<io::Error>> = Mutex::new(None);

/// Prints one line on standard output.
pub(super) fn print(line: &str) {
    note(writeln!(io::stdout().lock(), "{line}"));
}

/// Says one line on standard error. When that cannot be written there is nobody left to tell, and the exit code
/// still says how it went.
pub(super) fn tell(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Prints one JSON document on standard output.
pub(super) fn print_json(value: &impl serde::Serialize) {
    // Every type given here has string keys and finite numbers.
    print(&serde_json::to_string_pretty(value).unwrap_or_else(|error| format!("{{\"error\": \"{error}\"}}")));
}

/// Remembers a write to standard output that failed. A reader that has gone away is no failure: it has heard
/// what it wanted to hear, as `head` has.
pub(super) fn note(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
    {
        FAILED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// Writes out what is left.
///
/// # Errors
/// When anything that was printed did not get through.
pub(super) fn finish() -> Result<(), Usage> {
    note(io::stdout().lock().flush());
    match FAILED.lock().unwrap_or_else(PoisonError::into_inner).take() {
        None => Ok(()),
        Some(error) => Err(Usage::new(
            format!("cannot write all that there is to say: {error}"),
            "standard output",
            "send it to a place that can be written and has room",
        )),
    }
}

/// Whether standard error may carry colour and bars.
pub(super) fn decorated() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// The word, coloured when that is seen by a person.
pub(super) fn paint(word: &str, good: bool) -> String {
    if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        format!("\x1b[{}m{word}\x1b[0m", if good { 32 } else { 31 })
    } else {
        word.to_owned()
    }
}
