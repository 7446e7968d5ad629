//! Everything between us and one peer: what waits to be sent, what has come in part, and the ways.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;

use crate::ids::{Addr, DeviceId, LinkId, NodeId, PathId};
use crate::limits::Limits;
use crate::link::LinkEntry;
use crate::link::messages::{Budget, Inbox, InboxAction, Outbox, OutboxAction};
use crate::link::path::Path;
use crate::link::paths::{Challenge, Way};
use crate::link::transmit::PACKET_OVERHEAD;
use crate::machine::Cx;
use crate::node::input::{Class, Delivery, LinkInfo};
use crate::node::output::Outcome;
use crate::node::output::{PathStatus, PeerStatus};
use crate::params::PeerParams;
use crate::store::record::Record;
use crate::time::Instant;
use crate::wake::{Reason, Wake};

/// One peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) node: NodeId,
    /// Whether the paths we open have even (0) or odd (1) numbers.
    parity: u8,
    /// A session is established, so packets can be sealed.
    pub(super) up: bool,
    pub(super) params: PeerParams,
    pub(super) outbox: Outbox,
    pub(super) inbox: Inbox,
    pub(super) ways: Vec<Way>,
    /// It is on the list of peers that may have something to send.
    pub(super) queued: bool,
    /// It is on the list of peers that may have actions to take.
    pub(super) talking: bool,
    /// It said goodbye.
    pub(super) closed: bool,
    /// When something authentic last arrived.
    last_heard: Instant,
    /// The silence was reported and nothing was heard since.
    silence_reported: bool,
    changes: VecDeque<Said>,
}

/// Which half of a peer asked for a record, and its own number for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StoreToken {
    Outbox(u64),
    Inbox(u64),
}

/// What one peer's halves want done.
#[derive(Debug)]
pub(super) enum Said {
    Deliver { delivery: Delivery, seq: u64, again: bool, payload: Bytes },
    Receipt { tag: u64, outcome: Outcome },
    ForRouting { payload: Bytes },
    Settled { tag: u64, arrived: bool },
    Waits { seq: u64, class: Class },
    Ended { seq: u64 },
    Store { record: Record, token: StoreToken },
    Path { link: LinkId, up: bool },
    Silent,
    Closed,
}

impl Peer {
    pub(super) fn new(limits: &Limits, node: NodeId, parity: u8) -> Peer {
        Peer {
            node,
            parity,
            up: false,
            params: limits.params(),
            outbox: Outbox::new(node),
            inbox: Inbox::new(node),
            ways: Vec::new(),
            queued: false,
            talking: false,
            closed: false,
            last_heard: Instant::ZERO,
            silence_reported: false,
            changes: VecDeque::new(),
        }
    }

    /// Takes over what was on disk. Only for a peer that has neither sent nor received yet.
    pub(super) fn recover(
        &mut self,
        cx: &mut Cx<'_>,
        sending: &mut Budget,
        receiving: &mut Budget,
        records: Vec<Record>,
    ) {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for record in records {
            match record {
                Record::Outgoing { .. } | Record::Sequence { .. } => ours.push(record),
                Record::Incoming { .. } | Record::Window { .. } => theirs.push(record),
                Record::Boot { .. }
                | Record::Peer { .. }
                | Record::Statement { .. }
                | Record::Bundle { .. }
                | Record::Erased { .. } => {}
            }
        }
        self.outbox = Outbox::recover(cx, sending, self.node, ours);
        self.inbox = Inbox::recover(cx.limits, receiving, self.node, theirs);
    }

    /// A session is up over this way, new or with new keys.
    pub(super) fn established(
        &mut self,
        cx: &mut Cx<'_>,
        receiving: &mut Budget,
        device: DeviceId,
        params: PeerParams,
    ) {
        self.up = true;
        self.closed = false;
        self.params = PeerParams {
            // Repair symbols need both: one to make them, one to use them.
            fountain: params.fountain && cx.limits.params().fountain,
            // However much the peer remembers, this node keeps account of its own messages within its limits.
            message_window: params.message_window.min(cx.limits.message_window),
            ..params
        };
        self.outbox.connected(self.params);
        self.inbox.connected(receiving, device);
        self.heard(cx.now);
    }

