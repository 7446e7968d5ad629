//! Random plans, one after the other: a quick look at what chaos does to the nodes.
//!
//! `cargo run --release -p simulator --example chaos FIRST COUNT`
//!
//! With a count of 1 the plan is printed too: `thallus-sim replay FILE` runs it again.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let (Some(Ok(first)), Some(Ok(count))) = (numbers.next(), numbers.next()) else {
        eprintln!("error: arguments; expected two numbers; give the first seed and how many, such as 0 100");
        return ExitCode::from(2);
    };
    let mut failed = 0;
    for seed in first..first.saturating_add(count) {
        let plan = simulator::Plan::draw(seed);
        if count == 1 {
            print!("{}", plan.to_toml());
        }
        let outcome = simulator::run(&plan);
        if !outcome.passed() {
            failed += 1;
            println!("seed {seed}: {}", outcome.sentence());
        }
    }
    println!("{failed} of {count} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(11) }
}
