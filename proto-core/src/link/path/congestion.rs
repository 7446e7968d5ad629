//! How fast to send.
//!
//! On a road where nine cars in ten break down whatever the traffic, counting wrecks tells nothing
//! about jams. What tells is how much longer the drive takes than on an empty road. So this
//! controller sets a rate, not a window, and looks at three things, in epochs: it changes the rate,
//! sends for a while, and judges only packets sent since the change.
//!
//! 1. *Queueing delay*: the least round trip of the epoch against the least of ten seconds (as in
//!    TCP Vegas, LEDBAT RFC 6817 and Copa, Arun and Balakrishnan 2018). More than a few milliseconds
//!    means that the rate is above our share.
//! 2. *Arrival rate*: bytes sent between two acknowledged packets over the time between their
//!    arrivals. Arrivals are as far apart as departures plus the change in delay, so two round trips
//!    give the bottleneck's rate however many packets between them were lost.
//! 3. *Loss above the usual*: a queue too short to be seen by its delay shows as loss that exceeds the
//!    long-term share by more than chance does. When sending less does not help, it was not the queue,
//!    and the new share becomes the usual. Loss that does not depend on the rate never lowers it.
//!
//! An unknown link starts with 10 packets a round trip (RFC 6928) and doubles until one of the signs
//! appears. After that the rate falls by how full the queue is and rises by one packet a round trip,
//! doubled in each quiet epoch: falling together and rising by equal steps is what makes two
//! controllers share a link (Chiu and Jain 1989). A link whose rate the hardware fixes starts at that
//! rate and never exceeds it.

use super::loss::{ONE, isqrt};
use super::pacer::MOST_RATE;
use super::rtt::{WindowedMin, part, times};
use super::sent::{News, Sent};
use crate::time::{Duration, Instant};

/// Packets in the first round trip (RFC 6928).
const INITIAL_PACKETS: u64 = 10;
/// Queueing delay that is never held against us: what timers and medium access cost (guess).
const QUEUE_FREE: Duration = Duration::from_millis(5);
/// An epoch sends at least so many packets.
const EPOCH_PACKETS: u64 = 8;
/// How many packets the usual loss remembers.
const USUAL_MEMORY: u64 = 2_048;
/// The slowest that silence makes us, one packet in this time or in a round trip.
const FLOOR_INTERVAL: Duration = Duration::from_millis(250);

/// What an epoch has measured about delay.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    total: u64,
    delay: Duration,
}

/// Reaction to loss above the usual.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Excess {
    None,
    /// Seen in one epoch: do not go faster.
    Seen,
    /// The rate was lowered from `from` when `ppm` were lost; if it was the queue, about `hoped_ppm`
    /// will be lost now.
    Tried {
        from: u64,
        ppm: u64,
        hoped_ppm: u64,
    },
}

/// Rate controller of one path.
#[derive(Clone, Debug)]
pub(super) struct Congestion {
    rate: u64,
    ceiling: u64,
    known_rate: Option<u64>,
    mtu: u64,
    starting: bool,
    base: WindowedMin,
    step: u64,
    usual_ppm: u64,
    usual_weight: u64,
    excess: Excess,
    /// The rate before silence lowered it.
    before_silence: Option<u64>,
    // The epoch.
    start: u64,
    started: Instant,
    started_total: u64,
    end: Option<u64>,
    used: bool,
    acked: u32,
    lost: u32,
    first: Option<Sample>,
    last: Option<Sample>,
    least: Duration,
}

impl Congestion {
    /// A controller for a link with this rate in bytes a second, if fixed, and about this round trip.
    pub(super) fn new(
        known_rate: Option<u64>,
        mtu: u64,
        rtt: Duration,
        now: Instant,
    ) -> Congestion {
        let ceiling = known_rate.unwrap_or(MOST_RATE).clamp(1, MOST_RATE);
        let rtt = rtt.max(Duration::from_millis(1));
        let rate = known_rate
            .unwrap_or(rate_of(INITIAL_PACKETS * mtu, rtt))
            .clamp(1, ceiling);
        Congestion {
            rate,
            ceiling,
            known_rate,
            mtu,
            starting: known_rate.is_none(),
            base: WindowedMin::new(),
            step: 0,
            usual_ppm: 0,
            usual_weight: 0,
            excess: Excess::None,
            before_silence: None,
            start: 0,
            started: now,
            started_total: 0,
            end: None,
            used: false,
            acked: 0,
            lost: 0,
            first: None,
            last: None,
            least: Duration::MAX,
        }
    }

    /// Bytes a second.
    pub(super) fn rate(&self) -> u64 {
        self.rate
    }

    /// Bytes that may leave at once after a pause: 10 packets or 1 ms, only one packet where the
    /// hardware has its own pace and more would stand in its queue.
    pub(super) fn burst(&self) -> u64 {
        let packets = if self.known_rate.is_some() {
            1
        } else {
            INITIAL_PACKETS
        };
        (self.rate / 1_000).max(packets * self.mtu)
    }

    /// Whether nothing speaks for sending less.
    pub(super) fn is_quiet(&self) -> bool {
        self.excess == Excess::None && self.before_silence.is_none()
    }

