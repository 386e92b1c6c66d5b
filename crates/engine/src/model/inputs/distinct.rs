//! Distinct inputs of a micro-batch: values that depend on the input alone are computed once each.
//!
//! These are the first block's norm, its query-key-value product and its norm of queries and keys,
//! all before positions matter. Text repeats its tokens (of 1,024 tokens of English words about 40
//! % are distinct, of characters 5 %), so the product has fewer rows; its results are copied to all
//! positions with the same input. In the backward pass the gradients of these positions are summed,
//! in ascending order, and go through the product once: exact, since the product is linear. The
//! same idea for inference: Graef, "Transformer tricks: precomputing the first layer", 2024,
//! arXiv:2402.13388.

use super::{InputLayer, Lookups};
use kernels::AlignedVec;
use kernels::embedding::{embedding_backward, embedding_forward};

/// Distinct inputs of the current micro-batch.
#[derive(Debug)]
pub struct Distinct {
    /// (N) the first `len` entries are the distinct ids, in order of first occurrence.
    ids: AlignedVec<u32>,
    /// (N) by position: index into `ids`.
    index: AlignedVec<u32>,
    /// (I) by id: its index in `ids` plus one, or 0 if absent.
    place: AlignedVec<u32>,
    len: usize,
    n_rows: usize,
}

impl Distinct {
    /// Buffers for micro-batches of up to `n_rows` inputs out of `n_inputs`.
    pub fn new(n_rows: usize, n_inputs: usize) -> Distinct {
        Distinct {
            ids: AlignedVec::zeroed(n_rows),
            index: AlignedVec::zeroed(n_rows),
            place: AlignedVec::zeroed(n_inputs),
            len: 0,
            n_rows: 0,
        }
    }

    /// Finds the distinct ids of `inputs`.
    ///
    /// # Panics
    /// If there are more inputs than the buffers hold, or one is not below the number of inputs.
    pub fn find(&mut self, inputs: &[u32]) {
        assert!(inputs.len() <= self.index.len(), "Distinct::find: more inputs than rows");
        for id in &self.ids[..self.len] {
            self.place[*id as usize] = 0;
        }
        self.len = 0;
        self.n_rows = inputs.len();
        for (index, &input) in self.index.iter_mut().zip(inputs) {
            let place = &mut self.place[input as usize];
            if *place == 0 {
                self.ids[self.len] = input;
                self.len += 1;
                *place = self.len as u32;
            }
            *index = *place - 1;
        }
    }

    /// (U) distinct ids.
    pub fn ids(&self) -> &[u32] {
        &self.ids[..self.len]
    }

    /// (N) by position: index into [`Self::ids`].
    pub fn index(&self) -> &[u32] {
        &self.index[..self.n_rows]
    }

    /// Bytes of the allocations.
    pub fn bytes(&self) -> usize {
        (self.ids.size() + self.index.size() + self.place.size()) * size_of::<u32>()
    }
}

/// Rows of a block's query-key-value product: one per position or, in the first block, one per
/// distinct input.
#[derive(Clone, Copy, Debug)]
pub enum ProductRows<'a> {
    /// One row per position.
    Positions,
    /// One row per distinct input.
    Distinct(&'a Distinct),
}

impl<'a> ProductRows<'a> {
    /// Number of rows, U, for `n_rows` positions.
    pub fn count(self, n_rows: usize) -> usize {
        match self {
            ProductRows::Positions => n_rows,
            ProductRows::Distinct(distinct) => distinct.ids().len(),
        }
    }

    /// Input vectors of the rows, (U, C): `x`, those of the positions, or recomputed in `buffer`.
    pub fn vectors<'x>(
        self,
        layer: &InputLayer,
        params: &[f32],
        x: &'x [f32],
        buffer: &'x mut [f32],
        dim: usize,
    ) -> &'x [f32] {
        match self {
            ProductRows::Positions => x,
            ProductRows::Distinct(distinct) => {
                let buffer = &mut buffer[..distinct.ids().len() * dim];
                layer.forward(buffer, params, Lookups::alone(distinct.ids()));
                buffer
            }
        }
    }

    /// Destination for rows that every position needs: directly `positions`, (N, W), or `buffer`,
    /// from which [`ProductRows::spread`] copies them.
    pub fn target<'x>(
        self,
        positions: &'x mut [f32],
        buffer: &'x mut [f32],
        width: usize,
    ) -> &'x mut [f32] {
        match self {
            ProductRows::Positions => positions,
            ProductRows::Distinct(distinct) => &mut buffer[..distinct.ids().len() * width],
        }
    }

    /// Copies rows from the destination that [`ProductRows::target`] gave to all positions.
    pub fn spread(self, positions: &mut [f32], buffer: &[f32], width: usize) {
        if let ProductRows::Distinct(distinct) = self {
            let rows = &buffer[..distinct.ids().len() * width];
            embedding_forward(positions, rows, distinct.index());
        }
    }

    /// Gradients of the rows from those of the positions, (N, W): unchanged, or summed in `buffer`.
    pub fn gather<'x>(
        self,
        positions: &'x mut [f32],
        buffer: &'x mut [f32],
        width: usize,
    ) -> &'x mut [f32] {
        match self {
            ProductRows::Positions => positions,
            ProductRows::Distinct(distinct) => {
                let sum = &mut buffer[..distinct.ids().len() * width];
                sum.fill(0.0);
                embedding_backward(sum, positions, distinct.index());
                sum
            }
        }
    }

    /// Lookups that the gradients of [`ProductRows::gather`] belong to.
    pub fn lookups(self, positions: Lookups<'a>) -> Lookups<'a> {
        match self {
            ProductRows::Positions => positions,
            ProductRows::Distinct(distinct) => Lookups::alone(distinct.ids()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_position_finds_its_input() {
        let mut distinct = Distinct::new(8, 10);
        for inputs in [&[3, 3, 7, 3, 0, 9, 7, 0][..], &[9, 9], &[], &[0, 1, 2, 3, 4, 5, 6, 7]] {
            distinct.find(inputs);
            let mut expected: Vec<u32> = Vec::new();
            for input in inputs {
                if !expected.contains(input) {
                    expected.push(*input);
                }
            }
            assert_eq!(distinct.ids(), expected);
            let spread: Vec<u32> =
                distinct.index().iter().map(|i| distinct.ids()[*i as usize]).collect();
            assert_eq!(spread, inputs);
        }
    }

    #[test]
    #[should_panic(expected = "more inputs than rows")]
    fn too_many_inputs_are_refused() {
        Distinct::new(2, 10).find(&[1, 2, 3]);
    }
}
