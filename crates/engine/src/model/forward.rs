//! Forward pass: token ids to the output layer's input, (N, C).
//!
//! Read it next to `backward.rs`, which is the same list in reverse: `B7` there is the gradient of
//! `F7` here, and a test keeps the two lists mirrored. Logits and loss belong to the output layer
//! (`head`).

use super::activations::BlockActs;
use super::inputs::InputLayer;
use super::lane::{Block, FinalNorm, Lane};
use super::layout::{LayerSlots, Layout};
use super::packed::{PackedWeights, Weights};
use kernels::accum::Accum;
use kernels::attention::{AttentionShape, attention_forward};
use kernels::dropout::{DropMask, dropout_add};
use kernels::gated_mlp::swiglu_forward;
use kernels::matmul::matmul;
use kernels::qk_norm::{QkNormSaved, qk_norm_forward};
use kernels::rmsnorm::rmsnorm_forward;
use kernels::rope::{Heads, RopeTable, rope_forward_to};
use kernels::rows::RowsMut;

/// Residual dropout of one micro-batch; its masks are a pure function of the key.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    /// Probability that an element of a branch is dropped.
    pub rate: f32,
    /// Hash of (seed, step, micro-batch).
    pub key: u64,
}

impl Dropout {
    /// The mask of a block's attention (`branch` 0) or MLP (`branch` 1).
    pub fn mask(self, layer: usize, branch: usize) -> DropMask {
        let stream = (2 * layer + branch + 1) as u64;
        DropMask { key: self.key ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15), rate: self.rate }
    }
}

/// Inputs of both passes that neither writes.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    /// The table of tensors.
    pub layout: &'a Layout,
    /// All parameters.
    pub params: &'a [f32],
    /// Matrices among the parameters, packed for products.
    pub packed: &'a PackedWeights,
    /// Rotary angles of all positions.
    pub rope: &'a RopeTable,
    /// The input layer.
    pub inputs: &'a InputLayer,
}

impl<'a> Model<'a> {
    /// Parameters and packed matrices of the model.
    pub fn weights(&self) -> Weights<'a> {
        Weights { params: self.params, packed: self.packed }
    }

    /// Attention heads of a fused query-key-value row.
    pub fn heads(&self) -> Heads {
        let m = &self.layout.config;
        Heads { n_heads: m.n_heads, n_kv_heads: m.n_kv_heads, head_dim: m.head_dim }
    }
}

/// Runs the micro-batch in `lane` through every block, and stores the activations and the output
/// layer's input there. If the lane is to stop, it ends before the next block, and what it computed
/// must not be used.
pub fn forward(model: Model, dropout: Option<Dropout>, lane: &mut Lane) {
    let attention = lane.shape().attention();
    lane.find_inputs(model.inputs);
    let first = lane.block(0);
    model.inputs.forward(first.input, model.params, first.lookups); // F1 input vectors
    for (l, slots) in model.layout.layers.iter().enumerate() {
        if lane.stop.is_requested() {
            return;
        }
        let mut block = lane.block(l);
        attention_branch(model, slots, l, dropout, attention, &mut block);
        mlp_branch(model, slots, l, dropout, &mut block);
    }
    // F12 final norm
    let FinalNorm { stream, acts, .. } = lane.final_norm();
    let gain = model.layout.final_norm.of(model.params);
    rmsnorm_forward(acts.input, acts.rstd, stream, gain, model.layout.config.norm_eps);
}

/// Query-key-value rows before rotary positions; each is a function of its input row alone.
fn query_key_value(
    model: Model,
    slots: &LayerSlots,
    qkv: &mut [f32],
    input: &[f32],
    acts: &mut BlockActs,
) {
    let (params, heads, eps) = (model.params, model.heads(), model.layout.config.norm_eps);
    let n = input.len() / model.layout.config.model_dim;

    // F2 attention norm
    let mut x = acts.attn_in.slice_mut(0..input.len());
    let (rstd, gain) = (&mut acts.attn_rstd[..n], slots.attn_norm.of(params));
    rmsnorm_forward(x.reborrow(), rstd, input, gain, eps);
    // F3 query, key, value
    matmul(qkv, x.as_rows(), model.packed.forward(slots.qkv), Accum::Replace);
    // F4 norm of queries and keys
    if let Some((q_norm, k_norm)) = slots.qk_norm {
        let n_heads = n * heads.n_query_key();
        let normed = acts.qk_normed.slice_mut(0..n_heads * heads.head_dim);
        let saved = QkNormSaved { normed, rstd: &mut acts.qk_rstd[..n_heads] };
        let gains = [q_norm.of(params), k_norm.of(params)];
        qk_norm_forward(qkv, Some(saved), gains, heads, eps);
    }
}

