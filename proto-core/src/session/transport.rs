//! Sealing and opening data packets: the path that every byte takes.
//!
//! ```text
//! byte 0     1 r r p p p n n     r reserved, p path of the sender, n bytes of packet number less one
//! bytes 1-3  the receiver's index, little-endian
//! 1-4 bytes  packet number, truncated, little-endian
//! rest       ciphertext and tag; the header is the associated data
//! ```
//!
//! Nothing here allocates (but the window of a path's first packet) or searches.

use core::ops::Range;

use super::keys::{self, Holder};
use super::message::{Builder, Kind, UNKNOWN_LEN};
use super::peers::{Association, PathNumbers, Peer, Place, Unproved};
use super::settle::Fate;
use super::{ANSWERS_PER_S, Sessions};
use crate::bounded::{Seen, Window};
use crate::crypto::aead::TAG_LEN;
use crate::drops::Drop;
use crate::ids::{Addr, LinkId, PathId, PeerSlot};
use crate::machine::Cx;
use crate::wake::{Reason, Wake};
use crate::zoo::Bug;

/// Header bytes before the packet number.
const FIXED_LEN: usize = 4;
/// Packet numbers stay below (RFC 9000, section 12.3).
const NUMBER_END: u64 = 1 << 62;
/// Forgeries that one key survives (RFC 9001, section 6.6, for ChaCha20-Poly1305).
const FORGED_LIMIT: u64 = 1 << 36;

/// A packet ready to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sealed {
    /// Its number on its path.
    pub packet_number: u64,
    /// A name of the key that it was sealed with, which says nothing about the key.
    pub key_name: u64,
    /// Its length in bytes, from the start of the buffer.
    pub len: usize,
}

/// What a packet shows of the place to which a handshake was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answered {
    /// Nothing that was not known.
    Known,
    /// It is the first under the keys, and came from elsewhere. Here the answer went.
    Elsewhere(LinkId, Addr),
    /// It came from there and shows, after one from elsewhere, that the peer is there.
    Reached,
}

/// A packet that was authentic, and new, or shows where the peer is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opened {
    /// Who sent it.
    pub peer: PeerSlot,
    /// The sender's number of the path.
    pub path: PathId,
    /// Its number on that path.
    pub packet_number: u64,
    /// Where in the buffer the plaintext is. `None` when a copy of the packet was there before it.
    pub payload: Option<Range<usize>>,
    /// To be acted on after its contents, which may be the first of their path.
    pub answered: Answered,
}

/// A data packet's header, read and not believed.
#[derive(Clone, Copy)]
struct Header {
    path: PathId,
    index: u32,
    truncated: u64,
    number_len: usize,
}

impl Header {
    #[inline]
    fn parse(packet: &[u8]) -> Result<Header, Drop> {
        let &[first, a, b, c] = packet.first_chunk::<FIXED_LEN>().ok_or(Drop::Malformed)?;
        if first & 0x80 == 0 {
            return Err(Drop::Malformed);
        }
        if first & 0x60 != 0 {
            return Err(Drop::ReservedBits);
        }
        let number_len = usize::from(first & 3) + 1;
        let number = packet.get(FIXED_LEN..FIXED_LEN + number_len).ok_or(Drop::Malformed)?;
        let truncated = number.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
        Ok(Header {
            path: PathId(first >> 2 & 7),
            index: u32::from_le_bytes([a, b, c, 0]),
            truncated,
            number_len,
        })
    }

    fn len(&self) -> usize {
        FIXED_LEN + self.number_len
    }
}

impl PathNumbers {
    /// How many paths the other side may number.
    pub(super) const SENDERS: usize = PathId::COUNT;

    #[inline]
    fn expected(&self) -> u64 {
        self.window.as_ref().map_or(0, Window::end)
    }

    #[inline]
    fn is_fresh(&self, number: u64) -> bool {
        self.window.as_ref().is_none_or(|window| window.check(number) == Seen::Fresh)
    }

    /// The bytes that the next number takes on the wire. A path that was opened anew knows of no acknowledgement.
    #[inline]
    fn number_len(&self, largest_acked: Option<u64>) -> usize {
        keys::number_len(self.next, largest_acked.max(self.acked_end.checked_sub(1)))
    }

    #[inline]
    fn mark(&mut self, number: u64, width: u16) {
        self.window.get_or_insert_with(|| Window::new(width)).mark(number);
    }
}

impl Sessions {
    fn association(&self, peer: PeerSlot) -> Option<&Association> {
        self.peers.get(peer)?.association.as_deref()
    }

    /// The number that the next packet on this path will get.
    #[must_use]
    pub fn next_packet_number(&self, peer: PeerSlot, path: PathId) -> Option<u64> {
        Some(self.association(peer)?.paths.get(usize::from(path.0))?.next)
    }

    /// Bytes before the payload of the next packet on this path: 5 to 8.
    #[must_use]
    pub fn header_len(&self, peer: PeerSlot, path: PathId, largest_acked: Option<u64>) -> usize {
        let numbers = self.association(peer).and_then(|held| held.paths.get(usize::from(path.0)));
        FIXED_LEN + numbers.map_or(1, |numbers| numbers.number_len(largest_acked))
    }

