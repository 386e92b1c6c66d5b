//! Attention gradients: weights are recomputed block by block from the saved `lse`.
//!
//! ```text
//! for each key/value head:
//!     pack its keys and values
//!     for each block of 48 query rows:                      dq = 0
//!         for each block of 96 keys up to the diagonal:
//!             p  = exp(scale * q k^T - lse)                 two products in registers ...
//!             ds = p * (dy v^T - delta)
//!             dq += ds k                                    ... feed three more
//!             dk += ds^T q
//!             dv += p^T dy
//! ```
//!
//! After Dao et al., "FlashAttention", 2022, algorithm 4. Tiles above the diagonal are skipped. The
//! order of all sums is fixed: ascending query rows, in which the heads that share keys alternate
//! position by position.

use super::AttentionShape;
use super::forward::{product, store_left};
use super::layout::{HeadRows, LANES, OperandLayout, pieces_len, split, words_mut};
use super::pack::{lanes, lanes_mut, pack_left, pack_panels, pack_right, read, vectors, write};
use super::tile::{Kernel, Left, Right, Simd, Word, next_width, tile, with_width};
use crate::rows::{Precision, Rows, RowsMut};
use std::ops::Range;

/// Query rows per block: a multiple of the rows of every register tile.
const BLOCK_ROWS: usize = 48;

/// Keys per block: a multiple of the rows and of the columns of every register tile.
const BLOCK_KEYS: usize = 96;

/// Words between rows of `p` or `ds`; see [`Weights`].
const STRIDE: usize = BLOCK_KEYS + LANES;

/// Arguments of [`attention_backward`](super::attention_backward), checked.
pub(super) struct Backward<'a> {
    pub(super) dqkv: &'a mut [f32],
    pub(super) dy: &'a [f32],
    pub(super) y: Rows<'a>,
    pub(super) qkv: Rows<'a>,
    pub(super) lse: &'a [f32],
    pub(super) shape: AttentionShape,
    pub(super) scratch: &'a mut [f32],
}

/// Length of the scratch of [`Backward`].
pub(super) fn scratch_len(shape: AttentionShape, precision: Precision) -> usize {
    let layout = OperandLayout { head_dim: shape.head_dim, precision };
    pieces_len(head_pieces(layout, shape.seq_len)) + pieces_len(block_pieces(layout))
}

/// Panels of keys and of values, keys as a right operand, accumulators of `dk` and of `dv`.
fn head_pieces(layout: OperandLayout, t: usize) -> [usize; 5] {
    let sums = t.next_multiple_of(BLOCK_KEYS) * layout.right_row();
    [layout.panels(t), layout.panels(t), layout.right(t), sums, sums]
}

/// The arrays of [`Queries`], then those of [`Weights`].
fn block_pieces(layout: OperandLayout) -> [usize; 9] {
    let (left, right) = (BLOCK_ROWS * layout.left_row(), layout.right(BLOCK_ROWS));
    let dq = BLOCK_ROWS * layout.right_row();
    let columns = BLOCK_ROWS / layout.per_word() * STRIDE;
    [left, right, left, right, dq, 2 * BLOCK_ROWS, columns, columns, BLOCK_ROWS * STRIDE]
}

/// One key/value head, packed, with the accumulators of its gradients.
struct Keys<'a> {
    panels: &'a mut [u32],
    value_panels: &'a mut [u32],
    right: &'a mut [u32],
    dk: &'a mut [f32], // (T up to BLOCK_KEYS, right_row)
    dv: &'a mut [f32],
}

/// One block of query rows, packed, with the accumulators of its gradients.
struct Queries<'a> {
    left: &'a mut [u32],
    right: &'a mut [u32],
    dy_left: &'a mut [u32],
    dy_right: &'a mut [u32],
    dq: &'a mut [f32],        // (BLOCK_ROWS, right_row)
    shift: &'a mut [f32],     // (BLOCK_ROWS), -lse in powers of 2
    neg_delta: &'a mut [f32], // (BLOCK_ROWS), -dy·y
}

/// `p` and `ds` of one block, as left operands.
///
/// The words of `columns` are paired along query rows, for sums over query rows; those of `rows`
/// along keys. With one f32 per word both are equal, and `rows` is not written.
struct Weights<'a> {
    p_columns: &'a mut [u32], // (BLOCK_ROWS / PER, STRIDE)
    ds_columns: &'a mut [u32],
    ds_rows: &'a mut [u32], // (BLOCK_ROWS, STRIDE)
}

