//! What the one who starts a run may choose: seed, size, length, and the scenario's own keys.

use std::collections::BTreeMap;

use simulator::plan::units::{parse_ratio, parse_span, show_span};

use crate::fail::{Usage, nearest};
use crate::topology::Topology;

/// A key that `--set` knows for one scenario.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it is when nobody says, in the form in which it is given.
    pub default: &'static str,
    /// What it means, with its unit and range.
    pub help: &'static str,
}

/// Choices for one run. All but the seed are optional.
#[derive(Clone, Debug, Default)]
pub struct Params {
    /// What every draw is keyed with.
    pub seed: u64,
    /// How many nodes, where the scenario lets one choose.
    pub nodes: Option<u32>,
    /// How long the storm lasts, in virtual microseconds, where the scenario lets one choose.
    pub duration_us: Option<u64>,
    /// A real network, and the path it was read from.
    pub topology: Option<(String, Topology)>,
    /// The values of `--set`, checked against the scenario's keys.
    pub set: BTreeMap<String, String>,
    /// The planted bug that is live in every node.
    pub bug: Option<String>,
}

impl Params {
    /// Nothing but a seed.
    #[must_use]
    pub fn seed(seed: u64) -> Params {
        Params { seed, ..Params::default() }
    }

    /// The same choices for another seed.
    #[must_use]
    pub fn with_seed(&self, seed: u64) -> Params {
        Params { seed, ..self.clone() }
    }

    /// The same choices and one more.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Params {
        self.set.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The text of a key, or its default.
    fn text<'a>(&'a self, key: &Key) -> &'a str {
        self.set.get(key.name).map_or(key.default, String::as_str)
    }

    /// How many nodes, within `range`; `usual` when nobody says.
    ///
    /// # Errors
    /// When it is outside.
    pub fn nodes_within(&self, usual: u32, range: std::ops::RangeInclusive<u32>) -> Result<u32, Usage> {
        let nodes = self.nodes.unwrap_or(usual);
        if range.contains(&nodes) {
            return Ok(nodes);
        }
        Err(Usage::new(
            format!("{nodes} nodes; {} to {} make sense here", range.start(), range.end()),
            format!("--nodes {nodes}"),
            format!("leave it out for {usual}"),
        ))
    }

    /// A key that is one of these words.
    ///
    /// # Errors
    /// When it is another; offers the nearest.
    pub fn one_of<'a>(&self, key: &Key, words: &[&'a str]) -> Result<&'a str, Usage> {
        let text = self.text(key);
        words.iter().copied().find(|&word| word == text).ok_or_else(|| {
            let near = nearest(text, words.iter().copied());
            let offer = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
            Usage::new(
                format!("`{text}` is none of {}", words.join(", ")),
                format!("--set {}={text}", key.name),
                format!("{offer}{}", key.help),
            )
        })
    }

    /// A key that is a whole number within `range`.
    ///
    /// # Errors
    /// When it is no number or outside.
    pub fn number(&self, key: &Key, range: std::ops::RangeInclusive<u64>) -> Result<u64, Usage> {
        let text = self.text(key);
        let bad = || {
            Usage::new(
                format!("`{text}` is not a whole number from {} to {}", range.start(), range.end()),
                format!("--set {}={text}", key.name),
                format!("{}, for example --set {}={}", key.help, key.name, key.default),
            )
        };
        text.parse().ok().filter(|number| range.contains(number)).ok_or_else(bad)
    }

    /// A key that is a share: `90`, `90%` or `900000ppm`, at most `most_ppm` millionths.
    ///
    /// # Errors
    /// When it is no share or too large.
    pub fn share_ppm(&self, key: &Key, most_ppm: u32) -> Result<u32, Usage> {
        let text = self.text(key);
        let with_unit =
            if text.ends_with(|c: char| c.is_ascii_digit()) { format!("{text}%") } else { text.to_owned() };
        parse_ratio(&with_unit).ok().filter(|&ppm| ppm <= most_ppm).ok_or_else(|| {
            Usage::new(
                format!("`{text}` is not a share from 0 to {} per cent", most_ppm / 10_000),
                format!("--set {}={text}", key.name),
                format!("{}, for example --set {}={}", key.help, key.name, key.default),
            )
        })
    }

    /// A key that is a span of time, in microseconds, at most `most_us`.
    ///
    /// # Errors
    /// When it is no span or too long.
    pub fn span_us(&self, key: &Key, most_us: u64) -> Result<u64, Usage> {
        let text = self.text(key);
        let within = |us: u64| {
            let most = || format!("`{text}` is longer than {}", show_span(most_us));
            if us <= most_us { Ok(us) } else { Err(most()) }
        };
        parse_span(text).and_then(within).map_err(|why| {
            Usage::new(
                why,
                format!("--set {}={text}", key.name),
                format!("{}, for example --set {}={}", key.help, key.name, key.default),
            )
        })
    }

    /// The choices as they are given on a command line, seed included.
    #[must_use]
    pub fn as_args(&self) -> String {
        format!(" --seed {}{}", self.seed, self.choices_as_args())
    }

    /// The same without the seed: what all runs of a sweep have in common.
    #[must_use]
    pub fn choices_as_args(&self) -> String {
        let mut args = String::new();
        for (key, value) in &self.set {
            args += &format!(" --set {}", quote(&format!("{key}={value}")));
        }
        if let Some((path, _)) = &self.topology {
            args += &format!(" --topology {}", quote_path(path));
        }
        if let Some(nodes) = self.nodes {
            args += &format!(" --nodes {nodes}");
        }
        if let Some(us) = self.duration_us {
            args += &format!(" --duration {}", show_span(us));
        }
        if let Some(bug) = &self.bug {
            args += &format!(" --bug {bug}");
        }
        args
    }
}

/// A path as one word of a shell that no command takes for an option.
#[must_use]
pub fn quote_path(path: &str) -> String {
    if path.starts_with('-') { quote(&format!("./{path}")) } else { quote(path) }
}

/// The text as one word of a shell.
#[must_use]
pub fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=%:,+@".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOSS: Key = Key { name: "loss", default: "20", help: "loss each way in per cent, 0 to 90" };

    #[test]
    fn a_share_may_leave_its_unit_out() {
        for (text, ppm) in [("90", 900_000), ("0", 0), ("12.5", 125_000), ("33%", 330_000), ("5ppm", 5)] {
            assert_eq!(Params::seed(1).with("loss", text).share_ppm(&LOSS, 900_000).unwrap(), ppm);
        }
        assert_eq!(Params::seed(1).share_ppm(&LOSS, 900_000).unwrap(), 200_000);
        for text in ["91", "-1", "x", "", "1e1"] {
            let wrong = Params::seed(1).with("loss", text).share_ppm(&LOSS, 900_000).unwrap_err();
            assert!(wrong.to_string().contains("from 0 to 90"), "{wrong}");
        }
    }

    #[test]
    fn the_command_line_comes_back() {
        let mut params = Params::seed(7).with("loss", "20%").with("text", "it's");
        params.nodes = Some(5);
        params.duration_us = Some(3_600_000_000);
        assert_eq!(
            params.as_args(),
            r" --seed 7 --set loss=20% --set 'text=it'\''s' --nodes 5 --duration 1h"
        );
    }
}
