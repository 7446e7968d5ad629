//! The Noise handshakes (Noise Protocol Framework, revision 34), by the crate snow.
//!
//! snow brings the patterns and the order of operations; every primitive under it is one of ours:
//! X25519 from [`super::dh`], ChaCha20-Poly1305 from [`super::aead`], BLAKE2s from its crate. Nothing
//! in it draws random numbers: the one ephemeral key of a handshake is handed in, so whoever calls
//! decides where it comes from, and a run can be repeated.
//!
//! What is ours is erased when a handshake ends: static and ephemeral key, cipher keys, and the keys that
//! it leaves. snow erases nothing of its own: its copy of the network's key, its chaining key and the shared
//! secrets that pass through its buffers stay on the stack and in freed memory until something is written
//! over them. The keys of a session follow from the last chaining key of its handshake, so whoever can read
//! a node's memory may find them there after the session has ended.
//!
//! Two patterns are used, both with the network's key mixed in before anything else (`psk0`): a
//! message that was not made with it does not even decrypt.
//!
//! ```text
//! IKpsk0: the initiator knows the responder's key     XXpsk0: it does not
//!   <- s
//!   ...
//!   -> psk, e, es, s, ss                                -> psk, e
//!   <- e, ee, se                                        <- e, ee, s, es
//!                                                       -> s, se
//! ```

use alloc::boxed::Box;
use core::fmt;

use blake2::{Blake2s256, Digest};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::CryptoResolver;
use snow::types::{Cipher, Dh, Hash, Random};
use zeroize::Zeroize;

use super::aead;
use super::dh::DhSecret;
use super::secret::Secret;

/// What Noise adds to a payload under a key.
pub const TAG_LEN: usize = aead::TAG_LEN;
/// Bytes of IKpsk0's first message beyond its payload: ephemeral key, sealed static key, tag.
pub const IK_INIT_OVERHEAD: usize = 32 + 48 + TAG_LEN;
/// Bytes of IKpsk0's second message beyond its payload: ephemeral key, tag.
pub const IK_RESPONSE_OVERHEAD: usize = 32 + TAG_LEN;
/// Bytes of XXpsk0's first message beyond its payload: ephemeral key, tag.
pub const XX_INIT_OVERHEAD: usize = 32 + TAG_LEN;
/// Bytes of XXpsk0's second message beyond its payload: ephemeral key, sealed static key, tag.
pub const XX_RESPONSE_OVERHEAD: usize = 32 + 48 + TAG_LEN;
/// Bytes of XXpsk0's third message beyond its payload: sealed static key, tag.
pub const XX_FINISH_OVERHEAD: usize = 48 + TAG_LEN;

/// Which handshake.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Pattern {
    /// `Noise_IKpsk0_25519_ChaChaPoly_BLAKE2s`: one round trip.
    Ik,
    /// `Noise_XXpsk0_25519_ChaChaPoly_BLAKE2s`: one and a half.
    Xx,
}

impl Pattern {
    const fn name(self) -> &'static str {
        match self {
            Pattern::Ik => "Noise_IKpsk0_25519_ChaChaPoly_BLAKE2s",
            Pattern::Xx => "Noise_XXpsk0_25519_ChaChaPoly_BLAKE2s",
        }
    }
}

/// The message does not belong to this handshake, was changed, or comes at the wrong time. The
/// handshake can still read another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a message of this handshake")]
pub struct NoiseError;

/// What one side brings to a handshake.
pub struct Parts<'a> {
    /// Our static secret key.
    pub local: &'a DhSecret,
    /// Its public half, so that it need not be computed again.
    pub local_public: &'a [u8; 32],
    /// The other side's static public key; needed to start [`Pattern::Ik`].
    pub remote_public: Option<&'a [u8; 32]>,
    /// The network's key.
    pub psk: &'a [u8; 32],
    /// What both sides must agree on without sending it.
    pub prologue: &'a [u8],
    /// The secret of the ephemeral key: used for this handshake and never again.
    pub ephemeral: Secret,
}

