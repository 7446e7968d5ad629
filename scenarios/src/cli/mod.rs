//! The `thallus-sim` command: what it understands, and who does it.
//!
//! One JSON document on standard output with `--json`, chatter on standard error. Exit codes: 0 pass,
//! 2 usage, 10 safety, 11 liveness, 12 determinism, 13 resource, 101 panic.

mod args;
mod bench;
mod golden;
mod plans;
mod print;
mod run;
mod sweep;
#[cfg(feature = "zoo")]
mod zoo;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use crate::fail::Usage;
use args::{Cli, Command};
use print::{decorated, paint, print, print_json};

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
        Command::Witness => witness(),
        #[cfg(feature = "zoo")]
        Command::Zoo(zoo) => zoo::zoo(&zoo),
    };
    let code = done.unwrap_or_else(|usage| {
        eprintln!("error: {usage}");
        USAGE
    });
    ExitCode::from(heard(code))
}

/// The exit code `code`, unless it says that all is well and standard output does not hold what was said.
fn heard(code: u8) -> u8 {
    match print::finish() {
        Ok(()) => code,
        Err(usage) => {
            eprintln!("error: {usage}");
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
            eprintln!(
                "error: no command given; on the command line; give one of these\n\n{}",
                error.render()
            );
            ExitCode::from(USAGE)
        }
        _ => {
            let text = error.render().to_string();
            let mut parts = text.trim().splitn(2, "\n\n");
            let what = parts.next().unwrap_or_default().trim_start_matches("error: ");
            let what = what.lines().map(str::trim).collect::<Vec<_>>().join(" ");
            eprintln!("error: {what}; on the command line; see `thallus-sim --help`");
            if let Some(rest) = parts.next() {
                eprintln!("\n{rest}");
            }
            ExitCode::from(USAGE)
        }
    }
}

fn read_file(path: &Path, what: &str) -> Result<Vec<u8>, Usage> {
    std::fs::read(path).map_err(|error| {
        Usage::new(
            format!("cannot read the {what}: {error}"),
            path.display().to_string(),
            "give a file that exists and can be read",
        )
    })
}

fn read_text(path: &Path, what: &str) -> Result<String, Usage> {
    String::from_utf8(read_file(path, what)?).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Usage::new(
            format!("the {what} is not UTF-8 at byte {at}"),
            path.display().to_string(),
            "save it as UTF-8 text",
        )
    })
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Usage {
    let remedy = "choose a place that can be written and has room";
    Usage::new(format!("cannot write: {error}"), path.display().to_string(), remedy)
}

fn create_file(path: &Path) -> Result<std::fs::File, Usage> {
    std::fs::File::create(path).map_err(|error| cannot_write(path, &error))
}

/// Writes a file that must appear whole or not at all.
fn write_file(path: &Path, text: &str) -> Result<(), Usage> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| cannot_write(path, &error))?;
    }
    if path.metadata().is_ok_and(|kind| !kind.is_file()) {
        // A pipe or a device is written as it is; a folder refuses by itself.
        return std::fs::write(path, text).map_err(|error| cannot_write(path, &error));
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    std::fs::write(&partial, text).and_then(|()| std::fs::rename(&partial, path)).map_err(|error| {
        let _ = std::fs::remove_file(&partial);
        cannot_write(path, &error)
    })
}

/// Where failing plans and traces are saved, relative to where the command was started.
const SAVED: &str = "target/thallus-sim";
