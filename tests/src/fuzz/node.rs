//! A whole node against a peer, a disk, links and an application that all misbehave.
//!
//! As with the sessions, an honest meeting is played first and recorded: two nodes connect and send each
//! other something of every kind. The script then plays one node's part again, with everything that can
//! happen to a node in between. Bytes alone would never get past the first packet.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use arbitrary::{Arbitrary, Result, Unstructured};
use bytes::Bytes;
use proto_core::crypto::sign::Verifier;
use proto_core::identity::LocalIdentity;
use proto_core::ids::{Addr, LinkId, NodeId, Ticket};
use proto_core::limits::Limits;
use proto_core::node::{
    Boot, Class, Command, Delivery, Event, Input, LinkState, Node, Outcome, Output, PeerSpec, Send, VERSIONS,
};
use proto_core::time::{Duration, Instant, WallTime};
use proto_core::wake::Wake;
use proto_core::zoo::Zoo;

use crate::cast::{cast, link_info};
use crate::fuzz::spoil::spoil;

const LINK: LinkId = LinkId(0);
const DELAY: Duration = Duration::from_millis(2);
const MEETING: Duration = Duration::from_secs(3);
/// The longest script.
const STEPS: usize = 24;

/// What the disk does with a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Arbitrary)]
enum Disk {
    Good,
    Slow,
    Broken,
}

/// A node with what it runs on, and what it has said.
struct Side {
    node: Node,
    now: Instant,
    local: Addr,
    disk: Disk,
    asked: Ticket,
    sent: Vec<Vec<u8>>,
    received: Vec<Bytes>,
    finished: BTreeSet<u64>,
    buf: Vec<u8>,
}

impl Side {
    fn new(identity: &LocalIdentity, number: u8) -> Side {
        let boot = Boot {
            identity: identity.clone(),
            network: cast().network(),
            records: Vec::new(),
            versions: VERSIONS,
            zoo: Zoo::none(),
            verifier: Verifier::default(),
        };
        let now = Instant::from_micros(1_000_000);
        // Short times, so that scripts live to see them pass.
        let limits = Limits {
            rekey_after: Duration::from_secs(6),
            keepalive: Duration::from_secs(1),
            session_idle: Duration::from_secs(4),
            ..Limits::TINY
        };
        let node = Node::new(boot, [number; 32], limits, now).expect("the profile is valid");
        let local = Addr::from_u32(u32::from(number));
        let mut side = Side {
            node,
            now,
            local,
            disk: Disk::Good,
            asked: Ticket(0),
            sent: Vec::new(),
            received: Vec::new(),
            finished: BTreeSet::new(),
            buf: vec![0; 2_048],
        };
        side.link(LINK, LinkState::Up(link_info(1_200, local)));
        side
    }

    fn link(&mut self, link: LinkId, state: LinkState) {
        self.input(Input::LinkChanged { link, state });
    }

    fn connect(&mut self, to: NodeId, at: u32) {
        let spec = PeerSpec { node: Some(to), key: None, endpoints: vec![(LINK, Addr::from_u32(at))] };
        self.input(Input::Command(Command::AddPeer(spec)));
    }

    fn send(&mut self, send: Send) {
        self.input(Input::Command(Command::Send(send)));
    }

    /// Something of every kind, each with its own number in its bytes.
    fn send_all_kinds(&mut self, to: NodeId, first_tag: u64) {
        let kinds = [
            (Delivery::Datagram, 100),
            (Delivery::Message, 0),
            (Delivery::Message, 3_000),
            (Delivery::Stream { stream: 5 }, 200),
            (Delivery::Stream { stream: 5 }, 10),
            (Delivery::Durable, 150),
            (Delivery::Durable, 1_500),
        ];
        for (tag, (delivery, len)) in (first_tag..).zip(kinds) {
            let payload = [&tag.to_le_bytes()[..], &vec![tag as u8; len]].concat().into();
            self.send(Send { to, tag, delivery, class: Class::Normal, lifetime: None, payload });
        }
    }

    /// Hands something in and carries out what follows. Refusals are for the caller to ignore.
    fn input(&mut self, input: Input<'_>) {
        let _ = self.node.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        for turn in 0.. {
            assert!(turn < 10_000, "outputs without end at {:?}", self.now);
            match self.node.poll(self.now, &mut self.buf) {
                Some(Output::Transmit(transmit)) => {
                    let bytes = self.buf.get(..transmit.len).expect("it lies in the buffer");
                    self.sent.extend(bytes.chunks(transmit.segment).map(<[u8]>::to_vec));
                }
                Some(Output::Store { ticket, .. }) => {
                    assert!(self.asked < ticket, "tickets rise");
                    self.asked = ticket;
                    self.answer_store();
                }
                Some(Output::Load { ticket, .. }) => {
                    let _ = self.node.handle(self.now, Input::Loaded { ticket, record: None });
                }
                Some(Output::Event(event)) => self.event(event),
                None => break,
            }
        }
        self.node.check();
    }

