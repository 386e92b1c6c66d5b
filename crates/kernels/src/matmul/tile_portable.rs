//! The register tile in plain Rust, for any processor; a packed word is one f32.

use super::Accum;
use super::tile::{Tile, TileCall};
use crate::rows::f32_from_bf16;

/// Rows of a full tile.
pub(super) const ROWS: usize = 2;

/// Columns of a panel: four vectors of a 128-bit instruction set.
pub(super) const COLS: usize = 16;

pub(super) static F32: Tile<f32> =
    Tile { by_rows: &[tile::<f32, 1>, tile::<f32, 2>], cols: COLS, k_per_word: 1, k_block: 512 };

pub(super) static BF16: Tile<u16> =
    Tile { by_rows: &[tile::<u16, 1>, tile::<u16, 2>], cols: COLS, k_per_word: 1, k_block: 512 };

/// An element of a left operand.
trait Element: Copy {
    fn to_f32(self) -> f32;
}

impl Element for f32 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
}

impl Element for u16 {
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32_from_bf16(self)
    }
}

fn tile<E: Element, const ROWS: usize>(call: &mut TileCall<E>) {
    call.check(ROWS, COLS, 1);
    let mut sum = [[0f32; COLS]; ROWS];
    for (k, b) in call.b.as_chunks::<COLS>().0[..call.k].iter().enumerate() {
        for r in 0..ROWS {
            let a = call.a[r * call.a_row_stride + k * call.a_step].to_f32();
            for j in 0..COLS {
                sum[r][j] += a * f32::from_bits(b[j]);
            }
        }
    }
    for r in 0..ROWS {
        let row = r * call.c_stride..r * call.c_stride + call.cols;
        let c = &mut call.c[row.clone()];
        match call.accum {
            Accum::Replace => c.copy_from_slice(&sum[r][..call.cols]),
            Accum::Add => c.iter_mut().zip(&sum[r]).for_each(|(c, sum)| *c += sum),
            Accum::Plus(other) => {
                for ((c, other), sum) in c.iter_mut().zip(&other[row]).zip(&sum[r]) {
                    *c = other + sum;
                }
            }
        }
    }
}
