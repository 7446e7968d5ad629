//! Everything that can happen to a node. One enum, so a run can be recorded, replayed and fuzzed.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::gossip::signed::{Role, Topic};
use crate::ids::{Addr, LinkId, NodeId, Ticket};
use crate::store::record::Record;
use crate::time::{Duration, WallTime};

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// A datagram arrived on a link.
    Datagram {
        /// The interface it came in by.
        link: LinkId,
        /// Who the link says sent it; unproved.
        from: Addr,
        /// The datagram.
        bytes: &'a [u8],
    },
    /// A link came up, changed or went down.
    LinkChanged {
        /// Which interface.
        link: LinkId,
        /// How it is now.
        state: LinkState,
    },
    /// A deadline of [`Node::next_wake`](crate::node::Node::next_wake) has passed.
    Wake,
    /// The shell's calendar time, to be given at boot and whenever it steps. Meanwhile the node counts on
    /// by its own clock, and lets the error grow by a thousandth of the time since.
    WallClock(WallTime),
    /// The application or the operator asks for something.
    Command(Command),
    /// Every record with a ticket up to this one is on disk and survives a power cut.
    Stored {
        /// The last durable ticket.
        up_to: Ticket,
    },
    /// A write failed. The node stops whatever depends on the disk and says so.
    StoreFailed,
    /// The radio of a link with [`LinkInfo::air`] has nothing to send any more: the last packet that it was given is sent, or
    /// was thrown away. Until then it is given no other, however much waits here.
    AirFree {
        /// Which link.
        link: LinkId,
    },
    /// The answer to [`Output::Load`](crate::node::Output::Load).
    Loaded {
        /// The ticket of the question.
        ticket: Ticket,
        /// The record, if there is one.
        record: Option<Record>,
    },
}

/// Whether a link works, and what it can do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LinkState {
    /// Usable, with these properties.
    Up(LinkInfo),
    /// Not usable now.
    Down,
}

/// What a link can do, as its shell knows it.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkInfo {
    /// Who hears a transmission.
    pub medium: Medium,
    /// The largest datagram in bytes, 64 to 65,507; what lower layers add is not counted.
    pub mtu: u16,
    /// The rate in bits a second, where the hardware fixes it (a radio, a serial line); `None` where
    /// the path has to be measured.
    pub rate_bps: Option<u64>,
    /// A first guess of the one-way delay, used until it has been measured.
    pub delay: Duration,
    /// What the link costs compared with others, as time: how many milliseconds a message should rather wait
    /// than go over this link. 0 for a cable, more for what is metered.
    pub cost: u16,
    /// How many equal datagrams one `Transmit` may carry; 1 where the shell has no segmentation offload.
    pub segments: u8,
    /// Our own address on this link. Sets twins apart that woke up with one generator state.
    pub local: Addr,
    /// What a packet costs of a medium that all in range share, and how much of it is ours: for radios whose driver says
    /// [`Input::AirFree`] after each packet. `rate_bps` is then the rate on air, not that of the share.
    pub air: Option<Air>,
    /// Whether this node says by beacons on it that it is there, and calls those whose beacons it hears. For media that all in range
    /// share; `local` must be the address that the others see.
    pub beacons: bool,
}

/// The air of a radio: what we may use of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Air {
    /// Time on air of a packet beside that of its bytes: preamble, header, and what one rounds up to.
    pub packet: Duration,
    /// How much of each window we may send at most, in millionths of it, 1 to 1,000,000; a million is without bound.
    pub share_ppm: u32,
    /// The window: the law says *so much of any hour*.
    pub window: Duration,
}

impl LinkInfo {
    /// How long a packet of `bytes` bytes is on air; zero where the rate is not fixed.
    #[must_use]
    pub fn airtime(&self, bytes: usize) -> Duration {
        let packet = self.air.map_or(Duration::ZERO, |air| air.packet);
        packet
            + self.rate_bps.map_or(Duration::ZERO, |rate| {
                Duration::from_secs(1).mul_ratio((bytes as u64).saturating_mul(8), rate.max(1))
            })
    }
}

/// With this share of the air, and more, one seldom waits for it: a tenth, what the widest European band allows.
const AMPLE_PPM: u64 = 100_000;

impl LinkInfo {
    /// How long the largest packet takes, with the silence that a small share asks for after it, where air is scarce; else zero. What has
    /// to wait for others counts in these.
    #[must_use]
    pub fn scarce(&self) -> Duration {
        self.with_silence(self.air.map_or(Duration::ZERO, |_| self.airtime(usize::from(self.mtu))))
    }

    /// A time of sending on this link, with the silence that follows from a share of less than a tenth.
    #[must_use]
    pub fn with_silence(&self, airtime: Duration) -> Duration {
        let share_ppm = self.air.map_or(AMPLE_PPM, |air| u64::from(air.share_ppm));
        airtime.mul_ratio(AMPLE_PPM, share_ppm.clamp(1, AMPLE_PPM))
    }
}

// What a cable does not have is not said of it: simulators hash these words.
impl fmt::Debug for LinkInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LinkInfo { medium, mtu, rate_bps, delay, cost, segments, local, air, beacons } = self;
        let mut shown = f.debug_struct("LinkInfo");
        shown.field("medium", medium).field("mtu", mtu).field("rate_bps", rate_bps).field("delay", delay);
        shown.field("cost", cost).field("segments", segments).field("local", local);
        if let Some(air) = air {
            shown.field("air", air);
        }
        if *beacons {
            shown.field("beacons", beacons);
        }
        shown.finish()
    }
}

