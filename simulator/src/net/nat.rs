//! A translator between a node and a link: the home router that shows everybody behind it under its own
//! address, and lets in only what it thinks was asked for (NAT, RFC 4787).
//!
//! What a packet outwards leaves behind is a row: by which port it went, how far that port is bound to
//! where it went (section 4.1, mapping), and who may answer through it (section 5, filtering). A row
//! lasts while packets outwards refresh it (section 4.3, REQ-6: packets inwards do not). When all rows of
//! a port are gone, the next packet goes by another port, and the node has moved without knowing it.

use proto_core::ids::Addr;

use super::address::{behind, machine_of, translated};
use crate::draw::{Lot, Purpose};
use crate::plan::Dependence;

/// Rows of a translator, as a cheap router has them. Beyond that the one that has rested longest goes.
const MOST_ROWS: usize = 1_024;

/// How a translator behaves; see [`What::Nat`](crate::plan::What::Nat).
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) mapping: Dependence,
    pub(super) filtering: Dependence,
    pub(super) expire_us: u64,
}

#[derive(Debug)]
struct Row {
    link: u32,
    port: u16,
    /// The part of the destination that the port is bound to.
    bound_to: Addr,
    /// The part of a sender's address that is let in.
    lets_in: Addr,
    used_us: u64,
}

/// The translator in front of one host.
#[derive(Debug)]
pub(super) struct Nat {
    pub(super) id: u32,
    host: u32,
    links: Vec<u32>,
    kind: Kind,
    ports: Lot,
    /// Ports drawn so far.
    drawn: u64,
    rows: Vec<Row>,
}

impl Nat {
    /// The translator of the fault `id`, on these links.
    pub(super) fn new(seed: u64, id: u32, host: u32, links: Vec<u32>, kind: Kind) -> Nat {
        let ports = Lot::new(seed, Purpose::NatPort, u64::from(id));
        Nat { id, host, links, kind, ports, drawn: 0, rows: Vec::new() }
    }

    /// Whether it stands between `host` and `link`.
    pub(super) fn stands_at(&self, link: u32, host: u32) -> bool {
        self.host == host && self.links.contains(&link)
    }

    /// A packet goes out: the address that its receiver sees.
    pub(super) fn outwards(&mut self, now_us: u64, link: u32, to: &Addr) -> Addr {
        let bound_to = part(self.kind.mapping, to);
        let lets_in = part(self.kind.filtering, to);
        let expire_us = self.kind.expire_us;
        self.rows.retain(|row| is_fresh(row, now_us, expire_us));
        let known = self.rows.iter().find(|row| (row.link, row.bound_to) == (link, bound_to));
        let port = known.map(|row| row.port).unwrap_or_else(|| self.draw_port());
        let same =
            |row: &Row| (row.link, row.port, row.bound_to, row.lets_in) == (link, port, bound_to, lets_in);
        match self.rows.iter_mut().find(|row| same(row)) {
            Some(row) => row.used_us = now_us,
            None => {
                self.make_room();
                self.rows.push(Row { link, port, bound_to, lets_in, used_us: now_us });
            }
        }
        translated(self.host, port)
    }

    /// Whether a packet from `from` to the address `to` is let in.
    pub(super) fn lets_in(&self, now_us: u64, link: u32, to: &Addr, from: &Addr) -> bool {
        let Some((_, port)) = behind(to).filter(|(host, _)| *host == self.host) else { return false };
        let who = part(self.kind.filtering, from);
        self.rows.iter().any(|row| {
            (row.link, row.port, row.lets_in) == (link, port, who)
                && is_fresh(row, now_us, self.kind.expire_us)
        })
    }

    fn draw_port(&mut self) -> u16 {
        loop {
            // Like most translators it leaves the ports of well-known services alone.
            let port = self.ports.between(self.drawn, 1_024, 65_535) as u16;
            self.drawn += 1;
            if self.rows.iter().all(|row| row.port != port) {
                return port;
            }
        }
    }

    fn make_room(&mut self) {
        if self.rows.len() < MOST_ROWS {
            return;
        }
        let oldest = self.rows.iter().enumerate().min_by_key(|(_, row)| row.used_us);
        if let Some(at) = oldest.map(|(at, _)| at) {
            self.rows.remove(at);
        }
    }
}

