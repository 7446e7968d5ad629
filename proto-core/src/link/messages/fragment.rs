//! A message too large for one packet, seen by its sender.
//!
//! A crate that does not fit the van is sent in boxes: the crate is cut into blocks of at most 1,024
//! symbols of one size. The first pass sends each source symbol once. What is missing after it is
//! made up in one of two ways. On a clean path the lost symbols are sent again. On a path that loses
//! more than one in a hundred, and to a receiver that can decode them, repair symbols are sent
//! instead, as many as are still needed given what is expected to arrive of those under way.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;

use super::fountain::Encoder;
use crate::codec::varint_len;
use crate::link::frame::{Fragment, MessageHeader};
use crate::link::path::Fate;
use crate::time::{Duration, Instant};

/// Source symbols of a block; more would make decoding slower than the links it is for.
pub(super) const BLOCK_SYMBOLS: u32 = 1_024;
/// Symbol numbers below this take at most two bytes, so each symbol of a message fits like the first.
/// Fifteen repair symbols for each source symbol: enough for 93 % loss before numbers repeat.
pub(super) const SYMBOL_NUMBERS: u16 = 1 << 14;
/// Repair symbols are worth their arithmetic from this loss on (1 %).
const FOUNTAIN_LOSS_PPM: u32 = 10_000;
/// Messages of fewer symbols are repaired by sending lost symbols again: encoding would cost more.
const FOUNTAIN_SYMBOLS: u32 = 16;
/// Blocks under way at once where an encoder may be needed for each: bounds memory to about seven blocks.
const OPEN_FOUNTAIN: usize = 3;
/// Blocks under way at once where each costs 256 bytes of marks.
const OPEN_PLAIN: usize = 8;
/// Below this loss (0.1 %) nothing is sent twice ahead of any news.
const TAIL_LOSS_PPM: u32 = 1_000;

/// So many symbols of a block are wanted beyond its source symbols when repair symbols were sent: a decoder then fails once in a
/// million times (RFC 6330, section 1). The receipt of the message says for sure.
const SURPLUS: u32 = 2;

/// Names one symbol of one message, as a path carries it for us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Symbol {
    pub(super) block: u16,
    pub(super) symbol: u16,
    /// Which cut of the message it is of.
    pub(super) cut: u16,
}

impl Symbol {
    pub(super) fn pack(self) -> u32 {
        u32::from(self.block) << 16 | u32::from(self.symbol)
    }

    pub(super) fn unpack(cut: u16, packed: u32) -> Symbol {
        Symbol { block: (packed >> 16) as u16, symbol: packed as u16, cut }
    }
}

/// The number of another cut, unlike those of which anything may be under way.
pub(super) fn next_cut(cuts: &mut u16) -> u16 {
    *cuts = cuts.wrapping_add(1);
    *cuts
}

/// What has been sent of a message in symbols, and what became of it.
#[derive(Debug)]
pub(super) struct Fragments {
    len: u32,
    size: u16,
    fountain: bool,
    cut: u16,
    /// The block that `open` starts with.
    first: u32,
    open: VecDeque<Block>,
    tail_pass: Instant,
}

#[derive(Debug)]
struct Block {
    source: u16,
    /// Source symbols sent in the first pass.
    sent: u16,
    /// The next repair symbol, or 0 when none was made.
    repair: u16,
    /// Source symbols that are lost and not sent again.
    lost: u16,
    /// Where the next pass ahead of news goes on.
    tail: u16,
    /// Different symbols known to have arrived.
    arrived: u32,
    /// Those of them that are source symbols.
    sources: u16,
    /// Symbols whose fate is open, each as often as it was sent.
    in_flight: u32,
    /// A bit for each source symbol that arrived, then a bit for each that is lost.
    marks: Box<[u64]>,
    encoder: Option<Box<Encoder>>,
}

/// The largest symbol that fits `room` bytes together with its header, for the message `header` of
/// `len` bytes. `None` when not even one byte would.
pub(super) fn symbol_size(room: usize, header: &MessageHeader, len: u32) -> Option<u16> {
    let fixed = header.encoded_len(None) + varint_len(u64::from(len)) + 2;
    let mut size = room.checked_sub(fixed + 2)?;
    for _ in 0..2 {
        let blocks = (len as usize).div_ceil(size.max(1)).div_ceil(BLOCK_SYMBOLS as usize).max(1) as u64;
        let guess = u64::from(size > 63) + 1;
        size = room.checked_sub(fixed + guess as usize + varint_len(blocks - 1))?;
    }
    // Shrinking by one crosses no border of a length that was not counted as the larger one.
    let size = if (62..=64).contains(&size) { 62 } else { size };
    u16::try_from(size).ok().filter(|&size| size > 0)
}

