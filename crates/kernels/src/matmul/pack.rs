//! Packing the right operand: (K, N) becomes panels of columns, each stored row after row.
//!
//! ```text
//! panel p = columns p·cols .. (p+1)·cols, zero beyond N
//! word (step, j) of a panel = B[step, j], or the bf16 pair B[2·step, j], B[2·step + 1, j]
//! ```
//!
//! The pair has its first element in the low half; an odd K ends with a zero in the high half. On
//! an instruction set without products of bf16 pairs a word holds one number, rounded to bf16.

use super::{k_per_word, tile};
use crate::isa::Isa;
use crate::rows::{Precision, Rows, bf16_from_f32, f32_from_bf16};
use std::ops::Range;

/// A right operand (K, N), packed under the instruction set that was active then.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'a> {
    /// [`packed_len`] words.
    pub words: &'a [u32],
    /// Of the numbers in the words.
    pub precision: Precision,
    /// Rows: the dimension that is summed over.
    pub k: usize,
    /// Columns.
    pub n: usize,
}

/// Columns of a panel on the active instruction set.
pub fn panel_cols() -> usize {
    tile::for_f32(Isa::active()).cols
}

/// Panels of a matrix of `n` columns.
pub fn n_panels(n: usize) -> usize {
    n.div_ceil(panel_cols())
}

/// The columns, out of `n`, that lie in `panels`.
///
/// # Panics
/// If there are not so many panels.
pub fn panel_columns(n: usize, panels: Range<usize>) -> Range<usize> {
    panel_columns_on(Isa::active(), n, panels)
}

/// Words of one panel of `k` rows.
pub fn panel_len(precision: Precision, k: usize) -> usize {
    panel_len_on(Isa::active(), precision, k)
}

/// Words of a packed (K, N).
pub fn packed_len(precision: Precision, k: usize, n: usize) -> usize {
    packed_len_on(Isa::active(), precision, k, n)
}

/// Packs `B = Wᵀ` of a stored weight `w` (N, K): the right operand of `Y = X·Wᵀ`.
///
/// # Panics
/// If `dst` is not [`packed_len`] long or `w` not (N, K).
pub fn pack_transposed(dst: &mut [u32], w: &[f32], k: usize, n: usize, precision: Precision) {
    pack_transposed_panels(dst, w, k, n, precision, 0..n_panels(n));
}

/// Packs `B = W` for `w` (K, N): with a stored weight, the right operand of `dX = dY·W`.
///
/// # Panics
/// If `dst` is not [`packed_len`] long or `w` not (K, N).
pub fn pack_straight(dst: &mut [u32], w: &[f32], k: usize, n: usize, precision: Precision) {
    pack_straight_panels(dst, w, k, n, precision, 0..n_panels(n));
}

/// [`pack_transposed`] of some panels, `dst_part` being their words: how threads share the work.
///
/// # Panics
/// If `dst_part` is not that many times [`panel_len`] or `w` not (N, K).
pub fn pack_transposed_panels(
    dst_part: &mut [u32],
    w: &[f32],
    k: usize,
    n: usize,
    precision: Precision,
    panels: Range<usize>,
) {
    transposed_on(Isa::active(), dst_part, w, k, n, precision, panels);
}

/// [`pack_straight`] of some panels, `dst_part` being their words: how threads share the work.
///
/// # Panics
/// If `dst_part` is not that many times [`panel_len`] or `w` not (K, N).
pub fn pack_straight_panels(
    dst_part: &mut [u32],
    w: &[f32],
    k: usize,
    n: usize,
    precision: Precision,
    panels: Range<usize>,
) {
    straight_on(Isa::active(), dst_part, w, k, n, precision, panels);
}

pub(super) fn panel_columns_on(isa: Isa, n: usize, panels: Range<usize>) -> Range<usize> {
    let cols = tile::for_f32(isa).cols;
    assert!(panels.start <= panels.end, "panel_columns: argument panels runs backwards");
    assert!(panels.end <= n.div_ceil(cols), "panel_columns: argument panels ends beyond N");
    n.min(panels.start * cols)..n.min(panels.end * cols)
}

