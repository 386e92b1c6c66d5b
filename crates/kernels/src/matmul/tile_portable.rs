//! Portable register tile in plain Rust, for any processor; a packed word is one f32.
//!
//! The loops over rows and columns have constant bounds, so they compile to 128-bit vectors.

use super::Accum;
use super::tile::{Tile, TileCall, TileFn};
use crate::rows::f32_from_bf16;

/// Rows of a full tile: its sums fill half of 16 registers, or half of the 32 of Arm.
pub(super) const ROWS: usize = if cfg!(target_arch = "aarch64") { 4 } else { 2 };

/// Columns of a panel.
pub(super) const COLS: usize = 16;

pub(super) static F32: Tile<f32> = tile_of();

pub(super) static BF16: Tile<u16> = tile_of();

const fn tile_of<E: Element>() -> Tile<E> {
    let by_rows: &[TileFn<E>] = &[tile::<E, 1>, tile::<E, 2>, tile::<E, 3>, tile::<E, 4>];
    Tile { by_rows: by_rows.split_at(ROWS).0, cols: COLS, k_per_word: 1, k_block: 512 }
}

/// An element of a left operand.
trait Element: Copy + 'static {
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

/// `a·b + c`, fused where every processor of the architecture can; elsewhere fusing is a library call.
#[inline(always)]
fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(target_arch = "aarch64") { a.mul_add(b, c) } else { a * b + c }
}

fn tile<E: Element, const ROWS: usize>(call: &mut TileCall<E>) {
    call.check(ROWS, COLS, 1);
    let mut sum = [[0f32; COLS]; ROWS];
    for (k, b) in call.b.as_chunks::<COLS>().0[..call.k].iter().enumerate() {
        // Read before the sums, so that index checks do not separate them.
        let at = |r: usize| call.a[r * call.a_row_stride + k * call.a_step].to_f32();
        let a: [f32; ROWS] = std::array::from_fn(at);
        let b = b.map(f32::from_bits);
        for r in 0..ROWS {
            for j in 0..COLS {
                sum[r][j] = multiply_add(a[r], b[j], sum[r][j]);
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
