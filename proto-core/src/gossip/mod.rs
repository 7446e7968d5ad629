//! What all members are to hear, and who the members are.
//!
//! A village without a crier. Everybody has a few people with whom he talks (`hyparview`); news goes from mouth to mouth along a tree
//! that forms by itself, and in the evening all compare what they heard, so that nobody is left out (`plumtree`, `antientropy`). In the square one
//! calls out (`medium`). Each looks after those few: who falls silent is asked after, and struck off the list only when he
//! himself does not speak up (`swim`, `members`).
//!
//! Machine `Gossip`. HyParView, Plumtree, SWIM and Lifeguard; each file names its paper and where it departs from it. Two things were
//! weighed and refused. A Bloom filter of what was seen loses one fresh broadcast in a hundred; here each origin numbers its own, and
//! a window over the numbers is exact (`seen`). And one overlay a topic, as iroh-gossip has it, costs each topic its own
//! neighbours and its own repair; here one tree carries all topics, and a member is told of those that it asked for.
//!
//! Invariants: a broadcast is marked as seen, passed on and delivered only after its origin's signature was checked, and once; views hold at
//! most their seats, nobody twice, and not this device; what a member is owed is kept here; nobody but a member itself raises its incarnation, or
//! says that it has left. Messages: [`message`]. Durable records: none; numbers go on by the count of starts. Assumed of the others: messages
//! between members come over sessions, so their sender is who he says; a `Send` arrives once or is said not to have; a `Datagram`
//! may be lost. Payloads, and all that builds views and tree, are sent; probes and news are datagrams, since a link that repeats
//! hides the loss that a probe is to show. At its limits: members are refused for whom those who are gone make no room; the
//! oldest broadcasts go, those of their own origin first; words about payloads that nobody sent fill one member's part only.

mod antientropy;
mod border;
mod hyparview;
mod medium;
mod members;
pub mod message;
mod out;
mod plumtree;
mod relays;
mod seen;
pub mod signed;
mod swim;
pub mod update;

#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bytes::Bytes;

use crate::crypto::sign::SigningKey;
use crate::drops::Drop;
use crate::identity::LocalIdentity;
use crate::ids::{NetworkId, RouterId};
use crate::limits::Limits;
use crate::machine::{Cx, Machine};
use crate::time::{Duration, Instant};
use crate::wake::{Reason, Wake};
pub use border::{Action, Input, Keys, Refusal, What};
use hyparview::{Change, Views};
use medium::Media;
use members::Members;
pub use members::{Member, Standing, Suspicion};
use message::Message;
use out::Out;
use plumtree::Tree;
use seen::{Origins, Store};
use signed::{Announcement, BROADCAST_OVERHEAD, Broadcast, MessageId, Role, Topic};
use swim::Swim;

/// News is gathered for so long before all of the view are told, and as much again by chance.
const GATHER: Duration = Duration::from_millis(10);
/// How often what is over is forgotten.
const TIDY: Duration = Duration::from_secs(600);
/// Topics that may be asked for.
const MOST_TOPICS: usize = 256;
/// Bits of a broadcast's number, and of an incarnation, that count within one start.
const SEQUENCE_BITS: u32 = 30;
const INCARNATION_BITS: u32 = 16;

/// What this device says of itself.
#[derive(Debug)]
struct Own {
    router: RouterId,
    key: SigningKey,
    incarnation: u64,
    role: Role,
    capabilities: u64,
    leaving: bool,
}

/// Views, tree, members.
#[derive(Debug)]
pub struct Gossip {
    own: Own,
    network: NetworkId,
    views: Views,
    tree: Tree,
    media: Media,
    origins: Origins,
    store: Store,
    members: Members,
    swim: Swim,
    out: Out,
    topics: BTreeSet<Topic>,
    /// Broadcasts of ours that nobody has confirmed, with the application's tag.
    unconfirmed: BTreeMap<u64, u64>,
    /// Members that were asked for because of a claim, and when.
    wanted: BTreeMap<RouterId, Instant>,
    next_sequence: u64,
    flood_at: Option<Instant>,
    digest_at: Instant,
    tidy_at: Instant,
    checks: u64,
    /// Payloads that were new, and that were not.
    copies: (u64, u64),
}

impl Machine for Gossip {
    type Input<'a> = Input<'a>;
    type Action = Action;

