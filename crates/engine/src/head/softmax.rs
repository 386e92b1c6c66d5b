//! The softmax that every token takes part in, in blocks of rows, so that (N, outputs) never exists.
//!
//! Its outputs are the tokens, or the classes of a factored layer, which have a bias each. The loss
//! is a sum over tokens, so the gradient of a block of logits is known as soon as the block is:
//! forward and backward are one loop, and nothing is computed twice.

use crate::model::{HeadActs, LaneBuffers, Model};
use kernels::accum::Accum;
use kernels::cross_entropy::{cross_entropy, cross_entropy_loss};
use kernels::matmul::{MatmulShape, matmul, matmul_wgrad};
use kernels::reduce::add_rows;
use kernels::rmsnorm::{rmsnorm_backward, rmsnorm_forward};

/// Floats in a block of logits: small enough to stay in the last-level cache beside the weights.
const BLOCK_FLOATS: usize = 1 << 21;

/// Rows of a block at least: every block reads and writes all of the output matrix's gradient, which
/// with 64 rows costs an eighth of a step's time at a vocabulary of 33,278 (docs/log.md).
const MIN_ROWS: usize = 128;

/// Rows of a block of logits for so many outputs.
pub fn block_rows(n_outputs: usize, n_rows: usize) -> usize {
    (BLOCK_FLOATS / n_outputs).next_multiple_of(8).clamp(MIN_ROWS, 512).min(n_rows)
}

/// F12, the final norm of the stream that `forward` left: the layer's input.
pub fn input(model: Model, n_rows: usize, lane: &mut LaneBuffers) {
    let (mut acts, _, _) = lane.head(n_rows);
    let gains = model.layout.final_norm.of(model.params);
    let eps = model.layout.config.norm_eps;
    rmsnorm_forward(acts.input.reborrow(), acts.rstd, acts.stream, gains, eps);
}

/// B12: from the gradient of the layer's input to that of the stream.
pub fn input_backward(model: Model, n_rows: usize, lane: &mut LaneBuffers) {
    let (acts, grads, _) = lane.head(n_rows);
    let HeadActs { stream, rstd, dinput, dstream, .. } = acts;
    let gain = model.layout.final_norm;
    let (gains, dgains) = (gain.of(model.params), gain.of_mut(grads));
    rmsnorm_backward(dstream, dgains, dinput, stream, gains, rstd, Accum::Replace);
}

/// Losses of all rows, the gradient of the layer's input, and the weights' gradients added to the
/// lane's (`is_first`: overwriting the matrix's).
///
/// Gradients are of the *sum* of losses: the step divides by the token count once.
pub fn loss_and_gradient(model: Model, targets: &[u32], is_first: bool, lane: &mut LaneBuffers) {
    let (head, n_rows, block) = (model.layout.head, targets.len(), lane.shape.head_rows);
    let (c, v) = (head.n_in, head.n_out);
    let (mut acts, grads, words) = lane.head(n_rows);
    for start in (0..n_rows).step_by(block) {
        let end = (start + block).min(n_rows);
        let (targets, loss) = (&targets[start..end], &mut acts.loss[start..end]);
        let input = acts.input.as_rows().slice(start * c..end * c);
        let logits = &mut acts.logits[..(end - start) * v];
        let mut dlogits = acts.dlogits.slice_mut(0..(end - start) * v);
        // F13 logits and loss
        let begun = begin_with_bias(model, logits);
        matmul(logits, input, model.packed.forward(head), begun);
        cross_entropy(dlogits.reborrow(), loss, logits, targets, 1.0);
        // B13 output matrix and its input
        let dlogits = dlogits.as_rows();
        if let Some(factor) = &model.layout.factor {
            add_rows(factor.class_bias.of_mut(grads), dlogits);
        }
        let accum = if is_first && start == 0 { Accum::Replace } else { Accum::Add };
        let shape = MatmulShape { m: end - start, n: v, k: c };
        matmul_wgrad(head.span.of_mut(grads), dlogits, input, shape, accum, words);
        let dinput = &mut acts.dinput[start * c..end * c];
        matmul(dinput, dlogits, model.packed.head_backward(head), Accum::Replace);
    }
}

/// Losses of all rows, without gradients.
pub fn loss(model: Model, targets: &[u32], lane: &mut LaneBuffers) {
    let (head, n_rows, block) = (model.layout.head, targets.len(), lane.shape.head_rows);
    let (acts, _, _) = lane.head(n_rows);
    for start in (0..n_rows).step_by(block) {
        let end = (start + block).min(n_rows);
        let logits = &mut acts.logits[..(end - start) * head.n_out];
        let input = acts.input.as_rows().slice(start * head.n_in..end * head.n_in);
        let begun = begin_with_bias(model, logits);
        matmul(logits, input, model.packed.forward(head), begun);
        cross_entropy_loss(&mut acts.loss[start..end], logits, &targets[start..end]);
    }
}

/// Where there are biases, writes them to every row: the product is then added.
fn begin_with_bias<'a>(model: Model, logits: &mut [f32]) -> Accum<'a> {
    let Some(factor) = &model.layout.factor else { return Accum::Replace };
    let bias = factor.class_bias.of(model.params);
    logits.chunks_exact_mut(bias.len()).for_each(|row| row.copy_from_slice(bias));
    Accum::Add
}
