//! A random plan: topology, devices, clocks, work and disasters, all drawn from one seed.

use super::{
    Dependence, Fault, Flood, FlowPlan, Kind, LinkKind, LinkPlan, NodePlan, Plan, Profile, Urgency, What,
};
use crate::draw::{Lot, Purpose};

const SECOND: u64 = 1_000_000;

/// A row of draws. Only plans are drawn in sequence: a plan is made before the run, and a saved plan
/// does not need the draws any more.
struct Dice {
    lot: Lot,
    n: u64,
}

impl Dice {
    fn between(&mut self, low: u64, high: u64) -> u64 {
        self.n += 1;
        self.lot.between(self.n, low, high)
    }
    fn small(&mut self, low: u32, high: u32) -> u32 {
        self.between(u64::from(low), u64::from(high)) as u32
    }
    fn chance(&mut self, percent: u32) -> bool {
        self.between(1, 100) <= u64::from(percent)
    }
    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.between(0, of.len() as u64 - 1) as usize]
    }
}

impl Plan {
    /// A chaos plan for 2 to 8 nodes. The same seed gives the same plan for ever within one version of
    /// this function; what must last is saved as a file.
    #[must_use]
    pub fn draw(seed: u64) -> Plan {
        let dice = &mut Dice { lot: Lot::new(seed, Purpose::Plan, 0), n: 0 };
        let mut plan = Plan::new("chaos", seed, dice.between(20, 120) * SECOND);
        plan.calm_us = 1_800 * SECOND;
        let count = dice.small(2, 8);
        for _ in 0..count {
            let node = draw_node(dice);
            plan.add_node(node);
        }
        // A chain keeps everybody reachable; chords make it interesting.
        for node in 1..count {
            let to = dice.small(0, node - 1);
            draw_link(dice, &mut plan, to, node);
        }
        for _ in 0..dice.small(0, count / 2) {
            let (a, b) = (dice.small(0, count - 1), dice.small(0, count - 1));
            if a != b {
                draw_link(dice, &mut plan, a.min(b), a.max(b));
            }
        }
        if dice.chance(15) {
            draw_radio(dice, &mut plan, count);
        }
        // A device carries as many links as its limits allow: who has more is a larger one.
        for node in 0..count {
            let degree = plan.links.iter().filter(|link| link.members.contains(&node)).count();
            let entry = &mut plan.nodes[node as usize];
            for larger in [Profile::Small, Profile::Server] {
                if usize::from(entry.profile.limits().links) < degree {
                    entry.profile = larger;
                }
            }
        }
        draw_flows(dice, &mut plan);
        for _ in 0..dice.small(1, 10) {
            let what = draw_fault(dice, &plan, count);
            let start_us = dice.between(0, plan.duration_us * 3 / 4);
            let end_us = start_us + dice.between(SECOND / 10, plan.duration_us / 3);
            let id = plan.faults.len() as u32 + 1;
            plan.faults.push(Fault { id, start_us, end_us, what });
        }
        for _ in 0..dice.pick(&[0, 0, 0, 1, 1, 2]) {
            draw_nat(dice, &mut plan, count);
        }
        for _ in 0..dice.pick(&[0, 0, 0, 0, 1, 2]) {
            draw_rare(dice, &mut plan, count);
        }
        // Hosts that hand a card several datagrams in one call.
        for link in &mut plan.links {
            if dice.chance(40) {
                link.segments = dice.pick(&[2, 4, 16, 64]);
            }
        }
        // What expires may be on its way, or held for its turn.
        for flow in &mut plan.flows {
            if dice.chance(25) {
                flow.lifetime_us =
                    Some(dice.pick(&[SECOND / 50, SECOND / 5, SECOND, 5 * SECOND, 30 * SECOND]));
            }
        }
        // Twice what the work takes when a tiny receiver that cannot decode loses five in six: seed 241695 sends 43,000
        // packets of 66 bytes where 22,400 would do if each loss were known at once.
        plan.expect.packets_per_s = (2 * packets_of_work(&plan)).max(20_000);
        plan
    }
}