    fn handle(&mut self, cx: &mut Cx<'_>, input: Input<'_>) {
        match input {
            Input::Broadcast { tag, topic, payload } => self.broadcast(cx, tag, topic, &payload),
            Input::Subscribe { topic } if self.topics.len() < MOST_TOPICS => {
                self.topics.insert(topic);
            }
            Input::Subscribe { .. } => cx.drops.count(Drop::QueueFull),
            Input::Unsubscribe { topic } => {
                self.topics.remove(&topic);
            }
            _ if self.own.leaving => {}
            Input::NeighbourUp { member, medium } => self.views.neighbour_up(cx, member, medium),
            Input::NeighbourDown { member } => {
                if self.views.neighbour_down(cx, member) {
                    self.lost_sight(cx, member);
                }
            }
            Input::Candidate { member } => self.views.candidate(cx, member),
            Input::Unreachable { member } => {
                if self.views.forget(cx.now, member) {
                    self.lost_sight(cx, member);
                }
            }
            Input::Message { from, payload, keys } => self.message(cx, from, &payload, keys),
            Input::Heard { medium, payload, keys } => self.heard(cx, medium, &payload, keys),
            Input::Settled { to, tag, arrived } => {
                self.views.settled(cx.now, to, tag, arrived);
                self.tree_settled(cx, to, tag, arrived);
            }
            Input::Join { contact } => self.views.join(cx, &mut self.out, contact),
            Input::Announce { role, capabilities } => {
                (self.own.role, self.own.capabilities) = (role, capabilities);
                self.announce_anew(cx);
            }
            Input::Leave => self.leave(cx),
        }
        self.settle(cx);
    }

    fn wake(&mut self, cx: &mut Cx<'_>) {
        if self.own.leaving {
            return;
        }
        self.views.wake(cx, &mut self.out);
        if core::mem::take(&mut self.views.starving)
            && let Some(member) = self.random_member(cx)
        {
            self.views.offer(cx, member);
        }
        self.call_due(cx);
        self.swim_wake(cx);
        if self.digest_at <= cx.now {
            self.digest_wake(cx);
        }
        if self.flood_at.is_some_and(|at| at <= cx.now) {
            self.flood_at = None;
            self.flood_news(cx);
        }
        while let Some(id) = self.store.pop_over(cx.now) {
            self.over(id);
        }
        if self.tidy_at <= cx.now {
            self.tidy_at = cx.now + TIDY;
            self.members.tidy(cx.now);
            self.origins.tidy(cx.now);
        }
        self.settle(cx);
    }

    fn next_wake(&self) -> Wake {
        if self.own.leaving {
            return Wake::Idle;
        }
        let at = |at: Option<Instant>, reason| at.map_or(Wake::Idle, |at| Wake::At(at, reason));
        let due = self.tree.next_due().map(|at| at.max(self.out.free_at()));
        at(due, Reason::Spread)
            .min(at(self.media.next_due(), Reason::Spread))
            .min(at(self.tree.next_graft(), Reason::Graft))
            .min(at(self.flood_at, Reason::Spread))
            .min(at(self.members.next_end(), Reason::Suspicion))
            .min(at(self.store.next_over(), Reason::Forget))
            .min(Wake::At(self.views.next_wake(), Reason::Shuffle))
            .min(Wake::At(self.swim.next_wake(), Reason::Probe))
            .min(Wake::At(self.digest_at, Reason::Digest))
            .min(Wake::At(self.tidy_at, Reason::Forget))
    }

    fn poll(&mut self) -> Option<Action> {
        self.out.actions.pop_front()
    }
}

impl Gossip {
    /// Nobody is known yet but this device, which has started so often.
    #[must_use]
    pub fn new(cx: &mut Cx<'_>, identity: &LocalIdentity, network: NetworkId, boot: u32) -> Gossip {
        let own = Own {
            router: RouterId::of(identity.device()),
            key: identity.secrets().sign.clone(),
            incarnation: u64::from(boot) << INCARNATION_BITS,
            role: Role::Relay,
            capabilities: 0,
            leaving: false,
        };
        let word = own.announcement(network);
        let mut gossip = Gossip {
            views: Views::new(cx, own.router),
            members: Members::new(cx.now, word),
            swim: Swim::new(cx),
            own,
            network,
            tree: Tree::default(),
            media: Media::default(),
            origins: Origins::default(),
            store: Store::default(),
            out: Out::new(),
            topics: BTreeSet::new(),
            unconfirmed: BTreeMap::new(),
            wanted: BTreeMap::new(),
            next_sequence: u64::from(boot) << SEQUENCE_BITS,
            flood_at: None,
            digest_at: cx.now + antientropy::EVERY,
            tidy_at: cx.now + TIDY,
            checks: 0,
            copies: (0, 0),
        };
        gossip.members.tell(gossip.own.router, None);
        gossip
    }

