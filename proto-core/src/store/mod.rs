//! What survives a restart.

mod encoding;
pub mod record;
#[allow(clippy::all, missing_docs, unreachable_pub)]
#[rustfmt::skip]
mod wire;

#[cfg(test)]
mod tests;
