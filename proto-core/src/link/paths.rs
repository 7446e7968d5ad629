//! The several ways to one peer: which are proved, which is best now.
//!
//! A path is a pair of link and address, and has one number that both sides use for it. Two houses
//! may be joined by a road and a footbridge: letters go by road while it is open, the footbridge is
//! walked now and then to know that it still stands, and when the road is silent for too long
//! everything on its way is sent again over the bridge.
//!
//! An address is used only after it has been proved by an echo (RFC 9000, section 8.2): a peer that
//! sends from a new address is answered with a challenge there, and moves only when that comes back.

use crate::ids::{Addr, LinkId, PathId};
use crate::link::path::Path;
use crate::machine::Cx;
use crate::time::{Duration, Instant};
use crate::wake::{Reason, Wake};

/// First and longest pause between challenges: the first from QUIC's initial probe timeout of a
/// third of a second, rounded down; the longest a guess that keeps a dead address under 10 B/s.
const CHALLENGE_FIRST: Duration = Duration::from_millis(250);
const CHALLENGE_LONGEST: Duration = Duration::from_secs(10);

/// An address that has to be proved.
#[derive(Clone, Debug)]
pub(crate) struct Challenge {
    pub(crate) link: LinkId,
    pub(crate) addr: Addr,
    /// What has to come back.
    pub(crate) token: [u8; 8],
    next: Instant,
    pause: Duration,
}

impl Challenge {
    pub(crate) fn new(cx: &mut Cx<'_>, link: LinkId, addr: Addr) -> Challenge {
        let mut token = [0; 8];
        cx.rng.fill(&mut token);
        Challenge { link, addr, token, next: cx.now, pause: CHALLENGE_FIRST }
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.next <= now
    }

    /// It was sent; the next one waits twice as long, because an address that never answers must
    /// not be pelted for ever.
    pub(crate) fn sent(&mut self, now: Instant) {
        self.next = now + self.pause;
        self.pause = self.pause.mul_ratio(3, 2).min(CHALLENGE_LONGEST);
    }

    pub(crate) fn next_wake(&self) -> Wake {
        Wake::At(self.next, Reason::PathProbe)
    }
}

/// One way to a peer.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) id: PathId,
    pub(crate) link: LinkId,
    pub(crate) addr: Addr,
    pub(crate) path: Path,
    /// The address has echoed.
    pub(crate) proved: bool,
    /// It was reported to the application as working.
    pub(crate) reported_up: bool,
    /// An address under test: our own before it is proved, or the one the peer seems to have moved to.
    pub(crate) challenge: Option<Challenge>,
    /// A challenge of the peer to be echoed to where it came from.
    pub(crate) echo: Option<(LinkId, Addr, [u8; 8])>,
    pub(crate) sent_bytes: u64,
    pub(crate) last_sent: Instant,
    pub(crate) received_bytes: u64,
}

impl Way {
    /// Whether messages may go this way.
    pub(crate) fn is_usable(&self) -> bool {
        self.proved && !self.path.is_dead()
    }

    /// The echo of `token` came back.
    pub(crate) fn echoed(&mut self, token: [u8; 8]) {
        if let Some(challenge) = self.challenge.take_if(|challenge| challenge.token == token) {
            self.link = challenge.link;
            self.addr = challenge.addr;
            self.proved = true;
        }
    }

    /// When the path or its challenge has something to do. An address that has not echoed is asked
    /// by challenges alone, so the path's own probes do not count before.
    pub(crate) fn next_wake(&self) -> Wake {
        let path = if self.proved { self.path.next_wake() } else { self.path.next_settling() };
        path.min(self.challenge.as_ref().map_or(Wake::Idle, Challenge::next_wake))
    }
}

/// What a packet in preparation is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// Echo a challenge to where it came from.
    Echo,
    /// Challenge an address.
    Challenge,
    /// Everything else.
    Traffic,
}

/// Whether a slower way should take what the fastest cannot take now.
///
/// Earliest completion first (Lim et al., CoNEXT 2017): sending on the slow way pays only if what is
/// queued would keep the fast one busy longer than the slow one needs to deliver. Otherwise the last
/// piece of a message sits on the slow radio while the cable idles.
pub(crate) fn worth_the_slow_way(backlog_bytes: u64, fast: &Path, slow: &Path, packet_bytes: u64) -> bool {
    let span = |bytes: u64, path: &Path| {
        Duration::from_micros(bytes.saturating_mul(8_000_000) / path.rate_bps().max(1))
    };
    let by_fast = span(backlog_bytes, fast) + fast.rtt().mul_ratio(1, 2);
    let by_slow = span(packet_bytes, slow) + slow.rtt().mul_ratio(1, 2);
    by_slow < by_fast
}
