//! The several ways to one peer: which are proved, which is best now.
//!
//! A path is a pair of link and address, and has one number that both sides use for it. Two houses
//! may be joined by a road and a footbridge: letters go by road while it is open, the footbridge is
//! walked now and then to know that it still stands, and when the road is silent for too long
//! everything on its way is sent again over the bridge.
//!
//! An address is used only after it has been proved by an echo (RFC 9000, section 8.2): a peer that
//! sends from a new address is answered with a challenge there, and moves only when that comes back.
//! Until then it gets no more bytes than came from it: somebody may have caught an authentic packet and
//! sent it on under a false name, so that our answers hit another (RFC 9000, section 8.1, allows three
//! times as many). Therefore the first challenge is as long as an echo and a challenge in return.

use crate::codec::Writer;
use crate::ids::{Addr, LinkId, PathId};
use crate::link::frame;
use crate::link::path::{Path, Piece};
use crate::link::transmit::PACKET_OVERHEAD;
use crate::machine::Cx;
use crate::node::input::LinkInfo;
use crate::time::{Duration, Instant};
use crate::wake::{Reason, Wake};

/// First and longest pause between challenges: the first from QUIC's initial probe timeout of a
/// third of a second, rounded down; the longest a guess that keeps a dead address under 10 B/s.
const CHALLENGE_FIRST: Duration = Duration::from_millis(250);
const CHALLENGE_LONGEST: Duration = Duration::from_secs(10);
/// Where air is scarce, the longest in the first (guess).
const MOST_SCARCE_PAUSES: u64 = 32;

/// The shortest packet that is sent to an address on credit: header, challenge, tag.
const LEAST_PACKET: usize = PACKET_OVERHEAD + 9;

/// A challenge to an address that we chose is as long as an echo and a challenge in return; it is
/// also the smallest MTU of any link.
pub(crate) const CHALLENGE_LEN: usize = 2 * LEAST_PACKET;

/// An address that has to be proved.
#[derive(Clone, Debug)]
pub(crate) struct Challenge {
    pub(crate) link: LinkId,
    pub(crate) addr: Addr,
    /// What has to come back.
    pub(crate) token: [u8; 8],
    next: Instant,
    pause: Duration,
    /// When the first one was sent.
    begun: Option<Instant>,
    /// Bytes that may still be sent there. `None` when we were told of the address, or met it in a
    /// handshake.
    credit: Option<u32>,
}

impl Challenge {
    pub(crate) fn new(cx: &mut Cx<'_>, link: LinkId, addr: Addr) -> Challenge {
        let mut token = [0; 8];
        cx.rng.fill(&mut token);
        Challenge { link, addr, token, next: cx.now, pause: CHALLENGE_FIRST, begun: None, credit: None }
    }

    /// For an address that `bytes` have come from, and of which nothing else is known.
    pub(crate) fn on_credit(cx: &mut Cx<'_>, link: LinkId, addr: Addr, bytes: usize) -> Challenge {
        let credit = Some(u32::try_from(bytes).unwrap_or(u32::MAX));
        Challenge { credit, ..Challenge::new(cx, link, addr) }
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.next <= now && self.may_send()
    }

    /// Whether the credit is enough for a packet.
    fn may_send(&self) -> bool {
        self.allowance() >= LEAST_PACKET
    }

    /// Bytes that may be sent to the address.
    fn allowance(&self) -> usize {
        self.credit.map_or(usize::MAX, |credit| credit as usize)
    }

    pub(crate) fn is_on_credit(&self) -> bool {
        self.credit.is_some()
    }

    /// Whether another address may be tested instead: this one cannot be asked, or has not answered two
    /// challenges within one and a half round trips, at least 250 ms.
    fn had_its_turn(&self, now: Instant, rtt: Duration) -> bool {
        let wait = rtt.mul_ratio(3, 2).max(CHALLENGE_FIRST);
        self.begun.map_or(!self.may_send(), |begun| begun + CHALLENGE_FIRST + wait <= now)
    }

    pub(crate) fn is_for(&self, link: LinkId, addr: Addr) -> bool {
        (self.link, self.addr) == (link, addr)
    }

