//! A model ready to run: parameters, and their matrices packed for forward products only.

use crate::model::{Layout, Model, PackedWeights};
use crate::vocab::compose::Composer;
use kernels::rope::RopeTable;
use kernels::{AlignedVec, Pool, Precision};

/// Everything that generation reads; made once, shared by any number of sessions.
#[derive(Debug)]
pub struct InferenceModel {
    layout: Layout,
    params: AlignedVec<f32>,
    packed: PackedWeights,
    rope: RopeTable,
    composer: Option<Composer>,
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
        InferenceModel { layout, params, packed, rope, composer: None }
    }

    /// The same with a composer, which a model that composes its input vectors needs.
    pub fn with_composer(self, composer: Option<Composer>) -> InferenceModel {
        InferenceModel { composer, ..self }
    }

    /// Makes ready for sequences of a text, which may have words that no text before had; sessions
    /// do that by themselves.
    pub fn add_words(&mut self, ids: &[u32]) {
        if let Some(composer) = &mut self.composer {
            composer.add_words(ids);
        }
    }

    /// Different inputs that there are, for [`MicroShape::n_inputs`](crate::model::MicroShape).
    pub fn n_inputs(&self) -> usize {
        self.composer.as_ref().map_or(self.layout.config.vocab_size, Composer::n_inputs)
    }

    /// What the passes read.
    pub fn model(&self) -> Model<'_> {
        let InferenceModel { layout, params, packed, rope, composer } = self;
        Model { layout, params, packed, rope, composer: composer.as_ref() }
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
