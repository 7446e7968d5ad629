//! Everything that can go wrong. Each is one entry of a plan, and each can be left out.

use serde::{Deserialize, Serialize};

use super::units;

/// One thing going wrong for a while.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What its draws are keyed with, so that they do not depend on the other faults. Unique in a plan;
    /// 0 in a file means its position, counted from 1.
    #[serde(default)]
    pub id: u32,
    /// When it starts.
    #[serde(rename = "start", default, with = "units::span")]
    pub start_us: u64,
    /// When it ends; the end of the storm ends it too.
    #[serde(rename = "end", with = "units::span")]
    pub end_us: u64,
    /// What goes wrong.
    pub what: What,
}

/// What goes wrong. An empty list of links means all of them; `there` is the way from a link's first
/// member, `back` the way to it (on a shared medium `there` is every way).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[allow(missing_docs, reason = "each variant's sentence names its fields; units stand in the names")]
pub enum What {
    /// Packets vanish, each by its own draw.
    Loss {
        #[serde(default)]
        links: Vec<u32>,
        #[serde(rename = "there", default, with = "units::ratio")]
        there_ppm: u32,
        #[serde(rename = "back", default, with = "units::ratio")]
        back_ppm: u32,
    },
    /// Packets vanish in runs (Gilbert 1960, Elliott 1963): a packet finds the direction good or bad,
    /// changes that with the given chances, and is lost in the bad state with another.
    Burst {
        #[serde(default)]
        links: Vec<u32>,
        #[serde(rename = "enter", with = "units::ratio")]
        enter_ppm: u32,
        #[serde(rename = "leave", with = "units::ratio")]
        leave_ppm: u32,
        #[serde(rename = "loss", with = "units::ratio")]
        loss_ppm: u32,
    },
    /// Packets take longer, all by `add` and each by up to `jitter` more; they stay in order.
    Delay {
        #[serde(default)]
        links: Vec<u32>,
        #[serde(rename = "add", default, with = "units::span")]
        add_us: u64,
        #[serde(rename = "jitter", default, with = "units::span")]
        jitter_us: u64,
    },
    /// Packets arrive a second time, up to `within` later.
    Duplicate {
        #[serde(default)]
        links: Vec<u32>,
        #[serde(rename = "share", with = "units::ratio")]
        share_ppm: u32,
        #[serde(rename = "within", default, with = "units::span")]
        within_us: u64,
    },
    /// Packets are held back by up to `by`, and others overtake them.
    Reorder {
        #[serde(default)]
        links: Vec<u32>,
        #[serde(rename = "share", with = "units::ratio")]
        share_ppm: u32,
        #[serde(rename = "by", with = "units::span")]
        by_us: u64,
    },
    /// 1 to `bits` bits of a packet are inverted.
    Flip {
        #[serde(default)]
        links: Vec<u32>,
        #[serde(rename = "share", with = "units::ratio")]
        share_ppm: u32,
        bits: u32,
    },
    /// Packets lose their tail.
    Truncate {
        #[serde(default)]
        links: Vec<u32>,
        #[serde(rename = "share", with = "units::ratio")]
        share_ppm: u32,
    },
    /// Larger packets vanish. The nodes are told when `told`.
    Mtu {
        #[serde(default)]
        links: Vec<u32>,
        mtu: u16,
        #[serde(default)]
        told: bool,
    },
    /// Another rate and queue. The nodes are not told.
    Rate {
        #[serde(default)]
        links: Vec<u32>,
        #[serde(rename = "rate", with = "units::rate")]
        rate_bps: u64,
        queue_bytes: u64,
    },
    /// Nothing passes, one way or both. Nobody is told.
    Cut {
        #[serde(default)]
        links: Vec<u32>,
        there: bool,
        back: bool,
    },
    /// Nothing passes during `down` of every `period`. The nodes are told when `told`.
    Flap {
        #[serde(default)]
        links: Vec<u32>,
        #[serde(rename = "period", with = "units::span")]
        period_us: u64,
        #[serde(rename = "down", with = "units::ratio")]
        down_ppm: u32,
        #[serde(default)]
        told: bool,
    },
    /// The interface goes away, and its nodes are told.
    Down {
        #[serde(default)]
        links: Vec<u32>,
    },
    /// With every packet, by this chance, one of the last 64 of the same way is sent again, up to
    /// `within` later.
    Replay {
        #[serde(default)]
        links: Vec<u32>,
        #[serde(rename = "share", with = "units::ratio")]
        share_ppm: u32,
        #[serde(rename = "within", default, with = "units::span")]
        within_us: u64,
    },
    /// The node stands behind a translator (NAT, RFC 4787), on the links of the list that it is on: others
    /// see it under an address and port that the translator chose, and reach it only there. Begin and end
    /// change its address under its feet, as a new translator does with a session that is up; nobody is
    /// told. Of several at once the one that began last counts. Whether a packet is let in is looked at when it leaves its sender.
    Nat {
        node: u32,
        #[serde(default)]
        links: Vec<u32>,
        /// How far a port is bound to where the packets go (RFC 4787, section 4.1).
        #[serde(default)]
        mapping: Dependence,
        /// Who is let in through it (RFC 4787, section 5).
        #[serde(default)]
        filtering: Dependence,
        /// How long a mapping lasts without packets outwards; two minutes at least, by RFC 4787 (REQ-5),
        /// and half a minute in many a router.
        #[serde(rename = "expire", default = "two_minutes", with = "units::span")]
        expire_us: u64,
    },
    /// Packets pass only between nodes of one side. Nodes on no side reach everybody.
    Partition { sides: Vec<Vec<u32>> },
    /// An attacker on `link` sends junk to `target`.
    Flood {
        link: u32,
        target: u32,
        kind: Flood,
        /// Packets a second.
        per_s: u64,
        /// Bytes of junk packets, drawn between the two.
        #[serde(default = "junk_size")]
        size: (u32, u32),
        /// How many addresses it pretends to come from; 0 means those of the target's real peers.
        #[serde(default)]
        sources: u32,
    },
    /// The power fails; it is back after `down`, or at the end of the storm at the latest.
    Crash {
        node: u32,
        #[serde(rename = "down", with = "units::span")]
        down_us: u64,
    },
    /// From `start` on, the power fails `times` times between a write and its sync.
    CrashUnsynced {
        node: u32,
        times: u32,
        #[serde(rename = "down", with = "units::span")]
        down_us: u64,
    },
    /// The power fails every `period`.
    RebootLoop {
        node: u32,
        #[serde(rename = "period", with = "units::span")]
        period_us: u64,
        #[serde(rename = "down", with = "units::span")]
        down_us: u64,
    },
    /// The process is stopped and goes on where it was; packets wait in a bounded socket buffer.
    Pause { node: u32 },
    /// The node's radio is off for the rest of each `period`, and on for `awake` at its end. Only the node is told, as the driver of a
    /// sleeping chip knows when it sleeps; the others find out by silence.
    Sleep {
        node: u32,
        #[serde(rename = "period", with = "units::span")]
        period_us: u64,
        #[serde(rename = "awake", with = "units::span")]
        awake_us: u64,
    },
    /// Every turn takes this long.
    Slow {
        node: u32,
        #[serde(rename = "turn", with = "units::span")]
        turn_us: u64,
    },
    /// A second host wakes up with a copy of the node's disk and the entropy of its last start, at
    /// another address. It is switched off at the end.
    Clone { node: u32 },
    /// Syncs take this long.
    DiskSlow {
        node: u32,
        #[serde(rename = "sync", with = "units::span")]
        sync_us: u64,
    },
    /// Every write fails for want of room.
    DiskFull { node: u32 },
    /// The next sync fails.
    DiskFail { node: u32 },
    /// Bits flip in this many stored records; the next start reads them.
    Rot { node: u32, records: u32 },
    /// A crash leaves the first lost record half written, this often.
    Torn {
        node: u32,
        #[serde(rename = "share", with = "units::ratio")]
        share_ppm: u32,
    },
    /// The monotonic clock runs this much faster than planned, in millionths; negative is slower.
    Drift { node: u32, ppm: i32 },
    /// The monotonic clock jumps ahead, as after a suspend.
    Jump {
        node: u32,
        #[serde(rename = "by", with = "units::span")]
        by_us: u64,
    },
    /// The calendar clock steps, back again at the end.
    WallStep {
        node: u32,
        #[serde(rename = "by", with = "units::signed_span")]
        by_us: i64,
    },
    /// A leap second: the calendar clock repeats one second.
    Leap { node: u32 },
    /// The node's root key revokes its device, for good. Whoever runs, or starts later, is told at once, but for itself.
    Revoke { node: u32 },
    /// A router lies to its neighbours, every `every`: of the map, in messages that its links carry as they carry true ones. It
    /// passes on for others as before.
    Lie {
        node: u32,
        lie: Lie,
        #[serde(rename = "every", with = "units::span")]
        every_us: u64,
    },
}

