//! Weight gradient `dW = dYᵀ·X`: both operands are packed in blocks, then multiplied tile by tile.
//!
//! The sum runs over rows, so dY is the left operand and X the right one, with rows as steps. Packing
//! turns rows into steps, and pairs of rows into bf16 words. X is packed once per block of rows, dY
//! in blocks of outputs, so that it stays in cache.

use super::blocks::{LeftOperand, Product};
use super::panels::Side;
use super::prefetch::Lines;
use super::tile::{self, Tile};
use super::{Accum, MatmulShape, pack};
use crate::isa::Isa;
use crate::rows::{Precision, Rows};
use std::ops::Range;

/// Steps along M in a block: that many rows of the activations, or twice as many if steps are
/// pairs. A tile sums a block in registers and then updates dW once.
const STEPS: usize = 512;

/// Outputs in a block. With [`STEPS`] words each, 256 KiB.
const N_BLOCK: usize = 128;

/// Gradient of a weight: `dW (N, K) (+)= dYᵀ·X`, summed over the M rows, in f32.
///
/// | argument  | shape  | meaning                                                       |
/// |-----------|--------|---------------------------------------------------------------|
/// | `dw`      | (N, K) | overwritten or added into, as `accum` says                    |
/// | `dy`      | (M, N) | gradient of the outputs                                       |
/// | `x`       | (M, K) | the inputs, in the precision of `dy`, which the products use  |
/// | `scratch` |        | [`wgrad_scratch_len`] words or more; contents do not matter   |
///
/// Cost: 2·M·N·K flops, and one pass over `dy` and `x` to pack them.
///
/// # Panics
/// If a length disagrees with `shape`, the precisions differ, or `scratch` is too short.
pub fn matmul_wgrad(
    dw: &mut [f32],
    dy: Rows,
    x: Rows,
    shape: MatmulShape,
    accum: Accum,
    scratch: &mut [u32],
) {
    Gradient { isa: Isa::active(), dy, x, shape, accum }.compute(dw, scratch);
}

/// Words of scratch that [`matmul_wgrad`] needs on the active instruction set.
pub fn wgrad_scratch_len(shape: MatmulShape, precision: Precision) -> usize {
    scratch_len_on(Isa::active(), shape, precision)
}

fn scratch_len_on(isa: Isa, shape: MatmulShape, precision: Precision) -> usize {
    let blocks = if is_paired(isa, precision) {
        Blocks::of(tile::for_bf16(isa), shape)
    } else {
        Blocks::of(tile::for_f32(isa), shape)
    };
    blocks.x_len + blocks.dy_len
}

/// Whether packed words are bf16 pairs. If not, bf16 is widened during packing.
fn is_paired(isa: Isa, precision: Precision) -> bool {
    precision == Precision::Bf16 && tile::for_bf16(isa).k_per_word == 2
}

/// Block sizes of a weight gradient.
struct Blocks {
    /// Rows of the activations per block.
    m: usize,
    /// Outputs per block: a multiple of the tile height.
    n: usize,
    /// Words of a packed block of X, and of a packed block of dY.
    x_len: usize,
    dy_len: usize,
}

impl Blocks {
    fn of<E>(tile: &Tile<E>, shape: MatmulShape) -> Blocks {
        let m = shape.m.clamp(1, STEPS * tile.k_per_word);
        let n = shape.n.clamp(1, N_BLOCK).next_multiple_of(tile.by_rows.len());
        let steps = m.div_ceil(tile.k_per_word);
        Blocks { m, n, x_len: steps * shape.k.next_multiple_of(tile.cols), dy_len: steps * n }
    }
}

/// The arguments of a weight gradient and the instruction set.
struct Gradient<'a> {
    isa: Isa,
    dy: Rows<'a>,
    x: Rows<'a>,
    shape: MatmulShape,
    accum: Accum<'a>,
}

