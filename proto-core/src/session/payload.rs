//! What the two sides tell each other inside the handshake, encrypted.
//!
//! ```text
//! flags u8 (1 = refused: a second instance of this identity) | lowest version u8 | highest version u8
//! start count u32 | instance u64 | life u32 | forgot u32 | round u32
//! capabilities u8 (1 = fountain, 2 = routing, 4 = gossip) | message_bytes u32 | receive_bytes u32 | packet_bytes u32
//! certificate: varint length, bytes | membership: varint length, bytes | padding and what later versions add
//! ```
//!
//! Between two that know each other's papers from the map of the mesh it is short, so that a handshake fits one packet of a radio on each hop:
//!
//! ```text
//! flags u8 (2 = short) | lowest version u8 | highest version u8 | instance u64 | capabilities u8
//! varints: start count, life, forgot, round, message_bytes, receive_bytes, packet_bytes, message_window
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
const SHORT: u8 = 2;
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
    /// The papers are those that the receiver knows already.
    pub(super) is_short: bool,
    pub(super) certificate: &'a [u8],
    pub(super) membership: &'a [u8],
}

impl<'a> Payload<'a> {
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Payload<'a>, Malformed> {
        let mut reader = Reader::new(bytes);
        let flags = reader.u8()?;
        let versions = Versions { lowest: reader.u8()?, highest: reader.u8()? };
        if flags & SHORT != 0 {
            return Payload::decode_short(&mut reader, flags & REFUSED != 0, versions);
        }
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
        check(&params)?;
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
            is_short: false,
            certificate,
            membership,
        })
    }

    fn decode_short(
        reader: &mut Reader<'_>,
        refused: bool,
        versions: Versions,
    ) -> Result<Payload<'a>, Malformed> {
        let (instance, capabilities) = (reader.u64()?, reader.u8()?);
        let mut number = || u32::try_from(reader.varint()?).map_err(|_| Malformed);
        let (boot, life, forgot, round) = (number()?, number()?, number()?, number()?);
        let params = PeerParams {
            fountain: capabilities & FOUNTAIN != 0,
            routing: capabilities & ROUTING != 0,
            gossip: capabilities & GOSSIP != 0,
            message_bytes: number()?,
            receive_bytes: number()?,
            packet_bytes: number()?,
            message_window: u16::try_from(number()?).map_err(|_| Malformed)?,
        };
        check(&params)?;
        let (certificate, membership): (&[u8], &[u8]) = (&[], &[]);
        Ok(Payload {
            refused,
            versions,
            boot,
            instance,
            life,
            forgot,
            round,
            params,
            is_short: true,
            certificate,
            membership,
        })
    }

    fn numbers(&self) -> [u32; 8] {
        let params = &self.params;
        [
            self.boot,
            self.life,
            self.forgot,
            self.round,
            params.message_bytes,
            params.receive_bytes,
            params.packet_bytes,
            u32::from(params.message_window),
        ]
    }

    fn capabilities(&self) -> u8 {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        let PeerParams { fountain, routing, gossip, .. } = self.params;
        bit(fountain, FOUNTAIN) | bit(routing, ROUTING) | bit(gossip, GOSSIP)
    }

    fn write_short(&self, writer: &mut Writer<'_>) -> Result<(), crate::codec::NoRoom> {
        writer.u8(SHORT | if self.refused { REFUSED } else { 0 })?;
        writer.put(&[self.versions.lowest, self.versions.highest])?;
        writer.u64(self.instance)?;
        writer.u8(self.capabilities())?;
        self.numbers().into_iter().try_for_each(|number| writer.varint(u64::from(number)))
    }

    /// The encoded length without padding.
    pub(super) fn len(&self) -> usize {
        if self.is_short {
            let numbers: usize = self.numbers().into_iter().map(|number| varint_len(u64::from(number))).sum();
            return 3 + 8 + 1 + numbers;
        }
        let prefixed = |bytes: &[u8]| varint_len(bytes.len() as u64) + bytes.len();
        FIXED_LEN + prefixed(self.certificate) + prefixed(self.membership)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = alloc::vec![0; self.len()];
        let mut writer = Writer::new(&mut bytes);
        // The buffer has exactly the room that is needed.
        let written = if self.is_short { self.write_short(&mut writer) } else { self.write(&mut writer) };
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
        writer.u8(self.capabilities())?;
        writer.u32(self.params.message_bytes)?;
        writer.u32(self.params.receive_bytes)?;
        writer.u32(self.params.packet_bytes)?;
        writer.u16(self.params.message_window)?;
        writer.prefixed(self.certificate)?;
        writer.prefixed(self.membership)
    }
}

/// Less holds no packet and no window; believed, it would leave nothing that can ever be sent.
fn check(params: &PeerParams) -> Result<(), Malformed> {
    let is_enough =
        params.packet_bytes >= PeerParams::LEAST_PACKET && params.message_window >= PeerParams::LEAST_WINDOW;
    if is_enough { Ok(()) } else { Err(Malformed) }
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
            is_short: false,
            certificate: &[],
            membership: &[],
        }
        .encode()
    }

    #[test]
    fn a_short_one_says_the_same_without_papers() {
        let params = PeerParams {
            message_bytes: 1 << 20,
            receive_bytes: u32::MAX,
            packet_bytes: 1_452,
            message_window: 4_096,
            fountain: true,
            routing: true,
            gossip: true,
        };
        let short = Payload {
            refused: true,
            versions: Versions { lowest: 1, highest: 3 },
            boot: 300,
            instance: u64::MAX,
            life: 2,
            forgot: 1,
            round: u32::MAX,
            params,
            is_short: true,
            certificate: &[],
            membership: &[],
        };
        let bytes = short.encode();
        assert!(bytes.len() <= 40, "{} bytes", bytes.len());
        assert_eq!(Payload::decode(&bytes), Ok(short));
        for len in 0..bytes.len() {
            assert!(Payload::decode(&bytes[..len]).is_err(), "cut to {len}");
        }
        let mut beyond = bytes[..12].to_vec();
        beyond.extend([0xff; 8]);
        assert!(Payload::decode(&beyond).is_err(), "no start count");
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
