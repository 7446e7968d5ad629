//! Socket addresses as the engine's opaque addresses.
//!
//! The engine compares addresses and gives them back; it never looks inside. What stands inside is
//! ours: IPv4 is 4 bytes of address and 2 of port; IPv6 is 16 bytes of address, 2 of port and 4 of scope.
//! Numbers are in network order. An IPv4 address has one form only: as an IPv6 socket reports it
//! (`::ffff:192.0.2.1`), it is the same peer, so it is written as IPv4.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use proto_core::ids::Addr;

/// The engine's address for this socket address. The flow label is not part of it.
#[must_use]
pub fn to_addr(socket: SocketAddr) -> Addr {
    let mut bytes = [0; Addr::MAX_LEN];
    let port = socket.port().to_be_bytes();
    let len = match socket.ip().to_canonical() {
        IpAddr::V4(ip) => {
            bytes[..4].copy_from_slice(&ip.octets());
            bytes[4..6].copy_from_slice(&port);
            6
        }
        IpAddr::V6(ip) => {
            let scope = match socket {
                SocketAddr::V6(v6) => v6.scope_id(),
                SocketAddr::V4(_) => 0,
            };
            bytes[..16].copy_from_slice(&ip.octets());
            bytes[16..18].copy_from_slice(&port);
            bytes[18..22].copy_from_slice(&scope.to_be_bytes());
            22
        }
    };
    Addr::new(&bytes[..len]).unwrap_or(Addr::ANY)
}

/// The socket address in `addr`, or `None` when it is not one of [`to_addr`]'s forms.
#[must_use]
pub fn to_socket(addr: &Addr) -> Option<SocketAddr> {
    let bytes = addr.as_bytes();
    if let Ok([a, b, c, d, high, low]) = <[u8; 6]>::try_from(bytes) {
        let port = u16::from_be_bytes([high, low]);
        return Some(SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port).into());
    }
    let (ip, rest) = bytes.split_first_chunk::<16>()?;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let scope = <[u8; 4]>::try_from(rest).ok()?;
    let ip = Ipv6Addr::from(*ip);
    if ip.to_ipv4_mapped().is_some() {
        return None;
    }
    Some(SocketAddrV6::new(ip, u16::from_be_bytes(*port), 0, u32::from_be_bytes(scope)).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The forms byte for byte: they are stored in configurations and compared between runs.
    #[test]
    fn golden_forms() {
        let cases: [(&str, &[u8]); 3] = [
            ("192.0.2.1:7001", &[192, 0, 2, 1, 0x1b, 0x59]),
            (
                "[2001:db8::1]:80",
                &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 80, 0, 0, 0, 0],
            ),
            ("[fe80::2%3]:9", &[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 9, 0, 0, 0, 3]),
        ];
        for (text, bytes) in cases {
            let socket: SocketAddr = text.parse().unwrap();
            let addr = to_addr(socket);
            assert_eq!(addr.as_bytes(), bytes, "{text}");
            assert_eq!(to_socket(&addr), Some(socket), "{text}");
        }
    }

    #[test]
    fn a_mapped_address_is_its_ipv4_address() {
        let mapped: SocketAddr = "[::ffff:192.0.2.1]:7001".parse().unwrap();
        let plain: SocketAddr = "192.0.2.1:7001".parse().unwrap();
        assert_eq!(to_addr(mapped), to_addr(plain));
        assert_eq!(to_socket(&to_addr(mapped)), Some(plain));
    }

    #[test]
    fn other_lengths_and_a_second_form_are_no_socket_address() {
        for len in 0..=Addr::MAX_LEN {
            let addr = Addr::new(&vec![7; len]).unwrap();
            assert_eq!(to_socket(&addr).is_some(), len == 6 || len == 22, "{len} bytes");
        }
        let mut mapped = [0; 22];
        mapped[10..16].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 1]);
        assert_eq!(to_socket(&Addr::new(&mapped).unwrap()), None);
    }
}
