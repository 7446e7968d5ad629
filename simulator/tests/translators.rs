//! Nodes behind network address translators (RFC 4787), real nodes in the simulated world.

use simulator::plan::{Dependence, FlowPlan, LinkKind, LinkPlan, NodePlan, What};
use simulator::{Outcome, Plan, Verdict, run};

const SECOND: u64 = 1_000_000;
const KINDS: [Dependence; 3] =
    [Dependence::EndpointIndependent, Dependence::AddressDependent, Dependence::AddressAndPortDependent];

fn nat(node: u32, mapping: Dependence, filtering: Dependence, expire_us: u64) -> What {
    What::Nat { node, links: Vec::new(), mapping, filtering, expire_us }
}

fn narrow(node: u32, expire_us: u64) -> What {
    nat(node, Dependence::AddressAndPortDependent, Dependence::AddressAndPortDependent, expire_us)
}

/// Two nodes on one link, node 0 dials; `count` messages each way, one every 100 ms.
fn pair(seed: u64, storm_s: u64, count: u64) -> Plan {
    let mut plan = Plan::new("translators", seed, storm_s * SECOND);
    plan.add_node(NodePlan { count: 2, ..NodePlan::default() });
    plan.add_link(LinkPlan::new(LinkKind::Cellular, &[0, 1]));
    plan.add_peer(0, 1);
    for (from, to) in [(0, 1), (1, 0)] {
        let mut flow = FlowPlan::new(from, to, count, 100);
        flow.every_us = SECOND / 10;
        flow.start_us = 2 * SECOND;
        plan.flows.push(flow);
    }
    plan.expect.packets_per_s = 1_000;
    plan
}

fn passed(plan: &Plan) -> Outcome {
    let outcome = run(plan);
    assert_eq!(outcome.verdict, Verdict::Pass, "{}\n{}", outcome.sentence(), plan.to_toml());
    outcome
}

fn times_down(outcome: &Outcome) -> usize {
    outcome.notes.iter().filter(|note| note.what.starts_with("PeerDown")).count()
}

/// The router is restarted three times under a session with traffic: the node's address changes without a
/// word to anybody, and neither the session nor a message is lost.
#[test]
fn a_session_outlives_its_address_behind_every_kind_of_translator() {
    for mapping in KINDS {
        for filtering in KINDS {
            let mut plan = pair(1, 60, 500);
            for (from_s, to_s) in [(0, 10), (10, 25), (25, 40)] {
                plan.add_fault(from_s * SECOND, to_s * SECOND, nat(0, mapping, filtering, 120 * SECOND));
            }
            let outcome = passed(&plan);
            assert_eq!(outcome.delivered, 1_000, "{mapping:?} {filtering:?}");
            assert_eq!(times_down(&outcome), 0, "{mapping:?} {filtering:?}: {:?}", outcome.notes);
        }
    }
}

/// A translator that forgets after five seconds, a device that keeps alive every 25: what is sent to it
/// waits until it speaks next, and arrives.
#[test]
fn a_device_that_its_translator_forgot_is_reached_when_it_speaks_again() {
    let mut plan = pair(2, 200, 0);
    plan.flows[1].count = 5;
    plan.flows[1].every_us = 40 * SECOND;
    plan.add_fault(0, 200 * SECOND, narrow(0, 5 * SECOND));
    let outcome = passed(&plan);
    assert_eq!((outcome.delivered, times_down(&outcome)), (5, 0), "{:?}", outcome.notes);
    let waited_us = outcome.latency.max();
    assert!((SECOND..=30 * SECOND).contains(&waited_us), "{waited_us} us");
    assert!(outcome.link_reports[0].nowhere > 0, "the translator turned packets away");
}

/// Nobody can dial a device behind a translator; it dials itself, or waits until the translator is gone.
#[test]
fn a_device_behind_a_translator_has_to_call() {
    for (behind, up) in [(0, true), (1, false)] {
        let mut plan = pair(3, 60, 5);
        plan.flows.iter_mut().for_each(|flow| flow.every_us = 0);
        plan.add_fault(0, 60 * SECOND, narrow(behind, 120 * SECOND));
        let outcome = passed(&plan);
        let within_the_storm = outcome.session_up_us[0].is_some_and(|at_us| at_us < 60 * SECOND);
        assert_eq!(within_the_storm, up, "behind it: node {behind}");
        assert_eq!(outcome.delivered, 10);
    }
}

/// Bulk and its acknowledgements, while a third of the packets are lost and the address changes every
/// three seconds.
#[test]
fn a_bulk_transfer_outlives_many_addresses() {
    for (seed, sender) in (0..20).map(|seed| (seed, seed as u32 % 2)) {
        let mut plan = pair(seed, 60, 0);
        plan.links[0].rate_bps = Some(200_000);
        plan.links[0].loss_there_ppm = 300_000;
        plan.links[0].loss_back_ppm = 300_000;
        plan.flows = vec![FlowPlan::new(sender, sender ^ 1, 1, 1 << 18)];
        plan.flows[0].start_us = 2 * SECOND;
        plan.expect.packets_per_s = 10_000;
        for at in 0..20 {
            plan.add_fault(3 * at * SECOND, 3 * (at + 1) * SECOND, narrow(0, 30 * SECOND));
        }
        let outcome = passed(&plan);
        assert_eq!((outcome.delivered, times_down(&outcome)), (1, 0), "{:?}", outcome.notes);
    }
}
