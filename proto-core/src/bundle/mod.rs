//! What cannot go now is kept by whoever has it, and carried to where it can.
//!
//! A letter for somebody who is at sea. It is put in an envelope that only he can open, signed across the flap, and carried to the inn where he was last
//! seen. The innkeeper writes into his book that he has it, and says so. When the sailor comes he gets his letters, the urgent ones first, and
//! signs for them on a card that travels back the same way. Whoever wrote keeps a copy until the card is there: an inn may burn.
//!
//! Machine `Bundles`: store and forward as in RFC 9171, with the acknowledged handing over of RFC 5050, section 5.10. Three departures. Nothing here gives a
//! message its number or throws out what came twice: a bundle carries a *durable* message (`link::messages::durable`), whose number and window are the
//! same whether it comes by a session or by an inn; so the two ways may be used at once. A bundle grows older by an age that its carriers count, not by a clock. And
//! its source goes on being responsible; custody shortens the way, and loses nothing when a custodian is lost.
//!
//! Invariants: nothing is kept for others but what a member of the network has signed; a name (`BundleId`) is of one content; within the bounds of `shelf` nobody
//! can fill the room; one that is given to somebody is not given to somebody else before that one has answered or taken too long. Messages: [`message`], kinds
//! `0x10` and `0x11`. Records: `Bundle`. Assumed of the others: `link` delivers a message once, says what became of it, and keeps windows of durable numbers;
//! `node` knows the map. At its limits a bundle is refused and stays where it is.

mod alarms;
mod border;
mod incoming;
pub mod message;
mod owed;
pub mod record;
mod shelf;
#[allow(clippy::all, missing_docs, unreachable_pub)]
#[rustfmt::skip]
mod wire;

#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;

use crate::carried::Carried;
use crate::identity::LocalIdentity;
use crate::ids::{NetworkId, NodeId, RouterId};
use crate::limits::Limits;
use crate::machine::{Cx, Machine};
use crate::node::input::Class;
use crate::store::record::{Key, Record};
use crate::time::{Duration, Instant};
use crate::wake::{Reason, Wake};
use alarms::Alarms;
pub use border::{Action, Input, Place, Signer, World};
use incoming::Incoming;
use message::{Answer, Message};
use owed::Ledger;
use record::BundleId;
use shelf::{Disk, Given, Held, Origin, Shelf};

/// How often a bundle may be handed over: from its source to the last who keeps it.
const MOST_HANDOVERS: u8 = 16;
/// Bundles for one destination that are under way at once.
const WINDOW: usize = 8;
/// Changes of the map are gathered for so long.
const GATHER: Duration = Duration::from_millis(20);
/// An answer that has not come by then will not come: the one who was asked has restarted, or the session ended.
const PATIENCE: Duration = Duration::from_secs(60);
/// A message to another carrier that was not delivered by then is not sent any more.
pub const SEND_LIFETIME: Duration = Duration::from_secs(30);
/// After a refusal, or when nothing arrives, it is tried again after this long, and then ever later.
const FIRST_GAP: Duration = Duration::from_secs(1);
/// But not later than this.
const LAST_GAP: Duration = Duration::from_secs(60);
/// So long somebody who had no room is not asked again,
const AVOID: Duration = Duration::from_secs(60);
/// and so long somebody who did not answer, or to whom nothing came.
const AVOID_SILENT: Duration = Duration::from_secs(5);
/// How many of those are remembered for one destination.
const MOST_AVOIDED: usize = 4;

/// What a deadline is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Alarm {
    /// The map has changed.
    Map,
    /// Somebody was asked for something of ours, or it waits.
    Ours(NodeId),
    /// A receipt is to be written for this node.
    Receipt(NodeId),
    /// Something is kept for this device.
    Destination(RouterId),
    /// A bundle has waited for long enough, for an answer or at all.
    Bundle(BundleId),
}

