//! One path to a peer: which packets arrived, how long they take, how many are lost, how fast they
//! may be sent, and whether the path still lives. No messages here: whoever fills packets says what
//! it put in as [`Piece`]s, and hears of each piece's [`Fate`].
//!
//! Think of a courier between two offices. The courier notes when each bag left (`sent`), brings back
//! slips that say which bags came (`received`), knows how long the way takes (`rtt`), how many bags
//! get lost (`loss`), how fast they may be handed out (`congestion`, `pacer`), and notices when the
//! road is closed (`liveness`). What is in the bags is the offices' business.
//!
//! Sources: RFC 9000 section 13 (acknowledgements), RFC 9002 (round trips, loss); the rate controller
//! is described in `congestion`. Invariants are in [`Path::check`].
//!
//! The owner's part, for each packet: ask [`Path::may_send`] (or be told by [`Path::wants_probe`] and
//! [`Path::ack_due`], which need no permission), write frames, then [`Path::on_sent`]; for each
//! authenticated packet [`Path::on_received`] and for each ACK frame in it [`Path::on_ack`] of the
//! path it names; at [`Path::next_wake`] [`Path::on_timeout`].

mod congestion;
mod lifecycle;
mod liveness;
mod loss;
mod pacer;
mod piece;
mod ranges;
mod received;
mod rtt;
mod scarce;
mod sent;
mod size;

pub use loss::copies;
pub use piece::{Fate, Piece};
pub(crate) use scarce::TURNS_A_WAY;

use congestion::{Congestion, time_of};
use liveness::{Liveness, Pulse};
use loss::Loss;
use pacer::Pacer;
use received::{At, Received};
use rtt::{GRANULARITY, Rtt, part, times};
use sent::{Judge, News, SentLog};
use size::PacketSize;

use crate::codec::Writer;
use crate::ids::PathId;
use crate::limits::Limits;
use crate::link::frame::{self, AckFrame};
use crate::node::input::{LinkInfo, Medium};
use crate::time::{Duration, Instant};
use crate::wake::{Reason, Wake};

/// A path over other nodes is not asked whether it works while nobody uses it.
const NEVER: Duration = Duration::from_secs(1 << 40);
/// More of the timer's waiting time than this is never added by doubling it.
const LONGEST_PATIENCE: Duration = Duration::from_secs(1);
/// Late answers double the patience up to so many times, and up to so long: from 75 ms to over a minute.
const MOST_LATE: u8 = 10;
const LATEST: Duration = Duration::from_secs(77);
/// Packets that may always be in flight, whatever the rate.
const LEAST_WINDOW_PACKETS: u64 = 8;
/// What a path takes at most beyond its own size and what it remembers of packets, in bytes.
pub(crate) const EXTRA_BYTES: usize = size::TROUBLE_BYTES;
/// What the record of a packet takes that was sent, without its pieces, in bytes.
pub(crate) const RECORD_BYTES: usize = size_of::<sent::Sent>();
/// Two varints, the most that one range takes in an ACK.
const RANGE_BYTES: usize = 16;

/// An acknowledgement named a packet that was never sent: the peer breaks the protocol. Nothing of
/// the frame was believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("acknowledgement of a packet that was never sent")]
pub struct UnsentAcked;

/// Both directions of one path.
#[derive(Clone, Debug)]
pub struct Path {
    most_in_flight: u16,
    most_ranges: u16,
    keepalive: Duration,
    turn: scarce::Turn,
    backoff: u8,
    /// How often in a row an answer came to a packet that was forgotten.
    late: u8,
    /// The low half of the first number that was sent with the patience of now: late answers to earlier packets say
    /// nothing new.
    patient_from: u32,
    /// Loss of both directions that `sure_after` was computed for; where that back is not known, `u32::MAX`.
    judged_loss: (u32, u32),
    sure_after: u32,
    window: u64,
    /// What follows from the round trip, kept because every packet asks for it: the time after which an
    /// overtaken packet is lost, and that after which an answer has to have come.
    loss_delay: Duration,
    answer_time: Duration,
    rtt: Rtt,
    loss: Loss,
    congestion: Congestion,
    pacer: Pacer,
    sent: SentLog,
    received: Received,
    liveness: Liveness,
    size: PacketSize,
}

