//! That `Limits::worst_case_bytes` is a bound, and that the bound means something.
//!
//! A bridge that is said to carry a million tons has not been weighed by the bicycles that cross it. The engine
//! holds every node of every run to the bound; here each thing that peers and applications can fill is
//! filled until it is full, and what that takes must be a fair share of what the bound grants for it:
//! else a term could grow tenfold and no run would notice.
//!
//! What is granted for a thing is the difference between the bound of these limits and that of limits in which the thing
//! is as small as can be; what it takes is the difference between the peaks of two runs of one plan, with the ones and
//! with the others. The profiles are scaled down (`scaled`): how a term counts does not depend on how many there are.
//!
//! Not filled here are outputs that a shell never takes, the books of nodes that lost their place, revocations, packets in custody, landmarks and what they keep,
//! and more than one path to a peer.

use scenarios::engine::{self, How};
use simulator::Verdict;
use simulator::plan::{Flood, FlowPlan, Kind, LinkKind, LinkPlan, NodePlan, Plan, Profile, What};

const SECOND: u64 = 1_000_000;
/// The node that is filled.
const TARGET: u32 = 0;
const OTHERS: u32 = 8;
/// Nodes of the network whose map fills it.
const ROUTERS: u32 = 48;
/// The largest message, but where a thing needs larger ones.
const MESSAGE: u64 = 8 * 1_024;
/// One that is sent in symbols.
const LARGE: u64 = 256 * 1_024;

/// Something that others can fill.
struct Filling {
    name: &'static str,
    /// The limits that bound it, with the least that they can be.
    least: &'static [(&'static str, u64)],
    /// Of what the bound grants, this part at least is taken when the thing is full: one in so many.
    share: u64,
    /// Fills it.
    fill: fn(&mut Plan),
}