impl Fragments {
    /// Cuts a message of `len` bytes into symbols of `size`.
    pub(super) fn new(len: u32, size: u16, fountain: bool, cut: u16) -> Fragments {
        let symbols = len.div_ceil(u32::from(size.max(1)));
        Fragments {
            len,
            size: size.max(1),
            fountain: fountain && symbols >= FOUNTAIN_SYMBOLS,
            cut,
            first: 0,
            open: VecDeque::new(),
            tail_pass: Instant::ZERO,
        }
    }

    /// Begins from the start, in symbols of `size`: what becomes of those under way is of no concern any more.
    pub(super) fn recut(&mut self, size: u16, cut: u16) {
        *self = Fragments::new(self.len, size, self.fountain, cut);
    }

    fn name(&self, block: u32, symbol: u16) -> Symbol {
        Symbol { block: block as u16, symbol, cut: self.cut }
    }

    /// Bytes of a symbol.
    pub(super) fn size(&self) -> u16 {
        self.size
    }

    fn symbols(&self) -> u32 {
        self.len.div_ceil(u32::from(self.size))
    }

    fn blocks(&self) -> u32 {
        self.symbols().div_ceil(BLOCK_SYMBOLS)
    }

    fn source_of(&self, block: u32) -> u16 {
        (self.symbols() - (block * BLOCK_SYMBOLS).min(self.symbols())).min(BLOCK_SYMBOLS) as u16
    }

    /// The most bytes any symbol takes with its header, as the last frame of a packet.
    pub(super) fn frame_len(&self, header: &MessageHeader) -> usize {
        header.encoded_len(None)
            + varint_len(u64::from(self.len))
            + varint_len(u64::from(self.size))
            + varint_len(u64::from(self.blocks().max(1) - 1))
            + 2
            + usize::from(self.size)
    }

    fn repairs(&self, loss_ppm: u32) -> bool {
        self.fountain && loss_ppm > FOUNTAIN_LOSS_PPM
    }

    /// Whether some symbol should be sent now, at this loss.
    pub(super) fn has_need(&self, loss_ppm: u32) -> bool {
        let repairs = self.repairs(loss_ppm);
        self.open.iter().any(|block| block.has_need(repairs, loss_ppm)) || self.can_open()
    }

    fn can_open(&self) -> bool {
        let most = if self.fountain { OPEN_FOUNTAIN } else { OPEN_PLAIN };
        self.open.len() < most && self.first + (self.open.len() as u32) < self.blocks()
    }

    /// Chooses the symbol to send next and counts it as under way.
    pub(super) fn next(&mut self, loss_ppm: u32) -> Option<Symbol> {
        let repairs = self.repairs(loss_ppm);
        for (offset, block) in self.open.iter_mut().enumerate() {
            if let Some(symbol) = block.next(repairs, loss_ppm) {
                return Some(self.name(self.first + offset as u32, symbol));
            }
        }
        if !self.can_open() {
            return None;
        }
        let number = self.first + self.open.len() as u32;
        let mut block = Block::new(self.source_of(number));
        let symbol = block.next(repairs, loss_ppm);
        self.open.push_back(block);
        symbol.map(|symbol| self.name(number, symbol))
    }

    /// Chooses a symbol to send ahead of any news, for a path that would otherwise be idle: so the
    /// last symbols of a message cost no round trips.
    pub(super) fn tail(&mut self, now: Instant, loss_ppm: u32, srtt: Duration) -> Option<Symbol> {
        if loss_ppm < TAIL_LOSS_PPM {
            return None;
        }
        let repairs = self.repairs(loss_ppm);
        for (offset, block) in self.open.iter_mut().enumerate() {
            let symbol = if repairs { block.surplus(loss_ppm) } else { block.unheard() };
            if let Some(symbol) = symbol {
                return Some(self.name(self.first + offset as u32, symbol));
            }
        }
        // One pass over what is under way in each round trip.
        if !repairs && self.tail_due(srtt) <= now {
            self.tail_pass = now;
            for block in &mut self.open {
                block.tail = 0;
            }
        }
        None
    }

    fn tail_due(&self, srtt: Duration) -> Instant {
        self.tail_pass + srtt
    }

