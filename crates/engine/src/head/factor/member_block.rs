//! The softmax over the tokens of one class: its rows of the batch against its rows of the table.
//!
//! A cluster of an adaptive layer is a class without biases, whose input is made narrow first.

use super::member_scratch::{Block, Scratch};
use crate::model::{Matrix, Model, operand};
use kernels::Rows;
use kernels::accum::Accum;
use kernels::cross_entropy::{cross_entropy, cross_entropy_loss};
use kernels::matmul::{MatmulShape, matmul, matmul_straight, matmul_wgrad};
use kernels::reduce::{add_into, add_rows};

/// (R, members) logits of the tokens of `class`, given (R, C) inputs of the layer.
///
/// # Panics
/// If the output layer is not factored or `logits` is not (R, members).
pub(crate) fn member_logits(model: Model, class: usize, inputs: Rows, logits: &mut [f32]) {
    ClassPart::of_factor(model, class).logits(logits, inputs);
}

/// A class of a factored layer, or a cluster of an adaptive one.
pub struct ClassPart<'a> {
    model: Model<'a>,
    /// (members, C), or (members, W) where the input is made narrow.
    rows: Matrix,
    /// (W, C) what makes it narrow, if anything does.
    narrow: Option<Matrix>,
    /// (members), or none.
    bias: &'a [f32],
    first_id: u32,
}

/// Gradients of a class's tensors, which are added into; empty for what it has not.
#[derive(Debug)]
pub struct MemberGrads<'a> {
    /// Of the rows.
    pub rows_acc: &'a mut [f32],
    /// Of the biases.
    pub biases_acc: &'a mut [f32],
    /// Of what makes the input narrow.
    pub narrow_acc: &'a mut [f32],
}

impl<'a> ClassPart<'a> {
    /// Class number `class` of a factored layer.
    ///
    /// # Panics
    /// If the output layer is not factored or has no such class.
    pub fn of_factor(model: Model<'a>, class: usize) -> ClassPart<'a> {
        let factor = model.layout.factor.as_ref();
        let factor = factor.expect("ClassPart: the output layer is not factored");
        let (first, end) = (factor.starts[class], factor.starts[class + 1]);
        ClassPart {
            model,
            rows: factor.members[class],
            narrow: None,
            bias: &factor.member_bias.of(model.params)[first as usize..end as usize],
            first_id: first,
        }
    }

    /// Cluster number `cluster` of an adaptive layer.
    ///
    /// # Panics
    /// If the output layer is not adaptive or has no such cluster.
    pub fn of_adaptive(model: Model<'a>, cluster: usize) -> ClassPart<'a> {
        let adaptive = model.layout.adaptive.as_ref();
        let adaptive = adaptive.expect("ClassPart: the output layer is not adaptive");
        let slots = adaptive.clusters[cluster];
        let first_id = adaptive.starts[cluster];
        ClassPart { model, rows: slots.rows, narrow: Some(slots.narrow), bias: &[], first_id }
    }

    /// Losses and input gradients of the class's rows, and the gradients of its tensors, which are
    /// added into.
    pub fn loss_and_gradient<'r>(
        &self,
        mut places: impl Iterator<Item = (Rows<'r>, usize, u32)>,
        loss: &mut [f32],
        dinput: &mut [f32],
        grads: MemberGrads,
        scratch: &mut Scratch,
    ) {
        let (n_out, width, c) = (self.rows.n_out, self.rows.n_in, self.model_dim());
        let mut done = 0;
        while done < loss.len() {
            let n = scratch.gather(&mut places, c, self.first_id);
            let Block { input, targets, narrow, mut narrow_operand, logits, mut dlogits, words } =
                scratch.block(n, c, n_out, self.width());
            let x = self.narrowed(input, narrow, narrow_operand.reborrow());
            self.logits(logits, x);
            cross_entropy(dlogits.reborrow(), &mut loss[done..done + n], logits, targets, 1.0);
            let dlogits = dlogits.as_rows();
            if !grads.biases_acc.is_empty() {
                add_rows(grads.biases_acc, dlogits);
            }
            let shape = MatmulShape { m: n, n: n_out, k: width };
            matmul_wgrad(grads.rows_acc, dlogits, x, shape, Accum::Add, words);
            let back = |dx: &mut [f32], dy, matrix: Matrix, words: &mut [u32]| {
                let shape = MatmulShape { m: n, n: matrix.n_in, k: matrix.n_out };
                let weights = matrix.span.of(self.model.params);
                matmul_straight(dx, dy, weights, shape, Accum::Replace, words);
            };
            let dinput = &mut dinput[done * c..(done + n) * c];
            match self.narrow {
                None => back(dinput, dlogits, self.rows, words),
                Some(matrix) => {
                    back(narrow, dlogits, self.rows, words);
                    let dnarrow = operand(narrow, narrow_operand);
                    let shape = MatmulShape { m: n, n: width, k: c };
                    matmul_wgrad(grads.narrow_acc, dnarrow, input, shape, Accum::Add, words);
                    back(dinput, dnarrow, matrix, words);
                }
            }
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
        let mut done = 0;
        while done < loss.len() {
            let n = scratch.gather(&mut places, self.model_dim(), self.first_id);
            let Block { input, targets, narrow, narrow_operand, logits, .. } =
                scratch.block(n, self.model_dim(), self.rows.n_out, self.width());
            self.logits(logits, self.narrowed(input, narrow, narrow_operand));
            cross_entropy_loss(&mut loss[done..done + n], logits, targets);
            done += n;
        }
    }

    /// C
    fn model_dim(&self) -> usize {
        self.narrow.unwrap_or(self.rows).n_in
    }

    /// W, or 0 where the input stays as wide as it is.
    fn width(&self) -> usize {
        self.narrow.map_or(0, |narrow| narrow.n_out)
    }

    /// The input of the class's rows: `input` itself, or made narrow.
    fn narrowed<'x>(
        &self,
        input: Rows<'x>,
        narrow: &'x mut [f32],
        room: kernels::RowsMut<'x>,
    ) -> Rows<'x> {
        let Some(matrix) = self.narrow else { return input };
        matmul(narrow, input, self.model.packed.forward(matrix), Accum::Replace);
        operand(narrow, room)
    }

    /// (R, members) logits of the rows' input.
    fn logits(&self, logits: &mut [f32], input: Rows) {
        let accum = match self.bias.len() {
            0 => Accum::Replace,
            n => {
                logits.chunks_exact_mut(n).for_each(|row| row.copy_from_slice(self.bias));
                Accum::Add
            }
        };
        matmul(logits, input, self.model.packed.forward(self.rows), accum);
    }
}

/// Adds losses and input gradients of some rows, one after the other in `loss` and `dinput`, to
/// those of all rows, (N) and (N, C).
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
