//! `compare-peers`: our figures beside those that others have published.

use super::args::CompareArgs;
use crate::fail::Usage;
use crate::peers::{Published, Row};

/// Runs and prints the table. A column that a peer holds is shown, not an error.
pub(super) fn compare(args: &CompareArgs) -> Result<u8, Usage> {
    let published = Published::read(&args.data)?;
    let wanted = args.name.as_deref().unwrap_or_default();
    let rows = published.compare(wanted, args.seed, |run| super::tell(format_args!("running {run}")))?;
    if rows.is_empty() {
        return Err(Usage::new(
            format!("no procedure's name contains `{wanted}`"),
            "compare-peers NAME",
            "known procedures: freifunk1, convergence1, mobility1",
        ));
    }
    if args.json {
        super::print_json(&rows);
        return Ok(0);
    }
    super::print(&format!(
        "{:13} {:17} {:24} {:>10} {:>10} {:12} held",
        "procedure", "world", "column", "ours", "best peer", "which"
    ));
    for row in &rows {
        super::print(&line(row));
    }
    Ok(0)
}

fn line(row: &Row) -> String {
    let figure = |figure: Option<f64>| figure.map_or("-".to_owned(), |figure| format!("{figure:.1}"));
    let held = super::paint(if row.held { "yes" } else { "no" }, row.held);
    format!(
        "{:13} {:17} {:24} {:>10} {:>10} {:12} {held}",
        row.procedure,
        row.world,
        row.column,
        figure(row.ours),
        figure(row.best),
        row.peer.as_deref().unwrap_or("-")
    )
}
