//! The sending half towards one peer: what it holds, how messages come in, what it says outward.

use alloc::boxed::Box;
use alloc::collections::{BinaryHeap, VecDeque};
use alloc::vec::Vec;
use core::cmp::Reverse;

use bytes::Bytes;

use super::durable::Durable;
use super::queue::{Entry, Kind, ListId, MOST, Manner, Queue};
use super::receipts::Floor;
use super::room::{Part, Room};
use super::streams::{Numbers, Streams};
use super::{Budget, OutboxAction, PathInfo, Usage};
use crate::drops::Drop;
use crate::ids::NodeId;
use crate::link::frame::{Channel, DURABLE, ORDINARY};
use crate::link::schedule::Schedule;
use crate::machine::Cx;
use crate::node::input::{Class, Delivery, Send};
use crate::node::output::{Outcome, Refused};
use crate::params::PeerParams;
use crate::time::{Duration, Instant};
use crate::wake::{Reason, Wake};

/// Frame bytes in front of a small message at most: kind, two numbers of 8 bytes, a length of 4.
pub(super) const SMALL_HEADER: usize = 1 + 8 + 8 + 4;
/// Room for actions that is kept while there are none.
const IDLE_ACTIONS: usize = 64;
/// Room of a packet until a path says otherwise: that of the smallest legal packet.
const SMALLEST_ROOM: usize = 42;

/// When to look at a message again: for its expiry, or to ask after it.
pub(super) type Timer = Reverse<(Instant, u32, u32)>;

/// Everything on its way to one peer.
#[derive(Debug)]
pub struct Outbox {
    pub(super) peer: NodeId,
    pub(super) params: Option<PeerParams>,
    pub(super) queue: Queue,
    pub(super) numbers: Numbers,
    pub(super) streams: Option<Box<Streams>>,
    pub(super) durable: Option<Box<Durable>>,
    /// The floor of ordinary numbers: told when a number that was sent is given up.
    pub(super) floor: Floor,
    pub(super) timers: BinaryHeap<Timer>,
    pub(super) schedule: Schedule,
    /// By class: bytes that messages in symbols are ahead of small ones.
    pub(super) credit: [i32; 5],
    /// What the peer has promised to keep, and who waits for it.
    pub(super) room: Room,
    pub(super) usage: Usage,
    pub(super) actions: VecDeque<OutboxAction>,
    pub(super) path: PathInfo,
    /// Messages that were cut into symbols, each time counted; wraps.
    pub(super) cuts: u16,
}

impl Outbox {
    /// An empty one, towards `peer`.
    #[must_use]
    pub fn new(peer: NodeId) -> Outbox {
        Outbox {
            peer,
            params: None,
            queue: Queue::new(),
            numbers: Numbers::new(),
            streams: None,
            durable: None,
            floor: Floor::default(),
            timers: BinaryHeap::new(),
            schedule: Schedule::default(),
            credit: [0; 5],
            room: Room::default(),
            usage: Usage::default(),
            actions: VecDeque::new(),
            path: PathInfo {
                loss_ppm: 0,
                srtt: Duration::from_millis(100),
                room: SMALLEST_ROOM,
                spare: false,
            },
            cuts: 0,
        }
    }

    /// The peer is in session and takes this much; `fountain` says that both sides can use repair
    /// symbols. Before the first call nothing is sent.
    pub fn connected(&mut self, params: PeerParams) {
        // Within one association the peer's memory does not shrink, whatever new keys come with.
        let before = if self.numbers.span() > 0 { self.params } else { None };
        let message_window = before.map_or(0, |before| before.message_window).max(params.message_window);
        self.params = Some(PeerParams { message_window, ..params });
        self.floor.reconnect();
        if let Some(durable) = &mut self.durable {
            durable.floor.reconnect();
        }
    }

