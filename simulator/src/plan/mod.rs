//! What happens in a run, as a plain value.
//!
//! A theatre play: who is on stage, how they can hear each other, what they mean to say, and which
//! disasters strike when. A scenario is a play written by hand, a regression is one that was saved, a
//! random one comes from [`Plan::draw`], a fuzzer makes one of bytes and a shrinker strikes lines out.
//! [`run`](crate::run) needs nothing else. The text form is TOML ([`Plan::from_toml`]).

mod check;
mod churn;
mod faults;
mod gossip;
mod kinds;
pub mod radio;
mod random;
mod text;
pub mod units;

use std::collections::BTreeMap;

use proto_core::limits::Limits;
use serde::{Deserialize, Serialize};

pub use check::Place;
pub use churn::{Lasting, Spread};
pub use faults::{Dependence, Fault, Flood, Lie, What};
pub use gossip::{BroadcastPlan, Deed, MemberPlan, Part};
pub use kinds::{LinkKind, LinkSpec, lora_airtime_us};
pub use radio::RadioPlan;
pub use text::PlanError;

/// A whole run. Nodes and links are named by their position, counted from 0.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The scenario it came from.
    pub name: String,
    /// What every draw is keyed with.
    #[serde(default, with = "units::seed")]
    pub seed: u64,
    /// Length of the storm, in virtual microseconds: faults and new work only happen in it.
    #[serde(rename = "duration", with = "units::span")]
    pub duration_us: u64,
    /// Longest calm after it, in which everything pending must finish, in virtual microseconds.
    #[serde(rename = "calm", default = "default_calm", with = "units::span")]
    pub calm_us: u64,
    /// Who takes part.
    #[serde(rename = "node", default)]
    pub nodes: Vec<NodePlan>,
    /// How they hear each other.
    #[serde(rename = "link", default)]
    pub links: Vec<LinkPlan>,
    /// Who keeps a session with whom.
    #[serde(rename = "peer", default)]
    pub peers: Vec<PeerPlan>,
    /// What the applications send.
    #[serde(rename = "flow", default)]
    pub flows: Vec<FlowPlan>,
    /// What is said to all members.
    #[serde(rename = "broadcast", default, skip_serializing_if = "Vec::is_empty")]
    pub broadcasts: Vec<BroadcastPlan>,
    /// What members do besides.
    #[serde(rename = "member", default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberPlan>,
    /// What goes wrong, and when.
    #[serde(rename = "fault", default)]
    pub faults: Vec<Fault>,
    /// What must come true.
    #[serde(default)]
    pub expect: Expect,
}

/// Ten minutes: sixty handshake retries at their slowest.
const fn default_calm() -> u64 {
    600_000_000
}

/// One node, or several alike.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodePlan {
    /// How many nodes this entry describes; they take consecutive numbers.
    pub count: u32,
    /// Which set of limits.
    pub profile: Profile,
    /// Single limits that differ from the profile, by field name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, u64>,
    /// How much faster than the world its monotonic clock runs, in millionths; negative is slower.
    pub drift_ppm: i32,
    /// What its monotonic clock shows at virtual time 0.
    #[serde(rename = "clock", with = "units::span")]
    pub clock_us: u64,
    /// How far its calendar clock is off.
    #[serde(rename = "wall_offset", with = "units::signed_span")]
    pub wall_offset_us: i64,
    /// When it is switched on.
    #[serde(rename = "start", with = "units::span")]
    pub start_us: u64,
    /// Lowest and highest protocol version it speaks; `None` is what the core speaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub versions: Option<(u8, u8)>,
    /// Which network it belongs to. Nodes of different networks must not understand each other.
    pub network: u32,
    /// What its application wants to hear of what is said to all members.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topics: Vec<u32>,
    /// Whether it says by beacons on shared media that it is there, and calls whom it hears.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub beacons: bool,
    /// Its disk.
    pub disk: DiskPlan,
    /// The planted bug that is live in it, by its name in the core's zoo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bug: Option<String>,
}