impl Path {
    /// A path over a link, before the first packet.
    #[must_use]
    pub fn new(link: &LinkInfo, limits: &Limits, now: Instant) -> Path {
        let mtu = u32::from(link.mtu).min(limits.packet_bytes).max(1);
        let known_rate = link.rate_bps.map(|bits| (bits / 8).max(1));
        let half_duplex = link.medium == Medium::Shared { half_duplex: true };
        let wire = if link.air.is_some() {
            link.airtime(mtu as usize)
        } else {
            known_rate.map_or(Duration::ZERO, |rate| time_of(u64::from(mtu), rate))
        };
        let rtt = Rtt::new(times(link.delay + wire, 2));
        let is_relayed = link.medium == Medium::Mesh;
        let is_scarce = link.air.is_some();
        let loss = match (is_relayed, is_scarce) {
            (true, _) => Loss::expecting(loss::HOPEFUL_PPM),
            (false, true) => Loss::expecting(loss::CROWDED_PPM),
            (false, false) => Loss::new(),
        };
        let mut path = Path {
            most_in_flight: limits.in_flight,
            most_ranges: limits.ack_ranges,
            keepalive: if is_relayed { NEVER } else { limits.keepalive },
            turn: scarce::Turn::of(link),
            backoff: 0,
            late: 0,
            patient_from: 0,
            judged_loss: (loss.ppm(), u32::MAX),
            sure_after: loss.packets_to_be_sure(None),
            window: 0,
            loss_delay: Duration::ZERO,
            answer_time: Duration::ZERO,
            congestion: Congestion::new(known_rate, half_duplex, u64::from(mtu), rtt.smoothed(), now),
            pacer: Pacer::new(now),
            sent: SentLog::new(),
            received: Received::new(),
            liveness: Liveness::new(now),
            size: PacketSize::new(mtu),
            rtt,
            loss,
        };
        path.refresh();
        path
    }

    /// Recomputes what every packet needs and only an acknowledgement changes.
    fn refresh(&mut self) {
        let back = self.received.lost_ppm();
        let judged = (self.loss.ppm(), back.unwrap_or(u32::MAX));
        let moved = judged.0.abs_diff(self.judged_loss.0) > judged.0 / 64 || judged.1 != self.judged_loss.1;
        if moved {
            self.judged_loss = judged;
            self.sure_after = self.loss.packets_to_be_sure(back);
        }
        self.loss_delay = self.rtt.loss_delay();
        self.answer_time = self.rtt.patience();
        let span = times(self.answer_time, 2).as_micros();
        let bytes = self.congestion.rate().saturating_mul(span) / 1_000_000;
        let least = LEAST_WINDOW_PACKETS * u64::from(self.size.told());
        self.window = bytes.max(least);
    }

    /// Whether a packet of `bytes` may leave: `Now`, or when to ask again. `Idle` means not before
    /// an acknowledgement or a [`Path::on_timeout`] has changed something.
    #[must_use]
    pub fn may_send(&mut self, now: Instant, bytes: usize) -> Wake {
        if self.liveness.is_dead() || self.size.holds_until().is_some() {
            return Wake::Idle;
        }
        let most = usize::from(self.most_in_flight);
        let fits = self.sent.open_bytes() + bytes as u64 <= self.window || self.sent.open() == 0;
        if !fits || self.sent.is_full(most) {
            // What was sent has to be settled first, and `next_wake` says when. Its time is no permission.
            return Wake::Idle;
        }
        self.pacer.fill(now, self.congestion.rate(), self.congestion.burst());
        if self.pacer.is_open() {
            return Wake::Now;
        }
        Wake::At(now + self.pacer.pause(self.congestion.rate()), Reason::Pacing)
    }

