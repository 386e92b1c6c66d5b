//! Embedding lookup: gather of table rows (forward) and scatter-add of their gradients (backward).

use crate::arch::{Arch, dispatch};
use crate::loops::map;

/// Copies row `tokens[r]` of `table` (V, C) to row `r` of `x` (N, C); C is derived from `x`.
///
/// # Panics
/// If `x` is not (N, C) or a token has no row in `table`.
pub fn embedding_forward(x: &mut [f32], table: &[f32], tokens: &[u32]) {
    let Some(cols) = check("embedding_forward", x.len(), table.len(), tokens) else { return };
    for (x, &token) in x.chunks_exact_mut(cols).zip(tokens) {
        x.copy_from_slice(&table[token as usize * cols..][..cols]);
    }
}

/// Adds row `r` of `dx` (N, C) into row `tokens[r]` of `dtable_acc` (V, C), in ascending order of
/// `r`.
/// # Panics
/// If `dx` is not (N, C) or a token has no row in `dtable_acc`.
pub fn embedding_backward(dtable_acc: &mut [f32], dx: &[f32], tokens: &[u32]) {
    let Some(cols) = check("embedding_backward", dx.len(), dtable_acc.len(), tokens) else {
        return;
    };
    dispatch!(arch => backward(arch, dtable_acc, dx, tokens, cols))
}

/// C, or `None` if there are no tokens.
fn check(name: &str, x: usize, table: usize, tokens: &[u32]) -> Option<usize> {
    let largest = *tokens.iter().max()? as usize;
    assert!(x > 0 && x.is_multiple_of(tokens.len()), "{name}: the rows are not (N, C)");
    let cols = x / tokens.len();
    assert!(table.is_multiple_of(cols), "{name}: the table is not (V, C)");
    assert!(largest < table / cols, "{name}: token {largest} in a table of {}", table / cols);
    Some(cols)
}

#[inline(always)]
fn backward<A: Arch>(arch: A, dtable_acc: &mut [f32], dx: &[f32], tokens: &[u32], cols: usize) {
    for (dx, &token) in dx.chunks_exact(cols).zip(tokens) {
        let drow = &mut dtable_acc[token as usize * cols..][..cols];
        map(arch, [drow], dx, |[sum], dx| [sum + dx]);
    }
}

/// Definitions: slow reference implementations.
pub mod naive {
    use crate::scalar::Scalar;

    /// Definition of [`super::embedding_forward`].
    pub fn embedding_forward<S: Scalar>(x: &mut [S], table: &[S], tokens: &[u32]) {
        let cols = x.len() / tokens.len();
        for i in 0..x.len() {
            x[i] = table[tokens[i / cols] as usize * cols + i % cols];
        }
    }

    /// Definition of [`super::embedding_backward`].
    pub fn embedding_backward<S: Scalar>(dtable_acc: &mut [S], dx: &[S], tokens: &[u32]) {
        let cols = dx.len() / tokens.len();
        for i in 0..dx.len() {
            dtable_acc[tokens[i / cols] as usize * cols + i % cols] += dx[i];
        }
    }
}