/// How many packets one node has to send at most until as many have arrived as its work fills, if all of each flow
/// goes where, between those two nodes, packets are smallest and most is lost.
fn packets_of_work(plan: &Plan) -> u64 {
    /// Header, tag, and what a frame says of its symbol.
    const OVERHEAD: u64 = 26;
    /// Whatever is lost, no more than twenty packets are granted for one (guess).
    const LEAST_ARRIVING_PPM: u64 = 50_000;
    let packets = |flow: &FlowPlan| {
        let joins = |link: &LinkPlan| link.members.contains(&flow.from) && link.members.contains(&flow.to);
        let ways = || plan.links.iter().enumerate().filter(|(_, link)| joins(link));
        let touches = |links: &[u32]| links.is_empty() || ways().any(|(at, _)| links.contains(&(at as u32)));
        let (mut mtu, mut struck_ppm) = (1_400, 0);
        for fault in &plan.faults {
            match &fault.what {
                What::Loss { links, there_ppm, back_ppm } if touches(links) => {
                    struck_ppm = struck_ppm.max(*there_ppm).max(*back_ppm);
                }
                What::Mtu { links, mtu: passed, .. } if touches(links) => mtu = mtu.min(u64::from(*passed)),
                _ => {}
            }
        }
        mtu = ways().map(|(_, link)| u64::from(link.spec().mtu)).fold(mtu, u64::min);
        let link_ppm = ways().map(|(_, link)| link.loss_there_ppm.max(link.loss_back_ppm)).max().unwrap_or(0);
        let arriving_ppm = u64::from(1_000_000 - link_ppm) * u64::from(1_000_000 - struck_ppm) / 1_000_000;
        let bytes = u64::from(flow.size.0 + flow.size.1) / 2;
        let symbols = flow.count * bytes.div_ceil(mtu - OVERHEAD).max(1);
        symbols * 1_000_000 / arriving_ppm.max(LEAST_ARRIVING_PPM)
    };
    let of_node = |node| plan.flows.iter().filter(|flow| flow.from == node).map(packets).sum::<u64>();
    (0..plan.node_count()).map(of_node).max().unwrap_or(0)
}

fn draw_node(dice: &mut Dice) -> NodePlan {
    let mut node = NodePlan {
        profile: dice.pick(&[Profile::Tiny, Profile::Small, Profile::Small, Profile::Server]),
        drift_ppm: dice.small(0, 200) as i32 - 100,
        clock_us: dice.between(0, 1_000) * SECOND,
        ..NodePlan::default()
    };
    if dice.chance(20) {
        node.wall_offset_us = (dice.between(0, 20 * 365 * 86_400) as i64 - 10 * 365 * 86_400) * SECOND as i64;
    }
    if dice.chance(20) {
        node.start_us = dice.between(0, 5) * SECOND;
    }
    if dice.chance(30) {
        node.disk.sync_us = dice.between(100, 20_000);
        node.disk.jitter_us = dice.between(0, 20_000);
    }
    if dice.chance(30) {
        node.disk.torn_ppm = dice.small(0, 500_000);
    }
    node
}

fn draw_link(dice: &mut Dice, plan: &mut Plan, a: u32, b: u32) {
    let kind = dice.pick(&[
        LinkKind::Plain,
        LinkKind::Ethernet,
        LinkKind::Wifi,
        LinkKind::Cellular,
        LinkKind::Bluetooth,
        LinkKind::Ble,
        LinkKind::Ieee802154,
        LinkKind::Satellite,
    ]);
    let mut link = LinkPlan::new(kind, &[a, b]);
    if kind == LinkKind::Plain {
        // Without a rate nothing bounds how often what a narrow passage swallows is sent again.
        link.rate_bps = Some(100_000_000);
    }
    if dice.chance(40) {
        link.loss_there_ppm = dice.small(0, 500_000);
        link.loss_back_ppm = dice.small(0, 500_000);
    }
    if dice.chance(20) {
        link.mtu = Some(dice.small(64, 1_500) as u16);
    }
    plan.links.push(link);
    if !plan.peers.iter().any(|peer| (peer.node, peer.to) == (a, b) || (peer.node, peer.to) == (b, a)) {
        let (node, to) = if dice.chance(50) { (a, b) } else { (b, a) };
        plan.add_peer(node, to);
        if dice.chance(30) {
            plan.add_peer(to, node);
        }
        let last = plan.peers.len() - 1;
        plan.peers[last].key_known = dice.chance(70);
    }
}

