//! Similarity of codes: `log gcd / log lcm`, the weighted Jaccard similarity of their primes.
//!
//! For squarefree a and b, `log gcd(a, b)` is the sum of `ln p` over the primes that both have, and
//! `log lcm(a, b)` the sum over the primes that either has. The similarity is therefore the share
//! of common features among all, each of weight `ln p`; `1 - similarity` is a metric on codes.
//!
//! There are three implementations: by integers, by lists of factors, by bit sets. All find the
//! same divisor and multiple and end in the same function [`score`], so results agree bit for bit.
//! They lie in [0, 1]: a sum over fewer of the same terms in the same order does not round to more.
//! Codes without features are equal: `similarity(1, 1) = 1`, and `similarity(1, a) = 0`.

use crate::codes::bit_code::BitCode;
use crate::codes::factor_code::FactorCode;
use crate::codes::prime_base::PrimeBase;
use crate::error::CodeError;
use crate::numbers::arith::{gcd_big, lcm_big};
use dashu_int::UBig;

/// The weight of a prime: its natural logarithm.
pub fn weight(prime: u64) -> f64 {
    (prime as f64).ln()
}

/// Sum of weights in the given order: `ln n` of a code n. All callers pass them ascending.
pub fn total(weights: impl IntoIterator<Item = f64>) -> f64 {
    weights.into_iter().fold(0.0, |sum, weight| sum + weight)
}

/// Similarity of two codes from the primes of their least common multiple, ascending: the weight of
/// each, and whether it also divides the greatest common divisor.
pub fn score(primes: impl IntoIterator<Item = (f64, bool)>) -> f64 {
    let (mut gcd, mut lcm) = (0.0, 0.0);
    for (weight, is_common) in primes {
        lcm += weight;
        gcd += if is_common { weight } else { 0.0 };
    }
    // Only codes without features have the least common multiple 1.
    if lcm == 0.0 { 1.0 } else { gcd / lcm }
}

/// Similarity by the lists of factors: one merge.
pub fn by_factors(a: &FactorCode, b: &FactorCode) -> f64 {
    of_primes(a.primes(), b.primes())
}

/// [`by_factors`] of codes given as lists of their primes, which must ascend strictly.
pub(crate) fn of_primes(a: &[u64], b: &[u64]) -> f64 {
    score(merged(a, b).map(|(prime, is_common)| (weight(prime), is_common)))
}

/// Similarity by bit sets over a base: AND and OR.
///
/// # Panics
/// If a bit set does not have one bit for each prime of the base.
pub fn by_bits(a: &BitCode, b: &BitCode, base: &PrimeBase) -> f64 {
    assert_eq!(a.n_bits(), base.len(), "by_bits: a must have one bit for each prime");
    assert_eq!(b.n_bits(), base.len(), "by_bits: b must have one bit for each prime");
    score(a.joint(b).map(|i| (base.weight(i), a.has(i) && b.has(i))))
}

/// Similarity by integers: greatest common divisor and least common multiple, factored over `base`,
/// whose primes must ascend.
///
/// # Errors
/// [`CodeError::LeftOver`] if `a` or `b` has other factors or is 0, [`CodeError::Repeated`] if
/// the square of a prime divides one of them.
pub fn by_integers(a: &UBig, b: &UBig, base: &[u64]) -> Result<f64, CodeError> {
    let code = |n: &UBig| FactorCode::from_integer_over(n, base);
    let (gcd, lcm) = (code(&gcd_big(a, b))?, code(&lcm_big(a, b))?);
    Ok(score(lcm.primes().iter().map(|&p| (weight(p), gcd.has(p)))))
}

/// The numbers in both of two strictly ascending lists, ascending.
pub fn common<'a, T: Ord + Copy>(a: &'a [T], b: &'a [T]) -> impl Iterator<Item = T> + 'a {
    merged(a, b).filter_map(|(number, is_in_both)| is_in_both.then_some(number))
}

/// The numbers in either of two strictly ascending lists, ascending.
pub fn joint<'a, T: Ord + Copy>(a: &'a [T], b: &'a [T]) -> impl Iterator<Item = T> + 'a {
    merged(a, b).map(|(number, _)| number)
}

