//! State that the other side has to learn, whatever gets lost on the way.
//!
//! Not a letter that is sent again until it arrives, but a notice board: what counts is the latest
//! state. It is written into a packet when it has changed, and again when the packet with it was
//! lost; an old notice that arrives late does no harm, since it says less and nothing else.

use core::iter;

use super::inbox::Space;
use crate::bounded::{Seen, Window};
use crate::codec::Writer;
use crate::link::frame;
use crate::link::path::{Fate, Piece};

/// Runs of numbers in one RECEIPT: about 200 bytes at most; the rest follows in the next packet.
pub(super) const RECEIPT_RUNS: usize = 64;

/// Which version of a state was told, and which is known to have arrived.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Notice {
    version: u32,
    told: u32,
    heard: u32,
}

impl Notice {
    /// The state has changed.
    pub(super) fn touch(&mut self) {
        self.version = self.version.wrapping_add(1);
    }

    /// It has to be told: nobody was told this version, or the packet with it was lost.
    pub(super) fn is_due(self) -> bool {
        self.version != self.told
    }

    /// It is not known to have arrived.
    pub(super) fn is_open(self) -> bool {
        self.version != self.heard
    }

    /// Tells the present version once more, since somebody seems not to know it.
    pub(super) fn tell_again(&mut self) {
        if self.version == self.told {
            self.told = self.version.wrapping_sub(1);
        }
    }

    /// It was written into a packet; the version to remember with the packet.
    pub(super) fn tell(&mut self) -> u32 {
        self.told = self.version;
        self.version
    }

    /// The packet's fate.
    pub(super) fn on_fate(&mut self, version: u32, fate: Fate) {
        match fate {
            Fate::Acked | Fate::Late => {
                if version == self.version {
                    self.heard = version;
                    self.told = version;
                }
            }
            Fate::Lost => {
                if version == self.told && version != self.heard {
                    self.told = version.wrapping_sub(1);
                }
            }
        }
    }
}

/// Below which number nothing is ever sent again, as far as the other side has to know: only when a
/// number was given up that it may wait for. Unlike a [`Notice`] it only rises, so an older one that is known to have arrived
/// says how much was heard: where it rises more often than once in a round trip, the latest never is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Floor {
    /// What has to be told.
    value: u64,
    /// What was told last and is not known to be lost.
    told: u64,
    /// What is known to have arrived.
    heard: u64,
    /// One above the highest number given up.
    wanted: u64,
}

/// Told to nobody: no number is so high.
const UNTOLD: u64 = u64::MAX;

impl Floor {
    /// Every number below `end` that is not in use was given up.
    pub(super) fn give_up(&mut self, end: u64) {
        self.wanted = self.wanted.max(end);
    }

    /// The oldest number in use is `base` now.
    pub(super) fn update(&mut self, base: u64) {
        if base.min(self.wanted) > self.value {
            self.value = base;
        }
    }

    /// It has to be told: it has risen, or the packet with it was lost.
    pub(super) fn is_due(&self) -> bool {
        self.told != self.value
    }

    /// What to tell.
    pub(super) fn value(&self) -> u64 {
        self.value
    }

    /// It was written into a packet; what to remember with the packet.
    pub(super) fn tell(&mut self) -> u32 {
        self.told = self.value;
        self.value as u32
    }

    /// The other side has lost its memory of it.
    pub(super) fn forgotten(&mut self) {
        self.heard = 0;
        self.reconnect();
    }

    /// What is known to have arrived.
    pub(super) fn heard(&self) -> u64 {
        self.heard
    }

    /// The fate of a packet that told this. True when `heard` has moved.
    pub(super) fn on_fate(&mut self, version: u32, fate: Fate) -> bool {
        let behind = (self.value as u32).wrapping_sub(version);
        let Some(told) = self.value.checked_sub(u64::from(behind)) else { return false };
        match fate {
            Fate::Acked | Fate::Late => {
                let moved = told > self.heard;
                self.heard = self.heard.max(told);
                if self.heard == self.value {
                    self.told = self.value;
                }
                moved
            }
            Fate::Lost => {
                if told == self.told && told > self.heard {
                    self.told = UNTOLD;
                }
                false
            }
        }
    }

    /// A new session: what was told in the last one may have been lost with it.
    pub(super) fn reconnect(&mut self) {
        if self.heard < self.value {
            self.told = UNTOLD;
        }
    }
}

/// First and last number of each run of seen numbers above `floor`, which is itself not seen.
pub(super) fn runs(window: &Window, floor: u64) -> impl Iterator<Item = (u64, u64)> + Clone + '_ {
    let mut at = floor;
    iter::from_fn(move || {
        let first = window.next_set(at)?;
        at = window.next_clear(first);
        Some((first, at - 1))
    })
}

/// Writes which numbers are done with. The floor stops at `storing`, the oldest number on its way to the
/// disk: its sender may have given it up since, or have gone on beyond the window, and still it is not safe.
pub(super) fn write_receipt(
    state: &mut Space,
    space: u8,
    storing: u64,
    w: &mut Writer<'_>,
    sink: &mut impl FnMut(Piece),
) -> bool {
    let Some(done) = &state.done else {
        let floor = state.floor.min(storing);
        let wrote = frame::write_receipt(w, space, floor, iter::empty()).is_ok();
        if wrote {
            state.told = floor;
            sink(Piece::Receipt { space, version: state.notice.tell() });
        }
        return wrote;
    };
    let mut floor = done.next_clear(state.floor);
    if done.check(storing) != Seen::Duplicate {
        floor = floor.min(storing);
    }
    let from = state.cursor.max(floor);
    let rest = runs(done, from);
    let start = w.len();
    let Ok(count) = frame::write_receipt(w, space, floor, rest.clone().take(RECEIPT_RUNS)) else {
        return false;
    };
    state.told = floor;
    let mut after = rest.skip(count as usize);
    match after.next() {
        None if from == floor => {
            state.cursor = 0;
            sink(Piece::Receipt { space, version: state.notice.tell() });
        }
        None => {
            // The last of several: no single packet's fate says that all arrived. What was lost is
            // told again when something changes, and something will: there are holes to fill.
            state.notice.tell();
            state.cursor = 0;
        }
        Some(_) if count == 0 => {
            w.truncate(start);
            return false;
        }
        Some((first, _)) => state.cursor = first - 1,
    }
    true
}
