//! Adaptive softmax: frequent tokens directly, rare ones in clusters with shorter vectors.
//!
//! The first softmax is over the most frequent tokens and the clusters. The probability of a token
//! in a cluster is P(cluster) · P(token | cluster), where the second factor is computed from an
//! input that a matrix has projected to fewer dimensions: a quarter of C for the first cluster, a
//! sixteenth for the next (Grave et al., "Efficient softmax approximation for GPUs", 2017,
//! arXiv:1609.04309). The layer has no biases. Its rows are its own, so the embeddings are never
//! tied to it.
//!
//! Few rows reach the clusters and their tables are small, so each lane works on its own rows with
//! its own gradients, unlike under a factored layer.

use super::class::{ClassGrads, ClassScratch, ClassSoftmax, ClassSort, add_to_rows};
use super::softmax::{Softmax, SoftmaxBuffers, log_softmax};
use super::{Around, Distribution, HeadLoss, LanePass, LossSpec, OutputLayer, Predictor};
use crate::model::{
    Gradients, INIT_STD, Init, Lane, LaneOutput, Matrix, MicroShape, ModelConfig, PackedMatrix,
    ReadBy, SharedProduct, TableBuilder, Weights, operand, rows_mut,
};
use kernels::{AlignedVec, Pool, Precision, Rows};
use std::sync::Arc;
use text::thousands;

/// Factor by which each cluster is narrower than the one before: the `div_value` of PyTorch's
/// `AdaptiveLogSoftmaxWithLoss`.
const NARROWING: usize = 4;

/// An adaptive softmax.
#[derive(Clone, Debug)]
pub(super) struct Adaptive {
    /// (frequent tokens + clusters, C)
    first: Softmax,
    /// (clusters + 1) first id of each cluster; the first entry is the number of tokens in no
    /// cluster.
    starts: Arc<[u32]>,
    /// From the most frequent to the rarest.
    clusters: Arc<[Cluster]>,
    vocab_size: usize,
    model_dim: usize,
}

/// Tensors of a cluster.
#[derive(Clone, Copy, Debug)]
struct Cluster {
    /// (W, C) projection of the layer's input to the cluster's narrower input.
    narrow: Matrix,
    /// (members, W) the rows of its tokens.
    rows: Matrix,
    first_id: u32,
}

impl Adaptive {
    pub fn lay_out(config: &ModelConfig, cutoffs: &[u32], table: &mut TableBuilder) -> Adaptive {
        let (c, v) = (config.model_dim, config.vocab_size);
        let n_first = config.head.n_outputs(v);
        let weight = Init::Normal(INIT_STD);
        let first = table.matrix("head.first.weight", n_first, c, weight);
        let first = Softmax { matrix: table.join(&[first], c), bias: None };
        let starts: Vec<u32> = cutoffs.iter().copied().chain([v as u32]).collect();
        let mut width = c;
        let cluster = |(i, ids): (usize, &[u32])| {
            width = (width / NARROWING).max(1);
            let n_members = (ids[1] - ids[0]) as usize;
            // Keeps the scale of the layer's input.
            let narrow = Init::Normal(1.0 / (c as f32).sqrt());
            let narrow = table.matrix(&format!("head.tail.{i}.narrow.weight"), width, c, narrow);
            let narrow = table.join(&[narrow], c);
            let rows =
                table.matrix(&format!("head.tail.{i}.rows.weight"), n_members, width, weight);
            Cluster { narrow, rows: table.join(&[rows], width), first_id: ids[0] }
        };
        let clusters = starts.windows(2).enumerate().map(cluster).collect();
        table.begin_shared();
        Adaptive { first, starts: starts.into(), clusters, vocab_size: v, model_dim: c }
    }
}

impl Cluster {
    fn softmax<'a>(&self, weights: Weights<'a>) -> ClassSoftmax<'a> {
        let Cluster { narrow, rows, first_id } = *self;
        ClassSoftmax { weights, rows, narrow: Some(narrow), bias: &[], first_id }
    }
}

impl OutputLayer for Adaptive {
    fn matrices(&self) -> Vec<PackedMatrix> {
        let of_cluster = |cluster: &Cluster| [cluster.narrow, cluster.rows];
        let others = self.clusters.iter().flat_map(of_cluster).map(|matrix| PackedMatrix {
            matrix,
            read_by: ReadBy::EveryStep,
            packs_backward: false,
        });
        [self.first.packed()].into_iter().chain(others).collect()
    }

    fn panel_words(&self, shape: &MicroShape) -> usize {
        self.first.panel_words(shape)
    }

