//! Two links to one peer carry what each of them carries alone, added up.

use scenarios::engine::{self, How};
use simulator::Verdict;
use simulator::plan::{FlowPlan, LinkKind, LinkPlan, NodePlan, Plan};

const SECOND: u64 = 1_000_000;

/// How long eight messages of a megabyte take over so many links of 10 Mbit/s, in microseconds.
fn takes_us(links: u32) -> u64 {
    let mut plan = Plan::new("striped", 7, 20 * SECOND);
    plan.expect.stop_early = true;
    plan.add_node(NodePlan { count: 2, ..NodePlan::default() });
    for _ in 0..links {
        let link = LinkPlan { rate_bps: Some(10_000_000), ..LinkPlan::new(LinkKind::Ethernet, &[0, 1]) };
        plan.add_link(link);
    }
    plan.add_peer(0, 1);
    // All are there at once; a latency counts from the planned time.
    plan.flows.push(FlowPlan { start_us: SECOND, every_us: 1, ..FlowPlan::new(0, 1, 8, 1_000_000) });
    let outcome = engine::run(&plan, How::default()).outcome;
    assert_eq!(outcome.verdict, Verdict::Pass, "{}", outcome.sentence());
    assert_eq!(outcome.delivered, 8);
    outcome.latency.max()
}

/// 64 Mbit over 10 Mbit/s are 6.4 s and the headers, over twice that half of it.
#[test]
fn a_second_link_takes_two_fifths_of_the_time_away() {
    let (one_us, two_us) = (takes_us(1), takes_us(2));
    println!("one link {one_us} us, two links {two_us} us");
    assert!((6 * SECOND..8 * SECOND).contains(&one_us), "{one_us}");
    assert!(
        two_us <= one_us * 6 / 10,
        "two links: {two_us} us; one: {one_us} us; at most 0.6 of it was promised"
    );
}