impl Gradient<'_> {
    /// Checks the arguments and computes the gradient.
    fn compute(&self, dw: &mut [f32], scratch: &mut [u32]) {
        let Gradient { isa, dy, x, shape, accum } = *self;
        let MatmulShape { m, n, k } = shape;
        assert_eq!(dw.len(), n * k, "matmul_wgrad: argument dw is not (N, K)");
        assert_eq!(dy.len(), m * n, "matmul_wgrad: argument dy is not (M, N)");
        assert_eq!(x.len(), m * k, "matmul_wgrad: argument x is not (M, K)");
        assert_eq!(dy.precision(), x.precision(), "matmul_wgrad: dy and x differ in precision");
        if let Accum::Plus(other) = accum {
            assert_eq!(other.len(), dw.len(), "matmul_wgrad: the argument of Plus is not (N, K)");
        }
        let len = scratch_len_on(isa, shape, x.precision());
        assert!(scratch.len() >= len, "matmul_wgrad: argument scratch is too short");
        if is_paired(isa, x.precision()) {
            self.run(tile::for_bf16(isa), dw, scratch);
        } else {
            self.run(tile::for_f32(isa), dw, scratch);
        }
    }

    fn run<E: InWords>(&self, tile: &'static Tile<E>, dw: &mut [f32], scratch: &mut [u32]) {
        let MatmulShape { m, n, k } = self.shape;
        let blocks = Blocks::of(tile, self.shape);
        let (x_words, dy_words) = scratch.split_at_mut(blocks.x_len);
        // At least one pass, so that an empty sum is written too.
        for m0 in (0..m.max(1)).step_by(blocks.m) {
            let rows = m0..m.min(m0 + blocks.m);
            let steps = rows.len().div_ceil(tile.k_per_word);
            let b = &mut x_words[..steps * k.next_multiple_of(tile.cols)];
            pack::rows_on(self.isa, Side::Right, b, self.x, k, rows.clone(), 0..k);
            for n0 in (0..n).step_by(blocks.n) {
                let columns = n0..n.min(n0 + blocks.n);
                self.run_block(tile, dw, rows.clone(), columns, b, dy_words);
            }
        }
    }

    /// Packs a block of dY and multiplies it by the same rows of X, packed in `b`.
    fn run_block<E: InWords>(
        &self,
        tile: &'static Tile<E>,
        dw: &mut [f32],
        rows: Range<usize>,
        columns: Range<usize>,
        b: &[u32],
        dy_words: &mut [u32],
    ) {
        let MatmulShape { n, k, .. } = self.shape;
        let steps = rows.len().div_ceil(tile.k_per_word);
        let a = &mut dy_words[..steps * columns.len().next_multiple_of(tile.by_rows.len())];
        pack::rows_on(self.isa, Side::Left, a, self.dy, n, rows.clone(), columns.clone());
        let first = columns.start * k;
        let accum = if rows.start == 0 { self.accum.from(first) } else { Accum::Add };
        let product = Product {
            tile,
            a: LeftOperand::packed(tile, E::in_words(a), steps),
            b,
            shape: MatmulShape { m: columns.len(), n: k, k: steps * tile.k_per_word },
            accum,
            ahead: Some(next_block(self.dy, rows.start * n + columns.end, n, rows.len())),
        };
        product.run(&mut dw[first..first + columns.len() * k]);
    }
}

/// The cache lines of the block of dY, `n` columns wide, whose first element is `first`.
///
/// Its rows lie far apart in memory, so packing would wait for each. A row that does not start at a
/// line boundary reaches into one more line; the surplus lines belong to the following block.
fn next_block(dy: Rows, first: usize, n: usize, rows: usize) -> Lines {
    let row_len = N_BLOCK + 1;
    match dy {
        Rows::F32(dy) => Lines::of_rows(dy.as_ptr().wrapping_add(first), n, rows, row_len),
        Rows::Bf16(dy) => Lines::of_rows(dy.as_ptr().wrapping_add(first), n, rows, row_len),
    }
}

/// An element type stored in packed words.
trait InWords: Sized {
    fn in_words(words: &[u32]) -> &[Self];
}

impl InWords for f32 {
    fn in_words(words: &[u32]) -> &[f32] {
        // SAFETY: same size and alignment, and every bit pattern is a number.
        unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len()) }
    }
}

impl InWords for u16 {
    fn in_words(words: &[u32]) -> &[u16] {
        // SAFETY: two numbers in a word, of weaker alignment; every bit pattern is a number.
        unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), 2 * words.len()) }
    }
}
