//! The weight gradient `dW = dYᵀ·X`: both operands are packed in blocks, then it is a product.

use super::blocks::{Left, Product};
use super::panels::Side;
use super::prefetch::Lines;
use super::tile::{self, Tile};
use super::{Accum, MatmulShape, pack};
use crate::isa::Isa;
use crate::rows::{Precision, Rows};

/// Words along M in a block: so many rows of the activations, or twice as many in pairs.
const STEPS: usize = 512;

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

pub(super) fn scratch_len_on(isa: Isa, shape: MatmulShape, precision: Precision) -> usize {
    if is_paired(isa, precision) {
        Blocks::of(tile::for_bf16(isa), shape).scratch_len()
    } else {
        Blocks::of(tile::for_f32(isa), shape).scratch_len()
    }
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
        assert_eq!(other.len(), n * k, "matmul_wgrad: the argument of Plus is not (N, K)");
    }
    let len = scratch_len_on(isa, shape, x.precision());
    assert!(scratch.len() >= len, "matmul_wgrad: argument scratch is too short");
    if is_paired(isa, x.precision()) {
        blocked(isa, tile::for_bf16(isa), dw, dy, x, shape, accum, scratch);
    } else {
        blocked(isa, tile::for_f32(isa), dw, dy, x, shape, accum, scratch);
    }
}

/// Whether packed words are bf16 pairs. Where they are not, bf16 is widened while it is packed.
fn is_paired(isa: Isa, precision: Precision) -> bool {
    precision == Precision::Bf16 && tile::for_bf16(isa).k_per_word == 2
}

/// An element that packed words are made of.
trait Packable: Sized {
    fn in_words(words: &[u32]) -> &[Self];
}

impl Packable for f32 {
    fn in_words(words: &[u32]) -> &[f32] {
        // SAFETY: same size and alignment, and every bit pattern is a number.
        unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len()) }
    }
}

impl Packable for u16 {
    fn in_words(words: &[u32]) -> &[u16] {
        // SAFETY: two numbers in a word, of weaker alignment; every bit pattern is a number.
        unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), 2 * words.len()) }
    }
}

/// How a gradient is cut into blocks.
struct Blocks {
    /// Rows of the activations in a block.
    m: usize,
    /// Outputs in a block: a multiple of the height of a tile.
    n: usize,
    /// Words of a packed block of X, and of dY.
    x_len: usize,
    dy_len: usize,
}

impl Blocks {
    fn of<E>(tile: &Tile<E>, shape: MatmulShape) -> Blocks {
        let full = tile.by_rows.len();
        let m = shape.m.min(STEPS * tile.k_per_word);
        let n = shape.n.clamp(1, N_BLOCK).next_multiple_of(full);
        let steps = m.div_ceil(tile.k_per_word);
        Blocks { m, n, x_len: steps * shape.k.next_multiple_of(tile.cols), dy_len: steps * n }
    }

    fn scratch_len(&self) -> usize {
        self.x_len + self.dy_len
    }
}

#[expect(clippy::too_many_arguments)]
fn blocked<E: Packable>(
    isa: Isa,
    tile: &'static Tile<E>,
    dw: &mut [f32],
    dy: Rows,
    x: Rows,
    shape: MatmulShape,
    accum: Accum,
    scratch: &mut [u32],
) {
    let MatmulShape { m, n, k } = shape;
    let (full, per_word) = (tile.by_rows.len(), tile.k_per_word);
    let blocks = Blocks::of(tile, shape);
    for m0 in (0..m.max(1)).step_by(blocks.m.max(1)) {
        let rows = m0..m.min(m0 + blocks.m);
        let steps = rows.len().div_ceil(per_word);
        let accum = if m0 == 0 { accum } else { Accum::Add };
        let (xs, dys) = scratch.split_at_mut(blocks.x_len);
        let xs = &mut xs[..steps * k.next_multiple_of(tile.cols)];
        pack::rows_on(isa, Side::Right, xs, x, k, rows.clone(), 0..k);
        for n0 in (0..n).step_by(blocks.n) {
            let columns = n0..n.min(n0 + blocks.n);
            let dys = &mut dys[..steps * columns.len().next_multiple_of(full)];
            pack::rows_on(isa, Side::Left, dys, dy, n, rows.clone(), columns.clone());
            let left = Left::packed(tile, E::in_words(dys), steps);
            let block = MatmulShape { m: columns.len(), n: k, k: steps * per_word };
            let dw = &mut dw[n0 * k..columns.end * k];
            let ahead = lines(dy, rows.start * n + columns.end, n, rows.len(), columns.len());
            let accum = accum.from(n0 * k);
            Product { tile, a: left, b: xs, shape: block, accum, ahead }.run(dw);
        }
    }
}

fn lines(dy: Rows, start: usize, n: usize, rows: usize, columns: usize) -> Option<Lines> {
    match dy {
        Rows::F32(x) => Some(Lines::of_rows(
            x.as_ptr().wrapping_add(start),
            n,
            rows,
            (columns / 16).max(1).next_power_of_two(),
        )),
        Rows::Bf16(x) => Some(Lines::of_rows(
            x.as_ptr().wrapping_add(start),
            n,
            rows,
            (columns / 32).max(1).next_power_of_two(),
        )),
    }
}
