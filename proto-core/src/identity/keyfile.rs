//! The encrypted key file: one format for saving and loading.
//!
//! Identities are lost when saving and loading disagree and new ones are made in silence. Here both directions
//! are two functions over bytes in one file, and every way to fail has its own name, so that a shell can
//! say what to do and never overwrites what it could not read.
//!
//! ```text
//! magic "THALLUSK"   8    not a key file when different
//! version            1    1
//! kdf                1    1 = Argon2id, version 0x13
//! memory in KiB      4    little-endian, as all numbers here
//! passes             4
//! lanes              1
//! salt              16
//! nonce             12
//! length             4    of what follows, without the checksum
//! ciphertext         n    ChaCha20-Poly1305; tag at the end; all of the above as associated data
//! checksum           8    start of BLAKE3 derive_key over all of the above
//! ```
//!
//! The checksum tells damage from a wrong passphrase: damage breaks the checksum; with a good checksum
//! only the passphrase (or somebody who repaired the checksum on purpose) can make the cipher refuse.
//! It is made without the key and so helps nobody to guess.

use alloc::vec::Vec;
use bytes::Bytes;
use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _};
use prost::Message as _;
use zeroize::Zeroizing;

use super::error::IdentityError;
use super::peer::LocalIdentity;
use super::root::{DeviceSecrets, RootKey};
use super::wire;
use crate::codec::{Malformed, Reader};
use crate::crypto::hash;
use crate::crypto::password::{Cost, SALT_LEN, StretchError, stretch};
use crate::crypto::secret::Secret;
use crate::ids::NetworkId;

const MAGIC: [u8; 8] = *b"THALLUSK";
const VERSION: u8 = 1;
const KDF_ARGON2ID: u8 = 1;
const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
const CHECKSUM_LEN: usize = 8;
const HEADER_LEN: usize = 8 + 1 + 1 + 4 + 4 + 1 + SALT_LEN + NONCE_LEN + 4;
/// The largest key file: certificates and rotations of 4 KiB each and a network's keys fit many times.
pub const MAX_KEYFILE_BYTES: usize = 64 * 1024;
/// Random bytes that [`seal`] needs: salt and nonce.
pub const ENTROPY_LEN: usize = SALT_LEN + NONCE_LEN;
/// The most networks' keys in one file.
const MAX_NETWORK_KEYS: usize = 64;

/// What a key file keeps.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// The root key with its rotations; `None` when it is kept elsewhere.
    pub root: Option<RootKey>,
    /// The device's keys; `None` in a file that holds the root alone.
    pub device: Option<DeviceSecrets>,
    /// The device's certificate; empty when it has none yet.
    pub certificate: Bytes,
    /// Keys of closed networks: network, epoch, key.
    pub network_keys: Vec<(NetworkId, u32, Secret)>,
}

impl Secrets {
    /// The identity in it.
    ///
    /// # Errors
    /// When there is no device or no certificate, or it does not verify.
    pub fn identity(&self) -> Result<LocalIdentity, IdentityError> {
        let device = self.device.clone().ok_or(IdentityError::Malformed("key file without device keys"))?;
        LocalIdentity::new(device, self.certificate.clone())
    }
}

/// Why a key file cannot be used, and what to do. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The first bytes are not those of a key file.
    #[error("not a key file; check the path")]
    NotAKeyFile,
    /// A later version of this software wrote it.
    #[error("key file of version {found}, this software knows {known}; update it")]
    NewerVersion {
        /// The file's version.
        found: u8,
        /// The newest one known.
        known: u8,
    },
    /// It was cut short or changed.
    #[error("key file damaged ({0}); restore it from a backup")]
    Corrupt(&'static str),
    /// The passphrase is not the one it was sealed with.
    #[error("wrong passphrase; try again, or open the backup that it belongs to")]
    WrongPassphrase,
    /// Opening it would cost more memory or time than allowed.
    #[error(
        "key file asks for {memory_kib} KiB and {passes} passes, more than allowed here; \
         open it on a larger machine and seal it again at a lower cost"
    )]
    TooCostly {
        /// Memory that it asks for, in KiB.
        memory_kib: u32,
        /// Passes over it.
        passes: u32,
    },
    /// The memory for the key derivation is not there.
    #[error("not enough memory to open or seal the key file; free some, or seal it at a lower cost")]
    OutOfMemory,
    /// More in it than fits [`MAX_KEYFILE_BYTES`], or a cost that Argon2 does not allow.
    #[error("cannot seal the key file: {0}; put fewer keys into it, or choose another cost")]
    OutOfRange(&'static str),
}

/// What opening a file may cost. Guards against a hostile file, not against one's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CostLimit {
    /// The most memory, in KiB.
    pub memory_kib: u32,
    /// The most memory times passes, in KiB: the time it may take.
    pub work_kib: u64,
}

