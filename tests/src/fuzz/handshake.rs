//! The session machine against whoever can reach its link, in both roles.
//!
//! First an honest handshake, some data packets and a change of keys are played between two nodes, and
//! everything that one of them hears is recorded. The script then plays the recording to that node again, which
//! is in the same state as then, with omissions, repetitions, and damage. The attacker knows the network's tag,
//! as every member does, but no key of the other node.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use arbitrary::{Arbitrary, Result, Unstructured};
use proto_core::crypto::hash;
use proto_core::crypto::sign::Verifier;
use proto_core::drops::Drops;
use proto_core::identity::{LocalIdentity, Revocations};
use proto_core::ids::{Addr, LinkId, NodeId, PathId, PeerSlot};
use proto_core::limits::Limits;
use proto_core::machine::{Cx, Machine};
use proto_core::node::PeerSpec;
use proto_core::rng::Rng;
use proto_core::session::{Action, Input, MIN_VERSION, Sessions, Setup, VERSION, Versions};
use proto_core::time::{Duration, Instant};
use proto_core::wake::Wake;
use proto_core::zoo::Zoo;

use crate::cast::{cast, link_info};
use crate::fuzz::spoil::spoil;

const LINK: LinkId = LinkId(0);
/// How long the honest meeting lasts: two changes of keys.
const MEETING: Duration = Duration::from_secs(150);
const DELAY: Duration = Duration::from_millis(2);
/// The longest script.
const STEPS: usize = 24;

/// A node's sessions with what they run on, and what they did.
struct Side {
    sessions: Sessions,
    rng: Rng,
    limits: Limits,
    drops: Drops,
    now: Instant,
    local: Addr,
    sent: Vec<Vec<u8>>,
    peer: Option<PeerSlot>,
    met: BTreeSet<NodeId>,
    opened: BTreeSet<Vec<u8>>,
}

impl Side {
    fn new(identity: &LocalIdentity, number: u8) -> Side {
        let limits = Limits { rekey_after: Duration::from_secs(60), ..Limits::TINY };
        let mut rng = Rng::fork(&[number; 32], "session");
        let mut drops = Drops::default();
        let setup = Setup {
            identity: identity.clone(),
            network: cast().network(),
            revocations: Revocations::new(4),
            boot: 1,
            versions: Versions { lowest: MIN_VERSION, highest: VERSION },
            params: limits.params(),
            known: Vec::new(),
            verifier: Verifier::default(),
        };
        let now = Instant::from_micros(1_000_000);
        let mut cx = Cx { now, rng: &mut rng, limits: &limits, drops: &mut drops, zoo: Zoo::none() };
        let sessions = Sessions::new(setup, &mut cx);
        let local = Addr::from_u32(u32::from(number));
        let mut side = Side {
            sessions,
            rng,
            limits,
            drops,
            now,
            local,
            sent: Vec::new(),
            peer: None,
            met: BTreeSet::new(),
            opened: BTreeSet::new(),
        };
        side.link_up(1_400);
        side
    }

    fn link_up(&mut self, mtu: u16) {
        let info = link_info(mtu, self.local);
        self.input(Input::LinkUp { link: LINK, info });
    }

    fn connect(&mut self, to: NodeId, at: u32) {
        let spec = PeerSpec { node: Some(to), key: None, endpoints: vec![(LINK, Addr::from_u32(at))] };
        self.input(Input::Connect { spec });
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Sessions, &mut Cx<'_>) -> T) -> T {
        let (rng, drops) = (&mut self.rng, &mut self.drops);
        let mut cx = Cx { now: self.now, rng, limits: &self.limits, drops, zoo: Zoo::none() };
        act(&mut self.sessions, &mut cx)
    }

    fn input(&mut self, input: Input<'_>) {
        self.with(|sessions, cx| sessions.handle(cx, input));
        self.collect();
    }

    fn collect(&mut self) {
        for turn in 0.. {
            assert!(turn < 10_000, "one input sets off actions without end");
            match self.sessions.poll() {
                Some(Action::Transmit { packet, .. }) => self.sent.push(packet.to_vec()),
                Some(Action::Established { peer, node, .. }) => {
                    self.peer = Some(peer);
                    self.met.insert(node);
                }
                Some(Action::Closed { .. } | Action::Forgotten { .. }) => self.peer = None,
                Some(
                    Action::Named { .. }
                    | Action::Distrusted { .. }
                    | Action::Heard { .. }
                    | Action::Incompatible { .. }
                    | Action::CloneDetected { .. }
                    | Action::Store(_),
                ) => {}
                None => break,
            }
        }
        self.sessions.check();
    }

