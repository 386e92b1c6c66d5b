//! The full softmax: V dot products a token.

use super::LossSum;
use super::softmax;
use crate::model::{LaneBuffers, MicroBatch, Model};

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
    let n_rows = batch.targets.len();
    softmax::input(model, n_rows, lane);
    softmax::loss_and_gradient(model, batch.targets, is_first, lane);
    softmax::input_backward(model, n_rows, lane);
    let (acts, _, _) = lane.head(n_rows);
    LossSum::of(acts.loss, batch.targets)
}

/// The loss of the micro-batch that `forward` just ran, and of each token in `LaneBuffers::head`.
pub fn loss(model: Model, targets: &[u32], lane: &mut LaneBuffers) -> LossSum {
    softmax::input(model, targets.len(), lane);
    softmax::loss(model, targets, lane);
    let (acts, _, _) = lane.head(targets.len());
    LossSum::of(acts.loss, targets)
}
