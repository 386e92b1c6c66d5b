//! Factored output layer: P(token) = P(class) · P(token | class), exactly normalised.
//!
//! Two softmaxes replace one: over the classes, and over the tokens of the target's class. With C
//! classes of V/C tokens a position costs C + V/C dot products instead of V (Goodman, "Classes for
//! fast maximum entropy training", 2001). The batch's rows are sorted by the class of their
//! targets, so that each class is one small product (`loss`).
//!
//! The rows of all lanes are sorted together: each class is processed once, by one thread, and the
//! token tables have a single gradient. No result depends on which thread did what.

mod expand;
mod loss;
mod members;
pub(crate) mod plain_fit;

pub use expand::Expansion;
pub use plain_fit::{FitBatch, PlainFit};

use super::class::ClassSoftmax;
use super::full::token_rows;
use super::softmax::Softmax;
use super::{HeadLoss, LossSpec, OutputLayer, Predictor};
use crate::model::{
    INIT_STD, Init, Matrix, MicroShape, ModelConfig, PackedMatrix, ReadBy, Span, TableBuilder,
    Weights,
};
use kernels::{Precision, Rows};
use std::ops::Range;
use std::sync::Arc;
use text::thousands;

/// A factored output layer.
#[derive(Clone, Debug)]
pub struct Factored {
    /// (classes, C) and (classes) biases.
    classes: Softmax,
    class_bias: Span,
    /// (V, C) rows of all tokens: the embedding table if they are tied.
    pub(super) rows: Span,
    /// By class: its part of the rows.
    members: Arc<[Matrix]>,
    /// (V) biases of tokens within their classes.
    pub(super) member_bias: Span,
    /// (classes + 1) first id of each class.
    starts: Arc<[u32]>,
}

impl Factored {
    pub(super) fn lay_out(
        config: &ModelConfig,
        starts: &[u32],
        table: &mut TableBuilder,
    ) -> Factored {
        let (v, c, n_classes) = (config.vocab_size, config.model_dim, starts.len() - 1);
        let class = table.matrix("head.class.weight", n_classes, c, Init::Normal(INIT_STD));
        let matrix = table.join(&[class], c);
        let class_bias = table.bias("head.class.bias", n_classes);
        table.begin_shared();
        let rows = token_rows(config, table);
        let member_bias = table.bias("head.member.bias", v);
        let first = |id: u32| rows.start + id as usize * c;
        let spans = starts.windows(2).map(|ids| Span { start: first(ids[0]), end: first(ids[1]) });
        Factored {
            classes: Softmax { matrix, bias: Some(class_bias) },
            class_bias,
            rows,
            members: spans.map(|span| table.join(&[span], c)).collect(),
            member_bias,
            starts: starts.into(),
        }
    }

    /// Number of classes.
    pub fn n_classes(&self) -> usize {
        self.members.len()
    }

    /// The ids of `class`.
    pub fn ids(&self, class: usize) -> Range<usize> {
        self.starts[class] as usize..self.starts[class + 1] as usize
    }

    /// The class of a token.
    pub fn class_of(&self, id: u32) -> usize {
        self.starts.partition_point(|start| *start <= id) - 1
    }

    /// (classes, C) rows of classes, and (classes) their biases.
    pub fn class_weights<'a>(&self, params: &'a [f32]) -> (&'a [f32], &'a [f32]) {
        (self.classes.matrix.span.of(params), self.class_bias.of(params))
    }

    /// (V, C) rows of tokens, and (V) their biases.
    pub fn member_weights<'a>(&self, params: &'a [f32]) -> (&'a [f32], &'a [f32]) {
        (self.rows.of(params), self.member_bias.of(params))
    }

    /// The softmax over the tokens of `class`.
    pub(super) fn class<'a>(&self, weights: Weights<'a>, class: usize) -> ClassSoftmax<'a> {
        ClassSoftmax {
            weights,
            rows: self.members[class],
            narrow: None,
            bias: &self.member_bias.of(weights.params)[self.ids(class)],
            first_id: self.starts[class],
        }
    }
}

