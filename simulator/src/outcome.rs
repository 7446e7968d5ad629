//! What a run came to: one verdict, the place where it was decided, and everything that was counted.

use std::collections::BTreeMap;

use crate::histogram::Histogram;

/// What became of a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Verdict {
    /// Everything held.
    Pass,
    /// Something happened that must never happen.
    Safety,
    /// Something did not happen that had to.
    Liveness,
    /// Two runs of one plan differed.
    Determinism,
    /// More memory, work or traffic than allowed.
    Resource,
    /// A node panicked.
    Panic,
}

impl Verdict {
    /// The word used in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Safety => "safety",
            Verdict::Liveness => "liveness",
            Verdict::Determinism => "determinism",
            Verdict::Resource => "resource",
            Verdict::Panic => "panic",
        }
    }

    /// The exit code of a command that ran one plan.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Verdict::Pass => 0,
            Verdict::Safety => 10,
            Verdict::Liveness => 11,
            Verdict::Determinism => 12,
            Verdict::Resource => 13,
            Verdict::Panic => 101,
        }
    }
}

/// One node's part in a run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeReport {
    /// Packets it sent.
    pub packets_sent: u64,
    /// Bytes it sent.
    pub bytes_sent: u64,
    /// Packets and bytes that it sent in each quarter of the storm; the calm counts to the last.
    pub sent_by_quarter: [(u64, u64); 4],
    /// Packets given to it.
    pub packets_received: u64,
    /// Bytes given to it.
    pub bytes_received: u64,
    /// Packets that found its socket buffer full.
    pub packets_refused: u64,
    /// How often it was started.
    pub boots: u64,
    /// Turns it took.
    pub turns: u64,
    /// Records it wrote.
    pub records_written: u64,
    /// The most heap it held at once, where a meter was given; else 0.
    pub peak_bytes: u64,
    /// The same in the first and in the last quarter of the storm, to see a leak.
    pub peak_bytes_by_quarter: [u64; 4],
    /// What the core counted as dropped, by reason; summed over restarts, zeros left out.
    pub drops: BTreeMap<String, u64>,
    /// Sessions up at the end.
    pub sessions: u32,
    /// Time on air of its radios, in microseconds.
    pub airtime_us: u64,
    /// Bytes that routing held at the end: the map, what is known of neighbours, packets that wait.
    pub routing_bytes: u64,
    /// The same for each quarter of the storm; the calm counts with the last.
    pub airtime_by_quarter_us: [u64; 4],
}

/// One link's part in a run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LinkReport {
    /// Packets offered, by the first member and by everybody else.
    pub packets: [u64; 2],
    /// Bytes offered, likewise.
    pub bytes: [u64; 2],
    /// Packets that arrived.
    pub delivered: u64,
    /// Packets lost by chance (the link's own loss, and loss faults), by sender as above.
    pub lost: [u64; 2],
    /// Packets that found the queue full.
    pub queue_full: u64,
    /// Packets larger than the link carries.
    pub oversize: u64,
    /// Packets stopped by a cut, a partition, or a link that was down.
    pub blocked: u64,
    /// Packets sent to an address where nobody is.
    pub nowhere: u64,
    /// Packets that were changed, duplicated, or sent again by faults.
    pub tampered: u64,
    /// Packets an attacker put on it.
    pub forged: u64,
    /// On a radio: time on air of all members, in microseconds.
    pub airtime_us: u64,
    /// Receptions in which another packet on air was too strong.
    pub collided: u64,
    /// Receptions missed because the receiver was sending.
    pub deaf: u64,
    /// Receptions too weak to be understood.
    pub weak: u64,
    /// Packets given up because the medium was never free.
    pub no_access: u64,
    /// Packets thrown away because the law did not allow them.
    pub unlawful: u64,
    /// Packets that were lost with the power of their sender.
    pub cut_off: u64,
}

