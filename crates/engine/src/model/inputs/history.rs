//! Input history of a text in progress: its tokens so far, as lookups of a forward pass.

use super::{InputLayer, Lookups};
use crate::model::layout::Layout;
use text::vocab::compose::Composer;
use text::vocab::ngrams::NGRAM_MAX;
use text::vocab::word_spans::WORD_SPAN_MAX;

/// The tokens of a text in progress.
///
/// What is looked up at a position may depend on the tokens before it: in a model that composes its
/// input vectors a token may continue a word that is spelt by several, and an n-gram is the last few
/// tokens.
#[derive(Debug)]
pub struct InputHistory {
    /// Tokens so far.
    ids: Vec<u32>,
    /// Inputs at the last positions.
    inputs: Vec<u32>,
    /// Rows of the n-grams that end at the last positions.
    ngrams: Vec<u32>,
    /// The model's, and the words that were met since.
    composer: Option<Composer>,
}

/// The input vectors of the tokens that a text was just continued with.
#[derive(Clone, Copy, Debug)]
pub struct TextInputs<'a> {
    layer: &'a InputLayer,
    composer: Option<&'a Composer>,
    lookups: Lookups<'a>,
}

impl TextInputs<'_> {
    /// Writes the vectors (N, C) to `x`.
    pub fn forward(&self, x: &mut [f32], params: &[f32]) {
        self.layer.forward_with(self.composer, x, params, self.lookups);
    }
}

impl InputHistory {
    /// Room for `max_len` tokens, of which up to `n` come at once.
    pub fn new(layout: &Layout, max_len: usize, n: usize) -> InputHistory {
        let n_tables = layout.config.ngrams.len();
        InputHistory {
            ids: Vec::with_capacity(max_len),
            inputs: Vec::with_capacity(n + WORD_SPAN_MAX),
            ngrams: Vec::with_capacity((n + NGRAM_MAX) * n_tables),
            composer: None,
        }
    }

    /// Takes in `tokens` after the first `len`; returns their input vectors.
    ///
    /// Allocates when a word comes that was never met, and for the first token.
    pub fn take<'a>(
        &'a mut self,
        layer: &'a InputLayer,
        len: usize,
        tokens: &[u32],
    ) -> TextInputs<'a> {
        let InputHistory { ids, inputs, ngrams, composer } = self;
        ids.truncate(len);
        ids.extend_from_slice(tokens);
        let mut lookups = Lookups::alone(&ids[len..]);
        if let Some((_, finder)) = &layer.ngrams {
            let from = len.saturating_sub(NGRAM_MAX - 1);
            ngrams.resize((ids.len() - from) * finder.n_tables(), 0);
            finder.rows(&ids[from..], ngrams);
            lookups.ngrams = &ngrams[(len - from) * finder.n_tables()..];
        }
        let Some((_, of_model)) = &layer.composed else {
            return TextInputs { layer, composer: None, lookups };
        };
        let composer = composer.get_or_insert_with(|| of_model.clone());
        // A word that began before these would be too long to be one.
        let from = len.saturating_sub(WORD_SPAN_MAX);
        composer.add_words(&ids[from..]);
        inputs.resize(ids.len() - from, 0);
        composer.inputs(&ids[from..], inputs);
        lookups.ids = &inputs[len - from..];
        TextInputs { layer, composer: Some(composer), lookups }
    }
}
