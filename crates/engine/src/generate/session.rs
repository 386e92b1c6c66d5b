//! One text in progress: its KV cache and the workspace of a forward pass.
//!
//! The list below is the training pass's, F1 to F13, with two differences: keys and values go to a
//! cache, and each product is shared by all threads, by rows where there are many (prefill) and by
//! panels of the weight where there is one (decoding). Sharing changes no bits. The model may be one
//! that is being trained: a session reads the packed weights wherever they are.

use crate::head::{Distribution, Predictor};
use crate::model::{InputHistory, Layout, Model, SharedProduct, as_rows};
use kernels::attention::{
    CacheShape, attention_append, attention_cached, attention_cached_scratch_len,
};
use kernels::gated_mlp::swiglu_forward;
use kernels::qk_norm::qk_norm_forward;
use kernels::rmsnorm::rmsnorm_forward;
use kernels::rope::rope_forward;
use kernels::{AlignedVec, Pool, Precision, Rows, RowsMut};
use std::ops::Range;

/// Tokens that one pass takes at most: prefill goes in chunks of these.
const CHUNK: usize = 512;

/// The text would grow longer than the model's context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text has {needed} tokens, the model's context holds {max_len}")]
pub struct ContextFull {
    /// Tokens that there would be.
    pub needed: usize,
    /// Tokens that fit.
    pub max_len: usize,
}

/// A text in progress.
#[derive(Debug)]
pub struct Session {
    /// (L, K, head words) keys and values.
    cache: AlignedVec<u32>,
    shape: CacheShape,
    /// Tokens in the cache.
    len: usize,
    history: InputHistory,
    predictor: Box<dyn Predictor>,
    buffers: Buffers,
}

/// Workspace of a pass over up to [`CHUNK`] tokens.
#[derive(Debug)]
struct Buffers {
    stream: AlignedVec<f32>,
    rstd: AlignedVec<f32>,
    qkv: AlignedVec<f32>,
    gate_up: AlignedVec<f32>,
    /// One scratch of cached attention for each task.
    attention: Vec<AlignedVec<f32>>,
    /// Operands of products: a normalised stream, an attention output, a hidden row.
    operand: AlignedVec<f32>,
    product: SharedProduct,
    /// Ranges of the attention tasks being shared, so that decoding does not allocate.
    ranges: Vec<Range<usize>>,
    precision: Precision,
}

impl Session {
    /// An empty text with room for `max_len` tokens, to be fed with up to `threads` threads.
    pub fn new(layout: &Layout, precision: Precision, max_len: usize, threads: usize) -> Session {
        let m = &layout.config;
        let max_len = max_len.min(m.seq_len).max(1);
        let shape = CacheShape {
            n_heads: m.n_heads,
            n_kv_heads: m.n_kv_heads,
            head_dim: m.head_dim,
            max_len,
            precision,
        };
        let n = CHUNK.min(max_len);
        // Cached attention is cut into as many tasks as threads, or one a key/value head.
        let n_scratch = threads.max(m.n_kv_heads);
        Session {
            cache: AlignedVec::zeroed(m.n_layers * shape.cache_words()),
            len: 0,
            history: InputHistory::new(layout, max_len, n),
            predictor: layout.head.predictor(precision),
            buffers: Buffers {
                stream: AlignedVec::zeroed(n * m.model_dim),
                rstd: AlignedVec::zeroed(n),
                qkv: AlignedVec::zeroed(n * m.qkv_dim()),
                gate_up: AlignedVec::zeroed(n * 2 * m.ffn_dim),
                attention: (0..n_scratch)
                    .map(|_| AlignedVec::zeroed(attention_cached_scratch_len(shape)))
                    .collect(),
                operand: AlignedVec::zeroed(n * m.model_dim.max(m.attn_dim()).max(m.ffn_dim)),
                product: SharedProduct::default(),
                ranges: Vec::with_capacity(n_scratch),
                precision,
            },
            shape,
        }
    }

