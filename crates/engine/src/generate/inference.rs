//! A model ready to run: parameters, and their matrices packed for forward products only.

use crate::model::{Layout, Model, PackedWeights};
use kernels::rope::RopeTable;
use kernels::{AlignedVec, Pool, Precision};

/// Everything that generation reads; made once, shared by any number of sessions.
#[derive(Debug)]
pub struct InferenceModel {
    layout: Layout,
    params: AlignedVec<f32>,
    packed: PackedWeights,
    rope: RopeTable,
}

impl InferenceModel {
    /// Packs `params` for products of this precision.
    pub fn new(
        layout: Layout,
        params: AlignedVec<f32>,
        precision: Precision,
        pool: &mut Pool,
    ) -> InferenceModel {
        let mut packed = PackedWeights::new(&layout, precision, false);
        packed.pack(&params, pool);
        let config = &layout.config;
        let rope = RopeTable::new(config.seq_len, config.head_dim, config.rope_theta as f64);
        InferenceModel { layout, params, packed, rope }
    }

    /// What the passes read.
    pub fn model(&self) -> Model<'_> {
        let InferenceModel { layout, params, packed, rope } = self;
        Model { layout, params, packed, rope }
    }

    /// The longest text, in tokens, that the model was made for.
    pub fn max_len(&self) -> usize {
        self.layout.config.seq_len
    }

    /// The table of tensors.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
}
