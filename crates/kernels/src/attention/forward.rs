//! Fused attention: scores, softmax and mixing of values for a few query rows at a time.
//!
//! A tile of query rows goes over the keys in blocks of [`BLOCK_KEYS`]. The scores of a block stay
//! in the first-level cache, become weights in place, and mix the values. From the second block on
//! the running maximum may rise, and what was summed so far is scaled down (Milakov and Gimelshein,
//! "Online normalizer calculation for softmax", 2018). Blocks count from position 0, so that the
//! same query gives the same bits however many others are computed with it.

use super::AttentionShape;
use super::layout::{HeadRows, LANES, Layout, pieces_len, split, words_mut};
use super::pack::{lanes, lanes_mut, pack_left, pack_panels, pack_right, read, write};
use super::tile::{Kernel, Left, Right, Simd, Word, next_width, tile, with_width};
use crate::rows::{Precision, Rows, RowsMut};

/// Keys whose scores are held at once: a multiple of every tile's width.
pub(super) const BLOCK_KEYS: usize = 384;

/// More than the rows of any register tile.
pub(super) const MAX_ROWS: usize = 8;

/// [`attention_forward`](super::attention_forward), checked.
pub(super) struct Forward<'a> {
    pub(super) y: RowsMut<'a>,
    pub(super) lse: &'a mut [f32],
    pub(super) qkv: Rows<'a>,
    pub(super) shape: AttentionShape,
    pub(super) scratch: &'a mut [f32],
}

/// Scratch for [`Forward`].
pub(super) fn scratch_len(shape: AttentionShape, precision: Precision) -> usize {
    let layout = Layout { head_dim: shape.head_dim, precision };
    pieces_len([layout.panels(shape.seq_len), layout.right(shape.seq_len), attend_len(layout)])
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd, W: Word, const ROWS: usize, const COLS: usize>(mut self, s: S) {
        let (shape, t) = (self.shape, self.shape.seq_len);
        let layout = Layout { head_dim: shape.head_dim, precision: W::PRECISION };
        let lens = [layout.panels(t), layout.right(t), attend_len(layout)];
        let [keys, values, scratch] = split(self.scratch, lens);
        let (keys, values) = (words_mut(keys), words_mut(values));
        for kv in 0..shape.n_kv_heads {
            pack_panels::<S, W>(s, keys, self.qkv, shape.key_rows(kv), t);
            pack_right::<S, W>(s, values, self.qkv, shape.value_rows(kv), 0..t);
            let head = Head {
                q: self.qkv,
                q_rows: shape.query_rows(kv),
                keys,
                values,
                n_rows: t * shape.group(),
                start_pos: 0,
            };
            let lse = &mut self.lse[kv * head.n_rows..][..head.n_rows];
            attend::<S, W, ROWS, COLS>(s, &mut self.y, shape.y_rows(kv), lse, &head, scratch);
        }
    }
}

/// The queries that share one key/value head, and that head.
pub(super) struct Head<'a> {
    pub(super) q: Rows<'a>,
    pub(super) q_rows: HeadRows,
    /// Panels of the keys from position 0 on.
    pub(super) keys: &'a [u32],
    /// The values from position 0 on, as a right operand.
    pub(super) values: &'a [u32],
    /// Query rows: positions times heads of the group.
    pub(super) n_rows: usize,
    /// Position of the first query.
    pub(super) start_pos: usize,
}

impl Head<'_> {
    /// How many keys query row `r` sees.
    fn n_keys(&self, r: usize) -> usize {
        self.start_pos + r / self.q_rows.group + 1
    }

    fn scale(&self) -> f32 {
        1.0 / (self.q_rows.head_dim as f32).sqrt()
    }
}

/// Scratch for [`attend`].
pub(super) fn attend_len(layout: Layout) -> usize {
    pieces_len(attend_pieces(layout))
}

fn attend_pieces(layout: Layout) -> [usize; 3] {
    [MAX_ROWS * layout.left_row(), MAX_ROWS * BLOCK_KEYS, MAX_ROWS * layout.right_row()]
}