    /// It was sent. The next one waits half as long again, because an address that never answers must not be
    /// pelted for ever; what is sent on credit has its bound. Where air is scarce each wait is twice the last, from `least` on.
    pub(crate) fn sent(&mut self, now: Instant, least: Duration) {
        self.begun.get_or_insert(now);
        self.pause = self.pause.max(least);
        self.next = now + self.pause;
        if least > Duration::ZERO {
            self.pause = self.pause.mul_ratio(2, 1).min(least.mul_ratio(MOST_SCARCE_PAUSES, 1));
        } else if !self.is_on_credit() {
            self.pause = self.pause.mul_ratio(3, 2).min(CHALLENGE_LONGEST);
        }
    }

    pub(crate) fn next_wake(&self) -> Wake {
        if self.may_send() { Wake::At(self.next, Reason::PathProbe) } else { Wake::Idle }
    }
}

/// A challenge of the peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Echo {
    /// Where it came from, and where the echo goes.
    pub(crate) link: LinkId,
    /// See `link`.
    pub(crate) addr: Addr,
    /// What to send back.
    pub(crate) token: [u8; 8],
    /// The length of the packet that it came in.
    pub(crate) asked_bytes: usize,
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
    /// It has done so once, or we were told of it: it is asked without having been heard.
    pub(crate) known: bool,
    /// It was reported to the application as working.
    pub(crate) reported_up: bool,
    /// An address under test: our own before it is proved, or the one the peer seems to have moved to.
    pub(crate) challenge: Option<Challenge>,
    /// A challenge of the peer to be echoed to where it came from.
    pub(crate) echo: Option<Echo>,
    pub(crate) sent_bytes: u64,
    pub(crate) last_sent: Instant,
    pub(crate) received_bytes: u64,
}

impl Way {
    /// Answers the challenge that came last.
    pub(crate) fn write_echo(&mut self, writer: &mut Writer<'_>) -> Option<Piece> {
        let echo = self.echo.take()?;
        frame::write_response(writer, echo.token).ok()?;
        Some(Piece::Response)
    }

    /// Challenges the address, in a packet of at most `max_len` bytes.
    pub(crate) fn write_challenge(
        &mut self,
        cx: &Cx<'_>,
        max_len: usize,
        writer: &mut Writer<'_>,
    ) -> Option<Piece> {
        let challenge = self.challenge.as_mut()?;
        let overhead = overhead_of(writer, max_len);
        frame::write_challenge(writer, challenge.token).ok()?;
        if !challenge.is_on_credit() {
            frame::write_padding(writer, CHALLENGE_LEN.saturating_sub(overhead + writer.len()));
        }
        let least = self.path.least_pause();
        challenge.sent(cx.now, least);
        Some(Piece::Challenge)
    }

    /// Asks for an answer, in a packet of at most `max_len` bytes: as long as a challenge, so that whoever sees
    /// it come from a new address may test that at once. A peer whose translator gave it another one
    /// (RFC 4787) may have nothing else to say.
    pub(crate) fn write_ping(&mut self, max_len: usize, writer: &mut Writer<'_>) -> Option<Piece> {
        let overhead = overhead_of(writer, max_len);
        frame::write_ping(writer).ok()?;
        frame::write_padding(writer, LEAST_PACKET.saturating_sub(overhead + writer.len()));
        Some(Piece::Ping)
    }

    /// Asks whether a packet of `len` bytes arrives.
    pub(crate) fn write_size_question(&mut self, len: usize, writer: &mut Writer<'_>) -> Option<Piece> {
        let overhead = overhead_of(writer, len);
        frame::write_ping(writer).ok()?;
        frame::write_padding(writer, len.saturating_sub(overhead + writer.len()));
        Some(Piece::Ping)
    }

    /// Whether messages may go this way.
    pub(crate) fn is_usable(&self) -> bool {
        self.proved && !self.path.is_dead()
    }

