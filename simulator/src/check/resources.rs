//! A node does not run hot: bounded work a turn, no deadline in the past, no spinning, no storm of
//! answers to answers.

use proto_core::wake::Wake;

use super::{Checker, Sight, Violation, want};
use crate::plan::Plan;

#[derive(Clone, Copy, Default, Debug)]
struct Host {
    /// Wakes in a row at one moment that produced nothing.
    spins: u32,
    last_us: u64,
    /// The second of world time that is being counted, and the packets sent in it.
    second: u64,
    packets: u64,
}

/// See the module's header.
#[derive(Debug)]
pub struct Resources {
    hosts: Vec<Host>,
    most_outputs: Vec<u32>,
    /// Packets a second; 0 means unchecked.
    packets_per_s: u64,
}

/// Small packets that answer each other in a row before it counts as a storm. A handshake takes four, a path
/// six; what the application asks for, and what is delivered to it, begins a new row.
const MOST_CHAIN: u32 = 50;

/// Wakes at one moment without any output before it counts as spinning. A bounded turn may need a few.
const MOST_SPINS: u32 = 1_000;

impl Resources {
    /// For the nodes of this plan.
    #[must_use]
    pub fn new(plan: &Plan) -> Resources {
        // All outputs that may wait, a full window of packets on each of a few paths, and a margin.
        let most = |node| {
            let limits = plan.limits(node);
            limits.outputs.saturating_add(u32::from(limits.in_flight) * 8).saturating_add(4_096)
        };
        Resources {
            hosts: Vec::new(),
            most_outputs: (0..plan.node_count()).map(most).collect(),
            packets_per_s: plan.expect.packets_per_s,
        }
    }

    fn host(&mut self, host: u32) -> &mut Host {
        let at = host as usize;
        if self.hosts.len() <= at {
            self.hosts.resize(at + 1, Host::default());
        }
        &mut self.hosts[at]
    }

    fn count_packet(&mut self, at_us: u64, host: u32, chain: u32) -> Option<Violation> {
        if chain > MOST_CHAIN {
            let reason = format!(
                "node {host} sends the last of {chain} packets that answered each other and brought nobody anything"
            );
            return Some(Violation::resource("resources", reason));
        }
        let most = self.packets_per_s;
        if most == 0 {
            return None;
        }
        let known = self.host(host);
        let second = at_us / 1_000_000;
        if known.second != second {
            (known.second, known.packets) = (second, 0);
        }
        known.packets += 1;
        (known.packets > most).then(|| {
            let reason =
                format!("node {host} sent {} packets within one second; {most} are allowed", known.packets);
            Violation::resource("resources", reason)
        })
    }
}

impl Checker for Resources {
    fn name(&self) -> &'static str {
        "resources"
    }

    fn wants(&self) -> u16 {
        want::TURN | want::TRANSMIT
    }

    fn see(&mut self, at_us: u64, sight: &Sight<'_>) -> Option<Violation> {
        if let Sight::Transmit { host, chain, .. } = *sight {
            return self.count_packet(at_us, host, chain);
        }
        let Sight::Turn { host, now_us, woken, outputs, wake, .. } = *sight else { return None };
        let most = self.most_outputs.get(host as usize).copied().unwrap_or(u32::MAX);
        if outputs > most {
            let reason = format!("node {host} did {outputs} things in one turn; its limits allow {most}");
            return Some(Violation::resource("resources", reason));
        }
        let known = self.host(host);
        let overdue = match wake {
            Wake::Now => true,
            Wake::At(at, _) => at.as_micros() <= now_us,
            Wake::Idle => false,
        };
        if !woken || !overdue || outputs > 0 || known.last_us != now_us {
            known.spins = 0;
            known.last_us = now_us;
            return None;
        }
        known.spins += 1;
        if known.spins < MOST_SPINS {
            return None;
        }
        let reason = match wake {
            Wake::At(deadline, why) => {
                format!(
                    "node {host} keeps asking to be woken at {deadline:?} for {why:?}, which is past, and does nothing"
                )
            }
            Wake::Now | Wake::Idle => {
                format!("node {host} was woken {MOST_SPINS} times at one moment and does nothing")
            }
        };
        Some(Violation::resource("resources", reason))
    }
}

#[cfg(test)]
mod tests {
    use proto_core::ids::{Addr, Ticket};
    use proto_core::node::UsedNonce;

    use super::*;

    #[test]
    fn answers_to_answers_are_a_storm() {
        let mut resources = Resources::new(&Plan::new("storm", 1, 1));
        let mut seen = |chain| {
            let (to, after, bytes) = (Addr::from_u32(1), Ticket(1), &[0x80; 31]);
            resources.see(
                0,
                &Sight::Transmit {
                    host: 0,
                    link: 0,
                    to,
                    after,
                    bytes,
                    nonce: UsedNonce::default(),
                    digest: 0,
                    chain,
                },
            )
        };
        assert_eq!((0..=MOST_CHAIN).find_map(&mut seen), None);
        assert!(seen(MOST_CHAIN + 1).is_some_and(|violation| violation.checker == "resources"));
    }
}
