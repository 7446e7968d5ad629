//! What arrived, and when to say so.
//!
//! A good listener nods now and then: at every second sentence at first, less often when the story
//! flows, at once when a word was lost, and several times when nods are easily overlooked. So: an
//! acknowledgement for every second packet, relaxing to every 32nd while packets stream in order
//! (RFC 9000, section 13.2, and the ack-frequency draft); at once on a gap, though not more often
//! than 16 times a round trip; and when many packets are lost, the same acknowledgement again a
//! quarter round trip later, because acknowledgements are lost just as well.

use super::loss::copies;
use super::ranges::Ranges;
use super::rtt::{max_ack_delay, part};
use crate::time::{Duration, Instant};

/// The most packets that wait for one acknowledgement (the peers measured in `figures` use 10 to 64).
const MOST_PER_ACK: u16 = 32;
/// This many acknowledgements in a row must come fast before packets per acknowledgement double.
const CALM_ACKS: u8 = 8;
/// Above this loss acknowledgements are repeated.
const REPEAT_ABOVE_PPM: u32 = 300_000;
/// Repeats are so many that all are lost with this chance (guess: half).
const REPEAT_TARGET_PPM: u32 = 500_000;

/// The receiving half of a path.
#[derive(Clone, Debug)]
pub(super) struct Received {
    ranges: Ranges,
    largest: Option<u64>,
    largest_at: Instant,
    /// Eliciting packets since the last acknowledgement, and when the first came.
    waiting: u16,
    waiting_since: Instant,
    /// Packets per acknowledgement now, and for how many acknowledgements that went well.
    per_ack: u16,
    calm: u8,
    due: Option<Instant>,
    last_ack: Option<Instant>,
    repeats: u8,
    /// Of so many numbers so many arrived, since the last update of `lost_ppm`.
    expected: u32,
    arrived: u32,
    lost_ppm: Option<u32>,
}

impl Received {
    pub(super) const fn new() -> Received {
        Received {
            ranges: Ranges::new(),
            largest: None,
            largest_at: Instant::ZERO,
            waiting: 0,
            waiting_since: Instant::ZERO,
            per_ack: 2,
            calm: 0,
            due: None,
            last_ack: None,
            repeats: 0,
            expected: 0,
            arrived: 0,
            lost_ppm: None,
        }
    }

    /// A packet was authenticated that was not seen before.
    pub(super) fn on_packet(
        &mut self,
        now: Instant,
        number: u64,
        eliciting: bool,
        most_ranges: usize,
        srtt: Duration,
    ) {
        if !self.ranges.insert(number, most_ranges) {
            return;
        }
        let in_order = self.largest.is_none_or(|largest| number == largest.wrapping_add(1));
        self.count(number);
        if self.largest.is_none_or(|largest| number > largest) {
            self.largest = Some(number);
            self.largest_at = now;
        }
        if !eliciting {
            return;
        }
        if self.waiting == 0 {
            self.waiting_since = now;
        }
        self.waiting = self.waiting.saturating_add(1);
        let due = if !in_order {
            self.per_ack = 2;
            self.calm = 0;
            let soonest = self.last_ack.map_or(now, |last| last + part(srtt, 16));
            soonest.max(now)
        } else if self.waiting >= self.per_ack {
            now
        } else {
            now + max_ack_delay(srtt)
        };
        self.due = Some(self.due.map_or(due, |old| old.min(due)));
    }

    fn count(&mut self, number: u64) {
        let step = match self.largest {
            Some(largest) => number.saturating_sub(largest),
            None => 1,
        };
        self.arrived += 1;
        self.expected = self.expected.saturating_add(step.min(1_000) as u32);
        let enough = if self.lost_ppm.is_some() { 64 } else { 16 };
        if self.expected >= enough {
            let arrived = u64::from(self.arrived.min(self.expected));
            let lost = 1_000_000 - arrived * 1_000_000 / u64::from(self.expected);
            let old = u64::from(self.lost_ppm.unwrap_or(lost as u32));
            self.lost_ppm = Some(((old * 3 + lost) / 4) as u32);
            self.expected = 0;
            self.arrived = 0;
        }
    }

    /// The share of the peer's packets that do not arrive, once enough are known.
    pub(super) fn lost_ppm(&self) -> Option<u32> {
        self.lost_ppm
    }

    /// When an acknowledgement should be sent.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Ranges that are remembered.
    pub(super) fn range_count(&self) -> usize {
        self.ranges.len()
    }

    /// What to acknowledge: the time the highest packet has waited, and the ranges, highest first.
    pub(super) fn report(&self, now: Instant) -> (u64, impl Iterator<Item = (u64, u64)> + Clone + '_) {
        (now.since(self.largest_at).as_micros(), self.ranges.descending())
    }

    /// The highest number that arrived.
    pub(super) fn largest(&self) -> Option<u64> {
        self.largest
    }

    /// An acknowledgement was written. `loss_ppm` is the worse direction's estimate.
    pub(super) fn on_ack_written(&mut self, now: Instant, srtt: Duration, loss_ppm: u32) {
        let early = self.due.is_none_or(|due| due > now);
        if self.waiting >= self.per_ack {
            let fast = now.since(self.waiting_since) <= part(max_ack_delay(srtt), 4);
            self.calm = if fast { self.calm.saturating_add(1) } else { 0 };
            if self.calm >= CALM_ACKS {
                self.calm = 0;
                self.per_ack = (self.per_ack * 2).min(MOST_PER_ACK);
            }
        } else if self.waiting > 0 && !early {
            // The timer fired first: packets come too slowly, or the sender waits for us.
            self.calm = 0;
            self.per_ack = (self.per_ack / 2).max(2);
        }
        if self.waiting > 0 {
            let copies = if loss_ppm > REPEAT_ABOVE_PPM { copies(loss_ppm, REPEAT_TARGET_PPM) } else { 1 };
            self.repeats = copies.min(8) as u8 - 1;
        } else {
            self.repeats = self.repeats.saturating_sub(1);
        }
        self.waiting = 0;
        self.last_ack = Some(now);
        let pause = part(srtt, 4).max(Duration::from_millis(5));
        self.due = if self.repeats > 0 { Some(now + pause) } else { None };
    }

    /// The peer has an acknowledgement up to `largest`: older ranges need not be said again
    /// (RFC 9000, section 13.2.4). The highest range stays, so that there is always one.
    pub(super) fn on_ack_acked(&mut self, largest: u64) {
        if let Some(highest) = self.largest {
            self.ranges.forget_below(largest.saturating_add(1).min(highest));
        }
    }

    pub(super) fn shrink(&mut self) {
        self.ranges.shrink();
    }

    pub(super) fn check(&self, most_ranges: usize) {
        self.ranges.check(most_ranges);
        let highest = self.ranges.descending().next().map(|range| range.1);
        assert!(highest == self.largest, "the highest number is always remembered");
        assert!(self.waiting == 0 || self.due.is_some(), "eliciting packets wait without a deadline");
    }
}
