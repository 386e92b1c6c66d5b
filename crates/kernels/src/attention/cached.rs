//! Key/value cache attention: new positions against cached ones, for chunked prefill and decoding.
//!
//! The cache stores keys and values in the layout of the products, so nothing is repacked during
//! generation. A *word* is one f32, or two bf16 that a product uses together. One head is one
//! contiguous piece of [`CacheShape::head_words`] words: first the keys in panels of 16 positions,
//! `(T/16, D, 16)` with bf16 paired along D; then the values row by row, `(T, D)` with bf16 paired
//! along T and D rounded up to 16. The layout is the same on every instruction set.

use super::forward::{Head, attend, attend_len};
use super::layout::{HeadRows, LANES, OperandLayout};
use super::pack::{pack_panels, pack_right};
use super::tile::{Kernel, Simd, Word};
use super::{AttentionShape, dispatch};
use crate::isa::Isa;
#[cfg(test)]
use crate::rows::f32_from_bf16;
use crate::rows::{Precision, Rows, RowsMut, bf16_from_f32};

/// Shape of the key/value cache of one layer, and of the queries that read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheShape {
    /// H, the number of query heads; a multiple of K.
    pub n_heads: usize,
    /// K, the number of key/value heads.
    pub n_kv_heads: usize,
    /// D, the width of a head.
    pub head_dim: usize,
    /// Capacity of the cache in positions.
    pub max_len: usize,
    /// Format of the cached numbers and of the products with them.
    pub precision: Precision,
}

impl CacheShape {
    /// u32 words of one key/value head: keys, then values; a multiple of 16.
    pub fn head_words(self) -> usize {
        self.key_words() + self.layout().right(self.max_len)
    }

    /// u32 words of the whole cache, (K, [`head_words`](Self::head_words)); must start zeroed.
    pub fn cache_words(self) -> usize {
        self.n_kv_heads * self.head_words()
    }

    /// H / K, the query heads that share a key/value head.
    pub fn group(self) -> usize {
        self.attention().group()
    }

    /// Shape of attention over a full cache.
    fn attention(self) -> AttentionShape {
        let CacheShape { n_heads, n_kv_heads, head_dim, max_len, .. } = self;
        AttentionShape { n_heads, n_kv_heads, head_dim, seq_len: max_len }
    }

    fn layout(self) -> OperandLayout {
        OperandLayout { head_dim: self.head_dim, precision: self.precision }
    }

    /// u32 words of the keys of one head; its values follow.
    fn key_words(self) -> usize {
        self.layout().panels(self.max_len)
    }

    /// The queries, or outputs, of one key/value head in a matrix with rows of `stride`.
    fn head_rows(self, kv: usize, stride: usize) -> HeadRows {
        HeadRows { stride, ..self.attention().query_rows(kv) }
    }
}

/// Copies the keys and values of new positions into the cache.
///
/// | argument    | shape             | meaning                                             |
/// |-------------|-------------------|-----------------------------------------------------|
/// | `cache`     | (K, head_words)   | overwritten from position `start_pos` on            |
/// | `qkv`       | (n, (H+2K)*D)     | fused rows of the new positions, already rotated    |
/// | `start_pos` |                   | position of the first new row                       |
///
/// Positions are appended in order; returning to an earlier position discards those after it.
///
/// # Panics
/// If a length disagrees with `shape`, or the positions exceed `shape.max_len`.
pub fn attention_append(cache: &mut [u32], qkv: Rows, shape: CacheShape, start_pos: usize) {
    shape.attention().check("attention_append");
    let qkv_dim = shape.attention().qkv_dim();
    let n = qkv.len() / qkv_dim;
    assert_eq!(qkv.len(), n * qkv_dim, "attention_append: qkv is not (n, (H+2K)*D)");
    assert_eq!(cache.len(), shape.cache_words(), "attention_append: cache is not (K, head_words)");
    assert!(start_pos + n <= shape.max_len, "attention_append: start_pos + n exceeds max_len");

    dispatch(Isa::active(), shape.precision, Append { cache, qkv, shape, start_pos });
}

