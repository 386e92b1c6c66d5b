//! What a register tile is: the contract between the blocking loops and the instruction sets.
//!
//! A tile multiplies a few rows of A by one panel of B, keeping all sums in registers:
//!
//! ```text
//! for k:  b = panel[k][0..cols]            one stream, 16 to 64 bytes at a time
//!         for r:  sum[r] += a[r][k] * b    a number, or a pair of bf16, in every lane
//! C[r] (+)= sum[r]
//! ```

use super::prefetch::{LINE, Lines};
use super::{Accum, tile_portable};
#[cfg(target_arch = "x86_64")]
use super::{tile_avx2, tile_avx512, tile_avx512_bf16};
use crate::isa::Isa;

/// The tiles of one instruction set for left operands of elements `E`.
pub(super) struct Tile<E: 'static> {
    /// `by_rows[r - 1]` computes `r` rows. The length is the height of the full tile.
    pub by_rows: &'static [TileFn<E>],
    /// Columns of a panel.
    pub cols: usize,
    /// How many elements along K lie in a word of B, and in a step of A: 1, or 2 for bf16 pairs.
    pub k_per_word: usize,
    /// At most so many elements along K are summed before C is updated. Even.
    pub k_block: usize,
}

/// Computes one tile. Unsafe only because it uses instructions that the processor must have.
pub(super) type TileFn<E> = unsafe fn(&mut TileCall<E>);

/// The arguments of one tile: `C (+)= A·B` on `r` rows and `cols` columns.
pub(super) struct TileCall<'a, E> {
    /// The first element of the tile in C, and what follows.
    pub c: &'a mut [f32],
    /// From a row of C, and of the operand of [`Accum::Plus`], to the next.
    pub c_stride: usize,
    /// Columns to compute, at most those of a panel.
    pub cols: usize,
    /// As for `c`, relative to the same first element.
    pub accum: Accum<'a>,
    /// The first element of the tile's rows in A, and what follows.
    pub a: &'a [E],
    /// From a row of A to the next.
    pub a_row_stride: usize,
    /// From a step along K, one word of B, to the next.
    pub a_step: usize,
    /// The rows of the panel, one per step.
    pub b: &'a [u32],
    /// Memory that will be read after this tile, which asks for it early.
    pub ahead: Lines,
    /// Elements along K. If odd where steps are pairs, the last step has one element.
    pub k: usize,
}

impl<E> TileCall<'_, E> {
    /// Checks that a tile of `rows` rows, of panels `panel_cols` wide, stays inside the slices.
    ///
    /// # Panics
    /// If it does not; every tile calls this first, so that its pointers are sound.
    #[inline(always)]
    pub fn check(&self, rows: usize, panel_cols: usize, k_per_word: usize) {
        let steps = self.k.div_ceil(k_per_word);
        assert!(0 < self.cols && self.cols <= panel_cols && self.cols <= self.c_stride);
        let c_len = (rows - 1) * self.c_stride + self.cols;
        assert!(c_len <= self.c.len());
        if let Accum::Plus(other) = self.accum {
            assert!(c_len <= other.len());
        }
        assert!(steps * panel_cols <= self.b.len());
        if steps > 0 {
            let last = if self.k.is_multiple_of(k_per_word) { k_per_word } else { 1 };
            let a_len = (rows - 1) * self.a_row_stride + (steps - 1) * self.a_step + last;
            assert!(a_len <= self.a.len());
        }
    }

    /// The line to ask for at a step: first of C, whose `rows` rows are written when the sums are
    /// ready and lie in a line more than a panel is wide; then of what comes after the tile.
    #[inline(always)]
    pub fn line_at(&self, step: usize, rows: usize, panel_cols: usize) -> Option<*const u8> {
        let row_len = panel_cols + LINE / size_of::<f32>();
        let c = Lines::of_rows(self.c.as_ptr(), self.c_stride, rows, row_len);
        match step.checked_sub(c.len()) {
            None => c.get(step),
            Some(step) => self.ahead.get(step),
        }
    }
}

/// The tiles for f32 rows.
pub(super) fn for_f32(isa: Isa) -> &'static Tile<f32> {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 | Isa::Avx512Bf16 => &tile_avx512::F32,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => &tile_avx2::F32,
        _ => &tile_portable::F32,
    }
}

/// The tiles for bf16 rows.
pub(super) fn for_bf16(isa: Isa) -> &'static Tile<u16> {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Bf16 => &tile_avx512_bf16::BF16,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => &tile_avx512::BF16,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => &tile_avx2::BF16,
        _ => &tile_portable::BF16,
    }
}
