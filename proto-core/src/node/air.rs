//! Handshakes and goodbyes for radios.
//!
//! They are whole packets, made before it is known when the air is free. On a cable they leave at once; before a radio they would
//! stand in a row, each copy of a call behind the last, and be sent one after the other long after the answer has come. So of what is the same only one
//! waits, and when the session is there nothing for it does.

use alloc::collections::VecDeque;

use bytes::Bytes;

use crate::ids::{Addr, LinkId};
use crate::node::output::UsedNonce;
use crate::wake::Wake;

/// Packets that wait: some ten calls or answers in three parts.
const MOST: usize = 32;

/// A packet, and where it goes.
pub(super) type Call = (LinkId, Addr, Bytes, UsedNonce);

/// Packets that wait for the air.
#[derive(Debug, Default)]
pub(super) struct Calls {
    waiting: VecDeque<Call>,
    /// The last packet was one of these: now others come first.
    pub(super) had_turn: bool,
}

impl Calls {
    /// One more, unless the same waits already. One that finds no room is as good as lost on the way: whatever matters is sent again.
    pub(super) fn push(&mut self, call: Call) {
        let is_same = |other: &Call| (other.0, other.1, &other.2) == (call.0, call.1, &call.2);
        if self.waiting.len() < MOST && !self.waiting.iter().any(is_same) {
            self.waiting.push_back(call);
        }
    }

    /// The first whose radio may be given a packet.
    pub(super) fn pop(&mut self, is_open: impl Fn(LinkId) -> bool) -> Option<Call> {
        let at = self.waiting.iter().position(|call| is_open(call.0))?;
        self.waiting.remove(at)
    }

    /// What goes there is not needed any more.
    pub(super) fn forget(&mut self, goes: impl Fn(LinkId, Addr) -> bool) {
        self.waiting.retain(|call| !goes(call.0, call.1));
    }

    /// When the first may go.
    pub(super) fn next_wake(&self, opens: impl Fn(LinkId) -> Wake) -> Wake {
        self.waiting.iter().map(|call| opens(call.0)).fold(Wake::Idle, Wake::min)
    }
}
