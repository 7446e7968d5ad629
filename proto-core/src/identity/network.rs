//! A network as one of its nodes knows it.

use bytes::Bytes;

use super::error::IdentityError;
use super::genesis::Genesis;
use super::network_keys::NetworkKeys;
use crate::crypto::secret::Secret;
use crate::ids::NetworkId;

/// A network: its charter, its name, its keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Network {
    genesis: Genesis,
    id: NetworkId,
    bytes: Bytes,
    keys: NetworkKeys,
}

impl Network {
    /// The open network with this genesis record.
    ///
    /// # Errors
    /// When the record is malformed, or says that the network is closed.
    pub fn open(genesis: Bytes) -> Result<Network, IdentityError> {
        let record = Genesis::decode(&genesis)?;
        if record.closed {
            return Err(IdentityError::NetworkKeyMissing);
        }
        let id = NetworkId::of_genesis(&genesis);
        Ok(Network { genesis: record, id, bytes: genesis, keys: NetworkKeys::open(id) })
    }

    /// The closed network with this genesis record and the key of one epoch.
    ///
    /// # Errors
    /// When the record is malformed, or says that the network is open.
    pub fn closed(genesis: Bytes, epoch: u32, key: Secret) -> Result<Network, IdentityError> {
        let record = Genesis::decode(&genesis)?;
        if !record.closed {
            return Err(IdentityError::OpenNetwork);
        }
        let id = NetworkId::of_genesis(&genesis);
        Ok(Network { genesis: record, id, bytes: genesis, keys: NetworkKeys::new(id, epoch, key) })
    }

    /// The charter.
    #[must_use]
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The charter's bytes as received.
    #[must_use]
    pub fn genesis_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The name.
    #[must_use]
    pub fn id(&self) -> NetworkId {
        self.id
    }

    /// Whether nodes need a membership and the network's key.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.genesis.closed
    }

    /// The bytes that bind a handshake to this network: the first part of Noise's prologue.
    #[must_use]
    pub fn prologue(&self) -> &[u8; 32] {
        &self.id.0
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &NetworkKeys {
        &self.keys
    }

    /// The keys, to be changed by what [`install`](super::install) has verified or the operator has
    /// said; an open network's key never changes.
    pub fn keys_mut(&mut self) -> &mut NetworkKeys {
        &mut self.keys
    }

    /// See [`NetworkKeys::psk`].
    #[must_use]
    pub fn psk(&self, epoch: u32) -> Option<&[u8; 32]> {
        self.keys.psk(epoch)
    }

    /// See [`NetworkKeys::hello_key`].
    #[must_use]
    pub fn hello_key(&self, epoch: u32) -> Option<&[u8; 32]> {
        self.keys.hello_key(epoch)
    }

    /// See [`NetworkKeys::acceptable_epochs`].
    pub fn acceptable_epochs(&self) -> impl Iterator<Item = u32> + '_ {
        self.keys.acceptable_epochs()
    }

    /// See [`NetworkKeys::sending_epoch`].
    #[must_use]
    pub fn sending_epoch(&self) -> u32 {
        self.keys.sending_epoch()
    }

    /// See [`NetworkKeys::heard`].
    pub fn heard(&mut self, epoch: u32) -> bool {
        self.keys.heard(epoch)
    }
}
