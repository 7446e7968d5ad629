//! On a shared medium one transmission serves all who hear it.
//!
//! In a square one calls the news out once instead of walking to each stall. Nobody signs for having heard it, so the walk is made
//! after all, but with the word only that there is news (IHAVE); who missed the call asks. And who was about to call it out
//! and hears two others do so keeps silent (Ni, Tseng, Chen and Sheu, "The Broadcast Storm Problem", MobiCom 1999, section 3.2.2,
//! the counter-based scheme, with their C = 2).
//!
//! What is heard so has no sender that could be believed. A broadcast needs none: its origin signed it. Everything else that
//! is heard so is dropped.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;

use super::message::Message;
use super::signed::MessageId;
use super::{Gossip, Keys};
use crate::drops::Drop;
use crate::ids::LinkId;
use crate::machine::Cx;
use crate::time::{Duration, Instant};

/// Calls wait for up to this long for each who hears them, by chance, so that few call before they have heard the others. A guess: the
/// time of one transmission of a fast radio and its way through two nodes.
const WITHIN: Duration = Duration::from_millis(10);
/// And for no more than so many times that.
const MOST_TURNS: u64 = 50;
/// So many calls heard make one's own needless.
const ENOUGH: u8 = 2;
/// Calls that wait.
const MOST_WAITING: usize = 256;

/// Calls that wait for their moment.
#[derive(Debug, Default)]
pub(super) struct Media {
    waiting: BTreeMap<(LinkId, MessageId), (Instant, u8)>,
}

impl Media {
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.values().map(|&(at, _)| at).min()
    }

    pub(super) fn let_go(&mut self, id: MessageId) {
        self.waiting.retain(|(_, waiting), _| *waiting != id);
    }

    pub(super) fn worst_case_bytes() -> u64 {
        MOST_WAITING as u64 * 3 * size_of::<(LinkId, MessageId, Instant, u8)>() as u64
    }
}

impl Gossip {
    /// Something came without a sender.
    pub(super) fn heard(&mut self, cx: &mut Cx<'_>, medium: LinkId, payload: &Bytes, keys: &dyn Keys) {
        let broadcast = match Message::decode(payload) {
            Ok(Message::Broadcast(broadcast)) => broadcast,
            Ok(Message::Skipped) => return,
            Ok(_) | Err(_) => {
                cx.drops.count(Drop::ProtocolViolation);
                return;
            }
        };
        if let Some((_, heard)) = self.media.waiting.get_mut(&(medium, broadcast.id)) {
            *heard = heard.saturating_add(1);
            if *heard >= ENOUGH {
                self.media.waiting.remove(&(medium, broadcast.id));
            }
        }
        self.payload(cx, (None, Some(medium)), broadcast, keys);
    }

    /// Has a broadcast called out on each medium that leads to two neighbours or more; returns those media.
    pub(super) fn call_out(
        &mut self,
        cx: &mut Cx<'_>,
        id: MessageId,
        heard_on: Option<LinkId>,
    ) -> Vec<LinkId> {
        let mut listeners = self.views.listeners();
        listeners.retain(|_, count| *count >= 2);
        for (&medium, &count) in &listeners {
            let is_ours = id.origin == self.own.router;
            let wait = if is_ours { 0 } else { cx.rng.below(WITHIN.as_micros() * count.min(MOST_TURNS)) };
            if self.media.waiting.len() < MOST_WAITING {
                let at = cx.now + Duration::from_micros(wait);
                self.media.waiting.insert((medium, id), (at, u8::from(heard_on == Some(medium))));
            }
        }
        listeners.into_keys().collect()
    }

    pub(super) fn call_due(&mut self, cx: &mut Cx<'_>) {
        let due = self.media.waiting.iter().filter(|(_, (at, _))| *at <= cx.now);
        for (medium, id) in due.map(|(&key, _)| key).collect::<Vec<(LinkId, MessageId)>>() {
            self.media.waiting.remove(&(medium, id));
            if let Some(broadcast) = self.store.get(id) {
                self.out.shout(cx.now, cx.limits, medium, &Message::Broadcast(broadcast.clone()));
            }
        }
    }

    pub(super) fn check_media(&self) {
        assert!(self.media.waiting.len() <= MOST_WAITING);
    }
}