impl Kernel for Backward<'_> {
    #[inline(always)]
    fn run<S: Simd, W: Word, const ROWS: usize, const COLS: usize>(mut self, s: S) {
        let (shape, t) = (self.shape, self.shape.seq_len);
        let layout = OperandLayout { head_dim: shape.head_dim, precision: W::PRECISION };
        let scratch = std::mem::take(&mut self.scratch);
        let (head, block) = scratch.split_at_mut(pieces_len(head_pieces(layout, t)));
        let [panels, value_panels, right, dk, dv] = split(head, head_pieces(layout, t));
        let (panels, value_panels) = (words_mut(panels), words_mut(value_panels));
        let mut keys = Keys { panels, value_panels, right: words_mut(right), dk, dv };
        let [left, right, dy_left, dy_right, dq, stats, p_columns, ds_columns, ds_rows] =
            split(block, block_pieces(layout));
        let (shift, neg_delta) = stats.split_at_mut(BLOCK_ROWS);
        let mut queries = Queries {
            left: words_mut(left),
            right: words_mut(right),
            dy_left: words_mut(dy_left),
            dy_right: words_mut(dy_right),
            dq,
            shift,
            neg_delta,
        };
        let (p_columns, ds_columns) = (words_mut(p_columns), words_mut(ds_columns));
        let mut weights = Weights { p_columns, ds_columns, ds_rows: words_mut(ds_rows) };

        for kv in 0..shape.n_kv_heads {
            pack_panels::<S, W>(s, keys.panels, self.qkv, shape.key_rows(kv), 0..t);
            pack_panels::<S, W>(s, keys.value_panels, self.qkv, shape.value_rows(kv), 0..t);
            pack_right::<S, W>(s, keys.right, self.qkv, shape.key_rows(kv), 0..t);
            let n_rows = t * shape.group();
            for first in (0..n_rows).step_by(BLOCK_ROWS) {
                let rows = first..n_rows.min(first + BLOCK_ROWS);
                self.load_block::<S, W>(s, &mut queries, kv, rows.clone());
                let block =
                    Block { rows: rows.clone(), group: shape.group(), scale: shape.scale() };
                for key in (0..block.n_keys(rows.end - 1)).step_by(BLOCK_KEYS) {
                    block.weigh::<S, W, ROWS, COLS>(s, &mut weights, &queries, &keys, key);
                    block.add_dq::<S, W, ROWS, COLS>(s, &mut queries, &weights, &keys, key);
                    block.add_dkv::<S, W, ROWS, COLS>(s, &mut keys, &weights, &queries, key);
                }
                let at = shape.query_rows(kv);
                store_scaled(s, self.dqkv, at, rows, queries.dq, shape.scale());
            }
            store_scaled(s, self.dqkv, shape.key_rows(kv), 0..t, keys.dk, shape.scale());
            store_scaled(s, self.dqkv, shape.value_rows(kv), 0..t, keys.dv, 1.0);
        }
    }
}

impl Backward<'_> {
    /// Packs a block of query rows and computes their `delta`.
    #[inline(always)]
    fn load_block<S: Simd, W: Word>(&self, s: S, to: &mut Queries, kv: usize, rows: Range<usize>) {
        let (shape, dy) = (self.shape, Rows::F32(self.dy));
        let (q_rows, y_rows) = (shape.query_rows(kv), shape.y_rows(kv));
        pack_left::<S, W>(s, to.left, self.qkv, q_rows, rows.clone());
        pack_right::<S, W>(s, to.right, self.qkv, q_rows, rows.clone());
        pack_left::<S, W>(s, to.dy_left, dy, y_rows, rows.clone());
        pack_right::<S, W>(s, to.dy_right, dy, y_rows, rows.clone());
        to.shift.fill(0.0);
        to.neg_delta.fill(0.0);
        let lse = &self.lse[kv * shape.group() * shape.seq_len..];
        for (i, r) in rows.enumerate() {
            let (head, position) = (r % shape.group(), r / shape.group());
            to.shift[i] = -lse[head * shape.seq_len + position] * std::f32::consts::LOG2_E;
            let mut delta = s.splat(0.0);
            for d in vectors(shape.head_dim) {
                let (at, n) = (y_rows.at(r) + d, shape.head_dim - d);
                delta = s.mul_add(read(s, dy, at, n), read(s, self.y, at, n), delta);
            }
            to.neg_delta[i] = -s.sum(delta);
        }
    }
}

