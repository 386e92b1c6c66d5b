//! Active rows: the rows of the shared tables that a step's batch uses, found before its first
//! pass.

use super::layout::Layout;
use super::table::Span;
use kernels::cross_entropy::IGNORE;
use kernels::row_sums::NO_ROW;
use serde::Serialize;
use std::ops::Range;

/// The rows of each shared table that a batch uses.
#[derive(Debug)]
pub struct ActiveRows {
    tables: Vec<TableRows>,
    /// By token: whether it is a target.
    targets: Vec<bool>,
    /// Number of distinct input tokens, and of output rows noted for tokens.
    n_inputs: usize,
    n_outputs: usize,
    /// The token embeddings, and the output layer's token rows once some are noted.
    embed: Span,
    outputs: Option<Span>,
}

/// The rows of one table.
#[derive(Debug)]
struct TableRows {
    span: Span,
    /// By row: whether the batch uses it; empty if that is not known before the step.
    is_active: Vec<bool>,
}

/// Shares of the table rows that a step's batch uses.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RowsUsed {
    /// Input tokens, as a share of all tokens.
    pub inputs: f64,
    /// Output rows, as a share: the rows of every class that has a target.
    pub outputs: f64,
    /// Rows used either way, as a share of all rows; untied tables have twice as many.
    pub all: f64,
}

impl ActiveRows {
    /// For the shared tables of `layout`, with no row active.
    pub fn new(layout: &Layout) -> ActiveRows {
        let tables = layout.shared_tables().map(|table| {
            let known = match layout.head.knows_rows(table.span) {
                Some(is_known) => is_known,
                None => layout.inputs.knows_rows(table.span),
            };
            let n_rows = if known { table.shape[0] } else { 0 };
            TableRows { span: table.span, is_active: vec![false; n_rows] }
        });
        ActiveRows {
            tables: tables.collect(),
            targets: vec![false; layout.config.vocab_size],
            n_inputs: 0,
            n_outputs: 0,
            embed: layout.inputs.embed,
            outputs: None,
        }
    }

    /// Clears the notes of the last batch.
    pub fn clear(&mut self) {
        self.targets.fill(false);
        self.tables.iter_mut().for_each(|table| table.is_active.fill(false));
        (self.n_inputs, self.n_outputs, self.outputs) = (0, 0, None);
    }

    /// Notes tokens of the batch and their targets.
    pub fn note_tokens(&mut self, tokens: &[u32], targets: &[u32]) {
        let targets = targets.iter().filter(|target| **target != IGNORE);
        targets.for_each(|target| self.targets[*target as usize] = true);
        self.note_each(self.embed, tokens);
    }

    /// Notes some rows of a table; entries may be [`NO_ROW`].
    pub fn note_each(&mut self, table: Span, rows: &[u32]) {
        let is_embed = table == self.embed;
        let Some(table) = self.tables.iter_mut().find(|t| t.span == table) else { return };
        if table.is_active.is_empty() {
            return;
        }
        let mut n_new = 0;
        for row in rows.iter().filter(|row| **row != NO_ROW) {
            let is_active = &mut table.is_active[*row as usize];
            n_new += usize::from(!*is_active);
            *is_active = true;
        }
        self.n_inputs += if is_embed { n_new } else { 0 };
    }

    /// Notes a range of rows of a table.
    pub fn note(&mut self, table: Span, rows: Range<usize>) {
        if let Some(table) = self.tables.iter_mut().find(|t| t.span == table) {
            table.is_active[rows].fill(true);
        }
    }

    /// Notes a range of the output layer's token rows, as [`ActiveRows::note`].
    pub fn note_outputs(&mut self, table: Span, rows: Range<usize>) {
        self.outputs = Some(table);
        self.n_outputs += rows.len();
        self.note(table, rows);
    }

    /// Whether one of the tokens `ids` is among the targets.
    pub fn has_target(&self, ids: Range<usize>) -> bool {
        self.targets[ids].contains(&true)
    }

    /// By row of a shared table: whether the batch uses it; `None` if that is not known before the
    /// step.
    pub fn of(&self, table: Span) -> Option<&[bool]> {
        let found = self.tables.iter().find(|t| t.span == table)?;
        (!found.is_active.is_empty()).then_some(&found.is_active)
    }

    /// Shares of the token tables' rows that the batch uses; `None` if the output layer always uses
    /// all.
    pub fn rows_used(&self) -> Option<RowsUsed> {
        let outputs = self.outputs?;
        let n = self.targets.len() as f64;
        let is_tied = outputs == self.embed;
        let n_either = if is_tied {
            self.of(self.embed)?.iter().filter(|active| **active).count()
        } else {
            self.n_inputs + self.n_outputs
        };
        Some(RowsUsed {
            inputs: self.n_inputs as f64 / n,
            outputs: self.n_outputs as f64 / n,
            all: n_either as f64 / if is_tied { n } else { 2.0 * n },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::{HeadConfig, LossSpec};
    use crate::model::{MicroShape, ModelConfig};
    use kernels::Precision;
    use text::vocab::ngrams::ngram_tables;

    #[test]
    fn rows_of_inputs_and_of_classes_with_a_target_are_active() {
        for (tie_embeddings, all) in [(true, 0.5), (false, 0.35)] {
            let config = ModelConfig {
                head: HeadConfig::Factor { class_starts: vec![0, 3, 4, 10] },
                ngrams: ngram_tables(12),
                tie_embeddings,
                ..ModelConfig::new(10, 8, 1, 2)
            };
            let layout = Layout::new(&config).unwrap();
            let shape = MicroShape::new(&config, 4, 1, Precision::F32);
            let spec = LossSpec { shape: &shape, n_lanes: 1, threads: 1, training: None };
            let mut head = layout.head.loss(&spec);
            let mut active = ActiveRows::new(&layout);
            let ngrams = layout.inputs.ngrams.unwrap();
            for _ in 0..2 {
                active.clear();
                active.note_tokens(&[1, 7, 7], &[3, IGNORE, 3]);
                active.note_tokens(&[3], &[2]);
                active.note_each(ngrams, &[NO_ROW, 12, 9, 12]);
                head.find_active(&mut active);
                let rows = |span| {
                    let rows = active.of(span).unwrap().iter().enumerate();
                    rows.filter(|(_, active)| **active).map(|(i, _)| i).collect::<Vec<_>>()
                };
                assert_eq!(rows(ngrams), [9, 12]);
                let of_inputs = rows(layout.inputs.embed);
                let expected = if tie_embeddings { &[0, 1, 2, 3, 7][..] } else { &[1, 3, 7] };
                assert_eq!(of_inputs, expected);
                assert_eq!([0, 1, 2].map(|class| head.is_active(class)), [true, true, false]);
                let used = RowsUsed { inputs: 0.3, outputs: 0.4, all };
                assert_eq!(active.rows_used(), Some(used));
            }
        }
    }
}