    /// Takes in a message. `room` is what a packet offers to frames now, for datagrams.
    ///
    /// # Errors
    /// [`Refused::Oversize`], [`Refused::QueueFull`], [`Refused::NoStorage`]; nothing has changed then.
    pub fn push(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
        send: Send,
        room: usize,
    ) -> Result<(), Refused> {
        let limit = self.largest(cx, send.delivery, room);
        if send.payload.len() as u64 > limit {
            cx.drops.count(Drop::Oversize);
            return Err(Refused::Oversize { limit });
        }
        let manner = match send.delivery {
            Delivery::Datagram => Manner::Datagram(Channel::Application),
            Delivery::Message => Manner::Plain,
            Delivery::Stream { stream } => Manner::Ordered(stream),
            Delivery::Durable => Manner::Durable,
        };
        if manner == Manner::Durable && self.durable.as_ref().is_some_and(|durable| durable.failed) {
            return Err(Refused::NoStorage);
        }
        let newcomer = manner == Manner::Durable && !self.has_correspondent();
        let fits = self.queue.len() < MOST && (!newcomer || budget.has_place(true));
        if !fits || !budget.take(&mut self.usage, send.payload.len(), manner == Manner::Durable) {
            cx.drops.count(Drop::QueueFull);
            return Err(Refused::QueueFull);
        }
        if newcomer {
            budget.add_correspondent();
        }
        let lifetime = send.lifetime.unwrap_or(send.class.lifetime());
        let expires = cx.now + lifetime;
        let len = send.payload.len();
        let index = self.queue.insert(Entry::new(send.payload, send.tag, manner, send.class, expires));
        self.set_timer(index, expires);
        match manner {
            Manner::Datagram(_) => self.queue.push_back(ListId::of(Kind::Small, send.class), index),
            Manner::Plain | Manner::Routing => {
                self.queue.push_back(ListId::of(self.kind_of(len), send.class), index);
            }
            Manner::Ordered(stream) => {
                let wish = self.list_of_ordered(len, send.class);
                let list = self.streams.get_or_insert_default().queue(stream, wish);
                self.queue.push_back(list, index);
            }
            Manner::Durable => self.reserve_and_store(index, lifetime),
        }
        Ok(())
    }

    /// Takes in a message for the peer's routing or gossip, as [`Outbox::push`] does; [`OutboxAction::Settled`] says what became
    /// of it. Its place here until then.
    ///
    /// # Errors
    /// [`Refused::Oversize`], [`Refused::QueueFull`]; nothing has changed then.
    pub fn push_routing(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
        (tag, class, lifetime, payload): (u64, Class, Duration, Bytes),
    ) -> Result<u32, Refused> {
        let limit = self.largest(cx, Delivery::Message, 0);
        self.take(cx, budget, payload.len(), limit)?;
        let (expires, len) = (cx.now + lifetime, payload.len());
        let index = self.queue.insert(Entry::new(payload, tag, Manner::Routing, class, expires));
        self.set_timer(index, expires);
        self.queue.push_back(ListId::of(self.kind_of(len), class), index);
        Ok(index)
    }

    /// Takes in a datagram for the peer's gossip; `room` is what a packet offers to frames now.
    ///
    /// # Errors
    /// [`Refused::Oversize`], [`Refused::QueueFull`]; nothing has changed then.
    pub fn push_routing_datagram(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
        (class, lifetime, payload): (Class, Duration, Bytes),
        room: usize,
    ) -> Result<(), Refused> {
        let limit = self.largest(cx, Delivery::Datagram, room);
        self.take(cx, budget, payload.len(), limit)?;
        let expires = cx.now + lifetime;
        let index =
            self.queue.insert(Entry::new(payload, 0, Manner::Datagram(Channel::Routing), class, expires));
        self.set_timer(index, expires);
        self.queue.push_back(ListId::of(Kind::Small, class), index);
        Ok(())
    }

    /// Takes room for what is not durable.
    fn take(&mut self, cx: &mut Cx<'_>, budget: &mut Budget, len: usize, limit: u64) -> Result<(), Refused> {
        if len as u64 > limit {
            cx.drops.count(Drop::Oversize);
            return Err(Refused::Oversize { limit });
        }
        if self.queue.len() >= MOST || !budget.take(&mut self.usage, len, false) {
            cx.drops.count(Drop::QueueFull);
            return Err(Refused::QueueFull);
        }
        Ok(())
    }

    /// Gives up all messages for the peer's routing or gossip whose tag is this or greater.
    pub fn withdraw_from(&mut self, budget: &mut Budget, first: u64) {
        let is_one = |entry: &Entry| entry.manner == Manner::Routing && entry.tag >= first;
        let found = self.queue.iter().filter(|(_, entry)| is_one(entry));
        let mut found: Vec<(u64, u32)> = found.map(|(index, entry)| (entry.tag, index)).collect();
        found.sort_unstable();
        for (_, index) in found {
            self.finish(budget, index, Outcome::Cancelled);
        }
    }