    /// Tokens taken in so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Tokens that fit.
    pub fn max_len(&self) -> usize {
        self.shape.max_len
    }

    /// Forgets all but the first `len` tokens.
    pub fn rewind(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Bytes of the cache and of the workspace.
    pub fn bytes(&self) -> (usize, usize) {
        let b = &self.buffers;
        let floats = [&b.stream, &b.rstd, &b.qkv, &b.gate_up, &b.operand];
        let workspace: usize = floats.into_iter().chain(&b.attention).map(|f| f.len()).sum();
        let workspace = workspace * size_of::<f32>() + self.predictor.bytes();
        (self.cache.len() * size_of::<u32>(), workspace)
    }

    /// Takes `tokens` in and returns the logits (V) of what follows the last of them; unless the
    /// output layer is the full softmax these are log-probabilities.
    ///
    /// # Errors
    /// [`ContextFull`], with the text as it was.
    ///
    /// # Panics
    /// If `tokens` is empty or one is not below the vocabulary's size.
    pub fn feed<'a>(
        &'a mut self,
        model: Model<'a>,
        pool: &'a mut Pool,
        tokens: &[u32],
    ) -> Result<&'a [f32], ContextFull> {
        Ok(self.feed_next(model, pool, tokens)?.into_logits())
    }

    /// As [`Session::feed`], but what follows is computed as far as it is looked at.
    ///
    /// # Errors
    /// [`ContextFull`], with the text as it was.
    ///
    /// # Panics
    /// As [`Session::feed`].
    pub fn feed_next<'a>(
        &'a mut self,
        model: Model<'a>,
        pool: &'a mut Pool,
        tokens: &[u32],
    ) -> Result<Distribution<'a>, ContextFull> {
        let row = self.take(model, pool, tokens)?;
        let Buffers { stream, rstd, operand, precision, .. } = &mut self.buffers;
        let x = last_input(model, stream, rstd, operand, row, *precision);
        Ok(self.predictor.predict(model.weights(), x, pool))
    }

    /// Runs `tokens` through the blocks; returns the row of the last of them.
    fn take(
        &mut self,
        model: Model,
        pool: &mut Pool,
        tokens: &[u32],
    ) -> Result<usize, ContextFull> {
        assert!(!tokens.is_empty(), "Session::feed: no tokens");
        let needed = self.len + tokens.len();
        if needed > self.max_len() {
            return Err(ContextFull { needed, max_len: self.max_len() });
        }
        for chunk in tokens.chunks(CHUNK) {
            self.blocks(model, pool, chunk);
            self.len += chunk.len();
        }
        Ok((tokens.len() - 1) % CHUNK)
    }

    /// Every block over `tokens`, at positions from `self.len` on.
    fn blocks(&mut self, model: Model, pool: &mut Pool, tokens: &[u32]) {
        let (n, m) = (tokens.len(), &model.layout.config);
        let (heads, start, eps) = (model.heads(), self.len, m.norm_eps);
        let cache_words = self.shape.cache_words();
        let Buffers { stream, rstd, qkv, gate_up, attention, operand, product, ranges, precision } =
            &mut self.buffers;
        let (stream, rstd) = (&mut stream[..n * m.model_dim], &mut rstd[..n]);
        let (qkv, gate_up) = (&mut qkv[..n * m.qkv_dim()], &mut gate_up[..n * 2 * m.ffn_dim]);

        self.history.take(model.inputs, start, tokens).forward(stream, model.params);
        for (l, slots) in model.layout.layers.iter().enumerate() {
            let cache = &mut self.cache[l * cache_words..(l + 1) * cache_words];
            let mut x = as_rows(operand, n * m.model_dim, *precision);
            rmsnorm_forward(x.reborrow(), rstd, stream, slots.attn_norm.of(model.params), eps);
            product.run(pool, qkv, x.as_rows(), model.packed.forward(slots.qkv), false);
            if let Some((q_norm, k_norm)) = slots.qk_norm {
                let gains = [q_norm.of(model.params), k_norm.of(model.params)];
                qk_norm_forward(qkv, None, gains, heads, eps);
            }
            rope_forward(qkv, model.rope, heads, n, start);
            attention_append(cache, Rows::F32(qkv), self.shape, start);
            let mut y = as_rows(operand, n * m.attn_dim(), *precision);
            attend(pool, ranges, y.reborrow(), qkv, cache, self.shape, start, attention);
            product.run(pool, stream, y.as_rows(), model.packed.forward(slots.out), true);

            let mut x = as_rows(operand, n * m.model_dim, *precision);
            rmsnorm_forward(x.reborrow(), rstd, stream, slots.mlp_norm.of(model.params), eps);
            product.run(pool, gate_up, x.as_rows(), model.packed.forward(slots.gate_up), false);
            let mut hidden = as_rows(operand, n * m.ffn_dim, *precision);
            swiglu_forward(hidden.reborrow(), None, gate_up, m.ffn_dim);
            product.run(pool, stream, hidden.as_rows(), model.packed.forward(slots.down), true);
        }
    }
}

