//! `sweep` and `merge`: many runs, the failing ones at the end with their commands.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::{MergeArgs, SweepArgs};
use super::files::{Part, apart, empty};
use crate::fail::Usage;
use crate::report::{Line, Report};
use crate::sweep::{Excused, Summary, Sweep, summary};

/// Sweeps seeds over all cores.
pub(super) fn sweep(args: &SweepArgs) -> Result<u8, Usage> {
    let scenarios = super::args::scenarios(&args.names, args.all)?;
    let params = args.choices.params(args.seeds.start)?;
    let jobs = match args.jobs {
        Some(jobs) => usize::from(jobs),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let sweep = Sweep {
        scenarios,
        seeds: args.seeds.clone(),
        shard: args.shard,
        jobs,
        params: &params,
        verify: args.verify.then_some(crate::engine::Elsewhere::Process),
    };
    sweep.check()?;
    let file = args.json_lines.as_deref().map(|path| begin_lines(path, args, &sweep)).transpose()?;
    let bar = progress(sweep.len());
    let start = Instant::now();
    let lines = sweep.run(|report| {
        let written = file.as_ref().is_none_or(|file| write_line(file, report));
        if !report.passed() {
            bar.suspend(|| {
                let Report { scenario, seed, .. } = report;
                super::tell(format_args!("{scenario} seed {seed}, {}: {}", crate::COMMIT, report.sentence()))
            });
        }
        bar.inc(1);
        written
    })?;
    bar.finish_and_clear();
    if let (Some(file), Some(path)) = (file, &args.json_lines) {
        let flushed = file.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).flush();
        if flushed.is_err() || (lines.len() as u64) < sweep.len() {
            return Err(Usage::new(
                "cannot write all lines",
                path.display().to_string(),
                "choose a place with room; sweep again",
            ));
        }
    }
    let summary = summary(&lines, start.elapsed().as_secs_f64());
    tell(&summary, &lines, args.json);
    Ok(summary.exit_code)
}

/// A file of lines, with its first line: what the sweep is, and which part of it this is.
fn begin_lines(path: &Path, args: &SweepArgs, sweep: &Sweep<'_>) -> Result<Mutex<BufWriter<File>>, Usage> {
    let read: Vec<Part<'_>> = args.choices.topology().map(|path| ("--topology", path)).into_iter().collect();
    apart(&read, &[("--json-lines", path)])?;
    holds_nothing_else(path)?;
    let file = super::open_file(path)?;
    empty(path, &file)?;
    let mut file = BufWriter::new(file);
    let header = serde_json::to_string(&sweep.header()).map_err(std::io::Error::from);
    header
        .and_then(|header| writeln!(file, "{header}"))
        .and_then(|()| file.flush())
        .map_err(|error| super::cannot_write(path, &error))?;
    Ok(Mutex::new(file))
}

/// Refuses a file that holds something else than a sweep's lines. A device or a pipe holds nothing.
fn holds_nothing_else(path: &Path) -> Result<(), Usage> {
    if path.metadata().is_ok_and(|kind| kind.is_file())
        && !crate::shards::may_be_replaced(&String::from_utf8_lossy(&super::read_file(path, "line file")?))
    {
        return Err(Usage::new(
            "--json-lines would replace a file that holds no lines of a sweep",
            format!("{}:1", path.display()),
            "name one that `sweep --json-lines` has written, or a new one",
        ));
    }
    Ok(())
}

/// Adds up shards.
pub(super) fn merge(args: &MergeArgs) -> Result<u8, Usage> {
    let mut files = Vec::new();
    for path in &args.files {
        files.push((path.display().to_string(), super::read_text(path, "line file")?));
    }
    let lines = crate::shards::merge(&files)?;
    let summary = summary(&lines, lines.iter().map(|line| line.wall_seconds).sum());
    tell(&summary, &lines, args.json);
    Ok(summary.exit_code)
}

/// Whether the line could be written.
fn write_line(file: &Mutex<BufWriter<File>>, report: &Report) -> bool {
    let Ok(line) = serde_json::to_string(&report.line()) else { return false };
    let mut file = file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    writeln!(file, "{line}").and_then(|()| file.flush()).is_ok()
}

fn progress(runs: u64) -> ProgressBar {
    let target = if super::decorated() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(runs), target);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} runs, {elapsed} gone, {eta} left") {
        bar.set_style(style);
    }
    bar
}

fn tell(summary: &Summary, lines: &[Line], json: bool) {
    if json {
        super::print_json(summary);
    }
    let say = |line: &str| if json { super::tell(format_args!("{line}")) } else { super::print(line) };
    let mut names: Vec<&str> = lines.iter().map(|line| line.scenario.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let of = |line: &&Line| line.scenario == name;
        let passed = lines.iter().filter(of).filter(|line| line.verdict == "pass").count();
        let count = lines.iter().filter(of).count();
        let wall: f64 = lines.iter().filter(of).map(|line| line.wall_seconds).sum();
        say(&format!("{name}: {passed} of {count} passed, {:.2} s a run", wall / count.max(1) as f64));
    }
    // What faults excuse by design is counted in the JSON; people are told what is rare.
    let rare = |run: &&Excused| lines.iter().any(|line| line.rare && line.replay == run.replay);
    for run in summary.excusable.iter().filter(rare) {
        say(&format!("excusable: {} seed {}: {}\n  {}", run.scenario, run.seed, run.reason, run.replay));
    }
    for run in &summary.failed {
        let seed = run.seed.map(|seed| format!(" seed {seed}")).unwrap_or_default();
        say(&format!("failed: {}{seed}: {}: {}\n  {}", run.scenario, run.verdict, run.reason, run.replay));
    }
    say(&format!(
        "{} runs, {} passed, {} failed, {:.1} s",
        summary.runs,
        summary.passed,
        summary.failed.len(),
        summary.wall_seconds
    ));
}
