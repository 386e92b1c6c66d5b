//! Start of a fit: each row by least squares from the factored layer.
//!
//! A factored layer's ln P(token | h) is class row · h + member row · h + both biases, minus the
//! log-sum-exp of the class's logits, minus a term common to all tokens. The first two terms are
//! linear in h already. Biases and log-sum-exps, which a plain matrix lacks, are replaced by their
//! closest linear functions of h over some inputs.

use super::cholesky::Cholesky;
use crate::head::factor::Factored;
use kernels::Rows;

/// Sums over inputs h, for least squares.
#[derive(Debug)]
pub(super) struct Start {
    model_dim: usize,
    /// (C, C) sum of h·hᵀ.
    squares: Vec<f64>,
    /// (C) sum of h: for the constant 1.
    ones: Vec<f64>,
    /// (classes, C) sum of ln(sum of the class's e^logit)·h.
    sums: Vec<f64>,
}

impl Start {
    pub fn new(c: usize, n_classes: usize) -> Start {
        Start {
            model_dim: c,
            squares: vec![0.0; c * c],
            ones: vec![0.0; c],
            sums: vec![0.0; n_classes * c],
        }
    }

    /// Adds (R, C) inputs; `lse`, (classes, at least R), holds the log-sum-exps.
    pub fn add(&mut self, inputs: Rows, lse: &[f32]) {
        let c = self.model_dim;
        let n_most = lse.len() * c / self.sums.len();
        for r in 0..inputs.len() / c {
            let h: Vec<f64> = (r * c..(r + 1) * c).map(|i| inputs.get(i) as f64).collect();
            for (i, squares) in self.squares.chunks_exact_mut(c).enumerate() {
                add_scaled(squares, &h, h[i]);
            }
            for (class, sums) in self.sums.chunks_exact_mut(c).enumerate() {
                add_scaled(sums, &h, lse[class * n_most + r] as f64);
            }
            add_scaled(&mut self.ones, &h, 1.0);
        }
    }

    /// Writes the rows, (V, C).
    pub fn write(&mut self, rows: &mut [f32], layer: &Factored, params: &[f32]) {
        let c = self.model_dim;
        // Regularised: the inputs need not span all directions.
        let trace: f64 = (0..c).map(|i| self.squares[i * (c + 1)]).sum();
        (0..c).for_each(|i| self.squares[i * (c + 1)] += 1e-6 * trace + f64::MIN_POSITIVE);
        match Cholesky::new(std::mem::take(&mut self.squares), c) {
            Some(cholesky) => {
                cholesky.solve(&mut self.ones);
                self.sums.chunks_exact_mut(c).for_each(|sums| cholesky.solve(sums));
            }
            // Inputs that are not finite; the first step of fitting reports them.
            None => self.sums.fill(0.0),
        }
        let (of_class, class_bias) = layer.class_weights(params);
        let (members, member_bias) = layer.member_weights(params);
        let of_class = of_class.chunks_exact(c);
        for (class, (class_row, sums)) in of_class.zip(self.sums.chunks_exact(c)).enumerate() {
            for id in layer.ids(class) {
                let bias = (class_bias[class] + member_bias[id]) as f64;
                for i in 0..c {
                    let linear = bias * self.ones[i] - sums[i];
                    rows[id * c + i] = class_row[i] + members[id * c + i] + linear as f32;
                }
            }
        }
    }
}

/// `sum += factor * x`.
fn add_scaled(sum: &mut [f64], x: &[f64], factor: f64) {
    sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += factor * x);
}