/// Who had no room, and until when he is not asked again.
#[derive(Debug, Default)]
struct Avoided(Vec<(RouterId, Instant)>);

impl Avoided {
    fn push(&mut self, now: Instant, router: RouterId, span: Duration) {
        self.0.retain(|&(other, until)| other != router && until > now);
        if self.0.len() >= MOST_AVOIDED {
            self.0.remove(0);
        }
        self.0.push((router, now + span));
    }

    /// When the first of them may be asked again.
    fn next(&self, now: Instant) -> Option<Instant> {
        self.0.iter().map(|&(_, until)| until).filter(|&until| until > now).min()
    }

    fn at(&self, now: Instant) -> Vec<RouterId> {
        self.0.iter().filter(|&&(_, until)| until > now).map(|&(router, _)| router).collect()
    }
}

/// What is kept for one device.
#[derive(Debug)]
struct Destination {
    /// In the order in which they are to go.
    waiting: BTreeSet<(Class, u64, BundleId)>,
    under_way: usize,
    gap: Duration,
    avoided: Avoided,
}

impl Destination {
    fn new() -> Destination {
        let (waiting, avoided) = (BTreeSet::new(), Avoided::default());
        Destination { waiting, under_way: 0, gap: FIRST_GAP, avoided }
    }
}

/// Bundles that are kept, our own messages that are in other hands, and what has come.
#[derive(Debug)]
pub struct Bundles {
    router: RouterId,
    network: NetworkId,
    shelf: Shelf,
    destinations: BTreeMap<RouterId, Destination>,
    ours: Ledger,
    incoming: Incoming,
    alarms: Alarms<Alarm>,
    /// Which bundle each message carries whose fate is open.
    carried: BTreeMap<u64, BundleId>,
    /// Whose record each write is.
    writing: BTreeMap<u64, BundleId>,
    has_disk: bool,
    next_tag: u64,
    next_slot: u64,
    actions: VecDeque<Action>,
}

impl Machine for Bundles {
    type Input<'a> = Input<'a>;
    type Action = Action;

    fn handle(&mut self, cx: &mut Cx<'_>, input: Input<'_>) {
        match input {
            Input::Waits { node, number, class } => self.waits(cx, node, (number, class)),
            Input::Ended { node, number } => self.ended(cx, node, number),
            Input::Found { node, device, place } => self.found(cx, node, device, place),
            Input::Located { to, place } => self.located(cx, to, place),
            Input::Fetched { node, number, owed, world } => self.fetched(cx, (node, number), owed, world),
            Input::Message { from, payload, world } => self.message(cx, from, &payload, world),
            Input::Settled { tag, arrived } => self.settled(cx, tag, arrived),
            Input::Arrived { node, number, carried } => self.arrived(cx, (node, number), carried),
            Input::Delivered { node, number } => self.arrived(cx, (node, number), Carried::Known),
            Input::Receipt { node, runs, world } => self.receipt(cx, node, &runs, world),
            Input::MapChanged => self.map_changed(cx),
            Input::Stored { slot } => self.stored(slot),
            Input::StoreFailed => self.store_failed(),
            Input::Recovered { bundle, lifetime, handovers } => {
                self.recovered(cx, bundle, lifetime, handovers);
            }
        }
    }

    fn wake(&mut self, cx: &mut Cx<'_>) {
        while let Some(alarm) = self.alarms.pop_due(cx.now) {
            match alarm {
                Alarm::Map => self.look_everywhere(cx),
                Alarm::Ours(node) => self.look_for(cx, node),
                Alarm::Receipt(node) => self.receipt_due(node),
                Alarm::Destination(to) => self.look(cx, to),
                Alarm::Bundle(id) => self.bundle_due(cx, id),
            }
        }
    }

    fn next_wake(&self) -> Wake {
        self.alarms.next().map_or(Wake::Idle, |at| Wake::At(at, Reason::Custody))
    }

    fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }
}

