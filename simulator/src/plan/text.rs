//! Plans as TOML: read with the place of every mistake, written so that people can edit them.

use super::Plan;
use super::check::{Place, Step};

/// What is wrong with a plan's text, and where.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct PlanError {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// What is wrong and what to do.
    pub message: String,
}

impl Plan {
    /// Reads a plan. Unknown keys are errors.
    ///
    /// # Errors
    /// The first mistake, with line and column, and a suggestion where a name is close to a known one.
    pub fn from_toml(text: &str) -> Result<Plan, PlanError> {
        let mut plan: Plan = toml::from_str(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            at(text, offset, with_suggestion(error.message()))
        })?;
        for (position, fault) in plan.faults.iter_mut().enumerate() {
            if fault.id == 0 {
                fault.id = u32::try_from(position).unwrap_or(u32::MAX).saturating_add(1);
            }
        }
        plan.check()
            .map_err(|(place, message)| at(text, offset_of(text, &place), format!("{place}: {message}")))?;
        Ok(plan)
    }

    /// Writes the plan so that [`Plan::from_toml`] gives it back.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // Every value in a plan has a TOML form: strings, integers up to i64, lists and tables. A
        // failure would be a wrong type in this module, which the round-trip test would show.
        toml::to_string(self).unwrap_or_else(|error| format!("# this plan cannot be written: {error}\n"))
    }
}

fn at(text: &str, offset: usize, message: String) -> PlanError {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    PlanError { line: before.matches('\n').count() + 1, column: before[start..].chars().count() + 1, message }
}

/// Where the value at `place` stands in the text; as far down as the text goes.
fn offset_of(text: &str, place: &Place) -> usize {
    let Ok(document) = toml::de::DeTable::parse(text) else { return 0 };
    let mut offset = document.span().start;
    let mut table = Some(document.get_ref());
    let mut list: Option<&toml::de::DeArray<'_>> = None;
    for step in &place.0 {
        let next = match step {
            Step::Key(key) => table.and_then(|table| table.get(key.as_str())),
            Step::At(at) => list.and_then(|list| list.get(*at)),
        };
        let Some(value) = next else { break };
        offset = value.span().start;
        table = value.get_ref().as_table();
        list = value.get_ref().as_array();
    }
    offset
}

/// Adds "did you mean" to the reader's message about an unknown name. The reader has two ways to say it:
/// `unknown field `x`, expected one of `a`, `b`` and `unexpected keys in table: x, available keys: a, b`.
fn with_suggestion(message: &str) -> String {
    let (given, known): (&str, Vec<&str>) = if message.starts_with("unknown ") {
        let mut names = message.split('`').skip(1).step_by(2);
        (names.next().unwrap_or(""), names.collect())
    } else if let Some((given, known)) = message
        .strip_prefix("unexpected keys in table: ")
        .and_then(|rest| rest.split_once(", available keys: "))
    {
        (given, known.split(", ").collect())
    } else {
        return message.to_owned();
    };
    let best = nearest(given, known.into_iter());
    if best.is_empty() || distance(given, best) > given.chars().count().max(3) / 2 {
        return message.to_owned();
    }
    format!("{message}; did you mean `{best}`?")
}

/// The known name closest to `given`, rather one that begins with it; empty when there is none.
pub(super) fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> &'a str {
    let far = |name: &&str| (given.is_empty() || !name.starts_with(given), distance(given, name));
    known.min_by_key(far).unwrap_or("")
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
    use crate::plan::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_that_begins_alike_is_nearer_than_one_that_looks_alike() {
        let keys = ["cost", "loss_there", "loss_back", "rate"];
        for (given, meant) in [("loss", "loss_back"), ("rat", "rate"), ("cots", "cost"), ("", "cost")] {
            assert_eq!(nearest(given, keys.into_iter()), meant, "{given}");
        }
    }

    const GOOD: &str = r#"
