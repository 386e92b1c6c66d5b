//! Decoding pass: new tokens of one or several sequences, against their key/value caches.
//!
//! The steps carry the labels F1, F2, ... of `forward.rs`; a test checks that they match. Two things
//! differ from training. Keys and values go to a cache, from which attention also reads those of
//! earlier tokens. And all threads of a pool share each product, split by rows if there are many
//! (prefill) and by panels of the weight if there are few (decoding). The rows of all sequences are
//! multiplied together; positions, cache and attention are per sequence. A sequence's bits depend
//! neither on the threads nor on the other sequences.

use super::activations::{rows, rows_mut};
use super::forward::Model;
use super::layout::{LayerSlots, Layout};
use super::product::SharedProduct;
use super::sequence::{ContextFull, Sequence};
use super::shared_attention::SharedAttention;
use kernels::attention::attention_append;
use kernels::gated_mlp::swiglu_forward;
use kernels::qk_norm::qk_norm_forward;
use kernels::rmsnorm::rmsnorm_forward;
use kernels::rope::rope_forward;
use kernels::{AlignedVec, Pool, Precision, Rows};
use std::ops::Range;

/// A sequence and its next tokens.
#[derive(Debug)]
pub struct NewTokens<'a> {
    /// The text so far.
    pub sequence: &'a mut Sequence,
    /// (n) the next tokens; at least one.
    pub tokens: &'a [u32],
}

/// A piece of a pass: consecutive new tokens of one sequence.
#[derive(Clone, Debug)]
struct Piece {
    /// Index of the sequence in the batch.
    sequence: usize,
    /// Range within its new tokens.
    tokens: Range<usize>,
    /// Range of its rows in the pass.
    rows: Range<usize>,
}

/// Buffers of a pass over up to N rows, and the output layer's inputs it computes.
#[derive(Debug)]
pub(crate) struct DecodeBuffers {
    /// Largest number of rows of a pass, N.
    n_rows: usize,
    precision: Precision,
    /// (N, C) the residual stream.
    stream: AlignedVec<f32>,
    /// (N) scales of the norms.
    rstd: AlignedVec<f32>,
    /// (N, Q)
    qkv: AlignedVec<f32>,
    /// (N, 2F)
    gate_up: AlignedVec<f32>,
    /// (N, max(C, H·D, F)) operand of a product: normalised stream, attention output or MLP hidden
    /// row.
    operand: AlignedVec<f32>,
    /// (sequences, C) operands: the output layer's input at each sequence's last token.
    output: AlignedVec<f32>,
    product: SharedProduct,
    attention: SharedAttention,
    /// Pieces of the current pass.
    pieces: Vec<Piece>,
}

impl DecodeBuffers {
    /// Buffers for passes over up to `n_rows` tokens, by up to `threads` threads.
    pub fn new(
        layout: &Layout,
        precision: Precision,
        n_rows: usize,
        threads: usize,
    ) -> DecodeBuffers {
        let (m, n) = (&layout.config, n_rows.max(1));
        let operand_dim = m.model_dim.max(m.attn_dim()).max(m.ffn_dim);
        DecodeBuffers {
            n_rows: n,
            precision,
            stream: AlignedVec::zeroed(n * m.model_dim),
            rstd: AlignedVec::zeroed(n),
            qkv: AlignedVec::zeroed(n * m.qkv_dim()),
            gate_up: AlignedVec::zeroed(n * 2 * m.ffn_dim),
            operand: AlignedVec::zeroed(n * operand_dim),
            output: AlignedVec::zeroed(m.model_dim),
            product: SharedProduct::default(),
            attention: SharedAttention::new(Sequence::cache_shape(m, precision, 1), threads),
            pieces: Vec::new(),
        }
    }

    /// Bytes of the allocations.
    pub fn bytes(&self) -> usize {
        let floats =
            [&self.stream, &self.rstd, &self.qkv, &self.gate_up, &self.operand, &self.output];
        let floats: usize = floats.into_iter().map(|floats| floats.size()).sum();
        floats * size_of::<f32>() + self.attention.bytes()
    }

    /// Processes all tokens of the batch, in passes of up to N rows, and leaves the output layer's
    /// input at each sequence's last token ([`DecodeBuffers::output_inputs`]).
    ///
    /// # Errors
    /// [`ContextFull`] if a sequence lacks capacity for its tokens; all are then unchanged.
    ///
    /// # Panics
    /// If a sequence has no new token, which is found before any changes, or was made for another
    /// model or precision; or if a token is not below the vocabulary's size.
    pub fn run(
        &mut self,
        model: Model,
        pool: &mut Pool,
        batch: &mut [NewTokens],
    ) -> Result<(), ContextFull> {
        batch.iter().try_for_each(|new| new.sequence.check_capacity(new.tokens.len()))?;
        let is_empty = batch.iter().any(|new| new.tokens.is_empty());
        assert!(!is_empty, "DecodeBuffers::run: a sequence without new tokens");
        self.output.reserve_zeroed(batch.len() * model.layout.config.model_dim);
        let (mut sequence, mut taken) = (0, 0);
        while sequence < batch.len() {
            self.pieces.clear();
            let mut n_rows = 0;
            while n_rows < self.n_rows && sequence < batch.len() {
                let n_tokens = batch[sequence].tokens.len();
                let n = (n_tokens - taken).min(self.n_rows - n_rows);
                let (tokens, rows) = (taken..taken + n, n_rows..n_rows + n);
                self.pieces.push(Piece { sequence, tokens, rows });
                n_rows += n;
                (sequence, taken) =
                    if taken + n == n_tokens { (sequence + 1, 0) } else { (sequence, taken + n) };
            }
            decode(model, pool, batch, self);
            for piece in &self.pieces {
                batch[piece.sequence].sequence.advance(piece.rows.len());
            }
        }
        Ok(())
    }

