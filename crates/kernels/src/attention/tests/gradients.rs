//! The definition's backward pass is the derivative of its forward pass, by complex step.

use super::super::{AttentionShape, naive};
use super::{noise, to_f64};
use complex::{derivatives, zeros};

#[path = "../../../tests/support/complex.rs"]
mod complex;

/// Largest difference, relative to the largest derivative.
fn difference(got: &[f64], want: &[f64]) -> f64 {
    let largest = want.iter().fold(0.0, |m: f64, x| m.max(x.abs()));
    got.iter().zip(want).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs())) / largest
}

fn gradients(shape: AttentionShape, scale_y: f64) -> f64 {
    let qkv = to_f64(&noise(shape.seq_len * shape.qkv_dim(), 7));
    let dy = to_f64(&noise(shape.seq_len * shape.y_dim(), 8));
    let mut y = vec![0.0; dy.len()];
    let mut lse = vec![0.0; shape.n_heads * shape.seq_len];
    naive::forward(&mut y, &mut lse, &qkv, shape);
    y.iter_mut().for_each(|y| *y *= scale_y);
    let mut dqkv = vec![f64::NAN; qkv.len()];
    naive::backward(&mut dqkv, &dy, &y, &qkv, &lse, shape);
    let step = derivatives(&dy, &qkv, |qkv| {
        let (mut y, mut lse) = (zeros(dy.len()), zeros(lse.len()));
        naive::forward(&mut y, &mut lse, qkv, shape);
        y
    });
    difference(&dqkv, &step)
}

/// Rounding alone: the sums have fewer than `qkv.len()` terms of the size of the largest.
fn tolerance(shape: AttentionShape) -> f64 {
    (shape.seq_len * shape.qkv_dim()) as f64 * f64::EPSILON
}

#[test]
fn backward_is_the_derivative_of_forward() {
    for (seq_len, head_dim, n_heads, n_kv_heads) in [(1, 2, 1, 1), (6, 3, 4, 2), (9, 4, 3, 3)] {
        let shape = AttentionShape { n_heads, n_kv_heads, head_dim, seq_len };
        let difference = gradients(shape, 1.0);
        assert!(difference < tolerance(shape), "{shape:?}: {difference:e}");
    }
}

#[test]
fn a_wrong_output_is_noticed() {
    let shape = AttentionShape { n_heads: 4, n_kv_heads: 2, head_dim: 3, seq_len: 6 };
    assert!(gradients(shape, 1.0 + 1e-6) > tolerance(shape));
}
