//! How fast the world goes: packets through it, and time over nodes that do nothing.

use simulator::agenda::Agenda;
use simulator::plan::{FlowPlan, LinkKind, LinkPlan, NodePlan, Plan, Profile};

use super::measure::{Measured, Start, rate, side_by_side};
use super::{Bench, Target};

pub(super) const BENCHES: [Bench; 2] = [
    Bench {
        name: "simulated_packets_64B",
        unit: "packets/s",
        reference: "bare event loop",
        target: Target::ValueAtLeast(500_000.0),
        target_text: ">=500k/s",
        measure: packets,
    },
    Bench {
        name: "idle_nodes_1000_time_factor",
        unit: "x real",
        reference: "bare event loop",
        target: Target::ValueAtLeast(1_000.0),
        target_text: ">=1000x",
        measure: idle,
    },
];

/// Events of one round of the bare loop.
const LOOP_EVENTS: u64 = 200_000;

/// Two parties throw a ball: the agenda, and nothing else.
fn event_loop() -> u64 {
    let mut agenda = Agenda::new();
    // As many balls in the air as packets are under way on a link with a window of 64.
    for ball in 0..64_u64 {
        agenda.push(ball, ball as u32);
    }
    let mut thrown = 0_u64;
    while thrown < LOOP_EVENTS {
        let Some((at_us, ball)) = agenda.pop() else { break };
        thrown += 1;
        agenda.push(at_us + 64 + u64::from(ball & 7), std::hint::black_box(ball ^ 1));
    }
    thrown
}

/// Packets of about 64 bytes that arrive at two nodes which talk as fast as they may.
fn packets() -> Measured {
    const MESSAGES: u64 = 10_000;
    let mut plan = Plan::new("bench", 1, 600_000_000);
    plan.expect.stop_early = true;
    plan.add_node(NodePlan { count: 2, profile: Profile::Server, ..NodePlan::default() });
    let mut link = LinkPlan::new(LinkKind::Ethernet, &[0, 1]);
    link.rate_bps = Some(1_000_000_000);
    // A message of 64 bytes in a packet of its own.
    link.mtu = Some(100);
    plan.add_link(link);
    plan.add_peer(0, 1);
    for (from, to) in [(0, 1), (1, 0)] {
        plan.flows.push(FlowPlan::new(from, to, MESSAGES, 64));
    }
    side_by_side(
        || simulator::run(&plan).node_reports.iter().map(|node| node.packets_received).sum(),
        event_loop,
    )
}

/// Virtual microseconds in a microsecond here, over a thousand connected nodes with nothing to say.
fn idle() -> Measured {
    const NODES: u32 = 1_000;
    // Long beside the handshakes at its start, whose time is uncertain by itself.
    const SPAN_US: u64 = 3_600_000_000;
    let mut plan = Plan::new("bench", 1, SPAN_US);
    plan.add_node(NodePlan { count: NODES, ..NodePlan::default() });
    for node in 0..NODES {
        let next = (node + 1) % NODES;
        plan.add_link(LinkPlan::new(LinkKind::Ethernet, &[node, next]));
        plan.add_peer(node, next);
    }
    let mut short = plan.clone();
    short.duration_us = SPAN_US / 10;
    // The handshakes are in both runs; their difference is idle time alone.
    let timed = |plan: &Plan| {
        let start = Start::now();
        let outcome = simulator::run(plan);
        (outcome.virtual_us as f64 / 1e6, start.seconds())
    };
    let (whole, part) = (timed(&plan), timed(&short));
    let factor = (whole.0 - part.0) / (whole.1 - part.1).max(1e-9);
    Measured::once(factor, rate(&mut event_loop))
}
