//! Bit set of a code: one bit for each prime of a base.

use crate::codes::bits::ones;
use crate::codes::factor_code::FactorCode;
use crate::codes::prime_base::PrimeBase;
use crate::error::CodeError;

/// Primes of a code as bits: bit `i` is set if the code has prime `i` of the base.
///
/// The greatest common divisor of two codes is the AND of their bits, the least common multiple
/// is the OR: one instruction per 64 primes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BitCode {
    n_bits: usize,
    words: Box<[u64]>,
}

impl BitCode {
    /// The bits of a code: `base.len()` bits.
    ///
    /// # Errors
    /// [`CodeError::OutsideBase`] if a prime of the code is not in the base.
    pub fn new(code: &FactorCode, base: &PrimeBase) -> Result<BitCode, CodeError> {
        let n_bits = base.len();
        let mut words = vec![0; n_bits.div_ceil(64)].into_boxed_slice();
        for &prime in code.primes() {
            let outside = CodeError::OutsideBase { prime, n_primes: n_bits };
            let i = base.index(prime).ok_or(outside)?;
            words[i / 64] |= 1 << (i % 64);
        }
        Ok(BitCode { n_bits, words })
    }

    /// Number of primes in the base.
    pub fn n_bits(&self) -> usize {
        self.n_bits
    }

    /// The bits, 64 per word; bits from [`BitCode::n_bits`] on are 0.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Whether the code has the prime with this index.
    ///
    /// # Panics
    /// If `index` is not below [`BitCode::n_bits`], rounded up to a multiple of 64.
    pub fn has(&self, index: usize) -> bool {
        self.words[index / 64] >> (index % 64) & 1 == 1
    }

    /// Indices of the primes, ascending.
    pub fn indices(&self) -> impl Iterator<Item = usize> + '_ {
        ones(self.words.iter().copied())
    }

    /// Indices of the primes that both codes have, ascending.
    ///
    /// # Panics
    /// If the codes are over bases of different lengths.
    pub fn common<'a>(&'a self, other: &'a BitCode) -> impl Iterator<Item = usize> + 'a {
        ones(self.pairs(other).map(|(a, b)| a & b))
    }

    /// Indices of the primes that either code has, ascending.
    ///
    /// # Panics
    /// As [`BitCode::common`].
    pub fn joint<'a>(&'a self, other: &'a BitCode) -> impl Iterator<Item = usize> + 'a {
        ones(self.pairs(other).map(|(a, b)| a | b))
    }

    /// Number of primes that both codes have.
    ///
    /// # Panics
    /// As [`BitCode::common`].
    pub fn n_common(&self, other: &BitCode) -> u32 {
        self.pairs(other).map(|(a, b)| (a & b).count_ones()).sum()
    }

    /// Number of primes that either code has.
    ///
    /// # Panics
    /// As [`BitCode::common`].
    pub fn n_joint(&self, other: &BitCode) -> u32 {
        self.pairs(other).map(|(a, b)| (a | b).count_ones()).sum()
    }

    fn pairs<'a>(&'a self, other: &'a BitCode) -> impl Iterator<Item = (u64, u64)> + 'a {
        assert_eq!(self.n_bits, other.n_bits, "BitCode: the codes are over different bases");
        self.words.iter().copied().zip(other.words.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::BitCode;
    use crate::codes::factor_code::FactorCode;
    use crate::codes::prime_base::PrimeBase;
    use crate::error::CodeError;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn bits(indices: &BTreeSet<usize>, base: &PrimeBase) -> BitCode {
        let code = FactorCode::from_indices(base, indices.iter().copied()).unwrap();
        BitCode::new(&code, base).unwrap()
    }

    fn index_sets() -> impl Strategy<Value = BTreeSet<usize>> {
        prop::collection::btree_set(0..150usize, 0..40)
    }

    proptest! {
        #[test]
        fn bits_are_sets_of_indices(a in index_sets(), b in index_sets()) {
            let base = PrimeBase::first(150);
            let (x, y) = (bits(&a, &base), bits(&b, &base));
            prop_assert_eq!((x.n_bits(), x.words().len()), (150, 3));
            prop_assert_eq!(x.indices().collect::<BTreeSet<_>>(), a.clone());
            prop_assert!((0..150).all(|i| x.has(i) == a.contains(&i)));
            prop_assert_eq!(x.common(&y).collect::<BTreeSet<_>>(), &a & &b);
            prop_assert_eq!(x.joint(&y).collect::<BTreeSet<_>>(), &a | &b);
            prop_assert_eq!(x.n_common(&y) as usize, (&a & &b).len());
            prop_assert_eq!(x.n_joint(&y) as usize, (&a | &b).len());
        }
    }

    #[test]
    fn a_prime_outside_the_base_is_refused() {
        let code = FactorCode::new([2, 13]).unwrap();
        let error = BitCode::new(&code, &PrimeBase::first(5)).unwrap_err();
        assert_eq!(error, CodeError::OutsideBase { prime: 13, n_primes: 5 });
        assert!(BitCode::new(&code, &PrimeBase::first(6)).is_ok());
    }

    #[test]
    #[should_panic(expected = "different bases")]
    fn codes_over_different_bases_cannot_be_compared() {
        let code = |n| BitCode::new(&FactorCode::one(), &PrimeBase::first(n)).unwrap();
        code(5).n_common(&code(6));
    }
}
