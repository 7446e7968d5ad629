//! The receiving half from one peer: what has come, what is put aside, what is said back.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;

use super::reassembly::{Progress, Reassembly};
use super::receipts::{Notice, write_receipt};
use super::safe::Safe;
use super::{Budget, InboxAction, PathInfo, Usage};
use crate::bounded::{Seen, Window};
use crate::codec::Writer;
use crate::drops::Drop;
use crate::ids::{DeviceId, NodeId};
use crate::link::frame::{self, Channel, DURABLE, Fragment, MessageHeader, ORDINARY};
use crate::link::path::{Fate, Piece};
use crate::machine::Cx;
use crate::node::input::Delivery;
use crate::time::{Duration, Instant};
use crate::wake::{Reason, Wake};
use crate::zoo::Bug;

/// A message in symbols that does not grow for so long is given up. Its sender, if it is still there,
/// asks after it and starts anew (guess: longer than any outage after which a session survives).
const REASSEMBLY_IDLE: Duration = Duration::from_secs(600);
/// Above this loss receipts are repeated in every packet until one is known to have arrived (10 %).
const REPEAT_LOSS_PPM: u32 = 100_000;
/// Room for actions that is kept while there are none.
const IDLE_ACTIONS: usize = 64;
/// Refusals waiting to be told; more are told when the sender tries again.
const REFUSALS: usize = 8;

/// What is known of one message space.
#[derive(Debug, Default)]
pub(super) struct Space {
    /// The numbers that are done with: delivered, or for durable ones on disk.
    pub(super) done: Option<Window>,
    /// No number below this will come any more.
    pub(super) floor: u64,
    pub(super) notice: Notice,
    /// Where the next RECEIPT goes on, when not all runs fitted into the last one.
    pub(super) cursor: u64,
    /// The floor that the last RECEIPT named.
    pub(super) told: u64,
}

impl Space {
    pub(super) fn is_done(&self, seq: u64) -> bool {
        seq < self.floor || self.done.as_ref().is_some_and(|done| done.check(seq) != Seen::Fresh)
    }

    pub(super) fn mark(&mut self, width: u16, seq: u64) {
        self.done.get_or_insert_with(|| Window::new(width)).mark(seq);
    }
}

/// Messages of streams that came before their turn.
#[derive(Debug, Default)]
struct Held {
    /// By predecessor and number.
    waiting: BTreeMap<(u64, u64), Bytes>,
    /// The predecessor of each.
    before: BTreeMap<u64, u64>,
}

/// Everything that comes from one peer.
#[derive(Debug)]
pub struct Inbox {
    pub(super) peer: NodeId,
    pub(super) ordinary: Space,
    pub(super) durable: Space,
    pub(super) parts: BTreeMap<(u8, u64), Reassembly>,
    look_at: Option<Instant>,
    held: Option<Box<Held>>,
    pub(super) safe: Option<Box<Safe>>,
    /// The peer has its place in the budget for durable messages.
    pub(super) correspondent: bool,
    /// Whose numbers the durable ones are.
    pub(super) device: Option<DeviceId>,
    /// Bytes of durable messages on the disk.
    pub(super) disk_bytes: u64,
    /// A durable message found no room. Its sender asks ever more rarely, so it is told when there is some.
    pub(super) turned_away: bool,
    /// The peer is one that this node was told to keep a session with.
    pub wanted: bool,
    refusals: Vec<(u8, u64)>,
    pub(super) usage: Usage,
    pub(super) actions: VecDeque<InboxAction>,
}

impl Inbox {
    /// An empty one, from `peer`.
    #[must_use]
    pub fn new(peer: NodeId) -> Inbox {
        Inbox {
            peer,
            ordinary: Space::default(),
            durable: Space::default(),
            parts: BTreeMap::new(),
            look_at: None,
            held: None,
            safe: None,
            correspondent: false,
            device: None,
            disk_bytes: 0,
            turned_away: false,
            wanted: false,
            refusals: Vec::new(),
            usage: Usage::default(),
            actions: VecDeque::new(),
        }
    }

    /// Whether the application is given no more before it has taken what it was given: one packet holds
    /// hundreds of empty messages.
    fn is_choked(&self, cx: &Cx<'_>) -> bool {
        self.actions.len() >= cx.limits.outputs as usize
    }

