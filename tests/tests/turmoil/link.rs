//! A socket of the simulated network as a link.
//!
//! The same thin pipe as the shell's own UDP link, over another kernel. One thing a real socket does not
//! do: the program can put another one in its place, and the node is not told. That is what a router
//! does to its customers when it gives them new ports.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use io_tokio::address::{to_addr, to_socket};
use io_tokio::{Link, LinkReport};
use proto_core::ids::{Addr, LinkId};
use proto_core::node::{LinkInfo, Medium};
use proto_core::time::Duration;
use tokio::sync::mpsc;
use turmoil::net::UdpSocket;

use crate::disk::Disk;

/// The number of the only link of each host.
pub(crate) const LINK: LinkId = LinkId(0);

type Readable = Pin<Box<dyn Future<Output = io::Result<()>>>>;

pub(crate) struct SimulatedLink {
    socket: Arc<UdpSocket>,
    local: SocketAddr,
    /// The wait for the next datagram. It is kept from call to call, and it holds the socket's lock: while
    /// it waits, the socket says that there is nothing.
    readable: Option<Readable>,
    replacements: mpsc::UnboundedReceiver<UdpSocket>,
    /// Without power nothing is sent.
    disk: Disk,
    unsent: u64,
    last_error: Option<String>,
}

impl SimulatedLink {
    /// Binds `port` of the host that this runs on. What is sent to the second value takes its place.
    pub(crate) async fn bind(
        port: u16,
        disk: Disk,
    ) -> io::Result<(SimulatedLink, mpsc::UnboundedSender<UdpSocket>)> {
        let socket = bind(port).await?;
        let local = socket.local_addr()?;
        let (to_link, replacements) = mpsc::unbounded_channel();
        let link = SimulatedLink {
            socket: Arc::new(socket),
            local,
            readable: None,
            replacements,
            disk,
            unsent: 0,
            last_error: None,
        };
        Ok((link, to_link))
    }
}

/// A socket on any address of the host that this runs on.
pub(crate) async fn bind(port: u16) -> io::Result<UdpSocket> {
    UdpSocket::bind(SocketAddr::from(([0, 0, 0, 0], port))).await
}

impl Link for SimulatedLink {
    fn id(&self) -> LinkId {
        LINK
    }

    fn info(&self) -> LinkInfo {
        LinkInfo {
            medium: Medium::PointToPoint,
            mtu: 1_400,
            rate_bps: None,
            delay: Duration::from_millis(25),
            cost: 0,
            segments: 1,
            local: to_addr(self.local),
            air: None,
            beacons: false,
        }
    }

    fn send(&mut self, to: &Addr, datagram: &[u8]) {
        if self.disk.is_off() {
            return;
        }
        let target = to_socket(to).expect("the node was given socket addresses");
        if let Err(error) = self.socket.try_send_to(datagram, target) {
            self.unsent += 1;
            self.last_error = Some(error.to_string());
        }
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<(usize, Addr)>> {
        while let Poll::Ready(Some(socket)) = self.replacements.poll_recv(cx) {
            self.readable = None;
            self.socket = Arc::new(socket);
        }
        loop {
            match self.socket.try_recv_from(buf) {
                Ok((len, from)) => return Poll::Ready(Ok((len, to_addr(from)))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            let socket = &self.socket;
            let wait = || -> Readable {
                let socket = Arc::clone(socket);
                Box::pin(async move { socket.readable().await })
            };
            ready!(self.readable.get_or_insert_with(wait).as_mut().poll(cx))?;
            self.readable = None;
        }
    }

    fn report(&self) -> LinkReport {
        LinkReport { id: LINK, local: self.local, unsent: self.unsent, last_error: self.last_error.clone() }
    }
}