    /// The echo of `token` came back, from this address. One that is tested on credit has to answer itself: somebody
    /// may have carried a challenge to the peer that is somewhere else (RFC 9000, section 8.2.3, would believe it).
    pub(crate) fn echoed(
        &mut self,
        cx: &Cx<'_>,
        token: [u8; 8],
        (link, from): (LinkId, Addr),
        info: &LinkInfo,
    ) {
        let answers = |challenge: &mut Challenge| {
            challenge.token == token && (!challenge.is_on_credit() || challenge.is_for(link, from))
        };
        // What is tested on another link is on credit, and this packet came over that.
        let tested = self.challenge.take_if(answers).filter(|challenge| self.may_lead_to(challenge.link));
        if let Some(challenge) = tested {
            self.lead_to(cx, challenge.link, challenge.addr, info);
        }
    }

    /// A way stays on its link for as long as it works there.
    pub(crate) fn may_lead_to(&self, link: LinkId) -> bool {
        self.link == link || !self.is_usable()
    }

    /// The peer is there: it has echoed, or came from there in a handshake.
    pub(crate) fn lead_to(&mut self, cx: &Cx<'_>, link: LinkId, addr: Addr, info: &LinkInfo) {
        if (self.link, self.addr) != (link, addr) {
            self.path.on_moved();
        }
        if self.link != link {
            self.path.link_changed(info, cx.limits);
        }
        (self.link, self.addr, self.proved, self.known) = (link, addr, true, true);
    }

    /// A link is gone. An address on it that has proved itself is asked again when the link is back; one that has not
    /// keeps the account of what it may be sent, and another may be tested instead. What a way of another link was tested
    /// for there is over, and its own address is asked again: else it would wait for something that does not come.
    pub(crate) fn link_lost(&mut self, cx: &mut Cx<'_>, link: LinkId) {
        let was_proved = self.link == link && core::mem::take(&mut self.proved);
        let Some(challenge) = self.challenge.as_mut().filter(|challenge| challenge.link == link) else {
            return;
        };
        challenge.begun = Some(Instant::ZERO);
        if self.link != link && self.known && !self.proved {
            // Its own link may be gone as well: nothing has to wait for its turn.
            let own = Challenge::new(cx, self.link, self.addr);
            self.challenge = Some(Challenge { begun: Some(Instant::ZERO), ..own });
        } else if was_proved || self.link != link {
            self.challenge = None;
        }
    }

    /// Whether nothing is tested on it, or what is tested has had its turn.
    pub(crate) fn is_tried(&self, now: Instant) -> bool {
        let rtt = self.path.rtt();
        self.challenge.as_ref().is_none_or(|challenge| challenge.had_its_turn(now, rtt))
    }

    /// Its link is there, perhaps again. Where the peer is, if it was not heard of elsewhere on this link, its answer shows.
    pub(crate) fn link_is_back(&mut self, cx: &mut Cx<'_>) {
        let tested = self.challenge.as_ref().is_some_and(|challenge| challenge.link == self.link);
        if self.known && !self.proved && !tested {
            self.challenge = Some(Challenge::new(cx, self.link, self.addr));
        }
    }

    /// Bytes that a packet to this address may have: all that fit where it is proved, else what it
    /// has sent and not got back.
    pub(crate) fn allowance(&self, link: LinkId, addr: Addr) -> usize {
        if self.proved && (self.link, self.addr) == (link, addr) {
            return usize::MAX;
        }
        let tested = self.challenge.as_ref().filter(|challenge| challenge.is_for(link, addr));
        tested.map_or(0, Challenge::allowance)
    }

    /// How long the echo may be: never longer than the question, where the address is nobody's yet.
    pub(crate) fn echo_allowance(&self, echo: &Echo) -> usize {
        let tested = self.challenge.as_ref().is_some_and(|challenge| challenge.is_for(echo.link, echo.addr));
        let known = tested || self.proved && (self.link, self.addr) == (echo.link, echo.addr);
        if known { self.allowance(echo.link, echo.addr) } else { echo.asked_bytes }
    }

    /// The echo that may be sent now.
    pub(crate) fn due_echo(&self) -> Option<Echo> {
        self.echo.filter(|echo| self.echo_allowance(echo) >= LEAST_PACKET)
    }

    /// Whether an acknowledgement may be sent.
    pub(crate) fn may_answer(&self) -> bool {
        self.allowance(self.link, self.addr) >= LEAST_PACKET
    }

