//! Causal grouped-query attention: forward, backward, and against a key/value cache.
//!
//! One call computes one sequence. Queries, keys and values are the fused rows of the projection,
//! after rotation: row `t` of `qkv` holds H query heads, then K key heads, then K value heads, of D
//! numbers each. Query head `h` uses key/value head `h / (H / K)`.
//!
//! `y[t,h] = sum over j <= t of p[t,j] v[j]` with `p[t,·] = softmax(q[t,h]·k[j] / sqrt(D))`.
//!
//! No (T, T) matrix is stored: scratch is linear in T, after Dao et al., "FlashAttention", 2022.
//! [`naive`] is the definition.

mod backward;
mod cached;
mod forward;
mod layout;
pub mod naive;
mod pack;
#[cfg(test)]
mod tests;
mod tile;
#[cfg(target_arch = "x86_64")]
mod tile_avx2;
#[cfg(target_arch = "x86_64")]
mod tile_avx512;
mod tile_portable;

pub use cached::{CacheShape, attention_append, attention_cached, attention_cached_scratch_len};

use crate::isa::Isa;
use crate::rows::{Precision, Rows, RowsMut};
use backward::Backward;
use forward::Forward;
use layout::HeadRows;
use std::ops::Range;
use tile::Kernel;

/// Shape of attention over one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    /// H, the number of query heads; a multiple of K.
    pub n_heads: usize,
    /// K, the number of key/value heads.
    pub n_kv_heads: usize,
    /// D, the width of a head.
    pub head_dim: usize,
    /// T, the number of positions.
    pub seq_len: usize,
}

impl AttentionShape {
    /// H / K, the query heads that share a key/value head.
    pub fn group(self) -> usize {
        self.n_heads / self.n_kv_heads
    }

    /// H*D, the width of an output row.
    pub fn y_dim(self) -> usize {
        self.n_heads * self.head_dim
    }

    /// (H+2K)*D, the width of a fused row.
    pub fn qkv_dim(self) -> usize {
        (self.n_heads + 2 * self.n_kv_heads) * self.head_dim
    }

    /// `1 / sqrt(D)`, the factor on every score.
    pub fn scale(self) -> f32 {
        scale(self.head_dim)
    }

    /// Index range of the query of head `h` at position `t` in the fused rows.
    pub fn query(self, t: usize, h: usize) -> Range<usize> {
        let start = t * self.qkv_dim() + h * self.head_dim;
        start..start + self.head_dim
    }

    /// Index range of the key for query head `h` at position `t` in the fused rows.
    pub fn key(self, t: usize, h: usize) -> Range<usize> {
        self.query(t, self.n_heads + h / self.group())
    }

    /// Index range of the value for query head `h` at position `t` in the fused rows.
    pub fn value(self, t: usize, h: usize) -> Range<usize> {
        self.query(t, self.n_heads + self.n_kv_heads + h / self.group())
    }

    /// Index range of the output of head `h` at position `t` in the output rows.
    pub fn output(self, t: usize, h: usize) -> Range<usize> {
        let start = t * self.y_dim() + h * self.head_dim;
        start..start + self.head_dim
    }

    /// The queries that share key/value head `kv`, in the fused rows.
    fn query_rows(self, kv: usize) -> HeadRows {
        HeadRows {
            stride: self.qkv_dim(),
            column: kv * self.group() * self.head_dim,
            head_dim: self.head_dim,
            group: self.group(),
        }
    }

    /// The keys of head `kv`, in the fused rows.
    fn key_rows(self, kv: usize) -> HeadRows {
        let column = (self.n_heads + kv) * self.head_dim;
        HeadRows { column, group: 1, ..self.query_rows(kv) }
    }

    /// The values of head `kv`, in the fused rows.
    fn value_rows(self, kv: usize) -> HeadRows {
        let column = (self.n_heads + self.n_kv_heads + kv) * self.head_dim;
        HeadRows { column, group: 1, ..self.query_rows(kv) }
    }

