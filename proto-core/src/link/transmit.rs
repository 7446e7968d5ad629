//! The way out: which peer may send now, over which way, and what goes into the packet.
//!
//! Nothing is queued as bytes. `next_packet` asks who has something to say and a way that is free;
//! `build` writes what is missing at this moment; `sent` tells the path what it carries.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::codec::Writer;
use crate::ids::{Addr, LinkId, PathId, PeerSlot};
use crate::link::frame;
use crate::link::messages::{Budget, PathInfo};
use crate::link::path::{Fate, Piece};
use crate::link::paths::{Echo, Purpose, Way, worth_the_slow_way};
use crate::link::peer::{Peer, StoreToken};
use crate::link::{LinkEntry, Links};
use crate::machine::Cx;
use crate::node::input::LinkInfo;
use crate::time::{Duration, Instant};
use crate::wake::{Reason, Wake};

/// Header with a packet number of three bytes, and the tag: what a packet costs at most.
pub(super) const PACKET_OVERHEAD: usize = 4 + 3 + 16;

/// How long a way may carry nothing while there is something to send. A guess: at a packet a second
/// an estimate over a few samples is seconds old at most, and costs a radio little.
const NEGLECT: Duration = Duration::from_secs(1);

/// How long a peer may hold an acknowledgement back (RFC 9000, section 18.2, `max_ack_delay`).
const ANSWER_DELAY: Duration = Duration::from_millis(25);

/// How far ahead of a link's own clock packets may be handed to it: enough to keep it busy while the
/// shell sleeps for a millisecond, little enough that an urgent packet waits no longer than that.
const LINK_LEAD: Duration = Duration::from_millis(1);

/// A shorter round trip is the grain of somebody's clock. Copies of a message are spread over a part of
/// it: over none at all, there would be no end of them.
const LEAST_RTT: Duration = Duration::from_micros(100);

/// A packet that may be built now.
#[derive(Clone, Debug)]
pub struct Intent {
    /// For whom.
    pub peer: PeerSlot,
    /// By which path.
    pub path: PathId,
    /// Over which link.
    pub link: LinkId,
    /// To which address.
    pub addr: Addr,
    /// The longest datagram allowed, in bytes.
    pub max_len: usize,
    /// The highest of our packet numbers the peer has acknowledged on this path.
    pub largest_acked: Option<u64>,
    /// How many datagrams of one size the link takes at once.
    pub segments: u8,
    purpose: Purpose,
    congestion_allows: bool,
}

/// What a way wants to send, and where.
struct Wish<'a> {
    purpose: Purpose,
    link: LinkId,
    addr: Addr,
    info: &'a LinkInfo,
    congestion_allows: bool,
}

/// What was built.
#[derive(Clone, Copy, Debug)]
pub struct Built {
    /// Bytes of frames; zero when there was nothing to say after all.
    pub len: usize,
    /// The last store request that something in the packet depends on.
    pub after_slot: Option<u64>,
}

impl Links {
    /// The next packet that may leave now.
    pub fn next_packet(&mut self, cx: &mut Cx<'_>) -> Option<Intent> {
        for _ in 0..self.ready.len() {
            let peer = *self.ready.front()?;
            let Links { links, peers, .. } = self;
            let entry = peers.get_mut(usize::from(peer.0)).and_then(Option::as_mut);
            let choice = entry.map_or(Err(Wake::Idle), |entry| entry.choose(cx, peer, links));
            match choice {
                Ok(intent) => {
                    // The next peer's turn comes first after this one's packet.
                    self.ready.rotate_left(1);
                    return Some(intent);
                }
                Err(wake) => {
                    self.ready.pop_front();
                    let Some(entry) = self.peer_mut(peer) else { continue };
                    entry.queued = false;
                    // What the ways wait for, and what messages do.
                    let wake = wake.min(entry.timers(cx));
                    self.deadlines.set(peer.0, wake);
                }
            }
        }
        None
    }