    /// An authentic packet came from this address: an unproved one may be sent as much.
    pub(crate) fn earned(&mut self, link: LinkId, addr: Addr, bytes: usize) {
        self.account(link, addr, |credit| credit.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX)));
    }

    /// So many bytes were sent there.
    pub(crate) fn spent(&mut self, link: LinkId, addr: Addr, bytes: usize) {
        self.account(link, addr, |credit| credit.saturating_sub(u32::try_from(bytes).unwrap_or(u32::MAX)));
    }

    fn account(&mut self, link: LinkId, addr: Addr, change: impl FnOnce(u32) -> u32) {
        if let Some(challenge) = self.challenge.as_mut().filter(|challenge| challenge.is_for(link, addr)) {
            challenge.credit = challenge.credit.map(change);
        }
    }

    /// The peer's newest packet came from there, so it seems to be there (RFC 9000, section 9.3): that address is
    /// tested unless it is proved, or another one is being tested that may still answer. Packets relayed
    /// under a false address delay the test of the true one, but do not prevent it. One that does not work is looked for on any
    /// link; its own address is asked on meanwhile.
    pub(crate) fn seen_at(&mut self, cx: &mut Cx<'_>, link: LinkId, addr: Addr, bytes: usize) {
        let is_proved = self.proved && (self.link, self.addr) == (link, addr);
        if is_proved || !self.may_lead_to(link) {
            return;
        }
        let rtt = self.path.rtt();
        let gives_way =
            |challenge: &Challenge| !challenge.is_for(link, addr) && challenge.had_its_turn(cx.now, rtt);
        if self.challenge.as_ref().is_none_or(gives_way) {
            self.challenge = Some(Challenge::on_credit(cx, link, addr, bytes));
        }
    }

    /// When the path or its challenge has something to do. An address that has not echoed is asked
    /// by challenges alone, so the path's own probes do not count before; nor do acknowledgements, where
    /// there is no credit for one.
    pub(crate) fn next_wake(&self) -> Wake {
        let path = if self.proved {
            self.path.next_wake()
        } else if self.may_answer() {
            self.path.next_settling()
        } else {
            self.path.settle_wake()
        };
        path.min(self.challenge.as_ref().map_or(Wake::Idle, Challenge::next_wake))
    }
}

/// Bytes of a packet of at most `max_len` that are not the writer's.
fn overhead_of(writer: &Writer<'_>, max_len: usize) -> usize {
    max_len.saturating_sub(writer.len() + writer.room())
}

/// What a packet in preparation is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Purpose {
    /// Echo a challenge to where it came from.
    Echo,
    /// Challenge an address.
    Challenge,
    /// See whether a larger packet arrives than is believed to.
    Size,
    /// Everything else.
    Traffic,
}

