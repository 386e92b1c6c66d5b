//! The loops around the register tile: blocks of rows, blocks of K, panels, tiles.
//!
//! A block of rows of A stays in the second-level cache while every panel of B passes by; a panel
//! stays in the first or second level while the tiles of the block pass by.

use super::prefetch::Lines;
use super::tile::{Tile, TileCall};
use super::{Accum, MatmulShape};
use std::ops::Range;

/// Bytes of a block of A: a part of a second-level cache of 512 KiB or more.
const A_BLOCK_BYTES: usize = 256 << 10;

/// A left operand, in tiles of rows.
#[derive(Clone, Copy)]
pub(super) struct Left<'a, E> {
    elements: &'a [E],
    /// From a full tile of rows to the next.
    tile_stride: usize,
    row_stride: usize,
    /// From a step along K to the next.
    step: usize,
}

impl<'a, E> Left<'a, E> {
    /// A row-major matrix whose rows are `row_stride` apart, read where it lies.
    pub fn in_place(tile: &Tile<E>, elements: &'a [E], row_stride: usize) -> Left<'a, E> {
        let tile_stride = tile.by_rows.len() * row_stride;
        Left { elements, tile_stride, row_stride, step: tile.k_per_word }
    }

    /// Panels of a full tile's rows with `steps` steps each, as packed for a weight gradient.
    pub fn packed(tile: &Tile<E>, elements: &'a [E], steps: usize) -> Left<'a, E> {
        let step = tile.by_rows.len() * tile.k_per_word;
        Left { elements, tile_stride: steps * step, row_stride: tile.k_per_word, step }
    }
}

/// A product `C (M, N) (+)= A (M, K) · B (K, N)` to be computed with one kind of tile.
pub(super) struct Product<'a, E: 'static> {
    pub tile: &'static Tile<E>,
    pub a: Left<'a, E>,
    /// In panels.
    pub b: &'a [u32],
    pub shape: MatmulShape,
    pub accum: Accum<'a>,
    /// What is read after the product, if it is better fetched early than the next panel of B.
    pub ahead: Option<Lines>,
}

impl<E> Product<'_, E> {
    /// Computes it into `c`, whose rows are N apart.
    ///
    /// K is cut into equal blocks by its size alone, and a row's sums run along each block in
    /// order; so the bits of a row do not depend on the other rows.
    pub fn run(&self, c: &mut [f32]) {
        let MatmulShape { m, k, .. } = self.shape;
        let full = self.tile.by_rows.len();
        let k_block = k_block(k, self.tile.k_block);
        let m_block = (A_BLOCK_BYTES / (k_block * size_of::<E>())).max(full) / full * full;
        // At least once, so that an empty sum is written too.
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

    /// What the tile at `row` should ask for early.
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
            // A line in each step's words: the processor fetches their neighbours by itself.
            let cols = self.tile.cols;
            return Lines::of_rows(next.as_ptr(), cols, next.len() / cols, 1);
        }
        Lines::of(next).part(t, n_tiles)
    }

    /// The words of a block of K in a panel of B.
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

/// Part of a product: some rows, and some of K in one panel.
struct Block {
    panel: usize,
    rows: Range<usize>,
    ks: Range<usize>,
}

/// The length of the blocks that K is cut into: equal, even, and at most `limit`.
pub(super) fn k_block(k: usize, limit: usize) -> usize {
    let n_blocks = k.div_ceil(limit).max(1);
    k.div_ceil(n_blocks).next_multiple_of(2).max(2)
}