    /// The way on which the peer is told that its session ends: of the proved ones the fastest that
    /// lives, or any.
    pub fn farewell(&self, cx: &Cx<'_>, peer: PeerSlot) -> Option<Intent> {
        let entry = self.peers.get(usize::from(peer.0))?.as_ref().filter(|entry| entry.up)?;
        let proved = entry.ways.iter().filter(|way| way.proved && self.links.contains_key(&way.link));
        let way = proved.min_by_key(|way| (way.path.is_dead(), way.path.rtt(), way.id))?;
        let info = &self.links.get(&way.link)?.info;
        let (purpose, link, addr) = (Purpose::Traffic, way.link, way.addr);
        let wish = Wish { purpose, link, addr, info, congestion_allows: true };
        Some(entry.intent(cx, peer, way, &wish))
    }

    /// Another packet for the same peer and way, if one may leave now.
    pub fn next_packet_like(&mut self, cx: &mut Cx<'_>, first: &Intent) -> Option<Intent> {
        if first.purpose != Purpose::Traffic {
            return None;
        }
        let entry = self.peers.get_mut(usize::from(first.peer.0))?.as_mut()?;
        let intent = entry.choose(cx, first.peer, &self.links).ok()?;
        (intent.path == first.path && intent.purpose == Purpose::Traffic).then_some(intent)
    }

    /// Writes the packet's frames to `buf`.
    pub fn build(&mut self, cx: &mut Cx<'_>, intent: &Intent, buf: &mut [u8]) -> Built {
        self.pieces.clear();
        let pieces = &mut self.pieces;
        let Some(entry) = self.peers.get_mut(usize::from(intent.peer.0)).and_then(Option::as_mut) else {
            return Built { len: 0, after_slot: None };
        };
        let room = entry.room(cx.limits, &self.links);
        let mut writer = Writer::new(buf);
        let after = entry.write(cx, &mut self.sending, intent, room, &mut writer, pieces);
        let (peer, node) = (intent.peer, entry.node);
        if writer.is_empty() {
            // Nothing fitted, or nothing was left to say: whoever asks again at once would hear the same.
            self.no_room(cx, peer);
        }
        let after_slot = after.and_then(|token| {
            self.stores
                .iter()
                .rev()
                .find(|(_, asker)| asker.node == node && asker.token == token)
                .map(|&(slot, ..)| slot)
        });
        Built { len: writer.len(), after_slot }
    }

    /// What there is to say does not fit now: the peer is asked again a little later.
    pub fn no_room(&mut self, cx: &Cx<'_>, peer: PeerSlot) {
        self.end_turn(peer);
        self.deadlines.set(peer.0, Wake::At(cx.now + LINK_LEAD, Reason::Backlog));
    }

    /// There was nothing to say after all: the peer's turn is over until something changes.
    pub fn nothing_to_say(&mut self, cx: &Cx<'_>, peer: PeerSlot) {
        self.end_turn(peer);
        let Some(entry) = self.peer_mut(peer) else { return };
        let wake = entry.next_wake(cx);
        if !wake.is_due(cx.now) {
            self.deadlines.set(peer.0, wake);
        }
    }

    /// Takes the peer whose packet was asked for last, and which therefore stands at the end of the
    /// list, off it.
    fn end_turn(&mut self, peer: PeerSlot) {
        if self.ready.back() == Some(&peer) {
            self.ready.pop_back();
            if let Some(entry) = self.peer_mut(peer) {
                entry.queued = false;
            }
        }
    }

    /// The packet was sealed with this number and leaves now.
    pub fn sent(&mut self, cx: &mut Cx<'_>, intent: &Intent, packet_number: u64, len: usize) {
        if self.links.get(&intent.link).is_some_and(|link| link.air.is_some()) {
            self.spend_air(cx.now, intent.link, len);
        } else if let Some(link) = self.links.get_mut(&intent.link)
            && let Some(rate_bps) = link.info.rate_bps
        {
            let airtime = Duration::from_micros((len as u64).saturating_mul(8_000_000) / rate_bps.max(1));
            link.free_at = link.free_at.max(cx.now) + airtime;
        }
        let Some(entry) = self.peers.get_mut(usize::from(intent.peer.0)).and_then(Option::as_mut) else {
            return;
        };
        let eliciting = self.pieces.iter().any(Piece::is_eliciting);
        let most = entry.params.packet_bytes;
        if let Some(way) = entry.way_mut(intent.path) {
            if intent.purpose == Purpose::Size {
                way.path.on_size_asked(cx.now, most);
            }
            if (intent.link, intent.addr) == (way.link, way.addr) {
                way.path.on_sent(cx.now, packet_number, len, eliciting, &self.pieces);
            } else {
                way.path.on_sent_elsewhere(cx.now, packet_number, len, eliciting, &self.pieces);
            }
            way.sent_bytes += len as u64;
            way.spent(intent.link, intent.addr, len);
            way.last_sent = cx.now;
        }
    }

