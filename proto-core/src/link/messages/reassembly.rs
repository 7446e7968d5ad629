//! A message in symbols, seen by its receiver.
//!
//! Whoever announces 16 MiB and sends one byte has sent one byte: memory grows with what arrives, and
//! only the accounts are charged for the whole from the start, so that whatever was begun can be
//! finished. Blocks are kept within a short reach of the first unfinished one.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

use super::fountain;
use super::fragment::{BLOCK_SYMBOLS, SYMBOL_NUMBERS};
use crate::link::frame::Fragment;
use crate::time::Instant;

/// The smallest symbol anyone may use: an MTU of 64 leaves about 30.
const SMALLEST_SYMBOL: u16 = 16;
/// Blocks beyond the first unfinished one that are kept; a sender has at most eight under way.
const REACH: u16 = 16;
/// Symbols beyond the needed ones that are tried before the block is thrown away: with honest symbols
/// decoding fails at this point with a probability of 10^-18 (RFC 6330, section 1), so it is a liar.
const MOST_EXTRA: usize = 8;

/// What a symbol led to.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Progress {
    /// More are needed.
    More,
    /// The message is whole.
    Whole(Bytes),
    /// It contradicts what is known of the message.
    Contradiction,
}

/// One message being put together.
#[derive(Debug)]
pub(super) struct Reassembly {
    total: u32,
    size: u16,
    /// When it last grew.
    pub(super) touched: Instant,
    first: u16,
    whole: Vec<u8>,
    blocks: BTreeMap<u16, Block>,
}

#[derive(Debug)]
struct Block {
    source: u16,
    len: usize,
    numbers: Vec<u16>,
    have: Vec<u64>,
    /// Symbols in the order of arrival; the block's bytes once it is decoded.
    data: Vec<u8>,
    decoded: bool,
}

impl Reassembly {
    /// Begins with what a symbol's header says; `None` when no honest sender would say that.
    pub(super) fn new(header: &Fragment, now: Instant) -> Option<Reassembly> {
        if header.symbol_size < SMALLEST_SYMBOL || header.total_len == 0 {
            return None;
        }
        Some(Reassembly {
            total: header.total_len,
            size: header.symbol_size,
            touched: now,
            first: 0,
            whole: Vec::new(),
            blocks: BTreeMap::new(),
        })
    }

    /// Bytes the whole message will have.
    pub(super) fn total(&self) -> usize {
        self.total as usize
    }

    /// Bytes of memory it takes now.
    pub(super) fn kept_bytes(&self) -> usize {
        let block = |block: &Block| {
            size_of::<Block>()
                + block.data.capacity()
                + 2 * block.numbers.capacity()
                + 8 * block.have.capacity()
        };
        size_of::<Reassembly>() + self.whole.capacity() + self.blocks.values().map(block).sum::<usize>()
    }

    /// Takes one symbol. Without `fountain`, which we did not announce then, only a source symbol: who
    /// sends another makes a node decode that has no memory for it.
    pub(super) fn take(&mut self, header: &Fragment, data: &[u8], fountain: bool, now: Instant) -> Progress {
        if header.total_len != self.total {
            return Progress::Contradiction;
        }
        if header.symbol_size > self.size {
            // Sizes only shrink: this one was under way when the sender started anew.
            return Progress::More;
        }
        if header.symbol_size < self.size {
            let Some(anew) = Reassembly::new(header, now) else { return Progress::Contradiction };
            *self = anew;
        }
        let Some((source, len)) = self.extent(header.block) else { return Progress::Contradiction };
        let size = usize::from(self.size);
        let at = usize::from(header.symbol) * size;
        let expected = if header.symbol < source { size.min(len - at) } else { size };
        let numbers = if fountain { SYMBOL_NUMBERS } else { source };
        if data.len() != expected || header.symbol >= numbers {
            return Progress::Contradiction;
        }
        if header.block < self.first || header.block - self.first >= REACH {
            return Progress::More;
        }
        let block = self.blocks.entry(header.block).or_insert_with(|| Block::new(source, len));
        if !block.add(header.symbol, data, size) {
            return Progress::More;
        }
        self.touched = now;
        block.complete(self.size);
        self.collect()
    }

