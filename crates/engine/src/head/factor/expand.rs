//! Expansion of a factored distribution: its classes are opened on demand.

use super::Factored;
use crate::head::softmax::log_softmax;
use crate::head::{Distribution, Predictor};
use crate::model::{Matrix, Weights};
use kernels::matmul::matmul;
use kernels::{AlignedVec, Pool, Rows};
use std::ops::Range;

/// (R, classes) ln P(class), given (R, C) inputs of the layer.
pub(super) fn class_log_probabilities(
    layer: &Factored,
    weights: Weights,
    inputs: Rows,
    log_p: &mut [f32],
) {
    let begun = layer.classes.begin_with_bias(weights.params, log_p);
    matmul(log_p, inputs, weights.packed.forward(layer.classes.matrix), begun);
    log_p.chunks_exact_mut(layer.n_classes()).for_each(|row| log_softmax(row, 0.0));
}

/// A factored layer for one position of each text.
#[derive(Debug)]
pub(super) struct FactoredPredictor {
    layer: Factored,
    /// (S, classes) ln P(class) of S texts.
    class_log_p: AlignedVec<f32>,
    /// (V) ln P(token), valid for opened classes.
    log_p: AlignedVec<f32>,
    /// Id ranges of the classes being opened.
    ranges: Vec<Range<usize>>,
}

impl FactoredPredictor {
    pub fn new(layer: Factored) -> FactoredPredictor {
        let (n_classes, v) = (layer.n_classes(), layer.member_bias.len());
        FactoredPredictor {
            class_log_p: AlignedVec::zeroed(n_classes),
            log_p: AlignedVec::zeroed(v),
            ranges: Vec::with_capacity(n_classes),
            layer,
        }
    }
}

impl Predictor for FactoredPredictor {
    fn prepare(&mut self, weights: Weights, inputs: Rows, _: &mut Pool) {
        let matrix = self.layer.classes.matrix;
        let n_logits = inputs.len() / matrix.n_in * matrix.n_out;
        self.class_log_p.reserve_zeroed(n_logits);
        let class_log_p = &mut self.class_log_p[..n_logits];
        class_log_probabilities(&self.layer, weights, inputs, class_log_p);
    }

    fn distribution<'a>(
        &'a mut self,
        weights: Weights<'a>,
        inputs: Rows<'a>,
        i: usize,
        pool: &'a mut Pool,
    ) -> Distribution<'a> {
        let FactoredPredictor { layer, class_log_p, log_p, ranges } = self;
        let Matrix { n_out: n_classes, n_in: c, .. } = layer.classes.matrix;
        let class_log_p = &class_log_p[i * n_classes..(i + 1) * n_classes];
        let input = inputs.slice(i * c..(i + 1) * c);
        Distribution::ByClass(Expansion { layer, weights, input, pool, class_log_p, log_p, ranges })
    }

    fn bytes(&self) -> usize {
        (self.class_log_p.size() + self.log_p.size()) * size_of::<f32>()
    }
}

/// Distribution of one next token, with classes opened on demand.
#[derive(Debug)]
pub struct Expansion<'a> {
    layer: &'a Factored,
    weights: Weights<'a>,
    /// (C) the layer's input.
    input: Rows<'a>,
    pool: &'a mut Pool,
    class_log_p: &'a [f32],
    log_p: &'a mut [f32],
    ranges: &'a mut Vec<Range<usize>>,
}

impl<'a> Expansion<'a> {
    /// (classes) ln P(class).
    pub fn class_log_p(&self) -> &[f32] {
        self.class_log_p
    }

    /// The ids of `class`.
    pub fn ids(&self, class: usize) -> Range<usize> {
        self.layer.ids(class)
    }

    /// The class of a token.
    pub fn class_of(&self, id: u32) -> usize {
        self.layer.class_of(id)
    }

    /// Opens the given classes, each named once, on the pool's threads; sorts `classes`.
    pub fn open(&mut self, classes: &mut [u32]) {
        classes.sort_unstable();
        self.open_each(classes.len(), |i| classes[i] as usize);
    }

    /// ln P(token) of the tokens of `class`, which must be open.
    pub fn log_p(&self, class: usize) -> &[f32] {
        &self.log_p[self.ids(class)]
    }

    /// ln P(token); opens its class, even if it is open already.
    ///
    /// # Panics
    /// If the token is not below V.
    pub fn token_log_p(&mut self, token: u32) -> f32 {
        self.open(&mut [self.class_of(token) as u32]);
        self.log_p[token as usize]
    }

    /// (V) ln P(token) of every token; opens all classes.
    pub fn into_whole(mut self) -> &'a mut [f32] {
        self.open_each(self.class_log_p.len(), |class| class);
        self.log_p
    }

    /// Opens `n` classes, given in ascending order.
    fn open_each(&mut self, n: usize, class: impl Fn(usize) -> usize + Sync) {
        self.ranges.clear();
        self.ranges.extend((0..n).map(|i| self.layer.ids(class(i))));
        let (layer, weights, input) = (self.layer, self.weights, self.input);
        let class_log_p = self.class_log_p;
        self.pool.for_each_range([&mut *self.log_p], self.ranges, |i, [log_p]| {
            let class = class(i);
            layer.member_logits(weights, class, input, log_p);
            log_softmax(log_p, class_log_p[class]);
        });
    }
}
