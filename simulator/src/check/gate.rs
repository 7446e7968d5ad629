//! Durable before sent: at every transmission, all it depends on is on the simulated disk.
//!
//! The strongest of the checkers, because it knows nothing of any protocol: a node states with each
//! datagram the highest ticket it depends on, and the disk states what is durable.

use proto_core::ids::Ticket;

use super::{Checker, Sight, Violation, want};

#[derive(Clone, Copy, Default, Debug)]
struct Host {
    written: Ticket,
    durable: Ticket,
}

/// See the module's header.
#[derive(Default, Debug)]
pub struct Gate {
    hosts: Vec<Host>,
}

impl Gate {
    fn host(&mut self, host: u32) -> &mut Host {
        let at = host as usize;
        if self.hosts.len() <= at {
            self.hosts.resize(at + 1, Host::default());
        }
        &mut self.hosts[at]
    }
}

impl Checker for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn wants(&self) -> u16 {
        want::BOOT | want::TRANSMIT | want::STORE | want::DURABLE
    }

    fn see(&mut self, _at_us: u64, sight: &Sight<'_>) -> Option<Violation> {
        match *sight {
            Sight::Boot { host, .. } => *self.host(host) = Host::default(),
            Sight::Durable { host, up_to } => self.host(host).durable = up_to,
            Sight::Store { host, ticket, .. } => {
                let known = self.host(host);
                if ticket <= known.written {
                    let reason =
                        format!("node {host} wrote ticket {} after ticket {}", ticket.0, known.written.0);
                    return Some(Violation::safety("gate", reason));
                }
                known.written = ticket;
            }
            Sight::Transmit { host, after, .. } => {
                let known = self.host(host);
                if after > known.durable {
                    let reason = format!(
                        "node {host} sent a datagram that depends on ticket {}, but only ticket {} is durable",
                        after.0, known.durable.0
                    );
                    return Some(Violation::safety("gate", reason));
                }
            }
            Sight::Off { .. }
            | Sight::Endpoint { .. }
            | Sight::Packet { .. }
            | Sight::Event { .. }
            | Sight::Turn { .. }
            | Sight::Air(_) => {}
        }
        None
    }
}