    /// The handshake went this way: it works.
    pub(super) fn proved(&mut self, cx: &mut Cx<'_>, link: LinkId, addr: Addr, info: &LinkInfo) {
        let tested = |way: &Way| way.challenge.as_ref().is_some_and(|test| test.is_for(link, addr));
        let is_known =
            |way: &&mut Way| (way.link, way.addr) == (link, addr) || tested(way) && way.may_lead_to(link);
        if let Some(way) = self.ways.iter_mut().find(is_known) {
            way.lead_to(cx, link, addr, info);
            way.challenge = None;
            way.path.revive(cx.now);
        } else if self.first_way_is_nowhere(link) {
            self.lead_first_way(cx, link, addr, info);
        } else if !self.has_way(PathId(0)) && self.make_room(cx.limits, |_| true) {
            let mut way = Way::new(cx, PathId(0), link, addr, info);
            way.proved = true;
            way.challenge = None;
            self.add_way(way);
        } else {
            self.open_way(cx, link, addr, info);
            let is_there = |way: &Way| way.is_usable() || (way.link, way.addr) == (link, addr);
            if !self.ways.iter().any(is_there) {
                self.lead_first_way(cx, link, addr, info);
            }
        }
        self.note_ways();
    }

    /// Path 0 may go where a handshake went over this link: it is proved nowhere yet, though some packet came from elsewhere.
    fn first_way_is_nowhere(&mut self, link: LinkId) -> bool {
        self.way_mut(PathId(0)).is_some_and(|way| {
            let on_credit = way.challenge.as_ref().is_some_and(Challenge::is_on_credit);
            !way.proved && (way.link == link || on_credit)
        })
    }

    fn lead_first_way(&mut self, cx: &Cx<'_>, link: LinkId, addr: Addr, info: &LinkInfo) {
        let Some(way) = self.way_mut(PathId(0)) else { return };
        // An address that its packets came from is tested on: the peer may have moved.
        way.challenge.take_if(|test| !test.is_on_credit());
        way.lead_to(cx, link, addr, info);
        way.path.revive(cx.now);
    }

    /// The peer came back with a new memory: packet numbers and ordinary messages start again.
    pub(super) fn restarted(&mut self, sending: &mut Budget, receiving: &mut Budget) {
        self.ways.clear();
        self.outbox.peer_restarted(sending);
        self.inbox.peer_restarted(receiving);
    }

    /// Whatever was in flight will never be acknowledged.
    pub(super) fn lose_everything_in_flight(&mut self, cx: &mut Cx<'_>, sending: &mut Budget) {
        let Peer { ways, outbox, inbox, .. } = self;
        for way in ways {
            way.path.abandon(cx.now, &mut |piece, fate| {
                outbox.on_fate(cx, sending, piece, fate);
                inbox.on_fate(piece, fate);
            });
        }
    }

    /// The peer was removed: everything ends but the numbers of durable messages.
    pub(super) fn cancel(&mut self, sending: &mut Budget, receiving: &mut Budget) {
        self.outbox.cancel(sending);
        self.leave_slot(receiving);
    }

    /// The peer made room for another: as after [`Peer::cancel`], but durable messages wait for it.
    pub(super) fn set_aside(&mut self, sending: &mut Budget, receiving: &mut Budget) {
        self.outbox.set_aside(sending);
        self.leave_slot(receiving);
    }

    fn leave_slot(&mut self, receiving: &mut Budget) {
        self.inbox.cancel(receiving);
        self.ways = Vec::new();
        self.inbox.wanted = false;
        (self.up, self.queued, self.talking) = (false, false, false);
    }

    /// Durable messages were exchanged with this node: both sides have to go on with their numbers.
    pub(super) fn has_correspondence(&self) -> bool {
        self.outbox.has_correspondent() || self.inbox.has_correspondent()
    }

    pub(super) fn stored(&mut self, cx: &mut Cx<'_>, receiving: &mut Budget, token: StoreToken) {
        match token {
            StoreToken::Outbox(slot) => self.outbox.on_stored(slot),
            StoreToken::Inbox(slot) => self.inbox.on_stored(cx, receiving, slot),
        }
    }

    pub(super) fn store_failed(&mut self, sending: &mut Budget, receiving: &mut Budget) {
        self.outbox.on_store_failed(sending);
        self.inbox.on_store_failed(receiving);
    }

    pub(super) fn heard(&mut self, now: Instant) {
        self.last_heard = now;
        self.silence_reported = false;
    }

    pub(super) fn way_mut(&mut self, id: PathId) -> Option<&mut Way> {
        self.ways.iter_mut().find(|way| way.id == id)
    }

    pub(super) fn has_way(&self, id: PathId) -> bool {
        self.ways.iter().any(|way| way.id == id)
    }