    fn describe(&self, _: &ModelConfig) -> String {
        format!(
            "adaptive, {} frequent tokens and {} clusters of others",
            thousands(self.starts[0] as usize),
            self.clusters.len()
        )
    }

    fn loss(&self, spec: &LossSpec) -> Box<dyn HeadLoss> {
        let lane = |_| AdaptiveLane::new(self, spec);
        let lanes = (0..spec.n_lanes).map(lane).collect();
        Box::new(AdaptiveLoss { layer: self.clone(), lanes })
    }

    fn predictor(&self, precision: Precision) -> Box<dyn Predictor> {
        Box::new(AdaptivePredictor {
            first: AlignedVec::zeroed(self.first.matrix.n_out),
            narrow: AlignedVec::zeroed(self.model_dim),
            operand: AlignedVec::zeroed(self.model_dim),
            log_p: AlignedVec::zeroed(self.vocab_size),
            product: SharedProduct::default(),
            precision,
            layer: self.clone(),
        })
    }
}

/// An adaptive softmax's loss over lanes, each of which works alone.
#[derive(Debug)]
struct AdaptiveLoss {
    layer: Adaptive,
    lanes: Vec<AdaptiveLane>,
}

/// A lane's memory.
#[derive(Debug)]
struct AdaptiveLane {
    first: SoftmaxBuffers,
    sort: ClassSort,
    /// (N) losses of a cluster's rows.
    loss: AlignedVec<f32>,
    /// (N, C) gradients of their inputs, in training.
    dinput: AlignedVec<f32>,
    scratch: ClassScratch,
}

impl AdaptiveLane {
    fn new(layer: &Adaptive, spec: &LossSpec) -> AdaptiveLane {
        let (shape, c) = (spec.shape, layer.model_dim);
        let n_rows = shape.n_rows();
        let classes = layer.clusters.iter().map(|cluster| (cluster.rows, Some(cluster.narrow)));
        AdaptiveLane {
            first: SoftmaxBuffers::new(layer.first.matrix.n_out, shape),
            sort: ClassSort::new(n_rows, layer.clusters.len()),
            loss: AlignedVec::zeroed(n_rows),
            dinput: AlignedVec::zeroed(if spec.training.is_some() { n_rows * c } else { 0 }),
            scratch: ClassScratch::new(classes, c, shape.precision),
        }
    }

    fn bytes(&self) -> usize {
        let floats = self.loss.size() + self.dinput.size();
        let own = floats * size_of::<f32>() + self.sort.bytes() + self.scratch.bytes();
        own + self.first.bytes()
    }

    fn loss_and_gradient(
        &mut self,
        layer: &Adaptive,
        weights: Weights,
        is_first: bool,
        mut lane: LaneOutput,
    ) {
        let (targets, c) = (lane.targets, layer.model_dim);
        self.sort.sort(targets, &layer.starts);
        let outputs = self.sort.outputs();
        layer.first.loss_and_gradient(weights, outputs, is_first, &mut self.first, &mut lane);
        let mut grads = Gradients { start: 0, values: lane.grads };
        for (i, cluster) in layer.clusters.iter().enumerate() {
            let rows = self.sort.rows(i);
            let [rows_acc, narrow_acc] = grads.of_both([cluster.rows.span, cluster.narrow.span]);
            if is_first {
                rows_acc.fill(0.0);
                narrow_acc.fill(0.0);
            }
            let (loss, dinput) = (&mut self.loss[..rows.len()], &mut self.dinput);
            let dinput = &mut dinput[..rows.len() * c];
            let places = rows.iter().map(|row| (lane.input, *row as usize, targets[*row as usize]));
            let grads = ClassGrads { rows_acc, biases_acc: &mut [], narrow_acc };
            let softmax = cluster.softmax(weights);
            softmax.loss_and_gradient(places, loss, dinput, grads, &mut self.scratch);
            add_to_rows(rows, (loss, dinput), &mut self.first.loss, lane.dinput);
        }
    }

    fn loss(&mut self, layer: &Adaptive, weights: Weights, lane: LaneOutput) {
        let targets = lane.targets;
        self.sort.sort(targets, &layer.starts);
        layer.first.loss(weights, self.sort.outputs(), &mut self.first, &lane);
        for (i, cluster) in layer.clusters.iter().enumerate() {
            let rows = self.sort.rows(i);
            let loss = &mut self.loss[..rows.len()];
            let places = rows.iter().map(|row| (lane.input, *row as usize, targets[*row as usize]));
            cluster.softmax(weights).loss(places, loss, &mut self.scratch);
            rows.iter().zip(loss).for_each(|(row, loss)| self.first.loss[*row as usize] += *loss);
        }
    }
}

