//! The largest packet that gets through: a path's MTU, found by what arrives (RFC 8899).
//!
//! A link says how large its packets may be. A tunnel or a router behind it may take less and tell nobody:
//! then whatever is small arrives, and whatever is large never does. Who posts letters and parcels, and sees
//! that every letter is answered and no parcel, sends smaller parcels before he doubts the post.
//!
//! **Doubt.** From the first packet lost, those are counted that are as large as it or larger, and those that are
//! smaller. One of the large ones that arrives ends the doubt. Chance does not ask for a packet's size: how
//! much better "the large ones cannot pass" explains what was seen than one loss for all is a Bayes factor,
//! kept up with every packet (the share lost has no prior: Laplace's rule of succession). At a billion to one,
//! and when small ones have arrived after large ones were lost several times, so that it was not one burst
//! of losses, the path is believed to have a smaller MTU. Who sends nothing small asks with an empty packet now
//! and then, as long as no large one arrives.
//!
//! **Search.** Messages wait for the time of one answer while a packet of each usual size is tried, because a large
//! message is cut once, to what fits then. Above the largest that arrived the truth is found by halves
//! (RFC 8899, section 5.3.2), beside the traffic. Later the full size is tried again, after ten seconds and
//! ever more seldom (section 5.1.1, `PMTU_RAISE_TIMER`), and the halves only when it passes. What is larger than the limit is a question by that
//! alone: its answer counts whenever it comes, and nobody's rate suffers when none does (section 3, point 7).

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
/// After so many large packets lost in a row, an empty one is sent as well (guess), as long as such a PING is
/// (`paths.rs`); at most so often in the time of an answer.
const MANY_LOST: u64 = 16;
const EMPTY: u32 = 32;
const EMPTY_PART: u64 = 8;
/// A size is given up when the path loses so many packets in a row with this chance, in millionths (guess).
const MISSED_PPM: u32 = 1_000;
/// The least and the most packets of one size (the least: RFC 8899, section 5.1.2, `MAX_PROBES`).
const TRIES: (u32, u32) = (3, 40);