/// Query rows of a block.
struct Block {
    rows: Range<usize>,
    group: usize,
    scale: f32,
}

impl Block {
    /// Number of keys that query row `r` attends to.
    fn n_keys(&self, r: usize) -> usize {
        r / self.group + 1
    }

    /// Number of keys from `key` on that row `i` of the block attends to; 0 if there is no such row.
    fn seen(&self, i: usize, key: usize) -> usize {
        if i < self.rows.len() {
            self.n_keys(self.rows.start + i).saturating_sub(key).min(BLOCK_KEYS)
        } else {
            0
        }
    }

    /// Number of keys from `key` on that any of the `R` rows from row `i` on attends to.
    fn seen_by_tile<const R: usize>(&self, i: usize, key: usize) -> usize {
        self.seen(self.rows.len().min(i + R) - 1, key)
    }

    /// Computes `p` and `ds` of all rows for the keys from `key` on.
    #[inline(always)]
    fn weigh<S: Simd, W: Word, const R: usize, const C: usize>(
        &self,
        s: S,
        weights: &mut Weights,
        queries: &Queries,
        keys: &Keys,
        key: usize,
    ) {
        let row_words = queries.left.len() / BLOCK_ROWS;
        for i in (0..self.rows.len()).step_by(R) {
            let n_panels = self.seen_by_tile::<R>(i, key).div_ceil(LANES);
            let mut panel = 0;
            while panel < n_panels {
                let width = next_width(n_panels - panel, C);
                let words = (key / LANES + panel) * row_words * LANES;
                let q = Left { words: &queries.left[i * row_words..], row: row_words, step: 1 };
                let dy = Left { words: &queries.dy_left[i * row_words..], ..q };
                let k = Right {
                    words: &keys.panels[words..],
                    col: row_words * LANES,
                    step: LANES,
                    ahead: 0,
                };
                let v = Right { words: &keys.value_panels[words..], ..k };
                with_width!(width, C, N => {
                    let scores = tile::<S, W, R, N>(s, q, k, row_words);
                    let p = self.weights_of(s, scores, &queries.shift[i..], (i, key + panel * LANES));
                    let dp = tile::<S, W, R, N>(s, dy, v, row_words);
                    let ds = score_gradients(s, dp, p, &queries.neg_delta[i..]);
                    weights.put::<S, W, R, N>(s, p, ds, (i, panel * LANES));
                });
                panel += width;
            }
            if !LANES.is_multiple_of(R) {
                weights.put_zeros::<S, W, R>(s, i, n_panels * LANES);
            }
        }
    }

    /// `2^(score + shift)` for the keys attended to, else 0, for the tile at (row, key).
    #[inline(always)]
    fn weights_of<S: Simd, const R: usize, const C: usize>(
        &self,
        s: S,
        mut scores: [[S::V; C]; R],
        shift: &[f32],
        (i, key): (usize, usize),
    ) -> [[S::V; C]; R] {
        let factor = s.splat(self.scale * std::f32::consts::LOG2_E);
        let all_seen = self.seen(i, key) >= C * LANES && i + R <= self.rows.len();
        for r in 0..R {
            for c in 0..C {
                let p = s.exp2(s.mul_add(scores[r][c], factor, s.splat(shift[r])));
                scores[r][c] = p;
                if !all_seen {
                    scores[r][c] = s.first(self.seen(i + r, key + c * LANES), p, 0.0);
                }
            }
        }
        scores
    }

    /// `dq += ds k` over the keys from `key` on.
    #[inline(always)]
    fn add_dq<S: Simd, W: Word, const R: usize, const C: usize>(
        &self,
        s: S,
        queries: &mut Queries,
        weights: &Weights,
        keys: &Keys,
        key: usize,
    ) {
        let row_words = queries.dq.len() / BLOCK_ROWS;
        let ds = if W::PER == 1 { &*weights.ds_columns } else { &*weights.ds_rows };
        let right = &keys.right[key / W::PER * row_words..];
        for i in (0..self.rows.len()).step_by(R) {
            let n = self.seen_by_tile::<R>(i, key);
            if n > 0 {
                let left = Left { words: &ds[i * STRIDE..], row: STRIDE, step: 1 };
                let dq = &mut queries.dq[i * row_words..][..R * row_words];
                product::<S, W, R, C>(s, dq, left, right, n.div_ceil(W::PER), key > 0);
            }
        }
    }