impl HeadLoss for AdaptiveLoss {
    fn loss_and_gradient(
        &mut self,
        weights: Weights,
        lanes: &mut [Lane],
        _: Gradients,
        is_first: bool,
        around: Around,
        pool: &mut Pool,
    ) {
        let AdaptiveLoss { layer, lanes: own } = self;
        around.lane_by_lane(pool, own, lanes, |own, output| {
            own.loss_and_gradient(layer, weights, is_first, output);
        });
    }

    fn loss(&mut self, weights: Weights, lanes: &mut [Lane], forward: &LanePass, pool: &mut Pool) {
        let AdaptiveLoss { layer, lanes: own } = self;
        pool.for_each_pair(own, lanes, |i, own, lane| {
            forward(i, lane);
            own.loss(layer, weights, lane.output());
        });
    }

    fn losses(&self, i: usize) -> &[f32] {
        &self.lanes[i].first.loss
    }

    fn memory(&self) -> Vec<(&'static str, usize)> {
        vec![("output layer", self.lanes.iter().map(AdaptiveLane::bytes).sum())]
    }
}

/// An adaptive softmax for one position of each text.
#[derive(Debug)]
struct AdaptivePredictor {
    layer: Adaptive,
    precision: Precision,
    /// (S, outputs) log-probabilities of the first softmax for S texts.
    first: AlignedVec<f32>,
    /// (C) a cluster's narrow input, and the same as an operand.
    narrow: AlignedVec<f32>,
    operand: AlignedVec<f32>,
    /// (V) log-probabilities of one text.
    log_p: AlignedVec<f32>,
    product: SharedProduct,
}

impl Predictor for AdaptivePredictor {
    fn prepare(&mut self, weights: Weights, inputs: Rows, pool: &mut Pool) {
        let matrix = self.layer.first.matrix;
        let n_logits = inputs.len() / matrix.n_in * matrix.n_out;
        self.first.reserve_zeroed(n_logits);
        let first = &mut self.first[..n_logits];
        self.product.run(pool, first, inputs, weights.packed.forward(matrix), false);
        first.chunks_exact_mut(matrix.n_out).for_each(|row| log_softmax(row, 0.0));
    }

    fn distribution<'a>(
        &'a mut self,
        weights: Weights<'a>,
        inputs: Rows<'a>,
        i: usize,
        pool: &'a mut Pool,
    ) -> Distribution<'a> {
        let AdaptivePredictor { layer, precision, first, narrow, operand: buffer, log_p, product } =
            self;
        let (packed, Matrix { n_out: n_first, n_in: c, .. }) = (weights.packed, layer.first.matrix);
        let input = inputs.slice(i * c..(i + 1) * c);
        let n_frequent = layer.starts[0] as usize;
        let (frequent, clusters) = first[i * n_first..(i + 1) * n_first].split_at(n_frequent);
        log_p[..n_frequent].copy_from_slice(frequent);
        let ids = layer.starts.windows(2).map(|ids| ids[0] as usize..ids[1] as usize);
        for ((cluster, ids), total) in layer.clusters.iter().zip(ids).zip(clusters) {
            let narrow = &mut narrow[..cluster.narrow.n_out];
            product.run(pool, narrow, input, packed.forward(cluster.narrow), false);
            let x = operand(narrow, rows_mut(buffer, layer.model_dim, *precision));
            let log_p = &mut log_p[ids];
            product.run(pool, log_p, x, packed.forward(cluster.rows), false);
            log_softmax(log_p, *total);
        }
        Distribution::Whole(log_p)
    }

    fn bytes(&self) -> usize {
        let buffers = [&self.first, &self.narrow, &self.operand, &self.log_p];
        buffers.into_iter().map(|buffer| buffer.size()).sum::<usize>() * size_of::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::HeadConfig;
    use crate::model::Layout;

    #[test]
    fn clusters_narrow_by_four() {
        let head = HeadConfig::Adaptive { cutoffs: vec![10, 30, 90] };
        let mut config = ModelConfig { head, ..ModelConfig::new(97, 48, 1, 4) };
        assert_eq!(Layout::new(&config).unwrap_err().field, "tie_embeddings");
        config.tie_embeddings = false;
        let layout = Layout::new(&config).unwrap();
        let matrices = layout.head.matrices().into_iter().map(|m| (m.matrix.n_out, m.matrix.n_in));
        let expected = [(13, 48), (12, 48), (20, 12), (3, 48), (60, 3), (1, 48), (7, 1)];
        assert_eq!(matrices.collect::<Vec<_>>(), expected);
        assert_eq!(layout.lane_len, layout.inputs.embed.start);
    }
}