/// All that the link and the peer take.
const FULL: u32 = u32::MAX;
/// A rest lasts so many times as long as the questions before it (guess).
const REST_PART: u64 = 16;

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
    pub(super) fn on_sent(&mut self, now: Instant, bytes: u32, wait: Duration) {
        let doubt = self.trouble.as_mut().and_then(|trouble| trouble.doubt.as_mut());
        if let Some(doubt) = doubt.filter(|_| bytes <= LEAST) {
            doubt.next_empty = now + part(wait, EMPTY_PART);
        }
    }

    /// Time has passed: what was asked in a salvo has answered by now, or does not fit.
    pub(super) fn on_timeout(&mut self, now: Instant) {
        let limit = self.limit;
        let Some(search) = self.trouble.as_mut().and_then(|trouble| trouble.search.as_mut()) else { return };
        if search.salvo.take_if(|salvo| salvo.until <= now).is_some() {
            // A single packet may have been lost by chance.
            search.first = USUAL.iter().rev().copied().find(|&size| size > limit && size < search.fails);
            search.tries = 1;
            search.rest_if_narrow(now, limit);
        }
    }

    /// A packet has arrived.
    pub(super) fn acked(&mut self, now: Instant, number: u64, bytes: u32) {
        let larger = bytes > self.limit;
        self.limit = self.limit.max(bytes).min(self.told);
        let Some(Trouble { doubt, search }) = self.trouble.as_deref_mut() else { return };
        if larger {
            search.take_if(|_| bytes >= self.told);
            if let Some(search) = search {
                search.answered(now, self.limit);
            }
        }
        doubt.take_if(|doubt| number > doubt.first && !doubt.acked(number, bytes));
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
        *search = Some(Search::new(now, wait, doubt.fails, self.limit));
        true
    }

    /// The way leads elsewhere. What fits is taken for the same until it is tried: most often only the name
    /// of the peer's door has changed (RFC 4787).
    pub(super) fn on_moved(&mut self) {
        if let Some(trouble) = &mut self.trouble {
            trouble.doubt = None;
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
    /// The highest number of a large one that was lost, unless a smaller one has arrived after it.
    last: Option<u64>,
    /// How often one has.
    turns: u8,
    /// The smallest size of which none has arrived.
    fails: u32,
    /// The largest that has arrived.
    passed: u32,
    large_lost: u64,
    small_lost: u64,
    small_acked: u64,
    /// When a small packet may be sent for its own sake.
    next_empty: Instant,
    /// How much better one loss for all sizes explains this than that the large ones cannot pass.
    chance: Ratio,
}

impl Doubt {
    fn new(number: u64, bytes: u32) -> Doubt {
        let mut doubt = Doubt {
            first: number,
            last: None,
            turns: 0,
            fails: bytes,
            passed: 0,
            large_lost: 0,
            small_lost: 0,
            small_acked: 0,
            next_empty: Instant::ZERO,
            chance: Ratio::EVEN,
        };
        doubt.lost(number, bytes);
        doubt
    }

    /// Packets whose fate is known, and two more: a uniform prior.
    fn all(&self) -> u64 {
        self.large_lost + self.small()
    }

    fn small(&self) -> u64 {
        self.small_lost + self.small_acked + 2
    }

    /// The other explanation foretold the event by so much better than one loss for all sizes did.
    fn weigh(&mut self, one_loss: (u64, u64), by_size: (u64, u64)) {
        self.chance.scale(one_loss.0 * by_size.1, one_loss.1 * by_size.0);
    }

    fn lost(&mut self, number: u64, bytes: u32) {
        let lost = (self.large_lost + self.small_lost + 1, self.all());
        if bytes <= self.passed.max(LEAST) {
            self.weigh(lost, (self.small_lost + 1, self.small()));
            self.small_lost += 1;
        } else {
            self.weigh(lost, (1, 1));
            self.large_lost += 1;
            self.fails = self.fails.min(bytes);
            self.last = Some(number);
        }
    }

    /// False when this ends the doubt: one of the size has arrived.
    fn acked(&mut self, number: u64, bytes: u32) -> bool {
        self.weigh((self.small_acked + 1, self.all()), (self.small_acked + 1, self.small()));
        self.small_acked += 1;
        self.passed = self.passed.max(bytes);
        let turned = self.last.take_if(|last| *last < number).is_some();
        self.turns = self.turns.saturating_add(u8::from(turned));
        bytes < self.fails
    }

    /// Whether a small packet should be sent for its own sake: since the last one arrived, more large ones were
    /// lost.
    fn wants_empty(&self, now: Instant) -> bool {
        self.large_lost >= MANY_LOST && self.last.is_some() && self.next_empty <= now
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
    /// The smallest size that seems to fail.
    fails: u32,
    salvo: Option<Salvo>,
    /// What is to be tried first: the smallest size that was tried in the salvo in vain, or [`FULL`].
    first: Option<u32>,
    /// When the next question may be asked, and how often this one was.
    next: Instant,
    tries: u32,
    /// How long to rest when nothing is left to be asked.
    raise: Duration,
    /// It is longer where answers take long: questions are a sixteenth of the time at most.
    least_rest: Duration,
}

/// One packet of each usual size.
#[derive(Clone, Copy, Debug)]
struct Salvo {
    /// The next one's place in [`USUAL`].
    at: usize,
    /// When the answers are there, or will not come.
    until: Instant,
}

impl Search {
    /// From now on: packets of `limit` bytes pass, those of `fails` bytes seem not to.
    fn new(now: Instant, wait: Duration, fails: u32, limit: u32) -> Search {
        let first = USUAL.iter().position(|&size| size < fails).unwrap_or(USUAL.len());
        let any = USUAL.get(first).is_some_and(|&size| size > limit);
        let salvo = any.then_some(Salvo { at: first, until: now + wait });
        let least_rest = times(wait, REST_PART * u64::from(TRIES.0));
        let mut search =
            Search { fails, salvo, first: None, next: now, tries: 0, raise: FIRST_RAISE, least_rest };
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
        self.tries += 1;
        if self.tries >= most {
            // What failed below the full size, when that is tried again, is still known.
            self.fails = self.fails.min(self.size(limit, told));
            self.tries = 0;
            self.first = None;
            self.least_rest = times(wait, REST_PART * u64::from(most));
            self.rest_if_narrow(now, limit);
        }
    }

    /// The size to be tried: the one to be tried first, halfway, or all that is taken.
    fn size(&self, limit: u32, told: u32) -> u32 {
        let halfway = if self.fails > told { told } else { limit.midpoint(self.fails) };
        self.first.map_or(halfway, |size| size.min(told))
    }

    /// A size has passed that was not believed to.
    fn answered(&mut self, now: Instant, limit: u32) {
        self.tries = 0;
        self.first.take_if(|size| *size <= limit);
        if self.fails <= limit {
            self.fails = FULL;
        }
        if self.salvo.is_none() {
            self.next = now;
            self.rest_if_narrow(now, limit);
        }
    }

    /// Rests when what may be won is less than a sixteenth; next time the full size is tried first.
    fn rest_if_narrow(&mut self, now: Instant, limit: u32) {
        if self.fails <= limit + (limit / 16).max(8) {
            self.first = Some(FULL);
            self.next = now + self.raise.max(self.least_rest);
            self.raise = times(self.raise, 2).min(LONGEST_RAISE);
        }
    }
}

#[cfg(test)]
mod tests;