    /// A packet left with this number. `bytes` is the whole datagram, `pieces` what it carried.
    /// Numbers must grow; a packet sent without [`Path::may_send`] is charged all the same.
    pub fn on_sent(&mut self, now: Instant, number: u64, bytes: usize, eliciting: bool, pieces: &[Piece]) {
        self.on_sent_elsewhere(now, number, bytes, eliciting, pieces);
        if eliciting {
            self.liveness.on_asked(now);
        }
    }

    /// As [`Path::on_sent`], to an address under test: that it was asked there is no question to the path. Else the test of an
    /// address that never answers would put off the questions to a dead path for as long as it lasts.
    pub fn on_sent_elsewhere(
        &mut self,
        now: Instant,
        number: u64,
        bytes: usize,
        eliciting: bool,
        pieces: &[Piece],
    ) {
        let size = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.sent.push(now, number, size, eliciting, pieces, usize::from(self.most_in_flight));
        self.pacer.fill(now, self.congestion.rate(), self.congestion.burst());
        let most_debt = 4 * u64::from(self.size.told().max(size));
        if eliciting {
            self.size.on_sent(now, number, size, self.answer_time);
            self.pacer.spend(u64::from(size), most_debt);
            self.congestion.on_sent(now, number, self.sent.total(), self.rtt.smoothed());
        } else {
            self.pacer.spend_on_answer(u64::from(size), most_debt);
        }
    }

    /// The peer acknowledged packets of this path; `fate` hears what became of their pieces.
    ///
    /// # Errors
    /// [`UnsentAcked`] when the frame names a packet that was never sent; nothing has changed then.
    pub fn on_ack(
        &mut self,
        now: Instant,
        ack: &AckFrame<'_>,
        fate: &mut impl FnMut(Piece, Fate),
    ) -> Result<(), UnsentAcked> {
        if ack.largest >= self.sent.next() {
            return Err(UnsentAcked);
        }
        self.sent.report_evicted(fate);
        // A packet whose record had to make room is an answer all the same.
        let answered = self.sent.largest_acked().is_none_or(|largest| ack.largest > largest);
        let too_late = answered && self.sent.has_forgotten(ack.largest);
        let (wait, epoch, news) = (self.answer_time, self.congestion.epoch(), News::default());
        let mut judge = Judge { now, wait, epoch, size: &mut self.size, too_large: false, news };
        let oldest = self.sent.oldest();
        for range in ack.ranges() {
            if range.1 < oldest {
                break;
            }
            self.sent.on_range(range, &mut judge, fate);
        }
        let (news, mut sample) = (judge.news, Duration::ZERO);
        if let Some(newest) = news.newest {
            let delay = Duration::from_micros(ack.delay_us);
            sample = self.rtt.update(now, now.since(newest.at), delay);
        }
        if news.acked > 0 || answered {
            self.note_late(news.acked > 0, too_late, ack.largest);
            self.backoff = 0;
            let was_dead = self.liveness.on_answered();
            self.congestion.on_revival(was_dead);
            if was_dead {
                self.sent.forgive_outage(now, self.answer_time, &mut self.size);
            }
        }
        self.settle(now, news, sample, fate);
        Ok(())
    }

    /// An answer to what is forgotten already: answers take longer than was believed, and how long shows only
    /// when packets are remembered for so long.
    fn note_late(&mut self, in_time: bool, too_late: bool, number: u64) {
        let since = (number as u32).wrapping_sub(self.patient_from);
        if in_time {
            (self.late, self.patient_from) = (0, number as u32);
        } else if too_late && since < 1 << 31 {
            self.late = (self.late + 1).min(MOST_LATE);
            self.patient_from = self.sent.next() as u32;
        }
    }

    fn late_patience(&self) -> Duration {
        times(self.answer_time, 1 << self.late).min(LATEST.max(self.answer_time))
    }