/// Who hears a transmission.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Medium {
    /// The addressed node only.
    PointToPoint,
    /// The addressed node, by way of others: nothing is sent unasked. No shell's link is of this kind.
    Mesh,
    /// Everybody in range; the sender cannot receive meanwhile when `half_duplex`.
    Shared {
        /// Whether sending blocks receiving.
        half_duplex: bool,
    },
}

/// What an application or operator can ask for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Keep a session with this peer. When all slots are taken, a peer that was never asked for makes room,
    /// one without a session first. Durable messages to one that made room wait for it as after a restart.
    ///
    /// A peer that is known already gets the endpoints in addition to those that it has. When all of its
    /// [`Limits::paths_per_peer`](crate::limits::Limits::paths_per_peer) were given, this is refused with
    /// [`Refused::EndpointsFull`](crate::node::Refused::EndpointsFull); one that the node has learned by itself
    /// makes room. Without a node and without an endpoint it is refused.
    AddPeer(PeerSpec),
    /// Take back an endpoint that was given with `AddPeer`, to whatever peer: nobody is called there any more.
    /// The peer stays, and a session that is up goes on; but one that was added by its endpoints alone, and has
    /// never been reached, is removed with its last one.
    RemoveEndpoint {
        /// The link.
        link: LinkId,
        /// The address on it.
        addr: Addr,
    },
    /// Close the session with this node and forget its addresses. The node is told so, once.
    RemovePeer(NodeId),
    /// The node is about to be switched off: every peer in session is told so, once. Carry out what
    /// [`Node::poll`](crate::node::Node::poll) then gives, and drop the node.
    Shutdown,
    /// Send something to a direct peer.
    Send(Send),
    /// The application has taken a durable message for good; it will not be shown again after a restart.
    Consumed {
        /// Who sent it.
        from: NodeId,
        /// Its number, as in [`Event::Message`](crate::node::Event::Message).
        seq: u64,
    },
    /// Something for all members of the network. Refused with [`Refused::NoGossip`](crate::node::Refused::NoGossip) by a node that takes no
    /// part in gossip.
    Gossip(GossipCommand),
    /// Take over a signed statement about identities: a revocation, a rotation, a membership
    /// certificate or a network-key epoch, as encoded record bytes.
    Install(Bytes),
}

/// What an application can ask for among the members of its network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GossipCommand {
    /// Say something to all. [`GossipEvent::Spread`](crate::node::GossipEvent::Spread) or
    /// [`GossipEvent::Refused`](crate::node::GossipEvent::Refused) says what became of it.
    Broadcast {
        /// Comes back with the answer.
        tag: u64,
        /// What it is about.
        topic: Topic,
        /// What is said, at most a quarter of [`Limits::gossip_bytes`](crate::limits::Limits::gossip_bytes), and as long as a message, less 350 bytes.
        payload: Bytes,
    },
    /// Deliver what is said about a topic from now on. At most 256 topics; one more is counted as dropped.
    Subscribe {
        /// Which.
        topic: Topic,
    },
    /// Do not deliver it any more.
    Unsubscribe {
        /// Which.
        topic: Topic,
    },
    /// Say what this device does and can do.
    Announce {
        /// What it does.
        role: Role,
        /// What it can do, a bit for each thing; the highest two are not sent.
        capabilities: u64,
    },
    /// Ask a node to let us in, where there is no map that names members. It has to be in session or on the map.
    Join {
        /// Whom.
        contact: NodeId,
    },
    /// Say that this device goes. Nothing is said after that until it starts again.
    Leave,
}

/// Where a peer may be found, and what is known of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PeerSpec {
    /// Who it must turn out to be; `None` accepts any member of our network.
    pub node: Option<NodeId>,
    /// Its device's X25519 key. When known, the handshake takes one round trip (Noise IK, else XX).
    pub key: Option<[u8; 32]>,
    /// Link and address of each way to it.
    pub endpoints: Vec<(LinkId, Addr)>,
}

/// Something to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Send {
    /// The receiving node.
    pub to: NodeId,
    /// The caller's own number for it, returned in every [`Event::Receipt`](crate::node::Event::Receipt).
    pub tag: u64,
    /// How it is delivered.
    pub delivery: Delivery,
    /// How urgent it is.
    pub class: Class,
    /// How long it may wait; `None` means what the class allows.
    pub lifetime: Option<Duration>,
    /// The bytes, 0 to [`Limits::message_bytes`](crate::limits::Limits::message_bytes).
    pub payload: Bytes,
}

/// How something is delivered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Delivery {
    /// May be lost; fits one packet.
    Datagram,
    /// Exactly once while neither side restarts; when the peer restarts with its fate unknown, the
    /// receipt says so and it is not sent again.
    Message,
    /// As `Message`, and after every earlier message of the same stream.
    Stream {
        /// The stream, chosen by the sender.
        stream: u16,
    },
    /// Exactly once across restarts of both sides: on disk here before it is accepted, on disk there
    /// before it is acknowledged.
    Durable,
}

/// How urgent a message is. Each class has a share of every link, so none can starve another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Class {
    /// Lives 7 days.
    Emergency,
    /// Lives 5 days.
    High,
    /// Lives 3 days.
    Normal,
    /// Lives 1 day.
    Low,
    /// Lives 12 hours.
    Background,
}

impl Class {
    /// Every class, most urgent first.
    pub const ALL: [Class; 5] = [Class::Emergency, Class::High, Class::Normal, Class::Low, Class::Background];

    /// How long a message of this class may wait when its sender does not say (docs/src/spec/messages.md).
    #[must_use]
    pub const fn lifetime(self) -> Duration {
        const DAY: u64 = 24 * 3600;
        Duration::from_secs(match self {
            Class::Emergency => 7 * DAY,
            Class::High => 5 * DAY,
            Class::Normal => 3 * DAY,
            Class::Low => DAY,
            Class::Background => DAY / 2,
        })
    }
}
