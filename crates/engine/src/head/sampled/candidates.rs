//! Sampled tokens of a step, with which all its targets are compared.

use kernels::embedding::embedding_forward;
use kernels::matmul::{Packed, pack_straight, pack_transposed, packed_len};
use kernels::rng::{Purpose, Rng};
use kernels::{AlignedVec, Precision};

/// K sampled tokens, drawn anew for every step, with their rows of the output matrix.
///
/// A final row of zeros represents the target, which differs between rows of the batch: with it the
/// logits of a row are one vector, and the product leaves a slot for the target's logit.
#[derive(Debug)]
pub struct SampledTokens {
    seed: u64,
    precision: Precision,
    model_dim: usize,
    /// (V) cumulative weights of the tokens.
    sums: Vec<f64>,
    /// (K) sampled ids, ascending.
    ids: Vec<u32>,
    /// (K + 1, C) their rows.
    rows: AlignedVec<f32>,
    /// (K + 1) -ln(K q) of each; 0 for the target.
    corrections: Vec<f32>,
    /// The packed rows: for logits, and for the gradient of the input.
    forward: AlignedVec<u32>,
    backward: AlignedVec<u32>,
}

impl SampledTokens {
    /// Sampler of `n` tokens per step, for a text with these counts (V).
    ///
    /// # Panics
    /// If there are no tokens or `n` is 0.
    pub fn new(
        counts: &[u64],
        n: usize,
        model_dim: usize,
        precision: Precision,
        seed: u64,
    ) -> SampledTokens {
        assert!(n > 0 && !counts.is_empty(), "SampledTokens: nothing to draw");
        let (mut total, c) = (0.0, model_dim);
        let sum = |count: &u64| {
            // Adds one, so that a token that never occurs is drawn too, and becomes unlikely.
            // Square roots are exact, so the bits are the same everywhere, unlike with a power
            // function.
            let root = (*count as f64 + 1.0).sqrt();
            total += root * root.sqrt();
            total
        };
        SampledTokens {
            seed,
            precision,
            model_dim,
            sums: counts.iter().map(sum).collect(),
            ids: vec![0; n],
            rows: AlignedVec::zeroed((n + 1) * c),
            corrections: vec![0.0; n + 1],
            forward: AlignedVec::zeroed(packed_len(precision, c, n + 1)),
            backward: AlignedVec::zeroed(packed_len(precision, n + 1, c)),
        }
    }

    /// Draws the tokens of step `step` and copies their rows from the output matrix, (V, C).
    pub fn draw(&mut self, table: &[f32], step: u64) {
        let rng = Rng::new(self.seed, Purpose::Negatives, step);
        let (n, c) = (self.ids.len(), self.model_dim);
        let total = self.sums.last().copied().unwrap_or(0.0);
        for (i, id) in self.ids.iter_mut().enumerate() {
            let at = rng.f64_at(i as u64) * total;
            let found = self.sums.partition_point(|sum| *sum <= at);
            *id = found.min(self.sums.len() - 1) as u32;
        }
        self.ids.sort_unstable();
        for (id, correction) in self.ids.iter().map(|id| *id as usize).zip(&mut self.corrections) {
            let before = if id == 0 { 0.0 } else { self.sums[id - 1] };
            let share = (self.sums[id] - before) / total;
            *correction = -(n as f64 * share).ln() as f32;
        }
        embedding_forward(&mut self.rows[..n * c], table, &self.ids);
        pack_transposed(&mut self.forward, &self.rows, c, n + 1, self.precision);
        pack_straight(&mut self.backward, &self.rows, n + 1, c, self.precision);
    }

    /// (K) sampled ids, ascending, possibly repeated.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// (K + 1) corrections added to the logits.
    pub fn corrections(&self) -> &[f32] {
        &self.corrections
    }

    /// The right operand of logits = X·rowsᵀ.
    pub fn forward(&self) -> Packed<'_> {
        let (k, n) = (self.model_dim, self.ids.len() + 1);
        Packed { words: &self.forward, precision: self.precision, k, n }
    }

    /// The right operand of dX = dlogits·rows.
    pub fn backward(&self) -> Packed<'_> {
        let (k, n) = (self.ids.len() + 1, self.model_dim);
        Packed { words: &self.backward, precision: self.precision, k, n }
    }

    /// Bytes of the allocations.
    pub fn bytes(&self) -> usize {
        let words = self.forward.size() + self.backward.size() + self.rows.size();
        let others = self.ids.len() + self.corrections.len();
        (words + others) * size_of::<u32>() + self.sums.len() * size_of::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNTS: [u64; 6] = [80, 0, 15, 255, 0, 1];

    /// Calls `look` with the sampled tokens of each of the steps `0..n_steps`.
    fn at_each_step(n: usize, n_steps: u64, mut look: impl FnMut(&SampledTokens)) {
        let table = vec![0.5; COUNTS.len() * 8];
        let mut candidates = SampledTokens::new(&COUNTS, n, 8, Precision::F32, 3);
        for step in 0..n_steps {
            candidates.draw(&table, step);
            look(&candidates);
        }
    }

    /// Draws follow (count + 1)^(3/4) and depend only on the step.
    #[test]
    fn draws_follow_the_counts() {
        let (mut drawn, mut first) = ([0u32; 6], Vec::new());
        at_each_step(50, 400, |candidates| {
            assert!(candidates.ids().is_sorted());
            candidates.ids().iter().for_each(|id| drawn[*id as usize] += 1);
            first.push(candidates.ids().to_vec());
        });
        let weights = COUNTS.map(|count| (count as f64 + 1.0).powf(0.75));
        let total: f64 = weights.iter().sum();
        for (drawn, weight) in drawn.iter().zip(weights) {
            let (n, p) = (50.0 * 400.0, weight / total);
            let sd = (n * p * (1.0 - p)).sqrt();
            assert!((*drawn as f64 - n * p).abs() < 5.0 * sd, "{drawn} for {}", n * p);
        }
        let mut step = 0;
        at_each_step(50, 3, |candidates| {
            assert_eq!(candidates.ids(), first[step]);
            step += 1;
        });
        assert_ne!(first[0], first[1]);
    }

    /// The mean estimate of the softmax's sum equals the sum itself: here all logits are 0, so it
    /// is V.
    #[test]
    fn the_estimated_sum_is_unbiased() {
        for target in 0..6u32 {
            let (mut sum, mut squares, n) = (0.0, 0.0, 2_000.0);
            at_each_step(20, n as u64, |candidates| {
                let drawn = candidates.ids().iter().zip(candidates.corrections());
                let others = drawn.filter(|(id, _)| **id != target);
                let z = 1.0 + others.map(|(_, x)| (*x as f64).exp()).sum::<f64>();
                (sum, squares) = (sum + z, squares + z * z);
            });
            let mean = sum / n;
            let error = ((squares / n - mean * mean) / n).sqrt();
            assert!((mean - 6.0).abs() < 5.0 * error, "{mean} +- {error} for target {target}");
        }
    }
}
