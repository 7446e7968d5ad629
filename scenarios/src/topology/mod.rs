//! Reads the graph of a real network.
//!
//! A community network drew a map of itself one afternoon: who hears whom, and how much of what one
//! says reaches the other. The file is as untidy as the network. One node is called `973`, another
//! `"973"`, and they are two nodes; some directions carry nothing at all; whole villages hang on
//! nobody. The form is meshnet-lab's (M. Warning, github.com/mwarning/meshnet-lab): a JSON object
//! with `links` of `source` and `target`, and perhaps `nodes` of `id`.
//!
//! The rules, where the form leaves something open:
//!
//! - `source_tq` is the share of packets from source to target that arrive, `target_tq` of those back,
//!   0 to 1; absent or `null` means 1. It is read digit by digit into millionths, to the nearest one
//!   (but a quality above 0 never becomes 0). At 0 there is no link that way.
//! - `nodes` with every id once is a declaration: a link to a node that is not in it is an error. When
//!   ids repeat in it (Berlin's), it is a list of descriptions, and the links alone say who there is.
//! - A declaration of n nodes that counts from 0 beside links that count from 1 (`17_node_mesh_network`
//!   declares 0000 to 0010 and links 0001 to 0011) is read as the n nodes of the links. See `counting.rs`.
//! - A link from a node to itself carries nothing and is left out. Several links between the same two
//!   nodes become one, in each direction with the best quality of them. Both are counted.

mod counting;
pub mod mobility;
pub mod shapes;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A node's name in the file. An integer and a string of the same digits are different nodes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum NodeName {
    /// As in `"id": 973`.
    Number(i64),
    /// As in `"id": "973"`.
    Text(String),
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodeName::Number(number) => write!(f, "{number}"),
            NodeName::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// One link between two different nodes, by their positions in [`Topology::nodes`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopologyLink {
    /// One end.
    pub source: u32,
    /// The other.
    pub target: u32,
    /// Share of packets from source to target that arrive, in millionths; 0 means none ever does.
    pub there_ppm: u32,
    /// Share of packets from target to source that arrive, in millionths.
    pub back_ppm: u32,
}

/// A network's graph.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Topology {
    /// Who there is, in the order of the file: declared nodes first, then as links name them.
    pub nodes: Vec<NodeName>,
    /// Who hears whom; at most one link between any two.
    pub links: Vec<TopologyLink>,
    /// Links from a node to itself that were left out.
    pub self_links: u32,
    /// Links between two nodes that another one already connected.
    pub merged_links: u32,
    /// Whether `nodes` was there but named ids twice, so that it declares nothing.
    pub nodes_ambiguous: bool,
    /// Whether `nodes` counts from 0 and the links from 1, so that the links' numbers are the nodes'.
    pub nodes_counted_from_zero: bool,
}

/// What is wrong with a file, and where.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct TopologyError {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// What is wrong and what to do.
    pub message: String,
}

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow, default)]
    nodes: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    links: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct NodeEntry<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct LinkEntry<'a> {
    #[serde(borrow)]
    source: Option<&'a RawValue>,
    #[serde(borrow)]
    target: Option<&'a RawValue>,
    #[serde(borrow)]
    source_tq: Option<&'a RawValue>,
    #[serde(borrow)]
    target_tq: Option<&'a RawValue>,
}

/// The text being read, for places in it.
struct Source<'a>(&'a str);

impl Source<'_> {
    fn error(&self, offset: usize, message: impl Into<String>) -> TopologyError {
        let before = self.0.get(..offset.min(self.0.len())).unwrap_or(self.0);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        TopologyError {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: message.into(),
        }
    }

    /// An error at `part`, which is a piece of this text.
    fn error_at(&self, part: &RawValue, message: impl Into<String>) -> TopologyError {
        let offset = (part.get().as_ptr() as usize).saturating_sub(self.0.as_ptr() as usize);
        self.error(offset, message)
    }

    fn name(&self, raw: &RawValue, what: &str) -> Result<NodeName, TopologyError> {
        let text = raw.get();
        if text.starts_with('"') {
            let name: Cow<'_, str> = serde_json::from_str(text)
                .map_err(|error| self.error_at(raw, format!("{what} is no valid string: {error}")))?;
            return Ok(NodeName::Text(name.into_owned()));
        }
        text.parse().map(NodeName::Number).map_err(|_| {
            self.error_at(raw, format!("{what} must be an integer or a string, not {}", shorten(text)))
        })
    }

    fn quality(&self, raw: Option<&RawValue>, what: &str) -> Result<u32, TopologyError> {
        let Some(raw) = raw.filter(|raw| raw.get() != "null") else { return Ok(1_000_000) };
        decimal_ppm(raw.get()).ok_or_else(|| {
            self.error_at(raw, format!("{what} must be a number from 0 to 1, not {}", shorten(raw.get())))
        })
    }
}

