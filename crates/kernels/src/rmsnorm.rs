//! RMSNorm, root-mean-square normalisation of rows: `y = weight * x / rms(x)`.
//!
//! Zhang and Sennrich, 2019, arXiv:1910.07467.

use crate::arch::{Arch, dispatch};
use crate::loops::{Cell, map, sum};
use crate::{Accum, RowsMut};

/// Normalises each row of `x` and scales the result by `weight`.
///
/// | argument | shape        | meaning                                          |
/// |----------|--------------|--------------------------------------------------|
/// | `y`      | (rows, cols) | overwritten with the normalised rows             |
/// | `rstd`   | (rows)       | overwritten with `1 / rms`; saved for backward   |
/// | `x`      | (rows, cols) | input                                            |
/// | `weight` | (cols)       | one gain per column                              |
/// | `eps`    |              | added to the mean square, so that 0 stays finite |
///
/// Cost: 4 flops per element; `x` is read twice, the second time from cache.
///
/// # Panics
/// If a length disagrees with its shape.
pub fn rmsnorm_forward(y: RowsMut, rstd: &mut [f32], x: &[f32], weight: &[f32], eps: f32) {
    let (rows, cols) = (rstd.len(), weight.len());
    assert!(cols > 0, "rmsnorm_forward: weight is empty");
    assert_eq!(x.len(), rows * cols, "rmsnorm_forward: x is not (rows, cols)");
    assert_eq!(y.len(), rows * cols, "rmsnorm_forward: y is not (rows, cols)");
    dispatch!(arch => match y {
        RowsMut::F32(y) => forward(arch, y, rstd, x, weight, eps),
        RowsMut::Bf16(y) => forward(arch, y, rstd, x, weight, eps),
    })
}

/// Backward of [`rmsnorm_forward`]; `rstd` must be the values that it saved for the same `x`.
///
/// With `n = x * rstd` and `g = dy * weight`:
/// `dweight += sum over rows of dy * n` and `dx = rstd * (g - n * mean(g * n))`.
/// Rows are added into `dweight_acc` in ascending order. Cost: 10 flops per element.
///
/// # Panics
/// If a length disagrees with its shape.
pub fn rmsnorm_backward(
    dx: &mut [f32],          // (rows, cols), combined with what is there as `accum` says
    dweight_acc: &mut [f32], // (cols), added into
    dy: &[f32],              // (rows, cols)
    x: &[f32],               // (rows, cols)
    weight: &[f32],          // (cols)
    rstd: &[f32],            // (rows), from the forward pass
    accum: Accum,
) {
    let (rows, cols) = (rstd.len(), weight.len());
    assert!(cols > 0, "rmsnorm_backward: weight is empty");
    assert_eq!(dweight_acc.len(), cols, "rmsnorm_backward: dweight_acc is not (cols)");
    // In the other modes `dy` stands in for the addend; it is not used as one.
    let other = if let Accum::Plus(other) = accum { other } else { dy };
    for len in [dx.len(), dy.len(), x.len(), other.len()] {
        assert_eq!(len, rows * cols, "rmsnorm_backward: expected (rows, cols)");
    }
    let src = [dy, x, other];
    dispatch!(arch => match accum {
        Accum::Replace => backward(arch, dx, dweight_acc, src, weight, rstd, |_, _, d| d),
        Accum::Add => backward(arch, dx, dweight_acc, src, weight, rstd, |old, _, d| old + d),
        Accum::Plus(_) => backward(arch, dx, dweight_acc, src, weight, rstd, |_, o, d| o + d),
    })
}

#[inline(always)]
fn forward<A: Arch, C: Cell>(
    arch: A,
    y: &mut [C],
    rstd: &mut [f32],
    x: &[f32],
    weight: &[f32],
    eps: f32,
) {
    let cols = weight.len();
    for ((y, x), rstd) in y.chunks_exact_mut(cols).zip(x.chunks_exact(cols)).zip(rstd) {
        let mean_square = sum(arch, x, cols, |x| x * x) / cols as f32;
        let r = 1.0 / (mean_square + eps).sqrt();
        map(arch, [y], (x, weight), |_, (x, w)| [w * (x * r)]);
        *rstd = r;
    }
}

#[inline(always)]
fn backward<A: Arch>(
    arch: A,
    dx: &mut [f32],
    dweight_acc: &mut [f32],
    [dy, x, other]: [&[f32]; 3],
    weight: &[f32],
    rstd: &[f32],
    combine: impl Fn(f32, f32, f32) -> f32, // of old dx, other, new
) {
    let cols = weight.len();
    for (r, &rstd) in rstd.iter().enumerate() {
        let row = r * cols..(r + 1) * cols;
        let (dy, x, other) = (&dy[row.clone()], &x[row.clone()], &other[row.clone()]);
        let mean_gx = sum(arch, (dy, x, weight), cols, |(dy, x, w)| dy * w * x) / cols as f32;
        let pull = mean_gx * rstd * rstd;
        map(arch, [&mut dx[row], dweight_acc], (dy, x, weight, other), |[old, dw], src| {
            let (dy, x, w, other) = src;
            let d = rstd * arch.mul_add(-x, pull, dy * w);
            [combine(old, other, d), arch.mul_add(dy, x * rstd, dw)]
        });
    }
}

/// Definitions: slow reference implementations.
pub mod naive {
    use crate::scalar::Scalar;

    /// Definition of [`super::rmsnorm_forward`].
    pub fn rmsnorm_forward<S: Scalar>(
        y: &mut [S],
        rstd: &mut [S],
        x: &[S],
        weight: &[S],
        eps: f64,
    ) {
        let cols = weight.len();
        for r in 0..rstd.len() {
            let x = &x[r * cols..][..cols];
            let mean_square = S::sum(x.iter().map(|&x| x * x)) / S::from_f64(cols as f64);
            rstd[r] = S::from_f64(1.0) / (mean_square + S::from_f64(eps)).sqrt();
            for c in 0..cols {
                y[r * cols + c] = weight[c] * x[c] * rstd[r];
            }
        }
    }

    /// Definition of [`super::rmsnorm_backward`], with `dx` overwritten.
    pub fn rmsnorm_backward<S: Scalar>(
        dx: &mut [S],
        dweight_acc: &mut [S],
        dy: &[S],
        x: &[S],
        weight: &[S],
        rstd: &[S],
    ) {
        let cols = weight.len();
        for r in 0..rstd.len() {
            let at = r * cols;
            let n = |c: usize| x[at + c] * rstd[r];
            let mean_gn =
                S::sum((0..cols).map(|c| dy[at + c] * weight[c] * n(c))) / S::from_f64(cols as f64);
            for c in 0..cols {
                dweight_acc[c] += dy[at + c] * n(c);
                dx[at + c] = rstd[r] * (dy[at + c] * weight[c] - n(c) * mean_gn);
            }
        }
    }
}
