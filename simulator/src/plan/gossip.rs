//! What is said to all members of a network, and what members do besides.

use serde::{Deserialize, Serialize};

use super::units;

/// Broadcasts of one node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BroadcastPlan {
    /// Who says it.
    pub from: u32,
    /// How many.
    pub count: u64,
    /// Bytes of each, drawn between the two; at least [`NAMED`](crate::app::NAMED), so that each says which one it is.
    pub size: (u32, u32),
    /// What they are about.
    #[serde(default)]
    pub topic: u32,
    /// When the first is said.
    #[serde(rename = "start", default, with = "units::span")]
    pub start_us: u64,
    /// Time between two; more than 0.
    #[serde(rename = "every", with = "units::span")]
    pub every_us: u64,
}

impl BroadcastPlan {
    /// `count` broadcasts of `bytes` bytes about topic 0, one each `every_us`.
    #[must_use]
    pub fn new(from: u32, count: u64, bytes: u32, every_us: u64) -> BroadcastPlan {
        BroadcastPlan { from, count, size: (bytes, bytes), topic: 0, start_us: 0, every_us }
    }

    /// What is wrong with it: the key, and what to do.
    pub(super) fn trouble(&self, nodes: u32) -> Option<(&'static str, String)> {
        let least = crate::app::NAMED;
        if self.from >= nodes {
            return Some(("from", format!("there is no node {}; the last is {}", self.from, nodes - 1)));
        }
        // What a message is known by holds 40 bits of its number.
        if self.count > 1 << 40 {
            return Some(("count", "at most 2^40 broadcasts; a second entry can have more".to_owned()));
        }
        if self.size.0 < least || self.size.0 > self.size.1 || self.size.1 > 16 * 1024 * 1024 {
            return Some(("size", format!("two numbers from {least} to 16777216, the smaller first")));
        }
        (self.every_us == 0).then(|| ("every", "must be more than 0".to_owned()))
    }
}

/// What a member does once, beside saying something to all.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberPlan {
    /// Who.
    pub node: u32,
    /// When. A node that is off then does not do it.
    #[serde(rename = "start", default, with = "units::span")]
    pub start_us: u64,
    /// What.
    pub what: Deed,
}

/// What a member can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Deed {
    /// It says that it goes, and nothing after that until it starts again.
    Leave {},
    /// It asks somebody to let it in.
    Join {
        /// Whom.
        contact: u32,
    },
    /// It says what it does and can do.
    Announce {
        /// What it does.
        role: Part,
        /// What it can do, a bit for each thing; below 2^62.
        #[serde(default)]
        capabilities: u64,
    },
}

/// What a member does for others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// It is always on; it votes and stores.
    Full,
    /// It passes on for others.
    Relay,
    /// It uses what others offer, and may sleep.
    Leaf,
}

impl MemberPlan {
    /// What is wrong with it: the key, and what to do.
    pub(super) fn trouble(&self, nodes: u32) -> Option<(&'static str, String)> {
        let nobody = |node: u32| format!("there is no node {node}; the last is {}", nodes - 1);
        if self.node >= nodes {
            return Some(("node", nobody(self.node)));
        }
        match self.what {
            Deed::Join { contact } if contact >= nodes => Some(("what", nobody(contact))),
            Deed::Join { contact } if contact == self.node => {
                Some(("what", format!("node {contact} is asked by itself; name another")))
            }
            Deed::Announce { capabilities, .. } if capabilities >> 62 != 0 => {
                Some(("what", "`capabilities` must be below 2^62".to_owned()))
            }
            Deed::Leave {} | Deed::Join { .. } | Deed::Announce { .. } => None,
        }
    }
}