    /// A datagram came.
    pub fn on_datagram(&mut self, cx: &mut Cx<'_>, data: &[u8]) {
        if self.is_choked(cx) {
            cx.drops.count(Drop::QueueFull);
            return;
        }
        let payload = Bytes::copy_from_slice(data);
        self.actions.push_back(InboxAction::Deliver {
            delivery: Delivery::Datagram,
            seq: 0,
            again: false,
            payload,
        });
    }

    /// A datagram for routing or gossip came.
    pub fn on_routing_datagram(&mut self, cx: &mut Cx<'_>, data: &[u8]) {
        if self.is_choked(cx) {
            cx.drops.count(Drop::QueueFull);
            return;
        }
        self.actions.push_back(InboxAction::ForRouting { payload: Bytes::copy_from_slice(data) });
    }

    /// A message or a symbol of one came. False when there is no room for it: then the packet must not be
    /// acknowledged. A durable one without room is passed over all the same: its sender waits for a
    /// receipt and asks ever more rarely, where it would repeat at once what it takes for lost.
    pub fn on_message(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
        header: &MessageHeader,
        data: &[u8],
    ) -> bool {
        if self.is_known(header) && !cx.zoo.has(Bug::DedupeOff) {
            cx.drops.count(Drop::DuplicateMessage);
            if header.fragment.is_some() || header.space == DURABLE {
                self.space(header.space).notice.tell_again();
            }
            return true;
        }
        if self.is_choked(cx) {
            cx.drops.count(Drop::QueueFull);
            return false;
        }
        if header.space == DURABLE && header.back.is_some() {
            cx.drops.count(Drop::ProtocolViolation);
            return true;
        }
        let total = header.fragment.map_or(data.len() as u64, |fragment| u64::from(fragment.total_len));
        let most = cx.limits.message_bytes >> if cx.zoo.has(Bug::LimitMisread) { 10 } else { 0 };
        if total > u64::from(most) {
            cx.drops.count(Drop::Oversize);
            self.refuse(header.space, header.seq);
            return true;
        }
        if header.space == DURABLE && self.safe.as_ref().is_some_and(|safe| safe.failed) {
            // Not refused: its record may have reached the disk before the failure, and a restart, which
            // mends the failure, takes what has not.
            cx.drops.count(Drop::NoStorage);
            return true;
        }
        // Its place is taken when the first of its messages is whole.
        if header.space == DURABLE && !self.correspondent && !budget.has_place(self.wanted) {
            cx.drops.count(Drop::QueueFull);
            self.refuse(header.space, header.seq);
            return true;
        }
        if header.space == DURABLE && !self.has_disk_for(cx, budget, header.seq, total) {
            cx.drops.count(Drop::QueueFull);
            self.turned_away = true;
            return true;
        }
        match &header.fragment {
            Some(fragment) => self.on_symbol(cx, budget, header, fragment, data),
            None => self.on_whole(cx, budget, header, data),
        }
    }

    /// Whether there is room on the disk for a durable message, and its name there is free: a device that
    /// was replaced may have left a message of the same number that the application has not taken yet.
    pub(super) fn has_disk_for(&self, cx: &Cx<'_>, budget: &Budget, seq: u64, len: u64) -> bool {
        let is_kept = self.safe.as_ref().is_some_and(|safe| safe.is_kept(seq));
        (!is_kept || cx.zoo.has(Bug::DedupeOff)) && budget.has_disk(self.disk_bytes, len)
    }

    pub(super) fn space(&mut self, space: u8) -> &mut Space {
        if space == DURABLE { &mut self.durable } else { &mut self.ordinary }
    }

    /// Whether this message came before: done with, held for its turn, or on its way to the disk.
    fn is_known(&self, header: &MessageHeader) -> bool {
        let seq = header.seq;
        if header.space == DURABLE {
            return self.durable.is_done(seq) || self.safe.as_ref().is_some_and(|safe| safe.is_storing(seq));
        }
        self.ordinary.is_done(seq) || self.is_held(seq)
    }

    fn is_held(&self, seq: u64) -> bool {
        self.held.as_ref().is_some_and(|held| held.before.contains_key(&seq))
    }

    /// A message found no place; whether its packet may be acknowledged. Where not, a RECEIPT says what of the packet is
    /// here all the same: its sender would repeat that together with what has no place, for ever if that waits for it.
    fn pass_over(&mut self, header: &MessageHeader) -> bool {
        if header.space == ORDINARY {
            self.ordinary.notice.tell_again();
        }
        header.space == DURABLE
    }

