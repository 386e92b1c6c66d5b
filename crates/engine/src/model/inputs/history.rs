//! Input history of a text in progress: its tokens so far, as lookups of a forward pass.

use super::{InputLayer, Lookups};
use crate::model::layout::Layout;
use text::vocab::compose::Composer;
use text::vocab::ngrams::NGRAM_MAX;
use text::vocab::word_spans::WORD_SPAN_MAX;

/// Tokens of a text in progress.
///
/// The lookup at a position may depend on earlier tokens: in a model with composed input vectors, a
/// token may continue a word spelt by several tokens, and an n-gram is the last few tokens.
#[derive(Debug)]
pub struct InputHistory {
    /// Tokens so far.
    ids: Vec<u32>,
    /// Inputs at the newest positions.
    inputs: Vec<u32>,
    /// Rows of the n-grams that end at the newest positions.
    ngrams: Vec<u32>,
    /// The model's composer, with the words met since.
    composer: Option<Composer>,
}

/// Input vectors of the newest tokens.
#[derive(Clone, Copy, Debug)]
pub struct TextInputs<'a> {
    layer: &'a InputLayer,
    composer: Option<&'a Composer>,
    lookups: Lookups<'a>,
}

impl TextInputs<'_> {
    /// Writes the vectors, (N, C), to `x`.
    pub fn forward(&self, x: &mut [f32], params: &[f32]) {
        self.layer.forward_with(self.composer, x, params, self.lookups);
    }
}

impl InputHistory {
    /// History for `max_len` tokens, of which up to `n` are added at once.
    pub fn new(layout: &Layout, max_len: usize, n: usize) -> InputHistory {
        let n_tables = layout.config.ngrams.len();
        InputHistory {
            ids: Vec::with_capacity(max_len),
            inputs: Vec::with_capacity(n + WORD_SPAN_MAX),
            ngrams: Vec::with_capacity((n + NGRAM_MAX) * n_tables),
            composer: None,
        }
    }

    /// Appends `tokens` after the first `len`; returns their input vectors.
    ///
    /// Allocates for a word that was never met, and for the first token.
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
        // A word that began earlier would be longer than any word may be.
        let from = len.saturating_sub(WORD_SPAN_MAX);
        composer.add_words(&ids[from..]);
        inputs.resize(ids.len() - from, 0);
        composer.inputs(&ids[from..], inputs);
        lookups.ids = &inputs[len - from..];
        TextInputs { layer, composer: Some(composer), lookups }
    }
}
