//! How operands of the products lie in memory: words, left rows, right rows, and panels.
//!
//! A *word* is one f32, or two bf16 that one instruction multiplies together, the first in the
//! lower half. The left operand of a product is broadcast word by word and the right one is
//! loaded 16 words at a time, so that there are three layouts of a matrix of n rows and D columns:
//!
//! | layout | shape in words     | bf16 paired along | used as                               |
//! |--------|--------------------|-------------------|---------------------------------------|
//! | left   | (n, D)             | D                 | left operand, summed over D           |
//! | right  | (n, D up to 16)    | n                 | right operand, summed over n          |
//! | panels | (n / 16, D, 16)    | D                 | right operand, summed over D          |
//!
//! Whatever rounding up adds is zero.

use crate::rows::Precision;

/// f32 in a vector of [`Simd`](super::tile::Simd), columns of a panel.
pub(super) const LANES: usize = 16;

#[cfg(target_endian = "big")]
compile_error!("words are read as pairs of bf16, lower half first, which needs little-endian");

/// The layouts of rows of one head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) head_dim: usize,
    pub(super) precision: Precision,
}

impl Layout {
    /// Numbers in a word.
    pub(super) fn per_word(self) -> usize {
        match self.precision {
            Precision::F32 => 1,
            Precision::Bf16 => 2,
        }
    }

    /// Words of one left row, and rows of 16 words of one panel.
    pub(super) fn left_row(self) -> usize {
        self.head_dim.div_ceil(self.per_word())
    }

    /// Words of one right row, and f32 of one row of accumulators.
    pub(super) fn right_row(self) -> usize {
        self.head_dim.next_multiple_of(LANES)
    }

    /// Words of one panel.
    pub(super) fn panel(self) -> usize {
        self.left_row() * LANES
    }

    /// Words of `n` rows in panels.
    pub(super) fn panels(self, n: usize) -> usize {
        n.div_ceil(LANES) * self.panel()
    }

    /// Words of `n` rows as a right operand.
    pub(super) fn right(self, n: usize) -> usize {
        n.div_ceil(self.per_word()) * self.right_row()
    }

    /// Word in the panels, and number in the word, of row `r`, column `d`.
    pub(super) fn panels_at(self, r: usize, d: usize) -> (usize, usize) {
        let word = r / LANES * self.panel() + d / self.per_word() * LANES + r % LANES;
        (word, d % self.per_word())
    }

    /// Word in the right operand, and number in the word, of row `r`, column `d`.
    pub(super) fn right_at(self, r: usize, d: usize) -> (usize, usize) {
        (r / self.per_word() * self.right_row() + d, r % self.per_word())
    }
}

/// Where the rows of one key/value head's queries stand in a matrix of whole positions.
///
/// The query heads that share keys are taken together: row `r` is head `r % group` of the group,
/// at position `r / group`, so that causality is a bound that grows with `r`.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadRows {
    /// Numbers in a row of the matrix.
    pub(super) stride: usize,
    /// Column of the group's first head.
    pub(super) column: usize,
    pub(super) head_dim: usize,
    pub(super) group: usize,
}

impl HeadRows {
    /// Index of the first number of row `r`.
    pub(super) fn at(self, r: usize) -> usize {
        r / self.group * self.stride + self.column + r % self.group * self.head_dim
    }
}

/// Cuts `scratch` into pieces of at least these lengths, each at the start of a cache line.
///
/// # Panics
/// If `scratch` is shorter than [`pieces_len`].
pub(super) fn split<const N: usize>(scratch: &mut [f32], lens: [usize; N]) -> [&mut [f32]; N] {
    let start = scratch.as_ptr().align_offset(LANES * size_of::<f32>());
    let mut rest = &mut scratch[start..];
    lens.map(|len| {
        let (piece, tail) = std::mem::take(&mut rest).split_at_mut(len.next_multiple_of(LANES));
        rest = tail;
        piece
    })
}

/// Length of scratch for [`split`] into these lengths, however the scratch is aligned.
pub(super) fn pieces_len<const N: usize>(lens: [usize; N]) -> usize {
    LANES + lens.iter().map(|len| len.next_multiple_of(LANES)).sum::<usize>()
}

/// The same memory as words.
pub(super) fn words_mut(floats: &mut [f32]) -> &mut [u32] {
    // SAFETY: f32 and u32 have one size and alignment, and every bit pattern is a value of both.
    unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), floats.len()) }
}