    /// Finds lost packets and lets loss estimate and controller know all news.
    fn settle(&mut self, now: Instant, news: News, sample: Duration, fate: &mut impl FnMut(Piece, Fate)) {
        let (wait, epoch) = (self.answer_time, self.congestion.epoch());
        let mut judge = Judge { now, wait, epoch, size: &mut self.size, too_large: false, news };
        self.sent.detect_lost(self.rtt.loss_delay(), &mut judge, fate);
        let Judge { news, too_large, .. } = judge;
        if too_large {
            // Nothing of what is under way is waited for: it is cut anew.
            self.sent.overdue(now, fate);
        }
        for _ in 0..news.late {
            self.loss.correct();
        }
        self.loss.update(news.acked - news.late - news.elsewhere, news.lost);
        let srtt = self.rtt.smoothed();
        self.congestion.on_ack(now, &news, sample, srtt);
        if let Some(largest) = self.sent.largest_acked() {
            self.congestion.judge(now, largest, self.sent.next(), self.sent.total(), srtt);
        }
        self.refresh();
    }

    /// How long an acknowledgement may take to come before the packet's contents are sent again.
    fn patience(&self) -> Duration {
        let srtt = self.rtt.smoothed();
        let once = self.answer_time.max(self.least_patience()) + self.unhurried();
        let round_trips = if self.is_scarce() { scarce::PATIENT_ROUND_TRIPS } else { 4 };
        let most = LONGEST_PATIENCE.max(times(srtt, round_trips)).max(once);
        times(once, 1 << self.backoff.min(16)).min(most).max(self.late_patience())
    }

    /// The time of a round trip, with the time that a full packet takes onto the wire where known.
    fn pulse(&self) -> Pulse {
        let mtu = u64::from(self.size.told());
        let wire = self.congestion.known_rate().map_or(Duration::ZERO, |rate| time_of(mtu, rate));
        let rtt = self.rtt.smoothed() + wire;
        let (scarce, keepalive) = (self.scarce(), self.keepalive);
        let least = if self.is_scarce() { liveness::SCARCE_UNANSWERED } else { 0 };
        Pulse { rtt, sure_after: self.sure_after.max(least), keepalive, scarce }
    }

    /// Deadlines may have passed. Calling it early or often is harmless.
    pub fn on_timeout(&mut self, now: Instant, fate: &mut impl FnMut(Piece, Fate)) {
        self.sent.report_evicted(fate);
        if self.sent.loss_at(self.loss_delay).is_some_and(|at| at <= now) {
            self.settle(now, News::default(), Duration::ZERO, fate);
        }
        let patience = self.patience();
        if self.sent.oldest_open().is_some_and(|at| at + patience <= now) {
            // Those that come due within an eighth of a round trip go along: one timer, not many.
            let until = (now - patience) + part(self.rtt.smoothed(), 8);
            self.sent.overdue(until, fate);
            if self.liveness.unanswered() >= self.sure_after {
                // The first time it may be a late acknowledgement.
                if self.backoff > 0 {
                    self.congestion.on_silence(self.rtt.smoothed());
                    self.refresh();
                }
                self.backoff = self.backoff.saturating_add(1);
            } else if self.is_scarce() {
                self.backoff = self.backoff.saturating_add(1);
            }
        }
        if self.liveness.on_timeout(now, self.pulse()) {
            self.sent.overdue(now, fate);
        }
        self.size.on_timeout(now);
        if self.is_idle() {
            self.trim();
        }
    }

    /// When lost packets will be looked for.
    #[must_use]
    pub fn settle_wake(&self) -> Wake {
        if self.sent.has_evicted() {
            return Wake::Now;
        }
        let hold = match self.size.holds_until() {
            Some(at) => Wake::At(at, Reason::PathProbe),
            None => Wake::Idle,
        };
        let lost = match self.sent.loss_at(self.loss_delay) {
            Some(at) => hold.min(Wake::At(at, Reason::LossDetection)),
            None => hold,
        };
        match self.sent.oldest_open() {
            Some(at) => lost.min(Wake::At(at + self.patience(), Reason::LossDetection)),
            None => lost,
        }
    }

