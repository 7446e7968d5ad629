//! What goes wrong, when its time has come.

use proto_core::ids::Addr;
use proto_core::node::{Command, Input};

use super::host::Host;
use super::{Event, World};
use crate::check::Sight;
use crate::draw::{Lot, Purpose};
use crate::net::address::address_of;
use crate::net::{Heard, Outbox};
use crate::plan::{Flood, Lie, What};
use crate::subject::Subject;

impl<S: Subject> World<S> {
    /// A fault begins.
    pub(super) fn begin(&mut self, number: u32) {
        let fault = self.plan.faults[number as usize].clone();
        if self.storm_over {
            return;
        }
        self.fault_on[number as usize] = true;
        self.links_changed();
        match &fault.what {
            What::Loss { .. }
            | What::Burst { .. }
            | What::Delay { .. }
            | What::Duplicate { .. }
            | What::Reorder { .. }
            | What::Flip { .. }
            | What::Truncate { .. }
            | What::Mtu { .. }
            | What::Rate { .. }
            | What::Cut { .. }
            | What::Down { .. }
            | What::Replay { .. }
            | What::Nat { .. }
            | What::Partition { .. } => {
                self.net.begin(fault.id, &fault.what);
                self.interfaces_changed(&fault.what);
            }
            What::Flap { .. } => {
                self.net.begin(fault.id, &fault.what);
                self.again(number, 0);
            }
            What::Flood { .. } | What::Lie { .. } | What::Sleep { .. } => self.again(number, 0),
            What::Crash { node, down_us } => self.power_cut(*node, Some(*down_us)),
            What::CrashUnsynced { node, times, down_us } => {
                self.hosts[*node as usize].cut_on_store = Some((*times, *down_us));
            }
            What::RebootLoop { .. } => self.again(number, 0),
            What::Pause { node } => self.hosts[*node as usize].paused += 1,
            What::Slow { node, turn_us } => self.hosts[*node as usize].turn_us = *turn_us,
            What::Clone { node } => self.clone_host(number, *node),
            What::DiskSlow { node, sync_us } => self.hosts[*node as usize].disk.set_slow(Some(*sync_us)),
            What::DiskFull { node } => self.hosts[*node as usize].disk.set_full(true),
            What::DiskFail { node } => self.hosts[*node as usize].disk.set_failing(true),
            What::Rot { node, records } => {
                let keys = self.hosts[*node as usize].disk.rot(fault.id, *records);
                if !keys.is_empty() {
                    self.ledger.rotted(*node, &keys, &self.ids);
                    self.settle_exemptions();
                    self.note(*node, format!("bits rotted in {keys:?}"));
                }
            }
            What::Torn { node, share_ppm } => self.hosts[*node as usize].disk.set_torn(Some(*share_ppm)),
            What::Drift { node, ppm } => {
                let known = &mut self.hosts[*node as usize];
                known.clock.bend(self.now_us, known.planned_drift_ppm.saturating_add(*ppm));
                self.rearrange_wake(*node);
            }
            What::Jump { node, by_us } => {
                self.hosts[*node as usize].clock.jump(self.now_us, *by_us);
                self.rearrange_wake(*node);
            }
            What::WallStep { node, by_us } => self.step_wall(*node, *by_us),
            What::Leap { node } => self.step_wall(*node, -1_000_000),
            What::Revoke { node } => self.revoke(*node),
        }
    }

