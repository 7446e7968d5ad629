//! `run` and `replay`: one plan, and everything there is to say about it.

use std::fs::File;
use std::path::{Path, PathBuf};

use simulator::plan::Plan;

use super::args::{ReplayArgs, RunArgs};
use super::files::{Part, apart, empty, same_file};
use crate::engine::{self, Elsewhere, How};
use crate::fail::Usage;
use crate::report::{self, Origin, Report};

/// How many steps before a failure its saved trace holds.
const TRACE_BEFORE: u64 = 2_000;

/// One run of a named scenario.
pub(super) fn run(args: &RunArgs) -> Result<u8, Usage> {
    let scenario = crate::scenarios::find(&args.name)?;
    let seed = match args.seed {
        Some(seed) => seed,
        None => {
            let seed = getrandom::u64().map_err(|error| {
                Usage::new(format!("cannot draw a seed: {error}"), "--seed", "give one, for example --seed 1")
            })?;
            say(args.json, &format!("seed {seed}"));
            seed
        }
    };
    let params = args.choices.params(seed)?;
    let plan = scenario.make(&params)?;
    let plan_file = args.save_plan.iter().map(|path| ("--save-plan", path.as_path()));
    let written: Vec<Part<'_>> = plan_file.chain(trace_part(args.trace.as_deref())).collect();
    let read: Vec<Part<'_>> = args.choices.topology().map(|path| ("--topology", path)).into_iter().collect();
    apart(&read, &written)?;
    // Opened before the run, so that hours of it are not lost to a wrong path.
    let fresh = args.trace.as_deref().filter(|path| !path.exists());
    let trace = open_trace(args.trace.as_deref())?;
    if let Some(path) = &args.save_plan {
        super::write_file(path, &plan.to_toml()).inspect_err(|_| {
            // A trace that was not there before is not there now: nothing was written.
            let _ = fresh.map(std::fs::remove_file);
        })?;
        say(args.json, &format!("plan saved to {}", path.display()));
    }
    let origin = Origin::Named(scenario, &params);
    finish(&plan, origin, args.verify, trace, args.json)
}

/// One run of a saved plan.
pub(super) fn replay(args: &ReplayArgs) -> Result<u8, Usage> {
    let plan = super::plans::read_plan(&args.file)?;
    let written: Vec<Part<'_>> = trace_part(args.trace.as_deref()).collect();
    apart(&[("the plan", &args.file)], &written)?;
    let path = args.file.display().to_string();
    let trace = open_trace(args.trace.as_deref())?;
    finish(&plan, Origin::File(&path), args.verify, trace, args.json)
}

fn trace_part(path: Option<&Path>) -> impl Iterator<Item = Part<'_>> {
    path.map(|path| ("--trace", path)).into_iter()
}

/// A file for the whole trace, which holds still what it held.
type TraceFile<'a> = Option<(&'a Path, File)>;

fn open_trace(path: Option<&Path>) -> Result<TraceFile<'_>, Usage> {
    path.map(|path| super::open_file(path).map(|file| (path, file))).transpose()
}

/// Says something to people: on standard output, unless that is to hold one JSON document.
fn say(json: bool, line: &str) {
    if json {
        super::tell(format_args!("{line}"));
    } else {
        super::print(line);
    }
}

fn finish(
    plan: &Plan,
    origin: Origin<'_>,
    verify: bool,
    trace: TraceFile<'_>,
    json: bool,
) -> Result<u8, Usage> {
    if let Some((path, file)) = &trace {
        empty(path, file)?;
    }
    let report = report::run(plan, origin, How { verify: verify.then_some(Elsewhere::Process) });
    let mut saved = Vec::new();
    let asked = trace.as_ref().map(|(path, _)| *path);
    let traced = trace.map_or(Ok(()), |(path, file)| {
        engine::trace(plan, 0..u64::MAX, file).map_err(|error| super::cannot_write(path, &error))?;
        saved.push(("trace", path.to_path_buf()));
        Ok(())
    });
    if !report.passed() {
        save_failure(plan, &report, origin, asked, &mut saved);
    }
    if json {
        super::print_json(&report);
    }
    tell(&report, origin, &saved, json);
    match traced {
        Err(usage) if !report.passed() => super::tell(format_args!("error: {usage}")),
        traced => traced?,
    }
    Ok(report.exit_code)
}

