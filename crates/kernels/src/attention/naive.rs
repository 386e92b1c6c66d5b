//! Definition of causal attention and its gradient: plain loops over any scalar type.
//!
//! Speed does not matter here. On f64 the loops check the fast paths; on complex numbers they
//! differentiate themselves: the derivative of `f` at `x` is `im(f(x + ih)) / h` without cancellation
//! (Squire and Trapp, "Using complex variables to estimate derivatives", 1998).

use super::AttentionShape;
use crate::scalar::Scalar;

/// Inner product, summed from left to right.
fn dot<S: Scalar>(a: &[S], b: &[S]) -> S {
    a.iter().zip(b).fold(S::from_f64(0.0), |sum, (a, b)| sum + *a * *b)
}

/// `y_acc += factor * x`.
fn add_scaled<S: Scalar>(y_acc: &mut [S], factor: S, x: &[S]) {
    for (y, x) in y_acc.iter_mut().zip(x) {
        *y += factor * *x;
    }
}

/// `log(sum(exp(scores)))`, relative to the largest score so that nothing overflows.
fn log_sum_exp<S: Scalar>(scores: &[S]) -> S {
    let max = S::from_f64(scores.iter().fold(f64::NEG_INFINITY, |m, s| m.max(s.real())));
    let sum = scores.iter().fold(S::from_f64(0.0), |sum, s| sum + (*s - max).exp());
    max + sum.ln()
}

/// The scaled scores of query head `h` at position `t` against the keys at `0..=t`.
fn scores<S: Scalar>(qkv: &[S], shape: AttentionShape, h: usize, t: usize) -> Vec<S> {
    let scale = S::from_f64(shape.scale().into());
    let q = &qkv[shape.query(t, h)];
    (0..=t).map(|j| dot(q, &qkv[shape.key(j, h)]) * scale).collect()
}

/// Definition of [`attention_forward`](super::attention_forward).
pub fn forward<S: Scalar>(y: &mut [S], lse: &mut [S], qkv: &[S], shape: AttentionShape) {
    for h in 0..shape.n_heads {
        for t in 0..shape.seq_len {
            let scores = scores(qkv, shape, h, t);
            let log_sum = log_sum_exp(&scores);
            lse[h * shape.seq_len + t] = log_sum;
            let y = &mut y[shape.output(t, h)];
            y.fill(S::from_f64(0.0));
            for (j, score) in scores.into_iter().enumerate() {
                add_scaled(y, (score - log_sum).exp(), &qkv[shape.value(j, h)]);
            }
        }
    }
}

/// Definition of [`attention_backward`](super::attention_backward).
pub fn backward<S: Scalar>(
    dqkv: &mut [S],
    dy: &[S],
    y: &[S],
    qkv: &[S],
    lse: &[S],
    shape: AttentionShape,
) {
    let scale = S::from_f64(shape.scale().into());
    dqkv.fill(S::from_f64(0.0));
    for h in 0..shape.n_heads {
        for t in 0..shape.seq_len {
            let dy = &dy[shape.output(t, h)];
            let delta = dot(dy, &y[shape.output(t, h)]);
            for (j, score) in scores(qkv, shape, h, t).into_iter().enumerate() {
                let p = (score - lse[h * shape.seq_len + t]).exp();
                let dp = dot(dy, &qkv[shape.value(j, h)]);
                let ds = p * (dp - delta) * scale;
                add_scaled(&mut dqkv[shape.query(t, h)], ds, &qkv[shape.key(j, h)]);
                add_scaled(&mut dqkv[shape.key(j, h)], ds, &qkv[shape.query(t, h)]);
                add_scaled(&mut dqkv[shape.value(j, h)], p, dy);
            }
        }
    }
}
