//! The factored distribution of one token: log-probabilities of the classes and of their members.

use super::member_block::member_logits;
use crate::model::{FactorSlots, Model};
use kernels::accum::Accum;
use kernels::cross_entropy::log_sum_exp;
use kernels::matmul::matmul;
use kernels::{Pool, Rows};
use std::ops::Range;

/// (R, classes) ln P(class), given (R, C) inputs of the layer.
///
/// # Panics
/// If the output layer is not factored or `log_p` is not (R, classes).
pub(crate) fn class_log_probabilities(model: Model, inputs: Rows, log_p: &mut [f32]) {
    let factor = model.layout.factor.as_ref().expect("the output layer is not factored");
    let bias = factor.class_bias.of(model.params);
    log_p.chunks_exact_mut(bias.len()).for_each(|row| row.copy_from_slice(bias));
    matmul(log_p, inputs, model.packed.forward(model.layout.head), Accum::Add);
    log_p.chunks_exact_mut(bias.len()).for_each(|row| log_softmax(row, 0.0));
}

/// Logits become log-probabilities that sum to e^`total`.
pub fn log_softmax(logits: &mut [f32], total: f32) {
    let mut lse = [0.0];
    log_sum_exp(&mut lse, logits);
    let shift = total - lse[0];
    logits.iter_mut().for_each(|x| *x += shift);
}

/// The distribution of one token, of which classes are opened as they are asked for.
#[derive(Debug)]
pub struct Expansion<'a> {
    model: Model<'a>,
    /// (C) the layer's input.
    input: Rows<'a>,
    pool: &'a mut Pool,
    /// (classes) ln P(class).
    class_log_p: &'a [f32],
    /// (V) ln P(token) of the classes that were opened.
    log_p: &'a mut [f32],
    /// The ids of the classes being opened.
    ranges: &'a mut Vec<Range<usize>>,
}

/// What an [`Expansion`] writes to.
#[derive(Debug)]
pub struct ExpansionRoom<'a> {
    /// (classes) ln P(class).
    pub class_log_p: &'a mut [f32],
    /// (V) ln P(token).
    pub log_p: &'a mut [f32],
    /// Room for a range for each class, or it allocates.
    pub ranges: &'a mut Vec<Range<usize>>,
}

impl<'a> Expansion<'a> {
    /// The distribution given (C) `input`.
    ///
    /// # Panics
    /// If the output layer is not factored or a slice is not of its length.
    pub fn new(
        model: Model<'a>,
        input: Rows<'a>,
        room: ExpansionRoom<'a>,
        pool: &'a mut Pool,
    ) -> Expansion<'a> {
        let ExpansionRoom { class_log_p, log_p, ranges } = room;
        assert_eq!(log_p.len(), model.layout.config.vocab_size, "Expansion: log_p is not (V)");
        class_log_probabilities(model, input, class_log_p);
        Expansion { model, input, pool, class_log_p, log_p, ranges }
    }

    /// (classes) ln P(class).
    pub fn class_log_p(&self) -> &[f32] {
        self.class_log_p
    }

    /// The ids of `class`.
    pub fn ids(&self, class: usize) -> Range<usize> {
        let starts = &self.factor().starts;
        starts[class] as usize..starts[class + 1] as usize
    }

    /// The class of a token.
    pub fn class_of(&self, id: u32) -> usize {
        self.factor().starts.partition_point(|start| *start <= id) - 1
    }

    /// Opens some classes, each named once, shared by the pool's threads; puts them in order.
    pub fn open(&mut self, classes: &mut [u32]) {
        classes.sort_unstable();
        self.open_each(classes.len(), |i| classes[i] as usize);
    }

    /// ln P(token) of the tokens of `class`, once it was opened.
    pub fn log_p(&self, class: usize) -> &[f32] {
        &self.log_p[self.ids(class)]
    }

    /// ln P(token); its class is opened, again if it was.
    ///
    /// # Panics
    /// If the token is not below V.
    pub fn token_log_p(&mut self, token: u32) -> f32 {
        self.open(&mut [self.class_of(token) as u32]);
        self.log_p[token as usize]
    }

    /// (V) ln P(token) of every token: all classes are opened.
    pub fn into_whole(mut self) -> &'a mut [f32] {
        self.open_each(self.class_log_p.len(), |class| class);
        self.log_p
    }

    /// Opens `n` classes, which ascend.
    fn open_each(&mut self, n: usize, class: impl Fn(usize) -> usize + Sync) {
        self.ranges.clear();
        for i in 0..n {
            let ids = self.ids(class(i));
            self.ranges.push(ids);
        }
        let (model, input, class_log_p) = (self.model, self.input, self.class_log_p);
        self.pool.for_each_range([&mut *self.log_p], self.ranges, |i, [log_p]| {
            let class = class(i);
            member_logits(model, class, input, log_p);
            log_softmax(log_p, class_log_p[class]);
        });
    }

    fn factor(&self) -> &'a FactorSlots {
        self.model.layout.factor.as_ref().expect("the output layer is factored")
    }
}
