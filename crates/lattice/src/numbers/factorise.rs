//! Prime factorisation: Pollard's rho for any number, trial division over a base for codes.
//!
//! Lists of factors ascend and repeat a prime as often as it divides. Everything is deterministic.

use crate::error::CodeError;
use crate::numbers::arith::gcd_u128;
use crate::numbers::montgomery::Montgomery;
use crate::numbers::primality::is_prime_u128;
use crate::numbers::primes::primes_below;
use dashu_int::UBig;
use dashu_int::ops::{BitTest, DivRem};

/// Limit of trial division, exclusive.
const TRIAL_LIMIT: u64 = 1 << 9;

/// Steps of the rho sequence between two gcd computations.
const BATCH: usize = 128;

/// The prime factors of `n`; none for 1, and `[0]` for 0, so that the product is always `n`.
///
/// Takes a few milliseconds at most.
pub fn factor_u64(n: u64) -> Vec<u64> {
    // Factors of a 64-bit number fit in 64 bits.
    factor_u128(n.into()).into_iter().map(|p| p as u64).collect()
}

/// The prime factors of `n`; none for 1, and `[0]` for 0, so that the product is always `n`.
///
/// The number of steps is about the square root of the second largest prime factor: 2^20 steps
/// take a moment, the 2^32 steps for a product of two 64-bit primes take minutes. Factors above
/// [`crate::numbers::primality::PROVED_BELOW`] are probable primes without a known exception.
pub fn factor_u128(n: u128) -> Vec<u128> {
    factor_u128_while(n, &mut || true).expect("the search is never stopped")
}

/// An incomplete factorisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Primes found, ascending.
    pub found: Vec<u128>,
    /// The number divided by `found`: composite, or too large to test.
    pub left: UBig,
}

impl Unfinished {
    /// Bit length of `left`.
    pub fn left_bits(&self) -> usize {
        self.left.bit_len()
    }
}

