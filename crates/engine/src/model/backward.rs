//! The backward pass: the mirror of `forward.rs`, from the last block up to the embedding.
//!
//! The whole pass is [`backward`], which stands last, as `forward` stands first in its file.
//! On entry the lane's `dstream` holds the gradient of the stream after the last block; on its way
//! up it becomes the gradient of the stream before each. Weight gradients go to the lane's `grads`:
//! the first micro-batch of a step overwrites the matrices, so that they need no zeroing.

use super::buffers::{Block, LaneBuffers, Scratch};
use super::forward::{Dropout, Model};
use super::inputs::{Inputs, input_backward, input_forward};
use super::layout::{LayerSlots, Matrix};
use super::unique::UniqueTokens;
use kernels::accum::Accum;
use kernels::attention::{AttentionShape, attention_backward};
use kernels::dropout::{DropMask, dropout_backward};
use kernels::embedding::embedding_backward;
use kernels::gated_mlp::swiglu_backward;
use kernels::matmul::{MatmulShape, matmul_straight, matmul_wgrad};
use kernels::qk_norm::qk_norm_backward;
use kernels::rmsnorm::rmsnorm_backward;
use kernels::rope::rope_backward;
use kernels::rows::{Rows, RowsMut, store_rows};

/// Undoes F8 to F11.
fn mlp_branch(
    model: Model,
    slots: &LayerSlots,
    mask: Option<DropMask>,
    accum: Accum,
    block: &mut Block,
) {
    let Block { acts, scratch, grads, words, .. } = block;
    let n_rows = acts.mlp_rstd.len();
    let (hidden_dim, params) = (acts.hidden.len() / n_rows, model.params);

    // B11 down
    let dbranch =
        branch_gradient(scratch.dstream, scratch.branch, scratch.operand.reborrow(), mask);
    weight_gradient(slots.down, dbranch, acts.hidden.as_rows(), accum, grads, words);
    let dhidden = &mut scratch.flow[..n_rows * hidden_dim];
    input_gradient(model, slots.down, dhidden, dbranch, words);
    // B10 gated activation
    let mut dgate_up = scratch.operand.slice_mut(0..acts.gate_up.len());
    swiglu_backward(dgate_up.reborrow(), dhidden, acts.gate_up.as_rows(), hidden_dim);
    // B9 gate and up
    let dgate_up = dgate_up.as_rows();
    weight_gradient(slots.gate_up, dgate_up, acts.mlp_in.as_rows(), accum, grads, words);
    let dnorm = &mut scratch.flow[..acts.mid.len()];
    input_gradient(model, slots.gate_up, dnorm, dgate_up, words);
    // B8 mlp norm, added to the stream's gradient
    let (gain, dgain) = (slots.mlp_norm.of(params), slots.mlp_norm.of_mut(grads));
    rmsnorm_backward(scratch.dstream, dgain, dnorm, acts.mid, gain, acts.mlp_rstd, Accum::Add);
}

/// Undoes F2 to F7.
fn attention_branch(
    model: Model,
    slots: &LayerSlots,
    mask: Option<DropMask>,
    accum: Accum,
    attention: AttentionShape,
    block: &mut Block,
) {
    let Block { input, acts, scratch, grads, words, unique, .. } = block;
    let n_rows = acts.attn_rstd.len();
    let (params, all_heads) = (model.params, model.heads());

    // B7 attention output
    let dbranch =
        branch_gradient(scratch.dstream, scratch.branch, scratch.operand.reborrow(), mask);
    weight_gradient(slots.out, dbranch, acts.attn_out.as_rows(), accum, grads, words);
    let dattn_out = &mut scratch.flow[..acts.attn_out.len()];
    input_gradient(model, slots.out, dattn_out, dbranch, words);
    // B6 attention, one sequence at a time
    let (t, heads) = (attention.seq_len, acts.lse.len() / n_rows);
    let (width, out_dim) = (acts.qkv.len() / n_rows, acts.attn_out.len() / n_rows);
    for s in 0..n_rows / t {
        let out = s * t * out_dim..(s + 1) * t * out_dim;
        let qkv = s * t * width..(s + 1) * t * width;
        attention_backward(
            &mut scratch.qkv[qkv.clone()],
            &dattn_out[out.clone()],
            acts.attn_out.as_rows().slice(out),
            acts.qkv.as_rows().slice(qkv),
            &acts.lse[s * t * heads..(s + 1) * t * heads],
            attention,
            scratch.attention,
        );
    }
    // B5 rotary positions
    rope_backward(scratch.qkv, model.rope, all_heads, attention.seq_len, 0);
    // From here up one row per different token in the first block, as in the forward pass.
    let n = unique.map_or(n_rows, |unique| unique.ids().len());
    let wide = n * model.layout.config.model_dim;
    let dqkv: &mut [f32] = match unique {
        None => scratch.qkv,
        Some(unique) => {
            sum_places(&mut scratch.wide[..n * width], scratch.qkv, unique);
            &mut scratch.wide[..n * width]
        }
    };
    // B4 norm of queries and keys
    if let Some((q_norm, k_norm)) = slots.qk_norm {
        let dgains = grads
            .get_disjoint_mut([q_norm.start..q_norm.end, k_norm.start..k_norm.end])
            .expect("the table gives every tensor its own place");
        let gains = [q_norm.of(params), k_norm.of(params)];
        let n_heads = n * all_heads.n_query_key();
        let normed = acts.qk_normed.as_rows().slice(0..n_heads * all_heads.head_dim);
        qk_norm_backward(dqkv, dgains, normed, &acts.qk_rstd[..n_heads], gains, all_heads);
    }
    // B3 query, key, value
    let x = acts.attn_in.as_rows().slice(0..wide);
    let dqkv = operand(dqkv, scratch.operand.reborrow());
    weight_gradient(slots.qkv, dqkv, x, accum, grads, words);
    let dnorm = &mut scratch.flow[..wide];
    input_gradient(model, slots.qkv, dnorm, dqkv, words);
    // B2 attention norm, added to the stream's gradient
    let (gain, dgain) = (slots.attn_norm.of(params), slots.attn_norm.of_mut(grads));
    let rstd = &acts.attn_rstd[..n];
    match unique {
        None => rmsnorm_backward(scratch.dstream, dgain, dnorm, input, gain, rstd, Accum::Add),
        Some(unique) => {
            let (dx, x) = (&mut scratch.branch[..wide], &mut scratch.qkv[..wide]);
            sum_places(dx, scratch.dstream, unique);
            input_forward(x, model, Inputs::alone(unique.ids()));
            rmsnorm_backward(dx, dgain, dnorm, x, gain, rstd, Accum::Add);
        }
    }
}