impl Bundles {
    /// Nothing is kept yet.
    #[must_use]
    pub fn new(identity: &LocalIdentity, network: NetworkId, boot: u32) -> Bundles {
        Bundles {
            router: RouterId::of(identity.device()),
            network,
            shelf: Shelf::default(),
            destinations: BTreeMap::new(),
            ours: Ledger::default(),
            incoming: Incoming::new(boot),
            alarms: Alarms::new(),
            carried: BTreeMap::new(),
            writing: BTreeMap::new(),
            has_disk: true,
            next_tag: 0,
            next_slot: 0,
            actions: VecDeque::new(),
        }
    }

    /// Bundles that are kept, our own on their way included, and their bytes.
    #[must_use]
    pub fn kept(&self) -> (usize, usize) {
        (self.shelf.len(), self.shelf.bytes())
    }

    fn send(&mut self, to: RouterId, class: Class, payload: Bytes) -> u64 {
        self.next_tag += 1;
        let tag = self.next_tag;
        self.actions.push_back(Action::Send { to, tag, class, payload });
        tag
    }

    fn answer(&mut self, to: RouterId, id: BundleId, answer: Answer) {
        self.send(to, Class::High, Message::Taken { id, answer }.encode());
    }

    fn map_changed(&mut self, cx: &Cx<'_>) {
        if !self.destinations.is_empty() || !self.ours.is_empty() {
            self.alarms.set_at_latest(Alarm::Map, cx.now + GATHER);
        }
    }

    fn look_everywhere(&mut self, cx: &Cx<'_>) {
        for node in self.ours.waiting().collect::<Vec<NodeId>>() {
            self.look_for(cx, node);
        }
        for to in self.destinations.keys().copied().collect::<Vec<RouterId>>() {
            self.look(cx, to);
        }
    }

    /// Takes a bundle in for which there is room: it waits for its destination.
    fn keep(&mut self, held: Held) {
        let (id, to) = (held.bundle.id, held.bundle.head.to);
        self.alarms.set(Alarm::Bundle(id), held.expires);
        self.shelf.insert(held);
        let Some(held) = self.shelf.get(id) else { return };
        let destination = self.destinations.entry(to).or_insert_with(Destination::new);
        if held.given.is_none() {
            destination.waiting.insert(held.place(id));
        } else {
            destination.under_way += 1;
        }
    }

    /// A bundle is in other hands, or nobody's.
    fn let_go(&mut self, id: BundleId) -> Option<Held> {
        let held = self.shelf.remove(id)?;
        self.alarms.clear(Alarm::Bundle(id));
        if let Some(given) = held.given {
            self.carried.remove(&given.tag);
        }
        match held.disk {
            Disk::No => {}
            // Whoever brought it hears what became of it; no answer comes from the disk any more.
            Disk::Writing(slot) => {
                self.writing.remove(&slot);
                if let Origin::Others(from) = held.origin {
                    self.answer(from, id, Answer::Kept);
                }
                self.erase(id);
            }
            Disk::Yes => self.erase(id),
        }
        let to = held.bundle.head.to;
        if let Some(destination) = self.destinations.get_mut(&to) {
            destination.waiting.remove(&held.place(id));
            destination.under_way = destination.under_way.saturating_sub(usize::from(held.given.is_some()));
            if destination.waiting.is_empty() && destination.under_way == 0 {
                self.destinations.remove(&to);
                self.alarms.clear(Alarm::Destination(to));
            }
        }
        Some(held)
    }

    fn erase(&mut self, id: BundleId) {
        // The order of tickets lets the erasure come after the record.
        if self.has_disk {
            self.store(Record::Erased { key: Key::Bundle(id.0) });
        }
    }

    fn store(&mut self, record: Record) -> u64 {
        self.next_slot += 1;
        self.actions.push_back(Action::Store { slot: self.next_slot, record });
        self.next_slot
    }

