//! Composed input vectors: each input's own row plus the mean of the rows of its parts.

use crate::arch::{Arch, dispatch};
use crate::loops::map;

/// Composition of each of I inputs.
#[derive(Clone, Copy, Debug)]
pub struct Composition<'a> {
    /// (I) each input's own row in the first table.
    pub own: &'a [u32],
    /// (I + 1) offsets into `parts`: where the parts of each input begin.
    pub starts: &'a [u32],
    /// Rows of the second table, contiguous per input; an input may have no parts.
    pub parts: &'a [u32],
}

impl<'a> Composition<'a> {
    /// An input's own row, and the rows of its parts.
    fn of(self, input: u32) -> (usize, &'a [u32]) {
        let i = input as usize;
        let parts = self.starts[i] as usize..self.starts[i + 1] as usize;
        (self.own[i] as usize, &self.parts[parts])
    }
}

/// Writes the vector of `inputs[r]` to row `r` of `x`; C is derived from `x`.
///
/// | argument | shape          | meaning                                       |
/// |----------|----------------|-----------------------------------------------|
/// | `x`      | (N, C)         | overwritten                                   |
/// | `table`  | (V, C)         | own rows                                      |
/// | `parts`  | (P, C)         | rows of the parts                             |
/// | `inputs` | (N)            | ids of the inputs                             |
///
/// `x = table[own] + mean of parts`, with the parts added in their order. Cost: two flops per element
/// and part.
///
/// # Panics
/// If `x` is not (N, C), or an input or a row does not exist.
pub fn composed_forward(
    x: &mut [f32],
    table: &[f32],
    parts: &[f32],
    of: Composition,
    inputs: &[u32],
) {
    let Some(cols) = columns("composed_forward", x.len(), inputs) else { return };
    dispatch!(arch => forward(arch, x, table, parts, of, inputs, cols))
}

#[inline(always)]
fn forward<A: Arch>(
    arch: A,
    x: &mut [f32],
    table: &[f32],
    parts: &[f32],
    of: Composition,
    inputs: &[u32],
    cols: usize,
) {
    for (x, &input) in x.chunks_exact_mut(cols).zip(inputs) {
        let (own, rows) = of.of(input);
        x.copy_from_slice(&table[own * cols..][..cols]);
        let share = 1.0 / rows.len() as f32;
        for &row in rows {
            let part = &parts[row as usize * cols..][..cols];
            map(arch, [&mut *x], part, |[x], part| [arch.mul_add(share, part, x)]);
        }
    }
}

/// Backward of [`composed_forward`]: adds row `r` of `dx` (N, C) into the own row of `inputs[r]` in
/// `dtable_acc` (V, C), and its share into the row of each part in `dparts_acc` (P, C), in ascending
/// order of `r`.
///
/// # Panics
/// As [`composed_forward`].
pub fn composed_backward(
    dtable_acc: &mut [f32],
    dparts_acc: &mut [f32],
    dx: &[f32],
    of: Composition,
    inputs: &[u32],
) {
    let Some(cols) = columns("composed_backward", dx.len(), inputs) else { return };
    dispatch!(arch => backward(arch, dtable_acc, dparts_acc, dx, of, inputs, cols))
}

#[inline(always)]
fn backward<A: Arch>(
    arch: A,
    dtable_acc: &mut [f32],
    dparts_acc: &mut [f32],
    dx: &[f32],
    of: Composition,
    inputs: &[u32],
    cols: usize,
) {
    for (dx, &input) in dx.chunks_exact(cols).zip(inputs) {
        let (own, rows) = of.of(input);
        map(arch, [&mut dtable_acc[own * cols..][..cols]], dx, |[sum], dx| [sum + dx]);
        let share = 1.0 / rows.len() as f32;
        for &row in rows {
            let drow = &mut dparts_acc[row as usize * cols..][..cols];
            map(arch, [drow], dx, |[sum], dx| [arch.mul_add(share, dx, sum)]);
        }
    }
}

/// C, or `None` if there are no inputs.
fn columns(name: &str, len: usize, inputs: &[u32]) -> Option<usize> {
    if inputs.is_empty() {
        return None;
    }
    assert!(len > 0 && len.is_multiple_of(inputs.len()), "{name}: the rows are not (N, C)");
    Some(len / inputs.len())
}

/// Definitions: slow reference implementations.
pub mod naive {
    use super::Composition;
    use crate::scalar::Scalar;

    /// Definition of [`super::composed_forward`].
    pub fn composed_forward<S: Scalar>(
        x: &mut [S],
        table: &[S],
        parts: &[S],
        of: Composition,
        inputs: &[u32],
    ) {
        let cols = x.len() / inputs.len();
        for i in 0..x.len() {
            let (own, rows) = of.of(inputs[i / cols]);
            let part = |row: &u32| parts[*row as usize * cols + i % cols];
            x[i] = table[own * cols + i % cols];
            if !rows.is_empty() {
                let share = S::from_f64(1.0 / rows.len() as f64);
                x[i] += S::sum(rows.iter().map(part)) * share;
            }
        }
    }

    /// Definition of [`super::composed_backward`].
    pub fn composed_backward<S: Scalar>(
        dtable_acc: &mut [S],
        dparts_acc: &mut [S],
        dx: &[S],
        of: Composition,
        inputs: &[u32],
    ) {
        let cols = dx.len() / inputs.len();
        for i in 0..dx.len() {
            let (own, rows) = of.of(inputs[i / cols]);
            dtable_acc[own * cols + i % cols] += dx[i];
            for row in rows {
                let share = S::from_f64(1.0 / rows.len() as f64);
                dparts_acc[*row as usize * cols + i % cols] += dx[i] * share;
            }
        }
    }
}