/// Runs every block backwards for the micro-batch of `n_rows` tokens that `forward` just ran.
///
/// `is_first` says that this is the step's first micro-batch of the lane: matrices' gradients are
/// then overwritten, and added into otherwise. Gains' and embeddings' are always added into; the
/// step's beginning zeroes those (`LaneBuffers::begin_step`).
pub fn backward(
    model: Model,
    n_rows: usize,
    dropout: Option<Dropout>,
    is_first: bool,
    lane: &mut LaneBuffers,
) {
    let attention = lane.shape.attention();
    let accum = if is_first { Accum::Replace } else { Accum::Add };

    for (l, slots) in model.layout.layers.iter().enumerate().rev() {
        let mut block = lane.block(l, n_rows);
        mlp_branch(model, slots, dropout.map(|d| d.mask(l, 1)), accum, &mut block);
        attention_branch(model, slots, dropout.map(|d| d.mask(l, 0)), accum, attention, &mut block);
    }
    if model.layout.embed.end <= model.layout.lane_len {
        let Block { scratch, grads, unique, inputs, .. } = lane.block(0, n_rows);
        let (dx, inputs) = input_rows(&scratch, unique, inputs, model.layout.config.model_dim);
        input_backward(grads, 0, model, dx, inputs); // B1 embedding
    }
}

/// Adds what [`backward`] left of the gradient into that of the tables that input vectors are read
/// from: where lanes share one, `shared_acc`, laid out as the parameters from
/// [`Layout::lane_len`](super::Layout::lane_len) on.
pub fn embedding_gradient(
    shared_acc: &mut [f32],
    model: Model,
    n_rows: usize,
    lane: &mut LaneBuffers,
) {
    let Block { scratch, unique, inputs, .. } = lane.block(0, n_rows);
    let (dx, inputs) = input_rows(&scratch, unique, inputs, model.layout.config.model_dim);
    input_backward(shared_acc, model.layout.lane_len, model, dx, inputs);
}

/// Gradients of input vectors and the inputs whose they are: all, or all different ones.
fn input_rows<'a>(
    scratch: &'a Scratch,
    unique: Option<&'a UniqueTokens>,
    inputs: Inputs<'a>,
    dim: usize,
) -> (&'a [f32], Inputs<'a>) {
    let (dx, inputs) = match unique {
        None => (&*scratch.dstream, inputs),
        Some(unique) => (&*scratch.branch, Inputs::alone(unique.ids())),
    };
    (&dx[..inputs.ids.len() * dim], inputs)
}

/// The sum over the places of each different token: rows of `d` added up in ascending order.
fn sum_places(sum: &mut [f32], d: &[f32], unique: &UniqueTokens) {
    sum.fill(0.0);
    embedding_backward(sum, d, unique.index());
}

/// The gradient of a branch as a product's operand: the stream's, through the branch's mask.
fn branch_gradient<'a>(
    dstream: &'a [f32],
    branch: &'a mut [f32],
    room: RowsMut<'a>,
    mask: Option<DropMask>,
) -> Rows<'a> {
    match mask {
        None => operand(dstream, room),
        Some(mask) => {
            dropout_backward(branch, dstream, mask);
            operand(branch, room)
        }
    }
}

/// `x` in the operands' format: itself in f32, rounded into `room` in bf16.
pub(crate) fn operand<'a>(x: &'a [f32], room: RowsMut<'a>) -> Rows<'a> {
    match room {
        RowsMut::F32(_) => Rows::F32(x),
        RowsMut::Bf16(room) => {
            let room = &mut room[..x.len()];
            store_rows(RowsMut::Bf16(room), x);
            Rows::Bf16(room)
        }
    }
}

/// dX = dY·W.
fn input_gradient(model: Model, matrix: Matrix, dx: &mut [f32], dy: Rows, words: &mut [u32]) {
    let shape = MatmulShape { m: dx.len() / matrix.n_in, n: matrix.n_in, k: matrix.n_out };
    matmul_straight(dx, dy, matrix.span.of(model.params), shape, Accum::Replace, words);
}

/// dW (+)= dYᵀ·X into the matrix's place among the gradients.
fn weight_gradient(
    matrix: Matrix,
    dy: Rows,
    x: Rows,
    accum: Accum,
    grads: &mut [f32],
    words: &mut [u32],
) {
    let shape = MatmulShape { m: x.len() / matrix.n_in, n: matrix.n_out, k: matrix.n_in };
    matmul_wgrad(matrix.span.of_mut(grads), dy, x, shape, accum, words);
}