const fn two_minutes() -> u64 {
    120_000_000
}

/// How much of the other end's address a translator cares about (RFC 4787, sections 4.1 and 5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dependence {
    /// Nothing of it.
    EndpointIndependent,
    /// The address.
    AddressDependent,
    /// The address and the port: the narrowest.
    #[default]
    AddressAndPortDependent,
}

/// What a flood consists of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flood {
    /// Random bytes.
    Junk,
    /// Packets that passed the link before.
    Replayed,
    /// The heads of such packets.
    Truncated,
    /// Packets as large as the link carries, and larger than the node accepts.
    Oversize,
    /// Handshake packets that passed before, whole, with changed bytes, or cut, from many addresses.
    Handshakes,
    /// First packets of handshakes that passed before, unchanged, from many addresses.
    Calls,
    /// All of these but the last in turn.
    Mixed,
}

/// What a lying router says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lie {
    /// In the names of all others, that they have no neighbours; signed by itself.
    Forge,
    /// That it is a neighbour of all others and costs nothing.
    Links,
    /// What was on the map when it began to lie.
    Replay,
    /// That it has passed on what it was given; it has not.
    Swallow,
}

impl Lie {
    /// Every kind.
    pub const ALL: [Lie; 4] = [Lie::Forge, Lie::Links, Lie::Replay, Lie::Swallow];
}