/// mid = input + out(attention(rope(qkv(norm(input)))))
fn attention_branch(
    model: Model,
    slots: &LayerSlots,
    l: usize,
    dropout: Option<Dropout>,
    attention: AttentionShape,
    block: &mut Block,
) {
    let Block { input, acts, scratch, rows, .. } = block;
    let (packed, heads, n_rows) = (model.packed, model.heads(), acts.attn_rstd.len());
    let (t, width, out_dim) = (attention.seq_len, heads.qkv_dim(), heads.n_heads * heads.head_dim);

    let (c, params) = (model.layout.config.model_dim, model.params);
    let x = rows.vectors(model.inputs, params, input, scratch.branch, c);
    let qkv = rows.target(scratch.qkv, scratch.gate_up, width);
    query_key_value(model, slots, qkv, x, acts);
    rows.spread(scratch.qkv, scratch.gate_up, width);
    // F5 rotary positions
    rope_forward_to(acts.qkv.reborrow(), scratch.qkv, model.rope, heads, t, 0);
    // F6 attention, one sequence at a time
    for s in 0..n_rows / t {
        attention_forward(
            acts.attn_out.slice_mut(s * t * out_dim..(s + 1) * t * out_dim),
            &mut acts.lse[s * t * heads.n_heads..(s + 1) * t * heads.n_heads],
            acts.qkv.as_rows().slice(s * t * width..(s + 1) * t * width),
            attention,
            scratch.attention,
        );
    }
    // F7 attention output, added to the stream
    let (y, out) = (acts.attn_out.as_rows(), packed.forward(slots.out));
    match dropout {
        None => matmul(acts.mid, y, out, Accum::Plus(input)),
        Some(dropout) => {
            matmul(scratch.branch, y, out, Accum::Replace);
            dropout_add(acts.mid, input, scratch.branch, dropout.mask(l, 0));
        }
    }
}

/// output = mid + down(silu(gate(norm(mid))) * up(norm(mid)))
fn mlp_branch(
    model: Model,
    slots: &LayerSlots,
    l: usize,
    dropout: Option<Dropout>,
    block: &mut Block,
) {
    let Block { output, acts, scratch, .. } = block;
    let (params, packed, eps) = (model.params, model.packed, model.layout.config.norm_eps);
    let ffn_dim = model.layout.config.ffn_dim;

    // F8 mlp norm
    rmsnorm_forward(
        acts.mlp_in.reborrow(),
        acts.mlp_rstd,
        acts.mid,
        slots.mlp_norm.of(params),
        eps,
    );
    // F9 gate and up: in f32 mode straight into the saved rows
    // F10 gated activation
    let (x, gate_up) = (acts.mlp_in.as_rows(), packed.forward(slots.gate_up));
    match &mut acts.gate_up {
        RowsMut::F32(saved) => {
            matmul(saved, x, gate_up, Accum::Replace);
            swiglu_forward(acts.hidden.reborrow(), None, saved, ffn_dim);
        }
        saved @ RowsMut::Bf16(_) => {
            let rows = &mut scratch.gate_up[..saved.len()];
            matmul(rows, x, gate_up, Accum::Replace);
            swiglu_forward(acts.hidden.reborrow(), Some(saved.reborrow()), rows, ffn_dim);
        }
    }
    // F11 down, added to the stream
    let (h, down) = (acts.hidden.as_rows(), packed.forward(slots.down));
    match dropout {
        None => matmul(output, h, down, Accum::Plus(acts.mid)),
        Some(dropout) => {
            matmul(scratch.branch, h, down, Accum::Replace);
            dropout_add(output, acts.mid, scratch.branch, dropout.mask(l, 1));
        }
    }
}