    /// When [`Fragments::tail`] may have something to send.
    pub(super) fn tail_at(&self, loss_ppm: u32, srtt: Duration) -> Option<Instant> {
        if loss_ppm < TAIL_LOSS_PPM || self.open.is_empty() {
            return None;
        }
        if self.repairs(loss_ppm) {
            return self.open.iter().any(|block| block.wants_surplus(loss_ppm)).then_some(Instant::ZERO);
        }
        let unheard = self.open.iter().any(|block| block.tail < block.sent && block.in_flight > 0);
        Some(if unheard { Instant::ZERO } else { self.tail_due(srtt) })
    }

    /// A symbol that was sent before, to make the receiver say again what it has.
    pub(super) fn probe(&mut self) -> Symbol {
        if let Some(block) = self.open.front_mut() {
            block.in_flight += 1;
        }
        self.name(self.first.min(self.blocks().max(1) - 1), 0)
    }

    /// The frame fields of a symbol.
    pub(super) fn describe(&self, symbol: Symbol) -> Fragment {
        Fragment { total_len: self.len, symbol_size: self.size, block: symbol.block, symbol: symbol.symbol }
    }

    /// The bytes of a symbol: a part of the message, or a repair symbol made now.
    pub(super) fn data<'a>(&mut self, payload: &'a [u8], symbol: Symbol) -> Cow<'a, [u8]> {
        let size = usize::from(self.size);
        let start = usize::from(symbol.block) * BLOCK_SYMBOLS as usize * size;
        let source = self.source_of(u32::from(symbol.block));
        if symbol.symbol < source {
            let from = start + usize::from(symbol.symbol) * size;
            let to = (from + size).min(payload.len());
            return Cow::Borrowed(payload.get(from..to).unwrap_or(&[]));
        }
        let end = (start + usize::from(source) * size).min(payload.len());
        let bytes = payload.get(start..end).unwrap_or(&[]);
        let block =
            u32::from(symbol.block).checked_sub(self.first).and_then(|at| self.open.get_mut(at as usize));
        match block {
            Some(block) => {
                let encoder =
                    block.encoder.get_or_insert_with(|| Box::new(Encoder::new(bytes, source, self.size)));
                Cow::Owned(encoder.repair(symbol.symbol))
            }
            None => Cow::Borrowed(&[]),
        }
    }

    /// Takes back a symbol that was chosen but not written.
    pub(super) fn unsend(&mut self, symbol: Symbol) {
        self.on_fate(symbol, Fate::Lost);
    }

    /// Panics when an invariant does not hold: what is not done is sent, or under way, so that it ends.
    pub(super) fn check(&self, loss_ppm: u32) {
        let repairs = self.repairs(loss_ppm);
        for block in self.open.iter().filter(|block| !block.is_done()) {
            assert!(block.in_flight > 0 || block.has_need(repairs, loss_ppm), "nobody cares for {block:?}");
        }
    }

    /// Notes what became of a symbol.
    pub(super) fn on_fate(&mut self, symbol: Symbol, fate: Fate) {
        if symbol.cut != self.cut {
            return;
        }
        let Some(at) = u32::from(symbol.block).checked_sub(self.first) else { return };
        let Some(block) = self.open.get_mut(at as usize) else { return };
        if fate != Fate::Late {
            block.in_flight = block.in_flight.saturating_sub(1);
        }
        match fate {
            Fate::Acked | Fate::Late => block.on_arrived(symbol.symbol),
            Fate::Lost => block.on_lost(symbol.symbol),
        }
        if block.is_done() {
            block.encoder = None;
        }
        while self.open.front().is_some_and(Block::is_done) {
            self.open.pop_front();
            self.first += 1;
        }
    }
}

impl Block {
    fn new(source: u16) -> Block {
        let words = usize::from(source).div_ceil(64) * 2;
        Block {
            source,
            sent: 0,
            repair: 0,
            lost: 0,
            tail: 0,
            arrived: 0,
            sources: 0,
            in_flight: 0,
            marks: vec![0; words].into_boxed_slice(),
            encoder: None,
        }
    }

    /// Whether the receiver can put the block together, as far as anybody can know.
    fn is_done(&self) -> bool {
        self.sources == self.source || self.arrived >= u32::from(self.source) + SURPLUS
    }

    /// Symbols that have to arrive yet, none of those under way counted. With repair symbols as many as make the block done:
    /// else it would be neither done nor asked for, and blocks behind it would wait.
    fn missing(&self, repairs: bool) -> u32 {
        let wanted = u32::from(self.source) + if repairs || self.repair != 0 { SURPLUS } else { 0 };
        wanted.saturating_sub(self.arrived)
    }

