//! Fused attention forward pass: scores, softmax and weighted sum of values, block by block.
//!
//! ```text
//! for each block of 48 query rows:
//!     max = -inf; sum = 0
//!     for each block of 384 keys, from position 0 to the diagonal:
//!         score = q k^T                                stays in the first-level cache
//!         new = max(max, factor * largest score)       factor = log2(e) / sqrt(D)
//!         weight = 2^(factor * score - new)            in place of the scores
//!         sum = sum * 2^(max - new) + sum of weights
//!         out = out * 2^(max - new) + weight v
//!         max = new
//!     y = out / sum; lse = ln(2) * (max + log2(sum))
//! ```
//!
//! The running maximum is the online softmax of Milakov and Gimelshein, "Online normalizer calculation
//! for softmax", 2018. Blocks are counted from position 0, so a query gives the same bits however many
//! other queries are computed with it.

use super::layout::{HeadRows, LANES, OperandLayout, pieces_len, split, words_mut};
use super::pack::{lanes, lanes_mut, pack_left, pack_panels, pack_right, vectors, write};
use super::tile::{Kernel, Left, Right, Simd, Word, next_width, tile, with_width};
use super::{AttentionShape, scale};
use crate::rows::{Precision, Rows, RowsMut};

/// Keys per block of scores: a multiple of every tile's width.
pub(super) const BLOCK_KEYS: usize = 384;

/// Query rows per block: a multiple of the rows of every register tile. Each stage is done for all
/// rows before the next stage, so that no tile waits for the previous one.
const BLOCK_ROWS: usize = 48;

/// Prefetch distance of right operands, in rows.
const PREFETCH_STEPS: usize = 16;

/// Arguments of [`attention_forward`](super::attention_forward), checked.
pub(super) struct Forward<'a> {
    pub(super) y: RowsMut<'a>,
    pub(super) lse: &'a mut [f32],
    pub(super) qkv: Rows<'a>,
    pub(super) shape: AttentionShape,
    pub(super) scratch: &'a mut [f32],
}

