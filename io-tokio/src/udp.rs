//! A UDP socket as a link.
//!
//! Datagrams go straight through: no queue of our own, so that what the kernel does not take at once
//! is lost as on any full line, and the engine's pacing sees it.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::task::{Context, Poll};

use proto_core::ids::{Addr, LinkId};
use proto_core::node::{LinkInfo, Medium};
use proto_core::time::Duration;
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use crate::address::{to_addr, to_socket};
use crate::link::{Link, LinkReport};

/// The payload that fits the links of most of the Internet in one piece: of Ethernet's 1,500 bytes 1,452 are left
/// by IPv6 and UDP, and some by a tunnel.
pub const DEFAULT_MTU: u16 = 1_400;

/// The first guess of a one-way delay: between a local network and the other side of a continent.
const FIRST_DELAY: Duration = Duration::from_millis(25);

/// A bound socket.
#[derive(Debug)]
pub struct UdpLink {
    id: LinkId,
    socket: UdpSocket,
    /// The same socket, asked directly: the runtime's own handle refuses what the kernel would take
    /// until its driver has seen the socket writable, which loses the first datagram after a start.
    sender: std::net::UdpSocket,
    local: SocketAddr,
    mtu: u16,
    /// Datagrams that the kernel did not take.
    unsent: u64,
    last_error: Option<io::Error>,
}

impl UdpLink {
    /// Binds `address`; port 0 takes a free one. The engine will call this link `id`.
    ///
    /// # Errors
    /// Whatever the system says about the address. Must be called within a tokio runtime.
    pub fn bind(id: LinkId, address: SocketAddr) -> io::Result<UdpLink> {
        let socket = std::net::UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        let sender = socket.try_clone()?;
        let socket = UdpSocket::from_std(socket)?;
        let local = socket.local_addr()?;
        Ok(UdpLink { id, socket, sender, local, mtu: DEFAULT_MTU, unsent: 0, last_error: None })
    }

    /// The same link with another largest datagram, 64 to 65,507 bytes; checked when a node takes it.
    #[must_use]
    pub fn with_mtu(mut self, mtu: u16) -> UdpLink {
        self.mtu = mtu;
        self
    }

    /// Where it listens, with the port that was taken.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// An IPv6 socket names IPv4 peers by their mapped addresses.
    fn reachable(&self, target: SocketAddr) -> SocketAddr {
        match (self.local, target.ip()) {
            (SocketAddr::V6(_), IpAddr::V4(ip)) => {
                SocketAddrV6::new(ip.to_ipv6_mapped(), target.port(), 0, 0).into()
            }
            (SocketAddr::V4(_) | SocketAddr::V6(_), IpAddr::V4(_) | IpAddr::V6(_)) => target,
        }
    }
}

impl Link for UdpLink {
    fn id(&self) -> LinkId {
        self.id
    }

    fn info(&self) -> LinkInfo {
        LinkInfo {
            medium: Medium::PointToPoint,
            mtu: self.mtu,
            rate_bps: None,
            delay: FIRST_DELAY,
            cost: 0,
            segments: 1,
            local: to_addr(self.local),
            air: None,
            beacons: false,
        }
    }

    fn send(&mut self, to: &Addr, datagram: &[u8]) {
        let sent = match to_socket(to) {
            Some(target) => self.sender.send_to(datagram, self.reachable(target)),
            None => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a UDP address")),
        };
        if let Err(error) = sent {
            self.unsent = self.unsent.saturating_add(1);
            self.last_error = Some(error);
        }
    }

    /// A complaint of the system about an earlier datagram ("nobody listens there") is noted and
    /// skipped. Any other error means that the socket is of no more use.
    fn poll_receive(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<(usize, Addr)>> {
        loop {
            let mut read = ReadBuf::new(buf);
            match self.socket.poll_recv_from(cx, &mut read) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(from)) => return Poll::Ready(Ok((read.filled().len(), to_addr(from)))),
                Poll::Ready(Err(error)) if is_complaint(&error) => self.last_error = Some(error),
                Poll::Ready(Err(error)) => {
                    self.last_error = Some(io::Error::new(error.kind(), error.to_string()));
                    return Poll::Ready(Err(error));
                }
            }
        }
    }

    fn report(&self) -> LinkReport {
        let last_error = self.last_error.as_ref().map(ToString::to_string);
        LinkReport { id: self.id, local: self.local, unsent: self.unsent, last_error }
    }
}

fn is_complaint(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkUnreachable,
    };
    matches!(
        error.kind(),
        ConnectionRefused | ConnectionReset | HostUnreachable | NetworkUnreachable | Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The runtime's driver has not run even once when the datagram leaves.
    #[tokio::test]
    async fn the_first_datagram_after_a_start_is_not_lost() {
        let here: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let receiver = std::net::UdpSocket::bind(here).unwrap();
        let mut link = UdpLink::bind(LinkId(0), here).unwrap();
        link.send(&to_addr(receiver.local_addr().unwrap()), b"first");
        let report = link.report();
        assert_eq!((report.unsent, report.last_error), (0, None));
        let mut buf = [0; 16];
        let (len, from) = receiver.recv_from(&mut buf).unwrap();
        assert_eq!((&buf[..len], from), (&b"first"[..], link.local()));
    }
}