    fn refuse(&mut self, space: u8, seq: u64) {
        if self.refusals.len() < REFUSALS && !self.refusals.contains(&(space, seq)) {
            self.refusals.push((space, seq));
        }
    }

    fn on_whole(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
        header: &MessageHeader,
        data: &[u8],
    ) -> bool {
        let direct = header.space == ORDINARY && (self.is_turn(header) || cx.zoo.has(Bug::OrderIgnored));
        if !direct && !self.reserve(budget, header, data.len()) {
            cx.drops.count(Drop::QueueFull);
            return self.pass_over(header);
        }
        // Symbols of it that came when the paths were narrower are of no use any more.
        if !self.parts.is_empty()
            && let Some(part) = self.parts.remove(&(header.space, header.seq))
        {
            budget.give(&mut self.usage, part.total(), header.space == DURABLE);
        }
        let payload = Bytes::copy_from_slice(data);
        if direct {
            self.deliver(cx, budget, header, payload);
        } else if header.space == DURABLE {
            self.keep_safe(cx, budget, header.seq, payload);
        } else {
            self.hold(header, payload);
        }
        true
    }

    fn on_symbol(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
        header: &MessageHeader,
        fragment: &Fragment,
        data: &[u8],
    ) -> bool {
        let key = (header.space, header.seq);
        if !self.parts.contains_key(&key) {
            let Some(part) = Reassembly::new(fragment, cx.now) else {
                cx.drops.count(Drop::ProtocolViolation);
                return true;
            };
            if !self.reserve(budget, header, part.total()) {
                cx.drops.count(Drop::ReassemblyFull);
                return self.pass_over(header);
            }
            self.parts.insert(key, part);
            self.look_at.get_or_insert(cx.now + REASSEMBLY_IDLE);
        }
        let Some(part) = self.parts.get_mut(&key) else { return true };
        let payload = match part.take(fragment, data, cx.limits.params().fountain, cx.now) {
            Progress::More => return true,
            Progress::Contradiction => {
                cx.drops.count(Drop::ProtocolViolation);
                return true;
            }
            Progress::Whole(payload) => payload,
        };
        if cx.zoo.has(Bug::ReassemblyLeak) {
            let durable = u32::from(header.space == DURABLE);
            budget.force(&mut self.usage, Usage { bytes: payload.len() as u64, messages: 1, durable });
        } else {
            self.parts.remove(&key);
        }
        if header.space == DURABLE {
            self.keep_safe(cx, budget, header.seq, payload);
        } else if self.is_turn(header) || cx.zoo.has(Bug::OrderIgnored) {
            budget.give(&mut self.usage, payload.len(), false);
            self.ordinary.notice.touch();
            self.deliver(cx, budget, header, payload);
        } else {
            self.hold(header, payload);
        }
        true
    }

    /// Room for a message that is kept for a while. Those whose turn it is find room even when everything
    /// else is full of those that wait for them.
    fn reserve(&mut self, budget: &mut Budget, header: &MessageHeader, len: usize) -> bool {
        if header.space == DURABLE {
            let has_room = budget.take(&mut self.usage, len, true);
            self.turned_away |= !has_room;
            has_room
        } else if self.is_turn(header) {
            budget.take(&mut self.usage, len, false)
        } else {
            budget.take_ahead(&mut self.usage, len)
        }
    }

    /// Whether nothing has to come before this ordinary message.
    fn is_turn(&self, header: &MessageHeader) -> bool {
        match header.back {
            None | Some(0) => true,
            Some(back) => self.ordinary.is_done(header.seq.saturating_sub(back)),
        }
    }

    fn hold(&mut self, header: &MessageHeader, payload: Bytes) {
        let before = header.seq.saturating_sub(header.back.unwrap_or(0));
        let held = self.held.get_or_insert_default();
        held.before.insert(header.seq, before);
        held.waiting.insert((before, header.seq), payload);
    }

    /// Delivers a message, then whatever waited for it, and so on.
    fn deliver(&mut self, cx: &mut Cx<'_>, budget: &mut Budget, header: &MessageHeader, payload: Bytes) {
        let seq = header.seq;
        self.ordinary.mark(cx.limits.message_window, seq);
        match header.channel {
            Channel::Application => self.give_out(seq, header.back.is_some(), payload),
            Channel::Routing => self.actions.push_back(InboxAction::ForRouting { payload }),
        }
        if self.held.is_none() {
            return;
        }
        let mut ready = alloc::vec![seq];
        while let Some(done) = ready.pop() {
            self.release_held(cx, budget, (done, 0), (done, u64::MAX), &mut ready);
        }
        self.held.take_if(|held| held.before.is_empty());
    }

