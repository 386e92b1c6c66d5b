//! Softmax that every position goes through, in blocks of rows: the full (N, outputs) logits never
//! exist.
//!
//! Its outputs are the tokens, or the classes of a factored layer with a bias each, or an adaptive
//! layer's frequent tokens and clusters. The loss is a sum over positions, so the gradient of a block
//! of logits is known as soon as the block is: forward and backward are one loop, and nothing is
//! computed twice.

use crate::model::{LaneOutput, Matrix, MicroShape, PackedMatrix, ReadBy, Span, Weights, as_rows};
use kernels::accum::Accum;
use kernels::cross_entropy::{cross_entropy, cross_entropy_loss};
use kernels::matmul::{MatmulShape, matmul, matmul_wgrad, wgrad_scratch_len};
use kernels::reduce::add_rows;
use kernels::{AlignedVec, Precision};

/// Floats in a block of logits: small enough to stay in the last-level cache beside the weights.
const BLOCK_FLOATS: usize = 1 << 21;

/// Rows of a block at least: every block reads and writes all of the output matrix's gradient, which
/// with 64 rows costs an eighth of a step's time at a vocabulary of 33,278 (docs/log.md).
const MIN_ROWS: usize = 128;

/// Rows of a block of logits for so many outputs.
pub fn block_rows(n_outputs: usize, n_rows: usize) -> usize {
    (BLOCK_FLOATS / n_outputs).next_multiple_of(8).clamp(MIN_ROWS, 512).min(n_rows)
}

/// The softmax's weights.
#[derive(Clone, Copy, Debug)]
pub(super) struct Softmax {
    /// (outputs, C)
    pub matrix: Matrix,
    /// (outputs), if there are biases.
    pub bias: Option<Span>,
}

/// A lane's memory for it.
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

    /// For `n_outputs` outputs and lanes of this shape.
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

    /// Bytes of it.
    pub fn bytes(&self) -> usize {
        (self.logits.len() + self.dlogits.len() + self.loss.len()) * size_of::<f32>()
    }
}

impl Softmax {
    /// The matrix, which every step reads both ways.
    pub fn packed(&self) -> PackedMatrix {
        PackedMatrix { matrix: self.matrix, read_by: ReadBy::EveryStep, packs_backward: true }
    }

    /// Words of panels that the gradient of the matrix takes.
    pub fn panel_words(&self, shape: &MicroShape) -> usize {
        let Matrix { n_out: n, n_in: k, .. } = self.matrix;
        let m = SoftmaxBuffers::block_rows(n, shape);
        wgrad_scratch_len(MatmulShape { m, n, k }, shape.precision)
    }

    /// Losses of a lane's rows, for `targets` (N) among the outputs; the gradient of its input; and
    /// the gradients of the weights, added to the lane's (`is_first`: the matrix's overwritten).
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
            let mut dlogits = as_rows(dlogits, n * v, *precision);
            let begun = self.begin_with_bias(weights.params, logits);
            matmul(logits, input, weights.packed.forward(self.matrix), begun);
            cross_entropy(dlogits.reborrow(), &mut loss[start..end], logits, targets, 1.0);
            // Back: biases, matrix, input.
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

    /// Losses of a lane's rows without gradients.
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

    /// Where there are biases, writes them to every row: the product is then added.
    pub fn begin_with_bias<'a>(&self, params: &[f32], logits: &mut [f32]) -> Accum<'a> {
        let Some(bias) = self.bias else { return Accum::Replace };
        let bias = bias.of(params);
        logits.chunks_exact_mut(bias.len()).for_each(|row| row.copy_from_slice(bias));
        Accum::Add
    }
}

/// Logits become log-probabilities that sum to e^`total`.
pub fn log_softmax(logits: &mut [f32], total: f32) {
    let mut lse = [0.0];
    kernels::cross_entropy::log_sum_exp(&mut lse, logits);
    let shift = total - lse[0];
    logits.iter_mut().for_each(|x| *x += shift);
}
