//! The full softmax: V dot products a token, in blocks of rows, so that (N, V) never exists.
//!
//! The loss is a sum over tokens, so the gradient of a block of logits is known as soon as the block
//! is: forward and backward of the head are one loop, and nothing is computed twice.

use crate::model::{LaneBuffers, MicroBatch, Model};
use kernels::accum::Accum;
use kernels::cross_entropy::{IGNORE, cross_entropy, cross_entropy_loss};
use kernels::matmul::{MatmulShape, matmul, matmul_wgrad};
use kernels::rmsnorm::{rmsnorm_backward, rmsnorm_forward};

/// Floats in a block of logits: small enough to stay in the last-level cache beside the weights.
const BLOCK_FLOATS: usize = 1 << 21;

/// Rows of a block at least: every block reads and writes all of the output matrix's gradient, which
/// with 64 rows costs an eighth of a step's time at a vocabulary of 33,278 (docs/log.md).
const MIN_ROWS: usize = 128;

/// Rows of a block of logits for a vocabulary of this size.
pub fn block_rows(vocab_size: usize, n_rows: usize) -> usize {
    (BLOCK_FLOATS / vocab_size).next_multiple_of(8).clamp(MIN_ROWS, 512).min(n_rows)
}

/// Sum of the losses of the tokens that had a target, and how many those were.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossSum {
    /// Negative log likelihoods in nats, summed.
    pub nats: f64,
    /// Tokens that had a target.
    pub n_tok: usize,
}

impl LossSum {
    /// The sum of some tokens' losses.
    pub fn of(loss: &[f32], targets: &[u32]) -> LossSum {
        LossSum {
            nats: loss.iter().map(|nats| *nats as f64).sum(),
            n_tok: targets.iter().filter(|target| **target != IGNORE).count(),
        }
    }

    /// Adds the tokens of `other`.
    pub fn add(&mut self, other: LossSum) {
        self.nats += other.nats;
        self.n_tok += other.n_tok;
    }
}

/// The loss of the micro-batch that `forward` just ran; leaves the gradient of the stream in the
/// lane and adds the head's weight gradients (`is_first`: overwrites the output matrix's).
///
/// Gradients are of the *sum* of losses: the step divides by the token count once.
pub fn loss_and_gradient(
    model: Model,
    batch: MicroBatch,
    is_first: bool,
    lane: &mut LaneBuffers,
) -> LossSum {
    let m = &model.layout.config;
    let (c, v, n_rows) = (m.model_dim, m.vocab_size, batch.targets.len());
    let (block, gain) = (lane.shape.head_rows, model.layout.final_norm);
    let (mut acts, grads, words) = lane.head(n_rows);

    // F12 final norm
    let gains = gain.of(model.params);
    rmsnorm_forward(acts.input.reborrow(), acts.rstd, acts.stream, gains, m.norm_eps);
    for start in (0..n_rows).step_by(block) {
        let end = (start + block).min(n_rows);
        let (targets, loss) = (&batch.targets[start..end], &mut acts.loss[start..end]);
        let input = acts.input.as_rows().slice(start * c..end * c);
        let logits = &mut acts.logits[..(end - start) * v];
        let mut dlogits = acts.dlogits.slice_mut(0..(end - start) * v);
        // F13 logits and loss
        matmul(logits, input, model.packed.forward(model.layout.head), Accum::Replace);
        cross_entropy(dlogits.reborrow(), loss, logits, targets, 1.0);
        // B13 output matrix and its input
        let dlogits = dlogits.as_rows();
        let accum = if is_first && start == 0 { Accum::Replace } else { Accum::Add };
        let shape = MatmulShape { m: end - start, n: v, k: c };
        matmul_wgrad(model.layout.head.span.of_mut(grads), dlogits, input, shape, accum, words);
        let dinput = &mut acts.dinput[start * c..end * c];
        matmul(dinput, dlogits, model.packed.head_backward(model.layout.head), Accum::Replace);
    }
    // B12 final norm
    let dgains = gain.of_mut(grads);
    let (dinput, stream, rstd) = (&*acts.dinput, acts.stream, &*acts.rstd);
    rmsnorm_backward(acts.dstream, dgains, dinput, stream, gains, rstd, Accum::Replace);
    LossSum::of(acts.loss, batch.targets)
}

/// The loss of the micro-batch that `forward` just ran, and of each token in `LaneBuffers::head`.
pub fn loss(model: Model, targets: &[u32], lane: &mut LaneBuffers) -> LossSum {
    let m = &model.layout.config;
    let (c, v, n_rows) = (m.model_dim, m.vocab_size, targets.len());
    let block = lane.shape.head_rows;
    let (mut acts, _, _) = lane.head(n_rows);
    let gains = model.layout.final_norm.of(model.params);
    rmsnorm_forward(acts.input.reborrow(), acts.rstd, acts.stream, gains, m.norm_eps);
    for start in (0..n_rows).step_by(block) {
        let end = (start + block).min(n_rows);
        let logits = &mut acts.logits[..(end - start) * v];
        let input = acts.input.as_rows().slice(start * c..end * c);
        matmul(logits, input, model.packed.forward(model.layout.head), Accum::Replace);
        cross_entropy_loss(&mut acts.loss[start..end], logits, &targets[start..end]);
    }
    LossSum::of(acts.loss, targets)
}