/// What a finished handshake leaves.
pub struct Split {
    /// The key for what the initiator sends.
    pub initiator: Secret,
    /// The key for what the responder sends.
    pub responder: Secret,
    /// The hash over everything both sides said: the same on both, and different for every handshake.
    pub hash: [u8; 32],
}

/// A handshake under way.
pub struct Handshake(snow::HandshakeState);

impl Handshake {
    /// Starts a handshake as the side that speaks first.
    ///
    /// # Errors
    /// [`NoiseError`] when [`Pattern::Ik`] lacks the other side's key.
    pub fn initiator(pattern: Pattern, parts: Parts<'_>) -> Result<Handshake, NoiseError> {
        Self::build(pattern, parts, true)
    }

    /// Prepares to answer a handshake.
    ///
    /// # Errors
    /// None that a peer can cause.
    pub fn responder(pattern: Pattern, parts: Parts<'_>) -> Result<Handshake, NoiseError> {
        Self::build(pattern, parts, false)
    }

    fn build(pattern: Pattern, parts: Parts<'_>, initiator: bool) -> Result<Handshake, NoiseError> {
        let secret = parts.local.secret();
        let resolver = Resolver { ephemeral: parts.ephemeral, known: (secret.clone(), *parts.local_public) };
        let params = pattern.name().parse().map_err(|_| NoiseError)?;
        let mut builder = snow::Builder::with_resolver(params, Box::new(resolver))
            .psk(0, parts.psk)
            .and_then(|builder| builder.prologue(parts.prologue))
            .and_then(|builder| builder.local_private_key(secret.expose()))
            .map_err(|_| NoiseError)?;
        if let (Pattern::Ik, true) = (pattern, initiator) {
            let remote = parts.remote_public.ok_or(NoiseError)?;
            builder = builder.remote_public_key(remote).map_err(|_| NoiseError)?;
        }
        let state = if initiator { builder.build_initiator() } else { builder.build_responder() };
        state.map(Handshake).map_err(|_| NoiseError)
    }

    /// Writes our next message with `payload` into `out` and gives its length.
    ///
    /// # Errors
    /// [`NoiseError`] when it is not our turn or `out` is too small.
    pub fn write(&mut self, payload: &[u8], out: &mut [u8]) -> Result<usize, NoiseError> {
        self.0.write_message(payload, out).map_err(|_| NoiseError)
    }

    /// Reads the other side's next message and puts its payload into `out`; gives the payload's length.
    ///
    /// # Errors
    /// [`NoiseError`] when it does not authenticate or it is not their turn.
    pub fn read(&mut self, message: &[u8], out: &mut [u8]) -> Result<usize, NoiseError> {
        self.0.read_message(message, out).map_err(|_| NoiseError)
    }

    /// The other side's static key, once it has been read or when it was known.
    #[must_use]
    pub fn remote_static(&self) -> Option<[u8; 32]> {
        self.0.get_remote_static()?.try_into().ok()
    }

    /// The keys, once both sides have said everything.
    #[must_use]
    pub fn split(&mut self) -> Option<Split> {
        if !self.0.is_handshake_finished() {
            return None;
        }
        let hash = self.0.get_handshake_hash().try_into().ok()?;
        let (mut initiator, mut responder) = self.0.dangerously_get_raw_split();
        let split = Split { initiator: Secret::new(initiator), responder: Secret::new(responder), hash };
        initiator.zeroize();
        responder.zeroize();
        Some(split)
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handshake(..)")
    }
}

