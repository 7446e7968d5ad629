//! Which message it is that came out.
//!
//! A large one says so itself. Small ones are known by their contents, and of several with the same contents
//! nobody can say which one came: then it was the one that makes the fewest promises broken.

use super::{Arrived, Ledger, wrong};
use crate::app::{NAMED, name_of, payload, size_of};
use crate::check::Violation;

/// Contents of small messages kept at once.
const MOST_SMALL: usize = 1 << 17;

impl Ledger {
    /// Which message this is: flow and number.
    pub(super) fn identify(&self, arrived: &Arrived<'_>) -> Result<(u32, u64), Violation> {
        let Arrived { node, from, kind, bytes, .. } = *arrived;
        let forged = |what: &str| {
            wrong(format!("node {node} was given {} bytes from node {from}: {what}", bytes.len()))
        };
        if bytes.len() >= NAMED as usize {
            let (number, index) = name_of(self.seed, bytes).ok_or_else(|| forged("not what anybody sent"))?;
            let flow = self.flows.get(number as usize).ok_or_else(|| forged("of no flow"))?;
            if (flow.plan.from, flow.plan.to) != (from, node) || flow.plan.delivery != kind {
                return Err(forged("of another flow, or delivered in another way than it was sent"));
            }
            let size = size_of(self.seed, number, &flow.plan, index);
            if payload(self.seed, number, index, size) != *bytes {
                return Err(forged("their contents were changed"));
            }
            return Ok((number, index));
        }
        let Some(alike) = self.small.get(&(from, node, bytes.to_vec())) else {
            return Err(forged("not what anybody sent"));
        };
        // Of several with the same contents it is the first that is expected; else one that ended
        // without arriving; else a repetition of the last.
        let standing = |&(number, index): &(u32, u64)| {
            let flow = &self.flows[number as usize];
            let open = index.checked_sub(flow.base).and_then(|at| flow.open.get(at as usize));
            match open {
                Some(open) if open.delivered_at.is_none() && !open.closed => 0,
                Some(open) if open.delivered_at.is_none() => 1,
                None if flow.ended_unseen.contains_key(&index) => 1,
                Some(_) | None => 2,
            }
        };
        let fits = alike.iter().filter(|(number, _)| self.flows[*number as usize].plan.delivery == kind);
        let best = fits
            .clone()
            .min_by_key(|name| standing(name))
            .filter(|name| standing(name) < 2)
            .or(alike.iter().rfind(|(number, _)| self.flows[*number as usize].plan.delivery == kind));
        best.copied().ok_or_else(|| forged("not sent in this way"))
    }

    /// Forgets small messages that are closed, once there are many; a repetition of one is then "not
    /// what anybody sent", which is a violation too.
    pub(super) fn forget_small(&mut self) {
        if self.small.len() < MOST_SMALL {
            return;
        }
        let flows = &self.flows;
        self.small.retain(|_, alike| {
            alike.retain(|(number, index)| *index >= flows[*number as usize].base);
            !alike.is_empty()
        });
    }

    /// Of two small messages with the same contents nobody can say which one arrived. When the one that
    /// was taken for missing is signed for, it was that one.
    pub(super) fn swap_with_twin(&mut self, number: u32, index: u64) {
        let flow = &self.flows[number as usize];
        let size = size_of(self.seed, number, &flow.plan, index);
        if size >= NAMED {
            return;
        }
        let key = (flow.plan.from, flow.plan.to, payload(self.seed, number, index, size).to_vec());
        let kind = flow.plan.delivery;
        let arrived = |(twin, at): &&(u32, u64)| {
            let flow = &self.flows[*twin as usize];
            let open = at.checked_sub(flow.base).and_then(|at| flow.open.get(at as usize));
            flow.plan.delivery == kind && open.is_some_and(|open| !open.closed && open.delivered_at.is_some())
        };
        let twin = self.small.get(&key).and_then(|alike| alike.iter().find(arrived).copied());
        let Some((twin, at)) = twin else { return };
        let base = self.flows[twin as usize].base;
        let seen =
            self.flows[twin as usize].open.get_mut((at - base) as usize).and_then(|o| o.delivered_at.take());
        let hosts = self.flows[twin as usize].shown_by.remove(&at);
        self.flows[number as usize].shown_by.extend(hosts.map(|hosts| (index, hosts)));
        let base = self.flows[number as usize].base;
        if let Some(open) = self.flows[number as usize].open.get_mut((index - base) as usize) {
            open.delivered_at = seen;
        }
    }

    /// Takes the message given last out of the list of small ones.
    pub(super) fn unlist_small(&mut self, number: u32, index: u64) {
        let flow = &self.flows[number as usize];
        let size = size_of(self.seed, number, &flow.plan, index);
        if size >= NAMED {
            return;
        }
        let key = (flow.plan.from, flow.plan.to, payload(self.seed, number, index, size).to_vec());
        if let Some(alike) = self.small.get_mut(&key) {
            alike.retain(|name| *name != (number, index));
            if alike.is_empty() {
                self.small.remove(&key);
            }
        }
    }
}
