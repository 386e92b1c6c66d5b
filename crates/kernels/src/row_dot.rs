//! Row-wise dot products: each row of `x` with the table row that its id selects.

use crate::arch::{Arch, dispatch};
use crate::cross_entropy::IGNORE;
use crate::loops::{Cell, map, sum};
use crate::rows::Rows;

/// `y[r] = x_r · table[ids[r]]`, or 0 where the id is [`IGNORE`].
///
/// | argument | shape  | meaning                               |
/// |----------|--------|---------------------------------------|
/// | `y`      | (R)    | overwritten                           |
/// | `x`      | (R, C) | input                                 |
/// | `table`  | (V, C) | rows to choose from                   |
/// | `ids`    | (R)    | which row of the table, or [`IGNORE`] |
///
/// Cost: 2·R·C flops; each row is read once.
///
/// # Panics
/// If a length disagrees with its shape or an id has no row in `table`.
pub fn row_dot_forward(y: &mut [f32], x: Rows, table: &[f32], ids: &[u32]) {
    assert_eq!(y.len(), ids.len(), "row_dot_forward: y is not (R)");
    let Some(cols) = check("row_dot_forward", x.len(), table.len(), ids) else { return };
    dispatch!(arch => match x {
        Rows::F32(x) => forward(arch, y, x, table, ids, cols),
        Rows::Bf16(x) => forward(arch, y, x, table, ids, cols),
    })
}

/// Gradient of the rows: `dx_acc_r += dy[r] · table[ids[r]]`.
///
/// | argument | shape  | meaning           |
/// |----------|--------|-------------------|
/// | `dx_acc` | (R, C) | added into        |
/// | `dy`     | (R)    | gradient of `y`   |
/// | `table`  | (V, C) | as in forward     |
/// | `ids`    | (R)    | as in forward     |
///
/// # Panics
/// As [`row_dot_forward`].
pub fn row_dot_backward_rows(dx_acc: &mut [f32], dy: &[f32], table: &[f32], ids: &[u32]) {
    assert_eq!(dy.len(), ids.len(), "row_dot_backward_rows: dy is not (R)");
    let name = "row_dot_backward_rows";
    let Some(cols) = check(name, dx_acc.len(), table.len(), ids) else { return };
    dispatch!(arch => rows_backward(arch, dx_acc, dy, table, ids, cols))
}

/// Gradient of the table: `dtable_acc[ids[r]] += dy[r] · x_r`, in ascending order of `r`.
///
/// | argument     | shape  | meaning           |
/// |--------------|--------|-------------------|
/// | `dtable_acc` | (V, C) | added into        |
/// | `dy`         | (R)    | gradient of `y`   |
/// | `x`          | (R, C) | as in forward     |
/// | `ids`        | (R)    | as in forward     |
///
/// # Panics
/// As [`row_dot_forward`].
pub fn row_dot_backward_table(dtable_acc: &mut [f32], dy: &[f32], x: Rows, ids: &[u32]) {
    assert_eq!(dy.len(), ids.len(), "row_dot_backward_table: dy is not (R)");
    let name = "row_dot_backward_table";
    let Some(cols) = check(name, x.len(), dtable_acc.len(), ids) else { return };
    dispatch!(arch => match x {
        Rows::F32(x) => table_backward(arch, dtable_acc, dy, x, ids, cols),
        Rows::Bf16(x) => table_backward(arch, dtable_acc, dy, x, ids, cols),
    })
}

/// C, or `None` if there are no rows.
fn check(name: &str, x: usize, table: usize, ids: &[u32]) -> Option<usize> {
    let cols = x.checked_div(ids.len())?;
    assert!(cols > 0 && x == ids.len() * cols, "{name}: the rows are not (R, C)");
    assert!(table.is_multiple_of(cols), "{name}: the table is not (V, C)");
    let n = table / cols;
    for &id in ids {
        assert!(id == IGNORE || (id as usize) < n, "{name}: row {id} in a table of {n}");
    }
    Some(cols)
}

