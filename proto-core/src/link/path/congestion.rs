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
//! appears. The first ten leave together, and if they come in further apart than they left, the
//! bottleneck has spread them out: their spacing is its rate (packet trains: Jain and Routhier 1986;
//! Dovrolis, Ramanathan and Moore 2001), and no more doubling is needed. After that the rate falls by how full the queue is and rises by one packet a round trip,
//! by more when the queue stays empty for long: falling together and rising by equal steps is what makes two
//! controllers share a link (Chiu and Jain 1989). A link whose rate the hardware fixes starts at that
//! rate, or at half of it where both directions share it, and never exceeds it.

use alloc::boxed::Box;

use super::loss::{ONE, isqrt};
use super::pacer::MOST_RATE;
use super::rtt::{GRANULARITY, WindowedMin, part, times};
use super::sent::{News, Sent};
use crate::time::{Duration, Instant};

/// Packets in the first round trip (RFC 6928), and at most at once after a pause (RFC 9002, section 7.7).
const INITIAL_PACKETS: u64 = 10;
/// A timer is no finer than this (RFC 9002, section 6.1.2), so at high rates what would leave in it may
/// leave at once, but never more packets than the second number (as in quinn's pacer).
const BURST_TIME: Duration = GRANULARITY;
const MOST_BURST: u64 = 256;
/// Queueing delay that is never held against us: what timers and medium access cost (guess).
const QUEUE_FREE: Duration = Duration::from_millis(5);
/// An epoch sends at least so many packets.
const EPOCH_PACKETS: u64 = 8;
/// A drained queue is gone after so many epochs.
const DRAIN_EPOCHS: u8 = 2;
/// After so many epochs without a queue the steps upwards double.
const CALM_EPOCHS: u8 = 4;
/// So many packets are needed to learn the usual loss, and to judge a change of it.
const LEARN_PACKETS: u32 = 256;
const JUDGE_PACKETS: u32 = 32;
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

/// Packets that left together.
#[derive(Clone, Copy, Debug)]
struct Train {
    /// The first of them that was acknowledged.
    first: Sample,
    /// The rate at which they came in, while it was not used.
    spread: Option<u64>,
}

/// Packets whose fate is known.
#[derive(Clone, Copy, Debug)]
struct Tally {
    count: u32,
    lost: u32,
}

impl Tally {
    const ZERO: Tally = Tally { count: 0, lost: 0 };

    fn ppm(self) -> u64 {
        u64::from(self.lost) * ONE / u64::from(self.count.max(1))
    }
}

/// Packets sent together have to bring this many bytes, in packets, before their spacing is a rate.
const TRAIN_PACKETS: u64 = 4;
/// A train does not raise the rate further than this many times: acknowledgements may have been held up
/// and come in a heap.
const MOST_LEAP: u64 = 8;

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
    /// The packets that left together last, while the rate is being learnt.
    train: Option<Box<Train>>,
    /// The rate has been learnt so: it is tried out by quarters, not doubled.
    leapt: bool,
    base: WindowedMin,
    step: u64,
    /// What arrived when the queue was last seen.
    reached: u64,
    /// For so many epochs more the queue may still be there, because of what was sent before.
    draining: u8,
    /// Epochs since the queue was last seen.
    calm: u8,
    usual_ppm: u32,
    usual_weight: u32,
    excess: Excess,
    /// The rate before silence lowered it.
    before_silence: Option<u64>,
    // The epoch.
    start: u64,
    started: Instant,
    started_total: u64,
    end: Option<u64>,
    /// Packets sent from here on show what the epoch's rate has done to the queue.
    half: Instant,
    used: bool,
    epoch_loss: Tally,
    /// The same over several epochs, until it is learnt as usual.
    window_loss: Tally,
    window_carried: bool,
    first: Option<Sample>,
    last: Option<Sample>,
    least: Duration,
}