/// Arguments of [`attention_append`], checked.
struct Append<'a> {
    cache: &'a mut [u32],
    qkv: Rows<'a>,
    shape: CacheShape,
    start_pos: usize,
}

impl Kernel for Append<'_> {
    #[inline(always)]
    fn run<S: Simd, W: Word, const ROWS: usize, const COLS: usize>(self, s: S) {
        let (shape, layout) = (self.shape, self.shape.layout());
        let n = self.qkv.len() / shape.attention().qkv_dim();
        // Number by number up to the next whole panel; a single position needs nothing else.
        let whole_pos = self.start_pos.next_multiple_of(LANES).min(self.start_pos + n);
        let whole = whole_pos - self.start_pos..n;
        for (kv, head) in self.cache.chunks_exact_mut(shape.head_words()).enumerate() {
            let (keys, values) = head.split_at_mut(shape.key_words());
            let (k, v) = (shape.attention().key_rows(kv), shape.attention().value_rows(kv));
            for row in 0..whole.start {
                let pos = self.start_pos + row;
                for d in 0..shape.head_dim {
                    let (key, value) = (self.qkv.get(k.at(row) + d), self.qkv.get(v.at(row) + d));
                    put(keys, layout.panels_at(pos, d), key, shape.precision);
                    put(values, layout.right_at(pos, d), value, shape.precision);
                }
            }
            if !whole.is_empty() {
                let keys = &mut keys[layout.panels(whole_pos)..];
                let values = &mut values[layout.right(whole_pos)..][..layout.right(whole.len())];
                pack_panels::<S, W>(s, keys, self.qkv, k, whole.clone());
                pack_right::<S, W>(s, values, self.qkv, v, whole.clone());
            }
        }
    }
}

/// Writes one number of a word. Writing the first of a pair clears the second, which belongs to a
/// later position or lies beyond the head: products require it to be finite.
fn put(words: &mut [u32], (word, part): (usize, usize), x: f32, precision: Precision) {
    words[word] = match (precision, part) {
        (Precision::F32, _) => x.to_bits(),
        (Precision::Bf16, 0) => u32::from(bf16_from_f32(x)),
        (Precision::Bf16, _) => words[word] & 0xffff | u32::from(bf16_from_f32(x)) << 16,
    };
}

/// Reads one number of a word.
#[cfg(test)]
fn get(words: &[u32], (word, part): (usize, usize), precision: Precision) -> f32 {
    match precision {
        Precision::F32 => f32::from_bits(words[word]),
        Precision::Bf16 => f32_from_bf16((words[word] >> (16 * part)) as u16),
    }
}

/// Causal attention of `n` new queries at positions `start_pos..` against the cache.
///
/// | argument    | shape            | meaning                                                  |
/// |-------------|------------------|----------------------------------------------------------|
/// | `y`         | (n, H*D)         | overwritten with the outputs                             |
/// | `q`         | (n, >= H*D)      | queries first in each row: the fused rows may be passed  |
/// | `cache`     | (K, head_words)  | must hold the positions `0..start_pos + n`               |
/// | `start_pos` |                  | position of the first query                              |
/// | `scratch`   | [`attention_cached_scratch_len`] | working memory                           |
///
/// To split the work among threads, slice it. With many queries, give each thread some rows of `y`
/// and `q` and the matching `start_pos`. With one query, give each thread some key/value heads: their
/// part of `cache`, of `y` and of `q`, and a shape with fewer heads. Results are bit-identical.
///
/// # Panics
/// If a length disagrees with `shape`, or the positions exceed `shape.max_len`.
pub fn attention_cached(
    y: RowsMut,
    q: Rows,
    cache: &[u32],
    shape: CacheShape,
    start_pos: usize,
    scratch: &mut [f32],
) {
    shape.attention().check("attention_cached");
    let y_dim = shape.attention().y_dim();
    let n = y.len() / y_dim;
    assert_eq!(y.len(), n * y_dim, "attention_cached: y is not (n, H*D)");
    if n == 0 {
        return;
    }
    let q_dim = q.len() / n;
    assert!(q.len() == n * q_dim && q_dim >= y_dim, "attention_cached: q is not (n, >= H*D)");
    assert_eq!(cache.len(), shape.cache_words(), "attention_cached: cache is not (K, head_words)");
    assert!(start_pos + n <= shape.max_len, "attention_cached: start_pos + n exceeds max_len");
    let scratch_len = attention_cached_scratch_len(shape);
    assert!(scratch.len() >= scratch_len, "attention_cached: scratch is too short");

    let kernel = Cached { y, q, cache, shape, start_pos, scratch };
    dispatch(Isa::active(), shape.precision, kernel);
}

