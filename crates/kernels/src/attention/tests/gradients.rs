//! The definition's backward pass is the derivative of its forward pass, by complex step.

use super::super::{AttentionShape, naive};
use super::{noise, to_f64};
use std::ops::{Add, Mul, Sub};

#[derive(Clone, Copy)]
struct Complex {
    re: f64,
    im: f64,
}

impl Add for Complex {
    type Output = Complex;
    fn add(self, z: Complex) -> Complex {
        Complex { re: self.re + z.re, im: self.im + z.im }
    }
}

impl Sub for Complex {
    type Output = Complex;
    fn sub(self, z: Complex) -> Complex {
        Complex { re: self.re - z.re, im: self.im - z.im }
    }
}

impl Mul for Complex {
    type Output = Complex;
    fn mul(self, z: Complex) -> Complex {
        Complex { re: self.re * z.re - self.im * z.im, im: self.re * z.im + self.im * z.re }
    }
}

impl naive::Scalar for Complex {
    fn from_f64(re: f64) -> Complex {
        Complex { re, im: 0.0 }
    }
    fn re(self) -> f64 {
        self.re
    }
    fn exp(self) -> Complex {
        let size = self.re.exp();
        Complex { re: size * self.im.cos(), im: size * self.im.sin() }
    }
    fn ln(self) -> Complex {
        Complex { re: self.re.hypot(self.im).ln(), im: self.im.atan2(self.re) }
    }
}

/// Small enough that its square vanishes beside 1, and no further.
const STEP: f64 = 1e-100;

/// Derivatives of `sum(dy * y)` with respect to every number of `qkv`.
fn derivatives(dy: &[f64], qkv: &[f64], shape: AttentionShape) -> Vec<f64> {
    let zero = Complex { re: 0.0, im: 0.0 };
    let mut x: Vec<_> = qkv.iter().map(|re| Complex { re: *re, im: 0.0 }).collect();
    let mut y = vec![zero; dy.len()];
    let mut lse = vec![zero; shape.n_heads * shape.seq_len];
    (0..qkv.len())
        .map(|i| {
            x[i].im = STEP;
            naive::forward(&mut y, &mut lse, &x, shape);
            x[i].im = 0.0;
            y.iter().zip(dy).map(|(y, dy)| y.im / STEP * dy).sum()
        })
        .collect()
}

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
    difference(&dqkv, &derivatives(&dy, &qkv, shape))
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
