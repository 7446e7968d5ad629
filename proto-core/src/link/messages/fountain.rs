//! Repair symbols: water from a fountain fills the glass, whichever drops fall in.
//!
//! At 90 % loss asking again for each lost piece costs a round trip for each round of asking, and the
//! asking is lost as well. A RaptorQ encoder (RFC 6330) makes as many different symbols of a block as
//! anyone wants; a receiver with any `K` of them has the block with probability 0.99, with `K + 2`
//! 0.999999 (RFC 6330, section 1). So nobody asks for anything: the sender pours until told to stop.

use alloc::vec;
use alloc::vec::Vec;

use raptorq::{
    EncodingPacket, ObjectTransmissionInformation, PayloadId, SourceBlockDecoder, SourceBlockEncoder,
};

/// One block, ready to give any number of repair symbols. Costs about 2.2 times the block.
#[derive(Debug)]
pub(super) struct Encoder {
    inner: SourceBlockEncoder,
    source_symbols: u16,
}

fn config(source_symbols: u16, size: u16) -> ObjectTransmissionInformation {
    let bytes = u64::from(source_symbols) * u64::from(size);
    ObjectTransmissionInformation::new(bytes, size, 1, 1, 1)
}

impl Encoder {
    /// Prepares the block `data` of `source_symbols` symbols of `size` bytes; the last may be short.
    pub(super) fn new(data: &[u8], source_symbols: u16, size: u16) -> Encoder {
        let mut padded = vec![0; usize::from(source_symbols) * usize::from(size)];
        let len = data.len().min(padded.len());
        if let (Some(to), Some(from)) = (padded.get_mut(..len), data.get(..len)) {
            to.copy_from_slice(from);
        }
        Encoder { inner: SourceBlockEncoder::new(0, &config(source_symbols, size), &padded), source_symbols }
    }

    /// The repair symbol with the number `symbol`, which is at least the count of source symbols.
    pub(super) fn repair(&self, symbol: u16) -> Vec<u8> {
        let first = u32::from(symbol.saturating_sub(self.source_symbols));
        let packet = self.inner.repair_packets(first, 1).pop();
        packet.map_or_else(Vec::new, |packet| packet.split().1)
    }
}

/// The block's `source_symbols * size` bytes from any symbols of it, each of exactly `size` bytes and
/// no number twice; `None` when they do not suffice.
pub(super) fn decode<'a>(
    source_symbols: u16,
    size: u16,
    symbols: impl Iterator<Item = (u16, &'a [u8])>,
) -> Option<Vec<u8>> {
    let bytes = u64::from(source_symbols) * u64::from(size);
    let mut decoder = SourceBlockDecoder::new(0, &config(source_symbols, size), bytes);
    decoder.decode(symbols.map(|(number, data)| {
        let mut data = data.to_vec();
        data.resize(usize::from(size), 0);
        EncodingPacket::new(PayloadId::new(0, u32::from(number)), data)
    }))
}
