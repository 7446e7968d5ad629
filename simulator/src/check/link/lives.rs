//! What the ledger hears of hosts: that they start, lose their memory, are cloned, or that their records rot.

use proto_core::ids::NodeId;
use proto_core::store::record::Key;

use super::Ledger;
use crate::plan::Kind;

impl Ledger {
    /// There are two of this node now, from one disk. The numbers of their durable messages are the same, so a
    /// receiver takes those of one for those of the other; it says that there are two, and more nobody can.
    pub fn cloned(&mut self, node: u32) {
        self.cloned.insert(node);
    }

    /// Bits flipped in these records of a node; `ids` are the names of all nodes.
    pub fn rotted(&mut self, node: u32, keys: &[Key], ids: &[NodeId]) {
        self.rotten.insert(node);
        let lives = self.lives.get(&node).copied().unwrap_or(0);
        for (peer, id) in (0..).zip(ids) {
            if keys.contains(&Key::Sequence(*id)) {
                self.reserves_rotted.entry((node, peer)).or_insert(lives);
            }
        }
    }

    /// A host was started.
    pub fn booted(&mut self, host: u32) {
        *self.lives.entry(host).or_default() += 1;
    }

    /// A host lost its memory: what its node had not put on disk has an unknown fate. So has what expired, as the node's clock
    /// may have said that runs half as fast again: the record may be gone, and the word lost with the application.
    pub fn lost_memory(&mut self, node: u32, now_us: u64) {
        for number in 0..self.flows.len() as u32 {
            let flow = &mut self.flows[number as usize];
            if flow.plan.from != node || flow.plan.delivery == Kind::Datagram {
                continue;
            }
            let durable = flow.plan.delivery == Kind::Durable;
            let (mut lost, mut unsigned, mut expired) = (Vec::new(), Vec::new(), Vec::new());
            let lifetime_us = flow.plan.lifetime_us.unwrap_or(u64::MAX);
            for (index, open) in (flow.base..).zip(&mut flow.open).filter(|(_, open)| !open.closed) {
                if !durable || !open.accepted {
                    lost.push(index);
                } else if open.delivered_at.is_some() {
                    unsigned.push(index);
                } else if open.sent_us.saturating_add(lifetime_us / 3 * 2) <= now_us {
                    expired.push(index);
                } else {
                    open.orphan = true;
                }
            }
            for index in lost.iter().chain(&expired) {
                flow.ends_uncertain(*index);
            }
            self.excuse("sender-restarted", lost.len() as u64);
            self.excuse("receipt-lost-with-the-sender", (unsigned.len() + expired.len()) as u64);
            for index in lost.into_iter().chain(unsigned).chain(expired) {
                self.close(number, index);
            }
        }
    }
}
