//! `thallus-sim`: named chaos scenarios from the command line.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    scenarios::cli::main()
}