    /// A fault ends.
    pub(super) fn end(&mut self, number: u32) {
        if !std::mem::take(&mut self.fault_on[number as usize]) {
            return;
        }
        self.links_changed();
        let fault = self.plan.faults[number as usize].clone();
        match &fault.what {
            What::Loss { .. }
            | What::Burst { .. }
            | What::Delay { .. }
            | What::Duplicate { .. }
            | What::Reorder { .. }
            | What::Flip { .. }
            | What::Truncate { .. }
            | What::Mtu { .. }
            | What::Rate { .. }
            | What::Cut { .. }
            | What::Down { .. }
            | What::Replay { .. }
            | What::Nat { .. }
            | What::Flap { .. }
            | What::Partition { .. } => {
                self.net.end(fault.id, &fault.what);
                self.interfaces_changed(&fault.what);
            }
            What::CrashUnsynced { node, .. } => self.hosts[*node as usize].cut_on_store = None,
            What::Pause { node } => {
                self.hosts[*node as usize].paused -= 1;
                self.hosts[*node as usize].busy_until_us = self.now_us;
                self.rearrange_wake(*node);
                self.resume_host(*node);
            }
            What::Sleep { .. } => {
                if self.sleeping.contains(&number) {
                    self.fall_asleep(number, &fault.what, false);
                }
            }
            What::Slow { node, .. } => self.hosts[*node as usize].turn_us = 0,
            What::Clone { .. } => {
                if let Some(clone) = self.clones.get(&number).copied() {
                    self.power_cut(clone, None);
                    self.hosts[clone as usize].frozen = true;
                }
            }
            What::DiskSlow { node, .. } => self.hosts[*node as usize].disk.set_slow(None),
            What::DiskFull { node } => self.hosts[*node as usize].disk.set_full(false),
            What::DiskFail { node } => self.hosts[*node as usize].disk.set_failing(false),
            What::Torn { node, .. } => self.hosts[*node as usize].disk.set_torn(None),
            What::Drift { node, .. } => {
                let known = &mut self.hosts[*node as usize];
                known.clock.bend(self.now_us, known.planned_drift_ppm);
                self.rearrange_wake(*node);
            }
            What::WallStep { node, by_us } => self.step_wall(*node, by_us.saturating_neg()),
            // These are over as soon as they have happened, or stop by themselves.
            What::Flood { .. }
            | What::Crash { .. }
            | What::RebootLoop { .. }
            | What::Rot { .. }
            | What::Jump { .. }
            | What::Leap { .. }
            | What::Revoke { .. } => {}
            What::Lie { node, lie: Lie::Swallow, .. } => self.pass_on(*node),
            What::Lie { .. } => {}
        }
    }

    /// A router lies no more: what it is given for others it passes on.
    fn pass_on(&mut self, node: u32) {
        self.watch.next_hops.passes_on(node);
        if let Some(subject) = &mut self.hosts[node as usize].subject {
            subject.swallow(false);
        }
    }

    /// A fault does the next thing in its middle.
    pub(super) fn again(&mut self, number: u32, n: u64) {
        if !self.fault_on[number as usize] {
            return;
        }
        let (start_us, id) = {
            let fault = &self.plan.faults[number as usize];
            (fault.start_us, fault.id)
        };
        match self.plan.faults[number as usize].what.clone() {
            // Even turns go down, odd ones come up.
            What::Flap { links, period_us, down_ppm, told } => {
                let what = What::Flap { links, period_us, down_ppm, told };
                self.net.flap(id, &what, n.is_multiple_of(2));
                self.interfaces_changed(&what);
                let down_us = (u128::from(period_us) * u128::from(down_ppm) / 1_000_000) as u64;
                let next_us = if n.is_multiple_of(2) {
                    (n / 2).saturating_mul(period_us).saturating_add(down_us)
                } else {
                    n.div_ceil(2).saturating_mul(period_us)
                };
                self.agenda.push(start_us.saturating_add(next_us), Event::Again { fault: number, n: n + 1 });
            }
            // Even turns fall asleep, odd ones wake up.
            What::Sleep { node, period_us, awake_us } => {
                let asleep = n.is_multiple_of(2);
                self.fall_asleep(number, &What::Sleep { node, period_us, awake_us }, asleep);
                let after_us = if asleep { period_us - awake_us } else { awake_us };
                let next_us = self.now_us.saturating_add(after_us);
                self.agenda.push(next_us, Event::Again { fault: number, n: n + 1 });
            }
            What::RebootLoop { node, period_us, down_us } => {
                self.power_cut(node, Some(down_us));
                self.agenda
                    .push(self.now_us.saturating_add(period_us), Event::Again { fault: number, n: n + 1 });
            }
            What::Flood { link, target, kind, per_s, size, sources } => {
                self.forge(n, (id, link, target), kind, size, sources);
                let next_us = (u128::from(n + 1) * 1_000_000 / u128::from(per_s.max(1))) as u64;
                self.agenda.push(start_us.saturating_add(next_us), Event::Again { fault: number, n: n + 1 });
            }
            What::Lie { node, lie, every_us } => {
                self.lie(node, lie, n);
                self.agenda
                    .push(self.now_us.saturating_add(every_us), Event::Again { fault: number, n: n + 1 });
            }
            _ => {}
        }
    }

