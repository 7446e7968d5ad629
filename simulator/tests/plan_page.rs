//! The page that a plan's error sends its author to (`docs/src/spec/simulator.md`) has every key there is, and none
//! that there is not. What there is says the reader of plans itself, when it is asked for a name that nobody has.

use std::collections::BTreeSet;
use std::path::Path;

use proto_core::limits::Limits;
use simulator::Plan;

/// What no key and no value is called.
const NOBODY: &str = "zzzzzzzz";

/// The tables of the page: the heading over each, and a plan that asks for an unknown key of what it describes.
const TABLES: [(&str, &str); 14] = [
    ("### Top level", "zzzzzzzz = 1"),
    ("### Node", "[[node]]\nzzzzzzzz = 1"),
    ("### Disk", "[[node]]\ndisk.zzzzzzzz = 1"),
    ("### Link", "[[link]]\nzzzzzzzz = 1"),
    ("### Radio", "[[link]]\nradio.zzzzzzzz = 1"),
    ("### Kinds of link", "[[link]]\nkind = \"zzzzzzzz\""),
    ("### Peer", "[[peer]]\nzzzzzzzz = 1"),
    ("### Flow", "[[flow]]\nzzzzzzzz = 1"),
    ("### Broadcast", "[[broadcast]]\nzzzzzzzz = 1"),
    ("### Member", "[[member]]\nzzzzzzzz = 1"),
    ("### Kinds of deed", "[[member]]\nwhat.zzzzzzzz.node = 1"),
    ("### Fault", "[[fault]]\nzzzzzzzz = 1"),
    ("### Kinds of fault", "[[fault]]\nwhat.zzzzzzzz.node = 1"),
    ("### Expect", "[expect]\nzzzzzzzz = 1"),
];

/// Keys that take one of several words: the heading under which the words stand, and a plan with none of them.
const WORDS: [(&str, &str); 10] = [
    ("### Node", "[[node]]\nprofile = \"zzzzzzzz\""),
    ("### Flow", "[[flow]]\ndelivery = \"zzzzzzzz\""),
    ("### Flow", "[[flow]]\nclass = \"zzzzzzzz\""),
    ("### Radio", "[[link]]\nradio.region = \"zzzzzzzz\""),
    ("### Radio", "[[link]]\nradio.duty = \"zzzzzzzz\""),
    ("### Radio", "[[link]]\nradio.access = \"zzzzzzzz\""),
    ("### Kinds of fault", "[[fault]]\nwhat.flood.kind = \"zzzzzzzz\""),
    ("### Kinds of deed", "[[member]]\nwhat.announce.role = \"zzzzzzzz\""),
    ("## Links", "[[fault]]\nwhat.nat.mapping = \"zzzzzzzz\""),
    ("## Links", "[[fault]]\nwhat.nat.filtering = \"zzzzzzzz\""),
];

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The lines between a heading and the next one.
fn section<'a>(page: &'a str, heading: &str) -> Vec<&'a str> {
    let rest = page.lines().skip_while(|line| *line != heading).skip(1);
    let lines: Vec<&str> = rest.take_while(|line| !line.starts_with('#')).collect();
    assert!(!lines.is_empty(), "the page has no `{heading}`");
    lines
}

/// The cells of each row whose first cell is a name in code, that name without its marks.
fn rows<'a>(page: &'a str, heading: &str) -> Vec<(String, Vec<&'a str>)> {
    let rows = section(page, heading).into_iter().filter(|line| line.starts_with("| `"));
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        (cells[0].trim_matches('`').to_owned(), cells)
    })
    .collect()
}

fn first_cells(page: &str, heading: &str) -> BTreeSet<String> {
    let rows = rows(page, heading);
    let names: BTreeSet<String> = rows.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names.len(), rows.len(), "a row stands twice under `{heading}`");
    names
}

/// The names that the reader of plans expected where `text` has [`NOBODY`].
fn expected(text: &str) -> BTreeSet<String> {
    let message = Plan::from_toml(text).expect_err(text).message;
    assert!(message.contains(NOBODY), "{text}: {message}");
    // It says so in two ways, as `plan/text.rs` knows.
    let names: BTreeSet<String> = match message.split_once("available keys: ") {
        Some((_, list)) => list.split(", ").map(str::to_owned).collect(),
        None => {
            let list = message.split_once(", expected ").map(|(_, list)| list).unwrap_or_default();
            list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
        }
    };
    assert!(!names.is_empty(), "{text}: {message}");
    names
}

#[test]
fn the_tables_of_the_page_have_every_key_and_no_other() {
    let page = page("spec/simulator.md");
    for (heading, text) in TABLES {
        assert_eq!(first_cells(&page, heading), expected(text), "{heading}");
    }
    for (heading, text) in WORDS {
        let lines = section(&page, heading).join("\n");
        for word in expected(text) {
            assert!(lines.contains(&format!("`{word}`")), "no `{word}` under `{heading}`");
        }
    }
}

/// The second cell of each kind is its fields, one after a `; ` and each with its name in front.
#[test]
fn the_page_has_every_field_of_every_fault() {
    let page = page("spec/simulator.md");
    for (kind, cells) in rows(&page, "### Kinds of fault") {
        let told: BTreeSet<String> =
            cells[1].split("; ").filter_map(|field| field.split('`').nth(1)).map(str::to_owned).collect();
        assert_eq!(told, expected(&format!("[[fault]]\nwhat.{kind}.zzzzzzzz = 1")), "{kind}");
    }
}

#[test]
fn the_page_has_every_limit() {
    // A struct's own words for itself: `Limits { links: 8, keepalive: 25000000us, ... }`.
    let words = format!("{:?}", Limits::SMALL);
    let fields = words.trim_start_matches("Limits {").trim_end_matches('}').split(',');
    let names: BTreeSet<String> = fields
        .filter_map(|field| field.split_once(": "))
        .map(|(name, value)| {
            let unit = if value.trim().ends_with("us") { "_us" } else { "" };
            format!("{}{unit}", name.trim())
        })
        .collect();
    assert_eq!(first_cells(&page("spec/simulator.md"), "### Limits"), names);
    for name in names {
        let text = format!("name = \"x\"\nduration = \"1s\"\n[[node]]\nlimits.{name} = 64\n");
        let message = Plan::from_toml(&text).err().map(|error| error.message).unwrap_or_default();
        assert!(!message.contains("there is no limit"), "{message}");
    }
}

#[test]
fn the_plans_that_the_pages_show_are_valid() {
    for name in ["spec/simulator.md", "simulate.md"] {
        let page = page(name);
        let plan = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
        let plan = plan.unwrap_or_else(|| panic!("{name} shows no plan"));
        Plan::from_toml(plan).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}