    /// Encrypts one packet in place. The payload stands in `buf` behind [`Sessions::header_len`] bytes
    /// (asked with the same `largest_acked`), and 16 bytes of room follow it.
    ///
    /// `None` when there is no session, its keys are used up, or `buf` is too small; nothing is used
    /// up then.
    #[inline]
    pub fn seal(
        &mut self,
        cx: &mut Cx<'_>,
        peer: PeerSlot,
        path: PathId,
        largest_acked: Option<u64>,
        buf: &mut [u8],
        payload_len: usize,
    ) -> Option<Sealed> {
        let association = self.peers.get_mut(peer)?.association.as_deref_mut()?;
        let keys = self.table.keys_mut(association.sending)?;
        let numbers = association.paths.get_mut(usize::from(path.0))?;
        let number = numbers.next;
        if keys.sent >= cx.limits.rekey_packets.saturating_mul(2) || number >= NUMBER_END {
            return None;
        }
        let number_len = numbers.number_len(largest_acked);
        let header_len = FIXED_LEN + number_len;
        let len = header_len.checked_add(payload_len)?.checked_add(TAG_LEN)?;
        let (header, body) = buf.get_mut(..len)?.split_at_mut_checked(header_len)?;
        let [a, b, c, _] = keys.remote.to_le_bytes();
        let first = 0x80 | path.0 << 2 | (number_len - 1) as u8;
        header.get_mut(..FIXED_LEN)?.copy_from_slice(&[first, a, b, c]);
        header.get_mut(FIXED_LEN..)?.copy_from_slice(number.to_le_bytes().get(..number_len)?);
        keys.send.seal_in_place(&keys::nonce(path, number), header, body).ok()?;
        numbers.next = number + 1;
        numbers.acked_end =
            numbers.acked_end.max(largest_acked.map_or(0, |acked| acked.saturating_add(1).min(number)));
        keys.sent += 1;
        if keys.sent == cx.limits.rekey_packets {
            self.peer_timers.set(peer.0, Wake::At(cx.now, Reason::Rekey));
        }
        Some(Sealed { packet_number: number, key_name: keys.rank.hash, len })
    }

    /// Decrypts one packet in place, whatever link and address it came from. `None`, with the reason
    /// counted, when it is not authentic, or neither new nor the first from where a handshake was answered.
    #[inline]
    pub fn open(&mut self, cx: &mut Cx<'_>, link: LinkId, from: Addr, packet: &mut [u8]) -> Option<Opened> {
        match self.try_open(cx, Place { link, addr: from }, packet) {
            Ok(opened) => Some(opened),
            Err(reason) => {
                cx.drops.count(reason);
                if reason == Drop::UnknownSession {
                    self.hint(cx, Place { link, addr: from }, packet);
                }
                None
            }
        }
    }

    #[inline]
    fn try_open(&mut self, cx: &mut Cx<'_>, from: Place, packet: &mut [u8]) -> Result<Opened, Drop> {
        let header = Header::parse(packet)?;
        let Some((holder, keys)) = self.table.find_mut(header.index) else {
            // Data that overtook the Finish it depends on is early, not lost.
            return Err(if self.table.holder(header.index).is_some() {
                Drop::AuthFailed
            } else {
                Drop::UnknownSession
            });
        };
        let slot = match holder {
            Holder::Peer(slot) => slot,
            Holder::Answer(answer) => {
                return self.open_first(cx, from, answer, header, packet);
            }
            Holder::Dial(_) => return Err(Drop::AuthFailed),
        };
        let association = self.peers.get_mut(slot).and_then(|peer| peer.association.as_deref_mut());
        let association = association.ok_or(Drop::UnknownSession)?;
        let numbers = association.paths.get_mut(usize::from(header.path.0)).ok_or(Drop::Malformed)?;
        let number = keys::decode_number(numbers.expected(), header.truncated, header.number_len);
        // Somebody may outrun every packet of the peer with a copy from elsewhere: the place counts, though it comes second.
        let shows =
            |known: &Unproved| (known.index, known.place) == (header.index, from) && cx.now < known.until;
        let reached = association.unproved.as_deref().is_some_and(shows);
        let is_new = numbers.is_fresh(number) || cx.zoo.has(Bug::ReplayWindowOff);
        if !is_new && !reached {
            return Err(Drop::Replayed);
        }
        let payload = unseal(keys, header, number, packet)?;
        let mut opened = Opened {
            peer: slot,
            path: header.path,
            packet_number: number,
            payload: is_new.then_some(payload),
            answered: Answered::Known,
        };
        if reached {
            association.unproved = None;
            opened.answered = Answered::Reached;
        }
        if !is_new {
            cx.drops.count(Drop::Replayed);
            self.prove(cx, slot, from);
            return Ok(opened);
        }
        numbers.mark(number, cx.limits.replay_window);
        association.heard = cx.now;
        if !keys.heard {
            keys.heard = true;
            if core::mem::take(&mut keys.doubtful) {
                self.choose(cx, slot);
            }
            self.finished(cx, slot, header.index);
        }
        if reached {
            self.prove(cx, slot, from);
        }
        Ok(opened)
    }

