//! A closed network's keys: three epochs at most, so that a change locks nobody out.
//!
//! A new key reaches members over days, some of them by radio. So each member holds the three newest it has seen, accepts any of them from others, and uses one
//! for its own handshakes: the oldest at first, a newer one as soon as a member proves in a handshake
//! that it uses that one, or the operator says so, and never one older than the second newest. With
//! keys 1, 2 and 3 there are thus a previous, a current and a next one.
//!
//! The authorities can retire old epochs at once. Which keys are held does not depend on the order in
//! which they arrive, so it is the same after a restart. Which one is used may differ then; since
//! every member accepts all that it holds, that does no harm.

use alloc::vec::Vec;

use super::error::IdentityError;
use super::revocations::Source;
use crate::crypto::hash::derive;
use crate::crypto::secret::Secret;
use crate::ids::NetworkId;

/// One epoch's key with what sessions derive from it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct EpochKey {
    epoch: u32,
    key: Secret,
    source: Source,
    psk: Secret,
    hello: Secret,
}

impl EpochKey {
    fn new(network: &NetworkId, epoch: u32, key: Secret, source: Source) -> EpochKey {
        let input: [&[u8]; 3] = [&network.0, &epoch.to_le_bytes(), key.expose()];
        let psk = Secret::new(derive("thallus session psk v1", &input));
        let hello = Secret::new(derive("thallus hello key v1", &input));
        EpochKey { epoch, key, source, psk, hello }
    }
}

/// The most keys held at once.
const HELD: usize = 3;

/// The keys a node holds for its network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NetworkKeys {
    network: NetworkId,
    /// Newest first, at least one, at most [`HELD`].
    held: Vec<EpochKey>,
    /// The epoch of one of them.
    sending: u32,
    /// Epochs below this were retired.
    floor: u32,
}

impl NetworkKeys {
    /// The key of an open network: epoch 0, all zeros, the same for everybody.
    #[must_use]
    pub fn open(network: NetworkId) -> NetworkKeys {
        NetworkKeys::new(network, 0, Secret::new([0; 32]))
    }

    /// Holds one key.
    #[must_use]
    pub fn new(network: NetworkId, epoch: u32, key: Secret) -> NetworkKeys {
        let held = alloc::vec![EpochKey::new(&network, epoch, key, None)];
        NetworkKeys { network, held, sending: epoch, floor: 0 }
    }

    /// Takes over a key, and drops those of epochs below `retire_below`. Returns whether anything
    /// changed.
    ///
    /// # Errors
    /// [`IdentityError::Stale`] when the epoch was retired, is older than the three newest, or is held
    /// with another key. Nothing has changed then.
    pub fn install(&mut self, epoch: u32, key: Secret, retire_below: u32) -> Result<bool, IdentityError> {
        Ok(self.install_from(epoch, key, retire_below, None)?.is_some())
    }

    /// As [`NetworkKeys::install`], remembering the statement it came from. `None` when nothing
    /// changed; else the sources of what is held no longer, [`HELD`] at most.
    pub(super) fn install_from(
        &mut self,
        epoch: u32,
        key: Secret,
        retire_below: u32,
        source: Source,
    ) -> Result<Option<Vec<[u8; 32]>>, IdentityError> {
        let retire_below = retire_below.min(epoch);
        let mut dropped = Vec::new();
        if let Some(known) = self.held.iter_mut().find(|known| known.epoch == epoch) {
            if known.key != key {
                return Err(IdentityError::Stale);
            }
            if retire_below <= self.floor {
                return Ok(None);
            }
            dropped.extend(core::mem::replace(&mut known.source, source));
        } else {
            if self.is_past(epoch) {
                return Err(IdentityError::Stale);
            }
            self.held.push(EpochKey::new(&self.network, epoch, key, source));
            self.held.sort_by_key(|known| core::cmp::Reverse(known.epoch));
        }
        self.floor = self.floor.max(retire_below);
        while self.held.last().is_some_and(|oldest| self.held.len() > HELD || oldest.epoch < self.floor) {
            dropped.extend(self.held.pop().and_then(|oldest| oldest.source));
        }
        let second = self.held.get(1).or(self.held.first()).map_or(self.sending, |known| known.epoch);
        self.sending = self.sending.max(second);
        Ok(Some(dropped))
    }

    /// Whether the key of this epoch will never be held again: it was retired, or three newer ones are held.
    pub(super) fn is_past(&self, epoch: u32) -> bool {
        let oldest = self.held.last().map_or(0, |oldest| oldest.epoch);
        epoch < self.floor || (self.held.len() >= HELD && epoch < oldest)
    }

    /// A member has proved in a handshake that it uses `epoch`: if we hold that and use an older one,
    /// we change to it. Returns whether that happened.
    pub fn heard(&mut self, epoch: u32) -> bool {
        let newer = epoch > self.sending && self.held.iter().any(|known| known.epoch == epoch);
        if newer {
            self.sending = epoch;
        }
        newer
    }

    /// Uses the newest key from now on.
    pub fn promote(&mut self) {
        if let Some(newest) = self.held.first() {
            self.sending = newest.epoch;
        }
    }

    fn get(&self, epoch: u32) -> Option<&EpochKey> {
        self.held.iter().find(|known| known.epoch == epoch)
    }

    /// The epoch that our own handshakes use.
    #[must_use]
    pub fn sending_epoch(&self) -> u32 {
        self.sending
    }

    /// The epochs that are accepted from others, newest first.
    pub fn acceptable_epochs(&self) -> impl Iterator<Item = u32> + '_ {
        self.held.iter().map(|known| known.epoch)
    }

    /// What enters the Noise handshake as pre-shared key; `None` when the epoch is not held.
    #[must_use]
    pub fn psk(&self, epoch: u32) -> Option<&[u8; 32]> {
        self.get(epoch).map(|known| known.psk.expose())
    }

    /// What keys the tag by which a handshake's first packet shows its network; `None` when the
    /// epoch is not held.
    #[must_use]
    pub fn hello_key(&self, epoch: u32) -> Option<&[u8; 32]> {
        self.get(epoch).map(|known| known.hello.expose())
    }

    /// Every key held, newest first, to be kept in the key file.
    pub fn export(&self) -> impl Iterator<Item = (u32, &Secret)> {
        self.held.iter().map(|known| (known.epoch, &known.key))
    }
}
