//! A model ready to run: parameters, and their matrices packed for forward products only.

use crate::model::{Layout, Model, PackedWeights};
use kernels::rope::RopeTable;
use kernels::{AlignedVec, Pool, Precision};
use text::vocab::compose::Composer;
use text::vocab::ngrams::Ngrams;

/// Everything that generation reads; made once, shared by any number of sessions.
#[derive(Debug)]
pub struct InferenceModel {
    layout: Layout,
    params: AlignedVec<f32>,
    packed: PackedWeights,
    rope: RopeTable,
    composer: Option<Composer>,
    ngrams: Option<Ngrams>,
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
        InferenceModel { layout, params, packed, rope, composer: None, ngrams: None }
    }

    /// The same with a composer, which a model that composes its input vectors needs.
    pub fn with_composer(self, composer: Option<Composer>) -> InferenceModel {
        InferenceModel { composer, ..self }
    }

    /// The same with what finds n-grams, which a model that adds their rows needs.
    pub fn with_ngrams(self, ngrams: Option<Ngrams>) -> InferenceModel {
        InferenceModel { ngrams, ..self }
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
        let InferenceModel { layout, params, packed, rope, composer, ngrams } = self;
        let (composer, ngrams) = (composer.as_ref(), ngrams.as_ref());
        Model { layout, params, packed, rope, composer, ngrams }
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
