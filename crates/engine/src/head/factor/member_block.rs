//! One class of the factored layer: its rows of the batch against its rows of the table.

use super::members::MemberGrads;
use crate::model::{Matrix, Model, as_rows};
use kernels::accum::Accum;
use kernels::cross_entropy::{cross_entropy, cross_entropy_loss};
use kernels::matmul::{
    MatmulShape, matmul, matmul_straight, matmul_wgrad, straight_scratch_len, wgrad_scratch_len,
};
use kernels::reduce::add_rows;
use kernels::{AlignedVec, Precision, Rows, RowsMut};

/// Rows that are worked on at once: enough for a product to run near peak.
const BLOCK_ROWS: usize = 256;

/// What a thread works with.
#[derive(Debug)]
pub(super) struct Scratch {
    precision: Precision,
    /// (R, C) the gathered input.
    input: AlignedVec<f32>,
    /// (R) the targets, counted from the class's first id.
    targets: Vec<u32>,
    /// (R, members) logits.
    logits: AlignedVec<f32>,
    /// (R, members) their gradient.
    dlogits: AlignedVec<f32>,
    /// Panels of the products on the way back.
    words: AlignedVec<u32>,
}

/// A class of a model.
pub(super) struct ClassPart<'a> {
    model: Model<'a>,
    matrix: Matrix,
    bias: &'a [f32],
    first_id: u32,
}

impl Scratch {
    /// For classes of up to `n_members` tokens and rows of `c` numbers.
    pub fn new(n_members: usize, c: usize, precision: Precision) -> Scratch {
        let logits = BLOCK_ROWS * n_members;
        let back = MatmulShape { m: BLOCK_ROWS, n: c, k: n_members };
        let weight = MatmulShape { m: BLOCK_ROWS, n: n_members, k: c };
        let words = straight_scratch_len(back, precision).max(wgrad_scratch_len(weight, precision));
        Scratch {
            precision,
            input: AlignedVec::zeroed(BLOCK_ROWS * c),
            targets: vec![0; BLOCK_ROWS],
            logits: AlignedVec::zeroed(logits),
            dlogits: AlignedVec::zeroed(logits),
            words: AlignedVec::zeroed(words),
        }
    }

    /// Bytes of the allocations.
    pub fn bytes(&self) -> usize {
        let floats = self.input.len() + self.logits.len() + self.dlogits.len();
        (floats + self.words.len() + self.targets.len()) * size_of::<f32>()
    }

    /// Copies the rows that `places` gives next, as many as a block takes; returns how many.
    fn gather<'a>(
        &mut self,
        places: &mut impl Iterator<Item = (Rows<'a>, usize, u32)>,
        c: usize,
        first_id: u32,
    ) -> usize {
        let mut n = 0;
        let mut input = as_rows(&mut self.input, BLOCK_ROWS * c, self.precision);
        for (from, row, target) in places.take(BLOCK_ROWS) {
            match (input.slice_mut(n * c..(n + 1) * c), from.slice(row * c..(row + 1) * c)) {
                (RowsMut::F32(to), Rows::F32(from)) => to.copy_from_slice(from),
                (RowsMut::Bf16(to), Rows::Bf16(from)) => to.copy_from_slice(from),
                _ => unreachable!("a run has one precision"),
            }
            self.targets[n] = target - first_id;
            n += 1;
        }
        n
    }
}

impl<'a> ClassPart<'a> {
    /// Class number `class` of the model.
    ///
    /// # Panics
    /// If the output layer is not factored or has no such class.
    pub fn new(model: Model<'a>, class: usize) -> ClassPart<'a> {
        let factor = model.layout.factor.as_ref();
        let factor = factor.expect("ClassPart: the output layer is not factored");
        let (first, end) = (factor.starts[class], factor.starts[class + 1]);
        ClassPart {
            model,
            matrix: factor.members[class],
            bias: &factor.member_bias.of(model.params)[first as usize..end as usize],
            first_id: first,
        }
    }

    /// Losses and input gradients of the class's rows, and the gradients of its part of the tables,
    /// which are added into.
    pub fn loss_and_gradient<'r>(
        &self,
        mut places: impl Iterator<Item = (Rows<'r>, usize, u32)>,
        loss: &mut [f32],
        dinput: &mut [f32],
        grads: MemberGrads,
        scratch: &mut Scratch,
    ) {
        let Matrix { n_out, n_in: c, .. } = self.matrix;
        let mut done = 0;
        while done < loss.len() {
            let n = scratch.gather(&mut places, c, self.first_id);
            let (input, targets, logits, mut dlogits, words) = scratch.parts(n, c, n_out);
            self.logits(logits, input);
            cross_entropy(dlogits.reborrow(), &mut loss[done..done + n], logits, targets, 1.0);
            let dlogits = dlogits.as_rows();
            add_rows(grads.biases_acc, dlogits);
            let shape = MatmulShape { m: n, n: n_out, k: c };
            matmul_wgrad(grads.rows_acc, dlogits, input, shape, Accum::Add, words);
            let shape = MatmulShape { m: n, n: c, k: n_out };
            let dinput = &mut dinput[done * c..(done + n) * c];
            let weights = self.matrix.span.of(self.model.params);
            matmul_straight(dinput, dlogits, weights, shape, Accum::Replace, words);
            done += n;
        }
    }

    /// Losses of the class's rows, without gradients.
    pub fn loss<'r>(
        &self,
        mut places: impl Iterator<Item = (Rows<'r>, usize, u32)>,
        loss: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let Matrix { n_out, n_in: c, .. } = self.matrix;
        let mut done = 0;
        while done < loss.len() {
            let n = scratch.gather(&mut places, c, self.first_id);
            let (input, targets, logits, _, _) = scratch.parts(n, c, n_out);
            self.logits(logits, input);
            cross_entropy_loss(&mut loss[done..done + n], logits, targets);
            done += n;
        }
    }

    /// (R, members) logits of (R, C) `input`.
    fn logits(&self, logits: &mut [f32], input: Rows) {
        logits.chunks_exact_mut(self.bias.len()).for_each(|row| row.copy_from_slice(self.bias));
        matmul(logits, input, self.model.packed.forward(self.matrix), Accum::Add);
    }
}

impl Scratch {
    /// Input, targets, logits, their gradient and panels, for `n` rows.
    fn parts(
        &mut self,
        n: usize,
        c: usize,
        n_members: usize,
    ) -> (Rows<'_>, &[u32], &mut [f32], RowsMut<'_>, &mut [u32]) {
        let Scratch { precision, input, targets, logits, dlogits, words } = self;
        let input = match precision {
            Precision::F32 => Rows::F32(&input[..n * c]),
            Precision::Bf16 => Rows::Bf16(&bytemuck::cast_slice(input)[..n * c]),
        };
        let dlogits = as_rows(dlogits, n * n_members, *precision);
        (input, &targets[..n], &mut logits[..n * n_members], dlogits, words)
    }
}