    /// Delivers what is held between two keys, and notes their numbers in `ready`.
    fn release_held(
        &mut self,
        cx: &mut Cx<'_>,
        budget: &mut Budget,
        from: (u64, u64),
        to: (u64, u64),
        ready: &mut Vec<u64>,
    ) {
        loop {
            let Some(held) = &mut self.held else { return };
            let Some((&key, _)) = held.waiting.range(from..=to).next() else { return };
            let Some(payload) = held.waiting.remove(&key) else { return };
            held.before.remove(&key.1);
            budget.give(&mut self.usage, payload.len(), false);
            self.ordinary.mark(cx.limits.message_window, key.1);
            // It may have come in symbols, which are receipted only now.
            self.ordinary.notice.touch();
            self.give_out(key.1, true, payload);
            ready.push(key.1);
        }
    }

    fn give_out(&mut self, seq: u64, ordered: bool, payload: Bytes) {
        let delivery = if ordered { Delivery::Stream { stream: 0 } } else { Delivery::Message };
        self.actions.push_back(InboxAction::Deliver { delivery, seq, again: false, payload });
    }

    /// The peer sends no number of this space below `floor` any more.
    pub fn on_floor(&mut self, cx: &mut Cx<'_>, budget: &mut Budget, space: u8, floor: u64) {
        let state = self.space(space);
        if floor <= state.floor {
            return;
        }
        state.floor = floor;
        let given_up: Vec<u64> =
            self.parts.range((space, 0)..(space, floor)).map(|(&(_, seq), _)| seq).collect();
        for seq in given_up {
            if let Some(part) = self.parts.remove(&(space, seq)) {
                budget.give(&mut self.usage, part.total(), space == DURABLE);
            }
        }
        if space == ORDINARY && floor > 0 {
            self.drop_held(cx, budget, floor);
            let mut ready = Vec::new();
            self.release_held(cx, budget, (0, 0), (floor - 1, u64::MAX), &mut ready);
            while let Some(done) = ready.pop() {
                self.release_held(cx, budget, (done, 0), (done, u64::MAX), &mut ready);
            }
            self.held.take_if(|held| held.before.is_empty());
        }
    }

    /// Drops what is held below `floor`: it was given up. Otherwise its sender would have waited until it heard that this
    /// node knows of its predecessor's end, and then it is not held any more.
    fn drop_held(&mut self, cx: &mut Cx<'_>, budget: &mut Budget, floor: u64) {
        let Some(held) = &mut self.held else { return };
        while let Some((&seq, &before)) = held.before.first_key_value().filter(|(seq, _)| **seq < floor) {
            held.before.remove(&seq);
            if let Some(payload) = held.waiting.remove(&(before, seq)) {
                cx.drops.count(Drop::Expired);
                budget.give(&mut self.usage, payload.len(), false);
            }
        }
    }

