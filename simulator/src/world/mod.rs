//! The world: it takes the next thing from the diary, lets it happen, and writes down what follows.
//!
//! Nothing here knows any protocol. A node is given an input, asked for its outputs until it has none,
//! and asked when it wants to be woken; what it sends goes to the net, what it writes to the disk, what
//! it says to the applications. Between two events no time passes and nothing runs, so an idle node
//! costs nothing.

mod calm;
mod faults;
mod gossip;
mod host;
#[cfg(test)]
mod mesh_tests;
mod next_hops;
mod radio;
mod reach;
#[cfg(test)]
mod tests;
mod turn;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use proto_core::ids::{LinkId, NodeId, RouterId};

use crate::agenda::Agenda;
use crate::check::gossip::Gossip;
use crate::check::link::Ledger;
use crate::check::routes::Routes;
use crate::check::{Checker, Registry, Violation};
use crate::clock::Clock;
use crate::disk::Disk;
use crate::net::{Arrival, Net, Tick};
use crate::outcome::{Note, Outcome, Verdict};
use crate::plan::{Plan, What};
use crate::pool::Pool;
use crate::signatures::Signatures;
use crate::subject::Subject;
use crate::trace::{StepRecord, Trace};

use host::{Host, NEVER};
use next_hops::Watch;
use reach::{Mesh, Reach};
use work::Work;

/// Attributes memory to nodes. The simulator allocates nothing on a node's behalf: whoever owns the
/// allocator implements this and is told whose code runs.
pub trait Meter {
    /// Code of this host begins to run.
    fn enter(&mut self, host: u32);
    /// It has ended.
    fn leave(&mut self, host: u32);
    /// The host's node has been dropped: its heap should be empty.
    fn reset(&mut self, host: u32);
    /// The most bytes that the host's node held at once since the last call of this.
    fn take_peak(&mut self, host: u32) -> u64;
}

/// Takes steps in words.
pub type Sink = Box<dyn FnMut(&StepRecord)>;

/// What a run may be watched with. None of it changes what happens.
#[derive(Default)]
pub struct Options {
    /// Checkers of the scenario's own.
    pub checkers: Vec<Box<dyn Checker>>,
    /// Measures memory.
    pub meter: Option<Box<dyn Meter>>,
    /// Steps to keep in words (counted from 1).
    pub window: Range<u64>,
    /// Takes the steps of the window in words, one by one, instead of keeping them.
    pub sink: Option<Sink>,
    /// Calls a node's own check of its invariants after every turn of it, and not only that of every node at
    /// checkpoints (of more than a hundred nodes: after every 64th turn) and at the end.
    pub check_nodes: bool,
}

/// What happens next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// A packet reaches a host.
    Arrive(Arrival),
    /// A deadline of a node may have passed.
    Wake { host: u32 },
    /// A sync ends.
    Synced { host: u32, life: u32 },
    /// A process has time again.
    Resume { host: u32 },
    /// An application sends.
    Send { flow: u32 },
    /// An application says something to all.
    Say { broadcast: u32, index: u64 },
    /// A member leaves, joins, or says what it is.
    Member { entry: u32 },
    /// An application confirms durable messages.
    Consume { slot: u32 },
    /// A node is told to keep a session.
    Connect { peer: u32 },
    /// A node is told that a peer is not there any more.
    Part { peer: u32 },
    /// Power on.
    Boot { host: u32, life: u32 },
    /// A fault of the plan, by position.
    Begin { fault: u32 },
    /// It ends.
    End { fault: u32 },
    /// A fault does something in its middle: a flap, the next reboot, the next packet of a flood.
    Again { fault: u32, n: u64 },
    /// The storm is over.
    StormEnds,
    /// A look at whether everything is done.
    Look,
    /// A quarter of the storm is over: memory is read.
    Quarter,
    /// Something becomes due at a radio.
    Air(Tick),
    /// A radio has sent all that it was given.
    AirFree { host: u32, link: u32, life: u32 },
    /// The members of a radio link take the places of this move.
    Move { link: u32, number: u32 },
}