    /// The outputs of the queries that share key/value head `kv`.
    fn y_rows(self, kv: usize) -> HeadRows {
        HeadRows { stride: self.y_dim(), ..self.query_rows(kv) }
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

/// `1 / sqrt(D)`, the factor on every score.
fn scale(head_dim: usize) -> f32 {
    1.0 / (head_dim as f32).sqrt()
}

/// Causal attention over one sequence.
///
/// | argument  | shape          | meaning                                                     |
/// |-----------|----------------|-------------------------------------------------------------|
/// | `y`       | (T, H*D)       | overwritten with the outputs                                |
/// | `lse`     | (H, T)         | overwritten with `log(sum(exp(scores)))`; saved for backward |
/// | `qkv`     | (T, (H+2K)*D)  | queries, keys, values; its format sets the precision        |
/// | `scratch` | [`attention_scratch_len`] | working memory                                   |
///
/// With bf16 rows the weights `p` are rounded to bf16 too, and both products accumulate in f32; the
/// softmax is always f32. Cost: `2 T (T+1) H D` flops and `H T (T+1) / 2` exponentials.
///
/// # Panics
/// If a length disagrees with `shape`.
pub fn attention_forward(
    y: RowsMut,
    lse: &mut [f32],
    qkv: Rows,
    shape: AttentionShape,
    scratch: &mut [f32],
) {
    shape.check("attention_forward");
    let t = shape.seq_len;
    assert_eq!(y.len(), t * shape.y_dim(), "attention_forward: y is not (T, H*D)");
    assert_eq!(lse.len(), shape.n_heads * t, "attention_forward: lse is not (H, T)");
    assert_eq!(qkv.len(), t * shape.qkv_dim(), "attention_forward: qkv is not (T, (H+2K)*D)");
    let scratch_len = attention_scratch_len(shape, qkv.precision());
    assert!(scratch.len() >= scratch_len, "attention_forward: scratch is too short");

    dispatch(Isa::active(), qkv.precision(), Forward { y, lse, qkv, shape, scratch });
}

/// Backward of [`attention_forward`]; `y` and `lse` must be its results for the same `qkv`.
///
/// | argument  | shape          | meaning                                            |
/// |-----------|----------------|----------------------------------------------------|
/// | `dqkv`    | (T, (H+2K)*D)  | overwritten with the gradients of q, k and v       |
/// | `dy`      | (T, H*D)       | gradient of the outputs                            |
/// | `y`       | (T, H*D)       | outputs of the forward pass, in either format      |
/// | `qkv`     | (T, (H+2K)*D)  | as in the forward pass                             |
/// | `lse`     | (H, T)         | as saved by the forward pass                       |
/// | `scratch` | [`attention_scratch_len`] | working memory                          |
///
/// With `delta = dy·y` and `ds = p (dy·v - delta) / sqrt(D)`: `dq = sum ds k`, `dk = sum ds q`,
/// `dv = sum p dy`. Gradients of keys and values are summed over the query heads that share them.
/// With bf16 rows `p`, `ds` and `dy` are rounded to bf16 as operands of products.
/// Cost: `5 T (T+1) H D` flops and `H T (T+1) / 2` exponentials.
///
/// # Panics
/// If a length disagrees with `shape`.
pub fn attention_backward(
    dqkv: &mut [f32],
    dy: &[f32],
    y: Rows,
    qkv: Rows,
    lse: &[f32],
    shape: AttentionShape,
    scratch: &mut [f32],
) {
    shape.check("attention_backward");
    let t = shape.seq_len;
    assert_eq!(dqkv.len(), t * shape.qkv_dim(), "attention_backward: dqkv is not (T, (H+2K)*D)");
    assert_eq!(dy.len(), t * shape.y_dim(), "attention_backward: dy is not (T, H*D)");
    assert_eq!(y.len(), t * shape.y_dim(), "attention_backward: y is not (T, H*D)");
    assert_eq!(qkv.len(), t * shape.qkv_dim(), "attention_backward: qkv is not (T, (H+2K)*D)");
    assert_eq!(lse.len(), shape.n_heads * t, "attention_backward: lse is not (H, T)");
    let scratch_len = attention_scratch_len(shape, qkv.precision());
    assert!(scratch.len() >= scratch_len, "attention_backward: scratch is too short");

    let kernel = Backward { dqkv, dy, y, qkv, lse, shape, scratch };
    dispatch(Isa::active(), qkv.precision(), kernel);
}

/// f32 of scratch that [`attention_forward`] and [`attention_backward`] need: linear in T.
pub fn attention_scratch_len(shape: AttentionShape, precision: Precision) -> usize {
    forward::scratch_len(shape, precision).max(backward::scratch_len(shape, precision))
}

/// Runs `kernel` with the instructions of `isa` and words of this format.
fn dispatch<K: Kernel>(isa: Isa, precision: Precision, kernel: K) {
    debug_assert!(isa.is_available());
    match (isa, precision) {
        // SAFETY: the callers pass only instruction sets that the processor has.
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512Bf16, Precision::Bf16) => unsafe { tile_avx512::run_bf16(kernel) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx512 | Isa::Avx512Bf16, _) => unsafe { tile_avx512::run(precision, kernel) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        (Isa::Avx2, _) => unsafe { tile_avx2::run(precision, kernel) },
        _ => tile_portable::run(precision, kernel),
    }
}
