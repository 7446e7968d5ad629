//! The bare world: 64-byte packets to and fro, checkers and trace on. It reads no clock; the shell does:
//!
//! `cargo build --release -p simulator --example ping_pong && time target/release/examples/ping_pong 2000000`

use std::process::ExitCode;

fn main() -> ExitCode {
    let packets = std::env::args().nth(1).map_or(Ok(2_000_000), |text| text.parse());
    match packets {
        Ok(packets) => {
            println!("{} events", simulator::bench::bare_ping_pong(packets));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: packets; not a number ({error}); give one such as 2000000");
            ExitCode::from(2)
        }
    }
}
