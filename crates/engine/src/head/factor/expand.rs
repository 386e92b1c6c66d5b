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
pub fn log_softmax(logits: &mut [f32], total: f32) {
    // The loss of any target is the logarithm of the sum of exponentials, less the target's logit.
    let mut loss = [0.0];
    cross_entropy_loss(&mut loss, logits, &[0]);
    let shift = total - (loss[0] + logits[0]);
    logits.iter_mut().for_each(|x| *x += shift);
}

/// The distribution of one token, of which classes are opened as they are asked for.
#[derive(Debug)]
pub struct Expansion<'a> {
    model: Model<'a>,
    /// (C) the layer's input.
    input: Rows<'a>,
    /// (classes) ln P(class).
    class_log_p: &'a [f32],
    /// (V) ln P(token) of the classes that were opened.
    log_p: &'a mut [f32],
}

impl<'a> Expansion<'a> {
    /// The distribution given (C) `input`; `class_log_p` (classes) is written here, `log_p` (V) as
    /// classes are opened.
    ///
    /// # Panics
    /// If the output layer is not factored or a slice is not of its length.
    pub fn new(
        model: Model<'a>,
        input: Rows<'a>,
        class_log_p: &'a mut [f32],
        log_p: &'a mut [f32],
    ) -> Expansion<'a> {
        assert_eq!(log_p.len(), model.layout.config.vocab_size, "Expansion: log_p is not (V)");
        class_log_probabilities(model, input, class_log_p);
        Expansion { model, input, class_log_p, log_p }
    }

    /// (classes) ln P(class).
    pub fn class_log_p(&self) -> &[f32] {
        self.class_log_p
    }

    /// The ids of `class`.
    pub fn ids(&self, class: usize) -> std::ops::Range<usize> {
        let factor = self.model.layout.factor.as_ref().expect("the output layer is factored");
        factor.starts[class] as usize..factor.starts[class + 1] as usize
    }

    /// ln P(token) of the tokens of `class`.
    pub fn open(&mut self, class: usize) -> &[f32] {
        let ids = self.ids(class);
        let log_p = &mut self.log_p[ids];
        member_log_probabilities(self.model, class, self.input, self.class_log_p[class], log_p);
        log_p
    }
}