/// One flow's part in a run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FlowReport {
    /// Messages the application gave to the node.
    pub sent: u64,
    /// Bytes of them.
    pub bytes_sent: u64,
    /// How often the node had no room and the application tried again.
    pub pushed_back: u64,
    /// Messages that reached the other application, each counted once.
    pub delivered: u64,
    /// Bytes of them.
    pub bytes_delivered: u64,
    /// Messages that reached it again. More than 0 is a safety violation.
    pub duplicates: u64,
    /// Messages whose lifetime ended.
    pub expired: u64,
    /// Messages refused, at once or by the receiver.
    pub refused: u64,
    /// Messages whose fate is unknown because an end restarted.
    pub uncertain: u64,
    /// Those of them that arrived all the same.
    pub uncertain_delivered: u64,
    /// Receipts that say that another node has it in custody.
    pub entrusted: u64,
    /// Receipts that say delivered.
    pub receipts: u64,
    /// When the first was sent, in virtual microseconds.
    pub first_sent_us: Option<u64>,
    /// When the first arrived.
    pub first_delivered_us: Option<u64>,
    /// When the last arrived.
    pub last_delivered_us: Option<u64>,
    /// The longest time between two arrivals while work was outstanding.
    pub longest_gap_us: u64,
    /// From sending to arrival.
    pub latency: Histogram,
}

/// The ways that packets took over the mesh, all that came to their ends counted together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RouteReport {
    /// Packets.
    pub packets: u64,
    /// Hops that they made.
    pub hops: u64,
    /// Hops of the shortest ways between their ends, by the links of the plan, whatever these lose.
    pub shortest_hops: u64,
    /// How often a packet came back to a node where it had been.
    pub returned: u64,
    /// The longest time for which the next hops of routers were seen to form a circle, in microseconds.
    pub longest_circle_us: u64,
}

/// What was said to all members, and what they found of each other.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GossipReport {
    /// Broadcasts that nodes have taken.
    pub said: u64,
    /// Deliveries that were owed: to each who asked for the topic, ran from then on, and could be reached.
    pub owed: u64,
    /// Those that were made.
    pub delivered: u64,
    /// Deliveries that were made again. More than 0 is a safety violation.
    pub again: u64,
    /// Deliveries that were owed to somebody who was switched off meanwhile.
    pub excused: u64,
    /// Payloads that came to nodes and were new, and that came and were not.
    pub copies: (u64, u64),
    /// From saying to delivery.
    pub latency: Histogram,
    /// How often somebody heard that a member is suspected which was there.
    pub suspected_alive: u64,
    /// How often somebody removed a member that was there. More than 0 is a safety violation.
    pub removed_alive: u64,
    /// The same, where something had held it up or cut it off.
    pub removed_excused: u64,
    /// How often somebody heard something else of a member of what it is, by that member.
    pub announced: BTreeMap<u32, u64>,
    /// The nodes that were switched off or left, as they were found.
    pub members: BTreeMap<u32, MemberReport>,
}

/// How a node that was switched off, or left, was found by the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MemberReport {
    /// When it was switched off or left last, in virtual microseconds.
    pub off_us: Option<u64>,
    /// How many others have heard since from itself that it goes.
    pub left_by: u64,
    /// When the last of them did.
    pub last_left_us: Option<u64>,
    /// When somebody suspected it first after that.
    pub first_suspected_us: Option<u64>,
    /// How many others have removed it since.
    pub removed_by: u64,
    /// When the last of them did.
    pub last_removed_us: Option<u64>,
}

/// Something worth telling that happened in the run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// When, in virtual microseconds.
    pub at_us: u64,
    /// To whom: a host's number (a node's, or one of its clones' after those).
    pub host: u32,
    /// What: the core's event, as text.
    pub what: String,
}

