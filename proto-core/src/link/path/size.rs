//! The largest packet that gets through: a path's MTU, found by what arrives (RFC 8899).
//!
//! A link says how large its packets may be. A tunnel or a router behind it may take less and tell nobody:
//! then whatever is small arrives, and whatever is large never does. Who posts letters and parcels, and sees
//! that every letter is answered and no parcel, sends smaller parcels before he doubts the post.
//!
//! **Doubt.** From the first packet lost, those are counted that are as large as it or larger, and those that are
//! smaller, in the order in which they were sent. One of the large ones that arrives ends the doubt. Chance does not
//! ask for a packet's size: how much better "the large ones cannot pass" explains what was seen than one loss for all
//! is a Bayes factor, kept up with every packet (the share lost has no prior: Laplace's rule of succession). At a
//! billion to one the path is believed to have a smaller MTU. Losses come in bursts, and a burst is no proof however
//! long: of the large ones lost between two small ones that arrived only the first few count. Nor is the quiet before
//! a storm: neither do more than a few small ones that arrive between two large ones that were lost. Who sends
//! nothing small asks with an empty packet now and then, as long as no large one arrives.
//!
//! **Search.** Messages wait for the time of one answer while a packet of each usual size is tried, because a large
//! message is cut once, to what fits then. Above the largest that arrived the truth is found by halves
//! (RFC 8899, section 5.3.2), beside the traffic. Later all of that is tried again, the full size first, after ten
//! seconds and ever more seldom (section 5.1.1, `PMTU_RAISE_TIMER`). What is larger than the limit is a question by that
//! alone, and nobody's rate suffers when no answer comes (section 3, point 7).

use alloc::boxed::Box;

use super::loss::copies;
use super::rtt::{part, times};
use crate::time::{Duration, Instant};

/// Every link takes packets of this size (`LinkInfo::mtu` is at least that).
const LEAST: u32 = 64;
/// What fits a UDP datagram on usual links: jumbo frames, Ethernet over IPv4 and IPv6, WireGuard, the least MTU of
/// IPv6, the least that an IPv4 host takes (RFC 1191, section 7.1); radios, and steps between (guesses).
const USUAL: [u32; 14] = [8_952, 4_048, 1_472, 1_452, 1_372, 1_232, 1_024, 768, 548, 384, 256, 192, 128, 96];
/// The first and the longest time until the full size is tried again (the longest: RFC 8899, section 5.1.1; the
/// first is a guess).
const FIRST_RAISE: Duration = Duration::from_secs(10);
const LONGEST_RAISE: Duration = Duration::from_secs(600);
/// Below this power of two it was no chance: one in a billion.
const IMPROBABLE: i32 = -30;
/// So often a small packet has to arrive after a large one was lost (guess).
const LEAST_TURNS: u8 = 4;
/// So many of the large ones count that were lost between two small ones that arrived (`docs/decisions/0005`).
const OF_ONE_BURST: u32 = 4;
/// And so many of the small ones that arrived between two large ones that were lost.
const OF_ONE_QUIET: u8 = 8;
/// More that were lost between two sizes than this are no more evidence of chance: with 97 of 100 lost it happens once in
/// 2,000 times.
const MOST_BETWEEN: u32 = 256;
/// After so many large packets lost or unanswered in a row, an empty one is sent as well (guess), as long as such a PING
/// is (`paths.rs`); at most so often in the time of an answer.
const MANY_LOST: u32 = 16;
const EMPTY: u32 = 32;
const EMPTY_PART: u64 = 8;
/// A size is given up when the path loses so many packets in a row with this chance, in millionths (guess).
const MISSED_PPM: u32 = 1_000;
/// The least and the most packets of one size (the least: RFC 8899, section 5.1.2, `MAX_PROBES`).
const TRIES: (u32, u32) = (3, 40);

/// All that the link and the peer take.
const FULL: u32 = u32::MAX;
/// A rest lasts at least so many times as long as the questions before it, up to the longest (guess).
const REST_PART: u64 = 16;
/// An answer may be overtaken by another by this part of the time that it takes (guess).
const OVERTAKEN_PART: u64 = 8;

/// What a path takes beyond its own size while it doubts or searches.
pub(super) const TROUBLE_BYTES: usize = size_of::<Trouble>();

