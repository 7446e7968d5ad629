//! Transport keys, found by the index that the other side puts on its packets.
//!
//! An index is a coat check ticket: its low bits are the hook, the rest is random, so that an old or
//! guessed ticket does not fit. Finding the keys of a packet is one look into an array.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::crypto::aead;
use crate::ids::{PathId, PeerSlot};
use crate::rng::Rng;
use crate::time::Instant;

/// Indices have this many bits on the wire.
pub(super) const INDEX_BITS: u32 = 24;

/// Who uses an index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Holder {
    /// A handshake that we started.
    Dial(u16),
    /// A handshake that we answered and that is not confirmed.
    Answer(u16),
    /// A session.
    Peer(PeerSlot),
}

/// Which of several keys both sides prefer for sending: the later round; in one round, those whose
/// handshake the smaller node id started; then any order that is the same for both.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Rank {
    pub(super) round: u32,
    pub(super) smaller_started: bool,
    pub(super) hash: u64,
}

/// The keys of one handshake.
pub(super) struct Keys {
    pub(super) send: aead::Key,
    pub(super) receive: aead::Key,
    /// The other side's index.
    pub(super) remote: u32,
    /// Packets sealed with them.
    pub(super) sent: u64,
    /// Packets that did not authenticate under them.
    pub(super) forged: u64,
    pub(super) born: Instant,
    /// Whether we started the handshake.
    pub(super) ours: bool,
    pub(super) rank: Rank,
    /// Whether something of the other side has authenticated under them.
    pub(super) heard: bool,
    /// Made before the other side said that it held no keys of ours; until something is heard.
    pub(super) doubtful: bool,
    /// Replaced by better ones: only for what is still under way, until then.
    pub(super) until: Option<Instant>,
}

impl Keys {
    /// Of several keys, those worth most are sent with.
    pub(super) fn worth(&self) -> (bool, Rank) {
        (!self.doubtful, self.rank)
    }
}

struct Entry {
    /// 0 when free.
    index: u32,
    holder: Holder,
    keys: Option<Box<Keys>>,
}

/// So many hooks rest before one is used again. What arrives late for an old index then rarely meets new
/// keys, where it would count as a forgery (guess: two peers that rekey over four links at once).
const RESTING: usize = 8;

/// All indices in use.
pub(super) struct Table {
    entries: Vec<Entry>,
    free: VecDeque<u32>,
    capacity: usize,
    mask: u32,
}

impl Table {
    /// A table of at most `capacity` indices.
    pub(super) fn new(capacity: usize) -> Table {
        // Hook 0 is never used, so that no index is 0.
        let hooks = u32::try_from(capacity).unwrap_or(u32::MAX).saturating_add(1);
        let mask = hooks.checked_next_power_of_two().unwrap_or(1 << INDEX_BITS).min(1 << INDEX_BITS) - 1;
        Table { entries: Vec::new(), free: VecDeque::new(), capacity, mask }
    }

    /// Takes a free index, or `None` when all are in use.
    pub(super) fn take(&mut self, rng: &mut Rng, holder: Holder) -> Option<u32> {
        // The hook that is free for longest, once some others rest beside it: an index rests before it
        // returns, and the table does not grow with every handshake that there ever was.
        let hook = if self.free.len() < RESTING && self.entries.len() < self.capacity {
            self.entries.push(Entry { index: 0, holder, keys: None });
            u32::try_from(self.entries.len()).ok()?
        } else {
            self.free.pop_front()?
        };
        let random = rng.next_u32() & ((1 << INDEX_BITS) - 1) & !self.mask;
        let entry = self.entries.get_mut(hook as usize - 1)?;
        entry.index = random | hook;
        entry.holder = holder;
        Some(entry.index)
    }

    fn entry(&self, index: u32) -> Option<&Entry> {
        let hook = (index & self.mask) as usize;
        self.entries.get(hook.wrapping_sub(1)).filter(|entry| entry.index == index && index != 0)
    }

    fn entry_mut(&mut self, index: u32) -> Option<&mut Entry> {
        let hook = (index & self.mask) as usize;
        self.entries.get_mut(hook.wrapping_sub(1)).filter(|entry| entry.index == index && index != 0)
    }

    pub(super) fn holder(&self, index: u32) -> Option<Holder> {
        self.entry(index).map(|entry| entry.holder)
    }

    pub(super) fn keys(&self, index: u32) -> Option<&Keys> {
        self.entry(index)?.keys.as_deref()
    }

    #[inline]
    pub(super) fn keys_mut(&mut self, index: u32) -> Option<&mut Keys> {
        self.entry_mut(index)?.keys.as_deref_mut()
    }

    #[inline]
    pub(super) fn find_mut(&mut self, index: u32) -> Option<(Holder, &mut Keys)> {
        let entry = self.entry_mut(index)?;
        Some((entry.holder, entry.keys.as_deref_mut()?))
    }

    pub(super) fn set_keys(&mut self, index: u32, keys: Keys) {
        if let Some(entry) = self.entry_mut(index) {
            entry.keys = Some(Box::new(keys));
        }
    }

