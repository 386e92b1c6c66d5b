//! Class scratch: a thread's buffers for a block of rows of one class.

use crate::head::softmax::block_rows;
use crate::model::{Matrix, rows, rows_mut};
use kernels::matmul::{MatmulShape, straight_scratch_len, wgrad_scratch_len};
use kernels::{AlignedVec, Precision, Rows, RowsMut};

/// Largest number of rows of a block: enough for a product to run near peak.
const BLOCK_ROWS: usize = 256;

/// Scratch large enough for a block of rows of any class.
#[derive(Debug)]
pub struct ClassScratch {
    precision: Precision,
    /// Rows of a block.
    n_rows: usize,
    /// (R, C) the gathered input.
    input: AlignedVec<f32>,
    /// (R) the targets, counted from the class's first id.
    targets: Vec<u32>,
    /// (R, W) the narrow input of a cluster, and its gradient.
    narrow: AlignedVec<f32>,
    /// (R, W) the same as an operand of products.
    narrow_operand: AlignedVec<f32>,
    /// (R, members) logits.
    logits: AlignedVec<f32>,
    /// (R, members) their gradient.
    dlogits: AlignedVec<f32>,
    /// Packed operands of the backward products.
    panels: AlignedVec<u32>,
}

/// A block of R rows of a class.
pub(super) struct ClassBlock<'a> {
    /// (R, C)
    pub input: Rows<'a>,
    /// (R)
    pub targets: &'a [u32],
    /// (R, W) floats and a buffer for them as an operand; empty if the class is not narrow.
    pub narrow: &'a mut [f32],
    pub narrow_operand: RowsMut<'a>,
    /// (R, members)
    pub logits: &'a mut [f32],
    /// (R, members)
    pub dlogits: RowsMut<'a>,
    pub panels: &'a mut [u32],
}

impl ClassScratch {
    /// Scratch large enough for any of `classes`: its row matrix and optional input projection.
    pub fn new(
        classes: impl Iterator<Item = (Matrix, Option<Matrix>)> + Clone,
        model_dim: usize,
        precision: Precision,
    ) -> ClassScratch {
        let n_members = classes.clone().map(|(rows, _)| rows.n_out).max().unwrap_or(0);
        let width = classes.clone().map(|(_, narrow)| narrow.map_or(0, |narrow| narrow.n_out));
        let (width, n_rows) = (width.max().unwrap_or(0), block_rows(n_members.max(1), BLOCK_ROWS));
        // Panels of the backward products of one matrix.
        let back = |matrix: Matrix| {
            let (n_out, n_in) = (matrix.n_out, matrix.n_in);
            let input = MatmulShape { m: n_rows, n: n_in, k: n_out };
            let weight = MatmulShape { m: n_rows, n: n_out, k: n_in };
            straight_scratch_len(input, precision).max(wgrad_scratch_len(weight, precision))
        };
        let panels = classes.flat_map(|(rows, narrow)| [Some(rows), narrow]).flatten().map(back);
        ClassScratch {
            precision,
            n_rows,
            input: AlignedVec::zeroed(n_rows * model_dim),
            targets: vec![0; n_rows],
            narrow: AlignedVec::zeroed(n_rows * width),
            narrow_operand: AlignedVec::zeroed(n_rows * width),
            logits: AlignedVec::zeroed(n_rows * n_members),
            dlogits: AlignedVec::zeroed(n_rows * n_members),
            panels: AlignedVec::zeroed(panels.max().unwrap_or(0)),
        }
    }

    /// Bytes of the allocations.
    pub fn bytes(&self) -> usize {
        let narrow = self.narrow.size() + self.narrow_operand.size();
        let floats = self.input.size() + narrow + self.logits.size() + self.dlogits.size();
        (floats + self.panels.size() + self.targets.len()) * size_of::<f32>()
    }

    /// Copies the next rows of `places`, (input, row, target), as many as a block holds; returns
    /// their number.
    pub(super) fn gather<'a>(
        &mut self,
        places: &mut impl Iterator<Item = (Rows<'a>, usize, u32)>,
        model_dim: usize,
        first_id: u32,
    ) -> usize {
        let (mut n, c) = (0, model_dim);
        let mut input = rows_mut(&mut self.input, self.n_rows * c, self.precision);
        for (from, row, target) in places.take(self.n_rows) {
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

    /// The first `n` rows, for a class of `n_members` tokens and a narrow input of `width` numbers.
    pub(super) fn block(
        &mut self,
        n: usize,
        model_dim: usize,
        n_members: usize,
        width: usize,
    ) -> ClassBlock<'_> {
        let precision = self.precision;
        let input = &self.input;
        ClassBlock {
            input: rows(input, n * model_dim, precision),
            targets: &self.targets[..n],
            narrow: &mut self.narrow[..n * width],
            narrow_operand: rows_mut(&mut self.narrow_operand, n * width, precision),
            logits: &mut self.logits[..n * n_members],
            dlogits: rows_mut(&mut self.dlogits, n * n_members, precision),
            panels: &mut self.panels,
        }
    }
}