    /// `dk += ds^T q` and `dv += p^T dy` for the keys from `key` on.
    #[inline(always)]
    fn add_dkv<S: Simd, W: Word, const R: usize, const C: usize>(
        &self,
        s: S,
        keys: &mut Keys,
        weights: &Weights,
        queries: &Queries,
        key: usize,
    ) {
        let row_words = queries.dq.len() / BLOCK_ROWS;
        let n_rows = self.rows.len().next_multiple_of(R);
        for j in (0..self.seen(self.rows.len() - 1, key)).step_by(R) {
            // The first row that attends to key j. If an earlier block had one, add to its sums.
            let first = ((key + j) * self.group).saturating_sub(self.rows.start);
            let add = (key + j) * self.group < self.rows.start;
            let (word, steps) = (first / W::PER, (n_rows - first) / W::PER);
            let at = word * STRIDE + j;
            let p = Left { words: &weights.p_columns[at..], row: 1, step: STRIDE };
            let ds = Left { words: &weights.ds_columns[at..], ..p };
            let sums = (key + j) * row_words..(key + j + R) * row_words;
            let (dk, dv) = (&mut keys.dk[sums.clone()], &mut keys.dv[sums]);
            product::<S, W, R, C>(s, dk, ds, &queries.right[word * row_words..], steps, add);
            product::<S, W, R, C>(s, dv, p, &queries.dy_right[word * row_words..], steps, add);
        }
    }
}

/// `ds = p (dp - delta)`, without the factor on scores, which is applied to the sums at the end.
#[inline(always)]
fn score_gradients<S: Simd, const R: usize, const C: usize>(
    s: S,
    mut dp: [[S::V; C]; R],
    p: [[S::V; C]; R],
    neg_delta: &[f32],
) -> [[S::V; C]; R] {
    for r in 0..R {
        for c in 0..C {
            dp[r][c] = s.mul(p[r][c], s.add(dp[r][c], s.splat(neg_delta[r])));
        }
    }
    dp
}

impl Weights<'_> {
    /// Writes a tile of `p` and `ds` at (row, key).
    #[inline(always)]
    fn put<S: Simd, W: Word, const R: usize, const C: usize>(
        &mut self,
        s: S,
        p: [[S::V; C]; R],
        ds: [[S::V; C]; R],
        (i, key): (usize, usize),
    ) {
        for r in (0..R).step_by(W::PER) {
            for c in 0..C {
                let at = (i + r) / W::PER * STRIDE + key + c * LANES;
                let (mut p_word, mut ds_word) = (p[r][c], ds[r][c]);
                if W::PER == 2 {
                    p_word = s.pair(p[r][c], p[r + 1][c]);
                    ds_word = s.pair(ds[r][c], ds[r + 1][c]);
                    for r in r..r + 2 {
                        let row = &mut self.ds_rows[(i + r) * STRIDE..][..STRIDE];
                        store_left::<S, W>(s, row, key + c * LANES, ds[r][c]);
                    }
                }
                s.store_words(lanes_mut(self.p_columns, at), p_word);
                s.store_words(lanes_mut(self.ds_columns, at), ds_word);
            }
        }
    }

    /// Writes zeros next to the tiles of `R` rows, since tiles of keys may read beyond them.
    #[inline(always)]
    fn put_zeros<S: Simd, W: Word, const R: usize>(&mut self, s: S, i: usize, key: usize) {
        for r in (0..R).step_by(W::PER) {
            let at = (i + r) / W::PER * STRIDE + key;
            s.store_words(lanes_mut(self.p_columns, at), s.splat(0.0));
            s.store_words(lanes_mut(self.ds_columns, at), s.splat(0.0));
        }
    }
}

/// Writes the rows of `sums`, multiplied by `factor`, to `rows` of a head.
#[inline(always)]
fn store_scaled<S: Simd>(
    s: S,
    dst: &mut [f32],
    at: HeadRows,
    rows: Range<usize>,
    sums: &[f32], // (>= rows, right_row)
    factor: f32,
) {
    let row_len = at.head_dim.next_multiple_of(LANES);
    for (row, r) in sums.chunks_exact(row_len).zip(rows) {
        for d in vectors(at.head_dim) {
            let v = s.mul(s.load(lanes(row, d)), s.splat(factor));
            write(s, &mut RowsMut::F32(&mut *dst), at.at(r) + d, at.head_dim - d, v);
        }
    }
}