    /// The packet could not be sealed: its pieces are still to be sent.
    pub fn not_sent(&mut self, cx: &mut Cx<'_>, intent: &Intent) {
        let pieces = core::mem::take(&mut self.pieces);
        if let Some(entry) = self.peers.get_mut(usize::from(intent.peer.0)).and_then(Option::as_mut) {
            for &piece in &pieces {
                entry.outbox.on_fate(cx, &mut self.sending, piece, Fate::Lost);
                entry.inbox.on_fate(piece, Fate::Lost);
            }
            // Without keys nothing can leave until the next session.
            entry.up = false;
        }
        self.pieces = pieces;
    }
}

impl Peer {
    /// Which way may send what now; otherwise when to ask again.
    fn choose(
        &mut self,
        cx: &mut Cx<'_>,
        peer: PeerSlot,
        links: &BTreeMap<LinkId, LinkEntry>,
    ) -> Result<Intent, Wake> {
        if !self.up {
            return Err(Wake::Idle);
        }
        for way in &self.ways {
            if let Some((purpose, link, addr)) = way_wants(cx, way, self.params.packet_bytes)
                && let Ok(LinkEntry { info, .. }) = free(cx, links, link)
            {
                let wish = Wish { purpose, link, addr, info, congestion_allows: false };
                return Ok(self.intent(cx, peer, way, &wish));
            }
        }
        let spare = self.outbox.spare_wake();
        let has_work = self.outbox.has_work() || self.inbox.has_work();
        if !has_work && !spare.is_due(cx.now) {
            return Err(self.ways_wake(cx, links).min(spare));
        }
        match self.neglected_way(cx, links).map_or_else(|| self.best_way(cx, links), Ok) {
            Ok(at) => {
                let has_room = |way: &mut Way| has_work || way.path.spare(cx.now);
                if !self.ways.get_mut(at).is_some_and(has_room) {
                    // A way gets capacity to spare when something is acknowledged or given up: both
                    // ask again.
                    return Err(self.ways_wake(cx, links));
                }
                let way = self.ways.get(at).ok_or(Wake::Idle)?;
                let info = &links.get(&way.link).ok_or(Wake::Idle)?.info;
                let (purpose, link, addr) = (Purpose::Traffic, way.link, way.addr);
                let wish = Wish { purpose, link, addr, info, congestion_allows: true };
                Ok(self.intent(cx, peer, way, &wish))
            }
            Err(later) => Err(self.ways_wake(cx, links).min(later)),
        }
    }

    /// Whether [`Peer::choose`] could find a packet to send, were a way free, or knows when to ask again.
    /// For a peer that only listens this is much cheaper than asking.
    pub(super) fn has_something_to_send(&self, cx: &Cx<'_>) -> bool {
        self.ways.iter().any(|way| way_wants(cx, way, self.params.packet_bytes).is_some())
            || self.outbox.has_work()
            || self.inbox.has_work()
            || self.outbox.spare_wake() != Wake::Idle
    }

    /// When a way will have something to say of itself, or its link can take what it has to say now.
    fn ways_wake(&self, cx: &Cx<'_>, links: &BTreeMap<LinkId, LinkEntry>) -> Wake {
        let mut wake = Wake::Idle;
        for way in &self.ways {
            let timer = way.next_wake();
            wake = wake.min(
                match way_wants(cx, way, self.params.packet_bytes).map(|(_, link, _)| free(cx, links, link)) {
                    Some(Err(later)) => later.min(if timer.is_due(cx.now) { Wake::Idle } else { timer }),
                    Some(Ok(_)) | None => timer,
                },
            );
        }
        wake
    }

