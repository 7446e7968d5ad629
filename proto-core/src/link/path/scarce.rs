//! Timers of a path where air is scarce.
//!
//! Around a table at which only one may speak at a time nobody asks *did you hear me?* after each sentence: the question takes the place
//! of somebody's words. One waits until it is the other's turn anyway, and asks ever later. So here time is counted in *turns*: what the
//! largest packet takes on air, with the silence that the law asks for after it. Elsewhere a turn is zero, and nothing changes.

use super::rtt::{part, times};
use super::{NEVER, Path};
use crate::node::input::{LinkInfo, Medium};
use crate::time::Duration;

/// The timer's waiting time grows to so many round trips: who shouts again into a noise adds to it. With 16 four of a hundred seeds of
/// `lora-valley` were late, with 4 more than with 6 (decision 0010).
pub(super) const PATIENT_ROUND_TRIPS: u64 = 6;
/// An acknowledgement waits so many turns for a packet that it can travel in. With 20 the slowest hundredth of the messages takes longer, with 8
/// there is more on air.
const TURNS_FOR_AN_ANSWER: u64 = 12;
/// And at the end of a way over a mesh: what it travels in there is one more packet on each hop (guess).
const TURNS_AT_AN_END: u64 = 2;
/// How many turns a way over a mesh of radios is assumed to take.
pub(crate) const TURNS_A_WAY: u64 = 256;
/// Turns are counted in these: a path is kept small.
const UNIT: Duration = Duration::from_millis(16);

/// How long the largest packet takes where every packet is at the cost of others, since the link is a radio or packets go over some; else
/// zero. In [`UNIT`]s, rounded up, at most 17 minutes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Turn(u16);

impl Turn {
    /// That of a link; of the mesh that of the slowest radio.
    pub(super) fn of(link: &LinkInfo) -> Turn {
        let turn = match (link.air, link.medium) {
            (None, _) => Duration::ZERO,
            (Some(_), Medium::Mesh) => part(link.delay, TURNS_A_WAY),
            (Some(_), _) => link.scarce(),
        };
        Turn(u16::try_from(turn.as_micros().div_ceil(UNIT.as_micros())).unwrap_or(u16::MAX))
    }
}

impl Path {
    pub(super) fn is_scarce(&self) -> bool {
        self.turn.0 > 0
    }

    pub(super) fn scarce(&self) -> Duration {
        times(UNIT, u64::from(self.turn.0))
    }

    pub(super) fn is_relayed(&self) -> bool {
        self.keepalive == NEVER
    }

    /// Over a mesh with radios an answer is waited for so long at least: there and back, as it was assumed.
    pub(super) fn least_patience(&self) -> Duration {
        if self.is_relayed() { times(self.scarce(), 2 * TURNS_A_WAY) } else { Duration::ZERO }
    }

    /// How long an acknowledgement waits for a packet that it can travel in.
    pub(super) fn unhurried(&self) -> Duration {
        times(self.scarce(), if self.is_relayed() { TURNS_AT_AN_END } else { TURNS_FOR_AN_ANSWER })
    }

    /// The least time between two questions that nobody answers: where air is scarce none that the road does not need.
    #[must_use]
    pub fn least_pause(&self) -> Duration {
        if self.is_scarce() { self.patience() } else { Duration::ZERO }
    }
}
