//! What arrived, and when to say so.
//!
//! A good listener nods now and then: at every second sentence at first, less often when the story
//! flows, at once when a word was lost, and several times when nods are easily overlooked. So: an
//! acknowledgement for every second packet, relaxing to every 32nd while packets stream in order
//! (RFC 9000, section 13.2, and the ack-frequency draft); at once on a gap, though not more often
//! than 16 times a round trip; and when many packets are lost the same acknowledgement several times, because
//! acknowledgements are lost just as well. To a word that comes alone the nods follow each other at once, as the
//! copies of that word did: who spoke says it again a round trip later unless he has seen one by then.

use super::loss::copies;
use super::ranges::Ranges;
use super::rtt::{max_ack_delay, part, times};
use crate::time::{Duration, Instant};

/// The most packets that wait for one acknowledgement (the peers measured in `figures` use 10 to 64).
const MOST_PER_ACK: u16 = 32;
/// Where acknowledgements wait for a packet to travel in, this many packets are waited for at most (guess: as many as may be under way).
const MOST_UNHURRIED: u16 = 8;
/// This many acknowledgements in a row must come fast before packets per acknowledgement double.
const CALM_ACKS: u8 = 8;
/// Above this loss acknowledgements are repeated.
const REPEAT_ABOVE_PPM: u32 = 300_000;
/// Acknowledgements are repeated so often that all are lost with this chance (guess: half), in a stream, where what comes next
/// repeats them as well. To what came alone half as many again are said: at 90 % loss ten for seven, and the sum of copies and
/// acknowledgements until the sender knows is least, 21 and 15 for 26 and 13.
const REPEAT_TARGET_PPM: u32 = 500_000;
/// Above this loss, where three copies and more are said, what comes alone is answered so. Below, as on a radio that loses half,
/// what comes next is the cheaper repeat.
const BURST_ABOVE_PPM: u32 = 650_000;
/// However much is lost, no more copies of one acknowledgement.
const MOST_COPIES: u32 = 12;

/// With more ranges than this to acknowledge, the peer is asked to confirm acknowledgements, or the older are forgotten.
const MANY_RANGES: usize = 8;
/// Round trips without a packet after which none is under way any more that an older range would speak of. In a stream at 90 % loss
/// there are gaps of half a round trip, and ranges forgotten there cost the sender five sixths of its rate.
const LONG_QUIET: u64 = 4;

/// How the path is when a packet arrives.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    /// Ranges that may be remembered.
    pub(super) most_ranges: usize,
    /// The smoothed round trip.
    pub(super) srtt: Duration,
    /// What is lost in the worse direction, in millionths.
    pub(super) loss_ppm: u32,
}

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
    /// How often the last acknowledgement will be said again.
    repeats: u8,
    /// Of how many it is one that answer what came alone: then nothing that comes meanwhile begins them anew. 0 in a stream.
    burst: u8,
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
            burst: 0,
            expected: 0,
            arrived: 0,
            lost_ppm: None,
        }
    }

    /// A packet was authenticated that was not seen before. Whether so much has to be said of what arrived that the peer
    /// should confirm that it knows.
    pub(super) fn on_packet(&mut self, now: Instant, number: u64, eliciting: bool, at: At) -> bool {
        let At { most_ranges, srtt, loss_ppm } = at;
        if !self.ranges.insert(number, most_ranges) {
            return false;
        }
        let in_order = self.largest.is_none_or(|largest| number == largest.wrapping_add(1));
        self.count(number);
        if self.largest.is_none_or(|largest| number > largest) {
            self.largest = Some(number);
            self.largest_at = now;
        }
        if !eliciting {
            return false;
        }
        if self.waiting == 0 {
            self.waiting_since = now;
        }
        self.waiting = self.waiting.saturating_add(1);
        if self.is_in_burst() {
            // What is left of the burst speaks of this packet as well.
            return false;
        }
        if loss_ppm > BURST_ABOVE_PPM && self.was_quiet_for(now, times(srtt, LONG_QUIET)) {
            // Where each packet that arrives is a range of its own, a question whether the peer knows would cost more than to
            // have said the older ones in so many bursts before.
            self.ranges.keep_highest(MANY_RANGES);
        }
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
        self.ranges.len() > MANY_RANGES
    }

    /// Whether nothing was acknowledged for so long.
    fn was_quiet_for(&self, now: Instant, span: Duration) -> bool {
        self.last_ack.is_none_or(|last| now.since(last) >= span)
    }

    /// What waits to be acknowledged waits so long for a packet that the acknowledgement can travel in.
    pub(super) fn postpone(&mut self, span: Duration) {
        if (1..MOST_UNHURRIED).contains(&self.waiting) {
            self.due = Some(self.waiting_since + span);
        }
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
        if self.waiting > 0 && !self.is_in_burst() {
            self.plan_repeats(now, srtt, loss_ppm);
        } else {
            self.repeats = self.repeats.saturating_sub(1);
        }
        self.waiting = 0;
        self.last_ack = Some(now);
        let pause = match self.burst {
            0 => part(srtt, 4).max(Duration::from_millis(5)),
            burst => part(srtt, 4 * u64::from(burst)),
        };
        self.due = if self.repeats > 0 { Some(now + pause) } else { None };
    }

    fn plan_repeats(&mut self, now: Instant, srtt: Duration, loss_ppm: u32) {
        let alone = loss_ppm > BURST_ABOVE_PPM && self.was_quiet_for(now, part(srtt, 2));
        let stream = if loss_ppm > REPEAT_ABOVE_PPM { copies(loss_ppm, REPEAT_TARGET_PPM) } else { 1 };
        let copies = if alone { stream + stream / 2 } else { stream }.min(MOST_COPIES);
        self.repeats = copies as u8 - 1;
        self.burst = if alone { copies as u8 } else { 0 };
    }

    /// Whether an acknowledgement of what came alone is being said several times.
    fn is_in_burst(&self) -> bool {
        self.burst > 0 && self.repeats > 0
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
