//! Definition of the matrix products: three loops, operands rounded to the requested precision.

use super::{Accum, MatmulShape};
use crate::rows::{Precision, Rows, bf16_from_f32, f32_from_bf16};

/// `C (M, N) (+)= A (M, K) · B (K, N)`, with `b` first rounded to the precision of `a`.
///
/// # Panics
/// If a length disagrees with `shape`.
pub fn matmul(c: &mut [f32], a: Rows, b: &[f32], shape: MatmulShape, accum: Accum) {
    let MatmulShape { m, n, k } = shape;
    assert_eq!(c.len(), m * n, "naive::matmul: argument c is not (M, N)");
    assert_eq!(a.len(), m * k, "naive::matmul: argument a is not (M, K)");
    assert_eq!(b.len(), k * n, "naive::matmul: argument b is not (K, N)");
    for i in 0..m {
        for j in 0..n {
            let mut sum = 0.0;
            for p in 0..k {
                sum += a.get(i * k + p) * rounded(b[p * n + j], a.precision());
            }
            store(c, i * n + j, sum, accum);
        }
    }
}

/// `dW (N, K) (+)= dYᵀ · X`, for `dy` (M, N) and `x` (M, K).
///
/// # Panics
/// If a length disagrees with `shape`.
pub fn matmul_wgrad(dw: &mut [f32], dy: Rows, x: Rows, shape: MatmulShape, accum: Accum) {
    let MatmulShape { m, n, k } = shape;
    assert_eq!(dw.len(), n * k, "naive::matmul_wgrad: argument dw is not (N, K)");
    assert_eq!(dy.len(), m * n, "naive::matmul_wgrad: argument dy is not (M, N)");
    assert_eq!(x.len(), m * k, "naive::matmul_wgrad: argument x is not (M, K)");
    for j in 0..n {
        for p in 0..k {
            let mut sum = 0.0;
            for i in 0..m {
                sum += dy.get(i * n + j) * x.get(i * k + p);
            }
            store(dw, j * k + p, sum, accum);
        }
    }
}

fn rounded(x: f32, precision: Precision) -> f32 {
    match precision {
        Precision::F32 => x,
        Precision::Bf16 => f32_from_bf16(bf16_from_f32(x)),
    }
}

fn store(c: &mut [f32], i: usize, sum: f32, accum: Accum) {
    c[i] = match accum {
        Accum::Replace => sum,
        Accum::Add => c[i] + sum,
        Accum::Plus(other) => other[i] + sum,
    };
}
