//! New output layer: a full softmax with a bias for each token, from its tensors to its training.
//!
//! ```sh
//! cargo run --release -p crystalline-engine --example new_output_layer
//! ```
//!
//! A layer has three parts. [`OutputLayer`] lays out tensors, [`HeadLoss`] works on the micro-batches
//! of all lanes, [`Predictor`] on one position of each text. For brevity this one keeps all logits of a
//! micro-batch in memory and works in f32.

use engine::head::{Around, Distribution, HeadLoss, LanePass, LossSpec, OutputLayer, Predictor};
use engine::model::{
    Gradients, Init, InputLayer, Lane, Layout, Matrix, MicroShape, ModelConfig, PackedMatrix,
    ReadBy, Span, TableBuilder, Weights, init_params,
};
use engine::train::{
    AdamW, AdamWOptions, LanesSpec, SequenceSource, StepPlan, Trainer, TrainerSpec,
};
use kernels::accum::Accum;
use kernels::cross_entropy::{cross_entropy, cross_entropy_loss};
use kernels::matmul::{MatmulShape, matmul, matmul_wgrad, wgrad_scratch_len};
use kernels::reduce::add_rows;
use kernels::{AlignedVec, Pool, Precision, Rows, RowsMut};
use std::sync::Arc;

/// Where the layer's tensors lie.
#[derive(Clone, Copy, Debug)]
struct Biased {
    /// (V, C)
    matrix: Matrix,
    /// (V)
    bias: Span,
}

impl Biased {
    fn lay_out(config: &ModelConfig, table: &mut TableBuilder) -> Arc<dyn OutputLayer> {
        let (v, c) = (config.vocab_size, config.model_dim);
        let rows = table.matrix("lm_head.weight", v, c, Init::Normal(0.02));
        let bias = table.bias("lm_head.bias", v);
        Arc::new(Biased { matrix: table.join(&[rows], c), bias })
    }

    /// (N, V) logits of the rows of `input`.
    fn logits(&self, weights: Weights, input: Rows, logits: &mut [f32]) {
        let bias = self.bias.of(weights.params);
        logits.chunks_exact_mut(bias.len()).for_each(|row| row.copy_from_slice(bias));
        matmul(logits, input, weights.packed.forward(self.matrix), Accum::Add);
    }
}

impl OutputLayer for Biased {
    fn matrices(&self) -> Vec<PackedMatrix> {
        let matrix = self.matrix;
        vec![PackedMatrix { matrix, read_by: ReadBy::EveryStep, packs_backward: true }]
    }

    fn panel_words(&self, shape: &MicroShape) -> usize {
        let Matrix { n_out: n, n_in: k, .. } = self.matrix;
        wgrad_scratch_len(MatmulShape { m: shape.n_rows(), n, k }, shape.precision)
    }

    /// A fresh model predicts the tokens' frequencies.
    fn init(&self, params: &mut [f32], counts: &[u64]) {
        let total: u64 = counts.iter().map(|count| count + 1).sum();
        for (bias, count) in self.bias.of_mut(params).iter_mut().zip(counts) {
            *bias = ((*count as f64 + 1.0) / total as f64).ln() as f32;
        }
    }

    fn describe(&self, _: &ModelConfig) -> String {
        "softmax with a bias for each token".to_string()
    }

    fn loss(&self, spec: &LossSpec) -> Box<dyn HeadLoss> {
        let n = spec.shape.n_rows();
        let lane = |_| BiasedLane {
            logits: AlignedVec::zeroed(n * self.matrix.n_out),
            dlogits: AlignedVec::zeroed(n * self.matrix.n_out),
            loss: AlignedVec::zeroed(n),
        };
        Box::new(BiasedLoss { layer: *self, lanes: (0..spec.n_lanes).map(lane).collect() })
    }

    fn predictor(&self, _: Precision) -> Box<dyn Predictor> {
        let logits = AlignedVec::zeroed(self.matrix.n_out);
        Box::new(BiasedPredictor { layer: *self, logits })
    }
}

/// Loss of the layer over lanes.
#[derive(Debug)]
struct BiasedLoss {
    layer: Biased,
    lanes: Vec<BiasedLane>,
}

/// A lane's memory.
#[derive(Debug)]
struct BiasedLane {
    /// (N, V)
    logits: AlignedVec<f32>,
    dlogits: AlignedVec<f32>,
    /// (N)
    loss: AlignedVec<f32>,
}