/// Saves the plan, and the trace around the failure unless the whole one has been written. The failure
/// itself is what must be heard: a full disk costs its copy, not the verdict. What the run was made of, or
/// the file that was `asked` for its whole trace, is not written over, and neither is another plan's failure:
/// the files bear the first digits of the plan's hash, for one name and seed can stand for many plans.
fn save_failure(
    plan: &Plan,
    report: &Report,
    origin: Origin<'_>,
    asked: Option<&Path>,
    saved: &mut Vec<(&'static str, PathBuf)>,
) {
    let traced = !saved.is_empty();
    let mut taken: Vec<&Path> = asked.into_iter().collect();
    if let Origin::File(path) = origin {
        taken.push(Path::new(path));
    }
    let free = |path: &Path| !taken.iter().any(|other| same_file(path, other));
    let text = plan.to_toml();
    let hash = blake3::hash(text.as_bytes()).to_hex();
    let stem = format!("{}/{}-{}-{}", super::SAVED, report.scenario, report.seed, &hash[..8]);
    let path = PathBuf::from(format!("{stem}.toml"));
    if free(&path) {
        let folder =
            std::fs::create_dir_all(super::SAVED).map_err(|error| super::cannot_write(&path, &error));
        match folder.and_then(|()| super::write_file(&path, &text)) {
            Ok(()) => saved.push(("plan", path)),
            Err(usage) => return super::tell(format_args!("warning: {usage}")),
        }
    }
    let path = PathBuf::from(format!("{stem}.trace"));
    if traced || !free(&path) {
        return;
    }
    let window = report.at_step.saturating_sub(TRACE_BEFORE)..report.at_step.saturating_add(2);
    let written = super::open_file(&path).and_then(|file| {
        empty(&path, &file)?;
        engine::trace(plan, window, file).map_err(|error| super::cannot_write(&path, &error))
    });
    match written {
        Ok(()) => saved.push(("trace", path)),
        Err(usage) => super::tell(format_args!("warning: {usage}")),
    }
}

/// Says what happened: verdict, what was measured, seed, command, and where things were saved.
fn tell(report: &Report, origin: Origin<'_>, saved: &[(&'static str, PathBuf)], json: bool) {
    let sentence = report.sentence();
    let (word, rest) = sentence.split_at(report.verdict.len());
    let word = if json { word.to_owned() } else { super::paint(word, report.passed()) };
    say(json, &format!("{}: {word}{rest}", report.scenario));
    if !json {
        for line in &report.said {
            super::print(&format!("  {line}"));
        }
        for (name, value) in &report.metrics {
            // Lists were said line by line.
            if !value.is_array() {
                super::print(&format!("  {name} = {value}"));
            }
        }
        super::print(&format!("  trace_hash = {}", report.trace_hash));
    }
    for reason in &report.excusable {
        say(json, &format!("  excusable: {reason}"));
    }
    if report.passed() {
        return;
    }
    for reason in report.pending.iter().take(20) {
        say(json, &format!("  pending: {reason}"));
    }
    let place = match origin {
        Origin::Named(scenario, _) => scenario.name.to_owned(),
        Origin::File(path) => path.to_owned(),
    };
    let version = env!("CARGO_PKG_VERSION");
    say(json, &format!("  seed {} of {place}, thallus-sim {version}, {}", report.seed, crate::COMMIT));
    say(json, &format!("  replay: {}", report.replay));
    for (what, path) in saved {
        say(json, &format!("  {what}: {}", path.display()));
    }
}