    /// A packet under keys that we have only promised: if it is authentic, the initiator is there now, and has read our
    /// answer. That it is where the answer went, only a packet from there shows: somebody may have carried it on.
    fn open_first(
        &mut self,
        cx: &mut Cx<'_>,
        from: Place,
        answer: u16,
        header: Header,
        packet: &mut [u8],
    ) -> Result<Opened, Drop> {
        let (fate, slot) = self.answer_fate(answer).ok_or(Drop::UnknownSession)?;
        let held = match fate {
            Fate::Refuse => return Err(Drop::Cloned),
            Fate::Stale => {
                // The sender learns so by a hint, and calls anew.
                self.drop_answer(answer);
                return Err(Drop::UnknownSession);
            }
            Fate::New | Fate::Reset | Fate::Takeover => None,
            Fate::Continue => slot.and_then(|slot| self.association(slot)),
        };
        let numbers = held.and_then(|association| association.paths.get(usize::from(header.path.0)));
        let expected = numbers.map_or(0, PathNumbers::expected);
        let number = keys::decode_number(expected, header.truncated, header.number_len);
        if numbers.is_some_and(|numbers| !numbers.is_fresh(number)) {
            return Err(Drop::Replayed);
        }
        let keys = self.table.keys_mut(header.index).ok_or(Drop::UnknownSession)?;
        let payload = unseal(keys, header, number, packet)?;
        keys.heard = true;
        if let (Fate::Takeover, Some(slot)) = (fate, slot) {
            let holds = self.answer_holds(cx.now, answer);
            self.drop_answer(answer);
            if !holds {
                return Err(Drop::Revoked);
            }
            self.take_over(cx, slot);
            return Err(Drop::UnknownSession);
        }
        let slot = self.confirm(cx, from, answer, fate)?;
        let association = self.peers.get_mut(slot).and_then(|peer| peer.association.as_deref_mut());
        let association = association.ok_or(Drop::UnknownSession)?;
        association.heard = cx.now;
        if let Some(numbers) = association.paths.get_mut(usize::from(header.path.0)) {
            numbers.mark(number, cx.limits.replay_window);
        }
        let elsewhere = association.unproved.as_ref().map(|known| known.place);
        Ok(Opened {
            peer: slot,
            path: header.path,
            packet_number: number,
            payload: Some(payload),
            answered: elsewhere.map_or(Answered::Known, |place| Answered::Elsewhere(place.link, place.addr)),
        })
    }

    /// Tells the sender of a data packet that we know no such session, so that it need not wait for
    /// silence to find out that we have restarted.
    fn hint(&mut self, cx: &mut Cx<'_>, place: Place, packet: &[u8]) {
        let Ok(header) = Header::parse(packet) else { return };
        if packet.len() < UNKNOWN_LEN || !self.links.contains_key(&place.link) {
            return;
        }
        if !self.hints.take(cx.now, ANSWERS_PER_S) {
            cx.drops.count(Drop::AnswerLimited);
            return;
        }
        let epoch = self.trust.network.sending_epoch();
        let hint =
            Builder::new(Kind::UnknownSession, self.versions, header.index).seal(&self.trust.hello(epoch));
        self.send(cx, place, hint.into(), epoch);
    }

    /// Somebody, unproved, does not know the index under which we send. If it is one of our peers, it
    /// may have restarted: talk to it anew, at the places we know, and keep what we have until then.
    pub(super) fn on_hint(&mut self, cx: &mut Cx<'_>, place: Place, index: u32) -> Result<(), Drop> {
        let is_meant = |peer: &Peer| {
            peer.endpoints.iter().any(|endpoint| endpoint.place == place)
                && peer.association.as_ref().is_some_and(|association| {
                    association.up
                        && self.table.keys(association.sending).is_some_and(|keys| keys.remote == index)
                })
        };
        let found = self.peers.iter().find(|(_, peer)| is_meant(peer)).map(|(slot, _)| slot);
        let slot = found.ok_or(Drop::UnknownSession)?;
        let Some(peer) = self.peers.get_mut(slot) else { return Ok(()) };
        if cx.now < peer.hints_from {
            return Err(Drop::AnswerLimited);
        }
        peer.hints_from = cx.now + super::dial::HINT_EVERY;
        self.call_now(cx, slot);
        Ok(())
    }
}

#[inline]
fn unseal(
    keys: &mut keys::Keys,
    header: Header,
    number: u64,
    packet: &mut [u8],
) -> Result<Range<usize>, Drop> {
    if keys.forged >= FORGED_LIMIT {
        return Err(Drop::AuthFailed);
    }
    let start = header.len();
    let (head, body) = packet.split_at_mut_checked(start).ok_or(Drop::Malformed)?;
    if body.len() < TAG_LEN {
        return Err(Drop::Malformed);
    }
    match keys.receive.open_in_place(&keys::nonce(header.path, number), head, body) {
        Ok(text) => Ok(start..start + text.len()),
        Err(_) => {
            keys.forged += 1;
            Err(Drop::AuthFailed)
        }
    }
}
