//! Sampled softmax: a full softmax trained by comparing each target with a few sampled tokens.
//!
//! A step draws K tokens with frequencies^(3/4) (Mikolov et al., "Distributed representations of
//! words and phrases", 2013, section 2.2), shared by all its rows. They estimate the sum over the
//! vocabulary that the softmax divides by: e^logit of the target, plus e^logit / (K q) of every
//! sampled token, where q is its probability; a sampled token that equals the row's target is left
//! out. This is importance sampling, and the estimate is unbiased (Bengio and Senécal, "Adaptive
//! importance sampling to accelerate training of a neural probabilistic language model", 2008;
//! shared samples: Jean et al., "On using very large target vocabulary for neural machine
//! translation", 2015, arXiv:1412.2007). The logarithm of the estimate is a little low, and so is
//! the loss of a training step. Evaluation and generation use the softmax over all tokens, and the
//! model has a plain full layer.
//!
//! The sample is a pure function of (seed, step). Only rows of tokens that are sampled, targets or
//! inputs have a gradient; all lanes add into one.

mod candidates;
mod rows;

pub use candidates::SampledTokens;

use super::full::{FullLoss, FullPredictor, token_rows};
use super::softmax::Softmax;
use super::{Around, HeadLoss, LanePass, LossSpec, OutputLayer, Predictor};
use crate::model::{
    Gradients, Lane, Matrix, MicroShape, ModelConfig, PackedMatrix, ReadBy, Span, TableBuilder,
    Weights,
};
use kernels::{Pool, Precision};
use rows::SampledRows;
use text::thousands;

/// A full softmax that is trained on a sample of the tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sampled {
    rows: Matrix,
    n_samples: usize,
}

impl Sampled {
    pub fn lay_out(config: &ModelConfig, n_samples: usize, table: &mut TableBuilder) -> Sampled {
        table.begin_shared();
        let rows = token_rows(config, table);
        Sampled { rows: table.join(&[rows], config.model_dim), n_samples }
    }

    fn softmax(&self) -> Softmax {
        Softmax { matrix: self.rows, bias: None }
    }
}

impl OutputLayer for Sampled {
    fn matrices(&self) -> Vec<PackedMatrix> {
        // A step gathers the rows that it needs.
        vec![PackedMatrix { matrix: self.rows, read_by: ReadBy::NoStep, packs_backward: false }]
    }

    fn panel_words(&self, shape: &MicroShape) -> usize {
        SampledRows::panel_words(self.rows, shape, self.n_samples)
    }

    fn knows_rows(&self, table: Span) -> Option<bool> {
        // The sample of a step is not known when its batch is read.
        (table == self.rows.span).then_some(false)
    }

    fn describe(&self, model: &ModelConfig) -> String {
        let [v, n] = [model.vocab_size, self.n_samples].map(thousands);
        format!(
            "softmax over all {v} tokens, trained on {n} of them a step: losses of steps are \
             estimates"
        )
    }

    fn loss(&self, spec: &LossSpec) -> Box<dyn HeadLoss> {
        let Some((seed, counts)) = spec.training else {
            return Box::new(FullLoss::new(self.softmax(), spec));
        };
        let (n, precision) = (self.n_samples, spec.shape.precision);
        let lane = |_| SampledRows::new(self.rows, spec.shape, n);
        Box::new(SampledLoss {
            softmax: self.softmax(),
            candidates: SampledTokens::new(counts, n, self.rows.n_in, precision, seed),
            lanes: (0..spec.n_lanes).map(lane).collect(),
        })
    }

    fn predictor(&self, _: Precision) -> Box<dyn Predictor> {
        Box::new(FullPredictor::new(self.rows))
    }
}

/// A sampled softmax's loss over lanes.
#[derive(Debug)]
struct SampledLoss {
    softmax: Softmax,
    candidates: SampledTokens,
    lanes: Vec<SampledRows>,
}

impl HeadLoss for SampledLoss {
    fn begin_step(&mut self, weights: Weights, step: u64) {
        self.candidates.draw(self.softmax.matrix.span.of(weights.params), step);
    }

    fn loss_and_gradient(
        &mut self,
        weights: Weights,
        lanes: &mut [Lane],
        _: Gradients,
        is_first: bool,
        around: Around,
        pool: &mut Pool,
    ) {
        let (candidates, table) = (&self.candidates, self.softmax.matrix.span.of(weights.params));
        around.lane_by_lane(pool, &mut self.lanes, lanes, |rows, output| {
            rows.loss_and_gradient(table, candidates, is_first, output);
        });
    }

    fn add_shared_gradient(&self, i: usize, lane: &Lane, mut shared_acc: Gradients) {
        let dmatrix_acc = shared_acc.of(self.softmax.matrix.span);
        self.lanes[i].add_target_gradient(dmatrix_acc, lane.output_input(), lane.targets());
    }

    fn end_step(&mut self, mut shared_acc: Gradients) {
        let dmatrix_acc = shared_acc.of(self.softmax.matrix.span);
        self.lanes.iter().for_each(|rows| rows.add_gradient(dmatrix_acc, &self.candidates));
    }

    fn loss(&mut self, weights: Weights, lanes: &mut [Lane], forward: &LanePass, pool: &mut Pool) {
        let softmax = self.softmax;
        pool.for_each_pair(&mut self.lanes, lanes, |i, rows, lane| {
            forward(i, lane);
            let output = lane.output();
            softmax.loss(weights, output.targets, &mut rows.whole, &output);
        });
    }

    fn losses(&self, i: usize) -> &[f32] {
        &self.lanes[i].whole.loss
    }

    fn memory(&self) -> Vec<(&'static str, usize)> {
        let lanes = self.lanes.iter().map(SampledRows::bytes).sum();
        vec![("output layer", lanes), ("candidates", self.candidates.bytes())]
    }
}
