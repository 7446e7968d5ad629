//! How quantities read in a plan file: `"25ms"`, `"90%"`, `"10Mbit"`. A bare integer is microseconds,
//! millionths, or bits a second. Everything is an integer inside, so nothing is lost on the way.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserializer, Serializer};

const SPANS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("min", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];
const RATES: [(&str, u64); 4] = [("Gbit", 1_000_000_000), ("Mbit", 1_000_000), ("kbit", 1_000), ("bit", 1)];
const RATIOS: [(&str, u64); 2] = [("%", 10_000), ("ppm", 1)];

/// The longest span that a plan may name, in microseconds: 285 years. Clocks are wrong by decades, and sums of a
/// thousand spans stay within 64 bits.
pub const LONGEST_SPAN_US: u64 = 1 << 53;

/// Writes `value` in the largest unit that divides it.
fn write(value: u64, units: &[(&str, u64)]) -> String {
    if value == 0 {
        // Seconds, megabits, per cent: what people write for nothing.
        return format!("0{}", units[units.len() / 2 - usize::from(units.len() != 6)].0);
    }
    let (unit, size) =
        units.iter().find(|(_, size)| value.is_multiple_of(*size)).unwrap_or(&units[units.len() - 1]);
    format!("{}{unit}", value / size)
}

/// Reads a whole or decimal number and a unit. The result must be whole in the smallest unit.
fn read(text: &str, units: &[(&str, u64)]) -> Result<u64, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    let (number, unit) = (text[..split].replace('_', ""), text[split..].trim());
    let names = || units.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let size = units.iter().find(|(name, _)| *name == unit).map(|(_, size)| *size);
    let size = size.ok_or_else(|| format!("`{text}` needs a number and one of the units {}", names()))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number.as_str(), ""));
    let bad = || format!("`{text}` is not a number with a unit");
    let mut value: u64 =
        if whole.is_empty() && !fraction.is_empty() { 0 } else { whole.parse().map_err(|_| bad())? };
    value = value.checked_mul(size).ok_or_else(|| format!("`{text}` is too large"))?;
    let mut step = size;
    for digit in fraction.chars() {
        let digit = u64::from(digit.to_digit(10).ok_or_else(bad)?);
        if step % 10 != 0 && digit != 0 {
            return Err(format!("`{text}` is finer than the smallest unit"));
        }
        step /= 10;
        value = value.checked_add(digit * step).ok_or_else(|| format!("`{text}` is too large"))?;
    }
    Ok(value)
}

/// Reads a span such as `72h` into microseconds.
///
/// # Errors
/// What is wrong with the text, in words for its writer.
pub fn parse_span(text: &str) -> Result<u64, String> {
    bounded(read(text, &SPANS)?)
}

fn bounded(us: u64) -> Result<u64, String> {
    if us <= LONGEST_SPAN_US { Ok(us) } else { Err("a span is at most 104249d (285 years)".to_owned()) }
}

/// Reads a share such as `90%` into millionths.
///
/// # Errors
/// What is wrong with the text, in words for its writer.
pub fn parse_ratio(text: &str) -> Result<u32, String> {
    u32::try_from(read(text, &RATIOS)?).map_err(|_| format!("`{text}` is too large"))
}

/// Reads a rate such as `10Mbit` into bits a second.
///
/// # Errors
/// What is wrong with the text, in words for its writer.
pub fn parse_rate(text: &str) -> Result<u64, String> {
    read(text, &RATES)
}

/// Writes microseconds as [`parse_span`] reads them.
#[must_use]
pub fn show_span(us: u64) -> String {
    write(us, &SPANS)
}

struct Reading {
    units: &'static [(&'static str, u64)],
    what: &'static str,
}

impl Visitor<'_> for Reading {
    type Value = (bool, u64);
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(bool, u64), E> {
        Ok((false, value))
    }
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(bool, u64), E> {
        Ok((value < 0, value.unsigned_abs()))
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<(bool, u64), E> {
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        read(text, self.units).map(|value| (negative, value)).map_err(E::custom)
    }
}

