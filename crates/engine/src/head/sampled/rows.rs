//! Sampled rows: the loss of one lane's rows against the sampled tokens of the step.

use super::candidates::SampledTokens;
use crate::head::softmax::{SoftmaxBuffers, block_rows};
use crate::model::{LaneOutput, Matrix, MicroShape, rows_mut};
use kernels::accum::Accum;
use kernels::cross_entropy::{IGNORE, cross_entropy};
use kernels::embedding::embedding_backward;
use kernels::matmul::{MatmulShape, matmul, matmul_wgrad, wgrad_scratch_len};
use kernels::row_dot::{row_dot_backward_rows, row_dot_backward_table, row_dot_forward};
use kernels::{AlignedVec, Rows};

/// Buffers of a lane for training on sampled tokens.
#[derive(Debug)]
pub struct SampledRows {
    /// Rows of a block of logits.
    n_rows: usize,
    /// (R) index of the target's logit, or [`IGNORE`].
    places: AlignedVec<u32>,
    /// (N) logits of the targets, then their gradients.
    target_logits: AlignedVec<f32>,
    /// (K + 1, C) gradient of the sampled tokens' rows, over all micro-batches of the step.
    drows: AlignedVec<f32>,
    /// Buffers of the softmax over all tokens; training stores the sampled tokens' logits there.
    pub whole: SoftmaxBuffers,
}

impl SampledRows {
    /// Buffers for a lane of this shape and `n_candidates` sampled rows of `table`.
    pub fn new(table: Matrix, shape: &MicroShape, n_candidates: usize) -> SampledRows {
        let (c, n_out) = (table.n_in, n_candidates + 1);
        let whole = SoftmaxBuffers::new(table.n_out, shape);
        let n_rows = block_of(table, shape, n_candidates);
        SampledRows {
            n_rows,
            places: AlignedVec::zeroed(n_rows),
            target_logits: AlignedVec::zeroed(shape.n_rows()),
            drows: AlignedVec::zeroed(n_out * c),
            whole,
        }
    }

    /// Words of panels that the gradient of the sampled rows needs.
    pub fn panel_words(table: Matrix, shape: &MicroShape, n_candidates: usize) -> usize {
        let m = block_of(table, shape, n_candidates);
        let weight = MatmulShape { m, n: n_candidates + 1, k: table.n_in };
        wgrad_scratch_len(weight, shape.precision)
    }

    /// Bytes of the allocations.
    pub fn bytes(&self) -> usize {
        let floats = self.target_logits.size() + self.drows.size();
        (floats + self.places.size()) * size_of::<f32>() + self.whole.bytes()
    }

    /// Computes estimated losses of all rows, stored in `whole`, and the gradient of the layer's
    /// input. The gradients of the rows of `table`, (V, C), are kept for
    /// [`SampledRows::add_gradient`] and [`SampledRows::add_target_gradient`].
    pub fn loss_and_gradient(
        &mut self,
        table: &[f32],
        candidates: &SampledTokens,
        is_first: bool,
        lane: LaneOutput,
    ) {
        let (n_out, all_targets) = (candidates.ids().len() + 1, lane.targets);
        let c = self.drows.len() / n_out;
        let SoftmaxBuffers { precision, logits, dlogits, loss, .. } = &mut self.whole;
        for start in (0..all_targets.len()).step_by(self.n_rows) {
            let rows = start..(start + self.n_rows).min(all_targets.len());
            let (n, wide) = (rows.len(), rows.start * c..rows.end * c);
            let (targets, loss) = (&all_targets[rows.clone()], &mut loss[rows.clone()]);
            let input = lane.input.slice(wide.clone());
            let logits = &mut logits[..n * n_out];
            let mut dlogits = rows_mut(dlogits, n * n_out, *precision);
            let of_targets = &mut self.target_logits[rows];
            let corrections = candidates.corrections();
            logits.chunks_exact_mut(n_out).for_each(|row| row.copy_from_slice(corrections));
            matmul(logits, input, candidates.forward(), Accum::Add);
            row_dot_forward(of_targets, input, table, targets);
            let places = &mut self.places[..n];
            place_targets(logits, places, targets, of_targets, candidates.ids());
            cross_entropy(dlogits.reborrow(), loss, logits, places, 1.0);

            let dlogits = dlogits.as_rows();
            let accum = if is_first && start == 0 { Accum::Replace } else { Accum::Add };
            let shape = MatmulShape { m: n, n: n_out, k: c };
            matmul_wgrad(&mut self.drows, dlogits, input, shape, accum, lane.panels);
            let dinput = &mut lane.dinput[wide];
            matmul(dinput, dlogits, candidates.backward(), Accum::Replace);
            // The gradient of a target's logit is its probability minus 1.
            for (d, loss) in of_targets.iter_mut().zip(loss) {
                *d = (-*loss).exp() - 1.0;
            }
            row_dot_backward_rows(dinput, of_targets, table, targets);
        }
    }

