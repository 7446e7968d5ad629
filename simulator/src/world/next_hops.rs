//! What the world knows of the ways between routers, for who watches their next hops.

use std::collections::BTreeMap;

use super::World;
use super::host::Host;
use crate::check::next_hops::{NextHops, SETTLED_US};
use crate::net::Net;
use crate::plan::{Plan, What};
use crate::subject::Subject;

/// A link that loses more of a million, either way, is not counted on.
const MOST_LOSS_PPM: u32 = 200_000;
/// Nor one that is slower, in bits a second: the whole map may need minutes there.
const LEAST_RATE_BPS: u64 = 1_000_000;

/// Routers' next hops, and the links that can be counted on.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) next_hops: NextHops,
    /// Whether every router has room for all others, so that each can be expected to know a way to each.
    all_fit: bool,
    pairs: Vec<Pair>,
}

/// Two routers that keep a session with each other.
#[derive(Debug)]
struct Pair {
    ends: (u32, u32),
    links: Vec<u32>,
    /// When something happens to the links or to one of the ends, by the plan.
    troubles_us: Vec<(u64, u64)>,
    /// Since when it has been well whenever it was looked at.
    since_us: Option<u64>,
}

impl Watch {
    pub(super) fn new(plan: &Plan) -> Watch {
        let count = plan.node_count();
        let routes: Vec<bool> = (0..count).map(|node| plan.limits(node).routes()).collect();
        let routers = routes.iter().filter(|routes| **routes).count();
        // Two with one name would be taken for one that goes to and fro.
        let has_clones = plan.faults.iter().any(|fault| matches!(fault.what, What::Clone { .. }));
        let watched = if has_clones || routers < 2 { 0 } else { count };
        let fits = |node: u32| !routes[node as usize] || plan.limits(node).routers as usize >= routers;
        let mut pairs = BTreeMap::new();
        for peer in plan.peers.iter().filter(|_| watched > 0) {
            let ends = (peer.node.min(peer.to), peer.node.max(peer.to));
            pairs.entry(ends).or_insert_with(|| Pair {
                ends,
                links: Vec::new(),
                troubles_us: Vec::new(),
                since_us: None,
            });
        }
        for (link, number) in plan.links.iter().zip(0..).filter(|(link, _)| link.radio.is_none()) {
            for (&a, &b) in link.members.iter().flat_map(|a| link.members.iter().map(move |b| (a, b))) {
                if let Some(pair) = pairs.get_mut(&(a, b)) {
                    pair.links.push(number);
                }
            }
        }
        let mut pairs: Vec<Pair> = pairs.into_values().collect();
        for pair in &mut pairs {
            pair.troubles_us = troubles(plan, pair);
        }
        Watch { next_hops: NextHops::new(watched), all_fit: (0..count).all(fits), pairs }
    }
}

/// When something happens to a pair.
fn troubles(plan: &Plan, pair: &Pair) -> Vec<(u64, u64)> {
    let strikes = |what: &What| {
        let links = what
            .links()
            .is_some_and(|links| links.is_empty() || links.iter().any(|link| pair.links.contains(link)));
        let node = what.node().is_some_and(|node| node == pair.ends.0 || node == pair.ends.1);
        links || node || matches!(what, What::Partition { .. })
    };
    let lasts = |fault: &crate::plan::Fault| {
        let down_us = match fault.what {
            What::Crash { down_us, .. }
            | What::CrashUnsynced { down_us, .. }
            | What::RebootLoop { down_us, .. } => down_us,
            _ => 0,
        };
        (fault.start_us, fault.end_us.max(fault.start_us.saturating_add(down_us)).min(plan.duration_us))
    };
    plan.faults.iter().filter(|fault| strikes(&fault.what)).map(lasts).collect()
}

impl<S: Subject> World<S> {
    /// Links carry something that did not, or the other way round.
    pub(super) fn links_changed(&mut self) {
        self.watch.next_hops.links_changed();
        self.routes.links_changed();
    }

