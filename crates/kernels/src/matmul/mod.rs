//! Matrix products: the three products of training, argument checks, and instruction-set dispatch.
//!
//! A training step uses three products. With weights `W` stored as (N, K), that is (out, in):
//!
//! ```text
//! forward          Y  (M, N) = X (M, K) · Wᵀ     right operand packed by `pack_transposed`
//! data gradient    dX (M, K) = dY (M, N) · W     right operand packed by `pack_straight`
//! weight gradient  dW (N, K) = dYᵀ · X           `matmul_wgrad`, which packs into its scratch
//! ```
//!
//! The right operand of [`matmul`] is packed once and used many times: it is cut into panels of
//! [`panel_cols`] columns, each stored row after row, so that the inner loop reads one contiguous
//! stream. The left operand is read in place. Every product is made of register tiles, one file per
//! instruction set; `naive` is the definition that they are tested against.
//!
//! Packed words and scratch should start at a cache line ([`crate::AlignedVec`]) for full speed.
//!
//! **Bits.** An element of the result is summed along K in an order that depends on K alone, not on
//! the number of rows in the call or on how rows or panels are distributed to threads. Another
//! instruction set may round differently.

mod blocks;
pub mod naive;
mod pack;
mod panels;
mod prefetch;
mod straight;
mod tile;
#[cfg(target_arch = "x86_64")]
mod tile_avx2;
#[cfg(target_arch = "x86_64")]
mod tile_avx512;
#[cfg(target_arch = "x86_64")]
mod tile_avx512_bf16;
mod tile_portable;
mod transpose;
mod wgrad;

use crate::accum::Accum;
use crate::isa::Isa;
use crate::rows::{Precision, Rows};
use blocks::{LeftOperand, Product};
use std::ops::Range;

pub use pack::{
    Packed, n_panels, pack_straight, pack_straight_panels, pack_transposed, pack_transposed_panels,
    packed_len, panel_cols, panel_columns, panel_len,
};
pub use straight::{matmul_straight, straight_scratch_len};
pub use wgrad::{matmul_wgrad, wgrad_scratch_len};

/// The sizes of a product: M rows, N outputs, K inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatmulShape {
    /// Rows of the activations: B·T in training.
    pub m: usize,
    /// Outputs: rows of a stored weight.
    pub n: usize,
    /// Inputs: columns of a stored weight.
    pub k: usize,
}

/// Multiplies rows by a packed matrix: `C (+)= A·B`, accumulated in f32.
///
/// | argument | shape  | meaning                                                        |
/// |----------|--------|----------------------------------------------------------------|
/// | `c`      | (M, N) | overwritten or added into, as `accum` says                     |
/// | `a`      | (M, K) | read in place; of the precision that `b` was packed in         |
/// | `b`      | (K, N) | packed under the instruction set that is active now            |
///
/// M is derived from `c`. Any M works; M = 1 (decoding) runs at memory bandwidth. Cost: 2·M·N·K
/// flops. To split a product among threads, split the rows of `c` and `a`, or use [`matmul_panels`].
/// # Panics
/// If a length disagrees with its shape, or `a` and `b` differ in precision.
pub fn matmul(c: &mut [f32], a: Rows, b: Packed, accum: Accum) {
    matmul_panels(c, a, b, 0..n_panels(b.n), accum);
}

/// [`matmul`] on some panels of `b`: lets threads split a product that has few rows.
///
/// `c_part` is (M, columns), contiguous, for the columns of `panels` ([`panel_columns`]); so is the
/// operand of [`Accum::Plus`]. With M = 1 it is that range of the output row.
///
/// # Panics
/// As [`matmul`], or if `panels` exceeds `b`.
pub fn matmul_panels(c_part: &mut [f32], a: Rows, b: Packed, panels: Range<usize>, accum: Accum) {
    matmul_on(Isa::active(), c_part, a, b, panels, accum);
}

/// [`matmul_panels`] on a named instruction set.
fn matmul_on(isa: Isa, c: &mut [f32], a: Rows, b: Packed, panels: Range<usize>, accum: Accum) {
    let Packed { precision, k, n, words } = b;
    assert_eq!(a.precision(), precision, "matmul: argument a is not of the precision of b");
    assert_eq!(
        words.len(),
        pack::packed_len_on(isa, precision, k, n),
        "matmul: argument b.words is not (K, N) packed for {}",
        isa.name()
    );
    let columns = pack::panel_columns_on(isa, n, panels.clone());
    let m = if columns.is_empty() { 0 } else { c.len() / columns.len() };
    assert_eq!(c.len(), m * columns.len(), "matmul: argument c is not (M, N)");
    if m > 0 {
        assert_eq!(a.len(), m * k, "matmul: argument a is not (M, K)");
    }
    if let Accum::Plus(other) = accum {
        assert_eq!(other.len(), c.len(), "matmul: the argument of Plus is not of the shape of c");
    }
    if m == 0 {
        return;
    }

    let panel_len = pack::panel_len_on(isa, precision, k);
    let b = &words[panels.start * panel_len..panels.end * panel_len];
    let shape = MatmulShape { m, n: columns.len(), k };
    multiply_in_place(isa, c, a, k, b, shape, accum);
}

/// The product of `a`, read in place with rows `stride` apart, and packed `b`, written to `c`.
fn multiply_in_place(
    isa: Isa,
    c: &mut [f32],
    a: Rows,
    stride: usize,
    b: &[u32],
    shape: MatmulShape,
    accum: Accum,
) {
    match a {
        Rows::F32(a) => {
            let tile = tile::for_f32(isa);
            let a = LeftOperand::in_place(tile, a, stride);
            Product { tile, a, b, shape, accum, ahead: None }.run(c);
        }
        Rows::Bf16(a) => {
            let tile = tile::for_bf16(isa);
            let a = LeftOperand::in_place(tile, a, stride);
            Product { tile, a, b, shape, accum, ahead: None }.run(c);
        }
    }
}

/// bf16 or f32 numbers in a packed word.
fn k_per_word(isa: Isa, precision: Precision) -> usize {
    match precision {
        Precision::F32 => tile::for_f32(isa).k_per_word,
        Precision::Bf16 => tile::for_bf16(isa).k_per_word,
    }
}