/// Row index and offset of the selected table row, for every row that is not ignored.
#[inline(always)]
fn selected_rows(ids: &[u32], cols: usize) -> impl Iterator<Item = (usize, usize)> {
    let of = move |(r, id): (usize, &u32)| (*id != IGNORE).then_some((r, *id as usize * cols));
    ids.iter().enumerate().filter_map(of)
}

#[inline(always)]
fn forward<A: Arch, C: Cell>(
    arch: A,
    y: &mut [f32],
    x: &[C],
    table: &[f32],
    ids: &[u32],
    cols: usize,
) {
    y.fill(0.0);
    for (r, at) in selected_rows(ids, cols) {
        let (x, row) = (&x[r * cols..][..cols], &table[at..][..cols]);
        y[r] = sum(arch, (x, row), cols, |(x, w)| x * w);
    }
}

#[inline(always)]
fn rows_backward<A: Arch>(
    arch: A,
    dx_acc: &mut [f32],
    dy: &[f32],
    table: &[f32],
    ids: &[u32],
    cols: usize,
) {
    for (r, at) in selected_rows(ids, cols) {
        let (dx, dy) = (&mut dx_acc[r * cols..][..cols], dy[r]);
        map(arch, [dx], &table[at..][..cols], |[dx], w| [arch.mul_add(dy, w, dx)]);
    }
}

#[inline(always)]
fn table_backward<A: Arch, C: Cell>(
    arch: A,
    dtable_acc: &mut [f32],
    dy: &[f32],
    x: &[C],
    ids: &[u32],
    cols: usize,
) {
    for (r, at) in selected_rows(ids, cols) {
        let (drow, dy) = (&mut dtable_acc[at..][..cols], dy[r]);
        map(arch, [drow], &x[r * cols..][..cols], |[drow], x| [arch.mul_add(dy, x, drow)]);
    }
}

/// Definitions: slow reference implementations.
pub mod naive {
    use super::IGNORE;
    use crate::scalar::Scalar;

    /// Definition of [`super::row_dot_forward`].
    pub fn row_dot_forward<S: Scalar>(y: &mut [S], x: &[S], table: &[S], ids: &[u32]) {
        for (r, id) in ids.iter().enumerate() {
            let (x, row) = pair(x, table, r, *id, ids.len());
            y[r] = S::sum(x.iter().zip(row).map(|(x, w)| *x * *w));
        }
    }

    /// Definition of [`super::row_dot_backward_rows`].
    pub fn row_dot_backward_rows<S: Scalar>(dx_acc: &mut [S], dy: &[S], table: &[S], ids: &[u32]) {
        let cols = dx_acc.len() / ids.len();
        for i in 0..dx_acc.len() {
            if ids[i / cols] != IGNORE {
                dx_acc[i] += dy[i / cols] * table[ids[i / cols] as usize * cols + i % cols];
            }
        }
    }

    /// Definition of [`super::row_dot_backward_table`].
    pub fn row_dot_backward_table<S: Scalar>(dtable_acc: &mut [S], dy: &[S], x: &[S], ids: &[u32]) {
        let cols = x.len() / ids.len();
        for i in 0..x.len() {
            if ids[i / cols] != IGNORE {
                dtable_acc[ids[i / cols] as usize * cols + i % cols] += dy[i / cols] * x[i];
            }
        }
    }

    /// Row `r` of `x` and its table row; both empty if the id is [`IGNORE`].
    fn pair<'a, S>(x: &'a [S], table: &'a [S], r: usize, id: u32, n: usize) -> (&'a [S], &'a [S]) {
        let cols = x.len() / n;
        match id {
            IGNORE => (&[], &[]),
            id => (&x[r * cols..][..cols], &table[id as usize * cols..][..cols]),
        }
    }
}
