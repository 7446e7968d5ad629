//! Plans that once failed, or that show something worth keeping, run again.
//!
//! A saved plan survives a changed generator: it holds what was drawn, not the seed it was drawn from.
//! `thallus-sim run ... --save-plan scenarios/regressions/NAME.toml` makes one; a failing run saves its
//! own under `target/thallus-sim`.

use std::path::Path;

use scenarios::engine::How;
use scenarios::report::{self, Origin};
use simulator::plan::Plan;

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
