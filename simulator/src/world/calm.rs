//! After the storm: heal what can be healed, freeze what cannot, and see whether everything finishes.
//!
//! What still waits is named with its reason. What cannot be held against the core (a message whose
//! sender lost its memory, a node whose records rotted, a link that loses everything) is counted by
//! name and never silently green.

use super::host::NEVER;
use super::reach::Mesh;
use super::{Event, LOOK_US, World};
use crate::check::Violation;
use crate::histogram::Histogram;
use crate::outcome::{Outcome, RouteReport, Verdict, share_ppm};
use crate::plan::{FlowPlan, Kind, PeerPlan};
use crate::subject::Subject;

/// A small message on its way over the mesh is so many times as long as its bytes, in several copies (guess).
const WITH_HEADERS: u64 = 8;

impl<S: Subject> World<S> {
    /// The storm is over.
    pub(super) fn storm_ends(&mut self) {
        for fault in 0..self.plan.faults.len() as u32 {
            self.end(fault);
        }
        self.storm_over = true;
        self.calm_at_us = Some(self.now_us);
        if self.plan.peers.iter().any(|peer| peer.until_us.is_some()) {
            // Whoever has gone is not expected to be reached any more.
            let now_us = self.now_us;
            let counts = |peer: &PeerPlan| peer.until_us.is_none_or(|until_us| until_us > now_us);
            self.mesh = Mesh::of(&self.plan, &self.reach, counts);
            self.settle_exemptions();
        }
        let nodes = self.ids.len() as u32;
        if !self.plan.expect.core.is_empty() {
            for node in (0..nodes).filter(|node| !self.plan.expect.core.contains(node)) {
                if !std::mem::replace(&mut self.hosts[node as usize].frozen, true)
                    && self.hosts[node as usize].subject.is_some()
                {
                    self.gossip.gone(self.now_us, node);
                }
                self.hosts[node as usize].wanted_us = NEVER;
            }
            self.settle_exemptions();
        }
        for node in 0..nodes {
            let known = &self.hosts[node as usize];
            if known.frozen {
                continue;
            }
            if known.subject.is_none() {
                let life = known.life;
                self.boot(node, life);
            } else if known.disk.has_failed() {
                // A node whose disk failed is restarted on a new one: that is the operator's part.
                self.power_cut(node, Some(0));
            }
            self.wake_flows(node);
        }
        self.agenda.push(self.now_us, Event::Look);
    }

    /// A look at whether everything is done.
    pub(super) fn look(&mut self) {
        if self.storm_over || self.plan.expect.stop_early {
            if self.is_done() {
                self.finished = true;
                return;
            }
            if self.storm_over && self.now_us >= self.plan.duration_us.saturating_add(self.plan.calm_us) {
                self.pending = self.pending();
                self.finished = true;
                return;
            }
            if !self.storm_over || self.calm_at_us.is_some() {
                self.agenda.push(self.now_us + LOOK_US, Event::Look);
            }
        }
    }

    fn is_done(&self) -> bool {
        let all_given = |flow: &u32| self.work.not_given(&self.plan, *flow, self.storm_over) == 0;
        self.ledger.outstanding() == 0
            && !self.gossip.is_waiting()
            && (0..self.plan.flows.len() as u32).all(|flow| all_given(&flow) || self.is_exempt_flow(flow))
            && self.pending().is_empty()
    }

    /// What is not finished, each with its reason.
    fn pending(&self) -> Vec<String> {
        let mut reasons = self.ledger.pending();
        reasons.extend(self.gossip.pending());
        for (flow, number) in self.plan.flows.iter().zip(0..) {
            let left = self.work.not_given(&self.plan, number, self.storm_over);
            if left > 0 && !self.is_exempt_flow(number) {
                let ends = format!("flow {number} ({} to {})", flow.from, flow.to);
                reasons.push(format!("{ends}: {left} messages not taken by the node"));
            }
        }
        if self.plan.expect.sessions {
            for peer in self.plan.peers.iter().filter(|peer| !self.is_exempt(peer.node, peer.to)) {
                let up = |a, b| self.sessions.contains(&(a, b));
                if !up(peer.node, peer.to) || !up(peer.to, peer.node) {
                    reasons.push(format!("no session between {} and {}", peer.node, peer.to));
                }
            }
        }
        for (host, number) in self.hosts.iter().zip(0..).filter(|(host, _): &(_, u32)| !host.frozen) {
            if host.disk.is_busy() {
                reasons.push(format!("node {number}: writes are not durable yet"));
            }
        }
        reasons
    }

