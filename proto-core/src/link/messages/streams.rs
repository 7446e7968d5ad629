//! Ordinary message numbers, and the order of streams within them.
//!
//! A message of a stream says how far back its predecessor's number is, and the receiver waits for
//! that one. The sender keeps the chain as long as it matters: while the predecessor is unfinished.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

use super::queue::{ListId, NONE, UNNUMBERED};

/// The ordinary numbers in use: dense, from the oldest unfinished one on.
#[derive(Debug)]
pub(super) struct Numbers {
    base: u64,
    live: VecDeque<u32>,
}

impl Numbers {
    pub(super) const fn new() -> Numbers {
        Numbers { base: 0, live: VecDeque::new() }
    }

    /// The number the next message gets.
    pub(super) fn next(&self) -> u64 {
        self.base + self.live.len() as u64
    }

    /// The oldest unfinished number: none below it is ever sent again.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// How far the numbers in use reach.
    pub(super) fn span(&self) -> u64 {
        self.live.len() as u64
    }

    pub(super) fn assign(&mut self, index: u32) -> u64 {
        self.live.push_back(index);
        self.base + self.live.len() as u64 - 1
    }

    /// Which message has this number, if it is unfinished.
    pub(super) fn find(&self, seq: u64) -> Option<u32> {
        let offset = usize::try_from(seq.checked_sub(self.base)?).ok()?;
        self.live.get(offset).copied().filter(|&index| index != NONE)
    }

    pub(super) fn finish(&mut self, seq: u64) {
        let Some(offset) = seq.checked_sub(self.base) else { return };
        if let Some(place) = self.live.get_mut(offset as usize) {
            *place = NONE;
        }
        while self.live.front() == Some(&NONE) {
            self.live.pop_front();
            self.base += 1;
        }
        if self.live.is_empty() && self.live.capacity() > 256 {
            self.live = VecDeque::new();
        }
    }

    /// A new association: numbers start from zero.
    pub(super) fn restart(&mut self) {
        *self = Numbers::new();
    }

    pub(super) fn check(&self) {
        assert!(self.live.front() != Some(&NONE), "the oldest number is finished");
    }
}

#[derive(Debug)]
struct Stream {
    /// Messages that were never sent, all in this list so that their order is kept.
    queued: u32,
    list: ListId,
    /// The last number sent, while it is unfinished.
    last: u64,
}

/// Which streams have something under way.
#[derive(Debug, Default)]
pub(super) struct Streams {
    streams: BTreeMap<u16, Stream>,
    /// Acknowledged messages whose predecessor `.0` was given up: finished when the floor is heard.
    pub(super) orphans: BTreeSet<(u64, u32)>,
}

impl Streams {
    /// Counts a message of `stream` in. It joins its unsent predecessors, even those of another
    /// class: it could not be delivered before them anyway. Once they are sent it goes where it belongs, if others there
    /// are more urgent or smaller.
    pub(super) fn queue(&mut self, stream: u16, wish: ListId) -> ListId {
        let state = self.streams.entry(stream).or_insert(Stream { queued: 0, list: wish, last: UNNUMBERED });
        if state.queued == 0 {
            state.list = wish;
        }
        state.queued += 1;
        state.list
    }

    /// How many messages of `stream` were never sent.
    pub(super) fn queued(&self, stream: u16) -> u32 {
        self.streams.get(&stream).map_or(0, |state| state.queued)
    }

    /// All messages of `stream` that were never sent are in this list now.
    pub(super) fn moved(&mut self, stream: u16, list: ListId) {
        if let Some(state) = self.streams.get_mut(&stream) {
            state.list = list;
        }
    }

    /// The number of the unfinished message before the next one of `stream`.
    pub(super) fn last(&self, stream: u16) -> u64 {
        self.streams.get(&stream).map_or(UNNUMBERED, |state| state.last)
    }

    /// The next message of `stream` was given the number `seq`.
    pub(super) fn sent(&mut self, stream: u16, seq: u64) {
        if let Some(state) = self.streams.get_mut(&stream) {
            state.queued = state.queued.saturating_sub(1);
            state.last = seq;
        }
    }

    /// A message of `stream` ended before it was sent.
    pub(super) fn unqueued(&mut self, stream: u16) {
        if let Some(state) = self.streams.get_mut(&stream) {
            state.queued = state.queued.saturating_sub(1);
            if state.queued == 0 && state.last == UNNUMBERED {
                self.streams.remove(&stream);
            }
        }
    }

    /// The message `seq` of `stream` ended; `before` is the unfinished one before it, if any.
    pub(super) fn ended(&mut self, stream: u16, seq: u64, before: u64) {
        if let Some(state) = self.streams.get_mut(&stream)
            && state.last == seq
        {
            state.last = before;
            if state.queued == 0 && before == UNNUMBERED {
                self.streams.remove(&stream);
            }
        }
    }

    /// A new association: no predecessor is under way.
    pub(super) fn restart(&mut self) {
        self.orphans.clear();
        self.streams.retain(|_, state| {
            state.last = UNNUMBERED;
            state.queued > 0
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty() && self.orphans.is_empty()
    }
}
