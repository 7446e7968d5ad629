//! Whether a path still carries packets.
//!
//! A friend who does not answer the phone for an hour may be out; one who never misses a call and
//! now misses ten is in trouble. A path is given up after three round trips, at least 250 ms, without
//! an answer, but only when so many packets went unanswered that its usual loss cannot explain it.
//! A path that was given up is asked again and again, and lives as soon as one question is answered:
//! only an answer proves both directions, what the peer says by itself proves one.
//!
//! Whoever calls a number that does not answer waits longer each time: after as many questions as
//! should bring one answer, the pause doubles (RFC 9002, section 6.2.1), and it is never quite the
//! same, so that many who lost the same road do not ask in step. And a question never answers a
//! question more than once in a round trip: two sides that both believe the path dead would throw the
//! same ball to and fro for ever.

use super::rtt::{part, times};
use crate::time::{Duration, Instant};

/// The least silence that ends a path. What was on it must go another way within 300 ms (the promise
/// of the specification), and a slow link takes a moment for that beside what it carries anyway.
const LEAST_SILENCE: Duration = Duration::from_millis(250);
/// Where questions are at the cost of others: nobody notices at once, and nothing is drowned by questions (guess).
const SCARCE_ROUND_TRIPS: u64 = 16;
/// And no sooner than so many of the largest packets take, or after so many unanswered ones (guesses): a neighbour that serves ten others in a
/// burst has no air for its answers.
const SCARCE_PACKETS: u64 = 512;
pub(super) const SCARCE_UNANSWERED: u32 = 8;
/// The first pause between questions on a dead path, and the least where most are lost (guesses).
const FIRST_PROBE: Duration = Duration::from_millis(50);
const LEAST_PROBE: Duration = Duration::from_millis(10);
/// The pause may always grow to this (guess), and beyond it to this part of the silence so far: whatever
/// the outage has lasted, its end is noticed a sixteenth later at most.
const LAST_PROBE: Duration = Duration::from_millis(500);
const SILENCE_PART: u64 = 16;
/// Silence is improbable after `ln(10^6)` times as many questions as bring one answer on average.
const SURE_PER_ANSWER: u32 = 14;

/// What the path knows of itself for each judgement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pulse {
    /// Smoothed round trip, with the time a full packet takes onto the wire.
    pub(super) rtt: Duration,
    /// Unanswered packets after which silence is improbable.
    pub(super) sure_after: u32,
    /// Idle paths are asked this often.
    pub(super) keepalive: Duration,
    /// How long the largest packet takes where questions are at the cost of others; else zero.
    pub(super) scarce: Duration,
}

/// Life signs of one path.
#[derive(Clone, Debug)]
pub(super) struct Liveness {
    dead: bool,
    /// The first eliciting packet since the last answer, and how many there were.
    unanswered_since: Option<Instant>,
    unanswered: u32,
    last_heard: Instant,
    last_asked: Instant,
    /// Probes sent since the path died.
    probes: u32,
    wanted: bool,
}

impl Liveness {
    pub(super) const fn new(now: Instant) -> Liveness {
        Liveness {
            dead: false,
            unanswered_since: None,
            unanswered: 0,
            last_heard: now,
            last_asked: now,
            probes: 0,
            wanted: false,
        }
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead
    }

    /// Packets sent since the last answer.
    pub(super) fn unanswered(&self) -> u32 {
        self.unanswered
    }

    /// A probe should be sent now.
    pub(super) fn wants_probe(&self) -> bool {
        self.wanted
    }

    /// Whether nothing was asked since `before`.
    pub(super) fn asked_before(&self, before: Instant) -> bool {
        self.last_asked <= before
    }

    /// Asks for a probe with the next packet.
    pub(super) fn want_probe(&mut self) {
        self.wanted = true;
    }

    /// An ack-eliciting packet leaves.
    pub(super) fn on_asked(&mut self, now: Instant) {
        self.unanswered_since.get_or_insert(now);
        self.unanswered = self.unanswered.saturating_add(1);
        self.last_asked = now;
        self.wanted = false;
        if self.dead {
            self.probes = self.probes.saturating_add(1);
        }
    }

    /// A packet of ours was acknowledged. Returns whether the path was dead.
    pub(super) fn on_answered(&mut self) -> bool {
        self.unanswered_since = None;
        self.unanswered = 0;
        self.probes = 0;
        core::mem::take(&mut self.dead)
    }