    /// Gives up a message for the peer's routing, if it is not finished. Its place, if it is not known, is looked for.
    pub fn withdraw(&mut self, budget: &mut Budget, tag: u64, place: Option<u32>) {
        let is_it = |entry: &Entry| entry.manner == Manner::Routing && entry.tag == tag;
        let index = match place {
            Some(index) => self.queue.get(index).filter(|entry| is_it(entry)).map(|_| index),
            None => self.queue.iter().find(|(_, entry)| is_it(entry)).map(|(index, _)| index),
        };
        if let Some(index) = index {
            self.finish(budget, index, Outcome::Cancelled);
        }
    }

    /// Small messages and those that need symbols wait apart, so neither blocks the other.
    fn kind_of(&self, len: usize) -> Kind {
        if len + SMALL_HEADER <= self.path.room.max(SMALLEST_ROOM) { Kind::Small } else { Kind::Bulk }
    }

    fn list_of_ordered(&self, len: usize, class: Class) -> ListId {
        let kind = match self.kind_of(len) {
            Kind::Small => Kind::Ordered,
            large => large,
        };
        ListId::of(kind, class)
    }

    /// The first message of `list` has left it. The next one may have come there behind others of its stream: if it is
    /// less urgent than the list, or larger, it would keep those behind it from going, and use their share. It goes where it belongs,
    /// and the rest of its stream with it. Nothing becomes more urgent by that, so no message moves more often than there are lists.
    pub(super) fn sort_in(&mut self, list: ListId) {
        while let Some(entry) = self.queue.front(list).and_then(|index| self.queue.get(index)) {
            let Manner::Ordered(stream) = entry.manner else { return };
            let wish = self.list_of_ordered(entry.payload.len(), entry.class).at_most_as_urgent_as(list);
            if entry.sent || !wish.is_behind(list) {
                return;
            }
            let Some(streams) = &mut self.streams else { return };
            let rest = streams.queued(stream).max(1) as usize;
            streams.moved(stream, wish);
            let is_of_it = |index: &u32| {
                self.queue.get(*index).is_some_and(|entry| entry.manner == Manner::Ordered(stream))
            };
            let moving: Vec<u32> = self.queue.walk(list).filter(is_of_it).take(rest).collect();
            for index in moving {
                self.queue.push_back(wish, index);
            }
        }
    }

    fn largest(&self, cx: &Cx<'_>, delivery: Delivery, room: usize) -> u64 {
        let ours = u64::from(cx.limits.message_bytes);
        let limit = self.params.map_or(ours, |params| ours.min(u64::from(params.message_bytes)));
        match delivery {
            Delivery::Datagram => limit.min(room.saturating_sub(1) as u64),
            Delivery::Message | Delivery::Stream { .. } | Delivery::Durable => limit,
        }
    }

    /// Remembers to look at a message again. Old entries are swept out when they are the majority.
    pub(super) fn set_timer(&mut self, index: u32, at: Instant) {
        let Some(entry) = self.queue.get(index) else { return };
        self.timers.push(Reverse((at, index, entry.generation)));
        if self.timers.len() > 4 * self.queue.len() as usize + 64 {
            self.sweep_timers();
        }
    }

    fn sweep_timers(&mut self) {
        let queue = &self.queue;
        self.timers.retain(|Reverse((_, index, generation))| {
            queue.get(*index).is_some_and(|entry| entry.generation == *generation)
        });
    }

    /// When [`Outbox::wake`] is needed.
    #[must_use]
    pub fn next_wake(&self) -> Wake {
        self.timers.peek().map_or(Wake::Idle, |Reverse((at, ..))| Wake::At(*at, Reason::MessageExpiry))
    }

