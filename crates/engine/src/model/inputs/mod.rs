//! Input vectors: a row of the embeddings for each token, or composed of it and of rows of parts of
//! words, with rows of n-grams added.
//!
//! What is looked up at a position is an *input*: the token there or, in a model that composes its
//! vectors, perhaps the word that ends there so far (`text::vocab::compose`). Without n-grams a
//! vector is a function of its input alone, which the first block makes use of ([`distinct`]).
//!
//! Blocks and passes see [`InputLayer`] and [`InputBuffers`] only; which of the options a model has
//! is known in this folder.

mod buffers;
pub(super) mod distinct;
mod history;
mod side_files;

use super::config::ModelConfig;
use super::layout::Layout;
use super::table::{Gradients, Init, Span, TableBuilder};
pub use buffers::InputBuffers;
pub use history::{InputHistory, TextInputs};
use kernels::composed::{composed_backward, composed_forward};
use kernels::embedding::{embedding_backward, embedding_forward};
use kernels::row_sums::{row_sums_backward, row_sums_forward};
pub use side_files::SideFileError;
use text::vocab::compose::Composer;
use text::vocab::ngrams::Ngrams;

/// Where the tables of input vectors lie.
#[derive(Clone, Copy, Debug)]
pub struct InputSlots {
    /// (V, C) rows of tokens.
    pub embed: Span,
    /// (P, C) rows of parts, where vectors are composed of them.
    pub parts: Option<Span>,
    /// (R, C) rows of n-grams, where they are added: those of all tables, one after the other.
    pub ngrams: Option<Span>,
}

impl InputSlots {
    pub(super) fn lay_out(config: &ModelConfig, table: &mut TableBuilder) -> InputSlots {
        let embed = table.embedding();
        // Rows that are added start at zero: vectors begin as those of their tokens.
        let mut added = |name: &str, n_rows: usize| {
            (n_rows > 0).then(|| table.matrix(name, n_rows, config.model_dim, Init::Zeros))
        };
        InputSlots {
            embed,
            parts: added("model.embed_parts.weight", config.n_parts),
            ngrams: added("model.embed_ngrams.weight", config.n_ngram_rows()),
        }
    }

    /// The tables, as far as there are any.
    pub fn all(&self) -> impl Iterator<Item = Span> {
        [Some(self.embed), self.parts, self.ngrams].into_iter().flatten()
    }

    /// Whether it is known before a step's passes which rows of a table its batch looks up.
    pub fn knows_rows(&self, table: Span) -> bool {
        table == self.embed || Some(table) == self.ngrams
    }
}

/// What makes input vectors of tokens; read by all lanes.
#[derive(Clone, Debug)]
pub struct InputLayer {
    embed: Span,
    vocab_size: usize,
    composed: Option<(Span, Composer)>,
    ngrams: Option<(Span, Ngrams)>,
}

/// What is looked up for some vectors.
#[derive(Clone, Copy, Debug)]
pub struct Lookups<'a> {
    /// (N) inputs.
    pub ids: &'a [u32],
    /// (N, K) rows of the n-grams that end at each position; empty in a model without.
    pub ngrams: &'a [u32],
}

impl<'a> Lookups<'a> {
    /// Inputs alone, without n-grams.
    pub fn alone(ids: &'a [u32]) -> Lookups<'a> {
        Lookups { ids, ngrams: &[] }
    }
}

impl InputLayer {
    /// For the tables of `layout`: with the composer of a model that composes its vectors, which must
    /// know every word of the texts to come, and with the n-grams of one that adds their rows.
    ///
    /// # Panics
    /// If the layout has tables of parts or n-grams without these, or the other way round.
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

    /// Different inputs that there are, I: tokens and, where vectors are composed, words.
    pub fn n_inputs(&self) -> usize {
        self.composed.as_ref().map_or(self.vocab_size, |(_, composer)| composer.n_inputs())
    }

    /// Makes ready for a text, which may have words that no text before had.
    pub fn add_words(&mut self, ids: &[u32]) {
        if let Some((_, composer)) = &mut self.composed {
            composer.add_words(ids);
        }
    }

    /// Writes the vectors (N, C) of `inputs` (N) to `x`.
    pub fn forward(&self, x: &mut [f32], params: &[f32], inputs: Lookups) {
        let composer = self.composed.as_ref().map(|(_, composer)| composer);
        self.forward_with(composer, x, params, inputs);
    }

    /// As [`InputLayer::forward`], with a composer that may know more words than the layer's.
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

    /// Adds the gradients `dx` (N, C) of the vectors of `inputs` into those of the tables.
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
