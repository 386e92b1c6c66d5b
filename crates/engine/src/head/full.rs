//! Full softmax over the whole vocabulary: V dot products per position.

use super::softmax::{Softmax, SoftmaxBuffers};
use super::{Around, Distribution, HeadLoss, LanePass, LossSpec, OutputLayer, Predictor};
use crate::model::{
    Gradients, INIT_STD, Init, Lane, Matrix, MicroShape, ModelConfig, PackedMatrix, SharedProduct,
    Span, TableBuilder, Weights,
};
use kernels::{AlignedVec, Pool, Precision, Rows};
use text::thousands;

/// A full softmax.
#[derive(Clone, Copy, Debug)]
pub(super) struct Full {
    softmax: Softmax,
}

impl Full {
    pub fn lay_out(config: &ModelConfig, table: &mut TableBuilder) -> Full {
        let rows = token_rows(config, table);
        let matrix = table.join(&[rows], config.model_dim);
        Full { softmax: Softmax { matrix, bias: None } }
    }
}

/// (V, C) rows of all tokens: the embeddings if tied, else a table of their own.
pub(super) fn token_rows(config: &ModelConfig, table: &mut TableBuilder) -> Span {
    let (v, c) = (config.vocab_size, config.model_dim);
    let embed = table.embedding();
    if config.tie_embeddings {
        embed
    } else {
        table.matrix("lm_head.weight", v, c, Init::Normal(INIT_STD))
    }
}

impl OutputLayer for Full {
    fn matrices(&self) -> Vec<PackedMatrix> {
        vec![self.softmax.packed()]
    }

    fn panel_words(&self, shape: &MicroShape) -> usize {
        self.softmax.panel_words(shape)
    }

    fn describe(&self, model: &ModelConfig) -> String {
        let (v, share) = (thousands(model.vocab_size), 100.0 * model.full_head_share());
        format!("softmax over all {v} tokens, {share:.0} % of the arithmetic")
    }

    fn loss(&self, spec: &LossSpec) -> Box<dyn HeadLoss> {
        Box::new(FullLoss::new(self.softmax, spec))
    }

    fn predictor(&self, _: Precision) -> Box<dyn Predictor> {
        Box::new(FullPredictor::new(self.softmax.matrix))
    }
}

/// A full softmax's loss over lanes, each of which works alone.
#[derive(Debug)]
pub(super) struct FullLoss {
    softmax: Softmax,
    pub lanes: Vec<SoftmaxBuffers>,
}

impl FullLoss {
    pub fn new(softmax: Softmax, spec: &LossSpec) -> FullLoss {
        let lane = || SoftmaxBuffers::new(softmax.matrix.n_out, spec.shape);
        FullLoss { softmax, lanes: (0..spec.n_lanes).map(|_| lane()).collect() }
    }
}

impl HeadLoss for FullLoss {
    fn loss_and_gradient(
        &mut self,
        weights: Weights,
        lanes: &mut [Lane],
        _: Gradients,
        is_first: bool,
        around: Around,
        pool: &mut Pool,
    ) {
        let softmax = self.softmax;
        around.lane_by_lane(pool, &mut self.lanes, lanes, |buffers, mut output| {
            let targets = output.targets;
            softmax.loss_and_gradient(weights, targets, is_first, buffers, &mut output);
        });
    }

    fn loss(&mut self, weights: Weights, lanes: &mut [Lane], forward: &LanePass, pool: &mut Pool) {
        let softmax = self.softmax;
        pool.for_each_pair(&mut self.lanes, lanes, |i, buffers, lane| {
            forward(i, lane);
            let output = lane.output();
            softmax.loss(weights, output.targets, buffers, &output);
        });
    }

    fn losses(&self, i: usize) -> &[f32] {
        &self.lanes[i].loss
    }

    fn memory(&self) -> Vec<(&'static str, usize)> {
        vec![("output layer", self.lanes.iter().map(SoftmaxBuffers::bytes).sum())]
    }
}

/// A full softmax for one position of each text.
#[derive(Debug)]
pub(super) struct FullPredictor {
    matrix: Matrix,
    /// (S, V) logits of S texts.
    logits: AlignedVec<f32>,
    product: SharedProduct,
}

impl FullPredictor {
    pub fn new(matrix: Matrix) -> FullPredictor {
        let logits = AlignedVec::zeroed(matrix.n_out);
        FullPredictor { matrix, logits, product: SharedProduct::default() }
    }
}

impl Predictor for FullPredictor {
    fn prepare(&mut self, weights: Weights, inputs: Rows, pool: &mut Pool) {
        let n_logits = inputs.len() / self.matrix.n_in * self.matrix.n_out;
        self.logits.reserve_zeroed(n_logits);
        let logits = &mut self.logits[..n_logits];
        self.product.run(pool, logits, inputs, weights.packed.forward(self.matrix), false);
    }

    fn distribution<'a>(
        &'a mut self,
        _: Weights<'a>,
        _: Rows<'a>,
        i: usize,
        _: &'a mut Pool,
    ) -> Distribution<'a> {
        let v = self.matrix.n_out;
        Distribution::Whole(&self.logits[i * v..(i + 1) * v])
    }

    fn bytes(&self) -> usize {
        self.logits.size() * size_of::<f32>()
    }
}