/// Gives snow our primitives.
struct Resolver {
    ephemeral: Secret,
    known: (Secret, [u8; 32]),
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(OneEphemeral(Some(self.ephemeral.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        match choice {
            DHChoice::Curve25519 => {
                Some(Box::new(X25519 { key: None, public: [0; 32], known: self.known.clone() }))
            }
            DHChoice::Curve448 => None,
        }
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        match choice {
            HashChoice::Blake2s => Some(Box::new(Blake2s(Blake2s256::new()))),
            HashChoice::Blake2b | HashChoice::SHA256 | HashChoice::SHA512 => None,
        }
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        match choice {
            CipherChoice::ChaChaPoly => Some(Box::new(ChaChaPoly(None))),
            CipherChoice::AESGCM => None,
        }
    }
}

/// Gives out the one ephemeral secret, once: a second key from it would be the same key.
struct OneEphemeral(Option<Secret>);

impl Random for OneEphemeral {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        let secret = self.0.take().ok_or(snow::Error::Rng)?;
        if dest.len() != secret.expose().len() {
            return Err(snow::Error::Rng);
        }
        dest.copy_from_slice(secret.expose());
        Ok(())
    }
}

struct X25519 {
    key: Option<(Secret, DhSecret)>,
    public: [u8; 32],
    /// Our static key with its public half: a fixed-base multiplication saved in every handshake.
    known: (Secret, [u8; 32]),
}

impl X25519 {
    fn take(&mut self, secret: Secret) {
        let key = DhSecret::from_secret(&secret);
        self.public = if secret == self.known.0 { self.known.1 } else { key.public() };
        self.key = Some((secret, key));
    }
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, privkey: &[u8]) {
        match Secret::from_slice(privkey) {
            Some(secret) => self.take(secret),
            None => self.key = None,
        }
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        let mut bytes = zeroize::Zeroizing::new([0; 32]);
        rng.try_fill_bytes(&mut *bytes)?;
        self.take(Secret::new(*bytes));
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        self.key.as_ref().map_or(&[], |(secret, _)| secret.expose())
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        let (_, key) = self.key.as_ref().ok_or(snow::Error::Dh)?;
        let public: &[u8; 32] = pubkey.first_chunk().ok_or(snow::Error::Dh)?;
        let shared = key.agree(public).map_err(|_| snow::Error::Dh)?;
        out.get_mut(..32).ok_or(snow::Error::Dh)?.copy_from_slice(shared.expose());
        Ok(())
    }
}

struct Blake2s(Blake2s256);

impl Hash for Blake2s {
    fn name(&self) -> &'static str {
        "BLAKE2s"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = Blake2s256::new();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        let hash = core::mem::take(&mut self.0).finalize();
        if let Some(out) = out.first_chunk_mut::<32>() {
            *out = hash.into();
        }
    }
}

struct ChaChaPoly(Option<aead::Key>);

/// Noise's nonce: 32 bits of zeros, then the counter little-endian (section 12.3).
fn nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    nonce
}

impl Cipher for ChaChaPoly {
    fn name(&self) -> &'static str {
        "ChaChaPoly"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.0 = Some(aead::Key::new(key));
    }

    /// snow checks before that `out` has room for the text and the tag, and that a key is set. Were
    /// it not so, nothing is written and the length zero makes the message one that nobody can read.
    fn encrypt(&self, counter: u64, authtext: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        let len = plaintext.len() + aead::TAG_LEN;
        let (Some(key), Some(out)) = (&self.0, out.get_mut(..len)) else { return 0 };
        let Some(text) = out.get_mut(..plaintext.len()) else { return 0 };
        text.copy_from_slice(plaintext);
        match key.seal_in_place(&nonce(counter), authtext, out) {
            Ok(()) => len,
            Err(aead::Forged) => 0,
        }
    }

    /// snow asks for decryption into another buffer, which need only be as long as the text; the tag
    /// is checked before anything is given out.
    fn decrypt(
        &self,
        counter: u64,
        authtext: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, snow::Error> {
        let key = self.0.as_ref().ok_or(snow::Error::Decrypt)?;
        let (text, tag) = ciphertext.split_last_chunk::<{ aead::TAG_LEN }>().ok_or(snow::Error::Decrypt)?;
        let out = out.get_mut(..text.len()).ok_or(snow::Error::Decrypt)?;
        out.copy_from_slice(text);
        key.open_detached(&nonce(counter), authtext, out, tag).map_err(|_| snow::Error::Decrypt)?;
        Ok(text.len())
    }
}

#[cfg(test)]
mod tests;
