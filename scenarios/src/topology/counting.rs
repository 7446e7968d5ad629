//! Two clerks counted the same houses, one from zero and one from one.
//!
//! `17_node_mesh_network` and `feymann_s_channel` of meshnet-lab declare n nodes as 0 to n-1 and link
//! them as 1 to n: the first declared name is in no link, and one link's end is a step past the last
//! declared one. Both lists mean the same n nodes. Read literally, the file would have a node too many
//! and a link to nobody.
//!
//! Only that exact form is taken for it: the declaration is a whole run of numbers from 0, the links
//! name only numbers from 1 to n, and n is among them. Any other name that the declaration does not have
//! stays an unknown node.

use std::collections::BTreeSet;

use super::NodeName;

/// The declared nodes by the links' count, when `declared` counts from zero and `linked` from one.
pub(super) fn as_the_links_count(
    declared: &[NodeName],
    linked: &BTreeSet<NodeName>,
) -> Option<Vec<NodeName>> {
    let first = declared.first()?;
    if declared.iter().zip(0..).any(|(name, number)| *name != spelled(number, first)) {
        return None;
    }
    let run: Vec<NodeName> = (1..).take(declared.len()).map(|number| spelled(number, first)).collect();
    let known: BTreeSet<&NodeName> = run.iter().collect();
    (run.last().is_some_and(|last| linked.contains(last)) && linked.iter().all(|name| known.contains(name)))
        .then_some(run)
}

/// `number` in the form of `like`: an integer, or hexadecimal text of the same width.
fn spelled(number: u32, like: &NodeName) -> NodeName {
    match like {
        NodeName::Number(_) => NodeName::Number(i64::from(number)),
        NodeName::Text(text) => NodeName::Text(format!("{number:0width$x}", width = text.len())),
    }
}