impl Congestion {
    /// A controller for a link with this rate in bytes a second, if fixed, and about this round trip.
    /// `half_duplex` says that the peer shares that rate with us: the first guess leaves it half.
    pub(super) fn new(
        known_rate: Option<u64>,
        half_duplex: bool,
        mtu: u64,
        rtt: Duration,
        now: Instant,
    ) -> Congestion {
        let ceiling = known_rate.unwrap_or(MOST_RATE).clamp(1, MOST_RATE);
        let rtt = rtt.max(Duration::from_millis(1));
        let first = known_rate.map(|rate| if half_duplex { rate / 2 } else { rate });
        let rate = first.unwrap_or(rate_of(INITIAL_PACKETS * mtu, rtt)).clamp(1, ceiling);
        Congestion {
            rate,
            ceiling,
            known_rate,
            mtu,
            starting: known_rate.is_none(),
            train: None,
            leapt: false,
            base: WindowedMin::new(),
            step: 0,
            reached: 0,
            draining: 0,
            calm: 0,
            usual_ppm: 0,
            usual_weight: 0,
            excess: Excess::None,
            before_silence: None,
            start: 0,
            started: now,
            started_total: 0,
            end: None,
            half: now,
            used: false,
            epoch_loss: Tally::ZERO,
            window_loss: Tally::ZERO,
            window_carried: true,
            first: None,
            last: None,
            least: Duration::MAX,
        }
    }

    /// The link has another rate, if fixed, or another MTU.
    pub(super) fn link_changed(&mut self, known_rate: Option<u64>, mtu: u64) {
        self.known_rate = known_rate;
        self.mtu = mtu;
        self.ceiling = known_rate.unwrap_or(MOST_RATE).clamp(1, MOST_RATE);
        self.rate = self.rate.min(self.ceiling);
    }

    /// Bytes a second that the link takes, where that is fixed.
    pub(super) fn known_rate(&self) -> Option<u64> {
        self.known_rate
    }

    /// Bytes a second.
    pub(super) fn rate(&self) -> u64 {
        self.rate
    }

    /// Bytes that may leave at once after a pause: 10 packets or those of 1 ms, up to 256; only one
    /// packet where the hardware has its own pace and more would stand in its queue.
    pub(super) fn burst(&self) -> u64 {
        let packets = if self.known_rate.is_some() { 1 } else { INITIAL_PACKETS };
        let timed = self.rate / (1_000_000 / BURST_TIME.as_micros());
        timed.clamp(packets * self.mtu, MOST_BURST * self.mtu)
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
        // Where there is no round trip to speak of, an epoch lasts a timer's tick: without it the rate
        // would double with every eighth packet of a single moment.
        let lasted = now.since(self.started);
        if lasted >= part(srtt, 2).max(GRANULARITY) {
            self.end = Some(number);
            self.half = self.started + part(lasted, 2);
            let possible = u128::from(self.rate) * u128::from(lasted.as_micros()) / 1_000_000;
            self.used = u128::from(total - self.started_total) * 2 >= possible;
        }
    }

    /// An acknowledgement settled packets. `rtt` is that of `news.newest`, free of ack delay.
    pub(super) fn on_ack(&mut self, now: Instant, news: &News, rtt: Duration, srtt: Duration) {
        for tally in [&mut self.epoch_loss, &mut self.window_loss] {
            tally.count = tally.count.saturating_add(news.epoch_acked + news.epoch_lost);
            let lost = tally.lost.saturating_add(news.epoch_lost);
            tally.lost = lost.saturating_sub(news.epoch_late);
        }
        let Some(newest) = news.newest else { return };
        self.sample(now, &newest, rtt, srtt);
    }

