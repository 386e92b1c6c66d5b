//! Slots of the input layer: where the tables of input vectors lie.

use crate::model::config::ModelConfig;
use crate::model::table::{Init, Span, TableBuilder};

/// Tables of the input vectors.
#[derive(Clone, Copy, Debug)]
pub struct InputSlots {
    /// (V, C) token rows.
    pub embed: Span,
    /// (P, C) rows of parts, if vectors are composed.
    pub parts: Option<Span>,
    /// (R, C) n-gram rows of all tables, one table after another, if they are added.
    pub ngrams: Option<Span>,
}

impl InputSlots {
    pub(in crate::model) fn lay_out(config: &ModelConfig, table: &mut TableBuilder) -> InputSlots {
        let embed = table.embedding();
        // Added rows start at zero, so that vectors begin as their tokens' rows.
        let mut added = |name: &str, n_rows: usize| {
            (n_rows > 0).then(|| table.matrix(name, n_rows, config.model_dim, Init::Zeros))
        };
        InputSlots {
            embed,
            parts: added("model.embed_parts.weight", config.n_parts),
            ngrams: added("model.embed_ngrams.weight", config.n_ngram_rows()),
        }
    }

    /// The tables that exist.
    pub fn all(&self) -> impl Iterator<Item = Span> {
        [Some(self.embed), self.parts, self.ngrams].into_iter().flatten()
    }

    /// Whether the rows of a table that a batch looks up are known before the step's passes.
    pub fn knows_rows(&self, table: Span) -> bool {
        table == self.embed || Some(table) == self.ngrams
    }
}