    /// Whether [`Outbox::poll`] has anything to give, or memory to give back.
    #[must_use]
    pub fn has_actions(&self) -> bool {
        !self.actions.is_empty() || self.actions.capacity() > IDLE_ACTIONS
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<OutboxAction> {
        let action = self.actions.pop_front();
        if action.is_none() && self.actions.capacity() > IDLE_ACTIONS {
            self.actions = VecDeque::new();
        }
        action
    }

    /// Messages held, and their bytes.
    #[must_use]
    pub fn held(&self) -> (u32, u64) {
        (self.queue.len(), self.usage.bytes)
    }

    pub(super) fn receipt(&mut self, tag: u64, outcome: Outcome) {
        self.actions.push_back(OutboxAction::Receipt { tag, outcome });
    }

    /// Whether durable numbers were used.
    #[must_use]
    pub fn has_correspondent(&self) -> bool {
        self.durable.as_ref().is_some_and(|durable| durable.is_used())
    }

    /// The peer was removed: everything ends, on disk too, and what was in memory starts anew. Durable
    /// numbers go on.
    pub fn cancel(&mut self, budget: &mut Budget) {
        self.end_where(budget, |_| true);
        self.set_aside(budget);
    }

    /// The peer has no slot for now: what is not durable ends, and what is will be sent anew when the peer
    /// comes back, unless it expires before.
    pub fn set_aside(&mut self, budget: &mut Budget) {
        self.end_where(budget, |entry| entry.manner != Manner::Durable);
        self.peer_restarted(budget);
        self.sweep_timers();
        self.timers.shrink_to_fit();
    }

    fn end_where(&mut self, budget: &mut Budget, ends: impl Fn(&Entry) -> bool) {
        let ending = self.queue.iter().filter(|(_, entry)| ends(entry)).map(|(index, _)| index);
        for index in ending.collect::<Vec<u32>>() {
            self.finish(budget, index, Outcome::Cancelled);
        }
    }

    /// Of each stream all messages that were never sent are in one list, in the order in which they came.
    fn check_streams(&self) {
        let Some(streams) = &self.streams else { return };
        let mut queues = streams.queues();
        for list in ListId::unsent() {
            let mut last = alloc::collections::BTreeMap::new();
            for entry in self.queue.walk(list).filter_map(|index| self.queue.get(index)) {
                let Manner::Ordered(stream) = entry.manner else { continue };
                assert!(
                    last.insert(stream, entry.generation) < Some(entry.generation),
                    "stream {stream} is torn"
                );
                let waiting =
                    queues.get_mut(&stream).filter(|(its, _)| *its == list).map(|(_, queued)| queued);
                assert!(
                    waiting.as_ref().is_some_and(|queued| **queued > 0),
                    "stream {stream} waits elsewhere"
                );
                if let Some(queued) = waiting {
                    *queued -= 1;
                }
            }
        }
        assert!(queues.values().all(|(_, queued)| *queued == 0), "messages of streams are lost");
    }

    /// Panics when an invariant does not hold.
    pub fn check(&self) {
        self.queue.check();
        let mut usage = Usage::default();
        let mut room = Room::default();
        for (index, entry) in self.queue.iter() {
            usage = usage.plus(Usage {
                bytes: entry.payload.len() as u64,
                messages: 1,
                durable: u32::from(entry.manner == Manner::Durable),
            });
            room.count(entry.charge, entry.part);
            assert!(entry.charge == 0 || entry.sent, "what is not sent takes no room");
            if entry.manner != Manner::Durable && entry.seq != super::queue::UNNUMBERED {
                assert_eq!(self.numbers.find(entry.seq), Some(index), "number {} is lost", entry.seq);
            }
            assert!(!entry.acked || entry.sent);
            if let Some(fragments) = &entry.fragments {
                fragments.check(self.path.loss_ppm);
            }
        }
        assert_eq!(usage, self.usage, "what is held and what is counted");
        room.count(self.room.given_up(), Part::Common);
        assert_eq!(room.sums(), self.room.sums(), "bytes under way");
        self.check_streams();
        self.numbers.check();
        if let Some(params) = self.params {
            assert!(self.numbers.span() <= u64::from(params.message_window).max(1), "numbers too far apart");
        }
    }
}

/// The message space of a manner, as on the wire.
pub(super) fn space_of(manner: Manner) -> u8 {
    match manner {
        Manner::Datagram(_) | Manner::Plain | Manner::Routing | Manner::Ordered(_) => ORDINARY,
        Manner::Durable => DURABLE,
    }
}

/// Every class with its bit.
pub(super) fn classes() -> impl Iterator<Item = (Class, u8)> {
    Class::ALL.into_iter().map(|class| (class, 1 << class as u8))
}