    /// What packets over the mesh did in a turn.
    pub(super) fn watch_packets(&mut self, host: u32, subject: &S) {
        let Some(own) = subject.router() else { return };
        for moved in subject.moved() {
            let World { plan, hosts, net, routes, .. } = self;
            let complaint = routes.moved(host, own, moved, || near(plan, hosts, net, host));
            self.complain(complaint);
        }
    }

    /// A router had a turn.
    pub(super) fn watch_next_hops(&mut self, host: u32) {
        let known = &self.hosts[host as usize];
        let Some(subject) = known.subject.as_deref() else { return };
        let complaint = self.watch.next_hops.turned(self.now_us, host, subject.map_changes());
        self.complain(complaint);
        if !self.watch.next_hops.is_due(self.now_us) {
            return;
        }
        let settled = (self.watch.all_fit && self.watch.next_hops.asks_for_ways(self.now_us))
            .then(|| self.settled_neighbours());
        let World { hosts, net, watch, now_us, .. } = self;
        let row = |host: u32| {
            let subject = hosts[host as usize].subject.as_deref()?;
            Some((subject.map_changes(), subject.next_hops()))
        };
        let mut known = BTreeMap::new();
        let carries = |a: u32, b: u32| {
            *known.entry((a, b)).or_insert_with(|| {
                let is_on =
                    |host: u32| hosts[host as usize].subject.is_some() && hosts[host as usize].paused == 0;
                let mut links = hosts[a as usize].interfaces.iter();
                is_on(a) && is_on(b) && links.any(|&link| net.carries(link, a, b, 999_999))
            })
        };
        let complaint = watch.next_hops.look(*now_us, row, carries, settled.as_deref());
        self.complain(complaint);
    }

    /// Each router's neighbours over links that have been well for a while.
    fn settled_neighbours(&mut self) -> Vec<Vec<u32>> {
        let World { hosts, net, watch, sessions, now_us, .. } = self;
        let now_us = *now_us;
        let mut near = vec![Vec::new(); hosts.len()];
        let is_fast = |link: u32| {
            let rate_bps = net.spec(link).rate_bps;
            rate_bps == 0 || rate_bps >= LEAST_RATE_BPS
        };
        for pair in &mut watch.pairs {
            let (a, b) = pair.ends;
            let is_well = |host: u32| {
                let host = &hosts[host as usize];
                host.subject.is_some() && host.paused == 0 && !host.frozen && host.turn_us == 0
            };
            let well = is_well(a)
                && is_well(b)
                && sessions.contains(&(a, b))
                && sessions.contains(&(b, a))
                && pair.links.iter().any(|&link| is_fast(link) && net.carries(link, a, b, MOST_LOSS_PPM));
            let since_us = pair.since_us.filter(|_| well).or(well.then_some(now_us));
            pair.since_us = since_us;
            let troubled = pair
                .troubles_us
                .iter()
                .any(|&(start_us, end_us)| start_us <= now_us && end_us.saturating_add(SETTLED_US) >= now_us);
            if since_us.is_some_and(|since_us| since_us + SETTLED_US <= now_us) && !troubled {
                near[a as usize].push(b);
                near[b as usize].push(a);
            }
        }
        near
    }
}

/// Who can be heard by whom now: over wires that carry something, and over radios whoever is on the channel. `running` has its
/// turn.
fn near<S>(plan: &Plan, hosts: &[Host<S>], net: &Net, running: u32) -> Vec<Vec<u32>> {
    let mut near = vec![Vec::new(); hosts.len()];
    let is_on = |host: u32| host == running || hosts[host as usize].subject.is_some();
    for (link, number) in plan.links.iter().zip(0..) {
        let members = net.hosts(number);
        for (&a, &b) in members.iter().flat_map(|a| members.iter().map(move |b| (a, b))) {
            let carries = link.radio.is_some() || net.carries(number, a, b, 999_999);
            if a != b && is_on(a) && is_on(b) && carries {
                near[a as usize].push(b);
            }
        }
    }
    for list in &mut near {
        list.sort_unstable();
        list.dedup();
    }
    near
}
