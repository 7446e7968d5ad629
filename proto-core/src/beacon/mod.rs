//! Who else of the network is within earshot.
//!
//! Ships at anchor in fog ring a bell. One that has just come in, or hears a bell for the first time, rings often; when nothing new is heard the rings
//! get rarer; and the more ships there are, the rarer each rings, so that the bay is not full of bells. A bell says nothing of who rings it: whoever
//! hears a new one rows over and asks. Of two only the one whose place in the list comes first rows, unless the other waits in vain.
//!
//! Machine `Beacons`: the timer of Trickle (RFC 6206, section 4.2) without its suppression, since here each has to be heard for itself. In its place
//! intervals grow with the number of those who are heard, so that all beacons of a medium together take one hundredth of its air at most
//! (a tenth while something is new). What a beacon looks like, and that it is genuine, is the business of `session` (kind 10).
//!
//! Invariants: on each medium there is one moment for the next beacon; no more places are remembered than `limits.peers`. Messages and records: none of its
//! own. Assumed of the others: `session` shows only beacons of members that were sent from the place from which they came. At its limits a place that is
//! not known is not remembered: it is heard again when there is room.

#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::ids::{Addr, LinkId};
use crate::limits::Limits;
use crate::machine::{Cx, Machine};
use crate::node::input::LinkInfo;
use crate::time::{Duration, Instant};
use crate::wake::{Reason, Wake};

/// Bytes of a beacon (`session::message`).
pub const BEACON_BYTES: usize = 27;
/// The shortest interval.
const SHORTEST: Duration = Duration::from_millis(250);
/// And the longest, where air costs nothing.
const LONGEST: Duration = Duration::from_secs(10);
/// The part of the air that beacons of all in range take when nothing is new, and while something is.
const QUIET_PART: u64 = 100;
const EAGER_PART: u64 = 10;
/// A place is forgotten when no beacon came from there for so many of its intervals, in which eight beacons come at least: with a loss of 20 % all of
/// them are lost once in 390,000 times (0.2^8).
const MISSED: u64 = 8;
/// What is not told in a beacon is rounded up to a power of two of these.
const UNIT: Duration = Duration::from_millis(1);
/// The longest interval that can be told: 2^26 ms, 18 hours.
const MOST_SPAN: u8 = 26;

/// What can happen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// A link works, or has changed. Beacons go over it where its [`LinkInfo::beacons`] says so.
    LinkUp {
        /// Which.
        link: LinkId,
        /// What it can do.
        info: LinkInfo,
    },
    /// A link does not work.
    LinkDown {
        /// Which.
        link: LinkId,
    },
    /// A genuine beacon has come.
    Heard {
        /// Over which link.
        link: LinkId,
        /// From where.
        from: Addr,
        /// Its interval, as [`Action::Say`] has it.
        span: u8,
        /// Of the two of us it is ours to call.
        first: bool,
    },
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Send a beacon to all who hear this link.
    Say {
        /// Which.
        link: LinkId,
        /// The next one comes within `2^span` milliseconds.
        span: u8,
    },
    /// Somebody is at this place: have a session, if there is none.
    Meet {
        /// Which link.
        link: LinkId,
        /// Where.
        addr: Addr,
        /// It was not heard before: if it is called already, then in vain until now, and from now on with better hope.
        new: bool,
    },
    /// Nobody is heard at this place any more: where there is no session with it, nobody need be called there.
    Part {
        /// Which link.
        link: LinkId,
        /// Where.
        addr: Addr,
    },
}

/// A medium on which beacons are sent.
#[derive(Debug)]
struct Medium {
    /// What a beacon costs of the air.
    airtime: Duration,
    interval: Duration,
    /// When to send, and when the interval ends.
    say: Option<Instant>,
    ends: Instant,
    /// Who is heard, and when it is forgotten without another beacon.
    heard: BTreeMap<Addr, Instant>,
}

impl Medium {
    /// The bounds of the interval, by how many there are.
    fn bounds(&self) -> (Duration, Duration) {
        let all = self.airtime.mul_ratio(1 + self.heard.len() as u64, 1);
        let shortest = SHORTEST.max(all.mul_ratio(EAGER_PART, 1));
        (shortest, LONGEST.max(all.mul_ratio(QUIET_PART, 1)).max(shortest))
    }

    /// The interval after this one.
    fn next_interval(&self) -> Duration {
        let (shortest, longest) = self.bounds();
        self.interval.mul_ratio(2, 1).clamp(shortest, longest)
    }

    /// Begins an interval: the beacon comes in its second half, by chance.
    fn begin(&mut self, cx: &mut Cx<'_>, interval: Duration) {
        let half = interval.mul_ratio(1, 2);
        self.interval = interval;
        self.say = Some(cx.now + half + Duration::from_micros(cx.rng.below(half.as_micros().max(1))));
        self.ends = cx.now + interval;
    }

    fn next(&self) -> Instant {
        let forgotten = self.heard.values().copied().min();
        let said = self.say.unwrap_or(self.ends).min(self.ends);
        forgotten.map_or(said, |at| at.min(said))
    }
}

/// Beacons of all media.
#[derive(Debug, Default)]
pub struct Beacons {
    media: BTreeMap<LinkId, Medium>,
    actions: VecDeque<Action>,
}

