//! Text that people can mail, print and paste: certificates, statements, genesis records, key files.
//!
//! ```text
//! thallus certificate v1
//! 0a54080112...   (at most 32 bytes a line, in hexadecimal)
//! end 5f3a9c11
//! ```
//!
//! The last line holds the first four bytes of a BLAKE3 hash over kind and contents: a lost line or a
//! typing error is seen, and said, before anything is believed. Lines may end in CR LF and blank
//! lines and spaces at line ends do not matter, since mail programs add them.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use crate::crypto::hash::derive;

/// The longest contents in bytes.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;
const BYTES_PER_LINE: usize = 32;

/// What a text holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A device certificate: the public identity to hand to others.
    Certificate,
    /// A membership certificate.
    Membership,
    /// A statement to install.
    Statement,
    /// A genesis record.
    Genesis,
    /// An encrypted key file.
    KeyFile,
}

impl Kind {
    const ALL: [Kind; 5] =
        [Kind::Certificate, Kind::Membership, Kind::Statement, Kind::Genesis, Kind::KeyFile];

    /// The word in the first line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Certificate => "certificate",
            Kind::Membership => "membership",
            Kind::Statement => "statement",
            Kind::Genesis => "genesis",
            Kind::KeyFile => "key-file",
        }
    }
}

/// Why a text cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct TextError {
    /// Where, counted from 1.
    pub line: u32,
    /// What is wrong and what was expected.
    pub why: &'static str,
}

/// Writes `bytes` as text.
#[must_use]
pub fn export(kind: Kind, bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2 + bytes.len() / BYTES_PER_LINE + 48);
    // Writing to a string cannot fail.
    let _ = writeln!(text, "thallus {} v1", kind.name());
    for line in bytes.chunks(BYTES_PER_LINE) {
        for byte in line {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
    }
    text.push_str("end ");
    for byte in checksum(kind, bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\n');
    text
}

/// Reads a text of any kind.
///
/// # Errors
/// The first line that is wrong.
pub fn import(text: &str) -> Result<(Kind, Vec<u8>), TextError> {
    let mut lines = (1..).zip(text.lines()).map(|(number, line)| (number, line.trim()));
    let mut lines = lines.by_ref().filter(|(_, line)| !line.is_empty());
    let fail = |line, why| Err(TextError { line, why });
    let Some((number, head)) = lines.next() else { return fail(1, "empty") };
    let mut words = head.split_ascii_whitespace();
    let (thallus, name, version) = (words.next(), words.next(), words.next());
    if thallus != Some("thallus") || words.next().is_some() {
        return fail(number, "does not begin with a line such as: thallus certificate v1");
    }
    let Some(kind) = Kind::ALL.into_iter().find(|kind| Some(kind.name()) == name) else {
        return fail(number, "unknown kind of text");
    };
    if version != Some("v1") {
        return fail(number, "another version of the text format; v1 is understood");
    }
    let mut bytes = Vec::new();
    let mut last = number;
    for (number, line) in lines.by_ref() {
        if let Some(sum) = line.strip_prefix("end ") {
            let mut stated = Vec::new();
            if push_hex(sum, &mut stated).is_none() || stated != checksum(kind, &bytes) {
                return fail(number, "checksum does not match: a line is missing or was changed");
            }
            return match lines.next() {
                Some((number, _)) => fail(number, "something follows the last line"),
                None => Ok((kind, bytes)),
            };
        }
        if bytes.len() + line.len() / 2 > MAX_TEXT_BYTES {
            return fail(number, "longer than 64 KiB");
        }
        if push_hex(line, &mut bytes).is_none() {
            return fail(number, "not hexadecimal");
        }
        last = number;
    }
    fail(last, "ends without its last line: end, and eight hexadecimal digits")
}

fn checksum(kind: Kind, bytes: &[u8]) -> [u8; 4] {
    let sum = derive("thallus text checksum v1", &[kind.name().as_bytes(), &[0], bytes]);
    sum.first_chunk().copied().unwrap_or_default()
}

fn push_hex(line: &str, bytes: &mut Vec<u8>) -> Option<()> {
    let (pairs, rest) = line.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    for [high, low] in pairs {
        let high = char::from(*high).to_digit(16)?;
        let low = char::from(*low).to_digit(16)?;
        bytes.push(u8::try_from(high << 4 | low).ok()?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_text_looks_like_this() {
        let text = export(Kind::Genesis, &[0xab; 33]);
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("thallus genesis v1"));
        assert_eq!(lines.next(), Some("ab".repeat(32).as_str()));
        assert_eq!(lines.next(), Some("ab"));
        assert_eq!(lines.next(), Some("end 34ab0342"));
        assert_eq!(lines.next(), None);
    }

    #[test]
    fn what_mail_programs_do_is_harmless() {
        let text = export(Kind::Statement, b"contents").replace('\n', " \r\n\r\n");
        assert_eq!(import(&text), Ok((Kind::Statement, b"contents".to_vec())));
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let good = export(Kind::Certificate, &[7; 70]);
        let cases = [
            ("", 1, "empty"),
            ("hello", 1, "does not begin"),
            ("thallus banana v1", 1, "unknown kind"),
            ("thallus certificate v2\nend 00000000", 1, "another version"),
            ("thallus certificate v1\n0g\n", 2, "not hexadecimal"),
            ("thallus certificate v1\n0a0\n", 2, "not hexadecimal"),
            ("thallus certificate v1\n0a\n", 2, "ends without"),
            ("thallus certificate v1\n0a\nend 00000000\n", 3, "checksum"),
            (&std::format!("{good}more"), 6, "something follows"),
        ];
        for (text, line, why) in cases {
            let error = import(text).unwrap_err();
            assert_eq!(error.line, line, "{text}");
            assert!(error.why.starts_with(why), "{text}: {error}");
        }
        let huge = "00".repeat(MAX_TEXT_BYTES + 1);
        assert_eq!(
            import(&std::format!("thallus genesis v1\n{huge}")).unwrap_err().why,
            "longer than 64 KiB"
        );
        for skipped in 0..5 {
            let without: std::vec::Vec<_> =
                good.lines().enumerate().filter(|(i, _)| *i != skipped).map(|(_, line)| line).collect();
            assert!(import(&without.join("\n")).is_err(), "line {skipped} left out");
        }
    }

    proptest! {
        #[test]
        fn texts_round_trip(bytes: std::vec::Vec<u8>, kind in 0usize..5) {
            let kind = Kind::ALL[kind];
            prop_assert_eq!(import(&export(kind, &bytes)), Ok((kind, bytes)));
        }

        #[test]
        fn any_text_is_an_answer_not_a_panic(text: std::string::String) {
            let _ = import(&text);
            let _ = import(&std::format!("thallus genesis v1\n{text}"));
        }
    }
}