/// A slow medium that everybody shares, beside the cables.
fn draw_radio(dice: &mut Dice, plan: &mut Plan, count: u32) {
    let kind = dice.pick(&[LinkKind::LoraSf7, LinkKind::PacketRadio, LinkKind::Wifi, LinkKind::Plain]);
    let mut radio = LinkPlan::new(kind, &(0..count).collect::<Vec<_>>());
    radio.shared = Some(true);
    radio.loss_there_ppm = dice.small(0, 300_000);
    plan.links.push(radio);
}

fn draw_flows(dice: &mut Dice, plan: &mut Plan) {
    for at in 0..plan.peers.len() {
        for turn in 0..dice.between(1, 2) {
            let peer = &plan.peers[at];
            let (from, to) = if turn == 0 { (peer.node, peer.to) } else { (peer.to, peer.node) };
            // What TINY can hold.
            let most = if dice.chance(20) { 8_192 } else { 300 };
            let mut flow = FlowPlan::new(from, to, dice.between(1, 60), 0);
            flow.size = (dice.small(0, 40), dice.small(40, most));
            flow.start_us = dice.between(0, plan.duration_us / 2);
            flow.every_us = dice.pick(&[0, 10_000, 100_000, SECOND / 2]);
            flow.random_pace = dice.chance(50);
            flow.delivery = dice.pick(&[Kind::Datagram, Kind::Message, Kind::Stream, Kind::Durable]);
            if flow.delivery == Kind::Datagram {
                flow.size = (0, 24);
            }
            flow.stream = dice.small(0, 3) as u16;
            flow.class = dice.pick(&[Urgency::Emergency, Urgency::High, Urgency::Normal, Urgency::Low]);
            flow.consume_after_us = dice.pick(&[0, 0, 100_000, SECOND]);
            plan.flows.push(flow);
        }
    }
}

/// Half of the time two translators follow each other without a pause: the router was restarted.
fn draw_nat(dice: &mut Dice, plan: &mut Plan, count: u32) {
    const KINDS: [Dependence; 3] =
        [Dependence::EndpointIndependent, Dependence::AddressDependent, Dependence::AddressAndPortDependent];
    let node = dice.small(0, count - 1);
    let (mapping, filtering) = (dice.pick(&KINDS), dice.pick(&KINDS));
    let expire_us = dice.between(SECOND, 120 * SECOND);
    let mut start_us = dice.between(0, plan.duration_us * 3 / 4);
    for _ in 0..dice.between(1, 2) {
        let end_us = start_us + dice.between(SECOND, plan.duration_us / 2);
        let id = plan.faults.len() as u32 + 1;
        let what = What::Nat { node, links: Vec::new(), mapping, filtering, expire_us };
        plan.faults.push(Fault { id, start_us, end_us, what });
        start_us = end_us;
    }
}

/// What happens to few devices, and costs them their disk or their name. A device of which there were two is
/// believed again when it was started more often than its twin, which takes two starts.
fn draw_rare(dice: &mut Dice, plan: &mut Plan, count: u32) {
    let node = dice.small(0, count - 1);
    let kind = dice.small(0, 3);
    let what = match kind {
        0 => What::DiskFull { node },
        1 => What::DiskFail { node },
        2 => What::Rot { node, records: dice.small(1, 3) },
        _ => What::Clone { node },
    };
    let start_us = dice.between(0, plan.duration_us / 2);
    let end_us = start_us + dice.between(SECOND / 10, plan.duration_us / 4);
    plan.add_fault(start_us, end_us, what);
    if kind == 3 {
        // Nor is it started while it is paused.
        let last_us = plan.duration_us / 10 * 7;
        for fault in plan.faults.iter_mut().filter(|fault| fault.what == What::Pause { node }) {
            fault.start_us = fault.start_us.min(last_us - SECOND / 10);
            fault.end_us = fault.end_us.min(last_us);
        }
        for tenth in [8, 9] {
            let start_us = plan.duration_us / 10 * tenth;
            plan.add_fault(start_us, plan.duration_us, What::Crash { node, down_us: SECOND / 10 });
        }
    }
}

