//! `bench`: the figures, each beside a limit measured in the same run, or, for memory, once.

use super::args::BenchArgs;
use crate::bench::{Figure, measure, names};
use crate::fail::Usage;

/// Measures and prints the table. A figure that misses its target is shown, not an error.
pub(super) fn bench(args: &BenchArgs) -> Result<u8, Usage> {
    let wanted = args.name.as_deref().unwrap_or_default();
    if !names().any(|name| name.contains(wanted)) {
        let all: Vec<&str> = names().collect();
        return Err(Usage::new(
            format!("no figure's name contains `{wanted}`"),
            "bench NAME",
            format!("known figures: {}", all.join(", ")),
        ));
    }
    let figures = measure(wanted, |name| super::tell(format_args!("measuring {name}")));
    if args.json {
        super::print_json(&figures);
        return Ok(0);
    }
    super::print(&format!(
        "{:34} {:>14} {:10} {:>14} {:>7} {:>9} {:4} reference",
        "figure", "value", "unit", "reference", "ratio", "target", "met"
    ));
    for figure in &figures {
        super::print(&row(figure));
    }
    Ok(0)
}

fn row(figure: &Figure) -> String {
    let met = super::paint(if figure.met { "yes " } else { "no  " }, figure.met);
    format!(
        "{:34} {:>14.1} {:10} {:>14.1} {:>7.3} {:>9} {met} {}",
        figure.name,
        figure.value,
        figure.unit,
        figure.reference_value,
        figure.ratio,
        figure.target,
        figure.reference
    )
}