/// Outputs of all query rows of one key/value head.
#[inline(always)]
pub(super) fn attend<S: Simd, W: Word, const R: usize, const C: usize>(
    s: S,
    y: &mut RowsMut,  // (T, H*D), its group of columns overwritten
    y_rows: HeadRows, // where that group stands
    lse: &mut [f32],  // (group, T) overwritten, or empty
    head: &Head,
    scratch: &mut [f32], // attend_len
) {
    let layout = Layout { head_dim: y_rows.head_dim, precision: W::PRECISION };
    let [queries, scores, out] = split(scratch, attend_pieces(layout));
    let (queries, scores) = (words_mut(queries), words_mut(scores));
    let (queries, out) =
        (&mut queries[..R * layout.left_row()], &mut out[..R * layout.right_row()]);
    let factor = head.scale() * std::f32::consts::LOG2_E;
    let (n_positions, group) = (head.n_rows / y_rows.group, y_rows.group);

    for first in (0..head.n_rows).step_by(R) {
        let n = R.min(head.n_rows - first);
        pack_left::<S, W>(s, queries, head.q, head.q_rows, first..first + n);
        let mut softmax = [RowSoftmax { max: f32::NEG_INFINITY, sum: 0.0 }; R];
        let n_keys = head.n_keys(first + n - 1);
        for key in (0..n_keys).step_by(BLOCK_KEYS) {
            let n_block = BLOCK_KEYS.min(n_keys - key);
            score::<S, W, R, C>(s, scores, queries, &head.keys[layout.panels(key)..], n_block);
            for i in 0..n {
                let seen = head.n_keys(first + i).saturating_sub(key).min(n_block);
                let row = &mut scores[i * BLOCK_KEYS..][..n_block.next_multiple_of(LANES)];
                let shrink = softmax[i].weigh::<S, W>(s, row, seen, factor);
                if key > 0 {
                    rescale(s, &mut out[i * layout.right_row()..][..layout.right_row()], shrink);
                }
            }
            let values = &head.values[layout.right(key)..];
            let weights = Left { words: scores, row: BLOCK_KEYS, step: 1 };
            product::<S, W, R, C>(s, out, weights, values, n_block.div_ceil(W::PER), key > 0);
        }
        for i in 0..n {
            let r = first + i;
            let row = &out[i * layout.right_row()..][..layout.right_row()];
            finish_row(s, y, y_rows.at(r), y_rows.head_dim, row, softmax[i].sum);
            if !lse.is_empty() {
                lse[r % group * n_positions + r / group] = softmax[i].log_sum();
            }
        }
    }
}

/// The largest scaled score of a row in powers of 2, and the sum of the weights relative to it.
#[derive(Clone, Copy)]
struct RowSoftmax {
    max: f32,
    sum: f32,
}

impl RowSoftmax {
    /// Turns scores into weights `2^(factor * score - max)`, zero from `seen` on, in place.
    ///
    /// Returns the factor by which the new maximum shrinks whatever was summed before.
    #[inline(always)]
    fn weigh<S: Simd, W: Word>(&mut self, s: S, row: &mut [u32], seen: usize, factor: f32) -> f32 {
        let whole = seen / LANES * LANES;
        let mut max = s.splat(f32::NEG_INFINITY);
        for c in (0..whole).step_by(LANES) {
            max = s.max(s.load_words(lanes(row, c)), max);
        }
        if seen > whole {
            let v = s.load_words(lanes(row, whole));
            max = s.max(s.first(seen - whole, v, f32::NEG_INFINITY), max);
        }
        let old = self.max;
        let new = s.max_lane(max) * factor;
        self.max = if new > old { new } else { old };

        let (scale, shift) = (s.splat(factor), s.splat(-self.max));
        let mut sum = s.splat(0.0);
        for c in (0..row.len()).step_by(LANES) {
            let mut p = s.exp2(s.mul_add(s.load_words(lanes(row, c)), scale, shift));
            if c + LANES > seen {
                p = s.first(seen.saturating_sub(c), p, 0.0);
            }
            sum = s.add(sum, p);
            store_left::<S, W>(s, row, c, p);
        }
        let shrink = s.max_lane(s.exp2(s.splat(old - self.max)));
        self.sum = self.sum * shrink + s.sum(sum);
        shrink
    }

