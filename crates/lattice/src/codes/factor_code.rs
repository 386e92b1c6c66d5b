//! `FactorCode`: a set of features as one integer, the product of one prime per feature.

use crate::codes::prime_base::PrimeBase;
use crate::codes::similarity::{common, joint};
use crate::error::CodeError;
use crate::numbers::factorise::{factor_over, factor_u128};
use crate::numbers::primality::is_prime;
use dashu_int::UBig;
use std::fmt;

/// A squarefree integer, stored as the list of its primes. The empty set is the integer 1.
///
/// By unique factorisation, integers correspond to sets: divisibility is inclusion, the greatest
/// common divisor is the intersection, the least common multiple is the union. Files store the
/// list of primes too ([`FactorCode::primes`], [`FactorCode::new`]).
///
/// ```
/// use lattice::FactorCode;
/// let code = FactorCode::new([31, 2, 7])?;
/// assert_eq!(code.to_string(), "2·7·31 = 434");
/// assert_eq!(FactorCode::from_integer(434)?, code);
/// # Ok::<(), lattice::CodeError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FactorCode {
    /// Strictly ascending.
    primes: Vec<u64>,
}

impl FactorCode {
    /// The code of the given primes, in any order.
    ///
    /// # Errors
    /// [`CodeError::NotPrime`], or [`CodeError::Repeated`] if a prime occurs twice.
    pub fn new(primes: impl IntoIterator<Item = u64>) -> Result<FactorCode, CodeError> {
        let mut primes: Vec<u64> = primes.into_iter().collect();
        if let Some(&found) = primes.iter().find(|&&p| !is_prime(p)) {
            return Err(CodeError::NotPrime { found });
        }
        primes.sort_unstable();
        FactorCode::from_ascending(primes)
    }

    /// The code without features: the integer 1.
    pub fn one() -> FactorCode {
        FactorCode::default()
    }

    /// The code of the given primes of a base, in any order. Faster than [`FactorCode::new`] when
    /// reading the codes of a whole vocabulary: it looks primes up instead of testing them.
    ///
    /// # Errors
    /// [`CodeError::OutsideBase`], or [`CodeError::Repeated`] if a prime occurs twice.
    pub fn over(
        base: &PrimeBase,
        primes: impl IntoIterator<Item = u64>,
    ) -> Result<FactorCode, CodeError> {
        let mut primes: Vec<u64> = primes.into_iter().collect();
        if let Some(&prime) = primes.iter().find(|&&p| base.index(p).is_none()) {
            return Err(CodeError::OutsideBase { prime, n_primes: base.len() });
        }
        primes.sort_unstable();
        FactorCode::from_ascending(primes)
    }

    /// The code of the primes at the given indices of a base, in any order.
    ///
    /// # Errors
    /// [`CodeError::Repeated`] if an index occurs twice.
    ///
    /// # Panics
    /// If an index is not below `base.len()`.
    pub fn from_indices(
        base: &PrimeBase,
        indices: impl IntoIterator<Item = usize>,
    ) -> Result<FactorCode, CodeError> {
        let mut primes: Vec<u64> = indices.into_iter().map(|i| base.prime(i)).collect();
        primes.sort_unstable();
        FactorCode::from_ascending(primes)
    }

    /// The code with integer `n`, over any primes. For its running time see [`factor_u128`].
    ///
    /// # Errors
    /// [`CodeError::Repeated`] if a square divides `n`, [`CodeError::TooLarge`] if a prime factor
    /// has more than 64 bits, [`CodeError::LeftOver`] for 0.
    pub fn from_integer(n: u128) -> Result<FactorCode, CodeError> {
        if n == 0 {
            return Err(CodeError::LeftOver { cofactor: UBig::ZERO });
        }
        let narrow = |prime| u64::try_from(prime).map_err(|_| CodeError::TooLarge { prime });
        let primes: Result<_, _> = factor_u128(n).into_iter().map(narrow).collect();
        FactorCode::from_ascending(primes?)
    }

    /// The code with integer `n`, over the primes of `base` only. `base` must ascend.
    ///
    /// # Errors
    /// [`CodeError::LeftOver`] if `n` has other factors or is 0, [`CodeError::Repeated`] if the
    /// square of a prime divides it.
    pub fn from_integer_over(n: &UBig, base: &[u64]) -> Result<FactorCode, CodeError> {
        FactorCode::from_ascending(factor_over(n, base)?)
    }

    /// The code of ascending primes, checked only for repetitions.
    fn from_ascending(primes: Vec<u64>) -> Result<FactorCode, CodeError> {
        match primes.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(CodeError::Repeated { prime: pair[0] }),
            None => Ok(FactorCode { primes }),
        }
    }

    /// The primes, strictly ascending.
    pub fn primes(&self) -> &[u64] {
        &self.primes
    }

    /// Whether this is the integer 1.
    pub fn is_one(&self) -> bool {
        self.primes.is_empty()
    }

    /// The integer.
    pub fn integer(&self) -> UBig {
        self.primes.iter().map(|&p| UBig::from(p)).product()
    }

    /// The integer, if it is below 2^128.
    pub fn integer_u128(&self) -> Option<u128> {
        self.primes.iter().try_fold(1u128, |product, &p| product.checked_mul(p.into()))
    }

    /// Whether the code has this prime.
    pub fn has(&self, prime: u64) -> bool {
        self.primes.binary_search(&prime).is_ok()
    }

    /// Greatest common divisor: the features that both have.
    pub fn gcd(&self, other: &FactorCode) -> FactorCode {
        FactorCode { primes: common(&self.primes, &other.primes).collect() }
    }

    /// Least common multiple: the features that either has.
    pub fn lcm(&self, other: &FactorCode) -> FactorCode {
        FactorCode { primes: joint(&self.primes, &other.primes).collect() }
    }
}