    /// When to call [`Path::on_timeout`], or to send an acknowledgement or a probe. Pacing is not
    /// part of it: only who has something to send asks [`Path::may_send`].
    #[must_use]
    pub fn next_wake(&self) -> Wake {
        let (at, idle) = self.liveness.next(self.pulse());
        let reason = if idle { Reason::KeepAlive } else { Reason::PathProbe };
        self.next_settling().min(Wake::At(at, reason))
    }

    /// As [`Path::next_wake`], without probes: what was sent and received already.
    #[must_use]
    pub fn next_settling(&self) -> Wake {
        let ack = match self.received.due() {
            Some(at) => Wake::At(at, Reason::AckDelay),
            None => Wake::Idle,
        };
        ack.min(self.settle_wake())
    }

    /// Whether a packet with a PING (or anything eliciting) should leave now, allowed or not.
    #[must_use]
    pub fn wants_probe(&self) -> bool {
        self.liveness.wants_probe()
    }

    /// A packet with this number was authenticated for the first time.
    pub fn on_received(&mut self, now: Instant, number: u64, eliciting: bool) {
        let srtt = self.rtt.smoothed();
        let lossy = self.loss.is_known() && self.loss.ppm() > 500_000;
        if self.liveness.on_heard(now, lossy, srtt) {
            self.sent.forgive_overdue();
            self.congestion.on_revival(true);
            self.backoff = 0;
        }
        let at = At { most_ranges: usize::from(self.most_ranges), srtt, loss_ppm: self.worse_loss_ppm() };
        let many = self.received.on_packet(now, number, eliciting, at);
        if self.is_scarce() {
            self.received.postpone(self.unhurried());
        }
        if many && self.liveness.asked_before(now - srtt.max(GRANULARITY)) {
            self.liveness.want_probe();
        }
    }

    /// The highest packet number that has arrived.
    #[must_use]
    pub fn largest_received(&self) -> Option<u64> {
        self.received.largest()
    }

    /// Whether an acknowledgement may take all of so many bytes.
    #[must_use]
    pub fn ack_may_fill(&self, room: usize) -> bool {
        self.received.range_count() * RANGE_BYTES > room
    }

    /// Whether an acknowledgement should leave now, in a packet of its own if need be.
    #[must_use]
    pub fn ack_due(&self, now: Instant) -> bool {
        self.received.due().is_some_and(|due| due <= now)
    }

    /// Whether there is something to acknowledge that a packet leaving anyway should take along.
    #[must_use]
    pub fn ack_pending(&self) -> bool {
        self.received.due().is_some()
    }

    /// Writes an ACK frame for the packets received on this path, the peer's `path`, with as many
    /// ranges as fit. `None` when nothing was received yet or not even one range fits.
    pub fn write_ack(&mut self, now: Instant, path: PathId, writer: &mut Writer<'_>) -> Option<Piece> {
        let (delay_us, ranges) = self.received.report(now);
        frame::write_ack(writer, path, delay_us, ranges).ok()?;
        let largest = self.received.largest()?;
        // An acknowledgement is not repeated before anybody asks for it.
        let loss_ppm = if self.is_scarce() { 0 } else { self.worse_loss_ppm() };
        self.received.on_ack_written(now, self.rtt.smoothed(), loss_ppm);
        Some(Piece::Ack { path, largest })
    }

    /// What is lost in the direction that loses more, as far as it is known.
    fn worse_loss_ppm(&self) -> u32 {
        let back = self.received.lost_ppm();
        back.map_or(self.loss_ppm(), |back| back.max(self.loss_ppm()))
    }

