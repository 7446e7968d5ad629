//! Names that may not be used, and words that may not be written.

use crate::rules::{BANNED, Banned, WORDS, Word};
use crate::source::{Finding, Source, Token};

/// Every banned name in `source`.
#[must_use]
pub(crate) fn banned_names(source: &Source) -> Vec<Finding> {
    BANNED.iter().filter(|rule| applies(rule, &source.file)).flat_map(|rule| uses(rule, source)).collect()
}

fn applies(rule: &Banned, file: &str) -> bool {
    let within = |places: &[&str]| places.iter().any(|place| file.starts_with(place));
    within(rule.within) && !within(rule.except)
}

fn uses(rule: &Banned, source: &Source) -> Vec<Finding> {
    let wanted: Vec<&str> = rule.tokens.split(' ').collect();
    let mut found = Vec::new();
    for (index, window) in source.tokens.windows(wanted.len()).enumerate() {
        let same = window.iter().zip(&wanted).all(|(token, want)| token.text == *want);
        let Some(first) = window.first().filter(|_| same) else { continue };
        let exempt = first.test && !rule.in_tests;
        if exempt || is_tuple_index(&source.tokens, index) || is_lifetime(&source.tokens, index) {
            continue;
        }
        let what = format!("`{}` may not be used here: {}", rule.tokens, rule.instead);
        found.push(Finding { file: source.file.clone(), line: first.line, what });
    }
    found
}

/// The lexer reads the `0.1` of `pair.0.1` as a float.
fn is_tuple_index(tokens: &[Token], index: usize) -> bool {
    let text = |back: usize| index.checked_sub(back).and_then(|i| tokens.get(i)).map(|t| t.text.as_str());
    tokens.get(index).is_some_and(|t| t.text == "1.0") && text(1) == Some(".") && text(2) != Some(".")
}

/// The `static` of `&'static mut T` is no item.
fn is_lifetime(tokens: &[Token], index: usize) -> bool {
    index.checked_sub(1).and_then(|i| tokens.get(i)).is_some_and(|t| t.text == "'")
}

/// Every banned word in `text`, comments and strings included.
#[must_use]
pub(crate) fn banned_words(file: &str, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for rule in WORDS.iter().filter(|rule| contains_word(rule, line)) {
            let word = format!("{}{}", rule.pieces.0, rule.pieces.1);
            let what = format!("`{word}` may not be written: {}", rule.instead);
            found.push(Finding { file: file.to_owned(), line: index + 1, what });
        }
    }
    found
}

/// Every place in the rules at which there is nothing: such a row allows or forbids nothing any more.
#[must_use]
pub(crate) fn gone<'a>(places: impl Iterator<Item = &'a str>, exists: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let finding = |place: &str| Finding {
        file: "tests/tests/tidy/rules.rs".to_owned(),
        line: 1,
        what: format!("names `{place}`, which is not there: correct the row, or take it out"),
    };
    places.filter(|place| !exists(place)).map(finding).collect()
}

/// Whether the word stands in `line` with no letter, digit, dot, dash or underscore before it, and, if
/// it ends in a letter, with none of the first two or the last after it.
fn contains_word(rule: &Word, line: &str) -> bool {
    let fold = |text: &str| if rule.any_case { text.to_lowercase() } else { text.to_owned() };
    let (word, line) = (fold(&format!("{}{}", rule.pieces.0, rule.pieces.1)), fold(line));
    line.match_indices(&word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let free_before = before.is_none_or(|c| !(c.is_alphanumeric() || matches!(c, '.' | '_' | '-')));
        let free_after = word.ends_with('/') || after.is_none_or(|c| !(c.is_alphanumeric() || c == '_'));
        free_before && free_after
    })
}

#[cfg(test)]
fn complaints(file: &str, text: &str) -> Vec<String> {
    let source = Source::parse(file, text, Source::is_test_file(file)).unwrap();
    banned_names(&source).iter().map(ToString::to_string).collect()
}

#[test]
fn places_that_are_gone_are_seen() {
    let found = gone(["a/", "a/b.rs", "a/c.rs"].into_iter(), &|place: &str| place != "a/c.rs");
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(lines.len() == 1 && lines[0].contains("names `a/c.rs`"), "{lines:?}");
}