    /// Opens a way of our own and challenges its address.
    pub(super) fn open_way(&mut self, cx: &mut Cx<'_>, link: LinkId, addr: Addr, info: &LinkInfo) {
        let known = self.ways.iter().any(|way| (way.link, way.addr) == (link, addr));
        // The place of path 0 is the peer's to open, when it was not proved by the handshake.
        let last = !self.has_way(PathId(0)) && self.ways.len() + 1 >= usize::from(cx.limits.paths_per_peer);
        if known || last {
            return;
        }
        // Even and odd numbers apart: two ways opened at once never share one.
        let (parity, now) = (self.parity, cx.now);
        let mut own = (1..PathId::COUNT as u8).filter(|id| id % 2 == parity).map(PathId);
        // One that was not asked yet is not given up for the next.
        let id = match own.find(|&id| !self.has_way(id)) {
            Some(free) => self.make_room(cx.limits, |way| way.is_tried(now)).then_some(free),
            None => self.give_up(|way| way.id.0 % 2 == parity && way.is_tried(now)),
        };
        if let Some(id) = id {
            let way = Way::new(cx, id, link, addr, info);
            self.add_way(way);
        }
    }

    /// The peer sent over a path we did not know.
    pub(super) fn way_opened_by_peer(
        &mut self,
        cx: &mut Cx<'_>,
        id: PathId,
        link: LinkId,
        from: Addr,
        info: &LinkInfo,
    ) {
        let now = cx.now;
        if self.make_room(cx.limits, |way| way.is_tried(now)) || self.make_room(cx.limits, |_| true) {
            let mut way = Way::new(cx, id, link, from, info);
            way.known = false;
            way.challenge = Some(Challenge::on_credit(cx, link, from, 0));
            self.add_way(way);
        }
    }

    /// Most peers have one way, and a way is nearly a kilobyte: room for four would be the most of what
    /// an idle peer costs.
    fn add_way(&mut self, way: Way) {
        self.ways.reserve_exact(1);
        self.ways.push(way);
    }

    /// Room for one more way; one that does not work, and `may` go, makes place if need be.
    fn make_room(&mut self, limits: &Limits, may: impl FnMut(&Way) -> bool) -> bool {
        self.ways.len() < usize::from(limits.paths_per_peer) || self.give_up(may).is_some()
    }

    /// Gives up a way that does not work, and whose number may be used for another. Path 0 stays: its packet numbers
    /// are those of the handshake's association.
    fn give_up(&mut self, mut may: impl FnMut(&Way) -> bool) -> Option<PathId> {
        let mut left = |way: &Way| way.id != PathId(0) && may(way) && !way.is_usable() && way.path.is_idle();
        let at = self.ways.iter().position(&mut left)?;
        Some(self.ways.swap_remove(at).id)
    }

    /// The echo of `token` came from there, over a link with these properties.
    pub(super) fn echoed(&mut self, cx: &Cx<'_>, token: [u8; 8], from: (LinkId, Addr), info: &LinkInfo) {
        for way in &mut self.ways {
            way.echoed(cx, token, from, info);
        }
        self.note_ways();
    }

    pub(super) fn link_changed(&mut self, cx: &mut Cx<'_>, link: LinkId, info: &LinkInfo) {
        for way in self.ways.iter_mut().filter(|way| way.link == link) {
            way.path.link_changed(info, cx.limits);
            way.link_is_back(cx);
        }
    }

    /// The link is gone: what was on it goes another way.
    pub(super) fn link_lost(&mut self, cx: &mut Cx<'_>, sending: &mut Budget, link: LinkId) {
        let Peer { ways, outbox, inbox, .. } = self;
        for way in ways {
            if way.link == link {
                way.path.abandon(cx.now, &mut |piece, fate| {
                    outbox.on_fate(cx, sending, piece, fate);
                    inbox.on_fate(piece, fate);
                });
            }
            way.link_lost(cx, link);
        }
        self.note_ways();
    }

    pub(super) fn wake(&mut self, cx: &mut Cx<'_>, sending: &mut Budget, receiving: &mut Budget) {
        let now = cx.now;
        let Peer { ways, outbox, inbox, .. } = self;
        for way in ways {
            way.path.on_timeout(now, &mut |piece, fate| {
                outbox.on_fate(cx, sending, piece, fate);
                inbox.on_fate(piece, fate);
            });
        }
        self.outbox.wake(cx, sending);
        self.inbox.wake(cx, receiving);
        if self.up && !self.silence_reported && self.silence_ends(cx.limits) <= now {
            self.silence_reported = true;
            self.changes.push_back(Said::Silent);
        }
        self.note_ways();
    }

    fn silence_ends(&self, limits: &Limits) -> Instant {
        self.last_heard + limits.session_idle
    }

    /// Tells the application which ways started or stopped to work.
    fn note_ways(&mut self) {
        for way in &mut self.ways {
            let up = way.is_usable();
            if up != way.reported_up {
                way.reported_up = up;
                self.changes.push_back(Said::Path { link: way.link, up });
            }
        }
    }