    pub(super) fn set_holder(&mut self, index: u32, holder: Holder) {
        if let Some(entry) = self.entry_mut(index) {
            entry.holder = holder;
        }
    }

    /// Frees an index and erases its keys.
    pub(super) fn release(&mut self, index: u32) {
        let hook = index & self.mask;
        if let Some(entry) = self.entry_mut(index) {
            entry.index = 0;
            entry.keys = None;
            self.free.push_back(hook);
        }
    }

    /// Indices in use with their holders.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, Holder)> + '_ {
        self.entries.iter().filter(|entry| entry.index != 0).map(|entry| (entry.index, entry.holder))
    }
}

/// The nonce of a data packet: path, then packet number. For path 0 it is Noise's own.
#[inline]
pub(super) fn nonce(path: PathId, number: u64) -> [u8; aead::NONCE_LEN] {
    let mut nonce = [0; aead::NONCE_LEN];
    nonce[0] = path.0;
    nonce[4..].copy_from_slice(&number.to_le_bytes());
    nonce
}

/// How many bytes of a packet number have to be sent so that the other side, which has certainly seen
/// `largest_acked`, understands it (RFC 9000, appendix A.2): 1 to 4.
#[inline]
pub(super) fn number_len(number: u64, largest_acked: Option<u64>) -> usize {
    let unacked = match largest_acked {
        Some(acked) => number.saturating_sub(acked),
        None => number.saturating_add(1),
    };
    // One bit more than the distance needs, since the receiver looks both ways.
    let bits = 65 - unacked.leading_zeros();
    (bits.div_ceil(8) as usize).clamp(1, 4)
}

/// The packet number whose last `len` bytes are `truncated`, nearest to `expected` (RFC 9000,
/// appendix A.3).
#[inline]
pub(super) fn decode_number(expected: u64, truncated: u64, len: usize) -> u64 {
    let window = 1u64 << (8 * len);
    let half = window / 2;
    let candidate = (expected & !(window - 1)) | truncated;
    if candidate.saturating_add(half) <= expected && candidate < (1 << 62) - window {
        candidate + window
    } else if candidate > expected.saturating_add(half) && candidate >= window {
        candidate - window
    } else {
        candidate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use proptest::prelude::*;

    /// The examples of RFC 9000, appendices A.2 and A.3.
    #[test]
    fn packet_numbers_as_in_rfc_9000_appendix_a() {
        assert_eq!(number_len(0xac5c02, Some(0xabe8b3)), 2);
        assert_eq!(number_len(0xace8fe, Some(0xabe8b3)), 3);
        assert_eq!(decode_number(0xa82f30ea + 1, 0x9b32, 2), 0xa82f9b32);
        assert_eq!(number_len(0, None), 1);
    }

    proptest! {
        /// Whatever the receiver has seen between the last acknowledged number and this one, it
        /// understands it.
        #[test]
        fn what_is_sent_is_understood(number in 0u64..1 << 61, behind in 1u64..1 << 30, seen in 0u64..1 << 30) {
            let acked = number.checked_sub(behind);
            let expected = acked.map_or(0, |acked| acked + 1) + seen % behind.min(number + 1);
            prop_assume!(number_len(number, acked) < 4 || behind < 1 << 30);
            let len = number_len(number, acked);
            let truncated = number & ((1u64 << (8 * len)) - 1);
            prop_assume!(acked.is_some() || number < 1 << 30);
            prop_assert_eq!(decode_number(expected, truncated, len), number);
        }
    }

    #[test]
    fn the_table_grows_with_what_is_in_use_and_not_with_time() {
        let mut rng = Rng::fork(&[1; 32], "table");
        let mut table = Table::new(1_000);
        let mut last = [0; 5];
        for round in 0..10_000 {
            let index = table.take(&mut rng, Holder::Dial(0)).unwrap();
            table.release(core::mem::replace(&mut last[round % 5], index));
        }
        assert_eq!(table.entries.len(), 5 + RESTING);
    }

    #[test]
    fn an_index_fits_once_and_the_table_is_bounded() {
        let mut rng = Rng::fork(&[1; 32], "table");
        let mut table = Table::new(3);
        let holder = Holder::Dial(0);
        let taken: [u32; 3] = core::array::from_fn(|_| table.take(&mut rng, holder).unwrap());
        assert_eq!(table.take(&mut rng, holder), None);
        assert!(taken.iter().all(|&index| index != 0 && index < 1 << 24));
        table.release(taken[1]);
        assert_eq!(table.holder(taken[1]), None);
        table.release(taken[1]);
        let again = table.take(&mut rng, Holder::Peer(PeerSlot(7))).unwrap();
        assert_eq!(again & 3, taken[1] & 3, "the same hook");
        assert_ne!(again, taken[1], "another ticket");
        assert_eq!(table.take(&mut rng, holder), None);
        assert_eq!(table.holder(0), None);
    }
}
