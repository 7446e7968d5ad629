//! One thin module for each primitive. They know keys and bytes, and nothing of the protocol: which
//! context strings exist, and what a signature means, is decided above.

pub mod aead;
pub mod dh;
pub mod hash;
pub mod hpke;
pub mod noise;
pub mod password;
pub mod secret;
pub mod sign;

#[cfg(test)]
mod tests;