const fn junk_size() -> (u32, u32) {
    (1, 1_400)
}

impl What {
    /// The fault's name as in a plan file.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            What::Loss { .. } => "loss",
            What::Burst { .. } => "burst",
            What::Delay { .. } => "delay",
            What::Duplicate { .. } => "duplicate",
            What::Reorder { .. } => "reorder",
            What::Flip { .. } => "flip",
            What::Truncate { .. } => "truncate",
            What::Mtu { .. } => "mtu",
            What::Rate { .. } => "rate",
            What::Cut { .. } => "cut",
            What::Flap { .. } => "flap",
            What::Down { .. } => "down",
            What::Replay { .. } => "replay",
            What::Nat { .. } => "nat",
            What::Partition { .. } => "partition",
            What::Flood { .. } => "flood",
            What::Crash { .. } => "crash",
            What::CrashUnsynced { .. } => "crash-unsynced",
            What::RebootLoop { .. } => "reboot-loop",
            What::Pause { .. } => "pause",
            What::Sleep { .. } => "sleep",
            What::Slow { .. } => "slow",
            What::Clone { .. } => "clone",
            What::DiskSlow { .. } => "disk-slow",
            What::DiskFull { .. } => "disk-full",
            What::DiskFail { .. } => "disk-fail",
            What::Rot { .. } => "rot",
            What::Torn { .. } => "torn",
            What::Drift { .. } => "drift",
            What::Jump { .. } => "jump",
            What::WallStep { .. } => "wall-step",
            What::Leap { .. } => "leap",
            What::Revoke { .. } => "revoke",
            What::Lie { .. } => "lie",
        }
    }

    /// The links it names, when it is about links. Empty means all.
    #[must_use]
    pub fn links(&self) -> Option<&[u32]> {
        match self {
            What::Loss { links, .. }
            | What::Burst { links, .. }
            | What::Delay { links, .. }
            | What::Duplicate { links, .. }
            | What::Reorder { links, .. }
            | What::Flip { links, .. }
            | What::Truncate { links, .. }
            | What::Mtu { links, .. }
            | What::Rate { links, .. }
            | What::Cut { links, .. }
            | What::Flap { links, .. }
            | What::Down { links }
            | What::Replay { links, .. }
            | What::Nat { links, .. } => Some(links),
            What::Partition { .. }
            | What::Flood { .. }
            | What::Crash { .. }
            | What::CrashUnsynced { .. }
            | What::RebootLoop { .. }
            | What::Pause { .. }
            | What::Sleep { .. }
            | What::Slow { .. }
            | What::Clone { .. }
            | What::DiskSlow { .. }
            | What::DiskFull { .. }
            | What::DiskFail { .. }
            | What::Rot { .. }
            | What::Torn { .. }
            | What::Drift { .. }
            | What::Jump { .. }
            | What::WallStep { .. }
            | What::Leap { .. }
            | What::Revoke { .. }
            | What::Lie { .. } => None,
        }
    }

    /// The node it strikes, when it strikes one.
    #[must_use]
    pub fn node(&self) -> Option<u32> {
        match self {
            What::Flood { target, .. } => Some(*target),
            What::Nat { node, .. }
            | What::Crash { node, .. }
            | What::CrashUnsynced { node, .. }
            | What::RebootLoop { node, .. }
            | What::Pause { node }
            | What::Sleep { node, .. }
            | What::Slow { node, .. }
            | What::Clone { node }
            | What::DiskSlow { node, .. }
            | What::DiskFull { node }
            | What::DiskFail { node }
            | What::Rot { node, .. }
            | What::Torn { node, .. }
            | What::Drift { node, .. }
            | What::Jump { node, .. }
            | What::WallStep { node, .. }
            | What::Leap { node }
            | What::Revoke { node }
            | What::Lie { node, .. } => Some(*node),
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
            | What::Flap { .. }
            | What::Down { .. }
            | What::Replay { .. }
            | What::Partition { .. } => None,
        }
    }
}
