//! Primality test: proved for 64-bit numbers, without a known exception beyond.

use crate::numbers::montgomery::Montgomery;

/// Bases of the strong test. The smallest composite that passes all of them has 82 bits.
const BASES: [u64; 13] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41];

/// Below this number the strong test over the primes up to 41 is a proof (Sorenson & Webster,
/// "Strong pseudoprimes to twelve prime bases", Mathematics of Computation 86, 2017).
pub const PROVED_BELOW: u128 = 3_317_044_064_679_887_385_961_981;

/// Whether `n` is prime. Proved: the bases of the Miller-Rabin test are known to suffice.
pub fn is_prime(n: u64) -> bool {
    // 2, 7 and 61 suffice below 4,759,123,141 (Jaeschke 1993), twelve primes below 2^64 and beyond
    // (Sorenson & Webster).
    let bases = if n < 4_759_123_141 { &[2, 7, 61][..] } else { &BASES[..12] };
    match by_small_divisors(n.into()) {
        Some(answer) => answer,
        None => {
            let field = Montgomery::new(n.into());
            bases.iter().all(|&base| is_strong_probable_prime(&field, base))
        }
    }
}

/// Whether `n` is prime: proved below [`PROVED_BELOW`].
///
/// Above, a number must pass the strong test over thirteen bases and the strong Lucas test
/// (Baillie & Wagstaff 1980). No composite is known to pass even base 2 and the Lucas test.
pub fn is_prime_u128(n: u128) -> bool {
    by_small_divisors(n).unwrap_or_else(|| {
        let field = Montgomery::new(n);
        BASES.iter().all(|&base| is_strong_probable_prime(&field, base))
            && (n < PROVED_BELOW || is_strong_lucas_probable_prime(&field))
    })
}

/// The answer, if trial division by [`BASES`] decides it. Undecided numbers are odd.
fn by_small_divisors(n: u128) -> Option<bool> {
    if n < 2 {
        return Some(false);
    }
    let divisor = BASES.iter().map(|&p| u128::from(p)).find(|p| n.is_multiple_of(*p))?;
    Some(n == divisor)
}

/// Whether n passes the strong test for a base: with `n - 1 = d 2^s` and d odd, `base^d` is 1, or
/// -1 after fewer than s squarings (Miller 1976, Rabin 1980). Every prime passes.
fn is_strong_probable_prime(field: &Montgomery, base: u64) -> bool {
    let base = field.residue(base.into());
    if base == 0 {
        return true; // n divides the base, which says nothing about n
    }
    let minus_one = field.sub(0, field.one());
    let twos = (field.modulus() - 1).trailing_zeros();
    let mut power = field.pow(base, (field.modulus() - 1) >> twos);
    if power == field.one() {
        return true;
    }
    for _ in 1..twos {
        if power == minus_one {
            return true;
        }
        power = field.mul(power, power);
    }
    power == minus_one
}

/// Whether n passes the strong Lucas test with the parameters of Selfridge's method A
/// (Baillie & Wagstaff, "Lucas pseudoprimes", Mathematics of Computation 35, 1980).
fn is_strong_lucas_probable_prime(field: &Montgomery) -> bool {
    let n = field.modulus();
    let root = n.isqrt();
    if root * root == n {
        return false; // a square: no d has the symbol -1
    }
    // d = 5, -7, 9, -11, ... until (d / n) = -1; P = 1 and Q = (1 - d) / 4.
    let mut d: i64 = 5;
    loop {
        match jacobi(d, n) {
            -1 => break,
            // d and n share a factor, which is n itself only for tiny primes.
            0 if u128::from(d.unsigned_abs()) % n != 0 => return false,
            _ => d = if d > 0 { -(d + 2) } else { 2 - d },
        }
    }
    // n + 1 = odd * 2^twos, halved first because n + 1 may overflow.
    let half = n / 2 + 1;
    let twos = half.trailing_zeros() + 1;
    let (u, mut v, mut q) = lucas_terms(field, d, half >> (twos - 1));
    if u == 0 || v == 0 {
        return true;
    }
    for _ in 1..twos {
        v = field.sub(field.mul(v, v), field.add(q, q));
        q = field.mul(q, q);
        if v == 0 {
            return true;
        }
    }
    false
}

/// `(U_k, V_k, Q^k)` of the Lucas sequences with P = 1 and `Q = (1 - d) / 4`, for k of 1 or more.
fn lucas_terms(field: &Montgomery, d: i64, k: u128) -> (u128, u128, u128) {
    let (d, q1) = (field.residue_signed(d), field.residue_signed((1 - d) / 4));
    let (mut u, mut v, mut q) = (field.one(), field.one(), q1);
    for bit in (0..k.ilog2()).rev() {
        (u, v, q) = (field.mul(u, v), field.sub(field.mul(v, v), field.add(q, q)), field.mul(q, q));
        if k >> bit & 1 == 1 {
            (u, v) = (field.half(field.add(u, v)), field.half(field.add(field.mul(d, u), v)));
            q = field.mul(q, q1);
        }
    }
    (u, v, q)
}

