//! Owned model: parameters, packed matrices, input layer and rotary angles.

use super::forward::Model;
use super::inputs::InputLayer;
use super::layout::Layout;
use super::packed::PackedWeights;
use kernels::rope::RopeTable;
use kernels::{AlignedVec, Pool, Precision};

/// Model in memory: everything that the passes read.
#[derive(Debug)]
pub struct OwnedModel {
    /// The table of tensors.
    pub layout: Layout,
    /// Parameters.
    pub params: AlignedVec<f32>,
    /// Packed matrices; a change of the parameters requires packing again.
    pub packed: PackedWeights,
    /// The input layer.
    pub inputs: InputLayer,
    rope: RopeTable,
}

impl OwnedModel {
    /// Model for prediction and evaluation: all matrices of `params` are packed for forward
    /// products.
    pub fn new(
        layout: Layout,
        params: AlignedVec<f32>,
        inputs: InputLayer,
        precision: Precision,
        pool: &mut Pool,
    ) -> OwnedModel {
        let mut model = OwnedModel::unpacked(layout, params, inputs, precision, false);
        model.packed.pack(&model.params, pool);
        model
    }

    /// Model whose matrices are not packed yet, with or without training.
    pub(crate) fn unpacked(
        layout: Layout,
        params: AlignedVec<f32>,
        inputs: InputLayer,
        precision: Precision,
        training: bool,
    ) -> OwnedModel {
        let config = &layout.config;
        OwnedModel {
            packed: PackedWeights::new(layout.packed_matrices(), precision, training),
            rope: RopeTable::new(config.seq_len, config.head_dim, config.rope_theta as f64),
            params,
            inputs,
            layout,
        }
    }

    /// Borrowed view for the passes.
    pub fn model(&self) -> Model<'_> {
        let OwnedModel { layout, params, packed, inputs, rope } = self;
        Model { layout, params, packed, rope, inputs }
    }

    /// The table of tensors.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Longest text that the model was made for, in tokens.
    pub fn max_len(&self) -> usize {
        self.layout.config.seq_len
    }
}
