//! `zoo`: every planted bug must be found, by the right checker, in time.

use super::args::ZooArgs;
use crate::fail::Usage;
use crate::zoo::visit;

/// The exit code when a bug went unseen: what a checker should have found is a safety matter.
const UNSEEN: u8 = 10;

/// Walks past all cages.
pub(super) fn zoo(args: &ZooArgs) -> Result<u8, Usage> {
    if !args.json {
        super::print(&format!("{:20} {:30} {:6} {:14} caught", "bug", "scenario", "seed", "checker"));
    }
    let all = visit(args.name.as_deref(), |caught| {
        if args.json {
            super::tell(format_args!(
                "{}: {}",
                caught.bug,
                if caught.caught { "caught" } else { "not caught" }
            ));
            return;
        }
        let seed = caught.seed.map_or_else(
            || format!("-/{}", caught.within_seeds),
            |seed| format!("{seed}/{}", caught.within_seeds),
        );
        let word = super::paint(if caught.caught { "yes" } else { "no" }, caught.caught);
        let checker = caught.checker.as_deref().unwrap_or("-");
        super::print(&format!("{:20} {:30} {seed:6} {checker:14} {word}", caught.bug, caught.scenario));
        if let Some(reason) = &caught.reason {
            super::print(&format!("  {reason}"));
        }
        if !caught.caught {
            super::print(&format!("  expected {}; {}", caught.expected, caught.replay));
        }
    })?;
    if args.json {
        super::print_json(&all);
    }
    Ok(if all.iter().all(|caught| caught.caught) { 0 } else { UNSEEN })
}