    /// This device's name.
    #[must_use]
    pub fn member(&self) -> RouterId {
        self.own.router
    }

    /// All members that are known, this one and those that are gone included.
    pub fn members(&self) -> impl Iterator<Item = (RouterId, &Member)> + '_ {
        self.members.iter()
    }

    /// How many members take part, this one included.
    #[must_use]
    pub fn present(&self) -> usize {
        self.members.present()
    }

    /// Members with whom gossip is exchanged directly.
    pub fn view(&self) -> impl Iterator<Item = RouterId> + '_ {
        self.views.active().keys().copied()
    }

    /// Payloads that came and were new, and that came and were not.
    #[must_use]
    pub fn copies(&self) -> (u64, u64) {
        self.copies
    }

    /// Bytes that were to be sent so far, headers of packets included.
    #[must_use]
    pub fn bytes_sent(&self) -> u64 {
        self.out.bytes
    }

    /// Signatures checked since the start.
    #[must_use]
    pub fn checks(&self) -> u64 {
        self.checks
    }

    /// What follows from what was done, in this turn.
    fn settle(&mut self, cx: &mut Cx<'_>) {
        self.settle_views(cx);
        if self.flood_at.is_none() && !self.views.active().is_empty() && self.members.has_flood() {
            let jitter = Duration::from_micros(cx.rng.below(GATHER.as_micros()));
            self.flood_at = Some((cx.now + GATHER + jitter).max(self.out.free_at()));
        }
        self.flush(cx);
    }

    /// The tree and the watch follow the active view. Of the two who meet the one with the smaller name begins to compare.
    fn settle_views(&mut self, cx: &mut Cx<'_>) {
        for change in core::mem::take(&mut self.views.changes) {
            match change {
                Change::Up(member, seat) => {
                    self.tree.up(member, seat, seat.near || !self.views.has_neighbours());
                    self.swim.watch(cx, member, false);
                    self.swim.sits(member, seat.near);
                    if self.own.router < member {
                        self.digest_to(cx, member, false);
                    }
                }
                Change::Down(member) => {
                    self.tree.down(member);
                    self.swim.unwatch(member);
                }
            }
        }
    }

    /// A member of the view is not reached any more. Whether it is alive elsewhere is found out by a probe over whatever way there is.
    fn lost_sight(&mut self, cx: &mut Cx<'_>, member: RouterId) {
        let before = self.swim.take(member);
        self.settle_views(cx);
        if self.members.get(member).is_some_and(Member::is_present) {
            self.swim.look_after(cx, member, before);
        }
    }

    fn broadcast(&mut self, cx: &mut Cx<'_>, tag: u64, topic: Topic, payload: &[u8]) {
        let most = (cx.limits.gossip_bytes / 4).min(cx.limits.message_bytes) as usize;
        let why = if self.own.leaving {
            Some(Refusal::Left)
        } else if payload.len() + BROADCAST_OVERHEAD + 256 > most {
            Some(Refusal::TooLong)
        } else {
            None
        };
        if let Some(why) = why {
            self.out.push(Action::Refused { tag, why });
            return;
        }
        self.next_sequence += 1;
        let id = MessageId { origin: self.own.router, sequence: self.next_sequence };
        let broadcast = Broadcast::sign(&self.own.key, self.network, id, topic, payload);
        self.unconfirmed.insert(id.sequence, tag);
        self.keep(cx, &broadcast, None, None);
    }

    /// Somebody has a broadcast of ours.
    fn confirmed(&mut self, id: MessageId) {
        if id.origin == self.own.router
            && let Some(tag) = self.unconfirmed.remove(&id.sequence)
        {
            self.out.push(Action::Spread { tag });
        }
    }

    /// A broadcast is not kept any more.
    fn over(&mut self, id: MessageId) {
        self.tree.let_go(id);
        self.media.let_go(id);
        if id.origin == self.own.router
            && let Some(tag) = self.unconfirmed.remove(&id.sequence)
        {
            self.out.push(Action::Refused { tag, why: Refusal::NobodyHeard });
        }
    }

    fn deliver(&mut self, broadcast: &Broadcast) {
        if self.topics.contains(&broadcast.topic) {
            let (id, topic) = (broadcast.id, broadcast.topic);
            self.out.push(Action::Deliver { id, topic, payload: broadcast.payload.clone() });
        }
    }

    /// Whether a broadcast is its origin's.
    fn is_genuine(&mut self, cx: &mut Cx<'_>, broadcast: &Broadcast, keys: &dyn Keys) -> bool {
        let Some(key) = keys.sign_key(broadcast.id.origin) else {
            cx.drops.count(Drop::UnknownMember);
            return false;
        };
        self.checks += 1;
        let genuine = broadcast.is_signed_by(keys, &key, self.network);
        if !genuine {
            cx.drops.count(Drop::RecordInvalid);
        }
        genuine
    }

    fn message(&mut self, cx: &mut Cx<'_>, from: RouterId, payload: &Bytes, keys: &dyn Keys) {
        let Ok(message) = Message::decode(payload) else {
            cx.drops.count(Drop::ProtocolViolation);
            return;
        };
        if from == self.own.router {
            return;
        }
        self.swim.heard(cx.now, from);
        let of_view = matches!(
            message,
            Message::Broadcast(_) | Message::IHave(_) | Message::Graft { .. } | Message::Prune
        );
        if of_view && !self.views.counts_on(from) {
            self.out.send(cx.now, cx.limits, from, &Message::Disconnect);
        }
        match message {
            Message::Join => self.views.on_join(cx, &mut self.out, from),
            Message::ForwardJoin { joined, hops } => {
                self.views.on_forward_join(cx, &mut self.out, from, joined, hops);
            }
            Message::Neighbour { urgent } => self.views.on_neighbour(cx, &mut self.out, from, urgent),
            Message::Answer { accepted } => self.views.on_answer(cx, &mut self.out, from, accepted),
            Message::Disconnect => self.views.on_disconnect(cx, from),
            Message::Shuffle { origin, hops, members } => {
                self.views.on_shuffle(cx, &mut self.out, from, (origin, hops, &members));
            }
            Message::ShuffleReply { members } => self.views.on_shuffle_reply(cx, &members),
            Message::Broadcast(broadcast) => self.payload(cx, (Some(from), None), broadcast, keys),
            Message::IHave(ids) => self.ihave(cx, from, &ids),
            Message::Graft { eager, ids } => self.grafted(from, eager, &ids),
            Message::Prune => self.pruned(from),
            Message::Skipped => {}
            about_members => self.message_about_members(cx, from, about_members, keys),
        }
    }

    fn message_about_members(&mut self, cx: &mut Cx<'_>, from: RouterId, message: Message, keys: &dyn Keys) {
        match message {
            Message::Digest { reply, buckets, runs } => self.digest(cx, from, (reply, buckets, &runs)),
            Message::Summary { bucket, complete, entries } => {
                self.summary(cx, from, (bucket, complete, &entries));
            }
            Message::Want(members) => self.tell(cx, from, &members),
            Message::Updates(updates) => self.updates(cx, from, updates, keys),
            Message::Ping { nonce, watched, guarded, updates } => {
                self.guarded(from, guarded);
                self.updates(cx, from, updates, keys);
                if watched && !self.views.counts_on(from) {
                    self.out.send(cx.now, cx.limits, from, &Message::Disconnect);
                }
                self.pinged(cx, from, nonce);
            }
            Message::Ack { nonce, guarded, updates } => {
                self.guarded(from, guarded);
                self.acked(cx, from, nonce);
                self.updates(cx, from, updates, keys);
            }
            Message::PingRequest { nonce, target, updates } => {
                self.updates(cx, from, updates, keys);
                self.ping_requested(cx, from, nonce, target);
            }
            Message::Nack { nonce } => self.nacked(from, nonce),
            _ => {}
        }
    }

    /// A member says whether it is guarded.
    fn guarded(&mut self, from: RouterId, guarded: bool) {
        self.swim.is_guarded(from, guarded);
        self.tree.is_guarded(from, guarded);
    }

    /// A member's own word.
    fn announced(
        &mut self,
        cx: &mut Cx<'_>,
        from: Option<RouterId>,
        announcement: Announcement,
        keys: &dyn Keys,
    ) {
        let member = announcement.member;
        let before = self.members.get(member);
        if before.is_some_and(|before| before.announcement.incarnation >= announcement.incarnation) {
            return;
        }
        let Some(key) = keys.sign_key(member) else {
            cx.drops.count(Drop::UnknownMember);
            return;
        };
        self.checks += 1;
        if !announcement.is_signed_by(keys, &key, self.network) {
            cx.drops.count(Drop::RecordInvalid);
            return;
        }
        if member == self.own.router {
            // An earlier start of ours, or a second instance: ours is the last word.
            self.own.incarnation = announcement.incarnation;
            self.announce_anew(cx);
            return;
        }
        let what = match before.map(|before| &before.standing) {
            _ if announcement.leaving => What::Left,
            Some(Standing::Alive) => What::Announced,
            Some(Standing::Suspect(_)) => What::Cleared,
            Some(Standing::Dead | Standing::Left) | None => What::Joined,
        };
        if !self.members.announce(cx.limits, cx.now, announcement) {
            cx.drops.count(Drop::MembersFull);
            return;
        }
        self.members.tell(member, from);
        self.out.push(Action::Member { member, what });
        if what == What::Left {
            self.views.forget(cx.now, member);
            self.settle_views(cx);
            self.swim.unwatch(member);
        }
    }

    /// Says anew what this device is, with a higher number.
    fn announce_anew(&mut self, cx: &mut Cx<'_>) {
        self.own.incarnation += 1;
        let word = self.own.announcement(self.network);
        self.members.announce(cx.limits, cx.now, word);
        self.members.tell(self.own.router, None);
    }

    fn leave(&mut self, cx: &mut Cx<'_>) {
        self.own.leaving = true;
        self.announce_anew(cx);
        let own = self.own.router;
        for peer in self.views.active().keys().copied().collect::<Vec<RouterId>>() {
            self.tell(cx, peer, &[own]);
            self.out.send(cx.now, cx.limits, peer, &Message::Disconnect);
        }
    }

    /// The most bytes that gossip takes under `limits`.
    #[must_use]
    pub fn worst_case_bytes(limits: &Limits) -> u64 {
        if limits.gossip_members == 0 {
            return 0;
        }
        // Told to all of the view at once: a member's word and how it stands, and the room of a message.
        let news = 256 * u64::from(limits.gossip_view).max(4);
        let parts = [
            size_of::<Gossip>() as u64,
            // Kept broadcasts, their places in three tables, and the copy that is being sent.
            u64::from(limits.gossip_bytes).saturating_mul(3),
            Origins::worst_case_bytes(limits),
            Members::worst_case_bytes(limits),
            Views::worst_case_bytes(limits),
            Tree::worst_case_bytes(limits),
            Media::worst_case_bytes(),
            Swim::worst_case_bytes(limits),
            // Actions that wait to be taken: news, what was asked for as far as it is paid for, and what one message says.
            u64::from(limits.gossip_members).saturating_mul(news),
            u64::from(limits.gossip_rate).saturating_mul(8),
            4_096 * size_of::<Action>() as u64,
            (MOST_TOPICS + antientropy::MOST_WANTING) as u64 * 64,
        ];
        parts.into_iter().fold(0, u64::saturating_add)
    }

    /// Panics when an invariant does not hold.
    pub fn check(&self, limits: &Limits) {
        self.views.check();
        self.tree.check(&self.store);
        self.store.check(limits);
        self.members.check(limits);
        self.swim.check();
        self.check_media();
        assert!(self.origins.len() <= limits.gossip_members as usize);
        assert!(self.tree.branches.keys().eq(self.views.active().keys()), "a branch for each of the view");
        assert!(self.unconfirmed.len() <= self.store.len() + 1, "waiting for a word on what is not kept");
    }
}

impl Own {
    fn announcement(&self, network: NetworkId) -> Announcement {
        let what = (self.role, self.leaving, self.capabilities);
        Announcement::sign(&self.key, network, self.router, self.incarnation, what)
    }
}
