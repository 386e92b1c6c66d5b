//! Cache blocking of matrix products: loops over blocks of K, blocks of rows, panels and tiles.
//!
//! ```text
//! for each block of K:                    C is updated once per block
//!     for each block of rows of A:        256 KiB, stays in the second-level cache
//!         for each panel of B:            stays in the first or second level
//!             for each tile of rows:      sums in registers; see `tile`
//!                 C[tile, panel] (+)= A[tile, block of K] * B[block of K, panel]
//! ```
//!
//! A block of rows of A is reused for every panel of B, a panel for every tile of the block. Without
//! blocking both would come from memory each time.

use super::prefetch::Lines;
use super::tile::{Tile, TileCall};
use super::{Accum, MatmulShape};
use std::ops::Range;

/// Bytes of a block of A: part of a second-level cache of 512 KiB or more.
const A_BLOCK_BYTES: usize = 256 << 10;

/// A left operand, as tiles of rows.
#[derive(Clone, Copy)]
pub(super) struct LeftOperand<'a, E> {
    elements: &'a [E],
    /// Elements between full tiles of rows.
    tile_stride: usize,
    row_stride: usize,
    /// Elements between steps along K.
    step: usize,
}

impl<'a, E> LeftOperand<'a, E> {
    /// A row-major matrix with rows `row_stride` apart, read in place.
    pub fn in_place(tile: &Tile<E>, elements: &'a [E], row_stride: usize) -> LeftOperand<'a, E> {
        let tile_stride = tile.by_rows.len() * row_stride;
        LeftOperand { elements, tile_stride, row_stride, step: tile.k_per_word }
    }

    /// Panels as high as a full tile, of `steps` steps each, as packed for a weight gradient.
    pub fn packed(tile: &Tile<E>, elements: &'a [E], steps: usize) -> LeftOperand<'a, E> {
        let step = tile.by_rows.len() * tile.k_per_word;
        LeftOperand { elements, tile_stride: steps * step, row_stride: tile.k_per_word, step }
    }
}

/// A product `C (M, N) (+)= A (M, K) · B (K, N)`, computed with one kind of tile.
pub(super) struct Product<'a, E: 'static> {
    pub tile: &'static Tile<E>,
    pub a: LeftOperand<'a, E>,
    /// Packed in panels.
    pub b: &'a [u32],
    pub shape: MatmulShape,
    pub accum: Accum<'a>,
    /// Memory to prefetch instead of the next panel of B: data that is read after the product.
    pub ahead: Option<Lines>,
}

impl<E> Product<'_, E> {
    /// Computes the product into `c`, whose rows are N apart.
    ///
    /// K is cut into equal blocks that depend on K alone, and a row is summed along each block in
    /// order. So the bits of a row do not depend on the other rows.
    pub fn run(&self, c: &mut [f32]) {
        let MatmulShape { m, k, .. } = self.shape;
        let full = self.tile.by_rows.len();
        let k_block = k_block(k, self.tile.k_block);
        let m_block = (A_BLOCK_BYTES / (k_block * size_of::<E>())).max(full) / full * full;
        // At least one pass, so that an empty sum is written too.
        for k0 in (0..k.max(1)).step_by(k_block) {
            for m0 in (0..m).step_by(m_block) {
                for panel in 0..self.n_panels() {
                    let (rows, ks) = (m0..m.min(m0 + m_block), k0..k.min(k0 + k_block));
                    self.run_block(c, &Block { panel, rows, ks });
                }
            }
        }
    }

    /// Multiplies a block of rows by a block of a panel, tile by tile.
    fn run_block(&self, c: &mut [f32], block: &Block) {
        let Product { tile, a, .. } = self;
        let n = self.shape.n;
        let Block { panel, rows, ks } = block;
        let full = tile.by_rows.len();
        let step = ks.start / tile.k_per_word;
        for row in rows.clone().step_by(full) {
            let start = row * n + panel * tile.cols;
            let mut call = TileCall {
                c: &mut c[start..],
                c_stride: n,
                cols: tile.cols.min(n - panel * tile.cols),
                accum: if ks.start == 0 { self.accum.from(start) } else { Accum::Add },
                a: &a.elements[row / full * a.tile_stride + step * a.step..],
                a_row_stride: a.row_stride,
                a_step: a.step,
                b: self.panel_words(*panel, ks),
                ahead: self.ahead(block, row),
                k: ks.len(),
            };
            let n_rows = full.min(rows.end - row);
            // SAFETY: tiles are chosen by an instruction set that the processor has.
            unsafe { tile.by_rows[n_rows - 1](&mut call) };
        }
    }

    /// Memory that the tile at `row` prefetches.
    fn ahead(&self, block: &Block, row: usize) -> Lines {
        let Block { panel, rows, ks } = block;
        let full = self.tile.by_rows.len();
        let (t, n_tiles) = ((row - rows.start) / full, rows.len().div_ceil(full));
        if let Some(lines) = self.ahead {
            return lines.part(panel * n_tiles + t, self.n_panels() * n_tiles);
        }
        if panel + 1 == self.n_panels() {
            return Lines::of::<u32>(&[]);
        }
        let next = self.panel_words(panel + 1, ks);
        if n_tiles == 1 {
            // One line for each step's words: the processor fetches the neighbouring lines itself.
            let cols = self.tile.cols;
            return Lines::of_rows(next.as_ptr(), cols, next.len() / cols, 1);
        }
        Lines::of(next).part(t, n_tiles)
    }

    /// The words of one block of K in a panel of B.
    fn panel_words(&self, panel: usize, ks: &Range<usize>) -> &[u32] {
        let Tile { cols, k_per_word, .. } = self.tile;
        let panel_len = self.shape.k.div_ceil(*k_per_word) * cols;
        let first = panel * panel_len + ks.start / k_per_word * cols;
        &self.b[first..first + ks.len().div_ceil(*k_per_word) * cols]
    }

    fn n_panels(&self) -> usize {
        self.shape.n.div_ceil(self.tile.cols)
    }
}

/// Part of a product: a range of rows, and a range of K in one panel.
struct Block {
    panel: usize,
    rows: Range<usize>,
    ks: Range<usize>,
}

/// Length of the blocks that K is cut into: equal, even, and at most `limit`.
pub(super) fn k_block(k: usize, limit: usize) -> usize {
    let n_blocks = k.div_ceil(limit).max(1);
    k.div_ceil(n_blocks).next_multiple_of(2).max(2)
}