/// What a run came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The plan's name.
    pub scenario: String,
    /// The plan's seed.
    pub seed: u64,
    /// What became of it.
    pub verdict: Verdict,
    /// Which checker decided, when it is not a pass.
    pub checker: String,
    /// Why, in one sentence, when it is not a pass.
    pub reason: String,
    /// When it was decided, in virtual microseconds; the end for a pass.
    pub at_us: u64,
    /// The step at which it was decided.
    pub step: u64,
    /// The hash over all steps, as hexadecimal.
    pub trace_hash: String,
    /// Every 1,000 steps: the step and the state of the hash.
    pub checkpoints: Vec<(u64, u64)>,
    /// Turns of nodes: what the trace is made of.
    pub steps: u64,
    /// Events of the world, turns included.
    pub events: u64,
    /// How many nodes the plan has.
    pub nodes: u32,
    /// Length of the run.
    pub virtual_us: u64,
    /// When the calm began, if the run got there.
    pub calm_at_us: Option<u64>,
    /// Messages given to nodes.
    pub sent: u64,
    /// Messages that arrived, each once.
    pub delivered: u64,
    /// Messages that arrived again.
    pub duplicates: u64,
    /// Messages whose lifetime ended.
    pub expired: u64,
    /// From sending to arrival, over all flows.
    pub latency: Histogram,
    /// Bytes that nodes put on links.
    pub bytes_on_wire: u64,
    /// Of those, the bytes beyond the payload that was delivered: headers, handshakes,
    /// acknowledgements, repetitions.
    pub control_bytes: u64,
    /// The largest of the nodes' peaks, where a meter was given.
    pub peak_node_bytes: u64,
    /// What cannot be held against the core, by name: counted, never silently green.
    pub excusable: BTreeMap<&'static str, u64>,
    /// What was not finished at the end, each with its reason.
    pub pending: Vec<String>,
    /// What a scenario measures itself.
    pub metrics: BTreeMap<String, u64>,
    /// The nodes, clones after them.
    pub node_reports: Vec<NodeReport>,
    /// The links.
    pub link_reports: Vec<LinkReport>,
    /// The flows.
    pub flow_reports: Vec<FlowReport>,
    /// The ways of packets over the mesh.
    pub routes: RouteReport,
    /// What was said to all, and what members found of each other.
    pub gossip: GossipReport,
    /// For each peer of the plan: when both sides first had the session, in virtual microseconds.
    pub session_up_us: Vec<Option<u64>>,
    /// Events of nodes other than messages and receipts, the first 1,000 of them.
    pub notes: Vec<Note>,
}

impl Outcome {
    /// Whether everything held.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.verdict == Verdict::Pass
    }

    /// The exit code of a command that ran this.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.verdict.exit_code()
    }

    /// Delivered messages of a million sent; a million when nothing was sent.
    #[must_use]
    pub fn delivered_ppm(&self) -> u64 {
        share_ppm(self.delivered, self.sent)
    }

    /// Bytes on the wire a node and second.
    #[must_use]
    pub fn bytes_per_node_per_second(&self) -> u64 {
        self.per_node_per_second(self.bytes_on_wire)
    }

    /// Bytes beyond delivered payload a node and second.
    #[must_use]
    pub fn control_bytes_per_node_per_second(&self) -> u64 {
        self.per_node_per_second(self.control_bytes)
    }

    fn per_node_per_second(&self, bytes: u64) -> u64 {
        let node_us = u128::from(self.nodes.max(1)) * u128::from(self.virtual_us.max(1));
        u64::try_from(u128::from(bytes) * 1_000_000 / node_us).unwrap_or(u64::MAX)
    }

    /// The command that repeats a run of a named scenario.
    #[must_use]
    pub fn replay(&self) -> String {
        format!("cargo run --release -p scenarios -- run {} --seed {}", self.scenario, self.seed)
    }

    /// The verdict in one sentence, with checker, virtual time and step.
    #[must_use]
    pub fn sentence(&self) -> String {
        let (seconds, micros) = (self.at_us / 1_000_000, self.at_us % 1_000_000);
        match self.verdict {
            Verdict::Pass => format!(
                "pass: {} of {} messages delivered once in {seconds}.{micros:06} s and {} steps",
                self.delivered, self.sent, self.steps
            ),
            Verdict::Safety
            | Verdict::Liveness
            | Verdict::Determinism
            | Verdict::Resource
            | Verdict::Panic => format!(
                "{} ({}) at {seconds}.{micros:06} s, step {}: {}",
                self.verdict.word(),
                self.checker,
                self.step,
                self.reason
            ),
        }
    }
}

/// `part` of `whole` in millionths; a million when `whole` is 0.
#[must_use]
pub fn share_ppm(part: u64, whole: u64) -> u64 {
    if whole == 0 {
        return 1_000_000;
    }
    u64::try_from(u128::from(part) * 1_000_000 / u128::from(whole)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_the_contract() {
        let all = [
            Verdict::Pass,
            Verdict::Safety,
            Verdict::Liveness,
            Verdict::Determinism,
            Verdict::Resource,
            Verdict::Panic,
        ];
        assert_eq!(all.map(Verdict::exit_code), [0, 10, 11, 12, 13, 101]);
    }

    #[test]
    fn shares_do_not_overflow() {
        assert_eq!(share_ppm(u64::MAX, u64::MAX), 1_000_000);
        assert_eq!(share_ppm(0, 0), 1_000_000);
        assert_eq!(share_ppm(1, 3), 333_333);
    }
}
