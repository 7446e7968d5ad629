//! What leaves the machine, and how much of it a second.
//!
//! A purse that fills by so many bytes a second, up to those of one second. Whoever finds it empty waits; a message may cost
//! more than is in it, for else a long one could never be sent, and the next waits for longer.

use alloc::collections::VecDeque;

use super::Action;
use super::message::Message;
use crate::ids::RouterId;
use crate::limits::Limits;
use crate::node::input::Class;
use crate::time::{Duration, Instant};

/// What a message costs on its way beside its own bytes: a packet's header and a frame's.
const MESSAGE_COST: u64 = 32;

/// So many seconds' worth may be sent ahead to those who ask. The rest comes when two compare again.
const OVERDRAFT: Duration = Duration::from_secs(5);

/// Actions that wait to be taken, and the purse.
#[derive(Debug)]
pub(super) struct Out {
    pub(super) actions: VecDeque<Action>,
    next_tag: u64,
    /// When all that was sent is paid for.
    paid_at: Instant,
    /// Bytes so far.
    pub(super) bytes: u64,
}

impl Out {
    pub(super) fn new() -> Out {
        Out { actions: VecDeque::new(), next_tag: 0, paid_at: Instant::ZERO, bytes: 0 }
    }

    fn pay(&mut self, now: Instant, limits: &Limits, len: usize) {
        let bytes = len as u64 + MESSAGE_COST;
        self.bytes += bytes;
        let span = Duration::from_secs(1).mul_ratio(bytes, u64::from(limits.gossip_rate.max(1)));
        self.paid_at = self.paid_at.max(now - Duration::from_secs(1)) + span;
    }

    /// When something may be sent that can wait.
    pub(super) fn free_at(&self) -> Instant {
        self.paid_at
    }

    /// Whether so much was sent that whoever asks for more gets nothing: a question is shorter than its answer.
    pub(super) fn is_overdrawn(&self, now: Instant) -> bool {
        self.paid_at > now + OVERDRAFT
    }

    /// A message that arrives once, or is said not to have.
    pub(super) fn send(&mut self, now: Instant, limits: &Limits, to: RouterId, message: &Message) -> u64 {
        let class = match message {
            Message::Broadcast(_) => Class::Normal,
            _ => Class::High,
        };
        let payload = message.encode();
        self.pay(now, limits, payload.len());
        self.next_tag += 1;
        let tag = self.next_tag;
        self.actions.push_back(Action::Send { to, tag, class, payload });
        tag
    }

    /// A message that may be lost.
    pub(super) fn datagram(&mut self, now: Instant, limits: &Limits, to: RouterId, message: &Message) {
        let payload = message.encode();
        self.pay(now, limits, payload.len());
        self.actions.push_back(Action::Datagram { to, payload });
    }

    /// One transmission for all who hear it.
    pub(super) fn shout(
        &mut self,
        now: Instant,
        limits: &Limits,
        medium: crate::ids::LinkId,
        message: &Message,
    ) {
        let payload = message.encode();
        self.pay(now, limits, payload.len());
        self.actions.push_back(Action::Shout { medium, payload });
    }

    pub(super) fn push(&mut self, action: Action) {
        self.actions.push_back(action);
    }
}
