//! The figures, as ratios.
//!
//! An absolute number says more about the machine than about the code. Each figure here stands beside
//! a limit that is measured in the same run, interleaved with it, on the same core: the raw cipher for
//! packets, the raw Diffie-Hellman for handshakes, the bare event loop for the simulator. (Memory does not
//! depend on the machine: there the other engine was measured once.) The ratio is
//! what is held to a target, and what can be compared between machines.

mod measure;
mod outbox;
mod packets;
mod pair;
mod relay;
mod world;

use serde::Serialize;

use measure::Measured;

/// One figure.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: &'static str,
    /// What came out, in `unit`.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// The limit it stands beside.
    pub reference: &'static str,
    /// The limit's value, in the same unit.
    pub reference_value: f64,
    /// Value over reference: the middle one of the ratios of many short rounds.
    pub ratio: f64,
    /// What is promised, in words: of the ratio, unless it says otherwise.
    pub target: &'static str,
    /// Whether it is kept.
    pub met: bool,
}

/// A figure's promise.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Target {
    /// Value over reference must be at least this.
    RatioAtLeast(f64),
    /// The value must be at most this.
    ValueAtMost(f64),
    /// The value must be at least this.
    ValueAtLeast(f64),
}

/// A figure that can be measured.
pub(crate) struct Bench {
    name: &'static str,
    unit: &'static str,
    reference: &'static str,
    target: Target,
    /// The promise in words.
    target_text: &'static str,
    measure: fn() -> Measured,
}

/// Groups of figures, in the order of the table.
const GROUPS: [&[Bench]; 4] = [&packets::BENCHES, &relay::BENCHES, &outbox::BENCHES, &world::BENCHES];

/// The names of all figures.
pub fn names() -> impl Iterator<Item = &'static str> {
    GROUPS.into_iter().flatten().map(|bench| bench.name)
}

/// Measures the figures whose name contains `wanted`; `before` is told each one's name first.
pub fn measure(wanted: &str, before: impl Fn(&str)) -> Vec<Figure> {
    let chosen = GROUPS.into_iter().flatten().filter(|bench| bench.name.contains(wanted));
    chosen
        .map(|bench| {
            before(bench.name);
            figure(bench, (bench.measure)())
        })
        .collect()
}

fn figure(bench: &Bench, measured: Measured) -> Figure {
    let Measured { value, reference, ratio } = measured;
    let met = match bench.target {
        Target::RatioAtLeast(least) => ratio >= least,
        Target::ValueAtMost(most) => value <= most,
        Target::ValueAtLeast(least) => value >= least,
    };
    Figure {
        name: bench.name,
        value,
        unit: bench.unit,
        reference: bench.reference,
        reference_value: reference,
        ratio,
        target: bench.target_text,
        met,
    }
}