/// How large the packets of a path may be.
#[derive(Clone, Debug)]
pub(super) struct PacketSize {
    /// What the link says.
    told: u32,
    /// What is believed to pass.
    limit: u32,
    /// Nearly always there is none.
    trouble: Option<Box<Trouble>>,
}

#[derive(Clone, Copy, Default, Debug)]
struct Trouble {
    doubt: Option<Doubt>,
    search: Option<Search>,
}

impl PacketSize {
    pub(super) const fn new(told: u32) -> PacketSize {
        PacketSize { told, limit: told, trouble: None }
    }

    /// What the link says that it takes, in bytes.
    pub(super) fn told(&self) -> u32 {
        self.told
    }

    /// The largest packet that should be sent, in bytes.
    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    /// Until when messages have to wait, because it is just being found out how large their packets may be.
    pub(super) fn holds_until(&self) -> Option<Instant> {
        let search = self.trouble.as_ref()?.search.as_ref()?;
        search.salvo.map(|salvo| salvo.until)
    }

    /// The size of a packet that should be sent now to see whether it arrives, where the peer takes `most` bytes.
    pub(super) fn question(&self, now: Instant, most: u32) -> Option<u32> {
        let trouble = self.trouble.as_ref()?;
        if trouble.doubt.is_some_and(|doubt| doubt.wants_empty(now)) {
            return Some(EMPTY);
        }
        let search = trouble.search.filter(|search| search.next <= now)?;
        let size = match search.salvo {
            Some(salvo) => USUAL.get(salvo.at).copied()?.min(most),
            None => search.size(self.limit, self.told.min(most)),
        };
        (size > self.limit).then_some(size)
    }

    /// The packet of [`PacketSize::question`] leaves, whatever became of its size. An answer takes `wait` at most,
    /// and comes unless one of `loss_ppm` millionths is lost.
    pub(super) fn on_asked(&mut self, now: Instant, most: u32, wait: Duration, loss_ppm: u32) {
        let Some(Trouble { doubt, search }) = self.trouble.as_deref_mut() else { return };
        if let Some(doubt) = doubt.as_mut().filter(|doubt| doubt.wants_empty(now)) {
            doubt.next_empty = now + part(wait, EMPTY_PART);
        } else if let Some(search) = search {
            let tries = copies(loss_ppm, MISSED_PPM).clamp(TRIES.0, TRIES.1);
            search.asked(now, wait, tries, (self.limit, self.told.min(most)));
        }
    }

    /// Any packet leaves that asks for an answer, which takes `wait` at most.
    pub(super) fn on_sent(&mut self, now: Instant, number: u64, bytes: u32, wait: Duration) {
        let Some(Trouble { doubt, search }) = self.trouble.as_deref_mut() else { return };
        let salvo = search.as_mut().and_then(|search| search.salvo.as_mut());
        if let Some(salvo) = salvo.filter(|_| bytes > self.limit) {
            salvo.asked = Some((salvo.asked.map_or(number, |(first, _)| first), now));
        }
        let Some(doubt) = doubt else { return };
        if bytes > doubt.passed.max(LEAST) {
            doubt.last_large = number;
            doubt.unheard = doubt.unheard.saturating_add(1);
        } else if bytes <= LEAST {
            doubt.next_empty = now + part(wait, EMPTY_PART);
        }
    }

    /// Time has passed: what was asked in a salvo has answered by now, or does not fit.
    pub(super) fn on_timeout(&mut self, now: Instant) {
        let (limit, told) = (self.limit, self.told);
        let Some(search) = self.trouble.as_mut().and_then(|trouble| trouble.search.as_mut()) else { return };
        if let Some(salvo) = search.salvo.take_if(|salvo| salvo.until <= now) {
            // A single packet may have been lost by chance.
            let fails = search.fails.min(told);
            let next = USUAL.iter().enumerate().rev().find(|(_, size)| (limit + 1..fails).contains(*size));
            search.first = next.map(|(_, size)| *size);
            search.tries = u32::from(next.is_some_and(|(at, _)| at < salvo.at));
            search.rest_if_narrow(now, limit);
        }
    }