    fn receive(&mut self, from: Addr, bytes: &[u8]) {
        if bytes.first().is_none_or(|first| first & 0x80 == 0) {
            self.input(Input::Packet { link: LINK, from, bytes });
            return;
        }
        let mut packet = bytes.to_vec();
        if let Some(opened) = self.with(|sessions, cx| sessions.open(cx, LINK, from, &mut packet)) {
            let is_new = self.opened.insert(bytes.to_vec());
            assert_eq!(opened.payload.is_some(), is_new, "a packet was opened twice");
            let payload = opened.payload.unwrap_or(0..0);
            assert!(packet.get(payload).is_some(), "the payload lies in the packet");
        }
        self.collect();
    }

    /// Lets time pass until `then`, waking whenever it is asked for.
    fn advance(&mut self, then: Instant) {
        for turn in 0.. {
            assert!(turn < 10_000, "wakes without end at {:?}: {:?}", self.now, self.sessions.next_wake());
            let at = match self.sessions.next_wake() {
                Wake::Now => self.now,
                Wake::At(at, _) => at.max(self.now),
                Wake::Idle => break,
            };
            if at > then {
                break;
            }
            self.now = at;
            self.with(|sessions, cx| sessions.wake(cx));
            self.collect();
        }
        self.now = self.now.max(then);
    }

    /// A data packet for the peer that says PING.
    fn ping(&mut self) -> Option<Vec<u8>> {
        let peer = self.peer?;
        let mut buf = [0; 64];
        self.with(|sessions, cx| {
            let header = sessions.header_len(peer, PathId(0), None);
            *buf.get_mut(header)? = 1;
            let sealed = sessions.seal(cx, peer, PathId(0), None, &mut buf, 1)?;
            buf.get(..sealed.len).map(<[u8]>::to_vec)
        })
    }
}

/// What one side of the honest meeting heard, and when.
type Heard = Vec<(Instant, Vec<u8>)>;

fn alice() -> Side {
    let mut side = Side::new(&cast().alice, 1);
    side.connect(cast().bob.node(), 2);
    side
}

fn bob() -> Side {
    Side::new(&cast().bob, 2)
}

/// The honest meeting: what alice heard and what bob heard.
fn meeting() -> &'static [Heard; 2] {
    static MEETING_HEARD: OnceLock<[Heard; 2]> = OnceLock::new();
    MEETING_HEARD.get_or_init(|| {
        let mut sides = [alice(), bob()];
        let mut heard = [Vec::new(), Vec::new()];
        let mut now = sides[0].now;
        let end = now + MEETING;
        while now < end {
            for (from, to) in [(0, 1), (1, 0)] {
                let mut packets = std::mem::take(&mut sides[from].sent);
                packets.extend(sides[from].ping());
                now += DELAY;
                for packet in packets {
                    sides[to].advance(now);
                    sides[to].receive(sides[from].local, &packet);
                    heard[to].push((now, packet));
                }
                sides[from].advance(now);
            }
            // Busy at first; later only often enough that nobody thinks the other gone.
            let quiet = sides.iter().all(|side| side.peer.is_some() && side.opened.len() > 8);
            now = if quiet { now + Duration::from_secs(5) } else { now };
        }
        assert!(sides.iter().all(|side| side.met.len() == 1 && side.opened.len() > 16), "an honest meeting");
        heard
    })
}

/// One step of a script.
#[derive(Clone, Debug, Arbitrary)]
enum Step {
    /// The next packets of the recording.
    Next(u8),
    /// Leave some out.
    Skip(u8),
    /// Any packet of the recording, perhaps spoiled, perhaps with a right tag again, from anywhere.
    Recorded {
        index: u8,
        tag: bool,
        from: u8,
    },
    /// Any bytes, perhaps with a right tag.
    Junk {
        bytes: Vec<u8>,
        tag: bool,
        from: u8,
    },
    Wait {
        ms: u16,
    },
    Silent,
    LinkDown,
    LinkUp {
        mtu: u16,
    },
    Forget,
    /// A beacon of ours.
    Beacon,
    /// Somebody's beacon was heard, for the first time or not, or none for long.
    Meet {
        from: u8,
        new: bool,
    },
    Part {
        from: u8,
    },
}