    /// The first packet that the epoch judges.
    pub(super) fn epoch(&self) -> u64 {
        self.start
    }

    /// How long a packet takes onto the wire, where that is known.
    fn serialisation(&self, bytes: u64) -> Duration {
        match self.known_rate {
            Some(rate) => time_of(bytes, rate),
            None => Duration::ZERO,
        }
    }

    /// A packet leaves; `total` counts it.
    pub(super) fn on_sent(&mut self, now: Instant, number: u64, total: u64, srtt: Duration) {
        if self.end.is_some() || number < self.start + EPOCH_PACKETS {
            return;
        }
        let lasted = now.since(self.started);
        if lasted >= part(srtt, 2) {
            self.end = Some(number);
            let possible = u128::from(self.rate) * u128::from(lasted.as_micros()) / 1_000_000;
            self.used = u128::from(total - self.started_total) * 2 >= possible;
        }
    }

    /// An acknowledgement settled packets. `rtt` is that of `news.newest`, free of ack delay.
    pub(super) fn on_ack(&mut self, now: Instant, news: &News, rtt: Duration, srtt: Duration) {
        self.acked += news.epoch_acked;
        self.lost += news.epoch_lost;
        if news.acked > 0 {
            self.on_revival();
        }
        let Some(newest) = news.newest else { return };
        self.sample(now, &newest, rtt, srtt);
    }

    fn sample(&mut self, now: Instant, newest: &Sent, rtt: Duration, srtt: Duration) {
        let delay = rtt.saturating_sub(self.serialisation(u64::from(newest.bytes)));
        let window = Duration::from_secs(10).max(times(srtt, 16));
        self.base.update(now, delay, window);
        if newest.total <= self.started_total {
            return;
        }
        let sample = Sample {
            at: newest.at,
            total: newest.total,
            delay,
        };
        self.first.get_or_insert(sample);
        self.last = Some(sample);
        self.least = self.least.min(delay);
    }

    /// Ends the epoch when a packet behind its end has arrived, and sets the rate. `next` is the
    /// number and `total` the bytes before the next packet.
    pub(super) fn judge(
        &mut self,
        now: Instant,
        largest: u64,
        next: u64,
        total: u64,
        srtt: Duration,
    ) {
        if self.end.is_none_or(|end| largest < end) || self.last.is_none() {
            return;
        }
        let base = self.base.get().unwrap_or(self.least);
        let queue = self.least.saturating_sub(base);
        let packet = time_of(2 * self.mtu, self.rate);
        let allowed = QUEUE_FREE.max(part(base, 8)) + packet;
        let congested = queue > allowed;
        let excessive = self.is_loss_excessive();
        if self.starting {
            self.judge_start(congested || excessive, queue, base, srtt);
        } else if congested {
            self.yield_to(queue, base, srtt);
        } else if excessive || self.excess != Excess::None {
            self.judge_loss(excessive, srtt);
        } else if self.used {
            self.rise(queue > part(allowed, 2), srtt);
        }
        if !congested && self.excess == Excess::None {
            self.learn_usual();
        }
        self.rate = self.rate.clamp(self.floor(srtt), self.ceiling);
        self.begin(now, next, total);
    }

    fn begin(&mut self, now: Instant, next: u64, total: u64) {
        self.start = next;
        self.started = now;
        self.started_total = total;
        self.end = None;
        self.used = false;
        self.acked = 0;
        self.lost = 0;
        self.first = None;
        self.last = None;
        self.least = Duration::MAX;
    }

    fn floor(&self, srtt: Duration) -> u64 {
        rate_of(self.mtu, FLOOR_INTERVAL.max(srtt)).clamp(1, self.ceiling)
    }

    /// One packet a round trip.
    fn least_step(&self, srtt: Duration) -> u64 {
        rate_of(self.mtu, srtt).max(1)
    }

    /// The rate at which packets of this epoch arrived, had none been lost.
    fn arrival_rate(&self, srtt: Duration) -> Option<u64> {
        let (first, last) = (self.first?, self.last?);
        let apart = last.at.since(first.at);
        if apart < part(srtt, 8) {
            return None;
        }
        let arrivals = (apart + last.delay)
            .saturating_sub(first.delay)
            .max(Duration::from_micros(1));
        Some(rate_of(last.total - first.total, arrivals))
    }

    fn judge_start(&mut self, stop: bool, queue: Duration, base: Duration, srtt: Duration) {
        if stop {
            self.starting = false;
            let half = self.rate / 2;
            let arrival = self.arrival_rate(srtt).unwrap_or(half);
            self.rate = arrival.clamp(half, self.rate);
            self.drain(queue, base);
            self.step = self.least_step(srtt);
        } else if self.used {
            self.rate = self.rate.saturating_mul(2);
        }
    }

    /// Sends less than arrives until the queue is gone: after about two round trips, queue included.
    fn drain(&mut self, queue: Duration, base: Duration) {
        let whole = (base + queue).as_micros().max(1).saturating_mul(2);
        let keep = whole.saturating_sub(queue.as_micros());
        self.rate = Duration::from_micros(self.rate)
            .mul_ratio(keep, whole)
            .as_micros();
    }

