//! How a packet goes on: by the map, round what is broken, until the next one has it.

use bytes::{Buf as _, Bytes};

use super::afar::notice::Notice;
use super::custody::{Alarm, Custody, Packet, Sent};
use super::detour::Avoided;
use super::message::{Afar, Broken, Head};
use super::neighbour::Neighbour;
use super::{Action, Moved, Routing};
use crate::drops::Drop;
use crate::identity::Checker;
use crate::ids::{PeerSlot, RouterId};
use crate::machine::Cx;
use crate::node::input::Class;
use crate::time::{Duration, Instant};
use crate::zoo::Bug;

/// Routers on the longest way. The diameter of a square grid of 10,000 is 198.
const MOST_HOPS: u8 = 255;
/// How long to wait for a neighbour of which nothing was measured.
const UNMEASURED: Duration = Duration::from_millis(500);

impl Moved {
    fn given(packet: &Packet, next: RouterId, first: bool) -> Moved {
        let Head { to, from, hops, .. } = packet.head;
        Moved { from, to, name: packet.name(), hops: MOST_HOPS - hops, first, next: Some(next) }
    }

    fn delivered(head: &Head, packet: &[u8]) -> Moved {
        let hops = (MOST_HOPS - head.hops).saturating_add(1);
        Moved { from: head.from, to: head.to, name: head.name(packet), hops, first: true, next: None }
    }
}

impl Routing {
    pub(super) fn send(
        &mut self,
        cx: &mut Cx<'_>,
        (to, home): (RouterId, Option<RouterId>),
        class: Class,
        payload: Bytes,
    ) {
        let afar = Afar { to: home, from: self.home(), is_notice: false };
        self.send_packet(cx, (to, afar), class, payload);
    }

    fn send_packet(&mut self, cx: &mut Cx<'_>, (to, afar): (RouterId, Afar), class: Class, payload: Bytes) {
        let from = self.own.router;
        self.next_id = self.next_id.wrapping_add(1);
        let id = Head::needs_id(&payload).then_some(self.next_id);
        // Whom to avoid is known of those who are on the map.
        let avoid = if afar.to.is_none() { self.avoided(cx.now, to) } else { alloc::vec::Vec::new() };
        let head = Head { to, from, id, hops: MOST_HOPS, class, broken: alloc::vec::Vec::new(), avoid, afar };
        self.take_over(cx, None, head, (payload, 0));
    }

    /// Something for another router itself, however far that is.
    pub(super) fn send_notice(
        &mut self,
        cx: &mut Cx<'_>,
        (to, home): (RouterId, Option<RouterId>),
        notice: Bytes,
    ) {
        let afar = Afar { to: home, from: self.home(), is_notice: true };
        self.send_packet(cx, (to, afar), Class::High, notice);
    }

    /// A packet from a neighbour, the end of a message from `start` on: ours, or to be passed on.
    pub(super) fn data(
        &mut self,
        cx: &mut Cx<'_>,
        peer: PeerSlot,
        head: Head,
        (mut message, start): (Bytes, usize),
        checker: &Checker<'_>,
    ) {
        if head.to == self.own.router {
            message.advance(start.min(message.len()));
            self.other_end_avoids(cx.now, head.from, &head.avoid);
            self.note(cx, Moved::delivered(&head, &message));
            let home = head.afar.from.filter(|_| !self.database.leads_to(head.from));
            if head.afar.is_notice {
                self.noticed(cx, (head.from, home), &message, checker);
            } else {
                self.actions.push_back(Action::Deliver { from: head.from, home, payload: message });
            }
            return;
        }
        if self.swallows {
            return;
        }
        let Some(hops) = head.hops.checked_sub(1) else {
            cx.drops.count(Drop::HopLimit);
            return;
        };
        let hops = if cx.zoo.has(Bug::HopUncounted) { head.hops } else { hops };
        self.take_over(cx, Some(peer), Head { hops, ..head }, (message, start));
    }

