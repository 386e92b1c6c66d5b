//! Base of primes for codes: the first n primes, with index and weight.

use crate::codes::similarity::weight;
use crate::numbers::primes::nth_primes;

/// The first `len()` primes, indexed from 0, and their weights `ln p`.
///
/// The feature of frequency rank i gets prime i. Under Zipf's law the weight `ln p` then grows as
/// minus the logarithm of the frequency: sharing a rare feature counts for more.
#[derive(Clone, Debug)]
pub struct PrimeBase {
    primes: Vec<u64>,
    weights: Vec<f64>,
}

impl PrimeBase {
    /// The base of the first `n` primes.
    pub fn first(n: usize) -> PrimeBase {
        let primes = nth_primes(n);
        let weights = primes.iter().map(|&p| weight(p)).collect();
        PrimeBase { primes, weights }
    }

    /// Number of primes.
    pub fn len(&self) -> usize {
        self.primes.len()
    }

    /// Whether the base is empty.
    pub fn is_empty(&self) -> bool {
        self.primes.is_empty()
    }

    /// All primes, ascending.
    pub fn primes(&self) -> &[u64] {
        &self.primes
    }

    /// The prime with this index; index 0 is 2.
    ///
    /// # Panics
    /// If `index` is not below [`PrimeBase::len`].
    pub fn prime(&self, index: usize) -> u64 {
        self.primes[index]
    }

    /// `ln p` of the prime with this index, bit for bit equal to [`weight`].
    ///
    /// # Panics
    /// As [`PrimeBase::prime`].
    pub fn weight(&self, index: usize) -> f64 {
        self.weights[index]
    }

    /// The index of a prime, if it is in the base.
    pub fn index(&self, prime: u64) -> Option<usize> {
        self.primes.binary_search(&prime).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::PrimeBase;

    #[test]
    fn indices_and_primes_are_inverse() {
        let base = PrimeBase::first(1_000);
        for i in 0..base.len() {
            assert_eq!(base.index(base.prime(i)), Some(i));
            assert_eq!(base.weight(i), (base.prime(i) as f64).ln());
        }
        assert_eq!((base.prime(0), base.prime(999)), (2, 7_919));
        assert_eq!([0, 1, 4, 7_920, 7_927].map(|n| base.index(n)), [None; 5]);
        assert!(PrimeBase::first(0).is_empty() && !base.is_empty());
    }
}