    /// A packet is known to have arrived, whatever became of those before it: what was believed not to pass, passes.
    pub(super) fn answered(&mut self, now: Instant, number: u64, bytes: u32) {
        let Some(Trouble { search, .. }) = self.trouble.as_deref_mut() else { return };
        // What was sent before packets of its size were lost says nothing of the path as it is.
        if bytes <= self.limit || search.is_some_and(|search| number < search.since) {
            return;
        }
        self.limit = bytes.min(self.told);
        search.take_if(|_| bytes >= self.told);
        if let Some(search) = search {
            search.answered(now, number, self.limit);
        }
    }

    /// A packet has arrived. Packets are weighed in the order in which they were sent.
    pub(super) fn acked(&mut self, number: u64, bytes: u32) {
        let Some(trouble) = self.trouble.as_deref_mut() else { return };
        trouble.doubt.take_if(|doubt| number >= doubt.first && !doubt.acked(number, bytes));
        self.trouble.take_if(|trouble| trouble.doubt.is_none() && trouble.search.is_none());
    }

    /// A packet was lost. True when its size is the reason: from now on packets are smaller.
    pub(super) fn lost(&mut self, now: Instant, number: u64, bytes: u32, wait: Duration) -> bool {
        if bytes > self.limit || self.trouble.is_none() && bytes <= LEAST {
            return false;
        }
        let Trouble { doubt, search } = &mut **self.trouble.get_or_insert_default();
        match doubt {
            Some(doubt) => doubt.lost(number, bytes),
            None if bytes > LEAST => *doubt = Some(Doubt::new(number, bytes)),
            None => {}
        }
        let Some(doubt) = doubt.take_if(|doubt| doubt.is_settled()) else { return false };
        self.limit = doubt.passed.max(LEAST).min(self.limit);
        *search = Some(Search::new(now, wait, &doubt, self.limit));
        true
    }

    /// The way leads elsewhere. What fits is taken for the same until it is tried, which is soon: most often only
    /// the name of the peer's door has changed (RFC 4787).
    pub(super) fn on_moved(&mut self) {
        let Some(Trouble { doubt, search }) = self.trouble.as_deref_mut() else { return };
        *doubt = None;
        if let Some(search) = search {
            search.begin(FIRST_RAISE, Instant::ZERO);
            if let Some(salvo) = &mut search.salvo {
                let at = USUAL.iter().position(|&size| size < self.told).unwrap_or(USUAL.len());
                *salvo = Salvo { at, asked: None, until: salvo.until };
            }
        }
    }

    pub(super) fn check(&self) {
        assert!(self.limit <= self.told, "larger packets than the link takes");
    }
}

/// What was seen since a packet was lost, as long as none of its size has arrived.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    /// Its number.
    first: u64,
    /// Its size: none as large as this has arrived.
    fails: u32,
    /// The largest that has.
    passed: u32,
    /// Large ones that were lost since the last smaller one arrived, and all of them.
    in_turn: u32,
    in_all: u32,
    /// How often a smaller one arrived after a large one was lost.
    turns: u8,
    /// Smaller ones that arrived since the last large one was lost, as far as they count.
    in_quiet: u8,
    /// Large ones lost, as far as they count; smaller ones lost and arrived.
    large_lost: u64,
    small_lost: u64,
    small_acked: u64,
    /// Smaller ones lost that were larger than any that has arrived: who knows.
    between_lost: u32,
    /// The last one that was sent of those larger than any that has arrived, and the last that has.
    last_large: u64,
    last_arrived: u64,
    /// How many larger ones were sent since.
    unheard: u32,
    /// When a small packet may be sent for its own sake.
    next_empty: Instant,
    /// How much better one loss for all sizes explains this than that the large ones cannot pass.
    chance: Ratio,
}

impl Doubt {
    fn new(number: u64, bytes: u32) -> Doubt {
        let mut doubt = Doubt {
            first: number,
            fails: bytes,
            passed: 0,
            in_turn: 0,
            in_all: 0,
            turns: 0,
            in_quiet: 0,
            large_lost: 0,
            small_lost: 0,
            small_acked: 0,
            between_lost: 0,
            last_large: number,
            last_arrived: 0,
            unheard: 0,
            next_empty: Instant::ZERO,
            chance: Ratio::EVEN,
        };
        doubt.lost(number, bytes);
        doubt
    }

