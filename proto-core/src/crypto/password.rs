//! Argon2id (RFC 9106): makes guessing a passphrase cost memory and time.

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroize;

use super::secret::Secret;

/// Length in bytes of the salt (RFC 9106, section 3.1, recommends 16).
pub const SALT_LEN: usize = 16;

/// What one guess costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cost {
    /// Memory in KiB; at least 8 for each lane.
    pub memory_kib: u32,
    /// Passes over the memory, at least 1.
    pub passes: u32,
    /// Lanes, 1 to 255. Computed one after another here; more lanes cost no more memory.
    pub lanes: u8,
}

impl Cost {
    /// RFC 9106, section 4, second recommended option: 64 MiB, 3 passes, 4 lanes.
    pub const RECOMMENDED: Cost = Cost { memory_kib: 64 * 1024, passes: 3, lanes: 4 };
    /// For a device with little memory: 64 KiB, and passes to make up for part of it. A guess: about
    /// as many block operations as 16 MiB in one pass would take.
    pub const TINY: Cost = Cost { memory_kib: 64, passes: 256, lanes: 1 };
}

/// Why no key was derived.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StretchError {
    /// Argon2 does not allow this cost or this length of passphrase.
    #[error("Argon2 parameters out of range")]
    OutOfRange,
    /// The memory could not be had.
    #[error("not enough memory for Argon2")]
    OutOfMemory,
}

/// The key that belongs to `passphrase` and `salt` at this `cost`. Takes as long as `cost` says.
///
/// # Errors
/// [`StretchError`]; nothing was derived then.
pub fn stretch(passphrase: &[u8], salt: &[u8; SALT_LEN], cost: Cost) -> Result<Secret, StretchError> {
    let params = Params::new(cost.memory_kib, cost.passes, u32::from(cost.lanes), Some(32))
        .map_err(|_| StretchError::OutOfRange)?;
    let mut key = [0; 32];
    let outcome = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase, salt, &mut key);
    let secret = Secret::new(key);
    key.zeroize();
    match outcome {
        Ok(()) => Ok(secret),
        Err(argon2::Error::OutOfMemory) => Err(StretchError::OutOfMemory),
        Err(_) => Err(StretchError::OutOfRange),
    }
}
