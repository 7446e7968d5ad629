//! What survives a restart.

pub mod record;