const FILLINGS: [Filling; 8] = [
    Filling {
        name: "what waits to be sent",
        least: &[("send_bytes", MESSAGE), ("send_messages", 1)],
        share: 10,
        fill: |plan| {
            // Nobody hears anything once the sessions are up.
            plan.add_fault(
                5 * SECOND,
                plan.duration_us,
                What::Cut { links: Vec::new(), there: true, back: true },
            );
            for peer in 1..=OTHERS {
                let bytes = if peer % 2 == 0 { 8 } else { MESSAGE as u32 };
                flow(plan, (TARGET, peer), 1_000, bytes, Kind::Message);
            }
        },
    },
    Filling {
        name: "what is put together or waits for its turn",
        least: &[("receive_bytes", MESSAGE), ("receive_messages", 1)],
        share: 10,
        fill: |plan| {
            lose(plan, 500_000);
            for peer in 1..=OTHERS {
                let bytes = if peer % 4 == 0 { 100 } else { MESSAGE as u32 - 1_000 };
                flow(plan, (peer, TARGET), 300, bytes, Kind::Stream);
            }
        },
    },
    Filling {
        name: "a large message in symbols",
        least: &[("message_bytes", MESSAGE)],
        share: 10,
        fill: |plan| {
            let limits = &mut plan.nodes[TARGET as usize].limits;
            limits.insert("message_bytes".to_owned(), LARGE);
            for field in ["send_bytes", "receive_bytes", "durable_bytes"] {
                limits.insert(field.to_owned(), 4 * LARGE);
            }
            lose(plan, 300_000);
            flow(plan, (1, TARGET), 1, LARGE as u32, Kind::Message);
        },
    },
    Filling {
        name: "durable messages that nobody takes",
        least: &[("durable_bytes", MESSAGE), ("durable_messages", 1)],
        share: 10,
        fill: |plan| {
            for peer in 1..=OTHERS {
                let bytes = if peer % 2 == 0 { 8 } else { MESSAGE as u32 / 2 };
                flow(plan, (peer, TARGET), 1_000, bytes, Kind::Durable);
            }
            plan.flows.iter_mut().for_each(|flow| flow.consume_after_us = 3_600 * SECOND);
        },
    },
    Filling {
        name: "handshakes that nobody finishes",
        least: &[("handshakes", 1)],
        // What is granted is room for the longest papers, of 3,840 bytes, and simulated nodes have short ones.
        share: 20,
        fill: |plan| {
            for link in 0..plan.links.len() as u32 {
                let (kind, size, sources) = (Flood::Calls, (1, 1_400), 1_000_000);
                let what = What::Flood { link, target: TARGET, kind, per_s: 20, size, sources };
                plan.add_fault(5 * SECOND, plan.duration_us, what);
            }
        },
    },
    Filling {
        name: "the map",
        least: &[("routers", 0)],
        share: 10,
        fill: |plan| {
            // Everybody but the one that is filled has sixteen neighbours or so: full pages.
            let node = NodePlan { count: ROUTERS - 1 - OTHERS, ..NodePlan::default() };
            plan.add_node(node);
            for (node, number) in plan.nodes.iter_mut().zip(0..) {
                node.limits.insert("routers".to_owned(), u64::from(ROUTERS));
                node.limits.insert("routing_bytes".to_owned(), ROUTERS as u64 * 1_024);
                node.limits.insert("custody_bytes".to_owned(), 8 * 1_024);
                node.limits.insert("bundle_bytes".to_owned(), 0);
                node.limits.insert("landmarks".to_owned(), 0);
                node.limits.insert("place_bytes".to_owned(), 0);
                if number != TARGET {
                    node.limits.insert("links".to_owned(), 32);
                }
            }
            let others = ROUTERS - 1;
            for a in 0..others {
                for step in 1..=7 {
                    let ends = (1 + a, 1 + (a + step) % others);
                    plan.add_link(LinkPlan::new(LinkKind::Ethernet, &[ends.0, ends.1]));
                    plan.add_peer(ends.0, ends.1);
                }
            }
        },
    },
    Filling {
        name: "what is kept for those who are away",
        least: &[("bundle_bytes", 0)],
        share: 4,
        fill: |plan| {
            for node in &mut plan.nodes {
                node.limits.insert("routers".to_owned(), 16);
                node.limits.insert("bundle_bytes".to_owned(), 64 * 1_024);
                node.limits.insert("durable_peers".to_owned(), 64);
                node.limits.insert("durable_messages".to_owned(), 256);
            }
            // Half of the others are out of reach, and the rest write to them.
            let what = What::Down { links: (0..OTHERS / 2).collect() };
            plan.add_fault(5 * SECOND, plan.duration_us, what);
            for peer in 1..=OTHERS / 2 {
                flow(plan, (peer + OTHERS / 2, peer), 40, 500, Kind::Durable);
            }
        },
    },
    Filling {
        name: "peers with all packets under way",
        least: &[("peers", 1)],
        share: 10,
        fill: |plan| {
            lose(plan, 100_000);
            let what = What::Delay { links: Vec::new(), add_us: 200_000, jitter_us: 0 };
            plan.add_fault(5 * SECOND, plan.duration_us, what);
            for peer in 1..=OTHERS {
                flow(plan, (TARGET, peer), 300, 900, Kind::Message);
                flow(plan, (peer, TARGET), 300, 900, Kind::Message);
            }
        },
    },
];

fn lose(plan: &mut Plan, ppm: u32) {
    let what = What::Loss { links: Vec::new(), there_ppm: ppm, back_ppm: ppm };
    plan.add_fault(5 * SECOND, plan.duration_us, what);
}

fn flow(plan: &mut Plan, (from, to): (u32, u32), count: u64, bytes: u32, delivery: Kind) {
    plan.flows.push(FlowPlan { delivery, start_us: 6 * SECOND, ..FlowPlan::new(from, to, count, bytes) });
}

