//! The loops around the register tile: blocks of rows, blocks of K, panels, tiles.

use super::tile::{Tile, TileCall};
use super::{Accum, MatmulShape};

/// Bytes of a block of A that is swept once per panel and should stay in the second-level cache.
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
    /// A row-major matrix of `k` columns, read where it lies.
    pub fn in_place(tile: &Tile<E>, elements: &'a [E], k: usize) -> Left<'a, E> {
        let tile_stride = tile.by_rows.len() * k;
        Left { elements, tile_stride, row_stride: k, step: tile.k_per_word }
    }

    /// Panels of a full tile's rows with `steps` steps each, as packed for a weight gradient.
    pub fn packed(tile: &Tile<E>, elements: &'a [E], steps: usize) -> Left<'a, E> {
        let step = tile.by_rows.len() * tile.k_per_word;
        Left { elements, tile_stride: steps * step, row_stride: tile.k_per_word, step }
    }
}

/// `C (M, N) (+)= A (M, K) · B (K, N)`, `b` in panels; `c` rows are N apart.
///
/// K is cut into equal blocks by its size alone, and a row's sums run along each block in order;
/// so the bits of a row do not depend on the other rows.
pub(super) fn multiply<E>(
    tile: &Tile<E>,
    c: &mut [f32],
    a: Left<E>,
    b: &[u32],
    shape: MatmulShape,
    accum: Accum,
) {
    let MatmulShape { m, n, k } = shape;
    let full = tile.by_rows.len();
    let panel_len = k.div_ceil(tile.k_per_word) * tile.cols;
    let n_panels = n.div_ceil(tile.cols);
    let k_block = k_block(k, tile.k_block);
    let row_bytes = k_block.max(1) * size_of::<E>();
    let m_block = (A_BLOCK_BYTES / row_bytes).max(full) / full * full;

    for m0 in (0..m).step_by(m_block) {
        let m1 = m.min(m0 + m_block);
        for k0 in (0..k.max(1)).step_by(k_block) {
            let (step0, accum) = (k0 / tile.k_per_word, if k0 == 0 { accum } else { Accum::Add });
            let k = k_block.min(k - k0);
            let block = step0 * tile.cols..(step0 + k.div_ceil(tile.k_per_word)) * tile.cols;
            for p in 0..n_panels {
                let panel = &b[p * panel_len..][block.clone()];
                let next =
                    if p + 1 < n_panels { &b[(p + 1) * panel_len..][block.clone()] } else { &[] };
                let tiles = (m1 - m0).div_ceil(full);
                let ahead_len = next.len().div_ceil(tiles);
                for (t, row) in (m0..m1).step_by(full).enumerate() {
                    let start = row * n + p * tile.cols;
                    let mut call = TileCall {
                        c: &mut c[start..],
                        c_stride: n,
                        cols: tile.cols.min(n - p * tile.cols),
                        accum: accum.from(start),
                        a: &a.elements[row / full * a.tile_stride + step0 * a.step..],
                        a_row_stride: a.row_stride,
                        a_step: a.step,
                        b: panel,
                        ahead: &next
                            [next.len().min(t * ahead_len)..next.len().min((t + 1) * ahead_len)],
                        k,
                    };
                    // SAFETY: tiles are chosen by an instruction set that the processor has.
                    unsafe { tile.by_rows[full.min(m1 - row) - 1](&mut call) };
                }
            }
        }
    }
}

/// The length of the blocks that K is cut into: equal, even, and at most `limit`.
fn k_block(k: usize, limit: usize) -> usize {
    let n_blocks = k.div_ceil(limit).max(1);
    k.div_ceil(n_blocks).next_multiple_of(2).max(2)
}