/// See the module's header.
pub(super) struct World<S: Subject> {
    plan: Plan,
    cast: S::Cast,
    ids: Vec<NodeId>,
    numbers: BTreeMap<NodeId, u32>,
    now_us: u64,
    agenda: Agenda<Event>,
    pool: Pool,
    signatures: Signatures,
    net: Net,
    hosts: Vec<Host<S>>,
    buf: Vec<u8>,
    work: Work,
    ledger: Ledger,
    reach: Reach,
    mesh: Mesh,
    routes: Routes,
    watch: Watch,
    gossip: Gossip,
    /// Nodes by the names of their devices.
    members: BTreeMap<RouterId, u32>,
    registry: Registry,
    trace: Trace,
    events: u64,
    /// Whether each fault of the plan is on.
    fault_on: Vec<bool>,
    /// Faults that let a node sleep right now.
    sleeping: BTreeSet<u32>,
    /// The host that a clone fault woke.
    clones: BTreeMap<u32, u32>,
    /// Nodes whose devices are revoked.
    revoked: BTreeSet<u32>,
    /// Sessions that are up, by host and peer.
    sessions: BTreeSet<(u32, u32)>,
    session_up_us: Vec<Option<u64>>,
    /// How many of them have not been up yet.
    sessions_to_come: usize,
    notes: Vec<Note>,
    violation: Option<(Violation, u64, u64)>,
    storm_over: bool,
    calm_at_us: Option<u64>,
    /// When the world was last seen idle, to count idle time.
    idle_since_us: Option<u64>,
    idle_us: u64,
    pending: Vec<String>,
    finished: bool,
    options: Options,
    /// Whose code runs, to name in a panic.
    running: u32,
    /// The nodes that have had a turn since nodes were last asked for their invariants, some of them often; where there are few.
    turned: Vec<u32>,
    /// Checkpoints at which the nodes were asked for their invariants.
    checked: usize,
    quarter: usize,
}

/// Bytes given to `poll`: the largest datagram, or a batch of equal ones.
const BUFFER: usize = 65_536;
/// So many nodes or fewer are asked for their invariants at every checkpoint, all that had a turn since.
const FEW: usize = 100;
/// Of more the one whose turn it is, at every so-manieth step. Its memory is at hand then: to fetch that of a thousand nodes at
/// checkpoints was a third of all work.
const STEPS_A_CHECK: u64 = 64;
/// Time between two looks at whether everything is done.
const LOOK_US: u64 = 50_000;

impl<S: Subject> World<S> {
    pub(super) fn new(plan: &Plan, mut options: Options) -> Result<World<S>, String> {
        plan.check().map_err(|(place, message)| format!("{place}: {message}"))?;
        let cast = S::cast(plan)?;
        let count = plan.node_count();
        let ids: Vec<NodeId> = (0..count).map(|node| S::node_id(&cast, node)).collect();
        let mut registry = Registry::standard(plan);
        for checker in options.checkers.drain(..) {
            registry.add(checker);
        }
        let members = (0..count).filter_map(|node| Some((S::member(&cast, node)?, node))).collect();
        let mut interfaces = vec![Vec::new(); count as usize];
        for (link, number) in plan.links.iter().zip(0..) {
            for member in &link.members {
                interfaces[*member as usize].push(number);
            }
        }
        let hosts =
            (0..count).zip(interfaces).map(|(node, interfaces)| new_host(plan, node, interfaces)).collect();
        let reach = Reach::of(plan);
        let mut world = World {
            numbers: ids.iter().copied().zip(0..).collect(),
            cast,
            ids,
            now_us: 0,
            agenda: Agenda::new(),
            pool: Pool::default(),
            signatures: Signatures::new(count),
            net: Net::new(plan),
            hosts,
            buf: vec![0; BUFFER],
            work: Work::new(plan),
            ledger: Ledger::new(plan),
            routes: Routes::default(),
            gossip: Gossip::new(plan.seed, count),
            members,
            watch: Watch::new(plan),
            mesh: Mesh::of(plan, &reach, |_| true),
            reach,
            registry,
            trace: Trace::new(options.window.clone()),
            events: 0,
            fault_on: vec![false; plan.faults.len()],
            sleeping: BTreeSet::new(),
            clones: BTreeMap::new(),
            revoked: BTreeSet::new(),
            sessions: BTreeSet::new(),
            session_up_us: vec![None; plan.peers.len()],
            sessions_to_come: plan.peers.len(),
            notes: Vec::new(),
            violation: None,
            storm_over: false,
            calm_at_us: None,
            idle_since_us: None,
            idle_us: 0,
            pending: Vec::new(),
            finished: false,
            options,
            running: 0,
            turned: Vec::new(),
            checked: 0,
            quarter: 0,
            plan: plan.clone(),
        };
        world.arrange();
        Ok(world)
    }

