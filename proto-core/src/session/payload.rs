//! What the two sides tell each other inside the handshake, encrypted.
//!
//! ```text
//! flags u8 (1 = refused: a second instance of this identity) | lowest version u8 | highest version u8
//! start count u32 | instance u64 | life u32 | forgot u32 | round u32
//! capabilities u8 (1 = fountain, 2 = routing, 4 = gossip) | message_bytes u32 | receive_bytes u32 | packet_bytes u32
//! certificate: varint length, bytes | membership: varint length, bytes | padding and what later versions add
//! ```

use alloc::vec::Vec;

use super::message::{MAX_HANDSHAKE_BYTES, RESPONSE_OVERHEAD, Versions};
use crate::codec::{Malformed, Reader, Writer, varint_len};
use crate::crypto::noise::XX_RESPONSE_OVERHEAD;
use crate::identity::MAX_PAPERS_BYTES;
use crate::params::PeerParams;

const FIXED_LEN: usize = 3 + 4 + 8 + 4 + 4 + 4 + 1 + 4 + 4 + 4 + 2;
/// Whatever papers a node may have, its longest packet, the Response of XX, can be sent. (The Init of XX is
/// as long, that of IK and the Finish are shorter.)
const _: () = assert!(
    RESPONSE_OVERHEAD
        + XX_RESPONSE_OVERHEAD
        + FIXED_LEN
        + 2 * varint_len(MAX_PAPERS_BYTES as u64)
        + MAX_PAPERS_BYTES
        <= MAX_HANDSHAKE_BYTES
);

const REFUSED: u8 = 1;
const FOUNTAIN: u8 = 1;
const ROUTING: u8 = 2;
const GOSSIP: u8 = 4;

/// One side's claims. Proved by the handshake around them and by the certificate in them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Payload<'a> {
    /// The receiver will get no session: its identity already has one, by another instance.
    pub(super) refused: bool,
    /// The version range again, here where nobody can change it.
    pub(super) versions: Versions,
    /// How often this device has started.
    pub(super) boot: u32,
    /// Drawn anew at every start.
    pub(super) instance: u64,
    /// How often the sender has forgotten a peer since it started.
    pub(super) life: u32,
    /// Its life when it last forgot the receiver; 0 when it never did, or does not know yet whom it
    /// answers.
    pub(super) forgot: u32,
    /// Rises with every exchange of keys within one association. The responder's word holds.
    pub(super) round: u32,
    pub(super) params: PeerParams,
    pub(super) certificate: &'a [u8],
    pub(super) membership: &'a [u8],
}

impl<'a> Payload<'a> {
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Payload<'a>, Malformed> {
        let mut reader = Reader::new(bytes);
        let flags = reader.u8()?;
        let versions = Versions { lowest: reader.u8()?, highest: reader.u8()? };
        let (boot, instance) = (reader.u32()?, reader.u64()?);
        let (life, forgot, round) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let capabilities = reader.u8()?;
        let params = PeerParams {
            fountain: capabilities & FOUNTAIN != 0,
            routing: capabilities & ROUTING != 0,
            gossip: capabilities & GOSSIP != 0,
            message_bytes: reader.u32()?,
            receive_bytes: reader.u32()?,
            packet_bytes: reader.u32()?,
            message_window: reader.u16()?,
        };
        // Less holds no packet and no window; believed, it would leave nothing that can ever be sent.
        if params.packet_bytes < PeerParams::LEAST_PACKET || params.message_window < PeerParams::LEAST_WINDOW
        {
            return Err(Malformed);
        }
        let (certificate, membership) = (reader.prefixed()?, reader.prefixed()?);
        Ok(Payload {
            refused: flags & REFUSED != 0,
            versions,
            boot,
            instance,
            life,
            forgot,
            round,
            params,
            certificate,
            membership,
        })
    }

    /// The encoded length without padding.
    pub(super) fn len(&self) -> usize {
        let prefixed = |bytes: &[u8]| varint_len(bytes.len() as u64) + bytes.len();
        FIXED_LEN + prefixed(self.certificate) + prefixed(self.membership)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = alloc::vec![0; self.len()];
        let mut writer = Writer::new(&mut bytes);
        // The buffer has exactly the room that is needed.
        let written = self.write(&mut writer);
        debug_assert!(written.is_ok() && writer.room() == 0);
        bytes
    }

    fn write(&self, writer: &mut Writer<'_>) -> Result<(), crate::codec::NoRoom> {
        writer.u8(if self.refused { REFUSED } else { 0 })?;
        writer.put(&[self.versions.lowest, self.versions.highest])?;
        writer.u32(self.boot)?;
        writer.u64(self.instance)?;
        writer.u32(self.life)?;
        writer.u32(self.forgot)?;
        writer.u32(self.round)?;
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        let PeerParams { fountain, routing, gossip, .. } = self.params;
        writer.u8(bit(fountain, FOUNTAIN) | bit(routing, ROUTING) | bit(gossip, GOSSIP))?;
        writer.u32(self.params.message_bytes)?;
        writer.u32(self.params.receive_bytes)?;
        writer.u32(self.params.packet_bytes)?;
        writer.u16(self.params.message_window)?;
        writer.prefixed(self.certificate)?;
        writer.prefixed(self.membership)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(packet_bytes: u32, message_window: u16) -> Vec<u8> {
        let params = PeerParams {
            message_bytes: 0,
            receive_bytes: 0,
            packet_bytes,
            message_window,
            fountain: false,
            routing: false,
            gossip: false,
        };
        Payload {
            refused: false,
            versions: Versions { lowest: 1, highest: 1 },
            boot: 1,
            instance: 2,
            life: 0,
            forgot: 0,
            round: 0,
            params,
            certificate: &[],
            membership: &[],
        }
        .encode()
    }

    /// Believed, they would make a peer to which no packet can ever be built.
    #[test]
    fn sizes_in_which_nothing_fits_are_refused() {
        assert!(Payload::decode(&encoded(64, 64)).is_ok());
        assert!(Payload::decode(&encoded(u32::MAX, u16::MAX)).is_ok());
        for (packet_bytes, message_window) in [(0, 64), (63, 64), (64, 0), (64, 63)] {
            assert!(Payload::decode(&encoded(packet_bytes, message_window)).is_err());
        }
    }
}