    /// Source symbols and bytes of a block, if there is such a block.
    fn extent(&self, block: u16) -> Option<(u16, usize)> {
        let start = u64::from(block) * u64::from(BLOCK_SYMBOLS) * u64::from(self.size);
        let left = u64::from(self.total).checked_sub(start).filter(|&left| left > 0)?;
        let source = left.div_ceil(u64::from(self.size)).min(u64::from(BLOCK_SYMBOLS));
        let len = left.min(source * u64::from(self.size));
        Some((source as u16, len as usize))
    }

    /// Appends the finished blocks that come next.
    fn collect(&mut self) -> Progress {
        while self.blocks.get(&self.first).is_some_and(|block| block.decoded) {
            let Some(block) = self.blocks.remove(&self.first) else { break };
            self.first += 1;
            if self.whole.is_empty() {
                self.whole = block.data;
            } else {
                let most = self.total as usize - self.whole.len();
                self.whole.reserve_exact(block.data.len().max((self.whole.len() / 2).min(most)));
                self.whole.extend_from_slice(&block.data);
            }
        }
        if self.whole.len() < self.total as usize {
            return Progress::More;
        }
        let mut whole = core::mem::take(&mut self.whole);
        whole.shrink_to_fit();
        Progress::Whole(Bytes::from(whole))
    }
}

impl Block {
    fn new(source: u16, len: usize) -> Block {
        Block { source, len, numbers: Vec::new(), have: Vec::new(), data: Vec::new(), decoded: false }
    }

    /// Keeps a symbol; false when it is of no use.
    fn add(&mut self, symbol: u16, data: &[u8], size: usize) -> bool {
        if self.decoded {
            return false;
        }
        let (word, bit) = (usize::from(symbol) / 64, 1u64 << (symbol % 64));
        if word >= self.have.len() {
            self.have.resize(word + 1, 0);
        }
        let Some(have) = self.have.get_mut(word) else { return false };
        if *have & bit != 0 {
            return false;
        }
        *have |= bit;
        let needed = self.data.len() + size;
        if needed > self.data.capacity() {
            let most = (usize::from(self.source) * size).max(needed);
            self.data.reserve_exact((needed * 2).min(most) - self.data.len());
        }
        self.numbers.push(symbol);
        self.data.extend_from_slice(data);
        self.data.resize(needed, 0);
        true
    }

    /// Decodes the block if that is possible with what is here.
    fn complete(&mut self, size: u16) {
        let source = usize::from(self.source);
        if self.numbers.len() < source {
            return;
        }
        let bytes = if self.numbers.iter().enumerate().all(|(at, &number)| usize::from(number) == at) {
            Some(core::mem::take(&mut self.data))
        } else if self.numbers.iter().filter(|&&number| number < self.source).count() == source {
            Some(self.sort(usize::from(size)))
        } else {
            let symbols = self.numbers.iter().copied().zip(self.data.chunks_exact(usize::from(size)));
            fountain::decode(self.source, size, symbols)
        };
        let extra = self.numbers.len() - source;
        match bytes {
            Some(mut bytes) => {
                bytes.truncate(self.len);
                (self.data, self.decoded) = (bytes, true);
                (self.numbers, self.have) = (Vec::new(), Vec::new());
            }
            None if extra > MOST_EXTRA => {
                *self = Block::new(self.source, self.len);
            }
            None => {}
        }
    }

    /// All source symbols are here: puts them in order.
    fn sort(&self, size: usize) -> Vec<u8> {
        let mut sorted = vec![0; usize::from(self.source) * size];
        for (&number, symbol) in self.numbers.iter().zip(self.data.chunks_exact(size)) {
            let at = usize::from(number) * size;
            if let Some(place) = sorted.get_mut(at..at + size) {
                place.copy_from_slice(symbol);
            }
        }
        sorted
    }
}
