//! The text form of plans.

use arbitrary::Unstructured;
use simulator::Plan;

use crate::fuzz::spoil::spoil;

/// Plans as text: any text, and plans that were drawn, written and spoiled. What is read can be written
/// and reads the same; a mistake has a place in the text.
///
/// # Panics
/// When one of these does not hold.
pub fn plan(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        read(text);
    }
    let mut u = Unstructured::new(bytes);
    let Ok(seed) = u.int_in_range(0..=255_u64) else { return };
    let drawn = Plan::draw(seed);
    let mut text = drawn.to_toml().into_bytes();
    if spoil(&mut u, &mut text).is_ok()
        && let Ok(text) = std::str::from_utf8(&text)
    {
        read(text);
    }
}

fn read(text: &str) {
    match Plan::from_toml(text) {
        Ok(plan) => assert_eq!(Plan::from_toml(&plan.to_toml()), Ok(plan)),
        Err(error) => {
            assert!(!error.message.is_empty());
            assert!((1..=text.lines().count().max(1) + 1).contains(&error.line), "{error}");
            let line = text.lines().nth(error.line - 1).unwrap_or_default();
            assert!((1..=line.chars().count() + 2).contains(&error.column), "{error}");
        }
    }
}