impl Default for NodePlan {
    fn default() -> Self {
        NodePlan {
            count: 1,
            profile: Profile::Small,
            limits: BTreeMap::new(),
            drift_ppm: 0,
            clock_us: 0,
            wall_offset_us: 0,
            start_us: 0,
            versions: None,
            network: 0,
            topics: Vec::new(),
            beacons: false,
            disk: DiskPlan::default(),
            bug: None,
        }
    }
}

/// A set of limits of the core.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// A microcontroller.
    Tiny,
    /// A single-board computer.
    Small,
    /// A server.
    Server,
}

impl Profile {
    /// The core's limits of this name.
    #[must_use]
    pub fn limits(self) -> Limits {
        match self {
            Profile::Tiny => Limits::TINY,
            Profile::Small => Limits::SMALL,
            Profile::Server => Limits::SERVER,
        }
    }
}

/// A disk that appends records and syncs them in groups.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiskPlan {
    /// How long one sync takes. By default 125 us, measured once for an append with fdatasync.
    #[serde(rename = "sync", with = "units::span")]
    pub sync_us: u64,
    /// Up to how much longer, drawn for each sync.
    #[serde(rename = "jitter", with = "units::span")]
    pub jitter_us: u64,
    /// Bytes of live records it holds; a write beyond that fails.
    pub capacity_bytes: u64,
    /// How often the first unsynced record that a crash did not keep is left behind half written.
    #[serde(rename = "torn", with = "units::ratio")]
    pub torn_ppm: u32,
}

impl Default for DiskPlan {
    fn default() -> Self {
        DiskPlan { sync_us: 125, jitter_us: 125, capacity_bytes: 1 << 40, torn_ppm: 0 }
    }
}

/// One link: a cable between two, or a medium shared by several.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkPlan {
    /// The nodes on it. Two make a point-to-point link, unless `shared`.
    pub members: Vec<u32>,
    /// What it is; gives every property that is not set below.
    #[serde(default)]
    pub kind: LinkKind,
    /// Whether everybody hears every packet. Always so with more than two members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<bool>,
    /// Largest packet in bytes, 64 to 65,507.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// Bits a second, each way. 0 means without limit.
    #[serde(rename = "rate", default, skip_serializing_if = "Option::is_none", with = "units::rate_opt")]
    pub rate_bps: Option<u64>,
    /// Whether the rate is told to the nodes, as a radio's driver would; by default as the kind has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_known: Option<bool>,
    /// One way.
    #[serde(rename = "delay", default, skip_serializing_if = "Option::is_none", with = "units::span_opt")]
    pub delay_us: Option<u64>,
    /// Up to how much more, drawn for each packet; packets stay in order.
    #[serde(rename = "jitter", default, skip_serializing_if = "Option::is_none", with = "units::span_opt")]
    pub jitter_us: Option<u64>,
    /// Bytes that wait at a sender while the link is busy; more are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_bytes: Option<u64>,
    /// Loss of packets sent by the first member; on a shared medium, of every packet and receiver.
    #[serde(rename = "loss_there", default, with = "units::ratio")]
    pub loss_there_ppm: u32,
    /// Loss of packets sent by the second member.
    #[serde(rename = "loss_back", default, with = "units::ratio")]
    pub loss_back_ppm: u32,
    /// What the link costs compared with others, in milliseconds that a message should rather wait.
    #[serde(default)]
    pub cost: u16,
    /// How many datagrams of equal size one transmission may carry, 1 to 64.
    #[serde(default = "one")]
    pub segments: u8,
    /// The medium, where places, collisions and the law count. Last, since it is a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub radio: Option<RadioPlan>,
}

const fn one() -> u8 {
    1
}

