//! The scenarios, in the order in which `list` shows them.

pub mod broadcast_storm;
pub mod bulk_over_bad_links;
pub mod clock_runs_wild;
pub mod cloned_device_wakes_up;
pub mod convergence;
pub mod crash_and_restart;
pub mod failure_detection;
pub mod flood_and_forgery;
pub mod freifunk;
pub mod freifunk_neighbours;
pub mod incompatible_versions;
pub mod leaf_sleeps;
pub mod liars_on_the_mesh;
pub mod links_cut;
pub mod lora_valley;
mod mesh;
pub mod mesh_splits_in_three;
pub mod mobility;
pub mod ninety_percent_loss_mesh;
pub mod node_dies_under_traffic;
pub mod scale;
pub mod soak_72h;
pub mod soak_72h_mesh;
pub mod tiny_meets_server;
pub mod two_links_one_dies;
pub mod two_nodes_ninety_percent_loss;

use simulator::Verdict;
use simulator::app::pause_after;
use simulator::draw::{Lot, Purpose};
use simulator::plan::{FlowPlan, Plan};

use crate::fail::{Usage, nearest};
use crate::scenario::{Findings, Scenario};

/// All of them.
pub const ALL: [&Scenario; 25] = [
    &two_nodes_ninety_percent_loss::SCENARIO,
    &bulk_over_bad_links::SCENARIO,
    &soak_72h::SCENARIO,
    &clock_runs_wild::SCENARIO,
    &crash_and_restart::SCENARIO,
    &cloned_device_wakes_up::SCENARIO,
    &flood_and_forgery::SCENARIO,
    &two_links_one_dies::SCENARIO,
    &tiny_meets_server::SCENARIO,
    &freifunk_neighbours::SCENARIO,
    &freifunk::SCENARIO,
    &convergence::SCENARIO,
    &mobility::SCENARIO,
    &links_cut::SCENARIO,
    &node_dies_under_traffic::SCENARIO,
    &ninety_percent_loss_mesh::SCENARIO,
    &mesh_splits_in_three::SCENARIO,
    &leaf_sleeps::SCENARIO,
    &soak_72h_mesh::SCENARIO,
    &scale::SCENARIO,
    &liars_on_the_mesh::SCENARIO,
    &broadcast_storm::SCENARIO,
    &failure_detection::SCENARIO,
    &lora_valley::SCENARIO,
    &incompatible_versions::SCENARIO,
];

/// The scenario of this name.
///
/// # Errors
/// When there is none; offers the nearest name.
pub fn find(name: &str) -> Result<&'static Scenario, Usage> {
    ALL.iter().copied().find(|scenario| scenario.name == name).ok_or_else(|| {
        let remedy = nearest(name, ALL.iter().map(|scenario| scenario.name)).map_or_else(
            || "`thallus-sim list` shows all names".to_owned(),
            |near| format!("did you mean `{near}`? `thallus-sim list` shows all names"),
        );
        Usage::new(format!("there is no scenario `{name}`"), "the scenario's name", remedy)
    })
}

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Says that a plan, which somebody has edited, has lost what this judge looks at. A judge that goes
/// quiet then would make a pass of it.
fn cannot_judge(findings: &mut Findings, why: impl Into<String>) {
    let why = why.into();
    findings.demand(false, Verdict::Liveness, || format!("this plan cannot be judged: {why}"));
}

/// Messages that the applications mean to send before the storm is over.
fn planned_in_storm(plan: &Plan) -> u64 {
    let of_flow = |(number, flow)| planned_before(plan, number, flow, plan.duration_us);
    (0..).zip(&plan.flows).map(of_flow).sum()
}

/// Messages of a flow, by its number, that its application means to send before `us`.
fn planned_before(plan: &Plan, number: u32, flow: &FlowPlan, us: u64) -> u64 {
    let (mut due_us, mut planned) = (flow.start_us, 0);
    while planned < flow.count && due_us < us {
        due_us = due_us.saturating_add(pause_after(plan.seed, number, flow, planned));
        planned += 1;
    }
    planned
}

/// What a scenario draws for itself: decision `n` of the story's own, between two numbers.
fn draw(seed: u64, n: u64, low: u64, high: u64) -> u64 {
    // Actor 0 is `Plan::draw`.
    Lot::new(seed, Purpose::Plan, 1).between(n, low, high)
}

#[cfg(test)]
mod tests {
    use simulator::Outcome;
    use simulator::plan::NodePlan;

    use super::*;
    use crate::engine::{self, How};
    use crate::params::Params;
    use crate::report::{self, Origin};
    use crate::scenario::Case;

    #[test]
    fn messages_that_no_node_ever_took_were_not_delivered() {
        let mut unheard = Vec::new();
        for name in [
            "two-nodes-ninety-percent-loss",
            "soak-72h",
            "clock-runs-wild",
            "cloned-device-wakes-up",
            "two-links-one-dies",
            "tiny-meets-server",
            "freifunk-neighbours",
            "incompatible-versions",
        ] {
            let scenario = find(name).unwrap();
            let plan = scenario.make(&(scenario.quick)(Params::seed(1))).unwrap();
            let ran = engine::run(&plan, How::default());
            let judged = |outcome: &Outcome| {
                let case = Case { plan: &plan, outcome, memory: &ran.memory, topology: None };
                let mut findings = Findings::default();
                (scenario.judge)(&case, &mut findings);
                findings.broken.into_iter().map(|broken| broken.reason).collect::<Vec<_>>()
            };
            assert_eq!(judged(&ran.outcome), [""; 0], "{name}");
            // Whoever took one in ten less, and delivered all that.
            let mut fewer = ran.outcome.clone();
            let mut taken = 0;
            for flow in &mut fewer.flow_reports {
                let never = flow.sent / 10;
                (flow.sent, flow.delivered) = (flow.sent - never, flow.delivered - never);
                taken += flow.sent;
            }
            fewer.delivered -= fewer.sent - taken;
            fewer.sent = taken;
            let broken = judged(&fewer);
            let says = broken.iter().any(|why| why.starts_with("the nodes took "));
            unheard.extend((!says).then_some((name, broken)));
        }
        assert_eq!(unheard, []);
    }

    #[test]
    fn a_plan_with_nothing_left_to_judge_is_no_pass() {
        let edits: [fn(&mut Plan); 2] = [
            |_| {},
            |plan| {
                plan.links.clear();
                plan.add_node(NodePlan { count: 3, ..NodePlan::default() });
            },
        ];
        // A network in which nobody hears anybody is a real one: `freifunk-neighbours` has nothing to ask.
        for scenario in ALL.iter().filter(|scenario| scenario.name != "freifunk-neighbours") {
            for edit in edits {
                let mut plan = scenario.make(&(scenario.quick)(Params::seed(1))).unwrap();
                plan.flows.clear();
                plan.broadcasts.clear();
                plan.faults.clear();
                plan.peers.clear();
                (plan.duration_us, plan.calm_us) = (2 * SECOND, SECOND);
                edit(&mut plan);
                let report = report::run(&plan, Origin::File("edited.toml"), How::default());
                assert_eq!(
                    report.checker.as_deref(),
                    Some("promise"),
                    "{}: {}",
                    plan.name,
                    report.sentence()
                );
            }
        }
    }
}
