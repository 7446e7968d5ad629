//! The scenarios, in the order in which `list` shows them.

pub mod bulk_over_bad_links;
pub mod clock_runs_wild;
pub mod cloned_device_wakes_up;
pub mod crash_and_restart;
pub mod flood_and_forgery;
pub mod freifunk_neighbours;
pub mod incompatible_versions;
pub mod soak_72h;
pub mod tiny_meets_server;
pub mod two_links_one_dies;
pub mod two_nodes_ninety_percent_loss;

use simulator::Verdict;
use simulator::draw::{Lot, Purpose};

use crate::fail::{Usage, nearest};
use crate::scenario::{Findings, Scenario};

/// All of them.
pub const ALL: [&Scenario; 11] = [
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

/// What a scenario draws for itself: decision `n` of the story's own, between two numbers.
fn draw(seed: u64, n: u64, low: u64, high: u64) -> u64 {
    // Actor 0 is `Plan::draw`.
    Lot::new(seed, Purpose::Plan, 1).between(n, low, high)
}

#[cfg(test)]
mod tests {
    use simulator::plan::{NodePlan, Plan};

    use super::*;
    use crate::engine::How;
    use crate::params::Params;
    use crate::report::{self, Origin};

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