impl HeadLoss for BiasedLoss {
    fn loss_and_gradient(
        &mut self,
        weights: Weights,
        lanes: &mut [Lane],
        _: Gradients,
        is_first: bool,
        around: Around,
        pool: &mut Pool,
    ) {
        let Biased { matrix, bias } = self.layer;
        let layer = self.layer;
        around.lane_by_lane(pool, &mut self.lanes, lanes, |own, output| {
            let n = output.targets.len();
            let logits = &mut own.logits[..n * matrix.n_out];
            let dlogits = &mut own.dlogits[..n * matrix.n_out];
            layer.logits(weights, output.input, logits);
            cross_entropy(RowsMut::F32(dlogits), &mut own.loss[..n], logits, output.targets, 1.0);
            let dlogits = Rows::F32(dlogits);
            add_rows(bias.of_mut(output.grads), dlogits);
            let accum = if is_first { Accum::Replace } else { Accum::Add };
            let shape = MatmulShape { m: n, n: matrix.n_out, k: matrix.n_in };
            let dmatrix = matrix.span.of_mut(output.grads);
            matmul_wgrad(dmatrix, dlogits, output.input, shape, accum, output.panels);
            matmul(output.dinput, dlogits, weights.packed.backward(matrix), Accum::Replace);
        });
    }

    fn loss(&mut self, weights: Weights, lanes: &mut [Lane], forward: &LanePass, pool: &mut Pool) {
        let (layer, v) = (self.layer, self.layer.matrix.n_out);
        pool.for_each_pair(&mut self.lanes, lanes, |i, own, lane| {
            forward(i, lane);
            let output = lane.output();
            let n = output.targets.len();
            layer.logits(weights, output.input, &mut own.logits[..n * v]);
            cross_entropy_loss(&mut own.loss[..n], &own.logits[..n * v], output.targets);
        });
    }

    fn losses(&self, i: usize) -> &[f32] {
        &self.lanes[i].loss
    }

    fn memory(&self) -> Vec<(&'static str, usize)> {
        let of = |lane: &BiasedLane| lane.logits.len() + lane.dlogits.len() + lane.loss.len();
        vec![("output layer", self.lanes.iter().map(of).sum::<usize>() * size_of::<f32>())]
    }
}

/// The layer at work on one position of each text.
#[derive(Debug)]
struct BiasedPredictor {
    layer: Biased,
    /// (S, V) logits of S texts.
    logits: AlignedVec<f32>,
}

impl Predictor for BiasedPredictor {
    fn prepare(&mut self, weights: Weights, inputs: Rows, _: &mut Pool) {
        let Matrix { n_out: v, n_in: c, .. } = self.layer.matrix;
        let n_logits = inputs.len() / c * v;
        self.logits.reserve_zeroed(n_logits);
        self.layer.logits(weights, inputs, &mut self.logits[..n_logits]);
    }

    fn distribution<'a>(
        &'a mut self,
        _: Weights<'a>,
        _: Rows<'a>,
        i: usize,
        _: &'a mut Pool,
    ) -> Distribution<'a> {
        let v = self.layer.matrix.n_out;
        Distribution::Whole(&self.logits[i * v..(i + 1) * v])
    }

    fn bytes(&self) -> usize {
        self.logits.len() * size_of::<f32>()
    }
}

/// Text in which token x is followed by 3x + 1, modulo the vocabulary.
struct Cycle(u32);

impl SequenceSource for Cycle {
    fn fill(&self, step: u64, index: usize, tokens: &mut [u32], targets: &mut [u32]) {
        let mut token = (step as u32 * 31 + index as u32 * 7) % self.0;
        for (t, target) in tokens.iter_mut().zip(targets) {
            *t = token;
            token = (3 * token + 1) % self.0;
            *target = token;
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = ModelConfig { seq_len: 16, ..ModelConfig::new(50, 32, 2, 2) };
    let layout = Layout::with_head(&config, false, |table| Biased::lay_out(&config, table))?;
    let mut params = init_params(&layout, 1);
    layout.head.init(&mut params, &[1; 50]);
    let mut trainer = Trainer::new(TrainerSpec {
        params,
        inputs: InputLayer::new(&layout, None, None),
        optimizer: Box::new(AdamW::new(&layout, AdamWOptions::default())),
        lanes: LanesSpec {
            shape: MicroShape::new(&config, 16, 4, Precision::F32),
            n_lanes: 2,
            batch_seqs: 8,
            threads: 2,
            seed: 1,
            token_counts: &[],
        },
        layout,
    });
    let before = trainer.evaluate(&Cycle(50), 8);
    for step in 0..60 {
        let plan = StepPlan { step, lr: 1e-2, grad_norm_max: 1.0, dropout: 0.0, seed: 1 };
        trainer.step(&Cycle(50), &plan)?;
    }
    let after = trainer.evaluate(&Cycle(50), 8);
    let [before, after] = [before, after].map(|sum| sum.nats / sum.n_tok as f64);
    println!("a softmax with biases: loss {before:.3} before, {after:.3} after 60 steps");
    assert!(after < 0.5 * before, "the loss did not fall");
    Ok(())
}