    /// Whether [`Peer::poll`] has anything to give or to tidy up.
    pub(super) fn has_actions(&self) -> bool {
        self.closed || !self.changes.is_empty() || self.outbox.has_actions() || self.inbox.has_actions()
    }

    /// The next thing to be done, said or stored.
    pub(super) fn poll(&mut self) -> Option<Said> {
        if core::mem::take(&mut self.closed) {
            return Some(Said::Closed);
        }
        if let Some(change) = self.changes.pop_front() {
            if self.changes.is_empty() {
                // Changes are rare: between them nothing is kept for them.
                self.changes = VecDeque::new();
            }
            return Some(change);
        }
        if let Some(action) = self.outbox.poll() {
            return Some(match action {
                OutboxAction::Receipt { tag, outcome } => Said::Receipt { tag, outcome },
                OutboxAction::Settled { tag, arrived } => Said::Settled { tag, arrived },
                OutboxAction::Waits { seq, class } => Said::Waits { seq, class },
                OutboxAction::Ended { seq } => Said::Ended { seq },
                OutboxAction::Store { slot, record } => {
                    Said::Store { record, token: StoreToken::Outbox(slot) }
                }
            });
        }
        self.inbox.poll().map(|action| match action {
            InboxAction::Deliver { delivery, seq, again, payload } => {
                Said::Deliver { delivery, seq, again, payload }
            }
            InboxAction::ForRouting { payload } => Said::ForRouting { payload },
            InboxAction::Store { slot, record } => Said::Store { record, token: StoreToken::Inbox(slot) },
        })
    }

    pub(super) fn next_wake(&self, cx: &Cx<'_>) -> Wake {
        let mut wake = self.timers(cx);
        if self.up {
            for way in &self.ways {
                wake = wake.min(way.next_wake());
            }
        }
        wake
    }

    /// When messages expire or are asked after, parts of them are given up, or the silence is too long.
    pub(super) fn timers(&self, cx: &Cx<'_>) -> Wake {
        let wake = self.outbox.next_wake().min(self.inbox.next_wake());
        if self.up && !self.silence_reported {
            wake.min(Wake::At(self.silence_ends(cx.limits), Reason::SessionIdle))
        } else {
            wake
        }
    }

    /// Bytes for frames in a packet that surely fits every usable way; every proved one, while none is usable.
    pub(super) fn room(&self, limits: &Limits, links: &BTreeMap<LinkId, LinkEntry>) -> usize {
        let any = self.ways.iter().any(Way::is_usable);
        let usable = self.ways.iter().filter(|way| if any { way.is_usable() } else { way.proved });
        let size = |way: &Way| {
            links.get(&way.link).map(|link| u32::from(link.info.mtu).min(way.path.packet_bytes() as u32))
        };
        let mtu = usable.filter_map(size).min();
        let packet =
            mtu.unwrap_or(limits.packet_bytes).min(self.params.packet_bytes).min(limits.packet_bytes);
        (packet as usize).saturating_sub(PACKET_OVERHEAD)
    }

    pub(super) fn status(&self) -> PeerStatus {
        let (unsent_messages, unsent_bytes) = self.outbox.held();
        PeerStatus {
            node: Some(self.node),
            up: self.up,
            unsent_messages,
            unsent_bytes,
            held_bytes: self.inbox.held_bytes(),
            paths: self.ways.iter().map(path_status).collect(),
            ..PeerStatus::default()
        }
    }

    pub(super) fn check(&self, limits: &Limits) {
        self.outbox.check();
        self.inbox.check();
        assert!(self.ways.len() <= usize::from(limits.paths_per_peer), "more ways than allowed");
        for way in &self.ways {
            way.path.check();
            assert!(
                way.proved || way.challenge.is_some() || !self.up || !way.reported_up,
                "an unproved way is not up"
            );
        }
    }
}

fn path_status(way: &Way) -> PathStatus {
    PathStatus {
        link: way.link,
        addr: way.addr,
        up: way.is_usable(),
        rtt: way.path.is_measured().then(|| way.path.rtt()),
        loss_ppm: way.path.loss_ppm(),
        rate_bps: way.path.rate_bps(),
        packet_bytes: way.path.packet_bytes() as u32,
        sent_bytes: way.sent_bytes,
        received_bytes: way.received_bytes,
    }
}

impl Way {
    fn new(cx: &mut Cx<'_>, id: PathId, link: LinkId, addr: Addr, info: &LinkInfo) -> Way {
        Way {
            id,
            link,
            addr,
            path: Path::new(info, cx.limits, cx.now),
            proved: false,
            known: true,
            reported_up: false,
            challenge: Some(Challenge::new(cx, link, addr)),
            echo: None,
            sent_bytes: 0,
            last_sent: cx.now,
            received_bytes: 0,
        }
    }
}