    fn sample(&mut self, now: Instant, newest: &Sent, rtt: Duration, srtt: Duration) {
        let delay = rtt.saturating_sub(self.serialisation(u64::from(newest.bytes)));
        let window = Duration::from_secs(10).max(times(srtt, 16));
        self.base.update(now, delay, window);
        if self.starting {
            self.see_train(Sample { at: newest.at, total: newest.total, delay }, srtt);
        }
        if newest.total <= self.started_total {
            return;
        }
        let sample = Sample { at: newest.at, total: newest.total, delay };
        self.first.get_or_insert(sample);
        self.last = Some(sample);
        if sample.at >= self.half {
            self.least = self.least.min(delay);
        }
    }

    /// Looks at packets that left within an eighth of a round trip. Each took longer than the one before
    /// if they waited for each other; when that makes up most of their spacing, this is the bottleneck's.
    fn see_train(&mut self, sample: Sample, srtt: Duration) {
        let train = self.train.get_or_insert_with(|| Box::new(Train { first: sample, spread: None }));
        let first = train.first;
        let apart = sample.at.since(first.at);
        if apart > part(srtt, 8) || sample.total < first.total {
            train.first = sample;
            return;
        }
        let bytes = sample.total - first.total;
        let longer = sample.delay.saturating_sub(first.delay);
        let spacing = apart + longer;
        if bytes >= TRAIN_PACKETS * self.mtu && spacing >= GRANULARITY && longer >= part(times(spacing, 3), 4)
        {
            train.spread = Some(rate_of(bytes, spacing));
        }
    }

    /// Takes over the rate that a train has shown, if it is higher. Returns whether it was.
    fn leap(&mut self) -> bool {
        let spread = self.train.as_mut().and_then(|train| train.spread.take());
        let Some(spread) = spread.filter(|spread| self.starting && *spread > self.rate) else {
            return false;
        };
        self.leapt = true;
        self.rate = spread.min(self.rate.saturating_mul(MOST_LEAP)).min(self.ceiling);
        true
    }