/// One snippet for each row that a newcomer might write, with the number of complaints expected.
#[test]
fn each_banned_name_is_seen() {
    let core = "proto-core/src/link/mod.rs";
    let cases: &[(&str, &str, usize)] = &[
        (core, "use std::collections::HashMap;", 2),
        ("simulator/src/world.rs", "use std::collections::HashMap;", 1),
        ("io-tokio/src/lib.rs", "use std::collections::HashMap;", 0),
        (core, "fn f() { let a = Instant::now(); }", 1),
        (core, "fn f(now: Instant) -> Instant { now }", 0),
        ("simulator/src/draw.rs", "fn f() { rand::thread_rng(); getrandom(); }", 2),
        (core, "fn f(x: u64) -> f64 { x as f64 * 0.5 }", 3),
        (core, "fn f(x: ((u8, u8), u8)) -> u8 { x.0.1 }", 0),
        (core, "fn f() { for _ in 0..1.5 {} }", 1),
        (core, "static mut COUNT: u8 = 0;", 1),
        (core, "fn f(x: &'static mut u8) {}", 0),
        (core, "fn f() { unsafe { g() } }", 1),
        (core, "fn f() { let a: Rc<RefCell<u8>>; }", 2),
        (core, "fn f() { a.unwrap(); b.expect(\"x\"); panic!(); unreachable!() }", 4),
        (core, "fn f() { a.unwrap_or(0); a.expect_err(\"x\"); }", 0),
        (core, "#[cfg(feature = \"zoo\")] fn f() {}", 1),
        (core, "fn f() { if cfg!(not(feature = \"zoo\")) {} }", 1),
        ("proto-core/src/zoo.rs", "#[cfg(feature = \"zoo\")] fn f() {}", 0),
        ("proto-core/src/crypto/aead.rs", "#[cfg(all(test, feature = \"ring\"))] fn f() {}", 0),
        (core, "/// `HashMap` would do, f64 too. unsafe!\nconst A: &str = \"HashMap\";", 0),
        ("scenarios/src/main.rs", "fn f() { todo!() } fn g() { unimplemented!() }", 2),
        ("tests/tests/a.rs", "#[test]\n#[ignore]\nfn f() {}", 1),
        ("tests/tests/a.rs", "#[test]\n#[ignore = \"needs a radio\"]\nfn f() {}", 0),
    ];
    for (file, text, expected) in cases {
        let found = complaints(file, text);
        assert_eq!(found.len(), *expected, "{file}: {text}\n{found:#?}");
    }
}

#[test]
fn tests_may_use_std_and_unwrap() {
    let live = "fn f() { std::mem::drop(a.unwrap()) }";
    assert_eq!(complaints("proto-core/src/link/mod.rs", live).len(), 2);
    assert!(complaints("proto-core/src/link/tests.rs", live).is_empty());
    assert!(
        complaints("proto-core/src/link/mod.rs", &format!("#[cfg(test)] mod tests {{ {live} }}")).is_empty()
    );
    let after = format!("#[cfg(test)] mod tests {{ }} {live}");
    assert_eq!(complaints("proto-core/src/link/mod.rs", &after).len(), 2, "the mark ends with its item");
}

#[test]
fn the_complaint_names_the_place_and_the_replacement() {
    let found = complaints("simulator/src/a.rs", "\n\nuse std::time::SystemTime;");
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("simulator/src/a.rs:3: `SystemTime`"), "{}", found[0]);
    assert!(found[0].ends_with("wall time is an input with an error bound"), "{}", found[0]);
}

#[test]
fn each_banned_word_is_seen() {
    for rule in WORDS {
        let word = format!("{}{}", rule.pieces.0, rule.pieces.1);
        assert_eq!(banned_words("a.md", &format!("see {word} here")).len(), 1, "{word}");
        assert_eq!(banned_words("a.md", &format!("\nx{word}")).len(), 0, "{word} inside a longer word");
    }
    let (a, b) = WORDS[3].pieces;
    assert_eq!(banned_words("a.md", &format!("St{}", &format!("{a}{b}born")[2..])).len(), 0);
}