impl OutputLayer for Factored {
    fn matrices(&self) -> Vec<PackedMatrix> {
        let members = self.members.iter().enumerate().map(|(class, matrix)| PackedMatrix {
            matrix: *matrix,
            read_by: ReadBy::StepsThatUse(class),
            packs_backward: false,
        });
        [self.classes.packed()].into_iter().chain(members).collect()
    }

    fn panel_words(&self, shape: &MicroShape) -> usize {
        self.classes.panel_words(shape)
    }

    fn knows_rows(&self, table: Span) -> Option<bool> {
        (table == self.rows || table == self.member_bias).then_some(true)
    }

    fn plain_fit<'a>(
        &'a self,
        weights: Weights<'a>,
        n_most: usize,
        threads: usize,
    ) -> Option<PlainFit<'a>> {
        Some(PlainFit::new(self, weights, n_most, threads))
    }

    /// Sets biases so that a fresh model predicts the tokens' frequencies.
    fn init(&self, params: &mut [f32], counts: &[u64]) {
        // Adds one, so that an unseen token is unlikely but possible.
        let seen = |ids: Range<usize>| -> f64 {
            counts[ids].iter().map(|count| *count as f64 + 1.0).sum()
        };
        let total = seen(0..counts.len());
        for class in 0..self.n_classes() {
            let ids = self.ids(class);
            let mass = seen(ids.clone());
            self.class_bias.of_mut(params)[class] = (mass / total).ln() as f32;
            for id in ids {
                self.member_bias.of_mut(params)[id] = (seen(id..id + 1) / mass).ln() as f32;
            }
        }
    }

    fn describe(&self, model: &ModelConfig) -> String {
        let n_classes = self.n_classes();
        format!(
            "factored, {} classes: about {:.1} times as fast as a full softmax",
            thousands(n_classes),
            model.factored_gain(n_classes)
        )
    }

    fn loss(&self, spec: &LossSpec) -> Box<dyn HeadLoss> {
        Box::new(loss::FactoredLoss::new(self.clone(), spec))
    }

    fn predictor(&self, _: Precision) -> Box<dyn Predictor> {
        Box::new(expand::FactoredPredictor::new(self.clone()))
    }
}

/// Access for fits that learn from a factored layer.
impl Factored {
    /// (R, classes) ln P(class) of (R, C) inputs of the layer.
    ///
    /// # Panics
    /// If `log_p` is not (R, classes).
    pub fn class_log_probabilities(&self, weights: Weights, inputs: Rows, log_p: &mut [f32]) {
        expand::class_log_probabilities(self, weights, inputs, log_p);
    }

    /// (R, members) logits of the tokens of `class`, for (R, C) inputs of the layer.
    ///
    /// # Panics
    /// If `logits` is not (R, members).
    pub fn member_logits(&self, weights: Weights, class: usize, inputs: Rows, logits: &mut [f32]) {
        self.class(weights, class).logits(logits, inputs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::HeadConfig;
    use crate::model::Layout;

    #[test]
    fn biases_are_the_logarithms_of_frequencies() {
        let head = HeadConfig::Factor { class_starts: vec![0, 2, 5] };
        let layout = Layout::new(&ModelConfig { head, ..ModelConfig::new(5, 8, 1, 2) }).unwrap();
        let mut params = vec![0.0; layout.len];
        layout.head.init(&mut params, &[7, 1, 4, 0, 3]);
        let bias = |name: &str| {
            let tensor = layout.tensors.iter().find(|t| t.name == name).unwrap();
            tensor.span.of(&params)
        };
        let (class, member) = (bias("head.class.bias"), bias("head.member.bias"));
        for (id, expected) in [8.0, 2.0, 5.0, 1.0, 4.0f64].into_iter().enumerate() {
            let found = (class[usize::from(id >= 2)] + member[id]).exp() as f64;
            assert!((found - expected / 20.0).abs() < 1e-6, "{id}: {found}");
        }
    }
}
