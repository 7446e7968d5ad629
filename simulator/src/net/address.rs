//! Addresses: each host has one of its own, and a translator in front of it may show it under others.
//!
//! An own address is four bytes. A translated one is the four bytes of the translator and two of a port,
//! as in RFC 4787, whose "address-dependent" means the four and "address and port-dependent" all six.

use proto_core::ids::Addr;

/// Where hosts live.
const OWN: u32 = 0x0a00_0000;
/// Where their translators do.
const TRANSLATOR: u32 = 0x6400_0000;
const NETWORK: u32 = 0xff00_0000;

/// The address of a host, the same on all its links. Attackers may claim any.
#[must_use]
pub fn address_of(host: u32) -> Addr {
    Addr::from_u32(OWN | host)
}

/// The host that has this address as its own, if it is one.
#[must_use]
pub fn host_of(addr: &Addr) -> Option<u32> {
    addr.to_u32().and_then(|number| (number & NETWORK == OWN).then_some(number & !NETWORK))
}

/// The address under which the translator in front of `host` shows it by this port.
#[must_use]
pub fn translated(host: u32, port: u16) -> Addr {
    let mut bytes = [0; 6];
    bytes[..4].copy_from_slice(&(TRANSLATOR | host).to_le_bytes());
    bytes[4..].copy_from_slice(&port.to_le_bytes());
    Addr::new(&bytes).unwrap_or(Addr::ANY)
}

/// The host behind a translated address, and the port.
#[must_use]
pub fn behind(addr: &Addr) -> Option<(u32, u16)> {
    let &[a, b, c, d, low, high] = addr.as_bytes() else { return None };
    let number = u32::from_le_bytes([a, b, c, d]);
    (number & NETWORK == TRANSLATOR).then_some((number & !NETWORK, u16::from_le_bytes([low, high])))
}

/// The host that a packet to this address is meant for: by its own address, or by its translator's.
#[must_use]
pub fn owner_of(addr: &Addr) -> Option<u32> {
    host_of(addr).or_else(|| behind(addr).map(|(host, _)| host))
}

/// The address without the port.
#[must_use]
pub fn machine_of(addr: &Addr) -> Addr {
    let bytes = addr.as_bytes();
    Addr::new(bytes.get(..4).unwrap_or(bytes)).unwrap_or(Addr::ANY)
}

/// A number for each address of this world, own, translated or forged.
#[must_use]
pub fn number_of(addr: &Addr) -> Option<u64> {
    let own = || addr.to_u32().map(u64::from);
    behind(addr).map(|(host, port)| 1 << 48 | u64::from(host) << 16 | u64::from(port)).or_else(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_has_its_owner_and_a_number_of_its_own() {
        let forged = Addr::from_u32(0xc000_0007);
        let all =
            [address_of(7), address_of(8), translated(7, 1), translated(7, 0xffff), translated(8, 1), forged];
        assert_eq!(all.map(|addr| owner_of(&addr)), [Some(7), Some(8), Some(7), Some(7), Some(8), None]);
        let numbers: std::collections::BTreeSet<_> =
            all.iter().map(|addr| number_of(addr).unwrap()).collect();
        assert_eq!(numbers.len(), all.len());
        assert_eq!(machine_of(&translated(7, 1)), machine_of(&translated(7, 2)));
        assert_ne!(machine_of(&translated(7, 1)), machine_of(&translated(8, 1)));
        assert_eq!(machine_of(&address_of(7)), address_of(7));
        assert_eq!((number_of(&Addr::ANY), owner_of(&Addr::ANY)), (None, None));
    }
}
