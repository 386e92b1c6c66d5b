//! Softmax cross-entropy: the loss of each row in nats, and the gradient of its logits.

use crate::RowsMut;
use crate::arch::{Arch, dispatch};
use crate::exp::exp;
use crate::loops::{Cell, largest, map, sum};

/// The target of a row to skip: its loss and its gradient are 0.
pub const IGNORE: u32 = u32::MAX;

/// Logits per chunk: it stays in the first-level cache between finding the maximum and summing.
const CHUNK: usize = 2048;

/// Loss and gradient of each row: `loss = ln(sum(e^x)) - x[target]`, `dlogits = scale * (softmax - onehot)`.
///
/// | argument  | shape  | meaning                                                          |
/// |-----------|--------|------------------------------------------------------------------|
/// | `dlogits` | (R, V) | overwritten with the gradient                                    |
/// | `loss`    | (R)    | overwritten with the loss in nats                                |
/// | `logits`  | (R, V) | input                                                            |
/// | `targets` | (R)    | index of the right class, or [`IGNORE`]                          |
/// | `scale`   |        | multiplies the gradient (but not the loss), such as `1 / n_tok`  |
///
/// A row with a NaN, an infinite maximum or a target of probability 0 gets a non-finite loss. A
/// logit of `-inf` elsewhere is a class of probability 0.
/// Cost: two exponentials per logit; each row is read twice, the second time from cache.
///
/// # Panics
/// If a length disagrees with its shape, or a target is neither below V nor [`IGNORE`].
pub fn cross_entropy(
    dlogits: RowsMut,
    loss: &mut [f32],
    logits: &[f32],
    targets: &[u32],
    scale: f32,
) {
    assert_eq!(dlogits.len(), logits.len(), "cross_entropy: dlogits is not (R, V)");
    let Some(cols) = check(loss, logits, targets) else { return };
    dispatch!(arch => match dlogits {
        RowsMut::F32(dlogits) => with_gradient(arch, dlogits, loss, logits, targets, cols, scale),
        RowsMut::Bf16(dlogits) => with_gradient(arch, dlogits, loss, logits, targets, cols, scale),
    })
}

/// As [`cross_entropy`] without the gradient, for evaluation.
///
/// # Panics
/// As [`cross_entropy`].
pub fn cross_entropy_loss(loss: &mut [f32], logits: &[f32], targets: &[u32]) {
    let Some(cols) = check(loss, logits, targets) else { return };
    dispatch!(arch => without_gradient(arch, loss, logits, targets, cols))
}

/// `ln(sum(e^x))` of each row: subtracting it from logits gives log-probabilities.
///
/// | argument | shape  | meaning     |
/// |----------|--------|-------------|
/// | `lse`    | (R)    | overwritten |
/// | `logits` | (R, V) | input       |
///
/// A row with a NaN or an infinite maximum gets a non-finite result.
///
/// # Panics
/// If `logits` is not (R, V).
pub fn log_sum_exp(lse: &mut [f32], logits: &[f32]) {
    let Some(cols) = logits.len().checked_div(lse.len()) else { return };
    assert!(cols > 0 && logits.len() == lse.len() * cols, "log_sum_exp: logits is not (R, V)");
    dispatch!(arch => row_sums(arch, lse, logits, cols))
}

/// V, or `None` if there are no rows.
fn check(loss: &[f32], logits: &[f32], targets: &[u32]) -> Option<usize> {
    let rows = targets.len();
    assert_eq!(loss.len(), rows, "cross_entropy: loss is not (R)");
    let cols = logits.len().checked_div(rows)?;
    assert!(cols > 0 && logits.len() == rows * cols, "cross_entropy: logits is not (R, V)");
    for &target in targets {
        let is_known = target == IGNORE || (target as usize) < cols;
        assert!(is_known, "cross_entropy: target {target} of {cols} classes");
    }
    Some(cols)
}

/// The loss of one row, given the result of [`max_and_sum`].
#[inline(always)]
fn loss_of(row: &[f32], target: usize, (max, sum): (f32, f32)) -> f32 {
    (max - row[target]) + sum.ln()
}

