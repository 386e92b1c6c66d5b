//! The factored distribution of one token: log-probabilities of the classes and of their members.

use crate::model::Model;
use kernels::Rows;
use kernels::accum::Accum;
use kernels::cross_entropy::cross_entropy_loss;
use kernels::matmul::matmul;

/// ln P(class) for every class, given (C) the layer's input.
///
/// # Panics
/// If the output layer is not factored or `log_p` has not a place for each class.
pub fn class_log_probabilities(model: Model, input: Rows, log_p: &mut [f32]) {
    let factor = model.layout.factor.as_ref().expect("the output layer is not factored");
    log_p.copy_from_slice(factor.class_bias.of(model.params));
    matmul(log_p, input, model.packed.forward(model.layout.head), Accum::Add);
    log_softmax(log_p, 0.0);
}

/// ln P(token) for every token of `class`, given the layer's input and ln P(class).
///
/// # Panics
/// If the output layer is not factored or `log_p` has not a place for each token of the class.
pub fn member_log_probabilities(
    model: Model,
    class: usize,
    input: Rows,
    class_log_p: f32,
    log_p: &mut [f32],
) {
    let factor = model.layout.factor.as_ref().expect("the output layer is not factored");
    let ids = factor.starts[class] as usize..factor.starts[class + 1] as usize;
    log_p.copy_from_slice(&factor.member_bias.of(model.params)[ids]);
    matmul(log_p, input, model.packed.forward(factor.members[class]), Accum::Add);
    log_softmax(log_p, class_log_p);
}

/// Logits become log-probabilities that sum to e^`total`.
fn log_softmax(logits: &mut [f32], total: f32) {
    // The loss of any target is the logarithm of the sum of exponentials, less the target's logit.
    let mut loss = [0.0];
    cross_entropy_loss(&mut loss, logits, &[0]);
    let shift = total - (loss[0] + logits[0]);
    logits.iter_mut().for_each(|x| *x += shift);
}
