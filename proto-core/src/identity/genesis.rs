//! How a network began: the charter whose hash is the network's name.

use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;
use prost::Message as _;

use super::endorsed::MAX_AUTHORITIES;
use super::error::IdentityError;
use super::signed::{bytes32, check_version, decode};
use super::wire;
use crate::crypto::sign::check_key;

/// The longest name of a network or of one of its parameters, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 64;
/// The most parameters a network can set.
pub const MAX_PARAMETERS: usize = 32;
/// The largest genesis record: 32 keys, 32 parameters with names of 64 bytes, and the rest.
const MAX_GENESIS_BYTES: usize = 8192;

/// A network's charter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Genesis {
    /// What people call it, 1 to [`MAX_NAME_BYTES`] bytes.
    pub name: String,
    /// Ed25519 keys that act for the network together, all different, at most [`MAX_AUTHORITIES`].
    pub authorities: Vec<[u8; 32]>,
    /// How many different ones must sign together; 1 to all, or 0 in an open network without any.
    pub threshold: u32,
    /// Whether nodes need a membership certificate and the network's key.
    pub closed: bool,
    /// Settings that all its nodes share, ascending by name, each once, at most [`MAX_PARAMETERS`].
    pub parameters: Vec<(String, u64)>,
    /// Random bytes that set two networks of one name apart.
    pub salt: [u8; 16],
}

impl Genesis {
    /// The record's bytes. Keep these: the network's name is their hash.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`] when a rule stated at the fields is broken.
    pub fn encode(&self) -> Result<Bytes, IdentityError> {
        self.check()?;
        let parameter = |(name, value): &(String, u64)| wire::Parameter { name: name.clone(), value: *value };
        let record = wire::Genesis {
            version: 1,
            name: self.name.clone(),
            authorities: self.authorities.iter().map(|key| key.to_vec()).collect(),
            threshold: self.threshold,
            closed: self.closed,
            parameters: self.parameters.iter().map(parameter).collect(),
            salt: self.salt.to_vec(),
        };
        Ok(record.encode_to_vec().into())
    }

    /// Reads a record and checks every rule stated at the fields.
    ///
    /// # Errors
    /// [`IdentityError::Malformed`] or [`IdentityError::NewerVersion`].
    pub fn decode(bytes: &[u8]) -> Result<Genesis, IdentityError> {
        if bytes.len() > MAX_GENESIS_BYTES {
            return Err(IdentityError::Malformed("genesis record too long"));
        }
        let record: wire::Genesis = decode(bytes, "genesis")?;
        check_version(record.version, "genesis record")?;
        if record.authorities.len() > MAX_AUTHORITIES || record.parameters.len() > MAX_PARAMETERS {
            return Err(IdentityError::Malformed("too many authorities or parameters"));
        }
        let key = |key: &Vec<u8>| bytes32(key, "authority is not 32 bytes");
        let genesis = Genesis {
            name: record.name,
            authorities: record.authorities.iter().map(key).collect::<Result<_, _>>()?,
            threshold: record.threshold,
            closed: record.closed,
            parameters: record.parameters.into_iter().map(|p| (p.name, p.value)).collect(),
            salt: record
                .salt
                .as_slice()
                .try_into()
                .map_err(|_| IdentityError::Malformed("salt is not 16 bytes"))?,
        };
        genesis.check()?;
        Ok(genesis)
    }

    /// The value of a parameter.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<u64> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    fn check(&self) -> Result<(), IdentityError> {
        let name_fits = |name: &String| (1..=MAX_NAME_BYTES).contains(&name.len());
        let ascending = self.parameters.iter().zip(self.parameters.iter().skip(1)).all(|(a, b)| a.0 < b.0);
        let distinct = self
            .authorities
            .iter()
            .enumerate()
            .all(|(place, key)| self.authorities.iter().take(place).all(|earlier| earlier != key));
        let usable = self.authorities.iter().all(|key| check_key(key).is_ok());
        let count = u32::try_from(self.authorities.len()).unwrap_or(u32::MAX);
        let threshold_fits = if count == 0 {
            self.threshold == 0 && !self.closed
        } else {
            (1..=count).contains(&self.threshold)
        };
        let rules = [
            (name_fits(&self.name), "name must have 1 to 64 bytes"),
            (self.authorities.len() <= MAX_AUTHORITIES, "more than 32 authorities"),
            (distinct, "an authority is listed twice"),
            (usable, "an authority's key is not usable"),
            (threshold_fits, "threshold must be 1 to the number of authorities; a closed network needs one"),
            (self.parameters.len() <= MAX_PARAMETERS, "more than 32 parameters"),
            (
                self.parameters.iter().all(|(name, _)| name_fits(name)),
                "a parameter's name must have 1 to 64 bytes",
            ),
            (ascending, "parameters must ascend by name, each once"),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, why)) => Err(IdentityError::Malformed(why)),
            None => Ok(()),
        }
    }
}