/// The largest logit and the sum of `e^(x - largest)`, in one pass over memory.
#[inline(always)]
fn max_and_sum<A: Arch>(arch: A, row: &[f32]) -> (f32, f32) {
    let (mut max, mut total) = (f32::NEG_INFINITY, 0.0);
    for chunk in row.chunks(CHUNK) {
        let chunk_max = largest(arch, chunk);
        if chunk_max > max {
            total *= exp(arch, max - chunk_max);
            max = chunk_max;
        }
        // 0 stands in until a finite logit appears: -inf minus -inf would be NaN.
        let origin = if max == f32::NEG_INFINITY { 0.0 } else { max };
        total += sum(arch, chunk, chunk.len(), |x| exp(arch, x - origin));
    }
    (max, total)
}

#[inline(always)]
fn row_sums<A: Arch>(arch: A, lse: &mut [f32], logits: &[f32], cols: usize) {
    for (lse, row) in lse.iter_mut().zip(logits.chunks_exact(cols)) {
        let (max, sum) = max_and_sum(arch, row);
        *lse = max + sum.ln();
    }
}

#[inline(always)]
fn without_gradient<A: Arch>(
    arch: A,
    loss: &mut [f32],
    logits: &[f32],
    targets: &[u32],
    cols: usize,
) {
    for ((loss, row), &target) in loss.iter_mut().zip(logits.chunks_exact(cols)).zip(targets) {
        *loss = match target {
            IGNORE => 0.0,
            target => loss_of(row, target as usize, max_and_sum(arch, row)),
        };
    }
}

#[inline(always)]
fn with_gradient<A: Arch, C: Cell>(
    arch: A,
    dlogits: &mut [C],
    loss: &mut [f32],
    logits: &[f32],
    targets: &[u32],
    cols: usize,
    scale: f32,
) {
    let rows = dlogits.chunks_exact_mut(cols).zip(logits.chunks_exact(cols));
    for ((loss, (drow, row)), &target) in loss.iter_mut().zip(rows).zip(targets) {
        if target == IGNORE {
            *loss = 0.0;
            map(arch, [drow], row, |_, _| [0.0]);
            continue;
        }
        let target = target as usize;
        let (max, total) = max_and_sum(arch, row);
        *loss = loss_of(row, target, (max, total));
        let factor = scale / total;
        map(arch, [&mut *drow], row, |_, x| [exp(arch, x - max) * factor]);
        let d = scale * (exp(arch, row[target] - max) / total - 1.0);
        C::store(arch, &mut drow[target..=target], &[d]);
    }
}

/// Definitions: slow reference implementations.
pub mod naive {
    use super::IGNORE;
    use crate::scalar::Scalar;

    /// Definition of [`super::cross_entropy_loss`].
    pub fn cross_entropy_loss<S: Scalar>(loss: &mut [S], logits: &[S], targets: &[u32]) {
        let cols = logits.len() / targets.len();
        for (r, row) in logits.chunks_exact(cols).enumerate() {
            loss[r] = match targets[r] {
                IGNORE => S::from_f64(0.0),
                target => log_sum_exp(row) - row[target as usize],
            };
        }
    }

    /// Definition of [`super::cross_entropy`]'s gradient.
    pub fn cross_entropy_gradient<S: Scalar>(
        dlogits: &mut [S],
        logits: &[S],
        targets: &[u32],
        scale: f64,
    ) {
        let cols = logits.len() / targets.len();
        for (r, row) in logits.chunks_exact(cols).enumerate() {
            let lse = log_sum_exp(row);
            for c in 0..cols {
                let onehot = S::from_f64(if c == targets[r] as usize { 1.0 } else { 0.0 });
                dlogits[r * cols + c] = match targets[r] {
                    IGNORE => S::from_f64(0.0),
                    _ => S::from_f64(scale) * ((row[c] - lse).exp() - onehot),
                };
            }
        }
    }

    /// Definition of [`super::log_sum_exp`] for one row.
    pub fn log_sum_exp<S: Scalar>(row: &[S]) -> S {
        let max = row.iter().map(|x| x.real()).fold(f64::NEG_INFINITY, f64::max);
        let max = S::from_f64(max);
        S::sum(row.iter().map(|&x| (x - max).exp())).ln() + max
    }
}