/// The profile with fewer of everything: a server's memory is not filled in seconds.
fn scaled(profile: Profile) -> NodePlan {
    let limits = profile.limits();
    let fewer = [
        ("peers", u64::from(limits.peers), u64::from(OTHERS)),
        ("paths_per_peer", u64::from(limits.paths_per_peer), 1),
        ("free_handshakes_per_s", 0, 10_000),
        ("message_bytes", 0, MESSAGE),
        ("send_bytes", u64::from(limits.send_bytes), 256 * 1_024),
        ("send_messages", u64::from(limits.send_messages), 256),
        ("receive_bytes", u64::from(limits.receive_bytes), 256 * 1_024),
        ("receive_messages", u64::from(limits.receive_messages), 512),
        ("durable_bytes", u64::from(limits.durable_bytes), 256 * 1_024),
        ("durable_messages", u64::from(limits.durable_messages), 256),
        ("durable_peers", u64::from(limits.durable_peers), 64),
        ("in_flight", u64::from(limits.in_flight), 64),
        ("message_window", u64::from(limits.message_window), 128),
        ("outputs", u64::from(limits.outputs), 64),
        ("revocations", u64::from(limits.revocations), 16),
        ("packet_bytes", 0, 1_500),
        // A microcontroller has two of each; these are more than what else its peak is made of.
        ("links", 0, u64::from(OTHERS)),
        ("handshakes", 0, 64),
    ];
    let mut node = NodePlan { profile, ..NodePlan::default() };
    for (field, whole, most) in fewer {
        let value = if whole == 0 { most } else { whole.min(most) };
        node.limits.insert(field.to_owned(), value);
    }
    node
}

/// The node to be filled, and eight others around it, each on its own link.
fn star(profile: Profile) -> Plan {
    let mut plan = Plan::new("filled", 1, 12 * SECOND);
    (plan.calm_us, plan.expect.survivable) = (SECOND, false);
    plan.add_node(scaled(profile));
    plan.add_node(NodePlan { count: OTHERS, ..NodePlan::default() });
    for peer in 1..=OTHERS {
        plan.add_link(LinkPlan::new(LinkKind::Ethernet, &[TARGET, peer]));
        plan.add_peer(peer, TARGET);
        // Half of them ask with IK, half with XX.
        plan.peers[peer as usize - 1].key_known = peer % 2 == 0;
    }
    plan
}

fn peak_bytes(plan: &Plan) -> u64 {
    let ran = engine::run(plan, How::default());
    // With it the engine says that no node held more than its bound.
    assert_eq!(ran.outcome.verdict, Verdict::Pass, "{} {:?}", ran.outcome.sentence(), ran.outcome.notes);
    ran.memory[TARGET as usize].peak_bytes
}

fn bound_bytes(plan: &Plan) -> u64 {
    plan.limits(TARGET).worst_case_bytes()
}

/// Fills each thing in a node of this profile.
fn takes_a_fair_share(profile: Profile) {
    let mut too_little = Vec::new();
    for Filling { name, least, share, fill } in &FILLINGS {
        let mut full = star(profile);
        fill(&mut full);
        let mut empty = full.clone();
        for (field, value) in *least {
            empty.nodes[TARGET as usize].limits.insert((*field).to_owned(), *value);
        }
        let (peak, bound) = (peak_bytes(&full), bound_bytes(&full));
        let taken = peak.saturating_sub(peak_bytes(&empty));
        let granted = bound - bound_bytes(&empty);
        println!("{profile:?}: {name}: {taken} of {granted} bytes; in all {peak} of {bound}");
        if taken < granted / share {
            too_little.push((name, taken, granted));
        }
    }
    assert!(too_little.is_empty(), "taken and granted bytes: {too_little:?}");
}

#[test]
fn what_is_full_takes_a_fair_share_of_the_bound_of_a_microcontroller() {
    takes_a_fair_share(Profile::Tiny);
}

#[test]
fn what_is_full_takes_a_fair_share_of_the_bound_of_a_single_board_computer() {
    takes_a_fair_share(Profile::Small);
}

#[test]
fn what_is_full_takes_a_fair_share_of_the_bound_of_a_server() {
    takes_a_fair_share(Profile::Server);
}
