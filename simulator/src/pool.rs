//! Packets under way, in boxes that are used again.
//!
//! A courier who buys a new box for every parcel spends his day buying boxes. Here an emptied box goes
//! back on the pile with its capacity, so that in the steady state no packet costs an allocation.

use proto_core::ids::Addr;

/// A packet's place in the pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PacketRef(u32);

#[derive(Debug)]
struct Packet {
    from: Addr,
    to: Addr,
    chain: u32,
    bytes: Vec<u8>,
}

/// All packets under way.
#[derive(Debug, Default)]
pub struct Pool {
    packets: Vec<Packet>,
    free: Vec<u32>,
    /// How many packets in a row have each answered the one before, up to what is put in now.
    pub chain: u32,
}

impl Pool {
    /// Stores a copy of `bytes`, which the receiver will think that `from` sent to `to`.
    #[inline]
    pub fn put(&mut self, from: Addr, to: Addr, bytes: &[u8]) -> PacketRef {
        if let Some(at) = self.free.pop() {
            let packet = &mut self.packets[at as usize];
            (packet.from, packet.to, packet.chain) = (from, to, self.chain);
            packet.bytes.extend_from_slice(bytes);
            return PacketRef(at);
        }
        self.packets.push(Packet { from, to, chain: self.chain, bytes: bytes.to_vec() });
        PacketRef(self.packets.len() as u32 - 1)
    }

    /// [`Pool::chain`] when the packet was put in.
    #[must_use]
    pub fn chain_of(&self, packet: PacketRef) -> u32 {
        self.packets[packet.0 as usize].chain
    }

    /// The address that the packet was sent to.
    #[must_use]
    pub fn target_of(&self, packet: PacketRef) -> Addr {
        self.packets[packet.0 as usize].to
    }

    /// Takes the packet out, box and all; give the box back with [`Pool::give_back`].
    #[inline]
    pub fn take(&mut self, packet: PacketRef) -> (Addr, Vec<u8>) {
        let packet = &mut self.packets[packet.0 as usize];
        (packet.from, std::mem::take(&mut packet.bytes))
    }

    /// Returns an emptied box to the pile.
    #[inline]
    pub fn give_back(&mut self, packet: PacketRef, mut bytes: Vec<u8>) {
        bytes.clear();
        self.packets[packet.0 as usize].bytes = bytes;
        self.free.push(packet.0);
    }

    /// Throws a packet away.
    pub fn discard(&mut self, packet: PacketRef) {
        let (_, bytes) = self.take(packet);
        self.give_back(packet, bytes);
    }

    /// The bytes, to look at or to damage.
    pub fn bytes_mut(&mut self, packet: PacketRef) -> &mut Vec<u8> {
        &mut self.packets[packet.0 as usize].bytes
    }

    /// How many packets are under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.packets.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_is_used_again_with_its_capacity() {
        let mut pool = Pool::default();
        let first = pool.put(Addr::from_u32(1), Addr::from_u32(9), &[7; 1_000]);
        assert_eq!(pool.target_of(first), Addr::from_u32(9));
        let (from, bytes) = pool.take(first);
        assert_eq!((from, bytes.len()), (Addr::from_u32(1), 1_000));
        pool.give_back(first, bytes);
        assert_eq!(pool.under_way(), 0);
        let second = pool.put(Addr::from_u32(2), Addr::ANY, &[8; 10]);
        assert_eq!(second, first);
        assert_eq!(pool.bytes_mut(second), &[8; 10]);
        assert!(pool.bytes_mut(second).capacity() >= 1_000);
        assert_eq!(pool.under_way(), 1);
    }
}
