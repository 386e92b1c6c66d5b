//! Shared attention: cached attention of one sequence's new rows, computed by all threads of a
//! pool.

use super::sequence::BlockCache;
use kernels::attention::{CacheShape, attention_cached, attention_cached_scratch_len};
use kernels::{AlignedVec, Pool, Rows, RowsMut};
use std::ops::Range;

/// Splits attention among threads, by rows if there are many (prefill) and by key/value heads if
/// there is one (decoding). The split changes no bits.
#[derive(Debug)]
pub(super) struct SharedAttention {
    /// Scratch of cached attention, one per task.
    scratch: Vec<AlignedVec<f32>>,
    /// Range of outputs of each task.
    ranges: Vec<Range<usize>>,
}

impl SharedAttention {
    /// Scratch for sequences with caches of this shape (of any length), for up to `threads`
    /// threads.
    pub fn new(shape: CacheShape, threads: usize) -> SharedAttention {
        // One task per thread, or one per key/value head.
        let n = threads.max(shape.n_kv_heads);
        let scratch_len = attention_cached_scratch_len(shape);
        SharedAttention {
            scratch: (0..n).map(|_| AlignedVec::zeroed(scratch_len)).collect(),
            ranges: Vec::with_capacity(n),
        }
    }

    /// Writes the attention outputs `y` (n, H·D) of the new rows `qkv` (n, Q), whose keys and
    /// values are already in the cache.
    pub fn run(&mut self, pool: &mut Pool, y: RowsMut, qkv: &[f32], block: BlockCache) {
        let BlockCache { words: cache, shape, start } = block;
        let y_dim = shape.n_heads * shape.head_dim;
        let n = y.len() / y_dim;
        let qkv_dim = qkv.len() / n;
        let n_tasks = match n {
            1 => shape.n_kv_heads,
            _ => pool.threads().min(n).min(self.scratch.len()),
        };
        let first_row = |task: usize| task * n / n_tasks;
        // Outputs of a task: whole attention heads of the single row, or whole rows.
        let group_dim = shape.group() * shape.head_dim;
        let part = |task: usize| match n {
            1 => task * group_dim..(task + 1) * group_dim,
            _ => first_row(task) * y_dim..first_row(task + 1) * y_dim,
        };
        self.ranges.clear();
        self.ranges.extend((0..n_tasks).map(part));
        let run = |task: usize, y: RowsMut, scratch: &mut [f32]| {
            if n == 1 {
                let one = CacheShape { n_heads: shape.group(), n_kv_heads: 1, ..shape };
                let cache = &cache[task * shape.head_words()..(task + 1) * shape.head_words()];
                attention_cached(y, Rows::F32(&qkv[part(task)]), cache, one, start, scratch);
            } else {
                let q = &qkv[first_row(task) * qkv_dim..first_row(task + 1) * qkv_dim];
                let start = start + first_row(task);
                attention_cached(y, Rows::F32(q), cache, shape, start, scratch);
            }
        };
        let (scratch, ranges) = (&mut self.scratch[..n_tasks], &self.ranges);
        match y {
            RowsMut::F32(y) => pool.for_each_range_with(scratch, [y], ranges, |i, scratch, [y]| {
                run(i, RowsMut::F32(y), scratch);
            }),
            RowsMut::Bf16(y) => {
                pool.for_each_range_with(scratch, [y], ranges, |i, scratch, [y]| {
                    run(i, RowsMut::Bf16(y), scratch);
                })
            }
        }
    }

    /// Bytes of the scratch.
    pub fn bytes(&self) -> usize {
        self.scratch.iter().map(|scratch| scratch.size() * size_of::<f32>()).sum()
    }
}