    /// A usable way that has carried nothing for a while and may send now. What is known of it has
    /// grown old, and without a packet now and then a way that was slow once would never be tried
    /// again; nor would anybody notice that it had died before it is needed.
    fn neglected_way(&mut self, cx: &Cx<'_>, links: &BTreeMap<LinkId, LinkEntry>) -> Option<usize> {
        if self.ways.len() < 2 {
            return None;
        }
        self.ways.iter_mut().position(|way| {
            let packet = way.path.packet_bytes();
            way.is_usable()
                && way.link != LinkId::MESH
                && cx.now.since(way.last_sent) >= NEGLECT + cost_of(links, way)
                && way.path.may_send(cx.now, packet).is_due(cx.now)
                && free(cx, links, way.link).is_ok()
        })
    }

    /// The usable way with the shortest round trip that may send now; a slower one only when the
    /// fast one could not deliver sooner. What a link costs counts as time. Its place among the ways.
    fn best_way(&mut self, cx: &Cx<'_>, links: &BTreeMap<LinkId, LinkEntry>) -> Result<usize, Wake> {
        if let [way] = self.ways.as_mut_slice() {
            // Most peers have one: nothing is to be compared.
            return only_way(cx, way, links).map(|()| 0);
        }
        let by_speed =
            |way: &Way| (owes(cx, way), way.path.rtt() + cost_of(links, way).mul_ratio(2, 1), way.id);
        let direct = self.has_direct_way();
        let may = |way: &&mut Way| way.is_usable() && (way.link != LinkId::MESH || !direct);
        let usable = self.ways.iter().enumerate().filter(|(_, way)| way.is_usable());
        let (fastest, _) = usable.min_by_key(|(_, way)| by_speed(way)).ok_or(Wake::Idle)?;
        let mut wake = Wake::Idle;
        let mut best: Option<usize> = None;
        for at in 0..self.ways.len() {
            let Some(way) = self.ways.get_mut(at).filter(may) else { continue };
            if !links.contains_key(&way.link) {
                continue;
            }
            let packet = way.path.packet_bytes();
            let allowed = way.path.may_send(cx.now, packet);
            if !allowed.is_due(cx.now) {
                wake = wake.min(allowed);
            } else if let Err(later) = free(cx, links, way.link) {
                wake = wake.min(later);
            } else if self.is_worth_it(links, at, fastest, packet)
                && best
                    .and_then(|best| self.ways.get(best))
                    .is_none_or(|best| self.ways.get(at).is_some_and(|way| by_speed(way) < by_speed(best)))
            {
                best = Some(at);
            }
        }
        best.ok_or(wake)
    }

    /// Whether the peer can be reached without others. What carries packets for others never goes over others itself.
    pub(super) fn has_direct_way(&self) -> bool {
        self.ways.iter().any(|way| way.is_usable() && way.link != LinkId::MESH)
    }

    fn is_worth_it(
        &self,
        links: &BTreeMap<LinkId, LinkEntry>,
        at: usize,
        fastest: usize,
        packet_bytes: usize,
    ) -> bool {
        let (Some(way), Some(fast)) = (self.ways.get(at), self.ways.get(fastest)) else { return false };
        let (_, backlog) = self.outbox.held();
        let dearer = cost_of(links, way).saturating_sub(cost_of(links, fast));
        at == fastest || worth_the_slow_way(backlog, &fast.path, &way.path, packet_bytes as u64, dearer)
    }