    /// The peer has received an acknowledgement for this path up to `largest`.
    pub fn on_ack_acked(&mut self, largest: u64) {
        self.received.on_ack_acked(largest);
    }

    /// Smoothed round-trip time; a guess before the first sample.
    #[must_use]
    pub fn rtt(&self) -> Duration {
        self.rtt.smoothed()
    }

    /// The least round-trip time of about ten seconds; a guess before the first sample.
    #[must_use]
    pub fn min_rtt(&self) -> Duration {
        self.rtt.min()
    }

    /// Whether [`Path::rtt`] was measured.
    #[must_use]
    pub fn is_measured(&self) -> bool {
        self.rtt.has_sample()
    }

    /// The share of our packets that are lost, in millionths, over about the last 128; 0 before any
    /// packet's fate is known.
    #[must_use]
    pub fn loss_ppm(&self) -> u32 {
        if self.loss.is_known() { self.loss.ppm() } else { 0 }
    }

    /// The same, expecting a good path while little is known: for who compares paths.
    #[must_use]
    pub fn hopeful_loss_ppm(&self) -> u32 {
        self.loss.hopeful_ppm()
    }

    /// The sending rate in bits a second.
    #[must_use]
    pub fn rate_bps(&self) -> u64 {
        self.congestion.rate().saturating_mul(8)
    }

    /// The highest packet number that the peer has acknowledged.
    #[must_use]
    pub fn largest_acked(&self) -> Option<u64> {
        self.sent.largest_acked()
    }

    /// Bytes sent whose fate is open.
    #[must_use]
    pub fn in_flight_bytes(&self) -> u64 {
        self.sent.open_bytes()
    }

    /// How long nothing authentic has arrived while an answer was due.
    #[must_use]
    pub fn silent_for(&self, now: Instant) -> Duration {
        self.liveness.silent_for(now)
    }

    /// Since when the peer owes an acknowledgement, whatever else came from it.
    #[must_use]
    pub fn owes_since(&self) -> Option<Instant> {
        self.liveness.owes_since()
    }

    /// Whether the path was given up. Nothing but probes is sent over it until it answers.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.liveness.is_dead()
    }

    /// Whether there is room for extra copies or repair symbols now. Ask only with nothing new to
    /// send, and send at most [`copies`] of anything per round trip.
    #[must_use]
    pub fn spare(&mut self, now: Instant) -> bool {
        let bytes = self.size.told() as usize;
        !self.is_scarce()
            && self.sent.open() > 0
            && self.congestion.is_quiet()
            && self.may_send(now, bytes) == Wake::Now
    }

    /// The largest packet that should be sent, in bytes: what the link takes, or less where such packets do
    /// not arrive.
    #[must_use]
    pub fn packet_bytes(&self) -> usize {
        self.size.limit() as usize
    }

    /// The size of a packet that should be sent now to see whether it arrives, where the peer takes `most` bytes.
    #[must_use]
    pub fn size_question(&self, now: Instant, most: u32) -> Option<usize> {
        self.size.question(now, most).map(|bytes| bytes as usize)
    }

    /// That packet leaves; to be said before [`Path::on_sent`].
    pub fn on_size_asked(&mut self, now: Instant, most: u32) {
        self.size.on_asked(now, most, self.answer_time, self.loss.ppm());
    }

    /// Gives back memory that past traffic needed: a burst of long ago must not be held for ever.
    pub fn trim(&mut self) {
        self.sent.shrink();
        self.received.shrink();
    }

    /// Verifies the invariants.
    ///
    /// # Panics
    /// When one does not hold: that is a mistake in this module, no peer can cause it.
    pub fn check(&self) {
        self.sent.check(usize::from(self.most_in_flight));
        self.received.check(usize::from(self.most_ranges));
        self.congestion.check();
        self.size.check();
        assert!(self.window >= LEAST_WINDOW_PACKETS * u64::from(self.size.told()), "window too small");
    }
}

#[cfg(test)]
mod tests;