    /// Packets that count, and two more: a uniform prior.
    fn all(&self) -> u64 {
        self.large_lost + self.small()
    }

    fn small(&self) -> u64 {
        self.small_lost + self.small_acked + 2
    }

    /// The other explanation foretold the event by so much better than one loss for all sizes did.
    fn weigh(&mut self, one_loss: (u64, u64), by_size: (u64, u64)) {
        self.chance.scale(one_loss.0, one_loss.1);
        self.chance.scale(by_size.1, by_size.0);
    }

    fn lost(&mut self, number: u64, bytes: u32) {
        if bytes <= self.passed.max(LEAST) {
            // As many as are lost among those that arrive and count, or the share would not be theirs.
            if self.in_quiet < OF_ONE_QUIET {
                self.small_one_lost();
            }
            return;
        }
        if bytes < self.fails {
            self.between_lost += 1;
            if self.between_lost > self.in_all.saturating_add(u32::from(LEAST_TURNS)) {
                // Most of what is sent is smaller than what was doubted first, and none of it arrives.
                *self = Doubt::new(number, bytes);
            }
            return;
        }
        if self.in_turn < OF_ONE_BURST {
            self.weigh((self.large_lost + self.small_lost + 1, self.all()), (1, 1));
            self.large_lost += 1;
        }
        self.in_quiet = 0;
        self.in_turn = self.in_turn.saturating_add(1);
        self.in_all = self.in_all.saturating_add(1);
    }

    fn small_one_lost(&mut self) {
        let lost = (self.large_lost + self.small_lost + 1, self.all());
        self.weigh(lost, (self.small_lost + 1, self.small()));
        self.small_lost += 1;
    }

    /// False when this ends the doubt: one of the size has arrived.
    fn acked(&mut self, number: u64, bytes: u32) -> bool {
        if bytes > self.passed.max(LEAST) {
            // Its size can pass, so that those lost in between were small ones, or may have been.
            for _ in 0..core::mem::take(&mut self.between_lost).min(MOST_BETWEEN) {
                self.small_one_lost();
            }
        }
        if self.in_quiet < OF_ONE_QUIET {
            self.weigh((self.small_acked + 1, self.all()), (self.small_acked + 1, self.small()));
            self.small_acked += 1;
            self.in_quiet += 1;
        }
        self.passed = self.passed.max(bytes);
        (self.last_arrived, self.unheard) = (self.last_arrived.max(number), 0);
        self.turns = self.turns.saturating_add(u8::from(self.in_turn > 0));
        self.in_turn = 0;
        bytes < self.fails
    }

    /// Whether a small packet should be sent for its own sake: after the last one that arrived only large ones
    /// were sent, whose fate nobody learns otherwise.
    fn wants_empty(&self, now: Instant) -> bool {
        let many = self.in_all >= MANY_LOST || self.unheard >= MANY_LOST;
        many && self.last_large > self.last_arrived && self.next_empty <= now
    }

    fn is_settled(&self) -> bool {
        self.chance.power_of_two() < IMPROBABLE && self.turns >= LEAST_TURNS
    }
}

/// A positive number of any size: `mantissa` times two to the power of `exponent`. What was
/// improbable once may have been chance all the same, so it never becomes nothing.
#[derive(Clone, Copy, Debug)]
struct Ratio {
    /// The highest bit is set.
    mantissa: u64,
    exponent: i32,
}

impl Ratio {
    const EVEN: Ratio = Ratio { mantissa: 1 << 63, exponent: -63 };

    /// Times `up`, divided by `down`; both above zero.
    fn scale(&mut self, up: u64, down: u64) {
        let (up, down) = (u128::from(up.max(1)), u128::from(down.max(1)));
        let product = u128::from(self.mantissa) * up;
        let spare = product.leading_zeros();
        // The highest of 128 bits is set, so at least 64 are left.
        let quotient = (product << spare) / down;
        let surplus = 64_u32.saturating_sub(quotient.leading_zeros());
        self.mantissa = (quotient >> surplus) as u64;
        self.exponent = self.exponent.saturating_add(surplus as i32 - spare as i32);
    }

    /// The power of two at or below it.
    fn power_of_two(self) -> i32 {
        self.exponent.saturating_add(63)
    }
}

