//! Endpoints as the engine's opaque addresses, in the form that the server shell uses too: address, then
//! port, then for IPv6 four bytes of scope, which a board has no use for and leaves zero.

use proto_core::ids::Addr;
use smoltcp::wire::{IpAddress, IpEndpoint, Ipv4Address, Ipv6Address};

/// The engine's address for this endpoint.
#[must_use]
pub fn to_addr(endpoint: IpEndpoint) -> Addr {
    let mut bytes = [0; Addr::MAX_LEN];
    let port = endpoint.port.to_be_bytes();
    let len = match endpoint.addr {
        IpAddress::Ipv4(ip) => {
            bytes[..4].copy_from_slice(&ip.octets());
            bytes[4..6].copy_from_slice(&port);
            6
        }
        IpAddress::Ipv6(ip) => {
            bytes[..16].copy_from_slice(&ip.octets());
            bytes[16..18].copy_from_slice(&port);
            22
        }
    };
    bytes.get(..len).and_then(Addr::new).unwrap_or(Addr::ANY)
}

/// The endpoint in `addr`, or `None` when it is not one of [`to_addr`]'s forms.
#[must_use]
pub fn to_endpoint(addr: &Addr) -> Option<IpEndpoint> {
    let bytes = addr.as_bytes();
    if let Ok([a, b, c, d, high, low]) = <[u8; 6]>::try_from(bytes) {
        return Some(IpEndpoint::new(Ipv4Address::new(a, b, c, d).into(), u16::from_be_bytes([high, low])));
    }
    let (ip, rest) = bytes.split_first_chunk::<16>()?;
    let (port, scope) = rest.split_first_chunk::<2>()?;
    (scope == [0; 4]).then(|| IpEndpoint::new(Ipv6Address::from(*ip).into(), u16::from_be_bytes(*port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same bytes as in the server shell's test of the same name.
    #[test]
    fn golden_forms() {
        let v4 = IpEndpoint::new(IpAddress::v4(192, 0, 2, 1), 7001);
        assert_eq!(to_addr(v4).as_bytes(), [192, 0, 2, 1, 0x1b, 0x59]);
        assert_eq!(to_endpoint(&to_addr(v4)), Some(v4));
        let v6 = IpEndpoint::new(IpAddress::v6(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 80);
        let bytes = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 80, 0, 0, 0, 0];
        assert_eq!(to_addr(v6).as_bytes(), bytes);
        assert_eq!(to_endpoint(&to_addr(v6)), Some(v6));
    }

    #[test]
    fn other_lengths_are_no_endpoint() {
        for len in 0..=Addr::MAX_LEN {
            let addr = Addr::new(&[0; Addr::MAX_LEN][..len]).unwrap();
            assert_eq!(to_endpoint(&addr).is_some(), len == 6 || len == 22, "{len} bytes");
        }
    }
}
