//! What a session was fed, as the inputs of a forward pass.

use crate::model::Model;
use crate::vocab::compose::Composer;
use crate::vocab::runs::RUN_MAX;

/// The tokens of a text in progress.
///
/// In a model that composes its input vectors a token may go on a word that is spelt by several, so
/// what stands at its place depends on those before it.
#[derive(Debug)]
pub(super) struct History {
    /// Tokens so far.
    ids: Vec<u32>,
    /// What stands at the last places.
    inputs: Vec<u32>,
    /// The model's, and the words that were met since.
    composer: Option<Composer>,
}

impl History {
    /// Room for `max_len` tokens, of which up to `n` come at once.
    pub fn new(max_len: usize, n: usize) -> History {
        let inputs = Vec::with_capacity(n + RUN_MAX);
        History { ids: Vec::with_capacity(max_len), inputs, composer: None }
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
    ) -> (Model<'a>, &'a [u32]) {
        self.ids.truncate(len);
        self.ids.extend_from_slice(tokens);
        let Some(of_model) = model.composer else { return (model, &self.ids[len..]) };
        let composer = self.composer.get_or_insert_with(|| of_model.clone());
        // A word that began before these would be too long to be one.
        let from = len.saturating_sub(RUN_MAX);
        composer.add_words(&self.ids[from..]);
        self.inputs.resize(self.ids.len() - from, 0);
        composer.inputs(&self.ids[from..], &mut self.inputs);
        (Model { composer: Some(composer), ..model }, &self.inputs[len - from..])
    }
}
