//! Packing of right operands: (K, N) becomes panels of columns, each stored row after row.
//!
//! ```text
//! panel p = columns p·cols .. (p+1)·cols, zero beyond N
//! word (step, j) of a panel = B[step, j], or the bf16 pair B[2·step, j], B[2·step + 1, j]
//! ```
//!
//! The first element of a pair is in the low half; an odd K ends with a zero in the high half. On an
//! instruction set without bf16 pair products a word holds one number, rounded to bf16.

use super::panels::{self, Kept, KeptPair, Rounded, RoundedPair, Side, SubMatrix, Widened};
use super::{k_per_word, tile};
use crate::isa::Isa;
use crate::rows::{Precision, Rows};
use std::ops::Range;

/// A right operand (K, N), packed under the instruction set that was active at that time.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'a> {
    /// [`packed_len`] words.
    pub words: &'a [u32],
    /// Precision of the numbers in the words.
    pub precision: Precision,
    /// Rows: the dimension of the sum.
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

/// The columns, out of `n`, that `panels` covers.
///
/// # Panics
/// If the range of panels runs backwards or ends beyond the last panel.
pub fn panel_columns(n: usize, panels: Range<usize>) -> Range<usize> {
    panel_columns_on(Isa::active(), n, panels)
}

/// Words in one panel of `k` rows.
pub fn panel_len(precision: Precision, k: usize) -> usize {
    panel_len_on(Isa::active(), precision, k)
}

/// Words in a packed (K, N).
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

/// [`pack_transposed`] of some panels into `dst_part`, their words: lets threads split the packing.
///
/// # Panics
/// If `dst_part` is not [`panel_len`] times the number of panels or `w` is not (N, K).
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

/// [`pack_straight`] of some panels into `dst_part`, their words: lets threads split the packing.
///
/// # Panics
/// If `dst_part` is not [`panel_len`] times the number of panels or `w` is not (K, N).
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
    let rows = panel_columns_on(isa, n, panels.clone());
    let len = panels.len() * panel_len_on(isa, precision, k);
    assert_eq!(dst.len(), len, "pack_transposed: argument dst_part is not of packed length");
    let part = SubMatrix { numbers: w, n_columns: k, rows, columns: 0..k };
    match (precision, k_per_word(isa, precision)) {
        (Precision::F32, _) => panels::transposed_on::<Kept>(isa, dst, &part),
        (Precision::Bf16, 1) => panels::transposed_on::<Rounded>(isa, dst, &part),
        (Precision::Bf16, _) => panels::transposed_on::<RoundedPair>(isa, dst, &part),
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
    let len = panels.len() * panel_len_on(isa, precision, k);
    assert_eq!(dst.len(), len, "pack_straight: argument dst_part is not of packed length");
    let part = SubMatrix { numbers: w, n_columns: n, rows: 0..k, columns };
    match (precision, k_per_word(isa, precision)) {
        (Precision::F32, _) => panels::straight_on::<Kept>(isa, Side::Right, dst, &part),
        (Precision::Bf16, 1) => panels::straight_on::<Rounded>(isa, Side::Right, dst, &part),
        (Precision::Bf16, _) => panels::straight_on::<RoundedPair>(isa, Side::Right, dst, &part),
    }
}

/// Packs some rows and columns of `x`, which has `n_columns`, as the left or right operand of a tile.
pub(super) fn rows_on(
    isa: Isa,
    side: Side,
    dst: &mut [u32],
    x: Rows,
    n_columns: usize,
    rows: Range<usize>,
    columns: Range<usize>,
) {
    match x {
        Rows::F32(numbers) => {
            let part = SubMatrix { numbers, n_columns, rows, columns };
            panels::straight_on::<Kept>(isa, side, dst, &part);
        }
        Rows::Bf16(numbers) => {
            let part = SubMatrix { numbers, n_columns, rows, columns };
            match k_per_word(isa, Precision::Bf16) {
                1 => panels::straight_on::<Widened>(isa, side, dst, &part),
                _ => panels::straight_on::<KeptPair>(isa, side, dst, &part),
            }
        }
    }
}
