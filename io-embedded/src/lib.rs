//! The embedded shell.