    /// Writes the plan into the diary.
    fn arrange(&mut self) {
        for host in 0..self.hosts.len() as u32 {
            let start_us = self.plan.node(host).map_or(0, |node| node.start_us);
            self.agenda.push(start_us, Event::Boot { host, life: 0 });
        }
        for (peer, number) in self.plan.peers.iter().zip(0..) {
            if peer.at_us > 0 {
                self.agenda.push(peer.at_us, Event::Connect { peer: number });
            }
            if let Some(until_us) = peer.until_us {
                self.agenda.push(until_us, Event::Part { peer: number });
            }
        }
        for (flow, number) in self.plan.flows.iter().zip(0..) {
            if flow.count > 0 {
                self.agenda.push(flow.start_us, Event::Send { flow: number });
            }
        }
        for (broadcast, number) in self.plan.broadcasts.iter().zip(0..) {
            self.agenda.push(broadcast.start_us, Event::Say { broadcast: number, index: 0 });
        }
        for (member, entry) in self.plan.members.iter().zip(0..) {
            self.agenda.push(member.start_us, Event::Member { entry });
        }
        let storm_us = self.plan.duration_us;
        for (fault, number) in self.plan.faults.iter().zip(0..) {
            if let What::Flood { link, .. } = fault.what {
                // An attacker has been listening long before he strikes.
                self.net.listen(link);
            }
            if fault.start_us < storm_us {
                self.agenda.push(fault.start_us, Event::Begin { fault: number });
                if fault.end_us < storm_us {
                    self.agenda.push(fault.end_us, Event::End { fault: number });
                }
            }
        }
        self.arrange_moves();
        for quarter in 1..=4 {
            self.agenda.push(storm_us / 4 * quarter, Event::Quarter);
        }
        self.agenda.push(storm_us, Event::StormEnds);
        if self.plan.expect.stop_early {
            self.agenda.push(LOOK_US, Event::Look);
        }
        self.settle_exemptions();
    }

    /// Runs to the end, or to the first violation.
    pub(super) fn run(&mut self) {
        while !self.finished {
            let Some((at_us, event)) = self.agenda.pop() else { break };
            debug_assert!(at_us >= self.now_us, "the world does not run backwards");
            self.now_us = at_us;
            self.events += 1;
            self.happen(event);
            if let Some(sink) = &mut self.options.sink {
                self.trace.take_kept().iter().for_each(sink);
            }
            if self.violation.is_some() {
                return;
            }
            let checkpoints = self.trace.checkpoints().len();
            if checkpoints > self.checked && self.has_few() {
                self.checked = checkpoints;
                self.check_nodes();
            }
        }
        if !self.has_few() {
            self.turned = (0..self.hosts.len() as u32).collect();
        }
        self.check_nodes();
    }

    fn has_few(&self) -> bool {
        self.hosts.len() <= FEW
    }