const SPAN_HELP: &str = "a span such as \"25ms\" (us, ms, s, min, h, d)";
const RATIO_HELP: &str = "a share such as \"90%\" or \"250ppm\"";
const RATE_HELP: &str = "a rate such as \"10Mbit\" (bit, kbit, Mbit, Gbit)";

fn unsigned<'de, D: Deserializer<'de>>(
    de: D,
    units: &'static [(&'static str, u64)],
    what: &'static str,
) -> Result<u64, D::Error> {
    match de.deserialize_any(Reading { units, what })? {
        (true, value) if value != 0 => {
            Err(de::Error::custom(format!("must not be negative; expected {what}")))
        }
        (_, value) => Ok(value),
    }
}

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident, $type:ty, $units:ident, $help:ident, $check:expr) => {
        $(#[$doc])*
        pub(crate) mod $name {
            use super::*;
            pub(crate) fn serialize<S: Serializer>(value: &$type, ser: S) -> Result<S::Ok, S::Error> {
                ser.serialize_str(&write(u64::from(*value), &$units))
            }
            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(de: D) -> Result<$type, D::Error> {
                let value = $check(unsigned(de, &$units, $help)?).map_err(de::Error::custom)?;
                <$type>::try_from(value).map_err(|_| de::Error::custom("too large"))
            }
        }
    };
}