    fn answer_store(&mut self) {
        let answer = match self.disk {
            Disk::Good => Input::Stored { up_to: self.asked },
            Disk::Slow => return,
            Disk::Broken => Input::StoreFailed,
        };
        let _ = self.node.handle(self.now, answer);
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Message { payload, .. } => self.received.push(payload),
            Event::Receipt { outcome: Outcome::Accepted, .. } => {}
            // The script may use a number for several messages, but then it is above these.
            Event::Receipt { tag, .. } if tag < SCRIPTED_TAGS => {
                assert!(self.finished.insert(tag), "two fates of message {tag}");
            }
            Event::Receipt { .. }
            | Event::PeerUp { .. }
            | Event::PeerDown { .. }
            | Event::Path { .. }
            | Event::Incompatible { .. }
            | Event::CloneDetected { .. }
            | Event::Gossip(_)
            | Event::StorageFailed => {}
        }
    }

    fn receive(&mut self, link: LinkId, from: Addr, bytes: &[u8]) {
        self.input(Input::Datagram { link, from, bytes });
    }

    /// Lets time pass until `then`, waking whenever it is asked for.
    fn advance(&mut self, then: Instant) {
        for turn in 0.. {
            assert!(turn < 10_000, "wakes without end at {:?}: {:?}", self.now, self.node.next_wake());
            let at = match self.node.next_wake() {
                Wake::Now => self.now,
                Wake::At(at, _) => at.max(self.now),
                Wake::Idle => break,
            };
            if at > then {
                break;
            }
            self.now = at;
            self.input(Input::Wake);
        }
        self.now = self.now.max(then);
    }
}

/// What alice heard in the honest meeting, and when.
type Heard = Vec<(Instant, Vec<u8>)>;

/// Numbers of alice's and of bob's messages in the meeting, and those that scripts use.
const ALICES: u64 = 1;
const BOBS: u64 = 100;
const SCRIPTED_TAGS: u64 = 1_000;

fn alice() -> Side {
    let mut side = Side::new(&cast().alice, 1);
    side.connect(cast().bob.node(), 2);
    side.send_all_kinds(cast().bob.node(), ALICES);
    side
}

fn meeting() -> &'static (Heard, BTreeSet<Bytes>) {
    static HEARD: OnceLock<(Heard, BTreeSet<Bytes>)> = OnceLock::new();
    HEARD.get_or_init(|| {
        let (mut alice, mut bob) = (alice(), Side::new(&cast().bob, 2));
        let mut heard = Heard::new();
        let end = alice.now + MEETING;
        let mut told = false;
        while alice.now < end {
            let then = alice.now + DELAY;
            for packet in std::mem::take(&mut alice.sent) {
                bob.advance(then);
                bob.receive(LINK, alice.local, &packet);
            }
            bob.advance(then);
            if !told && bob.node.slot_of(&cast().alice.node()).is_some() {
                bob.send_all_kinds(cast().alice.node(), BOBS);
                told = true;
            }
            for packet in std::mem::take(&mut bob.sent) {
                alice.advance(then);
                alice.receive(LINK, bob.local, &packet);
                heard.push((then, packet));
            }
            alice.advance(then);
        }
        assert_eq!((alice.received.len(), bob.received.len()), (7, 7), "an honest meeting");
        (heard, alice.received.into_iter().collect())
    })
}

/// One step of a script.
#[derive(Clone, Debug, Arbitrary)]
enum Step {
    /// The next datagrams of the recording, at their time.
    Next(u8),
    /// Leave some out.
    Skip(u8),
    /// Any datagram of the recording, perhaps spoiled, perhaps from elsewhere.
    Recorded {
        index: u8,
        link: u8,
        from: u8,
    },
    /// Any bytes.
    Junk {
        bytes: Vec<u8>,
        from: u8,
    },
    Wait {
        ms: u16,
    },
    Disk(Disk),
    Stored {
        up_to: u64,
    },
    Send {
        kind: u8,
        class: u8,
        len: u16,
        lifetime_ms: Option<u16>,
        stranger: bool,
    },
    AddPeer {
        number: u8,
        known: bool,
        at: u8,
        key: Option<[u8; 32]>,
    },
    RemovePeer {
        bob: bool,
    },
    Consumed {
        seq: u64,
    },
    Install(Vec<u8>),
    WallClock {
        unix_us: i64,
        error_us: u64,
    },
    LinkUp {
        link: u8,
        mtu: u16,
        rate_bps: Option<u64>,
        segments: u8,
    },
    LinkDown {
        link: u8,
    },
    SmallBuffer {
        len: u16,
    },
}

