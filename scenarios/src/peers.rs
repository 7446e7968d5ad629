//! What other mesh protocols reached in published runs, beside what this one reaches in the same procedures.
//!
//! A folder with `peers/freifunk1.csv`, `peers/convergence1.csv` and `peers/mobility1.csv` (eight protocols, measured by others:
//! meshnet-lab, 2024) and `topologies/freifunk-NAME.json`. Of each row of those files there is one run here. A column is
//! *held* when it is at least as good as that of the best peer; bytes and round trips are compared with those of peers that
//! deliver 99 % or more, for who delivers nothing sends nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::How;
use crate::fail::Usage;
use crate::params::Params;
use crate::report::{self, Origin};
use crate::scenarios;
use crate::topology::Topology;

/// Peers that deliver less are not asked what it cost them.
const DELIVERS_PERCENT: f64 = 99.0;

/// One cell of the table: our figure and the best of the peers'.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Row {
    /// Which published procedure.
    pub procedure: &'static str,
    /// On which network, or with which steps.
    pub world: String,
    /// What was measured, with its unit.
    pub column: &'static str,
    /// Our figure; absent when our run failed before it was measured.
    pub ours: Option<f64>,
    /// The best of the peers'; absent when none delivers enough to be asked.
    pub best: Option<f64>,
    /// Whose it is.
    pub peer: Option<String>,
    /// Whether ours is as good or better.
    pub held: bool,
    /// Figures of all peers.
    pub peers: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Freifunk {
    dataset: String,
    protocol: String,
    delivered_percent: f64,
    tx_bytes_per_node_per_s: f64,
    rtt_avg_ms: f64,
}

#[derive(Deserialize)]
struct Convergence {
    topology: String,
    nodes: u32,
    protocol: String,
    seconds_after_start: f64,
    delivered_percent: f64,
}

#[derive(Deserialize)]
struct Moving {
    step_seconds: u32,
    step_metres: u32,
    protocol: String,
    mean_delivered_percent: f64,
}

/// The figures of the peers in a folder.
pub struct Published {
    folder: PathBuf,
    freifunk: Vec<Freifunk>,
    convergence: Vec<Convergence>,
    mobility: Vec<Moving>,
}

impl Published {
    /// Reads the three files.
    ///
    /// # Errors
    /// When one cannot be read, or a line of it; says which.
    pub fn read(folder: &Path) -> Result<Published, Usage> {
        Ok(Published {
            folder: folder.to_owned(),
            freifunk: read(&folder.join("peers/freifunk1.csv"))?,
            convergence: read(&folder.join("peers/convergence1.csv"))?,
            mobility: read(&folder.join("peers/mobility1.csv"))?,
        })
    }

    /// Runs every procedure whose name contains `wanted`, and compares. `tell` hears of each run before it begins.
    ///
    /// # Errors
    /// When the graph of a network is not in the folder, or is none.
    pub fn compare(&self, wanted: &str, seed: u64, mut tell: impl FnMut(&str)) -> Result<Vec<Row>, Usage> {
        let mut rows = Vec::new();
        if "freifunk1".contains(wanted) {
            self.compare_freifunk(seed, &mut tell, &mut rows)?;
        }
        if "convergence1".contains(wanted) {
            self.compare_convergence(seed, &mut tell, &mut rows)?;
        }
        if "mobility1".contains(wanted) {
            self.compare_mobility(seed, &mut tell, &mut rows)?;
        }
        Ok(rows)
    }

    fn compare_freifunk(
        &self,
        seed: u64,
        tell: &mut impl FnMut(&str),
        rows: &mut Vec<Row>,
    ) -> Result<(), Usage> {
        for (dataset, peers) in by_world(&self.freifunk, |row| row.dataset.clone()) {
            let name = dataset.rsplit_once('-').map_or(dataset.as_str(), |(name, _)| name);
            let path = self.folder.join(format!("topologies/freifunk-{name}.json"));
            let bytes = fs::read(&path).map_err(|error| cannot_read(&path, &error))?;
            let topology = Topology::from_json(&bytes).map_err(|error| {
                Usage::new(error.to_string(), path.display().to_string(), "correct the file")
            })?;
            tell(&format!("freifunk1 {dataset}"));
            let params =
                Params { topology: Some((path.display().to_string(), topology)), ..Params::seed(seed) };
            let ours = metrics("freifunk", &params)?;
            let able = |row: &&Freifunk| row.delivered_percent >= DELIVERS_PERCENT;
            let column = |of: fn(&Freifunk) -> f64, all: bool| -> BTreeMap<String, f64> {
                let chosen = peers.iter().copied().filter(|row| all || able(row));
                chosen.map(|row| (row.protocol.clone(), of(row))).collect()
            };
            let mut push = |column, key, peers, most| {
                rows.push(row("freifunk1", &dataset, column, number(&ours, key), peers, most));
            };
            push("delivered_percent", "delivered_percent", column(|row| row.delivered_percent, true), true);
            push(
                "tx_bytes_per_node_per_s",
                "tx_bytes_per_node_per_s",
                column(|row| row.tx_bytes_per_node_per_s, false),
                false,
            );
            push("rtt_avg_ms", "rtt_avg_ms", column(|row| row.rtt_avg_ms, false), false);
        }
        Ok(())
    }