    fn is_exempt_flow(&self, flow: u32) -> bool {
        let &FlowPlan { from, to, .. } = &self.plan.flows[flow as usize];
        let direct = || self.reach.can_talk(&self.plan, from, to) && self.is_kept(from, to);
        self.is_silenced(from, to) || !(direct() || self.mesh.joins(from, to))
    }

    /// Whether no session can be expected between two nodes.
    fn is_exempt(&self, a: u32, b: u32) -> bool {
        self.is_silenced(a, b) || !self.reach.can_talk(&self.plan, a, b) || !self.is_kept(a, b)
    }

    /// Whether one of two nodes may have nothing to say any more.
    fn is_silenced(&self, a: u32, b: u32) -> bool {
        let frozen = |node: u32| self.hosts[node as usize].frozen;
        let void = |node: u32| self.ledger.rotten.contains(&node) || self.revoked.contains(&node);
        frozen(a) || frozen(b) || void(a) || void(b)
    }

    /// Takes the flows of which nothing can be expected out of the account.
    pub(super) fn settle_exemptions(&mut self) {
        for flow in 0..self.plan.flows.len() as u32 {
            if self.is_exempt_flow(flow) {
                self.ledger.exempt(flow);
            }
        }
    }

    /// A quarter of the storm is over.
    pub(super) fn quarter_over(&mut self) {
        if let Some(meter) = &mut self.options.meter {
            for (host, number) in self.hosts.iter_mut().zip(0..) {
                let peak = meter.take_peak(number);
                host.report.peak_bytes = host.report.peak_bytes.max(peak);
                let quarter = &mut host.report.peak_bytes_by_quarter[self.quarter];
                *quarter = (*quarter).max(peak);
            }
        }
        self.quarter = (self.quarter + 1).min(3);
    }

    /// A node that holds more of messages than were sent to it and not delivered has forgotten to let go.
    /// Durable messages are held until the application confirms them, so they are left out. A router holds, in part, what is on its way
    /// to others.
    fn leak(&self) -> Option<Violation> {
        let mut owed = vec![0_u64; self.ids.len()];
        for (flow, bytes) in self.plan.flows.iter().zip(self.ledger.undelivered_bytes()) {
            let durable = flow.delivery == Kind::Durable;
            owed[flow.to as usize] =
                owed[flow.to as usize].saturating_add(if durable { u64::MAX } else { bytes });
        }
        let on_the_way =
            self.ledger.undelivered_bytes().fold(0, u64::saturating_add).saturating_mul(WITH_HEADERS);
        let hosts = self
            .hosts
            .iter()
            .zip(0..)
            .filter_map(|(host, number)| Some((host, number, host.subject.as_ref()?)));
        for (host, number, subject) in hosts {
            let routes = self.plan.limits(host.node).routes();
            let of_others = if routes { on_the_way } else { 0 };
            let (held, owed) =
                (subject.glance().held_bytes, owed[host.node as usize].saturating_add(of_others));
            // Members always say something to each other, some of it in parts.
            if held > owed && !self.plan.limits(host.node).gossips() {
                let reason = format!(
                    "node {number} holds {held} bytes of messages, of {owed} that were sent to it and not delivered"
                );
                return Some(Violation::resource("resources", reason));
            }
        }
        None
    }

    /// Judges a run that came to its end without a violation.
    fn judge(&mut self) {
        let expect = self.plan.expect.clone();
        let owed = self.ledger.owed();
        if owed > 0 {
            let reason = format!("{owed} durable messages were signed for and never delivered");
            return self.complain(Some(Violation::safety("link", reason)));
        }
        if let Some(leak) = self.leak() {
            return self.complain(Some(leak));
        }
        let liveness = |checker: &'static str, reason: String| {
            Some(Violation { verdict: Verdict::Liveness, checker, reason })
        };
        if !self.pending.is_empty() {
            if !expect.survivable {
                let count = self.pending.len() as u64;
                self.ledger.excuse("beyond-survivable", count);
            } else {
                let shown = self.pending.iter().take(3).cloned().collect::<Vec<_>>().join("; ");
                let more = self.pending.len().saturating_sub(3);
                let reason = if more > 0 { format!("{shown}; and {more} more") } else { shown };
                return self.complain(liveness("calm", reason));
            }
        }
        if let Some(within_us) = expect.session_within_us {
            for (peer, up_us) in self.plan.peers.iter().zip(&self.session_up_us) {
                let late = up_us.is_none_or(|up_us| up_us.saturating_sub(peer.at_us) > within_us);
                if late && !self.is_exempt(peer.node, peer.to) {
                    let when =
                        up_us.map_or("never".to_owned(), |up_us| format!("after {} us", up_us - peer.at_us));
                    let reason = format!(
                        "the session of {} and {} was up {when}, not within {within_us} us",
                        peer.node, peer.to
                    );
                    return self.complain(liveness("session-time", reason));
                }
            }
        }
        let reports = self.ledger.reports();
        let (sent, delivered) =
            reports.iter().fold((0, 0), |(s, d), flow| (s + flow.sent, d + flow.delivered));
        let ratio = share_ppm(delivered, sent);
        if ratio < u64::from(expect.delivered_ppm) {
            let reason = format!(
                "{delivered} of {sent} messages were delivered, less than {} ppm",
                expect.delivered_ppm
            );
            return self.complain(liveness("delivered", reason));
        }
        if expect.idle_bytes_per_s > 0 && self.idle_us > 0 {
            for (host, number) in self.hosts.iter().zip(0..) {
                let rate = u128::from(host.idle_bytes) * 1_000_000 / u128::from(self.idle_us);
                if rate > u128::from(expect.idle_bytes_per_s) {
                    let reason = format!("node {number} sends {rate} B/s while nothing is to be sent");
                    return self.complain(Some(Violation::resource("idle", reason)));
                }
            }
        }
    }
}