    fn yield_to(&mut self, queue: Duration, base: Duration, srtt: Duration) {
        self.step = self.least_step(srtt);
        self.excess = Excess::None;
        let draining = match (self.first, self.last) {
            (Some(first), Some(last)) => last.delay + QUEUE_FREE < first.delay,
            (_, _) => false,
        };
        if draining {
            return;
        }
        if let Some(arrival) = self.arrival_rate(srtt) {
            self.rate = self.rate.min(arrival);
        }
        self.drain(queue, base);
    }

    fn rise(&mut self, gently: bool, srtt: Duration) {
        let least = self.least_step(srtt);
        if gently {
            self.step = least;
        }
        self.step = self.step.max(least).min(self.rate / 4 + 1);
        self.rate = self.rate.saturating_add(self.step);
        self.step = self.step.saturating_mul(2);
    }

    fn loss_ppm(&self) -> u64 {
        let count = u64::from(self.acked) + u64::from(self.lost);
        u64::from(self.lost) * ONE / count.max(1)
    }

    /// More lost than the usual share by more than three standard deviations and two packets.
    fn is_loss_excessive(&self) -> bool {
        if self.usual_weight == 0 {
            return false;
        }
        let count = u64::from(self.acked) + u64::from(self.lost);
        let usual = self.usual_ppm;
        let expected = count * usual;
        // Variance of this epoch and of the usual share itself, in packets squared times 10^12.
        let one = u128::from(count) * u128::from(usual) * u128::from(ONE - usual.min(ONE));
        let both = one + one * u128::from(count) / u128::from(self.usual_weight);
        let deviation = isqrt(u64::try_from(both).unwrap_or(u64::MAX));
        u64::from(self.lost) * ONE > expected + 3 * deviation + 2 * ONE
    }

    fn learn_usual(&mut self) {
        let count = u64::from(self.acked) + u64::from(self.lost);
        if count == 0 {
            return;
        }
        let all = self.usual_weight + count;
        self.usual_ppm = (self.usual_ppm * self.usual_weight + ONE * u64::from(self.lost)) / all;
        self.usual_weight = all.min(USUAL_MEMORY);
    }

    fn judge_loss(&mut self, excessive: bool, srtt: Duration) {
        let ppm = self.loss_ppm();
        self.step = self.least_step(srtt);
        self.excess = match self.excess {
            Excess::None => Excess::Seen,
            Excess::Seen if !excessive => Excess::None,
            Excess::Seen => self.try_less(ppm),
            Excess::Tried { .. } if !excessive => Excess::None,
            Excess::Tried {
                ppm: before,
                hoped_ppm,
                from,
            } => {
                if ppm <= hoped_ppm.midpoint(before) {
                    self.try_less(ppm)
                } else {
                    self.rate = from;
                    self.usual_ppm = ppm;
                    self.usual_weight = u64::from(self.acked) + u64::from(self.lost);
                    Excess::None
                }
            }
        };
    }

    /// Lowers the rate to what would have got through, at most by half.
    fn try_less(&mut self, ppm: u64) -> Excess {
        let from = self.rate;
        let through = ONE - ppm.min(ONE);
        let usual_through = (ONE - self.usual_ppm.min(ONE)).max(1);
        let less = u128::from(from) * u128::from(through) * 31 / (u128::from(usual_through) * 32);
        self.rate = (less as u64).clamp(from / 2, from).max(1);
        // What arrives stays the same, if it is the queue that loses.
        let arrives = u128::from(through) * u128::from(from) / u128::from(self.rate);
        let hoped = ONE.saturating_sub(arrives as u64).max(self.usual_ppm);
        Excess::Tried {
            from,
            ppm,
            hoped_ppm: hoped,
        }
    }

    /// The path works again.
    pub(super) fn on_revival(&mut self) {
        if let Some(before) = self.before_silence.take() {
            self.rate = if self.known_rate.is_some() {
                before
            } else {
                self.rate.max(before / 2)
            };
        }
    }

    /// Nothing was acknowledged for longer than chance explains: send less, but never nothing.
    pub(super) fn on_silence(&mut self, srtt: Duration) {
        self.before_silence.get_or_insert(self.rate);
        self.rate = (self.rate / 2).max(self.floor(srtt));
    }

    pub(super) fn check(&self) {
        assert!(
            self.rate >= 1 && self.rate <= self.ceiling,
            "rate out of range"
        );
        assert!(self.usual_ppm <= ONE, "usual loss above one");
    }
}

/// Bytes a second that `bytes` in `span` are.
fn rate_of(bytes: u64, span: Duration) -> u64 {
    let wide = u128::from(bytes) * 1_000_000 / u128::from(span.as_micros().max(1));
    (wide as u64).min(MOST_RATE)
}

/// How long `bytes` take at `rate` bytes a second.
pub(super) fn time_of(bytes: u64, rate: u64) -> Duration {
    Duration::from_micros(bytes).mul_ratio(1_000_000, rate.max(1))
}