    fn intent(&self, cx: &Cx<'_>, peer: PeerSlot, way: &Way, wish: &Wish<'_>) -> Intent {
        let Wish { purpose, link, addr, info, congestion_allows } = *wish;
        let most = u32::from(info.mtu).min(self.params.packet_bytes).min(cx.limits.packet_bytes) as usize;
        let question =
            way.path.size_question(cx.now, self.params.packet_bytes).filter(|_| purpose == Purpose::Size);
        let max = most.min(question.unwrap_or_else(|| way.path.packet_bytes()));
        let allowance = match (purpose, &way.echo) {
            (Purpose::Echo, Some(echo)) => way.echo_allowance(echo),
            (Purpose::Echo | Purpose::Challenge | Purpose::Size | Purpose::Traffic, _) => {
                way.allowance(link, addr)
            }
        };
        Intent {
            peer,
            path: way.id,
            link,
            addr,
            max_len: max.min(allowance),
            largest_acked: way.path.largest_acked(),
            segments: if purpose == Purpose::Traffic { info.segments } else { 1 },
            purpose,
            congestion_allows,
        }
    }

    /// Writes one packet. Returns the last store request that it depends on.
    fn write(
        &mut self,
        cx: &mut Cx<'_>,
        sending: &mut Budget,
        intent: &Intent,
        room: usize,
        writer: &mut Writer<'_>,
        pieces: &mut Vec<Piece>,
    ) -> Option<StoreToken> {
        let direct = self.has_direct_way();
        let Peer { ways, outbox, inbox, .. } = self;
        let way = ways.iter_mut().find(|way| way.id == intent.path)?;
        let carries = way.link != LinkId::MESH || !direct;
        match intent.purpose {
            Purpose::Echo => {
                pieces.extend(way.write_echo(writer));
                return None;
            }
            Purpose::Challenge => {
                pieces.extend(way.write_challenge(cx, intent.max_len, writer));
                return None;
            }
            Purpose::Size => {
                pieces.extend(way.write_size_question(intent.max_len, writer));
                return None;
            }
            Purpose::Traffic => {}
        }
        if way.path.ack_pending() {
            // What asks the peer to confirm an ACK of many ranges has to be in its packet: before it.
            let confirm = way.path.wants_probe() && way.path.ack_may_fill(writer.room());
            if confirm && frame::write_ping(writer).is_ok() {
                pieces.push(Piece::Ping);
            }
            pieces.extend(way.path.write_ack(cx.now, way.id, writer));
        }
        let mut said = false;
        let allowed = intent.congestion_allows || way.path.may_send(cx.now, intent.max_len).is_due(cx.now);
        if way.is_usable() && allowed && carries {
            let info = PathInfo {
                loss_ppm: way.path.loss_ppm(),
                srtt: way.path.rtt().max(LEAST_RTT),
                room,
                spare: way.path.spare(cx.now),
            };
            let mut sink = |piece| pieces.push(piece);
            let repeat = !writer.is_empty() || !outbox.has_bulk();
            said = inbox.fill(writer, &info, false, &mut sink);
            let due_len = writer.len();
            if repeat && !said {
                said = inbox.fill(writer, &info, true, &mut sink);
            }
            let wrote = outbox.fill(cx, sending, writer, &info, &mut sink).wrote;
            if due_len == 0 && !wrote {
                // What was said before is said again only in a packet that leaves anyway: one made for
                // it would be followed by another, as long as messages wait that cannot be sent.
                writer.truncate(0);
                pieces.clear();
                said = false;
            }
        }
        if way.path.wants_probe() && !pieces.iter().any(Piece::is_eliciting) {
            pieces.extend(way.write_ping(intent.max_len, writer));
        }
        if said { inbox.unstored_promise().map(StoreToken::Inbox) } else { None }
    }
}

/// Whether the only way to a peer may carry something now; otherwise when to ask again.
fn only_way(cx: &Cx<'_>, way: &mut Way, links: &BTreeMap<LinkId, LinkEntry>) -> Result<(), Wake> {
    if !way.is_usable() || !links.contains_key(&way.link) {
        return Err(Wake::Idle);
    }
    match way.path.may_send(cx.now, way.path.packet_bytes()) {
        wake if wake.is_due(cx.now) => free(cx, links, way.link).map(|_| ()),
        later => Err(later),
    }
}

/// A way that owes an answer for two round trips and the longest delay of an acknowledgement comes after
/// every other: it may have died, and what was lost on it should not follow.
fn owes(cx: &Cx<'_>, way: &Way) -> bool {
    way.path.silent_for(cx.now) > way.path.rtt().mul_ratio(2, 1) + ANSWER_DELAY
}

