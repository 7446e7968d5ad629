//! What the command says when it cannot do what was asked: what, where, what to do.

use std::fmt;

/// A mistake of the one who asked. Exit code 2; nothing was written.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct Usage {
    what: String,
    place: String,
    remedy: String,
}

impl Usage {
    /// What is wrong, where it stands, and what to do about it. None may be empty.
    pub fn new(what: impl Into<String>, place: impl Into<String>, remedy: impl Into<String>) -> Usage {
        Usage { what: what.into(), place: place.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}; {}", self.what, self.place, self.remedy)
    }
}

/// The known name closest to `given`, when it is close enough to be meant.
#[must_use]
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, name) = known.into_iter().map(|name| (distance(given, name), name)).min()?;
    (distance <= given.chars().count().max(3) / 2).then_some(name)
}

/// Levenshtein's edit distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let change = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered_when_it_is_near() {
        assert_eq!(nearest("soak-72", ["soak-72h", "clock-runs-wild"]), Some("soak-72h"));
        assert_eq!(nearest("nothing like it", ["soak-72h"]), None);
        assert_eq!(nearest("x", []), None);
    }
}
