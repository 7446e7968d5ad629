//! The bug zoo: planted bugs, and where each one must be seen.
//!
//! A green run means something only if a red one has been seen. Each row names a bug that a tired
//! programmer might have written, a scenario that must find it, the checker that must be the one to
//! say so, and within how many seeds. A bug that hides longer, or is reported by another checker,
//! fails the zoo.

use proto_core::zoo::Bug;
use serde::Serialize;

use crate::engine::How;
use crate::fail::Usage;
use crate::params::Params;
use crate::report::{self, Origin};

/// Where a planted bug must be seen.
#[derive(Clone, Copy, Debug)]
pub struct Exhibit {
    /// The bug.
    pub bug: Bug,
    /// The scenario that finds it.
    pub scenario: &'static str,
    /// Values for `--set`.
    pub set: &'static [(&'static str, &'static str)],
    /// The checker that guards what it breaks. A name that none bears is never reported, so it fails here.
    pub checker: &'static str,
    /// One of the seeds from 0 to one less than this finds it.
    pub seeds: u64,
}

/// The planted bugs, all of them.
pub const EXHIBITS: [Exhibit; 22] = [
    Exhibit { bug: Bug::ReplayWindowOff, scenario: "clock-runs-wild", set: &[], checker: "link", seeds: 3 },
    Exhibit { bug: Bug::NonceReset, scenario: "clock-runs-wild", set: &[], checker: "session", seeds: 3 },
    Exhibit { bug: Bug::AckBeforeStore, scenario: "crash-and-restart", set: &[], checker: "gate", seeds: 5 },
    Exhibit {
        bug: Bug::DedupeOff,
        scenario: "two-nodes-ninety-percent-loss",
        set: &[],
        checker: "link",
        seeds: 3,
    },
    Exhibit {
        bug: Bug::ReassemblyLeak,
        scenario: "bulk-over-bad-links",
        set: &[("loss", "0")],
        checker: "resources",
        seeds: 3,
    },
    Exhibit { bug: Bug::OrderIgnored, scenario: "clock-runs-wild", set: &[], checker: "link", seeds: 3 },
    Exhibit {
        bug: Bug::CookieOff,
        scenario: "flood-and-forgery",
        set: &[],
        checker: "amplification",
        seeds: 3,
    },
    Exhibit {
        bug: Bug::LossForgotten,
        scenario: "two-nodes-ninety-percent-loss",
        set: &[],
        checker: "calm",
        seeds: 3,
    },
    Exhibit { bug: Bug::SequenceReused, scenario: "crash-and-restart", set: &[], checker: "link", seeds: 10 },
    Exhibit {
        bug: Bug::AckGap,
        scenario: "two-nodes-ninety-percent-loss",
        set: &[],
        checker: "link",
        seeds: 3,
    },
    Exhibit {
        bug: Bug::EphemeralUnhedged,
        scenario: "cloned-device-wakes-up",
        set: &[],
        checker: "session",
        seeds: 10,
    },
    Exhibit {
        bug: Bug::LimitMisread,
        scenario: "bulk-over-bad-links",
        set: &[("loss", "0")],
        checker: "link",
        seeds: 1,
    },
    Exhibit { bug: Bug::HopUncounted, scenario: "freifunk", set: &[], checker: "routes", seeds: 1 },
    Exhibit {
        bug: Bug::OneEndIsEnough,
        scenario: "liars-on-the-mesh",
        set: &[("lies", "links")],
        checker: "next-hops",
        seeds: 3,
    },
    Exhibit {
        bug: Bug::OldRecordTaken,
        scenario: "liars-on-the-mesh",
        set: &[("lies", "replay")],
        checker: "next-hops",
        seeds: 3,
    },
    Exhibit {
        bug: Bug::RecordUnchecked,
        scenario: "liars-on-the-mesh",
        set: &[("lies", "forge")],
        checker: "next-hops",
        seeds: 3,
    },
    Exhibit { bug: Bug::TrailLost, scenario: "mobility", set: &[], checker: "routes", seeds: 3 },
    Exhibit {
        bug: Bug::DeadNextHop,
        scenario: "liars-on-the-mesh",
        set: &[("lies", "forge")],
        checker: "next-hops",
        seeds: 3,
    },
    Exhibit { bug: Bug::SummaryIgnored, scenario: "mobility", set: &[], checker: "promise", seeds: 3 },
    Exhibit {
        bug: Bug::PagesLost,
        scenario: "links-cut",
        set: &[("shape", "star")],
        checker: "next-hops",
        seeds: 1,
    },
    Exhibit {
        bug: Bug::CostUnsaid,
        scenario: "ninety-percent-loss-mesh",
        set: &[("pairs", "2")],
        checker: "next-hops",
        seeds: 3,
    },
    Exhibit {
        bug: Bug::RevokedStays,
        scenario: "node-dies-under-traffic",
        set: &[("end", "revoked")],
        checker: "next-hops",
        seeds: 1,
    },
];