    /// Something authentic arrived by this path. A dead path is asked at once, unless it was asked within
    /// a round trip; where most packets are lost (`lossy`) there is no time to wait for the answer, and it
    /// counts as alive.
    pub(super) fn on_heard(&mut self, now: Instant, lossy: bool, rtt: Duration) -> bool {
        self.last_heard = now;
        if !self.dead {
            return false;
        }
        self.wanted |= self.last_asked + FIRST_PROBE.max(rtt) <= now;
        lossy && self.on_answered()
    }

    /// Since when an answer is due.
    pub(super) fn owes_since(&self) -> Option<Instant> {
        self.unanswered_since
    }

    /// How long nothing was heard while an answer was due.
    pub(super) fn silent_for(&self, now: Instant) -> Duration {
        match self.unanswered_since {
            Some(since) => now.since(since.max(self.last_heard)),
            None => Duration::ZERO,
        }
    }

    fn patience(pulse: Pulse) -> Duration {
        if pulse.scarce > Duration::ZERO {
            return times(pulse.rtt, SCARCE_ROUND_TRIPS).max(times(pulse.scarce, SCARCE_PACKETS));
        }
        times(pulse.rtt, 3).max(LEAST_SILENCE)
    }

    /// Silence is asked about from its half on, eight times until it ends the path.
    fn next_question(&self, since: Instant, pulse: Pulse) -> Instant {
        let patience = Self::patience(pulse);
        if pulse.scarce > Duration::ZERO {
            // What was sent is sent again, and that is question enough.
            return (since + patience).max(self.last_asked + patience);
        }
        (since + part(patience, 2)).max(self.last_asked + part(patience, 16))
    }

    /// When a dead path is asked again.
    fn next_probe(&self, pulse: Pulse) -> Instant {
        if pulse.scarce > Duration::ZERO {
            let pause = times(Self::patience(pulse), 1 << self.probes.min(16));
            return self.last_asked + self.jittered(pause.min(pulse.keepalive.max(Self::patience(pulse))));
        }
        let first = FIRST_PROBE.max(pulse.rtt);
        // The more is lost, the more questions it takes until one and its answer come through: so many
        // are asked in the time of one before the pause doubles.
        let round = (pulse.sure_after / SURE_PER_ANSWER).max(1);
        let pause = times(part(first, u64::from(round)).max(LEAST_PROBE), 1 << (self.probes / round).min(16));
        let silence = self.unanswered_since.map_or(Duration::ZERO, |since| self.last_asked.since(since));
        let most = part(silence, SILENCE_PART).min(pulse.keepalive).max(LAST_PROBE).max(first);
        self.last_asked + self.jittered(pause.min(most))
    }

    /// Up to a quarter less than `pause`, by a hash of the node's own clock.
    fn jittered(&self, pause: Duration) -> Duration {
        let mixed =
            (self.last_asked.as_micros() ^ u64::from(self.probes)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        pause.saturating_sub(Duration::from_micros((mixed >> 32) % (pause.as_micros() / 4).max(1)))
    }

    /// Judges the silence. Returns whether the path died just now.
    pub(super) fn on_timeout(&mut self, now: Instant, pulse: Pulse) -> bool {
        if self.dead {
            self.wanted |= now >= self.next_probe(pulse);
            return false;
        }
        let Some(since) = self.unanswered_since else {
            self.wanted |= now >= self.last_heard.max(self.last_asked) + pulse.keepalive;
            return false;
        };
        if now >= since + Self::patience(pulse) && self.unanswered >= pulse.sure_after {
            self.dead = true;
            self.probes = 0;
            self.wanted = true;
            return true;
        }
        self.wanted |= now >= self.next_question(since, pulse);
        false
    }

    /// When [`Liveness::on_timeout`] has something to do; whether it is only to keep the path alive.
    pub(super) fn next(&self, pulse: Pulse) -> (Instant, bool) {
        if self.wanted {
            return (Instant::ZERO, false);
        }
        if self.dead {
            return (self.next_probe(pulse), false);
        }
        match self.unanswered_since {
            Some(since) if self.unanswered >= pulse.sure_after => (since + Self::patience(pulse), false),
            Some(since) => (self.next_question(since, pulse), false),
            None => (self.last_heard.max(self.last_asked) + pulse.keepalive, true),
        }
    }
}