    fn compare_convergence(
        &self,
        seed: u64,
        tell: &mut impl FnMut(&str),
        rows: &mut Vec<Row>,
    ) -> Result<(), Usage> {
        for ((shape, nodes), of_shape) in by_world(&self.convergence, |row| (row.topology.clone(), row.nodes))
        {
            tell(&format!("convergence1 {shape} {nodes}"));
            let params = Params { nodes: Some(nodes), ..Params::seed(seed).with("shape", &shape) };
            let ours = metrics("convergence", &params)?;
            let mut peers = BTreeMap::new();
            for row in of_shape.iter().filter(|row| row.delivered_percent >= DELIVERS_PERCENT) {
                let first = peers.entry(row.protocol.clone()).or_insert(f64::INFINITY);
                *first = row.seconds_after_start.min(*first);
            }
            let world = format!("{shape}-{nodes}");
            rows.push(row(
                "convergence1",
                &world,
                "seconds_to_99",
                number(&ours, "seconds_to_99"),
                peers,
                false,
            ));
        }
        Ok(())
    }

    fn compare_mobility(
        &self,
        seed: u64,
        tell: &mut impl FnMut(&str),
        rows: &mut Vec<Row>,
    ) -> Result<(), Usage> {
        for ((seconds, metres), of_pace) in
            by_world(&self.mobility, |row| (row.step_seconds, row.step_metres))
        {
            tell(&format!("mobility1 {metres} m every {seconds} s"));
            let params = Params::seed(seed)
                .with("step_seconds", &seconds.to_string())
                .with("step_metres", &metres.to_string());
            let ours = metrics("mobility", &params)?;
            let peers =
                of_pace.iter().map(|row| (row.protocol.clone(), row.mean_delivered_percent)).collect();
            let key = "mean_delivered_percent";
            rows.push(row(
                "mobility1",
                &format!("{metres} m every {seconds} s"),
                key,
                number(&ours, key),
                peers,
                true,
            ));
        }
        Ok(())
    }
}

/// The lines of a file, by the world that they are about.
fn by_world<T, K: Ord>(lines: &[T], world: impl Fn(&T) -> K) -> BTreeMap<K, Vec<&T>> {
    let mut worlds: BTreeMap<K, Vec<&T>> = BTreeMap::new();
    for line in lines {
        worlds.entry(world(line)).or_default().push(line);
    }
    worlds
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Vec<T>, Usage> {
    let file = fs::File::open(path).map_err(|error| cannot_read(path, &error))?;
    csv::Reader::from_reader(file).into_deserialize().collect::<Result<_, _>>().map_err(|error| {
        Usage::new(error.to_string(), path.display().to_string(), "give the file as it was published")
    })
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Usage {
    let remedy = "give --data a folder with `peers` and `topologies` in it";
    Usage::new(format!("cannot be read: {error}"), path.display().to_string(), remedy)
}

/// What a run of a scenario measured.
fn metrics(name: &str, params: &Params) -> Result<BTreeMap<String, Value>, Usage> {
    let scenario = scenarios::find(name)?;
    let plan = scenario.make(params)?;
    let report = report::run(&plan, Origin::Named(scenario, params), How::default());
    // A run that broke off, or in which something happened that must not, has measured nothing.
    let broke = report.checker.is_some_and(|checker| checker != "promise");
    Ok(if broke { BTreeMap::new() } else { report.metrics })
}

fn number(metrics: &BTreeMap<String, Value>, key: &str) -> Option<f64> {
    metrics.get(key).and_then(Value::as_f64)
}

/// One cell; `most` says whether more is better.
fn row(
    procedure: &'static str,
    world: &str,
    column: &'static str,
    ours: Option<f64>,
    peers: BTreeMap<String, f64>,
    most: bool,
) -> Row {
    let sign = if most { -1.0 } else { 1.0 };
    let best = peers.iter().min_by(|a, b| (sign * a.1).total_cmp(&(sign * b.1)));
    let (peer, best) = best.map_or((None, None), |(peer, best)| (Some(peer.clone()), Some(*best)));
    let held = ours.is_some_and(|ours| best.is_none_or(|best| sign * ours <= sign * best));
    Row { procedure, world: world.to_owned(), column, ours, best, peer, held, peers }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_peer_is_the_one_with_most_or_least() {
        let peers = BTreeMap::from([("a".to_owned(), 90.0), ("b".to_owned(), 100.0)]);
        let most = row("freifunk1", "x", "delivered_percent", Some(100.0), peers.clone(), true);
        assert_eq!((most.peer.as_deref(), most.best, most.held), (Some("b"), Some(100.0), true));
        let least = row("freifunk1", "x", "rtt_avg_ms", Some(91.0), peers.clone(), false);
        assert_eq!((least.peer.as_deref(), least.held), (Some("a"), false));
        assert!(!row("freifunk1", "x", "rtt_avg_ms", None, peers, false).held);
        assert!(row("freifunk1", "x", "rtt_avg_ms", Some(1.0), BTreeMap::new(), false).held);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let Err(usage) = Published::read(Path::new("nowhere")) else { panic!("there is no such folder") };
        assert!(usage.to_string().contains("freifunk1.csv"), "{usage}");
    }
}
