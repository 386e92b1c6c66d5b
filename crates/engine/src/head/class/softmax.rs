//! Softmax over the tokens of one class: the class's rows of the batch times its rows of the table.
//!
//! A class may have biases, and a matrix that first projects its input to fewer dimensions.

use super::scratch::{ClassBlock, ClassScratch};
use crate::model::{Matrix, Weights, operand};
use kernels::Rows;
use kernels::accum::Accum;
use kernels::cross_entropy::{cross_entropy, cross_entropy_loss};
use kernels::matmul::{MatmulShape, matmul, matmul_straight, matmul_wgrad};
use kernels::reduce::{add_into, add_rows};

/// Weights of one class.
#[derive(Clone, Copy)]
pub struct ClassSoftmax<'a> {
    pub weights: Weights<'a>,
    /// (members, C), or (members, W) with a narrow input.
    pub rows: Matrix,
    /// (W, C) input projection, if any.
    pub narrow: Option<Matrix>,
    /// (members), or empty.
    pub bias: &'a [f32],
    /// The class's first id.
    pub first_id: u32,
}

/// Gradients of a class's tensors, added into; empty for tensors that it lacks.
#[derive(Debug)]
pub struct ClassGrads<'a> {
    /// Gradient of the rows.
    pub rows_acc: &'a mut [f32],
    /// Gradient of the biases.
    pub biases_acc: &'a mut [f32],
    /// Gradient of the input projection.
    pub narrow_acc: &'a mut [f32],
}

impl ClassSoftmax<'_> {
    /// Computes losses and input gradients of the class's rows, and adds the gradients of its
    /// tensors.
    pub fn loss_and_gradient<'r>(
        &self,
        mut places: impl Iterator<Item = (Rows<'r>, usize, u32)>,
        loss: &mut [f32],
        dinput: &mut [f32],
        grads: ClassGrads,
        scratch: &mut ClassScratch,
    ) {
        let (n_out, width, c) = (self.rows.n_out, self.rows.n_in, self.model_dim());
        let mut done = 0;
        while done < loss.len() {
            let n = scratch.gather(&mut places, c, self.first_id);
            let ClassBlock {
                input,
                targets,
                narrow,
                mut narrow_operand,
                logits,
                mut dlogits,
                panels,
            } = scratch.block(n, c, n_out, self.width());
            let x = self.narrowed(input, narrow, narrow_operand.reborrow());
            self.logits(logits, x);
            cross_entropy(dlogits.reborrow(), &mut loss[done..done + n], logits, targets, 1.0);
            let dlogits = dlogits.as_rows();
            if !grads.biases_acc.is_empty() {
                add_rows(grads.biases_acc, dlogits);
            }
            let shape = MatmulShape { m: n, n: n_out, k: width };
            matmul_wgrad(grads.rows_acc, dlogits, x, shape, Accum::Add, panels);
            let back = |dx: &mut [f32], dy, matrix: Matrix, panels: &mut [u32]| {
                let shape = MatmulShape { m: n, n: matrix.n_in, k: matrix.n_out };
                let weights = matrix.span.of(self.weights.params);
                matmul_straight(dx, dy, weights, shape, Accum::Replace, panels);
            };
            let dinput = &mut dinput[done * c..(done + n) * c];
            match self.narrow {
                None => back(dinput, dlogits, self.rows, panels),
                Some(matrix) => {
                    back(narrow, dlogits, self.rows, panels);
                    let dnarrow = operand(narrow, narrow_operand);
                    let shape = MatmulShape { m: n, n: width, k: c };
                    matmul_wgrad(grads.narrow_acc, dnarrow, input, shape, Accum::Add, panels);
                    back(dinput, dnarrow, matrix, panels);
                }
            }
            done += n;
        }
    }

    /// Computes losses of the class's rows, without gradients.
    pub fn loss<'r>(
        &self,
        mut places: impl Iterator<Item = (Rows<'r>, usize, u32)>,
        loss: &mut [f32],
        scratch: &mut ClassScratch,
    ) {
        let mut done = 0;
        while done < loss.len() {
            let n = scratch.gather(&mut places, self.model_dim(), self.first_id);
            let ClassBlock { input, targets, narrow, narrow_operand, logits, .. } =
                scratch.block(n, self.model_dim(), self.rows.n_out, self.width());
            self.logits(logits, self.narrowed(input, narrow, narrow_operand));
            cross_entropy_loss(&mut loss[done..done + n], logits, targets);
            done += n;
        }
    }

    /// C.
    fn model_dim(&self) -> usize {
        self.narrow.unwrap_or(self.rows).n_in
    }

    /// W, or 0 without an input projection.
    fn width(&self) -> usize {
        self.narrow.map_or(0, |narrow| narrow.n_out)
    }

    /// Input of the class's softmax: `input` itself, or its projection.
    fn narrowed<'x>(
        &self,
        input: Rows<'x>,
        narrow: &'x mut [f32],
        buffer: kernels::RowsMut<'x>,
    ) -> Rows<'x> {
        let Some(matrix) = self.narrow else { return input };
        matmul(narrow, input, self.weights.packed.forward(matrix), Accum::Replace);
        operand(narrow, buffer)
    }

    /// (R, members) logits.
    pub fn logits(&self, logits: &mut [f32], input: Rows) {
        let accum = match self.bias.len() {
            0 => Accum::Replace,
            n => {
                logits.chunks_exact_mut(n).for_each(|row| row.copy_from_slice(self.bias));
                Accum::Add
            }
        };
        matmul(logits, input, self.weights.packed.forward(self.rows), accum);
    }
}

/// Adds losses and input gradients of the given rows, contiguous in `loss` and `dinput`, to those
/// of all rows, (N) and (N, C).
pub fn add_to_rows(
    rows: &[u32],
    (loss, dinput): (&[f32], &[f32]),
    loss_acc: &mut [f32],
    dinput_acc: &mut [f32],
) {
    let c = dinput.len() / rows.len().max(1);
    for (place, row) in rows.iter().map(|row| *row as usize).enumerate() {
        loss_acc[row] += loss[place];
        let found = &dinput[place * c..(place + 1) * c];
        add_into(&mut dinput_acc[row * c..(row + 1) * c], found);
    }
}
