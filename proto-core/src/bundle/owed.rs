//! Our own durable messages that their receivers do not have yet.
//!
//! A ledger of what is owed to whom. What a session can bring is left to the session; where no way leads to the receiver, the message is sealed
//! and entrusted to whoever was its neighbour. It stays on the disk until its receiver has it. When nothing is heard of it for long, it is entrusted again:
//! whoever had it may be gone.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::record::{Bundle, Head, Kind};
use super::shelf::{Disk, Held, Origin};
use super::{
    Action, Alarm, Avoided, Bundles, FIRST_GAP, GATHER, LAST_GAP, MOST_HANDOVERS, Place, WINDOW, World,
};
use crate::carried::Owed;
use crate::ids::{NodeId, RouterId};
use crate::limits::Limits;
use crate::machine::Cx;
use crate::node::input::Class;
use crate::time::{Duration, Instant};

/// A message that was entrusted to somebody is entrusted anew after this long.
const AGAIN: Duration = Duration::from_secs(3_600);
/// What a session has not brought after so long is entrusted to others, though a way leads there.
const OVERDUE: Duration = Duration::from_secs(10);
/// What an entry takes with its share of a tree's nodes.
const ENTRY_BYTES: usize = 2 * (size_of::<u64>() + size_of::<(Class, State)>());
/// Numbers that may be given out run this far ahead of the oldest unfinished one (`link::messages::carried`).
const REACH: u64 = 64;
const NODE_BYTES: usize = 2 * (size_of::<NodeId>() + size_of::<Debtor>()) + 512;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Nobody else has it.
    Waiting,
    /// Somebody was asked to take it.
    UnderWay,
    /// Somebody has it, and that is believed until then.
    Entrusted(Instant),
}

/// What is owed to one node.
#[derive(Debug)]
struct Debtor {
    numbers: BTreeMap<u64, (Class, State)>,
    under_way: usize,
    gap: Duration,
    avoided: Avoided,
    /// Where its device was when it was last looked for, its key, and who is to be asked.
    by: Option<(RouterId, [u8; 32], RouterId)>,
    /// Since when there is something that it does not have.
    since: Instant,
}

/// What is owed to all.
#[derive(Debug, Default)]
pub(super) struct Ledger(BTreeMap<NodeId, Debtor>);

impl Ledger {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Those for whom something waits.
    pub(super) fn waiting(&self) -> impl Iterator<Item = NodeId> + '_ {
        let waits = |debtor: &Debtor| debtor.numbers.values().any(|(_, state)| *state == State::Waiting);
        self.0.iter().filter(move |(_, debtor)| waits(debtor)).map(|(&node, _)| node)
    }

    /// What was under way is nobody's.
    pub(super) fn returned(&mut self, node: NodeId, number: u64) {
        self.set(node, number, State::Waiting);
    }

    fn set(&mut self, node: NodeId, number: u64, new: State) {
        let Some(debtor) = self.0.get_mut(&node) else { return };
        let Some((_, state)) = debtor.numbers.get_mut(&number) else { return };
        let before = core::mem::replace(state, new);
        debtor.under_way -= usize::from(before == State::UnderWay);
        debtor.under_way += usize::from(new == State::UnderWay);
    }

    fn remove(&mut self, node: NodeId, number: u64) {
        self.set(node, number, State::Waiting);
        if let Some(debtor) = self.0.get_mut(&node) {
            debtor.numbers.remove(&number);
        }
    }

    pub(super) fn worst_case_bytes(limits: &Limits) -> u64 {
        let messages = u64::from(limits.durable_messages).saturating_mul(ENTRY_BYTES as u64);
        messages.saturating_add(u64::from(limits.durable_peers).saturating_mul(NODE_BYTES as u64))
    }

    pub(super) fn check(&self, limits: &Limits) {
        let numbers: usize = self.0.values().map(|debtor| debtor.numbers.len()).sum();
        assert!(numbers <= limits.durable_messages as usize, "{numbers} messages are owed");
        for debtor in self.0.values() {
            assert!(!debtor.numbers.is_empty(), "nothing is owed");
            let under_way = debtor.numbers.values().filter(|(_, state)| *state == State::UnderWay).count();
            assert_eq!(under_way, debtor.under_way);
        }
    }
}

impl Bundles {
    pub(super) fn waits(&mut self, cx: &Cx<'_>, node: NodeId, (number, class): (u64, Class)) {
        let new = || Debtor {
            numbers: BTreeMap::new(),
            under_way: 0,
            gap: FIRST_GAP,
            avoided: Avoided::default(),
            by: None,
            since: cx.now,
        };
        let debtor = self.ours.0.entry(node).or_insert_with(new);
        debtor.numbers.entry(number).or_insert((class, State::Waiting));
        debtor.since = if debtor.numbers.len() == 1 { cx.now } else { debtor.since };
        if debtor.by.is_some() || !self.alarms.has(Alarm::Ours(node)) {
            // What a session brings meanwhile is never looked at here.
            self.alarms.set_at_latest(Alarm::Ours(node), cx.now + GATHER);
        }
    }

    /// Something owed to a node may be finished, or be given to others.
    pub(super) fn look_soon(&mut self, cx: &Cx<'_>, node: NodeId) {
        if self.ours.0.contains_key(&node) {
            self.alarms.set_at_latest(Alarm::Ours(node), cx.now + GATHER);
        }
    }