impl CostLimit {
    /// 1 GiB, and 16 GiB of work: about 20 seconds on a server.
    pub const SERVER: CostLimit = CostLimit { memory_kib: 1 << 20, work_kib: 1 << 24 };
    /// 128 KiB, and 64 MiB of work.
    pub const TINY: CostLimit = CostLimit { memory_kib: 128, work_kib: 1 << 16 };

    fn allows(&self, cost: Cost) -> bool {
        let work_kib = u64::from(cost.memory_kib) * u64::from(cost.passes);
        cost.memory_kib <= self.memory_kib && work_kib <= self.work_kib
    }
}

/// Seals `secrets` under `passphrase`. `entropy` is fresh random bytes; with the same entropy and
/// passphrase twice, two different contents would share key and nonce.
///
/// # Errors
/// [`KeyFileError::OutOfRange`] or [`KeyFileError::OutOfMemory`].
pub fn seal(
    secrets: &Secrets,
    passphrase: &[u8],
    entropy: &[u8; ENTROPY_LEN],
    cost: Cost,
) -> Result<Vec<u8>, KeyFileError> {
    let mut body = encode(secrets)?;
    let (salt, nonce) = entropy.split_at(SALT_LEN);
    let salt: &[u8; SALT_LEN] = salt.try_into().map_err(|_| KeyFileError::OutOfRange("salt"))?;
    let nonce: &[u8; NONCE_LEN] = nonce.try_into().map_err(|_| KeyFileError::OutOfRange("nonce"))?;
    let too_long = KeyFileError::OutOfRange("more than fits a key file");
    let length = u32::try_from(body.len() + TAG_LEN).map_err(|_| too_long)?;
    if HEADER_LEN + body.len() + TAG_LEN + CHECKSUM_LEN > MAX_KEYFILE_BYTES {
        return Err(too_long);
    }
    let key = derive_key(passphrase, salt, cost)?;
    let mut file = Vec::with_capacity(HEADER_LEN + body.len() + TAG_LEN + CHECKSUM_LEN);
    file.extend_from_slice(&MAGIC);
    file.extend_from_slice(&[VERSION, KDF_ARGON2ID]);
    file.extend_from_slice(&cost.memory_kib.to_le_bytes());
    file.extend_from_slice(&cost.passes.to_le_bytes());
    file.push(cost.lanes);
    file.extend_from_slice(salt);
    file.extend_from_slice(nonce);
    file.extend_from_slice(&length.to_le_bytes());
    let tag = ChaCha20Poly1305::new(key.expose().into())
        .encrypt_inout_detached(nonce.into(), &file, body.as_mut_slice().into())
        .map_err(|_| too_long)?;
    file.extend_from_slice(&body);
    file.extend_from_slice(&tag);
    let sum = checksum(&file);
    file.extend_from_slice(&sum);
    Ok(file)
}

/// Opens a sealed file. Takes the time and memory that the file asks for, up to `limit`.
///
/// # Errors
/// Why not, most basic reason first: another kind of file, a newer version, damage, cost, passphrase.
pub fn open(file: &[u8], passphrase: &[u8], limit: CostLimit) -> Result<Secrets, KeyFileError> {
    let parts = Parts::split(file)?;
    if !limit.allows(parts.cost) {
        let Cost { memory_kib, passes, lanes: _ } = parts.cost;
        return Err(KeyFileError::TooCostly { memory_kib, passes });
    }
    let key = derive_key(passphrase, parts.salt, parts.cost).map_err(|error| {
        if let KeyFileError::OutOfRange(why) = error { KeyFileError::Corrupt(why) } else { error }
    })?;
    let mut body = Zeroizing::new(parts.ciphertext.to_vec());
    ChaCha20Poly1305::new(key.expose().into())
        .decrypt_inout_detached(
            parts.nonce.into(),
            parts.header,
            body.as_mut_slice().into(),
            parts.tag.into(),
        )
        .map_err(|_| KeyFileError::WrongPassphrase)?;
    decode(&body)
}

/// A file taken apart, its checksum verified.
struct Parts<'a> {
    header: &'a [u8],
    cost: Cost,
    salt: &'a [u8; SALT_LEN],
    nonce: &'a [u8; NONCE_LEN],
    ciphertext: &'a [u8],
    tag: &'a [u8; TAG_LEN],
}

