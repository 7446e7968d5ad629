//! The members' part of the world: what they say to all, and what they hear of each other.

use std::collections::VecDeque;

use proto_core::gossip::What as Standing;
use proto_core::gossip::signed::{Role, Topic};
use proto_core::node::{Command, GossipCommand, GossipEvent, Input};

use super::{Event, World};
use crate::check::Violation;
use crate::draw::{Lot, Purpose, pair};
use crate::plan::{BroadcastPlan, Deed, MemberPlan, Part, What};
use crate::subject::Subject;

/// A node that could not take a broadcast is asked again after this.
const RETRY_US: u64 = 100_000;
/// Who was switched on so lately, or cut off, is not held to be there.
const CALM_US: u64 = 60_000_000;
/// Of a link that loses more, in millionths, nothing is promised.
const MOST_LOSS_PPM: u32 = 300_000;

impl<S: Subject> World<S> {
    /// A broadcast is due.
    pub(super) fn say_to_all(&mut self, number: u32, index: u64) {
        let broadcast = self.plan.broadcasts[number as usize].clone();
        let BroadcastPlan { from, count, every_us, topic, .. } = broadcast;
        if self.storm_over || index >= count {
            return;
        }
        let known = &self.hosts[from as usize];
        let next_us = self.now_us + every_us;
        if known.subject.is_none() || known.frozen || self.gossip.has_left(from) {
            // Who is off, or has left, says nothing; it goes on when it is back.
            return self.agenda.push(next_us, Event::Say { broadcast: number, index: index + 1 });
        }
        let bytes = size_of(self.plan.seed, number, &broadcast, index);
        let payload = self.gossip.words(number, index, bytes);
        let hearers = self.hearers(from, topic);
        let tag = u64::from(number) << 40 | index;
        let command = GossipCommand::Broadcast { tag, topic: Topic(topic), payload };
        if known.is_busy(self.now_us) {
            return self.agenda.push(self.now_us + RETRY_US, Event::Say { broadcast: number, index });
        }
        match self.turn(from, Input::Command(Command::Gossip(command))) {
            Some(Ok(())) => {
                self.gossip.said(self.now_us, (number, index, bytes), &hearers);
                self.agenda.push(next_us, Event::Say { broadcast: number, index: index + 1 });
            }
            Some(Err(refused)) => {
                self.note(from, format!("broadcast {index} of entry {number} not taken: {refused}"));
                self.agenda.push(self.now_us + RETRY_US, Event::Say { broadcast: number, index });
            }
            None => {}
        }
    }

    /// A member does something. Who is off does not do it; who cannot yet tries again.
    pub(super) fn do_as_member(&mut self, entry: u32) {
        let MemberPlan { node, what, .. } = self.plan.members[entry as usize].clone();
        let known = &self.hosts[node as usize];
        if self.storm_over || known.subject.is_none() || known.frozen {
            return;
        }
        let again_us = self.now_us + RETRY_US;
        if known.is_busy(self.now_us) {
            return self.agenda.push(again_us, Event::Member { entry });
        }
        let command = match what {
            Deed::Leave {} => GossipCommand::Leave,
            Deed::Join { contact } => GossipCommand::Join { contact: self.ids[contact as usize] },
            Deed::Announce { role, capabilities } => {
                let role = match role {
                    Part::Full => Role::Full,
                    Part::Relay => Role::Relay,
                    Part::Leaf => Role::Leaf,
                };
                GossipCommand::Announce { role, capabilities }
            }
        };
        match self.turn(node, Input::Command(Command::Gossip(command))) {
            Some(Ok(())) if matches!(what, Deed::Leave {}) => self.gossip.left(self.now_us, node),
            Some(Ok(())) | None => {}
            Some(Err(refused)) => {
                self.note(node, format!("entry {entry} of members not taken: {refused}"));
                self.agenda.push(again_us, Event::Member { entry });
            }
        }
    }

    /// Who has to hear what this node says about a topic now.
    fn hearers(&self, from: u32, topic: u32) -> Vec<u32> {
        let listens = |host: u32| {
            let known = &self.hosts[host as usize];
            let asks = self.plan.node(host).is_some_and(|node| node.topics.contains(&topic));
            let is_there = known.subject.is_some() && !known.frozen && !self.gossip.has_left(host);
            is_there && asks && self.plan.limits(host).gossips()
        };
        let joined = |host: u32| self.mesh.joins(from, host) || self.reach.can_talk(&self.plan, from, host);
        (0..self.ids.len() as u32).filter(|&host| host != from && listens(host) && joined(host)).collect()
    }