    /// Asks where something for a device is to go, if something waits and may go.
    fn look(&mut self, cx: &Cx<'_>, to: RouterId) {
        let Some(destination) = self.destinations.get(&to) else { return };
        if !destination.waiting.is_empty() && destination.under_way < WINDOW {
            self.actions.push_back(Action::Locate { to, avoid: destination.avoided.at(cx.now) });
        }
    }

    fn located(&mut self, cx: &Cx<'_>, to: RouterId, place: Place) {
        let next = match place {
            Place::There(_) => to,
            Place::By(router) => router,
            // A change of the map comes by itself, and so does the end of a refusal.
            Place::Here => return self.look_later(cx, to),
        };
        while let Some(destination) = self.destinations.get(&to)
            && destination.under_way < WINDOW
        {
            let mut going = destination.waiting.iter().map(|&(.., id)| id);
            let may_go = |id: &BundleId| {
                next == to || self.shelf.get(*id).is_some_and(|held| may_be_handed(held, next))
            };
            let Some(id) = going.find(may_go) else { return self.look_later(cx, to) };
            self.give(cx, id, next);
        }
    }

    /// Looks again where something for a device may go, though no map says that it has changed.
    fn look_later(&mut self, cx: &Cx<'_>, to: RouterId) {
        if let Some(destination) = self.destinations.get(&to).filter(|kept| !kept.waiting.is_empty()) {
            let later = cx.now + LAST_GAP;
            let at = destination.avoided.next(cx.now).map_or(later, |next| next.min(later));
            self.alarms.set_at_latest(Alarm::Destination(to), at);
        }
    }

    /// Gives a bundle that waits to somebody.
    fn give(&mut self, cx: &Cx<'_>, id: BundleId, next: RouterId) {
        let Some(held) = self.shelf.get(id) else { return };
        let (head, place) = (held.bundle.head, held.place(id));
        let lifetime = held.expires.since(cx.now);
        let handovers = if next == head.to { held.handovers } else { held.handovers.saturating_sub(1) };
        let message = Message::Take { lifetime, handovers, bundle: held.bundle.bytes.clone() };
        let overdue = held.expires.min(cx.now + PATIENCE);
        let tag = self.send(next, head.class, message.encode());
        self.carried.insert(tag, id);
        self.alarms.set(Alarm::Bundle(id), overdue);
        if let Some(destination) = self.destinations.get_mut(&head.to) {
            destination.waiting.remove(&place);
            destination.under_way += 1;
        }
        if let Some(held) = self.shelf.get_mut(id) {
            held.given = Some(Given { to: next, tag });
        }
    }

    /// Nobody has taken a bundle: it waits again, and is given away later.
    fn take_back(&mut self, cx: &Cx<'_>, id: BundleId) {
        let Some(held) = self.shelf.get_mut(id) else { return };
        let Some(given) = held.given.take() else { return };
        let (to, place, expires) = (held.bundle.head.to, held.place(id), held.expires);
        self.carried.remove(&given.tag);
        self.alarms.set(Alarm::Bundle(id), expires);
        let Some(destination) = self.destinations.get_mut(&to) else { return };
        destination.under_way = destination.under_way.saturating_sub(1);
        destination.waiting.insert(place);
        let again = cx.now + destination.gap;
        destination.gap = destination.gap.mul_ratio(2, 1).min(LAST_GAP);
        self.alarms.set_at_latest(Alarm::Destination(to), again);
    }

    /// A bundle was waited for long enough: at all, or for an answer.
    fn bundle_due(&mut self, cx: &Cx<'_>, id: BundleId) {
        let Some(held) = self.shelf.get(id) else { return };
        if held.expires > cx.now {
            return self.give_up_on(cx, id, Some(AVOID_SILENT));
        }
        let held = self.let_go(id);
        if let Some(Held { origin: Origin::Ours(node), bundle, .. }) = held {
            self.ours.returned(node, bundle.head.number);
        }
    }

