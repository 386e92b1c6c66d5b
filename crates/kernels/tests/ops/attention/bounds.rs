//! Rounding bounds of attention: first-order limits on the error of every output, element by element.
//!
//! `U` is the unit roundoff of f32; `ub` is that of bf16 where operands are rounded to it. The error
//! of a sum of `n` terms is at most `n U` times the sum of their magnitudes (Higham, "Accuracy and
//! Stability of Numerical Algorithms", section 3.1). A relative error `e` of every weight changes the
//! numerator and the denominator of the softmax by at most `e` each.

use crate::ops::check::{U, U_BF16};
use kernels::Precision;
use kernels::attention::AttentionShape;

/// Keys per block; between blocks the kernel rescales its sums.
const BLOCK_KEYS: usize = 384;

/// At most 4 errors of the size of `ub`, the largest, multiply each other.
const SECOND_ORDER: f64 = 1.0 + 8.0 / 256.0;

/// Results below the normal range, and products of them, may be flushed to 0.
const TINY: f64 = 16.0 * f32::MIN_POSITIVE as f64;

/// Unit roundoff of operands.
fn operand_roundoff(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 0.0,
        Precision::Bf16 => U_BF16,
    }
}

fn magnitude(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a * b).abs()).sum()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The scaled score, and a bound on the relative error of `exp(score - shift)`.
///
/// The score is a sum of D products; the factor `scale * log2(e)` is rounded twice and its product
/// with the score once; the shift is subtracted once; exp2 errs by 2 ulp, which is at most 4 U.
fn score(q: &[f64], k: &[f64], shift: f64, shape: AttentionShape) -> (f64, f64) {
    let scale = f64::from(shape.scale());
    let score = dot(q, k) * scale;
    let sum = (shape.head_dim + 1) as f64 * U * magnitude(q, k) * scale;
    (score, sum + 3.0 * U * score.abs() + U * (score - shift).abs() + 4.0 * U)
}

/// Bounds for `y` and `lse`.
pub fn forward_bound(
    qkv: &[f64],
    shape: AttentionShape,
    precision: Precision,
) -> (Vec<f64>, Vec<f64>) {
    let ub = operand_roundoff(precision);
    let mut y_bound = vec![0.0; shape.seq_len * shape.y_dim()];
    let mut lse_bound = vec![0.0; shape.n_heads * shape.seq_len];
    for (h, t) in (0..shape.n_heads).flat_map(|h| (0..shape.seq_len).map(move |t| (h, t))) {
        let q = &qkv[shape.query(t, h)];
        let scores: Vec<_> =
            (0..=t).map(|j| score(q, &qkv[shape.key(j, h)], 0.0, shape).0).collect();
        let max = scores.iter().fold(f64::NEG_INFINITY, |m, s| m.max(*s));
        let largest = scores.iter().fold(0.0, |m: f64, s| m.max(s.abs()));
        let sum: f64 = scores.iter().map(|s| (s - max).exp()).sum();
        let n = (t + 1) as f64;
        // A later block shrinks earlier sums: 2 roundings, exp2, and its argument's rounding.
        let rescales = (t / BLOCK_KEYS) as f64;
        let rescaled = rescales * (7.0 * U + 2.0 * U * largest);
        // Sixteen partial sums, then 4 halvings.
        let sum_error = (n / 16.0 + 6.0) * U;

        let y = shape.output(t, h);
        let (mut mean_error, mut mean) = (0.0, vec![0.0; shape.head_dim]);
        for j in 0..=t {
            let (score, error) = score(q, &qkv[shape.key(j, h)], max, shape);
            let (p, error) = ((score - max).exp() / sum, error + rescaled);
            mean_error += p * error;
            for (d, v) in qkv[shape.value(j, h)].iter().enumerate() {
                mean[d] += p * v;
                let each = p * (error + ub + (n + 2.0) * U) + TINY;
                y_bound[y.start + d] += each * v.abs();
            }
        }
        for d in 0..shape.head_dim {
            let bound = y_bound[y.start + d] + mean[d].abs() * (mean_error + sum_error + 2.0 * U);
            y_bound[y.start + d] = (bound + ub * mean[d].abs()) * SECOND_ORDER + TINY;
        }
        // The logarithm, the sum with the maximum and the factor ln 2 are rounded.
        let last = 4.0 * U * (max.abs() + sum.ln() + 1.0);
        lse_bound[h * shape.seq_len + t] = (mean_error + sum_error + last) * SECOND_ORDER;
    }
    (y_bound, lse_bound)
}

/// Bounds for `dqkv`, given the exact `y` and `lse` that the backward pass reads.
pub fn backward_bound(
    dy: &[f64],
    y: &[f64],
    qkv: &[f64],
    lse: &[f64],
    shape: AttentionShape,
    precision: Precision,
) -> Vec<f64> {
    let (ub, scale) = (operand_roundoff(precision), f64::from(shape.scale()));
    let head_terms = (shape.head_dim + 2) as f64 * U;
    let row_terms = (shape.seq_len * shape.group() + 4) as f64 * U;
    let mut bound = vec![0.0; shape.seq_len * shape.qkv_dim()];
    for (h, t) in (0..shape.n_heads).flat_map(|h| (0..shape.seq_len).map(move |t| (h, t))) {
        let (q, dy) = (&qkv[shape.query(t, h)], &dy[shape.output(t, h)]);
        let (y, lse) = (&y[shape.output(t, h)], lse[h * shape.seq_len + t]);
        let (delta, delta_error) = (dot(dy, y), head_terms * magnitude(dy, y));
        for j in 0..=t {
            let (k, v) = (&qkv[shape.key(j, h)], &qkv[shape.value(j, h)]);
            let (score, error) = score(q, k, lse, shape);
            // The saved lse is converted to an exponent of 2 with two roundings.
            let (p, p_error) = ((score - lse).exp(), error + 2.0 * U * lse.abs());
            let (dp, dp_error) = (dot(dy, v), (head_terms + ub) * magnitude(dy, v));
            let ds = p * (dp - delta);
            let ds_error = p * (p_error + 2.0 * U) * (dp.abs() + delta.abs())
                + p * (dp_error + delta_error)
                + ub * ds.abs()
                + TINY;
            let ds_total = (ds_error + (row_terms + 2.0 * U) * ds.abs()) * scale;
            // `ds` is rounded with its error; `dy` and `p` are both rounded where they are operands.
            let ds_total = ds_total * SECOND_ORDER;
            let p_total = (p * (p_error + 2.0 * ub + row_terms) + TINY) * SECOND_ORDER;
            for d in 0..shape.head_dim {
                bound[shape.query(t, h).start + d] += ds_total * k[d].abs();
                bound[shape.key(j, h).start + d] += ds_total * q[d].abs();
                bound[shape.value(j, h).start + d] += p_total * dy[d].abs();
            }
        }
    }
    bound
}