/// Factors and integer, as in `2·7·31 = 434`; only the integer for 1 and for a single prime.
impl fmt::Display for FactorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.primes.len() > 1 {
            for (i, p) in self.primes.iter().enumerate() {
                let dot = if i > 0 { "·" } else { "" };
                write!(f, "{dot}{p}")?;
            }
            f.write_str(" = ")?;
        }
        write!(f, "{}", self.integer())
    }
}

#[cfg(test)]
mod tests {
    use super::FactorCode;
    use crate::codes::prime_base::PrimeBase;
    use crate::error::CodeError;
    use crate::numbers::arith::{gcd_big, lcm_big};
    use dashu_int::UBig;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn code(primes: &[u64]) -> FactorCode {
        FactorCode::new(primes.iter().copied()).unwrap()
    }

    #[test]
    fn shows_factors_and_integer() {
        assert_eq!(code(&[31, 2, 7]).to_string(), "2·7·31 = 434");
        assert_eq!(code(&[611_953]).to_string(), "611953");
        assert_eq!(FactorCode::one().to_string(), "1");
    }

    #[test]
    fn invalid_codes_are_refused() {
        let refused = |primes: &[u64]| FactorCode::new(primes.iter().copied()).unwrap_err();
        assert_eq!(refused(&[2, 9, 5]), CodeError::NotPrime { found: 9 });
        assert_eq!(refused(&[1]), CodeError::NotPrime { found: 1 });
        assert_eq!(refused(&[7, 2, 7]), CodeError::Repeated { prime: 7 });
        assert_eq!(FactorCode::from_integer(12), Err(CodeError::Repeated { prime: 2 }));
        let zero = CodeError::LeftOver { cofactor: UBig::ZERO };
        assert_eq!(FactorCode::from_integer(0), Err(zero.clone()));
        assert_eq!(FactorCode::from_integer_over(&UBig::ZERO, &[2, 3]), Err(zero));
        let prime = u128::MAX - 158;
        assert_eq!(FactorCode::from_integer(prime), Err(CodeError::TooLarge { prime }));
        let over = |n: u64| FactorCode::from_integer_over(&n.into(), &[2, 3]);
        assert_eq!(over(18), Err(CodeError::Repeated { prime: 3 }));
        assert_eq!(over(30), Err(CodeError::LeftOver { cofactor: UBig::from(5u32) }));
        let base = PrimeBase::first(4);
        let twice = FactorCode::from_indices(&base, [3, 1, 3]);
        assert_eq!(twice, Err(CodeError::Repeated { prime: 7 }));
        let outside = |prime| Err(CodeError::OutsideBase { prime, n_primes: 4 });
        assert_eq!(FactorCode::over(&base, [2, 11]), outside(11));
        assert_eq!(FactorCode::over(&base, [6]), outside(6));
        assert_eq!(FactorCode::over(&base, [7, 2, 7]), twice);
    }

    #[test]
    fn a_product_beyond_128_bits_is_none() {
        let long = FactorCode::from_indices(&PrimeBase::first(40), 0..40).unwrap();
        assert_eq!(long.integer_u128(), None);
        assert_eq!(code(&[2, 5]).integer_u128(), Some(10));
        assert_eq!(FactorCode::one().integer_u128(), Some(1));
    }

    fn index_sets() -> impl Strategy<Value = BTreeSet<usize>> {
        prop::collection::btree_set(0..400usize, 0..30)
    }

    proptest! {
        #[test]
        fn the_integer_determines_the_features(indices in index_sets()) {
            let base = PrimeBase::first(400);
            let code = FactorCode::from_indices(&base, indices.iter().copied()).unwrap();
            let found: BTreeSet<usize> =
                code.primes().iter().map(|&p| base.index(p).unwrap()).collect();
            prop_assert_eq!(&found, &indices);
            prop_assert_eq!(&FactorCode::new(code.primes().to_vec()).unwrap(), &code);
            let backwards = code.primes().iter().rev().copied();
            prop_assert_eq!(&FactorCode::over(&base, backwards).unwrap(), &code);
            prop_assert_eq!(
                &FactorCode::from_integer_over(&code.integer(), base.primes()).unwrap(),
                &code
            );
            if let Some(n) = code.integer_u128() {
                prop_assert_eq!(&code.integer(), &UBig::from(n));
                prop_assert_eq!(&FactorCode::from_integer(n).unwrap(), &code);
            }
        }

        #[test]
        fn sets_and_integers_have_the_same_gcd_and_lcm(a in index_sets(), b in index_sets()) {
            let base = PrimeBase::first(400);
            let code = |set: &BTreeSet<usize>| {
                FactorCode::from_indices(&base, set.iter().copied()).unwrap()
            };
            let (x, y) = (code(&a), code(&b));
            prop_assert_eq!(x.gcd(&y), code(&(&a & &b)));
            prop_assert_eq!(x.lcm(&y), code(&(&a | &b)));
            prop_assert_eq!(x.gcd(&y).integer(), gcd_big(&x.integer(), &y.integer()));
            prop_assert_eq!(x.lcm(&y).integer(), lcm_big(&x.integer(), &y.integer()));
            prop_assert!(base.primes().iter().all(|&p| x.gcd(&y).has(p) == (x.has(p) && y.has(p))));
        }
    }
}
