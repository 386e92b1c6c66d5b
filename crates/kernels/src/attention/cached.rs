//! Attention of new positions against a key/value cache: prefill in chunks, decoding by one.
//!
//! The cache holds keys and values as the products read them, so that nothing is repacked while
//! a text is written. A *word* is one f32, or two bf16 that a product takes together. One head is
//! one contiguous piece of [`CacheShape::head_words`] words: first the keys in panels of 16
//! positions, `(T/16, D, 16)` with bf16 paired along D; then the values row by row, `(T, D)` with
//! bf16 paired along T and D rounded up to 16. The layout is the same on every instruction set.

use crate::rows::{Precision, Rows, RowsMut, bf16_from_f32, f32_from_bf16};
use std::ops::Range;

/// Positions in a panel of keys, and the multiple to which rows of values are padded.
const LANES: usize = 16;

/// The sizes of a key/value cache of one layer, and of the queries that read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheShape {
    /// H, query heads; a multiple of K.
    pub n_heads: usize,
    /// K, key/value heads.
    pub n_kv_heads: usize,
    /// D, numbers in a head.
    pub head_dim: usize,
    /// Positions that the cache can hold.
    pub max_len: usize,
    /// Format of the cached numbers, and of the products with them.
    pub precision: Precision,
}

impl CacheShape {
    /// u32 words of one key/value head: keys, then values; a multiple of 16.
    pub fn head_words(self) -> usize {
        self.key_words() + self.value_words()
    }

    /// u32 words of the whole cache, (K, [`head_words`](Self::head_words)); zeroed at first.
    pub fn cache_words(self) -> usize {
        self.n_kv_heads * self.head_words()
    }

    /// H / K, the query heads that share a key/value head.
    pub fn group(self) -> usize {
        self.n_heads / self.n_kv_heads
    }

    /// Numbers in a word.
    fn per_word(self) -> usize {
        match self.precision {
            Precision::F32 => 1,
            Precision::Bf16 => 2,
        }
    }

    fn key_words(self) -> usize {
        self.max_len.next_multiple_of(LANES) * self.head_dim.div_ceil(self.per_word())
    }

    fn value_words(self) -> usize {
        self.max_len.div_ceil(self.per_word()) * self.head_dim.next_multiple_of(LANES)
    }

    /// Word within a head, and number within the word, of element `d` of the key at `t`.
    fn key_at(self, t: usize, d: usize) -> (usize, usize) {
        let panel_words = LANES * self.head_dim.div_ceil(self.per_word());
        let word = t / LANES * panel_words + d / self.per_word() * LANES + t % LANES;
        (word, d % self.per_word())
    }

    /// Word within a head, and number within the word, of element `d` of the value at `t`.
    fn value_at(self, t: usize, d: usize) -> (usize, usize) {
        let row_words = self.head_dim.next_multiple_of(LANES);
        (self.key_words() + t / self.per_word() * row_words + d, t % self.per_word())
    }

    fn put(self, cache: &mut [u32], (word, part): (usize, usize), x: f32) {
        match self.precision {
            Precision::F32 => cache[word] = x.to_bits(),
            Precision::Bf16 => {
                let bits = u32::from(bf16_from_f32(x)) << (16 * part);
                cache[word] = cache[word] & !(0xffff << (16 * part)) | bits;
            }
        }
    }

    fn get(self, cache: &[u32], (word, part): (usize, usize)) -> f32 {
        match self.precision {
            Precision::F32 => f32::from_bits(cache[word]),
            Precision::Bf16 => f32_from_bf16((cache[word] >> (16 * part)) as u16),
        }
    }

    fn check(self, function: &str) {
        assert!(self.head_dim > 0, "{function}: shape.head_dim is 0");
        assert!(self.n_kv_heads > 0, "{function}: shape.n_kv_heads is 0");
        assert!(
            self.n_heads > 0 && self.n_heads.is_multiple_of(self.n_kv_heads),
            "{function}: shape.n_heads is not a multiple of shape.n_kv_heads"
        );
    }
}