/// The numbers in either of two strictly ascending lists, and whether they are in both.
fn merged<'a, T: Ord + Copy>(a: &'a [T], b: &'a [T]) -> impl Iterator<Item = (T, bool)> + 'a {
    let (mut i, mut j) = (0, 0);
    std::iter::from_fn(move || match (a.get(i).copied(), b.get(j).copied()) {
        (Some(x), Some(y)) => {
            // Branch-free: a branch on which is smaller would be mispredicted half of the time.
            i += usize::from(x <= y);
            j += usize::from(y <= x);
            Some((x.min(y), x == y))
        }
        (x, y) => {
            i += 1;
            j += 1;
            Some((x.or(y)?, false))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{by_bits, by_factors, by_integers, common, joint, score, weight};
    use crate::codes::bit_code::BitCode;
    use crate::codes::factor_code::FactorCode;
    use crate::codes::prime_base::PrimeBase;
    use crate::error::CodeError;
    use crate::numbers::arith::{gcd_big, lcm_big};
    use crate::numbers::primes::nth_primes;
    use dashu_int::UBig;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Primes in the base of the tests: three full words of bits and part of a fourth.
    const N_PRIMES: usize = 200;

    /// Largest number of features of a code.
    const MAX_FEATURES: usize = 12;

    fn codes() -> impl Strategy<Value = FactorCode> {
        // Small indices are frequent, like the features of words, so that pairs share some.
        let index = prop_oneof![0..8usize, 0..N_PRIMES];
        prop::collection::btree_set(index, 0..=MAX_FEATURES)
            .prop_map(|set| FactorCode::from_indices(&PrimeBase::first(N_PRIMES), set).unwrap())
    }

    fn code(primes: &[u64]) -> FactorCode {
        FactorCode::new(primes.iter().copied()).unwrap()
    }

    /// Bound on the rounding error of three similarities: each is a quotient of two sums of
    /// logarithms, with a relative error of at most one epsilon per logarithm, addition, division.
    fn rounding_of_three() -> f64 {
        3.0 * (4 * MAX_FEATURES + 3) as f64 * f64::EPSILON
    }

    /// Whether the distances of three points satisfy the triangle inequality.
    fn is_triangle(ab: f64, bc: f64, ac: f64) -> bool {
        ac <= ab + bc + rounding_of_three()
    }

    #[test]
    fn the_triangle_check_finds_a_planted_error() {
        assert!(is_triangle(0.25, 0.25, 0.5));
        assert!(!is_triangle(0.25, 0.25, 0.5 + 1e-12));
    }

    #[test]
    fn codes_without_features_equal_each_other_and_resemble_no_other() {
        let (one, six) = (FactorCode::one(), code(&[2, 3]));
        assert_eq!(by_factors(&one, &one), 1.0);
        assert_eq!(by_factors(&one, &six), 0.0);
        assert_eq!(by_factors(&six, &one), 0.0);
        assert_eq!(by_integers(&UBig::ONE, &UBig::ONE, &[]), Ok(1.0));
    }

    #[test]
    fn known_similarities() {
        // gcd(6, 10) = 2 and lcm(6, 10) = 30.
        let expected = 2f64.ln() / (2f64.ln() + 3f64.ln() + 5f64.ln());
        assert_eq!(by_factors(&code(&[2, 3]), &code(&[2, 5])), expected);
        // A rare feature in common weighs more than a frequent one.
        let rare = by_factors(&code(&[2, 101]), &code(&[3, 101]));
        assert!(rare > by_factors(&code(&[2, 101]), &code(&[2, 103])));
    }

    #[test]
    fn numbers_that_are_no_code_over_the_base_are_refused() {
        let error = by_integers(&UBig::from(6u32), &UBig::from(14u32), &[2, 3, 5]).unwrap_err();
        assert_eq!(error, CodeError::LeftOver { cofactor: UBig::from(7u32) });
        let error = by_integers(&UBig::from(4u32), &UBig::from(3u32), &[2, 3]).unwrap_err();
        assert_eq!(error, CodeError::Repeated { prime: 2 });
        assert!(by_integers(&UBig::ZERO, &UBig::from(3u32), &[2, 3]).is_err());
    }

    proptest! {
        #[test]
        fn three_implementations_agree_bit_for_bit(a in codes(), b in codes()) {
            let base = PrimeBase::first(N_PRIMES);
            let (m, n) = (a.integer(), b.integer());
            let (x, y) = (BitCode::new(&a, &base).unwrap(), BitCode::new(&b, &base).unwrap());
            let product = |indices: Vec<usize>| {
                FactorCode::from_indices(&base, indices).unwrap().integer()
            };

            prop_assert_eq!(&a.gcd(&b).integer(), &gcd_big(&m, &n));
            prop_assert_eq!(&product(x.common(&y).collect()), &gcd_big(&m, &n));
            prop_assert_eq!(&a.lcm(&b).integer(), &lcm_big(&m, &n));
            prop_assert_eq!(&product(x.joint(&y).collect()), &lcm_big(&m, &n));

            let expected = by_factors(&a, &b).to_bits();
            prop_assert_eq!(by_integers(&m, &n, base.primes()).unwrap().to_bits(), expected);
            prop_assert_eq!(by_bits(&x, &y, &base).to_bits(), expected);
        }

        #[test]
        fn one_minus_similarity_is_a_metric(a in codes(), b in codes(), c in codes()) {
            let distance = |x, y| 1.0 - by_factors(x, y);
            let (ab, bc, ac) = (distance(&a, &b), distance(&b, &c), distance(&a, &c));
            prop_assert_eq!(ab.to_bits(), distance(&b, &a).to_bits());
            prop_assert!((0.0..=1.0).contains(&ab));
            prop_assert_eq!(ab == 0.0, a == b);
            prop_assert_eq!(ab == 1.0, a != b && a.gcd(&b).is_one());
            prop_assert!(is_triangle(ab, bc, ac), "{} {} {}", ab, bc, ac);
        }

        #[test]
        fn merging_is_intersection_and_union(
            a in prop::collection::btree_set(0..40u32, 0..20),
            b in prop::collection::btree_set(0..40u32, 0..20),
        ) {
            let list = |set: &BTreeSet<u32>| set.iter().copied().collect::<Vec<_>>();
            let (x, y) = (list(&a), list(&b));
            prop_assert_eq!(common(&x, &y).collect::<Vec<_>>(), list(&(&a & &b)));
            prop_assert_eq!(joint(&x, &y).collect::<Vec<_>>(), list(&(&a | &b)));
        }
    }

    /// The reason why a single function computes all scores.
    #[test]
    fn the_order_of_summation_changes_the_bits() {
        let parts: Vec<(f64, bool)> =
            nth_primes(60).iter().map(|&p| (weight(p), p % 4 == 1)).collect();
        let differs = |n: &usize| {
            let backwards = score(parts[..*n].iter().rev().copied());
            backwards.to_bits() != score(parts[..*n].iter().copied()).to_bits()
        };
        assert!((1..=60).filter(differs).count() > 10);
    }
}
