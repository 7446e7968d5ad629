//! Logarithms and powers of two without a floating point, the same on every machine.
//!
//! A slide rule: what falls off as a power, as the strength of a radio over a distance or the share of those who stay, becomes
//! a sum on it. Numbers are whole; logarithms are in units of 2^-32, and right to a few of them.

use crate::draw::Lot;

/// One, in the units of a logarithm.
pub const ONE: i64 = 1 << 32;

/// The logarithm of 2 to base 10, and that of e to base 2, in the same units.
pub const LOG10_2: i64 = 1_292_913_986;
/// See [`LOG10_2`].
pub const LOG2_E: i64 = 6_196_328_019;

/// The logarithm of `x` to base 2; that of 1 for 0.
#[must_use]
pub fn log2(x: u64) -> i64 {
    let x = x.max(1);
    let whole = 63 - x.leading_zeros();
    // The number as one from 1 to 2 with 63 binary places. Squaring it doubles its logarithm, whose bits come out one by one
    // as the squares pass 2.
    let mut part = u128::from(x) << (63 - whole);
    let mut fraction = 0_i64;
    for _ in 0..32 {
        part = (part * part) >> 63;
        fraction <<= 1;
        if part >> 64 > 0 {
            part >>= 1;
            fraction |= 1;
        }
    }
    i64::from(whole) << 32 | fraction
}

/// `x` times 2 to the power of `y`, rounded down. Saturates.
#[must_use]
pub fn times_exp2(x: u64, y: i64) -> u64 {
    let (whole, fraction) = (y >> 32, y & (ONE - 1));
    // The roots of 2, each the root of the one before, with 63 binary places.
    let (mut root, mut power) = (2_u128 << 63, 1_u128 << 63);
    for bit in (0..32).rev() {
        root = (root << 63).isqrt();
        if fraction >> bit & 1 == 1 {
            power = (power * root) >> 63;
        }
    }
    // Of at most 64 and 64 bits: a product that fits.
    let product = u128::from(x) * power;
    let shift = 63 - whole;
    match u32::try_from(shift) {
        Ok(shift) => u64::try_from(product.checked_shr(shift).unwrap_or(0)).unwrap_or(u64::MAX),
        Err(_) if product == 0 => 0,
        Err(_) => u64::MAX,
    }
}

/// A normal deviate with a deviation of 1, out of the twelve draws from `first` on: their sum less six (Irwin and Hall), so
/// never more than 6.
#[must_use]
pub fn normal(lot: Lot, first: u64) -> i64 {
    let twelve = (0..12).map(|part| (lot.at(first.wrapping_add(part)) >> 32).cast_signed());
    twelve.sum::<i64>() - 6 * ONE
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a calculator says, in units of 2^-32.
    #[test]
    fn logarithms_are_those_of_a_calculator() {
        for (x, expected) in [
            (0, 0),
            (1, 0),
            (2, ONE),
            (3, 6_807_362_106),
            (10, 14_267_572_527),
            (1_000_000, 85_605_435_163),
            (u64::MAX, 64 * ONE - 1),
        ] {
            assert!(log2(x).abs_diff(expected) <= 2, "{x}: {} for {expected}", log2(x));
        }
    }

    #[test]
    fn a_power_undoes_a_logarithm() {
        for x in [1, 2, 3, 7, 1_000, 123_456_789, 1 << 40] {
            let back = times_exp2(1_000_000_000, log2(x) - (10 << 32));
            let expected = ((u128::from(x) * 1_000_000_000) >> 10) as u64;
            assert!(back.abs_diff(expected) <= 2 + expected / 1_000_000_000, "{x}: {back} for {expected}");
        }
        assert_eq!(times_exp2(5, 3 * ONE), 40);
        assert_eq!(times_exp2(5, -ONE), 2);
        assert_eq!(times_exp2(1_000_000, ONE / 2), 1_414_213);
        assert_eq!(times_exp2(u64::MAX, 0), u64::MAX);
        assert_eq!(times_exp2(5, 100 * ONE), u64::MAX);
        assert_eq!((times_exp2(0, 100 * ONE), times_exp2(5, -100 * ONE)), (0, 0));
    }
}