pub(super) fn panel_len_on(isa: Isa, precision: Precision, k: usize) -> usize {
    k.div_ceil(k_per_word(isa, precision)) * tile::for_f32(isa).cols
}

pub(super) fn packed_len_on(isa: Isa, precision: Precision, k: usize, n: usize) -> usize {
    n.div_ceil(tile::for_f32(isa).cols) * panel_len_on(isa, precision, k)
}

pub(super) fn transposed_on(
    isa: Isa,
    dst: &mut [u32],
    w: &[f32],
    k: usize,
    n: usize,
    precision: Precision,
    panels: Range<usize>,
) {
    assert_eq!(w.len(), n * k, "pack_transposed: argument w is not (N, K)");
    let columns = panel_columns_on(isa, n, panels.clone());
    let panel_len = panel_len_on(isa, precision, k);
    assert_eq!(dst.len(), panels.len() * panel_len, "pack_transposed: argument dst is not packed");
    if panel_len == 0 {
        return;
    }
    let cols = tile::for_f32(isa).cols;
    for (panel, n0) in dst.chunks_exact_mut(panel_len).zip(columns.step_by(cols)) {
        let width = cols.min(n - n0);
        fill(panel, cols, k_per_word(isa, precision), precision, |step, j| {
            if j < width && step < k { w[(n0 + j) * k + step] } else { 0.0 }
        });
    }
}

pub(super) fn straight_on(
    isa: Isa,
    dst: &mut [u32],
    w: &[f32],
    k: usize,
    n: usize,
    precision: Precision,
    panels: Range<usize>,
) {
    assert_eq!(w.len(), k * n, "pack_straight: argument w is not (K, N)");
    let columns = panel_columns_on(isa, n, panels.clone());
    let panel_len = panel_len_on(isa, precision, k);
    assert_eq!(dst.len(), panels.len() * panel_len, "pack_straight: argument dst is not packed");
    if panel_len == 0 {
        return;
    }
    let cols = tile::for_f32(isa).cols;
    for (panel, n0) in dst.chunks_exact_mut(panel_len).zip(columns.step_by(cols)) {
        let width = cols.min(n - n0);
        fill(panel, cols, k_per_word(isa, precision), precision, |step, j| {
            if j < width && step < k { w[step * n + n0 + j] } else { 0.0 }
        });
    }
}

/// Packs columns `columns` of rows `rows` of a matrix `x` of `n` columns, `width` to a panel.
pub(super) fn pack_rows(
    dst: &mut [u32],
    x: Rows,
    n: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    width: usize,
    per_word: usize,
) {
    let panel_len = rows.len().div_ceil(per_word) * width;
    if panel_len == 0 {
        return;
    }
    for (panel, n0) in dst.chunks_exact_mut(panel_len).zip(columns.clone().step_by(width)) {
        let live = width.min(columns.end - n0);
        fill(panel, width, per_word, x.precision(), |step, j| {
            if j < live && step < rows.len() {
                x.get((rows.start + step) * n + n0 + j)
            } else {
                0.0
            }
        });
    }
}

/// Writes the words of one panel from `at(row, column)`.
fn fill(
    panel: &mut [u32],
    cols: usize,
    per_word: usize,
    precision: Precision,
    at: impl Fn(usize, usize) -> f32,
) {
    for (step, row) in panel.chunks_exact_mut(cols).enumerate() {
        for (j, word) in row.iter_mut().enumerate() {
            *word = match (precision, per_word) {
                (Precision::F32, _) => at(step, j).to_bits(),
                (Precision::Bf16, 1) => f32_from_bf16(bf16_from_f32(at(step, j))).to_bits(),
                (Precision::Bf16, _) => {
                    let low = bf16_from_f32(at(2 * step, j)) as u32;
                    low | (bf16_from_f32(at(2 * step + 1, j)) as u32) << 16
                }
            };
        }
    }
}
