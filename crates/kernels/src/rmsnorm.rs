//! Root-mean-square normalisation: `y = weight * x / rms(x)`, row by row.

use crate::{Accum, RowsMut};

/// Normalises each row of `x` and scales the result by `weight`.
pub fn rmsnorm_forward(y: RowsMut, rstd: &mut [f32], x: &[f32], weight: &[f32], eps: f32) {
    let mut y = y;
    let (rows, cols) = (rstd.len(), weight.len());
    assert!(cols > 0, "rmsnorm_forward: weight is empty");
    assert_eq!(x.len(), rows * cols, "rmsnorm_forward: x is not (rows, cols)");
    assert_eq!(y.len(), rows * cols, "rmsnorm_forward: y is not (rows, cols)");
    for (r, (x, rstd)) in x.chunks_exact(cols).zip(rstd).enumerate() {
        let mean_square = x.iter().map(|v| v * v).sum::<f32>() / cols as f32;
        *rstd = 1.0 / (mean_square + eps).sqrt();
        for c in 0..cols {
            y.set(r * cols + c, weight[c] * x[c] * *rstd);
        }
    }
}

/// Backward of [`rmsnorm_forward`]; `rstd` must be the values it saved for the same `x`.
///
/// With `n = x * rstd` and `g = dy * weight`:
/// `dweight += sum over rows of dy * n` and `dx = rstd * (g - n * mean(g * n))`.
pub fn rmsnorm_backward(
    dx: &mut [f32],
    dweight_acc: &mut [f32],
    dy: &[f32],
    x: &[f32],
    weight: &[f32],
    rstd: &[f32],
    accum: Accum,
) {
    let (rows, cols) = (rstd.len(), weight.len());
    assert_eq!(dweight_acc.len(), cols, "rmsnorm_backward: dweight_acc is not (cols)");
    assert!(cols > 0, "rmsnorm_backward: weight is empty");
    for len in [dx.len(), dy.len(), x.len()] {
        assert_eq!(len, rows * cols, "rmsnorm_backward: expected (rows, cols)");
    }
    for (r, &rstd) in rstd.iter().enumerate() {
        let at = r * cols;
        let mut mean_gn = 0.0;
        for c in 0..cols {
            let n = x[at + c] * rstd;
            dweight_acc[c] += dy[at + c] * n;
            mean_gn += dy[at + c] * weight[c] * n / cols as f32;
        }
        for c in 0..cols {
            let d = rstd * (dy[at + c] * weight[c] - x[at + c] * rstd * mean_gn);
            match accum {
                Accum::Replace => dx[at + c] = d,
                Accum::Add => dx[at + c] += d,
                Accum::Plus(other) => dx[at + c] = other[at + c] + d,
            }
        }
    }
}
