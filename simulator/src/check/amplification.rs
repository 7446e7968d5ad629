//! Nobody can use a node to hit somebody else harder than they could themselves.
//!
//! Whoever asks under a false address must not have a larger answer sent there. Until an address has
//! shown that it receives, the bytes sent to it never exceed the bytes that came from it: neither in
//! handshakes, nor in sealed packets, since a captured authentic packet can be sent on from a false
//! address (RFC 9000, section 8.1, would allow three times as many). An address has shown it once the host
//! that truly owns it has sent something back that way after it was given something by this node, or has
//! sealed something, whichever way it went, after it was given a handshake there: it has the keys from
//! that answer. Addresses that the operator named need no proof.

use std::collections::BTreeMap;

use proto_core::ids::{Addr, NodeId};

use super::{Checker, Sight, Violation, want};
use crate::net::{host_of, number_of};

#[derive(Clone, Copy, Default, Debug)]
struct Account {
    received: u64,
    sent: u64,
    /// Of those, packets of the handshake family.
    handshakes: u64,
    /// It was given something by us.
    reached: bool,
    proved: bool,
}

/// See the module's header.
#[derive(Debug)]
pub struct Amplification {
    /// By host, link and address; addresses in the simulator are numbers.
    accounts: BTreeMap<(u32, u32, u32), Account>,
    /// Links by which the first host has given a handshake to the second, which has sealed nothing for
    /// it since.
    answered: BTreeMap<(u32, u32), Vec<u32>>,
    hosts: u32,
}

/// Addresses watched at once. A flood from more of them is watched in part.
const MOST: usize = 1 << 20;

impl Amplification {
    /// For a plan with these nodes.
    #[must_use]
    pub fn new(ids: &[NodeId]) -> Amplification {
        Amplification { accounts: BTreeMap::new(), answered: BTreeMap::new(), hosts: ids.len() as u32 }
    }

    /// `None` for everybody at once, and for one address too many.
    fn account(&mut self, host: u32, link: u32, addr: Addr) -> Option<&mut Account> {
        let key = (host, link, addr.to_u32()?);
        if self.accounts.len() >= MOST && !self.accounts.contains_key(&key) {
            return None;
        }
        Some(self.accounts.entry(key).or_default())
    }

    /// `host` has sealed something for `peer`: it has what `peer` answered it.
    fn sealed(&mut self, host: u32, peer: u32) {
        for link in self.answered.remove(&(peer, host)).unwrap_or_default() {
            if let Some(account) = self.accounts.get_mut(&(peer, link, number_of(host))) {
                account.proved = true;
            }
        }
    }
}

impl Checker for Amplification {
    fn name(&self) -> &'static str {
        "amplification"
    }

    fn wants(&self) -> u16 {
        want::BOOT | want::ENDPOINT | want::PACKET | want::TRANSMIT
    }

    fn see(&mut self, _at_us: u64, sight: &Sight<'_>) -> Option<Violation> {
        match *sight {
            Sight::Boot { host, .. } => self.hosts = self.hosts.max(host + 1),
            Sight::Endpoint { host, link, to } => {
                if let Some(account) = self.account(host, link, to) {
                    account.proved = true;
                }
            }
            Sight::Packet { host, link, from, bytes } => {
                if let Some(account) = self.account(host, link, from) {
                    account.received += bytes.len() as u64;
                }
                // The true owner of the sender's address has been reached by whoever sent this.
                if let Some(owner) = host_of(&from).filter(|owner| *owner < self.hosts)
                    && let Some(account) = self.accounts.get_mut(&(owner, link, number_of(host)))
                {
                    account.reached = true;
                    if is_handshake(bytes) && !account.proved {
                        let links = self.answered.entry((owner, host)).or_default();
                        if !links.contains(&link) {
                            links.push(link);
                        }
                    }
                }
            }
            Sight::Transmit { host, link, to, bytes, .. } => {
                // Sending after having been reached proves our address to whoever reached us.
                if let Some(peer) = host_of(&to).filter(|peer| *peer < self.hosts)
                    && let Some(account) = self.accounts.get_mut(&(peer, link, number_of(host)))
                {
                    account.proved |= account.reached;
                }
                if !is_handshake(bytes)
                    && let Some(peer) = host_of(&to)
                {
                    self.sealed(host, peer);
                }
                let account = self.account(host, link, to)?;
                if !account.proved {
                    account.sent += bytes.len() as u64;
                    if is_handshake(bytes) {
                        account.handshakes += bytes.len() as u64;
                    }
                    if account.sent > account.received {
                        let reason = format!(
                            "node {host} has sent {} bytes, {} of them in handshakes, to {to:?} on link {link}, which has \
                             not proved that it receives, after {} bytes from there",
                            account.sent, account.handshakes, account.received
                        );
                        return Some(Violation::safety("amplification", reason));
                    }
                }
            }
            Sight::Off { .. }
            | Sight::Store { .. }
            | Sight::Durable { .. }
            | Sight::Event { .. }
            | Sight::Turn { .. } => {}
        }
        None
    }
}

/// Whether a packet belongs to the handshake family, by its first bit.
fn is_handshake(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first & 0x80 == 0)
}
