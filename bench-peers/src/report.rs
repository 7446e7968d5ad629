//! What was measured, as ratios: the middle one of the ratios of all rounds, since what slows a round
//! slows both sides of it.

use std::fmt::Write;

use crate::Rates;
use crate::measure::median;

/// One line of the table.
pub(crate) struct Row {
    name: &'static str,
    value: f64,
    reference: &'static str,
    reference_value: f64,
    ratio: f64,
    target: Option<f64>,
}

impl Row {
    fn met(&self) -> Option<bool> {
        self.target.map(|target| self.ratio >= target)
    }
}

/// What is compared with what, and the ratio promised.
const COMPARED: [(&str, &str, Option<f64>); 13] = [
    ("ring datagrams 1200", "raw ring 1200", Some(0.70)),
    ("ring datagrams 1200", "quinn-proto datagrams 1200", Some(1.0)),
    ("pure datagrams 1200", "raw pure 1200", Some(0.70)),
    ("ring messages 64", "raw ring 64", Some(0.4)),
    ("pure messages 64", "raw pure 64", Some(0.4)),
    ("pure handshakes", "boringtun handshakes", Some(0.7)),
    ("ring handshakes", "boringtun handshakes", None),
    ("pure handshakes", "boringtun first handshakes", None),
    ("pure handshakes", "raw curve", None),
    ("boringtun handshakes", "raw curve", None),
    ("quinn-proto datagrams 1200", "raw ring 1200", None),
    ("boringtun datagrams 1200", "raw ring 1200", None),
    ("raw pure 1200", "raw ring 1200", None),
];

/// The table's lines.
pub(crate) fn rows(rates: &Rates) -> Vec<Row> {
    let rates_of = |name: &str| rates.get(name).map_or(&[][..], Vec::as_slice);
    let row = |&(name, reference, target): &(&'static str, &'static str, Option<f64>)| {
        let (values, references) = (rates_of(name), rates_of(reference));
        let mut ratios: Vec<f64> =
            values.iter().zip(references).map(|(value, reference)| value / reference).collect();
        Row {
            name,
            value: median(&mut values.to_vec()),
            reference,
            reference_value: median(&mut references.to_vec()),
            ratio: median(&mut ratios),
            target,
        }
    };
    COMPARED.iter().map(row).collect()
}

/// For people.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<28} {:>12}   {:<28} {:>12}  {:>6}  {:>6}  met\n",
        "measured", "a second", "reference", "a second", "ratio", "target"
    );
    for row in rows {
        let target = row.target.map_or(String::new(), |target| format!("{target:.2}"));
        let met = row.met().map_or("", |met| if met { "yes" } else { "no" });
        let (name, reference) = (row.name, row.reference);
        let (value, base, ratio) = (row.value, row.reference_value, row.ratio);
        let _ = writeln!(
            text,
            "{name:<28} {value:>12.0}   {reference:<28} {base:>12.0}  {ratio:>6.3}  {target:>6}  {met}"
        );
    }
    text
}

/// For programs: the fields of `thallus-sim bench --json`.
pub(crate) fn json(rows: &[Row]) -> String {
    let objects = rows.iter().map(|row| {
        let target = row.target.map_or("null".to_owned(), |target| target.to_string());
        let met = row.met().map_or("null".to_owned(), |met| met.to_string());
        format!(
            "{{\"name\":\"{}\",\"value\":{:.1},\"unit\":\"1/s\",\"reference\":\"{}\",\"reference_value\":{:.1},\
             \"ratio\":{:.4},\"target\":{target},\"met\":{met}}}",
            row.name,
            row.value,
            row.reference,
            row.reference_value,
            row.ratio
        )
    });
    format!("[{}]\n", objects.collect::<Vec<_>>().join(",\n "))
}
