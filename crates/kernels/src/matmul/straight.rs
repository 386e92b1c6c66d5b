//! Data gradient `dX = dY·W`: a product that packs its right operand block by block.
//!
//! One block of K is packed into scratch and used by all rows, then the next. Packing an element
//! costs about as much as multiplying one row by it, which is negligible for hundreds of rows, and it
//! saves the memory of a second copy of the weights.

use super::blocks::k_block;
use super::{MatmulShape, multiply_in_place, pack, tile};
use crate::accum::Accum;
use crate::isa::Isa;
use crate::rows::{Precision, Rows};

/// `C (M, N) (+)= A (M, K) · W`, with `w` (K, N) row-major, converted to the format of A.
///
/// Bit-identical to [`matmul`](super::matmul) after [`pack_straight`](super::pack_straight).
///
/// # Panics
/// If a length disagrees with `shape`, or `scratch` is shorter than [`straight_scratch_len`].
pub fn matmul_straight(
    c: &mut [f32],
    a: Rows,
    w: &[f32],
    shape: MatmulShape,
    accum: Accum,
    scratch: &mut [u32],
) {
    straight_on(Isa::active(), c, a, w, shape, accum, scratch);
}

/// Words of scratch that [`matmul_straight`] needs.
pub fn straight_scratch_len(shape: MatmulShape, precision: Precision) -> usize {
    scratch_len_on(Isa::active(), shape, precision)
}

fn block_len(isa: Isa, k: usize, precision: Precision) -> usize {
    match precision {
        Precision::F32 => k_block(k, tile::for_f32(isa).k_block),
        Precision::Bf16 => k_block(k, tile::for_bf16(isa).k_block),
    }
}

pub(super) fn scratch_len_on(isa: Isa, shape: MatmulShape, precision: Precision) -> usize {
    pack::packed_len_on(isa, precision, block_len(isa, shape.k, precision), shape.n)
}

/// [`matmul_straight`] on a named instruction set.
pub(super) fn straight_on(
    isa: Isa,
    c: &mut [f32],
    a: Rows,
    w: &[f32],
    shape: MatmulShape,
    accum: Accum,
    scratch: &mut [u32],
) {
    let MatmulShape { m, n, k } = shape;
    let precision = a.precision();
    assert_eq!(c.len(), m * n, "matmul_straight: argument c is not (M, N)");
    assert_eq!(a.len(), m * k, "matmul_straight: argument a is not (M, K)");
    assert_eq!(w.len(), k * n, "matmul_straight: argument w is not (K, N)");
    if let Accum::Plus(other) = accum {
        assert_eq!(other.len(), c.len(), "matmul_straight: the argument of Plus is not (M, N)");
    }
    let len = scratch_len_on(isa, shape, precision);
    assert!(scratch.len() >= len, "matmul_straight: argument scratch is too short");
    if m == 0 {
        return;
    }

    let step = block_len(isa, k, precision);
    // At least one pass, so that an empty sum is written too.
    for k0 in (0..k.max(1)).step_by(step) {
        let shape = MatmulShape { m, n, k: step.min(k - k0) };
        let b = &mut scratch[..pack::packed_len_on(isa, precision, shape.k, n)];
        let panels = 0..n.div_ceil(tile::for_f32(isa).cols);
        pack::straight_on(isa, b, &w[k0 * n..(k0 + shape.k) * n], shape.k, n, precision, panels);
        let accum = if k0 == 0 { accum } else { Accum::Add };
        multiply_in_place(isa, c, a.slice(k0..m * k), k, b, shape, accum);
    }
}