    fn take_over(&mut self, cx: &mut Cx<'_>, from: Option<PeerSlot>, head: Head, message: (Bytes, usize)) {
        match self.custody.take(cx.now, cx.limits, head, message, from) {
            Some(id) => self.dispatch(cx, id),
            None => cx.drops.count(Drop::CustodyFull),
        }
    }

    /// Gives a packet to the next router, if there is one that it was not given to.
    fn dispatch(&mut self, cx: &mut Cx<'_>, id: u64) {
        match self.exit(cx.now, id) {
            Some((peer, router)) => self.give(cx, id, peer, router),
            // Better by somebody who may swallow it than not at all.
            None if self.custody.avoid_nobody(id) => self.dispatch(cx, id),
            None if self.is_astray(id) => self.turn_away(cx, id),
            None if self.is_cut_off(id) => self.custody.park(id),
            None => self.custody.wait(cx.now, id),
        }
    }

    /// Whether a packet asks this landmark for somebody whom it does not keep.
    fn is_astray(&self, id: u64) -> bool {
        self.custody.get(id).is_some_and(|packet| {
            packet.head.afar.to == Some(self.own.router) && self.database.known(packet.head.to).is_none()
        })
    }

    /// A packet goes no further: its source is told to look for the destination again.
    fn turn_away(&mut self, cx: &mut Cx<'_>, id: u64) {
        let Some(packet) = self.custody.get(id) else { return };
        let Head { to, from, afar, .. } = packet.head;
        self.custody.drop(id);
        cx.drops.count(Drop::Astray);
        if from == self.own.router {
            self.actions.push_back(Action::Astray { router: to });
        } else if !afar.is_notice {
            self.send_notice(cx, (from, afar.from), Notice::Astray { to }.to_bytes());
        }
    }

    /// Whether a packet has no exit though none was tried in vain.
    fn is_cut_off(&self, id: u64) -> bool {
        self.custody.get(id).is_some_and(|packet| packet.head.broken.is_empty())
            && self.custody.tried(id).is_empty()
    }

    fn give(&mut self, cx: &mut Cx<'_>, id: u64, peer: PeerSlot, router: RouterId) {
        let tag = Custody::tag_of(id, self.tag());
        let patience = self.patience(peer);
        let sent = Sent { peer, router, tag, place: None };
        let (own, first) = (self.own.router, self.custody.get(id).is_some_and(|packet| !packet.given));
        let Some(payload) = self.custody.give((cx.now, cx.limits), own, id, sent, patience) else { return };
        let Some(packet) = self.custody.get(id) else { return };
        let (class, moved) = (packet.head.class, Moved::given(packet, router, first));
        self.note(cx, moved);
        self.actions.push_back(Action::Send { peer, tag, class, payload });
    }

    /// Keeps what a packet did until the next turn, if there is room.
    fn note(&mut self, cx: &Cx<'_>, moved: Moved) {
        if self.moved.len() < cx.limits.moves() {
            self.moved.push(moved);
        }
    }

    fn patience(&self, peer: PeerSlot) -> Duration {
        let quality = self.neighbours.get(&peer).and_then(Neighbour::quality);
        quality.map_or(UNMEASURED, |quality| quality.patience())
    }

    /// The neighbour by which a packet leaves: the first on the shortest way without what is broken and what was tried.
    fn exit(&mut self, now: Instant, id: u64) -> Option<(PeerSlot, RouterId)> {
        self.look_at_map(now);
        let packet = self.custody.get(id)?;
        let (graph, tree) = self.map.as_ref()?;
        let (to, broken, mut tried) = (packet.head.to, &packet.head.broken, self.custody.tried(id));
        if self.zoo.has(Bug::TrailLost) {
            tried.clear();
        }
        let other;
        let tree = if broken.is_empty() && tried.is_empty() && packet.head.avoid.is_empty() {
            tree
        } else {
            let is_avoided = |router| router != to && packet.head.avoid.contains(&Avoided::router(router));
            other = graph.tree_round(broken, &tried, is_avoided);
            &other
        };
        let home = packet.head.afar.to.filter(|&home| home != self.own.router);
        let near = graph.first_hop(tree, to).or_else(|| graph.first_hop(tree, home?));
        match (near, home) {
            (Some(next), _) => Some((*self.by_router.get(&next)?, next)),
            (None, Some(home)) => self.exit_to_landmark(home, broken, &tried),
            (None, None) => None,
        }
    }