    /// Packet `n` of a flood.
    fn forge(
        &mut self,
        n: u64,
        (id, link, target): (u32, u32, u32),
        kind: Flood,
        size: (u32, u32),
        sources: u32,
    ) {
        let lot = Lot::new(self.plan.seed, Purpose::Attack, u64::from(id));
        let draw = |what: u64| lot.at(n.wrapping_mul(16).wrapping_add(what));
        let among = |what: u64, count: u64| crate::draw::scale(draw(what), count);
        let kind = in_turn(kind, n);
        let mtu = u64::from(self.net.spec(link).mtu);
        let junk = |bytes: u64| -> Vec<u8> {
            let noise = Lot::new(draw(0), Purpose::Attack, 0);
            (0..bytes.div_ceil(8))
                .flat_map(|word| noise.at(word).to_le_bytes())
                .take(bytes as usize)
                .collect()
        };
        let junk_size = u64::from(size.0) + among(1, u64::from(size.1 - size.0) + 1);
        let heard = |which| self.net.heard(link, which, draw(2)).map(<[u8]>::to_vec);
        let bytes = match kind {
            Flood::Junk | Flood::Mixed => junk(junk_size),
            Flood::Replayed => heard(Heard::Any).unwrap_or_else(|| junk(junk_size)),
            Flood::Truncated => {
                let mut bytes = heard(Heard::Any).unwrap_or_else(|| junk(junk_size));
                bytes.truncate(among(3, bytes.len() as u64) as usize);
                bytes
            }
            // Half as large as the link carries, half larger than it should.
            Flood::Oversize => {
                junk(if n.is_multiple_of(2) { mtu } else { (mtu + 1 + among(3, 8_000)).min(65_507) })
            }
            Flood::Calls => heard(Heard::Call).unwrap_or_else(|| junk(junk_size)),
            Flood::Handshakes => {
                let mut bytes = heard(Heard::Handshake).unwrap_or_else(|| junk(junk_size));
                match among(4, 4) {
                    0 => bytes.truncate(among(3, bytes.len() as u64) as usize),
                    1 | 2 => {
                        // One byte in the body: the fields in front stay those of a real one.
                        let at = among(3, bytes.len() as u64) as usize;
                        if let Some(byte) = bytes.get_mut(at) {
                            *byte ^= draw(5) as u8 | 1;
                        }
                    }
                    _ => {}
                }
                bytes
            }
        };
        let hosts = self.net.hosts(link);
        let peers: Vec<u32> = hosts.iter().copied().filter(|host| *host != target).collect();
        let from = if sources == 0 && !peers.is_empty() {
            address_of(peers[among(6, peers.len() as u64) as usize])
        } else {
            Addr::from_u32(0xc000_0000 | id << 20 | among(6, u64::from(sources.clamp(1, 1 << 20))) as u32)
        };
        let mut out = Outbox { pool: &mut self.pool, agenda: &mut self.agenda, wrap: Event::Arrive };
        self.net.inject(self.now_us, link, target, from, &bytes, &mut out);
    }

    /// A router lies for the `n`th time, where it runs.
    fn lie(&mut self, node: u32, lie: Lie, n: u64) {
        let known = &mut self.hosts[node as usize];
        if known.is_busy(self.now_us) || known.frozen {
            return;
        }
        let now = known.clock.at(self.now_us);
        let Some(subject) = &mut known.subject else { return };
        if lie == Lie::Swallow {
            self.watch.next_hops.swallows(node);
            return subject.swallow(true);
        }
        for message in subject.lies(&self.cast, lie, n, &mut known.heard) {
            subject.tell_neighbours(now, &message);
        }
        self.turn(node, Input::Wake);
    }

    /// A node's device is revoked, and everybody but itself is told. Nothing is expected of it any more.
    fn revoke(&mut self, node: u32) {
        self.revoked.insert(node);
        self.settle_exemptions();
        for host in 0..self.hosts.len() as u32 {
            self.tell_revoked(host);
        }
        self.watch.next_hops.revoked(node);
    }

    /// Tells a host whose devices are revoked.
    pub(super) fn tell_revoked(&mut self, host: u32) {
        for node in self.revoked.clone() {
            let known = &self.hosts[host as usize];
            let told = known.subject.is_some() && !known.frozen && known.node != node;
            let Some(statement) = S::revocation(&self.cast, node).filter(|_| told) else { continue };
            let command = Command::Install(statement.into());
            if let Some(Err(refused)) = self.turn(host, Input::Command(command)) {
                self.note(host, format!("revocation of node {node} refused: {refused}"));
            }
        }
    }

    /// The nodes on the links that a fault is about look at their interfaces.
    fn interfaces_changed(&mut self, what: &What) {
        for link in self.net.touched(what) {
            for host in self.net.hosts(link).to_vec() {
                self.tell_links(host);
            }
        }
    }

