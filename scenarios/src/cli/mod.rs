//! The `thallus-sim` command: what it understands, and who does it.
//!
//! One JSON document on standard output with `--json`, chatter on standard error. Exit codes: 0 pass,
//! 2 usage, 10 safety, 11 liveness, 12 determinism, 13 resource, 101 panic.

mod args;
mod bench;
mod compare;
mod files;
mod golden;
mod plans;
mod print;
mod run;
mod sweep;
#[cfg(feature = "zoo")]
mod zoo;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::fail::Usage;
use args::{Cli, Command};
use files::{cannot_write, open_file, read_file, read_text, write_file};
use print::{decorated, paint, print, print_json, tell};

/// The exit code of a mistake in what was asked.
const USAGE: u8 = 2;

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let done = match cli.command {
        Command::List(list) => plans::list(&list),
        Command::Run(run) => run::run(&run),
        Command::Sweep(sweep) => sweep::sweep(&sweep),
        Command::Merge(merge) => sweep::merge(&merge),
        Command::Replay(replay) => run::replay(&replay),
        Command::Check(check) => plans::check(&check),
        Command::Golden(golden) => golden::golden(&golden),
        Command::Bench(bench) => bench::bench(&bench),
        Command::ComparePeers(compare) => compare::compare(&compare),
        Command::Witness => witness(),
        #[cfg(feature = "zoo")]
        Command::Zoo(zoo) => zoo::zoo(&zoo),
        #[cfg(not(feature = "zoo"))]
        Command::Zoo(_) => Err(Usage::new(
            "this build has no planted bugs",
            "zoo",
            "run it as `cargo run --release -p scenarios --features zoo -- zoo`",
        )),
    };
    let code = done.unwrap_or_else(|usage| {
        tell(format_args!("error: {usage}"));
        USAGE
    });
    ExitCode::from(heard(code))
}

/// The exit code `code`, unless it says that all is well and standard output does not hold what was said.
fn heard(code: u8) -> u8 {
    match print::finish() {
        Ok(()) => code,
        Err(usage) => {
            tell(format_args!("error: {usage}"));
            if code == 0 { USAGE } else { code }
        }
    }
}

fn witness() -> Result<u8, Usage> {
    crate::witness::serve(std::io::stdin().lock(), std::io::stdout().lock()).map(|()| 0).map_err(|error| {
        Usage::new(
            format!("no question of a second run: {error}"),
            "standard input",
            "leave this command to `--verify`, which starts it by itself",
        )
    })
}

/// Says what clap found, in the form of every other error; help and version are no errors.
fn refuse(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            print::note(error.print());
            ExitCode::from(heard(0))
        }
        // What clap has to say then is the help, with no word of what is wrong.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            tell(format_args!(
                "error: no command given; on the command line; give one of these\n\n{}",
                error.render()
            ));
            ExitCode::from(USAGE)
        }
        _ => {
            let text = error.render().to_string();
            let mut parts = text.trim().splitn(2, "\n\n");
            let what = parts.next().unwrap_or_default().trim_start_matches("error: ");
            let what = what.lines().map(str::trim).collect::<Vec<_>>().join(" ");
            // An argument need not be text.
            let command = std::env::args_os().nth(1).and_then(|name| name.into_string().ok());
            let command = command.filter(|name| Cli::command().find_subcommand(name).is_some());
            let help = command.map_or_else(String::new, |name| format!("{name} "));
            tell(format_args!("error: {what}; on the command line; see `thallus-sim {help}--help`"));
            if let Some(rest) = parts.next() {
                tell(format_args!("\n{rest}"));
            }
            ExitCode::from(USAGE)
        }
    }
}

/// Where failing plans and traces are saved, relative to where the command was started.
const SAVED: &str = "target/thallus-sim";