/// A JSON object as a struct. serde would take a list as well.
fn object<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok().filter(|_| raw.get().starts_with('{'))
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= 40 {
        text.to_owned()
    } else {
        text.chars().take(37).chain("...".chars()).collect()
    }
}

/// A JSON number from 0 to 1 in millionths, to the nearest; never 0 for a number above 0. `None` when
/// the text is no such number.
fn decimal_ppm(text: &str) -> Option<u32> {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => {
            (number, exponent.strip_prefix('+').unwrap_or(exponent).parse::<i32>().ok()?)
        }
        None => (text, 0),
    };
    let (negative, number) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // The digits form one integer; `point` says how many of them stand before the decimal point.
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|byte| byte - b'0').collect();
    let zeros = digits.iter().take_while(|&&digit| digit == 0).count();
    let digits = &digits[zeros..];
    if digits.is_empty() {
        return Some(0);
    }
    let point = i64::try_from(whole.len()).ok()? + i64::from(exponent) - i64::try_from(zeros).ok()?;
    if negative || point > 1 {
        return None;
    }
    let digit = |place: i64| {
        usize::try_from(point + place).ok().and_then(|at| digits.get(at)).copied().map_or(0, u64::from)
    };
    // Place -1 is the unit, 0 the first decimal, 6 the first that is rounded.
    let ppm = (-1..6).fold(0, |sum, place| sum * 10 + digit(place)) + u64::from(digit(6) >= 5);
    let beyond = ppm > 1_000_000
        || (ppm == 1_000_000 && digit(-1) == 1 && digits.iter().skip(1).any(|&digit| digit != 0));
    if beyond { None } else { u32::try_from(ppm.max(1)).ok() }
}

impl Topology {
    /// Reads a file's bytes.
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub fn from_json(bytes: &[u8]) -> Result<Topology, TopologyError> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let valid = String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or_default());
            Source(&valid).error(valid.len(), "this byte is not UTF-8; save the file as UTF-8 JSON")
        })?;
        let source = Source(text.strip_prefix('\u{feff}').unwrap_or(text));
        // serde would take a list for a struct.
        let start = source.0.len() - source.0.trim_start().len();
        if source.0[start..].starts_with('[') {
            return Err(
                source.error(start, "expected an object with a list `links` and perhaps a list `nodes`")
            );
        }
        let file: File<'_> = serde_json::from_str(source.0).map_err(|error| TopologyError {
            line: error.line().max(1),
            column: error.column().max(1),
            message: format!(
                "{}; expected an object with a list `links` and perhaps a list `nodes`",
                strip_place(&error.to_string())
            ),
        })?;
        let mut reading = Reading::default();
        if let Some(nodes) = &file.nodes {
            reading.declare(&source, nodes, &file.links)?;
        }
        for raw in &file.links {
            reading.link(&source, raw)?;
        }
        Ok(reading.topology)
    }

    /// How many of the directions carry nothing, and how many links carry one direction only.
    #[must_use]
    pub fn dead_and_one_way(&self) -> (usize, usize) {
        let dead = self.links.iter().filter(|link| link.there_ppm == 0 && link.back_ppm == 0).count();
        let one_way = self.links.iter().filter(|link| (link.there_ppm == 0) != (link.back_ppm == 0)).count();
        (dead, one_way)
    }

    /// How many parts the network falls into, counting links that carry both directions.
    #[must_use]
    pub fn components(&self) -> usize {
        let mut parent: Vec<usize> = (0..self.nodes.len()).collect();
        let mut count = parent.len();
        for link in self.links.iter().filter(|link| link.there_ppm > 0 && link.back_ppm > 0) {
            let (a, b) = (root(&mut parent, link.source as usize), root(&mut parent, link.target as usize));
            if a != b {
                parent[a] = b;
                count -= 1;
            }
        }
        count
    }

    /// How many links each node has, whether or not they carry anything.
    #[must_use]
    pub fn degrees(&self) -> Vec<u32> {
        let mut degrees = vec![0; self.nodes.len()];
        for link in &self.links {
            degrees[link.source as usize] += 1;
            degrees[link.target as usize] += 1;
        }
        degrees
    }
}