    /// Ends the epoch when a packet behind its end has arrived, and sets the rate. `next` is the
    /// number and `total` the bytes before the next packet.
    pub(super) fn judge(&mut self, now: Instant, largest: u64, next: u64, total: u64, srtt: Duration) {
        if self.leap() {
            return self.begin(now, next, total);
        }
        if self.end.is_none_or(|end| largest < end) || self.least == Duration::MAX {
            return;
        }
        let base = self.base.get().unwrap_or(self.least);
        let queue = self.least.saturating_sub(base);
        let packet = time_of(2 * self.mtu, self.rate);
        let allowed = QUEUE_FREE.max(part(base, 8)) + packet;
        let congested = queue > allowed;
        // Only what is lost at a rate that the link is known to carry tells the usual loss.
        let carried = self.reached == 0 || self.rate <= self.reached || self.rate >= self.ceiling;
        if carried != self.window_carried {
            self.window_carried = carried;
            self.window_loss = self.epoch_loss;
        }
        let excessive = self.is_excessive(self.epoch_loss) || self.is_excessive(self.window_loss);
        if self.starting {
            self.judge_start(congested, excessive, queue, base, srtt);
        } else if congested {
            self.yield_to(excessive, queue, base, srtt);
        } else if excessive || self.excess != Excess::None {
            self.judge_loss(excessive);
        } else if self.used {
            self.rise(queue > part(allowed, 2), srtt);
        }
        if carried && !congested && !excessive {
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
        self.half = now;
        self.used = false;
        self.epoch_loss = Tally::ZERO;
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
        let arrivals = (apart + last.delay).saturating_sub(first.delay).max(Duration::from_micros(1));
        Some(rate_of(last.total - first.total, arrivals))
    }

    fn judge_start(
        &mut self,
        congested: bool,
        excessive: bool,
        queue: Duration,
        base: Duration,
        srtt: Duration,
    ) {
        let arrival = self.arrival_rate(srtt);
        // Where the rate was read off a train, a quarter more than the bottleneck takes fills its queue too
        // slowly to be waited for.
        let outrun = self.leapt && self.is_rising() && arrival.is_some_and(|rate| rate < self.rate / 16 * 15);
        if congested || excessive || outrun {
            self.starting = false;
            self.train = None;
            // The rate before the last doubling was fine; the bottleneck may lie between.
            let half = self.rate / 2;
            let arrival = if congested || outrun { arrival.unwrap_or(half) } else { half };
            self.rate = arrival.clamp(half, self.rate);
            self.reached = self.rate;
            self.drain(queue, base);
            self.step = 0;
            self.calm = 0;
        } else if self.used {
            let more = if self.leapt { self.rate / 4 } else { self.rate };
            self.rate = self.rate.saturating_add(more);
        }
    }

    /// Sends less than arrives until the queue is gone: after about two round trips, queue included.
    fn drain(&mut self, queue: Duration, base: Duration) {
        let whole = (base + queue).as_micros().max(1).saturating_mul(2);
        let keep = whole.saturating_sub(queue.as_micros());
        let rate = u128::from(self.rate) * u128::from(keep) / u128::from(whole);
        self.rate = u64::try_from(rate).unwrap_or(u64::MAX);
        self.draining = DRAIN_EPOCHS;
    }

    /// Whether packets took longer and longer in this epoch.
    fn is_rising(&self) -> bool {
        match (self.first, self.last) {
            (Some(first), Some(last)) => last.delay > first.delay + part(QUEUE_FREE, 2),
            (_, _) => false,
        }
    }

    fn yield_to(&mut self, excessive: bool, queue: Duration, base: Duration, srtt: Duration) {
        self.calm = 0;
        self.excess = Excess::None;
        if self.draining > 0 && !self.is_rising() && !excessive {
            self.draining -= 1;
            return;
        }
        let arrival = self.arrival_rate(srtt).unwrap_or(self.rate);
        if !self.used && !excessive {
            // Who sends less than half of what it may has not filled the queue, and what arrives of it says
            // nothing about its share.
            self.rate = self.rate.min(arrival.saturating_mul(2));
            return;
        }
        self.reached = arrival;
        self.rate = self.rate.min(self.reached);
        if excessive {
            // The queue is full: what it drops does not show in the delay.
            self.rate = self.rate_through(self.epoch_loss.ppm());
            self.reached = self.rate;
        }
        self.drain(queue, base);
    }

    /// Back at once to near the rate that last filled the queue; around it by equal steps, so that
    /// flows converge; by growing ones where that takes too long, and boldly only when the rate has
    /// clearly left it behind.
    fn rise(&mut self, gently: bool, srtt: Duration) {
        let least = self.least_step(srtt);
        self.draining = 0;
        self.calm = if gently { 0 } else { self.calm.saturating_add(1) };
        self.step = if self.calm > CALM_EPOCHS { self.step.saturating_mul(2) } else { least };
        let most = if self.rate > self.reached / 8 * 9 { self.rate / 8 } else { self.rate / 64 };
        self.step = self.step.min(most).max(least);
        let near = self.reached / 16 * 15;
        let back = if gently { 0 } else { near.saturating_sub(self.rate) / 2 };
        self.rate = self.rate.saturating_add(self.step.max(back));
    }

    /// More lost than the usual share by more than three standard deviations and two packets.
    fn is_excessive(&self, tally: Tally) -> bool {
        if self.usual_weight == 0 {
            return false;
        }
        // Two shares compared: the deviation is that of the share of both taken together.
        let (count, lost) = (u64::from(tally.count), u64::from(tally.lost));
        let (usual_ppm, usual_weight) = (u64::from(self.usual_ppm), u64::from(self.usual_weight));
        let all = usual_weight + count;
        let both = (usual_ppm * usual_weight + ONE * lost) / all.max(1);
        let one = u128::from(count) * u128::from(both) * u128::from(ONE.saturating_sub(both));
        let variance = one + one * u128::from(count) / u128::from(usual_weight);
        let deviation = isqrt(u64::try_from(variance).unwrap_or(u64::MAX));
        lost * ONE > count * usual_ppm + 3 * deviation + 2 * ONE
    }

    /// Lets what was lost become the usual, once it is enough to go by.
    fn learn_usual(&mut self) {
        let window = self.window_loss;
        let least = if self.starting { 1 } else { LEARN_PACKETS };
        if window.count < least {
            return;
        }
        let usual_weight = u64::from(self.usual_weight);
        let all = usual_weight + u64::from(window.count);
        let lost = ONE * u64::from(window.lost);
        // A share is at most a million, and the memory is short.
        self.usual_ppm = ((u64::from(self.usual_ppm) * usual_weight + lost) / all) as u32;
        self.usual_weight = all.min(USUAL_MEMORY) as u32;
        self.window_loss = Tally::ZERO;
    }

    fn judge_loss(&mut self, excessive: bool) {
        self.calm = 0;
        let window = self.window_loss;
        let before = self.excess;
        self.excess = match before {
            Excess::None => Excess::Seen,
            Excess::Seen if excessive => self.try_less(self.epoch_loss.ppm()),
            Excess::Seen => Excess::None,
            Excess::Tried { .. } if window.count < JUDGE_PACKETS => return,
            Excess::Tried { .. } if !self.is_excessive(window) => Excess::None,
            Excess::Tried { ppm, hoped_ppm, .. } if window.ppm() <= hoped_ppm.midpoint(ppm) => {
                self.try_less(window.ppm())
            }
            Excess::Tried { from, .. } => {
                self.rate = from;
                self.reached = from;
                self.usual_ppm = window.ppm() as u32;
                self.usual_weight = window.count;
                Excess::None
            }
        };
        if before != Excess::None {
            self.window_loss = Tally::ZERO;
        }
    }

    /// What of the rate gets through while `ppm` are lost, had only the usual been lost; at least half.
    fn rate_through(&self, ppm: u64) -> u64 {
        let through = u128::from(ONE - ppm.min(ONE));
        let usual = u128::from(ONE.saturating_sub(u64::from(self.usual_ppm)).max(1));
        let less = u128::from(self.rate) * through / usual;
        u64::try_from(less).unwrap_or(u64::MAX).clamp(self.rate / 2, self.rate).max(1)
    }

    /// Lowers the rate below what gets through, so that the usual loss shows.
    fn try_less(&mut self, ppm: u64) -> Excess {
        let from = self.rate;
        self.reached = self.rate_through(ppm);
        self.rate = (self.reached / 8 * 7).max(1);
        // As much as before arrives, if it is the queue that loses.
        let arrives = u128::from(ONE - ppm.min(ONE)) * u128::from(from) / u128::from(self.rate);
        let hoped = u128::from(ONE).saturating_sub(arrives) as u64;
        Excess::Tried { from, ppm, hoped_ppm: hoped.max(u64::from(self.usual_ppm)) }
    }

    /// The path answers again. After a real outage an unknown link may have changed.
    pub(super) fn on_revival(&mut self, was_dead: bool) {
        if let Some(before) = self.before_silence.take() {
            let whole = self.known_rate.is_some() || !was_dead;
            self.rate = if whole { before } else { self.rate.max(before / 2) }.min(self.ceiling);
        }
    }

    /// Nothing was acknowledged for longer than chance explains: send less, but never nothing.
    pub(super) fn on_silence(&mut self, srtt: Duration) {
        self.before_silence.get_or_insert(self.rate);
        self.rate = (self.rate / 2).max(self.floor(srtt));
    }

    pub(super) fn check(&self) {
        assert!(self.rate >= 1 && self.rate <= self.ceiling, "rate out of range");
        assert!(u64::from(self.usual_ppm) <= ONE, "usual loss above one");
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
