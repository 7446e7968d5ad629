//! Ordinary message numbers, and the order of streams within them.
//!
//! A message of a stream says how far back its predecessor's number is, and the receiver waits for
//! that one. The sender keeps the chain as long as it matters: while the predecessor is unfinished, and after it was given
//! up until the receiver has heard so. What of it is still under way by then would come after its successor.

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
    /// The last number sent, until it is delivered, or given up and below the floor that was heard.
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

    /// The number for which the next message of `stream` has to wait.
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

    /// The message `seq` of `stream` was delivered.
    pub(super) fn delivered(&mut self, stream: u16, seq: u64) {
        if let Some(state) = self.streams.get_mut(&stream)
            && state.last == seq
        {
            state.last = UNNUMBERED;
            if state.queued == 0 {
                self.streams.remove(&stream);
            }
        }
    }

    /// The receiver has heard that nothing below `floor` comes any more.
    pub(super) fn heard(&mut self, floor: u64) {
        self.streams.retain(|_, state| {
            if state.last < floor {
                state.last = UNNUMBERED;
            }
            state.queued > 0 || state.last != UNNUMBERED
        });
    }

    /// How many messages wait in which list, by stream.
    pub(super) fn queues(&self) -> BTreeMap<u16, (ListId, u32)> {
        self.streams.iter().map(|(&stream, state)| (stream, (state.list, state.queued))).collect()
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