/// Replaces the network tag by the right one, as any member of the network could.
fn tag(packet: &mut Vec<u8>) {
    let network = &cast().network;
    let Some(key) = network.hello_key(network.sending_epoch()) else { return };
    let tag_len = if packet.first() == Some(&7) { 8 } else { 16 };
    let covered = packet.len().saturating_sub(tag_len);
    packet.truncate(covered);
    let tag = hash::mac(key, &[packet]);
    packet.extend(tag.iter().take(tag_len));
}

fn play(u: &mut Unstructured<'_>, side: &mut Side, heard: &Heard, other: Addr) -> Result<()> {
    let mut next = 0;
    for _ in 0..STEPS {
        match u.arbitrary()? {
            Step::Next(count) => {
                for (at, packet) in heard.iter().skip(next).take(usize::from(count % 8) + 1) {
                    side.advance(*at);
                    side.receive(other, packet);
                    next += 1;
                }
            }
            Step::Skip(count) => next += usize::from(count % 8),
            Step::Recorded { index, tag: tagged, from } => {
                let Some((_, packet)) = heard.get(usize::from(index) % heard.len()) else { continue };
                let mut packet = packet.clone();
                spoil(u, &mut packet)?;
                if tagged {
                    tag(&mut packet);
                }
                side.receive(Addr::from_u32(u32::from(from)), &packet);
            }
            Step::Junk { mut bytes, tag: tagged, from } => {
                if tagged {
                    tag(&mut bytes);
                }
                side.receive(Addr::from_u32(u32::from(from)), &bytes);
            }
            Step::Wait { ms } => side.advance(side.now + Duration::from_millis(u64::from(ms % 8_192))),
            Step::Silent => {
                if let Some(peer) = side.peer {
                    side.input(Input::Silent { peer });
                }
            }
            Step::LinkDown => side.input(Input::LinkDown { link: LINK }),
            Step::LinkUp { mtu } => side.link_up(mtu.max(64)),
            Step::Forget => {
                if let Some(peer) = side.peer.take() {
                    side.input(Input::Forget { peer, evicted: false });
                }
            }
            Step::Beacon => side.input(Input::Beacon { link: LINK, span: 10 }),
            Step::Meet { from, new } => {
                side.input(Input::Meet { link: LINK, addr: Addr::from_u32(u32::from(from)), new });
            }
            Step::Part { from } => {
                side.input(Input::Part { link: LINK, addr: Addr::from_u32(u32::from(from)) });
            }
        }
    }
    Ok(())
}

fn attack(bytes: &[u8], mut side: Side, heard: &Heard, other: &LocalIdentity, at: u32) {
    // A script ends where its bytes do.
    let _ = play(&mut Unstructured::new(bytes), &mut side, heard, Addr::from_u32(at));
    assert!(side.met.iter().all(|node| *node == other.node()), "met somebody who was not there");
}

/// A node that calls, with an attacker between it and the one it calls.
///
/// # Panics
/// When it breaks an invariant, meets a stranger, or opens a packet twice.
pub fn handshake_initiator(bytes: &[u8]) {
    attack(bytes, alice(), &meeting()[0], &cast().bob, 2);
}

/// A node that is called, with an attacker between it and the caller.
///
/// # Panics
/// When it breaks an invariant, meets a stranger, or opens a packet twice.
pub fn handshake_responder(bytes: &[u8]) {
    attack(bytes, bob(), &meeting()[1], &cast().alice, 1);
}

/// One packet, as it is and with a right network tag, to a node that knows nobody.
///
/// # Panics
/// When it breaks an invariant, or answers an unproved address with more than it was sent.
pub fn packet(bytes: &[u8]) {
    let mut tagged = bytes.to_vec();
    tag(&mut tagged);
    let mut side = bob();
    for packet in [bytes, &tagged] {
        side.receive(Addr::from_u32(9), packet);
        let answer: usize = side.sent.drain(..).map(|packet| packet.len()).sum();
        assert!(answer <= packet.len(), "{answer} bytes for {}", packet.len());
        assert!(side.met.is_empty());
    }
}
