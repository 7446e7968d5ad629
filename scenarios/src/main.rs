//! `thallus-sim`: named chaos scenarios from the command line.

fn main() -> std::process::ExitCode {
    scenarios::cli::main()
}
