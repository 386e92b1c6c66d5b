//! Greatest common divisor, least common multiple, and modular products and powers.
//!
//! `gcd(0, n) = n`: every number divides 0, so 0 is the largest element under divisibility.

use dashu_int::UBig;
use dashu_int::ops::Gcd;

/// Greatest common divisor by Euclid's remainders (Elements VII.2).
pub fn gcd(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Greatest common divisor by shifts and differences (Stein 1967): no division.
pub fn gcd_binary(a: u64, b: u64) -> u64 {
    if a == 0 || b == 0 {
        return a | b;
    }
    let twos = (a | b).trailing_zeros();
    let mut a = a >> a.trailing_zeros();
    let mut b = b >> b.trailing_zeros();
    while a != b {
        // Both are odd. Their difference is even and shares the same common divisors with either.
        let difference = a.abs_diff(b);
        b = a.min(b);
        a = difference >> difference.trailing_zeros();
    }
    a << twos
}

/// [`gcd_binary`] of 128-bit numbers.
pub fn gcd_u128(a: u128, b: u128) -> u128 {
    if a == 0 || b == 0 {
        return a | b;
    }
    let twos = (a | b).trailing_zeros();
    let (mut a, mut b) = (a >> a.trailing_zeros(), b >> b.trailing_zeros());
    while a != b {
        if let (Ok(a), Ok(b)) = (u64::try_from(a), u64::try_from(b)) {
            return u128::from(gcd_binary(a, b)) << twos;
        }
        let difference = a.abs_diff(b);
        b = a.min(b);
        a = difference >> difference.trailing_zeros();
    }
    a << twos
}

/// Greatest common divisor of numbers of any size.
pub fn gcd_big(a: &UBig, b: &UBig) -> UBig {
    // The library's gcd does not accept (0, 0).
    if a.is_zero() {
        return b.clone();
    }
    a.gcd(b)
}

/// Least common multiple, or `None` if it exceeds 64 bits.
pub fn lcm(a: u64, b: u64) -> Option<u64> {
    match gcd_binary(a, b) {
        0 => Some(0),
        common => (a / common).checked_mul(b),
    }
}

/// Least common multiple of numbers of any size.
pub fn lcm_big(a: &UBig, b: &UBig) -> UBig {
    let common = gcd_big(a, b);
    if common.is_zero() { common } else { a / common * b }
}

/// `a * b mod modulus`.
///
/// # Panics
/// If `modulus` is 0.
pub fn mul_mod(a: u64, b: u64, modulus: u64) -> u64 {
    let product = u128::from(a) * u128::from(b) % u128::from(modulus);
    product as u64 // a remainder of a 64-bit number
}

/// `base ^ exponent mod modulus`, by repeated squaring.
///
/// # Panics
/// If `modulus` is 0.
pub fn pow_mod(base: u64, exponent: u64, modulus: u64) -> u64 {
    let mut square = base % modulus;
    let mut power = 1 % modulus;
    let mut rest = exponent;
    while rest != 0 {
        if rest & 1 == 1 {
            power = mul_mod(power, square, modulus);
        }
        square = mul_mod(square, square, modulus);
        rest >>= 1;
    }
    power
}

#[cfg(test)]
mod tests {
    use super::{gcd, gcd_big, gcd_binary, gcd_u128, lcm, lcm_big, mul_mod, pow_mod};
    use dashu_int::UBig;
    use proptest::prelude::*;

    /// The definition: the largest number that divides both.
    fn largest_common_divisor(a: u64, b: u64) -> u64 {
        (1..=a.max(b)).rev().find(|&d| a.is_multiple_of(d) && b.is_multiple_of(d)).unwrap_or(0)
    }

    /// The definition: the smallest positive number that both divide; 0 if there is none.
    fn smallest_common_multiple(a: u64, b: u64) -> u64 {
        (1..=a * b).find(|m| m % a == 0 && m % b == 0).unwrap_or(0)
    }

    #[test]
    fn all_small_pairs_follow_the_definitions() {
        for a in 0..60 {
            for b in 0..60 {
                let divisor = largest_common_divisor(a, b);
                assert_eq!(gcd(a, b), divisor, "gcd({a}, {b})");
                assert_eq!(gcd_binary(a, b), divisor, "gcd_binary({a}, {b})");
                assert_eq!(gcd_u128(a.into(), b.into()), divisor.into(), "gcd_u128({a}, {b})");
                assert_eq!(gcd_big(&a.into(), &b.into()), divisor.into(), "gcd_big({a}, {b})");
                let multiple = smallest_common_multiple(a, b);
                assert_eq!(lcm(a, b), Some(multiple), "lcm({a}, {b})");
                assert_eq!(lcm_big(&a.into(), &b.into()), multiple.into(), "lcm_big({a}, {b})");
            }
        }
    }

    #[test]
    fn a_multiple_beyond_64_bits_is_none() {
        assert_eq!(lcm(u64::MAX, u64::MAX - 1), None);
        assert_eq!(lcm(u64::MAX, u64::MAX), Some(u64::MAX));
        assert_eq!(lcm(1 << 63, 1 << 62), Some(1 << 63));
    }

    proptest! {
        #[test]
        fn four_implementations_of_gcd_agree(a: u64, b: u64, shared in 1..1u64 << 20) {
            let (a, b) = (a / shared * shared, b / shared * shared);
            let divisor = gcd(a, b);
            prop_assert_eq!(divisor % shared, 0);
            prop_assert_eq!(gcd_binary(a, b), divisor);
            prop_assert_eq!(gcd_u128(a.into(), b.into()), divisor.into());
            prop_assert_eq!(gcd_big(&a.into(), &b.into()), UBig::from(divisor));
        }

        #[test]
        fn gcd_u128_agrees_with_big_integers(a: u128, b: u128, shared in 1..1u128 << 64) {
            let (a, b) = (a / shared * shared, b / shared * shared);
            let divisor = gcd_u128(a, b);
            prop_assert_eq!(divisor % shared, 0);
            prop_assert_eq!(gcd_big(&a.into(), &b.into()), UBig::from(divisor));
        }

        #[test]
        fn gcd_times_lcm_is_the_product(a: u128, b: u128) {
            let (a, b) = (UBig::from(a), UBig::from(b));
            prop_assert_eq!(gcd_big(&a, &b) * lcm_big(&a, &b), a * b);
        }

        #[test]
        fn powers_follow_the_definition(base: u64, exponent in 0..200u64, modulus in 1..=u64::MAX) {
            let mut power = 1 % modulus;
            for _ in 0..exponent {
                power = mul_mod(power, base, modulus);
            }
            prop_assert_eq!(pow_mod(base, exponent, modulus), power);
        }

        #[test]
        fn products_agree_with_big_integers(a: u64, b: u64, modulus in 1..=u64::MAX) {
            let product = UBig::from(a) * UBig::from(b) % modulus;
            prop_assert_eq!(mul_mod(a, b, modulus), product);
        }
    }
}
