//! Backward pass: the mirror of `forward.rs`, from the gradient of the output layer's input to the
//! input vectors.
//!
//! [`backward`], at the end of the file, is the whole pass, as `forward`, at the start of its file,
//! is the whole forward pass. During the pass the lane's `dstream` becomes the gradient of the
//! residual stream before each block. Weight gradients go to the lane's `grads`: the first
//! micro-batch of a step overwrites those of matrices, so that they need no zeroing.

use super::forward::{Dropout, Model};
use super::lane::{Block, FinalNorm, Lane};
use super::layout::LayerSlots;
use super::table::{Gradients, Matrix};
use kernels::accum::Accum;
use kernels::attention::{AttentionShape, attention_backward};
use kernels::dropout::{DropMask, dropout_backward};
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
    let Block { acts, scratch, grads, panels, .. } = block;
    let n_rows = acts.mlp_rstd.len();
    let (hidden_dim, params) = (acts.hidden.len() / n_rows, model.params);

    // B11 down
    let dbranch =
        branch_gradient(scratch.dstream, scratch.branch, scratch.operand.reborrow(), mask);
    weight_gradient(slots.down, dbranch, acts.hidden.as_rows(), accum, grads, panels);
    let dhidden = &mut scratch.dlayer[..n_rows * hidden_dim];
    input_gradient(model, slots.down, dhidden, dbranch, panels);
    // B10 gated activation
    let mut dgate_up = scratch.operand.slice_mut(0..acts.gate_up.len());
    swiglu_backward(dgate_up.reborrow(), dhidden, acts.gate_up.as_rows(), hidden_dim);
    // B9 gate and up
    let dgate_up = dgate_up.as_rows();
    weight_gradient(slots.gate_up, dgate_up, acts.mlp_in.as_rows(), accum, grads, panels);
    let dnorm = &mut scratch.dlayer[..acts.mid.len()];
    input_gradient(model, slots.gate_up, dnorm, dgate_up, panels);
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
    let Block { input, acts, scratch, grads, panels, rows, .. } = block;
    let n_rows = acts.attn_rstd.len();
    let (params, all_heads) = (model.params, model.heads());

    // B7 attention output
    let dbranch =
        branch_gradient(scratch.dstream, scratch.branch, scratch.operand.reborrow(), mask);
    weight_gradient(slots.out, dbranch, acts.attn_out.as_rows(), accum, grads, panels);
    let dattn_out = &mut scratch.dlayer[..acts.attn_out.len()];
    input_gradient(model, slots.out, dattn_out, dbranch, panels);
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
    // From here on, the first block has one row per distinct input, as in the forward pass.
    let (n, c) = (rows.count(n_rows), model.layout.config.model_dim);
    let dqkv = rows.gather(scratch.qkv, scratch.gate_up, width);
    // B4 norm of queries and keys
    if let Some((q_norm, k_norm)) = slots.qk_norm {
        let dgains = grads
            .get_disjoint_mut([q_norm.start..q_norm.end, k_norm.start..k_norm.end])
            .expect("tensors of the table do not overlap");
        let gains = [q_norm.of(params), k_norm.of(params)];
        let n_heads = n * all_heads.n_query_key();
        let normed = acts.qk_normed.as_rows().slice(0..n_heads * all_heads.head_dim);
        qk_norm_backward(dqkv, dgains, normed, &acts.qk_rstd[..n_heads], gains, all_heads);
    }
    // B3 query, key, value
    let x = acts.attn_in.as_rows().slice(0..n * c);
    let dqkv = operand(dqkv, scratch.operand.reborrow());
    weight_gradient(slots.qkv, dqkv, x, accum, grads, panels);
    let dnorm = &mut scratch.dlayer[..n * c];
    input_gradient(model, slots.qkv, dnorm, dqkv, panels);
    // B2 attention norm, added to the stream's gradient
    let (gain, dgain) = (slots.attn_norm.of(params), slots.attn_norm.of_mut(grads));
    let dx = rows.gather(scratch.dstream, scratch.branch, c);
    let x = rows.vectors(model.inputs, params, input, scratch.qkv, c);
    rmsnorm_backward(dx, dgain, dnorm, x, gain, &acts.attn_rstd[..n], Accum::Add);
}

