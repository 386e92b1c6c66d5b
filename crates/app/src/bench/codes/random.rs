//! Random codes that resemble a vocabulary's, and random vectors; reproducible.

use kernels::rng::{Draws, Purpose, Rng};
use lattice::{FactorCode, PrimeBase};
use std::collections::BTreeSet;

/// A source of random codes and vectors.
pub struct RandomCodes(Draws);

impl RandomCodes {
    pub fn new(stream: u64) -> RandomCodes {
        RandomCodes(Rng::new(1, Purpose::Test, stream).draws())
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.0.below(n as u64) as usize
    }

    /// Index of a feature: i with probability about `1 / (i + 1)`, after Zipf.
    pub fn zipf(&mut self, n: usize) -> usize {
        let share = self.0.below(1 << 30) as f64 / (1u64 << 30) as f64;
        (((n + 1) as f64).powf(share) - 1.0) as usize
    }

    /// Distinct features out of `n`, mostly frequent ones.
    pub fn features(&mut self, n_features: usize, n: usize) -> BTreeSet<usize> {
        let mut set = BTreeSet::new();
        while set.len() < n_features {
            set.insert(self.zipf(n));
        }
        set
    }

    /// Rows of numbers between -1 and 1.
    pub fn rows(&mut self, n: usize, dim: usize) -> Vec<f32> {
        (0..n * dim).map(|_| self.below(2_001) as f32 / 1_000.0 - 1.0).collect()
    }
}

/// The codes of sets of features over a base.
pub fn codes_of(base: &PrimeBase, sets: &[BTreeSet<usize>]) -> Vec<FactorCode> {
    let code = |set: &BTreeSet<usize>| FactorCode::from_indices(base, set.iter().copied());
    sets.iter().map(|set| code(set).expect("a set repeats nothing")).collect()
}
