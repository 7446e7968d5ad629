//! Names: nodes, networks, links, addresses, tickets.

use core::fmt;

macro_rules! bytes32 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        /// The first eight bytes in hexadecimal: enough to tell nodes apart in a log.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                for byte in &self.0[..8] {
                    write!(f, "{byte:02x}")?;
                }
                Ok(())
            }
        }
    };
}

bytes32! {
    /// Who a node is: the BLAKE3 hash of its root public key under a context string.
    NodeId
}
bytes32! {
    /// Which network: the BLAKE3 hash of its genesis record as received.
    NetworkId
}
bytes32! {
    /// One device of a node: the BLAKE3 hash of its device public key under a context string.
    DeviceId
}

/// A device as the map knows it: the first eight bytes of its [`DeviceId`]. Short, since every packet that is relayed carries two.
/// A second device whose name begins with the same bytes is refused; to make one takes 2^64 keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouterId(pub [u8; 8]);

impl RouterId {
    /// The short name of this device.
    #[must_use]
    pub fn of(device: DeviceId) -> RouterId {
        let [a, b, c, d, e, f, g, h, ..] = device.0;
        RouterId([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Debug for RouterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RouterId({self})")
    }
}

/// All of it in hexadecimal.
impl fmt::Display for RouterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in &self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// A local interface, numbered by the shell. Never sent to anybody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(pub u16);

impl LinkId {
    /// The way over other nodes, which looks like a link. No shell's link may have this number.
    pub const MESH: LinkId = LinkId(u16::MAX);
}

/// A place in the node's table of peers. Local, reused after a peer is removed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PeerSlot(pub u16);

/// One of a peer's paths: a pair of link and address, numbered by the sender, 0 to 7.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PathId(pub u8);

impl PathId {
    /// How many paths a packet header can name.
    pub const COUNT: usize = 8;
}

/// A durable write, in the order the node asked for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Ticket(pub u64);

/// An address on a link, opaque to the core: at most [`Addr::MAX_LEN`] bytes that mean something to
/// the shell (an IP address and port, a radio's short address, a socket's number).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Addr {
    len: u8,
    bytes: [u8; Self::MAX_LEN],
}

impl Addr {
    /// The longest address: IPv6, port and scope.
    pub const MAX_LEN: usize = 22;
    /// The empty address: everybody on a shared medium, or the only other end of a point-to-point link.
    pub const ANY: Addr = Addr { len: 0, bytes: [0; Self::MAX_LEN] };

    /// The address with these bytes, or `None` when there are more than [`Addr::MAX_LEN`].
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Addr> {
        let mut addr = Addr { len: u8::try_from(bytes.len()).ok()?, bytes: [0; Self::MAX_LEN] };
        addr.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(addr)
    }

    /// An address made of one number, as simulators and serial hubs use it.
    #[must_use]
    pub fn from_u32(number: u32) -> Addr {
        let mut addr = Addr { len: 4, bytes: [0; Self::MAX_LEN] };
        addr.bytes[..4].copy_from_slice(&number.to_le_bytes());
        addr
    }

    /// The number, when the address has exactly four bytes.
    #[must_use]
    pub fn to_u32(&self) -> Option<u32> {
        <[u8; 4]>::try_from(self.as_bytes()).ok().map(u32::from_le_bytes)
    }

    /// The address's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Addr(")?;
        for byte in self.as_bytes() {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}