/// Whether a slower way should take what the fastest cannot take now.
///
/// Earliest completion first (Lim et al., CoNEXT 2017): sending on the slow way pays only if what is
/// queued would keep the fast one busy longer than the slow one needs to deliver. Otherwise the last
/// piece of a message sits on the slow radio while the cable idles. `dearer` is how much longer a message
/// should rather wait than go the slow way.
pub(crate) fn worth_the_slow_way(
    backlog_bytes: u64,
    fast: &Path,
    slow: &Path,
    packet_bytes: u64,
    dearer: Duration,
) -> bool {
    let span = |bytes: u64, path: &Path| {
        Duration::from_micros(bytes.saturating_mul(8_000_000) / path.rate_bps().max(1))
    };
    let by_fast = span(backlog_bytes, fast) + fast.rtt().mul_ratio(1, 2);
    let by_slow = span(packet_bytes, slow) + slow.rtt().mul_ratio(1, 2);
    by_slow + dearer < by_fast
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::drops::Drops;
    use crate::limits::Limits;
    use crate::link::peer::Peer;
    use crate::node::input::Medium;
    use crate::rng::Rng;
    use crate::zoo::Zoo;

    pub(in crate::link) const CABLE: LinkInfo = LinkInfo {
        medium: Medium::PointToPoint,
        mtu: 1_400,
        rate_bps: None,
        delay: Duration::from_millis(1),
        cost: 0,
        segments: 1,
        local: Addr::ANY,
        air: None,
        beacons: false,
    };

    const HERE: (LinkId, Addr) = (LinkId(0), Addr::ANY);

    fn there() -> (LinkId, Addr) {
        (LinkId(0), Addr::from_u32(7))
    }

    fn with_way(run: impl FnOnce(&mut Cx<'_>, &mut Way)) {
        let (mut rng, mut drops) = (Rng::fork(&[1; 32], "test"), Drops::default());
        let now = Instant::from_micros(1_000);
        let cx = &mut Cx { now, rng: &mut rng, limits: &Limits::SMALL, drops: &mut drops, zoo: Zoo::none() };
        let mut peer = Peer::new(cx.limits, crate::ids::NodeId([1; 32]), 0);
        peer.way_opened_by_peer(cx, PathId(1), HERE.0, HERE.1, &CABLE);
        let way = peer.way_mut(PathId(1)).unwrap();
        run(cx, way);
    }

    #[test]
    fn a_stranger_is_sent_no_more_than_came_from_him() {
        with_way(|cx, way| {
            let due = |way: &Way| way.challenge.as_ref().is_some_and(|challenge| challenge.is_due(cx.now));
            assert!(!due(way) && !way.may_answer() && way.next_wake() == Wake::Idle);
            way.earned(HERE.0, HERE.1, 30);
            assert!(!due(way), "a challenge is longer");
            way.earned(HERE.0, there().1, 1_000);
            assert!(!due(way), "what another sends is not his");
            way.earned(HERE.0, HERE.1, 64);
            assert!(due(way) && way.may_answer());
            let (mut sent, mut rounds) = (0, 0);
            while way.may_answer() {
                way.spent(HERE.0, HERE.1, LEAST_PACKET);
                (sent, rounds) = (sent + LEAST_PACKET, rounds + 1);
            }
            assert!(sent <= 94 && rounds == 2);
            assert!(!due(way) && way.next_wake() == Wake::Idle, "not even a challenge, until he sends more");
        });
    }

    #[test]
    fn an_echo_to_nobody_is_no_longer_than_the_question() {
        with_way(|cx, way| {
            way.proved = true;
            way.challenge = None;
            let (link, addr) = there();
            let echo = |asked_bytes| Echo { link, addr, token: [0; 8], asked_bytes };
            way.echo = Some(echo(30));
            assert!(way.due_echo().is_none());
            way.echo = Some(echo(CHALLENGE_LEN));
            assert_eq!(way.due_echo().map(|echo| way.echo_allowance(&echo)), Some(CHALLENGE_LEN));
            // As soon as the address is under test, all that is sent there is on one account.
            way.seen_at(cx, link, addr, 40);
            assert_eq!(way.echo_allowance(&echo(1_000)), 40);
            let token = way.challenge.as_ref().unwrap().token;
            way.echoed(cx, token, (link, HERE.1), &CABLE);
            assert_eq!(way.echo_allowance(&echo(1_000)), 40, "the challenge was carried to somebody else");
            way.echoed(cx, token, (link, addr), &CABLE);
            assert_eq!(way.echo_allowance(&echo(1)), usize::MAX);
        });
    }

    /// A path did not work and was tested on another link; it works again when the echo comes: it stays where it is.
    #[test]
    fn a_path_that_works_again_stays_on_its_link() {
        for works in [false, true] {
            with_way(|cx, way| {
                let (elsewhere, home) = ((LinkId(7), Addr::from_u32(7)), (way.link, way.addr));
                (way.proved, way.challenge) = (false, None);
                way.seen_at(cx, elsewhere.0, elsewhere.1, 40);
                let token = way.challenge.as_ref().unwrap().token;
                way.proved = works;
                way.echoed(cx, token, elsewhere, &CABLE);
                assert_eq!((way.link, way.addr), if works { home } else { elsewhere });
                assert!(way.challenge.is_none() && way.proved);
            });
        }
    }

    /// A large packet that somebody relays under a false address earns challenges for seconds; meanwhile the
    /// peer itself has moved.
    #[test]
    fn an_address_that_does_not_answer_gives_way_to_a_newer_one() {
        for (bytes, proved) in [(1_400, true), (40, true), (1_400, false), (40, false)] {
            with_way(|cx, way| {
                (way.proved, way.challenge) = (proved, None);
                let (link, addr) = there();
                let (begun, other) = (cx.now, Addr::from_u32(8));
                way.seen_at(cx, link, addr, bytes);
                way.challenge.as_mut().unwrap().sent(begun, Duration::ZERO);
                way.spent(link, addr, LEAST_PACKET);
                let turn = CHALLENGE_FIRST + way.path.rtt().mul_ratio(3, 2).max(CHALLENGE_FIRST);
                let moment = Duration::from_micros(1);
                for (at, tested) in [(begun + turn - moment, addr), (begun + turn, other)] {
                    cx.now = at;
                    way.seen_at(cx, link, other, 1_400);
                    let now = way.challenge.as_ref().map(|challenge| challenge.addr);
                    assert_eq!(now, Some(tested), "{bytes} B, at {at:?}");
                }
            });
        }
    }

    #[test]
    fn an_address_that_cannot_be_asked_gives_way_at_once() {
        with_way(|cx, way| {
            (way.proved, way.challenge) = (true, None);
            let (link, addr) = there();
            way.seen_at(cx, link, addr, LEAST_PACKET - 1);
            let other = Addr::from_u32(8);
            way.seen_at(cx, link, other, LEAST_PACKET);
            assert_eq!(way.challenge.as_ref().map(|challenge| challenge.addr), Some(other));
            way.seen_at(cx, LinkId(1), addr, 1_400);
            assert_eq!(way.challenge.as_ref().map(|challenge| challenge.addr), Some(other), "another link");
        });
    }

    /// On a path that loses nine packets in ten each way, one challenge in a hundred is answered.
    #[test]
    fn credit_is_spent_without_growing_pauses() {
        with_way(|cx, way| {
            (way.proved, way.challenge) = (true, None);
            let (link, addr) = there();
            way.seen_at(cx, link, addr, 100 * LEAST_PACKET);
            let (challenge, begun) = (way.challenge.as_mut().unwrap(), cx.now);
            for round in 0..100 {
                assert!(challenge.is_due(begun + CHALLENGE_FIRST.mul_ratio(round, 1)));
                challenge.sent(begun + CHALLENGE_FIRST.mul_ratio(round, 1), Duration::ZERO);
            }
        });
    }

    /// On air that others need a challenge that was paid for is repeated at pauses that double, up to 32 times the first.
    #[test]
    fn challenges_on_scarce_air_come_ever_later() {
        with_way(|cx, way| {
            way.proved = true;
            let (link, addr) = there();
            way.seen_at(cx, link, addr, 1_400);
            let (challenge, least) = (way.challenge.as_mut().unwrap(), Duration::from_secs(30));
            let mut pauses = alloc::vec::Vec::new();
            for _ in 0..8 {
                let sent = challenge.next;
                challenge.sent(sent, least);
                assert!(!challenge.is_due(challenge.next - Duration::from_micros(1)));
                pauses.push(challenge.next.since(sent).as_micros() / 1_000_000);
            }
            assert_eq!(pauses, [30, 60, 120, 240, 480, 960, 960, 960]);
        });
    }

    /// Who sees it come from a new address can afford to challenge that.
    #[test]
    fn a_question_pays_for_a_challenge() {
        with_way(|_, way| {
            let mut buf = [0; 1_400 - PACKET_OVERHEAD];
            let mut writer = Writer::new(&mut buf);
            assert_eq!(way.write_ping(1_400, &mut writer), Some(Piece::Ping));
            assert_eq!(writer.len() + PACKET_OVERHEAD, LEAST_PACKET);
            let mut short = [0; 4];
            let mut writer = Writer::new(&mut short);
            assert_eq!(way.write_ping(PACKET_OVERHEAD + 4, &mut writer), Some(Piece::Ping));
            assert_eq!(writer.len(), 4, "as far as there is room");
        });
    }
}