    /// Whether something has to be said back.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.ordinary.notice.is_due() || self.durable.notice.is_due() || !self.refusals.is_empty()
    }

    /// Writes what has to be said back and tells `sink` each piece. With `repeat`, also what was said
    /// and is not known to have arrived, when the path loses much: for packets in which that costs
    /// no symbol its place. Returns whether anything was written.
    pub fn fill(
        &mut self,
        w: &mut Writer<'_>,
        info: &PathInfo,
        repeat: bool,
        sink: &mut impl FnMut(Piece),
    ) -> bool {
        let repeat = repeat && info.loss_ppm > REPEAT_LOSS_PPM;
        let mut wrote = false;
        let storing = self.safe.as_ref().and_then(|safe| safe.first_storing());
        for (space, storing) in [(ORDINARY, u64::MAX), (DURABLE, storing.unwrap_or(u64::MAX))] {
            let state = self.space(space);
            if state.notice.is_due() || repeat && state.notice.is_open() {
                wrote |= write_receipt(state, space, storing, w, sink);
            }
        }
        while let Some(&(space, seq)) = self.refusals.first() {
            if frame::write_refused(w, space, seq).is_err() {
                break;
            }
            self.refusals.remove(0);
            wrote = true;
        }
        wrote
    }

    /// A packet that carried `piece` arrived or was lost.
    pub fn on_fate(&mut self, piece: Piece, fate: Fate) {
        if let Piece::Receipt { space, version } = piece {
            self.space(space).notice.on_fate(version, fate);
        }
    }

    /// A new session, or new keys, with this device of the peer: what was said may have been lost.
    pub fn connected(&mut self, budget: &mut Budget, device: DeviceId) {
        if self.device.replace(device).is_some_and(|before| before != device) && self.correspondent {
            self.begin_anew(budget, device);
        }
        for space in [ORDINARY, DURABLE] {
            let notice = &mut self.space(space).notice;
            if notice.is_open() {
                notice.tell_again();
            }
        }
    }

    /// The peer has restarted: its numbers start anew, except durable ones.
    pub fn peer_restarted(&mut self, budget: &mut Budget) {
        self.ordinary = Space::default();
        for ((space, _), part) in core::mem::take(&mut self.parts) {
            budget.give(&mut self.usage, part.total(), space == DURABLE);
        }
        for payload in self.held.take().map(|held| held.waiting).unwrap_or_default().into_values() {
            budget.give(&mut self.usage, payload.len(), false);
        }
        self.refusals.clear();
        if self.durable.done.is_some() {
            self.durable.notice.touch();
        }
    }

    /// Gives up messages that have not grown for long.
    pub fn wake(&mut self, cx: &mut Cx<'_>, budget: &mut Budget) {
        if self.look_at.is_none_or(|at| at > cx.now) {
            return;
        }
        let idle: Vec<(u8, u64)> = self
            .parts
            .iter()
            .filter(|(_, part)| part.touched + REASSEMBLY_IDLE <= cx.now)
            .map(|(&key, _)| key)
            .collect();
        for key in idle {
            if let Some(part) = self.parts.remove(&key) {
                cx.drops.count(Drop::Expired);
                budget.give(&mut self.usage, part.total(), key.0 == DURABLE);
            }
        }
        let oldest = self.parts.values().map(|part| part.touched).min();
        self.look_at = oldest.map(|touched| touched + REASSEMBLY_IDLE);
    }

    /// When [`Inbox::wake`] is needed.
    #[must_use]
    pub fn next_wake(&self) -> Wake {
        self.look_at.map_or(Wake::Idle, |at| Wake::At(at, Reason::ReassemblyExpiry))
    }

    /// Bytes held: in parts, for their turn, or for the disk.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.usage.bytes + self.safe.as_ref().map_or(0, |safe| safe.usage().bytes)
    }

    /// The peer was removed: give back what is held, but for durable messages that are done with or shown.
    pub fn cancel(&mut self, budget: &mut Budget) {
        self.peer_restarted(budget);
        // Nobody was told of them yet: their sender still has them.
        for seq in self.drop_storing(budget) {
            self.erase(seq);
        }
    }

    /// Whether durable messages came, or began to come.
    #[must_use]
    pub fn has_correspondent(&self) -> bool {
        self.correspondent
    }

    /// Whether [`Inbox::poll`] has anything to give, or memory to give back.
    #[must_use]
    pub fn has_actions(&self) -> bool {
        !self.actions.is_empty() || self.actions.capacity() > IDLE_ACTIONS
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<InboxAction> {
        let action = self.actions.pop_front();
        if action.is_none() && self.actions.capacity() > IDLE_ACTIONS {
            self.actions = VecDeque::new();
        }
        action
    }

    /// Bytes of memory that unfinished messages take.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        let held = self.held.iter().flat_map(|held| held.waiting.values()).map(Bytes::len).sum::<usize>();
        held + self.parts.values().map(Reassembly::kept_bytes).sum::<usize>()
    }

    /// Panics when an invariant does not hold.
    pub fn check(&self) {
        let mut usage = Usage::default();
        for ((space, _), part) in &self.parts {
            let durable = u32::from(*space == DURABLE);
            usage = usage.plus(Usage { bytes: part.total() as u64, messages: 1, durable });
        }
        if let Some(held) = &self.held {
            assert_eq!(held.waiting.len(), held.before.len());
            for (&(before, seq), payload) in &held.waiting {
                assert_eq!(held.before.get(&seq), Some(&before));
                assert!(!self.ordinary.is_done(before), "{seq} waits for {before}, which is done");
                usage = usage.plus(Usage { bytes: payload.len() as u64, messages: 1, durable: 0 });
            }
        }
        if let Some(safe) = &self.safe {
            usage = usage.plus(safe.usage());
            assert_eq!(safe.disk_bytes(), self.disk_bytes, "what is on the disk and what is counted");
        }
        assert_eq!(usage, self.usage, "what is held and what is counted");
    }
}