    /// A node that has started is told what its application wants to hear.
    pub(super) fn subscribe(&mut self, host: u32) {
        let node = self.hosts[host as usize].node;
        if host != node || !self.plan.limits(node).gossips() {
            return;
        }
        for topic in self.plan.node(node).map_or(Vec::new(), |entry| entry.topics.clone()) {
            let command = GossipCommand::Subscribe { topic: Topic(topic) };
            if let Some(Err(refused)) = self.turn(host, Input::Command(Command::Gossip(command))) {
                self.note(host, format!("topic {topic} refused: {refused}"));
            }
        }
    }

    /// Something of all members has come to an application.
    pub(super) fn heard_of_gossip(&mut self, host: u32, event: GossipEvent) {
        match event {
            GossipEvent::Delivered { payload, .. } => {
                if let Err(violation) = self.gossip.heard(self.now_us, host, &payload) {
                    self.complain(Some(violation));
                }
            }
            GossipEvent::Spread { .. } => {}
            GossipEvent::Refused { tag, why } => {
                self.note(host, format!("broadcast {tag:x} goes to nobody: {why:?}"));
            }
            GossipEvent::Member { member, what, .. } => {
                let Some(&member) = self.members.get(&member) else { return };
                let removed = match what {
                    Standing::Suspected => false,
                    Standing::Died => true,
                    Standing::Left => {
                        let complaint = self.gossip.heard_leave(self.now_us, host, member).err();
                        return self.complain(complaint);
                    }
                    Standing::Announced => return self.gossip.heard_announced(member),
                    Standing::Joined | Standing::Cleared => return,
                };
                if self.gossip.judged(self.now_us, member, removed) {
                    self.removed_alive(host, member);
                }
            }
        }
    }

    /// A member was removed that is there: that is wrong, unless something held it up or cut it off.
    fn removed_alive(&mut self, by: u32, member: u32) {
        let excused = !self.is_calm() || !self.is_steady(by) || !self.hangs_together(by, member);
        self.gossip.removed_alive(excused);
        if !excused {
            let reason = format!("node {by} has removed node {member}, which is there");
            self.complain(Some(Violation::safety("gossip", reason)));
        }
    }

    /// Whether nothing has cut anybody off or held anybody up lately. Losses do not count, nor the power of others.
    fn is_calm(&self) -> bool {
        self.plan.faults.iter().all(|fault| {
            let harmless =
                matches!(fault.what, What::Loss { .. } | What::Crash { .. } | What::RebootLoop { .. });
            let is_over = fault.end_us.saturating_add(CALM_US) < self.now_us;
            harmless || fault.start_us > self.now_us || is_over
        })
    }

    /// Whether a host has run for long enough.
    fn is_steady(&self, host: u32) -> bool {
        let known = &self.hosts[host as usize];
        let up_us = known.up_us.saturating_add(CALM_US);
        known.subject.is_some() && !known.frozen && known.paused == 0 && up_us <= self.now_us
    }

    /// Whether hosts that have run for long enough join two, by links that do not lose too much.
    fn hangs_together(&self, a: u32, b: u32) -> bool {
        let mut near = vec![Vec::new(); self.hosts.len()];
        let usable = self.plan.links.iter().filter(|link| {
            let back_ppm = if link.spec().shared { 0 } else { link.loss_back_ppm };
            link.loss_there_ppm.max(back_ppm) <= MOST_LOSS_PPM
        });
        for link in usable {
            for &one in &link.members {
                near[one as usize].extend(link.members.iter().copied().filter(|&other| other != one));
            }
        }
        let mut seen = vec![false; near.len()];
        let mut open = VecDeque::from([a]);
        while let Some(host) = open.pop_front() {
            if std::mem::replace(&mut seen[host as usize], true) || !self.is_steady(host) {
                continue;
            }
            open.extend(&near[host as usize]);
        }
        seen[b as usize] && self.is_steady(b)
    }
}

/// Bytes of one broadcast of an entry.
fn size_of(seed: u64, number: u32, broadcast: &BroadcastPlan, index: u64) -> u32 {
    let lot = Lot::new(seed, Purpose::Flow, pair(number, 2));
    lot.between(index, u64::from(broadcast.size.0), u64::from(broadcast.size.1)) as u32
}