    /// Whether a node is to assert its invariants after this turn of it.
    fn is_checked_now(&self) -> bool {
        self.options.check_nodes || !self.has_few() && (self.trace.steps() + 1).is_multiple_of(STEPS_A_CHECK)
    }

    /// Has every node that has had a turn since it was last asked assert its own invariants, as far as it still
    /// runs; a panic says which one's did not hold.
    fn check_nodes(&mut self) {
        let mut turned = std::mem::take(&mut self.turned);
        turned.sort_unstable();
        turned.dedup();
        for host in turned.drain(..) {
            if let Some(subject) = self.hosts.get(host as usize).and_then(|host| host.subject.as_ref()) {
                self.running = host;
                subject.check();
            }
        }
        self.turned = turned;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive(arrival) => self.arrive(arrival),
            Event::Wake { host } => self.wake(host),
            Event::Synced { host, life } => self.synced(host, life),
            Event::Resume { host } => self.resume(host),
            Event::Send { flow } => self.send(flow),
            Event::Say { broadcast, index } => self.say_to_all(broadcast, index),
            Event::Member { entry } => self.do_as_member(entry),
            Event::Consume { slot } => self.consume(slot),
            Event::Connect { peer } => self.connect(peer),
            Event::Part { peer } => self.part(peer),
            Event::Boot { host, life } => self.boot(host, life),
            Event::Begin { fault } => self.begin(fault),
            Event::End { fault } => self.end(fault),
            Event::Again { fault, n } => self.again(fault, n),
            Event::StormEnds => self.storm_ends(),
            Event::Look => self.look(),
            Event::Quarter => self.quarter_over(),
            Event::Air(tick) => self.air(tick),
            Event::AirFree { host, link, life } => self.air_free(host, link, life),
            Event::Move { link, number } => self.stand(link, number),
        }
    }

    /// Something that must not have happened. The first one counts.
    pub(super) fn complain(&mut self, violation: Option<Violation>) {
        if let Some(violation) = violation
            && self.violation.is_none()
        {
            // The step that is being taken is the one after those that are finished.
            self.violation = Some((violation, self.now_us, self.trace.steps() + 1));
        }
    }

    /// A node panicked (or the simulator did while it ran): the message and where.
    pub(super) fn panicked(&mut self, message: String) {
        let reason = format!("node {} panicked: {message}", self.running);
        let violation = Violation { verdict: Verdict::Panic, checker: "panic", reason };
        self.complain(Some(violation));
    }

    pub(super) fn take_steps(&mut self) -> Vec<StepRecord> {
        self.trace.take_kept()
    }

    /// The node's own number of a link, for its inputs.
    fn local(&self, host: u32, link: u32) -> LinkId {
        self.hosts[host as usize].local(link).unwrap_or(LinkId(u16::MAX))
    }

    pub(super) fn outcome(&mut self) -> Outcome {
        calm::outcome(self)
    }
}

fn new_host<S>(plan: &Plan, node: u32, interfaces: Vec<u32>) -> Host<S> {
    let fallback = crate::plan::NodePlan::default();
    let entry = plan.node(node).unwrap_or(&fallback);
    Host {
        node,
        subject: None,
        clock: Clock::new(entry.clock_us, entry.drift_ppm, entry.wall_offset_us),
        clock_us: entry.clock_us,
        planned_drift_ppm: entry.drift_ppm,
        disk: Disk::new(&entry.disk, plan.seed, u64::from(node)),
        life: 0,
        up_us: 0,
        entropy: (node, 0),
        wake_at_us: NEVER,
        wanted_us: NEVER,
        busy_until_us: 0,
        socket: std::collections::VecDeque::new(),
        resume_arranged: false,
        turn_us: 0,
        paused: 0,
        frozen: false,
        cut_on_store: None,
        told: vec![None; interfaces.len()],
        interfaces,
        report: crate::outcome::NodeReport::default(),
        heard: Vec::new(),
        idle_bytes: 0,
    }
}