    /// Whoever was asked to take a bundle does not, and is not asked again for a while. What did not come to him is no fault of his.
    fn give_up_on(&mut self, cx: &Cx<'_>, id: BundleId, avoid: Option<Duration>) {
        let Some(held) = self.shelf.get(id) else { return };
        let avoided = held.given.map(|given| given.to).zip(avoid);
        match held.origin {
            // It is on the disk as a message, and sealed anew when there is a way.
            Origin::Ours(node) => {
                let number = held.bundle.head.number;
                self.let_go(id);
                self.not_entrusted(cx, node, number, avoided);
            }
            Origin::OurReceipt | Origin::Others(_) => {
                let destination = self.destinations.get_mut(&held.bundle.head.to);
                if let (Some(destination), Some((router, span))) = (destination, avoided) {
                    destination.avoided.push(cx.now, router, span);
                }
                self.take_back(cx, id);
            }
        }
    }

    fn settled(&mut self, cx: &Cx<'_>, tag: u64, arrived: bool) {
        let Some(&id) = self.carried.get(&tag) else { return };
        if !arrived {
            // The next look says whether it can be reached at all.
            self.give_up_on(cx, id, Some(AVOID_SILENT));
        }
    }

    fn stored(&mut self, slot: u64) {
        let Some(id) = self.writing.remove(&slot) else { return };
        let Some(held) = self.shelf.get_mut(id).filter(|held| held.disk == Disk::Writing(slot)) else {
            return;
        };
        held.disk = Disk::Yes;
        if let Origin::Others(from) = held.origin {
            self.answer(from, id, Answer::Stored);
        }
    }

    /// What was on its way to the disk is kept in memory, as all that comes from now on.
    fn store_failed(&mut self) {
        self.has_disk = false;
        self.incoming.forget();
        for id in core::mem::take(&mut self.writing).into_values() {
            let Some(held) = self.shelf.get_mut(id) else { continue };
            held.disk = Disk::No;
            if let Origin::Others(from) = held.origin {
                self.answer(from, id, Answer::Kept);
            }
        }
    }

    /// The most bytes of memory that bundles take in a node with these limits.
    #[must_use]
    pub fn worst_case_bytes(limits: &Limits) -> u64 {
        if !limits.routes() {
            return 0;
        }
        let own = size_of::<Bundles>() as u64;
        let ours = Ledger::worst_case_bytes(limits);
        own.saturating_add(u64::from(limits.bundle_bytes))
            .saturating_add(ours)
            .saturating_add(Incoming::worst_case_bytes(limits))
    }

    /// Panics when an invariant does not hold.
    pub fn check(&self, limits: &Limits) {
        self.shelf.check(limits);
        self.ours.check(limits);
        self.incoming.check(limits);
        let kept: usize = self.destinations.values().map(|kept| kept.waiting.len() + kept.under_way).sum();
        assert_eq!(kept, self.shelf.len(), "each bundle waits or is under way");
        for id in self.shelf.ids() {
            let Some(held) = self.shelf.get(id) else { continue };
            assert!(self.alarms.has(Alarm::Bundle(id)), "a bundle without an end");
            let waits =
                self.destinations.get(&held.bundle.head.to).map(|d| d.waiting.contains(&held.place(id)));
            assert_eq!(waits, Some(held.given.is_none()));
            if let Some(given) = held.given {
                assert_eq!(self.carried.get(&given.tag), Some(&id));
            }
        }
        assert!(self.carried.values().all(|id| self.shelf.get(*id).is_some()), "what is carried is kept");
        assert!(self.alarms.len() <= 1 + 2 * self.shelf.len() + self.ours.len() + self.incoming.receipts());
    }
}

/// Whether a bundle may go to somebody who is not its destination: not to whoever brought it, and not without end.
fn may_be_handed(held: &Held, next: RouterId) -> bool {
    held.handovers > 0 && held.origin != Origin::Others(next)
}
