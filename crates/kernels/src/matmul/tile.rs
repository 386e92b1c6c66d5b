//! Register tile of matrix products: its interface between blocking loops and instruction sets.
//!
//! A tile multiplies R rows of A by one panel of B and keeps all R x V sums in vector registers:
//!
//! ```text
//! sum[0..R][0..V] = 0
//! for each step k:                              K, or K / 2 steps of bf16 pairs
//!     b[0..V] = load panel[k]                   V vectors, one contiguous stream
//!     for r in 0..R:
//!         a = broadcast A[r][k]                 one number (or pair) in every SIMD lane
//!         for v in 0..V:
//!             sum[r][v] += a * b[v]             one fused multiply-add
//!     prefetch one cache line of C or of what follows
//! C[r] (+)= sum[r]                              C is read and written once per block of K
//! ```
//!
//! A step has V loads, R broadcasts and R·V multiply-adds. Two things fix the shape: R·V should be
//! large against R + V, so that arithmetic and not the load ports sets the pace, and large enough that
//! no sum waits for the multiply-add of the previous step; and R·V + V + 1 registers (sums, vectors of
//! B, broadcast) must not exceed 16 with AVX2 or 32 with AVX-512. That gives 6 x 2 and 8 x 3.

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
    /// Elements along K in a word of B, and in a step of A: 1, or 2 for bf16 pairs.
    pub k_per_word: usize,
    /// Most elements along K that are summed before C is updated. Even.
    pub k_block: usize,
}

/// Computes one tile. Unsafe only because the processor must support the instructions used.
pub(super) type TileFn<E> = unsafe fn(&mut TileCall<E>);

/// The arguments of one tile: `C (+)= A·B` on `r` rows and `cols` columns.
pub(super) struct TileCall<'a, E> {
    /// C from the first element of the tile on.
    pub c: &'a mut [f32],
    /// Elements between rows of C, and of the operand of [`Accum::Plus`].
    pub c_stride: usize,
    /// Columns to compute, at most the width of a panel.
    pub cols: usize,
    /// Accumulation mode; its operand starts at the same element as `c`.
    pub accum: Accum<'a>,
    /// A from the first element of the tile's rows on.
    pub a: &'a [E],
    /// Elements between rows of A.
    pub a_row_stride: usize,
    /// Elements of A between steps along K, each of which is one word of B.
    pub a_step: usize,
    /// The rows of the panel, one per step.
    pub b: &'a [u32],
    /// Memory that will be read after this tile; the tile prefetches it.
    pub ahead: Lines,
    /// Elements along K. If odd while steps are pairs, the last step has one element.
    pub k: usize,
}

impl<E> TileCall<'_, E> {
    /// Checks that a tile of `rows` rows, with panels `panel_cols` wide, stays inside the slices.
    ///
    /// # Panics
    /// If it does not. Every tile calls this first, which makes its pointers sound.
    #[inline(always)]
    pub fn check(&self, rows: usize, panel_cols: usize, k_per_word: usize) {
        assert!(0 < self.cols && self.cols <= panel_cols && self.cols <= self.c_stride);
        let fits = self.fits(rows, panel_cols, k_per_word);
        assert!(fits == Some(true), "a tile reaches outside its slices");
    }

    /// Whether the slices are long enough; `None` if a length exceeds every slice. Unchecked
    /// arithmetic would wrap around to a small length here.
    #[inline(always)]
    fn fits(&self, rows: usize, panel_cols: usize, k_per_word: usize) -> Option<bool> {
        let steps = self.k.div_ceil(k_per_word);
        let c_len = (rows - 1).checked_mul(self.c_stride)?.checked_add(self.cols)?;
        let other_len = match self.accum {
            Accum::Plus(other) => other.len(),
            Accum::Replace | Accum::Add => c_len,
        };
        let b_len = steps.checked_mul(panel_cols)?;
        let a_len = match steps.checked_sub(1) {
            None => 0,
            Some(steps_before) => {
                let last = if self.k.is_multiple_of(k_per_word) { k_per_word } else { 1 };
                let row = (rows - 1).checked_mul(self.a_row_stride)?;
                row.checked_add(steps_before.checked_mul(self.a_step)?)?.checked_add(last)?
            }
        };
        let is_long_enough = c_len <= self.c.len() && c_len <= other_len;
        Some(is_long_enough && b_len <= self.b.len() && a_len <= self.a.len())
    }

    /// The line to prefetch at a step: first the lines of C, which are written when the sums are
    /// complete (a row spans one line more than the panel's width), then those that follow the tile.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes whose products exceed the range of addresses, so that they would wrap around to small
    /// ones.
    #[test]
    fn a_tile_whose_extent_overflows_is_refused() {
        let half = 1 << (usize::BITS - 1);
        let cases = [
            ("rows of C", half, 8, 8, 8),
            ("rows of A", 16, half, 8, 8),
            ("steps of A", 16, 8, half, 3),
            ("panel", 16, 0, 0, half / 8 + 1),
        ];
        for (what, c_stride, a_row_stride, a_step, k) in cases {
            let result = std::panic::catch_unwind(|| {
                let (mut c, a, b) = ([0.0; 64], [0.0f32; 64], [0; 256]);
                let (accum, ahead) = (Accum::Replace, Lines::of(&b));
                let call = TileCall {
                    c: &mut c,
                    c_stride,
                    cols: 16,
                    accum,
                    a: &a,
                    a_row_stride,
                    a_step,
                    b: &b,
                    ahead,
                    k,
                };
                call.check(3, 16, 1);
            });
            let panic = result.unwrap_err();
            let message = panic.downcast_ref::<&str>().copied().unwrap_or_default();
            assert_eq!(message, "a tile reaches outside its slices", "{what}");
        }
    }
}
