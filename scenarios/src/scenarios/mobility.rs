//! Everybody walks, and whom one hears changes with every step.
//!
//! Fifty people with radios in a square kilometre, joined by the 150 shortest links. Every ten or thirty seconds all take a step,
//! and the links are drawn again; thirty times. The procedure is that of meshnet-lab's `mobility1`: at the end of each interval
//! 200 pings are sent within two seconds between random pairs, and those count whose answer is back within a second. A link
//! that is gone is silent, nobody is told; of a new one its ends take notice a quarter of a second later, as of a beacon. It
//! matters because a mesh that needs a minute to settle is never settled where people walk.
//!
//! Promised, whatever the step: 99.9 % of the pings between pairs that are connected on the average, and 99 % in the worst round.

use simulator::Verdict;
use simulator::plan::{LinkKind, LinkPlan, Plan};

use super::{MINUTE, SECOND, cannot_judge, mesh};
use crate::fail::Usage;
use crate::params::{Key, Params};
use crate::scenario::{Case, Findings, Scenario};
use crate::topology::mobility::{Mobility, Pace, mobility};

const STEP_SECONDS: Key =
    Key { name: "step_seconds", default: "10", help: "seconds between two steps, 5 to 600" };
const STEP_METRES: Key = Key { name: "step_metres", default: "30", help: "metres of a step, 1 to 1000" };
const ROUNDS: Key = Key { name: "rounds", default: "30", help: "steps in all, 1 to 1000" };
const SETTLE: Key = Key {
    name: "settle",
    default: "0s",
    help: "how long after each step the pings begin; 0s: three seconds before the next",
};

/// Nodes, links and metres of the square's sides, as published.
const NODES: u32 = 50;
const LINKS: u32 = 150;
const METRES: u32 = 1_000;
/// Nobody moves for so long.
const FIRST_US: u64 = MINUTE;
/// Pings of a round, and how long they take.
const PINGS: u64 = 200;
const TALK_US: u64 = 2 * SECOND;
/// From then on before the next step.
const BEFORE_STEP_US: u64 = 3 * SECOND;
/// After so long the ends of a new link know of each other.
const NOTICE_US: u64 = SECOND / 4;
/// So many of a million are answered on the average, and in the worst round.
const MEAN_PPM: u64 = 999_000;
const WORST_PPM: u64 = 990_000;

/// See the module.
pub const SCENARIO: Scenario = Scenario {
    name: "mobility",
    shows: "50 nodes walk about in a square kilometre, 150 links drawn anew with every step: pings after each",
    keys: &[STEP_SECONDS, STEP_METRES, ROUNDS, SETTLE, mesh::FOUND],
    takes_nodes: false,
    takes_duration: false,
    takes_topology: false,
    plan,
    judge,
    quick: |params| params.with("rounds", "4"),
};

fn plan(params: &Params) -> Result<Plan, Usage> {
    let every_us = params.number(&STEP_SECONDS, 5..=600)? * SECOND;
    let step_m = params.number(&STEP_METRES, 1..=1_000)? as u32;
    let rounds = params.number(&ROUNDS, 1..=1_000)? as u32;
    let settle_us = match params.span_us(&SETTLE, every_us - BEFORE_STEP_US)? {
        0 => every_us - BEFORE_STEP_US,
        given => given,
    };
    let walk: Mobility = mobility(NODES, LINKS, rounds + 1, step_m, METRES, params.seed);
    let pace = Pace {
        first_us: FIRST_US,
        every_us,
        notice_us: NOTICE_US,
        both: true,
        forget_us: Some(SECOND),
        told: false,
    };
    let mut plan = Plan::new(SCENARIO.name, params.seed, FIRST_US + every_us * u64::from(rounds));
    (plan.calm_us, plan.expect.sessions) = (MINUTE, false);
    for degree in walk.topology().degrees() {
        plan.nodes.push(mesh::router(degree, u64::from(NODES)));
    }
    let mut model = LinkPlan::new(LinkKind::Wifi, &[]);
    (model.delay_us, model.jitter_us) = (Some(mesh::DELAY_US), Some(mesh::DELAY_US / 10));
    walk.apply(&mut plan, &model, &pace);
    mesh::find_each_other(&mut plan, params)?;
    for (number, round) in walk.rounds.iter().enumerate().skip(1) {
        let near = mesh::neighbours_by(round.links.iter().copied());
        let start_us = pace.starts_us(number) + settle_us;
        let pairs = mesh::pairs(&near, params.seed ^ (number as u64) << 32, PINGS);
        for (ping, &pair) in (0..).zip(&pairs) {
            mesh::add_ping(&mut plan, pair, start_us + ping * TALK_US / PINGS);
        }
    }
    Ok(plan)
}

fn judge(case: &Case<'_>, findings: &mut Findings) {
    let (plan, outcome) = (case.plan, case.outcome);
    findings.demand_all_once(outcome);
    let pings: Vec<mesh::Ping> = mesh::pings(plan, outcome).collect();
    let rounds: Vec<u64> = pings
        .chunk_by(|a, b| b.sent_us.abs_diff(a.sent_us) < BEFORE_STEP_US)
        .map(|round| mesh::answered_ppm(round, mesh::LATE_US))
        .collect();
    let Some(&worst_ppm) = rounds.iter().min() else {
        return cannot_judge(findings, "nobody pings");
    };
    let mean_ppm = rounds.iter().sum::<u64>() / rounds.len() as u64;
    findings.share("mean_delivered_percent", mean_ppm * 100);
    findings.share("worst_round_percent", worst_ppm * 100);
    findings.demand(mean_ppm >= MEAN_PPM && worst_ppm >= WORST_PPM, Verdict::Liveness, || {
        format!("{mean_ppm} ppm of the pings were answered, {worst_ppm} ppm in the worst round; {MEAN_PPM} and {WORST_PPM} were promised")
    });
    mesh::note_sent(findings, plan, outcome);
    mesh::note_loops(findings, outcome);
}