/// The Jacobi symbol (a / n) for odd n, by quadratic reciprocity.
fn jacobi(a: i64, n: u128) -> i32 {
    let mut sign = if a < 0 && n % 4 == 3 { -1 } else { 1 };
    let (mut a, mut n) = (u128::from(a.unsigned_abs()) % n, n);
    while a != 0 {
        let twos = a.trailing_zeros();
        if twos % 2 == 1 && matches!(n % 8, 3 | 5) {
            sign = -sign;
        }
        a >>= twos;
        if a % 4 == 3 && n % 4 == 3 {
            sign = -sign;
        }
        (a, n) = (n % a, a);
    }
    if n == 1 { sign } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::{
        BASES, Montgomery, is_prime, is_prime_u128, is_strong_lucas_probable_prime,
        is_strong_probable_prime, jacobi,
    };
    use crate::numbers::arith::pow_mod;
    use crate::numbers::primes::primes_below;

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes in an interpreter")]
    fn agrees_with_the_sieve() {
        let primes = primes_below(200_000);
        let found: Vec<u64> = (0..200_000).filter(|&n| is_prime(n)).collect();
        assert_eq!(found, primes);
        let found: Vec<u64> = (0..200_000).filter(|&n| is_prime_u128(n.into())).collect();
        assert_eq!(found, primes);
    }

    /// The least composites that pass the strong test for the first 1, 2, ... primes as bases
    /// (OEIS A014233): each shows that one more base is needed.
    #[test]
    fn the_least_strong_pseudoprimes_are_recognised_as_composite() {
        let least: [u128; 11] = [
            2_047,
            1_373_653,
            25_326_001,
            3_215_031_751,
            2_152_302_898_747,
            3_474_749_660_383,
            341_550_071_728_321,
            341_550_071_728_321,
            3_825_123_056_546_413_051,
            318_665_857_834_031_151_167_461,
            3_317_044_064_679_887_385_961_981,
        ];
        let n_bases = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13];
        for (n, n_bases) in least.into_iter().zip(n_bases) {
            let field = Montgomery::new(n);
            let passes = |base: &u64| is_strong_probable_prime(&field, *base);
            assert!(BASES[..n_bases].iter().all(passes), "{n} is not a pseudoprime");
            assert!(!is_prime_u128(n), "{n} passes for a prime");
            if let Ok(n) = u64::try_from(n) {
                assert!(!is_prime(n), "{n} passes for a prime");
            }
        }
    }

    /// All strong Lucas pseudoprimes below 60,000 (OEIS A217255); every prime passes.
    #[test]
    #[cfg_attr(miri, ignore = "takes minutes in an interpreter")]
    fn the_lucas_test_has_its_known_exceptions_and_no_other() {
        let primes = primes_below(60_000);
        let passing: Vec<u64> = (3..60_000)
            .step_by(2)
            .filter(|&n| is_strong_lucas_probable_prime(&Montgomery::new(n.into())))
            .filter(|n| primes.binary_search(n).is_err())
            .collect();
        let known = [5_459, 5_777, 10_877, 16_109, 18_971, 22_499, 24_569, 25_199, 40_309, 58_519];
        assert_eq!(passing, known);
        let is_passed = |p: &&u64| is_strong_lucas_probable_prime(&Montgomery::new((**p).into()));
        assert_eq!(primes[1..].iter().filter(is_passed).count(), primes.len() - 1);
    }

    #[test]
    fn the_ends_of_64_and_128_bits_are_right() {
        // The largest primes below 2^64 and 2^128, with no other prime in between.
        let (last64, last128) = (u64::MAX - 58, u128::MAX - 158);
        assert_eq!((u64::MAX - 100..=u64::MAX).rev().find(|&n| is_prime(n)), Some(last64));
        let found = (u128::MAX - 200..=u128::MAX).rev().find(|&n| is_prime_u128(n));
        assert_eq!(found, Some(last128));
        // A square of a prime, and a product of two, both above the proved range.
        let (p, q) = (u128::from(last64), 18_446_744_073_709_551_533);
        assert!(is_prime_u128(q) && !is_prime_u128(p * p) && !is_prime_u128(p * q));
    }

    #[test]
    fn the_symbol_is_eulers_for_primes() {
        for p in [3, 5, 7, 11, 101, 65_537] {
            for a in -60i64..60 {
                let euler = pow_mod(a.rem_euclid(p) as u64, (p as u64 - 1) / 2, p as u64);
                let expected = if euler == p as u64 - 1 { -1 } else { euler as i32 };
                assert_eq!(jacobi(a, p as u128), expected, "({a} / {p})");
            }
        }
        assert_eq!(jacobi(5, 9 * 11), jacobi(5, 9) * jacobi(5, 11));
    }
}
