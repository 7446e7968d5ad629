//! What a stranger with a microphone may never hear: one nonce used twice under one key, or the text
//! itself.
//!
//! Of each data packet its sender says under which key and number it was sealed, since the wire shows the low
//! bytes of the number only; the path stands on the wire. It is held to its word: the bytes on the wire must be
//! those of the number it states, and of several packets given in one go, of which it states the last one's, each
//! must bear the next number. A sender counts up, so within one path no number may be as low as one before it
//! under the same key: then two plaintexts were sealed under one key and nonce. What two hosts with one identity
//! seal, twins, counts as one sender's. The name of a key is that of its session: one key used in both
//! directions is not seen.
//!
//! An ephemeral key is the root of a session's keys: no two hosts, twins included, may ever send the
//! same, and one host may send it again only in the same message.

use std::collections::BTreeMap;

use proto_core::node::UsedNonce;

use super::{Checker, Sight, Violation, want};
use crate::plan::Plan;
use crate::trace::Digest;

/// Which packets one node sends on one path under one key: the node, the key's name, the path.
type Way = (u32, u64, u8);

/// See the module's header.
#[derive(Debug)]
pub struct Session {
    marker: u64,
    /// The highest number that was used on each way.
    highest: BTreeMap<Way, u64>,
    /// The node that each host runs.
    node_of: Vec<u32>,
    /// Who sent each ephemeral key, and in which message.
    ephemerals: BTreeMap<[u8; 32], (u32, u64)>,
}

/// Ways watched at once. Beyond that the watch begins anew.
const MOST_WAYS: usize = 1 << 18;
/// Ephemeral keys remembered; beyond that the memory begins anew.
const MOST_EPHEMERALS: usize = 1 << 18;

/// Where a packet keeps what matters here (session/message.rs and session/transport.rs of the core).
pub(crate) mod wire {
    /// The low bytes of a data packet's number; the first byte's last two bits say how many, less one.
    pub(in crate::check) const NUMBER: usize = 4;
    pub(crate) const INIT_IK: u8 = 1;
    pub(crate) const INIT_XX: u8 = 2;
    pub(in crate::check) const RESPONSE: u8 = 3;
    pub(in crate::check) const BEACON: u8 = 10;
    pub(in crate::check) const PRELUDE: usize = 6;
    /// Receiver's index and echo stand before a response's Noise message.
    pub(in crate::check) const RESPONSE_NOISE: usize = PRELUDE + 3 + 8;
    /// Cookie and tag stand behind the Noise message.
    pub(in crate::check) const TRAILER: usize = 16 + 16;
}

impl Session {
    /// For a run of this plan.
    #[must_use]
    pub fn new(plan: &Plan) -> Session {
        Session {
            marker: crate::app::marker(plan.seed),
            highest: BTreeMap::new(),
            node_of: (0..plan.node_count()).collect(),
            ephemerals: BTreeMap::new(),
        }
    }

    fn data(&mut self, host: u32, bytes: &[u8], nonce: UsedNonce) -> Option<Violation> {
        let path = bytes.first()? >> 2 & 7;
        let node = self.node_of.get(host as usize).copied().unwrap_or(host);
        if self.highest.len() >= MOST_WAYS {
            self.highest.clear();
        }
        let UsedNonce { key_name, number } = nonce;
        let shown = bytes.get(wire::NUMBER..wire::NUMBER + usize::from(bytes.first()? & 3) + 1)?;
        if !number.to_le_bytes().starts_with(shown) {
            let reason = format!(
                "node {host} states number {number} for a packet that bears {shown:02x?} on the wire"
            );
            return Some(Violation::safety("session", reason));
        }
        let before = self.highest.insert((node, key_name, path), number)?;
        (number <= before).then(|| {
            let reason = format!(
                "node {host} sealed a packet as number {number} after number {before}, under key {key_name:016x} on \
                 path {path}"
            );
            Violation::safety("session", reason)
        })
    }

    fn handshake(&mut self, host: u32, bytes: &[u8]) -> Option<Violation> {
        let kind = *bytes.first()?;
        let noise_at = match kind {
            wire::INIT_IK | wire::INIT_XX => wire::PRELUDE,
            wire::RESPONSE => wire::RESPONSE_NOISE,
            _ => return None,
        };
        let noise = bytes.get(noise_at..bytes.len().checked_sub(wire::TRAILER)?)?;
        let ephemeral: [u8; 32] = noise.get(..32)?.try_into().ok()?;
        let mut message = Digest::default();
        message.bytes(noise);
        if self.ephemerals.len() >= MOST_EPHEMERALS {
            self.ephemerals.clear();
        }
        let (first_host, first_message) = *self.ephemerals.entry(ephemeral).or_insert((host, message.get()));
        if first_host != host {
            let reason = format!("nodes {first_host} and {host} sent the same ephemeral key");
            return Some(Violation::safety("session", reason));
        }
        if first_message != message.get() {
            let reason = format!("node {host} sent one ephemeral key in two different messages");
            return Some(Violation::safety("session", reason));
        }
        None
    }
}

/// Whether `marker` stands anywhere in `bytes`. Its first byte is looked for in blocks and without an
/// early exit, which runs in vectors; only one block in four of random bytes is then read closely.
#[inline]
fn contains(bytes: &[u8], marker: u64) -> bool {
    const BLOCK: usize = 64;
    let pattern = marker.to_le_bytes();
    let starts = bytes.len().saturating_sub(pattern.len() - 1);
    bytes.get(..starts).unwrap_or(&[]).chunks(BLOCK).enumerate().any(|(block, chunk)| {
        chunk.iter().fold(false, |hit, byte| hit | (*byte == pattern[0]))
            && bytes[block * BLOCK..].windows(pattern.len()).take(chunk.len()).any(|window| window == pattern)
    })
}

impl Checker for Session {
    fn name(&self) -> &'static str {
        "session"
    }

    fn wants(&self) -> u16 {
        want::BOOT | want::TRANSMIT
    }

    fn see(&mut self, _at_us: u64, sight: &Sight<'_>) -> Option<Violation> {
        if let Sight::Boot { host, node } = *sight
            && host as usize == self.node_of.len()
        {
            self.node_of.push(node);
        }
        let Sight::Transmit { host, bytes, nonce, .. } = *sight else { return None };
        if contains(bytes, self.marker) {
            let reason = format!("node {host} sent the text of a message in the clear");
            return Some(Violation::safety("session", reason));
        }
        if bytes.first().is_some_and(|first| first & 0x80 == 0) {
            return self.handshake(host, bytes);
        }
        self.data(host, bytes, nonce)
    }
}

#[cfg(test)]
mod tests {
    use super::contains;

    #[test]
    fn a_marker_is_found_wherever_it_stands() {
        let marker = u64::from_le_bytes(*b"MARKER!M");
        for len in 8..200 {
            for at in 0..=len - 8 {
                let mut bytes = vec![b'M'; len];
                assert!(!contains(&bytes, marker));
                bytes[at..at + 8].copy_from_slice(b"MARKER!M");
                assert!(contains(&bytes, marker), "{at} of {len}");
            }
        }
        assert!(!contains(b"MARKER!", marker));
        assert!(!contains(b"", marker));
    }
}
