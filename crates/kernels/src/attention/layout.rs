//! Operand layouts of attention: words, left rows, right rows, and panels.
//!
//! A *word* is one f32, or two bf16 that one instruction multiplies together, the first in the
//! lower half. The left operand of a product is broadcast word by word; the right one is loaded 16
//! words at a time. So a matrix of n rows and D columns has three layouts:
//!
//! | layout | shape in words     | bf16 paired along | used as                               |
//! |--------|--------------------|-------------------|---------------------------------------|
//! | left   | (n, D)             | D                 | left operand, summed over D           |
//! | right  | (n, D up to 16)    | n                 | right operand, summed over n          |
//! | panels | (n / 16, D, 16)    | D                 | right operand, summed over D          |
//!
//! Padding is zero.

use crate::rows::Precision;

/// f32 per vector of [`Simd`](super::tile::Simd), and columns of a panel.
pub(super) const LANES: usize = 16;

#[cfg(target_endian = "big")]
compile_error!("words are read as pairs of bf16, lower half first, which needs little-endian");

/// Sizes of the layouts of one head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OperandLayout {
    pub(super) head_dim: usize,
    pub(super) precision: Precision,
}

impl OperandLayout {
    /// Numbers in a word.
    pub(super) fn per_word(self) -> usize {
        match self.precision {
            Precision::F32 => 1,
            Precision::Bf16 => 2,
        }
    }

    /// Words of one left row, and 16-word rows of one panel.
    pub(super) fn left_row(self) -> usize {
        self.head_dim.div_ceil(self.per_word())
    }

    /// Words of one right row, and f32 of one row of accumulators.
    pub(super) fn right_row(self) -> usize {
        self.head_dim.next_multiple_of(LANES)
    }

    /// Words in one panel.
    pub(super) fn panel(self) -> usize {
        self.left_row() * LANES
    }

    /// Words of `n` rows as panels.
    pub(super) fn panels(self, n: usize) -> usize {
        n.div_ceil(LANES) * self.panel()
    }

    /// Words of `n` rows as a right operand.
    pub(super) fn right(self, n: usize) -> usize {
        n.div_ceil(self.per_word()) * self.right_row()
    }

    /// Word index in the panels, and index within the word, of row `r`, column `d`.
    pub(super) fn panels_at(self, r: usize, d: usize) -> (usize, usize) {
        let word = r / LANES * self.panel() + d / self.per_word() * LANES + r % LANES;
        (word, d % self.per_word())
    }

    /// Word index in the right operand, and index within the word, of row `r`, column `d`.
    pub(super) fn right_at(self, r: usize, d: usize) -> (usize, usize) {
        (r / self.per_word() * self.right_row() + d, r % self.per_word())
    }
}

/// Location of one key/value head's queries in a matrix with a row per position.
///
/// The query heads that share keys are interleaved: row `r` is head `r % group` of the group at
/// position `r / group`. So the number of keys attended to never decreases with `r`.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadRows {
    /// Numbers per row of the matrix.
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

/// Splits `scratch` into pieces of at least these lengths, each at the start of a cache line.
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

/// Scratch length that [`split`] needs for these lengths, for any alignment of the scratch.
pub(super) fn pieces_len<const N: usize>(lens: [usize; N]) -> usize {
    LANES + lens.iter().map(|len| len.next_multiple_of(LANES)).sum::<usize>()
}

/// The same memory as words.
pub(super) fn words_mut(floats: &mut [f32]) -> &mut [u32] {
    // SAFETY: f32 and u32 have one size and alignment, and every bit pattern is a value of both.
    unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), floats.len()) }
}