    /// `log(sum(exp(scores)))`.
    fn log_sum(self) -> f32 {
        (self.max + self.sum.log2()) * std::f32::consts::LN_2
    }
}

/// Writes 16 numbers of a row from column `c` on as words paired along the row.
#[inline(always)]
pub(super) fn store_left<S: Simd, W: Word>(s: S, row: &mut [u32], c: usize, v: S::V) {
    if W::PER == 1 {
        s.store_words(lanes_mut(row, c), v);
    } else {
        let half = row[c / 2..].first_chunk_mut().expect("a row is a multiple of 16 long");
        s.store_bf16_words(half, v);
    }
}

/// Products of `R` queries with `n_keys` keys, rounded up to whole panels.
#[inline(always)]
fn score<S: Simd, W: Word, const R: usize, const C: usize>(
    s: S,
    scores: &mut [u32], // (R, BLOCK_KEYS)
    queries: &[u32],    // left rows
    keys: &[u32],       // panels
    n_keys: usize,
) {
    let row_words = queries.len() / R;
    let n_panels = n_keys.div_ceil(LANES);
    let mut panel = 0;
    while panel < n_panels {
        let width = next_width(n_panels - panel, C);
        let left = Left { words: queries, row: row_words, step: 1 };
        let words = &keys[panel * row_words * LANES..];
        let right = Right { words, col: row_words * LANES, step: LANES };
        with_width!(width, C, N => {
            let acc = tile::<S, W, R, N>(s, left, right, row_words);
            for r in 0..R {
                for c in 0..N {
                    let at = r * BLOCK_KEYS + (panel + c) * LANES;
                    s.store_words(lanes_mut(scores, at), acc[r][c]);
                }
            }
        });
        panel += width;
    }
}

/// `R` rows of a product with a right operand, written to `out`, or added if `add`.
#[inline(always)]
pub(super) fn product<S: Simd, W: Word, const R: usize, const C: usize>(
    s: S,
    out: &mut [f32], // (R, right_row)
    left: Left,
    right: &[u32],
    steps: usize,
    add: bool,
) {
    let row_words = out.len() / R;
    let n_vectors = row_words / LANES;
    let mut vector = 0;
    while vector < n_vectors {
        let width = next_width(n_vectors - vector, C);
        let right = Right { words: &right[vector * LANES..], col: LANES, step: row_words };
        with_width!(width, C, N => {
            let acc = tile::<S, W, R, N>(s, left, right, steps);
            for r in 0..R {
                for c in 0..N {
                    let out = lanes_mut(out, r * row_words + (vector + c) * LANES);
                    let sum = if add { s.add(s.load(out), acc[r][c]) } else { acc[r][c] };
                    s.store(out, sum);
                }
            }
        });
        vector += width;
    }
}

/// `row *= factor`.
#[inline(always)]
fn rescale<S: Simd>(s: S, row: &mut [f32], factor: f32) {
    for d in (0..row.len()).step_by(LANES) {
        let v = s.mul(s.load(lanes(row, d)), s.splat(factor));
        s.store(lanes_mut(row, d), v);
    }
}

/// Writes `row / sum`, of `dim` numbers, from `at` on.
#[inline(always)]
fn finish_row<S: Simd>(s: S, y: &mut RowsMut, at: usize, dim: usize, row: &[f32], sum: f32) {
    let factor = s.splat(1.0 / sum);
    for d in (0..dim).step_by(LANES) {
        write(s, y, at + d, dim - d, s.mul(read(s, Rows::F32(row), d, LANES), factor));
    }
}