name = "two"
duration = "10s"
[[node]]
count = 2
[[link]]
members = [0, 1]
kind = "wifi"
loss_there = "90%"
[[peer]]
node = 0
to = 1
[[flow]]
from = 0
to = 1
count = 3
size = [1, 100]
delivery = "durable"
[[fault]]
start = "1s"
end = "2s"
what.burst = { enter = "1%", leave = "10%", loss = "100%" }
"#;

    fn error(text: &str) -> PlanError {
        Plan::from_toml(text).expect_err("a mistake")
    }

    #[test]
    fn a_plan_reads_as_it_is_written() {
        let plan = Plan::from_toml(GOOD).unwrap();
        assert_eq!(plan.node_count(), 2);
        assert_eq!(plan.links[0].loss_there_ppm, 900_000);
        assert_eq!(plan.faults[0].id, 1);
        assert_eq!(plan.faults[0].what.name(), "burst");
        assert_eq!(Plan::from_toml(&plan.to_toml()).unwrap(), plan);
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_place_and_a_suggestion() {
        let wrong = error(&GOOD.replace("loss_there", "loss_thre"));
        assert_eq!((wrong.line, wrong.column), (9, 1));
        assert!(wrong.message.contains("did you mean `loss_there`"), "{wrong}");
        let wrong = error(&GOOD.replace("\"wifi\"", "\"wify\""));
        assert_eq!((wrong.line, wrong.column), (8, 8));
        assert!(wrong.message.contains("did you mean `wifi`"), "{wrong}");
        let wrong = error(&GOOD.replace("leave", "leafe"));
        assert_eq!(wrong.line, 22);
        assert!(wrong.message.contains("did you mean `leave`"), "{wrong}");
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_its_place() {
        let cases = [
            ("members = [0, 1]", "members = [0, 7]", (7, 11), "no node 7"),
            ("count = 2", "count = 0", (5, 9), "at least 1"),
            ("to = 1\n[[flow]]", "to = 0\n[[flow]]", (12, 6), "own peer"),
            ("end = \"2s\"", "end = \"0s\"", (21, 7), "before `start`"),
            ("\"90%\"", "\"190%\"", (9, 14), "at most 100%"),
            ("end = \"2s\"", "end = \"18446744073709551615us\"", (21, 7), "at most 104249d"),
            ("duration = \"10s\"", "duration = 9007199254740993", (3, 12), "at most 104249d"),
            ("count = 3", "count = 1099511627777", (16, 9), "at most 2^40"),
            ("duration = \"10s\"", "duration = \"10 parsecs\"", (3, 12), "units"),
            ("size = [1, 100]", "size = [9, 1]", (17, 8), "smaller first"),
            ("kind = \"wifi\"", "kind = \"wifi\"\nmtu = 63", (9, 7), "64 to 65507"),
            ("name = \"two\"", "name = \"two", (2, 12), ""),
            ("[[node]]\ncount = 2", "", (4, 1), "node"),
        ];
        for (from, to, place, part) in cases {
            let wrong = error(&GOOD.replacen(from, to, 1));
            assert!(wrong.message.contains(part), "{to}: {wrong}");
            if !to.is_empty() {
                assert_eq!((wrong.line, wrong.column), place, "{to}: {wrong}");
            }
        }
    }

    #[test]
    fn a_translator_is_refused_where_it_cannot_stand() {
        let with = |nat: &str| {
            let burst = "what.burst = { enter = \"1%\", leave = \"10%\", loss = \"100%\" }";
            let three = GOOD.replacen("count = 2", "count = 3", 1);
            Plan::from_toml(&three.replacen(burst, &format!("what.nat = {nat}"), 1))
        };
        let plan = with("{ node = 1, filtering = \"endpoint-independent\" }").unwrap();
        let What::Nat { mapping, filtering, expire_us, .. } = plan.faults[0].what else { panic!() };
        let (narrow, wide) = (Dependence::AddressAndPortDependent, Dependence::EndpointIndependent);
        assert_eq!((mapping, filtering, expire_us), (narrow, wide, 120_000_000));
        for (nat, part) in [
            ("{ node = 3 }", "there is no node 3"),
            ("{ node = 2, links = [0] }", "node 2 is not on link 0"),
            ("{ node = 0, links = [1] }", "there is no link 1"),
            ("{ node = 0, expire = \"0s\" }", "`expire` must be at least 1ms"),
            ("{ node = 0, mapping = \"address-dependant\" }", "did you mean `address-dependent`"),
        ] {
            let wrong = with(nat).expect_err(nat);
            assert!(wrong.message.contains(part) && wrong.line == 22, "{nat}: {wrong}");
        }
    }

    #[test]
    fn a_name_that_is_no_plain_file_name_is_refused_with_its_place() {
        let named = |name: &str| Plan::from_toml(&GOOD.replacen("\"two\"", &format!("'{name}'"), 1));
        let long = "x".repeat(64);
        for good in ["a", "two-huts", "Two_huts.v2", "0", "a..b", "-", long.as_str()] {
            assert_eq!(named(good).map(|plan| plan.name), Ok(good.to_owned()));
        }
        let too_long = "x".repeat(65);
        let bad = ["", ".", "..", ".hidden", "../evil", "/x", "a/b", r"a\b", "a b", "a:b", "h\u{fc}tte"];
        for bad in bad.into_iter().chain([too_long.as_str()]) {
            let wrong = named(bad).expect_err(bad);
            assert_eq!((wrong.line, wrong.column), (2, 8), "{bad}: {wrong}");
            assert!(wrong.message.starts_with("name: a plan's name is 1 to 64"), "{bad}: {wrong}");
        }
        let zero = GOOD.replacen("\"two\"", "\"a\\u0000b\"", 1);
        assert!(error(&zero).message.contains("a plan's name"), "a zero byte");
    }

    #[test]
    fn an_unknown_bug_is_refused_with_a_suggestion() {
        let wrong = error(&GOOD.replace("count = 2", "count = 2\nbug = \"nonce-resett\""));
        assert!(wrong.message.contains("did you mean `nonce-reset`"), "{wrong}");
        assert_eq!((wrong.line, wrong.column), (6, 7));
    }

    #[test]
    fn a_large_seed_survives() {
        let mut plan = Plan::from_toml(GOOD).unwrap();
        plan.seed = u64::MAX;
        assert_eq!(Plan::from_toml(&plan.to_toml()).unwrap().seed, u64::MAX);
    }

    proptest! {
        #[test]
        fn every_drawn_plan_survives_its_text(seed in any::<u64>()) {
            let plan = Plan::draw(seed);
            prop_assert_eq!(plan.check(), Ok(()));
            let text = plan.to_toml();
            prop_assert_eq!(Plan::from_toml(&text), Ok(plan), "{}", text);
        }

        #[test]
        fn a_damaged_text_never_panics(at in 0..GOOD.len(), byte in 32_u8..127) {
            let mut text = GOOD.as_bytes().to_vec();
            text[at] = byte;
            let _ = Plan::from_toml(&String::from_utf8(text).unwrap());
        }
    }
}