/// What the way's link costs, as time.
fn cost_of(links: &BTreeMap<LinkId, LinkEntry>, way: &Way) -> Duration {
    Duration::from_millis(links.get(&way.link).map_or(0, |entry| u64::from(entry.info.cost)))
}

/// What a way has to say of itself now: echoes, challenges, acknowledgements, probes; its peer takes packets of so
/// many bytes.
fn way_wants(cx: &Cx<'_>, way: &Way, packet_bytes: u32) -> Option<(Purpose, LinkId, Addr)> {
    if let Some(Echo { link, addr, .. }) = way.due_echo() {
        return Some((Purpose::Echo, link, addr));
    }
    if let Some(challenge) = &way.challenge
        && challenge.is_due(cx.now)
    {
        return Some((Purpose::Challenge, challenge.link, challenge.addr));
    }
    let answers = way.may_answer() && way.path.ack_due(cx.now);
    if answers || (way.proved && way.path.wants_probe()) {
        return Some((Purpose::Traffic, way.link, way.addr));
    }
    let asks = way.is_usable() && way.path.size_question(cx.now, packet_bytes).is_some();
    asks.then_some((Purpose::Size, way.link, way.addr))
}

/// The link, if it can take a packet now; otherwise when it can.
fn free<'a>(
    cx: &Cx<'_>,
    links: &'a BTreeMap<LinkId, LinkEntry>,
    link: LinkId,
) -> Result<&'a LinkEntry, Wake> {
    let entry = links.get(&link).ok_or(Wake::Idle)?;
    if let Some(air) = &entry.air {
        let opens = air.opens();
        return if opens.is_due(cx.now) { Ok(entry) } else { Err(opens) };
    }
    let opens: Instant = entry.free_at - LINK_LEAD;
    if opens > cx.now { Err(Wake::At(opens, Reason::Pacing)) } else { Ok(entry) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drops::Drops;
    use crate::ids::NodeId;
    use crate::limits::Limits;
    use crate::link::paths::tests::CABLE;
    use crate::rng::Rng;
    use crate::zoo::Zoo;

    /// What has to be acknowledged grows smaller when the peer confirms a packet with the ACK; one that confirms another
    /// packet says nothing, and two sides that ask each other would ask for ever.
    #[test]
    fn an_acknowledgement_of_many_ranges_is_confirmed() {
        let (mut rng, mut drops) = (Rng::fork(&[1; 32], "test"), Drops::default());
        let (limits, now) = (&Limits::SMALL, Instant::from_micros(1_000_000));
        let cx = &mut Cx { now, rng: &mut rng, limits, drops: &mut drops, zoo: Zoo::none() };
        let mut sending = Budget::for_sending(limits);
        let mut peer = Peer::new(limits, NodeId([1; 32]), 0);
        peer.way_opened_by_peer(cx, PathId(1), LinkId(0), Addr::ANY, &CABLE);
        let way = peer.way_mut(PathId(1)).unwrap();
        (way.proved, way.challenge) = (true, None);
        cx.now = now + Duration::from_secs(5);
        for number in 0..100 {
            way.path.on_received(cx.now, 2 * number, true);
        }
        assert!(way.path.wants_probe());
        let intent = Intent {
            peer: PeerSlot(0),
            path: PathId(1),
            link: LinkId(0),
            addr: Addr::ANY,
            max_len: 132,
            largest_acked: None,
            segments: 1,
            purpose: Purpose::Traffic,
            congestion_allows: true,
        };
        let (mut buf, mut pieces) = ([0; 132 - PACKET_OVERHEAD], Vec::new());
        let mut writer = Writer::new(&mut buf);
        peer.write(cx, &mut sending, &intent, 100, &mut writer, &mut pieces);
        assert!(writer.room() < 4, "the ACK fills the packet");
        assert!(matches!(pieces.as_slice(), [Piece::Ping, Piece::Ack { .. }]), "{pieces:?}");
    }
}
