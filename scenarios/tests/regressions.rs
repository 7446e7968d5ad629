//! Plans that once failed, or that show something worth keeping, run again.
//!
//! A saved plan survives a changed generator: it holds what was drawn, not the seed it was drawn from.
//! `thallus-sim run ... --save-plan scenarios/regressions/NAME.toml` makes one; a failing run saves its
//! own under `target/thallus-sim`.

use std::path::Path;

use scenarios::engine::How;
use scenarios::report::{self, Origin};
use simulator::plan::Plan;

/// Random plans that run in every test: those that found faults once, and a few more.
const DRAWN: [u64; 8] = [35, 1_053, 0, 1, 2, 3, 4, 5];

/// The simulator's own tests look at such runs with its checkers alone; here every node is behind a meter too.
#[test]
fn random_plans_pass_within_the_memory_of_their_limits() {
    for seed in DRAWN {
        let plan = Plan::draw(seed);
        let report = report::run(&plan, Origin::File("random.toml"), How::default());
        println!("{seed}: {} bytes at most ({:.2} s)", report.peak_node_bytes, report.wall_seconds);
        let print = format!("cargo run --release -p simulator --example chaos {seed} 1");
        assert!(report.passed(), "{}\n{}\n`{print}` prints the plan", report.sentence(), scenarios::COMMIT);
        assert!(report.peak_node_bytes > 0, "nobody measured the memory of plan {seed}");
    }
}

#[test]
fn every_saved_plan_passes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "toml"));
    files.sort();
    assert!(!files.is_empty(), "the folder of regressions holds plans");
    for path in files {
        let name = format!("scenarios/regressions/{}", path.file_name().unwrap().to_string_lossy());
        let text = std::fs::read_to_string(&path).unwrap();
        let plan = Plan::from_toml(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let report = report::run(&plan, Origin::File(&name), How::default());
        println!("{name}: {} ({:.2} s)", report.verdict, report.wall_seconds);
        let (sentence, replay) = (report.sentence(), &report.replay);
        assert!(report.passed(), "{name}: {sentence}\n{}\nreplay: {replay}\n", scenarios::COMMIT);
    }
}