impl<'a> Parts<'a> {
    fn split(file: &'a [u8]) -> Result<Parts<'a>, KeyFileError> {
        let short = |Malformed| KeyFileError::Corrupt("cut short");
        let mut reader = Reader::new(file);
        if reader.take(MAGIC.len()) != Ok(&MAGIC[..]) {
            return Err(KeyFileError::NotAKeyFile);
        }
        let version = reader.u8().map_err(short)?;
        // Whatever a later version changes, magic and version come first and the checksum comes last.
        let covered = file.len().checked_sub(CHECKSUM_LEN).and_then(|at| file.split_at_checked(at));
        let (covered, sum) = covered.ok_or(KeyFileError::Corrupt("cut short"))?;
        if file.len() > MAX_KEYFILE_BYTES {
            return Err(KeyFileError::Corrupt("longer than a key file can be"));
        }
        if !hash::equal(&checksum(covered), sum) {
            return Err(KeyFileError::Corrupt("checksum"));
        }
        if version != VERSION {
            return Err(KeyFileError::NewerVersion { found: version, known: VERSION });
        }
        if reader.u8().map_err(short)? != KDF_ARGON2ID {
            return Err(KeyFileError::Corrupt("unknown key derivation"));
        }
        let memory_kib = reader.u32().map_err(short)?;
        let passes = reader.u32().map_err(short)?;
        let cost = Cost { memory_kib, passes, lanes: reader.u8().map_err(short)? };
        let salt = fixed(reader.take(SALT_LEN).map_err(short)?)?;
        let nonce = fixed(reader.take(NONCE_LEN).map_err(short)?)?;
        let length = usize::try_from(reader.u32().map_err(short)?).unwrap_or(usize::MAX);
        let sealed = reader.take(length).map_err(short)?;
        if reader.rest().len() != CHECKSUM_LEN {
            return Err(KeyFileError::Corrupt("length"));
        }
        let (ciphertext, tag) = sealed.split_last_chunk().ok_or(KeyFileError::Corrupt("cut short"))?;
        let header = file.get(..HEADER_LEN).ok_or(KeyFileError::Corrupt("cut short"))?;
        Ok(Parts { header, cost, salt, nonce, ciphertext, tag })
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<&[u8; N], KeyFileError> {
    bytes.try_into().map_err(|_| KeyFileError::Corrupt("cut short"))
}

fn checksum(covered: &[u8]) -> [u8; CHECKSUM_LEN] {
    hash::derive("thallus key file checksum v1", &[covered]).first_chunk().copied().unwrap_or_default()
}

fn derive_key(passphrase: &[u8], salt: &[u8; SALT_LEN], cost: Cost) -> Result<Secret, KeyFileError> {
    stretch(passphrase, salt, cost).map_err(|error| match error {
        StretchError::OutOfRange => KeyFileError::OutOfRange("Argon2 does not allow this cost"),
        StretchError::OutOfMemory => KeyFileError::OutOfMemory,
    })
}

fn encode(secrets: &Secrets) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    if secrets.network_keys.len() > MAX_NETWORK_KEYS {
        return Err(KeyFileError::OutOfRange("more than 64 network keys"));
    }
    let exposed = |secret: Secret| secret.expose().to_vec();
    let held = |(network, epoch, key): &(NetworkId, u32, Secret)| wire::HeldNetworkKey {
        network: network.0.to_vec(),
        epoch: *epoch,
        key: key.expose().to_vec(),
    };
    let body = wire::KeyFileBody {
        version: 1,
        root_secret: secrets.root.as_ref().map(|root| exposed(root.secret())).unwrap_or_default(),
        sign_secret: secrets.device.as_ref().map(|device| exposed(device.sign.secret())).unwrap_or_default(),
        dh_secret: secrets.device.as_ref().map(|device| exposed(device.dh.secret())).unwrap_or_default(),
        certificate: secrets.certificate.to_vec(),
        network_keys: secrets.network_keys.iter().map(held).collect(),
        rotations: secrets.root.as_ref().map(RootKey::rotations).unwrap_or_default(),
    };
    Ok(Zeroizing::new(body.encode_to_vec()))
}

fn decode(bytes: &[u8]) -> Result<Secrets, KeyFileError> {
    let body = wire::KeyFileBody::decode(bytes).map_err(|_| KeyFileError::Corrupt("contents"))?;
    if body.version != 1 {
        let found = u8::try_from(body.version).unwrap_or(u8::MAX);
        return Err(KeyFileError::NewerVersion { found, known: VERSION });
    }
    let root = match body.root_secret.as_slice() {
        [] => None,
        bytes => {
            let secret = secret(bytes)?;
            let root = RootKey::with_rotations(&secret, &body.rotations);
            Some(root.map_err(|_| KeyFileError::Corrupt("rotations"))?)
        }
    };
    let device = match (body.sign_secret.as_slice(), body.dh_secret.as_slice()) {
        ([], []) => None,
        (sign, dh) => Some(DeviceSecrets::new(&secret(sign)?, &secret(dh)?)),
    };
    if body.network_keys.len() > MAX_NETWORK_KEYS {
        return Err(KeyFileError::Corrupt("too many network keys"));
    }
    let held = |held: &wire::HeldNetworkKey| {
        let network = held.network.as_slice().try_into().map_err(|_| KeyFileError::Corrupt("network id"))?;
        Ok((NetworkId(network), held.epoch, secret(&held.key)?))
    };
    let network_keys = body.network_keys.iter().map(held).collect::<Result<_, KeyFileError>>()?;
    Ok(Secrets { root, device, certificate: Bytes::copy_from_slice(&body.certificate), network_keys })
}

fn secret(bytes: &[u8]) -> Result<Secret, KeyFileError> {
    Secret::from_slice(bytes).ok_or(KeyFileError::Corrupt("a secret is not 32 bytes"))
}