    /// (S, C) output layer's inputs at the last token of each of the S sequences of the last batch.
    pub fn output_inputs(&self, n_sequences: usize, model_dim: usize) -> Rows<'_> {
        rows(&self.output, n_sequences * model_dim, self.precision)
    }
}

/// Runs the pieces of a pass through every block.
fn decode(model: Model, pool: &mut Pool, batch: &mut [NewTokens], buffers: &mut DecodeBuffers) {
    let c = model.layout.config.model_dim;
    for Piece { sequence, tokens, rows } in &buffers.pieces {
        let NewTokens { sequence, tokens: all } = &mut batch[*sequence];
        let stream = &mut buffers.stream[rows.start * c..rows.end * c];
        let inputs = sequence.inputs(model.inputs, &all[tokens.clone()]);
        inputs.forward(stream, model.params); // F1 input vectors
    }
    for (l, slots) in model.layout.layers.iter().enumerate() {
        attention_branch(model, slots, l, pool, batch, buffers);
        mlp_branch(model, slots, pool, buffers);
    }
    // F12 final norm, only of the rows that the output layer reads: each sequence's last
    let DecodeBuffers { pieces, stream, rstd, output, precision, .. } = buffers;
    let gain = model.layout.final_norm.of(model.params);
    for Piece { sequence, tokens, rows } in pieces {
        if tokens.end == batch[*sequence].tokens.len() {
            let x = &stream[(rows.end - 1) * c..rows.end * c];
            let mut y = rows_mut(output, (*sequence + 1) * c, *precision);
            let y = y.slice_mut(*sequence * c..(*sequence + 1) * c);
            rmsnorm_forward(y, &mut rstd[..1], x, gain, model.layout.config.norm_eps);
        }
    }
}

/// stream += out(attention(rope(qkv(norm(stream)))))
fn attention_branch(
    model: Model,
    slots: &LayerSlots,
    l: usize,
    pool: &mut Pool,
    batch: &mut [NewTokens],
    buffers: &mut DecodeBuffers,
) {
    let (m, heads, eps) = (&model.layout.config, model.heads(), model.layout.config.norm_eps);
    let DecodeBuffers { pieces, stream, rstd, qkv, operand, product, attention, precision, .. } =
        buffers;
    let (n, width, out_dim) = (n_rows(pieces), m.qkv_dim(), m.attn_dim());
    let (stream, qkv) = (&mut stream[..n * m.model_dim], &mut qkv[..n * width]);

    // F2 attention norm
    let mut x = rows_mut(operand, n * m.model_dim, *precision);
    rmsnorm_forward(x.reborrow(), &mut rstd[..n], stream, slots.attn_norm.of(model.params), eps);
    // F3 query, key, value
    product.run(pool, qkv, x.as_rows(), model.packed.forward(slots.qkv), false);
    // F4 norm of queries and keys
    if let Some((q_norm, k_norm)) = slots.qk_norm {
        let gains = [q_norm.of(model.params), k_norm.of(model.params)];
        qk_norm_forward(qkv, None, gains, heads, eps);
    }
    let mut y = rows_mut(operand, n * out_dim, *precision);
    for Piece { sequence, rows, .. } in pieces {
        let block = batch[*sequence].sequence.block(l);
        let qkv = &mut qkv[rows.start * width..rows.end * width];
        // F5 rotary positions
        rope_forward(qkv, model.rope, heads, rows.len(), block.start);
        // F6 attention, one sequence at a time
        attention_append(block.words, Rows::F32(qkv), block.shape, block.start);
        let y = y.slice_mut(rows.start * out_dim..rows.end * out_dim);
        attention.run(pool, y, qkv, block);
    }
    // F7 attention output, added to the stream
    product.run(pool, stream, y.as_rows(), model.packed.forward(slots.out), true);
}

/// stream += down(silu(gate(norm(stream))) * up(norm(stream)))
fn mlp_branch(model: Model, slots: &LayerSlots, pool: &mut Pool, buffers: &mut DecodeBuffers) {
    let m = &model.layout.config;
    let DecodeBuffers { pieces, stream, rstd, gate_up, operand, product, precision, .. } = buffers;
    let n = n_rows(pieces);
    let (stream, gate_up) = (&mut stream[..n * m.model_dim], &mut gate_up[..n * 2 * m.ffn_dim]);

    // F8 mlp norm
    let mut x = rows_mut(operand, n * m.model_dim, *precision);
    let gain = slots.mlp_norm.of(model.params);
    rmsnorm_forward(x.reborrow(), &mut rstd[..n], stream, gain, m.norm_eps);
    // F9 gate and up
    product.run(pool, gate_up, x.as_rows(), model.packed.forward(slots.gate_up), false);
    // F10 gated activation
    let mut hidden = rows_mut(operand, n * m.ffn_dim, *precision);
    swiglu_forward(hidden.reborrow(), None, gate_up, m.ffn_dim);
    // F11 down, added to the stream
    product.run(pool, stream, hidden.as_rows(), model.packed.forward(slots.down), true);
}

/// Number of rows of a pass.
fn n_rows(pieces: &[Piece]) -> usize {
    pieces.last().map_or(0, |piece| piece.rows.end)
}