/// Plays a script against alice.
///
/// # Panics
/// When she breaks an invariant, delivers what bob never sent or what she delivered before, tells two
/// fates of one message, or does not come to rest.
pub fn node(bytes: &[u8]) {
    let (heard, told) = meeting();
    let mut side = alice();
    // A script ends where its bytes do.
    let _ = play(&mut Unstructured::new(bytes), &mut side, heard);
    let unique: BTreeSet<&Bytes> = side.received.iter().collect();
    assert_eq!(unique.len(), side.received.len(), "something was delivered twice");
    assert!(side.received.iter().all(|payload| told.contains(payload)), "something was never sent");
}

fn play(u: &mut Unstructured<'_>, side: &mut Side, heard: &Heard) -> Result<()> {
    let mut next = 0;
    for _ in 0..STEPS {
        match u.arbitrary()? {
            Step::Next(count) => {
                for (at, packet) in heard.iter().skip(next).take(usize::from(count % 16) + 1) {
                    side.advance(*at);
                    side.receive(LINK, Addr::from_u32(2), packet);
                    next += 1;
                }
            }
            Step::Skip(count) => next += usize::from(count % 8),
            Step::Recorded { index, link, from } => {
                let Some((_, packet)) = heard.get(usize::from(index) % heard.len()) else { continue };
                let mut packet = packet.clone();
                spoil(u, &mut packet)?;
                side.receive(LinkId(u16::from(link % 3)), Addr::from_u32(u32::from(from)), &packet);
            }
            Step::Junk { bytes, from } => side.receive(LINK, Addr::from_u32(u32::from(from)), &bytes),
            Step::Wait { ms } => side.advance(side.now + Duration::from_millis(u64::from(ms % 2_048))),
            other => misuse(side, other),
        }
    }
    Ok(())
}

/// What a shell or an application may do at any time.
fn misuse(side: &mut Side, step: Step) {
    let bob = cast().bob.node();
    match step {
        Step::Disk(disk) => side.disk = disk,
        Step::Stored { up_to } => side.input(Input::Stored { up_to: Ticket(up_to) }),
        Step::Send { kind, class, len, lifetime_ms, stranger } => {
            let delivery = match kind % 4 {
                0 => Delivery::Datagram,
                1 => Delivery::Message,
                2 => Delivery::Stream { stream: u16::from(kind) },
                _ => Delivery::Durable,
            };
            side.send(Send {
                to: if stranger { NodeId([7; 32]) } else { bob },
                tag: SCRIPTED_TAGS + u64::from(len),
                delivery,
                class: Class::ALL[usize::from(class) % Class::ALL.len()],
                lifetime: lifetime_ms.map(|ms| Duration::from_millis(u64::from(ms))),
                payload: vec![kind; usize::from(len)].into(),
            });
        }
        Step::AddPeer { number, known, at, key } => {
            let node = known.then_some(if number == 2 { bob } else { NodeId([number; 32]) });
            let endpoints = vec![(LinkId(u16::from(at % 3)), Addr::from_u32(u32::from(at)))];
            side.input(Input::Command(Command::AddPeer(PeerSpec { node, key, endpoints })));
        }
        Step::RemovePeer { bob: is_bob } => {
            let node = if is_bob { bob } else { NodeId([7; 32]) };
            side.input(Input::Command(Command::RemovePeer(node)));
        }
        Step::Consumed { seq } => side.input(Input::Command(Command::Consumed { from: bob, seq })),
        Step::Install(bytes) => side.input(Input::Command(Command::Install(bytes.into()))),
        Step::WallClock { unix_us, error_us } => {
            side.input(Input::WallClock(WallTime { unix_us, error_us }));
        }
        Step::LinkUp { link, mtu, rate_bps, segments } => {
            let mut info = link_info(mtu, side.local);
            info.rate_bps = rate_bps;
            info.segments = segments;
            side.link(LinkId(u16::from(link % 3)), LinkState::Up(info));
        }
        Step::LinkDown { link } => side.link(LinkId(u16::from(link % 3)), LinkState::Down),
        Step::SmallBuffer { len } => side.buf = vec![0; 64 + usize::from(len % 4_096)],
        Step::Next(_) | Step::Skip(_) | Step::Recorded { .. } | Step::Junk { .. } | Step::Wait { .. } => {}
    }
}