    /// The neighbour by which a packet leaves for a landmark that is not on the map.
    fn exit_to_landmark(
        &self,
        landmark: RouterId,
        broken: &[Broken],
        tried: &[RouterId],
    ) -> Option<(PeerSlot, RouterId)> {
        let exits = self.large.landmarks.exits(landmark, |peer| self.cost_to(peer));
        let named = exits.into_iter().filter_map(|peer| Some((peer, self.neighbours.get(&peer)?.router)));
        let is_open = |router: RouterId| {
            !tried.contains(&router) && !broken.contains(&Broken::between(self.own.router, router))
        };
        named.into_iter().find(|&(_, router)| is_open(router))
    }

    /// What became of the message with a packet.
    pub(super) fn carried_on(&mut self, cx: &mut Cx<'_>, id: u64, arrived: bool) {
        if arrived {
            self.custody.drop(id);
        } else if let Some(sent) = self.custody.get(id).and_then(|packet| packet.sent) {
            self.custody.shun(cx.now, cx.limits, id, sent.router);
            self.custody.mark_broken(self.own.router, id, sent.router);
            self.dispatch(cx, id);
        }
    }

    /// A neighbour cannot be reached: what it was given and has not taken goes another way.
    pub(super) fn take_back(&mut self, cx: &mut Cx<'_>, peer: PeerSlot) {
        for id in self.custody.given_to(peer) {
            let Some(sent) = self.custody.get(id).and_then(|packet| packet.sent) else { continue };
            self.withdraw(sent);
            self.custody.shun(cx.now, cx.limits, id, sent.router);
            self.custody.mark_broken(self.own.router, id, sent.router);
            self.dispatch(cx, id);
        }
    }

    fn withdraw(&mut self, sent: Sent) {
        let Sent { peer, tag, place, .. } = sent;
        self.actions.push_back(Action::Withdraw { peer, tag, place });
    }

    /// The link has taken the message with this number and keeps it in this place until it is settled.
    pub fn placed(&mut self, tag: u64, place: u32) {
        self.custody.placed(tag, place);
    }

    pub(super) fn custody_wake(&mut self, cx: &mut Cx<'_>) {
        // Every arm moves the alarm into the future or drops the packet.
        while let Some((id, alarm)) = self.custody.due(cx.now) {
            match alarm {
                Alarm::Expired => {
                    if let Some(sent) = self.custody.get(id).and_then(|packet| packet.sent) {
                        self.withdraw(sent);
                    }
                    self.custody.drop(id);
                    cx.drops.count(Drop::Expired);
                }
                Alarm::Waiting => {
                    self.custody.new_round(id);
                    self.dispatch(cx, id);
                }
                Alarm::Slow(sent) => self.go_round(cx, id, sent),
            }
        }
    }

    /// A neighbour takes its time. If there is another way the packet takes it; otherwise it waits on.
    fn go_round(&mut self, cx: &mut Cx<'_>, id: u64, sent: Sent) {
        self.custody.shun(cx.now, cx.limits, id, sent.router);
        match self.exit(cx.now, id) {
            Some((peer, router)) => {
                self.withdraw(sent);
                self.custody.mark_broken(self.own.router, id, sent.router);
                self.give(cx, id, peer, router);
            }
            None => {
                let patience = self.patience(sent.peer);
                self.custody.be_patient(cx.now, id, patience);
            }
        }
    }
}