/// [`factor_u128`] that stops when `goes_on` returns false. It is called about every hundred steps.
///
/// # Errors
/// [`Unfinished`] if `goes_on` returned false.
pub fn factor_u128_while(
    n: u128,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<Vec<u128>, Unfinished> {
    if n == 0 {
        return Ok(vec![0]);
    }
    let mut factors = Vec::new();
    let mut rest = n;
    for p in trial_divisors() {
        while rest.is_multiple_of(p) {
            factors.push(p);
            rest /= p;
        }
    }
    let mut unfinished = vec![rest];
    while let Some(n) = unfinished.pop() {
        if n == 1 {
            continue;
        }
        if is_prime_u128(n) {
            factors.push(n);
        } else if let Ok(factor) = proper_factor(n, goes_on) {
            unfinished.extend([factor, n / factor]);
        } else {
            unfinished.push(n);
            factors.sort_unstable();
            let left = unfinished.into_iter().map(UBig::from).product();
            return Err(Unfinished { found: factors, left });
        }
    }
    factors.sort_unstable();
    Ok(factors)
}

/// The prime factors of a number of any size; none for 1, and `[0]` for 0. Divides by the primes
/// of `base` first, then applies [`factor_u128_while`] to the rest.
///
/// # Errors
/// [`Unfinished`] if the rest has more than 128 bits, or `goes_on` returned false.
pub fn factor_big(
    n: &UBig,
    base: &[u64],
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<Vec<u128>, Unfinished> {
    if n.is_zero() {
        return Ok(vec![0]);
    }
    let (found, left) = divide_out(n, base);
    let mut factors: Vec<u128> = found.into_iter().map(u128::from).collect();
    let rest = match u128::try_from(&left) {
        Ok(narrow) => factor_u128_while(narrow, goes_on),
        Err(_) => Err(Unfinished { found: Vec::new(), left }),
    };
    let (more, left) = match rest {
        Ok(more) => (more, None),
        Err(Unfinished { found, left }) => (found, Some(left)),
    };
    factors.extend(more);
    factors.sort_unstable();
    match left {
        None => Ok(factors),
        Some(left) => Err(Unfinished { found: factors, left }),
    }
}

/// 2 and the odd numbers. Composite ones never divide: their prime factors are gone by then.
fn trial_divisors() -> impl Iterator<Item = u128> {
    std::iter::once(2).chain((3..u128::from(TRIAL_LIMIT)).step_by(2))
}

/// The search for a factor was stopped by the caller.
struct Stopped;

/// A factor of an odd composite number, other than 1 and `n`.
fn proper_factor(n: u128, goes_on: &mut dyn FnMut() -> bool) -> Result<u128, Stopped> {
    let field = Montgomery::new(n);
    // Some constant succeeds: each gives the factors of n cycles of different lengths.
    for constant in 1.. {
        if let Some(factor) = rho(&field, field.residue(constant), goes_on)? {
            return Ok(factor);
        }
    }
    unreachable!("the range of constants is infinite")
}

/// Pollard's rho with Brent's cycle finding (Brent 1980): iterates `x -> x^2 + constant` until two
/// iterates agree modulo a factor of n. Returns `None` if they first agree modulo n itself.
fn rho(
    field: &Montgomery,
    constant: u128,
    goes_on: &mut dyn FnMut() -> bool,
) -> Result<Option<u128>, Stopped> {
    let n = field.modulus();
    let step = |x| field.add(field.mul(x, x), constant);
    let mut y = field.residue(2);
    for length in (0..).map(|i| 1usize << i) {
        let x = y;
        for i in 0..length {
            if i.is_multiple_of(BATCH) && !goes_on() {
                return Err(Stopped);
            }
            y = step(y);
        }
        let mut done = 0;
        while done < length {
            if !goes_on() {
                return Err(Stopped);
            }
            let start = y;
            let n_steps = BATCH.min(length - done);
            let mut product = field.one();
            for _ in 0..n_steps {
                y = step(y);
                product = field.mul(product, field.sub(x, y));
            }
            // 2^128 is coprime to n, so the Montgomery form has the same gcd with n.
            let factor = gcd_u128(product, n);
            if factor == n {
                return Ok(first_in_batch(field, constant, [x, start]));
            }
            if factor != 1 {
                return Ok(Some(factor));
            }
            done += n_steps;
        }
    }
    Ok(None)
}

/// Repeats a batch of [`rho`] step by step, after its product contained all factors of n.
fn first_in_batch(field: &Montgomery, constant: u128, [x, start]: [u128; 2]) -> Option<u128> {
    let n = field.modulus();
    let mut y = start;
    loop {
        y = field.add(field.mul(y, y), constant);
        let factor = gcd_u128(field.sub(x, y), n);
        if factor != 1 {
            return (factor != n).then_some(factor);
        }
    }
}

/// The factors of `n` among the primes of `base`, which must ascend.
///
/// Divides by one prime after another until 1 is left: up to `base.len()` divisions.
///
/// # Errors
/// [`CodeError::LeftOver`] if other factors are left, or if `n` is 0.
pub fn factor_over(n: &UBig, base: &[u64]) -> Result<Vec<u64>, CodeError> {
    if n.is_zero() {
        return Err(CodeError::LeftOver { cofactor: n.clone() });
    }
    let (factors, rest) = divide_out(n, base);
    if rest.is_one() { Ok(factors) } else { Err(CodeError::LeftOver { cofactor: rest }) }
}

/// The factors of `n` among the primes of `base`, and the remaining cofactor. `n` must not be 0.
fn divide_out(n: &UBig, base: &[u64]) -> (Vec<u64>, UBig) {
    let mut factors = Vec::new();
    let mut rest = n.clone();
    for &p in base {
        if rest.is_one() {
            break;
        }
        while &rest % p == 0 {
            rest = (&rest).div_rem(p).0;
            factors.push(p);
        }
    }
    (factors, rest)
}

/// Reference implementation of [`factor_u64`]: trial division by all primes up to the square root.
pub fn factor_by_trial(n: u64) -> Vec<u64> {
    if n == 0 {
        return vec![0];
    }
    let mut factors = Vec::new();
    let mut rest = n;
    for p in primes_below(n.isqrt() as usize + 1) {
        while rest.is_multiple_of(p) {
            factors.push(p);
            rest /= p;
        }
    }
    if rest > 1 {
        factors.push(rest);
    }
    factors
}

#[cfg(test)]
mod tests {
    use super::{
        Unfinished, factor_big, factor_by_trial, factor_over, factor_u64, factor_u128,
        factor_u128_while,
    };
    use crate::error::CodeError;
    use crate::numbers::primality::{is_prime, is_prime_u128};
    use crate::numbers::primes::{nth_primes, primes_below};
    use dashu_int::UBig;
    use proptest::prelude::*;

    /// What a factorisation is: ascending primes whose product is the number.
    fn is_factorisation(factors: &[u128], n: u128) -> bool {
        let product = factors.iter().try_fold(1u128, |product, p| product.checked_mul(*p));
        product == Some(n) && factors.is_sorted() && factors.iter().all(|&p| is_prime_u128(p))
    }

    #[test]
    fn the_check_finds_planted_errors() {
        assert!(is_factorisation(&[2, 3, 3], 18) && is_factorisation(&[], 1));
        for (wrong, n) in [(&[2, 9][..], 18), (&[3, 2, 3], 18), (&[2, 3], 18), (&[], 2)] {
            assert!(!is_factorisation(wrong, n), "{wrong:?} passes for {n}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes in an interpreter")]
    fn small_numbers_follow_the_definition() {
        for n in 0..20_000 {
            assert_eq!(factor_u64(n), factor_by_trial(n), "{n}");
        }
        assert_eq!(factor_by_trial(360), [2, 2, 2, 3, 3, 5]);
        assert_eq!(factor_by_trial(49), [7, 7]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes in an interpreter")]
    fn numbers_that_are_hard_for_rho_are_factored() {
        // Squares and cubes of primes, products of adjacent primes, Carmichael numbers.
        let p = 4_294_967_291u128; // the largest prime below 2^32
        let primes = primes_below(2_000);
        for pair in primes.windows(2).filter(|pair| pair[0] > 500) {
            let (p, q) = (u128::from(pair[0]), u128::from(pair[1]));
            for n in [p * p, p * q, p * p * p, p * p * q * q] {
                assert!(is_factorisation(&factor_u128(n), n), "{n}");
            }
        }
        assert_eq!(factor_u128(p * p), [p, p]);
        assert_eq!(factor_u64(561), [3, 11, 17]);
        assert_eq!(factor_u64(u64::MAX), [3, 5, 17, 257, 641, 65_537, 6_700_417]);
        // The fifth and the sixth Fermat number: Euler 1732, Landry 1880.
        assert_eq!(factor_u64((1 << 32) + 1), [641, 6_700_417]);
        assert_eq!(factor_u128((1 << 64) + 1), [274_177, 67_280_421_310_721]);
        assert_eq!(
            factor_u128(u128::MAX),
            [3, 5, 17, 257, 641, 65_537, 274_177, 6_700_417, 67_280_421_310_721]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn factors_of_any_64_bit_number(n: u64) {
            let factors = factor_u64(n);
            let wide: Vec<u128> = factors.iter().map(|&p| p.into()).collect();
            prop_assert!(n == 0 || is_factorisation(&wide, n.into()), "{}: {:?}", n, factors);
        }

        #[test]
        fn factors_of_products_of_primes(seeds in prop::collection::vec(2..1u64 << 25, 0..5)) {
            let mut primes: Vec<u128> = seeds
                .into_iter()
                .filter_map(|seed| (seed..).find(|&p| is_prime(p)))
                .map(u128::from)
                .collect();
            primes.sort_unstable();
            prop_assert_eq!(factor_u128(primes.iter().product()), primes);
        }

        #[test]
        fn products_over_a_base_give_their_factors(
            picks in prop::collection::vec(0..300usize, 0..40),
        ) {
            let base = nth_primes(300);
            let mut parts: Vec<u64> = picks.into_iter().map(|i| base[i]).collect();
            parts.sort_unstable();
            let product: UBig = parts.iter().map(|&p| UBig::from(p)).product();
            prop_assert_eq!(factor_over(&product, &base), Ok(parts));
        }
    }

    #[test]
    fn numbers_of_any_size_are_factored_or_reported_unfinished() {
        let base = nth_primes(100);
        let always = &mut || true;
        assert_eq!(factor_big(&UBig::ZERO, &base, always), Ok(vec![0]));
        assert_eq!(factor_big(&UBig::ONE, &base, always), Ok(vec![]));
        // Many small primes, and one above 2^64 that is left after them.
        let large = u128::MAX - 158;
        let small: UBig = base.iter().map(|&p| UBig::from(p)).product();
        let mut expected: Vec<u128> = base.iter().map(|&p| p.into()).collect();
        expected.push(large);
        assert_eq!(factor_big(&(&small * large), &base, always), Ok(expected));
        // Without a base, divisors below 512 are still found.
        assert_eq!(factor_big(&UBig::from(2u32 * 3 * 547), &[], always), Ok(vec![2, 3, 547]));
        let square = UBig::from(large) * large;
        let found = factor_big(&(&square * 6u32), &base, always);
        assert_eq!(found, Err(Unfinished { found: vec![2, 3], left: square }));
    }

    #[test]
    fn a_stopped_search_reports_the_factors_found() {
        let (p, q) = (4_294_967_291u128, 4_294_967_279u128);
        let mut patience = 3;
        let stopped = factor_u128_while(10 * p * q, &mut || {
            patience -= 1;
            patience > 0
        });
        assert_eq!(stopped, Err(Unfinished { found: vec![2, 5], left: UBig::from(p * q) }));
        assert_eq!(patience, 0);
        assert_eq!(factor_u128_while(p * q, &mut || true), Ok(vec![q, p]));
        let narrow = factor_big(&UBig::from(7 * p * q), &[7], &mut || false);
        assert_eq!(narrow, Err(Unfinished { found: vec![7], left: UBig::from(p * q) }));
    }

    #[test]
    fn a_remaining_cofactor_is_reported() {
        let left = |n: u64, base: &[u64]| match factor_over(&n.into(), base) {
            Err(CodeError::LeftOver { cofactor }) => cofactor,
            other => panic!("{n} over {base:?} gave {other:?}"),
        };
        assert_eq!(left(2 * 3 * 3 * 7 * 11, &[2, 3, 5]), UBig::from(77u32));
        assert_eq!(left(0, &[2, 3, 5]), UBig::ZERO);
        assert_eq!(left(2, &[]), UBig::from(2u32));
        assert_eq!(factor_over(&UBig::ONE, &[]), Ok(vec![]));
    }
}