    /// Adds the gradients of the targets' rows in the current micro-batch to those of the matrix,
    /// (V, C); `input` is the layer's input.
    pub fn add_target_gradient(&self, dmatrix_acc: &mut [f32], input: Rows, targets: &[u32]) {
        let dtargets = &self.target_logits[..targets.len()];
        row_dot_backward_table(dmatrix_acc, dtargets, input, targets);
    }

    /// Adds the gradients of the sampled rows over the whole step to those of the matrix, (V, C).
    pub fn add_gradient(&self, dmatrix_acc: &mut [f32], candidates: &SampledTokens) {
        let ids = candidates.ids();
        let c = self.drows.len() / (ids.len() + 1);
        embedding_backward(dmatrix_acc, &self.drows[..ids.len() * c], ids);
    }
}

/// Rows of a block of logits of the sampled tokens.
fn block_of(table: Matrix, shape: &MicroShape, n_candidates: usize) -> usize {
    let n_out = n_candidates + 1;
    // A block fits into the buffer of the softmax over all tokens.
    let capacity = SoftmaxBuffers::block_rows(table.n_out, shape) * table.n_out;
    block_rows(n_out, shape.n_rows()).min(capacity / n_out).max(1)
}

/// Moves each row's target logit to the end, and excludes sampled tokens that equal the target.
fn place_targets(
    logits: &mut [f32],
    places: &mut [u32],
    targets: &[u32],
    of_targets: &[f32],
    ids: &[u32],
) {
    let rows = logits.chunks_exact_mut(ids.len() + 1).zip(places);
    for ((logits, place), (target, of_target)) in rows.zip(targets.iter().zip(of_targets)) {
        *place = if *target == IGNORE { IGNORE } else { ids.len() as u32 };
        logits[ids.len()] = *of_target;
        let first = ids.partition_point(|id| id < target);
        let same = ids[first..].iter().take_while(|id| *id == target).count();
        logits[first..first + same].fill(f32::NEG_INFINITY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_equal_to_the_target_are_excluded_and_its_logit_is_last() {
        let ids = [1, 4, 4, 7];
        let mut logits = [[1.0, 2.0, 3.0, 4.0, 0.0]; 4].concat();
        let (mut places, targets) = ([9; 4], [4, 2, IGNORE, 7]);
        place_targets(&mut logits, &mut places, &targets, &[0.5, 0.6, 0.0, 0.7], &ids);
        let out = f32::NEG_INFINITY;
        let expected = [
            [1.0, out, out, 4.0, 0.5],
            [1.0, 2.0, 3.0, 4.0, 0.6],
            [1.0, 2.0, 3.0, 4.0, 0.0],
            [1.0, 2.0, 3.0, out, 0.7],
        ];
        assert_eq!(logits, expected.concat());
        assert_eq!(places, [4, 4, IGNORE, 4]);
    }
}