/// Who keeps a session with whom.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerPlan {
    /// The node that is told to connect.
    pub node: u32,
    /// To this one.
    pub to: u32,
    /// Over these links; empty means every link that both are on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<u32>,
    /// Whether it is told of the other at all. Where not, the two are neighbours that have to find each other, and the plan expects that.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub told: bool,
    /// Whether it knows the other's key beforehand (one round trip instead of one and a half).
    #[serde(default = "yes")]
    pub key_known: bool,
    /// When it is told.
    #[serde(rename = "at", default, with = "units::span")]
    pub at_us: u64,
    /// When it is told that the other is not there any more: its places are taken back, nobody calls there, and a
    /// session that is up dies of silence. Absent: never. A peer that comes back is another entry.
    #[serde(rename = "until", default, skip_serializing_if = "Option::is_none", with = "units::span_opt")]
    pub until_us: Option<u64>,
}

impl PeerPlan {
    /// `node` keeps a session with `to`, whose key it knows, over every link they share, from the start.
    #[must_use]
    pub fn new(node: u32, to: u32) -> PeerPlan {
        PeerPlan { node, to, links: Vec::new(), told: true, key_known: true, at_us: 0, until_us: None }
    }

    /// Whether it is told of the other at this time.
    #[must_use]
    pub fn is_told(&self, at_us: u64) -> bool {
        self.told && self.at_us <= at_us && self.until_us.is_none_or(|until_us| at_us < until_us)
    }
}

const fn yes() -> bool {
    true
}

/// A stream of messages from one application to another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowPlan {
    /// The sender.
    pub from: u32,
    /// The receiver.
    pub to: u32,
    /// How many messages.
    pub count: u64,
    /// Bytes of each, drawn between the two; with `sizes` not empty, those in turn instead.
    pub size: (u32, u32),
    /// Exact sizes in turn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sizes: Vec<u32>,
    /// When the first is sent.
    #[serde(rename = "start", default, with = "units::span")]
    pub start_us: u64,
    /// Time between two; 0 sends them as fast as the node accepts them.
    #[serde(rename = "every", default, with = "units::span")]
    pub every_us: u64,
    /// Draws each interval between 0 and twice `every`, instead of keeping time exactly.
    #[serde(default)]
    pub random_pace: bool,
    /// How each is delivered.
    #[serde(default)]
    pub delivery: Kind,
    /// Which stream, for `stream`.
    #[serde(default)]
    pub stream: u16,
    /// How urgent.
    #[serde(default)]
    pub class: Urgency,
    /// How long each may wait; absent means what its class allows.
    #[serde(rename = "lifetime", default, skip_serializing_if = "Option::is_none", with = "units::span_opt")]
    pub lifetime_us: Option<u64>,
    /// How long the receiving application thinks before it confirms a durable message, at most.
    #[serde(rename = "consume_after", default, with = "units::span")]
    pub consume_after_us: u64,
    /// The number of a flow the other way whose messages these answer, each as soon as it arrives; `start` and `every` say
    /// nothing then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<u32>,
}

impl FlowPlan {
    /// `count` reliable messages of `bytes` bytes from one node to another, as fast as it goes.
    #[must_use]
    pub fn new(from: u32, to: u32, count: u64, bytes: u32) -> FlowPlan {
        FlowPlan {
            from,
            to,
            count,
            size: (bytes, bytes),
            sizes: Vec::new(),
            start_us: 0,
            every_us: 0,
            random_pace: false,
            delivery: Kind::default(),
            stream: 0,
            class: Urgency::default(),
            lifetime_us: None,
            consume_after_us: 0,
            answers: None,
        }
    }

    /// An answer of `bytes` bytes to each message of this flow, which has this number.
    #[must_use]
    pub fn answer(&self, number: u32, bytes: u32) -> FlowPlan {
        FlowPlan { answers: Some(number), ..FlowPlan::new(self.to, self.from, self.count, bytes) }
    }
}

/// How messages are delivered; the counterpart of the core's `Delivery`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// May be lost.
    Datagram,
    /// Once, while neither side restarts.
    #[default]
    Message,
    /// As `Message`, in order.
    Stream,
    /// Once, across restarts.
    Durable,
}

/// How urgent; the counterpart of the core's `Class`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Urgency {
    /// First of all.
    Emergency,
    /// Soon.
    High,
    /// As usual.
    #[default]
    Normal,
    /// When there is room.
    Low,
    /// Last of all.
    Background,
}

