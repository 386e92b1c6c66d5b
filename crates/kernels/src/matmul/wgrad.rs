//! The weight gradient `dW = dYᵀ·X`: both operands are packed in blocks, then it is a product.

use super::blocks::{Left, multiply};
use super::tile::{self, Tile};
use super::{Accum, MatmulShape, pack};
use crate::isa::Isa;
use crate::rows::{Precision, Rows};

/// Rows of the activations in a block.
const M_BLOCK: usize = 512;

/// Outputs in a block.
const N_BLOCK: usize = 128;

/// Gradient of a weight: `dW (N, K) (+)= dYᵀ·X`, summed over the M rows, in f32.
///
/// | argument  | shape  | meaning                                                       |
/// |-----------|--------|---------------------------------------------------------------|
/// | `dw`      | (N, K) | overwritten or added into, as `accum` says                    |
/// | `dy`      | (M, N) | gradient of the outputs                                       |
/// | `x`       | (M, K) | the inputs, of the same precision: that of the products       |
/// | `scratch` |        | [`wgrad_scratch_len`] words; contents do not matter           |
///
/// Cost: 2·M·N·K flops, and one pass over `dy` and `x` to pack them. To share the work among
/// threads cut N, giving each its columns of `dy` as a packed matrix, or cut M and add.
///
/// # Panics
/// If a length disagrees with `shape` or the precisions differ.
pub fn matmul_wgrad(
    dw: &mut [f32],
    dy: Rows,
    x: Rows,
    shape: MatmulShape,
    accum: Accum,
    scratch: &mut [u32],
) {
    wgrad_on(Isa::active(), dw, dy, x, shape, accum, scratch);
}

/// Words of scratch that [`matmul_wgrad`] needs on the active instruction set.
pub fn wgrad_scratch_len(shape: MatmulShape, precision: Precision) -> usize {
    scratch_len_on(Isa::active(), shape, precision)
}

pub(super) fn scratch_len_on(_isa: Isa, shape: MatmulShape, _precision: Precision) -> usize {
    let t = &super::tile_portable::F32;
    let m = shape.m.min(M_BLOCK);
    m * (shape.k.next_multiple_of(t.cols) + shape.n.min(N_BLOCK).next_multiple_of(t.by_rows.len()))
}

pub(super) fn wgrad_on(
    isa: Isa,
    dw: &mut [f32],
    dy: Rows,
    x: Rows,
    shape: MatmulShape,
    accum: Accum,
    scratch: &mut [u32],
) {
    let MatmulShape { m, n, k } = shape;
    assert_eq!(dw.len(), n * k, "matmul_wgrad: argument dw is not (N, K)");
    assert_eq!(dy.len(), m * n, "matmul_wgrad: argument dy is not (M, N)");
    assert_eq!(x.len(), m * k, "matmul_wgrad: argument x is not (M, K)");
    assert_eq!(dy.precision(), x.precision(), "matmul_wgrad: dy and x differ in precision");
    if let Accum::Plus(other) = accum {
        assert_eq!(other.len(), n * k, "matmul_wgrad: argument of Plus is not (N, K)");
    }
    let len = scratch_len_on(isa, shape, x.precision());
    assert!(scratch.len() >= len, "matmul_wgrad: argument scratch is too short");
    blocked(tile::for_f32(isa), dw, dy, x, shape, accum, scratch);
}

fn blocked(
    tile: &Tile<f32>,
    dw: &mut [f32],
    dy: Rows,
    x: Rows,
    shape: MatmulShape,
    accum: Accum,
    scratch: &mut [u32],
) {
    let MatmulShape { m, n, k } = shape;
    let full = tile.by_rows.len();
    for m0 in (0..m.max(1)).step_by(M_BLOCK) {
        let rows = m0..m.min(m0 + M_BLOCK);
        let accum = if m0 == 0 { accum } else { Accum::Add };
        let (xs, rest) = scratch.split_at_mut(rows.len() * k.next_multiple_of(tile.cols));
        pack::pack_rows(xs, x, k, rows.clone(), 0..k, tile.cols, 1);
        for n0 in (0..n).step_by(N_BLOCK) {
            let columns = n0..n.min(n0 + N_BLOCK);
            let dys = &mut rest[..rows.len() * columns.len().next_multiple_of(full)];
            pack::pack_rows(dys, dy, n, rows.clone(), columns.clone(), full, 1);
            // Portable stand-in for reading the words in place.
            let dys: Vec<f32> = dys.iter().map(|w| f32::from_bits(*w)).collect();
            let left = Left::packed(tile, &dys, rows.len());
            let block = MatmulShape { m: columns.len(), n: k, k: rows.len() };
            let start = n0 * k;
            let dw = &mut dw[start..start + columns.len() * k];
            multiply(tile, dw, left, xs, block, accum.from(start));
        }
    }
}
