//! Owned model: parameters, their packed matrices, and what else the passes read.

use super::forward::Model;
use super::inputs::InputLayer;
use super::layout::Layout;
use super::packed::PackedWeights;
use kernels::rope::RopeTable;
use kernels::{AlignedVec, Pool, Precision};

/// Everything that the passes read of one model.
#[derive(Debug)]
pub struct OwnedModel {
    /// The table of tensors.
    pub layout: Layout,
    /// Parameters.
    pub params: AlignedVec<f32>,
    /// The matrices among them; whoever changes parameters packs them again.
    pub packed: PackedWeights,
    /// What makes input vectors of tokens.
    pub inputs: InputLayer,
    rope: RopeTable,
}

impl OwnedModel {
    /// A model ready to predict and to measure losses: all of `params` packed for forward products.
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

    /// A model whose matrices are still to be packed, for training or not.
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

    /// What the passes read.
    pub fn model(&self) -> Model<'_> {
        let OwnedModel { layout, params, packed, inputs, rope } = self;
        Model { layout, params, packed, rope, inputs }
    }

    /// The table of tensors.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The longest text, in tokens, that the model was made for.
    pub fn max_len(&self) -> usize {
        self.layout.config.seq_len
    }
}
