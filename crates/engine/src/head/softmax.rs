//! Softmax of the first level, in row blocks: the full (N, outputs) logits are never materialised.
//!
//! Every position goes through it. Its outputs are the tokens, or the classes of a factored layer
//! with a bias each, or an adaptive layer's frequent tokens and clusters. The loss is a sum over
//! positions, so the gradient of a block of logits is known as soon as the block is: forward and
//! backward are one loop, and nothing is computed twice.

use crate::model::{LaneOutput, Matrix, MicroShape, PackedMatrix, ReadBy, Span, Weights, rows_mut};
use kernels::accum::Accum;
use kernels::cross_entropy::{cross_entropy, cross_entropy_loss};
use kernels::matmul::{MatmulShape, matmul, matmul_wgrad, wgrad_scratch_len};
use kernels::reduce::add_rows;
use kernels::{AlignedVec, Precision};

/// Floats of a block of logits: small enough to stay in the last-level cache with the weights.
const BLOCK_FLOATS: usize = 1 << 21;

/// Fewest rows of a block. Every block reads and writes the whole gradient of the output matrix,
/// which with 64 rows costs an eighth of a step's time at a vocabulary of 33,278 (docs/log.md).
const MIN_ROWS: usize = 128;

/// Rows of a block of logits with `n_outputs` outputs.
pub fn block_rows(n_outputs: usize, n_rows: usize) -> usize {
    (BLOCK_FLOATS / n_outputs).next_multiple_of(8).clamp(MIN_ROWS, 512).min(n_rows)
}

/// Weights of the softmax.
#[derive(Clone, Copy, Debug)]
pub(super) struct Softmax {
    /// (outputs, C)
    pub matrix: Matrix,
    /// (outputs), if the layer has biases.
    pub bias: Option<Span>,
}

/// Buffers of a lane.
#[derive(Debug)]
pub(super) struct SoftmaxBuffers {
    pub precision: Precision,
    /// Rows of a block, R.
    pub block_rows: usize,
    /// (R, outputs) a block of logits, and its gradient as an operand.
    pub logits: AlignedVec<f32>,
    pub dlogits: AlignedVec<f32>,
    /// (N) losses in nats.
    pub loss: AlignedVec<f32>,
}

impl SoftmaxBuffers {
    /// Rows of a block of logits in lanes of this shape.
    pub fn block_rows(n_outputs: usize, shape: &MicroShape) -> usize {
        block_rows(n_outputs, shape.n_rows()).min(shape.logit_rows_max)
    }

    /// Buffers for `n_outputs` outputs and lanes of this shape.
    pub fn new(n_outputs: usize, shape: &MicroShape) -> SoftmaxBuffers {
        let block_rows = SoftmaxBuffers::block_rows(n_outputs, shape);
        let n = block_rows * n_outputs;
        let n_operand = if shape.precision == Precision::Bf16 { n.div_ceil(2) } else { n };
        SoftmaxBuffers {
            precision: shape.precision,
            block_rows,
            logits: AlignedVec::zeroed(n),
            dlogits: AlignedVec::zeroed(n_operand),
            loss: AlignedVec::zeroed(shape.n_rows()),
        }
    }

    /// Bytes of the allocations.
    pub fn bytes(&self) -> usize {
        (self.logits.size() + self.dlogits.size() + self.loss.size()) * size_of::<f32>()
    }
}

impl Softmax {
    /// The matrix, which every step reads forward and backward.
    pub fn packed(&self) -> PackedMatrix {
        PackedMatrix { matrix: self.matrix, read_by: ReadBy::EveryStep, packs_backward: true }
    }

    /// Words of panels that the gradient of the matrix needs.
    pub fn panel_words(&self, shape: &MicroShape) -> usize {
        let Matrix { n_out: n, n_in: k, .. } = self.matrix;
        let m = SoftmaxBuffers::block_rows(n, shape);
        wgrad_scratch_len(MatmulShape { m, n, k }, shape.precision)
    }

    /// Computes losses of a lane's rows for `targets` (N) among the outputs, and the gradient of
    /// its input; adds the gradients of the weights to the lane's (if `is_first`, overwrites the
    /// matrix's).
    pub fn loss_and_gradient(
        &self,
        weights: Weights,
        targets: &[u32],
        is_first: bool,
        buffers: &mut SoftmaxBuffers,
        lane: &mut LaneOutput,
    ) {
        let Matrix { n_in: c, n_out: v, span, .. } = self.matrix;
        let SoftmaxBuffers { precision, block_rows, logits, dlogits, loss } = buffers;
        for start in (0..targets.len()).step_by(*block_rows) {
            let end = (start + *block_rows).min(targets.len());
            let (n, targets) = (end - start, &targets[start..end]);
            let input = lane.input.slice(start * c..end * c);
            let logits = &mut logits[..n * v];
            let mut dlogits = rows_mut(dlogits, n * v, *precision);
            let begun = self.begin_with_bias(weights.params, logits);
            matmul(logits, input, weights.packed.forward(self.matrix), begun);
            cross_entropy(dlogits.reborrow(), &mut loss[start..end], logits, targets, 1.0);
            // Backward: biases, matrix, input.
            let dlogits = dlogits.as_rows();
            if let Some(bias) = self.bias {
                add_rows(bias.of_mut(lane.grads), dlogits);
            }
            let accum = if is_first && start == 0 { Accum::Replace } else { Accum::Add };
            let shape = MatmulShape { m: n, n: v, k: c };
            matmul_wgrad(span.of_mut(lane.grads), dlogits, input, shape, accum, lane.panels);
            let dinput = &mut lane.dinput[start * c..end * c];
            matmul(dinput, dlogits, weights.packed.backward(self.matrix), Accum::Replace);
        }
    }

    /// Computes losses of a lane's rows, without gradients.
    pub fn loss(
        &self,
        weights: Weights,
        targets: &[u32],
        buffers: &mut SoftmaxBuffers,
        lane: &LaneOutput,
    ) {
        let Matrix { n_in: c, n_out: v, .. } = self.matrix;
        for start in (0..targets.len()).step_by(buffers.block_rows) {
            let end = (start + buffers.block_rows).min(targets.len());
            let logits = &mut buffers.logits[..(end - start) * v];
            let input = lane.input.slice(start * c..end * c);
            let begun = self.begin_with_bias(weights.params, logits);
            matmul(logits, input, weights.packed.forward(self.matrix), begun);
            cross_entropy_loss(&mut buffers.loss[start..end], logits, &targets[start..end]);
        }
    }

    /// Writes the biases, if any, to every row, so that the product is then added to them.
    pub fn begin_with_bias<'a>(&self, params: &[f32], logits: &mut [f32]) -> Accum<'a> {
        let Some(bias) = self.bias else { return Accum::Replace };
        let bias = bias.of(params);
        logits.chunks_exact_mut(bias.len()).for_each(|row| row.copy_from_slice(bias));
        Accum::Add
    }
}

/// Turns logits into log-probabilities whose exponentials sum to e^`total`.
pub fn log_softmax(logits: &mut [f32], total: f32) {
    let mut lse = [0.0];
    kernels::cross_entropy::log_sum_exp(&mut lse, logits);
    let shift = total - lse[0];
    logits.iter_mut().for_each(|x| *x += shift);
}