/// What must come true.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expect {
    /// Whether the faults leave enough to finish with. When not, only safety is checked.
    pub survivable: bool,
    /// The nodes that have to finish, the others stand still when the storm is over; empty means all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub core: Vec<u32>,
    /// Whether every planned peer must be in session at the end.
    pub sessions: bool,
    /// By when each planned session must have been up once, counted from `at` of its plan.
    #[serde(rename = "session_within", skip_serializing_if = "Option::is_none", with = "units::span_opt")]
    pub session_within_us: Option<u64>,
    /// Least share of sent messages that must be delivered.
    #[serde(rename = "delivered", with = "units::ratio")]
    pub delivered_ppm: u32,
    /// Most bytes a second each node may put on the wire while nothing is sent; 0 means unchecked.
    pub idle_bytes_per_s: u64,
    /// Most packets a node may send within one second; 0 means unchecked. Two nodes that answer each
    /// other's answers exceed any number.
    pub packets_per_s: u64,
    /// Whether a run may stop as soon as nothing is pending, before the storm's end.
    pub stop_early: bool,
}

impl Default for Expect {
    fn default() -> Self {
        Expect {
            survivable: true,
            core: Vec::new(),
            sessions: true,
            session_within_us: None,
            delivered_ppm: 0,
            idle_bytes_per_s: 0,
            packets_per_s: 0,
            stop_early: false,
        }
    }
}

impl Plan {
    /// An empty plan to add to: a name, a seed, and how long the storm lasts.
    #[must_use]
    pub fn new(name: &str, seed: u64, duration_us: u64) -> Plan {
        Plan {
            name: name.to_owned(),
            seed,
            duration_us,
            calm_us: default_calm(),
            nodes: Vec::new(),
            links: Vec::new(),
            peers: Vec::new(),
            flows: Vec::new(),
            broadcasts: Vec::new(),
            members: Vec::new(),
            faults: Vec::new(),
            expect: Expect::default(),
        }
    }

    /// How many nodes there are.
    #[must_use]
    pub fn node_count(&self) -> u32 {
        self.nodes.iter().fold(0, |sum, node| sum.saturating_add(node.count))
    }

    /// The entry that describes node number `node`.
    #[must_use]
    pub fn node(&self, node: u32) -> Option<&NodePlan> {
        let mut first = 0_u32;
        self.nodes.iter().find(|entry| {
            first = first.saturating_add(entry.count);
            node < first
        })
    }

    /// Adds a node (or several alike) and returns the first one's number.
    pub fn add_node(&mut self, node: NodePlan) -> u32 {
        let number = self.node_count();
        self.nodes.push(node);
        number
    }

    /// Adds a link and returns its number.
    pub fn add_link(&mut self, link: LinkPlan) -> u32 {
        self.links.push(link);
        self.links.len() as u32 - 1
    }

    /// Has `node` keep a session with `to` over every link they share, from the start.
    pub fn add_peer(&mut self, node: u32, to: u32) {
        self.peers.push(PeerPlan::new(node, to));
    }

    /// Adds a fault and returns the number by which its draws are keyed. The number stays with the
    /// fault when others are taken out, so their draws do not change.
    pub fn add_fault(&mut self, start_us: u64, end_us: u64, what: What) -> u32 {
        let id = self.faults.iter().map(|fault| fault.id).max().unwrap_or(0) + 1;
        self.faults.push(Fault { id, start_us, end_us, what });
        id
    }

    /// The limits of node number `node`, overrides applied. The profile's own when there is no such node.
    #[must_use]
    pub fn limits(&self, node: u32) -> Limits {
        let Some(entry) = self.node(node) else { return Limits::SMALL };
        let mut limits = entry.profile.limits();
        for (field, value) in &entry.limits {
            // Unknown fields are refused by `check`; here they have no effect.
            let _ = check::set_limit(&mut limits, field, *value);
        }
        limits
    }
}
