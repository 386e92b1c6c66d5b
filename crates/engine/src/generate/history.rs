//! What a session was fed, as the inputs of a forward pass.

use crate::model::{Inputs, Layout, Model};
use text::vocab::compose::Composer;
use text::vocab::ngrams::NGRAM_MAX;
use text::vocab::runs::RUN_MAX;

/// The tokens of a text in progress.
///
/// What stands at a place may depend on the tokens before it: in a model that composes its input
/// vectors a token may go on a word that is spelt by several, and an n-gram is the last few tokens.
#[derive(Debug)]
pub(super) struct History {
    /// Tokens so far.
    ids: Vec<u32>,
    /// What stands at the last places.
    inputs: Vec<u32>,
    /// Rows of the n-grams that end at the last places.
    ngrams: Vec<u32>,
    /// The model's, and the words that were met since.
    composer: Option<Composer>,
}

impl History {
    /// Room for `max_len` tokens, of which up to `n` come at once.
    pub fn new(layout: &Layout, max_len: usize, n: usize) -> History {
        let n_heads = layout.config.ngrams.len();
        History {
            ids: Vec::with_capacity(max_len),
            inputs: Vec::with_capacity(n + RUN_MAX),
            ngrams: Vec::with_capacity((n + NGRAM_MAX) * n_heads),
            composer: None,
        }
    }

    /// Takes in `tokens` after the first `len`; returns the model with all their words, and what
    /// stands at their places.
    ///
    /// Allocates when a word comes that was never met, and for the first token.
    pub fn take<'a>(
        &'a mut self,
        model: Model<'a>,
        len: usize,
        tokens: &[u32],
    ) -> (Model<'a>, Inputs<'a>) {
        self.ids.truncate(len);
        self.ids.extend_from_slice(tokens);
        let ngrams = match model.ngrams {
            None => &[][..],
            Some(ngrams) => {
                let from = len.saturating_sub(NGRAM_MAX - 1);
                self.ngrams.resize((self.ids.len() - from) * ngrams.n_heads(), 0);
                ngrams.rows(&self.ids[from..], &mut self.ngrams);
                &self.ngrams[(len - from) * ngrams.n_heads()..]
            }
        };
        let Some(of_model) = model.composer else {
            return (model, Inputs { ids: &self.ids[len..], ngrams });
        };
        let composer = self.composer.get_or_insert_with(|| of_model.clone());
        // A word that began before these would be too long to be one.
        let from = len.saturating_sub(RUN_MAX);
        composer.add_words(&self.ids[from..]);
        self.inputs.resize(self.ids.len() - from, 0);
        composer.inputs(&self.ids[from..], &mut self.inputs);
        let inputs = Inputs { ids: &self.inputs[len - from..], ngrams };
        (Model { composer: Some(composer), ..model }, inputs)
    }
}
