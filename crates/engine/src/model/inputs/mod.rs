//! Input vectors: an embedding row per token, or a composition of it with rows of word parts, plus
//! rows of n-grams.
//!
//! The lookup at a position is an *input*: the token there or, in a model with composed vectors,
//! possibly the word that ends there so far (`text::vocab::compose`). Without n-grams a vector is a
//! function of its input alone, which the first block exploits ([`distinct`]).
//!
//! Blocks and passes see only [`InputLayer`] and [`InputBuffers`]; only this folder knows which
//! options a model has.

mod buffers;
pub(super) mod distinct;
mod history;
mod side_files;
mod slots;

use super::layout::Layout;
use super::table::{Gradients, Span};
pub use buffers::InputBuffers;
pub use history::{InputHistory, TextInputs};
use kernels::composed::{composed_backward, composed_forward};
use kernels::embedding::{embedding_backward, embedding_forward};
use kernels::row_sums::{row_sums_backward, row_sums_forward};
pub use side_files::SideFileError;
pub use slots::InputSlots;
use text::vocab::compose::Composer;
use text::vocab::ngrams::Ngrams;

/// Input layer, shared by all lanes: turns tokens into input vectors.
#[derive(Clone, Debug)]
pub struct InputLayer {
    embed: Span,
    vocab_size: usize,
    composed: Option<(Span, Composer)>,
    ngrams: Option<(Span, Ngrams)>,
}

/// Lookups of some vectors.
#[derive(Clone, Copy, Debug)]
pub struct Lookups<'a> {
    /// (N) inputs.
    pub ids: &'a [u32],
    /// (N, K) rows of the n-grams that end at each position; empty in a model without n-grams.
    pub ngrams: &'a [u32],
}

impl<'a> Lookups<'a> {
    /// Lookups of inputs without n-grams.
    pub fn alone(ids: &'a [u32]) -> Lookups<'a> {
        Lookups { ids, ngrams: &[] }
    }
}

impl InputLayer {
    /// Input layer for the tables of `layout`. A model with composed vectors needs its composer,
    /// which must know every word of the texts to come; a model with n-gram rows needs its n-grams.
    ///
    /// # Panics
    /// If the layout has tables of parts or n-grams without these, or the reverse.
    pub fn new(layout: &Layout, composer: Option<Composer>, ngrams: Option<Ngrams>) -> InputLayer {
        let InputSlots { embed, parts, ngrams: rows } = layout.inputs;
        assert_eq!(parts.is_some(), composer.is_some(), "InputLayer: parts need a composer");
        assert_eq!(rows.is_some(), ngrams.is_some(), "InputLayer: rows of n-grams need n-grams");
        InputLayer {
            embed,
            vocab_size: layout.config.vocab_size,
            composed: parts.zip(composer),
            ngrams: rows.zip(ngrams),
        }
    }

    /// Number of possible inputs, I: tokens and, with composed vectors, words.
    pub fn n_inputs(&self) -> usize {
        self.composed.as_ref().map_or(self.vocab_size, |(_, composer)| composer.n_inputs())
    }

    /// Prepares for a text, which may have new words.
    pub fn add_words(&mut self, ids: &[u32]) {
        if let Some((_, composer)) = &mut self.composed {
            composer.add_words(ids);
        }
    }

    /// Writes the vectors of `inputs`, (N, C), to `x`.
    pub fn forward(&self, x: &mut [f32], params: &[f32], inputs: Lookups) {
        let composer = self.composed.as_ref().map(|(_, composer)| composer);
        self.forward_with(composer, x, params, inputs);
    }

    /// [`InputLayer::forward`] with a composer that may know more words than the layer's.
    fn forward_with(
        &self,
        composer: Option<&Composer>,
        x: &mut [f32],
        params: &[f32],
        inputs: Lookups,
    ) {
        let table = self.embed.of(params);
        match self.composed.as_ref().zip(composer) {
            None => embedding_forward(x, table, inputs.ids),
            Some(((parts, _), composer)) => {
                composed_forward(x, table, parts.of(params), composer.composition(), inputs.ids);
            }
        }
        if let Some((rows, ngrams)) = &self.ngrams {
            row_sums_forward(x, rows.of(params), inputs.ngrams, ngrams.n_tables());
        }
    }

    /// Adds the gradients `dx` (N, C) of the vectors of `inputs` to those of the tables.
    pub fn backward(&self, grads_acc: &mut Gradients, dx: &[f32], inputs: Lookups) {
        match &self.composed {
            None => embedding_backward(grads_acc.of(self.embed), dx, inputs.ids),
            Some((parts, composer)) => {
                let [dtable, dparts] = grads_acc.of_both([self.embed, *parts]);
                composed_backward(dtable, dparts, dx, composer.composition(), inputs.ids);
            }
        }
        if let Some((rows, ngrams)) = &self.ngrams {
            row_sums_backward(grads_acc.of(*rows), dx, inputs.ngrams, ngrams.n_tables());
        }
    }
}