/// What became of one exhibit.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Caught {
    /// The bug's name.
    pub bug: &'static str,
    /// The scenario.
    pub scenario: &'static str,
    /// The checker that must report it.
    pub expected: &'static str,
    /// Within this many seeds.
    pub within_seeds: u64,
    /// The first seed that found it.
    pub seed: Option<u64>,
    /// The checker that reported it.
    pub checker: Option<String>,
    /// What it said.
    pub reason: Option<String>,
    /// Whether the right checker found it in time.
    pub caught: bool,
    /// The command that shows it.
    pub replay: String,
}

/// Runs the exhibits whose bug has this name; all without one.
///
/// # Errors
/// An exhibit that names a scenario or key that is not there.
pub fn visit(name: Option<&str>, mut seen: impl FnMut(&Caught)) -> Result<Vec<Caught>, Usage> {
    let mut all = Vec::new();
    for (bug, bug_name) in Bug::ALL.into_iter().filter(|(_, bug)| name.is_none_or(|name| name == *bug)) {
        let exhibit = EXHIBITS.iter().find(|exhibit| exhibit.bug == bug).ok_or_else(|| {
            Usage::new(format!("`{bug_name}` is not on show"), "scenarios/src/zoo.rs", "add it to EXHIBITS")
        })?;
        let caught = look(exhibit, bug_name)?;
        seen(&caught);
        all.push(caught);
    }
    Ok(all)
}

fn look(exhibit: &Exhibit, bug: &'static str) -> Result<Caught, Usage> {
    let scenario = crate::scenarios::find(exhibit.scenario)?;
    let mut params = (scenario.quick)(Params { bug: Some(bug.to_owned()), ..Params::default() });
    for (key, value) in exhibit.set {
        params = params.with(key, value);
    }
    let mut caught = Caught {
        bug,
        scenario: exhibit.scenario,
        expected: exhibit.checker,
        within_seeds: exhibit.seeds,
        seed: None,
        checker: None,
        reason: None,
        caught: false,
        replay: String::new(),
    };
    for seed in 0..exhibit.seeds {
        let params = params.with_seed(seed);
        let report = report::run(&scenario.make(&params)?, Origin::Named(scenario, &params), How::default());
        caught.replay = report.replay;
        if let Some(checker) = report.checker {
            caught.caught = checker == exhibit.checker;
            (caught.seed, caught.checker, caught.reason) = (Some(seed), Some(checker), report.reason);
            break;
        }
    }
    Ok(caught)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_planted_bug_is_on_show() {
        for (bug, name) in Bug::ALL {
            let shown: Vec<&Exhibit> = EXHIBITS.iter().filter(|exhibit| exhibit.bug == bug).collect();
            assert_eq!(shown.len(), 1, "{name}");
            assert!(crate::scenarios::find(shown[0].scenario).is_ok(), "{name}");
        }
    }
}