/// What the run came to.
pub(super) fn outcome<S: Subject>(world: &mut World<S>) -> Outcome {
    let end_us = world.now_us;
    if let Some(since_us) = world.idle_since_us.take() {
        world.idle_us += end_us - since_us;
    }
    if world.violation.is_none() {
        world.judge();
    }
    world.quarter_over();
    let exempt = (0..world.plan.flows.len() as u32).filter(|flow| world.is_exempt_flow(*flow)).count() as u64;
    world.ledger.excuse("flow-exempt", exempt);
    for host in &mut world.hosts {
        if let Some(subject) = &host.subject {
            let glance = subject.glance();
            world.gossip.add_copies(subject.copies());
            host.report.sessions = glance.sessions;
            host.report.routing_bytes = glance.routing_bytes;
            for (reason, count) in glance.drops.iter().filter(|(_, count)| *count > 0) {
                *host.report.drops.entry(format!("{reason:?}")).or_default() += count;
            }
        }
    }
    let flow_reports = world.ledger.reports();
    let mut latency = Histogram::default();
    flow_reports.iter().for_each(|flow| latency.merge(&flow.latency));
    let total = |of: fn(&crate::outcome::FlowReport) -> u64| flow_reports.iter().map(of).sum::<u64>();
    let bytes_on_wire = world.hosts.iter().map(|host| host.report.bytes_sent).sum::<u64>();
    let (violation, at_us, step) = match world.violation.clone() {
        Some((violation, at_us, step)) => (Some(violation), at_us, step),
        None => (None, end_us, world.trace.steps()),
    };
    let passed = |violation: &Option<Violation>| violation.as_ref().map_or(Verdict::Pass, |v| v.verdict);
    Outcome {
        scenario: world.plan.name.clone(),
        seed: world.plan.seed,
        verdict: passed(&violation),
        checker: violation.as_ref().map_or(String::new(), |v| v.checker.to_owned()),
        reason: violation.map_or(String::new(), |v| v.reason),
        at_us,
        step,
        trace_hash: world.trace.hash(),
        checkpoints: world.trace.checkpoints().to_vec(),
        steps: world.trace.steps(),
        events: world.events,
        nodes: world.ids.len() as u32,
        virtual_us: end_us,
        calm_at_us: world.calm_at_us,
        sent: total(|flow| flow.sent),
        delivered: total(|flow| flow.delivered),
        duplicates: total(|flow| flow.duplicates),
        expired: total(|flow| flow.expired),
        latency,
        bytes_on_wire,
        control_bytes: bytes_on_wire.saturating_sub(total(|flow| flow.bytes_delivered)),
        peak_node_bytes: world.hosts.iter().map(|host| host.report.peak_bytes).max().unwrap_or(0),
        excusable: world.ledger.excusable.clone(),
        pending: world.pending.clone(),
        metrics: std::collections::BTreeMap::new(),
        node_reports: world.hosts.iter().map(|host| host.report.clone()).collect(),
        link_reports: world.net.reports(),
        flow_reports,
        routes: RouteReport {
            longest_circle_us: world.watch.next_hops.longest_circle_us(),
            ..*world.routes.report()
        },
        gossip: world.gossip.report().clone(),
        session_up_us: world.session_up_us.clone(),
        notes: world.notes.clone(),
    }
}