/// Copies the keys and values of new positions into the cache.
///
/// | argument    | shape             | meaning                                             |
/// |-------------|-------------------|-----------------------------------------------------|
/// | `cache`     | (K, head_words)   | the positions `start_pos..start_pos + n` overwritten |
/// | `qkv`       | (n, (H+2K)*D)     | fused rows of the new positions, already rotated    |
/// | `start_pos` |                   | position of the first new row                       |
///
/// # Panics
/// If a length disagrees with `shape`, or the positions exceed `shape.max_len`.
pub fn attention_append(cache: &mut [u32], qkv: Rows, shape: CacheShape, start_pos: usize) {
    shape.check("attention_append");
    let (n_heads, n_kv_heads, dim) = (shape.n_heads, shape.n_kv_heads, shape.head_dim);
    let qkv_dim = (n_heads + 2 * n_kv_heads) * dim;
    let n = qkv.len() / qkv_dim;
    assert_eq!(qkv.len(), n * qkv_dim, "attention_append: qkv is not (n, (H+2K)*D)");
    assert_eq!(cache.len(), shape.cache_words(), "attention_append: cache is not (K, head_words)");
    assert!(start_pos + n <= shape.max_len, "attention_append: start_pos + n exceeds max_len");

    for (kv, head) in cache.chunks_exact_mut(shape.head_words()).enumerate() {
        for row in 0..n {
            let key = row * qkv_dim + (n_heads + kv) * dim;
            let value = key + n_kv_heads * dim;
            for d in 0..dim {
                shape.put(head, shape.key_at(start_pos + row, d), qkv.get(key + d));
                shape.put(head, shape.value_at(start_pos + row, d), qkv.get(value + d));
            }
        }
    }
}

/// Attention of `n` new queries at positions `start_pos..` against the cache, causal.
///
/// | argument    | shape            | meaning                                                  |
/// |-------------|------------------|----------------------------------------------------------|
/// | `y`         | (n, H*D)         | overwritten with the outputs                             |
/// | `q`         | (n, >= H*D)      | queries first in each row: the fused rows may be passed  |
/// | `cache`     | (K, head_words)  | must hold the positions `0..start_pos + n`               |
/// | `start_pos` |                  | position of the first query                              |
/// | `scratch`   | [`attention_cached_scratch_len`] | working memory                           |
///
/// Sharing the work among threads is slicing. Of many queries, give each thread some rows of `y`
/// and `q`, and a `start_pos` to match. Of one query, give each thread some key/value heads: their
/// part of `cache`, of `y` and of `q`, and a shape with fewer heads. Neither changes a bit.
///
/// # Panics
/// If a length disagrees with `shape`, or the positions exceed `shape.max_len`.
pub fn attention_cached(
    mut y: RowsMut,
    q: Rows,
    cache: &[u32],
    shape: CacheShape,
    start_pos: usize,
    scratch: &mut [f32],
) {
    shape.check("attention_cached");
    let y_dim = shape.n_heads * shape.head_dim;
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

    for row in 0..n {
        for h in 0..shape.n_heads {
            let head = &cache[h / shape.group() * shape.head_words()..][..shape.head_words()];
            let q =
                q.slice(row * q_dim + h * shape.head_dim..row * q_dim + (h + 1) * shape.head_dim);
            let at = row * y_dim + h * shape.head_dim;
            one_query(y.slice_mut(at..at + shape.head_dim), q, head, shape, 0..start_pos + row + 1);
        }
    }
}

/// The definition: one query of one head against the keys at `positions`.
fn one_query(mut y: RowsMut, q: Rows, head: &[u32], shape: CacheShape, positions: Range<usize>) {
    let scale = 1.0 / (shape.head_dim as f32).sqrt();
    let query = |d| match shape.precision {
        Precision::F32 => q.get(d),
        Precision::Bf16 => f32_from_bf16(bf16_from_f32(q.get(d))),
    };
    let score = |t| {
        let key = |d| shape.get(head, shape.key_at(t, d));
        (0..shape.head_dim).map(|d| query(d) * key(d)).sum::<f32>() * scale
    };
    let max = positions.clone().map(score).fold(f32::NEG_INFINITY, f32::max);
    let sum = positions.clone().map(|t| (score(t) - max).exp()).sum::<f32>();
    for d in 0..shape.head_dim {
        let value = |t| shape.get(head, shape.value_at(t, d));
        let y_d = positions.clone().map(|t| (score(t) - max).exp() / sum * value(t)).sum();
        y.set(d, y_d);
    }
}

/// Numbers of scratch that [`attention_cached`] needs, however many queries are given.
pub fn attention_cached_scratch_len(shape: CacheShape) -> usize {
    16 + shape.max_len
}
