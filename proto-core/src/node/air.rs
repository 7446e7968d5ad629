//! Handshakes and goodbyes for radios.
//!
//! They are whole packets, made before it is known when the air is free. On a cable they leave at once; before a radio they would
//! stand in a row, each copy of a call behind the last, and be sent one after the other long after the answer has come. So of what is the same only one
//! waits, and when the session is there nothing for it does.

use alloc::collections::VecDeque;

use bytes::Bytes;

use crate::ids::{Addr, LinkId};
use crate::limits::Limits;
use crate::node::output::UsedNonce;
use crate::session::MAX_HANDSHAKE_BYTES;
use crate::wake::Wake;

/// Room for what waits, in bytes: two handshakes that are as long as can be, or one with usual papers in the smallest parts.
const ROOM: usize = 2 * MAX_HANDSHAKE_BYTES;
/// And for each handshake that may be under way, so many, which is a question in two parts: a session with papers at SF9 begins with 390 bytes.
const A_HANDSHAKE: usize = 2 * 240;
/// How many of them count: with 1 % an hour of a LoRa radio holds some ten.
const MOST_HANDSHAKES: usize = 16;
/// What a packet takes beside its bytes: its place in a row that has grown to twice its length, and what an allocator adds.
const OVERHEAD: usize = 2 * size_of::<Call>() + 32;

/// A packet, and where it goes.
pub(super) type Call = (LinkId, Addr, Bytes, UsedNonce);

/// Packets that wait for the air.
#[derive(Debug, Default)]
pub(super) struct Calls {
    waiting: VecDeque<Call>,
    /// Where the last one went, of which a part waits still.
    begun: Option<(LinkId, Addr)>,
    /// The last packet was one of these: now others come first.
    pub(super) had_turn: bool,
}

impl Calls {
    /// How much may wait, in bytes with [`OVERHEAD`].
    fn most(limits: &Limits) -> usize {
        ROOM + A_HANDSHAKE * usize::from(limits.handshakes).min(MOST_HANDSHAKES)
    }

    /// The most that all of it takes.
    pub(super) fn worst_case_bytes(limits: &Limits) -> u64 {
        Calls::most(limits) as u64
    }

    fn weight(call: &Call) -> usize {
        call.2.len() + OVERHEAD
    }

    /// One more, unless the same waits already. Where there is no room the last goes that waits for the radio with most of them, so that one which
    /// seldom may send does not silence another; and with it all for the same place, since a part of a handshake is of no use. It is as good as
    /// lost on the way: whatever matters is sent again.
    pub(super) fn push(&mut self, limits: &Limits, call: Call) {
        let is_same = |other: &Call| (other.0, other.1, &other.2) == (call.0, call.1, &call.2);
        if self.waiting.iter().any(is_same) {
            return;
        }
        // What a handshake gives may be a part of something larger.
        let (link, addr, packet, nonce) = call;
        self.waiting.push_back((link, addr, Bytes::copy_from_slice(&packet), nonce));
        while self.bytes() > Calls::most(limits) {
            let fullest = self.waiting.iter().map(|call| call.0).max_by_key(|&link| self.held(link));
            let Some(last) = self.waiting.iter().rfind(|call| Some(call.0) == fullest) else { return };
            let (link, addr) = (last.0, last.1);
            self.forget(|at, to| (at, to) == (link, addr));
        }
    }

    /// What waits for one radio, in bytes with [`OVERHEAD`].
    fn held(&self, link: LinkId) -> usize {
        self.waiting.iter().filter(|call| call.0 == link).map(Calls::weight).sum()
    }

    fn bytes(&self) -> usize {
        self.waiting.iter().map(Calls::weight).sum()
    }

    /// The first whose radio may be given a packet; what belongs to the last one goes before others.
    pub(super) fn pop(&mut self, is_open: impl Fn(LinkId) -> bool) -> Option<Call> {
        let is_begun = |call: &&Call| self.begun == Some((call.0, call.1)) && is_open(call.0);
        let begun = self.waiting.iter().position(|call| is_begun(&call));
        let at = begun.or_else(|| self.waiting.iter().position(|call| is_open(call.0)))?;
        let call = self.waiting.remove(at)?;
        self.begun = self.goes_on(call.0, call.1).then_some((call.0, call.1));
        self.trim();
        Some(call)
    }

    /// The room of a burst of long ago is not held for ever.
    fn trim(&mut self) {
        if self.waiting.capacity() > 2 * self.waiting.len().max(4) {
            self.waiting.shrink_to_fit();
        }
    }

    /// Whether more waits for this place.
    pub(super) fn goes_on(&self, link: LinkId, to: Addr) -> bool {
        self.waiting.iter().any(|call| (call.0, call.1) == (link, to))
    }

    /// What goes there is not needed any more.
    pub(super) fn forget(&mut self, goes: impl Fn(LinkId, Addr) -> bool) {
        self.waiting.retain(|call| !goes(call.0, call.1));
        self.trim();
    }

    /// When the first may go.
    pub(super) fn next_wake(&self, opens: impl Fn(LinkId) -> Wake) -> Wake {
        self.waiting.iter().map(|call| opens(call.0)).fold(Wake::Idle, Wake::min)
    }

    /// Verifies the bound.
    ///
    /// # Panics
    /// When more waits than may: that is a mistake in this module, no peer can cause it.
    pub(super) fn check(&self, limits: &Limits) {
        assert!(self.bytes() <= Calls::most(limits), "{} bytes of calls wait", self.bytes());
    }
}

#[cfg(test)]
mod tests;
