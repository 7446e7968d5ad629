//! A smoltcp UDP socket as a link.

use alloc::vec;

use proto_core::ids::{Addr, LinkId};
use proto_core::node::{LinkInfo, Medium};
use proto_core::time::Duration;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::udp;
use smoltcp::wire::IpEndpoint;

use crate::address::{to_addr, to_endpoint};

/// A first guess of the one-way delay on a local network.
const FIRST_DELAY: Duration = Duration::from_millis(5);

/// A socket in somebody's socket set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UdpLink {
    id: LinkId,
    handle: SocketHandle,
    local: IpEndpoint,
    mtu: u16,
    /// Datagrams that found no room in the socket, or no address they could go to.
    unsent: u32,
}

/// Why a link cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LinkError {
    /// Port 0 names no socket.
    #[error("the local port must not be 0")]
    NoPort,
}

impl UdpLink {
    /// Adds a socket with room for `packets` datagrams of `mtu` bytes in each direction to `sockets`,
    /// bound to `local`. The engine will call this link `id`.
    ///
    /// # Errors
    /// [`LinkError`]; the set is unchanged.
    ///
    /// # Panics
    /// When `sockets` borrows its places and has none left, as [`SocketSet::add`] does.
    pub fn add(
        sockets: &mut SocketSet<'_>,
        id: LinkId,
        local: IpEndpoint,
        mtu: u16,
        packets: u16,
    ) -> Result<UdpLink, LinkError> {
        let buffer = || {
            let packets = usize::from(packets.max(1));
            let metadata = vec![udp::PacketMetadata::EMPTY; packets];
            udp::PacketBuffer::new(metadata, vec![0; packets.saturating_mul(usize::from(mtu))])
        };
        let mut socket = udp::Socket::new(buffer(), buffer());
        // A fresh socket is not open yet, so the port is all that can be wrong.
        socket.bind(local).map_err(|_| LinkError::NoPort)?;
        let handle = sockets.add(socket);
        Ok(UdpLink { id, handle, local, mtu, unsent: 0 })
    }

    /// What the engine calls it.
    #[must_use]
    pub fn id(&self) -> LinkId {
        self.id
    }

    /// Datagrams that found no room in the socket, or no address they could go to.
    #[must_use]
    pub fn unsent(&self) -> u32 {
        self.unsent
    }

    /// What the engine has to know about it.
    #[must_use]
    pub fn info(&self) -> LinkInfo {
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

    /// The next datagram that waits in the socket, and who the network says sent it.
    pub(crate) fn receive<'s>(&self, sockets: &'s mut SocketSet<'_>) -> Option<(&'s [u8], Addr)> {
        let (bytes, metadata) = sockets.get_mut::<udp::Socket<'_>>(self.handle).recv().ok()?;
        Some((bytes, to_addr(metadata.endpoint)))
    }

    /// Puts a datagram into the socket, or loses it.
    pub(crate) fn send(&mut self, sockets: &mut SocketSet<'_>, to: &Addr, datagram: &[u8]) {
        let socket = sockets.get_mut::<udp::Socket<'_>>(self.handle);
        let sent = to_endpoint(to).is_some_and(|target| socket.send_slice(datagram, target).is_ok());
        if !sent {
            self.unsent = self.unsent.saturating_add(1);
        }
    }
}