/// Gradient of a branch as an operand of a product: the stream's gradient times the dropout mask.
fn branch_gradient<'a>(
    dstream: &'a [f32],
    branch: &'a mut [f32],
    buffer: RowsMut<'a>,
    mask: Option<DropMask>,
) -> Rows<'a> {
    match mask {
        None => operand(dstream, buffer),
        Some(mask) => {
            dropout_backward(branch, dstream, mask);
            operand(branch, buffer)
        }
    }
}

/// `x` in the operands' format: `x` itself in f32, rounded into `buffer` in bf16.
pub(crate) fn operand<'a>(x: &'a [f32], buffer: RowsMut<'a>) -> Rows<'a> {
    match buffer {
        RowsMut::F32(_) => Rows::F32(x),
        RowsMut::Bf16(buffer) => {
            let buffer = &mut buffer[..x.len()];
            store_rows(RowsMut::Bf16(buffer), x);
            Rows::Bf16(buffer)
        }
    }
}

/// dX = dY·W.
fn input_gradient(model: Model, matrix: Matrix, dx: &mut [f32], dy: Rows, panels: &mut [u32]) {
    let shape = MatmulShape { m: dx.len() / matrix.n_in, n: matrix.n_in, k: matrix.n_out };
    matmul_straight(dx, dy, matrix.span.of(model.params), shape, Accum::Replace, panels);
}

/// dW (+)= dYᵀ·X, written to the matrix's span of the gradients.
fn weight_gradient(
    matrix: Matrix,
    dy: Rows,
    x: Rows,
    accum: Accum,
    grads: &mut [f32],
    panels: &mut [u32],
) {
    let shape = MatmulShape { m: x.len() / matrix.n_in, n: matrix.n_out, k: matrix.n_in };
    matmul_wgrad(matrix.span.of_mut(grads), dy, x, shape, accum, panels);
}

/// Runs the micro-batch of the last `forward` backward in `lane`, from the gradient of the output
/// layer's input.
///
/// If `is_first`, this is the lane's first micro-batch of the step: gradients of matrices are
/// overwritten, and added into otherwise. Gradients of gains and input vectors are always added
/// into; [`Lane::begin_step`] zeroes them. If lanes share the gradients of input vectors, these
/// still have to be added ([`add_input_gradient`]). If the lane is to stop, it ends before the next
/// block, as `forward` does.
pub fn backward(model: Model, dropout: Option<Dropout>, is_first: bool, lane: &mut Lane) {
    let attention = lane.shape().attention();
    let accum = if is_first { Accum::Replace } else { Accum::Add };

    // B12 final norm
    let FinalNorm { stream, dstream, acts, grads } = lane.final_norm();
    let (gain, dgain) = (model.layout.final_norm, model.layout.final_norm.of_mut(grads));
    let gain = gain.of(model.params);
    rmsnorm_backward(dstream, dgain, acts.dinput, stream, gain, acts.rstd, Accum::Replace);
    for (l, slots) in model.layout.layers.iter().enumerate().rev() {
        if lane.stop.is_requested() {
            return;
        }
        let mut block = lane.block(l);
        mlp_branch(model, slots, dropout.map(|d| d.mask(l, 1)), accum, &mut block);
        attention_branch(model, slots, dropout.map(|d| d.mask(l, 0)), accum, attention, &mut block);
    }
    if !model.layout.shares_tables() {
        let Block { scratch, grads, rows, lookups, .. } = lane.block(0);
        let dx = rows.target(scratch.dstream, scratch.branch, model.layout.config.model_dim);
        let mut grads = Gradients { start: 0, values: grads };
        model.inputs.backward(&mut grads, dx, rows.lookups(lookups)); // B1 input vectors
    }
}

/// B1 where lanes share the gradients of input tables: adds the input-vector gradients that
/// [`backward`] left in `lane` into `grads_acc`.
pub fn add_input_gradient(model: Model, lane: &mut Lane, grads_acc: &mut Gradients) {
    let Block { scratch, rows, lookups, .. } = lane.block(0);
    let dx = rows.target(scratch.dstream, scratch.branch, model.layout.config.model_dim);
    model.inputs.backward(grads_acc, dx, rows.lookups(lookups));
}
