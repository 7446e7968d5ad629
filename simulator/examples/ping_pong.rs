//! How many 64-byte packets the bare world delivers in a second of real time, checkers and trace on.
//!
//! `cargo run --release -p simulator --example ping_pong [packets]`

use std::process::ExitCode;

fn main() -> ExitCode {
    let packets = match std::env::args().nth(1).map(|text| text.parse()) {
        None => 2_000_000,
        Some(Ok(packets)) => packets,
        Some(Err(error)) => {
            eprintln!("error: packets; not a number ({error}); give one such as 2000000");
            return ExitCode::from(2);
        }
    };
    let begin = std::time::Instant::now();
    let events = simulator::bench::bare_ping_pong(packets);
    let spent = begin.elapsed();
    let per_s = u128::from(events) * 1_000_000_000 / spent.as_nanos().max(1);
    println!(
        "{events} events in {spent:?}: {per_s} a second, {} ns each",
        spent.as_nanos() / u128::from(events.max(1))
    );
    ExitCode::SUCCESS
}
