//! What the loop asks of anything that carries datagrams.
//!
//! The messenger does not care whether the road is a street or a river: it wants to hand a letter over
//! without waiting, to be told when one has come, and to hear when the road is gone. A socket
//! ([`UdpLink`](crate::UdpLink)) is one such road; a tunnel, a serial line or a simulated network is another.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use proto_core::ids::{Addr, LinkId};
use proto_core::node::LinkInfo;

/// A carrier of datagrams, without order, without promise, without a queue of its own.
///
/// What it cannot take at once it loses, as any full line does: the engine's pacing measures that and
/// slows down, while a queue in between would hide it.
pub trait Link {
    /// What the engine calls it; no two links of one node have the same number.
    fn id(&self) -> LinkId;

    /// What the engine has to know about it. Asked once, before the first datagram.
    fn info(&self) -> LinkInfo;

    /// Sends one datagram of at most [`LinkInfo::mtu`] bytes, or loses it; never waits. A loss that the
    /// link knows of is counted in its report.
    fn send(&mut self, to: &Addr, datagram: &[u8]);

    /// The next datagram: its length in `buf`, and who the carrier says sent it, which is unproved. A
    /// datagram longer than `buf` (65,536 bytes in the runner) is cut.
    ///
    /// When there is none, the task of `cx` is woken as soon as it is worth asking again; that of the
    /// last call counts.
    ///
    /// # Errors
    /// The link is of no more use: the runner reports it to the engine as down and drops it. What may
    /// pass (a peer that is not there, an interrupted call) is no error; the link keeps it for its report.
    fn poll_receive(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<(usize, Addr)>>;

    /// How it is doing.
    fn report(&self) -> LinkReport;
}

/// How a link is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkReport {
    /// Which link.
    pub id: LinkId,
    /// Where it listens.
    pub local: SocketAddr,
    /// Datagrams that the carrier did not take.
    pub unsent: u64,
    /// The last error, as text.
    pub last_error: Option<String>,
}