/// Arguments of [`attention_cached`], checked.
pub(super) struct Cached<'a> {
    pub(super) y: RowsMut<'a>,
    pub(super) q: Rows<'a>,
    pub(super) cache: &'a [u32],
    pub(super) shape: CacheShape,
    pub(super) start_pos: usize,
    pub(super) scratch: &'a mut [f32],
}

impl Kernel for Cached<'_> {
    #[inline(always)]
    fn run<S: Simd, W: Word, const ROWS: usize, const COLS: usize>(mut self, s: S) {
        let shape = self.shape;
        let y_dim = shape.attention().y_dim();
        let n = self.y.len() / y_dim;
        let q_dim = self.q.len() / n;
        for (kv, words) in self.cache.chunks_exact(shape.head_words()).enumerate() {
            let (keys, values) = words.split_at(shape.key_words());
            let head = Head {
                q: self.q,
                q_rows: shape.head_rows(kv, q_dim),
                keys,
                values,
                n_rows: n * shape.group(),
                start_pos: self.start_pos,
            };
            let (y, at, scratch) = (&mut self.y, shape.head_rows(kv, y_dim), &mut *self.scratch);
            // Decoding has few rows: a tile with fewer rows avoids products with absent ones.
            match (head.n_rows, COLS > 1) {
                (1, true) => attend::<S, W, 1, 8>(s, y, at, &mut [], &head, scratch),
                (1, false) => attend::<S, W, 1, 4>(s, y, at, &mut [], &head, scratch),
                (2, true) => attend::<S, W, 2, 4>(s, y, at, &mut [], &head, scratch),
                (2, false) => attend::<S, W, 2, 2>(s, y, at, &mut [], &head, scratch),
                (3 | 4, true) => attend::<S, W, 4, 4>(s, y, at, &mut [], &head, scratch),
                _ => attend::<S, W, ROWS, COLS>(s, y, at, &mut [], &head, scratch),
            }
        }
    }
}

/// f32 of scratch that [`attention_cached`] needs, for any number of queries.
pub fn attention_cached_scratch_len(shape: CacheShape) -> usize {
    attend_len(shape.layout())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every number of the keys and values is at the index that the module documents.
    #[test]
    fn appended_rows_are_found_in_the_layout() {
        for precision in [Precision::F32, Precision::Bf16] {
            let (n_heads, n_kv_heads, head_dim, max_len) = (4, 2, 5, 19);
            let shape = CacheShape { n_heads, n_kv_heads, head_dim, max_len, precision };
            let qkv_dim = (n_heads + 2 * n_kv_heads) * head_dim;
            // Whole numbers below 256 are exact in bf16; each number of a head is distinct.
            let qkv: Vec<f32> = (0..max_len * qkv_dim).map(|i| (i * 31 % 251) as f32).collect();
            let mut cache = vec![0; shape.cache_words()];
            for (chunk, start) in [(0..7, 0), (7..8, 7), (8..19, 8)] {
                let rows = &qkv[chunk.start * qkv_dim..chunk.end * qkv_dim];
                attention_append(&mut cache, Rows::F32(rows), shape, start);
            }
            for (kv, head) in cache.chunks_exact(shape.head_words()).enumerate() {
                let (keys, values) = head.split_at(shape.key_words());
                for (t, d) in (0..max_len).flat_map(|t| (0..head_dim).map(move |d| (t, d))) {
                    let key = t * qkv_dim + (n_heads + kv) * head_dim + d;
                    let (k, v) = (shape.layout().panels_at(t, d), shape.layout().right_at(t, d));
                    assert_eq!(get(keys, k, precision), qkv[key]);
                    assert_eq!(get(values, v, precision), qkv[key + n_kv_heads * head_dim]);
                }
            }
        }
    }
}