fn is_fresh(row: &Row, now_us: u64, expire_us: u64) -> bool {
    now_us.saturating_sub(row.used_us) <= expire_us
}

/// As much of an address as matters.
fn part(depends: Dependence, addr: &Addr) -> Addr {
    match depends {
        Dependence::EndpointIndependent => Addr::ANY,
        Dependence::AddressDependent => machine_of(addr),
        Dependence::AddressAndPortDependent => *addr,
    }
}

#[cfg(test)]
mod tests {
    use super::super::address::address_of;
    use super::*;

    const SECOND: u64 = 1_000_000;
    const KINDS: [Dependence; 3] =
        [Dependence::EndpointIndependent, Dependence::AddressDependent, Dependence::AddressAndPortDependent];

    fn nat(mapping: Dependence, filtering: Dependence) -> Nat {
        Nat::new(7, 3, 0, vec![0, 1], Kind { mapping, filtering, expire_us: 30 * SECOND })
    }

    /// Two ports of one machine, and another machine.
    fn others() -> [Addr; 3] {
        [translated(1, 80), translated(1, 81), address_of(2)]
    }

    #[test]
    fn a_port_is_bound_as_far_as_the_mapping_says() {
        for (mapping, different) in KINDS.into_iter().zip([1, 2, 3]) {
            let mut nat = nat(mapping, Dependence::EndpointIndependent);
            let seen: Vec<Addr> = others().iter().map(|to| nat.outwards(0, 0, to)).collect();
            let again: Vec<Addr> = others().iter().map(|to| nat.outwards(SECOND, 0, to)).collect();
            assert_eq!(seen, again, "a mapping in use stays");
            assert_eq!(
                seen.iter().collect::<std::collections::BTreeSet<_>>().len(),
                different,
                "{mapping:?}"
            );
            assert!(seen.iter().all(|addr| super::super::address::owner_of(addr) == Some(0)));
        }
    }

    #[test]
    fn those_are_let_in_whom_the_filter_lets_in() {
        let [here, other_port, elsewhere] = others();
        for (filtering, open) in
            KINDS.into_iter().zip([[true, true, true], [true, true, false], [true, false, false]])
        {
            let mut nat = nat(Dependence::EndpointIndependent, filtering);
            let seen = nat.outwards(0, 0, &here);
            let let_in = [here, other_port, elsewhere].map(|from| nat.lets_in(SECOND, 0, &seen, &from));
            assert_eq!(let_in, open, "{filtering:?}");
            assert!(!nat.lets_in(SECOND, 1, &seen, &here), "by another link");
            assert!(!nat.lets_in(SECOND, 0, &address_of(0), &here), "by the address behind it");
            let (_, port) = behind(&seen).unwrap();
            assert!(!nat.lets_in(SECOND, 0, &translated(0, port ^ 1), &here), "by a port that nobody opened");
            assert!(!nat.lets_in(SECOND, 0, &translated(1, port), &here), "by another translator");
        }
    }

    #[test]
    fn a_mapping_lasts_while_packets_outwards_refresh_it() {
        let [here, ..] = others();
        let mut nat = nat(Dependence::EndpointIndependent, Dependence::EndpointIndependent);
        let first = nat.outwards(0, 0, &here);
        assert_eq!(nat.outwards(30 * SECOND, 0, &here), first);
        assert!(nat.lets_in(60 * SECOND, 0, &first, &here));
        assert!(!nat.lets_in(60 * SECOND + 1, 0, &first, &here), "what comes in refreshes nothing");
        let second = nat.outwards(60 * SECOND + 1, 0, &here);
        assert_ne!(second, first);
        assert!(!nat.lets_in(60 * SECOND + 1, 0, &first, &here));
    }

    #[test]
    fn a_full_table_loses_what_rested_longest() {
        let mut nat = nat(Dependence::AddressAndPortDependent, Dependence::AddressAndPortDependent);
        let to = |n: usize| address_of(n as u32 + 1);
        let seen: Vec<Addr> = (0..=MOST_ROWS).map(|n| nat.outwards(n as u64, 0, &to(n))).collect();
        let open = |n: usize| nat.lets_in(SECOND, 0, &seen[n], &to(n));
        assert_eq!((open(0), open(1), open(MOST_ROWS)), (false, true, true));
        assert_eq!(nat.rows.len(), MOST_ROWS);
    }
}
