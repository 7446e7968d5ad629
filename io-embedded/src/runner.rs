//! One turn of a node: take what has arrived, do what the node asks for, say when to come back.
//!
//! A turn is bounded, so that a flood on one link cannot keep the firmware's loop from its other work:
//! at most [`Runner::BURST`] datagrams in from each link and as many out, which is also what a link's socket should
//! have room for. What is left over makes the turn end with [`Wake::Now`].

use alloc::vec;
use alloc::vec::Vec;

use proto_core::ids::NodeId;
use proto_core::node::{Command, Event, Input, LinkState, Node, Output, Refused, Status, Transmit};
use proto_core::time::{Instant, WallTime};
use proto_core::wake::Wake;
use smoltcp::iface::SocketSet;

use crate::link::UdpLink;
use crate::records::Records;

/// A node with its links.
#[derive(Debug)]
pub struct Runner {
    node: Node,
    links: Vec<UdpLink>,
    buf: Vec<u8>,
}

impl Runner {
    /// Datagrams that one turn takes from each link, and that it sends.
    pub const BURST: usize = 8;

    /// A runner for `node`, which has been made with the board's entropy as its seed.
    #[must_use]
    pub fn new(node: Node) -> Runner {
        Runner { node, links: Vec::new(), buf: Vec::new() }
    }

    /// Who the node is.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node.id()
    }

    /// How the node is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        self.node.status()
    }

    /// Its links.
    #[must_use]
    pub fn links(&self) -> &[UdpLink] {
        &self.links
    }

    /// Gives the node a link.
    ///
    /// # Errors
    /// When the node refuses it; then it is not used, and its socket remains in the set.
    pub fn add_link(&mut self, now: Instant, link: UdpLink) -> Result<(), Refused> {
        let info = link.info();
        let size = usize::from(info.mtu);
        self.node.handle(now, Input::LinkChanged { link: link.id(), state: LinkState::Up(info) })?;
        if self.buf.len() < size {
            self.buf = vec![0; size];
        }
        self.links.push(link);
        Ok(())
    }

    /// Asks the node for something.
    ///
    /// # Errors
    /// When the node refuses; then nothing has changed.
    pub fn command(&mut self, now: Instant, command: Command) -> Result<(), Refused> {
        self.node.handle(now, Input::Command(command))
    }

    /// Tells the node the calendar time, from a battery-backed clock or a time service: once, and again
    /// whenever that clock is set. The node counts on by `now`.
    pub fn wall_clock(&mut self, now: Instant, wall: WallTime) {
        self.hand_in(now, Input::WallClock(wall));
    }

    /// Takes one turn. Call it after the interface has been polled; poll the interface after it.
    ///
    /// `events` is called for each event, in order. The answer is when to take the next turn: sooner,
    /// when a datagram arrives.
    pub fn turn<R: Records>(
        &mut self,
        now: Instant,
        sockets: &mut SocketSet<'_>,
        records: &mut R,
        events: &mut impl FnMut(Event),
    ) -> Wake {
        let mut more = self.receive(now, sockets);
        if self.node.next_wake().is_due(now) {
            self.hand_in(now, Input::Wake);
        }
        more |= self.carry_out(now, sockets, records, events);
        if more { Wake::Now } else { self.node.next_wake() }
    }

    /// Takes datagrams from every link. Whether some may be left.
    fn receive(&mut self, now: Instant, sockets: &mut SocketSet<'_>) -> bool {
        let mut more = false;
        for link in &self.links {
            let mut left = Self::BURST;
            while left > 0
                && let Some((bytes, from)) = link.receive(sockets)
            {
                // A datagram is never refused: it is acted on, or counted in the status.
                let _ = self.node.handle(now, Input::Datagram { link: link.id(), from, bytes });
                left -= 1;
            }
            more |= left == 0;
        }
        more
    }

    /// Does what the node asks for. Whether something may be left.
    fn carry_out<R: Records>(
        &mut self,
        now: Instant,
        sockets: &mut SocketSet<'_>,
        records: &mut R,
        events: &mut impl FnMut(Event),
    ) -> bool {
        let mut sent = 0;
        while sent < Self::BURST {
            match self.node.poll(now, &mut self.buf) {
                Some(Output::Transmit(transmit)) => {
                    self.transmit(sockets, &transmit);
                    sent += 1;
                }
                Some(Output::Store { ticket, record }) => {
                    let written = records.write(&record).is_ok();
                    self.hand_in(
                        now,
                        if written { Input::Stored { up_to: ticket } } else { Input::StoreFailed },
                    );
                }
                Some(Output::Load { ticket, key }) => {
                    self.hand_in(now, Input::Loaded { ticket, record: records.read(&key) });
                }
                Some(Output::Event(event)) => events(event),
                None => return false,
            }
        }
        true
    }

    fn transmit(&mut self, sockets: &mut SocketSet<'_>, transmit: &Transmit) {
        let Some(link) = self.links.iter_mut().find(|link| link.id() == transmit.link) else { return };
        let bytes = self.buf.get(..transmit.len).unwrap_or_default();
        for datagram in bytes.chunks(transmit.segment.max(1)) {
            link.send(sockets, &transmit.to, datagram);
        }
    }

    fn hand_in(&mut self, now: Instant, input: Input<'_>) {
        // Only commands and changes of links are refused, and those have their own ways in.
        let _ = self.node.handle(now, input);
    }
}