impl Machine for Beacons {
    type Input<'a> = Input;
    type Action = Action;

    fn handle(&mut self, cx: &mut Cx<'_>, input: Input) {
        match input {
            Input::LinkUp { link, info } if info.beacons => self.link_up(cx, link, &info),
            Input::LinkUp { link, .. } | Input::LinkDown { link } => self.link_down(link),
            Input::Heard { link, from, span, first } => self.heard(cx, (link, from), span, first),
        }
    }

    fn wake(&mut self, cx: &mut Cx<'_>) {
        for (&link, medium) in &mut self.media {
            let gone: Vec<Addr> =
                medium.heard.iter().filter(|(_, until)| **until <= cx.now).map(|(&addr, _)| addr).collect();
            for addr in gone {
                medium.heard.remove(&addr);
                self.actions.push_back(Action::Part { link, addr });
            }
            if medium.say.is_some_and(|at| at <= cx.now) {
                medium.say = None;
                // The next one comes at the end of the next interval at the latest, which is twice as long.
                let span = span_of(medium.ends.since(cx.now) + medium.next_interval());
                self.actions.push_back(Action::Say { link, span });
            }
            if medium.ends <= cx.now {
                let next = medium.next_interval();
                medium.begin(cx, next);
            }
        }
    }

    fn next_wake(&self) -> Wake {
        let next = self.media.values().map(Medium::next).min();
        next.map_or(Wake::Idle, |at| Wake::At(at, Reason::Beacon))
    }

    fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }
}

impl Beacons {
    fn link_up(&mut self, cx: &mut Cx<'_>, link: LinkId, info: &LinkInfo) {
        let airtime = info.with_silence(info.airtime(BEACON_BYTES));
        let medium = self.media.entry(link).or_insert_with(|| Medium {
            airtime,
            interval: SHORTEST,
            say: None,
            ends: cx.now,
            heard: BTreeMap::new(),
        });
        medium.airtime = airtime;
        let (shortest, _) = medium.bounds();
        medium.begin(cx, shortest);
    }

    fn link_down(&mut self, link: LinkId) {
        let heard = self.media.remove(&link).into_iter().flat_map(|medium| medium.heard.into_keys());
        self.actions.extend(heard.map(|addr| Action::Part { link, addr }));
    }

    fn heard(&mut self, cx: &mut Cx<'_>, (link, from): (LinkId, Addr), span: u8, first: bool) {
        let room = self.places() < usize::from(cx.limits.peers);
        let Some(medium) = self.media.get_mut(&link) else { return };
        // Nobody keeps a place for longer, or is new more often, than honest beacons would.
        let (_, longest) = medium.bounds();
        let told = UNIT.mul_ratio(1 << span.min(MOST_SPAN), 1);
        let interval = told.clamp(SHORTEST, longest.mul_ratio(4, 1));
        let until = cx.now + interval.mul_ratio(MISSED, 1);
        let is_new = !medium.heard.contains_key(&from);
        if is_new && !room {
            return;
        }
        medium.heard.insert(from, until);
        if is_new {
            let (shortest, _) = medium.bounds();
            // An interval that is the shortest goes on: others would be put off for ever where many come (RFC 6206, section 4.2, rule 6).
            if medium.interval > shortest {
                medium.begin(cx, shortest);
            }
        }
        // Who should have called and was heard again has not heard us.
        if first || !is_new {
            self.actions.push_back(Action::Meet { link, addr: from, new: is_new });
        }
    }

    fn places(&self) -> usize {
        self.media.values().map(|medium| medium.heard.len()).sum()
    }

    /// Whether there are beacons on a link, and none comes from a place.
    #[must_use]
    pub fn misses(&self, link: LinkId, addr: Addr) -> bool {
        self.media.get(&link).is_some_and(|medium| !medium.heard.contains_key(&addr))
    }

    /// The most bytes of memory that this takes in a node with these limits.
    #[must_use]
    pub fn worst_case_bytes(limits: &Limits) -> u64 {
        let place = 3 * size_of::<(Addr, Instant)>() as u64;
        let medium = 2 * size_of::<(LinkId, Medium)>() as u64 + 256;
        // One action for each place, twice while the row grows.
        let actions = 4 * size_of::<Action>() as u64;
        u64::from(limits.peers)
            .saturating_mul(place + actions)
            .saturating_add(u64::from(limits.links).saturating_mul(medium + actions))
    }

    /// Panics when an invariant does not hold.
    pub fn check(&self, limits: &Limits) {
        assert!(self.media.len() <= usize::from(limits.links));
        assert!(self.places() <= usize::from(limits.peers));
        for medium in self.media.values() {
            assert!(medium.say.is_none_or(|at| at <= medium.ends), "a beacon after its interval");
        }
    }
}

/// The least power of two milliseconds that is no shorter.
fn span_of(interval: Duration) -> u8 {
    let units = interval.as_micros().div_ceil(UNIT.as_micros()).max(1);
    let bits = units.checked_next_power_of_two().map_or(u64::BITS, u64::trailing_zeros);
    u8::try_from(bits).map_or(MOST_SPAN, |bits| bits.min(MOST_SPAN))
}
