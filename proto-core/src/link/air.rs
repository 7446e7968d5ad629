//! How much of the air is ours.
//!
//! A village hall with one microphone, and a rule: nobody speaks for more than six minutes of any hour. Who has been silent may
//! speak for a while without a pause, and then has to wait until his time has grown again. And nobody writes his speech
//! before it is his turn: what he hears until then may make it needless. So a radio is given one packet, and the next is
//! made when that is gone.
//!
//! A bucket of time: it holds a thirty-second of what a window allows, at least one packet, and fills with the rest of it, evenly over a window. So
//! whatever window one looks at holds no more than the law's share: the bucket that was full when it began, and what came
//! in since. It is empty after a start, since nobody knows what was sent before it: the bucket of before and what comes in now are no more.

use crate::node::input::{Air, LinkInfo, Medium};
use crate::time::{Duration, Instant};
use crate::wake::{Reason, Wake};

/// One part of a window's share is the bucket, the rest comes in during the window.
const BUCKET_PART: u64 = 32;
const LEAST_PACKETS: u64 = 4;
/// A share of the whole window is no bound.
const WHOLE_PPM: u64 = 1_000_000;

/// What is left of the share of one radio. Amounts are microseconds of sending time times a million.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    most: u64,
    /// What comes in each microsecond, in millionths of it.
    gain_ppm: u64,
    level: u64,
    /// What the largest packet takes.
    packet: u64,
    filled: Instant,
    /// The driver has a packet that it has not sent yet.
    pub(super) is_busy: bool,
}

/// The bucket, and what comes in, of a radio with this air whose largest packet takes so long; `None` when that is more than its share.
fn split(air: Air, packet: Duration) -> Option<(u64, u64)> {
    let window = air.window.as_micros().max(1);
    let share = window.saturating_mul(u64::from(air.share_ppm));
    let packet = packet.as_micros().saturating_mul(WHOLE_PPM);
    // Where that is little, room for an answer of two packets and what it answers, of half of the share at most.
    let most = (share / BUCKET_PART).max(packet.saturating_mul(LEAST_PACKETS).min(share / 2)).max(packet);
    Some((most, share.checked_sub(most)? / window))
}

/// Whether some packet fits the share, and it can grow.
#[must_use]
pub fn is_possible(info: &LinkInfo) -> bool {
    info.air.is_none_or(|air| {
        split(air, info.airtime(usize::from(info.mtu))).is_some_and(|(_, gain_ppm)| gain_ppm > 0)
    })
}

impl Budget {
    /// That of a link which came up; `before` is what was left when it was up last.
    pub(super) fn new(now: Instant, info: &LinkInfo, before: Option<&Budget>) -> Option<Budget> {
        // The mesh is none of our radios.
        let air = info.air.filter(|_| info.medium != Medium::Mesh)?;
        let longest = info.airtime(usize::from(info.mtu));
        let (mut most, mut gain_ppm) = split(air, longest)?;
        let packet = longest.as_micros().saturating_mul(WHOLE_PPM);
        let mut level = before.map_or(0, |before| before.level.min(most));
        if u64::from(air.share_ppm) >= WHOLE_PPM {
            (most, level, gain_ppm) = (packet, packet, WHOLE_PPM);
        }
        Some(Budget { most, gain_ppm, level, packet, filled: now, is_busy: false })
    }

    fn level_at(&self, now: Instant) -> u64 {
        let gained = now.since(self.filled).as_micros().saturating_mul(self.gain_ppm);
        self.level.saturating_add(gained).min(self.most)
    }

    /// From when on a packet of any size may go; `Idle` while the driver has one.
    pub(super) fn opens(&self) -> Wake {
        match self.packet.saturating_sub(self.level) {
            _ if self.is_busy => Wake::Idle,
            0 => Wake::Now,
            missing => {
                let wait = missing.div_ceil(self.gain_ppm.max(1));
                Wake::At(self.filled + Duration::from_micros(wait), Reason::Pacing)
            }
        }
    }

    /// A packet was given to the driver.
    pub(super) fn spend(&mut self, now: Instant, airtime: Duration) {
        self.level = self.level_at(now).saturating_sub(airtime.as_micros().saturating_mul(WHOLE_PPM));
        self.filled = now;
        self.is_busy = true;
    }
}

#[cfg(test)]
mod tests;
