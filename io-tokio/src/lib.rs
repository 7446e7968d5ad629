//! The tokio shell.

pub mod keyfile;
