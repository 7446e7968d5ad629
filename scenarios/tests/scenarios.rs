//! Every scenario on its fixed seeds and on a few drawn from `THALLUS_SEED`.
//!
//! Without that variable the draw is keyed with the version, so that a commit's tests are the same
//! everywhere and a release looks at new seeds. `THALLUS_SEED=42 cargo test -p scenarios soak` repeats
//! one. Where the full scenario takes long, its short form runs here (`quick` in its file): ten minutes
//! instead of 72 hours, four seconds of flood instead of ten. A failure prints the line that repeats it.

use std::path::Path;

use scenarios::engine::How;
use scenarios::params::Params;
use scenarios::report::{self, Origin};
use scenarios::scenario::Scenario;
use simulator::draw::{Lot, Purpose};

/// Looked at in every test run.
const FIXED: [u64; 2] = [1, 2];
/// And so many more.
const DRAWN: u64 = 2;

fn seeds(name: &str) -> Vec<u64> {
    let version =
        env!("CARGO_PKG_VERSION").bytes().fold(0_u64, |hash, byte| hash.wrapping_mul(31) + u64::from(byte));
    let key = match std::env::var("THALLUS_SEED") {
        Ok(text) => {
            text.parse().unwrap_or_else(|_| panic!("THALLUS_SEED must be a whole number, not `{text}`"))
        }
        Err(_) => version,
    };
    let who = name.bytes().fold(0_u64, |hash, byte| hash.wrapping_mul(31) + u64::from(byte));
    let lot = Lot::new(key, Purpose::Plan, who);
    // Small enough to be typed.
    FIXED.into_iter().chain((0..DRAWN).map(|n| lot.below(n, 1_000_000_000))).collect()
}

fn holds(name: &str) {
    for seed in seeds(name) {
        let scenario = scenarios::scenarios::find(name).unwrap();
        passes(scenario, &(scenario.quick)(Params::seed(seed)), How::default());
    }
}

#[track_caller]
fn passes(scenario: &'static Scenario, params: &Params, how: How) {
    let plan = scenario.make(params).unwrap_or_else(|usage| panic!("{usage}"));
    let report = report::run(&plan, Origin::Named(scenario, params), how);
    println!("{}: {} ({:.2} s)", report.replay, report.verdict, report.wall_seconds);
    let (sentence, replay) = (report.sentence(), &report.replay);
    assert!(report.passed(), "{}: {sentence}\n{}\nreplay: {replay}\n", scenario.name, scenarios::COMMIT);
}

macro_rules! scenario_tests {
    ($($test:ident: $name:literal),* $(,)?) => {
        $(#[test]
        fn $test() {
            holds($name);
        })*

        #[test]
        fn every_scenario_is_tested() {
            let tested = [$($name),*];
            for scenario in scenarios::scenarios::ALL {
                assert!(tested.contains(&scenario.name), "{} has no test", scenario.name);
            }
        }
    };
}

scenario_tests! {
    two_nodes_ninety_percent_loss: "two-nodes-ninety-percent-loss",
    bulk_over_bad_links: "bulk-over-bad-links",
    soak_72h_shortened_to_ten_minutes: "soak-72h",
    clock_runs_wild: "clock-runs-wild",
    crash_and_restart: "crash-and-restart",
    cloned_device_wakes_up: "cloned-device-wakes-up",
    flood_and_forgery: "flood-and-forgery",
    two_links_one_dies: "two-links-one-dies",
    tiny_meets_server: "tiny-meets-server",
    freifunk_neighbours: "freifunk-neighbours",
    freifunk: "freifunk",
    convergence: "convergence",
    mobility: "mobility",
    links_cut: "links-cut",
    broadcast_storm: "broadcast-storm",
    failure_detection: "failure-detection",
    lora_valley: "lora-valley",
    node_dies_under_traffic: "node-dies-under-traffic",
    ninety_percent_loss_mesh: "ninety-percent-loss-mesh",
    leaf_sleeps: "leaf-sleeps",
    soak_72h_mesh_shortened_to_five_minutes: "soak-72h-mesh",
    mesh_splits_in_three: "mesh-splits-in-three",
    liars_on_the_mesh: "liars-on-the-mesh",
    scale: "scale",
    incompatible_versions: "incompatible-versions",
}

#[test]
fn bulk_at_no_loss_and_at_ninety_per_cent() {
    let scenario = scenarios::scenarios::find("bulk-over-bad-links").unwrap();
    for loss in ["0", "90"] {
        passes(scenario, &Params::seed(1).with("loss", loss), How::default());
    }
}

#[test]
fn a_second_run_takes_the_same_steps() {
    for name in ["crash-and-restart", "incompatible-versions"] {
        let scenario = scenarios::scenarios::find(name).unwrap();
        passes(
            scenario,
            &(scenario.quick)(Params::seed(3)),
            How { verify: Some(scenarios::engine::Elsewhere::Thread) },
        );
    }
}

#[test]
fn real_networks_load_and_small_ones_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/topologies");
    if !folder.is_dir() {
        println!("skipped: no topologies beside this checkout ({})", folder.display());
        return;
    }
    let scenario = scenarios::scenarios::find("freifunk-neighbours").unwrap();
    for (file, nodes) in [
        ("freifunk-berlin.json", 795),
        ("freifunk-bielefeld.json", 246),
        ("freifunk-leipzig.json", 210),
        ("big_cross.json", 9),
        ("two_way.json", 4),
    ] {
        let bytes = std::fs::read(folder.join(file)).unwrap();
        let topology = scenarios::topology::Topology::from_json(&bytes).unwrap();
        let params = Params { topology: Some((file.to_owned(), topology)), ..Params::seed(1) };
        let plan = scenario.make(&params).unwrap_or_else(|usage| panic!("{file}: {usage}"));
        assert_eq!(plan.node_count(), nodes, "{file}");
        if nodes < 10 {
            passes(scenario, &params, How::default());
        }
    }
}