/// Length of the scratch of [`Forward`].
pub(super) fn scratch_len(shape: AttentionShape, precision: Precision) -> usize {
    let layout = OperandLayout { head_dim: shape.head_dim, precision };
    pieces_len([layout.panels(shape.seq_len), layout.right(shape.seq_len), attend_len(layout)])
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd, W: Word, const ROWS: usize, const COLS: usize>(mut self, s: S) {
        let (shape, t) = (self.shape, self.shape.seq_len);
        let layout = OperandLayout { head_dim: shape.head_dim, precision: W::PRECISION };
        let lens = [layout.panels(t), layout.right(t), attend_len(layout)];
        let [keys, values, scratch] = split(self.scratch, lens);
        let (keys, values) = (words_mut(keys), words_mut(values));
        for kv in 0..shape.n_kv_heads {
            pack_panels::<S, W>(s, keys, self.qkv, shape.key_rows(kv), 0..t);
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

/// One key/value head and the queries that share it.
pub(super) struct Head<'a> {
    pub(super) q: Rows<'a>,
    pub(super) q_rows: HeadRows,
    /// Panels of the keys from position 0 on.
    pub(super) keys: &'a [u32],
    /// The values from position 0 on, as a right operand.
    pub(super) values: &'a [u32],
    /// Number of query rows: positions times heads of the group.
    pub(super) n_rows: usize,
    /// Position of the first query.
    pub(super) start_pos: usize,
}

impl Head<'_> {
    /// Number of keys that query row `r` attends to.
    fn n_keys(&self, r: usize) -> usize {
        self.start_pos + r / self.q_rows.group + 1
    }

    /// Number of keys of the block from `key` on that each of `R` rows attends to. Rows beyond the last
    /// repeat its number.
    fn seen<const R: usize>(&self, first: usize, key: usize) -> [usize; R] {
        let mut seen = [0; R];
        for (i, seen) in seen.iter_mut().enumerate() {
            let row = (first + i).min(self.n_rows - 1);
            *seen = self.n_keys(row).saturating_sub(key).min(BLOCK_KEYS);
        }
        seen
    }
}

/// Length of the scratch of [`attend`].
pub(super) fn attend_len(layout: OperandLayout) -> usize {
    pieces_len(attend_pieces(layout))
}

/// Queries as left rows, scores, and accumulators of weighted values.
fn attend_pieces(layout: OperandLayout) -> [usize; 3] {
    [layout.left_row(), BLOCK_KEYS, layout.right_row()].map(|len| BLOCK_ROWS * len)
}

/// Computes the outputs of all query rows of one key/value head.
#[inline(always)]
pub(super) fn attend<S: Simd, W: Word, const R: usize, const C: usize>(
    s: S,
    y: &mut RowsMut,  // (T, H*D), its group of columns overwritten
    y_rows: HeadRows, // where that group stands
    lse: &mut [f32],  // (group, T) overwritten, or empty
    head: &Head,
    scratch: &mut [f32], // attend_len
) {
    let (dim, group) = (y_rows.head_dim, y_rows.group);
    let layout = OperandLayout { head_dim: dim, precision: W::PRECISION };
    let (left_row, right_row) = (layout.left_row(), layout.right_row());
    let [queries, scores, out] = split(scratch, attend_pieces(layout));
    let (queries, scores) = (words_mut(queries), words_mut(scores));
    let factor = scale(dim) * std::f32::consts::LOG2_E;

    for first in (0..head.n_rows).step_by(BLOCK_ROWS) {
        let n = BLOCK_ROWS.min(head.n_rows - first);
        let padded = n.next_multiple_of(R);
        let queries = &mut queries[..padded * left_row];
        pack_left::<S, W>(s, queries, head.q, head.q_rows, first..first + n);
        let mut softmax = Softmax::new();
        for key in (0..head.n_keys(first + n - 1)).step_by(BLOCK_KEYS) {
            let keys = &head.keys[layout.panels(key)..];
            let values = &head.values[layout.right(key)..];
            for i in (0..n).step_by(R) {
                let n_keys = head.seen::<R>(first + i, key)[R - 1];
                let queries = &queries[i * left_row..][..R * left_row];
                score::<S, W, R, C>(s, &mut scores[i * BLOCK_KEYS..], queries, keys, n_keys);
            }
            for i in (0..n).step_by(R) {
                let seen = head.seen::<R>(first + i, key);
                softmax.weigh::<S, W, R>(s, i, &mut scores[i * BLOCK_KEYS..], &seen, factor);
            }
            softmax.merge(s);
            if key > 0 {
                rescale(s, &mut out[..padded * right_row], right_row, &softmax.shrink);
            }
            for i in (0..n).step_by(R) {
                let n_keys = head.seen::<R>(first + i, key)[R - 1];
                let weights = Left { words: &scores[i * BLOCK_KEYS..], row: BLOCK_KEYS, step: 1 };
                let (out, steps) =
                    (&mut out[i * right_row..][..R * right_row], n_keys.div_ceil(W::PER));
                product::<S, W, R, C>(s, out, weights, values, steps, key > 0);
            }
        }
        let (log_sums, factors) = softmax.finish();
        for i in 0..n {
            let r = first + i;
            for d in vectors(dim) {
                let v = s.mul(s.load(lanes(out, i * right_row + d)), s.splat(factors[i]));
                write(s, y, y_rows.at(r) + d, dim - d, v);
            }
            if !lse.is_empty() {
                lse[r % group * (head.n_rows / group) + r / group] = log_sums[i];
            }
        }
    }
}

/// Online softmax of the rows of a block.
struct Softmax {
    /// Largest scaled score so far, as an exponent of 2.
    max: [f32; BLOCK_ROWS],
    /// Sum of the weights so far, relative to `max`.
    sum: [f32; BLOCK_ROWS],
    /// `max` including the last block of keys, and the sum of that block's weights relative to it.
    block_max: [f32; BLOCK_ROWS],
    block_sum: [f32; BLOCK_ROWS],
    /// Factor by which the last block scales down all earlier sums.
    shrink: [f32; BLOCK_ROWS],
}

impl Softmax {
    fn new() -> Softmax {
        let (max, sum) = ([f32::NEG_INFINITY; BLOCK_ROWS], [0.0; BLOCK_ROWS]);
        Softmax { max, sum, block_max: max, block_sum: sum, shrink: sum }
    }

    /// Turns the scores of `R` rows from row `i` on into weights `2^(factor * score - max)` in place.
    ///
    /// Row `i + r` attends to `seen[r]` keys; its other weights are zero. The outer loop runs over
    /// columns and the inner one over rows, so that `R` independent exponentials overlap.
    #[inline(always)]
    fn weigh<S: Simd, W: Word, const R: usize>(
        &mut self,
        s: S,
        i: usize,
        scores: &mut [u32], // (R, BLOCK_KEYS)
        seen: &[usize; R],
        factor: f32,
    ) {
        let n_keys = seen[R - 1];
        let mut max = [s.splat(f32::NEG_INFINITY); R];
        for c in vectors(n_keys) {
            for r in 0..R {
                let row = &mut scores[r * BLOCK_KEYS..][..BLOCK_KEYS];
                let mut v = s.load_words(lanes(row, c));
                if c + LANES > seen[0] {
                    v = s.first(seen[r].saturating_sub(c), v, f32::NEG_INFINITY);
                    s.store_words(lanes_mut(row, c), v);
                }
                max[r] = s.max(v, max[r]);
            }
        }
        let mut shift = [s.splat(0.0); R];
        for r in 0..R {
            self.block_max[i + r] = self.max[i + r].max(s.max_lane(max[r]) * factor);
            shift[r] = s.splat(-self.block_max[i + r]);
        }
        let scale = s.splat(factor);
        let mut sum = [s.splat(0.0); R];
        for c in vectors(n_keys) {
            for r in 0..R {
                let row = &mut scores[r * BLOCK_KEYS..][..BLOCK_KEYS];
                let p = s.exp2(s.mul_add(s.load_words(lanes(row, c)), scale, shift[r]));
                sum[r] = s.add(sum[r], p);
                store_left::<S, W>(s, row, c, p);
            }
        }
        for r in 0..R {
            self.block_sum[i + r] = s.sum(sum[r]);
        }
    }

    /// Merges the last block of keys into the running maximum and sum.
    #[inline(always)]
    fn merge<S: Simd>(&mut self, s: S) {
        for i in (0..BLOCK_ROWS).step_by(LANES) {
            let (old, new) = (lanes_mut(&mut self.max, i), lanes(&self.block_max, i));
            let shrink = s.exp2(s.mul_add(s.load(new), s.splat(-1.0), s.load(old)));
            *old = *new;
            s.store(lanes_mut(&mut self.shrink, i), shrink);
            let block_sum = s.load(lanes(&self.block_sum, i));
            let sum = lanes_mut(&mut self.sum, i);
            s.store(sum, s.mul_add(s.load(sum), shrink, block_sum));
        }
    }

    /// `log(sum(exp(scores)))` of each row, and the factor that normalises its weights to sum 1.
    #[inline(always)]
    fn finish(&self) -> ([f32; BLOCK_ROWS], [f32; BLOCK_ROWS]) {
        let (mut log_sums, mut factors) = ([0.0; BLOCK_ROWS], [0.0; BLOCK_ROWS]);
        for i in 0..BLOCK_ROWS {
            log_sums[i] = (self.max[i] + log2(self.sum[i])) * std::f32::consts::LN_2;
            factors[i] = 1.0 / self.sum[i];
        }
        (log_sums, factors)
    }
}

/// Binary logarithm of a normal number, to 3 ulp or 2^-23; NaN if `x` is not finite. Branch-free, so
/// a loop over it vectorises.
///
/// With `x = 2^e m`, `m` between sqrt(1/2) and sqrt(2), and `t = (m-1) / (m+1)`:
/// `log2(x) = e + 2/ln(2) (t + t^3/3 + t^5/5 + ...)`.
#[inline(always)]
pub(super) fn log2(x: f32) -> f32 {
    const SQRT_HALF: u32 = 0x3f35_04f3;
    let exponent = x.to_bits().wrapping_sub(SQRT_HALF).cast_signed() >> 23;
    let m = f32::from_bits(x.to_bits().wrapping_sub((exponent << 23).cast_unsigned()));
    let t = (m - 1.0) / (m + 1.0);
    let t2 = t * t;
    let series = 1.0 + t2 * (1.0 / 3.0 + t2 * (1.0 / 5.0 + t2 * (1.0 / 7.0 + t2 * (1.0 / 9.0))));
    exponent as f32 + 2.0 * std::f32::consts::LOG2_E * t * series + 0.0 * x
}

/// Writes 16 numbers of a row from column `c` on, as words paired along the row.
#[inline(always)]
pub(super) fn store_left<S: Simd, W: Word>(s: S, row: &mut [u32], c: usize, v: S::V) {
    if W::PER == 1 {
        s.store_words(lanes_mut(row, c), v);
    } else {
        let half = row[c / 2..].first_chunk_mut().expect("a row is a multiple of 16 long");
        s.store_bf16_words(half, v);
    }
}

/// Scores of `R` queries against `n_keys` keys, rounded up to whole panels.
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
        let right =
            Right { words, col: row_words * LANES, step: LANES, ahead: width * row_words * LANES };
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

/// Product of `R` left rows with a right operand, written to `out`, or added if `add`.
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
        let right = Right {
            words: &right[vector * LANES..],
            col: LANES,
            step: row_words,
            ahead: PREFETCH_STEPS * row_words,
        };
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

/// Scales each row by its factor.
#[inline(always)]
fn rescale<S: Simd>(s: S, rows: &mut [f32], row_len: usize, factors: &[f32]) {
    for (row, factor) in rows.chunks_exact_mut(row_len).zip(factors) {
        for d in vectors(row_len) {
            let v = s.mul(s.load(lanes(row, d)), s.splat(*factor));
            s.store(lanes_mut(row, d), v);
        }
    }
}
