//! Gather-sum: the sum of a few table rows at each position (forward), and the scatter-add of its
//! gradient (backward).

use crate::arch::{Arch, dispatch};
use crate::loops::map;

/// Index that stands for no row and contributes nothing.
pub const NO_ROW: u32 = u32::MAX;

/// Adds rows of `table` (R, C) into `x_acc` (N, C): row `r` receives the rows listed in `rows[r]`
/// (N, K), in their order.
///
/// Cost: one flop per element and row.
///
/// # Panics
/// If K is 0, the lengths disagree, or a row does not exist.
pub fn row_sums_forward(x_acc: &mut [f32], table: &[f32], rows: &[u32], k: usize) {
    let Some(cols) = columns("row_sums_forward", x_acc.len(), rows, k) else { return };
    dispatch!(arch => forward(arch, x_acc, table, rows, k, cols))
}

#[inline(always)]
fn forward<A: Arch>(
    arch: A,
    x_acc: &mut [f32],
    table: &[f32],
    rows: &[u32],
    k: usize,
    cols: usize,
) {
    for (x, rows) in x_acc.chunks_exact_mut(cols).zip(rows.chunks_exact(k)) {
        for &row in rows.iter().filter(|row| **row != NO_ROW) {
            let row = &table[row as usize * cols..][..cols];
            map(arch, [&mut *x], row, |[x], row| [x + row]);
        }
    }
}

/// Backward of [`row_sums_forward`]: adds row `r` of `dx` (N, C) into each row listed in `rows[r]`
/// (N, K) of `dtable_acc` (R, C), in ascending order of `r`.
///
/// # Panics
/// As [`row_sums_forward`].
pub fn row_sums_backward(dtable_acc: &mut [f32], dx: &[f32], rows: &[u32], k: usize) {
    let Some(cols) = columns("row_sums_backward", dx.len(), rows, k) else { return };
    dispatch!(arch => backward(arch, dtable_acc, dx, rows, k, cols))
}

#[inline(always)]
fn backward<A: Arch>(
    arch: A,
    dtable_acc: &mut [f32],
    dx: &[f32],
    rows: &[u32],
    k: usize,
    cols: usize,
) {
    for (dx, rows) in dx.chunks_exact(cols).zip(rows.chunks_exact(k)) {
        for &row in rows.iter().filter(|row| **row != NO_ROW) {
            let drow = &mut dtable_acc[row as usize * cols..][..cols];
            map(arch, [drow], dx, |[sum], dx| [sum + dx]);
        }
    }
}

/// C, or `None` if there are no positions.
fn columns(name: &str, len: usize, rows: &[u32], k: usize) -> Option<usize> {
    assert!(k > 0 && rows.len().is_multiple_of(k), "{name}: the rows are not (N, K)");
    let n = rows.len() / k;
    if n == 0 {
        return None;
    }
    assert!(len > 0 && len.is_multiple_of(n), "{name}: the vectors are not (N, C)");
    Some(len / n)
}

/// Definitions: slow reference implementations.
pub mod naive {
    use super::NO_ROW;
    use crate::scalar::Scalar;

    /// Definition of [`super::row_sums_forward`].
    pub fn row_sums_forward<S: Scalar>(x_acc: &mut [S], table: &[S], rows: &[u32], k: usize) {
        let cols = x_acc.len() / (rows.len() / k);
        for i in 0..x_acc.len() {
            for row in rows[i / cols * k..][..k].iter().filter(|row| **row != NO_ROW) {
                x_acc[i] += table[*row as usize * cols + i % cols];
            }
        }
    }

    /// Definition of [`super::row_sums_backward`].
    pub fn row_sums_backward<S: Scalar>(dtable_acc: &mut [S], dx: &[S], rows: &[u32], k: usize) {
        let cols = dx.len() / (rows.len() / k);
        for i in 0..dx.len() {
            for row in rows[i / cols * k..][..k].iter().filter(|row| **row != NO_ROW) {
                dtable_acc[*row as usize * cols + i % cols] += dx[i];
            }
        }
    }
}