    fn fall_asleep(&mut self, number: u32, what: &What, asleep: bool) {
        let changed = if asleep { self.sleeping.insert(number) } else { self.sleeping.remove(&number) };
        self.net.sleep(what, asleep);
        self.links_changed();
        if let Some(node) = what.node().filter(|_| changed) {
            self.tell_links(node);
        }
    }

    fn step_wall(&mut self, node: u32, by_us: i64) {
        let known = &mut self.hosts[node as usize];
        known.clock.step_wall(by_us);
        let wall = known.clock.wall(self.now_us);
        if !known.frozen {
            self.turn(node, Input::WallClock(wall));
        }
    }

    /// The power of a host fails; it is back after `down_us`, or never.
    pub(super) fn power_cut(&mut self, host: u32, down_us: Option<u64>) {
        let at = host as usize;
        if let Some(subject) = self.hosts[at].subject.take() {
            self.bury(host, subject);
        } else if self.hosts[at].life == 0 {
            return;
        }
        let known = &mut self.hosts[at];
        known.disk.power_cut();
        let life = known.life;
        let waiting = std::mem::take(&mut known.socket);
        for (_, packet) in waiting {
            self.pool.discard(packet);
        }
        if (host as usize) < self.ids.len() {
            self.ledger.lost_memory(host, self.now_us);
            self.busy_or_idle();
        }
        self.net.switch_off(self.now_us, host);
        self.links_changed();
        self.watch.next_hops.starts(host, None);
        self.sessions.retain(|(owner, _)| *owner != host);
        let complaint = self.registry.show(self.now_us, &Sight::Off { host });
        self.complain(complaint);
        if let Some(down_us) = down_us {
            let latest_us = if self.storm_over { u64::MAX } else { self.plan.duration_us };
            let at_us = self.now_us.saturating_add(down_us).min(latest_us);
            self.agenda.push(at_us.max(self.now_us), Event::Boot { host, life });
        }
    }

    /// What a dying process leaves: its counters.
    pub(super) fn bury(&mut self, host: u32, subject: Box<S>) {
        let glance = subject.glance();
        self.gossip.add_copies(subject.copies());
        self.gossip.gone(self.now_us, host);
        let report = &mut self.hosts[host as usize].report;
        for (reason, count) in glance.drops.iter().filter(|(_, count)| *count > 0) {
            *report.drops.entry(format!("{reason:?}")).or_default() += count;
        }
        self.enter(host);
        drop(subject);
        self.leave(host);
        if let Some(meter) = &mut self.options.meter {
            let peak = meter.take_peak(host);
            meter.reset(host);
            let report = &mut self.hosts[host as usize].report;
            report.peak_bytes = report.peak_bytes.max(peak);
            report.peak_bytes_by_quarter[self.quarter] = report.peak_bytes_by_quarter[self.quarter].max(peak);
        }
    }

    /// A second host wakes up with a copy of the node's disk and the entropy of its last start.
    fn clone_host(&mut self, fault: u32, node: u32) {
        let number = self.hosts.len() as u32;
        let model = &self.hosts[node as usize];
        let clone: Host<S> = Host {
            node: model.node,
            subject: None,
            clock: model.clock.clone(),
            disk: model.disk.copy(),
            life: 0,
            up_us: self.now_us,
            entropy: model.entropy,
            socket: std::collections::VecDeque::new(),
            interfaces: model.interfaces.clone(),
            told: vec![None; model.interfaces.len()],
            report: crate::outcome::NodeReport::default(),
            ..super::new_host(&self.plan, node, Vec::new())
        };
        self.ledger.cloned(node);
        self.net.join_like(number, node);
        self.hosts.push(clone);
        self.clones.insert(fault, number);
        self.boot(number, 0);
    }

    fn resume_host(&mut self, host: u32) {
        if self.hosts[host as usize].paused == 0 && !self.hosts[host as usize].socket.is_empty() {
            self.resume_later(host);
        }
    }
}

/// What packet `n` of a flood is.
fn in_turn(kind: Flood, n: u64) -> Flood {
    match kind {
        Flood::Mixed => [Flood::Junk, Flood::Replayed, Flood::Truncated, Flood::Oversize, Flood::Handshakes]
            [(n % 5) as usize],
        Flood::Junk
        | Flood::Replayed
        | Flood::Truncated
        | Flood::Oversize
        | Flood::Handshakes
        | Flood::Calls => kind,
    }
}