/// Looking for what fits.
#[derive(Clone, Copy, Debug)]
struct Search {
    /// The number of the first packet that was too large.
    since: u64,
    /// The smallest size that seems to fail.
    fails: u32,
    salvo: Option<Salvo>,
    /// What is to be tried first: the smallest size that was tried in the salvo in vain, or [`FULL`].
    first: Option<u32>,
    /// When the next question may be asked, and how often this one was.
    next: Instant,
    tries: u32,
    /// How long was waited for answers since the last rest.
    waited: Duration,
    /// How long to rest when nothing is left to be asked. It is longer where answers take long: questions are a
    /// sixteenth of the time, or begin every ten minutes.
    raise: Duration,
}

/// One packet of each usual size.
#[derive(Clone, Copy, Debug)]
struct Salvo {
    /// The next one's place in [`USUAL`].
    at: usize,
    /// The first one's number, and when the last one left.
    asked: Option<(u64, Instant)>,
    /// When the answers are there, or will not come.
    until: Instant,
}

impl Search {
    /// From now on: packets of `limit` bytes pass, those that were doubted seem not to.
    fn new(now: Instant, wait: Duration, doubt: &Doubt, limit: u32) -> Search {
        let fails = doubt.fails;
        let first = USUAL.iter().position(|&size| size < fails).unwrap_or(USUAL.len());
        let any = USUAL.get(first).is_some_and(|&size| size > limit);
        let salvo = any.then_some(Salvo { at: first, asked: None, until: now + wait });
        let mut search = Search {
            since: doubt.first,
            fails,
            salvo,
            first: None,
            next: now,
            tries: 0,
            waited: Duration::ZERO,
            raise: FIRST_RAISE,
        };
        if salvo.is_none() {
            search.rest_if_narrow(now, limit);
        }
        search
    }

    /// A question leaves. After `most` of one size in vain that size fails.
    fn asked(&mut self, now: Instant, wait: Duration, most: u32, (limit, told): (u32, u32)) {
        if let Some(salvo) = &mut self.salvo {
            salvo.at += 1;
            salvo.until = now + wait;
            return;
        }
        self.next = now + wait;
        self.waited = self.waited + wait;
        self.tries += 1;
        if self.tries >= most {
            self.fails = self.fails.min(self.size(limit, told));
            self.tries = 0;
            self.first = None;
            self.rest_if_narrow(now + wait, limit);
        }
    }

    /// The size to be tried: the one to be tried first, halfway, or all that is taken.
    fn size(&self, limit: u32, told: u32) -> u32 {
        let halfway = if self.fails > told { told } else { limit.midpoint(self.fails) };
        self.first.map_or(halfway, |size| size.min(told))
    }

    /// A size has passed that was not believed to, in the packet of this number.
    fn answered(&mut self, now: Instant, number: u64, limit: u32) {
        self.tries = 0;
        self.raise = FIRST_RAISE;
        self.first.take_if(|size| *size <= limit);
        if self.fails <= limit {
            self.fails = FULL;
        }
        if let Some(salvo) = &mut self.salvo {
            // The largest left first: only what was overtaken can still be larger. What left before the salvo is no
            // answer to it.
            if let Some((_, asked)) = salvo.asked.filter(|(first, _)| number >= *first) {
                salvo.until = salvo.until.min(now + part(now.since(asked), OVERTAKEN_PART));
            }
        } else {
            self.next = now;
            self.rest_if_narrow(now, limit);
        }
    }

    /// Everything is tried anew from `next` on, the full size first: what failed may pass now.
    fn begin(&mut self, raise: Duration, next: Instant) {
        (self.first, self.fails, self.tries, self.waited) = (Some(FULL), FULL, 0, Duration::ZERO);
        (self.raise, self.next) = (raise, next);
    }

    /// Rests when what may be won is less than a sixteenth; next time the full size is tried first.
    fn rest_if_narrow(&mut self, now: Instant, limit: u32) {
        if self.fails <= limit + (limit / 16).max(8) {
            let rest = self.raise.max(times(self.waited, REST_PART).min(LONGEST_RAISE));
            self.begin(times(self.raise, 2).min(LONGEST_RAISE), now + rest);
        }
    }
}

#[cfg(test)]
mod tests;