    /// Asks where a node is to which something is owed.
    pub(super) fn look_for(&mut self, cx: &Cx<'_>, node: NodeId) {
        if let Some(debtor) = self.ours.0.get_mut(&node) {
            for (_, state) in debtor.numbers.values_mut() {
                if matches!(state, State::Entrusted(until) if *until <= cx.now) {
                    *state = State::Waiting;
                }
            }
            self.actions.push_back(Action::Find { node, avoid: debtor.avoided.at(cx.now) });
        }
    }

    /// A message is finished.
    pub(super) fn ended(&mut self, cx: &Cx<'_>, node: NodeId, number: u64) {
        self.ours.remove(node, number);
        if let Some(debtor) = self.ours.0.get_mut(&node) {
            // As long as messages go through, those that wait wait for their turn.
            debtor.since = cx.now;
        }
        self.forget_paid(node);
    }

    pub(super) fn found(
        &mut self,
        cx: &Cx<'_>,
        node: NodeId,
        device: Option<(RouterId, [u8; 32])>,
        place: Place,
    ) {
        let Some(debtor) = self.ours.0.get_mut(&node) else { return };
        debtor.by = match (device, place) {
            (Some((router, key)), Place::By(by)) => Some((router, key, by)),
            // It has been there only now and then, or out of reach for a session: its neighbour is nearer.
            (Some((router, key)), Place::There(Some(by))) if debtor.since + OVERDUE <= cx.now => {
                Some((router, key, by))
            }
            (_, Place::By(_) | Place::There(_) | Place::Here) => None,
        };
        let gap = if place == Place::Here { LAST_GAP } else { debtor.gap };
        let next = debtor.avoided.next(cx.now).filter(|_| place == Place::Here);
        let again = next.map_or(cx.now + gap, |next| next.min(cx.now + gap));
        debtor.gap = debtor.gap.mul_ratio(2, 1).min(LAST_GAP);
        self.alarms.set_at_latest(Alarm::Ours(node), again);
        self.fetch_next(node);
    }

    /// Has as many messages fetched as may be under way, the most urgent first.
    fn fetch_next(&mut self, node: NodeId) {
        let Some(debtor) = self.ours.0.get(&node).filter(|debtor| debtor.by.is_some()) else { return };
        let Some((&first, _)) = debtor.numbers.first_key_value() else { return };
        let near = debtor.numbers.range(..first.saturating_add(REACH));
        let waiting = near.filter(|(_, (_, state))| *state == State::Waiting);
        let mut next: Vec<(Class, u64)> = waiting.map(|(&number, &(class, _))| (class, number)).collect();
        next.sort_unstable();
        next.truncate(WINDOW.saturating_sub(debtor.under_way));
        for (_, number) in next {
            self.ours.set(node, number, State::UnderWay);
            self.actions.push_back(Action::Fetch { node, number });
        }
    }

    pub(super) fn fetched(
        &mut self,
        cx: &mut Cx<'_>,
        (node, number): (NodeId, u64),
        owed: Owed,
        world: &dyn World,
    ) {
        let Owed::Message { class, lifetime, payload } = owed else {
            if owed == Owed::Gone {
                self.ours.remove(node, number);
                self.forget_paid(node);
            } else {
                self.ours.set(node, number, State::Waiting);
            }
            return;
        };
        let by = self.ours.0.get(&node).and_then(|debtor| debtor.by);
        let Some((to, key, by)) = by else { return self.ours.set(node, number, State::Waiting) };
        let head = Head { from: self.router, to, kind: Kind::Message, number, class };
        let sealed = Bundle::seal(cx.rng, world.identity(), self.network, (head, &key), &payload);
        let bundle = sealed.ok().filter(|bundle| self.make_room(cx.limits, bundle, Origin::Ours(node)));
        let Some(bundle) = bundle else { return self.ours.set(node, number, State::Waiting) };
        let id = bundle.id;
        self.keep(Held {
            bundle,
            origin: Origin::Ours(node),
            expires: cx.now + lifetime,
            handovers: MOST_HANDOVERS,
            disk: Disk::No,
            given: None,
            order: 0,
        });
        self.give(cx, id, by);
    }

    /// What is owed to nobody is forgotten.
    fn forget_paid(&mut self, node: NodeId) {
        if self.ours.0.get(&node).is_some_and(|debtor| debtor.numbers.is_empty()) {
            self.ours.0.remove(&node);
            self.alarms.clear(Alarm::Ours(node));
        }
    }

    /// Somebody has a message of ours.
    pub(super) fn entrusted(&mut self, cx: &Cx<'_>, node: NodeId, number: u64, stored: bool) {
        let until = cx.now + AGAIN;
        self.ours.set(node, number, State::Entrusted(until));
        if let Some(debtor) = self.ours.0.get_mut(&node) {
            debtor.gap = FIRST_GAP;
            self.alarms.set_at_latest(Alarm::Ours(node), until);
        }
        self.actions.push_back(Action::Entrusted { node, number, stored });
        self.fetch_next(node);
    }

    /// Somebody did not take a message of ours. One to be avoided is not asked again for so long, but another.
    pub(super) fn not_entrusted(
        &mut self,
        cx: &Cx<'_>,
        node: NodeId,
        number: u64,
        avoid: Option<(RouterId, Duration)>,
    ) {
        self.ours.set(node, number, State::Waiting);
        let Some(debtor) = self.ours.0.get_mut(&node) else { return };
        if let Some((by, span)) = avoid {
            debtor.avoided.push(cx.now, by, span);
        }
        debtor.by = None;
        self.alarms.set_at_latest(Alarm::Ours(node), cx.now + debtor.gap);
    }
}