macro_rules! optional {
    ($(#[$doc:meta])* $name:ident, $of:ident) => {
        $(#[$doc])*
        pub(crate) mod $name {
            use super::*;
            pub(crate) fn serialize<S: Serializer>(value: &Option<u64>, ser: S) -> Result<S::Ok, S::Error> {
                match value {
                    Some(value) => super::$of::serialize(value, ser),
                    None => ser.serialize_none(),
                }
            }
            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(de: D) -> Result<Option<u64>, D::Error> {
                super::$of::deserialize(de).map(Some)
            }
        }
    };
}

unit!(
    /// Microseconds.
    span, u64, SPANS, SPAN_HELP, bounded
);
unit!(
    /// Millionths.
    ratio, u32, RATIOS, RATIO_HELP, Ok::<u64, String>
);
unit!(
    /// Bits a second.
    rate, u64, RATES, RATE_HELP, Ok::<u64, String>
);
optional!(
    /// Microseconds, if set.
    span_opt, span
);
optional!(
    /// Bits a second, if set.
    rate_opt, rate
);

/// Microseconds that may be negative.
pub(crate) mod signed_span {
    use super::*;
    pub(crate) fn serialize<S: Serializer>(value: &i64, ser: S) -> Result<S::Ok, S::Error> {
        let sign = if *value < 0 { "-" } else { "" };
        ser.serialize_str(&format!("{sign}{}", write(value.unsigned_abs(), &SPANS)))
    }
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(de: D) -> Result<i64, D::Error> {
        let (negative, value) = de.deserialize_any(Reading { units: &SPANS, what: SPAN_HELP })?;
        let value = bounded(value).map_err(de::Error::custom)?.cast_signed();
        Ok(if negative { -value } else { value })
    }
}

/// Reads decibels such as `-127.41dB` into thousandths. A bare number has no meaning: nobody writes thousandths.
fn read_decibels(text: &str, unit: &'static str) -> Result<i32, String> {
    let (negative, number) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    // Exactly this unit: `read` would take any that it is given.
    let value = read(number, &[(unit, 1_000)])?;
    let value = i32::try_from(value).map_err(|_| format!("`{text}` is too large"))?;
    Ok(if negative { -value } else { value })
}

/// Writes thousandths of decibels as they are read.
fn show_decibels(thousandths: i32, unit: &str) -> String {
    let (sign, size) = (if thousandths < 0 { "-" } else { "" }, thousandths.unsigned_abs());
    let number = format!("{}.{:03}", size / 1_000, size % 1_000);
    format!("{sign}{}{unit}", number.trim_end_matches('0').trim_end_matches('.'))
}

macro_rules! decibels {
    ($(#[$doc:meta])* $name:ident, $unit:literal, $help:literal) => {
        $(#[$doc])*
        pub(crate) mod $name {
            use super::*;
            pub(crate) fn serialize<S: Serializer>(value: &Option<i32>, ser: S) -> Result<S::Ok, S::Error> {
                match value {
                    Some(value) => ser.serialize_str(&show_decibels(*value, $unit)),
                    None => ser.serialize_none(),
                }
            }
            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(de: D) -> Result<Option<i32>, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = i32;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($help)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<i32, E> {
                        read_decibels(text, $unit).map_err(E::custom)
                    }
                }
                de.deserialize_any(Text).map(Some)
            }
        }
    };
}

decibels!(
    /// Thousandths of a decibel, if set.
    decibel_opt, "dB", "decibels such as \"20.8dB\""
);
decibels!(
    /// Thousandths of a decibel above a milliwatt, if set.
    level_opt, "dBm", "a level such as \"-123dBm\""
);

/// A seed: an integer where TOML can hold it, else its decimal digits in quotes.
pub(crate) mod seed {
    use super::*;
    pub(crate) fn serialize<S: Serializer>(value: &u64, ser: S) -> Result<S::Ok, S::Error> {
        match i64::try_from(*value) {
            Ok(small) => ser.serialize_i64(small),
            Err(_) => ser.serialize_str(&value.to_string()),
        }
    }
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(de: D) -> Result<u64, D::Error> {
        struct Digits;
        impl Visitor<'_> for Digits {
            type Value = u64;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a seed from 0 to 18446744073709551615 (in quotes above 9223372036854775807)")
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<u64, E> {
                Ok(value)
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<u64, E> {
                u64::try_from(value).map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
                text.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        de.deserialize_any(Digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spans_read_as_people_write_them() {
        for (text, us) in [
            ("72h", 259_200_000_000),
            ("25ms", 25_000),
            ("1.5s", 1_500_000),
            ("0s", 0),
            ("2d", 172_800_000_000),
            ("5min", 300_000_000),
            (".5s", 500_000),
            ("1_000us", 1_000),
        ] {
            assert_eq!(parse_span(text), Ok(us), "{text}");
        }
        for bad in ["", "h", "5", "5 parsecs", "1.2.3s", "0.5us", "99999999999999999d", "-1s"] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_ratio("90%"), Ok(900_000));
        assert_eq!(parse_ratio("0.0001%"), Ok(1));
        assert_eq!(parse_rate("5.5kbit"), Ok(5_500));
        assert_eq!(show_span(0), "0s");
        for (text, thousandths) in [("127.41dB", 127_410), ("-0.5dB", -500), ("0dB", 0), ("20dB", 20_000)] {
            assert_eq!(read_decibels(text, "dB"), Ok(thousandths));
            assert_eq!(show_decibels(thousandths, "dB"), text);
        }
        for bad in ["20", "20dBm", "0.0001dB", "dB", "--1dB", "3000000dB"] {
            assert!(read_decibels(bad, "dB").is_err(), "{bad}");
        }
        assert_eq!(show_span(90_000_000), "90s");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in any::<u64>()) {
            let span = value % (LONGEST_SPAN_US + 1);
            prop_assert_eq!(parse_span(&write(span, &SPANS)), Ok(span));
            prop_assert_eq!(parse_rate(&write(value, &RATES)), Ok(value));
            let share = value as u32;
            prop_assert_eq!(parse_ratio(&write(u64::from(share), &RATIOS)), Ok(share));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,12}") {
            let _ = parse_span(&text);
        }
    }
}