fn draw_fault(dice: &mut Dice, plan: &Plan, count: u32) -> What {
    let link = dice.small(0, plan.links.len() as u32 - 1);
    let links = if dice.chance(30) { Vec::new() } else { vec![link] };
    let node = dice.small(0, count - 1);
    let share_ppm = dice.small(1_000, 300_000);
    match dice.small(0, 27) {
        0 | 1 => {
            What::Loss { links, there_ppm: dice.small(0, 1_000_000), back_ppm: dice.small(0, 1_000_000) }
        }
        2 => What::Burst {
            links,
            enter_ppm: dice.small(1_000, 100_000),
            leave_ppm: dice.small(10_000, 300_000),
            loss_ppm: dice.small(500_000, 1_000_000),
        },
        3 => What::Delay { links, add_us: dice.between(0, SECOND), jitter_us: dice.between(0, SECOND) },
        4 => What::Duplicate { links, share_ppm, within_us: dice.between(0, SECOND) },
        5 => What::Reorder { links, share_ppm, by_us: dice.between(1_000, SECOND) },
        6 => What::Flip { links, share_ppm, bits: dice.small(1, 8) },
        7 => What::Truncate { links, share_ppm },
        8 => What::Mtu { links, mtu: dice.small(64, 1_000) as u16, told: dice.chance(50) },
        9 => What::Rate {
            links,
            rate_bps: dice.between(2_400, 1_000_000),
            queue_bytes: dice.between(2_000, 50_000),
        },
        10 => What::Cut { links, there: true, back: dice.chance(50) },
        11 => What::Flap {
            links,
            period_us: dice.between(SECOND / 10, 5 * SECOND),
            down_ppm: dice.small(100_000, 900_000),
            told: dice.chance(50),
        },
        12 => What::Down { links },
        13 => What::Replay { links, share_ppm, within_us: dice.between(0, 5 * SECOND) },
        14 => What::Partition { sides: vec![(0..count / 2).collect(), (count / 2..count).collect()] },
        15 => What::Flood {
            link,
            target: plan.links[link as usize].members[dice.between(0, 1) as usize],
            kind: dice.pick(&[
                Flood::Junk,
                Flood::Replayed,
                Flood::Truncated,
                Flood::Oversize,
                Flood::Handshakes,
            ]),
            per_s: dice.between(10, 500),
            size: (1, 1_400),
            sources: dice.small(0, 16),
        },
        16 | 17 => What::Crash { node, down_us: dice.between(1_000, 5 * SECOND) },
        18 => What::CrashUnsynced { node, times: dice.small(1, 5), down_us: dice.between(1_000, SECOND) },
        19 => What::RebootLoop { node, period_us: dice.between(2 * SECOND, 5 * SECOND), down_us: SECOND },
        20 => What::Pause { node },
        21 => What::Slow { node, turn_us: dice.between(10, 5_000) },
        22 => What::DiskSlow { node, sync_us: dice.between(1_000, SECOND) },
        23 => What::Torn { node, share_ppm },
        24 => What::Drift { node, ppm: dice.small(0, 1_000) as i32 - 500 },
        25 => What::Jump { node, by_us: dice.between(0, 10 * SECOND) },
        26 => What::WallStep { node, by_us: dice.between(0, 2_000 * SECOND) as i64 - 1_000 * SECOND as i64 },
        _ => What::Leap { node },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_work_takes_follows_its_size_and_what_is_lost() {
        let mut plan = Plan::new("work", 1, SECOND);
        plan.add_node(NodePlan::default());
        plan.add_node(NodePlan::default());
        plan.links.push(LinkPlan::new(LinkKind::Ethernet, &[0, 1]));
        plan.flows.push(FlowPlan::new(0, 1, 100, 1_000));
        plan.flows.push(FlowPlan::new(0, 1, 10, 0));
        plan.flows.push(FlowPlan::new(1, 0, 20, 0));
        assert_eq!(packets_of_work(&plan), 110);
        plan.links[0].loss_back_ppm = 500_000;
        assert_eq!(packets_of_work(&plan), 220);
        plan.add_fault(0, SECOND, What::Loss { links: vec![], there_ppm: 800_000, back_ppm: 0 });
        assert_eq!(packets_of_work(&plan), 1_100);
        plan.add_fault(0, SECOND, What::Mtu { links: vec![1], mtu: 64, told: false });
        assert_eq!(packets_of_work(&plan), 1_100, "another link");
        plan.add_fault(0, SECOND, What::Mtu { links: vec![0], mtu: 126, told: false });
        assert_eq!(packets_of_work(&plan), 10_100);
        plan.add_fault(0, SECOND, What::Loss { links: vec![], there_ppm: 1_000_000, back_ppm: 0 });
        assert_eq!(packets_of_work(&plan), 20_200);
    }
}