    fn has_need(&self, repairs: bool, loss_ppm: u32) -> bool {
        if self.sent < self.source {
            return true;
        }
        if self.is_done() {
            return false;
        }
        if !repairs && (self.lost == 0 || self.repair == 0) {
            return self.lost > 0;
        }
        // Without loss so far nothing is missing, however much more than the source symbols a
        // decoder would like to have.
        if self.repair == 0 && self.lost == 0 && self.in_flight + self.arrived >= u32::from(self.source) {
            let likely = u64::from(self.in_flight) * u64::from(loss_ppm) / 1_000_000;
            if likely == 0 {
                return false;
            }
        }
        let expected = if repairs {
            u64::from(self.in_flight) * u64::from(1_000_000 - loss_ppm.min(1_000_000)) / 1_000_000
        } else {
            u64::from(self.in_flight)
        };
        expected < u64::from(self.missing(repairs))
    }

    fn next(&mut self, repairs: bool, loss_ppm: u32) -> Option<u16> {
        if !self.has_need(repairs, loss_ppm) {
            return None;
        }
        let symbol = if self.sent < self.source {
            self.sent += 1;
            self.sent - 1
        } else if repairs {
            self.next_repair()
        } else {
            self.take_lost()?
        };
        self.in_flight += 1;
        Some(symbol)
    }

    fn next_repair(&mut self) -> u16 {
        let symbol = self.repair.max(self.source);
        self.repair = if symbol + 1 >= SYMBOL_NUMBERS { self.source } else { symbol + 1 };
        symbol
    }

    fn take_lost(&mut self) -> Option<u16> {
        let half = self.marks.len() / 2;
        let (word, bits) = self.marks.iter_mut().skip(half).enumerate().find(|(_, bits)| **bits != 0)?;
        let bit = bits.trailing_zeros();
        *bits &= *bits - 1;
        self.lost = self.lost.saturating_sub(1);
        Some((word * 64) as u16 + bit as u16)
    }

    /// Whether what is under way may not be enough: fewer than four standard deviations above need.
    fn wants_surplus(&self, loss_ppm: u32) -> bool {
        let (flying, loss) = (u64::from(self.in_flight), u64::from(loss_ppm.min(1_000_000)));
        let missing = u64::from(self.missing(true));
        if self.is_done() || self.sent < self.source {
            return false;
        }
        let mean = flying * (1_000_000 - loss) / 1_000_000;
        let variance = flying * loss / 1_000 * (1_000_000 - loss) / 1_000_000_000;
        mean < missing + 4 * (variance + 1).isqrt()
    }

    fn surplus(&mut self, loss_ppm: u32) -> Option<u16> {
        if !self.wants_surplus(loss_ppm) {
            return None;
        }
        self.in_flight += 1;
        Some(self.next_repair())
    }

    /// The next source symbol in this pass that was sent and not heard of.
    fn unheard(&mut self) -> Option<u16> {
        while self.tail < self.sent {
            let symbol = self.tail;
            self.tail += 1;
            if !self.is_marked(symbol, false) && !self.is_marked(symbol, true) {
                self.in_flight += 1;
                return Some(symbol);
            }
        }
        None
    }

    fn mark_mut(&mut self, symbol: u16, lost: bool) -> Option<(&mut u64, u64)> {
        let half = if lost { self.marks.len() / 2 } else { 0 };
        let word = self.marks.get_mut(half + usize::from(symbol) / 64)?;
        Some((word, 1 << (symbol % 64)))
    }

    fn is_marked(&self, symbol: u16, lost: bool) -> bool {
        let half = if lost { self.marks.len() / 2 } else { 0 };
        let word = self.marks.get(half + usize::from(symbol) / 64).copied().unwrap_or(0);
        word & (1 << (symbol % 64)) != 0
    }

    fn on_arrived(&mut self, symbol: u16) {
        if symbol >= self.source {
            self.arrived += 1;
            return;
        }
        if self.is_marked(symbol, true) {
            self.lost = self.lost.saturating_sub(1);
            if let Some((word, bit)) = self.mark_mut(symbol, true) {
                *word &= !bit;
            }
        }
        if !self.is_marked(symbol, false) {
            self.arrived += 1;
            self.sources += 1;
            if let Some((word, bit)) = self.mark_mut(symbol, false) {
                *word |= bit;
            }
        }
    }

    fn on_lost(&mut self, symbol: u16) {
        if symbol < self.source && !self.is_marked(symbol, false) && !self.is_marked(symbol, true) {
            self.lost += 1;
            if let Some((word, bit)) = self.mark_mut(symbol, true) {
                *word |= bit;
            }
        }
    }
}

#[cfg(test)]
mod tests;