fn root(parent: &mut [usize], mut node: usize) -> usize {
    while parent[node] != node {
        parent[node] = parent[parent[node]];
        node = parent[node];
    }
    node
}

/// serde_json ends its messages with the place, which is said first here.
pub(crate) fn strip_place(message: &str) -> &str {
    message.rfind(" at line ").map_or(message, |at| &message[..at])
}

/// Every name that a link bears. What is wrong with a link is said when it is read.
fn linked(source: &Source<'_>, links: &[&RawValue]) -> BTreeSet<NodeName> {
    let ends = links.iter().filter_map(|raw| object::<LinkEntry<'_>>(raw));
    let ends = ends.flat_map(|link| [link.source, link.target]).flatten();
    ends.filter_map(|end| source.name(end, "").ok()).collect()
}

/// What has been read so far.
#[derive(Default)]
struct Reading {
    topology: Topology,
    numbers: BTreeMap<NodeName, u32>,
    pairs: BTreeMap<(u32, u32), usize>,
    declared: bool,
}

impl Reading {
    fn declare(
        &mut self,
        source: &Source<'_>,
        nodes: &[&RawValue],
        links: &[&RawValue],
    ) -> Result<(), TopologyError> {
        let mut names = Vec::with_capacity(nodes.len());
        for raw in nodes {
            let entry = object::<NodeEntry<'_>>(raw)
                .ok_or_else(|| source.error_at(raw, "a node must be an object with one `id`"))?;
            let id = entry.id.ok_or_else(|| source.error_at(raw, "this node has no `id`"))?;
            names.push(source.name(id, "a node's `id`")?);
        }
        let distinct = names.iter().collect::<BTreeSet<_>>().len();
        self.topology.nodes_ambiguous = distinct != names.len();
        self.declared = !names.is_empty() && !self.topology.nodes_ambiguous;
        if self.declared {
            if let Some(counted) = counting::as_the_links_count(&names, &linked(source, links)) {
                self.topology.nodes_counted_from_zero = true;
                names = counted;
            }
            for name in names {
                self.number(&name);
            }
        }
        Ok(())
    }

    fn number(&mut self, name: &NodeName) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = self.topology.nodes.len() as u32;
        self.topology.nodes.push(name.clone());
        self.numbers.insert(name.clone(), number);
        number
    }

    fn end(
        &mut self,
        source: &Source<'_>,
        raw: &RawValue,
        end: Option<&RawValue>,
        what: &str,
    ) -> Result<u32, TopologyError> {
        let end = end.ok_or_else(|| source.error_at(raw, format!("this link has no `{what}`")))?;
        let name = source.name(end, &format!("`{what}`"))?;
        if self.declared && !self.numbers.contains_key(&name) {
            let twin = match &name {
                NodeName::Number(number) => NodeName::Text(number.to_string()),
                NodeName::Text(text) => text.parse().map_or_else(|_| name.clone(), NodeName::Number),
            };
            let hint = if self.numbers.contains_key(&twin) {
                format!("; there is {twin}, which is another name")
            } else {
                String::new()
            };
            return Err(source.error_at(
                end,
                format!("`{what}` names node {name}, which `nodes` does not list{hint}; add it there, or leave `nodes` out"),
            ));
        }
        Ok(self.number(&name))
    }

    fn link(&mut self, source: &Source<'_>, raw: &RawValue) -> Result<(), TopologyError> {
        let entry = object::<LinkEntry<'_>>(raw).ok_or_else(|| {
            source.error_at(
                raw,
                "a link must be an object with one `source`, one `target` and at most one quality each way",
            )
        })?;
        let from = self.end(source, raw, entry.source, "source")?;
        let to = self.end(source, raw, entry.target, "target")?;
        let there_ppm = source.quality(entry.source_tq, "`source_tq`")?;
        let back_ppm = source.quality(entry.target_tq, "`target_tq`")?;
        if from == to {
            self.topology.self_links += 1;
            return Ok(());
        }
        if let Some(&at) = self.pairs.get(&(from.min(to), from.max(to))) {
            let known = &mut self.topology.links[at];
            let (there, back) =
                if known.source == from { (there_ppm, back_ppm) } else { (back_ppm, there_ppm) };
            known.there_ppm = known.there_ppm.max(there);
            known.back_ppm = known.back_ppm.max(back);
            self.topology.merged_links += 1;
            return Ok(());
        }
        self.pairs.insert((from.min(to), from.max(to)), self.topology.links.len());
        self.topology.links.push(TopologyLink { source: from, target: to, there_ppm, back_ppm });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