/// The final norm of row `row` of the last pass: the output layer's input.
fn last_input<'a>(
    model: Model,
    stream: &[f32],
    rstd: &mut [f32],
    operand: &'a mut [f32],
    row: usize,
    precision: Precision,
) -> Rows<'a> {
    let m = &model.layout.config;
    let stream = &stream[row * m.model_dim..(row + 1) * m.model_dim];
    let gains = model.layout.final_norm.of(model.params);
    let mut x = as_rows(operand, m.model_dim, precision);
    rmsnorm_forward(x.reborrow(), &mut rstd[..1], stream, gains, m.norm_eps);
    x.into_rows()
}

/// Attention of new rows against the cache: by rows in prefill, by key/value head in decoding.
#[expect(clippy::too_many_arguments, reason = "the arguments of the kernel and of the sharing")]
fn attend(
    pool: &mut Pool,
    ranges: &mut Vec<Range<usize>>,
    y: RowsMut,
    qkv: &[f32],
    cache: &[u32],
    shape: CacheShape,
    start: usize,
    scratch: &mut [AlignedVec<f32>],
) {
    let (y_dim, head_dim) = (shape.n_heads * shape.head_dim, shape.head_dim);
    let n = y.len() / y_dim;
    let (qkv_dim, group) = (qkv.len() / n, shape.group());
    ranges.clear();
    let n_tasks = if n == 1 { shape.n_kv_heads } else { pool.threads().min(n).min(scratch.len()) };
    // A task's part of the outputs: whole heads of the one row, or whole rows.
    let part = |i: usize| match n {
        1 => i * group * head_dim..(i + 1) * group * head_dim,
        _ => i * n / n_tasks * y_dim..(i + 1) * n / n_tasks * y_dim,
    };
    ranges.extend((0..n_tasks).map(part));
    let run = |i: usize, y: RowsMut, scratch: &mut [f32]| {
        if n == 1 {
            let one = CacheShape { n_heads: group, n_kv_heads: 1, ..shape };
            let cache = &cache[i * shape.head_words()..(i + 1) * shape.head_words()];
            attention_cached(y, Rows::F32(&qkv[part(i)]), cache, one, start, scratch);
        } else {
            let row = i * n / n_tasks;
            let q = &qkv[row * qkv_dim..(i + 1) * n / n_tasks * qkv_dim];
            attention_cached(y, Rows::F32(q), cache, shape, start + row, scratch);
        }
    };
    let scratch = &mut scratch[..n_tasks];
    match y {
        RowsMut::F32(y) => pool.for_each_range_with(scratch, [y], ranges, |i, scratch, [y]| {
            run(i, RowsMut::F32(y), scratch);
        }),
        RowsMut::Bf16(y) => pool.for_each_range_with(scratch, [y], ranges, |i, scratch, [y]| {
            run(i, RowsMut::Bf16(y), scratch);
        }),
    }
}
